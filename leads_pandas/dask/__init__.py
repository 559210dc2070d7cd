"""``ddf.leads``: emails for the leads of a Dask DataFrame, bought once, joined by the workers.

Importing this registers the accessor. The process that calls buys and reads, for the distinct IDs
of all partitions; workers only join, so nothing that Dask computes again spends anything. Extra
``dask``.
"""

from __future__ import annotations

import atexit
import functools
import json
import re
import shutil
import tempfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from leads_pandas.accessor import as_method
from leads_pandas.dask import dataset, partitions
from leads_pandas.dask.passes import computed
from leads_pandas.errors import LeadIdError
from leads_pandas.frames import delivery, parquet
from leads_pandas.frames.ids import Distinct, distinct, place_of, refusal
from leads_pandas.frames.receipt import METADATA_KEY, RECEIPT, receipt, receipt_fields
from leads_pandas.functions import enrich_ids
from leads_pandas.functions import preview as preview_frame
from leads_pandas.progress import Display
from leads_pandas.tracebacks import pointing_outside

try:
    import dask
    import dask.dataframe as dd
    from dask.dataframe.extensions import register_dataframe_accessor
except ImportError as error:
    raise ImportError(
        "leads_pandas.dask needs Dask's DataFrame: pip install 'leads_pandas[dask]'"
    ) from error

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Hashable, Mapping

    import pyarrow as pa

    from leads_pandas.dask.partitions import Answers, Aside, Found, Wish
    from leads_pandas.leadsapi.client import LeadsClient
    from leads_pandas.models import CostPreview, RunStatus

__all__ = ["LeadsAccessor", "enrich", "preview"]

_IN_GRAPH: Final = 32 * 2**20  # bytes of answers; more go into a file
_SPLIT_EVERY: Final = 8  # partitions whose IDs are merged at one place
_WRITTEN_FLOAT: Final = re.compile(r"(-?\d{1,15})\.0")
_SIDE_FILE: Final = "_answers"


@pointing_outside
def preview(
    ddf: dd.DataFrame,
    *,
    on: Hashable | None = None,
    query_id: str | None = None,
    refresh: bool = False,
    client: LeadsClient | None = None,
) -> CostPreview:
    """What `enrich` would cost; nothing is spent: ``POST /api/v1/enrichment/preview``, once.

    The distinct IDs of all partitions are collected for it, which computes their column.

    Args:
        ddf: the frame with the lead IDs.
        on: column or index of the lead IDs; None: ``lead_id``, ``leadId`` or ``id``.
        query_id: price the leads of this search in place of the IDs.
        refresh: count the leads that the store already holds as to be read again.
        client: a `LeadsClient`; None: the default client.

    Raises:
        LeadsError: see `leads_pandas.preview`.
    """
    _check_frame(ddf)
    options: dict[str, Any] = {"query_id": query_id, "refresh": refresh, "client": client}
    enrich_ids((), **options)  # what is wrong with them is found before the frame is computed
    with Display(False).shown() as display:
        wish = _wish(ddf, on, delivery.Output(on_conflict="replace"))
        given, found = _collected(ddf, wish, display)
    whole = preview_frame(pd.DataFrame({"lead_id": given.unique}, dtype=object), **options)
    again = found.asked - found.missing - len(given.unique)
    return replace(whole, rows_without_id=found.missing, duplicate_rows=again)


