"""From a website to the addresses it publishes, each with an honest confidence.

Nothing is guessed: an address that no page shows is never returned. What is read is decided in
`crawl`, what is the business's in `belonging`, how sure that is in `ranking`.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from leads_pandas.finding.crawl import Crawl
from leads_pandas.finding.guard import FetchError
from leads_pandas.finding.manners import PAUSE, Manners, Visit
from leads_pandas.finding.ranking import Scored, explain
from leads_pandas.finding.verify import Mail, MailDomains
from leads_pandas.models import Email

if TYPE_CHECKING:
    from collections.abc import Callable

    from leads_pandas.finding.fetch import Fetcher

log = logging.getLogger("leads_pandas.server")


class Finder:
    """Finds the addresses that websites publish.

    Args:
        fetcher: makes the requests.
        domains: says which domains take mail.
        max_pages: pages read of one site: the front page and those it links to.
        site_timeout: seconds for one site, everything included.
        pause: seconds between two pages of a host, at least; None: the hosts are the caller's own.

    Safe to use from several threads.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        domains: MailDomains,
        *,
        max_pages: int = 8,
        site_timeout: float = 30.0,
        pause: float | None = PAUSE,
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
        return tuple(
            Email(one.address, one.confidence, one.source)
            for one in self.explain(website, deadline)
            if one.refused is None
        )

    def explain(self, website: str, deadline: float) -> list[Scored]:
        """Read a website, and say of every address on it what speaks for it and what against.

        Raises:
            FetchError: it cannot be read, or shows no address on the pages that could be.
            Stopped: the fetcher was closed.
        """
        with Visit(self._manners, website, deadline) as visit:
            crawl = Crawl(visit, website, self._max_pages)
            crawl.read()
            scored = explain(crawl.judged(), self._takes_mail(deadline))
            if visit.trouble is not None and all(one.refused for one in scored):
                raise visit.trouble
        return scored

    def _takes_mail(self, deadline: float) -> Callable[[str], Mail]:
        def ask(domain: str) -> Mail:
            if time.monotonic() >= deadline:
                return Mail.UNKNOWN
            return self._domains.takes_mail(domain, aside=self._manners.fetcher.aside)

        return ask
