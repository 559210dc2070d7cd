from __future__ import annotations

import json
import sqlite3
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from leads_pandas.errors import StoreError
from leads_pandas.models import Email
from leads_pandas.server.db import (
    Database,
    NoCreditsError,
    Selection,
    UnknownQueryError,
    next_reset,
)
from leads_pandas.server.leads import Lead

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FOUND = [Email("info@firm.example", 0.9, "website")]


@pytest.fixture
def open_db(tmp_path: Path) -> Iterator[Callable[..., Database]]:
    """Opens the test's database, again if wanted."""
    made: list[Database] = []

    def make(leads: int = 5, monthly: int = 100, **options: Any) -> Database:
        made.append(Database(tmp_path / "service.db", credits_per_month=monthly, **options))
        made[-1].import_leads(Lead(f"l{n}", f"{n}.example", None, "q") for n in range(leads))
        return made[-1]

    yield make
    for one in made:
        one.close()


def ids(*lead_ids: str) -> Selection:
    return Selection.of(lead_ids, None)


def queue(db: Database) -> list[str]:
    """The websites that are still to be read, in the jobs' order."""
    return [str(task.website) for job in db.unfinished() for task in db.tasks(job, 0, 1000)]


def finish(db: Database, emails: list[Email] | None = None) -> None:
    """End every running job, all leads alike."""
    for job in db.unfinished():
        for task in db.tasks(job, 0, 1000):
            db.finish([(task, FOUND if emails is None else emails)])


# Selection


def test_unknown_leads_are_left_out_and_equal_ones_count_once(
    open_db: Callable[..., Database],
) -> None:
    db = open_db()
    preview = db.preview(ids("l1", "none", "l1", "", "l1\0", "\0"))
    assert (preview.total_leads, preview.to_enrich, preview.available_credits) == (1, 1, 100)


def test_a_query_selects_all_its_leads(open_db: Callable[..., Database]) -> None:
    db = open_db()
    db.import_leads([Lead("other", "x.example", None, "r")])
    assert db.preview(Selection.of(None, "q")).total_leads == 5
    for refused in (db.preview, db.start):
        with pytest.raises(UnknownQueryError):
            refused(Selection.of(None, "none"))


def test_two_hundred_thousand_leads_are_previewed_and_started(
    open_db: Callable[..., Database],
) -> None:
    db = open_db(leads=200_000, monthly=10**6)
    wanted = Selection.of([f"l{n}" for n in range(200_000)], None)
    assert db.preview(wanted).to_enrich == 200_000
    assert db.start(wanted).leads_queued == 200_000
    assert db.preview(wanted).to_enrich == 0


# Starting


def test_a_start_reserves_one_credit_per_lead_at_once(open_db: Callable[..., Database]) -> None:
    db = open_db()
    started = db.start(ids("l3", "l1"))
    assert (started.leads_queued, started.credits_reserved) == (2, 2)
    assert db.balance().available_credits == 98
    assert queue(db) == ["3.example", "1.example"]


@pytest.mark.parametrize(("balance", "cap"), [(100, 2), (2, None), (2, 50), (100, 2.0)])
def test_a_cap_or_balance_below_the_need_takes_the_first_leads_that_fit(
    open_db: Callable[..., Database], balance: int, cap: int | None
) -> None:
    db = open_db(monthly=balance)
    finish_one = db.start(ids("l4"), 1) if balance > 2 else None
    finish(db)
    started = db.start(ids("l4", "none", "l2", "l0", "l1") if finish_one else ids("l2", "l0"), cap)
    assert started.credits_reserved == 2
    assert queue(db) == ["2.example", "0.example"]


@pytest.mark.parametrize(("balance", "cap"), [(100, 0), (0, None), (0, 5)])
def test_a_start_that_no_lead_fits_is_refused_and_changes_nothing(
    open_db: Callable[..., Database], balance: int, cap: int | None
) -> None:
    db = open_db(monthly=balance)
    with pytest.raises(NoCreditsError):
        db.start(ids("l1"), cap)
    assert db.active_jobs() == []
    assert db.transactions(10, 0)[1] == 1


