"""Results back into a frame, by the position of their leads.

What lives here: pure functions over frames. They plan the new columns, join the answers and write
the receipt. No file, no request; the frames that come in are never changed.
"""

from __future__ import annotations

import itertools
import json
import numbers
import warnings
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import numpy as np
import pandas as pd

from leads_pandas.errors import ColumnConflictError
from leads_pandas.frames.ids import ID_NAMES, is_padded, same_label, shown
from leads_pandas.models import STATUSES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import numpy.typing as npt

    from leads_pandas.frames.ids import LeadIds
    from leads_pandas.models import Email, LeadResult

    Codes = npt.NDArray[np.intp]
    Mask = npt.NDArray[np.bool_]

COLUMNS: Final = ("email", "confidence", "source", "enriched_at", "enrichment_status")
RECEIPT: Final = "leads"

_NO_TIME: Final = np.iinfo(np.int64).min  # what NumPy stores for NaT
_STATUS_CODES: Final = {status: code for code, status in enumerate(STATUSES)}
_SETTLED: Final = ("found", "not_found")


@dataclass(frozen=True, slots=True, eq=False)
class ColumnPlan:
    """How results become columns of one frame, decided before anything is requested.

    Attributes:
        emails: ``best`` or ``all``.
        min_confidence: emails below it are left out, 0-1.
        columns: the documented names and what they are called in this frame, in order.
        stays: per column of the frame, whether it stays.
        keep_rows: per row, whether its values are kept and its lead is not asked for
            (``on_conflict="fill"``); None where no row is.
        repeats: per row, whether it only repeats the row above for a further email of an earlier
            ``emails="all"``; None where no row does.
    """

    emails: Literal["best", "all"]
    min_confidence: float
    columns: dict[str, str]
    stays: Mask
    keep_rows: Mask | None = None
    repeats: Mask | None = None
    _kept: _Answers | None = None

    def asked(self, ids: LeadIds) -> LeadIds:
        """The IDs that must be asked for: all but those of kept rows."""
        return ids if self.keep_rows is None else ids.where(~self.keep_rows)


class _Answers(NamedTuple):
    """Values of the five columns, one entry per answer; ``counts`` says how many a lead has."""

    email: npt.NDArray[np.object_]
    confidence: npt.NDArray[np.float64]
    source: npt.NDArray[np.object_]
    enriched_at: npt.NDArray[np.int64]
    status: npt.NDArray[np.int8]
    counts: Codes


