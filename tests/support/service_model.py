"""The service as a model in memory, and time that passes only while somebody waits.

`Service` answers in place of the network, `Clock` in place of time, `InlinePool` in place of the
worker threads: everything between them is the package's own code. The model charges a lead again
if a start names it while its first job still runs, and breaks on demand.
"""

from __future__ import annotations

import json
import math
import queue
import socket
import types
from collections import Counter, deque
from dataclasses import dataclass
from dataclasses import field as field_of
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, NoReturn
from urllib.parse import unquote

import requests
import urllib3.exceptions

from leads_pandas import progress
from leads_pandas.leadsapi import transport
from leads_pandas.leadsapi.transport import Answer
from leads_pandas.pace import wait
from leads_pandas.reading import collect, pool
from leads_pandas.store.journal import OpLock

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable

    import pytest

API = "/api/v1"
ADVANCE = 0.01  # seconds that one request takes
FOREVER = 200_000.0  # seconds of waiting in one call after which it is taken to be endless

Fate = Literal["slow", "instant", "failed"]


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
        return 1_800_000_000.0 + self.now

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

    def send(_: object, request: Any, timeout: float, *, fresh: bool) -> Answer:
        return service.receive(request.method, request.path, request.body, timeout)

    patch.setattr(transport.Transport, "_send", send)


# -- answers that are none -----------------------------------------------------------------------


def answer(status: int, body: object, retry_after: float | None = None) -> Answer:
    """An answer with a body of JSON, or of the text given."""
    text = body if isinstance(body, str) else json.dumps(body)
    return Answer(status, retry_after, text.encode())


def ok(data: object) -> Answer:
    """A success."""
    return answer(200, {"success": True, "data": data})


def refuse(status: int, words: str = "No", retry_after: float | None = None) -> Answer:
    """A refusal in the service's usual words."""
    return answer(status, {"success": False, "error": words}, retry_after)


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


_NOBODY: Any = None
_HTML = "<html><h1>Bad gateway</h1></html>"

