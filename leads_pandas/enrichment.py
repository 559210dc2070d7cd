"""Frames in, frames out: `EnrichmentRun`, and how a frame goes through a run to its results.

It joins `run` (which knows no pandas) with `frame` and `parquet`, names the run on every error and
interrupt, and opens and closes the store around each call.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import pandas as pd

from leads_pandas import progress
from leads_pandas.display import card_html, card_text
from leads_pandas.errors import LeadsError, UnknownRunError
from leads_pandas.frames import join as frames
from leads_pandas.frames.columns import answers
from leads_pandas.frames.delivery import (
    Output,
    Prepared,
    PreparedIds,
    deliver,
    deliver_ids,
    empty,
    prepare,
)
from leads_pandas.frames.parquet import METADATA_KEY
from leads_pandas.home import home
from leads_pandas.interrupts import Terminated, terminable
from leads_pandas.leadsapi.client import LeadsClient, using
from leads_pandas.models import CostPreview, RunStatus
from leads_pandas.progress import Display
from leads_pandas.reading.collect import Collector
from leads_pandas.run import Enrichment, Order, phase_of
from leads_pandas.store import Store
from leads_pandas.store.journal import DOUBTFUL

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Generator, Mapping, Sequence

    import pyarrow as pa

    from leads_pandas.store.journal import Op

T = TypeVar("T")


@contextlib.contextmanager
def opened(client: LeadsClient | None) -> Generator[tuple[LeadsClient, Store]]:
    """The client and its account's store, for one call."""
    with using(client) as api, Store(home(), api.host, api.account) as store:
        yield api, store


@contextlib.contextmanager
def kept_on_failure(run: EnrichmentRun) -> Generator[None]:
    """Say on a failed write that the results are safe, and how to have them."""
    try:
        yield
    except OSError as error:
        if run.id is None or error.errno is None:
            raise
        failure = type(error)(
            error.errno,
            f"{error.strerror}: {error.filename}; the file is as it was and every result is kept "
            f'in the store; go on with leads_pandas.resume("{run.id}")',
        )
        vars(failure)["run"] = run  # the attribute that every error of ours has
    else:
        return
    raise failure


