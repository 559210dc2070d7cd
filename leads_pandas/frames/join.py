"""Results back into a frame, by the position of their leads.

What lives here: pure functions over frames. They plan the new columns, join the answers and write
the receipt. No file, no request; the frames that come in are never changed.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from leads_pandas.errors import ColumnConflictError, LeadsWarning, Way
from leads_pandas.frames.columns import (
    COLUMNS,
    NotOurs,
    cells_of,
    encodable,
    gather,
    is_number,
    read_old,
    to_pandas,
)
from leads_pandas.frames.ids import ID_NAMES, is_padded, labelled, shown
from leads_pandas.frames.receipt import ours, receipt_of, said_here
from leads_pandas.tracebacks import warn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from leads_pandas.frames.columns import Codes, Mask
    from leads_pandas.frames.delivery import Output
    from leads_pandas.frames.ids import LeadIds

_SETTLED: Final = ("found", "not_found")


class Spread(NamedTuple):
    """A frame's rows, where an earlier call made several of one, a row per email."""

    own: Codes  # per row, which of the caller's own rows it was made of
    emails: pd.Series[Any]  # what it holds
    goes_on: Mask  # whether a later row was made of the same one

    def again(self, rows: Codes, emails: Any) -> Codes:
        """Per row of a new result, made of ``rows``, the old row that held the same email.

        A new email stays with the last row of its own.
        """
        count = len(self.own)
        texts = pd.concat([self.emails, emails.to_pandas()])
        both = pd.DataFrame({"own": np.append(self.own, self.own[rows])})
        both["email"] = pd.factorize(texts)[0]
        both["nth"] = np.append(_nth(both[:count]), _nth(both[count:]))
        keys = pd.MultiIndex.from_frame(both)
        found = keys[:count].get_indexer(keys[count:])
        taken: Codes = np.where(found < 0, rows, found)
        return taken


def _nth(rows: pd.DataFrame) -> pd.Series[int]:
    return rows.groupby(list(rows), sort=False).cumcount()


@dataclass(frozen=True, slots=True, eq=False)
class ColumnPlan:
    """How results become columns of one frame, decided before anything is requested."""

    emails: Literal["best", "all"]  # `best` or `all`
    min_confidence: float  # emails below it are left out, 0-1
    columns: dict[str, str]  # the documented names and what they are called in this frame, in order
    stays: Mask  # per column of the frame, whether it stays
    # Per row: whether its values are kept and its lead is not asked for; None where no row is.
    keep_rows: Mask | None = None
    before: Spread | None = None  # where the frame has a row per email already; None: nowhere
    kept: pa.Table | None = None  # what the rows of `keep_rows` hold in the five columns
    here: Mask | None = None  # per row, whether what is kept of it was found on this machine

    def asked(self, ids: LeadIds) -> LeadIds:
        """The IDs that must be asked for: all but those of kept rows."""
        return ids if self.keep_rows is None else ids.where(~self.keep_rows)


def check_output(output: Output) -> dict[str, str]:
    """Check the options that need no frame, and return what the new columns are called."""
    if output.emails not in ("best", "all"):
        raise ValueError(f"emails must be 'best' or 'all', not {shown(output.emails)}")
    if output.on_conflict not in ("raise", "replace", "fill"):
        raise ValueError(
            f"on_conflict must be 'raise', 'replace' or 'fill', not {shown(output.on_conflict)}"
        )
    least = output.min_confidence
    if not is_number(least) or not 0 <= least <= 1:
        raise ValueError(f"min_confidence must be a number from 0 to 1, not {shown(least)}")
    return _new_names(output.rename)


def _new_names(rename: Mapping[str, str] | None) -> dict[str, str]:
    names = {name: name for name in COLUMNS}
    try:
        given = dict(rename or {})
    except (TypeError, ValueError):
        raise ValueError(
            "rename must be a mapping such as {'email': 'work_email'}, "
            f"not {type(rename).__name__}"
        ) from None
    if unknown := [key for key in given if key not in names]:
        raise ValueError(f"rename knows {', '.join(COLUMNS)}, not {', '.join(map(shown, unknown))}")
    for key, name in given.items():
        if not isinstance(name, str) or not name.strip() or not encodable(name):
            raise ValueError(f"rename gives {key} no usable name: {shown(name)}")
        if name in ID_NAMES:
            raise ValueError(
                f"{key} cannot be called {name!r}: the next call would take it for the lead IDs"
            )
        names[key] = str.__str__(name)
    if len(set(names.values())) < len(names):
        raise ValueError(f"two new columns have one name: {', '.join(names.values())}")
    return names


