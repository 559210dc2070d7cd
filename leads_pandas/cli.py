"""The command line: files in, the public functions, Parquet out.

What lives here: arguments, reading the input, and how the answers look on a terminal or as JSON.
Nothing here asks the service or spends anything but through the public functions. What costs time
to import waits inside the commands.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import re
import shlex
import shutil
import signal
import sys
import tempfile
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from leads_pandas import files
from leads_pandas.arguments import PROGRAM, parse, server_options
from leads_pandas.display import card_text, clean, plural, text_width
from leads_pandas.errors import EnrichmentDeclined, LeadsError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
    from types import FrameType

    import pandas as pd

    from leads_pandas.server import LocalServer


_SETTINGS = ("LOCALLEADS_", "LEADS_PANDAS_")
_SERVED = ("website", "name", "query_id")  # what the local service is told beside the ID
_HEAD = 10  # rows of a result that are shown
_NARROWEST = 8  # columns of a terminal below which a cell says nothing
_COLOURS = {"found": "32", "unknown_lead": "33", "not_enriched": "33", "failed": "31"}
_BOLD, _RED = "1", "1;31"

_DONE, _FAILED, _INTERRUPTED = 0, 1, 130

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


class _Stopped(BaseException):
    """SIGINT or SIGTERM has come while something must be put away first.

    No KeyboardInterrupt: a run says on that one how it can be resumed, and what is put away here
    cannot.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments; None: those of the process.

    Returns:
        The exit code: 0 done, 1 an error (one line on standard error), 130 interrupted.

    Raises:
        SystemExit: wrong use (code 2), or help was asked for (code 0).
    """
    arguments = parse(argv)
    _prepare_streams()
    try:
        with _messages_shown():
            answer = _COMMANDS[arguments.command](arguments)
        _write(answer)
    except _Stopped as stopped:
        if stopped.number == signal.SIGTERM:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.raise_signal(signal.SIGTERM)
        _say("interrupted; nothing was spent, and nothing is left running")
        return _INTERRUPTED
    except KeyboardInterrupt:
        return _INTERRUPTED
    except (LeadsError, OSError, ValueError) as error:
        _complain(error)
        return _FAILED
    return _DONE


# What is said


def _prepare_streams() -> None:
    """Make every text printable, and have both streams where the caller closed one."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            nowhere = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for as long as we run
            setattr(sys, name, nowhere)
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _write(answer: str) -> None:
    """Put a command's answer on standard output; a reader that has gone has seen enough."""
    if not answer:
        return
    try:
        print(answer, flush=True)
    except OSError as error:
        _leave_standard_output()
        if not isinstance(error, BrokenPipeError):
            raise


def _leave_standard_output() -> None:
    """Let whoever reads standard output see its end; what Python still flushes goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _say(line: str) -> None:
    # Where nobody reads standard error any more, there is nobody to be told.
    with contextlib.suppress(OSError):
        print(f"{PROGRAM}: {line}", file=sys.stderr, flush=True)


def _complain(error: Exception) -> None:
    """Say in one line what went wrong."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        text = f"{error.filename}: {error.strerror}"
    else:
        text = str(error)
    label = _painted("error:", _RED, on=_is_coloured(sys.stderr))
    _say(f"{label} {_spelt(clean(' '.join(text.splitlines())))}")


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
def _messages_shown() -> Generator[None]:
    logger = logging.getLogger("leads_pandas")
    handler, level = _Messages(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)


