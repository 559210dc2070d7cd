"""What looks prove of a start in doubt: a table, the rules of time, and services of every kind."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from leads_pandas.models import ActiveJob, CostPreview, Transaction
from leads_pandas.money.evidence import MOST, PATIENCE, Before, Case, Look

SENT, QUEUED = 5, 4  # leads of the start, and those of them that were to be enriched
UNTIL, SETTLE = 120.0, 60.0


def a_case(**fields: Any) -> Case:
    """A start of five leads in doubt, one of them enriched before."""
    before: dict[str, Any] = {
        "jobs": frozenset({"old"}),
        "available": 100,
        "enriched": 1,
        "to_enrich": QUEUED,
    }
    for name in [one for one in fields if one in Before.__slots__]:
        before[name] = fields.pop(name)
    usual: dict[str, Any] = {"until": UNTIL, "settle": SETTLE, "estimate": QUEUED}
    return Case(size=SENT, before=Before(**before), **(usual | fields))


def a_job(job_id: str, leads: int | None = SENT, kind: str = "enrichment") -> ActiveJob:
    return ActiveJob(job_id, kind, 10.0, leads, None)


def charge(amount: int, words: str = "Enrichment", name: str = "t") -> Transaction:
    return Transaction(name, "DEDUCTION", amount, words, None)


def a_look(
    *jobs: ActiveJob,
    at: float = 1.0,
    spent: int = 0,
    enriched: int = 0,
    at_work: int = 0,
    gone: int = 0,
    blind: str = "",
    charges: tuple[int, ...] = (),
    **more: Any,
) -> Look:
    """What a look shows: jobs, credits spent, leads enriched, at work or deleted."""
    left = QUEUED - enriched - at_work - gone
    preview = CostPreview(SENT - gone, 1 + enriched, left, left, 100 - spent)
    return Look(
        at,
        None if "jobs" in blind else list(jobs),
        None if "preview" in blind else preview,
        **{"own": frozenset({"own"}), "balance": charges, "book": charges, **more},
    )


MINE, MATE = a_job("mine"), a_job("mate", 17)
GONE: dict[str, Any] = {"ended": frozenset({"mine"})}
WHOLE: dict[str, Any] = {"ended": frozenset({"mine"}), "completed": frozenset({"mine"})}

# name -> the case, what is seen, the verdict, the job, whether it ended.
TABLE: dict[str, tuple[dict[str, Any], Look, str, str | None, bool]] = {
    "nothing at all": ({}, a_look(), "wait", None, False),
    "a job that was there before": ({}, a_look(a_job("old")), "wait", None, False),
    "another start's job of this store": ({}, a_look(a_job("own")), "wait", None, False),
    "a job that may be ours": ({}, a_look(MINE, spent=4), "wait", None, False),
    "one of its size, one lead enriched": ({}, a_look(MINE, enriched=1), "job", "mine", False),
    "a smaller one, one enriched": ({}, a_look(a_job("m", 2), enriched=1), "job", "m", False),
    "no size told, one enriched": ({}, a_look(a_job("m", None), enriched=1), "job", "m", False),
    "one too large, one enriched": ({}, a_look(MATE, enriched=1), "wait", None, False),
    "one of two, one enriched": (
        {},
        a_look(a_job("b", 2), MINE, enriched=1),
        "job",
        "mine",
        False,
    ),
    "gone, some enriched": (
        {"candidates": {"mine": SENT}},
        a_look(enriched=2, **GONE),
        "job",
        "mine",
        True,
    ),
    "not listed, but its status says it runs": (
        {"candidates": {"mine": SENT}},
        a_look(enriched=2),
        "job",
        "mine",
        False,
    ),
    "gone, none enriched": ({"candidates": {"mine": SENT}}, a_look(**GONE), "wait", None, False),
    "some enriched, never a job": ({}, a_look(enriched=2), "wait", None, False),
    "nothing left to buy": ({}, a_look(enriched=4), "ran", None, True),
    "nothing left, its job runs on": ({}, a_look(MINE, enriched=4), "job", "mine", False),
    "nothing left, jobs unreadable": ({}, a_look(enriched=4, blind="jobs"), "ran", None, True),
    "preview unreadable": ({}, a_look(MINE, blind="preview"), "wait", None, False),
}


@pytest.mark.parametrize(("fields", "look", "kind", "job", "ended"), TABLE.values(), ids=TABLE)
def test_one_look_is_weighed(
    fields: dict[str, Any], look: Look, kind: str, job: str | None, ended: bool
) -> None:
    verdict = a_case(**fields).see(look)
    assert (verdict.kind, verdict.job_id, verdict.ended) == (kind, job, ended)


def through(case: Case, look: Any, first: float, last: float, step: float = 10.0) -> str:
    """What is said at the end of looks that all show the same."""
    moment, kind = first, ""
    while moment <= last:
        kind = case.see(look(moment)).kind
        if kind != "wait":
            return f"{kind} at {moment:.0f}"
        moment += step
    return kind


def test_absence_is_concluded_no_sooner_than_the_start_could_still_have_been_taken() -> None:
    # One too short to be listed has its time, and then its leads have theirs.
    assert through(a_case(), lambda at: a_look(at=at), 0.0, 500.0) == "absent at 240"


def test_silence_counts_only_through_its_last_seconds() -> None:
    assert through(a_case(), lambda at: a_look(at=at), 190.0, 500.0) == "absent at 250"


def test_without_settle_absence_is_never_concluded() -> None:
    assert through(a_case(settle=None), lambda at: a_look(at=at), 0.0, 5000.0).startswith("undecid")


@pytest.mark.parametrize("blind", ["jobs", "preview"])
def test_one_look_without_an_answer_begins_the_silence_anew(blind: str) -> None:
    case = a_case()
    assert through(case, lambda at: a_look(at=at), 0.0, 160.0) == "wait"
    assert case.see(a_look(at=170.0, blind=blind)).kind == "wait"
    assert through(case, lambda at: a_look(at=at), 180.0, 500.0) == "absent at 240"


def test_looks_far_apart_are_no_silence_and_more_of_them_are() -> None:
    case = a_case()
    kinds = [case.see(a_look(at=at)).kind for at in (190.0, 250.0, 310.0, 370.0)]
    assert kinds == ["wait", "wait", "wait", "absent"]


def test_a_job_has_not_ended_because_two_looks_far_apart_do_not_show_it() -> None:
    case = a_case()
    over = []
    for at in (140.0, 200.0, 260.0, 320.0, 380.0):
        case.see(a_look(at=at, enriched=2, **GONE))
        over.append(case.is_over(at))
    assert over == [False] * 4 + [True]


def test_a_listed_job_is_never_dismissed_and_ends_in_a_doubt_that_is_said() -> None:
    said = through(a_case(), lambda at: a_look(MINE, at=at), 0.0, 10_000.0)
    assert said == f"undecided at {UNTIL + PATIENCE:.0f}"


def test_a_job_that_moves_is_watched_for_longer_but_not_for_ever() -> None:
    def look(at: float) -> Look:
        return a_look(ActiveJob("mine", "enrichment", at % 100, SENT, None), at=at)

    assert through(a_case(), look, 0.0, 20_000.0) == f"undecided at {UNTIL + MOST:.0f}"


def test_a_job_that_completed_without_a_lead_of_ours_was_somebody_elses() -> None:
    case = a_case()
    assert through(case, lambda at: a_look(MINE, at=at, spent=5), 0.0, 100.0) == "wait"
    said = through(case, lambda at: a_look(at=at, spent=5, **WHOLE), 110.0, 900.0)
    assert said == "absent at 240"


def test_a_job_that_failed_without_a_lead_of_ours_explains_no_charge() -> None:
    case = a_case(candidates={"mine": SENT})
    said = through(case, lambda at: a_look(at=at, spent=5, **GONE), 0.0, 900.0)
    assert said.startswith("undecided")


def test_leads_that_keep_becoming_enriched_are_waited_for() -> None:
    case = a_case(to_enrich=50)
    kinds = [
        case.see(
            Look(at, [], CostPreview(SENT, 1 + int(at / 50), 40, 40, 96), own=frozenset())
        ).kind
        for at in range(1, 900, 10)
    ]
    assert set(kinds) == {"wait"}


QUIET: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "own start, shown": ({}, {"spent": 7, "charges": (7,)}),
    "own start, not shown yet": ({}, {"spent": 0, "charges": (7,)}),
    "one of two own starts shown": ({}, {"spent": 9, "charges": (7, 9)}),
    "a stranger's job": ({}, {"jobs": [MATE], "spent": 17}),
    "a search in the book": (
        {"transaction": "old"},
        {"spent": 4, "transactions": [charge(-4, "Lead search: Dentists (97 results)")]},
    ),
    "a top-up in the book": (
        {"transaction": "old"},
        {"spent": -50, "transactions": [Transaction("t", "BONUS", 50, "Top-up", None)]},
    ),
    "an own start in the book": (
        {"transaction": "old"},
        {"spent": 3, "charges": (3,), "transactions": [charge(-3)]},
    ),
    "a charge larger than this start's": (
        {"transaction": "old"},
        {"spent": 9, "transactions": [charge(-9)]},
    ),
    "a top-up that the balance tells apart": (
        {"used": 10, "reset": "r"},
        {"spent": -50, "used": 10, "reset": "r"},
    ),
    "others enriched some, nothing was charged": ({}, {"enriched": 2}),
    "others enriched some, and the book has no charge so small": (
        {"transaction": "old"},
        {"enriched": 2, "spent": 17, "transactions": [charge(-17)]},
    ),
    "others enriched some, and each charge is another's to the credit": (
        {"transaction": "old"},
        {
            "enriched": 2,
            "spent": 7,
            "charges": (3, 4),
            "transactions": [charge(-3), charge(-4, name="u")],
        },
    ),
    "an own failed job that was paid back in part": (
        {"transaction": "old"},
        {
            "spent": 21,
            "charges": (12, 13),
            "refunds": 6,
            "transactions": [charge(-12), charge(-13, name="u"), charge(4, "Refund", "v")],
        },
    ),
    "less than it would have taken is paid back": (
        {},
        {"spent": 9, "charges": (12,), "refunds": QUEUED - 1},
    ),
    "a lead that the service does not know any more": ({}, {"gone": 1}),
}
LOUD = {
    "a search in the list that cost nobody knows what": (
        {},
        {"jobs": [a_job("s", 97, "search")], "spent": 12},
    ),
    "a stranger's job that cost less than it is long": ({}, {"jobs": [MATE], "spent": 15}),
    "a charge that is less than a stranger's job is long": (
        {"transaction": "old"},
        {"jobs": [MATE], "spent": 21, "transactions": [charge(-17), charge(-4, name="u")]},
    ),
    "a stranger's job that may have run before": (
        {"jobs": None},
        {"jobs": [MATE], "spent": 17},
    ),
    "money gone": ({}, {"spent": 4}),
    "money come in": ({}, {"spent": -4}),
    "more gone than own starts took": ({}, {"spent": 11, "charges": (7,)}),
    "a charge in the book": ({"transaction": "old"}, {"spent": 4, "transactions": [charge(-4)]}),
    "a charge in the book, not in the balance": (
        {"transaction": "old"},
        {"transactions": [charge(-4)]},
    ),
    "a charge hidden by a refund": (
        {"transaction": "old"},
        {"transactions": [charge(-4), charge(4, "Refund", "u")]},
    ),
    "two charges, one own start": (
        {"transaction": "old"},
        {"spent": 8, "charges": (4,), "transactions": [charge(-4), charge(-4, name="u")]},
    ),
    "more paid back than an own failed job left": (
        {"transaction": "old"},
        {"spent": 5, "charges": (12,), "refunds": 6, "transactions": [charge(-12)]},
    ),
    "as much as it may have taken is paid back, and no book": (
        {},
        {"spent": 8, "charges": (12,), "refunds": QUEUED},
    ),
    "some enriched and money gone": ({}, {"enriched": 2, "spent": 2}),
    "some enriched, a stranger's job that cost less than it may": (
        {},
        {"jobs": [MATE], "enriched": 2, "spent": 17},
    ),
    "some enriched, a charge that is not an own start's to the credit": (
        {"transaction": "old"},
        {"enriched": 2, "spent": 3, "charges": (4,), "transactions": [charge(-3)]},
    ),
    "some enriched, two charges like that of one own start": (
        {"transaction": "old"},
        {
            "enriched": 2,
            "spent": 6,
            "charges": (3,),
            "transactions": [charge(-3, name="u"), charge(-3)],
        },
    ),
    "some enriched, an own start's charge in the balance alone": (
        {},
        {"enriched": 2, "spent": 3, "charges": (3,)},
    ),
    "some neither enriched nor to be enriched": ({}, {"at_work": 2}),
    "a charge whose words name a search": (
        {"transaction": "old"},
        {"spent": 4, "transactions": [charge(-4, "Enrichment of the search: Dentists")]},
    ),
    "a charge for research": (
        {"transaction": "old"},
        {"spent": 4, "transactions": [charge(-4, "Email research")]},
    ),
    "the book unreadable": ({"transaction": "old"}, {}),
    "the balance unreadable": ({"used": 10, "reset": "r"}, {}),
    "the monthly reset": ({"used": 10, "reset": "r"}, {"spent": -10, "used": 0, "reset": "later"}),
    "credits used": ({"used": 10, "reset": "r"}, {"spent": -46, "used": 14, "reset": "r"}),
}


def _shown(more: dict[str, Any], at: float) -> Look:
    rest = dict(more)
    return a_look(*rest.pop("jobs", []), at=at, **rest)


@pytest.mark.parametrize("name", QUIET)
def test_a_balance_that_moved_for_another_reason_settles_by_itself(name: str) -> None:
    fields, more = QUIET[name]
    said = through(a_case(**fields), lambda at: _shown(more, at), 0.0, 500.0)
    assert said == "absent at 240"


@pytest.mark.parametrize(("fields", "more"), LOUD.values(), ids=LOUD)
def test_a_charge_without_another_reason_is_never_absence(
    fields: dict[str, Any], more: dict[str, Any]
) -> None:
    said = through(a_case(**fields), lambda at: _shown(more, at), 0.0, 5000.0)
    assert said.startswith("undecided")


@pytest.mark.parametrize(
    ("look", "words"),
    [
        (a_look(blind="jobs"), "the running jobs could not be read"),
        (a_look(blind="preview"), "the cost preview could not be read"),
        (a_look(MINE), "1 job that may be its own (mine)"),
        (a_look(spent=21), "the balance went down by 21"),
        (a_look(enriched=2), "2 leads of it became enriched"),
    ],
)
def test_a_verdict_says_what_was_seen(look: Look, words: str) -> None:
    assert words in a_case().see(look).words


# -- services of every kind ------------------------------------------------------------------------


@dataclass
class Run:
    """A job of the account, ours or a colleague's, and what the service shows of it, and when."""

    name: str
    begins: float
    seconds: float
    leads: int
    ours: int  # how many of our leads are in it
    listed_after: float = 0.0
    charged: int | None = None
    refund: float | None = None
    drops: bool = False

    def ends(self) -> float:
        return self.begins + self.seconds

    def progress(self, now: float) -> float:
        return 100.0 * (now - self.begins) / max(self.seconds, 1.0)

    def done(self, now: float, lag: float) -> int:
        passed = now - lag - self.begins
        share = 1.0 if self.seconds == 0 else min(max(passed / self.seconds, 0.0), 1.0)
        return int(self.ours * share) if passed >= 0 else 0


