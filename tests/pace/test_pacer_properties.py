"""No server that counts as the service may count ever sees more than the limit.

Whole worlds are simulated over a clock that the test holds: processes with several requests under
way, answers fast and slow, deaths, suspensions at the worst moments, requests called off. The
decisions are the real ones, made in a real ledger; only time and the network are simulated.
"""

from __future__ import annotations

import heapq
import itertools
import math
import tempfile
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leads_pandas.pace.pacer import Pacer, Slot
from leads_pandas.pace.rate import FRESH, GUARD, Pace, hold, relax, send_time, strike
from tests.support.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LEASE = 5.0
Kind = Literal["sliding", "fixed", "bucket"]


@dataclass(frozen=True)
class Request:
    """How one request goes; all in seconds.

    Attributes:
        pause: before the thread asks for a slot.
        slept: suspended between the grant and the check whether it is fresh.
        hesitated: between that check and the first byte.
        up: from the first byte until the service counts it.
        down: from there until the answer is there.
        held: suspended between the answer's arrival and its release.
        fate: ``answered``, ``cancelled`` (never sent) or ``killed`` (its whole process, once sent).
    """

    pause: float = 0.0
    slept: float = 0.0
    hesitated: float = 0.0
    up: float = 0.0
    down: float = 0.0
    held: float = 0.0
    fate: str = "answered"


@dataclass(frozen=True)
class Service:
    """A clock with another zero, a little faster or slower than ours, and where its windows begin.

    Its windows begin at ``phase`` windows after its zero.
    """

    rate: float
    offset: float
    phase: float


@dataclass(eq=False)
class _Thread:
    requests: Iterator[Request]
    request: Request
    began: float
    ticket: int | None = None


@dataclass
class World:
    """Processes that share one ledger, and what a service counts of them.

    Args:
        folder: for the ledger.
        plans: per process the limit it keeps to and, per thread, its requests in order.
        window: seconds.
        stricter: a limit of the service's own; above it, it answers 429.
        retry_after: what it says then.
        kind: of its window.
        counts_refused: whether a request that it refuses counts in its window.
        phase: of its fixed windows, in seconds.
    """

    folder: Path
    plans: list[tuple[int, list[list[Request]]]]
    window: float
    stricter: int | None = None
    retry_after: float | None = None
    clock: FakeClock = field(default_factory=lambda: FakeClock(0.0))
    counted: list[float] = field(default_factory=list)
    granted: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    longest_wait: float = 0.0
    served: int = 0
    kind: Kind = "sliding"
    counts_refused: bool = False
    phase: float = 0.0

    def __post_init__(self) -> None:
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self.pacers = [
            Pacer(self.folder / "pace.sqlite", limit, window=self.window, clock=self.clock)
            for limit, _ in self.plans
        ]
        self._dead: set[int] = set()

    def run(self) -> World:
        """Let everything happen; it ends only if every thread of the living is served."""
        for process, (_, threads) in enumerate(self.plans):
            for requests in threads:
                self._next(process, iter(requests))
        while self._events:
            moment, _, happen = heapq.heappop(self._events)
            self.clock.moment = max(self.clock.moment, moment)
            happen()
        return self

    def _at(self, moment: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._events, (moment, next(self._order), happen))

    def _next(self, process: int, requests: Iterator[Request]) -> None:
        request = next(requests, None)
        if request is not None:
            began = self.clock.moment + request.pause
            self._at(began, lambda: self._ask(process, _Thread(requests, request, began)))

    def _ask(self, process: int, thread: _Thread) -> None:
        if process in self._dead:
            return
        answer = self.pacers[process].ask(LEASE, thread.ticket)
        if isinstance(answer, Slot):
            slot, thread.ticket = answer, None
            self.longest_wait = max(self.longest_wait, slot.granted - thread.began)
            awake = slot.granted + thread.request.slept
            self._at(awake, lambda: self._send(process, thread, slot))
        else:
            thread.ticket = answer.ticket
            again = min(answer.moment, self.clock.moment + self.pacers[process].tick)
            self._at(again, lambda: self._ask(process, thread))

    def _send(self, process: int, thread: _Thread, slot: Slot) -> None:
        if process in self._dead:
            return
        request, pacer = thread.request, self.pacers[process]
        if not slot.fresh():
            pacer.cancel(slot)
            thread.request = replace(request, slept=0.0)
            self._ask(process, thread)
        elif request.fate == "cancelled":
            pacer.cancel(slot)
            self._next(process, thread.requests)
        else:
            if request.fate == "killed":
                self._dead.add(process)
            self.granted.append(slot.granted)
            counts = self.clock.moment + request.hesitated + request.up
            self._at(counts, lambda: self._count(process, thread, slot))

    def _count(self, process: int, thread: _Thread, slot: Slot) -> None:
        now, request = self.clock.moment, thread.request
        refused = self.stricter is not None and self._used(now) >= self.stricter
        if not refused or self.counts_refused:
            self.counted.append(now)
        if request.fate != "killed":
            answered = now + request.down + request.held
            self._at(answered, lambda: self._answer(process, thread, slot, refused=refused))

    def _used(self, now: float) -> float:
        """How much of its limit the service takes as used."""
        if self.kind == "fixed":
            begin = now - (now - self.phase) % self.window
        elif self.kind == "sliding":
            begin = now - self.window
        else:
            used, before = 0.0, now
            for one in self.counted:
                rate = (self.stricter or 0) / self.window
                used, before = max(used - max(one - before, 0.0) * rate, 0.0) + 1.0, one
            return max(used - (now - before) * (self.stricter or 0) / self.window, 0.0) + 1e-9
        return len(self.counted) - bisect_right(self.counted, begin)

    def _answer(self, process: int, thread: _Thread, slot: Slot, *, refused: bool) -> None:
        pacer = self.pacers[process]
        if process in self._dead:
            return
        pacer.release(slot)
        if refused:
            self.refused.append(self.clock.moment)
            pacer.throttled(self.retry_after, slot)
            thread.began = self.clock.moment
            self._ask(process, thread)
        else:
            self.served += 1
            self._next(process, thread.requests)


