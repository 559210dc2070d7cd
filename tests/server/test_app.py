from __future__ import annotations

import json
import re
import socket
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import requests

from leads_pandas.contract import open_envelope
from leads_pandas.models import (
    ActiveJob,
    Balance,
    CostPreview,
    JobStatus,
    LeadEnrichment,
    StartedJob,
)
from tests.support.server_harness import Api, data

if TYPE_CHECKING:
    from collections.abc import Callable

    from leads_pandas.server import LocalServer
    from tests.support.server_harness import Website

    Service = Callable[..., tuple[LocalServer, Api]]

UNAUTHORIZED = {
    "statusCode": 401,
    "error": "Unauthorized",
    "message": "Invalid or expired token",
}
ENDPOINTS = [
    ("POST", "/enrichment/preview"),
    ("POST", "/enrichment/start"),
    ("GET", "/enrichment/status/x"),
    ("GET", "/enrichment/lead/x"),
    ("GET", "/enrichment/jobs"),
    ("GET", "/credits/balance"),
    ("GET", "/credits/transactions"),
]
SECRET = "an address that no log should show"


def leads(*websites: str, prefix: str = "l") -> list[dict[str, str]]:
    return [
        {"lead_id": f"{prefix}{n}", "website": website, "query_id": "q"}
        for n, website in enumerate(websites)
    ]


def error(response: requests.Response, status: int) -> str:
    """The message of the usual error body."""
    body = response.json()
    assert (response.status_code, set(body), body["success"]) == (
        status,
        {"success", "error"},
        False,
    )
    assert response.headers["content-type"] == "application/json"
    return str(body["error"])


# The whole way


def test_leads_are_previewed_started_polled_and_read(
    service: Service, website: Callable[..., Website]
) -> None:
    site = website({"/a": "<a href=mailto:info@firm.example>x</a>", "/b": "nothing here"})
    _, api = service(leads(f"{site.url}/a", f"{site.url}/b"), credits=10)
    preview = api.post("/enrichment/preview", json={"leadIds": ["l0", "l1", "none"]}).json()
    assert preview == {
        "success": True,
        "data": {
            "totalLeads": 2,
            "alreadyEnriched": 0,
            "toEnrich": 2,
            "estimatedCredits": 2,
            "availableCredits": 10,
        },
    }
    started = api.start(["l0", "l1", "none"])
    assert re.fullmatch(r"enrich_[0-9a-f]{20}", started["jobId"])
    assert started == {"jobId": started["jobId"], "leadsQueued": 2, "creditsReserved": 2}
    assert api.ended(started["jobId"]) == {
        "jobId": started["jobId"],
        "status": "COMPLETED",
        "progress": 100,
        "processedLeads": 2,
        "totalLeads": 2,
        "foundEmails": 1,
    }
    found, empty = (data(api.get(f"/enrichment/lead/{lead}")) for lead in ("l0", "l1"))
    sure = found["emails"][0]["confidence"]
    when = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    assert re.fullmatch(when, found["enrichedAt"])
    assert found == {
        "leadId": "l0",
        "emails": [{"email": "info@firm.example", "confidence": sure, "source": "front_page"}],
        "enrichedAt": found["enrichedAt"],
    }
    assert 0.5 < sure < 1
    assert re.fullmatch(when, empty["enrichedAt"])
    assert empty["emails"] == []
    assert api.preview(["l0", "l1"])["alreadyEnriched"] == 2
    assert api.available() == 8


def test_an_edited_website_gives_the_new_address(
    service: Service, website: Callable[..., Website]
) -> None:
    site = website({"/": "old@firm.example"})
    _, api = service(leads(f"{site.url}/", f"{site.url}/"))
    api.enrich(["l0"])
    site.pages["/"] = "new@firm.example"
    api.enrich(["l1"])
    assert [api.emails("l0"), api.emails("l1")] == [["old@firm.example"], ["new@firm.example"]]


def test_a_query_is_started_with_all_its_leads(
    service: Service, website: Callable[..., Website]
) -> None:
    site = website({"/": "info@firm.example"})
    _, api = service([*leads(site.url, site.url), {"lead_id": "other", "website": site.url}])
    assert data(api.post("/enrichment/preview", json={"queryId": "q"}))["totalLeads"] == 2
    started = data(api.post("/enrichment/start", json={"queryId": "q", "maxCredits": 50}))
    assert api.ended(started["jobId"])["processedLeads"] == 2
    assert error(api.post("/enrichment/start", json={"queryId": "none"}), 404) == "Query not found"


