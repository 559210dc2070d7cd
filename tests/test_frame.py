"""Lead IDs out of frames, and results back in by position."""

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

from leads_pandas.errors import ColumnConflictError, LeadIdError
from leads_pandas.frame import (
    COLUMNS,
    ColumnPlan,
    LeadIds,
    check_options,
    join,
    lead_ids,
    plan_columns,
    receipt_fields,
    results_frame,
    snapshot,
    with_receipt,
)
from leads_pandas.models import STATUSES, Email, LeadResult

MOMENT = datetime(2026, 5, 5, 11, 23, tzinfo=UTC)
AT = int(MOMENT.timestamp() * 1_000_000)
TEXT = pd.Series([""]).dtype
MISSING = LeadResult("not_enriched")


def found(*emails: tuple[str, float | None]) -> LeadResult:
    held = tuple(Email(email, confidence, "website") for email, confidence in emails)
    return LeadResult("found", held, AT)


def answer(lead: str) -> LeadResult:
    return found((f"{lead}@x.com", 0.9))


def enrich(
    frame: pd.DataFrame, results: dict[str, LeadResult] | None = None, **options: Any
) -> Any:
    """What a call does between the frame and the service: find, plan, ask, join."""
    ids = lead_ids(frame, options.pop("on", None))
    plan = plan_columns(frame, ids, **options)
    asked = plan.asked(ids)
    answers = [answer(one) if results is None else results[one] for one in asked.unique]
    out = join(frame, asked, plan, answers)
    return with_receipt(out, receipt_fields(ids, plan))


def read(values: Any, **kind: Any) -> tuple[list[int], list[str]]:
    ids = lead_ids(pd.DataFrame({"lead_id": pd.Series(values, **kind)}))
    assert ids.codes.dtype == np.intp
    return ids.codes.tolist(), ids.unique


def cells_of(column: pd.Series[Any]) -> list[Any]:
    return [None if pd.isna(cell) else cell for cell in column]


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
    with pytest.raises(LeadIdError, match=r"called 'place'; the frame has the columns 'name'"):
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
    with pytest.raises(LeadIdError, match=r"row 1 \(True or False\)\. "):
        read([1, True, "1", 1.0], dtype=object)


def test_a_nul_does_not_cut_an_id_short() -> None:
    # pandas 2 reads strings of an object column up to their first NUL when it numbers them.
    with pytest.raises(LeadIdError, match=r"row 1 \(text with a control character\)\. "):
        read(["a", "a\x00b", "a"], dtype=object)


def test_five_rows_are_named_and_the_rest_counted() -> None:
    with pytest.raises(LeadIdError, match=r"row 4 \(a fractional number\) and 95 more"):
        read([0.5] * 100)


def test_where_keeps_order_and_drops_ids_that_no_row_holds() -> None:
    ids = lead_ids(pd.DataFrame({"lead_id": ["a", "b", "c", "b", None]}))
    kept = ids.where(np.array([False, False, True, True, True]))
    assert (kept.codes.tolist(), kept.unique) == ([-1, -1, 0, 1, -1], ["c", "b"])


# Options


@pytest.mark.parametrize(
    "options",
    [
        {"emails": "first"},
        {"emails": None},
        {"emails": ["best"]},
        {"on_conflict": "ignore"},
        {"min_confidence": 1.1},
        {"min_confidence": -0.1},
        {"min_confidence": float("nan")},
        {"min_confidence": True},
        {"min_confidence": "0.5"},
        {"min_confidence": None},
        {"rename": {"mail": "work_email"}},
        {"rename": {"email": "confidence"}},
        {"rename": {"email": "x", "source": "x"}},
        {"rename": {"email": ""}},
        {"rename": {"email": 5}},
        {"rename": {"email": "\ud800"}},
        {"rename": {"email": "lead_id"}},
        {"rename": {"email": "leadId"}},
        {"rename": {"email": "id"}},
        {"rename": "email"},
        {"rename": 5},
    ],
    ids=str,
)
def test_a_value_outside_the_documented_ones_is_a_value_error(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError) as raised:
        check_options(**options)
    assert "\n" not in str(raised.value)


def test_new_names_keep_the_documented_order() -> None:
    names = check_options(rename={"source": "email", "email": "source"}, min_confidence=1)
    assert list(names) == list(COLUMNS)
    assert (names["email"], names["source"]) == ("source", "email")
    assert list(check_options(rename=None).values()) == list(COLUMNS)


