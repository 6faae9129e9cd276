r"""The text of a statement: where its data begins, where its FORMAT clause stands.

Data never becomes part of a statement (a blank line in it would start another one, which the library runs): an INSERT
that carries data is cut at its ``FORMAT`` or ``VALUES``, and the data goes to the library as a file. A statement with a
result gets ``INTO OUTFILE`` a pipe, which streams every format whole and in bounded memory.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from .protocol import INTO_OUTFILE_NOT_ALLOWED, EngineError

# Comments, strings, quoted identifiers and heredocs are matched first, and skipped; then words and brackets.
_TOKEN = re.compile(
    rb"--[^\n]*|\#[ !][^\n]*|/\*.*?\*/"
    rb"|'(?:[^'\\]|\\.|'')*'"
    rb'|(?P<quoted>"(?:[^"\\]|\\.|"")*"|`(?:[^`\\]|\\.|``)*`)'
    rb"|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$"
    rb"|(?P<word>[A-Za-z_]\w*)|(?P<mark>[()\[\]{};])|(?P<unclosed>/\*|['\"`])",
    re.DOTALL,
)
_DATA_START = re.compile(rb"[ \t\f]*\r?\n?")
_DOT = re.compile(rb"\s*\.")
_QUERY_ID = re.compile(rb"query_id", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Word:
    text: bytes
    start: int
    end: int
    depth: int


def _words(text: bytes) -> Iterator[_Word]:
    """Words outside comments and strings, upper-cased; quoted identifiers come as ``b"``"``; ``;`` as itself."""
    depth = 0
    for match in _TOKEN.finditer(text):
        if match.group("word"):
            yield _Word(match.group().upper(), match.start(), match.end(), depth)
        elif match.group("quoted"):
            yield _Word(b"``", match.start(), match.end(), depth)
        elif match.group("unclosed"):
            # Nothing after it is a word; the library says what is wrong, or the rest is still to come.
            return
        elif mark := match.group("mark"):
            if mark in b"([{":
                depth += 1
            elif mark in b")]}":
                depth -= 1
            elif depth == 0:
                yield _Word(mark, match.start(), match.end(), depth)


@dataclass(frozen=True, slots=True)
class InsertWithData:
    """``INSERT INTO t (a, b) [SETTINGS ...] FORMAT X`` whose data stands elsewhere."""

    target: bytes
    settings: bytes
    format: str
    data_start: int
    """Where inline data begins in the text it was read from."""

    def from_file(self, path: str, compression: str | None) -> bytes:
        """The statement that reads its data from ``path`` (a name of ours: no quotes in it)."""
        source = f" FROM INFILE '{path}'" + (f" COMPRESSION '{compression}'" if compression else "")
        return b"%b%b %b FORMAT %b" % (self.target, source.encode(), self.settings, self.format.encode())


def read_insert(text: bytes) -> InsertWithData | None:
    """Recognise an INSERT that carries data; None for everything else (``INSERT ... SELECT`` too)."""
    words = _words(text)
    if next(words, _Word(b"", 0, 0, 0)).text != b"INSERT":
        return None
    settings_start: int | None = None
    name_expected = True
    for word in words:
        if name_expected:
            # The table may be called anything, `values` too; a database before it ends with a dot.
            name_expected = word.text in (b"INTO", b"TABLE", b"FUNCTION") or _DOT.match(text, word.end) is not None
        elif word.text in (b"SELECT", b"WITH") or (word.depth == 0 and word.text in (b"INFILE", b"WATCH", b";")):
            return None
        elif word.depth:
            continue
        elif word.text == b"SETTINGS":
            settings_start = word.start
        elif word.text in (b"VALUES", b"FORMAT"):
            output = _Word(b"Values", word.start, word.end, 0) if word.text == b"VALUES" else next(words, None)
            if output is None:
                return None
            head_end = word.start if settings_start is None else settings_start
            name = "Values" if word.text == b"VALUES" else text[output.start : output.end].decode()
            start = _DATA_START.match(text, output.end)
            return InsertWithData(
                target=text[:head_end],
                settings=text[head_end : word.start],
                format=name,
                data_start=start.end() if start else output.end,
            )
    return None


@dataclass(frozen=True, slots=True)
class ResultClause:
    """Where a statement's output clauses begin, and the format they name."""

    insert_at: int
    end: int
    format: str | None


def find_result_clause(text: bytes) -> ResultClause:
    """Find the closing ``FORMAT x [SETTINGS ...]`` of a statement, or the place where it would stand.

    Raises:
        EngineError: for ``INTO OUTFILE``, as ClickHouse's HTTP interface.
    """
    words = [word for word in _words(text) if word.depth == 0]
    end = len(text)
    while words and words[-1].text == b";":
        end = words.pop().start
    for word, following in pairwise(words):
        if word.text == b"INTO" and following.text == b"OUTFILE":
            raise EngineError(INTO_OUTFILE_NOT_ALLOWED, "INTO OUTFILE is not allowed")
    for index in range(len(words) - 2, -1, -1):
        closes = index + 2 == len(words) or words[index + 2].text == b"SETTINGS"
        if words[index].text == b"FORMAT" and closes:
            name = words[index + 1]
            return ResultClause(words[index].start, end, text[name.start : name.end].decode())
    return ResultClause(end, end, None)


def into_file(text: bytes, clause: ResultClause, path: str, default_format: str) -> bytes:
    """The statement with its result written to ``path``. The line break ends a comment that may stand before it."""
    tail = text[clause.insert_at : clause.end] if clause.format else f"FORMAT {default_format}".encode()
    return b"%b\nINTO OUTFILE '%b' TRUNCATE\n%b" % (text[: clause.insert_at], path.encode(), tail)


def is_kill(text: bytes) -> bool:
    """Whether the statement is a ``KILL QUERY``; it must get through when every worker is busy."""
    words = _words(text)
    return [word.text for word, _ in zip(words, range(2), strict=False)] == [b"KILL", b"QUERY"]


def rename_query_id(text: bytes, replacement: bytes) -> bytes:
    """Put ``replacement`` in the place of the column ``query_id``; the library chooses its own ids."""
    pieces, done = [], 0
    for word in _words(text):
        if _QUERY_ID.fullmatch(word.text):
            pieces += [text[done : word.start], replacement]
            done = word.end
    return b"".join([*pieces, text[done:]])