def plan_columns(frame: pd.DataFrame, ids: LeadIds, output: Output) -> ColumnPlan:
    """Decide what the new columns are called, which old ones go, and which rows are kept.

    The five new columns come last, also where they replace or fill columns of these names. Under
    MultiIndex columns, each has its name on the first level and ``""`` on the others, as in pandas.
    """
    names = check_output(output)
    emails, on_conflict = output.emails, output.on_conflict
    if emails == "all" and not frame.flags.allows_duplicate_labels:
        raise ValueError(
            "emails='all' repeats index labels, which this frame forbids "
            "(flags.allows_duplicate_labels); nothing was requested"
        )
    if ids.name in names.values():
        raise ColumnConflictError(
            f"the new column {shown(ids.name)} has the name of the {ids.kind} that holds the lead "
            "IDs",
            "nothing was requested",
            _rename(names, ids.name),
        )
    receipt = receipt_of(frame)
    at = {name: _positions(frame, name, names) for name in names.values()}
    written = ours(frame, ids, receipt)
    taken = [name for name, found in at.items() if not written.issuperset(found)]
    if taken and on_conflict == "raise":
        raise ColumnConflictError(
            f"the leads already have {', '.join(map(shown, taken))}",
            "nothing was requested",
            Way("fill"),
            Way("replace"),
            _rename(names, *taken),
        )
    stays = np.ones(len(frame.columns), dtype=np.bool_)
    stays[[one for found in at.values() for one in found]] = False
    _warn_of_twins(frame, stays, names)
    shape: Literal["best", "all"] = "all" if emails == "all" else "best"
    base = ColumnPlan(shape, float(output.min_confidence), names, stays)
    if on_conflict == "fill":
        return _fill(frame, base, at, *_said_here(frame, ids, receipt, written))
    if emails == "all":
        old = {key: at[name] for key, name in names.items()}
        wrote = receipt.get("emails") == "all" and written.issuperset(old["email"])
        return replace(base, before=_spread_before(frame, ids, old, wrote=wrote))
    return base


def _warn_of_twins(frame: pd.DataFrame, stays: Mask, names: Mapping[str, str]) -> None:
    """Warn of columns that DuckDB, Spark and Hive cannot tell from the new ones."""
    folded = {name.casefold(): name for name in names.values()}
    for position in np.flatnonzero(stays).tolist():
        label = frame.columns[position]
        twin = folded.get(label.casefold()) if isinstance(label, str) else None
        if twin is not None:
            warn(
                f"the column {shown(label)} and the new {shown(twin)} differ in case "
                "alone, and DuckDB, Spark and Hive cannot tell them apart: "
                f"{_rename(names, twin)}",
                LeadsWarning,
            )


def _rename(names: Mapping[str, str], *taken: str) -> Way:
    return Way("rename", {"column": next(key for key, name in names.items() if name in taken)})


def _positions(frame: pd.DataFrame, name: str, names: Mapping[str, str]) -> list[int]:
    found = labelled(frame, name)
    labels = [frame.columns[i] for i in found]
    if isinstance(frame.columns, pd.MultiIndex) and not all(map(is_padded, labels)):
        raise ColumnConflictError(
            f"the leads have a group of columns called {shown(name)}",
            "nothing was requested",
            _rename(names, name),
        )
    return found


