"""What runs on the workers, partition by partition: find the IDs, join the answers, write a file.

Pure but for the file: no key, no store and no request. So a partition may run as often as Dask
likes.
"""

from __future__ import annotations

import functools
import json
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from leads_pandas.frames import parquet
from leads_pandas.frames.columns import answers
from leads_pandas.frames.delivery import Output
from leads_pandas.frames.ids import as_arrow, bad_rows, object_keys, values_at
from leads_pandas.frames.join import join, plan_columns
from leads_pandas.frames.receipt import METADATA_KEY, RECEIPT, with_receipt

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from pyarrow.fs import FileSystem

    from leads_pandas.frames.columns import Codes, Row
    from leads_pandas.frames.ids import LeadIds
    from leads_pandas.frames.join import ColumnPlan, Joined

_LAST_ROW: Final[list[Row]] = [
    ("", "not_enriched", (), None)
]  # for IDs that were not there when asked for


@dataclass(frozen=True, slots=True, eq=False)
class Wish:
    """What is asked for, decided on the frame's meta, for every partition alike."""

    ids: LeadIds  # where the lead IDs stand; without any
    plan: ColumnPlan  # the new columns; without any rows
    on_conflict: str  # as the caller gave it
    attrs: dict[str, Any]  # what earlier columns of ours are told by

    def __dask_tokenize__(self) -> Any:
        ids, plan = self.ids, self.plan
        place = (ids.kind, ids.position, ids.name)
        wanted = (plan.emails, plan.min_confidence, tuple(plan.columns.items()))
        return (type(self).__name__, place, wanted, plan.stays.tolist(), self.on_conflict)

    @property
    def by_row(self) -> bool:
        """Whether the rows decide, and not the columns alone."""
        again = self.plan.emails == "all" and not self.plan.stays.all()
        return self.on_conflict == "fill" or again

    def narrowed(self) -> Wish:
        """The same for a frame whose first column holds the lead IDs, where a column does."""
        return replace(self, ids=replace(self.ids, position=0))

    def plan_of(self, part: pd.DataFrame, codes: Codes) -> ColumnPlan:
        """The plan of one partition."""
        if not self.by_row:
            return self.plan
        known = part.copy(deep=False)
        known.attrs = {RECEIPT: self.attrs}
        plan, conflict = self.plan, "fill" if self.on_conflict == "fill" else "replace"
        output = Output(None, plan.emails, plan.min_confidence, plan.columns, conflict)
        return plan_columns(known, replace(self.ids, codes=codes), output)


def values_of(part: pd.DataFrame, ids: LeadIds) -> Any:
    """The raw lead IDs of a partition."""
    return values_at(part, ids.kind, ids.position)


# Collecting


class Found(NamedTuple):
    """Distinct raw values: one Arrow array, or Python objects where they are of several types."""

    cells: Any
    rows: int
    asked: int
    missing: int


def found(part: pd.DataFrame, wish: Wish) -> Found:
    """The distinct raw values of one partition that are to be asked for."""
    values: Any = values_of(part, wish.ids)
    rows = asked = len(part)
    if wish.on_conflict == "fill":
        keep = wish.plan_of(part, np.zeros(rows, dtype=np.intp)).keep_rows
        values = values if keep is None else values[~keep]
        asked = len(values)
    arrow = as_arrow(values)
    if arrow is None:
        keys = object_keys(np.asarray(values, dtype=object))
        blank = [n for n, one in enumerate(keys.cells) if isinstance(one, str) and not one.strip()]
        missing = np.count_nonzero(keys.codes < 0) + np.count_nonzero(np.isin(keys.codes, blank))
        return Found(keys.cells, rows, asked, int(missing))
    cells = pc.unique(arrow).drop_null()
    missing = arrow.null_count
    if _is_text(cells.type):
        empty = cells.filter(pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(cells)), pa.scalar(0)))
        if len(empty):
            missing += pc.sum(pc.is_in(arrow, value_set=empty)).as_py()
    return Found(cells, rows, asked, missing)


def merged(several: Sequence[Found]) -> Found:
    """The distinct raw values of several partitions, in the order of their first appearance."""
    some = [one.cells for one in several if len(one.cells)]
    counts = [sum(one[place] for one in several) for place in (1, 2, 3)]
    if not some or all(isinstance(one, pa.Array) and one.type == some[0].type for one in some):
        cells: Any = pc.unique(pa.chunked_array(some)) if some else []
        return Found(cells, *counts)
    listed = [one.to_pylist() if isinstance(one, pa.Array) else one for one in some]
    cells_of = [cell for one in listed for cell in one]
    try:
        distinct = list({(type(cell), cell): cell for cell in cells_of}.values())
    except TypeError:  # lists and other unhashable cells, all of them faults
        distinct = cells_of
    return Found(distinct, *counts)


