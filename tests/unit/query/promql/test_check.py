"""Whether a tree makes sense. The refusals themselves are in tests/cases/promql-syntax/refused.yaml."""

import pytest

from gnomon_server.errors import InvalidInput
from gnomon_server.query.promql.ast import Binary, Matching, walk
from gnomon_server.query.promql.check import value_type
from gnomon_server.query.promql.parser import parse
from gnomon_server.query.promql.signatures import FUNCTIONS, Signature, ValueType

EXAMPLES = {ValueType.SCALAR: "1", ValueType.VECTOR: "foo", ValueType.MATRIX: "foo[5m]", ValueType.STRING: '"a"'}


@pytest.mark.parametrize(
    ("text", "kind"),
    [("1", "scalar"), ('"a"', "string"), ("foo", "vector"), ("foo[5m]", "matrix"), ("foo[5m:]", "matrix"),
     ("-(1)", "scalar"), ("(foo)", "vector"), ("1 + 1", "scalar"), ("1 + foo", "vector"), ("foo + 1", "vector"),
     ("1 < bool 1", "scalar"), ("sum(foo)", "vector"), ("time()", "scalar"), ("abs(foo)", "vector"),
     ("-1 ^ time() + scalar(foo)", "scalar")],
)  # fmt: skip
def test_every_expression_has_a_type(text: str, kind: str) -> None:
    """By its name in Prometheus' answers."""
    assert value_type(parse(text)) == kind


def _call(name: str, signature: Signature, count: int) -> str:
    kinds = [signature.args[min(index, len(signature.args) - 1)] for index in range(count)]
    args = [EXAMPLES[kind] for kind in kinds]
    if name == "info" and count > 1:
        args[1] = '{a="b"}'
    return f"{name}({', '.join(args)})"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_takes_what_it_says(name: str) -> None:
    """The fewest and the most arguments, and not one less or more; no argument of another type."""
    signature = FUNCTIONS[name]
    size = len(signature.args)
    least = size - 1 if signature.variadic else size
    most = size + 20 if signature.variadic < 0 else max(size, least + signature.variadic)
    for count in {least, size, most}:
        assert value_type(parse(_call(name, signature, count))) == signature.returns
    for count in ([least - 1] if least else []) + ([most + 1] if signature.variadic >= 0 and size else []):
        with pytest.raises(InvalidInput, match=r"argument\(s\) in call to"):
            parse(_call(name, signature, count))
    right = _call(name, signature, size)
    for kind in signature.args:
        wrong = EXAMPLES[ValueType.STRING if kind is not ValueType.STRING else ValueType.SCALAR]
        with pytest.raises(InvalidInput, match=r"expected type|expected label selectors"):
            parse(right.replace('{a="b"}' if name == "info" else EXAMPLES[kind], wrong, 1))


def test_matching_is_there_between_vectors_alone() -> None:
    """Everywhere in the tree, whatever the types hang on."""
    tree = parse("sum(foo + (1 + time())) * (bar - -abs(baz)) ^ scalar(a and b)")
    found = {node.op: node.matching for node in walk(tree) if isinstance(node, Binary)}
    assert {op for op, matching in found.items() if isinstance(matching, Matching)} == {"*", "-", "and"}


@pytest.mark.parametrize(
    ("text", "message"),
    [("limitk(1, foo)", r"limitk\(\) is experimental and must be enabled"),
     ("foo + fill(1) bar", "binop fill modifiers are"),
     ("abs(limit_ratio(0.5, foo))", r"limit_ratio\(\) is experimental"),
     ("sum(info(foo))", 'function "info" is not enabled'),
     ("rate(foo[5m] anchored)", "anchored modifier is experimental"),
     ("foo smoothed", "smoothed modifier is experimental"),
     ("rate(foo[5m * 2])", "experimental duration expression"),
     ("foo offset step()", "experimental duration expression"),
     ("foo[5m:range()]", "experimental duration expression"), ("end()", 'function "end" is not enabled')],
)  # fmt: skip
def test_what_is_experimental_can_be_switched_off(text: str, message: str) -> None:
    """As it is by Prometheus' feature flags."""
    parse(text)
    with pytest.raises(InvalidInput, match=message):
        parse(text, experimental=False)


@pytest.mark.parametrize(
    "text", ["foo[5m] offset -1h @ end()", "sum by (a) (rate(foo[300:60]))", "foo[(5m)]", "a </ 1"]
)
def test_the_rest_of_the_language_stays(text: str) -> None:
    """Switched off or not."""
    assert parse(text, experimental=False) == parse(text)


def test_info_may_select_everything() -> None:
    """Its second argument restricts what is found by other means."""
    parse('info(foo, {a=~".*"})')
    with pytest.raises(InvalidInput, match="at least one non-empty matcher"):
        parse('info({a=~".*"}, {a="b"})')
