"""Ways to pay twice, or to stay where one is for ever, that were seen once: over real sockets."""

from __future__ import annotations

import contextlib
import os
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

    from tests.support.harness import Child, Script, Vendor

    Children = Callable[..., Child]
    Scripts = Callable[..., Script]

pytestmark = pytest.mark.faults

N = 30
LINE = "leads_pandas.enrich(df, client=client, progress=False)\n"


def enrich(vendor: Vendor, ids: list[str], **options: Any) -> pd.DataFrame:
    client = make_client(vendor, settle=0.5)
    return lp.enrich(frame(ids), progress=False, client=client, **options)


def bought_once(vendor: Vendor, starts: int = 1) -> None:
    """Every lead was charged once, by so many starts."""
    counts = vendor.counts
    assert set(counts["charges"].values()) == {1}
    assert counts["starts"] == starts


def test_an_interrupt_and_the_same_line_pay_once_where_the_start_is_taken_late(
    vendor: Vendor, script: Scripts
) -> None:
    vendor.reset(N, job_seconds=0.3)
    vendor.rules({"on": "start", "do": "hang", "late": 1.5})
    one = script(lead_ids(N), LINE)
    vendor.wait(lambda counts: any(counts["fired"]))
    os.kill(one.pid, signal.SIGINT)
    assert one.end()[0] == -signal.SIGINT
    # The next call looks at once, and sees nothing of it yet.
    assert rows(until_done(lambda: enrich(vendor, lead_ids(N)))) == whole(lead_ids(N))
    bought_once(vendor)


@pytest.mark.parametrize("do", ["close", "answer"])
def test_a_start_that_was_refused_and_is_taken_late_is_paid_once(do: str, vendor: Vendor) -> None:
    vendor.reset(N, job_seconds=0.3)
    vendor.rules({"on": "start", "do": do, "status": 503, "late": 2.0})
    assert rows(until_done(lambda: enrich(vendor, lead_ids(N)))) == whole(lead_ids(N))
    bought_once(vendor)


def test_lock_files_that_a_cleaner_deletes_cost_nothing(
    vendor: Vendor, child: Children, home: Path
) -> None:
    vendor.reset(N, job_seconds=0.5)
    vendor.rules({"on": "start", "do": "hang", "seconds": 1.0, "late": 0.5})
    first = child().tell(lead_ids(N))
    vendor.wait(lambda counts: any(counts["fired"]))
    locks = list(home.rglob("*.lock"))
    assert locks
    for one in locks:
        one.unlink()
    assert rows(until_done(lambda: enrich(vendor, lead_ids(N)))) == whole(lead_ids(N))
    first.result()
    bought_once(vendor)


def test_a_person_does_not_overwrite_an_answer_that_comes_meanwhile(
    vendor: Vendor, child: Children, home: Path
) -> None:
    vendor.reset(N, job_seconds=0.3, latency=0.6)
    first = child().tell(lead_ids(N))
    vendor.wait(lambda counts: counts["requests"].get("start", 0) == 1)
    # It waits for the process that sends, and finds the start answered by then.
    _run(home, make_client(vendor)).resolve(not_started=True)
    assert first.result() == {"rows": whole(lead_ids(N))}
    assert {row[0] for row in _ask(home, "SELECT state FROM ops")} == {"done"}
    bought_once(vendor)


def _ask(home: Path, *sql: str) -> list[tuple[Any, ...]]:
    (path,) = home.rglob("store.sqlite3")
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        return [row for one in sql for row in db.execute(one).fetchall()]


def _run(home: Path, client: lp.LeadsClient) -> lp.EnrichmentRun:
    """The store's one run."""
    ((run_id,),) = _ask(home, "SELECT id FROM runs")
    return lp.EnrichmentRun(run_id, client=client)


def test_a_start_that_another_process_looks_for_is_not_settled_beside_it(
    vendor: Vendor, child: Children, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor.reset(N, job_seconds=0.3)
    vendor.rules({"on": "start", "do": "close"})
    first = child().tell(lead_ids(N), client={"settle": 2.0})
    vendor.wait(lambda counts: counts["requests"].get("jobs", 0) >= 2)
    monkeypatch.setattr("leads_pandas.session._TAKE", 0.2)
    with pytest.raises(lp.LeadsError, match="another process is at work"):
        _run(home, make_client(vendor)).resolve(not_started=True)
    assert first.result() == {"rows": whole(lead_ids(N))}
    bought_once(vendor, starts=2)


def test_whoever_waits_takes_over_what_the_driver_leaves_unread(
    vendor: Vendor, child: Children
) -> None:
    vendor.reset(60, job_seconds=None)
    ids = lead_ids(60)
    begun = child().tell(ids, do="start_idle")
    assert begun.result() is not None
    begun.kill()
    first, second = child(), child()
    first.tell(ids[:20])
    vendor.wait(lambda counts: counts["requests"].get("status", 0) >= 1)
    second.tell(ids[10:40])
    # The first ends with its own leads, in the middle of the job that the second waits for.
    vendor.act(advance=0.4)
    assert first.result() == {"rows": whole(ids[:20])}
    vendor.act(advance=1)
    assert second.result() == {"rows": whole(ids[10:40])}
    assert vendor.counts["starts"] == 1


def test_a_start_read_whole_by_a_process_that_died_before_it_was_closed_starves_no_cap(
    vendor: Vendor, home: Path
) -> None:
    vendor.reset(60, job_seconds=0.2)
    ids = lead_ids(60)
    enrich(vendor, ids[:40])
    # The store as a kill between the last durable read and the close would leave it.
    _ask(
        home,
        "UPDATE ops SET state = 'started'",
        "INSERT INTO claims SELECT r.lead_id, o.id FROM results AS r, ops AS o",
    )
    assert rows(enrich(vendor, ids, max_credits=20)) == whole(ids)
    assert not _ask(home, "SELECT id FROM ops WHERE state <> 'done'")
    assert assert_never_twice(vendor)["spent"] == 60


@pytest.mark.parametrize("when", ["starting", "reading"])
def test_a_progress_callback_that_enriches_is_told_so_at_once(when: str, vendor: Vendor) -> None:
    vendor.reset(N, job_seconds=4)

    def again(status: lp.RunStatus) -> None:
        if when == "starting" or 0 < status.read < N:
            enrich(vendor, lead_ids(N), timeout=20)

    with pytest.raises(lp.LeadsError, match="inside another one"):
        lp.enrich(frame(lead_ids(N)), progress=again, client=make_client(vendor))
    assert rows(until_done(lambda: enrich(vendor, lead_ids(N)))) == whole(lead_ids(N))
    bought_once(vendor)
