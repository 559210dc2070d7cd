"""Forty-eight made-up small businesses: their leads, and their websites served on loopback.

Every domain shown is reserved (``.example``), every business and person invented. What the websites
show is nowhere listed here: whoever wants the addresses has to read the pages.
"""

from __future__ import annotations

import csv
import itertools
import selectors
import socket
import socketserver
import sys
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler
from importlib import resources
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable
    from pathlib import Path
    from types import TracebackType

_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "png": "image/png",
    "txt": "text/plain; charset=utf-8",
}
_REDIRECTS = {"/keystone-lane-masonry/": "/keystone-lane-masonry/home"}
_MISSING = b"<!doctype html><title>404</title><h1>Not found</h1><p>There is nothing here.</p>\n"


def leads(*origins: str) -> list[dict[str, str]]:
    """Return the sample leads, in a fixed order.

    Args:
        origins: what the websites' paths are put behind, each in turn, such as
            ``*SampleSites.origins``; without any, the paths alone are given.

    Returns:
        One dict per lead: ``lead_id``, ``name``, ``website``, ``category``, ``city``, ``query_id``.
    """
    text = resources.files(__name__).joinpath("leads.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    behind = itertools.cycle(origins or ("",))
    return [row | {"website": origin + row["website"]} for row, origin in zip(rows, behind)]  # noqa: B905 - the second has no end


class SampleSites:
    """The sample businesses' websites, served on loopback: one path per business.

    A context manager. Nothing is left running or listening once it is closed.

    Args:
        delay: mean seconds that a page takes; each page has its own, from half to one and a half
            of it, the same every time. 0 answers at once.
        addresses: at how many loopback addresses they are served, as far as the machine has them
            (macOS has one): a host is asked for one page at a time, many are asked at once.
        folder: websites to serve in place of the bundled ones: a folder for each, read now.

    Attributes:
        origin: where the sites are, such as ``http://127.0.0.1:40321``.
        origins: the same at every address.
        requested: the paths asked for so far, in order.
    """

    def __init__(
        self, *, delay: float = 0.0, addresses: int = 1, folder: Path | None = None
    ) -> None:
        self.requested: list[str] = []
        bundled = resources.files(__name__).joinpath("sites")
        pages = _read_pages(bundled if folder is None else folder)
        self._servers: list[_Server] = []
        self.origins: list[str] = []
        port = 0
        for n in range(1, addresses + 1):
            try:
                one = _Server((f"127.0.0.{n}", port), pages, delay, self.requested)
            except OSError:
                if not self._servers:
                    raise
                break  # a machine of one loopback address
            port = one.server_address[1]
            self._servers.append(one)
            self.origins.append(f"http://127.0.0.{n}:{port}")
        self.origin = self.origins[0]
        self._closing, self._closed = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, name="sample-sites", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with selectors.DefaultSelector() as waiting:
            waiting.register(self._closed, selectors.EVENT_READ)
            for one in self._servers:
                waiting.register(one, selectors.EVENT_READ, one)
            while True:
                for key, _ in waiting.select():
                    if key.data is None:
                        return
                    key.data.handle_request()

    def close(self) -> None:
        """Stop listening and wait for the answers under way."""
        self._closing.close()
        self._thread.join()
        self._closed.close()
        for one in self._servers:
            one.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _read_pages(root: Traversable) -> dict[str, bytes]:
    """All files of all sites by URL path: what is not in here cannot be served."""
    pages: dict[str, bytes] = {}

    def walk(folder: Traversable, path: str) -> None:
        for item in folder.iterdir():
            if item.is_dir():
                walk(item, f"{path}{item.name}/")
            else:
                pages[path + item.name] = item.read_bytes()

    walk(root, "/")
    return pages


def _locate(path: str, pages: dict[str, bytes]) -> tuple[int, str]:
    """Say how a path is answered: 200 with a file, 301 or 302 with a new path, or 404."""
    if path in _REDIRECTS:
        return 302, _REDIRECTS[path]
    if path + "/index.html" in pages or path + "/" in _REDIRECTS:
        return 301, path + "/"
    for file in (path, path + "index.html", path + ".html"):
        if file in pages:
            return 200, file
    return 404, ""


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    # Not http.server's own class: that looks the host's name up, and loopback needs no name.
    allow_reuse_address = True
    request_queue_size = 64
    timeout = 0  # it is asked to answer once somebody has come

    def __init__(
        self, address: tuple[str, int], pages: dict[str, bytes], delay: float, requested: list[str]
    ) -> None:
        self.pages = pages
        self.delay = delay
        self.requested = requested
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a reader who has left before the end of a page."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    # Closing waits for every handler, so none may sit on a connection that says nothing.
    timeout = 2.0

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.requested.append(path)
        if self.server.delay:
            share = zlib.crc32(path.encode()) % 1000 / 1000
            time.sleep(self.server.delay * (0.5 + share))
        status, place = _locate(path, self.server.pages)
        body = {200: self.server.pages.get(place, b""), 404: _MISSING}.get(status, b"")
        self.send_response(status)
        if status in (301, 302):
            self.send_header("Location", place)
        suffix = place.rpartition(".")[2] if status == 200 else "html"  # noqa: PLR2004 - HTTP's own
        self.send_header("Content-Type", _TYPES[suffix])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Say nothing: `SampleSites.requested` tells what was asked for."""
