"""The errors that users see, and how Python words the ways on from them.

Nothing here does any work. Every error pickles, and none holds a key or an object of ``requests``::

    LeadsError
    ├── ConfigurationError (ValueError)         no key, or a base URL that would leak it
    ├── LeadIdError (ValueError)                the frame's lead IDs cannot be used
    ├── ColumnConflictError (ValueError)        there is such a column, or one would be lost
    ├── APIError                                the service said no
    │   ├── AuthenticationError                 401, 403
    │   ├── NotFoundError                       404
    │   ├── RateLimitError                      429, past patience
    │   ├── ServerError                         5xx, past patience
    │   ├── InsufficientCreditsError            402, or the preview says so
    │   └── ResponseError                       an answer outside the contract
    ├── TransportError (ConnectionError)        no answer after the retries
    ├── StoreError (OSError)                    the store cannot be opened, trusted or written
    ├── UnknownRunError (LookupError)           no such run or job in this store
    ├── CreditCapError                          over max_credits; nothing was spent
    ├── EnrichmentDeclined                      not confirmed; nothing was spent
    ├── StartOutcomeUnknown                     a start got no answer; nobody can tell
    ├── JobFailedError                          the job failed; what it found is kept
    └── JobTimeoutError (TimeoutError)          the wait ended; the job goes on

A raise site gives a message by its parts, in words that name neither parameters nor options: what
happened, what it means for money and data, and the ways on as data, worded in the terms of the door
that the user stands at (Python, the command line), or in plain words that hold everywhere::

    raise CreditCapError(
        "2 leads would cost 2 credits, more than the cap of 1",
        "nothing was spent",
        Way("raise_cap"),
        Way("partial"),
        preview=preview,
    )

What is learnt of an error on its way is added to its parts: ``error.ways += (Way("again"),)``.
Where there is nothing to say beyond one sentence, the sentence alone will do.
"""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from leads_pandas.tracebacks import rendered

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from leads_pandas.models import CostPreview
    from leads_pandas.run import EnrichmentRun


class Door(NamedTuple):
    """Where a user stands."""

    name: str  # of the program, which begins what it says by itself
    words: Mapping[str, str]  # how each way on is worded there, with the names of its arguments
    quoted: Callable[[str], str]  # writes an argument that is to be typed there


_PYTHON_WORDS: Mapping[str, str] = {
    "account": "set that account's client with leads_pandas.set_default_client",
    "again": "call the same line again",
    "confirm": "leave confirm out, or pass a function that decides",
    "do": "{what}",
    "enrich": "call enrich on the frame",
    "fill": "pass on_conflict='fill' to keep rows that are done",
    "jobs": "see leads_pandas.jobs()",
    "key": "set LOCALLEADS_API_KEY to a key of your account at https://leadsapi.postorbit.io, or "
    "pass client=leads_pandas.LeadsClient(api_key=...) (df.leads.find and leads_pandas.server need "
    "none)",
    "later": "call the same line again later",
    "name_emails": "name the one that holds them with email=…",
    "name_ids": "name the one that holds the lead IDs with on=…",
    "name_websites": "name the one that holds them with website=…",
    "no_file": "call without a path",
    "no_query": "leave query_id out to enrich the frame's own IDs",
    "partial": "pass partial=True to enrich what fits",
    "raise_cap": "raise max_credits",
    "rename": "name it differently, rename={{'{column}': …}}",
    "replace": "pass on_conflict='replace' to overwrite them",
    "resolve": "settle run {run} with error.run.resolve(job_id=…) or "
    "error.run.resolve(not_started=True)",
    "resume": 'go on with leads_pandas.resume("{run}")',
    "runs": "leads_pandas.runs() lists the runs",
    "top_up": "top up",
}
_PYTHON = Door("leads_pandas", _PYTHON_WORDS, str)
_door: ContextVar[Door] = ContextVar("door")


def door() -> Door:
    """The door that the user stands at."""
    return _door.get(_PYTHON)


@contextlib.contextmanager
def at(place: Door) -> Generator[None]:
    """Word everything for one door for a while."""
    before = _door.set(place)
    try:
        yield
    finally:
        _door.reset(before)


@dataclass(frozen=True, slots=True)
class Way:
    """One way on from an error.

    Attributes:
        action: what to do; each door has words for it.
        arguments: with what, under the names that the words of each door use; ``what`` is words.
    """

    action: str
    arguments: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """The way on in the words of the door."""
        typed = {
            name: text if name == "what" else door().quoted(text)
            for name, text in self.arguments.items()
        }
        return door().words[self.action].format_map(typed)


class LeadsWarning(UserWarning):
    """What may be a mistake and stops nothing; a program can make an error of it."""


