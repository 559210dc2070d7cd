"""How a few labelled values look: as tidy text and as a small HTML card.

What lives here: escaping and layout of plain values. It knows nothing of leads, and does no I/O.
"""

from __future__ import annotations

import html
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# Colours come from the notebook's own text colour, so that a card reads in light and dark themes.
_CARD = (
    "display:inline-block;min-width:16em;max-width:36em;padding:.7em 1em;border-radius:8px;"
    "border:1px solid rgba(128,128,128,.35);font-family:system-ui,sans-serif;font-size:13px;"
    "line-height:1.5"
)
_TRACK = (
    "height:6px;border-radius:3px;background:rgba(128,128,128,.25);margin:.5em 0;overflow:hidden"
)
_FILL = "height:100%;border-radius:3px;background:#2a9d6f"


def clean(text: str) -> str:
    r"""Make text from outside safe to print: control and format characters become ``\x..``."""
    return "".join(
        char.encode("unicode_escape").decode() if unicodedata.category(char)[0] == "C" else char
        for char in text
    )


def duration(seconds: float) -> str:
    """Say a number of seconds as people do: ``0.8 s``, ``42 s``, ``1 min 12 s``, ``2 h 5 min``."""
    if seconds < 9.95:  # noqa: PLR2004 - below ten seconds a decimal says something
        return f"{max(seconds, 0.0):.1f} s".replace(".0 s", " s")
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    if hours:
        return f"{hours:,} h {minutes} min" if minutes else f"{hours:,} h"
    if minutes:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{rest} s"


def plural(number: int, noun: str) -> str:
    """Count a noun: ``1 lead``, ``1,200 leads``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def card_text(title: str, rows: Sequence[tuple[str, str]], *, note: str = "") -> str:
    """Lay out a title and labelled values as lines of text, values right-aligned."""
    labels = max((len(label) for label, _ in rows), default=0)
    values = max((len(clean(value)) for _, value in rows), default=0)
    lines = [clean(title)]
    lines += [f"  {label:<{labels}}  {clean(value):>{values}}" for label, value in rows]
    if note:
        lines.append(f"  {clean(note)}")
    return "\n".join(lines)


def card_html(
    title: str,
    rows: Sequence[tuple[str, str]],
    *,
    fraction: float | None = None,
    note: str = "",
) -> str:
    """Lay out a title and labelled values as a small HTML card; everything is escaped.

    Args:
        title: the card's heading.
        rows: label and value pairs.
        fraction: 0-1 draws a bar under the title; None draws none.
        note: one line under the values.
    """

    def safe(text: str) -> str:
        return html.escape(clean(text), quote=True)

    bar = ""
    if fraction is not None:
        percent = round(min(max(fraction, 0.0), 1.0) * 100)
        bar = f'<div style="{_TRACK}"><div style="{_FILL};width:{percent}%"></div></div>'
    body = "".join(
        f'<div style="display:flex;justify-content:space-between;gap:2em">'
        f'<span style="opacity:.7">{safe(label)}</span>'
        f'<span style="font-variant-numeric:tabular-nums">{safe(value)}</span></div>'
        for label, value in rows
    )
    foot = f'<div style="margin-top:.4em;opacity:.8">{safe(note)}</div>' if note else ""
    return (
        f'<div style="{_CARD}"><div style="font-weight:600">{safe(title)}</div>'
        f"{bar}{body}{foot}</div>"
    )
