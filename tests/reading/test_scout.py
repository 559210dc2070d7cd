"""Where to read while a job runs: whatever the order, few requests are wasted and none for good."""

from __future__ import annotations

import random
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leads_pandas.reading.scout import Look, Scout
from tests.support.orders import ORDERS, blind_bound, bound, finished, simulate

# Leads, and the seconds of their job: reading takes longer, then the job.
CASES = [(60, 40.0), (230, 60.0), (500, 120.0), (500, 400.0), (1000, 300.0)]
# Within so much of the bound of somebody who knows the order, on average over these cases.
NEAR = {
    "sent": 1.02,
    "stall": 1.04,
    "reversed": 1.05,
    "first at once": 1.07,
    "one slow lead": 1.06,
    "workers": 1.07,
    "blocks": 1.06,
    "shuffled pages": 1.07,
    "quarters": 1.08,
}


@pytest.mark.parametrize("order", sorted(NEAR))
def test_an_order_that_can_be_found_out_costs_little(order: str) -> None:
    ratios = []
    for count, seconds in CASES:
        ready = finished(order, count, seconds, random.Random(count))
        seen = simulate(ready)
        ratios.append(seen.seconds / bound(ready))
        assert seen.reads <= 1.05 * count + 2
    assert statistics.mean(ratios) <= NEAR[order]


def test_without_an_order_guessing_is_near_what_guessing_can_reach() -> None:
    ratios = []
    for count, seconds in CASES:
        seen = simulate(finished("random", count, seconds, random.Random(count)))
        ratios.append(seen.seconds / blind_bound(count, seconds))
        assert seen.reads <= 1.05 * count + 2
    assert statistics.mean(ratios) <= 1.10


def test_more_reads_to_waste_bring_a_blind_client_nearer_to_one_who_knows() -> None:
    # By hand: 100 at 345 s, 285, 225 and 165, each a hit; at 105 s 7 of 8 are done, at 45 s 3 of 8.
    assert blind_bound(500, 120.0) == pytest.approx(347.0, abs=2.0)
    bounds = [blind_bound(500, 120.0, waste=share) for share in (0.0, 0.05, 1.0)]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[0] == pytest.approx(360.0, abs=0.2)
    assert bounds[-1] >= bound(finished("sent", 500, 120.0, random.Random(0)))


def test_the_first_lead_done_at_once_does_not_stop_reading() -> None:
    # Seen: one read in the first 36 seconds, then nothing until the job's end.
    ready = [0.05, *(9.0 + 27.0 * n / 292 for n in range(1, 293))]
    seen = simulate(ready)
    assert seen.early >= 85
    assert seen.seconds <= 1.03 * bound(ready)


@pytest.mark.parametrize("order", ["blocks", "quarters", "random", "reversed"])
def test_a_short_job_is_not_searched_where_a_search_would_cost_a_window(order: str) -> None:
    # Preview, start, 85 leads and what polls cost: a few more requests, and a second minute begins.
    ready = finished(order, 85, 32.0, random.Random(1))
    seen = simulate(ready)
    assert seen.looks == 0
    assert seen.seconds <= 1.1 * bound(ready)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(sorted(ORDERS)),
    st.integers(1, 300),
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
    assert seen.looks <= 24 + count / 4


@settings(max_examples=30, deadline=None)
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


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 100), st.data())
def test_every_lead_is_proposed_or_left_exactly_once(count: int, data: st.DataObject) -> None:
    scout = Scout(count)
    out: set[int] = set()
    flying: list[int] = []
    done = 0
    for _ in range(60):
        done = min(done + data.draw(st.integers(0, 12)), count)
        step = scout.ask(done, done)
        if isinstance(step, Look):
            assert step.leads
            assert len(set(step.leads)) == len(step.leads)
            assert not out & set(step.leads)
            answer: int = data.draw(st.integers(-1, len(step.leads)))
            if answer < 0:
                scout.unanswered()
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
                scout.miss(one)
                out.discard(one)
        assert sorted([*scout.rest(), *out]) == list(range(count))


def test_misses_asked_at_one_moment_are_one_strike() -> None:
    scout = Scout(400)
    for _ in range(4):
        place = scout.ask(20, 20)
        assert isinstance(place, int)
        scout.hit(place)
    group = [scout.ask(60, 60) for _ in range(4)]
    for place in group:
        assert isinstance(place, int)
        scout.miss(place)
    # The front is looked at, and once it is done as a whole, it is read and believed again.
    look = scout.ask(80, 80)
    assert isinstance(look, Look)
    scout.counted(len(look.leads))
    for _ in look.leads:
        place = scout.ask(80, 80)
        assert isinstance(place, int)
        scout.hit(place)
    assert scout.ask(80, 80) == max(look.leads) + 1


def test_leads_done_from_the_back_are_read_from_the_back() -> None:
    ready = finished("reversed", 300, 100.0, random.Random(0))
    seen = simulate(ready)
    assert (seen.reads - 300, seen.looks) == (1, 3)


def test_where_no_order_shows_reading_waits_and_looks_again_later() -> None:
    ready = finished("random", 1000, 600.0, random.Random(1))
    seen = simulate(ready)
    assert seen.reads <= 1050
    assert seen.looks > 5
    assert seen.seconds <= bound([600.0] * 1000)