class LeadsError(Exception):
    """Base of every error of this package.

    Attributes:
        what: what happened.
        meaning: what that means for money and data; empty where ``what`` says it all.
        ways: the ways on, the best first.
        run: the `EnrichmentRun` that was under way, or None where nothing had been started.
        run_id: its id, or None.
    """

    run: EnrichmentRun | None = None
    run_id: str | None = None

    def __init__(self, what: str, meaning: str = "", *ways: Way | str, **facts: Any) -> None:
        super().__init__(what)
        self.what = what
        self.meaning = meaning
        self.ways = tuple(Way("do", {"what": one}) if isinstance(one, str) else one for one in ways)
        if unknown := [name for name in facts if not hasattr(type(self), name)]:
            raise TypeError(f"{type(self).__name__} has no attribute {unknown[0]!r}")
        vars(self).update(facts)

    @property
    def message(self) -> str:
        """All of it in one line, in the words of the door."""
        text = f"{self.what}; {self.meaning}" if self.meaning else self.what
        return f"{text}: {', or '.join(map(str, self.ways))}" if self.ways else text

    def __str__(self) -> str:
        return self.message

    def _render_traceback_(self) -> list[str]:
        return rendered(self)

    def __reduce__(self) -> tuple[Any, ...]:
        # Exception's own pickling forgets what is given by keyword.
        return _rebuild, (type(self), self.what), self.__dict__


def _rebuild(kind: type[LeadsError], what: str) -> LeadsError:
    error = kind.__new__(kind, what)
    LeadsError.__init__(error, what)
    return error


class ConfigurationError(LeadsError, ValueError):
    """There is no API key, or the base URL would send it unprotected. Nothing was requested."""


class LeadIdError(LeadsError, ValueError):
    """The frame's lead IDs cannot be used. Nothing was started."""


class ColumnConflictError(LeadsError, ValueError):
    """A column is in the way of a new one, or would be lost. Nothing was requested."""


class APIError(LeadsError):
    """The service refused a request; ``message`` has the service's own words where it gave any.

    Attributes:
        status_code: the HTTP status; None where a preview, not an answer, was the reason.
        method: ``GET`` or ``POST``; empty where a preview was the reason.
        path: the path requested, without host and without key.
        worded: whether the answer has an error in the service's form; a proxy's has none.
    """

    status_code: int | None = None
    method: str = ""
    path: str = ""
    worded: bool = False


class AuthenticationError(APIError):
    """The service does not accept the key (401 or 403)."""


class NotFoundError(APIError):
    """The service does not know the lead or job (404)."""


class RateLimitError(APIError):
    """The service asks for a longer wait than the caller's patience (429).

    Attributes:
        retry_after: seconds the service asked to wait, or None where it did not say.
    """

    status_code = 429
    retry_after: float | None = None


class ServerError(APIError):
    """The service kept failing (5xx) after the retries."""


class InsufficientCreditsError(APIError):
    """The balance does not cover the leads (402, or the preview says so).

    Attributes:
        preview: the `CostPreview` that showed the shortage, or None where the service refused.
    """

    preview: CostPreview | None = None


class ResponseError(APIError):
    """The service's answer is outside its contract: not JSON, or a field that does not fit."""


class TransportError(LeadsError, ConnectionError):
    """No answer came from the service after the retries.

    Attributes:
        sent: False where the request surely never left this machine.
    """

    sent: bool = True


class StoreError(LeadsError, OSError):
    """The store cannot be opened, trusted or written."""


class UnknownRunError(LeadsError, LookupError):
    """This store knows no such run or job."""


class CreditCapError(LeadsError):
    """The leads cost more than ``max_credits``. Nothing was spent beyond what is already reserved.

    Attributes:
        preview: the `CostPreview` that showed it.
    """

    preview: CostPreview | None = None


class EnrichmentDeclined(LeadsError):  # noqa: N818 - a decision of the user's, not a fault
    """The cost was not confirmed. Nothing was spent.

    Attributes:
        preview: the `CostPreview` that was shown.
    """

    preview: CostPreview | None = None


class StartOutcomeUnknown(LeadsError):  # noqa: N818 - the name is the public contract
    """A start got no answer, and the evidence does not settle whether it was charged.

    Calling the same line again looks again; ``.run.resolve(…)`` settles it by hand.
    """


class JobFailedError(LeadsError):
    """The job failed. What it found has been read and kept; the other leads are priced again."""


class JobTimeoutError(LeadsError, TimeoutError):
    """The wait ended before the run did. The job goes on and can be resumed."""


@contextlib.contextmanager
def of_extra(name: str, what: str) -> Generator[None]:
    """Name the extra where one of its packages is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in ("", "leads_pandas"):
            raise
        raise ModuleNotFoundError(
            f'{what} needs the package {missing}: pip install "leads_pandas[{name}]"',
            name=error.name,
        ) from None
