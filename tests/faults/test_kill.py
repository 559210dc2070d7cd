"""``kill -9`` of the client at any instant, again and again, and then the same line once more."""

from __future__ import annotations

import random
import signal
import time
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

import leads_pandas as lp
from tests.support.harness import (
    assert_never_twice,
    frame,
    lead_ids,
    make_client,
    rows,
    until_done,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.harness import Child, Vendor

    Children = Callable[..., Child]

pytestmark = pytest.mark.faults

# Enough leads that the answers on their way at two kills, one per connection, are under a tenth.
N = 800
IN_FLIGHT = 32


def enrich(vendor: Vendor, ids: list[str], path: Path | None = None) -> pd.DataFrame:
    return lp.enrich(frame(ids), path, progress=False, client=make_client(vendor))


def finish(vendor: Vendor, ids: list[str], path: Path | None = None) -> dict[str, Any]:
    out = until_done(lambda: enrich(vendor, ids, path))
    assert rows(out) == whole(ids)
    if path is not None:
        pd.testing.assert_frame_equal(pd.read_parquet(path), out)
    return assert_never_twice(vendor, leads=len(ids))


# (endpoint, before or after the vendor has done its work, at most how many requests of it)
MOMENTS = [
    ("preview", "before", 2),
    ("preview", "after", 2),
    ("jobs", "after", 1),
    ("start", "before", 1),
    ("start", "after", 1),
    ("status", "after", 4),
    ("lead", "before", N),
    ("lead", "after", N),
]


def _kill_somewhere(vendor: Vendor, chance: random.Random, child: Child) -> str:
    """Plan one kill, at a request of the child's or at a time of its own."""
    if chance.random() < 0.25:
        return f"after {chance.uniform(0.0, 0.8):.3f} s"
    on, when, most = chance.choice(MOMENTS)
    nth, delay = chance.randint(1, most), chance.choice([0.0, chance.uniform(0.0, 0.05)])
    vendor.rules({"on": on, "when": when, "nth": nth, "signal": "KILL", "delay": delay})
    return f"{delay:.3f} s from {when} request {nth} of {on}"


def test_killed_at_random_instants_it_goes_on_where_it_stopped(
    seed: int, vendor: Vendor, child: Children, tmp_path: Path
) -> None:
    chance = random.Random(seed)
    print(f"seed {seed}: give it back with --fault-seed={seed}")
    vendor.reset(
        N,
        job_seconds=chance.choice([0.0, 0.3, 0.6]),
        order=chance.choice(["sent", "sent", "reversed"]),
        unread=chance.choice(["404", "empty"]),
        lead_count=chance.choice(["sent", "queued"]),
    )
    ids, path = lead_ids(N), tmp_path / "out.parquet"
    for _ in range(2):
        one = child(aim=True)
        plan = _kill_somewhere(vendor, chance, one)
        print(f"  kill {plan}")
        one.tell(ids, path=path)
        if plan.startswith("after"):
            one.process.join(float(plan.split()[1]))
            one.kill()
        one.result()
        vendor.set(pid=0)
        vendor.rules()
    counts = finish(vendor, ids, path)
    assert counts["spent"] == N


# The instants that matter most, each hit on purpose.
INSTANTS = {
    "before the journal": {"on": "preview", "when": "after"},
    "between journal and send": {"on": "start", "when": "before", "do": "close"},
    "between answer and journal": {"on": "start", "when": "after"},
    "between answer and journal, job gone": {"on": "start", "when": "after", "fate": "instant"},
    "while polling": {"on": "status", "when": "after"},
    "at the first read": {"on": "lead", "when": "after", "nth": 1},
    "in the middle of reading": {"on": "lead", "when": "after", "nth": 30},
    "after the last read": {"on": "lead", "when": "after", "nth": 60},
    "around writing Parquet": {"on": "lead", "when": "after", "nth": 60, "delay": 0.005},
}


@pytest.mark.parametrize("instant", INSTANTS.values(), ids=INSTANTS)
def test_killed_at_the_instants_that_matter_it_pays_once(
    instant: dict[str, Any], vendor: Vendor, child: Children, tmp_path: Path
) -> None:
    vendor.reset(60, job_seconds=0.5)
    vendor.rules({"signal": "KILL"} | instant)
    child(aim=True).tell(lead_ids(60), path=tmp_path / "out.parquet").result()
    assert sum(vendor.counts["fired"]) == 1
    vendor.set(pid=0)
    out = until_done(lambda: enrich(vendor, lead_ids(60), tmp_path / "out.parquet"))
    assert rows(out) == whole(lead_ids(60))
    counts = vendor.counts
    assert set(counts["charges"].values()) == {1}
    assert counts["starts"] <= (2 if instant["when"] == "before" else 1)
    # A killed reader loses the answers that were on their way, one per connection at most.
    assert sum(counts["reads"].values()) <= 66 + IN_FLIGHT


def test_killed_right_after_start_its_run_is_resumed_from_the_store(
    vendor: Vendor, child: Children
) -> None:
    vendor.reset(60, job_seconds=0.5)
    one = child()
    started = one.tell(lead_ids(60), do="start_idle").result()
    assert started is not None
    one.kill()
    lp.set_default_client(make_client(vendor))
    try:
        assert rows(lp.resume(started["run"])) == whole(lead_ids(60))
    finally:
        lp.set_default_client(None)
    assert_never_twice(vendor)
    assert vendor.counts["starts"] == 1


def test_suspended_in_the_middle_of_a_start_it_reads_what_was_bought(
    vendor: Vendor, child: Children
) -> None:
    vendor.reset(60, job_seconds=0.5)
    vendor.rules({"on": "start", "when": "after", "signal": "STOP"})
    one = child(aim=True).tell(lead_ids(60), client={"timeout": 0.4})
    vendor.wait(lambda counts: counts["signals"] == 1)
    # Its own timeouts and the job pass while it is asleep: that is the case at hand.
    time.sleep(1.2)
    one.send_signal(signal.SIGCONT)
    one.result()
    counts = finish(vendor, lead_ids(60))
    assert counts["starts"] == 1


@pytest.mark.parametrize("on", ["status", "lead"])
def test_suspended_while_it_waits_or_reads_it_goes_on(
    on: str, vendor: Vendor, child: Children
) -> None:
    vendor.reset(60, job_seconds=0.5)
    vendor.rules({"on": on, "when": "after", "signal": "STOP"})
    one = child(aim=True).tell(lead_ids(60), client={"timeout": 0.4})
    vendor.wait(lambda counts: counts["signals"] == 1)
    # Longer than its timeouts, as in the tests above.
    time.sleep(1.2)
    one.send_signal(signal.SIGCONT)
    one.result()
    counts = finish(vendor, lead_ids(60))
    assert counts["starts"] == 1


def test_a_wall_clock_that_jumps_changes_nothing(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor.reset(60, job_seconds=0.6)
    true, jump = time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: true() + jump[0])

    def lurch(status: lp.RunStatus) -> None:
        jump[0] = 86_400.0 * (-1) ** status.read * (1 + status.read)

    out = lp.enrich(frame(lead_ids(60)), progress=lurch, timeout=20, client=make_client(vendor))
    assert rows(out) == whole(lead_ids(60))
    jump[0] = -10 * 365 * 86_400.0
    assert rows(enrich(vendor, lead_ids(60))) == whole(lead_ids(60))
    assert_never_twice(vendor)
    assert vendor.counts["starts"] == 1
