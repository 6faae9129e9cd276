r"""Whether a regular expression is one that RE2 takes, without running it.

Label matchers run in ClickHouse, whose `match` is RE2: time linear in the text whatever the pattern. Python's own
`re` is neither the same language (it has look-ahead, and not `\pL`) nor safe to try a stranger's pattern with. So
the pattern is only read here: what RE2 and Go's `regexp` would refuse is refused with its place.

Source: https://github.com/google/re2/wiki/Syntax and Go's regexp/syntax, whose messages these are.
"""

import re

_MAX_LENGTH = 100_000  # characters; dashboards list the chosen values of a variable as alternatives
_MAX_DEPTH = 100  # groups within groups
_MAX_REPEAT = 1000  # of one atom, repeats of repeats multiplied: RE2's and Go's own limit

_REPEAT = re.compile(r"\{([0-9]{1,9})(,([0-9]{1,9})?)?\}")
_GROUP = re.compile(r"\((?:\?(?:P?<[a-zA-Z0-9_]+>|(?P<flags>[imsU]*(?:-[imsU]+)?)(?P<close>[:)])))?")
_PLAIN = re.compile(r"[^][\\(){}|*+?.^$]+(?![*+?{])")  # ordinary characters, none of them repeated
_ESCAPE = re.compile(
    r"\\(?:[pP](?:\{\^?[a-zA-Z_]+\}|[CLMNPSZ])|x(?:[0-9a-fA-F]{2}|\{[0-9a-fA-F]{1,6}\})"
    r"|0[0-7]{0,2}|[1-7][0-7]{1,2}|[dDsSwWabfnrtvAzB]|[!-/:-@\[-`{-~ ])"
)
_BOUNDARY = ("\\b",)  # \b is false in an empty text, every other assertion there is true
_ASSERTIONS = ("\\A", "\\z", "\\B", "\\b")
_NAMED_CLASS = re.compile(
    r"\[:\^?(?:alnum|alpha|ascii|blank|cntrl|digit|graph|lower|print|punct|space|upper|word|xdigit):\]"
)
_SETS = "dDsSwWpP"


class RegexError(ValueError):
    """A pattern that RE2 would refuse: `what` in Go's words, and the place in the pattern."""

    def __init__(self, what: str, start: int, end: int) -> None:
        super().__init__(what)
        self.what = what
        self.start = start
        self.end = end


def check(pattern: str) -> bool:
    """See that RE2 takes `pattern`; true where the whole pattern matches the empty text.

    Raises:
        RegexError: it does not.
    """
    if len(pattern) > _MAX_LENGTH:
        message = f"the regular expression has {len(pattern)} characters; {_MAX_LENGTH} are allowed"
        raise RegexError(message, 0, len(pattern))
    reader = _Reader(pattern)
    empty, _ = reader.alternatives(0)
    if reader.at < len(pattern):
        raise reader.error("unexpected )", reader.at, len(pattern))
    return empty