def check_options(
    *,
    emails: str = "best",
    min_confidence: float = 0.0,
    rename: Mapping[str, str] | None = None,
    on_conflict: str = "raise",
) -> dict[str, str]:
    """Check the values that need no frame, and return what the new columns are called.

    Raises:
        ValueError: a value is not one of those documented.
    """
    if emails not in ("best", "all"):
        raise ValueError(f"emails must be 'best' or 'all', not {shown(emails)}")
    if on_conflict not in ("raise", "replace", "fill"):
        raise ValueError(
            f"on_conflict must be 'raise', 'replace' or 'fill', not {shown(on_conflict)}"
        )
    if not _is_number(min_confidence) or not 0 <= min_confidence <= 1:
        raise ValueError(
            f"min_confidence must be a number from 0 to 1, not {shown(min_confidence)}"
        )
    return _new_names(rename)


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


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
        if not isinstance(name, str) or not name.strip() or not _encodable(name):
            raise ValueError(f"rename gives {key} no usable name: {shown(name)}")
        if name in ID_NAMES:
            raise ValueError(
                f"rename must not call {key} {name!r}: the next call would take it for the lead IDs"
            )
        names[key] = str.__str__(name)
    if len(set(names.values())) < len(names):
        raise ValueError(f"rename gives two new columns one name: {', '.join(names.values())}")
    return names


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def plan_columns(
    frame: pd.DataFrame,
    ids: LeadIds,
    *,
    emails: str = "best",
    min_confidence: float = 0.0,
    rename: Mapping[str, str] | None = None,
    on_conflict: str = "raise",
) -> ColumnPlan:
    """Decide what the new columns are called, which old ones go, and which rows are kept.

    The result has the frame's other columns in their order, then the five new ones, also where
    they replace or fill columns of these names. With MultiIndex columns, a new column is labelled
    with its name on the first level and ``""`` on the others, as pandas itself does.

    Args:
        frame: the frame to enrich; it is not changed.
        ids: its lead IDs.
        emails: ``best`` or ``all``.
        min_confidence: 0-1.
        rename: names for the new columns.
        on_conflict: ``raise``, ``replace`` or ``fill``.

    Raises:
        ValueError: an option has a value that is not documented, or ``emails="all"`` on a frame
            that forbids duplicate labels.
        ColumnConflictError: a new column has the name of one in the frame, or of the lead IDs.
    """
    names = check_options(
        emails=emails, min_confidence=min_confidence, rename=rename, on_conflict=on_conflict
    )
    if emails == "all" and not frame.flags.allows_duplicate_labels:
        raise ValueError(
            "emails='all' repeats index labels, which this frame forbids "
            "(flags.allows_duplicate_labels); nothing was requested"
        )
    if ids.name in names.values():
        raise ColumnConflictError(
            f"the new column {shown(ids.name)} has the name of the {ids.kind} that holds the lead "
            f"IDs. Nothing was requested; name it differently, {_rename_hint(names, [ids.name])}"
        )
    receipt = _receipt(frame)
    ours = set(receipt["columns"].values())
    at = {name: _positions(frame, name) for name in names.values()}
    taken = [name for name, found in at.items() if found and name not in ours]
    if taken and on_conflict == "raise":
        raise ColumnConflictError(
            f"the frame already has {', '.join(map(shown, taken))}. Nothing was requested; pass "
            "on_conflict='fill' to keep rows that are done, on_conflict='replace' to overwrite "
            f"them, or {_rename_hint(names, taken)}"
        )
    stays = np.ones(len(frame.columns), dtype=np.bool_)
    stays[list(itertools.chain.from_iterable(at.values()))] = False
    shape = "all" if emails == "all" else "best"
    base = ColumnPlan(shape, float(min_confidence), names, stays)  # type: ignore[arg-type]  # one of two
    if on_conflict == "fill":
        return _fill(frame, base, at)
    if emails == "all" and receipt["emails"] == "all":
        old = _positions(frame, receipt["columns"].get("email", ""))
        if len(old) == 1:
            repeats = _repeats(frame, ids, frame.iloc[:, old[0]])
            if repeats.any():
                return ColumnPlan(shape, base.min_confidence, names, stays, repeats=repeats)  # type: ignore[arg-type]  # one of two
    return base


def _rename_hint(names: Mapping[str, str], taken: Sequence[str]) -> str:
    first = next(key for key, name in names.items() if name in taken)
    return f"rename={{{first!r}: …}}"


def _receipt(frame: pd.DataFrame) -> dict[str, Any]:
    """What the frame's receipt says of its columns; empty where there is none of ours."""
    found = frame.attrs.get(RECEIPT)
    receipt = found if isinstance(found, dict) else {}
    columns = receipt.get("columns")
    columns = columns if isinstance(columns, dict) else {}
    return {
        "columns": {k: v for k, v in columns.items() if k in COLUMNS and isinstance(v, str)},
        "emails": receipt.get("emails"),
    }


def _positions(frame: pd.DataFrame, name: str) -> list[int]:
    """Where the frame has columns of this name.

    Raises:
        ColumnConflictError: the name is a group of MultiIndex columns, which no option overwrites.
    """
    if frame.columns.nlevels == 1:
        return [i for i, label in enumerate(frame.columns) if same_label(label, name)]
    found = [i for i, label in enumerate(frame.columns) if same_label(label[0], name)]
    if not all(is_padded(frame.columns[i]) for i in found):
        raise ColumnConflictError(
            f"the frame has a group of columns called {shown(name)}. Nothing was requested; "
            "name the new column differently, rename={…}"
        )
    return found


def _repeats(frame: pd.DataFrame, ids: LeadIds, emails: pd.Series[Any]) -> Mask:
    """Rows that an earlier ``emails="all"`` made of the row above, for a further email.

    Such a row has the lead and the index label of the one above. The lead's first email again
    means that the next row of the caller's own begins.
    """
    if frame.index.is_unique:
        return np.zeros(len(frame), dtype=np.bool_)
    labels = frame.index.factorize()[0]
    addresses = pd.factorize(emails)[0]
    goes_on = np.zeros(len(frame), dtype=np.bool_)
    goes_on[1:] = (ids.codes[1:] == ids.codes[:-1]) & (labels[1:] == labels[:-1])
    goes_on[1:] &= (ids.codes[1:] >= 0) & (addresses[1:] >= 0) & (addresses[:-1] >= 0)
    first = np.maximum.accumulate(np.where(goes_on, 0, np.arange(len(frame))))
    repeats: Mask = goes_on & (addresses != addresses[first])
    return repeats


