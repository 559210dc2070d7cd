"""The public functions on frames: typed twins of ``df.leads``, which check their arguments.

Imports that cost time wait until a function is called: ``import leads_pandas`` stays cheap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from leads_pandas.tracebacks import pointing_outside

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Hashable, Mapping
    from datetime import datetime

    import pandas as pd
    import pyarrow as pa

    from leads_pandas.frames.ids import Distinct, LeadIds
    from leads_pandas.leadsapi.client import LeadsClient
    from leads_pandas.models import CostPreview, RunStatus
    from leads_pandas.money.plan import Order
    from leads_pandas.run import EnrichmentRun


@pointing_outside
def preview(
    df: pd.DataFrame,
    *,
    on: Hashable | None = None,
    query_id: str | None = None,
    refresh: bool = False,
    client: LeadsClient | None = None,
) -> CostPreview:
    """What `enrich` would cost; nothing is spent: ``POST /api/v1/enrichment/preview``, once.

    Args:
        df: the frame with the lead IDs.
        on: column or index level of the lead IDs; None: ``lead_id``, ``leadId`` or ``id``.
        query_id: price the leads of this search in place of the IDs.
        refresh: count the leads that the store already holds as to be read again.
        client: a `LeadsClient`; None: the default client.

    Returns:
        the `CostPreview`; credits are whole numbers, ``estimated_seconds`` is a lower bound.

    Raises:
        LeadIdError: the frame's IDs cannot be used.
        ConfigurationError: there is no key.
        APIError: the service said no.
        TransportError: no answer came.
        StoreError: the store cannot be used.

    Example:
        >>> df = pd.read_csv("leads.csv")
        >>> df.leads.preview().estimated_credits
        35
        >>> leads_pandas.preview(df).affordable  # the same, for pipelines and type checkers
        True
    """
    from leads_pandas import models, run
    from leads_pandas.frames.ids import lead_ids

    ids = lead_ids(df, on)
    order = _order(ids.unique, ids, query_id=query_id, refresh=refresh)
    if not ids.unique:
        return models.CostPreview(0, 0, 0, 0, 0, rows_without_id=ids.rows_without)
    return run.quote(order, client)


@pointing_outside
def enrich(
    df: pd.DataFrame,
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
) -> pd.DataFrame:
    """Buy the email of each lead once, and return the frame with it.

    Previews the cost, starts a job for the leads that neither the store nor the service has,
    polls it, reads each lead as it is done, and joins the results to the frame's own rows.
    Calling the same line again goes on where it stopped and buys nothing twice.

    Endpoints: ``POST /api/v1/enrichment/preview``, ``POST …/start``, ``GET …/jobs``,
    ``GET …/status/:jobId``, ``GET …/lead/:leadId``.

    Args:
        df: the frame with the lead IDs; it is not changed.
        path: Parquet file to write: a local path or a URL of pyarrow's filesystems. Checked
            before anything is spent, replaced atomically. None: no file.
        on: column or index level of the lead IDs; None: ``lead_id``, ``leadId`` or ``id``.
        query_id: a search whose price must be that of the IDs; they are started by their IDs.
        max_credits: hard cap in credits on what this call and the unfinished runs it takes over
            reserve. None: ``LEADS_PANDAS_MAX_CREDITS``, else the balance is the limit.
        confirm: True: show the preview and ask; a callable gets the `CostPreview` and answers.
        partial: True: enrich what fits and return the frame; ``enrichment_status`` says what is
            missing. False: raise where a lead would be left out.
        emails: ``"best"``: the email of highest confidence; ``"all"``: one row per email.
        min_confidence: 0-1; emails below it are left out of the frame.
        rename: names for the new columns, such as ``{"email": "work_email"}``.
        on_conflict: a new column's name is taken: ``"raise"``, ``"replace"``, or ``"fill"``
            (only rows without an answer are asked for and changed).
        refresh: read leads again that the store already holds; never buys an enriched lead.
        progress: None: a bar where a person can see it, else log lines; True or False force; a
            callable gets every `RunStatus`. A callable must not enrich the same leads in another
            thread and wait for it: that thread waits for this call, for ever.
        timeout: seconds for the whole run; then `JobTimeoutError`, and the job goes on.
        client: a `LeadsClient`; None: the default client.
        label: a name of yours for the run, which `runs` shows; None: none.

    Returns:
        the frame's rows, order, index and columns, with ``email``, ``confidence`` (float64,
        0-1), ``source``, ``enriched_at`` (datetime64[us, UTC]) and ``enrichment_status``
        (category).

    Raises:
        LeadIdError: the frame's IDs cannot be used, or are not the query's leads.
        ColumnConflictError: the frame has such a column.
        ValueError: an option is wrong, or Parquet cannot hold the frame.
        OSError: the file cannot be written.
        ConfigurationError: there is no key.
        CreditCapError: it costs more than ``max_credits``.
        InsufficientCreditsError: it costs more than the balance.
        EnrichmentDeclined: the cost was not confirmed.
        StartOutcomeUnknown: a start got no answer and nothing tells whether it was charged.
        JobFailedError: a job failed; what it found is kept.
        JobTimeoutError: the time is up; the job goes on.
        APIError: the service said no.
        TransportError: no answer came.
        StoreError: the store cannot be used.

    Example:
        >>> out = df.leads.enrich("enriched.parquet", max_credits=50)
        >>> out.loc[1, ["email", "confidence", "enrichment_status"]].to_dict()
        {'email': 'best@lead001.example', 'confidence': 0.94, 'enrichment_status': 'found'}
        >>> bool(pd.read_parquet("enriched.parquet").equals(out))
        True
        >>> found = (
        ...     pd.read_csv("leads.csv")
        ...     .pipe(leads_pandas.enrich, max_credits=50)
        ...     .query("enrichment_status == 'found'")
        ... )
        >>> len(found)
        26
    """
    from leads_pandas.frames import delivery
    from leads_pandas.run import carry_out

    output = delivery.Output(path, emails, min_confidence, rename, on_conflict)
    ready = delivery.prepare(df, on, output)
    order = _order(
        ready.asked,
        ready.ids,
        query_id=query_id,
        max_credits=max_credits,
        confirm=confirm,
        partial=partial,
        refresh=refresh,
        label=label,
    )
    out: pd.DataFrame = carry_out(order, ready, progress=progress, timeout=timeout, client=client)
    return out


@pointing_outside
def enrich_ids(
    ids: Any,
    *,
    query_id: str | None = None,
    max_credits: int | None = None,
    confirm: bool | Callable[[CostPreview], bool] = False,
    partial: bool = False,
    emails: Literal["best", "all"] = "best",
    min_confidence: float = 0.0,
    rename: Mapping[str, str] | None = None,
    refresh: bool = False,
    progress: bool | Callable[[RunStatus], object] | None = None,
    timeout: float | None = None,
    client: LeadsClient | None = None,
    label: str | None = None,
) -> pa.Table:
    """Buy the email of each lead once, and return the answers as an Arrow table, for any engine.

    `enrich` without the frame: the same purchase, errors and endpoints. DuckDB, Polars or Spark
    join the table to their own rows by plain equality on ``lead_id``.

    Args:
        ids: lead IDs: any iterable, a Series, an Arrow array, or the column of a table; missing
            and blank ones are left out.
        query_id: hold the IDs against this search; see `enrich`.
        max_credits: hard cap in credits.
        confirm: True: show the preview and ask; or a callable that answers.
        partial: True: enrich what fits.
        emails: ``"best"``: one row per value; ``"all"``: one row per email.
        min_confidence: 0-1; emails below it are left out of the table.
        rename: names for the new columns.
        refresh: read leads again that the store already holds.
        progress: see `enrich`.
        timeout: seconds for the whole run; then `JobTimeoutError`.
        client: a `LeadsClient`; None: the default client.
        label: a name of yours for the run, which `runs` shows; None: none.

    Returns:
        one row per distinct value as it was given (``" a"`` and ``"a"`` are two of one lead):
        ``lead_id`` in its own type (text where there are several types), then the five columns by
        `SCHEMA`; the receipt is in the schema's metadata under ``leads_pandas``.

    Raises:
        LeadIdError: a value is no lead ID.
        TypeError: a table or a single text is given in place of IDs.
        LeadsError: see `enrich`.

    Example:
        >>> table = leads_pandas.enrich_ids(df["lead_id"], max_credits=50)
        >>> table.column_names[:2]
        ['lead_id', 'email']
    """
    from leads_pandas.frames.delivery import Output, prepare_ids
    from leads_pandas.run import carry_out

    ready = prepare_ids(ids, Output(None, emails, min_confidence, rename))
    order = _order(
        ready.asked,
        ready.given,
        query_id=query_id,
        max_credits=max_credits,
        confirm=confirm,
        partial=partial,
        refresh=refresh,
        label=label,
    )
    table: pa.Table = carry_out(order, ready, progress=progress, timeout=timeout, client=client)
    return table


@pointing_outside
def start(
    df: pd.DataFrame,
    *,
    on: Hashable | None = None,
    query_id: str | None = None,
    max_credits: int | None = None,
    confirm: bool | Callable[[CostPreview], bool] = False,
    partial: bool = False,
    refresh: bool = False,
    progress: bool | Callable[[RunStatus], object] | None = None,
    client: LeadsClient | None = None,
    label: str | None = None,
) -> EnrichmentRun:
    """Do what `enrich` does up to the start, and return; ``run.result()`` does the rest.

    Endpoints: ``POST /api/v1/enrichment/preview``, ``POST …/start``, ``GET …/jobs``.

    Args:
        df: the frame with the lead IDs; it is not changed.
        on: column or index level of the lead IDs.
        query_id: a search whose price must be that of the IDs; they are started by their IDs.
        max_credits: hard cap in credits; see `enrich`.
        confirm: True: show the preview and ask; or a callable that answers.
        partial: True: start what fits.
        refresh: read leads again that the store already holds.
        progress: see `enrich`; it serves ``run.result()`` as well.
        client: a `LeadsClient`; None: the default client.
        label: a name of yours for the run, which `runs` shows; None: none.

    Returns:
        the `EnrichmentRun`.

    Raises:
        LeadsError: see `enrich`.

    Example:
        >>> new = pd.read_parquet("new_leads.parquet")
        >>> run = new.leads.start(max_credits=50)
        >>> run.status().total  # ask as often as you like, from other notebooks too
        20
        >>> more = run.result("more.parquet")
    """
    from leads_pandas.frames.ids import lead_ids
    from leads_pandas.progress import Display
    from leads_pandas.run import EnrichmentRun, Work

    ids = lead_ids(df, on)
    order = _order(
        ids.unique,
        ids,
        query_id=query_id,
        max_credits=max_credits,
        confirm=confirm,
        partial=partial,
        refresh=refresh,
        label=label,
    )
    run = EnrichmentRun(client=client, work=Work(df.assign(), on, progress))
    if order.lead_ids:
        display = Display(progress)
        with display.shown(), run.session(order, display=display) as session:
            run.buy(session)
    return run


@pointing_outside
def results(
    df: pd.DataFrame,
    path: str | os.PathLike[str] | None = None,
    *,
    on: Hashable | None = None,
    emails: Literal["best", "all"] = "best",
    min_confidence: float = 0.0,
    rename: Mapping[str, str] | None = None,
    on_conflict: Literal["raise", "replace", "fill"] = "raise",
    refresh: bool = False,
    client: LeadsClient | None = None,
) -> pd.DataFrame:
    """Join what the store holds of the frame's leads: no request, nothing spent.

    Args:
        df: the frame with the lead IDs; it is not changed.
        path: Parquet file to write, or None.
        on: column or index level of the lead IDs.
        emails: ``"best"`` or ``"all"``.
        min_confidence: 0-1.
        rename: names for the new columns.
        on_conflict: ``"raise"``, ``"replace"`` or ``"fill"``.
        refresh: read every lead again first, one free
            ``GET /api/v1/enrichment/lead/:leadId`` each.
        client: a `LeadsClient`, whose account's store is read; None: the default client.

    Returns:
        the frame with the five columns of `enrich`.

    Raises:
        LeadIdError: the frame's IDs cannot be used.
        ColumnConflictError: the frame has such a column.
        ValueError: an option is wrong, or Parquet cannot hold the frame.
        OSError: the file cannot be written.
        LeadsError: the store, or with ``refresh`` the service, cannot be used.

    Example:
        >>> one_row_per_email = df.leads.results(emails="all", min_confidence=0.4)
        >>> sure = df.pipe(leads_pandas.results, min_confidence=0.8)
    """
    from leads_pandas.frames import delivery
    from leads_pandas.run import stored

    output = delivery.Output(path, emails, min_confidence, rename, on_conflict)
    ready = delivery.prepare(df, on, output)
    return stored(ready, read=refresh, client=client)


@pointing_outside
def summary(df: pd.DataFrame) -> pd.Series[Any]:
    """Summarise an enriched frame; no request.

    Args:
        df: a frame that `enrich` or `results` returned.

    Returns:
        ``rows``, ``leads`` (unique), ``repeated_rows``, ``rows_without_id``, one count per status
        (of unique leads), ``hit_rate``, ``mean_confidence`` (0-1), ``credits_reserved``,
        ``credits_saved`` (leads that `find` found first, and that were not bought for it),
        ``credits_per_email`` (of what this call itself bought).

    Raises:
        ValueError: the frame is not an enriched one.

    Example:
        >>> int(out.leads.summary()["leads"])
        35
        >>> pilot = df.sample(10, random_state=1).pipe(leads_pandas.enrich)
        >>> int(leads_pandas.summary(pilot)["rows"])
        10
    """
    from leads_pandas import scoring

    return scoring.summary(df)


@pointing_outside
def features(
    df: pd.DataFrame, website: str | None = None, as_of: str | datetime | None = None
) -> pd.DataFrame:
    """Features for scoring models, of an enriched frame; no request. Extra ``scoring``.

    Args:
        df: a frame that `enrich` or `results` returned.
        website: column of the lead's website; None: ``website``, and a `LeadsWarning` where there
            is none.
        as_of: the moment to which days are counted, or the name of a column of moments, so that a
            training set does not look into the future; None: now.

    Returns:
        a frame on the same index: ``has_email``, ``confidence`` (0-1, 0 where none),
        ``email_domain``, ``is_role_address``, ``is_free_provider``, ``is_disposable``,
        ``matches_website`` (nullable), ``days_since_enriched``.

    Raises:
        ValueError: the frame is not an enriched one, or has no such column, or ``as_of`` is no
            moment.

    Example:
        >>> bool(out.leads.features()["is_role_address"].any())
        False
        >>> leads_pandas.features(out).dtypes["matches_website"]
        BooleanDtype
    """
    from leads_pandas import scoring

    return scoring.features(df, website, as_of)


def _order(
    lead_ids: list[str],
    rows: LeadIds | Distinct,
    *,
    query_id: str | None = None,
    max_credits: int | None = None,
    confirm: bool | Callable[[CostPreview], bool] = False,
    partial: bool = False,
    refresh: bool = False,
    label: str | None = None,
) -> Order:
    from leads_pandas.asking import consent
    from leads_pandas.leadsapi.client import standing_cap, whole
    from leads_pandas.money.plan import Order

    if query_id is not None and (not isinstance(query_id, str) or not query_id.strip()):
        raise ValueError(f"query_id must be a search's id, not {query_id!r}")
    for name, value in (("refresh", refresh), ("partial", partial), ("confirm", confirm)):
        if not isinstance(value, bool) and not (name == "confirm" and callable(value)):
            raise ValueError(f"{name} must be True or False, not {value!r}")
    if label is not None and not isinstance(label, str):
        raise ValueError(f"label must be a text, not {label!r}")
    standing = standing_cap() if max_credits is None else None
    return Order(
        lead_ids,
        query_id=query_id,
        max_credits=standing if max_credits is None else whole("max_credits", max_credits),
        standing=standing is not None,
        partial=partial,
        refresh=refresh,
        consent=consent(confirm),
        label=label,
        rows_without_id=rows.rows_without,
        duplicate_rows=rows.duplicate_rows,
    )
