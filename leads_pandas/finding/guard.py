"""What may be asked for: URLs taken apart, addresses of the public internet, and the refusals."""

from __future__ import annotations

import functools
import ipaddress
import re

from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

MAX_URL = 2000
PUBLIC_PORTS = frozenset((80, 443, 8000, 8008, 8080, 8443, 8888))

_DEFAULT_PORTS = {"http": 80, "https": 443}
# As nearly all are: nothing in it that would have to be written in another way.
_PLAIN = re.compile(
    r"(https?)://([a-z0-9-]+(?:\.[a-z0-9-]+)+)(?::([1-9][0-9]{0,3}))?(/[\w/-]*(?:\.[a-z]{2,5})?)?\Z",
    re.ASCII,
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")


class FetchError(Exception):
    """The page cannot be had; the message says why.

    Attributes:
        passing: it may well be had in a while.
        retry_after: seconds after which the server wants to be asked again, where it says so.
    """

    def __init__(self, message: str, *, passing: bool = False, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.passing = passing
        self.retry_after = retry_after


class Refused(FetchError):  # noqa: N818 - a decision of ours, not a fault
    """The page must not be asked for."""


class NotPublic(Refused):
    """It is not on the public internet, and such websites were not asked for."""


class UnknownHost(FetchError):  # noqa: N818 - as `Refused` is named
    """The DNS has no such name."""


class Untrusted(FetchError):  # noqa: N818 - likewise
    """The server cannot show a certificate that can be trusted, or speaks no TLS."""


class Stopped(Exception):  # noqa: N818 - the service is ending, nothing went wrong
    """The fetcher was closed in the middle."""


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
    return origin_in(parse(url))


def host_of(url: str) -> str:
    """The host of a URL, as what is asked one page at a time; the usual ports are one host.

    Raises:
        FetchError: it is no http or https URL.
    """
    parsed = parse(url)
    return (
        f"{parsed.host}"
        if port_of(parsed) in _DEFAULT_PORTS.values()
        else f"{parsed.host}:{port_of(parsed)}"
    )


def origin_in(url: Url) -> str:
    """The origin of a URL that has been taken apart."""
    return f"{url.scheme}://{url.host}:{port_of(url)}"


def port_of(url: Url) -> int:
    """The port of a URL, written or not."""
    return url.port or _DEFAULT_PORTS[url.scheme or ""]


@functools.lru_cache(4096)
def parse(text: str) -> Url:
    """Take a URL apart; its host comes back in lower case, international names in ASCII.

    Raises:
        FetchError: it is no http or https URL.
    """
    if len(text) > MAX_URL:
        raise FetchError("the URL is too long")
    if (plain := _PLAIN.match(text)) is not None:
        scheme, host, port, path = plain.groups()
        return Url(scheme=scheme, host=host, port=int(port) if port else None, path=path)
    try:
        url = parse_url(text)
    except LocationParseError:
        raise FetchError("the URL cannot be read") from None
    if url.scheme not in _DEFAULT_PORTS:
        raise FetchError("the URL is neither http nor https")
    if not url.host:
        raise FetchError("the URL names no host")
    return url


def host_header(url: Url) -> str:
    """The host as a request names it: with its port, where that is not the scheme's own."""
    host = url.host or ""
    return host if port_of(url) == _DEFAULT_PORTS[url.scheme or ""] else f"{host}:{port_of(url)}"
