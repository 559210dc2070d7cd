"""Dask's own passes over a frame, computed where Dask computes, and how far each of them is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import dask
from dask.callbacks import Callback
from dask.utils import parse_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Moved = Callable[[int, int], None]

_LARGE: Final = "distributed.admin.large-graph-warning-threshold"
_ANSWERS: Final = 64 * 2**20  # bytes of a graph whose answers are as large as they may be


def computed(tasks: Sequence[Any], wanted: Any, moved: Moved) -> Any:
    """What a delayed object comes to."""
    client = getattr(dask.base.get_scheduler(), "__self__", None)
    if client is None:  # threads, processes, or this thread
        with _counting(moved):
            return dask.compute(wanted)[0]
    from distributed import as_completed

    large = max(parse_bytes(dask.config.get(_LARGE)), _ANSWERS)
    with dask.config.set({_LARGE: large}):  # the advice of Dask's warning is of no use here
        *parts, last = client.compute([*tasks, wanted])
    total, coming = len(parts), as_completed(parts, loop=client.loop)
    del parts  # or workers would keep what was already merged
    for done, part in enumerate(coming, start=1):
        if part.status == "error":
            break
        moved(done, total)
    return last.result()


def _counting(moved: Moved) -> Callback:
    """Counts the tasks of a scheduler in this process."""

    def counted(*event: Any) -> None:
        state = event[3]
        done = len(state["finished"])
        moved(done, done + sum(len(state[one]) for one in ("ready", "waiting", "running")))

    return Callback(posttask=counted)
