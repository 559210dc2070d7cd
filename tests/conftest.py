"""Fixtures that every test shares, above all: no test reaches the real service or a real store."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest

from leads_pandas.server.local import LocalServer
from tests.support.harness import Child, Script, Tripwire, Vendor, make_client
from tests.support.server_harness import Api, NameServer, Website

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from leads_pandas import LeadsClient
    from tests.support.server_harness import Page

REAL_HOST = "leadsapi.postorbit.io"


def _refuse_the_real_service(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.getaddrinfo" and str(arguments[0]).rstrip(".").lower() == REAL_HOST:
        raise OSError(f"a test asked for the address of {REAL_HOST}")


# A hook cannot be taken out again, which is the point.
sys.addaudithook(_refuse_the_real_service)

# A shell that runs the tests in its background has them ignore Ctrl-C, which some of them send.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


SHORT, LONG = 12, 120


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the fault tests."""
    group = parser.getgroup("leads_pandas")
    group.addoption("--long", action="store_true", help="run the fault tests at full length")
    group.addoption("--fault-seed", type=int, default=None, help="a seed that a test has printed")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give `seed` its values: few, or many with ``--long``, or the one asked for."""
    if "seed" in metafunc.fixturenames:
        one = metafunc.config.getoption("--fault-seed")
        many = LONG if metafunc.config.getoption("--long") else SHORT
        metafunc.parametrize("seed", range(many) if one is None else [one])


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of the test's own, and no key, account or service from the environment."""
    for name in list(os.environ):
        if name.upper().startswith(("LOCALLEADS_", "LEADS_PANDAS_")):
            monkeypatch.delenv(name)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "leads-pandas-home"
    monkeypatch.setenv("LEADS_PANDAS_HOME", str(folder))
    return folder


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries that follow each other soon: how long they wait is not what these tests are about."""
    monkeypatch.setattr("leads_pandas.leadsapi.transport._BACKOFF", 0.02)


@pytest.fixture(scope="session")
def _vendor_process() -> Iterator[Vendor]:
    vendor = Vendor()
    yield vendor
    vendor.close()


@pytest.fixture
def vendor(_vendor_process: Vendor) -> Vendor:
    """The vendor's process with a new world of 60 leads, none of them enriched."""
    _vendor_process.reset(60)
    return _vendor_process


@pytest.fixture
def client(vendor: Vendor) -> Callable[..., LeadsClient]:
    """Makes clients of the vendor; options are those of `LeadsClient`."""

    def make(**options: Any) -> LeadsClient:
        # A read whose answer takes longer than this, on a busy machine, is asked for again.
        return make_client(vendor, **({"timeout": 60.0} | options))

    return make


@pytest.fixture
def tripwire() -> Iterator[Callable[[], Tripwire]]:
    """Makes servers that no request should reach."""
    made: list[Tripwire] = []

    def make() -> Tripwire:
        made.append(Tripwire())
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def child(vendor: Vendor, home: Path) -> Iterator[Callable[..., Child]]:
    """Makes clients in processes of their own, over the test's store."""
    made: list[Child] = []

    def make(**options: Any) -> Child:
        made.append(Child(vendor, home, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def script(vendor: Vendor, home: Path) -> Iterator[Callable[..., Script]]:
    """Makes fresh interpreters that run some lines over the test's store."""
    made: list[Script] = []

    def make(ids: Iterable[str], body: str, **environment: str) -> Script:
        made.append(Script(vendor, home, ids, body, **environment))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def website() -> Iterator[Callable[..., Website]]:
    """Makes websites on loopback."""
    made: list[Website] = []

    def make(pages: dict[str, Page] | None = None, host: str = "127.0.0.1") -> Website:
        made.append(Website(host))
        made[-1].pages.update(pages or {})
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def nameserver() -> Iterator[NameServer]:
    """A DNS server that knows nothing yet."""
    made = NameServer()
    yield made
    made.close()


@pytest.fixture
def service(
    nameserver: NameServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., tuple[LocalServer, Api]]]:
    """Starts services that may read loopback, and clients of them."""
    monkeypatch.setattr("leads_pandas.finding.sites.PAUSE", 0.0)  # many leads share one host here
    with contextlib.ExitStack() as stack:

        def make(leads: Any = None, **options: Any) -> tuple[LocalServer, Api]:
            defaults: dict[str, Any] = {
                "requests_per_minute": 0,
                "allow_private": True,
                "nameservers": [nameserver.address],
            }
            clock = options.pop("clock", None)
            server = LocalServer(leads, **(defaults | options))
            if clock is not None:
                server._clock = clock
            stack.enter_context(server)
            api = stack.enter_context(Api(server.base_url, server.api_key))
            return server, api

        yield make
