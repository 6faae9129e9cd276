"""What the query languages write alike: Go's numbers and strings."""

import re

import pytest

from gnomon_server.query.syntax import lexer


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1), ("5.", 5), (".5", 0.5), ("5e-3", 0.005), ("0xc", 12), ("0X_ff", 255), ("017", 15), ("08", 8),
     ("1_000", 1000), ("1e6", 1e6), ("0777777777777777777777777", 777777777777777777777777.0), ("00", 0),
     ("0.5", 0.5), ("1_0.2_5e1_0", 10.25e10)],
)  # fmt: skip
def test_numbers_are_gos(text: str, value: float) -> None:
    """A leading 0 is octal, save where a digit or a point says otherwise."""
    assert re.fullmatch(lexer.NUMBER, text)
    assert lexer.number(text) == value


@pytest.mark.parametrize("text", ["2.5.", "1__0", "0deadbeef", "1e", "5m", "0x", "1_", "1..", "0b1"])
def test_what_is_no_number_is_not_lexed_as_one(text: str) -> None:
    """Not in part either."""
    assert re.match(lexer.NUMBER, text) is None


@pytest.mark.parametrize("text", ["1e999", "0x" + "f" * 17, "9" * 5000])
def test_a_number_too_large_is_refused_in_gos_words(text: str) -> None:
    """And cut where it is long."""
    with pytest.raises(ValueError, match=r"error parsing number: strconv\.ParseFloat: parsing") as error:
        lexer.number(text)
    assert len(str(error.value)) < 100


@pytest.mark.parametrize(
    ("text", "value"),
    [('"a"', "a"), (r'"\n\t\\\""', '\n\t\\"'), (r"'\''", "'"), (r"`\n`", r"\n"), (r'"\u1234"', "\u1234"),
     (r'"\U00010111"', "\U00010111"), (r'"\x41\101"', "AA"), (r'"\xe2\x98\xba"', "☺"), (r'"\xFF"', "\udcff"),
     ('"é☺"', "é☺")],
)  # fmt: skip
def test_strings_have_gos_escapes(text: str, value: str) -> None:
    """Escaped bytes join into UTF-8; what is none of it stays, byte by byte."""
    assert lexer.unquote(text) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [(r'"\q"', "unknown escape sequence U+0071 'q'"), (r"""'\"'""", "unknown escape sequence U+0022 '\"'"),
     (r'"\x."', "illegal character U+002E '.' in escape sequence"), (r'"\x4"', "escape sequence not terminated"),
     (r'"\ud800"', "escape sequence is an invalid Unicode code point"),
     (r'"\400"', "escape sequence is an invalid Unicode code point"),
     (r'"\UFFFFFFFF"', "escape sequence is an invalid Unicode code point"), ('"\ud800"', "invalid UTF-8 rune")],
)  # fmt: skip
def test_other_escapes_are_refused_in_prometheus_words(text: str, message: str) -> None:
    """So is half a surrogate pair, which no UTF-8 has."""
    with pytest.raises(ValueError, match=re.escape(message)):
        lexer.unquote(text)


def test_quoting_is_undone_by_unquoting() -> None:
    """Whatever the characters."""
    value = "".join(map(chr, [*range(300), 0x200B, 0x2028, 0x1F600, 0x10FFFF, 0xDC80, 0xDCFF])) + '"\\'
    assert lexer.unquote(lexer.quote(value)) == value


def test_long_tokens_are_cut_in_messages() -> None:
    """As Prometheus cuts them, after ten characters."""
    assert lexer.shorten("0123456789") == '"0123456789"'
    assert lexer.shorten("0123456789a") == '"0123456789"...'
    assert lexer.rune("'") == "'\\''"
