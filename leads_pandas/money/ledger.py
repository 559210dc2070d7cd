"""What other starts of this store account for, when credits are gone after one: pure.

A start may be shown late, by a balance or by a book of transactions, and some services charge when
a job ends. So those that may not have been shown before another one's snapshot may explain what is
gone after it. But only as far as the snapshots in between have not shown them already: what was
paid before a start is no reason for what is gone after it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from leads_pandas.store.journal import Op

LAG = 300_000_000  # microseconds for which what moved last may not be shown yet


class Debt(NamedTuple):
    """Credits of one start that are still to be shown: what it reserved or may have.

    Attributes:
        at: when they may have moved last, in microseconds.
        amount: the credits.
        back: what of them may come back, or may have, as its job failed.
    """

    at: float
    amount: int
    back: int = 0


def taken(op: Op) -> int:
    """When a start's snapshot was taken, in microseconds."""
    return int((op.evidence or {}).get("at") or op.sent_at or 0)


class Owed(NamedTuple):
    """What other starts may yet account for after a start's snapshot.

    Attributes:
        balance: what the credits used may yet show of them; those left, where nothing tells used.
        book: what the transactions may.
        refunds: what may come back of the balance's.
        available: what the credits left may show, where those used are another thing.
    """

    balance: tuple[int, ...]
    book: tuple[int, ...]
    refunds: int
    available: tuple[int, ...]


def owed(op: Op, others: Sequence[Op]) -> Owed:
    """What may yet be shown of other starts after a start's snapshot.

    Their numbers tell their order: a clock may be set back.

    Args:
        op: the start, which has a snapshot.
        others: every other one that was sent `since` then.
    """
    balance, book, available = list[Debt](), list[Debt](), list[Debt]()
    earlier = sorted((one for one in others if one.number < op.number), key=lambda one: one.number)
    for last, one in zip([None, *earlier], [*earlier, op], strict=True):
        if last is not None:
            net = _net(last, one)
            balance = _balanced(balance, _fell(last, one), net=net)
            available = _balanced(available, net, net=net)
            book = after(book, (one.evidence or {}).get("booked"))
        due = taken(one) - LAG
        balance, book, available = (
            [debt for debt in debts if debt.at >= due] for debts in (balance, book, available)
        )
        if one is not op:
            mine = _debt(one)
            balance, book, available = [*balance, *mine], [*book, *mine], [*available, *mine]
    later = [debt for one in others if one.number > op.number for debt in _debt(one)]
    return Owed(
        _amounts([*balance, *later]),
        _amounts([*book, *later]),
        sum(debt.back for debt in [*balance, *later]),
        _amounts([*available, *later]),
    )


def since(at: int) -> int:
    """The moment from which on other starts matter to a snapshot, both in microseconds.

    A start before those that may not be shown yet may be shown between them.
    """
    return at - 2 * LAG


def after(debts: Iterable[Debt], shown: Sequence[int] | None) -> list[Debt]:
    """What is still to be shown after so much was: first what is the same, then the oldest.

    Args:
        debts: what was to be shown.
        shown: the amounts; None: nobody knows how much, so it may have been all.
    """
    if shown is None:
        return []
    left, rest = list(debts), 0
    for amount in shown:
        same = next((debt for debt in left if debt.amount == amount), None)
        if same is None:
            rest += amount
        else:
            left.remove(same)
    for place, debt in enumerate(left):
        paid = min(rest, debt.amount)
        rest -= paid
        left[place] = debt._replace(amount=debt.amount - paid)
    return [debt for debt in left if debt.amount]


def _balanced(debts: list[Debt], fell: int | None, *, net: int) -> list[Debt]:
    """What a balance has still to show after it fell by so much: what came back hides what went.

    Args:
        debts: what was to be shown.
        fell: what went, or what is left of that where the balance does not tell; None: not known.
        net: what went less what came.
    """
    failed = [debt for debt in debts if debt.back]
    if failed and net == sum(debt.amount - debt.back for debt in debts):
        return []  # all of it went, and what was left came back
    if failed and fell == 0:
        return debts
    rest = [debt for debt in debts if not debt.back]
    rest = after(rest, None if fell is None or fell < 0 else [fell])
    return [*rest, *(debt._replace(amount=0) for debt in failed)]


def _debt(op: Op) -> list[Debt]:
    free = (op.evidence or {}).get("free")
    if op.state not in ("started", "done") or not op.stake or free:
        return []
    return [Debt(_moved(op), op.stake, op.may_come_back)]


def _moved(op: Op) -> float:
    """When its credits may have moved last: as it was sent, also a second time, or ended."""
    if op.state == "started" and op.ended_at is None:
        return math.inf
    return max(taken(op), op.sent_at or 0, op.ended_at or 0)


def _amounts(debts: Sequence[Debt]) -> tuple[int, ...]:
    return tuple(debt.amount for debt in debts if debt.amount)


def _fell(earlier: Op, later: Op) -> int | None:
    """What the balance went down by between two snapshots, or what was used where it tells.

    None where it was not counted from before. Less than 0 where something came in, which hides what
    went.
    """
    before, now = earlier.evidence or {}, later.evidence or {}
    if now.get("used") is None:
        return _net(earlier, later)
    if before.get("used") is None or before.get("reset") != now.get("reset"):
        return None
    return int(now["used"]) - int(before["used"])


def _net(earlier: Op, later: Op) -> int:
    """What the balance went down by between two snapshots; less than 0 where something came in."""
    return (earlier.available_before or 0) - (later.available_before or 0)
