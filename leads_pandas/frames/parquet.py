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
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final, NoReturn

import numpy as np
import pandas as pd
import pyarrow as pa

from leads_pandas.display import clean
from leads_pandas.errors import Way
from leads_pandas.frames.columns import COLUMNS, SCHEMA, encodable
from leads_pandas.frames.ids import shown
from leads_pandas.frames.join import RECEIPT, attach

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyarrow.fs import FileSystem

    from leads_pandas.frames.join import ColumnPlan, Joined

METADATA_KEY: Final = b"leads_pandas"

_PANDAS_ATTRS: Final = b"PANDAS_ATTRS"  # where pandas' own read_parquet looks for attrs
_OTHER_FORMATS: Final = re.compile(
    r"\.(csv|tsv|txt|json|jsonl|ndjson|xlsx?|ods|feather|arrow|ipc|orc|pkl|pickle|h5|hdf5?|html?"
    r"|xml|db|sqlite3?|duckdb)(\.(gz|bz2|xz|zip|zst))?$|\.(gz|bz2|xz|zip|zst)$",
    re.IGNORECASE,
)
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_PROBE: Final = b"\0" * 4096  # one block: a full disk lets a file be created, but not filled
_PREFIX: Final = 100  # bytes of the target's name in a temporary one, well below any limit
_CHUNK: Final = 16_384  # rows


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

    An existing file keeps its content. A link is followed, so that it survives the write; ``~`` is
    the home folder.

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
    local = not _URL.match(text)
    named = text if local else text.partition("?")[0]
    if other := _OTHER_FORMATS.search(named):
        raise ValueError(
            f"{clean(text) if local else _without_credentials(text)} is to be a Parquet file, and "
            "its name says otherwise. Nothing was requested; call it "
            f"{clean(PurePath(named[: other.start()]).name)}.parquet"
        )
    if local:
        return _check_local(os.path.expanduser(text), text)  # noqa: PTH111 - a path of any kind
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


def names_in(target: Target) -> list[str] | None:
    """The columns of the file that is there; none where there is none; None: it is no Parquet."""
    import pyarrow.parquet as pq

    try:
        return list(pq.read_schema(target.location, filesystem=target.filesystem).names)
    except FileNotFoundError:
        return []
    except pa.ArrowException:
        return None


def _path_text(path: object) -> str:
    text = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(text, str):
        raise TypeError(
            f"path must be a local path or a URL, not {type(path).__name__}: a Parquet file is "
            "replaced by a rename, which an open file or a buffer does not have"
        )
    if not text.strip():
        raise ValueError("path is empty; give the Parquet file to write, or None for no file")
    if "\0" in text:
        raise ValueError(f"path {clean(text)} holds a NUL character, which no file's name can")
    if not encodable(text):
        raise ValueError("path is not valid Unicode, which pyarrow asks for")
    return text


def _without_credentials(url: str) -> str:
    """The URL without user, password and query, all of which may hold secrets."""
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("?")[0].partition("/")
    return clean(f"{scheme}://{host.rpartition('@')[2]}{slash}{path}")


def _first_line(error: BaseException, *, hide: str = "") -> str:
    # pyarrow appends the column to the first argument as a second one.
    whole = isinstance(error, UnicodeError) or not error.args
    text = str(error if whole else error.args[0])
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
    user = os.geteuid() if hasattr(os, "geteuid") else 0  # Windows has neither
    if folder.st_mode & stat.S_ISVTX and user not in {0, there.st_uid, folder.st_uid}:
        # In a sticky folder such as /tmp, only a file's owner may replace it.
        raise _os_error(errno.EPERM, shown)


def _temporary_name(name: str) -> str:
    """A name of its own beside the target; hidden, and recognisable if a kill leaves it behind."""
    prefix = name.encode()[:_PREFIX].decode(errors="ignore")
    return f".{prefix}.{secrets.token_hex(6)}.tmp"


def _create_beside(folder: str, name: str, mode: int = 0o666) -> str:
    path = os.path.join(folder, _temporary_name(name))  # noqa: PTH118 - a path of any kind
    # The mode less the umask, as any new file of the user's.
    with open(path, "xb", opener=lambda one, flags: os.open(one, flags, mode)):
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


