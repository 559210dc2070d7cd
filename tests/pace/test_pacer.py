from __future__ import annotations

import contextlib
import math
import os
import random
import signal
import socketserver
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from leads_pandas.errors import StoreError
from leads_pandas.pace import pacer as pacing
from leads_pandas.pace.pacer import Pacer, Queued, Slot
from leads_pandas.pace.rate import FRESH, hold
from leads_pandas.pace.wait import Interrupted, Late, Wait
from tests.support.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WINDOW = 60.0
LEASE = 30.0
WHOLE = hold(WINDOW)  # a window and its guard


# Children need the budget alone: without the package around it, and pandas, they start at once.
ALONE = f"""
import sys, types
package = types.ModuleType("leads_pandas")
package.__path__ = [{str(Path(pacing.__file__).parents[1])!r}]
sys.modules["leads_pandas"] = package
"""


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pace.sqlite"


@pytest.fixture
def make(path: Path, clock: FakeClock) -> Callable[..., Pacer]:
    """Makes pacers of one file and one simulated clock, each as good as a process of its own."""

    def new(limit: int = 5, **options: Any) -> Pacer:
        return Pacer(path, limit, **{"window": WINDOW, "clock": clock, **options})

    return new


def send(pacer: Pacer, times: int = 1) -> list[float]:
    """Make requests that are answered at once; return when they were granted."""
    granted = []
    for _ in range(times):
        slot = acquire(pacer)
        granted.append(slot.granted)
        pacer.release(slot)
    return granted


def acquire(pacer: Pacer, deadline: float | None = None) -> Slot:
    """Wait for a slot by the pacer's own clock."""
    return pacer.acquire(lease=LEASE, wait=Wait(pacer._clock, deadline))


def refused(pacer: Pacer, retry_after: float | None) -> float:
    """Make a request that is answered with a 429 at once."""
    slot = acquire(pacer)
    pacer.release(slot)
    return pacer.throttled(retry_after, slot)


