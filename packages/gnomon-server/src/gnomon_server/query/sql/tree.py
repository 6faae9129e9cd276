"""The tree of a query (ClickHouse's `parseQueryToJSON`), and what may stand in it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gnomon_server.errors import InvalidInput
from gnomon_server.query.sql import functions as listed
from gnomon_server.query.sql.refusal import refuse
from gnomon_server.query.sql.scope import DATABASE, VIEWS

# Kinds of node and their fields. Collected from the grammar of SELECT; what is absent is refused.
SHAPES: dict[str, frozenset[str]] = {
    kind: frozenset(fields.split())
    for kind, fields in {
        "SelectWithUnionQuery": "union_mode list_of_selects list_of_modes is_outfile_append is_outfile_truncate "
        "is_into_outfile_with_stdout",
        "SelectIntersectExceptQuery": "final_operator children",
        "SelectQuery": "with select distinct tables prewhere where group_by group_by_all group_by_with_totals "
        "group_by_with_rollup group_by_with_cube group_by_with_grouping_sets having window qualify order_by "
        "order_by_all interpolate limit_offset limit_length limit_with_ties limit_by limit_by_length limit_by_offset",
        "WithElement": "name subquery is_materialized",
        "ExpressionList": "children",
        "TablesInSelectQuery": "children",
        "TablesInSelectQueryElement": "table_expression table_join array_join",
        "TableExpression": "database_and_table_name subquery table_function column_aliases",
        "TableIdentifier": "name name_parts alias",
        "TableJoin": "kind strictness locality on_expression using_expression_list is_natural",
        "ArrayJoin": "kind expression_list",
        "Subquery": "children alias",
        "Identifier": "name name_parts alias",
        "Literal": "value alias",
        "QueryParameter": "name param_type alias",
        "Function": "name arguments parameters alias is_operator is_lambda_function is_window_function "
        "is_compound_name kind nulls_action window_definition window_name",
        "WindowDefinition": "parent_window_name partition_by order_by frame_is_default frame_type frame_begin_type "
        "frame_begin_offset frame_begin_preceding frame_end_type frame_end_offset frame_end_preceding",
        "WindowListElement": "name definition",
        "OrderByElement": "expression direction nulls_direction nulls_direction_was_explicitly_specified collation "
        "with_fill fill_from fill_to fill_step fill_staleness",
        "InterpolateElement": "column expr",
        "Asterisk": "expression transformers",
        "QualifiedAsterisk": "qualifier transformers",
        "ColumnsListMatcher": "column_list transformers alias",
        "ColumnsRegexpMatcher": "pattern transformers alias",
        "QualifiedColumnsListMatcher": "qualifier column_list transformers",
        "QualifiedColumnsRegexpMatcher": "qualifier pattern transformers",
        "ColumnsTransformerList": "children",
        "ColumnsApplyTransformer": "func_name parameters lambda lambda_arg column_name_prefix",
        "ColumnsExceptTransformer": "children pattern is_strict",
        "ColumnsReplaceTransformer": "children is_strict",
        "ColumnsReplaceTransformerReplacement": "name children",
    }.items()
}

# Fields and kinds with a word of their own for the reader, and where that word stands in the text.
_CLAUSES = {
    "settings": "SETTINGS", "settings_ast": "SETTINGS", "SetQuery": "SETTINGS", "format_ast": "FORMAT",
    "out_file": "INTO OUTFILE", "recursive_with": "WITH RECURSIVE", "final": "FINAL", "sample_size": "SAMPLE",
    "sample_offset": "SAMPLE",
}  # fmt: skip
_IN = {"in", "notin", "nullin", "notnullin", "globalin", "globalnotin"}
_TYPED = {"cast", "jsonextract", "jsonextractcaseinsensitive"}
# Identifiers that begin so name what is not ours to show, wherever they stand.
_DATABASES = {"system", "information_schema", "default", "gnomon", "_temporary_and_external_tables"}
_MAX_COUNT = 10_000_000


@dataclass(frozen=True, slots=True)
class Found:
    """What a walk found: the names of the parameters, and whether it changed the tree."""

    parameters: frozenset[str]
    changed: bool


def check(tree: Any, text: str) -> Found:
    """Walk the whole tree, and change in place what could mean something else than it seems.

    Raises:
        InvalidInput: naming what is not allowed, with its place in `text`.
    """
    if tree.get("type") not in ("SelectWithUnionQuery", "SelectIntersectExceptQuery"):
        raise InvalidInput("sql_statement_forbidden", "only one SELECT is taken here", where="query")
    nodes = list(_nodes(tree, text))
    ctes = {node["name"] for node in nodes if node["type"] == "WithElement"}
    walk = _Checks(text, VIEWS | {name for name in ctes if name.isidentifier() and name.isascii()})
    for node in nodes:
        getattr(walk, node["type"], walk.nothing)(node)
    return Found(frozenset(node["name"] for node in nodes if node["type"] == "QueryParameter"), walk.changed)


def _nodes(value: Any, text: str) -> Iterator[dict[str, Any]]:
    """Every node, its shape checked. A literal's value is data, not nodes."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(reversed(item))
        elif isinstance(item, dict):
            _check_shape(item, text)
            yield item
            if item["type"] != "Literal":
                stack.extend(field for field in reversed(item.values()) if isinstance(field, dict | list))


