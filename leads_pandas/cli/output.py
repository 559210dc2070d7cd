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
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TextIO

import pandas as pd
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

import leads_pandas
from leads_pandas.asking import say, spoken
from leads_pandas.cli import failures
from leads_pandas.display import card_text, clean, is_coloured, plural, terminal_width, wrapped
from leads_pandas.errors import LeadsWarning

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    import click

    from leads_pandas.models import CostPreview

_UNLIMITED = 10_000  # columns of what is no terminal
_HEAD = 10  # rows of a result that are shown
# Of a summary, also where it is zero.
_ALWAYS_TOLD = ("rows", "leads", "found", "not_found", "credits_reserved")
_COLOURS = {"found": "green", "unknown_lead": "yellow", "not_enriched": "yellow", "failed": "red"}


# Streams


def prepare() -> None:
    """Make every text printable, and have both streams where the caller closed one."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8"))
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def write(answer: str) -> None:
    """Put a command's answer on standard output; a reader that has gone has seen enough."""
    try:
        if answer:
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


def complain(error: Exception) -> None:
    """Say in one line what went wrong."""
    label = "error:"
    line = spoken(f"{label} {failures.sentence(error)}")
    painted = f"\x1b[1;31m{label}\x1b[0m" if is_coloured(sys.stderr) else label
    _tell(line.replace(label, painted, 1))


def refuse(refused: click.UsageError) -> None:
    """Say how a command is used, and what was wrong with how it was."""
    refused.show(shown := io.StringIO())
    for line in shown.getvalue().splitlines():
        _tell(wrapped(clean(line), terminal_width(sys.stderr)))


def _tell(line: str) -> None:
    # Where nobody reads standard error any more, there is nobody to be told.
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)


class _Messages(logging.Handler):
    """Shows the package's log on standard error, above a bar where there is one."""

    def filter(self, record: logging.LogRecord) -> bool:
        # What the local service does is told by the commands that start it.
        ours = record.levelno >= logging.WARNING or not record.name.endswith(".server")
        return ours and bool(super().filter(record))

    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage())


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
            say(str(message))
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


class Column(NamedTuple):
    """A column of a table: which of the frame's, under which heading, and how it is written."""

    name: Any
    title: str = ""  # its name where there is none
    form: str = "{}"
    # `right` (numbers) and `whole` (to be copied) are never shortened; `spare` may be left out.
    kind: Literal["", "right", "whole", "spare"] = ""


def console(stream: TextIO) -> Console:
    """A console as wide and as colourful as a stream is, to be captured."""
    coloured = is_coloured(stream)
    return Console(
        file=io.StringIO(),
        width=terminal_width(stream) or _UNLIMITED,
        force_terminal=coloured,
        color_system="auto" if coloured else None,
        highlight=False,
        markup=False,
        emoji=False,
    )


def table(rows: pd.DataFrame, columns: Sequence[Column], stream: TextIO) -> str:
    """A frame's columns, for a stream: on a terminal as wide as that, else as they need."""
    screen = console(stream)
    free = screen.options.update(width=_UNLIMITED)
    shown = list(columns)
    while Measurement.get(screen, free, grid := _grid(rows, shown)).minimum > screen.width:
        spare = [one for one in shown if one.kind == "spare"]
        if not spare:
            break
        shown.remove(spare[-1])
    with screen.capture() as captured:
        screen.print(grid)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def _grid(rows: pd.DataFrame, columns: Sequence[Column]) -> Table:
    grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    cells = []
    for name, title, form, kind in columns:
        grid.add_column(
            clean(title or str(name)),
            justify="right" if kind == "right" else "left",
            no_wrap=kind in ("right", "whole"),
            overflow="ellipsis",
        )
        cells.append(["" if pd.isna(one) else form.format(one) for one in rows[name]])
    for row in zip(*cells, strict=True):
        grid.add_row(*(Text(clean(cell), style=_COLOURS.get(cell, "")) for cell in row))
    return grid


# Answers

