"""The SQLite file under a store: opened with care, its schema, its transactions and its failures.

Every failure of SQLite or of the disk leaves here as a `StoreError`.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
import weakref
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from filelock import FileLock, Timeout

from leads_pandas.errors import StoreError, Way
from leads_pandas.home import Place, private_folder, store_folder

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from pathlib import Path

_OPEN_TIMEOUT = 60.0  # seconds to wait for another process that creates or migrates the store
_BUSY_TIMEOUT = 60.0  # seconds to wait for another process's transaction
T = TypeVar("T")

CHUNK = 10_000  # IDs per query: bounds the memory of a frame with hundreds of thousands

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
        limited INTEGER NOT NULL DEFAULT 0,  -- not used any more
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
    """
    ALTER TABLE ops ADD COLUMN timeout REAL;         -- seconds in which the start could be answered
    ALTER TABLE ops ADD COLUMN evidence TEXT;        -- JSON of what else was shown before the start
    ALTER TABLE ops ADD COLUMN candidates TEXT NOT NULL DEFAULT '{}';  -- JSON of new jobs' sizes
    ALTER TABLE ops ADD COLUMN provisional INTEGER NOT NULL DEFAULT 0; -- its job was concluded
    ALTER TABLE runs ADD COLUMN label TEXT;
    ALTER TABLE runs ADD COLUMN ended_at INTEGER;    -- microseconds since the epoch, UTC
    ALTER TABLE runs ADD COLUMN found INTEGER;
    ALTER TABLE runs ADD COLUMN not_found INTEGER;
    -- A job that was excluded or guessed may have been the start's own.
    UPDATE ops SET candidates = json_object('may be', (
            SELECT json_group_object(j.value, 0) FROM (
                SELECT value FROM json_each(ops.excluded_jobs)
                UNION SELECT ops.job_id WHERE ops.job_id IS NOT NULL) AS j)), job_id = NULL
        WHERE state IN ('sending', 'unknown');
    UPDATE ops SET provisional = 1 WHERE state = 'started' AND credits_reserved IS NULL;
    """,
    """
    ALTER TABLE ops ADD COLUMN sent_boot TEXT;       -- the run of the machine's clock, and
    ALTER TABLE ops ADD COLUMN sent_clock REAL;      -- its moment of sending, which nobody sets
    ALTER TABLE ops ADD COLUMN ended_at INTEGER;     -- when its job was first seen to have ended
    ALTER TABLE ops ADD COLUMN ended_boot TEXT;      -- likewise, by the machine's clock
    ALTER TABLE ops ADD COLUMN ended_clock REAL;
    ALTER TABLE ops ADD COLUMN told INTEGER NOT NULL DEFAULT 0;  -- a receipt has its credits
    UPDATE ops SET told = 1 WHERE state = 'done';
    """,
)
VERSION = len(MIGRATIONS)


class Kind(NamedTuple):
    """What is kept in a file, and how it is told from every other file.

    Attributes:
        name: what the file is called.
        application_id: SQLite's mark of it.
        migrations: one script per version.
        damaged: what to do where the file cannot be read.
    """

    name: str
    application_id: int
    migrations: tuple[str, ...]
    damaged: str


STORE: Final = Kind(
    "store.sqlite3",
    0x4C454144,
    MIGRATIONS,
    "move it away and start a new one: leads that the service already enriched "
    "cost nothing again, but look first which jobs of the account are running",
)


# SQLite keeps in memory which locks its process holds. A forked child would believe that it holds
# its parent's, and write beside them.
_stores: weakref.WeakSet[Database] = weakref.WeakSet()
_inherited: set[Path] = set()


def _after_fork_in_child() -> None:
    _inherited.update(store.path for store in _stores)
    _stores.clear()


if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=_after_fork_in_child)


class Database:
    """The SQLite file of one account at one host.

    Args:
        folder: the store's folder, made where missing.
        host: host (and port) of the service, for the file's name.
        account: the name under which everything is filed; only its hash is kept.
        kind: what is kept in it.

    Raises:
        StoreError: the store cannot be opened, or is not one this version can trust.
    """

    def __init__(self, folder: Path, host: str, account: str, kind: Kind = STORE) -> None:
        self._kind = kind
        private_folder(folder)
        self.folder = private_folder(store_folder(folder, Place(host, account)))
        self.path = self.folder / kind.name
        self.locks = private_folder(self.folder / "locks")
        _stores.add(self)
        with self.guarded():
            self._db = self._open()

    def _open(self) -> sqlite3.Connection:
        lock = FileLock(self.locks / "open.lock", timeout=_OPEN_TIMEOUT, mode=0o600)
        try:
            # SQLite's switch to WAL can fail under concurrent first opens, whatever the timeout.
            with lock:
                if not self.path.exists():
                    # Never where it is: to close a file takes SQLite's locks on it from every other
                    # connection of this process, whose log the next process then deletes.
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
                self._identity = self._identified()
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
        newest = len(self._kind.migrations)
        if version > newest:
            raise StoreError(
                f"the store {self.path} was made by a newer leads_pandas (version {version}, this "
                f"one knows {newest}); nothing was requested: upgrade leads_pandas"
            )
        if (tables or version) and application != self._kind.application_id:
            raise StoreError(
                f"{self.path} is not a store of leads_pandas; nothing was requested: "
                "move it away, or set LEADS_PANDAS_HOME to another folder"
            )
        db.execute("PRAGMA journal_mode = WAL")
        # The journal of money: a commit has to outlive a power cut.
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA fullfsync = ON")  # macOS: fsync alone leaves it in the disk's own cache
        db.execute("PRAGMA secure_delete = ON")
        db.execute("PRAGMA foreign_keys = ON")
        for number in range(version, newest):
            db.executescript(
                f"BEGIN IMMEDIATE; {self._kind.migrations[number]}"
                f"PRAGMA application_id = {self._kind.application_id};"
                f"PRAGMA user_version = {number + 1}; COMMIT;"
            )

    def close(self) -> None:
        """Close the file; the store can be opened again at any time."""
        with contextlib.suppress(sqlite3.Error):
            self._db.close()
        _stores.discard(self)  # not before: a fork in between would not know of it

    @contextlib.contextmanager
    def guarded(self) -> Generator[None]:
        """Turn failures of SQLite and the disk into a `StoreError` that says what to do."""
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
            advice = self._kind.damaged
        else:
            advice = "free or fix the disk, then run the same line again: it goes on from here"
        raise StoreError(f"the store {self.path} cannot be used ({words}); {advice}")

    def _identified(self) -> tuple[int, int]:
        """Which file stands at the path; zeros where there is none."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return 0, 0
        return found.st_dev, found.st_ino

    @contextlib.contextmanager
    def transaction(self) -> Generator[sqlite3.Connection]:
        """Write, durably and all at once, where whoever opens the file next will find it."""
        with self.guarded():
            if self._identified() != self._identity:
                raise StoreError(
                    f"the store {self.path} was deleted, moved or replaced while it was in use",
                    "the one that is there now does not know what this call has started",
                    "put it back, or let the jobs that run end before anything is started again",
                    Way("jobs"),
                )
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                # A full disk has rolled back already, and a Ctrl-C may have come before the first
                # or after the last statement: there is nothing to undo then.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """What a query finds."""
        with self.guarded():
            return self._db.execute(sql, parameters).fetchall()

    def op_lock(self, op_id: str) -> Path:
        """The lock file of an op."""
        return self.locks / f"op-{op_id}.lock"

    def ended(self, *op_ids: str) -> None:
        """Delete the lock files of ops that nobody will drive any more."""
        for op_id in op_ids:
            with contextlib.suppress(OSError):
                self.op_lock(op_id).unlink()

    def erase(self, table: str, lead_ids: Sequence[str] | None) -> int:
        """Delete leads' rows so that they cannot be recovered, None all; return how many.

        Raises:
            StoreError: another process reads the file, whose log may keep copies.
        """
        erased = 0
        with self.transaction() as db:
            if lead_ids is None:
                erased = db.execute(f"DELETE FROM {table}").rowcount  # noqa: S608 - our own names
            for chunk in chunks(lead_ids or ()):
                erased += db.execute(
                    f"DELETE FROM {table} WHERE lead_id IN (SELECT value FROM json_each(?))",  # noqa: S608
                    (json.dumps(chunk),),
                ).rowcount
        # Deleted pages are overwritten; older copies of them still stand in the log.
        if self.rows("PRAGMA wal_checkpoint(TRUNCATE)")[0][0]:
            raise StoreError(
                f"{erased} results are deleted, but another process is reading {self.path}",
                "copies may remain in its log until it is done",
                Way("later"),
            )
        return erased


def now() -> int:
    """Microseconds since the epoch, UTC."""
    return time.time_ns() // 1000


def chunks(ids: Sequence[T]) -> Iterator[Sequence[T]]:
    """IDs in pieces that one query takes."""
    for first in range(0, len(ids), CHUNK):
        yield ids[first : first + CHUNK]
