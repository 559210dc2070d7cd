"""Addresses that a page hides from harvesters and shows to visitors: codes, scripts, attributes.

Nothing is executed. A script's constant strings are put together where it puts them together, and
what comes out counts only if it was cloaked or is written into the page: an address that merely
stands in a script (a configuration, a tracker) is not published.
"""

from __future__ import annotations

import base64
import codecs
import html
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROTECTED = re.compile(r"email-protection(?:\.\w+)?#([0-9a-fA-F]{6,400})")
_WORTH = re.compile(
    r"@|&#0*64;|&#x0*40;|%40|\\x40|\\u0040|fromCharCode|mailto|atob|unescape|document\.write|mail\w*\(",
    re.IGNORECASE,
)
_SURROGATES, _SHORT_BASE64 = 0xD800, 7
_MAX_SCRIPT, _MAX_VALUE, _MAX_ATTRIBUTE, _MAX_LOCAL = 100_000, 5_000, 400, 64

_JS = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)
    |"(?P<double>(?:[^"\\\n]|\\.)*)"|'(?P<single>(?:[^'\\\n]|\\.)*)'|`(?P<back>(?:[^`\\]|\\.)*)`
    |String\.fromCharCode\((?P<codes>[\d\s,x]*)\)
    |(?P<call>unescape|decodeURIComponent|atob|eval)\(
    |(?P<turn>\.split\((?:""|'')\)\.reverse\(\)\.join\((?:""|'')\))
    |(?P<name>[A-Za-z_$][\w$]*)(?P<index>\[\d+\])?
    |(?P<sign>\+=|=(?!=)|[+;,(){}\n\[\]])""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|u\{([0-9a-fA-F]+)\}|(.))", re.DOTALL
)
_TYPO3 = re.compile(r"UnCryptMailto\(\s*(?:%27|['\"])(.{5,200}?)(?:%27|['\"])", re.IGNORECASE)
_CALL = re.compile(
    r"[\w.]*mail[\w.]*\(\s*((?:['\"][\w.+-]{1,64}['\"]\s*,?\s*){2,4})\)", re.IGNORECASE
)
_USER = re.compile(
    r"^data-(?:e?mail-?)?(?:user|name|local|localpart|mailbox|account|u|part1|first|before|pre)$"
)
_DOMAIN = re.compile(r"^data-(?:e?mail-?)?(?:domain|host|server|site|d|part2|second|after|post)$")
_TLD = re.compile(r"^data-(?:e?mail-?)?(?:tld|ext|suffix|t|part3|third)$")
_NAMED_MAIL = re.compile(r"mail|contact|enc|cloak|protect|addr|href|link|crypt")


def decode_cloudflare(code: str) -> str:
    """Cloudflare's protected address: hexadecimal, every byte XORed with the first."""
    try:
        key, *rest = bytes.fromhex(code)
        return bytes(byte ^ key for byte in rest).decode()
    except ValueError:
        return ""


def protected(href: str) -> str:
    """The address in a link to Cloudflare's decoder, saved copies of it included; else empty."""
    found = _PROTECTED.search(href)
    return "" if found is None else decode_cloudflare(found[1])


def uncloaked(script: str) -> Iterator[str]:
    """The texts and markup that a script writes or puts together, constant strings alone."""
    if not _WORTH.search(script):
        return
    for called in _TYPO3.findall(script):
        yield from _turned_back(_unescaped(unquote(called)))
    for call in _CALL.findall(script):
        user, *domain = re.findall(r"['\"]([\w.+-]+)['\"]", call)
        if "@" not in user:
            yield f"{user}@{'.'.join(domain)}"
    yield from _Strings().run(script[:_MAX_SCRIPT])


