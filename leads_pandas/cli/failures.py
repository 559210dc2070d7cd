"""What went wrong, in the command line's words, as JSON, and as an exit code.

What lives here: pure functions of an error. The one table of how the command line words the way on,
and the one table of what its exit codes mean.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from leads_pandas import errors

DONE, FAILED, MISUSED, RETRY, KEY, PRICE, DOUBT = range(7)
INTERRUPTED, TERMINATED = 130, 143

EXIT_CODES: Mapping[int, str] = {
    DONE: "done",
    FAILED: "an error that the same line meets again: one line says what to change",
    MISUSED: "wrong use: a command, an option or its value",
    RETRY: "no answer, a limit or the time is up: run the same line again later",
    KEY: "the key, its address or another variable is missing or not accepted",
    PRICE: "over the cap or the balance, or not agreed to; nothing more was spent",
    DOUBT: "a start may have been charged: run the same line again, or resolve",
    INTERRUPTED: "interrupted (Ctrl-C)",
    TERMINATED: "ended by SIGTERM",
}


class DeclinedError(errors.LeadsError):
    """Nobody said yes to what is not bought, but done for good."""


_KINDS: tuple[tuple[int, tuple[type[Exception], ...]], ...] = (
    (DOUBT, (errors.StartOutcomeUnknown,)),
    (KEY, (errors.ConfigurationError, errors.AuthenticationError)),
    (
        PRICE,
        (
            errors.CreditCapError,
            errors.InsufficientCreditsError,
            errors.EnrichmentDeclined,
            DeclinedError,
        ),
    ),
    (
        RETRY,
        (
            errors.TransportError,
            errors.RateLimitError,
            errors.ServerError,
            errors.JobTimeoutError,
            errors.JobFailedError,
        ),
    ),
)

# A command is there to be copied: between its words stand spaces that no line ends at.
_COMMANDS: Mapping[str, str] = {
    "account": "set LOCALLEADS_API_KEY and LEADS_PANDAS_ACCOUNT to that account's",
    "again": "run the same line again",
    "confirm": "pass --yes to agree beforehand",
    "do": "{what}",
    "enrich": "enrich the file",
    "fill": "pass --on-conflict\xa0fill to keep rows that are done",
    "jobs": "see leads-pandas\xa0jobs",
    "key": "set LOCALLEADS_API_KEY to a key of your account at https://leadsapi.postorbit.io "
    "(leads-pandas\xa0demo and leads-pandas\xa0serve need none)",
    "later": "run the same line again later",
    "name_emails": "name the one that holds them with --email\xa0COLUMN",
    "name_ids": "name the column that holds the lead IDs with --on\xa0COLUMN",
    "name_websites": "name the one that holds them with --website\xa0COLUMN",
    "no_file": "leave out -o",
    "no_query": "leave out --query-id to enrich the file's own IDs",
    "partial": "pass --partial to enrich what fits",
    "raise_cap": "raise --max-credits",
    "rename": "name it differently, --rename\xa0{column}=NAME",
    "replace": "pass --on-conflict\xa0replace to overwrite them",
    "resolve": "settle it with leads-pandas\xa0resolve\xa0{run}\xa0--job\xa0ID or "
    "leads-pandas\xa0resolve\xa0{run}\xa0--not-started",
    "resume": "go on with leads-pandas\xa0resume\xa0{run}",
    "runs": "leads-pandas\xa0runs lists the runs",
    "top_up": "top up",
}
DOOR = errors.Door("leads-pandas", _COMMANDS, shlex.quote)


def exit_code(error: BaseException) -> int:
    """The exit code that an error ends a command with."""
    again = any(way.action in ("again", "later") for way in getattr(error, "ways", ()))
    other = RETRY if again else FAILED
    return next((code for code, kinds in _KINDS if isinstance(error, kinds)), other)


def sentence(error: BaseException) -> str:
    """What went wrong, in one line."""
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    else:
        text = str(error)
    return " ".join(text.splitlines())


def as_data(error: BaseException, code: int, kind: str = "") -> dict[str, Any]:
    """What went wrong, for programs, as an error of its own kind or another."""
    message = sentence(error).replace("\xa0", " ")
    told = error if isinstance(error, errors.LeadsError) else errors.LeadsError(message)
    return {
        "error": {
            "type": kind or type(error).__name__,
            "message": message,
            "what": told.what,
            "meaning": told.meaning,
            "ways": [{"action": one.action, "arguments": {**one.arguments}} for one in told.ways],
            "run_id": told.run_id,
            "exit_code": code,
        }
    }
