"""Lead IDs out of a frame: found, cleaned and numbered by position.

What lives here: pure functions over frames, which are never changed. What is no ID is refused here,
by its row, before anyone pays for it.
"""

from __future__ import annotations

import itertools
import logging
import math
import operator
import unicodedata
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, cast

import numpy as np
import pandas as pd

from leads_pandas.display import clean
from leads_pandas.errors import LeadIdError

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    import numpy.typing as npt

    Codes = npt.NDArray[np.intp]
    Mask = npt.NDArray[np.bool_]

ID_NAMES: Final = ("lead_id", "leadId", "id")  # where IDs are looked for, in this order

_LAST_RESORT: Final = ID_NAMES[-1]  # may be anything's
_LONGEST_ID: Final = 200
_SHOWN: Final = 5

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
                f"no column or index level is called {shown(on)}; the frame has "
                f"{_inventory(frame)}. Nothing was requested; name the one that holds the lead IDs "
                "with on=…"
            )
        return found
    found = _find(frame, ID_NAMES[:-1])
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
    found = [i for i, label in enumerate(labels) if same_label(label, name)]
    if not found and isinstance(name, str):
        # With MultiIndex columns, a plain name means the only column under it.
        heads = [label[0] if isinstance(label, tuple) and label else None for label in labels]
        found = [i for i, head in enumerate(heads) if same_label(head, name)]
        found = [i for i in found if is_padded(labels[i])] or found
    if len(found) > 1:
        raise LeadIdError(
            f"{len(found)} {what} are called {shown(name)}, and which of them holds the lead IDs "
            "is not clear. Nothing was requested; rename the others"
        )
    return found[0] if found else None


def is_padded(label: Any) -> bool:
    """Whether a tuple names something on its first level only, as pandas pads plain names."""
    return all(isinstance(rest, str) and not rest for rest in label[1:])


def same_label(label: object, name: object) -> bool:
    """Whether a frame's label is this name."""
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
    bad = [f"row {shown(frame.index[row])} ({faults[int(codes[row])]})" for row in rows[:_SHOWN]]
    more = f" and {len(rows) - _SHOWN:,} more" if len(rows) > _SHOWN else ""
    where = "column" if kind == "column" else "index level"
    return (
        f"the {where} {shown(name)} holds values that are no lead IDs: {', '.join(bad)}{more}. "
        "Nothing was started; correct these rows, empty them, or name another column with on=…"
    )


def _label_text(label: Hashable) -> str:
    if isinstance(label, tuple) and label and is_padded(label):
        return str(label[0])
    return str(label)


def shown(label: object) -> str:
    """A label in a message: as Python writes it, safe to print, not too long."""
    text = clean(repr(label))
    return text if len(text) <= 60 else text[:57] + "…"  # noqa: PLR2004 - fits a line


def _inventory(frame: pd.DataFrame) -> str:
    listed = 30
    names = [shown(label) for label in frame.columns[:listed]]
    more = len(frame.columns) - listed
    text = f"the columns {', '.join(names)}" if names else "no columns"
    if more > 0:
        text += f" and {more:,} more"
    levels = [shown(label) for label in frame.index.names if label is not None]
    return text + (f", and the index levels {', '.join(levels)}" if levels else "")
