from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from leads_pandas.cli import files

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = ["007", "0012", "NA", "null", "1e5", "9007199254740993", "12345678901234567890", "a b"]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_lead_ids_stay_as_they_stand_in_the_file(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.{suffix}"
    df = pd.DataFrame({"n": range(len(TEXTS)), "lead_id": TEXTS})
    if suffix == "jsonl":
        path.write_text("\n".join(json.dumps(row) for row in df.to_dict("records")))
    elif suffix == "parquet":
        df.to_parquet(path)
    else:
        df.to_csv(path, index=False, sep="\t" if suffix == "tsv" else ",")
    out = files.read(str(path))
    assert out["lead_id"].tolist() == TEXTS
    assert out["n"].dtype == np.int64


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.csv", "lead_id,n\n9007199254740993,1\n,2\n7,3\n"),
        ("x.tsv", "lead_id\tn\n9007199254740993\t1\n\t2\n7\t3\n"),
        ("x.jsonl", '{"lead_id": 9007199254740993}\n{"lead_id": null}\n\n{"lead_id": 7.0}\n'),
    ],
)
def test_whole_numbers_stay_whole_beside_a_missing_one(
    name: str, content: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content)
    ids = files.read(str(tmp_path / name))["lead_id"]
    assert ids.isna().tolist() == [False, True, False]
    assert ids.dropna().tolist() == ["9007199254740993", "7"]


@pytest.mark.parametrize("kind", [pa.int64(), pa.uint64()])
def test_whole_numbers_of_parquet_stay_whole_beside_a_missing_one(
    kind: pa.DataType, tmp_path: Path
) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"lead_id": pa.array([2**53 + 1, None, 7], kind)}), path)
    ids = files.read(str(path))["lead_id"]
    assert ids.isna().tolist() == [False, True, False]
    assert ids.dropna().tolist() == [2**53 + 1, 7]


def test_the_id_column_is_the_one_that_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("lead_id,ref\n007,008\n")
    assert files.read(str(tmp_path / "x.csv"), on="ref").iloc[0].tolist() == [7, "008"]
    assert files.read(str(tmp_path / "x.csv")).iloc[0].tolist() == ["007", 8]


def test_an_id_column_comes_last_of_the_names_that_are_looked_for(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("id,leadId\n007,008\n")
    assert files.read(str(tmp_path / "x.csv")).iloc[0].tolist() == [7, "008"]


def test_a_byte_order_mark_is_no_part_of_the_header(tmp_path: Path) -> None:
    for name, text in (("x.csv", "lead_id,n\n007,1\n"), ("x.jsonl", '{"lead_id": "007"}\n')):
        (tmp_path / name).write_text(text, encoding="utf-8-sig")
        assert files.read(str(tmp_path / name))["lead_id"].tolist() == ["007"]


def test_standard_input_is_csv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"lead_id\n007\n")))
    assert files.read("-")["lead_id"].tolist() == ["007"]


def test_a_suffix_in_capitals_is_the_same_suffix(tmp_path: Path) -> None:
    (tmp_path / "X.CSV").write_text("lead_id\n007\n")
    assert files.read(str(tmp_path / "X.CSV"))["lead_id"].tolist() == ["007"]


def test_a_header_alone_is_an_empty_frame(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("lead_id,n\n")
    assert files.read(str(tmp_path / "x.csv")).shape == (0, 2)
