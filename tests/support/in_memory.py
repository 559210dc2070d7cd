"""The model of the service in this process, and time that passes only while somebody waits.

`Service` answers in place of the network, `Clock` in place of time, `InlinePool` in place of the
worker threads: everything between them is the package's own code. What a fault does here is a key
of `FAULTS`.
"""

from __future__ import annotations

import json
import math
import queue
import socket
import types
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

import requests
import urllib3.exceptions

from leads_pandas import progress
from leads_pandas.leadsapi import transport
from leads_pandas.pace import wait
from leads_pandas.reading import collect, pool
from leads_pandas.store.journal import OpLock
from tests.support.leadsapi import Answer, Call, LeadsAPI, ok, refuse, route

if TYPE_CHECKING:
    import random

    import pytest

EPOCH = 1_800_000_000.0
ADVANCE = 0.01  # seconds that one request takes
FOREVER = 200_000.0  # seconds of waiting in one call after which it is taken to be endless


class Clock:
    """What the package's modules know as ``time``."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.ends = math.inf

    def limit(self) -> None:
        """From now on, waiting for longer than any call may take is an error."""
        self.ends = self.now + FOREVER

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return EPOCH + self.now

    def time_ns(self) -> int:
        return int(self.time() * 1e9)

    def sleep(self, seconds: float) -> None:
        # Never less than a float of this size can hold, or a loop would wait for ever.
        self.now += max(seconds, 1e-6)
        if self.now > self.ends:
            raise AssertionError("the call never ends")


class _Signal:
    """`threading.Event` for code that runs in one thread."""

    clock: Clock

    def __init__(self) -> None:
        self._set = False

    def set(self) -> None:
        self._set = True

    def is_set(self) -> bool:
        return self._set

    def wait(self, seconds: float) -> bool:
        if not self._set:
            self.clock.sleep(seconds)
        return self._set


class InlinePool:
    """The collector's pool in one thread: a task is done when its answer is waited for."""

    clock: Clock
    shuffle: random.Random | None = None

    def __init__(self, api: Any, stop: Any) -> None:
        self._api = api
        self._stop = stop
        self._tasks: deque[Any] = deque()
        self.busy = 0
        self.events = self

    def submit(self, task: Any) -> None:
        self.busy += 1
        self._tasks.append(task)

    def close(self) -> None:
        self._stop.set()
        self._tasks.clear()

    def get(self, timeout: float) -> Any:
        if not self._tasks:
            self.clock.sleep(timeout)
            raise queue.Empty
        if self.shuffle is not None:
            self._tasks.rotate(self.shuffle.randrange(len(self._tasks)))
        task = self._tasks.popleft()
        value: Any = None
        error: Exception | None = None
        try:
            value = task.send(self._api)
        except Exception as caught:  # the pool hands every error to the loop
            error = caught
        return pool.Event(task, value, error)

    def get_nowait(self) -> NoReturn:
        raise queue.Empty


class _Nobody(dict[str, OpLock]):
    def __setitem__(self, _: str, __: OpLock) -> None:
        pass


def install(
    patch: pytest.MonkeyPatch, service: Service, *, shuffle: random.Random | None = None
) -> None:
    """Put the model under the package: the lowest send, the time and the threads are replaced."""
    clock = service.clock
    # One thread plays several processes, which may ask for what another of them holds.
    patch.setattr(OpLock, "_held", _Nobody())
    for module in (wait, transport, progress):
        patch.setattr(module, "time", clock)
    signals = type("Signal", (_Signal,), {"clock": clock})
    patch.setattr(collect, "threading", types.SimpleNamespace(Event=signals))
    inline = type("Pool", (InlinePool,), {"clock": clock, "shuffle": shuffle})
    patch.setattr(collect, "Pool", inline)

    def send(_: object, request: Any, timeout: float, *, fresh: bool) -> transport.Answer:
        return service.receive(request.method, request.path, request.body, timeout)

    patch.setattr(transport.Transport, "_send", send)


def _cut() -> NoReturn:
    reason = urllib3.exceptions.ProtocolError("Connection aborted.", ConnectionResetError(104, "x"))
    raise requests.ConnectionError(reason)


