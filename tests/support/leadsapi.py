"""LeadsAPI as a model: what the vendor's documentation says, and every way in which it may differ.

One model for all tests, pure but for the clock that it is given: no sockets, no threads, nothing of
the package. Two doors stand before it, each thin: `in_memory` (a call in this process, model time)
and `vendor` (HTTP, a process of its own). A door asks `arrive` what becomes of a request, and has
it done by `carry_out`; how an answer gets lost on its way is the door's own business.

Time passes only in `advance`, which lets jobs come as far as they should be by now and late starts
begin. Everything that the service shows may lag behind what it has done: its list of jobs, its
prices, its leads, its balance. It is stricter about money than the vendor promises to be: a lead
that a start names while an earlier job of it still runs is charged again. It counts everything.
"""

from __future__ import annotations

import math
import random
from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DAY = 86400.0

Fate = Literal["slow", "instant", "failed", "stillborn"]


class Clock(Protocol):
    """Passing time."""

    @property
    def now(self) -> float:
        """Seconds since some moment."""


class Answer(NamedTuple):
    """An answer before it is sent: text is sent as it is, anything else as JSON."""

    status: int
    body: Any
    headers: Mapping[str, str] = MappingProxyType({})


class Call(NamedTuple):
    """One request, routed."""

    endpoint: str
    argument: str = ""
    query: str = ""


def route(method: str, target: str) -> Call | None:
    """Find the endpoint of a request, or None where the documentation names none."""
    path, _, query = target.partition("?")
    match (method, *path.split("/")):
        case ("POST", "", "api", "v1", "enrichment", "preview" | "start" as endpoint):
            return Call(endpoint)
        case ("GET", "", "api", "v1", "enrichment", "jobs"):
            return Call("jobs")
        case ("GET", "", "api", "v1", "enrichment", "status" | "lead" as endpoint, argument):
            return None if argument in ("", ".", "..") else Call(endpoint, unquote(argument))
        case ("GET", "", "api", "v1", "credits", "balance" | "transactions" as endpoint):
            return Call(endpoint, query=query)
    return None


def ok(data: object, **more: object) -> Answer:
    """A success."""
    return Answer(200, {"success": True, "data": data, **more})


def refuse(status: int, words: str = "No", **headers: str) -> Answer:
    """A refusal in the service's usual words; ``Retry_After`` is a header."""
    shown = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, {"success": False, "error": words}, shown)


def iso(moment: float) -> str:
    """Seconds since the epoch as the service writes them: UTC, milliseconds, ``Z``."""
    text = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def known(leads: Iterable[str], without: Iterable[str] = ()) -> dict[str, list[dict[str, Any]]]:
    """Leads with one address each, and some without, as `LeadsAPI.leads` wants them."""
    about = {"confidence": 0.9, "source": "website"}
    without = set(without)
    return {one: [] if one in without else [{"email": f"{one}@x.example"} | about] for one in leads}


@dataclass
class Fault:
    """One planned fault. Of several that match a request the first one strikes.

    Attributes:
        on: endpoint that it waits for, or ``any``.
        do: what becomes of the answer, in words of the door.
        when: ``before`` the work is done (it is then not done at all) or ``after``.
        late: seconds after which the work is done all the same, whatever the caller was told.
        times: how many requests in a row; -1 for all that follow.
        nth: the first matching request that it strikes, counted from 1.
        lead: only reads of this lead.
        fate: what becomes of the job that this start creates.
        teammate: size of a job that a teammate starts at this moment.
        spend: credits that a teammate spends at this moment.
        enrich: every lead is enriched at this moment, at the expense of nobody here.
    """

    on: str
    do: str = "pass"
    when: str = "before"
    late: float | None = None
    times: int = 1
    nth: int = 1
    lead: str | None = None
    fate: Fate | None = None
    teammate: int = 0
    spend: int = 0
    enrich: bool = False
    seen: int = 0
    fired: int = 0

    def matches(self, call: Call) -> bool:
        """Count a request, and say whether it is one to strike."""
        if self.on not in ("any", call.endpoint) or self.lead not in (None, call.argument):
            return False
        self.seen += 1
        return self.seen >= self.nth and not 0 <= self.times <= self.fired


@dataclass
class Job:
    """One job: its leads in processing order, and how long they take."""

    id: str
    leads: list[str]
    shown: int
    began: float
    seconds: float | None
    ours: bool = True
    fail_at: float | None = None
    fraction: float = 0.0
    done: int = 0
    failed: bool = False

    @property
    def running(self) -> bool:
        """Whether it is not over yet."""
        return not self.failed and self.fraction < 1.0


