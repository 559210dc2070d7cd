from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from leads_pandas.finding.fetch import Fetcher
from leads_pandas.finding.finder import Finder
from leads_pandas.finding.guard import Stopped
from leads_pandas.finding.manners import front_pages
from leads_pandas.finding.verify import MailDomains

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.server_harness import NameServer, Website

HTML = {"Content-Type": "text/html; charset=utf-8"}


@pytest.fixture
def find(nameserver: NameServer) -> Callable[..., list[str]]:
    """Reads a website of any name on loopback; gives the addresses found."""

    def run(website: str, *, agent: str = "tester/1 (test)", **options: Any) -> list[str]:
        fetcher = Fetcher(
            user_agent=agent,
            timeout=options.pop("timeout", 5.0),
            allow_private=True,
            resolve=lambda _, __: ["127.0.0.1"],
        )
        finder = Finder(fetcher, MailDomains([nameserver.address]), pause=0.0, **options)
        return [one.email for one in finder.find(website)]

    return run


# What is read


def test_the_front_page_and_the_contact_page_are_read(
    website: Callable[..., Website], find: Callable[..., list[str]]
) -> None:
    site = website(
        {
            "/": "a@firm.example <a href=/reach-us.html>Contact</a>",
            "/reach-us.html": "<a href=mailto:b@firm.example>b</a>",
        }
    )
    assert sorted(find(f"{site.url}/")) == ["a@firm.example", "b@firm.example"]
    assert site.seen == ["/robots.txt", "/", "/reach-us.html"]


def test_the_address_returned_is_the_one_on_the_page_today(
    website: Callable[..., Website], find: Callable[..., list[str]]
) -> None:
    site = website({"/": "old@firm.example"})
    assert find(site.url) == ["old@firm.example"]
    site.pages["/"] = "new@firm.example"
    assert find(site.url) == ["new@firm.example"]


def test_a_site_without_an_address_has_none(
    website: Callable[..., Website], find: Callable[..., list[str]]
) -> None:
    site = website({"/": "<p>Call 01632 960 114</p>"})
    assert find(site.url) == []


@pytest.mark.parametrize(
    "front",
    [
        (404, {}, "info@firm.example"),
        (500, {}, "info@firm.example"),
        (200, {"Content-Type": "application/pdf"}, "info@firm.example"),
        (200, {"Content-Type": "image/png"}, "info@firm.example"),
        (204, {}, ""),
    ],
)
def test_what_is_no_page_is_not_read(
    website: Callable[..., Website], find: Callable[..., list[str]], front: Any
) -> None:
    assert find(website({"/": front}).url) == []


@pytest.mark.parametrize("site", [None, "", "  ", "ftp://x.example", "http://", "no site", "::"])
def test_a_lead_without_a_usable_website_has_no_address(
    find: Callable[..., list[str]], site: str | None
) -> None:
    assert find(site) == []


def test_a_website_without_a_scheme_is_tried_by_https_and_then_by_http(
    website: Callable[..., Website], find: Callable[..., list[str]]
) -> None:
    site = website({"/": "info@firm.example"})
    assert find(f"firm.example:{site.port}") == ["info@firm.example"]
    assert front_pages(" firm.example/x ") == ["https://firm.example/x", "http://firm.example/x"]
    assert front_pages("HTTP://firm.example") == ["HTTP://firm.example"]


def test_the_encoding_of_the_page_is_minded(
    website: Callable[..., Website], find: Callable[..., list[str]]
) -> None:
    page = "<p>info@köln.example</p>".encode("latin-1")
    site = website({"/": (200, {"Content-Type": "text/html; charset=iso-8859-1"}, page)})
    assert find(site.url) == ["info@köln.example"]


def test_a_redirected_front_page_is_read_where_it_went(
    website: Callable[..., Website], find: Callable[..., list[str]]
) -> None:
    site = website(
        {
            "/": (301, {"Location": "/de/start"}, ""),
            "/de/start": "<a href=kontakt>Kontakt</a>",
            "/de/kontakt": "info@firm.example",
        }
    )
    assert find(site.url) == ["info@firm.example"]


def test_a_page_that_leads_to_another_site_is_not_this_lead_s(
    website: Callable[..., Website], find: Callable[..., list[str]]
) -> None:
    other = website({"/": "help@platform.example"})
    site = website(
        {
            "/": "<a href=/contact>Contact</a>",
            "/contact": (302, {"Location": f"http://platform.example:{other.port}/"}, ""),
        }
    )
    assert find(f"http://firm.example:{site.port}/") == []


