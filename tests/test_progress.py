from __future__ import annotations

import gc
import io
import logging
import os
import pty
import re
import subprocess
import sys
import termios
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from leads_pandas import asking, progress
from leads_pandas.errors import EnrichmentDeclined
from leads_pandas.models import CostPreview, RunStatus
from leads_pandas.progress import Display, Picture, _words
from tests.support.commands import Terminal, environment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

COLUMNS = 80
COUNTS = {"found": 27, "not_found": 8, "not_enriched": 0, "unknown_lead": 0, "failed": 0}

ON_A_TERMINAL = """
from types import SimpleNamespace
from leads_pandas import progress
from leads_pandas.models import RunStatus
from leads_pandas.progress import Display

clock = progress.time = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
display = Display({progress})
try:
    with display.shown():
        for read in range(0, {read} + 1, 5):
            clock.now = float(read)
            display(RunStatus("reading", read, 35, read // 2, read, 35), 35.0 - read)
        {ending}
except {caught}:
    pass
"""


def receipt(
    counts: dict[str, int] = COUNTS, spent: int = 35, without: int = 0, again: int = 0
) -> dict[str, Any]:
    return {
        "counts": counts,
        "credits_reserved": spent,
        "credits_saved": 0,
        "rows": {"without_id": without, "duplicate": again},
    }


FINISH = f"display.finished({receipt()}, 'enriched.parquet')"
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
    assert any("reading:  57%|" in one and "10 emails found, 20/35 read" in one for one in pictures)
    assert any("35 credits, 15 s left" in one for one in pictures)
    assert pictures[-1].startswith("reading: 100%|")
    assert LINE.fullmatch(line)
    assert rest == ""


def test_a_terminal_shows_no_bar_where_there_is_nothing_to_wait_for() -> None:
    ending = "display(RunStatus('done', 0, 0, 0, 0, 48), 0.0); " + FINISH
    line, rest = on_a_terminal(ending, read=-1)
    assert LINE.fullmatch(line)
    assert rest == ""


LIMIT = "waiting for the limit (100 a minute)"


@pytest.mark.parametrize(
    ("room", "why", "said"),
    [
        (None, "", "25 emails found, 50/100 read, 100 credits, 50 s left"),
        (52, "", "25 emails found, 50/100 read, 100 credits, 50 s left"),
        (51, "", "25 emails found, 50/100 read, 50 s left"),
        (30, "", "50/100 read, 50 s left"),
        (11, "", "50/100 read"),
        (1, "", "50/100 read"),
        (None, LIMIT, f"25 emails found, 50/100 read, 100 credits, {LIMIT}, 50 s left"),
        (60, LIMIT, f"50/100 read, {LIMIT}, 50 s left"),
        (49, LIMIT, f"50/100 read, {LIMIT}"),
        (40, LIMIT, LIMIT),
        (27, LIMIT, "waiting for the limit"),
        (20, LIMIT, "50/100 read"),
    ],
)
def test_where_there_is_little_room_the_most_important_is_said(
    room: int | None, why: str, said: str
) -> None:
    assert _words(Picture(at(50), 50.0, 0.5, why), room=room) == said


@pytest.mark.parametrize("seconds", [None, 0.0, 0.9])
def test_a_time_that_is_not_known_or_all_but_over_is_not_told(seconds: float | None) -> None:
    said = _words(Picture(at(50), seconds, 0.5))
    assert said == "25 emails found, 50/100 read, 100 credits"


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(progress, "time", made)
    return made


def percents(shown: Sequence[tuple[float, RunStatus, float | None]], clock: Clock) -> list[int]:
    """What a display says of how much is behind, for what it is told at some moments."""
    display = Display(False)
    seen: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            display._reporter, "update", lambda picture: seen.append(round(picture.fraction * 100))
        )
        for moment, status, left in shown:
            clock.now = moment
            display(status, left)
    return seen


