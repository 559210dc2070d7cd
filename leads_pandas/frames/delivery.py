"""A frame from its caller to its caller: found fit before anything is requested, delivered after.

`prepare` tries beforehand whatever could fail at the end; `deliver` joins the answers, writes the
file and puts the receipt on both. No request, no store, no run.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from leads_pandas.display import plural
from leads_pandas.errors import ColumnConflictError
from leads_pandas.frames import parquet
from leads_pandas.frames.columns import SCHEMA, answers, gather
from leads_pandas.frames.ids import distinct, lead_ids, shown
from leads_pandas.frames.join import (
    ColumnPlan,
    check_output,
    join,
    plan_columns,
    spread,
)
from leads_pandas.frames.receipt import (
    METADATA_KEY,
    origin,
    receipt_fields,
    receipt_of_call,
    with_receipt,
)
from leads_pandas.frames.target import check_target, first_line, held_by, write

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Mapping

    from leads_pandas.frames.columns import Codes
    from leads_pandas.frames.ids import Distinct, LeadIds
    from leads_pandas.frames.target import Target

_SHOWN: Final = 5  # columns or leads that a message names


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
    plan: ColumnPlan
    target: Target | None
    converted: pa.Table | None
    keeps: bool = False  # a file that knows more than the result is not replaced

    @property
    def asked(self) -> list[str]:
        """The unique lead IDs whose answers `deliver` wants, in this order."""
        return self.plan.asked(self.ids).unique

    @property
    def path(self) -> str | None:
        """The file that `deliver` writes."""
        return None if self.target is None else self.target.path

    @property
    def wanted(self) -> dict[str, Any]:
        """What `leads_pandas.frames.columns.answers` must know of the caller's wishes."""
        return {"emails": self.plan.emails, "min_confidence": self.plan.min_confidence}


def prepare(frame: pd.DataFrame, on: Any, output: Output) -> Prepared:
    """Find everything that can be found wrong beforehand, by doing it on one row."""
    ids = lead_ids(frame, on)
    plan = plan_columns(frame, ids, output)
    attempt(frame, plan)
    if output.path is None:
        return Prepared(frame, ids, plan, None, None)
    target = check_target(output.path)
    return Prepared(frame, ids, plan, target, parquet.convert(frame, plan))


def attempt(frame: pd.DataFrame, plan: ColumnPlan) -> None:
    """Join an answer to one row."""
    emails = [("info@example.com", 0.5, "website")] * 2
    table = answers([("trial", "found", emails, 0)], emails=plan.emails)
    bare = ColumnPlan(plan.emails, 0.0, plan.columns, plan.stays)
    try:
        row = frame.iloc[:1]
        join(row, np.zeros(len(row), dtype=np.intp), table, bare)
    except Exception as error:  # noqa: BLE001 - pandas' and pyarrow's kinds are many; all mean no
        raise ValueError(
            f"pandas cannot add columns to this frame: {first_line(error)}. Nothing was requested; "
            "check its column labels, and convert columns of unusual types, for example with "
            "astype(str)"
        ) from None


def prepare_listed(lead_ids: list[str], output: Output) -> Prepared:
    """Prepare a frame that has nothing but these IDs, in a column ``lead_id``."""
    ready = prepare(pd.DataFrame({"lead_id": lead_ids}), "lead_id", output)
    ready.keeps = True
    _refuse_loss(ready, "nothing was requested")
    return ready


def _refuse_loss(ready: Prepared, meaning: str) -> None:
    if ready.keeps and ready.target is not None and (fault := _more(ready.target, ready)):
        raise ColumnConflictError(
            f"{ready.path} {fault}",
            f"it stays as it is, and {meaning}",
            "run the line that made it again, which goes on and keeps them",
            "name another file",
        )


def _more(target: Target, ready: Prepared) -> str:
    """What a run's own results would lose of the file that they replace; empty: nothing."""
    held = held_by(target, "lead_id")
    if held is None:
        return "is no Parquet file and would be replaced"
    lost = [one for one in held[0] if one not in ("lead_id", *ready.plan.columns.values())]
    if lost:
        return f"has columns that the run's results alone do not: {_some(lost)}"
    known = set(ready.ids.unique)
    leads = [one for one in held[1] if one not in known]
    return f"has {plural(len(leads), 'lead')} that the run has not: {_some(leads)}" * bool(leads)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(shown, names[:_SHOWN])) + more