def convert(frame: pd.DataFrame, plan: ColumnPlan, tried: Joined) -> pa.Table:
    """Convert a frame as `write` will want it, before anything is spent: a frame that cannot be.

    Its own columns are converted once and for all. One row of them goes to Parquet and back under
    the labels and types that the whole will have; where the cells decide, and not the type, all do.

    Args:
        frame: the frame to be enriched.
        plan: its new columns.
        tried: one row of it, joined.

    Returns:
        the frame as Arrow, its new columns empty.

    Raises:
        ValueError: Parquet cannot hold it; the message names the column.
    """
    _check_names(list(tried.frame.columns))
    try:
        json.dumps(frame.attrs)
    except (TypeError, ValueError) as error:
        _refuse("the frame's attrs", error, "make frame.attrs plain JSON")
    own = frame if plan.stays.all() else frame.loc[:, plan.stays]
    empty = np.full(len(frame), np.nan)
    whole = attach(own, dict.fromkeys(plan.columns.values(), empty))
    try:
        table = _with_new_types(pa.Table.from_pandas(whole), tried.frame)
    except Warning:  # where the caller has warnings raised
        raise
    except Exception as error:  # noqa: BLE001 - pyarrow's and pandas' kinds are many; all mean no
        _blame(whole, error)
    one = complete(table.slice(0, len(tried.columns)), tried.columns.slice(0, len(frame)), {}, {})
    try:
        _write_and_read(_one_of_a_kind(one, whole))
    except Exception as error:  # noqa: BLE001 - likewise
        _blame_written(one, list(whole.columns), error)
    _check_seconds(table, list(whole.columns))
    return table


def _with_new_types(table: pa.Table, tried: pd.DataFrame) -> pa.Table:
    """What pandas' metadata says of the new columns, in place of what it said of empty ones."""
    metadata = table.schema.metadata
    told = json.loads(metadata[b"pandas"])
    new = pa.Table.from_pandas(tried.iloc[:, -len(COLUMNS) :].reset_index(drop=True))
    kinds = json.loads(new.schema.metadata[b"pandas"])["columns"][: len(COLUMNS)]
    end = len(tried.columns)
    told["columns"][end - len(COLUMNS) : end] = kinds
    return table.replace_schema_metadata({**metadata, b"pandas": json.dumps(told).encode()})


def _refuse(what: str, error: BaseException, cure: str) -> NoReturn:
    raise ValueError(
        f"Parquet cannot hold {what}: {_first_line(error)}. Nothing was requested; {cure}, or "
        f"{Way('no_file')}"
    ) from None


def _check_names(labels: Sequence[Any]) -> None:
    """Parquet knows columns by text alone: 1 and "1" are one name there."""
    seen: dict[str, Any] = {}
    for label in labels:
        if str(label) in seen:
            other = seen[str(label)]
            twice = (
                f"{shown(label)} twice"
                if type(other) is type(label)
                else (f"{shown(other)} and {shown(label)}, which it writes alike")
            )
            raise ValueError(
                f"Parquet cannot hold columns called {twice}. Nothing was requested; rename one, "
                f"or {Way('no_file')}"
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
    """Name the first column or index level that Arrow cannot hold."""
    cure = "make its values one type, for example with astype(str), or drop it"
    for position, label in enumerate(frame.columns):
        column = frame.iloc[:, position]
        if (reason := _unfit(column)) is not None:
            dtype = clean(str(column.dtype))
            _refuse(f"the column {shown(label)} of dtype {dtype}", reason, cure)
    for position, name in enumerate(frame.index.names):
        if (reason := _unfit(frame.index.get_level_values(position))) is not None:
            _refuse(f"the index level {position if name is None else shown(name)}", reason, cure)
    _refuse("this frame", error, "check its index and column names")


def _unfit(values: pd.Series[Any] | pd.Index[Any]) -> Exception | None:
    try:
        pa.Table.from_pandas(pd.DataFrame({"cells": values.array}))
    except Exception as error:  # noqa: BLE001 - pyarrow's and Python's kinds are many; all mean no
        return error
    return None


def _blame_written(table: pa.Table, labels: Sequence[Any], error: BaseException) -> NoReturn:
    """Name the first column that Parquet cannot hold."""
    for position, label in enumerate(labels):
        try:
            _write_and_read(
                table.select([position]).rename_columns(["cells"]).replace_schema_metadata()
            )
        except Exception as reason:  # noqa: BLE001 - likewise
            kind = clean(str(table.schema.field(position).type))
            cure = "convert it, for example with astype(str), or drop it"
            _refuse(f"the column {shown(label)} of Arrow type {kind}", reason, cure)
    _refuse("this frame", error, "check its index and column names")


def _check_seconds(table: pa.Table, labels: Sequence[Any]) -> None:
    """Parquet has no seconds: moments far away overflow when written in milliseconds."""
    import pyarrow.parquet as pq

    for position, field in enumerate(table.schema):
        if "timestamp[s" in str(field.type):
            column = table.select([position]).rename_columns(["cells"]).replace_schema_metadata()
            try:
                pq.write_table(column, pa.MockOutputStream())
            except pa.ArrowException as error:
                label = labels[position] if position < len(labels) else field.name
                _refuse(f"the column {shown(label)}", error, "give it a finer unit, or drop it")


def complete(
    table: pa.Table,
    columns: pa.Table,
    receipt: Mapping[str, Any],
    attrs: Mapping[Any, Any],
) -> pa.Table:
    """A converted frame with its new columns in the fixed schema, receipt and attrs as metadata.

    Args:
        table: of `convert`.
        columns: the five columns of these rows, in their order.
        receipt: plain JSON, under ``leads_pandas``; empty: none.
        attrs: the frame's own, where pandas looks for them.
    """
    told = json.loads(table.schema.metadata[b"pandas"])
    first = len(told["columns"]) - len(COLUMNS)
    first -= sum(isinstance(level, str) for level in told["index_columns"])
    for position, field in enumerate(SCHEMA, start=first):
        values = _cast(columns.column(position - first), field.type)
        named = field.with_name(table.field(position).name)
        table = table.set_column(position, named, values)
    return described(table, receipt, attrs)


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
    except (TypeError, ValueError, NotImplementedError):  # as each version of pandas has it
        return False
    return True


def again(frame: pd.DataFrame) -> pa.Table:
    """Convert a joined frame whose rows are not those of the frame that was converted."""
    with warnings.catch_warnings():
        # Names that do not come back as they were: `convert` has already warned of them.
        warnings.simplefilter("ignore", UserWarning)
        return pa.Table.from_pandas(frame)


def write(table: pa.Table, target: Target) -> None:
    """Write a table, so that a reader sees the old file or the whole new one.

    The file is written beside the target and renamed. It is not forced onto the disk: after a
    power cut the store still holds every result, and the same call writes the file again without
    spending. An existing file's mode is kept, and its owner and group where that is allowed.

    Args:
        table: from `complete`.
        target: from `check_target`.

    Raises:
        OSError: the disk filled up, or the target has become unwritable since it was checked.
    """
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

    old = None
    with suppress(FileNotFoundError):
        old = os.stat(location)  # noqa: PTH116 - a path of any kind
    # Nobody reads in the temporary one what the old one keeps from them.
    temporary = _create_beside(*os.path.split(location), mode=0o666 if old is None else 0o600)
    try:
        # By path: an open Python file object was seen to crash the interpreter at its exit.
        pq.write_table(table, temporary)
        if old is not None:
            _take_over(temporary, old)
        os.replace(temporary, location)  # noqa: PTH105 - likewise
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)  # noqa: PTH108 - likewise
        raise


