"""Progress where a person sees it: card and bar in a notebook, bar in a terminal, else log lines.

It is told a `RunStatus`, the seconds left and why nothing moves, and draws; it asks nothing,
decides nothing, and never ends a call: where it cannot draw, it falls silent.
"""

from __future__ import annotations

import contextlib
import logging
import math
import re
import sys
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

from leads_pandas.display import (
    card_html,
    card_text,
    clean,
    duration,
    is_terminal,
    plural,
    terminal_width,
    wrapped,
)
from leads_pandas.models import RunStatus

_logger = logging.getLogger("leads_pandas")
_FORMAT = "{desc}{percentage:3.0f}%|{bar}| {elapsed}{postfix}"
_REDRAW = 0.25  # seconds between two pictures in a notebook, each of which is sent to a browser
_SHORTEST = 6  # columns below which a bar says nothing
_AROUND = len(": 100%|| 00:00, ") + 1  # the other columns of its line, the last of which stays free
_BRIEF = re.compile(r"[:,]| \(")  # ends the short form of a reason to wait


class Picture(NamedTuple):
    """What there is to show at one moment."""

    status: RunStatus  # how far the run is
    seconds_left: float | None  # until it is done, where that can be told
    # How much of the way is behind: of the time where it can be told, else of the leads.
    fraction: float
    why: str = ""  # why it takes its time; empty where it moves
    stage: str = ""  # what goes on before the run or after it, in place of its phase and counts

    @property
    def waits(self) -> bool:
        """Whether there is anything to wait for; where not, the closing line says it all."""
        return bool(self.status.total or self.stage)

    @property
    def phase(self) -> str:
        """What is going on, in a word or two."""
        return self.stage or self.status.phase


class Reporter:
    """What shows a run's progress; by itself nothing."""

    def update(self, picture: Picture) -> None:
        """Show how far the run is."""

    def close(self, line: str | None) -> None:
        """End the display, with one line that stays."""


def in_notebook() -> bool:
    """Whether this runs in a notebook: a Jupyter kernel, or marimo."""
    return _in_jupyter() or _in_marimo()


def _in_jupyter() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


def _in_marimo() -> bool:
    marimo = sys.modules.get("marimo")
    return marimo is not None and bool(marimo.running_in_notebook())


def _words(picture: Picture, *, room: int | None = None) -> str:
    """What stands beside a bar, the most important first to stay where there is little room."""
    status, why = picture.status, picture.why
    if picture.stage:
        return ""
    parts = {
        "emails": f"{plural(status.found_emails, 'email')} found",
        "read": f"{status.read:,}/{status.total:,} read",
        "credit": plural(status.credits_reserved, "credit"),
        "why": why,
        "left": _left(picture),
    }
    read = parts["read"]
    for dropped in ("", "credit", "emails", "left", "read"):
        parts.pop(dropped, None)
        text = ", ".join(filter(None, parts.values()))
        if text and (room is None or len(text) <= room):
            return text
    brief = _BRIEF.split(why)[0]
    return brief if brief and room is not None and len(brief) <= room else read


def _left(picture: Picture) -> str:
    """The time left, where it is known and worth telling."""
    seconds, status = picture.seconds_left, picture.status
    if seconds is None or seconds < 1 or status.read == status.total:
        return ""
    return f"{duration(seconds)} left"


def _move(bar: Any, picture: Picture, *, width: int | None = None) -> None:
    """Bring a tqdm bar up to date; only results that are durable make it whole."""
    phase = picture.phase
    bar.n = round(picture.fraction, 3)
    bar.set_description(phase, refresh=False)
    room = None if width is None else width - len(phase) - _AROUND - _SHORTEST
    bar.set_postfix_str(_words(picture, room=room), refresh=False)
    bar.refresh()


class _Terminal(Reporter):
    """One tqdm bar for the whole run, on standard error."""

    def __init__(self) -> None:
        self._bar: Any = None

    def update(self, picture: Picture) -> None:
        if self._bar is None:
            if not picture.waits:
                return
            self._bar = bar_class()(
                total=1.0, bar_format=_FORMAT, file=sys.stderr, dynamic_ncols=True
            )
        _move(self._bar, picture, width=terminal_width(sys.stderr))

    def close(self, line: str | None) -> None:
        if self._bar is not None:
            self._bar.close()
        if line is not None:
            print(wrapped(line, terminal_width(sys.stderr)), file=sys.stderr)


