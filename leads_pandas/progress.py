"""Progress where a person sees it: card and bar in a notebook, bar in a terminal, else log lines.

It is told a `RunStatus` and the seconds left, and draws; it asks nothing and decides nothing.
"""

from __future__ import annotations

import contextlib
import logging
import math
import sys
import time
from typing import TYPE_CHECKING, Any, Protocol

from leads_pandas.display import (
    card_html,
    card_text,
    clean,
    duration,
    plural,
    terminal_width,
    wrapped,
)
from leads_pandas.errors import EnrichmentDeclined

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from leads_pandas.models import CostPreview, RunStatus

_logger = logging.getLogger("leads_pandas")
_FORMAT = "{desc}{percentage:3.0f}%|{bar}| {elapsed}{postfix}"
_REDRAW = 0.25  # seconds between two pictures in a notebook, each of which is sent to a browser
_COLUMNS = 100  # of a bar in text, in a notebook
_SHORTEST = 6  # columns below which a bar says nothing
_AROUND = len(": 100%|| 00:00, ") + 1  # the other columns of its line, the last of which stays free
_TITLE = "Enrichment run"
_QUESTION = "Enrich? [y/N] "


def say(message: str) -> None:
    """Say what must be seen, whatever becomes of the log; the command line puts its own here."""
    print(f"leads_pandas: {message}", file=sys.stderr, flush=True)


def ask_on_terminal(question: str) -> str:
    """Ask on the terminal, in the place of a bar that may be there; nothing typed is no answer."""
    from tqdm import tqdm

    answer = ""
    with tqdm.external_write_mode(file=sys.stderr):
        try:
            print(question, end="", file=sys.stderr, flush=True)
            answer = sys.stdin.readline()
        finally:
            if not answer.endswith("\n"):  # Ctrl-C or Ctrl-D
                print(file=sys.stderr, flush=True)
    return answer


def consent(confirm: bool | Callable[[CostPreview], bool]) -> Callable[[CostPreview], None] | None:
    """How the user is asked before credits are spent; None: not at all."""
    if confirm is False:
        return None

    def ask(preview: CostPreview) -> None:
        agreed = confirm(preview) if callable(confirm) else _ask(preview)
        if agreed is None:
            raise EnrichmentDeclined(
                "the cost was to be confirmed, and nobody can be asked here; nothing was started "
                "and nothing was spent: leave confirm out, or pass a function that decides",
                preview=preview,
            )
        if agreed is not True:
            raise EnrichmentDeclined(
                "the cost was not confirmed; nothing was started and nothing was spent",
                preview=preview,
            )

    return ask


def _ask(preview: CostPreview) -> bool | None:
    """What a person answers; None where there is nobody to be asked."""
    if in_notebook():
        print(preview)
        try:
            answer = input(_QUESTION)
        except (EOFError, RuntimeError):  # a kernel whose front end cannot be asked
            return None
    elif sys.stdin is not None and sys.stdin.isatty():
        answer = ask_on_terminal(f"{preview}\n{_QUESTION}")
    else:
        return None
    return answer.strip().lower() in ("y", "yes")


class Reporter(Protocol):
    """What shows a run's progress."""

    def update(self, status: RunStatus, seconds_left: float | None) -> None:
        """Show how far the run is."""

    def close(self, line: str | None) -> None:
        """End the display, with one line that stays."""


