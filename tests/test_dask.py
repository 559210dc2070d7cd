"""Dask: the caller buys once for all partitions, workers only join, a dataset is old or new."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask
import dask.dataframe as dd
import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from distributed import Client, LocalCluster
from pandas.testing import assert_frame_equal

import leads_pandas as lp
import leads_pandas.dask
from leads_pandas.dask import dataset
from tests.support.harness import lead_ids, world

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.harness import Script, Vendor

    Make = Callable[..., lp.LeadsClient]

SHORT = {"progress": False}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Client]:
    """Two worker processes that have no store to open and no key to show."""
    settings = {"distributed.worker.profile.enabled": False, "distributed.admin.tick.limit": "60s"}
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            dashboard_address=None,
            env={"LEADS_PANDAS_HOME": os.devnull},
        ) as made,
        Client(made, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture
def workers(cluster: Client) -> Iterator[Client]:
    """The cluster, as the place where this test computes."""
    with cluster.as_current(), dask.config.set(scheduler=cluster):
        yield cluster


@pytest.fixture
def here() -> Iterator[None]:
    """This process, as the place where this test computes."""
    with dask.config.set(scheduler="synchronous"):
        yield


def leads(count: int = 8) -> pd.DataFrame:
    """Leads with everything that a column of IDs may hold, in a frame of several dtypes."""
    ids = lead_ids(count)
    given = [*ids, None, ids[1], f" {ids[2]}", "", ids[3]]
    rows = len(given)
    return pd.DataFrame(
        {
            "lead_id": given,
            "n": range(rows),
            "kind": pd.Categorical((["a", "b", "c"] * rows)[:rows]),
            "when": pd.date_range("2026-01-01", periods=rows),
        },
        index=pd.Index(range(10, 10 + rows), name="row"),
    )


def strike(part: pd.DataFrame, sword: str) -> pd.DataFrame:
    """Kill the process that computes this partition, once, where a sword is there to be taken."""
    if len(part):
        try:
            Path(sword).unlink()
        except FileNotFoundError:
            return part
        os.kill(os.getpid(), signal.SIGKILL)
    return part


def draw(sword: Path) -> bool:
    """Agree to a price, and from then on let a process be killed."""
    sword.touch()
    return True


def grow(part: pd.DataFrame, more: str) -> pd.DataFrame:
    """A source that changes: one more row from a moment on."""
    return pd.concat([part, part.iloc[:1].assign(lead_id="later")]) if Path(more).exists() else part


def same(out: Any, expected: pd.DataFrame) -> None:
    """As pandas has it, row for row, with the dtypes that Dask declares."""
    got = out.compute()
    assert_frame_equal(got, expected, check_freq=False)
    assert got.dtypes.to_dict() == out.dtypes.to_dict()


@pytest.mark.parametrize("emails", ["best", "all"])
def test_a_cluster_brings_what_pandas_brings_and_buys_each_lead_once(
    vendor: Vendor, client: Make, workers: Client, emails: Any
) -> None:
    ddf = dd.from_pandas(leads(), npartitions=3)
    out = ddf.leads.enrich(max_credits=8, emails=emails, client=client(), **SHORT)
    counts = vendor.counts
    assert (counts["starts"], counts["spent"]) == (1, 8)
    assert set(counts["charges"].values()) == {1}
    assert out.divisions == ddf.divisions
    own = ddf.compute()
    expected = own.leads.enrich(emails=emails, client=client(), **SHORT)
    same(out, expected)
    same(out, expected)
    receipt = out.compute().attrs["leads"]
    assert receipt["rows"] == expected.attrs["leads"]["rows"]
    assert receipt["counts"] == expected.attrs["leads"]["counts"]
    assert (receipt["credits_reserved"], receipt["on"]["name"]) == (8, "lead_id")
    assert vendor.counts["total"] == counts["total"]


@pytest.mark.parametrize(
    "ids",
    [
        pd.Series([1, 2, 3, 2, 1, 5]),
        pd.Series([1.0, 2.0, np.nan, 2.0, 1.0, 5.0]),
        pd.Series([3.0, "3", 4, "a", None, " a"], dtype=object),
        pd.Series(["1", "2", None, "2", "1", "5"]).astype("category"),
        pd.Series([np.nan, 7, 7, 8, np.nan, 9]).astype("Int64"),
        pd.Series(np.full(6, None, dtype=object)),
    ],
    ids=["integers", "floats", "mixed", "categories", "nullable", "none"],
)
@pytest.mark.parametrize("convert", [True, False])
def test_ids_of_any_type_are_the_leads_that_pandas_takes_them_for(
    vendor: Vendor, client: Make, here: None, ids: pd.Series[Any], convert: bool
) -> None:
    vendor.reset({str(n): {"emails": [], "enriched": False} for n in [*range(10), "a"]})
    df = pd.DataFrame({"lead_id": ids, "n": range(6)})
    with dask.config.set({"dataframe.convert-string": convert}):
        ddf = dd.from_pandas(df, npartitions=3)
        out = ddf.leads.enrich(client=client(), **SHORT).compute()
    charged = vendor.counts["charges"]
    expected = df.leads.enrich(client=client(), **SHORT)
    assert vendor.counts["charges"] == charged
    names = list(lp.SCHEMA.names)
    assert_frame_equal(out[names], expected[names])


def test_ids_in_the_index_and_empty_partitions_are_fine(
    vendor: Vendor, client: Make, here: None
) -> None:
    df = pd.DataFrame({"n": range(8)}, index=pd.Index(lead_ids(8), name="lead_id"))
    ddf = dd.from_pandas(df, npartitions=4)
    ddf = ddf[ddf.n > 4]
    out = ddf.leads.enrich(client=client(), **SHORT)
    same(out, ddf.compute().leads.enrich(client=client(), **SHORT))
    assert vendor.counts["spent"] == 3


def test_the_preview_counts_distinct_leads_and_spends_nothing(
    vendor: Vendor, client: Make, here: None
) -> None:
    ddf = dd.from_pandas(leads(), npartitions=3)
    assert ddf.leads.preview(client=client()).to_enrich == 8
    assert leads_pandas.dask.preview(ddf, client=client()).total_leads == 8
    assert vendor.counts["starts"] == 0


def test_a_bad_id_names_its_rows_in_whatever_partition(
    vendor: Vendor, client: Make, here: None
) -> None:
    df = pd.DataFrame({"lead_id": ["a", "b\0", "c", "b\0", "d", ".."]}, index=list("uvwxyz"))
    ddf = dd.from_pandas(df, npartitions=3)
    with pytest.raises(lp.LeadIdError) as mine:
        ddf.leads.enrich(client=client())
    with pytest.raises(lp.LeadIdError) as theirs:
        df.leads.enrich(client=client())
    assert str(mine.value) == str(theirs.value)
    assert vendor.counts["total"] == 0


def test_what_is_wrong_is_found_before_the_frame_is_computed(client: Make) -> None:
    def never(_: pd.DataFrame) -> pd.DataFrame:
        raise AssertionError("computed")

    df = leads().assign(email="x")
    ddf = dd.from_pandas(df, npartitions=2).map_partitions(never, meta=df.iloc[:0])
    with pytest.raises(lp.ColumnConflictError, match="email"):
        ddf.leads.enrich(client=client())
    with pytest.raises(ValueError, match="emails must be"):
        ddf.leads.enrich(emails="some", client=client())
    with pytest.raises(ValueError, match="max_credits"):
        ddf.leads.enrich(max_credits=-1, on_conflict="replace", client=client())
    with pytest.raises(lp.LeadIdError, match="nosuch"):
        ddf.leads.enrich(on="nosuch", client=client())
    with pytest.raises(TypeError, match="Dask DataFrame is needed"):
        leads_pandas.dask.enrich(df)


def test_a_cap_and_a_refusal_hold_for_all_partitions_together(
    vendor: Vendor, client: Make, here: None
) -> None:
    ddf = dd.from_pandas(leads(), npartitions=3)
    with pytest.raises(lp.CreditCapError):
        ddf.leads.enrich(max_credits=7, client=client(), **SHORT)
    with pytest.raises(lp.EnrichmentDeclined):
        ddf.leads.enrich(confirm=lambda _: False, client=client(), **SHORT)
    assert vendor.counts["starts"] == 0


def test_fill_asks_for_the_rows_without_an_answer_alone(
    vendor: Vendor, client: Make, here: None
) -> None:
    df = leads().reset_index(drop=True)
    df = df.assign(email=df["n"].map({1: "own@a.example"}), enrichment_status=None)
    ddf = dd.from_pandas(df, npartitions=3)
    out = ddf.leads.enrich(on_conflict="fill", client=client(), **SHORT)
    same(out, ddf.compute().leads.enrich(on_conflict="fill", client=client(), **SHORT))
    assert vendor.counts["spent"] == 8
    assert out.compute()["email"].iloc[1] == "own@a.example"


@pytest.mark.parametrize("emails", ["best", "all"])
def test_the_same_line_runs_on_its_own_result(
    vendor: Vendor, client: Make, here: None, emails: Any
) -> None:
    ddf = dd.from_pandas(leads(), npartitions=3)
    once = ddf.leads.enrich(emails=emails, client=client(), **SHORT)
    again = once.leads.enrich(emails=emails, client=client(), **SHORT)
    same(again, once.compute())
    assert vendor.counts["starts"] == 1


def test_ids_that_were_not_there_when_asked_for_are_not_enriched(
    vendor: Vendor, client: Make, here: None, tmp_path: Path
) -> None:
    more = tmp_path / "more"
    df = leads()[["lead_id"]]
    ddf = dd.from_pandas(df, npartitions=2).map_partitions(grow, str(more), meta=df.iloc[:0])
    out = ddf.leads.enrich(client=client(), **SHORT)
    total = vendor.counts["total"]
    more.touch()
    got = out.compute().set_index("lead_id")["enrichment_status"]
    assert got["later"].tolist() == ["not_enriched"] * 2
    assert vendor.counts["total"] == total


@pytest.mark.parametrize("where", ["collecting"])
def test_a_worker_that_is_killed_costs_nothing(
    vendor: Vendor, client: Make, workers: Client, tmp_path: Path, where: str
) -> None:
    sword = tmp_path / "sword"
    df = leads()
    plain = dd.from_pandas(df, npartitions=4)
    ddf = plain.map_partitions(strike, str(sword), meta=plain._meta, enforce_metadata=False)
    options = SHORT | {"client": client()}
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
    counts = vendor.counts
    assert (counts["starts"], counts["spent"]) == (1, 8)
    assert all(times == 1 for times in counts["reads"].values())
    assert_frame_equal(got, plain.compute().leads.enrich(**options), check_freq=False)


# Datasets


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # of Dask itself
def test_a_dataset_is_read_alike_by_every_engine(
    vendor: Vendor, client: Make, here: None, tmp_path: Path
) -> None:
    path = tmp_path / "out"
    ddf = dd.from_pandas(leads(), npartitions=3)
    out = ddf.leads.enrich(path, client=client(), **SHORT)
    expected = ddf.compute().leads.enrich(client=client(), **SHORT)
    same(out, expected)
    assert out.divisions == ddf.divisions
    assert out[["email"]].compute()["email"].equals(expected["email"])
    files = sorted(path.iterdir())
    receipts = [lp.read_receipt(one) for one in files]
    assert len(files) == 3
    assert receipts == [out.compute().attrs["leads"]] * 3
    emails = [None if pd.isna(one) else one for one in expected["email"]]
    assert pd.read_parquet(path).index.tolist() == expected.index.tolist()
    assert pl.read_parquet(path / "*.parquet")["email"].to_list() == emails
    query = f"SELECT email FROM '{path}/*.parquet' ORDER BY \"row\""
    with duckdb.connect() as db:
        assert [email for (email,) in db.execute(query).fetchall()] == emails
    assert dd.read_parquet(path).compute()["email"].dropna().tolist() == [
        one for one in emails if one
    ]
    assert pq.read_schema(files[0]).field("enriched_at").type == pa.timestamp("us", "UTC")


def test_a_dataset_takes_the_place_of_an_older_one_and_nothing_is_left_beside_it(
    vendor: Vendor, client: Make, here: None, tmp_path: Path
) -> None:
    path = tmp_path / "data" / "out"
    path.parent.mkdir()
    dead = path.parent / ".out.0123456789ab.tmp"
    dead.mkdir()
    (dead / "part-0.parquet").touch()
    small, large = (dd.from_pandas(leads(n), npartitions=2) for n in (4, 8))
    small.leads.enrich(path, client=client(), **SHORT)
    old = {one.name for one in path.iterdir()}
    out = large.leads.enrich(f"{path}/", client=client(), **SHORT)
    assert old.isdisjoint(one.name for one in path.iterdir())
    assert len(out) == len(pd.read_parquet(path)) == len(leads(8))
    assert [one.name for one in path.parent.iterdir()] == ["out"]
    again = out.leads.enrich(path, client=client(), **SHORT)  # over the files that it reads
    assert_frame_equal(again.compute(), pd.read_parquet(path), check_freq=False)
    assert vendor.counts["spent"] == 8


def test_a_folder_that_cannot_be_replaced_is_refused_before_anything_is_spent(
    vendor: Vendor, client: Make, here: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ddf = dd.from_pandas(leads(), npartitions=2)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    (tmp_path / "file").touch()
    (tmp_path / "old").mkdir()

    def cannot(*_: str) -> None:
        raise OSError(22, "Invalid argument")

    for name, why in (("mine", "thesis.txt"), ("file", "is a file")):
        with pytest.raises(FileExistsError, match=why):
            ddf.leads.enrich(tmp_path / name, client=client(), **SHORT)
    monkeypatch.setattr(dataset, "exchange", cannot)
    with pytest.raises(FileExistsError, match="in one step"):
        ddf.leads.enrich(tmp_path / "old", client=client(), **SHORT)
    with pytest.raises(FileNotFoundError):
        ddf.leads.enrich(tmp_path / "no" / "such", client=client(), **SHORT)
    with pytest.raises(ValueError, match="Parquet"):
        ddf.leads.enrich(tmp_path / "out.csv", client=client(), **SHORT)
    assert vendor.counts["total"] == 0
    assert not any(one.name.endswith(".tmp") for one in tmp_path.iterdir())
    ddf.leads.enrich(tmp_path / "new", client=client(), **SHORT)
    assert len(list((tmp_path / "new").iterdir())) == 2


def test_a_reader_finds_the_old_dataset_or_the_new_one(tmp_path: Path) -> None:
    place = dataset.check_place(tmp_path / "out")
    stop = threading.Event()
    seen: list[set[str]] = []

    def write(number: int) -> None:
        token = dataset.new_token()
        names = [f"part-{part}-{token}.parquet" for part in range(4)]
        with dataset.staged(place, token) as stage:
            for name in names:
                (Path(stage) / name).write_text(str(number))
            dataset.put_in_place(place, stage, names)

    def read() -> None:
        while not stop.is_set():
            try:
                files = list((tmp_path / "out").iterdir())
                seen.append({one.read_text() for one in files})
            except FileNotFoundError:  # of the old one, after it has gone
                continue

    write(0)
    reader = threading.Thread(target=read)
    reader.start()
    for number in range(1, 100):
        write(number)
    stop.set()
    reader.join()
    assert seen
    assert all(len(one) <= 1 for one in seen)


def test_large_answers_go_beside_the_graph(
    vendor: Vendor, client: Make, here: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leads_pandas.dask, "_IN_GRAPH", 0)
    leads_pandas.dask._temporary_folder.cache_clear()
    ddf = dd.from_pandas(leads(), npartitions=3)
    expected = ddf.compute().leads.enrich(client=client(), **SHORT)
    with dask.config.set({"temporary-directory": str(tmp_path)}):
        lazy = ddf.leads.enrich(client=client(), **SHORT)
    (folder,) = tmp_path.glob("leads_pandas-*")
    same(lazy, expected)
    out = ddf.leads.enrich(tmp_path / "out", client=client(), **SHORT)
    same(out, expected)
    assert all(one.suffix == ".parquet" for one in (tmp_path / "out").iterdir())
    shutil.rmtree(folder)
    leads_pandas.dask._temporary_folder.cache_clear()


CALLER = """
import os, signal
from pathlib import Path
import dask
import dask.dataframe as dd
import leads_pandas.dask

