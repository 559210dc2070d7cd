"""Addresses that are nobody's: samples in forms, what a theme was shipped with, names of machines.

The lists are by language. A word on them condemns an address only where the rest of it agrees, and
never where the domain is the site's own, but for names that are a sample wherever they stand.
"""

from __future__ import annotations

import re
from functools import lru_cache

from leads_pandas.finding.domains import is_free, is_nowhere, name_of, registrable, squeeze
from leads_pandas.finding.wordlists import pattern, words


def _squeezed(name: str) -> frozenset[str]:
    return frozenset(squeeze(word) for word in words("samples", name))


# "Example", in the languages of the web.
_EXAMPLE = _squeezed("example")
# Domains that stand for "yours" or for nothing in particular.
_NOBODYS_DOMAINS = _squeezed("domains")
# Domains that are a sample's only where the mailbox is one too: somebody has registered them.
_VAGUE_DOMAINS = _squeezed("vague domains")
# Mailboxes that are a sample's wherever they stand.
_NOBODYS_NAMES = pattern("samples", "mailboxes", "^(?:{})$")
# Mailbox and domain that are one: jean@dupont.fr.
_NOBODY = pattern("samples", "people", "^(?:{})$")
# Mailboxes that are a sample's at a domain that is vague or anybody's: name@firma.de.
_VAGUE_NAMES = _squeezed("vague mailboxes")
# Mailboxes that mean nothing at a sample's own domain but may be real on any other vague one.
_VAGUE_BUT_REAL = _squeezed("vague but real")
# Who makes themes, site builders, plugins, and the addresses these are shipped with.
_MAKERS = words("domains", "makers")
_MACHINES = re.compile(
    r"^(?:git|svn|hg|root|www-data|nobody|localhost|filler|u?[0-9a-f]{20,}|[0-9a-f-]{30,}"
    r"|mailer-daemon|bounces?|wordpress)$"
)


@lru_cache(maxsize=4096)
def is_nobodys(address: str, host: str) -> bool:
    """Whether an address is a sample, a theme maker's or a machine's.

    Args:
        address: in lower case.
        host: the website's host; an address at its own domain is judged more kindly.
    """
    name, _, domain = address.rpartition("@")
    plain, folded, is_machine, is_sample = _mailbox(name)
    if is_machine:
        return True
    held = registrable(domain)
    own = held == registrable(host)
    if is_sample and not (own and plain in _VAGUE_BUT_REAL):
        return not (own and folded in ("nom", "ad", "bar", "primer"))
    if own:
        return False
    if domain in _MAKERS or held in _MAKERS:
        return True
    label = squeeze(name_of(domain))
    if held.rpartition(".")[2] in ("example", "test", "invalid", "localhost"):
        return not is_nowhere(host) or label in _NOBODYS_DOMAINS | _EXAMPLE
    if (
        label in _NOBODYS_DOMAINS | _EXAMPLE
        or _NOBODY.match(f"{folded}.{label}")
        or any(squeeze(one) in _SURELY_EXAMPLES for one in domain.split(".")[:-1])
    ):
        return True
    if plain in _VAGUE_NAMES:
        if label in _VAGUE_DOMAINS:
            return not (plain in _VAGUE_BUT_REAL and label not in ("email", "mail", "gmail"))
        if is_free(domain):
            return plain not in _VAGUE_BUT_REAL and "." not in name
    return plain == label and label in _VAGUE_NAMES | _VAGUE_DOMAINS


_SURELY_EXAMPLES = _EXAMPLE - {"muster", "primer", "sample"}


@lru_cache(maxsize=4096)
def _mailbox(name: str) -> tuple[str, str, bool, bool]:
    """A mailbox squeezed and folded, and whether its name alone is a machine's or a sample's."""
    folded = _folded(name)
    return (
        squeeze(name),
        folded,
        _MACHINES.match(name) is not None,
        _NOBODYS_NAMES.match(folded) is not None,
    )


def _folded(name: str) -> str:
    """A mailbox without accents, its separators kept."""
    return "".join(squeeze(c) or c for c in name)
