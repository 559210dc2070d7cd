"""The command line: files in, the public functions, Parquet out.

What lives here: the way in, where the libraries that the command line is made with (the extra
``cli``) may be missing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command, of the process where none is given, and return its exit code."""
    try:
        from leads_pandas.cli import commands
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in ("click", "rich"):
            raise
        print(
            f"leads-pandas: error: the command line needs {missing}, which is not installed: "
            'pip install "leads_pandas[cli]"',
            file=sys.stderr,
        )
        return 2
    return commands.main(sys.argv[1:] if argv is None else argv)