class _Strings:
    """Follows assignments and sums of strings through a script."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def run(self, script: str) -> Iterator[str]:
        """The strings that are put together from parts, or written into the page."""
        target, value, parts, written, adding = "", "", 0, False, False
        pending = ""  # a name that may turn out to be assigned to
        call = ""
        for found in _JS.finditer(script):
            kind = found.lastgroup
            if kind == "comment":
                continue
            if kind in ("name", "index"):
                name = found["name"] + (found["index"] or "")
                if name in ("var", "let", "const", "new", "String", "return"):
                    continue
                pending = name
                written = written or name in ("write", "writeln", "innerHTML", "insertAdjacentHTML")
                written = written or name in ("href", "location", "append", "html")
                if name in self._known and adding:
                    value, parts, pending = value + self._known[name], parts + 1, name
                continue
            if kind == "sign":
                sign = found["sign"]
                if sign in ("=", "+="):
                    start = self._known.get(pending, "") if sign == "+=" else ""
                    target, value, parts, adding = pending, start, int(bool(start)), True
                    if pending not in ("href", "innerHTML", "location"):
                        written = False
                elif sign == "(":
                    value, parts, adding = ("", 0, True) if not call else (value, parts, True)
                elif sign == "+" and not adding:
                    adding = True
                elif sign in ";\n{}," or (sign == ")" and not call):
                    if sign == "\n" and script[found.end() :].lstrip()[:1] == "+":
                        continue
                    if value and (parts > 1 or written) and len(value) < _MAX_VALUE:
                        yield html.unescape(value)
                    if target and value:
                        self._known[target] = value[:_MAX_VALUE]
                    if sign != ",":
                        target, written = "", written and sign == ")"
                    value, parts, adding = "", 0, sign in ",)"
                elif sign == ")":
                    call = ""
                continue
            if kind == "turn":
                value, parts = value[::-1], parts + 2
                continue
            if kind == "call":
                call, adding = found["call"], True
                continue
            text = self._literal(found, call)
            parts += 1 if not call and kind != "codes" else 2
            value = (value + text)[:_MAX_VALUE]
            adding = True
        if value and (parts > 1 or written):
            yield html.unescape(value)

    def _literal(self, found: re.Match[str], call: str) -> str:
        if found["codes"] is not None:
            codes = [int(one, 0) for one in re.findall(r"0x[\da-f]+|[1-9]\d*", found["codes"])]
            return "".join(chr(one) for one in codes if one < _SURROGATES)
        text = _unescaped(found["double"] or found["single"] or found["back"] or "")
        if call in ("unescape", "decodeURIComponent", "eval"):
            return unquote(text)
        return _base64(text) if call == "atob" else text


def _unescaped(text: str) -> str:
    def one(found: re.Match[str]) -> str:
        code = found[1] or found[2] or found[3]
        if code:
            return chr(min(int(code[:6], 16), 0xFFFF))
        return {"n": "\n", "t": " ", "r": ""}.get(found[4], found[4])

    return _ESCAPES.sub(one, text) if "\\" in text else text


def _base64(text: str) -> str:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True).decode("ascii")
    except ValueError:
        return ""


def _turned_back(text: str) -> Iterator[str]:
    """TYPO3's cloak: letters, digits and signs turned by some places within their ranges."""
    for by in range(-26, 27):
        turned = "".join(_turn(letter, by) for letter in text)
        if turned.startswith("mailto:"):
            yield turned
            return


def _turn(letter: str, by: int) -> str:
    for first, last in ((0x2B, 0x3A), (0x40, 0x5A), (0x61, 0x7A)):
        if first <= ord(letter) <= last:
            return chr(first + (ord(letter) - first + by) % (last - first + 1))
    return letter


def in_attributes(attributes: dict[str, str]) -> Iterator[str]:
    """What a tag's attributes say to scripts: ``data-user`` and ``data-domain`` and the like."""
    user = domain = tld = ""
    for name, value in attributes.items():
        if name == "data-cfemail":
            yield decode_cloudflare(value)
        elif name == "data-mailto-token":
            yield from _turned_back_by(value, attributes.get("data-mailto-vector", ""))
        elif name.startswith("data-") and 0 < len(value) < _MAX_ATTRIBUTE:
            user = user or (value if _USER.match(name) else "")
            domain = domain or (value if _DOMAIN.match(name) else "")
            tld = tld or (value if _TLD.match(name) else "")
            if _NAMED_MAIL.search(name):
                yield from _readings(value)
        elif name.startswith("on") or (name == "href" and value[:11].lower() == "javascript:"):
            yield from uncloaked(value if name.startswith("on") else unquote(value))
    if user and domain and "@" not in user and len(user) <= _MAX_LOCAL:
        yield f"{user}@{domain}" if not tld else f"{user}@{domain.rstrip('.')}.{tld.lstrip('.')}"


def _readings(value: str) -> Iterator[str]:
    """A value as it is, turned round, by 13 letters, or in base64, where that has an @."""
    yield value
    if "@" in value or "[at]" in value:
        plain = value.replace("[at]", "@").replace("[dot]", ".")
        yield plain[::-1]
        yield codecs.decode(plain, "rot13")
    elif len(value) > _SHORT_BASE64 and "@" in (decoded := _base64(value.strip())):
        yield decoded


def _turned_back_by(token: str, vector: str) -> Iterator[str]:
    turns = (int(vector),) if re.fullmatch(r"-?\d{1,2}", vector) else ()
    for by in turns:
        turned = "".join(_turn(letter, -by) for letter in token)
        if turned.startswith("mailto:"):
            yield turned
            return
    yield from _turned_back(token)
