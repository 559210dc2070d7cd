"""The benchmarks of leads_pandas against their bounds and against what people write by hand.

Without a part they are listed. Every figure is held to its target; the exit code is 1 where one is
missed. The full measurement waits for real windows of 60 seconds and takes about half an hour,
nearly all of it waiting; --quick makes the windows ten times shorter, the frames smaller, and takes
less than two minutes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks import end_to_end, orders, plot, report, scoring, speed

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results.md"
PICTURE = ROOT / "docs" / "img" / "pace.png"
PARTS = {
    "end_to_end": "whole calls under the request limit, beside the bound and a loop by hand",
    "out_of_order": "jobs that finish in another order than they were sent in",
    "unlimited": "whole calls without a limit",
    "big_frames": "a million rows: joining, and memory",
    "looking": "summary, features and plots of large frames",
    "store": "commits and reads of the store",
    "importing": "what importing the package costs",
}
APART = {
    "benchmarks.sites [SITES]": "many small websites, beside bare pools of threads",
    "benchmarks.confidence [FOLDER]": "fits the weights of the confidence; how honest it is",
    "benchmarks.cluster": "frames of Dask on two workers, beside Dask and pandas alone",
    "benchmarks.finder FOLDER": "what is found on labelled websites, beside extract-emails",
}


def measure(part: str, *, quick: bool, picture: Path | None) -> list[report.Section]:
    """One part's sections."""
    if part == "looking":
        return [scoring.looking(quick=quick)]
    if part == "out_of_order":
        return [orders.out_of_order(quick=quick)]
    if part != "end_to_end":
        return [getattr(speed, part)(quick=quick)]
    outcomes, window = end_to_end.measure_all(quick=quick)
    if picture is not None:
        plot.pace(outcomes, window, picture)
    return [end_to_end.report(outcomes, window), end_to_end.estimates(outcomes, window)]


def listed() -> str:
    """The benchmarks, a line each."""
    lines = {f"python -m benchmarks {name}": what for name, what in PARTS.items()}
    lines |= {f"python -m {name}": what for name, what in APART.items()}
    lines |= {"python -m benchmarks all [--quick]": "all of the first kind"}
    width = max(map(len, lines))
    return "\n".join(f"{line:<{width}}  {what}" for line, what in lines.items())


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and keep what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}, or all")
    parser.add_argument("--quick", action="store_true", help="shorter windows, smaller frames")
    parser.add_argument(
        "--write",
        action="store_true",
        help=f"keep the figures in {RESULTS.relative_to(ROOT)}, the plot in "
        f"{PICTURE.relative_to(ROOT)}",
    )
    options = parser.parse_args(arguments)
    if not options.parts:
        print(listed())
        return 0
    unknown = set(options.parts) - {*PARTS, "all"}
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    if options.quick and options.write:
        parser.error("only the full measurement is kept")
    made = report.machine()
    print(made, end="\n\n", flush=True)
    missed: list[str] = []
    for part in PARTS if "all" in options.parts else options.parts:
        sections = measure(part, quick=options.quick, picture=PICTURE if options.write else None)
        for section in sections:
            print(section.text(), end="\n\n", flush=True)
            missed += section.missed
        if options.write:
            report.keep(RESULTS, sections, made)
    print(f"{len(missed)} targets missed" if missed else "all targets met")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
