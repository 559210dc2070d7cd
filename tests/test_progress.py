from __future__ import annotations

import logging
import os
import pty
import re
import subprocess
import sys
import termios
from typing import TYPE_CHECKING

import pytest

from leads_pandas.models import RunStatus
from leads_pandas.progress import Display, _words
from tests.support.commands import Terminal, environment

if TYPE_CHECKING:
    from collections.abc import Callable

COLUMNS = 80
COUNTS = {"found": 27, "not_found": 8, "not_enriched": 0, "unknown_lead": 0, "failed": 0}

ON_A_TERMINAL = """
from leads_pandas.models import RunStatus
from leads_pandas.progress import Display

display = Display({progress})
try:
    with display.shown():
        for read in range(0, {read} + 1, 5):
            display(RunStatus("reading", read, 35, read // 2, read, 35), 35.0 - read)
        {ending}
except {caught}:
    pass
"""
FINISH = f"display.finished({COUNTS}, 35, 'enriched.parquet')"
LINE = re.compile(r"35 leads enriched, 27 emails found, 35 credits, .* s → enriched\.parquet")


def at(read: int, total: int = 100) -> RunStatus:
    return RunStatus("reading", read, total, read // 2, read, total)


def on_a_terminal(
    ending: str, *, progress: str = "None", read: int = 35, caught: str = "()"
) -> list[str]:
    """Run a display with a terminal of 80 columns as standard error, and return its lines.

    Each line is what has been written to it, from the first carriage return to the last.
    """
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, COLUMNS))
    script = ON_A_TERMINAL.format(progress=progress, read=read, ending=ending, caught=caught)
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", script],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm"},
    ) as child:
        os.close(theirs)
        shown = _all_of(ours)
        assert child.stdout is not None
        assert child.stdout.read() == b""
    os.close(ours)
    assert child.returncode == 0, shown
    return shown.replace("\r\n", "\n").split("\n")


def _all_of(descriptor: int) -> str:
    pieces: list[bytes] = []
    while True:
        try:
            piece = os.read(descriptor, 65_536)
        except OSError:  # how Linux says that nobody holds the other end any more
            piece = b""
        if not piece:
            return b"".join(pieces).decode()
        pieces.append(piece)


def test_a_terminal_gets_one_bar_that_moves_and_then_the_closing_line() -> None:
    bar, line, rest = on_a_terminal(FINISH)
    pictures = bar.split("\r")
    assert any("reading:  57%|" in one and "20/35 leads, 10 emails" in one for one in pictures)
    assert any("35 credits, 15 s left" in one for one in pictures)
    assert pictures[-1].startswith("reading: 100%|")
    assert LINE.fullmatch(line)
    assert rest == ""


def test_a_terminal_shows_no_bar_where_there_is_nothing_to_wait_for() -> None:
    ending = "display(RunStatus('done', 0, 0, 0, 0, 48), 0.0); " + FINISH
    line, rest = on_a_terminal(ending, read=-1)
    assert LINE.fullmatch(line)
    assert rest == ""


@pytest.mark.parametrize(
    ("room", "said"),
    [
        (None, "50/100 leads, 25 emails, 100 credits, 50 s left"),
        (47, "50/100 leads, 25 emails, 100 credits, 50 s left"),
        (46, "50/100 leads, 25 emails, 50 s left"),
        (30, "50/100 leads, 50 s left"),
        (10, "50/100 leads"),
    ],
)
def test_where_there_is_little_room_the_most_important_is_said(room: int | None, said: str) -> None:
    assert _words(at(50), 50.0, room=room) == said


@pytest.mark.parametrize("seconds", [None, 0.0, 0.9])
def test_a_time_that_is_not_known_or_all_but_over_is_not_told(seconds: float | None) -> None:
    assert _words(at(50), seconds) == "50/100 leads, 25 emails, 100 credits"


def test_a_bar_fits_a_terminal_of_80_columns() -> None:
    bar = on_a_terminal(FINISH)[0]
    assert max(len(one.rstrip()) for one in bar.split("\r")) <= COLUMNS


@pytest.mark.parametrize("error", ["KeyboardInterrupt", "ValueError"])
def test_an_error_and_an_interrupt_end_the_bars_line_and_say_no_result(error: str) -> None:
    bar, rest = on_a_terminal(f"raise {error}", read=10, caught=error)
    assert bar.split("\r")[-1].startswith("reading:  29%|")
    assert rest == ""


