from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leads_pandas.finding.page import Link
from leads_pandas.finding.reading import read_page
from tests.support.growth import grows_like_its_size

HERE = "http://firm.example/shop/index.html"


def found(markup: str) -> list[str]:
    """The addresses of a page, each once, in order."""
    return list(dict.fromkeys(one.address for one in read_page(markup, HERE).mentions))


def cloudflare(address: str, key: int = 0x5A) -> str:
    return bytes([key, *(byte ^ key for byte in address.encode())]).hex()


@pytest.mark.parametrize(
    "markup",
    [
        '<a href="mailto:info@firm.example">write</a>',
        '<a href="MAILTO:INFO@FIRM.EXAMPLE">write</a>',
        '<a href="mailto:info%40firm.example">write</a>',
        '<a href="mailto:info@firm.example?subject=Hi%20you&body=x@y.example">write</a>',
        '<a href="mailto:?to=info@firm.example">write</a>',
        '<a href="mailto:The%20Firm%20%3Cinfo@firm.example%3E">write</a>',
        '<a href="&#109;ailto:info&#64;firm&#46;example">write</a>',
        '<map><area href="mailto:info@firm.example"></map>',
        "<p>info@firm.example</p>",
        "<p>Info@Firm.Example.</p>",
        "<p>info&#x40;firm.example</p>",
        "<p>info&amp;#64;firm.example</p>",
        "<p>info@firm..example</p>",
        "<p>info@firm\u3002example</p>",
        "<a data-n=info data-d=firm data-t=example>write</a>",
        "<p>info@<b>firm</b>.example</p>",
        "<p>info@<!-- no spam -->firm.example</p>",
        "<p>info@<span style='display: none'>null</span>firm.example</p>",
        "<p>info@<wbr>firm.example</p>",
        "<p>info@firm.exam<wbr>ple</p>",
        "<span>info@firm.example</span><span>Tel: 1</span>",
        "<b>Mail</b><i>info@firm.example</i>",
        "<p>info@firm.example<a href=/map>Map</a></p>",
        "<p>info\u200b@firm\u00ad.example</p>",
        "<p>info\uff20firm.example</p>",
        "<p>info [at] firm [dot] example</p>",
        "<p>info (at) firm.example</p>",
        "<p>info{AT}firm{DOT}example</p>",
        "<p>info\n[at]\nfirm.example</p>",
        "<p>info [@] firm (punkt) example</p>",
        "<p>&lt;info@firm.example&gt;</p>",
        "<p>'info@firm.example'</p>",
        "<p>mail:info@firm.example;tel:1</p>",
        "<p>联系info@firm.example谢谢</p>",
        "<td>info@firm.example<td>next",
        "<pre>Mail       info@firm.example\nVan</pre>",
        "<noscript>info@firm.example</noscript>",
        f'<a href="/cdn-cgi/l/email-protection#{cloudflare("info@firm.example")}">x</a>',
        f'<b data-cfemail="{cloudflare("info@firm.example")}">[email&#160;protected]</b>',
        '<a href="mailto://info@firm.example">x</a>',
        '<a href="info@firm.example">x</a>',
        '<a href="malito:info@firm.example">x</a>',
        '<a href="http://mailto:info@firm.example">x</a>',
        '<a href="mailto:info@firm.example;">x</a>',
        '<form action="mailto:info@firm.example">',
        '<form action="https://forms.example/info@firm.example">',
        '<input type=hidden name=recipient value="info@firm.example">',
        '<i data-user="info" data-domain="firm.example"></i>',
        '<i data-email="aW5mb0BmaXJtLmV4YW1wbGU="></i>',
        '<i data-enc-email="vasb[at]svez.rknzcyr"></i>',
        f'<a href="cdn-cgi/l/email-protection.html#{cloudflare("info@firm.example")}">x</a>',
        "<p>info<span>@</span>firm.example</p>",
        "<p>info <i>@</i> firm.<i>example</i></p>",
        "<p>info@<br>firm.example</p>",
        "<p>info<img alt='@'>firm.example</p>",
        "<p>info<img alt='(at)' src=a.gif>firm.example</p>",
        "<p>info<img src='/img/at.gif'>firm.example</p>",
        "<p>info<img src='email_at.png'>firm.example</p>",
        "<p>info<img src='at_small.gif'>firm.example</p>",
        "<img alt='info@firm.example'>",
        "<img alt='Mail address: info at firm.example'>",
        '<iframe srcdoc="<a href=mailto:info@firm.example>x</a>"></iframe>',
        "<textarea readonly>Imprint\ninfo@firm.example</textarea>",
        '<a href="mailto:&amp;#105;nfo&amp;#64;firm.example">x</a>',
        "<script>function m(a,b){x(a+'@'+b)}</script><script>m('info','firm.example')</script>",
        "<p style='unicode-bidi:bidi-override;direction:rtl'>elpmaxe.mrif@ofni</p>",
        "<meta property='og:email' content='info@firm.example'>",
        "<meta name=description content='Bread. Write to info@firm.example'>",
        "<meta itemprop=email content='info@firm.example'>",
        "<link rev=made href='mailto:info@firm.example'>",
        "<noframes><body>info@firm.example</body></noframes>",
        '<script type="application/ld+json">{"a": 1, "email": "info@firm.example",};</script>',
        '<script type="application/ld+json"><![CDATA[{"email":"info@firm.example"}]]></script>',
        '<script type="application/ld+json">{"a":"b\nc","email":"info@firm.example"}</script>',
        '<script type="application/ld+json">/* x */ {"email":"info\\u0040firm.example"}</script>',
        "<script>document.write('<a href=\"mailto:info@firm.example\">x</a>')</script>",
        '<script type="application/ld+json">[{"x":{"email":"mailto:info@firm.example"}}]</script>',
        '<script type="application/ld+json">{"email":["info@firm.example", 3]}</script>',
        '<script type="application/ld+json">{&quot;email&quot;:&quot;info@firm.example&quot;}',
        '<script type="application/ld+json">{\u201cemail\u201d:\u201cinfo@firm.example\u201d}',
        '<script type="application/ld+json">{"emailAddress":{"@value":"info@firm.example"}}',
        '<script type="application/json">{"contact":{"email":"info@firm.example"}}</script>',
        '<a href="https://mail.google.com/mail/?view=cm&to=info%40firm.example&su=x">x</a>',
        '<a href="http://www.firm.example/mailto:info@firm.example">x</a>',
        '<a href="mailto info@firm.example">x</a>',
        '<a href="bWFpbHRvOmluZm9AZmlybS5leGFtcGxl">x</a>',
        '<a href="/form" title="info@firm.example">x</a>',
        '<i data-hidden="aW5mb0BmaXJtLmV4YW1wbGU="></i>',
        '<option value="info@firm.example">Sales</option>',
        "<meta name=author content='The Firm, info@firm.example'>",
        "<link rel=author href='mailto:info@firm.example'>",
        "<img alt='Mail: info(at)firm.example'>",
        "<p>info<i class='fa fa-at'></i>firm.example</p>",
        "<p>info★firm.example</p><p>★を＠に</p>",  # noqa: RUF001 - as written
        "<div class=modal style='display:none'>info@firm.example</div>",
    ],
)
def test_a_published_address_is_read(markup: str) -> None:
    assert found(markup) == ["info@firm.example"]


