"""Lead IDs out of a frame: found, cleaned and numbered by position.

What lives here: pure functions over frames, which are never changed. What is no ID is refused here,
by its row, before anyone pays for it.
"""

from __future__ import annotations

import itertools
import logging
import operator
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from leads_pandas.display import clean
from leads_pandas.errors import LeadIdError, Way
from leads_pandas.models import LONGEST_ID, lead_id_fault

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    import numpy.typing as npt

    Kind = Literal["column", "level"]
    Codes = npt.NDArray[np.intp]
    Mask = npt.NDArray[np.bool_]

ID_NAMES: Final = ("lead_id", "leadId", "id")  # where IDs are looked for, in this order

_SHOWN: Final = 5
_WORDS: Final[Mapping[Kind, str]] = {"column": "column", "level": "index level"}

_logger = logging.getLogger("leads_pandas")


@dataclass(frozen=True, slots=True, eq=False)
class LeadIds:
    """The lead IDs of a frame."""

    name: str  # the column label or index level that held them, as text
    kind: Kind  # `column` or `level`
    position: int  # which column or level
    type: str  # the label's type; 0 and "0" are written alike
    codes: Codes  # per row the position in `unique`; -1 where the row has no ID
    unique: list[str]  # each ID once, in order of first appearance

    @property
    def rows(self) -> int:
        """How many rows the frame has."""
        return len(self.codes)

    @property
    def rows_without(self) -> int:
        """How many rows have no ID."""
        return int(np.count_nonzero(self.codes < 0))

    @property
    def duplicate_rows(self) -> int:
        """How many rows repeat the lead of another row."""
        return self.rows - self.rows_without - len(self.unique)

    def where(self, rows: Mask) -> LeadIds:
        """Keep the IDs of these rows only; the other rows count as having none."""
        codes = np.full(len(self.codes), -1, dtype=np.intp)
        there = rows & (self.codes >= 0)
        codes[there], used = pd.factorize(self.codes[there])
        return replace(self, codes=codes, unique=[self.unique[one] for one in used.tolist()])


def lead_ids(frame: pd.DataFrame, on: Hashable | None = None) -> LeadIds:
    """Find the column or index level of lead IDs and read it.

    ``on`` is its label; None takes the first of the columns ``lead_id`` and ``leadId``, then of the
    index levels of these names, then ``id`` as either.
    """
    check_frame(frame)
    return ids_at(frame, *_locate(frame, on))


def check_frame(frame: object) -> None:
    """Refuse what is given for a frame and is none."""
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"a pandas DataFrame is needed, not {type(frame).__name__}")


def recorded_ids(frame: pd.DataFrame, on: Mapping[str, Any] | None) -> LeadIds:
    """Read the lead IDs where a receipt's ``on`` says that they are, else where they are found."""
    on = on if isinstance(on, Mapping) else {}
    kind: Kind = "level" if on.get("kind") == "level" else "column"
    labels = _labels(frame, kind)
    found = [i for i, label in enumerate(labels) if _label_text(label) == on.get("name")]
    # JSON knows labels as text only: 0 beside "0" is told apart by its type, twins by position.
    found = [i for i in found if type(labels[i]).__name__ == on.get("type")] or found
    here = on.get("position")
    if not found and on.get("type") != "str":  # a file makes text of labels, its own way
        found = [i for i, label in enumerate(labels) if i == here and _is_texts(label)]
    found = [i for i in found if i == here] or found
    return ids_at(frame, *((kind, found[0]) if len(found) == 1 else _locate(frame, None)))


def ids_at(frame: pd.DataFrame, kind: Kind, position: int) -> LeadIds:
    """Read the lead IDs of one column or index level."""
    label = _labels(frame, kind)[position]
    name = _label_text(label)
    values = values_at(frame, kind, position)
    codes, unique, faults = _clean(_keys(values))
    if faults:
        raise refusal(place_of(kind, name), *bad_rows(values, frame.index))
    return LeadIds(name, kind, position, type(label).__name__, codes, unique)


def values_at(frame: pd.DataFrame, kind: Kind, position: int) -> Any:
    """The values of one column or index level, as a plain array."""
    if kind == "column":
        array = frame.iloc[:, position].array
    else:
        # Without names, since pandas takes a number for the level that is called so.
        index = frame.index.set_names([None] * frame.index.nlevels)
        array = index.get_level_values(position).array
    return array.to_numpy() if isinstance(array, pd.arrays.NumpyExtensionArray) else array


