"""Where to read while a job runs: whatever the order, few requests are wasted and none for good."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leads_pandas.reading.scout import Look, Scout
from tests.support.orders import ORDERS, bound, finished, simulate

# Leads, and the seconds of their job.
CASES = [(60, 40.0), (230, 60.0), (500, 120.0), (1000, 300.0), (2000, 300.0)]
# Orders that can be found out within so much of the bound of somebody who knows them.
NEAR = {
    "sent": 1.05,
    "first at once": 1.16,
    "reversed": 1.06,
    "one slow lead": 1.35,
    "stall": 1.05,
    "workers": 1.16,
    "blocks": 1.20,
    "shuffled pages": 1.35,
}


@pytest.mark.parametrize(("count", "seconds"), CASES)
@pytest.mark.parametrize("order", sorted(NEAR))
def test_an_order_that_can_be_found_out_costs_little(
    order: str, count: int, seconds: float
) -> None:
    ready = finished(order, count, seconds, random.Random(count))
    seen = simulate(ready)
    assert seen.seconds <= NEAR[order] * bound(ready) + 2.0
    assert seen.reads <= 1.05 * count + 2


def test_the_first_lead_done_at_once_does_not_stop_reading() -> None:
    # Seen: one read in the first 36 seconds, then nothing until the job's end.
    ready = [0.05, *(9.0 + 27.0 * n / 292 for n in range(1, 293))]
    seen = simulate(ready)
    assert seen.early >= 85
    assert seen.seconds <= 1.10 * bound(ready) + 2.0


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(ORDERS)),
    st.integers(1, 700),
    st.floats(1.0, 400.0),
    st.integers(0, 2**16),
    st.sampled_from([0, 25, 100, 300]),
)
def test_whatever_the_order_no_more_than_a_twentieth_of_the_reads_are_wasted(
    order: str, count: int, seconds: float, seed: int, limit: int
) -> None:
    ready = finished(order, count, seconds, random.Random(seed))
    seen = simulate(ready, limit=limit)
    assert seen.reads <= 1.05 * count + 16
    assert seen.looks <= 12 + count / 5 + seconds / 4


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 300), st.floats(1.0, 200.0), st.integers(0, 2**16))
def test_a_job_in_any_order_takes_no_longer_than_one_that_is_read_at_its_end(
    count: int, seconds: float, seed: int
) -> None:
    mixed = random.Random(seed)
    ready = [mixed.uniform(0.0, seconds) for _ in range(count - 1)] + [seconds]
    mixed.shuffle(ready)
    seen = simulate(ready)
    # Looks and polls are requests too: they put the last reads off by a window at the most.
    assert seen.seconds <= bound([seconds] * count) + 75.0


@settings(deadline=None)
@given(st.integers(1, 200), st.data())
def test_every_lead_is_proposed_or_left_exactly_once(count: int, data: st.DataObject) -> None:
    scout = Scout(count)
    out: set[int] = set()
    flying: list[int] = []
    done = 0
    for now in range(60):
        done = min(done + data.draw(st.integers(0, 12)), count)
        step = scout.ask(float(now), done, done, idle=data.draw(st.booleans()))
        if isinstance(step, Look):
            assert step.leads
            assert len(set(step.leads)) == len(step.leads)
            assert not out & set(step.leads)
            answer: int = data.draw(st.integers(-1, len(step.leads)))
            if answer < 0:
                scout.unanswered(done)
            else:
                scout.counted(answer)
        elif step is not None:
            assert step not in out
            out.add(step)
            flying.append(step)
        back: int = data.draw(st.integers(0, len(flying)))
        for _ in range(back):
            place: int = data.draw(st.integers(0, len(flying) - 1))
            one = flying.pop(place)
            right: bool = data.draw(st.booleans())
            if right:
                scout.hit(one)
            else:
                scout.miss(one, now + 0.5)
                out.discard(one)
        assert sorted([*scout.rest(), *out]) == list(range(count))


def test_misses_asked_at_one_moment_are_one_strike() -> None:
    scout = Scout(400)
    for now in range(12):
        place = scout.ask(float(now), 20, 20, idle=True)
        assert isinstance(place, int)
        scout.hit(place)
    group = [scout.ask(20.0, 60, 60, idle=True) for _ in range(4)]
    for place in group:
        assert isinstance(place, int)
        scout.miss(place, 20.2)
    # Behind the margin of one strike, reading goes on.
    assert isinstance(scout.ask(30.0, 80, 80, idle=True), int)


def test_leads_done_from_the_back_are_read_from_the_back() -> None:
    ready = finished("reversed", 300, 100.0, random.Random(0))
    seen = simulate(ready)
    assert (seen.reads - 300, seen.looks) == (1, 2)


def test_where_no_order_shows_reading_waits_and_looks_again_later() -> None:
    ready = finished("random", 1000, 600.0, random.Random(1))
    seen = simulate(ready)
    assert seen.reads <= 1050
    assert seen.looks > 5
    assert seen.seconds <= 1.05 * bound([600.0] * 1000)
