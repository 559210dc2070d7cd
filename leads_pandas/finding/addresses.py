"""Addresses in a text, in all the ways in which people write them; pure, no I/O.

An address ends where a real top-level domain does, whatever is glued to it. The words and signs
that people put in place of the @ are taken for it where nothing else can be meant: in brackets, as
a word that no sentence has between two names, or around a domain that is the site's own.
"""

from __future__ import annotations

import html
import re
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from leads_pandas.finding.domains import is_certified, is_free, is_top_level, registrable
from leads_pandas.finding.wordlists import section, words

if TYPE_CHECKING:
    from collections.abc import Iterator

_MANY_HINTS = 200


def _any(words: str) -> str:
    return "|".join(re.escape(word).replace("_", r"[\s-]?") for word in words.split())


# "Snail", "little dog", "monkey", "worm": what the @ is called where people have a word for it.
# An underscore stands for a blank, a hyphen or nothing.
_NAMES_OF_AT = section("writing", "at")
_SHORT_NAMES_OF_AT = section("writing", "at, in brackets alone")
_NAMES_OF_DOT = section("writing", "dot")
_AT_WORD, _ANY_AT = _any(_NAMES_OF_AT), _any(_NAMES_OF_AT + _SHORT_NAMES_OF_AT)
_DOT_WORD = _any(_NAMES_OF_DOT)

_INVISIBLE = re.compile("[\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_WIDE = {0xFF01 + n: 0x21 + n for n in range(94)} | {
    **dict.fromkeys((0x2010, 0x2011), "-"),
    0xFE6B: "@",
    0x24D0: "a",
    0x3000: " ",
}
_WIDENED = {0x21 + n: 0xFF01 + n for n in range(94)}
_HAS_WIDE = re.compile("[\uff01-\uff5e\ufe6b\u24d0\u2010\u2011]")
_BLANKS = re.compile(r"\s+")
_URL = re.compile(r"(?:(?<![\w@.-])[A-Za-z][A-Za-z0-9+.-]{1,15}|https?)://[^\s<>\"|,;]+")

