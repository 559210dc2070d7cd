"""One visit to one site: the front page, then the pages that likely show an address.

No page is read twice. Where the front page leads nowhere (a menu made by scripts), the sitemap and
a few usual paths are tried, each once. How a page is asked for is the visit's business (`manners`).
"""

from __future__ import annotations

import contextlib
import logging
import re
import time
from collections import Counter
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from leads_pandas.finding.belonging import Judged, Place, Sighting, Site, judge
from leads_pandas.finding.guard import FetchError
from leads_pandas.finding.labels import Kind
from leads_pandas.finding.links import FRAME, PILE, Step, choose, host_of, same
from leads_pandas.finding.manners import front_pages
from leads_pandas.finding.page import Link, Page
from leads_pandas.finding.reading import read_page, read_script

if TYPE_CHECKING:
    from leads_pandas.finding.manners import Visit
    from leads_pandas.finding.reply import Reply

log = logging.getLogger("leads_pandas.server")

_SITEMAP_BYTES = 500_000
_FEW_LINKS, _SPLASH = 5, 2
# Pages of a kind wait for each of it that had no address: many are the same in another language.
_IN_VAIN = 2.0
# What scripts that write a site's menu or footer are called, and those that make all of a page.
_MENU_SCRIPT = re.compile(
    r"/[\w.-]*(?:menu|navi?|header|footer|layout|include|component|partial|kontakt|contact)[\w.-]*\.js$",
    re.IGNORECASE,
)
_APPLICATION = re.compile(
    r"/(?:main|app|index|bundle|client|entry|script)\b[\w.-]*\.m?js$", re.IGNORECASE
)
_LARGE = 64 * 1024  # bytes of a page, of which one is taken apart at a time
_JUMPS, _SCRIPTS = 3, 2

_PLACES = {
    Kind.CONTACT: Place.CONTACT,
    Kind.IMPRINT: Place.IMPRINT,
    Kind.ABOUT: Place.ABOUT,
    Kind.PRIVACY: Place.PRIVACY,
}
_LOCATION = re.compile(r"<loc>\s*(?:<!\[CDATA\[)?\s*([^<\]\s]{1,500})", re.IGNORECASE)
# Where contact pages and imprints usually are, by the language of the page or the country's domain.
_USUAL: dict[str, tuple[str, ...]] = {
    "de": ("/impressum", "/kontakt", "/impressum.html", "/contact"),
    "at": ("/impressum", "/kontakt", "/impressum.html", "/contact"),
    "ch": ("/kontakt", "/impressum", "/contact", "/contatto"),
    "nl": ("/contact", "/contact.html", "/over-ons", "/colofon"),
    "fr": ("/contact", "/mentions-legales", "/nous-contacter", "/contact.html"),
    "es": ("/contacto", "/aviso-legal", "/contact", "/contacto.html"),
    "pt": ("/contato", "/contacto", "/contactos", "/contact"),
    "br": ("/contato", "/fale-conosco", "/contact", "/contato.html"),
    "it": ("/contatti", "/contatti.html", "/contact", "/chi-siamo"),
    "pl": ("/kontakt", "/kontakt.html", "/contact", "/o-nas"),
    "cs": ("/kontakt", "/kontakty", "/contact", "/kontakt.html"),
    "cz": ("/kontakt", "/kontakty", "/contact", "/kontakt.html"),
    "sk": ("/kontakt", "/kontakty", "/contact", "/kontakt.html"),
    "hu": ("/kapcsolat", "/kapcsolat.html", "/elerhetoseg", "/contact"),
    "fi": ("/yhteystiedot", "/ota-yhteytta", "/contact", "/yhteystiedot.html"),
    "sv": ("/kontakt", "/kontakta-oss", "/contact", "/om-oss"),
    "se": ("/kontakt", "/kontakta-oss", "/contact", "/om-oss"),
    "da": ("/kontakt", "/kontakt-os", "/contact", "/om-os"),
    "dk": ("/kontakt", "/kontakt-os", "/contact", "/om-os"),
    "no": ("/kontakt", "/kontakt-oss", "/contact", "/om-oss"),
    "nb": ("/kontakt", "/kontakt-oss", "/contact", "/om-oss"),
    "tr": ("/iletisim", "/iletisim.html", "/contact", "/hakkimizda"),
    "ru": ("/contacts", "/kontakty", "/contact", "/kontakti"),
    "uk": ("/contacts", "/kontakty", "/contact", "/kontakti"),
    "ro": ("/contact", "/contact.html", "/despre-noi", "/contacte"),
    "ja": ("/contact", "/company", "/inquiry", "/privacy"),
    "jp": ("/contact", "/company", "/inquiry", "/privacy"),
}
_USUAL_ELSEWHERE = ("/contact", "/contact-us", "/contact.html", "/impressum")


