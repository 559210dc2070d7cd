"""The quickstart in a real JupyterLab and browser; run it to make the README's picture again.

``python -m tests.support.lab`` writes ``docs/img/quickstart.png``. It needs Debian's Chromium.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playwright.sync_api import sync_playwright

from tests.support.kernels import NOTEBOOKS, make_jupyter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import FloatRect, Page

PICTURE = Path(__file__).parents[2] / "docs" / "img" / "quickstart.png"
PICTURED = ("rest.leads.preview()", "out.leads.plot.status()")
MILLISECONDS = 60_000
_WAIT = 240.0
_SIZE = (1_260, 1_800)

# Nothing but what the test needs: no look for updates or news, no cells taken out of the page.
_SETTINGS = {
    "apputils-extension/notification": {"checkForUpdates": False, "fetchNews": "false"},
    "notebook-extension/tracker": {"windowingMode": "none"},
}
_CHROMIUM = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
# Every width that the bar has had, and every card that was live above it.
_WATCH = """
window.widths = []; window.cards = [];
new MutationObserver(() => {
    const bar = document.querySelector('.widget-hprogress .progress-bar');
    if (!bar) return;
    const width = parseFloat(bar.style.width);
    if (width !== window.widths.at(-1)) window.widths.push(width);
    const card = [...document.querySelectorAll('.jp-OutputArea-output')]
        .map(one => one.innerText).filter(text => text.startsWith('Enrichment run')).at(-1);
    if (card && card !== window.cards.at(-1)) window.cards.push(card);
}).observe(document.body, {subtree: true, childList: true, attributes: true, characterData: true});
"""


def chromium() -> str:
    """Where Chromium is.

    Raises:
        FileNotFoundError: it is not installed.
    """
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        raise FileNotFoundError(
            "the browser test needs Chromium, and there is none on the path; "
            "install it (Debian: apt-get install chromium)"
        )
    return found


@contextlib.contextmanager
def running_lab(folder: Path) -> Iterator[str]:
    """A JupyterLab of its own over a copy of the notebooks; gives its URL."""
    jupyter = make_jupyter(folder)
    for name, values in _SETTINGS.items():
        file = folder / "lab-settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    root = folder / "root"
    shutil.copytree(NOTEBOOKS, root)
    with (
        (folder / "lab.log").open("w") as log,
        subprocess.Popen(
            [
                *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
                *("--ip=127.0.0.1", "--port=0", f"--ServerApp.root_dir={root}"),
                *("--IdentityProvider.token=", "--ServerApp.password="),
                "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
                "--LabApp.news_url=",
            ],
            env=os.environ | jupyter,
            stdout=log,
            stderr=subprocess.STDOUT,
        ) as server,
    ):
        try:
            yield _url(server, folder)
        finally:
            server.terminate()


def _url(server: subprocess.Popen[bytes], folder: Path) -> str:
    ends = time.monotonic() + _WAIT
    while time.monotonic() < ends and server.poll() is None:
        for file in (folder / "runtime").glob("jpserver-*.json"):
            with contextlib.suppress(json.JSONDecodeError):  # half written
                return str(json.loads(file.read_text())["url"])
        time.sleep(0.05)
    raise RuntimeError(f"JupyterLab did not start: {(folder / 'lab.log').read_text()}")


@contextlib.contextmanager
def open_page(folder: Path) -> Iterator[tuple[Page, list[str]]]:
    """A page in a headless Chromium, and the addresses beyond this machine that it asked for."""
    beyond: list[str] = []

    def watch(request: Any) -> None:
        if not request.url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:")):
            beyond.append(request.url)

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(),
            args=_CHROMIUM,
            env={**os.environ, "HOME": str(folder)},
        )
        page = browser.new_page(viewport={"width": _SIZE[0], "height": _SIZE[1]})
        page.set_default_timeout(MILLISECONDS)
        page.on("request", watch)
        yield page, beyond
        browser.close()


def run_all(page: Page, url: str, notebook: str) -> None:
    """Open a notebook and choose Run All Cells in the menu, as a person would."""
    page.goto(f"{url}doc/tree/{notebook}")
    page.locator(".jp-Notebook").wait_for()
    # Whoever runs cells before the kernel is there is asked for one.
    page.get_by_text("| Idle").wait_for()
    page.evaluate(_WATCH)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


def wait_until_run(page: Page) -> None:
    """Wait until each code cell has the number of a finished execution."""
    page.wait_for_function(
        r"""[...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')]
            .every(one => /^\[\d+\]:$/.test(one.innerText.trim()))"""
    )


def go_dark(page: Page) -> None:
    """Choose the dark theme in the menu."""
    page.get_by_role("menuitem", name="Settings", exact=True).click()
    for entry in ("Theme", "JupyterLab Dark"):
        page.locator(".lm-Menu-itemLabel").get_by_text(entry, exact=True).click()
    page.locator('body[data-jp-theme-light="false"]').wait_for(state="attached")
    page.locator("#jupyterlab-splash").wait_for(state="detached")


def take_picture(page: Page, path: Path, first: str, last: str) -> None:
    """Photograph a notebook from the cell with one text to the cell with another."""
    cells = page.locator(".jp-Notebook .jp-Cell")
    top = cells.filter(has_text=first).first
    bottom = cells.filter(has_text=last).first
    top.evaluate("cell => cell.scrollIntoView({block: 'start'})")
    begin, end = top.bounding_box(), bottom.bounding_box()
    if begin is None or end is None:
        raise RuntimeError("the notebook shows no such cells")
    height = end["y"] + end["height"] - begin["y"]
    area: FloatRect = {
        "x": begin["x"],
        "y": begin["y"],
        "width": begin["width"],
        "height": height,
    }
    page.screenshot(path=path, clip=area)


def main() -> int:
    """Make the README's picture."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with running_lab(folder) as url, open_page(folder) as (page, _):
            run_all(page, url, "quickstart.ipynb")
            wait_until_run(page)
            PICTURE.parent.mkdir(parents=True, exist_ok=True)
            take_picture(page, PICTURE, *PICTURED)
    return 0


if __name__ == "__main__":
    sys.exit(main())
