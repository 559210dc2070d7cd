"""Money: pricing leads, starting jobs, and finding out what became of a start without an answer.

The one place that sends a start. Each start is an op in the store's journal, written down before
its first byte leaves and closed only on an answer or on evidence::

    planned -> sending -> started -> done
               sending -> rejected | unknown
               unknown -> started | absent, or stays and `StartOutcomeUnknown` says so
"""

from __future__ import annotations

import contextlib
import time
import uuid
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from filelock import FileLock, Timeout

from leads_pandas.display import plural
from leads_pandas.errors import (
    APIError,
    AuthenticationError,
    LeadsError,
    NotFoundError,
    RateLimitError,
    ResponseError,
    StartOutcomeUnknown,
    StoreError,
    TransportError,
)
from leads_pandas.leadsapi.transport import PATIENCE
from leads_pandas.models import ActiveJob, CostPreview
from leads_pandas.pace.wait import Late
from leads_pandas.store.journal import DOUBTFUL

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from leads_pandas.leadsapi.client import LeadsClient
    from leads_pandas.store import Store
    from leads_pandas.store.journal import Op

_TOO_LARGE = 413
_NOT_CLEAR = (408, 409, 429)  # refusals that may hide a start that went through
_SNAPSHOT_AGE = 10.0  # seconds after which a price is too old to be held against later evidence
_UNSENT_TRIES = 4  # of a start that never left this machine
_RATE_LIMITED_TRIES = 4  # of a start refused for its rate, each with evidence looked at before
_FIT_PREVIEWS = 12  # requests spent at most on finding out how many leads a budget covers
# When the evidence is looked at, as shares of the settle time.
_LOOKS = (0.0, 0.02, 0.06, 0.12, 0.25, 0.45, 0.7, 1.0)
_LOOK_PAUSE = 1.0  # seconds between looks at a job that may be ours, growing to ten times that
_EVIDENCE_TIME = 60.0  # seconds to look for evidence where absence is never concluded


class Stale(Exception):  # noqa: N818 - a signal between two modules, never shown
    """The price no longer holds: others have claimed, started or finished leads meanwhile."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Leads priced together, to be started together.

    Attributes:
        lead_ids: the leads, in the order to be sent.
        query_id: the search to be started in their place, or None.
        preview: what the service said they cost.
        mark: the store's mark of starts when the service said so.
        limited: whether cap or balance left leads of the frame out.
        at: when the service said so, on `time.monotonic`.
    """

    lead_ids: list[str]
    query_id: str | None
    preview: CostPreview
    mark: tuple[int, int]
    limited: bool = False
    at: float = field(default_factory=time.monotonic)


def combine(previews: Sequence[CostPreview]) -> CostPreview:
    """The previews of several batches as one."""
    return CostPreview(
        total_leads=sum(one.total_leads for one in previews),
        already_enriched=sum(one.already_enriched for one in previews),
        to_enrich=sum(one.to_enrich for one in previews),
        estimated_credits=sum(one.estimated_credits for one in previews),
        available_credits=min((one.available_credits for one in previews), default=0),
    )


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the service shows of a start in doubt, at one look; None is what could not be had."""

    jobs: list[ActiveJob] | None
    preview: CostPreview | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one look at the evidence says.

    Attributes:
        kind: ``job``: one job fits and leads of ours are newly enriched; ``candidate``: one job
            fits, nothing is enriched yet; ``ran``: it ran, no job is left; ``partly``: some leads
            of ours are newly enriched, no job is left; ``quiet``: no trace at all; ``muddled``:
            anything else.
        job_id: the job that fits.
        words: what was seen, for a person.
    """

    kind: Literal["job", "candidate", "ran", "partly", "quiet", "muddled"]
    job_id: str | None
    words: str


