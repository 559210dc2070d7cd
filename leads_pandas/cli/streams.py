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

from leads_pandas.display import clean, is_coloured, painted, terminal_width, wrapped

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

PROGRAM = "leads-pandas"

_ERROR, _RED = "error:", "1;31"
_COMMAND = re.compile(rf"{PROGRAM} \w+ [\w-]+")


# The library's messages name its parameters; here they are options and commands. A parameter's name
# in quotes, or as a part of a file's name, is the user's own.
_NAMES = "max_credits|min_confidence|query_id|max_pages|requests_per_minute|site_timeout|user_agent"
_SPELLINGS: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r", or pass client=leads_pandas\.LeadsClient\(api_key=\.\.\.\)"), ""),
    (re.compile(r'leads_pandas\.resume\("([^"]+)"\)'), rf"{PROGRAM} resume \1"),
    (re.compile(r"leads_pandas\.(jobs|runs)\(\)"), rf"{PROGRAM} \1"),
    (re.compile(r"\bpartial=True\b"), "--partial"),
    (re.compile(r"\bon=…"), "--on COLUMN"),
    (re.compile(r"\brename=\{'(\w+)': …\}"), r"--rename \1=NAME"),
    (re.compile(r"\brename=\{…\}"), "--rename COLUMN=NAME"),
    (re.compile(r"\bmax_credits=(\d+)"), r"--max-credits \1"),
    (re.compile(r"\bon_conflict='(\w+)'"), r"--on-conflict \1"),
    (
        re.compile(rf"(?<![\w'/.-])({_NAMES})(?![\w'/.-])"),
        lambda name: "--" + name[1].replace("_", "-"),
    ),
    (
        re.compile(r"(?<![\w-])(concurrency|credits|port|rename|timeout) (?=must|knows|gives)"),
        r"--\1 ",
    ),
    (re.compile(r"\bcall without a path\b"), "leave out -o"),
    (re.compile(r"\bcall enrich on the frame\b"), "enrich the file"),
    (re.compile(r"\bno column or index level is\b"), "no column is"),
    (re.compile(r"\b([Tt]he) frame(?=['\s])"), r"\1 file"),
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
    except BrokenPipeError:
        leave()
    except OSError as error:
        leave()
        raise OSError(error.errno, error.strerror, "standard output") from None


def leave() -> None:
    """Let whoever reads standard output see its end; what Python still flushes goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def say(message: str) -> None:
    """Say something on standard error, under the program's name."""
    _tell(_line(message))


def complain(error: Exception) -> None:
    """Say in one line what went wrong."""
    if isinstance(error, OSError) and error.strerror:
        text = _spelt(error.strerror)
        if error.filename is not None:
            text = f"{error.filename}: {text}"
    else:
        text = _spelt(str(error), getattr(error, "run_id", None))
    label = painted(_ERROR, _RED, on=is_coloured(sys.stderr))
    _tell(_line(f"{_ERROR} {' '.join(text.splitlines())}").replace(_ERROR, label, 1))


def say_of_library(message: str) -> None:
    """Say what the library says, in the command line's words."""
    say(_spelt(message))


def _tell(line: str) -> None:
    # Where nobody reads standard error any more, there is nobody to be told.
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def _line(message: str) -> str:
    """A message under the program's name, on a terminal with breaks between its words."""
    text = clean(f"{PROGRAM}: {message}")
    width = terminal_width(sys.stderr)
    # A command is there to be copied, and stays in one piece.
    text = _COMMAND.sub(lambda command: command[0].replace(" ", "\0"), text)
    return wrapped(text, width).replace("\0", " ")


def _spelt(message: str, run_id: str | None = None) -> str:
    """A message of the library, in the command line's words."""
    for pattern, spelling in _SPELLINGS:
        message = pattern.sub(spelling, message)
    if run_id is not None:
        # What a command cannot do, Python can.
        run = f'leads_pandas.EnrichmentRun("{run_id}")'
        message = message.replace("then call error.run.", f"then call in Python {run}.")
        message = message.replace("error.run.", f"{run}.")
    return message


class _Messages(logging.Handler):
    """Shows the package's log on standard error, above a bar where there is one."""

    def filter(self, record: logging.LogRecord) -> bool:
        # What the local service does is told by the commands that start it.
        ours = record.levelno >= logging.WARNING or not record.name.endswith(".server")
        return ours and bool(super().filter(record))

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        with contextlib.suppress(OSError):  # a reader that has left must not end a paid run
            tqdm.write(_line(_spelt(record.getMessage())), file=sys.stderr)


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