def _take_over(path: str, old: os.stat_result) -> None:
    """Give a file the owner, group and mode of the one that it replaces."""
    mode = stat.S_IMODE(old.st_mode)
    if hasattr(os, "chown"):
        new = os.stat(path)  # noqa: PTH116 - a path of any kind
        try:
            if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
                os.chown(path, old.st_uid, old.st_gid)
        except OSError:
            with suppress(OSError):
                os.chown(path, -1, old.st_gid)
        # What the old group was allowed is not for another one.
        if os.stat(path).st_gid != old.st_gid:  # noqa: PTH116 - likewise
            mode &= ~stat.S_IRWXG
    os.chmod(path, mode)  # noqa: PTH101 - likewise


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


def _cast(values: Any, kind: Any) -> Any:
    dictionary = isinstance(kind, pa.DictionaryType)
    return _cast_dictionary(values, kind) if dictionary else _cast_plain(values, kind)


def _cast_dictionary(values: Any, kind: Any) -> Any:
    chunks = [
        pa.DictionaryArray.from_arrays(
            chunk.indices.cast(kind.index_type), chunk.dictionary.cast(kind.value_type)
        )
        for chunk in values.chunks
    ]
    return pa.chunked_array(chunks, type=kind)


def _cast_plain(values: Any, kind: Any) -> Any:
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


def read_receipt(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The receipt in a Parquet file or dataset, such as Dask or ``partition_cols`` make it.

    Args:
        path: local path or URL, as `enrich` takes; a folder is a dataset.

    Returns:
        the receipt, as in ``attrs["leads"]`` of the frame that was written.

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

    text = _path_text(path)
    if _URL.match(text):
        filesystem, location = fs.FileSystem.from_uri(text)
    else:
        filesystem, location = fs.LocalFileSystem(), os.path.expanduser(text)  # noqa: PTH111 - a path of any kind
    if filesystem.get_file_info([location])[0].type == fs.FileType.Directory:
        files = sorted(ds.dataset(location, filesystem=filesystem, format="parquet").files)
    else:
        files = [location]
    for one in files:
        found = pq.read_metadata(one, filesystem=filesystem).metadata or {}
        receipt = json.loads(found.get(METADATA_KEY, b"null"))
        if receipt is None:  # written by pandas, which keeps a frame's attrs
            receipt = json.loads(found.get(_PANDAS_ATTRS, b"{}")).get(RECEIPT)
        if isinstance(receipt, dict):
            return receipt
    raise ValueError(
        f"{_without_credentials(text) if _URL.match(text) else clean(text)} holds no receipt: "
        "leads_pandas did not write it, or its metadata was dropped by what did"
    )
