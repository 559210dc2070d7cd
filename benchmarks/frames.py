"""Frames of a size that hurts, each piece of work in a process of its own.

``python -m benchmarks.frames WORK '{"url": …}'`` does one and prints seconds and memory as JSON:

- ``fill``: read so many leads, so that the store knows them;
- ``enrich``: ``enrich(path)`` of a million rows whose leads are all known;
- ``merge``: the same with pandas: merge with a frame of the answers, and ``to_parquet``;
- ``stream``: ``enrich(path)`` of so many new leads, one row each;
- ``store``: what the store alone takes for so many leads, step by step.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.clients import lead_ids

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

COMMIT = 100  # leads in one commit; a run commits whatever has come in, down to one


def wide(rows: int, leads: int) -> pd.DataFrame:
    """Twelve columns, the leads in random order."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(7)
    index = pd.Series(np.arange(rows)).astype("str")
    return pd.DataFrame(
        {
            "lead_id": pd.Series(lead_ids(leads)).take(rng.integers(0, leads, rows)).array,
            "name": "Firm " + index,
            "category": rng.choice(["Lawyers", "Bakeries", "Dentists"], rows),
            "street": index + " High Street",
            "city": rng.choice(["Berlin", "London", "Lyon", "Leeds"], rows),
            "postcode": rng.integers(10_000, 99_999, rows),
            "phone": "+49 30 " + index,
            "website": "https://www.firm" + index + ".example",
            "rating": rng.random(rows) * 5,
            "reviews": rng.integers(0, 5_000, rows),
            "latitude": rng.random(rows) * 90,
            "longitude": rng.random(rows) * 90,
        }
    )


def answers(leads: int) -> pd.DataFrame:
    """What the store holds, as a frame to merge with."""
    import pandas as pd

    ids = pd.Series(lead_ids(leads))
    return pd.DataFrame(
        {
            "lead_id": ids,
            "email": "info@" + ids + ".example",
            "confidence": 0.94,
            "source": "website",
            "enriched_at": pd.Timestamp("2026-05-05T11:23:00", tz="UTC").as_unit("us"),
            "enrichment_status": pd.Categorical(["found"] * leads),
        }
    )


def resident(what: str) -> int:
    """A figure of this process's memory in bytes: ``VmRSS`` now, ``VmHWM`` at its peak."""
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith(what):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"this system does not tell {what}")


def measured(work: Callable[[], object]) -> dict[str, float]:
    """Seconds of some work, and bytes that it took at its peak over what was there before."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", "ascii")  # the peak counts from here
    before = resident("VmRSS")
    begin = time.perf_counter()
    kept = work()
    seconds = time.perf_counter() - begin
    extra = resident("VmHWM") - before
    del kept
    return {"seconds": seconds, "extra": extra}


def store_steps(leads: int, folder: str) -> dict[str, float]:
    """Seconds of each of the store's steps for so many leads, and bytes of its file."""
    from leads_pandas.models import Email, LeadResult
    from leads_pandas.store import Store

    ids = lead_ids(leads)
    seconds: dict[str, float] = {}

    def timed(name: str, work: Callable[[], object]) -> None:
        begin = time.perf_counter()
        work()
        seconds[name] = time.perf_counter() - begin

    def save() -> None:
        for first in range(0, leads, COMMIT):
            store.results.save(
                [
                    (one, LeadResult("found", (Email(f"info@{one}.example", 0.94, "web"),), 1))
                    for one in ids[first : first + COMMIT]
                ]
            )

    with Store(Path(folder), "benchmark", "benchmark") as store:
        timed(
            "run",
            lambda: store.journal.add_run("run", ids, partial=False, preview=None),
        )
        timed(
            "claim",
            lambda: store.journal.claim("run", "op", ids, to_enrich=leads, estimate=leads),
        )
        seconds["claimed bytes"] = sum(
            one.stat().st_size for one in store.path.parent.glob("store.*")
        )
        timed("save", save)
        timed("done", lambda: store.journal.move("op", ["planned"], "done"))
        timed("known", lambda: store.results.known(ids))
        timed("results", lambda: store.results.answers(ids))
        path = store.path
    return seconds | {"bytes": path.stat().st_size, "peak": resident("VmHWM")}


def do(work: str, task: dict[str, Any]) -> dict[str, float]:
    """One piece of work."""
    if work == "store":
        return store_steps(task["leads"], task["folder"])

    import pandas as pd
    import pyarrow.parquet  # noqa: F401 - imported before time is taken

    path = Path(task["folder"], "out.parquet")
    if work == "merge":
        right, frame = answers(task["leads"]), wide(task["rows"], task["leads"])
        size = float(frame.memory_usage(deep=True).sum())

        def merged() -> pd.DataFrame:
            out = frame.merge(right, on="lead_id", how="left")
            out.to_parquet(path)
            return out

        return measured(merged) | {"frame": size}

    import leads_pandas
    from leads_pandas import accessor, run  # noqa: F401 - likewise
    from leads_pandas.frames import parquet  # noqa: F401 - likewise

    ids = lead_ids(task["leads"])
    frame = (
        wide(task["rows"], task["leads"]) if work == "enrich" else pd.DataFrame({"lead_id": ids})
    )
    size = float(frame.memory_usage(deep=True).sum())
    # The key and the port name the store.
    with leads_pandas.LeadsClient(
        "ll_" + "0" * 64, task["url"], requests_per_minute=0, account="benchmark"
    ) as client:
        target = None if work == "fill" else path
        return measured(
            lambda: leads_pandas.enrich(frame, target, client=client, progress=False)
        ) | {"frame": size}


if __name__ == "__main__":
    print(json.dumps(do(sys.argv[1], json.loads(sys.argv[2]))))
