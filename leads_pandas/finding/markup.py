"""HTML into tokens, in time linear in its length; no tree, no I/O.

Pages come from strangers. A tree builder takes quadratic time on pages made for it: selectolax
needed eight minutes, holding the interpreter lock, for two megabytes of nested ``<div>``, and three
seconds for one tag of 270 kB with 40,000 attributes. Reading addresses needs no tree, so this
follows the tokenizer of the HTML standard, where every construct ends at its terminator or with the
page.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_SPACE = " \t\n\f\r"
_MARKUP = re.compile(r"<(?=[a-zA-Z/!?])")
_TAG = re.compile(rf"<(/?)([a-zA-Z][^{_SPACE}/>]*)")
_GAP = re.compile(rf"[{_SPACE}/]*")
_SPACES = re.compile(rf"[{_SPACE}]*")
# The standard lets a name begin with "=".
_NAME = re.compile(rf"[^{_SPACE}/>][^{_SPACE}/>=]*")
_BARE_VALUE = re.compile(rf"[^{_SPACE}>]*")
_COMMENT_END = re.compile(r"--!?>")

# What stands inside these is no markup.
_RAW = frozenset(
    ("script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes", "plaintext")
)
_RAW_END = {
    name: re.compile(rf"</{name}(?=[{_SPACE}/>])", re.IGNORECASE) for name in _RAW - {"plaintext"}
}


class Text(NamedTuple):
    """Characters between tags, entities decoded."""

    text: str


class Start(NamedTuple):
    """A start tag; names are in lower case, and the first of equal attributes counts."""

    name: str
    attributes: dict[str, str]


class End(NamedTuple):
    """An end tag, its name in lower case."""

    name: str


class Raw(NamedTuple):
    """An element whose content is no markup, such as a script, with that content as written."""

    name: str
    attributes: dict[str, str]
    content: str


Token = Text | Start | End | Raw


def tokens(page: str) -> Iterator[Token]:
    """Split a page into its tokens; comments and declarations are left out.

    As in a browser, an unfinished tag or comment at the end of the page is dropped.
    """
    position, length = 0, len(page)
    while position < length:
        markup = _MARKUP.search(page, position)
        if markup is None:
            yield Text(html.unescape(page[position:]))
            return
        opening = markup.start()
        if opening > position:
            yield Text(html.unescape(page[position:opening]))
        tag = _TAG.match(page, opening)
        if tag is None:
            end = _after_other(page, opening)
            if end is None:
                return
            position = end
            continue
        found = _attributes(page, tag.end())
        if found is None:
            return
        attributes, position = found
        name = tag[2].lower()
        if tag[1]:
            yield End(name)
        elif name in _RAW:
            closing = _RAW_END[name].search(page, position) if name in _RAW_END else None
            stop = length if closing is None else closing.start()
            yield Raw(name, attributes, page[position:stop])
            position = stop
        else:
            yield Start(name, attributes)


def _after_other(page: str, opening: int) -> int | None:
    """Where a comment or declaration ends; None: nowhere, so it takes the rest of the page."""
    if page.startswith("<!--", opening):
        if page.startswith((">", "->"), opening + 4):
            return page.index(">", opening) + 1
        end = _COMMENT_END.search(page, opening + 4)
        return None if end is None else end.end()
    closing = page.find(">", opening)
    return None if closing < 0 else closing + 1


def _attributes(page: str, position: int) -> tuple[dict[str, str], int] | None:
    """Read attributes up to the tag's ``>``; None where the page ends inside the tag."""
    attributes: dict[str, str] = {}
    while True:
        position = _end(_GAP, page, position)
        if position >= len(page):
            return None
        if page[position] == ">":
            return attributes, position + 1
        after = _end(_NAME, page, position)
        name = page[position:after].lower()
        position = _end(_SPACES, page, after)
        value = ""
        if page.startswith("=", position):
            position = _end(_SPACES, page, position + 1)
            if page.startswith(('"', "'"), position):
                after = page.find(page[position], position + 1)
                if after < 0:
                    return None
                value, position = page[position + 1 : after], after + 1
            else:
                after = _end(_BARE_VALUE, page, position)
                value, position = page[position:after], after
        attributes.setdefault(name, html.unescape(value))


def _end(pattern: re.Pattern[str], page: str, position: int) -> int:
    match = pattern.match(page, position)
    return position if match is None else match.end()
