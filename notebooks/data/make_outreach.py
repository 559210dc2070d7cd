"""Write ``outreach.csv``: 1,600 generated leads and whether they answered. Nothing in it is real.

Run it to make the same file again: ``python notebooks/data/make_outreach.py``.

Businesses are ``business-0001.example`` and so on, addresses follow from them, and who "answered"
was drawn by the rule in `_chance`, plus a lead's own luck that no feature can see. A model that
learns from this file therefore finds our rule again, and says nothing about real people.
"""

from __future__ import annotations

import csv
import math
import random
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

LEADS = 1_600
FIRST_DAY = date(2025, 1, 6)
DAYS = 240
COLUMNS = [
    "lead_id",
    "website",
    "contacted_on",
    "email",
    "confidence",
    "source",
    "enriched_at",
    "enrichment_status",
    "answered",
]
FREE = ["gmail.com", "outlook.com", "gmx.de", "yahoo.com"]
DISPOSABLE = ["mailinator.com", "yopmail.com"]
ROLES = ["info", "hello", "contact", "office", "sales", "bookings"]
PEOPLE = ["ana", "ben", "chidi", "dara", "elif", "femi", "greta", "hugo", "ines", "jonas"]


def outreach() -> list[dict[str, object]]:
    """The same leads every time, in the order in which they were contacted."""
    chance = random.Random(20250106)
    return [_lead(number, chance) for number in range(1, LEADS + 1)]


def _lead(number: int, chance: random.Random) -> dict[str, object]:
    domain = f"business-{number:04}.example"
    website = f"https://www.{domain}/" if chance.random() < 0.88 else ""
    contacted = FIRST_DAY + timedelta(days=(number - 1) * DAYS // LEADS)
    enriched = datetime(contacted.year, contacted.month, contacted.day, 4, tzinfo=UTC)
    enriched -= timedelta(days=chance.randrange(1, 4), seconds=chance.randrange(7_200))
    kind = chance.choices(
        ["none", "role", "person", "free", "disposable", "elsewhere"], [24, 30, 22, 14, 3, 7]
    )[0]
    luck = chance.gauss(0, 0.8)
    confidence = round(min(max(chance.gauss(0.72, 0.17), 0.3), 0.99), 2)
    person, role = chance.choice(PEOPLE), chance.choice(ROLES)
    email = {
        "none": "",
        "role": f"{role}@{domain}",
        "person": f"{person}@{domain}",
        "free": f"made-up-business-{number:04}@{chance.choice(FREE)}",
        "disposable": f"made-up-business-{number:04}@{chance.choice(DISPOSABLE)}",
        "elsewhere": f"{person}@agency-{number % 40:02}.example",
    }[kind]
    return {
        "lead_id": f"made{number:04}",
        "website": website,
        "contacted_on": contacted.isoformat(),
        "email": email,
        "confidence": confidence if email else "",
        "source": "website" if email else "",
        "enriched_at": enriched.isoformat(),
        "enrichment_status": "found" if email else "not_found",
        "answered": int(chance.random() < _chance(kind, confidence, website, luck)),
    }


def _chance(kind: str, confidence: float, website: str, luck: float) -> float:
    """How likely a lead answers: the rule that a model can find, and luck that it cannot."""
    score = -3.2 + 0.4 * bool(website) + luck
    if kind != "none":
        score += 0.3 + 3.0 * (confidence - 0.5)
    score += {"person": 1.5, "free": 0.8, "disposable": -2.5, "elsewhere": -0.9}.get(kind, 0.0)
    return 1 / (1 + math.exp(-score))


def main() -> int:
    """Write the file beside this one."""
    path = Path(__file__).with_name("outreach.csv")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(outreach())
    return 0


if __name__ == "__main__":
    sys.exit(main())
