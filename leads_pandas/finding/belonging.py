"""Whose an address is: the business's, or of one that its site merely names; pure, no I/O.

An address at the site's own domain is its own. One elsewhere may be theirs as well (many a small
business has its mailbox at a provider, or under an older name), unless the words around it, the
domain, or the page says that it is an authority's, an agency's, a platform's or a client's. Beside
the site's own addresses it is theirs only where something on the site connects the two.
"""

from __future__ import annotations

import re
from collections import defaultdict
from enum import StrEnum
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from leads_pandas.finding.addresses import ROLES, mailbox_kind
from leads_pandas.finding.domains import (
    alike,
    in_ascii,
    is_free,
    is_mistyped,
    is_nowhere,
    is_slip_of,
    name_of,
    one_slip,
    registrable,
    squeeze,
)
from leads_pandas.finding.labels import folded
from leads_pandas.finding.placeholders import is_nobodys
from leads_pandas.finding.verify import well_formed
from leads_pandas.finding.wordlists import pattern, words

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from leads_pandas.finding.page import Mention


class Place(StrEnum):
    """The kind of page an address stood on; the value is what `Email.source` says."""

    CONTACT = "contact_page"
    IMPRINT = "imprint"
    FRONT = "front_page"
    ABOUT = "about_page"
    PRIVACY = "privacy_page"
    OTHER = "other_page"


class Relation(StrEnum):
    """How an address's domain belongs to the site."""

    OWN = "own domain"
    BRAND = "domain of the same name"
    NAMED = "free mailbox of the same name"
    FREE = "free mailbox"
    UNKNOWN = "the site has no domain to compare"
    FOREIGN = "another domain"


class Site(NamedTuple):
    """Who a website says it is: its hosts, its titles, the folder it lives in on a shared host."""

    hosts: tuple[str, ...]
    title: str = ""
    folder: str = ""

    @property
    def names(self) -> list[str]:
        """The names that the site goes by, squeezed."""
        hosts = [squeeze(name_of(host)) for host in self.hosts if not is_nowhere(host)]
        return [name for name in (*hosts, squeeze(self.folder)) if len(name) > 1]


class Sighting(NamedTuple):
    """An address on a page."""

    mention: Mention
    place: Place
    url: str


class Judged(NamedTuple):
    """The addresses of a site.

    Attributes:
        seen: where each stood, by the address in its normal form.
        relations: how each belongs to the site.
        refused: those that are not the business's, each with the reason.
    """

    seen: Mapping[str, Sequence[Sighting]]
    relations: Mapping[str, Relation]
    refused: Mapping[str, str]


_MAKER = "named as the maker or host of the website"
_TITLE_NAME = 5
_LOCAL_SLIP = 8
# Addresses of one mailbox or one domain that each is compared with: pages may have thousands.
_MANY = 50
_MAIN_MAILBOXES = ("general", "named")
_SURELY_THEIRS = (Relation.OWN, Relation.BRAND, Relation.NAMED)
_THEIRS = (Relation.OWN, Relation.BRAND, Relation.NAMED, Relation.FREE)
_MAIN_PLACES = frozenset((Place.CONTACT, Place.FRONT, Place.IMPRINT, Place.ABOUT))

_AUTHORITIES = pattern("whose", "authorities")
_AUTHORITY_WORDS = pattern("whose", "authority words")
_CREDIT_WORDS = pattern("whose", "credit words")
_SALE_WORDS = pattern("whose", "sale words")
_SAMPLE_WORDS = pattern("samples", "words before", r"(?<![\w.@-])(?:{})[\W_]*$")
_OTHERS_WORDS = pattern("whose", "words for others")
# Behind it a free mailbox is that of who made the page, where the business has one of its own.
_COPYRIGHT = re.compile(r"(?:\bcopyright|©|\(c\))[\W\d]*$", re.IGNORECASE)
_CONTROLLER_WORDS = pattern("whose", "controller words")
# Where things are sold, booked, posted or hosted. On their own sites they are OWN.
_PLATFORMS = words("domains", "platforms")
# What a business is, not what it is called: hotel.example is a portal, firm.example a sample.
_NO_NAMES = ROLES | words("samples", "vague domains")


