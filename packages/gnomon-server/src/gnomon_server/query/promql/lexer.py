"""PromQL's tokens.

Source: Prometheus promql/parser/lex.go. A word's meaning hangs on where it stands: between braces there are no
keywords, between brackets a colon stands alone, elsewhere it is part of a name.
"""

import re
from collections.abc import Iterator

from gnomon_server.query.syntax.durations import DURATION
from gnomon_server.query.syntax.lexer import NAME, NUMBER, STRING, Token, rune, shorten, unquote
from gnomon_server.query.syntax.lexer import quote as quoted

# Kinds. What is neither a name nor a literal has its own (small) text as its kind's detail: `token.text`, lower case.
END, ERROR = "end of input", "error"
IDENTIFIER, METRIC_IDENTIFIER = "identifier", "metric identifier"
NUMBER_KIND, DURATION_KIND, STRING_KIND = "number", "duration", "string"
OPERATOR, AGGREGATOR, KEYWORD, QUERY_WORD, MARK = "operator", "aggregator", "keyword", "query word", "mark"

OPERATORS = frozenset({"and", "or", "unless", "atan2"})
AGGREGATORS = frozenset(
    {"sum", "avg", "count", "min", "max", "group", "stddev", "stdvar", "topk", "bottomk", "count_values", "quantile",
     "limitk", "limit_ratio"}
)  # fmt: skip
KEYWORDS = frozenset(
    {"offset", "smoothed", "anchored", "by", "without", "on", "ignoring", "group_left", "group_right", "fill",
     "fill_left", "fill_right", "bool"}
)  # fmt: skip
QUERY_WORDS = frozenset({"start", "end", "step", "range", "min_of", "max_of"})
_FILLS = frozenset({"fill", "fill_left", "fill_right"})
_NUMBER_WORDS = frozenset({"inf", "nan"})
_WORDS = {
    **dict.fromkeys(OPERATORS, OPERATOR), **dict.fromkeys(AGGREGATORS, AGGREGATOR),
    **dict.fromkeys(KEYWORDS, KEYWORD), **dict.fromkeys(QUERY_WORDS, QUERY_WORD),
    **dict.fromkeys(_NUMBER_WORDS, NUMBER_KIND),
}  # fmt: skip

_BLANK = r"(?P<blank>[ \t\r\n]+|\#[^\r\n]*)"
_LITERALS = rf"(?P<string>{STRING})|(?P<number>{NUMBER})|(?P<duration>{DURATION})"
_OUTSIDE = re.compile(
    rf"{_BLANK}|{_LITERALS}|(?P<word>[a-zA-Z_:][a-zA-Z0-9_:]*)"
    r"|(?P<operator>==|!=|<=|>=|</|>/|[-+*/%^<>@])|(?P<mark>[](){}[,]|=(?!~))"
)
_BRACKETS = re.compile(
    rf"{_BLANK}|{_LITERALS}|(?P<word>{NAME})|(?P<operator>[-+*/%^])|(?P<mark>[](){{}}[,:])", re.DOTALL
)
_BRACES = re.compile(rf"{_BLANK}|(?P<string>{STRING})|(?P<name>{NAME})|(?P<operator>=~|!~|!=)|(?P<mark>[{{}},=])")
_BRACKETED = {KEYWORD: "", OPERATOR: "op:", AGGREGATOR: "aggr:"}
_FORBIDDEN = {_OUTSIDE: "]}", _BRACKETS: "[{}", _BRACES: "{"}
_NAMES = {
    (_OUTSIDE, "]"): "right bracket", (_OUTSIDE, ")"): "right parenthesis", (_BRACKETS, ")"): "right parenthesis",
    (_BRACKETS, "["): "left bracket", (_BRACES, "{"): "left brace",
}  # fmt: skip
_PAREN_AHEAD = re.compile(r"[ \t\r\n]*\(")
_RUN = re.compile(r"[a-zA-Z0-9_.]+")


def tokens(text: str) -> list[Token]:
    """The tokens of `text`, comments left out; the last is of kind `END`, or `ERROR` with the message as its text.

    What comes before an error is there: as in Prometheus, the parser may find fault with it first.
    """
    found = []
    for token in _scan(text):
        found.append(token)
        if token.kind == ERROR:
            break
    return found


