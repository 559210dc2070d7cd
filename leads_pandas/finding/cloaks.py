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

from leads_pandas.finding.addresses import ROLES, is_address, mailbox_kind
from leads_pandas.finding.ciphers import deciphered
from leads_pandas.finding.domains import is_free, registrable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

_PROTECTED = re.compile(r"email-protection(?:\.\w+)?#([0-9a-fA-F]{6,400})")
_WORTH = re.compile(
    r"@|\|64|mi=|&#0*64;|&#x0*40;|%40|\\x40|\\u0040|fromCharCode|DeCryptX|mailto|atob|unescape|document\.write|mail\w{0,40}\("
    r"|\bkode\b|\bcoded\b|\(p,a,c,k|\[0\]\s*=\s*\d{9,10}\s*;",
    re.IGNORECASE,
)
# WordPress' CryptX: a digit, and a letter that is so many places too far; or each by one place.
_CRYPTX = re.compile(r"DeCryptX\(\s*['\"]([^'\"]{6,300})['\"]")
_CODE_LIST = re.compile(r"[\[(]\s*((?:\d{2,3}\s*,\s*){6,200}\d{2,3})\s*[\])]")
_IN_OBJECT = re.compile(
    r"\b(user|name|local|mailbox|account)[\"']?\s*:\s*[\"']([\w.+-]{1,64})[\"']\s*,"
    r"\s*[\"']?(?:domain|host|server)[\"']?\s*:\s*[\"']([\w.-]{4,100})[\"']"
)
_ARGUMENTS = re.compile(
    r"\w\(\s*(['\"][\w.+-]{1,64}['\"](?:\s*,\s*['\"][\w.+-]{0,64}['\"]){1,3})\s*\)"
)
_WRITES_SIGN = re.compile(r"[\"'](?:@|%40|&#0*64;)[\"']|fromCharCode\(64\)")
_DEFINED = re.compile(r"\bfunction\s+(\w{1,40})\s*\(|\b(\w{1,40})\s*=\s*(?:function\b|\()")
_ARGUMENT = re.compile(r"\w\(\s*['\"]([^'\"\s]{8,300})['\"]")
_MAX_CALL, _MAX_NAME = 500, 30
_SURROGATES, _SHORT_BASE64 = 0xD800, 7
_MAX_SCRIPT, _MAX_VALUE, _MAX_ATTRIBUTE, _MAX_LOCAL, _MAX_DEPTH = 100_000, 5_000, 400, 64, 20

