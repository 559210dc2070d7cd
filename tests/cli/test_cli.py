"""The command line: in this process where words matter, in real ones where streams and codes do."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

import leads_pandas as lp
from leads_pandas import cli
from leads_pandas.cli import local
from leads_pandas.interrupts import Stopped
from leads_pandas.reading import collect
from tests.support.commands import CODES, Terminal, all_examples, environment, process, terminal
from tests.support.harness import best_email, closed_port, lead_ids, make_client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.harness import Vendor

NEW = ["email", "confidence", "source", "enriched_at", "enrichment_status"]


@pytest.fixture
def account(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> Vendor:
    """The vendor, named by the environment."""
    monkeypatch.setenv("LOCALLEADS_API_KEY", vendor.key)
    monkeypatch.setenv("LOCALLEADS_BASE_URL", vendor.base_url)
    monkeypatch.setenv("LOCALLEADS_REQUESTS_PER_MINUTE", "0")
    return vendor


@pytest.fixture
def leads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the command line runs in, with twelve leads in every kind of file."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    write_leads(folder, lead_ids(12))
    return folder


def write_leads(folder: Path, ids: list[str]) -> None:
    """The same leads as CSV, TSV, Parquet and JSON Lines."""
    df = pd.DataFrame(
        {
            "lead_id": ids,
            "name": [f"Firm {n}" for n in range(len(ids))],
            "website": "http://127.0.0.1:9/",
        }
    )
    df.to_csv(folder / "leads.csv", index=False)
    df.to_csv(folder / "leads.tsv", index=False, sep="\t")
    df.to_parquet(folder / "leads.parquet")
    df.to_json(folder / "leads.jsonl", orient="records", lines=True)


class Ran:
    """What one command left behind in this process."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        """Its standard output, which is one JSON value."""
        return json.loads(self.out)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Runs a command in this process."""

    def call(*arguments: object) -> Ran:
        capsys.readouterr()
        code = cli.main([str(one) for one in arguments])
        return Ran(code, *capsys.readouterr())

    return call


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.csv", b"", "cannot be read as CSV: No columns"),
        ("x.csv", b"lead_id,n\nA,b,c\nB,d,e\n", "more cells than its header"),
        ("x.csv", b"lead_id,n\nA,b\nB,d,e\n", "Expected 2 fields in line 3, saw 3"),
        ("x.csv", b"lead_id,lead_id\nA,B\n", "2 columns are called 'lead_id'"),
        ("x.csv", b"lead_id,n\nM\xfcller,1\n", "not UTF-8 text, and --encoding names another"),
        ("x.csv", b"\x1b[31mname;n\nA;1\n", "--sep ';' splits it"),
        ("x.csv", b"lead_id\tn\nA\t1\n", "--sep tab splits it"),
        ("x.csv", b"lead_id;price, EUR\nA;1,5\n", "--sep ';' splits it"),
        ("x.tsv", b"lead_id,n\nA,1\n", "--sep ',' splits it"),
        ("x.csv", "lead_id,n\nA,1\n".encode("utf-16-le"), "UTF-16 (--encoding utf-16-le)"),
        ("x.csv.gz", b"lead_id,n\nA,1\n", "cannot be read as CSV: Not a gzipped file"),
        ("x.tsv", b'lead_id\tn\nA\t"b\n', "cannot be read as TSV: Error tokenizing"),
        ("x.jsonl", b'{"lead_id": "A"}\n{"lead_id": \n', "line 2 is not JSON"),
        ("x.jsonl", b'[{"lead_id": "A"}]\n', "line 1 is not a JSON object"),
        ("x.jsonl", b"[" * 100_000, "cannot be read as JSON Lines"),
        ("x.jsonl", b'{"lead_id": true}\n', "True or False"),
        ("x.jsonl", b'{"lead_id": "\\ud800"}\n', "half a Unicode character"),
        ("x.parquet", b"PAR1 but not really PAR1", "cannot be read as Parquet"),
        ("x.parquet", b"", "cannot be read as Parquet"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line_and_no_request(
    *,
    name: str,
    content: bytes,
    words: str,
    account: Vendor,
    leads: Path,
    run: Callable[..., Ran],
) -> None:
    (leads / name).write_bytes(content)
    ran = run("enrich", name, "--yes")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("leads-pandas: error: ")
    assert ran.err.count("\n") == 1
    assert words in ran.err
    assert "\x1b" not in ran.err
    assert account.counts["total"] == 0


def test_a_file_that_is_missing_is_named_in_one_line(leads: Path, run: Callable[..., Ran]) -> None:
    ran = run("preview", "nowhere.csv")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "leads-pandas: error: nowhere.csv: No such file or directory\n"


def test_preview_shows_the_price(account: Vendor, leads: Path, run: Callable[..., Ran]) -> None:
    ran = run("preview", "leads.csv")
    assert ran.code == 0
    assert re.search(r"to enrich +12\n", ran.out)
    assert account.counts["starts"] == 0
    assert run("preview", "leads.csv", "--json").json == {
        "total_leads": 12,
        "already_enriched": 0,
        "to_enrich": 12,
        "estimated_credits": 12,
        "available_credits": 1000,
        "affordable": True,
        "estimated_seconds": 0.0,
        "longest_seconds": None,
        "unknown_ids": 0,
        "rows_without_id": 0,
        "duplicate_rows": 0,
    }


@pytest.mark.parametrize("name", ["leads.csv", "leads.tsv", "leads.parquet", "leads.jsonl"])
def test_enrich_writes_the_file_and_says_what_came_of_it(
    name: str, account: Vendor, leads: Path, run: Callable[..., Ran]
) -> None:
    ran = run("enrich", name, "-o", "out.parquet", "--yes")
    assert ran.code == 0
    out = pd.read_parquet("out.parquet")
    assert list(out.columns) == ["lead_id", "name", "website", *NEW]
    assert out["email"].isna()[0]
    assert out["email"][1] == best_email("lead001")
    assert re.search(r"found +9\n", ran.out)
    assert "2 more rows; all are in out.parquet" in ran.out
    assert "12 leads enriched, 9 emails found, 12 credits" in ran.err
    assert account.counts["spent"] == 12


def test_enrich_answers_in_json_what_a_program_needs(
    account: Vendor, leads: Path, run: Callable[..., Ran]
) -> None:
    answer = run("enrich", "leads.csv", "-o", "out.parquet", "--yes", "--json").json
    assert answer["path"] == "out.parquet"
    assert answer["summary"]["found"] == 9
    assert answer["receipt"]["credits_reserved"] == 12
    assert [row["lead_id"] for row in answer["rows"]] == lead_ids(12)
    blank, full = answer["rows"][:2]
    assert blank == dict.fromkeys(NEW) | {
        "lead_id": "lead000",
        "enriched_at": blank["enriched_at"],
        "enrichment_status": "not_found",
    }
    assert full["email"] == best_email("lead001")
    assert full["confidence"] == 0.94
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", full["enriched_at"])


def test_its_own_result_is_enriched_again_for_nothing(
    account: Vendor, leads: Path, run: Callable[..., Ran]
) -> None:
    assert run("enrich", "leads.csv", "-o", "out.parquet", "--yes").code == 0
    before, total = pd.read_parquet("out.parquet"), account.counts["total"]
    assert run("enrich", "out.parquet", "-o", "out.parquet").code == 0
    pd.testing.assert_frame_equal(pd.read_parquet("out.parquet"), before)
    assert account.counts["total"] == total


def test_the_shape_of_the_result_is_what_was_asked_for(
    account: Vendor, leads: Path, run: Callable[..., Ran]
) -> None:
    shape = ["--emails", "all", "--min-confidence", "0.4", "--rename", "email=work_email"]
    ran = run("enrich", "leads.csv", "-o", "out.parquet", "--yes", *shape)
    assert ran.code == 0
    assert "work_email" in ran.out
    out = pd.read_parquet("out.parquet")
    assert out["work_email"].notna().sum() == 18
    assert run("results", "leads.csv", "-o", "again.parquet", *shape).code == 0
    pd.testing.assert_frame_equal(
        pd.read_parquet("again.parquet")[["lead_id", "work_email"]], out[["lead_id", "work_email"]]
    )


def test_a_cap_that_is_too_small_says_what_to_do_here(
    account: Vendor, leads: Path, run: Callable[..., Ran]
) -> None:
    ran = run("enrich", "leads.csv", "--yes", "--max-credits", "5")
    assert (ran.code, ran.out) == (5, "")
    assert "12 leads would cost 12 credits" in ran.err
    assert account.counts["starts"] == 0
    ran = run("enrich", "leads.csv", "--yes", "--max-credits", "5", "--partial")
    assert ran.code == 0
    assert re.search(r"not enriched +7\n", ran.out)
    assert account.counts["spent"] == 5


class Screen(io.StringIO):
    """Standard error that is a terminal."""

    def isatty(self) -> bool:
        return True


ENRICH = ["enrich", "leads.csv", "--yes"]
SENTENCES: dict[str, tuple[dict[str, Any], list[str], int, str]] = {
    "the cap": (
        {},
        [*ENRICH, "--max-credits", "5"],
        5,
        (
            "12 leads would cost 12 credits, more than the cap of 5; nothing was spent: raise "
            "--max-credits, or pass --partial to enrich what fits"
        ),
    ),
    "the time": (
        {"job_seconds": None},
        [*ENRICH, "--timeout", "0.5"],
        3,
        (
            "the time is up before the run is done; job enrich_1 goes on; nothing is lost and "
            "nothing is bought twice: run the same line again, or go on with "
            "leads-pandas resume RUN"
        ),
    ),
    "a taken name": (
        {},
        ["enrich", "taken.csv", "--yes"],
        1,
        (
            "the leads already have 'email'; nothing was requested: pass --on-conflict fill to "
            "keep rows that are done, or pass --on-conflict replace to overwrite them, or name it "
            "differently, --rename email=NAME"
        ),
    ),
    "no IDs": (
        {},
        ["preview", "bare.csv"],
        1,
        (
            "no column or index level is called lead_id, leadId or id; there are the "
            "columns 'name'; nothing was requested: name the column that holds the lead IDs "
            "with --on COLUMN"
        ),
    ),
    "another search": (
        {"queries": {"cm9search101": lead_ids(3)}},
        [*ENRICH, "--query-id", "cm9search101"],
        1,
        (
            "these IDs are not the leads of query 'cm9search101': the query has 3 leads "
            "with 3 to enrich, the IDs 12 with 12; nothing was spent: take the leads of that "
            "search, or leave out --query-id to enrich the file's own IDs"
        ),
    ),
    "no such run": (
        {},
        ["resume", "nothing"],
        1,
        (
            "this store knows no run or job 'nothing'; what a job started elsewhere has enriched "
            "costs nothing again: leads-pandas runs lists the runs, or enrich the file"
        ),
    ),
    "no websites": (
        {},
        ["find", "bare.csv"],
        1,
        (
            "there is no column 'website' for the websites, and nothing was requested; there are "
            "'name': name the one that holds them with --website COLUMN"
        ),
    ),
    "no emails": (
        {},
        ["verify", "bare.csv"],
        1,
        (
            "there is no column 'email' for the emails, and nothing was requested; there are "
            "'name': name the one that holds them with --email COLUMN"
        ),
    ),
}


@pytest.mark.parametrize("what", SENTENCES)
def test_what_went_wrong_is_said_in_options_of_the_command_line_and_fits(
    what: str,
    account: Vendor,
    leads: Path,
    run: Callable[..., Ran],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, arguments, code, sentence = SENTENCES[what]
    account.set(**world)
    (leads / "taken.csv").write_text("lead_id,email\nlead001,mine@x.example\nlead002,\n")
    (leads / "bare.csv").write_text("name\nFirm\n")
    monkeypatch.setenv("NO_COLOR", "1")
    for columns in (80, 60):
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr(sys, "stderr", screen := Screen())
        assert run(*arguments).code == code
        lines = [one.rpartition("\r")[2] for one in screen.getvalue().splitlines()]
        start = next(n for n, one in enumerate(lines) if one.startswith("leads-pandas: error: "))
        said = " ".join(lines[start:])
        for run_id in [one["run_id"] for one in run("runs", "--json").json]:
            said = said.replace(run_id, "RUN")
        assert said == f"leads-pandas: error: {sentence}"
        assert max(map(len, lines[start:])) <= columns
    if what != "the time":
        assert account.counts["starts"] == 0


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, 4, "AuthenticationError"),
        (402, 5, "InsufficientCreditsError"),
        (404, 1, "NotFoundError"),
        (429, 3, "RateLimitError"),
        (503, 3, "ServerError"),
        (200, 1, "ResponseError"),
        (None, 3, "TransportError"),
    ],
)
def test_what_the_service_says_decides_the_exit_code_and_a_program_is_told(
    *,
    status: int | None,
    code: int,
    kind: str,
    account: Vendor,
    leads: Path,
    run: Callable[..., Ran],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if status is None:
        monkeypatch.setenv("LOCALLEADS_BASE_URL", f"http://127.0.0.1:{closed_port()}")
    rule = {"on": "preview", "times": -1, "do": "answer", "status": status, "body": {}}
    account.rules(rule | ({"headers": {"Retry-After": "9999"}} if status == 429 else {}))
    ran = run("enrich", "leads.csv", "--yes", "--json")
    error = ran.json["error"]
    assert (ran.code, error["exit_code"], error["type"]) == (code, code, kind)
    assert ran.err == f"leads-pandas: error: {error['message']}\n"
    assert error["meaning"] == "nothing was started and nothing was spent"
    assert ("later" in [one["action"] for one in error["ways"]]) == (code == 3)


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize(("status", "actions"), [(401, ["resume"]), (503, ["later", "resume"])])
def test_an_error_beside_a_running_job_says_that_the_job_goes_on(
    status: int, actions: list[str], account: Vendor, leads: Path, run: Callable[..., Ran]
) -> None:
    account.set(job_seconds=None)
    account.rules({"on": "status", "times": -1, "do": "answer", "status": status, "body": {}})
    error = run("enrich", "leads.csv", "--yes", "--json").json["error"]
    assert error["meaning"] == "job enrich_1 goes on and nothing is lost"
    assert [one["action"] for one in error["ways"]] == actions


@pytest.mark.usefixtures("quick_retries", "leads")
def test_reading_again_without_an_answer_says_that_nothing_was_spent(
    account: Vendor, run: Callable[..., Ran]
) -> None:
    account.rules({"on": "lead", "times": -1, "do": "answer", "status": 503, "body": {}})
    error = run("results", "leads.csv", "--refresh", "--json").json["error"]
    assert error["meaning"] == "what has been read is kept and nothing was spent"
    assert [one["action"] for one in error["ways"]] == ["later"]


def test_a_search_is_priced_by_its_id_and_the_files_own_leads_are_started(
    vendor: Vendor, account: Vendor, leads: Path, run: Callable[..., Ran]
) -> None:
    vendor.set(queries={"cm9search101": lead_ids(12)})
    assert (
        run("preview", "leads.csv", "--query-id", "cm9search101", "--json").json["to_enrich"] == 12
    )
    assert run("enrich", "leads.csv", "--query-id", "cm9search101", "--yes").code == 0
    body = vendor.counts["start_bodies"][0]
    assert (body["leadIds"], body.get("queryId")) == (lead_ids(12), None)


def test_a_taken_column_name_is_refused_in_options_of_the_command_line(
    account: Vendor, leads: Path, run: Callable[..., Ran]
) -> None:
    (leads / "x.csv").write_text("lead_id,email\nlead001,mine@x.example\nlead002,\n")
    ran = run("enrich", "x.csv", "--yes")
    assert ran.code == 1
    assert "already have 'email'" in ran.err
    assert account.counts["total"] == 0
    ran = run("enrich", "x.csv", "--yes", "--on-conflict", "fill", "--json")
    assert [row["email"] for row in ran.json["rows"]] == ["mine@x.example", best_email("lead002")]
    assert account.counts["spent"] == 1


def test_results_come_from_the_store_without_a_request(
    account: Vendor, leads: Path, run: Callable[..., Ran]
) -> None:
    run("enrich", "leads.csv", "--yes")
    total = account.counts["total"]
    ran = run("results", "leads.tsv", "-o", "out.parquet")
    assert ran.code == 0
    assert re.search(r"found +9\n", ran.out)
    assert "credits" not in ran.out
    assert pd.read_parquet("out.parquet")["email"].notna().sum() == 9
    assert account.counts["total"] == total
    assert run("results", "leads.csv", "--refresh").code == 0
    assert account.counts["total"] == total + 12


def test_runs_and_jobs_are_listed(account: Vendor, leads: Path, run: Callable[..., Ran]) -> None:
    assert run("runs").out == "no run yet\n"
    assert run("jobs").out == "no job is running\n"
    run("enrich", "leads.csv", "--yes")
    account.act(teammate=3, seconds=None)
    runs, jobs = run("runs", "--json").json, run("jobs", "--json").json
    assert runs[0] == {
        "run_id": runs[0]["run_id"],
        "label": None,
        "started_at": runs[0]["started_at"],
        "ended_at": runs[0]["ended_at"],
        "lead_count": 12,
        "state": "done",
        "job_ids": "enrich_1",
        "credits_reserved": 12,
        "credits_at_stake": 0,
        "found": 9,
        "not_found": 3,
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", runs[0]["started_at"])
    assert jobs == [
        {"job_id": "mate_2", "type": "enrichment", "progress": 0.0, "lead_count": 3, "query": None}
    ]
    assert runs[0]["run_id"] in run("runs").out
    assert re.search(r"^mate_2 +enrichment +0 % +3$", run("jobs").out, re.MULTILINE)


@pytest.mark.parametrize("by", ["run_id", "job_ids"])
def test_a_run_is_resumed_by_its_id_or_that_of_its_job(
    by: str, account: Vendor, leads: Path, run: Callable[..., Ran]
) -> None:
    account.set(job_seconds=None)
    late = run("enrich", "leads.csv", "--yes", "--timeout", "0.5")
    assert late.code == 3
    known = run("runs", "--json").json[0]
    assert known["ended_at"] is None
    assert known["run_id"] in late.err
    account.act(advance=1.0)
    ran = run("resume", known[by], "-o", "out.parquet")
    assert ran.code == 0
    assert pd.read_parquet("out.parquet")["lead_id"].tolist() == lead_ids(12)
    assert account.counts["starts"] == 1


@pytest.mark.parametrize("content", ["Parquet", "CSV"])
def test_a_file_with_more_columns_is_not_replaced_by_a_runs_own_results(
    content: str, account: Vendor, leads: Path, run: Callable[..., Ran]
) -> None:
    target = leads / "mine.parquet"
    if content == "CSV":
        assert run("enrich", "leads.tsv", "--yes").code == 0
        (leads / "leads.csv").rename(target)
        fault = "is no Parquet file and would be replaced"
    else:
        assert run("enrich", "leads.csv", "-o", "mine.parquet", "--yes").code == 0
        fault = "has columns that the run's results alone do not: 'name', 'website'"
    before, total = target.read_bytes(), account.counts["total"]
    run_id = run("runs", "--json").json[0]["run_id"]
    ran = run("resume", run_id, "-o", "mine.parquet")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == (
        f"leads-pandas: error: mine.parquet {fault}; it stays as it is, and nothing was requested: "
        "run the line that made it again, which goes on and keeps them, or name another file\n"
    )
    with pytest.raises(lp.ColumnConflictError, match=fault):
        lp.resume(run_id, target)
    assert target.read_bytes() == before
    assert account.counts["total"] == total


def test_a_file_with_more_leads_is_not_replaced_by_a_runs_own_results(
    account: Vendor, leads: Path, run: Callable[..., Ran]
) -> None:
    ids, target = lead_ids(12), leads / "mine.parquet"
    kept = lp.enrich(pd.DataFrame({"lead_id": ids[:9]}), progress=False)
    gaps = pd.concat([kept, pd.DataFrame({"lead_id": ids[9:]})], ignore_index=True)
    lp.enrich(gaps, target, on_conflict="fill", progress=False)
    before, total = target.read_bytes(), account.counts["total"]
    ran = run("resume", run("runs", "--json").json[0]["run_id"], "-o", "mine.parquet")
    assert ran.code == 1
    assert "mine.parquet has 9 leads that the run has not: 'lead000', 'lead001'" in ran.err
    assert target.read_bytes() == before
    assert account.counts["total"] == total


def test_a_runs_own_results_are_replaced(
    account: Vendor, leads: Path, run: Callable[..., Ran]
) -> None:
    assert run("enrich", "leads.csv", "--yes").code == 0
    run_id = run("runs", "--json").json[0]["run_id"]
    for _ in range(2):
        assert run("resume", run_id, "-o", "own.parquet").code == 0


def test_a_run_that_is_not_known_is_an_error(
    account: Vendor, leads: Path, run: Callable[..., Ran]
) -> None:
    ran = run("resume", "nothing")
    assert ran.code == 1
    assert "knows no run or job 'nothing'" in ran.err


@pytest.fixture
def doubtful(account: Vendor) -> Iterator[Vendor]:
    """The vendor, whose start is cut off and which then shows nothing, to an impatient client."""
    failure = {"success": False, "error": "Something broke"}
    account.set(missing=["jobs", "balance", "transactions"])
    account.rules(
        {"on": "start", "do": "close", "when": "before"},
        {"on": "preview", "nth": 2, "times": -1, "do": "answer", "status": 404, "body": failure},
        {"on": "lead", "times": -1, "do": "answer", "status": 404, "body": failure},
    )
    lp.set_default_client(make_client(account, settle=0.2))
    yield account
    lp.set_default_client(None)


@pytest.mark.usefixtures("quick_retries")
def test_a_start_in_doubt_is_settled_by_a_command(
    doubtful: Vendor, leads: Path, run: Callable[..., Ran]
) -> None:
    ran = run("enrich", "leads.csv", "--yes", "--json")
    assert ran.code == 6
    error = ran.json["error"]
    assert error["type"] == "StartOutcomeUnknown"
    doubtful.set(missing=[])
    doubtful.rules()
    assert run("resolve", error["run_id"], "--job", "nothing").code == 1
    ran = run("resolve", error["run_id"], "--not-started")
    assert ran.out == f"run {error['run_id']}: its leads are free to be enriched again\n"
    assert run("resolve", error["run_id"], "--not-started").code == 1
    assert run("enrich", "leads.csv", "--yes").code == 0
    assert doubtful.counts["spent"] == 12


def test_forget_erases_the_leads_that_are_named(
    account: Vendor, leads: Path, run: Callable[..., Ran]
) -> None:
    run("enrich", "leads.csv", "--yes")
    assert run("forget", "lead001", "lead002", "--yes").out == "2 results erased\n"
    assert run("results", "leads.csv", "--json").json["summary"]["not_enriched"] == 2
    assert run("forget", "--everything", "--yes", "--json").json == {"forgotten": 10}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--on", "nope"], "no column or index level is called 'nope'"),
        (
            ["-o", "no/such/folder/out.parquet"],
            "no/such/folder/out.parquet: No such file or directory; nothing was requested",
        ),
    ],
)
def test_a_bad_value_is_one_line_and_no_request(
    arguments: list[str],
    words: str,
    account: Vendor,
    leads: Path,
    run: Callable[..., Ran],
) -> None:
    ran = run("enrich", "leads.csv", "--yes", *arguments)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.count("\n") == 1
    assert words in ran.err
    assert account.counts["total"] == 0


