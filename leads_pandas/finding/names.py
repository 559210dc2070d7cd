"""Names into addresses: by the nameservers that were given, else as the system does."""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import TYPE_CHECKING

import dns.exception
import dns.nameserver
import dns.resolver

from leads_pandas.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_PORTS = 2**16
_WITH_PORT = re.compile(r"(?:\[(.+)\]|([^:]+))(?::([0-9]{1,5}))?$")
_LOOKUP_SECONDS = 4.0
_NO_NAME = {getattr(socket, name) for name in ("EAI_NONAME", "EAI_NODATA") if hasattr(socket, name)}


class NoSuchName(OSError):  # noqa: N818 - what the DNS says, not a fault
    """The DNS was asked, and has no such name."""


def parse_nameserver(text: str) -> tuple[str, int]:
    """Read ``"192.0.2.1:53"`` or ``"[2001:db8::1]:53"``; the port may be left out.

    Raises:
        ConfigurationError: it is neither.
    """
    parts = _WITH_PORT.match(text)
    address, port = (parts[1] or parts[2], int(parts[3] or 53)) if parts else (text, 53)
    try:
        ipaddress.ip_address(address)
    except ValueError:
        port = 0
    if not 0 < port < _PORTS:
        raise ConfigurationError(
            f"nameserver {text!r} is not an IP address and a port, such as 127.0.0.1:53"
        )
    return address, port


def make_resolver(nameservers: Sequence[str] | None) -> dns.resolver.Resolver | None:
    """A resolver of these nameservers, or the system's; None on a machine that has none.

    Raises:
        ConfigurationError: a nameserver cannot be read.
    """
    try:
        resolver = dns.resolver.Resolver(configure=nameservers is None)
    except (dns.resolver.NoResolverConfiguration, OSError):
        return None
    if nameservers is not None:
        resolver.nameservers = [
            dns.nameserver.Do53Nameserver(*parse_nameserver(one)) for one in nameservers
        ]
    return resolver


def system_addresses(host: str, port: int) -> list[str]:
    """Resolve a name as the system does.

    Raises:
        NoSuchName: there is no such name.
        OSError: it cannot be said.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno in _NO_NAME:
            raise NoSuchName(error.errno, error.strerror) from None
        raise
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def resolver_of(nameservers: Sequence[str] | None) -> Callable[[str, int], list[str]]:
    """How names are resolved: by these nameservers, and by the system where they give no address.

    The system knows names that no nameserver does, such as those of its hosts file. It is not asked
    where the nameservers say that there is no such name.

    Raises:
        ConfigurationError: a nameserver cannot be read.
    """
    if nameservers is None:
        return system_addresses
    resolver = make_resolver(nameservers)
    if resolver is None:
        return system_addresses
    resolver.cache = dns.resolver.LRUCache()
    asking = resolver

    def addresses(host: str, port: int) -> list[str]:
        try:
            # Most sites have the first kind, so that most names cost one question.
            for kind in () if host == "localhost" else ("A", "AAAA"):
                answer = asking.resolve(
                    f"{host.rstrip('.')}.",
                    kind,
                    lifetime=_LOOKUP_SECONDS,
                    search=False,
                    raise_on_no_answer=False,
                )
                if answer.rrset is not None:
                    return [record.address for record in answer.rrset]
        except dns.resolver.NXDOMAIN:
            raise NoSuchName(f"{host} does not exist, say the nameservers") from None
        except dns.exception.DNSException:
            pass  # nothing learnt: no answer, or no name that the DNS could carry
        return system_addresses(host, port)

    return addresses
