"""The public functions that need no account: what leads' websites say, and which domains take mail.

Thin, as `functions` is, and the twins of ``df.leads`` likewise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pandas as pd

from leads_pandas.errors import ColumnConflictError, Way, of_extra
from leads_pandas.tracebacks import pointing_outside

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from leads_pandas.models import RunStatus

_WEBSITE = "website"
_EMAIL = "email"
_DELIVERABLE = "deliverable"
_KINDS = pd.CategoricalDtype(["yes", "no", "unknown"], ordered=False)


@pointing_outside
def find(
    df: pd.DataFrame,
    website: Hashable | None = None,
    *,
    path: str | os.PathLike[str] | None = None,
    on: Hashable | None = None,
    emails: Literal["best", "all"] = "best",
    min_confidence: float = 0.0,
    rename: Mapping[str, str] | None = None,
    on_conflict: Literal["raise", "replace", "fill"] = "raise",
    progress: bool | Callable[[RunStatus], object] | None = None,
    max_pages: int = 8,
    timeout: float = 10.0,
    site_timeout: float = 30.0,
    concurrency: int = 16,
    user_agent: str | None = None,
    nameservers: Sequence[str] | None = None,
    allow_private: bool = False,
) -> pd.DataFrame:
    """Find emails on the leads' own websites, from this machine: no account, no credit.

    robots.txt is obeyed, one page of a host is read at a time, with a pause after it, and only
    addresses that stand on a page are returned. What may be read and kept is for you to know. What
    is found is durable as it comes: calling the same line again goes on, and reads no website
    twice but those that could not be read. `enrich` with ``on_conflict="fill"`` after it buys the
    leads that were not found, and only those. Extra ``find``; no endpoint.

    Args:
        df: the frame with lead IDs and websites; it is not changed.
        website: column of the websites; None: ``website``.
        path: Parquet file to write; see `enrich`.
        on: column or index level of the lead IDs; None: ``lead_id``, ``leadId`` or ``id``. Where
            leads have none, their websites will do.
        emails: ``"best"``: the email of highest confidence; ``"all"``: one row per email.
        min_confidence: 0-1; emails below it are left out of the frame.
        rename: names for the new columns.
        on_conflict: a new column's name is taken: ``"raise"``, ``"replace"``, or ``"fill"``
            (only rows without an answer are looked at and changed).
        progress: see `enrich`.
        max_pages: pages read of one website.
        timeout: seconds for one page.
        site_timeout: seconds for one website.
        concurrency: websites read at once.
        user_agent: how the websites and their robots.txt know you; None: the package's name.
        nameservers: resolvers as ``host:port``; None: the system's.
        allow_private: also read websites on private and loopback addresses.

    Returns:
        the frame with the five columns of `enrich`. ``source`` says where on the site the address
        stood, ``enriched_at`` when it was looked at. ``not_found``: it shows no address;
        ``not_enriched``: there is no website; ``failed``: it could not be read.

    Raises:
        LeadIdError: the frame's IDs cannot be used.
        ColumnConflictError: the frame has such a column.
        ConfigurationError: an option of the reading cannot be used.
        ValueError: an option is wrong, there is no such column, or Parquet cannot hold the frame.
        OSError: the file cannot be written.
        StoreError: what is found cannot be kept.
        ImportError: the extra is not installed.

    Example:
        >>> found = df.leads.find()
        >>> both = leads_pandas.find(df).leads.enrich("both.parquet", on_conflict="fill")
    """
    with of_extra("find", "reading websites"):
        from leads_pandas.finding.options import USER_AGENT, SiteOptions
        from leads_pandas.seeking import seek, websites_of
    from leads_pandas.frames import delivery
    from leads_pandas.frames.columns import column_of

    options = SiteOptions(
        max_pages=max_pages,
        timeout=timeout,
        site_timeout=site_timeout,
        concurrency=concurrency,
        user_agent=USER_AGENT if user_agent is None else user_agent,
        nameservers=nameservers,
        allow_private=allow_private,
    )
    sites = column_of(
        df, _WEBSITE if website is None else website, "websites", Way("name_websites")
    )
    output = delivery.Output(path, emails, min_confidence, rename, on_conflict)
    ready = delivery.prepare(df, on, output)
    asked = ready.plan.asked(ready.ids)
    return seek(ready, websites_of(asked, sites.tolist(), sites.isna().tolist()), options, progress)


@pointing_outside
def verify(
    df: pd.DataFrame,
    email: Hashable = _EMAIL,
    *,
    progress: bool | None = None,
    nameservers: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Say which emails can be delivered: by their syntax, and by whether their domain takes mail.

    Each domain is asked for once, in the DNS alone (MX, null MX, address); no mail server is spoken
    to, so that ``yes`` is about the domain, not the mailbox. Extra ``find``; no endpoint.

    Args:
        df: a frame with emails; it is not changed.
        email: their column.
        progress: None: a bar where a person can see it, else log lines; True or False force.
        nameservers: resolvers as ``host:port``; None: the system's.

    Returns:
        the frame with ``deliverable`` (category ``yes``, ``no``, ``unknown``; missing where there
        is no email), in place of an earlier one. Where no DNS answers it is ``unknown``.

    Raises:
        ValueError: there is no such column.
        ColumnConflictError: the frame has another column ``deliverable``.
        ConfigurationError: a nameserver cannot be used.
        ImportError: the extra is not installed.

    Example:
        >>> checked = out.leads.verify()
        >>> str(leads_pandas.verify(out).dtypes["deliverable"])
        'category'
    """
    with of_extra("find", "reading websites"):
        from leads_pandas.finding.verify import MailDomains, deliverable
    from leads_pandas.frames.columns import cells_of, column_of
    from leads_pandas.frames.join import attach
    from leads_pandas.progress import Display

    column = column_of(df, email, "emails", Way("name_emails"))
    before = [one for one in df.columns if isinstance(one, str) and one == _DELIVERABLE]
    if before and not (len(before) == 1 and df[_DELIVERABLE].dtype == _KINDS):
        raise ColumnConflictError(
            f"there already is a column {_DELIVERABLE!r}",
            "nothing was requested",
            "rename or drop it",
        )
    cells = cells_of(column)
    addresses = [str(one).strip() for one in cells if one is not None]
    display = Display(progress, "Looking up domains")
    display.rows = lambda _: []
    with display.shown():
        answers = deliverable(
            addresses,
            MailDomains(nameservers),
            progress=lambda done, all_: display.stage("looking up domains", done / all_),
        )
    given = iter(answers)
    said = [None if one is None else next(given) for one in cells]
    rest = df.drop(columns=_DELIVERABLE) if before else df
    return attach(rest, {_DELIVERABLE: pd.Categorical(said, dtype=_KINDS)})
