"""What was found on websites from this machine, without any account, in a file of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, Self

from leads_pandas.store.database import Database, Kind, chunks, now
from leads_pandas.store.results import pack_emails

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from leads_pandas.frames.columns import Row
    from leads_pandas.models import Email

    Pair = tuple[str, str]  # a lead's ID, and its website as it is written

FOUND: Final = Kind(
    "found.sqlite3",
    0x4C454146,
    (
        """
        CREATE TABLE found (
            lead_id TEXT NOT NULL,
            website TEXT NOT NULL,
            emails TEXT NOT NULL,         -- JSON: [[email, confidence, source], ...]
            looked_at INTEGER NOT NULL,   -- microseconds since the epoch, UTC
            PRIMARY KEY (lead_id, website)
        ) WITHOUT ROWID;
        """,
    ),
    "move it away and start a new one: the websites will be read again",
)


class Found:
    """What was found on websites; open it once per call and close it after.

    Args:
        folder: the folder of all stores, made where missing.

    Raises:
        StoreError: the file cannot be opened, or is not one this version can trust.
    """

    def __init__(self, folder: Path) -> None:
        self._file = Database(folder, "websites", "", FOUND)

    @staticmethod
    def is_in(folder: Path) -> bool:
        """Whether anything was ever found here; nothing is made to find out."""
        return any(folder.glob(f"*/{FOUND.name}"))

    def save(self, leads: Iterable[tuple[str, str, Iterable[Email]]]) -> None:
        """Keep what leads' websites show, durably, in one transaction."""
        moment = now()
        with self._file.transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO found VALUES (?, ?, ?, ?)",
                [(lead, website, pack_emails(emails), moment) for lead, website, emails in leads],
            )

    def rows(self, pairs: Sequence[Pair]) -> Iterator[Row]:
        """What is known of those of these leads that were looked at on these websites."""
        for chunk in chunks(pairs):
            for lead, emails, moment in self._file.rows(
                "SELECT f.lead_id, f.emails, f.looked_at FROM json_each(?) AS j JOIN found AS f"
                " ON f.lead_id = json_extract(j.value, '$[0]')"
                " AND f.website = json_extract(j.value, '$[1]')",
                (json.dumps(chunk),),
            ):
                held = json.loads(emails)
                yield lead, "found" if held else "not_found", held, moment

    def forget(self, lead_ids: Sequence[str] | None) -> int:
        """Erase what was found of leads so that it cannot be recovered; None erases all.

        Returns:
            how many results were erased.
        """
        return self._file.erase("found", lead_ids)

    def close(self) -> None:
        """Close the file; it can be opened again at any time."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
