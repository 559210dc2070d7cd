from __future__ import annotations

import pytest

from leads_pandas.finding.cloaks import (
    called,
    decode_cloudflare,
    in_attributes,
    in_parts,
    put_together,
    uncloaked,
    writers,
)

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
        'var a = ["info", "firm.example"]; document.write(a[0] + "@" + a[1]);',
        'var a = new Array("info", "firm", "example"); x.innerHTML = a[0]+"@"+a[1]+"."+a[2]',
        "document.write(['info', 'firm.example'].join('@'))",
        "var m = ['example', '.', 'firm', '@', 'info']; document.write(m.reverse().join(''))",
        "document.write('info#firm.example'.replace('#', '@'))",
        "document.write('info[at]firm.example'.replace(/\\[at\\]/g, '@'))",
        "document.write('vasb@svez.rknzcyr'.replace(/[a-zA-Z]/g, function(c) { return c }))",
        "const u = 'info', d = 'firm.example'; x.innerHTML = `<b>${u}@${d}</b>`",
        "$('#mail').attr('href', 'mailto:info@firm.example')",
        "$('.mail').html('info' + '@' + 'firm.example')",
        "writeMail('firm.example', 'info')",
        "DeCryptX('1j2p0f3r3C1g0i0r2o1/2g0x0a1n1q2n0e')",
        "DeCryptX('nbjmup;jogpAgjsn/fybnqmf')",
        "var m = {user: 'info', domain: 'firm.example'}; show(m.user + '@' + m.domain)",
        (
            "var t = [105,110,102,111,64,102,105,114,109,46,101,120,97,109,112,108,101];"
            "for (i in t) s += String.fromCharCode(t[i])"
        ),
        "document.write('info'); document.write('@'); document.writeln('firm.example')",
        'var ml=".@aefilmnoprx",mi="5849145;703<27:63",o=""',
        (
            "l[0]='e';l[1]='|108';l[2]='p';l[3]='m';l[4]='a';l[5]='x';l[6]='e';l[7]='|46';l[8]='m';"
            "l[9]='r';l[10]='i';l[11]='f';l[12]='|64';l[13]='o';l[14]='f';l[15]='n';l[16]='i';"
        ),
    ],
)
def test_a_cloak_is_taken_off(script: str) -> None:
    assert any("info@firm.example" in text for text in uncloaked(script))


@pytest.mark.parametrize(
    "script",
    [
        "var a = 'info@firm.example'",
        "track({user: 'info@firm.example', id: 3})",
        "$('#mail').attr('placeholder', 'info@firm.example')",
        "// document.write('info@firm.example')",
        "",
        "var a = 'x' + y + '@'",
        "var a = ['info@firm.example', 'x']; track(a[0], a[1])",
        "if (x == 'info@firm.example') go('info@firm.example'.replace(y, z))",
    ],
)
def test_an_address_that_merely_stands_in_a_script_is_not_published(script: str) -> None:
    assert not any("info@firm.example" in text for text in uncloaked(script))


@pytest.mark.parametrize(
    "script",
    [
        "smae_decode('aW5mb0BmaXJtYS5kZQ==')",
        "return openMail('ed.amrif@ofni')",
        "m('vasb@svezn.qr')",
        "m('info|firma.de', 3)",
    ],
)
def test_what_a_click_calls_a_function_with_is_read_in_every_way(script: str) -> None:
    assert list(called(script)) == ["info@firma.de"]


def test_the_arguments_of_a_call_may_be_the_parts_of_an_address() -> None:
    own = "kern-brot.de"
    assert "info@kern-brot.de" in put_together("f('info', 'kern-brot', 'de')", own)
    assert "info@kern-brot.de" in put_together("mt('kern-brot.de', 'info', '', '')", own)
    assert "anna.k@kern-brot.de" in put_together("x.writeMail('anna.k', 'kern-brot.de')", own)


def test_a_function_that_puts_an_at_between_two_texts_writes_addresses() -> None:
    known = writers("function m(a, b) { return a + '@' + b }; n = (c) => c")
    assert known == {"m", "n"}
    assert "brot77@web.de" in put_together("m('brot77', 'web.de')", "kern-brot.de", known)
    assert not list(put_together("o('brot77', 'web.de')", "kern-brot.de", known))


