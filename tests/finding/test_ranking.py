from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.confidence import fit, kept, weights_of
from leads_pandas.finding.belonging import Place, Relation, Sighting, Site, judge, relation_of
from leads_pandas.finding.page import Mention
from leads_pandas.finding.ranking import MAX_EMAILS, SUREST, WEIGHTS, explain, probability, weigh
from leads_pandas.finding.verify import Mail
from tests.support.growth import grows_like_its_size

SITE = Site(("www.kern-brot.com",), "Kern Brot, bakery")


def on(
    address: str, place: Place = Place.CONTACT, how: Any = "text", before: str = "", **more: Any
) -> Sighting:
    url = more.pop("url", f"kern-brot.com/{place}")
    return Sighting(Mention(address, how, before, **more), place, url)


def given_for(*seen: Sighting, site: Site = SITE, mail: Mail = Mail.TAKEN) -> list[str]:
    return [
        one.address for one in explain(judge(seen, site), lambda _: mail) if one.refused is None
    ]


@pytest.mark.parametrize(
    ("address", "relation"),
    [
        ("info@kern-brot.com", Relation.OWN),
        ("info@mail.kern-brot.com", Relation.OWN),
        ("info@kern-brot.de", Relation.BRAND),
        ("info@kernbrot-gmbh.de", Relation.BRAND),
        ("kern.brot@gmail.com", Relation.NAMED),
        ("anna77@gmail.com", Relation.FREE),
        ("info@other.de", Relation.FOREIGN),
    ],
)
def test_how_an_address_belongs_to_a_site(address: str, relation: Relation) -> None:
    assert relation_of(address, SITE) is relation


def test_a_site_without_a_name_has_nothing_to_compare() -> None:
    assert relation_of("info@other.de", Site(("127.0.0.1",))) is Relation.UNKNOWN


def test_a_general_mailbox_comes_before_special_ones() -> None:
    special = ("webmaster", "bewerbung", "rechnung", "noreply", "datenschutz")
    seen = [on(f"{name}@kern-brot.com", how="link") for name in special]
    assert given_for(*seen, on("info@kern-brot.com", Place.IMPRINT))[0] == "info@kern-brot.com"


@pytest.mark.parametrize(
    "name",
    ["datenschutz", "bewerbung", "webmaster", "noreply", "accessibility", "ochrona.danych"],
)
def test_a_mailbox_for_one_purpose_comes_after_the_free_one_for_everything(name: str) -> None:
    special = on(f"{name}@kern-brot.com", Place.PRIVACY, "link")
    assert given_for(special, on("brot77@gmail.com"))[0] == "brot77@gmail.com"
    assert given_for(special, on("brot77@gmail.com", Place.OTHER))[0] == f"{name}@kern-brot.com"


def test_the_business_s_free_mailbox_stands_and_the_agency_s_address_does_not() -> None:
    agency = on("hello@pixelwerk.de", Place.FRONT, "link", "Webdesign:", footer=True)
    assert given_for(agency, on("anna77@gmail.com", Place.FRONT)) == ["anna77@gmail.com"]


@pytest.mark.parametrize(
    "sighting",
    [
        on("poststelle@lda.bayern.de", Place.IMPRINT),
        on("info@rak-koeln.de", Place.IMPRINT, before="Zuständige Kammer: Rechtsanwaltskammer"),
        on("mail@hotels.fr", Place.IMPRINT, before="Médiateur de la consommation :"),
        on("support@eventbrite.com", Place.FRONT),
        on("kunde@schreinerei-abc.de", Place.OTHER),
        on("kern@gmail.co", Place.CONTACT),
        on("kontakt@agentur.de", Place.FRONT, before="Realisierung:"),
        on("bau@huber.de", Place.FRONT, before="Unsere Sponsoren:"),
        on("karten@stadt-tickets.de", Place.CONTACT, before="Tickets unter"),
        on("ra@kern-kammer.de", Place.CONTACT, before="Rechtsanwaltskammer Ulm"),
        on("editor@theme.de", Place.CONTACT, "meta"),
    ],
)
def test_others_named_on_the_site_are_left_out(sighting: Sighting) -> None:
    assert given_for(sighting, on("info@kern-brot.com")) == ["info@kern-brot.com"]