# Joining


def test_the_new_columns_have_the_documented_dtypes_and_values() -> None:
    frame = pd.DataFrame({"lead_id": ["a", "b", "c", "d", "e", None]})
    out = enrich(
        frame,
        {
            "a": found(("a@x.com", 0.94)),
            "b": LeadResult("not_found", (), AT),
            "c": MISSING,
            "d": LeadResult("unknown_lead"),
            "e": LeadResult("failed"),
        },
    )
    assert list(out) == ["lead_id", *COLUMNS]
    assert cells_of(out["email"]) == ["a@x.com", None, None, None, None, None]
    assert cells_of(out["source"]) == ["website", None, None, None, None, None]
    assert cells_of(out["confidence"]) == [0.94, None, None, None, None, None]
    assert cells_of(out["enriched_at"]) == [pd.Timestamp(MOMENT)] * 2 + [None] * 4
    assert cells_of(out["enrichment_status"]) == [*STATUSES, None]
    assert_documented(out)


def assert_documented(out: pd.DataFrame) -> None:
    assert out["email"].dtype == out["source"].dtype == TEXT
    assert out["confidence"].dtype == np.float64
    assert str(out["enriched_at"].dtype) == "datetime64[us, UTC]"
    status = out["enrichment_status"].dtype
    assert isinstance(status, pd.CategoricalDtype)
    assert status.categories.tolist() == list(STATUSES)
    assert status.ordered is False


@pytest.mark.parametrize("emails", ["best", "all"])
@pytest.mark.parametrize("cells", [[], [None, None]])
def test_dtypes_are_the_same_for_an_empty_frame_and_an_all_missing_column(
    cells: list[Any], emails: str
) -> None:
    out = enrich(pd.DataFrame({"lead_id": cells}), emails=emails)
    assert_documented(out)
    assert out[list(COLUMNS)].isna().all(axis=None)
    assert len(out) == len(cells)


def test_every_row_gets_the_answer_of_its_own_lead() -> None:
    frame = pd.DataFrame({"lead_id": ["b", "a", None, "b", "c", " a"]}, index=[9, 9, 1, 0, 5, 5])
    out = enrich(frame)
    expected = ["b@x.com", "a@x.com", None, "b@x.com", "c@x.com", "a@x.com"]
    assert cells_of(out["email"]) == expected


def test_the_best_email_is_the_first_of_the_highest_confidence() -> None:
    frame = pd.DataFrame({"lead_id": list("abcd")})
    out = enrich(
        frame,
        {
            "a": found(("low@x", 0.1), ("high@x", 0.9), ("tie@x", 0.9)),
            "b": found(("null@x", None), ("zero@x", 0.0)),
            "c": found(("null@x", None), ("some@x", 0.01)),
            "d": found(("only@x", None)),
        },
    )
    assert cells_of(out["email"]) == ["high@x", "null@x", "some@x", "only@x"]
    assert cells_of(out["confidence"]) == [0.9, None, 0.01, None]


def test_emails_below_min_confidence_are_left_out_and_the_status_stays() -> None:
    frame = pd.DataFrame({"lead_id": list("ab")})
    results = {
        "a": found(("low@x", 0.4), ("null@x", None), ("high@x", 0.5)),
        "b": found(("null@x", None)),
    }
    out = enrich(frame, results, min_confidence=0.5)
    assert cells_of(out["email"]) == ["high@x", None]
    assert cells_of(out["enrichment_status"]) == ["found", "found"]
    assert out["enriched_at"].notna().all()
    assert cells_of(enrich(frame, results, min_confidence=0.5, emails="all")["email"]) == [
        "high@x",
        None,
    ]


def test_all_emails_repeat_the_row_with_its_label_in_the_services_order() -> None:
    frame = pd.DataFrame(
        {"lead_id": ["a", "b", None, "c", "a"], "n": range(5)}, index=list("vwxyz")
    )
    results = {
        "a": found(("a1@x", 0.1), ("a2@x", 0.9)),
        "b": LeadResult("not_found", (), AT),
        "c": found(("c1@x", None)),
    }
    out = enrich(frame, results, emails="all")
    assert out.index.tolist() == ["v", "v", "w", "x", "y", "z", "z"]
    assert out["n"].tolist() == [0, 0, 1, 2, 3, 4, 4]
    assert cells_of(out["email"]) == ["a1@x", "a2@x", None, None, "c1@x", "a1@x", "a2@x"]
    assert cells_of(out["enrichment_status"])[:4] == ["found", "found", "not_found", None]
    assert_documented(out)


