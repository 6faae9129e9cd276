"""What errors of databases may tell: what went wrong where, without the values that they repeat.

A database puts into its errors what it was given: the statement, its parameters, the key that was there already.
`shown` knows the exception and is what messages are made of. `reduced` knows only the text, which has come through a
stack trace, a log message or somebody's own exception; every mask applies it. Drivers are told by the names of their
modules, so none is imported.
"""

import re
from typing import Final

from gnomon.privacy.sql import sanitised

FAILED: Final = "<str() failed>"
_LINKS: Final = 8
_REMEMBERED: Final = 1024
_MYSQL: Final = frozenset({"pymysql", "MySQLdb", "mysql", "aiomysql", "asyncmy"})
_DRIVERS: Final = _MYSQL | {
    "sqlalchemy", "psycopg", "psycopg2", "asyncpg", "sqlite3", "aiosqlite", "redis", "pyodbc", "pymssql", "oracledb",
}  # fmt: skip

# What stands in quotes is a value, unless the word before it says that it is a name.
_NAME: Final = re.compile(
    r"\b(?:constraint|relation|column|table|index|key|function|procedure|schema|database|role|sequence|trigger|view"
    r"|type|cursor|encoding|extension|parameter|user|alias|rule)"
    r" (?:\"[^\W\d][\w$.]{0,127}\"|'[^\W\d][\w$.]{0,127}')",
    re.IGNORECASE,
)
_QUOTE: Final = re.compile(r"[\"']")
_APOSTROPHE: Final = re.compile(r"[a-z]'t\b")  # `doesn't`: the messages are English
_CLASS: Final = re.compile(r"^<class '([\w.]+)'>: ")  # how SQLAlchemy passes asyncpg's errors on
# Values that stand in no quotes, and what is left of them.
_UNQUOTED: Final = (
    (re.compile(r"(Command # \d+ \(\w*).*(\) of pipeline)", re.DOTALL), r"\1 ?\2"),  # redis
    (re.compile(r"(query argument \$\d+: ).*", re.DOTALL), r"\1?"),  # asyncpg
    (re.compile(r"((?:\)=|value is ))\(.*\)"), r"\1(?)"),  # PostgreSQL's details, SQL Server's duplicates
)

_REPEATED: Final = re.compile(
    r"\[SQL: (?P<statement>.*?)(?=\]\s*\Z|\](?:\n|\\n)[\[(\n]|\Z)"
    r"|\[parameters: (?P<parameters>[^\n]*)"
    # The value may have lines of its own: all up to what is sure to be no value.
    r"|DETAIL: (?P<detail>.*?)(?=\n(?:HINT|CONTEXT|QUERY): |\n\[SQL: |\n\n|\Z)"
    r"|LINE \d{1,6}: (?P<line>[^\n]*)"
    rf"|\b(?:{'|'.join(sorted(_DRIVERS - {'sqlalchemy'}))})\.(?:\w+\.)*[A-Z]\w+(?:\)|:|'>:) "
    r"(?P<said>Command # .{0,512}?\) of pipeline[^\n]*|(?:(?!\\n)[^\n])*)"  # `\\n`: as `repr` writes it
    # What the databases say before they quote, without a class beside it: somebody logged the error's text.
    r"|(?:at or near|invalid input (?:syntax|value) for (?:type|enum) [^\n:]{1,80}:|unrecognized token:|Duplicate entry"
    r"|near(?=[^\n]{1,256}: syntax error)) (?P<quoted>[\"'](?:(?!\\n)[^\n])*)"
    r"|query argument \$\d{1,5}: (?P<argument>(?:(?!\\n)[^\n])*)"
    r"|(?P<piped>Command # \d{1,9} \(.{0,512}?\) of pipeline)",
    re.DOTALL,
)
_kinds: dict[type[BaseException], bool] = {}