_JS = re.compile(
    # What is never closed is skipped as one, or each of its quotes would look for the end again.
    r"""(?P<comment>//[^\n]*|/\*.*?(?:\*/|\Z))
    |(?P<text>"(?:[^"\\\n]|\\.)*+"|'(?:[^'\\\n]|\\.)*+'|`(?:[^`\\]|\\.)*+`)
    |(?P<open>["'](?:[^"'\\\n]|\\.)*+|`(?:[^`\\]|\\.)*+)
    |String\.fromCharCode\((?P<codes>[\d\s,x]*)\)
    |(?P<turned>\.split\((?:""|'')\)\.reverse\(\)\.join\((?:""|'')\))
    |\.(?P<reversed>reverse\(\)\.)?join\(\s*(?P<join>"[^"\n]{0,9}"|'[^'\n]{0,9}')?\s*\)
    |(?P<rot13>\.replace\(\s*/\[a-zA?-?[zZ](?:A-Z)?\]/\w*\s*,\s*(?:function|\(?\w+\)?\s*=>))
    |\.replace(?:All)?\(\s*(?P<old>"[^"\n]{1,30}"|'[^'\n]{1,30}'|/(?:[^/\\\n]|\\.){1,30}/\w*)
        \s*,\s*(?P<new>"[^"\n]{0,30}"|'[^'\n]{0,30}')\s*\)
    |(?P<name>[A-Za-z_$][\w$]*)(?P<index>\[\d+\])?
    |(?P<sign>\+=|==+|=>|[+=;,(){}\[\].])""",
    re.VERBOSE | re.DOTALL,
)
_IN_BACKTICKS = re.compile(r"\$\{\s*([\w$]+(?:\[\d+\])?|'[^'`}]{0,80}'|\"[^\"`}]{0,80}\")\s*\}")
# Where a script puts what the visitor sees, by assignment and by call.
_SHOWN = frozenset(("innerHTML", "outerHTML", "textContent", "innerText", "href", "location"))
_SHOWING = frozenset(
    (
        *("write", "writeln", "html", "text", "append", "prepend", "after", "before", "open"),
        *("insertAdjacentHTML", "attr", "setAttribute", "replaceWith"),
    )
)
_ASKED = ("placeholder", "pattern")  # what a field shows of what it asks for
_DECODING = frozenset(("unescape", "decodeURIComponent", "decodeURI", "eval", "atob"))
_ESCAPES = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|u\{([0-9a-fA-F]+)\}|(.))", re.DOTALL
)
_TYPO3 = re.compile(r"UnCryptMailto\(\s*(?:%27|['\"])(.{5,200}?)(?:%27|['\"])", re.IGNORECASE)
_CALL = re.compile(
    r"mail[\w.]{0,40}\(\s*((?:['\"][\w.+-]{1,64}['\"]\s*,?\s*){2,4})\)", re.IGNORECASE
)
# WordPress' Email Encoder: places in a list of letters.
_ENCODER = re.compile(
    r"""ml\s*=\s*["']([^"'\n]{5,200})["']\s*,\s*mi\s*=\s*["']([^"'\n]{5,900})["']"""
)
_USER = re.compile(
    r"^data-(?:e?mail-?)?(?:user|name|id|local|localpart|mailbox|account|u|l|left|m1|part1|first|before|pre)$"
)
_DOMAIN = re.compile(
    r"^data-(?:e?mail-?)?(?:domain|host|server|(?:web-?)?site|at|d|r|right|m2|part2|second|after|post)$"
)
_TLD = re.compile(r"^data-(?:e?mail-?)?(?:tld|ext|suffix|t|part3|third)$")
_PLAIN = frozenset(
    ("class", "id", "href", "src", "alt", "style", "title", "target", "rel", "width", "height")
)
_PART, _MAX_PARTS = re.compile(r"[\w.+-]{1,64}$"), 4
_IN_TWO = re.compile(r"([\w.+-]{1,64})[|,;#]([\w-]{1,63}(?:\.[\w-]{1,63}){1,3})$")
_SAYS_MAIL = re.compile(r"mail|spam|protect|crypt|obfus|cloak")
_SURELY_USER = re.compile(r"^data-(?:e?mail-?)?(?:user|local|localpart|mailbox)$")
_NAMED_MAIL = re.compile(
    r"mail|contact|clipboard|copy|enc|cloak|protect|addr|href|link|crypt|obfus|b64|base64|hidden|spam"
)


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
        if len(domain) == 1 and "." in user and "." not in domain[0]:
            user, domain = domain[0], [user]
        if "@" not in user:
            yield f"{user}@{'.'.join(domain)}"
    for code in map(_unescaped, _CRYPTX.findall(script)):
        by, letters = (code[::2], code[1::2]) if code[::2].isdecimal() else ("1" * len(code), code)
        yield "".join(
            chr(max(ord(one) - int(far), 0)) for far, one in zip(by, letters, strict=False)
        )
    if "fromCharCode" in script:
        yield from map(_from_codes, _CODE_LIST.findall(script))
    for key, user, domain in _IN_OBJECT.findall(script):
        if key not in ("name", "account") or user.lower() in ROLES:  # lists of cookies have names
            yield f"{user}@{domain}"
    for letters, places in _ENCODER.findall(script):
        if all(ord(one) - 48 < len(letters) for one in places):
            yield unquote("".join(letters[ord(one) - 48] for one in places))
    for said in deciphered(script[:_MAX_SCRIPT], _unescaped):
        if "(" in said:
            yield from _Strings(said[:_MAX_SCRIPT]).run()
        else:
            yield html.unescape(said)
    yield from _Strings(script[:_MAX_SCRIPT]).run()


def called(script: str) -> Iterator[str]:
    """What a link calls a function of the page with, read in every way that makes an address."""
    for argument in _ARGUMENT.findall(script[:_MAX_CALL]):
        yield from _readings(argument)


def writers(script: str) -> set[str]:
    """The names of the functions in a script that puts an @ between two texts."""
    if _WRITES_SIGN.search(script) is None:
        return set()
    return {one or other for one, other in _DEFINED.findall(script[:_MAX_SCRIPT])}


