"""Frames found fit before anything is requested, and delivered: whatever their labels and types."""

from __future__ import annotations

import json
import os
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import leads_pandas
from leads_pandas import home
from leads_pandas.errors import ColumnConflictError
from leads_pandas.frames import receipt as receipts
from leads_pandas.frames.columns import COLUMNS, SCHEMA, answers
from leads_pandas.frames.delivery import Output, Prepared, by_value, deliver, prepare
from leads_pandas.frames.ids import distinct, recorded_ids
from leads_pandas.frames.parquet import read_receipt
from leads_pandas.frames.receipt import METADATA_KEY

if TYPE_CHECKING:
    from pathlib import Path


def answered(ready: Prepared, **facts: Any) -> pd.DataFrame:
    rows = [
        (lead, "found", [(f"{lead}@x.com", 0.5, "website"), ("second@x.com", 0.1, None)], 5)
        for lead in ready.asked
    ]
    return deliver(ready, answers(rows, **ready.wanted), facts)  # type: ignore[arg-type]


def enrich(frame: pd.DataFrame, path: object = None, on: Any = None, **options: Any) -> Any:
    return answered(prepare(frame, on, Output(path, **options)))  # type: ignore[arg-type]


def arrow(values: pa.Array[Any]) -> pd.Series[Any]:
    return pd.Series(pd.arrays.ArrowExtensionArray(values))


IDS = ["a", "b", "a"]
RUNS: Any = pa.RunEndEncodedArray.from_arrays(pa.array([3]), pa.array(["q"]))
ODD_TYPES: dict[str, Any] = {
    "string_view": arrow(pa.array(["p", "q", None], pa.string_view())),
    "binary_view": arrow(pa.array([b"p", b"q", None], pa.binary_view())),
    "run-end encoded": arrow(RUNS),
    "big-endian": np.array([1, 2, 3], ">i8"),
    "half floats": np.array([1, 2, 3], np.float16),
    "complex": np.array([1j, 2j, 3j]),
    "objects": np.array([object(), {1}, None], dtype=object),
}
LABELS: dict[str, pd.Index[Any]] = {
    "integers": pd.RangeIndex(2),
    "floats": pd.Index([0.5, 1.5]),
    "bools": pd.Index([True, False]),
    "dates": pd.to_datetime(["2026-01-01", "2026-01-02"]),
    "periods": pd.period_range("2026-01", periods=2, freq="M"),
    "tuples": pd.Index([("a", "b"), ("c", "d")], tupleize_cols=False),
    "NumPy's": pd.Index([np.int64(3), np.float32(4)], dtype=object),
    "0 beside its text": pd.Index([0, "0"], dtype=object),
    "its text beside 0": pd.Index(["0", 0], dtype=object),
    "missing on a level": pd.MultiIndex.from_tuples([("k", ""), ("s", np.nan)]),
    "categories on a level": pd.MultiIndex.from_arrays(
        [pd.Categorical(["k", "s"]), pd.Categorical(["", "t"])]
    ),
    "Arrow on a level": pd.MultiIndex.from_arrays(
        [pd.array(["k", "s"], "string[pyarrow]"), pd.array(["", "t"], "string[pyarrow]")]
    ),
    "one level": pd.MultiIndex.from_arrays([["k", "s"]]),
    "numbers on a level": pd.MultiIndex.from_product([["k"], [1, 2]]),
    "NaN": pd.Index([np.nan, 1.0]),
    "pd.NA": pd.Index([pd.NA, "x"], dtype=object),
}


def tried(frame: pd.DataFrame, on: Any, output: Output) -> tuple[Prepared | None, str]:
    try:
        return prepare(frame, on, output), ""
    except ValueError as refused:
        return None, str(refused)


