"""HTTP to the service: the key, timeouts, pace, what may be retried, and answer to data or error.

One `requests.Session` for everything but a start, which goes out once on a connection of its own.
The key never leaves this module: no exception of ``requests`` (whose request carries the header)
is chained to ours, redirects are off, loopback never goes through a proxy, and whatever the service
says is scrubbed of the key before it is repeated.
"""

from __future__ import annotations

import email.utils
import ipaddress
import json
import os
import random
import time
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeVar
from urllib.parse import urlsplit

import requests
import requests.adapters
import requests.auth
import urllib3.exceptions

from leads_pandas import contract, errors
from leads_pandas.display import clean, duration
from leads_pandas.pace.rate import BELIEVED
from leads_pandas.pace.wait import FOREVER, Wait

if TYPE_CHECKING:
    from collections.abc import Callable

    from leads_pandas.pace.pacer import Pacer, Slot

T = TypeVar("T")

WORKERS = 32  # lead reads under way at once: fills a burst quickly even at 600 ms an answer
PATIENCE = 120.0  # seconds that one request waits for a rate limit before it is given up
CONNECT_TIMEOUT = 10.0
_TRIES = 5  # of a request that may be repeated
_BACKOFF = 0.25  # seconds, doubling
_LARGEST_ANSWER = 64 << 20  # bytes
_WORDS = 300  # characters of the service's own words in a message
_REQUEST_TIMEOUT = 408
_KINDS: dict[int, type[errors.APIError]] = {
    401: errors.AuthenticationError,
    402: errors.InsufficientCreditsError,
    403: errors.AuthenticationError,
    404: errors.NotFoundError,
}


class Answer(NamedTuple):
    """What came back, as it came."""

    status: int
    retry_after: float | None
    body: bytes


class _Bearer(requests.auth.AuthBase):
    """Sets the key as an auth object: a plain header would give way to a ``~/.netrc`` entry."""

    def __init__(self, key: str) -> None:
        self._header = f"Bearer {key}"

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._header
        return request

    def __repr__(self) -> str:
        return "<Bearer>"


def check_base_url(url: str) -> str:
    """Return the base URL without trailing slashes, if the key can safely be sent there."""
    try:
        parts = urlsplit(url.strip())
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise errors.ConfigurationError(f"the base URL {clean(url)!r} is not an address") from None
    if not host or parts.scheme not in ("http", "https"):
        raise errors.ConfigurationError(f"the base URL {clean(url)!r} is not an https address")
    if parts.username is not None or parts.query or parts.fragment:
        raise errors.ConfigurationError(
            "the base URL must be an address alone: no user, no query, no fragment"
        )
    if parts.scheme == "http" and not is_loopback(host):
        raise errors.ConfigurationError(
            f"plain http to {clean(host)} would show the key to the network; nothing was sent: "
            "use https (http is for loopback only)"
        )
    return url.strip().rstrip("/")


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _parse_retry_after(text: str | None, now: float) -> float | None:
    """Seconds that a ``Retry-After`` header asks for, in either of its forms; an hour at most."""
    if not text:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), BELIEVED)
    try:
        moment = email.utils.parsedate_to_datetime(text)
        # Rounded up: the header counts in whole seconds.
        return min(max(moment.timestamp() - now, 0.0) + 1.0, BELIEVED)
    except (ValueError, TypeError, OverflowError):
        return None


_CUT: tuple[tuple[type[Exception], str], ...] = (
    (requests.ReadTimeout, "no answer in time"),
    (urllib3.exceptions.ReadTimeoutError, "no answer in time"),
    (requests.ConnectTimeout, "no connection in time"),
    (requests.exceptions.SSLError, "the TLS connection failed"),
    (requests.exceptions.ProxyError, "the proxy failed"),
    (urllib3.exceptions.NameResolutionError, "the host's name was not resolved"),
    (urllib3.exceptions.NewConnectionError, "the connection was refused"),
    (Exception, "the connection was cut"),
)
_NEVER_SENT = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.NameResolutionError,
    urllib3.exceptions.ConnectTimeoutError,
)


def _cut(error: Exception) -> tuple[str, bool]:
    """Why there was no answer, without address or header; whether the request may have left."""
    reason: object = error.args[0] if error.args else None
    if isinstance(reason, urllib3.exceptions.MaxRetryError):
        reason = reason.reason
    if isinstance(reason, urllib3.exceptions.ProxyError):
        reason = reason.original_error
    words = next(
        words for kind, words in _CUT if isinstance(error, kind) or isinstance(reason, kind)
    )
    return words, not isinstance(reason, _NEVER_SENT)


