"""What a link leads to: a mailbox, in whatever way the link says so, or a page; pure, no I/O."""

from __future__ import annotations

import html
import re
from urllib.parse import unquote, urljoin

from leads_pandas.finding.cloaks import decode_base64, protected

NO_PAGE = re.compile(
    r"^(?:tel|sms|callto|skype|whatsapp|viber|fax|data|blob|about):", re.IGNORECASE
)
# "malito:", "mailto//", "http://mailto:": what is typed where mailto: is meant.
MAIL_SCHEME = re.compile(
    r"^\s*(?:https?:/{0,2}(?:[\w.-]*/)?|/)?(?:(?:mailto|malito|maitlo|mailo|mailt|mialto|maito|mail\s?to|e-?mail|mail)"
    r"\s?[:;=]\s?/{0,3})+|^\s*mailto[\s.,](?=[^@]+@)",
    re.IGNORECASE,
)
_COMPOSE = re.compile(
    r"^https?://(?:mail\.google|outlook\.(?:office|live|office365)|mail\.yahoo|compose\.mail\.yahoo)\.com/.*?[?&]to=([^&]+)"
)
_MAIL_IN_BASE64 = "bWFpbHRv"  # "mailto"
_BARE_MAIL = re.compile(r"^(?:https?:/{0,2}|/{0,2})(?:www\.)?[\w.+-]{1,64}@[\w.-]{3,}(?:\?.*)?/?$")
# What a form or a script that sends mail calls the one that it sends to.
RECIPIENT = re.compile(
    r"^(?:_?(?:recipients?|to|mail_?to|e?mail_?to|send_?to|empf(?:ae|ä)nger|dest(?:inatario|inataire)?|destino|odbiorca|adresat))$"
)
# Behind a redirect that counts clicks, or in an archive's copy.
_WRAPPED = re.compile(r"[/=]mailto(?::|%3a)/{0,2}([^&?]{6,200})", re.IGNORECASE)
_PARAMETER = re.compile(r"[?&;]([\w-]{2,20})=([^&;#]{6,120})")
_SIMPLE = re.compile(r"/?[A-Za-z0-9_-]+(?:[/.][A-Za-z0-9_-]+)*/?$")
_WHOLE = re.compile(r"https?://[a-z0-9.-]+/[\w/-]*(?:\.\w+)?$")


def mail_of(href: str) -> str:
    """The recipients that a link names, as text; empty where it leads to a page."""
    if "email-protection" in href and (address := protected(href)):
        return address
    if href.startswith(_MAIL_IN_BASE64):
        return recipients(decode_base64(href))
    if "to=" in href and (compose := _COMPOSE.match(href)):
        return unquote(compose[1])
    if href[:7].lower() == "mailto%":
        return recipients(unquote(href))
    if wrapped := _WRAPPED.search(href):
        return recipients(unquote(wrapped[1]))
    if MAIL_SCHEME.match(href) or ("@" in href and _BARE_MAIL.match(href)):
        return recipients(href)
    if "?" in href and ("@" in href or "%40" in href):
        named = (unquote(it[2]) for it in _PARAMETER.finditer(href) if RECIPIENT.match(it[1]))
        return " , ".join(named)
    return ""


def recipients(href: str) -> str:
    """The recipients of a ``mailto:`` link, as text."""
    href = html.unescape(href) if "&#" in href else href  # escaped twice
    path, _, query = MAIL_SCHEME.sub("", href, count=1).partition("?")
    path = re.sub(r"^(?:https?:)?/{0,2}", "", path)
    found = [path]
    found += [part[3:] for part in query.split("&") if part[:3].lower() in ("to=", "cc=")]
    return " , ".join(unquote(one) for one in found)


def absolute(base: str, href: str) -> str | None:
    """The absolute http(s) URL of a link without its fragment, or None where it is no such link."""
    href = href.strip()
    if not href or href.startswith("#"):
        return None
    if "\\" in href:  # as browsers do
        href = href.replace("\\", "/")
    if _SIMPLE.match(href):  # what urljoin does, for the links that most links are
        root = base if href[0] != "/" else "/".join(base.split("/", 3)[:3])
        return f"{root.rpartition('/')[0]}/{href}" if href[0] != "/" else root + href
    if _WHOLE.match(href):
        return href
    try:
        url = urljoin(base, href).partition("#")[0]
    except ValueError:
        return None
    return url if url.lower().startswith(("http://", "https://")) else None
