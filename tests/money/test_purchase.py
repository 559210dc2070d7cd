"""Money: prices, what fits a budget, starts, and the weighing of evidence after a lost answer."""

from __future__ import annotations

import contextlib
import sqlite3
import warnings
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from leads_pandas import LeadsClient
from leads_pandas.errors import (
    APIError,
    AuthenticationError,
    InsufficientCreditsError,
    LeadsError,
    LeadsWarning,
    NotFoundError,
    RateLimitError,
    ServerError,
    StartOutcomeUnknown,
    StoreError,
    TransportError,
    UnknownRunError,
)
from leads_pandas.models import CostPreview
from leads_pandas.money import prices
from leads_pandas.money.plan import Batch, Stale, combine, timed
from leads_pandas.money.purchase import Purchase
from leads_pandas.pace.wait import Late
from leads_pandas.store import Store
from leads_pandas.store.journal import Journal, Op, OpLock
from tests.support import in_memory
from tests.support.in_memory import NEVER_LEFT, UNCLEAR, Service
from tests.support.leadsapi import Fault, known

if TYPE_CHECKING:
    from pathlib import Path

# -- against the model of the service ------------------------------------------------------------


class Desk:
    """A store, a client and a purchase over the model of the service."""

    def __init__(self, service: Service, folder: Path, settle: float | None) -> None:
        self.service = service
        self.client = LeadsClient(
            "ll_" + "2" * 64, "https://service.example", requests_per_minute=0, settle=settle
        )
        self.store = Store(folder, self.client.host, self.client.account)
        weakref.finalize(self, self.store.close)  # open to the end, it warns from Python 3.13 on
        self.phases: list[str] = []

    def purchase(self, seconds: float | None = None) -> Purchase:
        return Purchase(
            self.client.within(self.client.wait.within(seconds)),
            self.store,
            settle=self.client.settle,
            tick=self.phases.append,
        )

    def price(self, ids: list[str]) -> list[Batch]:
        return prices.price(self.client, self.store.journal, ids)

    def start(self, ids: list[str], seconds: float | None = None) -> tuple[Op, OpLock]:
        """Price leads and start them, as a run does."""
        purchase = self.purchase(seconds)
        batch = self.price(ids)[0]
        self.store.journal.add_run(f"run-{len(self.store.journal.runs())}", ids, **NOTHING)
        return purchase.start(self.store.journal.runs()[0].id, batch)

    def ops(self) -> list[tuple[str, str]]:
        """State and note of every op, oldest first."""
        with sqlite3.connect(self.store.path) as db:
            found = db.execute("SELECT state, note FROM ops ORDER BY number").fetchall()
        db.close()
        return found

    def state(self) -> str:
        """The state of the last op."""
        return self.ops()[-1][0]


NOTHING: dict[str, Any] = {"partial": False, "preview": None}
IDS = [f"lead{n}" for n in range(6)]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    model = Service(known([*IDS, *(f"more{n}" for n in range(30))]), balance=100)
    in_memory.install(monkeypatch, model)
    return model


@pytest.fixture
def desk(service: Service, tmp_path: Path) -> Desk:
    return Desk(service, tmp_path, settle=20.0)


# -- prices --------------------------------------------------------------------------------------


def test_several_prices_become_one_with_the_lowest_balance() -> None:
    one, other = CostPreview(5, 1, 4, 4, 90), CostPreview(3, 0, 3, 6, 80)
    assert combine([one, other]) == CostPreview(8, 1, 7, 10, 80)
    assert combine([]) == CostPreview(0, 0, 0, 0, 0)
    odd = CostPreview(5, 0, 4, 4, 90, unknown_ids=1)
    assert combine([odd, odd]).unknown_ids == 2


