"""A start that goes wrong in every way it can, with its job running or gone afterwards."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest
import requests.adapters
import urllib3.connection
import urllib3.util.connection

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

    from tests.support.harness import Vendor

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("quick_retries")]

N = 30

HTML = "<html><body><h1>Bad gateway</h1></body></html>"
ERROR = {"success": False, "error": "Something broke"}

# Faults that leave open what became of the start: name -> how the vendor behaves.
IN_DOUBT: dict[str, dict[str, Any]] = {
    "closed": {"do": "close"},
    "reset": {"do": "reset"},
    "read timeout": {"do": "hang"},
    "500 json": {"do": "answer", "status": 500, "body": ERROR},
    "500 html": {"do": "answer", "status": 500, "body": HTML},
    "502 html": {"do": "answer", "status": 502, "body": HTML},
    "503 json": {"do": "answer", "status": 503, "body": ERROR},
    "503 retry-after": {
        "do": "answer",
        "status": 503,
        "body": HTML,
        "headers": {"Retry-After": "1"},
    },
    "504 html": {"do": "answer", "status": 504, "body": HTML},
    "200 broken json": {"do": "answer", "status": 200, "raw": '{"success": true, "data": {"jobI'},
    "200 html": {"do": "answer", "status": 200, "body": HTML},
    "200 not success": {"do": "answer", "status": 200, "body": ERROR},
    "200 no data": {"do": "answer", "status": 200, "body": {"success": True}},
    "204": {"do": "answer", "status": 204, "raw": ""},
    "307": {
        "do": "answer",
        "status": 307,
        "body": "",
        "headers": {"Location": "/api/v1/elsewhere"},
    },
    "307 to itself": {
        "do": "answer",
        "status": 307,
        "body": "",
        "headers": {"Location": "/api/v1/enrichment/start"},
    },
    "400 html": {"do": "answer", "status": 400, "body": HTML},
    "403 html": {"do": "answer", "status": 403, "body": HTML},
    "408": {"do": "answer", "status": 408, "body": ERROR},
    "409": {"do": "answer", "status": 409, "body": ERROR},
    "500 a list": {"do": "answer", "status": 500, "body": []},
    "429": {"do": "answer", "status": 429, "body": ERROR},
    "429 seconds": {"do": "answer", "status": 429, "body": ERROR, "headers": {"Retry-After": "1"}},
    "429 date": {
        "do": "answer",
        "status": 429,
        "body": ERROR,
        "headers": {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"},
    },
}

# Faults of the answer alone, which cannot come before the job is made.
BENT: dict[str, dict[str, Any]] = {
    "cut": {"do": "cut"},
    "no jobId": {"do": "patch", "drop": ["jobId"]},
    "jobId a number": {"do": "patch", "patch": {"jobId": 5}},
    "jobId empty": {"do": "patch", "patch": {"jobId": ""}},
    "jobId null": {"do": "patch", "patch": {"jobId": None}},
    "no leadsQueued": {"do": "patch", "drop": ["leadsQueued"]},
    "creditsReserved a text": {"do": "patch", "patch": {"creditsReserved": "30"}},
}

# Clear refusals: nothing was made, the claims are released, and the caller hears of it.
REFUSED: dict[str, tuple[dict[str, Any], type[lp.LeadsError]]] = {
    "402": ({"status": 402, "body": ERROR}, lp.InsufficientCreditsError),
    "422": ({"status": 422, "body": ERROR}, lp.APIError),
    "401": (
        {"status": 401, "body": {"statusCode": 401, "error": "Unauthorized", "message": "No"}},
        lp.AuthenticationError,
    ),
    "403": ({"status": 403, "body": ERROR}, lp.AuthenticationError),
}


def enrich(vendor: Vendor, ids: list[str], **options: Any) -> pd.DataFrame:
    return lp.enrich(
        frame(ids), client=make_client(vendor, timeout=1.0), **({"progress": False} | options)
    )


def finish(vendor: Vendor, ids: list[str]) -> dict[str, Any]:
    """Call the same line until it is done, and hold what must hold."""
    out = until_done(lambda: enrich(vendor, ids, max_credits=len(ids)))
    assert rows(out) == whole(ids)
    total = vendor.counts["total"]
    assert rows(enrich(vendor, ids)) == whole(ids)
    assert vendor.counts["total"] == total
    return assert_never_twice(vendor, leads=len(ids))


@pytest.mark.parametrize("fault", IN_DOUBT.values(), ids=IN_DOUBT)
def test_a_start_in_doubt_that_made_no_job_is_sent_again_once(
    fault: dict[str, Any], vendor: Vendor
) -> None:
    vendor.reset(N, job_seconds=0.3)
    vendor.rules({"on": "start"} | fault)
    counts = finish(vendor, lead_ids(N))
    assert counts["fired"] == [1]
    assert counts["starts"] == 2
    assert counts["spent"] == N


@pytest.mark.parametrize("lead_count", ["sent", "queued"])
@pytest.mark.parametrize("aftermath", ["running", "gone"])
@pytest.mark.parametrize("fault", (IN_DOUBT | BENT).values(), ids=IN_DOUBT | BENT)
def test_a_start_in_doubt_that_made_its_job_is_not_sent_again(
    fault: dict[str, Any], aftermath: str, lead_count: str, vendor: Vendor
) -> None:
    vendor.reset(world(N, enriched=[3, 4, 5]), lead_count=lead_count, job_seconds=1.5)
    vendor.rules(
        {"on": "start", "when": "after", "fate": "instant" if aftermath == "gone" else None} | fault
    )
    counts = finish(vendor, lead_ids(N))
    assert counts["fired"] == [1]
    assert counts["starts"] == 1
    assert counts["spent"] == N - 3


@pytest.mark.parametrize("missing", [["jobs"], ["transactions", "balance"], ["preview"]])
@pytest.mark.parametrize("aftermath", ["running", "gone"])
def test_what_evidence_is_left_never_lets_a_lead_be_charged_twice(
    aftermath: str, missing: list[str], vendor: Vendor
) -> None:
    vendor.reset(N, job_seconds=0.8)
    rules: list[dict[str, Any]] = [
        {
            "on": "start",
            "when": "after",
            "do": "close",
            "fate": "instant" if aftermath == "gone" else None,
        }
    ]
    if missing == ["preview"]:
        # The price is asked once; it is afterwards that the endpoint is gone.
        rules.append(
            {"on": "preview", "nth": 2, "times": 8, "do": "answer", "status": 404, "body": ERROR}
        )
        missing = []
    vendor.set(missing=missing)
    vendor.rules(*rules)
    with_faults = finish(vendor, lead_ids(N))
    assert with_faults["starts"] == 1


@pytest.mark.parametrize(("fault", "error"), REFUSED.values(), ids=REFUSED)
def test_a_refused_start_releases_its_claims(
    fault: dict[str, Any], error: type[lp.LeadsError], vendor: Vendor
) -> None:
    vendor.reset(N, job_seconds=0.3)
    vendor.rules({"on": "start", "do": "answer"} | fault)
    with pytest.raises(error):
        enrich(vendor, lead_ids(N))
    # Another frame may buy the same leads at once: nothing is held back.
    assert rows(enrich(vendor, lead_ids(5))) == whole(lead_ids(5))
    counts = finish(vendor, lead_ids(N))
    assert counts["starts"] == 3


def test_a_start_throttled_again_and_again_is_made_once(vendor: Vendor) -> None:
    vendor.reset(N, job_seconds=0.3)
    throttled = {"do": "answer", "status": 429, "body": ERROR, "headers": {"Retry-After": "0"}}
    vendor.rules({"on": "start", "times": 3} | throttled)
    counts = finish(vendor, lead_ids(N))
    assert counts["starts"] == 4
    assert counts["spent"] == N


def test_two_doubts_in_a_row_are_settled_one_after_the_other(vendor: Vendor) -> None:
    vendor.reset(N, job_seconds=0.3)
    vendor.rules(
        {"on": "start", "do": "close"},
        {"on": "start", "do": "reset", "when": "after", "fate": "instant"},
    )
    counts = finish(vendor, lead_ids(N))
    assert counts["starts"] == 2
    assert counts["spent"] == N


# -- what never left this machine -------------------------------------------------------------


class Unplugged:
    """Lets connections fail, but only those that a start is about to use.

    The path of a request is not known where connections are made, so the adapter is listened to:
    this is the one fault that the vendor's process cannot play, since it never hears of it.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: Callable[[], OSError]) -> None:
        self.left = 1
        self.fired = 0
        self._starting = False
        send = requests.adapters.HTTPAdapter.send
        connect = urllib3.util.connection.create_connection

        def listen(adapter: Any, request: Any, *arguments: Any, **options: Any) -> Any:
            self._starting = str(request.url).endswith("/start")
            try:
                return send(adapter, request, *arguments, **options)
            finally:
                self._starting = False

        def fail(*arguments: Any, **options: Any) -> Any:
            if self._starting and self.left:
                self.left -= 1
                self.fired += 1
                raise error()
            return connect(*arguments, **options)

        monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", listen)
        monkeypatch.setattr(urllib3.util.connection, "create_connection", fail)


