"""How websites are visited: what their robots.txt allows, one page at a time, with pauses.

What lives here: everything that a visitor owes to a host, shared by all visits of one reader, and
where a website is to be found: under the URL as given, or a twin of it. What is read of a site, and
in which order, is the finder's.
"""

from __future__ import annotations

import contextlib
import math
import re
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Self
from urllib.parse import urljoin, urlsplit, urlunsplit

from protego import Protego

from leads_pandas.finding.fetch import Line
from leads_pandas.finding.guard import (
    FetchError,
    Refused,
    UnknownHost,
    Untrusted,
    host_of,
    origin_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from leads_pandas.finding.fetch import Fetcher
    from leads_pandas.finding.reply import Reply

PAUSE, LONGEST_PAUSE = 0.2, 1.0  # between two pages of a host: as long as the last one took, within

_ROBOTS_BYTES = 500 * 1024  # as much as RFC 9309 asks a crawler to read
_ROBOTS_SECONDS = 3600.0
_FAILED_SECONDS = 0.8  # how long a host in trouble is taken at its word: less than before a retry
_KEEP_HOSTS = 2048
_HTTP_ERROR, _NOT_FOUND = 400, 404
_HOME_LINKS = 3
_LINK = re.compile(rb"<a\s[^>]{0,500}?href", re.IGNORECASE)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


class _Host:
    """What is known of one host, and whose turn it is."""

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.users = 0
        self.ready_at = 0.0
        self.rules: dict[str, tuple[Protego | FetchError | None, float]] = {}


class Manners:
    """Keeps to what every host asks for, over all visits together.

    Args:
        fetcher: makes the requests.
        pause: seconds between two pages of a host, at least; a host that takes longer for a page
            gets a pause as long as that, up to a second, and more where its robots.txt says so.
            None: the hosts are the caller's own, and are owed nothing but that their robots.txt is
            kept to: neither pauses nor one page at a time.

    Safe to use from several threads.
    """

    def __init__(self, fetcher: Fetcher, *, pause: float | None = PAUSE) -> None:
        self.fetcher = fetcher
        self.parsing = threading.Lock()
        self._pause = pause
        self._lock = threading.Lock()
        self._hosts: OrderedDict[str, _Host] = OrderedDict()

    @contextlib.contextmanager
    def turn(self, url: str, deadline: float, line: Line) -> Iterator[None]:
        """Hold the turn of a URL's host, once its robots.txt and the pace allow it.

        Raises:
            FetchError: robots.txt forbids it or cannot be had, or the pace leaves no time for it.
        """
        host = self._host(host_of(url))
        taken = False
        try:
            self._take(host.turn, deadline)
            taken = True
            rules = self._rules(host, origin_of(url), deadline, line)
            agent = self.fetcher.user_agent
            if rules is not None and not rules.can_fetch(url, agent):
                raise Refused("robots.txt asks not to read it")
            if self._pause is None:
                host.turn.release()
                taken = False
                yield
                return
            asked = 0.0 if rules is None else rules.crawl_delay(agent) or 0.0
            wait = host.ready_at - time.monotonic()
            if wait > deadline - time.monotonic():
                raise FetchError("the host's pace leaves no time for it", passing=True)
            if wait > 0:
                self.fetcher.pause(wait)
            began = time.monotonic()
            try:
                yield
            finally:
                now = time.monotonic()
                host.ready_at = now + max(self._pause, asked, min(now - began, LONGEST_PAUSE))
        finally:
            if taken:
                host.turn.release()
            with self._lock:
                host.users -= 1

    def _host(self, name: str) -> _Host:
        """What is known of a host, which is kept for as long as somebody uses it."""
        with self._lock:
            host = self._hosts.setdefault(name, _Host())
            host.users += 1
            self._hosts.move_to_end(name)
            if len(self._hosts) > _KEEP_HOSTS:
                oldest = next(iter(self._hosts))
                if (
                    not self._hosts[oldest].users
                    and self._hosts[oldest].ready_at < time.monotonic()
                ):
                    del self._hosts[oldest]
        return host

    def sitemaps(self, origin: str) -> list[str]:
        """The sitemaps that an origin's robots.txt names, as far as it has been asked for."""
        with self._lock:
            host = self._hosts.get(host_of(origin))
        rules = None if host is None else host.rules.get(origin, (None, 0.0))[0]
        return list(rules.sitemaps) if isinstance(rules, Protego) else []

    def _take(self, turn: threading.Lock, deadline: float) -> None:
        if turn.acquire(blocking=False):
            return
        with self.fetcher.aside():
            while not turn.acquire(timeout=0.5):
                self.fetcher.pause(0)
                if time.monotonic() > deadline:
                    raise FetchError("its host is busy with other pages", passing=True)

    def _rules(self, host: _Host, origin: str, deadline: float, line: Line) -> Protego | None:
        """The rules of an origin, asked for once; None where everything may be read."""
        rules, until = host.rules.get(origin, (None, 0.0))
        if until <= time.monotonic():
            keep = _ROBOTS_SECONDS
            try:
                rules = self._fetch_rules(origin, deadline, line)
            except FetchError as error:
                rules = error
                keep = _FAILED_SECONDS if error.passing else _ROBOTS_SECONDS
            host.rules[origin] = (rules, time.monotonic() + keep)
        if isinstance(rules, FetchError):
            raise rules
        return rules

    def _fetch_rules(self, origin: str, deadline: float, line: Line) -> Protego | None:
        # As RFC 9309 has it: no file means no rules, a server in trouble means keep out.
        reply = self.fetcher.get(f"{origin}/robots.txt", deadline=deadline, line=line)
        if reply.passing:
            raise FetchError(
                f"the server answered {reply.status} to robots.txt",
                passing=True,
                retry_after=reply.retry_after,
            )
        text = reply.body[:_ROBOTS_BYTES].decode("utf-8", "replace").removeprefix("\ufeff")
        if reply.status >= _HTTP_ERROR or not text.strip():
            return None
        return Protego.parse(text)


class Visit:
    """One visit to one website; for one thread.

    Args:
        manners: what is kept to.
        website: where the site is said to be.
        deadline: `time.monotonic` by which the visit must end.

    Attributes:
        trouble: the last failure of a page that would pass, or None.
        parsing: hold it while a large page is taken apart: that takes ten times its memory.
    """

    def __init__(self, manners: Manners, website: str, deadline: float = math.inf) -> None:
        self.deadline = deadline
        self.trouble: FetchError | None = None
        self.parsing = manners.parsing
        self._manners = manners
        self._website = website
        self._line = Line()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.forget_page()
        self._line.close()

    def forget_page(self) -> None:
        """Say that the last page is no longer in memory."""
        self._manners.fetcher.room.leave(self._line)

    def front(self) -> Reply:
        """Fetch the front page, where it is to be found; `FetchError` where that is nowhere."""
        left, tried = front_pages(self._website), set[str]()
        failure = FetchError("there is no website")
        while left and time.monotonic() < self.deadline:
            url = left.pop(0)
            tried.add(url)
            try:
                return self._page(url, is_front=True)
            except FetchError as error:
                failure = _worse(failure, error)
                if isinstance(error, UnknownHost):
                    left = [_other_name(one) for one in (url, *left)]
                elif isinstance(error, Untrusted):
                    left.insert(0, _by_http(url))
                left = [one for one in left if one not in tried]
        raise failure

    def sitemaps(self, page: str) -> list[str]:
        """Where a page's site lists its pages: as robots.txt says, else at the usual place."""
        origin = origin_of(page)
        named = [one for one in self._manners.sitemaps(origin) if one.startswith("http")]
        return named or [urljoin(page, "/sitemap.xml")]

    def page(self, url: str, *, any_type: bool = False) -> Reply:
        """Fetch one more page of the site, or a file; `FetchError` where it cannot be had."""
        try:
            return self._page(url, any_type=any_type)
        except FetchError as error:
            if error.passing:
                self.trouble = error
            raise

    def _page(self, url: str, *, is_front: bool = False, any_type: bool = False) -> Reply:
        reply = self._manners.fetcher.get(
            url,
            deadline=self.deadline,
            turn=lambda one: self._manners.turn(one, self.deadline, self._line),
            line=self._line,
        )
        home = is_front and reply.status == _NOT_FOUND and _is_home(reply)
        if reply.status >= _HTTP_ERROR and not home:
            raise FetchError(
                f"the server answered {reply.status}",
                passing=reply.passing,
                retry_after=reply.retry_after,
            )
        if not (any_type or reply.is_page):
            raise FetchError(f"it is {reply.content_type[:60]}, not a page")
        return reply


def front_pages(website: str | None) -> list[str]:
    """The URLs at which a website may answer: as given, or by https and then http."""
    text = (website or "").strip()
    if not text:
        return []
    if _SCHEME.match(text):
        return [text]
    text = text.removeprefix("//")
    return [f"https://{text}", f"http://{text}"]


def _other_name(url: str) -> str:
    """The URL with ``www.`` before its host, or without it."""
    parts = urlsplit(url)
    host = parts.netloc
    twin = host[4:] if host.lower().startswith("www.") else f"www.{host}"
    return urlunsplit(parts._replace(netloc=twin))


def _by_http(url: str) -> str:
    return urlunsplit(urlsplit(url)._replace(scheme="http"))


def _worse(first: FetchError, second: FetchError) -> FetchError:
    """The failure that says more of a site: a wrong certificate or name is why the rest failed."""
    telling = isinstance(first, Untrusted) or (
        isinstance(first, UnknownHost) and not second.passing
    )
    return first if telling else second


def _is_home(reply: Reply) -> bool:
    """Whether a page under the status 404 is a real one: it leads on, as a home page does."""
    return reply.is_page and len(_LINK.findall(reply.body, 0, 200_000)) >= _HOME_LINKS
