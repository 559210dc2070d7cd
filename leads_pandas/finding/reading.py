"""What a page says: the addresses on it and the links to other pages; pure, no I/O.

An address is taken only where the page publishes it: in a ``mailto:`` link, in text that a visitor
sees, in Cloudflare's encoding of either, or in structured data made for machines (JSON-LD).
Scripts, comments, form fields and hidden elements, where traps for harvesters stand, are not read.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote, urljoin

from leads_pandas.finding.markup import End, Raw, Start, Text, tokens

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

How = Literal["link", "data", "text"]

_MAX_MENTIONS = 500
_MAX_LINKS = 500
_LINK_TEXT = 200


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
    meta nobr q s samp small span strike strong sub sup time tt u var wbr
    """
)
# A tag of the first name ends open elements of the others, as far as the next boundary.
_ENDS: dict[str, frozenset[str]] = {
    "li": frozenset(("li",)),
    "dt": frozenset(("dt", "dd")),
    "dd": frozenset(("dt", "dd")),
    "td": frozenset(("td", "th")),
    "th": frozenset(("td", "th")),
    "tr": frozenset(("td", "th", "tr")),
    "option": frozenset(("option",)),
}
_BOUNDARIES = frozenset(
    ("ul", "ol", "menu", "dl", "table", "select", "button", "object", "template", "body")
)
_P = frozenset(("p",))
# Elements deeper than this under the innermost one are not looked for, to stay linear.
_LOOK_BACK = 64

# Between blocks, and where an inline element begins or ends inside one.
_BREAK, _SEAM = "\n\n", "\x01"

_HIDDEN_STYLE = re.compile(r"(?:display\s*:\s*none|visibility\s*:\s*hidden)", re.IGNORECASE)

_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")
_BLANKS = re.compile(r"\s+")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,15}://[^\s<>\"|,;]+")
_AT = re.compile(r" ?[\[({<] ?(?:at|ät|@|arroba|chez|apenstaartje) ?[\])}>] ?", re.IGNORECASE)
_DOT = re.compile(r" ?[\[({<] ?(?:dot|punkt|punt|point|punto|\.) ?[\])}>] ?", re.IGNORECASE)
_LETTER = "A-Za-z0-9\u00c0-\u024f"
_ADDRESS = re.compile(
    # Not in the middle of a word, and not behind an @: @user@server is no email.
    rf"(?<![{_LETTER}_.+&/%@-])"
    r"[A-Za-z0-9_][A-Za-z0-9._+&'-]{0,63}"
    rf"@(?:[{_LETTER}](?:[{_LETTER}-]{{0,61}}[{_LETTER}])?\.){{1,8}}"
    r"[A-Za-z][A-Za-z0-9-]{0,61}[A-Za-z0-9]"
    rf"(?![{_LETTER}_@])"
)

_FILE_ENDINGS = _words(
    """
    png jpg jpeg gif svg webp avif bmp ico tif tiff heic css js mjs json map woff woff2 ttf eot
    mp3 mp4 webm pdf html htm php xml txt doc docx xls xlsx
    """
)
_SAMPLE_DOMAINS = _words(
    """
    example.com example.org example.net email.com mail.com test.com site.com company.com
    website.com
    """
)
_NOBODYS_DOMAINS = re.compile(
    r"^(?:(?:your|my)-?(?:domain|company|website|site|e?mail|business)|domain)\.[a-z]+$"
)
_SAMPLE_NAMES = _words(
    """
    you your name email e-mail user username someone somebody me john jane john.doe jane.doe
    johndoe janedoe jdoe john.smith abc xxx xyz sample example address max.mustermann mustermann
    """
)
_NOBODYS_NAMES = re.compile(
    r"^(?:your[._-]?(?:name|e?mail|address)|first(?:name)?[._]last(?:name)?|vorname[._]nachname"
    r"|prenom[._]nom|nombre[._]apellido|name[._]surname|[0-9a-f]{20,})$"
)


