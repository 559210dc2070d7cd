"""Whether an address can be right: its syntax, and whether its domain takes mail."""

from __future__ import annotations

import contextlib
import enum
import logging
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING, Literal

import dns.exception
import dns.resolver
from email_validator import (
    EmailNotValidError,
    EmailUndeliverableError,
    caching_resolver,
    validate_email,
)

from leads_pandas.finding.names import make_resolver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractContextManager

log = logging.getLogger("leads_pandas.server")

Deliverable = Literal["yes", "no", "unknown"]

LOOKUP_SECONDS = 2
PAUSE_SECONDS = 60.0
_KEEP_ANSWERS = 20_000
_AT_ONCE = 32

# RFC 2606 and RFC 6761 keep these out of the public DNS, so asking would prove nothing.
_RESERVED = ("example", "test", "invalid", "localhost", "local", "onion", "alt", "internal")

# An address of short names in small letters, at a domain of two or three of them.
_PLAINLY_WELL_FORMED = re.compile(
    r"[a-z0-9_]{1,20}(?:[.+-][a-z0-9_]{1,20}){0,2}@"
    r"(?:[a-z0-9]{1,30}(?:-[a-z0-9]{1,30})?\.){1,2}(?:[a-z]{2,3}|info|test)\Z"
)

# Wherever the DNS is told truly, these are there.
_ALWAYS_THERE = ("gmail.com", "outlook.com", "yahoo.com")


class Mail(enum.Enum):
    """What the DNS says of a domain: it takes mail, it does not, or nothing was learnt."""

    TAKEN = "taken"
    REFUSED = "refused"
    UNKNOWN = "unknown"


def well_formed(address: str) -> str | None:
    """The address in its normal form, or None where its syntax is wrong; no request."""
    if _PLAINLY_WELL_FORMED.match(address):
        return address  # as nearly all are, and what the whole check would say
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


def deliverable(
    addresses: Iterable[str],
    domains: MailDomains,
    *,
    progress: Callable[[int, int], None] = lambda _, __: None,
) -> list[Deliverable]:
    """Say of addresses whether mail can reach them: by their syntax, and by their domains' DNS.

    Each domain is asked for once, 32 at a time. No mail server is spoken to.

    Args:
        addresses: as they are written; equal ones cost nothing more.
        domains: asks the DNS.
        progress: called with the number of domains that are done, and of all of them.

    Returns:
        One answer for each address, in their order.
    """
    given = list(addresses)
    domain_of = {one: _domain(one) for one in dict.fromkeys(given)}
    known = domains.take_mail(filter(None, domain_of.values()), progress=progress)
    words: dict[Mail, Deliverable] = {
        Mail.TAKEN: "yes",
        Mail.REFUSED: "no",
        Mail.UNKNOWN: "unknown",
    }
    answers: dict[str, Deliverable] = {
        address: "no" if domain is None else words[known[domain]]
        for address, domain in domain_of.items()
    }
    return [answers[one] for one in given]


def _domain(address: str) -> str | None:
    """The domain of an address, in ASCII; None where the address is no address."""
    try:
        return validate_email(
            address, check_deliverability=False, test_environment=True, strict=True
        ).ascii_domain
    except EmailNotValidError:
        return None


