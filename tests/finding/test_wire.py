from __future__ import annotations

import gzip
import zlib
from typing import TYPE_CHECKING

import brotli
import pytest

from leads_pandas.finding.wire import Answer, Broke, WireError, read_answer, unpack
from tests.support.growth import grows_like_its_size

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = 100_000
PAGE = b"<p>info@firm.test</p>" * 50


def read(data: bytes, *, size: int = 7, limit: int = LIMIT, cut: bool = False) -> Answer:
    """Read an answer that comes in pieces of a size; `cut`: by a reset, not by its end."""
    pieces = iter([data[n : n + size] for n in range(0, len(data), size)])

    def receive() -> bytes:
        piece = next(pieces, None)
        if piece is None and cut:
            raise ConnectionResetError
        return piece or b""

    return read_answer(receive, limit)


def chunked(body: bytes, size: int, last: bytes = b"0\r\n\r\n") -> bytes:
    parts = [body[n : n + size] for n in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in parts) + last


def test_the_head_is_read_however_it_is_written() -> None:
    answer = read(b"HTTP/1.1 200\nSERVER: x\r\nset-cookie: a=1\r\nSet-Cookie:b=2\nbroken\n\nhello")
    assert (answer.status, answer.body) == (200, b"hello")
    assert answer.headers == {"server": ["x"], "set-cookie": ["a=1", "b=2"]}


@pytest.mark.parametrize(
    ("head", "body", "complete"),
    [
        (b"Content-Length: 1050\r\n", PAGE, True),
        (b"Content-Length: 1050\r\nConnection: close\r\n", PAGE, False),
        (b"Content-Length: 9999\r\n", PAGE, False),
        (b"Content-Length: nonsense\r\n", PAGE, False),
        (b"", PAGE, False),
        (b"Transfer-Encoding: chunked\r\n", chunked(PAGE, 100), True),
        (b"Transfer-Encoding: chunked\r\n", chunked(PAGE, 100, b""), False),
        (b"Transfer-Encoding: chunked\r\n", chunked(PAGE, 100, b"0;x=y\r\nA: b\r\n\r\n"), False),
        (b"Transfer-Encoding: chunked\r\n", PAGE, False),
    ],
    ids=["right", "close", "short", "odd", "none", "chunked", "no last", "trailer", "not chunked"],
)
def test_a_body_is_what_has_come_of_it_however_it_is_framed(
    head: bytes, body: bytes, complete: bool
) -> None:
    for cut in (False, True):
        answer = read(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + body, cut=cut)
        assert (answer.body, answer.complete) == (PAGE, complete)


def test_what_comes_before_the_answer_is_passed_over_but_not_for_ever() -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    assert read(interim * 3 + b"HTTP/1.1 200 OK\r\n\r\nhello").body == b"hello"
    with pytest.raises(WireError, match="interim"):
        read(interim * 10_000)


@pytest.mark.parametrize(
    "data", [b"SSH-2.0\r\n\r\n", b"<html>\n\n", b"HTTP/1.1 200 OK\r\nA:", b"HTTP/1.1 2 OK\r\n\r\n"]
)
def test_what_is_no_http_is_an_error(data: bytes) -> None:
    with pytest.raises(WireError):
        read(data)


def test_headers_without_an_end_are_an_error() -> None:
    with pytest.raises(WireError, match="do not end"):
        read(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 100_000, size=4096)


def test_a_connection_that_ends_at_once_has_not_answered() -> None:
    with pytest.raises(Broke):
        read(b"")


def test_chunks_of_one_byte_cost_what_their_bytes_cost() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    tiny = head + chunked(b"x" * 2**20, 1)

    def body(limit: int) -> bytes:
        return read(tiny, size=65536, limit=limit).body

    assert len(body(2**21)) == pytest.approx(2**21 / 6, rel=0.01)
    assert grows_like_its_size(body, 2**18)


# Packed bodies


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(PAGE)),
        ("x-gzip", gzip.compress(PAGE)),
        ("", gzip.compress(PAGE)),
        ("gzip", gzip.compress(PAGE[:500]) + gzip.compress(PAGE[500:])),
        ("gzip", gzip.compress(PAGE) + b"\0\0rubbish"),
        ("deflate", zlib.compress(PAGE)),
        ("deflate", zlib.compress(PAGE, wbits=-15)),
        ("br", brotli.compress(PAGE)),
        ("gzip, br", brotli.compress(gzip.compress(PAGE))),
        ("gzip", PAGE),
        ("deflate", PAGE),
        ("br", PAGE),
        ("utf-8", PAGE),
        ("identity", PAGE),
    ],
    ids=lambda part: None if isinstance(part, str) else str(len(part)),  # a gzip holds the time
)
def test_a_body_is_unpacked_whatever_is_said_of_it(coding: str, body: bytes) -> None:
    assert unpack(body, coding, LIMIT) == PAGE


PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
}


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br"])
def test_of_a_damaged_body_what_came_before_is_kept(coding: str) -> None:
    page = bytes(range(32, 127)) * 2000
    packed = PACK[coding](page)
    assert page.startswith(unpack(packed[: len(packed) * 9 // 10], coding, 10**6))


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br"])
def test_a_body_that_unpacks_to_gigabytes_is_cut_at_the_limit(coding: str) -> None:
    bomb = b"\0" * 20_000_000
    packed = PACK[coding](bomb)
    assert len(unpack(packed, coding, LIMIT)) == LIMIT
    assert len(unpack(packed * 50, coding, LIMIT)) == LIMIT


def test_a_packing_that_cannot_be_undone_is_an_error() -> None:
    with pytest.raises(WireError, match="'zstd'"):
        unpack(b"\x28\xb5\x2f\xfd\x04\x00\x01\x02", "zstd", LIMIT)
