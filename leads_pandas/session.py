"""One call on a run: what it works with, how it shows how far it is, and the words at its end."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from leads_pandas.display import duration
from leads_pandas.errors import (
    APIError,
    ConfigurationError,
    JobTimeoutError,
    LeadsError,
    RateLimitError,
    ServerError,
    StoreError,
    TransportError,
    UnknownRunError,
    Way,
)
from leads_pandas.home import home
from leads_pandas.leadsapi.client import using
from leads_pandas.money.buying import Buying
from leads_pandas.money.plan import Order
from leads_pandas.money.purchase import Purchase
from leads_pandas.pace.wait import Late
from leads_pandas.reading.driving import Driving
from leads_pandas.reading.tally import Tally
from leads_pandas.store import Store
from leads_pandas.store.journal import DOUBTFUL

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from leads_pandas.leadsapi.client import LeadsClient
    from leads_pandas.models import RunStatus
    from leads_pandas.progress import Display
    from leads_pandas.run import EnrichmentRun
    from leads_pandas.store.journal import Op

_ACCOUNT = Way(
    "do", {"what": "set LEADS_PANDAS_ACCOUNT to the account's name: the store needs no key"}
)
_TAKE = 10.0  # seconds to wait for whoever is at work on a start in doubt
_REPORT = 0.1  # seconds between two reports of progress
_PACE = 1.0  # seconds between two looks at the budget, and a wait for it that is worth telling


@dataclass(slots=True)
class Session:
    """What one call on a run works with; gone when the call is."""

    api: LeadsClient
    store: Store
    order: Order
    tally: Tally
    buying: Buying
    driving: Driving
    report: Reporter
    display: Display | None

    def attach(self) -> None:
        """Note the open starts that the run depends on, its own and those of others."""
        run_id, journal = str(self.buying.run_id), self.store.journal
        journal.attach(run_id, journal.claims_on(self.tally.need))
        self.tally.ops = {op.id: op for op in journal.run_ops(run_id)}


class Reporter:
    """Shows how far a run is, several times a second at most."""

    def __init__(self, tally: Tally, api: LeadsClient, display: Display | None) -> None:
        self._tally = tally
        self._api = api
        self._wait = api.wait
        self._display = display
        self._reported = 0.0
        self._asked_pace, self._limited = 0.0, False

    def __call__(self, seconds_left: float | None = None, *, now: bool = False) -> None:
        """Show the status, and the seconds left where they can be told."""
        moment = self._wait.now()
        if self._display is not None and (now or moment >= self._reported + _REPORT):
            self._reported = moment
            status = self._tally.status()
            self._display(status, seconds_left, self._why(status, moment))

    def _why(self, status: RunStatus, moment: float) -> str:
        """Why it takes its time, where that is no job's doing."""
        limit, settle = self._api.requests_per_minute, self._api.settle
        if status.phase == "unknown":
            longest = self._api.start_seconds + 2 * (settle or 0.0)
            return f"the start got no answer: looking for it, up to {duration(longest)}"
        if moment >= self._asked_pace + _PACE:
            self._asked_pace = moment
            behind = status.read < status.processed or status.phase == "reading"
            self._limited = bool(limit) and behind and self._api.pacer.estimate(1) >= _PACE
        return f"waiting for the limit ({limit} a minute)" if self._limited else ""


def make_session(api: LeadsClient, store: Store, order: Order, display: Display | None) -> Session:
    """Put together what a call works with."""
    tally = Tally()
    report = Reporter(tally, api, display)

    def tick(phase: Literal["starting", "unknown"]) -> None:
        tally.phase = phase
        report()

    def started() -> None:
        tally.phase = "enriching"
        tally.ops |= {op.id: op for op in store.journal.run_ops(str(buying.run_id))}
        report(now=True)

    purchase = Purchase(api, store, settle=api.settle, tick=tick)
    buying = Buying(api, store, order, purchase, started)
    driving = Driving(api, store, purchase.doubts, tally, report, partial=order.partial)
    return Session(api, store, order, tally, buying, driving, report, display)


@contextlib.contextmanager
def opened(
    client: LeadsClient | None, *, keyless: bool = False
) -> Generator[tuple[LeadsClient, Store]]:
    """The client and its account's store, for one call, which sends nothing where it is keyless."""
    try:
        with using(client) as api, Store(home(), api.host, api.account) as store:
            yield api, store
    except ConfigurationError as error:
        if keyless and any(way.action == "key" for way in error.ways):
            error.ways += (_ACCOUNT,)
        raise


def order_of(store: Store, run_id: str | None) -> Order:
    """What a run was asked for, as the journal has it.

    Raises:
        UnknownRunError: this store knows no such run.
    """
    runs = store.journal.runs(str(run_id))
    if not runs:
        raise UnknownRunError(
            f"this store knows no run {run_id!r}", "nothing was requested", Way("runs")
        )
    return Order(store.journal.run_lead_ids(runs[0].id), partial=runs[0].partial)


