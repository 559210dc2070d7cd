"""Guarded HTTP: one request to exactly the address that was checked, bounded in size and time.

What lives here: which addresses may be dialled, and how. Websites are named by strangers, so a name
is resolved here, once per connection, and the connection goes to an address that passed the check;
nothing resolves it a second time. No proxy and no credentials are taken from the environment.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import math
import os
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any

import certifi
from urllib3.util.wait import wait_for_read, wait_for_write

from leads_pandas.finding.guard import (
    PUBLIC_PORTS,
    FetchError,
    NotPublic,
    Refused,
    Stopped,
    UnknownHost,
    Untrusted,
    host_header,
    is_public,
    origin_in,
    origin_of,
    parse,
    port_of,
)
from leads_pandas.finding.names import NoSuchName, system_addresses
from leads_pandas.finding.reply import Reply, remember, reply_of, worth_reading
from leads_pandas.finding.room import FREE, Room
from leads_pandas.finding.wire import Broke, WireError, read_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from contextlib import AbstractContextManager

    from urllib3.util import Url

    from leads_pandas.finding.wire import Answer

    Resolve = Callable[[str, int], Sequence[str]]
    Turn = Callable[[str], AbstractContextManager[None]]
    Wait = Callable[[socket.socket, float], bool]

MAX_BYTES = 2 * 1024 * 1024
MAX_REDIRECTS = 5
PATIENCE = 0.25  # seconds that a server may take without being one of the slow

_RECEIVE = 64 * 1024
_UNDER_WAY = frozenset((errno.EINPROGRESS, errno.EWOULDBLOCK))
_CRUMB, _CRUMBS, _REST = 512, 16, 0.002
_MAKING = threading.Lock()


def _left(deadline: float) -> float:
    """Seconds left."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("out of time")
    return left


@functools.cache
def _make_tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    # Small images come without the system's certificates.
    context.load_verify_locations(certifi.where())
    return context


def _tls() -> ssl.SSLContext:
    """The one context of this process: reading the certificates takes a tenth of a second."""
    with _MAKING:
        return _make_tls()


class Line:
    """A connection that is kept open between two pages of one origin; for one thread."""

    def __init__(self) -> None:
        self._kept: tuple[str, _Connection] | None = None

    def take(self, origin: str) -> _Connection | None:
        """The connection, if it leads to this origin; another one is closed."""
        kept, self._kept = self._kept, None
        if kept is not None and kept[0] == origin:
            return kept[1]
        if kept is not None:
            kept[1].close()
        return None

    def keep(self, origin: str, connection: _Connection) -> None:
        """Keep a connection on which nothing is under way."""
        self.close()
        self._kept = (origin, connection)

    def close(self) -> None:
        """Close the connection."""
        if self._kept is not None:
            self._kept[1].close()
            self._kept = None