class _Request(NamedTuple):
    method: str
    path: str
    body: dict[str, Any] | None

    def about(self) -> dict[str, Any]:
        """What an error says of it."""
        return {"method": self.method, "path": self.path}

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class Transport:
    """Requests to one service with one key, within the budget of its ``pacer``."""

    def __init__(
        self, base_url: str, api_key: str, *, pacer: Pacer, timeout: float, user_agent: str
    ) -> None:
        self.pacer = pacer
        self._base_url = base_url
        self._key = api_key
        self._timeout = timeout
        self._user_agent = user_agent
        self._session: requests.Session | None = None
        self._pid = os.getpid()

    def close(self) -> None:
        """Close the kept connections; the next request opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            _shut(session)

    def _new_session(self) -> requests.Session:
        session = requests.Session()
        session.auth = _Bearer(self._key)
        session.headers["User-Agent"] = self._user_agent
        session.headers["Accept"] = "application/json"
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        # HTTP_PROXY would carry the key of a local service off the machine.
        session.trust_env = not is_loopback(urlsplit(self._base_url).hostname or "")
        adapter = requests.adapters.HTTPAdapter(pool_connections=1, pool_maxsize=WORKERS)
        session.mount(self._base_url, adapter)
        return session

    def _shared_session(self) -> requests.Session:
        if self._session is None or self._pid != os.getpid():
            # A forked child must not talk on its parent's connections.
            self._pid = os.getpid()
            self._session = self._new_session()
        return self._session

    def call(
        self,
        method: str,
        path: str,
        parse: Callable[[object], T],
        *,
        body: dict[str, Any] | None = None,
        wait: Wait = FOREVER,
        urgent: bool = False,
    ) -> T:
        """Request something that may be asked any number of times, and return its parsed data.

        Retried: no answer, 408, 429, 5xx, and answers outside the contract.
        """
        patience, tries = PATIENCE, 0
        while True:
            try:
                return self.call_once(
                    method, path, parse, body=body, wait=wait, urgent=urgent, fresh=False
                )
            except errors.RateLimitError as refusal:
                pause = 1.0 if refusal.retry_after is None else refusal.retry_after
                patience -= pause
                if patience < 0 or pause >= wait.left():
                    raise
            except (errors.APIError, errors.TransportError) as failure:
                tries += 1
                lost = (errors.TransportError, errors.ServerError, errors.ResponseError)
                passes = isinstance(failure, lost) or failure.status_code == _REQUEST_TIMEOUT
                if tries == _TRIES or not passes:
                    raise
                pause = _BACKOFF * 2 ** (tries - 1) * random.uniform(0.8, 1.2)  # noqa: S311 - spreads retries, guards nothing
            wait.sleep(pause)

    def call_once(
        self,
        method: str,
        path: str,
        parse: Callable[[object], T],
        *,
        body: dict[str, Any] | None = None,
        wait: Wait = FOREVER,
        urgent: bool = False,
        fresh: bool = True,
        timeout: float | None = None,
        before: Callable[[], None] | None = None,
    ) -> T:
        """Request something once; what must not be repeated on a fresh connection.

        ``before`` is called when the budget has granted the request, just before it is sent.
        """
        request = _Request(method, path, body)
        timeout = self._timeout if timeout is None else timeout
        blocked = self.pacer.paused()
        if blocked > PATIENCE:
            raise self._blocked(blocked, request)
        slot = self.pacer.acquire(lease=timeout, wait=wait, urgent=urgent)
        if before is not None:
            try:
                before()
            except BaseException:
                self.pacer.cancel(slot)
                raise
        failure: errors.TransportError | None = None
        settle = self.pacer.release
        try:
            answer = self._send(request, timeout, fresh=fresh)
        except (OSError, urllib3.exceptions.HTTPError) as error:
            # Raised further down: chained to ours, this one would carry the key.
            why, sent = _cut(error)
            host = urlsplit(self._base_url).netloc
            failure = errors.TransportError(f"no answer from {host} to {request}: {why}", sent=sent)
            settle = self.pacer.release if sent else self.pacer.cancel
        except BaseException as error:
            # An interrupt goes on without the frames it came from, whose locals are requests.
            error.__traceback__ = error.__context__ = error.__cause__ = None
            raise
        finally:
            settle(slot)
        if failure is not None:
            raise failure
        return self._read(answer, slot, request, parse)

    def _blocked(self, seconds: float, request: _Request) -> errors.RateLimitError:
        return errors.RateLimitError(
            f"the service asked this machine to wait, {duration(seconds)} from now; "
            f"{request} was not sent",
            "",
            errors.Way("later"),
            errors.Way("do", {"what": f"delete {self.pacer.path} to try all the same"}),
            retry_after=seconds,
            **request.about(),
        )

    def _send(self, request: _Request, timeout: float, *, fresh: bool) -> Answer:
        if not fresh:
            return self._exchange(self._shared_session(), request, timeout)
        session = self._new_session()
        try:
            return self._exchange(session, request, timeout)
        finally:
            _shut(session)

    def _exchange(self, session: requests.Session, request: _Request, timeout: float) -> Answer:
        ends = time.monotonic() + timeout
        with session.request(
            request.method,
            self._base_url + request.path,
            json=request.body,
            timeout=(min(CONNECT_TIMEOUT, timeout), timeout),
            allow_redirects=False,
            stream=True,
        ) as response:
            body = bytearray()
            # The timeout of requests is between two bytes; this one is for the whole answer.
            while part := response.raw.read1(1 << 16, decode_content=True):
                body += part
                if len(body) > _LARGEST_ANSWER:
                    raise requests.exceptions.ContentDecodingError("too large")
                if time.monotonic() > ends:
                    raise requests.ReadTimeout("too slow")
            retry_after = _parse_retry_after(response.headers.get("Retry-After"), time.time())
            return Answer(response.status_code, retry_after, bytes(body))

    def _read(
        self, answer: Answer, slot: Slot, request: _Request, parse: Callable[[object], T]
    ) -> T:
        body: object = None
        broken = ""
        try:
            body = json.loads(answer.body, parse_constant=_reject)
        except (ValueError, RecursionError):
            broken = "it is not JSON" if answer.body.strip() else "it is empty"
        refused = isinstance(body, dict) and body.get("success") is False
        if refused or not 200 <= answer.status < 300:  # noqa: PLR2004 - HTTP's classes of status
            raise self._refusal(answer, slot, body, request)
        if not broken:
            try:
                return parse(contract.open_envelope(body))
            except contract.WireError as error:
                broken = str(error)
        raise errors.ResponseError(
            self._safe(f"the answer to {request} is outside the contract: {broken}"),
            status_code=answer.status,
            **request.about(),
        )

    def _refusal(
        self, answer: Answer, slot: Slot, body: object, request: _Request
    ) -> errors.APIError:
        status = answer.status
        words = contract.error_message(body)
        # Scrubbed before it is cut, or a piece of the key could be left at the end.
        said = f": {clean(self._safe(words)[:_WORDS])}" if words else ""
        message = self._safe(f"the service answered {status} to {request}{said}")
        if status == requests.codes.too_many_requests:
            waits = self.pacer.throttled(answer.retry_after, slot)
            asked = answer.retry_after if answer.retry_after is not None else waits
            if asked:
                message += f"; it asks to wait {duration(asked)}"
            return errors.RateLimitError(message, retry_after=asked or None, **request.about())
        kind = _KINDS.get(status, errors.APIError)
        if kind is errors.AuthenticationError:
            message += "; check the key (LOCALLEADS_API_KEY)"
        if 300 <= status < 400:  # noqa: PLR2004 - HTTP's classes of status
            kind = errors.ResponseError
            message += " (a redirect, which is not followed: the key stays here)"
        if status >= 500:  # noqa: PLR2004 - HTTP's classes of status
            kind = errors.ServerError
        return kind(message, status_code=status, worded=bool(words), **request.about())

    def _safe(self, text: str) -> str:
        return text.replace(self._key, "<key>")


def _shut(session: requests.Session) -> None:
    """Close a session's connections, here.

    Left to itself, urllib3 does it in a finalizer, where Python drops a Ctrl-C that comes then.
    """
    adapters: Any = session.adapters.values()
    for pools in (adapter.poolmanager.pools for adapter in adapters):
        for key in pools.keys():  # noqa: SIM118 - it cannot be iterated
            pools[key].close()
    session.close()


def _reject(name: str) -> NoReturn:
    raise ValueError(name)
