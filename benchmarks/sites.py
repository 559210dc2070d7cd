"""Reading many small websites, beside bare pools of threads that fetch the same URLs and forget.

Every site has an address of its own on loopback, a robots.txt that is not there, a front page and,
where it has more pages, a contact page with the address that is looked for. Processes of their own
serve them. A round of each reader comes after a round of the others, so that a busy machine slows
all of them alike; the ratios are of the sums.
"""

from __future__ import annotations

import http.client
import multiprocessing
import resource
import selectors
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
    from collections.abc import Callable
    from multiprocessing.connection import Connection

CONCURRENCY = 16
ROUNDS = 5
SERVERS = 2
BREAD = b"<p>Bread.</p>" * 40
FRONT = b"<!doctype html><title>Shop</title><p>Write to info@shop.test</p>" + BREAD
NONE = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


def serve(ready: Connection, port: int) -> None:
    """Answer on every loopback address, with as little work as can be."""
    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(FRONT)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("0.0.0.0", port))
    listener.listen(4096)
    listener.setblocking(False)
    ready.send(listener.getsockname()[1])
    waiting = selectors.DefaultSelector()
    waiting.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in waiting.select():
            if key.fileobj is listener:
                peer, _ = listener.accept()
                waiting.register(peer, selectors.EVENT_READ, peer)
                continue
            peer = key.data
            try:
                request = peer.recv(65536)
            except OSError:
                request = b""
            if request:
                peer.sendall(NONE if b"/robots.txt" in request[:40] else page + FRONT)
            else:
                waiting.unregister(peer)
                peer.close()


def pooled(fetch: Callable[[str], bytes]) -> Callable[[list[str]], None]:
    """A reader that is a pool of threads, each of which fetches and forgets."""

    def read(hosts: list[str]) -> None:
        with ThreadPoolExecutor(CONCURRENCY) as pool:
            assert all(b"info@" in body for body in pool.map(fetch, hosts))

    return read


def lean(host: str) -> bytes:
    """One site by the standard library, over one connection."""
    connection = http.client.HTTPConnection(host, timeout=10)
    connection.request("GET", "/robots.txt")
    connection.getresponse().read()
    connection.request("GET", "/")
    body = connection.getresponse().read()
    connection.close()
    return body


_session = threading.local()


def by_requests(host: str) -> bytes:
    """One site by requests, with a session for each thread."""
    if not hasattr(_session, "of"):
        _session.of = requests.Session()
        _session.of.trust_env = False
    _session.of.get(f"http://{host}/robots.txt", timeout=10)
    body: bytes = _session.of.get(f"http://{host}/", timeout=10).content
    return body


def driven(hosts: list[str]) -> None:
    """The driver, as `find` uses it."""
    options = SiteOptions(allow_private=True, concurrency=CONCURRENCY)
    leads = ((host, f"http://{host}/") for host in hosts)
    looked = look(leads, options, domains=MailDomains(["127.0.0.1:9"]))
    assert sum(one.state == "found" for one in looked) == len(hosts)


READERS = {"http.client": pooled(lean), "requests": pooled(by_requests), "leads_pandas": driven}


def measure(sites: int) -> dict[str, tuple[float, float]]:
    """Sites per second, and CPU milliseconds of this process per site, of each reader."""
    context = multiprocessing.get_context("spawn")
    port, servers = 0, []
    for _ in range(SERVERS):
        here, there = context.Pipe()
        servers.append(context.Process(target=serve, args=(there, port), daemon=True))
        servers[-1].start()
        port = here.recv()
    hosts = [f"127.{1 + n // 62500}.{n // 250 % 250}.{1 + n % 250}:{port}" for n in range(sites)]
    took = {name: [0.0, 0.0] for name in READERS}
    try:
        for part in range(ROUNDS):
            for name, read in READERS.items():
                began, busy = time.perf_counter(), time.process_time()
                read(hosts[part::ROUNDS])
                took[name][0] += time.perf_counter() - began
                took[name][1] += time.process_time() - busy
    finally:
        for one in servers:
            one.kill()
    return {name: (sites / wall, 1000 * cpu / sites) for name, (wall, cpu) in took.items()}


def main() -> None:
    sites = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    figures = measure(sites)
    for name, (speed, cpu) in figures.items():
        ratio = speed / figures["http.client"][0]
        print(f"{name:>12}: {speed:6.0f} sites/s, {cpu:.2f} ms CPU per site, {ratio:.2f}")
    print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB at most")


if __name__ == "__main__":
    main()
