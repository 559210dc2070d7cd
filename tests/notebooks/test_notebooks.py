from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient

import leads_pandas
from tests.support.kernels import CELL_SECONDS, KERNEL, NOTEBOOKS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from leads_pandas import LeadsClient

PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))
KEY = re.compile(r"ll_[0-9a-f]{64}")

each_notebook = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def stored(path: Path) -> Any:
    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def execute(path: Path) -> list[Any]:
    """Run a notebook from top to bottom and return the outputs of its cells."""
    notebook = stored(path)
    place = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, kernel_name=KERNEL, timeout=CELL_SECONDS, resources=place).execute()
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def test_there_are_three_notebooks() -> None:
    assert [path.stem for path in PATHS] == ["lead_scoring", "pipeline", "quickstart"]


@each_notebook
def test_a_notebook_runs_from_top_to_bottom_and_leaves_nothing_behind(
    path: Path,
    in_jupyter: None,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A user's own account, which none of them may touch: nothing listens there.
    monkeypatch.setenv("LOCALLEADS_API_KEY", "ll_" + "0" * 64)
    monkeypatch.setenv("LOCALLEADS_BASE_URL", "http://127.0.0.1:9")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    outputs = execute(path)
    assert not [one for one in outputs if one.output_type == "error"]
    assert not [one for one in outputs if one.get("name") == "stderr"]
    assert not KEY.search(json.dumps(outputs))
    assert not list(scratch.glob("leads-pandas*"))
    assert not home.exists()
    if path.stem == "quickstart":
        shown = [one.data.get("text/html", "") for one in outputs if "data" in one]
        card = next(html for html in shown if "Enrichment run" in html)
        assert 'aria-valuenow="100"' in card
        assert re.search(r"enrich_[0-9a-f]+", card)
        assert sum("image/png" in one.get("data", {}) for one in outputs) == 2
    if path.stem == "pipeline":
        said = "".join(one.get("text", "") for one in outputs)
        assert "exit code -9" in said
        assert said.count("exit code 0") == 2
        assert "refused: confidence is string" in said
    if path.stem == "lead_scoring":
        table = next(one.data["text/html"] for one in outputs if "mailbox" in str(one.get("data")))
        without_email = [
            row for row in re.findall(r"<tr>.*?</tr>", table, re.DOTALL) if "none" in row
        ]
        assert without_email
        assert not [row for row in without_email if ">own<" in row]


@each_notebook
def test_a_notebook_is_stored_without_what_a_run_left(path: Path) -> None:
    for cell in code_cells(stored(path)):
        assert cell.outputs == []
        assert cell.execution_count is None


def test_the_history_of_the_scoring_notebook_is_what_its_generator_makes(tmp_path: Path) -> None:
    bundled = NOTEBOOKS / "data"
    copy = tmp_path / "make_outreach.py"
    copy.write_bytes((bundled / "make_outreach.py").read_bytes())
    subprocess.run([sys.executable, copy], check=True)
    assert (tmp_path / "outreach.csv").read_bytes() == (bundled / "outreach.csv").read_bytes()


def test_the_scoring_notebook_takes_a_history_made_as_it_says(
    client: Callable[..., LeadsClient], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = range(60)
    pd.DataFrame(
        {
            "Lead ID": [f"lead{row:03d}" for row in rows],
            "Homepage": [f"https://lead{row:03d}.example/" for row in rows],
            "First contact": [f"2026-0{1 + row % 6}-01" for row in rows],
            "Replied": [("yes", "no", "no")[row % 3] for row in rows],
        }
    ).to_csv("crm_export.csv", index=False)
    cells = stored(NOTEBOOKS / "lead_scoring.ipynb").cells
    told = next(one.source for one in cells if one.source.startswith("## With your own data"))
    (block,) = re.findall(r"```python\n(.*?)```", told, re.DOTALL)
    (read,) = re.findall(r"`(history = [^`]+)`", told)
    (late,) = re.findall(r"`(\(history[^`]+)`", told)
    code = [one.source for one in cells if one.cell_type == "code"]
    imports = code[0].partition("# Everything")[0]
    first = next(at for at, source in enumerate(code) if source.startswith("history = "))
    _, _, rest = code[first].partition("\n")
    last = next(at for at, source in enumerate(code) if "model.fit" in source)

    names: dict[str, Any] = {}
    leads_pandas.set_default_client(client())
    try:
        exec(f"{imports}\n{block}", names)  # noqa: S102 - our own notebook's
    finally:
        leads_pandas.set_default_client(None)
    exec("\n".join([read, rest, *code[first + 1 : last + 1]]), names)  # noqa: S102 - as above
    assert names["model"].predict_proba(names["test"]).shape == (len(names["test"]), 2)
    assert eval(late, names) == 1.0  # noqa: S307 - as above
