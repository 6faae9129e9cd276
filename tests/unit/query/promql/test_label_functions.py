"""`label_replace` and `label_join`."""

import pytest
from tests.unit.query.promql.asking import told

from gnomon_server.errors import InvalidInput, TooLarge
from gnomon_server.query.promql.functions.labels import expanded


@pytest.mark.parametrize(
    ("pattern", "template", "value", "expected"),
    [
        ("(.*)-(.*)", "$2 $1", "a-b", "b a"),
        ("(.*)-(.*)", "${2}x$1x", "a-b", "bx"),
        ("(?P<left>.*)-(?<right>.*)", "$right.${left}", "a-b", "b.a"),
        ("(.*)", "$$1 $0 $", "a", "$1 a $"),
        ("(.*)", "${1 $- ${}", "a", "${1 $- ${}"),
        ("(.*)", "$01|$3|$name|", "a", "|||"),
        ("(a)|(b)", "<$1$2>", "b", "<b>"),
        ("(a+)(?:b)(c)?", "$2|$1", "aab", "|aa"),
        (r"\((\d+)\)[(](?i:X)\Q(\E([[:alpha:]()]+)", "$1 $2", "(12)(x(ab(", "12 ab("),
        (".*", "x", "line\nend", "x"),
        (r"\pL+(\z)", "${1}x", "ümlaut", "x"),
        ("", "x", "", "x"),
        ("b", "x", "abc", None),
        ("a|b", "x", "ac", None),
    ],
)
def test_templates_expand_as_go_does(pattern: str, template: str, value: str, expected: str | None) -> None:
    """By numbers and names; the pattern matches from end to end or not at all."""
    assert expanded(pattern, template, [value]) == [expected]


def test_bytes_that_no_answer_can_carry_become_replacement_characters() -> None:
    r"""`"\\xff"` in a query: in a template as Prometheus shows it, in a pattern as what RE2 does not take."""
    assert expanded("(.*)", "\udcff$1", ["ü"]) == ["\ufffdü"]
    with pytest.raises(ValueError, match="surrogates"):
        expanded("\udcff", "x", ["a"])


def test_more_groups_than_digits() -> None:
    """`$11` is the eleventh."""
    assert expanded("(.)" * 12, "$12$11${1}1", ["abcdefghijkl"]) == ["lka1"]


def test_a_catastrophic_pattern_takes_linear_time() -> None:
    """A backtracking engine would not come back within the age of the universe."""
    value = "a" * 5000
    assert expanded("(a+)+(a+)+(a|aa)+$", "x", [value, value + "b"]) == ["x", None]


@pytest.mark.parametrize("pattern", ["(", "a{1001}", "(?=a)", r"\8", "[z-a]", "(" * 200 + ")" * 200, "(?:a{900}){900}"])
def test_what_is_no_regular_expression_is_refused(pattern: str) -> None:
    """In Prometheus' words, whether there are series or not."""
    with pytest.raises(InvalidInput) as refusal:
        told(f"label_replace(x, 'a', 'b', 'c', {pattern!r})")
    assert refusal.value.what.startswith("invalid regular expression in label_replace(): ")


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("label_replace(x, '', 'b', 'c', 'd')", "invalid destination label name in label_replace(): "),
        ("label_replace(x, '\\xff', 'b', 'c', 'd')", "invalid destination label name in label_replace(): \\udcff"),
        ("label_join(x, '', ',', 'a')", "invalid destination label name in label_join(): "),
        ("label_join(x, 'a', ',', 'b', '')", "invalid source label name in label_join(): "),
    ],
)
def test_names_of_labels_are_texts(query: str, what: str) -> None:
    """Any UTF-8 but none at all."""
    with pytest.raises(InvalidInput) as refusal:
        told(query, "x 1")
    assert refusal.value.what == what


def test_labels_are_set_changed_and_removed() -> None:
    """A series that does not match stays as it is; an empty value is no label."""
    lines = ("x{a='1-2'} 1", "x{a='3'} 2")
    assert told("label_replace(x, 'b.c', '$1', 'a', '(.*)-.*')", *lines).series == {
        'x{a="1-2",b.c="1"}': [1.0], 'x{a="3"}': [2.0],
    }  # fmt: skip
    assert told("label_replace(x, 'a', '', 'a', '1.*')", *lines).series == {"x{}": [1.0], 'x{a="3"}': [2.0]}
    assert told("label_join(x, 'b', '/', 'a', 'none', 'a')", lines[0]).series == {'x{a="1-2",b="1-2//1-2"}': [1.0]}


def test_series_that_become_the_same_are_one_if_never_together() -> None:
    """Else the answer would have two values at a step."""
    apart = ("x{a='1'} 1 stale _", "x{a='2'} _ _ 3")
    assert told("label_replace(x, 'a', '', '', '')", *apart, to=2).series == {"x{}": [1.0, None, 3.0]}
    for query in ("label_replace(x, 'a', '', '', '')", "label_join(x, 'a', '', 'none')"):
        with pytest.raises(InvalidInput, match="vector cannot contain metrics with the same labelset"):
            told(query, "x{a='1'} 1 2", "x{a='2'} _ 3", to=1)


def test_a_name_that_is_given_anew_stays() -> None:
    """`abs` would take it away."""
    assert told("label_replace(abs(x), '__name__', 'y', '', '')", "x -1").series == {"y{}": [1.0]}
    assert told("label_join(abs(x), '__name__', '_', 'a', '__name__')", "x{a='z'} -1").series == {'z_x{a="z"}': [1.0]}
    assert told("label_replace(abs(x), 'a', '$1', '__name__', '(.*)')", "x -1").series == {'{a="x"}': [1.0]}


def test_values_that_double_again_and_again_are_refused() -> None:
    """Before the memory is taken; a template that repeats a group likewise."""
    query = "x"
    for _ in range(25):
        query = f"label_join({query}, 'a', '-', 'a', 'a')"
    with pytest.raises(TooLarge, match=r"a label value of 1,310,719 characters would be made"):
        told(query, "x{a='abcd'} 1")
    with pytest.raises(TooLarge):
        expanded("(.*)", "$1" * 2000, ["a" * 1000])
