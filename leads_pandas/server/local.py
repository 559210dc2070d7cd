"""`LocalServer`: the service, started and stopped from Python."""

from __future__ import annotations

import contextlib
import logging
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import uvicorn

from leads_pandas.errors import ConfigurationError
from leads_pandas.finding.options import USER_AGENT, SiteOptions, check_whole
from leads_pandas.finding.verify import MailDomains
from leads_pandas.server.app import build_app
from leads_pandas.server.db import Database, Selection
from leads_pandas.server.jobs import Worker
from leads_pandas.server.leads import read_leads
from leads_pandas.server.ratelimit import RateLimiter

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection, Sequence
    from types import TracebackType

    from leads_pandas.finding.sites import Unread
    from leads_pandas.leadsapi.client import LeadsClient
    from leads_pandas.server.leads import Leads

log = logging.getLogger("leads_pandas.server")

_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
_MAX_PORT = 65535


class LocalServer:
    """A service on this machine that speaks LeadsAPI's contract and really reads websites.

    Use it as a context manager, or call `start` and `stop`.

    Args:
        leads: a DataFrame, the path of a CSV file, or mappings, with ``lead_id`` and ``website``
            and, if wanted, ``name`` and ``query_id``. Known leads are brought up to date, and what
            was found for them stays, so the same leads can be given at every start.
        db: SQLite file that keeps everything; jobs that were running go on. None: a temporary one.
        credits: credits per month of a new file; a file that exists keeps its own.
        requests_per_minute: requests of one client address in any 60 seconds; 0 for no limit.
        host: address to listen on.
        port: port to listen on; 0: any that is free.
        allow_private: also read websites on private and loopback addresses.
        max_pages: pages read of one website.
        timeout: seconds for one page.
        site_timeout: seconds for one website.
        concurrency: websites read at once; one that is being waited for does not count.
        user_agent: how the websites and their robots.txt know us.
        nameservers: resolvers for websites and the MX check, as ``host:port``; None: the system's.
        only_origins: where given, nothing but these origins (``http://127.0.0.1:8000``) is ever
            read, at whatever address they are; ``allow_private`` does not matter then. They are
            taken for your own: pages of a host are read many at once, without pauses.

    Attributes:
        base_url: where it listens, once started.
        api_key: the key made at this start; it is kept as a hash only, and earlier ones stay valid.

    Raises:
        ConfigurationError: an argument cannot be used.
        LeadIdError: the leads cannot be used (from `start`).
        StoreError: ``db`` cannot be opened, or another service has it open (from `start`).
        OSError: the port is taken, or the CSV file cannot be read (from `start`).

    Example:
        >>> with LocalServer("leads.csv") as server:
        ...     out = df.leads.enrich(client=server.client())
    """

    def __init__(
        self,
        leads: Leads | None = None,
        *,
        db: str | os.PathLike[str] | None = None,
        credits: int = 100_000,  # noqa: A002 - the public contract's name
        requests_per_minute: int = 100,
        host: str = "127.0.0.1",
        port: int = 0,
        allow_private: bool = False,
        max_pages: int = 8,
        timeout: float = 10.0,
        site_timeout: float = 30.0,
        concurrency: int = 16,
        user_agent: str = USER_AGENT,
        nameservers: Sequence[str] | None = None,
        only_origins: Collection[str] | None = None,
    ) -> None:
        check_whole("credits", credits, 0)
        check_whole("requests_per_minute", requests_per_minute, 0)
        check_whole("port", port, 0, _MAX_PORT)
        self._options = SiteOptions(
            max_pages=max_pages,
            timeout=timeout,
            site_timeout=site_timeout,
            concurrency=concurrency,
            user_agent=user_agent,
            nameservers=nameservers,
            allow_private=allow_private,
            only_origins=only_origins,
        )
        self.requests_per_minute = requests_per_minute
        self._leads = leads
        self._db = db
        self._credits = credits
        self._address = (host, port)
        self._clock: Callable[[], float] = time.monotonic
        self._domains = MailDomains(nameservers)
        self._running: contextlib.ExitStack | None = None
        self._base_url: str | None = None
        self._api_key: str | None = None
        self._database: Database
        self._worker: Worker
        self._thread: threading.Thread

    def __repr__(self) -> str:
        if self._running is None:
            return "LocalServer(not running)"
        return f"LocalServer(base_url={self._base_url!r})"

    @property
    def base_url(self) -> str:
        """Where it listens, such as ``http://127.0.0.1:8765``."""
        if self._base_url is None:
            raise ConfigurationError("the service has not been started: use it in a with statement")
        return self._base_url

    @property
    def api_key(self) -> str:
        """The key made at this start."""
        if self._api_key is None:
            raise ConfigurationError("the service has not been started: use it in a with statement")
        return self._api_key

    @property
    def unread(self) -> Unread:
        """The websites that could not be read since the start, whose leads have no email for it."""
        return self._worker.unread

    def client(self) -> LeadsClient:
        """A client of this service, which keeps to its request limit."""
        from leads_pandas.leadsapi.client import LeadsClient

        return LeadsClient(
            api_key=self.api_key,
            base_url=self.base_url,
            requests_per_minute=self.requests_per_minute,
        )

    def start(self) -> Self:
        """Open the file, read the leads, take up unfinished jobs, and listen."""
        if self._running is not None:
            raise ConfigurationError("the service is running already")
        with contextlib.ExitStack() as stack:
            path = self._db
            if path is None:
                folder = tempfile.TemporaryDirectory(
                    prefix="leads-pandas-", ignore_cleanup_errors=True
                )
                path = Path(stack.enter_context(folder)) / "service.db"
            self._database = Database(path, credits_per_month=self._credits)
            stack.callback(self._database.close)
            if self._leads is not None:
                count = self._database.import_leads(read_leads(self._leads))
                log.info("%d leads are known", count)
            listener = _listen(*self._address)
            stack.callback(listener.close)
            self._api_key = self._database.add_key()
            self._worker = Worker(self._database, self._options, self._domains)
            stack.callback(self._end_work)
            self._worker.start()
            self._serve(listener, stack)
            host, port = listener.getsockname()[:2]
            self._base_url = _url(host, port)
            self._running = stack.pop_all()
        log.info("the local service listens on %s", self._base_url)
        return self

    def stop(self) -> None:
        """Stop listening and working; unfinished jobs go on at the next start on the same file."""
        if self._running is not None:
            running, self._running = self._running, None
            running.close()

    def wait(self, stopped: Callable[[], bool] = lambda: False) -> None:
        """Block until another thread stops the service; Ctrl-C goes through.

        Args:
            stopped: asked every second whether to wait no longer.
        """
        # A wait without an end is one that Windows does not interrupt, nor a signal just before it.
        while self._running is not None and not stopped() and not self._ended.wait(1.0):
            continue

    def pre_enrich(self, lead_ids: Sequence[str], *, timeout: float = 60.0) -> int:
        """Enrich leads for no credits, as if somebody had bought them before.

        Args:
            lead_ids: which of the service's leads.
            timeout: seconds to wait for it.

        Returns:
            How many were enriched.

        Raises:
            TimeoutError: they were not enriched in time; the work goes on.
        """
        started = self._database.start(Selection.of(lead_ids, None), price=0)
        self._worker.look()
        if not self._worker.wait(started.job_id, timeout):
            raise TimeoutError(
                f"{started.leads_queued} leads were not enriched in {timeout:g} s; the work goes on"
            )
        return started.leads_queued

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _serve(self, listener: socket.socket, stack: contextlib.ExitStack) -> None:
        limiter = RateLimiter(self.requests_per_minute, self._clock)
        app = build_app(self._database, limiter, on_start=self._worker.look)
        server = _Server(
            uvicorn.Config(
                app,
                http="h11",
                ws="none",
                loop="asyncio",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,  # or any client could pass for another
                timeout_keep_alive=75,
                timeout_graceful_shutdown=5,
            )
        )
        self._ended = server.ended
        threading.Thread(
            target=server.run,
            kwargs={"sockets": [listener]},
            name="leads-pandas-server",
            daemon=True,
        ).start()
        stack.callback(self._end_serving, server)
        if not server.ready.wait(_START_SECONDS):
            raise OSError("the service did not start listening")

    def _end_serving(self, server: _Server) -> None:
        server.should_exit = True
        # Not the thread's join: a Ctrl-C during one makes Python take the thread for ended.
        server.ended.wait(_STOP_SECONDS)

    def _end_work(self) -> None:
        if not self._worker.stop(_STOP_SECONDS):
            log.warning("a website is still being waited for; its lead will be done next time")


class _Server(uvicorn.Server):
    """Says when it listens, and when it has ended."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()
        self.ended = threading.Event()

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            super().run(sockets=sockets)
        finally:
            self.ended.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.ready.set()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise OSError(
            error.errno, f"cannot listen on {host} port {port}: {error.strerror}"
        ) from None
    return listener


def _url(host: str, port: int) -> str:
    """Where a client on this machine reaches a listener."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
