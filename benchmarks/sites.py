"""Reading many small websites: the driver against a bare pool that fetches the same URLs.

`python -m benchmarks.sites [SITES]`: every site has an address of its own on loopback, a front page
with an address and a robots.txt that is not there; a process of its own serves them.
"""

from __future__ import annotations

import multiprocessing
import resource
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import requests

from leads_pandas.finding.options import SiteOptions
from leads_pandas.finding.sites import look
from leads_pandas.finding.verify import MailDomains

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

CONCURRENCY = 16
BODY = b"<!doctype html><title>Shop</title><p>Write to info@shop.test</p>" + b"<p>Bread.</p>" * 40
PAGE = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
)
NONE = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


def serve(ready: Connection) -> None:
    """Answer everything on every loopback address, with as little work as can be."""

    def talk(peer: socket.socket) -> None:
        with peer:
            while request := peer.recv(65536):
                peer.sendall(NONE if b"/robots.txt" in request[:40] else PAGE)
                if b"close" in request.lower():
                    return

    listener = socket.create_server(("0.0.0.0", 0), backlog=1024)
    ready.send(listener.getsockname()[1])
    while True:
        threading.Thread(target=talk, args=(listener.accept()[0],), daemon=True).start()


def bare(urls: list[str]) -> float:
    """Sites per second of a pool of threads that fetches and forgets."""
    session = threading.local()

    def fetch(url: str) -> None:
        if not hasattr(session, "of"):
            session.of = requests.Session()
            session.of.trust_env = False
        session.of.get(f"{url}robots.txt", timeout=10)
        assert b"info@" in session.of.get(url, timeout=10).content

    began = time.perf_counter()
    with ThreadPoolExecutor(CONCURRENCY) as pool:
        list(pool.map(fetch, urls))
    return len(urls) / (time.perf_counter() - began)


def driven(urls: list[str]) -> float:
    """Sites per second of the driver."""
    began = time.perf_counter()
    options = SiteOptions(allow_private=True, concurrency=CONCURRENCY)
    found = sum(
        one.state == "found"
        for one in look(enumerate(urls), options, domains=MailDomains(["127.0.0.1:9"]))
    )
    assert found == len(urls)
    return len(urls) / (time.perf_counter() - began)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    here, there = multiprocessing.get_context("spawn").Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    server.start()
    port = here.recv()
    urls = [
        f"http://127.{1 + n // 62500}.{n // 250 % 250}.{1 + n % 250}:{port}/" for n in range(count)
    ]
    pool, ours = bare(urls), driven(urls)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{count} sites: bare pool {pool:.0f}/s, driver {ours:.0f}/s, ratio {ours / pool:.2f}; ",
        end="",
    )
    print(f"{memory:.0f} MiB at most")
    server.terminate()


if __name__ == "__main__":
    main()
