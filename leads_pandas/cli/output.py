"""What the command line says: answers on standard output, words on standard error.

What lives here: how text gets out, whatever the streams are or whoever has stopped reading them;
tables; and what the commands answer, as text or JSON. Nothing is asked of the service or the store.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import sys
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console
from rich.measure import Measurement
from rich.prompt import Confirm
from rich.table import Table
from rich.text import Text

from leads_pandas.cli import failures
from leads_pandas.display import card_text, clean, is_coloured, plural, terminal_width, wrapped
from leads_pandas.errors import LeadsWarning
from leads_pandas.progress import spoken

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence

    import pandas as pd

    from leads_pandas.models import CostPreview

_ERROR = "error:"
_UNLIMITED = 10_000  # columns of what is no terminal
_HEAD = 10  # rows of a result that are shown
_COLOURS = {"found": "green", "unknown_lead": "yellow", "not_enriched": "yellow", "failed": "red"}


# Streams


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


def end() -> None:
    """Let nothing be left for Python to flush at its end, where a full disk is exit code 120."""
    try:
        sys.stdout.flush()
    except OSError:
        leave()


def console(stream: TextIO, file: TextIO | None = None) -> Console:
    """A console as wide and as colourful as a stream is.

    Args:
        stream: how it is to look.
        file: where it goes; None: nowhere, to be captured.
    """
    coloured = is_coloured(stream)
    return Console(
        file=file or io.StringIO(),
        width=terminal_width(stream) or _UNLIMITED,
        force_terminal=coloured,
        color_system="auto" if coloured else None,
        highlight=False,
        markup=False,
        emoji=False,
    )


def say(message: str) -> None:
    """Say something on standard error, under the program's name."""
    _tell(spoken(message))


def show(text: str) -> None:
    """Put lines on standard error as they are: what a question is about."""
    for line in text.splitlines():
        _tell(line)


def complain(error: Exception) -> None:
    """Say in one line what went wrong."""
    _tell(spoken(f"{_ERROR} {failures.sentence(error)}"))


def refuse(usage: str, path: str, message: str) -> None:
    """Say how a command is used, and what was wrong with how it was."""
    for one in (usage, f"{path}: {_ERROR} {message}"):
        _tell(wrapped(clean(one), terminal_width(sys.stderr)))


def _tell(line: str) -> None:
    screen, text = console(sys.stderr), Text(line)
    text.highlight_regex(rf"(?<=: ){_ERROR}", "bold red")
    with screen.capture() as captured:
        screen.print(text, soft_wrap=True)
    # Where nobody reads standard error any more, there is nobody to be told.
    with contextlib.suppress(OSError):
        print(captured.get(), end="", file=sys.stderr, flush=True)


def asked(question: str) -> bool:
    """Ask on the terminal; nothing typed is a no, and so is the end of what is typed."""

    class Question(Confirm):
        prompt_suffix = " "

    try:
        return Question.ask(
            Text(f"{question} [y/N]"),
            console=console(sys.stderr, sys.stderr),
            default=False,
            show_choices=False,
            show_default=False,
        )
    except EOFError:
        _tell("")
        return False
    except KeyboardInterrupt:
        _tell("")
        raise


class _Messages(logging.Handler):
    """Shows the package's log on standard error, above a bar where there is one."""

    def filter(self, record: logging.LogRecord) -> bool:
        # What the local service does is told by the commands that start it.
        ours = record.levelno >= logging.WARNING or not record.name.endswith(".server")
        return ours and bool(super().filter(record))

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        with contextlib.suppress(OSError):  # a reader that has left must not end a paid run
            tqdm.write(spoken(record.getMessage()), file=sys.stderr)


@contextlib.contextmanager
def messages_shown() -> Generator[None]:
    """Show the package's log and its warnings on standard error for a while."""
    logger = logging.getLogger("leads_pandas")
    handler, level = _Messages(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    python_shows = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: Any, **further: Any) -> None:
        if issubclass(category, LeadsWarning):
            logger.warning("%s", message)
        else:
            python_shows(message, category, *where, **further)

    try:
        with warnings.catch_warnings():
            warnings.showwarning = show
            yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)


