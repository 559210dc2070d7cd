from __future__ import annotations

import pytest

from leads_pandas.finding.addresses import addresses_in, with_sign


@pytest.mark.parametrize(
    "text",
    [
        "info@firma.de",
        "info@firma.deTel.: 0123",
        "info@firma.deFax",
        "write to info@firma.de.Next sentence",
        "INFO@FIRMA.DE",
        "info@firma.de2020",
        "info@firma.de-Tel",
        "info@firma.dewww.firma.de",
        "info@firma.dehttps://firma.de/kontakt",
        "E-Mailinfo@firma.de",
        "info [at] firma [dot] de",
        "info (at) firma.de",
        "info{AT}firma{DOT}de",
        "info(a)firma.de",
        "info(at)firma(punkt)de",
        "info -at- firma -dot- de",
        "info_at_firma.de",
        "info AT firma DOT de",
        "info at firma dot de",
        "info arobase firma point de",
        "info chiocciola firma punto de",
        "info małpa firma kropka de",
        "info zavináč firma tečka de",
        "info kukac firma pont de",
        "info собака firma точка de",
        "info snabel-a firma punktum de",
        "info アットマーク firma ドット de",
        "infoアットマークfirma.de",
        "info arroba firma punto de",
        "info ＠ firma．de",  # noqa: RUF001 - the signs are meant
        "info @ firma.de",
        "info@ firma.de",
        "info@firma .de",
        "联系info@firma.de谢谢",
        "ed.amrif@ofni",
        'info"at"firma.de',
        "info #at# firma.de",
        "info (at-merkki) firma.de",
        "info(@t)firma.de",
        "info (маймунка) firma.de",
        "info(majmunče)firma.de",
        "info (sobaka) firma.de",
        "030-123456info@firma.de",
        "mail.info@firma.de",
        "firma.de/info@firma.de",
        "info@@firma.de",
        "info//at//firma.de",
        "info--at--firma.de",
        "info@firma dot de",
        "info @ firma dot de",
        "info@firma (punkt) de",
        "info `at` firma.de",
        "infoNOSPAM@firma.de",
        "info@nospam.firma.de",
        "info@firma.de.nospam",
        "info@REMOVE.firma.de",
        "www.info@firma.de",
        "E-Mail.......info@firma.de",
        "E-Mail:____info@firma.de",
        "-info@firma.de",
        "E-Mail: i n f o @ f i r m a . d e",
        "i n f o @ firma.de",
        'info "at" firma "punkt" de',
        "info_AT_firma_DOT_de",
        "info(\u0430)firma.de",
        "1234info@firma.de",
    ],
)
def test_an_address_is_understood_in_whatever_way_it_is_written(text: str) -> None:
    assert list(addresses_in(text)) == ["info@firma.de"]


@pytest.mark.parametrize(
    "text",
    [
        "Lunch @ noon, lobster @ market.de",
        "look at this dot com",
        "what-to-look-at-first.de",
        "we are @firm and @firm@social.de",
        "follow @firma.de today",
        "logo@2x.png, app@1.2.js, jquery@3.6.0",
        "https://key@errors.de/12",
        "info@localhost and user@pc.lan",
        "user@server@host.de",
        "meet us at firma.com",
        'the word "at" firma.de',
        "price#at#store.de",
        "see medium.com/@firma.de",
    ],
)
def test_what_only_looks_like_an_address_is_none(text: str) -> None:
    assert list(addresses_in(text)) == []


@pytest.mark.parametrize(
    "text",
    [
        "info★firma.de\u3000★を@に変えて送信してください",
        "info#firma.de (bitte # durch @ ersetzen)",
        "Please replace * with @: info*firma.de",
        "info#firma.de 请将#换成@",
        "info_at_firma.de (_at_を@に変えて下さい)",
        "info-@-firma.de (-@-を@に置換して下さい)",
        "info(at)firma.de ((at)を@に変えてください)",
        "info[a]firma.de [a]を\uff20に",
        "info★firma.de ★をアットマークに変えて",
    ],
)
def test_a_sign_that_stands_for_the_at_is_replaced_where_the_page_says_so(text: str) -> None:
    assert list(addresses_in(with_sign(text))) == ["info@firma.de"]


def test_what_was_escaped_twice_is_read() -> None:
    assert list(addresses_in(with_sign("&#105;nfo&#64;firma&#x2e;de"))) == ["info@firma.de"]


def test_a_sign_before_a_word_and_an_address_takes_nothing_away() -> None:
    assert list(addresses_in(with_sign("100% mit info@firma.de"))) == ["info@firma.de"]


@pytest.mark.parametrize("text", ["C#firma.de and @firma", "5★firma.de with love by @firma"])
def test_a_sign_stands_for_itself_where_nobody_says_otherwise(text: str) -> None:
    assert list(addresses_in(with_sign(text))) == []


def test_the_site_s_own_domain_needs_no_more_to_be_believed() -> None:
    assert list(addresses_in("bakery @ firma.de", own="firma.de")) == ["bakery@firma.de"]


@pytest.mark.parametrize("domain", ["почта.рф", "köln.de", "sub.firm-1.co.uk", "firma.museum"])
def test_a_domain_of_any_script_is_read(domain: str) -> None:
    assert list(addresses_in(f"info@{domain}.")) == [f"info@{domain}"]


def test_two_addresses_glued_together_come_apart() -> None:
    assert list(addresses_in("ann@gmail.combob@gmail.com")) == ["ann@gmail.com", "bob@gmail.com"]
    assert list(addresses_in("max@firma.demoritz@firma.de")) == ["max@firma.de", "moritz@firma.de"]


@pytest.mark.parametrize("domain", ["firm.co.uk", "firma.com.br", "firma.com.tr", "firm.net.au"])
def test_two_addresses_come_apart_behind_the_whole_of_a_domain(domain: str) -> None:
    both = [f"info@{domain}", f"sales@{domain}"]
    assert list(addresses_in("".join(both))) == both


def test_an_address_with_every_usual_sign_is_read_whole() -> None:
    text = "o'brien+shop_1.x-y&co@sub.firm-1.co.example"
    assert list(addresses_in(f"({text})")) == [text]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("info@atelier.de", "info@atelier.de"),
        ("info@firma.de point of sale", "info@firma.de"),
        ("info@firma dot nothing", None),
        ("nospam@firma.de", "nospam@firma.de"),
        ("info@kern\u2013brot.de", "info@kern-brot.de"),
        ("info@kern- brot.de", "info@kern-brot.de"),
        ("info at kern-brot (dot) de", "info@kern-brot.de"),
        ("infoATkern-brot.de", "info@kern-brot.de"),
        ("E-mail: anna at kern-brot.de", "anna@kern-brot.de"),
        ("info at kern-brot.de", "info@kern-brot.de"),
        ("Visit us at kern-brot.de", None),
        ("Email us at kern-brot.de.", None),
        ("For more info at www.kern-brot.de", None),
        ("Order at kern-brot.de today", None),
        ("our blog at kern-brot.de", None),
        ("shop at kern-brot.de", None),
        ("Find us @ kern-brot.de", None),
        ("Instagram @kern-brot.de", None),
        ("TikTok: @kern-brot.de, follow us @kern-brot.de", None),
        ("Write to anna.k @kern-brot.de", "anna.k@kern-brot.de"),
    ],
)
def test_what_merely_looks_like_a_way_of_writing_is_left_alone(
    text: str, address: str | None
) -> None:
    assert list(addresses_in(text, "kern-brot.de")) == ([address] if address else [])