def _fill(frame: pd.DataFrame, plan: ColumnPlan, at: Mapping[str, list[int]]) -> ColumnPlan:
    """Find the rows that are done, and read what they hold into the documented dtypes."""
    if twice := [name for name, found in at.items() if len(found) > 1]:
        raise ColumnConflictError(
            f"the frame has several columns called {', '.join(map(shown, twice))}, and which to "
            "fill is not clear. Nothing was requested; drop or rename all but one"
        )
    old = {
        key: frame.iloc[:, at[name][0]] if at[name] else None for key, name in plan.columns.items()
    }
    keep = np.zeros(len(frame), dtype=np.bool_)
    if old["email"] is not None:
        keep |= _filled(old["email"])
    if old["enrichment_status"] is not None:
        keep |= np.asarray(old["enrichment_status"].isin(list(_SETTLED)), dtype=np.bool_)
    if not keep.any():
        return plan
    rows = np.flatnonzero(keep)
    readers: dict[str, Callable[[pd.Series[Any]], npt.NDArray[Any]]] = {
        "email": _old_text,
        "confidence": _old_numbers,
        "source": _old_text,
        "enriched_at": _old_times,
        "enrichment_status": _old_statuses,
    }
    missing: dict[str, Any] = {"confidence": np.nan, "enriched_at": _NO_TIME}
    missing["enrichment_status"] = -1
    read: dict[str, npt.NDArray[Any]] = {}
    for key, reader in readers.items():
        column = old[key]
        if column is None:
            dtype = {
                "confidence": np.float64,
                "enriched_at": np.int64,
                "enrichment_status": np.int8,
            }
            read[key] = np.full(len(rows), missing.get(key), dtype=dtype.get(key, object))
            continue
        try:
            read[key] = reader(column.take(rows))
        except _NotOurs as fault:
            raise ColumnConflictError(
                f"the column {shown(plan.columns[key])} cannot be kept: {fault}. Nothing was "
                "requested; correct it, or pass on_conflict='replace' or "
                f"{_rename_hint(plan.columns, [plan.columns[key]])}"
            ) from None
    kept = _Answers(
        email=read["email"],
        confidence=read["confidence"],
        source=read["source"],
        enriched_at=read["enriched_at"],
        status=read["enrichment_status"],
        counts=np.ones(len(rows), dtype=np.intp),
    )
    return ColumnPlan(
        plan.emails, plan.min_confidence, plan.columns, plan.stays, keep_rows=keep, _kept=kept
    )


class _NotOurs(Exception):  # noqa: N818 - never leaves this module
    """A column to be filled holds what the documented dtype cannot."""


def _filled(column: pd.Series[Any]) -> Mask:
    """Rows that hold anything but missing values and blank text."""
    filled = np.array(column.notna(), dtype=np.bool_)
    rows = np.flatnonzero(filled)
    cells = column.take(rows).to_numpy(dtype=object)
    blank = (isinstance(cell, str) and not cell.strip() for cell in cells)
    filled[rows[np.fromiter(blank, np.bool_, len(rows))]] = False
    return filled


def _cells(column: pd.Series[Any]) -> npt.NDArray[np.object_]:
    cells = column.to_numpy(dtype=object, copy=True)
    cells[np.asarray(column.isna(), dtype=np.bool_)] = None
    return cells


def _refuse(column: pd.Series[Any], cells: Iterable[Any], fits: Callable[[Any], bool]) -> None:
    for label, cell in zip(column.index, cells, strict=True):
        if cell is not None and not fits(cell):
            raise _NotOurs(f"row {shown(label)} holds {shown(cell)}")


def _old_text(column: pd.Series[Any]) -> npt.NDArray[np.object_]:
    cells = _cells(column)
    _refuse(column, cells, lambda cell: isinstance(cell, str) and _encodable(cell))
    return cells


def _old_numbers(column: pd.Series[Any]) -> npt.NDArray[np.float64]:
    cells = _cells(column)
    _refuse(column, cells, _is_number)
    return cells.astype(np.float64)


