"""What a page says: the addresses on it, the links to other pages, who it says it is; pure, no I/O.

An address is taken only where the page publishes it: in a link to write to, in text that a visitor
sees, in a cloak that scripts take off, in a form's recipient, or in data made for machines.
Comments, what is hidden, and plain strings in scripts are not read: traps for harvesters stand
there.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import replace
from itertools import islice
from urllib.parse import unquote, urlsplit

from leads_pandas.finding.addresses import (
    addresses_in,
    find_addresses,
    hints_in,
    is_address,
    lowered,
    plain,
    understand,
    with_sign,
)
from leads_pandas.finding.cloaks import (
    called,
    in_attributes,
    in_parts,
    put_together,
    uncloaked,
    writers,
)
from leads_pandas.finding.data import linked_emails, plain_emails, shown_texts, structured_emails
from leads_pandas.finding.domains import is_nowhere, registrable
from leads_pandas.finding.hrefs import (
    MAIL_SCHEME,
    NO_PAGE,
    RECIPIENT,
    absolute,
    mail_of,
    recipients,
)
from leads_pandas.finding.markup import BLOCK, LINE, SEAM, Element, Outline, read_outline
from leads_pandas.finding.page import How, Link, Mention, Page

_MAX_MENTIONS, _MAX_LINKS, _MAX_SCRIPTS = 500, 5000, 500
# Letters of lines with a sign that are looked at, a line counting for some more.
_MAX_EFFORT, _BLOCK_EFFORT = 400_000, 50
_LINK_TEXT, _BEFORE, _MAX_STATE = 200, 220, 200_000
_LAST = 120
_SPLASH, _SIGN, _LONG, _MAX_INCLUDED = 1500, 20, 4000, 5

_SIGNS = re.compile(f"[{SEAM}{LINE}{BLOCK}]+")
_META_DATA = re.compile(
    r"^(?:og:email|business:contact_data:email|email|contact|reply-to|replyto|dc\.publisher\.address"
    r"|contactemail|contact-email)$",
    re.IGNORECASE,
)
_META_TEXT = re.compile(
    r"^(?:(?:og:|twitter:|dc\.)?description|abstract|author|publisher|copyright|dc\.(?:creator|publisher)\S*)$",
    re.IGNORECASE,
)
_NAMES = re.compile(r"^(?:og:site_name|application-name|author|og:title)$", re.IGNORECASE)
_REFRESH = re.compile(r"^\s*[\d.]*\s*[;,]?\s*url\s*=\s*['\"]?([^'\"]+)", re.IGNORECASE)
_JUMP = re.compile(
    r"(?:location(?:\.href)?\s*=|location\.(?:replace|assign)\()\s*(?:encodeURI\()?[\"']([^\"'<>]{1,300})[\"']"
)
_SCRIPTED_LINK = re.compile(
    r"[\"'](?:href[\"']?\s*:\s*[\"'])?((?:https?:)?/{1,2}[\w%./-]{2,120}|[\w%/-]{2,60}\.(?:html?|php))[\"']"
)
# Where a page names files that are parts of it: elements, attributes, calls of scripts.
_PARTS = {"frame": "src", "iframe": "src", "embed": "src", "object": "data"}
_INCLUDES = frozenset(
    ("w3-include-html", "include-html", "data-include", "data-include-html", "hx-get", "data-load")
)
_INCLUDED = re.compile(
    r"(?:\.load|fetch|\.get|include\w{0,20}|load\w{0,20})\([^()\n]{0,60}?[\"'`]((?:[\w./-]{1,100}\.(?:html?|inc)|[\w./-]{0,60}(?:header|footer|nav|menu)\w{0,20}\.php))\b"
)
_STATE = re.compile(
    r"__(?:NUXT|NEXT_DATA|INITIAL_STATE|PRELOADED_STATE|APOLLO_STATE|remixContext)|__next_f\.push"
)
_ONCLICK = re.compile(
    r"(?:location(?:\.href)?\s*=|(?:open|assign|navigate|replace)\()\s*['\"]([^'\"]{1,300})['\"]"
)
_PAGE_FILE = re.compile(r"[\w%./-]{1,100}\.html?$", re.IGNORECASE)
_PATH = re.compile(r"((?:https?:/)?/[\w%./?=&-]{1,200})$")
_SCRIPTED_PAGE = re.compile(r"['\"]([\w%/.-]{1,120}\.(?:html?|php\d?|aspx?))['\"]", re.IGNORECASE)
_SIGN_ICON = re.compile(r"(?:^|[\s_-])at(?:$|\s)")
_MAIL_ICON = re.compile(r"envelope|\bmail", re.IGNORECASE)
_SAYS_CONTACT = re.compile(r"contact|kontakt", re.IGNORECASE)
_JAVASCRIPT_TYPES = ("", "text/javascript", "application/javascript", "module")


def read_page(markup: str, url: str) -> Page:
    """Read a page of HTML.

    Args:
        markup: the page.
        url: where it was found, against which its links are resolved.
    """
    return _Reader(read_outline(markup), url).page()


def read_script(script: str, url: str) -> Page:
    """Read a script file of a page, as if it stood in the page; it may make all of the page.

    Args:
        script: what it says.
        url: the page's, against which links are resolved.
    """
    page = _Reader(Outline(scripts=[("", script[:_MAX_STATE])]), url).page()
    mentions = [Mention(one.lower(), "link") for one in linked_emails(script)]
    for said in (*structured_emails(script), *shown_texts(script)):
        mentions += [Mention(one, "data") for one in addresses_in(said)]
    return replace(page, mentions=(*page.mentions, *mentions[:_MAX_MENTIONS]))


class _Reader:
    """Finds addresses and links in an outline."""

    def __init__(self, outline: Outline, url: str) -> None:
        self._outline = outline
        self._text = outline.text
        self._base = url
        self._host = host = urlsplit(url).hostname or ""
        self._own = (
            ""
            if is_nowhere(host) and not host.endswith((".example", ".test"))
            else registrable(host)
        )
        self._names = [outline.title]
        self._links: list[Link] = []
        self._mentions: list[Mention] = []
        self._jump: str | None = None
        self._frames: list[str | None] = []
        self._scripts: list[str] = []
        self._footers = [edge for pair in outline.footers for edge in pair]
        self._inserts: dict[int, str] = {}
        self._writers: set[str] = set().union(
            *(writers(content) for _, content in outline.scripts[:_MAX_SCRIPTS])
        )
        self._uncloaked = 0

    def page(self) -> Page:
        based = False
        for element in self._outline.elements:
            if element.name == "base" and not based and element.attributes.get("href"):
                based = True
                base = absolute(self._base, element.attributes["href"]) or self._base
                if not self._own or registrable(urlsplit(base).hostname or "") == self._own:
                    self._base = base  # else a copy of a page from elsewhere
            else:
                self._element(element)
        for kind, content in self._outline.scripts[:_MAX_SCRIPTS]:
            self._script(kind, content)
        frames = [one for one in self._frames if one]
        if frames and not any(urlsplit(one).hostname == self._host for one in frames):
            self._jump = self._jump or frames[0]  # the site lies elsewhere, behind a better name
        self._read_text()
        return Page(
            tuple(self._mentions),
            tuple(self._links),
            self._jump,
            " | ".join(name for name in self._names if name)[:600],
            self._outline.language,
            tuple(self._scripts),
        )

    def _element(self, element: Element) -> None:
        name, attributes = element.name, element.attributes
        if name in ("a", "area"):
            self._anchor(element)
        elif name in _PARTS:
            self._link(attributes.get(_PARTS[name], ""), element, frame=True)
            if "srcdoc" in attributes:
                self._cloaked(attributes["srcdoc"], element)
            if name == "frame":
                self._frames.append(absolute(self._base, attributes.get("src", "")))
        elif name == "meta":
            self._meta(element)
        elif name == "img":
            self._image(element)
        elif name == "script" and "src" in attributes:
            url = absolute(self._base, attributes["src"]) or ""
            if urlsplit(url).hostname == urlsplit(self._base).hostname:
                self._scripts.append(url)
        elif name == "form" and "@" in attributes.get("action", ""):
            action = attributes["action"]
            instead = None if MAIL_SCHEME.match(action) else ""
            self._published(unquote(action).replace("/", " "), "link", element, instead=instead)
        elif name in ("form", "param") and _PAGE_FILE.match(
            attributes.get("action") or attributes.get("value") or ""
        ):  # menus of buttons
            self._link(attributes.get("action") or attributes["value"], element)
        elif name == "input" and attributes.get("value"):
            self._input(element)
        elif name == "link" and "mailto:" in attributes.get("href", "").lower():
            self._published(recipients(attributes.get("href", "")), "data", element)
        elif name == "option" and "@" in attributes.get("value", ""):
            self._published(attributes["value"], "data", element)
        elif name == "option" and "/" in attributes.get("value", ""):
            self._link(attributes["value"], element)
        elif name == "body" and (found := _ONCLICK.search(attributes.get("onload", ""))):
            self._jump = self._jump or absolute(self._base, found[1])
        elif name in ("i", "span", "svg") and _SIGN_ICON.search(attributes.get("class", "")):
            before = self._text[max(element.start - _SIGN, 0) : element.start].rstrip(SEAM)[-1:]
            after = self._text[element.start : element.start + _SIGN].lstrip(SEAM)[:1]
            if before.isalnum() and after.isalnum():
                self._inserts[element.start] = "@"
        for said in (attributes.get("title", ""), attributes.get("aria-label", "")):
            if "@" in said:
                self._published(said, "text", element)
        for include in _INCLUDES & attributes.keys():
            self._link(attributes[include], element, frame=True)
        if attributes.get("itemprop", attributes.get("property", "")).rpartition(":")[2] == "email":
            self._published(recipients(attributes.get("content", "")), "data", element)
        if attributes.get("href", "")[:11].lower() == "javascript:":
            script = unquote(attributes["href"])
            for value in uncloaked(script):
                self._cloaked(value, element)
            self._called(script, element)
        if "onclick" in attributes:
            self._called(attributes["onclick"], element)
        if name != "script":  # what a tracker is told
            for value in in_attributes(attributes):
                self._cloaked(value, element)
            for value in in_parts(attributes, self._own) if self._own else ():
                self._published(value, "link", element)
        clicked = attributes.get("onclick") or attributes.get("data-href")
        if clicked and (found := _ONCLICK.search(clicked) or _PATH.match(clicked)):
            self._link(found[1], element)

    def _anchor(self, element: Element) -> None:
        href = element.attributes.get("href", "").strip()
        if not href or href.startswith("#") or NO_PAGE.match(href):
            return
        if named := mail_of(href):
            end = min(element.end, element.start + _LINK_TEXT)
            shown = plain(_SIGNS.sub("", self._text[element.start : end])).strip().lower()
            instead = shown if is_address(shown) else None
            self._published(named, "link", element, instead=instead)
        elif href[:11].lower() == "javascript:":
            if page := _SCRIPTED_PAGE.search(href):
                self._link(page[1], element)
        else:
            self._link(href, element)

    def _called(self, script: str, element: Element) -> None:
        """What a click runs."""
        for value in called(script):
            self._cloaked(value, element)
        self._put_together(script, element)

    def _put_together(self, script: str, element: Element) -> None:
        for value in put_together(script, self._own, self._writers) if self._own else ():
            self._published(value, "link", element)

    def _input(self, element: Element) -> None:
        """What a form sends mail to, and what it shows and does not ask for."""
        attributes = element.attributes
        if attributes.get("type", "").lower() == "hidden":
            if RECIPIENT.match(attributes.get("name", "").lower()):
                self._published(attributes["value"], "data", element, instead="")
        elif "readonly" in attributes or "disabled" in attributes:
            self._published(attributes["value"], "text", element)

    def _meta(self, element: Element) -> None:
        attributes = element.attributes
        content = attributes.get("content", "")
        named = attributes.get("name") or attributes.get("property") or ""
        if attributes.get("http-equiv", "").lower() == "refresh":
            if (found := _REFRESH.match(content)) and self._jump is None:
                self._jump = absolute(self._base, found[1].strip())
        elif attributes.get("http-equiv", "").lower() == "reply-to" or _META_DATA.match(named):
            self._published(recipients(content), "data", element)
        elif _META_TEXT.match(named):
            described = "description" in named or named == "abstract"
            self._published(content, "meta", element, instead=None if described else "")
        elif _NAMES.match(named):
            self._names.append(content[:200])

    def _image(self, element: Element) -> None:
        """A picture of a sign stands for the sign, one of an address for the address."""
        alt = element.attributes.get("alt", "").strip()
        if "@" in (asked := unquote(element.attributes.get("src", "").partition("?")[2])):
            self._published(asked, "text", element)  # a picture made of an address
        picture = re.search(
            r"(?:^|/)_?-?(?:(?:e-?mail|icon|img)[_-])?(?:at|arobase|arobas|arroba|chiocciola|aet|klammeraffe)"
            r"[_-]?(?:sign|symbol|zeichen)?(?:[_-](?:small|klein|\d))?\.\w{3,4}$",
            element.attributes.get("src", "").lower(),
        )
        if len(alt) > len("a@b.cd") and any(sign in alt for sign in ("@", "(at)", "[at]", " at ")):
            self._published(alt, "text", element)
        elif alt and len(alt) < _SIGN and hints_in(f"[{alt.strip('[](){}')}]"):
            self._inserts[element.start] = f"[{alt.strip('[](){}')}]" if "@" not in alt else "@"
        elif picture is not None:
            self._inserts[element.start] = "@"

    def _link(self, href: str, element: Element, *, frame: bool = False) -> None:
        url = absolute(self._base, href)
        if url is None or len(self._links) >= _MAX_LINKS:
            return
        label = _SIGNS.sub(
            " ",
            self._text[element.start : min(element.end, element.start + 2 * _LINK_TEXT)].replace(
                SEAM, ""
            ),
        )
        label = " ".join(label.split())[:_LINK_TEXT]
        if not label:
            attributes = element.attributes
            label = (
                attributes.get("aria-label")
                or attributes.get("title")
                or attributes.get("alt")
                or ""
            )
            label = " ".join(label.split())[:_LINK_TEXT]
        if not label and element.end > element.start:
            label = self._image_label(element)
        rel = element.attributes.get("rel", "")
        marks = f"{element.attributes.get('class', '')} {element.attributes.get('itemtype', '')}"
        if _SAYS_CONTACT.search(marks):
            rel += " contact"
        self._links.append(
            Link(url, label, rel.strip().lower(), element.menu or element.footer, frame)
        )

    def _image_label(self, link: Element) -> str:
        elements = self._outline.elements
        at = bisect_right(elements, link.start, key=lambda one: one.start) - 1
        for one in elements[max(at - 3, 0) : at + 4]:
            if not link.start <= one.start <= link.end:
                continue
            attributes = one.attributes
            if one.name == "img":
                name = attributes.get("src", "").rpartition("/")[2].partition(".")[0]
                return (attributes.get("alt") or attributes.get("title") or name)[:_LINK_TEXT]
            if one.name in ("i", "span", "svg") and _MAIL_ICON.search(attributes.get("class", "")):
                return "mail"
        return ""

    def _script(self, kind: str, content: str) -> None:
        end = Element("script", {}, len(self._text), len(self._text), False, False)
        if "ld+json" in kind:
            for value in (*structured_emails(content), *linked_emails(content)):
                self._published(recipients(value), "data", None)
        elif kind in _JAVASCRIPT_TYPES:
            for value in uncloaked(content):
                self._cloaked(value, end)
            self._put_together(content, end)
            if (
                self._jump is None
                and len(self._text) < _SPLASH
                and (found := _JUMP.search(content))
            ):
                self._jump = absolute(self._base, found[1])
            self._scripted_links(content, end)
            if _STATE.search(content):
                self._state(content[:_MAX_STATE].replace('\\"', '"'))
        elif kind == "application/json":
            self._scripted_links(content, end)
            self._state(content[:_MAX_STATE])

    def _state(self, content: str) -> None:
        """What a framework shows once it runs: of addresses, those at the site's own domain."""
        if not self._own:
            return
        for value in (*structured_emails(content), *plain_emails(content)):
            if registrable(value.rpartition("@")[2].lower()) == self._own:
                self._published(value, "data", None)

    def _scripted_links(self, content: str, end: Element) -> None:
        content = content[:_MAX_STATE].replace("\\/", "/")
        for part in islice(_INCLUDED.findall(content), _MAX_INCLUDED):
            self._link(part, end, frame=True)
        for path in islice(_SCRIPTED_LINK.findall(content), 200):
            self._link(path, end)

    def _cloaked(self, value: str, element: Element) -> None:
        """A text or piece of markup that a script makes."""
        self._uncloaked += len(value)
        if self._uncloaked > _MAX_EFFORT:
            return
        if "<" in value:
            outline = read_outline(value)
            for one in outline.elements:
                if one.name == "a" and (href := one.attributes.get("href", "")):
                    if MAIL_SCHEME.match(href):
                        self._published(recipients(href), "link", element)
                    else:
                        self._link(
                            href,
                            Element(
                                "a",
                                {
                                    "title": plain(
                                        _SIGNS.sub(" ", outline.text[one.start : one.end])
                                    )
                                },
                                element.start,
                                element.start,
                                False,
                                False,
                            ),
                        )
            self._published(_SIGNS.sub("", outline.text), "text", element)
        else:
            self._published(recipients(value), "link", element)

    def _published(
        self, text: str, how: How, element: Element | None, *, instead: str | None = None
    ) -> None:
        """Keep the addresses in what an element publishes."""
        if len(text) > _LONG or len(self._mentions) >= _MAX_MENTIONS:
            return
        for address in islice(addresses_in(text, self._own), _MAX_MENTIONS):
            if element is None:
                self._mentions.append(Mention(address, how))
            else:
                here = self._text[max(element.start - 2 * _BEFORE, 0) : element.start]
                last = self._is_last(element.start)
                unseen = instead if instead != address else None
                self._mentions.append(
                    Mention(address, how, _tail(here), element.footer, last, unseen)
                )

    def _read_text(self) -> None:
        text = with_sign(self._with_signs())
        spaced = text.replace(SEAM, " ")
        hints = hints_in(spaced, self._own)
        if not hints:
            return
        effort, end = _MAX_EFFORT, -1
        for found in re.finditer("|".join(map(re.escape, hints)), lowered(spaced)):
            if found.start() < end:
                continue  # in the block of the one before
            start = text.rfind(BLOCK, 0, found.start()) + 1
            end = text.find(BLOCK, found.end()) % (len(text) + 1)
            before = text[max(start - 3 * _BEFORE, 0) : start].split(BLOCK)
            block = text[start : min(end, start + effort)]
            if block.lstrip()[:1] == "@" and len(before) > 1 and len(before[-2].split()) == 1:
                block = before[-2].strip() + block.lstrip()  # info | @firm.example, in two cells
            self._read_block(
                block, " ".join(before), self._in_footer(start), self._is_last(found.start())
            )
            effort -= end - start + _BLOCK_EFFORT
            if effort < 0 or len(self._mentions) >= _MAX_MENTIONS:
                return

    def _with_signs(self) -> str:
        """The page's text with the signs that pictures stand for."""
        pieces, since = [], 0
        for place, sign in sorted(self._inserts.items()):
            pieces += [self._text[since:place], sign]
            since = place
        return "".join((*pieces, self._text[since:]))

    def _read_block(self, block: str, before: str, footer: bool, last: bool) -> None:
        apart = plain(block.replace(SEAM, " ").replace(LINE, " "))
        whole = self._keep(apart, Mention("", "text", before, footer, last), [])
        if SEAM in block or LINE in block:
            # info@<b>firm</b>.example is one word, but what merely touches is not: an address that
            # is whole by itself does not grow.
            together = plain(block.replace(SEAM, "").replace(LINE, ""))
            self._keep(together, Mention("", "text", before, footer, last), whole)

    def _keep(self, line: str, like: Mention, whole: list[str]) -> list[str]:
        """Keep the addresses of a line but those that overlap one that is whole."""
        kept: list[str] = []
        understood = understand(line, self._own)
        room = max(_MAX_MENTIONS - len(self._mentions), 0)
        for found in islice(find_addresses(understood, self._own), room):
            if any(part in found.address or found.address in part for part in whole):
                continue
            kept.append(found.address)
            said = f"{like.before} {understood[max(found.start - _BEFORE, 0) : found.start]}"
            self._mentions.append(like._replace(address=found.address, before=_tail(said)))
        return kept

    def _is_last(self, position: int) -> bool:
        return position > max(len(self._text) - _LAST, len(self._text) / 2)

    def _in_footer(self, position: int) -> bool:
        return bisect_right(self._footers, position) % 2 == 1


def _tail(text: str) -> str:
    return " ".join(_SIGNS.sub(" ", text).split())[-_BEFORE:]
