"""What the end-to-end tests hold in their hands: the vendor's process, clients, child processes."""

from __future__ import annotations

import contextlib
import http.client
import json
import multiprocessing
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkServerProcess

    import pandas as pd

    from leads_pandas import LeadsClient

ROOT = Path(__file__).parents[2]


# -- leads -----------------------------------------------------------------------------------


def lead_ids(count: int, prefix: str = "lead") -> list[str]:
    """So many lead IDs."""
    return [f"{prefix}{n:03d}" for n in range(count)]


def best_email(lead: str) -> str:
    """The address that `world` gives a lead, where it gives one."""
    return f"best@{lead}.example"


def has_email(position: int) -> bool:
    """Three leads of four have an address."""
    return position % 4 != 0


def world(count: int = 60, enriched: Iterable[int] = (), prefix: str = "lead") -> dict[str, Any]:
    """Leads as the vendor's configuration wants them: the best address stands second of three."""
    already = set(enriched)
    leads: dict[str, Any] = {}
    for position, lead in enumerate(lead_ids(count, prefix)):
        emails: list[dict[str, Any]] = []
        if has_email(position):
            emails = [
                {"email": f"low@{lead}.example", "confidence": 0.41, "source": "directory"},
                {"email": best_email(lead), "confidence": 0.94, "source": "website"},
                {"email": f"null@{lead}.example", "confidence": None, "source": None},
            ]
        leads[lead] = {"emails": emails, "enriched": position in already}
    return leads


# -- the vendor ------------------------------------------------------------------------------


class Vendor:
    """The vendor's process, and the wire to its control."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.vendor"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        ports = json.loads(self.process.stdout.readline())
        self.port: int = ports["port"]
        self._control: int = ports["control"]
        self.base_url = f"http://127.0.0.1:{self.port}"
        self.key = ""

    def order(self, path: str, **order: Any) -> Any:
        """Send one order, and return what comes back."""
        connection = http.client.HTTPConnection("127.0.0.1", self._control, timeout=500)
        try:
            connection.request("POST", path, json.dumps(order))
            answer = connection.getresponse()
            data = json.loads(answer.read())
        finally:
            connection.close()
        if answer.status != 200:
            raise ValueError(data["problem"])
        return data

    def reset(self, leads: Mapping[str, Any] | int = 60, **config: Any) -> None:
        """Begin a new world with a new key."""
        self.key = "ll_" + secrets.token_hex(32)
        if isinstance(leads, int):
            leads = world(leads)
        self.order("/reset", key=self.key, leads=leads, **config)

    def rules(self, *rules: dict[str, Any]) -> None:
        """Replace the planned faults."""
        self.order("/rules", rules=list(rules))

    def set(self, **values: Any) -> None:
        """Change the configuration of the world that runs."""
        self.order("/set", **values)

    def act(self, **order: Any) -> Any:
        """Make something happen."""
        return self.order("/act", **order)

    @property
    def counts(self) -> dict[str, Any]:
        """Everything that happened so far."""
        counts: dict[str, Any] = self.order("/counts")
        return counts

    def wait(
        self, what: Callable[[dict[str, Any]], bool], seconds: float = 500.0
    ) -> dict[str, Any]:
        """Wait until the counts show something."""
        end = time.monotonic() + seconds
        while not what(counts := self.counts):
            if time.monotonic() > end:
                raise TimeoutError(f"the vendor never saw it: {counts}")
            time.sleep(0.01)
        return counts

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()


class Tripwire:
    """A server that no request should reach; it keeps those that do, with their headers."""

    def __init__(self) -> None:
        seen: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def _note(self) -> None:
                seen.append(f"{self.requestline}\n{self.headers}")
                self.send_error(502)

            do_GET = do_POST = do_CONNECT = _note  # noqa: N815 - http.server's names

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Say nothing."""

        self.seen = seen
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


def closed_port() -> int:
    """A loopback port where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


# -- clients ---------------------------------------------------------------------------------


def make_client(vendor: Vendor, **options: Any) -> LeadsClient:
    """A client of the vendor that is as fast as the machine, and settles a doubt soon."""
    from leads_pandas import LeadsClient

    settings = {"requests_per_minute": 0, "settle": 1.0, "timeout": 2.0} | options
    return LeadsClient(vendor.key, vendor.base_url, **settings)


def frame(ids: Iterable[object]) -> pd.DataFrame:
    """A frame with a column of lead IDs and one of something else."""
    import pandas as pd

    ids = list(ids)
    return pd.DataFrame({"lead_id": ids, "name": [f"Firm {n}" for n in range(len(ids))]})


def rows(out: pd.DataFrame) -> dict[str, list[str | None]]:
    """Email and status per lead, as plain text, for comparing across processes."""
    ids = out["lead_id"] if "lead_id" in out.columns else out.index
    return {
        str(lead): [one if isinstance(one, str) else None for one in (email, status)]
        for lead, email, status in zip(
            ids, out["email"].tolist(), out["enrichment_status"].tolist(), strict=True
        )
    }


def whole(ids: Iterable[str]) -> dict[str, list[str | None]]:
    """What `rows` of a whole frame of `world`'s leads are."""
    return {
        one: [best_email(one), "found"] if has_email(int(one[-3:])) else [None, "not_found"]
        for one in ids
    }


def until_done(call: Callable[[], pd.DataFrame], attempts: int = 8) -> pd.DataFrame:
    """Call the same line again and again, as a patient user does, until it is done."""
    from leads_pandas import LeadsError

    for _ in range(attempts - 1):
        try:
            return call()
        except LeadsError:
            continue
    return call()