def test_an_address_elsewhere_is_given_where_nothing_says_that_it_is_another_s() -> None:
    assert given_for(on("office@rohr-service.at", Place.FRONT)) == ["office@rohr-service.at"]


def test_words_about_others_leave_the_only_address_where_it_is() -> None:
    member = on("office@ra-huber.at", Place.FRONT, before="Mitglied der Rechtsanwaltskammer")
    assert given_for(member) == ["office@ra-huber.at"]
    assert given_for(on("office@huber.at", before="Ihr Partner")) == ["office@huber.at"]


def test_a_domain_within_a_region_s_or_a_host_s_is_known_by_its_own_label() -> None:
    site = Site(("kerndorf.at",))
    assert relation_of("amt@kerndorf.ooe.gv.at", site) is Relation.BRAND
    assert relation_of("amt@anderswo.ooe.gv.at", site) is Relation.FOREIGN


def test_where_a_link_shows_another_address_the_shown_one_counts() -> None:
    left_over = on("kunde77@gmail.com", how="link", instead="brot77@gmail.com")
    assert given_for(left_over, on("brot77@gmail.com")) == ["brot77@gmail.com"]
    assert given_for(left_over) == ["kunde77@gmail.com"]
    own = on("info@kern-brot.com", how="link", instead="brot77@gmail.com")
    assert "info@kern-brot.com" in given_for(own, on("brot77@gmail.com"))
    sample = on("brot77@gmail.com", how="link", instead="info@example.com")
    assert given_for(sample, on("info@example.com")) == ["brot77@gmail.com"]


@pytest.mark.parametrize("before", ["Copyright", "© 2024", "Copyright (c) 2019-2024"])
def test_a_free_mailbox_behind_the_copyright_is_who_made_the_site(before: str) -> None:
    maker = on("pixel77@gmail.com", Place.FRONT, "link", before)
    assert given_for(maker, on("info@kern-brot.com")) == ["info@kern-brot.com"]
    assert given_for(maker) == ["pixel77@gmail.com"]


def test_who_gets_a_form_s_mail_is_the_business_where_visitors_see_no_other() -> None:
    unseen = on("pixel77@gmail.com", how="link", instead="")
    assert given_for(unseen) == ["pixel77@gmail.com"]
    assert given_for(unseen, on("brot77@gmail.com")) == ["brot77@gmail.com"]
    named = on("kernbrot@gmail.com", how="link", instead="")
    assert "kernbrot@gmail.com" in given_for(named, on("brot77@gmail.com"))


def test_a_word_for_any_business_in_the_title_makes_no_domain_of_that_word_its_own() -> None:
    site = Site(("kern-brot.com",), "Firma Kern | oferta firmy")
    assert relation_of("kontakt@firma.pl", site) is Relation.FOREIGN
    assert given_for(on("kontakt@firma.pl", how="link"), on("a@kern-brot.com"), site=site) == [
        "a@kern-brot.com"
    ]


@pytest.mark.parametrize("domain", ["hotmail.gr", "hotmail.dk", "outlook.pt", "live.dk", "inet.fi"])
def test_a_provider_s_domain_of_another_country_is_no_slip(domain: str) -> None:
    assert given_for(on(f"kern77@{domain}")) == [f"kern77@{domain}"]
    assert relation_of(f"kern77@{domain}", SITE) is Relation.FREE


@pytest.mark.parametrize("domain", ["hotmail.cm", "yahoo.om", "hotmial.com"])
def test_a_slip_in_a_provider_s_name_is_still_one(domain: str) -> None:
    assert not given_for(on(f"kern77@{domain}"))


def test_a_rarer_spelling_is_a_slip_of_the_pen() -> None:
    seen = [on("kernbrotbakery@gmail.com", url=f"x/{n}") for n in range(3)]
    wrong = on("kernbrotbakry@gmail.com", url="x/9")
    assert given_for(wrong, *seen) == ["kernbrotbakery@gmail.com"]


def test_thousands_of_addresses_are_not_each_compared_with_all() -> None:
    def work(number: int) -> None:
        judge([on(f"kunde{n}brot@gmail.com", url=f"x/{n % 8}") for n in range(number)], SITE)

    assert grows_like_its_size(work, 400)


