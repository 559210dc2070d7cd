from __future__ import annotations

import datetime as dt
import decimal
import io
import json
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import leads_pandas
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


CELLS = ["01067", "NA", "None", "12345678901234567", "1e5", "+49 30 1", "1.50", "TRUE", " x ", ""]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "csv.gz", "tsv.gz"])
def test_text_stays_text_and_only_what_is_empty_is_missing(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.{suffix}"
    df = pd.DataFrame({"lead_id": range(len(CELLS)), "cell": CELLS})
    df.to_csv(path, index=False, sep="\t" if "tsv" in suffix else ",")
    cells = files.read(str(path))["cell"]
    assert cells[:-1].tolist() == CELLS[:-1]
    assert cells.isna().tolist() == [False] * (len(CELLS) - 1) + [True]


def test_a_column_without_a_cell_is_of_text_as_it_is_on_other_days(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("lead_id,phone\nA,\nB,\n")
    told = pa.Table.from_pandas(files.read(str(path)))
    assert {str(kind) for kind in told.schema.types} <= {"string", "large_string"}


TYPED = pa.table(
    {
        "lead_id": ["a", "b", None],
        "whole": pa.array([2**53 + 1, None, 3], pa.int64()),
        "small": pa.array([1, None, 3], pa.uint8()),
        "flag": pa.array([True, None, False]),
        "price": pa.array(
            [decimal.Decimal("1.50"), None, decimal.Decimal("2.25")], pa.decimal128(9, 2)
        ),
        "kind": pa.array(["x", None, "x"], pa.dictionary(pa.int32(), pa.string())),
        "day": pa.array([dt.date(2026, 1, 2), None, None], pa.date32()),
        "clock": pa.array([dt.time(1, 2, 3), None, None], pa.time64("ns")),
        "moment": pa.array(
            [dt.datetime(2026, 1, 2, tzinfo=dt.UTC), None, None], pa.timestamp("us", "UTC")
        ),
        "local": pa.array([1_767_312_000_000, None, None], pa.timestamp("ms")),
        "tags": pa.array([["x"], None, []], pa.list_(pa.string())),
        "pair": pa.array([{"a": 1, "b": "x"}, None, {"a": None, "b": "y"}]),
        "nothing": pa.array([None, None, None], pa.int64()),
        "floats": pa.array([1.5, None, 2.0]),
        "nans": pa.array([1.5, None, float("nan")]),
    }
)


def test_the_types_of_parquet_stay_in_what_is_written(tmp_path: Path) -> None:
    pq.write_table(TYPED, tmp_path / "x.parquet")
    frame: Any = files.read(str(tmp_path / "x.parquet"))
    frame.leads.results(tmp_path / "out.parquet", on="lead_id", client=quiet_client(tmp_path))
    out = pq.read_table(tmp_path / "out.parquet").select(TYPED.column_names)
    for name in TYPED.column_names[1:]:
        assert out.column(name).type == TYPED.column(name).type, name
        assert out.column(name).equals(TYPED.column(name)) or name == "nans", name
    assert out.column("nans").is_null().to_pylist() == [False, True, False]


def quiet_client(folder: Path) -> leads_pandas.LeadsClient:
    """A client that is asked for what its store holds alone."""
    return leads_pandas.LeadsClient("ll_0", "http://127.0.0.1:9")


def test_a_file_of_pandas_comes_with_its_index_and_its_attributes(tmp_path: Path) -> None:
    df = pd.DataFrame({"n": [1, 2]}, index=pd.Index(["a", "b"], name="lead_id"))
    df.attrs = {"by": "me"}
    df.to_parquet(tmp_path / "x.parquet")
    out = files.read(str(tmp_path / "x.parquet"))
    pd.testing.assert_frame_equal(out, df)
    assert out.attrs == df.attrs


@pytest.mark.parametrize("levels", [["customer"], ["customer", "n"]])
def test_whole_numbers_of_an_index_stay_whole_beside_a_missing_one(
    levels: list[str], tmp_path: Path
) -> None:
    numbers = pd.array([2**53 + 1, None], dtype="Int64")
    df = pd.DataFrame({"lead_id": ["a", "b"], "customer": numbers, "n": [1, 2]}).set_index(levels)
    df.to_parquet(tmp_path / "x.parquet")
    frame: Any = files.read(str(tmp_path / "x.parquet"))
    assert list(frame.index.names) == levels
    frame.leads.results(tmp_path / "out.parquet", client=quiet_client(tmp_path))
    out = pq.read_table(tmp_path / "out.parquet").column("customer")
    assert (out.type, out.to_pylist()) == (pa.int64(), [2**53 + 1, None])


def test_values_of_json_keep_their_types(tmp_path: Path) -> None:
    rows = [
        {
            "lead_id": "007",
            "n": 12345678901234567,
            "x": 1,
            "mixed": 1,
            "day": "2026-01-02",
            "l": ["a"],
        },
        {"lead_id": "008", "n": None, "x": 2.5, "mixed": "b", "day": None, "l": None},
    ]
    (tmp_path / "x.jsonl").write_text("\n".join(map(json.dumps, rows)))
    out = files.read(str(tmp_path / "x.jsonl"))
    assert out["n"].tolist()[0] == 12345678901234567
    assert out["n"].isna().tolist() == [False, True]
    assert out["x"].tolist() == [1.0, 2.5]
    assert out["mixed"].tolist() == ["1", "b"]
    assert out["day"].tolist()[0] == "2026-01-02"
    assert pa.Table.from_pandas(out, preserve_index=False).schema.field("n").type == pa.int64()


def test_other_separators_and_encodings_are_read_where_they_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes("lead_id;name\n007;M\u00fcller, Ltd\n".encode("cp1252"))
    out = files.read(str(path), sep=";", encoding="cp1252")
    assert out.iloc[0].tolist() == ["007", "M\u00fcller, Ltd"]
    path.write_bytes("lead_id,name\n007,x\n".encode("utf-16"))
    assert files.read(str(path), encoding="utf-16")["lead_id"].tolist() == ["007"]


@pytest.mark.parametrize(
    ("content", "encoding"),
    [("lead_id,n\n007,1\n", "utf-16"), ("sep=;\r\nlead_id;n\r\n007;1,5\r\n", "utf-8-sig")],
)
def test_what_a_file_says_of_itself_need_not_be_named(
    content: str, encoding: str, tmp_path: Path
) -> None:
    (tmp_path / "x.csv").write_text(content, encoding=encoding, newline="")
    out = files.read(str(tmp_path / "x.csv"))
    assert list(out.columns) == ["lead_id", "n"]
    assert out["lead_id"].tolist() == ["007"]


def test_a_tilde_is_the_users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("x.csv", "x.parquet"):
        frame = pd.DataFrame({"lead_id": ["007"]})
        frame.to_csv(tmp_path / name, index=False) if "csv" in name else frame.to_parquet(
            tmp_path / name
        )
        assert files.read(f"~/{name}")["lead_id"].tolist() == ["007"]


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