# Answers that leave open whether the request was carried out.
UNCLEAR: dict[str, Callable[[], Answer]] = {
    "cut": _cut,
    "silent": _silent,
    "500": lambda: refuse(500),
    "502 html": lambda: answer(502, _HTML),
    "503 html": lambda: answer(503, _HTML),
    "200 html": lambda: answer(200, _HTML),
    "200 broken": lambda: answer(200, '{"success": true, "data": {"jobI'),
    "200 empty": lambda: answer(200, ""),
    "200 no success": lambda: refuse(200),
    "200 no data": lambda: answer(200, {"success": True}),
    "200 wrong type": lambda: ok([1]),
    "200 no fields": lambda: ok({"jobId": ""}),
    "307": lambda: answer(307, ""),
    "408": lambda: refuse(408),
    "409": lambda: refuse(409),
    "429": lambda: refuse(429),
    "429 later": lambda: refuse(429, retry_after=7.0),
}
# Answers that say that it was not.
REFUSED: dict[str, Callable[[], Answer]] = {
    "401": lambda: refuse(401),
    "402": lambda: refuse(402),
    "422": lambda: refuse(422),
}
NEVER_LEFT: dict[str, Callable[[], Answer]] = {
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


@dataclass(slots=True)
class Fault:
    """What goes wrong with the next requests to one endpoint.

    Attributes:
        on: endpoint: ``start``, ``preview``, ``status``, ``lead``, ``jobs``.
        kind: a key of `FAULTS`.
        after: the work is done, only its answer is lost.
        late: seconds after which the work is done, within the time that an answer may take.
        times: how many requests are struck.
    """

    on: str
    kind: str
    after: bool = False
    late: float | None = None
    times: int = 1


@dataclass(slots=True)
class Job:
    """One job of the account."""

    id: str
    leads: list[str]
    shown: int
    began: float
    seconds: float
    ours: bool
    fail_at: float | None
    done: int = 0
    state: Literal["PROCESSING", "COMPLETED", "FAILED"] = "PROCESSING"


@dataclass(slots=True)
class Service:
    """The account and its leads.

    Attributes:
        leads: each lead that the service knows, and whether it has an email.
        unread: what a lead that is not enriched answers.
        lead_count: what ``leadCount`` counts.
        shortage: what a cap or balance below the need does.
        max_leads: larger bodies are refused with 413.
        refund: whether what a FAILED job left is given back.
        job_seconds: how long a job takes.
        lag: seconds after its job's end until a lead shows.
        book: the transactions, newest last; None where the service keeps none.
        shows: whether `GET /credits/balance` answers.
        jobs_lag: seconds until a job is listed.
        status_lag: seconds until a job's status is known.
        forgets: whether a job's status is known no more once it has ended.
        count_lag: seconds until a preview counts a lead as enriched.
        balance_lag: seconds until a preview shows what was spent.
        fates: what becomes of the next jobs, in order; ``slow`` where none is left.
        faults: the plan of what goes wrong.
        charges: how often each lead is charged to us; what a FAILED job left is given up.
        watchers: called with endpoint, argument and body of each request before it is answered.
    """

    leads: dict[str, bool]
    balance: int = 1000
    unread: Literal["404", "empty"] = "404"
    lead_count: Literal["sent", "queued"] = "sent"
    shortage: Literal["smaller", "refuse"] = "smaller"
    max_leads: int | None = None
    refund: bool = False
    job_seconds: float = 3.0
    lag: dict[str, float] = field_of(default_factory=dict)
    order: Literal["sent", "reversed"] = "sent"
    book: list[dict[str, Any]] | None = None
    shows: bool = False
    used: int = 0
    jobs_lag: float = 0.0
    status_lag: float = 0.0
    forgets: bool = False
    count_lag: float = 0.0
    balance_lag: float = 0.0
    pending: list[tuple[float, Any]] = field_of(default_factory=list)
    moves: list[tuple[float, int]] = field_of(default_factory=list)
    clock: Clock = field_of(default_factory=Clock)
    fates: deque[Fate] = field_of(default_factory=deque)
    faults: list[Fault] = field_of(default_factory=list)
    charges: Counter[str] = field_of(default_factory=Counter)
    reads: Counter[str] = field_of(default_factory=Counter)
    requests: Counter[str] = field_of(default_factory=Counter)
    enriched: dict[str, float] = field_of(default_factory=dict)
    jobs: dict[str, Job] = field_of(default_factory=dict)
    starts: list[list[str]] = field_of(default_factory=list)
    spent: int = 0
    missing: set[str] = field_of(default_factory=set)
    charging: list[Callable[[int], None]] = field_of(default_factory=list)
    watchers: list[Callable[[str, str, Any], None]] = field_of(default_factory=list)

    # -- time and others ---------------------------------------------------------------------

    def advance(self) -> None:
        """Let every job come as far as it should be by now, and late starts begin."""
        for due in [one for one in self.pending if one[0] <= self.clock.now]:
            if due not in self.pending:
                continue  # begun on the way
            self.pending.remove(due)
            # It is no doing of the call that is under way by now.
            told, self.charging = self.charging, []
            self._start(due[1])
            self.charging = told
        for job in self.jobs.values():
            if job.state != "PROCESSING":
                continue
            passed = self.clock.now - job.began
            share = 1.0 if job.seconds <= 0 else min(passed / job.seconds, 1.0)
            if job.fail_at is not None and share >= job.fail_at:
                share, job.state = job.fail_at, "FAILED"
            elif share >= 1.0:
                job.state = "COMPLETED"
            target = int(len(job.leads) * share + 1e-9)
            for lead in job.leads[job.done : target]:
                self.enriched.setdefault(lead, self.clock.now)
            job.done = max(job.done, target)
            if job.state == "FAILED" and job.ours:
                self.charges.subtract(job.leads[job.done :])
                if self.refund:
                    self.pay(job.done - len(job.leads), "Refund")

    def running(self, lead: str) -> bool:
        """Whether a job of ours still has this lead before it."""
        return any(
            job.ours and job.state == "PROCESSING" and lead in job.leads[job.done :]
            for job in self.jobs.values()
        )

    def teammate(self, leads: Iterable[str], seconds: float = 5.0) -> None:
        """Somebody else of the account enriches leads."""
        ids = list(leads)
        name = f"mate-{len(self.jobs)}"
        self.jobs[name] = Job(
            name, ids, len(ids), self.clock.now, seconds, ours=False, fail_at=None
        )
        self.pay(len(ids), "Enrichment")

    def pay(self, credit: int, words: str) -> None:
        """Take credits from the account, or give some where it is less than 0."""
        self.balance -= credit
        self.used += max(credit, 0)
        self.moves.append((self.clock.now, credit))
        if self.book is not None and credit:
            kind = "DEDUCTION" if credit > 0 else "BONUS"
            name = f"txn-{len(self.book)}"
            entry = {"id": name, "type": kind, "amount": -credit, "description": words}
            self.book.append(entry | {"createdAt": None})

    # -- requests ----------------------------------------------------------------------------

    def receive(self, method: str, path: str, body: Any, timeout: float) -> Answer:
        """What the network does: carry a request out, or break it."""
        assert path.startswith(API + "/")
        _, *rest = path.partition("?")[0].removeprefix(API).split("/")
        endpoint, argument = rest[1], unquote(rest[2]) if len(rest) > 2 else ""
        assert method == ("POST" if endpoint in ("preview", "start") else "GET")
        for watcher in list(self.watchers):
            watcher(endpoint, argument, body)
        self.clock.sleep(ADVANCE)
        self.requests[endpoint] += 1
        self.advance()
        fault = next((one for one in self.faults if one.on == endpoint), None)
        if fault is None:
            return self._carry_out(endpoint, argument, body)
        fault.times -= 1
        if not fault.times:
            self.faults.remove(fault)
        if fault.kind == "silent":
            self.clock.sleep(timeout)
        if fault.late is not None:
            # Counted from its sending, also where its answer was waited for.
            sent = self.clock.now - (timeout if fault.kind == "silent" else 0.0)
            self.pending.append((sent + min(fault.late, timeout), body))
            self.advance()
        elif fault.after and fault.kind in UNCLEAR:
            self._carry_out(endpoint, argument, body)
        return FAULTS[fault.kind]()

    def _carry_out(self, endpoint: str, argument: str, body: Any) -> Answer:
        if endpoint in self.missing:
            return refuse(404, "Not found")
        match endpoint:
            case "preview":
                return self._preview(body)
            case "start":
                return self._start(body)
            case "status":
                return self._status(argument)
            case "lead":
                return self._lead(argument)
            case "jobs":
                return self._jobs()
            case "transactions" if self.book is not None:
                return ok(self.book[::-1])
            case "balance" if self.shows:
                reset = "2026-05-01T00:00:00.000Z"
                shown = {"availableCredits": self.balance, "usedCredits": self.used}
                return ok(shown | {"lastResetAt": reset})
        return refuse(404, "Not found")

    def _preview(self, body: Any) -> Answer:
        ids = body["leadIds"]
        if self.max_leads is not None and len(ids) > self.max_leads:
            return refuse(413, "Payload too large")
        known = [one for one in dict.fromkeys(ids) if one in self.leads]
        seen = self.clock.now - self.count_lag
        fresh = [one for one in known if self.enriched.get(one, math.inf) > seen]
        unseen = sum(credit for at, credit in self.moves if at > self.clock.now - self.balance_lag)
        return ok(
            {
                "totalLeads": len(known),
                "alreadyEnriched": len(known) - len(fresh),
                "toEnrich": len(fresh),
                "estimatedCredits": len(fresh),
                "availableCredits": self.balance + unseen,
            }
        )

    def _start(self, body: Any) -> Answer:
        ids = body["leadIds"]
        self.starts.append(list(ids))
        if self.max_leads is not None and len(ids) > self.max_leads:
            return refuse(413, "Payload too large")
        need = [one for one in ids if one in self.leads and one not in self.enriched]
        allowed = min(self.balance, body.get("maxCredits", self.balance))
        if len(need) > allowed:
            if self.shortage == "refuse" or allowed <= 0:
                return refuse(402, "Insufficient credits")
            need = need[:allowed]
        fate = self.fates.popleft() if self.fates else "slow"
        name = f"job-{len(self.jobs)}"
        self.jobs[name] = Job(
            id=name,
            leads=need if self.order == "sent" else need[::-1],
            shown=len(ids) if self.lead_count == "sent" else len(need),
            began=self.clock.now,
            seconds=0.0 if fate == "instant" else self.job_seconds,
            ours=True,
            fail_at=0.5 if fate == "failed" else None,
        )
        self.charges.update(need)
        self.pay(len(need), "Enrichment")
        self.spent += len(need)
        for told in self.charging:
            told(len(need))
        self.advance()
        return ok({"jobId": name, "leadsQueued": len(need), "creditsReserved": len(need)})

    def _status(self, job_id: str) -> Answer:
        job = self.jobs.get(job_id)
        if job is None or self.clock.now < job.began + self.status_lag:
            return refuse(404, "Not found")
        if self.forgets and job.state != "PROCESSING":
            return refuse(404, "Not found")
        found = sum(self.leads.get(one, False) for one in job.leads[: job.done])
        return ok(
            {
                "jobId": job_id,
                "status": job.state,
                "progress": 100 * job.done // max(len(job.leads), 1),
                "processedLeads": job.done,
                "totalLeads": len(job.leads),
                "foundEmails": found,
            }
        )

    def _lead(self, lead: str) -> Answer:
        self.reads[lead] += 1
        if lead not in self.leads:
            return refuse(404, "Not found")
        since = self.enriched.get(lead)
        ready = since is not None and self.clock.now >= since + self.lag.get(lead, 0.0)
        if not ready and self.unread == "404":
            return refuse(404, "Not found")
        emails = [{"email": f"{lead}@x.example", "confidence": 0.9, "source": "website"}]
        moment = datetime.fromtimestamp(1_800_000_000.0 + (since or 0.0), UTC)
        return ok(
            {
                "leadId": lead,
                "emails": emails if ready and self.leads[lead] else [],
                "enrichedAt": moment.isoformat() if ready else None,
            }
        )

    def _jobs(self) -> Answer:
        return ok(
            [
                {"jobId": job.id, "progress": 1, "leadCount": job.shown, "type": "enrichment"}
                for job in self.jobs.values()
                if job.state == "PROCESSING" and self.clock.now >= job.began + self.jobs_lag
            ]
        )
