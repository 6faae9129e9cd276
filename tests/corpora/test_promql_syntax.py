"""The field's PromQL against our parser: dashboards and rules, Prometheus' own parser tests, its own suite."""

import json
import os
import re
from pathlib import Path

import pytest

from gnomon_server.errors import InvalidInput
from gnomon_server.query.promql.format import pretty, show
from gnomon_server.query.promql.parser import parse

CORPORA = Path(os.environ.get("GNOMON_CORPORA", Path(__file__).parents[3] / "shared" / "corpora"))
EVALUATION = re.compile(r"\s*eval(?:_\w+)? (?:instant at \S+|range from \S+ to \S+ step \S+) (.+)")

# In Prometheus' test this is the first piece of a concatenated Go string; alone it is an unterminated raw string, which
# Prometheus refuses too.
NOT_AN_EXPRESSION = {"`"}


def _lines(path: str) -> list[dict[str, object]]:
    file = CORPORA / path
    if not file.exists():
        pytest.skip(f"no corpus at {file} (GNOMON_CORPORA)")
    return [json.loads(line) for line in file.read_text().splitlines()]


def _assert_printed(text: str) -> None:
    """What is printed of `text`, on one line or laid out, means the same."""
    shown = show(parse(text))
    assert show(parse(shown)) == shown
    assert show(parse(pretty(parse(text)))) == shown


@pytest.mark.corpus
def test_every_real_expression_is_taken() -> None:
    """Of dashboards and rule packs."""
    expressions = [str(line["expr"]) for line in _lines("real-promql/real_promql.jsonl")]
    assert len(expressions) > 1000
    for expression in expressions:
        _assert_printed(expression)
        assert parse(expression, experimental=False) == parse(expression)


@pytest.mark.corpus
def test_prometheus_own_parser_tests() -> None:
    """What it takes is taken, what it refuses is refused."""
    lines = [line for line in _lines("promql-parse/parse_exprs.jsonl") if line["expr"] not in NOT_AN_EXPRESSION]
    assert len(lines) > 150
    wrong = [line["expr"] for line in lines if _is_taken(str(line["expr"])) is not line["parses"]]
    assert wrong == []


@pytest.mark.corpus
def test_every_expression_of_prometheus_own_suite_is_taken() -> None:
    """Also those that are there to fail: they fail when they are evaluated."""
    folder = CORPORA / "promqltest" / "split" / "dev"
    if not folder.exists():
        pytest.skip(f"no corpus at {folder} (GNOMON_CORPORA)")
    lines = [line for file in sorted(folder.glob("*.test")) for line in file.read_text().splitlines()]
    expressions = [found[1] for line in lines if (found := EVALUATION.fullmatch(line))]
    assert len(expressions) > 1000
    for expression in expressions:
        _assert_printed(expression)


def _is_taken(text: str) -> bool:
    try:
        parse(text)
    except InvalidInput:
        return False
    return True
