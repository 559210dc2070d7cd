"""Settings and a store for one call: the user's own are hidden meanwhile."""

from __future__ import annotations

import contextlib
import os
import tempfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_OURS = ("LOCALLEADS_", "LEADS_PANDAS_")


@contextlib.contextmanager
def own_settings() -> Iterator[None]:
    """Hide the user's settings and store behind empty ones, which are gone at the end."""
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(_OURS)}
    try:
        with tempfile.TemporaryDirectory(prefix="leads-pandas-") as home:
            os.environ["LEADS_PANDAS_HOME"] = home
            yield
    finally:
        os.environ.pop("LEADS_PANDAS_HOME", None)
        os.environ.update(hidden)
