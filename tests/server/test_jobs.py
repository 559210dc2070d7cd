from __future__ import annotations

import logging
import sqlite3
import threading
from typing import TYPE_CHECKING, Any

import pytest

from leads_pandas.finding.finder import Finder
from leads_pandas.finding.options import SiteOptions
from leads_pandas.finding.verify import MailDomains
from leads_pandas.server.db import Database, Selection
from leads_pandas.server.jobs import Worker
from leads_pandas.server.leads import Lead

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from leads_pandas.models import JobStatus
    from tests.support.server_harness import Website


@pytest.fixture
def site(website: Callable[..., Website]) -> Website:
    """A host with a page of its own for each of 30 leads."""
    return website({f"/{n}": f"info{n}@firm.example" for n in range(30)})


@pytest.fixture
def database(tmp_path: Path, site: Website) -> Iterator[Database]:
    made = Database(tmp_path / "service.db", credits_per_month=1000)
    made.import_leads(Lead(f"l{n}", f"{site.url}/{n}", None, f"q{n // 10}") for n in range(30))
    yield made
    made.close()


@pytest.fixture
def worker(database: Database, site: Website) -> Iterator[Callable[..., Worker]]:
    made: list[Worker] = []

    def make(concurrency: int = 1) -> Worker:
        options = SiteOptions(only_origins=[site.url], concurrency=concurrency, timeout=30.0)
        made.append(Worker(database, options, MailDomains(["127.0.0.1:9"])))
        return made[-1]

    yield make
    for one in made:
        one.stop(10)


def query(name: str) -> Selection:
    return Selection.of(None, name)


def status_of(database: Database, job_id: str) -> JobStatus:
    status = database.status(job_id)
    assert status is not None
    return status


def read(site: Website) -> list[str]:
    """The pages that were asked for, in their order."""
    return [path[1:] for path in site.seen if path != "/robots.txt"]


def test_a_job_is_worked_off_in_the_order_sent(
    database: Database, worker: Callable[..., Worker], site: Website
) -> None:
    ours = worker()
    ours.start()
    started = database.start(Selection.of(["l7", "l3", "l21", "l0"], None))
    ours.look()
    assert ours.wait(started.job_id, 10)
    assert read(site) == ["7", "3", "21", "0"]


def test_a_small_job_does_not_wait_for_a_large_one(
    database: Database, worker: Callable[..., Worker], site: Website
) -> None:
    large, small = database.start(query("q0")), database.start(Selection.of(["l20", "l21"], None))
    ours = worker()
    ours.start()
    assert ours.wait(large.job_id, 10)
    assert ours.wait(small.job_id, 10)
    assert read(site)[:5] == ["0", "20", "1", "21", "2"]


def test_a_site_that_breaks_the_reading_stops_no_other_and_is_paid_back(
    database: Database,
    worker: Callable[..., Worker],
    site: Website,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    real = Finder.look

    def look(self: Finder, website: str, deadline: float) -> Any:
        if website.endswith("/3"):
            raise ZeroDivisionError
        return real(self, website, deadline)

    monkeypatch.setattr(Finder, "look", look)
    started = database.start(query("q0"))
    ours = worker(3)
    ours.start()
    assert ours.wait(started.job_id, 10)
    status = status_of(database, started.job_id)
    assert (status.status, status.processed_leads) == ("COMPLETED", 10)
    assert database.balance().used_credits == 9
    assert database.preview(query("q0")).to_enrich == 1
    assert f"a website could not be processed: '{site.url}/3'" in caplog.text
    assert ours.unread == (1, 0, f"{site.url}/3: ZeroDivisionError")


@pytest.mark.parametrize("answer", [410, 503])
def test_what_could_not_be_looked_at_costs_nothing_and_is_looked_at_again(
    database: Database,
    worker: Callable[..., Worker],
    site: Website,
    answer: int,
) -> None:
    site.pages["/4"] = (answer, {}, "")
    ours = worker()
    ours.start()
    started = database.start(query("q0"))
    ours.look()
    assert ours.wait(started.job_id, 10)
    assert (database.balance().used_credits, database.preview(query("q0")).to_enrich) == (9, 1)
    lead = database.lead("l4")
    assert lead is not None
    assert (lead.enriched_at is None) == (answer == 503)
    site.pages["/4"] = "info4@firm.example"
    again = database.start(query("q0"))
    ours.look()
    assert ours.wait(again.job_id, 10)
    assert (again.credits_reserved, database.balance().used_credits) == (1, 10)
    lead = database.lead("l4")
    assert lead is not None
    assert [one.email for one in lead.emails] == ["info4@firm.example"]


def test_a_lead_without_a_website_costs_nothing(
    database: Database, worker: Callable[..., Worker]
) -> None:
    database.import_leads([Lead("none"), Lead("blank", "  ")])
    wanted = Selection.of(["none", "l1", "blank"], None)
    assert database.preview(wanted).estimated_credits == 1
    started = database.start(wanted, 1)
    assert (started.leads_queued, started.credits_reserved) == (3, 1)
    ours = worker()
    ours.start()
    assert ours.wait(started.job_id, 10)
    status = status_of(database, started.job_id)
    assert (status.status, status.processed_leads, status.found_emails) == ("COMPLETED", 3, 1)
    assert database.balance().used_credits == 1
    assert database.preview(wanted).already_enriched == 3


def test_what_is_unfinished_goes_on_with_another_worker_and_nothing_is_done_twice(
    database: Database, worker: Callable[..., Worker], site: Website
) -> None:
    reached = threading.Event()

    def hanging(handler: Any) -> None:
        reached.set()
        site.released.wait()

    site.pages["/4"] = hanging
    started = database.start(query("q0"))
    first = worker()
    first.start()
    assert reached.wait()
    assert first.stop(10)
    site.pages["/4"] = "info4@firm.example"
    second = worker()
    second.start()
    assert second.wait(started.job_id, 10)
    assert read(site) == ["0", "1", "2", "3", "4", "4", "5", "6", "7", "8", "9"]
    assert database.balance().used_credits == 10


def test_waiting_for_a_job_ends_with_the_time_allowed(
    database: Database, worker: Callable[..., Worker]
) -> None:
    started = database.start(query("q0"))
    assert not worker().wait(started.job_id, 0.01)
    assert not worker().wait("none", 0.01)


@pytest.mark.parametrize("method", ["finish", "tasks"])
def test_a_disk_that_is_full_for_a_while_is_waited_for(
    database: Database,
    worker: Callable[..., Worker],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    method: str,
) -> None:
    monkeypatch.setattr("leads_pandas.server.jobs._RETRY_SECONDS", 0.01)
    real, troubles = getattr(database, method), list[int]()

    def full(*args: Any) -> Any:
        if len(troubles) < 3:
            troubles.append(1)
            raise sqlite3.OperationalError("database or disk is full")
        return real(*args)

    monkeypatch.setattr(database, method, full)
    started = database.start(query("q0"))
    ours = worker()
    with caplog.at_level(logging.ERROR):
        ours.start()
        assert ours.wait(started.job_id, 10)
    assert caplog.text.count("disk is full") == 3
    assert status_of(database, started.job_id).processed_leads == 10
