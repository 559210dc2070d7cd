"""The request budget that all processes of one machine user share: all of the limit, none over it.

A request takes a slot when it is granted, and keeps it until its answer was received plus one
window. The service counted the request somewhere in between, so whatever its clock, its distance
and its kind of window (sliding, fixed, token bucket), it cannot see more than the limit.

Three layers, each ignorant of the one above: pure decisions (`send_time`, `strike`, …), the
`Ledger` (one SQLite file, decided in ``BEGIN IMMEDIATE``), and the `Pacer` (threads that wait their
turn). Nothing here knows HTTP or leads.

Moments are seconds of a monotonic clock that the machine's processes share. It stands still while
the machine sleeps, so a slot may last too long, never too short; wall-clock jumps do not touch it.
Processes may have different limits: each keeps its own against the common count, so one with a
lower limit goes short while others use more than it may.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import os
import random
import sqlite3
import threading
import time
import weakref
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from filelock import FileLock, Timeout

from leads_pandas.errors import StoreError
from leads_pandas.pace.wait import Interrupted, Late

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

FRESH = 1.0  # seconds after its grant within which a request must begin to be sent
GUARD = 0.001  # share of a window added to it: clocks that drift, servers that count in ms
CALM = 5.0  # windows without a 429 after which the pace recovers by one level

_BACKOFF = 2.0  # seconds after a first 429 that names no wait, doubling
_LONGEST_RETRY = 1e9  # seconds; what a header may ask for at most
_TICKET = 1.5  # seconds that a waiting process keeps its place without a sign of life
_TICK = 0.5  # seconds between two signs of life
_SLICE = 0.05  # seconds between two looks at the events that stop a wait
_BUSY = 0.05  # seconds that SQLite itself waits for another process's transaction
_STUCK = 5.0  # seconds after which whoever holds a transaction of microseconds must be suspended
_RELEASE_PATIENCE = 0.2  # seconds that an answer waits for the ledger before it goes on without
_LOCK_TIMEOUT = 10.0  # seconds to wait for another process that makes the file

_log = logging.getLogger("leads_pandas")


class Clock(Protocol):
    """The time that a pacer lives by."""

    @property
    def boot(self) -> str:
        """What tells one run of the clock from the next, or an empty string where nothing does."""

    def now(self) -> float:
        """Seconds; never goes back during one `boot`, and is the same in all processes."""

    def wait(self, bell: threading.Lock, seconds: float) -> bool:
        """Wait until the bell can be acquired (True) or the seconds are over (False)."""


class SystemClock:
    """`time.monotonic`, which processes share between two boots of the machine."""

    @property
    def boot(self) -> str:
        """The kernel's boot id; empty on systems without one."""
        return _boot_id()

    def now(self) -> float:
        """`time.monotonic`."""
        return time.monotonic()

    def wait(self, bell: threading.Lock, seconds: float) -> bool:
        """Wait in a way that signals interrupt."""
        return bell.acquire(timeout=max(seconds, 0.0))


SYSTEM_CLOCK = SystemClock()


@functools.cache
def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


# Decisions: no I/O, no clock.


class Pace(NamedTuple):
    """What the service's refusals have taught, and when the last request went.

    Attributes:
        granted: moment of the latest grant.
        blocked: moment before which nobody sends.
        struck: moment of the latest 429 that counted.
        level: 0 for bursts; 1 for even spacing, and twice the spacing for each level above.
        calm: moment at which the level falls by one.
    """

    granted: float = -math.inf
    blocked: float = -math.inf
    struck: float = -math.inf
    level: int = 0
    calm: float = -math.inf


def hold(window: float) -> float:
    """Seconds that a slot still counts after its answer."""
    return window * (1.0 + GUARD)


def spacing(level: int, limit: int, window: float) -> float:
    """Seconds between two requests at a level: a window's even share, doubled per level."""
    return min(window / limit * 2.0 ** (level - 1), window) if level else 0.0


def relax(pace: Pace, now: float, window: float) -> Pace:
    """The pace after the quiet time up to now: one level less for every `CALM` windows."""
    while pace.level and now >= pace.calm:
        pace = pace._replace(level=pace.level - 1, calm=pace.calm + CALM * window)
    return pace


