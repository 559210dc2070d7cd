"""Jobs that finish their leads out of order, in simulated time: the bound, ours, and by hand.

The bound is that of `end_to_end`, for a client who knows the order beforehand. Where there is none,
nobody can know it: random jobs are held to the bound of a client who guesses, with a twentieth of
the reads to waste. Ours are the package's own decisions (when to poll, what to read, what to look
at) without sockets; by hand is the loop of the vendor's page: poll every 3 seconds, then read one
lead after another.
"""

from __future__ import annotations

import random
import statistics
from typing import NamedTuple

from benchmarks.report import Section, Table
from tests.support.orders import LIMIT, ORDERS, WINDOW, Seen, blind_bound, bound, finished, simulate

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
    heads = "order|bound, s|ours, s|by hand, s|ours / bound|worst|by hand / bound|ours / its bound"
    table = Table(f"{heads}|reads / leads|polls|looks|target")
    cases = Table("order|" + "|".join(f"{one.leads:,} in {one.job:g} s" for one in CASES))
    for order in ORDERS:
        rows: list[tuple[float, float, float, float, Seen]] = []
        cells: list[str] = []
        for case in CASES:
            blind = blind_bound(case.leads, case.job) if order in UNKNOWABLE else 0.0
            here = []
            for seed in range(1 if quick else SEEDS):
                ready = finished(order, case.leads, case.job, random.Random(seed))
                least, seen = bound(ready), simulate(ready, latency=LATENCY)
                rows.append((least, blind or least, by_hand(ready), seen.reads / case.leads, seen))
                here.append(seen.seconds / least)
            cells.append(f"{statistics.mean(here):.2f}")
        ratios = [seen.seconds / least for least, *_, seen in rows]
        own = statistics.mean(seen.seconds / its for _, its, *_, seen in rows)
        reads = statistics.mean(read for *_, read, _ in rows)
        words = section.require(f"{order}, ours / its bound", own, TARGET)
        most = section.require(f"{order}, reads / leads", reads, 1.05)
        table.add(
            order,
            f"{statistics.mean(least for least, *_ in rows):.0f}",
            f"{statistics.mean(seen.seconds for *_, seen in rows):.0f}",
            f"{statistics.mean(hand for _, _, hand, *_ in rows):.0f}",
            f"{statistics.mean(ratios):.3f}",
            f"{max(ratios):.2f}",
            f"{statistics.mean(hand / least for least, _, hand, *_ in rows):.2f}",
            f"{own:.3f}",
            f"{reads:.3f}",
            f"{statistics.mean(seen.polls for *_, seen in rows):.0f}",
            f"{statistics.mean(seen.looks for *_, seen in rows):.0f}",
            "MISSED" if "MISSED" in (words, most) else "ok",
        )
        cases.add(order, *cells)
    section.tables += [table, cases]
    section.notes.append(
        f"{LIMIT} requests per {WINDOW:g} s, {LATENCY * 1000:.0f} ms latency; seconds are means "
        f"over the cases. Target: on average {TARGET:g} x its bound, which is that of a client who "
        "knows the order; for random orders, which nobody can know, that of one who guesses and "
        "wastes a twentieth of the reads. The second table is ours over the first bound, case by "
        "case: the bound is a staircase, so a few requests more than a multiple of the limit (293 "
        "leads, preview, start and 6 more are 301) cost a whole window."
    )
    return section
