"""Where nothing limits: the pace of reading, big frames, and the cost of importing."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.frames import COMMIT
from benchmarks.instant import instant_service
from benchmarks.report import Section, Table
from benchmarks.service import child

KEY = "ll_" + "0" * 64
MIB = 2**20
LATENCY = 0.03  # seconds
HEAVY = ("pyarrow.parquet", "tqdm", "sqlite3", "matplotlib", "requests", "filelock")

# Whatever pandas imports is pandas' cost; the first import of a process finds the files cached.
IMPORT = """
import json, sys, time
def resident():
    for line in open("/proc/self/status"):
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
a, m = time.perf_counter(), resident()
import pandas
b, n = time.perf_counter(), resident()
theirs = set(sys.modules)
import leads_pandas
c, o = time.perf_counter(), resident()
new = set(sys.modules) - theirs
print(json.dumps({"pandas": b - a, "ours": c - b, "bytes": o - n, "new": sorted(new)}))
"""


def unlimited(*, quick: bool) -> Section:
    """Leads that are enriched already, no limit: ours against a bare session that keeps nothing."""
    section = Section("No limit")
    leads, rounds = (1000, 3) if quick else (2000, 7)
    taken: dict[str, list[float]] = {"bare": [], "ours": []}
    with instant_service(latency=LATENCY) as url:
        # In turns, so that a busy moment of the machine falls on both.
        for _ in range(rounds):
            for name, seconds in taken.items():
                with TemporaryDirectory() as folder:
                    task = {"url": url, "key": KEY, "leads": leads, "window": 60.0, "limit": 0}
                    seconds.append(child("clients", name, folder, **task)["seconds"])
    table = Table("work|bare session, s|ours, s|ours / bare|median of rounds|target")
    least = {name: min(seconds) for name, seconds in taken.items()}
    ratio = least["ours"] / least["bare"]
    middle = statistics.median(
        own / other for own, other in zip(taken["ours"], taken["bare"], strict=True)
    )
    table.add(
        f"{leads:,} leads at {LATENCY * 1000:.0f} ms",
        f"{least['bare']:.2f}",
        f"{least['ours']:.2f}",
        f"{ratio:.2f}",
        f"{middle:.2f}",
        section.require("no limit, ours / bare session", ratio, 1.25),
    )
    section.tables.append(table)
    section.notes.append(
        f"The bare session reads on 32 threads and keeps nothing; ours prices, reads, commits each "
        f"answer durably, joins and writes Parquet. Best of {rounds} rounds in turns."
    )
    return section


def big_frames(*, quick: bool) -> Section:
    """A million rows of known leads, and many leads through the store."""
    section = Section("Big frames")
    rows, leads, rounds = 1_000_000, 5000, 3 if quick else 5
    work: dict[str, list[dict[str, float]]] = {"merge": [], "enrich": []}
    with instant_service() as url, TemporaryDirectory() as folder:
        child("frames", "fill", folder, url=url, leads=leads, rows=0)
        for _ in range(rounds):
            for name, seen in work.items():
                seen.append(child("frames", name, folder, url=url, leads=leads, rows=rows))
    best = {name: min(one["seconds"] for one in seen) for name, seen in work.items()}
    peak = {name: max(one["extra"] for one in seen) / MIB for name, seen in work.items()}
    size = work["merge"][0]["frame"] / MIB
    table = Table(
        "work|merge + to_parquet, s|enrich(path), s|ratio|target"
        "|frame, MiB|peak of merge, MiB|of enrich, MiB|enrich / frame|target"
    )
    table.add(
        f"{rows:,} rows x 12, {leads:,} leads, all known",
        f"{best['merge']:.2f}",
        f"{best['enrich']:.2f}",
        f"{best['enrich'] / best['merge']:.2f}",
        section.require("known leads, enrich / merge", best["enrich"] / best["merge"], 1.1),
        f"{size:.0f}",
        f"{peak['merge']:.0f}",
        f"{peak['enrich']:.0f}",
        f"{peak['enrich'] / size:.2f}",
        section.require("known leads, peak memory / frame", peak["enrich"] / size, 1.0),
    )
    section.tables += [table, _stream(section, quick=quick)]
    section.notes.append(
        f"First: best of {rounds} processes each, in turns; memory is the highest peak over import "
        "and frame; the answers to merge with are in memory already, ours come from the store. "
        "Second: one start, then one read per lead over loopback, no latency, no limit, to Parquet."
    )
    return section


def _stream(section: Section, *, quick: bool) -> Table:
    few, many = (500, 5000) if quick else (2000, 200_000)
    costs: dict[int, list[dict[str, float]]] = {few: [], many: []}
    for count in (few, few, many, few, few):
        with instant_service(fresh=True) as url, TemporaryDirectory() as folder:
            costs[count].append(child("frames", "stream", folder, url=url, leads=count, rows=0))
    per = {
        count: statistics.median(one["seconds"] for one in seen) / count * 1000
        for count, seen in costs.items()
    }
    extra = max(one["extra"] for one in costs[many]) / MIB
    table = Table(
        "leads through the store|ms a lead|at fewer leads|ratio|target"
        "|peak over import and frame, MiB|target"
    )
    table.add(
        f"{many:,} against {few:,}",
        f"{per[many]:.3f}",
        f"{per[few]:.3f}",
        f"{per[many] / per[few]:.2f}",
        section.require("cost per lead, many / few", per[many] / per[few], 1.2),
        f"{extra:.0f}",
        section.require("MiB over import and frame", extra, 200),
    )
    return table


def store(*, quick: bool) -> Section:
    """What the store alone takes for many leads; `docs/scale.md` reckons with it."""
    section = Section("The store alone")
    table = Table(
        "leads|write the run, s|claim, s|keep the answers, s|release, s|known, s|results, s"
        "|file, MiB|bytes a lead"
    )
    for leads in (10_000, 100_000) if quick else (10_000, 100_000, 1_000_000):
        with TemporaryDirectory() as folder:
            seen = child("frames", "store", folder, leads=leads)
        steps = ("run", "claim", "save", "done", "known", "results")
        table.add(
            f"{leads:,}",
            *(f"{seen[name]:.2f}" for name in steps),
            f"{seen['bytes'] / MIB:.0f}",
            f"{seen['bytes'] / leads:.0f}",
        )
    section.tables.append(table)
    section.notes.append(
        f"One start of all leads, one address each; answers in commits of {COMMIT}, each synced."
    )
    return section


def importing(*, quick: bool) -> Section:
    """What `import leads_pandas` adds to `import pandas`."""
    section = Section("Import")
    seen: list[dict[str, Any]] = []
    for _ in range(5 if quick else 15):
        output = subprocess.run(
            [sys.executable, "-c", IMPORT], check=True, stdout=subprocess.PIPE, text=True
        ).stdout
        seen.append(json.loads(output))
    base, own = (min(one[name] for one in seen) for name in ("pandas", "ours"))
    size = statistics.median(one["bytes"] for one in seen) / MIB
    heavy = [
        name
        for name in HEAVY
        if any(name == one.split(".")[0] or name == one for one in seen[0]["new"])
    ]
    table = Table("pandas, ms|leads_pandas, ms|added|target|added, MiB|target")
    table.add(
        f"{base * 1000:.0f}",
        f"{own * 1000:.1f}",
        f"{own / base:.1%}",
        section.require("import, share of pandas'", own / base, 0.15),
        f"{size:.1f}",
        section.require("import, MiB", size, 5),
    )
    section.tables.append(table)
    section.notes.append(
        f"Best of {len(seen)} processes, files cached; pandas is imported before. "
        f"It brings in {len(seen[0]['new'])} modules, "
        + (f"**{', '.join(heavy)} among them**." if heavy else f"none of {', '.join(HEAVY)}.")
    )
    if heavy:
        section.missed.append(f"import loads {', '.join(heavy)}")
    return section
