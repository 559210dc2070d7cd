"""A file of leads as a frame: CSV, TSV, Parquet or JSON Lines, by its suffix.

What lives here: reading, so that lead IDs come out as they stand in the file. Nothing is asked of
the service. pandas and pyarrow wait until a file is read.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

_NAMES = {".csv": "CSV", ".tsv": "TSV", ".parquet": "Parquet", ".jsonl": "JSON Lines"}


def read(name: str, on: str | None = None, text: Sequence[str] = ()) -> pd.DataFrame:
    """Read a file of leads by its suffix; ``-`` is CSV on standard input.

    Args:
        name: the file.
        on: column of the lead IDs; None: ``lead_id``, ``leadId`` or ``id``. It is kept as it
            stands in the file, so that 007 stays 007.
        text: further columns to keep as they stand.

    Raises:
        OSError: the file cannot be opened.
        ValueError: the suffix is none that can be read, or the content cannot be.
    """
    suffix = kind(name)
    reader = _READERS[suffix]
    if name == "-" and sys.stdin is None:
        raise ValueError("standard input is closed; nothing was requested")
    import pyarrow as pa

    where = "standard input" if name == "-" else name
    try:
        if name == "-":
            return reader(sys.stdin.buffer, on, text)
        with Path(name).open("rb") as source:
            return reader(source, on, text)
    except (ValueError, RecursionError, pa.ArrowException) as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        if isinstance(error, UnicodeDecodeError):
            reason = "it is not UTF-8 text"
        elif isinstance(error, UnicodeEncodeError):
            reason = "it holds half a Unicode character"
        raise ValueError(
            f"{where} cannot be read as {_NAMES[suffix]}: {reason}; nothing was requested"
        ) from None


def kind(name: str) -> str:
    """The suffix that says how a file is read.

    Raises:
        ValueError: it is none that can be read.
    """
    suffix = ".csv" if name == "-" else Path(name).suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(
            f"{name} is of no kind that can be read: name a file that ends in "
            f"{', '.join(SUFFIXES)}, or - for CSV on standard input"
        )
    return suffix


def _id_column(columns: Sequence[object], on: str | None) -> str | None:
    """The column of the lead IDs, where there is one."""
    from leads_pandas.frames.ids import ID_NAMES

    return next((one for one in ((on,) if on else ID_NAMES) if one in columns), None)


def _read_csv(source: BinaryIO, on: str | None, text: Sequence[str]) -> pd.DataFrame:
    return _read_separated(source, ",", on, text)


def _read_tsv(source: BinaryIO, on: str | None, text: Sequence[str]) -> pd.DataFrame:
    return _read_separated(source, "\t", on, text)


def _read_separated(
    source: BinaryIO, separator: str, on: str | None, text: Sequence[str]
) -> pd.DataFrame:
    import pandas as pd

    if not source.seekable():
        source = io.BytesIO(source.read())
    begin = source.tell()

    def parse(**options: Any) -> pd.DataFrame:
        source.seek(begin)
        frame: pd.DataFrame = pd.read_csv(source, sep=separator, **options)
        return frame

    # The header as it stands: pandas would number a second column of the same name.
    first = parse(header=None, nrows=1, dtype=str, keep_default_na=False)
    header: list[str] = first.iloc[0].tolist()
    column = _id_column(header, on)
    kept = [name for name in dict.fromkeys((column, *text)) if name in header]
    for name in kept:
        if header.count(name) > 1:
            raise ValueError(f"{header.count(name)} columns are called {name!r}; rename the others")
    frame = parse(dtype=dict.fromkeys(kept, str), low_memory=False)
    if not isinstance(frame.index, pd.RangeIndex):
        # pandas would shift every cell by one column, and the wrong IDs would be paid for.
        raise ValueError("its rows have more cells than its header has names")  # noqa: TRY004 - a file's content
    if kept:
        # On their own, because there "NA" and "null" are texts, and only a blank is missing.
        plain = parse(
            usecols=[header.index(name) for name in kept],
            dtype=str,
            keep_default_na=False,
            na_values=[""],
        )
        frame = frame.assign(**{name: plain[name] for name in kept})
    return frame


def _read_jsonl(source: BinaryIO, on: str | None, text: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    rows = []
    for number, raw in enumerate(source, start=1):
        line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
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
    column = _id_column(names, on)
    kept = {name for name in (column, *text) if name in names}
    # pandas would make floats of whole numbers beside a missing one; as text they stay whole.
    cells = {
        name: [as_text(row.get(name)) if name in kept else row.get(name) for row in rows]
        for name in names
    }
    return pd.DataFrame(cells, columns=names)


def as_text(value: object) -> object:
    """A whole number as text; all else as it is."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53:
        value = int(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _read_parquet(source: BinaryIO, on: str | None, text: Sequence[str]) -> pd.DataFrame:  # noqa: ARG001 - Parquet is typed
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    # By path: pyarrow has been seen to crash at exit over an open file object.
    path = source.name
    frame = pd.read_parquet(path)
    column = _id_column(list(frame.columns), on)
    if column is not None and getattr(frame[column].dtype, "kind", "") == "f":
        # pandas makes floats of whole numbers with a missing one among them, which skips some.
        values = pq.read_table(path, columns=[column]).column(column)
        if pa.types.is_integer(values.type):
            exact = pd.array(
                values.to_pylist(), dtype="UInt64" if _is_unsigned(values) else "Int64"
            )
            frame = frame.assign(**{column: exact})
    return frame


def _is_unsigned(values: Any) -> bool:
    return str(values.type).startswith("uint")


_READERS: dict[str, Callable[[BinaryIO, str | None, Sequence[str]], pd.DataFrame]] = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".parquet": _read_parquet,
    ".jsonl": _read_jsonl,
}

SUFFIXES = tuple(_READERS)