def test_while_a_job_runs_it_is_listed_and_its_leads_are_not_sold_again(
    service: Service, website: Callable[..., Website]
) -> None:
    site = website()
    site.pages["/"] = lambda handler: site.released.wait() and handler.answer(200, {}, "x")
    _, api = service(leads(site.url, site.url))
    started = api.start(["l0"])
    assert data(api.get("/enrichment/jobs")) == [
        {"jobId": started["jobId"], "progress": 0, "leadCount": 1, "type": "enrichment"}
    ]
    again = api.start(["l0"])
    assert (again["leadsQueued"], again["creditsReserved"]) == (0, 0)
    preview = api.preview(["l0", "l1"])
    assert (preview["totalLeads"], preview["alreadyEnriched"], preview["toEnrich"]) == (2, 0, 1)
    not_yet = data(api.get("/enrichment/lead/l0"))
    assert not_yet == {"leadId": "l0", "emails": [], "enrichedAt": None}
    site.released.set()
    api.ended(started["jobId"])
    assert data(api.get("/enrichment/jobs")) == []


def test_two_starts_of_the_same_leads_at_once_charge_once(
    service: Service, website: Callable[..., Website]
) -> None:
    site = website({"/": "info@firm.example"})
    _, api = service(leads(*[site.url] * 40))
    gate, answers = threading.Barrier(4), []

    def work() -> None:
        gate.wait()
        body = {"leadIds": [f"l{n}" for n in range(40)]}
        headers = {"Authorization": api._session.headers["Authorization"]}
        answers.append(
            data(
                requests.post(
                    f"{api.root}/enrichment/start", json=body, headers=headers, timeout=500
                )
            )
        )

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one["creditsReserved"] for one in answers) == [0, 0, 0, 40]
    assert api.available() == 100_000 - 40


# What the service says no to


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer ll_" + "0" * 64,
        "Basic bGw6eA==",
        "{key}",
        "Bearer {key}x",
        "Bearer \xff",
    ],
)
@pytest.mark.parametrize(("method", "path"), [*ENDPOINTS, ("GET", "/nowhere")])
def test_without_the_right_key_everything_is_unauthorized(
    service: Service, method: str, path: str, authorization: str | None
) -> None:
    server, api = service()
    headers: Any = {}
    if authorization is not None:
        headers = {
            "Authorization": authorization.replace("{key}", server.api_key).encode("latin-1")
        }
    answer = requests.request(method, api.root + path, headers=headers, timeout=500)
    assert (answer.status_code, answer.json()) == (401, UNAUTHORIZED)
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/enrichment/preview", "/enrichment/start"])
@pytest.mark.parametrize(
    "body", [b"", b"{", b"leadIds", b"\xff\xfe", b"[" * 100_000, b'{"leadIds": ["a"]} x']
)
def test_a_body_that_is_no_json_is_a_bad_request(service: Service, path: str, body: bytes) -> None:
    _, api = service()
    assert error(api.post(path, data=body), 400) == "The body is not valid JSON"


@pytest.mark.parametrize("path", ["/enrichment/preview", "/enrichment/start"])
@pytest.mark.parametrize(
    "body",
    [
        "[]",
        '"x"',
        "null",
        "{}",
        '{"leadIds": ["a"], "queryId": "q"}',
        '{"leadIds": []}',
        '{"leadIds": "a"}',
        '{"leadIds": [1]}',
        '{"leadIds": [""]}',
        '{"leadIds": ["\\ud800"]}',
        '{"leadIds": null}',
        '{"leadIds": ["a"], "queryId": null}',
        '{"queryId": ""}',
        '{"queryId": 7}',
        '{"leadIds": ["a"], "maxCredits": null}',
        '{"leadIds": ["a"], "maxCredits": -1}',
        '{"leadIds": ["a"], "maxCredits": 1.5}',
        '{"leadIds": ["a"], "maxCredits": "1"}',
        '{"leadIds": ["a"], "maxCredits": true}',
        '{"leadIds": ["a"], "maxCredits": NaN}',
    ],
)
def test_a_body_outside_the_contract_is_refused(service: Service, path: str, body: str) -> None:
    _, api = service(leads("x.example"))
    assert error(api.post(path, data=body), 422)
    assert api.available() == 100_000


