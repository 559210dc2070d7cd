"""Lead IDs out of a frame, and results back in by position.

What lives here: pure functions over frames. They find and clean the IDs, plan the new columns, and
join the answers. No file, no request; the frames that come in are never changed.
"""

from __future__ import annotations

import itertools
import json
import logging
import math
import numbers
import operator
import unicodedata
import warnings
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, cast

import numpy as np
import pandas as pd

from leads_pandas.display import clean
from leads_pandas.errors import ColumnConflictError, LeadIdError
from leads_pandas.models import STATUSES

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

    import numpy.typing as npt

    from leads_pandas.models import Email, LeadResult

    Codes = npt.NDArray[np.intp]
    Mask = npt.NDArray[np.bool_]

COLUMNS: Final = ("email", "confidence", "source", "enriched_at", "enrichment_status")
RECEIPT: Final = "leads"

_SEARCHED: Final = ("lead_id", "leadId")
_LAST_RESORT: Final = "id"
_LONGEST_ID: Final = 200
_SHOWN: Final = 5
_NO_TIME: Final = np.iinfo(np.int64).min  # what NumPy stores for NaT
_STATUS_CODES: Final = {status: code for code, status in enumerate(STATUSES)}
_SETTLED: Final = ("found", "not_found")

_logger = logging.getLogger("leads_pandas")


@dataclass(frozen=True, slots=True, eq=False)
class LeadIds:
    """The lead IDs of a frame.

    Attributes:
        name: the column label or index level that held them.
        kind: ``column`` or ``level``.
        codes: per row the position in ``unique``; -1 where the row has no ID.
        unique: each ID once, in order of first appearance.
    """

    name: str
    kind: Literal["column", "level"]
    codes: Codes
    unique: list[str]

    def where(self, rows: Mask) -> LeadIds:
        """Keep the IDs of these rows only; the other rows count as having none."""
        codes = np.full(len(self.codes), -1, dtype=np.intp)
        there = rows & (self.codes >= 0)
        codes[there], used = pd.factorize(self.codes[there])
        return LeadIds(self.name, self.kind, codes, [self.unique[one] for one in used.tolist()])


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


def lead_ids(frame: pd.DataFrame, on: Hashable | None = None) -> LeadIds:
    """Find the column or index level of lead IDs and read it.

    Args:
        frame: any frame; it is not changed.
        on: column label or index level; None takes the first of the columns ``lead_id`` and
            ``leadId``, then of the index levels of these names, then ``id`` as either.

    Raises:
        LeadIdError: there is no such column, it is there twice, or a value is no lead ID.
    """
    kind, position = _locate(frame, on)
    values: Any
    if kind == "column":
        name = _label_text(frame.columns[position])
        values = frame.iloc[:, position]
    else:
        name = _label_text(frame.index.names[position])
        values = frame.index.get_level_values(position)
    keys, limit = _keys(values)
    codes, unique, faults = _clean(keys.cells, keys.codes, limit)
    if faults:
        raise LeadIdError(_fault_message(frame, name, kind, keys.codes, faults))
    return LeadIds(name, kind, codes, unique)


def _locate(frame: pd.DataFrame, on: Hashable | None) -> tuple[Literal["column", "level"], int]:
    if on is not None:
        found = _find(frame, (on,))
        if found is None:
            raise LeadIdError(
                f"no column or index level is called {_shown(on)}; the frame has "
                f"{_inventory(frame)}. Nothing was requested; name the one that holds the lead IDs "
                "with on=…"
            )
        return found
    found = _find(frame, _SEARCHED)
    if found is not None:
        return found
    found = _find(frame, (_LAST_RESORT,))
    if found is None:
        raise LeadIdError(
            "no column or index level is called lead_id, leadId or id; the frame has "
            f"{_inventory(frame)}. Nothing was requested; name the one that holds the lead IDs "
            "with on=…"
        )
    _logger.info("lead IDs are taken from the %s 'id'; on=… names another", found[0])
    return found


def _find(
    frame: pd.DataFrame, names: Sequence[Hashable]
) -> tuple[Literal["column", "level"], int] | None:
    columns = list(frame.columns)
    levels = list(frame.index.names)
    for name in names:
        if (position := _only(columns, name, "columns")) is not None:
            return "column", position
    for name in names:
        if (position := _only(levels, name, "index levels")) is not None:
            return "level", position
    return None


