"""Whose line it was: errors, interrupts and warnings point at the user's own code.

IPython shows an error as its `_render_traceback_` says: our inner frames say nothing to whoever
wrote the cell. The traceback itself stays whole, for ``%debug`` and for everything but IPython.
"""

from __future__ import annotations

import functools
import inspect
import sys
import warnings
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_OURS = "leads_pandas"
_BETWEEN = ("pandas", "contextlib", "functools")  # what a user's line goes through on its way to us


def warn(message: str, category: type[Warning]) -> None:
    """Warn about the line that called the package, whatever stands between."""
    level, frame = 1, inspect.currentframe()
    while frame is not None and frame.f_back is not None and _root(frame) in (_OURS, *_BETWEEN):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


def pointing_outside(function: Callable[P, T]) -> Callable[P, T]:
    """Make a public function's errors show the user's own line in IPython, and no frames of ours.

    What we raise on purpose is meant; an error from anywhere else, such as a user's callback, shows
    all of its frames.
    """

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except KeyboardInterrupt as interrupt:
            shorten(interrupt)
            raise
        except Exception as error:
            frames = _frames(error)
            if "IPython" in sys.modules and _root(frames[-1].tb_frame) == _OURS:
                vars(error)["_render_traceback_"] = functools.partial(rendered, error)
            raise

    return call


def shorten(interrupt: KeyboardInterrupt) -> None:
    """Show an interrupt in one line in IPython: whoever pressed the button knows where."""
    vars(interrupt)["_render_traceback_"] = lambda: [KeyboardInterrupt.__name__]


def rendered(error: BaseException) -> list[str]:
    """An error as IPython shows it, but for our frames and those below."""
    shell: Any = sys.modules["IPython"].get_ipython()
    frames = _frames(error)
    ours = [number for number, one in enumerate(frames) if _root(one.tb_frame) == _OURS]
    end = ours[0] if ours else len(frames)
    while end and _root(frames[end - 1].tb_frame) in _BETWEEN:
        end -= 1
    shown: TracebackType | None = None
    for one in reversed(frames[:end]):
        shown = TracebackType(shown, one.tb_frame, one.tb_lasti, one.tb_lineno)
    lines: list[str] = shell.InteractiveTB.structured_traceback(type(error), error, shown)
    return lines


def _frames(error: BaseException) -> list[TracebackType]:
    frames, one = [], error.__traceback__
    while one is not None:
        frames.append(one)
        one = one.tb_next
    return frames


def _root(frame: FrameType) -> str:
    """The name of the package that a frame belongs to."""
    return str(frame.f_globals.get("__name__")).partition(".")[0]