def sees(path: Path, statement: str) -> Any:
    """What the file says."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        return db.execute(statement).fetchall()


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def until(condition: Callable[[], object]) -> None:
    """Give other threads and processes the time they need."""
    ends = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < ends, "it never came about"
        time.sleep(0.002)


# -- the rule --------------------------------------------------------------------------------


def test_a_whole_limit_goes_at_once_and_the_next_one_a_window_later(
    make: Callable[..., Pacer],
) -> None:
    granted = send(make(5), 11)
    assert granted[:5] == [1000.0] * 5
    assert granted[5:10] == pytest.approx([1000.0 + WHOLE] * 5)
    assert granted[10] == pytest.approx(1000.0 + 2 * WHOLE)


def test_a_slot_counts_until_a_window_after_its_answer(
    make: Callable[..., Pacer], clock: FakeClock
) -> None:
    pacer = make(1)
    slot = pacer.acquire(lease=LEASE)
    clock.moment += 7.0
    pacer.release(slot)
    assert send(pacer) == pytest.approx([1007.0 + WHOLE])


def test_a_request_under_way_counts_for_as_long_as_it_may_be_under_way(
    make: Callable[..., Pacer],
) -> None:
    pacer = make(1)
    pacer.acquire(lease=LEASE)
    assert send(pacer) == pytest.approx([1000.0 + FRESH + LEASE + WHOLE])


def test_an_answer_later_than_its_lease_counts_from_then_all_the_same(
    make: Callable[..., Pacer], clock: FakeClock
) -> None:
    pacer = make(2)
    slot = pacer.acquire(lease=LEASE)
    clock.moment += 200.0
    send(pacer)
    pacer.release(slot)
    assert send(pacer) == pytest.approx([1200.0 + WHOLE])


def test_a_request_that_was_never_sent_gives_its_slot_back_at_once(
    make: Callable[..., Pacer],
) -> None:
    pacer = make(1)
    pacer.cancel(pacer.acquire(lease=LEASE))
    assert send(pacer) == [1000.0]


def test_all_pacers_of_a_file_share_one_budget(make: Callable[..., Pacer]) -> None:
    one, other = make(5), make(5)
    granted = send(one, 3) + send(other, 3)
    assert granted[:5] == [1000.0] * 5
    assert granted[5] == pytest.approx(1000.0 + WHOLE)


def test_each_process_keeps_to_its_own_limit_against_the_common_count(
    make: Callable[..., Pacer],
) -> None:
    low, high = make(2), make(5)
    assert send(high, 3) == [1000.0] * 3
    assert low.estimate(1) == pytest.approx(WHOLE)
    assert send(high, 2) == [1000.0] * 2


def test_without_a_limit_nothing_waits_and_no_file_is_made(tmp_path: Path) -> None:
    for path in (None, tmp_path / "pace.sqlite"):
        pacer = Pacer(path, 0)
        slots = [pacer.acquire(lease=LEASE) for _ in range(1000)]
        for slot in slots:
            assert slot.fresh()
            pacer.release(slot)
            pacer.cancel(slot)
        assert pacer.throttled(9.0, slots[0]) == pacer.estimate(10**6) == pacer.paused() == 0.0
        assert list(tmp_path.iterdir()) == []


def test_a_slot_stops_being_fresh_after_a_second(
    make: Callable[..., Pacer], clock: FakeClock
) -> None:
    slot = make(1).acquire(lease=LEASE)
    clock.moment += FRESH
    assert slot.fresh()
    clock.moment += 0.01
    assert not slot.fresh()


def test_a_process_suspended_while_it_is_granted_a_slot_acquires_another(
    make: Callable[..., Pacer], clock: FakeClock, path: Path
) -> None:
    pacer = make(1)
    ask, sleeps = pacer.ask, [100.0]

    def asleep(lease: float, ticket: int | None = None, **urgent: bool) -> Slot | Queued:
        answer = ask(lease, ticket, **urgent)
        clock.moment += sleeps.pop() if sleeps else 0.0
        return answer

    pacer.ask = asleep  # type: ignore[method-assign]
    slot = pacer.acquire(lease=LEASE)
    assert slot.granted == 1100.0
    assert [row[1] for row in sees(path, "SELECT * FROM slots")] == [slot.id]


# -- estimates and deadlines -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("requests", "windows"), [(0, 0), (1, 0), (5, 0), (6, 1), (10, 1), (11, 2), (5000, 999)]
)
def test_an_unused_budget_is_estimated_in_whole_windows(
    make: Callable[..., Pacer], requests: int, windows: int
) -> None:
    assert make(5).estimate(requests) == pytest.approx(windows * WHOLE)


def test_an_estimate_counts_the_slots_in_use_as_answered_now(
    make: Callable[..., Pacer], clock: FakeClock
) -> None:
    pacer = make(3)
    send(pacer)
    clock.moment += 20.0
    pacer.acquire(lease=LEASE)
    times = [pacer.estimate(n) for n in (1, 2, 3, 4, 5)]
    assert times == pytest.approx([0.0, WHOLE - 20, WHOLE, WHOLE, 2 * WHOLE - 20])


def test_an_estimate_for_later_counts_the_slots_that_are_in_use_then(
    make: Callable[..., Pacer], clock: FakeClock
) -> None:
    pacer = make(3)
    send(pacer)
    clock.moment += 20.0
    send(pacer)
    assert [pacer.estimate(n, 10.0) for n in (1, 2, 3)] == pytest.approx([10.0, WHOLE - 20, WHOLE])
    # The first has become free by then, and whoever asks for later takes nothing from who asks now.
    assert [pacer.estimate(n, 50.0) for n in (1, 2, 3)] == pytest.approx([50.0, 50.0, WHOLE])
    assert pacer.estimate(1) == 0.0
    assert make(0).estimate(5, 7.0) == 7.0


def test_an_estimate_knows_of_even_spacing_and_of_its_end(make: Callable[..., Pacer]) -> None:
    pacer = make(60)
    slot = acquire(pacer)
    pacer.release(slot)
    pacer.throttled(10.0, slot)
    assert pacer.estimate(1) == pytest.approx(10.0)
    assert pacer.estimate(11) == pytest.approx(10.0 + 10.0)
    # 301 requests in five windows of even spacing, then at once.
    assert pacer.estimate(301) == pytest.approx(10.0 + 300.0)
    assert pacer.estimate(302) == pytest.approx(10.0 + 300.0)


def test_a_deadline_that_cannot_be_met_is_refused_without_waiting(
    make: Callable[..., Pacer], clock: FakeClock
) -> None:
    pacer = make(1)
    send(pacer)
    with pytest.raises(Late) as late:
        acquire(pacer, 1059.0)
    assert late.value.wait == pytest.approx(WHOLE)
    assert clock.moment == 1000.0


def test_a_deadline_that_can_be_met_is_waited_for(make: Callable[..., Pacer]) -> None:
    pacer = make(1)
    send(pacer)
    assert acquire(pacer, 1061.0).granted == pytest.approx(1000.0 + WHOLE)


def test_a_deadline_that_is_over_is_refused_even_with_a_slot_at_hand(
    make: Callable[..., Pacer],
) -> None:
    with pytest.raises(Late):
        acquire(make(1), 999.0)


def test_a_deadline_passes_while_an_answer_is_awaited(
    make: Callable[..., Pacer], clock: FakeClock
) -> None:
    pacer = make(1)
    pacer.acquire(lease=LEASE)  # answered at once it would be free at 1060; it never is
    with pytest.raises(Late):
        acquire(pacer, 1070.0)
    assert clock.moment < 1070.0


def test_a_wait_that_is_refused_leaves_no_place_in_the_line(
    make: Callable[..., Pacer], path: Path
) -> None:
    pacer = make(1)
    send(pacer)
    with pytest.raises(Late):
        acquire(pacer, 1010.0)
    assert sees(path, "SELECT * FROM tickets") == []


# -- refusals --------------------------------------------------------------------------------


def test_a_retry_after_is_obeyed_exactly_by_all_processes(make: Callable[..., Pacer]) -> None:
    one, other = make(5), make(5)
    assert refused(one, 33.0) == pytest.approx(33.0)
    assert other.paused() == pytest.approx(33.0)
    assert send(other) == pytest.approx([1033.0])


def test_without_a_retry_after_the_wait_doubles_up_to_a_window(make: Callable[..., Pacer]) -> None:
    pacer = make(100)
    waits = [refused(pacer, None) for _ in range(8)]
    assert waits == pytest.approx([2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0])


def test_twenty_refusals_of_one_burst_are_one_strike(
    make: Callable[..., Pacer], clock: FakeClock
) -> None:
    pacers = [make(20), make(20)]
    slots = [(pacers[n % 2], pacers[n % 2].acquire(lease=LEASE)) for n in range(20)]
    waits = []
    for pacer, slot in slots:
        clock.moment += 0.05
        pacer.release(slot)
        waits.append(pacer.throttled(None, slot))
    assert waits[0] == pytest.approx(2.0)
    assert waits[-1] == pytest.approx(2.0 - 19 * 0.05)


def test_a_longer_wait_of_the_same_burst_is_obeyed_and_a_shorter_one_changes_nothing(
    make: Callable[..., Pacer],
) -> None:
    pacer = make(5)
    slots = [acquire(pacer) for _ in range(3)]
    waits = [pacer.throttled(said, slot) for said, slot in zip((5, 50, 1), slots, strict=True)]
    assert waits == pytest.approx([5.0, 50.0, 50.0])


@pytest.mark.parametrize(("said", "wait"), [(-5.0, 0.0), (math.nan, 2.0), (1.7e9, 3600.0)])
def test_a_retry_after_beyond_reason_is_read_as_near_as_can_be(
    make: Callable[..., Pacer], said: float, wait: float
) -> None:
    pacer = make(5)
    assert refused(pacer, said) == pytest.approx(wait)


def test_after_a_refusal_requests_are_evenly_spaced_and_later_come_in_bursts_again(
    make: Callable[..., Pacer], clock: FakeClock
) -> None:
    pacer = make(5)
    refused(pacer, 20.0)
    assert send(pacer, 4) == pytest.approx([1020.0, 1032.0, 1044.0, 1056.0])
    clock.moment = 1020.0 + 5 * WINDOW
    assert send(pacer, 5) == pytest.approx([clock.moment] * 5)


def test_a_wait_of_years_is_believed_for_an_hour_and_then_one_request_is_tried(
    make: Callable[..., Pacer], clock: FakeClock
) -> None:
    pacer = make(100)
    for _ in range(3):
        assert refused(pacer, 1.7e12) == pytest.approx(3600.0)
        clock.moment += 3600.0


# -- the file --------------------------------------------------------------------------------


def test_the_file_is_for_its_owner_only(make: Callable[..., Pacer], path: Path) -> None:
    send(make())
    made = sorted(path.parent.iterdir())
    assert path in made
    for one in made:
        if one.is_file():
            assert stat.S_IMODE(one.stat().st_mode) == 0o600


@pytest.mark.parametrize("folder", ["missing", "a-file"])
def test_a_folder_that_cannot_be_written_is_found_before_anything_is_requested(
    tmp_path: Path, folder: str
) -> None:
    (tmp_path / "a-file").touch()
    pacer = Pacer(tmp_path / folder / "pace.sqlite", 5)
    with pytest.raises(StoreError, match="nothing was sent"):
        pacer.acquire(lease=LEASE)
    with pytest.raises(StoreError):
        pacer.estimate(1)


def test_a_folder_in_the_files_place_is_an_error_and_no_endless_loop(path: Path) -> None:
    path.mkdir()
    with pytest.raises(StoreError):
        Pacer(path, 5).acquire(lease=LEASE)


def _garbage(path: Path) -> None:
    path.write_bytes(random.Random(7).randbytes(20_000))


def _halved(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _overwritten(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 8192)


def _another_schema(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("DROP TABLE slots")


def _no_pace(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("DELETE FROM pace")


DAMAGES = [_garbage, _halved, _overwritten, _another_schema, _no_pace]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_made_anew_and_nobody_sends_for_a_window(
    make: Callable[..., Pacer], path: Path, damage: Callable[[Path], None]
) -> None:
    first = make(5)
    send(first, 5)
    damage(path)
    pacer = make(5)
    assert pacer.estimate(1) == pytest.approx(WHOLE)
    assert send(pacer, 2) == pytest.approx([1000.0 + WHOLE] * 2)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_damaged_in_use_is_made_anew_for_all_who_use_it(
    make: Callable[..., Pacer], path: Path, damage: Callable[[Path], None]
) -> None:
    pacers = [make(5), make(5)]
    for pacer in pacers:
        send(pacer)
    damage(path)
    granted = [send(pacer)[0] for pacer in pacers]
    assert len(granted) == 2
    assert len(sees(path, "SELECT * FROM slots")) in (1, 2)


def test_a_file_deleted_in_use_is_made_anew_and_nobody_sends_for_a_window(
    make: Callable[..., Pacer], path: Path
) -> None:
    pacers = [make(5), make(5)]
    for pacer in pacers:
        send(pacer)
    path.unlink()
    assert send(pacers[0]) == pytest.approx([1000.0 + WHOLE])
    assert send(pacers[1]) == pytest.approx([1000.0 + WHOLE])
    assert len(sees(path, "SELECT * FROM slots")) == 2


def test_a_journal_left_by_a_killed_process_is_not_rolled_back_into_a_new_file(
    make: Callable[..., Pacer], path: Path
) -> None:
    first = make(5)
    send(first, 3)
    journal = Path(f"{path}-journal")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as killed:
        killed.execute("PRAGMA synchronous = OFF")
        killed.execute("BEGIN IMMEDIATE")
        killed.execute("DELETE FROM slots")
        killed.execute("UPDATE pace SET granted = 999.0")
        left_behind = journal.read_bytes()
    path.unlink()
    journal.write_bytes(left_behind)
    send(make(5))
    assert len(sees(path, "SELECT * FROM slots")) == 1


def test_whoever_is_suspended_in_a_transaction_holds_the_others_up_for_a_while_only(
    make: Callable[..., Pacer], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacing, "_BUSY", 0.01)
    pacer = make(5)
    send(pacer)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as suspended:
        suspended.execute("BEGIN IMMEDIATE")
        suspended.execute("DELETE FROM slots")
        assert send(pacer)[0] >= 1000.0 + WHOLE
        with contextlib.suppress(sqlite3.Error):
            suspended.execute("COMMIT")
    assert len(sees(path, "SELECT * FROM slots")) == 1


def test_while_another_process_is_in_a_transaction_an_answer_is_not_held_up(
    make: Callable[..., Pacer], clock: FakeClock, path: Path
) -> None:
    pacer = make(1)
    slot = pacer.acquire(lease=LEASE)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        pacer.release(slot)
        other.execute("ROLLBACK")
    # It is made up for with the next transaction, and counts from the answer on.
    clock.moment += 5.0
    assert pacer.estimate(1) == pytest.approx(WHOLE - 5.0)


def test_an_answer_is_not_lost_over_a_folder_that_has_gone(tmp_path: Path) -> None:
    folder = tmp_path / "home"
    folder.mkdir()
    pacer = Pacer(folder / "pace.sqlite", 1)
    slot = pacer.acquire(lease=LEASE)
    for one in folder.iterdir():
        one.unlink()
    folder.rmdir()
    pacer.release(slot)
    with pytest.raises(StoreError):
        pacer.acquire(lease=LEASE)


def test_many_first_uses_at_once_make_one_file(path: Path) -> None:
    pacers = [Pacer(path, 8) for _ in range(8)]
    ready = threading.Barrier(8)
    granted: list[Slot] = []

    def work(pacer: Pacer) -> None:
        ready.wait()
        granted.append(pacer.acquire(lease=LEASE))

    threads = [in_thread(lambda pacer=pacer: work(pacer)) for pacer in pacers]  # type: ignore[misc] # a lambda's default
    for thread in threads:
        thread.join()
    assert len({slot.id for slot in granted}) == 8
    assert len(sees(path, "SELECT * FROM slots")) == 8
    assert pacers[0].estimate(1) > 0.0


# -- the clock -------------------------------------------------------------------------------


def test_after_a_boot_the_budget_is_free_once_the_machine_has_been_up_for_a_window(
    make: Callable[..., Pacer],
) -> None:
    send(make(5), 5)
    early = make(5, clock=FakeClock(20.0, boot="two"))
    assert early.estimate(1) == pytest.approx(WHOLE - 20.0)
    assert send(early) == pytest.approx([WHOLE])


def test_long_after_a_boot_nothing_of_the_time_before_counts(make: Callable[..., Pacer]) -> None:
    send(make(5), 5)
    assert send(make(5, clock=FakeClock(500.0, boot="two"))) == [500.0]


def test_a_wait_that_the_service_asked_for_outlives_a_boot(make: Callable[..., Pacer]) -> None:
    pacer = make(5)
    refused(pacer, 3600.0)
    assert make(5, clock=FakeClock(20.0, boot="two")).paused() == pytest.approx(3580.0)


def test_a_clock_that_went_back_without_a_boot_costs_a_window(make: Callable[..., Pacer]) -> None:
    send(make(5), 5)
    assert send(make(5, clock=FakeClock(500.0))) == pytest.approx([500.0 + WHOLE])


# -- threads ---------------------------------------------------------------------------------


def queued(pacer: Pacer, ticket: int | None = None, *, urgent: bool = False) -> int:
    """Ask in vain; the place in the line comes back."""
    answer = pacer.ask(LEASE, ticket, urgent=urgent)
    assert isinstance(answer, Queued)
    return answer.ticket


def served(pacer: Pacer, ticket: int) -> bool:
    return isinstance(pacer.ask(LEASE, ticket), Slot)


def waiting(path: Path) -> int:
    return len(sees(path, "SELECT * FROM tickets")) if path.exists() else 0


def test_threads_of_all_processes_are_served_in_the_order_of_their_coming(
    make: Callable[..., Pacer], clock: FakeClock
) -> None:
    one, other = make(2), make(2)
    send(one, 2)
    tickets = [(pacer, queued(pacer)) for pacer in (one, other, one, other)]
    clock.moment += WHOLE - 1.0
    for pacer, ticket in tickets:
        assert queued(pacer, ticket) == ticket
    clock.moment += 1.0
    # Both free slots are for the first two, whoever asks first.
    assert [served(*ticket) for ticket in reversed(tickets)] == [False, False, True, True]


def test_an_urgent_request_goes_first_but_no_more_than_a_window_ahead(
    make: Callable[..., Pacer], clock: FakeClock
) -> None:
    pacer = make(3)
    send(pacer, 3)
    others = [queued(pacer) for _ in range(8)]
    urgent = [queued(pacer, urgent=True) for _ in range(2)]
    assert sorted([*others, *urgent]) == [*others[:5], urgent[0], others[5], urgent[1], *others[6:]]


def test_a_waiting_thread_that_dies_holds_its_place_for_three_seconds_at_most(
    make: Callable[..., Pacer], clock: FakeClock
) -> None:
    dying, living = make(1), make(1)
    send(living)
    clock.moment += WHOLE - 0.5
    for _ in range(32):
        queued(dying)
    granted = send(living)[0]
    assert 1000.0 + WHOLE <= granted <= 1000.0 + WHOLE + 3.0


def test_a_place_in_the_line_outlives_a_suspension(
    make: Callable[..., Pacer], clock: FakeClock
) -> None:
    suspended, other = make(1), make(1)
    send(other)
    first, second = queued(suspended), queued(other)
    clock.moment += 30.0
    queued(other, second)
    queued(suspended, first)
    clock.moment += WHOLE - 31.0
    queued(suspended, first)
    clock.moment += 1.0
    assert not served(other, second)
    assert served(suspended, first)


def test_a_wait_that_is_told_to_stop_ends_at_once_and_leaves_the_line(path: Path) -> None:
    pacer = Pacer(path, 1, window=1000.0)
    slot = pacer.acquire(lease=LEASE)
    stop = threading.Event()
    ended: list[bool] = []

    def work() -> None:
        with pytest.raises(Interrupted):
            pacer.acquire(lease=LEASE, wait=Wait(stop=stop))
        ended.append(True)

    threads = [in_thread(work) for _ in range(5)]
    until(lambda: waiting(path) == 5)
    stop.set()
    for thread in threads:
        thread.join()
    assert ended == [True] * 5
    assert waiting(path) == 0
    pacer.cancel(slot)
    assert pacer.acquire(lease=LEASE).fresh()


def test_an_event_that_is_set_already_stops_before_a_slot_is_taken(
    make: Callable[..., Pacer], path: Path
) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Interrupted):
        make(5).acquire(lease=LEASE, wait=Wait(stop=stop))
    assert not path.exists()


def test_ctrl_c_ends_a_wait_of_the_main_thread_and_leaves_the_line_to_the_others(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pacer = Pacer(path, 1, window=1000.0)
    slot = pacer.acquire(lease=LEASE)
    asleep, sleep = threading.Event(), Wait.sleep

    def watched(wait: Wait, *given: Any) -> None:
        asleep.set()
        sleep(wait, *given)

    monkeypatch.setattr(Wait, "sleep", watched)

    def interrupt() -> None:
        asleep.wait()
        os.kill(os.getpid(), signal.SIGINT)

    in_thread(interrupt)
    with pytest.raises(KeyboardInterrupt):
        pacer.acquire(lease=LEASE)
    assert waiting(path) == 0
    pacer.cancel(slot)
    assert pacer.acquire(lease=LEASE).fresh()


# -- forks -----------------------------------------------------------------------------------

# In an interpreter of its own: the test run's has threads, and those are no company for a fork.
FORKS = f"""{ALONE}
import os, sys, threading, warnings
from pathlib import Path
from leads_pandas.pace.pacer import Pacer, Queued, Slot
warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads: that is the point
pacer = Pacer(Path(sys.argv[1]), 1000, window=1000.0)
held = pacer.acquire(lease=100.0)
def busy():
    while True:
        pacer.cancel(pacer.acquire(lease=100.0))
