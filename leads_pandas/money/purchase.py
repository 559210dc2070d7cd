"""The only sender of starts: each is an op in the journal, durable before its first byte leaves.

::

    planned -> sending -> started -> done
               sending -> rejected | unknown
               unknown -> started | absent, or stays and `StartOutcomeUnknown` says so
"""

from __future__ import annotations

import functools
import uuid
from typing import TYPE_CHECKING

from leads_pandas.display import plural
from leads_pandas.errors import (
    APIError,
    LeadsError,
    LeadsWarning,
    RateLimitError,
    ResponseError,
    StartOutcomeUnknown,
    StoreError,
    TransportError,
    Way,
)
from leads_pandas.leadsapi.transport import PATIENCE
from leads_pandas.money import prices
from leads_pandas.money.doubt import Doubts
from leads_pandas.money.plan import Batch, Stale
from leads_pandas.store.journal import DOUBTFUL
from leads_pandas.tracebacks import warn

if TYPE_CHECKING:
    from collections.abc import Callable

    from leads_pandas.leadsapi.client import LeadsClient
    from leads_pandas.models import StartedJob
    from leads_pandas.money.doubt import Tick
    from leads_pandas.store import Store
    from leads_pandas.store.journal import Op, OpLock

_NOT_CLEAR = (408, 409, 429)  # refusals that may hide a start that went through
_SNAPSHOT_AGE = 10.0  # seconds after which a price is too old to be held against later evidence
_UNSENT_TRIES = 4  # of a start that never left this machine
_RATE_LIMITED_TRIES = 4  # of a start refused for its rate, each with evidence looked at before
_UNCLEAR_TRIES = 2  # of a start without a clear answer, likewise
_SWIFT = 5.0  # seconds that a last look should take: an older one says less of the present
_LAST_LOOKS = 3  # at most: a service that is merely slow must not hold the start back for ever


class _Shown(Exception):  # noqa: N818 - a signal inside this module
    """The last look before a second start has shown something: it must not go out."""


