"""Frames as Parquet tables: can the format hold the frame, what it says of pandas, the receipt.

Everything that can fail is tried before money is spent. Where the file goes is `target`'s.
"""

from __future__ import annotations

import json
import warnings
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NoReturn

import numpy as np
import pandas as pd
import pyarrow as pa

from leads_pandas.errors import Way
from leads_pandas.frames.columns import COLUMNS, SCHEMA, nulls, to_pandas
from leads_pandas.frames.ids import shown, values_at
from leads_pandas.frames.join import attach
from leads_pandas.frames.receipt import METADATA_KEY, RECEIPT
from leads_pandas.frames.target import first_line, place_of, without_credentials

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from leads_pandas.frames.join import ColumnPlan

_PANDAS_ATTRS: Final = b"PANDAS_ATTRS"  # where pandas' own read_parquet looks for attrs
_CHUNK: Final = 16_384  # rows


def convert(frame: pd.DataFrame, plan: ColumnPlan) -> pa.Table:
    """Convert a frame as `write` will want it, before anything is spent: a frame that cannot be.

    Its own columns are converted once and for all. One row of them goes to Parquet and back under
    the labels and types that the whole will have; where the cells decide, and not the type, all do.
    """
    own = frame if plan.stays.all() else frame.loc[:, plan.stays]
    empty = {
        plan.columns[field.name]: to_pandas(field.name, nulls(field.type, len(own)))
        for field in SCHEMA
    }
    whole = _plain(attach(own, empty))
    _check_names(list(whole.columns))
    try:
        json.dumps(frame.attrs)
    except (TypeError, ValueError) as error:
        _refuse("the frame's attrs", error, "make frame.attrs plain JSON")
    try:
        table = described(pa.Table.from_pandas(whole), {}, {})
        _write_and_read(_one_of_a_kind(table.slice(0, 1), whole))
        # Parquet has no seconds: moments far away overflow when written in milliseconds.
        seconds = [n for n, one in enumerate(table.schema.types) if "timestamp[s" in str(one)]
        _write_and_read(table.select(seconds).replace_schema_metadata())
    except Warning:  # where the caller has warnings raised
        raise
    except Exception as error:  # noqa: BLE001 - pyarrow's and pandas' kinds are many; all mean no
        _blame(whole, error)
    return table


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame as it is converted: labels that are tuples of one would be written as such.

    Without attrs, which `described` adds: pandas would copy a receipt for each column.
    """
    plain = frame.copy(deep=False)
    if isinstance(plain.columns, pd.MultiIndex) and plain.columns.nlevels == 1:
        plain.columns = plain.columns.get_level_values(0)
    plain.attrs = {}
    return plain


def _refuse(what: str, error: BaseException, cure: str) -> NoReturn:
    raise ValueError(
        f"Parquet cannot hold {what}: {first_line(error)}. Nothing was requested; {cure}, or "
        f"{Way('no_file')}"
    ) from None


def _check_names(labels: Sequence[Any]) -> None:
    """Parquet knows columns by text alone: 1 and "1" are one name there."""
    seen: dict[str, Any] = {}
    for label in labels:
        if str(label) in seen:
            raise ValueError(
                f"Parquet cannot hold columns called {shown(seen[str(label)])} and {shown(label)}, "
                f"which it writes alike. Nothing was requested; rename one, or {Way('no_file')}"
            )
        seen[str(label)] = label


def _one_of_a_kind(table: pa.Table, frame: pd.DataFrame) -> pa.Table:
    """One column of each type, where all labels are plain text: of 10,000 columns, a few decide."""
    if not all(isinstance(label, str) for label in frame.columns):
        return table
    kinds = zip(table.schema.types, map(str, frame.dtypes), strict=False)
    first = {(str(kind), dtype): position for position, (kind, dtype) in enumerate(kinds)}
    return table.select([*sorted(first.values()), *range(len(frame.columns), table.num_columns)])


def _write_and_read(table: pa.Table) -> None:
    import pyarrow.parquet as pq

    if twice := [name for name, times in Counter(table.column_names).items() if times > 1]:
        raise ValueError(f"{shown(twice[0])} would be the name of several columns or index levels")
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    pq.ParquetFile(pa.BufferReader(sink.getvalue())).read().to_pandas()


def _blame(frame: pd.DataFrame, error: BaseException) -> NoReturn:
    cure = "make its values one type, for example with astype(str), or drop it"
    for position, label in enumerate(frame.columns):
        column = frame.iloc[:, position]
        if (reason := _unfit(column.array)) is not None:
            _refuse(f"the column {shown(label)} of dtype {column.dtype}", reason, cure)
    for position, name in enumerate(frame.index.names):
        if (reason := _unfit(values_at(frame, "level", position))) is not None:
            _refuse(f"the index level {position if name is None else shown(name)}", reason, cure)
    _refuse("this frame", error, "check its index and column names")


def _unfit(values: Any) -> Exception | None:
    try:
        table = pa.Table.from_pandas(pd.DataFrame({"cells": values}))
        _write_and_read(table.replace_schema_metadata())
    except Exception as error:  # noqa: BLE001 - likewise
        return error
    return None


def complete(
    table: pa.Table,
    columns: pa.Table,
    receipt: Mapping[str, Any],
    attrs: Mapping[Any, Any],
) -> pa.Table:
    """A converted frame with its new columns in the fixed schema, receipt and attrs as metadata."""
    levels = json.loads(table.schema.metadata[b"pandas"])["index_columns"]
    first = table.num_columns - len(COLUMNS) - sum(isinstance(one, str) for one in levels)
    for position, field in enumerate(SCHEMA, start=first):
        values = _fitted(columns.column(position - first), field.type)
        table = table.set_column(position, field.with_name(table.field(position).name), values)
    return described(table, receipt, attrs)


def _fitted(values: Any, kind: Any) -> Any:
    if values.type == kind:
        return values
    # In pieces with offsets of their own: all of the text may be more than 32-bit offsets reach.
    pieces = [
        chunk.take(pa.array(np.arange(start, min(start + _CHUNK, len(chunk))))).cast(kind)
        for chunk in values.chunks
        for start in range(0, len(chunk), _CHUNK)
    ]
    return pa.chunked_array(pieces, kind)


def described(table: pa.Table, receipt: Mapping[str, Any], attrs: Mapping[Any, Any]) -> pa.Table:
    """A table with the receipt and a frame's attrs as metadata, and types that pandas can read."""
    told = json.loads(table.schema.metadata[b"pandas"])
    for one in told["columns"]:
        if not _is_readable(one["numpy_type"]):
            one["numpy_type"] = "object"
    told["attributes"] = dict(attrs)
    metadata = {**table.schema.metadata, b"pandas": json.dumps(told).encode()}
    if receipt:
        metadata[METADATA_KEY] = json.dumps(dict(receipt)).encode()
    if attrs:
        metadata[_PANDAS_ATTRS] = json.dumps(dict(attrs)).encode()
    return table.replace_schema_metadata(metadata)


