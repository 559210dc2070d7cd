"""Starts without an answer whose job waits in a queue: charged, not listed, its status not known.

Nobody sees it for longer than anybody looks. What it was charged is then the only sign of it, and
whatever seems to be another reason for that would have its leads bought again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import leads_pandas as lp
from tests.money.test_hard_ledgers import SHOWN, AtTheEnd, NotReserved
from tests.money.test_hard_services import IDS, MORE, ONCE, all_found, enrich, make
from tests.support.in_memory import Service
from tests.support.leadsapi import Fault, Job, ok, refuse

if TYPE_CHECKING:
    from tests.money.test_hard_services import Make

__all__ = ["make"]


class Queue(Service):
    """Lists what runs, and knows the status of what has run."""

    waits = 0.0

    def _waiting(self, job: Job) -> bool:
        mine = job.ours and job.leads[-1] == IDS[-1]
        return mine and self.clock.now < job.began + self.waits

    def active(self) -> Any:
        hidden = {job.id for job in self.jobs.values() if self._waiting(job)}
        listed = super().active().body["data"]
        return ok([one for one in listed if one["jobId"] not in hidden])

    def status(self, job_id: str) -> Any:
        job = self.jobs.get(job_id)
        hidden = job is not None and self._waiting(job)
        return refuse(404) if hidden else super().status(job_id)


def queued(service: Service, seconds: float = 500.0) -> None:
    """The next start gets no answer, and its job waits."""
    service.waits = seconds  # type: ignore[attr-defined]
    service.job_seconds = len(IDS) * seconds  # the first lead is done when it has waited
    service.faults.append(Fault("start", "cut", "after"))


def asked(service: Service) -> None:
    """A person is asked, and nothing is sent again."""
    sent = len(service.starts)
    with pytest.raises(lp.StartOutcomeUnknown):
        enrich()
    assert len(service.starts) == sent + 1


def pass_by(service: Service, seconds: float) -> None:
    """Time passes, and the service goes on."""
    service.clock.now += seconds
    service.advance()


def paid_once(service: Service) -> None:
    """The same line ends whole, without another start."""
    assert all_found(enrich())
    assert service.charges == ONCE
    assert len(service.starts) == 1


@pytest.mark.parametrize("shown", SHOWN)
@pytest.mark.parametrize("seconds", [300.0, 1500.0])
def test_a_job_that_is_listed_after_a_person_was_asked_is_no_reason_for_its_own_charge(
    make: Make, shown: dict[str, Any], seconds: float
) -> None:
    service = make(Queue, **shown)
    queued(service, seconds)
    asked(service)
    pass_by(service, 500.0)
    if seconds > 1000.0:
        with pytest.raises(lp.StartOutcomeUnknown):
            enrich()
    pass_by(service, seconds)
    paid_once(service)


@pytest.mark.parametrize("shown", SHOWN)
def test_a_job_that_nobody_has_seen_since_its_start_was_answered_may_wait_as_well(
    make: Make, shown: dict[str, Any]
) -> None:
    service = make(Queue, **shown)
    queued(service)
    service.faults.clear()
    asked(service)
    service.clock.now += 500.0
    paid_once(service)


class Replica(Queue):
    """One price comes from where the leads have not arrived, or are there no more."""

    missed = False

    def preview(self, body: Any) -> Any:
        data = super().preview(body).body["data"]
        if self.starts and not self.missed:
            self.missed = True
            data |= dict.fromkeys(("totalLeads", "alreadyEnriched", "toEnrich"), 0)
        return ok(data)


@pytest.mark.parametrize("answered", [False, True])
def test_a_price_that_knows_fewer_leads_than_before_does_not_make_them_whole(
    make: Make, answered: bool
) -> None:
    service = make(Replica)
    queued(service)
    if answered:
        service.faults.clear()
    asked(service)
    service.clock.now += 500.0
    paid_once(service)


class Searching(Queue):
    """Somebody searches for as many leads as a start has."""

    def active(self) -> Any:
        search = {"jobId": "search", "progress": 3, "leadCount": 6, "type": "search", "query": "x"}
        return ok([*super().active().body["data"], *[search] * bool(self.starts)])


@pytest.mark.parametrize("shown", SHOWN)
def test_how_long_a_search_is_explains_no_charge(make: Make, shown: dict[str, Any]) -> None:
    service = make(Searching, **shown)
    queued(service)
    asked(service)


class Net(Queue):
    """What comes back has not been used."""

    def credits(self) -> Any:
        data = super().credits().body["data"]
        return ok(data | {"usedCredits": self.monthly - self.balance, "bonusCredits": 0})


class Promised(Queue, NotReserved):
    """Takes nothing before a job that has waited ends."""


class Reserved(Queue, AtTheEnd):
    """Counts as used only what a job has cost, when it ends."""


@pytest.mark.parametrize("shown", SHOWN)
@pytest.mark.parametrize("kind", [Promised, Reserved])
def test_a_start_that_was_answered_is_never_absent(
    make: Make, kind: type[Service], shown: dict[str, Any]
) -> None:
    service = make(kind, **shown)
    queued(service)
    service.faults.clear()
    asked(service)
    pass_by(service, 500.0)
    paid_once(service)


@pytest.mark.parametrize("shown", SHOWN)
def test_what_is_reserved_is_gone_though_it_does_not_count_as_used_yet(
    make: Make, shown: dict[str, Any]
) -> None:
    service = make(Reserved, **shown)
    queued(service)
    asked(service)


@pytest.mark.parametrize("shown", SHOWN)
@pytest.mark.parametrize("kind", [Queue, Net])
@pytest.mark.parametrize("answer", ["answered", "concluded"])
@pytest.mark.parametrize("back", ["at once", "later"])
def test_what_a_failed_job_gives_back_does_not_hide_what_its_leads_are_charged_again(
    make: Make, kind: type[Service], shown: dict[str, Any], answer: str, back: str
) -> None:
    service = make(kind, refund=back == "at once", **shown)
    service.fates.append("failed")
    service.faults += [Fault("start", "cut", "after")] * (answer == "concluded")
    with pytest.raises(lp.JobFailedError):
        enrich()
    service.refund, left = False, [3]

    def watch(*_: object) -> None:
        if len(service.starts) == 2 and left:
            service.pay(-left.pop(), "Refund")

    if back == "later":
        service.watchers.append(watch)
    queued(service)
    asked(service)


@pytest.mark.parametrize("shown", SHOWN)
def test_what_a_failed_job_has_given_back_before_does_not_hold_a_start_in_doubt(
    make: Make, shown: dict[str, Any]
) -> None:
    service = make(refund=True, **shown)
    service.fates.append("failed")
    with pytest.raises(lp.JobFailedError):
        enrich()
    service.faults.append(Fault("start", "cut"))
    assert all_found(enrich())
    assert service.charges == ONCE


@pytest.mark.parametrize("shown", SHOWN)
@pytest.mark.parametrize("seconds", [5.0, 150.0])
def test_a_colleagues_job_with_a_lead_of_a_start_does_not_stand_for_its_own(
    make: Make, shown: dict[str, Any], seconds: float
) -> None:
    service = make(Queue, **shown)
    queued(service)

    def watch(*_: object) -> None:
        if len(service.jobs) == 1:
            service.teammate([IDS[0], MORE[0]], seconds)

    service.watchers.append(watch)
    asked(service)
    service.clock.now += 300.0
    paid_once(service)


@pytest.mark.parametrize("shown", SHOWN)
def test_a_job_that_was_concluded_to_be_another_starts_does_not_count_twice(
    make: Make, shown: dict[str, Any]
) -> None:
    service = make(Queue, **shown)
    queued(service)
    with pytest.raises(lp.JobTimeoutError):
        enrich(timeout=1.0)
    service.job_seconds = 60.0
    service.faults.append(Fault("start", "cut", "after"))
    assert all_found(enrich(ids=MORE[:6]))
    with pytest.raises(lp.StartOutcomeUnknown):
        enrich()
    service.clock.now += 300.0
    assert all_found(enrich())
    assert len(service.starts) == 2


class Otherwise(Service):
    """Has another word for an enrichment."""

    def active(self) -> Any:
        return ok([one | {"type": "ENRICH"} for one in super().active().body["data"]])


def test_whatever_is_not_a_search_may_be_a_starts_own_job(make: Make) -> None:
    service = make(Otherwise, balance_lag=59.0, job_seconds=9000.0)
    service.faults.append(Fault("start", "cut", late=119.0))
    paid_once(service)


def test_a_job_that_is_too_small_for_the_start_that_took_it_may_be_another_ones(
    make: Make,
) -> None:
    service = make(job_seconds=200.0, refund=False, book=True)
    service.faults.append(Fault("start", "cut"))
    with pytest.raises(lp.JobTimeoutError):
        enrich(ids=MORE[:8], timeout=5.0)

    def watch(*_: object) -> None:  # a colleague's job, too short to be listed
        if service.jobs and service.watchers:
            service.watchers.clear()
            service.enriched.update(dict.fromkeys(MORE[:8], service.clock.now))
            service.pay(8, "Enrichment: 8 leads")

    service.watchers.append(watch)
    service.fates.append("failed")
    service.faults.append(Fault("start", "cut", "after"))
    with pytest.raises(lp.JobFailedError):
        enrich(ids=[*IDS, *MORE[:8]])
    assert all_found(enrich(ids=[*IDS, *MORE[:8]]))
    assert service.charges == ONCE
