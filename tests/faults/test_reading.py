"""Polls and reads that go wrong: nothing is lost, nothing is read much more than once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import leads_pandas as lp
from tests.support.harness import (
    assert_never_twice,
    frame,
    has_email,
    lead_ids,
    make_client,
    rows,
    until_done,
    whole,
    world,
)

if TYPE_CHECKING:
    import pandas as pd

    from tests.support.harness import Vendor

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("quick_retries")]

N = 60
HTML = "<html><body><h1>Bad gateway</h1></body></html>"
ERROR = {"success": False, "error": "Something broke"}
NOT_FOUND = {"success": False, "error": "Not found"}


def enrich(vendor: Vendor, ids: list[str], **options: Any) -> pd.DataFrame:
    settings: dict[str, Any] = {"progress": False, "client": make_client(vendor, timeout=0.7)}
    return lp.enrich(frame(ids), **(settings | options))


def finish(vendor: Vendor, ids: list[str]) -> dict[str, Any]:
    assert rows(until_done(lambda: enrich(vendor, ids))) == whole(ids)
    counts = assert_never_twice(vendor, leads=len(ids))
    assert counts["starts"] == 1
    return counts


COMMON: dict[str, dict[str, Any]] = {
    "500": {"do": "answer", "status": 500, "body": ERROR},
    "502 html": {"do": "answer", "status": 502, "body": HTML},
    "503 retry-after": {
        "do": "answer",
        "status": 503,
        "body": HTML,
        "headers": {"Retry-After": "1"},
    },
    "closed": {"do": "close"},
    "reset": {"do": "reset"},
    "hang": {"do": "hang"},
    "cut": {"do": "cut"},
    "429": {"do": "answer", "status": 429, "body": ERROR},
    "429 seconds": {"do": "answer", "status": 429, "body": ERROR, "headers": {"Retry-After": "1"}},
    "429 date in the past": {
        "do": "answer",
        "status": 429,
        "body": ERROR,
        "headers": {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"},
    },
    "429 nonsense": {
        "do": "answer",
        "status": 429,
        "body": ERROR,
        "headers": {"Retry-After": "a while"},
    },
    "broken json": {"do": "answer", "status": 200, "raw": '{"success": true, "data": {"lea'},
    "html": {"do": "answer", "status": 200, "body": HTML},
    "not success": {"do": "answer", "status": 200, "body": ERROR},
    "a list": {"do": "answer", "status": 200, "body": {"success": True, "data": []}},
    "null": {"do": "answer", "status": 200, "body": {"success": True, "data": None}},
    "nothing": {"do": "answer", "status": 200, "raw": ""},
    "408": {"do": "answer", "status": 408, "body": ERROR},
}

STATUS: dict[str, dict[str, Any]] = {
    "a text for a number": {"do": "patch", "patch": {"processedLeads": "many"}},
    "a negative number": {"do": "patch", "patch": {"processedLeads": -1}},
    "no status": {"do": "patch", "drop": ["status"]},
    "another job": {"do": "patch", "patch": {"jobId": "enrich_of_somebody_else"}},
    "404 once": {"do": "answer", "status": 404, "body": NOT_FOUND},
    "unknown status": {"do": "patch", "patch": {"status": "PAUSED"}},
    "progress backwards": {"do": "patch", "patch": {"progress": 1, "processedLeads": 1}},
    "more than all": {"do": "patch", "patch": {"progress": 400, "processedLeads": 10 * N}},
}

LEAD: dict[str, dict[str, Any]] = {
    "emails a text": {"do": "patch", "patch": {"emails": "info@x.example"}},
    "emails null": {"do": "patch", "patch": {"emails": None}},
    "an email without address": {"do": "patch", "patch": {"emails": [{"confidence": 1}]}},
    "confidence of 94": {"do": "patch", "patch": {"emails": [{"email": "a@b", "confidence": 94}]}},
    "a wrong date": {"do": "patch", "patch": {"enrichedAt": "yesterday"}},
    "a date of another type": {"do": "patch", "patch": {"enrichedAt": 1_700_000_000}},
    "another lead": {"do": "patch", "patch": {"leadId": "somebody else"}},
    "no emails": {"do": "patch", "drop": ["emails"]},
}


@pytest.mark.parametrize("fault", (COMMON | STATUS).values(), ids=COMMON | STATUS)
def test_a_poll_that_goes_wrong_loses_nothing(fault: dict[str, Any], vendor: Vendor) -> None:
    vendor.reset(N, job_seconds=0.7)
    vendor.rules({"on": "status", "nth": 2} | fault)
    finish(vendor, lead_ids(N))


@pytest.mark.parametrize("fault", (COMMON | LEAD).values(), ids=COMMON | LEAD)
def test_a_read_that_goes_wrong_loses_nothing(fault: dict[str, Any], vendor: Vendor) -> None:
    vendor.reset(world(N, enriched=range(10)), job_seconds=0.4)
    vendor.rules({"on": "lead", "nth": 15, "times": 2} | fault)
    finish(vendor, lead_ids(N))


@pytest.mark.parametrize("on", ["preview", "status", "lead"])
def test_three_failures_in_a_row_are_outlasted(on: str, vendor: Vendor) -> None:
    vendor.reset(N, job_seconds=0.4)
    vendor.rules(
        {"on": on, "do": "reset"},
        {"on": on, "do": "answer", "status": 503, "body": HTML},
        {"on": on, "do": "answer", "status": 500, "body": ERROR},
    )
    finish(vendor, lead_ids(N))


def test_a_status_never_heard_of_is_an_error_and_not_an_endless_poll(vendor: Vendor) -> None:
    vendor.reset(N, job_seconds=0.3)
    vendor.rules({"on": "status", "do": "patch", "patch": {"status": "PAUSED"}, "times": -1})
    with pytest.raises(lp.LeadsError) as caught:
        enrich(vendor, lead_ids(N), timeout=20)
    assert not isinstance(caught.value, lp.JobTimeoutError)
    assert "PAUSED" in str(caught.value)
    assert caught.value.run is not None
    vendor.rules()
    finish(vendor, lead_ids(N))


def test_a_service_that_is_down_while_the_job_runs_is_no_loss(vendor: Vendor) -> None:
    vendor.reset(N, job_seconds=0.5)
    vendor.rules({"on": "status", "vanish": True})
    with pytest.raises(lp.LeadsError) as caught:
        enrich(vendor, lead_ids(N))
    assert caught.value.run is not None
    assert "leads_pandas.resume(" in str(caught.value)
    vendor.act(listen=True)
    finish(vendor, lead_ids(N))


@pytest.mark.parametrize("order", ["sent", "reversed", "shuffled"])
@pytest.mark.parametrize("unread", ["404", "empty"])
def test_leads_may_be_processed_in_any_order(order: str, unread: str, vendor: Vendor) -> None:
    vendor.reset(world(120, enriched=range(0, 120, 9)), job_seconds=1.0, order=order, unread=unread)
    finish(vendor, lead_ids(120))


@pytest.mark.parametrize("unread", ["404", "empty"])
def test_a_lead_that_says_not_yet_after_its_job_is_read_again(unread: str, vendor: Vendor) -> None:
    vendor.reset(N, job_seconds=0.3, unread=unread, not_yet={"lead001": 2, "lead007": 1})
    finish(vendor, lead_ids(N))


def test_an_answer_not_yet_is_never_stored_as_a_result(vendor: Vendor) -> None:
    vendor.reset(N, job_seconds=None, unread="empty")
    with pytest.raises(lp.JobTimeoutError):
        enrich(vendor, lead_ids(N), timeout=0.5)
    have = lp.results(frame(lead_ids(N)), refresh=True, client=make_client(vendor))
    assert (have["enrichment_status"] == "not_enriched").all()
    vendor.act(advance=1)
    assert rows(until_done(lambda: enrich(vendor, lead_ids(N)))) == whole(lead_ids(N))


def test_reads_refused_for_one_lead_keep_all_the_others(vendor: Vendor) -> None:
    vendor.reset(N, job_seconds=0.3)
    down = {"on": "lead", "lead": "lead005", "do": "answer", "status": 422, "body": ERROR}
    vendor.rules(down | {"times": -1})
    with pytest.raises(lp.LeadsError):
        enrich(vendor, lead_ids(N))
    have = rows(lp.results(frame(lead_ids(N)), client=make_client(vendor)))
    expected = whole(lead_ids(N))
    assert {k: v for k, v in have.items() if v == expected[k]}.keys() == expected.keys() - {
        "lead005"
    }
    partial = enrich(vendor, lead_ids(N), partial=True)
    assert rows(partial)["lead005"] == [None, "failed"]
    vendor.rules()
    finish(vendor, lead_ids(N))


def test_a_key_that_is_revoked_in_the_middle_stops_at_once_and_loses_nothing(
    vendor: Vendor,
) -> None:
    vendor.reset(N, job_seconds=0.3)
    revoked = {"statusCode": 401, "error": "Unauthorized", "message": "Invalid or expired token"}
    vendor.rules(
        {"on": "lead", "nth": 20, "times": -1, "do": "answer", "status": 401, "body": revoked}
    )
    with pytest.raises(lp.AuthenticationError) as caught:
        enrich(vendor, lead_ids(N))
    assert caught.value.run is not None
    assert sum(vendor.counts["reads"].values()) <= 30
    vendor.rules()
    finish(vendor, lead_ids(N))


@pytest.mark.parametrize("retry_after", ["seconds", "date", None])
def test_a_limit_that_the_client_does_not_know_costs_time_and_nothing_else(
    retry_after: str | None, vendor: Vendor
) -> None:
    vendor.reset(40, job_seconds=0.2, limit=25, window=1.0, retry_after=retry_after)
    finish(vendor, lead_ids(40))


def test_every_address_is_as_the_service_gave_it(vendor: Vendor) -> None:
    odd = "O'Brien+<b>$x$</b>\u202e@exämple.example"
    vendor.reset({"lead001": {"emails": [{"email": odd, "confidence": 1, "source": ""}]}})
    out = enrich(vendor, ["lead001"])
    assert out["email"].tolist() == [odd]
    assert out["confidence"].tolist() == [1.0]
    assert out["source"].isna().all()


def test_three_leads_of_four_are_found(vendor: Vendor) -> None:
    vendor.reset(N, job_seconds=0.1)
    out = enrich(vendor, lead_ids(N))
    assert out["email"].notna().tolist() == [has_email(n) for n in range(N)]
