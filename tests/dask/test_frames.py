"""Frames of Dask: one purchase for all partitions, and what pandas would have brought."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import leads_pandas as lp
import leads_pandas.dask
from tests.support.engines import QUIET, grow, leads, mapped, same
from tests.support.harness import lead_ids

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.harness import Vendor

    Make = Callable[..., lp.LeadsClient]


@pytest.mark.parametrize(
    "ids",
    [
        pd.Series([1, 2, 3, 2, 1, 5]),
        pd.Series([1.0, 2.0, np.nan, 2.0, 1.0, 5.0]),
        pd.Series([3.0, "3", 4, "a", None, " a"], dtype=object),
        pd.Series(["1", "2", None, "2", "1", "5"]).astype("category"),
        pd.Series([np.nan, 7, 7, 8, np.nan, 9]).astype("Int64"),
        pd.Series(np.full(6, None, dtype=object)),
    ],
    ids=["integers", "floats", "mixed", "categories", "nullable", "none"],
)
@pytest.mark.parametrize("convert", [True, False])
def test_ids_of_any_type_are_the_leads_that_pandas_takes_them_for(
    vendor: Vendor, client: Make, here: None, ids: pd.Series[Any], convert: bool
) -> None:
    vendor.reset({str(n): {"emails": [], "enriched": False} for n in [*range(10), "a"]})
    df = pd.DataFrame({"lead_id": ids, "n": range(6)})
    with dask.config.set({"dataframe.convert-string": convert}):
        ddf = dd.from_pandas(df, npartitions=3)
        out = ddf.leads.enrich(client=client(), **QUIET).compute()
    charged = vendor.counts["charges"]
    expected = df.leads.enrich(client=client(), **QUIET)
    assert vendor.counts["charges"] == charged
    names = list(lp.SCHEMA.names)
    assert_frame_equal(out[names], expected[names])


def test_ids_in_the_index_and_empty_partitions_are_fine(
    vendor: Vendor, client: Make, here: None
) -> None:
    df = pd.DataFrame({"n": range(8)}, index=pd.Index(lead_ids(8), name="lead_id"))
    ddf = dd.from_pandas(df, npartitions=4)
    ddf = ddf[ddf.n > 4]
    out = ddf.leads.enrich(client=client(), **QUIET)
    same(out, ddf.compute().leads.enrich(client=client(), **QUIET))
    assert vendor.counts["spent"] == 3


def test_the_preview_counts_distinct_leads_and_spends_nothing(
    vendor: Vendor, client: Make, here: None
) -> None:
    ddf = dd.from_pandas(leads(), npartitions=3)
    assert ddf.leads.preview(client=client()).to_enrich == 8
    assert leads_pandas.dask.preview(ddf, client=client()).total_leads == 8
    assert vendor.counts["starts"] == 0


def test_a_bad_id_names_its_rows_in_whatever_partition(
    vendor: Vendor, client: Make, here: None
) -> None:
    df = pd.DataFrame({"lead_id": ["a", "b\0", "c", "b\0", "d", ".."]}, index=list("uvwxyz"))
    ddf = dd.from_pandas(df, npartitions=3)
    with pytest.raises(lp.LeadIdError) as mine:
        ddf.leads.enrich(client=client())
    with pytest.raises(lp.LeadIdError) as theirs:
        df.leads.enrich(client=client())
    assert str(mine.value) == str(theirs.value)
    assert vendor.counts["total"] == 0


def test_what_is_wrong_is_found_before_the_frame_is_computed(client: Make) -> None:
    def never(_: pd.DataFrame) -> pd.DataFrame:
        raise AssertionError("computed")

    df = leads().assign(email="x")
    ddf = dd.from_pandas(df, npartitions=2).map_partitions(never, meta=df.iloc[:0])
    with pytest.raises(lp.ColumnConflictError, match="email"):
        ddf.leads.enrich(client=client())
    with pytest.raises(ValueError, match="emails must be"):
        ddf.leads.enrich(emails="some", client=client())
    with pytest.raises(ValueError, match="max_credits"):
        ddf.leads.enrich(max_credits=-1, on_conflict="replace", client=client())
    with pytest.raises(lp.LeadIdError, match="nosuch"):
        ddf.leads.enrich(on="nosuch", client=client())
    with pytest.raises(TypeError, match="Dask DataFrame is needed"):
        leads_pandas.dask.enrich(df)


def test_a_cap_and_a_refusal_hold_for_all_partitions_together(
    vendor: Vendor, client: Make, here: None
) -> None:
    ddf = dd.from_pandas(leads(), npartitions=3)
    with pytest.raises(lp.CreditCapError):
        ddf.leads.enrich(max_credits=7, client=client(), **QUIET)
    with pytest.raises(lp.EnrichmentDeclined):
        ddf.leads.enrich(confirm=lambda _: False, client=client(), **QUIET)
    assert vendor.counts["starts"] == 0


def test_fill_asks_for_the_rows_without_an_answer_alone(
    vendor: Vendor, client: Make, here: None
) -> None:
    df = leads().reset_index(drop=True)
    df = df.assign(email=df["n"].map({1: "own@a.example"}), enrichment_status=None)
    ddf = dd.from_pandas(df, npartitions=3)
    out = ddf.leads.enrich(on_conflict="fill", client=client(), **QUIET)
    same(out, ddf.compute().leads.enrich(on_conflict="fill", client=client(), **QUIET))
    assert vendor.counts["spent"] == 8
    assert out.compute()["email"].iloc[1] == "own@a.example"


@pytest.mark.parametrize("emails", ["best", "all"])
def test_the_same_line_runs_on_its_own_result(
    vendor: Vendor, client: Make, here: None, emails: Any
) -> None:
    ddf = dd.from_pandas(leads(), npartitions=3)
    once = ddf.leads.enrich(emails=emails, client=client(), **QUIET)
    again = once.leads.enrich(emails=emails, client=client(), **QUIET)
    same(again, once.compute())
    assert vendor.counts["starts"] == 1


def test_ids_that_were_not_there_when_asked_for_are_not_enriched(
    vendor: Vendor, client: Make, here: None, tmp_path: Path
) -> None:
    more = tmp_path / "more"
    df = leads()[["lead_id"]]
    ddf = mapped(dd.from_pandas(df, npartitions=2), grow, str(more))
    out = ddf.leads.enrich(client=client(), **QUIET)
    total = vendor.counts["total"]
    more.touch()
    got = out.compute().set_index("lead_id")["enrichment_status"]
    assert got["later"].tolist() == ["not_enriched"] * 2
    assert vendor.counts["total"] == total