def test_new_columns_can_be_renamed() -> None:
    out = enrich(
        pd.DataFrame({"lead_id": ["a"], "email": ["mine"]}),
        rename={"email": "work_email", "enriched_at": "self"},
    )
    expected = ["lead_id", "email", "work_email", "confidence", "source", "self"]
    assert list(out) == [*expected, "enrichment_status"]
    assert out["email"].tolist() == ["mine"]


FRAMES = {
    "range": pd.DataFrame({"lead_id": ["a", None, "b"], "x": [1.5, 2, 3]}),
    "duplicate labels": pd.DataFrame({"lead_id": ["a", "b", "a"]}, index=[7, 7, 7]),
    "multiindex": pd.DataFrame(
        {"x": [1, 2, 3]},
        index=pd.MultiIndex.from_tuples([("a", 1), (None, 1), ("a", 1)], names=["lead_id", None]),
    ),
    "datetimes": pd.DataFrame(
        {"lead_id": ["a", "b", None]}, index=pd.date_range("2026", periods=3, tz="Europe/Berlin")
    ),
    "categories": pd.DataFrame(
        {"lead_id": pd.Categorical(["a", "b", "a"]), "x": pd.Categorical([1, 2, None])}
    ),
    "arrow": pd.DataFrame({"lead_id": ["a", "b", None], "x": [1, None, 2]}).astype(
        {"lead_id": "string[pyarrow]", "x": "int64[pyarrow]"}
    ),
    "nullable": pd.DataFrame(
        {"lead_id": pd.array([1, None, 2], "Int64"), "x": [True, False, None]}
    ),
    "duplicate columns": pd.DataFrame([["a", 1, 2]] * 3, columns=["lead_id", "x", "x"]),
    "objects": pd.DataFrame({"lead_id": ["a", "b", "c"], "x": [[1], {2: 3}, None]}),
    "no columns": pd.DataFrame(index=pd.Index(["a", "b", "a"], name="lead_id")),
    "wide": pd.DataFrame({"lead_id": ["a", "b", "a"], **{f"c{i}": i for i in range(150)}}),
    "category labels": pd.DataFrame(
        [["a", 1]] * 3, columns=pd.CategoricalIndex(["lead_id", "x"], name="n")
    ),
    "mixed labels": pd.DataFrame(
        [["a", 1, 2, 3]] * 3,
        columns=pd.Index(["lead_id", 5, pd.Timestamp("2026"), ("p", "q")], dtype=object, name="n"),
    ),
}


@pytest.mark.parametrize("emails", ["best", "all"])
@pytest.mark.parametrize("name", FRAMES)
def test_the_frames_own_part_comes_back_untouched(name: str, emails: str) -> None:
    frame = FRAMES[name]
    before = frame.copy(deep=True)
    out = enrich(frame, emails=emails)
    pd.testing.assert_frame_equal(frame, before)
    own = out.iloc[:, : len(frame.columns)]
    if name == "category labels":  # text joins them, so they are categories no more
        own = own.set_axis(frame.columns, axis=1)
    pd.testing.assert_frame_equal(own, before, check_column_type=False, check_freq=False)
    assert out.columns.names == frame.columns.names
    assert list(out.columns[-5:]) == list(COLUMNS)
    assert_documented(out)


def add_blocks(frame: pd.DataFrame, number: int) -> None:
    for i in range(number):
        frame[f"c{i}"] = float(i)


def test_a_frame_of_many_blocks_joins_without_a_warning() -> None:
    frame = pd.DataFrame({"lead_id": ["a"]})
    with pytest.warns(pd.errors.PerformanceWarning):
        add_blocks(frame, 120)
    assert enrich(frame).shape == (1, 126)


def test_changing_the_result_does_not_change_the_frame() -> None:
    frame = pd.DataFrame({"lead_id": ["a", "b"], "x": [1.0, 2.0]})
    frame.attrs["mine"] = {"deep": [1]}
    out = enrich(frame)
    out.loc[0, "x"] = 99.0
    out.iloc[1, 1] = 98.0
    out.attrs["mine"]["deep"].append(2)
    assert frame["x"].tolist() == [1.0, 2.0]
    assert frame.attrs == {"mine": {"deep": [1]}}