@lru_cache(maxsize=4096)
def relation_of(address: str, site: Site) -> Relation:
    """How an address belongs to a site."""
    local, _, domain = address.rpartition("@")
    held, ascii_domain = registrable(domain), in_ascii(domain)
    hosts = [
        host for host in site.hosts if not is_nowhere(host) or host.endswith((".example", ".test"))
    ]
    for host in hosts:
        plain = in_ascii(host).removeprefix("www.")
        if in_ascii(registrable(host)) == in_ascii(held) or plain == ascii_domain:
            return Relation.OWN
    title = squeeze(site.title)
    names = [squeeze(name_of(host)) for host in hosts] + (
        [squeeze(site.folder)] if site.folder else []
    )
    mailbox = squeeze(local).strip("0123456789")
    named = any(alike(mailbox, name) for name in names) or (
        len(mailbox) > _TITLE_NAME and mailbox in title and mailbox_kind(address) == "named"
    )
    # Where a town or a profession hands out names, it hands out mailboxes too.
    if is_free(domain) or any(host.endswith(f".{domain}") for host in hosts):
        return Relation.NAMED if named else Relation.FREE
    label = squeeze(name_of(domain))
    if any(len(one) >= _TITLE_NAME and squeeze(one) in names for one in domain.split(".")[:-2]):
        return Relation.BRAND  # town.region.example, firm.hoster.example
    if any(label == name or name == squeeze(held) for name in names):
        return Relation.BRAND
    if label not in _NO_NAMES and (
        any(alike(label, name) for name in names) or _is_said(label, site.title)
    ):
        return Relation.BRAND
    if named:
        return Relation.NAMED  # oakschool@schools.town.example
    return Relation.FOREIGN if hosts else Relation.UNKNOWN


def _is_said(label: str, title: str) -> bool:
    """Whether a title has a name as whole words: a federation is not each of its clubs."""
    words = folded(title)
    return len(label) >= _TITLE_NAME and any(
        label.startswith(word) and label in accumulate(words[at:]) for at, word in enumerate(words)
    )


def judge(sightings: Iterable[Sighting], site: Site) -> Judged:
    """Tell the business's addresses from others that its site names."""
    seen: dict[str, list[Sighting]] = {}
    for one in sightings:
        address = well_formed(one.mention.address)
        if address is not None:
            seen.setdefault(address, []).append(one)
    relations = {address: relation_of(address, site) for address in seen}
    return Judged(seen, relations, _refused(seen, relations, site))


