"""What receipts say of money: each start's credits stand on one of them, whatever went wrong."""

from __future__ import annotations

import errno
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

import leads_pandas as lp
from leads_pandas.errors import StoreError
from leads_pandas.session import kept_on_failure
from tests.support.harness import assert_never_twice, frame, lead_ids, make_client

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.harness import Child, Vendor

pytestmark = pytest.mark.faults

IDS = lead_ids(60)


class Receipts:
    """The credits that receipts call new, and the service's own count beside them."""

    def __init__(self, vendor: Vendor) -> None:
        self.vendor = vendor
        self.new: list[int] = []

    def take(self, out: pd.DataFrame) -> dict[str, Any]:
        receipt: dict[str, Any] = out.attrs["leads"]
        self.new.append(receipt["credits_new"])
        return receipt

    def enrich(self, ids: list[str], path: Path | None = None, **options: Any) -> dict[str, Any]:
        client = make_client(self.vendor)
        return self.take(
            lp.enrich(frame(ids), path, progress=False, client=client, **options),
        )

    def add_up(self) -> bool:
        return bool(sum(self.new) == assert_never_twice(self.vendor)["spent"])

    def interrupted(self, ids: list[str]) -> None:
        """A call whose time is up before its job is done, which then is."""
        self.vendor.reset(60, job_seconds=None)
        with pytest.raises(lp.JobTimeoutError):
            self.enrich(ids, timeout=0.5)
        self.vendor.act(advance=1)
        self.vendor.set(job_seconds=0.1)


@pytest.fixture
def receipts(vendor: Vendor) -> Receipts:
    return Receipts(vendor)


def test_a_run_a_second_one_and_one_with_more_leads_add_up(receipts: Receipts) -> None:
    receipts.enrich(IDS[:20])
    receipts.enrich(IDS[:20])
    receipts.enrich(IDS[:30], max_credits=5, partial=True)
    receipts.enrich(IDS[:30])
    assert receipts.new == [20, 0, 5, 5]
    assert receipts.add_up()


def test_a_balance_that_is_topped_up_between_two_runs(receipts: Receipts) -> None:
    receipts.vendor.reset(60, balance=12)
    receipts.enrich(IDS[:30], partial=True)
    receipts.vendor.act(spend=-40)
    receipts.enrich(IDS[:30])
    assert receipts.new == [12, 18]


def test_a_run_that_is_asked_for_its_results_again_and_again(receipts: Receipts) -> None:
    client = make_client(receipts.vendor)
    run = lp.start(frame(IDS[:10]), progress=False, client=client)
    first = receipts.take(run.result())
    assert first["bought"]["leads"] == 10
    receipts.take(run.result())
    receipts.take(lp.resume(str(run.id), client=client))
    assert receipts.new == [10, 0, 0]
    assert receipts.add_up()


def test_a_call_that_came_to_no_receipt_leaves_its_credits_to_the_next(receipts: Receipts) -> None:
    receipts.interrupted(IDS[:10])
    assert receipts.enrich(IDS[:15])["bought"]["leads"] == 15
    assert receipts.add_up()


def test_a_job_that_failed_is_on_the_receipt_of_the_line_that_bought_the_rest(
    receipts: Receipts,
) -> None:
    receipts.vendor.reset(60, job_seconds=0.2)
    receipts.vendor.rules({"on": "start", "fate": "stillborn"})
    with pytest.raises(lp.JobFailedError):
        receipts.enrich(IDS[:10])
    receipts.enrich(IDS[:10])
    counts = receipts.vendor.counts
    assert sum(receipts.new) == counts["spent"] > 10


def test_a_start_that_was_cut_off_counts_once(receipts: Receipts) -> None:
    receipts.vendor.rules({"on": "start", "do": "close", "when": "after"})
    receipts.enrich(IDS[:10])
    receipts.enrich(IDS[:10])
    assert receipts.new == [10, 0]
    assert receipts.add_up()


def test_a_file_that_cannot_be_written_leaves_the_credits_to_the_next_line(
    receipts: Receipts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "out.parquet")

    with monkeypatch.context() as patch:
        patch.setattr("leads_pandas.frames.delivery.write", full)
        with pytest.raises(OSError, match="No space"):
            receipts.enrich(IDS[:10], tmp_path / "out.parquet")
    assert receipts.enrich(IDS[:10], tmp_path / "out.parquet")["bought"]["leads"] == 10
    assert receipts.add_up()


def test_a_frame_with_some_leads_of_an_older_start_tells_its_credits_but_no_price_of_an_email(
    receipts: Receipts,
) -> None:
    receipts.interrupted(IDS[:10])
    out = lp.enrich(frame(IDS[5:15]), progress=False, client=make_client(receipts.vendor))
    receipts.take(out)
    receipts.enrich(IDS[:10])
    assert receipts.new == [15, 0]
    assert pd.isna(out.leads.summary()["credits_per_email"])
    assert receipts.add_up()


def test_who_waits_for_anothers_start_leaves_its_credits_to_that_one(
    receipts: Receipts, child: Callable[..., Child]
) -> None:
    vendor = receipts.vendor
    vendor.reset(60, job_seconds=0.5)
    other = child().tell(IDS[:10])
    vendor.wait(lambda counts: counts["starts"] == 1)
    receipts.enrich(IDS[:12])
    assert other.result() is not None
    receipts.enrich(IDS[:12])
    assert receipts.new == [2, 0]


def test_a_store_that_refuses_too_does_not_hide_why_there_is_no_file() -> None:
    def undo() -> None:
        raise StoreError("the store cannot be written")

    run: Any = SimpleNamespace(id="run1")
    with (
        pytest.raises(OSError, match=r"out\.parquet.*every result is kept") as caught,
        kept_on_failure(run, undo),
    ):
        raise OSError(errno.ENOSPC, "No space left on device", "out.parquet")
    assert caught.value.errno == errno.ENOSPC
