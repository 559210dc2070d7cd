"""HTML into what a visitor may see of it, in one pass over its tokens; no tree, no I/O.

Pages come from strangers, and a tree takes quadratic time on pages made for it. Reading addresses
needs none: what is open, and since where it is hidden, is enough. Nothing here knows addresses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache

from turbohtml import TokenType, tokenize

# In the text: where an inline element begins or ends, a line ends, a block ends.
SEAM, LINE, BLOCK = "\x01", "\x02", "\x03"
_OWN_SIGNS = re.compile("[\x01-\x03]")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_VOID = _words(
    """
    area base br col embed frame hr img input keygen link meta param source track wbr
    """
)
_INLINE = _words(
    """
    a abbr acronym b bdi bdo big cite code data del dfn em font i img ins kbd label link mark
    meta nobr q s samp script small span strike strong style sub sup time tt u var
    """
)
_BREAKS = dict.fromkeys(_INLINE, SEAM) | {"br": LINE, "wbr": ""}
_MARKED = _words("nav footer template")
# What stands inside these is no markup; their content comes as one text.
_RAW = _words("script style textarea title xmp iframe noembed noframes noscript plaintext")
# A tag of the first name ends open elements of the others, as far as the next boundary.
_ENDS: dict[str, frozenset[str]] = {
    "li": _words("li p"),
    "dt": _words("dt dd p"),
    "dd": _words("dt dd p"),
    "td": _words("td th p"),
    "th": _words("td th p"),
    "tr": _words("td th tr p"),
    "option": _words("option p"),
}
_P = _words("p")
_BOUNDARIES = _words("ul ol menu dl table select button object template body")
# Elements deeper than this under the innermost one are not looked for, to stay linear.
_LOOK_BACK = 64
_MAX_ELEMENTS = 20_000
_NO_ATTRIBUTES: dict[str, str] = {}

_ONE_CLASS = re.compile(r"\s*\w*\.([\w-]+)\s*$")
_MAX_STYLE, _MAX_SELECTOR = 50_000, 100
# What is put into an address for harvesters to take along; blocks are hidden for other reasons.
_JUNK = _words("span b i em strong font small u s")
_HIDDEN_CLASSES = _words("wpml-nodis nodis display-none displaynone")
_HIDDEN_STYLE = re.compile(r"(?:display\s*:\s*none|visibility\s*:\s*hidden)", re.IGNORECASE)
_FOOTER = re.compile(r"(?:^|[\s_-])(?:page|site)?(?:footer|colophon|copyright)", re.IGNORECASE)
# What a click brings up, or a small screen: hidden, and yet for visitors.
_OPENED = re.compile(
    r"(?:^|[\s_-])(?:modal|popup|pop-up|lightbox|overlay|dialog|fancybox|mfp|tab|tabs|tab-?pane|accordion"
    r"|collapse|collapsible|panel|toggle|dropdown|sub-?menu|mobile|offcanvas|drawer|burger|slide"
    r"|page|section|content|view|screen|contact|kontakt|contatt|contato|impressum|imprint|mentions|legal)",
    re.IGNORECASE,
)
_MENU = re.compile(
    r"(?:^|[\s_-])(?:main|site|top)?(?:nav|navi|navbar|navigation|menu|menue)(?:$|[\s_-])",
    re.IGNORECASE,
)


@dataclass(slots=True)
class Element:
    """A start tag whose attributes may say something.

    Attributes:
        name: the tag's, in lower case.
        attributes: in lower case; the first of equal ones counts.
        start: where in the text it begins.
        end: where in the text its content ends; `start` for what has none.
        footer: whether it stands in the page's footer.
        menu: whether it stands in a menu.
    """

    name: str
    attributes: dict[str, str]
    start: int
    end: int
    footer: bool
    menu: bool


@dataclass(slots=True)
class Outline:
    """What a page consists of.

    Attributes:
        text: what a visitor sees, with `SEAM`, `LINE` and `BLOCK` between its pieces.
        footers: where in the text footers begin and end.
        elements: visible start tags with attributes, in the page's order.
        scripts: scripts that stand in the page, with their type, in lower case.
        title: the page's title.
        language: of the page, as the page says, in lower case.
    """

    text: str = ""
    footers: list[tuple[int, int]] = field(default_factory=list)
    elements: list[Element] = field(default_factory=list)
    scripts: list[tuple[str, str]] = field(default_factory=list)
    title: str = ""
    language: str = ""


def read_outline(markup: str) -> Outline:
    """Read a page."""
    reader = _Reader()
    reader.read(markup, nested=False)
    return reader.outline()


class _Reader:
    """Follows the tokens of a page."""

    def __init__(self) -> None:
        self._out = Outline()
        self._hidden_classes = set(_HIDDEN_CLASSES)
        self._pieces: list[str] = []
        self._size = 0
        self._open: list[str] = []
        self._paragraphs = 0  # how many of them are open
        self._hidden: int | None = None  # how many elements are open outside the hidden one
        self._footer: tuple[int, int] | None = None  # likewise, and where it began
        self._menu: int | None = None
        self._marked = -1  # how many are open outside the innermost of these three
        self._link: Element | None = None

    def read(self, markup: str, *, nested: bool) -> None:
        """Follow the tokens of a page, or of what stands inside a ``<noscript>``."""
        # For every token of every page: what is spared here is felt.
        raw = ""
        attributes: dict[str, str] = {}
        text, start, end = TokenType.TEXT, TokenType.START_TAG, TokenType.END_TAG
        signs = "&#" in markup or _OWN_SIGNS.search(markup) is not None
        for token in tokenize(markup):
            kind = token.type
            if kind is text:
                data = token.data or ""
                if raw:
                    self._raw(raw, attributes, data, nested=nested)
                elif self._hidden is None:
                    data = _OWN_SIGNS.sub(" ", data) if signs else data
                    self._pieces.append(data)
                    self._size += len(data)
            elif kind is start:
                name = token.tag or ""
                given = token.attrs
                attributes = dict(given) if given else _NO_ATTRIBUTES
                self._start(name, attributes)
                raw = name if name in _RAW else ""
            elif kind is end:
                raw = ""
                self._end(token.tag or "")

    def outline(self) -> Outline:
        """What was read."""
        self._end_link()
        if self._footer is not None:
            self._out.footers.append((self._footer[1], self._size))
        self._out.text = "".join(self._pieces)
        return self._out

    def _raw(self, name: str, attributes: dict[str, str], content: str, *, nested: bool) -> None:
        if name == "title" and not self._out.title:
            self._out.title = " ".join(content.split())[:300]
        elif name == "style":
            self._hidden_classes |= _hidden_classes(content)
        elif self._hidden is not None:
            return
        elif name == "script":
            self._out.scripts.append((attributes.get("type", "").strip().lower(), content))
        elif name == "textarea" and attributes.keys() & {"readonly", "disabled"}:
            self._pieces.append(content)
            self._size += len(content)
        elif name in ("noscript", "noframes") and not nested:
            self.read(content, nested=True)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        sign = _BREAKS.get(name, BLOCK)
        void = name in _VOID
        pieces = self._pieces
        if sign == BLOCK and not void:
            ends = _ENDS.get(name, _P)
            if self._paragraphs or ends is not _P:
                self._close_implied(ends)
        if self._hidden is None:
            # Blocks within blocks end at one place.
            if sign != BLOCK or not pieces or pieces[-1] != BLOCK:
                pieces.append(sign)
                self._size += len(sign)
            if attributes or name == "a":
                self._look_at(name, attributes)
        if void:
            return
        if attributes or name in _MARKED:
            self._mark(name, attributes)
        self._open.append(name)
        if name == "p":
            self._paragraphs += 1

    def _mark(self, name: str, attributes: dict[str, str]) -> None:
        """Note where a menu, a footer or something hidden begins."""
        depth = len(self._open)
        menu, footer, opened = _marks(attributes.get("class", ""), attributes.get("id", ""))
        if self._menu is None and (menu or name == "nav"):
            self._menu = depth
        if self._footer is None and ((footer and name != "body") or name == "footer"):
            self._footer = depth, self._size
        if self._hidden is None and (
            name == "template"
            or (self._menu is None and not opened and _is_hidden(attributes))
            or (
                name in _JUNK
                and not self._hidden_classes.isdisjoint(attributes.get("class", "").split())
            )
        ):
            self._hidden = depth
        if depth in (self._menu, self._footer and self._footer[0], self._hidden):
            self._marked = depth

    def _end(self, name: str) -> None:
        if self._hidden is None:
            sign, pieces = _BREAKS.get(name, BLOCK), self._pieces
            if sign != BLOCK or not pieces or pieces[-1] != BLOCK:
                pieces.append(sign)
                self._size += len(sign)
        if name == "a":
            self._end_link()
        opened = self._open
        depth = len(opened)
        if depth and opened[-1] == name:
            if depth - 1 > self._marked:
                opened.pop()
                self._paragraphs -= name == "p"
            else:
                self._close(depth - 1)
            return
        for index in range(depth - 1, max(depth - _LOOK_BACK, 0) - 1, -1):
            if self._open[index] == name:
                self._close(index)
                return

    def _close_implied(self, ends: frozenset[str]) -> None:
        found = None
        lowest = max(len(self._open) - _LOOK_BACK, 0)
        for index in range(len(self._open) - 1, lowest - 1, -1):
            if self._open[index] in _BOUNDARIES:
                break
            if self._open[index] in ends:
                found = index
        if found is not None:
            self._close(found)

    def _close(self, index: int) -> None:
        while len(self._open) > index:
            self._paragraphs -= self._open.pop() == "p"
        if index > self._marked:
            return
        if self._hidden is not None and index <= self._hidden:
            self._hidden = None
        if self._menu is not None and index <= self._menu:
            self._menu = None
        if self._footer is not None and index <= self._footer[0]:
            self._out.footers.append((self._footer[1], self._size))
            self._footer = None
        outside = (self._hidden, self._menu, self._footer and self._footer[0])
        self._marked = max((one for one in outside if one is not None), default=-1)

    def _look_at(self, name: str, attributes: dict[str, str]) -> None:
        if name == "html":
            self._out.language = attributes.get("lang", "")[:20].lower()
        if name in ("a", "area"):
            self._end_link()
        if len(self._out.elements) >= _MAX_ELEMENTS:
            return
        here = self._size
        element = Element(
            name, attributes, here, here, self._footer is not None, self._menu is not None
        )
        self._out.elements.append(element)
        if name == "a":
            self._link = element

    def _end_link(self) -> None:
        if self._link is not None:
            self._link.end = self._size
            self._link = None


@lru_cache(maxsize=4096)
def _marks(css_class: str, name: str) -> tuple[bool, bool, bool]:
    """Whether a class or an id says: a menu, a footer, brought up by a click."""
    marks = f"{css_class} {name}"
    menu, footer, opened = (it.search(marks) is not None for it in (_MENU, _FOOTER, _OPENED))
    return menu, footer, opened


def _hidden_classes(style: str) -> set[str]:
    """The classes that a style sheet never shows; what depends on the screen is shown on some."""
    if "none" not in style and "hidden" not in style:
        return set()
    rules = (rule.partition("{") for rule in style[:_MAX_STYLE].partition("@media")[0].split("}"))
    return {
        found[1]
        for selectors, _, properties in rules
        if _HIDDEN_STYLE.search(properties)
        for one in selectors.split(",")
        if (found := _ONE_CLASS.match(one[-_MAX_SELECTOR:]))
    }


def _is_hidden(attributes: dict[str, str]) -> bool:
    return "hidden" in attributes or (
        "style" in attributes and _HIDDEN_STYLE.search(attributes["style"]) is not None
    )
