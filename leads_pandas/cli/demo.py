"""The demo: the whole trip from leads to a Parquet file on this machine, with nothing real in it.

It serves the bundled businesses' websites and the local service on loopback, and then does what any
user would: it previews and enriches through the public API. The store, the settings and the servers
are its own and are gone when it ends; the Parquet file stays.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from rich.text import Text

from leads_pandas.cli.output import Column, console, table
from leads_pandas.display import clean, duration
from leads_pandas.server.samples import SampleSites, leads
from leads_pandas.server.settings import own_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd


_CREDITS = 120
_MAX_CREDITS = 50
_REQUESTS_PER_MINUTE = 100
_PAGE_SECONDS = 0.3  # slow enough to see the bar move, as real websites are
_EARLIER = slice(2, None, 8)  # the leads that somebody has bought before: six of them
_FIRST_ROWS = 6


def run_demo(out_dir: Path, *, stream: TextIO | None = None) -> Path:
    """Enrich the sample leads on this machine, and say what happened.

    Nothing leaves loopback, no account is needed, and every ``LOCALLEADS_*`` and ``LEADS_PANDAS_*``
    variable is ignored. The bar goes to standard error.
    """
    import pandas as pd

    from leads_pandas.server import LocalServer

    say = _Voice(sys.stdout if stream is None else stream)
    title = "leads_pandas demo: from a table of businesses to their emails in one line"
    say.text((title, "bold"), "\n", whole=False)
    out_dir.mkdir(parents=True, exist_ok=True)
    path = out_dir / "enriched.parquet"
    with (
        own_settings(),
        SampleSites(delay=_PAGE_SECONDS) as sites,
        LocalServer(
            leads(sites.origin),
            credits=_CREDITS,
            requests_per_minute=_REQUESTS_PER_MINUTE,
            only_origins=[sites.origin],
        ) as server,
        server.client() as client,
    ):
        # Any: a type checker takes df.leads for a column.
        df: Any = pd.DataFrame(leads(sites.origin))
        earlier = df["lead_id"].tolist()[_EARLIER]
        say.facts(
            [
                ("leads", f"{len(df)} made-up businesses, {len(earlier)} of them enriched before"),
                ("websites", f"one for each, served at {sites.origin}"),
                ("service", f"a local LeadsAPI at {server.base_url}"),
                ("account", f"{_CREDITS} credits of play money; no network needed"),
            ]
        )
        server.pre_enrich(earlier)

        say.code("df.leads.preview()")
        preview = df.leads.preview(client=client)
        say.text(str(preview))

        say.code(f'df.leads.enrich("{_shown(path)}", max_credits={_MAX_CREDITS})')
        began = time.monotonic()
        out = df.leads.enrich(path, max_credits=_MAX_CREDITS, client=client, progress=True)
        seconds = time.monotonic() - began
        spent = preview.available_credits - client.balance().available_credits

    say.heading("What happened")
    counts = out["enrichment_status"].value_counts()
    say.facts(
        [
            ("leads", f"{len(out):>4}"),
            ("found", f"{counts['found']:>4}"),
            ("no email", f"{counts['not_found']:>4}"),
            (
                "credits",
                f"{spent:>4}  of {preview.to_enrich}: the unread are paid back",
            ),
            ("time", f"{duration(seconds):>6}"),
            ("file", f" {_shown(path)} ({path.stat().st_size / 1000:.1f} kB)"),
        ]
    )
    say.heading(f"The first {_FIRST_ROWS} rows")
    say.table(out.head(_FIRST_ROWS))
    say.heading("Next, with a key of your own")
    say.text("  export LOCALLEADS_API_KEY=ll_...")
    say.text("  leads-pandas preview leads.csv  # the cost; spends nothing")
    say.text("  leads-pandas enrich leads.csv -o enriched.parquet --max-credits 50")
    return path


def _shown(path: Path) -> str:
    """A path as short as it can be said from here."""
    try:
        return path.resolve().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return str(path)


class _Voice:
    """Says things on a text stream: in colour on a terminal that wants it, plainly elsewhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._console = console(stream)

    def text(self, *parts: str | tuple[str, str], whole: bool = True) -> None:
        with self._console.capture() as captured:
            self._console.print(Text.assemble(*parts), soft_wrap=whole)
        # Flushed at once: the bar goes to another stream and must not overtake the words.
        print(captured.get(), end="", file=self._stream, flush=True)

    def heading(self, text: str) -> None:
        self.text("\n", (text, "bold"), whole=False)

    def code(self, line: str) -> None:
        self.text("\n", (">>> ", "dim"), (line, "cyan"))

    def facts(self, rows: Sequence[tuple[str, str]]) -> None:
        width = max(len(label) for label, _ in rows)
        for label, value in rows:
            self.text("  ", (f"{label:<{width}}", "dim"), f"  {clean(value)}")

    def table(self, rows: pd.DataFrame) -> None:
        columns = [
            Column("name"),
            Column("email"),
            Column("confidence", form="{:.2f}"),
            Column("source", kind="spare"),
        ]
        print(table(rows, columns, self._stream), file=self._stream, flush=True)