def test_percent_and_time_left_agree(clock: Clock) -> None:
    # All are processed at once, and reading them takes three minutes.
    waiting = RunStatus("reading", 300, 300, 150, 100, 300)
    shown = [(0.0, at(0, 300), None), (60.0, waiting, 180.0), (120.0, waiting, 120.0)]
    assert percents([*shown, (240.0, at(300, 300), 0.0)], clock) == [0, 25, 50, 100]


def test_percent_never_goes_back_and_is_whole_only_when_all_is_read(clock: Clock) -> None:
    shown = [(0.0, at(0), 10.0), (5.0, at(50), 5.0), (6.0, at(60), 60.0), (99.0, at(99), 0.0)]
    assert percents(shown, clock) == [0, 50, 50, 99]


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
        display.finished(receipt(), None)
    words = capsys.readouterr()
    assert "25 emails found, 50/100 read, 100 credits, 12 s left" in words.err
    assert words.err.splitlines()[-1].startswith("35 leads enriched, 27 emails found, 35 credits")
    assert words.out == ""


def test_where_nobody_watches_there_is_one_log_line_for_each_tenth(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str], clock: Clock
) -> None:
    display = Display(None)
    with caplog.at_level(logging.INFO, logger="leads_pandas"), display.shown():
        for read in range(101):
            clock.now = float(read)
            display(at(read), 100.0 - read)
        display.finished(receipt(), "enriched.parquet")
    lines = [one.getMessage() for one in caplog.records]
    assert len(lines) == 12
    assert lines[5] == (
        "reading: 50% (50 of 100 leads read), 25 emails found, 100 credits, 50 s left"
    )
    assert LINE.fullmatch(lines[-1])
    assert capsys.readouterr() == ("", "")


