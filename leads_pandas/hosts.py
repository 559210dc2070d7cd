"""The host names in email addresses and websites, for whole columns at once.

Plain rows, which nearly all are, are read with numpy from the bytes that Arrow's text is made of:
a few passes over all bytes, then a few numbers a row. The others (ports, users, letters outside
ASCII, what is no host at all) are left to Arrow's regular expressions, which take four to eight
times as long.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LONGEST = 253
# A last label never starts with a digit, so that IPv4 addresses are no host names here.
_HOST = r"^(?:[a-z0-9_-]+\.)*[a-z][a-z0-9-]*$"
# Scheme, host, port, and the rest. Browsers take a backslash for a slash.
_URL = r"(?s)^(?:(?:[a-z][a-z0-9+.-]*:)?//)?([^/?#\\]*?)(?::[0-9]*)?(?:[/?#\\].*)?$"
_ENDS_HOST = np.isin(np.arange(256), list(b"/?#\\"))
_AT, _DASH, _DOT, _ZERO, _A = b"@-.0a"
_DIGITS, _LETTERS = 10, 26
_HTTPS, _HTTP, _WWW = (int.from_bytes(one, "little") for one in (b"https://", b"http://", b"www."))
# Stands behind all texts: a last odd byte, a last dot, and room to look eight bytes ahead.
_END = pa.array(["\0.aaaaaa"], pa.large_string())


class Texts(NamedTuple):
    """Texts, and the bytes that they are made of.

    Attributes:
        arrow: the texts, as Arrow's large strings.
        data: the bytes of all of them, and those of `_END`.
        begin: where in the bytes each text begins.
        end: where it ends; nulls end where they begin.
    """

    arrow: Any
    data: NDArray[np.uint8]
    begin: NDArray[np.int64]
    end: NDArray[np.int64]

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which texts are neither null nor empty."""
        return self.begin < self.end

    def take(self, rows: NDArray[np.intp]) -> Texts:
        """The texts of some rows."""
        return _view(self.arrow.take(pa.array(rows)))


def trimmed(column: Any) -> Any:
    """Arrow text of any kind as one array of large strings, without blanks around them."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return pc.utf8_trim_whitespace(whole.cast(pa.large_string()))


def read(column: Any) -> Texts:
    """Arrow text of any kind, trimmed and in ASCII's lower case."""
    return _view(pc.ascii_lower(trimmed(column)))


def addresses(emails: Texts) -> tuple[Any, Any]:
    """The local part and the host name of each address; null where it has no ``@`` or no host."""
    odd = _odd(emails.data)
    at = odd[np.searchsorted(odd, emails.end) - 1]
    plain = (emails.begin <= at) & (emails.data[at] == _AT)
    plain &= _are_hosts(emails.data, at + 1, emails.end)
    local = _cut(emails, emails.begin, at, plain)
    hosts = _cut(emails, at + 1, emails.end, plain)
    rest = emails.present & ~plain
    if rest.any():
        others = emails.arrow.filter(rest)
        others = pc.if_else(pc.match_substring(others, "@"), others, None)
        parts = pc.split_pattern(others, "@", max_splits=1, reverse=True)
        local = pc.replace_with_mask(local, pa.array(rest), pc.list_element(parts, 0))
        hosts = pc.replace_with_mask(hosts, pa.array(rest), _host_names(pc.list_element(parts, 1)))
    return local, hosts


def are_at(sites: Texts, hosts: Any) -> NDArray[np.bool_]:
    """Whether each website is plainly at the host beside it, or at ``www.`` and it."""
    _, _, begin, end = named = _view(hosts)
    start = _after_scheme(sites)
    most = np.minimum(sites.end, start + _LONGEST)
    start += 4 * (_words(sites.data, 4)[start] == _WWW)
    stop = start + (end - begin)
    fits: NDArray[np.bool_] = named.present & (stop <= most)
    start, stop = np.where(fits, start, sites.end), np.where(fits, stop, sites.end)
    same = pc.equal(_pieces(sites, start, stop), _pieces(named, begin, end))
    fits &= np.asarray(same)[::2] & _end_hosts(sites, stop)
    return fits


