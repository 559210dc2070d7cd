"""What looking at a million enriched leads costs, beside reading them from Parquet.

The first time in a new process is what a person waits for. Repeated in one process, both reuse
memory that is already there; reading gains most from that.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import report
from leads_pandas.models import STATUSES

ROUNDS = 5
WORK = ("read", "summary", "features")
SECONDS = 15.0
HIT_RATE = 27 / 35
SUFFIXES = [".de", ".com", ".co.uk", ".fr", ".github.io"]
FREE = ["gmail.com", "web.de", "yahoo.co.uk", "orange.fr"]

ONE_PROCESS = """
import sys, time
import pandas as pd
import pyarrow.parquet
from leads_pandas import scoring

what, path, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
if what == "read":
    work = lambda: pd.read_parquet(path)
else:
    frame = pd.read_parquet(path)
    getattr(scoring, what)(frame.head(10))  # the lists are read once in a process
    work = lambda: getattr(scoring, what)(frame)
for _ in range(rounds):
    begin = time.perf_counter()
    result = work()
    print(time.perf_counter() - begin)
"""


def enriched(rows: int) -> pd.DataFrame:
    """Made-up leads: twelve columns and the five that enriching adds, one domain for 1.4 leads."""
    rng = np.random.default_rng(7)
    number = rng.integers(0, max(rows * 7 // 10, 1), rows)
    suffix = pd.Series(rng.choice(SUFFIXES, rows))
    domain = pd.Series(number).astype(str).radd("firm").str.cat(suffix)
    found = pd.Series(rng.random(rows) < HIT_RATE)
    at = domain.where(rng.random(rows) < 0.8, pd.Series(rng.choice(FREE, rows)))
    local = pd.Series(rng.choice(["info", "sales", "j.doe", "kontakt", "mary"], rows))
    index = pd.Series(np.arange(rows)).astype(str)
    return pd.DataFrame(
        {
            "lead_id": "cm9lead" + index.str.zfill(9),
            "name": "Firm " + index,
            "category": rng.choice(["Lawyers", "Bakeries", "Dentists"], rows),
            "street": index + " High Street",
            "city": rng.choice(["Berlin", "London", "Lyon", "Leeds"], rows),
            "postcode": pd.Series(rng.integers(10_000, 99_999, rows)).astype(str),
            "phone": "+49 30 " + index,
            "website": "https://www." + domain + "/contact",
            "rating": rng.random(rows) * 5,
            "reviews": rng.integers(0, 5_000, rows),
            "latitude": rng.random(rows) * 90,
            "longitude": rng.random(rows) * 90,
            "email": (local + "@" + at).where(found),
            "confidence": pd.Series(rng.random(rows)).where(found),
            "source": pd.Series(rng.choice(["website", "registry"], rows)).where(found),
            "enriched_at": pd.Series(pd.Timestamp("2026-05-05", tz="UTC"), range(rows)),
            "enrichment_status": pd.Categorical(
                np.where(found, "found", "not_found"), categories=list(STATUSES)
            ),
        }
    )


def seconds(what: str, path: Path) -> tuple[float, float]:
    """Seconds that the work takes in a new process: the first time, and the best of all times."""
    command = [sys.executable, "-c", ONE_PROCESS, what, str(path), str(ROUNDS)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    taken = [float(line) for line in output.split()]
    return taken[0], min(taken)


def looking(*, quick: bool) -> report.Section:
    """What `summary` and `features` cost, beside reading the frame they look at."""
    rows = 100_000 if quick else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "enriched.parquet")
        frame = enriched(rows)
        frame.to_parquet(path)
        size = path.stat().st_size / 1e6
        # In turns, so that a busy moment of the machine falls on all of them.
        turns = [{what: seconds(what, path) for what in WORK} for _ in range(ROUNDS)]
    costs = {what: [min(turn[what][kind] for turn in turns) for kind in (0, 1)] for what in WORK}
    section = report.Section("Looking and scoring")
    table = report.Table("work|first time, s|of reading|target|repeated, s|of reading")
    read = costs["read"]
    for what, times in costs.items():
        of_reading = [time / base for time, base in zip(times, read, strict=True)]
        held = "" if what == "read" or quick else section.require(what, times[0], SECONDS)
        cells = [(f"{time:.3f}", f"{of:.2f}") for time, of in zip(times, of_reading, strict=True)]
        table.add(what, *cells[0], held, *cells[1])
    section.tables.append(table)
    section.notes.append(
        f"{rows:,} rows of {frame.shape[1]} columns, {size:.0f} MB of Parquet, one domain for 1.4 "
        f"leads; best of {ROUNDS} processes each, in turns. The target is {SECONDS:g} seconds, "
        "each for the first time in a new process."
    )
    return section