def _check_shape(node: dict[str, Any], text: str) -> None:
    kind = node.get("type", "")
    extra = set(node) - SHAPES.get(kind, frozenset()) - {"type"}
    if kind == "Identifier" and "children" in extra:
        raise refuse("sql_parameter_forbidden", "a parameter stands for a value, not for a name", text, "Identifier")
    if kind not in SHAPES or extra:
        name = next((_CLAUSES[field] for field in (kind, *sorted(extra)) if field in _CLAUSES), "")
        what = f"{name} is not allowed here" if name else f"this syntax is not allowed here ({kind} {' '.join(extra)})"
        raise refuse("sql_clause_forbidden", what, text, name.split(" ")[0])


class _Checks:
    """What is checked beyond a node's shape; a method a kind, by its name."""

    # ruff: noqa: N802 - the methods are called by the kinds' own names

    def __init__(self, text: str, tables: frozenset[str] | set[str]) -> None:
        self._text = text
        self._tables = tables
        self.changed = False

    def nothing(self, node: dict[str, Any]) -> None:
        """The shape says it all."""

    def TableIdentifier(self, node: dict[str, Any]) -> None:
        parts = node.get("name_parts") or [node["name"]]
        if parts[0] not in self._tables if len(parts) == 1 else not (parts[0] == DATABASE and parts[-1] in VIEWS):
            raise self._no_table(node["name"])

    def Identifier(self, node: dict[str, Any]) -> None:
        parts = node.get("name_parts") or [node["name"]]
        if len(parts) > 1 and parts[0].lower() in _DATABASES:
            raise self._no_table(node["name"])

    def Function(self, node: dict[str, Any]) -> None:
        self._check_function(node["name"])
        arguments = node.get("arguments", {}).get("children", [])
        lower = node["name"].lower()
        if lower in listed.HIGHER_ORDER and arguments and arguments[0]["type"] == "Identifier":
            self._keep_column(arguments)
        if lower in _IN:
            for argument in arguments[1:]:
                if argument["type"] == "Identifier":
                    self.TableIdentifier(argument)
        elif lower in _TYPED and len(arguments) > 1:
            self._check_type(arguments[-1], node["name"])

    def ColumnsApplyTransformer(self, node: dict[str, Any]) -> None:
        if "lambda" not in node:
            self._check_function(node["func_name"])

    def QueryParameter(self, node: dict[str, Any]) -> None:
        if word := listed.foreign_type(node["param_type"]):
            raise self._no_type(word)

    def TableExpression(self, node: dict[str, Any]) -> None:
        call = node.get("table_function")
        if call is None:
            return
        arguments = call.get("arguments", {}).get("children", [])
        if call["name"].lower() not in listed.TABLE_FUNCTIONS:
            hint = f"the views are: {', '.join(sorted(VIEWS))}"
            raise refuse(
                "sql_table_function_forbidden", f"the table function {call['name']}() is not allowed", self._text,
                call["name"], hint,
            )  # fmt: skip
        values = [argument.get("value", {}).get("value") for argument in arguments]
        if not all(isinstance(value, int) and abs(value) <= _MAX_COUNT for value in values):
            what = f"{call['name']}() takes whole numbers up to {_MAX_COUNT}"
            raise refuse("sql_table_function_forbidden", what, self._text, call["name"])

    def _keep_column(self, arguments: list[dict[str, Any]]) -> None:
        """See that a name is a column's, or a listed function's: inside identity() no name means a function."""
        if not listed.functions().allow(arguments[0]["name"]):
            column = {"type": "ExpressionList", "children": [arguments[0]]}
            arguments[0] = {"type": "Function", "name": "identity", "arguments": column}
            self.changed = True

    def _check_function(self, name: str) -> None:
        known = listed.functions()
        if known.allow(name) or name.lower() in listed.TABLE_FUNCTIONS:
            return
        near = known.nearest(name)
        hint = f"did you mean {near}?" if near else ""
        raise refuse("sql_function_forbidden", f"the function {name}() is not allowed", self._text, name, hint)

    def _check_type(self, argument: dict[str, Any], name: str) -> None:
        value = argument.get("value", {})
        if argument["type"] != "Literal" or value.get("field_type") != "String":
            if name.lower() == "cast":
                raise refuse("sql_type_forbidden", "the type of a CAST is written out", self._text, name)
            raise refuse(
                "sql_type_forbidden", f"the last argument of {name}() is a type, written out", self._text, name
            )
        if word := listed.foreign_type(value["value"]):
            raise self._no_type(word)

    def _no_table(self, name: str) -> InvalidInput:
        near = listed.nearest(name.rpartition(".")[2], VIEWS)
        hint = f"did you mean {near}?" if near else f"the views are: {', '.join(sorted(VIEWS))}"
        return refuse("sql_table_forbidden", f"there is no view {name!r}", self._text, name, hint)

    def _no_type(self, word: str) -> InvalidInput:
        near = listed.nearest(word, listed.TYPES)
        what = f"the type {word} is not allowed"
        return refuse("sql_type_forbidden", what, self._text, word, f"did you mean {near}?" if near else "")
