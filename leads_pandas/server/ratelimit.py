"""The service's request limit: an exact sliding window per client address; no I/O."""

from __future__ import annotations

import math
import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW = 60.0
_SWEEP_ABOVE = 1000


class RateLimiter:
    """Lets so many requests of a client through in any 60 seconds, or says how long to wait.

    A refused request does not count. A request counts for the 60 seconds from the moment it was let
    through, the end not included.

    Args:
        per_minute: how many; 0 for no limit.
        clock: seconds that only go forward.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[str, deque[float]] = {}

    def admit(self, client: str) -> int:
        """Count a request; 0, or the whole seconds to wait, rounded up, where it is refused."""
        if self._per_minute == 0:
            return 0
        with self._lock:
            now = self._clock()
            if len(self._seen) > _SWEEP_ABOVE and client not in self._seen:
                self._sweep(now)
            moments = self._seen.setdefault(client, deque())
            while moments and moments[0] + WINDOW <= now:
                moments.popleft()
            if len(moments) < self._per_minute:
                moments.append(now)
                return 0
            return max(math.ceil(moments[0] + WINDOW - now), 1)

    def _sweep(self, now: float) -> None:
        """Forget the clients whose requests no longer count."""
        self._seen = {
            client: moments
            for client, moments in self._seen.items()
            if moments and moments[-1] + WINDOW > now
        }
