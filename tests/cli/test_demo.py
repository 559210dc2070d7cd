from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from leads_pandas.cli.demo import run_demo

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.harness import Tripwire

TRUTH = json.loads(
    (Path(__file__).parents[1] / "server" / "sample_truth.json").read_text(encoding="utf-8")
)

# Runs the demo, and then says what it has left behind in its own process.
RUN = """
import json, os, sys, threading
from pathlib import Path
from leads_pandas.cli.demo import run_demo

before = dict(os.environ)
path = run_demo(Path(sys.argv[1]))
sockets = [
    target
    for fd in os.listdir("/proc/self/fd")
    if os.path.lexists(link := f"/proc/self/fd/{fd}")
    and (target := os.readlink(link)).startswith("socket:")
]
print("LEFT", json.dumps({
    "path": str(path),
    "threads": [one.name for one in threading.enumerate() if one is not threading.main_thread()],
    "children": Path(f"/proc/self/task/{os.getpid()}/children").read_text().split(),
    "sockets": sockets,
    "environment_changed": dict(os.environ) != before,
}))
"""


@dataclass
class Ran:
    """One demo in a process of its own, with an environment that tries to lead it astray."""

    folder: Path
    temporary: Path
    home: Path
    out: str
    err: str
    left: dict[str, object]
    touched: list[str]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    from tests.support.harness import Tripwire

    root = tmp_path_factory.mktemp("demo")
    temporary, home = root / "tmp", root / "home"
    temporary.mkdir()
    home.mkdir()
    trap = Tripwire()
    try:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", RUN, "demo"],
            cwd=root,
            env={
                **{k: v for k, v in os.environ.items() if not k.startswith("COV_")},
                "LOCALLEADS_API_KEY": "ll_" + "ab" * 32,
                "LOCALLEADS_BASE_URL": trap.url,
                "LOCALLEADS_REQUESTS_PER_MINUTE": "not a number",
                "LEADS_PANDAS_HOME": str(home / "hostile"),
                "LEADS_PANDAS_ACCOUNT": "somebody else",
                "HTTP_PROXY": trap.url,
                "http_proxy": trap.url,
                "ALL_PROXY": trap.url,
                "HOME": str(home),
                "TMPDIR": str(temporary),
                "PYTHONIOENCODING": "utf-8",
            },
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
    finally:
        trap.close()
    assert done.returncode == 0, done.stderr
    words, _, left = done.stdout.partition("LEFT ")
    return Ran(root / "demo", temporary, home, words, done.stderr, json.loads(left), trap.seen)


def test_the_demo_never_touches_the_service_the_environment_names(ran: Ran) -> None:
    assert ran.touched == []


def test_the_demo_leaves_no_thread_no_process_and_no_socket(ran: Ran) -> None:
    assert ran.left["threads"] == []
    assert ran.left["children"] == []
    assert ran.left["sockets"] == []


def test_the_demo_leaves_no_file_but_the_parquet_file(ran: Ran) -> None:
    assert list(ran.temporary.iterdir()) == []
    assert list(ran.home.iterdir()) == []
    assert [one.name for one in ran.folder.iterdir()] == ["enriched.parquet"]


def test_the_demo_gives_the_environment_back_as_it_was(ran: Ran) -> None:
    assert ran.left["environment_changed"] is False


def test_the_parquet_file_holds_what_the_websites_show(ran: Ran) -> None:
    out = pd.read_parquet(ran.folder / "enriched.parquet")
    assert len(out) == 48
    for website, email in zip(out["website"], out["email"], strict=True):
        shown = TRUTH[website.rstrip("/").rpartition("/")[2]]["emails"]
        assert (email.lower() in shown) if isinstance(email, str) else shown == [], website


def test_the_summary_counts_what_the_file_holds(ran: Ran) -> None:
    found = sum(bool(one["emails"]) for one in TRUTH.values())
    assert re.search(rf"^  found +{found}$", ran.out, re.MULTILINE)
    assert re.search(rf"^  no email +{48 - found}$", ran.out, re.MULTILINE)
    assert re.search(r"^  credits +41  of 42: ", ran.out, re.MULTILINE)
    assert re.search(r"^  file +demo/enriched\.parquet ", ran.out, re.MULTILINE)


def test_six_leads_are_already_enriched_before_the_preview(ran: Ran) -> None:
    assert re.search(r"^  already enriched +6$", ran.out, re.MULTILINE)
    assert re.search(r"^  to enrich +42$", ran.out, re.MULTILINE)


def test_the_first_rows_are_shown(ran: Ran) -> None:
    assert re.search(
        r"^ *Seagrass Lane Bakery +orders@seagrasslane\.example ", ran.out, re.MULTILINE
    )


def test_the_words_fit_eighty_columns_and_carry_no_colour_off_a_terminal(ran: Ran) -> None:
    assert max(len(line) for line in ran.out.splitlines()) <= 80
    assert "\x1b" not in ran.out


def test_the_bar_is_shown_on_standard_error(ran: Ran) -> None:
    assert "48/48 read" in ran.err


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_colour_is_used_on_a_terminal_and_a_second_run_writes_over_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tripwire: Callable[[], Tripwire]
) -> None:
    trap = tripwire()
    monkeypatch.setenv("LOCALLEADS_BASE_URL", trap.url)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    (tmp_path / "enriched.parquet").write_bytes(b"an earlier run's")
    before = set(threading.enumerate())
    terminal = Terminal()
    path = run_demo(tmp_path, stream=terminal)
    assert "\x1b[" in terminal.getvalue()
    assert path == tmp_path / "enriched.parquet"
    assert len(pd.read_parquet(path)) == 48
    assert set(threading.enumerate()) <= before
    assert os.environ["LOCALLEADS_BASE_URL"] == trap.url
    assert trap.seen == []


def test_an_interrupted_demo_leaves_no_temporary_file(tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    demo = subprocess.Popen(
        [sys.executable, "-u", "-c", RUN, "demo"],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with demo:
        assert demo.stderr is not None
        shown = ""
        while "read" not in shown:  # not before: what is imported on the way may swallow a signal
            shown += demo.stderr.read(1)
            assert demo.poll() is None, shown
        demo.send_signal(signal.SIGINT)
        demo.stderr.read()
    assert demo.returncode == -signal.SIGINT
    assert list(temporary.iterdir()) == []
    assert list((tmp_path / "demo").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_the_systems_own_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(NotADirectoryError):
        run_demo(tmp_path / "file" / "demo", stream=io.StringIO())
