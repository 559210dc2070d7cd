"""One account, one store, on a disk of this machine."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import leads_pandas
from leads_pandas import home as homes
from leads_pandas.errors import ConfigurationError, StoreError
from leads_pandas.home import (
    Place,
    find_place,
    fingerprint,
    home,
    hosts,
    private_folder,
    store_folder,
)

KEY = fingerprint("ll_one")
OTHER = fingerprint("ll_two")
URL = "https://leadsapi.postorbit.io"
HOST = "leadsapi.postorbit.io"


def place(folder: Path, named: str = "", *, unnamed: str = KEY, url: str = URL) -> Place:
    return find_place(folder, url, unnamed=unnamed, named=named)


def made_by_an_earlier_version(folder: Path, host: str, account: str) -> Path:
    """A store's folder as version 0.1.0 named it."""
    digest = hashlib.sha256(f"{host}\n{account}".encode()).hexdigest()[:16]
    path = folder / f"{host.replace(':', '-')}-{digest}"
    path.mkdir(parents=True)
    return path


# -- one account, one store ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("https://leadsapi.postorbit.io", "https://LeadsAPI.PostOrbit.io"),
        ("https://leadsapi.postorbit.io", "https://leadsapi.postorbit.io:443"),
        ("https://leadsapi.postorbit.io", "https://leadsapi.postorbit.io./"),
        ("http://127.0.0.1:8000", "http://localhost:8000"),
        ("http://127.0.0.1:8000", "http://[::1]:8000/"),
        ("http://127.0.0.1", "http://localhost:80"),
    ],
)
def test_an_address_is_the_same_however_it_is_written(tmp_path: Path, url: str, same: str) -> None:
    assert hosts(url)[0] == hosts(same)[0]
    assert place(tmp_path, url=url) == place(tmp_path, url=same)
    assert len(list(tmp_path.glob("*/"))) == 1


@pytest.mark.parametrize(
    "another",
    ["https://leadsapi.postorbit.io:8443", "https://leadsapi.postorbit.io/v2", "https://x.example"],
)
def test_another_address_is_another_store(tmp_path: Path, another: str) -> None:
    assert place(tmp_path, url=URL) != place(tmp_path, url=another)


def test_a_name_given_in_one_process_only_does_not_split_the_store(tmp_path: Path) -> None:
    assert place(tmp_path, "acme") == Place(HOST, "acme")
    assert place(tmp_path) == Place(HOST, "acme")
    assert len(list(tmp_path.glob("*/"))) == 1


def test_what_a_key_bought_before_it_had_a_name_is_the_accounts(tmp_path: Path) -> None:
    first = place(tmp_path)
    assert first == Place(HOST, KEY)
    assert place(tmp_path, "acme") == first
    assert place(tmp_path, "acme", unnamed=OTHER) == first
    assert place(tmp_path, unnamed=OTHER) == first


def test_a_rotated_key_meets_the_store_of_its_account(tmp_path: Path) -> None:
    assert place(tmp_path, "acme") == place(tmp_path, "acme", unnamed=OTHER)
    assert place(tmp_path, unnamed=OTHER) == Place(HOST, "acme")


def test_a_key_under_a_second_name_is_refused(tmp_path: Path) -> None:
    place(tmp_path, "acme")
    with pytest.raises(ConfigurationError, match="'acme'") as error:
        place(tmp_path, "acme2")
    assert "nothing was requested" in str(error.value)
    assert "accounts.json" in str(error.value)


def test_a_key_that_bought_without_a_name_is_not_put_under_an_account_with_a_store(
    tmp_path: Path,
) -> None:
    place(tmp_path)
    place(tmp_path, "acme", unnamed=OTHER)
    with pytest.raises(ConfigurationError, match="without a name"):
        place(tmp_path, "acme")


def test_a_name_whose_store_is_gone_binds_nobody(tmp_path: Path) -> None:
    store_folder(tmp_path, place(tmp_path, "acme")).rmdir()
    assert place(tmp_path, "acme2") == Place(HOST, "acme2")


@pytest.mark.parametrize("account", [KEY, "acme"])
@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("leadsapi.postorbit.io", URL),
        ("leadsapi.postorbit.io:443", "https://leadsapi.postorbit.io:443"),
        ("leadsapi.postorbit.io:443", URL),
        ("localhost:8000", "http://localhost:8000"),
        ("localhost:8000", "http://127.0.0.1:8000"),
        ("127.0.0.1:8000", "http://localhost:8000"),
    ],
)
def test_a_store_of_an_earlier_version_opens_under_its_name(
    tmp_path: Path, host: str, url: str, account: str
) -> None:
    store = made_by_an_earlier_version(tmp_path, host, account)
    named = "" if account == KEY else account
    for _ in range(2):
        assert store_folder(tmp_path, place(tmp_path, named, url=url)) == store


def test_two_stores_of_an_earlier_version_open_as_they_are_written(tmp_path: Path) -> None:
    for host in ("localhost:8000", "127.0.0.1:8000"):
        store = made_by_an_earlier_version(tmp_path, host, KEY)
        assert store_folder(tmp_path, place(tmp_path, url=f"http://{host}")) == store


