from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from leads_pandas.finding.fetch import Fetcher
from leads_pandas.finding.guard import FetchError, Untrusted
from leads_pandas.finding.manners import Manners, Visit, front_pages
from leads_pandas.finding.names import NoSuchName

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.server_harness import Website

HOME = "".join(f"<a href=/{n}>{n}</a>" for n in range(5))


def manners(pause: float = 0.0, **options: Any) -> Manners:
    def resolve(host: str, _: int) -> list[str]:
        if host.startswith("bare.") or host.endswith("nowhere.test"):
            raise NoSuchName(f"{host} does not exist")
        return ["127.0.0.1"]

    defaults: dict[str, Any] = {"allow_private": True, "timeout": 60.0, "resolve": resolve}
    return Manners(Fetcher(user_agent="tester/1", **(defaults | options)), pause=pause)


def front(website: str, deadline: float = 60.0) -> str:
    """The text of a website's front page."""
    with Visit(manners(), website, time.monotonic() + deadline) as visit:
        return visit.front().text


# Where a website is


def test_a_website_without_a_scheme_is_asked_for_by_https_and_then_by_http() -> None:
    assert front_pages(" firm.test/x ") == ["https://firm.test/x", "http://firm.test/x"]
    assert front_pages("HTTP://firm.test") == ["HTTP://firm.test"]
    assert front_pages(None) == front_pages("  ") == []


@pytest.mark.parametrize("scheme", ["http://", ""])
def test_a_name_that_is_not_there_may_be_there_with_www(
    website: Callable[..., Website], scheme: str
) -> None:
    site = website({"/": "hello"})
    assert front(f"{scheme}bare.test:{site.port}/") == "hello"
    assert site.headers[-1]["host"] == f"www.bare.test:{site.port}"


def test_a_name_that_is_nowhere_is_told_as_such() -> None:
    with pytest.raises(FetchError, match=r"^nowhere\.test: .*does not exist") as failure:
        front("nowhere.test")
    assert not failure.value.passing


