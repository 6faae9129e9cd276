"""Where the parser stands in the tokens, and how it complains."""

import math
from typing import NoReturn

from gnomon_server.query.promql import lexer
from gnomon_server.query.syntax import durations
from gnomon_server.query.syntax import lexer as literals
from gnomon_server.query.syntax.lexer import Token
from gnomon_server.query.syntax.spot import parse_error

# A level of nesting takes up to five of Python's 1,000 frames; real expressions have up to some twenty levels.
MAX_NESTING = 128
CODE = "promql_parse"
_WORDS = {"inf": math.inf, "nan": math.nan}


class Cursor:
    """The tokens of one text, read from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._tokens = lexer.tokens(text)
        self._next = 0
        self._nesting = 0
        self.aggregations = 0  # whose arguments are being read; said where nothing closer is

    @property
    def peek(self) -> Token:
        """The token that comes next."""
        return self._tokens[self._next]

    @property
    def ahead(self) -> Token:
        """The token after it; at the end the last one again."""
        return self._tokens[min(self._next + 1, len(self._tokens) - 1)]

    @property
    def last_end(self) -> int:
        """Where the token ended that was taken last."""
        return self._tokens[self._next - 1].end if self._next else 0

    def take(self) -> Token:
        """The next token; not to be called at the end."""
        self._next += 1
        return self._tokens[self._next - 1]

    def sees(self, mark: str) -> bool:
        """Whether this mark comes next."""
        return self.peek.kind == lexer.MARK and self.peek.text == mark

    def accept(self, word: str) -> bool:
        """Take a mark or a keyword if it comes next; true where it did."""
        token = self.peek
        found = token.kind in (lexer.MARK, lexer.KEYWORD) and token.text.lower() == word
        self._next += found
        return found

    def expect(self, mark: str, context: str = "", expected: str = "") -> Token:
        """Take this mark, or complain."""
        if not self.sees(mark):
            self.unexpected(context, expected)
        return self.take()

    def number(self) -> float:
        """The value of the number or duration that comes next, a duration's in seconds."""
        token = self.take()
        try:
            if token.kind == lexer.DURATION_KIND:
                return durations.parse(token.text) / 1000
            return _WORDS[token.text.lower()] if token.text[0].isalpha() else literals.number(token.text)
        except ValueError as error:
            self.fail(str(error), token.start, token.end)

    def signed_number(self, context: str, expected: str) -> float:
        """A number or duration, with a sign or without."""
        sign = self.take().text if self.peek.kind == lexer.OPERATOR and self.peek.text in ("+", "-") else "+"
        if self.peek.kind not in (lexer.NUMBER_KIND, lexer.DURATION_KIND):
            self.unexpected(context, expected)
        value = self.number()
        return -value if sign == "-" and not math.isnan(value) else value

    def string(self) -> str:
        """The value of the string that comes next."""
        return literals.unquote(self.take().text)

    def descend(self) -> None:
        """Go one level deeper; `ascend` goes back."""
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            self.fail(f"the expression nests deeper than {MAX_NESTING} levels", self.peek.start, self.peek.end)

    def ascend(self) -> None:
        """Go one level back."""
        self._nesting -= 1

    def unexpected(self, context: str = "", expected: str = "") -> NoReturn:
        """Complain about the next token; an error of the lexer goes before all else."""
        token = self.peek
        if token.kind == lexer.ERROR:
            self.fail(token.text, token.start, token.end)
        context = context or ("aggregation" if self.aggregations else "")
        where = f" in {context}" if context else ""
        wanted = f", expected {expected}" if expected else ""
        self.fail(f"unexpected {lexer.describe(token)}{where}{wanted}", token.start, token.end)

    def fail(self, message: str, start: int, end: int, hint: str = "") -> NoReturn:
        """Complain about a place."""
        raise parse_error(CODE, message, self.text, start, end, hint)