def strike(
    pace: Pace, now: float, retry_after: float | None, *, sent: float, limit: int, window: float
) -> Pace:
    """The pace after a 429 to a request that was granted at ``sent``.

    Requests that were under way when the last strike came tell nothing new: they count as that one.
    """
    pause = None
    if retry_after is not None and not math.isnan(retry_after):
        pause = min(max(retry_after, 0.0), _LONGEST_RETRY)
    if sent <= pace.struck:
        blocked = pace.blocked if pause is None else max(pace.blocked, now + pause)
        return pace._replace(blocked=blocked, calm=max(pace.calm, blocked + CALM * window))
    pace = relax(pace, now, window)
    level = min(pace.level + 1, limit.bit_length() + 1)  # from there on spacing is a whole window
    if pause is None:
        pause = min(_BACKOFF * 2.0 ** (level - 1), window)
    blocked = max(pace.blocked, now + pause)
    return pace._replace(struck=now, level=level, blocked=blocked, calm=blocked + CALM * window)


def rebooted(pace: Pace, now: float, window: float, *, known: bool) -> Pace:
    """The pace on a clock that has begun anew since it was written; all slots are void.

    Args:
        pace: as the previous run of the clock left it.
        now: on the new clock.
        window: seconds.
        known: the machine has surely been booted, so that whatever was sent before the boot, the
            clock's zero, is forgotten one window after it. Else only that it was before now.
    """
    begin = 0.0 if known else now
    asked = max(pace.blocked - pace.struck, 0.0) if pace.blocked > -math.inf else 0.0
    blocked = begin + max(asked if math.isfinite(asked) else 0.0, hold(window))
    return Pace(blocked=blocked, level=pace.level, calm=blocked + CALM * window)


def send_time(
    number: int,
    now: float,
    *,
    limit: int,
    window: float,
    used: int,
    freed: Callable[[int], float],
    pace: Pace,
) -> float:
    """The earliest moment at which the ``number``-th further request may be sent.

    It is ``now`` or before where that is at once. Requests under way are taken as answered now, and
    so are the further ones as soon as they are sent: the moment may turn out later, never earlier
    (unless somebody gives a slot back).

    Args:
        number: which one, from 1.
        now: the moment of asking.
        limit: requests per window.
        window: seconds.
        used: slots in use, of whichever process.
        freed: the moment at which the n-th (from 0) of the used slots becomes free, ascending.
        pace: see `Pace`.
    """
    counts = hold(window)
    cycles, place = divmod(number - 1, limit)
    short = place - (limit - used)
    moment = now if short < 0 else min(freed(short), now + counts)
    return max(
        moment + cycles * counts, _spaced(number, now, limit, window, relax(pace, now, window))
    )


def _spaced(number: int, now: float, limit: int, window: float, pace: Pace) -> float:
    """`send_time` as far as strikes and blocks go."""
    moment, level, calm = max(now, pace.blocked), pace.level, pace.calm
    if level:
        moment = max(moment, pace.granted + spacing(level, limit, window))
    while level:
        step = spacing(level, limit, window)
        at_this_level = math.floor((calm - moment) / step) + 1 if calm >= moment else 0
        if number <= at_this_level:
            return moment + (number - 1) * step
        number -= at_this_level
        moment = max(moment, calm)
        level, calm = level - 1, calm + CALM * window
    return moment + (number - 1) // limit * hold(window)


# The ledger: SQLite, one transaction per decision.


@dataclass(frozen=True, slots=True)
class Slot:
    """The right to send one request.

    Attributes:
        id: random, so that no two processes, nor two ledger files, ever mean different slots by it.
        granted: moment of the grant.
        until: moment from which it no longer counts if it is never released.
    """

    id: int
    granted: float
    until: float
    _clock: Clock = field(repr=False, compare=False)

    def fresh(self) -> bool:
        """Whether sending may still begin; if not, cancel it and acquire another."""
        return not self.id or self._clock.now() <= self.granted + FRESH


class _BusyError(Exception):
    """Another process is in a transaction."""


class _DamagedError(Exception):
    """The file cannot be used as it is; a new one can."""


