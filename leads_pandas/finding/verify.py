"""Whether an address can be right: its syntax, and whether its domain takes mail."""

from __future__ import annotations

import enum
import ipaddress
import logging
import re
import threading
import time
from typing import TYPE_CHECKING

import dns.exception
import dns.nameserver
import dns.rdatatype
import dns.resolver
from email_validator import EmailNotValidError, validate_email

from leads_pandas.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

log = logging.getLogger("leads_pandas.server")

LOOKUP_SECONDS = 2.0
PAUSE_SECONDS = 60.0
_KEEP_SECONDS = 3600.0
_KEEP_DOMAINS = 10_000

_PORTS = 2**16
_WITH_PORT = re.compile(r"(?:\[(.+)\]|([^:]+))(?::([0-9]{1,5}))?$")

# RFC 2606 and RFC 6761 keep these out of the public DNS, so asking would prove nothing.
_RESERVED = ("example", "test", "invalid", "localhost", "local", "onion", "alt", "internal")


class Mail(enum.Enum):
    """What the DNS says of a domain: it takes mail, it does not, or nothing was learnt."""

    TAKEN = "taken"
    REFUSED = "refused"
    UNKNOWN = "unknown"


def well_formed(address: str) -> str | None:
    """The address in its normal form, or None where its syntax is wrong; no request."""
    try:
        return validate_email(
            address,
            check_deliverability=False,
            test_environment=True,
            allow_smtputf8=False,
            strict=True,
        ).normalized
    except EmailNotValidError:
        return None


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


class MailDomains:
    """Asks the DNS which domains take mail, and remembers the answers.

    A domain takes mail where it has an MX record that is no null MX (RFC 7505), or, without any, an
    address record (RFC 5321). No answer means unknown. Resolvers that answer nothing at all are
    left alone for a minute.

    Args:
        nameservers: resolvers as ``host:port``; None: the system's.
        clock: seconds that only go forward.

    Raises:
        ConfigurationError: a nameserver cannot be read.
    """

    def __init__(
        self,
        nameservers: Sequence[str] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, tuple[Mail, float]] = {}
        self._paused_until = clock()
        self._resolver = _resolver(nameservers)

    def takes_mail(self, domain: str) -> Mail:
        """Ask whether a domain takes mail; at most some 3 seconds, and usually from memory."""
        domain = domain.lower().rstrip(".")
        if domain.rpartition(".")[2] in _RESERVED or self._resolver is None:
            return Mail.UNKNOWN
        now = self._clock()
        with self._lock:
            mail, until = self._known.get(domain, (Mail.UNKNOWN, now))
            if until > now:
                return mail
            if self._paused_until > now:
                return Mail.UNKNOWN
        mail = self._ask(self._resolver, domain)
        keep = PAUSE_SECONDS if mail is Mail.UNKNOWN else _KEEP_SECONDS
        with self._lock:
            if len(self._known) >= _KEEP_DOMAINS:
                self._known.clear()
            self._known[domain] = (mail, self._clock() + keep)
        return mail

    def _ask(self, resolver: dns.resolver.Resolver, domain: str) -> Mail:
        try:
            return _look_up(resolver, domain)
        except dns.exception.Timeout:
            if not _is_alive(resolver):
                with self._lock:
                    self._paused_until = self._clock() + PAUSE_SECONDS
                log.warning(
                    "no DNS server answers: addresses stay unverified for %.0f s", PAUSE_SECONDS
                )
        except (dns.exception.DNSException, OSError, ValueError) as error:
            log.debug("the DNS did not say whether %s takes mail: %s", domain, error)
        return Mail.UNKNOWN


def _resolver(nameservers: Sequence[str] | None) -> dns.resolver.Resolver | None:
    try:
        resolver = dns.resolver.Resolver(configure=nameservers is None)
    except (dns.resolver.NoResolverConfiguration, OSError):
        return None
    if nameservers is not None:
        resolver.nameservers = [
            dns.nameserver.Do53Nameserver(*parse_nameserver(one)) for one in nameservers
        ]
    resolver.timeout = LOOKUP_SECONDS / 4  # a dead server must leave time for the next
    return resolver


def _look_up(resolver: dns.resolver.Resolver, domain: str) -> Mail:
    deadline = time.monotonic() + LOOKUP_SECONDS
    name = domain.encode("idna").decode() + "."
    for kind in (dns.rdatatype.MX, dns.rdatatype.A, dns.rdatatype.AAAA):
        try:
            answer = resolver.resolve(
                name, kind, lifetime=max(deadline - time.monotonic(), 0.05), search=False
            )
        except dns.resolver.NXDOMAIN:
            return Mail.REFUSED
        except dns.resolver.NoAnswer:
            continue
        if kind == dns.rdatatype.MX and all(str(one.exchange) == "." for one in answer):
            return Mail.REFUSED
        return Mail.TAKEN
    return Mail.REFUSED


def _is_alive(resolver: dns.resolver.Resolver) -> bool:
    """Whether any resolver answers anything: one domain's servers may be slow on their own."""
    try:
        resolver.resolve(".", "NS", lifetime=1.0, search=False)
    except (dns.exception.Timeout, OSError):
        return False
    except dns.exception.DNSException:
        return True
    return True