@dataclass(frozen=True, slots=True)
class Mention:
    """An address as a page gives it.

    Attributes:
        address: in lower case; its syntax is only roughly right.
        how: ``link`` (``mailto:``), ``data`` (JSON-LD) or ``text``.
    """

    address: str
    how: How


@dataclass(frozen=True, slots=True)
class Link:
    """A link of a page: the absolute URL, and the words a visitor clicks on."""

    url: str
    text: str


@dataclass(frozen=True, slots=True)
class Page:
    """What a page says, in the page's order."""

    mentions: tuple[Mention, ...]
    links: tuple[Link, ...]


def read_page(markup: str, url: str) -> Page:
    """Read a page of HTML.

    Args:
        markup: the page.
        url: where it was found, against which its links are resolved.
    """
    reader = _Reader(url)
    for token in tokens(markup):
        match token:
            case Text(text):
                reader.text(text)
            case Start(name, attributes):
                reader.start(name, attributes)
            case End(name):
                reader.end(name)
            case Raw(name, attributes, content):
                reader.raw(name, attributes, content)
    return reader.page()


def addresses_in(text: str) -> Iterator[str]:
    """The addresses in a visible text, ``info [at] firm [dot] example`` included, in lower case.

    Only bracketed words count as signs: "look at this dot com" is no address.
    """
    plain = _INVISIBLE.sub("", text).replace("\uff20", "@")
    plain = _BLANKS.sub(" ", _URL.sub(" ", plain))
    plain = _DOT.sub(".", _AT.sub("@", plain))
    for found in _ADDRESS.finditer(plain):
        address = found[0].lower()
        if not _is_no_address(address):
            yield address


def decode_cloudflare(code: str) -> str:
    """Cloudflare's protected address: hexadecimal, every byte XORed with the first."""
    try:
        key, *rest = bytes.fromhex(code)
        return bytes(byte ^ key for byte in rest).decode()
    except ValueError:
        return ""


def _is_no_address(address: str) -> bool:
    name, _, domain = address.rpartition("@")
    return (
        domain.rpartition(".")[2] in _FILE_ENDINGS
        or _NOBODYS_DOMAINS.match(domain) is not None
        or _NOBODYS_NAMES.match(name) is not None
        or (name in _SAMPLE_NAMES and domain in _SAMPLE_DOMAINS)
    )


def _mailto(href: str) -> str:
    """The recipients of a ``mailto:`` link, as text."""
    path, _, query = href[len("mailto:") :].partition("?")
    recipients = [path]
    recipients += [part[3:] for part in query.split("&") if part[:3].lower() == "to="]
    return " , ".join(unquote(one) for one in recipients)


def _structured_emails(content: str) -> Iterator[str]:
    """The values of ``email`` anywhere in a JSON-LD block."""
    try:
        todo: list[Any] = [json.loads(content)]
    except (ValueError, RecursionError):
        return  # a block that is no JSON says nothing
    while todo:
        one = todo.pop()
        if isinstance(one, list):
            todo.extend(reversed(one))
        elif isinstance(one, dict):
            values = one.get("email")
            for value in values if isinstance(values, list) else [values]:
                if isinstance(value, str):
                    yield value.removeprefix("mailto:")
            todo.extend(reversed(list(one.values())))