def _labels(frame: pd.DataFrame, kind: Kind) -> list[Hashable]:
    return list(frame.columns if kind == "column" else frame.index.names)


def place_of(kind: Kind, name: str) -> str:
    """Where lead IDs stand, in words."""
    return f"the {_WORDS[kind]} {shown(name)}"


class Distinct(NamedTuple):
    """The distinct values of some lead IDs, as they were given."""

    as_given: Any  # each value that is an ID, once, in the type it came in
    codes: Codes  # per value the position of its ID in `unique`
    unique: list[str]  # each ID once; `" a"` and `"a"` are two values of one
    rows: int  # how many IDs were given, missing ones included
    rows_without: int  # how many of them were missing or blank

    @property
    def duplicate_rows(self) -> int:
        """How many of them repeat another."""
        return self.rows - self.rows_without - len(self.unique)


def distinct(ids: Any) -> Distinct:
    """Read lead IDs that belong to no frame."""
    values = _listed(ids)
    keys = _keys(values)
    codes, unique, faults = _clean(keys)
    if faults:
        raise refusal("this list", *bad_rows(values, pd.RangeIndex(len(keys.codes))))
    # What a key is worth, by the first row that has it.
    worth = np.full(len(keys.cells), -1, dtype=np.intp)
    worth[keys.codes[keys.codes >= 0]] = codes[keys.codes >= 0]
    missing = int(np.count_nonzero(codes < 0))
    return Distinct(*_as_given(keys, worth), unique, len(keys.codes), missing)


def _listed(ids: Any) -> Any:
    if isinstance(ids, str | bytes | Mapping | pd.DataFrame | pa.Table | pa.RecordBatch):
        raise TypeError(
            f"ids are lead IDs, not a {type(ids).__name__}: pass the column of a table, "
            'df["lead_id"]'
        )
    if isinstance(ids, pd.Series | pd.Index | pa.Array | pa.ChunkedArray):
        return ids
    if hasattr(ids, "__arrow_c_stream__"):
        return pa.chunked_array(ids)
    if hasattr(ids, "__arrow_c_array__"):
        return pa.array(ids)
    if isinstance(ids, np.ndarray):
        return pd.Series(ids)
    return pd.Series(list(ids), dtype=object)


def _as_given(keys: Keys, worth: Codes) -> tuple[Any, Codes]:
    """The cells that are IDs in one Arrow type, text where they are of several, and their IDs."""
    there = np.flatnonzero(worth >= 0)
    if keys.arrow is not None:
        return keys.arrow.take(pa.array(there)), worth[there]
    cells = [keys.cells[one] for one in there.tolist()]
    with suppress(pa.ArrowInvalid, OverflowError):  # integers beyond 64 bits
        if len(set(map(type, cells))) == 1:
            return pa.array(cells), worth[there]
    texts: dict[str, int] = {}
    for cell, code in zip(cells, worth[there].tolist(), strict=True):
        text = str(cell)
        if texts.setdefault(text, code) != code:
            raise LeadIdError(
                f"{shown(text)} is given as text and as a number, which are two leads",
                "nothing was started",
                "give all IDs as text",
            )
    return pa.array(list(texts)), np.fromiter(texts.values(), np.intp, len(texts))


def _locate(frame: pd.DataFrame, on: Hashable | None) -> tuple[Kind, int]:
    found = _find(frame, ID_NAMES[:-1] if on is None else (on,))
    if found is None and on is None:  # the last name may be anything's
        found = _find(frame, ID_NAMES[-1:])
        if found is not None:
            _logger.info(
                "lead IDs are taken from the %s 'id'; if they are in another, %s",
                found[0],
                Way("name_ids"),
            )
    if found is None:
        called = "lead_id, leadId or id" if on is None else shown(on)
        raise LeadIdError(
            f"no column or index level is called {called}; there are {_inventory(frame)}",
            "nothing was requested",
            Way("name_ids"),
        )
    return found


def _find(frame: pd.DataFrame, names: Sequence[Hashable]) -> tuple[Kind, int] | None:
    for kind in _WORDS:
        labels = _labels(frame, kind)
        for name in names:
            if (position := _only(labels, name, kind)) is not None:
                return kind, position
    return None


