"""What Ctrl-C and SIGTERM do while something is under way.

The one place where signals are handled. What is said to a person, and what is put away, is decided
by whoever uses it. Signals reach the main thread only, and a handler of the user's own stays.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING, Any

from leads_pandas.tracebacks import shorten

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

_DEFAULTS = (signal.SIG_DFL, signal.default_int_handler)


class Stopped(BaseException):
    """SIGINT or SIGTERM has come while something must be put away first: see `stoppable`.

    No KeyboardInterrupt: a run says on that one how it can be resumed, and what is put away here
    cannot.

    Attributes:
        number: the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Terminated(BaseException):
    """SIGTERM has come while a run was under way: see `terminable`."""


@contextlib.contextmanager
def stoppable() -> Generator[None]:
    """Turn SIGINT and SIGTERM into `Stopped` for a while, but for one that is to be ignored."""
    with _turned((signal.SIGINT, signal.SIGTERM), Stopped):
        yield


@contextlib.contextmanager
def terminable() -> Generator[None]:
    """Turn SIGTERM into `Terminated` for a while; at the end it goes through as it would have.

    A Ctrl-C stays what it is, and takes one line where it ends a notebook's cell.
    """
    try:
        with _turned((signal.SIGTERM,), Terminated):
            yield
    except KeyboardInterrupt as interrupt:
        shorten(interrupt)
        raise
    except Terminated:
        raise SystemExit(pass_on(signal.SIGTERM)) from None


def pass_on(number: int) -> int:
    """Let a signal do what it does by default, and say with which exit code to end if it did not.

    The first process of a container is not ended by a signal's default.
    """
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
    return 128 + number


@contextlib.contextmanager
def _turned(numbers: Iterable[int], error: type[BaseException]) -> Generator[None]:
    """Raise an error for signals that do what they do by default."""
    before: dict[int, Any] = {}

    def strike(number: int, _: object) -> None:
        raise error(number)

    try:
        if threading.current_thread() is threading.main_thread():
            for number in numbers:
                if signal.getsignal(number) in _DEFAULTS:
                    before[number] = signal.signal(number, strike)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
