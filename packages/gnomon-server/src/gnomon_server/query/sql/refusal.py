"""Refusals of SQL that show the spot: line, column, the text with the place underlined."""

import re

from gnomon_server.errors import InvalidInput

# Comments, strings and heredocs are skipped; names (quoted ones too) and other marks are looked at.
_TOKEN = re.compile(
    r"--[^\n]*|\#[ !][^\n]*|/\*.*?\*/"
    r"|'(?:[^'\\]|\\.|'')*'"
    r"|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$"
    r'|(?P<quoted>"(?:[^"\\]|\\.|"")*"|`(?:[^`\\]|\\.|``)*`)'
    r"|(?P<word>[^\W\d]\w*)",
    re.DOTALL,
)
_SYNTAX = re.compile(r"failed at position (\d+) \((.*?)\)(?: \(line \d+, col \d+\))?: ", re.DOTALL)
_EXPECTED = re.compile(r"Expected one of: (.*?)(?:: In scope |\.? \(SYNTAX_ERROR\)|$)", re.DOTALL)
_PREFIX = re.compile(r"^Code: \d+\. DB::Exception: ")
_QUOTED_NAME = re.compile(r"`([^`]+)`")
_SHOWN = 8  # of the tokens that the parser would have taken; it lists up to hundreds
_MARGIN = 60


def refuse(code: str, what: str, text: str, name: str, hint: str = "") -> InvalidInput:
    """A refusal of `name`, pointing at its first place in `text` as a word of code."""
    return InvalidInput(code, what, where=_spot(text, *_find(text, name)) if name else "query", hint=hint)


def syntax_error(message: str, text: str) -> InvalidInput:
    """ClickHouse's own syntax error, with its place in `text`."""
    found = _SYNTAX.search(message)
    if "Multi-statements" in message:
        what = "one statement at a time"
    elif found:
        expected = _EXPECTED.search(message)
        tokens = expected[1].split(", ")[:_SHOWN] if expected else []
        what = f"syntax error at {found[2][:80]!r}" + (f": expected {', '.join(tokens)}" if tokens else "")
    else:
        what = message.partition(": In scope ")[0]
    if found is None:
        return InvalidInput("sql_syntax", what, where="query")
    # The engine counts bytes, from 1.
    offset = len(text.encode()[: int(found[1]) - 1].decode("utf-8", "ignore"))
    return InvalidInput("sql_syntax", what, where=_spot(text, offset, 1))


def engine_error(error: InvalidInput, text: str) -> InvalidInput:
    """What ClickHouse said about a query that passed the gate (a column it does not know, a type that does not fit)."""
    what = _PREFIX.sub("", error.what).partition(" In scope ")[0].partition(": In scope ")[0].removesuffix(".")
    name = _QUOTED_NAME.search(what)
    return InvalidInput(
        error.code, what, where=_spot(text, *_find(text, name[1])) if name else "query", hint=error.hint
    )


def _find(text: str, name: str) -> tuple[int, int]:
    """Offset and length of `name`; a dotted name is found by its last part, as quoted or not as it stands there."""
    last = name.rpartition(".")[2] if not name.startswith("/") else name
    for token in _TOKEN.finditer(text):
        if token.lastgroup == "quoted" and token[0][1:-1] in (name, last):
            return token.start(), len(token[0])
        if token["word"] and token["word"].lower() in (name.lower(), last.lower()):
            return token.start(), len(token[0])
    return 0, 0


def _spot(text: str, offset: int, length: int) -> str:
    if not length:
        return "query"
    start = text.rfind("\n", 0, offset) + 1
    end = text.find("\n", offset)
    line = text[start : len(text) if end < 0 else end]
    column = offset - start
    left = max(0, column - _MARGIN)
    shown = line[left : column + length + _MARGIN].replace("\t", " ")
    number = text.count("\n", 0, offset) + 1
    return f"line {number}, column {column + 1}\n  {shown}\n  {' ' * (column - left)}{'^' * length}"
