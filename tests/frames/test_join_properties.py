"""Properties of IDs and joins on frames that hypothesis makes up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from leads_pandas.errors import LeadIdError
from leads_pandas.frames.columns import COLUMNS
from leads_pandas.frames.delivery import Output
from leads_pandas.frames.ids import lead_ids
from leads_pandas.frames.join import join, plan_columns
from leads_pandas.models import STATUSES, Email, LeadResult
from tests.support.tables import answers_of

LEADS = [f"lead{i}" for i in range(6)]
CELLS = st.sampled_from([*LEADS, *(f" {one}\t" for one in LEADS), None, np.nan, "", "  ", pd.NA])
LABELS = st.integers(0, 3)
CONFIDENCES = st.none() | st.sampled_from([0.0, 0.25, 0.5, 0.5, 1.0])
EMAILS = st.builds(
    Email,
    email=st.text("abc@.\0", min_size=1, max_size=5),
    confidence=CONFIDENCES,
    source=st.sampled_from([None, "website", "ü"]),
)
RESULTS = st.builds(
    LeadResult,
    status=st.sampled_from(STATUSES),
    emails=st.lists(EMAILS, max_size=4).map(tuple),
    enriched_at=st.none() | st.integers(-(2**52), 2**52),
)
ANSWERS = st.fixed_dictionaries(dict.fromkeys(LEADS, RESULTS))
TYPES: list[Any] = [
    object,
    "category",
    "string[python]",
    "string[pyarrow]",
    pd.ArrowDtype(pa.large_string()),
]
if isinstance(pd.Series([""]).dtype, pd.StringDtype):
    TYPES.append("str")


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    cells = draw(st.lists(CELLS, max_size=12))
    labels = draw(st.lists(LABELS, min_size=len(cells), max_size=len(cells)))
    index: pd.Index[Any] = pd.Index(labels, dtype="int64", name=draw(st.sampled_from([None, "k"])))
    if draw(st.booleans()):
        index = pd.MultiIndex.from_arrays([labels, labels[::-1]], names=[None, "k"])
    column = pd.Series(cells, dtype=object).astype(draw(st.sampled_from(TYPES)))
    column.index = index
    return pd.DataFrame(
        {"row": np.arange(len(cells)), "lead_id": column, "x": np.linspace(0, 1, len(cells))},
        index=index,
    )


def lead_of(cell: Any) -> str | None:
    text = None if pd.isna(cell) else str(cell).strip()
    return text or None


def expected_emails(result: LeadResult, minimum: float) -> list[Email]:
    return [one for one in result.emails if minimum == 0 or (one.confidence or 0) >= minimum]


def expected_best(result: LeadResult, minimum: float) -> Email | None:
    best = None
    for one in expected_emails(result, minimum):
        if best is None or (one.confidence or 0) > (best.confidence or 0):
            best = one
    return best


def same(cell: Any, value: Any) -> bool:
    return bool(pd.isna(cell)) if value is None else bool(cell == value)


def assert_row(row: Any, result: LeadResult | None, email: Email | None) -> None:
    assert same(row.email, email and email.email)
    assert same(row.confidence, None if email is None else email.confidence)
    assert same(row.source, None if email is None else email.source)
    assert same(row.enrichment_status, result and result.status)
    at = None if result is None or result.enriched_at is None else result.enriched_at
    assert same(row.enriched_at, None if at is None else pd.Timestamp(at, unit="us", tz="UTC"))


@settings(deadline=None)  # the first example pays for imports
@given(frames())
def test_each_row_points_at_its_own_id(frame: pd.DataFrame) -> None:
    ids = lead_ids(frame)
    cells = [lead_of(cell) for cell in frame["lead_id"]]
    assert [None if code < 0 else ids.unique[code] for code in ids.codes] == cells
    assert ids.unique == list(dict.fromkeys(cell for cell in cells if cell is not None))


@settings(deadline=None)  # the first example pays for imports
@given(frames(), ANSWERS, st.sampled_from([0.0, 0.25, 0.6, 1.0]))
def test_the_best_email_of_a_rows_own_lead_reaches_it(
    frame: pd.DataFrame, answers: dict[str, LeadResult], minimum: float
) -> None:
    before = frame.copy(deep=True)
    ids = lead_ids(frame)
    plan = plan_columns(frame, ids, Output(min_confidence=minimum))
    asked = {one: answers[one] for one in ids.unique}
    table = answers_of(asked, emails=plan.emails, min_confidence=minimum)
    out = join(frame, ids.codes, table, plan).frame
    pd.testing.assert_frame_equal(frame, before)
    pd.testing.assert_frame_equal(out[list(frame)], before)
    assert list(out) == [*frame, *COLUMNS]
    for row in out.itertuples(index=False):
        lead = lead_of(row.lead_id)
        result = None if lead is None else answers[lead]
        assert_row(row, result, result and expected_best(result, minimum))


@settings(deadline=None)  # the first example pays for imports
@given(frames(), ANSWERS, st.sampled_from([0.0, 0.25, 1.0]))
def test_every_email_of_a_rows_own_lead_gets_a_row(
    frame: pd.DataFrame, answers: dict[str, LeadResult], minimum: float
) -> None:
    ids = lead_ids(frame)
    plan = plan_columns(frame, ids, Output(emails="all", min_confidence=minimum))
    asked = {one: answers[one] for one in ids.unique}
    table = answers_of(asked, emails=plan.emails, min_confidence=minimum)
    out = join(frame, ids.codes, table, plan).frame
    expected: list[tuple[int, LeadResult | None, Email | None]] = []
    for number, cell in enumerate(frame["lead_id"]):
        lead = lead_of(cell)
        result = None if lead is None else answers[lead]
        emails: list[Email | None] = list(expected_emails(result, minimum)) if result else []
        expected += [(number, result, email) for email in emails or [None]]
    assert out["row"].tolist() == [number for number, _, _ in expected]
    pd.testing.assert_frame_equal(out[list(frame)], frame.take(out["row"].to_numpy()))
    for row, (_, result, email) in zip(out.itertuples(index=False), expected, strict=True):
        assert_row(row, result, email)


@settings(deadline=None)  # the first example pays for imports
@given(frames(), ANSWERS, ANSWERS)
def test_fill_changes_no_row_that_is_done_and_asks_for_every_other(
    frame: pd.DataFrame, first: dict[str, LeadResult], second: dict[str, LeadResult]
) -> None:
    ids = lead_ids(frame)
    table = answers_of({one: first[one] for one in ids.unique})
    once = join(frame, ids.codes, table, plan_columns(frame, ids, Output())).frame
    plan = plan_columns(once, ids, Output(on_conflict="fill"))
    asked = plan.asked(ids)
    table = answers_of({one: second[one] for one in asked.unique})
    twice = join(once, asked.codes, table, plan).frame
    email = once["email"]
    has_email = (email.notna() & (email.fillna("").str.strip() != "")).to_numpy()
    done = has_email | once["enrichment_status"].isin(["found", "not_found"]).to_numpy()
    pd.testing.assert_frame_equal(twice[done], once[done])
    left = [lead_of(cell) for cell in frame["lead_id"][~done]]
    assert asked.unique == list(dict.fromkeys(one for one in left if one is not None))
    for row in twice[~done].itertuples(index=False):
        lead = lead_of(row.lead_id)
        result = None if lead is None else second[lead]
        assert_row(row, result, result and expected_best(result, 0.0))


@settings(deadline=None)  # the first example pays for imports
@given(
    st.lists(
        st.integers()
        | st.floats()
        | st.booleans()
        | st.none()
        | st.text(max_size=4)
        | st.binary(max_size=2)
        | st.sampled_from([2**53, 2.0**53, 2.0**53 + 2, np.float32(3), np.int8(3), np.True_]),
        max_size=8,
    )
)
def test_mixed_cells_are_read_one_by_one_or_refused(cells: list[Any]) -> None:
    """Whatever stands in a column together, each cell is read as if it stood alone."""
    column = np.empty(len(cells), dtype=object)
    column[:] = cells
    alone: list[str | None] = []
    refused = False
    for cell in cells:
        one = np.empty(1, dtype=object)
        one[0] = cell
        try:
            ids = lead_ids(pd.DataFrame({"lead_id": pd.Series(one)}))
        except LeadIdError:
            refused = True
        else:
            alone.append(ids.unique[0] if ids.unique else None)
    frame = pd.DataFrame({"lead_id": pd.Series(column, dtype=object)})
    try:
        together = lead_ids(frame)
    except LeadIdError:
        assert refused
    else:
        assert not refused
        read = [None if code < 0 else together.unique[code] for code in together.codes]
        assert read == alone


@settings(deadline=None)  # the first example pays for imports
@given(st.lists(st.none() | st.integers(-(2**53), 2**53), max_size=10))
def test_integers_read_alike_whatever_holds_them(cells: list[int | None]) -> None:
    expected = [None if cell is None else str(cell) for cell in cells]
    for dtype in (object, "Int64", "Float64", "float64", "int64[pyarrow]", "double[pyarrow]"):
        frame = pd.DataFrame({"lead_id": pd.Series(cells, dtype=object).astype(dtype)})
        ids = lead_ids(frame)
        assert [None if code < 0 else ids.unique[code] for code in ids.codes] == expected
