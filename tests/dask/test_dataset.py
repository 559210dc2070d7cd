"""A dataset on disk: read alike by every engine, the old one or the new one, never a mixture."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import dask
import dask.dataframe as dd
import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pandas.testing import assert_frame_equal
from pyarrow import fs

import leads_pandas as lp
import leads_pandas.dask
from leads_pandas.dask import dataset
from tests.support.engines import QUIET, draw, fail, leads, mapped, same

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.harness import Vendor

    Make = Callable[..., lp.LeadsClient]


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # of Dask itself
def test_a_dataset_is_read_alike_by_every_engine(
    vendor: Vendor, client: Make, here: None, tmp_path: Path
) -> None:
    path = tmp_path / "out"
    ddf = dd.from_pandas(leads(), npartitions=3)
    out = ddf.leads.enrich(path, client=client(), **QUIET)
    expected = ddf.compute().leads.enrich(client=client(), **QUIET)
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


@pytest.mark.filterwarnings("ignore:The DataFrame has column names of mixed type")  # of pyarrow
def test_labels_that_are_no_text_come_back_from_the_files(
    vendor: Vendor, client: Make, here: None, tmp_path: Path
) -> None:
    df = leads().rename(columns={"n": 5}).rename_axis("kind")  # and an index named like a column
    ddf = dd.from_pandas(df, npartitions=2)
    out = ddf.leads.enrich(tmp_path / "out", client=client(), **QUIET)
    same(out, ddf.compute().leads.enrich(client=client(), **QUIET))
    assert out[["email", 5]].compute()[5].tolist() == df[5].tolist()


def test_a_dataset_takes_the_place_of_an_older_one_and_nothing_is_left_beside_it(
    vendor: Vendor, client: Make, here: None, tmp_path: Path
) -> None:
    path = tmp_path / "data" / "out"
    path.parent.mkdir()
    dead = path.parent / ".out.0123456789ab.tmp"
    dead.mkdir()
    (dead / "part-0.parquet").touch()
    small, large = (dd.from_pandas(leads(n), npartitions=2) for n in (4, 8))
    small.leads.enrich(path, client=client(), **QUIET)
    old = {one.name for one in path.iterdir()}
    out = large.leads.enrich(f"{path}/", client=client(), **QUIET)
    assert old.isdisjoint(one.name for one in path.iterdir())
    assert len(out) == len(pd.read_parquet(path)) == len(leads(8))
    assert [one.name for one in path.parent.iterdir()] == ["out"]
    again = out.leads.enrich(path, client=client(), **QUIET)  # over the files that it reads
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
            ddf.leads.enrich(tmp_path / name, client=client(), **QUIET)
    monkeypatch.setattr(dataset, "exchange", cannot)
    with pytest.raises(FileExistsError, match="in one step"):
        ddf.leads.enrich(tmp_path / "old", client=client(), **QUIET)
    with pytest.raises(FileNotFoundError):
        ddf.leads.enrich(tmp_path / "no" / "such", client=client(), **QUIET)
    with pytest.raises(ValueError, match="Parquet"):
        ddf.leads.enrich(tmp_path / "out.csv", client=client(), **QUIET)
    assert vendor.counts["total"] == 0
    assert not any(one.name.endswith(".tmp") for one in tmp_path.iterdir())
    ddf.leads.enrich(tmp_path / "new", client=client(), **QUIET)
    assert len(list((tmp_path / "new").iterdir())) == 2


def test_an_object_store_gets_a_new_dataset_and_keeps_an_old_one(
    vendor: Vendor, client: Make, here: None, tmp_path: Path
) -> None:
    ddf = dd.from_pandas(leads(), npartitions=3)
    options = QUIET | {"client": client()}
    out = ddf.leads.enrich("fsspec+memory:///bucket/out", **options)
    same(out, ddf.compute().leads.enrich(**options))
    assert lp.read_receipt("fsspec+memory:///bucket/out")["counts"]["found"] == 6
    total = vendor.counts["total"]
    with pytest.raises(FileExistsError, match="in one step"):
        ddf.leads.enrich("fsspec+memory:///bucket/out", refresh=True, **options)
    assert vendor.counts["total"] == total
    # What a failed write has left is no dataset that would be in the way of the next.
    sword = tmp_path / "sword"
    failing = mapped(ddf, fail, str(sword))
    more = dd.from_pandas(pd.DataFrame({"lead_id": ["lead020"]}), npartitions=1)
    failing = dd.concat([failing, more])
    with pytest.raises(ConnectionError):
        failing.leads.enrich(
            "fsspec+memory:///bucket/new", confirm=lambda _: draw(sword), **options
        )
    failing.leads.enrich("fsspec+memory:///bucket/new", **options)
    assert vendor.counts["starts"] == 2
    # Nor does it touch what somebody else has put there since the path was checked.
    url = "fsspec+memory:///bucket/theirs"
    filesystem, location = fs.FileSystem.from_uri(url)

    def agree(_: object) -> bool:
        filesystem.create_dir(location)
        with filesystem.open_output_stream(f"{location}/theirs.parquet") as file:
            file.write(b"theirs")
        return True

    last = dd.from_pandas(pd.DataFrame({"lead_id": ["lead021"]}), npartitions=1)
    with pytest.raises(FileExistsError, match="another path"):
        last.leads.enrich(url, confirm=agree, **options)
    assert filesystem.get_file_info([f"{location}/theirs.parquet"])[0].size == 6


@pytest.mark.parametrize("name", ["thesis.txt", ""])
def test_what_was_put_in_its_place_meanwhile_is_not_replaced(
    vendor: Vendor, client: Make, here: None, tmp_path: Path, name: str
) -> None:
    theirs = tmp_path / "out" / name

    def agree(_: object) -> bool:
        theirs.parent.mkdir(exist_ok=True)
        theirs.write_text("theirs")
        return True

    ddf = dd.from_pandas(leads(), npartitions=2)
    with pytest.raises(FileExistsError, match="another path"):
        ddf.leads.enrich(tmp_path / "out", confirm=agree, client=client(), **QUIET)
    assert theirs.read_text() == "theirs"
    assert [one.name for one in tmp_path.iterdir() if one.name != "leads-pandas-home"] == ["out"]
    ddf.leads.enrich(tmp_path / "new", client=client(), **QUIET)
    assert vendor.counts["starts"] == 1


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
    expected = ddf.compute().leads.enrich(client=client(), **QUIET)
    with dask.config.set({"temporary-directory": str(tmp_path)}):
        lazy = ddf.leads.enrich(client=client(), **QUIET)
    (folder,) = tmp_path.glob("leads_pandas-*")
    same(lazy, expected)
    out = ddf.leads.enrich(tmp_path / "out", client=client(), **QUIET)
    same(out, expected)
    assert all(one.suffix == ".parquet" for one in (tmp_path / "out").iterdir())
    shutil.rmtree(folder)
    leads_pandas.dask._temporary_folder.cache_clear()
