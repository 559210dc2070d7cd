"""`LeadsClient`: its settings and where they come from, one request per method, typed answers."""

from __future__ import annotations

import copy
import json
import pickle
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from leads_pandas import LeadsClient, set_default_client
from leads_pandas.errors import (
    ConfigurationError,
    LeadIdError,
    LeadsError,
    NotFoundError,
    ResponseError,
)
from leads_pandas.leadsapi.client import standing_cap, using, whole
from leads_pandas.models import (
    ActiveJob,
    Balance,
    CostPreview,
    Email,
    JobStatus,
    LeadEnrichment,
    StartedJob,
    Transaction,
)
from leads_pandas.pace.wait import Late, Wait
from tests.support.raw_server import RawServer, http, ok

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEY = "ll_" + "5e" * 32
URL = "https://leadsapi.postorbit.io"
PRICE = {
    "totalLeads": 3,
    "alreadyEnriched": 1,
    "toEnrich": 2,
    "estimatedCredits": 2,
    "availableCredits": 50,
}
STATUS = {
    "jobId": "j",
    "status": "PROCESSING",
    "progress": 40,
    "processedLeads": 4,
    "totalLeads": 10,
    "foundEmails": 2,
}
LEAD = {
    "leadId": "a",
    "emails": [{"email": "x@y.example", "confidence": 0.5, "source": "website"}],
    "enrichedAt": "2026-05-05T11:23:00.000Z",
}


def a_client(server: RawServer, **options: Any) -> LeadsClient:
    return LeadsClient(KEY, server.url, **({"requests_per_minute": 0, "timeout": 5.0} | options))


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("leads_pandas.leadsapi.transport._BACKOFF", 0.0)
    yield
    set_default_client(None)


def asked(server: RawServer) -> tuple[str, object]:
    """Request line and body of the one request that came."""
    assert len(server.requests) == 1
    head, _, body = server.requests[0].partition("\r\n\r\n")
    line = head.split("\r\n")[0].removesuffix(" HTTP/1.1")
    return line, json.loads(body) if body else None


# -- one method per endpoint ---------------------------------------------------------------------


def test_a_preview_posts_the_ids_and_reads_the_price() -> None:
    with RawServer(ok(PRICE | {"novel": 1})) as server:
        assert a_client(server).preview(["a", "b", "c"]) == CostPreview(3, 1, 2, 2, 50)
        assert asked(server) == (
            "POST /api/v1/enrichment/preview",
            {"leadIds": ["a", "b", "c"]},
        )


def test_a_preview_of_a_search_posts_its_id() -> None:
    with RawServer(ok(PRICE)) as server:
        a_client(server).preview(query_id="q")
        assert asked(server) == ("POST /api/v1/enrichment/preview", {"queryId": "q"})


def test_a_start_posts_the_ids_and_the_cap() -> None:
    with RawServer(ok({"jobId": "j", "leadsQueued": 2, "creditsReserved": 2})) as server:
        assert a_client(server).start(["a", "b"], max_credits=2) == StartedJob("j", 2, 2)
        assert asked(server) == (
            "POST /api/v1/enrichment/start",
            {"leadIds": ["a", "b"], "maxCredits": 2},
        )


@pytest.mark.parametrize("reply", [b"", http(500, b""), http(429, b""), http(200, b"{")])
def test_a_start_is_sent_once_whatever_comes_back(reply: bytes) -> None:
    with RawServer(reply) as server:
        with pytest.raises(LeadsError):
            a_client(server).start(["a"])
        assert len(server.requests) == 1


def test_a_status_is_read() -> None:
    with RawServer(ok(STATUS)) as server:
        assert a_client(server).status("j") == JobStatus("j", "PROCESSING", 40.0, 4, 10, 2)
        assert asked(server) == ("GET /api/v1/enrichment/status/j", None)


def test_a_lead_is_read() -> None:
    with RawServer(ok(LEAD)) as server:
        assert a_client(server).lead("a") == LeadEnrichment(
            "a", (Email("x@y.example", 0.5, "website"),), datetime(2026, 5, 5, 11, 23, tzinfo=UTC)
        )
        assert asked(server) == ("GET /api/v1/enrichment/lead/a", None)


def test_the_running_jobs_are_read() -> None:
    jobs = [
        {"jobId": "j", "progress": 5, "leadCount": 7, "type": "enrichment"},
        {"jobId": "s", "progress": None, "type": "search", "query": "dentists"},
    ]
    with RawServer(ok(jobs)) as server:
        assert a_client(server).jobs() == [
            ActiveJob("j", "enrichment", 5.0, 7, None),
            ActiveJob("s", "search", None, None, "dentists"),
        ]
        assert asked(server) == ("GET /api/v1/enrichment/jobs", None)


