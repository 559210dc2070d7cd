"""What became of a start without an answer: pure conclusions from looks at the service.

A `Case` is one start in doubt; it takes in one `Look` after another and says what they prove. What
it must never say, of whatever an honest service can show, is that a start is absent whose job
exists. Presence has four signs: a job is listed, leads of ours became enriched, the balance went
down for no other reason, a transaction has no other reason. Absence is the silence of all of them,
and only after the start could no longer be taken.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from leads_pandas.display import plural
from leads_pandas.models import is_whole
from leads_pandas.pace.silence import Silence

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from leads_pandas.models import ActiveJob, CostPreview, Transaction

PATIENCE = 600.0  # seconds to watch a job that may be ours while nothing about it moves
MOST = 3600.0  # seconds after which a doubt is handed to a person, whatever still moves
BLIND = 60.0  # seconds of looking where absence is never concluded


@dataclass(frozen=True, slots=True)
class Before:
    """What the service showed before a start was first sent; None is what could not be had.

    Attributes:
        jobs: the ids of the running jobs.
        available: the balance, in credits.
        enriched: how many of the leads were enriched.
        to_enrich: how many of the leads were to be enriched.
        transaction: id of the newest transaction; empty where there was none.
        used: credits used since the last reset, where a balance tells.
        reset: when that was.
    """

    jobs: frozenset[str] | None
    available: int | None
    enriched: int | None
    to_enrich: int
    transaction: str | None = None
    used: int | None = None
    reset: str | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """What the service shows at one moment; None is what could not be had.

    Attributes:
        at: the moment at which it began, in seconds.
        jobs: the running jobs, searches included.
        preview: the price of the start's leads.
        transactions: those that are newer than the one before the start.
        used: as in `Before`.
        reset: as in `Before`.
        ended: jobs that may be ours, are not listed, and have ended or are unknown by their status.
        completed: those of them whose status says that they came to their end whole.
        own: the jobs with which other starts of this store were answered.
        theirs: the jobs that other starts are taken to have, whose credits they account for.
        balance, book, refunds, available: what others may yet account for, as `ledger.Owed` has it.
        rather: the same look, where starts are without a job that they took and that is too small
            to be theirs; None where there is none.
    """

    at: float
    jobs: Sequence[ActiveJob] | None
    preview: CostPreview | None
    transactions: Sequence[Transaction] | None = None
    used: int | None = None
    reset: str | None = None
    ended: frozenset[str] = frozenset()
    completed: frozenset[str] = frozenset()
    own: frozenset[str] = frozenset()
    theirs: frozenset[str] = frozenset()
    balance: tuple[int, ...] = ()
    book: tuple[int, ...] = ()
    refunds: int = 0
    available: tuple[int, ...] = ()
    rather: Look | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the looks so far say.

    Attributes:
        kind: ``ran``: nothing is left of the leads to be bought; ``job``: it goes on, or ended, as
            `job_id`; ``absent``: it never happened; ``wait``: nothing is sure yet; ``undecided``:
            nothing will be sure by looking on.
        job_id: the job, where one fits.
        ended: whether that job has ended.
        words: what was seen, for a person.
        free: whether nothing was charged for it: others have enriched its leads.
    """

    kind: Literal["ran", "job", "absent", "wait", "undecided"]
    words: str
    job_id: str | None = None
    ended: bool = False
    free: bool = False


