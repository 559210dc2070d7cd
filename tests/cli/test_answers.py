from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from leads_pandas.cli import answers
from leads_pandas.models import CostPreview

if TYPE_CHECKING:
    from collections.abc import Callable

    from leads_pandas import LeadsClient
    from tests.support.harness import Vendor

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
    assert answers.of_preview(preview, in_json=False) == str(preview)
    fields = json.loads(answers.of_preview(preview, in_json=True))
    assert (fields["to_enrich"], fields["affordable"]) == (10, False)


def test_a_result_is_counted_and_its_first_rows_are_shown(enriched: pd.DataFrame) -> None:
    text = answers.of_frame(enriched, None, in_json=False)
    assert re.search(r"found +9\n", text)
    assert re.search(r"hit rate +75%\n", text)
    assert "failed" not in text  # what did not happen is no news
    assert text.count("\nlead0") == 10
    assert text.endswith("2 more rows; -o OUT.parquet keeps them all")
    assert answers.of_frame(enriched, "o.parquet", in_json=False).endswith("all are in o.parquet")


def test_credits_are_told_of_what_a_run_has_bought(enriched: pd.DataFrame) -> None:
    assert re.search(r"credits reserved +12\n", answers.of_frame(enriched, None, in_json=False))
    assert "reserved" not in answers.of_frame(enriched, None, in_json=False, bought=False)


def test_a_result_in_json_has_every_row(enriched: pd.DataFrame) -> None:
    answer = json.loads(answers.of_frame(enriched, "o.parquet", in_json=True))
    assert list(answer) == ["path", "summary", "receipt", "rows"]
    assert len(answer["rows"]) == 12
    assert answer["rows"][0]["email"] is None


def test_nothing_to_list_is_said() -> None:
    assert answers.of_jobs(JOBS.iloc[:0], in_json=False) == "no job is running"
    assert answers.of_runs(RUNS.iloc[:0], in_json=False) == "no run yet"
    assert answers.of_jobs(JOBS.iloc[:0], in_json=True) == "[]"


def test_jobs_and_runs_are_tables_whose_unknowns_are_blank() -> None:
    assert answers.of_jobs(JOBS, in_json=False).splitlines() == [
        "job       type        progress  leads  query",
        "enrich_1  enrichment      12 %",
    ]
    assert answers.of_runs(RUNS, in_json=False).splitlines() == [
        "run           started (UTC)     leads  state  credits  jobs",
        "4f3d3ccbf448  2026-07-09 08:05  1,200  done     1,100  enrich_1, enrich_2",
    ]


def test_unknowns_are_null_and_moments_are_text_in_json() -> None:
    assert json.loads(answers.of_jobs(JOBS, in_json=True))[0]["lead_count"] is None
    started = json.loads(answers.of_runs(RUNS, in_json=True))[0]["started_at"]
    assert started == "2026-07-09T08:05:01.000Z"
