from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from leads_pandas.errors import LeadIdError
from leads_pandas.server.leads import Lead, read_leads

if TYPE_CHECKING:
    from pathlib import Path


def test_mappings_are_read_and_other_columns_left_alone() -> None:
    rows = [{"lead_id": " a ", "website": "x.example", "name": "", "query_id": None, "city": "B"}]
    assert list(read_leads(rows)) == [Lead("a", "x.example", None, None)]


def test_a_frame_is_read_with_its_missing_values() -> None:
    frame = pd.DataFrame(
        {"lead_id": [1, 2], "website": ["x.example", np.nan], "name": [pd.NA, "B"], "n": [1.5, 2]}
    )
    assert list(read_leads(frame)) == [Lead("1", "x.example"), Lead("2", None, "B")]


def test_whole_floats_are_written_as_integers() -> None:
    frame = pd.DataFrame({"lead_id": [1.0, 2.0]})
    assert [one.lead_id for one in read_leads(frame)] == ["1", "2"]


def test_a_csv_file_is_read_by_its_path(tmp_path: Path) -> None:
    file = tmp_path / "leads.csv"
    file.write_text("\ufefflead_id,website,query_id\n007,x.example,q\n", encoding="utf-8")
    assert list(read_leads(file)) == [Lead("007", "x.example", None, "q")]
    assert list(read_leads(str(file))) == [Lead("007", "x.example", None, "q")]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"id": "a", "website": "x"}], "row 1 of the leads has no lead_id; it has id, website"),
        ([{"lead_id": "a"}, {"lead_id": " "}], "row 2 of the leads has an empty lead_id"),
        ([{"lead_id": float("nan")}], "empty lead_id"),
        ([{"lead_id": 1.5}], "not whole"),
        ([{"lead_id": True}], "no text"),
        ([{"lead_id": ["a"]}], "no text"),
        ([{"lead_id": ".."}], "has a lead_id that is"),
        ([{"lead_id": "a\x00b"}], "has a lead_id that is"),
        ([{"lead_id": "a" * 201}], "has a lead_id that is"),
        (["a"], "no mapping"),
    ],
)
def test_leads_that_cannot_be_used_are_refused_by_row(rows: Any, words: str) -> None:
    with pytest.raises(LeadIdError, match=words):
        list(read_leads(rows))


def test_a_missing_file_is_the_systems_own_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(read_leads(tmp_path / "none.csv"))
