"""Frames to Parquet: is the target writable, can the format hold the frame, and the write itself.

Everything that can fail is tried before money is spent, and the write is atomic, by a rename.
pyarrow is imported when first needed, never with the package.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import stat
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final, NoReturn

import numpy as np
import pandas as pd

from leads_pandas.display import clean

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    import numpy.typing as npt
    import pyarrow as pa
    from pyarrow.fs import FileSystem

METADATA_KEY: Final = b"leads_pandas"

_PANDAS_ATTRS: Final = b"PANDAS_ATTRS"  # where pandas' own read_parquet looks for attrs
_OTHER_FORMATS: Final = frozenset({".csv", ".json", ".jsonl", ".tsv", ".xlsx"})
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_PROBE: Final = b"\0" * 4096  # one block: a full disk lets a file be created, but not filled
_PREFIX: Final = 100  # bytes of the target's name in a temporary one, well below any limit
_CHUNK: Final = 16_384  # rows

_SURE_DTYPES: Final = (
    pd.BooleanDtype,
    pd.CategoricalDtype,
    pd.Float32Dtype,
    pd.Float64Dtype,
    pd.Int8Dtype,
    pd.Int16Dtype,
    pd.Int32Dtype,
    pd.Int64Dtype,
    pd.IntervalDtype,
    pd.PeriodDtype,
    pd.SparseDtype,
    pd.UInt8Dtype,
    pd.UInt16Dtype,
    pd.UInt32Dtype,
    pd.UInt64Dtype,
)


def schema(columns: Mapping[str, str] | None = None) -> pa.Schema:
    """The Arrow types of the five new columns, the same for every frame and pandas version.

    Args:
        columns: what the columns are called; None takes the documented names.
    """
    import pyarrow as pa

    fields: list[tuple[str, Any]] = [
        ("email", pa.string()),
        ("confidence", pa.float64()),
        ("source", pa.string()),
        ("enriched_at", pa.timestamp("us", tz="UTC")),
        # int32: older versions of pyarrow read back no other index of a dictionary.
        ("enrichment_status", pa.dictionary(pa.int32(), pa.string())),
    ]
    names = columns or {}
    return pa.schema([(names.get(name, name), kind) for name, kind in fields])


@dataclass(frozen=True, slots=True)
class Target:
    """Where a Parquet file goes, found writable.

    Attributes:
        path: as the caller gave it, without credentials, for messages.
        location: absolute path with links resolved, or the path inside ``filesystem``.
        filesystem: a pyarrow filesystem; None for a local file.
        renames: whether a file there can be replaced by a rename. Where it cannot (some object
            stores), a write that fails takes the old file with it; the results stay in the store.
    """

    path: str
    location: str
    filesystem: FileSystem | None = None
    renames: bool = True


def check_target(path: str | os.PathLike[str]) -> Target:
    """Find out whether a file can be written there, by writing one beside it and removing it.

    An existing file keeps its content. A link is followed, so that it survives the write. ``~`` is
    not expanded, as in `open`.

    Args:
        path: local path, or a URL that pyarrow's filesystems take (``file``, ``s3``, ``gs``,
            ``abfss``, …).

    Raises:
        TypeError: ``path`` is neither text nor a path.
        ValueError: ``path`` is empty or named as another format, or no filesystem of pyarrow's
            takes the URL.
        OSError: the operating system's own, where the file cannot be written.
    """
    text = _path_text(path)
    suffix = PurePath(text).suffix.lower()
    if suffix in _OTHER_FORMATS:
        raise ValueError(
            f"{_without_credentials(text)} is to be a Parquet file, and its name says otherwise. "
            f"Nothing was requested; call it {PurePath(text).stem}.parquet"
        )
    if not _URL.match(text):
        return _check_local(text, text)
    from pyarrow import fs

    shown = _without_credentials(text)
    try:
        filesystem, location = fs.FileSystem.from_uri(text)
    except ValueError as error:
        raise ValueError(
            f"pyarrow's filesystems do not take {shown}: {_first_line(error, hide=text)}. "
            "Nothing was requested; give a local path, or a file, s3, gs or abfss URL"
        ) from None
    if isinstance(filesystem, fs.LocalFileSystem):
        return _check_local(location + ("/" if text.endswith("/") else ""), shown)
    return _check_remote(filesystem, location, shown)


def _path_text(path: object) -> str:
    text = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(text, str):
        raise TypeError(
            f"path must be a local path or a URL, not {type(path).__name__}: a Parquet file is "
            "replaced by a rename, which an open file or a buffer does not have"
        )
    if not text.strip():
        raise ValueError("path is empty; give the Parquet file to write, or None for no file")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("path is not valid Unicode, which pyarrow asks for") from None
    return text


def _without_credentials(url: str) -> str:
    """The URL without user, password and query, all of which may hold secrets."""
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("?")[0].partition("/")
    return clean(f"{scheme}://{host.rpartition('@')[2]}{slash}{path}")


def _first_line(error: BaseException, *, hide: str = "") -> str:
    # pyarrow appends the column to the first argument as a second one.
    text = str(error.args[0] if error.args else error)
    if hide:
        text = text.replace(hide, _without_credentials(hide))
    return clean(text.strip().partition("\n")[0]).rstrip(".")


def _os_error(code: int, path: str) -> OSError:
    return OSError(code, os.strerror(code), path)


def _check_local(path: str, shown: str) -> Target:
    if path.endswith(os.sep):
        raise _os_error(errno.EISDIR, shown)
    location = os.path.realpath(path)
    try:
        there: os.stat_result | None = os.stat(location)  # noqa: PTH116 - a path of any kind
    except FileNotFoundError:
        there = None
    if there is not None:
        _check_replaceable(location, there, shown)
    try:
        _probe(location)
    except OSError as error:
        # Named after the file that was asked for, not after the temporary one beside it.
        raise type(error)(error.errno, error.strerror, shown) from None
    return Target(shown, location)


def _probe(location: str) -> None:
    """Make, fill and remove a file beside the target, as the write will."""
    probe = _create_beside(*os.path.split(location))
    try:
        with open(probe, "wb") as file:  # noqa: PTH123 - a path of any kind
            file.write(_PROBE)
    finally:
        os.unlink(probe)  # noqa: PTH108 - likewise


def _check_replaceable(location: str, there: os.stat_result, shown: str) -> None:
    if stat.S_ISDIR(there.st_mode):
        raise _os_error(errno.EISDIR, shown)
    if not stat.S_ISREG(there.st_mode):
        # A rename would put a plain file in the place of a device or pipe.
        raise OSError(errno.EINVAL, "not a regular file", shown)
    if not os.access(location, os.W_OK):
        # A rename could do it all the same; the owner said no.
        raise _os_error(errno.EACCES, shown)
    folder = os.stat(os.path.dirname(location))  # noqa: PTH116, PTH120 - a path of any kind
    user = os.geteuid()
    if folder.st_mode & stat.S_ISVTX and user not in {0, there.st_uid, folder.st_uid}:
        # In a sticky folder such as /tmp, only a file's owner may replace it.
        raise _os_error(errno.EPERM, shown)


def _temporary_name(name: str) -> str:
    """A name of its own beside the target; hidden, and recognisable if a kill leaves it behind."""
    prefix = name.encode()[:_PREFIX].decode(errors="ignore")
    return f".{prefix}.{secrets.token_hex(6)}.tmp"


def _create_beside(folder: str, name: str) -> str:
    path = os.path.join(folder, _temporary_name(name))  # noqa: PTH118 - a path of any kind
    # 0o666 less the umask, as any new file of the user's.
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666))
    return path


def _check_remote(filesystem: FileSystem, location: str, shown: str) -> Target:
    from pyarrow import fs

    if not location or location.endswith("/"):
        raise _os_error(errno.EISDIR, shown)
    if filesystem.get_file_info([location])[0].type == fs.FileType.Directory:
        raise _os_error(errno.EISDIR, shown)
    probes = [_remote_beside(location) for _ in range(2)]
    try:
        for probe in probes:
            with filesystem.open_output_stream(probe) as file:
                file.write(_PROBE)
        renames = _moves(filesystem, *probes)
    finally:
        for probe in probes:
            with suppress(OSError):
                filesystem.delete_file(probe)
    return Target(shown, location, filesystem, renames=renames)


def _remote_beside(location: str) -> str:
    folder, slash, name = location.rpartition("/")
    return f"{folder}{slash}{_temporary_name(name)}"


def _moves(filesystem: FileSystem, source: str, target: str) -> bool:
    """Whether this filesystem can move a file over another one."""
    try:
        filesystem.move(source, target)
    except (OSError, NotImplementedError):
        return False
    return True


def check_frame(
    frame: pd.DataFrame,
    columns: Mapping[str, str] | None = None,
    stays: npt.NDArray[np.bool_] | None = None,
) -> None:
    """Find out whether Parquet can hold the frame with its new columns, without writing it.

    Types that hold whatever their cells are tried on one row; Python objects are converted, all of
    them, since only that tells.

    Args:
        frame: the frame to be enriched.
        columns: what the new columns will be called; None takes the documented names.
        stays: per column of the frame, whether it will be written; None: all.

    Raises:
        ValueError: it cannot; the message names the column.
    """
    if stays is not None and not stays.all():
        frame = frame.loc[:, stays]
    depth = frame.columns.nlevels
    labels = [*frame.columns, *(_padded(name, depth) for name in schema(columns).names)]
    _check_names(labels)
    try:
        json.dumps(frame.attrs)
    except (TypeError, ValueError) as error:
        _refuse("the frame's attrs", error, "make frame.attrs plain JSON")
    _check_sample(_sample(frame, labels))
    for position, label in enumerate(frame.columns):
        _check_cells(frame.iloc[:, position], f"the column {_shown(label)}")
    for position, name in enumerate(frame.index.names):
        what = f"the index level {position if name is None else _shown(name)}"
        _check_level(frame.index, position, what)


def _refuse(what: str, error: BaseException, cure: str) -> NoReturn:
    raise ValueError(
        f"Parquet cannot hold {what}: {_first_line(error)}. Nothing was requested; {cure}, or call "
        "without a path"
    ) from None


def _shown(label: Hashable) -> str:
    text = clean(repr(label))
    return text if len(text) <= 60 else text[:57] + "…"  # noqa: PLR2004 - fits a line


def _check_names(labels: Sequence[Any]) -> None:
    """Parquet knows columns by text alone: 1 and "1" are one name there."""
    seen: dict[str, Any] = {}
    for label in labels:
        if str(label) in seen:
            other = seen[str(label)]
            twice = (
                f"{_shown(label)} twice"
                if type(other) is type(label)
                else (f"{_shown(other)} and {_shown(label)}, which it writes alike")
            )
            raise ValueError(
                f"Parquet cannot hold columns called {twice}. Nothing was requested; rename one, "
                "or call without a path"
            )
        seen[str(label)] = label


def _padded(name: Any, levels: int) -> Any:
    return (name, *("",) * (levels - 1)) if levels > 1 else name


def _sample(frame: pd.DataFrame, labels: Sequence[Any]) -> pd.DataFrame:
    """One row as it will be written, under these labels, Python objects left out."""
    sample = frame.iloc[:1].copy()
    nothing = np.full(len(sample), None, dtype=object)
    sample.columns = pd.RangeIndex(len(frame.columns))
    with warnings.catch_warnings():
        # A frame of many blocks is the caller's choice.
        warnings.simplefilter("ignore", pd.errors.PerformanceWarning)
        for position, dtype in enumerate(frame.dtypes):
            if not _is_sure(dtype):
                sample[position] = nothing
        for position in range(len(frame.columns), len(labels)):
            sample[position] = nothing
    names = frame.columns.names
    sample.columns = (
        pd.MultiIndex.from_tuples(labels, names=names)
        if len(names) > 1
        else pd.Index(labels, dtype=object, name=names[0], tupleize_cols=False)
    )
    return sample


def _check_sample(sample: pd.DataFrame) -> None:
    try:
        _write_and_read(sample)
    except Warning:  # where the caller has warnings raised
        raise
    except Exception as error:  # noqa: BLE001 - pyarrow's and pandas' kinds are many; all mean no
        for position, label in enumerate(sample.columns):
            try:
                _write_and_read(sample.iloc[:, [position]].reset_index(drop=True))
            except Exception as reason:  # noqa: BLE001 - likewise
                dtype = sample.dtypes.iloc[position]
                what = f"the column {_shown(label)} of dtype {clean(str(dtype))}"
                _refuse(what, reason, "convert it, for example with astype(str), or drop it")
        _refuse("this frame", error, "check its index and column names")


def _write_and_read(frame: pd.DataFrame) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(frame)
    if twice := [name for name in table.column_names if table.column_names.count(name) > 1]:
        raise ValueError(f"{_shown(twice[0])} would be the name of several columns or index levels")
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    pq.ParquetFile(pa.BufferReader(sink.getvalue())).read().to_pandas()


def _is_sure(dtype: Any) -> bool:
    """Whether the type alone, and no cell, decides if Parquet can hold a column."""
    if isinstance(dtype, pd.StringDtype):
        return dtype.storage == "pyarrow"  # the other one can hold half a Unicode character
    if isinstance(dtype, pd.ArrowDtype):
        return not str(dtype.pyarrow_dtype).startswith("timestamp[s")
    if isinstance(dtype, np.dtype):
        # Parquet has no seconds: moments far away overflow when written in milliseconds.
        return dtype.kind != "O" and not (dtype.kind == "M" and np.datetime_data(dtype)[0] == "s")
    if isinstance(dtype, pd.DatetimeTZDtype):
        return dtype.unit != "s"
    return isinstance(dtype, _SURE_DTYPES)


def _check_level(index: pd.Index[Any], position: int, what: str) -> None:
    if isinstance(index, pd.MultiIndex):
        try:
            _check_cells(index.levels[position], what)
        except ValueError:
            # A level may hold values that no row uses any more: what counts is the rows.
            _check_cells(index.get_level_values(position), what)
    else:
        _check_cells(index, what)


def _check_cells(values: pd.Series[Any] | pd.Index[Any], what: str) -> None:
    if _is_sure(values.dtype):
        return
    try:
        _convert(values)
    except Exception as error:  # noqa: BLE001 - pyarrow's and Python's kinds are many; all mean no
        _refuse(what, error, "make its values one type, for example with astype(str), or drop it")


def _convert(values: pd.Series[Any] | pd.Index[Any]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if values.dtype == object and _is_text(values.to_numpy()):
        return
    converted: Any = pa.array(values, from_pandas=True)
    pq.write_table(pa.table({"cells": converted}), pa.MockOutputStream())


def _is_text(cells: npt.NDArray[np.object_]) -> bool:
    """Whether all cells are text or missing, and text that has an encoding.

    Raises:
        UnicodeEncodeError: a text holds half a Unicode character.
    """
    import pyarrow as pa

    # In pieces that stay in the processor's cache, at half the price of converting everything.
    for start in range(0, len(cells), _CHUNK):
        piece = cells[start : start + _CHUNK]
        try:
            if all(map(str.isascii, piece)):
                continue
        except TypeError:  # not text alone: maybe missing cells, maybe others
            if pd.api.types.infer_dtype(piece, skipna=True) not in {"string", "empty"}:
                return False
        pa.array(piece, pa.large_string(), from_pandas=True)
    return True


def write(
    frame: pd.DataFrame,
    target: Target,
    receipt: Mapping[str, Any],
    columns: Mapping[str, str] | None = None,
) -> None:
    """Write the frame, so that a reader sees the old file or the whole new one.

    The file is written beside the target and renamed. It is not forced onto the disk: after a
    power cut the store still holds every result, and the same call writes the file again without
    spending. An existing file's mode is kept.

    Args:
        frame: an enriched frame, its receipt in ``attrs``.
        target: from `check_target`.
        receipt: plain JSON, written to the schema's metadata under ``leads_pandas``.
        columns: what the five columns are called; None takes the documented names.

    Raises:
        OSError: the disk filled up, or the target has become unwritable since it was checked.
    """
    table = _table(frame, receipt, columns)
    if target.filesystem is None:
        try:
            _write_local(table, target.location)
        except OSError as error:
            if error.errno is None:
                raise
            # Named after the file that was asked for; pyarrow names none.
            raise _os_error(error.errno, target.path) from None
    else:
        _write_remote(table, target, target.filesystem)


def _write_local(table: pa.Table, location: str) -> None:
    import pyarrow.parquet as pq

    temporary = _create_beside(*os.path.split(location))
    try:
        # By path: an open Python file object was seen to crash the interpreter at its exit.
        pq.write_table(table, temporary)
        with suppress(FileNotFoundError):
            os.chmod(temporary, stat.S_IMODE(os.stat(location).st_mode))  # noqa: PTH101, PTH116 - a path of any kind
        os.replace(temporary, location)  # noqa: PTH105 - likewise
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)  # noqa: PTH108 - likewise
        raise


def _write_remote(table: pa.Table, target: Target, filesystem: FileSystem) -> None:
    import pyarrow.parquet as pq

    # An object appears when its stream is closed, also where a failure closes it half-written:
    # so under a name of its own first, where the filesystem can rename.
    written = _remote_beside(target.location) if target.renames else target.location
    try:
        pq.write_table(table, written, filesystem=filesystem)
        if target.renames:
            filesystem.move(written, target.location)
    except BaseException:
        with suppress(OSError):
            filesystem.delete_file(written)
        raise


def _table(
    frame: pd.DataFrame, receipt: Mapping[str, Any], columns: Mapping[str, str] | None
) -> pa.Table:
    """The frame as Arrow: new columns in the fixed schema, receipt and attrs in the metadata."""
    import pyarrow as pa

    with warnings.catch_warnings():
        # Names that do not come back as they were: `check_frame` has already warned of them.
        warnings.simplefilter("ignore", UserWarning)
        table = pa.Table.from_pandas(frame)
    labels = list(frame.columns)
    for field in schema(columns):
        position = labels.index(_padded(field.name, frame.columns.nlevels))
        values = _cast(table.column(position), field.type)
        table = table.set_column(position, pa.field(table.field(position).name, field.type), values)
    metadata = {**(table.schema.metadata or {}), METADATA_KEY: json.dumps(dict(receipt)).encode()}
    if frame.attrs:
        metadata[_PANDAS_ATTRS] = json.dumps(frame.attrs).encode()
    return table.replace_schema_metadata(metadata)


def _cast(values: Any, kind: Any) -> Any:
    import pyarrow as pa

    dictionary = isinstance(kind, pa.DictionaryType)
    return _cast_dictionary(values, kind) if dictionary else _cast_plain(values, kind)


def _cast_dictionary(values: Any, kind: Any) -> Any:
    import pyarrow as pa

    chunks = [
        pa.DictionaryArray.from_arrays(
            chunk.indices.cast(kind.index_type), chunk.dictionary.cast(kind.value_type)
        )
        for chunk in values.chunks
    ]
    return pa.chunked_array(chunks, type=kind)


def _cast_plain(values: Any, kind: Any) -> Any:
    import pyarrow as pa

    try:
        return values.cast(kind)
    except pa.ArrowInvalid:
        # More text than 32-bit offsets reach: in pieces, each with offsets of its own.
        pieces = [
            chunk.take(pa.array(np.arange(start, min(start + _CHUNK, len(chunk))))).cast(kind)
            for chunk in values.chunks
            for start in range(0, len(chunk), _CHUNK)
        ]
        return pa.chunked_array(pieces, type=kind)


def read_receipt(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """The receipt in a Parquet file, or None where it holds none.

    Args:
        path: local path or URL, as `check_target` takes.

    Raises:
        OSError: there is no such file, or it cannot be read.
        ValueError: it is no Parquet file.
    """
    import pyarrow.parquet as pq

    text = _path_text(path)
    if _URL.match(text):
        from pyarrow import fs

        filesystem, text = fs.FileSystem.from_uri(text)
        found = pq.read_schema(text, filesystem=filesystem).metadata
    else:
        found = pq.read_schema(text).metadata
    held = (found or {}).get(METADATA_KEY)
    if held is None:
        return None
    receipt = json.loads(held)
    return receipt if isinstance(receipt, dict) else None
