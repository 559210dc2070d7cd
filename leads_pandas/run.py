"""`EnrichmentRun`: one run from its lead IDs to its results: price, consent, start, read, done.

Buying (`money`) and reading (`reading`) are its phases; it puts them in order, names itself on
every error, and says on an interrupt how to go on. It knows no pandas: frames are `delivery`'s.
"""

from __future__ import annotations

import contextlib
import functools
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from leads_pandas.asking import take_leave
from leads_pandas.display import card_html, card_text
from leads_pandas.errors import LeadsError, NotFoundError, UnknownRunError, Way
from leads_pandas.interrupts import Terminated, terminable
from leads_pandas.models import CostPreview, RunStatus
from leads_pandas.money.plan import Order, combine
from leads_pandas.money.prices import price
from leads_pandas.pace.wait import Late
from leads_pandas.progress import Display
from leads_pandas.reading.collect import Collector
from leads_pandas.reading.tally import phase_of
from leads_pandas.session import (
    check_timeout,
    explain,
    farewell,
    kept_on_failure,
    make_session,
    named,
    opened,
    order_of,
    settle,
    standing,
    timed_out,
)
from leads_pandas.tracebacks import pointing_outside

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Generator, Mapping, Sequence

    import pandas as pd

    from leads_pandas.leadsapi.client import LeadsClient
    from leads_pandas.session import Session


