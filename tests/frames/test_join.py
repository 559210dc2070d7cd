"""Results back into frames, by position."""

from __future__ import annotations

import enum
import io
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from leads_pandas.errors import ColumnConflictError
from leads_pandas.frames.columns import COLUMNS
from leads_pandas.frames.delivery import Output
from leads_pandas.frames.ids import LeadIds, lead_ids
from leads_pandas.frames.join import (
    ColumnPlan,
    check_output,
    join,
    plan_columns,
)
from leads_pandas.frames.receipt import marks, receipt_fields, with_receipt
from leads_pandas.models import STATUSES, Email, LeadResult
from tests.support.tables import answers_of

if TYPE_CHECKING:
    from collections.abc import Callable

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
    plan = plan_columns(frame, ids, Output(**options))
    asked = plan.asked(ids)
    table = answers_of(
        {one: answer(one) if results is None else results[one] for one in asked.unique},
        emails=plan.emails,
        min_confidence=plan.min_confidence,
    )
    joined = join(frame, asked.codes, table, plan)
    codes = ids.codes if joined.rows is None else ids.codes[joined.rows]
    told = {"marks": marks(joined.columns, codes, ids.unique)}
    return with_receipt(joined.frame, receipt_fields(ids, plan) | told)


def read(values: Any, **kind: Any) -> tuple[list[int], list[str]]:
    ids = lead_ids(pd.DataFrame({"lead_id": pd.Series(values, **kind)}))
    assert ids.codes.dtype == np.intp
    return ids.codes.tolist(), ids.unique


def cells_of(column: pd.Series[Any]) -> list[Any]:
    return [None if pd.isna(cell) else cell for cell in column]


class Color(str, enum.Enum):  # noqa: UP042 - unlike StrEnum, str() of it is not its text
    RED = "red"


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
        check_output(Output(**options))
    assert "\n" not in str(raised.value)


def test_new_names_keep_the_documented_order() -> None:
    names = check_output(Output(rename={"source": "email", "email": "source"}, min_confidence=1))
    assert list(names) == list(COLUMNS)
    assert (names["email"], names["source"]) == ("source", "email")
    assert list(check_output(Output()).values()) == list(COLUMNS)


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
        plan_columns(frame, lead_ids(frame), Output(emails="all"))


def test_answers_that_do_not_match_the_ids_are_refused() -> None:
    frame = pd.DataFrame({"lead_id": ["a", "b"]})
    ids = lead_ids(frame)
    with pytest.raises(ValueError, match="answers for 1 leads, and 2 lead IDs"):
        join(frame, ids.codes, answers_of({"a": MISSING}), plan_columns(frame, ids, Output()))


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
    for word in (
        "'email', 'source'",
        "'fill'",
        "'replace'",
        "rename={'email': …}",
        "nothing was requested",
    ):
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


def _through_csv(frame: pd.DataFrame) -> pd.DataFrame:
    text = frame.to_csv(index=False)
    return pd.read_csv(io.StringIO(text))


@pytest.mark.parametrize("on_conflict", ["replace", "fill"])
@pytest.mark.parametrize(
    "back",
    [
        lambda out: out.reset_index(drop=True),
        lambda out: out.reset_index(),
        lambda out: out.set_index("firm"),
        lambda out: out.sort_values(["email", "firm"]),
        lambda out: out.iloc[::-1].reset_index(drop=True),
        lambda out: pd.DataFrame(out.to_dict("list")),  # no receipt, and another index
        _through_csv,
    ],
)
def test_the_same_line_on_a_result_of_all_gives_the_same_frame_whatever_became_of_it(
    back: Callable[[pd.DataFrame], pd.DataFrame], on_conflict: str
) -> None:
    frame = pd.DataFrame(
        {
            "lead_id": ["a", "a", "b", "b", "c", None],
            "firm": ["one", "two", "same", "same", "no email", "no id"],
        },
        index=[7, 7, 8, 9, 9, 9],
    )
    results = {
        "a": found(("a1@x", 0.5), ("a2@x", 0.9), ("a3@x", 0.9)),
        "b": found(("b1@x", 0.1), ("b2@x", None)),
        "c": LeadResult("not_found", (), AT),
    }
    held = back(enrich(frame, results, emails="all"))
    assert len(held) == 12
    again = enrich(held, results, emails="all", on_conflict=on_conflict)
    old, new = (
        one[list(held)]
        .assign(enriched_at=pd.to_datetime(one["enriched_at"], utc=True).dt.as_unit("us"))
        .astype(object)
        .where(one[list(held)].notna(), None)
        for one in (held, again)
    )
    pd.testing.assert_frame_equal(new, old)