# The sign between brackets or the like; a hyphen or underscore is too common without blanks.
_OPEN, _CLOSE = r"[\[({<|*~«\u2039\u3010\uff08]{1,2}", r"[\])}>|*~»\u203a\u3011\uff09]{1,2}"
_QUOTE = "[\"'#`\u00b4\u2018-\u201f]{1,2}"
_AT = re.compile(
    rf"\s?{_OPEN}\s?(?:@|{_ANY_AT})\s?{_CLOSE}\s?"
    rf"|\s[_=-]{{1,2}}\s?(?:@|{_AT_WORD}|at|ät)\s?[_=-]{{1,2}}\s"
    rf"|(?<=[a-z0-9])[_-](?:{_AT_WORD})[_-](?=[a-z0-9])"
    r"|(?<=[a-z0-9])(?://at//|--at--|::at::|@@)(?=[a-z0-9])",
    re.IGNORECASE,
)
_OPENERS = re.compile("[\\[({<|*~\u2039\u3010\uff08«_=/:@-]")
_SHOUTED = re.compile(r"(?<=[a-z0-9])(?:\s(?:AT|ÄT)\s|AT(?=[a-z]))")
_DOT = re.compile(
    rf"\s?{_OPEN}\s?(?:\.|{_DOT_WORD})\s?{_CLOSE}\s?"
    rf"|\s[_=-]{{1,2}}\s?(?:\.|{_DOT_WORD})\s?[_=-]{{1,2}}\s",
    re.IGNORECASE,
)
_DOT_BEHIND = re.compile(
    rf"(@\s?[\w-]{{2,63}}(?:\.[\w-]{{2,63}})?)\s(?:{_DOT_WORD})\s([a-z]{{2,20}})\b", re.IGNORECASE
)
_BRACKETED_DOT = re.compile(rf"[\[({{<](?=\s?\w)\s?(?:{_DOT_WORD})\s?[\])}}>]", re.IGNORECASE)
# What is put into an address for visitors to take out again.
_TAKE_OUT = re.compile(
    r"(?<=@)(?i:no[._-]?spam|remove)[\w-]*\.|[._-]?(?:NO|ANTI|KEIN|STOP|NON|SIN|SEM|BEZ)[._-]?SPAM(?:[._-](?=.*@))?|[._-]?REMOVE(?:[._-]?(?:THIS|ME))?"
    r"|ENTFERNEN|[._-]nospam(?=[@\W]|$)"
)
# The dots and lines that lead the eye from a label to the address.
_LEADERS = re.compile(r"\.{3,}|(?<![^\s:])(?:_{2,}|[.-]+)(?=[\w.+-]{1,64}@)")
_SLIPPED_DOTS = (",", "\u3002", "..")
_LONG_DASHES = re.compile("[\u2013\u2014]|- ")
_DASHED = re.compile(r"(?<![\w.-])([a-z0-9]{2,20})(?:-at-|_at_)(?=[a-z0-9])", re.IGNORECASE)
_SHOUTED_DOT = re.compile(
    r"(?<=[a-z0-9])(?:\s(?:DOT|PUNKT|PUNTO|POINT|PUNT|PONTO|PUNCT|PISTE|PRICK|TE[CČ]KA|KROPKA|PONT|NOKTA)\s|DOT(?=[a-z]))"
)
_LOCAL = r"(?<![\w.+&/%@-])[A-Za-z0-9_][A-Za-z0-9._+&'-]{0,63}"
_PIECE = r"[^\W_](?:[\w-]{0,61}[^\W_])?"
# Spoken: "info chiocciola ditta punto it", also with a real dot.
_SPOKEN = re.compile(
    rf"(?P<local>{_LOCAL})(?:\s(?P<sign>@|at|ät|{_AT_WORD})\s|(?:アットマーク|あっとまーく|골뱅이))"
    rf"(?P<domain>{_PIECE}(?:(?:\.|\s\.\s|\s(?:{_DOT_WORD})\s|ドット|どっと){_PIECE}){{1,4}})",
    re.IGNORECASE,
)
_SPOKEN_DOT = re.compile(rf"\s?\.\s?|\s(?:{_DOT_WORD})\s|ドット|どっと", re.IGNORECASE)
_IN_QUOTES = re.compile(rf"{_QUOTE}(?=\s?\w)\s?(?:at|ät|{_AT_WORD})\s?{_QUOTE}", re.IGNORECASE)
_QUOTED_DOT = re.compile(rf"\s?{_QUOTE}\s?(?:{_DOT_WORD})\s?{_QUOTE}\s?", re.IGNORECASE)
# In quotes it may be a word that is talked about: "at" home.
_QUOTED = re.compile(
    rf"(?P<local>{_LOCAL})\s?{_QUOTE}\s?(?:@|at|ät|{_AT_WORD})\s?{_QUOTE}\s?"
    rf"(?P<domain>{_PIECE}(?:\.{_PIECE}){{1,4}})",
    re.IGNORECASE,
)
_LOOSE = re.compile(
    rf"(?P<local>{_LOCAL})(?P<sign>\s?@\s?)(?P<domain>{_PIECE}(?:\s?\.\s?[^\W_][\w-]{{0,62}}){{1,4}})"
)
# Letters one by one: i n f o @ k e r n . d e
_SPREAD = re.compile(r"(?<!\S)(?:[A-Za-z0-9._+-] ){2,40}@(?: [\w.-](?!\S)){0,60}")
_SIGNS = ("@", "\uff20", "\ufe6b")
_TOLD = ("@", "\uff20", "アット")
# Two patterns, each of which begins with a set: `re` then skips what is none of it.
_BRACKETED = re.compile(
    rf"[\[({{<|*~«\u2039\u3010\uff08](?=\s?[\w@])\s?(?:{_ANY_AT})\s?[\])}}>|*~»\u203a\u3011\uff09]",
    re.IGNORECASE,
)
_BETWEEN_QUOTES = re.compile(
    rf"[\"'#`\u00b4\u2018-\u201f](?=\s?\w)\s?(?:at|ät|{_AT_WORD})\s?{_QUOTE}", re.IGNORECASE
)
# The longest part of each: "a" of "a_rond" would be found everywhere.
_WORDS_OF_AT = tuple(
    dict.fromkeys(max(word.split("_"), key=len).casefold() for word in _NAMES_OF_AT.split())
)
_ASCII_WORDS_OF_AT = tuple(word for word in _WORDS_OF_AT if word.isascii())
_AT_IN_SIGNS = ("_at_", "-at-", "/at/", ":at:")
_SPOKEN_DOTS = (" dot ", " punkt ", " point ", " punto ", " ponto ", " punt ")

