from __future__ import annotations

import pytest

from leads_pandas.finding.cloaks import decode_cloudflare, in_attributes, uncloaked

JOOMLA = """
document.getElementById('cloak1').innerHTML = '';
var prefix = '&#109;a' + 'i&#108;' + '&#116;o';
var path = 'hr' + 'ef' + '=';
var addy1 = 'inf&#111;' + '&#64;';
addy1 = addy1 + 'firm' + '&#46;' + 'example';
var addy_text1 = 'inf&#111;' + '&#64;' + 'firm' + '&#46;' + 'example';
document.getElementById('cloak1').innerHTML += '<a ' + path + '\\'' + prefix + ':' + addy1 + '\\'>'
    + addy_text1 + '<\\/a>';
"""


@pytest.mark.parametrize(
    "script",
    [
        JOOMLA,
        "document.write('info' + '@' + 'firm.example')",
        'var u = "info"; var d = "firm.example"; document.write(u + "@" + d);',
        'var x="info";\nx += "@";\nx += "firm.example";\ndocument.write(x);',
        "document.write(String.fromCharCode(105,110,102,111,64,102,105,114,109)+'.example')",
        "document.write(unescape('%69%6e%66%6f%40firm.example'))",
        "document.write(atob('aW5mb0BmaXJtLmV4YW1wbGU='))",
        'document.write("elpmaxe.mrif@ofni".split("").reverse().join(""))',
        "location.href = 'mailto:' + 'info' + '@' + 'firm.example'",
        "sendMail('info', 'firm', 'example')",
        "document.write('\\x69nfo\\u0040firm.example')",
        "linkTo_UnCryptMailto('nbjmup+jogpAgjsn\\/fybnqmf')",
    ],
)
def test_a_cloak_is_taken_off(script: str) -> None:
    assert any("info@firm.example" in text for text in uncloaked(script))


@pytest.mark.parametrize(
    "script",
    [
        "var a = 'info@firm.example'",
        "track({user: 'info@firm.example', id: 3})",
        "// document.write('info@firm.example')",
        "",
        "var a = 'x' + y + '@'",
    ],
)
def test_an_address_that_merely_stands_in_a_script_is_not_published(script: str) -> None:
    assert not any("info@firm.example" in text for text in uncloaked(script))


def test_attributes_for_scripts_are_put_together() -> None:
    assert "info@firm.example" in in_attributes(
        {"data-name": "info", "data-domain": "firm.example"}
    )
    assert "info@firm.example" in in_attributes(
        {"data-user": "info", "data-domain": "firm", "data-tld": "example"}
    )
    token = {"data-mailto-token": "ocknvq,kphqBhkto0gzcorng", "data-mailto-vector": "2"}
    assert "mailto:info@firm.example" in in_attributes(token)


def test_cloudflare_codes_that_are_none_say_nothing() -> None:
    assert [decode_cloudflare(code) for code in ("", "0", "zz", "00ff")] == ["", "", "", ""]


@pytest.mark.parametrize("piece", ["'a'+", "x=", "(", "'", "\\", "/*", "@'", "a+=b;", "`", "atob("])
def test_no_script_takes_long(piece: str) -> None:
    assert sum(1 for _ in uncloaked("document.write('@');" + piece * 200_000)) < 50_000
