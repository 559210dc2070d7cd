"""The wire contract of LeadsAPI: frozen dataclasses to and from the service's JSON.

Client and local service share it, and it is the only place that knows the name of a wire field.
No I/O, no pandas.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from leads_pandas.display import card_html, card_text, duration, plural

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

JobState = Literal["PENDING", "PROCESSING", "COMPLETED", "FAILED"]
Phase = Literal["starting", "enriching", "reading", "done", "failed", "unknown"]

_LARGEST = 2**63  # what SQLite can hold

JOB_STATES: tuple[JobState, ...] = ("PENDING", "PROCESSING", "COMPLETED", "FAILED")


class WireError(ValueError):
    """A body does not fit the contract; the message says which field."""


def envelope(data: object, *, meta: Mapping[str, int] | None = None) -> dict[str, Any]:
    """Wrap an answer's data as the service does."""
    body: dict[str, Any] = {"success": True, "data": data}
    if meta is not None:
        body["meta"] = dict(meta)
    return body


def error_envelope(message: str) -> dict[str, Any]:
    """The service's usual error body."""
    return {"success": False, "error": message}


def unauthorized_envelope(message: str = "Invalid or expired token") -> dict[str, Any]:
    """The error body that the service uses on 401."""
    return {"statusCode": 401, "error": "Unauthorized", "message": message}


def open_envelope(body: object) -> object:
    """Return the data of a successful answer.

    Raises:
        WireError: the body is no success envelope.
    """
    if not isinstance(body, dict):
        raise WireError("the body is not a JSON object")
    if body.get("success") is not True:
        raise WireError("the body does not say success")
    if "data" not in body:
        raise WireError("the body has no data")
    return body["data"]


def error_message(body: object) -> str | None:
    """The human-readable words of either error body, or None where there are none."""
    if isinstance(body, dict):
        for name in ("message", "error"):
            text = body.get(name)
            if isinstance(text, str) and text.strip():
                return text.strip()
    return None


def _object(data: object, what: str) -> Mapping[str, Any]:
    if not isinstance(data, dict):
        raise WireError(f"{what} is not a JSON object")
    return data


def _whole(data: Mapping[str, Any], name: str) -> int:
    value = data.get(name)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise WireError(f"{name} is not an integer")
    return value


def _integer(data: Mapping[str, Any], name: str) -> int:
    value = _whole(data, name)
    if not -_LARGEST < value < _LARGEST:
        raise WireError(f"{name} is out of range")
    return value


def _count(data: Mapping[str, Any], name: str) -> int:
    value = _integer(data, name)
    if value < 0:
        raise WireError(f"{name} is negative")
    return value


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    if not isinstance(value, str) or not value:
        raise WireError(f"{name} is not a text")
    if not _encodable(value):
        raise WireError(f"{name} is not valid Unicode")
    return value


def _encodable(value: str) -> bool:
    # JSON can spell half a surrogate pair, which neither SQLite nor Parquet can hold.
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _optional_text(data: Mapping[str, Any], name: str) -> str | None:
    return None if data.get(name) is None else _text(data, name)


def _number(data: Mapping[str, Any], name: str) -> float:
    value = data.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise WireError(f"{name} is not a number")
    if not -_LARGEST < value < _LARGEST:  # infinity and NaN included
        raise WireError(f"{name} is out of range")
    return float(value)


def selection(
    lead_ids: Sequence[str] | None, query_id: str | None, max_credits: int | None = None
) -> dict[str, Any]:
    """The body of a preview or a start.

    Raises:
        ValueError: not exactly one of ``lead_ids`` and ``query_id`` is given, or one is empty.
    """
    if (lead_ids is None) == (query_id is None):
        raise ValueError("give either lead_ids or query_id, and not both")
    body: dict[str, Any]
    if lead_ids is not None:
        if not lead_ids:
            raise ValueError("lead_ids is empty")
        body = {"leadIds": list(lead_ids)}
    else:
        if not query_id:
            raise ValueError("query_id is empty")
        body = {"queryId": query_id}
    if max_credits is not None:
        body["maxCredits"] = max_credits
    return body