# A ledger of another layout must have another file name: two versions would replace it in turn.
_SCHEMA = """
CREATE TABLE slots (
    until REAL NOT NULL CHECK (typeof(until) = 'real'),
    id INTEGER NOT NULL,
    PRIMARY KEY (until, id)
) WITHOUT ROWID;
CREATE TABLE tickets (                -- threads that wait, in the order of their coming
    number INTEGER PRIMARY KEY,
    expires REAL NOT NULL CHECK (typeof(expires) = 'real')
);
CREATE TABLE pace (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    ledger INTEGER NOT NULL,          -- random: which file this is, whatever its inode
    boot TEXT NOT NULL,
    ticket INTEGER NOT NULL,          -- the last number given out
    granted REAL NOT NULL CHECK (typeof(granted) = 'real'),
    blocked REAL NOT NULL CHECK (typeof(blocked) = 'real'),
    struck REAL NOT NULL CHECK (typeof(struck) = 'real'),
    level INTEGER NOT NULL CHECK (typeof(level) = 'integer'),
    calm REAL NOT NULL CHECK (typeof(calm) = 'real')
);
"""
_READ_PACE = "SELECT granted, blocked, struck, level, calm FROM pace"
_WRITE_PACE = "UPDATE pace SET granted = ?, blocked = ?, struck = ?, level = ?, calm = ?"


