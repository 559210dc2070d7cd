"""What was read of each lead, durable one by one, and erasable."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

from leads_pandas.errors import StoreError
from leads_pandas.models import Email, LeadResult, LeadStatus
from leads_pandas.store.database import chunks, now

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from leads_pandas.store.database import Database


def pack_emails(emails: Iterable[Email]) -> str:
    """Emails as the store keeps them."""
    return json.dumps([[one.email, one.confidence, one.source] for one in emails])


def _result(status: str, emails: str, enriched_at: int | None) -> LeadResult:
    found = tuple(Email(*one) for one in json.loads(emails)) if emails != "[]" else ()
    return LeadResult(cast("LeadStatus", status), found, enriched_at)


class Results:
    """The results of one account.

    Args:
        file: the store's file.
    """

    def __init__(self, file: Database) -> None:
        self._file = file

    def save(self, results: Sequence[tuple[str, LeadResult]], *, done: Sequence[str] = ()) -> None:
        """Keep what was read, durably, in one transaction.

        Args:
            results: leads and what was read of them.
            done: started ops that end with these results, in the same transaction.
        """
        moment = now()
        with self._file.transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?, ?)",
                [
                    (lead_id, one.status, pack_emails(one.emails), one.enriched_at, moment)
                    for lead_id, one in results
                ],
            )
            for op_id in done:
                db.execute(
                    "UPDATE ops SET state = 'done' WHERE id = ? AND state = 'started'", (op_id,)
                )
                db.execute("DELETE FROM claims WHERE op_id = ?", (op_id,))

    def known(self, lead_ids: Sequence[str]) -> dict[str, str]:
        """The status of each of these leads that the store holds."""
        found: dict[str, str] = {}
        for chunk in chunks(lead_ids):
            found.update(
                self._file.rows(
                    "SELECT r.lead_id, r.status FROM json_each(?) AS j"
                    " JOIN results AS r ON r.lead_id = j.value",
                    (json.dumps(chunk),),
                )
            )
        return found

    def of(
        self, lead_ids: Sequence[str], others: dict[str, LeadStatus] | None = None
    ) -> Iterator[LeadResult]:
        """What is known of each lead, in the order given.

        Args:
            lead_ids: unique lead IDs.
            others: statuses of leads the store does not hold; ``not_enriched`` for the rest.
        """
        others = others or {}
        for chunk in chunks(lead_ids):
            rows = self._file.rows(
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
        with self._file.transaction() as db:
            if lead_ids is None:
                erased = db.execute("DELETE FROM results").rowcount
            else:
                for chunk in chunks(lead_ids):
                    erased += db.execute(
                        "DELETE FROM results WHERE lead_id IN (SELECT value FROM json_each(?))",
                        (json.dumps(chunk),),
                    ).rowcount
        # Deleted pages are overwritten; older copies of them still stand in the log.
        busy = self._file.rows("PRAGMA wal_checkpoint(TRUNCATE)")[0][0]
        if busy:
            raise StoreError(
                f"{erased} results are deleted, but another process is reading {self._file.path}, "
                "so copies may remain in its log; call forget again when it is done"
            )
        return erased