def _spread_before(
    frame: pd.DataFrame, ids: LeadIds, at: Mapping[str, list[int]], *, wrote: bool
) -> Spread | None:
    """How an earlier ``emails="all"`` spread the caller's rows; None where each has one row.

    Told by what the rows hold, since labels and order may be others by now, and a receipt gone:
    only where no receipt tells of the columns must all five be there.
    """
    if len(at["email"]) != 1 or not (wrote or all(len(found) == 1 for found in at.values())):
        return None
    columns = {key: frame.iloc[:, found[0]] for key, found in at.items() if found}
    try:
        emails = read_old("email", columns["email"]).to_pandas()
        keys = pd.DataFrame({key: pd.factorize(one)[0] for key, one in columns.items()})
    except (NotOurs, TypeError, pa.ArrowException):
        return None
    keys["lead"] = ids.codes
    # Each of the caller's rows got every email of its lead once.
    keys["turn"] = _nth(keys)
    same = [key for key in ("lead", "enriched_at", "turn") if key in keys]
    alone = (ids.codes < 0) | emails.isna().to_numpy(dtype=np.bool_)
    if not wrote:
        alone |= (keys["enriched_at"] < 0).to_numpy()
    rows = len(frame) + np.arange(len(frame))
    own = np.where(alone, rows, keys.groupby(same, sort=False).ngroup().to_numpy())
    goes_on: Mask = pd.Series(own).duplicated(keep="last").to_numpy()
    return Spread(own, emails, goes_on) if goes_on.any() else None


def _said_here(
    frame: pd.DataFrame, ids: LeadIds, receipt: Mapping[str, Any], written: set[int]
) -> tuple[Mask, Mask]:
    """Per row: whether this machine answered it, and not the service; and whether without email."""
    at = {
        key: sorted(written.intersection(labelled(frame, str(name))))
        for key, name in (receipt.get("columns") or {}).items()
    }
    if not at.get("enrichment_status"):
        nowhere = np.zeros(len(frame), dtype=np.bool_)
        return nowhere, nowhere
    # One entry more than leads, which the code -1 of a row without an ID finds.
    said: Mask = np.append(said_here(receipt, ids.unique), np.False_)[ids.codes]
    if at.get("email"):
        bare = frame.iloc[:, at["email"][0]].isna()
    else:
        bare = frame.iloc[:, at["enrichment_status"][0]] == "not_found"
    return said, said & np.asarray(bare, dtype=np.bool_)


def _fill(
    frame: pd.DataFrame, plan: ColumnPlan, at: Mapping[str, list[int]], here: Mask, bare: Mask
) -> ColumnPlan:
    """Find the rows that are done, and read what they hold into the documented types."""
    if twice := [name for name, found in at.items() if len(found) > 1]:
        raise ColumnConflictError(
            f"the leads have several columns called {', '.join(map(shown, twice))}, and which to "
            "fill is not clear",
            "nothing was requested",
            "drop or rename all but one",
        )
    old = {
        key: frame.iloc[:, at[name][0]] if at[name] else None for key, name in plan.columns.items()
    }
    keep = np.zeros(len(frame), dtype=np.bool_)
    if old["email"] is not None:
        keep |= np.asarray(pd.notna(cells_of(old["email"])), dtype=np.bool_)
    if old["enrichment_status"] is not None:
        settled = np.asarray(old["enrichment_status"].isin(list(_SETTLED)), dtype=np.bool_)
        keep |= settled & ~bare
    if not keep.any():
        return plan
    rows = np.flatnonzero(keep)
    kept = {}
    for key, column in old.items():
        try:
            kept[key] = read_old(key, column, rows)
        except NotOurs as fault:
            raise ColumnConflictError(
                f"the column {shown(plan.columns[key])} cannot be kept: {fault}",
                "nothing was requested",
                "correct it",
                Way("replace"),
                _rename(plan.columns, plan.columns[key]),
            ) from None
    return replace(plan, keep_rows=keep, kept=pa.table(kept), here=here & keep)


class Joined(NamedTuple):
    """A frame with its answers."""

    frame: pd.DataFrame  # the frame's own columns, then the five
    rows: Codes | None  # which of the frame's rows each row is; None: each once, in order
    columns: pa.Table  # the five columns, by their documented names, as Arrow


