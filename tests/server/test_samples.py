from __future__ import annotations

import html
import http.client
import json
import re
import shutil
import socket
import struct
import threading
import time
from collections import Counter
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit

import pytest

from leads_pandas.server.samples import SampleSites, leads

if TYPE_CHECKING:
    from collections.abc import Iterator

TRUTH = json.loads((Path(__file__).parent / "sample_truth.json").read_text(encoding="utf-8"))
SITES = Path(str(resources.files("leads_pandas.server.samples").joinpath("sites")))
ADDRESS = re.compile(r"(?<![\w@])[\w.+-]+@[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]+", re.IGNORECASE)


@pytest.fixture(scope="module")
def sites() -> Iterator[SampleSites]:
    with SampleSites() as running:
        yield running


def ask(sites: SampleSites, path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    """One request, exactly as written: nothing is normalised, no redirect is followed."""
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(sites.origin).port, timeout=500)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def slug(lead: dict[str, str]) -> str:
    return lead["website"].rstrip("/").rpartition("/")[2]


def pages(of: str) -> dict[str, str]:
    """The HTML pages of one business."""
    folder = SITES / of
    return {
        file.relative_to(folder).as_posix(): file.read_text(encoding="utf-8")
        for file in sorted(folder.rglob("*.html"))
    }


def read_as_a_person(page: str) -> str:
    """The page with its links and its spelled-out signs as a person reads them, comments gone."""
    unseen = r"<!--.*?-->|<(script|style)\b.*?</\1>|<input[^>]*>|<p style=\"display:none\">.*?</p>"
    text = unquote(html.unescape(re.sub(unseen, "", page, flags=re.DOTALL)))
    text = re.sub(r"\s*[\[(]at[\])]\s*", "@", text)
    return re.sub(r"\s*[\[(]dot[\])]\s*", ".", text)


def test_forty_eight_leads_each_have_an_id_a_website_and_a_search_of_their_own() -> None:
    rows = leads("http://127.0.0.1:1")
    assert len(rows) == 48
    assert [row["lead_id"] for row in rows] == [f"cm9lead{n:03d}" for n in range(1, 49)]
    assert len({row["website"] for row in rows}) == 48
    assert all(row["website"].startswith("http://127.0.0.1:1/") for row in rows)
    assert all(row["name"] and row["category"] and row["city"] for row in rows)
    assert Counter(row["query_id"] for row in rows) == {f"cm9search10{n}": 12 for n in range(1, 5)}


def test_every_lead_has_its_truth_and_some_show_no_address() -> None:
    assert set(TRUTH) == {slug(row) for row in leads()}
    assert sum(not one["emails"] for one in TRUTH.values()) == 11


def test_every_website_but_the_missing_one_has_a_folder() -> None:
    folders = {one.name for one in SITES.iterdir() if one.is_dir()}
    assert set(TRUTH) - folders == {"fathom-surveyors"}
    assert folders <= set(TRUTH)


@pytest.mark.parametrize("of", sorted(TRUTH))
def test_a_website_shows_exactly_its_true_addresses(of: str) -> None:
    shown: set[str] = set()
    for name, page in pages(of).items():
        if not name.startswith(("office/", "patients/")):
            shown |= {one.lower() for one in ADDRESS.findall(read_as_a_person(page))}
    assert shown - {"logo@2x.png"} == set(TRUTH[of]["emails"])


def test_every_domain_is_a_reserved_name() -> None:
    for file in SITES.rglob("*.html"):
        text = html.unescape(file.read_text(encoding="utf-8"))
        for address in ADDRESS.findall(text):
            assert address.lower().endswith(".example") or address == "logo@2x.png", file
        for host in re.findall(r"https?://(?:[^/\s\"<@]*@)?([\w.-]+)", text):
            assert host.endswith(".example") or host in {"www.w3.org", "schema.org"}, file


def test_no_two_businesses_share_a_sentence() -> None:
    seen: dict[str, str] = {}
    for of in TRUTH:
        for page in pages(of).values():
            body = re.sub(r"<(style|script)\b.*?</\1>", "", page, flags=re.DOTALL)
            for line in re.split(r"<[^>]+>|[.?!]\s", body):
                sentence = " ".join(line.split())
                if len(sentence) > 30:
                    assert seen.setdefault(sentence, of) == of, sentence


def test_the_front_pages_are_built_in_many_ways() -> None:
    def skeleton(page: str) -> tuple[str, ...]:
        body = re.sub(r"<(style|script)\b.*?</\1>", "", page, flags=re.DOTALL)
        return tuple(re.findall(r"<([a-zA-Z!?]\w*)", body)[:14])

    front = [pages(of).get("index.html", "") for of in TRUTH]
    assert len({skeleton(page) for page in front if page}) >= 15


def test_the_bundle_is_small() -> None:
    root = SITES.parent
    assert sum(file.stat().st_size for file in root.rglob("*") if file.is_file()) < 250_000


