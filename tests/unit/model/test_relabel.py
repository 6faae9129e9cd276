"""Relabelling: each action as Prometheus' documentation and tests say."""

import pytest
from pydantic import ValidationError

from gnomon_server.model.relabel import Relabeller, RelabelRule

LABELS = {"a": "foo", "b": "bar", "c": "baz"}


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([{"source_labels": ["a"], "regex": "f(.*)", "target_label": "d", "replacement": "ch${1}-ch${1}"}],
         {**LABELS, "d": "choo-choo"}),
        ([{"source_labels": ["a", "b"], "regex": "f(.*);(.*)r", "target_label": "a", "replacement": "b${1}${2}m"},
          {"source_labels": ["c", "a"], "regex": "(b).*b(.*)ba(.*)", "target_label": "d", "replacement": "$1$2$2$3"}],
         {"a": "boobam", "b": "bar", "c": "baz", "d": "boooom"}),
        ([{"source_labels": ["a"], "regex": "o", "action": "drop"}], LABELS),
        ([{"source_labels": ["a"], "regex": ".*o.*", "action": "drop"}], None),
        ([{"source_labels": ["a"], "regex": "no", "action": "keep"}], None),
        ([{"source_labels": ["c"], "target_label": "d", "action": "hashmod", "modulus": 1000}], {**LABELS, "d": "976"}),
        ([{"regex": "(b.*)", "replacement": "bar_$1", "action": "labelmap"}], {**LABELS, "bar_b": "bar"}),
        ([{"regex": "(b|c)", "action": "labeldrop"}], {"a": "foo"}),
        ([{"regex": "(b|c)", "action": "labelkeep"}], {"b": "bar", "c": "baz"}),
        ([{"source_labels": ["a"], "target_label": "a", "action": "Uppercase"}], {**LABELS, "a": "FOO"}),
        ([{"source_labels": ["a"], "target_label": "b", "action": "keepequal"}], None),
        ([{"source_labels": ["a"], "target_label": "b", "action": "dropequal"}], LABELS),
        ([{"source_labels": ["none"], "target_label": "b"}], {"a": "foo", "c": "baz"}),
        ([{"target_label": "d", "replacement": 5}], {**LABELS, "d": "5"}),
        ([{"source_labels": ["a"], "regex": "(?P<first>.).*", "target_label": "${first}x", "replacement": "$$1"}],
         {**LABELS, "fx": "$1"}),
        ([{"source_labels": ["a"], "regex": "[[:alpha:]]+\\z", "target_label": "d", "replacement": "yes$12x"}],
         {**LABELS, "d": "yes"}),
    ],
)  # fmt: skip
def test_actions(rules: list[dict[str, object]], expected: dict[str, str] | None) -> None:
    """Rules in order; what they leave is as expected, and the input stays as it was."""
    given = dict(LABELS)
    assert Relabeller(map(RelabelRule.model_validate, rules)).apply(given) == expected
    assert given == LABELS


@pytest.mark.parametrize(
    "rule",
    [
        {"action": "replace"}, {"action": "hashmod", "target_label": "a"}, {"action": "meh", "target_label": "a"},
        {"regex": "(", "target_label": "a"}, {"regex": "\\pL", "target_label": "a"}, {"target": "a"},
        {"action": "labeldrop", "source_labels": ["a"], "regex": "b"},
        {"action": "keepequal", "source_labels": ["a"], "target_label": "b", "regex": "x"},
    ],
)  # fmt: skip
def test_refused_rules(rule: dict[str, object]) -> None:
    """A rule that cannot work is refused when it is read."""
    with pytest.raises(ValidationError):
        RelabelRule.model_validate(rule)
