"""What other starts account for: as much as has not been shown, and no more."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leads_pandas.money import ledger
from leads_pandas.money.ledger import Debt
from leads_pandas.store.journal import Op

SECOND = 1_000_000
START = 1_700_000_000


def a_start(at: float, amount: int, available: int, **known: Any) -> Op:
    """One that was answered, its snapshot taken so many seconds in."""
    moment = int((START + at) * SECOND)
    usual = {
        "state": "done",
        "number": moment,
        "job_id": "job",
        "sent_at": moment,
        "credits_reserved": amount,
        "estimate": amount,
        "available_before": available,
        "evidence": {"at": moment, "transaction": "t"} | known.pop("evidence", {}),
    }
    every: dict[str, Any] = dict.fromkeys(one.name for one in fields(Op))
    return Op(**(every | usual | known))


@pytest.mark.parametrize(
    ("shown", "left"),
    [
        ([], [5, 3, 4]),
        ([3], [5, 4]),
        ([4], [5, 3]),
        ([6], [2, 4]),
        ([9], [3]),
        ([4, 5, 3], []),
        ([99], []),
        (None, []),
    ],
)
def test_what_is_shown_is_first_what_is_the_same_then_the_oldest(
    shown: list[int] | None, left: list[int]
) -> None:
    debts = [Debt(1, 5), Debt(2, 3), Debt(3, 4)]
    assert [debt.amount for debt in ledger.after(debts, shown)] == left


OP = a_start(100.0, 0, 90, evidence={"booked": [4]})
# name -> the other starts, what the balance may yet show of them, and what the book.
TABLE: dict[str, tuple[list[Op], tuple[int, ...], tuple[int, ...]]] = {
    "none": ([], (), ()),
    "shown in both": ([a_start(40.0, 4, 94)], (), ()),
    "shown in the book": ([a_start(40.0, 4, 90)], (4,), ()),
    "shown in the balance": ([a_start(40.0, 10, 100)], (), (6,)),
    "one after it": ([a_start(140.0, 4, 94)], (4,), (4,)),
    "one long before it": ([a_start(-201.0, 7, 90)], (), ()),
    "one that was shown to the one between": (
        [a_start(20.0, 7, 107), a_start(40.0, 4, 100, evidence={"booked": [7]})],
        (),
        (),
    ),
    "one without an answer": (
        [a_start(40.0, 4, 90, credits_reserved=None)],
        (4,),
        (),
    ),
    "one whose leads were enriched by nobody knows whom": (
        [a_start(40.0, 4, 90, credits_reserved=None, job_id=None)],
        (4,),
        (),
    ),
    "one whose leads were enriched at the expense of nobody here": (
        [a_start(40.0, 4, 90, credits_reserved=None, job_id=None, evidence={"free": True})],
        (),
        (),
    ),
    "one that never was": ([a_start(40.0, 4, 90, state="absent")], (), ()),
    "one in doubt": ([a_start(40.0, 4, 90, state="unknown")], (), ()),
    "one whose book is not known": (
        [a_start(-60.0, 7, 90), a_start(40.0, 9, 90)],
        (7, 9),
        (5,),
    ),
}


@pytest.mark.parametrize(("others", "balance", "book"), TABLE.values(), ids=TABLE)
def test_other_starts_account_for_what_had_not_been_shown(
    others: list[Op], balance: tuple[int, ...], book: tuple[int, ...]
) -> None:
    assert ledger.owed(OP, others) == (balance, book, 0, balance)
    assert ledger.owed(OP, others[::-1]) == (balance, book, 0, balance)


def test_where_the_balance_tells_what_was_used_a_top_up_hides_no_charge() -> None:
    evidence = {"transaction": None, "used": 10, "reset": "r"}
    other = a_start(40.0, 4, 90, evidence=evidence)
    for reset, used in (("r", 14), ("later", 4)):
        op = a_start(100.0, 0, 190, evidence=evidence | {"used": used, "reset": reset})
        assert ledger.owed(op, [other]).balance == ()


def test_what_counts_as_used_may_be_taken_from_the_credits_left_later() -> None:
    evidence = {"transaction": None, "used": 10, "reset": "r"}
    other = a_start(40.0, 4, 90, evidence=evidence)
    op = a_start(100.0, 0, 90, evidence=evidence | {"used": 14})
    owed = ledger.owed(op, [other])
    assert (owed.balance, owed.available) == ((), (4,))


@pytest.mark.parametrize(
    ("fell", "balance", "back"),
    [
        (1, (), 0),  # it was charged, and what it left came back
        (4, (), 3),
        (0, (4,), 3),
        (9, (), 3),
        (-5, (), 3),
    ],
)
def test_what_a_failed_job_left_may_come_back_until_it_has(
    fell: int, balance: tuple[int, ...], back: int
) -> None:
    others = [
        a_start(40.0, 4, 90 + fell, job_status="FAILED", processed=1, leads_queued=4),
        a_start(-201.0, 4, 91 + fell, job_status="FAILED", processed=1, leads_queued=4),
    ]
    owed = ledger.owed(OP, others)
    assert (owed.balance, owed.refunds) == (balance, back)


def test_what_a_job_left_is_counted_in_credits() -> None:
    half = a_start(40.0, 3, 93, job_status="FAILED", processed=3, leads_queued=6, state="started")
    assert half.may_come_back == 2


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 60), st.integers(1, 9), st.sampled_from([0, 1, 30, 100, 290])),
        max_size=9,
    )
)
def test_where_nobody_else_spends_it_is_what_has_not_been_shown_and_never_more(
    starts: list[tuple[int, int, int]],
) -> None:
    now, sent, ops = 0, list[tuple[float, int, int]](), list[Op]()
    for gap, amount, lag in [*starts, (1, 0, 0)]:
        now += gap
        shown = sum(paid for at, paid, late in sent if at + late <= now)
        booked = [paid for at, paid, late in sent if now - gap < at + late <= now]
        ops.append(a_start(now, amount, 1000 - shown, evidence={"booked": booked}))
        sent.append((now + 0.5, amount, lag))
    balance, book, *_ = ledger.owed(ops[-1], ops[:-1])
    unshown = sorted(paid for at, paid, late in sent[:-1] if at + late > now)
    assert sorted(book) == unshown
    assert sum(balance) <= sum(unshown)
    assert sum(balance) == sum(unshown) or now > ledger.LAG / SECOND