def test_a_front_page_is_served_as_html(sites: SampleSites) -> None:
    status, headers, body = ask(sites, "/seagrass-lane-bakery/")
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert b"Warm at seven" in body
    assert int(headers["Content-Length"]) == len(body)


def test_a_head_request_gets_no_body(sites: SampleSites) -> None:
    status, headers, body = ask(sites, "/seagrass-lane-bakery/", "HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) > 0


def test_a_picture_is_served_as_a_picture(sites: SampleSites) -> None:
    status, headers, body = ask(sites, "/slate-and-sill/img/logo@2x.png")
    assert (status, headers["Content-Type"]) == (200, "image/png")
    assert body.startswith(b"\x89PNG")


def test_one_business_redirects_to_home(sites: SampleSites) -> None:
    status, headers, _ = ask(sites, "/keystone-lane-masonry/")
    assert (status, headers["Location"]) == (302, "/keystone-lane-masonry/home")
    assert ask(sites, "/keystone-lane-masonry/home")[0] == 200


def test_a_folder_without_its_slash_redirects_to_it(sites: SampleSites) -> None:
    status, headers, _ = ask(sites, "/rivet-cycles")
    assert (status, headers["Location"]) == (301, "/rivet-cycles/")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/fathom-surveyors/",
        "/rivet-cycles/nothing.html",
        "/../leads.csv",
        "/%2e%2e/leads.csv",
        "/rivet-cycles/..%2f..%2fleads.csv",
        "//etc/passwd",
    ],
)
def test_what_is_no_page_is_not_found(sites: SampleSites, path: str) -> None:
    assert ask(sites, path)[0] == 404


def test_robots_txt_closes_the_page_that_alone_shows_an_address(sites: SampleSites) -> None:
    status, headers, body = ask(sites, "/robots.txt")
    assert (status, headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
    assert b"Disallow: /greasewood-garage/office/" in body


def test_every_link_leads_to_a_page_of_the_same_business(sites: SampleSites) -> None:
    for of in TRUTH:
        for name, page in pages(of).items():
            for link in re.findall(r"(?:href|src)=\"?([^\"\s>]+)", page, re.IGNORECASE):
                path = urljoin(f"/{of}/{name}", html.unescape(link))
                if not path.lower().startswith("mailto:"):
                    assert path.startswith(f"/{of}/"), link
                    assert ask(sites, path.partition("#")[0])[0] == 200, (of, link)


def test_the_paths_asked_for_are_kept_in_order() -> None:
    with SampleSites() as own:
        ask(own, "/robots.txt")
        ask(own, "/rivet-cycles/?from=ad")
    assert own.requested == ["/robots.txt", "/rivet-cycles/"]


def test_closing_leaves_no_thread_and_no_listener() -> None:
    before = set(threading.enumerate())
    with SampleSites() as own:
        ask(own, "/rivet-cycles/")
    assert set(threading.enumerate()) <= before
    with pytest.raises(ConnectionRefusedError):
        ask(own, "/rivet-cycles/")


def test_nothing_is_said_of_a_reader_who_leaves(capfd: pytest.CaptureFixture[str]) -> None:
    with SampleSites(delay=0.5) as own:
        address = ("127.0.0.1", urlsplit(own.origin).port or 0)
        with socket.create_connection(address) as reader:
            # Left with a reset, which the answer then meets.
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            reader.sendall(b"GET /rivet-cycles/ HTTP/1.1\r\n\r\n")
            while not own.requested:
                time.sleep(0.01)
    assert capfd.readouterr().err == ""


def find(sites: SampleSites, rows: list[dict[str, str]]) -> dict[str, set[str]]:
    """What the local service finds on these leads' websites, by business."""
    from leads_pandas.server import LocalServer

    with (
        LocalServer(rows, requests_per_minute=0, only_origins=[sites.origin]) as server,
        server.client() as client,
    ):
        job = client.start([row["lead_id"] for row in rows])
        while not (status := client.status(job.job_id)).finished:
            time.sleep(0.02)
        assert status.status == "COMPLETED"
        return {
            slug(row): {one.email.lower() for one in client.lead(row["lead_id"]).emails}
            for row in rows
        }


def test_the_service_finds_exactly_what_the_websites_show() -> None:
    with SampleSites() as own:
        found = find(own, leads(own.origin))
    assert found == {of: set(one["emails"]) for of, one in TRUTH.items()}
    closed = [path for path in own.requested if path.startswith("/greasewood-garage/office")]
    assert closed == []


def test_an_address_changed_on_a_website_is_the_one_that_is_found(tmp_path: Path) -> None:
    shutil.copytree(SITES / "fiddlers-fork", tmp_path / "fiddlers-fork")
    page = tmp_path / "fiddlers-fork" / "index.html"
    page.write_text(page.read_text().replace("bookings [at]", "snug-42 [at]"))
    with SampleSites(folder=tmp_path) as own:
        lead = [row for row in leads(own.origin) if slug(row) == "fiddlers-fork"]
        assert find(own, lead) == {"fiddlers-fork": {"snug-42@fiddlersfork.example"}}
