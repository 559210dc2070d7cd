"""The clients that are compared, each run in a process of its own.

``python -m benchmarks.clients NAME '{"url": …}'`` runs one and prints what it saw as one line of
JSON. Time is counted from the first call, with everything imported, until the results are at hand
(ours: in a Parquet file as well). Beside ours there are

- ``hand``: the loop of the vendor's page in Python: preview, start, poll every 3 seconds until
  COMPLETED, then read one lead after another, sleeping as long as a 429 says;
- ``pool``: the same with the reads on threads and nothing to pace them but the 429s;
- ``limiter``: the same threads behind `pyrate_limiter`, polls included;
- ``bare``: one `requests.Session` on 32 threads that reads leads and keeps nothing.
"""

from __future__ import annotations

import functools
import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import requests

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = 100  # requests per window, as documented
POLL = 3.0  # seconds between the polls of the vendor's page
THREADS = 8
BARE_THREADS = 32


def lead_ids(count: int) -> list[str]:
    """So many lead IDs, as the vendor writes them."""
    return [f"cm9lead{number:06d}" for number in range(count)]


class Peer:
    """What a careful user writes by hand: the endpoints, and patience with 429.

    Args:
        task: ``url``, ``key``, ``leads`` and ``window`` as `main` was given them.
        gate: called before every request.
    """

    def __init__(self, task: dict[str, Any], gate: Callable[[], object] | None = None) -> None:
        self._url = task["url"] + "/api/v1/enrichment"
        self._gate = gate
        self._window: float = task["window"]
        self._lock = threading.Lock()
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Bearer {task['key']}"
        adapter = requests.adapters.HTTPAdapter(pool_maxsize=BARE_THREADS)
        self._session.mount(task["url"], adapter)
        self._began = time.perf_counter()
        self.ids = lead_ids(task["leads"])
        self.trace: list[float] = []

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """One request, sent again after each 429; the data of its answer."""
        while True:
            if self._gate is not None:
                self._gate()
            response = self._session.request(method, self._url + path, json=body, timeout=30)
            if response.status_code != requests.codes.too_many_requests:
                response.raise_for_status()
                return response.json()["data"]
            time.sleep(float(response.headers["Retry-After"]))

    def buy(self) -> None:
        """Preview, start, and poll until the job is done."""
        body = {"leadIds": self.ids}
        self.call("POST", "/preview", body)
        job = self.call("POST", "/start", body)["jobId"]
        # The page's loop, at the benchmark's scale of time.
        pause = POLL * self._window / 60.0
        while self.call("GET", f"/status/{job}")["status"] != "COMPLETED":
            time.sleep(pause)

    def read(self, lead_id: str) -> Any:
        """One lead's answer."""
        data = self.call("GET", f"/lead/{lead_id}")
        with self._lock:
            self.trace.append(round(time.perf_counter() - self._began, 4))
        return data

    def read_all(self, threads: int) -> None:
        """Every lead's answer, in order or on threads."""
        if threads == 1:
            found = [self.read(one) for one in self.ids]
        else:
            with ThreadPoolExecutor(threads) as pool:
                found = list(pool.map(self.read, self.ids))
        if any(one["enrichedAt"] is None for one in found):
            raise RuntimeError("a lead was read before it was enriched")


def limiter_gate(window: float) -> Callable[[], object]:
    """The documented limit by pyrate-limiter, in its default (in-memory) form."""
    from pyrate_limiter import Limiter, Rate

    limiter = Limiter(Rate(LIMIT, int(window * 1000)))
    return functools.partial(limiter.try_acquire, "leadsapi")


def by_hand(task: dict[str, Any], threads: int, gate: Callable[[], object] | None) -> Any:
    """Buy and read everything, on so many threads."""
    peer = Peer(task, gate)
    begin = time.perf_counter()
    peer.buy()
    peer.read_all(threads)
    return {"seconds": time.perf_counter() - begin, "trace": peer.trace}


def bare(task: dict[str, Any]) -> Any:
    """Read leads that are enriched already, as quickly as a session does, and keep nothing."""
    peer = Peer(task)
    begin = time.perf_counter()
    peer.read_all(BARE_THREADS)
    return {"seconds": time.perf_counter() - begin}


def ours(task: dict[str, Any]) -> Any:
    """``df.leads.enrich("enriched.parquet")``; the store is under ``LEADS_PANDAS_HOME``."""
    import pandas as pd

    import leads_pandas
    import leads_pandas.leadsapi.client
    from leads_pandas import run as runs
    from leads_pandas.frames import parquet  # noqa: F401 - imported before time is taken
    from leads_pandas.pace.pacer import Pacer
    from leads_pandas.progress import Display

    trace: list[float] = []
    left: list[tuple[float, float]] = []

    class Recorder(Display):
        """Keeps what the bar would show: leads read, and the seconds left."""

        def __call__(self, status: Any, seconds_left: float | None, why: str = "") -> None:
            now = round(time.perf_counter() - begin, 4)
            trace.extend([now] * (status.read - len(trace)))
            if seconds_left is not None:
                left.append((now, round(seconds_left, 3)))
            super().__call__(status, seconds_left, why)

    ids = lead_ids(task["leads"])
    df = pd.DataFrame({"lead_id": ids, "name": [f"Firm {one}" for one in ids]})
    client = leads_pandas.LeadsClient(
        task["key"], task["url"], requests_per_minute=task.get("limit", LIMIT)
    )
    with (
        # The client knows no other window than the vendor's.
        patch(
            "leads_pandas.leadsapi.client.Pacer", functools.partial(Pacer, window=task["window"])
        ),
        patch.object(runs, "Display", Recorder),
    ):
        begin = time.perf_counter()
        out = leads_pandas.enrich(
            df, Path(task["folder"], "enriched.parquet"), client=client, progress=False
        )
        seconds = time.perf_counter() - begin
    missing = int(out["enrichment_status"].isin(["found", "not_found"]).ne(True).sum())
    if missing:
        raise RuntimeError(f"{missing} leads were not enriched")
    preview = out.attrs["leads"]["preview"]
    return {
        "seconds": seconds,
        "trace": trace,
        "estimated": None if preview is None else preview["estimated_seconds"],
        "left": left[:: max(len(left) // 200, 1)],
    }


def run(name: str, task: dict[str, Any]) -> Any:
    """Run one client; None where it is not installed."""
    if name == "ours":
        return ours(task)
    if name == "bare":
        return bare(task)
    if name == "limiter" and find_spec("pyrate_limiter") is None:
        return None
    gate = limiter_gate(task["window"]) if name == "limiter" else None
    return by_hand(task, 1 if name == "hand" else THREADS, gate)


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], json.loads(sys.argv[2]))))
