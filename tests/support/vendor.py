"""The model of LeadsAPI over real HTTP: ``python -m tests.support.vendor``, a process of its own.

It shares no code with the package, and breaks on demand: a rule says at which request, whether
before or after the work is done, and how. Of several rules that match a request the first one
strikes; the others wait for the next.

The service listens on one loopback port, its control on another; both are printed as one line of
JSON. Control takes ``POST`` with a JSON object:

- ``/reset``: a new world from a configuration (`World`), forgetting everything else.
- ``/rules``: replace the rules of the world that runs (`Rule`).
- ``/set``: change values of the configuration.
- ``/act``: do something: ``advance`` jobs, ``teammate``, ``spend``, ``listen``.
- ``/counts``: what happened so far.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import signal
import socket
import struct
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass, field, fields
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.support.leadsapi import DAY, Answer, Call, Fault, LeadsAPI, refuse, route

UNAUTHORIZED = Answer(
    401, {"statusCode": 401, "error": "Unauthorized", "message": "Invalid or expired token"}
)


@dataclass
class Rule(Fault):
    """One planned fault, and what it does on the wire.

    What it does is to ``pass`` (answer as usual), ``close``, ``reset``, ``hang``, ``answer``,
    ``cut`` or ``patch``.

    Attributes:
        status: HTTP status of ``answer``.
        body: body of ``answer``; text is sent as HTML, anything else as JSON.
        raw: body of ``answer`` as text that claims to be JSON.
        headers: further headers of ``answer``.
        seconds: how long ``hang`` holds the connection at most.
        patch: fields to put into the data of the true answer.
        drop: fields to leave out of it.
        vanish: stop listening before anything is answered.
        signal: name of a signal for the client's process, such as ``KILL``.
        delay: seconds from the request to the signal.
    """

    status: int = 500
    body: object = None
    raw: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 30.0
    patch: dict[str, Any] = field(default_factory=dict)
    drop: list[str] = field(default_factory=list)
    vanish: bool = False
    signal: str | None = None
    delay: float = 0.0


class Passing:
    """Time as it passes."""

    @property
    def now(self) -> float:
        """Seconds since some moment."""
        return time.monotonic()


@dataclass
class World(LeadsAPI):
    """The account behind the port; every method is called with the lock held.

    Attributes:
        key: the only key that it knows.
        latency: seconds that every answer takes.
        pid: the client's process, for signals.
        strangers: requests with another key.
        unexpected: requests that no page of the documentation names.
    """

    leads: dict[str, Any] = field(default_factory=dict)
    clock: Passing = field(default_factory=Passing)
    key: str = "ll_" + "0" * 64
    latency: float = 0.0
    pid: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.lock = threading.RLock()
        self.epoch = time.time() - self.born
        self.fates = deque(self.fates)
        self.strangers: list[str] = []
        self.unexpected: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.signals = 0
        self.under_way = 0  # starts that have arrived and are not answered yet
        self.starts_at_once = 0

    @classmethod
    def made(cls, order: dict[str, Any]) -> World:
        """The world of a configuration: its fields, ``rules``, and leads that may be enriched."""
        leads, rules = order.pop("leads", {}), order.pop("rules", [])
        world = cls(addresses(leads), **order)
        world.faults = [Rule(**one) for one in rules]
        done = [one for one, about in leads.items() if about.get("enriched")]
        world.enriched = dict.fromkeys(done, world.born - DAY)
        return world

    def change(self, order: dict[str, Any]) -> None:
        """Change values of the configuration."""
        unknown = set(order) - {one.name for one in fields(self) if one.init}
        if unknown:
            raise KeyError(f"no such setting: {sorted(unknown)}")
        self.advance()
        for name, value in order.items():
            setattr(self, name, addresses(value) if name == "leads" else value)

    def enters(self, call: Call) -> None:
        """Count the starts that are under way at once, those that no rule strikes."""
        if call.endpoint == "start":
            self.under_way += 1
            self.starts_at_once = max(self.starts_at_once, self.under_way)

    def leaves(self, call: Call) -> None:
        """The opposite of `enters`."""
        if call.endpoint == "start":
            self.under_way -= 1

    def counts(self) -> dict[str, Any]:
        """Everything that happened."""
        self.advance()
        return {
            "starts": self.requests["start"],
            "starts_charged": sum(bool(job.ours and job.leads) for job in self.jobs.values()),
            "start_bodies": self.bodies,
            "charges": dict(self.charges),
            "twice": dict(self.twice),
            "reads": dict(self.reads),
            "requests": dict(self.requests),
            "total": self.requests.total(),
            "starts_at_once": self.starts_at_once,
            "throttled": self.throttled,
            "balance": self.balance,
            "spent": self.monthly - self.balance,
            "jobs": {
                one.id: {"running": one.running, "leads": len(one.leads), "done": one.done}
                for one in self.jobs.values()
            },
            "enriched": sorted(self.enriched.keys() & self.leads.keys()),
            "strangers": self.strangers,
            "unexpected": self.unexpected,
            "signals": self.signals,
            "fired": [one.fired for one in self.faults],
        }

    def act(self, order: dict[str, Any]) -> object:
        """Do what the control says."""
        self.advance()
        if "advance" in order:
            for job in self.jobs.values():
                if job.running and order.get("job") in (None, job.id):
                    self.progress(job, float(order["advance"]))
        if "spend" in order:
            self.pay(order["spend"], "Lead search: Dentists")
        if "teammate" in order:
            leads = [f"other{len(self.jobs)}-{n}" for n in range(order["teammate"])]
            return self.teammate(leads, order.get("seconds"))
        return None


def addresses(leads: dict[str, Any]) -> dict[str, Any]:
    """The addresses of leads that are configured as ``{id: {"emails": [...], ...}}``."""
    return {one: about.get("emails", []) for one, about in leads.items()}


class Handler(BaseHTTPRequestHandler):
    """Reads requests off one connection of the service."""

    protocol_version = "HTTP/1.1"
    server: Service  # type: ignore[assignment] # the base class expects a socketserver
    connection: socket.socket

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing: the counts do."""

    def do_GET(self) -> None:
        self._handle("GET")

    def do_POST(self) -> None:
        self._handle("POST")

    def do_PUT(self) -> None:
        self._handle("PUT")

    def do_DELETE(self) -> None:
        self._handle("DELETE")

    def do_HEAD(self) -> None:
        self._handle("HEAD")

    def do_CONNECT(self) -> None:
        self._handle("CONNECT")

    def _handle(self, method: str) -> None:
        world = self.server.world
        call = route(method, self.path)
        host = self.headers.get("Host", "")
        with world.lock:
            if self.headers.get("Authorization") != f"Bearer {world.key}":
                world.strangers.append(f"{method} {self.path}")
                self._read_body()
                self._send(UNAUTHORIZED)
                return
            if call is None or host not in self.server.hosts:
                world.unexpected.append(f"{method} {host} {self.path}")
                self._read_body()
                self._send(refuse(404, "Not found"))
                return
            refusal, rule = world.arrive(call)
            if rule is None and refusal is None:
                world.enters(call)
        if world.latency:
            time.sleep(world.latency)
        if refusal is not None:
            self._read_body()
            self._send(refusal)
            return
        assert rule is None or isinstance(rule, Rule)
        unread = rule is not None and rule.when == "before" and rule.late is None
        if rule is not None and unread and rule.do in ("close", "reset"):
            # Not even the body is read.
            self._meddle(world, rule)
            self._strike(rule, None)
            return
        body = self._read_body()
        if call.endpoint == "start" and isinstance(body, dict):
            world.bodies.append(
                {
                    "leads": len(body.get("leadIds", [])),
                    "leadIds": body.get("leadIds", []),
                    "queryId": body.get("queryId"),
                    "maxCredits": body.get("maxCredits"),
                }
            )
        if rule is None:
            with world.lock:
                answer = world.carry_out(call, body)
                world.leaves(call)
            self._send(answer)
            return
        done: Answer | None = None
        if rule.late is not None:
            with world.lock:
                world.pending.append((world.clock.now + rule.late, body))
        if rule.when == "before":
            self._meddle(world, rule)
        if rule.when == "after" or rule.do in ("pass", "patch", "cut"):
            with world.lock:
                done = world.carry_out(call, body, rule)
        if rule.when == "after":
            self._meddle(world, rule)
        self._strike(rule, done)

    def _meddle(self, world: World, rule: Rule) -> None:
        """Let happen what a rule says besides the answer."""
        with world.lock:
            world.meddle(rule)
        if rule.vanish:
            self.server.deafen(spare=self.connection)
            self.close_connection = True
        if rule.signal is not None and world.pid:
            if rule.delay:
                threading.Timer(rule.delay, self._signal, (world, rule.signal)).start()
            else:
                self._signal(world, rule.signal)

    def _strike(self, rule: Rule, done: Answer | None) -> None:
        """Answer as a rule says, or not at all."""
        match rule.do:
            case "close":
                self._hang_up()
            case "reset":
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self._hang_up()
            case "hang":
                self._hold(rule.seconds)
            case "answer":
                body = rule.raw if rule.raw is not None else rule.body
                kind = "application/json" if rule.raw is not None else None
                self._send(Answer(rule.status, body, rule.headers), kind=kind)
            case "cut" if done is not None:
                self._send(done, cut=True)
            case "patch" if done is not None:
                self._send(patched(done, rule))
            case _ if done is not None:
                self._send(done)

    def _signal(self, world: World, name: str) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(world.pid, signal.Signals[f"SIG{name}"])
            world.signals += 1

    def _hang_up(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            if not self.connection.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)[0]:
                self.connection.shutdown(socket.SHUT_RDWR)
        self.connection.close()

    def _hold(self, seconds: float) -> None:
        self.close_connection = True
        select.select([self.connection], [], [], seconds)

    def _read_body(self) -> object:
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            return json.loads(text) if text else None
        except ValueError:
            return None

    def _send(self, answer: Answer, *, kind: str | None = None, cut: bool = False) -> None:
        # No reason phrase: clients must not need one.
        status, body, headers = answer
        if isinstance(body, str):
            payload = body.encode()
            kind = kind or "text/html; charset=utf-8"
        else:
            payload = json.dumps(body).encode()
            kind = "application/json; charset=utf-8"
        lines = [
            f"HTTP/1.1 {status} -",
            f"Content-Type: {kind}",
            f"Content-Length: {len(payload)}",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        if self.close_connection or cut:
            self.close_connection = True
            lines.append("Connection: close")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode()
        # One write: two would wait for each other's acknowledgement.
        with contextlib.suppress(OSError):
            self.connection.sendall(head + (payload[: len(payload) // 2] if cut else payload))


def patched(answer: Answer, rule: Rule) -> Answer:
    """A true answer with some of its data replaced or left out."""
    data = isinstance(answer.body, dict) and answer.body.get("data")
    if not isinstance(data, dict):
        return answer
    data = {k: v for k, v in (data | rule.patch).items() if k not in rule.drop}
    return answer._replace(body=answer.body | {"data": data})


class Service:
    """The listening end; it can go deaf and hear again on the same port."""

    def __init__(self, host: str, port: int) -> None:
        self.world = World()
        # Bound but never listening: it keeps the port while the service is deaf.
        self._holder = self._bound(host, port)
        self.host, self.port = self._holder.getsockname()
        self.hosts = (f"{host}:{self.port}", f"localhost:{self.port}")
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._ears: socket.socket | None = None
        self.hear()

    @staticmethod
    def _bound(host: str, port: int) -> socket.socket:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        return sock

    def hear(self) -> None:
        """Listen, if not listening already."""
        with self._lock:
            if self._ears is not None:
                return
            self._ears = self._bound(self.host, self.port)
            self._ears.listen(256)
            threading.Thread(target=self._accept, args=(self._ears,), daemon=True).start()

    def deafen(self, spare: socket.socket | None = None) -> None:
        """Refuse connections from now on, and drop those that are open."""
        with self._lock:
            if self._ears is not None:
                self._ears.shutdown(socket.SHUT_RDWR)
                self._ears.close()
                self._ears = None
            for one in list(self._open):
                if one is not spare:
                    with contextlib.suppress(OSError):
                        one.shutdown(socket.SHUT_RDWR)

    def _accept(self, ears: socket.socket) -> None:
        while True:
            try:
                sock, address = ears.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock, address), daemon=True).start()

    def _serve(self, sock: socket.socket, address: tuple[str, int]) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._open.add(sock)
        # A client that was killed leaves broken pipes behind; that is what it is here for.
        with contextlib.suppress(OSError, ValueError):
            Handler(sock, address, self)  # type: ignore[arg-type] # no socketserver is needed
        with self._lock:
            self._open.discard(sock)
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        sock.close()


class Control(BaseHTTPRequestHandler):
    """Takes orders from the tests, on a port of its own."""

    protocol_version = "HTTP/1.1"
    service: Service
    connection: socket.socket

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""

    def do_POST(self) -> None:
        order = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "{}")
        try:
            result, status = self._obey(order), 200
        except (KeyError, TypeError, ValueError) as problem:
            result, status = {"problem": repr(problem)}, 400
        payload = json.dumps(result).encode()
        head = f"HTTP/1.1 {status} -\r\nContent-Length: {len(payload)}\r\n\r\n".encode()
        self.connection.sendall(head + payload)

    def _obey(self, order: dict[str, Any]) -> object:
        service = self.service
        world = service.world
        if self.path == "/reset":
            service.world = World.made(order)
            service.hear()
            return {}
        with world.lock:
            if self.path == "/rules":
                world.faults = [Rule(**one) for one in order["rules"]]
                return {}
            if self.path == "/set":
                world.change(order)
                return {}
            if self.path == "/counts":
                return world.counts()
            if self.path == "/act":
                result = world.act(order)
                if "listen" in order:
                    (service.hear if order["listen"] else service.deafen)()
                return result
        raise KeyError(f"no such order: {self.path}")


def control(service: Service) -> int:
    """Listen for orders; the port comes back."""
    ears = socket.create_server(("127.0.0.1", 0))
    handler = type("BoundControl", (Control,), {"service": service})

    def serve(sock: socket.socket, address: tuple[str, int]) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError), sock:
            handler(sock, address, service)

    def accept() -> None:
        while True:
            threading.Thread(target=serve, args=ears.accept(), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return int(ears.getsockname()[1])


def main() -> None:
    """Serve until standard input is closed, that is until the tests are gone."""
    parser = argparse.ArgumentParser(description="LeadsAPI as documented, for tests.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--config", help="the world to begin with, as JSON")
    options = parser.parse_args()
    service = Service(options.host, options.port)
    if options.config:
        service.world = World.made(json.loads(options.config))
    print(json.dumps({"port": service.port, "control": control(service)}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
