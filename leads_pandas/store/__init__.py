"""What is known for sure: the journal of money and the results, in one SQLite file per account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from leads_pandas.store.database import Database
from leads_pandas.store.journal import Journal
from leads_pandas.store.results import Results

if TYPE_CHECKING:
    from pathlib import Path


class Store:
    """The store of one account at one host; open it once per call and close it after.

    Args:
        folder: the folder of all stores, made where missing.
        host: host (and port) of the service, for the file's name.
        account: the name under which everything is filed; only its hash is kept.

    Attributes:
        journal: runs, starts and claims.
        results: what was read of each lead.

    Raises:
        StoreError: the store cannot be opened, or is not one this version can trust.
    """

    def __init__(self, folder: Path, host: str, account: str) -> None:
        self._file = Database(folder, host, account)
        self.path = self._file.path
        self.journal = Journal(self._file)
        self.results = Results(self._file)

    def close(self) -> None:
        """Close the file; the store can be opened again at any time."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
