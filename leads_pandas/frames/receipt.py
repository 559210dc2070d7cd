"""What a call leaves behind on its result, for the next call and for whoever asks later.

A receipt is plain JSON, in a frame's ``attrs["leads"]`` and in a file's metadata. By its `marks`
the next call knows its own columns, and by its ``here`` which leads this machine answered, and not
the service: True where it was all of them, null where it was none, else a text that knows the
leads. What was found here is kept, and what was not found here may still be bought.
"""

from __future__ import annotations

import base64
import json
import zlib
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from leads_pandas.frames.columns import COLUMNS, NotOurs, read_old, text_dtype, to_pandas
from leads_pandas.frames.ids import labelled
from leads_pandas.home import version
from leads_pandas.models import STATUSES

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import numpy.typing as npt

    from leads_pandas.frames.columns import Codes, Mask
    from leads_pandas.frames.ids import Distinct, LeadIds
    from leads_pandas.frames.join import ColumnPlan

RECEIPT: Final = "leads"  # in a frame's attrs
METADATA_KEY: Final = b"leads_pandas"  # in a file's metadata

_FORMAT: Final = 2  # the first had no number
_MARKED: Final = 64  # rows: as many as a receipt that people look at can bear
_SUMMED: Final = 100_000  # rows: of more, looking at each costs more than joining it
_DIGITS: Final = 4


def receipt_of(frame: pd.DataFrame) -> dict[str, Any]:
    """The frame's receipt; empty where there is none of ours."""
    found = frame.attrs.get(RECEIPT)
    return found if isinstance(found, dict) else {}


def receipt(out: pd.DataFrame | pa.Table) -> dict[str, Any]:
    """The receipt that was put on a delivered frame or table."""
    if isinstance(out, pd.DataFrame):
        return dict(out.attrs[RECEIPT])
    return dict(json.loads((out.schema.metadata or {})[METADATA_KEY]))


def receipt_of_call(
    facts: Mapping[str, Any],
    ids: LeadIds | Distinct,
    codes: Codes,
    columns: pa.Table,
    bought: Collection[str],
) -> dict[str, Any]:
    """What the receipt says whatever the answers were joined to; as `deliver` has them."""
    statuses = _statuses(columns, codes, len(ids.unique))
    counts = np.bincount(statuses[statuses >= 0], minlength=len(STATUSES)).tolist()
    mine = set(bought)
    paid = [position for position, lead in enumerate(ids.unique) if lead in mine]
    held = {name: columns[name] for name in COLUMNS}
    return {
        "format": _FORMAT,
        "run_id": None,
        "job_ids": [],
        "preview": None,
        "credits_reserved": 0,
        "credits_new": 0,
        "host": None,
        "here": None,
        "credits_saved": 0,
        **facts,
        "counts": dict(zip(STATUSES, counts, strict=True)),
        "bought": {
            "leads": len(paid),
            "found": int(np.count_nonzero(statuses[paid] == STATUSES.index("found"))),
        },
        "version": version(),
        "rows": {
            "total": ids.rows,
            "without_id": ids.rows_without,
            "duplicate": ids.duplicate_rows,
        },
        "marks": marks(columns, codes, ids.unique),
        "sums": sums(held, codes, ids.unique) if len(codes) <= _SUMMED else None,
    }


def _statuses(columns: pa.Table, codes: Codes, leads: int) -> npt.NDArray[np.int8]:
    """Per lead the status of its first row that has one; -1: none."""
    rows = pd.Categorical(to_pandas("enrichment_status", columns["enrichment_status"])).codes
    there = (codes >= 0) & (rows >= 0)
    statuses = np.full(leads, -1, dtype=np.int8)
    statuses[codes[there][::-1]] = rows[there][::-1]
    return statuses


def receipt_fields(ids: LeadIds, plan: ColumnPlan) -> dict[str, Any]:
    """What the receipt must say of the frame: which column held the IDs, and the new columns.

    ``plan_columns`` reads ``columns`` and ``emails`` back when the result is enriched again.
    """
    return {
        "on": {name: getattr(ids, name) for name in ("name", "kind", "position", "type")},
        "columns": plan.columns,
        "emails": plan.emails,
        "min_confidence": plan.min_confidence,
    }


def with_receipt(frame: pd.DataFrame, receipt: Mapping[str, Any]) -> pd.DataFrame:
    """The frame, its columns shared, with the receipt in ``attrs["leads"]`` as plain JSON."""
    out = frame.copy(deep=False)
    out.attrs = {**frame.attrs, RECEIPT: json.loads(json.dumps(dict(receipt)))}
    return out


# Which columns the call wrote


def marks(columns: pa.Table, codes: Codes, unique: list[str]) -> dict[str, str]:
    """What some rows of a result hold, as checksums by their lead."""
    held = np.flatnonzero(codes >= 0)
    spread = np.unique(np.linspace(0, len(held), _MARKED, endpoint=False, dtype=np.intp))
    rows = held[spread[: len(held)]]
    some = columns.take(rows)
    digests = zip(*(map(_digest, some[name].to_pylist()) for name in COLUMNS), strict=True)
    return {
        _written(unique[codes[row]]): "".join(found)
        for row, found in zip(rows.tolist(), digests, strict=True)
    }


