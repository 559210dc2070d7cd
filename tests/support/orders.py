"""Orders in which jobs finish their leads, and the reading of such a job in simulated time.

No sockets and no sleeping: the package's own decisions (`Poller`, `Scout`) against a service, a
rate limit that is used to the last slot, and answers that take a moment.
"""

from __future__ import annotations

import bisect
import heapq
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from leads_pandas.reading.schedule import Poller, pays_to_search
from leads_pandas.reading.scout import Look, Scout

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

LIMIT = 100
WINDOW = 60.0
_TICK = 0.25
_WORKERS = 32


def _even(places: list[int], seconds: float) -> list[float]:
    """Moments per lead, of a job that takes them in this order at a constant pace."""
    ready = [0.0] * len(places)
    for rank, place in enumerate(places):
        ready[place] = seconds * (rank + 1) / len(places)
    return ready


def _mixed(places: list[int], size: int, mixed: random.Random, *, within: bool) -> list[int]:
    pages = [places[first : first + size] for first in range(0, len(places), size)]
    if within:
        pages = [mixed.sample(page, len(page)) for page in pages]
    else:
        mixed.shuffle(pages)
    return [place for page in pages for place in page]


def _workers(count: int, seconds: float, mixed: random.Random) -> list[float]:
    """Sixteen workers that take the next lead each, some leads ten times as long as others."""
    free = [0.0] * 16
    ready = []
    for _ in range(count):
        moment = heapq.heappop(free) + mixed.expovariate(1.0)
        heapq.heappush(free, moment)
        ready.append(moment)
    return [moment * seconds / max(ready) for moment in ready]