class Ledger:
    """The slots in use, in an SQLite file that all processes of one machine user share.

    Losing the file costs one window of waiting and nothing else, so it is not synced to disk, and
    whatever is wrong with it is cured by a new one that nobody may use for one window (the old one
    may have held a full budget).

    Args:
        path: the file; its folder must exist.
        limit: requests per window that this process keeps to.
        window: seconds.
        clock: see `Clock`.
    """

    def __init__(self, path: Path, limit: int, window: float, clock: Clock) -> None:
        self.guard = threading.Lock()  # held for every use of the connection; fork waits for it
        self._path = path.absolute()
        self._limit = limit
        self._window = window
        self._clock = clock
        self._connection: sqlite3.Connection | None = None
        self._closer: weakref.finalize[..., Ledger] | None = None
        self._file: tuple[int, int] | None = None
        self._known: int | None = None
        self._tickets: list[int] = []
        self._held: dict[int, Slot] = {}
        # What is to be written with the next transaction: slots and how long they count from now
        # on, None for not at all. It outlives a transaction that fails.
        self._owed: deque[tuple[Slot, float | None]] = deque()
        self._busy = 0  # attempts in a row that found another process in a transaction
        self._busy_since = 0.0

    # What can be asked of it.

    def ask(self, lease: float, waiting: int = 1) -> Slot | float:
        """Take a slot, or places in the line and the moment at which it is worth asking again.

        Args:
            lease: seconds for which the slot counts as in use if it is never settled.
            waiting: threads of this process that wait for a slot, the asking one included.

        Raises:
            StoreError: the file cannot be used, and no new one made.
            _BusyError: another process is in a transaction; ask again.
        """
        answer, tickets = self._transact(functools.partial(self._decide, lease, waiting))
        self._tickets = tickets
        if isinstance(answer, Slot):
            self._held[answer.id] = answer
        return answer

    def leave_line(self) -> None:
        """Give up the places in the line; where that fails, they expire."""
        tickets, self._tickets = self._tickets, []
        if tickets:
            with contextlib.suppress(_BusyError, StoreError):
                self._transact(lambda db, _: _drop(db, tickets))

    def settle(self, slot: Slot) -> None:
        """Let the slot count for one window more. Never fails: the write is made up for later."""
        self._owe(slot, self._clock.now() + hold(self._window))

    def give_back(self, slot: Slot) -> None:
        """Let the slot no longer count. Never fails either."""
        self._owe(slot, None)

    def strike(self, retry_after: float | None, sent: float | None) -> float:
        """Take in a 429 to a request granted at ``sent``; return the seconds that all now wait.

        Where ``sent`` is not known, a 429 during a block counts as the one that caused it.

        Raises:
            StoreError: the file cannot be used, and no new one made.
        """

        def work(db: sqlite3.Connection, now: float) -> float:
            pace = Pace._make(db.execute(_READ_PACE).fetchone())
            moment = sent
            if moment is None:
                moment = -math.inf if now < pace.blocked else math.inf
            pace = strike(
                pace, now, retry_after, sent=moment, limit=self._limit, window=self._window
            )
            db.execute(_WRITE_PACE, pace)
            return max(pace.blocked - now, 0.0)

        return self._insist(work)

    def blocked(self) -> float:
        """Seconds for which nobody may send, whatever the count.

        Raises:
            StoreError: the file cannot be used, and no new one made.
        """

        def work(db: sqlite3.Connection, now: float) -> float:
            (blocked,) = db.execute("SELECT blocked FROM pace").fetchone()
            return max(float(blocked) - now, 0.0)

        return self._insist(work)

    def forecast(self, number: int) -> float:
        """Seconds until the ``number``-th further request may be sent, at best.

        Raises:
            StoreError: the file cannot be used, and no new one made.
        """

        def work(db: sqlite3.Connection, now: float) -> float:
            return max(self._send_time(db, now, number, self._clean(db, now)) - now, 0.0)

        return self._insist(work)

    def close(self) -> None:
        """Write what is owed and close the file. The next use opens it again."""
        self.leave_line()
        if self._owed:
            self._flush()
        with self.guard:
            self._close()

    def abandon(self) -> None:
        """Let go of the connection in a forked child, without a word to the file."""
        if self._closer is not None:
            self._closer.detach()
        if self._connection is not None:
            # Kept, not closed: SQLite forbids even to close a connection across a fork.
            _parents_connections.append(self._connection)

    # What happens inside a transaction.

    def _decide(
        self, lease: float, waiting: int, db: sqlite3.Connection, now: float
    ) -> tuple[Slot | float, list[int]]:
        tickets = self._tickets
        used = self._clean(db, now)
        # Everybody ahead is sure of a slot, and nobody waits for one who does not come for it.
        (ahead,) = db.execute(
            "SELECT count(*) FROM tickets WHERE number < ?", (tickets[0] if tickets else _LAST,)
        ).fetchone()
        moment = self._send_time(db, now, ahead + 1, used)
        if moment > now:
            return moment, self._line_up(db, now, tickets, waiting)
        # The lease is counted from the last moment at which sending may begin.
        until = now + FRESH + lease + hold(self._window)
        slot = Slot(_random_id(), now, until, self._clock)
        db.execute("INSERT INTO slots VALUES (?, ?)", (slot.until, slot.id))
        db.execute("UPDATE pace SET granted = ?", (now,))
        _drop(db, tickets[:1])
        return slot, tickets[1:]

    def _line_up(
        self, db: sqlite3.Connection, now: float, tickets: list[int], waiting: int
    ) -> list[int]:
        """Have as many tickets as threads wait, all of them valid for a while."""
        missing = waiting - len(tickets)
        if missing > 0:
            (last,) = db.execute("SELECT ticket FROM pace").fetchone()
            tickets = [*tickets, *range(last + 1, last + 1 + missing)]
            db.execute("UPDATE pace SET ticket = ?", (tickets[-1],))
        elif missing < 0:
            _drop(db, tickets[waiting:])
            tickets = tickets[:waiting]
        # One that expired while this process was suspended gets its old place again.
        db.executemany(
            "INSERT OR REPLACE INTO tickets VALUES (?, ?)",
            [(number, now + _TICKET) for number in tickets],
        )
        return tickets

    def _clean(self, db: sqlite3.Connection, now: float) -> int:
        """Drop what has expired; return the number of slots in use."""
        db.execute("DELETE FROM slots WHERE until <= ?", (now,))
        db.execute("DELETE FROM tickets WHERE expires <= ?", (now,))
        (used,) = db.execute("SELECT count(*) FROM slots").fetchone()
        return int(used)

    def _send_time(self, db: sqlite3.Connection, now: float, number: int, used: int) -> float:
        def freed(index: int) -> float:
            row = db.execute("SELECT until FROM slots ORDER BY until LIMIT 1 OFFSET ?", (index,))
            return float(row.fetchone()[0])

        return send_time(
            number,
            now,
            limit=self._limit,
            window=self._window,
            used=used,
            freed=freed,
            pace=Pace._make(db.execute(_READ_PACE).fetchone()),
        )

    def _recognise(self, db: sqlite3.Connection, now: float) -> None:
        """See whether this is still the same file, in the same run of the clock."""
        ledger, boot, *values = db.execute(
            "SELECT ledger, boot, granted, blocked, struck, level, calm FROM pace"
        ).fetchone()
        if self._known not in (None, ledger):
            self._tickets = []
            # What is under way was counted in a file that is gone.
            self._owed.extend([(slot, slot.until) for slot in list(self._held.values())])
        self._known = ledger
        pace = Pace._make(values)
        another = boot != self._clock.boot
        if another or now < pace.granted:
            db.execute("DELETE FROM slots")
            db.execute("DELETE FROM tickets")
            db.execute(_WRITE_PACE, rebooted(pace, now, self._window, known=another))
            db.execute("UPDATE pace SET boot = ?", (self._clock.boot,))

    def _pay(self, db: sqlite3.Connection, owed: int) -> None:
        for index in range(owed):
            slot, until = self._owed[index]
            db.execute("DELETE FROM slots WHERE until = ? AND id = ?", (slot.until, slot.id))
            if until is not None:
                db.execute("INSERT OR IGNORE INTO slots VALUES (?, ?)", (until, slot.id))

    # How a transaction happens.

    def _owe(self, slot: Slot, until: float | None) -> None:
        self._held.pop(slot.id, None)
        self._owed.append((slot, until))
        self._flush()

    def _flush(self) -> None:
        ends = time.monotonic() + _RELEASE_PATIENCE
        while self._owed:  # another thread's transaction may have taken ours along
            try:
                self._transact(lambda _db, _now: None)
                return
            except _BusyError:
                if time.monotonic() > ends:
                    return
            except StoreError as error:
                # An answer that has been paid for must not be lost over this: until it can be
                # written the slot counts by its lease, which is the safe side.
                _log.debug("a finished request still counts: %s", error)
                return

    def _insist(self, work: Callable[[sqlite3.Connection, float], T]) -> T:
        while True:
            with contextlib.suppress(_BusyError):
                return self._transact(work)

    def _transact(self, work: Callable[[sqlite3.Connection, float], T]) -> T:
        """Run one transaction on the file that now has the path, or on a new one.

        ``work`` runs again where a file was replaced in the meantime.

        Raises:
            StoreError: the file cannot be used, and no new one made.
            _BusyError: another process is in a transaction.
        """
        with self.guard:
            for attempt in range(_ATTEMPTS):
                try:
                    result = self._attempt(work)
                except _DamagedError as damage:
                    if attempt == _ATTEMPTS - 1:
                        raise self._unusable(damage) from damage
                    self._replace(damage)
                    continue
                if self._file == _identity(self._path):
                    self._busy = 0
                    return result
                # Somebody has put a new file in the place of the one just written to.
                self._close()
            raise self._unusable("it is replaced again and again")

    def _attempt(self, work: Callable[[sqlite3.Connection, float], T]) -> T:
        try:
            db = self._connect()
            if db.in_transaction:
                db.rollback()  # an interrupt came just before a transaction's end
            try:
                db.execute("BEGIN IMMEDIATE")
                now = self._clock.now()
                self._recognise(db, now)
                owed = len(self._owed)
                self._pay(db, owed)
                result = work(db, now)
                db.execute("COMMIT")
            finally:
                if db.in_transaction:
                    db.rollback()
        except sqlite3.Error as error:
            raise self._understood(error) from error
        except (TypeError, ValueError, OverflowError) as error:
            raise _DamagedError(f"it holds what no ledger holds: {error}") from error
        for _ in range(owed):
            self._owed.popleft()
        return result

    def _understood(self, error: sqlite3.Error) -> Exception:
        """What an error of SQLite means here."""
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        if code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            now = time.monotonic()
            self._busy_since = self._busy_since if self._busy else now
            self._busy += 1
            # Both: a process that was itself suspended has seen much time and few attempts.
            if now - self._busy_since < _STUCK or self._busy < _STUCK / _BUSY / 2:
                return _BusyError()
            # Its transactions take microseconds. Whoever is suspended in one finds, on waking,
            # that its file is no longer the one in use, and asks again.
            return _DamagedError("a suspended process holds it")
        if code & 0xFF == sqlite3.SQLITE_FULL:
            return self._unusable(error)
        return _DamagedError(str(error))

    def _unusable(self, reason: object) -> StoreError:
        return StoreError(
            f"the request budget {self._path} cannot be written ({reason}); nothing was sent: "
            "check its folder's permissions and free space"
        )

    # The file.

    def _connect(self) -> sqlite3.Connection:
        if self._connection is not None and self._file == _identity(self._path):
            return self._connection
        if _identity(self._path) is None:
            self._make(None, used_up=self._file is not None)
        self._close()
        self._file = _identity(self._path)
        db = sqlite3.connect(
            f"{self._path.as_uri()}?mode=rw",
            uri=True,
            timeout=_BUSY,
            isolation_level=None,
            check_same_thread=False,
        )
        self._connection = db
        self._closer = weakref.finalize(self, db.close)
        # A rollback journal: unlike a write-ahead log, it bears that the file is replaced under
        # connections that others hold. Kept between transactions, because unlinking is slow.
        db.execute("PRAGMA journal_mode = PERSIST")
        db.execute("PRAGMA synchronous = OFF")
        return db

    def _close(self) -> None:
        closer, self._closer, self._connection = self._closer, None, None
        if closer is not None:
            closer()

    def _replace(self, damage: _DamagedError) -> None:
        self._busy = 0
        _log.info("the request budget %s is made anew (%s): a window's wait", self._path, damage)
        self._make(self._file, used_up=True)
        self._close()  # not before: an open file's inode cannot be that of the new one

    def _make(self, instead_of: tuple[int, int] | None, *, used_up: bool) -> None:
        """Put a new file in place of the one given, unless somebody else was first.

        It appears complete, by a rename: nobody ever opens half a ledger.
        """
        if not self._path.parent.is_dir():
            raise self._unusable("its folder does not exist")  # FileLock would make one, for all
        lock = FileLock(f"{self._path}.lock", timeout=_LOCK_TIMEOUT, mode=0o600)
        draft = self._path.with_name(f"{self._path.name}.new")
        try:
            with lock:
                if _identity(self._path) != instead_of:
                    return
                draft.unlink(missing_ok=True)
                draft.touch(mode=0o600, exist_ok=False)
                with contextlib.closing(sqlite3.connect(draft, isolation_level=None)) as db:
                    db.execute("PRAGMA journal_mode = OFF")
                    db.execute("PRAGMA synchronous = OFF")
                    db.executescript(_SCHEMA)
                    pace = Pace(
                        blocked=self._clock.now() + hold(self._window) if used_up else -math.inf
                    )
                    db.execute(
                        "INSERT INTO pace VALUES (1, ?, ?, 0, ?, ?, ?, ?, ?)",
                        (_random_id(), self._clock.boot, *pace),
                    )
                # A journal of the old file must not be rolled back into the new one.
                Path(f"{self._path}-journal").unlink(missing_ok=True)
                draft.replace(self._path)
        except (OSError, sqlite3.Error, Timeout) as error:
            raise self._unusable(error) from error