def test_leads_that_are_enriched_or_running_are_not_started_again(
    open_db: Callable[..., Database],
) -> None:
    db = open_db()
    db.start(ids("l0"))
    finish(db)
    db.start(ids("l1"))
    preview = db.preview(ids("l0", "l1", "l2"))
    assert (preview.total_leads, preview.already_enriched, preview.to_enrich) == (3, 1, 1)
    assert db.start(ids("l0", "l1", "l2")).credits_reserved == 1
    assert db.balance().used_credits == 3


def test_a_start_of_nothing_new_is_an_empty_job_that_is_complete(
    open_db: Callable[..., Database],
) -> None:
    db = open_db(monthly=0)
    started = db.start(ids("none"))
    assert (started.leads_queued, started.credits_reserved) == (0, 0)
    status = db.status(started.job_id)
    assert status is not None
    assert (status.status, status.progress) == ("COMPLETED", 100)
    assert db.transactions(10, 0)[1] == 1


def test_of_many_starts_at_once_one_charges_each_lead(open_db: Callable[..., Database]) -> None:
    db = open_db(leads=50)
    wanted = ids(*(f"l{n}" for n in range(50)))
    gate, queued = threading.Barrier(8), []

    def work() -> None:
        gate.wait()
        queued.append(db.start(wanted).leads_queued)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(queued) == [0] * 7 + [50]
    assert db.balance().used_credits == 50


# Results


def test_a_result_is_kept_with_its_time(open_db: Callable[..., Database]) -> None:
    db = open_db(clock=lambda: 1_777_980_180.0)
    db.start(ids("l0"))
    finish(db)
    lead = db.lead("l0")
    assert lead is not None
    assert lead.emails == tuple(FOUND)
    assert lead.enriched_at == datetime(2026, 5, 5, 11, 23, tzinfo=UTC)


def test_a_lead_without_an_email_is_enriched_all_the_same(
    open_db: Callable[..., Database],
) -> None:
    db = open_db()
    started = db.start(ids("l0", "l1"))
    finish(db, [])
    lead, status = db.lead("l0"), db.status(started.job_id)
    assert lead is not None
    assert lead.emails == ()
    assert lead.enriched_at is not None
    assert status is not None
    assert (status.processed_leads, status.found_emails) == (2, 0)
    assert db.balance().used_credits == 2


def test_a_known_lead_is_not_yet_enriched_and_an_unknown_one_is_none(
    open_db: Callable[..., Database],
) -> None:
    db = open_db()
    lead = db.lead("l0")
    assert lead is not None
    assert (lead.emails, lead.enriched_at) == ((), None)
    assert db.lead("none") is None
    assert db.status("none") is None


def test_the_progress_counts_leads_and_is_100_only_at_the_end(
    open_db: Callable[..., Database],
) -> None:
    db = open_db(leads=300, monthly=300)
    started = db.start(Selection.of(None, "q"))
    seen = []
    (job,) = db.unfinished()
    db.begin(job)
    for task in db.tasks(job, 0, 1000):
        db.finish([(task, FOUND)])
        status = db.status(started.job_id)
        assert status is not None
        seen.append((status.status, status.progress, status.processed_leads))
    assert [seen[0], *seen[298:]] == [
        ("PROCESSING", 0, 1),
        ("PROCESSING", 99, 299),
        ("COMPLETED", 100, 300),
    ]


def test_a_result_counts_once_however_often_it_is_recorded(
    open_db: Callable[..., Database],
) -> None:
    db = open_db()
    started = db.start(ids("l0", "l1"))
    task = db.tasks(db.unfinished()[0], 0, 1)[0]
    assert [db.finish([(task, FOUND)]), db.finish([(task, [])]), db.finish([(task, None)])] == [
        set()
    ] * 3
    status, lead = db.status(started.job_id), db.lead("l0")
    assert status is not None
    assert status.processed_leads == 1
    assert lead is not None
    assert lead.emails == tuple(FOUND)


