from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

import leads_pandas as lp
import leads_pandas.server
from leads_pandas.errors import ConfigurationError, LeadIdError, LeadsError, StoreError
from leads_pandas.server import LocalServer
from leads_pandas.server.samples import SampleSites
from leads_pandas.server.samples import leads as sample_leads
from tests.support.commands import process
from tests.support.server_harness import Api, data

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.server_harness import Website

    Service = Callable[..., tuple[LocalServer, Api]]

TRUTH = json.loads((Path(__file__).parent / "sample_truth.json").read_text(encoding="utf-8"))


def leads(site: str, count: int) -> list[dict[str, str]]:
    return [{"lead_id": f"l{n}", "website": f"{site}/{n}/"} for n in range(count)]


def ids(count: int) -> list[str]:
    return [f"l{n}" for n in range(count)]


def ours() -> set[str]:
    """The names of this package's running threads."""
    return {one.name for one in threading.enumerate() if one.name.startswith("leads-pandas")}


# Finding


def test_the_sample_sites_give_exactly_the_addresses_that_a_person_finds(
    service: Service,
) -> None:
    with SampleSites() as sites:
        rows = sample_leads(sites.origin)
        _, api = service(rows, allow_private=False, only_origins=[sites.origin])
        api.enrich([row["lead_id"] for row in rows])
        found = {
            row["website"].rstrip("/").rpartition("/")[2]: sorted(api.emails(row["lead_id"]))
            for row in rows
        }
    assert found == {name: truth["emails"] for name, truth in TRUTH.items()}


def test_websites_on_this_machine_are_refused_unless_allowed(
    service: Service, website: Callable[..., Website]
) -> None:
    site = website({"/0/": "info@firm.example"})
    _, api = service(leads(site.url, 1), allow_private=False)
    api.enrich(["l0"])
    assert api.emails("l0") == []
    _, api = service(leads(site.url, 1), allow_private=True)
    api.enrich(["l0"])
    assert api.emails("l0") == ["info@firm.example"]


def test_nothing_but_the_only_origins_is_read(
    service: Service, website: Callable[..., Website]
) -> None:
    site, other = website({"/0/": "info@firm.example"}), website({"/": "x@other.example"})
    rows = [*leads(site.url, 1), {"lead_id": "other", "website": other.url}]
    _, api = service(rows, allow_private=True, only_origins=[site.url])
    api.enrich(["l0", "other"])
    assert (api.emails("l0"), api.emails("other")) == (["info@firm.example"], [])
    assert other.seen == []


def test_the_options_of_the_reading_are_minded(
    service: Service, website: Callable[..., Website]
) -> None:
    site = website(
        {"/0/": "<a href=a>a</a><a href=b>b</a>", "/0/a": "a@x.test", "/0/b": "b@x.test"}
    )
    _, api = service(leads(site.url, 1), max_pages=2, user_agent="our own name/1")
    api.enrich(["l0"])
    assert api.emails("l0") == ["a@x.test"]
    assert {headers["user-agent"] for headers in site.headers} == {"our own name/1"}


def test_leads_can_be_enriched_beforehand_for_nothing(
    service: Service, website: Callable[..., Website]
) -> None:
    site = website({"/0/": "info@firm.example"})
    server, api = service(leads(site.url, 2))
    assert server.pre_enrich(["l0"]) == 1
    assert api.preview(["l0", "l1"])["alreadyEnriched"] == 1
    assert api.available() == 100_000
    site.pages["/1/"] = lambda _: site.released.wait()
    with pytest.raises(TimeoutError, match="1 leads were not enriched"):
        server.pre_enrich(["l1"], timeout=0.05)


