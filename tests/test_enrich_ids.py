"""The purchase without a frame: IDs in, one Arrow table out, which any engine joins."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import leads_pandas as lp
from tests.support.harness import lead_ids, whole, world

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.support.harness import Vendor

    Client = Callable[..., lp.LeadsClient]


def emails_of(ids: Iterable[str]) -> list[str | None]:
    return [whole([one])[one][0] for one in ids]


def test_ids_are_bought_once_and_come_back_as_they_were_given(
    vendor: Vendor, client: Client
) -> None:
    vendor.reset(world(6), balance=100)
    ids = lead_ids(6)
    given = [f" {ids[0]}", *ids, None, ids[1], ""]
    table = lp.enrich_ids(given, client=client(), progress=False)
    assert table["lead_id"].to_pylist() == [f" {ids[0]}", *ids]
    assert table["email"].to_pylist() == emails_of([ids[0], *ids])
    assert pa.schema(list(table.schema)[1:]) == lp.SCHEMA
    counts = vendor.counts
    assert (counts["starts"], counts["spent"]) == (1, 6)
    receipt = json.loads((table.schema.metadata or {})[b"leads_pandas"])
    assert receipt["rows"] == {"total": 10, "without_id": 2, "duplicate": 2}
    assert receipt["credits_reserved"] == 6
    assert lp.enrich_ids(ids, client=client(), progress=False)["lead_id"].to_pylist() == ids
    assert vendor.counts["total"] == counts["total"]


def test_it_tells_the_same_as_a_frame(vendor: Vendor, client: Client) -> None:
    vendor.reset(world(6), balance=100)
    ids = lead_ids(6)
    table = lp.enrich_ids(ids, emails="all", client=client(), progress=False)
    frame: Any = pd.DataFrame({"lead_id": ids})
    out = lp.enrich(frame, emails="all", client=client(), progress=False)
    for name in ("lead_id", "email", "confidence", "source", "enrichment_status"):
        expected = [None if pd.isna(one) else one for one in out[name]]
        assert table[name].to_pylist() == expected


def test_nothing_to_ask_for_needs_no_key() -> None:
    table = lp.enrich_ids([None, " "])
    assert table.num_rows == 0
    assert table.column_names == ["lead_id", *lp.SCHEMA.names]


@pytest.mark.parametrize("ids", ["lead1", pd.DataFrame({"lead_id": ["a"]}), {"a": 1}])
def test_what_is_no_list_of_ids_is_a_type_error(ids: Any) -> None:
    with pytest.raises(TypeError, match="pass the column of a table"):
        lp.enrich_ids(ids)


def test_an_id_that_cannot_be_one_is_named_by_its_row() -> None:
    with pytest.raises(lp.LeadIdError, match=r"row 1 \(text with an invisible character\)"):
        lp.enrich_ids(["a", "b\u200b"])


def test_engines_join_the_table_by_plain_equality(vendor: Vendor, client: Client) -> None:
    vendor.reset(world(6), balance=100)
    firms = pd.DataFrame({"lead_id": [*lead_ids(6), lead_ids(6)[0]], "n": range(7)})
    expected = emails_of(firms["lead_id"])

    lazy = pl.LazyFrame({"lead_id": firms["lead_id"].tolist(), "n": range(7)})
    ids = lazy.select(pl.col("lead_id").unique()).collect()["lead_id"]
    answers: Any = pl.from_arrow(lp.enrich_ids(ids, client=client(), progress=False))
    joined = lazy.join(answers.lazy(), on="lead_id", how="left").sort("n").collect()
    assert joined["email"].to_list() == expected

    with duckdb.connect() as db:
        db.register("firms", firms)
        distinct = db.sql("SELECT DISTINCT lead_id FROM firms").arrow()
        column = distinct.read_all() if hasattr(distinct, "read_all") else distinct
        db.register("answers", lp.enrich_ids(column["lead_id"], client=client(), progress=False))
        rows = db.sql("SELECT email FROM firms LEFT JOIN answers USING (lead_id) ORDER BY n")
        assert [email for (email,) in rows.fetchall()] == expected
    assert vendor.counts["starts"] == 1
