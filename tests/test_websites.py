"""Finding emails on the leads' own websites, buying the rest, and what the DNS says of emails."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

import leads_pandas
from leads_pandas.errors import ColumnConflictError, ConfigurationError, StoreError
from leads_pandas.frames.columns import SCHEMA
from tests.support.harness import closed_port, lead_ids, make_client

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from leads_pandas.models import RunStatus
    from tests.support.harness import Vendor
    from tests.support.server_harness import NameServer, Website

NO_DNS = ["127.0.0.1:9"]
HERE: dict[str, Any] = {"allow_private": True, "nameservers": NO_DNS, "progress": False}
STATUS = "enrichment_status"


class Street:
    """Some websites, each on a loopback address of its own, so that none waits for another."""

    def __init__(self, site: Website) -> None:
        self.site = site

    def url(self, number: int, path: str = "/") -> str:
        return f"http://127.0.1.{number}:{self.site.port}{path}"

    def frame(self, *paths: str | None) -> pd.DataFrame:
        """Leads of the vendor, whose websites have these front pages; None: it has no website."""
        urls = [one and self.url(n, one) for n, one in enumerate(paths, start=1)]
        return pd.DataFrame({"lead_id": lead_ids(len(paths)), "website": urls})


@pytest.fixture
def street(website: Callable[..., Website]) -> Street:
    site = website(
        {"/": "mail info@firm.test or sales@firm.test", "/bare": "no address"}, "0.0.0.0"
    )
    return Street(site)


def test_what_websites_show_comes_as_the_five_columns(street: Street) -> None:
    df = street.frame("/", "/bare", None, "/gone").set_index(pd.Index([7, 7, 5, 3]))
    out = df.leads.find(**HERE)
    assert list(out.columns) == ["lead_id", "website", *SCHEMA.names]
    assert out.index.tolist() == [7, 7, 5, 3]
    assert out[STATUS].tolist() == ["found", "not_found", "not_enriched", "failed"]
    assert out["email"].iloc[0] == "info@firm.test"
    assert 0 < out["confidence"].iloc[0] <= 1
    assert out["source"].iloc[0] == "front_page"
    assert out["enriched_at"].notna().tolist() == [True, True, False, False]
    empty = pd.DataFrame({"lead_id": [], "website": []}).leads.find()
    assert out[list(SCHEMA.names)].dtypes.equals(empty[list(SCHEMA.names)].dtypes)
    assert list(df.columns) == ["lead_id", "website"]


def test_the_receipt_says_found_here_and_not_bought(street: Street, tmp_path: Path) -> None:
    path = tmp_path / "found.parquet"
    out = street.frame("/", "/bare", "/gone").leads.find(path=path, **HERE)
    receipt = leads_pandas.read_receipt(path)
    assert receipt == out.attrs["leads"]
    assert receipt["here"] is True
    assert (receipt["host"], receipt["run_id"], receipt["credits_reserved"]) == (None, None, 0)
    assert (receipt["credits_saved"], receipt["unread"]) == (1, 1)
    pd.testing.assert_frame_equal(pd.read_parquet(path), out)


def test_calling_again_reads_no_website_twice_but_those_that_could_not_be_read(
    street: Street,
) -> None:
    df = street.frame("/", "/bare", "/gone")
    first = df.leads.find(**HERE)
    assert first[STATUS].tolist() == ["found", "not_found", "failed"]
    street.site.seen.clear()
    street.site.pages["/gone"] = "now@firm.test"
    again = leads_pandas.find(df, **HERE)
    assert {"/", "/bare"}.isdisjoint(street.site.seen)
    assert again["email"].tolist()[2] == "now@firm.test"
    pd.testing.assert_frame_equal(again.iloc[:2], first.iloc[:2])
    street.site.seen.clear()
    pd.testing.assert_frame_equal(again.leads.find(**HERE), again)
    assert street.site.seen == []


def test_a_lead_with_another_website_is_looked_at_again(street: Street) -> None:
    df = street.frame("/bare")
    assert df.leads.find(**HERE)[STATUS].tolist() == ["not_found"]
    moved = df.assign(website=[street.url(2)])
    assert moved.leads.find(**HERE)["email"].tolist() == ["info@firm.test"]


def test_a_website_of_many_leads_is_read_once(street: Street) -> None:
    df = pd.DataFrame({"lead_id": ["a", "b", "a", None], "website": street.url(1)})
    out = df.leads.find(**HERE)
    assert street.site.seen.count("/") == 1
    assert out["email"].notna().tolist() == [True, True, True, False]


def test_all_emails_and_only_sure_ones(street: Street) -> None:
    df = street.frame("/", "/bare")
    every = df.leads.find(emails="all", **HERE)
    assert every["email"].dropna().tolist() == ["info@firm.test", "sales@firm.test"]
    sure = df.leads.find(min_confidence=1.0, **HERE)
    assert sure["email"].isna().all()
    assert sure[STATUS].tolist() == ["found", "not_found"]


def test_another_column_of_websites_which_may_hold_the_ids_too(street: Street) -> None:
    df = pd.DataFrame({"home": [street.url(1), None]})
    out = df.leads.find("home", on="home", rename={"email": "mail"}, **HERE)
    assert out["mail"].tolist()[0] == "info@firm.test"
    assert pd.isna(out[STATUS].tolist()[1])


def test_what_cannot_be_is_refused_before_any_website_is_read(street: Street) -> None:
    df = street.frame("/")
    with pytest.raises(ValueError, match=r"no column 'home' for the websites.*'lead_id'"):
        df.leads.find("home", **HERE)
    with pytest.raises(ColumnConflictError):
        df.assign(email="x").leads.find(**HERE)
    with pytest.raises(ConfigurationError):
        df.leads.find(concurrency=0)
    with pytest.raises(OSError):
        df.leads.find(path="/proc/none/found.parquet", **HERE)
    with pytest.raises(TypeError):
        leads_pandas.find([1])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="progress"):
        df.leads.find(progress="yes")
    assert street.site.seen == []


def test_a_website_on_a_private_address_is_not_read_unless_asked_for(street: Street) -> None:
    out = street.frame("/").leads.find(nameservers=NO_DNS, progress=False)
    assert out[STATUS].tolist() == ["failed"]
    assert street.site.seen == []


def test_how_it_introduces_itself(street: Street) -> None:
    street.frame("/").leads.find(user_agent="acme-bot/1.0", max_pages=1, **HERE)
    assert {one["user-agent"] for one in street.site.headers} == {"acme-bot/1.0"}


def test_progress_counts_what_is_durable(street: Street, home: Path) -> None:
    def durable() -> int:
        (path,) = home.glob("*/found.sqlite3")
        with sqlite3.connect(path) as db:
            number: int = db.execute("SELECT count(*) FROM found").fetchone()[0]
        db.close()
        return number

    seen: list[tuple[RunStatus, int]] = []
    street.frame("/", "/bare", "/", None).leads.find(
        **HERE | {"progress": lambda status: seen.append((status, durable()))}
    )
    assert all(status.read <= count for status, count in seen)
    last = seen[-1][0]
    assert (last.phase, last.read, last.total, last.found_emails) == ("reading", 3, 3, 2)


def test_the_closing_line_says_what_came_of_it(
    street: Street, capsys: pytest.CaptureFixture[str]
) -> None:
    street.frame("/", "/bare", "/gone").leads.find(**HERE | {"progress": True})
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("2 leads looked at, 1 email found, 1 without a result, 1 website could")
    assert "(such as http://127.0.1.3:" in line
    assert "the server answered 404), 0 credits, " in line


CHILD = """
import pandas as pd, leads_pandas, sys
df = pd.DataFrame({"lead_id": ["a", "b"], "website": sys.argv[1:]})
df.leads.find(allow_private=True, nameservers=["127.0.0.1:9"], timeout=60, site_timeout=60)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_what_was_found_before_an_interrupt_is_kept(
    street: Street, number: int, home: Path
) -> None:
    asked = threading.Event()

    def hang(_: Any) -> None:
        asked.set()
        street.site.released.wait()

    street.site.pages["/slow"] = hang
    urls = [street.url(1), street.url(2, "/slow")]
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, *urls], stderr=subprocess.PIPE, text=True, env=os.environ
    ) as child:
        assert child.stderr is not None
        assert asked.wait()
        count = 0
        while not count:
            for path in home.glob("*/found.sqlite3"):
                with sqlite3.connect(path) as db:
                    tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
                    count = tables and db.execute("SELECT count(*) FROM found").fetchone()[0]
                db.close()
        child.send_signal(number)
        words = child.stderr.read()
    said = "interrupted; what was found so far is kept: call the same line again"
    assert (said in words) == (number != signal.SIGKILL)
    assert child.returncode != 0
    street.site.pages["/slow"] = "slow@firm.test"
    street.site.seen.clear()
    df = pd.DataFrame({"lead_id": ["a", "b"], "website": urls})
    assert df.leads.find(**HERE)["email"].tolist() == ["info@firm.test", "slow@firm.test"]
    assert "/" not in street.site.seen


