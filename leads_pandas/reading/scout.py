"""Which leads of a running job are done already: found out with few requests, whatever the order.

The service tells how many leads are done, not which; a preview of some tells how many of those are.
The order sent is believed first, at no cost. Where a read was too early, one preview each tells
whether the leads are done from the front or from the back, and how many there are under way; where
it is neither, halving finds parts that are done as a whole. Where no order shows, reading waits,
and looks again later. No I/O, no clock: leads are positions in the order sent, moments seconds.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

_AT_ONCE = 16  # guesses under way at the most
_AFTER_A_MISS = 8  # once one of them has been wrong
_BEYOND = 6  # and so many of them beyond what is known to be done: a job that stalls misleads few
_MISSES = 0.04  # wrong guesses as a share of what is done, beside the first one
_MARGIN = 8  # after a wrong guess: leads that the service may have under way at once
_TRUSTED = 12  # right guesses in a row after which a wrong one only widens the margin
_HOLE = 8  # and after which it is one lead that takes long
_CALM = 64  # right guesses after which the margin has shrunk to a third
_NEARLY = 0.95  # share of what is left, from which on any lead is worth a guess
_FEWEST = 10  # leads known to be done and not where, for which a look is worth its price
_MOST = 32  # and for which it is, however many leads the job has
_ORDERED = 0.6  # of the way from chance to all of them: leads are done from this end
_BURST = (
    90  # leads that are read in one go after the job: knowing more of them sooner gains nothing
)
_SMALLEST = 8  # leads that are not halved any more
_WORTH = 5  # leads that each look of a search should find


@dataclass(slots=True, eq=False)
class _Part:
    """Unread leads beside each other, and how many of them are done at least."""

    leads: deque[int]
    done: int = 0

    @property
    def whole(self) -> bool:
        return 0 < len(self.leads) <= self.done


@dataclass(frozen=True, slots=True)
class _Effort:
    """How hard to search: a search ends after so many looks in a row that find nothing."""

    looks: int
    pause: float  # share of what is still to be done, after which the next one begins
    least: float  # share of all leads that must be known to be done and not where
    searches: float  # that find nothing, after which there are no more


_EAGER = _Effort(7, 0.2, 0.03, math.inf)
_SPARING = _Effort(5, 0.6, 0.05, 2)


@dataclass(frozen=True, slots=True)
class Look:
    """A question to the service: how many of these leads are done?

    Attributes:
        leads: their places.
        end: 1 where they are the first of all that is left, -1 the last, 0 neither.
        chance: how many would be done if there were no order.
    """

    leads: list[int]
    end: Literal[-1, 0, 1] = 0
    chance: float = 0.0


class Scout:
    """Decides what to ask next about leads of one running job.

    Args:
        count: how many leads there are; they are known by their places, from 0 on.
        searching: whether looks may be proposed.
    """

    def __init__(self, count: int, *, searching: bool = True) -> None:
        self.read = 0
        self._count = count
        self._searching = searching
        self._parts = [_Part(deque(range(count)))]
        self._aside: list[int] = []
        self._asked: dict[int, float] = {}
        # The end from which they are believed to be done: 1 the front, -1 the back, 0 neither.
        self._way: Literal[-1, 0, 1] = 1
        self._margin = 0.0
        self._row = 0
        self._misses = 0
        self._struck = -math.inf
        self._missed: set[int] = set()
        self._look: tuple[Look, _Part] | None = None
        self._ends: list[Literal[-1, 1]] = []
        self._looks_left = 0
        self._fruitless = 0
        self._wait_until = 0.0

    @property
    def under_way(self) -> int:
        """How many reads have been proposed and not come back."""
        return len(self._asked)

    @property
    def known(self) -> int:
        """How many leads can be read at once, without a guess."""
        return sum(len(part.leads) for part in self._parts if part.whole)

    def rest(self) -> list[int]:
        """The leads that have not been read and are not under way, in the order sent."""
        return sorted([*self._aside, *(one for part in self._parts for one in part.leads)])

    def drop(self, leads: Iterable[int]) -> None:
        """Leave out leads that somebody else has read."""
        gone = set(leads)
        self.read += len(gone)
        for part in self._parts:
            left = deque(one for one in part.leads if one not in gone)
            part.done = max(part.done - (len(part.leads) - len(left)), 0)
            part.leads = left

    # What to ask

    def ask(self, now: float, done: int, expected: int, *, idle: bool) -> int | Look | None:
        """The lead to read next, or a look worth its price, or None for the moment.

        Args:
            now: the moment.
            done: how many were done at the last poll.
            expected: how many should be by now.
            idle: whether requests made now are free: they count no more when the job ends.
        """
        busy = None if self._look is None else self._look[1]
        for part in self._parts:
            if part.whole and part is not busy:
                return self._take(part, 1, now)
        live = [part for part in self._parts if part.leads]
        if not live:
            return None
        if self._way:
            return self._ahead(live[0 if self._way > 0 else -1], now, done, expected)
        if busy is not None or self._asked:
            return None
        return self._search(live, now, done, _EAGER if idle else _SPARING)

    def _take(self, part: _Part, way: int, now: float) -> int:
        one = part.leads.popleft() if way > 0 else part.leads.pop()
        part.done = max(part.done - 1, 0)
        self._asked[one] = now
        return one

    def _may_miss(self, done: int) -> bool:
        return self._misses < 1 + _MISSES * done

    def _ahead(self, part: _Part, now: float, done: int, expected: int) -> int | None:
        most = _AFTER_A_MISS if self._misses else _AT_ONCE
        if len(self._asked) >= min(1 + 2 * self._row, most) or not self._may_miss(done):
            return None
        goal = expected if self._margin < 1 else done
        reach = min(goal - self._margin, max(done, self.read) + _BEYOND)
        if self.read + len(self._asked) >= reach:
            return None
        return self._take(part, self._way, now)

    def _search(
        self, live: list[_Part], now: float, done: int, effort: _Effort
    ) -> int | Look | None:
        left = sum(len(part.leads) for part in live) + len(self._aside)
        hidden = done - self.read
        if hidden >= _NEARLY * left and self._may_miss(done):
            return self._take(max(live, key=lambda part: len(part.leads)), 1, now)
        if (
            not self._searching
            or done < self._wait_until
            or hidden < max(_FEWEST, min(_MOST, self._count // 8))
        ):
            return None
        if len(live) == 1:
            within = min(hidden - len(self._aside), len(live[0].leads))
            live[0].done = max(live[0].done, within)
        if self._ends:
            return self._look_from(self._ends.pop(0), live, hidden, left)
        if not self._looks_left:
            price = _WORTH * (1 + math.log2(max(left / hidden, 1)))
            if (
                left < _BURST
                or self._fruitless >= effort.searches
                or hidden < max(price, effort.least * self._count)
            ):
                return None
            self._looks_left = effort.looks
        return self._halve(live, done, hidden, effort)

    def _look_from(self, end: Literal[-1, 1], live: list[_Part], hidden: int, left: int) -> Look:
        part = live[0 if end > 0 else -1]
        size = min(hidden, len(part.leads))
        leads = list(part.leads)
        asked = leads[:size] if end > 0 else leads[-size:]
        return self._ask_about(part, Look(asked, end, size * min(hidden / left, 1.0)))

    def _ask_about(self, part: _Part, look: Look) -> Look:
        self._look = (look, part)
        return look

    def _halve(self, live: list[_Part], done: int, hidden: int, effort: _Effort) -> Look | None:
        # What has been done since the counts were taken may be anywhere.
        room = sum(len(part.leads) - part.done for part in live) or 1
        spread = max(hidden - sum(part.done for part in live), 0) / room

        def promise(part: _Part) -> float:
            size = len(part.leads)
            likely = part.done + spread * (size - part.done)
            # Dense parts first, and small ones: they are the next to be found whole.
            return likely * (0.3 + likely / size) ** 2 / size**0.5 if likely >= _WORTH - 1 else 0.0

        part = max((one for one in live if len(one.leads) > _SMALLEST), key=promise, default=None)
        if part is None or not promise(part):
            self._give_up(done, effort)
            return None
        self._looks_left -= 1
        if not self._looks_left:
            self._give_up(done, effort)
            return None
        leads = list(part.leads)
        return self._ask_about(part, Look(leads[: len(leads) // 2]))

    def _give_up(self, done: int, effort: _Effort) -> None:
        self._fruitless += 1
        self._looks_left = 0
        self._wait_until = done + max((self._count - done) * effort.pause, 4)
        self._ends = [1, -1] if self._fruitless < 3 else []  # noqa: PLR2004
        self._parts = [_Part(deque(sorted(one for part in self._parts for one in part.leads)))]

    # What has come of it

    def hit(self, lead: int) -> None:
        """A lead has been read."""
        del self._asked[lead]
        self.read += 1
        self._row += 1
        self._margin *= 1 - 1 / _CALM

    def miss(self, lead: int, now: float) -> None:
        """A lead was not done when it was asked for; misses asked at one time are one strike."""
        asked = self._asked.pop(lead)
        self._misses += 1
        slow = self._row >= _HOLE or lead in self._missed
        self._missed.add(lead)
        if slow or not self._way:
            self._aside.append(lead)
        elif self._way > 0:
            self._parts[0].leads.appendleft(lead)
        else:
            self._parts[-1].leads.append(lead)
        if asked <= self._struck or not self._way:
            return
        self._struck = now
        self._margin = max(_MARGIN, 2 * self._margin)
        if self._row < _TRUSTED:
            self._ends = [1, -1]
            self._way = 0
        self._row = 0

    def counted(self, count: int) -> None:
        """The look has been answered: so many of its leads are done."""
        if self._look is None:
            return
        (look, part), self._look = self._look, None
        asked = set(look.leads)
        inside = _Part(deque(look.leads), count)
        rest = deque(one for one in part.leads if one not in asked)
        outside = _Part(rest, min(max(part.done - count, 0), len(rest)))
        place = self._parts.index(part)
        both = [inside, outside] if look.end >= 0 else [outside, inside]
        self._parts[place : place + 1] = both
        if look.end:
            if count >= look.chance + _ORDERED * (len(look.leads) - look.chance):
                self._believe(look.end, len(look.leads) - count)
        elif inside.whole or outside.whole:
            self._looks_left = _EAGER.looks
            self._fruitless = 0

    def _believe(self, end: Literal[-1, 1], missing: int) -> None:
        self._way, self._ends, self._looks_left = end, [], 0
        if not missing:
            self._margin, self._row = 0.0, 4
            return
        # So many are still under way there: read behind those.
        self._margin, self._row = max(1.5 * missing, 2.0), 1
        self._parts = [_Part(deque(sorted(one for part in self._parts for one in part.leads)))]

    def unanswered(self, done: int) -> None:
        """The look could not be answered: go on without."""
        self._look = None
        self._give_up(done, _SPARING)