def read_selection(body: object) -> tuple[list[str] | None, str | None, int | None]:
    """The service's side of `selection`: lead IDs, query ID, credit cap.

    Raises:
        WireError: the body names neither, both, or something of another type.
    """
    data = _object(body, "the body")
    ids, query, cap = data.get("leadIds"), data.get("queryId"), data.get("maxCredits")
    if (ids is None) == (query is None):
        raise WireError("Provide either queryId or leadIds, not both")
    if ids is not None and (
        not isinstance(ids, list)
        or not ids
        or not all(isinstance(one, str) and one and _encodable(one) for one in ids)
    ):
        raise WireError("leadIds must be a non-empty list of strings")
    if query is not None:
        query = _text(data, "queryId")
    if cap is not None:
        cap = _whole(data, "maxCredits")  # any cap is one, however far above the balance
        if cap < 0:
            raise WireError("maxCredits is negative")
    return ids, query, cap


@dataclass(frozen=True, slots=True)
class CostPreview:
    """What enriching a set of leads would cost (``POST /api/v1/enrichment/preview``).

    Attributes:
        total_leads: unique leads asked about.
        already_enriched: those that cost nothing again, the store's included.
        to_enrich: those that a start would buy.
        estimated_credits: what the start would reserve.
        available_credits: the account's balance.
        estimated_seconds: lower bound of the time that reading the results takes at the request
            budget, in seconds; 0.0 where nothing must be read.
    """

    total_leads: int
    already_enriched: int
    to_enrich: int
    estimated_credits: int
    available_credits: int
    estimated_seconds: float = 0.0

    @property
    def affordable(self) -> bool:
        """Whether the balance covers the estimate."""
        return self.estimated_credits <= self.available_credits

    @classmethod
    def from_wire(cls, data: object) -> CostPreview:
        """Read the service's answer; `WireError` where it does not fit."""
        fields = _object(data, "the preview")
        return cls(
            total_leads=_count(fields, "totalLeads"),
            already_enriched=_count(fields, "alreadyEnriched"),
            to_enrich=_count(fields, "toEnrich"),
            estimated_credits=_count(fields, "estimatedCredits"),
            available_credits=_integer(fields, "availableCredits"),
        )

    def to_wire(self) -> dict[str, int]:
        """The answer as the service gives it."""
        return {
            "totalLeads": self.total_leads,
            "alreadyEnriched": self.already_enriched,
            "toEnrich": self.to_enrich,
            "estimatedCredits": self.estimated_credits,
            "availableCredits": self.available_credits,
        }

    def _rows(self) -> list[tuple[str, str]]:
        return [
            ("leads", f"{self.total_leads:,}"),
            ("already enriched", f"{self.already_enriched:,}"),
            ("to enrich", f"{self.to_enrich:,}"),
            ("estimated credits", f"{self.estimated_credits:,}"),
            ("available credits", f"{self.available_credits:,}"),
            ("time", self._time()),
        ]

    def _time(self) -> str:
        if self.estimated_seconds >= 1:
            return f"at least {duration(self.estimated_seconds)}"
        # So few reads go out at once; how fast a job is, nobody says beforehand.
        return "until the job ends" if self.to_enrich else "a moment"

    def _note(self) -> str:
        if self.affordable:
            return ""
        return f"{plural(self.estimated_credits - self.available_credits, 'credit')} short"

    def __str__(self) -> str:
        return card_text("Enrichment cost", self._rows(), note=self._note())

    def _repr_html_(self) -> str:
        return card_html("Enrichment cost", self._rows(), note=self._note())