def test_a_snapshot_does_not_see_later_changes() -> None:
    frame = pd.DataFrame({"lead_id": ["a", "b"]})
    kept = snapshot(frame)
    frame.iloc[0, 0] = "other"
    frame["new"] = 1
    assert kept.to_dict("list") == {"lead_id": ["a", "b"]}


def test_attrs_flags_and_class_are_kept() -> None:
    class Leads(pd.DataFrame):
        _metadata = ["owner"]  # noqa: RUF012 - pandas' own way

        @property
        def _constructor(self) -> Any:
            return Leads

    frame: Any = Leads({"lead_id": ["a"]}).set_flags(allows_duplicate_labels=False)
    frame.attrs["mine"] = 1
    frame.owner = "me"
    out = enrich(frame)
    assert isinstance(out, Leads)
    assert out.owner == "me"
    assert out.attrs["mine"] == 1
    assert out.flags.allows_duplicate_labels is False


def test_all_emails_are_refused_where_labels_must_not_repeat() -> None:
    frame = pd.DataFrame({"lead_id": ["a"]}).set_flags(allows_duplicate_labels=False)
    with pytest.raises(ValueError, match="allows_duplicate_labels"):
        plan_columns(frame, lead_ids(frame), emails="all")


@pytest.mark.parametrize("number", [0, 1, 3])
def test_results_that_do_not_match_the_ids_are_refused(number: int) -> None:
    frame = pd.DataFrame({"lead_id": ["a", "b"]})
    ids = lead_ids(frame)
    with pytest.raises(ValueError, match="results for 2 lead IDs"):
        join(frame, ids, plan_columns(frame, ids), [MISSING] * number)


def test_ids_of_another_frame_are_refused() -> None:
    frame = pd.DataFrame({"lead_id": ["a", "b"]})
    ids = lead_ids(frame)
    plan = plan_columns(frame, ids)
    with pytest.raises(ValueError, match="another frame"):
        join(frame.iloc[:1], ids, plan, [MISSING] * 2)
    with pytest.raises(ValueError, match="another frame"):
        join(frame.assign(x=1), ids, plan, [MISSING] * 2)


def test_results_may_be_a_stream() -> None:
    frame = pd.DataFrame({"lead_id": ["a", "b"]})
    ids = lead_ids(frame)
    out = join(frame, ids, plan_columns(frame, ids), (answer(one) for one in ids.unique))
    assert out["email"].tolist() == ["a@x.com", "b@x.com"]


def test_multiindex_columns_get_padded_labels() -> None:
    columns = pd.MultiIndex.from_tuples([("lead_id", "", ""), ("s", "a", "b")], names=list("xyz"))
    out = enrich(pd.DataFrame([["q", 1]], columns=columns))
    assert list(out.columns)[-5:] == [(name, "", "") for name in COLUMNS]
    assert out.columns.names == ["x", "y", "z"]
    assert out["email"].tolist() == ["q@x.com"]
    assert list(enrich(out).columns) == list(out.columns)


def test_a_level_of_dates_in_the_columns_takes_padded_labels_too() -> None:
    days = pd.DatetimeIndex([pd.NaT, "2026-01-01"])
    columns = pd.MultiIndex.from_arrays([["lead_id", "sales"], days], names=["p", "q"])
    frame = pd.DataFrame([["q", 1]], columns=columns)
    out = enrich(frame)
    assert list(out.columns)[1:3] == [("sales", pd.Timestamp("2026-01-01")), ("email", "")]
    assert list(enrich(out).columns) == list(out.columns)


def test_a_group_of_multiindex_columns_is_never_overwritten() -> None:
    columns = pd.MultiIndex.from_tuples([("lead_id", ""), ("email", "work")])
    frame = pd.DataFrame([["q", 1]], columns=columns)
    for option in ("raise", "replace", "fill"):
        with pytest.raises(ColumnConflictError, match="group of columns called 'email'"):
            enrich(frame, on_conflict=option)


# Conflicts