@dataclass
class World:
    """A consistent service: whatever happens in it shows in time, if late."""

    runs: list[Run]
    balance_lag: float
    count_lag: float
    keeps_book: bool
    others: list[tuple[float, int, str]] = field(default_factory=list)

    def moves(self, now: float) -> list[tuple[int, str]]:
        found = [(amount, words) for at, amount, words in self.others if at <= now]
        for run in self.runs:
            if run.begins <= now:
                cost = run.leads if run.charged is None else run.charged
                found.append((-cost, "Enrichment"))
                if run.refund is not None and run.ends() + run.refund <= now:
                    found.append((cost, "Refund"))
        return found

    def look(self, at: float, case: Case) -> Look:
        listed = [
            ActiveJob(
                run.name,
                "enrichment",
                100.0 * (at - run.begins) / max(run.seconds, 1.0),
                run.leads,
                None,
            )
            for run in self.runs
            if run.begins + run.listed_after <= at < run.ends()
        ]
        names = {job.job_id for job in listed}
        over = [
            run
            for run in self.runs
            if run.name in case.candidates.keys() - names and run.ends() <= at
        ]
        # A lead of ours is enriched once, whoever does it.
        enriched = min(sum(run.done(at, self.count_lag) for run in self.runs), QUEUED)
        balance = 100 + sum(amount for amount, _ in self.moves(at - self.balance_lag))
        book = [
            Transaction(f"t{n}", "DEDUCTION" if amount < 0 else "BONUS", amount, words, None)
            for n, (amount, words) in enumerate(self.moves(at))
        ]
        preview = CostPreview(SENT, 1 + enriched, QUEUED - enriched, QUEUED - enriched, balance)
        return Look(
            at,
            listed,
            preview,
            book if self.keeps_book else None,
            ended=frozenset(run.name for run in over),
            completed=frozenset(run.name for run in over if not run.drops),
        )