@dataclass(frozen=True, slots=True)
class StartedJob:
    """The answer to a start (``POST /api/v1/enrichment/start``).

    Attributes:
        job_id: the job to poll.
        leads_queued: leads that the job will enrich.
        credits_reserved: credits taken from the balance.
    """

    job_id: str
    leads_queued: int
    credits_reserved: int

    @classmethod
    def from_wire(cls, data: object) -> StartedJob:
        """Read the service's answer; `WireError` where it does not fit."""
        fields = _object(data, "the started job")
        return cls(
            job_id=_text(fields, "jobId"),
            leads_queued=_count(fields, "leadsQueued"),
            credits_reserved=_count(fields, "creditsReserved"),
        )

    def to_wire(self) -> dict[str, Any]:
        """The answer as the service gives it."""
        return {
            "jobId": self.job_id,
            "leadsQueued": self.leads_queued,
            "creditsReserved": self.credits_reserved,
        }


@dataclass(frozen=True, slots=True)
class JobStatus:
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

    @classmethod
    def from_wire(cls, data: object) -> JobStatus:
        """Read the service's answer; `WireError` where it does not fit."""
        fields = _object(data, "the job's status")
        status = _text(fields, "status")
        if status not in JOB_STATES:
            raise WireError(f"status {status[:40]!r} is not one of {', '.join(JOB_STATES)}")
        return cls(
            job_id=_text(fields, "jobId"),
            status=status,
            progress=_number(fields, "progress"),
            processed_leads=_count(fields, "processedLeads"),
            total_leads=_count(fields, "totalLeads"),
            found_emails=_count(fields, "foundEmails"),
        )

    def to_wire(self) -> dict[str, Any]:
        """The answer as the service gives it."""
        return {
            "jobId": self.job_id,
            "status": self.status,
            "progress": self.progress,
            "processedLeads": self.processed_leads,
            "totalLeads": self.total_leads,
            "foundEmails": self.found_emails,
        }


@dataclass(frozen=True, slots=True)
class Email:
    """One address found for a lead.

    Attributes:
        email: the address, as the service gave it.
        confidence: 0-1, or None where none was given.
        source: where it was found, such as ``website``, or None.
    """

    email: str
    confidence: float | None
    source: str | None

    @classmethod
    def from_wire(cls, data: object) -> Email:
        """Read one item of ``emails``; `WireError` where it does not fit."""
        fields = _object(data, "an email")
        confidence = None
        if fields.get("confidence") is not None:
            confidence = _number(fields, "confidence")
            if not 0.0 <= confidence <= 1.0:
                raise WireError("confidence is not between 0 and 1")
        source = None if fields.get("source") == "" else _optional_text(fields, "source")
        return cls(email=_text(fields, "email"), confidence=confidence, source=source)

    def to_wire(self) -> dict[str, Any]:
        """The item as the service gives it."""
        return {"email": self.email, "confidence": self.confidence, "source": self.source}


@dataclass(frozen=True, slots=True)
class LeadEnrichment:
    """What the service holds of one lead (``GET /api/v1/enrichment/lead/:leadId``).

    Attributes:
        lead_id: the lead.
        emails: the addresses found, in the service's order.
        enriched_at: when it was enriched, in UTC, or None where it has not been.
    """

    lead_id: str
    emails: tuple[Email, ...]
    enriched_at: datetime | None

    @classmethod
    def from_wire(cls, data: object) -> LeadEnrichment:
        """Read the service's answer; `WireError` where it does not fit."""
        fields = _object(data, "the lead")
        emails = fields.get("emails")
        if not isinstance(emails, list):
            raise WireError("emails is not a list")
        return cls(
            lead_id=_text(fields, "leadId"),
            emails=tuple(Email.from_wire(one) for one in emails),
            enriched_at=_timestamp(fields, "enrichedAt"),
        )

    def to_wire(self) -> dict[str, Any]:
        """The answer as the service gives it."""
        return {
            "leadId": self.lead_id,
            "emails": [one.to_wire() for one in self.emails],
            "enrichedAt": None if self.enriched_at is None else timestamp(self.enriched_at),
        }