def test_columns_of_the_same_name_are_named_with_the_ways_out() -> None:
    frame = pd.DataFrame({"source": [1], "lead_id": ["a"], "email": [2]})
    with pytest.raises(ColumnConflictError) as raised:
        enrich(frame)
    message = str(raised.value)
    for word in ("'email', 'source'", "'fill'", "'replace'", "rename={'email': …}", "Nothing"):
        assert word in message


def test_replace_drops_the_old_columns_and_appends_the_new() -> None:
    frame = pd.DataFrame([[1, "a", 2, 3, 4]], columns=["email", "lead_id", "email", "x", "source"])
    out = enrich(frame, on_conflict="replace")
    assert list(out) == ["lead_id", "x", *COLUMNS]
    assert out["email"].tolist() == ["a@x.com"]
    assert list(frame) == ["email", "lead_id", "email", "x", "source"]


@pytest.mark.parametrize("option", ["raise", "replace", "fill"])
def test_the_ids_own_column_or_level_is_never_overwritten(option: str) -> None:
    for frame in (
        pd.DataFrame({"email": ["a"]}),
        pd.DataFrame(index=pd.Index(["a"], name="email")),
    ):
        with pytest.raises(ColumnConflictError, match="holds the lead IDs"):
            enrich(frame, on="email", on_conflict=option)
        assert enrich(frame, on="email", rename={"email": "found"})["found"].tolist() == ["a@x.com"]


def test_the_same_line_can_be_run_on_its_own_result() -> None:
    frame = pd.DataFrame({"lead_id": ["a", "b"], "x": [1, 2]})
    once = enrich(frame)
    twice = enrich(once)
    pd.testing.assert_frame_equal(once, twice)
    assert once.attrs == twice.attrs


def test_a_renamed_result_is_known_by_its_receipt() -> None:
    rename = {"email": "work_email"}
    once = enrich(pd.DataFrame({"lead_id": ["a"]}), rename=rename)
    pd.testing.assert_frame_equal(enrich(once, rename=rename), once)
    assert list(enrich(once)) == ["lead_id", "work_email", *COLUMNS]
    with pytest.raises(ColumnConflictError, match="'email'"):
        enrich(once.assign(email="mine"))


@pytest.mark.parametrize(
    "receipt", [None, "text", {"columns": ["email"]}, {"columns": {"email": 1}}]
)
def test_attrs_that_are_no_receipt_of_ours_say_nothing(receipt: Any) -> None:
    frame = pd.DataFrame({"lead_id": ["a"], "email": ["mine"]})
    frame.attrs["leads"] = receipt
    with pytest.raises(ColumnConflictError):
        enrich(frame)


def test_all_emails_run_again_do_not_multiply_the_rows() -> None:
    frame = pd.DataFrame({"lead_id": ["a", "a", "b", "c", None]}, index=[1, 1, 1, 2, 2])
    results = {
        "a": found(("a1@x", 0.1), ("a2@x", 0.9), ("a3@x", 0.2)),
        "b": found(("b1@x", 0.1), ("b2@x", 0.1)),
        "c": LeadResult("not_found", (), AT),
    }
    once = enrich(frame, results, emails="all")
    assert len(once) == 10
    twice = enrich(once, results, emails="all")
    pd.testing.assert_frame_equal(once, twice)
    more = {**results, "c": found(("c1@x", 0.1), ("c2@x", 0.2))}
    assert len(enrich(twice, more, emails="all")) == 11


def test_the_best_email_on_a_result_of_all_keeps_its_rows() -> None:
    results = {"a": found(("a1@x", 0.1), ("a2@x", 0.9))}
    once = enrich(pd.DataFrame({"lead_id": ["a"]}), results, emails="all")
    again = enrich(once, results)
    assert cells_of(again["email"]) == ["a2@x", "a2@x"]


# Filling


