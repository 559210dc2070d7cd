"""What a server answered, as a page: its kind, its text, its moment to come back, its cookies."""

from __future__ import annotations

import contextlib
import email.utils
import re
import time
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urljoin

if TYPE_CHECKING:
    from leads_pandas.finding.wire import Answer

_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_SHORT = re.compile(r"[0-9]{1,5}")
_COOKIES, _COOKIE_BYTES = 16, 1024

_META_CHARSET = re.compile(
    rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([a-zA-Z0-9_.:-]+)", re.IGNORECASE
)
# Python also calls punycode, zip and the like encodings, some of them costly to decode.
_CHARSET = re.compile(
    r"^(?:utf|iso|windows|cp|latin|l1|ascii|us-ascii|koi|gb|big5|shift|sjis|x-sjis|euc|mac)",
    re.IGNORECASE,
)
_CHARSET_PARAMETER = re.compile(r";\s*charset\s*=\s*[\"']?([^\s\"';]+)", re.IGNORECASE)
_BOMS = (("utf-8-sig", b"\xef\xbb\xbf"), ("utf-16-le", b"\xff\xfe"), ("utf-16-be", b"\xfe\xff"))
_PAGE_TYPES = frozenset(("text/html", "application/xhtml+xml", "text/plain", ""))
_NO_PAGES = re.compile(r"(?:image|audio|video|font)/|application/(?:pdf|zip|gzip|msword|vnd\.)")
_LOOKS_LIKE_HTML = re.compile(
    rb"\s*(?:<\?xml[^>]{0,200}>\s*)?(?:<!--.{0,2000}?-->\s*)*<(?:!doctype\s+html|html|head|body)\b",
    re.IGNORECASE | re.DOTALL,
)
_SERVER_ERROR, _PASSING_STATUSES = 500, frozenset((408, 425, 429))


class Reply(NamedTuple):
    """What a server answered.

    Attributes:
        url: what was asked for.
        status: the HTTP status.
        content_type: the media type in lower case, without parameters; empty where none was given.
        charset: what the header says of the encoding, or None.
        location: where a redirect points, absolute, or None.
        body: the content, cut off at the fetcher's limit.
        retry_after: seconds after which the server wants to be asked again; 0 where it says none.
    """

    url: str
    status: int
    content_type: str
    charset: str | None
    location: str | None
    body: bytes
    retry_after: float = 0.0

    @property
    def is_page(self) -> bool:
        """Whether it is a page of text, by its type or, where that says little, by its looks."""
        if self.content_type in _PAGE_TYPES:
            return True
        return not _NO_PAGES.match(self.content_type) and bool(_LOOKS_LIKE_HTML.match(self.body))

    @property
    def passing(self) -> bool:
        """Whether its status is a trouble that passes."""
        return self.status >= _SERVER_ERROR or self.status in _PASSING_STATUSES

    @property
    def text(self) -> str:
        """The body as text: by byte order mark, header or meta element, else UTF-8, else cp1252."""
        for name, mark in _BOMS:
            if self.body.startswith(mark):
                return self.body.decode(name, "replace")
        meta = _META_CHARSET.search(self.body[:4096])
        for named in (self.charset, meta[1].decode("ascii") if meta else None):
            if named is not None and _CHARSET.match(named):
                # On the web the two mean the same, and the second has more letters.
                latin = named.lower() in ("iso-8859-1", "latin-1", "latin1", "us-ascii", "ascii")
                with contextlib.suppress(LookupError):
                    return self.body.decode("cp1252" if latin else named, "replace")
        try:
            return self.body.decode()
        except UnicodeDecodeError as error:
            # A page cut off inside a letter is UTF-8 all the same.
            cut = error.reason == "unexpected end of data"
            return self.body.decode("utf-8" if cut else "cp1252", "replace")


def worth_reading(answer: Answer) -> bool:
    """Whether the body of an answer may be a page, or is short enough to keep the connection."""
    if answer.status in _REDIRECTS and answer.header("location"):
        return bool(_SHORT.fullmatch(answer.header("content-length")))
    return not _NO_PAGES.match(answer.header("content-type").lower())


def reply_of(url: str, answer: Answer) -> Reply:
    """What an answer to a URL says."""
    kind = answer.header("content-type")
    charset = _CHARSET_PARAMETER.search(kind)
    location = None
    if answer.status in _REDIRECTS and answer.header("location"):
        location = urljoin(url, _latin(answer.header("location")))
    return Reply(
        url=url,
        status=answer.status,
        content_type=kind.partition(";")[0].strip().lower(),
        charset=charset[1].lower() if charset else None,
        location=location,
        body=b"" if location else answer.body,
        retry_after=_retry_after(answer.header("retry-after")),
    )


def _retry_after(value: str) -> float:
    if not value:
        return 0.0
    if value.isascii() and value.isdecimal():
        return float(value)
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        moment = email.utils.parsedate_to_datetime(value)
        return max(moment.timestamp() - time.time(), 0.0)
    return 0.0


def remember(headers: list[str], cookies: dict[str, str]) -> None:
    """Keep the cookies of some ``Set-Cookie`` headers, within bounds."""
    for header in headers[:_COOKIES]:
        name, equals, value = header.partition(";")[0].strip().partition("=")
        fits = len(header) < _COOKIE_BYTES and (name in cookies or len(cookies) < _COOKIES)
        if equals and fits and header.isprintable():
            cookies[name] = value


def _latin(header: str) -> str:
    """A header's text: it is read as Latin-1, servers send UTF-8."""
    try:
        return header.encode("latin-1").decode()
    except UnicodeError:
        return header