_LAST = (1 << 63) - 1
_ATTEMPTS = 4
_parents_connections: list[sqlite3.Connection] = []


def _random_id() -> int:
    """A positive 63-bit number; the kernel's randomness does not repeat itself in forks."""
    return int.from_bytes(os.urandom(8), "big") >> 1 or 1


def _drop(db: sqlite3.Connection, tickets: list[int]) -> None:
    """Take places out of the line."""
    db.executemany("DELETE FROM tickets WHERE number = ?", [(number,) for number in tickets])


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file has the path, or None where there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116 - called per request; pathlib is several times slower
    except OSError:
        return None
    return status.st_dev, status.st_ino


# The pacer: threads that wait their turn.


@dataclass(slots=True, eq=False)
class _Turn:
    """One thread's place in the line."""

    stop: threading.Event | None
    urgent: bool
    bell: threading.Lock = field(default_factory=threading.Lock)
    left: bool = False
    again: float = -math.inf  # when to ask the ledger

    def __post_init__(self) -> None:
        self.bell.acquire()

    def ring(self) -> None:
        """Wake the thread."""
        with contextlib.suppress(RuntimeError):  # it has been rung already
            self.bell.release()


class _Line:
    """The threads of one pacer, in the order of their coming, the urgent ones first.

    Made of plain locks: an interrupt of the main thread cannot leave them locked.
    """

    def __init__(self) -> None:
        self._turns: list[_Turn] = []
        self.lock = threading.Lock()

    def join(self, turn: _Turn) -> None:
        """Put a turn at its place."""
        with self.lock:
            # The urgent ones stand in front, always.
            urgent = sum(one.urgent for one in self._turns)
            self._turns.insert(urgent if turn.urgent else len(self._turns), turn)

    def leave(self, turn: _Turn) -> bool:
        """Take a turn out, and tell the next one; return whether nobody is left."""
        turn.left = True
        first = self._first()
        if first is not None:
            first.ring()
        return first is None

    def is_first(self, turn: _Turn) -> bool:
        """Whether it is this thread that deals with the ledger."""
        return self._first() is turn

    def length(self) -> int:
        """How many threads wait."""
        with self.lock:
            return len(self._turns)

    def ring_first(self) -> None:
        """Make the first thread look again."""
        first = self._first()
        if first is not None:
            first.ring()

    def ring_stopped(self) -> None:
        """Wake the threads that were told to stop: only the first one looks at the events."""
        with self.lock:
            for turn in self._turns:
                if turn.stop is not None and turn.stop.is_set():
                    turn.ring()

    def _first(self) -> _Turn | None:
        with self.lock:
            if any(turn.left for turn in self._turns):
                self._turns = [turn for turn in self._turns if not turn.left]
            return self._turns[0] if self._turns else None


