"""Guarded HTTP: one request to exactly the address that was checked, bounded in size and time.

What lives here: which addresses may be dialled, and how. Websites are named by strangers, so a name
is resolved here, once per request, and the connection goes to an address that passed the check;
nothing resolves it a second time. No proxy and no credentials are taken from the environment.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import math
import re
import socket
import ssl
import threading
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import certifi
from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    Resolve = Callable[[str, int], Sequence[str]]

MAX_BYTES = 2 * 1024 * 1024
MAX_REDIRECTS = 5
MAX_URL = 2000
PUBLIC_PORTS = frozenset((80, 443, 8000, 8008, 8080, 8443, 8888))

_DEFAULT_PORTS = {"http": 80, "https": 443}
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")

_META_CHARSET = re.compile(
    rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([a-zA-Z0-9_.:-]+)", re.IGNORECASE
)
# Python also calls punycode, zip and the like encodings, some of them costly to decode.
_CHARSET = re.compile(
    r"^(?:utf|iso|windows|cp|latin|l1|ascii|us-ascii|koi|gb|big5|shift|sjis|x-sjis|euc|mac)",
    re.IGNORECASE,
)
_BOMS = (("utf-8-sig", b"\xef\xbb\xbf"), ("utf-16-le", b"\xff\xfe"), ("utf-16-be", b"\xfe\xff"))


class FetchError(Exception):
    """The page cannot be had; the message says why."""


class Refused(FetchError):  # noqa: N818 - a decision of ours, not a fault
    """The page must not be asked for."""


class NotPublic(Refused):
    """It is not on the public internet, and such websites were not asked for."""


class Stopped(Exception):  # noqa: N818 - the service is ending, nothing went wrong
    """The fetcher was closed in the middle."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered.

    Attributes:
        url: what was asked for.
        status: the HTTP status.
        content_type: the media type in lower case, without parameters; empty where none was given.
        charset: what the header says of the encoding, or None.
        location: where a redirect points, absolute, or None.
        body: the content, cut off at the fetcher's limit.
    """

    url: str
    status: int
    content_type: str
    charset: str | None
    location: str | None
    body: bytes

    @property
    def text(self) -> str:
        """The body as text: by byte order mark, header or meta element, else UTF-8, else cp1252."""
        for name, mark in _BOMS:
            if self.body.startswith(mark):
                return self.body.decode(name, "replace")
        meta = _META_CHARSET.search(self.body[:4096])
        for named in (self.charset, meta[1].decode("ascii") if meta else None):
            if named is not None and _CHARSET.match(named):
                # On the web the two mean the same, and the second has more letters.
                latin = named.lower() in ("iso-8859-1", "latin-1", "latin1", "us-ascii", "ascii")
                with contextlib.suppress(LookupError):
                    return self.body.decode("cp1252" if latin else named, "replace")
        try:
            return self.body.decode()
        except UnicodeDecodeError as error:
            # A page cut off inside a letter is UTF-8 all the same.
            cut = error.reason == "unexpected end of data"
            return self.body.decode("utf-8" if cut else "cp1252", "replace")


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet.

    Addresses that carry an IPv4 address inside (mapped, NAT64, 6to4) are judged by that one.
    """
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is None:
            return ip in _GLOBAL_UNICAST and ip.is_global
        ip = inner
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def origin_of(url: str) -> str:
    """The scheme, host and port of a URL, the port always written out.

    Raises:
        FetchError: it is no http or https URL.
    """
    parsed = _parse(url)
    return f"{parsed.scheme}://{parsed.host}:{_port(parsed)}"


def _port(url: Url) -> int:
    return url.port or _DEFAULT_PORTS[url.scheme or ""]


def _parse(text: str) -> Url:
    """Take a URL apart; its host comes back in lower case, international names in ASCII."""
    if len(text) > MAX_URL:
        raise FetchError("the URL is too long")
    try:
        url = parse_url(text)
    except LocationParseError:
        raise FetchError("the URL cannot be read") from None
    if url.scheme not in _DEFAULT_PORTS:
        raise FetchError("the URL is neither http nor https")
    if not url.host:
        raise FetchError("the URL names no host")
    return url


