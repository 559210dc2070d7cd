"""What a web server sends, as it is: heads, framed bodies and packed bodies, each within bounds.

What lives here: bytes in, a status, headers and a body out; no sockets, no addresses. Servers are
read as browsers read them: a body that breaks off is what has come of it, and a packing that is not
what the header says is found out by looking.
"""

from __future__ import annotations

import contextlib
import importlib
import re
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    # More bytes of the answer; empty at its end.
    Receive = Callable[[], bytes]

_HEAD_BYTES = 64 * 1024
_INTERIM = 8  # "100 Continue" and its like before an answer; more are an attack
_STATUS = re.compile(r"HTTP/1\.([0-9])[ \t]+([1-9][0-9]{2})(?![0-9])")
_BLANK = " \t\r\x0b\x0c"
_FOLDED = frozenset(_BLANK)  # the line goes on from the one before
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_GZIP = b"\x1f\x8b"
_PIECE = 16 * 1024
_UNREAD_STATUSES = frozenset((204, 304))
_OK = 200


class WireError(Exception):
    """The bytes are no answer of a web server; the message says why."""


class Broke(WireError):  # noqa: N818 - what the peer did, not a fault
    """The connection ended before any answer had come."""


@dataclass(slots=True)
class Answer:
    """One answer of a web server.

    Attributes:
        status: the HTTP status.
        headers: the values of each header, by its name in lower case.
        body: the content, unpacked.
        complete: the connection stands right behind the body, and the server keeps it open.
    """

    status: int
    headers: dict[str, list[str]]
    body: bytes = b""
    complete: bool = field(default=False)

    def header(self, name: str) -> str:
        """The first value of a header; empty where there is none."""
        return self.headers.get(name, [""])[0]


