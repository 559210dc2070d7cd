"""`ddf.leads` on two workers against Dask and pandas alone: ``python -m benchmarks.cluster``.

The store knows all the leads beforehand: what is measured is the work around the purchase, which
is IDs out, answers in, join and Parquet. Both sides of a ratio take turns in the same run and the
best of each counts, since other work on the machine only ever adds.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import report
from benchmarks.clients import lead_ids
from benchmarks.frames import resident

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parent.parent
PARTITIONS = 16
MIB = 2**20
ACCOUNT = "cluster"
KEY = "ll_" + "0" * 64
NOWHERE = "http://127.0.0.1:9"  # nobody is asked


def source(folder: Path, rows: int, leads: int) -> None:
    """Seven columns in 16 files, the leads in random order."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(7)
    ids = pd.Series(lead_ids(leads))
    folder.mkdir()
    for part in range(PARTITIONS):
        count = rows // PARTITIONS
        number = pd.Series(np.arange(count) + part * count).astype("str")
        pd.DataFrame(
            {
                "lead_id": ids.take(rng.integers(0, leads, count)).array,
                "name": "Firm " + number,
                "city": rng.choice(["Berlin", "London", "Lyon", "Leeds"], count),
                "phone": "+49 30 " + number,
                "rating": rng.random(count) * 5,
                "reviews": rng.integers(0, 5_000, count),
                "seen": pd.Timestamp("2026-01-01")
                + pd.to_timedelta(rng.integers(0, 300, count), "D"),
            }
        ).to_parquet(folder / f"part-{part:02d}.parquet")


def known(leads: int) -> None:
    """Let the store know the leads."""
    from leads_pandas import LeadsClient
    from leads_pandas.models import Email, LeadResult
    from leads_pandas.session import opened

    ids = lead_ids(leads)
    with (
        LeadsClient(KEY, NOWHERE, account=ACCOUNT) as client,
        opened(client) as (_, store),
    ):
        for first in range(0, leads, 10_000):
            store.results.save(
                [
                    (one, LeadResult("found", (Email(f"info@{one}.example", 0.94, "website"),), 1))
                    for one in ids[first : first + 10_000]
                ]
            )


@dataclass
class Race:
    """Two ways to the same, in turns."""

    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)

    def run(self, ours: Callable[[], object], theirs: Callable[[], object], times: int) -> None:
        for _ in range(times):
            for work, seconds in ((theirs, self.theirs), (ours, self.ours)):
                gc.collect()
                begin = time.perf_counter()
                work()
                seconds.append(time.perf_counter() - begin)

    @property
    def ratio(self) -> float:
        return min(self.ours) / min(self.theirs)


def forget_peak() -> None:
    """Let the peak of this process's memory count from here."""
    Path("/proc/self/clear_refs").write_text("5", "ascii")


def peak() -> int:
    return resident("VmHWM")


