from __future__ import annotations

import itertools
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from leads_pandas.errors import ConfigurationError
from leads_pandas.finding import sites
from leads_pandas.finding.fetch import Fetcher
from leads_pandas.finding.options import SiteOptions
from leads_pandas.finding.sites import Looked, Round, Unread, look
from leads_pandas.finding.verify import MailDomains

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.server_harness import NameServer, Website

NO_DNS = MailDomains(["127.0.0.1:9"])


def options(**more: Any) -> SiteOptions:
    return SiteOptions(**({"allow_private": True, "timeout": 5.0} | more))


def found(looked: Looked[Any]) -> tuple[str, list[str]]:
    return looked.state, [one.email for one in looked.emails]


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries that follow soon: how long they wait is not what these tests are about."""
    monkeypatch.setattr(sites, "RETRY_SECONDS", (0.05, 0.1))
    monkeypatch.setattr("leads_pandas.finding.manners._FAILED_SECONDS", 0.02)


def test_every_lead_gets_one_answer_under_its_own_key(website: Callable[..., Website]) -> None:
    site = website({"/": "info@firm.test", "/bare": "nothing here"})
    leads = [(1, site.url), ("two", f"{site.url}/bare"), (None, None), ("blank", "  ")]
    answers = {one.key: found(one) for one in look(leads, options(), domains=NO_DNS)}
    assert answers == {
        1: ("found", ["info@firm.test"]),
        "two": ("not_found", []),
        None: ("no_website", []),
        "blank": ("no_website", []),
    }


def test_no_leads_give_no_answers() -> None:
    assert list(look([], options(), domains=NO_DNS)) == []


def test_more_leads_without_a_website_than_are_kept_waiting_all_get_an_answer() -> None:
    leads = [(n, None) for n in range(5000)]
    assert {one.key for one in look(leads, options(), domains=NO_DNS)} == set(range(5000))


def test_what_could_not_be_read_says_why(website: Callable[..., Website]) -> None:
    closed = website({"/robots.txt": "User-agent: *\nDisallow: /"})
    gone = website()
    leads = [(0, closed.url), (1, gone.url), (2, "ftp://firm.test"), (3, "http://127.0.0.1:1/")]
    unread = Unread()
    reasons = {}
    for one in look(leads[:3], options(), domains=NO_DNS):
        reasons[one.key] = (one.state, one.reason)
        unread = unread.and_also(one)
    assert reasons == {
        0: ("failed", "robots.txt asks not to read it"),
        1: ("failed", "the server answered 404"),
        2: ("failed", "the URL is neither http nor https"),
    }
    assert (unread.websites, unread.private) == (3, 0)
    (private,) = look(leads[3:], options(allow_private=False), domains=NO_DNS)
    assert (private.state, private.private) == ("failed", True)


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("trouble", [503, 429, 500, "reset", "robots"])
def test_a_failure_that_passes_is_tried_again(
    website: Callable[..., Website], trouble: int | str
) -> None:
    site = website()
    fails = "/robots.txt" if trouble == "robots" else "/"
    site.pages |= {"/robots.txt": (404, {}, ""), "/": "info@firm.test"}
    good = site.pages[fails]
    tries: list[int] = []

    def page(handler: Any) -> None:
        tries.append(1)
        if len(tries) > 2:
            handler.answer(*(good if isinstance(good, tuple) else (200, {}, good)))
        elif trouble == "reset":
            handler.connection.shutdown(socket.SHUT_RDWR)
        else:
            handler.answer(trouble if isinstance(trouble, int) else 503, {}, "later")

    site.pages[fails] = page
    (answer,) = look([(0, site.url)], options(), domains=NO_DNS)
    assert found(answer) == ("found", ["info@firm.test"])
    assert len(tries) == 3


@pytest.mark.usefixtures("soon")
def test_what_stays_in_trouble_has_failed_and_was_not_searched_in_vain() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        down = f"http://127.0.0.1:{free.getsockname()[1]}/"
    (answer,) = look([(0, down)], options(), domains=NO_DNS)
    assert (answer.state, "refused" in answer.reason) == ("failed", True)


@pytest.mark.usefixtures("soon")
def test_a_page_in_trouble_is_no_page_without_an_address(website: Callable[..., Website]) -> None:
    site = website({"/": "<a href=/contact>Contact</a>"})
    asked: list[int] = []

    def page(handler: Any) -> None:
        asked.append(1)
        handler.answer(503 if len(asked) == 1 else 200, {}, "info@firm.test")

    site.pages["/contact"] = page
    (answer,) = look([(0, site.url)], options(), domains=NO_DNS)
    assert found(answer) == ("found", ["info@firm.test"])


def test_a_server_that_says_when_is_asked_then(website: Callable[..., Website]) -> None:
    moments: list[float] = []

    def page(handler: Any) -> None:
        moments.append(time.monotonic())
        handler.answer(*((429, {"Retry-After": "2"}, "") if len(moments) == 1 else OK))

    site = website({"/": page})
    (answer,) = look([(0, site.url)], options(), domains=NO_DNS)
    assert answer.state == "found"
    assert moments[1] - moments[0] >= 2


OK: tuple[int, dict[str, str], str] = (200, {}, "info@firm.test")


def test_slow_sites_delay_nobody(website: Callable[..., Website]) -> None:
    site = website({"/": "info@firm.test"}, host="0.0.0.0")
    hanging = website(host="0.0.0.0")
    hanging.pages["/robots.txt"] = lambda _: hanging.released.wait()
    # Every address of this network is this machine; the port says which of the two it is.
    slow = [(f"slow{n}", f"http://127.0.1.{n + 1}:{hanging.port}/") for n in range(64)]
    fast = [(f"fast{n}", f"http://127.0.2.{n + 1}:{site.port}/") for n in range(200)]
    # Were a seat held by each that hangs, some of those would be given up before the last fast one.
    running = look([*slow, *fast], options(timeout=600.0, site_timeout=600.0), domains=NO_DNS)
    states = {one.state for one in itertools.islice(running, len(fast))}
    assert states == {"found"}


def test_a_host_is_asked_for_its_rules_once_and_for_one_page_at_a_time_with_pauses(
    website: Callable[..., Website],
) -> None:
    spans: list[tuple[float, float]] = []

    def page(handler: Any) -> None:
        began = time.monotonic()
        handler.answer(*OK)
        spans.append((began, time.monotonic()))

    site = website({f"/{n}": page for n in range(8)})
    other = website({"/": "info@other.test"})
    leads = [(f"/{n}", f"{site.url}/{n}") for n in range(8)] + [("other", other.url)]
    order = [one.key for one in look(leads, options(), domains=NO_DNS)]
    assert site.seen.count("/robots.txt") == 1
    pauses = [later[0] - earlier[1] for earlier, later in itertools.pairwise(spans)]
    assert min(pauses) > 0.15
    assert order.index("other") < len(order) - 1


def test_the_callers_own_origins_are_read_many_at_once_and_without_pauses(
    website: Callable[..., Website], monkeypatch: pytest.MonkeyPatch
) -> None:
    together = threading.Barrier(8)
    pauses: list[float] = []
    monkeypatch.setattr(Fetcher, "pause", lambda _, seconds: pauses.append(seconds))

    def page(handler: Any) -> None:
        together.wait(500)  # breaks where the others are not asked for meanwhile
        handler.answer(200, {}, f"info@firm.test <a href={handler.path}/contact>contact</a>")

    site = website({"/robots.txt": "User-agent: *\nCrawl-delay: 5\nDisallow: /0/contact"})
    site.pages |= {f"/{n}": page for n in range(8)}
    site.pages |= {f"/{n}/contact": "boss@firm.test" for n in range(8)}
    leads = [(n, f"{site.url}/{n}") for n in range(8)]
    own = options(only_origins=[site.url], allow_private=False, timeout=60.0, site_timeout=60.0)
    looked = {one.key: found(one) for one in look(leads, own, domains=NO_DNS)}
    assert {state for state, _ in looked.values()} == {"found"}
    assert pauses == []
    assert site.seen.count("/robots.txt") == 1
    assert sorted(path for path in site.seen if path.endswith("/contact")) == [
        f"/{n}/contact" for n in range(1, 8)
    ]


def test_closing_ends_what_is_under_way(website: Callable[..., Website]) -> None:
    site = website({"/": "info@firm.test"})
    site.pages["/slow"] = lambda _: site.released.wait()
    leads = [(0, site.url), (1, f"http://localhost:{site.port}/slow")]
    running = look(leads, options(timeout=600.0, site_timeout=600.0), domains=NO_DNS)
    assert next(running).key == 0
    running.close()  # type: ignore[attr-defined] # it is a generator
    assert not [one for one in threading.enumerate() if one.name == "leads-pandas-reader"]


def test_a_source_that_fails_ends_the_round_with_its_error() -> None:
    def leads() -> Iterator[tuple[int, None]]:
        yield (0, None)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(look(leads(), options(), domains=NO_DNS))


def test_a_source_that_has_nothing_now_is_asked_again_when_it_says_so(
    website: Callable[..., Website],
) -> None:
    site = website({"/": "info@firm.test"})
    given: list[tuple[int, str]] = []
    running: Round[int] = Round(lambda: given.pop() if given else None, options(), NO_DNS)
    results: list[int] = []
    arrived = threading.Semaphore(0)

    def consume() -> None:
        for batch in running.batches():
            results.extend(one.key for one in batch)
            arrived.release()

    thread = threading.Thread(target=consume)
    thread.start()
    for n in range(3):
        given.append((n, site.url))
        running.wake()
        assert arrived.acquire(timeout=500)
    assert running.close(10)
    thread.join()
    assert results == [0, 1, 2]


def test_the_nameservers_given_find_the_websites_too(
    website: Callable[..., Website], nameserver: NameServer
) -> None:
    site = website({"/": "info@firm.com"})
    nameserver.answers["firm.com", "A"] = ["127.0.0.1"]
    nameserver.answers["firm.com", "MX"] = ["10 mail.firm.com."]
    lead = (0, f"http://firm.com:{site.port}/")
    (answer,) = look([lead], options(nameservers=[nameserver.address]))
    assert found(answer) == ("found", ["info@firm.com"])
    assert {("firm.com", "A"), ("firm.com", "MX")} <= set(nameserver.asked)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_pages": 0},
        {"concurrency": True},
        {"timeout": 0},
        {"site_timeout": float("nan")},
        {"user_agent": "two\nlines"},
        {"nameservers": ["dns.test"]},
    ],
)
def test_options_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        SiteOptions(**wrong)
