"""`LeadsClient`: one method per endpoint of LeadsAPI, no loops; and the default client.

Where the key, the base URL and the account come from is decided here; requests are `transport`'s.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import operator
import os
import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, Self, TypeVar, cast
from urllib.parse import quote

from leads_pandas.contract import WireError
from leads_pandas.display import clean
from leads_pandas.errors import ConfigurationError, LeadIdError, Way
from leads_pandas.home import Place, find_place, fingerprint, home, hosts, private_folder, version
from leads_pandas.leadsapi.transport import CONNECT_TIMEOUT, Transport, check_base_url
from leads_pandas.models import (
    ActiveJob,
    Balance,
    CostPreview,
    JobStatus,
    LeadEnrichment,
    StartedJob,
    Transaction,
    lead_id_fault,
    selection,
)
from leads_pandas.pace.pacer import Pacer
from leads_pandas.pace.wait import FOREVER, Wait

BASE_URL = "https://leadsapi.postorbit.io"
REQUESTS_PER_MINUTE = 100
_ANSWER_TIMEOUT = 30.0
_START_TIMEOUT = 120.0
_API = "/api/v1"

T = TypeVar("T")


class LeadsClient:
    """A connection to LeadsAPI: one method per endpoint, each one request (and its safe retries).

    Args:
        api_key: the key; default: ``LOCALLEADS_API_KEY``. White space around it is stripped.
        base_url: the service; default: ``LOCALLEADS_BASE_URL``, else ``https://leadsapi.postorbit.io``.
            https, or http on loopback only.
        account: the name under which the store files everything, so that a rotated key meets the
            same claims; default: ``LEADS_PANDAS_ACCOUNT``, else a fingerprint (SHA-256) of the key.
        requests_per_minute: the request budget shared by all processes of this machine user;
            default: ``LOCALLEADS_REQUESTS_PER_MINUTE``, else 100; 0 is unlimited.
        timeout: seconds for one answer; default: 30, and 120 for `start`.
        settle: seconds to watch for evidence after a start that got no answer, before concluding
            that it never happened; None: absence is never concluded.

    Raises:
        ConfigurationError: no key, or a base URL that the key cannot safely be sent to.
        ValueError: a number is out of range.

    Example:
        >>> with LeadsClient() as client:
        ...     before = client.balance().available_credits
        ...     price = client.preview(["lead001", "lead002"]).estimated_credits
        >>> price
        2
    """

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        account: str | None = None,
        requests_per_minute: int | None = None,
        timeout: float | None = None,
        settle: float | None = 60.0,
    ) -> None:
        named = account if account is not None else os.environ.get("LEADS_PANDAS_ACCOUNT", "")
        # What the store holds needs no key where the account is named: the first request does.
        key = _key(api_key, needed=not named.strip())
        self.base_url = check_base_url(
            base_url or os.environ.get("LOCALLEADS_BASE_URL") or BASE_URL
        )
        self._named = named.strip()
        self.requests_per_minute = _budget(requests_per_minute)
        self.settle = None if settle is None else _seconds("settle", settle)
        self._timeout = None if timeout is None else _seconds("timeout", timeout)
        if self._timeout == 0:
            raise ValueError("timeout must be more than 0 seconds")
        self._key = key
        self.wait = FOREVER  # how long requests wait, and by which clock: a call derives its own
        self._home = home()
        # Made when first needed, and shared by `within`.
        self._transport: list[Transport] = []
        self._place: list[Place] = []

    def __repr__(self) -> str:
        if "_place" not in self.__dict__:
            return "<LeadsClient, not finished>"  # as a debugger sees it when `__init__` failed
        return (
            f"LeadsClient(base_url={self.base_url!r}, "
            f"requests_per_minute={self.requests_per_minute})"
        )

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a LeadsClient holds the key and is not pickled: make one where it is needed"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the kept connections; a later request opens new ones."""
        for transport in self._transport:
            transport.close()

    def within(self, wait: Wait) -> LeadsClient:
        """The same client, whose requests stop when this wait does."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin.wait = wait
        return twin

    @property
    def host(self) -> str:
        """The service, as its store is filed: one name, however the address is written.

        Raises:
            ConfigurationError: it cannot be told which store is this key's; see `account`.
            StoreError: the folder of all stores cannot be used.
        """
        return self._filed().host

    @property
    def account(self) -> str:
        """The name under which the store files everything, remembered per key.

        Raises:
            ConfigurationError: the key is known under another name, or may have two stores.
            StoreError: the folder of all stores cannot be used.
        """
        return self._filed().account

    def _filed(self) -> Place:
        if not self._place:
            self._place.append(
                find_place(
                    self._home,
                    self.base_url,
                    unnamed=fingerprint(self._key) if self._key else None,
                    named=self._named,
                )
            )
        return self._place[0]

    @property
    def pacer(self) -> Pacer:
        """The request budget of this host on this machine."""
        return self._http().pacer

    def preview(
        self, lead_ids: Sequence[str] | None = None, query_id: str | None = None
    ) -> CostPreview:
        """What enriching these leads would cost: ``POST /api/v1/enrichment/preview``.

        Args:
            lead_ids: enrich these leads; either this or ``query_id``.
            query_id: enrich all leads of this search.

        Raises:
            APIError: the service said no.
            TransportError: no answer came.
        """
        body = selection(_ids(lead_ids), query_id)
        preview = self._ask("POST", "/enrichment/preview", CostPreview.from_wire, body)
        return replace(preview, estimated_seconds=self.pacer.estimate(preview.total_leads))

    def start(
        self,
        lead_ids: Sequence[str] | None = None,
        query_id: str | None = None,
        *,
        max_credits: int | None = None,
    ) -> StartedJob:
        """Start a job: ``POST /api/v1/enrichment/start``. This is the bare endpoint.

        It reserves credits at once, and every call reserves them again: none of the promises of
        `leads_pandas.enrich` holds here. It is sent once and never retried; after any error but a
        clear refusal, look at `jobs` and `balance` before calling it again.

        Args:
            lead_ids: enrich these leads; either this or ``query_id``.
            query_id: enrich all leads of this search.
            max_credits: the job will not exceed this many credits.

        Raises:
            APIError: the service said no.
            TransportError: no answer came; ``sent`` is False where the request never left.
        """
        return self.send_start(lead_ids, query_id, max_credits=max_credits)

    def send_start(
        self,
        lead_ids: Sequence[str] | None,
        query_id: str | None,
        *,
        max_credits: int | None,
        before: Callable[[], None] | None = None,
    ) -> StartedJob:
        """`start`, with a last word (``before``) between the budget's slot and the first byte."""
        if max_credits is not None:
            max_credits = whole("max_credits", max_credits)
        body = selection(_ids(lead_ids), query_id, max_credits)
        return self._http().call_once(
            "POST",
            f"{_API}/enrichment/start",
            StartedJob.from_wire,
            body=body,
            timeout=self._timeout or _START_TIMEOUT,
            wait=self.wait,
            before=before,
        )

    @property
    def start_seconds(self) -> float:
        """Seconds from sending a start within which its answer can come, connecting included."""
        timeout = self._timeout or _START_TIMEOUT
        return timeout + min(CONNECT_TIMEOUT, timeout)

    def status(self, job_id: str) -> JobStatus:
        """How far a job is: ``GET /api/v1/enrichment/status/:jobId``.

        Raises:
            NotFoundError: the service does not know the job.
            APIError: the service said no.
            TransportError: no answer came.
        """
        path = f"/enrichment/status/{_segment(job_id, 'job')}"
        return self._ask("GET", path, _about(JobStatus.from_wire, "job_id", job_id))

    def lead(self, lead_id: str) -> LeadEnrichment:
        """What the service holds of one lead: ``GET /api/v1/enrichment/lead/:leadId``.

        Raises:
            NotFoundError: the lead is unknown, or not enriched yet.
            APIError: the service said no.
            TransportError: no answer came.
        """
        path = f"/enrichment/lead/{_segment(lead_id, 'lead')}"
        parse = _about(LeadEnrichment.from_wire, "lead_id", lead_id)
        return self._ask("GET", path, parse, urgent=False)

    def jobs(self) -> list[ActiveJob]:
        """The account's running jobs, searches included: ``GET /api/v1/enrichment/jobs``.

        Raises:
            APIError: the service said no.
            TransportError: no answer came.
        """
        return self._ask("GET", "/enrichment/jobs", ActiveJob.list_from_wire)

    def balance(self) -> Balance:
        """The account's credits: ``GET /api/v1/credits/balance``.

        Raises:
            NotFoundError: this service does not offer it.
            APIError: the service said no.
            TransportError: no answer came.
        """
        return self._ask("GET", "/credits/balance", Balance.from_wire)

    def transactions(self, *, limit: int = 50, offset: int = 0) -> list[Transaction]:
        """What moved the account's credits: ``GET /api/v1/credits/transactions``.

        Args:
            limit: how many at most, 1-100.
            offset: how many to pass over, in the service's order.

        Raises:
            NotFoundError: this service does not offer it.
            APIError: the service said no.
            TransportError: no answer came.
        """
        path = f"/credits/transactions?limit={limit:d}&offset={offset:d}"
        return self._ask("GET", path, Transaction.list_from_wire)

    def _ask(
        self,
        method: str,
        path: str,
        parse: Callable[[object], T],
        body: dict[str, Any] | None = None,
        *,
        urgent: bool = True,
    ) -> T:
        return self._http().call(
            method, _API + path, parse, body=body, wait=self.wait, urgent=urgent
        )

    def _http(self) -> Transport:
        if not self._transport:
            path = _ledger(self._home, self.base_url) if self.requests_per_minute else None
            self._transport.append(
                Transport(
                    self.base_url,
                    self._key or _key(None),
                    pacer=Pacer(path, self.requests_per_minute, clock=self.wait.clock),
                    timeout=self._timeout or _ANSWER_TIMEOUT,
                    user_agent=f"leads_pandas/{version()}",
                )
            )
        return self._transport[0]