def put_together(script: str, own: str, known: Collection[str] = ()) -> Iterator[str]:
    """The addresses that the arguments of calls make.

    Trackers are called with the site's domain too: where nothing says that a call writes an
    address, its mailbox must be one of a business's usual ones.

    Args:
        script: what calls.
        own: the site's registrable domain.
        known: the functions of the page that write addresses.
    """
    for call in _ARGUMENTS.finditer(script[:_MAX_SCRIPT]):
        name = re.split(r"\W", script[max(call.start() - _MAX_NAME, 0) : call.start() + 1])[-1]
        sure = name in known or _SAYS_MAIL.search(name.lower()) is not None
        for address in joined(re.findall(r"['\"]([\w.+-]*)['\"]", call[1])):
            domain = address.rpartition("@")[2].lower()
            if _is_usual(address, own, sure=sure) or (sure and is_free(domain)):
                yield address


def _is_usual(address: str, own: str, *, sure: bool) -> bool:
    local, _, domain = address.lower().rpartition("@")
    return registrable(domain) == own and (sure or local in ROLES)


def joined(parts: Iterable[str]) -> Iterator[str]:
    """The addresses that parts make, the mailbox first or last."""
    first, *rest = [one for one in parts if one] or [""]
    if rest:
        yield f"{first}@{'.'.join(rest)}"
        yield f"{rest[0]}@{first}"


