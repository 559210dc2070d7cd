"""What the tests of the local service hold in their hands: websites, a DNS server, clients."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import requests

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    Page = str | bytes | tuple[int, dict[str, str], str | bytes] | Callable[[Any], object]


class Website:
    """A website on loopback: set `pages`, look at `seen`."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.pages: dict[str, Page] = {}
        self.seen: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.released = threading.Event()  # what pages that hang wait for
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.seen.append(self.path)
                site.headers.append({name.lower(): value for name, value in self.headers.items()})
                page = site.pages.get(self.path, (404, {}, "no such page"))
                with contextlib.suppress(OSError):  # the visitor has gone
                    if callable(page):
                        page(self)
                    else:
                        self.answer(*(page if isinstance(page, tuple) else (200, {}, page)))

            def answer(self, status: int, headers: dict[str, str], body: str | bytes) -> None:
                data = body.encode() if isinstance(body, str) else body
                self.send_response(status)
                for name, value in {
                    "Content-Type": "text/html",
                    "Content-Length": str(len(data)),
                    **headers,
                }.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Visitors that hang up are part of the tests."""

        self.server = Server((host, 0), Handler)
        self.port: int = self.server.server_address[1]
        self.url = f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.released.set()
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


class NameServer:
    """A DNS server on loopback: `answers` maps (name, type) to records; the rest is NXDOMAIN."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], list[str]] = {}
        self.rcode: dns.rcode.Rcode | None = None
        self.silent: set[str] = set()
        self.asked: list[tuple[str, str]] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            data, peer = self._socket.recvfrom(4096)
            if not data:
                return
            query = dns.message.from_wire(data)
            question = query.question[0]
            name = question.name.to_text(omit_final_dot=True)
            kind = dns.rdatatype.to_text(question.rdtype)
            self.asked.append((name, kind))
            if name in self.silent or "*" in self.silent:
                continue
            reply = dns.message.make_response(query)
            reply.flags |= dns.flags.RA
            records = self.answers.get((name, kind))
            if self.rcode is not None:
                reply.set_rcode(self.rcode)
            elif records:
                reply.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, *records))
            elif not any(name == known for known, _ in self.answers):
                reply.set_rcode(dns.rcode.NXDOMAIN)
            self._socket.sendto(reply.to_wire(), peer)

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()


class Api:
    """A plain HTTP client of a service, with its key."""

    def __init__(self, base_url: str, key: str) -> None:
        self.root = f"{base_url}/api/v1"
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Bearer {key}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def get(self, path: str, **options: Any) -> requests.Response:
        return self._session.get(self.root + path, timeout=500, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        return self._session.post(self.root + path, timeout=500, **options)

    def start(self, lead_ids: list[str], **more: Any) -> Any:
        return data(self.post("/enrichment/start", json={"leadIds": lead_ids, **more}))

    def preview(self, lead_ids: list[str]) -> Any:
        return data(self.post("/enrichment/preview", json={"leadIds": lead_ids}))

    def status(self, job_id: str) -> Any:
        return data(self.get(f"/enrichment/status/{job_id}"))

    def emails(self, lead_id: str) -> list[str]:
        found = data(self.get(f"/enrichment/lead/{lead_id}"))
        return [one["email"] for one in found["emails"]]

    def available(self) -> int:
        return int(data(self.get("/credits/balance"))["availableCredits"])

    def until(self, job_id: str, done: Callable[[dict[str, Any]], bool]) -> Any:
        """The job's status, once it is as wanted."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            status = self.status(job_id)
            if done(status):
                return status
            time.sleep(0.01)
        raise AssertionError(f"the job stays at {status}")

    def ended(self, job_id: str) -> Any:
        return self.until(job_id, lambda status: status["status"] in ("COMPLETED", "FAILED"))

    def enrich(self, lead_ids: list[str]) -> Any:
        return self.ended(self.start(lead_ids)["jobId"])


def data(response: requests.Response) -> Any:
    """The data of a successful answer."""
    body = response.json()
    assert response.status_code == 200, body
    assert body["success"] is True
    return body["data"]
