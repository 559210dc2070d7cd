"""What the package says where a program has set up nothing to hear it."""

from __future__ import annotations

import subprocess
import sys


def test_a_program_without_logging_is_told_nothing_on_standard_error() -> None:
    code = "import logging, leads_pandas; logging.getLogger('leads_pandas').warning('words')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""