class EnrichmentRun:
    """One run: what was asked for, and what has become of it. No background thread.

    Made by `leads_pandas.start`, and carried by errors as ``.run``. It pickles as its id and what
    the journal knows; the frame and the client stay behind.

    Attributes:
        id: the run's id, or None where nothing had to be started or read.
        job_ids: the jobs at the service, those attached to included.
        preview: the `CostPreview` that was agreed to, or None where nothing was to be bought.
        credits_reserved: credits that those jobs reserved.
    """

    def __init__(
        self,
        run_id: str | None,
        *,
        job_ids: Sequence[str] = (),
        preview: CostPreview | None = None,
        credits_reserved: int = 0,
        place: tuple[str, str] | None = None,
        client: LeadsClient | None = None,
        work: _Work | None = None,
    ) -> None:
        self.id = run_id
        self.job_ids = list(job_ids)
        self.preview = preview
        self.credits_reserved = credits_reserved
        self._place = place
        self._client = client
        self._work = work
        self._status: RunStatus | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        state = (self.id, self.job_ids, self.preview, self.credits_reserved, self._place)
        return _revive, state

    def _rows(self) -> list[tuple[str, str]]:
        rows = [
            ("run", self.id or "nothing to do"),
            ("jobs", ", ".join(self.job_ids) or "none"),
            ("credits reserved", f"{self.credits_reserved:,}"),
        ]
        if self._status is not None:
            rows += self._status._rows()[:-1]  # noqa: SLF001 - one card for both
        return rows

    def __repr__(self) -> str:
        return f"EnrichmentRun(id={self.id!r}, job_ids={self.job_ids!r})"

    def __str__(self) -> str:
        return card_text("Enrichment run", self._rows())

    def _repr_html_(self) -> str:
        fraction = None if self._status is None else self._status.fraction
        return card_html("Enrichment run", self._rows(), fraction=fraction)

    @contextlib.contextmanager
    def _opened(self) -> Generator[tuple[LeadsClient, Store]]:
        with opened(self._client) as (api, store):
            if self._place is not None and (api.host, api.account) != self._place:
                raise UnknownRunError(
                    f"run {self.id} belongs to another account or host than the client at hand; "
                    "set that account's client with leads_pandas.set_default_client"
                )
            yield api, store

    def status(self) -> RunStatus:
        """How far the run is: ``GET /api/v1/enrichment/status/:jobId`` once per active job.

        Raises:
            LeadsError: the service or the store cannot be used.
        """
        if self.id is None:
            return RunStatus(
                "done", processed=0, total=0, found_emails=0, read=0, credits_reserved=0
            )
        with self._opened() as (api, store), self._engine(api, store) as engine:
            with named(engine, self):
                self._status = engine.peek()
            self._update(engine)
            return self._status

    def done(self) -> bool:
        """Whether the jobs have ended, so that `result` only has to read; asks as `status` does."""
        return self.status().phase in ("reading", "done", "failed")

    def result(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        emails: Literal["best", "all"] = "best",
        min_confidence: float = 0.0,
        rename: Mapping[str, str] | None = None,
        on_conflict: Literal["raise", "replace", "fill"] = "raise",
        timeout: float | None = None,
    ) -> pd.DataFrame:
        """Wait, read what has not been read, and join it to the frame as it was at `start`.

        Without that frame (after pickling), the results come by ``lead_id``. The parameters are
        those of `leads_pandas.enrich`; the endpoints are ``status/:jobId`` and ``lead/:leadId``.

        Args:
            path: Parquet file to write, or None.
            emails: ``"best"`` or ``"all"``.
            min_confidence: 0-1.
            rename: names for the new columns.
            on_conflict: ``"raise"``, ``"replace"`` or ``"fill"``.
            timeout: seconds to wait; then `JobTimeoutError`.

        Raises:
            LeadsError: see `leads_pandas.enrich`.
            ValueError: an option is wrong.
            OSError: the file cannot be written.
        """
        check_timeout(timeout)
        output = Output(path, emails, min_confidence, rename, on_conflict)
        work = self._work
        ready = None
        if work is not None:
            ready = prepare(work.frame, work.on, output)
            if not ready.ids.unique:
                return empty(ready)
        with self._opened() as (api, store):
            ids = work.lead_ids if work is not None else store.journal.run_lead_ids(str(self.id))
            if ready is None:
                ready = prepare(pd.DataFrame({"lead_id": ids}), "lead_id", output)
            outcomes: dict[str, Any] = {}
            display = Display(work.progress if work is not None else None)
            with display.shown():
                if self.id is not None:
                    with self._engine(api, store, display=display, timeout=timeout) as engine:
                        display.rows = _live(self, engine)
                        with named(engine, self, display):
                            engine.finish()
                        self._update(engine)
                        outcomes = dict(engine.outcomes)
                with kept_on_failure(self):
                    table = store.results.answers(ready.asked, outcomes, **ready.wanted)
                    out = deliver(ready, table, self._facts(api))
                _finish(display, out, ready)
                return out

    def resolve(self, job_id: str | None = None, *, not_started: bool = False) -> None:
        """Settle a start whose outcome is unknown, by your own word.

        Args:
            job_id: it went through as this job (``GET /api/v1/enrichment/status/:jobId``).
            not_started: it never happened; its leads may be started again.

        Raises:
            ValueError: not exactly one of the two is given.
            UnknownRunError: no start of this run is in doubt.
            NotFoundError: the service does not know the job.
        """
        if (job_id is None) == (not not_started):
            raise ValueError("give either job_id=... or not_started=True")
        if self.id is None:
            raise UnknownRunError("this run had nothing to start; there is nothing to resolve")
        with self._opened() as (api, store), self._engine(api, store) as engine:
            engine.resolve(job_id=job_id)
            engine.peek()
            self._update(engine)

    def _engine(
        self,
        api: LeadsClient,
        store: Store,
        *,
        display: Display | None = None,
        timeout: float | None = None,
    ) -> Enrichment:
        run = store.journal.run(str(self.id))
        if run is None:
            raise UnknownRunError(
                f"this store knows no run {self.id!r}; leads_pandas.runs() lists them"
            )
        order = Order(
            store.journal.run_lead_ids(run.id), query_id=run.query_id, partial=run.partial
        )
        return Enrichment(api, store, order, progress=display, timeout=timeout, run_id=run.id)

    def _update(self, engine: Enrichment) -> None:
        self.job_ids = engine.job_ids
        self.credits_reserved = engine.credits_reserved

    def _follow(self, engine: Enrichment, status: RunStatus) -> list[tuple[str, str]]:
        self.id, self._status = engine.run_id, status
        self._update(engine)
        return self._rows()

    def _facts(self, api: LeadsClient) -> dict[str, Any]:
        return {
            "run_id": self.id,
            "job_ids": self.job_ids,
            "preview": None if self.preview is None else asdict(self.preview),
            "credits_reserved": self.credits_reserved,
            "host": api.host,
        }


