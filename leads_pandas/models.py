"""The wire contract of LeadsAPI: frozen dataclasses to and from the service's JSON.

Client and local service share it, and it is the only place that knows the name of a wire field.
No I/O, no pandas.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Self, TypeVar

from leads_pandas.display import card_html, card_text, duration, plural

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

T = TypeVar("T")

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


# Readers: the value of a field, checked; the name is for the complaint.


def _whole(name: str, value: object) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise WireError(f"{name} is not an integer")
    return value


def _integer(name: str, value: object) -> int:
    value = _whole(name, value)
    if not -_LARGEST < value < _LARGEST:
        raise WireError(f"{name} is out of range")
    return value


def _count(name: str, value: object) -> int:
    value = _integer(name, value)
    if value < 0:
        raise WireError(f"{name} is negative")
    return value


def _text(name: str, value: object) -> str:
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


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise WireError(f"{name} is not a number")
    if not -_LARGEST < value < _LARGEST:  # infinity and NaN included
        raise WireError(f"{name} is out of range")
    return float(value)


def _share(name: str, value: object) -> float:
    value = _number(name, value)
    if not 0.0 <= value <= 1.0:
        raise WireError(f"{name} is not between 0 and 1")
    return value


def _moment(name: str, value: object) -> datetime:
    try:
        moment = datetime.fromisoformat(_text(name, value))
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise WireError(f"{name} is not an ISO 8601 time") from None


def _state(name: str, value: object) -> str:
    value = _text(name, value)
    if value not in JOB_STATES:
        raise WireError(f"{name} {value[:40]!r} is not one of {', '.join(JOB_STATES)}")
    return value


def _identifier(name: str, value: object) -> str:
    # Nothing says that the id of a transaction is a text.
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return _text(name, str(value) if is_number else value)


def _emails(name: str, value: object) -> tuple[Email, ...]:
    return tuple(Email.list_from_wire(value, name))


def _or_none(read: Callable[[str, object], T]) -> Callable[[str, object], T | None]:
    """A field that may be missing, null or empty."""
    return lambda name, value: None if value is None or value == "" else read(name, value)


def timestamp(moment: datetime) -> str:
    """A moment as the service writes it: ISO 8601, UTC, milliseconds, ``Z``."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain(value: object) -> object:
    """A value as JSON has it."""
    if isinstance(value, datetime):
        return timestamp(value)
    return [one.to_wire() for one in value] if isinstance(value, tuple) else value


class _Wire:
    """A dataclass that is an object of the service's; `WIRE` says how its fields are called there.

    Attributes:
        WIRE: of each field our name, the service's name, and the reader.
    """

    __slots__ = ()
    WIRE: ClassVar[tuple[tuple[str, str, Callable[[str, object], Any]], ...]] = ()

    @classmethod
    def from_wire(cls, data: object) -> Self:
        """Read what the service answered; `WireError` where it does not fit."""
        fields = _object(data, "the data")
        return cls(**{own: read(name, fields.get(name)) for own, name, read in cls.WIRE})

    @classmethod
    def list_from_wire(cls, data: object, what: str = "the data") -> list[Self]:
        """Read a list of them; `WireError` where it does not fit."""
        if not isinstance(data, list):
            raise WireError(f"{what} is not a list")
        return [cls.from_wire(one) for one in data]

    def to_wire(self) -> dict[str, Any]:
        """The object as the service gives it."""
        return {name: _plain(getattr(self, own)) for own, name, _ in self.WIRE}


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
    if ("leadIds" in data) == ("queryId" in data):
        raise WireError("Provide either queryId or leadIds, not both")
    ids, query, cap = data.get("leadIds"), None, None
    if "leadIds" in data and (
        not isinstance(ids, list)
        or not ids
        or not all(isinstance(one, str) and one and _encodable(one) for one in ids)
    ):
        raise WireError("leadIds must be a non-empty list of strings")
    if "queryId" in data:
        query = _text("queryId", data["queryId"])
    if "maxCredits" in data:
        cap = _whole(
            "maxCredits", data["maxCredits"]
        )  # any cap is one, however far above the balance
        if cap < 0:
            raise WireError("maxCredits is negative")
    return ids, query, cap


_SLOW = 1.0  # seconds that a slow job takes for a lead: the far end of a time that is shown


