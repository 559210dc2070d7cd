from __future__ import annotations

import io
import logging
import sys

import pytest

from leads_pandas import streams

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
    ],
)
def test_messages_of_the_library_name_what_is_typed(
    message: str, typed: str, capsys: Capture
) -> None:
    streams.complain(ValueError(message))
    assert capsys.readouterr().err == f"leads-pandas: error: {typed}\n"


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


class Gone(io.StringIO):
    def write(self, _: str) -> int:
        raise BrokenPipeError


def test_words_that_nobody_can_be_told_are_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Gone())
    streams.say("words")
