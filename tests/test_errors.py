"""Errors are what a caller would catch, and survive a pickle whole."""

from __future__ import annotations

import ast
import pickle
import shlex
from pathlib import Path
from string import Formatter

import pytest

from leads_pandas import errors
from leads_pandas.errors import Way
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
    error.meaning = "nothing is lost"
    error.ways += (Way("resume", {"run": "abc"}),)
    twin = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(twin) is type(error)
    assert str(twin) == 'm; nothing is lost: go on with leads_pandas.resume("abc")'
    assert vars(twin) == vars(error)


@pytest.mark.parametrize("kind", [type(error) for error in EVERY])
def test_its_parts_are_one_line_of_python(kind: type[errors.LeadsError]) -> None:
    error = kind("2 leads cost 2 credits", "nothing was spent", Way("raise_cap"), Way("partial"))
    assert error.message == str(error)
    assert str(error) == (
        "2 leads cost 2 credits; nothing was spent: raise max_credits, "
        "or pass partial=True to enrich what fits"
    )


def test_a_sentence_alone_is_left_as_it_is() -> None:
    assert str(errors.LeadsError("a {name}; and how to go on")) == "a {name}; and how to go on"


def test_a_door_words_the_ways_itself_for_as_long_as_somebody_stands_there() -> None:
    error = errors.LeadsError(
        "late", "", Way("resume", {"run": "4f 3d"}), Way("do", {"what": "x y"})
    )
    there = errors.Door("there", {"resume": "resume {run}", "do": "{what}"}, shlex.quote)
    with errors.at(there):
        assert str(error) == "late: resume '4f 3d', or x y"
        assert errors.door().name == "there"
    assert str(error) == 'late: go on with leads_pandas.resume("4f 3d"), or x y'


def test_what_an_error_has_no_place_for_is_refused() -> None:
    with pytest.raises(TypeError, match="LeadIdError has no attribute 'preview'"):
        errors.LeadIdError("m", preview=PREVIEW)


def test_every_raise_site_gives_the_arguments_that_the_words_take() -> None:
    calls = [
        node
        for path in Path(errors.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "Way"
    ]
    assert calls
    for call in calls:
        action = ast.literal_eval(call.args[0])
        given = call.args[1] if len(call.args) > 1 else ast.Dict([], [])
        assert isinstance(given, ast.Dict)
        names = {ast.literal_eval(key) for key in given.keys if key is not None}
        fields = Formatter().parse(errors.door().words[action])
        assert names == {name for _, name, _, _ in fields if name is not None}, ast.unparse(call)


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
