"""SQL without its values: what may stand in a span, and what few different texts stay of many statements.

One regular expression reads the statement token by token. Dialects disagree on what a quote and a backslash mean; where
two readings differ, everything from that place on is taken for a value.
"""

import re
from functools import lru_cache
from typing import Final

LONGEST: Final = 8192
"""Characters of a statement that are read; the rest is cut off, and `…` stands for it."""
_REMEMBERED: Final = 1024
_LONGEST_REMEMBERED: Final = 4096  # of two together four megabytes, should every statement be that long

# The order matters: what may hold quotes goes before what is in quotes, names before numbers.
_TOKEN: Final = re.compile(
    r"(?P<comment>--[^\n]*|/\*|(?<![^\s])#(?=\s)[^\n]*)"
    r"|(?P<value>"
    r"[nN]?[qQ]'(?:\[.*?\]|\{.*?\}|\(.*?\)|<.*?>|([^\s\w\[{(<]).*?\3)'"  # Oracle
    r"|[eE]'(?:[^'\\]|''|\\.)*+'"  # PostgreSQL, with escapes
    r"|(?:[nNbBxX]|[uU]&)?'(?:[^'\\]|''|\\[^'])*+'"
    r"|(?:[nNbBxXeE]|[uU]&)?'.*"  # without an end, or with \' that ends it in some dialects: all of the rest
    r"|\$(?P<dollar>(?:[^\W\d]\w*)?)\$.*?(?:\$(?P=dollar)\$|\Z)"
    r"|(?<![\w.])(?:[0-9]|\.[0-9])(?:[eE][+-]|[\w.])*"
    r")"
    r"|(?P<parameter>%\(\w{1,64}\)s|%s|\$[0-9]+|::\s*|:\w+|@\w+|\?)"
    r"|(?P<quoted>\"(?:[^\"]|\"\")*+(?:\"|\Z))"
    r"|(?P<name>[^\W\d][\w$]*|`[^`]*`|\[[^\W\d]\w*\])"
    r"|(?P<space>\s+)",
    re.DOTALL,
)
_COMMENT_EDGE: Final = re.compile(r"/\*|\*/")
_IDENTIFIER: Final = re.compile(r'"[^\W\d][\w$]{0,62}"')
_PLACE: Final = r"(?:\?|%s|%\(\w+\)s|\$[0-9]+|:\w+|@\w+)"
_LIST: Final = re.compile(rf"\(\s*{_PLACE}(?:\s*,\s*{_PLACE})*+\s*\)")
_ROWS: Final = re.compile(r"\(\?\)(?:\s*,\s*\(\?\))++")


def sanitised(statement: str, *, ansi_quotes: bool = True) -> str:
    """The statement with `?` for every value, one `(?)` for a list of values, and no comments.

    Args:
        statement: SQL of any dialect, also no SQL at all.
        ansi_quotes: double quotes enclose names; False for MySQL, where they enclose values.
    """
    if len(statement) > _LONGEST_REMEMBERED:
        return _sanitise(statement, ansi_quotes)
    return _remembered(statement, ansi_quotes)


def _sanitise(statement: str, ansi_quotes: bool) -> str:
    parts, at = [], 0
    text = statement[:LONGEST]
    while at < len(text):
        match = _TOKEN.match(text, at)
        kind = match.lastgroup if match else None
        if match is None:
            parts.append(text[at])
            at += 1
            continue
        written, at = match[0], match.end()
        if kind == "comment":
            at = _comment_end(text, at) if written == "/*" else at
            parts.append(" ")
        elif kind == "space":
            parts.append(" ")
        elif kind in {"value", "dollar"} or (kind == "quoted" and not (ansi_quotes and _IDENTIFIER.fullmatch(written))):
            parts.append("?")
        else:
            parts.append(written)
    short = re.sub(r" {2,}", " ", "".join(parts)).strip()
    short = _ROWS.sub("(?)", _LIST.sub("(?)", short))
    return short + "…" if len(statement) > LONGEST else short


_remembered = lru_cache(_REMEMBERED)(_sanitise)


def _comment_end(text: str, at: int) -> int:
    """Where the comment that begins before `at` ends; comments nest in PostgreSQL."""
    depth = 1
    while depth and (edge := _COMMENT_EDGE.search(text, at)):
        depth += 1 if edge[0] == "/*" else -1
        at = edge.end()
    return len(text) if depth else at


_WORD: Final = re.compile(
    r'[()]|(?:[^\W\d][\w$]*|"[^"]*"|`[^`]*`|\[[^\]]*\])(?:\s*\.\s*(?:[^\W\d][\w$]*|"[^"]*"|`[^`]*`))*'
)
_QUOTES: Final = str.maketrans("", "", '"`[] ')
_VERBS: Final = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE", "VALUES", "TABLE"})
# After which word the table stands, by verb; an UPDATE and an unknown verb name it themselves.
_BEFORE_TABLE: Final = {
    "SELECT": ("FROM",),
    "DELETE": ("FROM",),
    "INSERT": ("INTO",),
    "REPLACE": ("INTO",),
    "MERGE": ("INTO",),
    "UPDATE": ("UPDATE",),
    "CALL": ("CALL",),
    "COPY": ("COPY",),
    **dict.fromkeys(("CREATE", "DROP", "ALTER", "TRUNCATE", "LOCK"), ("TABLE", "INDEX", "VIEW", "ON", "TRUNCATE")),
}
_BETWEEN: Final = frozenset(
    {"ONLY", "IF", "NOT", "EXISTS", "LOW_PRIORITY", "IGNORE", "LATERAL", "TABLE", "CONCURRENTLY"}
)


@lru_cache(_REMEMBERED)
def _summary(clean: str) -> tuple[str, str]:
    words = _WORD.findall(clean)
    depth = of_verb = 0
    verb, looking = "", False
    wanted: tuple[str, ...] = ()
    for word in words:
        depth += {"(": 1, ")": -1}.get(word, 0)
        upper = word.upper()
        if not verb:
            # `WITH name AS (...)`: the verb is what follows outside the parentheses.
            if upper.isalpha() and upper != "WITH" and (words[0].upper() != "WITH" or (depth == 0 and upper in _VERBS)):
                verb, wanted, of_verb = upper, _BEFORE_TABLE.get(upper, ()), depth
                looking = verb in wanted
            continue
        if looking and upper not in _BETWEEN and word not in "()":
            if upper == "SELECT":
                looking, of_verb = False, depth
                continue
            return verb, word.translate(_QUOTES)
        # `extract(year FROM day)` has a FROM of its own, deeper than the statement's.
        looking = looking or (depth == of_verb and upper in wanted)
    return verb, ""


def operation_and_table(statement: str, *, ansi_quotes: bool = True) -> tuple[str, str]:
    """What a statement does, and to which table: `("SELECT", "orders")`; "" for what it does not say.

    The two are OTel's `db.operation.name` and `db.collection.name`, and together its `db.query.summary`.
    """
    return _summary(sanitised(statement, ansi_quotes=ansi_quotes))
