"""What a link's words promise: a contact page, an imprint, who they are, privacy, a language.

The words stand by script and language, as the menus of websites have them. They are compared
without case and accents, as whole words (in scripts that put no blanks between words: anywhere), so
that ``Kontakt`` is one and ``Kontaktlinsen`` is none. A label in a language that is not on the list
is judged by where it stands; see `links`.
"""

from __future__ import annotations

import re
import unicodedata
from enum import IntEnum
from functools import cache, lru_cache
from typing import NamedTuple

from leads_pandas.finding.wordlists import section, words

_LANGUAGES = words("labels", "languages")
# Words that are a promise only where the label says nothing else.
_ALONE = words("labels", "alone")
_LOCALE = re.compile(r"^/?([a-z]{2})(?:[-_][a-zA-Z]{2})?/?(?:index\.\w+)?$")
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]"
)
_SPLIT = re.compile(r"[^\w\u0300-\u036f\u0900-\u0dff\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff]+|_")
_LETTERS = str.maketrans(
    {"\u0131": "i", "ł": "l", "ø": "o", "đ": "d", "æ": "ae", "œ": "oe", "ð": "d", "þ": "th"}
)
_NO_CONTACT = re.compile(
    r"\bcontact (?:lens|grill|sport|allerg|cement|adhesive|dermatitis|paper|print|improv|mic)"
    r"|\b(?:lentill[ei]s?|lentes|lenti) (?:de |a )?conta|\bbooking com\b|\be ?mail market"
    r"|\bcontact center soft|コンタクトレンズ"
)
_TELLING, _TELLING_OTHER = 7, 4
_LONGEST, _FEW_WORDS, _MANY_WORDS = 5, 4, 12


class Kind(IntEnum):
    """What a link leads to, the likeliest to show an address first."""

    CONTACT = 0
    IMPRINT = 1
    ABOUT = 2
    PRIVACY = 3
    LANGUAGE = 4
    OTHER = 5


class Promise(NamedTuple):
    """What a label or a path promises, and how plainly: 0 it is the word, 1 it has it, 2 hardly."""

    kind: Kind
    doubt: int


NOTHING = Promise(Kind.OTHER, 2)


@cache
def _phrases() -> dict[str, Kind]:
    """Every phrase, folded; a phrase of two kinds belongs to the likelier one."""
    known: dict[str, Kind] = {}
    for kind in (Kind.CONTACT, Kind.IMPRINT, Kind.ABOUT, Kind.PRIVACY):
        for line in section("labels", kind.name.lower()).strip().splitlines():
            for phrase in line.partition(" ")[2].split("|"):
                said = folded(phrase)
                known.setdefault(" ".join(said), kind)
                if len(said) > 1 and len("".join(said)) >= _TELLING:
                    known.setdefault("".join(said), kind)
    return known


@cache
def _unspaced() -> tuple[tuple[str, Kind], ...]:
    """Phrases of scripts without blanks between words, the longest first."""
    found = [(one, kind) for one, kind in _phrases().items() if _UNSPACED.search(one)]
    return tuple(sorted(found, key=lambda it: -len(it[0])))


def folded(text: str) -> list[str]:
    """A text's words without case and accents."""
    text = text.casefold().replace("\xad", "").replace("\u200c", " ")
    if not text.isascii():
        # Marks of Latin, Greek, Cyrillic, Hebrew and Arabic go; other scripts spell with theirs.
        text = unicodedata.normalize("NFD", text).translate(_LETTERS)
        text = re.sub("[\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670]", "", text)
        text = unicodedata.normalize("NFC", text)
    return [word for word in _SPLIT.split(text) if word]


@lru_cache(maxsize=8192)
def promise_of(text: str) -> Promise:
    """What a label promises."""
    said = folded(text)
    if not said or len(said) > _MANY_WORDS:
        return NOTHING
    known = _phrases()
    label = " ".join(said)
    if (kind := known.get(label)) is not None:
        return Promise(kind, 0)
    if label in _LANGUAGES:
        return Promise(Kind.LANGUAGE, 0)
    if _NO_CONTACT.search(label):
        return NOTHING
    kinds = [
        known[phrase]
        for length in range(min(_LONGEST, len(said)), 0, -1)
        for start in range(len(said) - length + 1)
        if _says_enough(phrase := " ".join(said[start : start + length])) and phrase in known
    ]
    if not kinds and _UNSPACED.search(text):
        kinds = [kind for phrase, kind in _unspaced() if len(phrase) > 1 and phrase in label]
    if kinds:
        return Promise(min(kinds), 1 if len(said) <= _FEW_WORDS else 2)
    return NOTHING


def _says_enough(phrase: str) -> bool:
    """Whether a phrase means the same inside a longer label: "legal", "team" and "book" do not."""
    return phrase not in _ALONE and (
        " " in phrase or len(phrase) >= (_TELLING if phrase.isascii() else _TELLING_OTHER)
    )


def promise_of_path(path: str) -> Promise:
    """What the path of a URL promises; its last part says more than its folders."""
    if _LOCALE.match(path.rstrip("/")) and path.strip("/").partition("-")[0] in _LANGUAGES:
        return Promise(Kind.LANGUAGE, 1)
    parts = [part for part in path.split("/") if part]
    best = NOTHING
    if len(parts) > 1 and re.match(r"(?:index|default|home|start)\.\w{2,5}$", parts[-1]):
        parts.pop()
    for depth, part in enumerate(reversed(parts[-3:])):
        found = promise_of(
            re.sub(r"\.[a-z]{2,5}\d?$|\.html?\.html?$", "", part, flags=re.IGNORECASE)
        )
        if found.kind < Kind.LANGUAGE:
            doubt = max(found.doubt, min(depth, 1) * 2, 1)
            best = min(best, Promise(found.kind, doubt), key=lambda it: (it.doubt, it.kind))
    return best
