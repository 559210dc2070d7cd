"""The errors that users see.

Nothing here does any work. Every error pickles, and none holds a key or an object of ``requests``::

    LeadsError
    ├── ConfigurationError (ValueError)         no key, or a base URL that would leak it
    ├── LeadIdError (ValueError)                the frame's lead IDs cannot be used
    ├── ColumnConflictError (ValueError)        the frame already has such a column
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
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from leads_pandas.enrichment import EnrichmentRun
    from leads_pandas.models import CostPreview


class LeadsError(Exception):
    """Base of every error of this package.

    Attributes:
        run: the `EnrichmentRun` that was under way, or None where nothing had been started.
        run_id: its id, or None.
    """

    run: EnrichmentRun | None = None
    run_id: str | None = None

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # Subclasses take keyword arguments, which Exception's own pickling forgets.
        return _rebuild, (type(self), self.message), self.__dict__


def _rebuild(kind: type[LeadsError], message: str) -> LeadsError:
    error = kind.__new__(kind, message)
    LeadsError.__init__(error, message)
    return error


class ConfigurationError(LeadsError, ValueError):
    """There is no API key, or the base URL would send it unprotected. Nothing was requested."""


class LeadIdError(LeadsError, ValueError):
    """The frame's lead IDs cannot be used. Nothing was started."""


class ColumnConflictError(LeadsError, ValueError):
    """The frame already has a column of a new column's name. Nothing was requested."""


class APIError(LeadsError):
    """The service refused a request.

    Attributes:
        status_code: the HTTP status; None where a preview, not an answer, was the reason.
        method: ``GET`` or ``POST``; empty where a preview was the reason.
        path: the path requested, without host and without key.
        message: what went wrong, with the service's own words where it gave any.
    """

    def __init__(
        self, message: str, *, status_code: int | None = None, method: str = "", path: str = ""
    ) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.method = method
        self.path = path


class AuthenticationError(APIError):
    """The service does not accept the key (401 or 403)."""


class NotFoundError(APIError):
    """The service does not know the lead or job (404)."""


class RateLimitError(APIError):
    """The service asks for a longer wait than the caller's patience (429).

    Attributes:
        retry_after: seconds the service asked to wait, or None where it did not say.
    """

    def __init__(
        self,
        message: str,
        *,
        status_code: int | None = 429,
        method: str = "",
        path: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, status_code=status_code, method=method, path=path)
        self.retry_after = retry_after


class ServerError(APIError):
    """The service kept failing (5xx) after the retries."""


class InsufficientCreditsError(APIError):
    """The balance does not cover the leads (402, or the preview says so).

    Attributes:
        preview: the `CostPreview` that showed the shortage, or None where the service refused.
    """

    def __init__(
        self,
        message: str,
        *,
        status_code: int | None = None,
        method: str = "",
        path: str = "",
        preview: CostPreview | None = None,
    ) -> None:
        super().__init__(message, status_code=status_code, method=method, path=path)
        self.preview = preview


class ResponseError(APIError):
    """The service's answer is outside its contract: not JSON, or a field that does not fit."""


class TransportError(LeadsError, ConnectionError):
    """No answer came from the service after the retries.

    Attributes:
        sent: False where the request surely never left this machine.
    """

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


class StoreError(LeadsError, OSError):
    """The store cannot be opened, trusted or written."""


class UnknownRunError(LeadsError, LookupError):
    """This store knows no such run or job."""


class CreditCapError(LeadsError):
    """The leads cost more than ``max_credits``. Nothing was spent beyond what is already reserved.

    Attributes:
        preview: the `CostPreview` that showed it.
    """

    def __init__(self, message: str, *, preview: CostPreview | None = None) -> None:
        super().__init__(message)
        self.preview = preview


class EnrichmentDeclined(LeadsError):  # noqa: N818 - a decision of the user's, not a fault
    """The cost was not confirmed. Nothing was spent.

    Attributes:
        preview: the `CostPreview` that was shown.
    """

    def __init__(self, message: str, *, preview: CostPreview | None = None) -> None:
        super().__init__(message)
        self.preview = preview


class StartOutcomeUnknown(LeadsError):  # noqa: N818 - the name is the public contract
    """A start got no answer, and the evidence does not settle whether it was charged.

    Calling the same line again looks again; ``.run.resolve(…)`` settles it by hand.
    """


class JobFailedError(LeadsError):
    """The job failed. What it found has been read and kept; the other leads are priced again."""


class JobTimeoutError(LeadsError, TimeoutError):
    """The wait ended before the run did. The job goes on and can be resumed."""
