"""A cell that enriches, stopped by the button and by the death of its kernel."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from tests.support.harness import lead_ids
from tests.support.kernels import Kernel, running_kernel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from tests.support.harness import Vendor

N = 20

CELL = f"""
import pandas as pd
import leads_pandas

df = pd.DataFrame({{"lead_id": {lead_ids(N)}}})
out = df.leads.enrich("enriched.parquet", max_credits={N})
out["email"].notna().sum().item()
"""


def account(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCALLEADS_API_KEY", vendor.key)
    monkeypatch.setenv("LOCALLEADS_BASE_URL", vendor.base_url)
    monkeypatch.setenv("LOCALLEADS_REQUESTS_PER_MINUTE", "0")


def when_half_done(vendor: Vendor, then: Callable[[], None]) -> threading.Thread:
    """Do something as soon as half of the leads have been read."""

    def watch() -> None:
        vendor.wait(lambda counts: counts["starts_charged"] == 1)
        vendor.act(advance=0.5)
        vendor.wait(lambda counts: sum(counts["reads"].values()) >= N // 4)
        then()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def errors(messages: list[dict[str, Any]]) -> list[str]:
    return [one["ename"] for one in messages if one["type"] == "error"]


def said(messages: list[dict[str, Any]], stream: str) -> str:
    return "".join(one["text"] for one in messages if one.get("name") == stream)


def finishes(kernel: Kernel, vendor: Vendor) -> None:
    vendor.act(advance=1.0)
    messages = kernel.run(CELL)
    assert errors(messages) == []
    assert f"{N} leads enriched, 15 emails found" in said(messages, "stdout")
    results = [one["data"]["text/plain"] for one in messages if one["type"] == "execute_result"]
    assert results == ["15"]
    assert vendor.counts["starts"] == 1
    assert set(vendor.counts["charges"].values()) == {1}


def test_the_stop_button_ends_the_cell_at_once_and_the_same_cell_goes_on(
    vendor: Vendor,
    jupyter: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vendor.reset(N, job_seconds=None)
    account(vendor, monkeypatch)
    monkeypatch.chdir(tmp_path)
    with running_kernel(jupyter) as kernel:
        watching = when_half_done(vendor, kernel.interrupt)
        messages = kernel.run(CELL)
        watching.join()
        assert errors(messages) == ["KeyboardInterrupt"]
        (shown,) = [one["traceback"] for one in messages if one["type"] == "error"]
        assert shown == ["KeyboardInterrupt"]
        assert said(messages, "stderr").count("\n") == 1
        assert "goes on and nothing is lost: call the same line again, or go on with " in said(
            messages, "stderr"
        )
        card = [one["data"]["text/html"] for one in messages if "Enrichment run" in str(one)][-1]
        assert 'aria-valuenow="' in card
        finishes(kernel, vendor)


def test_a_new_kernel_goes_on_where_a_killed_one_was(
    vendor: Vendor,
    jupyter: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vendor.reset(N, job_seconds=None)
    account(vendor, monkeypatch)
    monkeypatch.chdir(tmp_path)
    with running_kernel(jupyter) as kernel:
        dead = threading.Event()

        def kill() -> None:
            kernel.kill()
            dead.set()

        watching = when_half_done(vendor, kill)
        kernel.submit(CELL)
        assert dead.wait()
        watching.join()
    with running_kernel(jupyter) as kernel:
        finishes(kernel, vendor)