@pointing_outside
def enrich(
    ddf: dd.DataFrame,
    path: str | os.PathLike[str] | None = None,
    *,
    on: Hashable | None = None,
    query_id: str | None = None,
    max_credits: int | None = None,
    confirm: bool | Callable[[CostPreview], bool] = False,
    partial: bool = False,
    emails: Literal["best", "all"] = "best",
    min_confidence: float = 0.0,
    rename: Mapping[str, str] | None = None,
    on_conflict: Literal["raise", "replace", "fill"] = "raise",
    refresh: bool = False,
    progress: bool | Callable[[RunStatus], object] | None = None,
    timeout: float | None = None,
    client: LeadsClient | None = None,
    label: str | None = None,
) -> dd.DataFrame:
    """Buy the email of each lead of all partitions once, and return the frame with it.

    The distinct IDs are collected by the workers; this process asks, pays and reads, as
    `leads_pandas.enrich_ids` does, and needs the key and the store alone. The result is lazy:
    computing it joins, as often as it is computed, and spends nothing.

    Args:
        ddf: the frame with the lead IDs. IDs that were not in it when they were collected are
            ``not_enriched``: ``persist()`` a frame whose source changes.
        path: folder of a Parquet dataset to write: a local one that all workers share, or a URL
            of pyarrow's filesystems. One file per partition with the receipt in each, put in
            place in one step. None: nothing is written.
        on: column or index of the lead IDs; None: ``lead_id``, ``leadId`` or ``id``.
        query_id: a search whose price must be that of the IDs.
        max_credits: hard cap in credits.
        confirm: True: show the preview and ask; a callable gets the `CostPreview` and answers.
        partial: True: enrich what fits.
        emails: ``"best"``: the email of highest confidence; ``"all"``: one row per email.
        min_confidence: 0-1; emails below it are left out of the frame.
        rename: names for the new columns.
        on_conflict: a new column's name is taken: ``"raise"``, ``"replace"``, or ``"fill"``; with
            ``"fill"`` the receipt counts the leads that were asked for.
        refresh: read leads again that the store already holds.
        progress: None: a bar where a person can see it, else log lines, over Dask's passes as
            well; True or False force; a callable gets every `RunStatus`.
        timeout: seconds for buying and reading; what Dask computes comes on top.
        client: a `LeadsClient`; None: the default client.
        label: a name of yours for the run, which `runs` shows; None: none.

    Returns:
        a Dask DataFrame with the frame's partitions, divisions, index and columns, then the five
        of `leads_pandas.enrich` in the same dtypes; with ``path``, the files read back.

    Raises:
        FileExistsError: the dataset cannot be replaced in one step there, or is none.
        LeadsError: see `leads_pandas.enrich`; so for the other errors.
    """
    _check_frame(ddf)
    options: dict[str, Any] = {
        "query_id": query_id,
        "max_credits": max_credits,
        "confirm": confirm,
        "partial": partial,
        "emails": emails,
        "min_confidence": min_confidence,
        "refresh": refresh,
        "timeout": timeout,
        "client": client,
        "progress": progress,
        "label": label,
    }
    enrich_ids((), **options)  # options are checked before a long pass
    wish = _wish(ddf, on, delivery.Output(None, emails, min_confidence, rename, on_conflict))
    place = None
    if path is not None:
        meta = ddf._meta  # noqa: SLF001 - as extensions of Dask do
        parquet.convert(meta, wish.plan)
        place = dataset.check_place(path)
    with Display(progress).shown() as display:
        given, found = _collected(ddf, wish, display)
        table = enrich_ids(given.unique, **options | {"progress": display})
        answers = _answers(table, given, found, wish)
        display.finished(answers.receipt, None if place is None else place.path)
        if place is None:
            return _lazy(ddf, answers, wish)
        return _write(ddf, answers, wish, place, display)


@register_dataframe_accessor("leads")
class LeadsAccessor:
    """Emails for the leads of a Dask DataFrame: `preview` and `enrich`."""

    def __init__(self, frame: dd.DataFrame) -> None:
        self._frame = frame

    preview = as_method(preview)
    enrich = as_method(enrich)


def _check_frame(ddf: dd.DataFrame) -> None:
    if not isinstance(ddf, dd.DataFrame):
        raise TypeError(f"a Dask DataFrame is needed, not {type(ddf).__name__}")


def _wish(ddf: dd.DataFrame, on: Hashable | None, output: delivery.Output) -> Wish:
    """Decide on the frame's meta what every partition gets."""
    meta = ddf._meta  # noqa: SLF001 - as extensions of Dask do
    ready = delivery.prepare(meta, on, output)
    ours = meta.attrs.get(RECEIPT)
    known = {key: ours[key] for key in ("columns", "emails") if key in ours} if ours else {}
    return partitions.Wish(ready.ids, ready.plan, output.on_conflict, known)


# Collecting


def _collected(ddf: dd.DataFrame, wish: Wish, display: Display) -> tuple[Distinct, Found]:
    """The distinct lead IDs of all partitions, cleaned once; what is none is named by its rows."""
    narrow, here = _narrowed(ddf, wish)
    parts = merged = _each(narrow, partitions.found, here)
    merge = dask.delayed(partitions.merged)
    while len(merged) > 1:
        starts = range(0, len(merged), _SPLIT_EVERY)
        merged = [merge(merged[start : start + _SPLIT_EVERY]) for start in starts]
    found: Found = computed(parts, merged[0], _stage(display, "collecting"))
    try:
        given = distinct(found.cells)
    except LeadIdError:
        faults = _each(narrow, partitions.faults, here)
        bad: list[tuple[list[str], int]] = list(dask.compute(*faults))
        rows = [row for some, _ in bad for row in some]
        if not rows:
            raise
        place = place_of(wish.ids.kind, wish.ids.name)
        raise refusal(place, rows, sum(count for _, count in bad)) from None
    if wish.ids.kind == "column" and _converted(ddf.dtypes.iloc[wish.ids.position]):
        given = _numbers_again(given)
    return given, found