def _is_coloured(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _painted(text: str, code: str | None, *, on: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if on and code else text


def _json(value: object) -> str:
    """A value as JSON, which escapes everything that a terminal could act on."""
    indent = 2 if sys.stdout.isatty() else None
    return json.dumps(value, indent=indent, allow_nan=False)


# Tables


@dataclass(slots=True)
class _Column:
    """One column of a table: its cells are plain text, made safe by `_table`.

    Attributes:
        title: its heading.
        cells: one text per row.
        right: numbers stand on the right.
        whole: never shortened, because it is there to be copied.
    """

    title: str
    cells: list[str]
    right: bool = False
    whole: bool = False


def _table(columns: Sequence[_Column], *, width: int | None, colour: bool) -> str:
    """Lay columns out side by side.

    Args:
        columns: the columns, all of one length.
        width: columns of the terminal; the widest cells are shortened to fit. None: no limit.
        colour: whether headings and statuses are painted.
    """
    texts = [[clean(text) for text in (one.title, *one.cells)] for one in columns]
    widths = [max(map(text_width, cells)) for cells in texts]
    if width is not None:
        _narrow(widths, [one.whole for one in columns], width)
    lines = []
    for row in range(len(texts[0])):
        parts = []
        for column, cells, room in zip(columns, texts, widths, strict=True):
            cell = _shortened(cells[row], room)
            blank = " " * (room - text_width(cell))
            cell = _painted(cell, _BOLD if row == 0 else _COLOURS.get(cell), on=colour)
            parts.append(blank + cell if column.right else cell + blank)
        lines.append("  ".join(parts).rstrip())
    return "\n".join(lines)


def _narrow(widths: list[int], whole: Sequence[bool], room: int) -> None:
    """Take from the widest columns, one place at a time, until the row fits or nothing gives."""
    free = room - 2 * (len(widths) - 1)
    giving = [n for n, fixed in enumerate(whole) if not fixed]
    while sum(widths) > free and giving:
        widest = max(giving, key=widths.__getitem__)
        if widths[widest] <= _NARROWEST:
            return
        widths[widest] -= 1


def _shortened(text: str, room: int) -> str:
    if text_width(text) <= room:
        return text
    while text_width(text) >= room:
        text = text[:-1]
    return text + "…"


def _table_on_stdout(columns: Sequence[_Column]) -> str:
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    return _table(columns, width=width, colour=_is_coloured(sys.stdout))


def _texts(values: Iterable[Any], form: Callable[[Any], str] = str) -> list[str]:
    """Cells of a table; missing values are blank."""
    return ["" if _is_missing(value) else form(value) for value in values]


def _is_missing(value: object) -> bool:
    # NaN, NaT and pd.NA are not equal to themselves; pd.NA does not even say so.
    return value is None or value != value or type(value).__name__ == "NAType"  # noqa: PLR0124


# Output


def _frame_answer(out: pd.DataFrame, arguments: argparse.Namespace) -> str:
    """What `enrich`, `results` and `resume` answer."""
    import leads_pandas

    summary = {str(name): _plain(value) for name, value in leads_pandas.summary(out).items()}
    if arguments.json:
        receipt = out.attrs["leads"]
        rows = _result_rows(out)
        return _json(
            {"path": arguments.output, "summary": summary, "receipt": receipt, "rows": rows}
        )
    parts = [card_text("Leads", _summary_rows(summary))]
    rows = _result_rows(out.iloc[:_HEAD])
    if rows:
        parts += ["", _result_table(rows)]
    if len(out) > _HEAD:
        place = (
            f"all are in {clean(arguments.output)}"
            if arguments.output
            else "-o OUT.parquet keeps them all"
        )
        parts.append(f"{plural(len(out) - _HEAD, 'more row')}; {place}")
    return "\n".join(parts)


def _plain(value: Any) -> Any:
    return None if _is_missing(value) else value


def _summary_rows(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Labels and values of the card; what is zero or cannot be said is left out."""
    forms: dict[str, Callable[[Any], str]] = {
        "rows": "{:,}".format,
        "hit_rate": "{:.0%}".format,
        "mean_confidence": "{:.2f}".format,
        "credits_per_email": "{:.2f}".format,
    }
    kept = {"rows", "leads", "found", "not_found", "credits_reserved"}
    return [
        (name.replace("_", " "), forms.get(name, "{:,}".format)(value))
        for name, value in summary.items()
        if value is not None and (value or name in kept)
    ]


def _result_rows(out: pd.DataFrame) -> list[dict[str, Any]]:
    """The IDs and the new columns of a result, as plain JSON values."""
    from leads_pandas.ids import lead_ids
    from leads_pandas.models import timestamp

    receipt = out.attrs["leads"]
    names: dict[str, str] = receipt["columns"]
    ids = lead_ids(out, receipt["on"]["name"])
    columns = {
        receipt["on"]["name"]: [ids.unique[code] if code >= 0 else None for code in ids.codes],
        **{name: list(map(_plain, out[name].tolist())) for name in names.values()},
    }
    time = names["enriched_at"]
    columns[time] = [
        None if value is None else timestamp(value.to_pydatetime()) for value in columns[time]
    ]
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]


def _result_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows without the time, which a terminal has no room for."""
    on, email, confidence, source, _, status = rows[0]
    return _table_on_stdout(
        [
            _Column(on, _texts(row[on] for row in rows)),
            _Column(email, _texts(row[email] for row in rows)),
            _Column(
                confidence, _texts((row[confidence] for row in rows), "{:.2f}".format), right=True
            ),
            _Column(source, _texts(row[source] for row in rows)),
            _Column(status, _texts(row[status] for row in rows), whole=True),
        ]
    )


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a small frame, as plain JSON values."""
    from leads_pandas.models import timestamp

    return [
        {
            str(name): timestamp(value) if hasattr(value, "isoformat") else _plain(value)
            for name, value in row.items()
        }
        for row in frame.astype(object).to_dict("records")
    ]


# The commands, each from its arguments to what belongs on standard output


def _preview(arguments: argparse.Namespace) -> str:
    import leads_pandas

    frame = files.read(arguments.file, arguments.on)
    preview = leads_pandas.preview(
        frame, on=arguments.on, query_id=arguments.query_id, refresh=arguments.refresh
    )
    if arguments.json:
        return _json({**asdict(preview), "affordable": preview.affordable})
    return str(preview)


def _enrich(arguments: argparse.Namespace) -> str:
    frame = files.read(arguments.file, arguments.on)
    if arguments.local:
        return _frame_answer(_enriched_locally(frame, arguments), arguments)
    # Whoever is asked must see the question as well.
    can_ask = sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()
    confirm = False if arguments.yes else can_ask or (lambda _: False)
    try:
        out = _enriched(frame, arguments, confirm=confirm)
    except EnrichmentDeclined as error:
        if can_ask or error.preview is None:
            raise
        price = plural(error.preview.estimated_credits, "credit")
        raise EnrichmentDeclined(
            f"this would cost {price}, and nobody can be asked here; nothing was started and "
            "nothing was spent: pass --yes to agree beforehand",
            preview=error.preview,
        ) from None
    return _frame_answer(out, arguments)


def _enriched(frame: pd.DataFrame, arguments: argparse.Namespace, **options: Any) -> pd.DataFrame:
    import leads_pandas

    return leads_pandas.enrich(
        frame,
        arguments.output,
        query_id=arguments.query_id,
        max_credits=arguments.max_credits,
        partial=arguments.partial,
        emails=arguments.emails,
        min_confidence=arguments.min_confidence,
        rename=dict(arguments.rename) or None,
        on_conflict=arguments.on_conflict,
        refresh=arguments.refresh,
        timeout=arguments.timeout,
        **({"on": arguments.on} | options),
    )


def _enriched_locally(frame: pd.DataFrame, arguments: argparse.Namespace) -> pd.DataFrame:
    """Enrich a frame by reading its websites: a service, a store and settings for this call alone.

    Raises:
        ValueError: there is no column ``website``.
        LeadIdError: the IDs cannot be used.
    """
    on = arguments.on
    if on is None and not {*frame.columns, *frame.index.names}.intersection(files.ID_COLUMNS):
        on = "lead_id"
        frame = frame.assign(lead_id=[f"row-{n}" for n in range(1, len(frame) + 1)])
    leads = _leads_of(frame, on)
    with (
        _stoppable(),
        _own_settings(),
        _server(
            leads,
            credits=len(leads),
            requests_per_minute=0,
            allow_private=arguments.allow_private,
        ) as server,
        server.client() as client,
    ):
        return _enriched(frame, arguments, on=on, client=client)


def _leads_of(frame: pd.DataFrame, on: str | None) -> list[dict[str, str]]:
    """The leads of a frame as the local service wants them, each once.

    Raises:
        ValueError: there is no column ``website``.
        LeadIdError: the IDs cannot be used.
    """
    from leads_pandas.ids import lead_ids

    if "website" not in frame.columns:
        raise ValueError(
            "the local service reads the leads' websites, and the file has no column called "
            f"'website'; it has {', '.join(repr(str(name)) for name in frame.columns)}"
        )
    ids = lead_ids(frame, on)
    leads = {one: {"lead_id": one, "website": ""} for one in ids.unique}
    for name in _SERVED:
        if name not in frame.columns:
            continue
        for code, value in zip(ids.codes.tolist(), frame[name].tolist(), strict=True):
            text = files.as_text(value)
            if code >= 0 and isinstance(text, str) and text.strip():
                lead = leads[ids.unique[code]]
                lead[name] = lead.get(name) or text.strip()
    return list(leads.values())


def _results(arguments: argparse.Namespace) -> str:
    import leads_pandas

    out = leads_pandas.results(
        files.read(arguments.file, arguments.on),
        arguments.output,
        on=arguments.on,
        emails=arguments.emails,
        min_confidence=arguments.min_confidence,
        rename=dict(arguments.rename) or None,
        on_conflict=arguments.on_conflict,
        refresh=arguments.refresh,
    )
    return _frame_answer(out, arguments)


def _resume(arguments: argparse.Namespace) -> str:
    import leads_pandas

    out = leads_pandas.resume(
        arguments.id,
        arguments.output,
        emails=arguments.emails,
        min_confidence=arguments.min_confidence,
        rename=dict(arguments.rename) or None,
        timeout=arguments.timeout,
    )
    return _frame_answer(out, arguments)


def _jobs(arguments: argparse.Namespace) -> str:
    import leads_pandas

    jobs = leads_pandas.jobs()
    if arguments.json:
        return _json(_records(jobs))
    if jobs.empty:
        return "no job is running"
    return _table_on_stdout(
        [
            _Column("job", _texts(jobs["job_id"]), whole=True),
            _Column("type", _texts(jobs["type"])),
            _Column("progress", _texts(jobs["progress"], "{:.0f} %".format), right=True),
            _Column("leads", _texts(jobs["lead_count"], "{:,}".format), right=True),
            _Column("query", _texts(jobs["query"])),
        ]
    )


def _runs(arguments: argparse.Namespace) -> str:
    import leads_pandas

    runs = leads_pandas.runs()
    if arguments.json:
        return _json(_records(runs))
    if runs.empty:
        return "no run yet"
    return _table_on_stdout(
        [
            _Column("run", _texts(runs["run_id"]), whole=True),
            _Column("started (UTC)", _texts(runs["started_at"].dt.strftime("%Y-%m-%d %H:%M"))),
            _Column("leads", _texts(runs["leads"], "{:,}".format), right=True),
            _Column("state", _texts(runs["state"]), whole=True),
            _Column("credits", _texts(runs["credits_reserved"], "{:,}".format), right=True),
            _Column("jobs", _texts(runs["job_ids"])),
        ]
    )


def _forget(arguments: argparse.Namespace) -> str:
    import leads_pandas

    what = (
        "every lead of this account"
        if arguments.everything
        else plural(len(set(arguments.leads)), "lead")
    )
    if not arguments.yes:
        _ask_to_forget(what)
    count = leads_pandas.forget(
        None if arguments.everything else arguments.leads, everything=arguments.everything
    )
    if arguments.json:
        return _json({"forgotten": count})
    return f"{plural(count, 'result')} erased"


def _ask_to_forget(what: str) -> None:
    """Ask before results are erased.

    Raises:
        LeadsError: they are to stay, or nobody can be asked.
    """
    if sys.stdin is None or not sys.stdin.isatty() or not sys.stderr.isatty():
        raise LeadsError("nobody can be asked here, so nothing was erased: pass --yes to agree")
    print(
        f"Forget {what}? What the store holds is erased for good, and\n"
        "reading it again costs a request each. Files that you wrote stay. [y/N] ",
        end="",
        file=sys.stderr,
        flush=True,
    )
    try:
        answer = sys.stdin.readline()
    except KeyboardInterrupt:
        print(file=sys.stderr)
        raise
    if answer.strip().lower() not in ("y", "yes"):
        raise LeadsError("not confirmed; nothing was erased")


def _serve(arguments: argparse.Namespace) -> str:
    leads = None
    if arguments.leads is not None:
        leads = _leads_of(files.read(arguments.leads, text=_SERVED), None)
    try:
        with _stoppable(), _server(leads, **server_options(arguments)) as server:
            _write(_variables(server, as_json=arguments.json))
            if not sys.stdout.isatty():
                # So that eval "$(leads-pandas serve ... &)" does not wait for the service's end.
                _leave_standard_output()
            what = "" if leads is None else f" {plural(len(leads), 'lead')}"
            _say(f"serving{what} at {server.base_url}; Ctrl-C ends it")
            server.wait()
    except _Stopped as stopped:
        if stopped.number != signal.SIGINT:
            raise
    return ""


def _variables(server: LocalServer, *, as_json: bool) -> str:
    variables = {"LOCALLEADS_BASE_URL": server.base_url, "LOCALLEADS_API_KEY": server.api_key}
    if as_json:
        return _json(variables)
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())


def _demo(arguments: argparse.Namespace) -> str:
    with _stoppable(), _extra_needed():
        from leads_pandas.server.demo import run_demo

        stream = sys.stderr if arguments.json else sys.stdout
        path = run_demo(Path(arguments.output), stream=stream)
    return _json({"path": str(path)}) if arguments.json else ""


_COMMANDS: dict[str, Callable[[argparse.Namespace], str]] = {
    "preview": _preview,
    "enrich": _enrich,
    "results": _results,
    "jobs": _jobs,
    "runs": _runs,
    "resume": _resume,
    "forget": _forget,
    "serve": _serve,
    "demo": _demo,
}


# What is put away at the end


@contextlib.contextmanager
def _stoppable() -> Generator[None]:
    """Turn SIGINT and SIGTERM into `_Stopped` for a while, but for one that is to be ignored."""
    before: dict[signal.Signals, Any] = {}

    def stop(number: int, _: FrameType | None) -> None:
        raise _Stopped(number)

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _own_settings() -> Generator[None]:
    """Hide the user's settings and store behind empty ones, which are gone at the end."""
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(_SETTINGS)}
    try:
        with tempfile.TemporaryDirectory(prefix=f"{PROGRAM}-") as folder:
            os.environ["LEADS_PANDAS_HOME"] = folder
            yield
    finally:
        os.environ.pop("LEADS_PANDAS_HOME", None)
        os.environ.update(hidden)


@contextlib.contextmanager
def _server(leads: list[dict[str, str]] | None, **options: Any) -> Generator[LocalServer]:
    """The local service, from here until the end of the block."""
    with _extra_needed():
        from leads_pandas.server import LocalServer

        server = LocalServer(leads, **options)
    with server:
        yield server


@contextlib.contextmanager
def _extra_needed() -> Generator[None]:
    """Name the extra where a package of the local service is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("", "leads_pandas"):
            raise
        raise LeadsError(
            f"the local service needs {error.name}, which is not installed: "
            'pip install "leads_pandas[server]"'
        ) from None
