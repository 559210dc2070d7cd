"""Honest ways of charging, showing and counting that make a hasty conclusion false."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import leads_pandas as lp
from tests.money.test_hard_services import MORE, ONCE, Lagging, all_found, enrich, make
from tests.support.in_memory import Service
from tests.support.leadsapi import Fault, iso, ok, refuse

if TYPE_CHECKING:
    from tests.money.test_hard_services import Make

__all__ = ["make"]

SHOWN: list[dict[str, Any]] = [{"shows": False}, {"shows": True}, {"book": True}]


def kept_unseen(service: Service, **options: Any) -> None:
    """A start without an answer that fails unseen and keeps its charge is not sent again."""
    service.faults.append(Fault("start", "cut", "after"))
    service.fates.append("stillborn")
    sent = len(service.starts)
    with pytest.raises(lp.StartOutcomeUnknown):
        enrich(**options)
    assert len(service.starts) == sent + 1


def test_a_top_up_does_not_hide_that_an_own_charge_was_shown_before_a_start(make: Make) -> None:
    service = make(job_seconds=1.0, shows=False)
    assert all_found(enrich(ids=MORE[:6]))
    service.pay(-100, "Top-up")
    kept_unseen(service)


def test_a_balance_that_could_not_be_had_before_does_not_say_what_was_used_since(
    make: Make,
) -> None:
    service = make(job_seconds=1.0, balance_lag=50.0)
    assert all_found(enrich(ids=MORE[:6]))
    service.shows = True
    kept_unseen(service)


@pytest.mark.parametrize("shown", SHOWN)
def test_a_clock_set_back_does_not_make_an_earlier_charge_a_later_one(
    make: Make, monkeypatch: pytest.MonkeyPatch, shown: dict[str, Any]
) -> None:
    service = make(job_seconds=1.0, **shown)
    assert all_found(enrich(ids=MORE[:6]))
    passing = service.clock.time
    monkeypatch.setattr(service.clock, "time", lambda: passing() - 3600.0)
    kept_unseen(service)


@pytest.mark.parametrize("shown", SHOWN)
@pytest.mark.parametrize("cost", [13, 20])
def test_a_job_of_others_explains_what_it_costs_and_no_more(
    make: Make, shown: dict[str, Any], cost: int
) -> None:
    service = make(**shown)

    def watch(*_: object) -> None:
        if service.starts and len(service.jobs) == 1:
            service.teammate(MORE[:20], 9000.0)
            service.balance += 20 - cost
            service.moves[-1] = (service.clock.now, cost)
            service.transactions[0]["amount"] = -cost

    service.watchers.append(watch)
    kept_unseen(service)


@pytest.mark.parametrize("shown", SHOWN)
def test_a_start_whose_leads_others_enriched_may_have_cost_nothing(
    make: Make, shown: dict[str, Any]
) -> None:
    service = make(**shown)
    service.faults.append(Fault("start", "cut"))

    def watch(*_: object) -> None:
        if service.faults[0].fired:
            service.enriched.update(dict.fromkeys(MORE[:6], service.clock.now))

    service.watchers.append(watch)
    assert all_found(enrich(ids=MORE[:6]))
    kept_unseen(service)


@pytest.mark.parametrize("shown", SHOWN)
def test_the_charge_of_a_start_whose_job_nobody_saw_is_its_own(
    make: Make, shown: dict[str, Any]
) -> None:
    service = make(forgets=True, **shown)
    service.faults += [Fault("start", "cut"), Fault("start", "cut", "after", fate="instant")]
    with pytest.raises(lp.JobTimeoutError):
        enrich(timeout=5.0)
    assert all_found(enrich(ids=MORE[:4]))
    assert all_found(enrich())
    assert service.charges == ONCE | dict.fromkeys(MORE[:4], 1)


class NoList(Service):
    """The list of jobs cannot be had before the first start."""

    def active(self) -> Any:
        return super().active() if self.starts else refuse(404)


@pytest.mark.parametrize("shown", SHOWN)
@pytest.mark.parametrize("seconds", [100.0, 9000.0])
def test_a_job_that_may_have_run_before_explains_no_charge(
    make: Make, shown: dict[str, Any], seconds: float
) -> None:
    service = make(NoList, **shown)
    service.teammate(MORE[:6] if seconds < 999.0 else MORE[:9], seconds)
    kept_unseen(service)


class Resetting(Service):
    """The credits used count from the last reset on."""

    reset_at = 0.0

    def credits(self) -> Any:
        data = super().credits().body["data"]
        if self.reset_at:
            used = sum(amount for at, amount in self.moves if amount > 0 and at > self.reset_at)
            data |= {"usedCredits": used, "lastResetAt": iso(self.epoch + self.reset_at)}
        return ok(data)

    def reset(self) -> None:
        self.pay(self.balance - self.monthly, "Monthly reset")
        self.reset_at = self.clock.now


def test_a_reset_does_not_hide_that_an_own_charge_was_shown_before_a_start(make: Make) -> None:
    service = make(Resetting, job_seconds=1.0, shows=True)
    assert all_found(enrich(ids=MORE[:6]))
    service.reset()  # type: ignore[attr-defined]
    service.clock.now += 1.0
    kept_unseen(service)


def test_a_reset_does_not_hide_a_charge_of_the_moment_before(make: Make) -> None:
    service = make(Resetting, shows=True)

    def watch(*_: object) -> None:
        if service.starts and not service.reset_at:  # type: ignore[attr-defined]
            service.clock.now += 1.0
            service.reset()  # type: ignore[attr-defined]
            service.clock.now += 1.0

    service.watchers.append(watch)
    kept_unseen(service)


class AtTheEnd(Lagging):
    """Books a job when it ends; what its leads reserve is taken from the balance at once."""

    reserves = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.due: dict[str, int] = {}

    def pay(self, amount: int, words: str) -> None:
        if words.startswith("Enrichment") and self.jobs and self.mine():
            self.due[self.mine()] = amount
            if self.reserves:
                self.balance -= amount
                self.moves.append((self.clock.now, amount))
            return
        super().pay(amount, words)

    def mine(self) -> str:
        last = [*self.jobs.values()][-1]
        return last.id if last.ours and last.id not in self.due else ""

    def advance(self) -> None:
        super().advance()
        for name, amount in self.due.items():
            if amount and not self.jobs[name].running:
                if self.reserves:
                    self.balance += amount
                    self.moves.append((self.clock.now, -amount))
                super().pay(amount, "Enrichment")
                self.due[name] = 0

    def credits(self) -> Any:
        used = -sum(one["amount"] for one in self.transactions if one["amount"] < 0)
        return ok(super().credits().body["data"] | {"usedCredits": used})


class NotReserved(AtTheEnd):
    """Nothing is taken before a job ends."""

    reserves = False


class LateBook(NotReserved):
    """What it books shows a minute later."""

    def ledger(self, query: str) -> Any:
        every = self.transactions
        last = iso(self.epoch + self.clock.now - 59.0)
        self.transactions = [one for one in every if one["createdAt"] <= last]
        try:
            return super().ledger(query)
        finally:
            self.transactions = every


@pytest.mark.parametrize("kind", [AtTheEnd, NotReserved])
def test_what_an_own_job_has_still_to_be_booked_explains_no_charge_of_another(
    make: Make, kind: type[Service]
) -> None:
    service = make(kind, book=True, job_seconds=9000.0)
    with pytest.raises(lp.JobTimeoutError):
        enrich(ids=MORE[:20], timeout=3.0)
    kept_unseen(service)


@pytest.mark.parametrize("shown", SHOWN)
def test_a_job_that_is_charged_at_its_end_has_its_time(make: Make, shown: dict[str, Any]) -> None:
    lags = {"jobs_lag": 59.0, "count_lag": 59.0, "balance_lag": 59.0}
    service = make(LateBook, job_seconds=58.0, **lags, **shown)
    service.faults.append(Fault("start", "cut", late=119.5))
    assert all_found(enrich())
    assert service.charges == ONCE


@pytest.mark.parametrize("shown", SHOWN)
@pytest.mark.parametrize("kind", [AtTheEnd, NotReserved])
def test_an_own_job_that_is_charged_at_its_end_does_not_hold_a_start_in_doubt(
    make: Make, shown: dict[str, Any], kind: type[Service]
) -> None:
    service = make(kind, job_seconds=500.0, **shown)
    with pytest.raises(lp.JobTimeoutError):
        enrich(ids=MORE[:4], timeout=3.0)
    service.clock.now += 400.0
    service.advance()
    service.faults.append(Fault("start", "cut"))
    service.job_seconds = 1.0
    assert all_found(enrich())
    assert service.charges == ONCE | dict.fromkeys(MORE[:4], 1)


@pytest.mark.parametrize("shown", SHOWN)
def test_a_start_sent_again_is_charged_when_it_was_sent_again(
    make: Make, shown: dict[str, Any]
) -> None:
    service = make(job_seconds=1.0, balance_lag=50.0, **shown)
    service.faults.append(Fault("start", "429", times=2))
    assert all_found(enrich(ids=MORE[:6]))
    service.clock.now += 20.0
    service.faults.append(Fault("start", "cut"))
    assert all_found(enrich())


class OldestFirst(Service):
    """Lists the transactions in the order of their making."""

    def ledger(self, query: str) -> Any:
        self.transactions.reverse()
        try:
            return super().ledger(query)
        finally:
            self.transactions.reverse()


def searches(service: Service) -> None:
    """A few minutes of somebody else's work."""
    for _ in range(3):
        service.pay(1, "Lead search: bakers")
        service.clock.now += 1.0


def test_transactions_in_another_order_account_for_nothing(make: Make) -> None:
    service = make(OldestFirst, book=True, shows=True)
    searches(service)

    def watch(*_: object) -> None:
        if service.starts and service.transactions[0]["amount"] < 0:
            service.pay(-6, "Top-up")

    service.watchers.append(watch)
    kept_unseen(service)


def test_transactions_in_another_order_do_not_hold_a_start_in_doubt(make: Make) -> None:
    service = make(OldestFirst, book=True)
    searches(service)
    service.faults.append(Fault("start", "cut"))
    assert all_found(enrich())
    assert service.charges == ONCE
