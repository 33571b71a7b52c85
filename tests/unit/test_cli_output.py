"""Tables that fit, and text that cannot steer a terminal."""

import pytest

from tomqueue.cli.output import Column, fitted, one_line, plain, print_table, width


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07name", "name"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("a\x1b", "a"),
        ("a\x00b\x08c\x7fd\x9b31me", "abcd31me"),
        ("user\u202egnp.exe", "usergnp.exe"),
        ("half \ud800 pair", "half  pair"),
        ("two\nlines", "two\nlines"),
    ],
)
def test_only_characters_are_left(text: str, shown: str) -> None:
    """Escapes, controls and marks of direction are gone; line breaks stay."""
    assert plain(text) == shown


def test_one_line_is_one_line() -> None:
    """Whatever breaks lines becomes a space."""
    assert one_line("a\r\nb\u2028c\td\x1b[2K") == "a b c d"


def test_a_table_is_cut_where_it_is_elastic(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the end, or at the beginning where the end tells more."""
    monkeypatch.setenv("COLUMNS", "34")
    columns = [
        Column(title="ID", right=True),
        Column(title="A", elastic=True),
        Column(title="B", elastic=True, keep_end=True),
    ]
    print_table(columns, [("7", "abcdefghijklmnopqrstuvwxyz", "abcdefghijklmnopqrstuvwxyz")], empty="none")
    assert capsys.readouterr().out == "ID  A               B\n 7  abcdefghijklm…  …nopqrstuvwxyz\n"


def test_wide_characters_take_two_columns() -> None:
    """Columns stay below one another."""
    assert width("日本") == 4
    assert width("e\u0301") == 1
    column = Column(title="NAME", elastic=True)
    assert [width(column.cell(text, 5)) for text in ("日本語", "abc", "日本語です")] == [5, 5, 5]


def test_columns_that_cannot_give_way_keep_their_width() -> None:
    """A number that is cut would be another number."""
    columns = [Column(title="ID"), Column(title="NAME", elastic=True)]
    assert fitted(columns, [["1" * 30, "n" * 30]], 20) == [30, 8]


def test_a_long_table_is_printed_as_it_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    """The first rows decide about the columns."""
    print_table([Column(title="N")], ([str(number)] for number in range(1500)), empty="none")
    assert len(capsys.readouterr().out.splitlines()) == 1501
    print_table([Column(title="N")], [], empty="none")
    assert capsys.readouterr().out == "none\n"