@dataclass(slots=True)
class _Work:
    """The frame as it was at `start`, and how it was asked for."""

    frame: pd.DataFrame
    on: Any
    lead_ids: list[str]
    progress: bool | Callable[[RunStatus], object] | None


def _revive(
    run_id: str | None,
    job_ids: list[str],
    preview: CostPreview | None,
    credits_reserved: int,
    place: tuple[str, str] | None,
) -> EnrichmentRun:
    return EnrichmentRun(
        run_id,
        job_ids=job_ids,
        preview=preview,
        credits_reserved=credits_reserved,
        place=place,
    )


def _live(run: EnrichmentRun, engine: Enrichment) -> Callable[[RunStatus], list[tuple[str, str]]]:
    """What a run's card shows while the run goes on."""
    return lambda status: run._follow(engine, status)  # noqa: SLF001 - its own module


def _finish(display: Display, out: pd.DataFrame, ready: Prepared) -> None:
    receipt = out.attrs[frames.RECEIPT]
    path = None if ready.target is None else ready.target.path
    without_id = int((ready.ids.codes < 0).sum())
    repeated = len(ready.ids.codes) - without_id - len(ready.ids.unique)
    display.finished(
        receipt["counts"],
        receipt["credits_reserved"],
        path,
        without_id=without_id,
        repeated=repeated,
    )


def start_frame(
    frame: pd.DataFrame,
    on: Any,
    order: Order,
    *,
    progress: bool | Callable[[RunStatus], object] | None,
    client: LeadsClient | None,
) -> EnrichmentRun:
    """Price and start a frame's leads; see `leads_pandas.start`."""
    work = _Work(frames.snapshot(frame), on, order.lead_ids, progress)
    if not order.lead_ids:
        return EnrichmentRun(None, work=work)
    with opened(client) as (api, store):
        display = Display(progress)
        with display.shown(), Enrichment(api, store, order, progress=display) as engine:
            run = handle(engine, api, work)
            display.rows = _live(run, engine)
            with named(engine, run, display):
                engine.buy()
            refresh(run, engine)
            return run


def enrich_frame(
    ready: Prepared,
    order: Order,
    *,
    progress: bool | Callable[[RunStatus], object] | None,
    timeout: float | None,
    client: LeadsClient | None,
) -> pd.DataFrame:
    """Price, start, poll, read and join a frame's leads; see `leads_pandas.enrich`."""
    if not order.lead_ids:
        return empty(ready)

    def give(table: pa.Table, run: EnrichmentRun, facts: dict[str, Any]) -> pd.DataFrame:
        with kept_on_failure(run):
            return deliver(ready, table, facts)

    return _carry_out(
        order,
        give,
        lambda display, out: _finish(display, out, ready),
        wanted=ready.wanted,
        progress=progress,
        timeout=timeout,
        client=client,
    )


def enrich_values(
    ready: PreparedIds,
    order: Order,
    *,
    progress: bool | Callable[[RunStatus], object] | None,
    timeout: float | None,
    client: LeadsClient | None,
) -> pa.Table:
    """Price, start, poll and read leads that belong to no frame; see `leads_pandas.enrich_ids`."""
    if not order.lead_ids:
        return deliver_ids(ready, answers([]), {})

    def finish(display: Display, out: pa.Table) -> None:
        receipt = json.loads((out.schema.metadata or {})[METADATA_KEY])
        rows = receipt["rows"]
        display.finished(
            receipt["counts"],
            receipt["credits_reserved"],
            None,
            without_id=rows["without_id"],
            repeated=rows["duplicate"],
        )

    return _carry_out(
        order,
        lambda table, _, facts: deliver_ids(ready, table, facts),
        finish,
        wanted=ready.wanted,
        progress=progress,
        timeout=timeout,
        client=client,
    )


def _carry_out(
    order: Order,
    give: Callable[[pa.Table, EnrichmentRun, dict[str, Any]], T],
    finish: Callable[[Display, T], None],
    *,
    wanted: Mapping[str, Any],
    progress: bool | Callable[[RunStatus], object] | None,
    timeout: float | None,
    client: LeadsClient | None,
) -> T:
    """Buy and read what an order asks for, and give the answers on in whatever form."""
    with opened(client) as (api, store):
        display = Display(progress)
        with (
            display.shown(),
            Enrichment(api, store, order, progress=display, timeout=timeout) as engine,
        ):
            run = handle(engine, api, None)
            display.rows = _live(run, engine)
            with named(engine, run, display):
                engine.buy()
                if engine.run_id is not None:
                    engine.finish()
            refresh(run, engine)
            table = store.results.answers(order.lead_ids, engine.outcomes, **wanted)
            out = give(table, run, run._facts(api))  # noqa: SLF001 - its own receipt
            finish(display, out)
            return out


