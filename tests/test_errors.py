"""Errors are what a caller would catch, and survive a pickle whole."""

from __future__ import annotations

import pickle

import pytest

from leads_pandas import errors
from leads_pandas.models import CostPreview

PREVIEW = CostPreview(3, 1, 2, 2, 1)
EVERY = [
    errors.LeadsError("m"),
    errors.ConfigurationError("m"),
    errors.LeadIdError("m"),
    errors.ColumnConflictError("m"),
    errors.APIError("m", status_code=418, method="GET", path="/p"),
    errors.AuthenticationError("m", status_code=401, method="GET", path="/p"),
    errors.NotFoundError("m", status_code=404, method="GET", path="/p"),
    errors.RateLimitError("m", method="GET", path="/p", retry_after=3.5),
    errors.ServerError("m", status_code=500, method="GET", path="/p"),
    errors.InsufficientCreditsError("m", preview=PREVIEW),
    errors.ResponseError("m", status_code=200, method="GET", path="/p"),
    errors.TransportError("m", sent=False),
    errors.StoreError("m"),
    errors.UnknownRunError("m"),
    errors.CreditCapError("m", preview=PREVIEW),
    errors.EnrichmentDeclined("m", preview=PREVIEW),
    errors.StartOutcomeUnknown("m"),
    errors.JobFailedError("m"),
    errors.JobTimeoutError("m"),
]


@pytest.mark.parametrize("error", EVERY, ids=lambda error: type(error).__name__)
def test_it_pickles_whole(error: errors.LeadsError) -> None:
    error.run_id = "abc"
    error.message += "; and how to go on"
    twin = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(twin) is type(error)
    assert str(twin) == "m; and how to go on"
    assert vars(twin) == vars(error)


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (errors.ConfigurationError, ValueError),
        (errors.LeadIdError, ValueError),
        (errors.ColumnConflictError, ValueError),
        (errors.TransportError, ConnectionError),
        (errors.StoreError, OSError),
        (errors.UnknownRunError, LookupError),
        (errors.JobTimeoutError, TimeoutError),
    ],
)
def test_it_is_also_the_builtin_that_a_caller_would_catch(
    kind: type[errors.LeadsError], builtin: type[Exception]
) -> None:
    assert issubclass(kind, builtin)


def test_the_tree_in_the_docstring_names_every_error() -> None:
    names = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.LeadsError)
    }
    assert all(name in (errors.__doc__ or "") for name in names)