_TOKEN = re.compile(
    r"(?<![A-Za-z0-9\u00c0-\u024f_.+&%@-])"
    r"[A-Za-z0-9_][A-Za-z0-9._+&'-]{0,63}(?:@[\w.-]{1,253}){1,4}"
)
_WHOLE_LOCAL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+&'-]{0,63}$")
_WHOLE_LABEL = re.compile(r"[^\W_](?:[\w-]{0,61}[^\W_])?$")
_LABEL_START = re.compile(r"[^\W_](?:[^\W_]|-){0,62}")
_RETINA = re.compile(r"[0-9]x\.")

# What is printed right behind an address without a gap, in small letters.
_GLUE = re.compile(
    r"(?:www|https?|web|tel|fax|phone|mobil|handy|email|e-mail|mail|und|oder|and|or|internet|address)"
)
_WEB_BEHIND = re.compile(r"\.([a-z]{2,6})(?:www\.|https?$)", re.IGNORECASE)
_LABEL_GLUE = re.compile(
    r"^(?:(?:e-?mail|mail|mailto|email)[.:_-]?|[\d-]{4,})(?=([a-z].+)$)", re.IGNORECASE
)
_ESCAPED_TWICE = re.compile(r"&#(?:x[0-9a-fA-F]{2}|0{0,4}\d{2,3});")
# "Write # instead of @", said beside an address like info#firm.example.
_STAND_IN = re.compile(
    r"([_-](?:at|@)[_-]|[\[(\uff08\uff3b]\s?(?:at|a)\s?[\])\uff09\uff3d]|[★☆●○◎■□◆◇▲△▼♪♯#*%&$!^~¤\uff03\uff0a\uff05\uff06\uff04])[^\w@]{0,4}"
    r"(?:を|は|换|換|改|替|代|→|->|=|with|by|durch|mit|par|por|con|na|za|на|steht|stands|is\b|ist\b|means|replace|ersetz|remplac|sostitu|sustitu)"
    r"[^@\n]{0,24}(?:(?<![a-z0-9])[@\uff20](?![a-z0-9])|アット(?:マーク)?)",
    re.IGNORECASE,
)

ROLES = words("writing", "mailboxes")
_SPECIAL = words("mailboxes", "special")
_UNREAD = ("noreply", "donotreply", "bounce", "unsubscribe", "mailerdaemon", "nepasrepondre")
_LABELLED = re.compile(
    r"(?:[:\uff1a|•·>(«\u2013\u2014-]"
    r"|\b(?:e-?mail|mail|e-?post|почта|ел|courriel|correo|posta|email us)\.?)\s*$",
    re.IGNORECASE,
)

_MAIL_LABEL = re.compile(
    r"\b(?:e-?mail|mail|e-?post|почта|ел|courriel|correo|posta|contact|kontakt)[\w-]*"
    r"(?: ad+res\w*)?\W{0,3}$",
    re.IGNORECASE,
)
_NO_MAILBOX = frozenset(("us", "me", "you", "it", "him", "her", "them", "more", "form", "page"))
_SURELY_MAILBOX = frozenset(("info", "infos", "office", "kontakt", "buero", "praxis", "kanzlei"))


def with_sign(text: str) -> str:
    """A page's text with an @ in place of the sign that it says to replace by one."""
    if "&#" in text:  # escaped twice
        text = _ESCAPED_TWICE.sub(lambda it: html.unescape(it[0]), text)
    told = _STAND_IN.search(text) if any(map(text.__contains__, _TOLD)) else None
    if told is None:
        return text
    sign = told[1].translate(_WIDE)
    signs = f"(?:{re.escape(sign)}|{re.escape(sign.translate(_WIDENED))})"
    text = f"{text[: told.start()]} {text[told.end() :]}"  # or it would be read as one more
    return re.sub(rf"(?<=[A-Za-z0-9]){signs}(?=[A-Za-z0-9][\w-]*\.)", "@", text)


