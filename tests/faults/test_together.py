"""Several processes over one store: the second attaches, whatever becomes of the first."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
from typing import TYPE_CHECKING, Any

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

    import pandas as pd

    from tests.support.harness import Child, Vendor

    Children = Callable[..., Child]

pytestmark = pytest.mark.faults


def enrich(vendor: Vendor, ids: list[str], **options: Any) -> pd.DataFrame:
    return lp.enrich(frame(ids), progress=False, client=make_client(vendor), **options)


@pytest.mark.parametrize("processes", [2, 4])
@pytest.mark.parametrize("unread", ["404", "empty"])
def test_the_same_frame_at_once_is_bought_once_and_all_get_it(
    processes: int, unread: str, vendor: Vendor, child: Children
) -> None:
    vendor.reset(60, job_seconds=0.6, unread=unread)
    ids = lead_ids(60)
    together = [child() for _ in range(processes)]
    for one in together:
        one.tell(ids)
    assert [one.result() for one in together] == [{"rows": whole(ids)}] * processes
    counts = assert_never_twice(vendor)
    assert counts["starts"] == 1
    assert counts["spent"] == 60


def test_four_times_overlapping_frames_at_once_are_bought_once(
    vendor: Vendor, child: Children
) -> None:
    vendor.reset(60, job_seconds=0.6)
    frames = [lead_ids(60)[first : first + 30] for first in (0, 10, 20, 30)]
    together = [child() for _ in frames]
    for one, ids in zip(together, frames, strict=True):
        one.tell(ids)
    for one, ids in zip(together, frames, strict=True):
        assert one.result() == {"rows": whole(ids)}
    counts = assert_never_twice(vendor)
    assert counts["spent"] == 60


def test_the_same_frame_with_different_caps_is_bought_once(vendor: Vendor, child: Children) -> None:
    vendor.reset(60, job_seconds=0.6)
    ids = lead_ids(60)
    first, second = child(), child()
    first.tell(ids, max_credits=60)
    second.tell(ids, max_credits=90)
    assert [first.result(), second.result()] == [{"rows": whole(ids)}] * 2
    assert assert_never_twice(vendor)["spent"] == 60


def test_a_cap_below_what_another_process_has_reserved_spends_nothing_more(
    vendor: Vendor, child: Children
) -> None:
    vendor.reset(60, job_seconds=None)
    ids = lead_ids(60)
    first = child().tell(ids[:40])
    vendor.wait(lambda counts: counts["starts"] == 1)
    with pytest.raises(lp.CreditCapError):
        enrich(vendor, ids, max_credits=59)
    assert vendor.counts["spent"] == 40
    vendor.set(job_seconds=0.3)
    vendor.act(advance=1)
    assert first.result() == {"rows": whole(ids[:40])}
    assert rows(enrich(vendor, ids, max_credits=20)) == whole(ids)
    assert assert_never_twice(vendor)["spent"] == 60


def _idle(one: Child) -> None:
    """Leave the first process as it is: its kernel sits there."""


def _suspend(one: Child) -> None:
    one.send_signal(signal.SIGSTOP)


def _die(one: Child) -> None:
    one.kill()


@pytest.mark.parametrize("fate", [_idle, _suspend, _die])
def test_what_another_process_only_started_is_read_by_the_second(
    fate: Callable[[Child], None], vendor: Vendor, child: Children
) -> None:
    vendor.reset(60, job_seconds=0.6)
    ids = lead_ids(60)
    first = child().tell(ids, do="start_idle")
    started = first.result()
    assert started is not None
    assert started["credits"] == 60
    fate(first)
    assert child().tell(ids).result() == {"rows": whole(ids)}
    counts = assert_never_twice(vendor)
    assert (counts["starts"], counts["spent"]) == (1, 60)


@pytest.mark.parametrize("fate", [_idle, _suspend, _die])
def test_an_overlapping_frame_buys_the_rest_and_reads_all(
    fate: Callable[[Child], None], vendor: Vendor, child: Children
) -> None:
    vendor.reset(60, job_seconds=0.6)
    first = child().tell(lead_ids(60)[:40], do="start_idle")
    assert first.result() is not None
    fate(first)
    ids = lead_ids(60)[20:]
    assert child().tell(ids).result() == {"rows": whole(ids)}
    counts = assert_never_twice(vendor)
    assert (counts["starts"], counts["spent"]) == (2, 60)


def test_a_process_that_dies_in_the_middle_is_taken_over_by_the_one_that_waits(
    vendor: Vendor, child: Children
) -> None:
    vendor.reset(60, job_seconds=None)
    ids = lead_ids(60)
    first, second = child(), child()
    first.tell(ids)
    vendor.wait(lambda counts: counts["requests"].get("status", 0) >= 1)
    second.tell(ids)
    vendor.act(advance=0.5)
    first.kill()
    vendor.act(advance=1)
    assert second.result() == {"rows": whole(ids)}
    counts = vendor.counts
    assert (counts["starts"], counts["spent"]) == (1, 60)
    # A killed reader loses the answers that were on their way, one per connection at most.
    assert sum(counts["reads"].values()) <= 66 + 32


def test_a_process_suspended_in_the_middle_holds_the_second_up_and_both_end_whole(
    vendor: Vendor, child: Children
) -> None:
    vendor.reset(60, job_seconds=None)
    ids = lead_ids(60)
    first, second = child(), child()
    first.tell(ids)
    vendor.wait(lambda counts: counts["requests"].get("status", 0) >= 1)
    first.send_signal(signal.SIGSTOP)
    second.tell(ids)
    vendor.act(advance=1)
    # Long enough for the second to do whatever it would do wrong.
    second.process.join(1.0)
    first.send_signal(signal.SIGCONT)
    assert [first.result(), second.result()] == [{"rows": whole(ids)}] * 2
    counts = assert_never_twice(vendor)
    assert (counts["starts"], counts["spent"]) == (1, 60)


@pytest.mark.parametrize("when", ["before", "after"])
def test_while_a_start_is_on_its_way_no_other_start_of_the_account_is_sent(
    when: str, vendor: Vendor, child: Children
) -> None:
    """Two starts of one size at once could not be told apart by their jobs and their cost."""
    vendor.reset(60, job_seconds=0.5)
    vendor.rules({"on": "start", "do": "hang", "when": when})
    first = child().tell(lead_ids(60)[:30], client={"timeout": 2.5})
    vendor.wait(lambda counts: counts["starts"] == 1)
    second = child().tell(lead_ids(60)[30:])
    vendor.wait(lambda counts: counts["requests"]["preview"] >= 2)
    # Long enough for the second to send what it must not send yet.
    second.process.join(0.7)
    assert vendor.counts["starts"] == 1
    assert first.result() == {"rows": whole(lead_ids(60)[:30])}
    assert second.result() == {"rows": whole(lead_ids(60)[30:])}
    counts = assert_never_twice(vendor)
    assert counts["spent"] == 60


def test_starts_of_different_leads_at_once_are_sent_one_after_the_other(
    vendor: Vendor, child: Children
) -> None:
    vendor.reset(80, job_seconds=0.2, latency=0.1)
    frames = [lead_ids(80)[first : first + 20] for first in (0, 20, 40, 60)]
    together = [child() for _ in frames]
    for one, ids in zip(together, frames, strict=True):
        one.tell(ids)
    for one, ids in zip(together, frames, strict=True):
        assert one.result() == {"rows": whole(ids)}
    counts = assert_never_twice(vendor)
    assert (counts["starts"], counts["starts_at_once"]) == (4, 1)


def test_a_process_suspended_in_the_middle_of_its_start_lets_no_second_start_out(
    vendor: Vendor, child: Children
) -> None:
    vendor.reset(60, job_seconds=0.3)
    vendor.rules({"on": "start", "when": "after", "signal": "STOP"})
    ids = lead_ids(60)
    first = child(aim=True).tell(ids, client={"timeout": 20.0})
    vendor.wait(lambda counts: counts["signals"] == 1)
    second = child().tell(ids)
    second.process.join(1.0)
    assert vendor.counts["starts"] == 1
    first.send_signal(signal.SIGCONT)
    assert [first.result(), second.result()] == [{"rows": whole(ids)}] * 2
    counts = assert_never_twice(vendor)
    assert (counts["starts"], counts["spent"]) == (1, 60)


def test_a_start_in_doubt_of_a_dead_process_is_settled_by_the_next(
    vendor: Vendor, child: Children
) -> None:
    vendor.reset(60, job_seconds=0.6)
    vendor.rules({"on": "start", "when": "after", "signal": "KILL"})
    assert child(aim=True).tell(lead_ids(40)).result() is None
    vendor.set(pid=0)
    ids = lead_ids(60)
    together = [child().tell(ids), child().tell(ids[10:])]
    assert [one.result() for one in together] == [{"rows": whole(ids)}, {"rows": whole(ids[10:])}]
    counts = assert_never_twice(vendor)
    assert counts["spent"] == 60


def test_different_accounts_share_nothing(vendor: Vendor) -> None:
    vendor.reset(10)
    ids = lead_ids(10)
    lp.enrich(frame(ids), progress=False, client=make_client(vendor, account="one"))
    other = lp.LeadsClient("ll_" + "d" * 64, vendor.base_url, account="two")
    have = lp.results(frame(ids), client=other)
    assert (have["enrichment_status"] == "not_enriched").all()
    same = lp.results(frame(ids), client=make_client(vendor, account="one"))
    assert rows(same) == whole(ids)


def test_a_rotated_key_of_a_named_account_meets_the_same_claims(vendor: Vendor) -> None:
    vendor.reset(20, job_seconds=0.5)
    ids = lead_ids(20)
    lp.start(frame(ids), progress=False, client=make_client(vendor, account="acme"))
    vendor.key = "ll_" + "c" * 64
    vendor.set(key=vendor.key)
    out = until_done(
        lambda: lp.enrich(frame(ids), progress=False, client=make_client(vendor, account="acme"))
    )
    assert rows(out) == whole(ids)
    assert assert_never_twice(vendor)["starts"] == 1


def test_the_store_holds_nothing_that_only_one_version_of_python_reads(
    vendor: Vendor, home: Path
) -> None:
    vendor.reset(20, job_seconds=0.2)
    enrich(vendor, lead_ids(20))
    databases = [one for one in home.rglob("*") if one.is_file() and _is_database(one)]
    assert databases
    for path in databases:
        with contextlib.closing(sqlite3.connect(path)) as database:
            tables = database.execute("select name from sqlite_master where type = 'table'")
            for (table,) in tables.fetchall():
                values = [v for row in database.execute(f'select * from "{table}"') for v in row]
                assert not [v for v in values if isinstance(v, bytes) and v[:1] == b"\x80"]


def _is_database(path: Path) -> bool:
    return path.read_bytes()[:15] == b"SQLite format 3"