NEVER_LEFT: dict[str, Callable[[], OSError]] = {
    "refused": lambda: ConnectionRefusedError(111, "Connection refused"),
    "unreachable": lambda: OSError(101, "Network is unreachable"),
    "name not resolved": lambda: socket.gaierror(-2, "Name or service not known"),
    "connect timeout": lambda: TimeoutError("timed out"),
}


@pytest.mark.parametrize("error", NEVER_LEFT.values(), ids=NEVER_LEFT)
@pytest.mark.parametrize("times", [1, 4])
def test_a_start_that_never_left_this_machine_is_made_once(
    times: int,
    error: Callable[[], OSError],
    vendor: Vendor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vendor.reset(N, job_seconds=0.3)
    unplugged = Unplugged(monkeypatch, error)
    unplugged.left = times
    counts = finish(vendor, lead_ids(N))
    assert unplugged.fired == times, "a start went over a connection that was already open"
    assert counts["starts"] == 1


def test_a_start_goes_over_a_fresh_connection(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    unplugged = Unplugged(monkeypatch, lambda: ConnectionRefusedError(111, "Connection refused"))
    finish(vendor, lead_ids(N))
    assert unplugged.fired == 1


def test_a_service_that_goes_away_after_the_price_is_paid_once_it_is_back(vendor: Vendor) -> None:
    vendor.reset(N, job_seconds=0.3)
    vendor.rules({"on": "preview", "vanish": True})
    with pytest.raises(lp.LeadsError):
        enrich(vendor, lead_ids(N))
    vendor.act(listen=True)
    counts = finish(vendor, lead_ids(N))
    assert counts["starts"] == 1


@pytest.mark.parametrize("do", ["close", "reset", "hang"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_service_that_goes_away_in_the_middle_of_a_start_is_paid_once_it_is_back(
    when: str, do: str, vendor: Vendor
) -> None:
    vendor.reset(N, job_seconds=0.3)
    vendor.rules({"on": "start", "when": when, "do": do, "vanish": True})
    with pytest.raises(lp.StartOutcomeUnknown):
        enrich(vendor, lead_ids(N))
    vendor.act(listen=True)
    counts = finish(vendor, lead_ids(N))
    assert counts["starts"] == (1 if when == "after" else 2)


def test_a_service_that_goes_away_after_the_start_is_paid_once_it_is_back(vendor: Vendor) -> None:
    vendor.reset(N, job_seconds=0.3)
    vendor.rules({"on": "start", "vanish": True})
    with pytest.raises(lp.LeadsError) as caught:
        enrich(vendor, lead_ids(N))
    assert caught.value.run is not None
    assert "leads_pandas.resume(" in str(caught.value)
    vendor.act(listen=True)
    counts = finish(vendor, lead_ids(N))
    assert counts["starts"] == 1
