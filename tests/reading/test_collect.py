"""Polls and reads: early where it is safe, durable one by one, and every lead comes to its end."""

from __future__ import annotations

import random
import sqlite3
import weakref
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from leads_pandas import LeadsClient
from leads_pandas.errors import AuthenticationError, ServerError
from leads_pandas.models import Email, LeadEnrichment, LeadResult
from leads_pandas.pace.wait import Late
from leads_pandas.reading.collect import Collector, read_result
from leads_pandas.store import Store
from leads_pandas.store.journal import _pack
from tests.support import in_memory
from tests.support.in_memory import Service
from tests.support.leadsapi import Fault, known

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from leads_pandas.store.journal import Op

IDS = [f"lead{n:02d}" for n in range(40)]
FOUND = Email("a@b.example", 0.5, "website")
WHEN = datetime(2026, 5, 5, 11, 23, tzinfo=UTC)


class Desk:
    """A store with started ops, and a collector over the model of the service."""

    def __init__(self, service: Service, folder: Path) -> None:
        self.service = service
        self.client = LeadsClient(
            "ll_" + "3" * 64, "https://service.example", requests_per_minute=0, settle=20.0
        )
        self.store = Store(folder, self.client.host, self.client.account)
        weakref.finalize(self, self.store.close)  # open to the end, it warns from Python 3.13 on
        self.seen: list[str] = []
        self.collector = self.new()

    def new(self, seconds: float | None = None) -> Collector:
        """A collector, as each round of a run makes one."""
        return Collector(
            self.client.within(self.client.wait.within(seconds)),
            self.store,
            report=lambda _: None,
            seen=lambda lead, _: self.seen.append(lead),
        )

    def started(self, ids: list[str], *, balance: int | None = None, **fields: Any) -> Op:
        """An op whose job the service has, where a balance is given as far as that goes."""
        self.service.balance = self.service.balance if balance is None else balance
        job = self.client.start(ids)
        number = len(self.store.journal.runs())
        self.store.journal.add_run(f"run{number}", ids, partial=False, preview=None)
        op_id = f"op{number}"
        known = sum(one in self.service.leads for one in ids)
        sizes = {"to_enrich": known, "estimate": known}
        assert self.store.journal.claim(f"run{number}", op_id, ids, **sizes)
        usual = {
            "job_id": job.job_id,
            "leads_queued": job.leads_queued,
            "credits_reserved": job.credits_reserved,
        }
        assert self.store.journal.move(op_id, ("planned",), "started", **(usual | fields))
        op = self.store.journal.op(op_id)
        assert op is not None
        return op

    def collect(self, op: Op, needed: Iterable[str] | None = None) -> Collector:
        """Drive one op to its end."""
        self.service.clock.limit()
        self.collector = self.new()
        self.collector.collect([self.collector.of(op, needed)])
        return self.collector

    def statuses(self, ids: list[str]) -> dict[str, str]:
        """What came of each lead, as a frame would tell it."""
        answers = self.store.results.answers(ids, self.collector.outcomes)
        found: list[Any] = answers["enrichment_status"].to_pylist()
        return dict(zip(ids, found, strict=True))

    def state(self, op: Op) -> str:
        found = self.store.journal.op(op.id)
        assert found is not None
        return found.state


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    model = Service(known(IDS))
    in_memory.install(monkeypatch, model)
    return model


@pytest.fixture
def desk(service: Service, tmp_path: Path) -> Desk:
    return Desk(service, tmp_path)


# -- what an answer says ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("emails", "when", "job_running", "status"),
    [
        ((FOUND,), WHEN, True, "found"),
        ((FOUND,), WHEN, False, "found"),
        ((), WHEN, True, "not_found"),
        ((), WHEN, False, "not_found"),
        ((), None, True, None),
        ((), None, False, None),
        ((FOUND,), None, True, None),
        ((FOUND,), None, False, "found"),
    ],
)
def test_an_answer_is_a_result_once_the_lead_is_enriched(
    emails: tuple[Email, ...], when: datetime | None, job_running: bool, status: str | None
) -> None:
    result = read_result(LeadEnrichment("lead", emails, when), job_running=job_running)
    assert (result and result.status) == status