def test_the_closing_line_is_of_what_standard_error_can_write(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr("sys.stderr", stream)
    with Display(True).shown() as display:
        display.finished(receipt(), "enriched.parquet")
    stream.seek(0)
    assert stream.read().rstrip().endswith(" s -> enriched.parquet")


def test_a_log_line_counts_one_as_one(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="leads_pandas"), Display(None).shown() as display:
        display(RunStatus("done", 1, 1, 1, 1, 1), 0.0)
    assert caplog.messages == ["done: 100% (1 of 1 leads read), 1 email found, 1 credit"]


def test_a_cell_of_marimo_ends_with_the_run_as_it_ended(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cells: list[str] = []
    output = SimpleNamespace(replace=cells.append)
    marimo = SimpleNamespace(running_in_notebook=lambda: True, Html=str, output=output)
    monkeypatch.setitem(sys.modules, "marimo", marimo)
    display = Display(None)
    with display.shown():
        display(at(10), 9.0)
        clock.now = 0.01
        display(at(100), 0.0)
        display.finished(receipt(), None)
    assert [re.findall(r"([0-9]+) of 100", cell) for cell in cells] == [["10"] * 2, ["100"] * 2]
    assert ["left" in cell for cell in cells] == [True, False]
    assert capsys.readouterr().out.startswith("35 leads enriched, 27 emails found")


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
        display.finished(receipt(), None)
    assert capsys.readouterr().err.splitlines()[-1].endswith(", 12 s")


QUESTION = """
from leads_pandas.asking import ask_on_terminal
from leads_pandas.models import RunStatus
from leads_pandas.progress import Display

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
        display.finished(receipt(), None)
    assert seen == [at(1), at(2)]
    assert capsys.readouterr() == ("", "")


def test_the_closing_line_counts_what_has_no_result(capsys: pytest.CaptureFixture[str]) -> None:
    display = Display(True)
    with display.shown():
        display.finished(receipt(COUNTS | {"not_enriched": 1_200, "failed": 1}, 1), None)
    line = capsys.readouterr().err.strip()
    assert line.startswith("35 leads enriched, 27 emails found, 1,201 without a result, 1 credit, ")


def test_the_closing_line_counts_unknown_leads_and_rows_that_bought_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    display = Display(True)
    with display.shown():
        display.finished(receipt(COUNTS | {"unknown_lead": 3}, 35, 1, 1_500), None)
    assert (
        "27 emails found, 3 unknown to the service, 1 row without an ID, 1,500 rows repeated, 35 cr"
        in capsys.readouterr().err
    )


def test_a_reason_to_wait_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="leads_pandas"), Display(None).shown() as display:
        for _ in range(5):
            display(at(1), None, LIMIT)
        display(at(1), None, "the start got no answer, looking up to 3 min")
    assert [message.rpartition("credits, ")[2] for message in caplog.messages] == [
        LIMIT,
        "the start got no answer, looking up to 3 min",
    ]


class Closed(io.StringIO):
    def __init__(self) -> None:
        super().__init__()
        self.close()


class NoTerminal:
    """A stand-in for a stream, as programs without a console have: it can only be written to."""

    def write(self, text: str) -> int:
        return len(text)


class Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("make", [lambda: None, Closed, NoTerminal, Full])
@pytest.mark.parametrize("shown", [None, True])
def test_a_display_ends_no_call_whatever_the_streams_are(
    make: Callable[[], Any], shown: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, make())
    with Display(shown).shown() as display:
        for read in (0, 50, 100):
            display(at(read), 1.0)
        display.finished(receipt(), None)
    asking.say("interrupted")
    ask = asking.consent(True)
    assert ask is not None
    with pytest.raises(EnrichmentDeclined, match="nobody can be asked here"):
        ask(CostPreview(1, 0, 1, 1, 1))


def test_an_error_in_a_callback_goes_through() -> None:
    def broken(status: RunStatus) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), Display(broken).shown() as display:
        display(at(1), None)


def test_a_bar_takes_no_semaphore_that_a_killed_process_would_leak() -> None:
    script = (
        "import sys\nfrom leads_pandas.asking import say\n"
        "from leads_pandas.models import RunStatus\n"
        "from leads_pandas.progress import Display\n"
        "with Display(True).shown() as display:\n"
        "    display(RunStatus('reading', 1, 2, 0, 1, 2), 1.0)\n"
        "    say('a word above it')\n"
        "print('tqdm' in sys.modules, 'multiprocessing.synchronize' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout.split() == [b"True", b"False"]


def test_the_closing_line_shows_no_control_characters_of_a_path(
    capsys: pytest.CaptureFixture[str],
) -> None:
    display = Display(True)
    with display.shown():
        display.finished(receipt(), "out\x1b[31m.parquet")
    assert r"out\x1b[31m.parquet" in capsys.readouterr().err


def test_the_closing_line_says_how_many_credits_were_saved(
    capsys: pytest.CaptureFixture[str],
) -> None:
    display = Display(True)
    with display.shown():
        display.finished(receipt() | {"credits_saved": 12}, None)
    assert "35 credits, 12 credits saved by what was found here, " in capsys.readouterr().err


def test_what_has_no_run_moves_a_bar_as_well(capsys: pytest.CaptureFixture[str]) -> None:
    for shown in (True, False):
        with Display(shown).shown() as display:
            display.stage("looking up domains", 0.5)
        assert ("looking up domains:  50%" in capsys.readouterr().err) is shown


def test_what_has_no_run_is_logged_by_its_share_alone(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="leads_pandas"), Display(None).shown() as display:
        display.stage("looking up domains", 0.5)
    assert [one.getMessage() for one in caplog.records] == ["looking up domains: 50%"]


def test_what_is_said_after_a_display_is_closed_has_a_line_of_its_own() -> None:
    words = "display.close(); import sys; print('interrupted', file=sys.stderr)"
    bar, said, rest = on_a_terminal(words, read=10)
    assert bar.split("\r")[-1].startswith("reading:  29%|")
    assert (said, rest) == ("interrupted", "")


@pytest.mark.parametrize("widget", [True, False])
def test_an_interrupt_while_a_bar_is_made_leaves_no_words_of_its_own(
    widget: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    made = progress.bar_class(widget=widget)
    monkeypatch.setattr(made, "status_printer", interrupted)
    with pytest.raises(KeyboardInterrupt):
        made(total=1.0)
    gc.collect()  # what a bar made by half says when it goes is an error of the test run