def _slow(count: int, seconds: float, *_: object) -> list[float]:
    ready = _even(list(range(count)), seconds)
    ready[3 % count] = ready[count // 2] = seconds
    return ready


def _stall(count: int, seconds: float, *_: object) -> list[float]:
    ready = _even(list(range(count)), 0.6 * seconds)
    return [
        one + (0.4 * seconds if place >= count // 3 else 0.0) for place, one in enumerate(ready)
    ]


def _first(count: int, seconds: float, *_: object) -> list[float]:
    return [0.05, *(seconds * (0.25 + 0.75 * n / max(count - 1, 1)) for n in range(1, count))]


def _chunks(count: int, seconds: float, *_: object) -> list[float]:
    """Four workers with a quarter each."""
    size = -(-count // 4)
    return _even(sorted(range(count), key=lambda place: (place % size, place)), seconds)


ORDERS: dict[str, Callable[[int, float, random.Random], list[float]]] = {
    "sent": lambda count, seconds, _: _even(list(range(count)), seconds),
    "reversed": lambda count, seconds, _: _even(list(range(count))[::-1], seconds),
    "random": lambda count, seconds, mixed: _even(mixed.sample(range(count), count), seconds),
    "blocks": lambda count, seconds, mixed: _even(
        _mixed(list(range(count)), max(count // 8, 1), mixed, within=False), seconds
    ),
    "shuffled pages": lambda count, seconds, mixed: _even(
        _mixed(list(range(count)), 50, mixed, within=True), seconds
    ),
    "quarters": _chunks,
    "workers": _workers,
    "one slow lead": _slow,
    "stall": _stall,
    "first at once": _first,
}


def finished(order: str, count: int, seconds: float, mixed: random.Random) -> list[float]:
    """The moment at which each lead is done."""
    return ORDERS[order](count, seconds, mixed)


def bound(ready: list[float], *, limit: int = LIMIT, window: float = WINDOW) -> float:
    """Seconds that nobody can beat, whoever knows the order: preview, start, a read per lead."""
    sent: list[float] = []
    for number, moment in enumerate([0.0, 0.0, *sorted(ready)]):
        freed = sent[number - limit] + window if limit and number >= limit else 0.0
        sent.append(max(moment, freed, sent[-1] if sent else 0.0))
    return sent[-1]


def blind_bound(
    count: int, seconds: float, *, waste: float = 0.05, limit: int = LIMIT, window: float = WINDOW
) -> float:
    """Seconds that a client of an even job in random order hardly beats, who wastes few reads.

    Whoever is done at T has sent at most `limit` requests between T and a window before it, as many
    in the window before that, and so on. Put all of each at its end, where most leads are done, at
    the chance that any one of them is (those read before only lower it), and spend the reads that
    may be wasted where they yield most: late. The least T that yields every lead is the bound. That
    preview, start and polls take requests too is left out.
    """

    def reads(end: float) -> float:
        read, wasted, moment = 0.0, 0.0, end
        while moment > 0:
            chance = min(moment / seconds, 1.0)
            asked = limit if chance == 1 else min(limit, (waste * count - wasted) / (1 - chance))
            read, wasted = read + asked * chance, wasted + asked * (1 - chance)
            moment -= window
        return read

    end = seconds
    while reads(end) < count:
        end += 0.1
    return end


@dataclass
class Seen:
    """What a simulated job cost.

    Attributes:
        seconds: until the last lead was read.
        polls: requests for the job's status.
        reads: requests for leads.
        looks: previews.
        early: leads read before the job had ended.
    """

    seconds: float = 0.0
    polls: int = 0
    reads: int = 0
    looks: int = 0
    early: int = 0


class _Line:
    """The slots of the rate limit."""

    def __init__(self, limit: int, window: float) -> None:
        self._limit, self._window = limit, window
        self._taken: list[float] = []

    def next(self, now: float) -> float:
        """When the next request may be sent."""
        while self._taken and self._taken[0] <= now:
            heapq.heappop(self._taken)
        return now if not self._limit or len(self._taken) < self._limit else self._taken[0]

    def estimate(self, requests: int, now: float, after: float) -> float:
        """Seconds until the last of so many requests is sent that are asked for after a while."""
        busy = sorted(one for one in self._taken if one > now + after)
        cycles, place = divmod(requests - 1, self._limit)
        short = place - (self._limit - len(busy))
        return (after if short < 0 else busy[short] - now) + cycles * self._window

    def take(self, answered: float) -> None:
        heapq.heappush(self._taken, answered + self._window)


def simulate(
    ready: list[float], *, limit: int = LIMIT, window: float = WINDOW, latency: float = 0.15
) -> Seen:
    """Read a job whose leads are done at these moments, as the collector does."""
    seen, line = Seen(), _Line(limit, window)
    line.take(latency)
    line.take(2 * latency)
    now = 2 * latency
    ordered, count = sorted(ready), len(ready)
    poller, scout = Poller(now, total=count), Scout(count)
    rest: deque[int] | None = None
    polling, read, guesses = False, 0, 0
    waiting: deque[tuple[str, object]] = deque()
    flying: list[tuple[float, int, str, object, int]] = []

    def propose() -> tuple[str, object] | None:
        nonlocal polling, guesses
        if rest is not None:
            return ("read", rest.popleft()) if rest else None
        if (
            not polling
            and poller.processed < count
            and now >= poller.next_poll()
            and len(waiting) + len(flying) < _WORKERS // 4
        ):
            polling = True
            return "poll", None
        searching = pays_to_search(
            poller,
            now,
            count - read,
            lambda requests, after: line.estimate(requests, now, after),
            window if limit else 0.0,
        )
        step = scout.ask(poller.processed, poller.expected(now), searching=searching)
        if isinstance(step, Look):
            return "look", step
        guesses += step is not None
        return None if step is None else ("guess", step)

    while read < count:
        while len(waiting) + len(flying) < _WORKERS and (asked := propose()) is not None:
            waiting.append(asked)
        while waiting and line.next(now) <= now:
            kind, what = waiting.popleft()
            moment = now + latency / 2
            if kind == "poll":
                answer = bisect.bisect_right(ordered, moment)
                seen.polls += 1
            elif isinstance(what, Look):
                answer = sum(ready[one] <= moment for one in what.leads)
                seen.looks += 1
            else:
                answer = int(ready[int(str(what))] <= moment)
                seen.reads += 1
            line.take(now + latency)
            heapq.heappush(
                flying, (now + latency, seen.polls + seen.reads + seen.looks, kind, what, answer)
            )
        later = [now + _TICK]
        later += [flying[0][0]] if flying else []
        later += [line.next(now)] if waiting else []
        later += (
            [] if polling or poller.processed == count else [max(poller.next_poll(), now + 0.02)]
        )
        now = max(min(later), now + 1e-6)
        while flying and flying[0][0] <= now:
            _, _, kind, what, answer = heapq.heappop(flying)
            if kind == "poll":
                polling = False
                poller.observe(now, answer, count)
            elif isinstance(what, Look):
                scout.counted(answer)
            elif answer:
                read += 1
                seen.early += rest is None
                if kind == "guess":
                    scout.hit(int(str(what)))
            else:
                scout.miss(int(str(what)))
            guesses -= kind == "guess"
            if poller.processed == count and rest is None and not guesses:
                rest = deque(scout.rest())
        assert now < 1e6
    seen.seconds = now
    return seen
