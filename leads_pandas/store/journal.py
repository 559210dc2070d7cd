"""The journal of money: runs (one call each), ops (one start each), and the claims on leads.

It decides nothing: `money` does. But it refuses what its own words forbid: each change of an op's
state names the states it may come from, in one statement, and a start is marked as sent only while
every claim on its leads is its own.
"""

from __future__ import annotations

import json
import threading
import weakref
import zlib
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar, cast

from filelock import FileLock, Timeout

from leads_pandas.errors import LeadsError
from leads_pandas.store.database import chunks, now

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, MutableMapping, Sequence

    from leads_pandas.store.database import Database

OpState = Literal["planned", "sending", "unknown", "started", "rejected", "absent", "done"]

# While an op is in one of these, its leads may be running or in doubt: nobody else starts them.
OPEN: tuple[OpState, ...] = ("planned", "sending", "unknown", "started")
DOUBTFUL: tuple[OpState, ...] = ("sending", "unknown")
CLOSED: tuple[OpState, ...] = ("rejected", "absent", "done")

_JSON = {"jobs_before", "evidence", "candidates", "preview"}
_FLAGS = {"provisional", "partial"}


@dataclass(slots=True)
class Op:
    """One start and what became of it; see the table ``ops`` for the fields."""

    id: str
    number: int
    run_id: str
    state: OpState
    lead_count: int
    to_enrich: int
    estimate: int
    available_before: int | None
    enriched_before: int | None
    jobs_before: list[str] | None
    evidence: dict[str, Any] | None
    candidates: dict[str, dict[str, int]]
    sent_at: int | None
    timeout: float | None
    sent_boot: str | None
    sent_clock: float | None
    ended_at: int | None
    ended_boot: str | None
    ended_clock: float | None
    job_id: str | None
    provisional: bool
    credits_reserved: int | None
    leads_queued: int | None
    job_status: str | None
    processed: int
    found_emails: int
    note: str

    @property
    def job_finished(self) -> bool:
        """Whether the job is known to have come to its end."""
        return self.job_status in ("COMPLETED", "FAILED")

    @property
    def known(self) -> int:
        """How many of its leads the service knew, as far as its price tells."""
        return self.to_enrich + (self.enriched_before or 0)

    @property
    def took_less(self) -> bool:
        """Whether the start took fewer leads than were priced."""
        return self.leads_queued is not None and self.leads_queued < self.to_enrich

    @property
    def may_come_back(self) -> int:
        """Credits that may have been given back for what its failed job left, at most."""
        if self.job_status != "FAILED":
            return 0
        queued = self.to_enrich if self.leads_queued is None else self.leads_queued
        left = max(queued - self.processed, 0)
        return -(-self.stake * left // max(queued, 1))

    @property
    def stake(self) -> int:
        """Credits this op has reserved, or may have."""
        return self.estimate if self.credits_reserved is None else self.credits_reserved


@dataclass(frozen=True, slots=True)
class Run:
    """One call: what it was asked, when, and what came of it."""

    id: str
    created_at: int
    lead_count: int
    partial: bool
    preview: dict[str, Any] | None
    label: str | None
    ended_at: int | None
    found: int | None
    not_found: int | None


R = TypeVar("R", Op, Run)


class OpLock:
    """A lock between processes and threads, freed by the operating system however they end.

    A thread that waits for one that it holds itself is told so: it would wait for ever.
    """

    _held: ClassVar[MutableMapping[str, OpLock]] = weakref.WeakValueDictionary()

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = FileLock(path, mode=0o600, thread_local=False)
        self._thread: int | None = None

    def take(self, *, waiting: bool = True) -> bool:
        """Take the lock if nobody holds it.

        Args:
            waiting: whether the caller will try again until it has the lock.

        Raises:
            LeadsError: it would wait for a lock that this very thread holds, further up.
        """
        holder = self._held.get(self._path)
        if waiting and holder is not None and holder.is_held_by(threading.get_ident()):
            raise LeadsError(
                "a call on the same leads was made from inside another one, as from its progress "
                "callback, and would wait for itself",
                "this inner call started and spent nothing",
            )
        self._thread = threading.get_ident()
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            return False
        self._held[self._path] = self
        return True

    def is_held_by(self, thread: int) -> bool:
        """Whether this thread has taken it and not released it."""
        return self._lock.is_locked and self._thread == thread

    def release(self) -> None:
        """Let go of it, if it is held."""
        if self._lock.is_locked:
            self._lock.release()


class Journal:
    """Runs, ops and claims of one account.

    Args:
        file: the store's file.
    """

    def __init__(self, file: Database) -> None:
        self._file = file

    def start_lock(self) -> OpLock:
        """The lock under which starts are sent, one at a time."""
        return OpLock(str(self._file.locks / "start.lock"))

    def op_lock(self, op_id: str) -> OpLock:
        """The lock of whoever drives this op."""
        return OpLock(str(self._file.op_lock(op_id)))

    def version(self) -> int:
        """A mark that moves whenever another connection has written to the store."""
        return int(self._file.rows("PRAGMA data_version")[0][0])

    # Runs

    def add_run(
        self,
        run_id: str,
        lead_ids: Sequence[str],
        *,
        partial: bool,
        preview: dict[str, Any] | None,
        label: str | None = None,
    ) -> None:
        """Write down one call."""
        with self._file.transaction() as db:
            db.execute(
                "INSERT INTO runs (id, created_at, lead_ids, lead_count, partial, preview, label)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    run_id,
                    now(),
                    _pack(lead_ids),
                    len(lead_ids),
                    partial,
                    None if preview is None else json.dumps(preview),
                    label,
                ),
            )

    def end_run(self, run_id: str, *, found: int, not_found: int) -> None:
        """Write down when a run was done, and what it found."""
        with self._file.transaction() as db:
            db.execute(
                "UPDATE runs SET ended_at = ?, found = ?, not_found = ? WHERE id = ?",
                (now(), found, not_found, run_id),
            )

    def runs(self, run_id: str | None = None) -> list[Run]:
        """Every run of this store, newest first; or the one of this id."""
        rows = self._file.rows(
            f"SELECT {_names(Run)} FROM runs WHERE coalesce(id = ?, 1)"  # noqa: S608 - likewise
            " ORDER BY created_at DESC, rowid DESC",
            (run_id,),
        )
        return [_read(Run, row) for row in rows]

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
        self, run_id: str, op_id: str, lead_ids: Sequence[str], *, to_enrich: int, estimate: int
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
                "INSERT INTO ops (id, number, run_id, state, lead_ids, lead_count, to_enrich,"
                " estimate) VALUES (?, ?, ?, 'planned', ?, ?, ?, ?)",
                (op_id, number, run_id, _pack(lead_ids), len(lead_ids), to_enrich, estimate),
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

    def move(self, op_id: str, came_from: Iterable[OpState], to: OpState, **fields: Any) -> bool:
        """Change an op's state, if it is still in one of those it may come from.

        Closing an op releases its claims; `sending` needs all of them to be its own. From then on
        ops are numbered in the order in which they were first sent.

        Returns:
            whether the state was changed; where not, nothing was.
        """
        values, states = _columns(state=to, **fields), tuple(came_from)
        assignments = ", ".join(f"{name} = ?" for name in values)
        where = f"id = ? AND state IN ({', '.join('?' * len(states))})"
        if to == "sending":
            if "planned" in states:
                assignments += ", number = (SELECT max(number) + 1 FROM ops)"
            where += " AND lead_count = (SELECT count(*) FROM claims WHERE claims.op_id = ops.id)"
        with self._file.transaction() as db:
            changed = db.execute(
                # Only this package's own field names come in here.
                f"UPDATE ops SET {assignments} WHERE {where}",  # noqa: S608
                (*values.values(), op_id, *states),
            ).rowcount
            if changed and to in CLOSED:
                db.execute("DELETE FROM claims WHERE op_id = ?", (op_id,))
            if changed and to == "started":
                # That a lead was unknown before is no answer to this start.
                db.execute(
                    "DELETE FROM results WHERE status = 'unknown_lead' AND lead_id IN"
                    " (SELECT lead_id FROM claims WHERE op_id = ?)",
                    (op_id,),
                )
        if changed and to in CLOSED:
            self._file.ended(op_id)
        return bool(changed)

    def note(self, op_id: str, *, of_job: str | None = None, **fields: Any) -> None:
        """Commit what is known of an op beside its state; of a job's, only while it is its job."""
        values = _columns(**fields)
        assignments = ", ".join(f"{name} = ?" for name in values)
        with self._file.transaction() as db:
            db.execute(
                f"UPDATE ops SET {assignments} WHERE id = ? AND coalesce(job_id = ?, 1)",  # noqa: S608 - likewise
                (*values.values(), op_id, of_job),
            )

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

    def lead_ids(self, op_id: str) -> list[str]:
        """The leads of an op, in the order sent."""
        rows = self._file.rows("SELECT lead_ids FROM ops WHERE id = ?", (op_id,))
        return _unpack(rows[0][0]) if rows else []

    def finished_ops(self) -> list[str]:
        """Started ops whose every lead has been read: all that is left of them is to be closed."""
        rows = self._file.rows(
            "SELECT id FROM ops WHERE state = 'started' AND NOT EXISTS ("
            " SELECT 1 FROM claims AS c LEFT JOIN results AS r ON r.lead_id = c.lead_id"
            " WHERE c.op_id = ops.id AND (r.lead_id IS NULL"
            " OR r.status = 'unknown_lead' AND r.read_at < coalesce(ops.sent_at, 0)))"
        )
        return [row[0] for row in rows]

    def answered(self) -> set[str]:
        """The jobs with which starts were answered: surely this store's own."""
        rows = self._file.rows(
            "SELECT job_id FROM ops"
            " WHERE job_id IS NOT NULL AND NOT provisional AND state IN ('started', 'done')"
        )
        return {row[0] for row in rows}

    def seen(self, number: int) -> dict[str, int]:
        """The jobs that came up while later starts than one were in doubt, and their sizes."""
        rows = self._file.rows("SELECT candidates FROM ops WHERE number > ?", (number,))
        found: dict[str, int] = {}
        for (blob,) in rows:
            for jobs in json.loads(blob).values():
                found |= jobs
        return found

    def sent(self, since: int) -> list[Op]:
        """Every op that was sent, or whose job ran, since a moment, in the order first sent."""
        return self._ops(
            "WHERE sent_at IS NOT NULL AND (max(sent_at, coalesce(ended_at, 0)) >= ?"
            " OR state IN ('sending', 'unknown', 'started')) ORDER BY number",
            (since,),
        )

    def bought(self, lead_ids: Sequence[str]) -> set[str]:
        """Of these leads, those that a start surely paid for: its price counted every one."""
        wanted, found = set(lead_ids), set[str]()
        for (blob,) in self._file.rows(
            "SELECT lead_ids FROM ops WHERE state IN ('started', 'done')"
            " AND coalesce(credits_reserved, estimate) > 0"
            " AND coalesce(leads_queued, to_enrich) >= to_enrich"
            " AND lead_count = to_enrich + coalesce(enriched_before, 0)"
        ):
            found |= wanted.intersection(_unpack(blob))
        return found

    def tell(self, lead_ids: Sequence[str], *, but: Collection[str]) -> list[Op]:
        """The starts of any of these leads whose credits no receipt had; now one has.

        Args:
            lead_ids: the leads that the receipt is about.
            but: starts that another receipt will have.
        """
        wanted = set(lead_ids)
        with self._file.transaction() as db:
            rows = db.execute(
                "SELECT id, lead_ids FROM ops WHERE NOT told AND state IN ('started', 'done')"
            ).fetchall()
            told = [
                (one,)
                for one, blob in rows
                if one not in but and not wanted.isdisjoint(_unpack(blob))
            ]
            db.executemany("UPDATE ops SET told = 1 WHERE id = ?", told)
        return [op for one in told for op in self._ops("WHERE id = ?", one)]

    def untell(self, ops: Iterable[Op]) -> None:
        """Take back that a receipt has the credits of these starts: it came to nobody."""
        with self._file.transaction() as db:
            db.executemany("UPDATE ops SET told = 0 WHERE id = ?", [(op.id,) for op in ops])

    def job_times(self) -> list[tuple[int, float]]:
        """How many leads the latest jobs enriched, and the seconds until their end was seen."""
        rows = self._file.rows(
            "SELECT coalesce(leads_queued, to_enrich) AS leads, (ended_at - sent_at) / 1e6 FROM ops"
            " WHERE job_status = 'COMPLETED' AND ended_at >= sent_at AND leads > 0"
            " ORDER BY number DESC LIMIT 20"
        )
        return [(leads, seconds) for leads, seconds in rows]

    def last_sent(self) -> tuple[int, int]:
        """A mark that moves whenever a start is sent or settled on this store."""
        row = self._file.rows(
            "SELECT coalesce(sum(state <> 'planned'), 0), coalesce(max(sent_at), 0) FROM ops"
        )[0]
        return row[0], row[1]

    def _ops(self, where: str, parameters: Sequence[Any] = ()) -> list[Op]:
        rows = self._file.rows(f"SELECT {_names(Op)} FROM ops {where}", parameters)  # noqa: S608 - fixed clauses
        return [_read(Op, row) for row in rows]


def _names(kind: type[Op | Run]) -> str:
    """The columns of a record, which bear its fields' names."""
    return ", ".join(one.name for one in fields(kind))


def _read(kind: type[R], row: tuple[Any, ...]) -> R:
    """A row as a record: SQLite has neither flags nor JSON."""
    values = {one.name: value for one, value in zip(fields(kind), row, strict=True)}
    for name in _FLAGS & values.keys():
        values[name] = bool(values[name])
    for name in _JSON & values.keys():
        values[name] = None if values[name] is None else json.loads(values[name])
    return kind(**values)


def _columns(**fields: Any) -> dict[str, Any]:
    """Fields of an op as its row holds them."""
    return {
        name: json.dumps(value) if name in _JSON and value is not None else value
        for name, value in fields.items()
    }


def _pack(ids: Sequence[str]) -> bytes:
    return zlib.compress(json.dumps(ids, ensure_ascii=False).encode())


def _unpack(blob: bytes) -> list[str]:
    return cast("list[str]", json.loads(zlib.decompress(blob)))
