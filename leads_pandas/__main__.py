"""``python -m leads_pandas``: the same as ``leads-pandas``."""

from __future__ import annotations

import sys

from leads_pandas.cli import main

if __name__ == "__main__":
    sys.exit(main())
