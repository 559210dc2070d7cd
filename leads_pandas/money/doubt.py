"""Starts in doubt: gathering evidence from the service, and journalling what it proves.

The conclusions are `evidence`'s; here the looks are taken, the waits are waited, and the journal is
moved. Nothing here sends a start.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from leads_pandas.display import plural
from leads_pandas.errors import (
    APIError,
    AuthenticationError,
    NotFoundError,
    StartOutcomeUnknown,
    TransportError,
    UnknownRunError,
    Way,
)
from leads_pandas.models import is_whole
from leads_pandas.money import ledger
from leads_pandas.money.evidence import BLIND, Before, Case, Look, Verdict, is_charge
from leads_pandas.money.plan import Stale
from leads_pandas.store.journal import DOUBTFUL, Op

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from leads_pandas.leadsapi.client import LeadsClient
    from leads_pandas.models import ActiveJob, CostPreview, Transaction
    from leads_pandas.pace.wait import Wait
    from leads_pandas.store import Store
    from leads_pandas.store.journal import OpLock

    Tick = Callable[[Literal["starting", "unknown"]], None]

T = TypeVar("T")

_LOOK, _LOOKS_GROW, _LONGEST_LOOK = 1.0, 1.5, 10.0  # seconds between looks: first, times, longest
_LOOKS_PER_SETTLE = 6  # at least so many looks in the time that proves absence
_PAGE, _PAGES = 100, 10  # transactions read at most
_LATEST = 120.0  # seconds in which a start of an earlier version could be answered
_TAKE = 0.2  # seconds between two tries to take a lock


class Doubts:
    """Finds out what became of starts without an answer.

    Args:
        api: the client, within the call's wait.
        store: the journal of its account.
        settle: seconds of silence that prove absence; None: nothing does.
        tick: called while waiting, with the phase to show.
    """

    def __init__(self, api: LeadsClient, store: Store, *, settle: float | None, tick: Tick) -> None:
        self._api = api
        self._wait = api.wait
        self._journal = store.journal
        self._settle = settle
        self._tick = tick

    # Looking

    def snapshot(self, op: Op, preview: CostPreview) -> dict[str, Any]:
        """What the service shows before a start, as fields of its op.

        It is compared with that of the start before it, so no other may be sent meanwhile.

        Raises:
            AuthenticationError: the key is not accepted.
        """
        jobs = self._had(self._api.jobs)
        at = int(self._wait.clock.utc() * 1e6)
        earlier = [one for one in self._journal.sent(ledger.since(at)) if one.id != op.id]
        last = max(earlier, key=lambda one: one.number, default=None)
        known = None if last is None else (last.evidence or {}).get("transaction")
        book = None if known is None else self._had(lambda: self._since(known))
        evidence: dict[str, Any] = {"at": at, "transaction": self._newest(known, book)}
        if book is not None:
            evidence["booked"] = [-one.amount for one in book if is_charge(one)]
        elif evidence["transaction"] is None:
            evidence |= self._used()
        return {
            "to_enrich": preview.to_enrich,
            "estimate": preview.estimated_credits,
            "available_before": preview.available_credits,
            "enriched_before": preview.already_enriched,
            "jobs_before": None if jobs is None else [one.job_id for one in jobs],
            "evidence": evidence,
        }

    def unknown_jobs(self, job_ids: list[str]) -> list[str]:
        """Of these running jobs, those that this store knows nothing of."""
        known = self._journal.answered()
        doubtful = {
            one
            for op in self._journal.open_ops()
            for one in (*op.candidates.get("may be", {}), op.job_id)
        }
        return [one for one in job_ids if one not in known and one not in doubtful]

    def case(self, op: Op) -> Case:
        """A start in doubt, as `evidence` weighs it."""
        more = op.evidence or {}
        timeout = _LATEST if op.timeout is None else op.timeout
        # A clock that people set is not asked; where the other one has begun anew, nothing passed.
        boot, passed = self._wait.clock.boot, 0.0
        if op.sent_clock is not None and boot and op.sent_boot == boot:
            passed = max(self._wait.now() - op.sent_clock, 0.0)
        return Case(
            size=op.lead_count,
            estimate=op.estimate,
            before=Before(
                jobs=None if op.jobs_before is None else frozenset(op.jobs_before),
                available=op.available_before,
                enriched=op.enriched_before,
                to_enrich=op.to_enrich,
                transaction=more.get("transaction"),
                used=more.get("used"),
                reset=more.get("reset"),
            ),
            until=self._wait.now() + timeout - passed,
            settle=self._settle,
            candidates=self._candidates(op),
            strangers=dict(op.candidates.get("cannot be", {})),
            closed="closed" in op.candidates,
        )

    def _candidates(self, op: Op) -> dict[str, int]:
        """The jobs that may be a start's own, and their sizes, as far as anybody has seen them."""
        found = self._seen_besides(op) | op.candidates.get("may be", {})
        if op.job_id:
            found[op.job_id] = max(op.leads_queued or 0, found.get(op.job_id, 0))
        return found

    def _seen_besides(self, op: Op) -> dict[str, int]:
        """The jobs that came up while later starts were looked for, and may be this one's.

        They may have ended before anybody looks for this one. They explain no charge, hence 0: some
        are the later starts' own.
        """
        if "closed" in op.candidates:
            return {}
        known = {*(op.jobs_before or ()), *op.candidates.get("cannot be", {})}
        known |= self._journal.answered()
        seen = self._journal.seen(op.number)
        return {one: 0 for one, size in seen.items() if size <= op.lead_count and one not in known}

    def look(self, case: Case, op: Op) -> Look:
        """One look; the jobs come before the price, which shows whatever they no longer do.

        Its moment is when it began: an answer that was long on its way tells of no later one.
        """
        at = self._wait.now()
        more = op.evidence or {}
        book = None
        used: dict[str, Any] = {}
        if case.before.transaction is not None:
            book = self._had(lambda: self._since(str(case.before.transaction)))
        elif more.get("used") is not None:
            used = self._used()
        jobs = self._had(self._api.jobs)
        ended, completed = self._ended(case, jobs)
        preview = self._had(lambda: self._api.preview(self._journal.lead_ids(op.id)))
        answered = self._journal.answered()
        others = [
            one for one in self._journal.sent(ledger.since(ledger.taken(op))) if one.id != op.id
        ]
        seen = Look(
            at=at,
            jobs=jobs,
            preview=preview,
            transactions=book,
            used=used.get("used"),
            reset=used.get("reset"),
            ended=frozenset(ended),
            completed=frozenset(completed),
            own=frozenset(answered),
        )
        # A job that is too small for the start that took it may rather be this one's.
        sure = [
            one
            for one in others
            if not (one.provisional and one.took_less and one.job_id in case.candidates)
        ]
        rather = _with_others(seen, op, sure) if len(sure) < len(others) else None
        return replace(_with_others(seen, op, others), rather=rather)

    def _ended(self, case: Case, jobs: list[ActiveJob] | None) -> tuple[set[str], set[str]]:
        """Of the jobs that may be a start's and are not listed: those that ended, and completed."""
        listed = {one.job_id for one in jobs or ()}
        ended: set[str] = set()
        completed: set[str] = set()
        for job_id in case.candidates.keys() - listed:
            try:
                job = self._api.status(job_id)
            except NotFoundError:
                ended.add(job_id)
            except (APIError, TransportError):
                continue
            else:
                ended |= {job_id} if job.finished else set()
                completed |= {job_id} if job.status == "COMPLETED" else set()
        return ended, completed

    def _had(self, ask: Callable[[], T]) -> T | None:
        """An answer, or None where none can be had: what cannot be seen is no evidence."""
        try:
            return ask()
        except AuthenticationError:
            raise
        except (APIError, TransportError):
            return None

    def _newest(self, known: str | None, since: list[Transaction] | None) -> str | None:
        """The newest transaction's id; empty: there is none; None: it is not to be had."""
        if since is not None:
            return since[0].id if since else known
        book = self._had(lambda: self._page(0))
        return None if book is None else book[0].id if book else ""

    def _since(self, last: str) -> list[Transaction] | None:
        """The transactions newer than one; None where that one is not found any more."""
        found: list[Transaction] = []
        for number in range(_PAGES):
            page = self._page(number)
            if page is None:
                return None
            for one in page:
                if one.id == last:
                    return found
                found.append(one)
            if len(page) < _PAGE:
                return found if not last else None
        return None

    def _page(self, number: int) -> list[Transaction] | None:
        """Some transactions, the newest first; None where they come in another order."""
        page = self._api.transactions(limit=_PAGE, offset=number * _PAGE)
        dates = [one.created_at for one in page if one.created_at is not None]
        return None if dates and dates[0] < dates[-1] else page

    def _used(self) -> dict[str, Any]:
        """What the balance says of credits used, empty where it says nothing."""
        balance = self._had(self._api.balance)
        if balance is None or balance.used_credits is None or balance.last_reset_at is None:
            return {}
        return {"used": balance.used_credits, "reset": balance.last_reset_at.isoformat()}

    # Settling

    def reconcile(self, op: Op) -> bool:
        """Watch the evidence: True where the start went through, False where it never happened.

        The caller holds the op's lock.

        Raises:
            StartOutcomeUnknown: neither can be told.
            Stale: somebody else has settled it.
        """
        if op.state == "sending":
            self._moved(op, ("sending",), "unknown")

        def decide(_: Case, __: Look, verdict: Verdict) -> bool | None:
            # The service's word that it was taken stands against any silence.
            answered = op.job_id is not None and not op.provisional
            if verdict.kind == "undecided" or (verdict.kind == "absent" and answered):
                raise self.undecided(op, verdict.words)
            if verdict.kind in ("job", "ran"):
                self._adopt(op, verdict)
                return True
            return False if verdict.kind == "absent" else None

        return self._watch(op, decide)

    def _watch(self, op: Op, decide: Callable[[Case, Look, Verdict], bool | None]) -> bool:
        """Look again and again, less and less often, until that decides."""
        case, pause = self.case(op), _LOOK
        settle = BLIND if self._settle is None else self._settle
        longest = min(_LONGEST_LOOK, max(settle / _LOOKS_PER_SETTLE, 0.05))
        while True:
            self._tick("unknown")
            look, verdict = self._see(case, op)
            if (decided := decide(case, look, verdict)) is not None:
                return decided
            self._wait.sleep(min(pause, longest), lambda: self._tick("unknown"))
            pause *= _LOOKS_GROW

    def glance(self, *, but: str) -> None:
        """Look once at every other start in doubt that nobody looks at, and settle what is sure."""
        for op in self._journal.open_ops():
            if op.state not in DOUBTFUL or op.id == but:
                continue
            lock = self._journal.op_lock(op.id)
            if not lock.take(waiting=False):
                continue
            try:
                current = self._journal.op(op.id)
                if current is None or current.state not in DOUBTFUL:
                    continue
                _, verdict = self._see(self.case(current), current)
                if verdict.kind in ("job", "ran"):
                    with contextlib.suppress(Stale):
                        self._adopt(current, verdict)
            finally:
                lock.release()

    def settle(self, op_id: str) -> None:
        """Find out what became of one start in doubt; the caller holds no lock of it.

        Raises:
            StartOutcomeUnknown: the evidence does not settle it.
        """
        with self.held(self._journal.op_lock(op_id), "unknown"):
            op = self._journal.op(op_id)
            if op is not None and op.state in DOUBTFUL:
                with contextlib.suppress(Stale):
                    if not self.reconcile(op):
                        self._journal.move(op_id, ("unknown",), "absent")

    def is_over(self, op: Op) -> bool:
        """Whether a concluded job has ended for good, so that leads it left may be started again.

        The caller holds the op's lock and has read what there was to read.

        Returns:
            False where there is more to wait for or to read: another job may be the start's own.

        Raises:
            StartOutcomeUnknown: neither can be told.
        """
        first: int | None = None

        def decide(case: Case, look: Look, verdict: Verdict) -> bool | None:
            nonlocal first
            if is_whole(look.preview, op.known):
                return True
            if verdict.kind == "job" and not verdict.ended:
                self._journal.note(op.id, job_id=verdict.job_id, job_status=None)
                return False
            if look.preview is not None:
                first = look.preview.already_enriched if first is None else first
                if look.preview.already_enriched > first:
                    return False
            over = case.is_over(look.at)
            if over is None:
                self._moved(op, ("started",), "unknown")
                raise self.undecided(op, verdict.words)
            return over or None

        return self._watch(op, decide)

    def resolve(self, op: Op, *, job_id: str | None) -> None:
        """Settle a start in doubt by a person's word, held against the evidence.

        The caller holds the op's lock.

        Raises:
            StartOutcomeUnknown: it may be running, or may still be taken.
            NotFoundError: the service does not know the job.
            UnknownRunError: the job is another start's, or the doubt is gone.
        """
        if job_id is not None:
            if job_id in self._journal.answered():
                raise UnknownRunError(
                    f"job {job_id} is the answer to another start of this store",
                    "nothing was changed",
                    Way("jobs"),
                )
            found = self._api.status(job_id)
            other = op.credits_reserved is not None and job_id != op.job_id
            if other or job_id in (op.jobs_before or ()) or found.total_leads > op.lead_count:
                raise UnknownRunError(
                    f"job {job_id} ran before the start was sent, has more leads than it, or is "
                    "not the one that it was answered as",
                    "nothing was changed",
                    Way("jobs"),
                )
            self._adopt(op, Verdict("job", "", found.job_id, ended=found.finished), sure=True)
            return
        case = self.case(op)
        _, verdict = self._see(case, op)
        if verdict.kind == "job" and verdict.ended:
            # Some became enriched and nothing is listed: it may have ended, or still be at work.
            self._wait.sleep(min((self._settle or BLIND) / 10, 5.0), lambda: self._tick("unknown"))
            seen, (_, verdict) = verdict.words, self._see(case, op)
            moves = verdict.words != seen
        else:
            moves = verdict.kind == "job"
        now = self._wait.now()
        listed = case.listed
        if moves or listed or now < case.until:
            why = f"it may still be taken for {case.until - now:.0f} s"
            if moves or listed:
                jobs = f" as {', '.join(sorted(listed))}" * bool(listed)
                why = f"it may be running{jobs}"
            raise self._doubt(op, f"it cannot be taken for never started: {why} ({verdict.words})")
        self._moved(op, DOUBTFUL, "absent", note="resolved: not started")

    def undecided(self, op: Op, words: str) -> StartOutcomeUnknown:
        """The error that says all that a person needs to settle a start."""
        looked = _utc(self._wait.clock.utc())
        others = {
            one.run_id
            for one in self._journal.open_ops()
            if one.state in DOUBTFUL and one.run_id != op.run_id
        }
        blurred = (
            f"; a start of run {', '.join(sorted(others))} is in doubt as well and blurs what can "
            "be seen: settle that one first"
        ) * bool(others)
        of_it = "whether it was charged" if op.credits_reserved is None else "what became of it"
        return self._doubt(
            op, f"and the evidence until {looked} does not settle {of_it}: {words}{blurred}"
        )

    def _doubt(self, op: Op, why: str) -> StartOutcomeUnknown:
        answer = "got no answer"
        if op.credits_reserved is not None:
            answer = f"was answered as job {op.job_id}, which the service does not know any more"
        error = StartOutcomeUnknown(
            f"a start of {plural(op.lead_count, 'lead')} ({plural(op.estimate, 'credit')} at "
            f"stake) of run {op.run_id}, sent at {_utc((op.sent_at or 0) / 1e6)}, {answer}, {why}",
            "its leads are not started again until it is settled",
            Way("again"),
            Way("resolve", {"run": op.run_id}),
        )
        error.run_id = op.run_id
        return error

    @contextlib.contextmanager
    def held(
        self, lock: OpLock, phase: Literal["starting", "unknown"], wait: Wait | None = None
    ) -> Generator[None]:
        """Wait for a lock, showing signs of life, and hold it; an interrupt never leaves it held.

        Raises:
            Late: the time is up, the call's or that of a shorter wait.
        """
        try:
            while not lock.take():
                (wait or self._wait).sleep(_TAKE, lambda: self._tick(phase))
            yield
        finally:
            lock.release()

    def _see(self, case: Case, op: Op) -> tuple[Look, Verdict]:
        look = self.look(case, op)
        verdict = case.see(look)
        self.remember(case, op)
        return look, verdict

    def remember(self, case: Case, op: Op) -> None:
        """Keep the jobs that may be the start's own: another call must not overlook them."""
        seen = {"may be": case.candidates, "cannot be": case.strangers}
        if case.closed:
            seen["closed"] = {}
        if seen != op.candidates:
            op.candidates = {name: dict(jobs) for name, jobs in seen.items()}
            self._journal.note(op.id, candidates=op.candidates)

    def _adopt(self, op: Op, verdict: Verdict, *, sure: bool = False) -> None:
        queued, status = None, "COMPLETED" if verdict.ended else None
        if verdict.job_id is not None:
            with contextlib.suppress(NotFoundError):
                job = self._api.status(verdict.job_id)
                queued, status = job.total_leads, job.status if job.finished else None
        self._moved(
            op,
            DOUBTFUL,
            "started",
            job_id=verdict.job_id,
            provisional=verdict.job_id is not None and not sure,
            leads_queued=queued,
            job_status=status,
            evidence=(op.evidence or {}) | {"free": verdict.free},
        )

    def _moved(self, op: Op, came_from: tuple[Any, ...], to: Any, **fields: Any) -> None:
        """Move an op, and its record with it."""
        if not self._journal.move(op.id, came_from, to, **fields):
            raise Stale
        op.state = to
        for name, value in fields.items():
            setattr(op, name, value)


def _with_others(look: Look, op: Op, others: list[Op]) -> Look:
    """A look, and what other starts account for in it."""
    theirs = frozenset(one.job_id for one in others if one.job_id is not None)
    return replace(look, theirs=theirs, **ledger.owed(op, others)._asdict())


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
