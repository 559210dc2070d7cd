from __future__ import annotations

import logging
import sqlite3
import threading
from typing import TYPE_CHECKING, Any

import pytest

from leads_pandas.finding.fetch import Stopped
from leads_pandas.models import Email
from leads_pandas.server.db import Database, Selection
from leads_pandas.server.jobs import Worker
from leads_pandas.server.leads import Lead

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

FOUND = [Email("info@firm.example", 0.9, "website")]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(tmp_path / "service.db", credits_per_month=1000)
    made.import_leads(Lead(f"l{n}", f"{n}", None, f"q{n // 10}") for n in range(30))
    yield made
    made.close()


@pytest.fixture
def worker(database: Database) -> Iterator[Callable[..., Worker]]:
    made: list[Worker] = []

    def make(find: Callable[[str | None], Sequence[Email]], concurrency: int = 1) -> Worker:
        made.append(Worker(database, find, concurrency=concurrency))
        return made[-1]

    yield make
    for one in made:
        one.stop(10)


def query(name: str) -> Selection:
    return Selection.of(None, name)


def test_a_job_is_worked_off_in_the_order_sent(
    database: Database, worker: Callable[..., Worker]
) -> None:
    seen: list[str | None] = []

    def find(website: str | None) -> list[Email]:
        seen.append(website)
        return FOUND

    order = ["l7", "l3", "l21", "l0"]
    ours = worker(find)
    ours.start()
    started = database.start(Selection.of(order, None))
    ours.look()
    assert ours.wait(started.job_id, 10)
    assert seen == ["7", "3", "21", "0"]


def test_a_small_job_does_not_wait_for_a_large_one(
    database: Database, worker: Callable[..., Worker]
) -> None:
    seen: list[str | None] = []

    def find(website: str | None) -> list[Email]:
        seen.append(website)
        return []

    large, small = database.start(query("q0")), database.start(Selection.of(["l20", "l21"], None))
    ours = worker(find)
    ours.start()
    assert ours.wait(large.job_id, 10)
    assert ours.wait(small.job_id, 10)
    assert seen[:5] == ["0", "20", "1", "21", "2"]


def test_so_many_sites_are_read_at_once(database: Database, worker: Callable[..., Worker]) -> None:
    together = threading.Barrier(5)  # breaks unless five are at work

    def find(_: str | None) -> list[Email]:
        together.wait(10)
        return []

    started = database.start(query("q0"))
    ours = worker(find, concurrency=5)
    ours.start()
    assert ours.wait(started.job_id, 20)
    status = database.status(started.job_id)
    assert status is not None
    assert status.status == "COMPLETED"


def test_a_site_that_breaks_the_reading_fails_the_job_and_is_refunded(
    database: Database, worker: Callable[..., Worker], caplog: pytest.LogCaptureFixture
) -> None:
    def find(website: str | None) -> list[Email]:
        if website == "3":
            raise ZeroDivisionError
        return FOUND

    started = database.start(query("q0"))
    ours = worker(find, concurrency=3)
    ours.start()
    assert ours.wait(started.job_id, 10)
    status = database.status(started.job_id)
    assert status is not None
    assert (status.status, status.processed_leads) == ("FAILED", 9)
    assert database.balance().used_credits == 9
    assert database.preview(query("q0")).to_enrich == 1
    assert "a website could not be processed: '3'" in caplog.text


def test_what_is_unfinished_goes_on_with_another_worker_and_nothing_is_done_twice(
    database: Database, worker: Callable[..., Worker]
) -> None:
    seen: list[str | None] = []
    reached, stopped = threading.Event(), threading.Event()

    def hanging(website: str | None) -> list[Email]:
        if website == "4":
            reached.set()
            stopped.wait(10)
            raise Stopped
        seen.append(website)
        return FOUND

    def find(website: str | None) -> list[Email]:
        seen.append(website)
        return FOUND

    started = database.start(query("q0"))
    first = worker(hanging)
    first.start()
    assert reached.wait(10)
    stopped.set()
    assert first.stop(10)
    second = worker(find)
    second.start()
    assert second.wait(started.job_id, 10)
    assert seen == [str(n) for n in range(10)]
    assert database.balance().used_credits == 10


def test_a_stopped_worker_does_not_record_what_comes_late(
    database: Database, worker: Callable[..., Worker]
) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def find(_: str | None) -> list[Email]:
        reached.set()
        go_on.wait(10)
        return FOUND

    started = database.start(query("q0"))
    ours = worker(find)
    ours.start()
    assert reached.wait(10)
    assert not ours.stop(0.01)
    go_on.set()
    assert ours.stop(10)
    status = database.status(started.job_id)
    assert status is not None
    assert (status.status, status.processed_leads) == ("PROCESSING", 0)


def test_waiting_for_a_job_ends_with_the_time_allowed(
    database: Database, worker: Callable[..., Worker]
) -> None:
    started = database.start(query("q0"))
    assert not worker(lambda _: []).wait(started.job_id, 0.01)
    assert not worker(lambda _: []).wait("none", 0.01)


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
    ours = worker(lambda _: FOUND)
    with caplog.at_level(logging.ERROR):
        ours.start()
        assert ours.wait(started.job_id, 10)
    assert caplog.text.count("disk is full") == 3
    status = database.status(started.job_id)
    assert status is not None
    assert status.processed_leads == 10
