"""The store: one SQLite file per account and host, with the journal of money and the results.

It owns the runs (one call each), the ops (one start each), the claims that keep a lead from being
started twice, and what was read of each lead. It decides nothing: `purchase` and `collect` do.
Every failure of SQLite or of the disk leaves here as a `StoreError`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import sqlite3
import time
import weakref
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self, cast

from filelock import FileLock, Timeout

from leads_pandas.errors import StoreError
from leads_pandas.home import private_folder
from leads_pandas.models import Email, LeadResult, LeadStatus

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence
    from pathlib import Path

OpState = Literal["planned", "sending", "unknown", "started", "rejected", "absent", "done"]

# While an op is in one of these, its leads may be running or in doubt: nobody else starts them.
OPEN: tuple[OpState, ...] = ("planned", "sending", "unknown", "started")
DOUBTFUL: tuple[OpState, ...] = ("sending", "unknown")

_APPLICATION_ID = 0x4C454144
_OPEN_TIMEOUT = 60.0  # seconds to wait for another process that creates or migrates the store
_BUSY_TIMEOUT = 60.0  # seconds to wait for another process's transaction
_CHUNK = 10_000  # IDs per query: bounds the memory of a frame with hundreds of thousands

# One script per version; a store of version n is brought up to date by the scripts from n on.
MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE runs (
        id TEXT PRIMARY KEY,
        created_at INTEGER NOT NULL,      -- microseconds since the epoch, UTC
        lead_ids BLOB NOT NULL,           -- compressed JSON, unique, in the frame's order
        lead_count INTEGER NOT NULL,
        query_id TEXT,
        partial INTEGER NOT NULL,
        preview TEXT                      -- JSON of the price that was agreed to
    );
    CREATE TABLE ops (
        id TEXT PRIMARY KEY,
        number INTEGER NOT NULL UNIQUE,   -- order of creation
        run_id TEXT NOT NULL REFERENCES runs (id),
        state TEXT NOT NULL CHECK (state IN (
            'planned', 'sending', 'unknown', 'started', 'rejected', 'absent', 'done')),
        lead_ids BLOB NOT NULL,           -- compressed JSON, in the order sent
        lead_count INTEGER NOT NULL,
        query_id TEXT,
        to_enrich INTEGER NOT NULL,       -- what the preview before the start said
        estimate INTEGER NOT NULL,
        limited INTEGER NOT NULL DEFAULT 0,  -- cap or balance stopped the job short
        available_before INTEGER,
        enriched_before INTEGER,
        jobs_before TEXT,                 -- JSON list of job ids; NULL where they could not be had
        excluded_jobs TEXT NOT NULL DEFAULT '[]',
        sent_at INTEGER,
        job_id TEXT,
        credits_reserved INTEGER,
        leads_queued INTEGER,
        job_status TEXT,
        processed INTEGER NOT NULL DEFAULT 0,
        found_emails INTEGER NOT NULL DEFAULT 0,
        beat INTEGER NOT NULL DEFAULT 0,  -- moves while somebody drives the op
        note TEXT NOT NULL DEFAULT ''
    );
    CREATE INDEX ops_open ON ops (state);
    CREATE TABLE run_ops (
        run_id TEXT NOT NULL REFERENCES runs (id),
        op_id TEXT NOT NULL REFERENCES ops (id),
        PRIMARY KEY (run_id, op_id)
    ) WITHOUT ROWID;
    CREATE TABLE claims (
        lead_id TEXT PRIMARY KEY,
        op_id TEXT NOT NULL REFERENCES ops (id)
    ) WITHOUT ROWID;
    CREATE INDEX claims_op ON claims (op_id);
    CREATE TABLE results (
        lead_id TEXT PRIMARY KEY,
        status TEXT NOT NULL CHECK (status IN ('found', 'not_found', 'unknown_lead')),
        emails TEXT NOT NULL,             -- JSON: [[email, confidence, source], ...]
        enriched_at INTEGER,              -- microseconds since the epoch, UTC
        read_at INTEGER NOT NULL
    ) WITHOUT ROWID;
    """,
)
VERSION = len(MIGRATIONS)


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


