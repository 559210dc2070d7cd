"""Jobs that fail, take too long, are too large or run out of money; leads that nobody knows."""

from __future__ import annotations

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
    world,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from tests.support.harness import Child, Vendor

    Children = Callable[..., Child]

pytestmark = [
    pytest.mark.faults,
    pytest.mark.filterwarnings("ignore:the service does not know:leads_pandas.LeadsWarning"),
]

N = 60
ERROR = {"success": False, "error": "Something broke"}


def enrich(vendor: Vendor, ids: list[str], **options: Any) -> pd.DataFrame:
    return lp.enrich(frame(ids), progress=False, client=make_client(vendor), **options)


def have(vendor: Vendor, ids: list[str]) -> dict[str, list[str | None]]:
    return rows(lp.results(frame(ids), client=make_client(vendor)))


# -- jobs that fail ---------------------------------------------------------------------------


@pytest.mark.parametrize("refund", [True, False])
@pytest.mark.parametrize("fail_at", [0.0, 0.5])
def test_of_a_failed_job_what_it_found_is_kept_and_only_the_rest_is_started_again(
    fail_at: float, refund: bool, vendor: Vendor
) -> None:
    vendor.reset(N, job_seconds=0.4, fates=["failed"], fail_at=fail_at, refund=refund)
    ids, done = lead_ids(N), int(N * fail_at)
    with pytest.raises(lp.JobFailedError) as caught:
        enrich(vendor, ids)
    assert caught.value.run is not None
    assert "leads_pandas.resume(" in str(caught.value) or "again" in str(caught.value)
    kept = have(vendor, ids)
    assert {k: kept[k] for k in ids[:done]} == whole(ids[:done])
    assert {status for _, status in (kept[k] for k in ids[done:])} <= {"not_enriched", "failed"}

    assert rows(enrich(vendor, ids, max_credits=N - done)) == whole(ids)
    counts = vendor.counts
    assert counts["start_bodies"][1]["leadIds"] == ids[done:]
    # What the failed job left was given up: bought twice, it is had once.
    assert counts["charges"] == dict.fromkeys(ids, 1)
    assert counts["spent"] == (N if refund else 2 * N - done)
    assert sum(counts["reads"][one] for one in ids[:done]) <= done * 1.1


def test_of_a_failed_job_partial_returns_the_frame_with_statuses(vendor: Vendor) -> None:
    vendor.reset(N, job_seconds=0.4, fates=["failed"])
    ids = lead_ids(N)
    out = rows(enrich(vendor, ids, partial=True))
    assert {k: out[k] for k in ids[:30]} == whole(ids[:30])
    assert {status for _, status in (out[k] for k in ids[30:])} == {"failed"}
    assert rows(enrich(vendor, ids)) == whole(ids)
    assert vendor.counts["starts"] == 2


def test_a_start_in_doubt_whose_job_failed_at_once_is_not_paid_for_again_unasked(
    vendor: Vendor,
) -> None:
    vendor.reset(N, job_seconds=0.4)
    vendor.rules({"on": "start", "when": "after", "do": "close", "fate": "stillborn"})
    with pytest.raises((lp.StartOutcomeUnknown, lp.JobFailedError)) as caught:
        enrich(vendor, lead_ids(N))
    assert vendor.counts["starts"] == 1
    assert caught.value.run is not None
    with pytest.raises((lp.StartOutcomeUnknown, lp.JobFailedError)):
        enrich(vendor, lead_ids(N))
    assert vendor.counts["starts"] == 1


# -- jobs that take long ----------------------------------------------------------------------


def test_after_a_timeout_the_job_goes_on_and_the_same_line_resumes(vendor: Vendor) -> None:
    vendor.reset(N, job_seconds=None)
    with pytest.raises(lp.JobTimeoutError) as caught:
        enrich(vendor, lead_ids(N), timeout=0.4)
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.run is not None
    assert f'leads_pandas.resume("{caught.value.run.id}")' in str(caught.value)
    assert not caught.value.run.done()
    vendor.act(advance=1)
    assert rows(enrich(vendor, lead_ids(N))) == whole(lead_ids(N))
    assert assert_never_twice(vendor)["starts"] == 1


