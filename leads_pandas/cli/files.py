"""A file of leads as a frame: CSV, TSV, Parquet or JSON Lines, by its suffix.

What lives here: reading, so that every column comes out as it stands in the file: text stays text,
and what pandas would change stays Arrow's. Nothing is asked of the service. pandas and pyarrow wait
until a file is read.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    import pandas as pd
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
    """Read a file of leads by its suffix, gzipped or not; ``-`` is CSV on standard input.

    Args:
        name: the file; a leading ``~`` is the user's folder.
        on: column of the lead IDs, which must not be there twice; None: a usual name.
        sep: what stands between the cells of a CSV file; None: a comma.
        encoding: of a file of text; None: UTF-8.

    Raises:
        OSError: the file cannot be opened.
        ValueError: the suffix is none that can be read, or the content cannot be.
    """
    suffix = kind(name)
    if name == "-" and sys.stdin is None:
        raise ValueError("standard input is closed; nothing was requested")
    import pyarrow as pa

    where = "standard input" if name == "-" else name
    try:
        if suffix == ".parquet":
            return _read_parquet(name, on)
        with _opened(name) as source:
            if suffix == ".jsonl":
                return _read_jsonl(source, encoding or "utf-8", on)
            default = "\t" if suffix == ".tsv" else ","
            return _read_separated(source, sep or default, encoding or "utf-8", on)
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
    """The suffix that says how a file is read, without that of gzip.

    Raises:
        ValueError: it is none that can be read.
    """
    path = Path(name)
    packed = path.suffix.lower() == _PACKED
    suffix = ".csv" if name == "-" else Path(path.stem if packed else name).suffix.lower()
    if suffix not in SUFFIXES or (packed and suffix == ".parquet"):
        raise ValueError(
            f"{name} is of no kind that can be read: name a file that ends in "
            f"{', '.join(SUFFIXES)} (text also with {_PACKED}), or - for CSV on standard input"
        )
    return suffix


@contextlib.contextmanager
def _opened(name: str) -> Generator[BinaryIO]:
    if name == "-":
        yield sys.stdin.buffer
        return
    with Path(name).expanduser().open("rb") as source:
        if name.lower().endswith(_PACKED):
            with gzip.open(source) as unpacked:
                yield cast("BinaryIO", unpacked)
        else:
            yield source


def _check_ids(columns: Sequence[object], on: str | None) -> None:
    """Refuse a file where the column of the lead IDs is there twice.

    Raises:
        ValueError: it is.
    """
    from leads_pandas.frames.ids import ID_NAMES

    name = next((one for one in ((on,) if on else ID_NAMES) if one in columns), None)
    count = list(columns).count(name)
    if name is not None and count > 1:
        raise ValueError(f"{count} columns are called {name!r}; rename the others")


def _text(source: BinaryIO, encoding: str) -> str:
    return source.read().decode(encoding).removeprefix("\ufeff")


def _read_separated(
    source: BinaryIO, separator: str, encoding: str, on: str | None
) -> pd.DataFrame:
    import pandas as pd

    content = _text(source, encoding)

    def parse(**options: Any) -> pd.DataFrame:
        frame: pd.DataFrame = pd.read_csv(
            io.StringIO(content),
            sep=separator,
            dtype=str,
            keep_default_na=False,
            na_values=[""],
            **options,
        )
        return frame

    # The header as it stands: pandas would number a second column of the same name.
    header = parse(header=None, nrows=1).iloc[0].tolist()
    _check_ids(header, on)
    if len(header) == 1 and isinstance(header[0], str):
        for other in _SEPARATORS.replace(separator, ""):
            if other in header[0]:
                shown = "tab" if other == "\t" else f"'{other}'"
                raise ValueError(
                    f"its header is the one column {header[0]!r}; --sep {shown} splits it"
                )
    frame = parse()
    if not isinstance(frame.index, pd.RangeIndex):
        # pandas would shift every cell by one column, and the wrong IDs would be paid for.
        raise ValueError("its rows have more cells than its header has names")  # noqa: TRY004 - a file's content
    return frame


def _read_jsonl(source: BinaryIO, encoding: str, on: str | None) -> pd.DataFrame:
    import pyarrow as pa

    rows = []
    for number, line in enumerate(_text(source, encoding).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"line {number} is not JSON ({error.msg})") from None
        if not isinstance(row, dict):
            raise ValueError(f"line {number} is not a JSON object")  # noqa: TRY004 - a file's content
        rows.append(row)
    names = list(dict.fromkeys(name for row in rows for name in row))
    _check_ids(names, on)
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


def _read_parquet(name: str, on: str | None) -> pd.DataFrame:
    import pyarrow.parquet as pq

    # By path: pyarrow has been seen to crash at exit over an open file object.
    path = Path(name).expanduser()
    with path.open("rb"):  # the system's own words where it cannot be read
        pass
    file = pq.read_table(path)
    _check_ids(file.column_names, on)
    return _as_frame(file)


def _as_frame(file: pa.Table) -> pd.DataFrame:
    """A table as a frame that becomes the same table again: what pandas would change stays Arrow's.

    Such are whole numbers beside a missing one, decimals, dictionaries, times and lists.
    """
    import pandas as pd
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
