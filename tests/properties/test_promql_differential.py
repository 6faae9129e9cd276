"""Generated PromQL has the answers of a real Prometheus over the same random samples.

2.42, knowing where 3.x differs (promql_expressions.py). `python -m tests.properties.promql_differential` asks
thousands, as GNOMON_EXAMPLES does here.
"""

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.properties.promql_cases import Case, cases, instant_ranges, on_grid
from tests.properties.promql_data import START_MS
from tests.properties.promql_differential import Pair, Tally, pair, words

pytestmark = pytest.mark.skipif(not shutil.which("prometheus"), reason="prometheus is not installed")

EXAMPLES = int(os.environ.get("GNOMON_EXAMPLES", "300"))
SEED = 20
PECULIAR = (Path(__file__).parent / "promql_peculiar.txt").read_text("utf-8").splitlines()


@pytest.fixture(scope="module")
def both() -> Iterator[Pair]:
    """Our door and a Prometheus over the same samples."""
    with pair(SEED) as found:
        yield found


def _compare(both: Pair, strategy: st.SearchStrategy[Case], examples: int, *, edge: bool = False) -> Tally:
    both = replace(both, tally=Tally())

    # The same queries in every run, so that a red one is red again; the long form has other seeds.
    @settings(
        max_examples=examples, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(strategy)
    def compare(case: Case) -> None:
        found = both.difference(case, edge=edge)
        assert not found, found

    compare()
    print(both.tally)
    return both.tally


def test_answers_are_those_of_prometheus(both: Pair) -> None:
    """Off the grid of the samples, where 2.42 and 3.x agree; at least four in five find something."""
    tally = _compare(both, cases(), EXAMPLES)
    assert tally.compared > EXAMPLES * 0.6  # Hypothesis repeats itself now and then
    assert tally.share >= 0.8
    assert tally.refused > 0


def test_range_vectors_are_those_of_prometheus(both: Pair) -> None:
    """As an instant query answers them."""
    _compare(both, instant_ranges(), EXAMPLES // 8)


def test_a_window_leaves_out_its_left_edge(both: Pair) -> None:
    """On the grid of the samples 3.x answers as 2.42 does a millisecond later."""
    _compare(both, on_grid(), EXAMPLES // 8, edge=True)


def test_peculiar_queries_have_the_answers_of_prometheus(both: Pair) -> None:
    """What is hardly generated: odd arguments, names, spellings, precedences, refusals; in `promql_peculiar.txt`."""
    at_ms = START_MS + 3_600_238
    found = {text: both.difference(Case(text, at_ms, at_ms)) for text in PECULIAR}
    assert not {text: difference for text, difference in found.items() if difference}


def test_what_a_query_uses_is_counted() -> None:
    """Functions, operators, modifiers and subqueries; not metrics, labels and texts."""
    text = 'sum by (job) (rate(load[5m:1m] offset 1m)) >= bool 2 @ start() or label_join(x, "sum", "-", "abs")'
    assert sorted(words(text)) == sorted(
        ["sum", "rate", "subquery", "offset", ">=", "bool", "@", "start", "or", "label_join"]
    )
