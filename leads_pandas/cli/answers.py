"""What the commands answer on standard output: a card, a table, or JSON for programs.

What lives here: from a preview or a frame to text. Nothing is asked of the service or the store.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from leads_pandas.cli.tables import Column, table
from leads_pandas.display import card_text, clean, is_coloured, plural, terminal_width

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import pandas as pd

    from leads_pandas.models import CostPreview

_HEAD = 10  # rows of a result that are shown
_EMAIL = 24  # columns of a terminal that an email keeps as long as others can do without
_COLOURS = {"found": "32", "unknown_lead": "33", "not_enriched": "33", "failed": "31"}


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


def of_jobs(jobs: pd.DataFrame, *, in_json: bool) -> str:
    """The account's running jobs."""
    if in_json:
        return as_json(_records(jobs))
    if jobs.empty:
        return "no job is running"
    return _fitted(
        [
            Column("job", _texts(jobs["job_id"]), whole=True),
            Column("type", _texts(jobs["type"]), spare=True),
            Column("progress", _texts(jobs["progress"], "{:.0f} %".format), right=True),
            Column("leads", _texts(jobs["lead_count"], "{:,}".format), right=True),
            Column("query", _texts(jobs["query"]), spare=True),
        ]
    )


def of_runs(runs: pd.DataFrame, *, in_json: bool) -> str:
    """The runs of the store."""
    if in_json:
        return as_json(_records(runs))
    if runs.empty:
        return "no run yet"
    started = runs["started_at"].dt.strftime("%Y-%m-%d %H:%M")
    return _fitted(
        [
            Column("run", _texts(runs["run_id"]), whole=True),
            Column("started (UTC)", _texts(started), whole=True),
            Column("leads", _texts(runs["lead_count"], "{:,}".format), right=True),
            Column("state", _texts(runs["state"]), whole=True),
            Column("credits", _texts(runs["credits_reserved"], "{:,}".format), right=True),
            Column("jobs", _texts(runs["job_ids"]), spare=True),
        ]
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
    from leads_pandas.models import timestamp

    receipt = out.attrs["leads"]
    names: dict[str, str] = receipt["columns"]
    ids = recorded_ids(out, receipt["on"])
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
    confidences = _texts((row[confidence] for row in rows), "{:.2f}".format)
    return _fitted(
        [
            Column(on, _texts(row[on] for row in rows)),
            Column(email, _texts(row[email] for row in rows), least=_EMAIL),
            Column(confidence, confidences, right=True),
            Column(source, _texts(row[source] for row in rows), spare=True),
            Column("status", _texts(row[status] for row in rows), whole=True, colours=_COLOURS),
        ]
    )


def _fitted(columns: Sequence[Column]) -> str:
    """A table that fits the terminal, where standard output is one."""
    return table(columns, width=terminal_width(sys.stdout), colour=is_coloured(sys.stdout))


def _texts(values: Iterable[Any], form: Callable[[Any], str] = str) -> list[str]:
    """Cells of a table; missing values are blank."""
    return ["" if _is_missing(value) else form(value) for value in values]


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


def _plain(value: Any) -> Any:
    return None if _is_missing(value) else value


def _is_missing(value: object) -> bool:
    # NaN and NaT are not equal to themselves; pd.NA does not even say so.
    return value is None or type(value).__name__ == "NAType" or value != value  # noqa: PLR0124