@dataclass(slots=True)
class Case:
    """One start in doubt, and what the looks at it add up to.

    Attributes:
        size: how many leads were sent.
        estimate: credits that it may have reserved at most.
        before: the first snapshot.
        until: the last moment at which the start could have been answered.
        settle: seconds of silence after that which prove absence; None: nothing does.
        candidates: jobs seen since the snapshot that may be ours, and how many leads they have.
        strangers: jobs seen since then that cannot be, likewise.
        closed: whether a start taken at the last moment would have been listed by a look, which
            showed no charge that may be that of a job in a queue: jobs that come up after that are
            strangers.
        listed: those of them that the last look showed as running.
    """

    size: int
    estimate: int
    before: Before
    until: float
    settle: float | None
    candidates: dict[str, int] = field(default_factory=dict)
    strangers: dict[str, int] = field(default_factory=dict)
    closed: bool = False
    listed: set[str] = field(default_factory=set)
    _silence: Silence = field(init=False)
    _still: Silence = field(init=False)
    _accounted: bool = False
    _began: float | None = None
    _moved: float = 0.0
    _shown: object = None

    def __post_init__(self) -> None:
        self._silence, self._still = Silence(self.settle), Silence(self.settle)

    def see(self, look: Look) -> Verdict:
        """Take in one look."""
        self._sort(look)
        live = self.listed = self._live(look)
        enriched = self._enriched(look)
        self._accounted = self._is_accounted(look)
        silent = self._is_silent(look, live)
        self._note(look, live, silent=silent)
        words = self._words(look, live)
        if is_whole(look.preview, (self.before.enriched or 0) + self.before.to_enrich):
            # Whoever did it: no start of these leads will be sent again.
            return self._ran(live, words, free=silent)
        if enriched is not None and enriched > 0 and (live or self.candidates):
            # A job that is not listed was looked up by its id, or it would be live.
            job = self._best(look, live) if live else min(self.candidates)
            return Verdict("job", words, job, ended=not live)
        if self._silence.is_enough and self._still.is_enough:
            return Verdict("absent", words)
        # A silence that has begun is listened to its end.
        given_up = self._gives_up(look.at, live=bool(live)) and not (silent and self.settle)
        return Verdict("undecided" if given_up else "wait", words)

    def is_silent(self, look: Look) -> bool:
        """Whether one look shows nothing at all of the start."""
        self._sort(look)
        return self._is_silent(look, self._live(look))

    def is_over(self, at: float) -> bool | None:
        """Whether no job of the start can be running any more, by what `see` has taken in.

        Returns:
            None where looking on will not tell.
        """
        if self._still.is_enough and self._accounted:
            return True
        waits = self._still.seconds is not None and not self._still.is_enough
        waits = waits and self.settle is not None
        return False if waits or not self._gives_up(at) else None

    def _gives_up(self, at: float, *, live: bool = False) -> bool:
        """Whether looking no longer helps, unless something moves."""
        # One that was too short to be listed had its time, and then its leads have theirs.
        settle = BLIND if self.settle is None else 2 * self.settle
        patience = max(PATIENCE, settle) if live else settle
        last = max(self.until, self._moved)
        began = last if self._began is None else self._began
        return at >= min(last + patience, max(began, self.until) + MOST)

    def _enriched(self, look: Look) -> int | None:
        """How many leads of it became enriched."""
        if look.preview is None:
            return None
        return look.preview.already_enriched - (self.before.enriched or 0)

    def _spent(self, look: Look) -> int:
        """What the balance went down by."""
        left = 0 if look.preview is None else look.preview.available_credits
        return (self.before.available or 0) - left

    def _sort(self, look: Look) -> None:
        """Put the jobs that came up since the snapshot where they belong."""
        before = self.before.jobs or frozenset()
        for job in look.jobs or ():
            if job.job_id in before or job.job_id in look.own:
                continue
            # What a search costs has nothing to do with how long it is.
            search = job.type == "search"
            size = 0 if search else job.lead_count or 0
            # A service may count the IDs sent, the leads queued or those left, never more.
            ours = not search and size <= self.size
            if job.job_id not in self.candidates and (self.closed or job.job_id in self.strangers):
                ours = False
            if search:
                self.candidates.pop(job.job_id, None)
            seen = self.candidates if ours else self.strangers
            seen[job.job_id] = max(size, seen.get(job.job_id, 0))
        for job_id in look.own & self.candidates.keys():
            del self.candidates[job_id]
        for job_id in look.own & self.strangers.keys():
            del self.strangers[job_id]

        # Where no silence proves anything, a job may be ours however late it comes up.
        if self.settle is not None and look.jobs is not None and not self.closed:
            late = look.at >= self.until + self.settle
            self.closed = late and self._is_accounted(look)

    def _live(self, look: Look) -> set[str]:
        """The candidates that are not known to have ended: a job that is listed never is."""
        listed = {job.job_id for job in look.jobs or ()}
        return {one for one in self.candidates if one in listed or one not in look.ended}

    def _is_silent(self, look: Look, live: set[str]) -> bool:
        """Whether every endpoint answered, and none shows a sign without another reason."""
        before, preview, enriched = self.before, look.preview, self._enriched(look)
        if look.jobs is None or preview is None or live:
            return False
        at_work = preview.total_leads - preview.already_enriched - preview.to_enrich
        if at_work > 0 and preview.to_enrich < before.to_enrich - (enriched or 0):
            return False  # some are neither enriched nor to be enriched: they are at work
        return self._is_explained(look, self._others(look), [])

    def _is_accounted(self, look: Look) -> bool:
        """Whether all that is gone has a reason, the jobs that may be its own included."""
        if self.before.jobs is None:
            return False
        candidates = self.candidates.keys() - look.theirs
        may_be = [self._share(self.candidates[one]) for one in candidates]
        accounted = self._is_explained(look, self._strange(look), may_be)
        return accounted or (look.rather is not None and self._is_accounted(look.rather))

    def _share(self, size: int) -> int:
        """What a job that may be its own may have cost at most, by its size; 0: nobody knows."""
        share = min(size or self.size, self.before.to_enrich) / max(self.before.to_enrich, 1)
        return max(size, math.ceil(self.estimate * share))

    def _is_explained(self, look: Look, others: list[int], may_be: list[int]) -> bool:
        """Whether what is gone has reasons.

        Args:
            look: what is gone.
            others: the sizes of jobs that explain what they are long, and no less.
            may_be: what jobs explain at most.
        """
        before, preview, enriched = self.before, look.preview, self._enriched(look)
        if preview is None or before.available is None:
            return False
        gone = {self._spent(look)}
        if before.transaction is not None:
            if look.transactions is None or self._suspicious(look, others, may_be):
                return False
            # What cannot be its own; the balance may lag behind the book, or the book behind it.
            gone |= {self._spent(look) + sum(one.amount for one in self._foreign(look))}
        elif look.refunds >= self.estimate > 0:
            return False  # what a failed job gives back may be just what this start took
        if before.used is not None:
            if look.used is None or look.reset != before.reset:
                return False  # what was used before a reset, nobody can see any more
            gone = {look.used - before.used}
        reserved = before.used is not None and self._spent(look) > max(gone)
        if enriched and before.transaction is None and not may_be:
            # Others enriched leads of it: nothing may be gone that could be its own charge.
            return gone == {0} and not reserved
        jobs, back = [*others, *may_be], look.refunds + sum(may_be)
        # What is reserved may count as used only when its job ends.
        if reserved and not _explained(self._spent(look), [*look.available, *jobs], back):
            return False
        return any(_explained(spent, [*look.balance, *jobs], back) for spent in gone)

    def _others(self, look: Look) -> list[int]:
        """The sizes of new jobs that are not ours.

        One that may be ours is somebody else's when it completed without a lead of ours; one that
        failed, or whose end nobody knows, explains no charge. Nor does one that may not be new.
        """
        if self.before.jobs is None:
            return []
        completed = self.candidates.keys() & look.completed - look.theirs
        return [*(self.candidates[one] for one in completed), *self._strange(look)]

    def _strange(self, look: Look) -> list[int]:
        """The sizes of those that never were its own."""
        return [self.strangers[one] for one in self.strangers.keys() - look.theirs]

    def _foreign(self, look: Look) -> list[Transaction]:
        """The transactions that cannot be its own charge, by size and words."""
        return [
            one
            for one in look.transactions or ()
            if not is_charge(one) or -one.amount > self.estimate
        ]

    def _suspicious(self, look: Look, others: list[int], may_be: list[int]) -> bool:
        """Whether a transaction may be this start's charge.

        Another reason is one to the credit: a job may have cost less than it is long, but so what
        it did not cost may be this start's. Own starts may be booked in parts, where no lead of it
        became enriched, and so may jobs that may be its own.
        """
        own, others, left = list(look.book), list(others), list[int]()
        for charge in [-one.amount for one in look.transactions or () if is_charge(one)]:
            reasons = next((some for some in (own, others) if charge in some), None)
            if reasons is None:
                left.append(charge)
            else:
                reasons.remove(charge)
        parts = sum(may_be) + (0 if self._enriched(look) else sum(own))
        for charge in sorted(left, reverse=True):
            if charge <= parts:
                parts -= charge
            elif charge <= self.estimate:
                return True
        return False

    def _note(self, look: Look, live: set[str], *, silent: bool) -> None:
        """Remember since when everything has been silent, and when anything last moved."""
        progress = {job.job_id: job.progress for job in look.jobs or ()}
        enriched = self._enriched(look)
        shown = (sorted((one, progress.get(one)) for one in live), enriched)
        if shown != self._shown:
            self._shown, self._moved = shown, look.at
            self._still.seconds = None
        if self._began is None:
            self._began = look.at
        self._silence.look(look.at, silent=silent)
        answered = look.jobs is not None and look.preview is not None
        # One that was too short to be listed had its time, and then its leads have theirs.
        had_its_time = look.at >= self.until + (self.settle or 0.0)
        self._still.look(look.at, silent=answered and not live and had_its_time)

    def _ran(self, live: set[str], words: str, *, free: bool) -> Verdict:
        if live:
            return Verdict("job", words, min(live))
        # Another start's would be taken from it, where it is too small to be this one's.
        need = self.before.to_enrich
        fits = [one for one, size in self.candidates.items() if not size or size >= need]
        free = free and not self.candidates
        return Verdict("ran", words, min(fits, default=None), ended=True, free=free)

    def _best(self, look: Look, live: set[str]) -> str:
        """The job whose size fits the start best."""
        sizes = {job.job_id: job.lead_count for job in look.jobs or ()}
        fits = {one for one in live if sizes.get(one) in (self.before.to_enrich, self.size)}
        return min(fits or live)

    def _words(self, look: Look, live: set[str]) -> str:
        seen = []
        if look.jobs is None:
            seen.append("the running jobs could not be read")
        elif live:
            seen.append(
                f"{plural(len(live), 'job')} that may be its own ({', '.join(sorted(live))})"
            )
        else:
            seen.append("no job of its own is listed")
        if look.preview is None:
            seen.append("the cost preview could not be read")
        else:
            seen.append(f"the balance went down by {self._spent(look)}")
            seen.append(f"{plural(self._enriched(look) or 0, 'lead')} of it became enriched")
        if self.before.transaction is not None and look.transactions is None:
            seen.append("the transactions could not be read")
        elif look.transactions and self._suspicious(look, self._others(look), []):
            seen.append("a transaction may be its charge")
        if look.refunds:
            seen.append(f"up to {look.refunds} may have come back from failed jobs")
        return ", ".join(seen)


def _explained(spent: int, reasons: Iterable[int], refunds: int) -> bool:
    """Whether some of these reasons, less what may have come back, make up what is gone."""
    sums = {0}
    for amount in reasons:
        sums |= {one + amount for one in sums if one + amount <= spent + refunds}
    return any(0 <= one - spent <= refunds for one in sums)


def is_charge(one: Transaction) -> bool:
    """Whether it takes credits and may be a start's: a start's words may name a search, too."""
    said = re.findall(r"\w+", (one.description or "").lower())
    enriches = any(word.startswith("enrich") for word in said)
    return one.amount < 0 and (enriches or not any(word.startswith("search") for word in said))