class Found(NamedTuple):
    """An address in a text, in lower case, and where in the text as it was understood."""

    address: str
    start: int
    end: int


def plain(text: str) -> str:
    """A text with blanks made one, fullwidth letters made narrow, invisible ones left out."""
    if not text.isascii():
        text = _INVISIBLE.sub("", text)
        if _HAS_WIDE.search(text):
            text = text.translate(_WIDE)
    return _BLANKS.sub(" ", text)


def hints_in(text: str, own: str = "") -> tuple[str, ...]:
    """What in a text may stand for an @, in small letters; a line without any has no address."""
    hints = [sign for sign in _SIGNS if sign in text]
    lower = text.casefold()
    for written in (_BRACKETED, _BETWEEN_QUOTES):
        hints += {found[0].casefold() for found in islice(written.finditer(text), _MANY_HINTS)}
    hints += filter(lower.__contains__, _words_of_at(lower))
    if (
        any(map(lower.__contains__, _SPOKEN_DOTS))
        or " AT " in text
        or (own and f"at {own}" in lower)
    ):
        hints += (" at ", " ät ")
    if _BRACKETED_DOT.search(text):
        hints.append(" at ")
    if "DOT" in text or any(map(lower.__contains__, _AT_IN_SIGNS)) or (own and f"AT{own}" in text):
        hints.append("at")
    return tuple(dict.fromkeys(hints))


def _words_of_at(text: str) -> tuple[str, ...]:
    """The words for an @ that may stand in a text at all."""
    return _ASCII_WORDS_OF_AT if text.isascii() else _WORDS_OF_AT


def addresses_in(text: str, own: str = "") -> Iterator[str]:
    """The addresses in a text, in lower case; see `find_addresses`."""
    if hints_in(text, own):
        for found in find_addresses(understand(plain(text), own), own):
            yield found.address


def understand(text: str, own: str = "") -> str:
    """Put the @ and the dots where they are written in another way.

    Args:
        text: one `plain` text.
        own: the site's registrable domain, which may stand without a label before it.
    """
    if "://" in text:
        text = _URL.sub(" ", text)
    signed = _AT.sub("@", text) if _OPENERS.search(text) else text
    if "AT" in signed or "ÄT" in signed:
        signed = _SHOUTED_DOT.sub(".", _SHOUTED.sub("@", signed))
    if any(map(signed.casefold().__contains__, ("_at_", "-at-"))):
        signed = _DASHED.sub(lambda it: f"{it[1]}@" if it[1].lower() in ROLES else it[0], signed)
    if signed != text or _BRACKETED_DOT.search(text):
        text = _DOT.sub(".", signed)
        if "_dot_" in text.lower():
            text = re.sub("_dot_", ".", text, flags=re.IGNORECASE)
    if _IN_QUOTES.search(text):
        text = _QUOTED_DOT.sub(".", text)
        text = _QUOTED.sub(
            lambda it: (
                f"{it['local']}@{it['domain']}"
                if is_convincing(it["local"], it["domain"], it, own)
                else it[0]
            ),
            text,
        )
    lower = text.casefold()
    if " at " in lower or " ät " in lower or any(map(lower.__contains__, _words_of_at(lower))):
        text = _SPOKEN.sub(lambda found: _spoken(found, own), text)
    if "@" in text:
        text = _SPREAD.sub(lambda found: found[0].replace(" ", ""), text)
        text = _LEADERS.sub(" ", text)
        text = _DOT_BEHIND.sub(_dot_behind, text)
        if "-" in own and _LONG_DASHES.search(text):
            text = re.sub(
                "@" + re.escape(own).replace("\\-", "(?:[-\u2013\u2014]|- )"), f"@{own}", text
            )
        if own and any(map(text.__contains__, _SLIPPED_DOTS)):
            # A slip of the finger; at any other domain than its own it may be the comma of a list.
            dot = "[.,\u3002]{1,2}"
            text = re.sub("@" + dot.join(map(re.escape, own.split("."))) + r"\b", f"@{own}", text)
        text = _LOOSE.sub(lambda found: _loose(found, own), text)
    return text