def test_what_a_job_could_not_look_at_is_paid_back_and_free_again(
    open_db: Callable[..., Database],
) -> None:
    db = open_db()
    started = db.start(ids("l0", "l1", "l2"))
    first, second, third = db.tasks(db.unfinished()[0], 0, 10)
    db.finish([(first, FOUND)])
    db.finish([(second, None)])
    assert db.finish([(third, None)])
    status = db.status(started.job_id)
    assert status is not None
    assert (status.status, status.processed_leads, status.progress) == ("COMPLETED", 1, 100)
    assert db.balance().used_credits == 1
    assert db.preview(ids("l0", "l1", "l2")).to_enrich == 2
    assert [(one.type, one.amount) for one in db.transactions(2, 0)[0]] == [
        ("REFUND", 2),
        ("DEDUCTION", -3),
    ]


def test_a_free_job_costs_nothing_and_books_nothing(open_db: Callable[..., Database]) -> None:
    db = open_db(monthly=0)
    assert db.start(ids("l0", "l1"), price=0).leads_queued == 2
    for task in db.tasks(db.unfinished()[0], 0, 10):
        db.finish([(task, None)])
    assert db.balance().used_credits == 0
    assert db.transactions(10, 0)[1] == 1


# Leads


def test_importing_twice_changes_nothing_but_brings_websites_up_to_date(
    open_db: Callable[..., Database],
) -> None:
    db = open_db()
    db.start(ids("l0"))
    finish(db)
    db.import_leads([Lead("l0", "new.example"), Lead("l1", "new.example", None, "q")])
    lead = db.lead("l0")
    assert lead is not None
    assert lead.emails == tuple(FOUND)
    assert db.preview(Selection.of(None, "q")).total_leads == 4
    db.start(ids("l0", "l1"))
    assert queue(db) == ["new.example"]


# Credits


def test_a_new_month_begins_at_the_accounts_day() -> None:
    def day(*parts: int) -> datetime:
        return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type,misc] # year, month, day

    assert next_reset(day(2026, 5, 5, 11), 5) == day(2026, 6, 5)
    assert next_reset(day(2026, 5, 5), 5) == day(2026, 6, 5)
    assert next_reset(day(2026, 12, 31), 28) == day(2027, 1, 28)


def test_a_new_month_gives_the_credits_back_once(open_db: Callable[..., Database]) -> None:
    now = [datetime(2026, 1, 31, 12, tzinfo=UTC).timestamp()]
    db = open_db(clock=lambda: now[0])
    db.start(ids("l0", "l1", "l2"))
    now[0] = datetime(2026, 2, 27, 23, tzinfo=UTC).timestamp()
    assert db.balance().available_credits == 97
    now[0] = datetime(2026, 4, 28, 0, tzinfo=UTC).timestamp()
    assert db.preview(ids("l0")).available_credits == 100
    balance = db.balance()
    assert (balance.reset_day, balance.last_reset_at) == (28, datetime(2026, 4, 28, tzinfo=UTC))
    assert [(one.type, one.amount) for one in db.transactions(10, 0)[0]] == [
        ("MONTHLY_RESET", 3),
        ("DEDUCTION", -3),
        ("MONTHLY_RESET", 100),
    ]


def test_a_refund_after_the_month_ended_gives_no_extra_credits(
    open_db: Callable[..., Database],
) -> None:
    now = [datetime(2026, 1, 1, tzinfo=UTC).timestamp()]
    db = open_db(clock=lambda: now[0])
    db.start(ids("l0"))
    now[0] += 40 * 86400
    assert db.balance().available_credits == 100
    db.finish([(db.tasks(db.unfinished()[0], 0, 1)[0], None)])
    assert db.balance().available_credits == 100