def test_without_a_key_it_says_which_variable_to_set(leads: Path, run: Callable[..., Ran]) -> None:
    ran = run("preview", "leads.csv")
    assert ran.code == 4
    assert ran.err == (
        "leads-pandas: error: there is no API key; nothing was requested: set LOCALLEADS_API_KEY "
        "to a key of your account at https://leadsapi.postorbit.io "
        "(leads-pandas demo and leads-pandas serve need none)\n"
    )
    ran = run("results", "leads.csv", "--json")
    assert ran.code == 4
    assert "set LEADS_PANDAS_ACCOUNT" in ran.err
    assert ran.json["error"]["type"] == "ConfigurationError"


def test_what_the_store_holds_needs_no_key_where_the_account_is_named(
    account: Vendor, leads: Path, run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEADS_PANDAS_ACCOUNT", "sales")
    run("enrich", "leads.csv", "--yes")
    total = account.counts["total"]
    monkeypatch.delenv("LOCALLEADS_API_KEY")
    assert run("results", "leads.csv", "--json").json["summary"]["found"] == 9
    assert len(run("runs", "--json").json) == 1
    assert run("jobs").code == 4
    assert run("forget", "lead001", "--yes").out == "1 result erased\n"
    assert account.counts["total"] == total


def test_a_column_that_is_only_called_id_is_mentioned(
    account: Vendor, leads: Path, run: Callable[..., Ran]
) -> None:
    (leads / "x.csv").write_text("id\nlead001\n")
    ran = run("preview", "x.csv")
    assert ran.code == 0
    assert "leads-pandas: lead IDs are taken from the column 'id'" in ran.err


def test_a_frame_without_leads_is_written_and_asks_nobody(
    leads: Path, run: Callable[..., Ran]
) -> None:
    (leads / "x.csv").write_text("lead_id,name\n")
    assert run("enrich", "x.csv", "-o", "out.parquet", "--json").json["rows"] == []
    assert run("enrich", "x.csv").code == 0
    assert list(pd.read_parquet("out.parquet").columns) == ["lead_id", "name", *NEW]


def test_what_the_service_says_cannot_act_on_the_terminal(
    account: Vendor, leads: Path, run: Callable[..., Ran]
) -> None:
    evil = "\x1b[2J\x07\u202e@evil.example"
    about = {"emails": [{"email": evil, "confidence": 0.9, "source": "we\nb"}], "enriched": True}
    account.set(leads={"lead001": about, "\u202eb": about})
    (leads / "x.csv").write_text("lead_id\nlead001\n\u202eb\n")
    (leads / "y.csv").write_text("lead_id\nlead001\n")
    assert run("enrich", "x.csv", "--yes").code in (0, 1)
    ran = run("enrich", "y.csv", "--yes")
    account.rules(
        {
            "on": "preview",
            "do": "answer",
            "status": 403,
            "body": {"success": False, "error": "no\x1b[31m\nway"},
        }
    )
    refused = run("preview", "leads.csv")
    assert refused.code == 4
    assert refused.err.count("\n") == 1
    for text in (ran.out, ran.err, refused.err):
        assert not set(text) & {"\x1b", "\x07", "\u202e"}
    assert r"\x1b[2J" in ran.out


def test_colour_is_for_terminals_that_want_it(account: Vendor, leads: Path) -> None:
    with terminal("enrich", "leads.csv", "--yes", NO_COLOR="") as coloured:
        assert coloured.end() == 0
    with terminal("results", "leads.csv", NO_COLOR="1") as plain:
        assert plain.end() == 0
    with terminal("results", "leads.csv", TERM="dumb") as dumb:
        assert dumb.end() == 0
    assert re.search(r"\x1b\[32mfound *\x1b\[0m", coloured.seen)
    assert not CODES.search(plain.seen + dumb.seen)
    out, _ = process("results", "leads.csv").communicate()
    assert not CODES.search(out)


COMMANDS = [
    (["enrich", "leads.csv", "--yes", "-o", "out.parquet"], 0),
    (["enrich", "leads.csv", "--on", "nope"], 1),
    (["runs"], 0),
    (["jobs"], 0),
    (["results", "leads.csv"], 0),
    (["resume", "4f3d3ccbf448"], 1),
]


@pytest.mark.parametrize("columns", [80, 60])
def test_everything_fits_the_terminal(columns: int, account: Vendor, leads: Path) -> None:
    ids = ["lead001", "x" * 60]
    long = {
        "emails": [{"email": f"{'y' * 70}@firm.example", "confidence": 0.5, "source": "z" * 50}]
    }
    account.set(leads={one: {**long, "enriched": True} for one in ids})
    account.act(teammate=3, seconds=None)
    write_leads(leads, ids)
    for command, code in COMMANDS:
        with terminal(*command, COLUMNS=str(columns)) as screen:
            assert screen.end() == code
        assert max(map(len, screen.lines)) <= columns, screen.seen


def test_an_email_is_shown_whole_before_a_source_is(account: Vendor, leads: Path) -> None:
    about = {"emails": [{"email": "reception@firm.example", "confidence": 0.5, "source": "web"}]}
    account.set(leads={"lead001": {**about, "enriched": True}})
    with terminal("enrich", "leads.csv", "--yes", COLUMNS="60") as screen:
        assert screen.end() == 0
    assert "lead001  reception@firm.example" in screen.seen
    assert "source" not in screen.seen


def test_json_stands_alone_on_standard_output(account: Vendor, leads: Path) -> None:
    ran = process("enrich", "leads.csv", "--yes", "--json")
    out, err = ran.communicate()
    assert ran.returncode == 0
    assert out.count("\n") == 1
    assert json.loads(out)["summary"]["leads"] == 12
    assert "12 leads enriched, 9 emails found, 12 credits" in err


def test_leads_come_through_a_pipe(account: Vendor, leads: Path) -> None:
    ran = process("preview", "-", "--json", stdin=subprocess.PIPE)
    out, _ = ran.communicate("lead_id\nlead001\n")
    assert json.loads(out)["total_leads"] == 1


def test_off_a_terminal_nothing_is_bought_without_yes(account: Vendor, leads: Path) -> None:
    ran = process("enrich", "leads.csv", "-o", "out.parquet")
    out, err = ran.communicate()
    assert (ran.returncode, out) == (5, "")
    assert err.count("\n") == 1
    assert "would cost 12 credits" in err
    assert "pass --yes" in err
    assert account.counts["starts"] == 0


def test_off_a_terminal_nothing_is_erased_without_yes(account: Vendor, leads: Path) -> None:
    ran = process("forget", "lead001")
    _, err = ran.communicate()
    assert ran.returncode == 5
    assert "pass --yes" in err


def test_on_a_terminal_it_shows_the_price_and_asks(account: Vendor, leads: Path) -> None:
    with terminal("enrich", "leads.csv") as screen:
        screen.until("Enrich? [y/N] ")
        assert account.counts["starts"] == 0
        screen.type("y\n")
        assert screen.end() == 0
    shown = screen.seen.partition("Enrich?")[0]
    assert re.search(r"estimated credits +12\n", shown)
    # No job has ended in this store yet.
    assert re.search(
        r"time +at least a few seconds\n +reading alone; no job has ended here yet", shown
    ), shown
    assert "100%" in screen.seen
    assert account.counts["spent"] == 12


@pytest.mark.parametrize("answer", ["n\n", "\n", "\x04"])
def test_whoever_does_not_say_yes_spends_nothing(answer: str, account: Vendor, leads: Path) -> None:
    with terminal("enrich", "leads.csv") as screen:
        screen.until("Enrich? [y/N] ")
        screen.type(answer)
        assert screen.end() == 5
    # A decision is no error, and has a line of its own.
    said = "leads-pandas: not confirmed; nothing was started and nothing was spent"
    assert said in screen.lines
    assert account.counts["starts"] == 0


def test_forgetting_is_asked_for_on_a_terminal(account: Vendor, leads: Path) -> None:
    for answer, code, words in (("n\n", 5, "nothing was erased"), ("y\n", 0, "0 results erased")):
        with terminal("forget", "lead001") as screen:
            screen.until("[y/N] ")
            screen.type(answer)
            assert screen.end() == code
        assert words in screen.seen
        assert "error" not in screen.seen


def test_ctrl_c_at_the_question_erases_nothing(account: Vendor, leads: Path) -> None:
    with terminal("forget", "lead001") as screen:
        screen.until("[y/N] ")
        screen.interrupt()
        assert screen.end() == 130
    assert "leads-pandas: interrupted; nothing was erased" in screen.lines


def test_ctrl_c_at_the_question_spends_nothing(account: Vendor, leads: Path) -> None:
    with terminal("enrich", "leads.csv") as screen:
        screen.until("Enrich? [y/N] ")
        screen.interrupt()
        assert screen.end() == 130
    assert re.search(r"^leads.pandas: interrupted; nothing was started", screen.seen, re.MULTILINE)
    assert "Traceback" not in screen.seen
    assert account.counts["starts"] == 0


def test_ctrl_c_in_the_middle_says_once_how_to_go_on(account: Vendor, leads: Path) -> None:
    account.set(job_seconds=None)
    ran = process("enrich", "leads.csv", "--yes")
    account.wait(lambda counts: counts["requests"].get("status", 0) > 0)
    ran.send_signal(signal.SIGINT)
    out, err = ran.communicate()
    assert (ran.returncode, out) == (130, "")
    run_id = json.loads(process("runs", "--json").communicate()[0])[0]["run_id"]
    assert err.splitlines()[-1] == (
        "leads-pandas: interrupted; job enrich_1 goes on and nothing is lost: run the same line "
        f"again, or go on with leads-pandas resume {run_id}"
    )
    assert "Traceback" not in err
    account.act(advance=1.0)
    again = process("resume", "enrich_1", "--json")
    assert json.loads(again.communicate()[0])["summary"]["found"] == 9


def test_sigterm_goes_through(account: Vendor, leads: Path) -> None:
    account.set(job_seconds=None)
    ran = process("enrich", "leads.csv", "--yes")
    account.wait(lambda counts: counts["requests"].get("status", 0) > 0)
    ran.send_signal(signal.SIGTERM)
    _, err = ran.communicate()
    assert ran.returncode == -signal.SIGTERM
    assert err.splitlines()[-1].startswith(
        "leads-pandas: interrupted; job enrich_1 goes on and nothing is lost: run the same line "
    )
    assert "leaked" not in err


def test_sigterm_is_told_to_a_program_as_other_errors_are(account: Vendor, leads: Path) -> None:
    account.set(job_seconds=None)
    ran = process("enrich", "leads.csv", "--yes", "--json")
    account.wait(lambda counts: counts["requests"].get("status", 0) > 0)
    ran.send_signal(signal.SIGTERM)
    out, _ = ran.communicate()
    assert ran.returncode == -signal.SIGTERM
    told = json.loads(out)["error"]
    assert (told["type"], told["exit_code"]) == ("Terminated", 143)
    assert told["meaning"] == "job enrich_1 goes on and nothing is lost"
    assert [one["action"] for one in told["ways"]] == ["again", "resume"]


def test_a_reader_that_leaves_early_is_no_error(account: Vendor, leads: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    ran = process("results", "leads.csv", stdout=write)
    os.close(write)
    _, err = ran.communicate()
    assert (ran.returncode, err) == (0, "")


def test_an_output_that_is_full_is_one_line(account: Vendor, leads: Path) -> None:
    with Path("/dev/full").open("w") as full:
        ran = process("results", "leads.csv", stdout=full)
        _, err = ran.communicate()
    assert ran.returncode == 1
    assert err == "leads-pandas: error: standard output: No space left on device\n"


@pytest.mark.parametrize("line", ["--version", "demo -o folder", "runs"])
def test_nobody_has_to_read_an_answer(
    line: str, leads: Path, account: Vendor, shell: Callable[[str], Terminal]
) -> None:
    with shell(f"leads-pandas {line} | true; leads-pandas {line} > /dev/full") as screen:
        assert screen.end() == 1
    said = [one for one in screen.lines if one.startswith("leads-pandas: error")]
    assert len(said) == 1
    assert said[0].endswith("No space left on device")
    assert "Traceback" not in screen.seen


def test_a_standard_input_that_is_closed_is_one_line(
    leads: Path, account: Vendor, shell: Callable[[str], Terminal]
) -> None:
    with shell("leads-pandas preview - <&-") as screen:
        assert screen.end() == 1
    assert "leads-pandas: error: standard input is closed; nothing was requested" in screen.lines


@pytest.mark.parametrize("closed", [">&-", "2>&-", "2>&1 | true"])
def test_a_run_does_not_end_because_nobody_listens(
    closed: str, account: Vendor, leads: Path, shell: Callable[[str], Terminal]
) -> None:
    line = "leads-pandas enrich leads.csv -o out.parquet --yes"
    with shell(f"({line} {closed})") as screen:
        assert screen.end() == 0, screen.seen
    assert "Traceback" not in screen.seen
    assert pd.read_parquet("out.parquet")["email"].notna().sum() == 9


def test_an_output_that_knows_no_letters_but_ascii_gets_escapes(
    account: Vendor, leads: Path
) -> None:
    account.set(
        leads={
            "lead001": {"emails": [{"email": "bür@firm.example", "confidence": 1, "source": ""}]}
        }
    )
    ran = process(
        "enrich", "leads.csv", "--yes", env=environment(PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    )
    out, _ = ran.communicate()
    assert ran.returncode == 0
    assert r"b\xfcr@firm.example" in out


def test_it_starts_without_what_the_commands_need() -> None:
    code = "import sys, leads_pandas.cli.commands; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
    )
    heavy = {"requests", "sqlite3", "tqdm", "pyarrow.parquet", "starlette", "leads_pandas.run"}
    assert not heavy & set(done.stdout.split())


@pytest.fixture
def shell(leads: Path, tmp_path: Path) -> Callable[[str], Terminal]:
    """Runs a line in a shell on a terminal, where `leads-pandas` is this one."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "leads-pandas"
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m leads_pandas "$@"\n')
    script.chmod(0o755)

    def call(line: str) -> Terminal:
        path = f"{folder}{os.pathsep}{os.environ['PATH']}"
        return Terminal(["sh", "-c", line], environment(PATH=path))

    return call


@pytest.mark.parametrize(
    "line", [one for one in all_examples() if not re.search(" (serve|demo|resolve)", one)]
)
def test_an_example_of_the_help_works(
    *,
    line: str,
    account: Vendor,
    leads: Path,
    shell: Callable[[str], Terminal],
    run: Callable[..., Ran],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if " resume " in line:
        # The one thing that nobody can know beforehand.
        monkeypatch.setattr("uuid.uuid4", lambda: uuid.UUID("5f0c2a1b-9d3e-4000-8000-000000000000"))
        assert run("enrich", "leads.csv", "--yes").code == 0
    with shell(line) as screen:
        assert screen.end(answers={"[y/N] ": "y\n"}) == 0, screen.seen
    assert "Traceback" not in screen.seen
    for name in re.findall(r"-o (\S+)", line):
        assert (leads / name).exists()


@pytest.mark.parametrize("line", [one for one in all_examples() if " demo" in one])
def test_the_demo_of_the_help_works(
    line: str, leads: Path, shell: Callable[[str], Terminal]
) -> None:
    with shell(line) as screen:
        assert screen.end() == 0, screen.seen
    assert list(leads.rglob("enriched.parquet"))


@pytest.mark.parametrize("line", [one for one in all_examples() if " serve" in one])
def test_an_example_of_a_service_serves(
    line: str, leads: Path, shell: Callable[[str], Terminal], run: Callable[..., Ran]
) -> None:
    command = f"{line}; leads-pandas preview leads.csv; sleep 600" if "eval" in line else line
    with shell(command) as screen:
        screen.until("to enrich" if "eval" in line else "Ctrl-C ends it")
    if "--db" in line:
        assert (leads / "service.db").exists()


@pytest.fixture
def sites() -> Iterator[str]:
    """Where the bundled businesses' websites are served."""
    from leads_pandas.server.samples import SampleSites

    with SampleSites() as served:
        yield served.origin


def write_sites(folder: Path, origin: str, *, count: int = 4, ids: bool = True) -> None:
    """A few of the sample leads as a file."""
    from leads_pandas.server.samples import leads as sample_leads

    df = pd.DataFrame(sample_leads(origin)).head(count)
    columns = ["lead_id", "name", "website"] if ids else ["name", "website"]
    df[columns].to_csv(folder / "sites.csv", index=False)


def test_a_file_is_enriched_from_its_websites_without_an_account(
    home: Path, leads: Path, sites: str, run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCALLEADS_API_KEY", "ll_mine")
    monkeypatch.setenv("LOCALLEADS_BASE_URL", "https://wrong.example")
    monkeypatch.setenv("LOCALLEADS_REQUESTS_PER_MINUTE", "1")
    before = dict(os.environ)
    write_sites(leads, sites)
    ran = run("enrich", "sites.csv", "-o", "out.parquet", "--local", "--allow-private")
    assert ran.code == 0, ran.err
    out = pd.read_parquet("out.parquet")
    assert len(out) == 4
    assert out["enrichment_status"].isin(["found", "not_found"]).all()
    assert out["email"].notna().any()
    assert not home.exists()
    assert dict(os.environ) == before


def test_a_file_without_ids_gets_the_numbers_of_its_rows(
    leads: Path, sites: str, run: Callable[..., Ran]
) -> None:
    write_sites(leads, sites, count=2, ids=False)
    ran = run("enrich", "sites.csv", "--local", "--allow-private", "--json")
    assert [row["lead_id"] for row in ran.json["rows"]] == ["row-1", "row-2"]


def test_the_columns_of_a_crm_are_named_by_options(
    leads: Path, sites: str, run: Callable[..., Ran]
) -> None:
    write_sites(leads, sites, count=2)
    renamed = (leads / "sites.csv").read_text().replace("lead_id,name,website", "Ref,Firm,URL")
    (leads / "sites.csv").write_text(renamed)
    columns = ["--on", "Ref", "--website", "URL"]
    ran = run("enrich", "sites.csv", "--local", "--allow-private", "--json", *columns)
    assert ran.json["summary"]["found"] > 0, ran.err
    service = serve("--leads", "sites.csv", "--json", *columns)
    assert service.stdout is not None
    assert json.loads(service.stdout.readline())["LOCALLEADS_API_KEY"]
    service.terminate()
    service.communicate()


def test_private_websites_are_not_read_unasked(
    leads: Path, sites: str, run: Callable[..., Ran]
) -> None:
    write_sites(leads, sites, count=2)
    ran = run("enrich", "sites.csv", "--local", "--json")
    assert ran.code == 0
    assert [row["email"] for row in ran.json["rows"]] == [None, None]
    assert "2 websites could not be read, such as http://127.0.0.1:" in ran.err
    assert "--allow-private reads those on private addresses" in ran.err


def test_the_help_keeps_to_a_narrow_terminal(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    shown = run("--help").out
    words, _, _ = shown.partition("Examples:")  # which are there to be copied
    assert max(map(len, words.splitlines())) <= 60
    assert "..." not in words.partition("Commands:")[2]  # no sentence is cut
    assert "\n  3    no answer, a limit or the time is up: run the same\n       line" in words


def test_a_website_that_is_down_costs_no_other_lead_its_email(
    leads: Path, sites: str, run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collect, "_LOOKS", (0.1,))  # for what a job that has ended left out
    write_sites(leads, sites, count=2)
    down = f"http://127.0.0.1:{closed_port()}/"
    with (leads / "sites.csv").open("a") as file:
        file.write(f"down,Down,{down}\n")
    ran = run("enrich", "sites.csv", "-o", "out.parquet", "--local", "--allow-private")
    assert ran.code == 0, ran.err
    out = pd.read_parquet("out.parquet").set_index("lead_id")
    assert out["email"].notna().any()
    assert out.loc["down", "enrichment_status"] == "failed"
    assert f"1 website could not be read, such as {down}" in ran.err
    late = run("enrich", "sites.csv", "--local", "--allow-private", "--timeout", "0")
    assert late.code == 3
    assert "run the same line again" in late.err
    assert "resume" not in late.err  # the store that knew the run is gone


def test_a_file_without_websites_cannot_be_enriched_locally(
    leads: Path, run: Callable[..., Ran]
) -> None:
    (leads / "x.csv").write_text("lead_id,name\nlead001,Firm\n")
    ran = run("enrich", "x.csv", "--local")
    assert ran.code == 1
    assert "there is no column 'website' for the websites" in ran.err
    assert "with --website COLUMN" in ran.err


def test_the_leads_of_a_service_are_named_once_and_their_gaps_filled() -> None:
    df = pd.DataFrame(
        {
            "lead_id": ["a", None, "a", "b"],
            "website": [None, "http://no.example", " http://a.example ", None],
            "name": ["A", "N", "other", 7],
        }
    )
    assert local._leads_of(df, None, None) == [
        {"lead_id": "a", "website": "http://a.example", "name": "A"},
        {"lead_id": "b", "website": "", "name": "7"},
    ]


def slow_site() -> Any:
    """A website that takes a connection and never answers."""
    import socket

    sock = socket.create_server(("127.0.0.1", 0))
    return sock, f"http://127.0.0.1:{sock.getsockname()[1]}/"


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)]
)
def test_an_interrupted_local_run_leaves_nothing_behind(
    number: signal.Signals, code: int, leads: Path, tmp_path: Path
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    sock, url = slow_site()
    with sock:
        (leads / "x.csv").write_text(f"website\n{url}\n")
        ran = process(
            "enrich",
            "x.csv",
            "--local",
            "--allow-private",
            env=environment(TMPDIR=str(temporary)),
        )
        with sock.accept()[0]:
            ran.send_signal(number)
            out, err = ran.communicate()
    assert (ran.returncode, out) == (code, "")
    assert "Traceback" not in err
    assert "resume" not in err
    assert list(temporary.iterdir()) == []
    assert "nothing was spent" in err


def test_a_first_process_that_sigterm_does_not_end_tells_its_number(
    monkeypatch: pytest.MonkeyPatch, run: Callable[..., Ran]
) -> None:
    def stopped(**_: object) -> str:
        raise Stopped(signal.SIGTERM)

    monkeypatch.setattr(local.demo, "callback", stopped)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(signal, "raise_signal", lambda _: None)
    assert run("demo").code == 143


def serve(*arguments: str) -> subprocess.Popen[str]:
    """A service in a process of its own."""
    return process("serve", *arguments)


def test_serve_prints_what_to_export_and_ends_well_on_ctrl_c(
    leads: Path, run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = serve("--leads", "leads.csv", "--credits", "7", "--requests-per-minute", "0")
    try:
        assert service.stdout is not None
        printed = service.stdout.read()  # ends although the service goes on
        variables = dict(re.findall(r"^export (\w+)=(\S+)$", printed, re.MULTILINE))
        assert list(variables) == ["LOCALLEADS_BASE_URL", "LOCALLEADS_API_KEY"]
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        preview = run("preview", "leads.csv", "--json").json
        assert (preview["total_leads"], preview["available_credits"]) == (12, 7)
    finally:
        service.send_signal(signal.SIGINT)
        _, err = service.communicate()
    assert service.returncode == 0
    assert "Traceback" not in err


def test_serve_prints_its_variables_as_json(leads: Path) -> None:
    service = serve("--leads", "leads.csv", "--json")
    assert service.stdout is not None
    variables = json.loads(service.stdout.readline())
    service.terminate()
    service.communicate()
    assert service.returncode == 0
    assert variables["LOCALLEADS_BASE_URL"].startswith("http://127.0.0.1:")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--leads", "x.csv"], "no column or index level is called lead_id, leadId or id"),
        (["--leads", "y.csv"], "there is no column 'website' for the websites"),
    ],
)
def test_a_service_that_cannot_be_is_one_line(
    arguments: list[str], words: str, leads: Path, run: Callable[..., Ran]
) -> None:
    (leads / "x.csv").write_text("website\nhttp://a.example\n")
    (leads / "y.csv").write_text("lead_id,url\na,http://a.example\n")
    ran = run("serve", "--leads", "leads.csv", *arguments)
    assert (ran.code, ran.out.count("\n")) == (1, 1)
    assert ran.out.endswith("; false\n")
    assert ran.err.count("\n") == 1
    assert words in ran.err


def test_a_port_that_is_taken_is_said_in_plain_words(leads: Path, run: Callable[..., Ran]) -> None:
    sock, url = slow_site()
    with sock:
        port = url.rstrip("/").rpartition(":")[2]
        ran = run("serve", "--leads", "leads.csv", "--port", port)
    assert ran.code == 1
    assert ran.err.startswith(f"leads-pandas: error: cannot listen on 127.0.0.1 port {port}: ")


@pytest.mark.parametrize("command", [["serve", "--leads", "leads.csv"], ["demo", "-o", "x"]])
def test_a_missing_extra_is_named(command: list[str], leads: Path) -> None:
    code = f"""
import sys
sys.modules["starlette"] = sys.modules["uvicorn"] = sys.modules["selectolax"] = None
from leads_pandas.cli import main
sys.exit(main({command!r}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert 'pip install "leads_pandas[server]"' in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_demo_tells_a_program_where_its_file_is(leads: Path) -> None:
    ran = process("demo", "-o", "folder", "--json")
    out, err = ran.communicate()
    assert ran.returncode == 0, err
    assert Path(json.loads(out)["path"]).exists()


@pytest.mark.parametrize("options", [["--leads", "missing.csv"], ["--wrong"], ["--db", "."]])
def test_a_service_that_cannot_start_makes_the_eval_of_it_fail_and_hides_the_account(
    options: list[str], leads: Path
) -> None:
    program = f"{shlex.quote(sys.executable)} -m leads_pandas"
    script = (
        "set -e; export LOCALLEADS_API_KEY=ll_mine LOCALLEADS_BASE_URL=https://mine.example\n"
        "trap 'echo \"left: $LOCALLEADS_API_KEY$LOCALLEADS_BASE_URL\"' EXIT\n"
        f'eval "$({program} serve {shlex.join(options)} &)"\n'
        "echo went on\n"
    )
    done = subprocess.run(
        ["bash", "-c", script], cwd=leads, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode != 0
    assert done.stdout == "left: \n"


def test_help_on_the_service_is_no_failure(run: Callable[..., Ran]) -> None:
    ran = run("serve", "--help")
    assert ran.code == 0
    assert "unset" not in ran.out
