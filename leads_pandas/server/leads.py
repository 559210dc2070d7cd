"""The leads that a service is given: a frame, a CSV file or mappings, into plain rows."""

from __future__ import annotations

import csv
import numbers
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

from leads_pandas.errors import LeadIdError
from leads_pandas.models import lead_id_fault

_MISSING_TYPES = frozenset(("NAType", "NaTType"))


@runtime_checkable
class Frame(Protocol):
    """What is asked of a pandas DataFrame; pandas itself need not be there."""

    def to_dict(self, orient: Any) -> Any:
        """The rows, for ``"records"``."""


Leads = Frame | str | os.PathLike[str] | Iterable[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Lead:
    """A lead: its ID, and what the search knew of it."""

    lead_id: str
    website: str | None = None
    name: str | None = None
    query_id: str | None = None


def read_leads(leads: Leads) -> Iterator[Lead]:
    """Read leads from a DataFrame, the path of a CSV file, or mappings.

    Each has ``lead_id`` and ``website``, and may have ``name`` and ``query_id``; other columns are
    left alone. Whole numbers serve as IDs; missing values are NaN, NA, None or blank.

    Raises:
        LeadIdError: a row has no usable lead ID, or there is no such column.
        OSError: the file cannot be read.
    """
    for row, record in enumerate(_records(leads), start=1):
        where = f"row {row} of the leads"
        if not isinstance(record, Mapping):
            raise LeadIdError(f"{where} is no mapping of columns to values")
        if "lead_id" not in record:
            raise LeadIdError(f"{where} has no lead_id; it has {', '.join(map(str, record))[:200]}")
        lead_id = _text(record["lead_id"])
        if lead_id is None:
            raise LeadIdError(f"{where} has an empty lead_id")
        if fault := lead_id_fault(lead_id):
            raise LeadIdError(f"{where} has a lead_id that is {fault}: {lead_id[:40]!r}")
        yield Lead(
            lead_id,
            _text(record.get("website")),
            _text(record.get("name")),
            _text(record.get("query_id")),
        )


def _records(leads: Leads) -> Iterator[Mapping[str, Any]]:
    if isinstance(leads, str | os.PathLike):
        with Path(leads).open(encoding="utf-8-sig", newline="") as file:
            yield from csv.DictReader(file)
    elif isinstance(leads, Frame):
        yield from cast("Iterable[Mapping[str, Any]]", leads.to_dict("records"))
    else:
        yield from leads


def _text(value: Any) -> str | None:
    """A cell as text, whole numbers as integers; None where it is missing."""
    if value is None or type(value).__name__ in _MISSING_TYPES:
        return None
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise LeadIdError(f"the leads hold a value that is no text: {str(value)[:40]!r}")
    if value != value:  # noqa: PLR0124 - NaN alone is not equal to itself
        return None
    if not isinstance(value, numbers.Integral) and not float(value).is_integer():
        raise LeadIdError(f"the leads hold a number that is not whole: {value}")
    return str(int(cast("float", value)))
