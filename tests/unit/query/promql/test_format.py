"""From tree to text, as Prometheus writes it."""

import math

import pytest

from gnomon_server.query.promql.format import number, pretty, show
from gnomon_server.query.promql.parser import parse


@pytest.mark.parametrize(
    ("text", "shown"),
    [("sum(foo)by(a,b)", "sum by (a, b) (foo)"), ("sum(foo)without()", "sum without () (foo)"),
     ("sum by () (foo)", "sum(foo)"), ("topk( 3,foo )", "topk(3, foo)"), ('foo{b="c",a!~"d"}', 'foo{a!~"d",b="c"}'),
     ('{"my.metric"}', '{__name__="my.metric"}'), ("{__name__='foo','a b'='\\n'}", '{"a b"="\\n",__name__="foo"}'),
     ("foo[300]", "foo[5m]"), ("foo[60*5:]", "foo[60 * 5:]"),
     ("foo[1h:5m] offset -1m @ 5", "foo[1h:5m] @ 5.000 offset -1m"),
     ("foo[5m] @ end() anchored", "foo[5m] anchored @ end()"),
     ("foo offset 60 smoothed @ 0.0015", "foo @ 0.002 smoothed offset 1m"),
     ("foo offset (1h-step())", "foo offset (1h - step())"),
     ("foo[-(1)+max_of(2s,range())]", "foo[-(1) + max_of(2s, range())]"), ("1e3 + 3600s", "1000 + 1h"),
     ("-Inf", "-Inf"), ("a+on()b", "a + on () b"), ("a+ignoring()b", "a + b"), ("a==bool 1", "a == bool 1"),
     ("-  (+a)", "-(+a)"), ("a*on(x)group_left b", "a * on (x) group_left () b"), ("a+fill(1)b", "a + fill (1) b"),
     ('"a"', '"a"'), ("'\"☺\\xff'", '"\\"☺\\xff"'),
     ("a-fill_right(NaN)fill_left(2)b", "a - fill_left (2) fill_right (NaN) b"),
     ("sum by ('inf','a.b')(x)", 'sum by ("inf", "a.b") (x)')],
)  # fmt: skip
def test_one_line(text: str, shown: str) -> None:
    """What is printed means the same, and is printed so again."""
    assert show(parse(text)) == shown
    assert show(parse(shown)) == shown


def test_layout() -> None:
    """As Prometheus 2.42's `format_query` has it, down to the short subquery that it forgets to indent."""
    text = (
        'histogram_quantile(0.99, sum by (le, job) (rate(http_request_duration_seconds_bucket{job="api",code!~"5.."}'
        "[5m]))) * on (job) group_left (team) (count by (job) (up) > 3)"
        " or topk(5, -some_metric_with_a_name_that_is_long_enough) unless max_over_time("
        "(some_other_metric_with_a_name_that_is_long_enough + and_one_more_of_them_for_the_line)[1h:])"
    )
    assert pretty(parse(text)) == (
        "    histogram_quantile(\n"
        "      0.99,\n"
        '      sum by (le, job) (rate(http_request_duration_seconds_bucket{code!~"5..",job="api"}[5m]))\n'
        "    )\n"
        "  * on (job) group_left (team)\n"
        "    (count by (job) (up) > 3)\n"
        "or\n"
        "    topk(5, -some_metric_with_a_name_that_is_long_enough)\n"
        "  unless\n"
        "    max_over_time(\n"
        "(some_other_metric_with_a_name_that_is_long_enough + and_one_more_of_them_for_the_line)[1h:]\n"
        "    )"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (-0.0, "-0"), (1e21, "1" + "0" * 21), (1.5e-7, "0.00000015"), (123456.789, "123456.789"),
     (1e16, "1" + "0" * 16), (1.7976931348623157e308, "17976931348623157" + "0" * 292),
     (5e-324, "0." + "0" * 323 + "5"), (1.25e20, "125" + "0" * 18), (math.inf, "+Inf"), (-math.inf, "-Inf"),
     (math.nan, "NaN"), (-1e-5, "-0.00001"), (100.0, "100")],
)  # fmt: skip
def test_numbers_have_all_their_digits(value: float, text: str) -> None:
    """As Go's FormatFloat(value, 'f', -1, 64) has them."""
    assert number(value) == text