def test_a_dead_link_does_not_stop_the_reading(
    website: Callable[..., Website], find: Callable[..., list[str]]
) -> None:
    site = website(
        {
            "/": "<a href=/contact-old>Contact</a><a href=/contact>Contact</a>",
            "/contact": "info@firm.example",
        }
    )
    assert find(site.url) == ["info@firm.example"]


def test_no_more_pages_are_read_than_allowed_and_none_twice(
    website: Callable[..., Website], find: Callable[..., list[str]]
) -> None:
    links = "".join(f"<a href=/p{n}>{n}</a><a href=/p{n}#x>{n}</a>" for n in range(50))
    site = website({"/": f"<a href=/>home</a><a href=/index.html>home</a>{links}"})
    site.pages |= {f"/p{n}": f"a{n}@firm.example" for n in range(50)}
    assert find(site.url, max_pages=4) == ["a0@firm.example", "a1@firm.example", "a2@firm.example"]
    assert site.seen == ["/robots.txt", "/", "/p0", "/p1", "/p2"]


@pytest.mark.parametrize(
    "front",
    [
        "<frameset><frame src=menu.htm><frame src=start.htm></frameset>",
        "<meta http-equiv=refresh content='0;url=menu.htm'>",
        "<script>window.location='menu.htm'</script>",
        "<a href=/de/>Deutsch</a><a href=/en/>English</a>",
        "<a href=/datenschutz>Datenschutz</a>",
        "<a href=/impressum>Impressum</a>",
        "<div id=app></div><script>routes = ['/kontakt']</script>",
    ],
)
def test_a_contact_page_that_the_front_page_does_not_link_to_is_found(
    website: Callable[..., Website], find: Callable[..., list[str]], front: str
) -> None:
    site = website({"/": front, "/kontakt": "info@firm.example"})
    link = "<a href=/kontakt>Kontakt</a>"
    for page in ("/menu.htm", "/de/", "/en/", "/datenschutz", "/impressum"):
        site.pages[page] = link
    assert find(site.url) == ["info@firm.example"]


def test_a_menu_made_by_scripts_leaves_the_sitemap(
    website: Callable[..., Website], find: Callable[..., list[str]]
) -> None:
    site = website({"/": "<div id=app></div>", "/wir/erreichbar/kontakt.html": "info@firm.example"})
    site.pages["/sitemap.xml"] = (
        f"<urlset><url><loc>{site.url}/wir/erreichbar/kontakt.html</loc></url></urlset>"
    )
    assert find(site.url) == ["info@firm.example"]


def test_a_list_of_sitemaps_leads_to_the_one_of_pages(
    website: Callable[..., Website], find: Callable[..., list[str]]
) -> None:
    site = website({"/": "<div id=app></div>", "/so-finden-sie-uns": "info@firm.example"})
    site.pages["/sitemap.xml"] = "".join(
        f"<sitemap><loc>{site.url}/{name}-sitemap.xml</loc></sitemap>" for name in ("post", "page")
    )
    site.pages["/page-sitemap.xml"] = f"<url><loc>{site.url}/so-finden-sie-uns</loc></url>"
    assert find(site.url) == ["info@firm.example"]
    assert "/post-sitemap.xml" not in site.seen


def test_a_menu_made_by_scripts_leaves_a_few_usual_paths_each_asked_for_once(
    website: Callable[..., Website], find: Callable[..., list[str]]
) -> None:
    site = website({"/": "<html lang=de><div id=app></div>", "/kontakt": "info@firm.example"})
    assert find(site.url) == ["info@firm.example"]
    assert site.seen == ["/robots.txt", "/", "/sitemap.xml", "/impressum", "/kontakt"]


def test_a_site_that_answers_every_path_with_its_front_page_is_not_asked_for_more(
    website: Callable[..., Website], find: Callable[..., list[str]]
) -> None:
    front = "<html lang=de><div id=app></div>"
    site = website({"/": front, "/impressum": front, "/kontakt": front})
    assert find(site.url) == []
    assert site.seen == ["/robots.txt", "/", "/sitemap.xml", "/impressum"]