class Fetcher:
    """Fetches pages, each from an address that was checked.

    Args:
        user_agent: what to call ourselves.
        timeout: seconds for one page, its redirects included.
        allow_private: also dial addresses that are not of the public internet, on any port.
        only_origins: where given, nothing but these origins (``http://127.0.0.1:8000``) is dialled,
            at whatever address they have.
        max_bytes: how much of a page is read.
        resolve: turns a host and a port into IP addresses; `OSError` where it cannot.
        aside: entered around every wait that is longer than `PATIENCE`.

    Safe to use from several threads.
    """

    def __init__(
        self,
        *,
        user_agent: str,
        timeout: float = 10.0,
        allow_private: bool = False,
        only_origins: Collection[str] | None = None,
        max_bytes: int = MAX_BYTES,
        resolve: Resolve = system_addresses,
        aside: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
    ) -> None:
        self.user_agent = user_agent
        self._timeout = timeout
        self._allow_private = allow_private
        self._only = (
            None if only_origins is None else frozenset(origin_of(one) for one in only_origins)
        )
        self._max_bytes = max_bytes
        self._resolve = resolve
        self.aside = aside
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._lookups: set[threading.Event] = set()
        self._closed = threading.Event()
        self.room = Room(aside)

    def get(
        self,
        url: str,
        *,
        deadline: float = math.inf,
        turn: Turn = lambda _: contextlib.nullcontext(),
        line: Line | None = None,
    ) -> Reply:
        """Fetch a page, following up to `MAX_REDIRECTS` redirects, with the cookies they set.

        Args:
            url: an http or https URL.
            deadline: `time.monotonic` by which it must be done, if that is before the timeout.
            turn: entered with every URL, redirects included, while it is asked for; may refuse it.
            line: where the connection is kept for the next page.

        Raises:
            FetchError: the page cannot be had, or `turn` or the guard refused it (`Refused`).
            Stopped: the fetcher was closed.
        """
        deadline = min(deadline, time.monotonic() + self._timeout)
        cookies: dict[str, dict[str, str]] = {}
        for _ in range(MAX_REDIRECTS + 1):
            with turn(url):
                reply = self._once(url, deadline, line, cookies)
            if reply.location is None:
                return reply
            url = reply.location
        raise FetchError(f"more than {MAX_REDIRECTS} redirects")

    def pause(self, seconds: float) -> None:
        """Wait; `Stopped` where the fetcher is closed meanwhile."""
        with self.aside():
            if self._closed.wait(seconds):
                raise Stopped

    def close(self) -> None:
        """End every request under way, in whatever thread, with `Stopped`; no more can be made."""
        with self._lock:
            self._closed.set()
            sockets, lookups = list(self._sockets), list(self._lookups)
        self.room.close()
        for one in sockets:
            with contextlib.suppress(OSError):
                # SSLSocket's own shutdown would pull the TLS object away from under its reader.
                socket.socket.shutdown(one, socket.SHUT_RDWR)
        for waiting in lookups:
            waiting.set()

    def _once(
        self, url: str, deadline: float, line: Line | None, cookies: dict[str, dict[str, str]]
    ) -> Reply:
        parsed = parse(url)
        host = parsed.host or ""
        try:
            answer = self._ask(parsed, deadline, line, cookies.get(host, {}))
        except (OSError, WireError) as error:
            if self._closed.is_set():
                raise Stopped from None
            what = f"{host}: {error if str(error) else type(error).__name__}"
            if isinstance(error, NoSuchName):
                raise UnknownHost(what) from None
            if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
                raise Untrusted(what) from None
            passing = isinstance(error, OSError | Broke)
            raise FetchError(what, passing=passing) from None
        if "set-cookie" in answer.headers:
            remember(answer.headers["set-cookie"], cookies.setdefault(host, {}))
        return reply_of(url, answer)

    def _ask(self, url: Url, deadline: float, line: Line | None, cookies: dict[str, str]) -> Answer:
        """Send one request and read its answer, over the line's connection where it still works."""
        request = self._request(url, cookies, keep=line is not None)
        origin = origin_in(url)
        kept = None if line is None else line.take(origin)
        if kept is not None:
            try:
                return self._exchange(kept, origin, request, deadline, line)
            except TimeoutError:
                raise
            except (Broke, OSError):
                _left(deadline)  # closed by the server since the last page: ask on a fresh one
        connection = self._connect(url, self._addresses(url, deadline), deadline)
        return self._exchange(connection, origin, request, deadline, line)

    def _exchange(
        self,
        connection: _Connection,
        origin: str,
        request: bytes,
        deadline: float,
        line: Line | None,
    ) -> Answer:
        answer = None
        came = counted = 0
        whose = connection if line is None else line
        self.room.leave(whose)  # the page before has been read

        def receive() -> bytes:
            nonlocal came, counted
            if came > FREE:
                if not self.room.take(whose, came - counted, deadline):
                    return b""
                counted = came
            try:
                part = connection.receive(deadline)
            except TimeoutError:
                if came <= FREE:
                    raise
                return b""  # a large page is what has come of it by then
            came += len(part)
            return part

        try:
            connection.send(request, deadline)
            answer = read_answer(receive, self._max_bytes, wanted=worth_reading)
            return answer
        finally:
            if line is not None and answer is not None and answer.complete:
                line.keep(origin, connection)
            else:
                self.room.leave(connection)
                connection.close()

    def _request(self, url: Url, cookies: dict[str, str], *, keep: bool) -> bytes:
        lines = [
            f"GET {url.request_uri} HTTP/1.1",
            f"Host: {host_header(url)}",
            f"User-Agent: {self.user_agent}",
            "Accept: text/html,application/xhtml+xml,text/plain;q=0.8,*/*;q=0.1",
            "Accept-Encoding: gzip, deflate",
            f"Connection: {'keep-alive' if keep else 'close'}",
        ]
        if cookies:
            lines.append(
                "Cookie: " + "; ".join(f"{name}={value}" for name, value in cookies.items())
            )
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")

    def _addresses(self, url: Url, deadline: float) -> list[str]:
        """The addresses that may be dialled for a URL; `Refused` where there are none."""
        host, port = (url.host or "").strip("[]"), port_of(url)
        if self._only is not None:
            if origin_in(url) not in self._only:
                raise Refused(f"{url.host} is not among the only origins")
            return self._look_up(host, port, deadline)
        if self._allow_private:
            return self._look_up(host, port, deadline)
        if port not in PUBLIC_PORTS:
            raise NotPublic(f"port {port} is not one of a public website")
        addresses = [one for one in self._look_up(host, port, deadline) if is_public(one)]
        if not addresses:
            raise NotPublic(f"{url.host} has no public address")
        return addresses

    def _look_up(self, host: str, port: int, deadline: float) -> list[str]:
        """Resolve in a thread of its own: the system's resolver knows no deadline."""
        if _is_address(host):
            return [host]
        answer: list[Sequence[str] | OSError] = []
        done = threading.Event()

        def work() -> None:
            try:
                answer.append(self._resolve(host, port))
            except (OSError, UnicodeError) as error:
                answer.append(error if isinstance(error, OSError) else OSError(str(error)))
            finally:
                done.set()

        with self._registered(self._lookups, done):
            threading.Thread(target=work, name="leads-pandas-lookup", daemon=True).start()
            if not done.wait(min(_left(deadline), PATIENCE)):
                with self.aside():
                    done.wait(max(deadline - time.monotonic(), 0.0))
        if self._closed.is_set():
            raise Stopped
        if not answer:
            raise TimeoutError("the name was not resolved in time")
        if isinstance(answer[0], OSError):
            raise answer[0]
        return list(answer[0])

    def _connect(self, url: Url, addresses: list[str], deadline: float) -> _Connection:
        """Connect to the first address that answers."""
        failure: OSError = OSError("the name has no address")
        for tried, address in enumerate(addresses):
            # A fair share each: an address that swallows packets must not eat all the time.
            share = time.monotonic() + _left(deadline) / (len(addresses) - tried)
            connection = _Connection(self, ":" in address)
            try:
                connection.dial(address, port_of(url), share)
                if url.scheme == "https":
                    name = (url.host or "").strip("[]").rstrip(".")
                    connection.encrypt(_tls(), name, deadline)
            except OSError as error:
                connection.close()
                if isinstance(error, ssl.SSLError):
                    raise
                failure = error
            except BaseException:
                connection.close()
                raise
            else:
                return connection
        raise failure

    def register(self, sock: socket.socket) -> None:
        """Have a socket shut down when the fetcher closes."""
        # No lock, which every connection would wait for: `close` looks after it has said so.
        self._sockets.add(sock)
        if self._closed.is_set():
            raise Stopped

    def unregister(self, sock: socket.socket) -> None:
        """Forget a socket that is about to be closed."""
        self._sockets.discard(sock)

    @contextlib.contextmanager
    def _registered(self, among: set[Any], one: object) -> Iterator[None]:
        with self._lock:
            if self._closed.is_set():
                raise Stopped
            among.add(one)
        try:
            yield
        finally:
            with self._lock:
                among.discard(one)


