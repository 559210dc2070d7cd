"""From leads that are missing to leads that are started: price, cap, consent, start, in rounds."""

from __future__ import annotations

import re
import uuid
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from leads_pandas.display import plural
from leads_pandas.errors import (
    APIError,
    InsufficientCreditsError,
    LeadIdError,
    LeadsError,
    LeadsWarning,
    Way,
)
from leads_pandas.money import prices
from leads_pandas.money.plan import (
    Batch,
    Order,
    Plan,
    Stale,
    combine,
    divide,
    price_of,
    room,
    timed,
)
from leads_pandas.tracebacks import warn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from leads_pandas.leadsapi.client import LeadsClient
    from leads_pandas.models import CostPreview
    from leads_pandas.money.purchase import Purchase
    from leads_pandas.store import Store
    from leads_pandas.store.journal import Op, OpLock

_WRONG_COLUMN = 3  # IDs from which on it is the column that is wrong if none is known
# What spreadsheets make of IDs: 1.2E+17, 123.0, '001, and zeros lost or added.
_DAMAGED = re.compile(r"'.*|[0-9.,]+[eE][+-]?[0-9]+|[0-9]+[.,]0+|#[A-Z/0!?]+")
_ROUNDS = 8  # prices asked anew at most because others keep claiming, starting or giving up leads


