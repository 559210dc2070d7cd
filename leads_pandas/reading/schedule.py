"""When to poll a job and which of its leads are worth reading yet: pure decisions over a clock.

A poll and a wrong guess each cost one request of the budget, and so does nothing that waits; these
two classes spend as few as they can. No I/O, no clock of their own: moments are passed in, seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

_SHORTEST = 0.4  # seconds between polls of a young job: a 2-second job is noticed in under one
_LONGEST = 15.0  # seconds between polls of a job that does not move
_STRETCH = 0.6  # next poll after this share of the time the job has run
_APPROACH = 0.7  # or after this share of the time it seems to have left
_FLOOR = 0.04  # but never before this share of the time it has run,
_NEAR = 2.0  # which is not more than so many seconds: an end is noticed as soon,
_LONG = 60.0  # seconds a job has run, from which on its end is watched for as closely as that
_OVERDUE = 0.3  # nor before this share of the time that an end is overdue: jobs stall
_CAUTION = 0.85  # guesses assume this share of the job's measured rate
_RAMP = 32  # guesses in flight at the most
_STRIKES = 2  # wrong guesses after which guessing ends
_MARGIN = 16  # after a wrong guess: leads that a service may have under way at once


@dataclass(slots=True)
class Poller:
    """What the polls of one job have told, and when to poll again.

    Args:
        began: when the job was started, or first looked at.
    """

    began: float
    total: int = 0
    processed: int = 0
    polls: int = 0
    polled: float = 0.0
    _rose: float = 0.0
    _first_moved: tuple[float, int] | None = None

    def observe(self, now: float, processed: int, total: int) -> None:
        """Take in one poll's answer."""
        self.polls += 1
        processed = min(processed, total) if total else processed
        if processed > self.processed:
            # Some time between two polls.
            self._rose = (self.polled + now) / 2 if self.polls > 1 else now
        self.polled = now
        self.processed = processed
        self.total = total
        if self._first_moved is None and processed > 0:
            self._first_moved = (now, processed)

    @property
    def rate(self) -> float:
        """Leads per second, 0.0 while there is nothing to tell it from."""
        if self._first_moved is None:
            return 0.0
        moment, processed = self._first_moved
        if self.polled > moment and self.processed > processed:
            return (self.processed - processed) / (self.polled - moment)
        return self.processed / max(self.polled - self.began, _SHORTEST)

    def seconds_left(self, now: float) -> float | None:
        """Seconds until the job seems to end, or None where nothing tells."""
        left = self._due(now)
        return None if left is None else max(left, 0.0)

    def _due(self, now: float) -> float | None:
        """Seconds until the end is due, less than 0 where it is overdue."""
        rate = self.rate
        if not rate or not self.total:
            return None
        # From the last rise of the count, not from the last poll: where one lead takes long, polls
        # that see no change would put the end off for ever.
        return (self.total - self.processed) / rate - (now - self._rose)

    def next_poll(self) -> float:
        """The moment of the next poll."""
        if not self.polls:
            return self.began + _SHORTEST
        ran = self.polled - self.began
        pause = min(_STRETCH * ran, _LONGEST)
        floor = max(_SHORTEST, min(_FLOOR * ran, _NEAR))
        due = self._due(self.polled)
        if due is not None:
            pause = min(pause, max(_APPROACH * due, -_OVERDUE * due))
            if ran > _LONG and abs(due) < _LONGEST:
                pause = min(pause, _NEAR)
        return self.polled + max(pause, floor)

    def expected(self, now: float) -> int:
        """How many leads are done by now, on the cautious side; anchored at polls only."""
        if self._first_moved is None or self.polled <= self._first_moved[0]:
            return self.processed
        # Never further ahead than what has been seen: a job that stalls costs few wrong guesses.
        ahead = min(now - self.polled, self.polled - self._first_moved[0])
        return min(self.processed + int(_CAUTION * self.rate * ahead), self.total)


@dataclass(slots=True)
class Guesser:
    """Which of a running job's leads may be read already, taken in the order they were sent.

    No service promises that order, so guessing starts with one read, doubles while it is right,
    and ends for good after two wrong ones.
    """

    right: int = 0
    wrong: int = 0
    margin: int = 0

    @property
    def stopped(self) -> bool:
        """Whether guessing has been given up: the leads are read when the job has ended."""
        return self.wrong >= _STRIKES

    def frontier(self, poller: Poller, now: float) -> int:
        """Leads before this position may be read."""
        if self.stopped:
            return 0
        if self.wrong:
            return max(poller.processed - self.margin, 0)
        return poller.expected(now)

    @property
    def in_flight(self) -> int:
        """How many guesses may be under way at once."""
        if self.stopped:
            return 0
        return 1 if self.wrong else min(1 + 2 * self.right, _RAMP)

    def hit(self) -> None:
        """A guess was right."""
        self.right += 1

    def miss(self, behind: int) -> None:
        """A guess was wrong, ``behind`` positions before what the polls had confirmed."""
        self.wrong += 1
        self.margin = max(_MARGIN, 2 * behind)
