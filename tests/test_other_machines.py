"""What Windows and macOS lack is not needed: every call works where our modules cannot see it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.support.harness import lead_ids

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.harness import Vendor

# Only our own modules miss the names: what others do on a machine that has them is their affair.
SCRIPT = """
import builtins, os, signal, socket, sys, time

MISSING = {
    "os": "register_at_fork fork getuid geteuid getgid getegid getgroups chown lchown fchown "
    "fchmod O_CLOEXEC O_DIRECTORY O_NOFOLLOW O_SYNC O_DSYNC O_NONBLOCK statvfs sysconf uname "
    "getpgid killpg setsid getloadavg sched_getaffinity posix_fallocate pread pwrite mkfifo",
    "signal": "SIGKILL SIGHUP SIGALRM SIGUSR1 SIGUSR2 SIGPIPE SIGCHLD SIGSTOP SIGCONT alarm "
    "setitimer pthread_sigmask pthread_kill sigwait siginterrupt",
    "socket": "AF_UNIX SO_REUSEPORT MSG_DONTWAIT MSG_NOSIGNAL",
    "time": "clock_gettime CLOCK_BOOTTIME CLOCK_MONOTONIC CLOCK_MONOTONIC_RAW tzset",
}
MODULES = {"fcntl", "pwd", "grp", "resource", "termios", "tty", "pty"}


def ours(frame):
    return frame.f_globals.get("__name__", "").partition(".")[0] == "leads_pandas"


def poorer(whole, missing):
    class Poorer(type(sys)):
        def __getattribute__(self, name):
            if name in missing and ours(sys._getframe(1)):
                raise AttributeError(f"{whole.__name__}.{name} is not on this system")
            return getattr(whole, name)

    return Poorer(whole.__name__)


def refusing(name, *more, **named):
    if name.partition(".")[0] in MODULES and ours(sys._getframe(1)):
        raise ModuleNotFoundError(f"no module {name!r} here")
    return find(name, *more, **named)


for name, missing in MISSING.items():
    sys.modules[name] = poorer(sys.modules[name], set(missing.split()))
find, builtins.__import__ = builtins.__import__, refusing

import pandas as pd
import leads_pandas as lp
from leads_pandas import cli

df = pd.DataFrame({"lead_id": sys.argv[1].split(",")})
client = lp.LeadsClient(os.environ["TEST_KEY"], os.environ["TEST_URL"], requests_per_minute=0)
lp.set_default_client(client)
for _ in range(2):
    out = df.leads.enrich("out.parquet", max_credits=50, progress=True)
run = df.leads.start()
run.result()
lp.resume(lp.runs()["run_id"].iloc[0], "by_lead.parquet")
lp.forget(df["lead_id"].iloc[:1])
assert lp.read_receipt("out.parquet")["run_id"] is None
assert cli.main(["results", "out.parquet", "--json"]) == 0
import dask.dataframe as dd
import leads_pandas.dask

dd.from_pandas(df, npartitions=2).leads.enrich("dataset", progress=False)
print(out["email"].notna().sum())
"""


def test_every_call_works_without_the_names_that_other_systems_lack(
    vendor: Vendor, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, ",".join(lead_ids(12))],
        cwd=tmp_path,
        env=os.environ | {"TEST_KEY": vendor.key, "TEST_URL": vendor.base_url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "9"
    assert vendor.counts["spent"] == 12
    assert len(list((tmp_path / "dataset").iterdir())) == 2