@pytest.fixture
def self_signed() -> Iterator[int]:
    """The port of a server whose certificate nobody knows, and which speaks no plain http."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Path(__file__).parent / "tls" / "shop.test.pem")

    def serve(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                raw, _ = listener.accept()
                with contextlib.suppress(OSError), context.wrap_socket(raw, server_side=True):
                    pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def test_a_certificate_that_nobody_signed_is_the_reason_that_is_told(self_signed: int) -> None:
    with pytest.raises(Untrusted, match="certificate verify failed") as failure:
        front(f"https://shop.test:{self_signed}/")
    assert not failure.value.passing


def test_where_https_is_not_to_be_trusted_http_is_asked(website: Callable[..., Website]) -> None:
    site = website({"/": "hello"})
    assert front(f"https://shop.test:{site.port}/") == "hello"


# What is a page


def test_a_real_home_page_under_the_status_404_is_read(website: Callable[..., Website]) -> None:
    site = website({"/": (404, {}, HOME), "/x": (404, {}, HOME)})
    with Visit(manners(), site.url, time.monotonic() + 60) as visit:
        assert visit.front().text == HOME
        with pytest.raises(FetchError, match="answered 404"):
            visit.page(f"{site.url}/x")


@pytest.mark.parametrize(
    "kind", ["application/xml", "application/octet-stream", "text/xml", "html"]
)
@pytest.mark.parametrize(
    "start", ["<!DOCTYPE html>", "\n<html>", "<?xml version='1.0'?><!-- a --><html>"]
)
def test_a_page_is_known_by_its_looks(
    website: Callable[..., Website], kind: str, start: str
) -> None:
    site = website({"/": (200, {"Content-Type": kind}, f"{start}hello")})
    assert front(site.url).endswith("hello")


@pytest.mark.parametrize("kind", ["image/png", "application/pdf", "application/xml"])
def test_what_does_not_look_like_a_page_is_none(website: Callable[..., Website], kind: str) -> None:
    site = website({"/": (200, {"Content-Type": kind}, "<feed>hello</feed>")})
    with pytest.raises(FetchError, match="not a page"):
        front(site.url)


def test_a_cookie_and_then_a_redirect_to_itself_lead_to_the_page(
    website: Callable[..., Website],
) -> None:
    def page(handler: Any) -> None:
        if handler.headers.get("Cookie") == "seen=yes":
            handler.answer(200, {}, "hello")
        else:
            handler.answer(302, {"Location": "/", "Set-Cookie": "seen=yes; Path=/"}, "")

    assert front(website({"/": page}).url) == "hello"


def test_a_cookie_is_no_other_hosts(website: Callable[..., Website]) -> None:
    other = website({"/": "hello"})
    headers = {"Location": f"http://other.test:{other.port}/", "Set-Cookie": "seen=yes"}
    site = website({"/": (302, headers, "")})
    assert front(f"http://shop.test:{site.port}/") == "hello"
    assert "cookie" not in other.headers[-1]


# What a host is owed


def test_the_rules_of_a_host_are_asked_for_once(website: Callable[..., Website]) -> None:
    site = website({"/robots.txt": "User-agent: *\nDisallow: /no", "/": "hello", "/no": "secret"})
    ours = manners()
    for _ in range(3):
        with Visit(ours, site.url, time.monotonic() + 60) as visit:
            assert visit.front().text == "hello"
            with pytest.raises(FetchError, match=r"robots\.txt"):
                visit.page(f"{site.url}/no")
    assert site.seen == ["/robots.txt", "/", "/", "/"]


def test_a_host_that_has_trouble_with_its_rules_is_left_alone_for_now(
    website: Callable[..., Website],
) -> None:
    site = website({"/robots.txt": (503, {"Retry-After": "7"}, ""), "/": "hello"})
    with pytest.raises(FetchError, match=r"503 to robots\.txt") as failure:
        front(site.url)
    assert (failure.value.passing, failure.value.retry_after) == (True, 7.0)
    assert site.seen == ["/robots.txt"]


def test_a_host_is_asked_for_one_page_at_a_time_by_all_visits_together(
    website: Callable[..., Website],
) -> None:
    under_way, most = [], [0]

    def page(handler: Any) -> None:
        under_way.append(1)
        most.append(len(under_way))
        site.released.wait(0.02)
        under_way.pop()
        handler.answer(200, {}, "hello")

    site = website({"/": page})
    ours = manners()

    def visit() -> None:
        with Visit(ours, site.url, time.monotonic() + 60) as one:
            one.front()

    threads = [threading.Thread(target=visit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert site.seen.count("/") == 8


def test_a_pause_that_the_time_does_not_allow_is_not_waited_for(
    website: Callable[..., Website],
) -> None:
    site = website({"/robots.txt": "User-agent: *\nCrawl-delay: 60", "/": "hello"})
    with Visit(manners(), site.url, time.monotonic() + 60) as visit:
        visit.front()
        with pytest.raises(FetchError, match="pace leaves no time"):
            visit.page(f"{site.url}/more")


def test_the_pages_of_a_visit_share_a_connection(website: Callable[..., Website]) -> None:
    ports: list[int] = []

    def page(handler: Any) -> None:
        ports.append(handler.client_address[1])
        handler.answer(200, {}, "hello")

    site = website({"/robots.txt": page, "/": page, "/more": page})
    site.server.RequestHandlerClass.protocol_version = "HTTP/1.1"  # type: ignore[attr-defined] # it keeps connections then
    with Visit(manners(), site.url, time.monotonic() + 60) as visit:
        visit.front()
        visit.page(f"{site.url}/more")
    assert len(ports) == 3
    assert len(set(ports)) == 1


def test_a_connection_that_the_server_has_closed_meanwhile_is_made_anew(
    website: Callable[..., Website],
) -> None:
    def page(handler: Any) -> None:
        handler.answer(200, {}, "hello")
        handler.close_connection = True  # without having said so

    site = website({"/": page, "/more": page})
    site.server.RequestHandlerClass.protocol_version = "HTTP/1.1"  # type: ignore[attr-defined] # likewise
    with Visit(manners(), site.url, time.monotonic() + 60) as visit:
        assert visit.front().text == visit.page(f"{site.url}/more").text == "hello"