def in_notebook() -> bool:
    """Whether this runs in a Jupyter kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


def _words(status: RunStatus, seconds_left: float | None, *, room: int | None = None) -> str:
    """What stands beside a bar, the most important first to stay where there is little room."""
    leads = f"{status.read:,}/{status.total:,} leads"
    emails = plural(status.found_emails, "email")
    credit = plural(status.credits_reserved, "credit")
    left = _left(status, seconds_left)
    for words in ((leads, emails, credit, left), (leads, emails, left), (leads, left)):
        text = ", ".join(filter(None, words))
        if room is None or len(text) <= room:
            return text
    return leads


def _left(status: RunStatus, seconds_left: float | None) -> str:
    """The time left, where it is known and worth telling."""
    if seconds_left is None or seconds_left < 1 or status.read == status.total:
        return ""
    return f"{duration(seconds_left)} left"


def _move(
    bar: Any, status: RunStatus, seconds_left: float | None, *, width: int | None = None
) -> None:
    """Bring a tqdm bar up to date; only results that are durable make it whole."""
    bar.n = round(status.fraction, 3)
    bar.set_description(status.phase, refresh=False)
    room = None if width is None else width - len(status.phase) - _AROUND - _SHORTEST
    bar.set_postfix_str(_words(status, seconds_left, room=room), refresh=False)
    bar.refresh()


class _Terminal:
    """One tqdm bar for the whole run, on standard error."""

    def __init__(self) -> None:
        self._bar: Any = None

    def update(self, status: RunStatus, seconds_left: float | None) -> None:
        if self._bar is None:
            if not status.total:
                return  # nothing to wait for: the closing line says it all
            self._bar = _text_bar(sys.stderr, dynamic_ncols=True)
        _move(self._bar, status, seconds_left, width=terminal_width(sys.stderr))

    def close(self, line: str | None) -> None:
        if self._bar is not None:
            self._bar.close()
        if line is not None:
            print(wrapped(line, terminal_width(sys.stderr)), file=sys.stderr)


def _text_bar(file: Any, **width: Any) -> Any:
    from tqdm import tqdm

    class Bar(tqdm):  # type: ignore[type-arg] # generic for type checkers only
        monitor_interval = 0  # tqdm's watching thread would outlive the call

    return Bar(total=1.0, bar_format=_FORMAT, file=file, **width)


class _Notebook:
    """The run's card and, under it, one tqdm bar while the call lasts; both redrawn in place."""

    def __init__(self, owner: Display) -> None:
        self._owner = owner
        self._card: _Output | None = None
        self._bar_output: _Output | None = None
        self._bar: Any = None
        self._latest: RunStatus | None = None
        self._drawn_at = -math.inf

    def update(self, status: RunStatus, seconds_left: float | None) -> None:
        if self._latest is None and not status.total:
            return  # nothing to wait for: the closing line says it all
        self._latest = status
        now = time.monotonic()
        if now >= self._drawn_at + _REDRAW:
            self._drawn_at = now
            self._draw(status, seconds_left)

    def _draw(self, status: RunStatus, seconds_left: float | None) -> None:
        # Without a bar of its own: there is one below for as long as the call lasts.
        card = _card(self._owner.rows(status), fraction=None)
        if self._card is None:
            self._card = _Output(card)
            self._bar, self._bar_output = _notebook_bar()
        else:
            self._card.show(card)
        _move(self._bar, status, seconds_left)

    def close(self, line: str | None) -> None:
        if self._latest is not None and self._card is not None and self._bar_output is not None:
            _move(self._bar, self._latest, None)
            self._bar.close()
            # A stored notebook keeps a widget as it was first drawn, at 0 %; a card stays true.
            self._bar_output.show({"text/plain": "", "text/html": ""})
            rows = self._owner.rows(self._latest)
            self._card.show(_card(rows, fraction=self._latest.fraction))
        if line is not None:
            print(line)


def _card(rows: Sequence[tuple[str, str]], *, fraction: float | None) -> dict[str, str]:
    return {
        "text/plain": card_text(_TITLE, rows),
        "text/html": card_html(_TITLE, rows, fraction=fraction),
    }


def _notebook_bar() -> tuple[Any, _Output]:
    """A widget where ipywidgets is there, else a line of text; and the output that holds it."""
    from tqdm import notebook

    if getattr(notebook, "IProgress", None) is None:  # what tqdm looks at, and would raise for
        output = _Output({"text/plain": ""})
        return _text_bar(output, ncols=_COLUMNS), output

    class Bar(notebook.tqdm):  # type: ignore[type-arg] # generic for type checkers only
        monitor_interval = 0  # tqdm's watching thread would outlive the call

    bar = Bar(total=1.0, bar_format=_FORMAT, display=False)
    return bar, _Output(bar.container)


