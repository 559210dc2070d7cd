"""What a front end is told while a run goes on: the messages of a real kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.support.kernels import Kernel

WIDGET = "application/vnd.jupyter.widget-view+json"

PREPARE = """
from types import SimpleNamespace

from leads_pandas import progress
from leads_pandas.models import RunStatus

clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
progress.time = clock


def at(read, phase="reading"):
    return RunStatus(phase, read, 40, read // 2, read, 40)


counts = dict(found=20, not_found=20, not_enriched=0, unknown_lead=0, failed=0)
rows = dict(total=40, without_id=0, duplicate=0)
receipt = dict(counts=counts, rows=rows, credits_saved=0, credits_reserved=40)
"""

WHOLE = """
display = progress.Display(None)
with display.shown():
    for read in range(41):
        clock.now += 1
        display(at(read), 40.0 - read)
    display.finished(receipt, "enriched.parquet")
"""

STOPPED = """
display = progress.Display(None)
with display.shown():
    display(at(10), 30.0)
    raise {error}
"""


# As where only tqdm is installed; what has been imported is put back afterwards.
WITHOUT_WIDGETS = """
import sys

known = ("tqdm", "ipywidgets")
theirs = {name: sys.modules.pop(name) for name in list(sys.modules) if name.startswith(known)}
sys.modules["ipywidgets"] = None
"""

WITH_WIDGETS = """
for name in [name for name in sys.modules if name.startswith(("tqdm", "ipywidgets"))]:
    del sys.modules[name]
sys.modules |= theirs
"""


@pytest.fixture(scope="module")
def kernel(shared_kernel: Kernel) -> Kernel:
    assert shared_kernel.run(PREPARE) == []
    return shared_kernel


def outputs(messages: list[dict[str, Any]]) -> dict[str, list[dict[str, str]]]:
    """What each output of the cell showed, from its first picture to its last."""
    shown: dict[str, list[dict[str, str]]] = {}
    for one in messages:
        if one["type"] in ("display_data", "update_display_data"):
            name = one["transient"]["display_id"]
            assert (one["type"] == "display_data") == (name not in shown)
            shown.setdefault(name, []).append(one["data"])
    return shown


def printed(messages: list[dict[str, Any]], stream: str) -> str:
    return "".join(one["text"] for one in messages if one.get("name") == stream)


def test_one_card_and_one_bar_are_redrawn_in_place(kernel: Kernel) -> None:
    card, bar = outputs(kernel.run(WHOLE)).values()
    assert len(card) == 42
    assert all("Enrichment run" in one["text/html"] for one in card)
    assert "20 of 40" in card[20]["text/html"]
    assert "20 of 40" in card[20]["text/plain"]
    assert WIDGET in bar[0]


def test_the_bar_is_a_widget_that_moves_and_says_what_is_left(kernel: Kernel) -> None:
    states = [one["data"]["state"] for one in kernel.run(WHOLE) if one["type"] == "comm_msg"]
    texts = [str(state["value"]) for state in states if "value" in state]
    assert any("20/40 read," in text.replace("\u2007", " ") for text in texts)
    assert any(
        "10 emails found, 20/40 read, 40 credits, 20 s left" in text.replace("\u2007", " ")
        for text in texts
    )
    assert {"0.25", "0.5", "1.0"} <= set(texts)


def test_at_the_end_the_card_is_whole_the_bar_gone_and_one_line_stays(kernel: Kernel) -> None:
    messages = kernel.run(WHOLE)
    card, bar = outputs(messages).values()
    assert 'aria-valuenow="100"' in card[-1]["text/html"]
    assert bar[-1] == {"text/plain": "", "text/html": ""}
    line = "40 leads enriched, 20 emails found, 40 credits, 40 s → enriched.parquet\n"
    assert printed(messages, "stdout") == line
    assert printed(messages, "stderr") == ""


def test_what_an_engine_does_before_and_after_is_on_the_same_bar(kernel: Kernel) -> None:
    before = WHOLE.replace("    for", "    display.stage('collecting', 0.5)\n    for")
    messages = kernel.run(
        before.replace(
            "    display.fin",
            "    clock.now += 1\n    display.stage('joining and writing', 0.75)\n    display.fin",
        )
    )
    card, bar = outputs(messages).values()
    assert 'aria-valuenow="100"' in card[-1]["text/html"]
    assert bar[-1] == {"text/plain": "", "text/html": ""}
    states = [one["data"]["state"] for one in messages if one["type"] == "comm_msg"]
    texts = [str(state["value"]).replace("\u2007", " ") for state in states if "value" in state]
    assert any(one.startswith("collecting:  50%") for one in texts)
    assert any(one.startswith("joining and writing:  75%") for one in texts)


@pytest.mark.parametrize("error", ["KeyboardInterrupt", "ValueError"])
def test_an_error_and_an_interrupt_leave_the_card_where_it_was_and_no_bar(
    kernel: Kernel, error: str
) -> None:
    messages = kernel.run(STOPPED.format(error=error))
    card, bar = outputs(messages).values()
    assert 'aria-valuenow="25"' in card[-1]["text/html"]
    assert bar[-1] == {"text/plain": "", "text/html": ""}
    assert printed(messages, "stdout") == ""
    assert [one["ename"] for one in messages if one["type"] == "error"] == [error]


def test_a_notebook_gets_four_pictures_a_second_at_most_and_the_last_state(kernel: Kernel) -> None:
    messages = kernel.run(
        """
display = progress.Display(None)
with display.shown():
    for step in range(1_000):
        clock.now += 0.01
        display(at(step // 25), None)
    display(at(40, "done"), None)
"""
    )
    card, _ = outputs(messages).values()
    assert 30 <= len(card) <= 42
    assert "40 of 40" in card[-1]["text/html"]


def test_text_from_the_service_stays_text_on_the_card(kernel: Kernel) -> None:
    messages = kernel.run(
        r"""
display = progress.Display(None)
display.rows = lambda status: [("jobs", "<img src=x onerror=alert(1)>\x1b[31m")]
with display.shown():
    display(at(10), None)
"""
    )
    card, _ = outputs(messages).values()
    for one in card:
        assert "<img" not in one["text/html"]
        assert "&lt;img src=x onerror=alert(1)&gt;" in one["text/html"]
        assert "\x1b" not in one["text/plain"]


def test_the_card_says_why_nothing_moves(kernel: Kernel) -> None:
    messages = kernel.run(
        """
display = progress.Display(None)
with display.shown():
    display(at(10), None, "waiting for the limit (100 a minute)")
"""
    )
    card, _ = outputs(messages).values()
    assert "waiting for the limit (100 a minute)" in card[0]["text/html"]
    assert "waiting" not in card[-1]["text/html"]


def test_where_there_is_nothing_to_wait_for_only_the_line_is_shown(kernel: Kernel) -> None:
    messages = kernel.run(
        """
display = progress.Display(None)
with display.shown():
    display(RunStatus("done", 0, 0, 0, 0, 0), None)
    display.finished(receipt | dict(credits_reserved=0), None)
"""
    )
    assert outputs(messages) == {}
    assert printed(messages, "stdout") == "40 leads enriched, 20 emails found, 0 credits, 0 s\n"


def test_without_ipywidgets_the_card_has_the_bar(kernel: Kernel) -> None:
    kernel.run(WITHOUT_WIDGETS)
    messages = kernel.run(WHOLE)
    kernel.run(WITH_WIDGETS)
    (card,) = outputs(messages).values()
    assert 'aria-valuenow="50"' in card[20]["text/html"]
    assert "20 s left" in card[20]["text/html"]
    assert "20 s left" in card[20]["text/plain"]
    assert 'aria-valuenow="100"' in card[-1]["text/html"]
    assert printed(messages, "stderr") == ""


def test_progress_that_is_off_shows_nothing_and_no_line(kernel: Kernel) -> None:
    assert kernel.run(WHOLE.replace("Display(None)", "Display(False)")) == []