@pytest.mark.parametrize(
    "script",
    [
        "ga('create', 'UA-12345-1', 'kern-brot.de')",
        "_gaq.push('_setDomainName', 'kern-brot.de')",
        "setCookie('session', 'kern-brot.de')",
        "loadScript('cdn', 'kern-brot.de')",
    ],
)
def test_a_tracker_that_is_told_the_domain_is_no_address(script: str) -> None:
    assert not list(put_together(script, "kern-brot.de"))
    assert not list(put_together(script, "kern-brot.de", writers("function m(a){a+'@'+b}")))


def test_attributes_of_any_name_make_an_address_where_something_says_so() -> None:
    own = "kern-brot.de"
    assert "info@kern-brot.de" in in_parts({"data-x": "info", "data-y": own}, own)
    assert "anna@kern-brot.de" in in_parts({"data-x": "anna", "data-y": own, "class": "mail"}, own)
    assert not list(in_parts({"data-theme": "light", "data-y": own}, own))


@pytest.mark.parametrize("value", ["info@firma.fr", "vasb@svezn.se", "mailto:info@firma.fr"])
def test_of_two_readings_that_may_both_be_real_the_likelier_counts(value: str) -> None:
    assert list(in_attributes({"data-email": value})) == ["info@firma.fr"]


def test_attributes_for_scripts_are_put_together() -> None:
    assert "info@firm.example" in in_attributes(
        {"data-name": "info", "data-domain": "firm.example"}
    )
    assert "info@firm.example" in in_attributes(
        {"data-user": "info", "data-domain": "firm", "data-tld": "example"}
    )
    assert "info@firm.example" in in_attributes({"data-mail": "info|firm.example"})
    assert "info@firm.de" in in_attributes({"data-x": "aW5mb0BmaXJtLmRl", "class": "mailto"})
    assert "info@firm.de" in in_attributes({"data-nospam": "ed.mrif@ofni"})
    turned = {"data-user": "ofni", "data-website": "ed.mrif"}
    assert "info@firm.de" in in_attributes(turned)
    token = {"data-mailto-token": "ocknvq,kphqBhkto0gzcorng", "data-mailto-vector": "2"}
    assert "mailto:info@firm.example" in in_attributes(token)


@pytest.mark.parametrize(
    "script",
    [
        '[{"type":"http","name":"PHPSESSID","host":"kern-brot.de","duration":2}]; "@"',
        '{"account": "UA-1", "domain": "kern-brot.de"}; "@"',
    ],
)
def test_a_list_of_cookies_is_no_list_of_addresses(script: str) -> None:
    assert not any("kern-brot.de" in text for text in uncloaked(script))
    assert any("info@firm.de" in text for text in uncloaked("'@'; {name: 'info', host: 'firm.de'}"))


@pytest.mark.parametrize("name", ["data-id", "data-name", "data-first"])
def test_a_widget_that_is_told_the_domain_is_no_address(name: str) -> None:
    widget = {name: "reviews", "data-domain": "firm.de"}
    assert not list(in_attributes(widget))
    assert "reviews@firm.de" in in_attributes({**widget, "class": "cloaked-mail"})


def test_joomla_s_element_has_both_halves_in_base64() -> None:
    element = {"is-link": "1", "first": "aW5mbw==", "last": "ZmlybS5leGFtcGxl"}
    assert "info@firm.example" in in_attributes(element)


def test_cloudflare_codes_that_are_none_say_nothing() -> None:
    assert [decode_cloudflare(code) for code in ("", "0", "zz", "00ff")] == ["", "", "", ""]


@pytest.mark.parametrize(
    "piece",
    [
        "'a'+",
        "x=",
        "(",
        "'",
        "\\",
        "/*",
        "@'",
        "a+=b;",
        "`",
        "atob(",
        "[",
        "a[0]=",
        "'x'.join('')+",
        "a",
        "mail",
        "\\'",
        "/* ",
    ],
)
def test_no_script_takes_long(piece: str) -> None:
    assert sum(1 for _ in uncloaked("document.write('@');" + piece * 200_000)) < 50_000