@pytest.mark.parametrize(
    "markup",
    [
        "<!-- info@firm.example -->",
        "<script>var a = 'info@firm.example'</script>",
        "<style>/* info@firm.example */</style>",
        "<p hidden>info@firm.example</p>",
        "<div style='display:none'><p>info@firm.example</div>",
        "<div style='visibility: hidden'><a href='mailto:info@firm.example'>x</a></div>",
        "<template>info@firm.example</template>",
        "<textarea>info@firm.example</textarea>",
        "<title>info@firm.example</title>",
        "<input value='info@firm.example' placeholder='you@firm.example'>",
        "<img src='logo@2x.png' alt='logo@2x.png'>",
        "<p>logo@2x.png and app@1.2.js</p>",
        "<p>Lunch @ noon, lobster @ market.example</p>",
        "<p>look at this dot com</p>",
        "<p>we are @firm and @firm@social.example</p>",
        "<p>https://key@errors.example/12 and ftp://me:pw@files.example</p>",
        "<p>info@</p><p>firm.example</p>",
        "<p>Mail <i class='fa fa-at'></i> firm.example</p>",
        "<a href='/form' title='Lunch @ noon'>x</a>",
        "<a href='https://mail.google.com/mail/?view=cm&to='>x</a>",
        "<script type='application/json'>{'user': {'email': 'visitor@other.example'}}</script>",
        "<script>var state = {email: 'info@firm.example'}</script>",
        "<script>ga('create', 'UA-1-1', 'firm.example')</script>",
        "<script data-theme=light data-domain=firm.example></script>",
        "<div class=honeypot style='display:none'>info@firm.example</div>",
        "<p>info@localhost</p>",
        "<a href='mailto:'>x</a><a href='mailto:?subject=hi'>share</a>",
        "<a data-cfemail='zz'>x</a><a data-cfemail=''>x</a>",
        "<script type='application/ld+json'>{'email': info@firm.example}</script>",
        "<script type='application/ld+json'>" + "[" * 100_000 + "</script>",
    ],
)
def test_what_is_no_published_address_is_not_read(markup: str) -> None:
    assert found(markup) == []


