"""A server on loopback that answers with exactly the bytes it is given, however wrong."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable
from typing import Self

Reply = bytes | Callable[[socket.socket], None]


def http(status: int, body: object = b"", *headers: str) -> bytes:
    """An HTTP answer: bytes go as they are, anything else as JSON."""
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = [
        f"HTTP/1.1 {status} -",
        "Content-Type: application/json",
        f"Content-Length: {len(payload)}",
        "Connection: close",
        *headers,
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + payload


def ok(data: object) -> bytes:
    """A success."""
    return http(200, {"success": True, "data": data})


class RawServer:
    """Answers one request per connection, each with the next reply; the last one again and again.

    Attributes:
        requests: what came, head and body, in order.
        url: where it listens.
    """

    def __init__(self, *replies: Reply) -> None:
        self._replies = list(replies)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.requests: list[str] = []
        self.closed = threading.Event()
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._listen, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        # A client that goes away in the middle is what many of these tests are about.
        with connection, contextlib.suppress(OSError):
            text = _request(connection)
            if not text:
                return
            self.requests.append(text)
            reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
            if callable(reply):
                reply(connection)
            else:
                connection.sendall(reply)


def _request(connection: socket.socket) -> str:
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(1 << 16)
        if not part:
            return ""
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.decode().split("\r\n"):
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            length = int(value)
    while len(body) < length:
        body += connection.recv(1 << 16)
    return (head + b"\r\n\r\n" + body).decode()


def header(request: str, name: str) -> str | None:
    """A header of a request, or None."""
    for line in request.partition("\r\n\r\n")[0].split("\r\n")[1:]:
        key, _, value = line.partition(":")
        if key.lower() == name.lower():
            return value.strip()
    return None