def _narrowed(ddf: dd.DataFrame, wish: Wish) -> tuple[dd.DataFrame, Wish]:
    """The columns that decide what is asked for, and where the IDs stand among them."""
    labels = list(ddf.columns)
    if len(set(labels)) < len(labels):
        return ddf, wish
    wanted = [labels[wish.ids.position]] if wish.ids.kind == "column" else []
    if wish.on_conflict == "fill":
        wanted += [one for one in labels if one in wish.plan.columns.values()]
    return ddf[wanted], wish.narrowed()


def _stage(display: Display, name: str) -> Callable[[int, int], None]:
    return lambda done, total: display.stage(name, done / total)


def _each(ddf: dd.DataFrame, function: Callable[..., Any], wish: Wish) -> list[Any]:
    """What a function makes of each partition, as delayed objects."""
    made = ddf.map_partitions(function, wish, meta=("made", object), enforce_metadata=False)
    return list(made.to_delayed())


def _converted(kind: Any) -> bool:
    """Whether Dask may have made text of objects that were none, as ``convert-string`` does."""
    return isinstance(kind, pd.StringDtype) and kind.storage == "pyarrow" and kind.na_value is pd.NA


def _numbers_again(given: Distinct) -> Distinct:
    """Lead 3 again where Dask has made the text ``3.0`` of a float."""
    numbered: dict[str, int] = {}
    codes = []
    for lead in given.unique:
        number = _WRITTEN_FLOAT.fullmatch(lead)
        codes.append(numbered.setdefault(number[1] if number else lead, len(numbered)))
    again = np.array(codes, dtype=np.intp)[given.codes] if codes else given.codes
    return given._replace(codes=again, unique=list(numbered))


# Answers


def _answers(table: pa.Table, given: Distinct, found: Found, wish: Wish) -> Answers:
    """What was bought, by value as given, with the receipt of the whole frame."""
    whole = receipt(table) | {
        "rows": {
            "total": found.rows,
            "without_id": found.missing,
            "duplicate": found.asked - found.missing - len(given.unique),
        },
        **receipt_fields(wish.ids, wish.plan),
    }
    by_value, _ = delivery.by_value(given, table)
    return partitions.Answers(by_value, whole, dataset.new_token())


def _node(held: Answers | Aside, token: str) -> Any:
    """Answers as one node of a graph."""
    return dask.delayed(held, name=f"leads-answers-{token}", traverse=False)


def _held(answers: Answers, folder: Callable[[], str], filesystem: Any = None) -> Any:
    """Answers as the graph carries them: themselves, or the name of a file."""
    if answers.table.nbytes <= _IN_GRAPH:
        return _node(answers, answers.token)
    file = f"{folder()}/{_SIDE_FILE}-{answers.token}"
    metadata = {METADATA_KEY: json.dumps(answers.receipt).encode()}
    pq.write_table(answers.table.replace_schema_metadata(metadata), file, filesystem=filesystem)
    return _node(partitions.Aside(file, filesystem, answers.token), answers.token)


@functools.cache
def _temporary_folder() -> str:
    """A folder for as long as this process lives."""
    within = dask.config.get("temporary-directory", None)
    folder = tempfile.mkdtemp(prefix="leads_pandas-", dir=within)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _lazy(ddf: dd.DataFrame, answers: Answers, wish: Wish) -> dd.DataFrame:
    held = _held(answers, _temporary_folder)
    return ddf.map_partitions(
        partitions.joined, held, wish, meta=_meta(ddf, answers, wish), enforce_metadata=False
    )


def _meta(ddf: dd.DataFrame, answers: Answers, wish: Wish) -> pd.DataFrame:
    """The result without rows, made as its partitions are."""
    return partitions.joined(ddf._meta, answers, wish)  # noqa: SLF001 - as extensions of Dask do


def _write(
    ddf: dd.DataFrame, answers: Answers, wish: Wish, place: dataset.Place, display: Display
) -> dd.DataFrame:
    """Write the dataset, put it in place, and return it read back."""
    meta = _meta(ddf, answers, wish)
    filesystem = place.filesystem
    with dataset.staged(place, answers.token) as stage:
        held = _held(answers, lambda: stage, filesystem)
        folder = partitions.Folder(stage, answers.token, ddf.npartitions, filesystem)
        write = dask.delayed(partitions.written)
        parts = ddf.to_delayed()
        tasks = [write(part, held, wish, folder, number) for number, part in enumerate(parts)]
        names = dask.delayed(list)(tasks)
        files: list[str] = computed(tasks, names, _stage(display, "joining and writing"))
        dataset.put_in_place(place, stage, files)
    with dask.config.set({"dataframe.convert-string": False}):
        return dd.from_map(
            partitions.Reader(place.location, filesystem, meta),
            files,
            meta=meta,
            divisions=ddf.divisions if ddf.known_divisions else None,
            label="read-leads",
        )
