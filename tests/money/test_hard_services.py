"""Honest services that make a hasty conclusion false, through the public functions."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

import leads_pandas as lp
from leads_pandas.errors import LeadsWarning
from leads_pandas.home import home
from tests.support import in_memory
from tests.support.in_memory import Service
from tests.support.leadsapi import Fault, Job, known, ok, refuse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Make = Callable[..., Service]

IDS = [f"lead{n}" for n in range(6)]
MORE = [f"more{n}" for n in range(60)]
ONCE = dict.fromkeys(IDS, 1)


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Make:
    """Puts a service under the package."""

    def made(kind: type[Service] = Service, **options: Any) -> Service:
        service = kind(known([*IDS, *MORE]), **({"balance": 1000} | options))
        in_memory.install(monkeypatch, service)
        service.clock.limit()
        return service

    return made


def enrich(settle: float | None = 60.0, ids: list[str] = IDS, **options: Any) -> pd.DataFrame:
    client = lp.LeadsClient(
        "ll_" + "4" * 64, "https://service.example", requests_per_minute=0, settle=settle
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LeadsWarning)
        return lp.enrich(pd.DataFrame({"lead_id": ids}), client=client, progress=False, **options)


def all_found(out: pd.DataFrame) -> bool:
    return bool((out["enrichment_status"] == "found").all())


def test_the_line_that_was_stopped_while_it_looked_goes_on_when_it_is_run_again(
    make: Make,
) -> None:
    service = make()
    service.faults.append(Fault("start", "cut"))
    with pytest.raises(lp.JobTimeoutError):
        enrich(timeout=5.0)
    assert all_found(enrich())
    assert service.charges == ONCE


class Slow(Service):
    """Takes nearly three seconds for each price and each list of jobs."""

    def receive(self, method: str, path: str, body: Any, timeout: float) -> Any:
        if path.endswith(("/preview", "/jobs")):
            self.clock.sleep(2.7)
        return super().receive(method, path, body, timeout)


def test_a_slow_last_look_does_not_hold_the_second_start_back_for_ever(
    make: Make,
) -> None:
    service = make(Slow)
    service.faults.append(Fault("start", "cut"))
    began = service.clock.now
    assert all_found(enrich())
    assert service.clock.now < began + 400.0
    assert service.charges == ONCE


def test_a_job_that_failed_and_was_dropped_lets_its_leads_go(make: Make) -> None:
    service = make()
    service.fates.append("failed")
    with pytest.raises(lp.JobTimeoutError):
        enrich(timeout=0.5)
    service.clock.now += 86_400.0
    service.advance()
    service.jobs.clear()
    with pytest.raises(lp.JobFailedError):
        enrich()
    assert all_found(enrich())
    assert service.charges == ONCE  # what the failed job left had been given back


def test_nothing_is_bought_once_the_store_was_moved_away(make: Make) -> None:
    service = make()

    def move(_: object) -> bool:
        next(home().glob("*/store.sqlite3")).parent.rename(home() / "old")
        return True

    with pytest.raises(lp.StoreError, match="replaced"):
        enrich(confirm=move)
    assert service.requests["start"] == 0


class Requeued(Service):
    """The worker of the first job dies: nothing knows of the job until another one takes it."""

    def _lost(self, job: Job) -> bool:
        return job.id == "enrich_1" and job.began + 10.0 < self.clock.now < job.began + 250.0

    def status(self, job_id: str) -> Any:
        job = self.jobs.get(job_id)
        return refuse(404) if job is not None and self._lost(job) else super().status(job_id)

    def active(self) -> Any:
        lost = {job.id for job in self.jobs.values() if self._lost(job)}
        listed = super().active().body["data"]
        return ok([one for one in listed if one["jobId"] not in lost])

    def progress(self, job: Job, fraction: float) -> None:
        if not self._lost(job):
            super().progress(job, fraction)


def test_a_job_that_is_put_into_the_queue_again_is_not_bought_again(make: Make) -> None:
    service = make(Requeued, job_seconds=300.0)
    assert all_found(enrich())
    assert service.charges == ONCE


class Lagging(Service):
    """Judges a start by what it shows, which lags behind."""

    def start(self, body: Any) -> Any:
        shown = {one for one, at in self.enriched.items() if at <= self.clock.now - self.count_lag}
        enriched, self.enriched = self.enriched, dict.fromkeys(shown, 0.0)
        try:
            return super().start(body)
        finally:
            self.enriched = enriched | self.enriched


def test_leads_that_show_late_after_their_job_are_not_bought_again(
    make: Make,
) -> None:
    service = make(Lagging, count_lag=45.0, lag=dict.fromkeys(IDS, 45.0))
    with pytest.raises(lp.JobFailedError):
        enrich()
    assert all_found(enrich())
    assert service.charges == ONCE
    assert len(service.starts) == 1


def test_that_a_run_was_asked_for_its_status_does_not_let_late_leads_be_bought_again(
    make: Make,
) -> None:
    service = make(Lagging, count_lag=45.0, lag=dict.fromkeys(IDS, 45.0))
    client = lp.LeadsClient(
        "ll_" + "4" * 64, "https://service.example", requests_per_minute=0, settle=60.0
    )
    run = lp.start(pd.DataFrame({"lead_id": IDS}), client=client, progress=False)
    service.clock.now += 4.0
    assert run.done()
    with pytest.raises(lp.JobFailedError):
        run.result()
    assert all_found(enrich())
    assert service.charges == ONCE
    assert len(service.starts) == 1


@pytest.mark.parametrize("seconds", [3600.0, -3600.0])
def test_a_clock_that_is_set_does_not_make_late_leads_look_long_overdue(
    make: Make, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    service = make(Lagging, count_lag=45.0, lag=dict.fromkeys(IDS, 45.0))
    passing = service.clock.time
    monkeypatch.setattr(
        service.clock, "time", lambda: passing() + (seconds if service.clock.now > 1010.0 else 0.0)
    )
    with pytest.raises(lp.JobFailedError):
        enrich()
    assert all_found(enrich())
    assert service.charges == ONCE
    assert len(service.starts) == 1


def colleagues(service: Service) -> Callable[..., None]:
    """Somebody who always has a small job running, from the first start on."""
    begun: list[float] = []

    def watch(*_: object) -> None:
        if service.starts and (not begun or service.clock.now > begun[-1] + 25.0):
            begun.append(service.clock.now)
            service.teammate([MORE[len(begun) % 60]], 30.0)

    return watch


def test_a_doubt_on_a_busy_account_settles(make: Make) -> None:
    service = make(balance=1_000_000)
    service.faults.append(Fault("start", "cut"))
    service.watchers.append(colleagues(service))
    began = service.clock.now
    assert all_found(enrich(settle=20.0))
    assert service.clock.now < began + 600.0
    assert service.charges == ONCE


def test_a_failed_job_on_a_busy_account_comes_to_its_end(make: Make) -> None:
    service = make(balance=1_000_000)
    service.fates.append("failed")
    service.faults.append(Fault("start", "cut", when="after"))
    service.watchers.append(colleagues(service))
    began = service.clock.now
    with pytest.raises(lp.JobFailedError):
        enrich(settle=20.0)
    assert service.clock.now < began + 900.0
    assert all_found(enrich(settle=20.0))
    assert service.charges == ONCE


class ByHalves(Service):
    """Two leads cost one credit, rounded up, and a start may hold three."""

    def preview(self, body: Any) -> Any:
        answer = super().preview(body)
        data = answer.body["data"]
        data["estimatedCredits"] = -(-data["toEnrich"] // 2)
        return ok(data)

    def start(self, body: Any) -> Any:
        if len(body["leadIds"]) > 3:
            self.starts.append(list(body["leadIds"]))
            return refuse(413, "Payload too large")
        return super().start(body)


def test_the_pieces_of_a_start_refused_as_too_large_are_held_against_the_cap(
    make: Make,
) -> None:
    service = make(ByHalves)
    with pytest.raises(lp.CreditCapError):
        enrich(max_credits=3)
    assert service.charges == {}


def test_a_clock_set_forward_does_not_make_a_start_look_long_ago(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = make(job_seconds=3600.0)
    service.faults.append(Fault("start", "cut", late=119.0))
    with pytest.raises(lp.JobTimeoutError):
        enrich(timeout=3.0)
    passing = service.clock.time
    monkeypatch.setattr(service.clock, "time", lambda: passing() + 600.0)
    with pytest.raises(lp.JobTimeoutError):
        enrich(timeout=300.0)
    assert len(service.starts) == 1
    assert service.charges == ONCE


class Hiding(Service):
    """Leads of a running job are neither enriched nor to be enriched; jobs are listed late."""

    def preview(self, body: Any) -> Any:
        answer = super().preview(body)
        data = answer.body["data"]
        under_way = {one for job in self.jobs.values() for one in job.leads[job.done :]}
        hidden = len(under_way & set(body["leadIds"]))
        data["toEnrich"] -= hidden
        data["estimatedCredits"] -= hidden
        return ok(data)


def test_that_nothing_is_to_be_bought_does_not_mean_that_all_is_done(
    make: Make,
) -> None:
    service = make(Hiding, jobs_lag=3.0, job_seconds=120.0)
    service.faults.append(Fault("start", "cut", when="after"))
    assert all_found(enrich())
    assert service.charges == ONCE


def test_a_lead_that_was_paid_for_is_never_unknown(make: Make) -> None:
    service = make(lag=dict.fromkeys(IDS, 500.0))
    with pytest.raises(lp.JobFailedError):
        enrich()
    service.clock.now += 100.0
    for one in IDS[:3]:
        del service.leads[one]
    out = enrich(partial=True)
    assert not (out["enrichment_status"] == "unknown_lead").any()
    assert service.charges == ONCE


@pytest.mark.parametrize("book", [False, True])
def test_the_job_of_a_second_start_without_an_answer_is_no_stranger(make: Make, book: bool) -> None:
    service = make(job_seconds=3600.0, book=book)
    service.faults += [Fault("start", "cut"), Fault("start", "cut", when="after")]
    assert all_found(enrich())
    assert service.charges == ONCE


def test_a_stranger_stays_one_after_a_second_start(make: Make) -> None:
    service = make(job_seconds=3600.0)
    service.faults += [Fault("start", "cut"), Fault("start", "cut", when="after")]

    def watch(*_: object) -> None:
        # Comes up once the first start could no longer be listed, and before the second one.
        if service.clock.now > 1192.0 and "mate_1" not in service.jobs and not service.starts:
            service.teammate(MORE[:3], 9000.0)

    service.watchers.append(watch)
    began = service.clock.now
    assert all_found(enrich())
    assert service.clock.now < began + 5000.0
    assert service.charges == ONCE


class Travelling(Service):
    """Prices say what was so when they were asked for, and some are long on their way."""

    def receive(self, method: str, path: str, body: Any, timeout: float) -> Any:
        answer = super().receive(method, path, body, timeout)
        if path.endswith("/preview") and 1165.0 < self.clock.now < 1180.0:
            self.clock.sleep(29.0)
        return answer


def test_an_answer_that_was_long_on_its_way_tells_of_no_later_moment(make: Make) -> None:
    service = make(Travelling, jobs_lag=59.5, balance_lag=59.5, job_seconds=3600.0)
    service.faults.append(Fault("start", "cut", late=119.5))
    assert all_found(enrich())
    assert service.charges == ONCE
    assert len(service.starts) == 1


class Queueing(Service):
    """A job that waits in a queue is not listed, and a gateway hides its status now and then."""

    def status(self, job_id: str) -> Any:
        if self.clock.now < 1002.0 or 1080.0 < self.clock.now < 1100.0:
            return refuse(404, "no route")
        return super().status(job_id)


def test_a_job_that_was_there_meanwhile_has_not_been_gone_since_it_was_first_missed(
    make: Make,
) -> None:
    service = make(Queueing, job_seconds=3600.0, jobs_lag=500.0)
    assert all_found(enrich())
    assert service.charges == ONCE


def test_where_nothing_proves_absence_a_job_may_be_the_starts_own_however_late_it_shows(
    make: Make,
) -> None:
    service = make(jobs_lag=100.0, balance_lag=100.0, job_seconds=3600.0)
    service.faults.append(Fault("start", "cut", late=119.0))

    def watch(*_: object) -> None:
        # A colleague's job of the same size, which has one of the leads.
        if service.pending and service.clock.now > 1002.0 and "mate" not in service.jobs:
            leads = [IDS[0], *MORE[:4]]
            service.jobs["mate"] = Job("mate", leads, 5, 901.0, 104.0, ours=False, fail_at=None)

    service.watchers.append(watch)
    # Who lets nothing prove absence is asked about what the colleague's job left...
    with pytest.raises(lp.StartOutcomeUnknown):
        enrich(settle=None)
    # ... until the start's own job is listed at last.
    assert all_found(enrich(settle=None))
    assert len(service.starts) == 1


class Behind(Service):
    """For a while another server answers, which does not know of the newest jobs."""

    behind = False

    def status(self, job_id: str) -> Any:
        return refuse(404) if self.behind else super().status(job_id)

    def active(self) -> Any:
        return ok([]) if self.behind else super().active()


def test_a_job_that_was_only_guessed_to_be_one_starts_is_not_kept_from_another(
    make: Make,
) -> None:
    service = make(Behind, job_seconds=1000.0)
    service.faults += [Fault("start", "cut"), Fault("start", "cut", when="after")]
    for ids in (IDS, MORE[:6], IDS):
        with pytest.raises(lp.JobTimeoutError):
            enrich(ids=ids, timeout=3.0)
    # Somebody's search enriches what the first start was for, paid for long ago.
    service.enriched.update(dict.fromkeys(IDS, service.clock.now))
    service.behind = True  # type: ignore[attr-defined]
    assert all_found(enrich())
    service.behind = False  # type: ignore[attr-defined]
    assert all_found(enrich(ids=MORE[:6]))
    assert service.charges == dict.fromkeys(MORE[:6], 1)


class Flickering(Service):
    """A gateway hides the first job twice; reads take long, and leave no time for a poll."""

    def receive(self, method: str, path: str, body: Any, timeout: float) -> Any:
        if "/lead/more" in path:
            self.clock.sleep(1.2)
        return super().receive(method, path, body, timeout)

    def _hides(self) -> bool:
        began = next((job.began for job in self.jobs.values()), 0.0)
        passed = self.clock.now - began
        return passed < 20.0 or 60.0 < passed < 110.0

    def status(self, job_id: str) -> Any:
        hidden = job_id == "enrich_1" and self._hides()
        return refuse(404, "no route") if hidden else super().status(job_id)

    def active(self) -> Any:
        return ok([]) if self._hides() else super().active()


def test_a_job_missed_twice_with_no_poll_between_has_not_been_gone_since(make: Make) -> None:
    service = make(Flickering, job_seconds=3600.0)
    service.fates += ["slow", "instant"]
    with pytest.raises(lp.JobTimeoutError):
        enrich(timeout=0.2)
    assert all_found(enrich(ids=[*IDS, *MORE]))
    assert len(service.starts) == 2


class Reserved(Service):
    """Counts leads late in its prices, and knows the status of a job after a moment only."""

    def status(self, job_id: str) -> Any:
        young = self.clock.now < self.jobs[job_id].began + 1.0
        return refuse(404) if young else super().status(job_id)


def test_leads_that_others_enriched_are_not_taken_for_those_of_a_job_that_does_not_show(
    make: Make,
) -> None:
    service = make(Reserved, count_lag=0.3, jobs_lag=1.0, job_seconds=60.0)
    # A colleague's job has just done half of them, which the price does not count yet.
    service.enriched.update(dict.fromkeys(IDS[:3], service.clock.now))
    enrich(partial=True)
    assert all_found(enrich())
    assert service.charges == dict.fromkeys(IDS[3:], 1)


def test_without_settle_a_job_that_the_service_does_not_know_is_not_let_go(make: Make) -> None:
    service = make(Behind, job_seconds=3600.0)
    with pytest.raises(lp.JobTimeoutError):
        enrich(settle=None, timeout=3.0)
    service.behind = True  # type: ignore[attr-defined]
    for _ in range(2):
        with pytest.raises(lp.StartOutcomeUnknown) as caught:
            enrich(settle=None)
    assert "enrich_1" in str(caught.value)
    service.behind = False  # type: ignore[attr-defined]
    assert all_found(enrich(settle=None))
    assert service.charges == ONCE
    assert len(service.starts) == 1


@pytest.mark.parametrize("shown", [{}, {"book": True}, {"shows": True}])
def test_leads_that_a_colleague_enriches_meanwhile_do_not_hold_a_start_in_doubt(
    make: Make, shown: dict[str, Any]
) -> None:
    service = make(**shown)
    # Its charge, and it in the list of jobs, stand in what was seen before the start.
    service.teammate(IDS[:3], 100.0)
    service.faults.append(Fault("start", "cut"))
    began = service.clock.now
    assert all_found(enrich())
    assert service.clock.now < began + 400.0
    assert service.charges == dict.fromkeys(IDS[3:], 1)


def test_a_file_that_came_while_a_run_was_waited_for_stays_where_it_knows_more(
    make: Make, tmp_path: Path
) -> None:
    service = make()
    with pytest.raises(lp.JobTimeoutError) as caught:
        enrich(timeout=0.5)
    run, file = caught.value.run, tmp_path / "leads.parquet"
    assert run is not None
    other = pd.DataFrame({"lead_id": ["else"]})

    def watch(endpoint: str, *_: object) -> None:
        if endpoint == "lead" and not file.exists():
            other.to_parquet(file)

    service.watchers.append(watch)
    with pytest.raises(lp.ColumnConflictError, match=r"'else'.*kept in the store"):
        run.result(file)
    pd.testing.assert_frame_equal(pd.read_parquet(file), other)
    assert [one.name for one in tmp_path.glob("*.tmp")] == []
    assert all_found(run.result(tmp_path / "mine.parquet"))


def test_a_job_too_short_to_be_listed_is_waited_for_until_its_leads_can_show(make: Make) -> None:
    service = make(
        Lagging, jobs_lag=45.0, status_lag=45.0, forgets=True, count_lag=58.0, job_seconds=44.0
    )
    assert all_found(enrich())
    assert service.charges == ONCE
    assert len(service.starts) == 1


def test_a_job_that_was_seen_while_another_start_was_looked_for_is_known_to_both(
    make: Make,
) -> None:
    service = make(job_seconds=12.0, forgets=True, refund=True, count_lag=15.0)
    service.faults += [Fault("start", "cut", late=8.0), Fault("start", "cut", "after")]
    service.fates += ["instant", "failed"]
    with pytest.raises(lp.JobTimeoutError):
        enrich(timeout=1.0)
    # While this one is looked for, the first is taken, listed, fails and is forgotten.
    enrich(ids=MORE[:10], partial=True)
    service.clock.now += 400.0
    with pytest.raises(lp.JobFailedError):
        enrich()
    assert all_found(enrich())
    assert service.charges == ONCE | dict.fromkeys(MORE[:10], 1)


@pytest.mark.parametrize("others", [IDS, IDS[:3]])
def test_leads_that_others_have_just_enriched_are_read_although_no_price_counts_them(
    make: Make, others: list[str]
) -> None:
    service = make(count_lag=45.0)
    service.enriched.update(dict.fromkeys(others, service.clock.now))
    assert all_found(enrich())
    assert service.charges == dict.fromkeys(set(IDS) - set(others), 1)
    assert sum(service.reads.values()) <= len(IDS) + 1


def test_leads_that_the_price_counts_are_waited_for_until_they_show(make: Make) -> None:
    service = make(lead_lag=20.0)
    service.enriched.update(dict.fromkeys(IDS, service.clock.now))
    assert all_found(enrich())
    assert not service.starts


def test_leads_that_a_start_left_out_cost_one_read(make: Make) -> None:
    service = make(balance_lag=100.0)
    service.pay(997, "Lead search: bakers")
    out = enrich(ids=MORE, partial=True)
    assert (out["enrichment_status"] == "found").sum() == 3
    assert sum(service.reads.values()) <= 3 + 2


@pytest.mark.parametrize("shown", [{}, {"book": True}, {"shows": True}])
@pytest.mark.parametrize("reason", ["an own start", "a colleague", "a refund"])
def test_a_charge_that_seems_to_have_another_reason_does_not_hide_a_job_too_short_to_be_listed(
    make: Make, shown: dict[str, Any], reason: str
) -> None:
    service = make(Lagging, jobs_lag=59.0, count_lag=59.0, job_seconds=58.0, **shown)
    if reason == "an own start":
        with pytest.raises(lp.JobTimeoutError):
            enrich(ids=MORE[:2], timeout=1.0)
        service.clock.now += 60.0
    service.faults.append(Fault("start", "cut", late=119.5))
    amounts = {"a colleague": 10, "a refund": -2}

    def watch(*_: object) -> None:
        if service.pending and reason in amounts:
            service.pay(amounts.pop(reason), "Enrichment")
            if reason == "a colleague":
                service.jobs["mate"] = Job("mate", MORE[:10], 10, 1000.0, 9000.0, ours=False)

    service.watchers.append(watch)
    assert all_found(enrich(ids=IDS[:2]))
    assert {one: service.charges[one] for one in IDS[:2]} == dict.fromkeys(IDS[:2], 1)


@pytest.mark.parametrize("shown", [{"book": False, "shows": False}, {"book": False}, {}])
@pytest.mark.parametrize("earlier", ["answered", "concluded"])
def test_a_charge_that_was_shown_before_a_start_is_no_reason_for_one_after_it(
    make: Make, shown: dict[str, Any], earlier: str
) -> None:
    service = make(job_seconds=1.0, **shown)
    if earlier == "concluded":
        service.faults.append(Fault("start", "cut", "after"))
    assert all_found(enrich(ids=MORE[:6]))
    service.faults.append(Fault("start", "cut", "after"))
    service.fates.append("stillborn")  # charged, never listed, and nothing is given back
    with pytest.raises(lp.StartOutcomeUnknown, match="went down by 6"):
        enrich()
    assert service.spent == 12


@pytest.mark.parametrize("shown", [{"shows": False, "book": False}, {"book": False}, {}])
def test_own_charges_that_a_balance_shows_late_are_known_as_own(
    make: Make, shown: dict[str, Any]
) -> None:
    service = make(job_seconds=1.0, balance_lag=50.0, **shown)
    for ids in (MORE[:6], MORE[6:10], MORE[10:13]):
        assert all_found(enrich(ids=ids))
    service.faults.append(Fault("start", "cut"))
    assert all_found(enrich())
    assert service.charges == dict.fromkeys([*IDS, *MORE[:13]], 1)


def test_a_job_that_a_person_names_settles_the_start_that_it_is_and_no_other(make: Make) -> None:
    service = make(Behind, job_seconds=3600.0)
    both = [*IDS, *MORE[:4]]
    for ids in (IDS, both):
        with pytest.raises(lp.JobTimeoutError) as caught:
            enrich(settle=None, ids=ids, timeout=3.0)
    run = caught.value.run
    assert run is not None
    service.behind = True  # type: ignore[attr-defined]
    with pytest.raises(lp.StartOutcomeUnknown):
        enrich(settle=None, ids=both)
    service.behind = False  # type: ignore[attr-defined]
    with pytest.raises(lp.UnknownRunError, match="answered as"):
        run.resolve(job_id="enrich_1")
    run.resolve(job_id="enrich_2")
    with pytest.raises(lp.UnknownRunError, match=r"resolve\(job_id"):
        run.resolve(not_started=True)
    assert all_found(enrich(settle=None, ids=both))
    assert service.charges == ONCE | dict.fromkeys(MORE[:4], 1)


class Prompt(Service):
    """A start knows of leads enriched ten seconds ago, sooner than the prices do."""

    def start(self, body: Any) -> Any:
        shown = {one for one, at in self.enriched.items() if at <= self.clock.now - 10.0}
        enriched, self.enriched = self.enriched, dict.fromkeys(shown, 0.0)
        try:
            return super().start(body)
        finally:
            self.enriched = enriched | self.enriched


def test_leads_that_others_enriched_are_not_taken_for_those_that_a_start_has_paid_for(
    make: Make,
) -> None:
    service = make(Prompt, count_lag=45.0, job_seconds=1.0, lag=dict.fromkeys(IDS[3:], 9.0))
    service.enriched.update(dict.fromkeys(IDS[:3], service.clock.now - 20.0))
    with pytest.raises(lp.JobFailedError, match="again later"):
        enrich()
    assert all_found(enrich())
    assert service.charges == dict.fromkeys(IDS[3:], 1)


def test_what_others_enriched_is_not_taken_for_what_a_failed_job_did_and_shows_late(
    make: Make,
) -> None:
    service = make(Lagging, count_lag=45.0, lag=dict.fromkeys(IDS[:3], 45.0))
    # A colleague's job has done half of them; neither prices nor starts count it yet.
    service.enriched.update(dict.fromkeys(IDS[3:], service.clock.now - 44.0))
    service.fates.append("failed")
    with pytest.raises(lp.JobFailedError):
        enrich()
    assert all_found(enrich())
    assert len(service.starts) == 1


@pytest.mark.parametrize("first", [IDS, MORE[:6]])
def test_a_doubt_does_not_keep_the_leads_of_other_starts_from_being_read(
    make: Make, first: list[str]
) -> None:
    service = make(job_seconds=20.0)
    service.faults.append(Fault("start", "cut"))
    second = MORE[:6] if first is IDS else IDS
    for ids in (first, second):
        with pytest.raises(lp.JobTimeoutError):
            enrich(settle=None, ids=ids, timeout=3.0)
    service.clock.now += 300.0
    with pytest.raises(lp.StartOutcomeUnknown):
        enrich(settle=None, ids=[*IDS, *MORE[:6]])
    assert service.reads == dict.fromkeys(second, 1)


class FarAway(Service):
    """Is reached by the last of several addresses only."""

    def receive(self, method: str, path: str, body: Any, timeout: float) -> Any:
        if path.endswith("/start"):
            self.clock.sleep(25.0)
        return super().receive(method, path, body, timeout)


def test_a_start_that_was_long_on_its_way_may_be_taken_for_as_long_as_it_was_waited_for(
    make: Make,
) -> None:
    service = make(FarAway, jobs_lag=59.5, balance_lag=59.5, job_seconds=3600.0)
    service.faults.append(Fault("start", "silent", late=119.9))
    assert all_found(enrich())
    assert len(service.starts) == 1