class _Output:
    """One output of a notebook's cell, replaced in place; to tqdm, a file of a single line."""

    def __init__(self, first: Any) -> None:
        from IPython import display

        show: Any = display.display
        self._handle = show(first, raw=isinstance(first, dict), display_id=True)

    def show(self, data: dict[str, str]) -> None:
        self._handle.update(data, raw=True)

    def write(self, text: str) -> None:
        if line := text.strip():
            self.show({"text/plain": line})

    def flush(self) -> None:
        """Nothing waits: each line is sent when it is written."""


class _Log:
    """One log line per tenth of the run."""

    def __init__(self) -> None:
        self._tenth = -1

    def update(self, status: RunStatus, seconds_left: float | None) -> None:
        tenth = int(status.fraction * 10)
        if tenth > self._tenth and status.total:
            self._tenth = tenth
            words = [
                f"({status.read:,} of {status.total:,} leads read)",
                plural(status.found_emails, "email"),
                plural(status.credits_reserved, "credit"),
                _left(status, seconds_left),
            ]
            _logger.info(
                "%s: %d%% %s",
                status.phase,
                round(status.fraction * 100),
                ", ".join(filter(None, words)),
            )

    def close(self, line: str | None) -> None:
        if line is not None:
            _logger.info("%s", line)


class _Silent:
    def update(self, status: RunStatus, seconds_left: float | None) -> None:
        pass

    def close(self, line: str | None) -> None:
        pass


class _Callback:
    def __init__(self, call: Callable[[RunStatus], object]) -> None:
        self._call = call

    def update(self, status: RunStatus, seconds_left: float | None) -> None:  # noqa: ARG002
        self._call(status)

    def close(self, line: str | None) -> None:
        pass


class Display:
    """The progress of one call, from its first report to its closing line.

    Args:
        progress: None: where a person can see it, else log lines; True or False force; a callable
            gets every `RunStatus`.

    Attributes:
        rows: the labelled values of a notebook's card, for a status; the status's own, unless a
            caller who knows more of the run puts them in.
    """

    def __init__(self, progress: bool | Callable[[RunStatus], object] | None) -> None:
        self.rows: Callable[[RunStatus], Sequence[tuple[str, str]]] = _own_rows
        self._reporter: Reporter = self._choose(progress)
        self._began = time.monotonic()
        self._moved = False
        self._line: str | None = None

    def _choose(self, progress: bool | Callable[[RunStatus], object] | None) -> Reporter:
        if callable(progress):
            return _Callback(progress)
        if progress is False:
            return _Silent()
        if in_notebook():
            return _Notebook(self)
        watched = sys.stderr is not None and sys.stderr.isatty()
        return _Terminal() if progress or watched else _Log()

    def __call__(self, status: RunStatus, seconds_left: float | None) -> None:
        """Show how far the run is."""
        if not self._moved:
            self._moved, self._began = True, time.monotonic()  # a question may have been asked
        self._reporter.update(status, seconds_left)

    def finished(self, counts: dict[str, int], spent: int, path: str | None) -> None:
        """Make the closing line: what came of the leads, what it cost, and where it is."""
        enriched = counts["found"] + counts["not_found"]
        parts = [
            f"{plural(enriched, 'lead')} enriched",
            f"{plural(counts['found'], 'email')} found",
            plural(spent, "credit"),
            duration(time.monotonic() - self._began),
        ]
        missing = sum(counts.values()) - enriched
        if missing:
            parts.insert(2, f"{missing:,} without a result")
        self._line = ", ".join(parts) + (f" → {clean(path)}" if path else "")

    @contextlib.contextmanager
    def shown(self) -> Generator[Display]:
        """Close the display whichever way the call ends."""
        try:
            yield self
        finally:
            self.close()

    def close(self) -> None:
        """End the display, with its closing line where there is one; once is enough."""
        reporter, self._reporter = self._reporter, _Silent()
        reporter.close(self._line)


def _own_rows(status: RunStatus) -> Sequence[tuple[str, str]]:
    return status._rows()  # noqa: SLF001 - one card for both
