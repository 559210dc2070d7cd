"""Which pages of a site are worth a visit, the likeliest to show an address first; pure, no I/O."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

from leads_pandas.finding.domains import is_nowhere, name_of, registrable
from leads_pandas.finding.labels import NOTHING, Kind, promise_of, promise_of_path

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from leads_pandas.finding.page import Link

_NO_PAGE = re.compile(
    r"\.(?:png|jpe?g|gif|svg|webp|avif|ico|bmp|tiff?|pdf|zip|rar|gz|docx?|xlsx?|pptx?|od[tsp]|mp[34]"
    r"|webm|mov|avi|wav|css|js|mjs|swf|json|xml|rss|atom|ics|vcf|apk|exe|dmg|woff2?|ttf|eot|map|txt)$"
    r"|/cdn-cgi/|/wp-json/|/wp-admin/|/wp-login|/wp-content/|/xmlrpc|/feed/?$"
    # Copies of websites keep other hosts as folders.
    r"|/(?:www\.)?(?:\w+\.)?(?:google\w*|facebook|twitter|instagram|linkedin|youtube|pinterest|tiktok"
    r"|vimeo|xing|wa|whatsapp)\.(?:com|de|me)/"
    r"|/(?:cart|checkout|login|logout|register|signin|signup|warenkorb|account|my-account)(?:/|$)",
    re.IGNORECASE,
)
_INDEX = re.compile(r"/(?:index|default)\.(?:html?|php|aspx?)$", re.IGNORECASE)
PILE = re.compile(
    r"/(?:news|blogs?|aktuell\w*|artikel|articles?|actualites?|noticias|notizie|nieuws|posts?|magazin\w*"
    r"|products?|produkte?|produit\w*|productos?|prodotti|shop|store|tags?|categor\w+|kategorie|archiv\w*"
    r"|events?|veranstaltungen|termine|galer\w*|gallery|portfolio|projects?|projekte?|referenzen"
    r"|jobs?|forum|wiki|19\d\d|20\d\d)/.",
    re.IGNORECASE,
)
# Where guests write, and leave addresses of their own.
_GUESTS = re.compile(
    r"g(?:ae|ä|a)stebuch|guest-?book|livre-?d-?or\b|libro-?(?:de-?)?(?:visitas|firmas|ospiti)|gastenboek"
    r"|ksiega-?gosci|kniha-?(?:hostu|navstev)|vendegkonyv|g(?:ae|æ|ä)stebo[gk]|vieraskirja|gostevaya"
    r"|\b(?:forum|kommentare?|comments?|reviews?|bewertungen|rezensionen|opinie|recenz\w+)\b",
    re.IGNORECASE,
)
_HELPFUL = re.compile(r"\b(?:help|author|contact|me|license|copyright|publisher)\b")
# How soon each kind is visited; what is doubtful or one of many of its kind comes later.
_TURN = {
    Kind.CONTACT: 0.0,
    Kind.IMPRINT: 1.0,
    Kind.ABOUT: 4.0,
    Kind.PRIVACY: 5.0,
    Kind.LANGUAGE: 6.0,
    Kind.OTHER: 8.0,
}
_DOUBT, _ONE_MORE, _ALIKE = 1.4, 0.6, 1.5
FRAME = -1.0
_SHORT_LABEL = 3
_MENU_ENDS = 2


class Step(NamedTuple):
    """A page to visit: the sooner the smaller `turn`."""

    turn: float
    url: str
    kind: Kind


@lru_cache(maxsize=8192)
def kind_of(text: str, path: str) -> tuple[Kind, int]:
    """What a link leads to, by its words and its path, and how doubtful that is."""
    path = unquote(path)
    label = promise_of(text) if text else NOTHING
    by_path = promise_of_path(path)
    if PILE.search(path) and label.doubt > 0:
        return Kind.OTHER, 2
    best = min(label, by_path, key=lambda it: _TURN[it.kind] + _DOUBT * it.doubt)
    return best.kind, best.doubt


def choose(links: Iterable[Link], page: str, hosts: Collection[str]) -> list[Step]:
    """The links of a page worth following, the likeliest to show an address first.

    Pages that promise a contact may be anywhere on the site; others only beside or below the page,
    since many a small business is but a folder on somebody else's server.

    Args:
        links: in the page's order.
        page: the page's URL.
        hosts: those that are the site's.
    """
    folder = urlsplit(page).path.rpartition("/")[0] + "/"
    steps: dict[str, Step] = {}
    seen: dict[object, int] = {}
    known = [link for link in links if not _NO_PAGE.search(urlsplit(link.url).path)]
    menu = [link for link in known if link.menu]
    for link in known:
        parts = urlsplit(link.url)
        kind, doubt = kind_of(link.text, parts.path)
        if not _is_of_the_site(link.url, hosts, sure=doubt == 0 or kind < Kind.ABOUT):
            continue
        is_plain = kind is Kind.OTHER and not link.frame
        if is_plain and not parts.path.startswith(folder):
            continue
        if is_plain and _GUESTS.search(f"{unquote(parts.path)} {link.text}"):
            continue
        key = same(link.url)
        turn = _TURN[kind] + _DOUBT * doubt
        if link.frame:
            turn = FRAME
        elif kind is Kind.OTHER:
            turn = _other(link, ends_menu=link in menu[-_MENU_ENDS:])
        else:
            pattern = kind, re.sub(r"\d+", "0", parts.path)
            if key not in steps:
                turn += _ONE_MORE * seen.get(kind, 0) + _ALIKE * seen.get(pattern, 0)
                seen[kind] = seen.get(kind, 0) + 1
                seen[pattern] = seen.get(pattern, 0) + 1
        if key not in steps or turn < steps[key].turn:
            steps[key] = Step(turn, link.url, kind)
    return sorted(steps.values(), key=lambda step: step.turn)


def _other(link: Link, *, ends_menu: bool) -> float:
    """The turn of a page whose label is in no list: by place, shortness and what is said of it."""
    path = urlsplit(link.url).path
    turn = _TURN[Kind.OTHER] + 0.3 * min(path.strip("/").count("/"), 3)
    turn += 1.0 if len(link.text.split()) > _SHORT_LABEL or not link.text else 0.0
    turn += 2.0 if PILE.search(path) else 0.0
    turn -= 0.8 if link.menu else 0.0
    turn -= 0.4 if ends_menu else 0.0
    turn -= 2.5 if _HELPFUL.search(link.rel) else 0.0
    return turn


@lru_cache(maxsize=8192)
def same(url: str) -> str:
    """A URL without what makes no difference: its scheme, ``www.`` and the index page's name."""
    parts = urlsplit(url)
    host = (parts.netloc or "").lower().removeprefix("www.")
    return f"{host}{_INDEX.sub('/', parts.path or '/')}?{parts.query}"


@lru_cache(maxsize=8192)
def host_of(url: str) -> str:
    """The host and port of a URL, without ``www.`` and the usual ports."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = None
    host = (parts.hostname or "").removeprefix("www.")
    return host if port in (None, 80, 443) else f"{host}:{port}"


def _is_of_the_site(url: str, hosts: Collection[str], *, sure: bool) -> bool:
    host = host_of(url)
    if host in hosts:
        return True
    if not sure or is_nowhere(host) or ":" in host:
        return False
    known = [one for one in hosts if ":" not in one]
    # firm.com may have its contact page at firm.de.
    return registrable(host) in map(registrable, known) or name_of(host) in map(name_of, known)
