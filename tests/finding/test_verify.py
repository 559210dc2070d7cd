from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import dns.rcode
import dns.resolver
import pytest

from leads_pandas.errors import ConfigurationError
from leads_pandas.finding.verify import Mail, MailDomains, parse_nameserver, well_formed

if TYPE_CHECKING:
    from tests.support.server_harness import NameServer


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


@pytest.mark.parametrize(("kind", "record"), [("A", "192.0.2.1"), ("AAAA", "2001:db8::1")])
def test_a_domain_with_an_address_only_takes_mail(
    nameserver: NameServer, domains: MailDomains, kind: str, record: str
) -> None:
    nameserver.answers["firm.com", kind] = [record]
    assert domains.takes_mail("firm.com") is Mail.TAKEN


def test_a_domain_with_neither_takes_none(nameserver: NameServer, domains: MailDomains) -> None:
    nameserver.answers["firm.com", "TXT"] = ['"hello"']
    assert domains.takes_mail("firm.com") is Mail.REFUSED
    assert [kind for _, kind in nameserver.asked] == ["MX", "A", "AAAA"]


def test_a_null_mx_refuses_mail(nameserver: NameServer, domains: MailDomains) -> None:
    nameserver.answers["firm.com", "MX"] = ["0 ."]
    nameserver.answers["firm.com", "A"] = ["192.0.2.1"]
    assert domains.takes_mail("firm.com") is Mail.REFUSED


def test_a_domain_that_does_not_exist_takes_none(domains: MailDomains) -> None:
    assert domains.takes_mail("firm.com") is Mail.REFUSED


def test_international_domains_are_asked_for_in_ascii(
    nameserver: NameServer, domains: MailDomains
) -> None:
    nameserver.answers["xn--mller-kva.de", "MX"] = ["10 mail.firm.com."]
    assert domains.takes_mail("müller.de") is Mail.TAKEN


def test_an_answer_is_remembered_for_an_hour(nameserver: NameServer) -> None:
    now = [0.0]
    domains = MailDomains([nameserver.address], clock=lambda: now[0])
    nameserver.answers["firm.com", "MX"] = ["10 mail.firm.com."]
    for moment in (0.0, 3599.0, 3601.0):
        now[0] = moment
        domains.takes_mail("firm.com")
    assert len(nameserver.asked) == 2


@pytest.mark.parametrize("code", [dns.rcode.SERVFAIL, dns.rcode.REFUSED])
def test_a_server_in_trouble_leaves_the_domain_unknown(
    nameserver: NameServer, domains: MailDomains, code: dns.rcode.Rcode
) -> None:
    nameserver.rcode = code
    assert domains.takes_mail("firm.com") is Mail.UNKNOWN


def test_one_silent_domain_does_not_stop_the_asking_for_others(
    nameserver: NameServer, domains: MailDomains, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leads_pandas.finding.verify.LOOKUP_SECONDS", 0.3)
    nameserver.silent.add("slow.com")
    nameserver.answers["firm.com", "MX"] = ["10 mail.firm.com."]
    assert domains.takes_mail("slow.com") is Mail.UNKNOWN
    assert domains.takes_mail("firm.com") is Mail.TAKEN


def test_a_resolver_that_answers_nothing_is_left_alone_for_a_minute(
    nameserver: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leads_pandas.finding.verify.LOOKUP_SECONDS", 0.3)
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


def test_a_resolver_that_is_not_there_means_unknown_within_seconds() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    domains = MailDomains([f"127.0.0.1:{port}"])
    began = time.monotonic()
    assert domains.takes_mail("a.com") is Mail.UNKNOWN
    assert domains.takes_mail("b.com") is Mail.UNKNOWN
    assert time.monotonic() - began < 5


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


def test_the_memory_for_domains_is_bounded(
    domains: MailDomains, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leads_pandas.finding.verify._KEEP_DOMAINS", 3)
    for n in range(10):
        domains.takes_mail(f"firm{n}.com")
    assert len(domains._known) <= 3


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("127.0.0.1:5353", ("127.0.0.1", 5353)),
        ("127.0.0.1", ("127.0.0.1", 53)),
        ("[::1]:5353", ("::1", 5353)),
        ("::1", ("::1", 53)),
        ("[::1]", ("::1", 53)),
    ],
)
def test_nameservers_are_read_with_and_without_port(text: str, parsed: tuple[str, int]) -> None:
    assert parse_nameserver(text) == parsed


@pytest.mark.parametrize(
    "text", ["", "dns.example:53", "127.0.0.1:0", "127.0.0.1:x", "[::1]:99999"]
)
def test_what_is_no_nameserver_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="not an IP address and a port"):
        parse_nameserver(text)