def test_the_balance_is_read() -> None:
    with RawServer(ok({"availableCredits": 12})) as server:
        assert a_client(server).balance() == Balance(12)
        assert asked(server) == ("GET /api/v1/credits/balance", None)


def test_the_transactions_are_read_page_by_page() -> None:
    rows = [
        {
            "id": "t2",
            "type": "DEDUCTION",
            "amount": -12,
            "description": "Lead search",
            "createdAt": "2026-05-05T11:23:00.000Z",
        },
        {"id": "t1", "type": "MONTHLY_RESET", "amount": 100},
    ]
    with RawServer(ok(rows)) as server:
        assert a_client(server).transactions(limit=2, offset=4) == [
            Transaction(
                "t2", "DEDUCTION", -12, "Lead search", datetime(2026, 5, 5, 11, 23, tzinfo=UTC)
            ),
            Transaction("t1", "MONTHLY_RESET", 100, None, None),
        ]
        assert asked(server) == ("GET /api/v1/credits/transactions?limit=2&offset=4", None)


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.preview(["a"]),
        lambda client: client.start(["a"]),
        lambda client: client.status("j"),
        lambda client: client.lead("a"),
        lambda client: client.jobs(),
        lambda client: client.balance(),
        lambda client: client.transactions(),
    ],
)
@pytest.mark.parametrize("data", [None, 5, "text", [1], {}, {"jobId": 1, "leadId": None}])
def test_data_of_another_shape_is_outside_the_contract(
    call: Callable[[LeadsClient], object], data: object
) -> None:
    with RawServer(ok(data)) as server, pytest.raises(ResponseError):
        call(a_client(server))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("status", "PAUSED"),
        ("status", None),
        ("progress", "40"),
        ("progress", 10**400),
        ("processedLeads", -1),
        ("processedLeads", 1.5),
        ("processedLeads", True),
        ("processedLeads", 10**30),
        ("totalLeads", None),
        ("jobId", "another"),
    ],
)
def test_a_status_outside_the_contract_is_an_error(field: str, value: object) -> None:
    with RawServer(ok(STATUS | {field: value})) as server, pytest.raises(ResponseError):
        a_client(server).status("j")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("leadId", "another"),
        ("emails", None),
        ("emails", {}),
        ("emails", ["x@y"]),
        ("emails", [{"email": "", "confidence": 0.5}]),
        ("emails", [{"email": "x@y", "confidence": 1.5}]),
        ("emails", [{"email": "x@y", "confidence": 10**400}]),
        ("emails", [{"email": "x@y", "confidence": "high"}]),
        ("emails", [{"email": "\ud800", "confidence": 0.5}]),
        ("enrichedAt", 5),
        ("enrichedAt", "yesterday"),
        ("enrichedAt", "9999-99-99T00:00:00Z"),
    ],
)
def test_a_lead_outside_the_contract_is_an_error(field: str, value: object) -> None:
    with RawServer(ok(LEAD | {field: value})) as server, pytest.raises(ResponseError):
        a_client(server).lead("a")


def test_a_lead_that_is_not_there_is_not_found() -> None:
    with RawServer(http(404, {"success": False, "error": "No"})) as server:
        with pytest.raises(NotFoundError):
            a_client(server).lead("a")
        assert len(server.requests) == 1


# -- IDs in paths and bodies ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lead", "segment"),
    [
        ("a b", "a%20b"),
        ("a/b", "a%2Fb"),
        ("../jobs", "..%2Fjobs"),
        ("%2e%2e", "%252e%252e"),
        ("a?b=c#d", "a%3Fb%3Dc%23d"),
        ("a+b&c", "a%2Bb%26c"),
        ("Zürich", "Z%C3%BCrich"),
        ("日本", "%E6%97%A5%E6%9C%AC"),
        ("...", "..."),
        ("a;b,c", "a%3Bb%2Cc"),
    ],
)
def test_an_id_stays_one_segment_of_its_path(lead: str, segment: str) -> None:
    with RawServer(ok(LEAD | {"leadId": lead})) as server:
        a_client(server).lead(lead)
        assert asked(server)[0] == f"GET /api/v1/enrichment/lead/{segment}"


