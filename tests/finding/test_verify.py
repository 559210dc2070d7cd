from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import dns.rcode
import dns.resolver
import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import example, given
from hypothesis import strategies as st

from leads_pandas.finding.verify import Mail, MailDomains, deliverable, well_formed

if TYPE_CHECKING:
    from tests.support.server_harness import NameServer


@example("a--b@firm.de")
@example("info@xn--bcher-kva.de")
@example("a@firm.onion")
@example("a@1.de")
@given(
    st.from_regex(r"[a-z0-9_.+-]{1,24}@[a-z0-9.-]{1,34}\.(?:[a-z]{2,4}|test|local)", fullmatch=True)
)
def test_what_is_plainly_well_formed_is_so_by_all_the_rules(address: str) -> None:
    try:
        known = validate_email(
            address, check_deliverability=False, test_environment=True, strict=True
        ).normalized
    except EmailNotValidError:
        known = None
    assert well_formed(address) == known


@pytest.fixture
def domains(nameserver: NameServer) -> MailDomains:
    return MailDomains([nameserver.address])


@pytest.mark.parametrize("address", ["a@firm.example", "a.b+c@sub.firm.test", "info@müller.de"])
def test_well_formed_addresses_are_kept(address: str) -> None:
    assert well_formed(address) == address


@pytest.mark.parametrize(
    "address",
    [
        "a..b@firm.example",
        ".a@firm.example",
        "a@firm",
        "a@firm.local",
        "a@localhost",
        "a@-firm.example",
        "a@" + "x" * 64 + ".example",
        "a" * 65 + "@firm.example",
        "a@[127.0.0.1]",
        "",
    ],
)
def test_addresses_of_wrong_syntax_are_not_kept(address: str) -> None:
    assert well_formed(address) is None


def test_a_domain_with_an_mx_record_takes_mail(
    nameserver: NameServer, domains: MailDomains
) -> None:
    nameserver.answers["firm.com", "MX"] = ["10 mail.firm.com."]
    assert domains.takes_mail("Firm.com.") is Mail.TAKEN
    assert nameserver.asked == [("firm.com", "MX")]


@pytest.mark.parametrize(("kind", "record"), [("A", "93.184.215.14"), ("AAAA", "2606:4700::1111")])
def test_a_domain_with_an_address_only_takes_mail(
    nameserver: NameServer, domains: MailDomains, kind: str, record: str
) -> None:
    nameserver.answers["firm.com", kind] = [record]
    assert domains.takes_mail("firm.com") is Mail.TAKEN


def test_a_domain_with_neither_takes_none(nameserver: NameServer, domains: MailDomains) -> None:
    nameserver.answers["firm.com", "TXT"] = ['"hello"']
    assert domains.takes_mail("firm.com") is Mail.REFUSED
    assert [kind for _, kind in nameserver.asked[:3]] == ["MX", "A", "AAAA"]


def test_a_null_mx_refuses_mail(nameserver: NameServer, domains: MailDomains) -> None:
    nameserver.answers["firm.com", "MX"] = ["0 ."]
    nameserver.answers["firm.com", "A"] = ["192.0.2.1"]
    assert domains.takes_mail("firm.com") is Mail.REFUSED


def test_a_domain_that_does_not_exist_takes_none(
    nameserver: NameServer, domains: MailDomains
) -> None:
    nameserver.answers["outlook.com", "MX"] = ["10 mail.outlook.com."]
    assert domains.takes_mail("firm.com") is Mail.REFUSED


def test_a_network_that_denies_every_name_is_not_believed(domains: MailDomains) -> None:
    assert domains.takes_mail("firm.com") is Mail.UNKNOWN


def test_a_network_that_has_shown_one_domain_is_believed(
    nameserver: NameServer, domains: MailDomains
) -> None:
    nameserver.answers["other.com", "MX"] = ["10 mail.other.com."]
    assert domains.takes_mail("firm.com") is Mail.UNKNOWN
    assert domains.takes_mail("other.com") is Mail.TAKEN
    assert domains.takes_mail("firm.com") is Mail.REFUSED


def test_international_domains_are_asked_for_in_ascii(
    nameserver: NameServer, domains: MailDomains
) -> None:
    nameserver.answers["xn--mller-kva.de", "MX"] = ["10 mail.firm.com."]
    assert domains.takes_mail("müller.de") is Mail.TAKEN


def test_an_answer_is_remembered(nameserver: NameServer, domains: MailDomains) -> None:
    nameserver.answers["firm.com", "MX"] = ["10 mail.firm.com."]
    for _ in range(3):
        assert domains.takes_mail("firm.com") is Mail.TAKEN
    assert nameserver.asked == [("firm.com", "MX")]


@pytest.mark.parametrize("code", [dns.rcode.SERVFAIL, dns.rcode.REFUSED])
def test_a_server_in_trouble_leaves_the_domain_unknown(
    nameserver: NameServer, domains: MailDomains, code: dns.rcode.Rcode
) -> None:
    nameserver.rcode = code
    assert domains.takes_mail("firm.com") is Mail.UNKNOWN


def test_one_silent_domain_does_not_stop_the_asking_for_others(
    nameserver: NameServer, domains: MailDomains, monkeypatch: pytest.MonkeyPatch
) -> None:
    nameserver.silent.add("slow.com")
    nameserver.answers["firm.com", "MX"] = ["10 mail.firm.com."]
    assert domains.takes_mail("slow.com") is Mail.UNKNOWN
    assert domains.takes_mail("firm.com") is Mail.TAKEN


