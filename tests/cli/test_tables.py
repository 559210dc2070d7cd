from __future__ import annotations

from leads_pandas.cli.tables import Column, table
from leads_pandas.display import text_width


def test_a_table_is_narrowed_to_the_terminal_and_copies_stay_whole() -> None:
    columns = [
        Column("run", ["4f3d3ccbf448"], whole=True),
        Column("email", ["x" * 90 + "@firm.example"]),
        Column("name", ["日本" * 20]),
        Column("n", ["7"], right=True),
    ]
    wide = table(columns, width=None, colour=False)
    assert "x" * 90 + "@firm.example" in wide
    narrow = table(columns, width=60, colour=False)
    assert all(text_width(line) <= 60 for line in narrow.splitlines())
    assert "4f3d3ccbf448" in narrow
    assert "…" in narrow


def test_a_column_that_can_be_spared_goes_before_others_lose_more_than_they_can() -> None:
    columns = [
        Column("email", ["x" * 30], least=20),
        Column("first", ["y" * 10], spare=True),
        Column("last", ["z" * 10], spare=True),
        Column("n", ["1234567890"], right=True),
    ]
    assert table(columns, width=60, colour=False).splitlines()[0].split()[-2] == "last"
    without_last = table(columns, width=45, colour=False)
    assert without_last.split()[:3] == ["email", "first", "n"]
    assert table(columns, width=32, colour=False).splitlines()[1] == "x" * 19 + "…  1234567890"
    assert table(columns, width=22, colour=False).splitlines()[1] == "x" * 9 + "…  1234567890"


def test_numbers_stand_on_the_right_and_no_line_ends_in_blanks() -> None:
    columns = [
        Column("n", ["7", "1,200"], right=True),
        Column("name", ["a", "東京"]),
        Column("last", ["", "x"]),
    ]
    assert table(columns, width=None, colour=False).splitlines() == [
        "    n  name  last",
        "    7  a",
        "1,200  東京  x",
    ]


def test_headings_and_the_cells_that_are_named_are_painted() -> None:
    columns = [Column("a", ["yes", "no"], colours={"yes": "32"})]
    assert table(columns, width=None, colour=True).splitlines() == [
        "\x1b[1ma\x1b[0m",
        "\x1b[32myes\x1b[0m",
        "no",
    ]


def test_a_cell_cannot_act_on_the_terminal() -> None:
    assert "\x1b" not in table([Column("\x1b[1m", ["\x1b[2J"])], width=None, colour=False)