threading.Thread(target=busy, daemon=True).start()
for _ in range(20):
    child = os.fork()
    if not child:
        pacer.release(pacer.acquire(lease=100.0))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert pacer.estimate(900) == 0.0 and pacer.estimate(980) > 900.0, pacer.estimate(980)
print("shared")
os._exit(sys.stdout.flush() or 0)
"""


def test_children_forked_at_any_moment_share_the_budget(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKS, str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "shared\n", done.stderr


# -- real processes, a real server -----------------------------------------------------------


class ExactServer(socketserver.ThreadingTCPServer):
    """Counts requests in an exact sliding window: one byte in (whose), one byte out.

    ``y`` served, ``n`` too many (429), ``.`` served and enough.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, limit: int, window: float) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.limit, self.window = limit, window
        self.changed = threading.Condition()
        self.recent: deque[float] = deque()
        self.served: Counter[int] = Counter()
        self.refused = 0
        self.enough = sys.maxsize
        self.random = random.Random(4)

    def count(self, whose: int) -> bytes:
        with self.changed:
            now = time.monotonic()
            while self.recent and self.recent[0] <= now - self.window:
                self.recent.popleft()
            if len(self.recent) >= self.limit:
                self.refused += 1
                return b"n"
            self.recent.append(now)
            self.served[whose] += 1
            self.changed.notify_all()
            return b"." if self.served.total() >= self.enough else b"y"

    def wait_for(self, served: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.served.total() >= served, timeout=500)