def stored_frame(
    ready: Prepared, *, refresh_leads: bool, client: LeadsClient | None
) -> pd.DataFrame:
    """Join what the store holds; see `leads_pandas.results`."""
    asked = ready.asked
    if not asked:
        return empty(ready)
    with opened(client) as (api, store):
        outcomes: dict[str, Any] = {}
        if refresh_leads:
            collector = Collector(api, store, report=lambda _: None, seen=lambda _, __: None)
            collector.collect([collector.free(asked)])
            if collector.errors:
                raise collector.errors[0]
            outcomes = dict(collector.outcomes)
        table = store.results.answers(asked, outcomes, **ready.wanted)
        return deliver(ready, table, {"host": api.host})


def handle(engine: Enrichment, api: LeadsClient, work: _Work | None) -> EnrichmentRun:
    """The public face of an engine."""
    run = EnrichmentRun(None, place=(api.host, api.account), client=api, work=work)
    refresh(run, engine)
    return run


def refresh(run: EnrichmentRun, engine: Enrichment) -> None:
    """Bring the public face up to date."""
    run.id = engine.run_id
    run.preview = engine.preview
    run._update(engine)  # noqa: SLF001 - its own module


def find(run_or_job_id: str, client: LeadsClient | None) -> EnrichmentRun:
    """The run of this id, or the one that started this job.

    Raises:
        UnknownRunError: this store knows neither.
    """
    with opened(client) as (api, store):
        run = store.journal.run(run_or_job_id) or store.journal.run(
            store.journal.run_of_job(run_or_job_id) or ""
        )
        if run is None:
            raise UnknownRunError(
                f"this store knows no run or job {run_or_job_id!r}; leads_pandas.runs() lists the "
                "runs. For a job started elsewhere, call enrich on the frame: leads that it "
                "enriched cost nothing again"
            )
        preview = None if run.preview is None else CostPreview(**run.preview)
        ops = store.journal.run_ops(run.id)
        return EnrichmentRun(
            run.id,
            job_ids=[op.job_id for op in ops if op.job_id],
            preview=preview,
            credits_reserved=sum(op.stake for op in ops if op.state in ("started", "done")),
            place=(api.host, api.account),
            client=client,
        )


def run_state(ops: Sequence[Op]) -> str:
    """The state of a run, as the journal alone tells it."""
    return phase_of(list(ops), unread=1)


@contextlib.contextmanager
def named(
    engine: Enrichment, run: EnrichmentRun, display: Display | None = None
) -> Generator[None]:
    """Put the run on every error, and say on an interrupt how to go on."""
    with terminable():
        try:
            yield
        except LeadsError as error:
            refresh(run, engine)
            if error.run_id is not None and error.run is None:
                error.run = run if error.run_id == run.id else _other(error.run_id, run)
            raise
        except (KeyboardInterrupt, SystemExit, Terminated):
            refresh(run, engine)
            if display is not None:
                display.close()  # or the line would stand on the bar's own
            _say_goodbye(engine, run)
            raise


def _other(run_id: str, run: EnrichmentRun) -> EnrichmentRun:
    """An older run of the same account, whose start is the one in doubt."""
    return EnrichmentRun(run_id, place=run._place, client=run._client)  # noqa: SLF001 - same class


def _say_goodbye(engine: Enrichment, run: EnrichmentRun) -> None:
    if run.id is None:
        words = "nothing was started"
    elif any(state in DOUBTFUL for state in engine.journal_states()):
        words = (
            "a start is in doubt, and the same line finds out what became of it; "
            f'go on with it, or with leads_pandas.resume("{run.id}")'
        )
    else:
        jobs = f"job {', '.join(run.job_ids)} goes on" if run.job_ids else "no job was started"
        words = f'{jobs} and nothing is lost; go on with leads_pandas.resume("{run.id}")'
    progress.say(f"interrupted; {words}")


def check_timeout(timeout: float | None) -> None:
    """Refuse a timeout that is no number of seconds.

    Raises:
        ValueError: it is not.
    """
    if timeout is not None and (
        isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout >= 0
    ):
        raise ValueError(f"timeout must be a number of seconds, 0 or more, not {timeout!r}")
