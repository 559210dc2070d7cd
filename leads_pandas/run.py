"""One call from its lead IDs to its results: price, consent, claim, start, poll and read, done.

The only orchestration. It takes a client, a store, an order and a progress callback, and knows no
pandas: frames come and go in `enrichment` and `functions`.
"""

from __future__ import annotations

import logging
import time
import uuid
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Literal, Self

from filelock import FileLock, Timeout

from leads_pandas.display import duration, plural
from leads_pandas.errors import (
    CreditCapError,
    InsufficientCreditsError,
    JobFailedError,
    JobTimeoutError,
    LeadIdError,
    LeadsError,
    StoreError,
    UnknownRunError,
)
from leads_pandas.models import CostPreview, LeadResult, LeadStatus, Phase, RunStatus
from leads_pandas.money.purchase import Batch, Purchase, Stale, combine
from leads_pandas.pace.wait import Late, Wait
from leads_pandas.reading.collect import Collector
from leads_pandas.store.journal import DOUBTFUL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from leads_pandas.leadsapi.client import LeadsClient
    from leads_pandas.reading.source import Source
    from leads_pandas.store import Store
    from leads_pandas.store.journal import Op

_logger = logging.getLogger("leads_pandas")

_ROUNDS = 8  # prices asked anew at most because others keep claiming, starting or giving up leads
_WAIT = 0.2  # seconds between looks at an op that another process drives
_LOCK_TIMEOUT = 10.0  # seconds to wait for another process to let go of a start in doubt
_REPORT = 0.1  # seconds between two reports of progress
_PACE = 1.0  # seconds between two looks at the budget, and a wait for it that is worth telling


@dataclass(slots=True)
class Order:
    """What one call asks for.

    Attributes:
        lead_ids: unique lead IDs, in the frame's order.
        query_id: start this search in their place.
        max_credits: hard cap, or None.
        partial: whether leads may be left out for want of money, or because something failed.
        refresh: whether leads that the store holds are read again.
        consent: asked before credits are spent; raises `EnrichmentDeclined`.
    """

    lead_ids: list[str]
    query_id: str | None = None
    max_credits: int | None = None
    partial: bool = False
    refresh: bool = False
    consent: Callable[[CostPreview], None] | None = None


@dataclass(slots=True)
class _Plan:
    """What is to be bought and what merely to be read."""

    preview: CostPreview
    batches: list[Batch] = field(default_factory=list)
    reads: list[tuple[list[str], int | None]] = field(default_factory=list)


