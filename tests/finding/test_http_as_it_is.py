"""What real servers send, over real sockets: the front page is had all the same."""

from __future__ import annotations

import contextlib
import gzip
import time
import zlib
from typing import TYPE_CHECKING

import brotli
import pytest

from leads_pandas.finding.fetch import (
    _CRUMB,
    _CRUMBS,
    _REST,
    MAX_BYTES,
    Fetcher,
    _Connection,
)
from leads_pandas.finding.finder import Finder
from leads_pandas.finding.guard import FetchError
from leads_pandas.finding.manners import Manners, Visit
from leads_pandas.finding.verify import MailDomains
from tests.support.raw_server import RawServer

if TYPE_CHECKING:
    import socket

PAGE = b"<!doctype html><title>Firm</title><p>Write to info@firm.test</p>" + b"<p>Bread.</p>" * 99
NO_RULES = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", "Content-Type: text/html", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunks(body: bytes, size: int) -> bytes:
    parts = [body[n : n + size] for n in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in parts)


def found(server: RawServer) -> list[str]:
    fetcher = Fetcher(user_agent="tester/1", allow_private=True, timeout=20.0)
    finder = Finder(fetcher, MailDomains(["127.0.0.1:9"]), pause=0.0)
    return [one.email for one in finder.look(server.url, time.monotonic() + 60)]


CHUNKED = "Transfer-Encoding: chunked"


@pytest.mark.parametrize(
    "sent",
    {
        "says gzip, is plain": answer(PAGE, "Content-Encoding: gzip"),
        "says Brotli, is plain": answer(PAGE, "Content-Encoding: br"),
        "says deflate, is gzip": answer(gzip.compress(PAGE), "Content-Encoding: deflate"),
        "says nothing, is gzip": answer(gzip.compress(PAGE)),
        "says gzip, is deflate": answer(zlib.compress(PAGE), "Content-Encoding: gzip"),
        "says gzip, is raw deflate": answer(
            zlib.compress(PAGE, wbits=-15), "Content-Encoding: gzip"
        ),
        "says gzip, is Brotli": answer(brotli.compress(PAGE), "Content-Encoding: gzip"),
        "says Brotli, is gzip": answer(gzip.compress(PAGE), "Content-Encoding: br"),
        "two gzip members": answer(
            gzip.compress(PAGE[:40]) + gzip.compress(PAGE[40:]), "Content-Encoding: gzip"
        ),
        "raw deflate": answer(zlib.compress(PAGE, wbits=-15), "Content-Encoding: deflate"),
        "deflate": answer(zlib.compress(PAGE), "Content-Encoding: deflate"),
        "Brotli": answer(brotli.compress(PAGE), "Content-Encoding: br"),
        "gzip within Brotli": answer(
            brotli.compress(gzip.compress(PAGE)), "Content-Encoding: gzip, br"
        ),
        "gzip cut off": answer(gzip.compress(PAGE)[:-9], "Content-Encoding: gzip"),
        "no last chunk": answer(chunks(PAGE, 100), CHUNKED),
        "a chunk that breaks off": answer(chunks(PAGE, 100)[:-50], CHUNKED),
        "no chunks at all": answer(PAGE, CHUNKED),
        "chunked gzip without an end": answer(
            chunks(gzip.compress(PAGE), 20), CHUNKED, "Content-Encoding: gzip"
        ),
        "shorter than it says": answer(PAGE, "Content-Length: 99999"),
        "as XML": answer(PAGE).replace(b"text/html", b"application/xml"),
        "as bytes": answer(PAGE).replace(b"text/html", b"application/octet-stream"),
        "as a download, packed": answer(gzip.compress(PAGE), "Content-Encoding: gzip").replace(
            b"text/html", b"application/octet-stream"
        ),
        "a home page under 404": answer(
            PAGE + b"<a href=/a>A</a><a href=/b>B</a><a href=/c>C</a>", status="404 Not Found"
        ),
        "after 100 Continue": b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + answer(PAGE),
    }.items(),
    ids=lambda one: one[0],
)
def test_a_page_is_read_however_it_is_sent(sent: tuple[str, bytes]) -> None:
    with RawServer(NO_RULES, sent[1]) as server:
        assert found(server) == ["info@firm.test"]


def test_a_reset_in_the_middle_leaves_what_has_come() -> None:
    def cut(connection: socket.socket) -> None:
        connection.sendall(answer(PAGE, "Content-Length: 99999"))

    with RawServer(NO_RULES, cut) as server:
        assert found(server) == ["info@firm.test"]


def drip(connection: socket.socket) -> None:
    """A page in chunks of one byte, each sent on its own, as long as anybody listens."""
    connection.sendall(answer(b"", CHUNKED))
    while True:
        connection.sendall(b"1\r\nx\r\n")


def continues(connection: socket.socket) -> None:
    """Nothing but interim answers."""
    while True:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)


@pytest.mark.parametrize("flood", [drip, continues])
def test_a_flood_is_taken_in_few_pieces(flood: object, monkeypatch: pytest.MonkeyPatch) -> None:
    connections: dict[_Connection, list[int]] = {}
    receive = _Connection.receive

    def counted(connection: _Connection, deadline: float) -> bytes:
        piece = receive(connection, deadline)
        connections.setdefault(connection, []).append(len(piece))
        return piece

    monkeypatch.setattr(_Connection, "receive", counted)
    fetcher = Fetcher(user_agent="tester/1", allow_private=True, timeout=2.0)
    with (
        RawServer(flood) as server,  # type: ignore[arg-type] # one of the two above
        Visit(Manners(fetcher, pause=0.0), server.url, time.monotonic() + 2) as visit,
        contextlib.suppress(FetchError),  # unless all that is read of a page has come in time
    ):
        visit.front()
    # How much comes of a flood within the time is the machine's: up to the limit of each of the
    # answers, the rules for robots and the page, and what the last piece brings beyond it.
    frame = len(answer(b"", CHUNKED) + chunks(b"x", 1))  # the head, and a chunk at the limit
    assert all(sum(pieces[:-1]) < MAX_BYTES + frame for pieces in connections.values())
    # Each piece is worth its system call, but for those that a rest follows.
    crumbs = sum(piece < _CRUMB for pieces in connections.values() for piece in pieces)
    assert crumbs <= 2.0 / _REST + len(connections) * _CRUMBS
