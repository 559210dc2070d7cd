"""A file of leads as a frame: CSV, TSV, Parquet or JSON Lines, by its suffix.

What lives here: reading, so that every column comes out as it stands in the file: text stays text,
and what pandas would change stays Arrow's. Nothing is asked of the service. pyarrow waits until a
file is read.
"""

from __future__ import annotations

import codecs
import contextlib
import gzip
import io
import json
import re
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
_SEPARATORS = ",;\t|"  # looked for in a header that another does not split
_NAMED = re.compile(r'"?sep=(.)"?\r?\n', re.IGNORECASE)  # Excel's own first line
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

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
        content = _content(name)
        encoding = encoding or ("utf-16" if content.startswith(_UTF_16) else None)
        text = content.decode(encoding or "utf-8").removeprefix("\ufeff")
        if "\0" in text:  # at which older versions of pandas end a cell
            raise ValueError(
                "it holds NUL characters: it is damaged, or UTF-16 (--encoding utf-16-le)"
            )
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
    def parse(sep: str, **options: Any) -> pd.DataFrame:
        given: dict[str, Any] = {"dtype": str, "keep_default_na": False, "na_values": [""]}
        frame: pd.DataFrame = pd.read_csv(io.StringIO(text), sep=sep, **given, **options)
        return frame

    def head(sep: str) -> list[Any]:
        # As it stands: pandas would number a second column of the same name.
        return parse(sep, header=None, nrows=1).iloc[0].tolist()

    from leads_pandas.frames.ids import ID_NAMES

    if named := _NAMED.match(text):
        separator, text = named[1], text[named.end() :]
    header = head(separator)
    names = (on,) if on else ID_NAMES
    name = next((one for one in names if one in header), None)
    if (count := header.count(name)) > 1:
        raise ValueError(f"{count} columns are called {name!r}; rename the others")
    for other in _SEPARATORS.replace(separator, "") if name is None else "":
        cells = head(other)
        if len(header) == 1 < len(cells) or not set(names).isdisjoint(cells):
            shown = "tab" if other == "\t" else f"'{other}'"
            columns = "the one column" if len(header) == 1 else "the columns"
            told = ", ".join(map(repr, header))
            raise ValueError(f"its header is {columns} {told}; --sep {shown} splits it")
    frame = parse(separator)
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
    metadata = file.schema.metadata or {}
    frame = file.to_pandas()
    if b"PANDAS_ATTRS" in metadata:
        frame.attrs = json.loads(metadata[b"PANDAS_ATTRS"])
    for name in file.column_names:
        at = [i for i, one in enumerate(frame.columns) if one == name]
        if len(at) != 1:  # an index level, or a label that is no text
            continue
        column = frame.iloc[:, at[0]]
        if (exact := _exact(file.column(name), column)) is not column:
            frame[name] = pd.Series(exact, index=frame.index)
    levels = json.loads(metadata.get(b"pandas", b"{}")).get("index_columns", [])
    if levels and all(isinstance(one, str) for one in levels):  # a range is in no column
        index, names = frame.index, frame.index.names
        index = index.set_names([None] * len(names))  # or a number would be the level called so
        exacts = [
            _exact(file.column(one), index.get_level_values(i)) for i, one in enumerate(levels)
        ]
        if any(isinstance(one, pd.arrays.ArrowExtensionArray) for one in exacts):
            whole = pd.MultiIndex.from_arrays(exacts) if len(exacts) > 1 else pd.Index(exacts[0])
            frame.index = whole.set_names(names)
    return frame


def _exact(column: Any, values: Any) -> Any:
    """The values that pandas made of a column, or the column where these would not be it again."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        back = pa.Array.from_pandas(values).type
        # NaN would come out as null.
        hides = pa.types.is_floating(column.type) and pc.any(pc.is_nan(column)).as_py()
    except pa.ArrowException:
        back, hides = pa.null(), False
    texts = pa.types.is_string(column.type) and pa.types.is_large_string(back)
    if hides or not (texts or back == column.type):
        return pd.arrays.ArrowExtensionArray(column)
    return values