def _only(labels: Sequence[Hashable], name: Hashable, kind: Kind) -> int | None:
    """The position of the one label of this name; None where there is none."""
    found = [i for i, label in enumerate(labels) if same_label(label, name)]
    if not found and isinstance(name, str):
        # With MultiIndex columns, a plain name means the only column under it.
        heads = [label[0] if isinstance(label, tuple) and label else None for label in labels]
        found = [i for i, head in enumerate(heads) if same_label(head, name)]
        found = [i for i in found if is_padded(labels[i])] or found
    if len(found) > 1:
        raise LeadIdError(
            f"{len(found)} {_WORDS[kind]}s are called {shown(name)}, and which of them holds the "
            "lead IDs is not clear",
            "nothing was requested",
            "rename the others",
        )
    return found[0] if found else None


def is_padded(label: Any) -> bool:
    """Whether a tuple names something on its first level only, as pandas pads plain names."""
    return all(isinstance(rest, str) and not rest for rest in label[1:])


def _plain(label: Any) -> Any:
    if isinstance(label, tuple):
        return tuple(map(_plain, label))
    return label.item() if isinstance(label, np.generic) else label


def same_label(label: object, name: object) -> bool:
    """Whether a frame's label is this name."""
    if isinstance(name, str):
        return isinstance(label, str) and label == name
    label, name = _plain(label), _plain(name)
    # By type, since 1 and True are different columns, and by text, since NaN does not equal itself
    # and pd.NA has no truth value.
    return type(label) is type(name) and str(label) == str(name)


def labelled(frame: pd.DataFrame, name: str) -> list[int]:
    """Where the frame has columns of this name, or groups of them."""
    grouped = isinstance(frame.columns, pd.MultiIndex)
    heads = [label[0] if grouped else label for label in frame.columns]
    return [i for i, head in enumerate(heads) if same_label(head, name)]


class Keys(NamedTuple):
    """Distinct cells as they are, and per row the position of its cell (-1: missing).

    ``arrow`` has the cells as Arrow, where they were no Python objects.
    """

    codes: Codes
    cells: list[Any]
    arrow: Any = None


def _keys(values: Any) -> Keys:
    """Number the distinct cells: by Arrow, and where it cannot, as Python objects."""
    arrow = as_arrow(values)
    if arrow is None:
        return object_keys(np.asarray(values, dtype=object))
    if arrow.null_count == len(arrow):
        return Keys(np.full(len(arrow), -1, dtype=np.intp), [])
    try:
        encoded = arrow.dictionary_encode().unify_dictionaries()
    except pa.ArrowNotImplementedError:
        # Nested cells are no IDs, and which rows have them is said; run-end encoded text is read.
        return object_keys(np.fromiter(_cells(arrow), object, len(arrow)))
    codes = [pc.fill_null(chunk.indices.cast(pa.int64()), -1) for chunk in encoded.chunks]
    held = encoded.chunk(0).dictionary
    whole = pa.chunked_array(codes).to_numpy().astype(np.intp)
    return Keys(whole, _cells(held), held)


def _cells(arrow: Any) -> list[Any]:
    """The cells as objects: floats in their own size, which decides what they can hold."""
    if pa.types.is_floating(arrow.type):
        return list(arrow.to_numpy(zero_copy_only=False))
    cells: list[Any] = arrow.to_pylist()
    return cells


def as_arrow(values: Any) -> Any:
    """The values as Arrow, decoded; None where Arrow would change or refuse some of them."""
    if not isinstance(values, pa.Array | pa.ChunkedArray):
        dtype = values.dtype
        objects = isinstance(dtype, np.dtype) and dtype.kind == "O"
        if objects or (isinstance(dtype, pd.StringDtype) and dtype.storage == "python"):
            return None
        try:
            values = pa.array(values, from_pandas=True)
        except (pa.ArrowException, TypeError, ValueError):
            return None
        if isinstance(values.type, pa.BaseExtensionType):  # periods, whose numbers are no IDs
            return None
    arrow = values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([values])
    if pa.types.is_dictionary(arrow.type):
        arrow = arrow.cast(arrow.type.value_type)
    # Views are numbered by Arrow, and cannot be taken from.
    return arrow.cast(pa.large_string()) if arrow.type == pa.string_view() else arrow


