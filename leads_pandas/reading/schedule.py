"""When to poll a job: pure decisions over a clock.

A poll costs a request of the budget, a job seen to have ended too late costs time. No I/O, no clock
of its own: moments are passed in, seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

_SHORTEST = 0.4  # seconds between polls of a young job: a 2-second job is noticed in under one
_LONGEST = 15.0  # seconds between polls of a job that does not move
_PATIENT = 1.0  # seconds before the first poll of a job that cannot be over so soon
_STRETCH = 0.6  # next poll after this share of the time the job has run with nothing to be seen,
_STRIDE = 1.5  # or after this share where reads tell as much: of more leads than
_BURST = 90  # are read in one go, every request before the end counts
_APPROACH = 0.7  # or after this share of the time it seems to have left
_FLOOR = 0.04  # but never before this share of the time it has run,
_NEAR = 2.0  # which is not more than so many seconds: an end is noticed as soon,
_LONG = 60.0  # seconds a job has run, from which on its end is watched for as closely as that
_OVERDUE = 0.3  # nor before this share of the time that an end is overdue: jobs stall
_CAUTION = 0.85  # guesses assume this share of the job's measured rate


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
            return self.began + (_SHORTEST if self.total <= _BURST else _PATIENT)
        ran = self.polled - self.began
        stride = _STRIDE if self._first_moved and self.total > _BURST else _STRETCH
        pause = min(stride * ran, _LONGEST)
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