def test_a_refusal_says_why() -> None:
    assert judge([on("support@eventbrite.com")], SITE).refused == {
        "support@eventbrite.com": "a platform's"
    }


def test_a_domain_that_takes_no_mail_comes_last() -> None:
    seen = (on("info@kern-brot.com"), on("a@kern-brot.de"))
    said = {"kern-brot.com": Mail.REFUSED, "kern-brot.de": Mail.TAKEN}
    scored = explain(judge(seen, SITE), lambda domain: said[domain])
    assert [(one.address, one.confidence) for one in scored][1] == ("info@kern-brot.com", 0.05)


def test_the_number_given_is_bounded() -> None:
    seen = [on(f"a{n}@kern-brot.com") for n in range(100)]
    assert len(given_for(*seen)) == MAX_EMAILS


def test_wrong_syntax_is_left_out() -> None:
    assert given_for(on("a..b@kern-brot.com"), on("a@kern-brot.local")) == []


def test_the_evidence_adds_up_to_the_confidence() -> None:
    (scored,) = explain(judge([on("info@kern-brot.com")], SITE), lambda _: Mail.TAKEN)
    assert scored.confidence == probability(sum(weight for _, weight in scored.evidence))


def test_the_kept_weights_are_those_that_the_kept_sample_gives() -> None:
    again = weights_of(fit(kept()))
    for kind, levels in WEIGHTS.items():
        assert again[kind] == pytest.approx(levels, abs=0.02)


def test_every_level_of_evidence_weighs_at_least_what_the_one_below_does() -> None:
    assert all(list(levels.values()) == sorted(levels.values()) for levels in WEIGHTS.values())


def test_nothing_is_surer_than_the_sample_can_tell() -> None:
    assert probability(99) == SUREST < 1


PLACES = st.sampled_from(list(Place))
HOWS = st.sampled_from(["link", "text", "data", "meta"])


@given(st.lists(st.tuples(PLACES, HOWS), min_size=1, max_size=5), PLACES, HOWS)
def test_more_evidence_never_makes_less_of_an_address(
    seen: list[tuple[Place, str]], place: Place, how: Any
) -> None:
    sightings = [on("a@kern-brot.com", one, by) for one, by in seen]
    more = [*sightings, on("a@kern-brot.com", place, how, url="x")]
    sums = [
        sum(weight for _, weight in weigh("a@kern-brot.com", these, Relation.OWN, Mail.TAKEN))
        for these in (sightings, more)
    ]
    assert sums[0] <= sums[1] + 1e-9


@pytest.mark.parametrize("before", ["E-Mail (z.B.", "e.g. ", "例", "np.", "Adresse, zum Beispiel"])
def test_a_sample_of_how_to_write_one_is_nobody_s(before: str) -> None:
    assert not given_for(on("anna77@gmail.com", before=before))
    assert given_for(on("anna@kern-brot.com", before=before)) == ["anna@kern-brot.com"]


@pytest.mark.parametrize(
    "before",
    [
        "This domain is for sale! Write to",
        "Die Domain kern-brot.com steht zu verkaufen:",
        "Buy this domain",
    ],
)
def test_whoever_sells_the_domain_is_not_the_business(before: str) -> None:
    assert not given_for(on("sales@broker.de", Place.FRONT, "link", before))
    assert not given_for(on("anna77@gmail.com", Place.FRONT, "link", before))


def test_who_hands_out_the_site_s_name_hands_out_its_mailboxes() -> None:
    site = Site(("kern.notaires.fr",), "Office Kern")
    assert relation_of("archives.97@notaires.fr", site) is Relation.FREE
    assert relation_of("archives.97@notaries.fr", site) is Relation.FOREIGN


def test_a_free_mailbox_at_the_end_of_pages_is_who_made_the_site() -> None:
    own = on("info@kern-brot.com")
    ends = [on("pixel77@gmail.com", Place.FRONT, last=True, url=url) for url in ("a", "b")]
    assert given_for(own, *ends) == ["info@kern-brot.com"]
    beside = [on("info@kern-brot.com", Place.FRONT, last=True, url=url) for url in ("a", "b")]
    assert "pixel77@gmail.com" in given_for(own, *beside, *ends)
    assert given_for(*ends) == ["pixel77@gmail.com"]
