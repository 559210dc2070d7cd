"""The five columns: their names, their Arrow and pandas types, and how values get into them.

`SCHEMA` is the one table of them. Answers travel by it as an Arrow table from the store to every
engine; a frame's own old columns are read back into it here.
"""

from __future__ import annotations

import numbers
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from leads_pandas.frames.ids import check_frame, shown
from leads_pandas.models import STATUSES

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

    import numpy.typing as npt

    from leads_pandas.errors import Way
    from leads_pandas.models import LeadStatus

    Codes = npt.NDArray[np.intp]
    Mask = npt.NDArray[np.bool_]
    # A lead, its status, its emails as (address, confidence, source), when it was enriched (µs).
    Row = tuple[str, LeadStatus, Sequence[Sequence[Any]], int | None]

_FIELDS: Final[list[tuple[str, Any]]] = [
    ("email", pa.string()),
    ("confidence", pa.float64()),
    ("source", pa.string()),
    ("enriched_at", pa.timestamp("us", tz="UTC")),
    # int32: older versions of pyarrow read back no other index of a dictionary.
    ("enrichment_status", pa.dictionary(pa.int32(), pa.string())),
]
SCHEMA: Final = pa.schema(_FIELDS)
COLUMNS: Final = tuple(SCHEMA.names)

_ANSWERS: Final = pa.schema([("lead_id", pa.string()), *_FIELDS])
_STATUS_CODES: Final = {status: code for code, status in enumerate(STATUSES)}
_CATEGORIES: Final = pa.array(STATUSES)
_NONE: Final = ((None, None, None),)
_BATCH: Final = 10_000


def answers(rows: Iterable[Row], *, emails: str = "best", min_confidence: float = 0.0) -> pa.Table:
    """What is known of leads, as a table: ``lead_id`` and the five columns.

    ``best``: one row per lead, with the email of highest confidence (none given counts as 0; the
    first of equals); ``all``: one row per email, a lead's rows together. Emails below
    ``min_confidence`` are left out; their lead keeps a row.
    """
    left = iter(rows)
    batches = []
    while batch := list(islice(left, _BATCH)):
        batches.append(_batch(batch, emails, min_confidence))
    return pa.Table.from_batches(batches, _ANSWERS)


def _batch(rows: Iterable[Row], emails: str, least: float) -> pa.RecordBatch:
    leads: list[str] = []
    found: list[Sequence[Any]] = []
    moments: list[int | None] = []
    codes: list[int] = []
    for lead_id, status, held, moment in rows:
        chosen = held
        if least > 0:
            chosen = [one for one in chosen if (one[1] or 0.0) >= least]
        if len(chosen) > 1 and emails == "best":
            chosen = [max(chosen, key=lambda one: one[1] or 0.0)]  # the first of equals
        for one in chosen or _NONE:
            found.append(one)
            leads.append(lead_id)
            moments.append(moment)
            codes.append(_STATUS_CODES[status])
    address, confidence, source = zip(*found, strict=True)
    values: list[Any] = [leads, address, confidence, source, moments]
    arrays = [pa.array(one, kind) for one, kind in zip(values, _ANSWERS.types, strict=False)]
    arrays.append(pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), _CATEGORIES))
    return pa.RecordBatch.from_arrays(arrays, schema=_ANSWERS)


def gather(table: pa.Table, picks: Codes, kept: pa.Table | None = None) -> pa.Table:
    """The five columns of these rows of a table, then of ``kept``; missing where a pick is -1."""
    held = table.select(list(COLUMNS))
    if kept is not None:
        held = pa.concat_tables([held, kept])
    places = pa.array(picks, pa.int64(), mask=picks < 0)
    taken = {name: _whole(held.column(name)).take(places) for name in COLUMNS}
    codes = taken["enrichment_status"]
    taken["enrichment_status"] = pa.DictionaryArray.from_arrays(codes, _CATEGORIES)
    return pa.table(taken)


def _whole(column: Any) -> Any:
    """A column in one piece: statuses as their codes, texts by offsets that outgrow 32 bits."""
    if pa.types.is_dictionary(column.type):
        column = pc.index_in(column.cast(pa.string()), value_set=_CATEGORIES)
    elif column.type == pa.string():
        column = column.cast(pa.large_string())
    return column.combine_chunks() if column.num_chunks else pa.array([], column.type)


def text_dtype() -> Any:
    """The dtype of text on this pandas: ``str`` on 3.x, ``object`` on 2.x."""
    return pd.Series([""]).dtype