def test_nothing_is_tried_where_an_address_is_found(
    website: Callable[..., Website], find: Callable[..., list[str]]
) -> None:
    site = website({"/": "info@firm.example"})
    assert find(site.url) == ["info@firm.example"]
    assert site.seen == ["/robots.txt", "/"]


def test_a_footer_behind_hundreds_of_links_is_reached(
    website: Callable[..., Website], find: Callable[..., list[str]]
) -> None:
    links = "".join(f"<a href=/p/{n}>Product {n}</a>" for n in range(900))
    site = website({"/": f"{links}<a href=/k>Kontakt</a>", "/k": "info@firm.example"})
    assert find(site.url, max_pages=2) == ["info@firm.example"]


def test_pages_that_only_sound_alike_do_not_use_up_the_pages(
    website: Callable[..., Website], find: Callable[..., list[str]]
) -> None:
    lenses = "".join(f"<a href=/kontaktlinsen-{n}>Kontaktlinsen {n}</a>" for n in range(9))
    notes = "".join(f"<a href=/news/legal-{n}>Legal {n}</a>" for n in range(9))
    site = website({"/": f"{lenses}{notes}<a href=/x>Impressum</a>", "/x": "info@firm.example"})
    site.pages |= {f"/kontaktlinsen-{n}": "x" for n in range(9)}
    assert find(site.url, max_pages=2) == ["info@firm.example"]


def test_contact_pages_in_another_language_do_not_use_up_the_pages(
    website: Callable[..., Website], find: Callable[..., list[str]]
) -> None:
    names = ("kontakt", "anfahrt", "impressum", "agb")
    front = "".join(f"<a href=/{name}>{name}</a>" for name in (*names, "datenschutz"))
    twins = "".join(
        f"<a href=/en/{name}>{name}</a>" for name in ("contact", "directions", "imprint")
    )
    site = website({"/": front, **{f"/{name}": front + twins for name in names}})
    site.pages |= {"/datenschutz": "info@firm.example"}
    assert find(site.url) == ["info@firm.example"]


# Manners


def test_pages_that_robots_txt_closes_are_not_asked_for(
    website: Callable[..., Website], find: Callable[..., list[str]]
) -> None:
    site = website(
        {
            "/robots.txt": "User-agent: *\nDisallow: /contact\nAllow: /contact/us$\n",
            "/": "<a href=/contact/>Contact</a><a href=/contact/us>Contact us</a>",
            "/contact/": "private@firm.example",
            "/contact/us": "info@firm.example",
        }
    )
    assert find(site.url) == ["info@firm.example"]
    assert "/contact/" not in site.seen


def test_a_redirect_to_a_closed_page_is_not_followed(
    website: Callable[..., Website], find: Callable[..., list[str]]
) -> None:
    site = website(
        {
            "/robots.txt": "User-agent: *\nDisallow: /private\n",
            "/": (302, {"Location": "/private"}, ""),
            "/private": "info@firm.example",
        }
    )
    assert find(site.url) == []
    assert "/private" not in site.seen


def test_rules_for_our_own_name_count(
    website: Callable[..., Website], find: Callable[..., list[str]]
) -> None:
    site = website(
        {
            "/robots.txt": "User-agent: leads_pandas\nDisallow: /\n\nUser-agent: *\nAllow: /\n",
            "/": "info@firm.example",
        }
    )
    assert find(site.url, agent="leads_pandas/0.1 (x)") == []
    assert find(site.url, agent="other/1") == ["info@firm.example"]


@pytest.mark.parametrize(("status", "found"), [(404, 1), (403, 1), (410, 1), (500, 0), (503, 0)])
def test_a_missing_robots_txt_allows_all_and_a_failing_one_nothing(
    website: Callable[..., Website], find: Callable[..., list[str]], status: int, found: int
) -> None:
    site = website({"/robots.txt": (status, {}, "x"), "/": "info@firm.example"})
    assert len(find(site.url)) == found


def test_a_robots_txt_that_cannot_be_read_allows_nothing_and_is_asked_for_once(
    website: Callable[..., Website], find: Callable[..., list[str]]
) -> None:
    site = website({"/robots.txt": (302, {"Location": "/robots.txt"}, "")})
    assert find(site.url) == []
    assert set(site.seen) == {"/robots.txt"}