def judge(op: Op, evidence: Evidence, own_jobs: set[str]) -> Verdict:
    """Weigh one look at the evidence; pure."""
    fitting, strange = _new_jobs(op, evidence.jobs, own_jobs)
    seen = []
    if evidence.jobs is None:
        seen.append("the running jobs could not be read")
    else:
        seen.append(
            f"{plural(len(fitting), 'new job')} of its size and {len(strange)} of another run"
        )
    preview = evidence.preview
    if preview is None or op.available_before is None or op.enriched_before is None:
        seen.append("the cost preview could not be read")
        return Verdict("muddled", None, ", ".join(seen))
    spent = op.available_before - preview.available_credits
    enriched = preview.already_enriched - op.enriched_before
    seen.append(f"the balance went down by {spent}")
    seen.append(f"{plural(enriched, 'lead')} of it became enriched")
    words = ", ".join(seen)
    if enriched >= max(op.to_enrich, 1) and preview.to_enrich == 0 and not fitting:
        # Whoever did it: there is nothing left of it to buy.
        return Verdict("job" if op.job_id else "ran", op.job_id, words)
    if evidence.jobs is not None:
        if len(fitting) == 1 and not strange:
            kind: Literal["job", "candidate"] = "job" if enriched > 0 else "candidate"
            return Verdict(kind, fitting[0].job_id, words)
        if not fitting and not strange:
            if enriched > 0:
                return Verdict("job" if op.job_id else "partly", op.job_id, words)
            if spent == 0 and enriched == 0:
                return Verdict("quiet", None, words)
    return Verdict("muddled", None, words)


def _new_jobs(
    op: Op, jobs: list[ActiveJob] | None, own_jobs: set[str]
) -> tuple[list[ActiveJob], list[ActiveJob]]:
    """The enrichments that came up since the snapshot: those of the op's size, and the others."""
    before = set(op.jobs_before or ()) | set(op.excluded_jobs) | own_jobs
    new = [one for one in jobs or () if one.type == "enrichment" and one.job_id not in before]
    # A service may count the IDs sent or the leads queued.
    sizes = (len(op.lead_ids), op.to_enrich, None)
    fitting = [one for one in new if one.lead_count in sizes]
    return fitting, [one for one in new if one.lead_count not in sizes]


