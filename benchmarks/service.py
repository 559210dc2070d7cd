"""The service that the benchmarks talk to: the tests' stand-in for the vendor, in its own process.

Its rate limit is an exact sliding window: of the requests of any window it answers as many as the
limit, and the others with 429 and a ``Retry-After`` in whole seconds.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.clients import lead_ids
from tests.support.harness import Vendor

if TYPE_CHECKING:
    from collections.abc import Generator

ROOT = Path(__file__).parent.parent


@contextlib.contextmanager
def vendor(count: int, **config: Any) -> Generator[Vendor]:
    """A service with so many leads, three of four with an address, and credits for all of them."""
    leads: dict[str, Any] = {}
    for position, one in enumerate(lead_ids(count)):
        address = {"email": f"info@{one}.example", "confidence": 0.94, "source": "website"}
        leads[one] = {"emails": [address] if position % 4 else [], "enriched": False}
    service = Vendor()
    try:
        service.reset(leads, balance=count, **config)
        yield service
    finally:
        service.close()


def child(module: str, name: str, folder: str, **task: Any) -> Any:
    """What ``python -m benchmarks.MODULE NAME TASK`` prints; its store is in the folder."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LOCALLEADS_", "LEADS_PANDAS_"))
    }
    output = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", name, json.dumps(task | {"folder": folder})],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=kept | {"LEADS_PANDAS_HOME": str(Path(folder, "home"))},
    ).stdout
    return json.loads(output)