def test_a_run_whose_wait_ended_can_be_waited_for_again(vendor: Vendor) -> None:
    vendor.reset(N, job_seconds=None)
    run = lp.start(frame(lead_ids(N)), progress=False, client=make_client(vendor))
    for _ in range(2):
        with pytest.raises(lp.JobTimeoutError):
            run.result(timeout=0.2)
    vendor.act(advance=1)
    assert rows(run.result(timeout=120)) == whole(lead_ids(N))
    assert assert_never_twice(vendor)["starts"] == 1


# -- caps and batches -------------------------------------------------------------------------


@pytest.mark.parametrize("most", [25, 7])
def test_a_body_refused_as_too_large_is_split(most: int, vendor: Vendor) -> None:
    vendor.reset(world(N, enriched=[0, 1]), job_seconds=0.2, max_leads=most)
    assert rows(enrich(vendor, lead_ids(N), max_credits=N - 2)) == whole(lead_ids(N))
    counts = assert_never_twice(vendor)
    assert counts["spent"] == N - 2
    assert counts["starts_charged"] >= (N - 2) / most


def test_the_cap_holds_over_all_jobs_of_a_call(vendor: Vendor) -> None:
    vendor.reset(N, job_seconds=0.2, max_leads=25)
    with pytest.raises(lp.CreditCapError):
        enrich(vendor, lead_ids(N), max_credits=N - 1)
    assert vendor.counts["spent"] == 0
    out = enrich(vendor, lead_ids(N), max_credits=40, partial=True)
    assert vendor.counts["spent"] == 40
    assert (out["enrichment_status"] == "not_enriched").sum() == 20
    assert rows(enrich(vendor, lead_ids(N), max_credits=20)) == whole(lead_ids(N))
    assert assert_never_twice(vendor)["spent"] == N


@pytest.mark.parametrize("shortage", ["smaller", "refuse"])
def test_credits_that_run_out_between_two_jobs_lose_nothing_that_was_bought(
    shortage: str, vendor: Vendor
) -> None:
    vendor.reset(N, job_seconds=0.2, max_leads=30, balance=N, shortage=shortage)
    # The price has shown that the body must be split: the second start is the second job.
    vendor.rules({"on": "start", "nth": 2, "spend": 20})
    try:
        enrich(vendor, lead_ids(N))
    except lp.LeadsError as error:
        assert error.run is not None  # noqa: PT017 - whether it raises depends on the job's size
    read = [one for one in have(vendor, lead_ids(N)).values() if one[1] in ("found", "not_found")]
    assert len(read) == len(vendor.counts["charges"])
    vendor.act(spend=-100)
    out = until_done(lambda: enrich(vendor, lead_ids(N)))
    assert rows(out) == whole(lead_ids(N))
    assert_never_twice(vendor)


@pytest.mark.parametrize("shortage", ["smaller", "refuse"])
def test_credits_spent_by_others_after_the_price_do_not_overdraw(
    shortage: str, vendor: Vendor
) -> None:
    vendor.reset(N, job_seconds=0.2, balance=N, shortage=shortage)
    vendor.rules({"on": "start", "spend": 25})
    with pytest.raises(lp.LeadsError) as caught:
        enrich(vendor, lead_ids(N))
    bought = len(vendor.counts["charges"])
    assert bought == (35 if shortage == "smaller" else 0)
    read = [one for one in have(vendor, lead_ids(N)).values() if one[1] in ("found", "not_found")]
    assert len(read) == bought
    if bought:
        assert caught.value.run is not None
    vendor.act(spend=-100)
    assert rows(until_done(lambda: enrich(vendor, lead_ids(N)))) == whole(lead_ids(N))
    assert_never_twice(vendor)


