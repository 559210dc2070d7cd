"""CONTRIBUTING.md tells the truth of the house: its rooms, files and functions are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from leads_pandas.store.database import VERSION
from tests.test_architecture import FLOORS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    """The text under a heading."""
    return TEXT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def defined(path: Path) -> set[str]:
    """Every name that a module gives to a function, a class or a value of its own."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {
        node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef | ast.FunctionDef)
    }
    return names | {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }


def test_every_room_is_on_the_map_above_the_rooms_that_it_may_import() -> None:
    rows = re.findall(r"^\| (\d) \| (.*?) \|", section("The map"), re.MULTILINE)
    floors = {
        name.rstrip("/"): int(floor)
        for floor, names in rows
        for name in re.findall("`(.*?)`", names)
    }
    assert floors.keys() == FLOORS.keys()
    for here, floor in floors.items():
        for there, other in floors.items():
            assert floor >= other or FLOORS[here] < FLOORS[there], f"{here} and {there}"


def test_the_walk_points_to_functions_that_are_there() -> None:
    names: set[str] = set()
    pointed = 0
    for word in re.findall("`(.*?)`", section("A stranger's ten minutes")):
        if word.endswith(".py"):
            names = defined(ROOT / "leads_pandas" / word)
        else:
            assert set(word.split(".")) <= names, word
            pointed += 1
    assert pointed > 10


def test_every_file_that_it_names_is_there() -> None:
    files = re.findall(r"`([\w./]+(?:/|\.py|\.yml))`", TEXT)
    assert len(files) > 20
    for name in files:
        assert (ROOT / name).exists() or (ROOT / "leads_pandas" / name).exists(), name


def test_the_schema_version_is_the_stores() -> None:
    assert f"The store is at version {VERSION}." in TEXT