JOBS = (
    Column("job_id", "job", kind="whole"),
    Column("type", kind="spare"),
    Column("progress", form="{:.0f} %", kind="right"),
    Column("lead_count", "leads", "{:,}", "right"),
    Column("query", kind="spare"),
)
RUNS = (
    Column("run_id", "run", kind="whole"),
    Column("started_at", "started (UTC)", "{:%Y-%m-%d %H:%M}", "whole"),
    Column("lead_count", "leads", "{:,}", "right"),
    Column("state", kind="whole"),
    Column("credits_reserved", "credits", "{:,}", "right"),
    Column("job_ids", "jobs", kind="spare"),
)


def as_json(value: object) -> str:
    """A value as JSON, which escapes everything that a terminal could act on."""
    from leads_pandas.contract import timestamp

    indent = 2 if sys.stdout.isatty() else None
    return json.dumps(value, indent=indent, allow_nan=False, default=timestamp)


def of_preview(preview: CostPreview, *, in_json: bool) -> str:
    """The price of some leads."""
    if in_json:
        return as_json({**asdict(preview), "affordable": preview.affordable})
    return str(preview)


def of_frame(out: pd.DataFrame, path: str | None, *, in_json: bool, bought: bool = True) -> str:
    """An enriched frame, and the file that it was written to."""
    from leads_pandas.scoring import told

    summary = leads_pandas.summary(out)
    if in_json:
        receipt, rows = out.attrs["leads"], _records(_results(out))
        counted = summary.where(summary.notna(), None).to_dict()
        return as_json({"path": path, "summary": counted, "receipt": receipt, "rows": rows})
    known = summary.dropna() if bought else summary.drop("credits_reserved").dropna()
    head = _results(out.iloc[:_HEAD])
    parts = [card_text("Leads", told(known[(known != 0) | known.index.isin(_ALWAYS_TOLD)]))]
    if len(head):
        on, email, confidence, source, _, status = head
        columns = [
            Column(on),
            Column(email),
            Column(confidence, form="{:.2f}", kind="right"),
            Column(source, kind="spare"),
            Column(status, "status", kind="whole"),
        ]
        parts += ["", table(head, columns, sys.stdout), *_rest(len(out), "row", path)]
    return "\n".join(parts)


def of_deliverable(out: pd.DataFrame, email: str, path: str | None, *, in_json: bool) -> str:
    """Emails, and whether they can be delivered."""
    said = out["deliverable"]
    counts = {str(kind): int((said == kind).sum()) for kind in said.cat.categories}
    rows = out[[email, "deliverable"]]
    if in_json:
        return as_json({"path": path, "counts": counts, "rows": _records(rows)})
    parts = [card_text("Emails", [(kind, f"{count:,}") for kind, count in counts.items()])]
    rows = rows[said.notna()]
    if len(rows):
        shown = table(rows[:_HEAD], [Column(one) for one in rows], sys.stdout)
        parts += ["", shown, *_rest(len(rows), "email", path)]
    return "\n".join(parts)


def of_list(rows: pd.DataFrame, columns: Sequence[Column], none: str, *, in_json: bool) -> str:
    """The rows of a list, or what is said where there are none."""
    if in_json:
        return as_json(_records(rows))
    return none if rows.empty else table(rows, columns, sys.stdout)


def _results(out: pd.DataFrame) -> pd.DataFrame:
    """The IDs and the new columns of a result alone."""
    from leads_pandas.frames.ids import recorded_ids

    receipt = out.attrs["leads"]
    ids = recorded_ids(out, receipt["on"])
    columns = {
        receipt["on"]["name"]: [ids.unique[code] if code >= 0 else None for code in ids.codes],
        **{name: out[name].tolist() for name in receipt["columns"].values()},
    }
    return pd.DataFrame(columns, dtype=object)


def _rest(count: int, noun: str, path: str | None) -> list[str]:
    """Where the rows are that are not shown."""
    place = f"all are in {clean(path)}" if path else "-o OUT.parquet keeps them all"
    return [f"{plural(count - _HEAD, f'more {noun}')}; {place}"] if count > _HEAD else []


def _records(frame: pd.DataFrame) -> list[dict[Any, Any]]:
    return frame.astype(object).where(frame.notna(), None).to_dict("records")