class Crawl:
    """Reads a site.

    Args:
        visit: fetches its pages.
        website: where the site is said to be.
        max_pages: pages read at most, the front page included.
    """

    def __init__(self, visit: Visit, website: str, max_pages: int) -> None:
        self._visit = visit
        self._front = website
        self._max_pages = max_pages
        self._hosts = [urlsplit(one).hostname or "" for one in front_pages(website)[:1]]
        self._title = ""
        self._seen: set[str] = set()
        self._scripts: tuple[str, ...] = ()
        self._bodies: set[int] = set()  # their hashes
        self._read = 0
        self._kinds = Counter[Kind]()  # of the pages visited
        self._steps: dict[str, Step] = {}
        self._sightings: list[Sighting] = []
        self._judged: tuple[int, Site, Judged] | None = None

    def judged(self) -> Judged:
        """What was seen so far, and whose it is."""
        folder = urlsplit(self._front).path.strip("/").partition("/")[0]
        site = Site(tuple(dict.fromkeys(self._hosts)), self._title, folder.partition(".")[0])
        if self._judged is None or self._judged[:2] != (len(self._sightings), site):
            self._judged = len(self._sightings), site, judge(self._sightings, site)
        return self._judged[2]

    def read(self) -> None:
        """Read the site.

        Raises:
            FetchError: its front page cannot be had.
        """
        language = self._front_page(self._visit.front())
        if len(self._steps) <= _SPLASH and not self._sightings:
            # What a splash page leads to is the front page.
            self._steps = {
                key: step._replace(turn=FRAME)
                if step.kind is Kind.OTHER and not PILE.search(step.url)
                else step
                for key, step in self._steps.items()
            }
        promised = any(step.kind < Kind.ABOUT for step in self._steps.values())
        self._go_on(Kind.LANGUAGE, self._max_pages)
        promised = promised or any(one.place < Place.FRONT for one in self._sightings)
        bare = sum(step.kind is Kind.OTHER for step in self._steps.values()) < _FEW_LINKS
        if not bare:
            self._go_on(
                Kind.OTHER, self._max_pages if promised else self._max_pages - self._max_pages // 4
            )
        if not self._has_any():
            self._ask_around(language)
        self._go_on(Kind.OTHER, self._max_pages)

    def _front_page(self, reply: Reply) -> str:
        """Read the front page and what it jumps to; returns the site's language."""
        url = self._front = reply.url
        asked: set[str] = set()  # exactly: a splash page sends from "/" to "/index.php"
        for _ in range(_JUMPS):
            page = self._keep(reply, url, Place.FRONT)
            self._title = self._title or page.title
            self._scripts += page.scripts
            asked |= {url, reply.url}
            if page.jump is None or page.jump in asked or self._read >= self._max_pages:
                break
            if not self._may_jump(page.jump):
                break
            try:
                reply, url = self._visit.page(page.jump), page.jump
            except FetchError as error:
                log.debug("%s is left out: %s", page.jump, error)
                break
        return page.language

    def _may_jump(self, url: str) -> bool:
        self._hosts.append(urlsplit(url).hostname or "")
        return bool(self._hosts[-1])

    def _go_on(self, last: Kind, pages: int) -> None:
        """Visit what is known to be worth it, as far as kind `last`, until `pages` are read."""
        while self._read < pages and time.monotonic() < self._visit.deadline:
            steps = [one for one in self._steps.values() if one.kind <= last or one.turn < 0]
            if not steps:
                return
            waits = 0.0 if self._sightings else _IN_VAIN
            step = min(steps, key=lambda one: one.turn + waits * self._kinds[one.kind])
            self._kinds[step.kind] += step.kind < Kind.OTHER and step.turn >= 0
            del self._steps[same(step.url)]
            self._read += 1
            if not self._follow(step):
                return

    def _follow(self, step: Step) -> bool:
        """Visit a page; False where the time is up."""
        self._seen.add(same(step.url))
        try:
            reply = self._visit.page(step.url)
        except FetchError as error:
            log.debug("%s is left out: %s", step.url, error)
            return time.monotonic() < self._visit.deadline
        asked, got = host_of(step.url), host_of(reply.url)
        known = {host_of(f"http://{host}") for host in self._hosts}
        if got not in known and got != asked and got != host_of(self._front):
            return True  # a redirect to somebody else's site
        if same(reply.url) != same(step.url) and same(reply.url) in self._seen:
            return True
        self._read -= 1
        self._keep(
            reply,
            step.url,
            Place.FRONT if step.turn < 0 else _PLACES.get(step.kind, Place.OTHER),
            step,
        )
        return True

    def _keep(self, reply: Reply, asked: str, place: Place, step: Step | None = None) -> Page:
        """Keep what a page says and where it leads."""
        self._read += 1
        self._seen |= {same(asked), same(reply.url)}
        self._bodies.add(hash(reply.body))
        host = urlsplit(reply.url).hostname or ""
        if place is Place.FRONT and host not in self._hosts:
            self._hosts.append(host)
        with self._visit.parsing if len(reply.body) > _LARGE else contextlib.nullcontext():
            page = read_page(reply.text, reply.url)
        self._visit.forget_page()
        self._sightings += [Sighting(one, place, same(reply.url)) for one in page.mentions]
        whole = place is Place.FRONT or (step is not None and step.kind is Kind.LANGUAGE)
        links = list(page.links)
        if page.jump is not None and place is not Place.FRONT:
            links.append(Link(page.jump, "", frame=True))
        hosts = {host_of(f"http://{one}") for one in self._hosts} | {host_of(reply.url)}
        for one in choose(links, reply.url, hosts):
            self._add(one, place, whole=whole)
        return page

    def _add(self, step: Step, place: Place, *, whole: bool) -> None:
        """Remember a page to visit; a page inside the site leads to contact pages alone."""
        if not whole and step.kind >= Kind.LANGUAGE and step.turn >= 0:
            return
        if step.turn < 0 and not whole and place is Place.OTHER:
            return
        key = same(step.url)
        if key not in self._seen and (key not in self._steps or step.turn < self._steps[key].turn):
            self._steps[key] = step

    def _has_any(self) -> bool:
        """Whether an address that will be given was seen."""
        judged = self.judged()
        return len(judged.seen) > len(judged.refused)

    def _ask_around(self, language: str) -> None:
        """Look for pages that nothing visible links to: the sitemap, then the usual paths."""
        if self._read >= self._max_pages or time.monotonic() >= self._visit.deadline:
            return
        base = self._front
        self._read_menu_script(base)
        self._go_on(Kind.PRIVACY, self._max_pages)
        if self._has_any():
            return
        for step in choose([Link(url, "") for url in self._sitemap(base)], base, {host_of(base)}):
            if step.kind < Kind.LANGUAGE or len(self._steps) < _FEW_LINKS:
                self._add(step, Place.FRONT, whole=True)
        self._go_on(Kind.PRIVACY, self._max_pages)
        country = (urlsplit(base).hostname or "").rpartition(".")[2]
        usual = _USUAL.get(language[:2]) or _USUAL.get(country) or _USUAL_ELSEWHERE
        if (ending := re.search(r"\.(?:php\d?|html?|aspx?)$", urlsplit(base).path)) is not None:
            usual = tuple(dict.fromkeys(path.partition(".")[0] + ending[0] for path in usual))
        folder = urlsplit(base).path.rpartition("/")[0]
        for path in usual:
            if self._has_any() or self._read >= self._max_pages:
                return
            url = urljoin(base, f"{folder}{path}")
            if same(url) not in self._seen and not self._try(url):
                return

    def _read_menu_script(self, base: str) -> None:
        """Read what script files of the site write into its pages, of some that say so."""
        named = [(url, urlsplit(url).path) for url in dict.fromkeys(self._scripts)]
        menus = [url for url, path in named if _MENU_SCRIPT.search(path)]
        if not self._steps:  # an empty page, until its script runs
            menus += [url for url, path in named if _APPLICATION.search(path)]
        for url in menus[:_SCRIPTS]:
            self._read += 1
            with contextlib.suppress(FetchError):
                page = read_script(self._visit.page(url, any_type=True).text, base)
                self._sightings += [Sighting(one, Place.FRONT, same(base)) for one in page.mentions]
                for step in choose(page.links, base, {host_of(base)}):
                    self._add(step, Place.FRONT, whole=True)

    def _try(self, url: str) -> bool:
        """Ask for a usual path; False where the site answers anything to every path."""
        self._seen.add(same(url))
        try:
            reply = self._visit.page(url)
        except FetchError:
            return time.monotonic() < self._visit.deadline
        if hash(reply.body) in self._bodies or host_of(reply.url) != host_of(url):
            return False
        step = choose([Link(url, "")], url, {host_of(url)})
        kind = step[0].kind if step else Kind.OTHER
        self._keep(reply, url, _PLACES.get(kind, Place.OTHER))
        self._go_on(Kind.PRIVACY, self._max_pages)
        return True

    def _sitemap(self, base: str) -> list[str]:
        """The pages in the sitemap; of a list of sitemaps, those in the one of pages."""
        urls = sorted(self._visit.sitemaps(base), key=lambda url: "page" not in url)
        for _ in range(2):
            try:
                reply = self._visit.page(urls[0], any_type=True)
            except FetchError:
                return []
            urls = _LOCATION.findall(reply.body[:_SITEMAP_BYTES].decode("utf-8", "replace"))
            lists = [url for url in urls if url.endswith(".xml")]
            if not lists:
                break
            urls = sorted(lists, key=lambda url: "page" not in url)
        return urls
