"""One deadline, one clock, one way to sleep.

Whoever waits takes a `Wait` and holds no deadline and no clock of its own. Nothing here knows what
is waited for.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

_OFFSETS = Path("/proc/self/timens_offsets")
_SLICE = 0.2  # seconds; where a lock's wait cannot be interrupted (Windows), Ctrl-C waits for this
_SIGN = 0.25  # seconds between two signs of life


class Interrupted(Exception):  # noqa: N818 - a decision of the caller's, not a fault
    """The wait was told to stop. Nothing was sent."""


class Late(Exception):  # noqa: N818 - a fact about time, not a fault
    """The deadline passes before the ``wait`` seconds that it would take. Nothing was sent."""

    def __init__(self, wait: float) -> None:
        super().__init__(wait)
        self.wait = wait


class Clock:
    """The time that a process lives by: `time.monotonic`; a test's moves only when it sleeps."""

    def __init__(self) -> None:
        self.boot = ""  # tells one run of the clock from the next, where anything does
        self._ahead = 0.0  # of the machine's, as a container's time namespace has it
        with contextlib.suppress(OSError):
            self.boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
            for line in _OFFSETS.read_text("ascii").splitlines():
                name, seconds, nanoseconds = line.split()
                if name == "monotonic":
                    self._ahead = int(seconds) + int(nanoseconds) / 1e9

    def now(self) -> float:
        """Seconds; never goes back during one `boot`, and is the same in all processes."""
        return time.monotonic() - self._ahead

    def utc(self) -> float:
        """Seconds since 1970 in UTC, for what is written down; it may jump."""
        return time.time()

    def sleep(self, seconds: float, wake: threading.Event | None = None) -> None:
        """Return when the seconds are over or the event is set; an interrupt goes through."""
        ends = time.monotonic() + seconds
        if wake is None:
            time.sleep(max(seconds, 0.0))
            return
        while (left := ends - time.monotonic()) > 0 and not wake.wait(min(left, _SLICE)):
            pass


SYSTEM_CLOCK = Clock()


@dataclass(frozen=True, slots=True)
class Wait:
    """How long a caller waits: until told to stop, or until a moment."""

    clock: Clock = SYSTEM_CLOCK  # the time it lives by
    deadline: float | None = None  # moment of the clock at which it ends; None: never
    stop: threading.Event | None = None  # ends it when set; None: nothing does

    def now(self) -> float:
        """The clock's moment."""
        return self.clock.now()

    def left(self) -> float:
        """Seconds until the deadline, 0.0 where it is over, infinite where there is none."""
        return math.inf if self.deadline is None else max(self.deadline - self.clock.now(), 0.0)

    def within(self, seconds: float | None) -> Wait:
        """This wait, or one that ends in so many seconds where that is sooner."""
        if seconds is None or seconds >= self.left():
            return self
        return replace(self, deadline=self.clock.now() + seconds)

    def check(self, seconds: float = 0.0) -> None:
        """Go on only if there is time for so many seconds more."""
        if self.stop is not None and self.stop.is_set():
            raise Interrupted
        if self.deadline is not None and self.clock.now() + seconds >= self.deadline:
            raise Late(seconds)

    def sleep(self, seconds: float, tick: Callable[[], object] | None = None) -> None:
        """Let time pass. A sleep that would end after the deadline is not begun."""
        self.check(seconds)
        ends = self.clock.now() + seconds
        while True:
            if tick is not None:
                tick()
            left = ends - self.clock.now()
            if left <= 0:
                return
            self.clock.sleep(left if tick is None else min(left, _SIGN), self.stop)
            if self.stop is not None and self.stop.is_set():
                raise Interrupted


FOREVER = Wait()
