"""Where files may be kept: the folder of all stores, which store is whose, and on what filesystem.

A key belongs to one account, and one account at one service has one store, however its address is
written and whether or not a process names the account: else a lead would be bought once per store.
What is one is recognised as one, and what cannot be told is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from leads_pandas.errors import ConfigurationError, StoreError

# Network and shared filesystems are countless, and some keep no locks: these are surely local.
_LOCAL_FILESYSTEMS = re.compile(
    "apfs|aufs|bcachefs|btrfs|ecryptfs|exfat|ext[234]|f2fs|fuseblk|hfs|hfsplus|jfs|msdos|nilfs2|"
    "ntfs3?|overlay|overlayfs|ramfs|reiserfs|rootfs|tmpfs|ubifs|udf|ufs|vfat|xfs|zfs"
)
_SAME_HOST = ("127.0.0.1", "localhost", "[::1]")
_LOCK_TIMEOUT = 10.0  # seconds to wait for another process that writes down an account


def version() -> str:
    """The package's version; ``unknown`` where it runs without its metadata (a copy, a zipapp)."""
    try:
        return installed_version("leads_pandas")
    except PackageNotFoundError:
        return "unknown"


def home() -> Path:
    """The folder of all stores: ``LEADS_PANDAS_HOME`` or the platform's user data folder."""
    named = os.environ.get("LEADS_PANDAS_HOME", "").strip()
    if named:
        path = Path(named).expanduser()
        if not path.is_absolute():
            raise ConfigurationError(
                f"LEADS_PANDAS_HOME is relative ({named}), which is another store in every folder",
                "nothing was requested",
                f"set it to the whole path, here {path.absolute()}",
            )
        return path
    import platformdirs

    return Path(platformdirs.user_data_dir("leads_pandas", appauthor=False))


# Which store is whose.


class Place(NamedTuple):
    """What a store is filed under."""

    host: str
    account: str


def fingerprint(key: str) -> str:
    """The account of a key that nobody has given a name."""
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()


def hosts(base_url: str) -> tuple[str, ...]:
    """The ways to write a service's host, the one that stands for all of them first."""
    parts = urlsplit(base_url)
    name = (parts.hostname or "").rstrip(".")
    name = f"[{name}]" if ":" in name else name
    default = 443 if parts.scheme == "https" else 80
    port = parts.port or default
    names = _SAME_HOST if name in _SAME_HOST else (name,)
    ports = ("", f":{default}") if port == default else (f":{port}",)
    return tuple(f"{one}{end}{parts.path.rstrip('/')}" for end in ports for one in names)


def store_folder(folder: Path, place: Place) -> Path:
    """The folder of the store that is filed so."""
    digest = hashlib.sha256("\n".join(place).encode()).hexdigest()[:16]
    label = re.sub(r"[^a-z0-9.]+", "-", place.host.lower())[:60].strip("-.") or "host"
    return folder / f"{label}-{digest}"


def find_place(folder: Path, base_url: str, *, unnamed: str | None, named: str) -> Place:
    """The one place of a key's store, remembered for every process that comes later.

    ``unnamed`` is the `fingerprint` of the key, None where there is no key; ``named`` the account's
    name as this process has it, empty where it has none.
    """
    spelled = hosts(base_url)
    typed = urlsplit(base_url).netloc.lower() + urlsplit(base_url).path
    path = private_folder(folder) / "accounts.json"
    try:
        with FileLock(folder / "accounts.lock", timeout=_LOCK_TIMEOUT, mode=0o600):
            known = _load(path)
            account = _account(folder, spelled, known.setdefault(spelled[0], {}), unnamed, named)
            # A store that an earlier version made keeps the name it has.
            places = [Place(host, account) for host in (typed, *spelled)]
            made = [one for one in places if store_folder(folder, one).is_dir()]
            place = (*made, Place(spelled[0], account))[0]
            private_folder(store_folder(folder, place))
            _save(path, known)
            return place
    except Timeout:
        raise StoreError(
            f"{path} is held by another process; nothing was requested: "
            "wait for that process, or end it"
        ) from None
    except StoreError:
        raise
    except OSError as error:
        raise _unwritable(f"{path} cannot be written ({error.strerror})") from None