@pytest.mark.parametrize("lead", ["", ".", "..", "a\nb", "a\x00", "a\x7f", "\ud800", 5, None])
def test_an_id_that_cannot_stand_in_a_path_is_refused_before_any_request(lead: Any) -> None:
    with RawServer(ok(LEAD)) as server:
        client = a_client(server)
        for call in (
            lambda: client.lead(lead),
            lambda: client.status(lead),
            lambda: client.preview([lead]),
            lambda: client.start(["a", lead]),
        ):
            with pytest.raises(LeadIdError):
                call()
        assert server.requests == []


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.preview(),
        lambda client: client.preview([]),
        lambda client: client.preview(["a"], "q"),
        lambda client: client.preview(query_id=""),
        lambda client: client.start(["a"], max_credits=-1),
        lambda client: client.start(["a"], max_credits=True),
        lambda client: client.start(["a"], max_credits=1.5),
        lambda client: client.start(["a"], max_credits="5"),
    ],
)
def test_wrong_arguments_are_refused_before_any_request(
    call: Callable[[LeadsClient], object],
) -> None:
    with RawServer(ok(PRICE)) as server:
        with pytest.raises(ValueError):
            call(a_client(server))
        assert server.requests == []


def test_one_string_is_not_taken_for_its_letters() -> None:
    with pytest.raises(TypeError):
        LeadsClient(KEY).preview("abc")


def test_credit_caps_are_plain_integers() -> None:
    class Numpy:
        def __index__(self) -> int:
            return 7

    assert whole("max_credits", Numpy()) == 7  # whatever counts as an integer
    assert whole("max_credits", 0) == 0


# -- settings and where they come from -----------------------------------------------------------


def test_without_a_key_there_is_no_client() -> None:
    with pytest.raises(ConfigurationError, match="LOCALLEADS_API_KEY"):
        LeadsClient()


@pytest.mark.parametrize("key", ["", "   "])
def test_a_blank_key_is_none(key: str) -> None:
    with pytest.raises(ConfigurationError):
        LeadsClient(key)


@pytest.mark.parametrize("key", ["a b", "a\nb", "schlüssel", "a\x00"])
def test_a_key_that_no_header_can_hold_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        LeadsClient(key)
    assert key not in str(caught.value)


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCALLEADS_API_KEY", f"  {KEY}\n")
    monkeypatch.setenv("LOCALLEADS_BASE_URL", "http://localhost:8000/")
    monkeypatch.setenv("LOCALLEADS_REQUESTS_PER_MINUTE", "17")
    monkeypatch.setenv("LEADS_PANDAS_ACCOUNT", " acme ")
    client = LeadsClient()
    assert client.base_url == "http://localhost:8000"
    assert client.requests_per_minute == 17
    assert client.account == "acme"
    assert client.host == "127.0.0.1:8000"


def test_arguments_come_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCALLEADS_API_KEY", "ll_other")
    monkeypatch.setenv("LOCALLEADS_BASE_URL", "http://localhost:8000/")
    monkeypatch.setenv("LOCALLEADS_REQUESTS_PER_MINUTE", "17")
    monkeypatch.setenv("LEADS_PANDAS_ACCOUNT", "acme")
    client = LeadsClient(KEY, URL, account="mine", requests_per_minute=3)
    assert (client.base_url, client.account, client.requests_per_minute) == (URL, "mine", 3)


def test_the_defaults_are_the_documented_ones() -> None:
    client = LeadsClient(KEY)
    assert (client.base_url, client.requests_per_minute, client.settle) == (URL, 100, 60.0)
    assert client.account.startswith("sha256:")
    assert KEY not in client.account


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOCALLEADS_BASE_URL", "LOCALLEADS_REQUESTS_PER_MINUTE", "LEADS_PANDAS_ACCOUNT"):
        monkeypatch.setenv(name, "")
    client = LeadsClient(KEY)
    assert (client.base_url, client.requests_per_minute) == (URL, 100)
    assert client.account.startswith("sha256:")