class _Strings:
    """Follows assignments and sums of strings through a script: one pass over its tokens."""

    def __init__(self, script: str) -> None:
        self._tokens = [it for it in _JS.finditer(script) if it.lastgroup != "comment"]
        self._known: dict[str, str] = {}
        self._list: list[str] = []  # the items of the list that was read last
        self._lists: dict[str, list[str]] = {}
        self._written: list[str] = []  # piece by piece

    def run(self) -> Iterator[str]:
        """The strings that are put together from parts, or written into the page."""
        at = 0
        while at < len(self._tokens):
            token = self._tokens[at]
            name = self._name(token)
            following = self._sign(at + 1)
            if name and following in ("=", "+="):
                before = self._known.get(name, "") if following == "+=" else ""
                self._list = []
                value, parts, at = self._sum(at + 2)
                value = (before + value)[:_MAX_VALUE]
                self._assign(name, value)
                if value and (parts + bool(before) > 1 or token["name"] in _SHOWN):
                    yield html.unescape(value)
            elif name in _SHOWING and following == "(":
                at += 1
                while self._sign(at) in ("(", ","):
                    value, _, at = self._sum(at + 1)
                    if value in _ASKED:
                        break
                    if value:
                        yield html.unescape(value)
                        if name.startswith("write"):
                            self._written.append(value)
            else:
                value, parts, following_at = self._sum(at)
                at = max(following_at, at + 1)
                if value and parts > 1:
                    yield html.unescape(value)
        if len(self._written) > 1:
            yield html.unescape("".join(self._written)[:_MAX_VALUE])
        yield from self._letter_by_letter()

    def _assign(self, name: str, value: str) -> None:
        self._known[name] = value
        if self._list:
            self._lists[name] = self._list
            self._known |= {f"{name}[{place}]": item for place, item in enumerate(self._list)}

    def _letter_by_letter(self) -> Iterator[str]:
        """ExpressionEngine's cloak: a list of letters and codes, written from its end."""
        letters: dict[str, list[str]] = {}
        for name, value in self._known.items():
            if name.endswith("]") and 0 < len(value) < len("|1114111"):
                code = value[1:]
                letter = chr(int(code) % _SURROGATES) if code.isdecimal() else value
                letters.setdefault(name.partition("[")[0], []).append(letter)
        for these in letters.values():
            if len(these) > _SHORT_BASE64:
                yield "".join(reversed(these))

    def _name(self, token: re.Match[str]) -> str:
        return "" if token["name"] is None else token["name"] + (token["index"] or "")

    def _sign(self, at: int) -> str | None:
        return self._tokens[at]["sign"] if at < len(self._tokens) else None

    def _sum(self, at: int, depth: int = 0) -> tuple[str, int, int]:
        """The sum that begins at a token: its text, of how many parts, and the token behind it."""
        value, parts, at = self._term(at, depth)
        while self._sign(at) == "+":
            more, count, at = self._term(at + 1, depth)
            value, parts = (value + more)[:_MAX_VALUE], parts + count
        return value, parts, at

    def _term(self, at: int, depth: int) -> tuple[str, int, int]:
        if at >= len(self._tokens):
            return "", 0, at
        token, items = self._tokens[at], None
        sign, name = token["sign"], self._name(token)
        if token["text"] is not None:
            value, parts, at = self._literal(token["text"]), 1, at + 1
        elif token["codes"] is not None:
            value, parts, at = _from_codes(token["codes"]), 2, at + 1
        elif sign in ("(", "[") and depth < _MAX_DEPTH:
            value, parts, at = self._inside(at, depth)
            items = self._list if sign == "[" else None
        elif name in ("new", "Array", "String") and at + 1 < len(self._tokens):
            following = self._sign(at + 1)
            if name != "new" and following == "(" and depth < _MAX_DEPTH:
                value, parts, at = self._inside(at + 1, depth)
                items = self._list
            else:
                return self._term(at + 1, depth + 1) if depth < _MAX_DEPTH else ("", 0, at + 1)
        elif name in _DECODING and self._sign(at + 1) == "(" and depth < _MAX_DEPTH:
            value, parts, at = self._inside(at + 1, depth)
            value, parts = decode_base64(value) if name == "atob" else unquote(value), parts + 2
        elif name and self._sign(at + 1) not in ("=", "+="):
            value, parts, at = self._known.get(name, ""), int(name in self._known), at + 1
            items = self._lists.get(name)
        else:
            return "", 0, at
        return self._changed(value, parts, at, items)

    def _inside(self, at: int, depth: int) -> tuple[str, int, int]:
        """What stands in the brackets that open at a token; its items are kept as a list."""
        items, value, parts = [], "", 0
        while self._sign(at) in ("(", "[", ","):
            value, parts, at = self._sum(at + 1, depth + 1)
            items.append(value)
        self._list = items
        return value, parts, at + (self._sign(at) in (")", "]"))

    def _changed(
        self, value: str, parts: int, at: int, items: list[str] | None
    ) -> tuple[str, int, int]:
        """A text and what is done to it: joined, turned round, letters changed."""
        while at < len(self._tokens):
            token = self._tokens[at]
            if token["turned"] is not None:
                value = value[::-1]
            elif token["rot13"] is not None:
                value = codecs.decode(value, "rot13")
            elif token["old"] is not None:
                old = re.sub(r"^/|/\w*$|\\", "", token["old"]).strip("\"'")
                value = value.replace(old, token["new"][1:-1])[:_MAX_VALUE]
            elif token[0].endswith(")") and "join(" in token[0] and items is not None:
                between = (token["join"] or "','")[1:-1]
                value = between.join(items[:: -1 if token["reversed"] else 1])[:_MAX_VALUE]
            else:
                break
            parts, at = parts + 2, at + 1
        return value, parts, at

    def _literal(self, quoted: str) -> str:
        if quoted[0] == "`" and "${" in quoted:
            quoted = _IN_BACKTICKS.sub(
                lambda it: it[1][1:-1] if it[1][0] in "\"'" else self._known.get(it[1], it[0]),
                quoted,
            )
        return _unescaped(quoted[1:-1])[:_MAX_VALUE]


def _from_codes(codes: str) -> str:
    numbers = [int(one, 0) for one in re.findall(r"0x[\da-f]+|[1-9]\d*", codes)]
    return "".join(chr(one) for one in numbers if one < _SURROGATES)


def _unescaped(text: str) -> str:
    def one(found: re.Match[str]) -> str:
        code = found[1] or found[2] or found[3]
        if code:
            return chr(min(int(code[:6], 16), 0xFFFF))
        return {"n": "\n", "t": " ", "r": ""}.get(found[4], found[4])

    return _ESCAPES.sub(one, text) if "\\" in text else text


def decode_base64(text: str) -> str:
    """What a text in base64 says; empty where it is none."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True).decode("ascii")
    except ValueError:
        return ""


def _turned_back(text: str) -> Iterator[str]:
    """TYPO3's cloak: letters, digits and signs turned by some places within their ranges."""
    places = ord("m") - ord(text[:1] or " ")
    for by in (places - 26, places, places + 26):
        if "".join(_turn(letter, by) for letter in text[: len("mailto:")]) == "mailto:":
            yield "".join(_turn(letter, by) for letter in text)
            return


