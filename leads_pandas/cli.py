"""The command line: files in, the public functions, Parquet out.

What lives here: arguments, reading the input, and how the answers look on a terminal or as JSON.
Nothing here asks the service or spends anything but through the public functions. What costs time
to import waits inside the commands.
"""

from __future__ import annotations

import argparse
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
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO

from leads_pandas.display import card_text, clean, plural, text_width
from leads_pandas.errors import EnrichmentDeclined, LeadsError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
    from types import FrameType

    import pandas as pd

    from leads_pandas.server import LocalServer

    _Commands = argparse._SubParsersAction["_Parser"]  # noqa: SLF001 - it has no other name

_PROGRAM = "leads-pandas"
_ID_COLUMNS = ("lead_id", "leadId", "id")
_SETTINGS = ("LOCALLEADS_", "LEADS_PANDAS_")
_SERVER_OPTIONS = (
    "db",
    "port",
    "host",
    "credits",
    "requests_per_minute",
    "allow_private",
    "max_pages",
    "timeout",
    "site_timeout",
    "concurrency",
    "user_agent",
    "nameservers",
)
_SERVED = ("website", "name", "query_id")  # what the local service is told beside the ID
_HEAD = 10  # rows of a result that are shown
_NARROWEST = 8  # columns of a terminal below which a cell says nothing
_COLOURS = {"found": "32", "unknown_lead": "33", "not_enriched": "33", "failed": "31"}
_BOLD, _RED = "1", "1;31"

_DONE, _FAILED, _INTERRUPTED = 0, 1, 130