def faults(part: pd.DataFrame, wish: Wish) -> tuple[list[str], int]:
    """The first rows of a partition that have no usable ID, in words, and how many there are."""
    return bad_rows(values_of(part, wish.ids), part.index)


# Joining


class Answers:
    """What partitions are joined to: per value as it was given, one row or several.

    The token is the name of the purchase.
    """

    def __init__(self, table: pa.Table, receipt: dict[str, Any], token: str) -> None:
        self.table = table
        self.receipt = receipt
        self.token = token

    def __reduce__(self) -> tuple[Any, ...]:
        return Answers, (self.table, self.receipt, self.token)

    def __dask_tokenize__(self) -> Any:
        return (type(self).__name__, self.token)

    def opened(self) -> Answers:
        """Itself: nothing has to be fetched."""
        return self

    @functools.cached_property
    def values(self) -> Any:
        """Each value as it was given, once."""
        column = self.table["lead_id"]
        return pc.unique(
            column.cast(pa.large_string()) if pa.types.is_string(column.type) else column
        )

    @functools.cached_property
    def numbered(self) -> pa.Table:
        """The answers by the position of their value, and a last one for values not known."""
        place = self.codes(self.table["lead_id"])
        last = answers(_LAST_ROW).set_column(0, "lead_id", pa.array([len(self.values)], pa.int64()))
        return pa.concat_tables([self.table.set_column(0, "lead_id", place), last])

    def codes(self, arrow: Any) -> Any:
        """The position of each value, null where it is none of these."""
        places = pc.index_in(arrow.cast(self.values.type), value_set=self.values)
        return places.cast(pa.int64())

    def positions(self, values: Any) -> Codes:
        """Per row the position of its value; -1 where it has none, the last where not known."""
        arrow = as_arrow(values)
        if arrow is None:
            keys = object_keys(np.asarray(values, dtype=object))
            known = self._of_cells(keys.cells)
            codes: Codes = np.append(known, -1)[keys.codes].astype(np.intp)
            return codes
        if pa.types.is_null(arrow.type):
            return np.full(len(arrow), -1, dtype=np.intp)
        if arrow.type != self.values.type and not (
            _is_text(arrow.type) and _is_text(self.values.type)
        ):
            return self._of_cells(arrow.to_pylist())
        places: Codes = pc.fill_null(self.codes(arrow), -1).to_numpy().astype(np.intp)
        lost = np.flatnonzero(places < 0)
        if len(lost):
            places[lost] = self._of_lost(arrow.take(pa.array(lost)).to_pylist())
        return places

    def _of_cells(self, cells: Sequence[Any]) -> Codes:
        """The positions of Python objects."""
        text = _is_text(self.values.type)
        fitting = [_fitting(cell, self.values.type, text=text) for cell in cells]
        places = pc.fill_null(self.codes(pa.array(fitting, self.values.type)), -1)
        codes: Codes = places.to_numpy().astype(np.intp)
        lost = np.flatnonzero(codes < 0)
        codes[lost] = self._of_lost([cells[one] for one in lost.tolist()])
        return codes

    def _of_lost(self, cells: Sequence[Any]) -> list[int]:
        """-1 for those that are missing or blank, and the last position for all others."""
        last = len(self.values)
        return [-1 if pd.api.types.is_scalar(one) and _is_none(one) else last for one in cells]


def _is_none(cell: Any) -> bool:
    return bool(pd.isna(cell)) or (isinstance(cell, str) and not cell.strip())


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _fitting(cell: Any, kind: Any, *, text: bool) -> Any:
    """A Python object as Arrow's type holds it; None where it has none or cannot."""
    if pd.api.types.is_scalar(cell) and pd.isna(cell):
        return None
    if text:
        return str(cell)
    with suppress(pa.ArrowException, TypeError, ValueError, OverflowError):
        return pa.scalar(cell, kind).as_py()
    return None


class Aside:
    """Answers too large for the graph: a Parquet file that all workers see and each reads once."""

    def __init__(self, path: str, filesystem: FileSystem | None, token: str) -> None:
        self._path = path
        self._filesystem = filesystem
        self._token = token

    def __dask_tokenize__(self) -> Any:
        return (type(self).__name__, self._token)

    def opened(self) -> Answers:
        """What the file holds."""
        try:
            return _opened(self._path, self._filesystem, self._token)
        except FileNotFoundError:
            raise FileNotFoundError(
                f"{self._path} holds the answers and is not to be seen from this worker; nothing "
                "is lost and nothing is bought again: call enrich again with a path in a folder "
                "that all workers share, or with Dask's temporary-directory set to one"
            ) from None