def _only(labels: Sequence[Hashable], name: Hashable, what: str) -> int | None:
    """The position of the one label of this name; None where there is none."""
    found = [i for i, label in enumerate(labels) if _same_label(label, name)]
    if not found and isinstance(name, str):
        # With MultiIndex columns, a plain name means the only column under it.
        heads = [label[0] if isinstance(label, tuple) and label else None for label in labels]
        found = [i for i, head in enumerate(heads) if _same_label(head, name)]
        found = [i for i in found if _is_padded(labels[i])] or found
    if len(found) > 1:
        raise LeadIdError(
            f"{len(found)} {what} are called {_shown(name)}, and which of them holds the lead IDs "
            "is not clear. Nothing was requested; rename the others"
        )
    return found[0] if found else None


def _is_padded(label: Any) -> bool:
    """Whether a tuple names something on its first level only, as pandas pads plain names."""
    return all(isinstance(rest, str) and not rest for rest in label[1:])


def _same_label(label: object, name: object) -> bool:
    # By type as well: 1 and True are different columns; and pd.NA has no truth value.
    if isinstance(name, np.generic):
        name = name.item()
    if isinstance(name, str):
        return isinstance(label, str) and label == name
    return type(label) is type(name) and bool(label == name)


class _Keys(NamedTuple):
    """Distinct cells as they are, and per row the position of its cell (-1: missing)."""

    codes: Codes
    cells: list[Any]


def _keys(values: pd.Series[Any] | pd.Index[Any]) -> tuple[_Keys, float]:
    """Number the distinct cells, and say up to where floats of this type hold every integer."""
    dtype = values.dtype
    limit = 2.0**53
    if isinstance(dtype, pd.CategoricalDtype):
        categorical: Any = values.array
        categories, limit = _keys(dtype.categories)
        # A missing cell's code of -1 takes the last entry, which is -1 as well.
        drawn = np.append(categories.codes, -1)[np.asarray(categorical.codes)]
        codes, used = pd.factorize(drawn)
        cells = [None if code < 0 else categories.cells[code] for code in used.tolist()]
        return _Keys(codes, cells), limit
    if isinstance(dtype, pd.ArrowDtype) or (
        isinstance(dtype, pd.StringDtype) and dtype.storage == "pyarrow"
    ):
        arrow: Any = values.array
        return _arrow_keys(arrow.__arrow_array__())
    if dtype.kind in "iuf" and not isinstance(dtype, pd.SparseDtype):
        exact: Any = dtype if isinstance(dtype, np.dtype) else getattr(dtype, "numpy_dtype", None)
        if exact is not None:
            present = ~np.asarray(values.isna(), dtype=np.bool_)
            codes, distinct = pd.factorize(_hashable(values[present].to_numpy(dtype=exact)))
            if exact.kind == "f":
                limit = _exact_up_to(exact)
            return _spread(codes, distinct.tolist(), present), limit
    return _object_keys(np.asarray(values, dtype=object)), limit


