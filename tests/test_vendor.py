"""The stand-in itself, asked with plain `requests`: a test of the package is as good as it is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.support.harness import lead_ids, world

if TYPE_CHECKING:
    from tests.support.harness import Vendor


class Asker:
    def __init__(self, vendor: Vendor) -> None:
        self.vendor = vendor
        self.session = requests.Session()
        self.session.trust_env = False

    def __call__(self, path: str, body: object = None, method: str = "") -> requests.Response:
        return self.session.request(
            method or ("GET" if body is None else "POST"),
            f"{self.vendor.base_url}/api/v1/{path}",
            json=body,
            headers={"Authorization": f"Bearer {self.vendor.key}"},
            timeout=500,
            allow_redirects=False,
        )

    def data(self, path: str, body: object = None) -> Any:
        answer = self(path, body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["success"] is True
        return answer.json()["data"]


@pytest.fixture
def ask(vendor: Vendor) -> Asker:
    return Asker(vendor)


def test_a_preview_counts_and_costs_nothing(vendor: Vendor, ask: Asker) -> None:
    vendor.reset(world(10, enriched=[1, 2]), balance=5)
    body = {"leadIds": [*lead_ids(10), "lead000", "nobody"]}
    assert ask.data("enrichment/preview", body) == {
        "totalLeads": 10,
        "alreadyEnriched": 2,
        "toEnrich": 8,
        "estimatedCredits": 8,
        "availableCredits": 5,
    }
    assert vendor.counts["balance"] == 5


def test_a_job_enriches_its_leads_in_time_and_leaves_the_list(vendor: Vendor, ask: Asker) -> None:
    vendor.reset(10, job_seconds=None)
    assert ask("enrichment/lead/lead001").status_code == 404
    job = ask.data("enrichment/start", {"leadIds": lead_ids(10)})
    assert (job["leadsQueued"], job["creditsReserved"]) == (10, 10)
    assert [one["jobId"] for one in ask.data("enrichment/jobs")] == [job["jobId"]]
    vendor.act(advance=0.5)
    status = ask.data(f"enrichment/status/{job['jobId']}")
    assert (status["status"], status["processedLeads"]) == ("PROCESSING", 5)
    assert ask.data("enrichment/lead/lead001")["emails"][1]["email"] == "best@lead001.example"
    assert ask("enrichment/lead/lead007").status_code == 404
    vendor.act(advance=1)
    assert ask.data(f"enrichment/status/{job['jobId']}")["status"] == "COMPLETED"
    assert ask.data("enrichment/jobs") == []
    assert ask.data("enrichment/lead/lead000")["enrichedAt"].endswith("Z")


def test_a_lead_of_a_running_job_is_charged_again_and_an_enriched_one_is_not(
    vendor: Vendor, ask: Asker
) -> None:
    vendor.reset(world(4, enriched=[0]), job_seconds=None)
    ask.data("enrichment/start", {"leadIds": lead_ids(3)})
    ask.data("enrichment/start", {"leadIds": lead_ids(4)})
    assert vendor.counts["charges"] == {"lead001": 2, "lead002": 2, "lead003": 1}
    vendor.act(advance=1)
    ask.data("enrichment/start", {"leadIds": lead_ids(4)})
    assert vendor.counts["spent"] == 5
    assert [one["amount"] for one in ask.data("credits/transactions?limit=1")] == [-3]
    assert ask.data("credits/balance")["availableCredits"] == 995


def test_a_cap_below_the_need_makes_a_smaller_job_or_a_refusal(vendor: Vendor, ask: Asker) -> None:
    vendor.reset(10)
    body = {"leadIds": lead_ids(10), "maxCredits": 4}
    assert ask.data("enrichment/start", body)["creditsReserved"] == 4
    vendor.reset(10, shortage="refuse")
    assert ask("enrichment/start", body).status_code == 402
    assert vendor.counts["spent"] == 0


def test_a_wrong_key_is_told_so_in_the_second_error_body(vendor: Vendor, ask: Asker) -> None:
    key, vendor.key = vendor.key, "ll_" + "f" * 64
    answer = ask("enrichment/jobs")
    assert (answer.status_code, answer.json()["statusCode"]) == (401, 401)
    assert vendor.counts["strangers"] == ["GET /api/v1/enrichment/jobs"]
    vendor.key = key


def test_a_path_that_no_page_names_is_kept(vendor: Vendor, ask: Asker) -> None:
    assert ask("enrichment/leads/1").status_code == 404
    assert vendor.counts["unexpected"][0].endswith("/api/v1/enrichment/leads/1")


@pytest.mark.parametrize("kind", ["seconds", "date", None])
def test_the_limit_is_an_exact_sliding_window(vendor: Vendor, ask: Asker, kind: str | None) -> None:
    vendor.reset(10, limit=3, window=0.5, retry_after=kind)
    codes = [ask("enrichment/jobs").status_code for _ in range(4)]
    assert codes == [200, 200, 200, 429]
    refused = ask("enrichment/jobs")
    assert ("Retry-After" in refused.headers) == (kind is not None)
    end = time.monotonic() + 60
    while ask("enrichment/jobs").status_code == 429:
        assert time.monotonic() < end
    assert vendor.counts["throttled"] >= 2


@pytest.mark.parametrize("do", ["close", "reset", "hang"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_start_without_an_answer_has_or_has_not_made_a_job(
    vendor: Vendor, ask: Asker, do: str, when: str
) -> None:
    vendor.rules({"on": "start", "do": do, "when": when, "seconds": 0.1})
    with pytest.raises(requests.ConnectionError):
        ask("enrichment/start", {"leadIds": lead_ids(2)})
    counts = vendor.counts
    assert (counts["starts"], counts["spent"]) == (1, 2 if when == "after" else 0)
    assert counts["fired"] == [1]


def test_answers_can_be_bent_broken_and_replaced_one_after_another(
    vendor: Vendor, ask: Asker
) -> None:
    vendor.reset(world(2, enriched=[1]))
    vendor.rules(
        {"on": "lead", "do": "answer", "status": 502, "body": "<h1>Bad gateway</h1>"},
        {"on": "lead", "do": "answer", "status": 200, "raw": '{"success": tr'},
        {"on": "lead", "do": "patch", "patch": {"emails": "none"}, "drop": ["leadId"]},
        {"on": "lead", "do": "cut"},
    )
    assert ask("enrichment/lead/lead001").headers["Content-Type"].startswith("text/html")
    assert ask("enrichment/lead/lead001").text == '{"success": tr'
    assert set(ask.data("enrichment/lead/lead001")) == {"emails", "enrichedAt"}
    with pytest.raises(requests.RequestException):
        ask("enrichment/lead/lead001")
    assert ask("enrichment/lead/lead001").status_code == 200
    assert vendor.counts["fired"] == [1, 1, 1, 1]


def test_a_lead_can_say_not_yet_after_its_job(vendor: Vendor, ask: Asker) -> None:
    vendor.reset(world(1, enriched=[0]), not_yet={"lead000": 2}, unread="empty")
    answers = [ask.data("enrichment/lead/lead000")["enrichedAt"] is None for _ in range(3)]
    assert answers == [True, True, False]


def test_a_job_can_fail_half_way(vendor: Vendor, ask: Asker) -> None:
    vendor.reset(10, job_seconds=0.0, fates=["failed"])
    job = ask.data("enrichment/start", {"leadIds": lead_ids(10)})["jobId"]
    status = ask.data(f"enrichment/status/{job}")
    assert (status["status"], status["processedLeads"]) == ("FAILED", 5)
    assert len(vendor.counts["enriched"]) == 5


def test_a_teammate_spends_and_shows_among_the_jobs(vendor: Vendor, ask: Asker) -> None:
    vendor.act(teammate=7)
    vendor.act(spend=3)
    assert [one["leadCount"] for one in ask.data("enrichment/jobs")] == [7]
    assert vendor.counts["balance"] == 990


def test_it_can_go_deaf_and_hear_again_on_the_same_port(vendor: Vendor, ask: Asker) -> None:
    vendor.rules({"on": "jobs", "vanish": True})
    assert ask("enrichment/jobs").status_code == 200
    with pytest.raises(requests.ConnectionError, match="refused"):
        ask("enrichment/jobs")
    vendor.act(listen=True)
    assert ask("enrichment/jobs").status_code == 200


def test_a_body_can_be_too_large(vendor: Vendor, ask: Asker) -> None:
    vendor.reset(10, max_leads=5)
    assert ask("enrichment/preview", {"leadIds": lead_ids(6)}).status_code == 413
    assert ask("enrichment/start", {"leadIds": lead_ids(6)}).status_code == 413
    assert ask("enrichment/start", {"leadIds": lead_ids(5)}).status_code == 200


def test_an_id_that_holds_a_slash_is_one_lead(vendor: Vendor, ask: Asker) -> None:
    leads = {"a/b?c": {"emails": [], "enriched": True}}
    vendor.reset(leads)
    assert ask.data("enrichment/lead/a%2Fb%3Fc")["leadId"] == "a/b?c"