def _old_times(column: pd.Series[Any]) -> npt.NDArray[np.int64]:
    if not isinstance(column.dtype, np.dtype | pd.DatetimeTZDtype) or column.dtype.kind != "M":
        cells = _cells(column)
        _refuse(column, cells, lambda cell: isinstance(cell, str | datetime | np.datetime64))
        column = pd.Series(cells, dtype=object)
    try:
        # Text as a CSV file holds it; times without a zone are taken as UTC.
        times = pd.DatetimeIndex(pd.to_datetime(column, utc=True, format="ISO8601"))
        return times.as_unit("us").tz_localize(None).to_numpy("M8[us]").view(np.int64)
    except (ValueError, OverflowError):
        raise _NotOurs("not every value is an ISO 8601 time") from None


def _old_statuses(column: pd.Series[Any]) -> npt.NDArray[np.int8]:
    cells = _cells(column)
    _refuse(column, cells, lambda cell: isinstance(cell, str) and cell in _STATUS_CODES)
    return np.fromiter((_STATUS_CODES.get(cell, -1) for cell in cells), np.int8, len(cells))


def join(
    frame: pd.DataFrame, ids: LeadIds, plan: ColumnPlan, results: Iterable[LeadResult]
) -> pd.DataFrame:
    """Add the five columns to the frame's own rows, by position.

    Args:
        frame: the frame that ``ids`` and ``plan`` were made of; it is not changed.
        ids: the IDs asked for, ``plan.asked(lead_ids(frame))``.
        plan: what the new columns are.
        results: one result per ``ids.unique``, in that order.

    Returns:
        A new frame: rows, order, index, columns, dtypes, attrs and flags of ``frame``, then the
        new columns.

    Raises:
        ValueError: there are more or fewer results than IDs, or more or fewer rows than codes.
    """
    if len(ids.codes) != len(frame) or len(plan.stays) != len(frame.columns):
        raise ValueError("these IDs or this plan were made of another frame")
    answers = _answers(results, len(ids.unique), plan)
    rows, picks = _layout(ids.codes, answers, plan)
    joined = frame if plan.stays.all() else frame.loc[:, plan.stays]
    if rows is not None:
        joined = joined.take(rows)
    joined = snapshot(joined)
    joined.columns = _roomy(joined.columns)
    padding = ("",) * (frame.columns.nlevels - 1)
    with warnings.catch_warnings():
        # A frame of many blocks is the caller's choice; five more columns change nothing.
        warnings.simplefilter("ignore", pd.errors.PerformanceWarning)
        for name, values in _columns(answers, picks, plan).items():
            joined[(name, *padding) if padding else name] = values
    return joined


def _roomy(columns: pd.Index[Any]) -> pd.Index[Any]:
    """Column labels that text can join: a level of dates would take "" for a missing date."""
    if not isinstance(columns, pd.MultiIndex):
        return columns
    levels: Any = [
        level.astype(object)
        if isinstance(level, pd.DatetimeIndex | pd.TimedeltaIndex | pd.PeriodIndex)
        else level
        for level in columns.levels
    ]
    return columns.set_levels(levels)


def snapshot(frame: pd.DataFrame) -> pd.DataFrame:
    """A copy that later changes of ``frame`` do not reach, without cost where pandas can (3.x)."""
    return frame.assign()


def _answers(results: Iterable[LeadResult], expected: int, plan: ColumnPlan) -> _Answers:
    """Flatten the results; then one empty answer for rows without ID, then the kept rows."""
    email: list[str | None] = []
    confidence: list[float | None] = []
    source: list[str | None] = []
    enriched_at: list[int] = []
    status: list[int] = []
    counts: list[int] = []
    for result in results:
        chosen = _chosen(result.emails, plan)
        counts.append(len(chosen))
        for one in chosen:
            if one is None:
                email.append(None)
                confidence.append(None)
                source.append(None)
            else:
                email.append(one.email)
                confidence.append(one.confidence)
                source.append(one.source)
            enriched_at.append(_NO_TIME if result.enriched_at is None else result.enriched_at)
            status.append(_STATUS_CODES[result.status])
    if len(counts) != expected:
        raise ValueError(f"there are {len(counts):,} results for {expected:,} lead IDs")
    kept = plan._kept  # noqa: SLF001 - of this module
    tail = kept or _NOTHING
    return _Answers(
        email=np.concatenate([_objects([*email, None]), tail.email]),
        confidence=np.concatenate([np.array([*confidence, None], np.float64), tail.confidence]),
        source=np.concatenate([_objects([*source, None]), tail.source]),
        enriched_at=np.concatenate(
            [np.array([*enriched_at, _NO_TIME], np.int64), tail.enriched_at]
        ),
        status=np.concatenate([np.array([*status, -1], np.int8), tail.status]),
        counts=np.array(counts, np.intp),
    )