def describe(token: Token) -> str:
    """A token for an `unexpected ...` message, in Prometheus' words."""
    if token.kind == END:
        return END
    if token.kind in _BRACKETED:
        return f"<{_BRACKETED[token.kind]}{token.text}>"
    if token.kind in (MARK, QUERY_WORD):
        return quoted(token.text)
    named = token.kind in (IDENTIFIER, METRIC_IDENTIFIER)
    return f"{token.kind} {quoted(token.text) if named else shorten(token.text)}"


def _scan(text: str) -> Iterator[Token]:
    at, parens, within = 0, 0, _OUTSIDE
    while at < len(text):
        found = within.match(text, at)
        if found is None:
            yield _error(text, at, within)
            return
        token = _token(found, text)
        at = found.end()
        if token is None:
            continue
        if message := _misplaced(token, parens, within):
            yield Token(ERROR, message, token.start, token.end)
            return
        parens += {"(": 1, ")": -1}.get(token.text, 0)
        within = {"{": _BRACES, "[": _BRACKETS, "}": _OUTSIDE, "]": _OUTSIDE}.get(token.text, within)
        yield token
    yield _end(text, parens, within)


def _token(found: re.Match[str], text: str) -> Token | None:
    kind, value, (start, end) = found.lastgroup, found[0], found.span()
    if kind == "blank":
        return None
    if kind == "string":
        try:
            unquote(value)
        except ValueError as error:
            return Token(ERROR, str(error), start, end)
        return Token(STRING_KIND, value, start, end)
    if kind == "word":
        return _word(value, start, end, text)
    if kind == "name":
        return Token(IDENTIFIER, value, start, end)
    return Token(str(kind), value, start, end)


def _word(value: str, start: int, end: int, text: str) -> Token:
    lower = value.lower()
    kind = _WORDS.get(lower)
    if lower in _FILLS and not _PAREN_AHEAD.match(text, end):
        kind = None
    if kind is None:
        return Token(METRIC_IDENTIFIER if ":" in value else IDENTIFIER, value, start, end)
    # Keywords keep their spelling, which is a metric's or label's name where they stand for one.
    return Token(kind, value, start, end)


def _misplaced(token: Token, parens: int, within: re.Pattern[str]) -> str:
    """What is wrong with a mark here, in the lexer's words; empty for nothing."""
    if token.kind == ERROR:
        return token.text
    if token.kind != MARK or (token.text not in _FORBIDDEN[within] and (token.text != ")" or parens)):
        return ""
    return f"unexpected {_NAMES.get((within, token.text), 'character:')} '{token.text}'"


def _end(text: str, parens: int, within: re.Pattern[str]) -> Token:
    last = len(text)
    if within is _BRACES:
        return Token(ERROR, "unexpected end of input inside braces", last, last)
    if parens:
        return Token(ERROR, "unclosed left parenthesis", last, last)
    if within is _BRACKETS:
        return Token(ERROR, "unclosed left bracket", last, last)
    return Token(END, "", last, last)


def _error(text: str, at: int, within: re.Pattern[str]) -> Token:
    """Why no token begins at `at`."""
    character, following = text[at], text[at + 1 : at + 2]
    if character in "\"'`":
        raw = " raw" if character == "`" else " quoted"
        return Token(ERROR, f"unterminated{raw} string", at, len(text))
    if within is _BRACES:
        if character == "!":
            what = f"unexpected character after '!' inside braces: {rune(following) if following else 'end of input'}"
            return Token(ERROR, what, at, at + 2)
        return Token(ERROR, f"unexpected character inside braces: {rune(character)}", at, at + 1)
    run = _RUN.match(text, at)
    if run:
        return Token(ERROR, f"bad number or duration syntax: {quoted(run[0])}", at, run.end())
    if character in "=!" and within is _OUTSIDE:
        after = rune(following) if following else "end of input"
        return Token(ERROR, f"unexpected character after '{character}': {after}", at, at + 2)
    where = " in duration expression" if within is _BRACKETS else ""
    return Token(ERROR, f"unexpected character{where}: {rune(character)}", at, at + 1)
