"""``df.leads``: what it takes, what it says of itself, and that looking at it costs nothing."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

import leads_pandas
from leads_pandas import accessor
from tests.support.harness import frame, lead_ids, make_client, world

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.harness import Tripwire, Vendor

METHODS = ["preview", "enrich", "start", "results", "find", "verify", "summary", "features"]


@pytest.fixture(autouse=True)
def _default_client() -> Iterator[None]:
    yield
    leads_pandas.set_default_client(None)


def card(shown: object) -> str:
    """What a notebook shows of an object, as text."""
    html: str = shown._repr_html_()  # type: ignore[attr-defined]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


@pytest.mark.parametrize("name", METHODS)
def test_a_method_takes_what_its_function_takes_after_the_frame(name: str) -> None:
    method = inspect.signature(getattr(pd.DataFrame().leads, name))
    twin = inspect.signature(getattr(leads_pandas, name))
    assert list(method.parameters.values()) == list(twin.parameters.values())[1:]
    assert method.return_annotation == twin.return_annotation


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_documented_as_its_function_is_but_for_the_frame(name: str) -> None:
    method = inspect.getdoc(getattr(pd.DataFrame().leads, name)) or ""
    twin = inspect.getdoc(getattr(leads_pandas, name)) or ""
    assert "df: " in twin
    assert not re.search(r"^ +df: ", method, re.MULTILINE)
    missing = [line for line in twin.splitlines() if line not in method.splitlines()]
    assert len(missing) == 1
    assert f"df.leads.{name}(" in method or f".leads.{name}(" in method


def test_without_docstrings_the_accessor_is_there_all_the_same() -> None:
    code = "import pandas, leads_pandas; print(pandas.DataFrame({'lead_id': []}).leads.results)"
    done = subprocess.run([sys.executable, "-OO", "-c", code], capture_output=True, check=True)
    assert b"results" in done.stdout


def test_the_card_says_what_would_be_asked_for_and_how() -> None:
    df = pd.DataFrame({"name": list("vwxyz"), "lead_id": ["a", "b", None, "a", "a"]})
    said = card(df.leads)
    assert "rows 5" in said
    assert "lead IDs 2 in column &#x27;lead_id&#x27; without an ID 1 row repeated 2 rows" in said
    assert "df.leads.preview()" in said
    assert "df.leads.enrich(" in said
    assert "in column 'lead_id'" in repr(df.leads)


def test_the_card_says_what_the_store_has_and_asks_nobody(
    vendor: Vendor, tripwire: Callable[[], Tripwire]
) -> None:
    leads_pandas.set_default_client(make_client(vendor))
    assert "in the store already 0" in card(frame(lead_ids(5)).leads)
    frame(lead_ids(3)).leads.enrich(progress=False)
    before = vendor.counts
    assert "in the store already 3" in card(frame(lead_ids(5)).leads)
    assert vendor.counts == before


def test_the_card_needs_no_key_and_makes_no_store(home: Path) -> None:
    assert "rows 2" in card(pd.DataFrame({"lead_id": ["a", "b"]}).leads)
    assert not home.exists()


def test_the_card_of_an_enriched_frame_names_what_looks_at_it(vendor: Vendor) -> None:
    out = frame(lead_ids(2)).leads.enrich(progress=False, client=make_client(vendor))
    assert "df.leads.summary()" in card(out.leads)
    assert "df.leads.enrich(" not in card(out.leads)


@pytest.mark.parametrize(
    ("df", "said"),
    [
        (pd.DataFrame(), "rows 0"),
        (pd.DataFrame({"x": [1]}), "no column or index level is called lead_id, leadId or id"),
        (pd.DataFrame({"lead_id": [1.5]}), "lead IDs"),
        (pd.DataFrame({"lead_id": [{}]}), "lead IDs"),
        (pd.DataFrame([[1, 2]], columns=["lead_id", "lead_id"]), "2 columns are called"),
        (pd.DataFrame({"x": [1]}, index=pd.Index(["a"], name="lead_id")), "1 in index level"),
        (pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("lead_id", "x")])), "rows 1"),
    ],
)
def test_the_card_never_fails(df: pd.DataFrame, said: str) -> None:
    assert said in card(df.leads)
    assert repr(df.leads).startswith("Leads of this frame")


def test_the_card_of_a_large_frame_does_not_read_its_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accessor, "_MOST_READ", 2)
    said = card(pd.DataFrame({"lead_id": ["a", "b", 0.5]}).leads)
    assert "rows 3 lead IDs in column" in said


def test_the_package_lists_what_people_call_and_keeps_the_errors_apart() -> None:
    listed = dir(leads_pandas)
    assert {"enrich", "preview", "results", "runs", "LeadsClient", "errors"} <= set(listed)
    assert [name for name in listed if name.endswith("Error")] == []
    assert not [name for name in listed if name.startswith("_")]
    values: dict[str, Any] = {name: getattr(leads_pandas, name) for name in leads_pandas.__all__}
    errors = [one for one in values.values() if isinstance(one, type)]
    assert {one.__name__ for one in errors if issubclass(one, BaseException)} <= set(
        dir(leads_pandas.errors)
    )


def test_a_summary_tells_what_the_call_itself_bought(vendor: Vendor) -> None:
    client = make_client(vendor)
    first = frame(lead_ids(10)).leads.enrich(progress=False, client=client)
    assert first.attrs["leads"]["credits_new"] == 10
    more = frame(lead_ids(30)).leads.enrich(progress=False, client=client)
    receipt = more.attrs["leads"]
    assert receipt["credits_new"] == 20
    assert receipt["bought"]["leads"] == 20
    bought = more[10:]["enrichment_status"].eq("found").sum()
    assert more.leads.summary()["credits_per_email"] == pytest.approx(20 / bought)
    again = frame(lead_ids(30)).leads.enrich(progress=False, client=client)
    assert again.attrs["leads"]["credits_new"] == 0
    assert pd.isna(again.leads.summary()["credits_per_email"])


def test_leads_that_were_enriched_before_a_start_do_not_count_as_bought_by_it(
    vendor: Vendor,
) -> None:
    # They cost nothing, so that emails would seem cheaper than they are.
    vendor.reset(world(20, enriched=range(0, 20, 2)))
    out = frame(lead_ids(20)).leads.enrich(progress=False, client=make_client(vendor))
    receipt = out.attrs["leads"]
    assert (receipt["credits_new"], receipt["bought"]["leads"]) == (10, 10)
    found = out[1::2]["enrichment_status"].eq("found").sum()
    assert receipt["bought"]["found"] == found
    assert out.leads.summary()["credits_per_email"] == pytest.approx(10 / found)


def test_what_ipython_says_of_the_accessor_names_every_call_in_lines_that_are_whole() -> None:
    leads = pd.DataFrame({"lead_id": ["a", "b"]}).leads
    assert str(leads) == "Leads of this frame: 2 rows"
    listed = re.findall(r"``(\w+)", type(leads).__doc__ or "")
    assert {name for name in dir(leads) if not name.startswith("_")} <= set(listed)
