"""The request budget that all processes of one machine user share: all of the limit, none over it.

`rate` decides, one SQLite file keeps the count, and threads wait here for their turn. Nothing knows
HTTP or leads. Every decision is one short transaction on a connection of its own, so that a fork
leaves nothing stale behind. Losing the file costs one window of waiting and nothing else: it is
not synced to disk, and a damaged one is deleted. Nobody may use the new one for a window, as the
old one may have held a full budget.

Moments are seconds of a monotonic clock that the machine's processes share. It stands still while
the machine sleeps, so a slot may last too long, never too short; wall-clock jumps do not touch it.
Processes may have different limits: each keeps its own against the common count, so one with a
lower limit goes short while others use more than it may.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import sqlite3
import threading
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from leads_pandas.errors import StoreError
from leads_pandas.pace.rate import FRESH, Pace, hold, rebooted, send_time, strike
from leads_pandas.pace.wait import FOREVER, SYSTEM_CLOCK, Clock, Late, Wait

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

T = TypeVar("T")

_TICK = 1.0  # seconds between two signs of life of a thread that waits
_KEEPS = 2.5  # ticks for which it keeps its place in the line without one
_BUSY = 0.25  # seconds that SQLite itself waits for another process's transaction
_PATIENT = 20  # such waits in a row after which whoever holds it must be suspended
_HELD = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_MOVED = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR)  # as where it was just made anew
_DAMAGED = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

_log = logging.getLogger("leads_pandas")

# A child forked in the middle of a transaction, when it ends, would roll back its parent's.
_transacting = threading.Lock()
if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(
        before=_transacting.acquire,
        after_in_parent=_transacting.release,
        after_in_child=_transacting.release,
    )


@dataclass(frozen=True, slots=True)
class Slot:
    """The right to send one request."""

    id: int  # random, so that two processes or ledger files never mean different slots by it
    granted: float  # moment of the grant
    until: float  # moment from which it no longer counts if it is never released
    _clock: Clock = field(repr=False, compare=False)

    def fresh(self) -> bool:
        """Whether sending may still begin; if not, cancel it and acquire another."""
        return not self.id or self._clock.now() <= self.granted + FRESH


class Queued(NamedTuple):
    """A place in the line."""

    ticket: int  # the place; the lower the earlier
    moment: float  # when it is worth asking again, at best


# A file of another layout must have another name: two versions would delete it in turn.
_SCHEMA = (
    """CREATE TABLE slots (
        until REAL NOT NULL CHECK (typeof(until) = 'real'),
        id INTEGER NOT NULL,
        PRIMARY KEY (until, id)
    ) WITHOUT ROWID""",
    """CREATE TABLE tickets (            -- threads that wait, in the order of their coming
        number INTEGER PRIMARY KEY,
        expires REAL NOT NULL CHECK (typeof(expires) = 'real')
    )""",
    """CREATE TABLE pace (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        ledger INTEGER NOT NULL,          -- of earlier versions
        boot TEXT NOT NULL,
        ticket INTEGER NOT NULL,          -- how many have been given out
        granted REAL NOT NULL CHECK (typeof(granted) = 'real'),
        blocked REAL NOT NULL CHECK (typeof(blocked) = 'real'),
        struck REAL NOT NULL CHECK (typeof(struck) = 'real'),
        level INTEGER NOT NULL CHECK (typeof(level) = 'integer'),
        calm REAL NOT NULL CHECK (typeof(calm) = 'real')
    )""",
    "INSERT INTO pace VALUES (1, 0, '', 0, -1e999, -1e999, -1e999, 0, -1e999)",
)
_READ_PACE = "SELECT granted, blocked, struck, level, calm FROM pace"
_WRITE_PACE = """UPDATE pace
    SET granted = ?, blocked = ?, struck = ?, level = ?, calm = ?, boot = ?"""


class Pacer:
    """A request budget shared with every process that uses the same file.

    Whatever is granted may be sent at once, a whole limit in a burst; after a 429 all processes
    slow down together. Threads, of whichever process, are served first come, first served.
    Methods raise `StoreError` where the file cannot be used, but for those that never fail.

    Args:
        path: the file; None: there is no limit.
        limit: requests in a window; 0: no limit, and no file.
        window: seconds.
        clock: the time to live by.
    """

    def __init__(
        self, path: Path | None, limit: int, *, window: float = 60.0, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self.path = path or Path()
        self.window = window if path and limit else 0.0
        self.tick = min(_TICK, window / 8)  # seconds after which a waiting thread asks again
        self._limit = limit if path else 0
        self._clock = clock
        self._used = False  # whether a file that is missing now may have counted requests
        # What is to be written with the next transaction: slots and until when they count, None
        # for not at all. It outlives a transaction that fails.
        self._owed: deque[tuple[Slot, float | None]] = deque()

    def acquire(self, *, lease: float, wait: Wait = FOREVER, urgent: bool = False) -> Slot:
        """Wait for a slot. Sending must begin within `FRESH` seconds; see `Slot.fresh`.

        Args:
            lease: seconds for which a slot counts that is never released.
            wait: how long to wait.
            urgent: pass those that came before, though no more than one window's worth of them.
        """
        if not self._limit:
            return Slot(0, self._clock.now(), math.inf, self._clock)
        ticket: int | None = None
        try:
            while True:
                wait.check()
                answer = self.ask(lease, ticket, urgent=urgent)
                if isinstance(answer, Slot):
                    ticket = None
                    if answer.fresh():
                        return answer
                    # Suspended between the decision and here, for longer than the lease allows for.
                    self.cancel(answer)
                    continue
                ticket = answer.ticket
                pause = answer.moment - self._clock.now()
                if pause >= wait.left():
                    raise Late(pause)
                wait.sleep(min(max(pause, 0.0), self.tick))
        finally:
            if ticket is not None:
                self._leave(ticket)

    def ask(
        self, lease: float, ticket: int | None = None, *, urgent: bool = False
    ) -> Slot | Queued:
        """Take a slot, or a place in the line."""

        def decide(db: sqlite3.Connection, now: float) -> Slot | Queued:
            self._clean(db, now)
            number = ticket
            if number is None:
                given = int(db.execute("SELECT ticket FROM pace").fetchone()[0])
                number = 2 * (given - self._limit) - 1 if urgent else 2 * given
            # Everybody ahead is sure of a slot, and nobody waits for one who does not come for it.
            (ahead,) = db.execute(
                "SELECT count(*) FROM tickets WHERE number < ?", (number,)
            ).fetchone()
            moment = self._send_time(db, now, ahead + 1)
            if moment > now:
                if ticket is None:
                    db.execute("UPDATE pace SET ticket = ticket + 1")
                # One that expired while its process was suspended gets its old place again.
                expires = now + _KEEPS * self.tick
                db.execute("INSERT OR REPLACE INTO tickets VALUES (?, ?)", (number, expires))
                return Queued(number, moment)
            # The lease is counted from the last moment at which sending may begin.
            until = now + FRESH + lease + hold(self.window)
            slot = Slot(int.from_bytes(os.urandom(8), "big") >> 1 or 1, now, until, self._clock)
            db.execute("INSERT INTO slots VALUES (?, ?)", (slot.until, slot.id))
            db.execute("UPDATE pace SET granted = ?", (now,))
            db.execute("DELETE FROM tickets WHERE number = ?", (number,))
            return slot

        return self._transact(decide)

    def _leave(self, ticket: int) -> None:
        """Give up a place in the line; where that fails, it expires."""
        with contextlib.suppress(StoreError):
            self._transact(
                lambda db, _: db.execute("DELETE FROM tickets WHERE number = ?", (ticket,)),
                patience=1,
            )

    def release(self, slot: Slot) -> None:
        """Say that the request was answered or has failed: its slot counts for one window more.

        Never fails: the write is made up for later.
        """
        self._owe(slot, self._clock.now() + hold(self.window))

    def cancel(self, slot: Slot) -> None:
        """Say that the request was surely never sent: its slot is free at once. Never fails."""
        self._owe(slot, None)

    def throttled(self, retry_after: float | None, slot: Slot) -> float:
        """Take in a 429, and return the seconds for which nobody sends now.

        Requests that were under way at the same time are one strike, however many are refused.
        """

        def work(db: sqlite3.Connection, now: float) -> float:
            pace = strike(
                Pace._make(db.execute(_READ_PACE).fetchone()),
                now,
                retry_after,
                sent=slot.granted,
                limit=self._limit,
                window=self.window,
            )
            self._write(db, pace)
            return max(pace.blocked - now, 0.0)

        return self._transact(work) if self._limit else 0.0

    def paused(self) -> float:
        """Seconds for which nobody sends, because of a 429 or a budget file lost; 0.0 usually."""

        def work(db: sqlite3.Connection, now: float) -> float:
            (blocked,) = db.execute("SELECT blocked FROM pace").fetchone()
            return max(float(blocked) - now, 0.0)

        return self._transact(work) if self._limit else 0.0

    def estimate(self, requests: int, after: float = 0.0) -> float:
        """Seconds until the last of so many further requests could be sent.

        A lower bound: the answers, those under way included, are taken as instant.

        Args:
            requests: how many.
            after: seconds from now, at which they are asked for.
        """

        def work(db: sqlite3.Connection, now: float) -> float:
            self._clean(db, now)
            return max(self._send_time(db, now + after, requests) - now, after)

        return self._transact(work) if self._limit and requests > 0 else after

    # What happens inside a transaction.

    def _clean(self, db: sqlite3.Connection, now: float) -> None:
        """Drop what has expired."""
        db.execute("DELETE FROM slots WHERE until <= ?", (now,))
        db.execute("DELETE FROM tickets WHERE expires <= ?", (now,))

    def _send_time(self, db: sqlite3.Connection, at: float, number: int) -> float:
        """The earliest moment, from ``at`` on, of the ``number``-th further request."""
        (used,) = db.execute("SELECT count(*) FROM slots WHERE until > ?", (at,)).fetchone()

        def freed(index: int) -> float:
            sql = "SELECT until FROM slots WHERE until > ? ORDER BY until LIMIT 1 OFFSET ?"
            return float(db.execute(sql, (at, index)).fetchone()[0])

        return send_time(
            number,
            at,
            limit=self._limit,
            window=self.window,
            used=used,
            freed=freed,
            pace=Pace._make(db.execute(_READ_PACE).fetchone()),
        )

    def _write(self, db: sqlite3.Connection, pace: Pace) -> None:
        db.execute(_WRITE_PACE, (*pace, self._clock.boot))

    def _prepare(self, db: sqlite3.Connection, now: float) -> None:
        """Fill a new file, and see whether an old one is of the same run of the clock."""
        new = not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        for statement in _SCHEMA if new else ():
            db.execute(statement)
        boot = db.execute("SELECT boot FROM pace").fetchone()[0]
        pace = Pace._make(db.execute(_READ_PACE).fetchone())
        if new:
            self._write(db, Pace(blocked=now + hold(self.window) if self._used else -math.inf))
        elif boot != self._clock.boot or now < pace.granted:
            db.execute("DELETE FROM slots")
            db.execute("DELETE FROM tickets")
            # After a boot, the clock's zero, nothing that was sent before it can be under way.
            begin = 0.0 if boot != self._clock.boot else now
            self._write(db, rebooted(pace, begin, self.window))

    # How a transaction happens.

    def _owe(self, slot: Slot, until: float | None) -> None:
        if not slot.id:
            return
        self._owed.append((slot, until))
        try:
            self._transact(lambda _db, _now: None, patience=1)
        except StoreError as error:
            # An answer that has been paid for must not be lost over this: until it can be
            # written the slot counts by its lease, which is the safe side.
            _log.debug("a finished request still counts: %s", error)

    def _transact(
        self, work: Callable[[sqlite3.Connection, float], T], *, patience: int = _PATIENT
    ) -> T:
        """Run one transaction, on a new file where the old one is damaged or held for ever."""
        tries, replaced = 0, patience == 1
        while True:
            try:
                with _transacting, self._opened() as db:
                    return self._commit(db, work)
            except (sqlite3.Error, OSError, TypeError, ValueError, OverflowError) as error:
                tries += 1
                code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
                if tries < patience and code in (*_HELD, *_MOVED):
                    continue
                if replaced or isinstance(error, OSError) or code not in (*_HELD, *_DAMAGED):
                    raise self._unusable(error) from None
                # Whoever is suspended in a transaction finds, on waking, that its slot is too old.
                _log.info("the request budget %s is made anew (%s)", self.path, error)
                tries, replaced, self._used = 0, True, True
                with contextlib.suppress(OSError):
                    self.path.unlink()

    def _commit(self, db: sqlite3.Connection, work: Callable[[sqlite3.Connection, float], T]) -> T:
        db.execute("BEGIN IMMEDIATE")
        now = self._clock.now()
        self._prepare(db, now)
        owed = list(self._owed)
        for slot, until in owed:
            db.execute("DELETE FROM slots WHERE id = ?", (slot.id,))
            if until is not None:
                db.execute("INSERT INTO slots VALUES (?, ?)", (until, slot.id))
        result = work(db, now)
        db.execute("COMMIT")
        self._used = True
        for _ in owed:
            self._owed.popleft()
        return result

    @contextlib.contextmanager
    def _opened(self) -> Generator[sqlite3.Connection]:
        if not self.path.exists():
            self.path.touch(mode=0o600)
        with contextlib.closing(
            sqlite3.connect(self.path, timeout=_BUSY, isolation_level=None)
        ) as db:
            # A rollback journal: unlike a write-ahead log, it bears that the file is deleted under
            # connections that others hold. Kept between transactions, because unlinking is slow.
            db.execute("PRAGMA journal_mode = PERSIST")
            db.execute("PRAGMA synchronous = OFF")
            yield db

    def _unusable(self, reason: object) -> StoreError:
        return StoreError(
            f"the request budget {self.path} cannot be written ({reason}); nothing was sent: "
            "check its folder's permissions and free space"
        )