@pytest.mark.parametrize(
    ("leads", "jobs", "longest"),
    [
        (100, [], None),
        (0, [], 30.0),
        (100, [(100, 50.0)], 80.0),
        (200, [(100, 50.0)], 130.0),  # as slow for each lead
        (10, [(100, 50.0)], 80.0),  # and a small job no faster than a larger one
        (100, [(100, 50.0), (90, 60.0), (110, 40.0), (100, 9_999.0)], 30.0 + 60.0 * 100 / 90),
        (2000, [(5, 60.0), (2000, 300.0), (1900, 300.0), (2100, 290.0), (2000, 310.0)], 340.0),
    ],
)
def test_the_far_end_of_the_time_is_what_earlier_jobs_of_about_that_size_took(
    leads: int, jobs: list[tuple[int, float]], longest: float | None
) -> None:
    preview = timed(CostPreview(2000, 2000 - leads, leads, leads, 9_999, 30.0), jobs)
    assert preview.longest_seconds == (None if longest is None else pytest.approx(longest))


def test_a_body_refused_as_too_large_is_split_until_it_fits(desk: Desk) -> None:
    desk.service.max_leads = 2
    batches = desk.price(IDS[:5])
    assert [one.lead_ids for one in batches] == [
        ["lead0", "lead1"],
        ["lead2"],
        ["lead3", "lead4"],
    ]
    assert combine([one.preview for one in batches]).to_enrich == 5


def test_a_single_lead_refused_as_too_large_is_an_error(desk: Desk) -> None:
    desk.service.max_leads = 0
    with pytest.raises(APIError) as caught:
        desk.price(IDS[:1])
    assert caught.value.status_code == 413


def test_another_refusal_of_a_price_is_not_split(desk: Desk) -> None:
    desk.service.faults.append(Fault("preview", "422", times=9))
    with pytest.raises(APIError):
        desk.price(IDS)
    assert desk.service.requests["preview"] == 1


def fitted(desk: Desk, ids: list[str], credits_left: int) -> tuple[Batch | None, int]:
    """The longest start within a budget, and the previews that finding it took."""
    batch = desk.price(ids)[0]
    before = desk.service.requests["preview"]
    found = prices.fit(desk.client, batch, credits_left)
    return found, desk.service.requests["preview"] - before


MORE = [f"more{n}" for n in range(30)]


@pytest.mark.parametrize("enriched", [[], MORE[:10], MORE[20:], MORE[::3]])
@pytest.mark.parametrize("budget", [1, 4, 13])
def test_what_fits_a_budget_costs_no_more_and_is_found_in_a_few_previews(
    desk: Desk, enriched: list[str], budget: int
) -> None:
    desk.service.enriched = dict.fromkeys(enriched, 0.0)
    batch, previews = fitted(desk, MORE, budget)
    assert batch is not None
    assert 0 < batch.preview.estimated_credits <= budget
    assert batch.lead_ids == MORE[: len(batch.lead_ids)]
    assert previews <= 12


def test_where_each_lead_costs_the_same_the_whole_budget_is_used(desk: Desk) -> None:
    batch, previews = fitted(desk, MORE, 13)
    assert batch is not None
    assert batch.preview.estimated_credits == 13
    assert previews <= 2


def test_nothing_fits_an_empty_budget(desk: Desk) -> None:
    assert fitted(desk, MORE, 0) == (None, 0)


# -- a start -------------------------------------------------------------------------------------


def test_a_start_is_journalled_with_what_its_answer_said(desk: Desk) -> None:
    op, lock = desk.start(IDS)
    lock.release()
    assert (op.state, op.job_id, op.credits_reserved, op.leads_queued) == (
        "started",
        "enrich_1",
        6,
        6,
    )
    assert not op.took_less
    assert desk.store.journal.claims_on(IDS) == {op.id: IDS}


