"""Pictures of an enriched frame: statuses, confidence, sources. No request, nothing spent.

matplotlib (extra ``plot``) is imported when the first picture is drawn. Pictures take their text
colour from the user's own style, so that they read on light and dark, and change no global setting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from leads_pandas.display import clean, plural
from leads_pandas.errors import of_extra
from leads_pandas.models import STATUSES
from leads_pandas.scoring import floats, leads_of, of_emails, result_columns, status_counts
from leads_pandas.tracebacks import pointing_outside

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes

# Hues of Okabe and Ito, told apart by the colour-blind, at brightnesses that stand out from white
# and from near-black alike.
_COLOURS = {
    "found": "#009e73",
    "not_found": "#8c8c8c",
    "not_enriched": "#d99100",
    "unknown_lead": "#b0679a",
    "failed": "#d55e00",
}
_MAIN, _REST = "#2b83ba", "#8c8c8c"

_SIZE = (6.0, 3.5)  # inches
_LONGEST_NAME = 24
_MOST_LABELLED_BARS = 25
_UPRIGHT_FROM = 1_000  # counts that would run into each other side by side
_FEWEST_ROWS = 4  # fewer bars would be fat blocks
_ROOM_BESIDE, _ROOM_ABOVE = 1.35, 1.25


class Plot:
    """Pictures of one enriched frame: ``df.leads.plot.status()``.

    Args:
        frame: an enriched frame; it is read when a picture is drawn. An email counts once per lead.

    Raises:
        ValueError: the frame is not enriched, or ``bins`` or ``top`` is below 1.
        LeadIdError: no column or index level holds the lead IDs.
        ImportError: the extra ``plot`` is not installed.

    Example:
        >>> ax = out.leads.plot.status()
        >>> ax.figure.savefig("status.png")
        >>> from matplotlib import pyplot as plt
        >>> figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4))
        >>> ax = out.leads.plot.confidence(left)
        >>> ax = out.leads.plot.sources(right, top=5)
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame

    @pointing_outside
    def status(self, ax: Axes | None = None) -> Axes:
        """Draw how many unique leads have which status.

        Args:
            ax: where to draw; None makes a new figure, which a notebook shows.
        """
        column = result_columns(self._frame, "enrichment_status")["enrichment_status"]
        leads = leads_of(self._frame)
        counts, number = status_counts(column, leads), len(leads.unique)
        axes = _axes(ax, f"Status of {plural(number, 'lead')}", "leads")
        if not number:
            return _say(axes, "no leads")
        bars = [(one.replace("_", " "), counts[one], _COLOURS[one]) for one in STATUSES]
        return _bars(axes, bars, number)

    @pointing_outside
    def confidence(self, ax: Axes | None = None, bins: int = 20) -> Axes:
        """Draw how the confidence of the emails is distributed.

        Args:
            ax: where to draw; None makes a new figure, which a notebook shows.
            bins: into how many equal parts 0-1 is divided, at least 1.
        """
        _check_count("bins", bins)
        values = floats(of_emails(self._frame, "confidence"))
        known = values[~np.isnan(values)]
        without = len(values) - len(known)
        note = f", {without:,} more without one" if without and len(known) else ""
        axes = _axes(ax, f"Confidence of {plural(len(known), 'email')}{note}", "confidence")
        axes.set_ylabel("emails")
        axes.set_xlim(0, 1)
        if not len(known):
            return _say(axes, "no email has a confidence" if len(values) else "no emails")
        # Rounded, or a value such as 0.15 stands left of an edge that is 0.15000000000000002.
        edges = np.linspace(0, 1, bins + 1).round(12)
        bars: Any = axes.hist(known.round(12), edges.tolist(), rwidth=0.92, color=_MAIN, zorder=2)
        counts, _, drawn = bars
        labelled = bins <= _MOST_LABELLED_BARS
        if labelled:
            labels = [f"{count:,.0f}" if count else "" for count in counts]
            upright = 90 if counts.max() >= _UPRIGHT_FROM else 0
            for text in axes.bar_label(
                drawn, labels, padding=2, fontsize="x-small", rotation=upright, zorder=3
            ):
                # No line runs through a number.
                page = {"facecolor": axes.get_facecolor(), "edgecolor": "none", "pad": 0.6}
                text.set_bbox(page if text.get_text() else None)
        middle = float(np.median(known))
        ink = axes.xaxis.label.get_color()
        axes.axvline(middle, color=ink, linestyle=":", linewidth=1, alpha=0.6, zorder=1)
        wider = "right" if middle > 0.5 else "left"  # noqa: PLR2004 - half of the picture
        words: Any = {"ha": wider, "va": "top", "fontsize": "small"}
        above = axes.get_xaxis_transform()
        axes.text(middle, 0.98, f" median {middle:.2f} ", transform=above, **words)
        axes.set_ylim(0, counts.max() * _ROOM_ABOVE)
        _whole_numbers(axes.yaxis)
        _plain(axes, grid=None if labelled else "y")
        return axes

    @pointing_outside
    def sources(self, ax: Axes | None = None, top: int = 10) -> Axes:
        """Draw where the emails come from, most frequent first.

        Args:
            ax: where to draw; None makes a new figure, which a notebook shows.
            top: how many sources to show by name, at least 1; the others are one bar.
        """
        _check_count("top", top)
        named = of_emails(self._frame, "source")
        counts = named.astype(object).value_counts(dropna=True)
        axes = _axes(ax, f"Sources of {plural(len(named), 'email')}", "emails")
        if named.empty:
            return _say(axes, "no emails")
        shown, others = counts.iloc[:top], counts.iloc[top:]
        bars = [(_label(str(name)), int(count), _MAIN) for name, count in shown.items()]
        if len(others):
            bars.append((plural(len(others), "other source"), int(others.sum()), _REST))
        if missing := int(named.isna().sum()):
            bars.append(("not given", missing, _REST))
        return _bars(axes, bars, len(named))