def most_in_sliding_window(moments: list[float], window: float) -> int:
    """The most that any closed window of that length holds."""
    return max(
        (bisect_right(moments, one + window) - place for place, one in enumerate(moments)),
        default=0,
    )


def most_in_fixed_window(moments: list[float], window: float, phase: float) -> int:
    """The most that any window from a grid of that length and phase holds."""
    windows = [math.floor((one - phase) / window) for one in moments]
    return max((len(list(same)) for _, same in itertools.groupby(windows)), default=0)


def least_in_token_bucket(moments: list[float], window: float, size: int) -> float:
    """The fewest tokens that a bucket, refilled once per window, ever holds."""
    tokens, before, least = float(size), -math.inf, float(size)
    for one in moments:
        tokens = min(tokens + (one - before) * size / window, float(size)) - 1.0
        before, least = one, min(least, tokens)
    return least


short = st.one_of(st.just(0.0), st.floats(0.0, 0.3), st.floats(0.0, LEASE / 2))
suspended = st.one_of(st.just(0.0), st.just(0.0), st.just(0.0), st.floats(0.0, 20.0))
request = st.builds(
    Request,
    pause=short,
    slept=suspended,
    hesitated=st.floats(0.0, LEASE / 4),
    up=short,
    down=short,
    held=suspended,
    fate=st.sampled_from(["answered"] * 12 + ["cancelled", "killed"]),
)
threads = st.lists(st.lists(request, min_size=1, max_size=6), min_size=1, max_size=3)
quick = settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow], database=None
)


