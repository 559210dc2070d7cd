"""The house holds: imports go downward, importing is cheap, the twins match."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import leads_pandas
from leads_pandas import functions
from leads_pandas.accessor import LeadsAccessor

PACKAGE = Path(leads_pandas.__file__).parent

FLOORS = {
    "errors": 0,
    "hosts": 0,
    "display": 0,
    "models": 1,
    "tables": 1,
    "streams": 1,
    "store": 2,
    "ids": 2,
    "frame": 3,
    "files": 3,
    "arguments": 4,
    "parquet": 2,
    "pacing": 3,
    "schedule": 3,
    "transport": 4,
    "client": 5,
    "collect": 6,
    "purchase": 6,
    "run": 7,
    "progress": 8,
    "enrichment": 9,
    "scoring": 9,
    "plotting": 10,
    "functions": 11,
    "accessor": 12,
    "answers": 12,
    "cli": 13,
    "__main__": 14,
    "__init__": 15,
}


def imports(path: Path) -> set[str]:
    """The package's own modules that a file imports to run, wherever in it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = [ast.Pass()]
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "leads_pandas":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("leads_pandas."):
            found.add((node.module or "").split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {
                alias.name.split(".")[1]
                for alias in node.names
                if alias.name.startswith("leads_pandas.")
            }
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*.py")), ids=lambda path: path.stem)
def test_a_room_imports_only_from_floors_below(path: Path) -> None:
    floor = FLOORS[path.stem]
    above = {name for name in imports(path) if FLOORS.get(name, -1) >= floor}
    if path.stem == "__init__":
        above = set()
    assert above == set()


def test_the_local_service_shares_only_the_ground_floors_with_the_client() -> None:
    allowed = {"errors", "display", "models", "tables", "server", "client", "functions"}
    for path in (PACKAGE / "server").rglob("*.py"):
        used = imports(path) & (FLOORS.keys() | {"server"})
        assert used <= allowed, path
        if "client" in used:
            assert path.stem in ("local", "__init__", "demo"), path


def test_importing_registers_the_accessor_and_loads_nothing_heavy() -> None:
    code = """
import pandas, sys
before = set(sys.modules)
import leads_pandas
heavy = {"requests", "sqlite3", "tqdm", "pyarrow.parquet", "matplotlib", "filelock", "starlette"}
print(sorted((set(sys.modules) - before) & heavy), hasattr(pandas.DataFrame, "leads"))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] True"


@pytest.mark.parametrize("name", ["preview", "enrich", "start", "results", "summary", "features"])
def test_a_method_and_its_twin_take_the_same(name: str) -> None:
    method = inspect.signature(getattr(LeadsAccessor, name))
    twin = inspect.signature(getattr(functions, name))
    assert list(method.parameters.values())[1:] == list(twin.parameters.values())[1:]
    assert method.return_annotation == twin.return_annotation
    assert inspect.getdoc(getattr(LeadsAccessor, name))


def test_every_public_name_has_a_docstring() -> None:
    for name in leads_pandas.__all__:
        value = getattr(leads_pandas, name)
        if name != "SCHEMA":
            assert inspect.getdoc(value), name


def test_completion_on_the_accessor_asks_for_nothing() -> None:
    names = dir(pd.DataFrame({"a": [1]}).leads)
    assert {"preview", "enrich", "start", "results", "summary", "features", "plot"} <= set(names)


def test_a_misspelt_option_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        pd.DataFrame({"lead_id": ["a"]}).leads.enrich(max_credit=5)
