"""What Ctrl-C and SIGTERM do while something is under way.

The one place where signals are handled. What is said to a person, and what is put away, is decided
by whoever uses it. Signals reach the main thread only, and a handler of the user's own stays.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from leads_pandas.tracebacks import shorten

_DEFAULTS = (signal.SIG_DFL, signal.default_int_handler)


class Stopped(BaseException):
    """A signal, its argument, has come while something must be put away: see `stoppable`.

    No KeyboardInterrupt: a run says on that one how it can be resumed, and this cannot be.
    """


class Terminated(BaseException):
    """SIGTERM has come while a run was under way: see `terminable`."""


@contextlib.contextmanager
def stoppable() -> Generator[Callable[[], bool]]:
    """Turn SIGINT and SIGTERM into `Stopped` for a while, but for one that is to be ignored.

    Yields whether one has come: Python drops an error that is raised in a finalizer, or in the
    callback of a weak reference as an import has them.
    """
    struck: list[int] = []
    with _turned((signal.SIGINT, signal.SIGTERM), Stopped, struck):
        yield lambda: bool(struck)


@contextlib.contextmanager
def terminable() -> Generator[None]:
    """Turn SIGTERM into `Terminated` for a while; at the end it goes through as it would have.

    A Ctrl-C stays what it is, and takes one line where it ends a notebook's cell.
    """
    turned: Mapping[int, object] = {}
    try:
        with terminated() as turned:
            yield
    except KeyboardInterrupt as interrupt:
        shorten(interrupt)
        raise
    except Terminated:
        if not turned:  # whoever else did it knows what comes then
            raise
        raise SystemExit(pass_on(signal.SIGTERM)) from None


def terminated() -> contextlib.AbstractContextManager[Mapping[int, Any]]:
    """Turn SIGTERM into `Terminated` for a while, and leave the end to whoever catches it."""
    return _turned((signal.SIGTERM,), Terminated)


def pass_on(number: int) -> int:
    """Let a signal do what it does by default, and say with which exit code to end if it did not.

    The first process of a container is not ended by a signal's default.
    """
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
    return 128 + number


@dataclass(frozen=True, slots=True)
class _Strike:
    """A handler that raises an error."""

    error: type[BaseException]
    struck: list[int] = field(default_factory=list, compare=False)

    def __call__(self, number: int, _: object) -> None:
        self.struck.append(number)
        raise self.error(number)


@contextlib.contextmanager
def _turned(
    numbers: Iterable[int], error: type[BaseException], struck: list[int] | None = None
) -> Generator[Mapping[int, Any]]:
    """Raise an error for signals that do what they do by default; yields which those are.

    What must be put away goes before what is merely said at the end. What has come is put into
    ``struck``.
    """
    strike = _Strike(error, [] if struck is None else struck)
    ours = (*_DEFAULTS, _Strike(Terminated)) if error is Stopped else _DEFAULTS
    before: dict[int, Any] = {}
    try:
        if threading.current_thread() is threading.main_thread():
            for number in numbers:
                if signal.getsignal(number) in ours:
                    before[number] = signal.signal(number, strike)
        yield before
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