def join(frame: pd.DataFrame, codes: Codes, table: pa.Table, plan: ColumnPlan) -> Joined:
    """Add the five columns to the frame's own rows, by position.

    The new frame has the rows, order, index, columns, dtypes, attrs and flags of the one that
    ``plan`` was made of. ``codes``: per row the position of its lead among those of ``table``.
    """
    repeats = None if plan.before is None else plan.before.goes_on
    rows, picks = spread(codes, table, keep_rows=plan.keep_rows, repeats=repeats)
    columns = gather(table, picks, plan.kept)
    if plan.before is not None and rows is not None:
        rows = plan.before.again(rows, columns["email"])
        order = np.argsort(rows, kind="stable")
        rows, columns = rows[order], columns.take(order)
    joined = _without(frame, plan.stays)
    if rows is not None:
        joined = joined.take(rows)
    values = {plan.columns[name]: to_pandas(name, columns[name]) for name in COLUMNS}
    return Joined(attach(joined, values), rows, columns)


def _without(frame: pd.DataFrame, stays: Mask) -> pd.DataFrame:
    """The columns that stay, not by taking them: pandas 2 takes none that is big-endian."""
    if stays.all():
        return frame
    left = frame.copy(deep=False)
    left.columns = pd.RangeIndex(len(stays))
    for position in np.flatnonzero(~stays).tolist():
        del left[position]
    left.columns = frame.columns[stays]
    return left


def attach(frame: pd.DataFrame, values: Mapping[str, Any]) -> pd.DataFrame:
    """A new frame with more columns at its end, whatever the labels of the others are."""
    columns = frame.columns
    names = list(values)
    labels: pd.Index[Any]
    if isinstance(columns, pd.MultiIndex):
        padding = ("",) * (columns.nlevels - 1)
        tuples = [*columns, *((name, *padding) for name in names)]
        labels = pd.MultiIndex.from_tuples(tuples, names=columns.names)
    else:
        # Not appended where they are objects: pandas 3 would make text of them, and NaN of None.
        labels = pd.Index([*columns, *names], dtype=object, name=columns.name, tupleize_cols=False)
        if columns.dtype != object:
            labels = columns.append(pd.Index(names)).rename(columns.name)
    joined = frame.assign()  # a copy, without cost where pandas can (3.x)
    # By number, since some labels take no text beside them; the labels come back at the end.
    joined.columns = pd.RangeIndex(len(columns))
    with warnings.catch_warnings():
        # A frame of many blocks is the caller's choice; five more columns change nothing.
        warnings.simplefilter("ignore", pd.errors.PerformanceWarning)
        for position, name in enumerate(names, start=len(columns)):
            joined[position] = values[name]
    joined.columns = labels
    return joined


def spread(
    codes: Codes,
    table: pa.Table,
    *,
    keep_rows: Mask | None = None,
    repeats: Mask | None = None,
) -> tuple[Codes | None, Codes]:
    """Which row (None: each once) and which of the table's rows every row of the result takes.

    Rows of one lead stand together in ``table``. Rows of ``keep_rows`` take the rows after its end,
    one each; those of ``repeats`` are left out.
    """
    starts = _starts(table["lead_id"])
    if codes.max(initial=-1) >= len(starts):
        raise ValueError(
            f"there are answers for {len(starts):,} leads, and {codes.max() + 1:,} lead IDs"
        )
    # One entry more than leads: no answer, which a code of -1 finds as the last.
    picks = np.append(starts, -1)[codes]
    if keep_rows is not None:
        picks[keep_rows] = table.num_rows + np.arange(np.count_nonzero(keep_rows))
    if len(starts) == table.num_rows and repeats is None:
        return None, picks
    rows = np.arange(len(codes)) if repeats is None else np.flatnonzero(~repeats)
    each = np.append(np.diff(starts, append=table.num_rows), 1)[codes[rows]]
    if keep_rows is not None:
        each[keep_rows[rows]] = 1
    ends = np.cumsum(each)
    within = np.arange(int(each.sum())) - np.repeat(ends - each, each)
    return np.repeat(rows, each), np.repeat(picks[rows], each) + within


def _starts(leads: Any) -> Codes:
    if len(leads) == 0:
        return np.empty(0, dtype=np.intp)
    changes = pc.not_equal(leads.slice(1), leads.slice(0, len(leads) - 1))
    return np.flatnonzero(np.append(True, changes.to_numpy())).astype(np.intp)
