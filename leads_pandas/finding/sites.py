"""Many websites at once: what was found on each comes as it is found, and slow ones delay nobody.

`look` is for a list that ends, `Round` for a source that may have more later; both yield one
`Looked` for every lead. This is the one driver under the local service's jobs and under reading
websites without any service.

A few threads sit on seats, as many as `SiteOptions.concurrency`. Whoever is made to wait, by a slow
server or by the pause that a host is owed, gives up the seat meanwhile. One website of a host is
read at a time; the others of that host wait in a queue, not on a seat. Where `only_origins` are
read, the hosts are the caller's own, and neither of the two holds.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, TypeVar

from leads_pandas.finding.fetch import Fetcher
from leads_pandas.finding.finder import Finder
from leads_pandas.finding.guard import FetchError, NotPublic, Stopped, host_of
from leads_pandas.finding.manners import PAUSE, front_pages
from leads_pandas.finding.names import resolver_of
from leads_pandas.finding.options import SiteOptions
from leads_pandas.finding.verify import MailDomains

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from leads_pandas.models import Email

log = logging.getLogger("leads_pandas.server")

K = TypeVar("K")

State = Literal["found", "not_found", "no_website", "failed"]

RETRY_SECONDS = (1.0, 5.0)  # after a failure that passes
_LONGEST_RETRY = 30.0
_ASIDE_PER_SEAT, _ASIDE = 16, 256
_BLOCKED = 10_000  # leads taken ahead whose hosts are busy
_GATHER = 0.005  # seconds: results come in crowds, and a batch is taken and kept at once
_UNTAKEN = 1_000  # results that nobody has taken yet
_STOP_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Looked(Generic[K]):
    """What came of looking at one website.

    Attributes:
        key: whatever the caller knows the lead by.
        website: where it is said to be.
        state: ``found`` and ``not_found``: it was read; ``no_website``: there is none to read;
            ``failed``: it could not be read, so nothing is known of it.
        emails: what was found, the most confident first.
        reason: why it could not be read, in a line; else empty.
        private: it was not read because it is not on the public internet.
        passing: it could not be read today, and may well be another day.
    """

    key: K
    website: str | None
    state: State
    emails: tuple[Email, ...] = ()
    reason: str = ""
    private: bool = False
    passing: bool = False


class Unread(NamedTuple):
    """The websites that could not be read.

    Attributes:
        websites: how many.
        private: how many of them because they are not on the public internet.
        example: the last one, and why.
    """

    websites: int = 0
    private: int = 0
    example: str = ""

    def and_also(self, looked: Looked[Any]) -> Unread:
        """Count one more, if it could not be read."""
        if looked.state != "failed":
            return self
        example = f"{looked.website}: {looked.reason}"
        return Unread(self.websites + 1, self.private + looked.private, example)


def look(
    leads: Iterable[tuple[K, str | None]],
    options: SiteOptions | None = None,
    *,
    domains: MailDomains | None = None,
) -> Iterator[Looked[K]]:
    """Look at many websites; yields what came of each as it comes, in no order.

    Closing the iterator, or an interrupt while it is waited for, ends all requests under way.

    Args:
        leads: keys and websites. Taken as they are needed, one at a time, by threads of this call.
        options: how websites are read.
        domains: says which domains take mail; None: a new one of the options' nameservers.

    Raises:
        ConfigurationError: an option cannot be used.
    """
    options = options or SiteOptions()
    running: Round[K] = Round(
        iter(leads).__next__, options, domains or MailDomains(options.nameservers)
    )
    with contextlib.closing(running):
        for batch in running.batches():
            yield from batch


@dataclass(slots=True)
class _Site(Generic[K]):
    key: K
    website: str
    host: str  # in whose queue it stands; empty: in none
    tries: int = 0
    spent: float = 0.0


class Round(Generic[K]):
    """Reads websites from a source until that ends, or it is closed.

    Args:
        take: the next key and website; None: nothing now, `wake` says when to ask again; raises
            `StopIteration` at the end. Called by one thread at a time. What else it raises ends the
            round, and comes out of `batches`.
        options: how websites are read.
        domains: says which domains take mail.
    """

    def __init__(
        self,
        take: Callable[[], tuple[K, str | None] | None],
        options: SiteOptions,
        domains: MailDomains,
    ) -> None:
        self._take = take
        self._options = options
        self._own = options.only_origins is not None
        self._most_aside = min(_ASIDE_PER_SEAT * options.concurrency, _ASIDE)
        self._fetcher = Fetcher(
            user_agent=options.user_agent,
            timeout=options.timeout,
            allow_private=options.allow_private,
            only_origins=options.only_origins,
            resolve=resolver_of(options.nameservers),
            aside=self._aside,
        )
        self._finder = Finder(
            self._fetcher,
            domains,
            max_pages=options.max_pages,
            site_timeout=options.site_timeout,
            pause=None if self._own else PAUSE,
        )
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._seat = threading.Condition(self._lock)
        self._result = threading.Condition(self._lock)
        self._mine = threading.local()
        self._threads: set[threading.Thread] = set()
        self._seated = self._waiting = self._returning = self._idle = 0
        self._queues: dict[str, deque[_Site[K]]] = {}  # of the hosts that are being read
        self._blocked = 0
        self._ready: deque[_Site[K]] = deque()
        self._later: list[tuple[float, int, _Site[K]]] = []
        self._order = itertools.count()
        self._open = 0  # sites that were taken and are not done
        self._done: deque[Looked[K]] = deque()
        self._ended = self._closed = False
        self._failure: BaseException | None = None

    def batches(self) -> Iterator[list[Looked[K]]]:
        """Yield what has been done since the last time, whenever there is something."""
        with self._lock:
            self._call()
        while True:
            with self._lock:
                while not (self._done or self._closed or self._failure or self._is_over()):
                    self._result.wait()
            time.sleep(_GATHER)
            with self._lock:
                batch = list(self._done)
                self._done.clear()
                if len(batch) >= _UNTAKEN:
                    self._work.notify_all()
                if not batch:
                    if self._failure is not None and not self._closed:
                        raise self._failure
                    return
            yield batch

    def wake(self) -> None:
        """Ask the source again, which has something now."""
        with self._lock:
            self._call()

    def close(self, timeout: float = _STOP_SECONDS) -> bool:
        """End every request under way; False where a thread is still busy after `timeout`."""
        self._fetcher.close()
        with self._lock:
            self._closed = True
            for one in (self._work, self._seat, self._result):
                one.notify_all()
            threads = list(self._threads)
        deadline = time.monotonic() + timeout
        for thread in threads:
            thread.join(max(deadline - time.monotonic(), 0.0))
        return not any(thread.is_alive() for thread in threads)

    # Threads and seats; all but `_run` and `_aside` with the lock held

    def _call(self) -> None:
        """Have somebody look for work where a seat is free."""
        seats = self._options.concurrency
        if self._seated >= seats or self._closed:
            return
        if self._idle:
            self._work.notify()
        elif len(self._threads) < seats + self._most_aside:
            thread = threading.Thread(target=self._run, name="leads-pandas-reader", daemon=True)
            self._threads.add(thread)
            thread.start()

    def _run(self) -> None:
        try:
            while (site := self._next()) is not None:
                self._mine.seated = True
                looked = self._look(site)
                self._mine.seated = False
                if looked is None:
                    return
                self._settle(site, *looked)
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())
                self._result.notify_all()

    @contextlib.contextmanager
    def _aside(self) -> Iterator[None]:
        """Leave the seat to somebody else for a wait, and come back to one."""
        seats = self._options.concurrency
        with self._lock:
            leaves = getattr(self._mine, "seated", False) and self._waiting < self._most_aside
            if leaves:
                self._mine.seated = False
                self._waiting += 1
                self._rise()
        try:
            yield
        finally:
            if leaves:
                with self._lock:
                    self._waiting -= 1
                    self._returning += 1
                    while self._seated >= seats and not self._closed:
                        self._seat.wait()
                    self._returning -= 1
                    self._seated += 1
                self._mine.seated = True

    def _rise(self) -> None:
        self._seated -= 1
        if self._returning:
            self._seat.notify()
        else:
            self._call()

    def _is_over(self) -> bool:
        return self._ended and not self._open

    # The work at hand

    def _next(self) -> _Site[K] | None:
        """Wait for a seat and a site that may be read; None where no more are to come."""
        with self._lock:
            while not self._closed and self._failure is None and not self._is_over():
                now = time.monotonic()
                if self._seated < self._options.concurrency and not self._returning:
                    site = self._pick(now)
                    if site is not None:
                        self._seated += 1
                        self._call()
                        return site
                    if self._is_over():
                        break
                if self._idle >= self._options.concurrency:
                    return None
                self._idle += 1
                self._work.wait(max(self._later[0][0] - now, 0.0) if self._later else None)
                self._idle -= 1
            self._work.notify_all()
            self._result.notify_all()
            return None

    def _pick(self, now: float) -> _Site[K] | None:
        if self._ready:
            return self._ready.popleft()
        while self._later and self._later[0][0] <= now:
            site = heapq.heappop(self._later)[2]
            if self._may_begin(site):
                return site
        while self._blocked < _BLOCKED and len(self._done) < _UNTAKEN:
            site_or_none = self._pull()
            if site_or_none is None or self._may_begin(site_or_none):
                return site_or_none
        return None

    def _pull(self) -> _Site[K] | None:
        """Take from the source what has a website."""
        while not self._ended and len(self._done) < _UNTAKEN:
            try:
                lead = self._take()
            except StopIteration:
                self._ended = True
                break
            except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets it
                self._failure = error
                break
            if lead is None:
                break
            key, website = lead
            if (website or "").strip():
                self._open += 1
                host = "" if self._own else _host(website or "")
                return _Site(key, website or "", host)
            self._done.append(Looked(key, website, "no_website"))
            self._result.notify()
        return None

    def _may_begin(self, site: _Site[K]) -> bool:
        """Claim a site's host; where another site of it is being read, queue for it instead."""
        if site.host in self._queues:
            self._queues[site.host].append(site)
            self._blocked += 1
            return False
        if site.host:
            self._queues[site.host] = deque()
        return True

    def _look(self, site: _Site[K]) -> tuple[Looked[K], FetchError | None] | None:
        """Read a site once; None where the round was closed meanwhile."""
        began = time.monotonic()
        failure: FetchError | None = None
        try:
            emails = self._finder.look(
                site.website, began + max(self._options.site_timeout - site.spent, 0.0)
            )
            looked = Looked(site.key, site.website, "found" if emails else "not_found", emails)
        except Stopped:
            return None
        except FetchError as error:
            failure = error
            private = isinstance(error, NotPublic)
            looked = Looked(
                site.key, site.website, "failed", (), str(error), private, error.passing
            )
        except Exception as error:
            # The others go on: it is one page that breaks the reading.
            log.exception("a website could not be processed: %r", site.website)
            looked = Looked(site.key, site.website, "failed", (), f"{type(error).__name__}")
        site.spent += time.monotonic() - began
        return looked, failure

    def _settle(self, site: _Site[K], looked: Looked[K], failure: FetchError | None) -> None:
        """Hand out what came of a site, or keep it for a later try, and let its host go on."""
        again = self._again(site, failure)
        with self._lock:
            if again is not None:
                site.tries += 1
                heapq.heappush(self._later, (time.monotonic() + again, next(self._order), site))
                self._work.notify()
            else:
                self._open -= 1
                self._done.append(looked)
                self._result.notify()
            queue = self._queues.get(site.host)
            if queue:
                self._blocked -= 1
                self._ready.append(queue.popleft())
            elif queue is not None:
                del self._queues[site.host]
            # This thread looks for work itself, so nobody else need be called.
            self._seated -= 1
            if self._returning:
                self._seat.notify()

    def _again(self, site: _Site[K], failure: FetchError | None) -> float | None:
        """In how many seconds to try a site again; None where that is of no use."""
        if failure is None or not failure.passing or site.tries >= len(RETRY_SECONDS):
            return None
        wait = max(RETRY_SECONDS[site.tries], failure.retry_after)
        enough = site.spent < self._options.site_timeout and wait <= _LONGEST_RETRY
        return wait if enough else None


def _host(website: str) -> str:
    """The host at which a website is asked for first; empty where there is none."""
    try:
        return host_of(front_pages(website)[0]).removeprefix("www.")
    except (FetchError, IndexError):
        return ""