def _silent() -> NoReturn:
    raise requests.ReadTimeout("read timed out")


def _never(reason: Callable[[], Exception], kind: type[Exception]) -> Callable[[], NoReturn]:
    def fail() -> NoReturn:
        pool: Any = None
        raise kind(urllib3.exceptions.MaxRetryError(pool, "/", reason()))

    return fail


# An answer of another kind, or what is raised where none comes.
Broken = Answer | Callable[[], NoReturn]

_NOBODY: Any = None
_HTML = "<html><h1>Bad gateway</h1></html>"

# Answers that leave open whether the request was carried out.
UNCLEAR: dict[str, Broken] = {
    "cut": _cut,
    "silent": _silent,
    "500": refuse(500),
    "502 html": Answer(502, _HTML),
    "503 html": Answer(503, _HTML),
    "200 html": Answer(200, _HTML),
    "200 broken": Answer(200, '{"success": true, "data": {"jobI'),
    "200 empty": Answer(200, ""),
    "200 no success": refuse(200),
    "200 no data": Answer(200, {"success": True}),
    "200 wrong type": ok([1]),
    "200 no fields": ok({"jobId": ""}),
    "307": Answer(307, ""),
    "403 html": Answer(403, _HTML),
    "408": refuse(408),
    "409": refuse(409),
    "429": refuse(429),
    "429 later": refuse(429, Retry_After="7"),
}
# Answers that say that it was not.
REFUSED: dict[str, Broken] = {
    "401": refuse(401),
    "402": refuse(402),
    "422": refuse(422),
}
NEVER_LEFT: dict[str, Broken] = {
    "connection refused": _never(
        lambda: urllib3.exceptions.NewConnectionError(_NOBODY, "refused"),
        requests.ConnectionError,
    ),
    "name not resolved": _never(
        lambda: urllib3.exceptions.NameResolutionError("host", _NOBODY, socket.gaierror(-2, "no")),
        requests.ConnectionError,
    ),
    "connect timeout": _never(
        lambda: urllib3.exceptions.ConnectTimeoutError(_NOBODY, "slow"), requests.ConnectTimeout
    ),
}
FAULTS = UNCLEAR | REFUSED | NEVER_LEFT


def _received(answer: Answer) -> transport.Answer:
    """An answer as the transport hands it on."""
    text = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
    waits = answer.headers.get("Retry-After")
    return transport.Answer(answer.status, None if waits is None else float(waits), text.encode())


@dataclass
class Service(LeadsAPI):
    """The account, behind the lowest send of the package.

    Attributes:
        charging: told how many credits a request took, those of late starts excepted.
        watchers: called with endpoint, argument and body of each request before it is answered.
    """

    clock: Clock = field(default_factory=Clock)
    epoch: float = EPOCH
    job_seconds: float | None = 3.0
    book: bool = False
    shows: bool = False
    charging: list[Callable[[int], None]] = field(init=False, default_factory=list)
    watchers: list[Callable[[str, str, Any], None]] = field(init=False, default_factory=list)

    def receive(self, method: str, path: str, body: Any, timeout: float) -> transport.Answer:
        """What the network does: carry a request out, or break it."""
        call = route(method, path)
        assert call is not None, f"{method} {path}"
        for watcher in list(self.watchers):
            watcher(call.endpoint, call.argument, body)
        self.clock.sleep(ADVANCE)
        refusal, fault = self.arrive(call)
        if fault is None:
            return _received(refusal or self._charge(call, body))
        sent = self.clock.now
        if fault.do == "silent":
            self.clock.sleep(timeout)
        if fault.late is not None:
            self.pending.append((sent + min(fault.late, timeout), body))
            self.advance()
        elif fault.when == "after" and fault.do in UNCLEAR:
            self._charge(call, body)
        broken = FAULTS[fault.do]
        return _received(broken if isinstance(broken, Answer) else broken())

    def _charge(self, call: Call, body: Any) -> Answer:
        before = self.spent
        answer = self.carry_out(call, body)
        for told in self.charging if call.endpoint == "start" else ():
            told(self.spent - before)
        return answer