class Purchase:
    """Prices leads and starts jobs for one call.

    Args:
        api: the client, within the call's deadline.
        store: the journal.
        settle: seconds of evidence before absence is concluded; None: never.
        deadline: moment of `time.monotonic` at which the call ends, or None.
        tick: called while waiting, with the phase to show.
    """

    def __init__(
        self,
        api: LeadsClient,
        store: Store,
        *,
        settle: float | None,
        deadline: float | None,
        tick: Callable[[Literal["starting", "unknown"]], None],
    ) -> None:
        self._api = api
        self._store = store
        self._settle = settle
        self._deadline = deadline
        self._tick = tick

    # Prices

    def price(self, lead_ids: Sequence[str]) -> list[Batch]:
        """Preview leads; a body refused as too large is split, and each half is a batch.

        Raises:
            APIError: the service said no.
            TransportError: no answer came.
        """
        ids = list(lead_ids)
        mark = self._store.journal.last_sent()
        try:
            return [Batch(ids, None, self._api.preview(ids), mark)]
        except APIError as error:
            if error.status_code != _TOO_LARGE or len(ids) == 1:
                raise
        half = len(ids) // 2
        return self.price(ids[:half]) + self.price(ids[half:])

    def price_query(self, lead_ids: Sequence[str], query_id: str) -> Batch:
        """Preview a whole search."""
        mark = self._store.journal.last_sent()
        return Batch(list(lead_ids), query_id, self._api.preview(query_id=query_id), mark)

    def fit(self, batch: Batch, credits_left: int) -> Batch | None:
        """The longest start of a batch that was seen to cost no more, or None."""
        if batch.preview.estimated_credits <= credits_left:
            return batch
        best: Batch | None = None
        low, high = 0, len(batch.lead_ids)
        low_cost, high_cost = 0, batch.preview.estimated_credits
        for step in range(_FIT_PREVIEWS):
            # As if the price were spread evenly; halving in between, where it is not.
            share = 0.5 if step % 2 else (credits_left - low_cost) / max(high_cost - low_cost, 1)
            size = min(max(low + int(share * (high - low)), low + 1), high - 1)
            if size <= low or credits_left <= low_cost:
                break
            preview = self._api.preview(batch.lead_ids[:size])
            if preview.estimated_credits <= credits_left:
                best = replace(batch, lead_ids=batch.lead_ids[:size], preview=preview, limited=True)
                low, low_cost = size, preview.estimated_credits
            else:
                high, high_cost = size, preview.estimated_credits
        return best if best is not None and best.preview.to_enrich else None

    # Starting

    def start(self, run_id: str, batch: Batch) -> tuple[Op, FileLock]:
        """Claim a batch and start it: the op, and its lock, which the caller releases.

        Raises:
            Stale: the price must be asked again; nothing was started.
            StartOutcomeUnknown: this start, or an older one, is in doubt.
            APIError: the service refused; its claims are released.
            TransportError: it never left this machine; its claims are released.
        """
        op_id = uuid.uuid4().hex
        lock = self._store.journal.op_lock(op_id)
        lock.acquire(timeout=0)
        try:
            claimed = self._store.journal.claim(
                run_id,
                op_id,
                batch.lead_ids,
                query_id=batch.query_id,
                to_enrich=batch.preview.to_enrich,
                estimate=batch.preview.estimated_credits,
            )
            if not claimed:
                raise Stale  # noqa: TRY301 - the lock goes the same way on every error
            try:
                with self._start_lock():
                    self.settle_doubts(but=op_id)
                    op = self._start_claimed(op_id, batch)
            except BaseException as error:
                self._drop_if_unsent(op_id, error)
                raise
            return op, lock
        except BaseException:
            lock.release()
            raise

    def _drop_if_unsent(self, op_id: str, error: BaseException) -> None:
        """Release the claims of an op that was never sent; the rest stays in the journal."""
        if isinstance(error, StoreError):
            return  # the journal itself is broken: what it says last is what holds
        op = self._store.journal.op(op_id)
        if op is not None and op.state == "planned":
            self._store.journal.update_op(op_id, state="rejected", note="never sent")

    def _start_lock(self) -> contextlib.AbstractContextManager[None]:
        return self._held(self._store.journal.start_lock())

    @contextlib.contextmanager
    def _held(self, lock: FileLock) -> Generator[None]:
        """Wait for a lock, showing signs of life, and hold it."""
        while True:
            try:
                lock.acquire(timeout=0)
                break
            except Timeout:
                self.pause(0.1, "starting")
        try:
            yield
        finally:
            lock.release()

    def _start_claimed(self, op_id: str, batch: Batch) -> Op:
        preview, mark = batch.preview, batch.mark
        unsent = limited = 0
        resend = False
        while True:
            aged = time.monotonic() > batch.at + _SNAPSHOT_AGE
            if resend or aged or mark != self._store.journal.last_sent():
                preview = self._preview(batch.lead_ids, batch.query_id)
                mark = self._store.journal.last_sent()
                if not preview.to_enrich or (
                    preview.estimated_credits > batch.preview.estimated_credits
                ):
                    raise Stale
            self._snapshot(op_id, preview, limited=batch.limited)
            try:
                return self._send(op_id, preview, batch.query_id)
            except LeadsError as error:
                failure = error
            op = self._store.journal.op(op_id)
            if op is None or op.state == "planned":
                raise failure  # it never came to the send
            if isinstance(failure, TransportError) and not failure.sent:
                unsent += 1
                self._store.journal.update_op(op_id, state="planned", note=failure.message)
                if unsent == _UNSENT_TRIES:
                    raise failure
                self.pause(0.25 * 2**unsent, "starting")
                resend = True
                continue
            if _is_clear_refusal(failure):
                self._store.journal.update_op(op_id, state="rejected", note=failure.message)
                raise failure
            self._store.journal.update_op(op_id, state="unknown", note=failure.message)
            if isinstance(failure, RateLimitError):
                limited += 1
                if (failure.retry_after or 0.0) > PATIENCE:
                    raise failure
                self.pause(failure.retry_after or 1.0, "starting")
            if self.reconcile(op):
                return op
            tries = limited if isinstance(failure, RateLimitError) else _RATE_LIMITED_TRIES
            if resend and tries >= _RATE_LIMITED_TRIES:
                self._store.journal.update_op(op_id, state="absent")
                failure.message += (
                    "; the service shows no job, no charge and no lead of it: nothing was spent"
                )
                raise failure
            self._store.journal.update_op(op_id, state="planned")
            resend = True

    def _preview(self, lead_ids: Sequence[str], query_id: str | None) -> CostPreview:
        if query_id is not None:
            return self._api.preview(query_id=query_id)
        return self._api.preview(lead_ids)

    def _snapshot(self, op_id: str, preview: CostPreview, *, limited: bool) -> None:
        """Keep what the service shows before the start, to be held against what it shows after."""
        self._store.journal.update_op(
            op_id,
            to_enrich=preview.to_enrich,
            estimate=preview.estimated_credits,
            limited=limited,
            available_before=preview.available_credits,
            enriched_before=preview.already_enriched,
            jobs_before=self._job_ids(),
        )

    def _job_ids(self) -> list[str] | None:
        try:
            return [one.job_id for one in self._api.jobs()]
        except AuthenticationError:
            raise
        except APIError:
            return None  # without it, only a job count of zero will count as evidence

    def _send(self, op_id: str, preview: CostPreview, query_id: str | None) -> Op:
        op = self._store.journal.op(op_id)
        if op is None:
            raise Stale

        def sending() -> None:
            # Durable before the first byte: no journal, no request.
            self._store.journal.update_op(op_id, state="sending", sent_at=time.time_ns() // 1000)

        self._tick("starting")
        job = self._api.send_start(
            None if query_id else op.lead_ids,
            query_id,
            max_credits=preview.estimated_credits,
            before=sending,
        )
        self._store.journal.update_op(
            op_id,
            state="started",
            job_id=job.job_id,
            credits_reserved=job.credits_reserved,
            leads_queued=job.leads_queued,
            limited=op.limited or job.leads_queued < preview.to_enrich,
        )
        return self._reload(op)

    def _reload(self, op: Op) -> Op:
        return self._store.journal.op(op.id) or op

    # Doubt

    def settle_doubts(self, *, but: str = "") -> None:
        """Find out what became of every older start in doubt; the caller holds the start lock.

        Raises:
            StartOutcomeUnknown: the evidence does not settle one of them.
        """
        for op in self._store.journal.open_ops():
            if op.state in DOUBTFUL and op.id != but:
                self._settle_one(op)

    def settle_doubt(self, op: Op) -> None:
        """Find out what became of one start in doubt; the caller holds no lock of it.

        Always the start lock first: two that took the locks in different orders would wait for
        each other for ever.

        Raises:
            StartOutcomeUnknown: the evidence does not settle it.
        """
        with self._start_lock():
            self._settle_one(op)

    def _settle_one(self, op: Op) -> None:
        with self._held(self._store.journal.op_lock(op.id)):
            current = self._reload(op)
            if current.state in DOUBTFUL and not self.reconcile(current):
                self._store.journal.update_op(op.id, state="absent")

    def reconcile(self, op: Op) -> bool:
        """Watch the evidence: True where the start went through, False where it never happened.

        Raises:
            StartOutcomeUnknown: neither can be told.
        """
        if op.state != "unknown":
            self._store.journal.update_op(op.id, state="unknown")
            op.state = "unknown"
        own = self._store.journal.own_jobs() - {op.job_id or ""}
        watch = _EVIDENCE_TIME if self._settle is None else self._settle
        began = time.monotonic()
        gone_at: float | None = None
        always_quiet = True
        pause = _LOOK_PAUSE
        while True:
            self._tick("unknown")
            looked = time.monotonic()
            verdict = judge(op, self._look(op), own)
            now = time.monotonic()
            if verdict.kind == "job" and verdict.job_id is not None:
                self._adopt(op, verdict.job_id)
                return True
            if verdict.kind == "ran":
                self._conclude_ran(op, "COMPLETED")
                return True
            always_quiet = always_quiet and verdict.kind == "quiet"
            if verdict.kind == "candidate":
                # A guess until a lead of ours is enriched by it; waiting for that costs nothing.
                if op.job_id != verdict.job_id:
                    op.job_id = verdict.job_id
                    self._store.journal.update_op(op.id, job_id=op.job_id)
                gone_at = None
                self.pause(pause if watch > pause else max(watch / 4, 0.05), "unknown")
                pause = min(pause * 1.3, 10 * _LOOK_PAUSE)
                continue
            if op.job_id is not None:
                gone_at = now if gone_at is None else gone_at
                if now < gone_at + watch:
                    self.pause(max(watch / 8, 0.05), "unknown")
                    continue
                # It has ended without enriching a lead of ours: it was somebody else's.
                op.excluded_jobs.append(op.job_id)
                op.job_id = None
                self._store.journal.update_op(op.id, job_id=None, excluded_jobs=op.excluded_jobs)
                always_quiet = verdict.kind == "quiet"
                continue
            if looked < began + watch:
                ahead = (began + share * watch for share in _LOOKS)
                self.pause(min((one for one in ahead if one > now), default=now) - now, "unknown")
                continue
            if verdict.kind == "partly":
                self._conclude_ran(op, "FAILED")
                return True
            if always_quiet and self._settle is not None:
                return False
            raise self._undecided(op, verdict)

    def _look(self, op: Op) -> Evidence:
        jobs: list[ActiveJob] | None = None
        preview: CostPreview | None = None
        with contextlib.suppress(APIError, TransportError):  # what cannot be had is no evidence
            jobs = self._api.jobs()
        with contextlib.suppress(APIError, TransportError):
            preview = self._preview(op.lead_ids, op.query_id)
        return Evidence(jobs, preview)

    def _adopt(self, op: Op, job_id: str) -> None:
        queued: int | None = None
        status: str | None = None
        try:
            job = self._api.status(job_id)
        except NotFoundError:
            status = "COMPLETED"
        else:
            queued = job.total_leads
            status = job.status if job.finished else None
        short = queued is not None and queued < op.to_enrich
        self._started(
            op,
            job_id=job_id,
            leads_queued=queued,
            job_status=status,
            limited=op.limited or short,
        )

    def _conclude_ran(self, op: Op, status: Literal["COMPLETED", "FAILED"]) -> None:
        self._started(op, job_id=None, leads_queued=None, job_status=status)

    def _started(self, op: Op, **fields: object) -> None:
        self._store.journal.update_op(op.id, state="started", **fields)
        fresh = self._reload(op)
        for name in ("state", "job_id", "leads_queued", "job_status", "limited"):
            setattr(op, name, getattr(fresh, name))

    def _undecided(self, op: Op, verdict: Verdict) -> StartOutcomeUnknown:
        sent = datetime.fromtimestamp((op.sent_at or 0) / 1e6, UTC).isoformat(timespec="seconds")
        error = StartOutcomeUnknown(
            f"a start of {plural(len(op.lead_ids), 'lead')} "
            f"({plural(op.estimate, 'credit')} at stake), sent at {sent}, got no answer, and the "
            f"evidence does not settle whether it was charged: {verdict.words}. Nothing more is "
            "started until it is settled: call the same line again to look again, or compare "
            "leads_pandas.jobs() and the account's credits, then call "
            'error.run.resolve(job_id="...") or error.run.resolve(not_started=True)'
        )
        error.run_id = op.run_id
        return error

    def resolve(self, op: Op, *, job_id: str | None) -> None:
        """Settle a start in doubt by a person's word; the caller holds its lock."""
        if job_id is None:
            self._store.journal.update_op(op.id, state="absent", note="resolved: not started")
        else:
            self._adopt(op, self._api.status(job_id).job_id)

    def pause(self, seconds: float, phase: Literal["starting", "unknown"]) -> None:
        """Wait, showing signs of life.

        Raises:
            Late: the deadline would pass.
        """
        ends = time.monotonic() + seconds
        if self._deadline is not None and ends > self._deadline:
            time.sleep(max(self._deadline - time.monotonic(), 0.0))
            raise Late(seconds)
        while (left := ends - time.monotonic()) > 0:
            self._tick(phase)
            time.sleep(min(left, 0.25))


def _is_clear_refusal(error: LeadsError) -> bool:
    """Whether the service surely did not start the job."""
    if not isinstance(error, APIError) or isinstance(error, ResponseError | RateLimitError):
        return False
    status = error.status_code or 0
    return 400 <= status < 500 and status not in _NOT_CLEAR  # noqa: PLR2004 - HTTP's classes