def shown(exception: BaseException) -> str:
    """What an exception says of itself, with nothing that a database was given. Never raises.

    Of SQLAlchemy's: class and first line of the driver's error, and the statement without its values. Of a driver's:
    the first line, with `?` for what stands in quotes and is no name. Of others their text, in which the text of a
    database's error that is behind them is replaced by these.
    """
    try:
        return _database(exception) if _of_database(type(exception)) else _of_others(exception)
    except Exception:  # noqa: BLE001 - the host's own `__str__`
        return FAILED


def reduced(text: str) -> str:
    """A text without what errors of databases repeat of statements and values; the text itself, when none is in it."""
    return _REPEATED.sub(_replaced, text) if suspected(text) else text


def suspected(text: str) -> bool:
    """Whether an error of a database may be in a text."""
    return (  # written out, as this is asked of every text that is not plainly clean
        "[SQL: " in text
        or "DETAIL: " in text
        or "[parameters: " in text
        or "LINE " in text
        or "psycopg" in text
        or "asyncpg" in text
        or "sqlite" in text
        or "mysql" in text
        or "redis." in text
        or "odbc." in text
        or " of pipeline" in text
        or "syntax error" in text
        or "at or near" in text
        or "invalid input " in text
        or "unrecognized token" in text
        or "Duplicate entry" in text
        or "query argument" in text
    )


def _of_database(kind: type[BaseException]) -> bool:
    known = _kinds.get(kind)
    if known is None:
        if len(_kinds) >= _REMEMBERED:
            _kinds.clear()
        known = any(base.__module__.partition(".")[0] in _DRIVERS for base in kind.__mro__)
        _kinds[kind] = known
    return known


def _of_others(exception: BaseException) -> str:
    text = str(str(exception))  # twice: of a subclass only the text
    behind = exception
    for _ in range(_LINKS):
        # Also what `from None` hides: its text may have been copied.
        further = behind.__context__ if behind.__cause__ is None else behind.__cause__
        if further is None:
            break
        behind = further
        if _of_database(type(behind)) and (said := str(behind)) and said in text:
            text = text.replace(said, _database(behind))
    return text


def _database(exception: BaseException) -> str:
    statement, original = getattr(exception, "statement", None), getattr(exception, "orig", None)
    if not isinstance(original, BaseException):
        return _first_line(exception)
    kind = type(original)
    first = f"({kind.__module__}.{kind.__qualname__}) {_first_line(original)}"
    if type(statement) is not str:
        return first
    return f"{first}\n[SQL: {sanitised(statement, ansi_quotes=kind.__module__.partition('.')[0] not in _MYSQL)}]"


def _first_line(exception: BaseException) -> str:
    match exception.args:
        case (int() | str() as code, str() as words):  # MySQL's and ODBC's, whose `str` would put the words in quotes
            return f"({code}) {_without_values(words)}"
        case _:
            return _without_values(str(exception))


def _without_values(text: str) -> str:
    line = _CLASS.sub(r"\1: ", text.strip())
    for pattern, rest in _UNQUOTED:
        line = pattern.sub(rest, line)
    line = line.partition("\n")[0]
    names = [match.span() for match in (*_NAME.finditer(line), *_APOSTROPHE.finditer(line))]
    quotes = [
        at
        for at in (match.start() for match in _QUOTE.finditer(line))
        if not any(start <= at < end for start, end in names)
    ]
    if not quotes:
        return line
    # A value may hold quotes, and nobody escapes them: all from the first to the last, or to the end if that is none.
    first, last = quotes[0], quotes[-1]
    closed = first < last and line[first] == line[last] and not line[last + 1 : last + 2].isalnum()
    return line[:first] + "?" + (line[last + 1 :] if closed else "")


def _replaced(match: re.Match[str]) -> str:
    kind = match.lastgroup or ""
    value = match[kind]
    if kind == "statement":
        rest = sanitised(value)
    elif kind in {"said", "quoted", "piped"}:
        rest = _without_values(value)
    else:
        rest = "?]" if kind == "parameters" else "?"
    return match[0][: match.start(kind) - match.start()] + rest
