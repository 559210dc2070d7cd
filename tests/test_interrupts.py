from __future__ import annotations

import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from leads_pandas.interrupts import Stopped, Terminated, stoppable, terminable, terminated

if TYPE_CHECKING:
    from collections.abc import Iterator

BOTH = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Python's own handlers, whatever this process was started with."""
    before = [signal.getsignal(number) for number in BOTH]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    for number, handler in zip(BOTH, before, strict=True):
        signal.signal(number, handler)


def handlers() -> list[Any]:
    return [signal.getsignal(number) for number in BOTH]


def ended(body: str) -> subprocess.CompletedProcess[str]:
    """A process of its own that runs some lines under Python's own handlers."""
    script = (
        "import signal\n"
        "from leads_pandas.interrupts import *\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n" + body
    )
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("number", BOTH)
def test_a_signal_stops_what_can_be_stopped_and_says_which_it_was(number: int) -> None:
    before = handlers()
    with pytest.raises(Stopped) as stopped, stoppable():
        signal.raise_signal(number)
    assert stopped.value.args == (number,)
    assert handlers() == before


class Dying:
    """Is struck by a signal in its finalizer, where Python drops what is raised."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGTERM)


def test_a_signal_whose_error_is_dropped_is_known_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dropped: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda it: dropped.append(it.exc_type))
    with stoppable() as stopped:
        assert not stopped()
        Dying()
        assert stopped()
    assert dropped == [Stopped]


@pytest.mark.parametrize("number", BOTH)
def test_a_signal_that_is_ignored_stays_so(number: int) -> None:
    signal.signal(number, signal.SIG_IGN)
    with stoppable(), terminable():
        signal.raise_signal(number)
    assert signal.getsignal(number) is signal.SIG_IGN


@pytest.mark.parametrize("block", [stoppable, terminable])
def test_a_handler_of_the_users_own_stays(block: Any) -> None:
    seen: list[int] = []
    mine = lambda number, _: seen.append(number)  # noqa: E731 - compared by identity below
    signal.signal(signal.SIGTERM, mine)
    with block():
        signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is mine
    assert seen == [signal.SIGTERM]


def test_the_outer_block_decides_what_a_signal_does() -> None:
    with pytest.raises(Stopped), stoppable(), terminable():
        signal.raise_signal(signal.SIGTERM)


def test_what_must_be_put_away_goes_before_what_is_said_at_the_end() -> None:
    with pytest.raises(Stopped), terminated(), stoppable(), terminable():
        signal.raise_signal(signal.SIGTERM)


def test_where_another_block_has_turned_the_signal_a_run_leaves_the_end_to_it() -> None:
    with pytest.raises(Terminated), terminated(), terminable():
        signal.raise_signal(signal.SIGTERM)


def test_ctrl_c_stays_a_keyboard_interrupt_while_a_run_is_under_way() -> None:
    with pytest.raises(KeyboardInterrupt), terminable():
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("block", [stoppable, terminable])
def test_a_thread_that_is_not_the_main_one_is_left_alone(block: Any) -> None:
    seen: list[list[Any]] = []

    def work() -> None:
        with block():
            seen.append(handlers())

    before = handlers()
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def test_an_error_leaves_the_handlers_as_they_were() -> None:
    before = handlers()
    with pytest.raises(ValueError, match="mine"), stoppable(), terminable():
        raise ValueError("mine")
    assert handlers() == before


def test_a_run_that_is_terminated_can_say_so_and_then_ends_by_the_signal() -> None:
    done = ended(
        "with terminable():\n"
        "    try:\n        signal.raise_signal(signal.SIGTERM)\n"
        "    except Terminated:\n        print('goodbye', flush=True)\n        raise\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGTERM, "goodbye\n", "")


def test_where_a_signal_ends_nothing_the_exit_code_says_that_it_came() -> None:
    done = ended(
        "strike = signal.raise_signal\n"
        "signal.raise_signal = lambda number: None\n"
        "with terminable():\n    strike(signal.SIGTERM)\n"
    )
    assert (done.returncode, done.stderr) == (128 + signal.SIGTERM, "")


def test_what_is_raised_is_no_error_that_somebody_catches_by_accident() -> None:
    for kind in (Stopped, Terminated):
        assert not issubclass(kind, Exception | KeyboardInterrupt | SystemExit)
