"""Leads to be read, those of one start or those that need none: what is left, and what comes next.

State and decisions only; the collector requests, and writes down what comes of it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from typing import TYPE_CHECKING, Literal

from leads_pandas.pace.silence import Silence
from leads_pandas.reading.pool import Task
from leads_pandas.reading.schedule import Poller
from leads_pandas.reading.scout import Look, Scout

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from leads_pandas.models import CostPreview, LeadResult
    from leads_pandas.store.journal import Op

_QUESTIONS = 50  # previews at most to tell which leads the service does not know

# Not asked for, or how a lead answered that is not enriched: by 404, or without a date.
Blank = Literal["unasked", "404", "empty"]


class Source:
    """Leads of one op, or leads that need no job.

    Args:
        op: the op, or None.
        sent: all its leads in the order sent, or the leads to be read.
        left: those of them that have not been read.
        needed: those of them whose end this call waits for.
        now: the moment.
        settle: seconds of silence after which a job that does not show is taken for ended.
        expect: how many of those left are enriched; None: not known.
        foreign: how many of those read were enriched before the op was sent.

    Attributes:
        unread: leads that can be read, in the order to be read.
        pending: leads that did not show, and how they answered.
        in_flight: reads under way.
        polling: whether a poll is under way.
        read: how many have been read here.
        found: how many of those had an address.
        looks: how often pending leads have been looked for.
        strange: those of them that the service does not know; None: it has not been asked.
        ended: when the job was seen to have ended.
        silence: since the service has neither listed the job nor known its status, and
        enriched: how many leads were enriched at the last look meanwhile.
        closed: whether nothing is left to do here.
        searching: whether it pays to look for leads that are done.
    """

    def __init__(
        self,
        op: Op | None,
        sent: list[str],
        left: list[str],
        needed: Collection[str],
        *,
        now: float,
        settle: float = 0.0,
        expect: int | None = None,
        foreign: int = 0,
    ) -> None:
        self.op = op
        self.sent = sent
        self.needed = set(needed)
        self.expect = expect
        self.unread = deque(left if op is None else ())
        self.pending: dict[str, Blank] = {}
        self.in_flight = 0
        self.polling = False
        self.read = 0
        self.found = 0
        self.looks = 0
        self.strange: set[str] | None = None
        self.ended: float | None = None
        self.silence = Silence(settle)
        self.enriched: int | None = None
        self.funded = False
        self.closed = False
        self._more = 0  # 1 while each lead that shows lets one more be asked for
        self.poller = Poller(now, total=len(sent))
        self._had, self._foreign = len(sent) - len(left), foreign
        # What others need is read when there is time for it, at the end.
        ahead = [] if op is None else left
        self._early = [one for one in ahead if one in self.needed]
        self._late = [one for one in ahead if one not in self.needed]
        places = {one: place for place, one in enumerate(sent)}
        self._places = [places[one] for one in self._early]
        self.scout = Scout(len(self._early))
        self.searching = True

    @property
    def job_id(self) -> str:
        """The job to poll, while `job_running`."""
        return "" if self.op is None else self.op.job_id or ""

    @property
    def job_running(self) -> bool:
        """Whether there is a job that has not come to its end."""
        return self.op is not None and self.job_id != "" and not self.op.job_finished

    @property
    def stopped_short(self) -> bool:
        """Whether a job ended without all of its leads, as far as it says itself."""
        return self.op is not None and (self.op.job_status == "FAILED" or self.op.took_less)

    @property
    def awaited(self) -> int | None:
        """How many of the leads to be read are to be asked for at most; None: all."""
        return None if self.expect is None else self.expect + self._more

    @property
    def admits_less(self) -> bool:
        """Whether a job says that it has come to its end and did fewer leads than it took."""
        op = self.op
        took = None if op is None else op.leads_queued
        return op is not None and op.job_status == "COMPLETED" and op.processed < (took or 0)

    @property
    def served(self) -> bool:
        """Whether no lead that this call waits for is left to be read or looked for."""
        # The needed ones stand first, so this ends at the first of them.
        return not any(one in self.needed for one in self.unread) and not (
            self.needed & self.pending.keys()
        )

    @property
    def served_early(self) -> bool:
        """Whether all that this call needs has been read while the job still runs."""
        return bool(self._late) and self.read == len(self._early)

    @property
    def whole(self) -> bool:
        """Whether every lead of the op has been read."""
        return self.op is not None and self._had + self.read == len(self.sent)

    @property
    def left(self) -> int:
        """How many leads have not been read."""
        return len(self.sent) - self._had - self.read

    @property
    def owed(self) -> int:
        """How many leads the job has been paid for, or says it has done, that were not read."""
        if self.op is None:
            return 0
        queued = self.op.to_enrich if self.op.leads_queued is None else self.op.leads_queued
        # What it left out although there was money, others had enriched: that may have been read.
        others = self.op.enriched_before or 0
        if self.funded:
            others += max(self.op.to_enrich - queued, 0)
        if self.op.job_status == "FAILED":
            # What is older than the start is not of what it did; where a clock is wrong, that only
            # makes its leads be waited for.
            queued, others = min(queued, self.op.processed), max(others, self._foreign)
        return max(queued - max(self._had + self.read - others, 0), 0)

    # What to ask next

    def next_task(self, now: float) -> Task | None:
        """The next request for a lead, or for where to read; None: nothing at this moment."""
        if self.closed:
            return None
        if self.job_running:
            return self._ahead(now)
        if not self.unread or (self.op is not None and self.ended is None):
            return None
        if self.op is not None and self.unread[0] not in self.needed and self.served:
            return None
        if self.awaited is not None and self.in_flight >= self.awaited:
            return None
        return Task("read", [self.unread.popleft()], self)

    def _ahead(self, now: float) -> Task | None:
        step = self.scout.ask(
            self._share(self.poller.processed),
            self._share(self.poller.expected(now)),
            searching=self.searching and not self._late,
        )
        if isinstance(step, Look):
            return Task("look", [self._early[one] for one in step.leads], self, look=step)
        return None if step is None else Task("read", [self._early[step]], self, guess=step)

    def _share(self, processed: int) -> int:
        """How many of the leads to be read early are done."""
        if self._late:
            # Which of them are done can only be told by the order sent.
            return bisect_left(self._places, processed)
        return max(processed - self._had, 0)

    def end(self, now: float) -> None:
        """The job has ended and no guess is under way: the rest can be read, the needed first."""
        self.ended = now
        self.unread = deque([*(self._early[one] for one in self.scout.rest()), *self._late])

    def count(self, left: CostPreview) -> None:
        """What is left to be read is enriched as far as a price says, which may lag behind.

        A job that took fewer leads than were priced may have left out what others have enriched.
        """
        self.expect = left.already_enriched
        self.funded = left.available_credits * left.to_enrich >= max(left.estimated_credits, 1)
        self._more = int(self.op is not None and self.op.job_status == "COMPLETED")

    def missed(self, task: Task, how: Blank) -> None:
        """A lead is not enriched, or not yet."""
        self._more = 0
        if task.guess is None:
            self.pending[task.keys[0]] = how
        else:
            self.scout.miss(task.guess)

    def has_read(self, task: Task, result: LeadResult) -> None:
        """A lead has been read."""
        self.pending.pop(task.keys[0], None)
        self.read += 1
        self.found += result.status == "found"
        self._foreign += self.op is not None and (result.enriched_at or 0) < (self.op.sent_at or 0)
        if self.expect:
            self.expect -= 1
        if task.guess is not None:
            self.scout.hit(task.guess)

    def ask_again(self, how: Blank | None = None, among: Collection[str] | None = None) -> None:
        """Read once more what is pending: all of it, or what answered so, among these."""
        again = [
            one
            for one, answer in self.pending.items()
            if how in (None, answer) and (among is None or one in among)
        ]
        self.unread.extend(again)
        for one in again:
            del self.pending[one]

    def put_off(self) -> None:
        """As many as are enriched have been found: the others are not asked for now."""
        self.pending.update(dict.fromkeys(self.unread, "unasked"))
        self.unread.clear()


def left_out(leads: list[str], total: int, count: Callable[[list[str]], int]) -> list[str]:
    """The leads that the service does not know, by halving; each question costs a request.

    Args:
        leads: the leads.
        total: how many of them it knows.
        count: asks how many of some leads it knows.
    """
    found: list[str] = []
    parts = [(leads, total)]
    questions = 0
    while parts and questions < _QUESTIONS:
        part, known = parts.pop()
        if known <= 0:
            found += part
        elif known < len(part):
            half = len(part) // 2
            first = count(part[:half])
            questions += 1
            parts += [(part[half:], known - first), (part[:half], first)]
    return found
