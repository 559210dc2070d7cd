from __future__ import annotations

import time

import pytest

from leads_pandas.finding.markup import End, Raw, Start, Text, tokens


def test_a_page_is_split_into_tags_and_text() -> None:
    assert list(tokens('<P CLASS="x">a<br/>b</p>')) == [
        Start("p", {"class": "x"}),
        Text("a"),
        Start("br", {}),
        Text("b"),
        End("p"),
    ]


def test_entities_are_decoded_in_text_and_in_attributes() -> None:
    assert list(tokens('<a href="&#109;ailto">&#x40;&amp;</a>')) == [
        Start("a", {"href": "mailto"}),
        Text("@&"),
        End("a"),
    ]


@pytest.mark.parametrize(
    ("tag", "attributes"),
    [
        ("<a x=1 y='2' z=\"3\">", {"x": "1", "y": "2", "z": "3"}),
        ("<a x y=>", {"x": "", "y": ""}),
        ("<a x = 1>", {"x": "1"}),
        ("<a x=1 X=2>", {"x": "1"}),
        ("<a/x/y=1/>", {"x": "", "y": "1/"}),
        ("<a =x=1>", {"=x": "1"}),
        ('<a x="a>b">', {"x": "a>b"}),
        ("<a\nx\t=\n1>", {"x": "1"}),
    ],
)
def test_attributes_are_read_as_browsers_read_them(tag: str, attributes: dict[str, str]) -> None:
    assert list(tokens(tag)) == [Start("a", attributes)]


@pytest.mark.parametrize(
    "hidden",
    [
        "<!-- b@c.example -->",
        "<!-->",
        "<!--->",
        "<!-- --!>",
        "<!DOCTYPE html>",
        "<?xml version='1.0'?>",
        "</ x>",
        "<![CDATA[x]]>",
    ],
)
def test_comments_and_declarations_are_left_out(hidden: str) -> None:
    assert list(tokens(f"a{hidden}b")) == [Text("a"), Text("b")]


@pytest.mark.parametrize("rest", ["<!-- b", "<a href='b", "<a b", "</a", "<!b", "<?b"])
def test_what_the_page_breaks_off_in_is_dropped(rest: str) -> None:
    assert list(tokens(f"a{rest}")) == [Text("a")]


def test_a_lone_less_than_sign_is_text() -> None:
    assert list(tokens("1 < 2 <3")) == [Text("1 < 2 <3")]


def test_scripts_are_kept_apart_as_written() -> None:
    script = Raw("script", {"type": "x"}, "if (a<b && '</p>') &amp;")
    assert list(tokens("<script type=x>if (a<b && '</p>') &amp;</SCRIPT >c")) == [
        script,
        End("script"),
        Text("c"),
    ]


def test_a_script_that_never_ends_takes_the_rest() -> None:
    assert list(tokens("<style>a<b>")) == [Raw("style", {}, "a<b>")]


@pytest.mark.parametrize(
    "piece",
    ["<div>", "<", "<a ", "<!--", "<!-- -->", '<a b="', "</", "<script>", "<a x", "&", "<x y=z "],
)
def test_no_page_takes_more_than_linear_time(piece: str) -> None:
    def seconds(length: int) -> float:
        page = (piece * (length // len(piece) + 1))[:length]
        began = time.process_time()
        for _ in tokens(page):
            pass
        return time.process_time() - began

    # A page ten times as long would take a hundred times as long if the time were quadratic.
    assert seconds(400_000) < 40 * seconds(40_000) + 0.2