def test_a_resolver_that_answers_nothing_is_left_alone_for_a_minute(
    nameserver: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    domains = MailDomains([nameserver.address], clock=lambda: now[0])
    nameserver.silent.add("*")
    assert domains.takes_mail("a.com") is Mail.UNKNOWN
    asked = len(nameserver.asked)
    now[0] = 59.0
    assert domains.takes_mail("b.com") is Mail.UNKNOWN
    assert len(nameserver.asked) == asked
    now[0] = 61.0
    nameserver.silent.clear()
    nameserver.answers["b.com", "MX"] = ["10 mail.b.com."]
    assert domains.takes_mail("b.com") is Mail.TAKEN


def test_a_resolver_that_is_not_there_means_unknown() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    domains = MailDomains([f"127.0.0.1:{port}"])
    assert domains.takes_mail("a.com") is Mail.UNKNOWN
    assert domains.takes_mail("b.com") is Mail.UNKNOWN


def test_the_second_server_is_asked_where_the_first_is_in_trouble(nameserver: NameServer) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        dead = f"127.0.0.1:{free.getsockname()[1]}"
    nameserver.answers["firm.com", "MX"] = ["10 mail.firm.com."]
    assert MailDomains([dead, nameserver.address]).takes_mail("firm.com") is Mail.TAKEN


@pytest.mark.parametrize("domain", ["shop.example", "shop.test", "shop.invalid", "shop.internal"])
def test_reserved_names_are_unknown_and_never_asked_for(
    nameserver: NameServer, domains: MailDomains, domain: str
) -> None:
    assert domains.takes_mail(domain) is Mail.UNKNOWN
    assert nameserver.asked == []


def test_a_machine_without_resolvers_leaves_all_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise dns.resolver.NoResolverConfiguration

    monkeypatch.setattr("dns.resolver.Resolver.read_resolv_conf", none)
    assert MailDomains().takes_mail("firm.com") is Mail.UNKNOWN


def test_a_domain_that_no_name_server_could_carry_is_unknown(domains: MailDomains) -> None:
    assert domains.takes_mail("x" * 64 + ".com") is Mail.UNKNOWN


# Many at once


def test_addresses_are_deliverable_or_not_or_unknown(
    nameserver: NameServer, domains: MailDomains
) -> None:
    nameserver.answers["firm.com", "MX"] = ["10 mail.firm.com."]
    nameserver.answers["null.com", "MX"] = ["0 ."]
    nameserver.silent.add("slow.com")
    given = ["a@firm.com", "a@null.com", "a@gone.com", "a@slow.com", "a@firm.test", "no address"]
    given += ["b@FIRM.com", "a@firm.com"]
    said = deliverable(given, domains)
    assert said == ["yes", "no", "no", "unknown", "unknown", "no", "yes", "yes"]


def test_each_domain_is_asked_for_once_and_counted(
    nameserver: NameServer, domains: MailDomains
) -> None:
    for n in range(30):
        nameserver.answers[f"firm{n}.com", "MX"] = ["10 mail.firm.com."]
    seen: list[tuple[int, int]] = []
    given = [f"person{n}@firm{n % 30}.com" for n in range(300)]
    said = deliverable(given, domains, progress=lambda done, of: seen.append((done, of)))
    assert said == ["yes"] * 300
    assert sorted(nameserver.asked) == sorted((f"firm{n}.com", "MX") for n in range(30))
    assert seen == [(n, 30) for n in range(1, 31)]


def test_a_network_that_denies_every_name_makes_no_address_undeliverable(
    domains: MailDomains,
) -> None:
    assert deliverable(["a@firm.com", "a@gmail.com"], domains) == ["unknown", "unknown"]


def test_without_a_dns_all_are_unknown_soon(nameserver: NameServer) -> None:
    nameserver.silent.add("*")
    given = [f"a@firm{n}.com" for n in range(500)]
    assert set(deliverable(given, MailDomains([nameserver.address]))) == {"unknown"}
    assert len({name for name, _ in nameserver.asked}) < len(given) / 5


def test_no_addresses_ask_for_nothing(nameserver: NameServer, domains: MailDomains) -> None:
    assert deliverable([], domains) == []
    assert nameserver.asked == []


def test_of_many_addresses_each_domain_is_asked_for_once_and_a_bar_can_keep_up(
    nameserver: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leads_pandas.finding.verify.LOOKUP_SECONDS", 60)  # on a busy machine
    domains = MailDomains([nameserver.address])
    for n in range(600):
        nameserver.answers[f"firm{n}.com", "MX"] = ["0 ." if n % 4 == 0 else "10 mail.firm.com."]
    moves: list[tuple[int, int]] = []
    addresses = [f"info{n}@firm{n % 600}.com" for n in range(2000)]
    said = deliverable(addresses, domains, progress=lambda *it: moves.append(it))
    assert said == ["no" if n % 600 % 4 == 0 else "yes" for n in range(2000)]
    assert set(nameserver.asked) == {(f"firm{n}.com", "MX") for n in range(600)}
    # A datagram that a busy machine lost is sent again.
    assert len(nameserver.asked) < 2 * 600
    assert moves == sorted(moves)
    assert moves[-1] == (600, 600)
    assert len(moves) <= 101
