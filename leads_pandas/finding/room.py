"""Memory for large pages, shared by all that are read at once; no I/O."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

FREE, HELD = 32 * 1024, 4 * 1024 * 1024  # bytes of one page, and of what all exceed it by


class Room:
    """Counts the bytes of large pages that are in memory, and makes whoever wants more wait.

    Whoever came first always gets what it wants, so that not all wait for each other.

    Args:
        aside: entered around waits.

    Safe to use from several threads.
    """

    def __init__(self, aside: Callable[[], AbstractContextManager[None]]) -> None:
        self._aside = aside
        self._changed = threading.Condition()
        self._held: dict[object, int] = {}
        self._closed = False

    def take(self, who: object, count: int, deadline: float) -> bool:
        """Take some bytes; False where there is no room until `deadline` (`time.monotonic`)."""
        if self._has_taken(who, count):
            return True
        with self._aside(), self._changed:
            while not (self._closed or self._has_taken(who, count)):
                if not self._changed.wait(max(deadline - time.monotonic(), 0.0)):
                    return False
        return not self._closed

    def leave(self, who: object) -> None:
        """Give back all that somebody took."""
        if who in self._held:  # only its own thread has it take or leave
            with self._changed:
                del self._held[who]
                self._changed.notify_all()

    def close(self) -> None:
        """Have nobody wait any longer."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _has_taken(self, who: object, count: int) -> bool:
        with self._changed:
            is_first = next(iter(self._held), who) is who
            fits = is_first or sum(self._held.values()) + count <= HELD
            if fits:
                self._held[who] = self._held.get(who, 0) + count
            return fits