@pytest.mark.parametrize("emails", ["best", "all"])
@pytest.mark.parametrize("to_file", [False, True])
@pytest.mark.parametrize("name", [*ODD_TYPES, *LABELS])
def test_what_cannot_be_returned_or_written_is_refused_beforehand(
    name: str, to_file: bool, emails: str, tmp_path: Path
) -> None:
    on = None
    if name in LABELS:
        frame = pd.DataFrame([["a", 1], ["b", 2]], columns=LABELS[name])
        on = frame.columns[0]
    else:
        frame = pd.DataFrame({"lead_id": IDS, "x": ODD_TYPES[name]})
    path = tmp_path / "out.parquet" if to_file else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that do not come back as they were
        ready, refusal = tried(frame, on, Output(path, emails=emails))
    if ready is None:
        assert "Nothing was requested" in refusal
        assert "\n" not in refusal
        return
    out = answered(ready)  # a late failure is one after the purchase; so is a late warning
    assert len(out) == len(frame) * (2 if emails == "all" else 1)
    assert path is None or len(pd.read_parquet(path)) == len(out)


def test_an_index_name_that_is_no_text_warns_beforehand(tmp_path: Path) -> None:
    frame = pd.DataFrame({"lead_id": IDS}, index=pd.Index([1, 2, 3], name=7))
    with pytest.warns(UserWarning, match="non-str index name"):
        ready = prepare(frame, None, Output(tmp_path / "out.parquet"))
    assert len(answered(ready)) == 3


@pytest.mark.parametrize("name", LABELS)
def test_the_same_line_and_fill_work_whatever_the_labels(name: str) -> None:
    frame = pd.DataFrame([["a", "p"], ["b", "p"]], columns=LABELS[name])
    on = frame.columns[0]
    out = enrich(frame, on=on)
    again = enrich(out, on=on)
    pd.testing.assert_frame_equal(again, out)
    assert prepare(out, on, Output(on_conflict="fill")).asked == []
    assert enrich(out, on=on, on_conflict="fill").attrs["leads"]["counts"]["found"] == 2
    assert recorded_ids(out, out.attrs["leads"]["on"]).unique == ["a", "b"]
    assert leads_pandas.summary(out)["found"] == 2
    assert leads_pandas.features(out, out.columns[1])["has_email"].all()


@pytest.mark.parametrize("names", [["x", 0], [1, 0], [True, False]], ids=str)
def test_index_levels_that_are_called_numbers_are_read_by_position(names: list[Any]) -> None:
    index = pd.MultiIndex.from_arrays([["a", "b"], ["p", "q"]], names=names)
    out = enrich(pd.DataFrame({"n": [1, 2]}, index=index), on=names[0])
    assert out["email"].tolist() == ["a@x.com", "b@x.com"]
    assert recorded_ids(out, out.attrs["leads"]["on"]).unique == ["a", "b"]


def test_an_index_that_pandas_hardly_knows_is_carried_along() -> None:
    index = pd.Index(pd.arrays.ArrowExtensionArray(pa.array(["p", "q", None], pa.string_view())))
    out = enrich(pd.DataFrame({"lead_id": IDS}, index=index))
    assert out["email"].tolist() == ["a@x.com", "b@x.com", "a@x.com"]
    assert enrich(out)["email"].tolist() == out["email"].tolist()
    assert leads_pandas.summary(out)["found"] == 2


# Through files and back


@pytest.mark.parametrize("name", [*LABELS, "bytes"])
def test_a_file_still_tells_where_its_leads_are_whatever_the_labels_were(
    name: str, tmp_path: Path
) -> None:
    labels = LABELS.get(name, pd.Index([b"a", b"b"]))
    frame = pd.DataFrame([["a", "p"], ["b", "p"]], columns=labels)
    path = tmp_path / "out.parquet"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that do not come back as they were
        ready, refusal = tried(frame, frame.columns[0], Output(path))
        if ready is None:  # 0 beside "0"
            assert "Nothing was requested" in refusal
            return
        answered(ready)
    back = pd.read_parquet(path)
    assert leads_pandas.summary(back)[["leads", "found"]].tolist() == [2, 2]
    assert leads_pandas.features(back, back.columns[1])["has_email"].all()


def through_csv(out: pd.DataFrame, folder: Path, **options: Any) -> Any:
    out.to_csv(folder / "out.csv", index=False)
    return pd.read_csv(folder / "out.csv", **options)