class _Connection:
    """A socket on which whatever is waited for ends at a deadline, however it drips."""

    def __init__(self, fetcher: Fetcher, is_ipv6: bool) -> None:
        self._fetcher = fetcher
        self._sock = socket.socket(socket.AF_INET6 if is_ipv6 else socket.AF_INET)
        self._crumbs = 0

    def dial(self, address: str, port: int, deadline: float) -> None:
        self._fetcher.register(self._sock)
        # Waiting is ours: a socket with a timeout asks the system twice for every step.
        self._sock.setblocking(False)
        error = self._sock.connect_ex((address, port))
        if error in _UNDER_WAY:
            self._wait(wait_for_write, deadline)
            error = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))

    def encrypt(self, context: ssl.SSLContext, name: str, deadline: float) -> None:
        plain = self._sock
        secure = context.wrap_socket(plain, server_hostname=name, do_handshake_on_connect=False)
        self._sock = secure
        self._fetcher.register(secure)
        self._fetcher.unregister(plain)
        self._through(secure.do_handshake, wait_for_read, deadline)

    def send(self, data: bytes, deadline: float) -> None:
        while data:
            data = data[self._through(self._sock.send, wait_for_write, deadline, data) :]

    def receive(self, deadline: float) -> bytes:
        self._wait(wait_for_read, deadline)
        part: bytes = self._through(self._sock.recv, wait_for_read, deadline, _RECEIVE)
        if 0 < len(part) < _CRUMB:
            self._crumbs += 1
            if self._crumbs > _CRUMBS:
                # Let crumbs gather, or a peer that sends single bytes keeps a processor busy.
                time.sleep(min(_REST, _left(deadline)))
        return part

    def close(self) -> None:
        self._fetcher.unregister(self._sock)
        self._sock.close()

    def _through(
        self, work: Callable[..., Any], wait: Wait, deadline: float, *given: object
    ) -> Any:
        while True:
            try:
                return work(*given)
            except (BlockingIOError, ssl.SSLWantReadError):
                self._wait(wait, deadline)
            except ssl.SSLWantWriteError:
                self._wait(wait_for_write, deadline)

    def _wait(self, wait: Wait, deadline: float) -> None:
        """Wait until the socket can go on; aside, where that takes long."""
        left = _left(deadline)
        if wait(self._sock, min(left, PATIENCE)):
            return
        with self._fetcher.aside():
            if not wait(self._sock, _left(deadline)):
                raise TimeoutError("timed out")


def _is_address(host: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
    except OSError:
        return False
    return True
