from __future__ import annotations

import io
import json
import subprocess
import sys

import pytest

import leads_pandas
from leads_pandas import cli
from tests.support.commands import commands, examples, help_of

Capture = pytest.CaptureFixture[str]


def refused(capsys: Capture, *line: str) -> str:
    """What is said of a line that is wrong use, on standard error alone."""
    assert cli.main(line) == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err


def test_there_is_a_command_for_everything_that_is_promised() -> None:
    names = "preview enrich results jobs runs resume resolve forget find verify serve demo"
    assert " ".join(list(commands())[1:]) == names


@pytest.mark.parametrize("name", commands())
def test_help_has_an_example_and_fits_a_terminal(name: str) -> None:
    text = help_of(name)
    assert max(map(len, text.splitlines())) <= 79
    assert examples(text)


@pytest.mark.parametrize("name", commands())
def test_no_option_takes_the_key_and_none_needs_an_underscore(name: str) -> None:
    options = [
        text
        for one in commands()[name].params
        for text in one.opts
        if one.param_type_name == "option"
    ]
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
        ["enrich", "leads.csv", "--website", "url"],
        ["enrich", "leads.csv", "--max-credits", "-1"],
        ["enrich", "leads.csv", "--min-confidence", "2"],
        ["enrich", "leads.csv", "--min-confidence", "nan"],
        ["find", "leads.csv", "--site-timeout", "nan"],
        ["enrich", "leads.csv", "--timeout", "-1"],
        ["enrich", "leads.csv", "--rename", "phone=tel"],
        ["preview", "leads.csv", "--sep", "ab"],
        ["preview", "leads.csv", "--encoding", "klingon"],
        ["resolve", "4f3d"],
        ["resolve", "4f3d", "--job", "x", "--not-started"],
        ["serve", "--leads", "leads.csv", "--max-pages", "0"],
        ["serve", "--leads", "leads.csv", "--requests-per-minute", "-1"],
        ["forget"],
        ["forget", "lead001", "--everything"],
        ["resume"],
        ["serve"],
        ["serve", "--leads", "leads.csv", "--port", "high"],
    ],
)
def test_wrong_use_is_exit_code_2(line: list[str], capsys: Capture) -> None:
    shown = refused(capsys, *line)
    assert shown.startswith("Usage: leads-pandas")


@pytest.mark.parametrize("name", ["leads.xlsx", "leads", "leads.parquet.gz", ".csv"])
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
    assert cli.main(["preview", "leads.xlsx"]) == 2
    assert max(map(len, screen.getvalue().splitlines())) <= 60


def test_the_version_is_told(capsys: Capture) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"leads-pandas {leads_pandas.__version__}\n"


@pytest.mark.parametrize("line", [["preview", "leads.xlsx", "--json"], ["nothing", "--json"]])
def test_wrong_use_is_told_to_a_program_as_well(line: list[str], capsys: Capture) -> None:
    assert cli.main(line) == 2
    told = json.loads(capsys.readouterr().out)["error"]
    assert told["exit_code"] == 2
    assert line[0] in told["message"] or line[1] in told["message"]


def test_words_are_completed_by_the_shell(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setenv("_LEADS_PANDAS_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "leads-pandas enrich --max")
    monkeypatch.setenv("COMP_CWORD", "2")
    assert cli.main([]) == 0
    assert capsys.readouterr().out == "plain,--max-credits\n"


@pytest.mark.parametrize("name", ["click", "rich"])
def test_without_its_libraries_it_says_what_to_install(name: str) -> None:
    code = f"""
import sys
sys.modules[{name!r}] = None
from leads_pandas.cli import main
sys.exit(main(["runs"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        f"leads-pandas: error: the command line needs the package {name}:"
    )
    assert done.stderr.endswith('pip install "leads_pandas[cli]"\n')
    assert done.stderr.count("\n") == 1