def pack_emails(emails: Iterable[Email]) -> str:
    """Emails as the store keeps them."""
    return json.dumps([[one.email, one.confidence, one.source] for one in emails])


def _result(status: str, emails: str, enriched_at: int | None) -> LeadResult:
    found = tuple(Email(*one) for one in json.loads(emails)) if emails != "[]" else ()
    return LeadResult(cast("LeadStatus", status), found, enriched_at)


def _now() -> int:
    return time.time_ns() // 1000


# SQLite keeps in memory which locks its process holds. A forked child would believe that it holds
# its parent's, and write beside them.
_stores: weakref.WeakSet[Store] = weakref.WeakSet()
_inherited: set[Path] = set()


def _after_fork_in_child() -> None:
    _inherited.update(store.path for store in _stores)
    _stores.clear()


os.register_at_fork(after_in_child=_after_fork_in_child)


class Store:
    """The store of one account at one host; open it once per call and close it after.

    Args:
        folder: the store's folder, made where missing.
        host: host (and port) of the service, for the file's name.
        account: the name under which everything is filed; only its hash is kept.

    Raises:
        StoreError: the store cannot be opened, or is not one this version can trust.
    """

    def __init__(self, folder: Path, host: str, account: str) -> None:
        digest = hashlib.sha256(f"{host}\n{account}".encode()).hexdigest()[:16]
        label = re.sub(r"[^a-z0-9.]+", "-", host.lower())[:60].strip("-.") or "host"
        private_folder(folder)
        self.folder = private_folder(folder / f"{label}-{digest}")
        self.path = self.folder / "store.sqlite3"
        self._locks = private_folder(self.folder / "locks")
        _stores.add(self)
        with self._guarded():
            self._db = self._open()

    def _open(self) -> sqlite3.Connection:
        lock = FileLock(self._locks / "open.lock", timeout=_OPEN_TIMEOUT, mode=0o600)
        try:
            # SQLite's switch to WAL can fail under concurrent first opens, whatever the timeout.
            with lock:
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
                db = sqlite3.connect(
                    self.path,
                    timeout=_BUSY_TIMEOUT,
                    isolation_level=None,
                    check_same_thread=False,
                )
                try:
                    self._prepare(db)
                except BaseException:
                    db.close()
                    raise
                return db
        except Timeout:
            raise StoreError(
                f"the store {self.path} is held by another process; nothing was requested: "
                "wait for that process, or end it"
            ) from None

    def _prepare(self, db: sqlite3.Connection) -> None:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        application = db.execute("PRAGMA application_id").fetchone()[0]
        tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if version > VERSION:
            raise StoreError(
                f"the store {self.path} was made by a newer leads_pandas (version {version}, this "
                f"one knows {VERSION}); nothing was requested: upgrade leads_pandas"
            )
        if (tables or version) and application != _APPLICATION_ID:
            raise StoreError(
                f"{self.path} is not a store of leads_pandas; nothing was requested: "
                "move it away, or set LEADS_PANDAS_HOME to another folder"
            )
        db.execute("PRAGMA journal_mode = WAL")
        # The journal of money: a commit has to outlive a power cut.
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA secure_delete = ON")
        db.execute("PRAGMA foreign_keys = ON")
        for number in range(version, VERSION):
            db.executescript(
                f"BEGIN IMMEDIATE; {MIGRATIONS[number]}"
                f"PRAGMA application_id = {_APPLICATION_ID};"
                f"PRAGMA user_version = {number + 1}; COMMIT;"
            )

    def close(self) -> None:
        """Close the file; the store can be opened again at any time."""
        with contextlib.suppress(sqlite3.Error):
            self._db.close()
        _stores.discard(self)  # not before: a fork in between would not know of it

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _guarded(self) -> Generator[None]:
        if self.path in _inherited:
            raise StoreError(
                "this process was forked while a run of the same account was under way in its "
                "parent, and SQLite cannot be shared that way; nothing was requested: start "
                "workers before the run, or spawn them"
            )
        try:
            yield
        except sqlite3.Error as error:
            words = str(error)
        except OSError as error:
            if isinstance(error, StoreError):
                raise
            words = error.strerror or str(error)
        else:
            return
        if "not a database" in words or "malformed" in words:
            advice = (
                "move it away and start a new one: leads that the service already enriched "
                "cost nothing again, but check leads_pandas.jobs() for running jobs first"
            )
        else:
            advice = "free or fix the disk, then run the same line again: it goes on from here"
        raise StoreError(f"the store {self.path} cannot be used ({words}); {advice}")

    @contextlib.contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection]:
        with self._guarded():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                # A full disk has rolled back already; there is nothing left to undo then.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._guarded():
            return self._db.execute(sql, parameters).fetchall()

    # Locks: the operating system frees them when their process ends, however it ends.

    def start_lock(self) -> FileLock:
        """The lock under which a start is sent: one in doubt at a time."""
        return FileLock(self._locks / "start.lock", mode=0o600)

    def op_lock(self, op_id: str) -> FileLock:
        """The lock of whoever drives this op."""
        return FileLock(self._locks / f"op-{op_id}.lock", mode=0o600)

    # Runs

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
        with self._transaction() as db:
            db.execute(
                "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    run_id,
                    _now(),
                    _pack(lead_ids),
                    len(lead_ids),
                    query_id,
                    partial,
                    None if preview is None else json.dumps(preview),
                ),
            )

    def runs(self) -> list[Run]:
        """Every run of this store, newest first."""
        rows = self._rows(
            "SELECT id, created_at, lead_count, query_id, partial, preview FROM runs"
            " ORDER BY created_at DESC, rowid DESC"
        )
        return [_run(row) for row in rows]

    def run(self, run_id: str) -> Run | None:
        """One run, or None."""
        rows = self._rows(
            "SELECT id, created_at, lead_count, query_id, partial, preview FROM runs WHERE id = ?",
            (run_id,),
        )
        return _run(rows[0]) if rows else None

    def run_of_job(self, job_id: str) -> str | None:
        """The run that started a job, or None."""
        rows = self._rows("SELECT run_id FROM ops WHERE job_id = ?", (job_id,))
        return cast("str", rows[0][0]) if rows else None

    def run_lead_ids(self, run_id: str) -> list[str]:
        """The unique lead IDs a run was asked for, in its frame's order."""
        rows = self._rows("SELECT lead_ids FROM runs WHERE id = ?", (run_id,))
        return _unpack(rows[0][0]) if rows else []

    def attach(self, run_id: str, op_ids: Iterable[str]) -> None:
        """Note that a run depends on ops."""
        with self._transaction() as db:
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
        with self._transaction() as db:
            for chunk in _chunks(lead_ids):
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
        for chunk in _chunks(lead_ids):
            for lead_id, op_id in self._rows(
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
        with self._transaction() as db:
            # Only this package's own field names come in here.
            db.execute(
                f"UPDATE ops SET {assignments} WHERE id = ?",  # noqa: S608
                (*fields.values(), op_id),
            )
            if fields.get("state") in ("rejected", "absent", "done"):
                db.execute("DELETE FROM claims WHERE op_id = ?", (op_id,))
        if fields.get("state") in ("rejected", "absent", "done"):
            with contextlib.suppress(OSError):
                (self._locks / f"op-{op_id}.lock").unlink()

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
        return {row[0] for row in self._rows("SELECT job_id FROM ops WHERE job_id IS NOT NULL")}

    def last_sent(self) -> tuple[int, int]:
        """A mark that moves whenever a start is sent or settled on this store."""
        row = self._rows(
            "SELECT coalesce(sum(state <> 'planned'), 0), coalesce(max(sent_at), 0) FROM ops"
        )[0]
        return row[0], row[1]

    def _ops(self, where: str, parameters: Sequence[Any] = ()) -> list[Op]:
        rows = self._rows(
            "SELECT id, number, run_id, state, lead_ids, query_id, to_enrich, estimate, limited,"  # noqa: S608 - fixed clauses
            " available_before, enriched_before, jobs_before, excluded_jobs, sent_at, job_id,"
            " credits_reserved, leads_queued, job_status, processed, found_emails, beat, note"
            f" FROM ops {where}",
            parameters,
        )
        return [_op(row) for row in rows]

    def op_mark(self, op_id: str) -> tuple[str, int] | None:
        """State and beat of an op: enough to see from outside whether somebody drives it."""
        rows = self._rows("SELECT state, beat FROM ops WHERE id = ?", (op_id,))
        return (rows[0][0], rows[0][1]) if rows else None

    def beat(self, op_id: str) -> int:
        """Show others that this op is being driven; returns the mark they will see."""
        mark = _now()
        self.update_op(op_id, beat=mark)
        return mark

    # Results

    def save(self, results: Sequence[tuple[str, LeadResult]]) -> None:
        """Keep what was read, durably, in one transaction."""
        now = _now()
        with self._transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?, ?)",
                [
                    (lead_id, one.status, pack_emails(one.emails), one.enriched_at, now)
                    for lead_id, one in results
                ],
            )

    def known(self, lead_ids: Sequence[str]) -> dict[str, str]:
        """The status of each of these leads that the store holds."""
        found: dict[str, str] = {}
        for chunk in _chunks(lead_ids):
            found.update(
                self._rows(
                    "SELECT r.lead_id, r.status FROM json_each(?) AS j"
                    " JOIN results AS r ON r.lead_id = j.value",
                    (json.dumps(chunk),),
                )
            )
        return found

    def results(
        self, lead_ids: Sequence[str], others: dict[str, LeadStatus] | None = None
    ) -> Iterator[LeadResult]:
        """What is known of each lead, in the order given.

        Args:
            lead_ids: unique lead IDs.
            others: statuses of leads the store does not hold; ``not_enriched`` for the rest.
        """
        others = others or {}
        for chunk in _chunks(lead_ids):
            rows = self._rows(
                "SELECT j.value, r.status, r.emails, r.enriched_at FROM json_each(?) AS j"
                " LEFT JOIN results AS r ON r.lead_id = j.value ORDER BY j.key",
                (json.dumps(chunk),),
            )
            for lead_id, status, emails, enriched_at in rows:
                if status is None:
                    yield LeadResult(others.get(lead_id, "not_enriched"))
                else:
                    yield _result(status, emails, enriched_at)

    def forget(self, lead_ids: Sequence[str] | None) -> int:
        """Erase results so that they cannot be recovered from the file; None erases all.

        Returns:
            how many were erased.
        """
        erased = 0
        with self._transaction() as db:
            if lead_ids is None:
                erased = db.execute("DELETE FROM results").rowcount
            else:
                for chunk in _chunks(lead_ids):
                    erased += db.execute(
                        "DELETE FROM results WHERE lead_id IN (SELECT value FROM json_each(?))",
                        (json.dumps(chunk),),
                    ).rowcount
        with self._guarded():
            # Deleted pages are overwritten; older copies of them still stand in the log.
            busy = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy:
            raise StoreError(
                f"{erased} results are deleted, but another process is reading the store "
                f"{self.path}, so copies may remain in its log; call forget again when it is done"
            )
        return erased


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


def _chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(ids), _CHUNK):
        yield ids[first : first + _CHUNK]
