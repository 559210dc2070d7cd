"""Poll the jobs and read the leads, several at a time, each answer durable before it counts.

One loop in the caller's thread owns the store and every decision; worker threads only request.
It knows ops that have been started and leads that need no job; who may start what is `money`'s.
"""

from __future__ import annotations

import queue
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from leads_pandas.errors import (
    APIError,
    AuthenticationError,
    LeadsError,
    NotFoundError,
    RateLimitError,
    TransportError,
)
from leads_pandas.leadsapi.transport import WORKERS
from leads_pandas.models import CostPreview, JobStatus, LeadEnrichment, LeadResult, is_whole
from leads_pandas.pace.wait import Wait
from leads_pandas.reading.pool import Event, Pool, Task
from leads_pandas.reading.schedule import pays_to_search
from leads_pandas.reading.source import Source, left_out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from leads_pandas.leadsapi.client import LeadsClient
    from leads_pandas.models import LeadStatus
    from leads_pandas.store import Store
    from leads_pandas.store.journal import Op

_TICK = 0.25  # seconds between looks at the clock while nothing arrives
_PATIENT_FAILURES = 5  # leads in a row that cannot be read before the service is taken to be down
_EVENTS = 1000  # answers in one commit at most
_VANISHED = 5  # times the silence that is enough, after which a job that was seen has ended
_BLIND = 60.0  # seconds of watching where a client concludes nothing from silence
# After a job has ended, a lead may take a moment to show: seconds of the looks, 30 in all.
_LOOKS = (0.3, 1.0, 3.0, 7.0, 15.0, 30.0)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Collector:
    """Drives started ops and free reads to their end.

    Args:
        api: the client; its wait has the deadline and the clock.
        store: where every answer is committed.
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
        report: Callable[[float | None], None],
        seen: Callable[[str, LeadResult], None],
    ) -> None:
        stop = threading.Event()
        self._api = api
        self._wait = api.wait
        self._pool = Pool(api.within(Wait(clock=api.wait.clock, stop=stop)), stop)
        self._store = store
        self._report = report
        self._seen = seen
        self._settle_seconds = _BLIND if api.settle is None else api.settle
        self._failures = 0
        self._estimated = -_TICK
        self._left: float | None = None
        self._sources: list[Source] = []
        self.outcomes: dict[str, LeadStatus] = {}
        self.left_out = 0
        self.errors: list[LeadsError] = []

    def free(self, lead_ids: Iterable[str], *, expect: int | None = None) -> Source:
        """Leads to be read that need no job.

        Args:
            lead_ids: the leads.
            expect: how many of them are enriched, as the price said. Those that have become
                durable since are not read again. None: all are read, stored or not.
        """
        ids = list(lead_ids)
        if expect is not None:
            known = self._settled(ids)
            ids = [one for one in ids if one not in known]
            expect = max(expect - len(known), 0)
        return Source(None, ids, ids, ids, now=self._wait.now(), expect=expect)

    def of(self, op: Op, needed: Iterable[str] | None = None) -> Source:
        """The leads of a started op that have not been read, the needed ones first."""
        sent = self._store.journal.lead_ids(op.id)
        known = self._settled(sent)
        left = [one for one in sent if one not in known]
        wanted = left if needed is None else set(needed) & set(left)
        return Source(
            op,
            sent,
            left,
            wanted,
            now=self._wait.now(),
            settle=self._settle_seconds,
            foreign=sum(at < (op.sent_at or 0) for at, _ in self._store.results.dated([*known])),
        )

    def _settled(self, lead_ids: list[str]) -> set[str]:
        # A lead once unknown is asked for only where somebody wants it looked for again.
        known = self._store.results.known(lead_ids)
        return {one for one, status in known.items() if status != "unknown_lead"}

    def collect(self, sources: list[Source]) -> None:
        """Poll and read until every needed lead of these sources has come to its end.

        Raises:
            Late: the deadline passed.
            LeadsError: the service or the store cannot be used any more.
        """
        self._sources = sources
        try:
            while True:
                now = self._wait.now()
                for source in sources:
                    self._advance(source, now)
                if all(source.closed for source in sources):
                    return
                self._wait.check()
                self._dispatch(now)
                self._take_in(self._next_moment(now))
                if self._wait.now() >= self._estimated + _TICK:
                    self._estimated = self._wait.now()
                    self._left = self._seconds_left()
                self._report(self._left)
        finally:
            self._pool.close()

    # What to ask next

    def _dispatch(self, now: float) -> None:
        for source in self._sources:
            # While the budget cannot keep up, a poll tells nothing that could be used.
            if (
                source.job_running
                and not (source.closed or source.polling)
                and now >= source.poller.next_poll()
                and self._pool.busy < WORKERS // 4
            ):
                source.polling = True
                self._pool.submit(Task("poll", [source.job_id], source))
        for source in self._sources:
            while self._pool.busy < WORKERS:
                task = source.next_task(now)
                if task is None:
                    break
                source.in_flight += task.kind == "read"
                self._pool.submit(task)

    def _next_moment(self, now: float) -> float:
        """Seconds to wait for an answer before looking at the clock again."""
        wait = min(_TICK, self._wait.left())
        for source in self._sources:
            if source.job_running and not source.polling:
                wait = min(wait, source.poller.next_poll() - now)
        return max(wait, 0.02)

    # What has come in

    def _take_in(self, seconds: float) -> None:
        events: list[Event] = []
        try:
            events.append(self._pool.events.get(timeout=seconds))
            while len(events) < _EVENTS:
                events.append(self._pool.events.get_nowait())
        except queue.Empty:
            pass
        keep: list[tuple[str, LeadResult]] = []
        stop: Exception | None = None
        for event in events:
            self._pool.busy -= 1
            take = {"poll": self._polled, "look": self._looked}.get(event.task.kind)
            stop = (self._has_read(event, keep) if take is None else take(event)) or stop
        if keep:
            self._keep(keep)
        if stop is not None:
            raise stop

    def _keep(self, results: list[tuple[str, LeadResult]]) -> None:
        # Durable first: nobody is shown a lead that a crash could take back. And an op that is
        # read whole ends with its last lead: a crash in between would leave it open for ever.
        whole = [one for one in self._sources if one.whole and not one.closed]
        self._store.results.save(results, done=[one.op.id for one in whole if one.op])
        for source in whole:
            op = source.op
            if op is not None:
                found = max(op.found_emails, source.found)
                status = "FAILED" if op.job_status == "FAILED" else "COMPLETED"
                self._note(op, status, len(source.sent), found)
                op.state, source.closed = "done", True
        for lead_id, result in results:
            self._seen(lead_id, result)

    def _polled(self, event: Event) -> Exception | None:
        source = event.task.source
        source.polling = False
        op = source.op
        if op is None or source.closed:
            return None
        if isinstance(event.error, NotFoundError):
            self._dropped(source, op)
            return None
        if event.error is not None:
            return event.error
        status = event.value
        if isinstance(status, JobStatus):
            source.silence.seconds = source.enriched = None
            total = status.total_leads or len(source.sent)
            source.poller.observe(self._wait.now(), status.processed_leads, total)
            self._note(op, status.status, status.processed_leads, status.found_emails)
        return None

    def _dropped(self, source: Source, op: Op) -> None:
        """The service does not know a job of ours: it may not yet, or no more; its leads tell."""
        now = self._wait.now()
        source.poller.observe(now, source.poller.processed, len(source.sent))
        preview = self._api.preview(source.sent)
        if is_whole(preview, op.known):
            self._note(op, "COMPLETED", len(source.sent), op.found_emails)
            return
        still, source.enriched = (
            source.enriched == preview.already_enriched,
            preview.already_enriched,
        )
        # One that was too short to be listed had its time, and then its leads have theirs.
        age = self._since(op.sent_boot, op.sent_clock)
        had_its_time = (now - source.poller.began if age is None else age) >= self._settle_seconds
        source.silence.look(now, silent=still and had_its_time and not self._is_listed(op))
        if not source.silence.is_enough:
            return
        # Not listed, and nothing moves: it has ended, and what it left is let go.
        queued = op.to_enrich if op.leads_queued is None else op.leads_queued
        moved = preview.already_enriched - (op.enriched_before or 0)
        if moved >= queued:
            self._note(op, "COMPLETED", len(source.sent), op.found_emails)
        elif self._api.settle is not None and (op.job_status or moved > 0):
            # One whose worker has died may be put into the queue again, and go on from there.
            if source.silence.lasted(_VANISHED):
                self._note(op, "FAILED", preview.already_enriched, op.found_emails)
        elif self._store.journal.move(op.id, ("started",), "unknown"):
            # It may wait in a queue, or nothing is let prove anything: `money` finds out, or asks.
            op.state, source.closed = "unknown", True

    def _is_listed(self, op: Op) -> bool:
        try:
            return any(job.job_id == op.job_id for job in self._api.jobs())
        except APIError as error:
            if _ends_all(error):
                raise
            return True  # nothing is concluded from what cannot be seen

    def _note(self, op: Op, status: str, processed: int, found: int) -> None:
        op.job_status, op.processed, op.found_emails = status, processed, found
        if op.job_finished and self._since(op.ended_boot, op.ended_clock) is None:
            op.ended_at = op.ended_at or int(self._wait.clock.utc() * 1e6)
            op.ended_boot, op.ended_clock = self._wait.clock.boot, self._wait.now()
        self._store.journal.note(
            op.id,
            of_job=op.job_id,
            job_status=status,
            processed=processed,
            found_emails=found,
            ended_at=op.ended_at,
            ended_boot=op.ended_boot,
            ended_clock=op.ended_clock,
        )

    def _since(self, boot: str | None, moment: float | None) -> float | None:
        """Seconds since a moment of the clock that nobody sets; None: it was of no such clock."""
        if moment is None or boot != self._wait.clock.boot:
            return None
        passed = self._wait.now() - moment
        return None if passed < 0 else passed

    def _looked(self, event: Event) -> Exception | None:
        source = event.task.source
        if isinstance(event.value, CostPreview):
            source.scout.counted(event.value.already_enriched)
            return None
        source.scout.unanswered()
        return event.error if _ends_all(event.error) else None

    def _has_read(self, event: Event, keep: list[tuple[str, LeadResult]]) -> Exception | None:
        source, lead_id = event.task.source, event.task.keys[0]
        source.in_flight -= 1
        if isinstance(event.value, LeadEnrichment):
            self._failures = 0
            result = read_result(event.value, job_running=source.job_running)
            if result is None:
                source.missed(event.task, "empty")
            else:
                keep.append((lead_id, result))
                source.has_read(event.task, result)
            return None
        if isinstance(event.error, NotFoundError):
            self._failures = 0
            source.missed(event.task, "404")
            return None
        error = event.error
        if _ends_all(error) or not isinstance(error, LeadsError):
            return error
        self._failures += 1
        self.outcomes[lead_id] = "failed"
        self.errors.append(error)
        return error if self._failures >= _PATIENT_FAILURES else None

    # How a source comes to its end

    def _advance(self, source: Source, now: float) -> None:
        op = source.op
        if source.closed or source.in_flight:
            return
        if source.job_running:
            # What is left then is another call's to read.
            source.closed = source.served_early
            return
        if op is not None and source.ended is None:
            source.end(now)
            if op.job_status is not None and self._since(op.ended_boot, op.ended_clock) is None:
                # Whoever wrote the end down: from now on it is waited for what may show late.
                self._note(op, op.job_status, op.processed, op.found_emails)
            if source.unread and source.stopped_short:
                # Once it is known how many the job enriched, no more need be read.
                source.count(self._api.preview(list(source.unread)))
        if source.awaited is not None and source.awaited <= 0:
            source.put_off()
        if source.unread:
            # The rest of an op is another call's to read.
            source.closed = op is not None and source.served
        elif op is None:
            self._settle_free(source, now)
        else:
            self._settle(source, op, now)

    def _settle_free(self, source: Source, now: float) -> None:
        """All that is enriched has been read: tell the unknown leads from those not bought."""
        source.ended = source.ended or now
        if 0 < len(source.pending) <= (source.expect or 0) and source.looks < len(_LOOKS):
            # The service counts every one of them: they take a moment to show.
            if now >= source.ended + _LOOKS[source.looks]:
                source.looks += 1
                source.ask_again()
            return
        if source.strange is None:
            source.strange = self._strangers(list(source.pending))
            source.expect = None
            # Both must say so, the count and the lead itself.
            source.ask_again("unasked", source.strange)
            if source.unread:
                return
        gone = [one for one, how in source.pending.items() if how == "404"]
        self._unknown(source, [one for one in gone if one in source.strange])
        self._leave(source)

    def _settle(self, source: Source, op: Op, now: float) -> None:
        """Every lead has been asked for after the job's end: decide on those that do not show."""
        if not source.pending or (source.stopped_short and not source.owed):
            self._leave(source)
        elif source.looks == len(_LOOKS) or (source.looks and source.admits_less):
            self._give_up(source)
        elif now >= (source.ended or now) + _LOOKS[source.looks]:
            self._look_again(source)
            return
        else:
            return
        # A job that was only concluded may not be the only one: `money` decides on what it left.
        left = any(one in self.outcomes for one in source.sent)
        if (
            not self._is_late(source, op)
            and not (op.provisional and left)
            and self._store.journal.move(op.id, ("started",), "done")
        ):
            op.state = "done"

    def _is_late(self, source: Source, op: Op) -> bool:
        """Whether leads that were bought may still show: until then nobody starts them again."""
        since = self._since(op.ended_boot, op.ended_clock)
        return source.owed > 0 and since is not None and since < self._settle_seconds

    def _look_again(self, source: Source) -> None:
        source.looks += 1
        preview = self._api.preview(list(source.pending))
        gone = all(how == "404" for how in source.pending.values())
        if preview.total_leads == 0 and gone and not source.owed:
            self._unknown(source, list(source.pending))
        elif preview.already_enriched or source.looks == len(_LOOKS):
            source.expect = preview.already_enriched if source.stopped_short else None
            source.ask_again()

    def _give_up(self, source: Source) -> None:
        # Leads that were bought, or that the service counts, may be readable another day.
        if not source.owed:
            gone = [one for one, how in source.pending.items() if how == "404"]
            strange = self._strangers(gone)
            self._unknown(source, [one for one in gone if one in strange])
        bought = source.owed if source.stopped_short else len(source.pending)
        for one in [one for one in source.sent if one in source.pending][:bought]:
            self.outcomes[one] = "failed"
            del source.pending[one]
        self._leave(source)

    def _leave(self, source: Source) -> None:
        """Nothing more is to be had here: what is left was not enriched."""
        failed = source.op is not None and source.op.job_status == "FAILED"
        for lead_id in source.pending:
            self.outcomes[lead_id] = "failed" if failed else "not_enriched"
            # An op may hold leads that only other calls wait for.
            self.left_out += not failed and lead_id in source.needed
        source.closed = True

    def _strangers(self, lead_ids: list[str]) -> set[str]:
        """The leads that the service does not know; none that the store holds a result of."""
        held = self._store.results.known(lead_ids)
        ids = [one for one in lead_ids if one not in held]
        if not ids:
            return set()

        def count(part: list[str]) -> int:
            return self._api.preview(part).total_leads

        try:
            return set(left_out(ids, count(ids), count))
        except APIError as error:
            if _ends_all(error):
                raise
            return set()  # another day

    def _unknown(self, source: Source, lead_ids: list[str]) -> None:
        result = LeadResult("unknown_lead")
        bought = self._store.journal.bought(lead_ids)
        self.outcomes.update(dict.fromkeys(bought, "failed"))
        for one in bought:
            source.pending.pop(one, None)
        lead_ids = [one for one in lead_ids if one not in bought]
        self._store.results.save([(one, result) for one in lead_ids])
        for lead_id in lead_ids:
            source.pending.pop(lead_id, None)
            self._seen(lead_id, result)

    def _seconds_left(self) -> float | None:
        """Seconds until everything is read: the job's time or the budget's, whichever is longer."""
        now, pacer = self._wait.now(), self._api.pacer
        reads, longest = 0, 0.0
        for source in self._sources:
            if source.closed:
                continue
            reads += source.left
            if source.job_running:
                source.searching = pays_to_search(
                    source.poller, now, source.left, pacer.estimate, pacer.window
                )
                left = source.poller.seconds_left(now)
                if left is None:
                    return None
                longest = max(longest, left)
        return max(longest, pacer.estimate(reads))


def _ends_all(error: Exception | None) -> bool:
    """Whether nothing more can be had after this error, whatever is asked."""
    return not isinstance(error, APIError | TransportError) or isinstance(
        error, AuthenticationError | RateLimitError
    )


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