class Enrichment:
    """Carries one order out; used once, then closed.

    Args:
        client: the client.
        store: the store of its account.
        order: what is asked for.
        progress: told the status, the seconds left where they can be told, and why it takes its
            time where that is no job's doing.
        timeout: seconds for the whole call, or None.
        run_id: an earlier run to go on with: nothing is bought for it any more.
    """

    def __init__(
        self,
        client: LeadsClient,
        store: Store,
        order: Order,
        *,
        progress: Callable[[RunStatus, float | None, str], None] | None = None,
        timeout: float | None = None,
        run_id: str | None = None,
    ) -> None:
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._client = client
        self._api = client.within(Wait(deadline=self._deadline))
        self._store = store
        self._order = order
        self._progress = progress
        self._purchase = Purchase(
            self._api,
            store,
            settle=client.settle,
            deadline=self._deadline,
            tick=self._tick,
        )
        self._buying = run_id is None
        self._locks: dict[str, FileLock] = {}
        self._reads: list[tuple[list[str], int | None]] = []
        self._phase: Phase = "starting"
        self._reported = 0.0
        self._asked_pace, self._limited = 0.0, False
        self._need: list[str] = []
        self._needed: set[str] = set()
        self._driven: list[Source] = []
        self._collector: Collector | None = None
        self._left_out = 0  # by the collectors before that one
        self._read: set[str] = set()
        self._found = 0
        self._ops: dict[str, Op] = {}
        self.run_id = run_id
        self.preview: CostPreview | None = None
        self.outcomes: dict[str, LeadStatus] = {}
        self.errors: list[LeadsError] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the ops, so that an idle process holds nobody up."""
        for lock in self._locks.values():
            lock.release()
        self._locks.clear()

    # What the caller sees

    @property
    def job_ids(self) -> list[str]:
        """The jobs of this run, those attached to included."""
        return [op.job_id for op in self._ops.values() if op.job_id]

    @property
    def credits_reserved(self) -> int:
        """The credits of this run's jobs, those attached to included."""
        return sum(op.stake for op in self._ops.values() if op.state in ("started", "done"))

    def journal_states(self, run_id: str | None = None) -> list[str]:
        """What the journal says at this moment of the starts of a run, this one by default."""
        name = run_id or self.run_id
        return [op.state for op in self._store.journal.run_ops(name)] if name else []

    def status(self) -> RunStatus:
        """How far the run is."""
        processed = sum(
            len(op.lead_ids) if op.job_status == "COMPLETED" else op.processed
            for op in self._ops.values()
        )
        total = len(self._need) - self._left_out
        if self._collector is not None:
            total -= self._collector.left_out
        return RunStatus(
            phase=self._phase,
            processed=min(max(processed, len(self._read)), total),
            total=total,
            found_emails=min(
                max(self._found, sum(op.found_emails for op in self._ops.values())), total
            ),
            read=min(len(self._read), total),
            credits_reserved=self.credits_reserved,
        )

    def _report(self, seconds_left: float | None, *, now: bool = False) -> None:
        if self._progress is None:
            return
        moment = time.monotonic()
        if now or moment >= self._reported + _REPORT:
            self._reported = moment
            status = self.status()
            self._progress(status, seconds_left, self._why(status, moment))

    def _why(self, status: RunStatus, moment: float) -> str:
        """Why it takes its time, where that is no job's doing."""
        limit, settle = self._client.requests_per_minute, self._client.settle
        if status.phase == "unknown":
            until = "" if settle is None else f", looking up to {duration(settle)}"
            return f"the start got no answer{until}"
        if moment >= self._asked_pace + _PACE:
            self._asked_pace = moment
            behind = status.read < status.processed or status.phase == "reading"
            self._limited = bool(limit) and behind and self._api.pacer.estimate(1) >= _PACE
        return f"waiting for the limit ({limit} a minute)" if self._limited else ""

    def _tick(self, phase: Literal["starting", "unknown"]) -> None:
        self._phase = phase
        self._report(None)

    def _seen(self, lead_id: str, result: LeadResult) -> None:
        if lead_id in self._needed and lead_id not in self._read:
            self._read.add(lead_id)
            self._found += result.status == "found"

    # Buying

    def buy(self) -> None:
        """Price what is missing, ask for consent, and start it; returns once started.

        Raises:
            CreditCapError: it costs more than the cap.
            InsufficientCreditsError: it costs more than the balance.
            EnrichmentDeclined: consent was refused.
            LeadIdError: the query is not the frame's leads.
            StartOutcomeUnknown: a start is in doubt.
            LeadsError: the service or the store cannot be used.
        """
        try:
            self._buy()
        except Late:
            raise self._timed_out() from None
        except LeadsError as error:
            raise self._naming(error)  # noqa: B904 - the same error

    def _buy(self) -> None:
        known = self._store.results.known(self._order.lead_ids)
        settled = {one for one, status in known.items() if status != "unknown_lead"}
        if self._order.refresh:
            missing = [one for one in self._order.lead_ids if one not in settled]
            reread = [one for one in self._order.lead_ids if one in settled]
        else:
            missing = [one for one in self._order.lead_ids if one not in known]
            reread = []
        if not missing and not reread:
            return
        self._need = missing + reread
        self._needed = set(self._need)
        if reread:
            self._reads.append((reread, None))
        for _ in range(_ROUNDS):
            if self._order.query_id:
                self._wait_for_others()
                known = self._store.results.known(missing)
                missing = [one for one in missing if one not in known]
            claimed = self._claimed(missing)
            free = [one for one in missing if one not in claimed]
            if not free or self._buy_once(free):
                break
        self._note_run()

    def _buy_once(self, free: list[str]) -> bool:
        """Price, ask, and start; False where the price changed under way and is asked again."""
        try:
            plan = self._plan(free)
            self._consent(plan)
            self._note_run()
            self._start(plan)
        except Stale:
            return False
        self._reads += plan.reads
        return True

    def _claimed(self, lead_ids: list[str]) -> set[str]:
        """The leads that open ops hold; those of the dead that were never sent go free."""
        claims = self._store.journal.claims_on(lead_ids)
        taken: set[str] = set()
        for op_id, ids in claims.items():
            if op_id not in self._locks and self._discard_if_dead(op_id):
                continue
            taken.update(ids)
        return taken

    def _discard_if_dead(self, op_id: str) -> bool:
        """Close an op that was planned by a process that ended before it sent anything."""
        op = self._store.journal.op(op_id)
        if op is None or op.state in ("rejected", "absent", "done"):
            return True
        if op.state != "planned":
            return False
        lock = self._store.journal.op_lock(op_id)
        if not _took(lock):
            return False
        try:
            op = self._store.journal.op(op_id)
            if op is not None and op.state == "planned":
                self._store.journal.update_op(op_id, state="rejected", note="its process ended")
                return True
            return False
        finally:
            lock.release()

    def _reserved(self) -> int:
        """Credits of this call's starts and of the unfinished runs that it attaches to."""
        ops = {op.id: op for op in self._ops.values() if op.state in ("started", "done")}
        for op_id in self._store.journal.claims_on(self._order.lead_ids):
            op = self._store.journal.op(op_id)
            if op is not None:
                ops[op_id] = op
        return sum(op.stake for op in ops.values())

    def _plan(self, free: list[str]) -> _Plan:
        query = self._order.query_id
        batches = [self._query_batch(free)] if query else self._purchase.price(free)
        preview = combine([one.preview for one in batches])
        if self._claimed(free):
            raise Stale  # others were quicker: what they bought is neither ours to price nor to cap
        if not query and preview.total_leads < len(free):
            _logger.warning(
                "the service does not know %s of %s; are they in the right column? "
                "What it does not know costs nothing",
                f"{len(free) - preview.total_leads:,}",
                plural(len(free), "lead ID"),
            )
        plan = _Plan(preview)
        room = self._room(preview)
        for batch in batches:
            bought = batch
            if batch.preview.estimated_credits > room and self._order.partial:
                fitting = None if batch.query_id else self._purchase.fit(batch, room)
                rest = batch.lead_ids[len(fitting.lead_ids) if fitting else 0 :]
                enriched = batch.preview.already_enriched
                if fitting is not None:
                    enriched -= fitting.preview.already_enriched
                plan.reads.append((rest, enriched))
                if fitting is None:
                    continue
                bought = fitting
            if bought.preview.to_enrich:
                plan.batches.append(bought)
                room -= bought.preview.estimated_credits
            else:
                plan.reads.append((bought.lead_ids, bought.preview.already_enriched))
        return plan

    def _room(self, preview: CostPreview) -> int:
        """Credits that this call may still reserve.

        Raises:
            CreditCapError: the cap does not cover the price, and nothing may be left out.
            InsufficientCreditsError: the balance does not.
        """
        order = self._order
        reserved = self._reserved()
        room = preview.available_credits
        price = preview.estimated_credits
        if order.max_credits is not None:
            left = max(order.max_credits - reserved, 0)
            if preview.to_enrich and price > left and not order.partial:
                held = f" beside {reserved} already reserved" if reserved else ""
                raise CreditCapError(
                    f"{plural(preview.to_enrich, 'lead')} would cost "
                    f"{plural(price, 'credit')}{held}, more than max_credits={order.max_credits}; "
                    "nothing was spent: raise it, or pass partial=True to enrich what fits",
                    preview=self._whole(preview),
                )
            room = min(room, left)
        if preview.to_enrich and price > preview.available_credits and not order.partial:
            raise InsufficientCreditsError(
                f"{plural(preview.to_enrich, 'lead')} would cost {plural(price, 'credit')} and the "
                f"balance is {preview.available_credits}; nothing was spent: top up, or pass "
                "partial=True to enrich what fits",
                preview=self._whole(preview),
            )
        return room

    def _query_batch(self, free: list[str]) -> Batch:
        query = str(self._order.query_id)
        batch = self._purchase.price_query(free, query)
        ours = combine([one.preview for one in self._purchase.price(self._order.lead_ids)])
        theirs = batch.preview
        if (ours.total_leads, ours.to_enrich) != (theirs.total_leads, theirs.to_enrich):
            raise LeadIdError(
                f"the frame's IDs are not the leads of query {query!r}: the query has "
                f"{theirs.total_leads} leads with {theirs.to_enrich} to enrich, the frame "
                f"{ours.total_leads} with {ours.to_enrich}; nothing was spent: pass the frame of "
                "that search, or leave query_id out to enrich the frame's own IDs"
            )
        return batch

    def _wait_for_others(self) -> None:
        """A query's leads cannot be listed, so no other run may be open when it starts."""
        while True:
            others = [
                op.id
                for op in self._store.journal.open_ops()
                if op.id not in self._locks
                and not op.job_finished
                and not self._discard_if_dead(op.id)
            ]
            if not others:
                return
            self._drive({op_id: [] for op_id in others})

    def _whole(self, preview: CostPreview) -> CostPreview:
        """A preview of the missing leads, as one of the whole frame."""
        known = self._store.results.known(self._order.lead_ids)
        needed = set(self._need)
        held = sum(status != "unknown_lead" for one, status in known.items() if one not in needed)
        requests = len(self._need) + (2 if preview.to_enrich else 0)
        return replace(
            preview,
            total_leads=len(self._order.lead_ids),
            already_enriched=preview.already_enriched + held,
            estimated_seconds=self._client.pacer.estimate(requests),
        )

    def quote(self) -> CostPreview:
        """The price, asked once; nothing is written down.

        Raises:
            LeadsError: the service or the store cannot be used.
        """
        order = self._order
        known = self._store.results.known(order.lead_ids)
        missing = [
            one
            for one in order.lead_ids
            if one not in known or (order.refresh and known[one] == "unknown_lead")
        ]
        self._need = order.lead_ids if order.refresh else missing
        claimed = self._claimed(missing)
        free = [one for one in missing if one not in claimed]
        if order.query_id:
            preview = self._api.preview(query_id=order.query_id)
        else:
            # Where nothing is left to be bought, the balance is still worth asking for.
            preview = combine([one.preview for one in self._purchase.price(free or order.lead_ids)])
            if not free:
                preview = replace(preview, already_enriched=0, to_enrich=0, estimated_credits=0)
        return self._whole(preview)

    def _consent(self, plan: _Plan) -> None:
        self.preview = self._whole(plan.preview)
        if not plan.batches or self._order.consent is None:
            return
        bought = [one.preview for one in plan.batches]
        self._order.consent(
            replace(
                self.preview,
                to_enrich=sum(one.to_enrich for one in bought),
                estimated_credits=sum(one.estimated_credits for one in bought),
            )
        )

    def _note_run(self) -> None:
        """Write the run down, and the open ops that it depends on."""
        if self.run_id is None:
            run_id = uuid.uuid4().hex[:12]
            self._store.journal.add_run(
                run_id,
                self._order.lead_ids,
                query_id=self._order.query_id,
                partial=self._order.partial,
                preview=None if self.preview is None else asdict(self.preview),
            )
            self.run_id = run_id
        attached = list(self._store.journal.claims_on(self._need))
        self._store.journal.attach(self.run_id, attached)
        for op_id in attached:
            op = self._store.journal.op(op_id)
            if op is not None:
                self._ops[op_id] = op

    def _start(self, plan: _Plan) -> None:
        queue = list(plan.batches)
        while queue:
            batch = queue.pop(0)
            try:
                op, lock = self._purchase.start(str(self.run_id), batch)
            except LeadsError as error:
                status = getattr(error, "status_code", None)
                if status == 413 and len(batch.lead_ids) > 1 and not batch.query_id:  # noqa: PLR2004
                    half = len(batch.lead_ids) // 2
                    pieces = (batch.lead_ids[:half], batch.lead_ids[half:])
                    priced = [one for piece in pieces for one in self._purchase.price(piece)]
                    queue = [one for one in priced if one.preview.to_enrich] + queue
                    plan.reads += [
                        (one.lead_ids, one.preview.already_enriched)
                        for one in priced
                        if not one.preview.to_enrich
                    ]
                    continue
                if isinstance(error, InsufficientCreditsError) and (
                    self._order.partial or self._ops
                ):
                    # Read what has been bought before anything is said.
                    self.errors.append(error)
                    left = [one for late in (batch, *queue) for one in late.lead_ids]
                    enriched = sum(one.preview.already_enriched for one in (batch, *queue))
                    plan.reads.append((left, enriched))
                    return
                raise
            self._ops[op.id] = op
            self._locks[op.id] = lock
            self._phase = "enriching"
            self._report(None, now=True)

    # Finishing

    def finish(self) -> None:
        """Poll and read until everything this run waits for is durable in the store.

        Raises:
            JobTimeoutError: the call's time is up; the job goes on.
            JobFailedError: a job failed; what it found has been kept.
            LeadsError: leads were left out, or the service or the store cannot be used.
        """
        try:
            self._finish()
        except Late:
            raise self._timed_out() from None
        except LeadsError as error:
            raise self._naming(error)  # noqa: B904 - the same error

    def _finish(self) -> None:
        if not self._buying:
            self._go_on()
        while True:
            waiting = self._waiting_for()
            if waiting or self._reads:
                self._drive(waiting)
            elif not self._buy_what_others_left():
                break
        failed = any(op.job_status == "FAILED" for op in self._ops.values())
        self._phase = "failed" if failed else "done"
        self._report(0.0, now=True)
        if not self._order.partial and self.errors:
            raise self.errors[0]

    def _go_on(self) -> None:
        """Find out what an earlier run still waits for."""
        self._remember(self._order.lead_ids)
        self._ops = {op.id: op for op in self._store.journal.run_ops(str(self.run_id))}
        claimed = self._claimed(self._need)
        rest = [one for one in self._need if one not in claimed]
        if rest:
            preview = combine([one.preview for one in self._purchase.price(rest)])
            self._reads.append((rest, preview.already_enriched))

    def _remember(self, lead_ids: list[str]) -> None:
        known = self._store.results.known(lead_ids)
        self._need = [one for one in lead_ids if one not in known]
        self._needed = set(self._need)

    def _left(self) -> list[str]:
        """The leads whose end this call has not seen yet."""
        return [one for one in self._need if one not in self._read and one not in self.outcomes]

    def _waiting_for(self) -> dict[str, list[str] | None]:
        """The open ops that hold leads this run still needs; None where all of an op's are ours."""
        waiting: dict[str, list[str] | None] = {}
        for op_id, ids in self._store.journal.claims_on(self._left()).items():
            if op_id in self._locks:
                waiting[op_id] = None
            elif not self._discard_if_dead(op_id):
                waiting[op_id] = ids
        return waiting

    def _buy_what_others_left(self) -> bool:
        """Start the leads that another process claimed and gave up; False where none is left."""
        for one in self._store.results.known(self._left()):
            self._read.add(one)
        left = self._left()
        if not left:
            return False
        if self._buying:
            self._buy_once(left)
        else:
            self.outcomes.update(dict.fromkeys(left, "not_enriched"))
        return True

    def _drive(self, waiting: Mapping[str, list[str] | None]) -> None:
        """Drive every op that nobody else does, and wait a moment for those that somebody does."""
        self._phase = "enriching" if waiting else "reading"
        collector = Collector(
            self._api,
            self._store,
            report=self._collecting,
            seen=self._seen,
        )
        self._collector = collector
        sources = [collector.free(ids, expect=expect) for ids, expect in self._reads]
        self._reads = []
        held: list[FileLock] = []
        try:
            for op_id, needed in waiting.items():
                source = self._source(collector, op_id, needed, held)
                if source is not None:
                    sources.append(source)
            self._driven = sources
            if sources:
                collector.collect(sources)
            else:
                self._watch_others(waiting)
        finally:
            self.outcomes.update(collector.outcomes)
            self._collector = None
            self._left_out += collector.left_out
            for lock in held:
                lock.release()
        self._weigh(collector, sources)

    def _source(
        self,
        collector: Collector,
        op_id: str,
        needed: list[str] | None,
        held: list[FileLock],
    ) -> Source | None:
        """An op as something to drive, or None while somebody else does."""
        if op_id not in self._locks:
            lock = self._store.journal.op_lock(op_id)
            if not _took(lock) or not self._settled(op_id, lock):
                return None
            held.append(lock)
        op = self._store.journal.op(op_id)
        if op is None or op.state != "started":
            return None
        self._ops[op_id] = op
        return collector.of(op, needed)

    def _settled(self, op_id: str, lock: FileLock) -> bool:
        """Settle an op if its start is in doubt; whether its lock, held before, is held again."""
        op = self._store.journal.op(op_id)
        if op is None or op.state not in DOUBTFUL:
            return True
        # Let go first: whoever settles doubts takes the start lock before the op's.
        lock.release()
        self._phase = "unknown"
        self._purchase.settle_doubt(op)
        self._phase = "enriching"
        return _took(lock)

    def _watch_others(self, waiting: Iterable[str]) -> None:
        for op_id in waiting:
            op = self._store.journal.op(op_id)
            if op is not None:
                self._ops[op_id] = op
        for one, status in self._store.results.known(self._left()).items():
            self._read.add(one)
            self._found += status == "found"
        self._report(None)
        if self._deadline is not None and time.monotonic() + _WAIT > self._deadline:
            raise Late(_WAIT)
        time.sleep(_WAIT)

    def _collecting(self, seconds_left: float | None) -> None:
        running = any(source.job_running for source in self._driven)
        self._phase = "enriching" if running else "reading"
        self._report(seconds_left)

    def _weigh(self, collector: Collector, sources: list[Source]) -> None:
        """Put into errors what was left out, and why; they are raised when all has been read."""
        for source in sources:
            op = source.op
            if op is None:
                continue
            if op.state == "done" and op.id in self._locks:
                self._locks.pop(op.id).release()
            lost = [one for one in op.lead_ids if self.outcomes.get(one) == "failed"]
            short = [one for one in op.lead_ids if self.outcomes.get(one) == "not_enriched"]
            job = op.job_id or "without an id"
            if op.job_status == "FAILED" and lost:
                self.errors.append(
                    JobFailedError(
                        f"job {job} failed with {plural(len(lost), 'lead')} not enriched; what it "
                        "found has been read and kept, the others are released: calling the same "
                        "line again prices them again and may charge them again"
                    )
                )
            elif lost and not collector.errors:
                self.errors.append(
                    JobFailedError(
                        f"job {job} completed, but {plural(len(lost), 'lead')} of it cannot be "
                        "read; the rest has been read and kept: call the same line again later, "
                        "it buys nothing twice"
                    )
                )
            elif short and not self._order.partial:
                self.errors.append(
                    InsufficientCreditsError(
                        f"job {job} left {plural(len(short), 'lead')} out for want of credits; "
                        "what it bought has been read and kept: top up and call the same line again"
                    )
                )
        if collector.errors:
            first = collector.errors[0]
            first.message = (
                f"{plural(len(collector.errors), 'lead')} could not be read ({first.message}); "
                "the rest has been read and kept: call the same line again, it buys nothing twice"
            )
            self.errors.append(first)

    # An earlier run, looked at from outside

    def peek(self) -> RunStatus:
        """How far an earlier run is: one request per active job.

        Raises:
            LeadsError: the service or the store cannot be used.
        """
        ids = self._order.lead_ids
        known = self._store.results.known(ids)
        self._need, self._read = ids, set(known)
        self._found = sum(status == "found" for status in known.values())
        self._ops = {op.id: op for op in self._store.journal.run_ops(str(self.run_id))}
        for op in self._ops.values():
            if op.state == "started" and op.job_id and not op.job_finished:
                job = self._api.status(op.job_id)
                op.job_status, op.processed = job.status, job.processed_leads
                op.found_emails = job.found_emails
                self._store.journal.update_op(
                    op.id,
                    job_status=job.status,
                    processed=job.processed_leads,
                    found_emails=job.found_emails,
                )
        self._phase = phase_of(list(self._ops.values()), unread=len(ids) - len(known))
        return self.status()

    def resolve(self, *, job_id: str | None) -> None:
        """Settle this run's starts in doubt by a person's word.

        Raises:
            UnknownRunError: none of its starts is in doubt.
            NotFoundError: the service does not know the job.
        """
        doubtful = [
            op for op in self._store.journal.run_ops(str(self.run_id)) if op.state in DOUBTFUL
        ]
        if not doubtful:
            raise UnknownRunError(
                f"no start of run {self.run_id} is in doubt; there is nothing to resolve"
            )
        for op in doubtful:
            lock = self._store.journal.op_lock(op.id)
            lock.acquire(timeout=_LOCK_TIMEOUT)
            try:
                self._purchase.resolve(op, job_id=job_id)
            finally:
                lock.release()

    # Errors

    def _timed_out(self) -> LeadsError:
        jobs = ", ".join(self.job_ids)
        if set(self.journal_states()) & set(DOUBTFUL):
            words = "the time is up with a start in doubt; calling again looks what became of it"
        elif jobs:
            words = f"the time is up before the run is done; job {jobs} goes on, nothing is lost"
        else:
            words = "the time is up; no job has been started by this call"
        return self._naming(JobTimeoutError(words))

    def _naming(self, error: LeadsError) -> LeadsError:
        """Say which run an error belongs to, and how to go on."""
        if error.run_id is None:
            error.run_id = self.run_id
        if error.run_id is None:
            return error
        if isinstance(error, StoreError):
            states: list[str] = [
                op.state for op in self._ops.values()
            ]  # the journal may be out of reach
        else:
            states = list(self.journal_states(error.run_id))
        if any(state != "rejected" for state in states):
            error.message += f'; go on with leads_pandas.resume("{error.run_id}")'
        return error


def _took(lock: FileLock) -> bool:
    """Take a lock if nobody holds it."""
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True


def phase_of(ops: list[Op], *, unread: int) -> Phase:
    """The phase of a run, from its starts and the number of leads not read yet."""
    states = {op.state for op in ops}
    if states & set(DOUBTFUL):
        return "unknown"
    if "planned" in states:
        return "starting"
    if any(op.state == "started" and not op.job_finished for op in ops):
        return "enriching"
    if any(op.job_status == "FAILED" for op in ops):
        return "failed"
    return "reading" if unread and "started" in states else "done"