def test_that_it_is_sent_is_durable_before_the_first_byte_and_so_are_its_claims(desk: Desk) -> None:
    seen: list[object] = []

    def watch(endpoint: str, _: str, __: object) -> None:
        if endpoint == "start":
            db = sqlite3.connect(desk.store.path)
            seen.extend(db.execute("SELECT state, sent_at IS NOT NULL FROM ops"))
            seen.extend(db.execute("SELECT count(*) FROM claims"))
            db.close()

    desk.service.watchers.append(watch)
    _, lock = desk.start(IDS)
    lock.release()
    assert seen == [("sending", 1), (6,)]


def test_the_price_is_sent_along_as_the_cap(desk: Desk) -> None:
    caps: list[object] = []
    desk.service.enriched = {"lead0": 0.0}
    desk.service.watchers.append(
        lambda endpoint, _, body: caps.append(body["maxCredits"]) if endpoint == "start" else None
    )
    desk.start(IDS)[1].release()
    assert caps == [5]


def test_a_job_smaller_than_its_price_is_known_as_limited(desk: Desk) -> None:
    desk.service.watchers.append(
        lambda endpoint, _, __: setattr(desk.service, "balance", 4) if endpoint == "start" else None
    )
    op, lock = desk.start(IDS)
    lock.release()
    assert (op.leads_queued, op.took_less) == (4, True)


CLEAR: dict[str, type[LeadsError]] = {
    "401": AuthenticationError,
    "402": InsufficientCreditsError,
    "422": APIError,
}


@pytest.mark.parametrize(("kind", "error"), CLEAR.items())
def test_a_clear_refusal_releases_the_claims_at_once(
    desk: Desk, kind: str, error: type[LeadsError]
) -> None:
    desk.service.faults.append(Fault("start", kind))
    with pytest.raises(error):
        desk.start(IDS)
    assert desk.state() == "rejected"
    assert desk.store.journal.claims_on(IDS) == {}
    assert desk.service.requests["start"] == 1
    desk.start(IDS)[1].release()
    assert desk.service.charges == dict.fromkeys(IDS, 1)


@pytest.mark.parametrize("kind", NEVER_LEFT)
def test_a_start_that_never_left_is_tried_again_and_made_once(desk: Desk, kind: str) -> None:
    desk.service.faults.append(Fault("start", kind, times=3))
    op, lock = desk.start(IDS)
    lock.release()
    assert op.state == "started"
    assert desk.service.charges == dict.fromkeys(IDS, 1)


def test_a_start_that_never_leaves_is_given_up_and_its_claims_released(desk: Desk) -> None:
    desk.service.faults.append(Fault("start", "connection refused", times=99))
    with pytest.raises(TransportError) as caught:
        desk.start(IDS)
    assert caught.value.sent is False
    assert desk.service.requests["start"] == 4
    assert desk.state() == "rejected"
    assert desk.store.journal.claims_on(IDS) == {}


@pytest.mark.parametrize("kind", UNCLEAR)
def test_a_start_without_a_clear_answer_and_without_a_trace_is_sent_once_more(
    desk: Desk, kind: str
) -> None:
    desk.service.faults.append(Fault("start", kind))
    op, lock = desk.start(IDS)
    lock.release()
    assert (op.state, op.job_id) == ("started", "enrich_1")
    assert desk.service.charges == dict.fromkeys(IDS, 1)
    assert "unknown" in desk.phases


@pytest.mark.parametrize("lead_count", ["sent", "queued"])
@pytest.mark.parametrize("fate", ["slow", "instant"])
@pytest.mark.parametrize("kind", UNCLEAR)
def test_a_start_without_a_clear_answer_that_left_a_trace_is_not_sent_again(
    desk: Desk, kind: str, fate: Any, lead_count: Any
) -> None:
    desk.service.lead_count = lead_count
    desk.service.enriched = {"lead0": 0.0}
    desk.service.fates.append(fate)
    desk.service.faults.append(Fault("start", kind, when="after"))
    op, lock = desk.start(IDS)
    lock.release()
    assert op.state == "started"
    assert op.job_id in ("enrich_1", None)
    assert desk.service.requests["start"] == 1


