"""From a website to the addresses it publishes, each with an honest confidence.

The confidence is a rule of thumb, not a probability. An address starts with how it is published and
gains where it is published:

====================================================  =====
a ``mailto:`` link / structured data / visible text    0.60 / 0.55 / 0.50
its domain is the website's                           +0.25
the website has no domain to compare (an IP address)  +0.10
on the front page, a contact page or an imprint       +0.10
the DNS did not say whether the domain takes mail     -0.10
the DNS says that the domain takes none               0.05 in all
====================================================  =====

So 0.95 is the most, for a link on the contact page to an address of the site's own domain that
takes mail. Nothing is guessed: an address that no page shows is never returned.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from leads_pandas.finding.guard import FetchError
from leads_pandas.finding.manners import PAUSE, Manners, Visit
from leads_pandas.finding.reading import How, Link, Mention, Page, read_page
from leads_pandas.finding.verify import Mail, MailDomains, well_formed
from leads_pandas.models import Email

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from leads_pandas.finding.fetch import Fetcher
    from leads_pandas.finding.reply import Reply

log = logging.getLogger("leads_pandas.server")

SOURCE = "website"
MAX_EMAILS = 25

_PUBLISHED: dict[How, float] = {"link": 0.60, "data": 0.55, "text": 0.50}
_OWN_DOMAIN, _NO_DOMAIN, _GOOD_PAGE, _UNVERIFIED, _NO_MAIL = 0.25, 0.10, 0.10, -0.10, 0.05

_CONTACT = re.compile(
    r"contact|contatt|kontakt|contato|yhteys|kapcsolat|reach[\s_-]?us|get[\s_-]?in[\s_-]?touch"
    r"|write[\s_-]?to[\s_-]?us|nous[\s_-]?joindre|anfahrt|お問い合わせ|联系",
    re.IGNORECASE,
)
_IMPRINT = re.compile(
    r"impressum|imprint|mentions|colofon|legal|aviso|note[\s_-]?legali|terms", re.IGNORECASE
)
_ABOUT = re.compile(
    r"about|team|staff|people|who[\s_-]?we[\s_-]?are|[uü]e?ber[\s_-]?uns|a[\s_-]?propos|équipe|equipe"
    r"|chi[\s_-]?siamo|qui[eé]nes|over[\s_-]?ons|om[\s_-]?oss|visit",
    re.IGNORECASE,
)
_NO_PAGE = re.compile(
    r"\.(?:png|jpe?g|gif|svg|webp|avif|ico|pdf|zip|gz|docx?|xlsx?|pptx?|mp[34]|webm|css|js|xml"
    r"|json|rss|ics|vcf|apk|exe|dmg|woff2?)$|/cdn-cgi/|/wp-json/|/wp-admin/|/wp-login",
    re.IGNORECASE,
)
_INDEX = re.compile(r"/(?:index|default|home)\.(?:html?|php|aspx?)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Sighting:
    """An address, how it was published, and whether that page is one where addresses belong."""

    address: str
    how: How
    good_page: bool


class Finder:
    """Finds the addresses that websites publish.

    Args:
        fetcher: makes the requests.
        domains: says which domains take mail.
        max_pages: pages read of one site: the front page and those it links to.
        site_timeout: seconds for one site, everything included.
        pause: seconds between two pages of a host, at least.

    Safe to use from several threads.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        domains: MailDomains,
        *,
        max_pages: int = 8,
        site_timeout: float = 30.0,
        pause: float = PAUSE,
    ) -> None:
        self._manners = Manners(fetcher, pause=pause)
        self._domains = domains
        self._max_pages = max_pages
        self._site_timeout = site_timeout

    def find(self, website: str | None) -> tuple[Email, ...]:
        """Read a website; the most confident addresses come first.

        A site that cannot be reached, or does not want to be read, has none.

        Raises:
            Stopped: the fetcher was closed.
        """
        try:
            return self.look(website or "", time.monotonic() + self._site_timeout)
        except FetchError as error:
            log.debug("%s cannot be read: %s", website, error)
            return ()

    def look(self, website: str, deadline: float) -> tuple[Email, ...]:
        """Read a website until `deadline` (`time.monotonic`); the most confident come first.

        Raises:
            FetchError: it cannot be read, or shows no address on the pages that could be.
            Stopped: the fetcher was closed.
        """
        with Visit(self._manners, website, deadline) as visit:
            front = visit.front()
            sightings = _Crawl(visit, front, self._max_pages).read()
            host = urlsplit(front.url).hostname or ""
            emails = rank(sightings, host, self._takes_mail(deadline))
            if not emails and visit.trouble is not None:
                raise visit.trouble
        return emails

    def _takes_mail(self, deadline: float) -> Callable[[str], Mail]:
        def ask(domain: str) -> Mail:
            if time.monotonic() >= deadline:
                return Mail.UNKNOWN
            return self._domains.takes_mail(domain, aside=self._manners.fetcher.aside)

        return ask