def _hashable(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    # pandas numbers no half floats; wider floats hold each of them.
    return values.astype(np.float32) if values.dtype == np.float16 else values


def _exact_up_to(dtype: np.dtype[Any]) -> float:
    """The number up to which floats of this type hold every integer, at most 2**53."""
    return float(2.0 ** min(np.finfo(dtype).nmant + 1, 53))


def _spread(codes: Codes, keys: list[Any], present: Mask) -> _Keys:
    full = np.full(len(present), -1, dtype=np.intp)
    full[present] = codes
    return _Keys(full, keys)


def _arrow_keys(values: Any) -> tuple[_Keys, float]:
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(values, pa.Array):
        values = pa.chunked_array([values])
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    limit = {pa.float16(): 2.0**11, pa.float32(): 2.0**24}.get(values.type, 2.0**53)
    try:
        encoded = values.dictionary_encode().unify_dictionaries()
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        # Nested and other types that cannot be numbered: they are no IDs, but say which rows.
        return _object_keys(np.fromiter(values.to_pylist(), object, len(values))), limit
    if encoded.num_chunks == 0 or pa.types.is_null(values.type):
        return _Keys(np.full(len(values), -1, dtype=np.intp), []), limit
    codes = [pc.fill_null(chunk.indices.cast(pa.int64()), -1) for chunk in encoded.chunks]
    whole = pa.chunked_array(codes).to_numpy().astype(np.intp)
    return _Keys(whole, encoded.chunk(0).dictionary.to_pylist()), limit


def _object_keys(values: npt.NDArray[np.object_]) -> _Keys:
    """Number Python objects by type and value.

    A dictionary and not ``pandas.factorize``, which takes True for 1, and on pandas 2 reads a
    string only up to its first NUL.
    """
    present = ~np.asarray(pd.isna(values))
    there = values[present]
    numbered: defaultdict[Any, int] = defaultdict(itertools.count().__next__)
    try:
        if pd.api.types.infer_dtype(there, skipna=False) == "string":
            codes = np.fromiter(map(numbered.__getitem__, there), np.intp, len(there))
            return _spread(codes, list(numbered), present)
        pairs = zip(map(type, there), there, strict=True)
        codes = np.fromiter(map(numbered.__getitem__, pairs), np.intp, len(there))
    except TypeError:  # lists and other unhashable cells, all of them faults
        return _spread(np.arange(len(there), dtype=np.intp), list(there), present)
    return _spread(codes, [value for _, value in numbered], present)


def _clean(
    keys: Sequence[Any], codes: Codes, limit: float
) -> tuple[Codes, list[str], dict[int, str]]:
    """Turn cells into IDs: codes and unique IDs anew, and what is wrong with which key."""
    numbered: dict[str, int] = {}
    faults: dict[int, str] = {}
    # One entry more than keys, so that the code -1 of a missing cell stays -1.
    renumbered = np.full(len(keys) + 1, -1, dtype=np.intp)
    for position, key in enumerate(keys):
        text, fault = _read(key, limit)
        if fault:
            faults[position] = fault
        elif text:
            renumbered[position] = numbered.setdefault(text, len(numbered))
    return renumbered[codes], list(numbered), faults


def _read(cell: Any, limit: float) -> tuple[str, str]:
    """One cell as a lead ID ('' where it has none) and what is wrong with it ('' if nothing)."""
    if isinstance(cell, str):
        text = str.__str__(cell).strip()
        return text, _text_fault(text)
    if cell is None or cell is pd.NA or cell is pd.NaT:
        return "", ""
    if isinstance(cell, bool | np.bool_):
        return "", "True or False"
    if isinstance(cell, int | np.integer):
        whole = operator.index(cell)
        # Compared as a number first: Python refuses to write integers of 4,300 digits and more.
        if abs(whole) >= 10**_LONGEST_ID or len(str(whole)) > _LONGEST_ID:
            return "", f"longer than {_LONGEST_ID} characters"
        return str(whole), ""
    if isinstance(cell, float | np.floating):
        if not isinstance(cell, float):
            limit = min(limit, _exact_up_to(cell.dtype))
        cell = cast("float", cell)  # half and long floats compare like Python's
        if np.isnan(cell):
            return "", ""
        if np.isinf(cell):
            return "", "an infinite number"
        if abs(cell) > limit:
            return "", f"a float above 2**{int(math.log2(limit))}, where floats skip integers"
        if cell != int(cell):
            return "", "a fractional number"
        return str(int(cell)), ""
    return "", f"of type {type(cell).__name__}, neither text nor an integer"


def _text_fault(text: str) -> str:
    if len(text) > _LONGEST_ID:
        return f"longer than {_LONGEST_ID} characters"
    if text in {".", ".."}:
        return "'.' or '..', which would name another endpoint"
    if not text.isprintable():
        kinds = {unicodedata.category(char) for char in text}
        if "Cc" in kinds:
            return "text with a control character"
        if "Cs" in kinds:
            return "text with half a Unicode character"
    return ""


def _fault_message(
    frame: pd.DataFrame, name: str, kind: str, codes: Codes, faults: Mapping[int, str]
) -> str:
    rows = np.flatnonzero(np.isin(codes, np.fromiter(faults, np.intp, len(faults))))
    shown = [f"row {_shown(frame.index[row])} ({faults[int(codes[row])]})" for row in rows[:_SHOWN]]
    more = f" and {len(rows) - _SHOWN:,} more" if len(rows) > _SHOWN else ""
    where = "column" if kind == "column" else "index level"
    return (
        f"the {where} {_shown(name)} holds values that are no lead IDs: {', '.join(shown)}{more}. "
        "Nothing was started; correct these rows, empty them, or name another column with on=…"
    )


def _label_text(label: Hashable) -> str:
    if isinstance(label, tuple) and label and _is_padded(label):
        return str(label[0])
    return str(label)


def _shown(label: object) -> str:
    text = clean(repr(label))
    return text if len(text) <= 60 else text[:57] + "…"  # noqa: PLR2004 - fits a line


def _inventory(frame: pd.DataFrame) -> str:
    listed = 30
    names = [_shown(label) for label in frame.columns[:listed]]
    more = len(frame.columns) - listed
    text = f"the columns {', '.join(names)}" if names else "no columns"
    if more > 0:
        text += f" and {more:,} more"
    levels = [_shown(label) for label in frame.index.names if label is not None]
    return text + (f", and the index levels {', '.join(levels)}" if levels else "")


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
        raise ValueError(f"emails must be 'best' or 'all', not {_shown(emails)}")
    if on_conflict not in ("raise", "replace", "fill"):
        raise ValueError(
            f"on_conflict must be 'raise', 'replace' or 'fill', not {_shown(on_conflict)}"
        )
    if not _is_number(min_confidence) or not 0 <= min_confidence <= 1:
        raise ValueError(
            f"min_confidence must be a number from 0 to 1, not {_shown(min_confidence)}"
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
        raise ValueError(
            f"rename knows {', '.join(COLUMNS)}, not {', '.join(map(_shown, unknown))}"
        )
    for key, name in given.items():
        if not isinstance(name, str) or not name.strip() or not _encodable(name):
            raise ValueError(f"rename gives {key} no usable name: {_shown(name)}")
        if name in {*_SEARCHED, _LAST_RESORT}:
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
            f"the new column {_shown(ids.name)} has the name of the {ids.kind} that holds the lead "
            f"IDs. Nothing was requested; name it differently, {_rename_hint(names, [ids.name])}"
        )
    receipt = _receipt(frame)
    ours = set(receipt["columns"].values())
    at = {name: _positions(frame, name) for name in names.values()}
    taken = [name for name, found in at.items() if found and name not in ours]
    if taken and on_conflict == "raise":
        raise ColumnConflictError(
            f"the frame already has {', '.join(map(_shown, taken))}. Nothing was requested; pass "
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
        return [i for i, label in enumerate(frame.columns) if _same_label(label, name)]
    found = [i for i, label in enumerate(frame.columns) if _same_label(label[0], name)]
    if not all(_is_padded(frame.columns[i]) for i in found):
        raise ColumnConflictError(
            f"the frame has a group of columns called {_shown(name)}. Nothing was requested; "
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
            f"the frame has several columns called {', '.join(map(_shown, twice))}, and which to "
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
                f"the column {_shown(plan.columns[key])} cannot be kept: {fault}. Nothing was "
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
            raise _NotOurs(f"row {_shown(label)} holds {_shown(cell)}")


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


def results_frame(
    ids: Sequence[str],
    results: Iterable[LeadResult],
    *,
    emails: str = "best",
    min_confidence: float = 0.0,
    rename: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Results as a frame of their own: ``lead_id``, then the five columns.

    Args:
        ids: distinct lead IDs.
        results: one result per ID, in that order.
        emails: ``best`` or ``all``.
        min_confidence: 0-1.
        rename: names for the new columns.

    Raises:
        ValueError: an option has a value that is not documented, or results do not match the IDs.
    """
    text = _text(_objects(list(ids)), np.arange(len(ids)))
    frame = pd.DataFrame({"lead_id": text})
    held = LeadIds("lead_id", "column", np.arange(len(ids)), list(ids))
    plan = plan_columns(frame, held, emails=emails, min_confidence=min_confidence, rename=rename)
    return join(frame, held, plan, results)


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
