from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.support.kernels import CELL_SECONDS, KERNEL, NOTEBOOKS

if TYPE_CHECKING:
    from pathlib import Path

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