def test_fill_asks_for_rows_that_are_not_done_and_changes_only_them() -> None:
    first = enrich(
        pd.DataFrame({"lead_id": ["a", "b", "c", "d", None, "a"]}),
        {
            "a": found(("a@x", 0.5)),
            "b": LeadResult("not_found", (), AT),
            "c": MISSING,
            "d": LeadResult("failed"),
        },
    )
    ids = lead_ids(first)
    plan = plan_columns(first, ids, on_conflict="fill")
    assert plan.keep_rows is not None
    assert plan.keep_rows.tolist() == [True, True, False, False, False, True]
    asked = plan.asked(ids)
    assert asked.unique == ["c", "d"]
    out = join(first, asked, plan, [answer("c"), LeadResult("not_found", (), AT + 1)])
    assert cells_of(out["email"]) == ["a@x", None, "c@x.com", None, None, "a@x"]
    assert cells_of(out["confidence"]) == [0.5, None, 0.9, None, None, 0.5]
    assert cells_of(out["enrichment_status"])[1:4] == ["not_found", "found", "not_found"]
    assert out["enriched_at"].notna().tolist() == [True, True, True, True, False, True]
    pd.testing.assert_frame_equal(out.iloc[[0, 1, 5]], first.iloc[[0, 1, 5]])
    assert_documented(out)


def test_fill_asks_for_a_lead_that_one_row_has_and_another_has_not() -> None:
    frame = pd.DataFrame({"lead_id": ["a", "a"], "email": ["mine@x", None]})
    out = enrich(frame, on_conflict="fill")
    assert cells_of(out["email"]) == ["mine@x", "a@x.com"]
    assert cells_of(out["enrichment_status"]) == [None, "found"]


@pytest.mark.parametrize("blank", [None, np.nan, "", "  ", pd.NA])
def test_fill_takes_blank_emails_for_missing(blank: Any) -> None:
    frame = pd.DataFrame({"lead_id": ["a"], "email": pd.Series([blank], dtype=object)})
    assert cells_of(enrich(frame, on_conflict="fill")["email"]) == ["a@x.com"]


def test_fill_gives_all_new_values_to_rows_that_are_not_done() -> None:
    frame = pd.DataFrame(
        {"lead_id": ["a", None], "source": ["old", "old"], "enrichment_status": ["stale", "odd"]}
    )
    out = enrich(frame, on_conflict="fill")
    assert cells_of(out["source"]) == ["website", None]
    assert cells_of(out["enrichment_status"]) == ["found", None]


def test_fill_reads_a_result_that_went_through_csv(tmp_path: Any) -> None:
    frame = pd.DataFrame({"lead_id": ["a", "b", "c"], "x": [1, 2, 3]})
    first = enrich(
        frame, {"a": found(("a@x", 0.5)), "b": LeadResult("not_found", (), AT), "c": MISSING}
    )
    first.to_csv(tmp_path / "out.csv", index=False)
    again = pd.read_csv(tmp_path / "out.csv")
    out = enrich(again, {"c": MISSING}, on_conflict="fill")
    pd.testing.assert_frame_equal(out, first)


@pytest.mark.parametrize(
    "cast",
    [
        {"email": object, "source": object, "enrichment_status": object},
        {"email": "string[pyarrow]", "enrichment_status": "string[python]"},
        {"email": "category", "confidence": "Float64", "enrichment_status": "string[pyarrow]"},
        {"confidence": object, "enriched_at": object},
        {"confidence": "float32", "enriched_at": "datetime64[ns, Europe/Berlin]"},
        {"confidence": "double[pyarrow]", "enriched_at": "timestamp[ns, UTC][pyarrow]"},
    ],
    ids=str,
)
def test_fill_brings_other_dtypes_back_to_the_documented(cast: dict[str, Any]) -> None:
    first = enrich(
        pd.DataFrame({"lead_id": ["a", "b", "c"]}),
        {"a": found(("a@x", 0.5)), "b": LeadResult("not_found", (), AT), "c": MISSING},
    )
    out = enrich(first.astype(cast), {"c": MISSING}, on_conflict="fill")
    pd.testing.assert_frame_equal(out, first)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("enrichment_status", "done"),
        ("enrichment_status", 5),
        ("confidence", "high"),
        ("confidence", True),
        ("source", 5),
        ("email", 5),
        ("email", "\ud800"),
        ("enriched_at", "yesterday"),
        ("enriched_at", 5),
    ],
)
def test_fill_refuses_a_kept_value_that_the_column_cannot_hold(column: str, value: Any) -> None:
    frame = pd.DataFrame({"lead_id": ["a", "b"], "email": ["a@x", None]}, index=["p", "q"])
    cells: list[Any] = [value, None]
    frame[column] = pd.Series(cells, dtype=object, index=["p", "q"])
    with pytest.raises(ColumnConflictError, match=f"the column '{column}' cannot be kept"):
        enrich(frame, on_conflict="fill")