def find_addresses(text: str, own: str = "") -> Iterator[Found]:
    """The addresses in a text that `understand` has seen."""
    if "@" not in text:
        return
    for token in _TOKEN.finditer(text):
        said = _TAKE_OUT.sub("", token[0])
        local, *rest = (said if "@" in said[1:] else token[0]).split("@")
        pieces = list(_apart(local, rest))
        if not pieces and len(rest) == 1:
            pieces = list(_backwards(token[0], own))
        for address in pieces:
            yield Found(address, token.start(), token.end())


def _apart(local: str, domains: list[str]) -> Iterator[str]:
    """The addresses of one token; two that are glued together have more than one @."""
    for at, domain in enumerate(domains):
        last = at == len(domains) - 1
        cut = real_domain(domain, glued=not last)
        if cut is None:
            return
        name, length = cut
        if not last and length == len(domain):
            return  # user@server@host is no address
        local = _unlabelled(local).strip(".'")
        if local and ".." not in local:
            yield f"{local}@{name}".lower()
        local = domain[length:].lstrip(".-_")
        if not local and not last:
            return


def _unlabelled(local: str) -> str:
    """The mailbox without the label that is glued before it: ``info`` of ``E-Mailinfo``."""
    local = re.sub(r"^www\.", "", local, flags=re.IGNORECASE)
    label = _LABEL_GLUE.match(local)
    return label[1] if label is not None and label[1].lower() in ROLES else local


def _backwards(token: str, own: str) -> Iterator[str]:
    """An address that a style turns round for the eye, where it is plainly one."""
    local, _, rest = token[::-1].partition("@")
    cut = real_domain(rest)
    if cut is None or cut[1] != len(rest) or not local:
        return
    domain = cut[0].lower()
    if local.lower() in ROLES or is_free(domain) or (own and registrable(domain) == own):
        yield f"{local}@{domain}".lower()


def real_domain(text: str, *, glued: bool = False) -> tuple[str, int] | None:
    """The domain at the start of a text, and how much of the text it takes; None where none is.

    It ends at a top-level domain: ``firm.deTel.`` is ``firm.de``. With `glued`, whatever follows
    may be the next address.
    """
    if _RETINA.match(text):
        return None
    if (behind := _WEB_BEHIND.search(text)) is not None and is_top_level(behind[1]):
        return text[: behind.end(1)], behind.end(1)
    labels: list[str] = []
    length, best = 0, None
    for part in text.split("."):
        if not _WHOLE_LABEL.match(part):
            break
        labels.append(part)
        length += len(part) + 1
        if len(labels) > 1 and is_top_level(part) and not _begins_a_sentence(labels):
            best = ".".join(labels), length - 1
    # What does not end the text must not end the domain early: firm.com.example is one domain.
    if best is not None and (best[1] >= len(text.rstrip(".-_")) or not glued):
        longer = _cut(text, best[1])
        return longer or best
    if glued and best is not None:
        longer = _cut(text, best[1], anything=True)
        if longer is not None and registrable(longer[0].lower()) == longer[0].lower():
            return longer  # firm.co.uk, not firm.co
    if glued and (cut := _cut(text, 0, anything=True)) is not None:
        return cut
    return best or _cut(text, 0)


def _begins_a_sentence(labels: list[str]) -> bool:
    """``firm.de.Weitere``: the last label is the next sentence's first word."""
    *before, last = labels
    return (
        len(before) > 1
        and last[0].isupper()
        and not last.isupper()
        and before[-1].islower()
        and is_top_level(before[-1])
    )


def _cut(text: str, after: int, *, anything: bool = False) -> tuple[str, int] | None:
    """The domain that ends inside a label, where something is glued to it."""
    dot = text.find(".", after)
    while 0 < dot < len(text) - 1:
        label = _LABEL_START.match(text, dot + 1)
        if label is None:
            return None
        for length in range(min(len(label[0]), 18), 1, -1):
            end = dot + 1 + length
            if not is_top_level(text[dot + 1 : end]):
                continue
            rest = text[end:]
            if rest and (anything or _is_glue(text[end - 1], rest)):
                return text[:end], end
        dot = text.find(".", dot + 1)
    return None


def _is_glue(last: str, rest: str) -> bool:
    first = rest[0]
    return (
        first in "-_"
        or (first.isupper() and last.islower())
        or first.isdigit()
        or (last.isascii() and not first.isascii())
        or _GLUE.match(rest) is not None
    )


