"""Errors show the place."""

from gnomon_server.query.syntax.spot import line_and_column, parse_error, show


def test_line_and_column_count_from_one() -> None:
    """A line's break belongs to the line that it ends."""
    text = "ab\ncd\n"
    assert [line_and_column(text, offset) for offset in range(7)] == [
        (1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3), (3, 1),
    ]  # fmt: skip


def test_the_place_is_underlined() -> None:
    """On its own line of the text, tabs as blanks."""
    assert show("sum(\n\tfoo and bar\n)", 10, 13) == "line 2, column 6\n   foo and bar\n       ^^^"


def test_what_spans_lines_is_underlined_to_the_end_of_the_first() -> None:
    """At the end of the text one place is."""
    assert show("a +\nb", 0, 5) == "line 1, column 1\n  a +\n  ^^^"
    assert show("a +", 3, 3) == "line 1, column 4\n  a +\n     ^"


def test_long_lines_are_cut_on_both_sides() -> None:
    """The place stays in sight."""
    shown = show("x" * 1000 + "HERE" + "y" * 1000, 1000, 1004).splitlines()
    assert shown[0] == "line 1, column 1001"
    assert len(shown[1]) < 140
    assert shown[1].index("HERE") == shown[2].index("^^^^")


def test_the_message_reads_as_in_prometheus() -> None:
    """And can be sent whatever the text is."""
    assert parse_error("code", "bad", "a\nb\ud800", 3, 4).what == "2:2: parse error: bad"
    assert parse_error("code", "bad", "", 0, 0).what == "unknown position: parse error: bad"
    str(parse_error("code", "bad \ud800", "a\nb\ud800", 3, 4)).encode()


def test_a_message_that_quotes_all_of_the_text_is_cut() -> None:
    """A token may be as long as the text."""
    what = parse_error("code", "unknown function " + "x" * 90_000, "x" * 90_000, 0, 90_000).what
    assert len(what) < 1100
    assert what.endswith("xxx...")