def alone(folder: Path, out: Path) -> dict[str, float]:
    """Pandas on the same frame, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.cluster", "--alone", str(folder), str(out)],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return told


def pandas_alone(folder: Path, out: Path) -> dict[str, float]:
    import pandas as pd
    import pyarrow.parquet  # noqa: F401 - imported before time is taken

    import leads_pandas
    from leads_pandas import run  # noqa: F401 - likewise

    with leads_pandas.LeadsClient(KEY, NOWHERE, account=ACCOUNT) as client:
        before = resident("VmRSS")
        begin = time.perf_counter()
        pd.read_parquet(folder).leads.enrich(out, client=client, progress=False)
        return {"seconds": time.perf_counter() - begin, "extra": peak() - before}


def measure(rows: int, leads: int, times: int) -> report.Section:
    with tempfile.TemporaryDirectory(prefix="leads_pandas-") as scratch:
        here = Path(scratch)
        os.environ["LEADS_PANDAS_HOME"] = str(here / "store")
        source(here / "source", rows, leads)
        known(leads)
        return _measure(here, rows, leads, times)


def _measure(here: Path, rows: int, leads: int, times: int) -> report.Section:
    import dask
    import dask.dataframe as dd
    import distributed
    import pandas as pd
    from distributed import Client, LocalCluster

    import leads_pandas
    import leads_pandas.dask as ours
    from leads_pandas.dask import dataset
    from leads_pandas.frames import delivery
    from leads_pandas.progress import Display

    quiet = Display(False)
    settings = {"distributed.deploy.lost-worker-timeout": "10 minutes"}
    extra: dict[str, Any] = {"progress": False}
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=2, threads_per_worker=1, memory_limit="2GB", dashboard_address=":0"
        ) as cluster,
        Client(cluster) as workers,
        leads_pandas.LeadsClient(KEY, NOWHERE, account=ACCOUNT) as client,
    ):
        extra["client"] = client
        ddf = dd.read_parquet(here / "source")
        workers.run(lambda: __import__("leads_pandas.dask"))
        len(ddf)  # workers have read once

        # The memory of the caller, whose process holds the scheduler as well.
        gc.collect()
        forget_peak()
        before = resident("VmRSS")
        ddf.leads.enrich(here / "warm", **extra)
        caller = peak() - before

        lazy = ddf.leads.enrich(**extra)
        wish = ours._wish(ddf, None, delivery.Output())
        right = pd.read_parquet(here / "warm", columns=["lead_id", *leads_pandas.SCHEMA.names])
        right = right.drop_duplicates("lead_id")
        answers = ours._answers(
            leads_pandas.enrich_ids(lead_ids(leads), **extra),
            *ours._collected(ddf, wish, quiet),
            wish,
        )

        ids, join, write, whole = Race(), Race(), Race(), Race()
        ids.run(
            lambda: ours._collected(ddf, wish, quiet),
            lambda: ddf["lead_id"].unique().compute(),
            times,
        )
        merged = ddf.merge(right, on="lead_id", how="left")
        join.run(
            lambda: lazy.map_partitions(len).compute(),
            lambda: merged.map_partitions(len).compute(),
            times,
        )

        def put() -> None:
            place = dataset.check_place(here / "ours")
            ours._write(ddf, answers, wish, place, quiet)
            shutil.rmtree(here / "ours")

        def plain() -> None:
            lazy.to_parquet(here / "theirs")
            shutil.rmtree(here / "theirs")

        write.run(put, plain, times)

        def call() -> None:
            dd.read_parquet(here / "source").leads.enrich(here / "ours", **extra)
            shutil.rmtree(here / "ours")

        one: list[dict[str, float]] = []
        for _ in range(times):
            one.append(alone(here / "source", here / "one.parquet"))
            whole.theirs.append(one[-1]["seconds"])
            begin = time.perf_counter()
            call()
            whole.ours.append(time.perf_counter() - begin)

        def memory(work: Callable[[], object]) -> int:
            workers.restart()
            workers.run(lambda: __import__("leads_pandas.dask"))
            workers.run(forget_peak)
            work()
            return int(max(workers.run(peak).values()))

        ours_peak = min(memory(call) for _ in range(times))
        bare = here / "bare"

        def bare_write() -> None:
            ddf.to_parquet(bare)
            shutil.rmtree(bare)

        bare_peak = min(memory(bare_write) for _ in range(times))

    section = report.Section("Dask: two workers")
    table = report.Table("what|ours|theirs|ratio or difference|target|")
    for what, race, most in (
        ("distinct IDs ÷ `unique()`", ids, 1.0),
        ("join ÷ `ddf.merge` with a pandas frame", join, 1.0),
        ("write ÷ `to_parquet` of the same lazy frame", write, 1.05),
        ("whole call ÷ pandas in one process", whole, 1.25),
    ):
        table.add(
            what,
            f"{min(race.ours):.2f} s",
            f"{min(race.theirs):.2f} s",
            f"{race.ratio:.2f}",
            f"≤ {most}",
            section.require(what, race.ratio, most),
        )
    what = "memory of the caller over what it had after its imports"
    table.add(
        what,
        f"{caller / MIB:.0f} MiB",
        f"{min(entry['extra'] for entry in one) / MIB:.0f} MiB (pandas)",
        f"{caller / MIB:.0f} MiB",
        "≤ 150 MiB",
        section.require(what, caller / MIB, 150),
    )
    what = "peak of a worker ÷ that of plain `to_parquet`"
    table.add(
        what,
        f"{ours_peak / MIB:.0f} MiB",
        f"{bare_peak / MIB:.0f} MiB",
        f"{ours_peak / bare_peak:.2f}",
        "≤ 1.2",
        section.require(what, ours_peak / bare_peak, 1.2),
    )
    section.tables.append(table)
    section.notes.append(
        f"{rows:,} rows of 7 columns in {PARTITIONS} files, {leads:,} leads, all in the store; "
        f"2 workers of one thread and 2 GB, best of {times} in turns; Dask {dask.__version__}, "
        f"Distributed {distributed.__version__}. Other work kept the machine at a load of "
        f"{os.getloadavg()[1]:.0f}."
    )
    return section


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--leads", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="keep the figures in results.md")
    parser.add_argument("--alone", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        print(json.dumps(pandas_alone(*options.alone)))
        return 0
    made = report.machine()
    section = measure(options.rows, options.leads, options.times)
    print(made, section.text(), sep="\n\n")
    if options.write:
        report.keep(ROOT / "benchmarks" / "results.md", [section], made)
    return int(bool(section.missed))


if __name__ == "__main__":
    sys.exit(main())