def through_json(out: pd.DataFrame, folder: Path, **options: Any) -> Any:
    out.to_json(folder / "out.json", date_format="iso", **options)
    return pd.read_json(folder / "out.json", **options)


def through_feather(out: pd.DataFrame, folder: Path, **options: Any) -> Any:
    out.to_feather(folder / "out.feather")
    return pd.read_feather(folder / "out.feather", **options)


def through_pickle(out: pd.DataFrame, folder: Path) -> Any:
    out.to_pickle(folder / "out.pkl")
    return pd.read_pickle(folder / "out.pkl")  # noqa: S301 - written above


WAYS: dict[str, Any] = {
    "CSV": through_csv,
    "CSV, all text": partial(through_csv, dtype=str),
    "CSV, blanks": partial(through_csv, keep_default_na=False),
    "CSV, Arrow": partial(through_csv, dtype_backend="pyarrow"),
    "JSON": partial(through_json, orient="records"),
    "JSON, by column": through_json,
    "Feather": through_feather,
    "Feather, Arrow": partial(through_feather, dtype_backend="pyarrow"),
    "pickle": through_pickle,
    # Excel holds no time zones: its users take them off.
    "Excel": lambda out, _: out.assign(enriched_at=out["enriched_at"].dt.tz_localize(None)),
    "objects": lambda out, _: out.astype(object),
}
MOMENT = 1_777_980_180_000_000


@pytest.mark.parametrize("way", WAYS)
def test_a_result_that_went_through_a_file_is_filled_summed_up_and_scored(
    way: str, tmp_path: Path
) -> None:
    ready = prepare(
        pd.DataFrame({"lead_id": ["a", "b", "c", None, "a"], "website": "x.com"}), None, Output()
    )
    rows: list[Any] = [
        ("a", "found", [("a@x.com", 0.5, "website")], MOMENT),
        ("b", "not_found", [], MOMENT),
        ("c", "failed", [], None),
    ]
    out = deliver(ready, answers(rows), {})
    back = WAYS[way](out, tmp_path)
    again = prepare(back, None, Output(on_conflict="fill"))
    assert again.asked == ["c"]
    filled = deliver(again, answers(rows[2:]), {})
    pd.testing.assert_frame_equal(filled[list(COLUMNS)], out[list(COLUMNS)])
    told = ["leads", "found", "not_found", "failed", "mean_confidence"]
    pd.testing.assert_series_equal(
        leads_pandas.summary(back)[told], leads_pandas.summary(out)[told]
    )
    pd.testing.assert_frame_equal(
        leads_pandas.features(back, as_of="2026-06-01"),
        leads_pandas.features(out, as_of="2026-06-01"),
    )


def test_a_confidence_that_is_no_number_is_named_by_its_row() -> None:
    out = enrich(pd.DataFrame({"lead_id": ["a"]})).assign(confidence="0,5")
    for look in (leads_pandas.summary, leads_pandas.features):
        with pytest.raises(ValueError, match="'confidence' cannot be read: row 0 holds '0,5'"):
            look(out.assign(website="x.com"))


# What a receipt says


def test_the_receipt_counts_rows_and_leads() -> None:
    receipt = enrich(pd.DataFrame({"lead_id": ["a", None, "a", "b", " "]})).attrs["leads"]
    assert receipt["format"] == 2
    assert receipt["rows"] == {"total": 5, "without_id": 2, "duplicate": 1}
    assert receipt["counts"]["found"] == 2


def test_the_receipt_counts_what_this_call_bought() -> None:
    ready = prepare(pd.DataFrame({"lead_id": ["a", "b", "c"]}), None, Output())
    table = answers(
        [("a", "found", [("a@x", 1.0, None)], 5), ("b", "not_found", [], 5), ("c", "found", [], 5)]
    )
    out = deliver(ready, table, {"credits_new": 2}, bought=["a", "b"])
    assert out.attrs["leads"]["bought"] == {"leads": 2, "found": 1}
    assert out.attrs["leads"]["credits_new"] == 2


