"""The wire contract of LeadsAPI: frozen dataclasses to and from the service's JSON.

Client and local service share it, and it is the only place that knows the name of a wire field.
No I/O, no pandas.
"""

from __future__ import annotations

import functools
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    NamedTuple,
    Self,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from leads_pandas.display import card_html, card_text, duration, plural

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    Reader = Callable[[object], Any]

JobState = Literal["PENDING", "PROCESSING", "COMPLETED", "FAILED"]
Phase = Literal["starting", "enriching", "reading", "done", "failed", "unknown"]

_LARGEST = 2**63  # what SQLite can hold


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


# Readers: a field's value, checked; `_Wire` puts the field's name before the complaint.


def _whole(least: int, value: object) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise WireError("is not an integer")
    if not least <= value < _LARGEST:
        raise WireError("is out of range")
    return value


def _number(least: float, most: float, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise WireError("is not a number")
    if not least <= value <= most:  # infinity and NaN included
        raise WireError(f"is not between {least} and {most}")
    return float(value)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise WireError("is not a text")
    try:
        # JSON can spell half a surrogate pair, which neither SQLite nor Parquet can hold.
        value.encode()
    except UnicodeEncodeError:
        raise WireError("is not valid Unicode") from None
    return value


def _identifier(value: object) -> str:
    # Nothing says that the id of a transaction is a text.
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return _text(str(value) if is_number else value)


def _moment(value: object) -> datetime:
    try:
        moment = datetime.fromisoformat(_text(value))
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise WireError("is not an ISO 8601 time") from None


_count = functools.partial(_whole, 0)

# What a field's type does not say by itself.
_Signed = Annotated[int, functools.partial(_whole, 1 - _LARGEST)]
_Share = Annotated[float, functools.partial(_number, 0, 1)]
_Identifier = Annotated[str, _identifier]
_Ours = Annotated[float, None]  # not the service's

_READERS: dict[Any, Reader] = {
    int: _count,
    float: functools.partial(_number, -_LARGEST, _LARGEST),
    str: _text,
    datetime: _moment,
}


def _reader(hint: Any) -> Reader | None:
    """How a field of this type is read."""
    origin, kinds = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return cast("Reader | None", kinds[1])
    if origin is Literal:
        return functools.partial(_one_of, kinds)
    if origin is tuple:
        return lambda value: tuple(kinds[0].list_from_wire(value))
    if type(None) in kinds:
        read = _reader(kinds[0])
        return lambda value: None if value is None or value == "" or not read else read(value)
    return _READERS[hint]


def _one_of(words: tuple[str, ...], value: object) -> str:
    if _text(value) not in words:
        raise WireError(f"{str(value)[:40]!r} is not one of {', '.join(words)}")
    return str(value)


def _plain(value: object) -> object:
    """A value as JSON has it."""
    if isinstance(value, datetime):
        return timestamp(value)
    return [one.to_wire() for one in value] if isinstance(value, tuple) else value


def timestamp(moment: datetime) -> str:
    """A moment as the service writes it: ISO 8601, UTC, milliseconds, ``Z``."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@functools.cache
def _fields(kind: Hashable) -> tuple[tuple[str, str, Reader], ...]:
    """The one table of a class: of each field our name, the service's, and the reader."""
    table = []
    for own, hint in get_type_hints(kind, include_extras=True).items():
        first, *more = own.split("_")
        if read := _reader(hint):
            table.append((own, first + "".join(map(str.title, more)), read))
    return tuple(table)


class _Wire:
    """A dataclass that is an object of the service's, which writes ``lead_id`` as ``leadId``.

    A field's type says how it is read: a count, a text, a moment, or None where it may be missing.
    """

    __slots__ = ()

    @classmethod
    def from_wire(cls, data: object) -> Self:
        """Read what the service answered; `WireError` where it does not fit."""
        if not isinstance(data, dict):
            raise WireError("the data is not a JSON object")
        values = {}
        for own, name, read in _fields(cast("Hashable", cls)):
            try:
                values[own] = read(data.get(name))
            except WireError as fault:
                raise WireError(f"{name} {fault}") from None
        return cls(**values)

    @classmethod
    def list_from_wire(cls, data: object) -> list[Self]:
        """Read a list of them; `WireError` where it does not fit."""
        if not isinstance(data, list):
            raise WireError("the data is not a list")
        return [cls.from_wire(one) for one in data]

    def to_wire(self) -> dict[str, Any]:
        """The object as the service gives it."""
        return {
            name: _plain(getattr(self, own))
            for own, name, _ in _fields(cast("Hashable", type(self)))
        }


def selection(
    lead_ids: Sequence[str] | None, query_id: str | None, max_credits: int | None = None
) -> dict[str, Any]:
    """The body of a preview or a start.

    Raises:
        ValueError: not exactly one of ``lead_ids`` and ``query_id`` is given, or one is empty.
    """
    if (lead_ids is None) == (query_id is None):
        raise ValueError("give either lead_ids or query_id, and not both")
    if not lead_ids and not query_id:
        raise ValueError("lead_ids is empty" if query_id is None else "query_id is empty")
    body: dict[str, Any] = {"leadIds": list(lead_ids)} if lead_ids else {"queryId": query_id}
    return body if max_credits is None else body | {"maxCredits": max_credits}


def read_selection(body: object) -> tuple[list[str] | None, str | None, int | None]:
    """The service's side of `selection`: lead IDs, query ID, credit cap.

    Raises:
        WireError: the body names neither, both, or something of another type.
    """
    if not isinstance(body, dict):
        raise WireError("the body is not a JSON object")
    if ("leadIds" in body) == ("queryId" in body):
        raise WireError("Provide either queryId or leadIds, not both")
    ids, query, cap = body.get("leadIds"), body.get("queryId"), None
    named = ids if query is None else [query]
    if not isinstance(named, list) or not named:
        raise WireError("leadIds must be a non-empty list of strings")
    for one in named:
        _text(one)
    if "maxCredits" in body:
        cap = body["maxCredits"]
        # Any cap is one, however far above the balance.
        cap = _LARGEST if isinstance(cap, int) and cap >= _LARGEST else _count(cap)
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
    available_credits: _Signed
    estimated_seconds: _Ours = 0.0

    @property
    def affordable(self) -> bool:
        """Whether the balance covers the estimate."""
        return self.estimated_credits <= self.available_credits

    def _card(self) -> tuple[str, list[tuple[str, str]], str]:
        least = self.estimated_seconds
        most = least + self.to_enrich * _SLOW
        time = duration(least) if least >= 1 else "a moment"
        if most >= least + 1:  # how fast a job is, nobody says beforehand
            time = f"{time} to {duration(most)}"
        rows = [
            ("leads", f"{self.total_leads:,}"),
            ("already enriched", f"{self.already_enriched:,}"),
            ("to enrich", f"{self.to_enrich:,}"),
            ("estimated credits", f"{self.estimated_credits:,}"),
            ("available credits", f"{self.available_credits:,}"),
            ("time", time),
        ]
        short = plural(self.estimated_credits - self.available_credits, "credit")
        return "Enrichment cost", rows, "" if self.affordable else f"{short} short"

    def __str__(self) -> str:
        title, rows, note = self._card()
        return card_text(title, rows, note=note)

    def _repr_html_(self) -> str:
        title, rows, note = self._card()
        return card_html(title, rows, note=note)


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
    confidence: _Share | None
    source: str | None


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

    available_credits: _Signed
    monthly_credits: _Signed | None = None
    bonus_credits: _Signed | None = None
    used_credits: _Signed | None = None
    reset_day: _Signed | None = None
    last_reset_at: datetime | None = None


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

    id: _Identifier
    type: str
    amount: _Signed
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
    """What is known of one lead at the end of a call.

    Attributes:
        status: one of `STATUSES`.
        emails: the addresses, in the service's order.
        enriched_at: when it was enriched, in microseconds since the epoch (UTC), or None.
    """

    status: LeadStatus
    emails: tuple[Email, ...] = ()
    enriched_at: int | None = None