@dataclass
class LeadsAPI:
    """The account and its leads.

    Attributes:
        leads: each lead that the service knows, and its addresses.
        clock: what time it is, in the seconds of all other moments here.
        epoch: the date of the clock's zero.
        queries: the leads of each search.
        unread: what a lead that is not enriched answers: ``404``, or ``empty``.
        lead_count: what ``leadCount`` counts: leads ``sent``, or ``queued``.
        shortage: a cap or balance below the need makes a ``smaller`` job, or is to ``refuse``.
        order: in which a job takes its leads: ``sent``, ``reversed``, ``shuffled``.
        max_leads: larger bodies are refused with 413.
        job_seconds: how long a job takes; None: until it is told.
        fates: what becomes of the next jobs, in order; ``slow`` where none is left.
        fail_at: the share of its leads that a failed job does.
        refund: whether what a failed job left is given back.
        book: whether the transactions can be seen.
        shows: whether the balance can.
        missing: endpoints that do not exist here.
        jobs_lag: seconds until a job is listed.
        status_lag: seconds until a job's status is known.
        forgets: whether a job's status is known no more once it has ended.
        count_lag: seconds until a preview counts a lead as enriched.
        lead_lag: seconds until a lead shows that it is.
        balance_lag: seconds until a preview shows what was spent.
        lag: `lead_lag` of single leads.
        not_yet: how many reads of a lead say "not yet" after its job; -1 for ever.
        limit: requests per window, which slides; 0 is unlimited.
        retry_after: what a 429 says of it: ``seconds``, ``date``, or None.
        faults: the plan of what goes wrong.
        enriched: when each lead was.
        charges: how often each lead is charged to us; what a failed job left is given up.
        twice: leads that were charged while an earlier charge of them stood.
        starts: the leads of each start that was carried out.
        pending: starts that are carried out later, and when.
        moves: when credits went (or came, where it is less than 0), and how many.
    """

    leads: dict[str, list[dict[str, Any]]]
    clock: Clock
    epoch: float = 0.0
    balance: int = 1000
    queries: dict[str, list[str]] = field(default_factory=dict)
    unread: str = "404"
    lead_count: str = "sent"
    shortage: str = "smaller"
    order: str = "sent"
    max_leads: int | None = None
    job_seconds: float | None = 0.4
    fates: deque[Fate] = field(default_factory=deque)
    fail_at: float = 0.5
    refund: bool = False
    book: bool = True
    shows: bool = True
    missing: set[str] = field(default_factory=set)
    jobs_lag: float = 0.0
    status_lag: float = 0.0
    forgets: bool = False
    count_lag: float = 0.0
    lead_lag: float = 0.0
    balance_lag: float = 0.0
    lag: dict[str, float] = field(default_factory=dict)
    not_yet: dict[str, int] = field(default_factory=dict)
    limit: int = 0
    window: float = 60.0
    retry_after: str | None = "seconds"
    faults: list[Fault] = field(default_factory=list)
    enriched: dict[str, float] = field(default_factory=dict)
    charges: Counter[str] = field(init=False, default_factory=Counter)
    twice: Counter[str] = field(init=False, default_factory=Counter)
    reads: Counter[str] = field(init=False, default_factory=Counter)
    requests: Counter[str] = field(init=False, default_factory=Counter)
    jobs: dict[str, Job] = field(init=False, default_factory=dict)
    starts: list[list[str]] = field(init=False, default_factory=list)
    pending: list[tuple[float, object]] = field(init=False, default_factory=list)
    moves: list[tuple[float, int]] = field(init=False, default_factory=list)
    transactions: list[dict[str, Any]] = field(init=False, default_factory=list)
    spent: int = field(init=False, default=0)
    throttled: int = field(init=False, default=0)
    accepted: deque[float] = field(init=False, default_factory=deque)

    def __post_init__(self) -> None:
        self.monthly, self.born = self.balance, self.clock.now

    # -- time and others ---------------------------------------------------------------------

    def advance(self) -> None:
        """Let every job come as far as it should be by now, and late starts begin."""
        for due in [one for one in self.pending if one[0] <= self.clock.now]:
            if due in self.pending:  # or it has begun on the way
                self.pending.remove(due)
                self.start(due[1])
        for job in self.jobs.values():
            if job.running and job.seconds is not None:
                passed = self.clock.now - job.began
                self.progress(job, 1.0 if job.seconds <= 0 else min(passed / job.seconds, 1.0))

    def progress(self, job: Job, fraction: float) -> None:
        """Bring a job to a fraction of its leads."""
        if job.fail_at is not None and fraction >= job.fail_at:
            fraction, job.failed = job.fail_at, True
        job.fraction = max(job.fraction, fraction)
        target = int(len(job.leads) * job.fraction + 1e-9)
        for place in range(job.done, target):
            # When it was its turn, not when somebody came to look.
            due = job.began + (job.seconds or math.inf) * (place + 1) / len(job.leads)
            self.enriched.setdefault(job.leads[place], min(due, self.clock.now))
        job.done = max(job.done, target)
        if job.failed and job.ours:
            self.charges.subtract(job.leads[job.done :])
            if self.refund:
                self.pay(job.done - len(job.leads), "Refund")

    def teammate(self, leads: Iterable[str], seconds: float | None = 5.0) -> str:
        """Somebody else of the account enriches leads."""
        ids, name = list(leads), f"mate_{len(self.jobs) + 1}"
        self.jobs[name] = Job(name, ids, len(ids), self.clock.now, seconds, ours=False)
        self.pay(len(ids), f"Enrichment: {len(ids)} leads")
        return name

    def pay(self, amount: int, words: str) -> None:
        """Take credits from the account, or give some where it is less than 0."""
        self.balance -= amount
        self.moves.append((self.clock.now, amount))
        if amount:
            entry = {"id": f"txn_{len(self.transactions) + 1}", "amount": -amount}
            kind = {"type": "DEDUCTION" if amount > 0 else "BONUS", "description": words}
            when = {"createdAt": iso(self.epoch + self.clock.now)}
            self.transactions.insert(0, entry | kind | when)

    # -- requests ----------------------------------------------------------------------------

    def arrive(self, call: Call) -> tuple[Answer | None, Fault | None]:
        """Count a request: why it is refused unread, or the fault that strikes it."""
        self.advance()
        self.requests[call.endpoint] += 1
        matching = [one for one in self.faults if one.matches(call)]
        refusal = self._throttle()
        if refusal is not None or not matching:
            return refusal, None
        matching[0].fired += 1
        return None, matching[0]

    def _throttle(self) -> Answer | None:
        """Refuse what an exact sliding window has no room for."""
        now = self.clock.now
        while self.accepted and self.accepted[0] <= now - self.window:
            self.accepted.popleft()
        if not self.limit:
            return None
        if len(self.accepted) < self.limit:
            self.accepted.append(now)
            return None
        self.throttled += 1
        wait = int(self.accepted[0] + self.window - now) + 1
        headers = {}
        if self.retry_after == "seconds":
            headers["Retry_After"] = str(wait)
        elif self.retry_after == "date":
            then = datetime.fromtimestamp(int(self.epoch + now) + wait, UTC)
            headers["Retry_After"] = format_datetime(then, usegmt=True)
        return refuse(429, "Too many requests", **headers)

    def meddle(self, fault: Fault) -> None:
        """Let happen what a fault says besides the answer."""
        if fault.teammate:
            name = f"other{len(self.jobs)}"
            self.teammate([f"{name}-{n}" for n in range(fault.teammate)], 0.6)
        if fault.spend:
            self.pay(fault.spend, "Lead search: Dentists")
        if fault.enrich:
            self.enriched = dict.fromkeys(self.leads, self.clock.now) | self.enriched

    def carry_out(self, call: Call, body: object, fault: Fault | None = None) -> Answer:
        """Do what a request asks."""
        if fault is not None and fault.fate is not None:
            self.fates.appendleft(fault.fate)
        if call.endpoint in self.missing:
            return refuse(404, "Not found")
        match call.endpoint:
            case "preview":
                return self.preview(body)
            case "start":
                return self.start(body)
            case "status":
                return self.status(call.argument)
            case "lead":
                return self.lead(call.argument)
            case "jobs":
                return self.active()
            case "transactions" if self.book:
                return self.ledger(call.query)
            case "balance" if self.shows:
                return self.credits()
        return refuse(404, "Not found")

    def _selected(self, body: object) -> list[str] | Answer:
        """The unique leads that a body names, in its order, or why it is refused."""
        if not isinstance(body, dict) or ("leadIds" in body) == ("queryId" in body):
            return refuse(422, "Provide either queryId or leadIds, not both")
        if "queryId" in body:
            ids = self.queries.get(body["queryId"])
            return refuse(404, "Not found") if ids is None else list(ids)
        ids = body["leadIds"]
        if not isinstance(ids, list) or not ids or not all(isinstance(i, str) and i for i in ids):
            return refuse(422, "leadIds must be an array of strings")
        if self.max_leads is not None and len(ids) > self.max_leads:
            return refuse(413, "Payload too large")
        return list(dict.fromkeys(ids))

    def preview(self, body: object) -> Answer:
        """``POST /enrichment/preview``."""
        ids = self._selected(body)
        if isinstance(ids, Answer):
            return ids
        now = self.clock.now
        known = [one for one in ids if one in self.leads]
        fresh = [one for one in known if self.enriched.get(one, math.inf) > now - self.count_lag]
        unseen = sum(amount for at, amount in self.moves if at > now - self.balance_lag)
        return ok(
            {
                "totalLeads": len(known),
                "alreadyEnriched": len(known) - len(fresh),
                "toEnrich": len(fresh),
                "estimatedCredits": len(fresh),
                "availableCredits": self.balance + unseen,
            }
        )

    def start(self, body: object) -> Answer:
        """``POST /enrichment/start``: reserves the credits and begins the job."""
        ids = self._selected(body)
        if isinstance(ids, Answer):
            return ids
        assert isinstance(body, dict)
        self.starts.append(ids)
        need = [one for one in ids if one in self.leads and one not in self.enriched]
        allowed = min(self.balance, body.get("maxCredits", self.balance))
        if len(need) > allowed:
            if self.shortage == "refuse" or allowed <= 0:
                return refuse(402, "Insufficient credits")
            need = need[:allowed]
        fate = self.fates.popleft() if self.fates else "slow"
        job = Job(
            id=f"enrich_{len(self.jobs) + 1}",
            leads=self._in_order(need),
            shown=len(ids) if self.lead_count == "sent" else len(need),
            began=self.clock.now,
            seconds=0.0 if fate == "instant" or not need else self.job_seconds,
            fail_at={"failed": self.fail_at, "stillborn": 0.0}.get(fate),
        )
        self.jobs[job.id] = job
        self.twice.update(one for one in need if self.charges[one])
        self.charges.update(need)
        self.pay(len(need), f"Enrichment: {len(need)} leads")
        self.spent += len(need)
        self.advance()
        return ok({"jobId": job.id, "leadsQueued": len(need), "creditsReserved": len(need)})

    def _in_order(self, leads: list[str]) -> list[str]:
        """Leads as a job takes them."""
        if self.order == "shuffled":
            return random.Random(len(leads)).sample(leads, len(leads))
        return leads[::-1] if self.order == "reversed" else leads

    def status(self, job_id: str) -> Answer:
        """``GET /enrichment/status/:jobId``."""
        job = self.jobs.get(job_id)
        if job is None or self.clock.now < job.began + self.status_lag:
            return refuse(404, "Not found")
        if self.forgets and not job.running:
            return refuse(404, "Not found")
        word = "PROCESSING" if job.fraction else "PENDING"
        if not job.running:
            word = "FAILED" if job.failed else "COMPLETED"
        return ok(
            {
                "jobId": job.id,
                "status": word,
                "progress": int(job.fraction * 100),
                "processedLeads": job.done,
                "totalLeads": len(job.leads),
                "foundEmails": sum(bool(self.leads.get(one)) for one in job.leads[: job.done]),
            }
        )

    def lead(self, lead_id: str) -> Answer:
        """``GET /enrichment/lead/:leadId``."""
        self.reads[lead_id] += 1
        if lead_id not in self.leads:
            return refuse(404, "Not found")
        since = self.enriched.get(lead_id, math.inf)
        ready = self.clock.now >= since + self.lag.get(lead_id, self.lead_lag)
        if ready and self.not_yet.get(lead_id):
            self.not_yet[lead_id] -= 1
            ready = False
        if not ready and self.unread == "404":
            return refuse(404, "Not found")
        return ok(
            {
                "leadId": lead_id,
                "emails": self.leads[lead_id] if ready else [],
                "enrichedAt": iso(self.epoch + since) if ready else None,
            }
        )

    def active(self) -> Answer:
        """``GET /enrichment/jobs``."""
        return ok(
            [
                {
                    "jobId": job.id,
                    "progress": int(job.fraction * 100),
                    "leadCount": job.shown,
                    "type": "enrichment",
                }
                for job in self.jobs.values()
                if job.running and self.clock.now >= job.began + self.jobs_lag
            ]
        )

    def credits(self) -> Answer:
        """``GET /credits/balance``."""
        used = sum(amount for _, amount in self.moves if amount > 0)
        return ok(
            {
                "monthlyCredits": self.monthly,
                "bonusCredits": self.balance + used - self.monthly,
                "usedCredits": used,
                "availableCredits": self.balance,
                "resetDay": 1,
                "lastResetAt": iso(self.epoch + self.born),
            }
        )

    def ledger(self, query: str) -> Answer:
        """``GET /credits/transactions``."""
        asked = dict(part.split("=", 1) for part in query.split("&") if "=" in part)
        limit, offset = int(asked.get("limit", "50")), int(asked.get("offset", "0"))
        meta = {"total": len(self.transactions), "limit": limit, "offset": offset}
        return ok(self.transactions[offset : offset + limit], meta=meta)
