"""The wire contract, read strictly where it matters and leniently where it may grow."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from leads_pandas import contract, models

PREVIEW = {
    "totalLeads": 47,
    "alreadyEnriched": 12,
    "toEnrich": 35,
    "estimatedCredits": 35,
    "availableCredits": 88,
}
STARTED = {"jobId": "enrich_abc123", "leadsQueued": 35, "creditsReserved": 35}
STATUS = {
    "jobId": "enrich_abc123",
    "status": "PROCESSING",
    "progress": 62,
    "processedLeads": 22,
    "totalLeads": 35,
    "foundEmails": 18,
}
LEAD = {
    "leadId": "cm9lead001",
    "emails": [{"email": "a@b.example", "confidence": 0.94, "source": "website"}],
    "enrichedAt": "2026-05-05T11:23:00.000Z",
}
JOB = {
    "jobId": "cm9search456",
    "progress": 50,
    "leadCount": 100,
    "type": "search",
    "query": "Lawyers",
}
BALANCE = {
    "monthlyCredits": 100,
    "bonusCredits": 25,
    "usedCredits": 43,
    "availableCredits": 82,
    "resetDay": 1,
    "lastResetAt": "2026-05-01T00:00:00.000Z",
}
TRANSACTION = {
    "id": "tx_9",
    "type": "DEDUCTION",
    "amount": -12,
    "description": "Lead search: Dentists in Austin, TX (97 results)",
    "createdAt": "2026-05-05T11:23:00.000Z",
}
CASES: list[tuple[Any, dict[str, Any]]] = [
    (models.CostPreview, PREVIEW),
    (models.StartedJob, STARTED),
    (models.JobStatus, STATUS),
    (models.LeadEnrichment, LEAD),
    (models.ActiveJob, JOB),
    (models.Balance, BALANCE),
    (models.Transaction, TRANSACTION),
]


@pytest.mark.parametrize(("kind", "body"), CASES)
def test_the_vendors_examples_go_both_ways(kind: Any, body: dict[str, Any]) -> None:
    assert kind.from_wire(body).to_wire() == body


@pytest.mark.parametrize(("kind", "body"), CASES)
def test_unknown_fields_are_ignored(kind: Any, body: dict[str, Any]) -> None:
    assert kind.from_wire(body | {"new": {"field": 1}}) == kind.from_wire(body)


@pytest.mark.parametrize(
    ("kind", "body", "field", "value"),
    [
        (models.CostPreview, PREVIEW, "toEnrich", "35"),
        (models.CostPreview, PREVIEW, "toEnrich", True),
        (models.CostPreview, PREVIEW, "toEnrich", -1),
        (models.CostPreview, PREVIEW, "toEnrich", 1.5),
        (models.CostPreview, PREVIEW, "toEnrich", None),
        (models.StartedJob, STARTED, "jobId", 7),
        (models.StartedJob, STARTED, "jobId", ""),
        (models.JobStatus, STATUS, "status", "PAUSED"),
        (models.JobStatus, STATUS, "progress", "62"),
        (models.LeadEnrichment, LEAD, "emails", None),
        (models.LeadEnrichment, LEAD, "emails", [{"email": 5}]),
        (models.LeadEnrichment, LEAD, "emails", [{"email": "a@b.c", "confidence": 94}]),
        (models.LeadEnrichment, LEAD, "emails", [{"email": "a@b.c", "confidence": "high"}]),
        (models.LeadEnrichment, LEAD, "emails", [{"email": "a\ud800@b.c"}]),
        (models.LeadEnrichment, LEAD, "enrichedAt", "yesterday"),
        (models.LeadEnrichment, LEAD, "enrichedAt", 17),
        (models.LeadEnrichment, LEAD, "leadId", None),
        (models.ActiveJob, JOB, "type", None),
        (models.Balance, BALANCE, "availableCredits", None),
        (models.Transaction, TRANSACTION, "id", True),
        (models.Transaction, TRANSACTION, "amount", "-12"),
    ],
)
def test_a_field_that_does_not_fit_is_named(
    kind: Any, body: dict[str, Any], field: str, value: Any
) -> None:
    with pytest.raises(contract.WireError):
        kind.from_wire(body | {field: value})
    if field != "enrichedAt":  # which may be missing
        with pytest.raises(contract.WireError):
            kind.from_wire({name: one for name, one in body.items() if name != field})


def test_what_the_contract_leaves_open_may_be_missing() -> None:
    lead = models.LeadEnrichment.from_wire({"leadId": "a", "emails": [{"email": "a@b.example"}]})
    assert lead.enriched_at is None
    assert lead.emails == (models.Email("a@b.example", None, None),)
    job = models.ActiveJob.from_wire({"jobId": "j", "type": "enrichment"})
    assert (job.lead_count, job.progress, job.query) == (None, None, None)
    moved = models.Transaction.from_wire({"id": 7, "type": "REFUND", "amount": 3})
    assert (moved.id, moved.description, moved.created_at) == ("7", None, None)


def test_a_moment_is_utc_whatever_its_zone() -> None:
    lead = models.LeadEnrichment.from_wire(
        LEAD | {"enrichedAt": "2026-05-05T13:23:00.123456+02:00"}
    )
    assert lead.enriched_at == datetime(2026, 5, 5, 11, 23, 0, 123456, tzinfo=UTC)


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "text",
        {"success": True},
        {"data": {}},
        {"success": "true", "data": {}},
        {"success": False, "error": "no"},
    ],
)
def test_only_a_success_envelope_is_opened(body: object) -> None:
    with pytest.raises(contract.WireError):
        contract.open_envelope(body)


def test_both_error_bodies_have_words() -> None:
    assert contract.error_message(contract.error_envelope("out of credits")) == "out of credits"
    assert contract.error_message(contract.unauthorized_envelope()) == "Invalid or expired token"
    assert contract.error_message("<html>") is None


@pytest.mark.parametrize(("ids", "query"), [(None, None), (["a"], "q"), ([], None), (None, "")])
def test_a_selection_is_ids_or_a_query(ids: list[str] | None, query: str | None) -> None:
    with pytest.raises(ValueError):
        models.selection(ids, query)


def test_a_preview_reads_well_as_text_and_as_html() -> None:
    preview = models.CostPreview(60, 12, 48, 48, 40, 72.0)
    assert "8 credits short" in str(preview)
    assert "1 min 12 s" in str(preview)
    assert "<div" in preview._repr_html_()
    assert not preview.affordable


@pytest.mark.parametrize(
    ("seconds", "longest", "to_enrich", "said"),
    [
        (72.0, 120.0, 48, "1 min 12 s to 2 min"),
        (0.0, 48.0, 48, "a moment to 48 s"),
        (72.0, 72.5, 48, "1 min 12 s"),
        (72.0, None, 48, "at least 1 min 12 s"),
        (0.0, None, 48, "at least a few seconds"),
        (0.0, None, 0, "a moment"),
    ],
)
def test_a_preview_says_how_long_it_will_take_and_what_is_not_known(
    seconds: float, longest: float | None, to_enrich: int, said: str
) -> None:
    counts = (60, 60 - to_enrich, to_enrich, to_enrich, 100)
    shown = str(models.CostPreview(*counts, seconds, longest))
    (time,) = [line for line in shown.splitlines() if line.startswith("  time ")]
    assert time.split(maxsplit=1) == ["time", said]
    assert ("reading alone; no job has ended here yet" in shown) is (
        longest is None and to_enrich > 0
    )


def test_a_preview_counts_the_rows_that_buy_nothing() -> None:
    preview = models.CostPreview(
        60, 12, 47, 47, 100, unknown_ids=1, rows_without_id=1_200, duplicate_rows=3
    )
    rows = [line.rsplit(maxsplit=1) for line in str(preview).splitlines()]
    assert rows[1:5] == [
        ["  leads", "60"],
        ["  unknown to the service", "1"],
        ["  rows without an ID", "1,200"],
        ["  repeated rows", "3"],
    ]
    for label, count in rows[2:5]:
        row = rf">{label.strip()}</span> <span style=\"[^\"]*\">{count}</span>"
        assert re.search(row, preview._repr_html_())
    assert "rows" not in str(models.CostPreview(60, 12, 48, 48, 100))