def deliver(
    ready: Prepared, table: pa.Table, facts: Mapping[str, Any], bought: Collection[str] = ()
) -> pd.DataFrame:
    """Join answers to the frame, write the file, and put the receipt on both.

    ``table`` has the answers of ``ready.asked``, in that order, made as ``ready.wanted``; ``facts``
    is what the receipt says of the run; ``bought`` are the leads that this very call paid for.
    """
    joined = join(ready.frame, ready.plan.asked(ready.ids).codes, table, ready.plan)
    codes = ready.ids.codes if joined.rows is None else ready.ids.codes[joined.rows]
    receipt = {
        **receipt_of_call(facts, ready.ids, codes, joined.columns, bought),
        **receipt_fields(ready.ids, ready.plan),
        **_origin(ready, codes, joined.columns, here=facts.get("here") is True),
    }
    out = with_receipt(joined.frame, receipt)
    if ready.target is not None and ready.converted is not None:
        whole = ready.converted if joined.rows is None else parquet.again(joined.frame)
        whole = parquet.complete(whole, joined.columns, receipt, out.attrs)
        # It may have come, or changed, while the run was waited for.
        kept = "every result is kept in the store"
        write(whole, ready.target, before=lambda: _refuse_loss(ready, kept))
    return out


def _origin(ready: Prepared, codes: Codes, columns: pa.Table, *, here: bool) -> dict[str, Any]:
    """Who said what the result holds; ``here``: what was asked for was answered by this machine."""
    ids, plan = ready.ids, ready.plan
    ours, found = np.zeros((2, len(ids.unique)), dtype=np.bool_)
    asked = ids.codes
    if plan.keep_rows is not None:
        ours[ids.codes[plan.here]] = True
        asked = asked[~plan.keep_rows]
    ours[asked[asked >= 0]] = here
    there = columns["email"].is_valid().to_numpy() & (codes >= 0)
    found[codes[there]] = True
    return origin(ids.unique, ours, found, whole=here and plan.keep_rows is None)


class PreparedIds(NamedTuple):
    """Lead IDs that belong to no frame, found fit before anything is requested."""

    given: Distinct
    asked: list[str]  # this and the others as in `Prepared`
    wanted: dict[str, Any]
    columns: dict[str, str]
    path: None = None


def prepare_ids(ids: Any, output: Output) -> PreparedIds:
    """Find everything that can be found wrong with lead IDs beforehand."""
    columns, given = check_output(output), distinct(ids)
    wanted = {"emails": output.emails, "min_confidence": float(output.min_confidence)}
    return PreparedIds(given, given.unique, wanted, columns)


def deliver_ids(
    ready: PreparedIds, table: pa.Table, facts: Mapping[str, Any], bought: Collection[str] = ()
) -> pa.Table:
    """Answers by value as given, the receipt in the schema's metadata; see `deliver`."""
    given = ready.given
    out, codes = by_value(given, table)
    receipt = {
        **receipt_of_call(facts, given, codes, out, bought),
        "on": {"name": "lead_id", "kind": "column", "position": 0, "type": "str"},
        "columns": ready.columns,
        **ready.wanted,
    }
    named = out.rename_columns(["lead_id", *ready.columns.values()])
    return named.replace_schema_metadata({METADATA_KEY: json.dumps(receipt).encode()})


def empty(ready: Prepared | PreparedIds) -> Any:
    """The result where there are no IDs to ask for: no key, no store, no request."""
    made: Any = deliver_ids if isinstance(ready, PreparedIds) else deliver
    return made(ready, answers([]), {})


def by_value(given: Distinct, table: pa.Table) -> tuple[pa.Table, Codes]:
    """Answers by distinct value as given, for engines that join by plain equality.

    ``table`` has the answers of ``given.unique``, in that order; per row comes its lead's position.
    """
    rows, picks = spread(given.codes, table)
    columns = gather(table, picks).cast(SCHEMA)
    codes = given.codes
    values = given.as_given
    if rows is not None:
        codes, values = codes[rows], values.take(pa.array(rows))
    return columns.add_column(0, "lead_id", values), codes
