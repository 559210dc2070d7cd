from __future__ import annotations

import io
import re
from html.parser import HTMLParser

import pytest

from leads_pandas.display import (
    card_html,
    card_text,
    clean,
    duration,
    is_coloured,
    plural,
    terminal_width,
    wrapped,
)
from tests.support.growth import grows_like_its_size

EVIL = "<img src=x onerror=\"alert('1')\">"


class Tags(HTMLParser):
    """Notes which tags and which text a page has."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain text, with $ and \\",
        "café naïve Ünïcödé e\u0301",
        "東京 서울 ไทย עברית",
        "non\u00a0breaking and ideographic\u3000spaces",
        "🎉 👍🏽 ❤️ 🇩🇪",
        "👩\u200d💻 👨\u200d👩\u200d👧 🏳️\u200d🌈 ❤️\u200d🔥",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "\u0915\u094d\u200d\u0937",
        "\U0001fae8",
    ],
)
def test_text_of_every_language_stays_as_it_is(text: str) -> None:
    assert clean(text) == text


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("\x1b[31mred", r"\x1b[31mred"),
        ("one\ntwo\r\n", r"one\ntwo\r\n"),
        ("tab\tbell\x07", r"tab\tbell\x07"),
        ("\x7f\x9b", r"\x7f\x9b"),
        ("gpj.\u202eexe", r"gpj.\u202eexe"),
        ("\u2066isolated\u2069", r"\u2066isolated\u2069"),
        ("pay\u200bpal", r"pay\u200bpal"),
        ("\ufefftext\u00ad", r"\ufefftext\xad"),
        ("line\u2028paragraph\u2029", r"line\u2028paragraph\u2029"),
        ("half \ud83d pair", r"half \ud83d pair"),
        ("private \ue000", r"private \ue000"),
        ("tag \U000e0041", r"tag \U000e0041"),
        ("unassigned \U000e0fff", r"unassigned \U000e0fff"),
    ],
)
def test_characters_that_steer_or_hide_become_escapes(text: str, safe: str) -> None:
    assert clean(text) == safe


@pytest.mark.parametrize("text", ["pay\u200dpal", "\u200d👩", "👩\u200d", "a\u200c"])
def test_a_joiner_that_joins_nothing_becomes_an_escape(text: str) -> None:
    assert "\u200d" not in clean(text)
    assert "\u200c" not in clean(text)


def test_clean_text_is_clean_already() -> None:
    text = "\x1b[31m 👩\u200d💻 \u202e é"
    assert clean(clean(text)) == clean(text)


def test_a_long_text_is_cleaned_in_linear_time() -> None:
    assert grows_like_its_size(lambda length: clean("é東a" * length + "\x1b"), 50_000)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-1, "0 s"),
        (0, "0 s"),
        (0.84, "0.8 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min"),
        (72, "1 min 12 s"),
        (3599.6, "1 h"),
        (7500, "2 h 5 min"),
        (3_600_000, "1,000 h"),
    ],
)
def test_durations_read_as_people_say_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_nouns_are_counted() -> None:
    assert [plural(n, "lead") for n in (0, 1, 1200)] == ["0 leads", "1 lead", "1,200 leads"]


def test_a_card_as_text_is_aligned() -> None:
    text = card_text("Cost", [("leads", "1,200"), ("to enrich", "35")], note="short")
    assert text == "Cost\n  leads      1,200\n  to enrich     35\n  short"


def test_wide_characters_are_aligned_by_the_columns_they_take() -> None:
    text = card_text("Cost", [("東京", "1"), ("café", "22")])
    assert text == "Cost\n  東京   1\n  café  22"


def test_a_card_as_text_has_one_line_for_each_value_whatever_it_holds() -> None:
    text = card_text("a\nb", [("c\nd", "e\x1bf")], note="g\rh")
    assert text == "a\\nb\n  c\\nd  e\\x1bf\n  g\\rh"


def test_a_card_without_values_is_its_title() -> None:
    assert card_text("Cost", []) == "Cost"


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colour_is_for_terminals_that_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert is_coloured(Screen())
    assert not is_coloured(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not is_coloured(Screen())
    monkeypatch.setenv("NO_COLOR", "")
    monkeypatch.setenv("TERM", "dumb")
    assert not is_coloured(Screen())


def test_text_is_broken_between_its_words() -> None:
    assert wrapped("one two-three four", 10) == "one\ntwo-three\nfour"
    assert wrapped("abcdefghijklm", 10) == "abcdefghijklm"
    assert wrapped("one two-three four", None) == "one two-three four"


def test_a_terminal_is_as_wide_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert terminal_width(Screen()) == 60
    assert terminal_width(io.StringIO()) is None
    monkeypatch.setenv("COLUMNS", "wide")
    assert terminal_width(Screen()) == 80


def test_a_card_as_html_holds_no_tag_and_no_attribute_from_outside() -> None:
    card = card_html(EVIL, [(EVIL, EVIL)], note=EVIL)
    page = Tags(card)
    assert page.tags == {"div", "span"}
    assert [part for part in page.text if part.strip()] == [EVIL] * 4


def test_a_card_as_html_shows_control_characters_as_escapes() -> None:
    assert r"\x1b[31m\u202e" in card_html("t", [("a", "\x1b[31m\u202e")])


def test_a_card_without_its_styles_still_separates_label_and_value() -> None:
    page = Tags(card_html("Cost", [("leads", "35")]))
    assert "".join(page.text) == "Costleads 35"


def test_a_card_takes_its_text_colour_from_the_notebook() -> None:
    card = card_html("Cost", [("leads", "35")], fraction=0.5, note="n")
    assert not re.search(r"(?<![-\w])color:", card)


@pytest.mark.parametrize(
    ("fraction", "width"), [(0.0, 0), (0.5, 50), (1.0, 100), (7.0, 100), (-1.0, 0)]
)
def test_the_bar_is_as_long_as_the_fraction(fraction: float, width: int) -> None:
    card = card_html("Run", [], fraction=fraction)
    assert f"width:{width}%" in card
    assert f'role="progressbar" aria-valuenow="{width}"' in card


def test_a_card_without_a_fraction_has_no_bar() -> None:
    assert "progressbar" not in card_html("Cost", [("leads", "35")])