def test_a_key_with_two_stores_of_an_earlier_version_has_to_be_named(tmp_path: Path) -> None:
    made_by_an_earlier_version(tmp_path, HOST, KEY)
    named = made_by_an_earlier_version(tmp_path, HOST, "acme")
    assert store_folder(tmp_path, place(tmp_path, "acme")) == named
    with pytest.raises(ConfigurationError, match="LEADS_PANDAS_ACCOUNT=acme"):
        place(tmp_path)


def test_what_is_remembered_is_for_its_owner_only_and_holds_no_key(tmp_path: Path) -> None:
    place(tmp_path, "acme")
    path = tmp_path / "accounts.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text("utf-8")) == {HOST: {KEY: "acme"}}
    assert "ll_one" not in path.read_text("utf-8")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"host": 5}'])
def test_a_damaged_memory_is_refused_and_not_replaced(tmp_path: Path, text: str) -> None:
    path = tmp_path / "accounts.json"
    path.write_text(text, "utf-8")
    with pytest.raises(StoreError, match="damaged"):
        place(tmp_path)
    assert path.read_text("utf-8") == text


def test_processes_that_come_at_once_agree(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib; from leads_pandas.home import find_place;"
        f"print(find_place(pathlib.Path({str(tmp_path)!r}), {URL!r}, unnamed={KEY!r},"
        " named=sys.argv[1]).account)"
    )
    many = [
        subprocess.Popen(
            [sys.executable, "-c", script, name], stdout=subprocess.PIPE, encoding="utf-8"
        )
        for name in ("", "acme", "", "acme")
    ]
    assert len({one.communicate()[0] for one in many}) == 1


# -- where files may be kept -----------------------------------------------------------------


def test_the_folder_comes_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEADS_PANDAS_HOME", f" {tmp_path} ")
    assert home() == tmp_path
    monkeypatch.setenv("LEADS_PANDAS_HOME", "~/leads")
    assert home() == Path.home() / "leads"
    monkeypatch.delenv("LEADS_PANDAS_HOME")
    assert home().is_absolute()


def test_a_relative_folder_is_refused_with_the_path_it_would_have_been(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LEADS_PANDAS_HOME", "stores")
    with pytest.raises(ConfigurationError, match="relative") as error:
        home()
    assert str(Path("stores").absolute()) in str(error.value)


def test_a_folder_is_made_for_its_owner_only(tmp_path: Path) -> None:
    made = private_folder(tmp_path / "a" / "b")
    assert stat.S_IMODE(made.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "kind",
    ["nfs4", "cifs", "9p", "virtiofs", "lustre", "gpfs", "ceph", "vboxsf", "fuse.sshfs", "fuse.s3"],
)
def test_a_filesystem_not_known_to_be_local_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(homes, "_mounts", lambda: [("/", "ext4"), (str(tmp_path), kind)])
    with pytest.raises(StoreError, match="LEADS_PANDAS_HOME") as error:
        private_folder(tmp_path / "store")
    assert kind in str(error.value)


@pytest.mark.parametrize(
    "kind", ["ext4", "xfs", "btrfs", "zfs", "overlay", "tmpfs", "apfs", "ntfs"]
)
def test_a_local_filesystem_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(homes, "_mounts", lambda: [("/", "nfs"), (str(tmp_path), kind)])
    assert private_folder(tmp_path / "store").is_dir()


def test_where_the_system_does_not_tell_a_folder_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(homes, "_mounts", list)
    assert private_folder(tmp_path / "store").is_dir()


def test_the_mounts_of_macos_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    said = (
        "/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)\n"
        "map auto_home on /System/Volumes/Data/home (autofs, automounted, nobrowse)\n"
        "//me@nas/My Share on /Volumes/My Share (smbfs, nodev, nosuid, mounted by me)\n"
    )
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(
        subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0, said, "")
    )
    mounts = homes._mounts()
    assert homes._deepest(Path("/Users/me"), mounts) == "apfs"
    assert homes._deepest(Path("/Volumes/My Share/leads"), mounts) == "smbfs"


# -- other machines --------------------------------------------------------------------------


def test_names_that_windows_lacks_are_not_needed_to_import_and_open_a_store(
    tmp_path: Path,
) -> None:
    script = """
import os, pathlib, sys
for name in ("register_at_fork", "geteuid", "getuid", "getegid", "O_CLOEXEC", "fork"):
    if hasattr(os, name):
        delattr(os, name)
from leads_pandas.leadsapi.client import LeadsClient
from leads_pandas.store.database import Database
client = LeadsClient("ll_one", "http://localhost:9")
client.pacer.cancel(client.pacer.acquire(lease=1.0))
Database(pathlib.Path(sys.argv[1]), client.host, client.account).close()
print("opened")
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"LEADS_PANDAS_HOME": str(tmp_path)},
    )
    assert done.stdout == "opened\n", done.stderr


def test_without_its_metadata_the_package_works(tmp_path: Path) -> None:
    # A copy on the path, as in a zipapp or a frozen program.
    (tmp_path / "leads_pandas").symlink_to(Path(leads_pandas.__file__).parent)
    script = f"""
import importlib.metadata, sys
def missing(name): raise importlib.metadata.PackageNotFoundError(name)
importlib.metadata.version = missing
sys.path.insert(0, {str(tmp_path)!r})
import leads_pandas
from leads_pandas.server.local import USER_AGENT
print(leads_pandas.__version__, USER_AGENT.split()[0])
leads_pandas.LeadsClient("ll_one", requests_per_minute=0).pacer
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.stdout == "unknown leads_pandas/unknown\n", done.stderr
