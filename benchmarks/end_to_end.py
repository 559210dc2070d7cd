"""From a frame of new leads to the enriched frame under the documented limit, against the bound.

The bound is what no client can beat: one preview and one start, then one request per lead, each no
sooner than its lead has been processed (in the order sent, evenly over the job's time), and no
sooner than one window after the request a whole limit before it. It knows no latency and no polls.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import NamedTuple

from benchmarks.clients import LIMIT
from benchmarks.report import Section, Table
from benchmarks.service import child, vendor

CLIENTS = ("ours", "hand", "pool", "limiter")
LATENCY = 0.03  # seconds
OVERHEAD = 2  # requests that nobody can do without: preview and start


class Case(NamedTuple):
    """So many leads, and the seconds that their job takes."""

    leads: int
    job: float


CASES = (
    Case(2000, 300.0),
    Case(500, 120.0),
    Case(230, 60.0),
    Case(100, 30.0),
    Case(100, 120.0),
    Case(100, 600.0),
    Case(60, 40.0),
    Case(20, 10.0),
)
QUICK_SCALE = 0.1


@dataclass
class Outcome:
    """What a client took, and what the service counted.

    Attributes:
        seconds: from the first call to the frame.
        trace: moments at which a lead's answer was at hand.
        estimated: seconds that the preview said.
        left: (moment, seconds left) as the bar showed them.
        reads: requests for a lead, those refused included.
        polls: requests for the job's status.
        others: all other requests.
        refused: answers of 429.
    """

    seconds: float
    trace: list[float]
    estimated: float | None
    left: list[tuple[float, float]]
    reads: int
    polls: int
    others: int
    refused: int


def schedule(case: Case, window: float) -> list[float]:
    """The earliest moment at which each lead can be asked for, seconds from the preview."""
    sent: list[float] = []
    for number in range(OVERHEAD + case.leads):
        lead = number - OVERHEAD + 1
        ready = case.job * lead / case.leads if lead > 0 else 0.0
        freed = sent[number - LIMIT] + window if number >= LIMIT else 0.0
        sent.append(max(ready, freed, sent[-1] if sent else 0.0))
    return sent[OVERHEAD:]


def bound(case: Case, window: float) -> float:
    """Seconds that no client can beat."""
    return schedule(case, window)[-1]


def measure(case: Case, name: str, window: float) -> Outcome | None:
    """Run one client against a service of its own; None where it is not installed."""
    with (
        TemporaryDirectory() as folder,
        vendor(
            case.leads, limit=LIMIT, window=window, job_seconds=case.job, latency=LATENCY
        ) as service,
    ):
        seen = child(
            "clients",
            name,
            folder,
            url=service.base_url,
            key=service.key,
            leads=case.leads,
            window=window,
        )
        counts = service.counts
    if seen is None:
        return None
    twice = [one for one, times in counts["charges"].items() if times > 1]
    if twice or len(counts["charges"]) != case.leads:
        raise RuntimeError(f"{name} bought {len(counts['charges'])} leads, {len(twice)} twice")
    requests = counts["requests"]
    return Outcome(
        seen["seconds"],
        seen["trace"],
        seen.get("estimated"),
        seen.get("left", []),
        reads=requests["lead"],
        polls=requests["status"],
        others=counts["total"] - requests["lead"] - requests["status"],
        refused=counts["throttled"],
    )


Outcomes = dict[tuple[Case, str], "Outcome | None"]


def measure_all(*, quick: bool) -> tuple[Outcomes, float]:
    """Every client on every case, several at a time (they mostly wait); and the window."""
    scale = QUICK_SCALE if quick else 1.0
    window = 60.0 * scale
    cases = [
        Case(one.leads, one.job * scale)
        for one in CASES
        if not quick or (one.leads <= 230 and one.job <= 120.0)
    ]
    work = [(case, name) for name in CLIENTS for case in cases]
    with ThreadPoolExecutor(5 if quick else 8) as pool:
        found = list(pool.map(lambda one: measure(one[0], one[1], window), work))
    return dict(zip(work, found, strict=True)), window


def report(outcomes: Outcomes, window: float) -> Section:
    """The tables: times against the bound, and what was asked for."""
    section = Section("End to end, under the limit" + ("" if window == 60.0 else " (quick)"))
    times = Table(
        "leads|job, s|bound, s|ours, s|ours / bound|target|after the job, s|by hand, s"
        "|by hand / ours|threads, s|pyrate-limiter, s"
    )
    counts = Table(
        "leads|job, s|client|lead reads|polls|others|429s|target",
        title="Requests:",
    )
    for case in sorted({case for case, _ in outcomes}):
        least = bound(case, window)
        own = outcomes[case, "ours"]
        if own is None:
            raise RuntimeError("ours was not measured")
        label = f"{case.leads:,} leads, job of {case.job:g} s"
        target = section.require(f"{label}, seconds", own.seconds, 1.05 * least + 2.0)
        after = ""
        if least <= case.job:  # the job is the slower one
            late = own.seconds - case.job
            after = f"{late:.1f} {section.require(f'{label}, seconds after it', late, 3.0)}"
        hand = outcomes[case, "hand"]
        others = [
            "missing" if one is None else f"{one.seconds:,.1f}"
            for one in (outcomes[case, "pool"], outcomes[case, "limiter"])
        ]
        times.add(
            f"{case.leads:,}",
            f"{case.job:g}",
            f"{least:,.1f}",
            f"{own.seconds:,.1f}",
            f"{own.seconds / least:.3f}",
            target,
            after,
            "missing" if hand is None else f"{hand.seconds:,.1f}",
            "" if hand is None else f"{hand.seconds / own.seconds:.2f}",
            *others,
        )
        for name in CLIENTS:
            seen = outcomes[case, name]
            if seen is None:
                continue
            words = ""
            if name == "ours":
                verdicts = [
                    section.require(f"{label}, lead reads", seen.reads, 1.02 * case.leads + 2),
                    section.require(f"{label}, other requests", seen.others, 6),
                    section.require(f"{label}, answers of 429", seen.refused, 0),
                ]
                words = "MISSED" if "MISSED" in verdicts else "ok"
            counts.add(
                f"{case.leads:,}",
                f"{case.job:g}",
                name,
                f"{seen.reads:,}",
                seen.polls,
                seen.others,
                seen.refused,
                words,
            )
    section.tables += [times, counts]
    section.notes.append(
        f"An exact sliding window of {LIMIT} requests per {window:g} s, {LATENCY * 1000:.0f} ms "
        "latency, 429 with `Retry-After`. Targets: at most 1.05 x bound + 2 s, and 3 s after the "
        "end of a job that takes longer than reading; 1.02 x leads + 2 lead reads, 6 requests "
        "beside reads and polls, no 429. `hand` is the loop of the "
        "vendor's page (poll every 3 s, then read one after another), `pool` reads on 8 threads, "
        "`limiter` is `pool` behind pyrate-limiter; all three sleep as long as a 429 says. "
        "Ours also commits each answer and writes the Parquet file."
    )
    if any(one is None for one in outcomes.values()):
        section.notes.append(
            "pyrate-limiter is not installed: its column is missing (`pip install pyrate-limiter`)."
        )
    return section


def estimates(outcomes: Outcomes, window: float) -> Section:
    """What the preview and the bar said of the time, against what it took."""
    section = Section("The time that was said" + ("" if window == 60.0 else " (quick)"))
    table = Table(
        "leads|job, s|reality, s|preview said, s|said / reality|target|bar at 10 %|at 50 %|at 90 %"
    )
    for case in sorted({case for case, _ in outcomes}):
        own = outcomes[case, "ours"]
        if own is None or own.estimated is None:
            continue
        ratio = own.estimated / own.seconds
        label = f"{case.leads:,} leads, job of {case.job:g} s, preview / reality"
        reading = bound(Case(case.leads, 0.0), window)
        longer = reading > case.job  # reading is the longer part
        off = abs(ratio - 1.0) if longer else ratio - 1.0
        target = "-"
        if window == 60.0:  # a shorter one makes the latency, which nobody can foresee, too long
            target = section.require(label + " - 1", off, 0.10 if longer else 0.0)
        bars = [_bar_error(own, share) for share in (0.1, 0.5, 0.9)]
        table.add(
            f"{case.leads:,}",
            f"{case.job:g}",
            f"{own.seconds:,.1f}",
            f"{own.estimated:,.1f}",
            f"{ratio:.2f}" + ("" if longer else " (job is longer)"),
            target,
            *bars,
        )
    section.tables.append(table)
    section.notes.append(
        "Target: within 10 % where reading is the longer part, a lower bound otherwise. The last "
        "columns: the end that the bar promised at that share of the time, over the true end."
    )
    return section


def _bar_error(outcome: Outcome, share: float) -> str:
    moment = share * outcome.seconds
    said = [pair for pair in outcome.left if pair[0] <= moment]
    return f"{sum(said[-1]) / outcome.seconds:.2f}" if said else "-"
