"""What was read of each lead: kept, answered as a table, forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from leads_pandas.frames.columns import SCHEMA
from leads_pandas.models import Email, LeadResult
from leads_pandas.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AT = 1_777_980_180_000_000
TWO = (Email("low@x.com", 0.2, "website"), Email("high@ü.com", 0.9, None))
NO_NUMBER = (Email("a@x.com", None, "website"), Email("b@x.com", 0.0, "website"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path, "leads.example", "account") as opened:
        opened.results.save(
            [
                ("two", LeadResult("found", TWO, AT)),
                ("none", LeadResult("not_found", (), AT + 1)),
                ("unsure", LeadResult("found", NO_NUMBER, None)),
            ]
        )
        yield opened


def answered(store: Store, *leads: str, **wanted: Any) -> list[tuple[Any, ...]]:
    table = store.results.answers(leads, {"y": "failed"}, **wanted)
    return [tuple(row.values()) for row in table.select([0, 1, 2, 3, 5]).to_pylist()]


def test_answers_come_in_the_order_asked_one_row_each(store: Store) -> None:
    assert answered(store, "none", "x", "two", "y") == [
        ("none", None, None, None, "not_found"),
        ("x", None, None, None, "not_enriched"),
        ("two", "high@ü.com", 0.9, None, "found"),
        ("y", None, None, None, "failed"),
    ]


def test_all_emails_stand_together_in_the_services_order(store: Store) -> None:
    assert answered(store, "two", "none", "unsure", emails="all") == [
        ("two", "low@x.com", 0.2, "website", "found"),
        ("two", "high@ü.com", 0.9, None, "found"),
        ("none", None, None, None, "not_found"),
        ("unsure", "a@x.com", None, "website", "found"),
        ("unsure", "b@x.com", 0.0, "website", "found"),
    ]


def test_no_confidence_counts_as_none_at_all(store: Store) -> None:
    assert answered(store, "unsure")[0][1] == "a@x.com"
    assert answered(store, "unsure", min_confidence=0.1) == [("unsure", None, None, None, "found")]
    assert answered(store, "two", emails="all", min_confidence=0.5) == [
        ("two", "high@ü.com", 0.9, None, "found")
    ]


@pytest.mark.parametrize("leads", [[], ["two"], ["x"]])
def test_the_table_has_the_documented_types_whatever_it_holds(
    store: Store, leads: list[str]
) -> None:
    table = store.results.answers(leads)
    assert table.select(SCHEMA.names).schema == SCHEMA
    assert table["lead_id"].to_pylist() == leads


def test_a_moment_is_kept_to_the_microsecond(store: Store) -> None:
    moments = store.results.answers(["two", "none", "unsure"])["enriched_at"]
    assert moments.cast(pa.int64()).to_pylist() == [AT, AT + 1, None]


def test_the_leads_that_were_enriched_last_are_told_from_older_ones(store: Store) -> None:
    dated = store.results.dated(["two", "unsure", "none", "x"])
    assert [lead_id for _, lead_id in dated] == ["none", "two"]


def test_what_is_forgotten_is_not_known(store: Store) -> None:
    assert store.results.known(["two", "none", "x"]) == {"two": "found", "none": "not_found"}
    assert store.results.forget(["two", "x"]) == 1
    assert store.results.known(["two", "none"]) == {"none": "not_found"}
    assert answered(store, "two")[0][4] == "not_enriched"


def test_an_op_that_ends_with_its_results_leaves_no_lock_behind(store: Store) -> None:
    journal = store.journal
    lock = journal.op_lock("op")
    assert lock.take()
    journal.add_run("run", ["a"], partial=False, preview=None)
    assert journal.claim("run", "op", ["a"], to_enrich=1, estimate=1)
    assert journal.move("op", ("planned",), "sending")
    assert journal.move("op", ("sending",), "started", job_id="job")
    store.results.save([("a", LeadResult("not_found"))], done=["op"])
    lock.release()
    assert not list(store.path.parent.rglob("op-*.lock"))
