"""What the finder finds on labelled sites, beside extract-emails; and how honest its confidence is.

``python -m benchmarks.finder FOLDER [--peer PYTHON] [--write]``: FOLDER holds ``truth.json`` and
``corpus/`` (see `benchmarks.sites_on_disk`); PYTHON has ``extract-emails[httpx]==6.2.0``. Both read
the same files, without a network, so the CPU seconds are those of reading alone.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from benchmarks.report import Table
from benchmarks.sites_on_disk import Sites, score
from leads_pandas.finding.finder import Finder
from leads_pandas.finding.guard import FetchError
from leads_pandas.finding.reply import Reply
from leads_pandas.finding.room import Room
from leads_pandas.finding.verify import Mail

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.made_sites import MadeSites
    from leads_pandas.finding.ranking import Scored

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs" / "finder.md"
BINS = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 1.01)


class Disk:
    """A fetcher that reads sites on disk, and counts their pages."""

    user_agent = "benchmark"

    def __init__(self, sites: Sites | MadeSites) -> None:
        self._sites = sites
        self.pages = 0
        self.room = Room(self.aside)

    def get(self, url: str, *, turn: Callable[[str], Any] | None = None, **_: object) -> Reply:
        with turn(url) if turn is not None else contextlib.nullcontext():
            served = self._sites.get(url)
        if served is None:
            raise FetchError("no such host")
        self.pages += served.status == 200
        return Reply(served.url, served.status, served.content_type, None, None, served.body)

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        yield

    def pause(self, _: float) -> None:
        """There is nobody to wait for."""


class Everybody:
    """Every domain takes mail."""

    def takes_mail(self, _: str, **__: object) -> Mail:
        return Mail.TAKEN


def ours(sites: Sites) -> tuple[dict[str, list[Scored]], float, int]:
    """What we say of each site, the CPU seconds, and how many pages were read."""
    disk = Disk(sites)
    finder = Finder(cast("Any", disk), cast("Any", Everybody()), pause=0.0)
    began = time.process_time()
    said = {name: finder.explain(sites.start(name), time.monotonic() + 60) for name in sites.truth}
    return said, time.process_time() - began, disk.pages


def theirs(python: str, folder: Path, kind: str) -> tuple[dict[str, list[str]], float]:
    """What extract-emails says."""
    done = subprocess.run(
        [python, "-m", "benchmarks.peer_emails", str(folder), kind],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    answer = json.loads(done.stdout.partition("@@")[2])
    return answer["given"], answer["cpu"]


def reliability(sites: Sites, said: dict[str, list[Scored]]) -> Table:
    """By confidence: how many labelled addresses were given, and what share of them is right."""
    table = Table("confidence|addresses|mean confidence|right")
    labelled: list[tuple[float, bool]] = []
    for name, site in sites.truth.items():
        right = {one.lower() for one in (*site["want"], *site["hard"])}
        neither = {one.lower() for one in site["ok"]} - right
        labelled += [
            (one.confidence, one.address in right)
            for one in said[name]
            if one.refused is None and one.address not in neither
        ]
    for low, high in itertools.pairwise(BINS):
        inside = [it for it in labelled if low <= it[0] < high]
        if inside:
            mean = sum(it[0] for it in inside) / len(inside)
            share = sum(it[1] for it in inside) / len(inside)
            table.add(
                f"{low:.2f} - {min(high, 1.0):.2f}", len(inside), f"{mean:.2f}", f"{share:.2f}"
            )
    return table


def _keep(text: str) -> None:
    """Put the table into the docs, between its marks."""
    between = re.compile("(?<=<!-- measured -->\n).*(?=\n<!-- end -->)", re.DOTALL)
    DOCS.write_text(between.sub(lambda _: text, DOCS.read_text("utf-8")), "utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.finder", description=__doc__)
    parser.add_argument("folder", type=Path, help="truth.json and corpus/")
    parser.add_argument("--peer", metavar="PYTHON", help="a Python that has extract-emails")
    parser.add_argument("--write", action="store_true", help="keep the table in docs/finder.md")
    options = parser.parse_args(arguments)
    sites = Sites(options.folder)
    # The least of three: other work on the machine only adds.
    said, cpu, pages = min((ours(sites) for _ in range(3)), key=lambda it: it[1])
    given = {
        name: [one.address for one in these if one.refused is None] for name, these in said.items()
    }
    rows = [("leads_pandas", given, cpu)]
    for kind in ("basic", "advanced") if options.peer else ():
        found, seconds = theirs(options.peer, options.folder, kind)
        rows.append((f"extract-emails, {kind}", found, seconds))
    table = Table("finder|found|wrong given|best on top|CPU, s")
    for name, got, seconds in rows:
        result = score(sites.truth, got)
        table.add(
            name,
            f"{result.found} of {result.wanted}",
            result.wrong,
            f"{result.on_top} of {result.ranked}",
            f"{seconds:.1f}",
        )
    made = (
        f"{len(sites.truth)} sites, {pages} pages, by leads_pandas {version('leads_pandas')} in "
        f"{1000 * cpu / max(pages, 1):.1f} ms CPU each, on {datetime.now(UTC):%Y-%m-%d}."
    )
    print(table.text(), reliability(sites, said).text(), made, sep="\n\n")
    if options.write:
        _keep(f"{table.text()}\n\n{made}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