def test_two_unclear_answers_in_a_row_without_a_trace_end_it_and_nothing_is_spent(
    desk: Desk,
) -> None:
    desk.service.faults.append(Fault("start", "502 html", times=2))
    with pytest.raises(ServerError) as caught:
        desk.start(IDS)
    assert "nothing was spent" in str(caught.value)
    assert desk.state() == "absent"
    assert desk.store.journal.claims_on(IDS) == {}
    assert desk.service.requests["start"] == 2


def test_a_start_refused_for_its_rate_looks_at_the_evidence_each_time_and_ends(desk: Desk) -> None:
    desk.service.faults.append(Fault("start", "429", times=99))
    with pytest.raises(RateLimitError):
        desk.start(IDS)
    assert desk.service.requests["start"] == 4
    assert desk.state() == "absent"
    assert desk.service.charges == {}


def test_a_job_that_was_adopted_short_of_its_price_is_known_as_limited(desk: Desk) -> None:
    def spend(endpoint: str, _: str, __: object) -> None:
        if endpoint == "start":
            desk.service.balance = 4

    desk.service.watchers.append(spend)
    desk.service.faults.append(Fault("start", "cut", when="after"))
    op, lock = desk.start(IDS)
    lock.release()
    assert (op.job_id, op.leads_queued, op.took_less) == ("enrich_1", 4, True)


# -- doubts that stay ----------------------------------------------------------------------------


def test_with_settle_none_the_absence_of_a_trace_is_never_enough(
    service: Service, tmp_path: Path
) -> None:
    desk = Desk(service, tmp_path, settle=None)
    service.faults.append(Fault("start", "cut"))
    with pytest.raises(StartOutcomeUnknown):
        desk.start(IDS)
    assert desk.state() == "unknown"
    assert service.requests["start"] == 1
    assert service.charges == {}


def test_a_doubt_holds_up_its_own_leads_only(service: Service, tmp_path: Path) -> None:
    desk = Desk(service, tmp_path, settle=None)
    service.faults.append(Fault("start", "cut"))
    with pytest.raises(StartOutcomeUnknown):
        desk.start(IDS)
    began = service.clock.now
    desk.start(["more0"])[1].release()
    assert service.clock.now < began + 5.0
    assert [state for state, _ in desk.ops()] == ["unknown", "started"]
    assert service.charges == {"more0": 1}


def test_a_second_doubt_says_which_run_to_settle_first(service: Service, tmp_path: Path) -> None:
    desk = Desk(service, tmp_path, settle=None)
    service.faults.append(Fault("start", "cut", times=2))
    with pytest.raises(StartOutcomeUnknown):
        desk.start(IDS)
    with pytest.raises(StartOutcomeUnknown, match="run run-0 is in doubt as well"):
        desk.start(["more0"])


@pytest.mark.parametrize("late", [1.0, 50.0, 119.0])
@pytest.mark.parametrize("seconds", [1.5, 100.0])
def test_a_start_that_is_taken_late_is_found_though_its_caller_went_away(
    desk: Desk, late: float, seconds: float
) -> None:
    desk.service.faults.append(Fault("start", "cut", late=late))
    with contextlib.suppress(Late):
        desk.start(IDS, seconds=seconds)[1].release()
    op = desk.store.journal.open_ops()[0]
    desk.purchase().doubts.settle(op.id)
    assert desk.state() == "started"
    assert desk.service.requests["start"] == 1


def test_a_last_look_before_the_second_start_stops_it(desk: Desk) -> None:
    desk.service.faults.append(Fault("start", "cut"))

    def late(endpoint: str, _: str, body: Any) -> None:
        # The first start is taken at the very moment when the second would go out.
        late = desk.service.clock.now > 1000.0 + 130.0 + 20.0
        sending = late and not desk.store.journal.start_lock().take()
        if endpoint == "preview" and sending and not desk.service.jobs:
            desk.service.start({"leadIds": IDS, "maxCredits": 6})

    desk.service.watchers.append(late)
    op, lock = desk.start(IDS)
    lock.release()
    assert op.state == "started"
    assert desk.service.requests["start"] == 1
    assert desk.service.charges == dict.fromkeys(IDS, 1)


