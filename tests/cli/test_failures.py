"""What went wrong, as the command line words it, for people and for programs."""

from __future__ import annotations

import json
import re
from string import Formatter
from typing import TYPE_CHECKING

import pytest

from leads_pandas import errors
from leads_pandas.cli import failures
from leads_pandas.errors import Way
from tests.support.commands import commands, help_of

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLES = {"run": "4f3d", "column": "email", "what": "wait"}


@pytest.fixture(autouse=True)
def _door() -> Iterator[None]:
    with errors.at(failures.DOOR):
        yield


@pytest.mark.parametrize("action", errors.door().words)
def test_each_way_on_is_worded_in_what_can_be_typed(action: str) -> None:
    words = failures.DOOR.words[action]
    fields = {name for _, name, _, _ in Formatter().parse(words) if name}
    text = str(Way(action, {name: SAMPLES[name] for name in fields}))
    assert text
    assert not re.search(r"=True|_\w+=|leads_pandas\.\w+\(|\.run\.", text)
    for command, option in re.findall(r"leads-pandas\xa0(\w+)|(--[a-z-]+)", text):
        assert not command or command in commands()
        assert not option or any(option in help_of(name) for name in commands())


def test_an_error_is_one_line_of_its_parts() -> None:
    error = errors.CreditCapError(
        "2 leads would cost 2 credits, more than the cap of 1",
        "nothing was spent",
        Way("raise_cap"),
        Way("partial"),
    )
    assert failures.sentence(error) == (
        "2 leads would cost 2 credits, more than the cap of 1; nothing was spent: "
        "raise --max-credits, or pass --partial to enrich what fits"
    )


def test_what_is_to_be_copied_is_quoted_for_the_shell_and_never_broken() -> None:
    text = str(Way("resume", {"run": "a b"}))
    assert text == "go on with leads-pandas\xa0resume\xa0'a b'"
    assert str(Way("do", {"what": 'pip install "x[y]"'})) == 'pip install "x[y]"'


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(98, "Address already in use"), "Address already in use"),
        (FileNotFoundError(2, "No such file", "the frame.csv"), "the frame.csv: No such file"),
        (ValueError("one\ntwo"), "one two"),
        (errors.LeadsError("a sentence; and no more"), "a sentence; and no more"),
    ],
)
def test_every_error_is_one_line(error: Exception, text: str) -> None:
    assert failures.sentence(error) == text


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.LeadIdError("m"), 1),
        (errors.StoreError("m"), 1),
        (errors.ResponseError("m"), 1),
        (OSError("m"), 1),
        (errors.TransportError("m"), 3),
        (errors.RateLimitError("m"), 3),
        (errors.ServerError("m"), 3),
        (errors.JobTimeoutError("m"), 3),
        (errors.JobFailedError("m"), 3),
        (errors.ConfigurationError("m"), 4),
        (errors.AuthenticationError("m"), 4),
        (errors.CreditCapError("m"), 5),
        (errors.InsufficientCreditsError("m"), 5),
        (errors.EnrichmentDeclined("m"), 5),
        (errors.StartOutcomeUnknown("m"), 6),
    ],
)
def test_an_exit_code_tells_what_to_change_from_what_to_try_again(
    error: Exception, code: int
) -> None:
    assert failures.exit_code(error) == code
    assert re.search(rf"^  {code} +\w", help_of(""), re.MULTILINE)


def test_a_program_gets_the_parts() -> None:
    error = errors.JobTimeoutError("the time is up", "the job goes on", Way("again"))
    error.run_id = "4f3d"
    assert json.loads(json.dumps(failures.as_data(error, 3))) == {
        "error": {
            "type": "JobTimeoutError",
            "message": "the time is up; the job goes on: run the same line again",
            "what": "the time is up",
            "meaning": "the job goes on",
            "ways": [{"action": "again", "arguments": {}}],
            "run_id": "4f3d",
            "exit_code": 3,
        }
    }
    assert failures.as_data(ValueError("no"), 1)["error"]["what"] == "no"