def system_addresses(host: str, port: int) -> list[str]:
    """Resolve a name as the system does.

    Raises:
        OSError: there is no such name.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _left(deadline: float) -> float:
    """Seconds left, as a socket timeout."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("out of time")
    return left


class _TimedSocket(socket.socket):
    """A socket whose every receive ends at one deadline, however slowly the bytes drip in."""

    deadline = math.inf

    def recv_into(self, *args: Any) -> int:
        self.settimeout(_left(self.deadline))
        return super().recv_into(*args)


class _TimedTLSSocket(ssl.SSLSocket):
    """Likewise inside TLS."""

    deadline = math.inf

    def recv_into(self, *args: Any) -> int:
        self.settimeout(_left(self.deadline))
        return super().recv_into(*args)


def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    # Small images come without the system's certificates.
    context.load_verify_locations(certifi.where())
    context.sslsocket_class = _TimedTLSSocket
    return context


class _Connection(http.client.HTTPConnection):
    """HTTP over a socket that somebody else opens."""

    def __init__(self, host: str, port: int, opened: Callable[[], socket.socket]) -> None:
        super().__init__(host, port)
        self._opened = opened

    def connect(self) -> None:
        self.sock = self._opened()


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
    ) -> None:
        self.user_agent = user_agent
        self._timeout = timeout
        self._allow_private = allow_private
        self._only = (
            None if only_origins is None else frozenset(origin_of(one) for one in only_origins)
        )
        self._max_bytes = max_bytes
        self._resolve = resolve
        self._context = _tls()
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._lookups: set[threading.Event] = set()
        self._closed = threading.Event()

    def get(
        self,
        url: str,
        *,
        deadline: float = math.inf,
        check: Callable[[str], None] = lambda _: None,
    ) -> Reply:
        """Fetch a page, following up to `MAX_REDIRECTS` redirects.

        Args:
            url: an http or https URL.
            deadline: `time.monotonic` by which it must be done, if that is before the timeout.
            check: called with every URL, redirects included, before it is asked for.

        Raises:
            FetchError: the page cannot be had, or `check` or the guard refused it (`Refused`).
            Stopped: the fetcher was closed.
        """
        deadline = min(deadline, time.monotonic() + self._timeout)
        for _ in range(MAX_REDIRECTS + 1):
            check(url)
            reply = self._once(url, deadline)
            if reply.location is None:
                return reply
            url = reply.location
        raise FetchError(f"more than {MAX_REDIRECTS} redirects")

    def pause(self, seconds: float) -> None:
        """Wait; `Stopped` where the fetcher is closed meanwhile."""
        if self._closed.wait(seconds):
            raise Stopped

    def close(self) -> None:
        """End every request under way, in whatever thread, with `Stopped`; no more can be made."""
        with self._lock:
            self._closed.set()
            sockets, lookups = list(self._sockets), list(self._lookups)
        for one in sockets:
            with contextlib.suppress(OSError):
                # SSLSocket's own shutdown would pull the TLS object away from under its reader.
                socket.socket.shutdown(one, socket.SHUT_RDWR)
        for waiting in lookups:
            waiting.set()

    def _once(self, url: str, deadline: float) -> Reply:
        parsed = _parse(url)
        try:
            return self._request(url, parsed, self._addresses(parsed, deadline), deadline)
        except (OSError, http.client.HTTPException, ValueError, zlib.error) as error:
            if self._closed.is_set():
                raise Stopped from None
            what = str(error) or type(error).__name__
            raise FetchError(f"{parsed.host}: {what}") from None

    def _addresses(self, url: Url, deadline: float) -> list[str]:
        """The addresses that may be dialled for a URL; `Refused` where there are none."""
        host, port = (url.host or "").strip("[]"), _port(url)
        if self._only is not None:
            if f"{url.scheme}://{url.host}:{port}" not in self._only:
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
            done.wait(_left(deadline))
        if self._closed.is_set():
            raise Stopped
        if not answer:
            raise FetchError(f"{host}: the name was not resolved in time")
        if isinstance(answer[0], OSError):
            raise FetchError(f"{host}: {answer[0]}")
        return list(answer[0])

    def _request(self, url: str, parsed: Url, addresses: list[str], deadline: float) -> Reply:
        with contextlib.ExitStack() as stack:

            def opened() -> socket.socket:
                return self._connect(parsed, addresses, deadline, stack)

            connection = _Connection(parsed.host or "", _port(parsed), opened)
            stack.callback(connection.close)
            connection.request(
                "GET",
                parsed.request_uri,
                headers={
                    "Host": _host_header(parsed),
                    "User-Agent": self.user_agent,
                    "Accept": "text/html,application/xhtml+xml,text/plain;q=0.8,*/*;q=0.1",
                    "Accept-Encoding": "identity",
                    "Connection": "close",
                },
            )
            response = connection.getresponse()
            stack.callback(response.close)
            location = None
            if response.status in _REDIRECTS and response.getheader("Location"):
                location = urljoin(url, _latin(response.getheader("Location", "")))
            return Reply(
                url=url,
                status=response.status,
                content_type=response.headers.get_content_type()
                if "Content-Type" in response.headers
                else "",
                charset=response.headers.get_content_charset(),
                location=location,
                body=b"" if location else self._body(response),
            )

    def _body(self, response: http.client.HTTPResponse) -> bytes:
        body = response.read(self._max_bytes)
        coding = response.getheader("Content-Encoding", "identity").strip().lower()
        if coding in ("", "identity"):
            return body
        if coding in ("gzip", "x-gzip", "deflate"):
            # Not asked for, but some servers compress whatever they are asked.
            return zlib.decompressobj(wbits=47).decompress(body, self._max_bytes)
        raise FetchError(f"the page is encoded as {coding[:40]!r}")

    def _connect(
        self, url: Url, addresses: list[str], deadline: float, stack: contextlib.ExitStack
    ) -> socket.socket:
        """Connect to the first address that answers; `stack` closes what was opened."""
        failure: OSError = OSError("the name has no address")
        for tried, address in enumerate(addresses):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            sock = _TimedSocket(family, socket.SOCK_STREAM)
            stack.callback(sock.close)
            stack.enter_context(self._registered(self._sockets, sock))
            # A dead address must leave time for the others.
            sock.settimeout(_left(deadline) / (len(addresses) - tried))
            try:
                sock.connect((address, _port(url)))
            except OSError as error:
                failure = error
                continue
            sock.deadline = deadline
            return sock if url.scheme == "http" else self._encrypt(sock, url, deadline, stack)
        raise failure

    def _encrypt(
        self, sock: socket.socket, url: Url, deadline: float, stack: contextlib.ExitStack
    ) -> socket.socket:
        sock.settimeout(_left(deadline))
        secure = self._context.wrap_socket(
            sock,
            server_hostname=(url.host or "").strip("[]").rstrip("."),
            do_handshake_on_connect=False,
        )
        stack.callback(secure.close)
        # Known before the handshake, which can take as long as the peer likes.
        stack.enter_context(self._registered(self._sockets, secure))
        secure.do_handshake()
        secure.deadline = deadline  # type: ignore[attr-defined] # it is a _TimedTLSSocket
        return secure

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


def _host_header(url: Url) -> str:
    host = url.host or ""
    return host if _port(url) == _DEFAULT_PORTS[url.scheme or ""] else f"{host}:{_port(url)}"


def _latin(header: str) -> str:
    """A header's text: http.client reads bytes as Latin-1, servers send UTF-8."""
    try:
        return header.encode("latin-1").decode()
    except UnicodeError:
        return header