class Buying:
    """Buys what one call may buy.

    Args:
        api: the client, within the call's wait.
        store: the journal and the results of its account.
        order: what is asked for.
        purchase: the sender of starts.
        started: called after each start.

    Attributes:
        run_id: the run, from when it is written down.
        preview: the price that was agreed to, of the whole frame.
        locks: those of the ops that this call has started and still drives.
        reads: leads that need no start, and how many of them are enriched.
        errors: why leads were left out.
        doubts: settles starts in doubt.
    """

    def __init__(
        self,
        api: LeadsClient,
        store: Store,
        order: Order,
        purchase: Purchase,
        started: Callable[[], None],
    ) -> None:
        self._api = api
        self._store = store
        self._journal = store.journal
        self._order = order
        self._purchase = purchase
        self.doubts = purchase.doubts
        self._started = started
        self._most: int | None = None  # leads that the service takes in one start, once it refused
        self.run_id: str | None = None
        self.preview: CostPreview | None = None
        self.locks: dict[str, OpLock] = {}
        self.reads: list[tuple[list[str], int | None]] = []
        self.errors: list[LeadsError] = []

    def close(self) -> None:
        """Let go of the ops, so that an idle process holds nobody up."""
        for lock in self.locks.values():
            lock.release()
        self.locks.clear()

    def bought(self, ops: Iterable[Op]) -> set[str]:
        """The leads that these starts have enriched; others of them cost nothing.

        Empty where some were not asked for: what an email of the others cost, nobody can say.
        """
        found: set[str] = set()
        asked = set(self._order.lead_ids)
        for op in ops:
            sent = self._journal.lead_ids(op.id)
            if not asked.issuperset(sent):
                return set()
            paid = op.to_enrich if op.leads_queued is None else min(op.to_enrich, op.leads_queued)
            found.update(one for _, one in self._store.results.dated(sent)[:paid])
        return found

    def quote(self, missing: list[str]) -> CostPreview:
        """The price of what is missing, asked once; nothing is written down."""
        order = self._order
        claimed = self.claimed(missing)
        free = [one for one in missing if one not in claimed]
        if order.query_id:
            preview = self._api.preview(query_id=order.query_id)
        else:
            # Where nothing is left to be bought, the balance is still worth asking for.
            preview = combine([one.preview for one in self._price(free or order.lead_ids)])
            if not free:
                preview = replace(
                    preview, already_enriched=0, to_enrich=0, estimated_credits=0, unknown_ids=0
                )
        return self._whole(preview, len(order.lead_ids if order.refresh else missing))

    def buy(self, missing: list[str], need: int) -> bool:
        """Price leads, ask, and start those that nobody else has claimed.

        Args:
            missing: leads that have no result.
            need: how many leads the call is to read in all.

        Returns:
            False where the price changed under way and must be asked again.
        """
        claimed = self.claimed(missing)
        free = [one for one in missing if one not in claimed]
        if not free:
            return True
        try:
            plan = self._plan(free, need)
            self._consent(plan, need)
            self.note_run()
            self._start(plan)
        except Stale:
            return False
        self.reads += plan.reads
        return True

    def rounds(self, missing: list[str], need: int) -> None:
        """`buy`, in as many rounds as others change the price meanwhile.

        Raises:
            LeadsError: see `leads_pandas.enrich`; also where the price would not stand still.
        """
        for _ in range(_ROUNDS):
            if self.buy(missing, need):
                return
            known = self._store.results.known(missing)
            missing = [one for one in missing if known.get(one, "unknown_lead") == "unknown_lead"]
        raise LeadsError(
            f"the price of {len(missing):,} leads changed {_ROUNDS} times while it was asked, as "
            "other calls started or gave up the same leads",
            "nothing more was started",
            Way("again"),
        )

    def note_run(self) -> None:
        """Write the run down, if it is not."""
        if self.run_id is None:
            run_id = uuid.uuid4().hex[:12]
            self._journal.add_run(
                run_id,
                self._order.lead_ids,
                partial=self._order.partial,
                preview=None if self.preview is None else asdict(self.preview),
                label=self._order.label,
            )
            self.run_id = run_id

    def claimed(self, lead_ids: list[str]) -> set[str]:
        """The leads that open ops hold; those of the dead that were never sent go free."""
        taken: set[str] = set()
        for op_id, ids in self._journal.claims_on(lead_ids).items():
            if op_id in self.locks or not self.discard_if_dead(op_id):
                taken.update(ids)
        return taken

    def discard_if_dead(self, op_id: str) -> bool:
        """Close an op that was planned by a process that ended before it sent anything."""
        op = self._journal.op(op_id)
        if op is None or op.state in ("rejected", "absent", "done"):
            return True
        if op.state != "planned":
            return False
        lock = self._journal.op_lock(op_id)
        if not lock.take():
            return False
        try:
            return self._journal.move(op_id, ("planned",), "rejected", note="its process ended")
        finally:
            lock.release()

    def _price(self, lead_ids: list[str]) -> list[Batch]:
        most = self._most or len(lead_ids)
        return [
            batch
            for first in range(0, len(lead_ids), most)
            for batch in prices.price(self._api, self._journal, lead_ids[first : first + most])
        ]

    def _plan(self, free: list[str], need: int) -> Plan:
        if self._order.query_id and self.run_id is None:
            prices.hold_against_search(
                self._api, self._journal, self._order.lead_ids, self._order.query_id
            )
        batches = self._price(free)
        preview = combine([one.preview for one in batches])
        if self.claimed(free):
            raise Stale  # others were quicker: what they bought is neither ours to price nor to cap
        if preview.total_leads < len(free):
            self._warn_of_unknown(len(free) - preview.total_leads, free)
        left = room(self._order, preview, self._reserved(), shown=self._whole(preview, need))
        return divide(
            batches, preview, left, lambda batch, most: prices.fit(self._api, batch, most)
        )

    def _warn_of_unknown(self, count: int, free: list[str]) -> None:
        """Say that the service does not know some of the leads, and what may be wrong with them.

        Raises:
            LeadIdError: it knows none of them, and nothing of the frame is in the store either.
        """
        odd = [one for one in free if _DAMAGED.fullmatch(one)]
        shown = ", ".join(repr(one) for one in (odd or free)[:3])
        ids = self._order.lead_ids
        if count == len(ids) and count >= _WRONG_COLUMN:
            raise LeadIdError(
                f"the service knows none of the {count:,} lead IDs, such as {shown}: this is "
                "not the column that holds them, or a spreadsheet has changed them",
                "nothing was bought",
                Way("name_ids"),
            )
        looks = " look as if a spreadsheet had changed them" if odd else " are among those asked"
        warn(
            f"the service does not know {count:,} of {plural(len(free), 'lead ID')}; what it does "
            f"not know costs nothing. {shown}{looks}: are they in the right column?",
            LeadsWarning,
        )

    def _reserved(self) -> int:
        """Credits of this call's starts and of the unfinished runs that it attaches to."""
        stakes = dict.fromkeys(self._journal.claims_on(self._order.lead_ids), 0)
        ops = self._journal.run_ops(self.run_id) if self.run_id else []
        stakes |= {op.id: op.stake for op in ops if op.state in ("started", "done")}
        for op in self._journal.open_ops():
            if op.id in stakes:
                stakes[op.id] = op.stake
        return sum(stakes.values())

    def _whole(self, preview: CostPreview, need: int) -> CostPreview:
        """A preview of the missing leads, as one of the whole frame."""
        order = self._order
        known = self._store.results.known(order.lead_ids)
        unknown = sum(status == "unknown_lead" for status in known.values())
        requests = need + (3 if preview.to_enrich else 0)
        whole = replace(
            preview,
            total_leads=len(order.lead_ids),
            already_enriched=preview.already_enriched + len(known) - unknown,
            estimated_seconds=self._api.pacer.estimate(requests),
            # Those once unknown are asked for anew by a refresh alone.
            unknown_ids=preview.unknown_ids + (0 if order.refresh else unknown),
            rows_without_id=order.rows_without_id,
            duplicate_rows=order.duplicate_rows,
        )
        return timed(whole, self._journal.job_times())

    def _consent(self, plan: Plan, need: int) -> None:
        self.preview = self._whole(plan.preview, need)
        if plan.batches and self._order.consent is not None:
            self._order.consent(price_of(plan, self.preview, self._journal.job_times()))

    def _start(self, plan: Plan) -> None:
        queue = list(plan.batches)
        while queue:
            batch = queue.pop(0)
            try:
                op, lock = self._purchase.start(str(self.run_id), batch)
            except InsufficientCreditsError as error:
                if not self._order.partial and not self.locks:
                    raise
                # Read what has been bought before anything is said.
                self.errors.append(error)
                left = [one for late in (batch, *queue) for one in late.lead_ids]
                enriched = sum(one.preview.already_enriched for one in (batch, *queue))
                plan.reads.append((left, enriched))
                return
            except APIError as error:
                if error.status_code != prices.TOO_LARGE or len(batch.lead_ids) == 1:
                    raise
                # Pieces may cost more than the whole: they are priced, capped and asked about anew.
                self._most = len(batch.lead_ids) // 2
                raise Stale from None
            self.locks[op.id] = lock
            self._started()