def test_fill_ignores_odd_values_in_rows_that_are_not_kept() -> None:
    frame = pd.DataFrame({"lead_id": ["a"], "confidence": ["high"], "enriched_at": ["never"]})
    assert cells_of(enrich(frame, on_conflict="fill")["confidence"]) == [0.9]


def test_fill_refuses_two_columns_of_one_name() -> None:
    frame = pd.DataFrame([["a", "x", "y"]], columns=["lead_id", "email", "email"])
    with pytest.raises(ColumnConflictError, match="several columns called 'email'"):
        enrich(frame, on_conflict="fill")


def test_fill_with_all_emails_repeats_only_rows_that_are_filled() -> None:
    results = {
        "a": found(("a1@x", 0.1), ("a2@x", 0.9)),
        "b": LeadResult("failed"),
        "c": found(("c1@x", 0.3)),
    }
    frame = pd.DataFrame({"lead_id": ["a", "b", None, "c"]}, index=list("pqrs"))
    first = enrich(frame, results, emails="all")
    out = enrich(first, {"b": results["a"]}, emails="all", on_conflict="fill")
    assert cells_of(out["email"]) == ["a1@x", "a2@x", "a1@x", "a2@x", None, "c1@x"]
    assert out.index.tolist() == ["p", "p", "q", "q", "r", "s"]


def test_a_plan_to_fill_works_with_all_ids_too() -> None:
    frame = pd.DataFrame({"lead_id": ["a", "b"], "email": ["mine@x", None]})
    ids = lead_ids(frame)
    for emails in ("best", "all"):
        plan = plan_columns(frame, ids, on_conflict="fill", emails=emails)
        out = join(frame, ids, plan, [found(("a1@x", 0.1), ("a2@x", 0.2)), answer("b")])
        assert cells_of(out["email"]) == ["mine@x", "b@x.com"]


def test_fill_without_old_columns_is_a_plain_call() -> None:
    frame = pd.DataFrame({"lead_id": ["a"]})
    pd.testing.assert_frame_equal(enrich(frame, on_conflict="fill"), enrich(frame))


# Results and receipts


def test_results_become_a_frame_of_their_own() -> None:
    out = results_frame(["b", "a"], [answer("b"), MISSING])
    assert list(out) == ["lead_id", *COLUMNS]
    assert out["lead_id"].tolist() == ["b", "a"]
    assert out["lead_id"].dtype == TEXT
    assert out.index.tolist() == [0, 1]
    assert_documented(out)


def test_results_of_no_leads_have_the_same_dtypes() -> None:
    out = results_frame([], [], emails="all", rename={"email": "mail"})
    assert out["lead_id"].dtype == out["mail"].dtype == TEXT
    assert len(out) == 0


def test_results_repeat_the_lead_for_all_emails() -> None:
    out = results_frame(["a"], [found(("1@x", 0.1), ("2@x", None))], emails="all")
    assert out["lead_id"].tolist() == ["a", "a"]
    assert cells_of(out["email"]) == ["1@x", "2@x"]


def test_a_receipt_is_plain_json_and_leaves_the_given_frame_alone() -> None:
    frame = pd.DataFrame({"x": [1]})
    frame.attrs["mine"] = 1
    out = with_receipt(frame, {"jobs": ("a", "b"), "n": 1})
    assert out.attrs == {"mine": 1, "leads": {"jobs": ["a", "b"], "n": 1}}
    assert frame.attrs == {"mine": 1}
    with pytest.raises(TypeError):
        with_receipt(frame, {"when": MOMENT})


def test_the_receipt_says_where_the_ids_were_and_what_the_columns_are_called() -> None:
    frame = pd.DataFrame(index=pd.Index(["a"], name="place"))
    ids = lead_ids(frame, "place")
    fields = receipt_fields(ids, plan_columns(frame, ids, rename={"email": "mail"}))
    assert fields["on"] == {"name": "place", "kind": "level"}
    assert fields["columns"]["email"] == "mail"
    assert list(fields["columns"]) == list(COLUMNS)


def test_plans_and_ids_are_plain_values() -> None:
    frame = pd.DataFrame({"lead_id": ["a"]})
    ids = lead_ids(frame)
    plan = plan_columns(frame, ids)
    assert isinstance(ids, LeadIds)
    assert isinstance(plan, ColumnPlan)
    assert plan.asked(ids) is ids