def _axes(ax: Axes | None, title: str, label: str) -> Axes:
    with of_extra("plot", "a picture"):
        from matplotlib import pyplot as plt
    if ax is None:
        # Through pyplot, so that a notebook shows the figure.
        _, ax = plt.subplots(figsize=_SIZE, layout="constrained")
    ax.set_title(title)
    ax.set_xlabel(label)
    return ax


def _bars(axes: Axes, bars: Sequence[tuple[str, int, str]], total: int) -> Axes:
    """Draw horizontal bars from the top down, each with its count and its share of the total."""
    names, counts, colours = zip(*bars, strict=True)
    rows = np.arange(len(bars))
    drawn = axes.barh(rows, counts, height=0.68, color=colours, zorder=2)
    axes.set_yticks(rows, names)
    axes.set_ylim(max(len(bars), _FEWEST_ROWS) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.bar_label(drawn, [_share(count, total) for count in counts], padding=4, fontsize="small")
    axes.set_xlim(0, max(*counts, 1) * _ROOM_BESIDE)
    _whole_numbers(axes.xaxis)
    _plain(axes, sides=("top", "right", "left"))
    return axes


def _share(count: int, total: int) -> str:
    if not count:
        return "0"
    percent = 100 * count / total
    return f"{count:,} ({'<1' if percent < 0.5 else round(percent)} %)"  # noqa: PLR2004 - rounding


def _whole_numbers(axis: Any) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _plain(axes: Axes, *, grid: str | None = None, sides: Sequence[str] = ("top", "right")) -> None:
    """Leave only what helps to read: no frame, and a faint grid where bars have no numbers."""
    axes.grid(visible=False)
    if grid is not None:
        getattr(axes, f"{grid}axis").grid(visible=True, color="#808080", alpha=0.3, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in sides:
        axes.spines[side].set_visible(False)


def _say(axes: Axes, text: str) -> Axes:
    """Say that there is nothing to draw, on axes that stay labelled."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", alpha=0.7)
    axes.set_xticks([])
    axes.set_yticks([])
    _plain(axes)
    return axes


def _label(name: str) -> str:
    """Text from the service as a label: printable, short, and no mathematics."""
    text = " ".join(clean(name).split()) or "(blank)"
    if len(text) > _LONGEST_NAME:
        text = text[: _LONGEST_NAME - 1].rstrip() + "…"
    return text.replace("$", r"\$")


def _check_count(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{name} must be at least 1, not {value}")