def _refused(
    seen: Mapping[str, Sequence[Sighting]], relations: Mapping[str, Relation], site: Site
) -> dict[str, str]:
    host = next(iter(site.hosts), "")
    refused: dict[str, str] = {}
    for address, relation in relations.items():
        if is_nobodys(address, host) and not (
            relation is Relation.OWN
            and not is_nobodys(address, registrable(address.rpartition("@")[2]))
        ):
            refused[address] = "a placeholder, a theme's or a machine's"
        elif relation is not Relation.OWN and is_mistyped(address.rpartition("@")[2]):
            refused[address] = "a provider's name with a slip"
    kept = [address for address in seen if address not in refused]
    slips = _slips(kept, seen, relations)
    shown = {
        one: relations[one] for one in kept if any(it.mention.instead is None for it in seen[one])
    }
    for address in kept:
        reason = (
            slips.get(address)
            or _in_passing(seen[address], relations[address])
            or _credit(seen[address], relations[address])
            or _unseen(seen[address], relations[address], refused, shown)
        )
        if reason:
            refused[address] = reason
    credited = [one for one in kept if one in refused and relations[one] is Relation.FREE]
    others = any(one not in refused and relations[one] in _THEIRS for one in kept)
    for address in credited:
        # Designers and photographers write these words of themselves; an agency has a domain.
        if not others and refused[address] == _MAKER:
            del refused[address]
    theirs = [one for one in kept if one not in refused and relations[one] in _THEIRS]
    main = {
        one
        for one in theirs
        if relations[one] in _SURELY_THEIRS and mailbox_kind(one) in _MAIN_MAILBOXES
    }
    ends = _ends(theirs, seen)
    ends_of_main = _ends(main, seen)
    for address in kept:
        elsewhere = relations[address] in (Relation.FOREIGN, Relation.UNKNOWN) or (
            relations[address] is Relation.NAMED and not is_free(address.rpartition("@")[2])
        )
        inside = {one.place for one in seen[address]} == {Place.OTHER}
        if main and relations[address] is Relation.FREE:
            pages = {one.url for one in seen[address]}
            if inside:
                refused.setdefault(address, "a member's or a guest's, on a page inside")
            elif len(pages) > 1 and _is_signature(seen[address], ends_of_main):
                refused.setdefault(address, "who made the website, at the end of pages")
            elif all(_has(_COPYRIGHT, one.mention.before[-30:]) for one in seen[address]):
                refused.setdefault(address, "who made the website, by its copyright")
        if address not in refused and elsewhere:
            have = any(one != address for one in theirs)
            reason = _others(address, seen[address], relations[address], have_theirs=have)
            if reason is None and have and _is_signature(seen[address], ends):
                reason = "another business's, at the end of pages"
            if (
                reason is None
                and main - {address}
                and not _is_claimed(address, seen[address], site)
            ):
                reason = "another business's, beside the site's own addresses"
            if reason:
                refused[address] = reason
    return refused


def _ends(addresses: Iterable[str], seen: Mapping[str, Sequence[Sighting]]) -> set[str]:
    """The pages among whose last words one of the addresses stands."""
    return {it.url for one in addresses for it in seen[one] if it.mention.last}


def _is_signature(sightings: Sequence[Sighting], ends: Collection[str]) -> bool:
    """Whether an address is the last thing on pages that need not tell one, as a maker signs.

    Args:
        sightings: where it stood.
        ends: the pages at whose end an address of the business stands.
    """
    return all(one.mention.last for one in sightings) and any(
        one.place not in (Place.CONTACT, Place.IMPRINT) and one.url not in ends for one in sightings
    )


def _is_claimed(address: str, sightings: Sequence[Sighting], site: Site) -> bool:
    """Whether a site says more of an address elsewhere than that it stands there.

    It does where data for machines names it too, or where its domain has a word of the site's own
    that is not just its trade.
    """
    hows = {one.mention.how for one in sightings}
    if "data" in hows and len(hows) > 1:
        return True
    words = re.split(r"[\W\d_]+", name_of(address.rpartition("@")[2]))
    telling = [word for word in words if len(word) >= _TITLE_NAME and word not in ROLES]
    return any(word in name for word in telling for name in site.names)


def _slips(
    kept: Sequence[str],
    seen: Mapping[str, Sequence[Sighting]],
    relations: Mapping[str, Relation],
) -> dict[str, str]:
    """The addresses that are other ones, seen more often, with a letter wrong, and of which."""
    often = {one: len({it.url for it in seen[one]}) for one in kept}
    by_mailbox, by_domain = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    for one in kept:
        mailbox, _, domain = one.rpartition("@")
        by_mailbox[mailbox].append(one)
        if often[one] > 1:
            by_domain[domain].append(one)
    slips: dict[str, str] = {}
    for one in kept:
        mailbox, _, domain = one.rpartition("@")
        others = by_mailbox[mailbox][:_MANY]
        if often[one] == 1 and len(mailbox) >= _LOCAL_SLIP:
            others = others + by_domain[domain][:_MANY]
        for other in others:
            if other != one and _is_slip(one, other, relations):
                slips.setdefault(one, f"a slip of {other}")
    return slips