# The file


def test_what_is_known_survives_and_a_file_keeps_its_credits(
    open_db: Callable[..., Database],
) -> None:
    first = open_db()
    key = first.add_key()
    first.start(ids("l0", "l1"))
    first.finish([(first.tasks(first.unfinished()[0], 0, 1)[0], FOUND)])
    first.close()
    again = open_db(monthly=5)
    assert again.knows_key(key)
    assert again.balance().available_credits == 98
    assert queue(again) == ["1.example"]


def test_only_the_hash_of_a_key_is_in_the_file(
    open_db: Callable[..., Database], tmp_path: Path
) -> None:
    db = open_db()
    key = db.add_key()
    assert db.knows_key(key)
    assert not db.knows_key(key[:-1])
    assert not db.knows_key("ll_\udcff")
    db.close()
    written = b"".join(file.read_bytes() for file in tmp_path.glob("service.db*"))
    assert key.encode() not in written
    assert bytes.fromhex(key[3:]) not in written


def test_a_second_service_on_the_same_file_is_refused(
    open_db: Callable[..., Database], tmp_path: Path
) -> None:
    open_db()
    with pytest.raises(StoreError, match="another service has"):
        Database(tmp_path / "service.db")


@pytest.mark.parametrize(
    "content", [b"lead_id,website\n" * 100, b"SQLite format 3\x00" + b"\xff" * 500]
)
def test_a_file_that_is_no_database_is_refused_and_left_alone(
    tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "leads.csv"
    file.write_bytes(content)
    for _ in range(2):
        with pytest.raises(StoreError, match="cannot be opened"):
            Database(file)
    assert file.read_bytes() == content


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE theirs (x)")
    other.close()
    with pytest.raises(StoreError, match="another program's database"):
        Database(tmp_path / "other.db")


def test_a_file_of_a_newer_version_is_refused(
    open_db: Callable[..., Database], tmp_path: Path
) -> None:
    open_db().close()
    file = sqlite3.connect(tmp_path / "service.db")
    file.execute("PRAGMA user_version = 99")
    file.close()
    with pytest.raises(StoreError, match="written by a newer version"):
        Database(tmp_path / "service.db")


FILES = sorted((Path(__file__).parent / "files").glob("version*.sql"))


@pytest.mark.parametrize("dump", FILES, ids=lambda dump: dump.stem)
def test_a_file_of_every_version_opens_and_its_job_goes_on(tmp_path: Path, dump: Path) -> None:
    file = sqlite3.connect(tmp_path / "service.db")
    file.executescript(dump.read_text(encoding="utf-8"))
    file.close()
    db = Database(tmp_path / "service.db", clock=lambda: 1_777_980_180.0)
    try:
        known = db.lead("l0")
        assert known is not None
        assert known.emails == tuple(FOUND)
        assert queue(db) == ["1.example", "2.example"]
        first, second = db.tasks(db.unfinished()[0], 0, 10)
        assert db.finish([(first, FOUND), (second, None)])
        assert (db.balance().used_credits, db.preview(ids("l0", "l1", "l2")).to_enrich) == (2, 1)
    finally:
        db.close()


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be opened"):
        Database(tmp_path / "file" / "service.db")


def test_a_closed_database_says_so(open_db: Callable[..., Database]) -> None:
    db = open_db()
    db.close()
    db.close()
    with pytest.raises(StoreError, match="is closed"):
        db.lead("l0")


def test_a_write_that_fails_leaves_nothing_behind(open_db: Callable[..., Database]) -> None:
    db = open_db()
    lead: Any = Lead("new", website=json)  # type: ignore[arg-type] # what SQLite cannot hold
    with pytest.raises(sqlite3.Error):
        db.import_leads([Lead("good"), lead])
    assert db.lead("good") is None
    db.import_leads([Lead("good")])
    assert db.lead("good") is not None
