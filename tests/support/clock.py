"""Time that passes only while somebody sleeps, or when a test says so."""

from __future__ import annotations

import threading

from leads_pandas.pace.wait import Clock


class FakeClock(Clock):
    """A clock for code that runs in one thread.

    Args:
        moment: what it shows; a test may set it.
        boot: see `Clock`.

    Attributes:
        slept: every sleep so far, in seconds.
    """

    def __init__(self, moment: float = 1000.0, boot: str = "one") -> None:
        self.moment = moment
        self.boot = boot
        self.slept: list[float] = []

    def now(self) -> float:
        return self.moment

    def utc(self) -> float:
        return 1_800_000_000.0 + self.moment

    def sleep(self, seconds: float, wake: threading.Event | None = None) -> None:
        if wake is not None and wake.is_set():
            return
        self.slept.append(seconds)
        # Never less than a float of this size can hold, or a loop would wait for ever.
        self.moment += max(seconds, 1e-6)