def test_the_robots_txt_of_the_site_redirected_to_counts(
    website: Callable[..., Website], find: Callable[..., list[str]]
) -> None:
    there = website({"/robots.txt": "User-agent: *\nDisallow: /", "/": "info@firm.example"})
    here = website({"/": (302, {"Location": f"{there.url}/"}, "")})
    assert find(here.url) == []
    assert there.seen == ["/robots.txt"]


def test_the_pace_that_robots_txt_asks_for_is_kept(
    website: Callable[..., Website], find: Callable[..., list[str]]
) -> None:
    pages = {"/": "<a href=/contact>Contact</a>", "/contact": "info@firm.example"}
    site = website(pages | {"/robots.txt": "User-agent: *\nCrawl-delay: 0.3\n"})
    began = time.monotonic()
    assert find(site.url) == ["info@firm.example"]
    assert time.monotonic() - began >= 0.3


def test_a_pace_too_slow_for_the_time_leaves_the_front_page_only(
    website: Callable[..., Website], find: Callable[..., list[str]]
) -> None:
    pages = {"/": "a@firm.example <a href=/contact>Contact</a>", "/contact": "b@firm.example"}
    site = website(pages | {"/robots.txt": "User-agent: *\nCrawl-delay: 60\n"})
    assert find(site.url, site_timeout=5.0) == ["a@firm.example"]
    assert "/contact" not in site.seen


# Bounds


def test_a_site_that_hangs_is_given_up_and_what_was_read_is_kept(
    website: Callable[..., Website], find: Callable[..., list[str]]
) -> None:
    site = website({"/": "a@firm.example" + "".join(f"<a href=/p{n}>x</a>" for n in range(7))})
    site.pages |= {f"/p{n}": lambda _: site.released.wait() for n in range(7)}
    assert find(site.url, timeout=1.5, site_timeout=4.0) == ["a@firm.example"]


def test_closing_the_fetcher_ends_the_reading(nameserver: NameServer) -> None:
    fetcher = Fetcher(user_agent="tester", allow_private=True)
    fetcher.close()
    with pytest.raises(Stopped):
        Finder(fetcher, MailDomains([nameserver.address])).find("http://127.0.0.1/")


# What comes back


def test_found_addresses_are_verified_by_the_dns(
    website: Callable[..., Website], nameserver: NameServer
) -> None:
    nameserver.answers["good.com", "MX"] = ["10 mail.good.com."]
    nameserver.answers["null.com", "MX"] = ["0 ."]
    site = website({"/": "a@gone.com b@null.com c@good.com d@shop.example"})
    finder = Finder(
        Fetcher(user_agent="tester", allow_private=True), MailDomains([nameserver.address])
    )
    found = finder.find(site.url)
    assert [one.email for one in found] == [
        "c@good.com",
        "d@shop.example",
        "a@gone.com",
        "b@null.com",
    ]
    assert [one.confidence for one in found[2:]] == [0.05, 0.05]
    assert found[0].confidence is not None
    assert found[1].confidence is not None
    assert found[0].confidence > found[1].confidence > 0.05


def test_an_address_says_where_it_stood(
    website: Callable[..., Website], nameserver: NameServer
) -> None:
    pages = {
        "/": "<a href=/k>Kontakt</a><a href=/i>Impressum</a><a href=/u>About us</a>a@firm.example"
        "<script type=application/ld+json>{'email': 'd@firm.example'}</script>",
        "/k": "b@firm.example",
        "/i": "c@firm.example",
        "/u": "e@firm.example",
    }
    finder = Finder(
        Fetcher(user_agent="tester", allow_private=True), MailDomains([nameserver.address])
    )
    found = finder.find(website(pages).url)
    assert {one.email[0]: one.source for one in found} == {
        "a": "front_page",
        "b": "contact_page",
        "c": "imprint",
        "d": "structured_data",
        "e": "about_page",
    }


def test_what_was_weighed_and_what_was_left_out_is_told_on_request(
    website: Callable[..., Website], nameserver: NameServer
) -> None:
    site = website({"/": "info@firm.example you@example.com"})
    finder = Finder(
        Fetcher(user_agent="tester", allow_private=True), MailDomains([nameserver.address])
    )
    kept, left = finder.explain(site.url, time.monotonic() + 10)
    assert (kept.address, kept.refused) == ("info@firm.example", None)
    assert dict(kept.evidence)["place: front_page"] > 0
    assert (left.address, left.confidence) == ("you@example.com", 0.0)
    assert "placeholder" in (left.refused or "")
