"""Answers as a table, from the results of single leads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from leads_pandas.frames.columns import answers

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from leads_pandas.models import LeadResult


def answers_of(results: Mapping[str, LeadResult], **wanted: Any) -> pa.Table:
    """What the store would answer if it held these results."""
    rows = (
        (lead, one.status, [(e.email, e.confidence, e.source) for e in one.emails], one.enriched_at)
        for lead, one in results.items()
    )
    return answers(rows, **wanted)
