"""`find` and `verify` from files to files, and buying what was not found."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from leads_pandas import cli
from tests.support.harness import lead_ids

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.harness import Vendor
    from tests.support.server_harness import NameServer, Website


@pytest.fixture
def leads(
    website: Callable[..., Website], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """Three leads in a file; of the websites of the first two, one shows an address."""
    site = website({"/": "info@good.com", "/bare": "no address"}, "0.0.0.0")
    monkeypatch.chdir(tmp_path)
    urls = [f"http://127.0.2.1:{site.port}/", f"http://127.0.2.2:{site.port}/bare", None]
    pd.DataFrame({"lead_id": lead_ids(3), "website": urls}).to_csv("leads.csv", index=False)
    return ["leads.csv", "-o", "found.parquet", "--allow-private"]


def test_what_was_found_goes_from_file_to_file_and_the_rest_is_bought(
    leads: list[str],
    vendor: Vendor,
    nameserver: NameServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    nameserver.answers["good.com", "MX"] = ["10 mail.good.com."]
    dns = ["--nameserver", nameserver.address]
    assert cli.main(["find", *leads, *dns]) == 0
    assert re.search(r"credits saved +1\n", capsys.readouterr().out)
    monkeypatch.setenv("LOCALLEADS_API_KEY", vendor.key)
    monkeypatch.setenv("LOCALLEADS_BASE_URL", vendor.base_url)
    buying = ["enrich", "found.parquet", "-o", "all.parquet", "--on-conflict", "fill", "--yes"]
    assert cli.main(buying) == 0
    assert "1 credit saved by what was found here" in capsys.readouterr().err
    assert sorted(vendor.counts["charges"]) == lead_ids(3)[1:]
    assert pd.read_parquet("all.parquet")["email"][0] == "info@good.com"
    assert cli.main(["verify", "all.parquet", "-o", "checked.parquet", "--json", *dns]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["rows"][0] == {"email": "info@good.com", "deliverable": "yes"}
    checked = pd.read_parquet("checked.parquet")
    assert checked["deliverable"].cat.categories.tolist() == ["yes", "no", "unknown"]
    assert checked.attrs["leads"]["credits_saved"] == 1
    assert cli.main(["verify", "all.parquet", *dns]) == 0
    assert "info@good.com" in capsys.readouterr().out


def test_a_file_without_emails_cannot_be_verified(
    leads: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["verify", leads[0]]) == 1
    assert "there is no column 'email' for the emails" in capsys.readouterr().err