def sums(columns: Mapping[str, Any], codes: Codes, unique: list[str]) -> dict[str, str]:
    """What all rows with an ID hold, whatever their order: a sum of their leads, one per column."""
    rows = codes >= 0
    leads = pd.util.hash_array(np.array(unique, dtype=object))[codes[rows]]
    held = {name: leads * _hashes(column)[rows] for name, column in columns.items()}
    return {name: f"{one.sum():016x}" for name, one in {"": leads, **held}.items()}


def _hashes(column: Any) -> Any:
    """A number per cell of one of the five columns, the same on every pandas."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64()).fill_null(0)
    if pa.types.is_dictionary(column.type):
        column = column.cast(pa.large_string())
    if not pa.types.is_primitive(column.type):
        column = column.fill_null("")
    return pd.util.hash_array(column.to_numpy())


def _digest(value: Any) -> str:
    return f"{zlib.crc32(str(value).encode()) & 0xFFFF:0{_DIGITS}x}"


def _written(lead_id: str) -> str:
    return f"{zlib.crc32(lead_id.encode()):08x}"


def ours(
    frame: pd.DataFrame,
    ids: LeadIds,
    receipt: Mapping[str, Any],
) -> set[int]:
    """The positions of the columns that the receipt's call wrote, told by what they hold.

    A receipt stays in ``attrs`` when a column is dropped and another of its name is merged in: a
    column is the call's only where it still says what it said: of all leads where they are those of
    the result, else of the marked ones. A part of the result that has none of them is told by its
    types, and by an email standing only where the status says so.
    """
    named = receipt.get("columns")
    if not isinstance(named, dict):
        return set()
    at = {
        key: found[0]
        for key in COLUMNS
        if isinstance(named.get(key), str) and len(found := labelled(frame, named[key])) == 1
    }
    if len(frame) == 0:  # there is nothing to lose
        return set(at.values())
    told = receipt.get("sums")
    if isinstance(told, dict) and told.get("") == sums({}, ids.codes, ids.unique)[""]:
        return {
            place for key, place in at.items() if _adds_up(key, frame.iloc[:, place], ids, told)
        }
    held = receipt.get("marks")
    marked = _marked(ids, held) if isinstance(held, dict) else {}
    if marked:
        return {
            place for key, place in at.items() if _holds(key, frame.iloc[:, place], ids, marked)
        }
    return {place for key, place in at.items() if _looks_ours(key, frame, at)}


def _marked(ids: LeadIds, held: Mapping[str, Any]) -> dict[int, str]:
    keys = ((position, _written(lead)) for position, lead in enumerate(ids.unique))
    return {position: str(held[key]) for position, key in keys if key in held}


def _adds_up(key: str, column: pd.Series[Any], ids: LeadIds, told: Mapping[str, Any]) -> bool:
    """Whether all rows still hold in this column what the result held."""
    try:
        return sums({key: read_old(key, column)}, ids.codes, ids.unique)[key] == told.get(key)
    except NotOurs:
        return False


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
    if dtype != text_dtype():
        return False
    if "enrichment_status" not in at:
        return True
    found = frame.iloc[:, at["enrichment_status"]] == "found"
    return not bool((column.notna() & ~found).any())


# Who said it


def said_here(receipt: Mapping[str, Any], unique: Sequence[str]) -> Mask:
    """Which of these leads were answered here, as a receipt has it."""
    here = receipt.get("here")
    if not isinstance(here, str):
        return np.full(len(unique), here is True, dtype=np.bool_)
    try:
        known = np.frombuffer(zlib.decompress(base64.b85decode(here)), np.dtype("<u4"))
    except (ValueError, zlib.error):  # not as we wrote it
        return np.zeros(len(unique), dtype=np.bool_)
    found: Mask = np.isin(_crcs(unique), known)
    return found


def origin(unique: Sequence[str], here: Mask, found: Mask, *, whole: bool) -> dict[str, Any]:
    """What the receipt is to say of leads that were answered here, and that have an email.

    ``whole``: nothing that the frame holds is from anywhere else.
    """
    if not here.any():
        return {"here": None, "credits_saved": 0}
    told: str | bool = True
    if not (whole and here.all()):
        known = np.unique(_crcs([unique[one] for one in np.flatnonzero(here).tolist()]))
        told = base64.b85encode(zlib.compress(known.tobytes())).decode()
    # What was found here was not bought.
    return {"here": told, "credits_saved": int(np.count_nonzero(here & found))}


def _crcs(lead_ids: Sequence[str]) -> Any:
    # Half a megabyte for 100,000 leads, and one in 40,000 of the others is taken for one of them:
    # if it was bought, asking for it again costs nothing.
    return np.fromiter((zlib.crc32(one.encode()) for one in lead_ids), np.dtype("<u4"))