def _is_slip(address: str, other: str, relations: Mapping[str, Relation]) -> bool:
    """Whether one of two addresses with the same mailbox or domain is the other with a slip."""
    local, _, domain = address.rpartition("@")
    name, _, at = other.rpartition("@")
    if at == domain:
        return _letters_slip(local, name)
    return is_slip_of(domain, at) or (
        relations[other] is Relation.OWN
        and relations[address] is not Relation.OWN
        and len(at) >= _LOCAL_SLIP
        and (squeeze(domain) == squeeze(at) or one_slip(squeeze(domain), squeeze(at)))
    )


def _letters_slip(one: str, other: str) -> bool:
    without = re.sub(r"\d", "", one), re.sub(r"\d", "", other)
    return one_slip(one, other) and without[0] != without[1] and squeeze(one) != squeeze(other)


def _in_passing(sightings: Sequence[Sighting], relation: Relation) -> str | None:
    """Whether every sighting is a sample of how to write one, or whom to buy the domain from."""
    said = [one.mention.before for one in sightings]
    if relation not in _SURELY_THEIRS and all(_has(_SAMPLE_WORDS, one[-30:]) for one in said):
        return "a sample of how to write one"
    if relation is not Relation.OWN and all(_has(_SALE_WORDS, one) for one in said):
        return "whoever sells the domain"
    return None


def _credit(sightings: Sequence[Sighting], relation: Relation) -> str | None:
    """Whether every sighting stands behind the words that name who made the website."""
    if relation in (Relation.OWN, Relation.NAMED):
        return None
    for one in sightings:
        if not _has(_CREDIT_WORDS, one.mention.before[-70:]):
            return None
    return _MAKER


def _unseen(
    sightings: Sequence[Sighting],
    relation: Relation,
    refused: Collection[str],
    shown: Mapping[str, Relation],
) -> str | None:
    """Whether visitors see another address in its place, or none where they see the business's."""
    instead = {one.mention.instead for one in sightings}
    if None in instead or relation is Relation.OWN:
        return None
    if any(one in shown and one not in refused for one in instead if one):
        return "behind a link that shows another address"
    if relation not in _SURELY_THEIRS and any(
        of in _THEIRS and one not in refused for one, of in shown.items()
    ):
        return "who gets a form's mail or wrote the page, beside what visitors see"
    return None


@lru_cache(maxsize=4096)
def _has(words: re.Pattern[str], text: str) -> bool:
    """Whether words stand in a text: asked again with every page of a site."""
    return words.search(text) is not None


def _others(
    address: str, sightings: Sequence[Sighting], relation: Relation, *, have_theirs: bool
) -> str | None:
    domain = address.rpartition("@")[2]
    if registrable(domain) in _PLATFORMS or domain in _PLATFORMS:
        return "a platform's"
    if _has(_AUTHORITIES, domain):
        return "an authority's, a court's or a chamber's"
    shown = [one for one in sightings if one.mention.how != "meta"] or sightings
    places = {one.place for one in shown}
    aside = have_theirs or not places & {Place.FRONT, Place.CONTACT}
    if aside and all(_has(_AUTHORITY_WORDS, one.mention.before[-160:]) for one in shown):
        return "named as an authority, a court or a chamber"
    if relation is Relation.UNKNOWN:
        return None
    if have_theirs:
        if {one.mention.how for one in sightings} <= {"data", "meta"}:
            return "another business's, in data for machines alone"
        if all(one.mention.footer for one in sightings):
            return "another business's, in the footer"
        if all(_has(_OTHERS_WORDS, one.mention.before[-90:]) for one in shown):
            return "another business's, named as a partner, a client or where tickets are sold"
        if places <= {Place.PRIVACY, Place.OTHER, Place.IMPRINT, Place.ABOUT}:
            return "another business's, on a page inside"
    elif not places & _MAIN_PLACES and len({one.url for one in sightings}) == 1:
        said = " ".join(one.mention.before for one in sightings)
        if places == {Place.OTHER} or _CONTROLLER_WORDS.search(said) is None:
            return "another business's, on a page inside"
    return None
