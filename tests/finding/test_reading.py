from __future__ import annotations

import time

import pytest

from leads_pandas.finding.reading import Link, Mention, addresses_in, decode_cloudflare, read_page

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
        '<script type="application/ld+json">[{"x":{"email":"mailto:info@firm.example"}}]</script>',
        '<script type="application/ld+json">{"email":["info@firm.example", 3]}</script>',
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
        "<p>you@example.com, your.name@gmail.com, info@yourdomain.com, name@domain.com</p>",
        "<p>firstname.lastname@firm.example</p>",
        "<p>4f1c77b09a4f1c77b09a4f1c77b09a@errors.example</p>",
        "<p>info@</p><p>firm.example</p>",
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
    assert page.mentions == (
        Mention("a@firm.example", "link"),
        Mention("c@firm.example", "data"),
        Mention("b@firm.example", "text"),
    )


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
        Link("http://firm.example/shop/f.html", ""),
    )


def test_the_base_element_moves_the_links() -> None:
    page = read_page("<base href='/de/'><base href='/fr/'><a href='kontakt'>K</a>", HERE)
    assert [link.url for link in page.links] == ["http://firm.example/de/kontakt"]


def test_links_that_cannot_be_read_are_left_out() -> None:
    assert read_page("<a href='http://[x/'>a</a><a href=''>b</a><a>c</a>", HERE).links == ()


def test_hidden_links_are_traps_and_not_followed() -> None:
    assert read_page("<div style='display:none'><a href='/trap'>x</a></div>", HERE).links == ()


def test_cloudflare_codes_that_are_none_say_nothing() -> None:
    assert [decode_cloudflare(code) for code in ("", "0", "zz", "00ff")] == ["", "", "", ""]


def test_an_address_with_every_usual_sign_is_read_whole() -> None:
    text = "o'brien+shop_1.x-y&co@sub.firm-1.co.example"
    assert list(addresses_in(f"({text})")) == [text]


def test_a_page_full_of_addresses_is_read_to_a_limit() -> None:
    page = read_page(" ".join(f"a{n}@firm.example" for n in range(2000)), HERE)
    assert len(page.mentions) == 500


@pytest.mark.parametrize(
    "piece",
    ["<div>", "<ul><li>", "<p hidden>", "<a href=x>", "a.a@", "[at]", "a+", "http://", "a@a.", " "],
)
def test_no_page_takes_more_than_linear_time(piece: str) -> None:
    def seconds(length: int) -> float:
        page = (piece * (length // len(piece) + 1))[:length]
        began = time.process_time()
        read_page(page, HERE)
        return time.process_time() - began

    assert seconds(400_000) < 40 * seconds(40_000) + 0.2