def timestamp(moment: datetime) -> str:
    """A moment as the service writes it: ISO 8601, UTC, milliseconds, ``Z``."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _timestamp(data: Mapping[str, Any], name: str) -> datetime | None:
    text = _optional_text(data, name)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise WireError(f"{name} is not an ISO 8601 time") from None


@dataclass(frozen=True, slots=True)
class ActiveJob:
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

    @classmethod
    def from_wire(cls, data: object) -> ActiveJob:
        """Read one item of the list; `WireError` where it does not fit."""
        fields = _object(data, "a job")
        return cls(
            job_id=_text(fields, "jobId"),
            type=_text(fields, "type"),
            progress=None if fields.get("progress") is None else _number(fields, "progress"),
            lead_count=None if fields.get("leadCount") is None else _count(fields, "leadCount"),
            query=None if fields.get("query") in (None, "") else _text(fields, "query"),
        )

    @classmethod
    def list_from_wire(cls, data: object) -> list[ActiveJob]:
        """Read the service's answer; `WireError` where it does not fit."""
        if not isinstance(data, list):
            raise WireError("the jobs are not a list")
        return [cls.from_wire(one) for one in data]

    def to_wire(self) -> dict[str, Any]:
        """The item as the service gives it."""
        item: dict[str, Any] = {
            "jobId": self.job_id,
            "progress": self.progress,
            "leadCount": self.lead_count,
            "type": self.type,
        }
        if self.query is not None:
            item["query"] = self.query
        return item


@dataclass(frozen=True, slots=True)
class Balance:
    """The account's credits (``GET /api/v1/credits/balance``).

    Attributes:
        available_credits: what can be spent: monthly + bonus - used.
        monthly_credits: the plan's credits per month, or None where it is not said.
        bonus_credits: extra credits, or None.
        used_credits: spent since the last reset, or None.
        reset_day: day of the month on which the credits are reset, or None.
        last_reset_at: the last reset, in UTC, or None.
    """

    available_credits: int
    monthly_credits: int | None = None
    bonus_credits: int | None = None
    used_credits: int | None = None
    reset_day: int | None = None
    last_reset_at: datetime | None = None

    @classmethod
    def from_wire(cls, data: object) -> Balance:
        """Read the service's answer; `WireError` where it does not fit."""
        fields = _object(data, "the balance")

        def optional(name: str) -> int | None:
            return None if fields.get(name) is None else _integer(fields, name)

        return cls(
            available_credits=_integer(fields, "availableCredits"),
            monthly_credits=optional("monthlyCredits"),
            bonus_credits=optional("bonusCredits"),
            used_credits=optional("usedCredits"),
            reset_day=optional("resetDay"),
            last_reset_at=_timestamp(fields, "lastResetAt"),
        )

    def to_wire(self) -> dict[str, Any]:
        """The answer as the service gives it."""
        return {
            "monthlyCredits": self.monthly_credits,
            "bonusCredits": self.bonus_credits,
            "usedCredits": self.used_credits,
            "availableCredits": self.available_credits,
            "resetDay": self.reset_day,
            "lastResetAt": None if self.last_reset_at is None else timestamp(self.last_reset_at),
        }


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

STATUSES: tuple[LeadStatus, ...] = (
    "found",
    "not_found",
    "not_enriched",
    "unknown_lead",
    "failed",
)


class LeadResult(NamedTuple):
    """What is known of one lead at the end of a call.

    Attributes:
        status: one of `STATUSES`.
        emails: the addresses, in the service's order.
        enriched_at: when it was enriched, in microseconds since the epoch (UTC), or None.
    """

    status: LeadStatus
    emails: tuple[Email, ...] = ()
    enriched_at: int | None = None
