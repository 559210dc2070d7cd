"""What a page says, in parts: its addresses, its links, who it says it is; values alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

How = Literal["link", "text", "data", "meta"]


class Mention(NamedTuple):
    """An address as a page gives it.

    Attributes:
        address: in lower case; its syntax is only roughly right.
        how: ``link`` (a link to write to), ``text``, ``data`` (JSON-LD, microdata) or ``meta``
            (the page's description for search engines).
        before: the words before it.
        footer: whether it stands in the page's footer.
        last: whether it is among the page's last words.
        instead: what visitors see in its place: another address or nothing; None: this one.
    """

    address: str
    how: How
    before: str = ""
    footer: bool = False
    last: bool = False
    instead: str | None = None


class Link(NamedTuple):
    """A link of a page: the absolute URL, and the words a visitor clicks on.

    Attributes:
        rel: what the page says of the link, such as ``help`` or ``author``.
        menu: whether it stands in a menu or the footer.
        frame: whether it is part of the page: a frame.
    """

    url: str
    text: str
    rel: str = ""
    menu: bool = False
    frame: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """What a page says, in the page's order.

    Attributes:
        jump: where the page sends its visitors at once, or None.
        title: its title and the site's name.
        language: as the page says.
        scripts: its script files of the same host.
    """

    mentions: tuple[Mention, ...]
    links: tuple[Link, ...]
    jump: str | None = None
    title: str = ""
    language: str = ""
    scripts: tuple[str, ...] = ()
