"""What is to be bought: the order, the cap, the room that is left, and what fits into it; pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from leads_pandas.display import plural
from leads_pandas.errors import CreditCapError, InsufficientCreditsError, Way
from leads_pandas.models import CostPreview

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAX_CREDITS = "LEADS_PANDAS_MAX_CREDITS"
_NEAR = 4  # earlier jobs that tell how long another of about their size takes


class Stale(Exception):  # noqa: N818 - a signal inside the package, never shown
    """The price no longer holds: others have claimed, started or finished leads meanwhile."""


@dataclass(slots=True)
class Order:
    """What one call asks for.

    Attributes:
        lead_ids: unique lead IDs, in the frame's order.
        query_id: a search that these must be the leads of, or None.
        max_credits: hard cap, or None.
        standing: whether the cap is the one that the environment sets for every call.
        partial: whether leads may be left out for want of money, or because something failed.
        refresh: whether leads that the store holds are read again.
        consent: asked before credits are spent; raises `EnrichmentDeclined`.
        label: the caller's own name for the run, or None.
        rows_without_id: rows of the frame that ask for nothing.
        duplicate_rows: rows that ask for the lead of another row.
    """

    lead_ids: list[str]
    query_id: str | None = None
    max_credits: int | None = None
    standing: bool = False
    partial: bool = False
    refresh: bool = False
    consent: Callable[[CostPreview], None] | None = None
    label: str | None = None
    rows_without_id: int = 0
    duplicate_rows: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """Leads priced together, to be started together.

    Attributes:
        lead_ids: the leads, in the order to be sent.
        preview: what the service said they cost.
        mark: the journal's mark of starts when the service said so.
        at: when the service said so, on the clock of the call.
    """

    lead_ids: list[str]
    preview: CostPreview
    mark: tuple[int, int]
    at: float


@dataclass(slots=True)
class Plan:
    """What is to be bought and what merely to be read.

    Attributes:
        preview: the price of all of it.
        batches: one start each.
        reads: leads that need no start, and how many of them are enriched.
    """

    preview: CostPreview
    batches: list[Batch] = field(default_factory=list)
    reads: list[tuple[list[str], int]] = field(default_factory=list)


def combine(previews: Sequence[CostPreview]) -> CostPreview:
    """The previews of several batches as one."""
    return CostPreview(
        total_leads=sum(one.total_leads for one in previews),
        already_enriched=sum(one.already_enriched for one in previews),
        to_enrich=sum(one.to_enrich for one in previews),
        estimated_credits=sum(one.estimated_credits for one in previews),
        available_credits=min((one.available_credits for one in previews), default=0),
        unknown_ids=sum(one.unknown_ids for one in previews),
    )


def room(order: Order, preview: CostPreview, reserved: int, *, shown: CostPreview) -> int:
    """Credits that a call may still reserve: the only place where caps and balance are decided.

    Args:
        order: what is asked for.
        preview: the price of what is missing.
        reserved: credits of this call's starts and of the unfinished runs it attaches to.
        shown: the price as one of the whole frame, for the error.

    Raises:
        CreditCapError: the cap does not cover the price, and nothing may be left out.
        InsufficientCreditsError: the balance does not.
    """
    price, available = preview.estimated_credits, preview.available_credits
    left = available
    if order.max_credits is not None:
        left = min(available, max(order.max_credits - reserved, 0))
    if not preview.to_enrich or price <= left or order.partial:
        return left
    would = f"{plural(preview.to_enrich, 'lead')} would cost {plural(price, 'credit')}"
    held = f" beside {reserved} already reserved" if reserved else ""
    if price > available:
        too = ""
        if order.max_credits is not None and price > order.max_credits - reserved:
            too = f"; the cap of {order.max_credits}{held} does not cover it either"
        raise InsufficientCreditsError(
            f"{would} and the balance is {available}{too}",
            "nothing was spent",
            Way("top_up"),
            Way("partial"),
            preview=shown,
        )
    cap = f"the cap of {order.max_credits}" + (f" that {MAX_CREDITS} sets" * order.standing)
    raise CreditCapError(
        f"{would}{held}, more than {cap}",
        "nothing was spent",
        Way("raise_cap"),
        Way("partial"),
        preview=shown,
    )


def divide(
    batches: Sequence[Batch],
    preview: CostPreview,
    left: int,
    fit: Callable[[Batch, int], Batch | None],
) -> Plan:
    """Put each batch where it belongs: bought as far as the room goes, the rest merely read.

    Args:
        batches: what was priced.
        preview: the price of all of it.
        left: the room.
        fit: finds the longest start of a batch that costs no more.
    """
    plan = Plan(preview)
    for batch in batches:
        bought: Batch | None = batch
        if batch.preview.estimated_credits > left:
            bought = fit(batch, left)
            rest = batch.lead_ids[len(bought.lead_ids) if bought else 0 :]
            enriched = batch.preview.already_enriched
            plan.reads.append((rest, enriched - (bought.preview.already_enriched if bought else 0)))
        if bought is None:
            continue
        if bought.preview.to_enrich:
            plan.batches.append(bought)
            left -= bought.preview.estimated_credits
        else:
            plan.reads.append((bought.lead_ids, bought.preview.already_enriched))
    return plan


def price_of(plan: Plan, shown: CostPreview, jobs: Sequence[tuple[int, float]]) -> CostPreview:
    """What a person is asked about: the whole frame, and of it what would be bought."""
    bought = [batch.preview for batch in plan.batches]
    return timed(
        replace(
            shown,
            to_enrich=sum(one.to_enrich for one in bought),
            estimated_credits=sum(one.estimated_credits for one in bought),
        ),
        jobs,
    )


def timed(preview: CostPreview, jobs: Sequence[tuple[int, float]]) -> CostPreview:
    """A price with the far end of its time, as far as earlier jobs tell.

    The jobs nearest in size do: a smaller one is taken to be no faster than they were, a larger one
    as slow for each lead. Of as many as `_NEAR` the slowest does not count, since nobody may have
    been there to see its end. All that is left is read after the job, at the worst.

    Args:
        preview: the price.
        jobs: leads and seconds of each.
    """
    leads = preview.to_enrich
    near = sorted(jobs, key=lambda job: abs(math.log(max(leads, 1) / job[0])))[:_NEAR]
    slowest = sorted(seconds * max(1.0, leads / size) for size, seconds in near)[: _NEAR - 1]
    job = 0.0 if leads == 0 else slowest[-1] if slowest else None
    longest = None if job is None else preview.estimated_seconds + job
    return replace(preview, longest_seconds=longest)