@dataclass(frozen=True, slots=True)
class CostPreview(_Wire):
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

    WIRE = (
        ("total_leads", "totalLeads", _count),
        ("already_enriched", "alreadyEnriched", _count),
        ("to_enrich", "toEnrich", _count),
        ("estimated_credits", "estimatedCredits", _count),
        ("available_credits", "availableCredits", _integer),
    )

    @property
    def affordable(self) -> bool:
        """Whether the balance covers the estimate."""
        return self.estimated_credits <= self.available_credits

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
        least = self.estimated_seconds
        most = least + self.to_enrich * _SLOW
        shortest = duration(least) if least >= 1 else "a moment"
        # How fast a job is, nobody says beforehand.
        return f"{shortest} to {duration(most)}" if most >= least + 1 else shortest

    def _note(self) -> str:
        if self.affordable:
            return ""
        return f"{plural(self.estimated_credits - self.available_credits, 'credit')} short"

    def __str__(self) -> str:
        return card_text("Enrichment cost", self._rows(), note=self._note())

    def _repr_html_(self) -> str:
        return card_html("Enrichment cost", self._rows(), note=self._note())


@dataclass(frozen=True, slots=True)
class StartedJob(_Wire):
    """The answer to a start (``POST /api/v1/enrichment/start``).

    Attributes:
        job_id: the job to poll.
        leads_queued: leads that the job will enrich.
        credits_reserved: credits taken from the balance.
    """

    job_id: str
    leads_queued: int
    credits_reserved: int

    WIRE = (
        ("job_id", "jobId", _text),
        ("leads_queued", "leadsQueued", _count),
        ("credits_reserved", "creditsReserved", _count),
    )


@dataclass(frozen=True, slots=True)
class JobStatus(_Wire):
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

    WIRE = (
        ("job_id", "jobId", _text),
        ("status", "status", _state),
        ("progress", "progress", _number),
        ("processed_leads", "processedLeads", _count),
        ("total_leads", "totalLeads", _count),
        ("found_emails", "foundEmails", _count),
    )

    @property
    def finished(self) -> bool:
        """Whether the job has come to its end, well or badly."""
        return self.status in ("COMPLETED", "FAILED")


@dataclass(frozen=True, slots=True)
class Email(_Wire):
    """One address found for a lead.

    Attributes:
        email: the address, as the service gave it.
        confidence: 0-1, or None where none was given.
        source: where it was found, such as ``website``, or None.
    """

    email: str
    confidence: float | None
    source: str | None

    WIRE = (
        ("email", "email", _text),
        ("confidence", "confidence", _or_none(_share)),
        ("source", "source", _or_none(_text)),
    )


@dataclass(frozen=True, slots=True)
class LeadEnrichment(_Wire):
    """What the service holds of one lead (``GET /api/v1/enrichment/lead/:leadId``).

    Attributes:
        lead_id: the lead.
        emails: the addresses found, in the service's order.
        enriched_at: when it was enriched, in UTC, or None where it has not been.
    """

    lead_id: str
    emails: tuple[Email, ...]
    enriched_at: datetime | None

    WIRE = (
        ("lead_id", "leadId", _text),
        ("emails", "emails", _emails),
        ("enriched_at", "enrichedAt", _or_none(_moment)),
    )


@dataclass(frozen=True, slots=True)
class ActiveJob(_Wire):
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

    WIRE = (
        ("job_id", "jobId", _text),
        ("progress", "progress", _or_none(_number)),
        ("lead_count", "leadCount", _or_none(_count)),
        ("type", "type", _text),
        ("query", "query", _or_none(_text)),
    )

    def to_wire(self) -> dict[str, Any]:
        """The item as the service gives it: with a query on searches only."""
        item = _Wire.to_wire(self)
        if self.query is None:
            del item["query"]
        return item


@dataclass(frozen=True, slots=True)
class Balance(_Wire):
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

    WIRE = (
        ("monthly_credits", "monthlyCredits", _or_none(_integer)),
        ("bonus_credits", "bonusCredits", _or_none(_integer)),
        ("used_credits", "usedCredits", _or_none(_integer)),
        ("available_credits", "availableCredits", _integer),
        ("reset_day", "resetDay", _or_none(_integer)),
        ("last_reset_at", "lastResetAt", _or_none(_moment)),
    )


@dataclass(frozen=True, slots=True)
class Transaction(_Wire):
    """One movement of the account's credits (``GET /api/v1/credits/transactions``).

    Attributes:
        id: the transaction.
        type: ``DEDUCTION``, ``MONTHLY_RESET``, or another word of the service's.
        amount: credits; negative when spent.
        description: what it was for, in the service's words, or None.
        created_at: when, in UTC, or None where it is not said.
    """

    id: str
    type: str
    amount: int
    description: str | None
    created_at: datetime | None

    WIRE = (
        ("id", "id", _identifier),
        ("type", "type", _text),
        ("amount", "amount", _integer),
        ("description", "description", _or_none(_text)),
        ("created_at", "createdAt", _or_none(_moment)),
    )


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
