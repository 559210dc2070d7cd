"""Jobs that finish their leads out of order, in simulated time: the bound, ours, and by hand.

The bound is that of `end_to_end`, for a client who knows the order. Whoever cannot know it, because
there is none, can read without waste only when the job has ended: that is the second bound. Ours
are the package's own decisions (when to poll, what to read, what to look at) without sockets; by
hand is the loop of the vendor's page: poll every 3 seconds, then read one lead after another.
"""

from __future__ import annotations

import random
import statistics
from typing import NamedTuple

from benchmarks.report import Section, Table
from tests.support.orders import LIMIT, ORDERS, WINDOW, bound, finished, simulate

POLL = 3.0  # seconds between the polls of the vendor's page
LATENCY = 0.15  # seconds
TARGET = 1.10
UNKNOWABLE = ("random",)  # no order to be found
SEEDS = 3


class Case(NamedTuple):
    """So many leads, and the seconds that their job takes."""

    leads: int
    job: float


CASES = (
    Case(60, 40.0),
    Case(100, 120.0),
    Case(230, 60.0),
    Case(293, 36.0),
    Case(500, 120.0),
    Case(500, 400.0),
    Case(1000, 300.0),
    Case(2000, 300.0),
)


def by_hand(ready: list[float]) -> float:
    """Seconds that the loop of the vendor's page takes."""
    sent: list[float] = []
    now = 0.0

    def send() -> None:
        nonlocal now
        if len(sent) >= LIMIT:
            now = max(now, sent[-LIMIT] + WINDOW)
        sent.append(now)
        now += LATENCY

    send()
    send()
    send()
    while now - LATENCY < max(ready):
        now += POLL
        send()
    for _ in ready:
        send()
    return now


def out_of_order(*, quick: bool) -> Section:
    """Every order on every case."""
    section = Section("Out of order (simulated time)")
    heads = "order|mean ours / bound|worst|mean by hand / bound|mean ours / read at the end"
    table = Table(f"{heads}|reads / leads|polls|looks|target")
    cases = Table("order|" + "|".join(f"{one.leads:,} in {one.job:g} s" for one in CASES))
    for order in ORDERS:
        ratios, hands, blind, reads, polls, looks = [], [], [], [], [], []
        cells: list[str] = []
        for case in CASES:
            here = []
            for seed in range(1 if quick else SEEDS):
                ready = finished(order, case.leads, case.job, random.Random(seed))
                seen, least = simulate(ready, latency=LATENCY), bound(ready)
                here.append(seen.seconds / least)
                hands.append(by_hand(ready) / least)
                blind.append(seen.seconds / bound([case.job] * case.leads))
                reads.append(seen.reads / case.leads)
                polls.append(seen.polls)
                looks.append(seen.looks)
            ratios += here
            cells.append(f"{statistics.mean(here):.2f}")
        own = statistics.mean(blind if order in UNKNOWABLE else ratios)
        words = section.require(f"{order}, ours / its bound", own, TARGET)
        most = section.require(f"{order}, reads / leads", statistics.mean(reads), 1.05)
        table.add(
            order,
            f"{statistics.mean(ratios):.3f}",
            f"{max(ratios):.2f}",
            f"{statistics.mean(hands):.2f}",
            f"{statistics.mean(blind):.2f}",
            f"{statistics.mean(reads):.3f}",
            f"{statistics.mean(polls):.0f}",
            f"{statistics.mean(looks):.0f}",
            "MISSED" if "MISSED" in (words, most) else "ok",
        )
        cases.add(order, *cells)
    section.tables += [table, cases]
    section.notes.append(
        f"{LIMIT} requests per {WINDOW:g} s, {LATENCY * 1000:.0f} ms latency; target: on average "
        f"{TARGET:g} x the bound of a client who knows the order (for random ones, which nobody "
        "can know, of one who reads at the end) and 1.05 reads a lead. The second table is ours "
        "over the bound, case by case: the bound is a staircase, so a few requests more than a "
        "multiple of the limit (293 leads and 5 polls are 300) cost up to a whole window."
    )
    return section
