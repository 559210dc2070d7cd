from __future__ import annotations

import contextlib
import gzip
import http.server
import math
import socket
import ssl
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from leads_pandas.finding.fetch import Fetcher
from leads_pandas.finding.guard import FetchError, Refused, Stopped, is_public, origin_of, parse
from leads_pandas.finding.reply import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.server_harness import Website

TLS = Path(__file__).parent / "tls"


def fetcher(**options: Any) -> Fetcher:
    defaults: dict[str, Any] = {"user_agent": "tester/1", "allow_private": True, "timeout": 5.0}
    return Fetcher(**(defaults | options))


def told(*addresses: str) -> Callable[[str, int], list[str]]:
    """A resolver that gives these addresses for every name."""
    return lambda _, __: list(addresses)


# What a URL says


@settings(max_examples=50)
@given(
    st.tuples(
        st.sampled_from(["http://", "https://", "ftp://", "HTTP://"]),
        st.text("ab.-1A", max_size=8),
        st.sampled_from(["", ":80", ":0", ":99999", ":8080"]),
        st.text("/ab_.-1A%\n?#", max_size=8),
    ).map("".join)
)
def test_a_plain_url_is_taken_apart_as_every_other(text: str) -> None:
    try:
        whole = parse_url(text)
    except LocationParseError:
        whole = None
    if whole is None or not whole.host or whole.scheme == "ftp":
        with pytest.raises(FetchError):
            parse(text)
    else:
        assert (parse(text), parse(text).request_uri) == (whole, whole.request_uri)


# Which addresses are public


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.255.255.254",
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:0.0.0.0",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2001:db8::1",
        "2001::1",
        "fc00::1",
        "fd00::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
        "shop.example",
        "",
    ],
)
def test_addresses_that_are_not_of_the_public_internet_are_known(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "93.184.215.14", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"],
)
def test_public_addresses_are_known(address: str) -> None:
    assert is_public(address)


