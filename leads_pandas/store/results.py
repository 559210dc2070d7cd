"""What was read of each lead, durable one by one, and erasable."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from leads_pandas.frames.columns import answers
from leads_pandas.store.database import chunks, now

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pyarrow as pa

    from leads_pandas.frames.columns import Row
    from leads_pandas.models import Email, LeadResult, LeadStatus
    from leads_pandas.store.database import Database


def pack_emails(emails: Iterable[Email]) -> str:
    """Emails as the store keeps them."""
    return json.dumps([[one.email, one.confidence, one.source] for one in emails])


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
                db.execute(
                    "DELETE FROM claims WHERE op_id IN"
                    " (SELECT id FROM ops WHERE id = ? AND state = 'done')",
                    (op_id,),
                )
        self._file.ended(*done)

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

    def dated(self, lead_ids: Sequence[str]) -> list[tuple[int, str]]:
        """When the service enriched each of these leads, in microseconds, the newest first."""
        dated: list[tuple[int, str]] = []
        for chunk in chunks(lead_ids):
            dated += self._file.rows(
                "SELECT r.enriched_at, r.lead_id FROM json_each(?) AS j"
                " JOIN results AS r ON r.lead_id = j.value WHERE r.enriched_at IS NOT NULL",
                (json.dumps(chunk),),
            )
        return sorted(dated, reverse=True)

    def answers(
        self,
        lead_ids: Sequence[str],
        outcomes: Mapping[str, LeadStatus] | None = None,
        *,
        emails: str = "best",
        min_confidence: float = 0.0,
    ) -> pa.Table:
        """What is known of each lead, in the order given: ``lead_id`` and the five columns.

        Args:
            lead_ids: unique lead IDs.
            outcomes: statuses of leads the store does not hold; ``not_enriched`` for the rest.
            emails: ``best``: one row per lead; ``all``: one per email.
            min_confidence: emails below it are left out, 0-1; their lead keeps a row.
        """
        rows = self._rows(lead_ids, outcomes or {})
        return answers(rows, emails=emails, min_confidence=min_confidence)

    def _rows(self, lead_ids: Sequence[str], outcomes: Mapping[str, LeadStatus]) -> Iterator[Row]:
        for chunk in chunks(lead_ids):
            rows = self._file.rows(
                "SELECT j.value, r.status, r.emails, r.enriched_at FROM json_each(?) AS j"
                " LEFT JOIN results AS r ON r.lead_id = j.value ORDER BY j.key",
                (json.dumps(chunk),),
            )
            # One document of a whole chunk is read in half the time of its thousands.
            emails = iter(json.loads(f"[{','.join(row[2] or '[]' for row in rows)}]"))
            for lead_id, status, _, enriched_at in rows:
                found = next(emails)
                yield lead_id, status or outcomes.get(lead_id, "not_enriched"), found, enriched_at

    def forget(self, lead_ids: Sequence[str] | None) -> int:
        """Erase results so that they cannot be recovered from the file; None erases all.

        Returns:
            how many were erased.
        """
        return self._file.erase("results", lead_ids)
