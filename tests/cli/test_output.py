from __future__ import annotations

import io
import json
import logging
import re
import sys
import warnings
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from rich.cells import cell_len

from leads_pandas import errors
from leads_pandas.asking import say
from leads_pandas.cli import failures, output
from leads_pandas.cli.output import Column, table
from leads_pandas.errors import LeadsError, LeadsWarning, Way
from leads_pandas.models import CostPreview

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from leads_pandas import LeadsClient
    from tests.support.harness import Vendor

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _door() -> Iterator[None]:
    with errors.at(failures.DOOR):
        yield


def test_an_error_of_the_system_names_the_file(capsys: Capture) -> None:
    output.complain(FileNotFoundError(2, "No such file or directory", "a\x1b.csv"))
    said = capsys.readouterr().err
    assert said == "leads-pandas: error: a\\x1b.csv: No such file or directory\n"


def test_the_log_is_shown_for_a_while(capsys: Capture) -> None:
    log = logging.getLogger("leads_pandas")
    with output.messages_shown():
        log.info("pass %s\x1b", "on")
        logging.getLogger("leads_pandas.server").info("not told")
        logging.getLogger("leads_pandas.server").warning("told")
    log.info("over")
    assert capsys.readouterr().err == "leads-pandas: pass on\\x1b\nleads-pandas: told\n"


def test_a_stream_that_the_caller_closed_takes_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    output.prepare()
    with sys.stdout, sys.stderr:
        output.write("answer")
        say("words")


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_breaks_between_words_and_commands_in_one_piece(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stderr", screen := Screen())
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("NO_COLOR", "1")
    output.complain(LeadsError("the time is up", "", Way("resume", {"run": "4f3d3ccbf448"})))
    assert screen.getvalue().splitlines() == [
        "leads-pandas: error: the time is up: go",
        "on with leads-pandas resume 4f3d3ccbf448",
    ]


def test_an_error_is_labelled_in_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", screen := Screen())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    output.complain(ValueError("no"))
    assert screen.getvalue() == "leads-pandas: \x1b[1;31merror:\x1b[0m no\n"


class Gone(io.StringIO):
    def write(self, _: str) -> int:
        raise BrokenPipeError


def test_words_that_nobody_can_be_told_are_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Gone())
    say("words")


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> Screen:
    """A terminal of 60 columns that wants no colour."""
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    return Screen()


def drawn(stream: io.StringIO, cells: dict[str, list[str]], **kinds: Any) -> str:
    """A table of these columns; of some, what kind they are."""
    columns = [Column(name, kind=kinds.get(name, "")) for name in cells]
    return table(pd.DataFrame(cells), columns, stream)


def test_a_table_is_narrowed_to_the_terminal_and_copies_stay_whole(narrow: Screen) -> None:
    cells = {
        "run": ["4f3d3ccbf448"],
        "email": ["x" * 90 + "@firm.example"],
        "name": ["日本" * 20],
        "n": ["7"],
    }
    assert "x" * 90 + "@firm.example" in drawn(io.StringIO(), cells)
    text = drawn(narrow, cells, run="whole", n="right")
    assert all(cell_len(line) <= 60 for line in text.splitlines())
    assert "4f3d3ccbf448" in text
    assert "…" in text