def test_the_cap_counts_what_an_unfinished_run_has_reserved(
    vendor: Vendor, child: Children
) -> None:
    vendor.reset(N, job_seconds=None)
    ids = lead_ids(N)
    one = child().tell(ids[:30], do="start_idle", max_credits=30)
    assert one.result() is not None
    one.kill()
    with pytest.raises(lp.CreditCapError):
        enrich(vendor, ids, max_credits=59)
    assert vendor.counts["spent"] == 30
    vendor.set(job_seconds=0.2)
    with pytest.raises(lp.JobTimeoutError):
        enrich(vendor, ids, max_credits=60, timeout=1.0)
    vendor.act(advance=1)
    assert rows(until_done(lambda: enrich(vendor, ids, max_credits=60))) == whole(ids)
    assert assert_never_twice(vendor)["spent"] == N


def test_a_finished_run_does_not_count_against_the_cap(vendor: Vendor) -> None:
    ids = lead_ids(N)
    enrich(vendor, ids[:40], max_credits=40)
    assert rows(enrich(vendor, ids, max_credits=20)) == whole(ids)
    assert assert_never_twice(vendor)["spent"] == N


# -- leads that nobody knows ------------------------------------------------------------------


@pytest.mark.parametrize("unread", ["404", "empty"])
def test_unknown_leads_are_settled_and_not_sent_again_night_after_night(
    unread: str, vendor: Vendor
) -> None:
    vendor.reset(N, job_seconds=0.3, unread=unread)
    ids = [*lead_ids(N), "ghost-1", "ghost-2"]
    out = rows(enrich(vendor, ids))
    assert {k: out[k] for k in ids[:N]} == whole(ids[:N])
    assert [out[one] for one in ids[N:]] == [[None, "unknown_lead"]] * 2
    counts = vendor.counts
    for _ in range(3):
        assert rows(enrich(vendor, ids)) == out
    assert vendor.counts["total"] == counts["total"]
    assert_never_twice(vendor, leads=N)


def test_an_unknown_lead_is_asked_for_again_by_refresh(vendor: Vendor) -> None:
    vendor.reset(N, job_seconds=0.3)
    ids = [*lead_ids(5), "lead900"]
    assert rows(enrich(vendor, ids))["lead900"] == [None, "unknown_lead"]
    vendor.set(leads=world(N) | {"lead900": {"emails": [{"email": "late@comer.example"}]}})
    assert rows(enrich(vendor, ids))["lead900"] == [None, "unknown_lead"]
    assert rows(enrich(vendor, ids, refresh=True))["lead900"] == ["late@comer.example", "found"]


def test_a_frame_of_unknown_leads_alone_costs_nothing(vendor: Vendor) -> None:
    out = enrich(vendor, ["ghost-1", "ghost-2"])
    assert set(out["enrichment_status"]) <= {"not_enriched", "unknown_lead"}
    counts = vendor.counts
    assert (counts["starts_charged"], counts["spent"]) == (0, 0)


@pytest.mark.parametrize("unread", ["404", "empty"])
def test_a_lead_that_stays_unread_after_its_job_is_failed_and_not_bought_again(
    unread: str, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Such a lead is looked at again for half a minute: make that half a second.
    monkeypatch.setattr("leads_pandas.reading.collect._LOOKS", (0.1, 0.2, 0.5))
    vendor.reset(N, job_seconds=0.3, unread=unread, not_yet={"lead005": -1})
    ids = lead_ids(N)
    out = rows(enrich(vendor, ids, partial=True))
    assert out["lead005"] == [None, "failed"]
    assert {k: v for k, v in out.items() if k != "lead005"} == whole(
        [one for one in ids if one != "lead005"]
    )
    enrich(vendor, ids, partial=True)
    counts = vendor.counts
    assert (counts["starts"], counts["spent"]) == (1, N)
