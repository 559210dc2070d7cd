"""When to poll a job, and whether to look for what is done: pure decisions over a clock.

A poll costs a request of the budget, a job seen to have ended too late costs time. No I/O, no clock
of its own: moments are passed in, seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_SHORTEST = 0.4  # seconds between polls of a young job: a 2-second job is noticed in under one
_LONGEST = 15.0  # seconds between polls of a job that does not move
_PATIENT = 1.0  # seconds before the first poll of a job that cannot be over so soon
_STRETCH = 0.6  # next poll after this share of the time the job has run with nothing to be seen,
_STRIDE = 1.5  # or after this share where reads tell as much: of more leads than
_BURST = 90  # are read in one go, every request before the end counts
_APPROACH = 0.7  # or after this share of the time it seems to have left, or all of it where that
_SURE = 0.5  # is less than this share of the time it has run,
_FLOOR = 0.04  # but never before this share of the time it has run,
_NEAR = 2.0  # which is not more than so many seconds: an end is noticed as soon,
_OVERDUE = 0.3  # nor before this share of the time that an end is overdue: jobs stall
_CAUTION = 0.85  # guesses assume this share of the job's measured rate
_TO_COME = 4  # polls until the end, more or less
_SEARCH = 5  # requests that a search costs at the least


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
    _rises: int = 0
    _before: float = 0.0
    _rose: float = 0.0
    _moved: float | None = None

    def observe(self, now: float, processed: int, total: int) -> None:
        """Take in one poll's answer."""
        processed = min(processed, total) if total else processed
        if processed > self.processed:
            self._rises = processed - self.processed
            self._before = self.polled if self.polls else self.began
            # The last of them, between two polls.
            self._rose = now - (now - self._before) / (self._rises + 1) if self.polls else now
            self._moved = now if self._moved is None else self._moved
        self.polls += 1
        self.polled = now
        self.processed = processed
        self.total = total

    @property
    def rate(self) -> float:
        """Leads per second since the poll before the last rise, 0.0 where none was seen."""
        return self._rises / max(self.polled - self._before, _SHORTEST)

    def seconds_left(self, now: float) -> float | None:
        """Seconds until the job seems to end, or None where nothing tells."""
        left = self._due(now)
        return None if left is None else max(left, 0.0)

    def _due(self, now: float) -> float | None:
        """Seconds until the end is due, less than 0 where it is overdue."""
        if not self.rate or not self.total:
            return None
        # From the last rise of the count, not from the last poll: where one lead takes long, polls
        # that see no change would put the end off for ever.
        return (self.total - self.processed) / self.rate - (now - self._rose)

    def next_poll(self) -> float:
        """The moment of the next poll."""
        if not self.polls:
            return self.began + (_SHORTEST if self.total <= _BURST else _PATIENT)
        ran = self.polled - self.began
        stride = _STRIDE if self._moved is not None and self.total > _BURST else _STRETCH
        pause = min(stride * ran, _LONGEST)
        floor = max(_SHORTEST, min(_FLOOR * ran, _NEAR))
        due = self._due(self.polled)
        if due is not None:
            near = due + min(0.5 / self.rate, _NEAR) if due < _SURE * ran else _APPROACH * due
            pause = min(pause, max(near, -_OVERDUE * due))
        return self.polled + max(pause, floor)

    def expected(self, now: float) -> int:
        """How many leads are done by now, on the cautious side; anchored at polls only."""
        if self._moved is None:
            return self.processed
        # Never further ahead than what has been seen: a job that stalls costs few wrong guesses.
        ahead = min(now - self.polled, self.polled - self._moved)
        return min(self.processed + int(_CAUTION * self.rate * ahead), self.total)


def pays_to_search(
    poller: Poller, now: float, left: int, estimate: Callable[[int, float], float], window: float
) -> bool:
    """Whether looking for leads that are done can end sooner than waiting for the job's end.

    Of a job shorter than a window every request still counts at its end, and one too many puts the
    last read off by a whole window.

    Args:
        poller: what is known of the job.
        now: the moment.
        left: how many leads have not been read.
        estimate: seconds until so many requests are sent that are asked for in so many seconds.
        window: seconds of the request limit's window; 0.0: there is no limit.
    """
    ends = poller.seconds_left(now)
    if ends is None or now - poller.began + ends >= window:
        return True
    left += _TO_COME
    return estimate(left + _SEARCH, 0.0) < estimate(left, ends)
