"""How far a run is: pure counts over what has been read and what its starts say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from leads_pandas.models import RunStatus
from leads_pandas.store.journal import DOUBTFUL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from leads_pandas.models import Phase
    from leads_pandas.store.journal import Op


@dataclass(slots=True)
class Tally:
    """What one call waits for, and what has come of it.

    Attributes:
        need: the leads to be read, in order.
        phase: what the run is at.
        read: those whose result is durable.
        found: how many of those have an email.
        left_out: how many of the needed ones nobody has bought.
        ops: the starts that the run depends on, by id.
        unknown: missing ones that the store holds as unknown: only a new answer counts.
    """

    need: list[str] = field(default_factory=list)
    phase: Phase = "starting"
    read: set[str] = field(default_factory=set)
    found: int = 0
    left_out: int = 0
    ops: dict[str, Op] = field(default_factory=dict)
    unknown: frozenset[str] = frozenset()
    _missing: list[str] = field(default_factory=list)
    _needed: frozenset[str] = frozenset()

    def wants(
        self, missing: Iterable[str], again: Iterable[str] = (), unknown: Iterable[str] = ()
    ) -> None:
        """Say which leads are to be read: those without a result, and others once more."""
        self._missing = list(missing)
        self.unknown = frozenset(unknown)
        self.need = [*self._missing, *again]
        self._needed = frozenset(self.need)

    def saw(self, lead_id: str, status: str) -> None:
        """Count a lead whose result is durable."""
        if lead_id in self._needed and lead_id not in self.read:
            self.read.add(lead_id)
            self.found += status == "found"

    def left(self, ended: Mapping[str, object]) -> list[str]:
        """The leads without a result whose end has not been seen otherwise."""
        return [one for one in self._missing if one not in self.read and one not in ended]

    @property
    def job_ids(self) -> list[str]:
        """The jobs of the run, those attached to included."""
        return [op.job_id for op in self.ops.values() if op.job_id]

    def credits(self) -> int:
        """Credits that the run's jobs reserved."""
        return sum(op.stake for op in self.ops.values() if op.state in ("started", "done"))

    def status(self) -> RunStatus:
        """How far the run is."""
        processed = sum(
            op.lead_count if op.job_status == "COMPLETED" else op.processed
            for op in self.ops.values()
        )
        found = sum(op.found_emails for op in self.ops.values())
        total = len(self.need) - self.left_out
        return RunStatus(
            phase=self.phase,
            processed=min(max(processed, len(self.read)), total),
            total=total,
            found_emails=min(max(self.found, found), total),
            read=min(len(self.read), total),
            credits_reserved=self.credits(),
        )


def phase_of(ops: Sequence[Op], *, unread: int) -> Phase:
    """The phase of a run, from its starts and the number of leads not read yet."""
    states = {op.state for op in ops}
    if states & set(DOUBTFUL):
        return "unknown"
    if "planned" in states:
        return "starting"
    if any(op.state == "started" and not op.job_finished for op in ops):
        return "enriching"
    if any(op.job_status == "FAILED" for op in ops):
        return "failed"
    return "reading" if unread and "started" in states else "done"
