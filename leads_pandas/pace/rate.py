"""When the next request may be sent: decisions alone, without a file, a thread or a clock.

A request takes a slot when it is granted, and keeps it until its answer was received plus one
window. The service counted the request somewhere in between, so whatever its clock, its distance
and its kind of window (sliding, fixed, token bucket), it cannot see more than the limit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

FRESH = 1.0  # seconds after its grant within which a request must begin to be sent
GUARD = 0.001  # share of a window added to it: clocks that drift, servers that count in ms
CALM = 5.0  # windows without a 429 after which the pace recovers by one level
BELIEVED = 3600.0  # seconds; a longer wait is an epoch, or milliseconds, and is tried after this
_BACKOFF = 2.0  # seconds after a first 429 that names no wait, doubling


class Pace(NamedTuple):
    """What the service's refusals have taught, and when the last request went."""

    granted: float = -math.inf  # moment of the latest grant
    blocked: float = -math.inf  # moment before which nobody sends
    struck: float = -math.inf  # moment of the latest 429 that counted
    level: int = 0  # 0 for bursts; 1 for even spacing, and twice the spacing for each level above
    calm: float = -math.inf  # moment at which the level falls by one


def hold(window: float) -> float:
    """Seconds that a slot still counts after its answer."""
    return window * (1.0 + GUARD)


def spacing(level: int, limit: int, window: float) -> float:
    """Seconds between two requests at a level: a window's even share, doubled per level."""
    return min(window / limit * 2.0 ** (level - 1), window) if level else 0.0


def relax(pace: Pace, now: float, window: float) -> Pace:
    """The pace after the quiet time up to now: one level less for every `CALM` windows."""
    while pace.level and now >= pace.calm:
        pace = pace._replace(level=pace.level - 1, calm=pace.calm + CALM * window)
    return pace


def strike(
    pace: Pace, now: float, retry_after: float | None, *, sent: float, limit: int, window: float
) -> Pace:
    """The pace after a 429 to a request that was granted at ``sent``.

    Requests that were under way when the last strike came tell nothing new: they count as that one.
    The first one after a pause only asks whether the pause was long enough: refused, it doubles the
    pause and leaves the spacing, or a service that frees its window once a minute would be met
    with ever wider spacing.
    """
    pause = None
    if retry_after is not None and not math.isnan(retry_after):
        pause = min(max(retry_after, 0.0), BELIEVED)
    if sent <= pace.struck:
        blocked = pace.blocked if pause is None else max(pace.blocked, now + pause)
        return pace._replace(blocked=blocked, calm=max(pace.calm, blocked + CALM * window))
    pace = relax(pace, now, window)
    step = spacing(pace.level, limit, window)
    if pace.level and sent < max(pace.blocked, pace.struck + step) + step:
        level = pace.level
        doubled = max(2.0 * (pace.blocked - pace.struck), _BACKOFF)
        pause = max(pause or 0.0, min(doubled, window))
    else:
        level = min(pace.level + 1, limit.bit_length() + 1)  # from there on a whole window
        pause = min(_BACKOFF, window) if pause is None else pause
    blocked = max(pace.blocked, now + pause)
    return pace._replace(struck=now, level=level, blocked=blocked, calm=blocked + CALM * window)


def rebooted(pace: Pace, begin: float, window: float) -> Pace:
    """The pace on a clock that has begun anew since it was written; all slots are void.

    Whatever was sent before ``begin`` is forgotten one window after it.
    """
    asked = pace.blocked - pace.struck if math.isfinite(pace.struck) else 0.0
    blocked = begin + max(min(asked, BELIEVED), hold(window))
    return Pace(blocked=blocked, level=pace.level, calm=blocked + CALM * window)


def send_time(
    number: int,
    now: float,
    *,
    limit: int,
    window: float,
    used: int,
    freed: Callable[[int], float],
    pace: Pace,
) -> float:
    """The earliest moment at which the ``number``-th further request may be sent.

    It is ``now`` or before where that is at once. Requests under way are taken as answered now, and
    so are the further ones as soon as they are sent: the moment may turn out later, never earlier
    (unless somebody gives a slot back).

    ``used`` slots are in use, of whichever process, and ``freed`` tells at which moment the n-th of
    them (from 0) becomes free, ascending.
    """
    counts = hold(window)
    cycles, place = divmod(number - 1, limit)
    short = place - (limit - used)
    moment = now if short < 0 else min(freed(short), now + counts)
    return max(
        moment + cycles * counts, _spaced(number, now, limit, window, relax(pace, now, window))
    )


def _spaced(number: int, now: float, limit: int, window: float, pace: Pace) -> float:
    """`send_time` as far as strikes and blocks go."""
    moment, level, calm = max(now, pace.blocked), pace.level, pace.calm
    if level:
        moment = max(moment, pace.granted + spacing(level, limit, window))
    while level:
        step = spacing(level, limit, window)
        at_this_level = math.floor((calm - moment) / step) + 1 if calm >= moment else 0
        if number <= at_this_level:
            return moment + (number - 1) * step
        number -= at_this_level
        moment = max(moment, calm)
        level, calm = level - 1, calm + CALM * window
    return moment + (number - 1) // limit * hold(window)
