from __future__ import annotations

import io
import sys

import pytest

import leads_pandas
from leads_pandas import cli
from leads_pandas.cli import arguments
from tests.support.commands import examples, parsers

Capture = pytest.CaptureFixture[str]


def refused(capsys: Capture, *line: str) -> str:
    """What is said of a line that is wrong use, on standard error alone."""
    with pytest.raises(SystemExit) as end:
        arguments.parse(line)
    assert end.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err


def test_there_is_a_command_for_everything_that_is_promised() -> None:
    names = "preview enrich results jobs runs resume forget serve demo"
    assert " ".join(list(parsers())[1:]) == names
    assert list(cli._COMMANDS) == names.split()


@pytest.mark.parametrize("name", parsers())
def test_help_has_an_example_and_fits_a_terminal(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    text = parsers()[name].format_help()
    assert max(map(len, text.splitlines())) <= 79
    assert examples(text)


@pytest.mark.parametrize("name", parsers())
def test_no_option_takes_the_key_and_none_needs_an_underscore(name: str) -> None:
    options = [text for action in parsers()[name]._actions for text in action.option_strings]
    assert not [one for one in options if "key" in one or "_" in one]


@pytest.mark.parametrize(
    "line",
    [
        [],
        ["unknown"],
        ["preview"],
        ["preview", "leads.csv", "--queryid", "x"],
        ["enrich", "leads.csv", "--max", "5"],
        ["enrich", "leads.csv", "--max-credits", "many"],
        ["enrich", "leads.csv", "--emails", "some"],
        ["enrich", "leads.csv", "--rename", "email"],
        ["enrich", "leads.csv", "--allow-private"],
        ["enrich", "leads.csv", "--api-key", "ll_0"],
        ["forget"],
        ["forget", "lead001", "--everything"],
        ["resume"],
        ["serve"],
        ["serve", "--leads", "leads.csv", "--port", "high"],
    ],
)
def test_wrong_use_is_exit_code_2(line: list[str], capsys: Capture) -> None:
    shown = refused(capsys, *line)
    assert shown.startswith("usage: leads-pandas")


@pytest.mark.parametrize("name", ["leads.xlsx", "leads", "leads.csv.gz", ".csv"])
def test_a_suffix_that_cannot_be_read_is_wrong_use(name: str, capsys: Capture) -> None:
    for line in (["preview", name], ["enrich", name], ["serve", "--leads", name]):
        assert "ends in .csv, .tsv, .parquet, .jsonl" in refused(capsys, *line)


@pytest.mark.parametrize("line", [["enrich", "a.csv"], ["results", "a.csv"], ["resume", "4f3d"]])
def test_parquet_is_not_written_under_another_kind_of_name(
    line: list[str], capsys: Capture
) -> None:
    assert "call it OUT.parquet, not leads.csv" in refused(capsys, *line, "-o", "leads.csv")


def test_an_output_has_a_name(capsys: Capture) -> None:
    assert "name the Parquet file to write" in refused(capsys, "enrich", "leads.csv", "-o", "")


@pytest.mark.parametrize(
    "line", [["preview", "\x1b[31m.xls"], ["preview", "a.csv", "\x1b[31m"], ["\x1b[31m"]]
)
def test_what_is_refused_cannot_act_on_the_terminal(line: list[str], capsys: Capture) -> None:
    assert "\x1b" not in refused(capsys, *line)


def test_a_refusal_fits_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", screen := Screen())
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("NO_COLOR", "1")
    with pytest.raises(SystemExit):
        arguments.parse(["preview", "leads.xlsx"])
    assert max(map(len, screen.getvalue().splitlines())) <= 60


def test_only_the_options_of_the_service_that_were_given_are_passed_on() -> None:
    line = ["serve", "--leads", "leads.csv", "--port", "8765", "--allow-private"]
    given = arguments.server_options(arguments.parse(line))
    assert given == {"port": 8765, "allow_private": True}


def test_the_version_is_told(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as end:
        arguments.parse(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"leads-pandas {leads_pandas.__version__}\n"