def test_a_website_in_trouble_fails_its_lead_alone_and_soon(
    service: Service, website: Callable[..., Website], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The last look of all is so late that the test would not end if it were waited for.
    monkeypatch.setattr("leads_pandas.reading.collect._LOOKS", (0.3, 1.0, 3.0, 7.0, 15.0, 3600.0))
    site = website({"/0/": "info@firm.example", "/1/": "nothing", "/2/": (503, {}, "")})
    more = [{"lead_id": "l3", "website": None}, {"lead_id": "l4", "website": f"{site.url}/4/"}]
    server, api = service([*leads(site.url, 3), *more])
    frame = pd.DataFrame({"lead_id": ids(5)})
    # What was bought and did not show is not bought again before `settle`.
    with lp.LeadsClient(
        server.api_key, server.base_url, requests_per_minute=0, settle=0.0
    ) as client:
        out = frame.leads.enrich(client=client, progress=False, partial=True)
        found = ["found", "not_found", "failed", "not_found", "not_found"]
        assert list(out["enrichment_status"]) == found
        assert api.available() == 100_000 - 2
        site.pages["/2/"] = "late@firm.example"
        again = frame.leads.enrich(client=client, progress=False)
    assert list(again["enrichment_status"])[2] == "found"
    assert api.available() == 100_000 - 3


# Starting and stopping


def test_a_website_that_is_gone_is_no_email_at_once_also_where_the_cap_stops_the_job_behind_it(
    website: Callable[..., Website],
) -> None:
    site = website({"/0/": "info@firm.example"})
    frame = pd.DataFrame(leads(site.url, 4))
    with (
        LocalServer(
            frame, requests_per_minute=0, allow_private=True, nameservers=["127.0.0.1:9"]
        ) as server,
        server.client() as client,
    ):
        out = lp.enrich(frame, client=client, max_credits=2, partial=True, progress=False)
        assert client.balance().used_credits == 1
    # A lead that was waited for in vain, for half a minute, would have failed.
    assert out["enrichment_status"].tolist() == ["found", "not_found", *["not_enriched"] * 2]


def test_it_starts_and_stops_and_leaves_nothing_running(tmp_path: Path) -> None:
    before = ours()
    with LocalServer(db=tmp_path / "service.db") as server:
        address = ("127.0.0.1", int(server.base_url.rpartition(":")[2]))
        socket.create_connection(address, timeout=500).close()
        assert server.base_url in repr(server)
        assert server.api_key not in repr(server)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=500)
    assert ours() == before
    server.stop()
    assert repr(server) == "LocalServer(not running)"


def test_without_a_file_nothing_is_left_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with LocalServer([{"lead_id": "a"}]):
        assert list(tmp_path.iterdir()) != []
    assert list(tmp_path.iterdir()) == []


def test_stopping_does_not_wait_for_slow_websites(
    service: Service, website: Callable[..., Website]
) -> None:
    site = website()
    site.pages |= {f"/{n}/": lambda _: site.released.wait() for n in range(20)}
    server, api = service(leads(site.url, 20), timeout=3600.0, site_timeout=3600.0)
    api.start(ids(20))
    api.until(
        data(api.get("/enrichment/jobs"))[0]["jobId"], lambda one: one["status"] == "PROCESSING"
    )
    server.stop()
    assert ours() == set()


def test_it_can_be_started_again_and_not_twice() -> None:
    server = LocalServer()
    for access in (lambda: server.base_url, lambda: server.api_key, server.client):
        with pytest.raises(ConfigurationError, match="has not been started"):
            access()
    server.start()
    try:
        with pytest.raises(ConfigurationError, match="running already"):
            server.start()
        first = server.api_key
        server.stop()
        server.start()
        assert server.api_key != first
    finally:
        server.stop()


def test_a_port_that_is_taken_is_an_error_that_names_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = LocalServer(db=tmp_path / "service.db", port=port)
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1 port {port}"):
            server.start()
    with LocalServer(db=tmp_path / "service.db", port=port) as server:
        assert server.base_url == f"http://127.0.0.1:{port}"


def test_leads_that_cannot_be_used_leave_nothing_running(tmp_path: Path) -> None:
    with pytest.raises(LeadIdError):
        LocalServer([{"id": 1}], db=tmp_path / "service.db").start()
    assert ours() == set()
    LocalServer(db=tmp_path / "service.db").start().stop()


def test_it_listens_on_ipv6_and_names_an_address_that_can_be_reached() -> None:
    with LocalServer(host="::1") as server, Api(server.base_url, server.api_key) as api:
        assert server.base_url.startswith("http://[::1]:")
        assert api.available() == 100_000
    with LocalServer(host="0.0.0.0") as server, Api(server.base_url, server.api_key) as api:
        assert server.base_url.startswith("http://127.0.0.1:")
        assert api.available() == 100_000


@pytest.mark.parametrize(
    "options",
    [
        {"credits": -1},
        {"credits": 1.5},
        {"requests_per_minute": -1},
        {"requests_per_minute": True},
        {"port": 70_000},
        {"max_pages": 0},
        {"concurrency": 0},
        {"timeout": 0},
        {"timeout": float("nan")},
        {"site_timeout": float("inf")},
        {"user_agent": ""},
        {"user_agent": "a\r\nX-Evil: 1"},
        {"nameservers": ["dns.example"]},
    ],
)
def test_options_that_cannot_be_are_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        LocalServer(**options)


def test_an_unknown_option_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        LocalServer(request_per_minute=3)  # type: ignore[call-arg] # the mistake


def test_waiting_ends_when_another_thread_stops_it() -> None:
    server = LocalServer().start()
    threading.Timer(0.05, server.stop).start()
    server.wait()
    deadline = time.monotonic() + 10
    while ours() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert ours() == set()
    server.wait()


def test_waiting_ends_where_it_is_asked_to() -> None:
    with LocalServer() as server:
        answers = iter([False, True])
        server.wait(lambda: next(answers))
        assert server.base_url in repr(server)