def _spoken(found: re.Match[str], own: str) -> str:
    local, sign = found["local"], (found["sign"] or "").lower()
    domain = _SPOKEN_DOT.sub(".", found["domain"])
    if sign in ("at", "ät", "@"):
        said = re.search(rf"\s(?:{_DOT_WORD})\s", found["domain"], re.IGNORECASE) is not None
        sure = is_convincing(local, domain, found, own)
        if sign != "@" and not (
            (sure or _is_plain(local)) if said else _is_written_out(local, domain, found, own)
        ):
            return found[0]
        if sign == "@" and not sure:
            return found[0]
    return f"{local}@{domain}"


def _is_plain(local: str) -> bool:
    """Whether a word can hardly be anything but a mailbox."""
    return local.lower() in ROLES or "." in local or local[-1].isdigit()


def _is_written_out(local: str, domain: str, found: re.Match[str], own: str) -> bool:
    """Whether ``info at firm.example`` is an address; ``visit us at firm.example`` is none."""
    if not _is_own(domain, own) or domain.lower().startswith("www."):
        return False
    before = found.string[max(found.start() - 40, 0) : found.start()]
    if _MAIL_LABEL.search(before):
        return local.lower() not in _NO_MAILBOX
    alone = not before.strip() and not found.string[found.end() :].strip(" .")
    return alone and local.lower() in _SURELY_MAILBOX


def _dot_behind(found: re.Match[str]) -> str:
    """Put the last dot of ``info@firm dot com``; ``info@firm.com point of sale`` needs none."""
    whole = real_domain(found[1].lstrip("@ ")) is not None or not is_top_level(found[2])
    return found[0] if whole else f"{found[1]}.{found[2]}"


def _loose(found: re.Match[str], own: str) -> str:
    """Close the gaps in ``info @ firm . example`` where an address must be meant."""
    local, sign, domain = found["local"], found["sign"], found["domain"]
    tight = re.sub(r"\s", "", domain)
    cut = real_domain(tight)
    if cut is None:
        return found[0]
    gaps = " " in domain and real_domain(domain.partition(" ")[0].rstrip(".")) is None
    if not gaps:
        tight = domain
    if sign == "@" and not gaps:
        return found[0]
    if sign == "@ " and not gaps:
        return f"{local}@{tight}"
    if gaps and not tight.rpartition(".")[2].islower():
        return found[0]
    if local.lower() in _NO_MAILBOX or (sign == " @" and not _is_plain(local)):
        return found[0]  # find us @ firm.example; a name on some platform: @firm.example
    alone = not found.string[: found.start()].strip() and not found.string[found.end() :].strip(
        " ."
    )
    if not alone and not is_convincing(local, cut[0], found, own):
        return found[0]
    return f"{local}@{tight}"


@lru_cache(maxsize=4096)
def mailbox_kind(address: str) -> str:
    """What a mailbox is for: a level of ``mailbox`` in the weights."""
    local, _, domain = address.partition("@")
    plain = "".join(letter for letter in local if letter.isalnum())
    if plain.startswith(_UNREAD):
        return "nobody reads it"
    first = local.replace("_", ".").replace("-", ".").partition(".")[0]
    if plain in _SPECIAL or first in _SPECIAL or is_certified(domain):
        return "special"
    return "general" if plain in ROLES or first in ROLES else "named"


def is_address(text: str) -> bool:
    """Whether a text is an address at a real domain, and nothing else."""
    local, _, domain = text.partition("@")
    cut = real_domain(domain)
    return bool(_WHOLE_LOCAL.match(local)) and cut is not None and cut[1] == len(domain)


def is_convincing(local: str, domain: str, found: re.Match[str], own: str) -> bool:
    """Whether two words around a lone sign are an address: lunch @ noon is none."""
    before = found.string[max(found.start() - 40, 0) : found.start()]
    return (
        local.lower() in ROLES
        or _is_own(domain, own)
        or is_free(domain.lower())
        or _LABELLED.search(before) is not None
    )


def _is_own(domain: str, own: str) -> bool:
    return bool(own) and registrable(domain.lower()) == own


def lowered(text: str) -> str:
    """A text without case, every letter at its place."""
    small = text.casefold()
    return small if len(small) == len(text) else text.replace("İ", "i").lower()