@pytest.mark.parametrize("value", ["many", "-1", "1.5"])
def test_a_budget_in_the_environment_that_is_no_number_is_refused(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCALLEADS_REQUESTS_PER_MINUTE", value)
    with pytest.raises(ValueError, match="LOCALLEADS_REQUESTS_PER_MINUTE"):
        LeadsClient(KEY)


@pytest.mark.parametrize(
    "options",
    [
        {"requests_per_minute": -1},
        {"requests_per_minute": 1.5},
        {"requests_per_minute": True},
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": float("nan")},
        {"timeout": "30"},
        {"timeout": True},
        {"settle": -1},
        {"settle": float("inf")},
        {"settle": "60"},
    ],
)
def test_settings_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        LeadsClient(KEY, **options)


@pytest.mark.parametrize("url", ["http://service.example", "ftp://localhost", "https://a@b"])
def test_a_base_url_that_would_leak_the_key_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        LeadsClient(KEY, url)


def test_a_client_that_could_not_be_made_has_a_repr() -> None:
    assert KEY not in repr(LeadsClient.__new__(LeadsClient))
    with pytest.raises(ValueError) as error:
        LeadsClient(KEY, settle=-1)
    frame = error.tb.tb_next
    assert frame is not None
    assert repr(frame.tb_frame.f_locals["self"])


def test_a_budget_file_is_the_same_however_the_host_is_written(home: Path) -> None:
    for url in ("http://localhost:9", "http://127.0.0.1:9/", "http://[::1]:9/x"):
        assert LeadsClient(KEY, url).pacer.estimate(1) == 0.0
    assert len(list((home / "pace").glob("*.sqlite3"))) == 1


@pytest.mark.parametrize(("text", "cap"), [(None, None), (" ", None), ("0", 0), (" 50 ", 50)])
def test_a_standing_cap_comes_from_the_environment(
    text: str | None, cap: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if text is not None:
        monkeypatch.setenv("LEADS_PANDAS_MAX_CREDITS", text)
    assert standing_cap() == cap


@pytest.mark.parametrize("text", ["-1", "1.5", "50 credits", "\u0665", "none"])
def test_a_standing_cap_that_is_no_number_is_refused(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEADS_PANDAS_MAX_CREDITS", text)
    with pytest.raises(ConfigurationError, match="LEADS_PANDAS_MAX_CREDITS"):
        standing_cap()


def test_the_same_key_is_the_same_account_and_another_is_another() -> None:
    assert LeadsClient(KEY).account == LeadsClient(f" {KEY} ").account
    assert LeadsClient(KEY).account != LeadsClient(KEY + "0").account


# -- the key -------------------------------------------------------------------------------------


def test_a_client_does_not_show_its_key() -> None:
    client = LeadsClient(KEY)
    assert KEY not in repr(client)
    assert KEY not in str(client)
    assert URL in repr(client)


@pytest.mark.parametrize("how", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_client_is_not_pickled_nor_copied(how: Callable[[object], object]) -> None:
    with pytest.raises(TypeError, match="not pickled"):
        how(LeadsClient(KEY))


# -- life ----------------------------------------------------------------------------------------


def test_making_a_client_requests_nothing_and_writes_nothing(home: Path) -> None:
    LeadsClient(KEY)
    assert not home.exists()


def test_a_closed_client_opens_again() -> None:
    with RawServer(ok({"availableCredits": 1})) as server, a_client(server) as client:
        client.balance()
        client.close()
        assert client.balance() == Balance(1)


def test_a_client_with_a_budget_keeps_it_beside_the_store(home: Path) -> None:
    with (
        RawServer(ok({"availableCredits": 1})) as server,
        a_client(server, requests_per_minute=50) as client,
    ):
        client.balance()
        files = [one.name for one in (home / "pace").iterdir()]
    assert any(one.endswith(".sqlite3") for one in files)


def test_a_twin_stops_when_its_wait_does_and_the_original_does_not() -> None:
    with RawServer(http(500, b""), http(500, b""), ok({"availableCredits": 1})) as server:
        client = a_client(server)
        stop = threading.Event()
        stop.set()
        hurried = client.within(Wait(deadline=0.0))
        with pytest.raises(Late):
            hurried.balance()
        assert client.balance() == Balance(1)


def test_the_default_client_is_the_one_that_was_set_and_stays_open() -> None:
    client = LeadsClient(KEY)
    set_default_client(client)
    with using(None) as one, using(None) as other:
        assert one is other is client


def test_a_client_that_is_given_comes_before_the_default_one() -> None:
    client = LeadsClient(KEY)
    set_default_client(LeadsClient(KEY))
    with using(client) as one:
        assert one is client


def test_without_a_default_client_each_call_has_one_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ConfigurationError), using(None):
        pass
    monkeypatch.setenv("LOCALLEADS_API_KEY", KEY)
    with using(None) as one, using(None) as other:
        assert one is not other


def test_only_a_client_can_be_the_default_one() -> None:
    with pytest.raises(TypeError):
        set_default_client("key")  # type: ignore[arg-type] # what a user may try
