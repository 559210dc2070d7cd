"""How websites are read: the options that the service, the accessor and the command line share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from leads_pandas.errors import ConfigurationError
from leads_pandas.finding.names import parse_nameserver
from leads_pandas.home import version

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

USER_AGENT = f"leads_pandas/{version()} (reads contact pages; obeys robots.txt)"


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteOptions:
    """How websites are read.

    Attributes:
        max_pages: pages read of one website.
        timeout: seconds for one page.
        site_timeout: seconds for one website, later tries included, pauses between them not.
        concurrency: websites read at once. One that is being waited for, because it is slow or
            because its host is owed a pause, does not count; up to 16 such for each that does, and
            256 in all.
        user_agent: how the websites and their robots.txt know us.
        nameservers: resolvers for websites and the MX check, as ``host:port``; None: the system's.
        allow_private: also read websites on private and loopback addresses.
        only_origins: where given, nothing but these origins (``http://127.0.0.1:8000``) is ever
            read, at whatever address they are; ``allow_private`` does not matter then. They are
            taken for the caller's own: pages of a host are read many at once, without pauses.

    Raises:
        ConfigurationError: a value cannot be used.
    """

    max_pages: int = 8
    timeout: float = 10.0
    site_timeout: float = 30.0
    concurrency: int = 16
    user_agent: str = USER_AGENT
    nameservers: Sequence[str] | None = None
    allow_private: bool = False
    only_origins: Collection[str] | None = None

    def __post_init__(self) -> None:
        check_whole("max_pages", self.max_pages, 1)
        check_whole("concurrency", self.concurrency, 1)
        for name in ("timeout", "site_timeout"):
            value = getattr(self, name)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not 0 < value < float("inf"):
                raise ConfigurationError(
                    f"{name} must be a positive number of seconds, not {value!r}"
                )
        agent = self.user_agent
        if not agent or not agent.isascii() or not agent.isprintable():
            raise ConfigurationError("user_agent must be a line of ASCII text")
        for one in self.nameservers or ():
            parse_nameserver(one)


def check_whole(name: str, value: object, low: int, high: int | None = None) -> None:
    """Refuse what is no whole number from `low` to `high`, with `ConfigurationError`."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or value < low or (high is not None and value > high):  # type: ignore[operator] # an int, by then
        span = f"of at least {low}" if high is None else f"from {low} to {high}"
        raise ConfigurationError(f"{name} must be a whole number {span}, not {value!r}")
