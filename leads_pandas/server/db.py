"""The service's memory: keys, credits, leads and jobs in one SQLite file; no HTTP, no threads.

Whatever costs or returns credits happens in one transaction with the reason for it, and is on the
disk (``synchronous=FULL``) before anybody is told.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, cast

from leads_pandas.models import (
    ActiveJob,
    Balance,
    CostPreview,
    Email,
    JobState,
    JobStatus,
    LeadEnrichment,
    StartedJob,
)
from leads_pandas.server.file import File

if TYPE_CHECKING:
    import os
    import sqlite3
    from collections.abc import Callable, Iterable

    from leads_pandas.server.leads import Lead

RESET_DAY_MAX = 28  # every month has one
_DECEMBER = 12

# The IDs travel as one JSON text, so that no limit on variables applies; the order is the one sent.
_BY_IDS = """
SELECT leads.number, leads.job, leads.enriched_at, leads.unread, leads.website, wanted.key AS place
FROM json_each(?) AS wanted CROSS JOIN leads ON leads.lead_id = wanted.value
"""
_BY_QUERY = """
SELECT number, job, enriched_at, unread, website, number AS place FROM leads WHERE query_id = ?
"""
# What could not be read has its answer, and is looked at again when asked for again: it counts as
# enriched and as to enrich, so that whoever has just bought it reads that answer at once.
_OPEN = "(enriched_at IS NULL OR unread) AND job IS NULL"
_COSTS = "ifnull(trim(website), '') <> ''"  # there is something to look at

# What became of a lead of a job, in `tasks.done`.
_DONE, _NOT_LOOKED_AT, _FOR_NOTHING = 1, -1, -2

# What was found for a lead; "unread": its website does not let itself be read, so that it has no
# address today, and is looked at when asked for again; None: it could not be looked at.
Outcome = Sequence[Email] | Literal["unread"] | None


class UnknownQueryError(LookupError):
    """There are no leads of such a query."""


class NoCreditsError(Exception):
    """There are leads to enrich, and the cap or the balance does not cover a single one."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which leads are meant: by their IDs, in this order, or by a query's ID."""

    lead_ids: tuple[str, ...] | None
    query_id: str | None

    @classmethod
    def of(cls, lead_ids: Iterable[str] | None, query_id: str | None) -> Selection:
        """Make one; equal IDs count once."""
        ids = None if lead_ids is None else tuple(dict.fromkeys(lead_ids))
        return cls(ids, query_id)

    def sql(self) -> tuple[str, str]:
        """A query for the leads, of which one parameter is left open, and that parameter."""
        if self.lead_ids is None:
            return _BY_QUERY, self.query_id or ""
        # No lead has a NUL in its ID, and SQLite would read such an ID up to it only.
        return _BY_IDS, json.dumps([one for one in self.lead_ids if "\0" not in one])


@dataclass(frozen=True, slots=True)
class Task:
    """A lead of a job that is still to be enriched."""

    job: int
    place: int
    lead: int
    website: str | None


@dataclass(frozen=True, slots=True)
class Transaction:
    """A movement of credits; `amount` is negative where they were spent."""

    number: int
    type: Literal["DEDUCTION", "REFUND", "MONTHLY_RESET"]
    amount: int
    description: str
    created_at: datetime