def _ledger(folder: Path, base_url: str) -> Path:
    """The file of a host's request budget: the service limits addresses, not accounts."""
    host = hosts(base_url)[0].partition("/")[0]
    label = re.sub(r"[^a-z0-9.]+", "-", host)[:60].strip("-.")
    digest = hashlib.sha256(host.encode()).hexdigest()[:8]
    return private_folder(private_folder(folder) / "pace") / f"{label}-{digest}.sqlite3"


def _key(given: str | None, *, needed: bool = True) -> str:
    key = (given if given is not None else os.environ.get("LOCALLEADS_API_KEY", "")).strip()
    if not key and needed:
        raise ConfigurationError("there is no API key", "nothing was requested", Way("key"))
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigurationError(
            "the API key holds characters that no key has",
            "it was not sent",
            Way("do", {"what": "copy it again"}),
        )
    return key


def _budget(given: int | None) -> int:
    if given is not None:
        return whole("requests_per_minute", given, " (0: unlimited)")
    told = _told(name := "LOCALLEADS_REQUESTS_PER_MINUTE")
    return REQUESTS_PER_MINUTE if told == "" else whole(name, told, " (0: unlimited)")


def _told(name: str) -> int | str:
    """A variable of the environment, as a number where it spells one."""
    text = os.environ.get(name, "").strip()
    return int(text) if text.isascii() and text.isdecimal() else text


