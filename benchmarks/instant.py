"""A service that costs next to nothing: one asyncio loop, in a process of its own.

For the cases without a limit, where the machine's cores are what the clients compete for and the
tests' stand-in would take one of them. A job is done as soon as it is started; every answer comes
after a fixed latency. It says how many reads it answered when it is asked for ``/count``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

EMAILS = '[{"email":"info@%s.example","confidence":0.94,"source":"website"}]'


class World:
    """All leads there are, bought or not.

    Args:
        fresh: whether the leads are yet to be bought, all by one start.
    """

    def __init__(self, *, fresh: bool) -> None:
        self._fresh = fresh
        self._leads = 0
        self._reads = 0

    def answer(self, request: str, body: bytes) -> str:
        """The data that one request gets, as JSON."""
        path = request.split(" ")[1]
        if path.startswith("/api/v1/enrichment/lead/"):
            self._reads += 1
            lead = path.rsplit("/", 1)[1]
            moment = "2026-05-05T11:23:00.000Z"
            return f'{{"leadId":"{lead}","emails":{EMAILS % lead},"enrichedAt":"{moment}"}}'
        name = path.rsplit("/", 1)[1]
        if name in ("preview", "start"):
            return self._sell(name, len(json.loads(body)["leadIds"]))
        if name == "jobs":
            return "[]"
        if name == "count":
            return str(self._reads)
        return json.dumps(
            {
                "jobId": name,
                "status": "COMPLETED",
                "progress": 100,
                "processedLeads": self._leads,
                "totalLeads": self._leads,
                "foundEmails": self._leads,
            }
        )

    def _sell(self, name: str, count: int) -> str:
        if name == "start":
            self._fresh, self._leads = False, count
            return json.dumps({"jobId": "job_1", "leadsQueued": count, "creditsReserved": count})
        new = count if self._fresh else 0
        return json.dumps(
            {
                "totalLeads": count,
                "alreadyEnriched": count - new,
                "toEnrich": new,
                "estimatedCredits": new,
                "availableCredits": 10_000_000,
            }
        )


class Connection(asyncio.Protocol):
    """One kept-alive connection; requests come one at a time."""

    def __init__(self, world: World, latency: float) -> None:
        self._world = world
        self._latency = latency
        self._parts: list[bytes] = []
        self._missing = 0
        self._head = ""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        # Bodies can be megabytes: kept in parts, joined once.
        if not self._head:
            head, found, data = (b"".join(self._parts) + data).partition(b"\r\n\r\n")
            if not found:
                self._parts = [head]
                return
            self._head, self._parts, self._missing = head.decode(), [], 0
            for line in self._head.lower().split("\r\n"):
                if line.startswith("content-length:"):
                    self._missing = int(line.partition(":")[2])
        self._parts.append(data)
        self._missing -= len(data)
        if self._missing <= 0:
            payload = self._world.answer(self._head.partition("\r\n")[0], b"".join(self._parts))
            self._head, self._parts = "", []
            self._send(f'{{"success":true,"data":{payload}}}'.encode())

    def _send(self, payload: bytes) -> None:
        assert self._transport is not None
        head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
        message = f"{head}{len(payload)}\r\n\r\n".encode() + payload
        if self._latency:
            loop = asyncio.get_running_loop()
            loop.call_later(self._latency, self._transport.write, message)
        else:
            self._transport.write(message)


async def serve(latency: float, *, fresh: bool) -> None:
    """Listen on a free port of loopback, print it, and serve until killed."""
    world = World(fresh=fresh)
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(world, latency), "127.0.0.1", 0, backlog=256
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextlib.contextmanager
def instant_service(*, latency: float = 0.0, fresh: bool = False) -> Generator[str]:
    """The base URL of such a service."""
    process = subprocess.Popen(
        [sys.executable, __file__, str(latency), "fresh" if fresh else ""],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.communicate()


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1]), fresh=sys.argv[2] == "fresh"))
