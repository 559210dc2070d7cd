"""The command line: files in, the public functions, Parquet out.

What lives here: the way in, where the libraries that the command line is made with (the extra
``cli``) may be missing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from leads_pandas.errors import of_extra


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command, of the process where none is given, and return its exit code."""
    try:
        with of_extra("cli", "the command line"):
            from leads_pandas.cli import commands
    except ModuleNotFoundError as error:
        print(f"leads-pandas: error: {error}", file=sys.stderr)
        return 2
    return commands.main(sys.argv[1:] if argv is None else argv)