def test_a_terminal_shows_nothing_where_progress_is_off() -> None:
    assert on_a_terminal(FINISH, progress="False") == [""]


def test_progress_true_draws_the_bar_where_nobody_watches(
    capsys: pytest.CaptureFixture[str],
) -> None:
    display = Display(True)
    with display.shown():
        display(at(50), 12.0)
        display.finished(COUNTS, 35, None)
    words = capsys.readouterr()
    assert "50/100 leads, 25 emails, 100 credits, 12 s left" in words.err
    assert words.err.splitlines()[-1].startswith("35 leads enriched, 27 emails found, 35 credits")
    assert words.out == ""


def test_where_nobody_watches_there_is_one_log_line_for_each_tenth(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    display = Display(None)
    with caplog.at_level(logging.INFO, logger="leads_pandas"), display.shown():
        for read in range(101):
            display(at(read), 100.0 - read)
        display.finished(COUNTS, 35, "enriched.parquet")
    lines = [one.getMessage() for one in caplog.records]
    assert len(lines) == 12
    assert lines[5] == ("reading: 50% (50 of 100 leads read), 25 emails, 100 credits, 50 s left")
    assert LINE.fullmatch(lines[-1])
    assert capsys.readouterr() == ("", "")


def test_a_log_line_counts_one_as_one(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="leads_pandas"), Display(None).shown() as display:
        display(RunStatus("done", 1, 1, 1, 1, 1), 0.0)
    assert caplog.messages == ["done: 100% (1 of 1 leads read), 1 email, 1 credit"]


def test_the_time_of_the_closing_line_begins_after_the_question(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    moment = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: moment[0])
    display = Display(True)
    with display.shown():
        moment[0] = 100.0  # somebody thought about the price
        display(at(0), None)
        moment[0] = 112.0
        display.finished(COUNTS, 35, None)
    assert capsys.readouterr().err.splitlines()[-1].endswith(", 12 s")


QUESTION = """
from leads_pandas.models import RunStatus
from leads_pandas.progress import Display, ask_on_terminal

with Display(None).shown() as display:
    display(RunStatus("unknown", 10, 35, 5, 10, 35), None)
    answer = ask_on_terminal("Really? ")
print("answered", repr(answer))
"""


@pytest.mark.parametrize(
    ("typed", "ends_in", "answer"), [("y\n", "y", r"'y\n'"), ("\x04", "", "''")]
)
def test_a_question_takes_the_place_of_the_bar_and_ends_its_line(
    typed: str, ends_in: str, answer: str
) -> None:
    with Terminal([sys.executable, "-W", "error", "-c", QUESTION], environment()) as screen:
        screen.until("Really? ")
        screen.type(typed)
        assert screen.end() == 0
    asked, bar, answered, _ = screen.seen.split("\n")
    assert asked.rpartition("\r")[2] == f"Really? {ends_in}"
    assert bar.rpartition("\r")[2].startswith("unknown:  29%|")
    assert answered == f"answered {answer}"


def test_a_callable_gets_every_status_and_nothing_is_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen: list[RunStatus] = []
    watch: Callable[[RunStatus], object] = seen.append
    display = Display(watch)
    with display.shown():
        display(at(1), None)
        display(at(2), None)
        display.finished(COUNTS, 35, None)
    assert seen == [at(1), at(2)]
    assert capsys.readouterr() == ("", "")


def test_the_closing_line_counts_what_has_no_result(capsys: pytest.CaptureFixture[str]) -> None:
    display = Display(True)
    with display.shown():
        display.finished(COUNTS | {"not_enriched": 1_200, "failed": 1}, 1, None)
    line = capsys.readouterr().err.strip()
    assert line.startswith("35 leads enriched, 27 emails found, 1,201 without a result, 1 credit, ")


def test_the_closing_line_shows_no_control_characters_of_a_path(
    capsys: pytest.CaptureFixture[str],
) -> None:
    display = Display(True)
    with display.shown():
        display.finished(COUNTS, 35, "out\x1b[31m.parquet")
    assert r"out\x1b[31m.parquet" in capsys.readouterr().err


def test_what_is_said_after_a_display_is_closed_has_a_line_of_its_own() -> None:
    words = "display.close(); import sys; print('interrupted', file=sys.stderr)"
    bar, said, rest = on_a_terminal(words, read=10)
    assert bar.split("\r")[-1].startswith("reading:  29%|")
    assert (said, rest) == ("interrupted", "")
