"""Runs the examples of a page of documentation, top to bottom, as its reader would.

Blocks of Python share one namespace; ``# name.py`` as a first line makes the block that file.
Blocks of ``console`` are commands after ``$``, each in a bash that has what the ones before have
exported; lines under a command are its standard output, where ``...`` stands for anything.
"""

from __future__ import annotations

import doctest
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sybil import Sybil
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser
from sybil.parsers.rest import DocTestParser

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sybil import Example

_FILE = re.compile(r"# (\w+\.py)\n")
_LIKE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
_SECONDS = 500

_run = PythonEvaluator()


def _python(example: Example) -> None:
    named = _FILE.match(example.parsed)
    if named:
        Path(named[1]).write_text(example.parsed, encoding="utf-8")
    else:
        _run(example)


def _console(example: Example) -> None:
    shell: Shell = example.namespace["shell"]
    for command, expected in commands(example.parsed):
        printed = shell.run(command)
        if expected and not doctest.OutputChecker().check_output(expected, printed, _LIKE):
            raise AssertionError(
                f"{example.path}:{example.line}: $ {command}\n{printed}\nand not\n{expected}"
            )


def commands(block: str) -> Iterator[tuple[str, str]]:
    """The commands of a console block, each with the output that stands under it."""
    command, output = "", ""
    for line in block.splitlines(keepends=True):
        if line.startswith("$ "):
            if command:
                yield command, output
            command, output = line[2:].rstrip("\n"), ""
        elif command.endswith("\\"):
            command += "\n" + line.rstrip("\n")
        else:
            output += line
    yield command, output


class Shell:
    """A terminal in the current folder: what a command exports, the next one has.

    Args:
        folder: where it keeps what it remembers.
        substitutes: text of the page that stands for what only its reader has, such as a key.
    """

    def __init__(self, folder: Path, substitutes: dict[str, str]) -> None:
        self._memory = folder / "exported.sh"
        self._errors = folder / "stderr.txt"
        self._substitutes = substitutes
        self._groups: list[int] = []
        programs = folder / "bin"
        programs.mkdir()
        # The environment of the tests has what a `pip install` would bring.
        (programs / "pip").write_text('#!/bin/sh\n[ "$1" = install ]\n')
        (programs / "pip").chmod(0o755)
        path = f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        self._memory.write_text(f"export PATH='{path}'\n")

    def run(self, command: str) -> str:
        """Run a command and return its standard output.

        Raises:
            AssertionError: it failed.
        """
        for text, real in self._substitutes.items():
            command = command.replace(text, real)
        remember = f"status=$?\nexport -p > '{self._memory}'\nexit $status"
        with self._errors.open("w") as errors:
            process = subprocess.Popen(
                ["bash", "-c", f". '{self._memory}'\n{command}\n{remember}"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        self._groups.append(process.pid)
        with process:
            try:
                printed, _ = process.communicate(timeout=_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                raise
        if process.returncode:
            raise AssertionError(f"$ {command}\n{printed}{self._errors.read_text()}")
        return printed

    def close(self) -> None:
        """End what commands have left running."""
        for group in self._groups:
            try:
                os.killpg(group, signal.SIGTERM)
            except ProcessLookupError:
                continue


_PAGE = Sybil([CodeBlockParser("python", _python), CodeBlockParser("console", _console)])
_MODULE = Sybil([DocTestParser(_LIKE)], pattern="*.py")


def run_examples(path: Path, namespace: dict[str, Any]) -> int:
    """Run the examples of a Markdown page, or of a module's docstrings; return how many."""
    document = (_MODULE if path.suffix == ".py" else _PAGE).parse(path)
    document.namespace.update(namespace)
    count = 0
    for example in document.examples():
        example.evaluate()
        count += 1
    return count
