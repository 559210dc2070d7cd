"""One user's machine over the model of the service: calls, their processes' ends, what must hold.

A crash is a process that ends at that very instant: from then on it can neither write to its store
nor send.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import leads_pandas as lp
from leads_pandas.store import database as stores

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import pandas as pd
    import pytest

    from tests.support.in_memory import Service


class Crash(BaseException):
    """The process ends here."""


@dataclass(slots=True)
class Fuse:
    """Counts the steps of one process, and ends it at the one chosen."""

    left: int | None = None
    burnt: bool = False

    def step(self) -> None:
        self.check()
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self.burnt = True
                raise Crash

    def check(self) -> None:
        """The dead do nothing."""
        if self.burnt:
            raise Crash


class Wire:
    """A connection to the store that ends with its process, at a step of its choice."""

    def __init__(self, db: sqlite3.Connection, fuse: Fuse) -> None:
        self._db = db
        self._fuse = fuse
        # Only a power cut tells the difference, and the disk would take most of the test's time.
        db.execute("PRAGMA synchronous = OFF")

    def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
        if sql == "COMMIT":
            self._fuse.step()
            cursor = self._db.execute(sql)
            self._fuse.step()
            return cursor
        self._fuse.check()
        return self._db.execute(sql, *arguments)

    def executemany(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
        self._fuse.check()
        return self._db.executemany(sql, *arguments)

    @property
    def in_transaction(self) -> bool:
        return self._db.in_transaction

    def close(self) -> None:
        self._db.close()


@dataclass(slots=True)
class Call:
    """One call that is under way, and what it may do."""

    cap: int | None = None
    attached: int = 0
    rereads: bool = False
    held: set[str] = field(default_factory=set)
    spent: int = 0
    fuse: Fuse = field(default_factory=Fuse)


class World:
    """One user's machine: the store as it stands on disk, the calls, the service behind them."""

    def __init__(self, service: Service, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.service = service
        self.calls: list[Call] = []
        self.wrong: list[str] = []
        self.doubt: lp.StartOutcomeUnknown | None = None
        self.answered: dict[str, Call] = {}
        self._by: Call | None = None
        self._before: set[str] = set()
        self.settle: float | None = 20.0
        self._folder = folder
        self._db: sqlite3.Connection | None = None
        opened = stores.Database._open

        def open_wired(store: stores.Database) -> Any:
            return Wire(opened(store), self.calls[-1].fuse if self.calls else Fuse())

        patch.setenv("LEADS_PANDAS_HOME", str(folder))
        patch.setattr(stores.Database, "_open", open_wired)
        service.watchers.append(self._watch)
        service.charging.append(self._charged)
        receive = service.receive

        def receive_alive(*request: Any) -> Any:
            fuse = self.calls[-1].fuse
            fuse.step()
            answer = receive(*request)
            fuse.step()
            self._answered(request[1], answer)
            return answer

        self.receive = receive_alive

    def client(self) -> lp.LeadsClient:
        return lp.LeadsClient(
            "ll_" + "1" * 64, "https://service.example", requests_per_minute=0, settle=self.settle
        )

    # -- what stands on the disk ---------------------------------------------------------------

    def ask(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Look into the store from outside, as another process would."""
        if self._db is None:
            found = list(self._folder.rglob("store.sqlite3"))
            if not found:
                return []
            self._db = sqlite3.connect(found[0], isolation_level=None)
        return self._db.execute(sql, parameters).fetchall()

    def close(self) -> None:
        if self._db is not None:
            self._db.close()

    def durable(self) -> set[str]:
        """The leads whose result the store holds."""
        rows = self.ask("SELECT lead_id FROM results WHERE status <> 'unknown_lead'")
        return {row[0] for row in rows}

    def attached(self, ids: Sequence[str] | None) -> int:
        """Credits that unfinished starts of these leads have reserved."""
        rows = self.ask(
            "SELECT o.id, coalesce(o.credits_reserved, o.estimate), c.lead_id FROM ops AS o"
            " JOIN claims AS c ON c.op_id = o.id WHERE o.state = 'started'"
        )
        return sum({row[0]: row[1] for row in rows if ids is None or row[2] in ids}.values())

    # -- what must hold at each request --------------------------------------------------------

    def _watch(self, endpoint: str, argument: str, body: Any) -> None:
        held = self.durable()
        lost = [one for one in self.answered if one not in held]
        self.answered.clear()
        if lost:
            self.wrong.append(f"answered, and not durable at the next request: {lost}")
        call = self.calls[-1]
        if endpoint == "lead" and argument in call.held and not call.rereads:
            self.wrong.append(f"{argument} is read although the store held it")
        # What another process reads meanwhile may be read twice: reads are free, and not claimed.
        if self._by is call:
            call.held |= held - self._before
        self._by, self._before = call, held
        if endpoint == "start":
            self._watch_start(body["leadIds"])

    def _watch_start(self, ids: list[str]) -> None:
        sending = {row[0] for row in self.ask("SELECT id FROM ops WHERE state = 'sending'")}
        claims = dict(self.ask("SELECT lead_id, op_id FROM claims"))
        holders = {claims.get(one) for one in ids}
        if len(holders) != 1 or not holders <= sending:
            self.wrong.append("leads are sent without their claim, or unknown to the journal")
        jobs = [job for job in self.service.jobs.values() if job.ours and job.running]
        running = {one for job in jobs for one in job.leads[job.done :]} & set(ids)
        if running:
            self.wrong.append(f"started while an earlier start of it runs: {running}")

    def _charged(self, amount: int) -> None:
        if self.calls:  # or a start is taken when its process is gone
            self.calls[-1].spent += amount

    def _answered(self, path: str, answer: Any) -> None:
        """Note a result that has come, which has to be durable before anything else is asked."""
        if "/lead/" in path and answer.status == 200 and b'"enrichedAt": "' in answer.body:
            self.answered[path.rpartition("/")[2]] = self.calls[-1]

    # -- calls ---------------------------------------------------------------------------------

    def call(
        self,
        what: Callable[[], pd.DataFrame | lp.EnrichmentRun],
        ids: Sequence[str] | None = None,
        *,
        cap: int | None = None,
        rereads: bool = False,
        crash: int | None = None,
    ) -> pd.DataFrame | lp.EnrichmentRun | None:
        """Make one call in a process of its own."""
        call = Call(cap, self.attached(ids), rereads, self.durable(), fuse=Fuse(crash))
        self.calls.append(call)
        self.service.clock.limit()
        try:
            return what()
        except Crash:
            return None
        except lp.StartOutcomeUnknown as doubt:
            self.doubt = doubt
            return None
        except lp.LeadsError:
            return None
        finally:
            self.calls.pop()
            self.answered.clear()
            if cap is not None and call.spent and call.spent + call.attached > cap:
                self.wrong.append(f"spent {call.spent} beside {call.attached} with a cap of {cap}")

    def reported(self, status: lp.RunStatus) -> None:
        """A bar counts what is durable, and nothing else."""
        held = len(self.ask("SELECT lead_id FROM results"))
        if status.read > held:
            self.wrong.append(f"{status.read} leads are counted and {held} are durable")

    def resolve(self) -> None:
        """Settle the doubt as a person would who can see the account."""
        doubt, self.doubt = self.doubt, None
        if doubt is None:
            return
        run = doubt.run
        assert run is not None
        rows = self.ask(
            "SELECT id FROM ops WHERE run_id = ? AND state IN ('sending', 'unknown')", run.id
        )
        if not rows:
            return
        claimed = {
            row[0] for row in self.ask("SELECT lead_id FROM claims WHERE op_id = ?", *rows[0])
        }
        own = {row[0] for row in self.ask("SELECT job_id FROM ops WHERE state <> 'unknown'")}
        jobs = [
            job.id
            for job in self.service.jobs.values()
            if job.ours and job.id not in own and job.leads and claimed >= set(job.leads)
            # A job that the service has forgotten cannot be named any more.
            if not (self.service.forgets and not job.running)
        ]
        how: dict[str, Any] = {"job_id": jobs[-1]} if jobs else {"not_started": True}

        def settle() -> Any:
            run.resolve(**how)
            return run

        self.call(settle)
