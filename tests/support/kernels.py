"""Real Jupyter kernels for tests: a kernelspec of this Python, and none of the user's settings."""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jupyter_client.manager import start_new_kernel

if TYPE_CHECKING:
    from collections.abc import Iterator

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
KERNEL = "leads-pandas-tests"
CELL_SECONDS = 500

# Runs first in every kernel: a notebook that reaches for the network fails.
_LOOPBACK_ONLY = """
import sys


def _refuse_the_network(event, arguments):
    if event in ("socket.connect", "socket.sendto"):
        address = arguments[1]
        if isinstance(address, tuple) and not address[0].startswith(("127.", "::1")):
            raise OSError(f"a notebook reached for {address[0]}")
    elif event == "socket.getaddrinfo":
        if str(arguments[0]) not in ("127.0.0.1", "::1", "localhost", "None"):
            raise OSError(f"a notebook asked for the address of {arguments[0]}")


sys.addaudithook(_refuse_the_network)
"""


def make_jupyter(folder: Path) -> dict[str, str]:
    """Write the kernelspec and return the environment variables of a Jupyter that knows only it."""
    spec = folder / "share" / "kernels" / KERNEL
    spec.mkdir(parents=True)
    launch = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    described = {"argv": launch, "display_name": "Python of the tests", "language": "python"}
    (spec / "kernel.json").write_text(json.dumps(described))
    startup = folder / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "00-loopback-only.py").write_text(_LOOPBACK_ONLY)
    parts = {
        "JUPYTER_PATH": "share",
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "lab-settings",
        "JUPYTERLAB_WORKSPACES_DIR": "lab-workspaces",
        "IPYTHONDIR": "ipython",
        "MPLCONFIGDIR": "matplotlib",
    }
    return {name: str(folder / part) for name, part in parts.items()} | {
        "JUPYTER_PLATFORM_DIRS": "1",
        "JUPYTER_NO_CONFIG": "1",
    }


class Kernel:
    """A running kernel, and what it says."""

    def __init__(self, pid: int, client: Any) -> None:
        self._pid = pid
        self._client = client

    def interrupt(self) -> None:
        """What the stop button does: SIGINT."""
        os.kill(self._pid, signal.SIGINT)

    def kill(self) -> None:
        """End it with SIGKILL."""
        os.kill(self._pid, signal.SIGKILL)

    def submit(self, code: str) -> None:
        """Run a cell without waiting for its end."""
        self._client.execute(code)

    def run(self, code: str) -> list[dict[str, Any]]:
        """Run a cell and return the messages that a front end would get of it, in order.

        Each has its ``type`` beside the content that Jupyter's messaging protocol gives it.
        """
        said: list[dict[str, Any]] = []
        self._client.execute_interactive(
            code,
            timeout=CELL_SECONDS,
            output_hook=lambda message: said.append(
                {"type": message["header"]["msg_type"]} | message["content"]
            ),
        )
        return [one for one in said if one["type"] not in ("status", "execute_input")]


@contextmanager
def running_kernel(jupyter: dict[str, str]) -> Iterator[Kernel]:
    """A kernel of its own, in this environment, ended with the block."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in jupyter.items():
            environment.setenv(name, value)
        manager, client = start_new_kernel(kernel_name=KERNEL, startup_timeout=CELL_SECONDS)
    try:
        process: Any = manager.provisioner
        yield Kernel(process.pid, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
