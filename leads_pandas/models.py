"""The wire contract of LeadsAPI: frozen dataclasses to and from the service's JSON.

Client and local service share it, and it is the only place that knows the name of a wire field.
No I/O, no pandas.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple, get_args

from leads_pandas.contract import (
    LARGEST,
    Identifier,
    Ours,
    Share,
    Signed,
    Wire,
    WireError,
    count,
    text,
)
from leads_pandas.display import card_html, card_text, duration, plural

JobState = Literal["PENDING", "PROCESSING", "COMPLETED", "FAILED"]
Phase = Literal["starting", "enriching", "reading", "done", "failed", "unknown"]


LONGEST_ID = 200  # characters

# Cc and Cf hide, Cs has no encoding, Zl and Zp break a line; joiners and marks (BOM) are Cf.
_INVISIBLE = {
    "Cc": "text with a control character",
    "Cf": "text with an invisible character",
    "Cs": "text with half a Unicode character",
    "Zl": "text with a line separator",
    "Zp": "text with a line separator",
}


def lead_id_fault(text: str) -> str:
    """What keeps a text from being a lead ID; empty where it is one.

    The one rule, for frames, client and local service: visible text, at most 200 characters, that
    can stand in a URL's path.
    """
    if not text:
        return "empty"
    if len(text) > LONGEST_ID:
        return f"longer than {LONGEST_ID} characters"
    if text in {".", ".."}:
        return "'.' or '..', which would name another endpoint"
    if not text.isprintable():
        kinds = (_INVISIBLE.get(unicodedata.category(char)) for char in text)
        return next(filter(None, kinds), "")
    return ""


def selection(
    lead_ids: Sequence[str] | None, query_id: str | None, max_credits: int | None = None
) -> dict[str, Any]:
    """The body of a preview or a start."""
    if (lead_ids is None) == (query_id is None):
        raise ValueError("give either lead_ids or query_id, and not both")
    if not lead_ids and not query_id:
        raise ValueError("lead_ids is empty" if query_id is None else "query_id is empty")
    body: dict[str, Any] = {"leadIds": list(lead_ids)} if lead_ids else {"queryId": query_id}
    return body if max_credits is None else body | {"maxCredits": max_credits}


def read_selection(body: object) -> tuple[list[str] | None, str | None, int | None]:
    """The service's side of `selection`: lead IDs, query ID, credit cap."""
    if not isinstance(body, dict):
        raise WireError("the body is not a JSON object")
    if ("leadIds" in body) == ("queryId" in body):
        raise WireError("Provide either queryId or leadIds, not both")
    ids, query, cap = body.get("leadIds"), body.get("queryId"), None
    named = ids if query is None else [query]
    if not isinstance(named, list) or not named:
        raise WireError("leadIds must be a non-empty list of strings")
    for one in named:
        text(one)
    if "maxCredits" in body:
        cap = body["maxCredits"]
        # Any cap is one, however far above the balance.
        cap = LARGEST if isinstance(cap, int) and cap >= LARGEST else count(cap)
    return ids, query, cap


