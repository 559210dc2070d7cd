"""How a few labelled values look: as tidy text and as a small HTML card.

What lives here: escaping, layout and colour of plain values. It knows nothing of leads, and does no
I/O.
"""

from __future__ import annotations

import html
import os
import re
import textwrap
import unicodedata
from collections.abc import Sequence
from typing import TextIO

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
_ROW = "display:flex;justify-content:space-between;gap:2em"
_LABEL = "opacity:.75;white-space:nowrap"
_VALUE = "font-variant-numeric:tabular-nums;text-align:right;overflow-wrap:anywhere;min-width:0"

_COLUMNS = 80  # of a terminal that does not say

_EMOJI_BLOCKS = range(0x1F000, 0x1FB00)
# Zero-width (non-)joiners between two characters of scripts, or emoji, whose shape they decide.
_JOINED = r"[\u0600-\u0dff\u2190-\u2bff\ufe0f\U0001f000-\U0001faff]"
_NEEDED_JOINER = re.compile(f"(?<={_JOINED})([\u200c\u200d])(?={_JOINED})")


def clean(text: str) -> str:
    r"""Make text from outside safe to print, on one line.

    Invisible characters become escapes such as ``\x1b``, so that no text can move the cursor,
    colour a terminal, reverse its direction or hide a part of itself. Every script and emoji stay,
    with the joiners that they need between two of their own characters.
    """
    if text.isprintable():
        return text
    # Every other piece is a joiner that stays.
    pieces = _NEEDED_JOINER.split(text)
    pieces[::2] = [piece.translate(_ESCAPES) for piece in pieces[::2]]
    return "".join(pieces)


class _Escapes(dict[int, str]):
    """What each character is printed as, found out when it is first met."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        category = unicodedata.category(char)
        # A new emoji may be unknown to this Python; its block holds nothing else.
        known = category != "Cn" or code not in _EMOJI_BLOCKS
        hidden = category[0] == "C" or category in {"Zl", "Zp"}
        self[code] = char.encode("unicode_escape").decode() if hidden and known else char
        return self[code]


_ESCAPES = _Escapes()


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
    from tqdm.utils import disp_len  # East Asian characters take two columns

    cells = [(clean(label), clean(value)) for label, value in rows]
    labels = max((disp_len(label) for label, _ in cells), default=0)
    values = max((disp_len(value) for _, value in cells), default=0)
    lines = [clean(title)]
    for label, value in cells:
        gap = labels - disp_len(label) + values - disp_len(value)
        lines.append(f"  {label}{' ' * (gap + 2)}{value}")
    if note:
        lines.append(f"  {clean(note)}")
    return "\n".join(lines)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person sees what a stream gets; not where it is closed, missing or a stand-in."""
    try:
        return stream is not None and stream.isatty()
    except (AttributeError, OSError, ValueError):
        return False


def is_coloured(stream: TextIO | None) -> bool:
    """Whether a stream is a terminal that wants colour."""
    return (
        is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    )


def terminal_width(stream: TextIO | None) -> int | None:
    """How many columns a terminal has; None where a stream is no terminal."""
    if stream is None or not is_terminal(stream):
        return None
    told = os.environ.get("COLUMNS", "")
    if told.isdecimal() and int(told):
        return int(told)
    try:
        return os.get_terminal_size(stream.fileno()).columns or _COLUMNS
    except (OSError, ValueError):
        return _COLUMNS


def wrapped(text: str, width: int | None) -> str:
    """Text with breaks between its words, where it is wider than a terminal; None: no limit."""
    if width is None:
        return text
    return "\n".join(textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False))


def card_html(
    title: str,
    rows: Sequence[tuple[str, str]],
    *,
    fraction: float | None = None,
    note: str = "",
) -> str:
    """Lay out a title and labelled values as a small HTML card; everything is escaped."""

    def safe(text: str) -> str:
        return html.escape(clean(text), quote=True)

    bar = ""
    if fraction is not None:
        percent = round(min(max(fraction, 0.0), 1.0) * 100)
        bar = (
            f'<div role="progressbar" aria-valuenow="{percent}" style="{_TRACK}">'
            f'<div style="{_FILL};width:{percent}%"></div></div>'
        )
    # The space between label and value is for places that take the styles away.
    body = "".join(
        f'<div style="{_ROW}"><span style="{_LABEL}">{safe(label)}</span> '
        f'<span style="{_VALUE}">{safe(value)}</span></div>'
        for label, value in rows
    )
    foot = f'<div style="margin-top:.4em;opacity:.8">{safe(note)}</div>' if note else ""
    return (
        f'<div style="{_CARD}"><div style="font-weight:600">{safe(title)}</div>'
        f"{bar}{body}{foot}</div>"
    )
