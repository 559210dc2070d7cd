"""Starts whose fate no evidence settles: asked about, never guessed."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import pytest

import leads_pandas as lp
from tests.support.harness import (
    assert_never_twice,
    frame,
    lead_ids,
    make_client,
    rows,
    until_done,
    whole,
)

if TYPE_CHECKING:
    import pandas as pd

    from tests.support.harness import Vendor

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("quick_retries")]

N = 30
ERROR = {"success": False, "error": "Something broke"}

# No jobs, no balance, no transactions, and no preview after the one that gave the price.
BLIND: list[dict[str, Any]] = [
    {"on": "preview", "nth": 2, "times": -1, "do": "answer", "status": 404, "body": ERROR},
    {"on": "lead", "times": -1, "do": "answer", "status": 404, "body": ERROR},
]
NO_ENDPOINTS = ["jobs", "balance", "transactions"]


def enrich(vendor: Vendor, ids: list[str], *, settle: float | None = 0.5) -> pd.DataFrame:
    client = make_client(vendor, settle=settle, timeout=1.0)
    return lp.enrich(frame(ids), progress=False, client=client)


def blind(vendor: Vendor, start: dict[str, Any]) -> lp.StartOutcomeUnknown:
    """A start that goes wrong where nothing can be seen."""
    vendor.set(missing=NO_ENDPOINTS)
    vendor.rules({"on": "start"} | start, *BLIND)
    with pytest.raises(lp.StartOutcomeUnknown) as caught:
        enrich(vendor, lead_ids(N))
    assert vendor.counts["starts"] == 1
    return caught.value


def see(vendor: Vendor) -> None:
    """Give the evidence back."""
    vendor.set(missing=[])
    vendor.rules()


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("do", ["close", "reset", "hang"])
def test_without_evidence_no_second_start_is_made_until_there_is_some(
    do: str, when: str, vendor: Vendor
) -> None:
    vendor.reset(N, job_seconds=0.2)
    error = blind(vendor, {"do": do, "when": when})
    assert error.run is not None
    assert str(error.run.id) in str(error)
    assert "resolve(" in str(error)
    for _ in range(2):
        with pytest.raises(lp.StartOutcomeUnknown):
            enrich(vendor, lead_ids(N))
    assert vendor.counts["starts"] == 1
    see(vendor)
    out = until_done(lambda: enrich(vendor, lead_ids(N)))
    assert rows(out) == whole(lead_ids(N))
    counts = vendor.counts
    assert counts["starts"] == (2 if when == "before" else 1)
    assert set(counts["charges"].values()) == {1}


def test_a_doubt_keeps_other_frames_from_the_same_leads(vendor: Vendor) -> None:
    vendor.reset(N, job_seconds=0.2)
    blind(vendor, {"do": "close", "when": "after"})
    with pytest.raises(lp.LeadsError):
        enrich(vendor, lead_ids(N)[5:10])
    assert vendor.counts["starts"] == 1


def test_a_doubt_says_everything_a_person_needs(vendor: Vendor) -> None:
    vendor.reset(N, job_seconds=0.2)
    error = blind(vendor, {"do": "close", "when": "after"})
    text = str(error)
    assert str(N) in text
    assert "UTC" in text or "Z" in text or "+00:00" in text
    assert error.run is not None
    assert error.run.status().phase == "unknown"
    assert not error.run.done()
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert again.run.id == error.run.id


def test_a_person_who_knows_the_job_settles_the_doubt(vendor: Vendor) -> None:
    vendor.reset(N, job_seconds=0.2)
    error = blind(vendor, {"do": "close", "when": "after"})
    assert error.run is not None
    see(vendor)
    error.run.resolve(job_id="enrich_1")
    assert rows(error.run.result(timeout=120)) == whole(lead_ids(N))
    assert rows(enrich(vendor, lead_ids(N))) == whole(lead_ids(N))
    assert assert_never_twice(vendor, leads=N)["starts"] == 1


def test_a_person_who_knows_that_it_never_started_settles_the_doubt(vendor: Vendor) -> None:
    vendor.reset(N, job_seconds=0.2)
    error = blind(vendor, {"do": "close", "when": "before"})
    assert error.run is not None
    see(vendor)
    error.run.resolve(not_started=True)
    assert rows(until_done(lambda: enrich(vendor, lead_ids(N)))) == whole(lead_ids(N))
    counts = vendor.counts
    assert counts["starts"] == 2
    assert set(counts["charges"].values()) == {1}


@pytest.mark.parametrize("arguments", [{}, {"job_id": "x", "not_started": True}, {"job_id": ""}])
def test_a_doubt_is_settled_one_way_or_the_other(arguments: dict[str, Any], vendor: Vendor) -> None:
    vendor.reset(N, job_seconds=0.2)
    error = blind(vendor, {"do": "close", "when": "before"})
    assert error.run is not None
    with pytest.raises((TypeError, ValueError)):
        error.run.resolve(**arguments)


LAG = 0.4
LAGS = ["jobs_lag", "count_lag", "lead_lag", "balance_lag"]


@pytest.mark.parametrize("late", [*([one] for one in LAGS), LAGS], ids=" ".join)
def test_a_service_that_shows_things_late_is_not_asked_to_start_twice(
    late: list[str], vendor: Vendor
) -> None:
    vendor.reset(N, job_seconds=0.8, **dict.fromkeys(late, LAG))
    vendor.rules({"on": "start", "do": "close", "when": "after"})
    out = until_done(lambda: enrich(vendor, lead_ids(N), settle=1.0))
    assert rows(out) == whole(lead_ids(N))
    counts = vendor.counts
    assert counts["starts"] == 1
    assert set(counts["charges"].values()) == {1}


@pytest.fixture
def short_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a time to settle, evidence is looked for during a minute: make that half a second."""
    for module in ("evidence", "doubt"):
        monkeypatch.setattr(f"leads_pandas.money.{module}.BLIND", 0.5)