def _is_readable(dtype: str) -> bool:
    """Whether pandas can read a name that it writes: not those of Arrow's decimals and lists."""
    if not dtype.endswith("[pyarrow]"):
        return True
    try:
        pd.api.types.pandas_dtype(dtype)
    except (TypeError, ValueError, NotImplementedError):
        # In this order: nested types, those of dictionaries and maps on pandas 2, and decimals.
        return False
    return True


def again(frame: pd.DataFrame) -> pa.Table:
    """Convert a joined frame whose rows are not those of the frame that was converted."""
    with warnings.catch_warnings():
        # Names that do not come back as they were: `convert` has already warned of them.
        warnings.simplefilter("ignore", UserWarning)
        return pa.Table.from_pandas(_plain(frame))


def read_receipt(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The receipt in a Parquet file or dataset, such as Dask or ``partition_cols`` make it.

    Args:
        path: local path or URL, as `enrich` takes; a folder is a dataset.

    Returns:
        the receipt, as in ``attrs["leads"]`` of the frame that was written. Of the credits that the
        run's starts reserved (``credits_reserved``), ``credits_new`` are those that no earlier
        receipt holds: added up over all files, each start counts once.

    Raises:
        OSError: there is no such file, or it cannot be read.
        ValueError: it is no Parquet file, or holds no receipt.

    Example:
        >>> out = df.leads.enrich("enriched.parquet")
        >>> leads_pandas.read_receipt("enriched.parquet")["counts"]["found"]
        26
    """
    import pyarrow.dataset as ds
    import pyarrow.parquet as pq
    from pyarrow import fs

    filesystem, location = place_of(path)
    filesystem = filesystem or fs.LocalFileSystem()
    files = [location]
    if filesystem.get_file_info(files)[0].type == fs.FileType.Directory:
        files = sorted(ds.dataset(location, filesystem=filesystem, format="parquet").files)
    for one in files:
        found = pq.read_metadata(one, filesystem=filesystem).metadata or {}
        receipt = json.loads(found.get(METADATA_KEY, b"null"))
        if receipt is None:  # written by pandas, which keeps a frame's attrs
            receipt = json.loads(found.get(_PANDAS_ATTRS, b"{}")).get(RECEIPT)
        if isinstance(receipt, dict):
            return receipt
    raise ValueError(
        f"{without_credentials(path)} holds no receipt: leads_pandas did not write it, or its "
        "metadata was dropped by what did"
    )