def test_a_moment_is_kept_to_the_microsecond() -> None:
    late = datetime(2286, 11, 20, 17, 46, 39, 999_999, tzinfo=UTC)
    result = read_result(LeadEnrichment("lead", (), late), job_running=False)
    assert result is not None
    assert result.enriched_at == 9_999_999_999_999_999


# -- reading while the job runs --------------------------------------------------------------------


def test_leads_are_read_while_their_job_runs(desk: Desk) -> None:
    desk.service.job_seconds = 20.0
    early: list[int] = []

    def count(endpoint: str, _: str, __: object) -> None:
        if desk.service.clock.now < 1000.0 + 19.0 and endpoint == "lead":
            early.append(1)

    desk.service.watchers.append(count)
    desk.collect(desk.started(IDS))
    assert len(early) > len(IDS) / 2
    assert set(desk.statuses(IDS).values()) == {"found"}
    assert sum(desk.service.reads.values()) <= 1.1 * len(IDS)


@pytest.mark.parametrize("unread", ["404", "empty"])
def test_a_job_that_takes_its_leads_in_another_order_costs_two_wrong_guesses(
    desk: Desk, unread: Any
) -> None:
    desk.service.order = "reversed"
    desk.service.unread = unread
    desk.service.job_seconds = 20.0
    desk.collect(desk.started(IDS))
    assert set(desk.statuses(IDS).values()) == {"found"}
    assert sum(desk.service.reads.values()) <= len(IDS) + 2


def test_progress_that_is_never_told_only_means_that_reading_begins_at_the_end(desk: Desk) -> None:
    op = desk.started(IDS)
    desk.service.faults.append(Fault("status", "500", times=3))
    desk.collect(op)
    assert desk.service.reads == dict.fromkeys(IDS, 1)


def test_each_result_is_durable_before_anything_else_is_asked_or_told(desk: Desk) -> None:
    lost: list[object] = []

    def kept() -> set[str]:
        db = sqlite3.connect(desk.store.path)
        found = {row[0] for row in db.execute("SELECT lead_id FROM results")}
        db.close()
        return found

    def watch(endpoint: str, _: str, __: object) -> None:
        lost.extend(set(desk.seen) - kept())
        if endpoint == "lead":
            lost.extend(one for one in desk.service.reads if one not in kept())

    op = desk.started(IDS)
    desk.service.clock.now += 10.0
    desk.service.watchers.append(watch)
    desk.collect(op)
    assert lost == []
    assert sorted(desk.seen) == IDS


def test_an_op_ends_with_its_job_and_gives_its_claims_back(desk: Desk) -> None:
    op = desk.started(IDS)
    desk.collect(op)
    assert desk.state(op) == "done"
    assert desk.store.journal.claims_on(IDS) == {}


def test_what_the_store_holds_is_not_read_again(desk: Desk) -> None:
    op = desk.started(IDS)
    desk.store.results.save([(one, LeadResult("not_found")) for one in IDS[:30]])
    desk.store.results.save([(IDS[30], LeadResult("unknown_lead"))])
    desk.collect(op)
    assert desk.service.reads == dict.fromkeys(IDS[30:], 1)


def test_the_leads_that_are_needed_come_first_and_the_rest_is_left_to_its_owner(desk: Desk) -> None:
    op = desk.started(IDS)
    desk.service.clock.now += 60.0
    desk.service.watchers.append(lambda *_: None)
    desk.collect(op, needed=IDS[-3:])
    assert list(desk.service.reads)[:3] == IDS[-3:]
    assert set(desk.seen) >= set(IDS[-3:])


# -- leads that need no job ------------------------------------------------------------------------