def test_a_start_that_the_credits_do_not_cover_takes_the_first_or_is_refused(
    service: Service, website: Callable[..., Website]
) -> None:
    site = website({f"/{n}": f"a{n}@firm.example" for n in range(4)})
    _, api = service(leads(*[f"{site.url}/{n}" for n in range(4)]), credits=3)
    first = api.start(["l3", "l2", "l1", "l0"], maxCredits=1)
    assert (first["leadsQueued"], first["creditsReserved"]) == (1, 1)
    api.ended(first["jobId"])
    assert api.emails("l3") == ["a3@firm.example"]
    second = api.start(["l3", "l2", "l1", "l0"], maxCredits=10**30)
    assert second["leadsQueued"] == 2
    api.ended(second["jobId"])
    for body in ({"leadIds": ["l0"]}, {"leadIds": ["l0"], "maxCredits": 0}):
        assert "Insufficient credits" in error(api.post("/enrichment/start", json=body), 402)
    assert api.available() == 0


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/enrichment/lead/none", "Lead not found"),
        ("/enrichment/lead/l0%00", "Lead not found"),
        ("/enrichment/lead/%FF", "Lead not found"),
        ("/enrichment/status/none", "Job not found"),
        ("/nowhere", "Not Found"),
        ("/enrichment/jobs/", "Not Found"),
        ("/enrichment/", "Not Found"),
    ],
)
def test_what_is_not_there_is_not_found(service: Service, path: str, message: str) -> None:
    _, api = service(leads("x.example"))
    assert error(api.get(path), 404) == message


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_the_wrong_method_is_not_allowed(service: Service, method: str, path: str) -> None:
    _, api = service()
    answer = (api.get if method == "POST" else api.post)(path)
    assert error(answer, 405) == "Method Not Allowed"
    assert method in answer.headers["allow"]


def test_ids_with_every_kind_of_sign_can_be_read(
    service: Service, website: Callable[..., Website]
) -> None:
    site = website({"/": "info@firm.example"})
    ids = ["a/b", "a%2Fb", "a?b#c", "..%2f", "ä ö", "'; DROP TABLE leads; --", "\U0001f600", "a+b"]
    _, api = service([{"lead_id": one, "website": site.url} for one in ids])
    api.enrich(ids)
    for one in ids:
        path = quote(one, safe="")
        assert data(api.get(f"/enrichment/lead/{path}"))["leadId"] == one


def test_a_body_too_long_is_refused_whether_it_says_so_or_not(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leads_pandas.server.app.MAX_BODY", 1000)
    _, api = service()
    for body in (b"x" * 1001, iter([b"x" * 500] * 3)):
        assert "longer than 1,000 bytes" in error(api.post("/enrichment/preview", data=body), 413)
    assert error(api.post("/enrichment/preview", data=b"x" * 1000), 400)


def test_a_body_of_unbelievable_length_is_refused_before_it_comes(service: Service) -> None:
    server, _ = service()
    host, port = server.base_url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=500) as raw:
        raw.sendall(
            b"POST /api/v1/enrichment/preview HTTP/1.1\r\nHost: x\r\n"
            b"Authorization: Bearer " + server.api_key.encode() + b"\r\n"
            b"Content-Length: 999999999999\r\n\r\n"
        )
        assert raw.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_body_that_breaks_off_leaves_the_service_well(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    server, api = service()
    host, port = server.base_url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=500) as raw:
        raw.sendall(
            b"POST /api/v1/enrichment/preview HTTP/1.1\r\nHost: x\r\n"
            b"Authorization: Bearer " + server.api_key.encode() + b"\r\n"
            b"Content-Length: 100\r\n\r\n{"
        )
    assert api.available() == 100_000
    assert "failed" not in caplog.text


def test_a_fault_of_the_service_is_a_500_that_tells_nothing_and_a_log_that_tells_all(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    server, api = service()

    def broken(_: str) -> None:
        raise ZeroDivisionError(SECRET)

    server._database.lead = broken  # type: ignore[assignment] # the fault
    answer = api.get("/enrichment/lead/l0")
    assert error(answer, 500) == "Internal error"
    assert SECRET not in answer.text
    server.stop()  # the log is written after the answer
    assert "GET /api/v1/enrichment/lead/l0 failed" in caplog.text


# Credits


def test_the_balance_and_its_transactions_add_up(
    service: Service, website: Callable[..., Website]
) -> None:
    site = website({"/": "info@firm.example"})
    _, api = service(leads(*[site.url] * 7), credits=50)
    for n in range(7):
        api.enrich([f"l{n}"])
    balance = data(api.get("/credits/balance"))
    assert {name: balance[name] for name in balance if name.endswith("Credits")} == {
        "monthlyCredits": 50,
        "bonusCredits": 0,
        "usedCredits": 7,
        "availableCredits": 43,
    }
    assert 1 <= balance["resetDay"] <= 28
    body = api.get("/credits/transactions?limit=3&offset=5").json()
    assert body["meta"] == {"total": 8, "limit": 3, "offset": 5}
    assert [(one["type"], one["amount"]) for one in body["data"]] == [
        ("DEDUCTION", -1),
        ("DEDUCTION", -1),
        ("MONTHLY_RESET", 50),
    ]
    assert set(body["data"][0]) == {"id", "type", "amount", "description", "createdAt"}
    whole = api.get("/credits/transactions").json()
    assert whole["meta"] == {"total": 8, "limit": 50, "offset": 0}
    assert len({one["id"] for one in whole["data"]}) == 8
    assert sum(one["amount"] for one in whole["data"]) == balance["availableCredits"]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=-1", "limit=x", "limit=", "offset=-1", "offset=1.5"]
)
def test_a_page_of_transactions_that_cannot_be_is_refused(service: Service, query: str) -> None:
    _, api = service()
    assert "must be a whole number" in error(api.get(f"/credits/transactions?{query}"), 422)


