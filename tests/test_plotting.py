from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from leads_pandas.models import STATUSES
from leads_pandas.plotting import Plot

if TYPE_CHECKING:
    from collections.abc import Iterator

mpl.use("Agg")

from matplotlib import pyplot as plt

KINDS = ["status", "confidence", "sources"]


@pytest.fixture(autouse=True)
def _no_figure_is_left_over() -> Iterator[None]:
    plt.close("all")  # an example of the docs may have left some in this process
    yield
    plt.close("all")


def enriched(rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    """Rows of lead ID, status, email, confidence, source."""
    frame = pd.DataFrame(
        rows, columns=["lead_id", "enrichment_status", "email", "confidence", "source"]
    ).astype({"lead_id": object, "email": object, "source": object, "confidence": "float64"})
    frame["enriched_at"] = pd.Timestamp("2026-05-05", tz="UTC")
    return frame.assign(
        enrichment_status=pd.Categorical(frame["enrichment_status"], categories=list(STATUSES))
    )


def found(number: int, source: str | None = "website", confidence: float = 0.8) -> Any:
    return (f"lead{number}", "found", f"a{number}@b.de", confidence, source)


SAMPLE = enriched(
    [
        found(1, confidence=0.9),
        found(2, "registry", 0.5),
        found(3, None, float("nan")),
        found(1, confidence=0.9),
        ("lead4", "not_found", None, None, None),
        (None, None, None, None, None),
    ]
)


def drawn(axes: Any) -> list[str]:
    """Every text that the rendered picture shows."""
    axes.figure.draw_without_rendering()
    texts = [*axes.texts, *axes.get_yticklabels(), *axes.get_xticklabels()]
    return [text.get_text() for text in texts if text.get_text()]


def lengths(axes: Any) -> list[float]:
    """How long the bars are."""
    return [float(length) for length in axes.containers[0].datavalues]


@pytest.mark.parametrize("kind", KINDS)
def test_every_picture_is_titled_and_labelled(kind: str) -> None:
    axes = getattr(Plot(SAMPLE), kind)()
    assert axes.get_title()
    assert axes.get_xlabel()


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_figure_is_made_through_pyplot_so_that_a_notebook_shows_it(kind: str) -> None:
    axes = getattr(Plot(SAMPLE), kind)()
    assert plt.get_fignums() == [axes.figure.number]
    assert axes.figure.get_size_inches().tolist() == [6.0, 3.5]


@pytest.mark.parametrize("kind", KINDS)
def test_given_axes_are_drawn_on(kind: str) -> None:
    _, axes = plt.subplots()
    assert getattr(Plot(SAMPLE), kind)(ax=axes) is axes
    assert len(plt.get_fignums()) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_no_global_setting_is_changed(kind: str) -> None:
    before = dict(mpl.rcParams)
    getattr(Plot(SAMPLE), kind)()
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_every_text_and_bar_stands_out_from_a_light_and_a_dark_page(kind: str, style: str) -> None:
    with plt.style.context(style):
        axes = getattr(Plot(SAMPLE), kind)()
        page = luminance(axes.figure.get_facecolor())
    for text in [*axes.texts, axes.title, axes.xaxis.label]:
        assert contrast(page, luminance(text.get_color())) > 4.5
    for bar in axes.patches:
        assert contrast(page, luminance(bar.get_facecolor())) > 2.4


def luminance(colour: Any) -> float:
    from matplotlib.colors import to_rgb

    channels = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return float(np.dot([0.2126, 0.7152, 0.0722], channels))


def contrast(one: float, other: float) -> float:
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


def test_status_counts_unique_leads_and_says_so() -> None:
    axes = Plot(SAMPLE).status()
    assert axes.get_title() == "Status of 4 leads"
    assert lengths(axes) == [3, 1, 0, 0, 0]
    assert {"3 (75 %)", "1 (25 %)", "0", "not found"} <= set(drawn(axes))


def test_a_share_below_half_a_percent_is_not_said_to_be_zero() -> None:
    rows = [found(n) for n in range(999)]
    axes = Plot(enriched([*rows, ("x", "failed", None, None, None)])).status()
    assert "1 (<1 %)" in drawn(axes)


def test_confidence_counts_each_email_once_per_lead() -> None:
    axes = Plot(SAMPLE).confidence()
    assert sum(lengths(axes)) == 2
    assert axes.get_title() == "Confidence of 2 emails, 1 more without one"
    assert " median 0.70 " in drawn(axes)


def test_confidence_has_as_many_bars_as_asked_for() -> None:
    assert len(lengths(Plot(SAMPLE).confidence(bins=7))) == 7


def test_bars_too_narrow_for_a_count_have_none() -> None:
    assert "1" in [text.get_text() for text in Plot(SAMPLE).confidence(bins=25).texts]
    assert "1" not in [text.get_text() for text in Plot(SAMPLE).confidence(bins=26).texts]


def test_a_confidence_of_one_is_in_the_last_bar() -> None:
    axes = Plot(enriched([found(1, confidence=1.0)])).confidence(bins=4)
    assert lengths(axes) == [0, 0, 0, 1]


@pytest.mark.parametrize("bins", [4, 10, 20])
def test_every_bar_stands_over_its_values(bins: int) -> None:
    values = np.arange(0, 1, 1 / bins).round(2)  # such as 0.15, which is no sum of 0.05
    axes = Plot(enriched([found(n, confidence=v) for n, v in enumerate(values)])).confidence()
    assert lengths(axes) == [1.0 if round(n / 20, 2) in values else 0.0 for n in range(20)]
    bars: list[Any] = list(axes.patches)
    for bar, edge in zip(bars, np.arange(20) / 20, strict=True):
        middle = bar.get_x() + bar.get_width() / 2
        assert middle == pytest.approx(edge + 0.025)


@pytest.mark.parametrize("kind", KINDS)
def test_no_line_runs_through_a_number(kind: str) -> None:
    axes = getattr(Plot(SAMPLE), kind)()
    axes.figure.draw_without_rendering()
    assert not any(line.get_visible() for line in [*axes.get_xgridlines(), *axes.get_ygridlines()])
    if kind == "confidence":
        (median,) = axes.lines
        counts = [one for one in axes.texts if one.get_text().isdecimal()]
        assert counts
        assert all(one.get_bbox_patch() is not None for one in counts)
        assert min(one.get_zorder() for one in counts) > median.get_zorder()


def test_bars_without_numbers_have_a_grid_to_be_read_by() -> None:
    axes = Plot(SAMPLE).confidence(bins=50)
    assert all(line.get_visible() for line in axes.get_ygridlines())


def test_sources_are_in_order_with_those_not_given_last() -> None:
    axes = Plot(SAMPLE).sources()
    assert axes.get_title() == "Sources of 3 emails"
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "website",
        "registry",
        "not given",
    ]
    assert lengths(axes) == [1, 1, 1]