def site_hosts(sites: Texts) -> Any:
    """The host name of each website; null where there is none."""
    odd = _odd(sites.data)
    start = _after_scheme(sites)
    stop = np.minimum(odd[np.searchsorted(odd, start)], sites.end)
    plain = _are_hosts(sites.data, start, stop) & _end_hosts(sites, stop)
    hosts = _cut(sites, start, stop, plain)
    rest = sites.present & ~plain
    if rest.any():
        names = pc.replace_substring_regex(sites.arrow.filter(rest), _URL, r"\1")
        hosts = pc.replace_with_mask(hosts, pa.array(rest), _host_names(names))
    return hosts


def parents(hosts: Any) -> Any:
    """Each host name without its first label; null for a single label."""
    names = _view(hosts)
    dots = np.flatnonzero(names.data == _DOT)
    dot = dots[np.searchsorted(dots, names.begin)]
    return _cut(names, dot + 1, names.end, dot < names.end)


@cache
def in_ascii(name: str) -> str | None:
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


def _view(texts: Any) -> Texts:
    # Joined, they begin at the first byte of a buffer, which is there even where they are empty.
    _, offsets, data = pa.concat_arrays([texts, _END]).buffers()
    edges = np.frombuffer(offsets, np.int64, len(texts) + 1)
    return Texts(texts, np.frombuffer(data, np.uint8), edges[:-1], edges[1:])


def _pieces(texts: Texts, begin: NDArray[np.int64], end: NDArray[np.int64]) -> Any:
    """The texts from begin to end, as every other item of an array that shares their bytes."""
    edges: Any = np.empty(2 * len(begin) + 1, np.int64)
    edges[:-1:2], edges[1::2], edges[-1] = begin, end, len(texts.data)
    data: Any = texts.data
    buffers = [None, pa.py_buffer(edges), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.large_string(), len(edges) - 1, buffers)


def _cut(
    texts: Texts, begin: NDArray[np.int64], end: NDArray[np.int64], known: NDArray[np.bool_]
) -> Any:
    """The texts from begin to end; null where not known."""
    places = pa.array(np.arange(0, 2 * len(known), 2), mask=~known)
    return _pieces(texts, begin, end).take(places)


def _words(data: NDArray[np.uint8], size: int) -> NDArray[np.unsignedinteger[Any]]:
    """The bytes from every place on as one number, so that they are compared in one go."""
    return np.ndarray(len(data) - size + 1, f"<u{size}", data, strides=1)


def _after_scheme(sites: Texts) -> NDArray[np.int64]:
    """Where each website goes on after ``https://`` or ``http://``."""
    head = _words(sites.data, 8)[sites.begin]
    start: NDArray[np.int64] = sites.begin + 8 * (head == _HTTPS)
    start += 7 * (head & (2**56 - 1) == _HTTP)
    return start


def _odd(data: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Where the bytes are that no plain host name has; one dot after another is odd, too."""
    # What is below a letter or digit wraps around to a large number.
    fine = (data - _A < _LETTERS) | (data - _ZERO < _DIGITS) | (data == _DASH)
    dots = data == _DOT
    dots[1:] &= fine[:-1]
    return np.flatnonzero(~(fine | dots))


def _are_hosts(
    data: NDArray[np.uint8], begin: NDArray[np.int64], end: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Whether the bytes from begin to end, none of them odd, are a host name."""
    dots = np.flatnonzero(data == _DOT)
    dot = dots[np.searchsorted(dots, end) - 1]
    last = np.where((begin <= dot) & (dot < end), dot + 1, begin)
    hosts: NDArray[np.bool_] = (begin < end) & (end - begin <= _LONGEST)
    hosts &= (data[begin] != _DOT) & (data[end - 1] != _DOT) & (data[last] >= _A)
    return hosts


def _end_hosts(sites: Texts, stop: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether a host that goes on until there ends there."""
    ends: NDArray[np.bool_] = (stop == sites.end) | _ENDS_HOST[sites.data[stop]]
    return ends


def _host_names(raw: Any) -> Any:
    """Host names in their one ASCII form; null where the text, in lower case, is none."""
    names = pc.ascii_rtrim(raw, ".")
    foreign = pc.fill_null(pc.invert(pc.string_is_ascii(names)), False)
    if pc.any(foreign).as_py():
        unique = names.filter(foreign).dictionary_encode()
        spelt = pa.array([in_ascii(name) for name in unique.dictionary.to_pylist()], names.type)
        names = pc.replace_with_mask(names, foreign, spelt.take(unique.indices))
    short = pc.less_equal(pc.binary_length(names), pa.scalar(_LONGEST))
    valid = pc.and_(pc.match_substring_regex(names, _HOST), short)
    return pc.if_else(valid, names, None)