class MailDomains:
    """Asks the DNS which domains take mail, and remembers the answers for as long as they hold.

    A domain takes mail where it has an MX record that is no null MX (RFC 7505), or, without any, an
    address record (RFC 5321). No answer means unknown. Resolvers that answer nothing at all are
    left alone for a minute, and what a network says that denies even the largest mail providers is
    not believed.

    Args:
        nameservers: resolvers as ``host:port``; None: the system's.
        clock: seconds that only go forward.

    Raises:
        ConfigurationError: a nameserver cannot be read.

    Safe to use from several threads.
    """

    def __init__(
        self,
        nameservers: Sequence[str] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._paused_until = clock()
        self._is_true = False  # the DNS has shown a domain that there is
        self._resolver = make_resolver(nameservers)
        if self._resolver is not None:
            self._resolver.timeout = (
                LOOKUP_SECONDS / 4
            )  # a dead server must leave time for the next
            caching_resolver(
                timeout=LOOKUP_SECONDS,
                cache=dns.resolver.LRUCache(_KEEP_ANSWERS),
                dns_resolver=self._resolver,
            )

    def takes_mail(
        self,
        domain: str,
        *,
        aside: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
    ) -> Mail:
        """Ask whether a domain takes mail: some seconds at most, and usually from memory.

        Args:
            domain: its name.
            aside: entered while the DNS is waited for.
        """
        domain = domain.lower().rstrip(".")
        if not self._is_asked(domain):
            return Mail.UNKNOWN
        with aside():
            return self._believed(self._ask(domain))

    def take_mail(
        self,
        domains: Iterable[str],
        *,
        progress: Callable[[int, int], None] = lambda _, __: None,
    ) -> dict[str, Mail]:
        """Ask for many domains, each once."""
        wanted = list(dict.fromkeys(domains))
        answers: dict[str, Mail | None] = {}
        pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="leads-pandas-dns")
        try:
            asked = {pool.submit(self._ask, one.lower().rstrip(".")): one for one in wanted}
            for done, future in enumerate(as_completed(asked), start=1):
                answers[asked[future]] = future.result()
                # A bar that is drawn for each of thousands is a flood where it is no terminal's.
                if done == len(wanted) or not done % max(len(wanted) // 100, 1):
                    progress(done, len(wanted))
        finally:
            # An interrupt must not wait for what nobody waits for any more.
            pool.shutdown(wait=False, cancel_futures=True)
        return {domain: self._believed(answer) for domain, answer in answers.items()}

    def _is_asked(self, domain: str) -> bool:
        """Whether the DNS is asked for a domain at all, now."""
        if domain.rpartition(".")[2] in _RESERVED or self._resolver is None:
            return False
        with self._lock:
            return self._paused_until <= self._clock()

    def _ask(self, domain: str) -> Mail | None:
        """What the DNS says of a domain; None where it says that there is no such domain."""
        if self._resolver is None or not self._is_asked(domain):
            return Mail.UNKNOWN
        try:
            found = validate_email(f"postmaster@{domain}", dns_resolver=self._resolver)
        except EmailUndeliverableError as error:
            cause = error.__cause__
            if isinstance(cause, dns.resolver.NXDOMAIN):
                return None
            # Without a cause it is a null MX, or a domain that sends none and has no MX.
            if cause is not None and not isinstance(cause, dns.resolver.NoAnswer):
                return Mail.UNKNOWN
            self._is_true = True
            return Mail.REFUSED
        except EmailNotValidError:
            return Mail.UNKNOWN  # no name that the DNS could carry
        if getattr(found, "mx", None):
            self._is_true = True
            return Mail.TAKEN
        if not _is_alive(self._resolver):
            with self._lock:
                self._paused_until = self._clock() + PAUSE_SECONDS
            log.warning(
                "no DNS server answers: addresses stay unverified for %.0f s", PAUSE_SECONDS
            )
        return Mail.UNKNOWN

    def _believed(self, answer: Mail | None) -> Mail:
        """What an answer is worth: a network may deny every name that there is."""
        if answer is not None:
            return answer
        if not self._is_true:
            any(self._ask(one) is Mail.TAKEN for one in _ALWAYS_THERE)  # notes it
        return Mail.REFUSED if self._is_true else Mail.UNKNOWN


def _is_alive(resolver: dns.resolver.Resolver) -> bool:
    """Whether any resolver answers anything: one domain's servers may be slow on their own."""
    try:
        resolver.resolve(".", "NS", lifetime=1.0, search=False)
    except (dns.exception.Timeout, OSError):
        return False
    except dns.exception.DNSException:
        return True
    return True
