"""Addresses that a script of a known make keeps in a cipher; their keys stand beside them.

Pure, no I/O: scripts in, what they would write into the page out. Nothing is executed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_TEXT = r"""(?:"((?:[^"\\\n]|\\.){1,300})"|'((?:[^'\\\n]|\\.){1,300})')"""
# Letters moved along a key by as many places as there are letters.
_SHIFTED = re.compile(
    rf"\bcoded\s*=\s*{_TEXT}[\s;,]*(?:(?:var|let)\s+)?(?:key|cipher)\s*=\s*{_TEXT}", re.IGNORECASE
)
# A key whose letters stand for those of the sorted key.
_SORTED = re.compile(
    rf"\b\w+\s*=\s*{_TEXT}\s*;\s*var\s+\w+\s*=\s*\w+\.split\([\"']{{2}}\)\.sort\(\)"
    rf"\.join\([\"']{{2}}\)\s*;\s*var\s+\w+\s*=\s*{_TEXT}"
)
# Words by their number: what packers of scripts make.
_PACKED = re.compile(
    r"\}\s*\(\s*'((?:[^'\\]|\\.){1,20000})'\s*,\s*(\d{1,2})\s*,\s*\d{1,4}\s*,\s*'([^']{1,20000})'"
    r"\s*\.split\(\s*'\|'\s*\)"
)
# Four letters in each number of a list.
_IN_NUMBERS = re.compile(r"(?:\b\w{1,20}\[\d{1,2}\]\s*=\s*\d{2,10}\s*;\s*){3,99}")
_NUMBER = re.compile(r"=\s*(\d+)")
_MAX_UNPACKED = 40_000
_WORD = re.compile(r"\b\w{1,4}\b")
# Layers that each undo the next: a quoted text, and what is done to it.
_LAYERED = re.compile(r"\bkode\s*=\s*((?:\"(?:[^\"\\\n]|\\.){0,400}\"[\s+]*){1,200})")
_LAYER = re.compile(r"\s*kode\s*=\s*\"((?:[^\"\\]|\\.)*)\"(.*)", re.DOTALL)
_PIECE = re.compile(r"\"((?:[^\"\\\n]|\\.){0,400})\"")
_MOVED = re.compile(r"charCodeAt\(i\)\s*-\s*(\d{1,2})")
_MAX_LAYERS, _SEVEN_BITS = 20, 128
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def deciphered(script: str, unescaped: Callable[[str], str]) -> Iterator[str]:
    """What the ciphers in a script say.

    Args:
        script: the script.
        unescaped: takes the escapes out of a quoted text.
    """
    if "coded" in script:
        for found in _SHIFTED.finditer(script):
            coded, key = (unescaped(one) for one in _texts(found))
            places = len(key)
            yield _mapped(
                coded, {one: key[(at - len(coded)) % places] for at, one in enumerate(key)}
            )
    if ".sort()" in script:
        for found in _SORTED.finditer(script):
            key, coded = _texts(found)
            yield _mapped(coded, dict(zip(key, sorted(key), strict=True)))
    if "split('|')" in script:
        for found in _PACKED.finditer(script):
            yield _unpacked(unescaped(found[1]), int(found[2]), found[3].split("|"))
    for found in _IN_NUMBERS.finditer(script) if "[0]" in script else ():
        yield b"".join(map(_letters, _NUMBER.findall(found[0]))).decode("latin-1")
    if "kode" in script:
        for found in _LAYERED.finditer(script):
            yield _peeled(unescaped("".join(_PIECE.findall(found[1]))), unescaped)


def _texts(found: re.Match[str]) -> tuple[str, str]:
    first, second = (one for one in found.groups() if one is not None)
    return first, second


def _letters(number: str) -> bytes:
    return (int(number) % 2**32).to_bytes(4, "big").lstrip(b"\0")


def _mapped(coded: str, letters: dict[str, str]) -> str:
    return "".join(letters.get(one, one) for one in coded)


def _unpacked(code: str, base: int, words: list[str]) -> str:
    """A packed script: its words are numbers in a list."""
    room = _MAX_UNPACKED  # a long word that stands for a short one may come a thousand times

    def word(it: re.Match[str]) -> str:
        nonlocal room
        at = 0
        for digit in map(_DIGITS.find, it[0]):
            if not 0 <= digit < base:
                return it[0]
            at = at * base + digit
        said = words[at] if at < len(words) else ""
        room -= len(said)
        return said if said and room > 0 else it[0]

    return _WORD.sub(word, code)


def _peeled(code: str, unescaped: Callable[[str], str]) -> str:
    """What is under the layers of a text that each say how to read the next."""
    for _ in range(_MAX_LAYERS):
        layer = _LAYER.match(code)
        if layer is None:
            break
        code, done = unescaped(layer[1]), layer[2]
        if "reverse()" in done:
            code = code[::-1]
        elif (moved := _MOVED.search(done)) is not None:
            by = int(moved[1])
            code = "".join(chr((ord(one) - by) % _SEVEN_BITS) for one in code)
        elif "charAt(i+1)" in done:
            swapped = [code[at : at + 2][::-1] for at in range(0, len(code), 2)]
            code = "".join(swapped)
        else:
            break
    return code