def test_a_receipt_is_read_from_a_file_and_from_a_dataset(tmp_path: Path) -> None:
    out = enrich(pd.DataFrame({"lead_id": IDS, "day": [1, 2, 1]}), tmp_path / "out.parquet")
    receipt = out.attrs["leads"]
    assert read_receipt(tmp_path / "out.parquet") == receipt
    out.to_parquet(tmp_path / "by_day", partition_cols=["day"])
    assert read_receipt(tmp_path / "by_day") == receipt
    assert read_receipt((tmp_path / "by_day").as_uri()) == receipt
    assert json.loads(pq.read_schema(tmp_path / "out.parquet").metadata[METADATA_KEY]) == receipt


def test_a_path_may_begin_at_the_users_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    enrich(pd.DataFrame({"lead_id": IDS}), "~/out.parquet")
    assert [one.name for one in tmp_path.iterdir()] == ["out.parquet"]
    assert read_receipt("~/out.parquet")["counts"]["found"] == 2


@pytest.mark.parametrize(
    "name", ["o.csv", "o.csv.gz", "o.feather", "o.pkl", "o.XLSX", "o.jsonl", "o.parquet.gz"]
)
def test_the_name_of_another_format_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="its name says otherwise") as raised:
        prepare(pd.DataFrame({"lead_id": IDS}), None, Output(tmp_path / name))
    assert str(raised.value).endswith("call it o.parquet")


def test_a_nul_in_a_path_is_a_clear_error() -> None:
    with pytest.raises(ValueError, match="NUL character"):
        prepare(pd.DataFrame({"lead_id": IDS}), None, Output("a\0b.parquet"))


def test_systems_without_posix_names_write_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("geteuid", "O_CLOEXEC", "chown"):
        monkeypatch.delattr(os, name)
    frame = pd.DataFrame({"lead_id": IDS})
    enrich(frame, tmp_path / "out.parquet")
    enrich(frame, tmp_path / "out.parquet")
    assert len(pd.read_parquet(tmp_path / "out.parquet")) == 3


