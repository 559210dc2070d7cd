"""The commands that need no account: the local service, an enrichment by it, and the demo.

What lives here: a service for as long as a command lasts, the leads it is told, and what is put
away when it is stopped.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from leads_pandas.asking import say
from leads_pandas.cli import files, options, output
from leads_pandas.display import plural
from leads_pandas.errors import LeadsError, Way
from leads_pandas.interrupts import Stopped, stoppable

if TYPE_CHECKING:
    import pandas as pd

    from leads_pandas.finding.sites import Unread
    from leads_pandas.server import LocalServer


def enriched(
    frame: pd.DataFrame, *, on: str | None, website: str | None, allow_private: bool, **given: Any
) -> pd.DataFrame:
    """Enrich a frame by reading its websites: service, store and settings for this call alone."""
    import leads_pandas
    from leads_pandas.frames.ids import ID_NAMES

    if on is None and not {*frame.columns, *frame.index.names}.intersection(ID_NAMES):
        on = "lead_id"
        frame = frame.assign(lead_id=[f"row-{n}" for n in range(1, len(frame) + 1)])
    leads = _leads_of(frame, on, website)
    from leads_pandas.server import LocalServer
    from leads_pandas.server.settings import own_settings

    with (
        stoppable(),
        own_settings(),
        LocalServer(
            leads, credits=len(leads), requests_per_minute=0, allow_private=allow_private
        ) as server,
        server.client() as client,
    ):
        try:
            # A website that is down leaves out its own lead, whatever is to be paid elsewhere.
            out = leads_pandas.enrich(frame, on=on, client=client, **given | {"partial": True})
        except LeadsError as error:
            # The service and its store end with the call.
            error.ways = tuple(one for one in error.ways if one.action != "resume")
            raise
        _tell_unread(server.unread)
        return out


def _tell_unread(unread: Unread) -> None:
    """Say why some leads have no email: nobody could look."""
    if unread.websites:
        hint = "; --allow-private reads those on private addresses" if unread.private else ""
        count = plural(unread.websites, "website")
        say(f"{count} could not be read, such as {unread.example}{hint}")


def _leads_of(frame: pd.DataFrame, on: str | None, website: str | None) -> list[dict[str, str]]:
    """The leads of a frame as the local service wants them, each once."""
    from leads_pandas.frames.columns import column_of
    from leads_pandas.frames.ids import lead_ids
    from leads_pandas.seeking import websites_of

    columns = {"website": column_of(frame, website or "website", "websites", Way("name_websites"))}
    columns |= {name: frame[name] for name in ("name", "query_id") if name in frame.columns}
    ids = lead_ids(frame, on)
    leads = {one: {"lead_id": one, "website": ""} for one in ids.unique}
    for name, cells in columns.items():
        for lead, text in websites_of(ids, cells.tolist(), cells.isna()).items():
            leads[lead][name] = text
    return list(leads.values())


@options.command(
    "leads-pandas serve --leads leads.csv --db service.db",
    'eval "$(leads-pandas serve --leads leads.csv &)"',
)
@options.option(
    "--leads",
    metavar="FILE",
    type=click.Path(),
    callback=options.readable,
    text="Leads with lead_id and website, and optionally name and query_id.",
)
@options.on
@options.website
@options.file_options
@options.option(
    "--db",
    metavar="FILE",
    type=click.Path(),
    text="Keep everything in this file (else only while it runs).",
)
@options.number("--port", 0, 65535, text="Port to listen on (a free one).")
@options.option("--host", metavar="ADDRESS", text="Address to listen on (127.0.0.1).")
@options.number("--credits", 0, text="Credits of the account (100000).")
@options.number("--requests-per-minute", 0, text="Rate limit (100; 0: none).")
@options.how_to_read
@options.allow_private
@options.as_json
def serve(
    *,
    leads: str | None,
    on: str | None,
    website: str | None,
    sep: str | None,
    encoding: str | None,
    as_json: bool,
    **given: Any,
) -> str:
    """Run a local service that reads the leads' websites for emails.

    It prints the two variables to export, and serves until Ctrl-C or SIGTERM (exit code 0); with
    --db, jobs that were running go on at the next start. Needs: pip install "leads_pandas[server]"
    """
    from leads_pandas.server import LocalServer

    chosen = {name: value for name, value in given.items() if value not in (None, ())}
    if leads is None and "db" not in chosen:
        raise click.UsageError("name the leads with --leads, or a --db that has them")
    if "db" in chosen:
        chosen["db"] = Path(chosen["db"]).expanduser()
    told = None
    if leads is not None:
        told = _leads_of(files.read(leads, on, sep=sep, encoding=encoding), on, website)
    # Ended by either signal it has done what it was asked for; jobs go on at the next start.
    with (
        contextlib.suppress(Stopped),
        stoppable() as stopped,
        LocalServer(told, **chosen) as server,
    ):
        output.write(_variables(server, as_json=as_json))
        if not sys.stdout.isatty():
            # So that eval "$(leads-pandas serve ... &)" does not wait for the service's end.
            output.leave()
        what = "" if told is None else f" {plural(len(told), 'lead')}"
        end = "Ctrl-C" if sys.stdout.isatty() else f"Ctrl-C or kill {os.getpid()}"
        say(f"serving{what} at {server.base_url}; {end} ends it")
        server.wait(stopped)
    return ""


def _variables(server: LocalServer, *, as_json: bool) -> str:
    variables = {"LOCALLEADS_BASE_URL": server.base_url, "LOCALLEADS_API_KEY": server.api_key}
    if as_json:
        return output.as_json(variables)
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())


@options.command(
    "leads-pandas demo",
)
@options.option(
    "-o",
    "--output",
    "folder",
    metavar="DIR",
    type=click.Path(),
    default="demo",
    text="Folder for enriched.parquet (demo).",
)
@options.as_json
def demo(*, folder: str, as_json: bool) -> str:
    """Enrich bundled sample leads: no account, no network.

    Needs: pip install "leads_pandas[server]"
    """
    from leads_pandas.cli.demo import run_demo

    with stoppable():
        stream = sys.stderr if as_json else sys.stdout
        path = run_demo(Path(folder).expanduser(), stream=stream)
    return output.as_json({"path": str(path)}) if as_json else ""
