from __future__ import annotations

import itertools
import math
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from leads_pandas.pace.wait import FOREVER, SYSTEM_CLOCK, Clock, Interrupted, Late, Wait
from tests.support.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def test_a_wait_without_a_deadline_has_all_the_time(clock: FakeClock) -> None:
    wait = Wait(clock)
    wait.sleep(1e6)
    assert wait.left() == math.inf
    assert wait.now() == clock.moment == 1000.0 + 1e6


def test_a_container_with_a_time_of_its_own_lives_by_the_machines(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    offsets = tmp_path / "timens_offsets"
    offsets.write_text("monotonic       -86400 500000000\nboottime            7         0\n")
    monkeypatch.setattr("leads_pandas.pace.wait._OFFSETS", offsets)
    before = time.monotonic()
    assert Clock().now() >= before + 86_399.5


def test_a_sleep_that_would_pass_the_deadline_is_not_begun(clock: FakeClock) -> None:
    wait = Wait(clock, deadline=1010.0)
    wait.sleep(4.0)
    assert wait.left() == 6.0
    with pytest.raises(Late) as late:
        wait.sleep(7.0)
    assert late.value.wait == 7.0
    assert clock.slept == [4.0]


def test_a_deadline_that_is_over_ends_every_wait(clock: FakeClock) -> None:
    wait = Wait(clock, deadline=999.0)
    assert wait.left() == 0.0
    with pytest.raises(Late):
        wait.check()
    with pytest.raises(Late):
        wait.sleep(0.0)


def test_a_narrower_wait_never_outlives_the_wider_one(clock: FakeClock) -> None:
    wait = Wait(clock, deadline=1010.0)
    assert wait.within(None) is wait.within(20.0) is wait
    assert wait.within(3.0).left() == 3.0
    assert Wait(clock).within(5.0).deadline == 1005.0


def test_a_wait_that_was_told_to_stop_neither_begins_nor_goes_on(clock: FakeClock) -> None:
    stop = threading.Event()
    wait = Wait(clock, stop=stop)
    with pytest.raises(Interrupted):
        wait.sleep(10.0, tick=stop.set)
    slept = list(clock.slept)
    assert sum(slept) < 1.0
    with pytest.raises(Interrupted):
        wait.check()
    with pytest.raises(Interrupted):
        wait.sleep(1.0)
    assert clock.slept == slept


def test_signs_of_life_are_given_several_times_a_second(clock: FakeClock) -> None:
    ticks: list[float] = []
    Wait(clock).sleep(3.0, tick=lambda: ticks.append(clock.moment))
    assert ticks[0] == 1000.0
    assert max(b - a for a, b in itertools.pairwise(ticks)) <= 0.5
    assert clock.moment == pytest.approx(1003.0)


def test_an_event_ends_a_real_sleep_at_once() -> None:
    stop = threading.Event()
    threading.Timer(0.05, stop.set).start()
    with pytest.raises(Interrupted):
        Wait(stop=stop).sleep(3600.0)


@pytest.mark.parametrize("stop", [None, threading.Event()])
def test_ctrl_c_goes_through_a_real_sleep_at_once(stop: threading.Event | None) -> None:
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        Wait(stop=stop).sleep(3600.0)


def test_a_real_sleep_is_no_shorter_than_asked_for() -> None:
    for event in (None, threading.Event()):
        began = SYSTEM_CLOCK.now()
        Clock().sleep(0.02, event)
        assert SYSTEM_CLOCK.now() - began >= 0.02
    FOREVER.sleep(0.0)


def test_late_and_interrupted_pickle() -> None:
    late, interrupted = pickle.loads(pickle.dumps((Late(3.5), Interrupted())))  # noqa: S301 - our own
    assert late.wait == 3.5
    assert isinstance(interrupted, Interrupted)


def test_the_systems_clock_is_shared_by_processes_and_knows_its_boot() -> None:
    script = "from leads_pandas.pace.wait import SYSTEM_CLOCK as c; print(c.boot, c.now())"
    before = SYSTEM_CLOCK.now()
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    *boot, now = answer.stdout.split()
    assert " ".join(boot) == SYSTEM_CLOCK.boot
    assert before < float(now) < SYSTEM_CLOCK.now()
    assert abs(SYSTEM_CLOCK.utc() - time.time()) < 60.0
