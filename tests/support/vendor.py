"""A stand-in for the vendor: LeadsAPI over real HTTP, written from its documentation alone.

It shares no code with the package, runs in a process of its own (``python tests/vendor.py``), and
is stricter about money than the vendor promises to be: a lead that a start names while an earlier
job of it still runs is charged again. It keeps counts of everything, and breaks on demand: a rule
says at which request, whether before or after the work is done, and how. Of several rules that
match a request the first one strikes; the others wait for the next.

The service listens on one loopback port, its control on another; both are printed as one line of
JSON. Control takes ``POST`` with a JSON object:

- ``/reset``: a new world from a configuration (`World`), forgetting everything else.
- ``/rules``: replace the rules of the world that runs (`Rule`).
- ``/set``: change values of the configuration.
- ``/act``: do something: ``advance`` or ``finish`` jobs, ``teammate``, ``spend``, ``listen``.
- ``/counts``: what happened so far.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import random
import select
import signal
import socket
import struct
import sys
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import unquote

Answer = tuple[int, object, dict[str, str]]

PREFIX = ["api", "v1"]
NOT_FOUND: Answer = (404, {"success": False, "error": "Not found"}, {})
UNAUTHORIZED: Answer = (
    401,
    {"statusCode": 401, "error": "Unauthorized", "message": "Invalid or expired token"},
    {},
)


def iso(moment: float) -> str:
    """Seconds since the epoch as the service writes them: UTC, milliseconds, ``Z``."""
    text = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


@dataclass
class Rule:
    """One planned fault.

    Attributes:
        on: endpoint that it waits for, or ``any``.
        do: ``pass`` (answer as usual), ``close``, ``reset``, ``hang``, ``answer``, ``cut``,
            ``patch``.
        nth: the first matching request that it strikes, counted from 1.
        times: how many requests in a row; -1 for all that follow.
        when: ``before`` the work is done (it is then not done at all) or ``after``.
        lead: only reads of this lead.
        status: HTTP status of ``answer``.
        body: body of ``answer``; text is sent as HTML, anything else as JSON.
        raw: body of ``answer`` as text that claims to be JSON.
        headers: further headers of ``answer``.
        seconds: how long ``hang`` holds the connection at most.
        patch: fields to put into the data of the true answer.
        drop: fields to leave out of it.
        instant: the job that this start creates is finished at once.
        fail: the job that this start creates has failed at once, nothing processed.
        teammate: size of a job that a teammate starts at this moment.
        spend: credits that a teammate spends at this moment.
        enrich: every lead is enriched at this moment, at the expense of nobody here.
        vanish: stop listening before anything is answered.
        signal: name of a signal for the client's process, such as ``KILL``.
        delay: seconds from the request to the signal.
        late: seconds after which the work is done all the same, whatever the caller was told.
    """

    on: str
    do: str = "pass"
    nth: int = 1
    times: int = 1
    when: str = "before"
    lead: str | None = None
    status: int = 500
    body: object = None
    raw: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 30.0
    patch: dict[str, Any] = field(default_factory=dict)
    drop: list[str] = field(default_factory=list)
    instant: bool = False
    fail: bool = False
    teammate: int = 0
    spend: int = 0
    enrich: bool = False
    vanish: bool = False
    signal: str | None = None
    delay: float = 0.0
    late: float | None = None
    seen: int = 0
    fired: int = 0

    def matches(self, endpoint: str, argument: str) -> bool:
        """Count a request, and say whether it is one to strike."""
        if self.on not in ("any", endpoint) or self.lead not in (None, argument):
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
    ours: bool
    fail_at: float | None = None
    fraction: float = 0.0
    done: int = 0
    failed: bool = False

    @property
    def running(self) -> bool:
        """Whether the job is listed among the active ones."""
        return not self.failed and self.fraction < 1.0


DEFAULTS: dict[str, Any] = {
    "key": "ll_" + "0" * 64,
    "leads": {},  # id -> {"emails": [...], "enriched": bool}
    "queries": {},  # query id -> lead ids
    "balance": 1000,
    "job_seconds": 0.4,  # None: jobs wait for the control
    "order": "sent",  # in which a job takes its leads: sent, reversed, shuffled
    "unread": "404",  # /lead before enrichment: 404, or "empty"
    "shortage": "smaller",  # a cap or balance below the need: smaller job, or "refuse"
    "lead_count": "sent",  # leadCount in /jobs: leads sent, or "queued"
    "max_leads": None,  # larger bodies are answered 413
    "limit": 0,  # requests per window; 0 is unlimited
    "window": 60.0,
    "retry_after": "seconds",  # on 429: seconds, date, or None
    "latency": 0.0,
    "fail_at": None,  # fraction at which a job fails
    "fail_jobs": 1,  # how many of the first jobs do
    "refund": False,  # whether a failed job gives unused credits back
    "jobs_lag": 0.0,  # seconds until a job is listed
    "count_lag": 0.0,  # seconds until a preview counts a lead as enriched
    "lead_lag": 0.0,  # seconds until a lead shows that it is
    "balance_lag": 0.0,  # seconds until a preview shows what was spent
    "not_yet": {},  # lead -> how many reads say "not yet" after its job; -1 for ever
    "missing": [],  # endpoints that do not exist here
    "pid": 0,  # the client's process, for signals
}


class World:
    """The account and its leads; every method is called with the lock held."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.lock = threading.RLock()
        self.config = DEFAULTS | {k: v for k, v in config.items() if k != "rules"}
        unknown = set(self.config) - set(DEFAULTS)
        if unknown:
            raise KeyError(f"no such setting: {sorted(unknown)}")
        self.rules = [Rule(**one) for one in config.get("rules", [])]
        self.balance: int = self.config["balance"]
        self.born = time.time()
        self.enriched: dict[str, float] = {
            lead: self.born - 86400.0
            for lead, about in self.config["leads"].items()
            if about.get("enriched")
        }
        self.not_yet: dict[str, int] = dict(self.config["not_yet"])
        self.jobs: dict[str, Job] = {}
        self.transactions: list[dict[str, Any]] = []
        self.spendings: list[tuple[float, int]] = []
        self.requests: Counter[str] = Counter()
        self.charges: Counter[str] = Counter()
        self.reads: Counter[str] = Counter()
        self.starts_charged = 0
        self.starts: list[dict[str, Any]] = []
        self.under_way = 0  # starts that have arrived and are not answered yet
        self.starts_at_once = 0
        self.throttled = 0
        self.strangers: list[str] = []
        self.unexpected: list[str] = []
        self.signals = 0
        self.accepted: deque[float] = deque()
        self.arrivals: list[float] = []

    # -- time ------------------------------------------------------------------------------

    def advance(self) -> None:
        """Let every job come as far as it should be by now."""
        now = time.monotonic()
        for job in self.jobs.values():
            if job.running and job.seconds is not None:
                share = 1.0 if job.seconds == 0 else (now - job.began) / job.seconds
                self.progress(job, min(share, 1.0))

    def progress(self, job: Job, fraction: float) -> None:
        """Bring a job to a fraction of its leads."""
        if job.fail_at is not None and fraction >= job.fail_at:
            fraction, job.failed = job.fail_at, True
        job.fraction = max(job.fraction, fraction)
        target = int(len(job.leads) * job.fraction + 1e-9)
        for lead in job.leads[job.done : target]:
            if job.ours:
                self.enriched.setdefault(lead, time.time())
        job.done = max(job.done, target)
        if job.failed and job.ours and self.config["refund"]:
            self.balance += len(job.leads) - job.done

    # -- money -----------------------------------------------------------------------------

    def spend(self, amount: int, description: str) -> None:
        """Take credits from the balance."""
        self.balance -= amount
        self.spendings.append((time.time(), amount))
        self.transactions.insert(
            0,
            {
                "id": f"txn_{len(self.transactions) + 1}",
                "type": "DEDUCTION",
                "amount": -amount,
                "description": description,
                "createdAt": iso(time.time()),
            },
        )

    def teammate(self, size: int, seconds: float | None = 0.6) -> str:
        """Start a job of somebody else's leads on the same account."""
        job_id = f"mate_{len(self.jobs) + 1}"
        self.jobs[job_id] = Job(
            id=job_id,
            leads=[f"other-{job_id}-{n}" for n in range(size)],
            shown=size,
            began=time.monotonic(),
            seconds=seconds,
            ours=False,
        )
        self.spend(size, f"Enrichment: {size} leads")
        return job_id

    # -- endpoints -------------------------------------------------------------------------

    def selected(self, body: object) -> list[str] | Answer:
        """The unique leads that a body names, in its order, or why it is refused."""
        if not isinstance(body, dict) or ("leadIds" in body) == ("queryId" in body):
            text = "Provide either queryId or leadIds, not both"
            return 422, {"success": False, "error": text}, {}
        if "queryId" in body:
            ids = self.config["queries"].get(body["queryId"])
            return NOT_FOUND if ids is None else list(ids)
        ids = body["leadIds"]
        if not isinstance(ids, list) or not ids or not all(isinstance(i, str) and i for i in ids):
            return 422, {"success": False, "error": "leadIds must be an array of strings"}, {}
        most = self.config["max_leads"]
        if most is not None and len(ids) > most:
            return 413, {"success": False, "error": "Payload too large"}, {}
        return list(dict.fromkeys(ids))

    def preview(self, body: object) -> Answer:
        """``POST /enrichment/preview``."""
        ids = self.selected(body)
        if isinstance(ids, tuple):
            return ids
        known = [one for one in ids if one in self.config["leads"]]
        now = time.time()
        seen = now - self.config["count_lag"]
        fresh = [one for one in known if self.enriched.get(one, math.inf) > seen]
        last = now - self.config["balance_lag"]
        unseen = sum(amount for at, amount in self.spendings if at > last)
        return ok(
            {
                "totalLeads": len(known),
                "alreadyEnriched": len(known) - len(fresh),
                "toEnrich": len(fresh),
                "estimatedCredits": len(fresh),
                "availableCredits": self.balance + unseen,
            }
        )

    def start(self, body: object, rule: Rule | None) -> Answer:
        """``POST /enrichment/start``: reserves the credits and begins the job."""
        ids = self.selected(body)
        if isinstance(ids, tuple):
            return ids
        assert isinstance(body, dict)
        need = [one for one in ids if one in self.config["leads"] and one not in self.enriched]
        allowed = min(self.balance, body.get("maxCredits", self.balance))
        if len(need) > allowed:
            if self.config["shortage"] == "refuse" or allowed <= 0:
                return 402, {"success": False, "error": "Insufficient credits"}, {}
            need = need[:allowed]
        fails = self.config["fail_at"] is not None and self.config["fail_jobs"] > len(
            [one for one in self.jobs.values() if one.ours]
        )
        job = Job(
            id=f"enrich_{len(self.jobs) + 1}",
            leads=self.in_order(need),
            shown=len(ids) if self.config["lead_count"] == "sent" else len(need),
            began=time.monotonic(),
            seconds=self.config["job_seconds"],
            ours=True,
            fail_at=self.config["fail_at"] if fails else None,
        )
        self.jobs[job.id] = job
        if need:
            self.starts_charged += 1
            self.charges.update(need)
            self.spend(len(need), f"Enrichment: {len(need)} leads")
        if not need or (rule is not None and rule.instant):
            self.progress(job, 1.0)
        if rule is not None and rule.fail:
            job.fail_at = 0.0
            self.progress(job, 0.0)
        return ok({"jobId": job.id, "leadsQueued": len(need), "creditsReserved": len(need)})

    def in_order(self, leads: list[str]) -> list[str]:
        """Leads as a job takes them."""
        if self.config["order"] == "reversed":
            return leads[::-1]
        if self.config["order"] == "shuffled":
            return random.Random(len(leads)).sample(leads, len(leads))
        return leads

    def status(self, job_id: str) -> Answer:
        """``GET /enrichment/status/:jobId``."""
        job = self.jobs.get(job_id)
        if job is None:
            return NOT_FOUND
        word = "PROCESSING" if job.fraction else "PENDING"
        if not job.running:
            word = "FAILED" if job.failed else "COMPLETED"
        about = self.config["leads"]
        done = job.leads[: job.done]
        return ok(
            {
                "jobId": job.id,
                "status": word,
                "progress": int(job.fraction * 100),
                "processedLeads": job.done,
                "totalLeads": len(job.leads),
                "foundEmails": sum(bool(about.get(one, {}).get("emails")) for one in done),
            }
        )

    def lead(self, lead_id: str) -> Answer:
        """``GET /enrichment/lead/:leadId``."""
        self.reads[lead_id] += 1
        about = self.config["leads"].get(lead_id)
        if about is None:
            return NOT_FOUND
        ready = self.enriched.get(lead_id, math.inf) <= time.time() - self.config["lead_lag"]
        if ready and self.not_yet.get(lead_id):
            self.not_yet[lead_id] -= 1
            ready = False
        if not ready and self.config["unread"] == "404":
            return NOT_FOUND
        return ok(
            {
                "leadId": lead_id,
                "emails": about.get("emails", []) if ready else [],
                "enrichedAt": iso(self.enriched[lead_id]) if ready else None,
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
                if job.running and time.monotonic() >= job.began + self.config["jobs_lag"]
            ]
        )

    def credits(self) -> Answer:
        """``GET /credits/balance``."""
        monthly = self.config["balance"]
        return ok(
            {
                "monthlyCredits": monthly,
                "bonusCredits": 0,
                "usedCredits": monthly - self.balance,
                "availableCredits": self.balance,
                "resetDay": 1,
                "lastResetAt": iso(self.born),
            }
        )

    def ledger(self, query: str) -> Answer:
        """``GET /credits/transactions``."""
        asked = dict(part.split("=", 1) for part in query.split("&") if "=" in part)
        limit, offset = int(asked.get("limit", "50")), int(asked.get("offset", "0"))
        meta = {"total": len(self.transactions), "limit": limit, "offset": offset}
        page = self.transactions[offset : offset + limit]
        return 200, {"success": True, "data": page, "meta": meta}, {}

    def answer(self, call: Call, body: object, rule: Rule | None) -> Answer:
        """Do what a request asks."""
        if call.endpoint in self.config["missing"]:
            return NOT_FOUND
        match call.endpoint:
            case "preview":
                return self.preview(body)
            case "start":
                return self.start(body, rule)
            case "status":
                return self.status(call.argument)
            case "lead":
                return self.lead(call.argument)
            case "jobs":
                return self.active()
            case "balance":
                return self.credits()
            case "transactions":
                return self.ledger(call.query)
        return NOT_FOUND

    def take(self, call: Call, body: object) -> None:
        """Do what a request asks that nobody waits for any more."""
        with self.lock:
            self.answer(call, body, None)

    # -- the rate limit --------------------------------------------------------------------

    def throttle(self) -> Answer | None:
        """Refuse what an exact sliding window has no room for."""
        now = time.monotonic()
        self.arrivals.append(now)
        limit, window = self.config["limit"], self.config["window"]
        if not limit:
            return None
        while self.accepted and self.accepted[0] <= now - window:
            self.accepted.popleft()
        if len(self.accepted) < limit:
            self.accepted.append(now)
            return None
        self.throttled += 1
        wait = self.accepted[0] + window - now
        headers = {}
        if self.config["retry_after"] == "seconds":
            headers["Retry-After"] = str(int(wait) + 1)
        elif self.config["retry_after"] == "date":
            then = datetime.fromtimestamp(int(time.time() + wait) + 1, UTC)
            headers["Retry-After"] = format_datetime(then, usegmt=True)
        return 429, {"success": False, "error": "Too many requests"}, headers

    def enters(self, call: Call) -> None:
        """Count the starts that are under way at once, those that no rule strikes."""
        if call.endpoint == "start":
            self.under_way += 1
            self.starts_at_once = max(self.starts_at_once, self.under_way)

    def leaves(self, call: Call) -> None:
        """The opposite of `enters`."""
        if call.endpoint == "start":
            self.under_way -= 1

    def counts(self) -> dict[str, Any]:
        """Everything that happened."""
        self.advance()
        return {
            "starts": self.requests["start"],
            "starts_charged": self.starts_charged,
            "start_bodies": self.starts,
            "charges": dict(self.charges),
            "reads": dict(self.reads),
            "requests": dict(self.requests),
            "total": sum(self.requests.values()),
            "starts_at_once": self.starts_at_once,
            "throttled": self.throttled,
            "balance": self.balance,
            "spent": self.config["balance"] - self.balance,
            "jobs": {
                one.id: {"running": one.running, "leads": len(one.leads), "done": one.done}
                for one in self.jobs.values()
            },
            "enriched": sorted(self.enriched),
            "strangers": self.strangers,
            "unexpected": self.unexpected,
            "signals": self.signals,
            "fired": [one.fired for one in self.rules],
            "arrivals": self.arrivals,
        }

    def act(self, order: dict[str, Any]) -> object:
        """Do what the control says."""
        self.advance()
        if "advance" in order:
            for job in self.jobs.values():
                if job.running and order.get("job") in (None, job.id):
                    self.progress(job, float(order["advance"]))
        if "fail" in order:
            for job in self.jobs.values():
                if job.running and job.ours:
                    job.fail_at = float(order["fail"])
                    self.progress(job, job.fail_at)
        if "spend" in order:
            self.spend(order["spend"], "Search: Dentists")
        if "teammate" in order:
            return self.teammate(order["teammate"], order.get("seconds"))
        return None


