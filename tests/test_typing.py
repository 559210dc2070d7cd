"""What type checkers make of a user's script: the types of the functions, and the mistakes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

# Each line that ends in a comment is what the checkers must say of it: a type, or "wrong".
SCRIPT = """\
import pandas as pd

import leads_pandas
from leads_pandas import CostPreview, EnrichmentRun, LeadsClient, RunStatus


def watch(status: RunStatus) -> None:
    print(status.read, status.total)


df = pd.read_csv("leads.csv")
client = LeadsClient()
reveal_type(leads_pandas.preview(df))  # CostPreview
reveal_type(leads_pandas.enrich(df, "out.parquet", max_credits=5))  # DataFrame
reveal_type(df.pipe(leads_pandas.enrich, "out.parquet", max_credits=5))  # DataFrame
reveal_type(leads_pandas.enrich(df, progress=watch, confirm=lambda it: it.affordable))  # DataFrame
reveal_type(leads_pandas.start(df, client=client))  # EnrichmentRun
reveal_type(leads_pandas.start(df).status())  # RunStatus
reveal_type(leads_pandas.start(df).result())  # DataFrame
reveal_type(leads_pandas.results(df, emails="all"))  # DataFrame
reveal_type(leads_pandas.resume("5f0c2a1b9d3e"))  # DataFrame
reveal_type(leads_pandas.runs())  # DataFrame
reveal_type(leads_pandas.jobs())  # DataFrame
reveal_type(leads_pandas.forget(df["lead_id"]))  # int
reveal_type(leads_pandas.summary(df))  # Series[Any]
reveal_type(leads_pandas.features(df))  # DataFrame
reveal_type(leads_pandas.SCHEMA)  # Schema
reveal_type(client.lead("cm9lead001").emails)  # tuple[Email, ...]
reveal_type(client.balance().available_credits)  # int

leads_pandas.enrich(df, max_credit=5)  # wrong
leads_pandas.enrich(df, max_credits="5")  # wrong
leads_pandas.enrich(df, emails="first")  # wrong
leads_pandas.results(df, on_conflict="overwrite")  # wrong
df.pipe(leads_pandas.enrich, "out.parquet", max_credits="5")  # wrong

try:
    leads_pandas.enrich(df)
except leads_pandas.JobTimeoutError as error:
    run: EnrichmentRun | None = error.run
except leads_pandas.CreditCapError as error:
    preview: CostPreview | None = error.preview
"""

EXPECTED = {
    number: line.rpartition("  # ")[2]
    for number, line in enumerate(SCRIPT.splitlines(), start=1)
    if "  # " in line
}


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """The user's script, in a folder of its own."""
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    return path


def plain(revealed: str) -> str:
    """A type without the modules that its names come from."""
    return re.sub(r"\b[\w.]+\.(?=\w)", "", revealed)


def test_mypy_sees_the_types(script: Path) -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--output=json", "--cache-dir=.cache", script],
        cwd=script.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    said: dict[int, str] = {}
    for one in map(json.loads, checked.stdout.splitlines()):
        revealed = one["message"].startswith("Revealed type is ")
        if one["severity"] == "error" or revealed:
            said[one["line"]] = plain(one["message"].split('"')[1]) if revealed else "wrong"
    assert said == EXPECTED, checked.stdout + checked.stderr


def test_pyright_sees_the_types(script: Path) -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, script],
        cwd=script.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    said: dict[int, str] = {}
    for one in json.loads(checked.stdout)["generalDiagnostics"]:
        revealed = one["severity"] == "information"
        line = one["range"]["start"]["line"] + 1
        said[line] = plain(one["message"].split('"')[-2]) if revealed else "wrong"
    assert said == EXPECTED, checked.stdout + checked.stderr
