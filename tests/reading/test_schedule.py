"""Polls and guesses are few, early enough, and stop when they are wrong."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from leads_pandas.reading.schedule import Poller


def follow(seconds: float, total: int = 200, *, delay: float = 0.0) -> tuple[int, float]:
    """Poll a job of constant rate to its end: how many polls, and how late the last one was."""
    poller = Poller(0.0)
    while True:
        now = poller.next_poll()
        share = min(max(now - delay, 0.0) / max(seconds - delay, 1e-9), 1.0)
        poller.observe(now, int(total * share), total)
        if share >= 1.0:
            return poller.polls, now - seconds


def test_a_two_second_job_is_noticed_in_under_a_second() -> None:
    polls, late = follow(2.0)
    assert late < 1.0
    assert polls <= 8


def test_a_steady_job_is_polled_at_its_end_not_all_along_the_way_to_it() -> None:
    polls, late = follow(40.0)
    assert polls <= 10
    assert late < 2.0
    polls, late = follow(120.0)
    assert polls <= 14
    assert late < 2.5


@given(st.floats(0.5, 3600.0), st.integers(1, 5000), st.floats(0.0, 0.5))
@example(4.0, 1, 0.0)
@example(10.2, 3, 0.5)
def test_no_job_is_polled_often_or_noticed_late(seconds: float, total: int, idle: float) -> None:
    polls, late = follow(seconds, total, delay=idle * seconds)
    assert polls <= 20 + seconds / 10
    # A job of few leads shows nothing until one is done; one that seemed idle goes faster than it
    # seemed. Later than its own time, or than the longest pause, neither is noticed.
    assert late <= max(1.0, min(seconds, 15.0))


@given(st.floats(2.0, 3600.0), st.integers(20, 5000))
def test_the_end_of_a_job_at_a_constant_pace_is_noticed_soon(seconds: float, total: int) -> None:
    _, late = follow(seconds, total)
    assert late <= max(1.3, 0.1 * min(seconds, 60.0), _share_of_a_lead(seconds, total))


def _share_of_a_lead(seconds: float, total: int) -> float:
    # Between two leads nothing can be seen.
    return min(2.0 + seconds / total, 15.0)


def test_a_job_that_does_not_move_is_asked_after_every_fifteen_seconds() -> None:
    poller = Poller(0.0)
    for _ in range(50):
        poller.observe(poller.next_poll(), 0, 100)
    assert poller.next_poll() - poller.polled == pytest.approx(15.0)


def test_progress_that_goes_backwards_is_believed() -> None:
    poller = Poller(0.0)
    poller.observe(1.0, 50, 100)
    poller.observe(2.0, 20, 100)
    assert poller.expected(3.0) <= 100
    assert poller.processed == 20


@given(st.lists(st.tuples(st.floats(0.1, 10.0), st.integers(0, 50)), min_size=1, max_size=20))
def test_guesses_never_pass_the_total_nor_shrink_below_the_last_poll(
    steps: list[tuple[float, int]],
) -> None:
    poller = Poller(0.0)
    now, done = 0.0, 0
    for pause, more in steps:
        now, done = now + pause, min(done + more, 300)
        poller.observe(now, done, 300)
        assert poller.processed <= poller.expected(now + 5.0) <= 300


def test_a_steady_job_is_read_ahead_of_the_polls_but_not_ahead_of_itself() -> None:
    poller = Poller(0.0)
    poller.observe(10.0, 100, 1000)
    poller.observe(20.0, 200, 1000)
    assert 200 < poller.expected(25.0) <= 250
