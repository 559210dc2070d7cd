"""Where files may be kept: the folder of all stores, private and on a local filesystem."""

from __future__ import annotations

import os
from pathlib import Path

from leads_pandas.errors import StoreError, Way

_NETWORK_FILESYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "fuse.sshfs", "ncpfs"}
)
_ELSEWHERE = Way("do", {"what": "make it writable or set LEADS_PANDAS_HOME to a folder that is"})


def home() -> Path:
    """The folder of all stores: ``LEADS_PANDAS_HOME`` or the platform's user data folder."""
    named = os.environ.get("LEADS_PANDAS_HOME", "").strip()
    if named:
        return Path(named).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_data_dir("leads_pandas", appauthor=False))


def private_folder(path: Path) -> Path:
    """Make a folder that only its user can read, checked as fit for a store.

    Raises:
        StoreError: it cannot be made or written, or lies on a network filesystem.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        kind = _filesystem(path)
        writable = os.access(path, os.R_OK | os.W_OK | os.X_OK)
    except OSError as error:
        raise StoreError(
            f"the store's folder {path} cannot be made ({error.strerror})",
            "nothing was requested",
            _ELSEWHERE,
        ) from None
    if kind in _NETWORK_FILESYSTEMS:
        raise StoreError(
            f"the store's folder {path} is on a network filesystem ({kind}), whose locks cannot "
            "keep a lead from being bought twice",
            "nothing was requested",
            Way("do", {"what": "set LEADS_PANDAS_HOME to a local folder"}),
        )
    if not writable:
        raise StoreError(
            f"the store's folder {path} is not writable", "nothing was requested", _ELSEWHERE
        )
    return path


def _filesystem(path: Path) -> str:
    """The type of the filesystem that holds a path, as Linux tells it; empty elsewhere."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    best, kind = "", ""
    where = str(path.resolve())
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        mount = left.split()[4].replace("\\040", " ")
        inside = where == mount or where.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(best):
            best, kind = mount, right.split()[0]
    return kind
