"""A stand-in for BigQuery: loads of one file, by Google's own client, each done at once."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class BigQuery:
    """The service, on loopback; ``BIGQUERY_EMULATOR_HOST`` leads to it.

    Attributes:
        url: where it listens.
        loads: configuration and bytes of each load, in order.
    """

    def __init__(self) -> None:
        self.loads: list[tuple[dict[str, Any], bytes]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        loads = self.loads
        jobs: list[dict[str, Any]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                """Begin an upload: the job's configuration comes first."""
                jobs.append(json.loads(self._body()))
                self._answer({}, Location=f"http://{self.headers['Host']}/upload")

            def do_PUT(self) -> None:
                """Take the file."""
                job = jobs.pop()
                loads.append((job["configuration"]["load"], self._body()))
                self._answer(job | {"status": {"state": "DONE"}})

            def _body(self) -> bytes:
                return self.rfile.read(int(self.headers["Content-Length"]))

            def _answer(self, body: dict[str, Any], **headers: str) -> None:
                data = json.dumps(body).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Say nothing."""

        return Handler