def _turn(letter: str, by: int) -> str:
    for first, last in ((0x2B, 0x3A), (0x40, 0x5A), (0x61, 0x7A)):
        if first <= ord(letter) <= last:
            return chr(first + (ord(letter) - first + by) % (last - first + 1))
    return letter


def in_parts(attributes: dict[str, str], own: str) -> Iterator[str]:
    """The addresses at the site's own domain that attributes for scripts make, of any name.

    Trackers and forms name the domain too: something must say that it is a mailbox.
    """
    data = [value for name, value in attributes.items() if name.startswith("data-")]
    if 1 < len(data) <= _MAX_PARTS and all(map(_PART.match, data)):
        said = attributes.get("class", "") + "".join(one for one in attributes if one not in _PLAIN)
        sure = _SAYS_MAIL.search(said.lower()) is not None
        for address in joined(data):
            if _is_usual(address, own, sure=sure):
                yield address


def in_attributes(attributes: dict[str, str]) -> Iterator[str]:
    """What a tag's attributes say to scripts: ``data-user`` and ``data-domain`` and the like."""
    user = domain = tld = ""
    if attributes.keys() <= _PLAIN:
        return
    for name, value in attributes.items():
        if name in _PLAIN:
            continue
        if name == "data-cfemail":
            yield decode_cloudflare(value)
        elif name == "data-mailto-token":
            yield from _turned_back_by(value, attributes.get("data-mailto-vector", ""))
        elif name.startswith("data-") and 0 < len(value) < _MAX_ATTRIBUTE:
            user = user or (value if _USER.match(name) else "")
            domain = domain or (value if _DOMAIN.match(name) else "")
            tld = tld or (value if _TLD.match(name) else "")
            if _NAMED_MAIL.search(name) or "mail" in attributes.get("class", "").lower():
                yield from _readings(value)
        elif name.startswith("on"):
            yield from uncloaked(value)
    if "first" in attributes and "last" in attributes:  # Joomla's <joomla-hidden-mail>
        yield f"{decode_base64(attributes['first'])}@{decode_base64(attributes['last'])}"
    if user and domain and "@" not in user and len(user) <= _MAX_LOCAL:
        yield from _in_halves(attributes, user, domain, tld)


def _in_halves(attributes: dict[str, str], user: str, domain: str, tld: str) -> Iterator[str]:
    if not is_address(f"a@{domain}") and is_address(f"a@{domain[::-1]}"):
        user, domain = user[::-1], domain[::-1]  # for a style that turns them round
    said = " ".join((attributes.get("class", ""), *attributes)).lower()
    if (
        tld
        or user.lower() in ROLES
        or _SAYS_MAIL.search(said)
        or any(map(_SURELY_USER.match, attributes))
    ):  # else a widget that is told the site's domain
        yield f"{user}@{domain}" if not tld else f"{user}@{domain.rstrip('.')}.{tld.lstrip('.')}"


def _readings(value: str) -> Iterator[str]:
    """A value as it is, turned round, by 13 letters, in base64, or in two parts."""
    if parts := _IN_TWO.match(value):
        yield f"{parts[1]}@{parts[2]}"
    if "@" in value or "[at]" in value:
        plain = value.replace("[at]", "@").replace("[dot]", ".").removeprefix("mailto:")
        turned = (plain, plain[::-1], codecs.decode(plain, "rot13"))
        read = [one for one in turned if is_address(one)]
        # firma.fr is svezn.se by 13 letters, and both may be real.
        yield next((one for one in read if mailbox_kind(one) == "general"), (*read, value)[0])
    elif len(value) <= _SHORT_BASE64:
        return
    elif "@" in (decoded := decode_base64(value.strip())):
        yield from _readings(decoded)


def _turned_back_by(token: str, vector: str) -> Iterator[str]:
    turns = (int(vector),) if re.fullmatch(r"-?\d{1,2}", vector) else ()
    for by in turns:
        turned = "".join(_turn(letter, -by) for letter in token)
        if turned.startswith("mailto:"):
            yield turned
            return
    yield from _turned_back(token)