def test_a_version_that_is_not_installed_is_null(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import PackageNotFoundError

    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(home, "installed_version", missing)
    assert enrich(pd.DataFrame({"lead_id": IDS})).attrs["leads"]["version"] == "unknown"


# Whose a column is


def crm(out: pd.DataFrame, *names: str) -> pd.DataFrame:
    """The result, its columns replaced by a CRM's own; the receipt stays."""
    told = pd.DataFrame({"lead_id": ["a", "b"], **{name: ["own1", "own2"] for name in names}})
    merged = out.drop(columns=list(names)).merge(told, on="lead_id", how="left")
    merged.attrs = out.attrs
    return merged


@pytest.mark.parametrize("name", ["email", "source"])
def test_a_column_of_the_same_name_that_is_not_ours_is_never_replaced(name: str) -> None:
    merged = crm(enrich(pd.DataFrame({"lead_id": IDS})), name)
    with pytest.raises(ColumnConflictError, match=f"already have '{name}';"):
        enrich(merged)
    assert merged[name].tolist() == ["own1", "own2", "own1"]


def test_a_part_of_a_result_in_any_order_is_ours() -> None:
    out = enrich(pd.DataFrame({"lead_id": [f"l{n}" for n in range(500)]}))
    for part in (out.head(3), out.sample(50, random_state=1), out[::-1], out.iloc[:0]):
        assert len(enrich(part)) == len(part)
    assert len(enrich(pd.concat([out, out]))) == 1000


@pytest.mark.parametrize("row", [0, 3, 499])
def test_a_cell_that_was_corrected_by_hand_is_never_replaced(row: int) -> None:
    out = enrich(pd.DataFrame({"lead_id": [f"l{n}" for n in range(500)]}))
    assert len(enrich(out[::-1])) == 500
    out.loc[row, "email"] = "corrected@crm.example"
    with pytest.raises(ColumnConflictError, match="already have 'email';"):
        enrich(out[::-1])


def test_of_more_rows_than_can_be_looked_at_the_marked_ones_tell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(receipts, "_SUMMED", 2)
    out = enrich(pd.DataFrame({"lead_id": IDS}))
    assert out.attrs["leads"]["sums"] is None
    assert len(enrich(out)) == 3
    with pytest.raises(ColumnConflictError, match="already have 'email';"):
        enrich(out.assign(email="own"))


def test_columns_of_a_result_without_rows_are_ours_whatever_their_types_are() -> None:
    out = enrich(pd.DataFrame({"lead_id": []})).astype(object)
    assert len(enrich(out)) == 0


def test_the_same_line_runs_on_a_big_endian_column() -> None:
    frame = pd.DataFrame({"lead_id": IDS, "x": np.array([1, 2, 3], ">i8")})
    again = enrich(enrich(frame).assign(more=1))
    assert list(again.columns[:3]) == ["lead_id", "x", "more"]
    assert again["x"].tolist() == [1, 2, 3]


def test_a_part_without_a_marked_lead_is_told_by_its_statuses() -> None:
    frame = pd.DataFrame({"lead_id": [f"l{n}" for n in range(500)]})
    ready = prepare(frame, None, Output())
    rows: list[Any] = [(lead, "not_found", [], 5) for lead in ready.asked]
    out = deliver(ready, answers(rows), {})
    marked = out.attrs["leads"]["marks"]
    part = out.iloc[1:3].assign(email=["own1", "own2"])
    assert len(marked) == 64
    with pytest.raises(ColumnConflictError, match="already have 'email';"):
        enrich(part)


def test_names_that_differ_in_case_alone_are_a_warning() -> None:
    with pytest.warns(UserWarning, match="'Email' and the new 'email' differ in case alone"):
        enrich(pd.DataFrame({"lead_id": IDS, "Email": "x"}))


def test_fill_takes_what_came_back_as_text_or_as_nothing() -> None:
    out = enrich(pd.DataFrame({"lead_id": ["a", "b"]}))
    text = out.assign(
        confidence=["0.5", ""], email=["a@x.com", None], enrichment_status=["found", "failed"]
    )
    text["source"] = pd.Series([None, None], dtype=pd.ArrowDtype(pa.null()))
    ready = prepare(text, None, Output(on_conflict="fill"))
    assert ready.asked == ["b"]
    assert answered(ready)["confidence"].tolist() == [0.5, 0.5]


# By value, for other engines


def test_answers_by_value_keep_a_row_for_each_value_as_given() -> None:
    given = distinct([" a", "a", None, "b", "a", ""])
    rows: list[Any] = [
        (lead, "found", [(f"{lead}1@x", 0.5, None), (f"{lead}2@x", 0.4, None)], 5)
        for lead in given.unique
    ]
    table, _ = by_value(given, answers(rows))
    assert table.schema == pa.schema([("lead_id", pa.string()), *SCHEMA])
    assert table["lead_id"].to_pylist() == [" a", "a", "b"]
    assert table["email"].to_pylist() == ["a1@x", "a1@x", "b1@x"]
    table, codes = by_value(given, answers(rows, emails="all"))
    assert table["lead_id"].to_pylist() == [" a", " a", "a", "a", "b", "b"]
    assert table["email"].to_pylist() == ["a1@x", "a2@x"] * 2 + ["b1@x", "b2@x"]
    assert codes.tolist() == [0, 0, 0, 0, 1, 1]
    assert table.column_names[1:] == list(COLUMNS)


@pytest.mark.parametrize(
    ("ids", "kind"),
    [
        (pd.Series([1.0, 2.0, None]), pa.float64()),
        (pd.Series([1, 2], dtype="Int64"), pa.int64()),
        (pa.array(["a", "b"]), pa.string()),
        (pa.chunked_array([["a"], ["b", "a"]]).dictionary_encode(), pa.string()),
        (pd.Series(["a", "b"], dtype="category"), None),
        ({"a": 1, "b": 2}.keys(), pa.string()),
        ([2**70, 1], pa.string()),
        ([1, "a"], pa.string()),
    ],
    ids=str,
)
def test_values_keep_their_type_where_they_have_one(ids: Any, kind: Any) -> None:
    given = distinct(ids)
    assert kind is None or given.as_given.type == kind
    assert given.codes.tolist() == [0, 1]