# Tables


@dataclass(slots=True)
class Column:
    """One column of a table: its cells are plain text, made safe by `table`.

    Attributes:
        title: its heading.
        cells: one text per row.
        right: numbers, which stand on the right and are never shortened.
        whole: never shortened, because it is there to be copied.
        spare: left out where there is no room for it.
        colours: what some of its cells are painted in.
    """

    title: str
    cells: list[str]
    right: bool = False
    whole: bool = False
    spare: bool = False
    colours: Mapping[str, str] = field(default_factory=dict)


def table(columns: Sequence[Column], stream: TextIO, *, indent: int = 0) -> str:
    """Columns side by side, for a stream: on a terminal as wide as that, else as they need."""
    screen = console(stream)
    width = screen.width - indent
    free = screen.options.update(width=_UNLIMITED)
    shown = list(columns)
    while Measurement.get(screen, free, _grid(shown)).minimum > width:
        spare = [one for one in shown if one.spare]
        if not spare:
            break
        shown.remove(spare[-1])
    with screen.capture() as captured:
        screen.print(_grid(shown), width=width)
    return "\n".join(" " * indent + line.rstrip() for line in captured.get().splitlines())


def _grid(columns: Sequence[Column]) -> Table:
    grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for one in columns:
        grid.add_column(
            clean(one.title),
            justify="right" if one.right else "left",
            no_wrap=one.right or one.whole,
            overflow="ellipsis",
        )
    for cells in zip(*(one.cells for one in columns), strict=True):
        grid.add_row(
            *(
                Text(clean(cell), style=one.colours.get(cell, ""))
                for one, cell in zip(columns, cells, strict=True)
            )
        )
    return grid


# Answers


def as_json(value: object) -> str:
    """A value as JSON, which escapes everything that a terminal could act on."""
    indent = 2 if sys.stdout.isatty() else None
    return json.dumps(value, indent=indent, allow_nan=False)


def of_preview(preview: CostPreview, *, in_json: bool) -> str:
    """The price of some leads."""
    if in_json:
        return as_json({**asdict(preview), "affordable": preview.affordable})
    return str(preview)


def of_frame(out: pd.DataFrame, path: str | None, *, in_json: bool, bought: bool = True) -> str:
    """An enriched frame, and the file that it was written to.

    Args:
        out: the frame.
        path: the file, or None.
        in_json: for programs, with every row.
        bought: whether the frame is what a run has bought, so that its credits are told.
    """
    import leads_pandas

    summary = {str(name): _plain(value) for name, value in leads_pandas.summary(out).items()}
    if in_json:
        receipt, rows = out.attrs["leads"], _result_rows(out)
        return as_json({"path": path, "summary": summary, "receipt": receipt, "rows": rows})
    if not bought:
        summary["credits_reserved"] = None
    parts = [card_text("Leads", _summary_rows(summary))]
    rows = _result_rows(out.iloc[:_HEAD])
    if rows:
        parts += ["", _result_table(rows)]
    if len(out) > _HEAD:
        place = f"all are in {clean(path)}" if path else "-o OUT.parquet keeps them all"
        parts.append(f"{plural(len(out) - _HEAD, 'more row')}; {place}")
    return "\n".join(parts)


