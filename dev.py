"""Set everything up in this folder and run it: ``python3 dev.py demo|test|docs|coverage``.

Needs a stock Python from 3.11 on and its pip or ensurepip, nothing else. Environments live in
``.venv*`` here, so a Python that its system manages (PEP 668) is left alone.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
OLDER_PANDAS = "pandas>=2.3,<2.4"
# The tests in which frames go in or come out; the rest knows no pandas.
WITH_PANDAS = (
    "tests/frames",
    "tests/cli/test_files.py",
    "tests/cli/test_cli.py",
    "tests/docs",
    "tests/test_end_to_end.py",
    "tests/test_pipelines.py",
    "tests/test_plotting.py",
    "tests/test_scoring.py",
    "tests/test_scoring_properties.py",
    "--deselect=tests/docs/test_docs.py::test_the_first_command_sets_everything_up_in_a_fresh_copy",
)
# The fault tests mostly wait for sockets: twice as many workers as cores keep the cores busy.
PYTEST = ("-m", "pytest", "-q", "-n", str(2 * (os.cpu_count() or 1)))


def main() -> int:
    """Run what the command line names."""
    if sys.version_info < (3, 11):  # noqa: UP036 - that is what it tells
        print("dev.py: Python 3.11 or newer is needed", file=sys.stderr)
        return 2
    commands = {"demo": demo, "test": test, "docs": docs, "coverage": coverage}
    if len(sys.argv) < 2 or sys.argv[1] not in commands:
        print("usage: python3 dev.py demo|docs|test|coverage [pytest options]", file=sys.stderr)
        return 2
    os.chdir(HERE)
    return commands[sys.argv[1]](sys.argv[2:])


def demo(arguments: list[str]) -> int:
    """Run the demo: local service, sample leads, no account."""
    python = environment(".venv-demo", [".[cli,server]"])
    return run(python, "-m", "leads_pandas", "demo", *arguments)


def test(arguments: list[str]) -> int:
    """Lint, check types and run the tests on the newest pandas, then the tests on an older one."""
    with ThreadPoolExecutor() as pool:  # making one mostly waits for downloads
        made = pool.submit(environment, ".venv-older", ["-e", ".[dev]", OLDER_PANDAS])
        newest = environment(".venv", ["-e", ".[dev]"])
        older = made.result()
    paths = ["leads_pandas", "tests", "benchmarks", "docs", "dev.py"]
    steps = [
        (newest, "-m", "ruff", "format", "--check", *paths),
        (newest, "-m", "ruff", "check", *paths),
        (newest, "-m", "mypy"),
        (newest, *PYTEST, *arguments),
    ]
    for step in steps:
        if code := run(*step):
            return code
    return run(older, *PYTEST, *(arguments or WITH_PANDAS))


def docs(arguments: list[str]) -> int:
    """Build the site of guides and reference in ``docs/_build``."""
    python = environment(".venv", ["-e", ".[dev]"])
    code = run(python, "-m", "sphinx", "-q", "-W", "docs", "docs/_build", *arguments)
    if code == 0:
        print(f"dev.py: the site is {HERE / 'docs' / '_build' / 'index.html'}", file=sys.stderr)
    return code


def coverage(arguments: list[str]) -> int:
    """Run the tests once more and hold the share of lines they run, `fail_under`.

    Not part of `test`: before Python 3.12 it takes two thirds of their processor time on top.
    """
    python = environment(".venv", ["-e", ".[dev]"])
    os.environ["COVERAGE_CORE"] = "sysmon" if sys.version_info >= (3, 12) else "ctrace"
    steps = [
        (python, "-m", "coverage", "erase"),
        (python, "-m", "coverage", "run", *PYTEST, *arguments),
        (python, "-m", "coverage", "combine", "-q"),
        (python, "-m", "coverage", "report"),
    ]
    return next((code for step in steps if (code := run(*step))), 0)


def environment(name: str, requirements: list[str]) -> str:
    """The Python of a virtual environment that has these requirements, made where it is missing."""
    folder = HERE / name
    python = folder / "bin" / "python"
    wanted = hashlib.sha256(
        "\n".join([sys.version, *requirements, (HERE / "pyproject.toml").read_text()]).encode()
    ).hexdigest()
    mark = folder / "made-of"
    if python.exists() and mark.exists() and mark.read_text() == wanted:
        return str(python)
    takes = "some minutes" if ".[dev]" in requirements else "about a minute"
    print(
        f"dev.py: making {name} ({', '.join(requirements)}), once; this takes {takes} in silence",
        file=sys.stderr,
        flush=True,
    )
    shutil.rmtree(folder, ignore_errors=True)
    # Without pip of its own where there is another: Debian's Python may lack ensurepip.
    found = pip()
    venv.EnvBuilder(symlinks=True, with_pip=found is None).create(folder)
    install = [*(found or [str(python), "-m", "pip"]), "--python", str(python)]
    install.append("--disable-pip-version-check")
    subprocess.run([*install, "install", "--quiet", *requirements], check=True)
    mark.write_text(wanted)
    return str(python)


def pip() -> list[str] | None:
    """The pip at hand: this Python's, or one on the path; None where ensurepip can bring one."""
    own = [sys.executable, "-m", "pip"]
    if subprocess.run([*own, "--version"], capture_output=True, check=False).returncode == 0:
        return own
    found = shutil.which("pip3") or shutil.which("pip")
    if found is None and importlib.util.find_spec("ensurepip") is None:
        sys.exit(
            "dev.py: this Python has neither pip nor ensurepip; install one of them "
            "(Debian: apt install python3-pip, or python3-venv)"
        )
    return [found] if found else None


def run(*command: str) -> int:
    """Run a command in this folder and return its exit code."""
    print("$", *command, file=sys.stderr, flush=True)
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
