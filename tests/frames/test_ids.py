"""Lead IDs out of frames."""

from __future__ import annotations

import enum
import logging
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from leads_pandas.errors import LeadIdError
from leads_pandas.frames.ids import distinct, lead_ids

MOMENT = datetime(2026, 5, 5, 11, 23, tzinfo=UTC)
TEXT = pd.Series([""]).dtype


def read(values: Any, **kind: Any) -> tuple[list[int], list[str]]:
    ids = lead_ids(pd.DataFrame({"lead_id": pd.Series(values, **kind)}))
    assert ids.codes.dtype == np.intp
    return ids.codes.tolist(), ids.unique


class Color(str, enum.Enum):  # noqa: UP042 - unlike StrEnum, str() of it is not its text
    RED = "red"


# Finding the column


def test_lead_id_is_found_before_lead_id_in_camel_case_and_before_id() -> None:
    frame = pd.DataFrame({"id": ["c"], "leadId": ["b"], "lead_id": ["a"]})
    assert lead_ids(frame).unique == ["a"]
    assert lead_ids(frame[["id", "leadId"]]).unique == ["b"]
    assert lead_ids(frame[["id"]]).unique == ["c"]


def test_a_column_is_found_before_an_index_level_of_the_other_name() -> None:
    frame = pd.DataFrame({"leadId": ["column"]}, index=pd.Index(["level"], name="lead_id"))
    assert lead_ids(frame).unique == ["column"]


def test_an_index_level_is_found_before_a_column_called_id() -> None:
    frame = pd.DataFrame({"id": ["column"]}, index=pd.Index(["level"], name="lead_id"))
    ids = lead_ids(frame)
    assert (ids.unique, ids.kind, ids.name) == (["level"], "level", "lead_id")


def test_id_is_logged_since_it_may_be_anything(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "leads_pandas"):
        lead_ids(pd.DataFrame({"lead_id": ["a"]}))
        assert not caplog.records
        lead_ids(pd.DataFrame(index=pd.Index(["a"], name="id")))
    assert ["level 'id'" in record.message for record in caplog.records] == [True]


def test_on_names_a_column_before_an_index_level() -> None:
    frame = pd.DataFrame({"place": ["column"]}, index=pd.Index(["level"], name="place"))
    assert lead_ids(frame, "place").kind == "column"
    assert lead_ids(frame.drop(columns="place"), "place").unique == ["level"]


def test_on_may_be_any_label_and_is_told_apart_by_type() -> None:
    frame = pd.DataFrame([["a", "b", "c"]], columns=pd.Index([1, True, ("x", "y")], dtype=object))
    assert lead_ids(frame, 1).unique == ["a"]
    assert lead_ids(frame, True).unique == ["b"]
    assert lead_ids(frame, ("x", "y")).unique == ["c"]
    assert lead_ids(frame, np.int64(1)).unique == ["a"]
    with pytest.raises(LeadIdError):
        lead_ids(frame, 2)


def test_a_level_of_a_multiindex_holds_ids() -> None:
    index = pd.MultiIndex.from_tuples([("b", 1), ("a", 1), ("b", 2)], names=["lead_id", "day"])
    ids = lead_ids(pd.DataFrame({"x": range(3)}, index=index))
    assert (ids.codes.tolist(), ids.unique) == ([0, 1, 0], ["b", "a"])


def test_multiindex_columns_are_found_by_their_first_level() -> None:
    columns = pd.MultiIndex.from_tuples([("lead_id", ""), ("stats", "a"), ("stats", "b")])
    frame = pd.DataFrame([["x", 1, 2]], columns=columns)
    assert (lead_ids(frame).unique, lead_ids(frame).name) == (["x"], "lead_id")
    assert lead_ids(frame, ("stats", "a")).unique == ["1"]
    with pytest.raises(LeadIdError, match="2 columns are called 'stats'"):
        lead_ids(frame, "stats")