def settle(session: Session, run_id: str, job_id: str | None) -> None:
    """Settle a run's own starts in doubt by a person's word: one as this job, or as never started.

    Those of other runs that it waits for are theirs to settle.

    Raises:
        UnknownRunError: no start of the run itself is in doubt.
        LeadsError: see `EnrichmentRun.resolve`.
    """
    journal, doubts = session.store.journal, session.buying.doubts
    doubtful = [op for op in journal.run_ops(run_id) if op.state in DOUBTFUL]
    own = [op for op in doubtful if op.run_id == run_id]
    if not own:
        raise UnknownRunError(
            f"no start of run {run_id} is in doubt",
            "there is nothing to resolve",
            *(Way("resolve", {"run": op.run_id}) for op in doubtful),
        )
    if job_id is not None:
        # One that was answered as this job, or may be it, before any other.
        own.sort(key=lambda op: (op.job_id == job_id, job_id in op.candidates.get("may be", {})))
    for one in own if job_id is None else own[-1:]:
        try:
            with doubts.held(journal.op_lock(one.id), "unknown", session.api.wait.within(_TAKE)):
                op = journal.op(one.id)
                if op is not None and op.state in DOUBTFUL:
                    doubts.resolve(op, job_id=job_id)
        except Late:
            raise LeadsError(
                f"another process is at work on run {run_id}",
                "nothing was changed",
                "let it finish, or end it",
                Way("again"),
            ) from None


def timed_out(session: Session) -> LeadsError:
    """What is said when the call's time is up."""
    if _in_doubt(session):
        return JobTimeoutError(
            "the time is up with a start in doubt",
            "it is looked for again, and never sent again before",
            Way("again"),
        )
    if job_ids := session.tally.job_ids:
        return JobTimeoutError(
            f"the time is up before the run is done; job {', '.join(job_ids)} goes on",
            "nothing is lost and nothing is bought twice",
            Way("again"),
        )
    return JobTimeoutError("the time is up", "no job has been started by this call", Way("again"))


def farewell(session: Session) -> LeadsError:
    """What is said on an interrupt."""
    run_id = session.buying.run_id
    ways = [Way("again"), Way("resume", {"run": run_id})] if run_id else []
    return LeadsError("interrupted", standing(session), *ways)


def named(
    error: LeadsError, run: EnrichmentRun, store: Store, older: Callable[[str], EnrichmentRun]
) -> LeadsError:
    """Say which run an error belongs to, and how to go on."""
    run_id = error.run_id = error.run_id or run.id
    if run_id is None or error.run is not None:
        return error
    error.run = run
    if run_id != run.id:
        # An older run of the same account, whose start is the one in doubt.
        error.run = older(run_id)
    with contextlib.suppress(StoreError):  # the journal may be out of reach
        states = {op.state for op in store.journal.run_ops(run_id)}
        if states <= {"rejected"}:
            return error
    if not any(way.action == "resume" for way in error.ways):
        error.ways = (*error.ways, Way("resume", {"run": run_id}))
    return error


def explain(error: LeadsError, meaning: str) -> None:
    """Say of a request that failed what it means and what to do, where nobody closer has."""
    if not isinstance(error, APIError | TransportError):
        return
    error.meaning = error.meaning or meaning
    if not error.ways and isinstance(error, TransportError | RateLimitError | ServerError):
        error.ways = (Way("later"),)


def standing(session: Session) -> str:
    """What it means for money and data that a call ends early."""
    if _in_doubt(session):
        return "a start is in doubt, and the same line looks for it"
    if not (job_ids := session.tally.job_ids or [op.job_id for op in _ops(session) if op.job_id]):
        return "nothing was started and nothing was spent"
    if session.tally.phase == "reading":
        return "nothing is lost and nothing is bought twice"
    return f"job {', '.join(job_ids)} goes on and nothing is lost"


def _in_doubt(session: Session) -> bool:
    return any(op.state in DOUBTFUL for op in _ops(session))


def _ops(session: Session) -> list[Op]:
    """The run's starts as the journal has them: an interrupt may have come before the tally did."""
    run_id = session.buying.run_id
    with contextlib.suppress(StoreError):  # an interrupt goes on, whatever the store says
        return session.store.journal.run_ops(run_id) if run_id else []
    return []


@contextlib.contextmanager
def kept_on_failure(run: EnrichmentRun, undo: Callable[[], None]) -> Generator[None]:
    """Undo what a delivery claimed where it fails, and say that the results are safe."""
    try:
        yield
    except BaseException as error:
        with contextlib.suppress(StoreError):  # a full disk refuses both; the file's own says why
            undo()
        if not isinstance(error, OSError):
            raise
        if run.id is None or error.errno is None or isinstance(error, LeadsError):
            raise
        failure = type(error)(
            error.errno,
            f"{error.strerror}: {error.filename}; the file is as it was and every result is kept "
            "in the store: run the same line again with a path that can be written",
        )
        vars(failure)["run"] = run  # the attribute that every error of ours has
    else:
        return
    raise failure


def check_timeout(timeout: float | None) -> None:
    """Refuse a timeout that is no number of seconds.

    Raises:
        ValueError: it is not.
    """
    if timeout is not None and (
        isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout >= 0
    ):
        raise ValueError(f"timeout must be a number of seconds, 0 or more, not {timeout!r}")