@cache
def bar_class(*, widget: bool = False) -> Any:
    """The bar of tqdm, without what would outlive the call."""
    base: Any = import_module("tqdm.notebook" if widget else "tqdm").tqdm

    class Bar(base):  # type: ignore[misc] # chosen as it runs
        monitor_interval = 0  # no watching thread
        _lock = threading.RLock()  # tqdm's own is a semaphore between processes

        def __del__(self) -> None:
            """Nothing: it is closed where it is used, and tqdm cannot close one made by half."""

    return Bar


class _Cell(Reporter):
    """The run's card in a notebook's cell, drawn a few times a second at most."""

    def __init__(self, owner: Display) -> None:
        self._owner = owner
        self._latest: Picture | None = None
        self._drawn_at = -math.inf

    def update(self, picture: Picture) -> None:
        self._latest = picture
        now = time.monotonic()
        if picture.waits and now >= self._drawn_at + _REDRAW:
            self._drawn_at = now
            self._draw(picture)

    def _draw(self, picture: Picture) -> None:
        """Show this one."""

    def _end(self, picture: Picture) -> None:
        """Show this one, the last, for good."""

    def close(self, line: str | None) -> None:
        if self._latest is not None and self._drawn_at > -math.inf:
            self._end(self._latest._replace(seconds_left=None, why=""))
        if line is not None:
            print(line)

    def _card(self, status: RunStatus, fraction: float | None, *notes: str) -> dict[str, str]:
        title, rows = self._owner.title, self._owner.rows(status)
        note = ", ".join(filter(None, notes))
        return {
            "text/plain": card_text(title, rows, note=note),
            "text/html": card_html(title, rows, fraction=fraction, note=note),
        }


class _Notebook(_Cell):
    """The card, redrawn in place, and a widget of tqdm's under it while the call lasts.

    Where there are no widgets, the card has a bar of its own.
    """

    _shown: Any = None
    _bar: Any = None

    def _draw(self, picture: Picture) -> None:
        from IPython import display
        from tqdm import notebook

        show: Any = display.display
        # What tqdm looks at, and would raise for.
        if widgets := getattr(notebook, "IProgress", None) is not None:
            card = self._card(picture.status, None, picture.why)
        else:
            card = self._card(picture.status, picture.fraction, picture.why, _left(picture))
        if self._shown is None:
            shown = show(card, raw=True, display_id=True)
            if widgets:
                self._bar = bar_class(widget=True)(total=1.0, bar_format=_FORMAT, display=False)
                self._below = show(self._bar.container, display_id=True)
            self._shown = shown
        else:
            self._shown.update(card, raw=True)
        if self._bar is not None:
            _move(self._bar, picture)

    def _end(self, picture: Picture) -> None:
        if self._shown is None:  # it was interrupted while it was made
            return
        if self._bar is not None:
            _move(self._bar, picture)
            self._bar.close()
            # A stored notebook keeps a widget as it was first drawn, at 0 %; a card stays true.
            self._below.update({"text/plain": "", "text/html": ""}, raw=True)
        self._shown.update(self._card(picture.status, picture.status.fraction), raw=True)


class _Marimo(_Cell):
    """The card in place of the cell's output while the call lasts."""

    def _draw(self, picture: Picture) -> None:
        card = self._card(picture.status, picture.fraction, picture.why, _left(picture))
        marimo: Any = sys.modules["marimo"]
        marimo.output.replace(marimo.Html(card["text/html"]))

    _end = _draw


class _Log(Reporter):
    """One log line per tenth of the run, and one whenever there is a new reason to wait."""

    def __init__(self) -> None:
        self._tenth = -1
        self._why = self._stage = ""

    def update(self, picture: Picture) -> None:
        status, stage = picture.status, picture.stage
        if stage != self._stage:
            self._tenth, self._stage = -1, stage
        tenth = int(picture.fraction * 10)
        if picture.waits and (tenth > self._tenth or picture.why not in ("", self._why)):
            self._tenth, self._why = tenth, picture.why
            words = [
                f" ({status.read:,} of {status.total:,} leads read)",
                f"{plural(status.found_emails, 'email')} found",
                plural(status.credits_reserved, "credit"),
                picture.why,
                _left(picture),
            ]
            _logger.info(
                "%s: %d%%%s",
                picture.phase,
                round(picture.fraction * 100),
                "" if stage else ", ".join(filter(None, words)),
            )

    def close(self, line: str | None) -> None:
        if line is not None:
            _logger.info("%s", line)