def test_reading_stops_when_as_many_as_are_enriched_have_been_found(
    desk: Desk, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixed = random.Random(seed)
    enriched = sorted(mixed.sample(IDS, 5))
    desk.service.enriched = dict.fromkeys(enriched, 0.0)
    inline = {"clock": desk.service.clock, "shuffle": mixed}
    pool = type("Pool", (in_memory.InlinePool,), inline)
    monkeypatch.setattr("leads_pandas.reading.collect.Pool", pool)
    desk.collector = desk.new()
    desk.collector.collect([desk.collector.free(IDS, expect=5)])
    found = desk.statuses(IDS)
    assert [one for one, status in found.items() if status == "found"] == enriched
    assert set(found.values()) == {"found", "not_enriched"}
    # Never more are under way than may still be found.
    assert sum(desk.service.reads.values()) <= IDS.index(enriched[-1]) + 5
    assert desk.service.reads.total() == len(desk.service.reads)


def test_where_none_is_enriched_none_is_read(desk: Desk) -> None:
    desk.collector.collect([desk.collector.free(IDS, expect=0)])
    assert desk.service.reads == {}
    assert set(desk.statuses(IDS).values()) == {"not_enriched"}


def test_a_lead_read_for_free_that_does_not_show_is_not_enriched(desk: Desk) -> None:
    desk.collector.collect([desk.collector.free(IDS[:3])])
    assert set(desk.statuses(IDS[:3]).values()) == {"not_enriched"}
    assert desk.store.results.known(IDS[:3]) == {}


# -- leads that do not show after their job --------------------------------------------------------


def test_leads_that_the_preview_leaves_out_are_unknown_soon(desk: Desk) -> None:
    ids = [*IDS[:3], "ghost0", "ghost1"]
    op = desk.started(ids)
    desk.service.clock.now += 60.0
    began = desk.service.clock.now
    desk.collect(op)
    assert desk.statuses(ids) == dict.fromkeys(IDS[:3], "found") | dict.fromkeys(
        ["ghost0", "ghost1"], "unknown_lead"
    )
    assert desk.store.results.known(["ghost0"]) == {"ghost0": "unknown_lead"}
    assert desk.service.clock.now - began < 2.0
    assert desk.collector.errors == []


@pytest.mark.parametrize("unread", ["404", "empty"])
@pytest.mark.parametrize("lag", [0.5, 5.0, 29.0])
def test_a_lead_that_shows_within_thirty_seconds_is_found(
    desk: Desk, lag: float, unread: Any
) -> None:
    desk.service.unread = unread
    desk.service.lag = {IDS[1]: lag}
    op = desk.started(IDS[:3])
    desk.service.job_seconds = 0.0
    desk.collect(op)
    assert set(desk.statuses(IDS[:3]).values()) == {"found"}


def test_a_lead_counted_as_enriched_that_never_shows_failed_and_is_not_unknown(desk: Desk) -> None:
    desk.service.lag = {IDS[1]: 1e9}
    op = desk.started(IDS[:3])
    began = desk.service.clock.now
    desk.collect(op)
    assert desk.statuses(IDS[:3]) == {IDS[0]: "found", IDS[1]: "failed", IDS[2]: "found"}
    assert desk.store.results.known([IDS[1]]) == {}
    assert 30.0 <= desk.service.clock.now - began < 45.0
    assert desk.service.reads[IDS[1]] <= 8
    assert desk.state(op) == "done"


def left_over(desk: Desk, **fields: Any) -> Op:
    """A job that has ended, without having enriched the last lead that it was sent."""
    op = desk.started(IDS[:2], **fields)
    db = sqlite3.connect(desk.store.path, isolation_level=None)
    db.execute("INSERT INTO claims VALUES (?, ?)", (IDS[9], op.id))
    db.execute("UPDATE ops SET lead_ids = ?", (_pack([*IDS[:2], IDS[9]]),))
    db.close()
    fresh = desk.store.journal.op(op.id)
    assert fresh is not None
    return fresh


def test_a_lead_that_the_service_counts_is_failed_after_thirty_seconds_of_404_and_not_settled(
    desk: Desk,
) -> None:
    op = left_over(desk)
    began = desk.service.clock.now
    desk.collect(op)
    assert desk.statuses([IDS[9]]) == {IDS[9]: "failed"}
    assert desk.store.results.known([IDS[9]]) == {}
    assert desk.service.clock.now - began >= 30.0


def test_a_lead_that_was_bought_is_never_unknown_though_the_count_leaves_it_out(
    desk: Desk,
) -> None:
    op = desk.started(IDS[:3])
    desk.service.clock.now += 60.0
    desk.service.advance()
    del desk.service.leads[IDS[1]]  # deleted by the service after it was paid for
    desk.collect(op)
    assert desk.statuses(IDS[:3]) == {IDS[0]: "found", IDS[1]: "failed", IDS[2]: "found"}
    assert desk.store.results.known([IDS[1]]) == {}


def test_unknown_leads_beside_one_that_is_slow_to_show_are_told_apart(desk: Desk) -> None:
    ids = [*IDS[:5], "ghost0", "ghost1", "ghost2"]
    desk.service.lag = {IDS[1]: 5.0}
    op = desk.started(ids)
    desk.collect(op)
    assert desk.statuses(ids) == dict.fromkeys(IDS[:5], "found") | dict.fromkeys(
        ids[5:], "unknown_lead"
    )


def test_a_lead_that_no_job_was_started_for_is_settled_where_both_answers_say_so(
    desk: Desk,
) -> None:
    desk.service.enriched = dict.fromkeys(IDS[:10], 0.0)
    ids = [*IDS[:20], "ghost0", "ghost1"]
    desk.collector.collect([desk.collector.free(ids, expect=10)])
    assert desk.statuses(ids) == (
        dict.fromkeys(IDS[:10], "found")
        | dict.fromkeys(IDS[10:20], "not_enriched")
        | dict.fromkeys(ids[20:], "unknown_lead")
    )
    assert desk.store.results.known(ids[20:]) == dict.fromkeys(ids[20:], "unknown_lead")
    # The leads that are known and not bought are not asked for one by one.
    assert desk.service.reads.total() == 12
    assert desk.service.requests["preview"] <= 8


def test_a_stored_address_is_not_lost_where_a_refresh_finds_its_lead_gone(desk: Desk) -> None:
    desk.store.results.save([("gone", LeadResult("found", (FOUND,), 1))])
    desk.collector.collect([desk.collector.free(["gone"])])
    assert desk.store.results.known(["gone"]) == {"gone": "found"}


def test_what_has_become_durable_since_the_price_is_not_read_again(desk: Desk) -> None:
    desk.service.enriched = dict.fromkeys(IDS[:10], 0.0)
    desk.store.results.save([(one, LeadResult("not_found")) for one in IDS[:8]])
    desk.collector.collect([desk.collector.free(IDS[:12], expect=10)])
    assert desk.service.reads == dict.fromkeys(IDS[8:10], 1)


@pytest.mark.parametrize("unread", ["404", "empty"])
@pytest.mark.parametrize("lag", [0.5, 5.0, 29.0])
def test_what_a_capped_job_bought_is_looked_for_as_long_as_of_a_whole_one(
    desk: Desk, lag: float, unread: Any
) -> None:
    desk.service.unread = unread
    desk.service.lag = {IDS[1]: lag}
    op = desk.started(IDS[:6], balance=4)
    desk.collect(op)
    assert desk.statuses(IDS[:6]) == dict.fromkeys(IDS[:4], "found") | dict.fromkeys(
        IDS[4:6], "not_enriched"
    )


def test_what_a_capped_job_bought_and_never_shows_is_failed_and_not_taken_for_unbought(
    desk: Desk,
) -> None:
    desk.service.lag = {IDS[1]: 1e9}
    op = desk.started(IDS[:6], balance=4)
    source = desk.collector.of(op)
    desk.collector.collect([source])
    assert desk.statuses(IDS[:6])[IDS[1]] == "failed"
    assert list(desk.statuses(IDS[:6]).values()).count("failed") == source.owed == 1


def test_an_op_ends_in_the_transaction_of_its_last_result(desk: Desk) -> None:
    op = desk.started(IDS)
    half: list[int] = []

    def torn(lead: str, _: LeadResult) -> None:
        held = desk.store.results.known(IDS)
        half.append(len(held) == len(IDS) and desk.state(op) != "done")

    collector = Collector(desk.client, desk.store, report=lambda _: None, seen=torn)
    collector.collect([collector.of(op)])
    assert half == [False] * len(IDS)
    assert desk.state(op) == "done"
    assert desk.store.journal.claims_on(IDS) == {}


def test_a_job_whose_leads_have_all_been_read_is_not_polled_to_its_end(desk: Desk) -> None:
    desk.service.job_seconds = 20.0
    op = desk.started(IDS)
    desk.service.clock.now += 19.9
    late: list[float] = []

    def told(endpoint: str, _: str, __: object) -> None:
        if endpoint == "status":
            late.append(desk.service.clock.now)

    desk.service.watchers.append(told)
    desk.collect(op)
    # Nothing is asked once the last lead is there.
    assert late[-1] <= desk.service.clock.now - 0.01 * len(IDS) / 2
    assert (op.state, op.job_status, desk.state(op)) == ("done", "COMPLETED", "done")


def test_a_lead_that_answers_without_a_date_for_thirty_seconds_failed(desk: Desk) -> None:
    desk.service.unread = "empty"
    op = left_over(desk)
    desk.collect(op)
    assert desk.statuses([IDS[9]]) == {IDS[9]: "failed"}
    assert desk.store.results.known([IDS[9]]) == {}


def test_a_lead_that_the_service_still_counts_is_not_unknown_after_a_job_that_was_adopted(
    desk: Desk,
) -> None:
    op = left_over(desk, credits_reserved=None)
    desk.collect(op)
    assert desk.statuses([IDS[9]]) == {IDS[9]: "failed"}
    assert desk.store.results.known([IDS[9]]) == {}


def test_where_the_balance_stopped_the_job_the_rest_is_not_enriched_at_once(desk: Desk) -> None:
    ids = IDS[:6]
    op = desk.started(ids, balance=4)
    began = desk.service.clock.now
    desk.collect(op)
    assert desk.statuses(ids) == dict.fromkeys(IDS[:4], "found") | dict.fromkeys(
        IDS[4:6], "not_enriched"
    )
    assert desk.service.clock.now - began < 10.0
    assert desk.store.results.known(IDS[4:6]) == {}


# -- jobs that fail, or are gone -------------------------------------------------------------------


def test_what_a_failed_job_found_is_kept_and_the_rest_failed_without_a_read_each(
    desk: Desk,
) -> None:
    desk.service.fates.append("failed")
    op = desk.started(IDS)
    desk.collect(op)
    found = desk.statuses(IDS)
    assert found == dict.fromkeys(IDS[:20], "found") | dict.fromkeys(IDS[20:], "failed")
    assert sum(desk.service.reads.values()) <= 20 + 4
    assert (op.state, op.job_status) == ("done", "FAILED")
    assert desk.state(op) == "done"
    assert desk.store.journal.claims_on(IDS) == {}


@pytest.mark.parametrize("seconds", [2.0, 4.0, 5.0, 6.0, 7.0])
@pytest.mark.parametrize("limited", [True, False])
def test_reads_under_way_when_a_job_falls_short_count_among_those_that_it_enriched(
    desk: Desk, limited: bool, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    class PollsFirst(in_memory.InlinePool):
        """Whatever else is under way, the answer of a poll comes first."""

        clock = desk.service.clock

        def submit(self, task: Any) -> None:
            super().submit(task)
            if task.kind == "poll":
                self._tasks.rotate(1)

    monkeypatch.setattr("leads_pandas.reading.collect.Pool", PollsFirst)
    desk.service.job_seconds = seconds
    if not limited:
        desk.service.fates.append("failed")
    op = desk.started(IDS, balance=20 if limited else None)
    desk.collect(op)
    rest = "not_enriched" if limited else "failed"
    assert desk.statuses(IDS) == dict.fromkeys(IDS[:20], "found") | dict.fromkeys(IDS[20:], rest)


def test_a_job_that_the_service_has_dropped_is_read_where_nothing_is_left_to_buy(
    desk: Desk,
) -> None:
    op = desk.started(IDS)
    desk.service.clock.now += 60.0
    desk.service.advance()
    desk.service.jobs.clear()
    desk.collect(op)
    assert set(desk.statuses(IDS).values()) == {"found"}


def test_leads_that_only_others_need_are_not_counted_as_left_out(desk: Desk) -> None:
    op = desk.started(IDS, balance=20)
    assert desk.collect(op, needed=IDS[-3:]).left_out == 3


def test_a_limited_job_that_the_service_has_dropped_is_read_too(desk: Desk) -> None:
    op = desk.started(IDS, balance=30)
    desk.service.clock.now += 60.0
    desk.service.advance()
    desk.service.jobs.clear()
    desk.collect(op)
    assert list(desk.statuses(IDS).values()) == ["found"] * 30 + ["not_enriched"] * 10


def test_a_job_that_the_service_has_dropped_is_over_when_nothing_moves_any_more(desk: Desk) -> None:
    op = desk.started(IDS)
    op.job_status = "PENDING"  # somebody has seen it
    began = desk.service.clock.now
    desk.service.jobs.clear()
    desk.collect(op)
    assert desk.service.clock.now >= began + 20.0
    assert desk.state(op) == "done"
    assert set(desk.statuses(IDS).values()) == {"failed"}


def test_a_job_that_nobody_has_ever_seen_is_in_doubt_when_nothing_moves(desk: Desk) -> None:
    op = desk.started(IDS)
    desk.service.jobs.clear()
    assert desk.collect(op).outcomes == {}
    assert desk.state(op) == "unknown"


def test_a_job_that_the_service_knows_only_after_a_while_is_waited_for(desk: Desk) -> None:
    desk.service.job_seconds = 12.0
    op = desk.started(IDS)
    desk.service.missing.add("status")

    def appear(*_: object) -> None:
        if desk.service.clock.now > 1005.0:
            desk.service.missing.discard("status")

    desk.service.watchers.append(appear)
    desk.collect(op)
    assert set(desk.statuses(IDS).values()) == {"found"}
    assert desk.state(op) == "done"


# -- reads that go wrong ---------------------------------------------------------------------------


def test_a_few_leads_that_cannot_be_read_leave_the_rest_readable(desk: Desk) -> None:
    op = desk.started(IDS)
    desk.service.clock.now += 60.0
    desk.service.faults.append(Fault("lead", "500", times=15))
    desk.collect(op)
    found = desk.statuses(IDS)
    assert found == dict.fromkeys(IDS[:3], "failed") | dict.fromkeys(IDS[3:], "found")
    assert len(desk.collector.errors) == 3
    # They were bought, and may be read another time: until then nobody starts them again.
    assert desk.state(op) == "started"
    desk.collect(op)
    assert set(desk.statuses(IDS).values()) == {"found"}
    assert desk.state(op) == "done"


def test_a_service_that_answers_no_read_is_given_up_after_five_leads(desk: Desk) -> None:
    op = desk.started(IDS)
    desk.service.clock.now += 60.0
    desk.service.faults.append(Fault("lead", "500", times=999))
    with pytest.raises(ServerError):
        desk.collect(op)
    assert len(desk.service.reads) == 0
    assert desk.service.requests["lead"] == 25
    assert desk.state(op) == "started"


def test_a_key_that_is_refused_ends_it_at_once_and_keeps_what_has_come(desk: Desk) -> None:
    op = desk.started(IDS)
    desk.service.clock.now += 60.0

    def revoke(endpoint: str, _: str, __: object) -> None:
        if desk.service.reads.total() == 7 and not desk.service.faults:
            desk.service.faults.append(Fault("lead", "401", times=999))

    desk.service.watchers.append(revoke)
    with pytest.raises(AuthenticationError):
        desk.collect(op)
    assert len(desk.store.results.known(IDS)) == 7
    assert desk.service.requests["lead"] == 8


def test_a_deadline_ends_the_wait_and_keeps_what_has_come(desk: Desk) -> None:
    desk.service.job_seconds = 100.0
    op = desk.started(IDS)
    collector = desk.new(seconds=50.0)
    began = desk.service.clock.now
    with pytest.raises(Late):
        collector.collect([collector.of(op)])
    assert desk.service.clock.now - began == pytest.approx(50.0, abs=1.0)
    assert 0 < len(desk.store.results.known(IDS)) < len(IDS)
    assert desk.state(op) == "started"


def test_several_ops_and_free_reads_are_driven_together(desk: Desk) -> None:
    first, second = desk.started(IDS[:10]), desk.started(IDS[10:20])
    desk.service.enriched |= dict.fromkeys(IDS[20:30], 0.0)
    began = desk.service.clock.now
    collector = desk.collector
    collector.collect([collector.of(first), collector.of(second), collector.free(IDS[20:30])])
    assert set(desk.statuses(IDS[:30]).values()) == {"found"}
    assert desk.service.clock.now - began < 10.0
