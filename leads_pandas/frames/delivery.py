"""A frame from its caller to its caller: found fit before anything is requested, delivered after.

`prepare` tries beforehand whatever could fail at the end; `deliver` joins the answers, writes the
file and puts the receipt on both. No request, no store, no run.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import pandas as pd

from leads_pandas.frames import join, parquet
from leads_pandas.frames.ids import LeadIds, lead_ids
from leads_pandas.models import STATUSES, LeadResult

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Mapping


@dataclass(slots=True)
class Output:
    """What the caller wants of the results: see `leads_pandas.enrich` for each."""

    path: str | os.PathLike[str] | None = None
    emails: str = "best"
    min_confidence: float = 0.0
    rename: Mapping[str, str] | None = None
    on_conflict: str = "raise"


@dataclass(slots=True)
class Prepared:
    """A frame whose IDs, columns and target have been found fit, before anything is requested."""

    frame: pd.DataFrame
    ids: LeadIds
    plan: join.ColumnPlan
    target: parquet.Target | None

    @property
    def asked(self) -> list[str]:
        """The unique lead IDs whose answers `deliver` wants, in this order."""
        return self.plan.asked(self.ids).unique


def prepare(frame: pd.DataFrame, on: Any, output: Output) -> Prepared:
    """Find everything that can be found wrong beforehand.

    Raises:
        LeadIdError: the IDs cannot be used.
        ColumnConflictError: a new column's name is taken.
        ValueError: an option is wrong, or Parquet cannot hold the frame.
        OSError: the target cannot be written.
    """
    ids = lead_ids(frame, on)
    plan = join.plan_columns(
        frame,
        ids,
        emails=output.emails,
        min_confidence=output.min_confidence,
        rename=output.rename,
        on_conflict=output.on_conflict,
    )
    target = None
    if output.path is not None:
        target = parquet.check_target(output.path)
        parquet.check_frame(frame, plan.columns, plan.stays)
    return Prepared(frame, ids, plan, target)


def deliver(
    ready: Prepared, results: Iterable[LeadResult], facts: Mapping[str, Any]
) -> pd.DataFrame:
    """Join results to the frame, write the file, and put the receipt on both.

    Args:
        ready: the prepared frame.
        results: one per ``ready.asked``, in that order.
        facts: what the receipt says of the run; empty where there was none.

    Raises:
        OSError: the file could not be written.
    """
    counts: dict[str, int] = dict.fromkeys(STATUSES, 0)

    def counted() -> Iterator[LeadResult]:
        for one in results:
            counts[one.status] += 1
            yield one

    out = join.join(ready.frame, ready.plan.asked(ready.ids), ready.plan, counted())
    if ready.plan.keep_rows is not None:
        counts = _count(out, ready)
    receipt = {
        "run_id": None,
        "job_ids": [],
        "preview": None,
        "credits_reserved": 0,
        "host": None,
        **facts,
        "counts": counts,
        **join.receipt_fields(ready.ids, ready.plan),
        "version": _version(),
    }
    out = join.with_receipt(out, receipt)
    if ready.target is not None:
        parquet.write(out, ready.target, receipt, ready.plan.columns)
    return out


def _version() -> str | None:
    try:
        return version("leads_pandas")
    except PackageNotFoundError:  # a zipapp, a frozen program, a copy on the path
        return None


def _count(out: pd.DataFrame, ready: Prepared) -> dict[str, int]:
    """Unique leads per status where some rows kept what they had."""
    ids = lead_ids(out, ready.ids.name)
    status = pd.Series(out[ready.plan.columns["enrichment_status"]].to_numpy(), name="status")
    firsts = status.groupby(ids.codes).first()
    found = firsts[firsts.index >= 0].value_counts()
    return {one: int(found.get(one, 0)) for one in STATUSES}


def empty(ready: Prepared) -> pd.DataFrame:
    """The result of a frame without IDs to ask for: no key, no store, no request."""
    return deliver(ready, [], {})