class _Reader:
    """Reads a pattern from left to right. Each part answers: does it match the empty text, how often may it repeat."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0

    def error(self, what: str, start: int, end: int) -> RegexError:
        return RegexError(f"error parsing regexp: {what}: `{self.pattern[start:end]}`", start, end)

    def alternatives(self, depth: int) -> tuple[bool, int]:
        empty, repeats = self._sequence(depth)
        while self.pattern.startswith("|", self.at):
            self.at += 1
            also_empty, more = self._sequence(depth)
            empty, repeats = empty or also_empty, max(repeats, more)
        return empty, repeats

    def _sequence(self, depth: int) -> tuple[bool, int]:
        empty, repeats = True, 1
        while self.at < len(self.pattern) and self.pattern[self.at] not in "|)":
            if plain := _PLAIN.match(self.pattern, self.at):
                empty = False
                self.at = plain.end()
                continue
            atom_empty, atom_repeats = self._atom(depth)
            atom_empty, atom_repeats = self._repetition(empty=atom_empty, repeats=atom_repeats)
            empty, repeats = empty and atom_empty, max(repeats, atom_repeats)
        return empty, repeats

    def _repetition(self, *, empty: bool, repeats: int) -> tuple[bool, int]:
        start = self.at
        operator = self._operator()
        if operator is None:
            return empty, repeats
        least, most = operator
        if self.pattern.startswith("?", self.at):
            self.at += 1
        repeats *= max(most, 1)
        if repeats > _MAX_REPEAT:
            raise self.error("invalid repeat count", start, self.at)
        if self._operator():
            raise self.error("invalid nested repetition operator", start, self.at)
        return empty or least == 0, repeats

    def _operator(self) -> tuple[int, int] | None:
        """Least and most repeats of the operator here; what has no end counts as one."""
        character = self.pattern[self.at : self.at + 1]
        if character and character in "*+?":
            self.at += 1
            return (1 if character == "+" else 0), 1
        counts = _REPEAT.match(self.pattern, self.at)
        if counts is None:
            return None
        least, most = int(counts[1]), int(counts[3] or counts[1])
        if max(least, most) > _MAX_REPEAT or most < least:
            raise self.error("invalid repeat count", self.at, counts.end())
        self.at = counts.end()
        return least, most

    def _atom(self, depth: int) -> tuple[bool, int]:
        character = self.pattern[self.at]
        if character == "(":
            return self._group(depth)
        if character == "[":
            return self._class()
        if character == "\\":
            return self._escape()
        if character in "*+?" or _REPEAT.match(self.pattern, self.at):
            raise self.error("missing argument to repetition operator", self.at, self.at + 1)
        self.at += 1
        return character in "^$", 1

    def _group(self, depth: int) -> tuple[bool, int]:
        start = self.at
        if depth == _MAX_DEPTH:
            raise self.error("expression nests too deeply", start, start + 1)
        opening = _GROUP.match(self.pattern, start)
        if opening is None or (self.pattern.startswith("(?", start) and opening.end() == start + 1):
            raise self.error("invalid or unsupported Perl syntax", start, min(start + 3, len(self.pattern)))
        self.at = opening.end()
        if opening["close"] == ")":
            if not opening["flags"]:
                raise self.error("missing argument to repetition operator", start + 1, start + 2)
            if self._operator():
                raise self.error("missing argument to repetition operator", opening.end(), self.at)
            return True, 1
        result = self.alternatives(depth + 1)
        if not self.pattern.startswith(")", self.at):
            raise self.error("missing closing )", start, len(self.pattern))
        self.at += 1
        return result

    def _escape(self) -> tuple[bool, int]:
        text = self._escaped()
        if text == "\\Q":
            return self._quoted()
        return text in _ASSERTIONS and text not in _BOUNDARY, 1

    def _quoted(self) -> tuple[bool, int]:
        r"""What stands between `\Q` and `\E`; an operator after it is the last character's."""
        start = self.at
        end = self.pattern.find("\\E", start)
        if end < 0:
            # It would swallow the bracket of the group that anchors the pattern.
            raise self.error("missing closing \\E", start - 2, len(self.pattern))
        self.at = end + 2
        if end == start and self._operator():
            raise self.error("missing argument to repetition operator", end + 2, self.at)
        if end > start + 1:
            self._repetition(empty=False, repeats=1)
        return end == start, 1

    def _escaped(self) -> str:
        start = self.at
        if start + 1 == len(self.pattern):
            raise self.error("trailing backslash at end of expression", start, start + 1)
        if self.pattern.startswith("\\Q", start):
            self.at += 2
            return "\\Q"
        found = _ESCAPE.match(self.pattern, start)
        if found is None:
            named = self.pattern[start + 1] in "pP"
            what = "invalid character class range" if named else "invalid escape sequence"
            raise self.error(what, start, start + 2)
        if found[0].startswith("\\x{") and int(found[0][3:-1], 16) > 0x10FFFF:  # noqa: PLR2004 - the last code point
            raise self.error("invalid escape sequence", start, found.end())
        self.at = found.end()
        return found[0]

    def _class(self) -> tuple[bool, int]:
        start = self.at
        self.at += 2 if self.pattern.startswith("[^", start) else 1
        first = True
        while first or not self.pattern.startswith("]", self.at):
            if self.at >= len(self.pattern):
                raise self.error("missing closing ]", start, len(self.pattern))
            first = False
            self._class_item(start)
        self.at += 1
        return False, 1

    def _class_item(self, opening: int) -> None:
        start = self.at
        if self.pattern.startswith("[:", start) and ":]" in self.pattern[start:]:
            named = _NAMED_CLASS.match(self.pattern, start)
            if named is None:
                raise self.error("invalid character class range", start, self.pattern.index(":]", start) + 2)
            self.at = named.end()
            return
        low = self._class_character(opening)
        # A hyphen right before the bracket stands for itself.
        if low is None or not self.pattern.startswith("-", self.at) or self.pattern.startswith("-]", self.at):
            return
        self.at += 1
        high = self._class_character(opening)
        if high is None or high < low:
            raise self.error("invalid character class range", start, self.at)

    def _class_character(self, opening: int) -> int | None:
        r"""The code point here; None for a set such as `\d`."""
        if self.at >= len(self.pattern):
            raise self.error("missing closing ]", opening, len(self.pattern))
        if self.pattern[self.at] != "\\":
            self.at += 1
            return ord(self.pattern[self.at - 1])
        start = self.at
        text = self._escaped()
        if text in ("\\Q", *_ASSERTIONS):
            raise self.error("invalid escape sequence", start, self.at)
        return None if text[1] in _SETS else _code_point(text[1:])


_CONTROL = {"a": 7, "b": 8, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13}


def _code_point(escape: str) -> int:
    if escape[0] == "x":
        return int(escape[1:].strip("{}"), 16)
    if escape[0] in "01234567":
        return int(escape, 8)
    return _CONTROL.get(escape, ord(escape[0]))
