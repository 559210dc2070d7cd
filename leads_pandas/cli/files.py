"""A file of leads as a frame: CSV, TSV, Parquet or JSON Lines, by its suffix.

What lives here: reading, so that every column comes out as it stands in the file: text stays text,
and what pandas would change stays Arrow's. Nothing is asked of the service. pyarrow waits until a
file is read.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    import pyarrow as pa

_NAMES = {".csv": "CSV", ".tsv": "TSV", ".parquet": "Parquet", ".jsonl": "JSON Lines"}
_PACKED = ".gz"
_EXACT = 2**53  # up to which floats hold every whole number
_SEPARATORS = ";\t|"  # looked for in a header that has no comma

_UNREADABLE = (ValueError, LookupError, EOFError, RecursionError, gzip.BadGzipFile, zlib.error)

SUFFIXES = tuple(_NAMES)


def read(
    name: str, on: str | None = None, *, sep: str | None = None, encoding: str | None = None
) -> pd.DataFrame:
    """Read a file of leads by its suffix, gzipped or not; ``-`` is CSV on standard input."""
    suffix = kind(name)
    if name == "-" and sys.stdin is None:
        raise ValueError("standard input is closed; nothing was requested")
    import pyarrow as pa

    where = "standard input" if name == "-" else name
    try:
        if suffix == ".parquet":
            return _of_parquet(Path(name).expanduser())
        text = _content(name).decode(encoding or "utf-8").removeprefix("\ufeff")
        if suffix == ".jsonl":
            return _of_json(text)
        return _of_cells(text, sep or ("\t" if suffix == ".tsv" else ","), on)
    except (*_UNREADABLE, pa.ArrowException) as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        if isinstance(error, UnicodeDecodeError):
            reason = f"it is not {encoding or 'UTF-8'} text, and --encoding names another"
            reason += ": cp1252 is that of Excel in Western Europe"
        elif isinstance(error, UnicodeEncodeError):
            reason = "it holds half a Unicode character"
        raise ValueError(
            f"{where} cannot be read as {_NAMES[suffix]}: {reason}; nothing was requested"
        ) from None


def kind(name: str) -> str:
    """The suffix that says how a file is read, without that of gzip."""
    path = Path(name)
    packed = path.suffix.lower() == _PACKED
    suffix = ".csv" if name == "-" else Path(path.stem if packed else name).suffix.lower()
    if suffix not in SUFFIXES or (packed and suffix == ".parquet"):
        raise ValueError(
            f"{name} is of no kind that can be read: name a file that ends in "
            f"{', '.join(SUFFIXES)} (text also with {_PACKED}), or - for CSV on standard input"
        )
    return suffix


def _content(name: str) -> bytes:
    if name == "-":
        return sys.stdin.buffer.read()
    packed = Path(name).expanduser().read_bytes()
    return gzip.decompress(packed) if name.lower().endswith(_PACKED) else packed


def _of_cells(text: str, separator: str, on: str | None) -> pd.DataFrame:
    def parse(**options: Any) -> pd.DataFrame:
        given: dict[str, Any] = {"dtype": str, "keep_default_na": False, "na_values": [""]}
        frame: pd.DataFrame = pd.read_csv(io.StringIO(text), sep=separator, **given, **options)
        return frame

    from leads_pandas.frames.ids import ID_NAMES

    # The header as it stands: pandas would number a second column of the same name.
    header = parse(header=None, nrows=1).iloc[0].tolist()
    name = next((one for one in ((on,) if on else ID_NAMES) if one in header), None)
    if (count := header.count(name)) > 1:
        raise ValueError(f"{count} columns are called {name!r}; rename the others")
    others = [one for one in _SEPARATORS if len(header) == 1 and one in str(header[0])]
    if others and others[0] != separator:
        shown = "tab" if others[0] == "\t" else f"'{others[0]}'"
        raise ValueError(f"its header is the one column {header[0]!r}; --sep {shown} splits it")
    frame = parse()
    if type(frame.index) is not pd.RangeIndex:
        # pandas would shift every cell by one column, and the wrong IDs would be paid for.
        raise ValueError("its rows have more cells than its header has names")
    # Before pandas 3, a column without a cell would be of no type, and tomorrow's of text.
    bare = [name for name, one in frame.items() if one.dtype == object and one.isna().all()]
    return frame.astype(dict.fromkeys(bare, "string"))


def _of_json(text: str) -> pd.DataFrame:
    import pyarrow as pa

    rows: list[dict[str, Any]] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"line {number} is not JSON ({error.msg})") from None
        if type(row) is not dict:
            raise ValueError(f"line {number} is not a JSON object")
        rows.append(row)
    names = list(dict.fromkeys(name for row in rows for name in row))
    return _as_frame(pa.table({name: _array([row.get(name) for row in rows]) for name in names}))


def _array(values: list[Any]) -> Any:
    """JSON values as Arrow has them; where it has no one type for them all, as text."""
    import pyarrow as pa

    numbers = [one for one in values if isinstance(one, int | float)]
    mixed = len({type(one) for one in numbers}) > 1
    # Whole numbers beside others become floats, which must not change them.
    if not mixed or all(abs(one) <= _EXACT for one in numbers):
        with contextlib.suppress(pa.ArrowException, OverflowError):
            return pa.array(values)
    return pa.array([None if one is None else _as_text(one) for one in values], pa.string())


def _as_text(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, str) else json.dumps(value)


def _of_parquet(path: Path) -> pd.DataFrame:
    import pyarrow.parquet as pq

    with path.open("rb"):  # the system's own words where it cannot be read
        pass
    # By path: pyarrow has been seen to crash at exit over an open file object.
    return _as_frame(pq.read_table(path))


def _as_frame(file: pa.Table) -> pd.DataFrame:
    """A table as a frame that becomes the same table again: what pandas would change stays Arrow's.

    Such are whole numbers beside a missing one, decimals, dictionaries, times and lists.
    """
    import pyarrow as pa

    frame = file.to_pandas()
    attributes = (file.schema.metadata or {}).get(b"PANDAS_ATTRS")
    if attributes:
        frame.attrs = json.loads(attributes)
    for name in file.column_names:
        at = [i for i, one in enumerate(frame.columns) if one == name]
        if len(at) != 1:  # an index level, or a label that is no text
            continue
        column = file.column(name)
        try:
            back = pa.Array.from_pandas(frame.iloc[:, at[0]]).type
        except pa.ArrowException:
            back = pa.null()
        texts = pa.types.is_string(column.type) and pa.types.is_large_string(back)
        if back != column.type and not texts:
            values = pd.arrays.ArrowExtensionArray(column)
            frame[name] = pd.Series(values, index=frame.index)
    return frame
