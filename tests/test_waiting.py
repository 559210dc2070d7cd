"""A person who waits is told why, by a real call against a service that is slow on purpose."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

import pytest

import leads_pandas as lp
from tests.support.harness import frame, lead_ids, make_client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from leads_pandas import CostPreview
    from tests.support.harness import Vendor

pytestmark = pytest.mark.faults

N = 60
LONGEST = 30.0  # seconds after which a call that has said nothing is given up


class Said(logging.Handler):
    """Presses Ctrl-C as soon as it is told what the test waits for."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self._words = words

    def emit(self, record: logging.LogRecord) -> None:
        if self._words in record.getMessage():
            raise KeyboardInterrupt


@contextlib.contextmanager
def told(words: str) -> Iterator[None]:
    """Hold that a call says something while it goes on."""
    logger, handler = logging.getLogger("leads_pandas"), Said(words)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        with pytest.raises(KeyboardInterrupt):
            yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def test_whoever_waits_for_the_limit_is_told_so(vendor: Vendor) -> None:
    vendor.reset(N, job_seconds=0.0)
    client = make_client(vendor, requests_per_minute=20)
    with told("waiting for the limit (20 a minute)"):
        lp.enrich(frame(lead_ids(N)), client=client, timeout=LONGEST)


def test_whoever_waits_for_a_start_without_an_answer_is_told_so(vendor: Vendor) -> None:
    vendor.reset(N)
    vendor.rules({"on": "start", "do": "close", "when": "before"})
    client = make_client(vendor, settle=60.0)
    with told("the start got no answer: looking for it, up to "):
        lp.enrich(frame(lead_ids(N)), client=client, timeout=LONGEST)


def test_a_price_counts_the_rows_that_buy_nothing_and_tells_how_long_from_earlier_jobs(
    vendor: Vendor,
) -> None:
    vendor.reset(N, job_seconds=1.5)
    client = make_client(vendor)
    ids = lead_ids(N)
    odd = frame([*ids[:20], *ids[:3], None, " ", "nobody"])
    asked: list[CostPreview] = []

    def agree(preview: CostPreview) -> bool:
        asked.append(preview)
        return True

    shown = lp.preview(odd, client=client)
    with pytest.warns(lp.LeadsWarning, match="does not know 1 of 21"):
        lp.enrich(odd, client=client, confirm=agree)
    for one in (shown, *asked):
        counts = (one.total_leads, one.unknown_ids, one.rows_without_id, one.duplicate_rows)
        assert (*counts, one.longest_seconds) == (21, 1, 2, 3, None)
    assert len(asked) == 1

    # The store knows now what is unknown, and how long a job of 20 leads took.
    again = lp.preview(frame([*ids[:40], "nobody"]), client=client)
    assert (again.to_enrich, again.unknown_ids) == (20, 1)
    assert again.longest_seconds is not None
    assert again.longest_seconds > 1.0
    assert " to " in str(again)
    assert "at least" not in str(again)


def test_whoever_waits_for_nothing_but_the_job_is_given_no_reason(
    vendor: Vendor, caplog: pytest.LogCaptureFixture
) -> None:
    vendor.reset(N, job_seconds=0.5)
    with caplog.at_level("INFO", "leads_pandas"):
        lp.enrich(frame(lead_ids(N)), client=make_client(vendor))
    assert not [one for one in caplog.messages if "waiting" in one or "no answer" in one]
