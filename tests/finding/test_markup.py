from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leads_pandas.finding.markup import BLOCK, LINE, SEAM, read_outline
from tests.support.growth import grows_like_its_size


def seen(markup: str) -> str:
    """What a visitor sees, seams left out, blocks as lines."""
    text = read_outline(markup).text.replace(SEAM, "").replace(LINE, "\n").replace(BLOCK, "\n")
    return "\n".join(line for line in text.split("\n") if line)


def test_inline_elements_leave_a_seam_and_blocks_a_break() -> None:
    text = read_outline("a<b>b</b><br>c<p>d</p>").text
    assert text == f"a{SEAM}b{SEAM}{LINE}c{BLOCK}d{BLOCK}"


def test_a_place_to_break_a_word_leaves_nothing() -> None:
    assert read_outline("a<wbr>b").text == "ab"


@pytest.mark.parametrize(
    "hidden",
    [
        "<!-- b@c.example -->",
        "<!DOCTYPE html>",
        "<script>b</script>",
        "<style>b</style>",
        "<textarea>b</textarea>",
        "<title>b</title>",
        "<template>b</template>",
        "<p hidden>b</p>",
        "<p style='display: none'>b</p>",
    ],
)
def test_what_no_visitor_sees_is_left_out(hidden: str) -> None:
    assert seen(f"a{hidden}<p>c</p>") == "a\nc"


def test_what_stands_in_for_scripts_and_frames_is_seen() -> None:
    assert seen("<noscript><p>a</p></noscript><noframes><body>b</body></noframes>") == "a\nb"


def test_what_stands_in_for_scripts_inside_of_that_is_read_once() -> None:
    assert seen("<noscript>a<noscript>b</noscript>") == "a"


@pytest.mark.parametrize(
    "markup",
    [
        "<footer>x</footer>",
        "<div class='site-footer dark'>x</div>",
        "<div id=footer><p>x</p></div>",
    ],
)
def test_the_footer_is_known(markup: str) -> None:
    outline = read_outline(f"a{markup}b")
    ((start, end),) = outline.footers
    assert "x" in outline.text[start:end]
    assert "b" not in outline.text[start:end]


def test_a_footer_that_never_ends_takes_the_rest() -> None:
    outline = read_outline("a<footer>x")
    ((start, end),) = outline.footers
    assert (outline.text[start:end].strip(BLOCK), end) == ("x", len(outline.text))


@pytest.mark.parametrize("menu", ["<nav>", "<div class=main-menu>", "<ul id='nav'>"])
def test_links_of_a_menu_are_known(menu: str) -> None:
    links = [one for one in read_outline(f"{menu}<a href=x>y</a>").elements if one.name == "a"]
    assert [one.menu for one in links] == [True]


def test_entities_are_decoded_but_not_where_they_only_look_like_one() -> None:
    (link,) = read_outline("<a href='?lang=en&region=eu&#38;x'>&#64;</a>").elements
    assert link.attributes == {"href": "?lang=en&region=eu&x"}


def test_the_first_of_equal_attributes_counts() -> None:
    (link,) = read_outline("<a x=1 X=2>").elements
    assert link.attributes == {"x": "1"}


def test_scripts_are_kept_as_written_with_their_type() -> None:
    outline = read_outline("<script type='Application/LD+json'>{\"a<b\":1}</script>")
    assert outline.scripts == [("application/ld+json", '{"a<b":1}')]


def test_the_title_and_the_language_are_kept() -> None:
    outline = read_outline("<html lang=DE-at><title> A\n &amp; B </title>")
    assert (outline.title, outline.language) == ("A & B", "de-at")


def test_no_page_can_write_our_signs_itself() -> None:
    assert read_outline(f"a{SEAM}b{LINE}{BLOCK}").text == "a b  "


PIECES = [
    *("<div>", "<", "<a ", "<!--", "<!-- -->", '<a b="', "</", "<script>", "<a x", "&", "<x y=z "),
    *("<p>", "<li>", "</div>", "<footer>", "<nav>", "<a href=x>", "<noscript>", "<b>", "<table>"),
    *("<p hidden>", "<title>", "<td>", "</p>", "<div class=footer>", "x", "<br>", "<frameset>"),
]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=4).map("".join))
def test_no_page_takes_more_than_linear_time(piece: str) -> None:
    assert grows_like_its_size(
        lambda length: read_outline((piece * (length // len(piece) + 1))[:length]), 25_000
    )
