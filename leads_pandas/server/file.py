"""The service's file: one SQLite database, brought up to date, held by one service at a time."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from leads_pandas.errors import StoreError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator

APPLICATION_ID = 0x4C656164
_BUSY_SECONDS = 30.0

# One script per version; a file of version n is brought up to date by the scripts from n on.
MIGRATIONS: tuple[str, ...] = (
    """
CREATE TABLE keys (hash BLOB PRIMARY KEY, created_at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE account (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    monthly INTEGER NOT NULL, bonus INTEGER NOT NULL, used INTEGER NOT NULL,
    reset_day INTEGER NOT NULL, last_reset_at REAL NOT NULL
);
CREATE TABLE transactions (
    number INTEGER PRIMARY KEY, type TEXT NOT NULL, amount INTEGER NOT NULL,
    description TEXT NOT NULL, created_at REAL NOT NULL
);
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY, job_id TEXT NOT NULL UNIQUE, status TEXT NOT NULL,
    price INTEGER NOT NULL, total INTEGER NOT NULL,
    processed INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0,
    found INTEGER NOT NULL DEFAULT 0, created_at REAL NOT NULL, finished_at REAL
);
CREATE INDEX active_jobs ON jobs (number) WHERE status IN ('PENDING', 'PROCESSING');
CREATE TABLE leads (
    number INTEGER PRIMARY KEY, lead_id TEXT NOT NULL UNIQUE,
    website TEXT, name TEXT, query_id TEXT,
    job INTEGER REFERENCES jobs, emails TEXT, enriched_at REAL
);
CREATE INDEX leads_of_query ON leads (query_id);
CREATE INDEX leads_of_job ON leads (job) WHERE job IS NOT NULL;
CREATE TABLE tasks (
    job INTEGER NOT NULL REFERENCES jobs, place INTEGER NOT NULL,
    lead INTEGER NOT NULL REFERENCES leads, done INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (job, place)
) WITHOUT ROWID;
""",
    # A lead without a website costs nothing, nor does one whose website cannot be read.
    """
ALTER TABLE tasks ADD COLUMN costs INTEGER NOT NULL DEFAULT 1;
ALTER TABLE leads ADD COLUMN unread INTEGER NOT NULL DEFAULT 0;
""",
)
VERSION = len(MIGRATIONS)


class File:
    """The file, and connections to it; whatever is written is on the disk before anybody is told.

    Args:
        path: where it is; made where it is missing.
        fill: writes what a new file starts with.

    Raises:
        StoreError: the file cannot be opened, is not ours, or another service has it open.

    Safe to use from several threads.
    """

    def __init__(
        self, path: str | os.PathLike[str], fill: Callable[[sqlite3.Connection], None]
    ) -> None:
        self.path = Path(path)
        self._write_lock = threading.Lock()
        self._pool_lock = threading.Lock()
        self._readers: list[sqlite3.Connection] = []
        self._closed = False
        with contextlib.ExitStack() as undo:
            lock = FileLock(f"{self.path}.lock", thread_local=False)
            try:
                lock.acquire(timeout=0)
                undo.callback(lock.release)
                self._writer = undo.enter_context(contextlib.closing(self._connect()))
                self._prepare(fill)
            except Timeout:
                raise StoreError(
                    f"another service has {self.path} open: end it, or choose another file"
                ) from None
            except (OSError, sqlite3.Error) as error:
                if isinstance(error, StoreError):
                    raise
                why = error.strerror if isinstance(error, OSError) else error
                raise StoreError(f"{self.path} cannot be opened: {why}") from None
            self._undo = undo.pop_all()

    def close(self) -> None:
        """Close the file, once whoever is using it has finished."""
        with self._write_lock, self._pool_lock:
            self._closed = True
            for one in self._readers:
                one.close()
            self._readers.clear()
            self._undo.close()

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of it is kept, or nothing."""
        with self._write_lock:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that sees one state of the file, beside whoever writes."""
        with self._pool_lock:
            if self._closed:
                raise StoreError(f"{self.path} is closed")
            db = self._readers.pop() if self._readers else self._connect()
        try:
            db.execute("BEGIN")
            try:
                yield db
            finally:
                db.execute("ROLLBACK")
        finally:
            self._give_back(db)

    def _give_back(self, db: sqlite3.Connection) -> None:
        with self._pool_lock:
            if self._closed:
                db.close()
            else:
                self._readers.append(db)

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(
            self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        db.row_factory = sqlite3.Row
        try:
            db.execute("PRAGMA synchronous = FULL")
        except BaseException:  # a file that is no database
            db.close()
            raise
        return db

    def _prepare(self, fill: Callable[[sqlite3.Connection], None]) -> None:
        db = self._writer
        application = db.execute("PRAGMA application_id").fetchone()[0]
        is_new = application == 0 and not db.execute("SELECT 1 FROM sqlite_master").fetchone()
        if not is_new and application != APPLICATION_ID:
            raise StoreError(f"{self.path} is another program's database: choose another file")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise StoreError(
                f"{self.path} was written by a newer version of leads_pandas (format {version}, "
                f"this one reads up to {VERSION}): use that version, or choose another file"
            )
        if version == VERSION:
            return
        if is_new:
            db.execute("PRAGMA journal_mode = WAL")
        with self.writing():
            for script in MIGRATIONS[version:]:
                for statement in script.split(";"):
                    db.execute(statement)
            if is_new:
                fill(db)
                db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {VERSION}")
