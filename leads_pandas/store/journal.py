"""The journal of money: runs (one call each), ops (one start each), and the claims on leads.

It decides nothing: `money` does. Its locks are the operating system's, freed when their process
ends, however it ends.
"""

from __future__ import annotations

import contextlib
import json
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from filelock import FileLock

from leads_pandas.store.database import chunks, now

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from leads_pandas.store.database import Database

OpState = Literal["planned", "sending", "unknown", "started", "rejected", "absent", "done"]

# While an op is in one of these, its leads may be running or in doubt: nobody else starts them.
OPEN: tuple[OpState, ...] = ("planned", "sending", "unknown", "started")
DOUBTFUL: tuple[OpState, ...] = ("sending", "unknown")


@dataclass(slots=True)
class Op:
    """One start and what became of it; see the table ``ops`` for the fields."""

    id: str
    number: int
    run_id: str
    state: OpState
    lead_ids: list[str]
    query_id: str | None
    to_enrich: int
    estimate: int
    limited: bool
    available_before: int | None
    enriched_before: int | None
    jobs_before: list[str] | None
    excluded_jobs: list[str]
    sent_at: int | None
    job_id: str | None
    credits_reserved: int | None
    leads_queued: int | None
    job_status: str | None
    processed: int
    found_emails: int
    beat: int
    note: str

    @property
    def job_finished(self) -> bool:
        """Whether the job is known to have come to its end."""
        return self.job_status in ("COMPLETED", "FAILED")

    @property
    def stake(self) -> int:
        """Credits this op has reserved, or may have."""
        return self.estimate if self.credits_reserved is None else self.credits_reserved


@dataclass(frozen=True, slots=True)
class Run:
    """One call: what it was asked, and when."""

    id: str
    created_at: int
    lead_count: int
    query_id: str | None
    partial: bool
    preview: dict[str, Any] | None


def _pack(ids: Sequence[str]) -> bytes:
    return zlib.compress(json.dumps(ids, ensure_ascii=False).encode())


def _unpack(blob: bytes) -> list[str]:
    return cast("list[str]", json.loads(zlib.decompress(blob)))