def test_forgetting_a_lead_erases_what_was_found_of_it(street: Street, home: Path) -> None:
    street.frame("/", "/").leads.find(**HERE)
    assert leads_pandas.forget("lead001") == 1
    assert not any(home.glob("*/store.sqlite3"))
    street.site.seen.clear()
    street.frame("/", "/").leads.find(**HERE)
    assert street.site.seen.count("/") == 1
    assert leads_pandas.forget(everything=True) == 2
    (path,) = home.glob("*/found.sqlite3")
    assert b"firm.test" not in path.read_bytes()


def test_a_damaged_file_is_never_guessed_at(street: Street, home: Path) -> None:
    street.frame("/").leads.find(**HERE)
    (path,) = home.glob("*/found.sqlite3")
    path.write_bytes(b"x" * 5000)
    with pytest.raises(StoreError, match="move it away and start a new one: the websites will"):
        street.frame("/").leads.find(**HERE)


# Free first, then buy


def test_what_was_found_here_is_not_bought_and_the_rest_is(
    street: Street, vendor: Vendor, tmp_path: Path
) -> None:
    df = street.frame("/", "/bare", "/gone", None, "/")
    found = df.leads.find(path=tmp_path / "found.parquet", **HERE)
    client = make_client(vendor)
    for start in (found, pd.read_parquet(tmp_path / "found.parquet")):
        out = start.leads.enrich(on_conflict="fill", client=client, progress=False)
        assert sorted(vendor.counts["charges"]) == ["lead001", "lead002", "lead003"]
        columns = list(SCHEMA.names)
        pd.testing.assert_frame_equal(out.loc[[0, 4], columns], found.loc[[0, 4], columns])
        assert set(out.loc[[1, 2, 3], STATUS]) <= {"found", "not_found"}
        assert out.leads.summary()["credits_saved"] == 2
    again = out.leads.enrich(on_conflict="fill", client=client, progress=False)
    assert again.leads.summary()["credits_saved"] == 2
    assert vendor.counts["spent"] == 3


