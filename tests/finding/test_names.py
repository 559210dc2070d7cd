from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from leads_pandas.errors import ConfigurationError
from leads_pandas.finding.names import NoSuchName, parse_nameserver, resolver_of

if TYPE_CHECKING:
    from tests.support.server_harness import NameServer


@pytest.mark.parametrize(("kind", "address"), [("A", "192.0.2.7"), ("AAAA", "2001:db8::7")])
def test_the_given_nameservers_say_where_a_website_is(
    nameserver: NameServer, kind: str, address: str
) -> None:
    nameserver.answers["shop.test", kind] = [address]
    assert resolver_of([nameserver.address])("shop.test", 80) == [address]


def test_what_the_nameservers_deny_the_system_is_not_asked_for(
    nameserver: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("the system is asked"))
    with pytest.raises(NoSuchName, match="does not exist"):
        resolver_of([nameserver.address])("shop.test", 80)


def test_a_name_that_they_know_without_an_address_may_be_in_the_hosts_file(
    nameserver: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    nameserver.answers["shop.test", "MX"] = ["10 mail.shop.test."]
    entry = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.9", 80))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [entry])
    assert resolver_of([nameserver.address])("shop.test", 80) == ["192.0.2.9"]
    assert resolver_of(None)("other.test", 80) == ["192.0.2.9"]


def test_this_machine_is_not_asked_for_in_the_dns(nameserver: NameServer) -> None:
    assert "127.0.0.1" in resolver_of([nameserver.address])("localhost", 80)
    assert nameserver.asked == []


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