def test_the_client_speaks_to_it_and_keeps_to_its_limit() -> None:
    with LocalServer([{"lead_id": "a"}], credits=7) as server, server.client() as client:
        assert client.balance().available_credits == 7
        assert client.preview(lead_ids=["a", "b"]).total_leads == 1


# The file


def test_a_frame_and_a_csv_file_serve_as_leads(service: Service, tmp_path: Path) -> None:
    rows = [{"lead_id": "7", "website": "x.example", "query_id": "q"}]
    frame = pd.DataFrame({"lead_id": [7], "website": ["x.example"], "query_id": ["q"]})
    frame.to_csv(tmp_path / "leads.csv", index=False)
    for given in (rows, iter(rows), frame, tmp_path / "leads.csv", str(tmp_path / "leads.csv")):
        _, api = service(given)
        assert data(api.post("/enrichment/preview", json={"queryId": "q"}))["totalLeads"] == 1


def test_a_service_on_the_same_file_knows_all_that_was_before(
    service: Service, website: Callable[..., Website], tmp_path: Path
) -> None:
    site = website({"/0/": "info@firm.example"})
    options = {"db": tmp_path / "service.db", "credits": 50}
    first, api = service(leads(site.url, 2), **options)
    api.enrich(["l0"])
    first.stop()
    second, api = service(leads(site.url, 2), **options)
    assert api.emails("l0") == ["info@firm.example"]
    assert api.available() == 49
    assert api.preview(ids(2))["alreadyEnriched"] == 1
    with Api(second.base_url, first.api_key) as old:
        assert old.available() == 49
    assert second.api_key != first.api_key


def test_two_services_do_not_share_a_file(service: Service, tmp_path: Path) -> None:
    service(db=tmp_path / "service.db")
    with pytest.raises(StoreError, match="another service"):
        LocalServer(db=tmp_path / "service.db").start()


def test_a_job_goes_on_after_a_restart_and_nothing_is_charged_or_read_twice(
    service: Service, website: Callable[..., Website], tmp_path: Path
) -> None:
    site = website({f"/{n}/": f"a{n}@firm.example" for n in range(20)})
    site.pages["/10/"] = lambda _: site.released.wait()
    options = {"db": tmp_path / "service.db", "concurrency": 1, "timeout": 30.0}
    first, api = service(leads(site.url, 20), **options)
    job = api.start(ids(20))["jobId"]
    api.until(job, lambda one: one["processedLeads"] == 10)
    first.stop()
    assert site.seen.count("/11/") == 0
    site.pages["/10/"] = "a10@firm.example"
    _, api = service(**options)
    assert api.ended(job)["processedLeads"] == 20
    assert [api.emails(one) for one in ids(20)] == [[f"a{n}@firm.example"] for n in range(20)]
    assert [site.seen.count(f"/{n}/") for n in range(20)] == [1] * 10 + [2] + [1] * 9
    assert api.available() == 100_000 - 20


CHILD = """
    import json, sys
    from leads_pandas.server import LocalServer
    options = json.loads(sys.argv[1])
    server = LocalServer(**options)
    server._pause = 0.0
    with server:
        print(server.base_url, server.api_key, flush=True)
        server.wait()
"""


