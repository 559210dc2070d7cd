"""What the tests of Dask hold in their hands: partitions that change, fail or kill; a guard."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from distributed import WorkerPlugin
from pandas.testing import assert_frame_equal

import leads_pandas.dask  # noqa: F401 - registers ddf.leads
from tests.support.harness import lead_ids

if TYPE_CHECKING:
    from collections.abc import Callable

QUIET: dict[str, Any] = {"progress": False}

SPENDS = {"requests", "sqlite3", "leads_pandas.store", "leads_pandas.leadsapi", "leads_pandas.run"}
_OUTSIDE = {"socket.connect", "socket.getaddrinfo", "sqlite3.connect", "subprocess.Popen"}


def leads(count: int = 8) -> pd.DataFrame:
    """Leads with everything that a column of IDs may hold, in a frame of several dtypes."""
    ids = lead_ids(count)
    given = [*ids, None, ids[1], f" {ids[2]}", "", ids[3]]
    rows = len(given)
    return pd.DataFrame(
        {
            "lead_id": given,
            "n": range(rows),
            "kind": pd.Categorical((["a", "b", "c"] * rows)[:rows]),
            "when": pd.date_range("2026-01-01", periods=rows),
        },
        index=pd.Index(range(10, 10 + rows), name="row"),
    )


def same(out: Any, expected: pd.DataFrame) -> None:
    """As pandas has it, row for row, with the dtypes that Dask declares."""
    got = out.compute()
    assert_frame_equal(got, expected, check_freq=False)
    assert got.dtypes.to_dict() == out.dtypes.to_dict()


def taken(sword: str) -> bool:
    """Whether this process is the first to take something that lies there."""
    try:
        Path(sword).unlink()
    except FileNotFoundError:
        return False
    return True


def strike(part: pd.DataFrame, sword: str, pid: int | None = None) -> pd.DataFrame:
    """Kill the process that computes this partition, or another one, once a sword lies there."""
    if len(part) and taken(sword):
        os.kill(pid or os.getpid(), signal.SIGKILL)
    return part


def fail(part: pd.DataFrame, sword: str) -> pd.DataFrame:
    """Fail once."""
    if len(part) and taken(sword):
        raise ConnectionError("the source is gone for a moment")
    return part


def grow(part: pd.DataFrame, more: str) -> pd.DataFrame:
    """A source that changes: one more row from a moment on."""
    return pd.concat([part, part.iloc[:1].assign(lead_id="later")]) if Path(more).exists() else part


def mapped(ddf: Any, function: Callable[..., pd.DataFrame], *arguments: Any) -> Any:
    """Partitions to each of which something happens."""
    return ddf.map_partitions(function, *arguments, meta=ddf._meta, enforce_metadata=False)


def draw(sword: Path) -> bool:
    """Agree to a price, and let something happen from then on."""
    sword.touch()
    return True


class Guard(WorkerPlugin):  # type: ignore[misc] # untyped there
    """Makes tasks fail that connect, look a host up, open a database or start a process."""

    def setup(self, worker: Any) -> None:
        sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    # Tasks have threads of their own; the worker itself talks to the scheduler from another.
    if event in _OUTSIDE and "Dask-Default-Threads" in threading.current_thread().name:
        raise PermissionError(f"a task asked for {event}")


def loaded() -> set[str]:
    """What of a worker's modules could spend or read anything."""
    return SPENDS.intersection(sys.modules)