def test_with_no_time_to_settle_absence_is_never_concluded(
    vendor: Vendor, short_look: None
) -> None:
    vendor.reset(N, job_seconds=0.2)
    vendor.rules({"on": "start", "do": "close"})
    for _ in range(2):
        with pytest.raises(lp.StartOutcomeUnknown):
            enrich(vendor, lead_ids(N), settle=None)
    assert vendor.counts["starts"] == 1
    out = until_done(lambda: enrich(vendor, lead_ids(N)))
    assert rows(out) == whole(lead_ids(N))
    assert assert_never_twice(vendor, leads=N)["starts"] == 2


@pytest.mark.parametrize("instant", [True, False])
def test_with_no_time_to_settle_evidence_that_it_ran_is_used(
    instant: bool, vendor: Vendor, short_look: None
) -> None:
    vendor.reset(N, job_seconds=0.8)
    vendor.rules(
        {"on": "start", "when": "after", "do": "close", "fate": "instant" if instant else None}
    )
    out = until_done(lambda: enrich(vendor, lead_ids(N), settle=None))
    assert rows(out) == whole(lead_ids(N))
    assert assert_never_twice(vendor, leads=N)["starts"] == 1


# -- other traffic on the account -------------------------------------------------------------


def settle_by_hand(vendor: Vendor, how: dict[str, Any]) -> pd.DataFrame:
    """Call until it is done; a doubt that stays is settled by a person who knows the truth."""
    for _ in range(4):
        try:
            return enrich(vendor, lead_ids(N))
        except lp.StartOutcomeUnknown as doubt:
            assert doubt.run is not None  # noqa: PT017 - a doubt is one of two right outcomes
            doubt.run.resolve(**how)
        except lp.LeadsError:
            continue
    return enrich(vendor, lead_ids(N))


def test_a_teammates_job_of_the_same_size_is_not_mistaken_for_ours(vendor: Vendor) -> None:
    vendor.reset(N, job_seconds=0.3)
    vendor.rules({"on": "start", "do": "close", "teammate": N})
    out = settle_by_hand(vendor, {"not_started": True})
    assert rows(out) == whole(lead_ids(N))
    counts = vendor.counts
    assert set(counts["charges"].values()) == {1}
    assert counts["starts"] == 2


@pytest.mark.parametrize("instant", [True, False])
def test_our_job_is_found_beside_a_teammates_of_the_same_size(
    instant: bool, vendor: Vendor
) -> None:
    vendor.reset(N, job_seconds=1.2)
    vendor.rules(
        {
            "on": "start",
            "when": "after",
            "do": "close",
            "teammate": N,
            "fate": "instant" if instant else None,
        }
    )
    out = settle_by_hand(vendor, {"job_id": "enrich_1"})
    assert rows(out) == whole(lead_ids(N))
    assert vendor.counts["starts"] == 1
    assert set(vendor.counts["charges"].values()) == {1}


@pytest.mark.parametrize("spent", [N, 7])
def test_credits_spent_elsewhere_are_not_mistaken_for_ours(spent: int, vendor: Vendor) -> None:
    vendor.reset(N, job_seconds=0.3)
    vendor.rules({"on": "start", "do": "close", "spend": spent})
    out = settle_by_hand(vendor, {"not_started": True})
    assert rows(out) == whole(lead_ids(N))
    counts = vendor.counts
    assert set(counts["charges"].values()) == {1}
    assert counts["starts"] == 2


def test_leads_that_a_teammate_enriches_meanwhile_are_read_and_not_bought(vendor: Vendor) -> None:
    vendor.reset(N, job_seconds=0.3)
    vendor.rules({"on": "start", "do": "close", "enrich": True})
    out = until_done(lambda: enrich(vendor, lead_ids(N)))
    assert rows(out) == whole(lead_ids(N))
    counts = vendor.counts
    assert (counts["starts"], counts["charges"]) == (1, {})


def test_jobs_that_were_there_before_are_never_adopted(vendor: Vendor) -> None:
    vendor.reset(N, job_seconds=0.3)
    vendor.act(teammate=N, seconds=3.0)
    vendor.rules({"on": "start", "do": "close"})
    with pytest.warns(lp.LeadsWarning, match="mate_1"):
        out = settle_by_hand(vendor, {"not_started": True})
    assert rows(out) == whole(lead_ids(N))
    assert set(vendor.counts["charges"].values()) == {1}
    assert vendor.counts["starts"] == 2
