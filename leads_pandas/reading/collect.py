"""Poll the jobs and read the leads, several at a time, each answer durable before it counts.

One loop in the caller's thread owns the store and every decision; worker threads only request.
It knows ops that have been started and leads that need no job; who may start what is `purchase`'s.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from leads_pandas.errors import (
    APIError,
    AuthenticationError,
    LeadsError,
    NotFoundError,
    RateLimitError,
    TransportError,
)
from leads_pandas.leadsapi.transport import WORKERS
from leads_pandas.models import JobStatus, LeadEnrichment, LeadResult
from leads_pandas.pace.wait import Late, Wait
from leads_pandas.reading.schedule import Guesser, Poller

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from leads_pandas.leadsapi.client import LeadsClient
    from leads_pandas.models import LeadStatus
    from leads_pandas.store import Store
    from leads_pandas.store.journal import Op

_TICK = 0.25  # seconds between looks at the clock while nothing arrives
_BEAT = 2.0  # seconds between signs of life for other processes
_PATIENT_FAILURES = 5  # leads in a row that cannot be read before the service is taken to be down
# After a job has ended, a lead may take a moment to show: seconds of the looks, 30 in all.
_LOOKS = (0.3, 1.0, 3.0, 7.0, 15.0, 30.0)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_Kind = Literal["poll", "read"]


@dataclass(frozen=True, slots=True)
class _Task:
    kind: _Kind
    key: str
    source: Source
    guess: bool = False


@dataclass(frozen=True, slots=True)
class _Event:
    task: _Task
    value: JobStatus | LeadEnrichment | None
    error: Exception | None


class _Pool:
    """Daemon threads that request: Ctrl-C never waits for them."""

    def __init__(self, api: LeadsClient, stop: threading.Event) -> None:
        self.events: queue.SimpleQueue[_Event] = queue.SimpleQueue()
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._api = api
        self._stop = stop
        self._threads = 0
        self.busy = 0

    def submit(self, task: _Task) -> None:
        self.busy += 1
        if self.busy > self._threads:
            self._threads += 1
            threading.Thread(
                target=self._work, name=f"leads_pandas-{self._threads}", daemon=True
            ).start()
        self._tasks.put(task)

    def close(self) -> None:
        self._stop.set()
        for _ in range(self._threads):
            self._tasks.put(None)

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            value: JobStatus | LeadEnrichment | None = None
            error: Exception | None = None
            try:
                call = self._api.status if task.kind == "poll" else self._api.lead
                value = call(task.key)
            except Exception as caught:  # noqa: BLE001 - handed to the loop, which decides
                error = caught
            self.events.put(_Event(task, value, error))


@dataclass(slots=True, eq=False)
class Source:
    """Leads to be read: those of one op, or those that need no job.

    Attributes:
        op: the op, or None where the leads need no job.
        unread: leads not asked for yet, in the order to be read.
        expect: how many of the unread are known to be enriched; None where all should be.
        needed: the leads whose end this call waits for.
        poller: what the job's polls have told.
        guesser: which leads may be read while the job runs.
        position: of each lead in the order sent.
        in_flight: reads under way.
        polling: whether a poll is under way.
        pending: leads that did not show after the job's end, and how they answered.
        looks: how often those have been looked for.
        shown: how many of those the last preview counted as enriched.
        ended: when the job was seen to have ended, on `time.monotonic`.
        priced: whether the service has been asked how many of the unread are enriched.
        closed: whether nothing is left to do here.
        beat: the last sign of life given for the op.
        shared: whether another process drives the op as well.
        backwards: whether the leads are read from the end.
    """

    op: Op | None
    unread: deque[str]
    needed: set[str]
    expect: int | None = None
    poller: Poller = field(default_factory=lambda: Poller(time.monotonic()))
    guesser: Guesser = field(default_factory=Guesser)
    position: dict[str, int] = field(default_factory=dict)
    in_flight: int = 0
    polling: bool = False
    pending: dict[str, Literal["404", "empty"]] = field(default_factory=dict)
    looks: int = 0
    shown: int = 0
    ended: float | None = None
    priced: bool = False
    closed: bool = False
    beat: int | None = None
    shared: bool = False
    backwards: bool = False

    @property
    def job_id(self) -> str:
        """The job to poll, while `job_running`."""
        return "" if self.op is None else self.op.job_id or ""

    @property
    def served(self) -> bool:
        """Whether no lead that this call waits for is left to be read or looked for."""
        # The needed ones stand first, so this ends at the first of them.
        return not any(one in self.needed for one in self.unread) and not (
            self.needed & self.pending.keys()
        )

    @property
    def job_running(self) -> bool:
        """Whether there is a job that has not come to its end."""
        return self.job_id != "" and self.op is not None and not self.op.job_finished


class Collector:
    """Drives started ops and free reads to their end.

    Args:
        api: the client.
        store: where every answer is committed.
        deadline: moment of `time.monotonic` at which the wait ends, or None.
        report: called often, after something has changed or a moment has passed.
        seen: told each lead whose result has just become durable.

    Attributes:
        outcomes: what became of the leads that have no result.
        left_out: how many of the needed ones nobody has bought.
        errors: why leads could not be read.
    """

    def __init__(
        self,
        api: LeadsClient,
        store: Store,
        *,
        deadline: float | None,
        report: Callable[[float | None], None],
        seen: Callable[[str, LeadResult], None],
    ) -> None:
        self._stop = threading.Event()
        self._api = api.within(Wait(deadline=deadline))
        self._store = store
        self._deadline = deadline
        self._report = report
        self._seen = seen
        self._pool = _Pool(api.within(Wait(stop=self._stop)), self._stop)
        self._failures = 0
        self._beaten = 0.0
        self._estimated = 0.0
        self._left: float | None = None
        self._sources: list[Source] = []
        self.outcomes: dict[str, LeadStatus] = {}
        self.left_out = 0
        self.errors: list[LeadsError] = []

    def free(self, lead_ids: Iterable[str], *, expect: int | None = None) -> Source:
        """Leads to be read that need no job; at most ``expect`` of them are enriched."""
        ids = list(lead_ids)
        return Source(None, deque(ids), set(ids), expect=expect)

    def of(self, op: Op, needed: Iterable[str] | None = None, *, shared: bool = False) -> Source:
        """The leads of a started op that have not been read, the needed ones first.

        Where a suspended process may come back to the op (``shared``), it is read from its end,
        so that the two meet instead of asking for the same leads.
        """
        known = self._store.results.known(op.lead_ids)
        # A lead once unknown is in an op only if it was asked for again.
        left = [one for one in op.lead_ids if known.get(one, "unknown_lead") == "unknown_lead"]
        wanted = set(left) if needed is None else set(needed) & set(left)
        order = [one for one in left if one in wanted] + [one for one in left if one not in wanted]
        if shared:
            # The needed ones stay first.
            order = [*reversed(order[: len(wanted)]), *reversed(order[len(wanted) :])]
        source = Source(op, deque(order), wanted, shared=shared, backwards=shared)
        source.position = {one: index for index, one in enumerate(op.lead_ids)}
        source.poller.total = len(op.lead_ids)
        source.ended = time.monotonic() if op.job_finished else None
        return source

    def collect(self, sources: list[Source]) -> None:
        """Poll and read until every needed lead of these sources has come to its end.

        Raises:
            Late: the deadline passed.
            LeadsError: the service or the store cannot be used any more.
        """
        self._sources = sources
        try:
            while True:
                now = time.monotonic()
                for source in sources:
                    self._advance(source, now)
                if all(source.closed for source in sources):
                    return
                if self._deadline is not None and now >= self._deadline:
                    raise Late(0.0)
                self._dispatch(now)
                self._take_in(self._next_moment(now))
                self._beat()
                if time.monotonic() >= self._estimated + _TICK:
                    self._estimated = time.monotonic()
                    self._left = self._seconds_left()
                self._report(self._left)
        finally:
            self._pool.close()

    # What to ask next

    def _dispatch(self, now: float) -> None:
        for source in self._sources:
            if source.job_running and self._poll_is_due(source, now):
                source.polling = True
                self._pool.submit(_Task("poll", source.job_id, source))
        for source in self._sources:
            while self._pool.busy < WORKERS:
                task = self._next_read(source, now)
                if task is None:
                    break
                source.in_flight += 1
                self._pool.submit(task)

    def _poll_is_due(self, source: Source, now: float) -> bool:
        if source.polling or now < source.poller.next_poll():
            return False
        # While the budget cannot keep up with what is known to be ready, a poll tells nothing new.
        backlog = self._ready(source)
        return backlog < WORKERS or self._pool.busy < WORKERS // 2

    def _ready(self, source: Source) -> int:
        if source.guesser.stopped:
            return 0
        done = len(source.position) - len(source.unread)
        return max(source.poller.processed - source.guesser.margin - done, 0)

    def _next_read(self, source: Source, now: float) -> _Task | None:
        if not source.unread or source.closed:
            return None
        if source.op is not None and source.job_running:
            first = source.unread[0]
            frontier = source.guesser.frontier(source.poller, now)
            if source.position[first] >= frontier or source.in_flight >= source.guesser.in_flight:
                return None
            return _Task("read", source.unread.popleft(), source, guess=True)
        if source.op is not None and not source.priced:
            return None
        if source.op is not None and source.unread[0] not in source.needed and source.served:
            return None
        if source.expect is not None and source.in_flight >= source.expect:
            return None
        return _Task("read", source.unread.popleft(), source)

    def _next_moment(self, now: float) -> float:
        """Seconds to wait for an answer before looking at the clock again."""
        wait = _TICK
        for source in self._sources:
            if source.job_running and not source.polling:
                wait = min(wait, source.poller.next_poll() - now)
        if self._deadline is not None:
            wait = min(wait, self._deadline - now)
        return max(wait, 0.02)

    # What has come in

    def _take_in(self, seconds: float) -> None:
        events: list[_Event] = []
        try:
            events.append(self._pool.events.get(timeout=seconds))
            while len(events) < 1000:  # noqa: PLR2004 - bounds one commit
                events.append(self._pool.events.get_nowait())
        except queue.Empty:
            pass
        keep: list[tuple[str, LeadResult]] = []
        stop: Exception | None = None
        for event in events:
            self._pool.busy -= 1
            if event.task.kind == "poll":
                stop = self._polled(event) or stop
            else:
                stop = self._has_read(event, keep) or stop
        if keep:
            # Durable first: nobody is shown a lead that a crash could take back.
            self._store.results.save(keep)
            for lead_id, result in keep:
                self._seen(lead_id, result)
        if stop is not None:
            raise stop

    def _polled(self, event: _Event) -> Exception | None:
        source = event.task.source
        source.polling = False
        op = source.op
        if op is None:
            return None
        if isinstance(event.error, NotFoundError):
            # A service may drop a job that has ended; the leads themselves tell.
            queued = op.to_enrich if op.leads_queued is None else op.leads_queued
            if self._api.preview(op.lead_ids).to_enrich > max(op.to_enrich - queued, 0):
                return event.error
            self._note(op, "COMPLETED", len(op.lead_ids), op.found_emails)
            return None
        if event.error is not None:
            return event.error
        status = event.value
        if isinstance(status, JobStatus):
            source.poller.observe(
                time.monotonic(), status.processed_leads, status.total_leads or len(op.lead_ids)
            )
            self._note(op, status.status, status.processed_leads, status.found_emails)
        return None

    def _note(self, op: Op, status: str, processed: int, found: int) -> None:
        op.job_status, op.processed, op.found_emails = status, processed, found
        self._store.journal.update_op(
            op.id, job_status=status, processed=processed, found_emails=found
        )

    def _has_read(self, event: _Event, keep: list[tuple[str, LeadResult]]) -> Exception | None:
        source, lead_id = event.task.source, event.task.key
        source.in_flight -= 1
        if isinstance(event.value, LeadEnrichment):
            result = read_result(event.value, job_running=source.job_running)
            self._failures = 0
            if result is not None:
                keep.append((lead_id, result))
                source.pending.pop(lead_id, None)
                if source.expect is not None:
                    source.expect -= 1
                if event.task.guess:
                    source.guesser.hit()
                return None
            self._not_yet(event.task, "empty")
            return None
        if isinstance(event.error, NotFoundError):
            self._failures = 0
            self._not_yet(event.task, "404")
            return None
        error = event.error
        if not isinstance(error, APIError | TransportError) or isinstance(
            error, AuthenticationError | RateLimitError
        ):
            return error
        self._failures += 1
        self.outcomes[lead_id] = "failed"
        self.errors.append(error)
        return error if self._failures >= _PATIENT_FAILURES else None

    def _not_yet(self, task: _Task, kind: Literal["404", "empty"]) -> None:
        source = task.source
        if task.guess:
            # Asked too early: back to its place, and be more careful.
            source.guesser.miss(max(source.poller.processed - source.position[task.key], 0))
            source.unread.appendleft(task.key)
        else:
            source.pending[task.key] = kind

    # How a source comes to its end

    def _advance(self, source: Source, now: float) -> None:
        if source.closed or source.job_running:
            return
        if source.op is not None and source.ended is None:
            source.ended = now
            self._reorder(source)
        if source.op is not None and not source.priced:
            if source.in_flight:
                return  # guesses under way would be counted among what is left
            self._count_enriched(source, source.op)
        if source.expect is not None and source.expect <= 0 and source.unread:
            self._leave(source, source.unread)
            source.unread.clear()
        if source.unread or source.in_flight:
            if source.op is not None and not source.in_flight and source.served:
                source.closed = True  # the rest of the op is another call's to read
            return
        if source.op is None:
            self._leave(source, source.pending)
            source.closed = True
        else:
            self._settle(source, source.op, now)

    def _reorder(self, source: Source) -> None:
        # A wrong guess went back to the front; reads go on in the order sent, the needed first.
        way = -1 if source.backwards else 1
        source.unread = deque(
            sorted(
                source.unread,
                key=lambda one: (one not in source.needed, way * source.position[one]),
            )
        )

    def _count_enriched(self, source: Source, op: Op) -> None:
        """Where a job left leads out, ask once how many it enriched: no more need be read."""
        source.priced = True
        left = list(source.unread)
        if left and (op.job_status == "FAILED" or op.limited):
            source.expect = self._api.preview(left).already_enriched

    def _leave(self, source: Source, lead_ids: Iterable[str]) -> None:
        failed = source.op is not None and source.op.job_status == "FAILED"
        for lead_id in lead_ids:
            self.outcomes[lead_id] = "failed" if failed else "not_enriched"
            # An op may hold leads that only other calls wait for.
            self.left_out += not failed and lead_id in source.needed

    def _settle(self, source: Source, op: Op, now: float) -> None:
        """Every lead has been asked for after the job's end: decide on those that do not show."""
        if not source.pending:
            self._close(source, op)
        elif op.job_status == "FAILED" or op.limited:
            self._leave(source, source.pending)
            self._close(source, op)
        elif source.looks == len(_LOOKS):
            self._give_up(source, op)
        elif now >= (source.ended or now) + _LOOKS[source.looks]:
            self._look_again(source, op)

    def _look_again(self, source: Source, op: Op) -> None:
        source.looks += 1
        pending = list(source.pending)
        preview = self._api.preview(pending)
        source.shown = preview.already_enriched
        if preview.total_leads == 0 and all(kind == "404" for kind in source.pending.values()):
            self._unknown(source, pending)
            self._close(source, op)
        elif preview.already_enriched or source.looks == len(_LOOKS):
            source.unread.extend(pending)
            source.pending.clear()

    def _give_up(self, source: Source, op: Op) -> None:
        # Leads that the service counts as enriched were bought: they may be readable another day.
        # And whether an adopted job was sent all of them is only an inference.
        if not source.shown and op.credits_reserved is not None:
            self._unknown(source, [one for one, kind in source.pending.items() if kind == "404"])
        for lead_id in source.pending:
            self.outcomes[lead_id] = "failed"
        self._close(source, op)

    def _unknown(self, source: Source, lead_ids: list[str]) -> None:
        result = LeadResult("unknown_lead")
        self._store.results.save([(one, result) for one in lead_ids])
        for lead_id in lead_ids:
            source.pending.pop(lead_id, None)
            self._seen(lead_id, result)

    def _close(self, source: Source, op: Op) -> None:
        self._store.journal.update_op(op.id, state="done")
        op.state = "done"
        source.closed = True

    # What others see

    def _beat(self) -> None:
        now = time.monotonic()
        if now < self._beaten + _BEAT:
            return
        self._beaten = now
        for source in self._sources:
            if source.op is not None and not source.closed:
                self._show_life(source, source.op)

    def _show_life(self, source: Source, op: Op) -> None:
        mark = self._store.journal.op_mark(op.id)
        if mark is not None and source.beat is not None and mark[1] != source.beat:
            source.shared = True
        if source.shared:
            # What the other has read need not be read again.
            known = self._store.results.known(list(source.unread))
            source.unread = deque(one for one in source.unread if one not in known)
        source.beat = self._store.journal.beat(op.id)

    def _seconds_left(self) -> float | None:
        """Seconds until everything is read: the job's time or the budget's, whichever is longer."""
        now = time.monotonic()
        reads, longest = 0, 0.0
        for source in self._sources:
            if source.closed:
                continue
            reads += len(source.unread) + source.in_flight
            if source.job_running:
                left = source.poller.seconds_left(now)
                if left is None:
                    return None
                longest = max(longest, left)
        return max(longest, self._api.pacer.estimate(reads))


def read_result(answer: LeadEnrichment, *, job_running: bool) -> LeadResult | None:
    """What an answer says of its lead, or None where it is not enriched yet.

    Addresses without a date count once no job can still be adding to them.
    """
    if answer.enriched_at is None and (job_running or not answer.emails):
        return None
    moment = None if answer.enriched_at is None else _microseconds(answer.enriched_at)
    return LeadResult("found" if answer.emails else "not_found", answer.emails, moment)


def _microseconds(moment: datetime) -> int:
    # Integers throughout: a float of this size would round.
    return (moment - _EPOCH) // timedelta(microseconds=1)
