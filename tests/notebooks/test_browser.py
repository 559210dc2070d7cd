"""The quickstart as a person sees it: JupyterLab in a headless Chromium, on this machine alone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support.lab import (
    PICTURE,
    PICTURED,
    chromium,
    go_dark,
    open_page,
    run_all,
    running_lab,
    take_picture,
    wait_until_run,
)

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

MOST_BYTES = 300_000
TO_BUY = 26


def read_so_far(card: str) -> int:
    found = re.search(rf"read\s+(\d+) of {TO_BUY}", card)
    assert found is not None, card
    return int(found[1])


def bars(widths: list[float]) -> list[list[float]]:
    """The widths of each bar: a new one begins where they fall."""
    each: list[list[float]] = [[]]
    for width in widths:
        if each[-1] and width < each[-1][-1]:
            each.append([])
        each[-1].append(width)
    return each


def brightness(page: Page, selector: str) -> float:
    """How bright the text of an element is, 0-255."""
    colour = page.locator(selector).last.evaluate("one => getComputedStyle(one).color")
    red, green, blue = (int(part) for part in re.findall(r"\d+", colour)[:3])
    return (red + green + blue) / 3


def test_the_quickstart_shows_card_bar_frame_and_plot_in_a_browser(tmp_path: Path) -> None:
    chromium()  # says what is missing before anything is started
    with running_lab(tmp_path) as url, open_page(tmp_path) as (page, beyond):
        run_all(page, url, "quickstart.ipynb")
        page.wait_for_function("window.widths.some(width => width > 0 && width < 100)")
        page.screenshot(path=tmp_path / "running.png")
        wait_until_run(page)

        finding, buying = bars(page.evaluate("window.widths"))
        assert finding[-1] == buying[-1] == 100
        assert any(0 < one < 100 for one in buying)
        read = [read_so_far(card) for card in page.evaluate("window.cards")]
        assert read == sorted(read)
        assert read[0] < read[-1]

        assert page.locator(".widget-hprogress").count() == 0
        done = page.locator(".jp-OutputArea-output", has_text="Enrichment run").last
        assert done.get_by_role("progressbar").get_attribute("aria-valuenow") == "100"
        line = r"48 leads enriched, 37 emails found, 25 credits, 22 credits saved .* → enriched\."
        assert page.get_by_text(re.compile(line)).count() == 1
        assert page.locator("table td", has_text="orders@seagrasslane.example").count() >= 1
        plots = page.locator(".jp-OutputArea-output img")
        assert plots.count() == 2
        assert plots.first.evaluate("one => one.naturalWidth") > 400
        assert page.locator('[data-mime-type="application/vnd.jupyter.error"]').count() == 0
        assert page.locator('[data-mime-type="application/vnd.jupyter.stderr"]').count() == 0

        take_picture(page, tmp_path / "light.png", *PICTURED)
        assert (tmp_path / "light.png").stat().st_size < MOST_BYTES
        card = ".jp-OutputArea-output :text('Enrichment run')"
        assert brightness(page, card) < 80
        go_dark(page)
        take_picture(page, tmp_path / "dark.png", *PICTURED)
        assert brightness(page, card) > 180
        assert beyond == []


def test_a_machine_without_chromium_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="apt-get install chromium"):
        chromium()


def test_the_picture_of_the_readme_is_a_small_png() -> None:
    picture = PICTURE.read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < MOST_BYTES
