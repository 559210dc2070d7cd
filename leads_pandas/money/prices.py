"""What leads cost: previews of what may be sent, and of what fits a budget. Nothing is spent."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from leads_pandas.errors import APIError, LeadIdError, Way
from leads_pandas.money.plan import Batch, combine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from leads_pandas.leadsapi.client import LeadsClient
    from leads_pandas.store.journal import Journal

TOO_LARGE = 413
_FIT_PREVIEWS = 12  # requests spent at most on finding out how many leads a budget covers


def price(api: LeadsClient, journal: Journal, lead_ids: Sequence[str]) -> list[Batch]:
    """Preview leads; a body refused as too large is split, and each half is a batch.

    Raises:
        APIError: the service said no.
        TransportError: no answer came.
    """
    ids = list(lead_ids)
    mark = journal.last_sent()
    try:
        preview = api.preview(ids)
        preview = replace(preview, unknown_ids=max(len(ids) - preview.total_leads, 0))
        return [Batch(ids, preview, mark, api.wait.now())]
    except APIError as error:
        if error.status_code != TOO_LARGE or len(ids) == 1:
            raise
    half = len(ids) // 2
    return price(api, journal, ids[:half]) + price(api, journal, ids[half:])


def fit(api: LeadsClient, batch: Batch, credits_left: int) -> Batch | None:
    """The longest start of a batch that was seen to cost no more, or None."""
    best: Batch | None = None
    low, high = 0, len(batch.lead_ids)
    low_cost, high_cost = 0, batch.preview.estimated_credits
    for step in range(_FIT_PREVIEWS):
        # As if the price were spread evenly; halving in between, where it is not.
        share = 0.5 if step % 2 else (credits_left - low_cost) / max(high_cost - low_cost, 1)
        size = min(max(low + int(share * (high - low)), low + 1), high - 1)
        if size <= low or credits_left <= low_cost:
            break
        preview = api.preview(batch.lead_ids[:size])
        if preview.estimated_credits <= credits_left:
            best = replace(batch, lead_ids=batch.lead_ids[:size], preview=preview)
            low, low_cost = size, preview.estimated_credits
        else:
            high, high_cost = size, preview.estimated_credits
    return best if best is not None and best.preview.to_enrich else None


def hold_against_search(
    api: LeadsClient, journal: Journal, lead_ids: Sequence[str], query_id: str
) -> None:
    """Refuse leads that are not those of a search, as far as its price tells.

    Raises:
        LeadIdError: they are not.
    """
    theirs = api.preview(query_id=query_id)
    ours = combine([one.preview for one in price(api, journal, lead_ids)])
    if (ours.total_leads, ours.to_enrich) != (theirs.total_leads, theirs.to_enrich):
        raise LeadIdError(
            f"these IDs are not the leads of query {query_id!r}: the query has "
            f"{theirs.total_leads} leads with {theirs.to_enrich} to enrich, the IDs "
            f"{ours.total_leads} with {ours.to_enrich}",
            "nothing was spent",
            Way("do", {"what": "take the leads of that search"}),
            Way("no_query"),
        )
