"""The public surface over real HTTP, against a vendor in another process that shares no code."""

from __future__ import annotations

import contextlib
import inspect
import io
import json
import logging
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import leads_pandas as lp
from leads_pandas.errors import LeadsWarning
from tests.support.harness import best_email, frame, has_email, lead_ids, rows, whole, world

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.harness import Script, Tripwire, Vendor

    Client = Callable[..., lp.LeadsClient]

NEW = ["email", "confidence", "source", "enriched_at", "enrichment_status"]
STATUSES = ["found", "not_found", "not_enriched", "unknown_lead", "failed"]


@pytest.fixture
def default(client: Client) -> Iterator[lp.LeadsClient]:
    """A client of the vendor, as the default client."""
    made = client()
    lp.set_default_client(made)
    yield made
    lp.set_default_client(None)


def enrich(df: pd.DataFrame, *arguments: Any, **options: Any) -> pd.DataFrame:
    """`enrich` without a bar."""
    return lp.enrich(df, *arguments, **({"progress": False} | options))


# -- the acceptance ---------------------------------------------------------------------------

ONE_LINE = """
out = df.leads.enrich(os.environ["TEST_OUT"], max_credits=50, progress=False)
print(int(out["email"].notna().sum()), len(out))
"""


def test_one_line_makes_one_start_and_the_same_line_in_a_new_process_no_request(
    vendor: Vendor, script: Callable[..., Script], tmp_path: Path
) -> None:
    vendor.reset(world(60, enriched=range(3, 51, 4)), balance=100)
    settings = {
        "TEST_OUT": str(tmp_path / "out.parquet"),
        "LOCALLEADS_API_KEY": f"  {vendor.key}\n",
        "LOCALLEADS_BASE_URL": vendor.base_url,
        "LOCALLEADS_REQUESTS_PER_MINUTE": "0",
    }
    assert script(lead_ids(60), ONE_LINE, **settings).end()[:2] == (0, "45 60\n")
    counts = vendor.counts
    assert counts["starts"] == 1
    assert sum(counts["reads"].values()) == 60
    assert counts["spent"] == 48
    assert 48 <= counts["start_bodies"][0]["maxCredits"] <= 50
    out = pd.read_parquet(tmp_path / "out.parquet")
    assert rows(out) == whole(lead_ids(60))
    assert set(out["confidence"].dropna()) == {0.94}

    assert script(lead_ids(60), ONE_LINE, **settings).end()[:2] == (0, "45 60\n")
    assert vendor.counts["total"] == counts["total"]
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out.parquet"), out)


# -- frames -----------------------------------------------------------------------------------


def test_the_frame_comes_back_with_five_columns_and_is_not_modified(
    vendor: Vendor, client: Client
) -> None:
    df = frame(lead_ids(6)).set_index(pd.Index([3, 3, "x", 2.5, None, 0], dtype=object))
    before = df.copy(deep=True)
    out = enrich(df, client=client())
    pd.testing.assert_frame_equal(df, before)
    assert df.attrs == {}
    assert list(out.columns) == ["lead_id", "name", *NEW]
    pd.testing.assert_frame_equal(out[["lead_id", "name"]], before)
    assert out["confidence"].dtype == np.float64
    assert str(out["enriched_at"].dtype) == "datetime64[us, UTC]"
    assert list(out["enrichment_status"].cat.categories) == STATUSES
    assert not out["enrichment_status"].cat.ordered
    text = pd.Series(["a"], dtype="str" if pd.__version__ >= "3" else "object").dtype
    assert out["email"].dtype in (text, pd.StringDtype())
    assert out["email"].dtype == out["source"].dtype
    assert out["source"].iloc[1] == "website"


def test_duplicates_are_paid_and_read_once_and_blanks_are_skipped(
    vendor: Vendor, client: Client
) -> None:
    ids = ["lead001", " lead001 ", "lead002\n", None, "", "  ", float("nan"), pd.NA, "lead001"]
    out = enrich(frame(ids), client=client())
    counts = vendor.counts
    assert counts["start_bodies"][0]["leadIds"] == ["lead001", "lead002"]
    assert counts["reads"] == {"lead001": 1, "lead002": 1}
    expected = [best_email("lead001")] * 2 + [best_email("lead002")] + [None] * 5
    emails = [one if isinstance(one, str) else None for one in out["email"]]
    assert emails == [*expected, best_email("lead001")]
    assert out["enrichment_status"].isna().tolist() == [False] * 3 + [True] * 5 + [False]


def test_ids_are_found_in_a_level_of_a_multiindex_with_duplicate_labels(
    vendor: Vendor, client: Client
) -> None:
    index = pd.MultiIndex.from_tuples(
        [("b", "lead002"), ("a", "lead001"), ("b", "lead002")], names=["city", "lead_id"]
    )
    df = pd.DataFrame({"x": [1, 2, 3]}, index=index)
    out = enrich(df, client=client())
    pd.testing.assert_index_equal(out.index, index)
    assert out["email"].tolist() == [best_email(f"lead00{n}") for n in (2, 1, 2)]
    assert vendor.counts["spent"] == 2


def test_ids_in_the_index_are_found(vendor: Vendor, client: Client) -> None:
    df = frame(["lead001", "lead003"]).set_index("lead_id")
    out = enrich(df, client=client())
    assert out["email"].tolist() == [best_email("lead001"), best_email("lead003")]
    assert out.index.name == "lead_id"


def test_integral_floats_are_written_as_integers(vendor: Vendor, client: Client) -> None:
    vendor.reset({"1": {"emails": [{"email": "a@b.example"}]}, "123": {"emails": []}})
    out = enrich(pd.DataFrame({"lead_id": [1.0, 123.0, np.nan]}), client=client())
    assert vendor.counts["start_bodies"][0]["leadIds"] == ["1", "123"]
    assert out["enrichment_status"].tolist()[:2] == ["found", "not_found"]
    assert np.isnan(out["confidence"].iloc[0])