class _Reader:
    """Keeps just enough of the page's structure: what is open, and since where it is hidden."""

    def __init__(self, url: str) -> None:
        self._base = url
        self._based = False
        self._open: list[str] = []
        self._hidden: int | None = None  # how many elements are open outside the hidden one
        self._text: list[str] = []
        self._link: tuple[str, int] | None = None
        self._links: list[Link] = []
        self._mentions: list[Mention] = []

    def text(self, text: str) -> None:
        if self._hidden is None:
            self._text.append(text)

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._close_implied(name)
        self._break(name)
        if self._hidden is None:
            self._look_at(name, attributes)
        if name in _VOID:
            return
        if self._hidden is None and _is_hidden(name, attributes):
            self._hidden = len(self._open)
        self._open.append(name)

    def end(self, name: str) -> None:
        self._break(name)
        if name == "a":
            self._close_link()
        lowest = max(len(self._open) - _LOOK_BACK, 0)
        for index in range(len(self._open) - 1, lowest - 1, -1):
            if self._open[index] == name:
                self._close(index)
                return

    def raw(self, name: str, attributes: dict[str, str], content: str) -> None:
        self.start(name, attributes)
        if name == "script" and attributes.get("type", "").strip().lower() == "application/ld+json":
            for value in _structured_emails(content):
                self._mention(value, "data")
        self.end(name)

    def page(self) -> Page:
        self._close_link()
        for line in "".join(self._text).split(_BREAK):
            apart = self._mention(line.replace(_SEAM, " "), "text")
            if _SEAM in line:
                # info@<b>firm</b>.example is one word, but what merely touches is not: an address
                # that is whole by itself does not grow.
                self._mention(line.replace(_SEAM, ""), "text", unless_it_holds=apart)
        return Page(tuple(self._mentions), tuple(self._links))

    def _break(self, name: str) -> None:
        if self._hidden is None and name != "wbr":
            self._text.append(_SEAM if name in _INLINE else _BREAK)

    def _close_implied(self, name: str) -> None:
        if name in _INLINE or name in _VOID:
            return
        ends = _ENDS.get(name, frozenset()) | _P
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
        del self._open[index:]
        if self._hidden is not None and len(self._open) <= self._hidden:
            self._hidden = None

    def _look_at(self, name: str, attributes: dict[str, str]) -> None:
        if "data-cfemail" in attributes:
            self._mention(decode_cloudflare(attributes["data-cfemail"]), "text")
        href = attributes.get("href", "").strip()
        if name in ("a", "area"):
            self._close_link()
            self._follow(href)
            if name == "area":
                self._close_link()
        elif name in ("frame", "iframe"):
            self._follow(attributes.get("src", "").strip())
            self._close_link()
        elif name == "base" and href and not self._based:
            self._based = True
            self._base = _absolute(self._base, href) or self._base

    def _follow(self, href: str) -> None:
        if href[:7].lower() == "mailto:":
            self._mention(_mailto(href), "link")
        elif "/cdn-cgi/l/email-protection#" in href:
            self._mention(decode_cloudflare(href.rpartition("#")[2]), "link")
        elif (url := _absolute(self._base, href)) is not None:
            self._link = (url, len(self._text))

    def _close_link(self) -> None:
        if self._link is not None:
            url, since = self._link
            self._link = None
            words = "".join(self._text[since:])[: 2 * _LINK_TEXT].replace(_SEAM, "")
            words = " ".join(words.split())
            if len(self._links) < _MAX_LINKS:
                self._links.append(Link(url, words[:_LINK_TEXT]))

    def _mention(self, text: str, how: How, unless_it_holds: Iterable[str] = ()) -> list[str]:
        """Keep the addresses in a text, and return them."""
        kept = [
            address
            for address in islice(addresses_in(text), _MAX_MENTIONS - len(self._mentions))
            if not any(part in address for part in unless_it_holds)
        ]
        self._mentions += [Mention(address, how) for address in kept]
        return kept


def _is_hidden(name: str, attributes: dict[str, str]) -> bool:
    return (
        name == "template"
        or "hidden" in attributes
        or _HIDDEN_STYLE.search(attributes.get("style", "")) is not None
    )


def _absolute(base: str, href: str) -> str | None:
    """The absolute http(s) URL of a link without its fragment, or None where it is no such link."""
    if not href or href.startswith("#"):
        return None
    try:
        url = urljoin(base, href).partition("#")[0]
    except ValueError:
        return None
    return url if url.lower().startswith(("http://", "https://")) else None
