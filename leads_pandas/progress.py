"""Progress where a person can see it: a tqdm bar in a notebook or terminal, else a log line.

It is told a `RunStatus` and the seconds left, and draws; it asks nothing and decides nothing.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import time
import warnings
from typing import TYPE_CHECKING, Any, Protocol

from leads_pandas.display import clean, duration, plural

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from leads_pandas.models import RunStatus

_logger = logging.getLogger("leads_pandas")
_FORMAT = "{desc}{percentage:3.0f}%|{bar}| {elapsed}{postfix}"


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


def _is_watched() -> bool:
    stream = sys.stderr
    return in_notebook() or (stream is not None and stream.isatty())


class _Bar:
    """One tqdm bar for the whole run; only results that are durable make it whole."""

    def __init__(self) -> None:
        self._bar: Any = None

    def update(self, status: RunStatus, seconds_left: float | None) -> None:
        if self._bar is None:
            self._bar = _tqdm()
        words = [
            f"{status.read:,}/{status.total:,} leads",
            plural(status.found_emails, "email"),
            plural(status.credits_reserved, "credit"),
        ]
        if seconds_left is not None and status.read < status.total:
            words.append(f"{duration(seconds_left)} left")
        self._bar.n = round(status.fraction, 3)
        self._bar.set_description(status.phase, refresh=False)
        self._bar.set_postfix_str(", ".join(words), refresh=False)
        self._bar.refresh()

    def close(self, line: str | None) -> None:
        if self._bar is not None:
            self._bar.close()
        if line is not None:
            # A stored notebook keeps a bar as it was first drawn; this line stays readable.
            print(line, file=sys.stdout if in_notebook() else sys.stderr)


def _tqdm() -> Any:
    with warnings.catch_warnings():
        # tqdm.auto warns where ipywidgets is missing; its text bar serves as well.
        warnings.simplefilter("ignore")
        from tqdm.auto import tqdm

        class Bar(tqdm):  # type: ignore[type-arg] # a base class chosen as the program runs
            monitor_interval = 0  # tqdm's watching thread would outlive the call

        return Bar(total=1.0, bar_format=_FORMAT, file=sys.stderr, dynamic_ncols=True)


class _Log:
    """One log line per tenth of the run."""

    def __init__(self) -> None:
        self._tenth = -1

    def update(self, status: RunStatus, seconds_left: float | None) -> None:
        tenth = int(status.fraction * 10)
        if tenth > self._tenth and status.total:
            self._tenth = tenth
            left = "" if seconds_left is None else f", {duration(seconds_left)} left"
            _logger.info(
                "%s: %d%% (%d of %d leads read), %d emails, %d credits%s",
                status.phase,
                round(status.fraction * 100),
                status.read,
                status.total,
                status.found_emails,
                status.credits_reserved,
                left,
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


def _reporter(progress: bool | Callable[[RunStatus], object] | None) -> Reporter:
    if callable(progress):
        return _Callback(progress)
    if progress is None:
        return _Bar() if _is_watched() else _Log()
    return _Bar() if progress else _Silent()


class Display:
    """The progress of one call, from its first report to its closing line."""

    def __init__(self, progress: bool | Callable[[RunStatus], object] | None) -> None:
        self._reporter = _reporter(progress)
        self._began = time.monotonic()
        self._line: str | None = None

    def __call__(self, status: RunStatus, seconds_left: float | None) -> None:
        """Show how far the run is."""
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
            self._reporter.close(self._line)
