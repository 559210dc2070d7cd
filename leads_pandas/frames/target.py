"""Where a Parquet file goes: found writable before anything is spent, replaced in one step.

What a file holds is `parquet`'s. pyarrow's filesystems are imported when first needed, never with
the package.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from leads_pandas.display import clean
from leads_pandas.frames.columns import encodable

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyarrow.fs import FileSystem

_OTHER_FORMATS: Final = re.compile(
    r"\.(csv|tsv|tab|txt|json|jsonl|ndjson|xls[xmb]?|ods|feather|arrow|ipc|orc|avro|pkl|pickle|h5"
    r"|hdf5?|html?|xml|db|sqlite3?|duckdb|dta|sav)(\.(gz|bz2|xz|zip|zst))?$"
    r"|\.(gz|bz2|xz|zip|zst)$",
    re.IGNORECASE,
)
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_PROBE: Final = b"\0" * 4096  # one block: a full disk lets a file be created, but not filled
_WHOLE: Final = ("s3", "gcs", "abfs")  # where an object appears when all of it has been sent
_PREFIX: Final = 100  # bytes of the target's name in a temporary one, well below any limit


@dataclass(frozen=True, slots=True)
class Target:
    """Where a Parquet file goes, found writable."""

    path: str  # as the caller gave it, without credentials, for messages
    location: str  # absolute path with links resolved, or the path inside `filesystem`
    filesystem: FileSystem | None = None  # a pyarrow filesystem; None for a local file
    renames: bool = True  # whether a rename replaces a file there; not every object store has one


def check_target(path: str | os.PathLike[str]) -> Target:
    """Find out whether a file can be written there, by writing one beside it and removing it.

    A link is followed, so that it survives the write; ``~`` is the home folder.

    Raises:
        OSError: it cannot; it is named after the file that was asked for.
        ValueError: it is no place, or no name, of a Parquet file.
        TypeError: it is no path.
    """
    text = _path_text(path)
    shown = without_credentials(text)
    named = text.partition("?")[0] if _URL.match(text) else text
    if other := _OTHER_FORMATS.search(named):
        stem = PurePath(named[: other.start()]).name.removesuffix(".parquet")
        raise ValueError(
            f"{shown} is to be a Parquet file, and its name says otherwise. Nothing was requested; "
            f"call it {clean(stem)}.parquet"
        )
    filesystem, location = place_of(text)
    try:
        return (
            _check_local(location, shown)
            if filesystem is None
            else _check_remote(filesystem, location, shown)
        )
    except OSError as error:
        said = error.strerror or first_line(error)  # pyarrow's often have no number
        said = f"{said}; nothing was requested: name a file that can be written"
        raise type(error)(error.errno or errno.EIO, said, shown) from None


def place_of(path: object) -> tuple[FileSystem | None, str]:
    """The filesystem (None: the local one) and the path inside it that a path or URL names."""
    text = _path_text(path)
    if not _URL.match(text):
        return None, os.path.expanduser(text)  # noqa: PTH111 - a path of any kind
    from pyarrow import fs

    try:
        filesystem, location = fs.FileSystem.from_uri(text)
    except ValueError as error:
        shown = without_credentials(text)
        raise ValueError(
            f"pyarrow's filesystems do not take {shown}: "
            f"{first_line(error).replace(text, shown)}. "
            "Nothing was requested; give a local path, or a file, s3, gs or abfss URL"
        ) from None
    if isinstance(filesystem, fs.LocalFileSystem):
        return None, location + ("/" if text.endswith("/") else "")
    return filesystem, location


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


def without_credentials(path: object) -> str:
    """A path to show: a URL without user, password and query, all of which may hold secrets."""
    text = _path_text(path)
    if not _URL.match(text):
        return clean(text)
    scheme, _, rest = text.partition("://")
    host, slash, inside = rest.partition("?")[0].partition("/")
    return clean(f"{scheme}://{host.rpartition('@')[2]}{slash}{inside}")


def first_line(error: BaseException) -> str:
    """What an error of pyarrow's or pandas' says, in one line."""
    # pyarrow appends the column to the first argument as a second one.
    whole = isinstance(error, UnicodeError) or not error.args
    text = str(error if whole else error.args[0])
    return clean(text.strip().partition("\n")[0]).rstrip(".")


def held_by(target: Target, name: str) -> tuple[list[str], list[str]] | None:
    """The columns of the file that is there, if any, and the texts of one; None: no Parquet."""
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(target.location, filesystem=target.filesystem) as file:
            cells = file.read(columns=[name])
            names = list(file.schema_arrow.names)
    except FileNotFoundError:
        return [], []
    except pa.ArrowException:
        return None
    texts = cells[name].to_pylist() if name in cells.column_names else []
    return names, list(dict.fromkeys(str(one) for one in texts if one is not None))


def _os_error(code: int, path: str) -> OSError:
    return OSError(code, os.strerror(code), path)


def _check_local(path: str, shown: str) -> Target:
    if path.endswith(os.sep):
        raise _os_error(errno.EISDIR, shown)
    location = os.path.realpath(path)
    with suppress(FileNotFoundError):
        _check_replaceable(location, os.stat(location), shown)  # noqa: PTH116 - a path of any kind
    probe = _beside(location, os.sep)
    try:
        with open(probe, "xb") as file:  # noqa: PTH123 - a path of any kind
            file.write(_PROBE)
    finally:
        with suppress(OSError):
            os.unlink(probe)  # noqa: PTH108 - likewise
    return Target(shown, location)


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


def _beside(location: str, separator: str) -> str:
    """A name of its own beside the target; hidden, and recognisable if a kill leaves it behind."""
    folder, slash, name = location.rpartition(separator)
    prefix = name.encode()[:_PREFIX].decode(errors="ignore")
    return f"{folder}{slash}.{prefix}.{secrets.token_hex(6)}.tmp"


def _check_remote(filesystem: FileSystem, location: str, shown: str) -> Target:
    from pyarrow import fs

    kind = filesystem.get_file_info([location])[0].type if location else fs.FileType.Directory
    if location.endswith("/") or kind == fs.FileType.Directory:
        raise _os_error(errno.EISDIR, shown)
    probes = [_beside(location, "/") for _ in range(2)]
    renames = True
    try:
        for probe in probes:
            with filesystem.open_output_stream(probe) as file:
                file.write(_PROBE)
        try:
            filesystem.move(*probes)  # over another file, as the write will
        except (OSError, NotImplementedError) as error:
            # A flat Azure account has no rename, and who may write in a bucket may not be allowed
            # to copy there. Anywhere else a file that is written over could be lost half-way.
            if filesystem.type_name not in _WHOLE:
                raise OSError(
                    errno.ENOTSUP, f"no file can be replaced there ({first_line(error)})", shown
                ) from None
            renames = False
    finally:
        for probe in probes:
            with suppress(OSError):
                filesystem.delete_file(probe)
    return Target(shown, location, filesystem, renames=renames)


def write(table: pa.Table, target: Target, *, before: Callable[[], None] = lambda: None) -> None:
    """Write a table as Parquet, so that a reader sees the old file or the whole new one.

    The file is written beside the target and renamed. It is not forced onto the disk: after a
    power cut the store still holds every result, and the same call writes the file again without
    spending. An existing file's mode is kept, and its owner and group where that is allowed.

    ``before`` has the last word on what is there: it is called right before that is replaced.
    """
    import pyarrow.parquet as pq
    from pyarrow import fs

    if not target.renames:
        _write_in_place(table, target, before)
        return
    here = target.filesystem is None
    filesystem = target.filesystem or fs.LocalFileSystem()
    # An object appears when its stream is closed, also where a failure closes it half-written:
    # so under a name of its own first.
    written = _beside(target.location, os.sep if here else "/")
    try:
        old = _create_like(target.location, written) if here else None
        pq.write_table(table, written, filesystem=filesystem)
        if old is not None:
            _take_over(written, old)
        before()
        filesystem.move(written, target.location)
    except BaseException as error:
        with suppress(OSError):
            filesystem.delete_file(written)
        if here and isinstance(error, OSError) and error.errno is not None:
            # Named after the file that was asked for; pyarrow names none.
            raise _os_error(error.errno, target.path) from None
        raise


def _create_like(location: str, path: str) -> os.stat_result | None:
    """Create a file that nobody reads whom the one to be replaced keeps out; what that one is."""
    old = None
    with suppress(FileNotFoundError):
        old = os.stat(location)  # noqa: PTH116 - a path of any kind
    # The mode less the umask, as any new file of the user's.
    mode = 0o666 if old is None else 0o600
    with open(path, "xb", opener=lambda one, flags: os.open(one, flags, mode)):
        return old


def _take_over(path: str, old: os.stat_result) -> None:
    """Give a file the owner, group and mode of the one that it replaces."""
    mode = stat.S_IMODE(old.st_mode)
    for owner in (old.st_uid, -1) if hasattr(os, "chown") else ():
        with suppress(OSError):
            os.chown(path, owner, old.st_gid)
            break
    # What the old group was allowed is not for another one.
    if os.stat(path).st_gid != old.st_gid:  # noqa: PTH116 - a path of any kind
        mode &= ~stat.S_IRWXG
    os.chmod(path, mode)  # noqa: PTH101 - likewise


def _write_in_place(table: pa.Table, target: Target, before: Callable[[], None]) -> None:
    """Write over what is there, with nothing left to do that may fail but sending the bytes."""
    import pyarrow.parquet as pq
    from pyarrow import fs

    filesystem: Any = target.filesystem
    whole = pa.BufferOutputStream()
    pq.write_table(table, whole)
    before()
    new = filesystem.get_file_info([target.location])[0].type == fs.FileType.NotFound
    try:
        with filesystem.open_output_stream(target.location) as file:
            file.write(whole.getvalue())
    except BaseException:
        # An older object stays: the store keeps it until the new one is complete.
        if new:
            with suppress(OSError):
                filesystem.delete_file(target.location)
        raise