@given(
    data=st.data(),
    limits=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    window=st.sampled_from([2.0, 10.0]),
    service=st.builds(
        Service,
        rate=st.floats(1.0 - GUARD / 2, 1.0 + GUARD / 2),
        offset=st.floats(-1e4, 1e4),
        phase=st.floats(0.0, 1.0),
    ),
)
@quick
def test_no_window_of_any_kind_of_server_holds_more_than_the_limit(
    data: st.DataObject, limits: list[int], window: float, service: Service
) -> None:
    plans = [(limit, data.draw(threads)) for limit in limits]
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), plans, window).run()
    seen = sorted(service.offset + service.rate * one for one in world.counted)
    limit = max(limits)
    assert most_in_sliding_window(seen, window) <= limit
    assert most_in_fixed_window(seen, window, service.phase * window) <= limit
    assert least_in_token_bucket(seen, window, limit) >= -1e-6


@given(
    latencies=st.lists(st.floats(0.0, 0.6), min_size=8, max_size=40),
    limit=st.integers(4, 8),
    processes=st.integers(1, 4),
)
@settings(quick, max_examples=8)
def test_with_work_at_hand_the_whole_budget_is_used(
    latencies: list[float], limit: int, processes: int
) -> None:
    window = 20.0
    spread = [[Request(up=one / 2, down=one / 2) for one in latencies[n::8]] for n in range(8)]
    plans = [(limit, spread[n::processes]) for n in range(processes)]
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), plans, window).run()
    windows = (len(latencies) - 1) // limit
    assert world.served == len(latencies)
    # Each window begins one answer, at most, after the one before; a burst takes a few of them.
    assert max(world.granted) <= windows * (hold(window) + 0.6) + 0.6 * math.ceil(limit / 4)


@given(
    threads=st.integers(2, 8),
    limit=st.integers(8, 12),
    processes=st.integers(2, 4),
    latency=st.floats(0.0, 0.6),
)
@settings(quick, max_examples=8)
def test_no_thread_waits_longer_than_two_windows(
    threads: int, limit: int, processes: int, latency: float
) -> None:
    window = 6.0
    plans = [
        (limit, [[Request(up=latency)] * 6 for _ in range(threads if n == 0 else 1)])
        for n in range(processes)
    ]
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), plans, window).run()
    assert world.served == 6 * (threads + processes - 1)
    assert world.longest_wait <= 2 * (hold(window) + latency) + 1e-6


@given(
    stricter=st.integers(2, 7),
    retry_after=st.one_of(st.none(), st.floats(0.0, 9.0)),
    latency=st.floats(0.0, 0.06),
)
@settings(quick, max_examples=8)
def test_against_a_stricter_server_all_is_served_with_few_refusals(
    stricter: int, retry_after: float | None, latency: float
) -> None:
    plans = [(8, [[Request(up=latency)] * 5 for _ in range(4)]) for _ in range(2)]
    with tempfile.TemporaryDirectory() as folder:
        world = World(
            Path(folder), plans, window=6.0, stricter=stricter, retry_after=retry_after
        ).run()
    assert world.served == 40
    # Once per thread in the first burst, then single ones as the spacing finds the service's pace.
    assert len(world.refused) <= 2 * 8


@pytest.mark.parametrize("threads", [1, 32])
@pytest.mark.parametrize(
    ("kind", "bound"),
    # 30 at once and 40 more: two windows later, or at the bucket's pace.
    [("sliding", 120.0), ("fixed", 120.0), ("bucket", 80.0)],
)
def test_a_service_of_thirty_a_minute_that_names_no_wait_is_met_near_its_own_pace(
    tmp_path: Path, kind: Kind, bound: float, threads: int
) -> None:
    leads = [Request(up=0.1, down=0.1)] * 70
    plan = (100, [leads[n::threads] for n in range(threads)])
    world = World(tmp_path, [plan], window=60.0, stricter=30, kind=kind).run()
    assert world.served == 70
    assert world.clock.moment <= 1.5 * bound
    # No storm: those of the first burst, and some single ones as the pauses double.
    assert len(world.refused) <= threads + 12


