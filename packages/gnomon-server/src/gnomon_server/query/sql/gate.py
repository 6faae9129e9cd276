"""The gate: untrusted SQL is parsed by the engine, the tree is checked against lists, and what runs is written from it.

The text is given to `parseQueryToJSON` as a value, so no quoting, comment or encoding can make it part of a statement.
The tree is walked by `tree.SHAPES`; a kind of node or a field that is not listed there is refused, so that syntax which
a new version adds stays outside until somebody has judged it. `formatQueryFromJSON` then writes the statement from the
checked tree: what runs is what was checked, whatever the text looked like. Both functions came with ClickHouse 26.8; an
older server has no such door.
"""

import base64
import json
from dataclasses import dataclass
from typing import Any

from gnomon_server.errors import InvalidInput, TooLarge
from gnomon_server.query.sql.refusal import syntax_error
from gnomon_server.query.sql.tree import check
from gnomon_server.store.interface import QueryLimits, Store

_SYNTAX_ERROR = "sql_62"
_NO_JSON = "sql_36"  # BAD_ARGUMENTS: parsed, but nothing that has a JSON tree (DESCRIBE, PARALLEL WITH, ...)
_NESTED = {"sql_306", "sql_167", "sql_168"}  # deeper or larger than the parser takes
_LIMITS = QueryLimits(deadline_s=5, memory_bytes=256 << 20, result_rows=1)
# So shallow that no reader of the tree, Python's included, comes to its own end.
_SETTINGS = {"max_parser_depth": "200", "max_ast_depth": "200"}
_MAX_BYTES = 256 << 10  # ClickHouse's own max_query_size


@dataclass(frozen=True, slots=True)
class Checked:
    """A statement that passed the gate, as the engine writes it, and the parameters it names."""

    sql: str
    parameters: frozenset[str]


async def admit(store: Store, text: str) -> Checked:
    """Check untrusted `text`.

    Raises:
        InvalidInput: `sql_syntax`, or `sql_*_forbidden` naming what is not allowed, with line and column.
        TooLarge: `sql_too_long`.
    """
    if len(text.encode("utf-8", "replace")) > _MAX_BYTES:
        raise TooLarge("sql_too_long", f"the query is longer than {_MAX_BYTES} bytes", where="query")
    try:
        row = await _ask(store, "parseQueryToJSON({0}) AS tree, formatQueryFromJSON(tree) AS statement", _utf8(text))
    except InvalidInput as error:
        raise _explain(error, text) from None
    tree = json.loads(row["tree"])
    found = check(tree, text)
    if found.changed:
        row = await _ask(store, "formatQueryFromJSON({0}) AS statement", json.dumps(tree).encode())
    return Checked(row["statement"], found.parameters)


async def _ask(store: Store, columns: str, value: bytes) -> dict[str, Any]:
    """One row of `columns`, where {0} stands for the value: in base 64 it is harmless, in the body it may be long."""
    literal = f"base64Decode('{base64.b64encode(value).decode()}')"
    table, _ = await store.query(f"SELECT {columns.format(literal)}", settings=_SETTINGS, limits=_LIMITS)
    return table.to_pylist()[0]  # type: ignore[no-any-return]


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise InvalidInput("sql_syntax", "the query is not valid Unicode text", where="query") from None


def _explain(error: InvalidInput, text: str) -> InvalidInput:
    if error.code == _SYNTAX_ERROR:
        return syntax_error(error.what, text)
    if error.code == _NO_JSON:
        return InvalidInput("sql_statement_forbidden", "only one SELECT is taken here", where="query")
    if error.code in _NESTED:
        return InvalidInput("sql_too_deep", "the query is nested too deeply or has too many parts", where="query")
    return error
