"""The lists that finding goes by, from the text files in ``words/``; read once, when needed.

A file has sections, ``[name]`` on a line of its own. The lists are data, so that somebody who knows
a language can mend its line without reading code.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files


@cache
def section(file: str, name: str) -> str:
    """The text of one section of a file."""
    text = (files("leads_pandas.finding") / "words" / f"{file}.txt").read_text(encoding="utf-8")
    _, _, rest = text.partition(f"[{name}]\n")
    return re.split(r"^\[[^\]\n]+\]$", rest, maxsplit=1, flags=re.MULTILINE)[0]


def words(file: str, name: str) -> frozenset[str]:
    """The words of one section."""
    return frozenset(section(file, name).split())


def pattern(file: str, name: str, frame: str = "{}") -> re.Pattern[str]:
    """A section whose lines are regular expressions, any of which may match, in any case."""
    lines = [line for line in section(file, name).splitlines() if line]
    return re.compile(frame.format("|".join(lines)), re.IGNORECASE)