@given(
    number=st.integers(1, 2000),
    used=st.lists(st.floats(0.0, 130.0), max_size=40),
    limit=st.integers(1, 40),
    blocked=st.one_of(st.just(-math.inf), st.floats(-10.0, 200.0)),
)
def test_the_next_request_never_goes_before_this_one(
    number: int, used: list[float], limit: int, blocked: float
) -> None:
    freed = sorted(used)

    def moment(which: int) -> float:
        return send_time(
            which,
            0.0,
            limit=limit,
            window=60.0,
            used=len(freed),
            freed=freed.__getitem__,
            pace=Pace(blocked=blocked),
        )

    rounding = 1e-6
    assert max(blocked, 0.0) <= moment(number) <= moment(number + 1) + rounding
    assert moment(number + limit) >= moment(number) + 60.0 - rounding


@given(
    number=st.integers(1, 200),
    limit=st.integers(1, 12),
    used=st.lists(st.floats(0.001, 60.0), max_size=12),
    strikes=st.integers(0, 3),
)
@quick
def test_an_estimate_is_what_instant_answers_would_take(
    number: int, limit: int, used: list[float], strikes: int
) -> None:
    freed = sorted(used)
    pace = Pace()
    for n in range(strikes):
        pace = strike(pace, n - 10.0, None, sent=math.inf, limit=limit, window=60.0)

    def decide(which: int, now: float, slots: list[float], at: Pace) -> float:
        return send_time(
            which,
            now,
            limit=limit,
            window=60.0,
            used=len(slots),
            freed=slots.__getitem__,
            pace=at,
        )

    estimate = decide(number, 0.0, freed, pace)
    now, slots, live = 0.0, list(freed), pace
    for _ in range(number):
        while (moment := decide(1, now, slots, live)) > now:
            now = moment
            slots = slots[bisect_right(slots, now) :]
        slots.append(now + hold(60.0))
        live = live._replace(granted=now)
    assert estimate <= now + 1e-6 * max(now, 1.0)
    if not strikes:
        assert math.isclose(estimate, now, rel_tol=1e-9, abs_tol=1e-9)


@given(
    retries=st.lists(st.one_of(st.none(), st.floats(0.0, 600.0)), min_size=1, max_size=30),
    late=st.lists(st.floats(0.0, 3.0), min_size=30, max_size=30),
    limit=st.integers(1, 100),
)
def test_a_burst_of_refusals_is_one_strike_and_every_wait_is_obeyed(
    retries: list[float | None], late: list[float], limit: int
) -> None:
    pace, now = Pace(), 100.0
    for asked, later in zip(retries, late, strict=False):
        now += later
        pace = strike(pace, now, asked, sent=99.0, limit=limit, window=60.0)
        assert asked is None or pace.blocked >= now + asked
    assert (pace.level, pace.struck) == (1, 100.0 + late[0])


@given(levels=st.integers(1, 9), quiet=st.floats(0.0, 60.0 * 60.0))
def test_the_pace_recovers_by_one_level_in_five_quiet_windows(levels: int, quiet: float) -> None:
    pace = Pace(level=levels, calm=300.0)
    assert relax(pace, quiet, 60.0).level == max(levels - int(quiet // 300.0), 0)


def test_the_windows_of_this_module_find_what_a_log_of_send_times_overlooks(tmp_path: Path) -> None:
    # The check of the checks: sent 60 s apart, but counted 0.4 s late and 0.1 s late.
    counted = [0.4] * 5 + [60.1] * 5
    assert most_in_sliding_window(counted, 60.0) == 10
    assert most_in_fixed_window(counted, 60.0, 0.3) == 10
    assert least_in_token_bucket(counted, 60.0, 5) < 0
    assert bisect_left(counted, 60.0) == 5


def test_a_slot_outlives_the_latest_moment_at_which_a_dead_process_was_counted(
    tmp_path: Path,
) -> None:
    options: dict[str, Any] = {"hesitated": 0.0, "up": LEASE, "fate": "killed"}
    dying = [Request(slept=FRESH, **options)]
    world = World(tmp_path, [(1, [dying]), (1, [[Request(pause=0.1)]])], 10.0).run()
    assert most_in_sliding_window(sorted(world.counted), 10.0) == 1
    assert world.served == 1