def test_arrow_backed_ids_work(vendor: Vendor, client: Client) -> None:
    df = pd.DataFrame({"leadId": pd.array(["lead001", None], dtype="string[pyarrow]")})
    out = enrich(df, client=client())
    assert out["email"].iloc[0] == best_email("lead001")
    assert out["leadId"].dtype == df["leadId"].dtype


def test_a_column_called_id_is_used_last_and_logged(
    vendor: Vendor, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    df = pd.DataFrame({"id": ["lead001"]})
    with caplog.at_level(logging.INFO, logger="leads_pandas"):
        out = enrich(df, client=client())
    assert out["email"].tolist() == [best_email("lead001")]
    assert any("id" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize(
    "df",
    [
        pd.DataFrame({"lead_id": []}),
        pd.DataFrame({"lead_id": pd.Series([], dtype="int64"), "x": pd.Series([], dtype="bool")}),
        pd.DataFrame({"lead_id": [None, np.nan]}),
    ],
    ids=["empty", "empty integers", "all missing"],
)
def test_a_frame_without_ids_needs_no_key_and_has_the_same_dtypes(
    df: pd.DataFrame, vendor: Vendor, client: Client
) -> None:
    usual = enrich(frame(["lead001"]), client=client())
    out = enrich(df)
    assert out[NEW].dtypes.tolist() == usual[NEW].dtypes.tolist()
    assert out[NEW].isna().all(axis=None)
    assert out.attrs["leads"] is not None


def test_an_empty_frame_is_written_with_the_same_schema(
    vendor: Vendor, client: Client, tmp_path: Path
) -> None:
    enrich(frame(["lead001"]), tmp_path / "one.parquet", client=client())
    enrich(frame([]), tmp_path / "none.parquet")
    one, none = (pq.read_schema(tmp_path / f"{name}.parquet") for name in ("one", "none"))
    for name in NEW:
        assert none.field(name).type == one.field(name).type == lp.SCHEMA.field(name).type


def test_an_id_cannot_reach_another_endpoint(vendor: Vendor, client: Client) -> None:
    ids = ["../jobs", "a/b", "a?b=c", "a%2Fb", "a#b", "a;b", "é ü", "..%2f..", "a\\b", "a&b"]
    vendor.reset({one: {"emails": [{"email": "x@y.example"}]} for one in ids})
    out = enrich(frame(ids), client=client())
    assert (out["enrichment_status"] == "found").all()
    counts = vendor.counts
    assert counts["reads"] == dict.fromkeys(ids, 1)
    assert counts["unexpected"] == []


@pytest.mark.parametrize(
    "bad",
    [1.5, True, 2.0**53 + 2, "x" * 201, ".", "..", "a\x00b", "a\nb", b"bytes", ("t",), 1j],
    ids=repr,
)
def test_an_unusable_id_is_refused_before_any_request(
    bad: object, vendor: Vendor, client: Client
) -> None:
    ids = pd.Series(["lead001", bad], index=["good", "bad"], dtype=object)
    df = ids.to_frame("lead_id")
    with pytest.raises(lp.LeadIdError, match="bad"):
        enrich(df, client=client())
    assert vendor.counts["total"] == 0


def test_a_frame_without_an_id_column_is_told_its_columns(vendor: Vendor, client: Client) -> None:
    with pytest.raises(lp.LeadIdError, match="website"):
        enrich(pd.DataFrame({"website": ["a"], "email_of": ["b"]}), client=client())
    assert vendor.counts["total"] == 0


# -- what the columns hold --------------------------------------------------------------------


def test_all_emails_makes_a_row_of_each_and_keeps_rows_without_one(
    vendor: Vendor, client: Client
) -> None:
    df = frame(["lead000", "lead001", None, "lead001"])
    out = enrich(df, emails="all", client=client())
    assert out.index.tolist() == [0, 1, 1, 1, 2, 3, 3, 3]
    emails = out["email"].iloc[1:4].tolist()
    assert sorted(emails) == [f"{name}@lead001.example" for name in ("best", "low", "null")]
    assert out.loc[0, "enrichment_status"] == "not_found"
    assert vendor.counts["reads"] == {"lead000": 1, "lead001": 1}


def test_all_emails_asked_for_again_are_the_same_frame_and_file(
    vendor: Vendor, client: Client, tmp_path: Path
) -> None:
    path, text = tmp_path / "all.parquet", tmp_path / "all.csv"
    own = frame(["lead000", "lead001", "lead001"]).assign(n=range(3))
    out = enrich(own, path, emails="all", client=client()).reset_index(drop=True)
    out.to_csv(text, index=False)
    again: dict[str, Any] = {"emails": "all", "on_conflict": "replace", "client": client()}
    for held in (out, pd.read_csv(text), pd.read_parquet(path).reset_index(drop=True)):
        for made in (
            enrich(held, path, **again),
            enrich(held, path, refresh=True, **again),
            lp.results(held, path, **again),
        ):
            pd.testing.assert_frame_equal(made, out)
            pd.testing.assert_frame_equal(pd.read_parquet(path), out)
    assert vendor.counts["starts"] == 1


def test_an_email_below_the_confidence_asked_for_is_left_out_and_stays_found(
    vendor: Vendor, client: Client
) -> None:
    df = frame(["lead001"])
    out = enrich(df, min_confidence=0.95, client=client())
    assert out["email"].isna().all()
    assert out["confidence"].isna().all()
    assert out["enrichment_status"].tolist() == ["found"]
    total = vendor.counts["total"]
    assert enrich(df, client=client())["email"].tolist() == [best_email("lead001")]
    everything = enrich(df, emails="all", min_confidence=0.4, client=client())
    assert sorted(everything["confidence"]) == [0.41, 0.94]
    assert vendor.counts["total"] == total


def test_new_columns_can_be_renamed(vendor: Vendor, client: Client, tmp_path: Path) -> None:
    df = frame(["lead001"]).assign(email="mine@old.example")
    out = enrich(
        df, tmp_path / "o.parquet", rename={"email": "work_email", "source": "src"}, client=client()
    )
    assert out["email"].tolist() == ["mine@old.example"]
    assert out["work_email"].tolist() == [best_email("lead001")]
    assert out["src"].tolist() == ["website"]
    assert "source" not in out.columns
    assert list(pd.read_parquet(tmp_path / "o.parquet").columns) == list(out.columns)


def test_a_column_in_the_way_is_an_error_before_any_request(vendor: Vendor, client: Client) -> None:
    df = frame(["lead001"]).assign(email="mine@old.example")
    with pytest.raises(lp.ColumnConflictError, match="email"):
        enrich(df, client=client())
    assert vendor.counts["total"] == 0


def test_a_column_in_the_way_can_be_replaced(vendor: Vendor, client: Client) -> None:
    df = frame(["lead001"]).assign(email="mine@old.example")
    out = enrich(df, on_conflict="replace", client=client())
    assert out["email"].tolist() == [best_email("lead001")]
    assert list(out.columns).count("email") == 1


def test_fill_neither_sends_nor_changes_rows_that_have_an_answer(
    vendor: Vendor, client: Client
) -> None:
    email = pd.Series(["mine@old.example", None, None, None], dtype=object)
    status = pd.Series([None, "not_found", "failed", None], dtype=object)
    df = frame(lead_ids(4)).assign(email=email, enrichment_status=status)
    out = enrich(df, on_conflict="fill", client=client())
    assert vendor.counts["start_bodies"][0]["leadIds"] == ["lead002", "lead003"]
    assert rows(out) == {
        "lead000": ["mine@old.example", None],
        "lead001": [None, "not_found"],
        "lead002": [best_email("lead002"), "found"],
        "lead003": [best_email("lead003"), "found"],
    }
    assert set(vendor.counts["reads"]) == {"lead002", "lead003"}


def test_the_same_line_runs_on_its_own_result(vendor: Vendor, client: Client) -> None:
    once = enrich(frame(lead_ids(5)), rename={"email": "work_email"}, client=client())
    total = vendor.counts["total"]
    again = enrich(once, rename={"email": "work_email"}, client=client())
    pd.testing.assert_frame_equal(again, once)
    assert vendor.counts["total"] == total


# -- queries ----------------------------------------------------------------------------------


def test_a_query_that_matches_the_frame_is_started_by_the_ids_of_its_leads(
    vendor: Vendor, client: Client
) -> None:
    vendor.reset(30, queries={"cm9search123": lead_ids(20)})
    df = frame(lead_ids(20))
    out = enrich(df, query_id="cm9search123", client=client())
    counts = vendor.counts
    # A wrong search of the same size must not be bought.
    assert [(one["queryId"], one["leads"]) for one in counts["start_bodies"]] == [(None, 20)]
    assert rows(out) == whole(lead_ids(20))
    assert counts["spent"] == 20
    enrich(df, query_id="cm9search123", client=client())
    assert vendor.counts["starts"] == 1


@pytest.mark.parametrize(
    "ids",
    [lead_ids(19), [*lead_ids(20), "lead025"], [*lead_ids(19), "lead000"]],
    ids=["fewer", "more", "duplicate instead"],
)
def test_a_query_that_does_not_match_the_frame_is_refused(
    ids: list[str], vendor: Vendor, client: Client
) -> None:
    vendor.reset(30, queries={"cm9search123": lead_ids(20)})
    with pytest.raises(lp.LeadIdError):
        enrich(frame(ids), query_id="cm9search123", client=client())
    assert (vendor.counts["starts"], vendor.counts["spent"]) == (0, 0)


# -- refusals ---------------------------------------------------------------------------------


def test_over_the_cap_nothing_is_started(vendor: Vendor, client: Client) -> None:
    with pytest.raises(lp.CreditCapError) as caught:
        enrich(frame(lead_ids(60)), max_credits=59, client=client())
    assert caught.value.preview is not None
    assert caught.value.preview.to_enrich == 60
    assert (vendor.counts["starts"], vendor.counts["spent"]) == (0, 0)


@pytest.mark.parametrize("shortage", ["smaller", "refuse"])
def test_over_the_balance_nothing_is_started(shortage: str, vendor: Vendor, client: Client) -> None:
    vendor.reset(60, balance=59, shortage=shortage)
    with pytest.raises(lp.InsufficientCreditsError) as caught:
        enrich(frame(lead_ids(60)), client=client())
    assert "cap" not in str(caught.value)
    with pytest.raises(lp.InsufficientCreditsError, match="balance is 59; the cap of 50 does not"):
        enrich(frame(lead_ids(60)), max_credits=50, client=client())
    assert (vendor.counts["starts"], vendor.counts["spent"]) == (0, 0)


@pytest.mark.parametrize("confirm", [True, lambda preview: preview.to_enrich != 60])
def test_without_consent_nothing_is_started(
    confirm: Any, vendor: Vendor, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(lp.EnrichmentDeclined) as caught:
        enrich(frame(lead_ids(60)), confirm=confirm, client=client())
    assert caught.value.preview is not None
    assert (vendor.counts["starts"], vendor.counts["spent"]) == (0, 0)


def test_with_consent_it_goes_on(vendor: Vendor, client: Client) -> None:
    seen: list[lp.CostPreview] = []

    def agree(preview: lp.CostPreview) -> bool:
        seen.append(preview)
        return True

    out = enrich(frame(lead_ids(5)), confirm=agree, client=client())
    assert rows(out) == whole(lead_ids(5))
    assert [one.estimated_credits for one in seen] == [5]


def _directory(tmp_path: Path) -> Path:
    return tmp_path


def _below_a_file(tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("in the way")
    return tmp_path / "file" / "out.parquet"


@pytest.mark.parametrize("target", [_directory, _below_a_file])
def test_an_unwritable_target_is_found_before_anything_is_spent(
    target: Callable[[Path], Path], vendor: Vendor, client: Client, tmp_path: Path
) -> None:
    with pytest.raises((IsADirectoryError, NotADirectoryError)):
        enrich(frame(lead_ids(5)), target(tmp_path), client=client())
    assert vendor.counts["starts"] == 0
    assert vendor.counts["spent"] == 0


@pytest.mark.parametrize(
    "df",
    [
        pd.DataFrame([["lead001", 1, 2]], columns=["lead_id", "x", "x"]),
        pd.DataFrame({"lead_id": ["lead001", "lead002"], "x": [1, "two"]}),
        pd.DataFrame({"lead_id": ["lead001"], "x": [object()]}),
        pd.DataFrame({"lead_id": ["lead001"], "x": [1 + 2j]}),
    ],
    ids=["duplicate columns", "mixed objects", "an object", "complex"],
)
def test_a_frame_that_parquet_cannot_hold_is_found_before_anything_is_spent(
    df: pd.DataFrame, vendor: Vendor, client: Client, tmp_path: Path
) -> None:
    with pytest.raises(Exception, match=r".") as caught:
        enrich(df, tmp_path / "out.parquet", client=client())
    assert not isinstance(caught.value, AttributeError | KeyError | AssertionError)
    assert (vendor.counts["starts"], vendor.counts["spent"]) == (0, 0)
    assert not (tmp_path / "out.parquet").exists()


def test_a_misspelt_option_is_a_type_error(vendor: Vendor, client: Client) -> None:
    df: Any = frame(lead_ids(2))
    for call in (df.leads.enrich, df.leads.start, df.leads.preview, df.leads.results):
        with pytest.raises(TypeError):
            call(client=client(), max_credit=5)
    assert vendor.counts["total"] == 0


@pytest.mark.parametrize(
    "options",
    [
        {"emails": "worst"},
        {"min_confidence": 1.5},
        {"min_confidence": -0.1},
        {"min_confidence": float("nan")},
        {"on_conflict": "ignore"},
        {"max_credits": -1},
        {"timeout": -1},
        {"rename": {"emial": "x"}},
        {"rename": {"email": "source"}},
        {"query_id": ""},
    ],
    ids=str,
)
def test_a_wrong_value_is_a_value_error_before_any_request(
    options: dict[str, Any], vendor: Vendor, client: Client
) -> None:
    with pytest.raises(ValueError, match=r"."):
        enrich(frame(lead_ids(2)), client=client(), **options)
    assert vendor.counts["total"] == 0


def test_without_a_key_it_says_where_one_is_looked_for() -> None:
    with pytest.raises(lp.ConfigurationError, match="LOCALLEADS_API_KEY"):
        enrich(frame(["lead001"]))


@pytest.mark.parametrize(
    "url", ["http://leads.example", "http://10.0.0.1:80", "ftp://127.0.0.1", "http://127.0.0.1.x.y"]
)
def test_a_key_is_never_sent_in_the_clear(url: str) -> None:
    with pytest.raises(lp.ConfigurationError):
        lp.LeadsClient("ll_" + "a" * 64, url)


# -- the run ----------------------------------------------------------------------------------


def test_a_preview_is_one_request_and_spends_nothing(vendor: Vendor, client: Client) -> None:
    vendor.reset(world(10, enriched=[1, 2]), balance=7)
    df: Any = frame(lead_ids(10))
    preview = df.leads.preview(client=client())
    assert (preview.total_leads, preview.already_enriched, preview.to_enrich) == (10, 2, 8)
    assert (preview.estimated_credits, preview.available_credits) == (8, 7)
    assert preview.affordable is False
    assert vendor.counts["requests"] == {"preview": 1}


def test_a_preview_always_asks_and_counts_what_the_store_holds(
    vendor: Vendor, client: Client
) -> None:
    df = frame(lead_ids(10))
    enrich(df, client=client())
    before = vendor.counts["requests"]["preview"]
    preview = lp.preview(df, client=client())
    assert vendor.counts["requests"]["preview"] == before + 1
    assert (preview.total_leads, preview.already_enriched, preview.to_enrich) == (10, 10, 0)


def test_a_start_returns_at_once_and_its_run_brings_the_frame(
    vendor: Vendor, client: Client, tmp_path: Path
) -> None:
    vendor.reset(10, job_seconds=None)
    df: Any = frame(lead_ids(10))
    run = df.leads.start(max_credits=10, progress=False, client=client())
    assert len(run.job_ids) == 1
    assert run.credits_reserved == 10
    assert run.preview.to_enrich == 10
    assert not run.done()
    vendor.act(advance=0.5)
    status = run.status()
    assert (status.phase, status.processed, status.total) == ("enriching", 5, 10)
    vendor.act(advance=1)
    out = run.result(tmp_path / "out.parquet")
    assert rows(out) == whole(lead_ids(10))
    assert run.done()
    assert run.status().phase == "done"
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out.parquet"), out)
    assert vendor.counts["starts"] == 1


def test_a_run_with_nothing_to_do_is_done(vendor: Vendor, client: Client) -> None:
    df = frame(lead_ids(4))
    enrich(df, client=client())
    total = vendor.counts["total"]
    run = lp.start(df, progress=False, client=client())
    assert run.id is None
    assert run.done()
    assert run.status().phase == "done"
    assert rows(run.result()) == whole(lead_ids(4))
    with pytest.raises(lp.UnknownRunError, match="nothing to resolve"):
        run.resolve(not_started=True)
    assert vendor.counts["total"] == total


def test_the_credits_of_all_runs_add_up_to_what_was_spent(vendor: Vendor, client: Client) -> None:
    vendor.reset(12, job_seconds=None)
    df = frame(lead_ids(8))
    lp.start(df, progress=False, client=client())
    vendor.act(advance=1)
    vendor.set(job_seconds=0.1)
    lp.enrich(frame(lead_ids(12)), progress=False, client=client())
    listed = lp.runs(client=client())
    assert listed["credits_reserved"].tolist() == [4, 8]
    assert listed["job_ids"].str.count("enrich").tolist() == [2, 1]
    assert listed["credits_reserved"].sum() == vendor.counts["spent"] == 12


def test_a_run_joins_to_the_frame_as_it_was_at_the_start(vendor: Vendor, client: Client) -> None:
    df = frame(lead_ids(4))
    run = lp.start(df, progress=False, client=client())
    df["name"] = "changed"
    df.loc[0, "lead_id"] = "lead009"
    out = run.result()
    assert rows(out) == whole(lead_ids(4))
    assert out["name"].tolist() == [f"Firm {n}" for n in range(4)]


def test_results_make_no_request(vendor: Vendor, client: Client) -> None:
    df = frame(lead_ids(8))
    enrich(df.head(5), client=client())
    total = vendor.counts["total"]
    have = lp.results(df, client=client())
    assert vendor.counts["total"] == total
    assert have["enrichment_status"].tolist()[:5] == [s for _, s in whole(lead_ids(5)).values()]
    assert have["enrichment_status"].tolist()[5:] == ["not_enriched"] * 3


def test_results_with_refresh_read_each_lead_once_and_start_nothing(
    vendor: Vendor, client: Client
) -> None:
    vendor.reset(world(8, enriched=range(5)))
    have = lp.results(frame(lead_ids(8)), refresh=True, client=client())
    assert rows(have.head(5)) == whole(lead_ids(5))
    assert have["enrichment_status"].tolist()[5:] == ["not_enriched"] * 3
    # One price tells whether those that answered 404 are known at all.
    assert vendor.counts["requests"] == {"lead": 8, "preview": 1}


def test_a_run_can_be_resumed_by_its_id_and_by_its_job(
    vendor: Vendor, default: lp.LeadsClient, tmp_path: Path
) -> None:
    run = lp.start(frame(lead_ids(10)), progress=False)
    out = lp.resume(run.id or "", tmp_path / "out.parquet")
    assert rows(out) == whole(lead_ids(10))
    assert rows(pd.read_parquet(tmp_path / "out.parquet")) == whole(lead_ids(10))
    assert rows(lp.resume(run.job_ids[0])) == whole(lead_ids(10))
    assert vendor.counts["starts"] == 1


def test_an_unknown_run_is_said_to_be_unknown(vendor: Vendor, default: lp.LeadsClient) -> None:
    with pytest.raises(lp.UnknownRunError, match="enrich"):
        lp.resume("enrich_of_somebody_else")


def test_jobs_lists_what_runs_on_the_account(vendor: Vendor, default: lp.LeadsClient) -> None:
    vendor.set(job_seconds=None)
    assert len(lp.jobs()) == 0
    run = lp.start(frame(lead_ids(10)), progress=False)
    vendor.act(teammate=3)
    listed = lp.jobs()
    assert len(listed) == 2
    assert listed.astype(str).isin([run.job_ids[0]]).any(axis=None)


def test_runs_lists_what_this_store_has_started(vendor: Vendor, default: lp.LeadsClient) -> None:
    assert len(lp.runs()) == 0
    run = lp.start(frame(lead_ids(10)), progress=False)
    run.result()
    listed = lp.runs()
    assert len(listed) == 1
    assert listed.reset_index().astype(str).isin([run.id]).any(axis=None)


def test_forgotten_results_leave_no_trace_in_the_store_and_cost_nothing_again(
    vendor: Vendor, default: lp.LeadsClient, home: Path
) -> None:
    df = frame(lead_ids(10))
    enrich(df)
    assert _bytes_below(home, best_email("lead001").encode())
    lp.forget(["lead001"])
    assert not _bytes_below(home, best_email("lead001").encode())
    assert _bytes_below(home, best_email("lead002").encode())
    lp.forget(everything=True)
    assert not _bytes_below(home, b"@lead")
    assert (lp.results(df)["enrichment_status"] == "not_enriched").all()
    assert len(lp.runs()) == 1
    again = enrich(df)
    assert rows(again) == whole(lead_ids(10))
    assert (vendor.counts["starts"], vendor.counts["spent"]) == (1, 10)


def _bytes_below(folder: Path, needle: bytes) -> list[str]:
    return [
        str(path) for path in folder.rglob("*") if path.is_file() and needle in path.read_bytes()
    ]


def test_progress_is_told_to_a_callable(vendor: Vendor, client: Client) -> None:
    seen: list[lp.RunStatus] = []
    enrich(frame(lead_ids(20)), progress=seen.append, client=client())
    assert seen[-1].phase == "done"
    assert seen[-1].read == seen[-1].total == 20
    assert [one.read for one in seen] == sorted(one.read for one in seen)
    assert seen[-1].credits_reserved == 20


def test_where_nobody_can_see_a_bar_progress_is_logged(
    vendor: Vendor,
    client: Client,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with caplog.at_level(logging.INFO, logger="leads_pandas"):
        enrich(frame(lead_ids(20)), progress=None, client=client())
    lines = [one.getMessage() for one in caplog.records if "%" in one.getMessage()]
    assert 1 <= len(lines) <= 12
    assert capfd.readouterr() == ("", "")


def test_a_result_is_durable_before_progress_counts_it(
    vendor: Vendor, client: Client, home: Path
) -> None:
    def check(status: lp.RunStatus) -> None:
        held = lp.results(frame(lead_ids(20)), client=client())
        assert (held["enrichment_status"] != "not_enriched").sum() >= status.read

    enrich(frame(lead_ids(20)), progress=check, client=client())


# -- partial ----------------------------------------------------------------------------------


@pytest.mark.parametrize("shortage", ["smaller", "refuse"])
@pytest.mark.parametrize("short_of", ["cap", "balance"])
def test_partial_enriches_what_fits_and_says_what_is_missing(
    short_of: str, shortage: str, vendor: Vendor, client: Client
) -> None:
    vendor.reset(
        world(60, enriched=[0]), balance=10 if short_of == "balance" else 500, shortage=shortage
    )
    cap = 10 if short_of == "cap" else None
    df = frame(lead_ids(60))
    out = enrich(df, partial=True, max_credits=cap, client=client())
    statuses = out["enrichment_status"].value_counts()
    assert statuses["found"] + statuses["not_found"] == 11
    assert statuses["not_enriched"] == 49
    assert vendor.counts["spent"] == 10
    vendor.act(spend=-500)
    assert rows(enrich(df, client=client())) == whole(lead_ids(60))
    assert set(vendor.counts["charges"].values()) == {1}
    assert sum(vendor.counts["reads"].values()) <= 66


def test_progress_counts_no_lead_that_is_left_out(vendor: Vendor, client: Client) -> None:
    vendor.reset(world(60, enriched=[0]))
    seen: list[lp.RunStatus] = []
    enrich(frame(lead_ids(60)), partial=True, max_credits=10, progress=seen.append, client=client())
    assert {one.total for one in seen if one.read} == {11}
    assert (seen[-1].phase, seen[-1].read, seen[-1].fraction) == ("done", 11, 1.0)


def test_ids_that_the_service_does_not_know_are_counted_in_a_warning(
    vendor: Vendor, client: Client
) -> None:
    df = frame([*lead_ids(3), "1.2E+17", "'001"])
    words = r"does not know 2 of 5 lead IDs; .*'1\.2E\+17', \"'001\" look as if a spreadsheet"
    with pytest.warns(LeadsWarning, match=words):
        enrich(df, client=client())
    assert vendor.counts["starts"] == 1


def test_a_program_can_stop_at_ids_that_the_service_does_not_know(
    vendor: Vendor, client: Client
) -> None:
    with pytest.raises(LeadsWarning):  # the tests make errors of warnings
        enrich(frame([*lead_ids(3), "stranger"]), client=client())
    assert vendor.counts["starts"] == 0


def test_a_column_of_which_the_service_knows_nothing_is_refused(
    vendor: Vendor, client: Client
) -> None:
    with pytest.raises(lp.LeadIdError, match=r"none of the 3 lead IDs, such as 'Firm A'.*on="):
        enrich(frame(["Firm A", "Firm B", "Firm C"]), client=client())
    assert vendor.counts["starts"] == 0


def test_a_preview_takes_no_unknown_lead_for_an_enriched_one(
    vendor: Vendor, client: Client
) -> None:
    df = frame([*lead_ids(3), "stranger"])
    with pytest.warns(LeadsWarning):
        out = enrich(df, client=client())
    assert out["enrichment_status"].tolist()[-1] == "unknown_lead"
    preview = lp.preview(df, client=client())
    assert (preview.total_leads, preview.already_enriched, preview.to_enrich) == (4, 3, 0)


@pytest.mark.parametrize("name", ["out.csv", "out.JSONL", "s3://bucket/out.xlsx"])
def test_a_file_named_as_another_format_is_refused_before_anything_is_requested(
    name: str, vendor: Vendor, client: Client
) -> None:
    with pytest.raises(ValueError, match=r"Nothing was requested; call it out\.parquet"):
        enrich(frame(lead_ids(3)), name, client=client())
    assert vendor.counts["total"] == 0


@pytest.mark.parametrize("table", [frame(["lead001"]), {"lead_id": ["lead001"]}])
def test_a_table_is_not_taken_for_the_ids_to_forget(table: Any, client: Client) -> None:
    with pytest.raises(TypeError, match=r'the column of a table, df\["lead_id"\]'):
        lp.forget(table, client=client())


def test_a_question_that_nobody_can_be_asked_says_so(
    vendor: Vendor, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(lp.EnrichmentDeclined, match="nobody can be asked here"):
        enrich(frame(lead_ids(3)), confirm=True, client=client())
    assert vendor.counts["starts"] == 0


def test_partial_with_nothing_to_spend_starts_nothing(vendor: Vendor, client: Client) -> None:
    vendor.reset(world(10, enriched=[1, 2]))
    out = enrich(frame(lead_ids(10)), partial=True, max_credits=0, client=client())
    assert out["enrichment_status"].tolist().count("not_enriched") == 8
    assert vendor.counts["starts"] == 0
    assert out["email"].notna().sum() == 2


def test_what_is_enriched_already_is_read_without_a_start(vendor: Vendor, client: Client) -> None:
    vendor.reset(world(10, enriched=range(10)), balance=0)
    assert rows(enrich(frame(lead_ids(10)), client=client())) == whole(lead_ids(10))
    assert vendor.counts["starts"] == 0


def test_refresh_reads_again_and_starts_nothing(vendor: Vendor, client: Client) -> None:
    df = frame(lead_ids(5))
    enrich(df, client=client())
    changed = world(5)
    changed["lead001"]["emails"] = [{"email": "new@lead001.example", "confidence": 0.5}]
    vendor.set(leads=changed)
    assert enrich(df, client=client())["email"].iloc[1] == best_email("lead001")
    assert enrich(df, refresh=True, client=client())["email"].iloc[1] == "new@lead001.example"
    assert enrich(df, client=client())["email"].iloc[1] == "new@lead001.example"
    counts = vendor.counts
    assert counts["starts"] == 1
    assert set(counts["reads"].values()) == {2}


# -- receipts and files -----------------------------------------------------------------------


def test_the_receipt_is_the_same_in_attrs_and_in_the_file(
    vendor: Vendor, client: Client, tmp_path: Path
) -> None:
    path = tmp_path / "out.parquet"
    out = enrich(frame(lead_ids(10)), path, rename={"email": "mail"}, client=client())
    receipt = out.attrs["leads"]
    metadata = pq.read_schema(path).metadata
    assert json.loads(metadata[b"leads_pandas"]) == receipt
    text = json.dumps(receipt)
    assert "enrich_1" in text
    assert "127.0.0.1" in text
    assert '"lead_id"' in text
    assert '"mail"' in text
    assert lp.__version__ in text
    assert vendor.key not in text


def test_the_receipt_of_a_call_that_did_nothing_has_no_run(vendor: Vendor, client: Client) -> None:
    df = frame(lead_ids(3))
    first = enrich(df, client=client()).attrs["leads"]
    second = enrich(df, client=client()).attrs["leads"]
    assert set(first) == set(second)
    names = [name for name in first if "run" in name and first[name] is not None]
    assert names
    assert all(second[name] is None for name in names)


def test_the_file_reads_back_equal_and_others_read_it_too(
    vendor: Vendor, client: Client, tmp_path: Path
) -> None:
    import duckdb
    import polars as pl

    path = tmp_path / "out.parquet"
    out = enrich(frame(lead_ids(12)), path, client=client())
    pd.testing.assert_frame_equal(pd.read_parquet(path), out)
    emails = out["email"].notna().sum()
    with duckdb.connect() as database:
        found = database.execute("select count(email) from read_parquet(?)", [str(path)]).fetchone()
    assert found == (emails,)
    assert pl.read_parquet(path)["email"].count() == emails
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == ["out.parquet"]


def test_a_file_url_is_a_target_too(vendor: Vendor, client: Client, tmp_path: Path) -> None:
    out = enrich(frame(lead_ids(3)), (tmp_path / "out.parquet").as_uri(), client=client())
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out.parquet"), out)


def test_the_store_is_private(vendor: Vendor, client: Client, home: Path) -> None:
    enrich(frame(lead_ids(3)), client=client())
    files = [path for path in home.rglob("*") if path.is_file()]
    assert files
    assert [oct(path.stat().st_mode & 0o077) for path in files] == ["0o0"] * len(files)


# -- the surface ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["preview", "enrich", "start", "results"])
def test_a_twin_has_the_parameters_of_its_method(name: str) -> None:
    df: Any = frame([])
    method = inspect.signature(getattr(df.leads, name)).parameters
    twin = inspect.signature(getattr(lp, name)).parameters
    shape = [(p.name, p.kind, p.default) for p in twin.values()]
    assert shape[1:] == [(p.name, p.kind, p.default) for p in method.values()]


def test_all_is_sorted_and_importable() -> None:
    assert list(lp.__all__) == sorted(lp.__all__)
    for name in lp.__all__:
        assert getattr(lp, name) is not None, name


def test_runs_and_errors_pickle(vendor: Vendor, client: Client) -> None:
    run = lp.start(frame(lead_ids(3)), progress=False, client=client())
    dumped = pickle.dumps(run)
    assert vendor.key.encode() not in dumped
    twin = pickle.loads(dumped)  # noqa: S301 - our own bytes
    assert (twin.id, twin.job_ids, twin.credits_reserved) == (run.id, run.job_ids, 3)
    run.result()
    vendor.reset(3, job_seconds=None)
    with pytest.raises(lp.JobTimeoutError) as caught:
        enrich(frame(lead_ids(3)), timeout=0.2, client=client())
    error = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own bytes
    assert (type(error), str(error)) == (lp.JobTimeoutError, str(caught.value))
    assert caught.value.run is not None
    assert error.run.id == caught.value.run.id


# -- the client's methods ---------------------------------------------------------------------


def test_every_endpoint_has_a_method_with_a_typed_result(vendor: Vendor, client: Client) -> None:
    vendor.reset(world(4, enriched=[1]), job_seconds=None)
    api = client()
    assert api.preview(lead_ids=lead_ids(4)).to_enrich == 3
    job = api.start(lead_ids=lead_ids(4), max_credits=3)
    assert (job.leads_queued, job.credits_reserved) == (3, 3)
    assert api.status(job.job_id).status == "PENDING"
    assert [one.job_id for one in api.jobs()] == [job.job_id]
    assert api.lead("lead001").emails[1].confidence == 0.94
    assert api.balance().available_credits == 997
    with pytest.raises(lp.NotFoundError):
        api.lead("nobody")
    with pytest.raises(lp.NotFoundError):
        api.status("../jobs")
    assert vendor.counts["unexpected"] == []


ANSWERS = [
    ({"status": 401, "body": {"statusCode": 401, "error": "U", "message": "Invalid"}}, "Auth"),
    ({"status": 403, "body": {"success": False, "error": "No"}}, "Auth"),
    ({"status": 404, "body": "<h1>gone</h1>"}, "NotFound"),
    ({"status": 402, "body": {"success": False, "error": "No"}}, "InsufficientCredits"),
    ({"status": 422, "body": {"success": False, "error": "What?"}}, "API"),
    ({"status": 200, "body": {"success": False, "error": "Not today"}}, "API"),
    ({"status": 200, "raw": '{"success": true, "da'}, "Response"),
    ({"status": 200, "body": "<html>Welcome</html>"}, "Response"),
    ({"status": 200, "body": [1, 2]}, "Response"),
    ({"status": 200, "body": {"success": True, "data": {"availableCredits": "many"}}}, "Response"),
    ({"status": 200, "body": {"success": True, "data": {}}}, "Response"),
    ({"status": 302, "body": "", "headers": {"Location": "/api/v1/enrichment/jobs"}}, "API"),
]


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize(("answer", "error"), ANSWERS, ids=str)
def test_every_bad_answer_is_an_error_of_ours(
    answer: dict[str, Any], error: str, vendor: Vendor, client: Client
) -> None:
    vendor.rules({"on": "balance", "do": "answer", "times": -1} | answer)
    kind = {"Auth": "AuthenticationError"}.get(error, f"{error}Error")
    with pytest.raises(getattr(lp, kind)) as caught:
        client().balance()
    assert isinstance(caught.value, lp.APIError)
    assert caught.value.method == "GET"
    assert caught.value.path.endswith("/credits/balance")
    assert vendor.counts["requests"].get("jobs") is None


def test_unknown_fields_are_ignored(vendor: Vendor, client: Client) -> None:
    more = {"patch": {"novel": [1, {"a": None}]}, "do": "patch", "times": -1, "on": "any"}
    vendor.rules(more)
    assert rows(enrich(frame(lead_ids(5)), client=client())) == whole(lead_ids(5))


# -- the key ----------------------------------------------------------------------------------


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _texts_of(error: BaseException) -> Iterator[str]:
    for one in _chain(error):
        yield repr(one)
        yield str(one)
        yield repr(vars(one))
        assert not type(one).__module__.startswith(("requests", "urllib3")), type(one)


FAILURES: list[dict[str, Any]] = [
    {"do": "answer", "status": 401, "body": {"statusCode": 401, "error": "U", "message": "M"}},
    {"do": "answer", "status": 500, "body": "<h1>down</h1>"},
    {"do": "answer", "status": 200, "raw": "{"},
    {"do": "close"},
    {"do": "hang"},
    {"do": "cut"},
]


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize("failure", FAILURES, ids=str)
@pytest.mark.parametrize("on", ["preview", "start", "status", "lead"])
def test_no_error_carries_the_key_or_an_object_of_requests(
    on: str,
    failure: dict[str, Any],
    vendor: Vendor,
    client: Client,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    vendor.reset(3, job_seconds=0.05)
    vendor.rules(failure | {"on": on, "times": 30, "when": "before"})
    api = client(timeout=0.2, settle=0.2)
    try:
        enrich(frame(lead_ids(3)), client=api, timeout=3)
    except lp.LeadsError as error:
        texts = [*_texts_of(error), pickle.dumps(error).decode("latin-1")]
        if error.run is not None:
            texts += [repr(error.run), str(error.run), pickle.dumps(error.run).decode("latin-1")]
        assert not [text for text in texts if vendor.key in text]
    assert vendor.key not in caplog.text


def test_the_key_is_in_no_repr_log_or_output(
    vendor: Vendor,
    client: Client,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    api = client()
    run = lp.start(frame(lead_ids(5)), client=api, progress=True)
    out = run.result()
    shown = [repr(api), str(api), repr(run), str(run), repr(out.attrs), caplog.text]
    shown += capfd.readouterr()
    for one in (api, run):
        html = getattr(one, "_repr_html_", None)
        shown.append(html() if html else "")
    assert not [text for text in shown if vendor.key[3:] in text]


def test_the_key_is_in_no_file(vendor: Vendor, client: Client, home: Path, tmp_path: Path) -> None:
    enrich(frame(lead_ids(5)), tmp_path / "out.parquet", client=client())
    key = vendor.key[3:]
    for needle in (key.encode(), bytes.fromhex(key)):
        assert _bytes_below(home, needle) == []
        assert _bytes_below(tmp_path, needle) == []


def test_a_netrc_entry_does_not_replace_the_key(
    vendor: Vendor, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert rows(enrich(frame(lead_ids(3)), client=client())) == whole(lead_ids(3))
    assert vendor.counts["strangers"] == []


def test_loopback_is_never_asked_through_a_proxy(
    vendor: Vendor,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    tripwire: Callable[[], Tripwire],
) -> None:
    wire = tripwire()
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, wire.url)
    assert rows(enrich(frame(lead_ids(3)), client=client())) == whole(lead_ids(3))
    assert wire.seen == []


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("on", ["preview", "start", "lead"])
def test_a_redirect_is_not_followed(
    on: str, status: int, vendor: Vendor, client: Client, tripwire: Callable[[], Tripwire]
) -> None:
    wire = tripwire()
    vendor.reset(3, job_seconds=0.05)
    to = {"Location": f"{wire.url}/api/v1/enrichment/{on}"}
    vendor.rules({"on": on, "do": "answer", "status": status, "headers": to, "body": ""})
    with contextlib.suppress(lp.LeadsError):
        enrich(frame(lead_ids(3)), client=client(settle=0.2, timeout=2.0))
    assert wire.seen == []
    assert all(n <= 1 for n in vendor.counts["charges"].values())


# -- the tests themselves ---------------------------------------------------------------------


def test_the_environment_of_a_test_has_no_key_and_a_store_of_its_own(tmp_path: Path) -> None:
    assert [name for name in os.environ if name.upper().startswith("LOCALLEADS_")] == []
    assert Path(os.environ["LEADS_PANDAS_HOME"]).is_relative_to(tmp_path)


def test_a_key_exported_around_the_tests_does_not_reach_them(
    tripwire: Callable[[], Tripwire], tmp_path: Path
) -> None:
    wire = tripwire()
    here = Path(__file__).resolve()
    inner = [
        f"{here}::test_the_environment_of_a_test_has_no_key_and_a_store_of_its_own",
        f"{here}::test_without_a_key_it_says_where_one_is_looked_for",
    ]
    environment = os.environ | {
        "LOCALLEADS_API_KEY": "ll_" + "b" * 64,
        "LOCALLEADS_BASE_URL": wire.url,
        "localleads_account": "somebody",
    }
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *(f"--basetemp={tmp_path / 'inner'}", *inner),
        ],
        env=environment,
        cwd=here.parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert wire.seen == []


def test_the_address_of_the_real_service_cannot_be_asked_for() -> None:
    import socket

    with pytest.raises(OSError, match="a test asked"):
        socket.getaddrinfo("leadsapi.postorbit.io", 443)


def test_three_leads_of_four_have_an_address() -> None:
    assert sum(has_email(n) for n in range(60)) == 45
