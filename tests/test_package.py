"""The built wheel, installed where nothing else of this folder is."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


UV = shutil.which("uv")
PIP = [UV, "pip"] if UV else [sys.executable, "-m", "pip"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this folder."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [UV, "build", "--wheel", "-q", "-o"] if UV else [*PIP, "wheel", "-q", "--no-deps", "-w"]
    subprocess.run([*build, str(folder), str(ROOT)], check=True, cwd=folder)
    (made,) = folder.glob("*.whl")
    return made


def test_the_wheel_has_the_package_alone_with_its_types_and_lists(wheel: Path) -> None:
    with ZipFile(wheel) as packed:
        names = packed.namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"leads_pandas"}
    for path in (ROOT / "leads_pandas").rglob("*"):
        if path.suffix in (".py", ".txt") or path.name == "py.typed":
            assert path.relative_to(ROOT).as_posix() in names


def test_the_wheel_installs_into_a_new_environment_and_imports(wheel: Path, tmp_path: Path) -> None:
    folder = tmp_path / "fresh"
    venv.EnvBuilder(symlinks=True).create(folder)
    python = str(next(folder.glob("[bS][ic]*/python*")))
    target = ["install", "-q", "--no-deps", str(wheel)]
    install = [*PIP, *target, "--python", python] if UV else [*PIP, "--python", python, *target]
    subprocess.run(install, check=True)
    # Its dependencies are this environment's, so that nothing is fetched; the package is not.
    code = (
        "import sys; sys.path.append(sys.argv[1]); import pandas as pd, leads_pandas;"
        "print(leads_pandas.__file__, leads_pandas.__version__, len(leads_pandas.SCHEMA),"
        " callable(pd.DataFrame({'lead_id': []}).leads.enrich))"
    )
    done = subprocess.run(
        [python, "-I", "-c", code, str(Path(pytest.__file__).parents[1])],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    home, version, columns, called = done.stdout.split()
    assert Path(home).is_relative_to(folder)
    assert (version, columns, called) == (PROJECT["version"], "5", "True")
