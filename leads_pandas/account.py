"""The public functions on the store and the account: runs, jobs, and what is to be forgotten.

Imports that cost time wait until a function is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from leads_pandas.tracebacks import pointing_outside

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

    from leads_pandas.leadsapi.client import LeadsClient
    from leads_pandas.run import EnrichmentRun


@pointing_outside
def resume(
    run_or_job_id: str | EnrichmentRun,
    path: str | os.PathLike[str] | None = None,
    *,
    emails: Literal["best", "all"] = "best",
    min_confidence: float = 0.0,
    rename: Mapping[str, str] | None = None,
    timeout: float | None = None,
    client: LeadsClient | None = None,
) -> pd.DataFrame:
    """Go on with a run of this store: wait, read what is missing, return its results.

    Nothing is started. Endpoints: ``GET /api/v1/enrichment/status/:jobId``, ``…/lead/:leadId``,
    and ``…/preview`` for leads that no job of the run holds.

    Args:
        run_or_job_id: an id of `runs` or `jobs`, or an `EnrichmentRun`.
        path: Parquet file to write, or None. A file with other columns or leads is not replaced.
        emails: ``"best"`` or ``"all"``.
        min_confidence: 0-1.
        rename: names for the new columns.
        timeout: seconds to wait; then `JobTimeoutError`.
        client: a `LeadsClient`; None: the default client.

    Returns:
        one row per lead of the run: ``lead_id`` and the five columns of `enrich`.

    Raises:
        UnknownRunError: this store knows no such run or job.
        ColumnConflictError: the file has columns or leads that would be lost; run the line that
            made it again.
        LeadsError: see `enrich`.
        OSError: the file cannot be written.

    Example:
        >>> last = leads_pandas.runs()["run_id"].iloc[0]
        >>> by_lead = leads_pandas.resume(last, "resumed.parquet")
    """
    from leads_pandas.run import EnrichmentRun, find

    name = run_or_job_id.id if isinstance(run_or_job_id, EnrichmentRun) else run_or_job_id
    if not isinstance(name, str):
        raise TypeError(f"a run or job id is a string, not {type(name).__name__}")
    return find(name, client).result(
        path, emails=emails, min_confidence=min_confidence, rename=rename, timeout=timeout
    )


@pointing_outside
def jobs(*, client: LeadsClient | None = None) -> pd.DataFrame:
    """The account's running jobs: ``GET /api/v1/enrichment/jobs``.

    Args:
        client: a `LeadsClient`; None: the default client.

    Returns:
        one row per job: ``job_id``, ``type``, ``progress`` (float64, percent), ``lead_count``
        (Int64), ``query``.

    Raises:
        APIError: the service said no.
        TransportError: no answer came.

    Example:
        >>> running = leads_pandas.jobs()
        >>> list(running.columns)
        ['job_id', 'type', 'progress', 'lead_count', 'query']
    """
    from leads_pandas.frames.columns import text_dtype
    from leads_pandas.leadsapi.client import using

    with using(client) as api:
        found = api.jobs()
    text = text_dtype()
    return _table(
        [(one.job_id, one.type, one.progress, one.lead_count, one.query) for one in found],
        {"job_id": text, "type": text, "progress": float, "lead_count": "Int64", "query": text},
    )


@pointing_outside
def runs(*, client: LeadsClient | None = None) -> pd.DataFrame:
    """The runs of this account's store, newest first; no request.

    Args:
        client: a `LeadsClient`, whose account's store is read; None: the default client.

    Returns:
        one row per run: ``run_id``, ``label``, ``started_at`` (datetime64[us, UTC]), ``lead_count``
        (of unique IDs), ``state``, ``job_ids`` (comma-separated, those of other runs that it
        waited for included), ``credits_reserved`` (by its own starts, so that the column adds up),
        ``credits_at_stake`` (of its own starts in doubt), and, of runs that came to their end,
        ``ended_at``, ``found`` and ``not_found`` (of all its leads; Int64).

    Raises:
        StoreError: the store cannot be used.

    Example:
        >>> int(leads_pandas.runs()["credits_reserved"].sum())
        35
    """
    from leads_pandas.frames.columns import text_dtype
    from leads_pandas.reading.tally import phase_of
    from leads_pandas.session import opened
    from leads_pandas.store.journal import DOUBTFUL

    with opened(client, keyless=True) as (_, store):
        listed = [(run, store.journal.run_ops(run.id)) for run in store.journal.runs()]
    rows = []
    for run, ops in listed:
        own = [op for op in ops if op.run_id == run.id]
        job_ids = ", ".join(op.job_id for op in ops if op.job_id)
        reserved = sum(op.stake for op in own if op.state in ("started", "done"))
        at_stake = sum(op.stake for op in own if op.state in DOUBTFUL)
        moments = np.datetime64(run.created_at, "us"), np.datetime64(run.ended_at, "us")
        state = phase_of(ops, unread=1)
        told = (run.lead_count, state, job_ids, reserved, at_stake, run.found, run.not_found)
        rows.append((run.id, run.label, *moments, *told))
    text, moment = text_dtype(), "datetime64[us, UTC]"
    dtypes = {
        "run_id": text,
        "label": text,
        "started_at": moment,
        "ended_at": moment,
        "lead_count": "int64",
        "state": text,
        "job_ids": text,
        "credits_reserved": "int64",
        "credits_at_stake": "int64",
        "found": "Int64",
        "not_found": "Int64",
    }
    return _table(rows, dtypes)


@pointing_outside
def forget(
    lead_ids: Iterable[Any] | str | None = None,
    *,
    everything: bool = False,
    client: LeadsClient | None = None,
) -> int:
    """Erase results from this account's store so that they cannot be recovered from its file.

    What `find` keeps of these leads is erased as well, and needs no account.

    The journal of money stays (IDs, jobs, credits), and so do files that you wrote. A forgotten
    lead costs nothing when it is enriched again, but one read: by `enrich` on a frame that has it,
    and by `resume` of a run that had it.

    Args:
        lead_ids: the leads to forget: IDs, or a Series of them.
        everything: forget every lead of the account.
        client: a `LeadsClient`, whose account's store is meant; None: the default client.

    Returns:
        how many results were erased.

    Raises:
        ValueError: neither or both of the two are given.
        TypeError: a table is given in place of IDs.
        LeadIdError: an ID cannot be one.
        StoreError: the store cannot be used.

    Example:
        >>> leads_pandas.forget(["lead007"])
        1
    """
    from leads_pandas.frames.ids import distinct
    from leads_pandas.home import home
    from leads_pandas.session import opened
    from leads_pandas.store.found import Found

    if (lead_ids is None) == (not everything):
        raise ValueError("give either lead_ids or everything=True")
    ids = None
    if lead_ids is not None:
        ids = distinct([lead_ids] if isinstance(lead_ids, str) else lead_ids).unique
    erased = 0
    if Found.is_in(home()):
        with Found(home()) as found:
            erased = found.forget(ids)
        if client is None and not any(home().glob("*/store.sqlite3")):
            return erased  # nothing was ever bought here
    with opened(client, keyless=True) as (_, store):
        return erased + store.results.forget(ids)


def _table(rows: list[tuple[Any, ...]], dtypes: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(dtypes), dtype=object).astype(dtypes)