def test_nothing_found_lists_columns_and_levels() -> None:
    frame = pd.DataFrame({"name": ["x"], "city": ["y"]}, index=pd.Index([1], name="row"))
    with pytest.raises(LeadIdError, match=r"'name', 'city', and the index levels 'row'.*on=…"):
        lead_ids(frame)
    with pytest.raises(LeadIdError, match=r"called 'place'; there are the columns 'name'"):
        lead_ids(frame, "place")


def test_a_wide_frame_is_not_listed_whole() -> None:
    frame = pd.DataFrame([[0] * 500], columns=[f"c{i}" for i in range(500)])
    with pytest.raises(LeadIdError, match="'c29' and 470 more") as raised:
        lead_ids(frame)
    assert "c30" not in str(raised.value)


def test_two_columns_of_one_name_are_ambiguous() -> None:
    frame = pd.DataFrame([["a", "b"]], columns=["lead_id", "lead_id"])
    with pytest.raises(LeadIdError, match="2 columns are called 'lead_id'"):
        lead_ids(frame)


def test_a_list_is_no_column_label() -> None:
    with pytest.raises(LeadIdError):
        lead_ids(pd.DataFrame({"lead_id": ["a"]}), ["lead_id"])  # type: ignore[arg-type]  # the point


def test_missing_column_labels_do_not_disturb() -> None:
    frame = pd.DataFrame([[1, 2, "a"]], columns=pd.Index([pd.NA, np.nan, "lead_id"], dtype=object))
    assert lead_ids(frame).unique == ["a"]


# Reading the values


def test_strings_are_stripped_and_duplicates_share_a_code() -> None:
    assert read([" a", "b", "a ", "\ta\n", "B"]) == ([0, 1, 0, 0, 2], ["a", "b", "B"])


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT, "", "  ", "\t\n"])
def test_missing_and_blank_ids_are_skipped(missing: Any) -> None:
    assert read(["a", missing, "b"], dtype=object) == ([0, -1, 1], ["a", "b"])


TEXT_TYPES = [
    object,
    "category",
    "string[python]",
    "string[pyarrow]",
    pd.ArrowDtype(pa.string()),
    pd.ArrowDtype(pa.large_string()),
    pd.ArrowDtype(pa.dictionary(pa.int8(), pa.string())),
    *([TEXT] if isinstance(TEXT, pd.StringDtype) else []),
]


@pytest.mark.parametrize("dtype", TEXT_TYPES, ids=str)
def test_every_kind_of_text_column_reads_alike(dtype: Any) -> None:
    cells = ["b", None, " b ", "a", "  ", "ü", "a"]
    assert read(cells, dtype=dtype) == ([0, -1, 0, 1, -1, 2, 1], ["b", "a", "ü"])


@pytest.mark.parametrize("dtype", TEXT_TYPES, ids=str)
def test_every_kind_of_text_column_may_be_empty_or_all_missing(dtype: Any) -> None:
    assert read([], dtype=dtype) == ([], [])
    assert read([None, None], dtype=dtype) == ([-1, -1], [])


NUMBER_TYPES = [
    "int8",
    "uint8",
    "int64",
    "uint64",
    "float16",
    "float32",
    "float64",
    "Int8",
    "UInt64",
    "Float32",
    "Float64",
    "int64[pyarrow]",
    "uint8[pyarrow]",
    "float[pyarrow]",
    "double[pyarrow]",
    "category",
    object,
    pd.SparseDtype("int64", 0),
    pd.SparseDtype("float64", np.nan),
]


@pytest.mark.parametrize("dtype", NUMBER_TYPES, ids=str)
def test_every_kind_of_number_column_reads_as_integers(dtype: Any) -> None:
    assert read([7, 0, 123, 7], dtype=dtype) == ([0, 1, 2, 0], ["7", "0", "123"])


@pytest.mark.parametrize(
    "dtype",
    ["float32", "float64", "Int64", "Float64", "int64[pyarrow]", "double[pyarrow]", object],
)
def test_numbers_may_be_missing(dtype: Any) -> None:
    assert read([7, None, 123, 7], dtype=dtype) == ([0, -1, 1, 0], ["7", "123"])


