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

PACKAGE = Path(leads_pandas.__file__).parent

# A room is a module or a folder right in the package; inside a folder, modules import freely.
FLOORS = {
    "errors": 1,
    "tracebacks": 0.5,
    "display": 1,
    "interrupts": 1,
    "contract": 1,
    "models": 2,
    "home": 2,
    "pace": 2,
    "leadsapi": 3,
    "store": 3,
    "frames": 2.5,  # the store gives its answers as the five columns
    "finding": 3,
    "progress": 3,
    "asking": 3.5,
    "money": 4,
    "reading": 4,
    "session": 4.5,
    "run": 5,
    "scoring": 5,
    "seeking": 5,
    "plotting": 5.5,
    "functions": 6,
    "account": 6,
    "websites": 6,
    "server": 6.5,
    "accessor": 7,
    "dask": 7.5,
    "cli": 7,
    "__main__": 8,
    "__init__": 9,
}


def room(path: Path) -> str:
    """The room that a file stands in."""
    inside = path.relative_to(PACKAGE)
    return inside.parts[0] if len(inside.parts) > 1 else path.stem


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


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix()
)
def test_a_room_imports_only_from_floors_below(path: Path) -> None:
    here = room(path)
    used = imports(path) & FLOORS.keys() - {here}
    assert here == "__init__" or {one for one in used if FLOORS[one] >= FLOORS[here]} == set()


def test_the_finder_needs_no_service_no_store_and_no_client() -> None:
    for path in (PACKAGE / "finding").rglob("*.py"):
        assert imports(path) <= {"errors", "display", "contract", "models", "home", "finding"}, path


def test_the_local_service_shares_only_the_ground_floors_with_the_client() -> None:
    for path in (PACKAGE / "server").rglob("*.py"):
        used = imports(path) & FLOORS.keys()
        ground = {"errors", "display", "contract", "models", "home", "finding"}
        assert used <= ground | {"server", "leadsapi"}, path
        assert used.isdisjoint({"leadsapi", "home"}) or path.stem == "local", path


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


def test_every_public_name_has_a_docstring() -> None:
    for name in leads_pandas.__all__:
        value = getattr(leads_pandas, name)
        if name != "SCHEMA":
            assert inspect.getdoc(value), name


def test_completion_on_the_accessor_asks_for_nothing() -> None:
    names = dir(pd.DataFrame({"a": [1]}).leads)
    assert {
        "preview",
        "enrich",
        "find",
        "verify",
        "start",
        "results",
        "summary",
        "features",
        "plot",
    } <= set(names)


def test_a_misspelt_option_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        pd.DataFrame({"lead_id": ["a"]}).leads.enrich(max_credit=5)