@pytest.mark.parametrize(
    "markup",
    [
        "<li hidden>trap@firm.example<li>info@firm.example",
        "<p hidden>trap@firm.example<p>info@firm.example",
        "<p hidden>trap<br>trap@firm.example<div>info@firm.example</div>",
        "<table><tr hidden><td>trap@firm.example<tr><td>info@firm.example</table>",
        "<div hidden><div>trap@firm.example</div>trap@firm.example</div>info@firm.example",
        "<div hidden><span>trap@firm.example</div>info@firm.example",
        "<ul hidden><li>trap@firm.example</ul>info@firm.example",
        "<ul><li hidden><ul><li>trap@firm.example</ul><li>info@firm.example</ul>",
        "<div hidden></i>trap@firm.example</div>info@firm.example",
        "<section><p hidden>trap@firm.example</section>info@firm.example",
        "<img hidden>info@firm.example",
    ],
)
def test_what_is_hidden_ends_where_its_element_ends(markup: str) -> None:
    assert found(markup) == ["info@firm.example"]


def test_it_says_how_an_address_is_published() -> None:
    page = read_page(
        "<a href='mailto:a@firm.example'>x</a> b@firm.example"
        '<script type=\'application/ld+json\'>{"email": "c@firm.example"}</script>',
        HERE,
    )
    assert [(one.address, one.how) for one in page.mentions] == [
        ("a@firm.example", "link"),
        ("c@firm.example", "data"),
        ("b@firm.example", "text"),
    ]


def test_several_recipients_of_a_link_are_read() -> None:
    assert found('<a href="mailto:a@firm.example,%20b@firm.example;c@firm.example">x</a>') == [
        "a@firm.example",
        "b@firm.example",
        "c@firm.example",
    ]


def test_links_are_absolute_and_have_their_words() -> None:
    page = read_page(
        "<a href='/contact#top'>  Get <b>in</b>\n touch </a>"
        "<a href='team.html'>Us<a href='#x'>up</a><a href='tel:1'>call</a>"
        "<a href='https://other.example/'></a><frame src='f.html'>",
        HERE,
    )
    assert page.links == (
        Link("http://firm.example/contact", "Get in touch"),
        Link("http://firm.example/shop/team.html", "Us"),
        Link("https://other.example/", ""),
        Link("http://firm.example/shop/f.html", "", frame=True),
    )