def assert_never_twice(vendor: Vendor, *, leads: int | None = None) -> dict[str, Any]:
    """The invariants that every fault ends with."""
    counts = vendor.counts
    twice = counts["twice"]
    assert not twice, f"charged more than once: {twice}"
    reads = sum(counts["reads"].values())
    of = len(counts["reads"]) if leads is None else leads
    # How few guesses miss is held in model time (`tests/reading`); a busy machine has more do so.
    assert reads <= 1.5 * of + 4, f"{reads} reads of {of} leads: {counts['reads']}"
    assert not counts["strangers"], counts["strangers"]
    assert not counts["unexpected"], counts["unexpected"]
    return counts


# -- child processes -------------------------------------------------------------------------


def _context() -> multiprocessing.context.ForkServerContext:
    # Children are forked from a process that has imported everything and done nothing: a child
    # costs milliseconds, not the second that importing pandas takes.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        [
            "pytest",
            "pandas",
            "pyarrow.parquet",
            "requests",
            "tqdm",
            "filelock",
            "sqlite3",
            "leads_pandas.accessor",
            "leads_pandas.run",
            "leads_pandas.frames.parquet",
        ]
    )
    return context


class Child:
    """A client in a process of its own, which waits to be told what to do.

    Args:
        vendor: the service that it talks to; rules with a signal strike this child from now on.
        home: the folder of its store.
        aim: whether the vendor's signals are aimed at it.
    """

    def __init__(self, vendor: Vendor, home: Path, *, aim: bool = False) -> None:
        self._conn, theirs = multiprocessing.Pipe()
        context = _context()
        self.process: ForkServerProcess = context.Process(
            target=_child, args=(theirs, str(home)), daemon=True
        )
        self.process.start()
        theirs.close()
        self._vendor = vendor
        assert self.process.pid is not None
        self.pid: int = self.process.pid
        if aim:
            vendor.set(pid=self.pid)

    def tell(
        self,
        ids: list[str],
        *,
        do: str = "enrich",
        path: Path | None = None,
        client: dict[str, Any] | None = None,
        **options: Any,
    ) -> Child:
        """Tell it what to do: ``enrich``, ``start``, or ``start_idle`` (start, and just sit)."""
        settings = {"requests_per_minute": 0, "settle": 1.0, "timeout": 2.0} | (client or {})
        self._conn.send(
            {
                "ids": ids,
                "do": do,
                "path": None if path is None else str(path),
                "client": {
                    "api_key": self._vendor.key,
                    "base_url": self._vendor.base_url,
                    **settings,
                },
                "options": options,
            }
        )
        return self

    def result(self, seconds: float = 500.0) -> dict[str, Any] | None:
        """What it brought back: ``rows`` or ``error``; None where it was killed."""
        if not self._conn.poll(seconds):
            self.kill()
            raise TimeoutError("the child neither answered nor died")
        try:
            answer: dict[str, Any] = self._conn.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            return None
        return answer

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """``kill -9``, suspended or not."""
        self.process.kill()
        self.process.join()

    def close(self) -> None:
        """Kill it where it still lives, and forget it."""
        if self.process.is_alive():
            self.kill()
        self.process.join()
        self.process.close()
        self._conn.close()


def _child(conn: Connection, home: str) -> None:
    for name in [name for name in os.environ if name.startswith("LOCALLEADS_")]:
        del os.environ[name]
    os.environ["LEADS_PANDAS_HOME"] = home
    signal.signal(signal.SIGINT, signal.default_int_handler)
    import leads_pandas

    job = conn.recv()
    client = leads_pandas.LeadsClient(**job["client"])
    df = frame(job["ids"])
    try:
        if job["do"] == "enrich":
            out = leads_pandas.enrich(
                df, job["path"], client=client, progress=False, **job["options"]
            )
            conn.send({"rows": rows(out)})
        else:
            run = leads_pandas.start(df, client=client, progress=False, **job["options"])
            conn.send({"run": run.id, "credits": run.credits_reserved})
            if job["do"] == "start_idle":
                # An idle kernel: it holds the run and does nothing, until it is killed.
                conn.recv()
    except leads_pandas.LeadsError as error:
        conn.send({"error": type(error).__name__, "message": str(error)})


class Script:
    """A fresh interpreter that runs some lines, and is watched from outside.

    It is what a user has: nothing is imported beforehand, and signals do what they do.
    """

    HEAD = """
import os, sys
import pandas as pd
import leads_pandas
client = leads_pandas.LeadsClient(
    os.environ["TEST_KEY"], os.environ["TEST_URL"],
    requests_per_minute=0, settle=1.0, timeout=float(os.environ.get("TEST_TIMEOUT", "2")),
)
df = pd.DataFrame({"lead_id": os.environ["TEST_IDS"].split(",")})
"""

    def __init__(
        self,
        vendor: Vendor,
        home: Path,
        ids: Iterable[str],
        body: str,
        **environment: str,
    ) -> None:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("LOCALLEADS_")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", self.HEAD + body],
            env=kept
            | {
                "LEADS_PANDAS_HOME": str(home),
                "TEST_KEY": vendor.key,
                "TEST_URL": vendor.base_url,
                "TEST_IDS": ",".join(ids),
            }
            | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def line(self) -> str:
        """The next line of its standard output."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self, seconds: float = 500.0) -> tuple[int, str, str]:
        """Wait for its end: exit code, standard output, standard error."""
        try:
            out, err = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.close()
            raise
        return self.process.returncode, out, err

    def close(self) -> None:
        """Kill it where it still lives."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