def ok(data: object) -> Answer:
    """A success envelope."""
    return 200, {"success": True, "data": data}, {}


@dataclass
class Call:
    """One request, routed."""

    endpoint: str
    argument: str = ""
    query: str = ""


def route(method: str, target: str) -> Call | None:
    """Find the endpoint of a request, or None where the documentation names none."""
    path, _, query = target.partition("?")
    parts = path.split("/")[1:]
    if parts[:2] != PREFIX:
        return None
    match (method, *parts[2:]):
        case ("POST", "enrichment", "preview"):
            return Call("preview")
        case ("POST", "enrichment", "start"):
            return Call("start")
        case ("GET", "enrichment", "jobs"):
            return Call("jobs")
        case ("GET", "enrichment", "status", job) if job not in ("", ".", ".."):
            return Call("status", unquote(job))
        case ("GET", "enrichment", "lead", lead) if lead not in ("", ".", ".."):
            return Call("lead", unquote(lead))
        case ("GET", "credits", "balance"):
            return Call("balance")
        case ("GET", "credits", "transactions"):
            return Call("transactions", query=query)
    return None


class Handler(BaseHTTPRequestHandler):
    """Reads requests off one connection of the service."""

    protocol_version = "HTTP/1.1"
    server: Service  # type: ignore[assignment] # the base class expects a socketserver
    connection: socket.socket

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing: the counts do."""

    def do_GET(self) -> None:
        self._handle("GET")

    def do_POST(self) -> None:
        self._handle("POST")

    def do_PUT(self) -> None:
        self._handle("PUT")

    def do_DELETE(self) -> None:
        self._handle("DELETE")

    def do_HEAD(self) -> None:
        self._handle("HEAD")

    def do_CONNECT(self) -> None:
        self._handle("CONNECT")

    def _handle(self, method: str) -> None:
        world = self.server.world
        call = route(method, self.path)
        host = self.headers.get("Host", "")
        with world.lock:
            world.advance()
            if self.headers.get("Authorization") != f"Bearer {world.config['key']}":
                world.strangers.append(f"{method} {self.path}")
                self._read_body()
                self._send(UNAUTHORIZED)
                return
            if call is None or host not in self.server.hosts:
                world.unexpected.append(f"{method} {host} {self.path}")
                self._read_body()
                self._send(NOT_FOUND)
                return
            world.requests[call.endpoint] += 1
            matching = [one for one in world.rules if one.matches(call.endpoint, call.argument)]
            refusal = world.throttle()
            rule = matching[0] if matching and refusal is None else None
            if rule is not None:
                rule.fired += 1
            if rule is None and refusal is None:
                world.enters(call)
        latency = world.config["latency"]
        if latency:
            time.sleep(latency)
        if refusal is not None:
            self._read_body()
            self._send(refusal)
            return
        unread = rule is not None and rule.when == "before" and rule.late is None
        if rule is not None and unread and rule.do in ("close", "reset"):
            # Not even the body is read.
            self._meddle(world, rule)
            self._strike(rule, None)
            return
        body = self._read_body()
        if call.endpoint == "start" and isinstance(body, dict):
            world.starts.append(
                {
                    "leads": len(body.get("leadIds", [])),
                    "leadIds": body.get("leadIds", []),
                    "queryId": body.get("queryId"),
                    "maxCredits": body.get("maxCredits"),
                }
            )
        if rule is None:
            with world.lock:
                answer = world.answer(call, body, None)
                world.leaves(call)
            self._send(answer)
            return
        done: Answer | None = None
        if rule.late is not None:
            threading.Timer(rule.late, world.take, (call, body)).start()
        if rule.when == "before":
            self._meddle(world, rule)
        if rule.when == "after" or rule.do in ("pass", "patch", "cut"):
            with world.lock:
                done = world.answer(call, body, rule)
        if rule.when == "after":
            self._meddle(world, rule)
        self._strike(rule, done)

    def _meddle(self, world: World, rule: Rule) -> None:
        """Let happen what a rule says besides the answer."""
        with world.lock:
            if rule.teammate:
                world.teammate(rule.teammate)
            if rule.spend:
                world.spend(rule.spend, "Search: Dentists")
            if rule.enrich:
                for lead in world.config["leads"]:
                    world.enriched.setdefault(lead, time.time())
        if rule.vanish:
            self.server.deafen(spare=self.connection)
            self.close_connection = True
        if rule.signal is not None and world.config["pid"]:
            if rule.delay:
                threading.Timer(rule.delay, self._signal, (world, rule.signal)).start()
            else:
                self._signal(world, rule.signal)

    def _strike(self, rule: Rule, done: Answer | None) -> None:
        """Answer as a rule says, or not at all."""
        match rule.do:
            case "close":
                self._hang_up()
            case "reset":
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self._hang_up()
            case "hang":
                self._hold(rule.seconds)
            case "answer":
                body = rule.raw if rule.raw is not None else rule.body
                kind = "application/json" if rule.raw is not None else None
                self._send((rule.status, body, rule.headers), kind=kind)
            case "cut" if done is not None:
                self._send(done, cut=True)
            case "patch" if done is not None:
                self._send(patched(done, rule))
            case _ if done is not None:
                self._send(done)

    def _signal(self, world: World, name: str) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(world.config["pid"], signal.Signals[f"SIG{name}"])
            world.signals += 1

    def _hang_up(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            if not self.connection.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)[0]:
                self.connection.shutdown(socket.SHUT_RDWR)
        self.connection.close()

    def _hold(self, seconds: float) -> None:
        self.close_connection = True
        select.select([self.connection], [], [], seconds)

    def _read_body(self) -> object:
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            return json.loads(text) if text else None
        except ValueError:
            return None

    def _send(self, answer: Answer, *, kind: str | None = None, cut: bool = False) -> None:
        # No reason phrase: clients must not need one.
        status, body, headers = answer
        if isinstance(body, str):
            payload = body.encode()
            kind = kind or "text/html; charset=utf-8"
        else:
            payload = json.dumps(body).encode()
            kind = "application/json; charset=utf-8"
        lines = [
            f"HTTP/1.1 {status} -",
            f"Content-Type: {kind}",
            f"Content-Length: {len(payload)}",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        if self.close_connection or cut:
            self.close_connection = True
            lines.append("Connection: close")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode()
        # One write: two would wait for each other's acknowledgement.
        with contextlib.suppress(OSError):
            self.connection.sendall(head + (payload[: len(payload) // 2] if cut else payload))


def patched(answer: Answer, rule: Rule) -> Answer:
    """A true answer with some of its data replaced or left out."""
    status, body, headers = answer
    if not isinstance(body, dict) or "data" not in body:
        return answer
    data = body["data"]
    if isinstance(data, dict):
        data = {k: v for k, v in (data | rule.patch).items() if k not in rule.drop}
    return status, body | {"data": data}, headers


class Service:
    """The listening end; it can go deaf and hear again on the same port."""

    def __init__(self, host: str, port: int) -> None:
        self.world = World({})
        # Bound but never listening: it keeps the port while the service is deaf.
        self._holder = self._bound(host, port)
        self.host, self.port = self._holder.getsockname()
        self.hosts = (f"{host}:{self.port}", f"localhost:{self.port}")
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._ears: socket.socket | None = None
        self.hear()

    @staticmethod
    def _bound(host: str, port: int) -> socket.socket:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        return sock

    def hear(self) -> None:
        """Listen, if not listening already."""
        with self._lock:
            if self._ears is not None:
                return
            self._ears = self._bound(self.host, self.port)
            self._ears.listen(256)
            threading.Thread(target=self._accept, args=(self._ears,), daemon=True).start()

    def deafen(self, spare: socket.socket | None = None) -> None:
        """Refuse connections from now on, and drop those that are open."""
        with self._lock:
            if self._ears is not None:
                self._ears.shutdown(socket.SHUT_RDWR)
                self._ears.close()
                self._ears = None
            for one in list(self._open):
                if one is not spare:
                    with contextlib.suppress(OSError):
                        one.shutdown(socket.SHUT_RDWR)

    def _accept(self, ears: socket.socket) -> None:
        while True:
            try:
                sock, address = ears.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock, address), daemon=True).start()

    def _serve(self, sock: socket.socket, address: tuple[str, int]) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._open.add(sock)
        # A client that was killed leaves broken pipes behind; that is what it is here for.
        with contextlib.suppress(OSError, ValueError):
            Handler(sock, address, self)  # type: ignore[arg-type] # no socketserver is needed
        with self._lock:
            self._open.discard(sock)
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        sock.close()


class Control(BaseHTTPRequestHandler):
    """Takes orders from the tests, on a port of its own."""

    protocol_version = "HTTP/1.1"
    service: Service
    connection: socket.socket

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""

    def do_POST(self) -> None:
        order = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "{}")
        try:
            result, status = self._obey(order), 200
        except (KeyError, TypeError, ValueError) as problem:
            result, status = {"problem": repr(problem)}, 400
        payload = json.dumps(result).encode()
        head = f"HTTP/1.1 {status} -\r\nContent-Length: {len(payload)}\r\n\r\n".encode()
        self.connection.sendall(head + payload)

    def _obey(self, order: dict[str, Any]) -> object:
        service = self.service
        world = service.world
        if self.path == "/reset":
            service.world = World(order)
            service.hear()
            return {}
        with world.lock:
            if self.path == "/rules":
                world.rules = [Rule(**one) for one in order["rules"]]
                return {}
            if self.path == "/set":
                unknown = set(order) - set(DEFAULTS)
                if unknown:
                    raise KeyError(f"no such setting: {sorted(unknown)}")
                world.advance()
                world.config.update(order)
                return {}
            if self.path == "/counts":
                return world.counts()
            if self.path == "/act":
                result = world.act(order)
                if "listen" in order:
                    (service.hear if order["listen"] else service.deafen)()
                return result
        raise KeyError(f"no such order: {self.path}")


def control(service: Service) -> int:
    """Listen for orders; the port comes back."""
    ears = socket.create_server(("127.0.0.1", 0))
    handler = type("BoundControl", (Control,), {"service": service})

    def serve(sock: socket.socket, address: tuple[str, int]) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError), sock:
            handler(sock, address, service)

    def accept() -> None:
        while True:
            threading.Thread(target=serve, args=ears.accept(), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return int(ears.getsockname()[1])


def main() -> None:
    """Serve until standard input is closed, that is until the tests are gone."""
    parser = argparse.ArgumentParser(description="LeadsAPI as documented, for tests.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--config", help="the world to begin with, as JSON")
    options = parser.parse_args()
    service = Service(options.host, options.port)
    if options.config:
        service.world = World(json.loads(options.config))
    print(json.dumps({"port": service.port, "control": control(service)}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