class _Connection(socketserver.BaseRequestHandler):
    server: ExactServer

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):
            while whose := self.request.recv(1):
                # Latency, unevenly split: half a window at the very most, mostly nothing.
                time.sleep(self.server.random.choice((0.0, 0.0, 0.001, 0.01, 0.03)))
                answer = self.server.count(whose[0])
                time.sleep(self.server.random.choice((0.0, 0.0, 0.001, 0.01, 0.03)))
                self.request.sendall(answer)


WORKER = f"""{ALONE}
import socket, sys, threading
from pathlib import Path
from leads_pandas.pace.pacer import Pacer, Queued, Slot
path, port, limit, window, number = sys.argv[1], *map(float, sys.argv[2:])
pacer = Pacer(Path(path), int(limit), window=window)
def work(whose):
    with socket.create_connection(("127.0.0.1", int(port))) as line:
        answer = b"y"
        while answer not in (b".", b""):
            slot = pacer.acquire(lease=1.0)
            line.sendall(bytes([whose]))
            answer = line.recv(1)
            pacer.release(slot)
threads = [threading.Thread(target=work, args=(int(number) * 4 + n,)) for n in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


@pytest.fixture
def server() -> Iterator[ExactServer]:
    with ExactServer(20, 0.5) as exact:
        in_thread(lambda: exact.serve_forever(poll_interval=0.02))
        yield exact
        exact.shutdown()


@pytest.fixture
def workers(path: Path, server: ExactServer) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Four processes of four threads, which send until the server says that it is enough."""
    port = str(server.server_address[1])
    limit, window = str(server.limit), str(server.window)
    processes = [
        subprocess.Popen([sys.executable, "-c", WORKER, str(path), port, limit, window, str(n)])
        for n in range(4)
    ]
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def test_four_processes_share_a_budget_without_one_refusal(
    server: ExactServer, workers: list[subprocess.Popen[bytes]]
) -> None:
    until(lambda: len(server.served) == 16)
    server.enough = server.served.total() + 60
    assert [worker.wait() for worker in workers] == [0] * 4
    assert server.refused == 0
    assert min(server.served.values()) >= 3


def test_a_suspended_and_a_killed_process_neither_overdraw_the_budget_nor_hold_the_others_up(
    server: ExactServer, workers: list[subprocess.Popen[bytes]]
) -> None:
    until(lambda: len(server.served) == 16)
    for _ in range(3):
        workers[1].send_signal(signal.SIGSTOP)
        server.wait_for(server.served.total() + 15)
        workers[1].send_signal(signal.SIGCONT)
        server.wait_for(server.served.total() + 5)
    workers[2].kill()
    before = Counter(server.served)
    server.wait_for(server.served.total() + 40)
    server.enough = server.served.total()
    assert [workers[n].wait() for n in (0, 1, 3)] == [0] * 3
    assert server.refused == 0
    since = server.served - before
    assert min(since[whose] for whose in range(16) if whose // 4 != 2) >= 1
