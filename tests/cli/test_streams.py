from __future__ import annotations

import io
import logging
import sys

import pytest

from leads_pandas.cli import streams
from leads_pandas.errors import StartOutcomeUnknown

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("message", "typed"),
    [
        ('go on with leads_pandas.resume("4f3d")', "go on with leads-pandas resume 4f3d"),
        ("leads_pandas.runs() lists them", "leads-pandas runs lists them"),
        ("more than max_credits=5", "more than --max-credits 5"),
        ("pass partial=True", "pass --partial"),
        ("with on=…", "with --on COLUMN"),
        ("rename={'email': …}", "--rename email=NAME"),
        ("pass on_conflict='fill'", "pass --on-conflict fill"),
        ("min_confidence must be a number", "--min-confidence must be a number"),
        ("max_pages must be a whole number", "--max-pages must be a whole number"),
        ("timeout must be a number", "--timeout must be a number"),
        ("rename the others, or call without a path", "rename the others, or leave out -o"),
        ("the frame's IDs; the frame has it", "the file's IDs; the file has it"),
    ],
)
def test_messages_of_the_library_name_what_is_typed(
    message: str, typed: str, capsys: Capture
) -> None:
    streams.complain(ValueError(message))
    assert capsys.readouterr().err == f"leads-pandas: error: {typed}\n"


@pytest.mark.parametrize("name", ["'query_id'", "max_credits.csv", "./a/query_id", "the frame.csv"])
def test_a_name_of_the_users_stays_as_it_is(name: str, capsys: Capture) -> None:
    streams.complain(ValueError(f"the file has {name}"))
    assert capsys.readouterr().err == f"leads-pandas: error: the file has {name}\n"
    streams.complain(FileNotFoundError(2, "No such file or directory", name))
    assert name in capsys.readouterr().err


def test_what_no_command_does_is_said_in_python(capsys: Capture) -> None:
    error = StartOutcomeUnknown("then call error.run.resolve(not_started=True)")
    error.run_id = "4f3d"
    streams.complain(error)
    said = capsys.readouterr().err
    assert said.endswith(
        'then call in Python leads_pandas.EnrichmentRun("4f3d").resolve(not_started=True)\n'
    )


def test_an_error_of_the_system_without_a_file_has_no_number(capsys: Capture) -> None:
    streams.complain(OSError(98, "Address already in use"))
    assert capsys.readouterr().err == "leads-pandas: error: Address already in use\n"


def test_an_error_of_the_system_names_the_file(capsys: Capture) -> None:
    streams.complain(FileNotFoundError(2, "No such file or directory", "a\x1b.csv"))
    said = capsys.readouterr().err
    assert said == "leads-pandas: error: a\\x1b.csv: No such file or directory\n"


def test_an_error_is_one_line(capsys: Capture) -> None:
    streams.complain(ValueError("one\ntwo"))
    assert capsys.readouterr().err == "leads-pandas: error: one two\n"


def test_the_log_is_shown_for_a_while_in_words_of_the_command_line(capsys: Capture) -> None:
    log = logging.getLogger("leads_pandas")
    with streams.messages_shown():
        log.info("pass %s\x1b", "partial=True")
        logging.getLogger("leads_pandas.server").info("not told")
        logging.getLogger("leads_pandas.server").warning("told")
    log.info("over")
    assert capsys.readouterr().err == "leads-pandas: pass --partial\\x1b\nleads-pandas: told\n"


def test_a_stream_that_the_caller_closed_takes_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    streams.prepare()
    with sys.stdout, sys.stderr:
        streams.write("answer")
        streams.say("words")


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_breaks_between_words_and_commands_in_one_piece(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stderr", screen := Screen())
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("NO_COLOR", "1")
    streams.complain(ValueError('the time is up; go on with leads_pandas.resume("4f3d3ccbf448")'))
    assert screen.getvalue().splitlines() == [
        "leads-pandas: error: the time is up; go",
        "on with leads-pandas resume 4f3d3ccbf448",
    ]


def test_an_error_is_labelled_in_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", screen := Screen())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    streams.complain(ValueError("no"))
    assert screen.getvalue() == "leads-pandas: \x1b[1;31merror:\x1b[0m no\n"


class Gone(io.StringIO):
    def write(self, _: str) -> int:
        raise BrokenPipeError


def test_words_that_nobody_can_be_told_are_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Gone())
    streams.say("words")