@pytest.mark.parametrize("offset", ["1", "78489842236065464320", "9" * 5000])
def test_a_page_beyond_the_last_transaction_is_empty(service: Service, offset: str) -> None:
    _, api = service()
    body = api.get(f"/credits/transactions?limit=100&offset={offset}").json()
    assert (body["data"], body["meta"]["total"]) == ([], 1)


# The rate limit


def test_the_limit_counts_every_request_and_says_when_to_come_again(service: Service) -> None:
    now = [1000.0]
    _, api = service(requests_per_minute=3, clock=lambda: now[0])
    assert api.get("/credits/balance").status_code == 200
    assert api.get("/nowhere").status_code == 404
    assert requests.get(f"{api.root}/enrichment/jobs", timeout=500).status_code == 401
    now[0] = 1010.5
    answer = api.get("/credits/balance")
    assert "Rate limit" in error(answer, 429)
    assert answer.headers["retry-after"] == "50"
    now[0] = 1059.999
    assert api.get("/credits/balance").headers["retry-after"] == "1"
    now[0] = 1060.0
    assert [api.get("/credits/balance").status_code for _ in range(4)] == [200, 200, 200, 429]


def test_nobody_passes_the_limit_by_another_name(service: Service) -> None:
    _, api = service(requests_per_minute=1)
    api.get("/credits/balance")
    for header in ("X-Forwarded-For", "X-Real-IP", "Forwarded"):
        assert api.get("/credits/balance", headers={header: "1.2.3.4"}).status_code == 429


def test_requests_at_once_do_not_pass_the_limit(service: Service) -> None:
    server, _ = service(requests_per_minute=10)
    gate, codes = threading.Barrier(8), list[int]()

    def work() -> None:
        gate.wait()
        with Api(server.base_url, server.api_key) as mine:
            codes.extend(mine.get("/credits/balance").status_code for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (codes.count(200), codes.count(429)) == (10, 30)


# The contract


def test_every_answer_reads_as_the_clients_model_and_has_its_fields(
    service: Service, website: Callable[..., Website]
) -> None:
    site = website()
    site.pages["/"] = lambda handler: site.released.wait() and handler.answer(200, {}, "a@b.test")
    _, api = service(leads(site.url))

    def get(path: str) -> Any:
        return open_envelope(api.get(path).json())

    body = {"leadIds": ["l0"], "unknownField": 1}
    assert CostPreview.from_wire(
        open_envelope(api.post("/enrichment/preview", json=body).json())
    ) == CostPreview(1, 0, 1, 1, 100_000)
    started = StartedJob.from_wire(open_envelope(api.post("/enrichment/start", json=body).json()))
    jobs = ActiveJob.list_from_wire(get("/enrichment/jobs"))
    assert [(one.job_id, one.type, one.lead_count) for one in jobs] == [
        (started.job_id, "enrichment", 1)
    ]
    before = JobStatus.from_wire(get(f"/enrichment/status/{started.job_id}"))
    assert before.status in ("PENDING", "PROCESSING")
    site.released.set()
    api.ended(started.job_id)
    after = JobStatus.from_wire(get(f"/enrichment/status/{started.job_id}"))
    assert (after.status, after.found_emails) == ("COMPLETED", 1)
    assert LeadEnrichment.from_wire(get("/enrichment/lead/l0")).emails[0].email == "a@b.test"
    assert Balance.from_wire(get("/credits/balance")).available_credits == 99_999


def test_two_hundred_thousand_ids_are_taken_in_one_request(service: Service) -> None:
    ids = [f"cm9lead{n:08d}" for n in range(200_000)]
    _, api = service({"lead_id": one} for one in ids[:1000])
    answer = api.post("/enrichment/preview", data=json.dumps({"leadIds": ids}))
    assert data(answer)["totalLeads"] == 1000
