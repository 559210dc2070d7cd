"""Fixtures of the local service's tests; nothing in them reaches beyond loopback."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from leads_pandas.server.local import LocalServer

# The tests are no package; their helpers are imported by name from here.
sys.path.insert(0, str(Path(__file__).parent))

from server_harness import Api, NameServer, Website

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from server_harness import Page


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
def service(nameserver: NameServer) -> Iterator[Callable[..., tuple[LocalServer, Api]]]:
    """Starts services that may read loopback, and clients of them."""
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