def test_what_the_vendor_did_not_find_is_not_asked_for_again(
    street: Street, vendor: Vendor
) -> None:
    client = make_client(vendor)
    df = street.frame(*["/bare"] * 12)
    bought = df[:6].leads.enrich(client=client, progress=False)
    assert {"found", "not_found"} == set(bought[STATUS])
    both = df.assign(**{name: bought[name] for name in SCHEMA.names})
    both.attrs = bought.attrs
    looked = both.leads.find(on_conflict="fill", **HERE)
    assert set(looked[STATUS][6:]) == {"not_found"}
    assert isinstance(looked.attrs["leads"]["here"], str)
    leads_pandas.forget(everything=True, client=client)
    out = looked.leads.enrich(on_conflict="fill", client=client, progress=False)
    pd.testing.assert_frame_equal(out[:6], looked[:6])
    assert sorted(vendor.counts["charges"]) == lead_ids(12)
    assert vendor.counts["spent"] == 12


def test_an_email_that_was_not_sure_enough_is_bought(street: Street, vendor: Vendor) -> None:
    found = street.frame("/").leads.find(min_confidence=1.0, **HERE)
    client = make_client(vendor)
    out = found.leads.enrich(on_conflict="fill", client=client, progress=False)
    assert list(vendor.counts["charges"]) == ["lead000"]
    assert out.leads.summary()["credits_saved"] == 0


def test_where_all_was_found_no_request_is_made_and_the_line_says_what_that_saved(
    street: Street, capsys: pytest.CaptureFixture[str]
) -> None:
    found = street.frame("/", "/").leads.find(**HERE)
    out = found.leads.enrich(on_conflict="fill", progress=True)
    assert "0 credits, 2 credits saved by what was found here" in capsys.readouterr().err
    assert out.leads.summary()["credits_saved"] == 2


# Verifying


def test_emails_are_held_against_their_domains(nameserver: NameServer) -> None:
    nameserver.answers |= {
        ("good.com", "MX"): ["10 mail.good.com."],
        ("null.com", "MX"): ["0 ."],
    }
    emails = ["a@good.com", " b@good.com ", "c@null.com", "no address", None, "d@gone.com"]
    df = pd.DataFrame({"email": emails}, index=list("abcdef"))
    out = df.leads.verify(nameservers=[nameserver.address])
    assert out["deliverable"].astype(object).where(out["deliverable"].notna(), None).tolist() == [
        "yes",
        "yes",
        "no",
        "no",
        None,
        "no",
    ]
    assert out["deliverable"].cat.categories.tolist() == ["yes", "no", "unknown"]
    assert out.index.equals(df.index)
    assert list(df.columns) == ["email"]
    assert nameserver.asked.count(("good.com", "MX")) == 1
    pd.testing.assert_frame_equal(out.leads.verify(nameservers=[nameserver.address]), out)


def test_where_no_dns_answers_nothing_is_known() -> None:
    df = pd.DataFrame({"work": ["a@firm.com", "b@other.com"]})
    out = leads_pandas.verify(df, "work", nameservers=[f"127.0.0.1:{closed_port()}"])
    assert out["deliverable"].tolist() == ["unknown", "unknown"]


def test_verify_refuses_what_it_cannot_use() -> None:
    df = pd.DataFrame({"email": ["a@firm.com"], "deliverable": [True]})
    with pytest.raises(ColumnConflictError, match="deliverable"):
        df.leads.verify()
    with pytest.raises(ValueError, match="no column 'mail' for the emails"):
        df.leads.verify("mail")
    with pytest.raises(ConfigurationError):
        df[["email"]].leads.verify(nameservers=["nowhere"])


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    code = """
import sys
sys.modules["dns"] = None
import pandas as pd, leads_pandas
for name in ("find", "verify"):
    try:
        getattr(leads_pandas, name)(pd.DataFrame({"lead_id": [], "website": [], "email": []}))
    except ImportError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.count('pip install "leads_pandas[find]"') == 2