# The library's messages name its parameters; here they are options and commands.
_SPELLINGS = (
    (re.compile(r", or pass client=leads_pandas\.LeadsClient\(api_key=\.\.\.\)"), ""),
    (re.compile(r'leads_pandas\.resume\("([^"]+)"\)'), rf"{_PROGRAM} resume \1"),
    (re.compile(r"leads_pandas\.(jobs|runs)\(\)"), rf"{_PROGRAM} \1"),
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


class _MisuseError(Exception):
    """The command was called in a way that it does not have."""


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
    arguments = _parser().parse_args(argv)
    _prepare_streams()
    try:
        with _messages_shown():
            answer = arguments.run(arguments)
        _write(answer)
    except _MisuseError as error:
        arguments.parser.error(str(error))
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
        print(f"{_PROGRAM}: {line}", file=sys.stderr, flush=True)


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

        line = f"{_PROGRAM}: {_spelt(clean(record.getMessage()))}"
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


# Input


def _read(name: str, on: str | None = None, text: Sequence[str] = ()) -> pd.DataFrame:
    """Read a file of leads by its suffix; ``-`` is CSV on standard input.

    Args:
        name: the file.
        on: column of the lead IDs; None: ``lead_id``, ``leadId`` or ``id``. It is kept as it
            stands in the file, so that 007 stays 007.
        text: further columns to keep as they stand.

    Raises:
        _MisuseError: the suffix is none that can be read.
        OSError: the file cannot be opened.
        ValueError: its content cannot be read.
    """
    suffix = ".csv" if name == "-" else Path(name).suffix.lower()
    reader = _READERS.get(suffix)
    if reader is None:
        raise _MisuseError(
            f"{clean(name)} is of no kind that can be read: name a file that ends in "
            f"{', '.join(_READERS)}, or - for CSV on standard input"
        )
    import pyarrow as pa

    where = "standard input" if name == "-" else name
    try:
        if name == "-":
            return reader(sys.stdin.buffer, on, text)
        with Path(name).open("rb") as source:
            return reader(source, on, text)
    except (ValueError, RecursionError, pa.ArrowException) as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        if isinstance(error, UnicodeDecodeError):
            reason = "it is not UTF-8 text"
        elif isinstance(error, UnicodeEncodeError):
            reason = "it holds half a Unicode character"
        raise ValueError(
            f"{where} cannot be read as {suffix[1:].upper()}: {reason}; nothing was requested"
        ) from None


def _id_column(columns: Sequence[object], on: str | None) -> str | None:
    """The column of the lead IDs, where there is one."""
    return next((one for one in ((on,) if on else _ID_COLUMNS) if one in columns), None)


def _read_csv(source: BinaryIO, on: str | None, text: Sequence[str]) -> pd.DataFrame:
    return _read_separated(source, ",", on, text)


def _read_tsv(source: BinaryIO, on: str | None, text: Sequence[str]) -> pd.DataFrame:
    return _read_separated(source, "\t", on, text)


def _read_separated(
    source: BinaryIO, separator: str, on: str | None, text: Sequence[str]
) -> pd.DataFrame:
    import pandas as pd

    if not source.seekable():
        source = io.BytesIO(source.read())
    begin = source.tell()

    def parse(**options: Any) -> pd.DataFrame:
        source.seek(begin)
        frame: pd.DataFrame = pd.read_csv(source, sep=separator, **options)
        return frame

    # The header as it stands: pandas would number a second column of the same name.
    first = parse(header=None, nrows=1, dtype=str, keep_default_na=False)
    header: list[str] = first.iloc[0].tolist()
    column = _id_column(header, on)
    kept = [name for name in dict.fromkeys((column, *text)) if name in header]
    for name in kept:
        if header.count(name) > 1:
            raise ValueError(f"{header.count(name)} columns are called {name!r}; rename the others")
    frame = parse(dtype=dict.fromkeys(kept, str), low_memory=False)
    if not isinstance(frame.index, pd.RangeIndex):
        # pandas would shift every cell by one column, and the wrong IDs would be paid for.
        raise ValueError("its rows have more cells than its header has names")  # noqa: TRY004 - a file's content
    if kept:
        # On their own, because there "NA" and "null" are texts, and only a blank is missing.
        plain = parse(
            usecols=[header.index(name) for name in kept],
            dtype=str,
            keep_default_na=False,
            na_values=[""],
        )
        frame = frame.assign(**{name: plain[name] for name in kept})
    return frame


def _read_jsonl(source: BinaryIO, on: str | None, text: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    rows = []
    for number, raw in enumerate(source, start=1):
        line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"line {number} is not JSON ({error.msg})") from None
        if not isinstance(row, dict):
            raise ValueError(f"line {number} is not a JSON object")  # noqa: TRY004 - a file's content
        rows.append(row)
    names = list(dict.fromkeys(name for row in rows for name in row))
    column = _id_column(names, on)
    kept = {name for name in (column, *text) if name in names}
    # pandas would make floats of whole numbers beside a missing one; as text they stay whole.
    cells = {
        name: [_as_text(row.get(name)) if name in kept else row.get(name) for row in rows]
        for name in names
    }
    return pd.DataFrame(cells, columns=names)


def _as_text(value: object) -> object:
    """A whole number as text; all else as it is."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53:
        value = int(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _read_parquet(source: BinaryIO, on: str | None, text: Sequence[str]) -> pd.DataFrame:  # noqa: ARG001 - Parquet is typed
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    # By path: pyarrow has been seen to crash at exit over an open file object.
    path = source.name
    frame = pd.read_parquet(path)
    column = _id_column(list(frame.columns), on)
    if column is not None and getattr(frame[column].dtype, "kind", "") == "f":
        # pandas makes floats of whole numbers with a missing one among them, which skips some.
        values = pq.read_table(path, columns=[column]).column(column)
        if pa.types.is_integer(values.type):
            exact = pd.array(
                values.to_pylist(), dtype="UInt64" if _is_unsigned(values) else "Int64"
            )
            frame = frame.assign(**{column: exact})
    return frame


def _is_unsigned(values: Any) -> bool:
    return str(values.type).startswith("uint")


_READERS: dict[str, Callable[[BinaryIO, str | None, Sequence[str]], pd.DataFrame]] = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".parquet": _read_parquet,
    ".jsonl": _read_jsonl,
}


def _check_output(path: str | None) -> None:
    """Refuse to write Parquet under a name that says something else."""
    suffix = Path(path or "").suffix.lower()
    if suffix in _READERS and suffix != ".parquet":
        raise _MisuseError(
            f"the output is a Parquet file: call it OUT.parquet, not {clean(str(path))}"
        )


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

    frame = _read(arguments.file, arguments.on)
    preview = leads_pandas.preview(
        frame, on=arguments.on, query_id=arguments.query_id, refresh=arguments.refresh
    )
    if arguments.json:
        return _json({**asdict(preview), "affordable": preview.affordable})
    return str(preview)


def _enrich(arguments: argparse.Namespace) -> str:
    if arguments.allow_private and not arguments.local:
        raise _MisuseError("--allow-private goes with --local")
    _check_output(arguments.output)
    frame = _read(arguments.file, arguments.on)
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
    if on is None and not {*frame.columns, *frame.index.names}.intersection(_ID_COLUMNS):
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
            text = _as_text(value)
            if code >= 0 and isinstance(text, str) and text.strip():
                lead = leads[ids.unique[code]]
                lead[name] = lead.get(name) or text.strip()
    return list(leads.values())


def _results(arguments: argparse.Namespace) -> str:
    import leads_pandas

    _check_output(arguments.output)
    out = leads_pandas.results(
        _read(arguments.file, arguments.on),
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

    _check_output(arguments.output)
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

    if bool(arguments.leads) == arguments.everything:
        raise _MisuseError("name the leads to forget, or pass --everything")
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
    if arguments.leads is None and not hasattr(arguments, "db"):
        raise _MisuseError("name the leads with --leads, or a --db that has them")
    leads = None
    if arguments.leads is not None:
        leads = _leads_of(_read(arguments.leads, text=_SERVED), None)
    try:
        with _stoppable(), _server(leads, **_given(arguments, _SERVER_OPTIONS)) as server:
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


def _given(arguments: argparse.Namespace, names: Iterable[str]) -> dict[str, Any]:
    """Those of these options that were given; the others have the service's own defaults."""
    return {name: getattr(arguments, name) for name in names if hasattr(arguments, name)}


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
        with tempfile.TemporaryDirectory(prefix=f"{_PROGRAM}-") as folder:
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


# The arguments

_EPILOG = """\
environment:
  LOCALLEADS_API_KEY              the key of your account
  LOCALLEADS_BASE_URL             another service, such as the local one
  LOCALLEADS_REQUESTS_PER_MINUTE  request budget (100; 0: no limit)
  LEADS_PANDAS_HOME               folder of the store
  LEADS_PANDAS_ACCOUNT            name of the account in the store

exit code:
  0 done, 1 an error (one line says which), 2 wrong use, 130 interrupted

examples:
  leads-pandas demo
  leads-pandas preview leads.csv
  leads-pandas enrich leads.csv -o enriched.parquet --max-credits 50
"""

_FILE = "leads as .csv, .tsv, .parquet or .jsonl; - is CSV on standard input"


class _Parser(argparse.ArgumentParser):
    """A parser of one command: options are spelt out, examples keep their lines."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **options,
        )
        self.set_defaults(parser=self)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=_PROGRAM,
        description="Buy each lead's email once, from files of leads, and keep it as Parquet.",
        epilog=_EPILOG,
    )
    parser.add_argument("--version", action=_Version, help="show the version and exit")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)
    _add_preview(commands)
    _add_enrich(commands)
    _add_results(commands)
    _add_jobs(commands)
    _add_runs(commands)
    _add_resume(commands)
    _add_forget(commands)
    _add_serve(commands)
    _add_demo(commands)
    return parser


class _Version(argparse.Action):
    """Shows the version, which is looked up only then."""

    def __init__(self, **options: Any) -> None:
        super().__init__(nargs=0, **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"{_PROGRAM} {version('leads_pandas')}")
        parser.exit()


def _add(
    commands: _Commands,
    name: str,
    run: Callable[[argparse.Namespace], str],
    words: str,
    *,
    more: str = "",
    examples: Sequence[str],
) -> argparse.ArgumentParser:
    """Add a command with its help: what it does, and examples that work as they stand."""
    lines = "\n".join(f"  {one}" for one in examples)
    parser = commands.add_parser(
        name,
        help=words,
        description=f"{words[0].upper()}{words[1:]}.{more}",
        epilog=f"{'example' if len(examples) == 1 else 'examples'}:\n{lines}\n",
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "--json", action="store_true", help="answer as JSON on standard output, for programs"
    )
    return parser


def _add_preview(commands: _Commands) -> None:
    parser = _add(
        commands,
        "preview",
        _preview,
        "show what enriching the leads would cost; nothing is spent",
        examples=(
            "leads-pandas preview leads.csv",
            "leads-pandas preview leads.jsonl --json",
            "cat leads.csv | leads-pandas preview -",
        ),
    )
    _add_input(parser)
    parser.add_argument("--query-id", metavar="ID", help="price the leads of this search instead")
    _add_refresh(parser)


def _add_enrich(commands: _Commands) -> None:
    parser = _add(
        commands,
        "enrich",
        _enrich,
        "buy the email of each lead once, and write the leads with it",
        more="\n\nIt asks before credits are spent. Calling it again goes on where it stopped and\n"
        "buys nothing twice.",
        examples=(
            "leads-pandas enrich leads.csv -o enriched.parquet --max-credits 50",
            "leads-pandas enrich leads.parquet -o enriched.parquet --partial --yes",
            "leads-pandas enrich leads.tsv -o out.parquet --yes --rename email=work_email",
            "leads-pandas enrich leads.csv -o enriched.parquet --local",
        ),
    )
    _add_input(parser)
    _add_output(parser)
    parser.add_argument(
        "--query-id", metavar="ID", help="start this search, whose leads the file holds"
    )
    parser.add_argument(
        "--max-credits", metavar="N", type=int, help="never reserve more credits than this"
    )
    parser.add_argument(
        "--partial", action="store_true", help="enrich what fits, and say what is missing"
    )
    parser.add_argument("--yes", action="store_true", help="agree to the cost beforehand")
    _add_shape(parser)
    _add_conflict(parser)
    _add_refresh(parser)
    _add_timeout(parser)
    local = parser.add_argument_group(
        "without an account",
        "Read the websites (column website) from this machine, with a service, a\n"
        "store and credits for this call alone: your key, settings and store are not\n"
        "touched, and only the file stays. A file without an ID column gets lead_id:\n"
        'row-1, row-2, ... Needs: pip install "leads_pandas[server]"',
    )
    local.add_argument("--local", action="store_true", help="enrich without an account")
    local.add_argument(
        "--allow-private", action="store_true", help="also read websites on private addresses"
    )


def _add_results(commands: _Commands) -> None:
    parser = _add(
        commands,
        "results",
        _results,
        "join what the store holds of the leads; no request, nothing spent",
        examples=(
            "leads-pandas results leads.csv -o enriched.parquet",
            "leads-pandas results leads.csv --emails all --min-confidence 0.5 --json",
        ),
    )
    _add_input(parser)
    _add_output(parser)
    _add_shape(parser)
    _add_conflict(parser)
    _add_refresh(parser)


def _add_jobs(commands: _Commands) -> None:
    _add(
        commands,
        "jobs",
        _jobs,
        "list the account's running jobs",
        examples=("leads-pandas jobs", "leads-pandas jobs --json"),
    )


def _add_runs(commands: _Commands) -> None:
    _add(
        commands,
        "runs",
        _runs,
        "list the runs of this machine's store, newest first; no request",
        examples=("leads-pandas runs", "leads-pandas runs --json"),
    )


def _add_resume(commands: _Commands) -> None:
    parser = _add(
        commands,
        "resume",
        _resume,
        "go on with a run: wait, read what is missing, write its leads",
        more="\n\nNothing is started.",
        examples=("leads-pandas resume 5f0c2a1b9d3e -o enriched.parquet",),
    )
    parser.add_argument("id", metavar="RUN_OR_JOB", help="an id that runs or jobs shows")
    _add_output(parser)
    _add_shape(parser)
    _add_timeout(parser)


def _add_forget(commands: _Commands) -> None:
    parser = _add(
        commands,
        "forget",
        _forget,
        "erase results from the store for good",
        more=" What was bought stays known, so that\n"
        "it is not bought again. Files that you wrote stay as they are.",
        examples=(
            "leads-pandas forget cm9lead001 cm9lead002",
            "leads-pandas forget --everything --yes",
        ),
    )
    parser.add_argument("leads", metavar="LEAD", nargs="*", help="a lead's ID")
    parser.add_argument("--everything", action="store_true", help="every lead of the account")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def _add_serve(commands: _Commands) -> None:
    parser = _add(
        commands,
        "serve",
        _serve,
        "run a local service that finds emails by reading the leads' websites",
        more="\n\nIt prints the two variables to export, and serves until Ctrl-C (exit code 0).\n"
        'Needs: pip install "leads_pandas[server]"',
        examples=(
            "leads-pandas serve --leads leads.csv --db service.sqlite3 --port 8765",
            'eval "$(leads-pandas serve --leads leads.csv &)"',
        ),
    )
    parser.add_argument(
        "--leads",
        metavar="FILE",
        help="leads with lead_id and website, and optionally name and query_id, as for preview",
    )
    options: dict[str, tuple[str, Callable[[str], Any] | None, str]] = {
        "db": ("FILE", None, "keep everything in this file (else only while it runs)"),
        "port": ("N", int, "port to listen on (a free one)"),
        "host": ("ADDRESS", None, "address to listen on (127.0.0.1)"),
        "credits": ("N", int, "credits of the account (100000)"),
        "requests_per_minute": ("N", int, "rate limit (100; 0: none)"),
        "max_pages": ("N", int, "pages read per website (8)"),
        "timeout": ("SECONDS", float, "patience per page (10)"),
        "site_timeout": ("SECONDS", float, "patience per website (30)"),
        "concurrency": ("N", int, "websites read at once (16)"),
        "user_agent": ("TEXT", None, "how it introduces itself to websites"),
    }
    for name, (metavar, kind, words) in options.items():
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            metavar=metavar,
            type=kind or str,
            default=argparse.SUPPRESS,
            help=words,
        )
    parser.add_argument(
        "--nameserver",
        metavar="HOST:PORT",
        dest="nameservers",
        action="append",
        default=argparse.SUPPRESS,
        help="ask this name server whether a domain takes mail; may be repeated (the system's)",
    )
    parser.add_argument(
        "--allow-private",
        action="store_true",
        default=argparse.SUPPRESS,
        help="also read websites on private addresses",
    )


def _add_demo(commands: _Commands) -> None:
    parser = _add(
        commands,
        "demo",
        _demo,
        "enrich bundled sample leads on this machine: no account, no network",
        more='\n\nNeeds: pip install "leads_pandas[server]"',
        examples=("leads-pandas demo",),
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        default="demo",
        help="folder for enriched.parquet (demo)",
    )


def _add_input(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help=_FILE)
    parser.add_argument(
        "--on", metavar="COLUMN", help="column of the lead IDs (lead_id, leadId or id)"
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT.parquet",
        help="Parquet file to write, also s3://, gs:// or abfss://",
    )


def _add_shape(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--emails",
        choices=("best", "all"),
        default="best",
        help="one row with the best email, or one per email",
    )
    parser.add_argument(
        "--min-confidence",
        metavar="X",
        type=float,
        default=0.0,
        help="leave out emails below it, 0 to 1",
    )
    parser.add_argument(
        "--rename",
        metavar="COLUMN=NAME",
        type=_renaming,
        action="append",
        default=[],
        help="another name for a new column; may be repeated",
    )


def _renaming(text: str) -> tuple[str, str]:
    column, equals, name = text.partition("=")
    if not (column and equals and name):
        raise argparse.ArgumentTypeError(f"{text!r} is not like email=work_email")
    return column, name


def _add_conflict(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--on-conflict",
        choices=("raise", "replace", "fill"),
        default="raise",
        help="the file has such a column already: stop, replace it, or fill its gaps",
    )


def _add_refresh(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--refresh", action="store_true", help="read again what the store already holds (free)"
    )


def _add_timeout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=float,
        help="wait no longer; the job goes on and can be resumed",
    )