def object_keys(values: npt.NDArray[np.object_]) -> Keys:
    """Number Python objects by type and value.

    A dictionary and not ``pandas.factorize``, which takes True for 1, and on pandas 2 reads a
    string only up to its first NUL.
    """
    present = ~np.asarray(pd.isna(values))
    there = values[present]
    codes = np.full(len(values), -1, dtype=np.intp)
    numbered: defaultdict[Any, int] = defaultdict(itertools.count().__next__)
    text = pd.api.types.infer_dtype(there, skipna=False) == "string"
    try:
        keyed = there if text else zip(map(type, there), there, strict=True)
        codes[present] = np.fromiter(map(numbered.__getitem__, keyed), np.intp, len(there))
    except TypeError:  # lists and other unhashable cells, all of them faults
        codes[present] = np.arange(len(there))
        return Keys(codes, list(there))
    return Keys(codes, list(numbered) if text else [value for _, value in numbered])


def _clean(keys: Keys) -> tuple[Codes, list[str], dict[int, str]]:
    """Turn cells into IDs: codes and unique IDs anew, and what is wrong with which key."""
    numbered: dict[str, int] = {}
    faults: dict[int, str] = {}
    # One entry more than keys, so that the code -1 of a missing cell stays -1.
    renumbered = np.full(len(keys.cells) + 1, -1, dtype=np.intp)
    for position, cell in enumerate(keys.cells):
        text, fault = _read(cell)
        if fault:
            faults[position] = fault
        elif text:
            renumbered[position] = numbered.setdefault(text, len(numbered))
    return renumbered[keys.codes], list(numbered), faults


def _read(cell: Any) -> tuple[str, str]:
    """One cell as a lead ID ('' where it has none) and what is wrong with it ('' if nothing)."""
    if isinstance(cell, str):
        text = str.__str__(cell).strip()
        return text, lead_id_fault(text) if text else ""
    if cell is None or cell is pd.NA or cell is pd.NaT:
        return "", ""
    if isinstance(cell, bool | np.bool_):
        return "", "True or False"
    if isinstance(cell, int | np.integer):
        whole = operator.index(cell)
        # Compared as a number first: Python refuses to write integers of 4,300 digits and more.
        if abs(whole) >= 10**LONGEST_ID or len(str(whole)) > LONGEST_ID:
            return "", f"longer than {LONGEST_ID} characters"
        return str(whole), ""
    if isinstance(cell, float | np.floating):
        # Up to which a float of its size holds every integer; longer ones have Python's limit.
        bits = min(np.finfo(type(cell)).nmant + 1, 53)
        cell = cast("float", cell)  # half and long floats compare like Python's
        if np.isnan(cell):
            return "", ""
        if np.isinf(cell):
            return "", "an infinite number"
        if abs(cell) > 2.0**bits:
            return "", f"a float above 2**{bits}, where floats skip integers"
        if cell != int(cell):
            return "", "a fractional number"
        return str(int(cell)), ""
    return "", f"of type {type(cell).__name__}, neither text nor an integer"


def bad_rows(values: Any, labels: pd.Index[Any]) -> tuple[list[str], int]:
    """The first rows whose values are no lead IDs, in words, and how many there are."""
    keys = _keys(values)
    faults = _clean(keys)[2]
    rows = np.flatnonzero(np.isin(keys.codes, np.fromiter(faults, np.intp, len(faults))))
    named = [f"row {shown(labels[row])} ({faults[int(keys.codes[row])]})" for row in rows[:_SHOWN]]
    return named, len(rows)


def refusal(what: str, bad: Sequence[str], count: int) -> LeadIdError:
    """Name rows (of `bad_rows`, and how many there are) whose values are no lead IDs."""
    more = f" and {count - _SHOWN:,} more" if count > _SHOWN else ""
    return LeadIdError(
        f"{what} holds values that are no lead IDs: {', '.join(bad[:_SHOWN])}{more}",
        "nothing was started",
        "correct these rows or empty them",
        Way("name_ids"),
    )


def _is_texts(label: Hashable) -> bool:
    return all(isinstance(one, str) for one in (label if isinstance(label, tuple) else (label,)))


def _label_text(label: Hashable) -> str:
    if isinstance(label, tuple) and label and is_padded(label):
        label = label[0]
    return str(_plain(label))


def shown(label: object) -> str:
    """A label in a message: as Python writes it, safe to print, not too long."""
    text = clean(repr(label.item() if isinstance(label, np.number) else label))
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