def _arrow() -> str:
    """An arrow that standard error can write: what is redirected on Windows may be cp1252."""
    try:
        "→".encode(getattr(sys.stderr, "encoding", None) or "utf-8")
    except (UnicodeError, LookupError):
        return "->"
    return "→"


class Display:
    """The progress of one call, from its first report to its closing line."""

    def __init__(
        self, progress: bool | Callable[[RunStatus], object] | None, title: str = "Enrichment run"
    ) -> None:
        self.title = title
        # Of a notebook's card; whoever knows more of the run puts in more.
        self.rows: Callable[[RunStatus], Sequence[tuple[str, str]]] = RunStatus._rows  # noqa: SLF001 - one card for both
        self._call = progress if callable(progress) else None
        self._reporter: Reporter = self._choose(progress)
        self._began = time.monotonic()
        self._moved = False
        self._calls = 0
        self._status = RunStatus("starting", 0, 0, 0, 0, 0)
        self._fraction = 0.0
        self._line: str | None = None

    def _choose(self, progress: bool | Callable[[RunStatus], object] | None) -> Reporter:
        if callable(progress) or progress is False:
            return Reporter()
        if progress not in (None, True):
            raise ValueError(f"progress must be None, True, False or a callable, not {progress!r}")
        if _in_jupyter():
            return _Notebook(self)
        if _in_marimo():
            return _Marimo(self)
        return _Terminal() if progress or is_terminal(sys.stderr) else _Log()

    def __call__(self, status: RunStatus, seconds_left: float | None, why: str = "") -> None:
        """Show how far the run is, and why it takes its time where it does not move."""
        if not self._moved:
            self._moved, self._began = True, time.monotonic()  # a question may have been asked
        if self._call is not None:
            self._call(status)
        self._status = status
        self._fraction = max(self._fraction, self._behind(status, seconds_left))
        picture = Picture(status, seconds_left, self._fraction, why)
        self._draw(lambda reporter: reporter.update(picture))

    def stage(self, name: str, fraction: float) -> None:
        """Show how far something before the run or after it is, on the same bar."""
        picture = Picture(self._status, None, fraction, stage=name)
        self._draw(lambda reporter: reporter.update(picture))

    def _behind(self, status: RunStatus, seconds_left: float | None) -> float:
        """How much of the way is behind, in agreement with the time left where that is told."""
        if seconds_left is None or status.fraction in (0.0, 1.0):
            return status.fraction
        elapsed = time.monotonic() - self._began
        return min(elapsed / max(elapsed + seconds_left, 0.001), 0.99)

    def _draw(self, draw: Callable[[Reporter], None]) -> None:
        """Draw, or fall silent where that fails: no display may end a call that has been paid."""
        drawn = False
        with contextlib.suppress(Exception):
            draw(self._reporter)
            drawn = True
        if not drawn:
            self._reporter = Reporter()

    def finished(
        self,
        receipt: Mapping[str, Any],
        path: str | None,
        *,
        verb: str = "enriched",
        unread: str = "",
    ) -> None:
        """Make the closing line: what came of the leads, what it cost, and where it is."""
        counts, rows, saved = receipt["counts"], receipt["rows"], receipt["credits_saved"]
        done, unknown = counts["found"] + counts["not_found"], counts["unknown_lead"]
        others = sum(counts.values()) - done - unknown
        without_id, repeated = rows["without_id"], rows["duplicate"]
        parts = [
            f"{plural(done, 'lead')} {verb}",
            f"{plural(counts['found'], 'email')} found",
            f"{unknown:,} unknown to the service" if unknown else "",
            f"{others:,} without a result" if others else "",
            unread,
            f"{plural(without_id, 'row')} without an ID" if without_id else "",
            f"{plural(repeated, 'row')} repeated" if repeated else "",
            plural(receipt["credits_reserved"], "credit"),
            f"{plural(saved, 'credit')} saved by what was found here" if saved else "",
            duration(time.monotonic() - self._began),
        ]
        self._line = ", ".join(filter(None, parts)) + (f" {_arrow()} {clean(path)}" if path else "")

    @contextlib.contextmanager
    def shown(self) -> Generator[Display]:
        """Close the display whichever way the outermost call that shows it ends."""
        self._calls += 1
        try:
            yield self
        finally:
            self._calls -= 1
            if not self._calls:
                self.close()

    def close(self) -> None:
        """End the display, with its closing line where there is one; once is enough."""
        self._draw(lambda reporter: reporter.close(self._line))
        self._reporter = Reporter()