def test_an_answer_that_comes_after_the_start_was_settled_is_said_and_overwrites_nothing(
    desk: Desk,
) -> None:
    def settle(endpoint: str, _: str, __: object) -> None:
        if endpoint == "start":
            op = desk.store.journal.open_ops()[0]
            assert desk.store.journal.move(op.id, ("sending",), "absent")

    desk.service.watchers.append(settle)
    with pytest.raises(StartOutcomeUnknown, match="answered as job enrich_1"):
        desk.start(IDS)
    assert desk.ops() == [("absent", "answered as job enrich_1 after it was settled")]


def test_an_answer_counts_though_somebody_looks_for_the_start_already(desk: Desk) -> None:
    def look(endpoint: str, _: str, __: object) -> None:
        if endpoint == "start":  # as where the lock's file was deleted
            op = desk.store.journal.open_ops()[0]
            assert desk.store.journal.move(op.id, ("sending",), "unknown")

    desk.service.watchers.append(look)
    op, lock = desk.start(IDS)
    lock.release()
    assert (op.state, op.job_id, op.provisional) == ("started", "enrich_1", False)


def test_jobs_that_this_store_has_not_started_are_worth_a_warning_before_anything_is_bought(
    desk: Desk,
) -> None:
    desk.service.teammate(["other"], seconds=500.0)
    with pytest.warns(LeadsWarning, match=r"1 job of this account .*mate_1"):
        desk.start(IDS)[1].release()
    with warnings.catch_warnings(action="error"), pytest.raises(LeadsWarning):
        desk.start(["more0"])
    assert desk.service.requests["start"] == 1
    assert desk.store.journal.claims_on(["more0"]) == {}


@pytest.mark.parametrize("fate", ["slow", "instant"])
def test_with_settle_none_a_trace_is_enough(service: Service, tmp_path: Path, fate: Any) -> None:
    desk = Desk(service, tmp_path, settle=None)
    service.fates.append(fate)
    service.faults.append(Fault("start", "cut", when="after"))
    op, lock = desk.start(IDS)
    lock.release()
    assert op.state == "started"
    assert service.charges == dict.fromkeys(IDS, 1)


def leave_in_doubt(desk: Desk, *, after: bool) -> StartOutcomeUnknown:
    """A start that loses its answer while too little can be seen of the account."""
    desk.service.faults.append(Fault("start", "cut", when="after" if after else "before"))

    def hide(endpoint: str, _: str, __: object) -> None:
        if endpoint == "start":
            desk.service.missing = {"jobs", "preview"} if after else {"jobs"}

    desk.service.watchers.append(hide)
    with pytest.raises(StartOutcomeUnknown) as caught:
        desk.start(IDS)
    desk.service.watchers.remove(hide)
    desk.service.missing = set()
    assert desk.state() == "unknown"
    return caught.value


def test_one_endpoint_out_of_reach_is_enough_to_leave_the_doubt(desk: Desk) -> None:
    doubt = leave_in_doubt(desk, after=False)
    text = str(doubt)
    assert "6 leads" in text
    assert "6 credits" in text
    assert "the running jobs could not be read" in text
    assert "resolve(job_id=" in text
    assert doubt.run_id == "run-0"
    assert desk.service.requests["start"] == 1


