"""How the cost of a piece of work grows with its size, whatever else the machine is doing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_LARGER = 8
_TRIES = 5


def grows_like_its_size(work: Callable[[int], object], size: int) -> bool:
    """Whether eight times the size costs nearer to eight times the CPU time than to 64 times it.

    Other work on the machine makes one measurement larger, never all of them, so that one good try
    of several is enough; where the cost is quadratic, none is good.
    """

    def seconds(of: int) -> float:
        began = time.process_time()
        work(of)
        return time.process_time() - began

    return any(seconds(_LARGER * size) < 3 * _LARGER * seconds(size) + 0.1 for _ in range(_TRIES))
