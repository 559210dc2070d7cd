"""extract-emails over sites on disk, its defaults at depth 2; run by `benchmarks.finder`.

``python -m benchmarks.peer_emails FOLDER basic|advanced`` in an environment that has
``extract-emails[httpx]==6.2.0`` prints what was found and the CPU seconds, as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.sites_on_disk import Sites


def main(folder: str, kind: str) -> None:
    import extract_emails
    from extract_emails.browsers.page_source_getter import PageSourceGetter
    from extract_emails.data_extractors import EmailExtractor, advanced_email_extractor
    from loguru import logger

    logger.remove()
    sites = Sites(Path(folder))

    class Disk(PageSourceGetter):  # type: ignore[misc]
        def start(self) -> None: ...
        def stop(self) -> None: ...
        async def astart(self) -> None: ...
        async def astop(self) -> None: ...

        def get_page_source(self, url: str) -> str:
            served = sites.get(url)
            return "" if served is None else served.body.decode("utf-8", "replace")

        async def aget_page_source(self, url: str) -> str:
            return self.get_page_source(url)

    extractor = (
        advanced_email_extractor.AdvancedEmailExtractor if kind == "advanced" else EmailExtractor
    )
    given: dict[str, list[str]] = {}
    began = time.process_time()
    for name in sites.truth:
        found: dict[str, Any] = {}
        worker = extract_emails.DefaultWorker(
            sites.start(name), Disk(), data_extractors=[extractor()], depth=2
        )
        for page in worker.get_data():
            for values in page.data.values():
                found |= dict.fromkeys(values)
        given[name] = list(found)
    print("@@" + json.dumps({"given": given, "cpu": time.process_time() - began}))


if __name__ == "__main__":
    main(*sys.argv[1:3])
