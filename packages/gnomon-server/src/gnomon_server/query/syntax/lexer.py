"""Tokens with their places, and what the query languages write alike: names, numbers and Go's strings."""

import math
import re
import string
from typing import NamedTuple

NAME = r"[a-zA-Z_][a-zA-Z0-9_]*"
_DIGITS = "[0-9](?:_?[0-9])*"
# Go's integers and floats save binary and `0o` ones, which Prometheus' lexer does not take; nor may a letter follow.
NUMBER = (
    rf"(?:0[xX]_?[0-9a-fA-F](?:_?[0-9a-fA-F])*|(?:{_DIGITS}(?:\.(?:{_DIGITS})?)?|\.{_DIGITS})(?:[eE][+-]?{_DIGITS})?)"
    r"(?![a-zA-Z0-9_.])"
)
STRING = r'"(?:[^"\\\n]|\\.)*"' + r"|'(?:[^'\\\n]|\\.)*'|`[^`]*`"

_OCTAL = re.compile(r"0_?[0-7](?:_?[0-7])*")
_HEX = re.compile(r"0[xX]")
_ESCAPE = re.compile(
    r"\\(?:(?P<simple>[abfnrtv\\])|(?P<octal>[0-7]{3})|x(?P<byte>[0-9a-fA-F]{2})"
    r"|(?:u(?P<four>[0-9a-fA-F]{4})|U(?P<eight>[0-9a-fA-F]{8}))|(?P<other>.))",
    re.DOTALL,
)
_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\"}
_MAX_BYTE, _MAX_RUNE = 0xFF, 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)
_SHOWN = 10  # of a long token's characters
_MAX_INT = 2**63 - 1  # Go reads integers into 64 bits, and what is more as a float


class Token(NamedTuple):
    """A token: its kind (the language's own word), its text and its place, `end` exclusive."""

    kind: str
    text: str
    start: int
    end: int


def number(text: str) -> float:
    """The value of a text that matches `NUMBER`: hexadecimal, octal by a leading 0 (as in Go), or decimal.

    Raises:
        ValueError: too large; the message is Go's.
    """
    if _HEX.match(text):
        value = int(text, 16)
        if value > _MAX_INT:
            raise _not_parsed(text, "invalid syntax")
        return float(value)
    if _OCTAL.fullmatch(text) and (value := int(text.replace("_", ""), 8)) <= _MAX_INT:
        return float(value)
    decimal = float(text)
    if math.isinf(decimal):
        raise _not_parsed(text, "value out of range")
    return decimal


def unquote(text: str) -> str:
    r"""The value of a text that matches `STRING`, with Go's escapes.

    Bytes that are no UTF-8 (`"\xff"`) come as Python's surrogate escapes.

    Raises:
        ValueError: an escape that Go does not have; the message is Prometheus'.
    """
    quote, body = text[0], text[1:-1]
    if any(ord(character) in _SURROGATES for character in body):
        message = "invalid UTF-8 rune"
        raise ValueError(message)
    if quote == "`" or "\\" not in body:
        return body
    pieces, last = [], 0
    for escape in _ESCAPE.finditer(body):
        pieces += [body[last : escape.start()].encode(), _unescape(escape, quote)]
        last = escape.end()
    pieces.append(body[last:].encode())
    return b"".join(pieces).decode("utf-8", "surrogateescape")


def quote(value: str) -> str:
    """`value` as Go's `strconv.Quote` writes it, in double quotes."""
    return '"' + "".join(_QUOTED.get(character) or _plain(character) for character in value) + '"'


def shorten(text: str) -> str:
    """A token for a message: quoted, and cut when long."""
    return quote(text) if len(text) <= _SHOWN else quote(text[:_SHOWN]) + "..."


def rune(character: str) -> str:
    """A character for a message: `'x'`."""
    return "'\\''" if character == "'" else f"'{quote(character)[1:-1]}'" if character != '"' else "'\"'"


def _not_parsed(text: str, why: str) -> ValueError:
    return ValueError(f"error parsing number: strconv.ParseFloat: parsing {shorten(text)}: {why}")


def _unescape(escape: re.Match[str], quote: str) -> bytes:
    kind, value = str(escape.lastgroup), str(escape[str(escape.lastgroup)])
    if kind == "simple":
        return _SIMPLE[value].encode()
    if kind == "other":
        if value == quote:
            return value.encode()
        raise _no_escape(escape)
    code = int(value, 8 if kind == "octal" else 16)
    limit = _MAX_BYTE if kind in ("octal", "byte") else _MAX_RUNE
    if code > limit or code in _SURROGATES:
        message = "escape sequence is an invalid Unicode code point"
        raise ValueError(message)
    return bytes([code]) if limit == _MAX_BYTE else chr(code).encode()


def _no_escape(escape: re.Match[str]) -> ValueError:
    letter, rest = str(escape["other"]), escape.string[escape.end() :]
    if letter not in "xuU01234567":
        return ValueError(f"unknown escape sequence {_point(letter)}")
    digits = "01234567" if letter.isdigit() else string.hexdigits
    wrong = rest.lstrip(digits)[:1]
    return ValueError(
        f"illegal character {_point(wrong)} in escape sequence" if wrong else "escape sequence not terminated"
    )


def _point(character: str) -> str:
    return f"U+{ord(character):04X} {rune(character)}"


def _plain(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code < 0xDD00:  # noqa: PLR2004 - the surrogate escapes of the bytes 0x80 to 0xFF
        return f"\\x{code - 0xDC00:02x}"
    if character.isprintable():
        return character
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - one byte of UTF-8, one \u


_QUOTED = {'"': '\\"', "\\": "\\\\"} | {value: f"\\{name}" for name, value in _SIMPLE.items() if name != "\\"}