class Journal:
    """Runs, ops and claims of one account.

    Args:
        file: the store's file.
    """

    def __init__(self, file: Database) -> None:
        self._file = file

    def start_lock(self) -> FileLock:
        """The lock under which a start is sent: one in doubt at a time."""
        return FileLock(self._file.locks / "start.lock", mode=0o600)

    def op_lock(self, op_id: str) -> FileLock:
        """The lock of whoever drives this op."""
        return FileLock(self._file.locks / f"op-{op_id}.lock", mode=0o600)

    def add_run(
        self,
        run_id: str,
        lead_ids: Sequence[str],
        *,
        query_id: str | None,
        partial: bool,
        preview: dict[str, Any] | None,
    ) -> None:
        """Write down one call."""
        with self._file.transaction() as db:
            db.execute(
                "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    run_id,
                    now(),
                    _pack(lead_ids),
                    len(lead_ids),
                    query_id,
                    partial,
                    None if preview is None else json.dumps(preview),
                ),
            )

    def runs(self) -> list[Run]:
        """Every run of this store, newest first."""
        rows = self._file.rows(
            "SELECT id, created_at, lead_count, query_id, partial, preview FROM runs"
            " ORDER BY created_at DESC, rowid DESC"
        )
        return [_run(row) for row in rows]

    def run(self, run_id: str) -> Run | None:
        """One run, or None."""
        rows = self._file.rows(
            "SELECT id, created_at, lead_count, query_id, partial, preview FROM runs WHERE id = ?",
            (run_id,),
        )
        return _run(rows[0]) if rows else None

    def run_of_job(self, job_id: str) -> str | None:
        """The run that started a job, or None."""
        rows = self._file.rows("SELECT run_id FROM ops WHERE job_id = ?", (job_id,))
        return cast("str", rows[0][0]) if rows else None

    def run_lead_ids(self, run_id: str) -> list[str]:
        """The unique lead IDs a run was asked for, in its frame's order."""
        rows = self._file.rows("SELECT lead_ids FROM runs WHERE id = ?", (run_id,))
        return _unpack(rows[0][0]) if rows else []

    def attach(self, run_id: str, op_ids: Iterable[str]) -> None:
        """Note that a run depends on ops."""
        with self._file.transaction() as db:
            db.executemany(
                "INSERT OR IGNORE INTO run_ops VALUES (?, ?)", [(run_id, one) for one in op_ids]
            )

    # Ops and claims

    def claim(
        self,
        run_id: str,
        op_id: str,
        lead_ids: Sequence[str],
        *,
        query_id: str | None,
        to_enrich: int,
        estimate: int,
    ) -> bool:
        """Claim leads as a new planned op, if nobody else has claimed or read any of them.

        The caller holds the lock of ``op_id`` already, so that nobody takes the op for dead.

        Returns:
            whether the leads are claimed; where not, nothing has changed.
        """
        with self._file.transaction() as db:
            for chunk in chunks(lead_ids):
                taken = db.execute(
                    "SELECT 1 FROM json_each(?) AS j"
                    " WHERE j.value IN (SELECT lead_id FROM claims)"
                    " OR j.value IN (SELECT lead_id FROM results WHERE status <> 'unknown_lead')"
                    " LIMIT 1",
                    (json.dumps(chunk),),
                ).fetchone()
                if taken:
                    return False
            number = db.execute("SELECT coalesce(max(number), 0) + 1 FROM ops").fetchone()[0]
            db.execute(
                "INSERT INTO ops (id, number, run_id, state, lead_ids, lead_count, query_id,"
                " to_enrich, estimate) VALUES (?, ?, ?, 'planned', ?, ?, ?, ?, ?)",
                (
                    op_id,
                    number,
                    run_id,
                    _pack(lead_ids),
                    len(lead_ids),
                    query_id,
                    to_enrich,
                    estimate,
                ),
            )
            db.execute("INSERT INTO run_ops VALUES (?, ?)", (run_id, op_id))
            db.executemany("INSERT INTO claims VALUES (?, ?)", [(one, op_id) for one in lead_ids])
            return True

    def claims_on(self, lead_ids: Sequence[str]) -> dict[str, list[str]]:
        """Which open ops have claimed which of these leads."""
        found: dict[str, list[str]] = {}
        for chunk in chunks(lead_ids):
            for lead_id, op_id in self._file.rows(
                "SELECT c.lead_id, c.op_id FROM json_each(?) AS j"
                " JOIN claims AS c ON c.lead_id = j.value",
                (json.dumps(chunk),),
            ):
                found.setdefault(op_id, []).append(lead_id)
        return found

    def update_op(self, op_id: str, **fields: Any) -> None:
        """Commit fields of an op; closing it releases its claims in the same transaction."""
        for name in ("jobs_before", "excluded_jobs"):
            if fields.get(name) is not None:
                fields[name] = json.dumps(fields[name])
        assignments = ", ".join(f"{name} = ?" for name in fields)
        with self._file.transaction() as db:
            # Only this package's own field names come in here.
            db.execute(
                f"UPDATE ops SET {assignments} WHERE id = ?",  # noqa: S608
                (*fields.values(), op_id),
            )
            if fields.get("state") in ("rejected", "absent", "done"):
                db.execute("DELETE FROM claims WHERE op_id = ?", (op_id,))
        if fields.get("state") in ("rejected", "absent", "done"):
            with contextlib.suppress(OSError):
                (self._file.locks / f"op-{op_id}.lock").unlink()

    def op(self, op_id: str) -> Op | None:
        """One op, or None."""
        found = self._ops("WHERE id = ?", (op_id,))
        return found[0] if found else None

    def open_ops(self) -> list[Op]:
        """Every op whose leads may be running or in doubt, oldest first."""
        return self._ops(f"WHERE state IN {OPEN} ORDER BY number")

    def run_ops(self, run_id: str) -> list[Op]:
        """The ops a run depends on, oldest first."""
        return self._ops(
            "WHERE id IN (SELECT op_id FROM run_ops WHERE run_id = ?) ORDER BY number", (run_id,)
        )

    def own_jobs(self) -> set[str]:
        """Every job id this store has ever recorded as its own."""
        return {
            row[0] for row in self._file.rows("SELECT job_id FROM ops WHERE job_id IS NOT NULL")
        }

    def last_sent(self) -> tuple[int, int]:
        """A mark that moves whenever a start is sent or settled on this store."""
        row = self._file.rows(
            "SELECT coalesce(sum(state <> 'planned'), 0), coalesce(max(sent_at), 0) FROM ops"
        )[0]
        return row[0], row[1]

    def _ops(self, where: str, parameters: Sequence[Any] = ()) -> list[Op]:
        rows = self._file.rows(
            "SELECT id, number, run_id, state, lead_ids, query_id, to_enrich, estimate, limited,"  # noqa: S608 - fixed clauses
            " available_before, enriched_before, jobs_before, excluded_jobs, sent_at, job_id,"
            " credits_reserved, leads_queued, job_status, processed, found_emails, beat, note"
            f" FROM ops {where}",
            parameters,
        )
        return [_op(row) for row in rows]

    def op_mark(self, op_id: str) -> tuple[str, int] | None:
        """State and beat of an op: enough to see from outside whether somebody drives it."""
        rows = self._file.rows("SELECT state, beat FROM ops WHERE id = ?", (op_id,))
        return (rows[0][0], rows[0][1]) if rows else None

    def beat(self, op_id: str) -> int:
        """Show others that this op is being driven; returns the mark they will see."""
        mark = now()
        self.update_op(op_id, beat=mark)
        return mark


def _op(row: tuple[Any, ...]) -> Op:
    values = list(row)
    values[4] = _unpack(row[4])
    values[8] = bool(row[8])
    values[11] = None if row[11] is None else json.loads(row[11])
    values[12] = json.loads(row[12])
    return Op(*values)


def _run(row: tuple[Any, ...]) -> Run:
    values = list(row)
    values[4] = bool(row[4])
    values[5] = None if row[5] is None else json.loads(row[5])
    return Run(*values)