class Purchase:
    """Starts jobs for one call.

    Args:
        api: the client, within the call's wait.
        store: the journal.
        settle: seconds of silence that prove that a start never happened; None: nothing does.
        tick: called while waiting, with the phase to show.
    """

    def __init__(self, api: LeadsClient, store: Store, *, settle: float | None, tick: Tick) -> None:
        self._api = api
        self._wait = api.wait
        self._journal = store.journal
        self._tick = tick
        self._warned = False
        self.doubts = Doubts(api, store, settle=settle, tick=tick)

    def start(self, run_id: str, batch: Batch) -> tuple[Op, OpLock]:
        """Claim a batch and start it: the op, and its lock, which the caller releases.

        Raises:
            Stale: the price must be asked again; nothing was started.
            StartOutcomeUnknown: it is in doubt whether it was started.
            APIError: the service refused; its claims are released.
            TransportError: it never left this machine; its claims are released.
        """
        op_id = uuid.uuid4().hex
        lock = self._journal.op_lock(op_id)
        lock.take()
        try:
            claimed = self._journal.claim(
                run_id,
                op_id,
                batch.lead_ids,
                to_enrich=batch.preview.to_enrich,
                estimate=batch.preview.estimated_credits,
            )
            if not claimed:
                raise Stale  # noqa: TRY301 - the lock goes the same way on every error
            try:
                return self._start(op_id, batch), lock
            except StoreError:
                raise  # the journal itself is broken: what it says last is what holds
            except BaseException:
                # What was never sent frees its leads; the rest stays in the journal.
                self._journal.move(op_id, ("planned",), "rejected", note="never sent")
                raise
        except BaseException:
            lock.release()
            raise

    def _start(self, op_id: str, batch: Batch) -> Op:
        failure = self._first(op_id, batch)
        tries = 1
        while failure is not None:
            op = self._op(op_id)
            self._wait_out(failure)
            if self.doubts.reconcile(op):
                return op
            limited = isinstance(failure, RateLimitError)
            if tries == (_RATE_LIMITED_TRIES if limited else _UNCLEAR_TRIES):
                if not self._journal.move(op_id, ("unknown",), "absent"):
                    raise Stale
                failure.meaning = (
                    "the service shows no job, no charge and no lead of it: nothing was spent"
                )
                raise failure
            failure = self._again(op)
            tries += 1
        return self._op(op_id)

    def _first(self, op_id: str, batch: Batch) -> LeadsError | None:
        """Send the start until it has left; why it has no clear answer, or None where it has."""
        preview, mark, at = batch.preview, batch.mark, batch.at
        with self.doubts.held(self._journal.start_lock(), "starting"):
            self.doubts.glance(but=op_id)
            unsent = 0
            while True:
                if self._wait.now() > at + _SNAPSHOT_AGE or mark != self._journal.last_sent():
                    preview, at = self._api.preview(batch.lead_ids), self._wait.now()
                    mark = self._journal.last_sent()
                    if not preview.to_enrich or (
                        preview.estimated_credits > batch.preview.estimated_credits
                    ):
                        raise Stale
                shown = self.doubts.snapshot(self._op(op_id), preview)
                self._warn_of_strangers(shown["jobs_before"] or [])
                self._journal.note(op_id, **shown)
                op = self._op(op_id)
                failure = self._send(op, functools.partial(self._mark, op, "planned"))
                if not isinstance(failure, TransportError) or failure.sent:
                    return failure
                self._journal.move(op_id, ("sending",), "planned", note=failure.what)
                unsent += 1
                if unsent == _UNSENT_TRIES:
                    raise failure
                self._wait.sleep(0.25 * 2**unsent, lambda: self._tick("starting"))
                at -= _SNAPSHOT_AGE

    def _again(self, op: Op) -> LeadsError | None:
        """Send a start that the evidence shows as absent, if a last look still does.

        The budget has granted it by then, so that nothing waits between that look and the start.
        """

        def last_look() -> None:
            case = self.doubts.case(op)
            for _ in range(_LAST_LOOKS):
                self._tick("unknown")
                self._wait.check()
                began = self._wait.now()
                look = self.doubts.look(case, op)
                if not case.is_silent(look):
                    raise _Shown
                if look.preview is None or look.preview.to_enrich != op.to_enrich:
                    # Others have enriched some of its leads: what is left is priced anew.
                    self._journal.move(op.id, ("unknown",), "absent")
                    raise Stale
                if self._wait.now() <= began + _SWIFT:
                    break
            self.doubts.remember(case, op)
            self._mark(op, "unknown")

        with self.doubts.held(self._journal.start_lock(), "starting"):
            try:
                failure = self._send(op, last_look)
            except _Shown:
                return TransportError("the last look before a second start has shown something")
        if isinstance(failure, TransportError) and not failure.sent:
            self._journal.move(op.id, ("sending",), "unknown", note=failure.what)
        return failure

    def _send(self, op: Op, before: Callable[[], None]) -> LeadsError | None:
        """Send a start once and write down its answer; an answer that leaves it open is returned.

        Raises:
            APIError: the service clearly refused.
            Stale: the op is not this call's to send any more.
        """
        self._tick("starting")
        try:
            job = self._api.send_start(
                self._journal.lead_ids(op.id), None, max_credits=op.estimate, before=before
            )
        except LeadsError as error:
            current = self._op(op.id)
            if current.state != "sending":
                raise  # it never came to the send
            if isinstance(error, TransportError) and not error.sent:
                return error
            if _is_clear_refusal(error):
                self._journal.move(op.id, ("sending",), "rejected", note=error.what)
                raise
            # It may be taken for as long as its answer was waited for, slow connecting included.
            waited = self._wait.now() - (current.sent_clock or 0.0)
            timeout = max(self._api.start_seconds, waited)
            self._journal.move(op.id, ("sending",), "unknown", note=error.what, timeout=timeout)
            return error
        self._answered(op, job)
        return None

    def _mark(self, op: Op, came_from: str) -> None:
        """Durable before the first byte: no journal, no request.

        Jobs that come up from now on may be this start's, whatever was closed for an earlier one.
        """
        sent = self._journal.move(
            op.id,
            ("unknown",) if came_from == "unknown" else ("planned",),
            "sending",
            sent_at=int(self._wait.clock.utc() * 1e6),
            sent_boot=self._wait.clock.boot,
            sent_clock=self._wait.now(),
            timeout=self._api.start_seconds,
            candidates={name: jobs for name, jobs in op.candidates.items() if name != "closed"},
        )
        if not sent:
            raise Stale

    def _answered(self, op: Op, job: StartedJob) -> None:
        fields = {
            "job_id": job.job_id,
            "provisional": False,
            "credits_reserved": job.credits_reserved,
            "leads_queued": job.leads_queued,
        }
        # In doubt, where somebody looks for it already whom no lock has kept away.
        if self._journal.move(op.id, DOUBTFUL, "started", **fields):
            return
        # Somebody has settled it meanwhile; what stands in the journal is not overwritten.
        self._journal.note(op.id, note=f"answered as job {job.job_id} after it was settled")
        error = StartOutcomeUnknown(
            f"a start of {plural(op.lead_count, 'lead')} was answered as job {job.job_id}, which "
            f"reserved {plural(job.credits_reserved, 'credit')}, after it had been settled by "
            "other means",
            "let that job end before anything is started again",
            Way("jobs"),
            Way("again"),
        )
        error.run_id = op.run_id
        raise error

    def _wait_out(self, failure: LeadsError) -> None:
        """Obey a refusal that asks for a wait, before anything else is asked.

        Raises:
            RateLimitError: it asks for too long a wait; the start stays in doubt.
        """
        if isinstance(failure, RateLimitError):
            if (failure.retry_after or 0.0) > PATIENCE:
                raise failure
            self._wait.sleep(failure.retry_after or 1.0, lambda: self._tick("starting"))

    def _warn_of_strangers(self, job_ids: list[str]) -> None:
        """Say once that jobs run which this store has not started."""
        strange = self.doubts.unknown_jobs(job_ids)
        if strange and not self._warned:
            self._warned = True
            warn(
                f"{plural(len(strange), 'job')} of this account that this store has not started "
                f"({', '.join(strange[:3])}) may be at work on the same leads, which would be "
                "charged twice: if another machine or an older copy of the store has started it, "
                "let it end first",
                LeadsWarning,
            )

    def _op(self, op_id: str) -> Op:
        op = self._journal.op(op_id)
        if op is None:
            raise Stale
        return op


def _is_clear_refusal(error: LeadsError) -> bool:
    """Whether the service surely did not start the job."""
    if not isinstance(error, APIError) or isinstance(error, ResponseError | RateLimitError):
        return False
    status = error.status_code or 0
    # A proxy may put a page of its own in the place of an answer; but what it holds for too large,
    # it has not passed on.
    said = error.worded or status == prices.TOO_LARGE
    return said and 400 <= status < 500 and status not in _NOT_CLEAR  # noqa: PLR2004 - HTTP's classes