class _Stream:
    """The bytes of a connection: what has come, and a way to more of it."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.buffer = bytearray()
        self.in_body = False

    def more(self) -> bool:
        """Wait for more bytes; False at the end, and where a body is cut off."""
        try:
            part = self._receive()
        except TimeoutError:
            raise
        except OSError:
            if not self.in_body:
                raise
            return False  # what has come is what there is
        self.buffer += part
        return bool(part)

    def take(self, count: int) -> bytes:
        """Take bytes off that have come: large ones are copied once, not twice."""
        with memoryview(self.buffer) as view:
            taken = bytes(view[:count])
        del self.buffer[:count]
        return taken

    def line(self, start: int) -> int:
        """Where the line that begins at `start` ends; -1 where the answer ends within it."""
        searched = start
        while (end := self.buffer.find(b"\n", searched)) < 0:
            searched = len(self.buffer)
            if searched - start > _HEAD_BYTES or not self.more():
                return -1
        return end


def read_answer(
    receive: Receive, limit: int, *, wanted: Callable[[Answer], bool] = lambda _: True
) -> Answer:
    """Read one answer to a GET.

    Args:
        receive: gives bytes; what it raises goes through, but an `OSError` other than
            `TimeoutError` ends a body as the connection's end does.
        limit: how many bytes of the body are read, and given after unpacking.
        wanted: whether the body is worth reading, by status and headers.

    Raises:
        Broke: nothing has come.
        WireError: it is no HTTP.
    """
    stream = _Stream(receive)
    for _ in range(_INTERIM):
        answer, keep = _head(stream)
        if answer.status >= _OK:
            break
    else:
        raise WireError("nothing but interim answers")
    if not wanted(answer):
        return answer
    stream.in_body = True
    body, complete = _body(stream, answer, limit)
    answer.complete = complete and keep and not stream.buffer
    answer.body = unpack(body, answer.header("content-encoding"), limit)
    return answer


def _head(stream: _Stream) -> tuple[Answer, bool]:
    """The status and headers, taken off the stream, and whether the connection may be kept."""
    searched = 0
    while (end := _END_OF_HEAD.search(stream.buffer, searched)) is None:
        searched = max(len(stream.buffer) - 3, 0)
        if searched > _HEAD_BYTES:
            raise WireError("its headers do not end")
        if not stream.more():
            if not stream.buffer:
                raise Broke("the connection was closed without an answer")
            raise WireError("the answer breaks off in its headers")
    first, *lines = stream.buffer[: end.start()].decode("latin-1").split("\n")
    del stream.buffer[: end.end()]
    status = _STATUS.match(first)
    if status is None:
        raise WireError(f"it answers {first[:40].encode('latin-1')!r}, which is no HTTP")
    headers: dict[str, list[str]] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon and line[0] not in _FOLDED:
            headers.setdefault(name.strip(_BLANK).lower(), []).append(value.strip(_BLANK))
    answer = Answer(int(status[2]), headers)
    return answer, status[1] != "0" and "close" not in answer.header("connection").lower()


def _body(stream: _Stream, answer: Answer, limit: int) -> tuple[bytes, bool]:
    """The body as sent, up to the limit, and whether it came to its proper end."""
    if answer.status in _UNREAD_STATUSES:
        return b"", True
    if "chunked" in answer.header("transfer-encoding").lower():
        return _chunked(stream, limit)
    length = answer.header("content-length")
    expected = int(length) if length.isascii() and length.isdecimal() and len(length) < 16 else None  # noqa: PLR2004 - digits of any size there is
    want = limit if expected is None else min(expected, limit)
    while len(stream.buffer) < want and stream.more():
        pass
    body = stream.take(want)
    return body, len(body) == expected


def _chunked(stream: _Stream, limit: int) -> tuple[bytes, bool]:
    """A chunked body. What frames it counts against the limit, so that tiny chunks gain nothing."""
    body, taken = bytearray(), 0
    buffer = stream.buffer
    while taken < limit:
        end = stream.line(0)
        try:
            size = int(bytes(buffer[:end]).partition(b";")[0], 16) if end >= 0 else -1
        except ValueError:
            size = -1
        if size < 0:
            # Damaged or cut off; at the very start it is no chunk at all, but the body itself.
            return (bytes(body), False) if taken else _plain(stream, limit)
        if size == 0:
            return bytes(body), _trailers_end(stream, end + 1)
        del buffer[: end + 1]
        taken += end + 1
        want = max(min(size, limit - taken), 0)
        while len(buffer) < want and stream.more():
            pass
        with memoryview(buffer) as view:
            body += view[:want]
        del buffer[:size]
        taken += size
        while len(buffer) < 2 and taken < limit and stream.more():  # noqa: PLR2004 - CR and LF
            pass
        ending = 2 if buffer[:1] == b"\r" else 1
        del buffer[:ending]
        taken += ending
    return bytes(body), False


def _plain(stream: _Stream, limit: int) -> tuple[bytes, bool]:
    while len(stream.buffer) < limit and stream.more():
        pass
    return stream.take(limit), False


def _trailers_end(stream: _Stream, place: int) -> bool:
    """Take what follows the last chunk off the stream; False where it is no mere empty line."""
    end = stream.line(place)
    if end < 0 or stream.buffer[place:end].strip():
        return False
    del stream.buffer[: end + 1]
    return True


def unpack(body: bytes, coding: str, limit: int) -> bytes:
    """Unpack a body, whatever the header says of it, to at most `limit` bytes.

    A body that is not packed as it claims is taken as it is, and one that is damaged in the middle
    is what can be read of it.

    Raises:
        WireError: it is packed in a way that cannot be unpacked here.
    """
    for name in reversed(coding.lower().split(",")):
        match name.strip():
            case "" | "identity" | "none" | "gzip" | "x-gzip":
                pass  # a gzip member is known by its first bytes, whether announced or not
            case "deflate":
                body = _inflate(body, limit)
            case "br":
                body = _unbrotli(body, limit)
            case other:
                if _is_binary(body):
                    raise WireError(f"the page is encoded as {other[:40]!r}")
    if body.startswith(_GZIP):
        return _gunzip(body, limit)
    return _otherwise(body, limit) if coding and _is_binary(body) else body


def _otherwise(body: bytes, limit: int) -> bytes:
    """A body that is packed in another way than it says."""
    for undo in (_inflate, _unbrotli):
        with contextlib.suppress(WireError):
            found = undo(body, limit)
            if not _is_binary(found):
                return found
    return body


def _gunzip(body: bytes, limit: int) -> bytes:
    """Every gzip member of a body, one behind the other."""
    found = b""
    while body.startswith(_GZIP) and len(found) < limit:
        part, body = _drain(zlib.decompressobj(zlib.MAX_WBITS | 16), body, limit - len(found))
        found += part
    return found


def _inflate(body: bytes, limit: int) -> bytes:
    """Deflate, with the wrapping that the standard wants or without, as many servers send it."""
    for bits in (zlib.MAX_WBITS, -zlib.MAX_WBITS):
        found, _ = _drain(zlib.decompressobj(bits), body, limit)
        if found:
            return found
    return body


def _drain(machine: Any, body: bytes, limit: int) -> tuple[bytes, bytes]:
    """What can be unpacked up to the limit or to where it is damaged, and what follows it."""
    found = bytearray()
    # Piece by piece: an error in the middle must not take what came before it.
    for start in range(0, len(body), _PIECE):
        try:
            found += machine.decompress(body[start : start + _PIECE], limit - len(found))
        except zlib.error:
            break
        if machine.eof:
            return bytes(found), machine.unused_data + body[start + _PIECE :]
        if len(found) >= limit:
            break
    return bytes(found), b""


def _unbrotli(body: bytes, limit: int) -> bytes:
    try:
        brotli: Any = importlib.import_module("brotli")
    except ImportError:
        if _is_binary(body):
            raise WireError("the page is packed with Brotli: pip install brotli") from None
        return body
    machine = brotli.Decompressor()
    try:
        return bytes(machine.process(body, output_buffer_limit=limit))[:limit] or body
    except brotli.error:
        return body


def _is_binary(body: bytes) -> bool:
    """Whether bytes are no text: a page that claims a packing it does not have is text."""
    head = body[:512]
    return bool(head) and sum(byte < 9 or 13 < byte < 32 for byte in head) > len(head) // 64  # noqa: PLR2004 - control characters