class Database:
    """What the service knows, in one `File`.

    Args:
        path: the file; made where it is missing.
        credits_per_month: the balance of a new file. A file that exists keeps its own.
        clock: seconds since the epoch.

    Raises:
        StoreError: the file cannot be opened, is not ours, or another service has it open.

    Safe to use from several threads.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        credits_per_month: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock

        def fill(db: sqlite3.Connection) -> None:
            now = clock()
            db.execute(
                "INSERT INTO account VALUES (1, ?, 0, 0, ?, ?)",
                (credits_per_month, min(_moment(now).day, RESET_DAY_MAX), now),
            )
            self._book(db, "MONTHLY_RESET", credits_per_month, "Credits of the month")

        self._file = File(path, fill)
        self.close = self._file.close

    # Keys

    def add_key(self) -> str:
        """Make an API key; only its SHA-256 is kept."""
        key = f"ll_{secrets.token_hex(32)}"
        with self._file.writing() as db:
            db.execute("INSERT INTO keys VALUES (?, ?)", (_hash(key), self._clock()))
        return key

    def knows_key(self, key: str) -> bool:
        """Whether a key is one of this file's."""
        with self._file.reading() as db:
            row = db.execute("SELECT 1 FROM keys WHERE hash = ?", (_hash(key),)).fetchone()
        return row is not None

    # Leads

    def import_leads(self, leads: Iterable[Lead]) -> int:
        """Add leads, or bring known ones up to date; what was found for them stays.

        Returns:
            How many were read.
        """
        rows = [(one.lead_id, one.website, one.name, one.query_id) for one in leads]
        with self._file.writing() as db:
            db.executemany(
                "INSERT INTO leads (lead_id, website, name, query_id) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (lead_id) DO UPDATE SET website = excluded.website, "
                "name = excluded.name, query_id = excluded.query_id",
                rows,
            )
        return len(rows)

    def lead(self, lead_id: str) -> LeadEnrichment | None:
        """What is known of a lead, or None where there is no such lead."""
        with self._file.reading() as db:
            row = db.execute(
                "SELECT emails, enriched_at FROM leads WHERE lead_id = ?", (lead_id,)
            ).fetchone()
        if row is None:
            return None
        emails = [Email(*one) for one in json.loads(row["emails"] or "[]")]
        at = None if row["enriched_at"] is None else _moment(row["enriched_at"])
        return LeadEnrichment(lead_id, tuple(emails), at)

    # Credits

    def balance(self) -> Balance:
        """The account's credits."""
        self._reset_if_due()
        with self._file.reading() as db:
            row = db.execute("SELECT * FROM account").fetchone()
        return Balance(
            available_credits=_available(row),
            monthly_credits=row["monthly"],
            bonus_credits=row["bonus"],
            used_credits=row["used"],
            reset_day=row["reset_day"],
            last_reset_at=_moment(row["last_reset_at"]),
        )

    def transactions(self, limit: int, offset: int) -> tuple[list[Transaction], int]:
        """A page of the movements of credits, the newest first, and how many there are."""
        with self._file.reading() as db:
            rows = db.execute(
                "SELECT * FROM transactions ORDER BY number DESC LIMIT ? OFFSET ?", (limit, offset)
            ).fetchall()
            total = db.execute("SELECT count(*) FROM transactions").fetchone()[0]
        page = [
            Transaction(
                row["number"],
                row["type"],
                row["amount"],
                row["description"],
                _moment(row["created_at"]),
            )
            for row in rows
        ]
        return page, total

    # Jobs

    def preview(self, selection: Selection) -> CostPreview:
        """What enriching the leads would cost.

        Those of a running job cost nothing again, those without a website nothing at all.

        Raises:
            UnknownQueryError: there are no leads of such a query.
        """
        self._reset_if_due()
        sql, wanted = selection.sql()
        with self._file.reading() as db:
            total, enriched, to_enrich, leads_to_pay = db.execute(
                f"SELECT count(*), count(enriched_at), ifnull(sum({_OPEN}), 0), "  # noqa: S608 - constants of this module
                f"ifnull(sum({_OPEN} AND {_COSTS}), 0) FROM ({sql})",
                (wanted,),
            ).fetchone()
            available = _available(db.execute("SELECT * FROM account").fetchone())
        if selection.query_id is not None and total == 0:
            raise UnknownQueryError
        return CostPreview(
            total_leads=total,
            already_enriched=enriched,
            to_enrich=to_enrich,
            estimated_credits=leads_to_pay,
            available_credits=available,
        )

    def start(
        self, selection: Selection, max_credits: int | None = None, *, price: int = 1
    ) -> StartedJob:
        """Start a job of the leads that are neither enriched nor in a running job.

        Where the cap or the balance is below the need, the job holds the first leads that fit, in
        the order sent. Where nothing is to be enriched, it is empty and complete. A lead without a
        website costs nothing.

        Args:
            selection: which leads.
            max_credits: the most that may be reserved; None: the whole balance.
            price: credits per lead.

        Raises:
            UnknownQueryError: there are no leads of such a query.
            NoCreditsError: not a single lead fits.
        """
        self._reset_if_due()
        sql, wanted = selection.sql()
        now = self._clock()
        with self._file.writing() as db:
            known, need = db.execute(
                f"SELECT count(*), ifnull(sum({_OPEN}), 0) FROM ({sql})",  # noqa: S608 - constants
                (wanted,),
            ).fetchone()
            if selection.query_id is not None and known == 0:
                raise UnknownQueryError
            leads_to_pay = need
            if price:
                funds = max(_available(db.execute("SELECT * FROM account").fetchone()), 0)
                funds = funds if max_credits is None else min(funds, max_credits)
                leads_to_pay = funds // price
            job_id = f"enrich_{secrets.token_hex(10)}"
            number = db.execute(
                "INSERT INTO jobs (job_id, status, price, total, created_at) "
                "VALUES (?, 'PENDING', ?, 0, ?)",
                (job_id, price, now),
            ).lastrowid
            db.execute(
                "INSERT INTO tasks (job, place, lead, costs) "  # noqa: S608 - constants of this module
                "SELECT ?, row_number() OVER (ORDER BY place), number, costs FROM ("
                f"SELECT place, number, {_COSTS} AS costs, "
                f"sum({_COSTS}) OVER (ORDER BY place) AS paid FROM ({sql}) WHERE {_OPEN}) "
                "WHERE paid <= ?",
                (number, wanted, leads_to_pay),
            )
            queued, paid = db.execute(
                "SELECT count(*), ifnull(sum(costs), 0) FROM tasks WHERE job = ?", (number,)
            ).fetchone()
            if need and not queued:
                raise NoCreditsError
            db.execute(
                "UPDATE jobs SET total = ?, status = iif(?, 'PENDING', 'COMPLETED'), "
                "finished_at = iif(?, NULL, created_at) WHERE number = ?",
                (queued, queued, queued, number),
            )
            db.execute(
                "UPDATE leads SET job = ? WHERE number IN (SELECT lead FROM tasks WHERE job = ?)",
                (number, number),
            )
            if price and paid:
                db.execute("UPDATE account SET used = used + ?", (paid * price,))
                self._book(db, "DEDUCTION", -paid * price, f"Enrichment {job_id}: {paid} leads")
        return StartedJob(job_id, queued, paid * price)

    def status(self, job_id: str) -> JobStatus | None:
        """How far a job is, or None where there is no such job."""
        with self._file.reading() as db:
            row = db.execute("SELECT * FROM jobs WHERE job_id = ?", (job_id,)).fetchone()
        if row is None:
            return None
        return JobStatus(
            job_id=job_id,
            status=cast("JobState", row["status"]),
            progress=_progress(row),
            processed_leads=row["processed"],
            total_leads=row["total"],
            found_emails=row["found"],
        )

    def active_jobs(self) -> list[ActiveJob]:
        """The jobs that are not finished, the oldest first."""
        with self._file.reading() as db:
            rows = db.execute(
                "SELECT * FROM jobs WHERE status IN ('PENDING', 'PROCESSING') ORDER BY number"
            ).fetchall()
        return [
            ActiveJob(row["job_id"], "enrichment", _progress(row), row["total"], None)
            for row in rows
        ]

    # For the worker

    def unfinished(self) -> list[int]:
        """The numbers of the jobs that are not finished, the oldest first."""
        with self._file.reading() as db:
            rows = db.execute(
                "SELECT number FROM jobs WHERE status IN ('PENDING', 'PROCESSING') ORDER BY number"
            ).fetchall()
        return [row["number"] for row in rows]

    def tasks(self, job: int, after: int, limit: int) -> list[Task]:
        """The next leads of a job that are not done, in its order, behind place `after`."""
        with self._file.reading() as db:
            rows = db.execute(
                "SELECT place, lead, website FROM tasks JOIN leads ON leads.number = tasks.lead "
                "WHERE tasks.job = ? AND place > ? AND NOT done ORDER BY place LIMIT ?",
                (job, after, limit),
            ).fetchall()
        return [Task(job, row["place"], row["lead"], row["website"]) for row in rows]

    def begin(self, job: int) -> None:
        """Say that a job's first lead is being worked on."""
        with self._file.writing() as db:
            db.execute(
                "UPDATE jobs SET status = 'PROCESSING' WHERE number = ? AND status = 'PENDING'",
                (job,),
            )

    def finish(self, results: Iterable[tuple[Task, Outcome]]) -> set[int]:
        """Record what came of some leads, each once; the last one of a job ends it.

        Args:
            results: what came of each. What is no list of addresses is paid back when the job ends.

        Returns:
            The numbers of the jobs that have ended.
        """
        with self._file.writing() as db:
            touched = {task.job for task, emails in results if self._record(db, task, emails)}
            return {job for job in touched if self._end(db, job)}

    def _record(self, db: sqlite3.Connection, task: Task, outcome: Outcome) -> bool:
        """Record what came of one lead; False where that is known already."""
        emails = () if outcome is None or outcome == "unread" else outcome
        done = _DONE
        if outcome is None:
            done = _NOT_LOOKED_AT
        elif outcome == "unread" or not (task.website or "").strip():
            done = _FOR_NOTHING
        changed = db.execute(
            "UPDATE tasks SET done = ? WHERE job = ? AND place = ? AND NOT done",
            (done, task.job, task.place),
        ).rowcount
        if not changed:
            return False
        if outcome is None:
            db.execute("UPDATE jobs SET failed = failed + 1 WHERE number = ?", (task.job,))
        else:
            rows = [(one.email, one.confidence, one.source) for one in emails]
            db.execute(
                "UPDATE leads SET emails = ?, enriched_at = ?, unread = ?, job = NULL "
                "WHERE number = ?",
                (json.dumps(rows), self._clock(), outcome == "unread", task.lead),
            )
            db.execute(
                "UPDATE jobs SET processed = processed + 1, found = found + ? WHERE number = ?",
                (bool(rows), task.job),
            )
        return True

    def _end(self, db: sqlite3.Connection, job: int) -> bool:
        row = db.execute("SELECT * FROM jobs WHERE number = ?", (job,)).fetchone()
        if row["processed"] + row["failed"] < row["total"]:
            return False
        db.execute(
            "UPDATE jobs SET status = 'COMPLETED', finished_at = ? WHERE number = ?",
            (self._clock(), job),
        )
        db.execute("UPDATE leads SET job = NULL WHERE job = ?", (job,))
        unpaid = db.execute(
            "SELECT ifnull(sum(costs), 0) FROM tasks WHERE job = ? AND done < 0", (job,)
        ).fetchone()[0]
        refund = unpaid * row["price"]
        if refund:
            # A month that began meanwhile has forgotten what was used.
            db.execute("UPDATE account SET used = max(used - ?, 0)", (refund,))
            self._book(
                db, "REFUND", refund, f"Enrichment {row['job_id']}: {unpaid} leads not looked at"
            )
        return True

    # Inside

    def _reset_if_due(self) -> None:
        """Begin a new month of credits, where one has begun."""
        now = _moment(self._clock())
        with self._file.reading() as db:
            row = db.execute("SELECT * FROM account").fetchone()
        if next_reset(_moment(row["last_reset_at"]), row["reset_day"]) > now:
            return
        with self._file.writing() as db:
            row = db.execute("SELECT * FROM account").fetchone()
            latest = last = _moment(row["last_reset_at"])
            while (following := next_reset(latest, row["reset_day"])) <= now:
                latest = following
            if latest > last:
                db.execute("UPDATE account SET used = 0, last_reset_at = ?", (latest.timestamp(),))
                self._book(db, "MONTHLY_RESET", row["used"], "Credits of the month")

    def _book(self, db: sqlite3.Connection, kind: str, amount: int, description: str) -> None:
        db.execute(
            "INSERT INTO transactions (type, amount, description, created_at) VALUES (?, ?, ?, ?)",
            (kind, amount, description, self._clock()),
        )


def next_reset(last: datetime, day: int) -> datetime:
    """The first midnight (UTC) of a month's `day` after `last`."""
    midnight = last.replace(day=day, hour=0, minute=0, second=0, microsecond=0)
    if midnight > last:
        return midnight
    if midnight.month == _DECEMBER:
        return midnight.replace(year=midnight.year + 1, month=1)
    return midnight.replace(month=midnight.month + 1)


def _progress(row: sqlite3.Row) -> int:
    if row["status"] == "COMPLETED":
        return 100
    # Not 100 before the end, whatever the rounding.
    return min(int(100 * row["processed"] / max(row["total"], 1)), 99)


def _available(row: sqlite3.Row) -> int:
    return int(row["monthly"] + row["bonus"] - row["used"])


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