def test_the_base_element_moves_the_links() -> None:
    page = read_page("<base href='/de/'><base href='/fr/'><a href='kontakt'>K</a>", HERE)
    assert [link.url for link in page.links] == ["http://firm.example/de/kontakt"]


def test_links_that_cannot_be_read_are_left_out() -> None:
    assert read_page("<a href='http://[x/'>a</a><a href=''>b</a><a>c</a>", HERE).links == ()


def test_hidden_links_are_traps_and_not_followed() -> None:
    assert read_page("<div style='display:none'><a href='/trap'>x</a></div>", HERE).links == ()


def test_a_page_full_of_addresses_is_read_to_a_limit() -> None:
    page = read_page(" ".join(f"a{n}@firm.example" for n in range(2000)), HERE)
    assert len(page.mentions) == 500


def test_it_says_what_stood_before_an_address_and_whether_in_the_footer() -> None:
    page = read_page(
        "<h3>Office</h3><p>Mail: <a href='mailto:a@firm.example'>write</a></p>"
        "<footer>Design by X, b@x.example</footer>",
        HERE,
    )
    assert [(one.before, one.footer) for one in page.mentions] == [
        ("Office Mail:", False),
        ("Office Mail: write Design by X,", True),
    ]


def test_it_says_who_the_page_is_and_in_what_language() -> None:
    page = read_page(
        "<html lang=nl><title>Bakker</title><meta property=og:site_name content='De Bakker'>", HERE
    )
    assert (page.title, page.language) == ("Bakker | De Bakker", "nl")


@pytest.mark.parametrize(
    "markup",
    [
        "<meta http-equiv=Refresh content='0; URL=start.html'>",
        "<meta http-equiv=refresh content='5;url=\"start.html\"'>",
        "<script>window.location.href = 'start.html';</script>",
        '<script>location.replace("start.html")</script>',
        "<body onload=\"location.assign('start.html')\">",
    ],
)
def test_a_page_that_sends_its_visitors_on_says_where(markup: str) -> None:
    assert read_page(markup, HERE).jump == "http://firm.example/shop/start.html"


def test_a_frameset_of_another_host_alone_is_where_the_site_lies() -> None:
    elsewhere = "<frame src=http://host.example/firm/>"
    assert read_page(elsewhere, HERE).jump == "http://host.example/firm/"
    assert read_page(f"{elsewhere}<frame src=menu.htm>", HERE).jump is None


def test_a_script_on_a_page_with_something_to_say_does_not_send_visitors_on() -> None:
    page = read_page("<p>word </p>" * 400 + "<script>location.href = '/x'</script>", HERE)
    assert page.jump is None


@pytest.mark.parametrize(
    "markup",
    [
        "<div onclick=\"location.href='kontakt.html'\">K</div>",
        "<select><option value='/shop/kontakt.html'>K</option></select>",
        "<script>var menu = [{href: '/shop/kontakt.html'}]</script>",
        "<script>document.write('<a href=\"kontakt.html\">K</a>')</script>",
        "<map><area href=kontakt.html alt=K></map>",
        "<a href=\"javascript:open('kontakt.html', 'x', 'width=9')\">K</a>",
        "<button data-href='/shop/kontakt.html'>K</button>",
        '<script type=application/json>{"url": "\\/shop\\/kontakt.html"}</script>',
        "<base href='http://copy.elsewhere.example/'><a href=/shop/kontakt.html>K</a>",
        "<ul class=sub-menu style='display:none'><a href=kontakt.html>K</a></ul>",
        "<form action=kontakt.html><input type=submit value=K></form>",
        "<applet code=hover.class><param name=url value=kontakt.html></applet>",
        "<a href='..\\shop\\kontakt.html'>K</a>",
    ],
)
def test_links_that_are_no_plain_links_are_found(markup: str) -> None:
    urls = [link.url for link in read_page(markup, HERE).links]
    assert "http://firm.example/shop/kontakt.html" in urls