def test_nan_inside_a_nullable_float_column_is_missing() -> None:
    ones: Any = pd.array([1.0, 0.0, None], dtype="Float64")
    assert read(ones / pd.array([1.0, 0.0, 1.0], dtype="Float64")) == ([0, -1, -1], ["1"])
    cells: Any = pa.array([1.0, float("nan"), None])
    assert read(pd.array(cells, dtype=pd.ArrowDtype(pa.float64()))) == ([0, -1, -1], ["1"])


def test_integers_keep_every_digit() -> None:
    big = 2**64 - 1
    assert read([big, 2**63], dtype="uint64")[1] == [str(big), str(2**63)]
    assert read([2**53 + 1, -(2**62)])[1] == [str(2**53 + 1), str(-(2**62))]
    assert read([10**30, np.uint64(big)], dtype=object)[1] == [str(10**30), str(big)]


def test_numbers_and_their_text_are_the_same_lead() -> None:
    cells = [1, "1", 1.0, np.int8(1), np.float32(1), " 1 ", "1.0"]
    assert read(cells, dtype=object) == ([0, 0, 0, 0, 0, 0, 1], ["1", "1.0"])


def test_negative_zero_is_zero() -> None:
    assert read([-0.0, 0.0]) == ([0, 0], ["0"])
    assert read([-0.0, "0"], dtype=object) == ([0, 0], ["0"])


def test_subclasses_of_text_are_text() -> None:
    cells = [Color.RED, "red", np.str_("red")]
    assert read(cells, dtype=object) == ([0, 0, 0], ["red"])
    assert type(read([Color.RED], dtype=object)[1][0]) is str


def test_categories_are_numbered_by_first_row_not_by_category() -> None:
    cells = pd.Categorical(["b", None, "a", " b"], categories=["a", "unused", " b", "b"])
    assert read(cells) == ([0, -1, 1, 0], ["b", "a"])
    numbers = pd.Categorical([3.0, 1.0, None], categories=[1.0, 2.5, 3.0])
    assert read(numbers) == ([0, 1, -1], ["3", "1"])


def test_an_index_of_any_kind_holds_ids() -> None:
    indexes: list[tuple[pd.Index[Any], list[str]]] = [
        (pd.RangeIndex(2, name="lead_id"), ["0", "1"]),
        (pd.CategoricalIndex(["b", "a"], name="lead_id"), ["b", "a"]),
        (pd.Index(["b", None], name="lead_id", dtype="string[pyarrow]"), ["b"]),
        (pd.Index([2.0, np.nan], name="lead_id"), ["2"]),
    ]
    for index, unique in indexes:
        assert lead_ids(pd.DataFrame(index=index)).unique == unique


def test_arrow_columns_of_several_chunks_are_one() -> None:
    cells: list[Any] = [["b", "a"], [], ["a", None, "c"]]
    chunks: Any = pa.chunked_array(cells, type=pa.string())
    column = chunks.to_pandas(types_mapper=pd.ArrowDtype)
    assert read(column) == ([0, 1, 1, -1, 2], ["b", "a", "c"])


BAD = [
    (True, "True or False"),
    (np.True_, "True or False"),
    (1.5, "a fractional number"),
    (np.float32(0.5), "a fractional number"),
    (float("inf"), "an infinite number"),
    (-float("inf"), "an infinite number"),
    (2.0**53 + 2, r"a float above 2\*\*53"),
    (-(2.0**53) - 2, r"a float above 2\*\*53"),
    (np.float32(2**24 + 2), r"a float above 2\*\*24"),
    (np.float16(2050), r"a float above 2\*\*11"),
    ("x" * 201, "longer than 200"),
    (10**200, "longer than 200"),
    (-(10**199), "longer than 200"),
    (".", "another endpoint"),
    (" .. ", "another endpoint"),
    ("a\x00b", "control character"),
    ("a\x7fb", "control character"),
    ("a\x9fb", "control character"),
    ("a\nb", "control character"),
    ("\ud800", "half a Unicode character"),
    (b"a", "of type bytes"),
    (Decimal(1), "of type Decimal"),
    (date(2026, 1, 1), "of type date"),
    (MOMENT, "of type datetime"),
    (("a", "b"), "of type tuple"),
    (["a"], "of type list"),
    ({"a": 1}, "of type dict"),
    (1 + 0j, "of type complex"),
]