def to_pandas(name: str, values: Any) -> Any:
    """One of the five columns in its documented dtype."""
    column = values.to_pandas()
    if name == "enriched_at":
        return column.dt.tz_convert("UTC").array
    if name == "enrichment_status":
        return pd.Categorical(column, dtype=pd.CategoricalDtype(list(STATUSES), ordered=False))
    # Older versions of pyarrow do not know the text of pandas 3.
    return column.array if name == "confidence" else column.astype(text_dtype()).array


# A frame's own old columns


class NotOurs(Exception):  # noqa: N818 - never leaves this room
    """A column holds what its documented type cannot."""


def encodable(text: str) -> bool:
    """Whether a text is valid Unicode, as Arrow asks for."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_number(value: Any) -> bool:
    """Whether a value is a real number; True is none."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def cells_of(column: pd.Series[Any]) -> npt.NDArray[np.object_]:
    """The cells as objects, None where missing or blank."""
    column = column.reset_index(drop=True)  # its labels may be such as pandas cannot choose from
    missing = np.asarray(column.isna(), dtype=np.bool_)
    cells = np.full(len(column), None, dtype=object)
    if not missing.all():  # an Arrow column of nulls alone converts to nothing
        cells[~missing] = column[~missing].to_numpy(dtype=object)
    blank = [isinstance(cell, str) and not cell.strip() for cell in cells]
    cells[np.asarray(blank, dtype=np.bool_)] = None
    return cells


def column_of(
    frame: pd.DataFrame, name: Hashable, what: str = "", way: Way | None = None
) -> pd.Series[Any]:
    """The one column of this name, which holds ``what``."""
    check_frame(frame)
    if name not in frame.columns:
        listed = ", ".join(repr(one) for one in frame.columns) or "none"
        raise ValueError(
            f"there is no column {name!r} for the {what}, and nothing was requested; there are "
            f"{listed}: {way}"
        )
    column: Any = frame[name]
    if isinstance(column, pd.DataFrame) and len(column.columns) == 1:  # of a MultiIndex
        column = column.iloc[:, 0]
    if isinstance(column, pd.Series):
        return column
    raise ValueError(f"the frame has more than one column {name!r}; rename or drop the others")


def nulls(kind: Any, rows: int) -> Any:
    """So many missing values of an Arrow type."""
    return pa.chunked_array([pa.nulls(rows, kind)])


def read_old(name: str, column: pd.Series[Any] | None, rows: Codes | None = None) -> Any:
    """What an old column holds in these rows (None: all), by its documented type; blank is null."""
    kind = SCHEMA.field(name).type
    if column is None:
        return nulls(kind, 0 if rows is None else len(rows))
    old = column.reset_index(drop=True)  # likewise
    old = old if rows is None else old.take(rows)
    if name == "enriched_at" and old.dtype.kind == "M":
        return pa.chunked_array([_moments(old)]).cast(kind)
    cells = cells_of(old)
    fits = _FITS[name]
    for place, cell in enumerate(cells):
        if cell is not None and not fits(cell):
            label = column.index[place if rows is None else rows[place]]
            raise NotOurs(f"row {shown(label)} holds {shown(cell)}")
    if name == "enriched_at":
        values = _moments(pd.Series(cells, dtype=object))
    elif name == "confidence":
        values = pa.array(cells.astype(np.float64), from_pandas=True)
    elif name == "enrichment_status":
        codes = [None if cell is None else _STATUS_CODES[cell] for cell in cells]
        values = pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), _CATEGORIES)
    else:
        values = pa.array(cells, pa.large_string())
    return pa.chunked_array([values]).cast(kind)


def _is_numeric(cell: Any) -> bool:
    """Whether a cell is a number, or text that holds one, as a CSV file does."""
    try:
        return is_number(cell) or (isinstance(cell, str) and bool(np.isfinite(float(cell))))
    except ValueError:
        return False


def _moments(column: pd.Series[Any]) -> Any:
    try:
        # Text as a CSV file holds it; times without a zone are taken as UTC.
        moments = pd.DatetimeIndex(pd.to_datetime(column, utc=True, format="ISO8601")).as_unit("us")
    except (ValueError, OverflowError):
        raise NotOurs("not every value is an ISO 8601 time") from None
    return pa.array(moments, from_pandas=True)


def _is_text(cell: Any) -> bool:
    return isinstance(cell, str) and encodable(cell)


_FITS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "email": _is_text,
    "confidence": _is_numeric,
    "source": _is_text,
    "enriched_at": lambda cell: isinstance(cell, str | datetime | np.datetime64),
    "enrichment_status": lambda cell: isinstance(cell, str) and cell in _STATUS_CODES,
}
