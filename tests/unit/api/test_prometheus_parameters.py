"""Times, durations, limits, names and trees, as Prometheus reads and shows them."""

from typing import Any

import pytest

from gnomon_server.api.prometheus.parameters import Form
from gnomon_server.api.prometheus.series import unescape
from gnomon_server.api.prometheus.syntax_tree import as_json
from gnomon_server.errors import InvalidInput
from gnomon_server.query.promql.parser import parse


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("0", 0), ("1.5", 1500), ("1435781451.781", 1435781451781), ("-1.5", -1500), ("1e3", 1_000_000),
        (".5", 500), ("5.", 5000), ("2015-07-01T20:10:51.781Z", 1435781451781),
        ("2015-07-01T22:10:51+02:00", 1435781451000),
        ("1969-12-31T23:59:59.5Z", -500), ("2015-07-01T20:10:51.7819999999Z", 1435781451781),
        ("1e300", 1 << 53), ("-292273086-05-16T16:47:06Z", -(1 << 53)),
    ],
)  # fmt: skip
def test_times(text: str, ms: int) -> None:
    """Unix seconds and RFC 3339; what is beyond all time is its end."""
    assert Form({"time": [text]}).time_ms("time") == ms


@pytest.mark.parametrize(
    "text", ["", "x", "nan", "inf", "1_0", " 1", "٣", "2015-07-01", "2015-13-01T00:00:00Z", "0x10"]
)
def test_no_times(text: str) -> None:
    """Anything else is named in the refusal."""
    with pytest.raises(InvalidInput, match="to a valid timestamp"):
        Form({"time": [text]}).time_ms("time")


@pytest.mark.parametrize(
    ("text", "ms"), [("15", 15_000), ("0.0015", 1), ("-1", -1000), ("1m30s", 90_000), ("1d", 86_400_000), ("10ms", 10)]
)
def test_durations(text: str, ms: int) -> None:
    """Seconds or Prometheus' own form."""
    assert Form({"step": [text]}).duration_ms("step") == ms


@pytest.mark.parametrize("text", ["", "x", "1s1m", "1e300", "-5m"])
def test_no_durations(text: str) -> None:
    """Anything else is named in the refusal."""
    with pytest.raises(InvalidInput, match="to a valid duration"):
        Form({"step": [text]}).duration_ms("step")


@pytest.mark.parametrize("text", ["-1", "x", "1.5", "9" * 30])
def test_no_limits(text: str) -> None:
    """A limit is a number that is not negative."""
    with pytest.raises(InvalidInput, match="limit"):
        Form({"limit": [text]}).limit()
    assert Form({}).limit() == 0


@pytest.mark.parametrize(
    ("escaped", "name"),
    [
        ("job", "job"), ("__name__", "__name__"), ("U__http_2e_method", "http.method"), ("U__a__b", "a_b"),
        ("U__", ""), ("U___1f642_", "🙂"), ("U__a_b", "U__a_b"), ("U__a_d800_", "U__a_d800_"),
        ("http.method", "http.method"),
    ],
)  # fmt: skip
def test_unescape(escaped: str, name: str) -> None:
    """UTF-8 names of labels in a path; what is not escaped rightly is a name as it stands."""
    assert unescape(escaped) == name


def _selector(name: str, **more: Any) -> dict[str, Any]:
    matcher = {"name": "__name__", "type": "=", "value": name}
    plain = {"anchored": False, "smoothed": False, "offset": 0, "timestamp": None, "startOrEnd": None, "name": name}
    return {"type": "vectorSelector", "matchers": [matcher], **plain, **more}


TREES: dict[str, dict[str, Any]] = {
    "1.5e3": {"type": "numberLiteral", "val": "1500"},
    '"a"': {"type": "stringLiteral", "val": "a"},
    "-(up)": {"type": "unaryExpr", "op": "-", "expr": {"type": "parenExpr", "expr": _selector("up")}},
    "up offset 5m @ 1.5": _selector("up", offset=300_000, timestamp=1500),
    "up[5m] @ end()": _selector("up", type="matrixSelector", range=300_000, startOrEnd="end"),
    "up[5m:1m]": {
        "type": "subquery", "expr": _selector("up"), "range": 300_000, "step": 60_000, "offset": 0, "timestamp": None,
        "startOrEnd": None,
    },
    "topk without (b) (2, up)": {
        "type": "aggregation", "op": "topk", "expr": _selector("up"), "param": {"type": "numberLiteral", "val": "2"},
        "grouping": ["b"], "without": True,
    },
    "a / on (b) group_left (c) d": {
        "type": "binaryExpr", "op": "/", "lhs": _selector("a"), "rhs": _selector("d"), "bool": False,
        "matching": {
            "card": "many-to-one", "labels": ["b"], "on": True, "include": ["c"],
            "fillValues": {"lhs": None, "rhs": None},
        },
    },
    "1 > bool 2": {
        "type": "binaryExpr", "op": ">", "lhs": {"type": "numberLiteral", "val": "1"},
        "rhs": {"type": "numberLiteral", "val": "2"}, "bool": True, "matching": None,
    },
    "time()": {
        "type": "call", "args": [], "func": {"name": "time", "argTypes": [], "variadic": 0, "returnType": "scalar"},
    },
}  # fmt: skip


@pytest.mark.parametrize("query", TREES)
def test_trees(query: str) -> None:
    """Each kind of node as Prometheus' translate_ast.go has it, members sorted."""
    shown = as_json(parse(query))
    assert shown == TREES[query]
    assert list(shown) == sorted(shown)