# The guard


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/",
        "http://localhost:{port}/",
        "http://2130706433:{port}/",
        "http://0x7f000001:{port}/",
        "http://0177.0.0.1:{port}/",
        "http://127.1:{port}/",
        "http://0.0.0.0:{port}/",
        "http://[::1]:{port}/",
        "http://[::ffff:127.0.0.1]:{port}/",
        "http://public.example@127.0.0.1:{port}/",
        "http://127.0.0.1\\@public.example:{port}/",
    ],
)
def test_private_websites_are_refused_however_they_are_spelt(
    website: Callable[..., Website], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = website({"/": "hello"})
    monkeypatch.setattr("leads_pandas.finding.fetch.PUBLIC_PORTS", {site.port})
    with pytest.raises(FetchError):
        fetcher(allow_private=False).get(url.format(port=site.port))
    assert site.seen == []


def test_a_name_that_resolves_to_loopback_is_refused(website: Callable[..., Website]) -> None:
    site = website({"/": "hello"})
    guarded = fetcher(allow_private=False, resolve=told("127.0.0.1"))
    with pytest.raises(Refused, match="no public address"):
        guarded.get("http://shop.example/")
    assert site.seen == []


def test_of_a_names_addresses_only_the_public_ones_are_dialled(
    website: Callable[..., Website], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = website({"/": "hello"})
    monkeypatch.setattr("leads_pandas.finding.fetch.PUBLIC_PORTS", {site.port})
    # Stands in for a public address, since no test may leave this machine.
    monkeypatch.setattr("leads_pandas.finding.fetch.is_public", lambda one: one == "127.0.0.1")
    guarded = fetcher(allow_private=False, resolve=told("127.0.0.2", "127.0.0.1"))
    assert guarded.get(f"http://shop.example:{site.port}/").text == "hello"
    assert site.headers[0]["host"] == f"shop.example:{site.port}"


def test_a_name_that_changes_its_address_is_dialled_where_it_was_checked(
    website: Callable[..., Website], monkeypatch: pytest.MonkeyPatch
) -> None:
    good, evil = website({"/": "good"}), website({"/": "evil"}, host="::1")
    monkeypatch.setattr("leads_pandas.finding.fetch.PUBLIC_PORTS", {good.port, evil.port})
    monkeypatch.setattr("leads_pandas.finding.fetch.is_public", lambda one: one == "127.0.0.1")
    asked = []

    def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["::1"]

    guarded = fetcher(allow_private=False, resolve=rebinding)
    assert guarded.get(f"http://shop.example:{good.port}/").text == "good"
    assert asked == ["shop.example"]
    with pytest.raises(Refused):
        guarded.get(f"http://shop.example:{evil.port}/")
    assert evil.seen == []


def test_a_redirect_to_a_private_address_is_refused(
    website: Callable[..., Website], monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = website({"/": "secret"})
    outer = website({"/": (302, {"Location": f"http://127.0.0.2:{inner.port}/"}, "")})
    monkeypatch.setattr("leads_pandas.finding.fetch.PUBLIC_PORTS", {inner.port, outer.port})
    monkeypatch.setattr("leads_pandas.finding.fetch.is_public", lambda one: one == "127.0.0.1")
    with pytest.raises(Refused, match=r"127\.0\.0\.2 has no public address"):
        fetcher(allow_private=False).get(f"{outer.url}/")
    assert (outer.seen, inner.seen) == (["/"], [])


def test_ports_that_no_website_uses_are_refused() -> None:
    with pytest.raises(Refused, match="port 25 "):
        fetcher(allow_private=False, resolve=told("1.1.1.1")).get("http://shop.example:25/")


def test_only_the_given_origins_are_reached_and_those_at_any_address(
    website: Callable[..., Website],
) -> None:
    ours, other = website({"/": "ours"}), website({"/": "other"})
    ours.pages["/away"] = (302, {"Location": f"{other.url}/"}, "")
    only = fetcher(allow_private=False, only_origins=[f"{ours.url}/"])
    assert only.get(f"{ours.url}/").text == "ours"
    for url in (f"{other.url}/", f"{ours.url}/away", f"http://localhost:{ours.port}/"):
        with pytest.raises(Refused, match="not among the only origins"):
            only.get(url)
    assert other.seen == []


def test_no_proxy_is_taken_from_the_environment(
    website: Callable[..., Website], monkeypatch: pytest.MonkeyPatch
) -> None:
    site, proxy = website({"/": "hello"}), website()
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy.url)
    assert fetcher().get(f"{site.url}/").text == "hello"
    assert proxy.seen == []


@pytest.mark.parametrize(
    "url",
    [
        "ftp://shop.example/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "http://",
        "http:///x",
        "http://shop.example:99999/",
        "http://[::1/",
        "http://a b/",
        "//shop.example/",
        "",
        "http://shop.example/" + "x" * 2000,
    ],
)
def test_what_is_no_web_address_is_an_error(url: str) -> None:
    with pytest.raises(FetchError):
        fetcher(resolve=told()).get(url)


def test_an_origin_has_its_port_written_out() -> None:
    assert origin_of("HTTPS://Shop.Example/x?y") == "https://shop.example:443"
    assert origin_of("http://[::1]:8080") == "http://[::1]:8080"


# Requests


def test_international_names_are_dialled_in_ascii(website: Callable[..., Website]) -> None:
    site = website({"/k%C3%B6che?a=%C3%BC": "hello"})
    reply = fetcher(resolve=told("127.0.0.1")).get(f"http://Müller.example:{site.port}/köche?a=ü")
    assert reply.text == "hello"
    assert site.headers[0]["host"] == f"xn--mller-kva.example:{site.port}"


def test_we_say_who_we_are_and_send_nothing_secret(website: Callable[..., Website]) -> None:
    site = website({"/": (200, {"Set-Cookie": "a=b"}, "hello")})
    ours = fetcher()
    ours.get(f"http://me:secret@127.0.0.1:{site.port}/")
    ours.get(f"{site.url}/")
    assert [headers["user-agent"] for headers in site.headers] == ["tester/1"] * 2
    assert not any({"cookie", "authorization"} & set(headers) for headers in site.headers)


def test_redirects_are_followed_five_times(website: Callable[..., Website]) -> None:
    site = website({"/0": "there"})
    for n in range(1, 8):
        site.pages[f"/{n}"] = ((301, 302, 303, 307, 308)[n % 5], {"Location": f"{n - 1}"}, "")
    reply = fetcher().get(f"{site.url}/5")
    assert (reply.text, reply.url) == ("there", f"{site.url}/0")
    with pytest.raises(FetchError, match="more than 5 redirects"):
        fetcher().get(f"{site.url}/6")


def test_every_url_is_checked_before_it_is_asked_for(website: Callable[..., Website]) -> None:
    site = website({"/": (302, {"Location": "/private"}, ""), "/private": "x"})

    @contextlib.contextmanager
    def turn(url: str) -> Iterator[None]:
        if url.endswith("/private"):
            raise Refused("no")
        yield

    with pytest.raises(Refused):
        fetcher().get(f"{site.url}/", turn=turn)
    assert site.seen == ["/"]


def test_a_redirect_to_no_web_address_is_an_error(website: Callable[..., Website]) -> None:
    site = website({"/": (302, {"Location": "mailto:info@firm.example"}, "")})
    with pytest.raises(FetchError, match="neither http nor https"):
        fetcher().get(f"{site.url}/")


def test_the_next_address_is_tried_where_the_first_does_not_answer(
    website: Callable[..., Website],
) -> None:
    site = website({"/": "hello"})
    reply = fetcher(resolve=told("::1", "127.0.0.1")).get(f"http://shop.example:{site.port}/")
    assert reply.text == "hello"


def test_ipv6_is_spoken(website: Callable[..., Website]) -> None:
    site = website({"/": "hello"}, host="::1")
    assert fetcher().get(f"{site.url}/").text == "hello"
    assert site.headers[0]["host"] == f"[::1]:{site.port}"


def test_a_name_that_does_not_exist_is_an_error() -> None:
    def nowhere(host: str, port: int) -> list[str]:
        raise socket.gaierror(-2, "Name or service not known")

    with pytest.raises(FetchError, match="Name or service not known"):
        fetcher(resolve=nowhere).get("http://shop.example/")


def test_a_server_that_is_not_there_is_an_error(website: Callable[..., Website]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(FetchError, match="refused"):
        fetcher().get(f"http://127.0.0.1:{port}/")


def test_an_answer_that_is_no_http_is_an_error(website: Callable[..., Website]) -> None:
    site = website({"/": lambda handler: handler.wfile.write(b"\x00\xffSSH-2.0\r\n")})
    with pytest.raises(FetchError):
        fetcher().get(f"{site.url}/")


# Bounds


def test_a_huge_page_is_read_to_the_limit_only(website: Callable[..., Website]) -> None:
    sent: list[int] = []

    def endless(handler: Any) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not sent or sent[-1] < 2**30:
            handler.wfile.write(b"x" * 65536)
            sent.append(65536 + (sent[-1] if sent else 0))

    site = website({"/": endless})
    assert len(fetcher(max_bytes=100_000).get(f"{site.url}/").body) == 100_000
    assert sent[-1] < 2**26


def test_a_page_that_unpacks_to_gigabytes_is_cut_at_the_limit(
    website: Callable[..., Website],
) -> None:
    bomb = gzip.compress(b"\0" * 20_000_000)
    site = website({"/": (200, {"Content-Encoding": "gzip"}, bomb)})
    assert len(fetcher(max_bytes=50_000).get(f"{site.url}/").body) == 50_000


def test_a_packed_page_is_unpacked_and_one_that_is_not_packed_is_taken_as_it_is(
    website: Callable[..., Website],
) -> None:
    site = website(
        {
            "/gzip": (200, {"Content-Encoding": "gzip"}, gzip.compress(b"hello")),
            "/broken": (200, {"Content-Encoding": "gzip"}, b"hello"),
        }
    )
    for path in ("/gzip", "/broken"):
        assert fetcher().get(f"{site.url}{path}").text == "hello"


def test_a_packing_that_nobody_knows_is_an_error(website: Callable[..., Website]) -> None:
    site = website({"/": (200, {"Content-Encoding": "rot13"}, b"\x01\x02\x03\x04")})
    with pytest.raises(FetchError, match="encoded as 'rot13'"):
        fetcher().get(f"{site.url}/")


def test_a_large_page_is_what_has_come_of_it_where_others_take_the_room_for_all_its_time(
    website: Callable[..., Website], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leads_pandas.finding.room.HELD", 200_000)
    site = website({"/": "x" * 1_000_000})
    ours = fetcher(timeout=3.0)
    assert ours.room.take("another page", 200_000, math.inf)
    assert 32_000 < len(ours.get(f"{site.url}/").body) < 600_000
    ours.room.leave("another page")
    assert len(ours.get(f"{site.url}/").body) == 1_000_000


def test_a_large_page_is_what_has_come_of_it_where_its_server_stops(
    website: Callable[..., Website],
) -> None:
    def page(handler: Any) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 200_000)
        handler.server.visited.wait()

    site = website({"/": page})
    site.server.visited = threading.Event()  # type: ignore[attr-defined] # for `page`
    assert len(fetcher(timeout=3.0).get(f"{site.url}/").body) == 200_000
    site.server.visited.set()  # type: ignore[attr-defined] # likewise


def drip(head: bytes, piece: bytes) -> Callable[[Any], None]:
    """A page that comes in so slowly that no single wait is long, and never ends."""

    def page(handler: Any) -> None:
        handler.wfile.write(head)
        while not handler.server.visited.wait(0.02):
            handler.wfile.write(piece)

    return page


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (b"HTTP/1.1 200 OK\r\nX-Long: ", b"x"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"", b"H"),
    ],
    ids=["body", "chunks", "header", "continue", "status"],
)
def test_a_page_that_drips_is_given_up_at_the_deadline(
    website: Callable[..., Website], head: bytes, piece: bytes
) -> None:
    site = website({"/": drip(head, piece)})
    site.server.visited = threading.Event()  # type: ignore[attr-defined] # for `drip`
    with pytest.raises(FetchError):
        fetcher(timeout=0.3).get(f"{site.url}/")
    site.server.visited.set()  # type: ignore[attr-defined] # likewise


def test_the_time_of_a_page_counts_its_redirects(website: Callable[..., Website]) -> None:
    site = website()

    def slow(handler: Any) -> None:
        site.released.wait(0.2)
        handler.answer(302, {"Location": "/"}, "")

    site.pages["/"] = slow
    with pytest.raises(FetchError, match="time"):
        fetcher(timeout=0.5).get(f"{site.url}/")


def test_a_name_server_that_hangs_is_given_up_at_the_deadline() -> None:
    over = threading.Event()

    def hanging(host: str, port: int) -> list[str]:
        over.wait()
        return []

    with pytest.raises(FetchError, match="not resolved in time"):
        fetcher(timeout=0.1, resolve=hanging).get("http://shop.example/")
    over.set()


def test_nothing_is_asked_after_the_deadline(website: Callable[..., Website]) -> None:
    site = website({"/": "hello"})
    with pytest.raises(FetchError, match="out of time"):
        fetcher().get(f"{site.url}/", deadline=time.monotonic() - 1)
    assert site.seen == []


def test_closing_ends_a_request_under_way_in_another_thread(
    website: Callable[..., Website],
) -> None:
    site = website()
    arrived, outcome = threading.Event(), []

    def hang(handler: Any) -> None:
        arrived.set()
        site.released.wait()

    site.pages["/"] = hang
    ours = fetcher(timeout=30)

    def work() -> None:
        try:
            ours.get(f"{site.url}/")
        except Stopped:
            outcome.append("stopped")

    thread = threading.Thread(target=work)
    thread.start()
    assert arrived.wait()
    ours.close()
    thread.join()
    assert outcome == ["stopped"]
    for later in (lambda: ours.get(f"{site.url}/"), lambda: ours.pause(60)):
        with pytest.raises(Stopped):
            later()


# TLS


@pytest.fixture
def secure_site() -> Iterator[int]:
    """The port of a website of shop.test, whose certificate the test authority signed."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"secret")

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
            """Say nothing."""

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """Visitors that distrust us are part of the tests."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "shop.test.pem")
    with Server(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The authority of the tests is one that can be trusted."""
    context = ssl.create_default_context(cafile=TLS / "authority.pem")
    monkeypatch.setattr("leads_pandas.finding.fetch._tls", lambda: context)


@pytest.mark.usefixtures("trusted")
def test_a_certificate_is_checked_against_the_name_not_the_address(secure_site: int) -> None:
    ours = fetcher(resolve=told("127.0.0.1"))
    assert ours.get(f"https://shop.test:{secure_site}/").text == "secret"
    with pytest.raises(FetchError, match=r"other\.test.*certificate"):
        ours.get(f"https://other.test:{secure_site}/")


def test_a_certificate_of_an_unknown_authority_is_refused(secure_site: int) -> None:
    with pytest.raises(FetchError, match="certificate verify failed"):
        fetcher(resolve=told("127.0.0.1")).get(f"https://shop.test:{secure_site}/")


@pytest.mark.usefixtures("trusted")
def test_a_page_that_drips_inside_tls_is_given_up_at_the_deadline() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "shop.test.pem")
    over = threading.Event()

    def serve(listener: socket.socket) -> None:
        raw, _ = listener.accept()
        with context.wrap_socket(raw, server_side=True) as peer:
            peer.recv(4096)
            peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            try:
                while not over.wait(0.02):
                    peer.sendall(b"x")
            except OSError:
                return  # the visitor has gone, as it should

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        ours = fetcher(timeout=0.4, resolve=told("127.0.0.1"))
        with pytest.raises(FetchError):
            ours.get(f"https://shop.test:{listener.getsockname()[1]}/")
        over.set()
        thread.join()


def test_a_peer_that_never_finishes_the_handshake_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(FetchError):
        fetcher(timeout=0.3).get(f"https://127.0.0.1:{listener.getsockname()[1]}/")


# Text


def reply(body: bytes, charset: str | None = None) -> Reply:
    return Reply("http://x.example/", 200, "text/html", charset, None, body)


@pytest.mark.parametrize(
    ("body", "charset"),
    [
        ("köln".encode(), None),
        ("köln".encode("latin-1"), None),
        ("köln".encode("latin-1"), "iso-8859-1"),
        (b'<meta charset="iso-8859-15">' + "köln".encode("iso-8859-15"), None),
        (
            b"<meta http-equiv=Content-Type content='text/html; charset=windows-1252'>"
            + "köln".encode("cp1252"),
            None,
        ),
        (b"\xef\xbb\xbf" + "köln".encode(), "iso-8859-1"),
        ("\ufeffköln".encode("utf-16-le"), None),
        ("köln".encode("utf-16-be"), "utf-16-be"),
        ("köln".encode(), "nonsense"),
        ("köln".encode(), "punycode"),
        ("köln".encode(), "utf-8-and-more"),
        ("köln…".encode()[:-1], None),
    ],
)
def test_the_encoding_of_a_page_is_found(body: bytes, charset: str | None) -> None:
    assert "köln" in reply(body, charset).text


def test_bytes_that_fit_no_encoding_are_replaced() -> None:
    assert reply(b"a\xffb\x81", "utf-8").text == "a\ufffdb\ufffd"


def test_without_a_deadline_the_timeout_alone_counts(website: Callable[..., Website]) -> None:
    site = website({"/": "hello"})
    assert fetcher().get(f"{site.url}/", deadline=math.inf).status == 200