def test_a_column_that_can_be_spared_goes_before_others_are_shortened(
    narrow: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = {"email": ["x" * 30], "first": ["y" * 10], "last": ["z" * 10], "n": ["1"]}
    kinds = {"first": "spare", "last": "spare", "n": "right"}
    for stream in (io.StringIO(), narrow):
        heading = drawn(stream, cells, **kinds).splitlines()[0]
        assert heading.split() == ["email", "first", "last", "n"]
    monkeypatch.setenv("COLUMNS", "50")
    assert drawn(narrow, cells, **kinds).splitlines() == [
        "email                           first       n",
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx  yyyyyyyyyy  1",
    ]


def test_numbers_stand_on_the_right_and_no_line_ends_in_blanks() -> None:
    cells = {"n": ["7", "1,200"], "name": ["a", "東京"], "last": ["", "x"]}
    assert drawn(io.StringIO(), cells, n="right").splitlines() == [
        "    n  name  last",
        "    7  a",
        "1,200  東京  x",
    ]


def test_what_became_of_a_lead_is_painted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    text = drawn(Screen(), {"a": ["found", "no"]})
    assert "\x1b[32mfound\x1b[0m" in text
    assert "\x1b[32mno" not in text


def test_a_cell_cannot_act_on_the_terminal_and_is_no_markup() -> None:
    text = drawn(io.StringIO(), {"\x1b[1m": ["\x1b[2J", "[red]x[/red]"]})
    assert "\x1b" not in text
    assert "[red]x[/red]" in text


JOBS = pd.DataFrame(
    {
        "job_id": ["enrich_1"],
        "type": ["enrichment"],
        "progress": [12.4],
        "lead_count": pd.array([None], dtype="Int64"),
        "query": [None],
    }
)
RUNS = pd.DataFrame(
    {
        "run_id": ["4f3d3ccbf448"],
        "started_at": pd.to_datetime([datetime(2026, 7, 9, 8, 5, 1, tzinfo=UTC)]),
        "lead_count": [1200],
        "state": ["done"],
        "job_ids": ["enrich_1, enrich_2"],
        "credits_reserved": [1100],
    }
)


@pytest.fixture
def enriched(client: Callable[..., LeadsClient], vendor: Vendor) -> pd.DataFrame:
    """Twelve leads that were enriched."""
    df: Any = pd.DataFrame({"lead_id": [f"lead{n:03}" for n in range(12)]})
    out: pd.DataFrame = df.leads.enrich(client=client(), progress=False)
    return out


def test_a_price_is_its_card_or_its_fields() -> None:
    preview = CostPreview(12, 2, 10, 10, 5, 6.0)
    assert output.of_preview(preview, in_json=False) == str(preview)
    fields = json.loads(output.of_preview(preview, in_json=True))
    assert (fields["to_enrich"], fields["affordable"]) == (10, False)


def test_a_result_is_counted_and_its_first_rows_are_shown(enriched: pd.DataFrame) -> None:
    text = output.of_frame(enriched, None, in_json=False)
    assert re.search(r"found +9\n", text)
    assert re.search(r"hit rate +75 %\n", text)
    assert "failed" not in text  # what did not happen is no news
    assert text.count("\nlead0") == 10
    assert text.endswith("2 more rows; -o OUT.parquet keeps them all")
    assert output.of_frame(enriched, "o.parquet", in_json=False).endswith("all are in o.parquet")


def test_credits_are_told_of_what_a_run_has_bought(enriched: pd.DataFrame) -> None:
    assert re.search(r"credits reserved +12\n", output.of_frame(enriched, None, in_json=False))
    assert "reserved" not in output.of_frame(enriched, None, in_json=False, bought=False)


def test_a_result_in_json_has_every_row(enriched: pd.DataFrame) -> None:
    answer = json.loads(output.of_frame(enriched, "o.parquet", in_json=True))
    assert list(answer) == ["path", "summary", "receipt", "rows"]
    assert len(answer["rows"]) == 12
    assert answer["rows"][0]["email"] is None


def test_nothing_to_list_is_said() -> None:
    assert output.of_list(JOBS.iloc[:0], output.JOBS, "none", in_json=False) == "none"
    assert output.of_list(JOBS.iloc[:0], output.JOBS, "", in_json=True) == "[]"


def test_jobs_and_runs_are_tables_whose_unknowns_are_blank() -> None:
    assert output.of_list(JOBS, output.JOBS, "", in_json=False).splitlines() == [
        "job       type        progress  leads  query",
        "enrich_1  enrichment      12 %",
    ]
    assert output.of_list(RUNS, output.RUNS, "", in_json=False).splitlines() == [
        "run           started (UTC)     leads  state  credits  jobs",
        "4f3d3ccbf448  2026-07-09 08:05  1,200  done     1,100  enrich_1, enrich_2",
    ]


def test_unknowns_are_null_and_moments_are_text_in_json() -> None:
    assert json.loads(output.of_list(JOBS, output.JOBS, "", in_json=True))[0]["lead_count"] is None
    started = json.loads(output.of_list(RUNS, output.RUNS, "", in_json=True))[0]["started_at"]
    assert started == "2026-07-09T08:05:01.000Z"


def test_a_warning_of_ours_is_one_line_without_its_place_in_the_code(capsys: Capture) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with output.messages_shown():
            warnings.warn("may be a mistake", LeadsWarning, stacklevel=1)
    assert capsys.readouterr().err == "leads-pandas: may be a mistake\n"
