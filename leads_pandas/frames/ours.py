"""Which columns of a frame a receipt's call wrote, told by what they hold.

A receipt stays in ``attrs`` when a column is dropped and another of its name is merged in. So it
carries `marks` of a few rows spread over the result, and a column is ours only where it still says
the same of those leads. A part of the result that has none of them is told by its types, and by an
email standing only where the status says so.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from leads_pandas.frames.columns import COLUMNS, NotOurs, read_old
from leads_pandas.models import STATUSES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pyarrow as pa

    from leads_pandas.frames.columns import Codes
    from leads_pandas.frames.ids import LeadIds

_MARKED: Final = 64  # rows: as many as a receipt that people look at can bear
_DIGITS: Final = 4


def marks(columns: pa.Table, codes: Codes, unique: list[str]) -> dict[str, str]:
    """What some rows of a result hold, as checksums by their lead."""
    held = np.flatnonzero(codes >= 0)
    rows = (
        held[np.unique(np.linspace(0, len(held) - 1, _MARKED).astype(int))] if len(held) else held
    )
    some = columns.take(rows)
    digests = zip(*(map(_digest, some[name].to_pylist()) for name in COLUMNS), strict=True)
    return {
        _key(unique[codes[row]]): "".join(found)
        for row, found in zip(rows.tolist(), digests, strict=True)
    }


def _key(lead_id: str) -> str:
    return f"{zlib.crc32(lead_id.encode()):08x}"


def _digest(value: Any) -> str:
    return f"{zlib.crc32(str(value).encode()) & 0xFFFF:0{_DIGITS}x}"


def ours(
    frame: pd.DataFrame,
    ids: LeadIds,
    receipt: Mapping[str, Any],
    positions: Callable[[pd.DataFrame, str], list[int]],
) -> set[int]:
    """The positions of the columns that the receipt's call wrote.

    ``positions`` tells where the frame has columns of a name.
    """
    named = receipt.get("columns")
    if not isinstance(named, dict):
        return set()
    at = {
        key: found[0]
        for key in COLUMNS
        if isinstance(named.get(key), str) and len(found := positions(frame, named[key])) == 1
    }
    held = receipt.get("marks")
    marked = _marked(ids, held) if isinstance(held, dict) else {}
    if marked:
        return {
            place for key, place in at.items() if _holds(key, frame.iloc[:, place], ids, marked)
        }
    return {place for key, place in at.items() if _looks_ours(key, frame, at)}


def _marked(ids: LeadIds, held: Mapping[str, Any]) -> dict[int, str]:
    """The mark of each lead that has one, by its position."""
    keys = ((position, _key(lead)) for position, lead in enumerate(ids.unique))
    return {position: str(held[key]) for position, key in keys if key in held}


def _holds(key: str, column: pd.Series[Any], ids: LeadIds, marked: Mapping[int, str]) -> bool:
    """Whether a row of every marked lead still holds in this column what its mark says."""
    rows = np.flatnonzero(np.isin(ids.codes, np.fromiter(marked, np.intp, len(marked))))
    try:
        values = read_old(key, column, rows).to_pylist()
    except NotOurs:
        return False
    start = _DIGITS * COLUMNS.index(key)
    same = {
        code
        for code, value in zip(ids.codes[rows].tolist(), values, strict=True)
        if _digest(value) == marked[code][start : start + _DIGITS]
    }
    return len(same) == len(marked)


def _looks_ours(key: str, frame: pd.DataFrame, at: Mapping[str, int]) -> bool:
    column = frame.iloc[:, at[key]]
    dtype = column.dtype
    if key == "enrichment_status":
        return isinstance(dtype, pd.CategoricalDtype) and set(dtype.categories) <= set(STATUSES)
    if key == "confidence":
        return bool(dtype == np.float64)
    if key == "enriched_at":
        return isinstance(dtype, pd.DatetimeTZDtype)
    if dtype != pd.Series([""]).dtype:
        return False
    if "enrichment_status" not in at:
        return True
    found = frame.iloc[:, at["enrichment_status"]] == "found"
    return not bool((column.notna() & ~found).any())