def whole(name: str, value: object, more: str = "") -> int:
    """A whole number of 0 or more."""
    try:
        whole = -1 if isinstance(value, bool) else operator.index(cast("int", value))
    except TypeError:
        whole = -1
    if whole < 0:
        raise ValueError(f"{name} must be a whole number of 0 or more{more}, not {value!r}")
    return whole


def _seconds(name: str, value: float) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value < math.inf:
        raise ValueError(f"{name} must be a number of seconds, 0 or more, not {value!r}")
    return float(value)


def standing_cap() -> int | None:
    """The credit cap of every call without one of its own: ``LEADS_PANDAS_MAX_CREDITS``."""
    told = _told(name := "LEADS_PANDAS_MAX_CREDITS")
    try:
        return None if told == "" else whole(name, told)
    except ValueError as error:
        raise ConfigurationError(str(error), "nothing was requested") from None


def _ids(lead_ids: Sequence[str] | None) -> Sequence[str] | None:
    if isinstance(lead_ids, str):
        raise TypeError("lead_ids is a sequence of strings, not one string")
    for one in lead_ids or ():
        _segment(one, "lead")
    return lead_ids


def _segment(value: str, what: str) -> str:
    """An ID as one segment of a path, the slash and the percent sign encoded too."""
    fault = lead_id_fault(value) if isinstance(value, str) else "no text"
    if fault:
        raise LeadIdError(
            f"{clean(repr(value))} cannot be a {what} ID ({fault})", "nothing was requested"
        )
    return quote(value, safe="")


def _about(parse: Callable[[object], T], name: str, asked: str) -> Callable[[object], T]:
    """A parser that also holds the answer to the ID that was asked for."""

    def checked(data: object) -> T:
        answer = parse(data)
        if getattr(answer, name) != asked:
            raise WireError(f"it is about another {name.removesuffix('_id')}")
        return answer

    return checked


_default: list[LeadsClient] = []


def set_default_client(client: LeadsClient | None) -> None:
    """Use this client wherever no ``client=`` is given; None goes back to the environment's.

    Raises:
        TypeError: it is not a `LeadsClient`.

    Example:
        >>> set_default_client(LeadsClient(account="acme"))
    """
    _check(client)
    _default[:] = [] if client is None else [client]


def _check(client: object) -> None:
    if client is not None and not isinstance(client, LeadsClient):
        raise TypeError(f"client must be a LeadsClient or None, not {type(client).__name__}")


@contextlib.contextmanager
def using(client: LeadsClient | None) -> Generator[LeadsClient]:
    """This client, else the one set by `set_default_client`, else one from the environment.

    The last is made for the call and closed after it, as the environment may change.
    """
    _check(client)
    if client is None and _default:
        client = _default[0]
    if client is not None:
        yield client
        return
    with LeadsClient() as made:
        yield made