def _account(
    folder: Path, spelled: tuple[str, ...], known: dict[str, str], unnamed: str | None, named: str
) -> str:
    """Which account a key's store is filed under; what is learnt is put into ``known``."""

    def stored(account: str) -> bool:
        return any(store_folder(folder, Place(host, account)).is_dir() for host in spelled)

    if unnamed is None:
        return known.get(f"name:{named}", named)
    remembered = known.get(unnamed)
    if not named:
        if remembered not in (None, unnamed) and stored(unnamed):
            raise ConfigurationError(
                f"this key has two stores here, that of the account {remembered!r} and one made "
                "without a name, and one of them may not know what the other has bought",
                "nothing was requested",
                f"set LEADS_PANDAS_ACCOUNT={remembered} in every process",
            )
        return known.setdefault(unnamed, unnamed)
    account = known.get(f"name:{named}", named)
    if remembered in (None, unnamed) and stored(unnamed) and not stored(account):
        # What the key bought before it had a name is the account's.
        account = known[f"name:{named}"] = unnamed
    if remembered is not None and remembered != account and stored(remembered):
        known_as = "without a name" if remembered == unnamed else f"as {remembered!r}"
        raise ConfigurationError(
            f"the account of this key is known here {known_as}, and {named!r} has another store: "
            "one may not know what the other has bought",
            "nothing was requested",
            "name it as before, or remove the key's line from accounts.json in "
            f"{folder} once none of its runs is unfinished",
        )
    known[unnamed] = account
    return account


def _load(path: Path) -> dict[str, dict[str, str]]:
    """Per host: fingerprints of keys, and names given later (``name:…``), and their accounts."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        known = None
    if not isinstance(known, dict) or not all(isinstance(one, dict) for one in known.values()):
        raise StoreError(
            f"{path} says which account a key belongs to, and is damaged; nothing was requested: "
            "move it away, and name the account in every process (LEADS_PANDAS_ACCOUNT)"
        )
    return known


def _save(path: Path, known: dict[str, dict[str, str]]) -> None:
    """Write it durably and all at once, where it has changed."""
    text = json.dumps(known, indent=1, sort_keys=True)
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    Path(file.name).replace(path)


# On what filesystem.


def private_folder(path: Path) -> Path:
    """Make a folder that only its user can read, checked as fit for a store."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        kind = _filesystem(path)
        writable = os.access(path, os.R_OK | os.W_OK | os.X_OK)
    except OSError as error:
        raise _unwritable(f"the store's folder {path} cannot be made ({error.strerror})") from None
    if kind and not _LOCAL_FILESYSTEMS.fullmatch(kind):
        raise StoreError(
            f"the store's folder {path} is on a filesystem that is not known to be local ({kind}), "
            "and locks that other machines do not see cannot keep a lead from being bought twice",
            "nothing was requested",
            "set LEADS_PANDAS_HOME to a folder on a disk of this machine",
        )
    if not writable:
        raise _unwritable(f"the store's folder {path} is not writable")
    return path


def _unwritable(what: str) -> StoreError:
    return StoreError(
        f"{what}; nothing was requested: "
        "make it writable or set LEADS_PANDAS_HOME to a folder that is"
    )


def _filesystem(path: Path) -> str:
    """The type of the filesystem that holds a path; empty where the system does not tell."""
    if sys.platform == "win32":
        import ctypes

        remote = 4  # DRIVE_REMOTE
        root = f"{path.resolve().drive}\\"
        return "remote" if ctypes.windll.kernel32.GetDriveTypeW(root) == remote else "ntfs"
    return _deepest(path.resolve(), _mounts())


def _mounts() -> list[tuple[str, str]]:
    if sys.platform == "darwin":
        done = subprocess.run(
            ["/sbin/mount"], capture_output=True, encoding="utf-8", errors="replace", check=False
        )
        return [
            (found[1], found[2])
            for line in done.stdout.splitlines()
            if (found := re.match(r".*? on (.+) \((\w+)", line))
        ]
    try:
        text = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    lines = [line.partition(" - ") for line in text.splitlines()]
    return [(left.split()[4].replace("\\040", " "), right.split()[0]) for left, _, right in lines]


def _deepest(path: Path, mounts: list[tuple[str, str]]) -> str:
    """The type of the last, innermost mount that holds a path."""
    holding = [one for one in reversed(mounts) if path.is_relative_to(one[0])]
    return max(holding, key=lambda one: len(one[0]), default=("", ""))[1]
