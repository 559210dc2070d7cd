"""Driving starts to their end: one's own, those that nobody drives, and waiting for others.

Whoever holds an op's lock drives it. Nothing here starts or prices anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from leads_pandas.display import plural
from leads_pandas.errors import (
    InsufficientCreditsError,
    JobFailedError,
    LeadsError,
    StartOutcomeUnknown,
    Way,
)
from leads_pandas.reading.collect import Collector
from leads_pandas.store.journal import DOUBTFUL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping, Sequence

    from leads_pandas.leadsapi.client import LeadsClient
    from leads_pandas.models import LeadResult, LeadStatus
    from leads_pandas.money.doubt import Doubts
    from leads_pandas.reading.source import Source
    from leads_pandas.reading.tally import Tally
    from leads_pandas.store import Store
    from leads_pandas.store.journal import Op, OpLock

_WAIT = 0.2  # seconds between looks whether another process has written anything


class Driving:
    """Reads what one call waits for.

    Args:
        api: the client, within the call's wait.
        store: the store of its account.
        doubts: settles starts in doubt.
        tally: counts what is read.
        report: told often, with the seconds left where they can be told.
        partial: whether leads may be left out for want of money.

    Attributes:
        outcomes: what became of the leads that have no result.
        errors: why leads are missing; raised when all has been read.
        others: starts whose end other calls have seen to.
    """

    def __init__(
        self,
        api: LeadsClient,
        store: Store,
        doubts: Doubts,
        tally: Tally,
        report: Callable[[float | None], None],
        *,
        partial: bool,
    ) -> None:
        self._api = api
        self._store = store
        self._doubts = doubts
        self._tally = tally
        self._report = report
        self._partial = partial
        self._sources: list[Source] = []
        self._left_out: Callable[[], int] = int
        self.outcomes: dict[str, LeadStatus] = {}
        self.errors: list[LeadsError] = []
        self.others: set[str] = set()

    def close_finished(self) -> None:
        """Close the starts whose every lead has been read and that nobody drives any more."""
        for op_id in self._store.journal.finished_ops():
            lock = self._store.journal.op_lock(op_id)
            if lock.take(waiting=False):
                try:
                    self._store.journal.move(op_id, ("started",), "done")
                finally:
                    lock.release()

    def drive(
        self,
        waiting: Mapping[str, list[str]],
        reads: Sequence[tuple[list[str], int | None]],
        own: MutableMapping[str, OpLock],
    ) -> None:
        """Drive every op that nobody else does, and wait a moment for those that somebody does.

        Args:
            waiting: the open ops, and the leads of each that this call needs.
            reads: leads that need no op, and how many of them are enriched, where that is known.
            own: the ops of this call, whose locks it holds.

        Raises:
            Late: the call's time is up.
            StartOutcomeUnknown: a start in doubt is not settled by the evidence; all else was read.
            LeadsError: the service or the store cannot be used.
        """
        self._tally.phase = "enriching" if waiting else "reading"
        collector = Collector(self._api, self._store, report=self._collecting, seen=self._seen)
        before = [self.outcomes.get(one) for one in self._tally.need].count("not_enriched")
        self._left_out = lambda: before + collector.left_out
        self._sources = [collector.free(ids, expect=expect) for ids, expect in reads]
        held: list[OpLock] = []
        others: list[str] = []
        doubt: StartOutcomeUnknown | None = None
        try:
            for op_id, needed in waiting.items():
                if op_id in own:
                    self._add(collector, op_id, None)
                    continue
                # Its own to release before it is taken: an interrupt may come in between.
                held.append(self._store.journal.op_lock(op_id))
                try:
                    taken = self._taken(held[-1], op_id)
                except StartOutcomeUnknown as error:
                    doubt = doubt or error
                    continue
                if not taken:
                    others.append(op_id)
                elif not self._add(collector, op_id, needed):
                    held.pop().release()
            if self._sources:
                try:
                    collector.collect(self._sources)
                    self._tally.left_out = self._left_out()
                finally:
                    self.outcomes.update(collector.outcomes)
                self._end(collector, own)
            elif others and doubt is None:
                self._watch_others(others)
            if doubt is not None:
                raise doubt
        finally:
            for lock in held:
                lock.release()

    def refresh(self) -> None:
        """Take in what others have made durable and written into the journal meanwhile."""
        for lead_id, status in self._store.results.known(self._tally.left(self.outcomes)).items():
            if status != "unknown_lead" or lead_id not in self._tally.unknown:
                self._tally.saw(lead_id, status)
        for op_id in self._tally.ops:
            op = self._store.journal.op(op_id)
            if op is not None:
                self._tally.ops[op_id] = op

    def _taken(self, lock: OpLock, op_id: str) -> bool:
        """Take an op that nobody drives, once its start is not in doubt any more."""
        if not lock.take():
            return False
        op = self._store.journal.op(op_id)
        if op is None or op.state not in DOUBTFUL:
            return True
        lock.release()
        self._tally.phase = "unknown"
        self._doubts.settle(op_id)
        self._tally.phase = "enriching"
        return lock.take()

    def _add(self, collector: Collector, op_id: str, needed: list[str] | None) -> bool:
        """Drive an op, if there is anything left of it to be driven."""
        op = self._store.journal.op(op_id)
        if op is None or op.state != "started":
            return False
        self._tally.ops[op_id] = op
        self.others.discard(op_id)
        self._sources.append(collector.of(op, needed))
        return True

    def _watch_others(self, waiting: Sequence[str]) -> None:
        """Wait for other processes, asking nothing until one of them has written something."""
        self.others.update(waiting)
        for op_id in waiting:
            op = self._store.journal.op(op_id)
            if op is not None:
                self._tally.ops[op_id] = op
        self._report(None)
        version = self._store.journal.version()
        while True:
            self._api.wait.sleep(_WAIT)
            self._report(None)
            free = [self._store.journal.op_lock(op_id) for op_id in waiting]
            if self._store.journal.version() != version or any(map(_is_free, free)):
                return

    def _collecting(self, seconds_left: float | None) -> None:
        running = any(source.job_running for source in self._sources)
        self._tally.phase = "enriching" if running else "reading"
        self._tally.left_out = self._left_out()
        self._report(seconds_left)

    def _seen(self, lead_id: str, result: LeadResult) -> None:
        self._tally.saw(lead_id, result.status)

    def _end(self, collector: Collector, own: MutableMapping[str, OpLock]) -> None:
        """Close what has come to its end, and put into errors what was left out, and why."""
        for source in self._sources:
            op = source.op
            if op is None:
                continue
            if op.state == "unknown":
                if op.id in own:
                    own.pop(op.id).release()
                continue
            if op.state == "started" and op.provisional and not self._is_over(op, source):
                continue
            if op.state == "done" and op.id in own:
                own.pop(op.id).release()
            self._weigh(op, source, read_errors=bool(collector.errors))
        if collector.errors:
            first = collector.errors[0]
            first.what = f"{plural(len(collector.errors), 'lead')} could not be read ({first.what})"
            first.meaning = "the rest has been read and kept, and nothing is bought twice"
            first.ways = (Way("again"),)
            self.errors.append(first)

    def _is_over(self, op: Op, source: Source) -> bool:
        """Whether a concluded job and all that may be it have ended; else it is driven on."""
        if any(one in source.needed for one in source.unread):
            return True
        if not self._doubts.is_over(op):
            # There is more to come: what looked lost is looked for again.
            for one in source.sent:
                self.outcomes.pop(one, None)
            return False
        if self._store.journal.move(op.id, ("started",), "done"):
            op.state = "done"
        return True

    def _weigh(self, op: Op, source: Source, *, read_errors: bool) -> None:
        lost = sum(self.outcomes.get(one) == "failed" for one in source.sent)
        short = sum(self.outcomes.get(one) == "not_enriched" for one in source.sent)
        job = op.job_id or "without an id"
        if op.job_status == "FAILED" and lost:
            self.errors.append(
                JobFailedError(
                    f"job {job} failed with {plural(lost, 'lead')} not enriched",
                    "what it found has been read and kept, the others are released: the same line "
                    "prices them again and may charge them again",
                    Way("again"),
                )
            )
        elif lost and not read_errors:
            self.errors.append(
                JobFailedError(
                    f"job {job} completed, but {plural(lost, 'lead')} of it cannot be read",
                    "the rest has been read and kept, and nothing is bought twice",
                    Way("later"),
                )
            )
        elif short and not self._partial:
            self.errors.append(
                InsufficientCreditsError(
                    f"job {job} left {plural(short, 'lead')} out for want of credits",
                    "what it bought has been read and kept",
                    Way("top_up"),
                    Way("again"),
                )
            )


def _is_free(lock: OpLock) -> bool:
    """Whether nobody drives an op at this moment."""
    if not lock.take(waiting=False):
        return False
    lock.release()
    return True
