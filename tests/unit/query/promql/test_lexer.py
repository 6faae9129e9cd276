"""PromQL's tokens."""

from itertools import pairwise

import pytest

from gnomon_server.query.promql import lexer


def kinds(text: str) -> list[tuple[str, str]]:
    """Kind and text of each token."""
    return [(token.kind, token.text) for token in lexer.tokens(text)]


def test_every_token_covers_its_text() -> None:
    """Blanks and comments are what lies between."""
    text = 'sum by (a) (rate(foo{b=~"c"}[5m:1m])) # so\n >= bool 0x1F'
    found = lexer.tokens(text)
    assert all(text[token.start : token.end] == token.text for token in found)
    between = [text[a.end : b.start] for a, b in pairwise(found)]
    assert set(between) == {"", " ", " # so\n "}


@pytest.mark.parametrize("operator", ["+", "-", "*", "/", "%", "^", "==", "!=", "<", "<=", ">", ">=", "</", ">/", "@"])
def test_operators_need_no_blanks(operator: str) -> None:
    """Of two that begin alike the longer is taken."""
    assert kinds(f"a{operator}b") == [
        (lexer.IDENTIFIER, "a"), (lexer.OPERATOR, operator), (lexer.IDENTIFIER, "b"), (lexer.END, ""),
    ]  # fmt: skip


def test_keywords_have_any_case_and_keep_it() -> None:
    """They may turn out to be names."""
    assert kinds("SUM Offset aND Start INF x:y") == [
        (lexer.AGGREGATOR, "SUM"), (lexer.KEYWORD, "Offset"), (lexer.OPERATOR, "aND"), (lexer.QUERY_WORD, "Start"),
        (lexer.NUMBER_KIND, "INF"), (lexer.METRIC_IDENTIFIER, "x:y"), (lexer.END, ""),
    ]  # fmt: skip


def test_between_braces_there_are_no_keywords() -> None:
    """Nor numbers, nor colons."""
    assert kinds("{sum=")[1] == (lexer.IDENTIFIER, "sum")
    assert kinds("{5m}")[1] == (lexer.ERROR, "unexpected character inside braces: '5'")
    assert kinds("{a:b}")[2] == (lexer.ERROR, "unexpected character inside braces: ':'")


def test_between_brackets_a_colon_stands_alone() -> None:
    """Elsewhere it is part of a name."""
    assert kinds("[5m:step()]")[2:4] == [(lexer.MARK, ":"), (lexer.QUERY_WORD, "step")]
    assert kinds("a:step") == [(lexer.METRIC_IDENTIFIER, "a:step"), (lexer.END, "")]


def test_fill_is_a_keyword_before_a_bracket_alone() -> None:
    """There are metrics of that name."""
    assert [kind for kind, _ in kinds("fill + fill (fill_left\n(")][:5] == [
        lexer.IDENTIFIER, lexer.OPERATOR, lexer.KEYWORD, lexer.MARK, lexer.KEYWORD,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [("foo}", "unexpected character: '}'"), ("foo]", "unexpected right bracket ']'"),
     ("(", "unclosed left parenthesis"), (")", "unexpected right parenthesis ')'"), ("[5m", "unclosed left bracket"),
     ("[[", "unexpected left bracket '['"), ("[{", "unexpected character: '{'"), ("{{", "unexpected left brace '{'"),
     ("[5m)", "unexpected right parenthesis ')'"), ("{", "unexpected end of input inside braces"),
     ("{a!b", "unexpected character after '!' inside braces: 'b'"),
     ("{é}", "unexpected character inside braces: 'é'"), ("a =~ b", "unexpected character after '=': '~'"),
     ("a !", "unexpected character after '!': end of input"), ("'abc", "unterminated quoted string"),
     ("'ab\nc'", "unterminated quoted string"), ("`ab\nc", "unterminated raw string"),
     ("$", "unexpected character: '$'"), ("2.5.", 'bad number or duration syntax: "2.5."'),
     ("foo[5m1]", 'bad number or duration syntax: "5m1"'),
     ("[5m$]", "unexpected character in duration expression: '$'"), (r"'\q'", "unknown escape sequence U+0071 'q'")],
)  # fmt: skip
def test_what_is_no_token_ends_the_tokens(text: str, message: str) -> None:
    """In Prometheus' words."""
    assert kinds(text)[-1] == (lexer.ERROR, message)