def strike(part):
    if armed and part["lead_id"].iloc[-1] == ids[-1]:
        print("writing", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    return part

ids = df["lead_id"].tolist()
armed = []
dask.config.set(scheduler="synchronous")
ddf = dd.from_pandas(df, npartitions=4)
ddf = ddf.map_partitions(strike, meta=ddf._meta)
ddf.leads.enrich(os.environ["TEST_PATH"], confirm=lambda _: armed.append(1) or True,
                 client=client, progress=False)
"""


def test_a_caller_killed_while_writing_leaves_the_old_dataset(
    vendor: Vendor, client: Make, script: Callable[..., Script], here: None, tmp_path: Path
) -> None:
    vendor.reset(world(8))
    path = tmp_path / "data" / "out"
    path.parent.mkdir()
    old = dd.from_pandas(leads(4), npartitions=2).leads.enrich(path, client=client(), **SHORT)
    before = old.compute()
    code, said, errors = script(lead_ids(8), CALLER, TEST_PATH=str(path)).end(60)
    assert (code, said.strip()) == (-signal.SIGKILL, "writing"), errors
    assert_frame_equal(pd.read_parquet(path), before, check_freq=False)
    assert len(list(path.parent.iterdir())) == 2
    ddf = dd.from_pandas(pd.DataFrame({"lead_id": lead_ids(8)}), npartitions=4)
    ddf.leads.enrich(path, client=client(), **SHORT)
    assert pd.read_parquet(path)["lead_id"].tolist() == lead_ids(8)
    assert [one.name for one in path.parent.iterdir()] == ["out"]
    counts = vendor.counts
    assert counts["spent"] == 8
    assert set(counts["charges"].values()) == set(counts["reads"].values()) == {1}