def test_an_address_that_a_lead_has_twice_stands_twice_however_often_it_is_asked_for() -> None:
    emails = (Email("a@x", 0.5, "website"), Email("a@x", 0.5, "directory"))
    results = {"a": LeadResult("found", emails, AT)}
    once = enrich(pd.DataFrame({"lead_id": ["a", "a"]}), results, emails="all")
    again = enrich(once.reset_index(drop=True), results, emails="all")
    assert again["source"].tolist() == ["website", "directory"] * 2
    assert again.index.tolist() == [0, 1, 2, 3]


def test_rows_that_an_email_of_a_lead_was_written_beside_keep_it() -> None:
    results = {"a": found(("a1@x", 0.1), ("a2@x", 0.9)), "b": found(("b@x", 0.5))}
    once = enrich(pd.DataFrame({"lead_id": ["a", "b"]}), results, emails="all")
    noted = once.reset_index(drop=True).assign(note=["call", "do not call", "b"])
    results["a"] = found(("a2@x", 0.9), ("new@x", 0.4))
    again = enrich(noted, results, emails="all")
    assert cells_of(again["email"]) == ["a2@x", "new@x", "b@x"]
    assert again["note"].tolist() == ["do not call", "do not call", "b"]


def test_rows_of_the_callers_own_are_none_of_an_earlier_call() -> None:
    results = {"a": found(("a1@x", 0.1))}
    frame = pd.DataFrame({"lead_id": ["a", "a"], "email": ["mine@x", "yours@x"]})
    assert len(enrich(frame, results, emails="all", on_conflict="replace")) == 2
    ours = enrich(frame, results, on_conflict="replace").assign(email=["mine@x", "yours@x"])
    for moments in ([None, None], ["2026-01-01", "2026-01-02"]):
        dated = ours.assign(enriched_at=moments)
        assert len(enrich(dated, results, emails="all", on_conflict="replace")) == 2
    unlike = ours.assign(source=pd.Series([["a"], ["b"]]))
    assert len(enrich(unlike, results, emails="all", on_conflict="replace")) == 2


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
    plan = plan_columns(first, ids, Output(on_conflict="fill"))
    assert plan.keep_rows is not None
    assert plan.keep_rows.tolist() == [True, True, False, False, False, True]
    asked = plan.asked(ids)
    assert asked.unique == ["c", "d"]
    table = answers_of({"c": answer("c"), "d": LeadResult("not_found", (), AT + 1)})
    out = join(first, asked.codes, table, plan).frame
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
        plan = plan_columns(frame, ids, Output(on_conflict="fill", emails=emails))
        two = found(("a1@x", 0.1), ("a2@x", 0.2))
        table = answers_of({"a": two, "b": answer("b")}, emails=emails)
        out = join(frame, ids.codes, table, plan).frame
        assert cells_of(out["email"]) == ["mine@x", "b@x.com"]


def test_fill_without_old_columns_is_a_plain_call() -> None:
    frame = pd.DataFrame({"lead_id": ["a"]})
    pd.testing.assert_frame_equal(enrich(frame, on_conflict="fill"), enrich(frame))


# Results and receipts


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
    fields = receipt_fields(ids, plan_columns(frame, ids, Output(rename={"email": "mail"})))
    assert fields["on"] == {"name": "place", "kind": "level", "position": 0, "type": "str"}
    assert fields["columns"]["email"] == "mail"
    assert list(fields["columns"]) == list(COLUMNS)


def test_plans_and_ids_are_plain_values() -> None:
    frame = pd.DataFrame({"lead_id": ["a"]})
    ids = lead_ids(frame)
    plan = plan_columns(frame, ids, Output())
    assert isinstance(ids, LeadIds)
    assert isinstance(plan, ColumnPlan)
    assert plan.asked(ids) is ids