@dataclass(slots=True)
class Work:
    """The frame as it was at `start`, and how it was asked for."""

    frame: pd.DataFrame
    on: Any
    progress: bool | Callable[[RunStatus], object] | None


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

    __module__ = "leads_pandas"

    def __init__(
        self,
        run_id: str | None = None,
        *,
        job_ids: Sequence[str] = (),
        preview: CostPreview | None = None,
        credits_reserved: int = 0,
        place: tuple[str, str] | None = None,
        client: LeadsClient | None = None,
        work: Work | None = None,
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
        known = {
            "job_ids": self.job_ids,
            "preview": self.preview,
            "credits_reserved": self.credits_reserved,
            "place": self._place,
        }
        return _revive, (self.id, known)

    def __repr__(self) -> str:
        return f"EnrichmentRun(id={self.id!r}, job_ids={self.job_ids!r})"

    def __str__(self) -> str:
        return card_text("Enrichment run", self._rows())

    def _repr_html_(self) -> str:
        fraction = None if self._status is None else self._status.fraction
        return card_html("Enrichment run", self._rows(), fraction=fraction)

    def _rows(
        self, status: RunStatus | None = None, session: Session | None = None
    ) -> list[tuple[str, str]]:
        """The lines of the run's card, at this status of a call where one is given."""
        if session is not None:
            self._follow(session)
        self._status = status or self._status
        rows = [
            ("run", self.id or "nothing to do"),
            ("jobs", ", ".join(self.job_ids) or "none"),
            ("credits reserved", f"{self.credits_reserved:,}"),
        ]
        if self._status is not None:
            rows += self._status._rows()[:-1]  # noqa: SLF001 - one card for both
        return rows

    # What users call

    @pointing_outside
    def status(self) -> RunStatus:
        """How far the run is: ``GET /api/v1/enrichment/status/:jobId`` once per active job.

        Raises:
            LeadsError: the service or the store cannot be used.
        """
        if self.id is None:
            return RunStatus(
                "done", processed=0, total=0, found_emails=0, read=0, credits_reserved=0
            )
        with self.session() as session:
            store, tally = session.store, session.tally
            tally.wants(session.order.lead_ids)
            session.driving.refresh()
            tally.ops = {op.id: op for op in store.journal.run_ops(self.id)}
            for op in tally.ops.values():
                if op.state == "started" and op.job_id and not op.job_finished:
                    try:
                        job = session.api.status(op.job_id)
                    except NotFoundError:
                        continue  # not listed yet, or no more: reading finds out which
                    op.job_status, op.processed = job.status, job.processed_leads
                    op.found_emails = job.found_emails
                    store.journal.note(
                        op.id,
                        of_job=op.job_id,
                        job_status=job.status,
                        processed=job.processed_leads,
                        found_emails=job.found_emails,
                    )
            unread = len(tally.need) - len(tally.read)
            tally.phase = phase_of(list(tally.ops.values()), unread=unread)
            self._status = tally.status()
            return self._status

    @pointing_outside
    def done(self) -> bool:
        """Whether the jobs have ended, so that `result` only has to read; asks as `status` does."""
        return self.status().phase in ("reading", "done", "failed")

    @pointing_outside
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
            ColumnConflictError: the file has columns or leads that the run's results would drop.
            LeadsError: see `leads_pandas.enrich`.
            ValueError: an option is wrong.
            OSError: the file cannot be written.
        """
        from leads_pandas.frames import delivery

        check_timeout(timeout)
        output = delivery.Output(path, emails, min_confidence, rename, on_conflict)
        work = self._work
        if work is None:
            with self.session() as session:
                asked = session.order.lead_ids
            ready = delivery.prepare_listed(asked, output)
        else:
            ready = delivery.prepare(work.frame, work.on, output)
        if self.id is None and work is not None:
            return stored(ready, read=False, client=self._client)
        display = Display(None if work is None else work.progress)
        with display.shown(), self.session(display=display, timeout=timeout) as session:
            self.finish(session)
            return cast("pd.DataFrame", self.deliver(session, ready))

    @pointing_outside
    def resolve(self, job_id: str | None = None, *, not_started: bool = False) -> None:
        """Settle a start whose outcome is unknown, by your own word, held against the evidence.

        Args:
            job_id: it went through as this job (``GET /api/v1/enrichment/status/:jobId``).
            not_started: it never happened; its leads may be started again.

        Raises:
            ValueError: not exactly one of the two is given.
            UnknownRunError: no start of this run is in doubt, or the job is another start's.
            NotFoundError: the service does not know the job.
            StartOutcomeUnknown: a job that may be it is running, or it may still be taken.
            LeadsError: another process is at work on this run.
        """
        if (job_id is None) == (not not_started):
            raise ValueError("give either job_id=... or not_started=True")
        if self.id is None:
            raise UnknownRunError("this run started nothing", "there is nothing to resolve")
        with self.session() as session:
            settle(session, self.id, job_id)

    # The phases

    def buy(self, session: Session) -> None:
        """Price what is missing, ask for consent, and start it; returns once started.

        Raises:
            LeadsError: see `leads_pandas.enrich`.
        """
        order, store = session.order, session.store
        session.driving.close_finished()
        known = store.results.known(order.lead_ids)
        bought = {one for one, status in known.items() if status != "unknown_lead"}
        missing = [one for one in order.lead_ids if one not in (bought if order.refresh else known)]
        again = [one for one in order.lead_ids if one in bought] if order.refresh else []
        if not missing and not again:
            return
        session.tally.wants(missing, again, unknown=set(missing) & known.keys())
        if again:
            session.buying.reads.append((again, None))
        session.buying.rounds(missing, len(session.tally.need))
        session.buying.note_run()
        session.attach()
        self._follow(session)

    def finish(self, session: Session) -> None:
        """Poll and read until everything this run waits for is durable in the store.

        Raises:
            LeadsError: see `leads_pandas.enrich`.
        """
        if self.id is None:
            return
        tally, buying, driving = session.tally, session.buying, session.driving
        journal = session.store.journal
        resumed = buying.run_id is None
        if resumed:
            buying.run_id = self.id
            known = session.store.results.known(session.order.lead_ids)
            tally.wants([one for one in session.order.lead_ids if one not in known])
            claimed = buying.claimed(tally.need)
            rest = [one for one in tally.need if one not in claimed]
            if rest:
                batches = price(session.api, journal, rest)
                preview = combine([one.preview for one in batches])
                buying.reads.append((rest, preview.already_enriched))
        session.attach()
        while True:
            driving.refresh()
            left = tally.left(driving.outcomes)
            waiting = {
                op_id: ids
                for op_id, ids in journal.claims_on(left).items()
                if op_id in buying.locks or not buying.discard_if_dead(op_id)
            }
            if waiting or buying.reads:
                reads, buying.reads = buying.reads, []
                driving.drive(waiting, reads, buying.locks)
            elif not left:
                break
            elif resumed:
                driving.outcomes.update(dict.fromkeys(left, "not_enriched"))
            else:
                # What another process claimed and gave up is bought after all.
                buying.rounds(left, len(tally.need))
        states = {op.job_status for op in tally.ops.values()}
        tally.phase = "failed" if "FAILED" in states else "done"
        session.report(0.0, now=True)
        statuses = list(session.store.results.known(session.order.lead_ids).values())
        journal.end_run(
            str(self.id), found=statuses.count("found"), not_found=statuses.count("not_found")
        )
        errors = [*buying.errors, *driving.errors]
        if errors and not session.order.partial:
            raise errors[0]

    def deliver(self, session: Session, ready: Any) -> Any:
        """Join what is known to the frame or the IDs, write the file, and say what came of it."""
        from leads_pandas.frames import delivery
        from leads_pandas.frames.receipt import receipt

        journal, driving = session.store.journal, session.driving
        answers = session.store.results.answers(ready.asked, driving.outcomes, **ready.wanted)
        # A start's credits stand on one receipt.
        told = journal.tell(session.order.lead_ids, but=driving.others)
        facts = {
            "run_id": self.id,
            "job_ids": self.job_ids,
            "preview": None if self.preview is None else asdict(self.preview),
            "credits_reserved": self.credits_reserved,
            "credits_new": sum(op.stake for op in told),
            "host": session.api.host,
        }
        only = isinstance(ready, delivery.PreparedIds)
        give = delivery.deliver_ids if only else delivery.deliver
        with kept_on_failure(self, lambda: journal.untell(told)):
            out: Any = give(ready, answers, facts, session.buying.bought(told))
        if session.display is not None:
            session.display.finished(receipt(out), ready.path)
        return out

    # One call

    @contextlib.contextmanager
    def session(
        self,
        order: Order | None = None,
        *,
        display: Display | None = None,
        timeout: float | None = None,
    ) -> Generator[Session]:
        """Open the client and the store for one call, and name the run on all that goes wrong.

        Raises:
            UnknownRunError: the run is not one of this account's store.
        """
        with opened(self._client) as (client, store):
            place = (client.host, client.account)
            if self._place not in (None, place):
                raise UnknownRunError(
                    f"run {self.id} belongs to another account or host than the client at hand",
                    "nothing was requested",
                    Way("account"),
                )
            self._place = place
            older = functools.partial(EnrichmentRun, place=place, client=self._client)
            api = client.within(client.wait.within(timeout))
            made = make_session(api, store, order or order_of(store, self.id), display)
            if display is not None:
                display.rows = lambda status: self._rows(status, made)
            try:
                with terminable():
                    try:
                        yield made
                    except Late:
                        self._follow(made)
                        raise named(timed_out(made), self, store, older) from None
                    except LeadsError as error:
                        self._follow(made)
                        if made.buying.run_id or self.id is None:
                            explain(error, standing(made))
                        raise named(error, self, store, older)  # noqa: B904 - the same error
                    except (KeyboardInterrupt, SystemExit, Terminated) as interrupt:
                        if display is not None:
                            display.close()  # or the line would stand on the bar's own
                        take_leave(interrupt, farewell(made))
                        raise
                self._follow(made)
            finally:
                made.buying.close()

    def _follow(self, session: Session) -> None:
        """Bring what users see of the run up to date."""
        self.id = session.buying.run_id or self.id
        self.preview = session.buying.preview or self.preview
        if session.tally.ops:
            self.job_ids = session.tally.job_ids
            self.credits_reserved = session.tally.credits()


def quote(order: Order, client: LeadsClient | None) -> CostPreview:
    """What an order would cost, asked once; nothing is written down."""
    with EnrichmentRun(client=client).session(order) as session:
        known = session.store.results.known(order.lead_ids)
        missing = [
            one
            for one in order.lead_ids
            if one not in known or (order.refresh and known[one] == "unknown_lead")
        ]
        return session.buying.quote(missing)


def carry_out(
    order: Order,
    ready: Any,
    *,
    progress: bool | Callable[[RunStatus], object] | None,
    timeout: float | None,
    client: LeadsClient | None,
) -> Any:
    """Buy and read what an order asks for, and deliver it to a prepared frame or its IDs."""
    from leads_pandas.frames import delivery
    from leads_pandas.frames.receipt import receipt

    check_timeout(timeout)
    run = EnrichmentRun(client=client)
    display = progress if isinstance(progress, Display) else Display(progress)
    if not order.lead_ids:
        out = delivery.empty(ready)
        with display.shown():
            if (told := receipt(out))["credits_saved"]:
                display.finished(told, ready.path)
        return out
    with display.shown(), run.session(order, display=display, timeout=timeout) as session:
        run.buy(session)
        run.finish(session)
        return run.deliver(session, ready)


def stored(ready: Any, *, read: bool, client: LeadsClient | None) -> pd.DataFrame:
    """Join what the store holds to a prepared frame, reading every lead again first or not."""
    from leads_pandas.frames import delivery

    if not ready.asked:
        return cast("pd.DataFrame", delivery.empty(ready))
    with opened(client, keyless=not read) as (api, store):
        outcomes: Mapping[str, Any] = {}
        if read:
            collector = Collector(api, store, report=lambda _: None, seen=lambda _, __: None)
            try:
                collector.collect([collector.free(ready.asked)])
                if collector.errors:
                    raise collector.errors[0]
            except LeadsError as error:
                explain(error, "what has been read is kept and nothing was spent")
                raise
            outcomes = collector.outcomes
        answers = store.results.answers(ready.asked, outcomes, **ready.wanted)
        return delivery.deliver(ready, answers, {"host": api.host})


def find(run_or_job_id: str, client: LeadsClient | None) -> EnrichmentRun:
    """The run of this id, or the one that started this job.

    Raises:
        UnknownRunError: this store knows neither.
    """
    with opened(client) as (api, store):
        journal = store.journal
        runs = journal.runs(run_or_job_id) or journal.runs(journal.run_of_job(run_or_job_id) or "")
        if not runs:
            raise UnknownRunError(
                f"this store knows no run or job {run_or_job_id!r}",
                "what a job started elsewhere has enriched costs nothing again",
                Way("runs"),
                Way("enrich"),
            )
        ops = journal.run_ops(runs[0].id)
        return EnrichmentRun(
            runs[0].id,
            job_ids=[op.job_id for op in ops if op.job_id],
            preview=None if runs[0].preview is None else CostPreview(**runs[0].preview),
            credits_reserved=sum(op.stake for op in ops if op.state in ("started", "done")),
            place=(api.host, api.account),
            client=client,
        )


def _revive(run_id: str | None, known: dict[str, Any]) -> EnrichmentRun:
    return EnrichmentRun(run_id, **known)