@dataclass(frozen=True, slots=True)
class CostPreview(Wire):
    """What enriching a set of leads would cost (``POST /api/v1/enrichment/preview``).

    Attributes:
        total_leads: unique leads asked about.
        already_enriched: those that cost nothing again, the store's included.
        to_enrich: those that a start would buy.
        estimated_credits: what the start would reserve.
        available_credits: the account's balance.
        estimated_seconds: lower bound of the time that reading the results takes at the request
            budget, in seconds; 0.0 where nothing must be read.
        longest_seconds: upper end of the time, in seconds, where the job goes as this account's
            earlier ones of about its size went; None where the store knows of none.
        unknown_ids: of ``total_leads``, those that the service does not know; they cost nothing.
        rows_without_id: rows that ask for nothing.
        duplicate_rows: rows that ask for the lead of another row, which is bought once.
    """

    total_leads: int
    already_enriched: int
    to_enrich: int
    estimated_credits: int
    available_credits: Signed
    estimated_seconds: Ours = 0.0
    longest_seconds: Annotated[float | None, None] = None
    unknown_ids: Annotated[int, None] = 0
    rows_without_id: Annotated[int, None] = 0
    duplicate_rows: Annotated[int, None] = 0

    @property
    def affordable(self) -> bool:
        """Whether the balance covers the estimate."""
        return self.estimated_credits <= self.available_credits

    def _card(self) -> tuple[str, list[tuple[str, str]], str]:
        odd = [
            ("unknown to the service", self.unknown_ids),
            ("rows without an ID", self.rows_without_id),
            ("repeated rows", self.duplicate_rows),
        ]
        rows = [
            ("leads", f"{self.total_leads:,}"),
            *((label, f"{count:,}") for label, count in odd if count),
            ("already enriched", f"{self.already_enriched:,}"),
            ("to enrich", f"{self.to_enrich:,}"),
            ("estimated credits", f"{self.estimated_credits:,}"),
            ("available credits", f"{self.available_credits:,}"),
            ("time", self._time()),
        ]
        short = plural(self.estimated_credits - self.available_credits, "credit")
        note = "" if self.affordable else f"{short} short"
        if self.affordable and self.to_enrich and self.longest_seconds is None:
            note = "reading alone; no job has ended here yet to tell the rest"
        return "Enrichment cost", rows, note

    def _time(self) -> str:
        """From what reading takes at the least to what earlier jobs let expect, where they do."""
        least, most = self.estimated_seconds, self.longest_seconds
        shortest = duration(least) if least >= 1 else "a moment"
        if most is None and self.to_enrich:
            # A start, its polls and the reads are so many answers to be waited for.
            return f"at least {shortest if least >= 1 else 'a few seconds'}"
        if most is None:
            return shortest
        return f"{shortest} to {duration(most)}" if most >= least + 1 else shortest

    def __str__(self) -> str:
        title, rows, note = self._card()
        return card_text(title, rows, note=note)

    def _repr_html_(self) -> str:
        title, rows, note = self._card()
        return card_html(title, rows, note=note)


def is_whole(preview: CostPreview | None, known: int) -> bool:
    """Whether every lead is enriched; that none is to be bought may mean that they are at work.

    Args:
        preview: what the service says of some leads; None: nothing.
        known: how many of them it knew before, which a part of it may not know yet.
    """
    if preview is None or preview.to_enrich:
        return False
    return preview.already_enriched >= max(preview.total_leads, known)


@dataclass(frozen=True, slots=True)
class StartedJob(Wire):
    """The answer to a start (``POST /api/v1/enrichment/start``).

    Attributes:
        job_id: the job to poll.
        leads_queued: leads that the job will enrich.
        credits_reserved: credits taken from the balance.
    """

    job_id: str
    leads_queued: int
    credits_reserved: int


@dataclass(frozen=True, slots=True)
class JobStatus(Wire):
    """How far a job is (``GET /api/v1/enrichment/status/:jobId``).

    Attributes:
        job_id: the job.
        status: ``PENDING``, ``PROCESSING``, ``COMPLETED`` or ``FAILED``.
        progress: percent, 0-100.
        processed_leads: leads done so far.
        total_leads: leads in the job.
        found_emails: emails found so far.
    """

    job_id: str
    status: JobState
    progress: float
    processed_leads: int
    total_leads: int
    found_emails: int

    @property
    def finished(self) -> bool:
        """Whether the job has come to its end, well or badly."""
        return self.status in ("COMPLETED", "FAILED")


@dataclass(frozen=True, slots=True)
class Email(Wire):
    """One address found for a lead.

    Attributes:
        email: the address, as the service gave it.
        confidence: 0-1, or None where none was given.
        source: where it was found, such as ``website``, or None.
    """

    email: str
    confidence: Share | None
    source: str | None


