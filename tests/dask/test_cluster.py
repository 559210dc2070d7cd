"""A cluster of two processes: one purchase by the caller, and workers that may die at any time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle
import dask
import dask.dataframe as dd
import pandas as pd
import pyarrow.parquet as pq
import pytest
from distributed import Client
from pandas.testing import assert_frame_equal

import leads_pandas as lp
from leads_pandas.dask import dataset
from tests.support.engines import QUIET, draw, fail, leads, loaded, mapped, same, strike
from tests.support.harness import lead_ids, world

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.harness import Vendor

    Make = Callable[..., lp.LeadsClient]


def assert_bought_once(vendor: Vendor, count: int = 8) -> None:
    """One start, one credit and one read for each lead."""
    counts = vendor.counts
    assert (counts["starts"], counts["spent"]) == (1, count)
    assert set(counts["charges"].values()) == set(counts["reads"].values()) == {1}


@pytest.mark.parametrize("emails", ["best", "all"])
def test_a_cluster_brings_what_pandas_brings_and_buys_each_lead_once(
    vendor: Vendor, client: Make, workers: Client, emails: Any
) -> None:
    ddf = dd.from_pandas(leads(), npartitions=3)
    out = ddf.leads.enrich(max_credits=8, emails=emails, client=client(), **QUIET)
    assert_bought_once(vendor)
    total = vendor.counts["total"]
    assert out.divisions == ddf.divisions
    expected = ddf.compute().leads.enrich(emails=emails, client=client(), **QUIET)
    for _ in range(3):
        same(out, expected)
    receipt = out.compute().attrs["leads"]
    assert receipt["rows"] == expected.attrs["leads"]["rows"]
    assert receipt["counts"] == expected.attrs["leads"]["counts"]
    assert (receipt["credits_reserved"], receipt["on"]["name"]) == (8, "lead_id")
    assert vendor.counts["total"] == total


def test_workers_have_no_key_no_store_and_no_network(
    vendor: Vendor, client: Make, workers: Client
) -> None:
    out = dd.from_pandas(leads(), npartitions=3).leads.enrich(client=client(), **QUIET)
    assert vendor.key.encode() not in cloudpickle.dumps(out)
    out.compute()
    assert not set().union(*workers.run(loaded).values())
    variables = workers.run(lambda: dict(os.environ))
    assert not [one for some in variables.values() for one in some if "LOCALLEADS" in one]
    address = ("127.0.0.1", vendor.port)
    for outside in (
        lambda: socket.create_connection(address),
        lambda: socket.getaddrinfo("localhost", 80),
        lambda: sqlite3.connect(":memory:"),
    ):
        with pytest.raises(PermissionError, match="a task asked for"):
            workers.submit(outside, pure=False).result()


@pytest.mark.parametrize("where", ["collecting", "joining", "writing"])
def test_a_worker_that_is_killed_costs_nothing(
    vendor: Vendor, client: Make, workers: Client, tmp_path: Path, where: str
) -> None:
    sword = tmp_path / "sword"
    plain = dd.from_pandas(leads(), npartitions=4)
    ddf = mapped(plain, strike, str(sword))
    options = QUIET | {"client": client()}
    if where == "collecting":
        sword.touch()
        out = ddf.leads.enrich(**options)
    elif where == "joining":
        out = ddf.leads.enrich(**options)
        sword.touch()
    else:
        out = ddf.leads.enrich(tmp_path / "out", confirm=lambda _: draw(sword), **options)
        assert len(list((tmp_path / "out").iterdir())) == 4
    got = out.compute()
    assert not sword.exists()
    assert_bought_once(vendor)
    assert_frame_equal(got, plain.compute().leads.enrich(**options), check_freq=False)


def test_a_task_that_is_tried_again_asks_for_nothing(
    vendor: Vendor, client: Make, workers: Client, tmp_path: Path
) -> None:
    sword = tmp_path / "sword"
    plain = dd.from_pandas(leads(), npartitions=3)
    out = mapped(plain, fail, str(sword)).leads.enrich(client=client(), **QUIET)
    total = vendor.counts["total"]
    sword.touch()
    got = workers.compute(out, retries=1).result()
    assert not sword.exists()
    assert vendor.counts["total"] == total
    assert got["n"].tolist() == plain.compute()["n"].tolist()


def test_large_answers_are_a_file_beside_the_graph(
    vendor: Vendor, client: Make, workers: Client, tmp_path: Path
) -> None:
    source, ids = "s" * 8_500_000, lead_ids(4)
    email = {"email": "a@lead.example", "confidence": 0.9, "source": source}
    vendor.reset({one: {"emails": [email], "enriched": False} for one in ids})
    plain = dd.from_pandas(pd.DataFrame({"lead_id": ids}), npartitions=2)
    sword = tmp_path / "sword"
    ddf = mapped(plain, strike, str(sword))
    out = ddf.leads.enrich(client=client(timeout=30.0), **QUIET)
    assert len(cloudpickle.dumps(out)) < 1_000_000
    sword.touch()  # and a worker that comes back reads it again
    assert out["source"].str.len().compute().tolist() == [len(source)] * 4
    assert not sword.exists()
    ddf.leads.enrich(tmp_path / "out", client=client(), **QUIET)
    files = sorted((tmp_path / "out").iterdir())
    assert [pq.read_table(one)["source"].to_pylist() for one in files] == [[source] * 2] * 2
    assert_bought_once(vendor, 4)


def test_a_dataset_of_a_cluster_is_written_and_read_by_its_workers(
    vendor: Vendor, client: Make, workers: Client, tmp_path: Path
) -> None:
    ddf = dd.from_pandas(leads(), npartitions=3)
    options = QUIET | {"client": client()}
    expected = ddf.compute().leads.enrich(**options)
    # A folder of this machine, and one that is spoken to as an object store is.
    for path in (f"{tmp_path}/out", f"fsspec+local://{tmp_path}/store"):
        # Answers in the graph may be larger than Dask finds wise, which is no affair of the caller.
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1kB"}):
            out = ddf.leads.enrich(path, **options)
        same(out, expected)
        assert out.divisions == ddf.divisions
    for name in ("out", "store"):
        assert pd.read_parquet(tmp_path / name)["email"].tolist() == expected["email"].tolist()
    with pytest.raises(FileExistsError, match="in one step"):
        ddf.leads.enrich(f"fsspec+local://{tmp_path}/store", **options)
    assert_bought_once(vendor)


def call(*, home: str, key: str, url: str, cluster: str, path: str, sword: str, when: str) -> None:
    """A process that enriches on the cluster, and is killed while it writes or right after."""
    os.environ["LEADS_PANDAS_HOME"] = home
    exchange = dataset.exchange

    def struck(one: str, other: str) -> None:
        exchange(one, other)
        strike(leads(), sword)

    with Client(cluster), lp.LeadsClient(key, url, requests_per_minute=0) as account:
        ddf = dd.from_pandas(pd.DataFrame({"lead_id": lead_ids(8)}), npartitions=4)
        if when == "written":
            dataset.exchange = struck
        else:
            ddf = mapped(ddf, strike, sword, os.getpid())
        ddf.leads.enrich(path, confirm=lambda _: draw(Path(sword)), client=account, **QUIET)


@pytest.mark.parametrize("when", ["writing", "written"])
def test_a_caller_that_is_killed_leaves_the_old_dataset_or_the_new_one(
    vendor: Vendor, client: Make, workers: Client, tmp_path: Path, when: str
) -> None:
    vendor.reset(world(8))
    path, sword = tmp_path / "data" / "out", tmp_path / "sword"
    path.parent.mkdir()
    options = QUIET | {"client": client()}
    dd.from_pandas(leads(4), npartitions=2).leads.enrich(path, **options)
    before = pd.read_parquet(path)
    names = {
        "home": os.environ["LEADS_PANDAS_HOME"],
        "key": vendor.key,
        "url": vendor.base_url,
        "cluster": workers.scheduler.address,
        "path": str(path),
        "sword": str(sword),
        "when": when,
    }
    caller = multiprocessing.get_context("forkserver").Process(target=call, kwargs=names)
    caller.start()
    caller.join()
    assert caller.exitcode == -signal.SIGKILL
    if when == "writing":
        assert_frame_equal(pd.read_parquet(path), before)
    else:
        assert pd.read_parquet(path)["lead_id"].tolist() == lead_ids(8)
    assert len(list(path.parent.iterdir())) == 2
    total = vendor.counts["total"]
    ddf = dd.from_pandas(pd.DataFrame({"lead_id": lead_ids(8)}), npartitions=4)
    out = ddf.leads.enrich(path, **options)
    assert vendor.counts["total"] == total
    assert out.compute()["lead_id"].tolist() == pd.read_parquet(path)["lead_id"].tolist()
    assert [one.name for one in path.parent.iterdir()] == ["out"]
    counts = vendor.counts
    assert counts["spent"] == 8
    assert set(counts["charges"].values()) == set(counts["reads"].values()) == {1}