class Pacer:
    """A request budget shared with every process that uses the same file.

    Whatever is granted may be sent at once, a whole limit in a burst; after a 429 all processes
    slow down together. Threads are served first come, first served; processes take turns. A forked
    child begins with an empty line and a connection of its own.

    Args:
        path: the budget's file, made when first needed with access for its owner only; its folder
            must exist, on a local file system. One per service host. May be None without a limit.
        limit: requests per window; 0: no limit, every method is a no-op and no file is made.
        window: seconds.
        clock: see `Clock`.
    """

    def __init__(
        self, path: Path | None, limit: int, *, window: float = 60.0, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        if limit < 0 or not 0 < window < math.inf or (limit and path is None):
            raise ValueError("a limit is a count of requests in a window, kept in a file")
        self._path = path
        self._limit = limit
        self._window = window
        self._clock = clock
        self._tick = min(_TICK, window / 4)
        self._mine = threading.local()
        self._begin()
        with _pacers_lock:
            _pacers.add(self)

    def __repr__(self) -> str:
        pace = f"{self._limit} per {self._window:g} s" if self._limit else "no limit"
        return f"<Pacer {pace}>"

    def _begin(self) -> None:
        self.ledger = (
            Ledger(self._path, self._limit, self._window, self._clock)
            if self._limit and self._path is not None
            else None
        )
        self._line = _Line()
        self._forecast = -math.inf  # when the first thread of the line can be served, at best

    def acquire(
        self,
        *,
        lease: float,
        stop: threading.Event | None = None,
        deadline: float | None = None,
        urgent: bool = False,
    ) -> Slot:
        """Wait for a slot. Sending must begin within `FRESH` seconds; see `Slot.fresh`.

        Args:
            lease: seconds after which a request that was never released is taken as counted by the
                service; at least as long as one may be under way.
            stop: ends the wait when set.
            deadline: moment of the clock by which the slot must be there.
            urgent: go ahead of the other threads that wait in this process.

        Raises:
            Interrupted: ``stop`` was set.
            Late: the deadline is over, or will be before a slot can be had.
            StoreError: the budget's file cannot be written.
        """
        if self.ledger is None:
            return Slot(0, self._clock.now(), math.inf, self._clock)
        turn = _Turn(stop, urgent)
        try:
            self._line.join(turn)
            slot = self._wait(self.ledger, turn, lease, deadline)
        finally:
            if self._line.leave(turn):
                self.ledger.leave_line()
        self._mine.granted = slot.granted
        return slot

    def release(self, slot: Slot) -> None:
        """Say that the request was answered or has failed: its slot counts for one window more."""
        if self.ledger is not None and slot.id:
            self.ledger.settle(slot)

    def cancel(self, slot: Slot) -> None:
        """Say that the request was surely never sent: its slot is free at once."""
        if self.ledger is not None and slot.id:
            self.ledger.give_back(slot)
            self._line.ring_first()

    def throttled(self, retry_after: float | None, *, slot: Slot | None = None) -> float:
        """Take in a 429: all processes wait, and then send evenly spaced for a while.

        Requests that were under way at the same time are one strike, however many are refused.

        Args:
            retry_after: seconds that the service asks for, obeyed exactly; None: 2, doubling up to
                a window as refusals go on.
            slot: the refused request's; None: the one that the calling thread acquired last.

        Returns:
            Seconds for which nobody sends now.

        Raises:
            StoreError: the budget's file cannot be written.
        """
        if self.ledger is None:
            return 0.0
        sent: float | None = slot.granted if slot else getattr(self._mine, "granted", None)
        seconds = self.ledger.strike(retry_after, sent)
        self._forecast = -math.inf
        return seconds

    def paused(self) -> float:
        """Seconds for which nobody sends, because of a 429 or a budget file lost; 0.0 usually.

        Raises:
            StoreError: the budget's file cannot be written.
        """
        return 0.0 if self.ledger is None else self.ledger.blocked()

    def estimate(self, requests: int) -> float:
        """Seconds until the last of so many further requests could be sent, if asked for now.

        A lower bound: the answers, those under way included, are taken as instant.

        Raises:
            StoreError: the budget's file cannot be written.
        """
        if self.ledger is None or requests < 1:
            return 0.0
        return self.ledger.forecast(requests)

    def close(self) -> None:
        """Close the file. The next use opens it again."""
        if self.ledger is not None:
            self.ledger.close()

    def _wait(self, ledger: Ledger, turn: _Turn, lease: float, deadline: float | None) -> Slot:
        while True:
            if turn.stop is not None and turn.stop.is_set():
                raise Interrupted
            now = self._clock.now()
            if deadline is not None and max(now, self._forecast) >= deadline:
                raise Late(max(self._forecast - now, 0.0))
            pause = self._tick
            if self._line.is_first(turn):
                if now >= turn.again:
                    slot = self._ask(ledger, turn, lease)
                    if slot is not None:
                        return slot
                    continue
                self._line.ring_stopped()
                pause = min(turn.again - now, _SLICE)
            if deadline is not None:
                pause = min(pause, deadline - now)
            if self._clock.wait(turn.bell, pause):
                turn.again = -math.inf

    def _ask(self, ledger: Ledger, turn: _Turn, lease: float) -> Slot | None:
        try:
            answer = ledger.ask(lease, self._line.length())
        except _BusyError:
            # Spread, so that those who met here do not meet again.
            turn.again = self._clock.now() + random.uniform(0.0, 0.004)  # noqa: S311 - guards nothing
            return None
        if isinstance(answer, Slot):
            self._forecast = -math.inf
            if answer.fresh():
                return answer
            # Suspended between the decision and here, for longer than the lease may allow for.
            ledger.give_back(answer)
            return None
        self._forecast = answer
        turn.again = min(answer, self._clock.now() + self._tick)
        return None

    def _before_fork(self) -> None:
        if self.ledger is not None:
            self.ledger.guard.acquire()
        self._line.lock.acquire()

    def _after_fork_in_parent(self) -> None:
        self._line.lock.release()
        if self.ledger is not None:
            self.ledger.guard.release()

    def _after_fork_in_child(self) -> None:
        if self.ledger is not None:
            self.ledger.abandon()
        self._mine = threading.local()
        self._begin()


# Forking waits until no transaction is open: a child that ends would roll back its parent's.
_pacers: weakref.WeakSet[Pacer] = weakref.WeakSet()
_pacers_lock = threading.Lock()
_forking: list[Pacer] = []


def _before_fork() -> None:
    _pacers_lock.acquire()
    _forking.extend(_pacers)
    for pacer in _forking:
        pacer._before_fork()  # noqa: SLF001 - the same module's


def _after_fork_in_parent() -> None:
    for pacer in _forking:
        pacer._after_fork_in_parent()  # noqa: SLF001 - the same module's
    _forking.clear()
    _pacers_lock.release()


def _after_fork_in_child() -> None:
    for pacer in _forking:
        pacer._after_fork_in_child()  # noqa: SLF001 - the same module's
    _forking.clear()
    _pacers_lock.release()


if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