@pytest.mark.parametrize(("cell", "reason"), BAD, ids=lambda one: repr(one)[:24])
def test_a_value_that_is_no_id_is_refused_by_its_row(cell: Any, reason: str) -> None:
    cells = np.array([None, "good", None, None], dtype=object)
    cells[2] = cell
    column = pd.Series(cells, dtype=object, index=list("pqrs"))
    with pytest.raises(LeadIdError, match=rf"row 'r' \([^)]*{reason}") as raised:
        lead_ids(pd.DataFrame({"lead_id": column}))
    assert "'q'" not in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("values", "dtype", "reason"),
    [
        ([True, None], "boolean", "True or False"),
        ([True, False], "bool", "True or False"),
        ([True, None], "bool[pyarrow]", "True or False"),
        ([1.5, 2.0], "float64", "fractional"),
        ([1.5, None], "Float32", "fractional"),
        ([1.5, None], "double[pyarrow]", "fractional"),
        ([np.inf], "float64", "infinite"),
        ([2.0**53 + 2], "float64", r"2\*\*53"),
        ([2**24 + 2], "float32", r"2\*\*24"),
        ([2.0**24 + 2], "float[pyarrow]", r"2\*\*24"),
        ([2050], "float16", r"2\*\*11"),
        ([0], "datetime64[ns]", "Timestamp"),
        ([0], "timedelta64[ns]", "Timedelta"),
        ([1j], "complex128", "complex"),
        (["2026-01"], "period[M]", "Period"),
        ([b"a"], pd.ArrowDtype(pa.binary()), "bytes"),
        ([["a"]], pd.ArrowDtype(pa.list_(pa.string())), "list"),
        ([Decimal(1)], pd.ArrowDtype(pa.decimal128(5)), "Decimal"),
        (["a\x00"], "string[pyarrow]", "control"),
        (["a\x00"], "category", "control"),
        ([1.5], "category", "fractional"),
    ],
    ids=str,
)
def test_a_column_of_a_type_that_holds_no_ids_is_refused(
    values: list[Any], dtype: Any, reason: str
) -> None:
    with pytest.raises(LeadIdError, match=reason):
        read(values, dtype=dtype)


@pytest.mark.parametrize("dtype", ["boolean", "datetime64[ns]", "bool[pyarrow]", "null[pyarrow]"])
def test_a_column_of_any_type_may_be_all_missing(dtype: str) -> None:
    assert read([None, None], dtype=dtype) == ([-1, -1], [])


@pytest.mark.parametrize("dtype", ["boolean", "datetime64[ns]", "float64", object, "period[M]"])
def test_a_column_of_any_type_may_be_empty(dtype: str) -> None:
    assert read([], dtype=dtype) == ([], [])


def test_the_largest_values_allowed_are_read() -> None:
    assert read([2.0**53])[1] == [str(2**53)]
    assert read(["x" * 200])[1] == ["x" * 200]
    assert read(["..."])[1] == ["..."]


def test_an_integer_too_long_for_python_to_write_is_refused() -> None:
    with pytest.raises(LeadIdError, match="longer than 200"):
        read([10**5000], dtype=object)


def test_true_is_not_taken_for_one() -> None:
    with pytest.raises(LeadIdError, match=r"row 1 \(True or False\)"):
        read([1, True, "1", 1.0], dtype=object)


def test_a_nul_does_not_cut_an_id_short() -> None:
    # pandas 2 reads strings of an object column up to their first NUL when it numbers them.
    with pytest.raises(LeadIdError, match=r"row 1 \(text with a control character\)"):
        read(["a", "a\x00b", "a"], dtype=object)


def test_five_rows_are_named_and_the_rest_counted() -> None:
    with pytest.raises(LeadIdError, match=r"row 4 \(a fractional number\) and 95 more"):
        read([0.5] * 100)