LAGS = st.sampled_from([0.0, 0.5, 5.0, 40.0])
RUNS = st.builds(
    Run,
    name=st.just(""),
    begins=st.floats(0.0, 300.0),
    seconds=st.sampled_from([0.0, 1.0, 30.0, 200.0, 900.0]),
    leads=st.integers(1, 9),
    ours=st.integers(0, 2),
    listed_after=LAGS,
    charged=st.none() | st.integers(0, 9),
    refund=st.none() | LAGS,
    drops=st.booleans(),
)
OURS = st.builds(
    Run,
    name=st.just("ours"),
    begins=st.floats(0.0, UNTIL),
    seconds=st.sampled_from([0.0, 1.0, 30.0, 200.0, 900.0]),
    leads=st.just(QUEUED),
    ours=st.just(QUEUED),
    listed_after=LAGS,
)
SPENDS = st.lists(
    st.tuples(
        st.floats(0.0, 300.0),
        st.integers(-9, 50),
        st.sampled_from(["Lead search: bakers", "Top-up", "Enrichment"]),
    ),
    max_size=3,
)


@settings(max_examples=400, deadline=None)
@given(
    ours=OURS,
    colleagues=st.lists(RUNS, max_size=3),
    others=SPENDS,
    balance_lag=LAGS,
    count_lag=LAGS,
    keeps_book=st.booleans(),
    pauses=st.lists(st.sampled_from([0.0, 1.0, 9.0, 30.0]), min_size=1, max_size=4),
    began=st.floats(0.0, 200.0),
)
def test_no_looks_at_a_consistent_service_release_a_start_whose_job_exists(
    *,
    ours: Run,
    colleagues: list[Run],
    others: list[tuple[float, int, str]],
    balance_lag: float,
    count_lag: float,
    keeps_book: bool,
    pauses: list[float],
    began: float,
) -> None:
    for number, run in enumerate(colleagues):
        run.name = f"mate{number}"
    world = World([ours, *colleagues], balance_lag, count_lag, keeps_book, others)
    case = a_case(transaction="" if keeps_book else None)
    at, kind = began, "wait"
    for number in range(2000):
        look = world.look(at, case)
        verdict = case.see(look)
        kind = verdict.kind
        if kind != "wait":
            break
        assert not (at >= UNTIL + SETTLE and case.is_silent(look) and at >= ours.ends() + 41.0)
        at += max(pauses[number % len(pauses)], 0.5)
    assert kind in ("job", "ran", "undecided")
    if verdict.kind == "job" and not verdict.ended:
        # It is driven on; whatever it turns out to be, nothing is released while ours may run.
        while at < ours.ends() + count_lag:
            look = world.look(at, case)
            case.see(look)
            assert not case.is_over(look.at)
            at += 9.0


@settings(max_examples=200, deadline=None)
@given(
    colleagues=st.lists(RUNS, max_size=2),
    balance_lag=LAGS,
    count_lag=LAGS,
)
def test_a_start_that_never_happened_is_found_absent_where_the_book_tells_all(
    colleagues: list[Run], balance_lag: float, count_lag: float
) -> None:
    for number, run in enumerate(colleagues):
        run.name, run.drops, run.charged, run.ours = f"mate{number}", False, None, 0
        run.refund, run.listed_after, run.seconds = None, 0.0, max(run.seconds, 30.0)
    world = World(colleagues, balance_lag, count_lag, keeps_book=True)
    case = a_case(transaction="")
    at, kind = 0.0, "wait"
    while kind == "wait" and at < 5000.0:
        kind = case.see(world.look(at, case)).kind
        at += 5.0
    assert kind == "absent"
    assert not math.isnan(at)
