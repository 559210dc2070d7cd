"""Which leads of a running job are done already: found out with few requests, whatever the order.

The service tells how many leads are done, not which; a preview of some tells how many of those are.
The order sent is believed first, at no cost, until a lead is asked for too early. Then a search:
looks at both ends, and at halves of what is left, until parts show that are done as a whole; those
are read. Each search begins anew, with the counts of its moment. Where none finds anything, any
lead is as good as another, and guessing waits until most of them are done.
No I/O, no clock: leads are positions in the order sent.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

_AT_ONCE = 16  # guesses under way at the most
_BEYOND = 6  # and so many of them beyond what is known to be done: a job that stalls misleads few
_HOLE = 8  # right guesses in a row after which a wrong one is a lead that takes long
_MISSES = 0.04  # wrong guesses as a share of the leads, beside the first two
_NEARLY = 0.94  # share of a part, from which on looking for the others costs more than guessing
_LIKELY = 0.5  # share of all that is left, where nothing tells them apart
_FEWEST = 16  # leads known to be done and not where, for which a search is worth its price,
_SHARE = 0.04  # and as a share of all
_BURST = 80  # leads read in one go after the job: knowing more of them sooner gains nothing
_MOST = 12  # looks, and
_MOST_SHARE = 1 / 6  # a share of all leads, after which no search begins any more
_PAUSE = 0.1  # share of what is still to be done, and
_SOME = 8  # leads that must be done before the next search
_LOOKS = 10  # looks of a search,
_AFTER_A_FIND = 5  # and at least so many after one that found something
_PROBE = 0.6  # share of what is done, at an end
_WORTH = 7  # leads that a look could find at the least


@dataclass(slots=True, eq=False)
class _Part:
    """Unread leads beside each other.

    Attributes:
        leads: their places.
        done: how many of them are done at least.
        end: where those are: 1 at the front, -1 at the back, 0 not known.
        trusted: whether they are read from that end without a look.
        row: right guesses in a row.
    """

    leads: deque[int]
    done: int
    end: int = 0
    trusted: bool = False
    row: int = 0


@dataclass(frozen=True, slots=True)
class Look:
    """A question to the service: how many of these leads are done?"""

    leads: list[int]


@dataclass(slots=True)
class _Search:
    """What is left of a search, and whether it has found anything."""

    probes: list[int]
    looks: int = _LOOKS
    found: bool = False


class Scout:
    """Decides what to ask next about leads of one running job.

    Args:
        count: how many leads there are; they are known by their places, from 0 on.
    """

    def __init__(self, count: int) -> None:
        self.read = 0
        self._count = count
        self._parts = [_Part(deque(range(count)), 0, 1, trusted=True)]
        self._aside: list[int] = []
        self._asked: dict[int, _Part] = {}
        self._misses = 0
        self._look: tuple[Look, _Part, int, bool] | None = None
        self._search: _Search | None = None
        self._next_search = 0.0
        self._probes = [1, -1]
        self._looks = 0
        self._fruitless = False

    def rest(self) -> list[int]:
        """The leads that have not been read and are not under way, in the order sent."""
        return sorted([*self._aside, *(one for part in self._parts for one in part.leads)])

    # What to ask

    def ask(self, done: int, expected: int, *, searching: bool = True) -> int | Look | None:
        """The lead to read next, or a look worth its price, or None for the moment.

        Args:
            done: how many were done at the last poll.
            expected: how many should be by now.
            searching: whether requests may be spent on leads that nothing tells anything of.
        """
        self._parts = [part for part in self._parts if part.leads] or self._parts[:1]
        busy = None if self._look is None else self._look[1]
        parts = [part for part in self._parts if part.leads and part is not busy]
        if not parts:
            return None
        if (sure := next((one for one in parts if one.done >= len(one.leads)), None)) is not None:
            return self._take(sure)
        guess = self._guess(parts, done, expected, searching=searching)
        if guess is not None:
            return self._take(guess)
        if busy is not None or self._asked or not self._misses or not searching:
            return None
        return self._look_somewhere(done)

    def _take(self, part: _Part) -> int:
        one = part.leads.pop() if part.end < 0 else part.leads.popleft()
        part.done = max(part.done - 1, 0)
        self._asked[one] = part
        return one

    def _guess(
        self, parts: list[_Part], done: int, expected: int, *, searching: bool
    ) -> _Part | None:
        """The part whose next lead is worth a guess."""
        waiting = len(self._asked)
        left = self._count - self.read - waiting
        likely = (done - self.read - waiting) / left
        if not self._may_miss(waiting * (1 - likely)):
            return None
        if self._misses and len(parts) > 1:
            for part in parts:
                if part.done >= _NEARLY * len(part.leads):
                    return part
        trusted = [part for part in parts if part.trusted]
        if trusted:
            part = max(trusted, key=lambda part: part.done)
            room = part.done
            if len(self._parts) == 1:
                room = min(expected, max(done, self.read) + _BEYOND) - self.read - waiting
            most = min(1 + 2 * part.row, _AT_ONCE)
            return part if room >= 1 and list(self._asked.values()).count(part) < most else None
        enough = _LIKELY if self._fruitless else _NEARLY
        if searching and self._misses and left >= _BURST and likely >= enough:
            return max(parts, key=lambda part: part.done / len(part.leads))
        return None

    def _may_miss(self, more: float) -> bool:
        return self._misses + more < 2 + _MISSES * self._count

    def _look_somewhere(self, done: int) -> Look | None:
        """The next look of a search, which begins where one is worth its price."""
        hidden = done - self.read - len(self._aside)
        if self._search is None:
            places = sorted(one for part in self._parts for one in part.leads)
            if (
                done < self._next_search
                or self._looks > _MOST + _MOST_SHARE * self._count
                or len(places) < _BURST
                or hidden < max(_FEWEST, _SHARE * self._count)
            ):
                return None
            self._parts = [_Part(deque(places), min(hidden, len(places)))]
            self._search = _Search(list(self._probes))
        search = self._search
        search.looks -= 1
        if search.probes:
            end = search.probes.pop(0)
            part = self._parts[0 if end > 0 else -1]
            return self._ask_about(part, int(_PROBE * hidden), end, probing=True)
        part = max(self._parts, key=_promise)
        if search.looks < 0 or not _promise(part):
            self._fruitless = not search.found
            self._next_search = done + max(_PAUSE * (self._count - done), _SOME)
            self._search = None
            return None
        size = int(_PROBE * part.done) if part.end else len(part.leads) // 2
        return self._ask_about(part, size, part.end, probing=False)

    def _ask_about(self, part: _Part, size: int, end: int, *, probing: bool) -> Look:
        self._looks += 1
        leads = list(part.leads)
        size = min(max(size, 3), len(leads))
        look = Look(leads[-size:] if end < 0 else leads[:size])
        self._look = (look, part, end, probing)
        return look

    # What has come of it

    def hit(self, lead: int) -> None:
        """A lead has been read."""
        self._asked.pop(lead).row += 1
        self.read += 1

    def miss(self, lead: int) -> None:
        """A lead was not done when it was asked for; misses asked at one time are one strike."""
        part = self._asked.pop(lead)
        self._misses += 1
        slow = part.row >= _HOLE
        if slow or not part.trusted or part not in self._parts:
            self._aside.append(lead)
        elif part.end < 0:
            part.leads.append(lead)
        else:
            part.leads.appendleft(lead)
        part.row = 0
        if part.trusted and not slow:
            part.trusted, part.end = False, 0

    def counted(self, count: int) -> None:
        """The look has been answered: so many of its leads are done."""
        if self._look is None or self._search is None:
            return
        (look, part, end, probing), self._look = self._look, None
        size, asked = len(look.leads), set(look.leads)
        rest = deque(one for one in part.leads if one not in asked)
        inside = _Part(deque(look.leads), count)
        outside = _Part(rest, min(max(part.done - count, 0), len(rest)))
        if count >= size:
            inside.end = outside.end = end
            outside.trusted = end != 0
        if count >= size or outside.done >= len(rest):
            self._search.found = True
            self._search.looks = max(self._search.looks, _AFTER_A_FIND)
        if probing:
            self._probed(end, count / size)
        place = self._parts.index(part)
        self._parts[place : place + 1] = [outside, inside] if end < 0 else [inside, outside]

    def _probed(self, end: int, share: float) -> None:
        """Remember at which end it is worth looking first."""
        if share >= 1:
            self._probes = [end]
        if share < _PROBE:
            self._probes = [one for one in self._probes if one != end]
        elif self._search is not None:
            self._search.probes.clear()

    def unanswered(self) -> None:
        """The look could not be answered: go on without."""
        self._look = None
        if self._search is not None:
            self._search.probes, self._search.looks = [], 0


def _promise(part: _Part) -> float:
    """How much a look at a part promises: dense parts first, and small ones."""
    size = len(part.leads)
    if part.done < _WORTH:
        return 0.0
    if part.end:
        return 2.0 * part.done
    return float(part.done * (0.3 + part.done / size) ** 2 / size**0.5)