def test_where_keeps_order_and_drops_ids_that_no_row_holds() -> None:
    ids = lead_ids(pd.DataFrame({"lead_id": ["a", "b", "c", "b", None]}))
    kept = ids.where(np.array([False, False, True, True, True]))
    assert (kept.codes.tolist(), kept.unique) == ([-1, -1, 0, 1, -1], ["c", "b"])


# However the cells are stored


def arrow(values: list[Any], kind: Any) -> pd.Series[Any]:
    return pd.Series(pd.arrays.ArrowExtensionArray(pa.array(values, kind)))


WORDS = ["7", "8", None, "7"]
NUMBERS = [7, 8, None, 7]
MOMENTS = [datetime(2026, 5, 5), None]  # noqa: DTZ001 - Arrow's own have none here
IDS = {
    "string_view": arrow(WORDS, pa.string_view()),
    "large_string": arrow(WORDS, pa.large_string()),
    "dictionary": arrow(WORDS, pa.dictionary(pa.int8(), pa.string())),
    "run-end encoded": pd.Series(
        pd.arrays.ArrowExtensionArray(
            pa.RunEndEncodedArray.from_arrays(pa.array([1, 2, 3, 4], pa.int32()), pa.array(WORDS))
        )
    ),
    "text of Python": pd.Series(WORDS, dtype="string[python]"),
    "category": pd.Series(WORDS).astype("category"),
    "categories of several types": pd.Series([7, "8", None, 7], dtype=object).astype("category"),
    "int8": arrow(NUMBERS, pa.int8()),
    "half floats": arrow([7.0, 8.0, None, 7.0], pa.float32()),
    "nullable": pd.Series(NUMBERS, dtype="UInt16"),
    "big-endian": pd.Series(np.array([7, 8, np.nan, 7], ">f8")),
    "sparse": pd.Series(pd.arrays.SparseArray([7.0, 8.0, np.nan, 7.0])),
}
NO_IDS = {
    "decimal": arrow([7, None], pa.decimal128(4, 0)),
    "binary_view": arrow([b"a", None], pa.binary_view()),
    "list": arrow([[1], None], pa.list_(pa.int64())),
    "list_view": arrow([[1], None], pa.list_view(pa.int64())),
    "struct": arrow([{"x": 1}, None], pa.struct([("x", pa.int64())])),
    "months": arrow([(1, 2, 3), None], pa.month_day_nano_interval()),
    "moments": arrow(MOMENTS, pa.timestamp("s")),
    "durations": pd.Series(pd.to_timedelta([1, None], unit="s")),
    "periods": pd.Series(pd.period_range("2026", periods=2, freq="D")),
    "bytes of NumPy": pd.Series(np.array(["a", "b"], "S1")),
    "complex": pd.Series([1j]),
}


@pytest.mark.parametrize("stored", IDS.values(), ids=IDS)
def test_ids_are_the_same_however_they_are_stored(stored: pd.Series[Any]) -> None:
    ids = lead_ids(pd.DataFrame({"lead_id": stored}))
    assert (ids.codes.tolist(), ids.unique) == ([0, 1, -1, 0], ["7", "8"])
    level = lead_ids(pd.DataFrame({"x": range(4)}, index=pd.Index(stored, name="lead_id")))
    assert (level.codes.tolist(), level.unique) == ([0, 1, -1, 0], ["7", "8"])
    given = distinct(stored)
    assert (given.unique, given.rows_without, given.duplicate_rows) == (["7", "8"], 1, 1)


@pytest.mark.parametrize("stored", NO_IDS.values(), ids=NO_IDS)
def test_what_is_no_id_is_said_by_row_however_it_is_stored(stored: pd.Series[Any]) -> None:
    for read_it in (lambda: lead_ids(pd.DataFrame({"lead_id": stored})), lambda: distinct(stored)):
        with pytest.raises(LeadIdError, match=r"row 0 \(of type "):
            read_it()


@pytest.mark.parametrize("kind", ["M8[s]", "m8[s]", "S1", "c16"])
def test_arrays_of_numpy_that_hold_no_ids_are_refused_too(kind: str) -> None:
    with pytest.raises(LeadIdError, match=r"row 0 \(of type "):
        distinct(np.array([1, 2]).astype(kind))