def child(**options: Any) -> subprocess.Popen[str]:
    """A service in a process of its own, which prints its URL and its key."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CHILD), json.dumps(options)],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_job_goes_on_after_kill_9_and_nothing_is_charged_twice(
    service: Service, website: Callable[..., Website], tmp_path: Path
) -> None:
    site = website({f"/{n}/": f"a{n}@firm.example" for n in range(40)})
    site.pages["/25/"] = lambda _: site.released.wait()
    options = {
        "db": str(tmp_path / "service.db"),
        "allow_private": True,
        "requests_per_minute": 0,
        "concurrency": 1,
        "timeout": 30.0,
        "nameservers": ["127.0.0.1:9"],
    }
    with child(leads=leads(site.url, 40), **options) as process:
        assert process.stdout is not None
        base_url, key = process.stdout.readline().split()
        with Api(base_url, key) as api:
            job = api.start(ids(40))["jobId"]
            api.until(job, lambda one: one["processedLeads"] == 25 and "/25/" in site.seen)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    site.pages["/25/"] = "a25@firm.example"
    server, api = service(leads(site.url, 40), **options)
    with Api(server.base_url, key) as old:
        assert old.ended(job)["status"] == "COMPLETED"
    assert [api.emails(one) for one in ids(40)] == [[f"a{n}@firm.example"] for n in range(40)]
    assert [site.seen.count(f"/{n}/") for n in range(40)] == [1] * 25 + [2] + [1] * 14
    assert api.available() == 100_000 - 40
    deductions = [
        one for one in data(api.get("/credits/transactions")) if one["type"] == "DEDUCTION"
    ]
    assert [one["amount"] for one in deductions] == [-40]


def reached(count: int) -> Callable[[dict[str, Any]], bool]:
    """Says when so many leads are done."""
    return lambda status: status["processedLeads"] >= count


def test_kill_9_at_any_moment_loses_and_doubles_nothing(
    service: Service, website: Callable[..., Website], tmp_path: Path
) -> None:
    site = website({f"/{n}/": f"a{n}@firm.example" for n in range(60)})
    options = {
        "db": str(tmp_path / "service.db"),
        "allow_private": True,
        "requests_per_minute": 0,
        "concurrency": 4,
        "nameservers": ["127.0.0.1:9"],
    }
    job = None
    for kill_at in (3, 17, 41):
        with child(leads=leads(site.url, 60), **options) as process:
            assert process.stdout is not None
            base_url, key = process.stdout.readline().split()
            with Api(base_url, key) as api:
                job = job or api.start(ids(60))["jobId"]
                api.until(job, reached(kill_at))
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
    _, api = service(**options)
    assert api.ended(str(job))["processedLeads"] == 60
    assert [api.emails(one) for one in ids(60)] == [[f"a{n}@firm.example"] for n in range(60)]
    assert api.available() == 100_000 - 60


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_serve_well_and_its_jobs_go_on_with_one_charge_a_lead(
    number: signal.Signals, website: Callable[..., Website], tmp_path: Path
) -> None:
    site = website({f"/{n}/": f"a{n}@firm.example" for n in range(12)})
    site.pages["/8/"] = lambda _: site.released.wait()
    pd.DataFrame(leads(site.url, 12)).to_csv(tmp_path / "leads.csv", index=False)
    command = ["serve", "--db", str(tmp_path / "service.db"), "--json", "--allow-private"]
    command += ["--concurrency", "1", "--nameserver", "127.0.0.1:9", "--requests-per-minute", "0"]

    def variables(serving: subprocess.Popen[str]) -> tuple[str, str]:
        assert serving.stdout is not None
        said = json.loads(serving.stdout.readline())
        return said["LOCALLEADS_BASE_URL"], said["LOCALLEADS_API_KEY"]

    with process(*command, "--leads", str(tmp_path / "leads.csv")) as serving:
        with Api(*variables(serving)) as api:
            job = api.start(ids(12))["jobId"]
            api.until(job, lambda one: one["processedLeads"] == 8 and "/8/" in site.seen)
        serving.send_signal(number)
        _, words = serving.communicate()
    assert (serving.returncode, "Traceback" in words) == (0, False)
    site.pages["/8/"] = "a8@firm.example"
    with process(*command) as serving:
        with Api(*variables(serving)) as api:
            assert api.ended(job)["foundEmails"] == 12
            assert api.available() == 100_000 - 12
            entries = data(api.get("/credits/transactions"))
            assert [one["amount"] for one in entries if one["type"] != "MONTHLY_RESET"] == [-12]
        serving.send_signal(number)
        serving.communicate()
    assert [site.seen.count(f"/{n}/") for n in range(12)] == [1] * 8 + [2] + [1] * 3


def test_ctrl_c_ends_the_waiting_and_the_service(tmp_path: Path) -> None:
    with child(db=str(tmp_path / "service.db")) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait() != 0
    LocalServer(db=tmp_path / "service.db").start().stop()


# Importing


def script(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )


def test_the_service_works_without_loading_pandas_or_the_client() -> None:
    done = script(
        """
        import importlib.util, sys, types
        package = types.ModuleType("leads_pandas")
        package.__path__ = [importlib.util.find_spec("leads_pandas").submodule_search_locations[0]]
        sys.modules["leads_pandas"] = package
        from leads_pandas.server import LocalServer
        with LocalServer([{"lead_id": "a", "website": "x.example"}]):
            print(sorted({"pandas", "pyarrow", "leads_pandas.leadsapi.client"} & set(sys.modules)))
        """
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


@pytest.mark.parametrize("missing", ["starlette", "uvicorn", "protego", "email_validator", "dns"])
def test_a_missing_extra_says_how_to_install_it(missing: str) -> None:
    done = script(
        f"""
        import sys
        sys.modules[{missing!r}] = None
        import leads_pandas.server
        try:
            from leads_pandas.server import LocalServer
        except ImportError as error:
            print(error)
        """
    )
    assert f"the local service needs the package {missing}" in done.stdout
    assert 'pip install "leads_pandas[server]"' in done.stdout


def test_the_package_exports_the_server_only() -> None:
    assert leads_pandas.server.__all__ == ["LocalServer"]
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = leads_pandas.server.Nothing


def test_every_error_of_its_own_is_one_of_the_packages() -> None:
    assert issubclass(ConfigurationError, LeadsError)
    assert issubclass(StoreError, LeadsError)