class _Crawl:
    """One visit to one site: the front page, then what it links to, the likeliest pages first."""

    def __init__(self, visit: Visit, front: Reply, max_pages: int) -> None:
        self._visit = visit
        self._front = front
        self._max_pages = max_pages

    def read(self) -> list[Sighting]:
        """Read the site."""
        front = self._front.url
        page = self._parsed(self._front)
        sightings = _sightings(page.mentions, good_page=True)
        seen = {_same(front)}
        read = 1
        for link in choose(page.links, front):
            if read >= self._max_pages:
                break
            if _same(link.url) in seen:
                continue
            seen.add(_same(link.url))
            read += 1
            try:
                reply = self._visit.page(link.url)
            except FetchError as error:
                log.debug("%s is left out: %s", link.url, error)
                if time.monotonic() >= self._visit.deadline:
                    break
                continue
            if not _same_site(reply.url, front) and not _same_site(reply.url, link.url):
                continue  # a redirect to somebody else's site
            if _same(reply.url) != _same(link.url) and _same(reply.url) in seen:
                continue
            seen.add(_same(reply.url))
            found = self._parsed(reply).mentions
            sightings += _sightings(found, good_page=_kind(link) <= _IMPRINT_KIND)
        return sightings

    def _parsed(self, reply: Reply) -> Page:
        with self._visit.parsing:
            return read_page(reply.text, reply.url)


def choose(links: Iterable[Link], front: str) -> list[Link]:
    """The links worth following from a front page, the likeliest to show an address first.

    Pages that look like a contact page may be anywhere on the site; others only beside or below the
    front page, since many a small business is but a folder on somebody else's server.
    """
    folder = urlsplit(front).path.rpartition("/")[0] + "/"
    chosen = [
        link
        for link in links
        if _same_site(link.url, front)
        and not _NO_PAGE.search(urlsplit(link.url).path)
        and (_kind(link) < _OTHER_KIND or urlsplit(link.url).path.startswith(folder))
    ]
    return sorted(chosen, key=_kind)


_IMPRINT_KIND, _OTHER_KIND = 1, 3


def _kind(link: Link) -> int:
    """How likely a link leads to an address: 0 contact, 1 imprint, 2 about us, 3 anything else."""
    parts = urlsplit(link.url)
    words = f"{link.text} {parts.path.rpartition('/')[2]} {parts.path.rpartition('/')[0][-40:]}"
    for kind, pattern in enumerate((_CONTACT, _IMPRINT, _ABOUT)):
        if pattern.search(words):
            return kind
    return _OTHER_KIND


def rank(
    sightings: Iterable[Sighting], host: str, takes_mail: Callable[[str], Mail]
) -> tuple[Email, ...]:
    """Score what was seen, one answer per address, the most confident first.

    Args:
        sightings: what the pages show, in their order.
        host: the website's host.
        takes_mail: what the DNS says of a domain.
    """
    best: dict[str, float] = {}
    for one in sightings:
        address = well_formed(one.address)
        if address is not None:
            score = _PUBLISHED[one.how] + (_GOOD_PAGE if one.good_page else 0.0)
            score += _domain_bonus(address.rpartition("@")[2], host)
            best[address] = max(best.get(address, 0.0), score)
    likeliest = sorted(best, key=lambda address: -best[address])[:MAX_EMAILS]
    said = _all_said([address.rpartition("@")[2] for address in likeliest], takes_mail)
    emails = [
        Email(address, _verified(best[address], said[address.rpartition("@")[2]]), SOURCE)
        for address in likeliest
    ]
    return tuple(sorted(emails, key=lambda email: -(email.confidence or 0.0)))


def _all_said(domains: list[str], takes_mail: Callable[[str], Mail]) -> dict[str, Mail]:
    """Ask for each domain; a denial is believed once another domain has been shown to exist."""
    said = {one: takes_mail(one) for one in dict.fromkeys(domains)}
    if set(said.values()) > {Mail.UNKNOWN}:
        said |= {one: takes_mail(one) for one, mail in said.items() if mail is Mail.UNKNOWN}
    return said


def _verified(score: float, mail: Mail) -> float:
    if mail is Mail.REFUSED:
        return _NO_MAIL
    return round(score + (_UNVERIFIED if mail is Mail.UNKNOWN else 0.0), 2)


def _domain_bonus(domain: str, host: str) -> float:
    host = host.lower().rstrip(".").removeprefix("www.")
    domain = _ascii(domain)
    if _ascii(host) == domain or f".{host}".endswith(f".{domain}") or domain.endswith(f".{host}"):
        return _OWN_DOMAIN
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return _NO_DOMAIN if "." not in host else 0.0
    return _NO_DOMAIN


def _ascii(domain: str) -> str:
    try:
        return domain.encode("idna").decode().lower()
    except UnicodeError:
        return domain.lower()


def _sightings(mentions: Iterable[Mention], *, good_page: bool) -> list[Sighting]:
    return [Sighting(one.address, one.how, good_page) for one in mentions]


def _same(url: str) -> str:
    """A URL without what makes no difference: its scheme, ``www.`` and the index page's name."""
    parts = urlsplit(url)
    host = (parts.netloc or "").lower().removeprefix("www.")
    return f"{host}{_INDEX.sub('/', parts.path or '/')}?{parts.query}"


def _same_site(one: str, other: str) -> bool:
    first, second = urlsplit(one), urlsplit(other)
    return (first.hostname or "").removeprefix("www.") == (second.hostname or "").removeprefix(
        "www."
    ) and (first.port == second.port or {first.port, second.port} <= {None, 80, 443})
