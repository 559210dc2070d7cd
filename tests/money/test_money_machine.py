"""Never twice, never over the cap, never lost: whatever the service, the network and the kill do.

A hypothesis state machine drives the public functions over the real store, run, transport and
client; `in_memory` stands in for the network and for time.
"""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING, Any

import hypothesis.strategies as st
import pandas as pd
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

import leads_pandas as lp
from tests.support import in_memory
from tests.support.in_memory import FAULTS, UNCLEAR, Service
from tests.support.leadsapi import Fault, known
from tests.support.money_world import World

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.support.leadsapi import Fate

LEADS = [f"lead{n}" for n in range(12)]
GHOSTS = ["ghost0", "ghost1"]  # the service does not know them
EVERYONE = LEADS + GHOSTS


def frame(ids: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame({"lead_id": list(ids)})


def statuses(out: pd.DataFrame) -> dict[str, str]:
    return dict(zip(out["lead_id"], out["enrichment_status"].astype(object), strict=True))


# Known as unknown only where a job of ours has included it.
UNKNOWN = ["unknown_lead", "not_enriched"]


def missing(service: Service, out: pd.DataFrame) -> dict[str, str]:
    """The rows that are not what a whole frame's are."""
    # A lead that somebody else has bought a moment ago may not show yet.
    late = {
        one
        for one, seconds in service.lag.items()
        if service.clock.now < service.enriched.get(one, 0.0) + seconds + 60.0
    }
    words = {one: ["found" if emails else "not_found"] for one, emails in service.leads.items()}
    return {
        one: word
        for one, word in statuses(out).items()
        if word not in words.get(one, UNKNOWN) and not (word == "not_enriched" and one in late)
    }


CRASHES = st.none() | st.integers(0, 40)
PARTS = st.tuples(st.integers(0, 11), st.integers(1, 14)).map(
    lambda part: (EVERYONE * 2)[part[0] : part[0] + part[1]]
)
CAPS = st.none() | st.integers(0, 14)


class Machine(RuleBasedStateMachine):
    """Everything that can happen to one user's leads."""

    folder: Path
    numbers = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()

    @initialize(
        unread=st.sampled_from(["404", "empty"]),
        lead_count=st.sampled_from(["sent", "queued"]),
        shortage=st.sampled_from(["smaller", "refuse"]),
        order=st.sampled_from(["sent", "reversed"]),
        max_leads=st.sampled_from([None, None, 5]),
        balance=st.sampled_from([1000, 1000, 9]),
        enriched=st.sets(st.sampled_from(LEADS), max_size=3),
        settle=st.sampled_from([20.0, 20.0, None]),
        lag=st.dictionaries(st.sampled_from(LEADS), st.sampled_from([0.4, 9.0]), max_size=2),
        shuffle=st.none() | st.integers(0, 9),
        book=st.booleans(),
        shows=st.booleans(),
        jobs_lag=st.sampled_from([0.0, 0.0, 1.5, 8.0]),
        count_lag=st.sampled_from([0.0, 0.0, 1.5, 8.0]),
        balance_lag=st.sampled_from([0.0, 0.0, 8.0]),
    )
    def begin(
        self,
        *,
        enriched: set[str],
        settle: float | None,
        shuffle: int | None,
        **options: Any,
    ) -> None:
        self.service = Service(known(LEADS, without=LEADS[::4]), **options)
        self.service.enriched = dict.fromkeys(sorted(enriched), 0.0)
        folder = self.folder / str(next(self.numbers))
        self.world = World(self.service, folder, self.patch)
        self.world.settle = settle
        mixed = None if shuffle is None else random.Random(shuffle)
        in_memory.install(self.patch, self.service, shuffle=mixed)
        self.patch.setattr(Service, "receive", lambda _, *request: self.world.receive(*request))
        self.frames: list[list[str]] = []

    def _enrich(self, ids: list[str], **options: Any) -> pd.DataFrame:
        return lp.enrich(
            frame(ids), client=self.world.client(), progress=self.world.reported, **options
        )

    # -- what the user does ----------------------------------------------------------------------

    @rule(ids=PARTS, cap=CAPS, partial=st.booleans(), refresh=st.booleans(), crash=CRASHES)
    def enrich(
        self, ids: list[str], cap: int | None, partial: bool, refresh: bool, crash: int | None
    ) -> None:
        self.frames.append(ids)
        out = self.world.call(
            lambda: self._enrich(ids, max_credits=cap, partial=partial, refresh=refresh),
            ids,
            cap=cap,
            rereads=refresh,
            crash=crash,
        )
        if out is not None and not partial:
            assert not isinstance(out, lp.EnrichmentRun)
            assert not missing(self.service, out)

    @rule(ids=PARTS, cap=CAPS, partial=st.booleans(), crash=CRASHES)
    def start(self, ids: list[str], cap: int | None, partial: bool, crash: int | None) -> None:
        self.frames.append(ids)
        self.world.call(
            lambda: lp.start(
                frame(ids),
                max_credits=cap,
                partial=partial,
                progress=self.world.reported,
                client=self.world.client(),
            ),
            ids,
            cap=cap,
            crash=crash,
        )

    @rule(number=st.integers(0, 5), crash=CRASHES, seconds=st.none() | st.integers(0, 5))
    def resume(self, number: int, crash: int | None, seconds: int | None) -> None:
        runs = [row[0] for row in self.world.ask("SELECT id FROM runs ORDER BY rowid")]
        if not runs:
            return
        self.world.call(
            lambda: lp.resume(
                runs[number % len(runs)], timeout=seconds, client=self.world.client()
            ),
            cap=0,
            crash=crash,
        )

    @rule(ids=PARTS)
    def forget(self, ids: list[str]) -> None:
        def erase() -> pd.DataFrame:
            lp.forget(ids, client=self.world.client())
            return frame(ids)

        self.world.call(erase)

    @rule(ids=PARTS, crash=CRASHES)
    def refresh(self, ids: list[str], crash: int | None) -> None:
        self.world.call(
            lambda: lp.results(frame(ids), refresh=True, client=self.world.client()),
            rereads=True,
            crash=crash,
        )

    @rule()
    def resolve(self) -> None:
        self.world.resolve()

    # -- what happens to the user ----------------------------------------------------------------

    @rule(
        kind=st.sampled_from(sorted(FAULTS)),
        after=st.booleans(),
        late=st.sampled_from([None, None, 3.0, 50.0, 119.0]),
        fate=st.sampled_from(["slow", "instant", "failed"]),
        mate=st.sampled_from([0, 0, 0, 3, -1]),
        spend=st.sampled_from([0, 0, 0, 5]),
    )
    def break_the_next_start(
        self,
        *,
        kind: str,
        after: bool,
        late: float | None,
        fate: Fate,
        mate: int,
        spend: int,
    ) -> None:
        # Only what is not clearly refused, and has left, can still be taken later.
        taken = late if kind in UNCLEAR else None
        self.service.faults.append(Fault("start", kind, "after" if after else "before", taken))
        self.service.fates.append(fate)

        def strike(endpoint: str, _: str, body: Any) -> None:
            if endpoint == "start":
                self.service.watchers.remove(strike)
                size = len(body["leadIds"]) if mate < 0 else mate
                if size:
                    self.service.teammate([f"other{n}" for n in range(size)])
                self.service.pay(spend, "Lead search: bakers")

        if mate or spend:
            self.service.watchers.append(strike)

    @rule(
        on=st.sampled_from(["preview", "status", "lead", "jobs"]),
        kind=st.sampled_from(sorted(FAULTS)),
        times=st.sampled_from([1, 2, 6, 30]),
    )
    def break_a_request(self, on: str, kind: str, times: int) -> None:
        self.service.faults.append(Fault(on, kind, times=times))

    @rule()
    def heal(self) -> None:
        self.service.faults.clear()
        self.service.missing.clear()

    @rule(gone=st.sets(st.sampled_from(["jobs", "preview", "status"])))
    def take_endpoints_away(self, gone: set[str]) -> None:
        self.service.missing = gone

    @rule(fate=st.sampled_from(["instant", "failed"]))
    def decide_the_next_job(self, fate: Fate) -> None:
        self.service.fates.append(fate)

    @rule(ids=PARTS, seconds=st.sampled_from([0.0, 2.0, 30.0]))
    def teammate(self, ids: list[str], seconds: float) -> None:
        self.service.teammate([one for one in ids if one in self.service.leads], seconds)

    @rule(size=st.integers(1, 14), seconds=st.sampled_from([2.0, 100.0]))
    def teammate_elsewhere(self, size: int, seconds: float) -> None:
        self.service.teammate([f"other{n}" for n in range(size)], seconds)

    @rule(credit=st.sampled_from([-7, 1000]))
    def balance(self, credit: int) -> None:
        self.service.pay(min(-credit, self.service.balance), "A top-up, or a search")

    @rule(seconds=st.sampled_from([0.5, 3.0, 60.0]))
    def time_passes(self, seconds: float) -> None:
        self.service.clock.now += seconds
        self.service.advance()

    @rule(ids=PARTS, cap=CAPS, on=st.sampled_from(["start", "preview", "status", "lead"]))
    def another_process_in_the_middle(self, ids: list[str], cap: int | None, on: str) -> None:
        """At the next such request, another process makes a whole call before it is answered."""

        def strike(endpoint: str, _: str, __: Any) -> None:
            if endpoint == on and len(self.world.calls) == 1:
                self.service.watchers.remove(strike)
                self.frames.append(ids)
                self.world.call(
                    lambda: self._enrich(ids, max_credits=cap, timeout=40.0), ids, cap=cap
                )

        self.service.watchers.append(strike)

    # -- what must hold --------------------------------------------------------------------------

    @invariant()
    def never_twice(self) -> None:
        if not hasattr(self, "service"):
            return
        assert not self.world.wrong, self.world.wrong
        self.service.advance()
        twice = self.service.twice
        assert not twice, f"charged more than once: {twice}"

    def teardown(self) -> None:
        try:
            if hasattr(self, "service"):
                self._whole_in_the_end()
                self.never_twice()
        finally:
            if hasattr(self, "service"):
                self.world.close()
            self.patch.undo()

    def _whole_in_the_end(self) -> None:
        service, world = self.service, self.world
        service.faults.clear()
        service.fates.clear()
        service.missing.clear()
        service.watchers[1:] = []
        service.pay(service.balance - 1000, "Top-up")
        service.clock.now += 100.0
        service.advance()
        # What colleagues had under way has ended, and is counted by now.
        service.clock.now += 100.0
        world.settle = 20.0
        for ids in [*self.frames[:3], EVERYONE]:
            for _ in range(12):
                out = world.call(lambda ids=ids: self._enrich(ids), ids)  # type: ignore[misc] # bound now
                if out is not None:
                    break
                world.resolve()
                service.clock.now += 10.0  # a person does not call again at once
            else:
                pytest.fail("calling the same line again and again never comes to an end")
            assert isinstance(out, pd.DataFrame)
            assert list(out["lead_id"]) == ids
            assert not missing(service, out)


@pytest.mark.filterwarnings("ignore::leads_pandas.errors.LeadsWarning")
def test_never_twice_never_over_the_cap_never_lost(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    Machine.folder = tmp_path
    long = request.config.getoption("--long")
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=3000 if long else 200,
            stateful_step_count=14,
            deadline=None,
            print_blob=True,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
