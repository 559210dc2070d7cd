"""Whose line it was: errors and warnings point at the user's own code, not into the package."""

from __future__ import annotations

import inspect
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

_INSIDE = ("leads_pandas", "pandas", "contextlib", "functools")


def warn(message: str, category: type[Warning]) -> None:
    """Warn about the line that called the package, whatever stands between."""
    level, frame = 1, inspect.currentframe()
    while frame is not None and frame.f_back is not None and _is_inside(frame):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


def _is_inside(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).partition(".")[0] in _INSIDE