def test_a_link_that_is_a_picture_has_the_picture_s_words() -> None:
    page = read_page(
        "<a href=k><img src=k.gif alt=Kontakt></a><a href=i title=Impressum></a>", HERE
    )
    assert [link.text for link in page.links] == ["Kontakt", "Impressum"]


def test_a_link_without_words_has_those_of_its_picture_s_file_or_of_an_icon() -> None:
    page = read_page(
        "<a href=k><img src=i/kontakt.gif></a><a href=m><i class=fa-envelope></a>", HERE
    )
    assert [link.text for link in page.links] == ["kontakt", "mail"]


def test_a_link_keeps_what_only_looks_like_an_entity() -> None:
    (link,) = read_page("<a href='/x?lang=en&region=eu'>x</a>", HERE).links
    assert link.url == "http://firm.example/x?lang=en&region=eu"


PIECES = [
    *("<i class=at>", "★を@", "#", '"at"', "<script>x+='@'+x;", "'.join('x')", "[", "a['@',"),
    *("<option value=a@b.de>", "<joomla-hidden-mail first=YQ== last=Yg==>", "&quot;email:", "a/"),
    *("<div>", "<ul><li>", "<p hidden>", "<a href=x>", "a.a@", "[at]", "a+", "http://", "a@a."),
    *(" ", "<img alt='@'>", "<br>", "a@b.de ", "<b>", "(a)", " at ", " dot ", "<script>x='@'+"),
    *(
        "<span data-user=a data-domain=b.de>",
        "\uff21\uff20",
        '"email":',
        "<a href=mailto:a@b.de>",
        "@",
    ),
    *(
        "<script type=application/ld+json>",
        "a@b.dec@d.de",
        " arroba ",
        "info @ ",
        "x.y.",
        "</script>",
    ),
    *("<style>.a{display:none}", "</style>", "f('a','b.de',", ".load('a.html", "<i class=a>", "@@"),
    *("\\'", "/* ", "<script>email:'@", "javascript:linkTo_UnCryptMailto('nbjmup;jogp')"),
    *("{user:'a',domain:'b.de'}", "[11,12,", "fromCharCode", "a@b dot de ", "NOSPAM", "=mailto:a"),
]


@settings(max_examples=10, deadline=None)
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=4).map("".join))
def test_no_page_takes_more_than_linear_time(piece: str) -> None:
    assert grows_like_its_size(
        lambda length: read_page((piece * (length // len(piece) + 1))[:length], HERE), 4_000
    )


@pytest.mark.parametrize("kind", ["text/javascript", "application/ld+json", "application/json"])
def test_one_long_word_in_a_script_takes_no_more_than_linear_time(kind: str) -> None:
    assert grows_like_its_size(
        lambda length: read_page(f"<script type={kind}>'@mail'{'a' * length}", HERE), 4_000
    )


@pytest.mark.parametrize(
    ("markup", "instead"),
    [
        ("<a href=mailto:a@firm.example>b@firm.example</a>", "b@firm.example"),
        ("<a href=mailto:a@firm.example><i></i> A@firm.example </a>", None),
        ("<a href=mailto:a@firm.example>write to us</a>", None),
        ("<a href=mailto:a@firm.example>b(at)firm.example</a>", None),
        ("<form action=https://forms.example/a@firm.example></form>", ""),
        ("<form action=mailto:a@firm.example></form>", None),
        ("<input type=hidden name=recipient value=a@firm.example>", ""),
        ("<meta name=author content=a@firm.example>", ""),
        ("<meta name=description content='Write to a@firm.example'>", None),
    ],
)
def test_what_visitors_see_in_an_address_s_place_is_kept(markup: str, instead: str | None) -> None:
    said = [one.instead for one in read_page(markup, HERE).mentions if one.address[0] == "a"]
    assert set(said) == {instead}
