from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from leads_pandas.finding.cloaks import uncloaked

ADDRESS = "info@firm.example"
KEY = "XP1a2u3VpIJCqoR4WwKi96rQkSEmn0ZNAYf5ytBbgsOHdFLlGzjxe8c7vUMDhT"


def shifted() -> str:
    moved = [KEY[(KEY.find(one) + len(ADDRESS)) % len(KEY)] for one in ADDRESS]
    coded = "".join(one if one in "@." else it for one, it in zip(ADDRESS, moved, strict=True))
    return f'{{ coded = "{coded}"\n  key = "{KEY}"\n  shift=coded.length\n  link=""'


def by_a_sorted_key() -> str:
    key = "x78UC50DOygu4kZAGq+ei3TbMfcrNYmvP@62Lznt_dQwJWX91HaIRVKEF.s-SjholpB"
    coded = "".join(key[sorted(key).index(one)] for one in ADDRESS)
    return f'var a="{key}";var b=a.split("").sort().join("");var c="{coded}";var d="";'


def packed() -> str:
    return (
        "eval(function(p,a,c,k,e,d){while(c--)p=p.replace(k[c]);return p}"
        """('3.4("<0 5=\\\\"6:1@2.7\\\\">1@2.7</0>")',8,8,"""
        "'a|info|firm|document|write|href|mailto|example'.split('|'),0,{}))"
    )


def in_numbers() -> str:
    pieces = (ADDRESS[at : at + 4].encode() for at in range(0, len(ADDRESS), 4))
    said = (f"em[{at}] = {int.from_bytes(one)};" for at, one in enumerate(pieces))
    return "var em = new Array;\n" + "\n".join(said)


def reversed_layer(code: str) -> str:
    return f"kode={json.dumps(code[::-1])};kode=kode.split('').reverse().join('')"


def moved_layer(code: str) -> str:
    moved = "".join(chr((ord(one) + 3) % 128) for one in code)
    quoted = moved.replace("\\", "\\\\").replace('"', '\\"')
    return f'kode="{quoted}";for(i=0;i<kode.length;i++){{c=kode.charCodeAt(i)-3}}kode=x'


def swapped_layer(code: str) -> str:
    swapped = "".join(code[at : at + 2][::-1] for at in range(0, len(code), 2))
    return f"kode={json.dumps(swapped)};x+=kode.charAt(i+1)+kode.charAt(i)"


def in_layers(*layers: Callable[[str], str]) -> str:
    code = f"document.write({json.dumps(f'<a href=mailto:{ADDRESS}>x</a>')})"
    for layer in layers:
        code = layer(code)
    quoted = json.dumps(code)[1:-1]
    pieces = '"+\n"'.join((quoted[:40], quoted[40:]))
    return f'var kode=\n"{pieces}"\n;var i,c,x;while(eval(kode));'


@pytest.mark.parametrize(
    "script",
    [
        shifted(),
        by_a_sorted_key(),
        packed(),
        in_numbers(),
        in_layers(reversed_layer),
        in_layers(moved_layer),
        in_layers(swapped_layer, reversed_layer),
        in_layers(reversed_layer, swapped_layer, moved_layer),
    ],
)
def test_a_cipher_whose_key_stands_beside_it_is_read(script: str) -> None:
    assert any(ADDRESS in text for text in uncloaked(script))


@pytest.mark.parametrize(
    "piece",
    [
        'coded="',
        "coded='a',key='",
        "a='b';var c=d.sort()",
        "}('",
        'kode="',
        'kode="a"+',
        "'|'",
        "a[0]=123456789;",
    ],
)
def test_no_cipher_takes_long(piece: str) -> None:
    start = "document.write('@');split('|').sort()kode coded(p,a,c,k "
    assert sum(1 for _ in uncloaked(start + piece * 100_000)) < 50_000


def test_a_packed_script_of_long_words_does_not_grow_without_bound() -> None:
    bomb = f"function(p,a,c,k,e,d){{}}('{'0 ' * 9999}',1,1,'{'w' * 19999}'.split('|'),0,{{}})"
    assert sum(map(len, uncloaked(bomb))) < 1_000_000
