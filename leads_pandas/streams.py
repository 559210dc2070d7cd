"""The command line's two streams: answers on standard output, words on standard error.

What lives here: how text gets out, whatever the streams are or whoever has stopped reading them,
and how the library's own messages are put for someone who types commands.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from leads_pandas.display import clean, is_coloured, painted

if TYPE_CHECKING:
    from collections.abc import Generator

PROGRAM = "leads-pandas"

_RED = "1;31"

# The library's messages name its parameters; here they are options and commands.
_SPELLINGS = (
    (re.compile(r", or pass client=leads_pandas\.LeadsClient\(api_key=\.\.\.\)"), ""),
    (re.compile(r'leads_pandas\.resume\("([^"]+)"\)'), rf"{PROGRAM} resume \1"),
    (re.compile(r"leads_pandas\.(jobs|runs)\(\)"), rf"{PROGRAM} \1"),
    (re.compile(r"\bpartial=True\b"), "--partial"),
    (re.compile(r"\bon=…"), "--on COLUMN"),
    (re.compile(r"\brename=\{'(\w+)': …\}"), r"--rename \1=NAME"),
    (re.compile(r"\brename=\{…\}"), "--rename COLUMN=NAME"),
    (re.compile(r"\bmax_credits=(\d+)"), r"--max-credits \1"),
    (re.compile(r"\bon_conflict='(\w+)'"), r"--on-conflict \1"),
    (re.compile(r"\bmax_credits\b"), "--max-credits"),
    (re.compile(r"\bmin_confidence\b"), "--min-confidence"),
    (re.compile(r"\bquery_id\b"), "--query-id"),
)


def prepare() -> None:
    """Make every text printable, and have both streams where the caller closed one."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            nowhere = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for as long as we run
            setattr(sys, name, nowhere)
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def write(answer: str) -> None:
    """Put a command's answer on standard output; a reader that has gone has seen enough."""
    if not answer:
        return
    try:
        print(answer, flush=True)
    except OSError as error:
        leave()
        if not isinstance(error, BrokenPipeError):
            raise


def leave() -> None:
    """Let whoever reads standard output see its end; what Python still flushes goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def say(line: str) -> None:
    """Say something on standard error, under the program's name."""
    # Where nobody reads standard error any more, there is nobody to be told.
    with contextlib.suppress(OSError):
        print(f"{PROGRAM}: {line}", file=sys.stderr, flush=True)


def complain(error: Exception) -> None:
    """Say in one line what went wrong."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        text = f"{error.filename}: {error.strerror}"
    else:
        text = str(error)
    label = painted("error:", _RED, on=is_coloured(sys.stderr))
    say(f"{label} {_spelt(clean(' '.join(text.splitlines())))}")


def _spelt(message: str) -> str:
    """A message of the library, in the command line's own words."""
    for pattern, spelling in _SPELLINGS:
        message = pattern.sub(spelling, message)
    return message


class _Messages(logging.Handler):
    """Shows the package's log on standard error, above a bar where there is one."""

    def filter(self, record: logging.LogRecord) -> bool:
        # What the local service does is told by the commands that start it.
        ours = record.levelno >= logging.WARNING or not record.name.endswith(".server")
        return ours and bool(super().filter(record))

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        line = f"{PROGRAM}: {_spelt(clean(record.getMessage()))}"
        with contextlib.suppress(OSError):  # a reader that has left must not end a paid run
            tqdm.write(line, file=sys.stderr)


@contextlib.contextmanager
def messages_shown() -> Generator[None]:
    """Show the package's log on standard error for a while."""
    logger = logging.getLogger("leads_pandas")
    handler, level = _Messages(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
