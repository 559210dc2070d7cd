"""The commands that read websites and ask the DNS from this machine: no account, no service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import leads_pandas
from leads_pandas.cli import files, options, output

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd


@options.command(
    "leads-pandas find leads.csv -o found.parquet",
    "leads-pandas find leads.csv --emails all --max-pages 3 --json",
)
@options.leads
@options.website
@options.output()
@options.shape
@options.on_conflict
@options.how_to_read
@options.allow_private
@options.as_json
def find(*, read: Callable[[], pd.DataFrame], as_json: bool, **given: Any) -> str:
    """Find emails on the leads' own websites, free of charge.

    The websites are read from this machine, without an account; robots.txt is obeyed. Calling it
    again goes on where it stopped. To buy those that were not found, and only those, enrich the
    file that it wrote with --on-conflict fill. What may be read and kept is for you to know. Needs:
    pip install "leads_pandas[find]"
    """
    chosen = {name: value for name, value in given.items() if value not in (None, ())}
    out = leads_pandas.find(read(), **chosen)
    return output.of_frame(out, given["path"], in_json=as_json)


@options.command("leads-pandas find leads.csv -o f.parquet && leads-pandas verify f.parquet")
@options.file
@options.file_options
@options.option("--email", metavar="COLUMN", default="email", text="Column of the emails (email).")
@options.output("Parquet file to write.")
@options.nameservers
@options.as_json
def verify(
    *,
    file: str,
    sep: str | None,
    encoding: str | None,
    email: str,
    path: str | None,
    nameservers: tuple[str, ...],
    as_json: bool,
) -> str:
    """Say which emails can be delivered: by syntax, and whether the domain takes mail.

    Each domain is asked for once, in the DNS; no mail server is spoken to. Needs: pip install
    "leads_pandas[find]"
    """
    from leads_pandas.frames import parquet
    from leads_pandas.frames.target import check_target, write

    frame = files.read(file, None, sep=sep, encoding=encoding)
    target = None if path is None else check_target(path)
    out = leads_pandas.verify(frame, email, nameservers=nameservers or None)
    if target is not None:
        table = parquet.described(parquet.again(out), out.attrs.get("leads", {}), out.attrs)
        write(table, target)
    return output.of_deliverable(out, email, path, in_json=as_json)