@dataclass(frozen=True, slots=True)
class LeadEnrichment(Wire):
    """What the service holds of one lead (``GET /api/v1/enrichment/lead/:leadId``).

    Attributes:
        lead_id: the lead.
        emails: the addresses found, in the service's order.
        enriched_at: when it was enriched, in UTC, or None where it has not been.
    """

    lead_id: str
    emails: tuple[Email, ...]
    enriched_at: datetime | None


@dataclass(frozen=True, slots=True)
class ActiveJob(Wire):
    """A running job of the account (``GET /api/v1/enrichment/jobs``).

    Attributes:
        job_id: the job.
        type: ``enrichment`` or ``search``.
        progress: percent, 0-100, or None where it is not said.
        lead_count: leads in the job, or None where it is not said.
        query: the words searched for, on searches.
    """

    job_id: str
    type: str
    progress: float | None
    lead_count: int | None
    query: str | None

    def to_wire(self) -> dict[str, Any]:
        """The item as the service gives it: with a query on searches only."""
        item = Wire.to_wire(self)
        if self.query is None:
            del item["query"]
        return item


@dataclass(frozen=True, slots=True)
class Balance(Wire):
    """The account's credits (``GET /api/v1/credits/balance``).

    Attributes:
        available_credits: what can be spent: monthly + bonus - used.
        monthly_credits: the plan's credits per month, or None where it is not said.
        bonus_credits: extra credits, or None.
        used_credits: spent since the last reset, or None.
        reset_day: day of the month on which the credits are reset, or None.
        last_reset_at: the last reset, in UTC, or None.
    """

    available_credits: Signed
    monthly_credits: Signed | None = None
    bonus_credits: Signed | None = None
    used_credits: Signed | None = None
    reset_day: Signed | None = None
    last_reset_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Transaction(Wire):
    """One movement of the account's credits (``GET /api/v1/credits/transactions``).

    Attributes:
        id: the transaction.
        type: ``DEDUCTION``, ``MONTHLY_RESET``, or another word of the service's.
        amount: credits; negative when spent.
        description: what it was for, in the service's words, or None.
        created_at: when, in UTC, or None where it is not said.
    """

    id: Identifier
    type: str
    amount: Signed
    description: str | None
    created_at: datetime | None


@dataclass(frozen=True, slots=True)
class RunStatus:
    """How far a run is, as a progress callback sees it.

    Attributes:
        phase: ``starting``, ``enriching``, ``reading``, ``done``, ``failed`` or ``unknown``.
        processed: leads that the run's jobs have processed.
        total: unique leads of the run that are being enriched or read.
        found_emails: leads with an email among those read, or what the jobs say, if more.
        read: leads whose result is durable in the store.
        credits_reserved: credits reserved by the run's jobs.
    """

    phase: Phase
    processed: int
    total: int
    found_emails: int
    read: int
    credits_reserved: int

    def _rows(self) -> list[tuple[str, str]]:
        return [
            ("phase", self.phase),
            ("processed", f"{self.processed:,} of {self.total:,}"),
            ("read", f"{self.read:,} of {self.total:,}"),
            ("emails found", f"{self.found_emails:,}"),
            ("credits reserved", f"{self.credits_reserved:,}"),
        ]

    @property
    def fraction(self) -> float:
        """How much is done, from 0 to 1; a lead counts half when processed, half when read."""
        if self.total == 0:
            return 1.0
        return min((max(self.processed, self.read) + self.read) / (2 * self.total), 1.0)

    def __str__(self) -> str:
        return card_text("Enrichment run", self._rows())

    def _repr_html_(self) -> str:
        return card_html("Enrichment run", self._rows(), fraction=self.fraction)


LeadStatus = Literal["found", "not_found", "not_enriched", "unknown_lead", "failed"]

STATUSES: tuple[LeadStatus, ...] = get_args(LeadStatus)


class LeadResult(NamedTuple):
    """What is known of one lead at the end of a call."""

    status: LeadStatus  # one of `STATUSES`
    emails: tuple[Email, ...] = ()  # the addresses, in the service's order
    enriched_at: int | None = None  # microseconds since the epoch (UTC)
