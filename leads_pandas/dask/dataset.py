"""The folder of a dataset: found fit before anything is spent, and put in place in one step.

The files are written into a folder beside it, which then takes its place: by a rename where nothing
is there, by an exchange of the two folders where an older dataset is. A crash or a reader at any
instant finds the one or the other, never a mixture.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import secrets
import shutil
import sys
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pyarrow import fs

from leads_pandas.frames.target import check_target

_AT_FDCWD: Final = -100
_RENAME_EXCHANGE: Final = 2
_CANNOT: Final = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EXDEV}
_TOKEN: Final = 6  # bytes


@dataclass(frozen=True, slots=True)
class Place:
    """Where a dataset goes, found fit: ``path`` for messages, ``location`` in its filesystem."""

    path: str
    location: str
    filesystem: fs.FileSystem | None = None


def check_place(path: str | os.PathLike[str]) -> Place:
    """Find out whether a dataset can be put there; what is there stays as it is."""
    text = os.fspath(path) if isinstance(path, os.PathLike) else path
    text = text.rstrip("/") if isinstance(text, str) else text
    try:
        target = check_target(text)
    except IsADirectoryError as error:
        place = _folder(text, str(error.filename))
    else:
        place = Place(target.path, target.location, target.filesystem)
    if place.filesystem is None:
        _check_local(place)
    elif not _is_free(place.filesystem, place):
        raise _in_the_way(place, "is there, and such a filesystem cannot replace it in one step")
    return place


def _is_free(filesystem: fs.FileSystem, place: Place) -> bool:
    info: fs.FileInfo = filesystem.get_file_info([place.location])[0]
    return info.type == fs.FileType.NotFound


def _folder(text: str, shown: str) -> Place:
    """A folder that is there."""
    if "://" not in text:
        return Place(shown, os.path.realpath(Path(text).expanduser()))
    filesystem, location = fs.FileSystem.from_uri(text)
    if isinstance(filesystem, fs.LocalFileSystem):
        return Place(shown, os.path.realpath(location))
    return Place(shown, location, filesystem)


def _in_the_way(place: Place, why: str) -> FileExistsError:
    return FileExistsError(
        errno.EEXIST, f"{why}; nothing was requested, so give a new path", place.path
    )


def _made_meanwhile(place: Place) -> FileExistsError:
    return FileExistsError(
        errno.EEXIST,
        "was made by somebody else meanwhile; what was bought is kept, so run the same line again "
        "with another path",
        place.path,
    )


def _strangers(there: Path) -> list[str]:
    """Files in a folder that are none of a dataset's."""
    files = (one.name for one in there.rglob("*") if one.is_file())
    return [one for one in files if not _of_a_dataset(one)]


def _check_local(place: Place) -> None:
    there = Path(place.location)
    if not there.exists():
        return
    if not there.is_dir():
        raise _in_the_way(place, "is a file, and a dataset is a folder")
    if strange := _strangers(there):
        raise _in_the_way(place, f"is a folder that holds {strange[0]!r}, so it is no dataset")
    if not os.access(there, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), place.path)
    with _staged(place) as one, _staged(place) as other:
        try:
            exchange(one, other)
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
            raise _in_the_way(
                place, "is there, and this filesystem cannot replace it in one step"
            ) from None


def _of_a_dataset(name: str) -> bool:
    return name.endswith((".parquet", ".parq", ".pq")) or name.startswith(("_", "."))


def exchange(one: str, other: str) -> None:
    """Let two folders take each other's place, in one step."""
    linux = sys.platform.startswith("linux")
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if linux else None
    if rename is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), one)
    paths = os.fsencode(one), os.fsencode(other)
    if rename(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), one)


def new_token() -> str:
    """The name of one write."""
    return secrets.token_hex(_TOKEN)


def _stage_name(place: Place, token: str) -> Path:
    there = Path(place.location)
    return there.parent / f".{there.name}.{token}.tmp"


@contextlib.contextmanager
def _staged(place: Place) -> Generator[str]:
    folder = _stage_name(place, new_token())
    folder.mkdir()
    try:
        yield str(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def staged(place: Place, token: str) -> Generator[str]:
    """The folder that the workers write into; gone afterwards, whatever is left in it.

    It is locked as long as this process lives: what a killed one has left is found by its missing
    lock, and removed by the next write. Windows has no such locks, and what is left there stays.
    """
    if place.filesystem is not None:
        if not _is_free(place.filesystem, place):
            raise _made_meanwhile(place)
        place.filesystem.create_dir(place.location, recursive=True)
        try:
            yield place.location
        except BaseException:  # so that the same line can be run again
            with contextlib.suppress(OSError):
                place.filesystem.delete_dir(place.location)
            raise
        return
    remove_leftovers(place)
    folder = _stage_name(place, token)
    folder.mkdir()
    with contextlib.ExitStack() as held:
        held.callback(shutil.rmtree, folder, ignore_errors=True)
        with contextlib.suppress(ImportError):
            held.enter_context(_locked(folder))
        yield str(folder)


@contextlib.contextmanager
def _locked(folder: Path) -> Generator[None]:
    """Hold a folder; OSError where another process does, ImportError where none can be held."""
    import fcntl

    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(lock)


def remove_leftovers(place: Place) -> None:
    """Remove what writes of this dataset have left that no living process holds."""
    there = Path(place.location)
    left = re.compile(rf"\.{re.escape(there.name)}\.[0-9a-f]{{{2 * _TOKEN}}}\.tmp")
    for one in there.parent.iterdir():
        if not left.fullmatch(one.name):
            continue
        with contextlib.suppress(OSError, ImportError), _locked(one):
            shutil.rmtree(one, ignore_errors=True)


def put_in_place(place: Place, stage: str, files: Sequence[str]) -> None:
    """Let the written folder become the dataset, if it has the files that the workers wrote."""
    if place.filesystem is not None:
        return
    there = {one.name for one in Path(stage).iterdir()}
    if missing := [one for one in files if one not in there]:
        raise FileNotFoundError(
            errno.ENOENT,
            f"the workers wrote {missing[0]} where this process does not see it; the dataset is as "
            "it was and every result is kept: give a folder that all workers share",
            place.path,
        )
    for name in there.difference(files):  # of tasks that were killed while writing
        (Path(stage) / name).unlink()
    if Path(place.location).exists():
        if not Path(place.location).is_dir() or _strangers(Path(place.location)):
            raise _made_meanwhile(place)
        shutil.copymode(place.location, stage)
        exchange(stage, place.location)
    else:
        Path(stage).rename(place.location)
