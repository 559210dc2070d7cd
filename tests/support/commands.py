"""The command line in processes of its own and on terminals, and what its help promises."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import click

import leads_pandas
from leads_pandas.cli.commands import program

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(leads_pandas.__file__).parent.parent
CODES = re.compile(r"\x1b\[[0-9;]*m")  # of colour


def environment(**more: str) -> dict[str, str]:
    """The environment of a command in a process of its own."""
    return os.environ | {"PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "80"} | more


def process(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    """A command in a process of its own, its streams in pipes."""
    settings: dict[str, Any] = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
        "env": environment(),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "leads_pandas", *arguments], **settings | options
    )


class Terminal:
    """A command whose three streams are a terminal, as wide as its variable ``COLUMNS`` says."""

    def __init__(self, command: list[str], env: Mapping[str, str]) -> None:
        self._master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (24, int(env["COLUMNS"])))
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True
        )
        os.close(slave)
        self.seen = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Asked first, so that what was started here can put its own things away.
        with contextlib.suppress(ProcessLookupError, TimeoutError):
            os.killpg(self.process.pid, signal.SIGTERM)
            while self._more(time.monotonic() + 10.0):
                continue
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self._master)

    def _more(self, end: float) -> bool:
        if not select.select([self._master], [], [], max(end - time.monotonic(), 0.0))[0]:
            raise TimeoutError(f"nothing more came: {self.seen!r}")
        try:
            data = os.read(self._master, 65536)
        except OSError:  # how Linux says that nobody holds the other end any more
            return False
        self.seen += data.decode(errors="replace").replace("\r\n", "\n")
        return bool(data)

    def until(self, text: str, seconds: float = 120.0) -> None:
        """Read until a text has been shown."""
        end = time.monotonic() + seconds
        while text not in self.seen:
            if not self._more(end):
                raise EOFError(f"{text!r} never came: {self.seen!r}")

    @property
    def lines(self) -> list[str]:
        """What has been shown, without its colours; each picture of a bar is a line."""
        return re.split(r"[\r\n]", CODES.sub("", self.seen))

    def type(self, text: str) -> None:
        """Type something."""
        os.write(self._master, text.encode())

    def interrupt(self) -> None:
        """Press Ctrl-C at a question, once it waits for an answer.

        What comes between showing the question and reading the answer is not lost: Python takes
        the signal when the reading ends, and a person would press again.
        """
        while "S" not in subprocess.check_output(
            ["ps", "-o", "stat=", "-p", str(self.process.pid)], text=True
        ):
            time.sleep(0.01)
        self.process.send_signal(signal.SIGINT)

    def end(self, seconds: float = 240.0, answers: Mapping[str, str] | None = None) -> int:
        """Wait for the end, answering each question once; the exit code comes back."""
        end = time.monotonic() + seconds
        left = dict(answers or {})
        while self._more(end):
            for question in [one for one in left if one in self.seen]:
                self.type(left.pop(question))
        return self.process.wait()


def terminal(*arguments: str, **more: str) -> Terminal:
    """The command line on a terminal."""
    return Terminal([sys.executable, "-m", "leads_pandas", *arguments], environment(**more))


def commands() -> dict[str, click.Command]:
    """Each command by its name; that of all of them under the empty one."""
    return {"": program, **program.commands}


def help_of(name: str) -> str:
    """The help of a command, as it is shown in 80 columns."""
    command = commands()[name]
    parent = click.Context(program, info_name="leads-pandas", **program.context_settings)
    context = click.Context(command, parent=parent, info_name=name) if name else parent
    return command.get_help(context)


def examples(text: str) -> list[str]:
    """The commands that a help text gives as examples."""
    _, _, listed = text.partition("\nExample")
    return re.findall(r"^  (\S.*leads-pandas.*|leads-pandas.*)$", listed, re.MULTILINE)


def all_examples() -> list[str]:
    """The examples of every command, each once."""
    return list(dict.fromkeys(one for name in commands() for one in examples(help_of(name))))