def test_one_blind_look_among_quiet_ones_begins_the_silence_anew(desk: Desk) -> None:
    desk.service.faults.append(Fault("start", "cut"))
    blinded: list[float] = []

    def blind(endpoint: str, _: str, __: object) -> None:
        desk.service.missing = set()
        now = desk.service.clock.now
        if endpoint == "jobs" and now > 1000.0 + 130.0 + 5.0 and not blinded:
            blinded.append(now)
            desk.service.missing = {"jobs"}

    desk.service.watchers.append(blind)
    desk.start(IDS)[1].release()
    assert desk.service.requests["start"] == 2
    assert desk.service.clock.now >= blinded[0] + 20.0


@pytest.mark.parametrize("size", [6, 3, 9])
def test_a_strangers_job_is_waited_for_and_never_taken_for_ours(desk: Desk, size: int) -> None:
    desk.service.faults.append(Fault("start", "cut"))

    def mate(endpoint: str, _: str, __: object) -> None:
        if endpoint == "start" and not desk.service.jobs:
            desk.service.teammate([f"other{n}" for n in range(size)], seconds=250.0)

    desk.service.watchers.append(mate)
    op, lock = desk.start(IDS)
    lock.release()
    assert op.job_id == "enrich_2"
    assert desk.service.charges == dict.fromkeys(IDS, 1)
    # Larger than the start, it cannot be its own; else it is waited for to its end.
    assert desk.service.clock.now > 1000.0 + (250.0 if size <= 6 else 130.0)


@pytest.mark.parametrize("after", [True, False])
def test_an_older_doubt_is_looked_at_before_anything_is_started(desk: Desk, after: bool) -> None:
    leave_in_doubt(desk, after=after)
    desk.start(["more0"])[1].release()
    assert [state for state, _ in desk.ops()] == ["started" if after else "unknown", "started"]
    assert desk.service.requests["start"] == 2


def test_a_person_who_says_that_it_never_started_frees_the_leads(desk: Desk) -> None:
    leave_in_doubt(desk, after=False)
    desk.purchase().doubts.resolve(desk.store.journal.open_ops()[0], job_id=None)
    assert desk.state() == "absent"
    assert desk.store.journal.claims_on(IDS) == {}


@pytest.mark.parametrize("seconds", [0.0, 60.0])
def test_a_person_who_names_the_job_gives_the_start_its_answer(desk: Desk, seconds: float) -> None:
    leave_in_doubt(desk, after=True)
    desk.service.clock.now += seconds
    desk.purchase().doubts.resolve(desk.store.journal.open_ops()[0], job_id="enrich_1")
    op = desk.store.journal.open_ops()[0]
    assert (op.state, op.job_id, op.leads_queued) == ("started", "enrich_1", 6)


def test_a_person_who_names_a_job_that_does_not_exist_changes_nothing(desk: Desk) -> None:
    leave_in_doubt(desk, after=True)
    with pytest.raises(NotFoundError):
        desk.purchase().doubts.resolve(desk.store.journal.open_ops()[0], job_id="no-such-job")
    assert desk.state() == "unknown"


def test_a_person_may_not_release_a_start_whose_job_may_be_running(desk: Desk) -> None:
    desk.service.job_seconds = 9000.0
    leave_in_doubt(desk, after=True)
    with pytest.raises(StartOutcomeUnknown, match="may be running as enrich_1"):
        desk.purchase().doubts.resolve(desk.store.journal.open_ops()[0], job_id=None)
    assert desk.state() == "unknown"


def test_a_person_may_not_release_a_start_that_may_still_be_taken(desk: Desk) -> None:
    desk.service.faults.append(Fault("start", "cut", late=100.0))
    with pytest.raises(Late):
        desk.start(IDS, seconds=2.0)
    with pytest.raises(StartOutcomeUnknown, match="may still be taken"):
        desk.purchase().doubts.resolve(desk.store.journal.open_ops()[0], job_id=None)
    assert desk.state() == "unknown"


