"""Tables as text: columns side by side, as wide as they need or as the terminal allows.

What lives here: layout alone. It knows nothing of leads, and does no I/O.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from leads_pandas.display import clean, painted, text_width

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_NARROWEST = 8  # columns of a terminal below which a cell says nothing
_BOLD = "1"


@dataclass(slots=True)
class Column:
    """One column of a table: its cells are plain text, made safe by `table`.

    Attributes:
        title: its heading.
        cells: one text per row.
        right: numbers stand on the right.
        whole: never shortened, because it is there to be copied.
        colours: what some of its cells are painted in.
    """

    title: str
    cells: list[str]
    right: bool = False
    whole: bool = False
    colours: Mapping[str, str] = field(default_factory=dict)


def table(columns: Sequence[Column], *, width: int | None, colour: bool) -> str:
    """Lay columns out side by side.

    Args:
        columns: the columns, all of one length.
        width: columns of the terminal; the widest cells are shortened to fit. None: no limit.
        colour: whether headings and cells are painted.
    """
    texts = [[clean(text) for text in (one.title, *one.cells)] for one in columns]
    widths = [max(map(text_width, cells)) for cells in texts]
    if width is not None:
        _narrow(widths, [one.whole for one in columns], width)
    lines = []
    for row in range(len(texts[0])):
        parts = []
        for column, cells, room in zip(columns, texts, widths, strict=True):
            cell = _shortened(cells[row], room)
            blank = " " * (room - text_width(cell))
            cell = painted(cell, _BOLD if row == 0 else column.colours.get(cell), on=colour)
            parts.append(blank + cell if column.right else cell + blank)
        lines.append("  ".join(parts).rstrip())
    return "\n".join(lines)


def _narrow(widths: list[int], whole: Sequence[bool], room: int) -> None:
    """Take from the widest columns, one place at a time, until the row fits or nothing gives."""
    free = room - 2 * (len(widths) - 1)
    giving = [n for n, fixed in enumerate(whole) if not fixed]
    while sum(widths) > free and giving:
        widest = max(giving, key=widths.__getitem__)
        if widths[widest] <= _NARROWEST:
            return
        widths[widest] -= 1


def _shortened(text: str, room: int) -> str:
    if text_width(text) <= room:
        return text
    while text_width(text) >= room:
        text = text[:-1]
    return text + "…"
