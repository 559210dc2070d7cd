"""How sure an address is the business's: evidence, weighed; pure, no I/O.

The confidence is a logistic model: weights of what was seen, added up, as a probability. They stand
in ``weights.json``, least first; ``python -m benchmarks.confidence`` fits them to labelled sites so
that more evidence never makes less of an address, and says how honest they are.
"""

from __future__ import annotations

import json
import math
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

from leads_pandas.finding.addresses import mailbox_kind
from leads_pandas.finding.belonging import Judged, Place, Relation, Sighting
from leads_pandas.finding.verify import Mail

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAX_EMAILS = 25
NO_MAIL = 0.05
# More than this the sample that the weights were fitted to cannot tell.
SUREST = 0.98
_PLAIN = ("general", "named")
_MAIN = frozenset((Place.CONTACT, Place.IMPRINT, Place.FRONT))
_LESS = 0.1

WEIGHTS: dict[str, dict[str, float]] = json.loads(
    (files("leads_pandas.finding") / "weights.json").read_text(encoding="utf-8")
)


class Scored(NamedTuple):
    """An address with what speaks for it.

    Attributes:
        address: in its normal form.
        confidence: 0 to 1.
        source: where it stood: a `Place`, ``structured_data`` or ``page_description``.
        evidence: what was weighed, in words, with the weight of each.
        refused: why it is not the business's, or None.
    """

    address: str
    confidence: float
    source: str
    evidence: tuple[tuple[str, float], ...]
    refused: str | None = None


def evidence_for(
    address: str, sightings: Sequence[Sighting], relation: Relation, mail: Mail
) -> dict[str, str]:
    """What was seen of an address: a level of each kind of evidence in `WEIGHTS`."""
    places, ways = WEIGHTS["place"], WEIGHTS["published"]
    main = _MAIN & {one.place for one in sightings}
    inside = relation is Relation.FREE and not main
    return {
        "domain": "free mailbox, inside the site alone" if inside else relation.value,
        "published": max((one.mention.how for one in sightings), key=lambda it: ways[it]),
        "place": max((one.place.value for one in sightings), key=lambda it: places[it]),
        "pages": "several" if len({one.url for one in sightings}) > 1 else "one",
        "mailbox": mailbox_kind(address),
        "takes mail": "yes" if mail is Mail.TAKEN else "unknown",
    }


def weigh(
    address: str, sightings: Sequence[Sighting], relation: Relation, mail: Mail
) -> tuple[tuple[str, float], ...]:
    """What speaks for an address, with the weight of each."""
    seen = evidence_for(address, sightings, relation, mail)
    weighed = ((f"{kind}: {level}", WEIGHTS[kind][level]) for kind, level in seen.items())
    return (("base", WEIGHTS["base"][""]), *weighed)


def explain(judged: Judged, takes_mail: Callable[[str], Mail]) -> list[Scored]:
    """Every address seen, with its confidence, its evidence, and why it is left out if it is.

    The most confident come first, those left out last. Of the others, at most `MAX_EMAILS`.
    """
    seen, relations, refused = judged
    likeliest = [one for one in seen if one not in refused]
    prior = {one: _sum(weigh(one, seen[one], relations[one], Mail.UNKNOWN)) for one in likeliest}
    if len(likeliest) > 1:
        likeliest = sorted(likeliest, key=lambda it: -prior[it])[:MAX_EMAILS]
    scored = []
    plain = max(
        (prior[one] for one in likeliest if _is_plain(one, seen[one], relations[one])),
        default=math.inf,
    )
    said = _all_said([one.rpartition("@")[2] for one in likeliest], takes_mail)
    for address in likeliest:
        mail = said[address.rpartition("@")[2]]
        evidence = weigh(address, seen[address], relations[address], mail)
        if prior[address] >= plain and mailbox_kind(address) not in _PLAIN:
            evidence += (("beside a mailbox for everything", plain - _LESS - prior[address]),)
        confidence = NO_MAIL if mail is Mail.REFUSED else probability(_sum(evidence))
        scored.append(Scored(address, confidence, source_of(seen[address]), evidence))
    # The sum, not the rounded confidence, decides between equals.
    scored.sort(key=lambda it: (it.confidence == NO_MAIL, -_sum(it.evidence)))
    for address, reason in refused.items():
        evidence = weigh(address, seen[address], relations[address], Mail.UNKNOWN)
        scored.append(Scored(address, 0.0, source_of(seen[address]), evidence, reason))
    return scored


def _is_plain(address: str, sightings: Sequence[Sighting], relation: Relation) -> bool:
    """Whether a mailbox of the business's is for everything, and stands where it tells its own."""
    return (
        mailbox_kind(address) in _PLAIN
        and relation not in (Relation.FOREIGN, Relation.UNKNOWN)
        and not _MAIN.isdisjoint(one.place for one in sightings)
    )


def _all_said(domains: list[str], takes_mail: Callable[[str], Mail]) -> dict[str, Mail]:
    """Ask for each domain; a denial is believed once another domain has been shown to exist."""
    said = {one: takes_mail(one) for one in dict.fromkeys(domains)}
    if set(said.values()) > {Mail.UNKNOWN}:
        said |= {one: takes_mail(one) for one, mail in said.items() if mail is Mail.UNKNOWN}
    return said


def probability(log_odds: float) -> float:
    """Log-odds as a probability of two digits."""
    return min(round(1 / (1 + math.exp(-log_odds)), 2), SUREST)


def source_of(sightings: Sequence[Sighting]) -> str:
    """Where an address stood."""
    hows = {one.mention.how for one in sightings}
    if hows <= {"data", "meta"}:
        return "structured_data" if "data" in hows else "page_description"
    shown = [one for one in sightings if one.mention.how in ("link", "text")]
    return max(shown, key=lambda one: WEIGHTS["place"][one.place]).place.value


def _sum(evidence: Sequence[tuple[str, float]]) -> float:
    return sum(weight for _, weight in evidence)
