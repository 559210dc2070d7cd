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
_GAP = "  "
_BOLD = "1"


@dataclass(slots=True)
class Column:
    """One column of a table: its cells are plain text, made safe by `table`.

    Attributes:
        title: its heading.
        cells: one text per row.
        right: numbers, which stand on the right and are never shortened.
        whole: never shortened, because it is there to be copied.
        least: columns of the terminal that it keeps as long as others can do without.
        spare: left out where there is no room for it.
        colours: what some of its cells are painted in.
    """

    title: str
    cells: list[str]
    right: bool = False
    whole: bool = False
    least: int = _NARROWEST
    spare: bool = False
    colours: Mapping[str, str] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """Columns of the terminal that it takes where there is room."""
        return max(text_width(clean(text)) for text in (self.title, *self.cells))

    def shortest(self, least: int | None = None) -> int:
        """Columns of the terminal that are left of it, where it keeps this many or its own."""
        if self.whole or self.right:
            return self.width
        return min(self.width, self.least if least is None else least)


def table(columns: Sequence[Column], *, width: int | None, colour: bool) -> str:
    """Lay columns out side by side.

    Args:
        columns: the columns, all of one length.
        width: columns of the terminal; the widest cells are shortened to fit. None: no limit.
        colour: whether headings and cells are painted.
    """
    shown: Sequence[Column] = columns
    widths = [one.width for one in columns]
    if width is not None:
        shown, widths = _fitted(columns, width)
    texts = [[clean(text) for text in (one.title, *one.cells)] for one in shown]
    lines = []
    for row in range(len(texts[0])):
        parts = []
        for column, cells, room in zip(shown, texts, widths, strict=True):
            cell = _shortened(cells[row], room)
            blank = " " * (room - text_width(cell))
            cell = painted(cell, _BOLD if row == 0 else column.colours.get(cell), on=colour)
            parts.append(blank + cell if column.right else cell + blank)
        lines.append(_GAP.join(parts).rstrip())
    return "\n".join(lines)


def _fitted(columns: Sequence[Column], width: int) -> tuple[list[Column], list[int]]:
    """The columns that there is room for, and how wide each is."""
    shown = list(columns)

    def free() -> int:
        return width - len(_GAP) * (len(shown) - 1)

    while sum(one.shortest() for one in shown) > free() and any(one.spare for one in shown):
        shown.remove([one for one in shown if one.spare][-1])
    widths = [one.width for one in shown]
    _narrow(widths, [one.shortest() for one in shown], free())
    _narrow(widths, [one.shortest(_NARROWEST) for one in shown], free())
    return shown, widths


def _narrow(widths: list[int], least: Sequence[int], free: int) -> None:
    """Take from the widest columns, one place at a time, until the row fits or nothing gives."""
    while sum(widths) > free:
        giving = [n for n in range(len(widths)) if widths[n] > least[n]]
        if not giving:
            return
        widths[max(giving, key=widths.__getitem__)] -= 1


def _shortened(text: str, room: int) -> str:
    if text_width(text) <= room:
        return text
    while text_width(text) >= room:
        text = text[:-1]
    return text + "…"