@functools.lru_cache(maxsize=1)
def _opened(path: str, filesystem: FileSystem | None, token: str) -> Answers:
    table = pq.read_table(path, filesystem=filesystem)
    return Answers(table, json.loads((table.schema.metadata or {})[METADATA_KEY]), token)


def _joined(part: pd.DataFrame, held: Answers | Aside, wish: Wish) -> tuple[Joined, dict[str, Any]]:
    known = held.opened()
    codes = known.positions(values_of(part, wish.ids))
    return join(part, codes, known.numbered, wish.plan_of(part, codes)), known.receipt


def joined(part: pd.DataFrame, held: Answers | Aside, wish: Wish) -> pd.DataFrame:
    """A partition with its answers."""
    out, receipt = _joined(part, held, wish)
    return with_receipt(out.frame, receipt)


# Files


@dataclass(frozen=True, slots=True)
class Folder:
    """Where the files of one write go; its token is in their names, and no other's."""

    location: str
    token: str
    partitions: int
    filesystem: FileSystem | None = None

    def file(self, number: int) -> str:
        """The name of a partition's file; they sort in the order of the partitions."""
        return f"part-{number:0{len(str(self.partitions - 1))}d}-{self.token}.parquet"


def written(
    part: pd.DataFrame, held: Answers | Aside, wish: Wish, folder: Folder, number: int
) -> str:
    """Join a partition, write it, and return its file's name, which is the same in a second run."""
    out, receipt = _joined(part, held, wish)
    attrs = {**out.frame.attrs, RECEIPT: receipt}
    table = pa.Table.from_pandas(out.frame, preserve_index=True)
    table = parquet.complete(table, out.columns, receipt, attrs)
    name = folder.file(number)
    if folder.filesystem is not None:
        # An object appears as a whole, when it is closed.
        pq.write_table(table, f"{folder.location}/{name}", filesystem=folder.filesystem)
        return name
    target = os.path.join(folder.location, name)  # noqa: PTH118 - a path of any kind
    temporary = f"{target}.{secrets.token_hex(6)}.tmp"
    pq.write_table(table, temporary)
    os.replace(temporary, target)  # noqa: PTH105 - likewise
    return name


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads one file of a dataset back, with the dtypes of ``meta``, the frame without rows."""

    location: str
    filesystem: FileSystem | None
    meta: pd.DataFrame

    def __call__(self, name: str, columns: list[Hashable] | None = None) -> pd.DataFrame:
        """One partition; only these of its columns, where Dask needs no others."""
        meta = self.meta if columns is None else self.meta[columns]
        with pq.ParquetFile(f"{self.location}/{name}", filesystem=self.filesystem) as file:
            frame = file.read(columns=_stored_names(file, columns)).to_pandas()
        if not frame.columns.equals(meta.columns):  # Parquet has texts alone, and an order
            stored = {str(label): place for place, label in enumerate(frame.columns)}
            frame = frame.iloc[:, [stored[str(label)] for label in meta.columns]]
            frame.columns = meta.columns
        return _conforming(frame, meta)


def _stored_names(file: pq.ParquetFile, columns: list[Hashable] | None) -> list[str] | None:
    if columns is None:
        return None
    levels = json.loads(file.schema_arrow.metadata[b"pandas"])["index_columns"]
    return [*map(str, columns), *(one for one in levels if isinstance(one, str))]


def _conforming(frame: pd.DataFrame, meta: pd.DataFrame) -> pd.DataFrame:
    """The frame with the dtypes of ``meta``, where Parquet does not tell them apart."""
    kinds: Mapping[Any, Any] = {
        label: kind
        for label, kind in meta.dtypes.items()
        if frame[label].dtype != kind and not _open_categories(kind)
    }
    out = frame.astype(kinds) if kinds else frame
    if meta.index.dtype != out.index.dtype:
        out = out.set_axis(out.index.astype(meta.index.dtype))
    out.attrs = dict(meta.attrs)
    return out


def _open_categories(kind: Any) -> bool:
    """Whether Dask does not know the categories of a column before it is read."""
    return isinstance(kind, pd.CategoricalDtype) and "__UNKNOWN_CATEGORIES__" in kind.categories