def test_a_person_may_not_name_the_job_of_another_start(desk: Desk) -> None:
    desk.start(["more0"])[1].release()
    leave_in_doubt(desk, after=False)
    doubtful = next(op for op in desk.store.journal.open_ops() if op.state == "unknown")
    with pytest.raises(UnknownRunError, match="another start"):
        desk.purchase().doubts.resolve(doubtful, job_id="enrich_1")
    assert desk.state() == "unknown"


# -- others --------------------------------------------------------------------------------------


def test_leads_that_another_start_has_claimed_are_not_started(desk: Desk) -> None:
    purchase = desk.purchase()
    batch = desk.price(IDS)[0]
    _, lock = desk.start(IDS[:1])
    with pytest.raises(Stale):
        purchase.start("run-0", batch)
    lock.release()
    assert desk.service.requests["start"] == 1


@pytest.mark.parametrize("moment", ["jobs", "start"])
def test_from_its_snapshot_to_its_answer_a_start_is_the_only_one(desk: Desk, moment: str) -> None:
    ended: list[BaseException] = []

    def another(endpoint: str, _: str, __: object) -> None:
        if endpoint == moment and not ended:
            ended.append(RuntimeError("it was started"))
            try:
                desk.start(["more0"], seconds=30.0)[1].release()
            except Late as late:
                ended[0] = late

    desk.service.watchers.append(another)
    desk.start(IDS)[1].release()
    assert isinstance(ended[0], Late)
    assert desk.service.requests["start"] == 1
    assert desk.store.journal.claims_on(["more0"]) == {}


def test_a_price_that_has_aged_is_asked_again(desk: Desk) -> None:
    purchase = desk.purchase()
    batch = desk.price(IDS)[0]
    desk.store.journal.add_run("run", IDS, **NOTHING)
    desk.service.clock.now += 11.0
    desk.service.balance = 90
    op, lock = purchase.start("run", batch)
    lock.release()
    assert op.available_before == 90
    assert desk.service.requests["preview"] == 2


def test_a_fresh_price_is_not_asked_again(desk: Desk) -> None:
    desk.start(IDS)[1].release()
    assert desk.service.requests["preview"] == 1


def test_a_price_from_before_another_start_is_asked_again(desk: Desk) -> None:
    purchase = desk.purchase()
    batch = desk.price(IDS)[0]
    desk.start(["more0"])[1].release()
    op, lock = purchase.start("run-0", batch)
    lock.release()
    assert op.available_before == 99


@pytest.mark.parametrize("change", ["dearer", "bought"])
def test_a_price_that_no_longer_holds_starts_nothing(desk: Desk, change: str) -> None:
    purchase = desk.purchase()
    if change == "dearer":
        desk.service.enriched = {"lead0": 0.0}
    batch = desk.price(IDS)[0]
    desk.store.journal.add_run("run", IDS, **NOTHING)
    desk.service.clock.now += 11.0
    desk.service.enriched = {} if change == "dearer" else dict.fromkeys(IDS, 0.0)
    with pytest.raises(Stale):
        purchase.start("run", batch)
    assert desk.state() == "rejected"
    assert desk.store.journal.claims_on(IDS) == {}
    assert desk.service.requests["start"] == 0


def test_a_call_whose_time_is_up_gives_its_claims_back(desk: Desk) -> None:
    lock = desk.store.journal.start_lock()
    assert lock.take()
    try:
        with pytest.raises(Late):
            desk.start(IDS, seconds=5.0)
    finally:
        lock.release()
    assert desk.store.journal.claims_on(IDS) == {}
    assert desk.service.requests["start"] == 0


def test_a_journal_that_cannot_be_written_sends_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    move = Journal.move

    def full(journal: Journal, op_id: str, came_from: Any, to: Any, **fields: Any) -> bool:
        if to == "sending":
            raise StoreError("the disk is full")
        return move(journal, op_id, came_from, to, **fields)

    monkeypatch.setattr(Journal, "move", full)
    with pytest.raises(StoreError):
        desk.start(IDS)
    assert desk.service.requests["start"] == 0
