"""``df.leads``: the accessor, whose methods are the twins in `functions` with the frame filled in.

Trivial and stateless: pandas 3 makes a new accessor at each access, and completion must not fail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from leads_pandas import functions

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Hashable, Mapping

    from leads_pandas.enrichment import EnrichmentRun
    from leads_pandas.leadsapi.client import LeadsClient
    from leads_pandas.models import CostPreview, RunStatus
    from leads_pandas.plotting import Plot


@pd.api.extensions.register_dataframe_accessor("leads")
class LeadsAccessor:
    """Emails for the leads of a frame: `preview`, `enrich`, `start`, `results`, and a look at them.

    Each method has a twin of the same name in ``leads_pandas`` that takes the frame first.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame

    @property
    def plot(self) -> Plot:
        """Pictures of an enriched frame: ``plot.status()``, ``.confidence()``, ``.sources()``."""
        from leads_pandas.plotting import Plot

        return Plot(self._frame)

    def preview(
        self,
        *,
        on: Hashable | None = None,
        query_id: str | None = None,
        refresh: bool = False,
        client: LeadsClient | None = None,
    ) -> CostPreview:
        """What `enrich` would cost; nothing is spent: ``POST /api/v1/enrichment/preview``, once.

        Args:
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
        """
        return functions.preview(
            self._frame, on=on, query_id=query_id, refresh=refresh, client=client
        )

    def enrich(
        self,
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
    ) -> pd.DataFrame:
        """Buy the email of each lead once, and return the frame with it.

        Previews the cost, starts a job for the leads that neither the store nor the service has,
        polls it, reads each lead as it is done, and joins the results to the frame's own rows.
        Calling the same line again goes on where it stopped and buys nothing twice.

        Endpoints: ``POST /api/v1/enrichment/preview``, ``POST …/start``, ``GET …/jobs``,
        ``GET …/status/:jobId``, ``GET …/lead/:leadId``.

        Args:
            path: Parquet file to write: a local path or a URL of pyarrow's filesystems. Checked
                before anything is spent, replaced atomically. None: no file.
            on: column or index level of the lead IDs; None: ``lead_id``, ``leadId`` or ``id``.
            query_id: start this search in place of the IDs, which must be its leads.
            max_credits: hard cap in credits on what this call and the unfinished runs it takes over
                reserve. None: the balance is the limit.
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
                callable gets every `RunStatus`.
            timeout: seconds for the whole run; then `JobTimeoutError`, and the job goes on.
            client: a `LeadsClient`; None: the default client.

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
        """
        return functions.enrich(
            self._frame,
            path,
            on=on,
            query_id=query_id,
            max_credits=max_credits,
            confirm=confirm,
            partial=partial,
            emails=emails,
            min_confidence=min_confidence,
            rename=rename,
            on_conflict=on_conflict,
            refresh=refresh,
            progress=progress,
            timeout=timeout,
            client=client,
        )

    def start(
        self,
        *,
        on: Hashable | None = None,
        query_id: str | None = None,
        max_credits: int | None = None,
        confirm: bool | Callable[[CostPreview], bool] = False,
        partial: bool = False,
        refresh: bool = False,
        progress: bool | Callable[[RunStatus], object] | None = None,
        client: LeadsClient | None = None,
    ) -> EnrichmentRun:
        """Do what `enrich` does up to the start, and return; ``run.result()`` does the rest.

        Endpoints: ``POST /api/v1/enrichment/preview``, ``POST …/start``, ``GET …/jobs``.

        Args:
            on: column or index level of the lead IDs.
            query_id: start this search in place of the IDs, which must be its leads.
            max_credits: hard cap in credits.
            confirm: True: show the preview and ask; or a callable that answers.
            partial: True: start what fits.
            refresh: read leads again that the store already holds.
            progress: see `enrich`; it serves ``run.result()`` as well.
            client: a `LeadsClient`; None: the default client.

        Returns:
            the `EnrichmentRun`.

        Raises:
            LeadsError: see `enrich`.

        Example:
            >>> new = pd.read_parquet("new_leads.parquet")
            >>> run = new.leads.start(max_credits=50)
            >>> run.status().total  # ask as often as you like, from other notebooks too
            20
            >>> out = run.result("enriched.parquet")
        """
        return functions.start(
            self._frame,
            on=on,
            query_id=query_id,
            max_credits=max_credits,
            confirm=confirm,
            partial=partial,
            refresh=refresh,
            progress=progress,
            client=client,
        )

    def results(
        self,
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
        """
        return functions.results(
            self._frame,
            path,
            on=on,
            emails=emails,
            min_confidence=min_confidence,
            rename=rename,
            on_conflict=on_conflict,
            refresh=refresh,
            client=client,
        )

    def summary(self) -> pd.Series[Any]:
        """Summarise an enriched frame; no request.

        Returns:
            ``rows``, ``leads`` (unique), one count per status (of unique leads), ``hit_rate``,
            ``mean_confidence`` (0-1), ``credits_reserved``, ``credits_per_email``.

        Raises:
            ValueError: the frame is not an enriched one.

        Example:
            >>> int(out.leads.summary()["leads"])
            20
        """
        return functions.summary(self._frame)

    def features(self, website: str | None = None) -> pd.DataFrame:
        """Features for scoring models, of an enriched frame; no request. Extra ``scoring``.

        Args:
            website: column of the lead's website; None: ``website``, where there is one.

        Returns:
            a frame on the same index: ``has_email``, ``confidence`` (0-1, 0 where none),
            ``email_domain``, ``is_role_address``, ``is_free_provider``, ``is_disposable``,
            ``matches_website`` (nullable), ``days_since_enriched``.

        Raises:
            ValueError: the frame is not an enriched one, or has no such column.

        Example:
            >>> bool(out.leads.features()["is_role_address"].any())
            False
        """
        return functions.features(self._frame, website)