def of_deliverable(out: pd.DataFrame, email: str, path: str | None, *, in_json: bool) -> str:
    """Emails, and whether they can be delivered."""
    counts = {str(kind): int(count) for kind, count in out["deliverable"].value_counts().items()}
    counts = {kind: counts[kind] for kind in out["deliverable"].cat.categories}
    rows = [
        {email: _plain(address), "deliverable": _plain(said)}
        for address, said in zip(out[email].tolist(), out["deliverable"].tolist(), strict=True)
    ]
    if in_json:
        return as_json({"path": path, "counts": counts, "rows": rows})
    shown = [one for one in rows if one["deliverable"] is not None][:_HEAD]
    parts = [card_text("Emails", [(kind, f"{count:,}") for kind, count in counts.items()])]
    if shown:
        columns = [Column(name, _texts(one[name] for one in shown)) for name in rows[0]]
        parts += ["", table(columns, sys.stdout)]
    if sum(counts.values()) > _HEAD:
        place = f"all are in {clean(path)}" if path else "-o OUT.parquet keeps them all"
        parts.append(f"{plural(sum(counts.values()) - _HEAD, 'more email')}; {place}")
    return "\n".join(parts)


def of_jobs(jobs: pd.DataFrame, *, in_json: bool) -> str:
    """The account's running jobs."""
    if in_json:
        return as_json(_records(jobs))
    if jobs.empty:
        return "no job is running"
    return table(
        [
            Column("job", _texts(jobs["job_id"]), whole=True),
            Column("type", _texts(jobs["type"]), spare=True),
            Column("progress", _texts(jobs["progress"], "{:.0f} %".format), right=True),
            Column("leads", _texts(jobs["lead_count"], "{:,}".format), right=True),
            Column("query", _texts(jobs["query"]), spare=True),
        ],
        sys.stdout,
    )


def of_runs(runs: pd.DataFrame, *, in_json: bool) -> str:
    """The runs of the store."""
    if in_json:
        return as_json(_records(runs))
    if runs.empty:
        return "no run yet"
    started = runs["started_at"].dt.strftime("%Y-%m-%d %H:%M")
    return table(
        [
            Column("run", _texts(runs["run_id"]), whole=True),
            Column("started (UTC)", _texts(started), whole=True),
            Column("leads", _texts(runs["lead_count"], "{:,}".format), right=True),
            Column("state", _texts(runs["state"]), whole=True),
            Column("credits", _texts(runs["credits_reserved"], "{:,}".format), right=True),
            Column("jobs", _texts(runs["job_ids"]), spare=True),
        ],
        sys.stdout,
    )


def _summary_rows(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Labels and values of the card; what is zero or cannot be said is left out."""
    forms: dict[str, Callable[[Any], str]] = {
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
    from leads_pandas.frames.ids import recorded_ids

    receipt = out.attrs["leads"]
    names: dict[str, str] = receipt["columns"]
    ids = recorded_ids(out, receipt["on"])
    columns = {
        receipt["on"]["name"]: [ids.unique[code] if code >= 0 else None for code in ids.codes],
        **{name: list(map(_plain, out[name].tolist())) for name in names.values()},
    }
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]


def _result_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows without the time, which a terminal has no room for."""
    on, email, confidence, source, _, status = rows[0]
    confidences = _texts((row[confidence] for row in rows), "{:.2f}".format)
    return table(
        [
            Column(on, _texts(row[on] for row in rows)),
            Column(email, _texts(row[email] for row in rows)),
            Column(confidence, confidences, right=True),
            Column(source, _texts(row[source] for row in rows), spare=True),
            Column("status", _texts(row[status] for row in rows), whole=True, colours=_COLOURS),
        ],
        sys.stdout,
    )


def _texts(values: Iterable[Any], form: Callable[[Any], str] = str) -> list[str]:
    """Cells of a table; missing values are blank."""
    return ["" if _is_missing(value) else form(value) for value in values]


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a small frame, as plain JSON values."""
    return [
        {str(name): _plain(value) for name, value in row.items()}
        for row in frame.astype(object).to_dict("records")
    ]


def _plain(value: Any) -> Any:
    from leads_pandas.models import timestamp

    if _is_missing(value):
        return None
    return timestamp(value) if hasattr(value, "isoformat") else value


def _is_missing(value: object) -> bool:
    # NaN and NaT are not equal to themselves; pd.NA does not even say so.
    return value is None or type(value).__name__ == "NAType" or value != value  # noqa: PLR0124
