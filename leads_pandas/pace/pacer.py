"""The request budget that all processes of one machine user share: all of the limit, none over it.

`rate` decides, `ledger` keeps the count, and here threads wait their turn. Nothing knows HTTP or
leads.

Moments are seconds of a monotonic clock that the machine's processes share. It stands still while
the machine sleeps, so a slot may last too long, never too short; wall-clock jumps do not touch it.
Processes may have different limits: each keeps its own against the common count, so one with a
lower limit goes short while others use more than it may.
"""

from __future__ import annotations

import math
from pathlib import Path

from leads_pandas.pace.ledger import Ledger, Slot
from leads_pandas.pace.wait import FOREVER, SYSTEM_CLOCK, Clock, Late, Wait


class Pacer:
    """A request budget shared with every process that uses the same file; 0: no limit, no file.

    Whatever is granted may be sent at once, a whole limit in a burst; after a 429 all processes
    slow down together. Threads, of whichever process, are served first come, first served.
    Every method raises `StoreError` where the budget's file cannot be used.
    """

    def __init__(
        self, path: Path | None, limit: int, *, window: float = 60.0, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._clock = clock
        self.window = window if limit else 0.0
        self.ledger = Ledger(path, limit, window, clock) if limit and path is not None else None

    def acquire(self, *, lease: float, wait: Wait = FOREVER, urgent: bool = False) -> Slot:
        """Wait for a slot. Sending must begin within `FRESH` seconds; see `Slot.fresh`."""
        if self.ledger is None:
            return Slot(0, self._clock.now(), math.inf, self._clock)
        ticket: int | None = None
        try:
            while True:
                wait.check()
                answer = self.ledger.ask(lease, ticket, urgent=urgent)
                if isinstance(answer, Slot):
                    ticket = None
                    if answer.fresh():
                        return answer
                    # Suspended between the decision and here, for longer than the lease allows for.
                    self.ledger.give_back(answer)
                    continue
                ticket = answer.ticket
                pause = answer.moment - self._clock.now()
                if pause >= wait.left():
                    raise Late(pause)
                wait.sleep(min(max(pause, 0.0), self.ledger.tick))
        finally:
            if ticket is not None:
                self.ledger.leave(ticket)

    def release(self, slot: Slot) -> None:
        """Say that the request was answered or has failed: its slot counts for one window more."""
        if self.ledger is not None and slot.id:
            self.ledger.settle(slot)

    def cancel(self, slot: Slot) -> None:
        """Say that the request was surely never sent: its slot is free at once."""
        if self.ledger is not None and slot.id:
            self.ledger.give_back(slot)

    def throttled(self, retry_after: float | None, slot: Slot) -> float:
        """Take in a 429, and return the seconds for which nobody sends now.

        Requests that were under way at the same time are one strike, however many are refused.
        """
        return 0.0 if self.ledger is None else self.ledger.strike(retry_after, slot.granted)

    def paused(self) -> float:
        """Seconds for which nobody sends, because of a 429 or a budget file lost; 0.0 usually."""
        return 0.0 if self.ledger is None else self.ledger.blocked()

    def estimate(self, requests: int, after: float = 0.0) -> float:
        """Seconds until the last of so many further requests could be sent.

        A lower bound: the answers, those under way included, are taken as instant.

        Args:
            requests: how many.
            after: seconds from now, at which they are asked for.
        """
        if self.ledger is None or requests < 1:
            return after
        return self.ledger.forecast(requests, after)
