"""The parts of a selector in the text: matchers between braces, and lists of label names."""

from gnomon_server.query.promql import lexer
from gnomon_server.query.promql.cursor import Cursor
from gnomon_server.query.syntax import regex
from gnomon_server.query.syntax.lexer import Token, quote
from gnomon_server.query.syntax.matchers import METRIC_NAME, Matcher, MatchOp

_OPS = {op.value: op for op in MatchOp}
_REGEX = (MatchOp.REGEX, MatchOp.NOT_REGEX)
_MATCHING = "label matching"
_GROUPING = "grouping opts"


def matchers(cursor: Cursor) -> tuple[Matcher, ...]:
    """`{a="b", "c.d"=~"e", "metric.name"}`; a comma may trail, none may stand alone."""
    cursor.expect("{")
    found: list[Matcher] = []
    while not cursor.accept("}"):
        if found and not cursor.accept(","):
            cursor.unexpected(_MATCHING, '"," or "}"')
        if found and cursor.accept("}"):
            break
        found.append(_matcher(cursor))
    return tuple(found)


def label_names(cursor: Cursor) -> tuple[str, ...]:
    """`(a, "b.c")`; words that are keywords elsewhere are names here."""
    cursor.expect("(", _GROUPING, '"("')
    found: list[str] = []
    while not cursor.accept(")"):
        if found and not cursor.accept(","):
            cursor.unexpected(_GROUPING, '"," or ")"')
        if found and cursor.accept(")"):
            break
        found.append(_label_name(cursor))
    return tuple(found)


def _matcher(cursor: Cursor) -> Matcher:
    token = cursor.peek
    if token.kind not in (lexer.IDENTIFIER, lexer.STRING_KIND):
        cursor.unexpected(_MATCHING, 'identifier or "}"')
    quoted = token.kind == lexer.STRING_KIND
    name = cursor.string() if quoted else cursor.take().text
    op = _OPS.get(cursor.peek.text)
    if op is None:
        if quoted:
            return Matcher(METRIC_NAME, MatchOp.EQUAL, name, token.start, token.end)
        cursor.unexpected(_MATCHING, "label matching operator")
    cursor.take()
    if cursor.peek.kind != lexer.STRING_KIND:
        cursor.unexpected(_MATCHING, "string")
    literal = cursor.peek
    value = cursor.string()
    if op in _REGEX:
        _check_regex(cursor, literal, value)
    return Matcher(name, op, value, token.start, literal.end)


def _check_regex(cursor: Cursor, literal: Token, value: str) -> None:
    try:
        regex.check(value)
    except regex.RegexError as error:
        start, end = literal.start, literal.end
        # Where there are no escapes, a place in the pattern is one in the text.
        if end - start == len(value) + 2:
            start, end = start + 1 + error.start, start + 1 + error.end
        cursor.fail(error.what, start, end)


def _label_name(cursor: Cursor) -> str:
    token = cursor.peek
    if token.kind == lexer.STRING_KIND:
        name = cursor.string()
        if not name:
            cursor.fail(f"invalid label name for grouping: {quote(name)}", token.start, token.end)
        return name
    word = token.text[:1].isalpha() or token.text[:1] in ("_", ":")
    if not word or token.kind in (lexer.NUMBER_KIND, lexer.ERROR):
        cursor.unexpected(_GROUPING, "label")
    return cursor.take().text