def test_sources_beyond_the_top_are_one_bar() -> None:
    rows = [found(10 * n + m, f"source{n}") for n in range(6) for m in range(6 - n)]
    axes = Plot(enriched(rows)).sources(top=2)
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "source0",
        "source1",
        "4 other sources",
    ]
    assert lengths(axes) == [6, 5, 10]


@pytest.mark.parametrize("source", ["$\\frac{x$", "a$b", "$x$", "\\$5", "$$"])
def test_dollars_in_a_source_are_no_mathematics(source: str) -> None:
    axes = Plot(enriched([found(1, source)])).sources()
    label = next(text for text in drawn(axes) if "$" in text)
    assert label.count("$") == label.count("\\$")


def test_control_characters_in_a_source_are_shown_as_escapes() -> None:
    assert "\\x1b[31mred" in drawn(Plot(enriched([found(1, "\x1b[31mred")])).sources())


def test_long_names_of_sources_are_shortened() -> None:
    labels = drawn(Plot(enriched([found(1, "x" * 300)])).sources())
    assert "x" * 23 + "…" in labels


def test_a_blank_source_has_a_label() -> None:
    assert "(blank)" in drawn(Plot(enriched([found(1, "  ")])).sources())


def test_sources_of_a_categorical_column_name_only_those_that_occur() -> None:
    frame = enriched([found(1, "website"), found(2, "registry")]).head(1)
    frame["source"] = pd.Categorical(frame["source"], categories=["website", "registry"])
    axes = Plot(frame).sources()
    assert [label.get_text() for label in axes.get_yticklabels()] == ["website"]


@pytest.mark.parametrize(
    ("kind", "said"),
    [("status", "no leads"), ("confidence", "no emails"), ("sources", "no emails")],
)
def test_an_empty_frame_gives_labelled_axes_that_say_so(kind: str, said: str) -> None:
    axes = getattr(Plot(SAMPLE.head(0)), kind)()
    assert said in drawn(axes)
    assert axes.get_xlabel()


@pytest.mark.parametrize("kind", ["confidence", "sources"])
def test_a_frame_without_emails_says_so(kind: str) -> None:
    axes = getattr(Plot(SAMPLE.iloc[[4]]), kind)()
    assert "no emails" in drawn(axes)


def test_emails_without_any_confidence_say_so() -> None:
    assert "no email has a confidence" in drawn(Plot(SAMPLE.iloc[[2]]).confidence())


def test_bins_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="bins must be at least 1, not 0"):
        Plot(SAMPLE).confidence(bins=0)


def test_a_top_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="top must be at least 1, not 0"):
        Plot(SAMPLE).sources(top=0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_frame_that_is_not_enriched_is_refused_and_no_figure_made(kind: str) -> None:
    with pytest.raises(ValueError, match="not enriched"):
        getattr(Plot(pd.DataFrame({"lead_id": ["a"]})), kind)()
    assert plt.get_fignums() == []


def test_without_the_extra_the_error_names_it_and_importing_works() -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import pandas as pd; from leads_pandas.plotting import Plot\n"
        "frame = pd.DataFrame({'lead_id': ['a'], 'enrichment_status': 'found'})\n"
        "try:\n    Plot(frame).status()\n"
        "except ImportError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "leads_pandas[plot]"' in done.stdout


def test_importing_does_not_import_matplotlib() -> None:
    code = "import sys, leads_pandas.plotting; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
