"""One line of pandas that buys each lead's email once.

Importing this registers ``df.leads`` and does nothing else: no request, no file, and what costs
time to import waits until it is asked for. Every method of ``df.leads`` has a typed twin here.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from leads_pandas import accessor as _accessor  # registers df.leads
from leads_pandas.account import forget, jobs, resume, runs
from leads_pandas.functions import enrich, enrich_ids, features, preview, results, start, summary
from leads_pandas.websites import find, verify

if TYPE_CHECKING:
    import pyarrow as pa

    from leads_pandas.errors import (
        APIError,
        AuthenticationError,
        ColumnConflictError,
        ConfigurationError,
        CreditCapError,
        EnrichmentDeclined,
        InsufficientCreditsError,
        JobFailedError,
        JobTimeoutError,
        LeadIdError,
        LeadsError,
        LeadsWarning,
        NotFoundError,
        RateLimitError,
        ResponseError,
        ServerError,
        StartOutcomeUnknown,
        StoreError,
        TransportError,
        UnknownRunError,
    )
    from leads_pandas.frames.parquet import read_receipt
    from leads_pandas.leadsapi.client import LeadsClient, set_default_client
    from leads_pandas.models import (
        ActiveJob,
        Balance,
        CostPreview,
        Email,
        JobStatus,
        LeadEnrichment,
        RunStatus,
        StartedJob,
    )
    from leads_pandas.run import EnrichmentRun

    SCHEMA: pa.Schema
    __version__: str

__all__ = [  # noqa: RUF022 - plainly sorted, as users are told
    "APIError",
    "ActiveJob",
    "AuthenticationError",
    "Balance",
    "ColumnConflictError",
    "ConfigurationError",
    "CostPreview",
    "CreditCapError",
    "Email",
    "EnrichmentDeclined",
    "EnrichmentRun",
    "InsufficientCreditsError",
    "JobFailedError",
    "JobStatus",
    "JobTimeoutError",
    "LeadEnrichment",
    "LeadIdError",
    "LeadsClient",
    "LeadsError",
    "LeadsWarning",
    "NotFoundError",
    "RateLimitError",
    "ResponseError",
    "RunStatus",
    "SCHEMA",
    "ServerError",
    "StartOutcomeUnknown",
    "StartedJob",
    "StoreError",
    "TransportError",
    "UnknownRunError",
    "enrich",
    "enrich_ids",
    "features",
    "find",
    "forget",
    "jobs",
    "preview",
    "read_receipt",
    "results",
    "resume",
    "runs",
    "set_default_client",
    "start",
    "summary",
    "verify",
]

_HOMES = {
    "LeadsClient": "leadsapi.client",
    "set_default_client": "leadsapi.client",
    "read_receipt": "frames.parquet",
    "EnrichmentRun": "run",
}


def __getattr__(name: str) -> Any:
    if name == "errors":
        value = import_module("leads_pandas.errors")
    elif name == "SCHEMA":
        value = import_module("leads_pandas.frames.columns").SCHEMA
    elif name == "__version__":
        value = import_module("leads_pandas.home").version()
    elif name in __all__:
        errors = import_module("leads_pandas.errors")
        home = _HOMES.get(name) or ("errors" if hasattr(errors, name) else "models")
        value = getattr(import_module(f"leads_pandas.{home}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    # What people call; the errors are listed where they live.
    errors = vars(import_module("leads_pandas.errors"))
    return sorted({"errors", *__all__} - errors.keys())


# Who has set up no logging is not told on standard error what is meant for a log.
logging.getLogger(__name__).addHandler(logging.NullHandler())
del _accessor