_NOTHING: Final = _Answers(
    email=np.empty(0, object),
    confidence=np.empty(0, np.float64),
    source=np.empty(0, object),
    enriched_at=np.empty(0, np.int64),
    status=np.empty(0, np.int8),
    counts=np.empty(0, np.intp),
)


def _objects(values: list[str | None]) -> npt.NDArray[np.object_]:
    return np.fromiter(values, object, len(values))


def _chosen(emails: tuple[Email, ...], plan: ColumnPlan) -> Sequence[Email | None]:
    """The emails of a lead that reach the frame; one None where none does."""
    if plan.min_confidence > 0:
        emails = tuple(one for one in emails if (one.confidence or 0.0) >= plan.min_confidence)
    if not emails:
        return (None,)
    if plan.emails == "all":
        return emails
    return (max(emails, key=lambda one: one.confidence or 0.0),)  # the first of equals


def _layout(codes: Codes, answers: _Answers, plan: ColumnPlan) -> tuple[Codes | None, Codes]:
    """Which row of the frame (None: each once) and which answer each row of the result takes."""
    total = int(answers.counts.sum())
    # One entry more than leads: the empty answer, which a code of -1 finds as the last.
    counts = np.append(answers.counts, 1)
    picks = np.append(np.cumsum(answers.counts) - answers.counts, total)[codes]
    if plan.keep_rows is not None:
        kept = np.flatnonzero(plan.keep_rows)
        picks[kept] = total + 1 + np.arange(len(kept))
    if len(answers.counts) == total and plan.repeats is None:
        return None, picks
    rows = np.arange(len(codes))
    if plan.repeats is not None:
        rows = rows[~plan.repeats]
    each = counts[codes[rows]]
    if plan.keep_rows is not None:
        each[plan.keep_rows[rows]] = 1
    ends = np.cumsum(each)
    within = np.arange(int(each.sum())) - np.repeat(ends - each, each)
    return np.repeat(rows, each), np.repeat(picks[rows], each) + within


def _columns(answers: _Answers, picks: Codes, plan: ColumnPlan) -> dict[str, Any]:
    """The five columns, in order and in the documented dtypes."""
    times = pd.DatetimeIndex(answers.enriched_at.take(picks).view("M8[us]")).tz_localize("UTC")
    values = {
        "email": _text(answers.email, picks),
        "confidence": answers.confidence.take(picks),
        "source": _text(answers.source, picks),
        "enriched_at": times.array,
        "enrichment_status": pd.Categorical.from_codes(
            answers.status.take(picks), dtype=pd.CategoricalDtype(list(STATUSES), ordered=False)
        ),
    }
    return {plan.columns[key]: value for key, value in values.items()}


def _text(values: npt.NDArray[np.object_], picks: Codes) -> Any:
    """Take texts in pandas' default string dtype: Arrow-backed on pandas 3, objects on 2."""
    dtype: Any = pd.Series([""]).dtype
    if isinstance(dtype, np.dtype):
        return values.take(picks)
    import pyarrow as pa

    # large_string: a million rows of long texts outgrow 32-bit offsets.
    return dtype.__from_arrow__(
        pa.array(values, pa.large_string()).take(pa.array(picks, pa.int64()))
    )


def receipt_fields(ids: LeadIds, plan: ColumnPlan) -> dict[str, Any]:
    """What the receipt must say of the frame: which column held the IDs, and the new columns.

    ``plan_columns`` reads ``columns`` and ``emails`` back when the result is enriched again.
    """
    return {
        "on": {"name": ids.name, "kind": ids.kind},
        "columns": dict(plan.columns),
        "emails": plan.emails,
        "min_confidence": plan.min_confidence,
    }


def with_receipt(frame: pd.DataFrame, receipt: Mapping[str, Any]) -> pd.DataFrame:
    """Return the frame with the receipt in ``attrs["leads"]``, as plain JSON.

    The columns are shared with ``frame``; only the attrs differ.

    Raises:
        TypeError: the receipt holds something that JSON does not.
    """
    out = frame.copy(deep=False)
    out.attrs = {**frame.attrs, RECEIPT: json.loads(json.dumps(dict(receipt)))}
    return out
