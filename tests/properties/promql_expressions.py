"""PromQL by type, as a grammar: expressions that mean the same to Prometheus 2.42 and to 3.x; most find something.

What must not differ by a rounding is asked of exact values only: comparisons, `%`, rounding, counting of equal values.
Not here, since 2.42 knows or means something else: experimental functions, native histograms, duration expressions;
metric names within an expression after a function removed them (3.x removes them at the end), wherefore `atan2`, with
which 2.42 keeps them, stands behind a sign; `stddev` of infinities; UTF-8 names. Inner subqueries are moved off the
steps of outer ones by an offset, so that no step lies on an edge.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from hypothesis import strategies as st
from tests.properties.promql_data import JOBS, LABELS, OFF_GRID, START_MS

FINITE = tuple(name for name in OFF_GRID if name != "odd")
RANGES = ("1m", "2m", "5m", "5m", "10m", "10m", "15m", "31s")
_PART = re.compile(r"<(\w+)(?: (\w+(?:\|\w+)*))?>")

# What a `<word>` of a production may be.
WORDS: Mapping[str, Sequence[str]] = {
    "value": ("0", "1", "2", "-1", "0.5", "20", "1e3", "100"),
    "q": ("0.5", "0.9", "0.99", "0", "1", "-1", "2"),
    "k": ("1", "2", "3", "5"),
    "arithmetic": ("+", "-", "*", "/"),
    "comparison": ("==", "!=", ">", "<", ">=", "<="),
    "operator": ("+", "-", "*", "/", "+", "-", "*", "/", "^", "%", "==", "!=", ">", "<", ">=", "<="),
    "set": ("and", "or", "unless", "and on (job)", "or on (job)", "unless on (job, kind)", "unless ignoring (kind)"),
    "by": ("", "by (job)", "by (job, instance)", "without (instance)", "by (nothing)", "without (job, code)", "by ()"),
    "exact_aggregation": ("min", "max", "count", "group"),
    "aggregation": ("sum", "avg", "min", "max", "count", "group", "sum", "avg"),
    "spread": ("stddev", "stdvar"),
    "chosen": ("topk", "bottomk"),
    "exact_over_time": ("last", "min", "max", "count", "present"),
    "over_time": ("sum", "avg", "stddev", "stdvar", "sum", "avg"),
    "exact_of_range": ("changes", "resets", "idelta"),
    "of_counter": ("rate", "rate", "increase", "irate", "resets"),
    "of_gauge": ("delta", "deriv", "idelta"),
    "of_time": ("minute", "hour", "day_of_month", "day_of_week", "day_of_year", "days_in_month", "month", "year"),
    "stepped": ("ceil", "floor", "round", "sgn", "abs"),
    "smooth": (
        "abs", "exp", "ln", "log2", "log10", "sqrt", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh",
        "tanh", "asinh", "acosh", "atanh", "deg", "rad", "sgn",
    ),
    "sorted": ("sort", "sort_desc"),
    "range": RANGES,
    "one_job": (*JOBS, ".+"),
    "pattern": ("(.*)", "(a).*", "nothing", "(.)e?(.*)"),
    "replacement": ("$1-x", "y$1", "", "all", "${1}_$2"),
    "joined": ('"job", "instance"', '"job"', '"missing", "job"', '"instance"'),
    "version": ("version", "version, owner", ""),
}  # fmt: skip

EXACT = """
<exact_over_time>_over_time(<span>)
<exact_of_range>(<span>)
<stepped>(<exact>)
-<exact>
timestamp(<exact>)
<exact_aggregation> <by> (<exact>)
(<exact> <comparison> <value>)
(<exact> <comparison> bool <value>)
clamp(<exact>, -3, 10)
clamp(<exact>, 0, <value>)
clamp_min(<exact>, <value>)
clamp_max(<exact>, <value>)
(<exact> <set> (<exact>))
""".strip().splitlines()

VECTORS = """
<over_time>_over_time(<span>)
quantile_over_time(<q>, <span>)
<of_counter>(<plain_span requests_total|errors_total|latency_count|latency_bucket>)
<of_counter>(<plain_span requests_total|errors_total|latency_sum>)
<of_gauge>(<span>)
predict_linear(<span>, <value>)
double_exponential_smoothing(<span>, 0.5, 0.3)
<smooth>(<exact>)
<smooth>(<exact>)
<aggregation> <by> (<vector>)
<aggregation> <by> (<vector>)
<spread> <by> (<exact>)
quantile <by> (<q>, <vector>)
histogram_quantile(<q>, <buckets>)
histogram_quantile(<q>, <buckets>)
(<vector> <arithmetic> <value>)
(<value> <arithmetic> <vector>)
(<vector> <arithmetic> <scalar>)
(<scalar> <comparison> <exact>)
-(<exact> atan2 <value>)
(<exact> % 7.5)
(<exact> % -2)
(<exact> ^ <value>)
<of_time>(<selector queue|temperature|requests_total> * 1e6)
<of_time>(timestamp(<selector>))
round(<exact>, 0.5)
round(<exact>, 3)
label_replace(<vector>, "new", "<replacement>", "job", "<pattern>")
label_replace(<vector>, "job", "<replacement>", "instance", "<pattern>")
label_join(<vector>, "new", "-", <joined>)
label_join(<vector>, "job", "", <joined>)
absent(<exact> == 123)
vector(<scalar>)
<join>
<join>
<join>
""".strip().splitlines()

# Most of them match, some find no partner, some find too many.
_PAIRED = "temperature|load|queue|flaky|errors_total|latency_sum|latency_count"
JOINS = f"""
(load<matchers load><at> <operator> load<matchers load><at>)
(queue<at> <operator> queue<matchers queue>)
(errors_total<at> <operator> errors_total<at>)
(latency_sum<at> <operator> latency_count<at>)
(<grouped> <arithmetic> on (job) <grouped>)
(<grouped> <comparison> on (job) <grouped>)
(<grouped> / <grouped>)
(<grouped> <comparison> bool <grouped>)
(<grouped> <set> <grouped>)
-(<selector load|odd> atan2 on (job, instance) <selector load|flaky>)
(<selector load|odd> - on (job, instance) <selector load|flaky>)
(<selector {_PAIRED}> <operator> on (job) group_left () <grouped>)
(<selector load|odd|latency_sum> <operator> ignoring (instance) group_left () <grouped>)
(<grouped> <operator> on (job) group_right () <selector {_PAIRED}>)
(<selector {_PAIRED}> * on (job, instance) group_left (<version>) build_info<at>)
(build_info * on (job, instance) group_right (<version>) <selector {_PAIRED}>)
(<exact> <set> <exact>)
(<selector> / <selector>)
(<selector> == bool on (job, instance) <selector>)
""".strip().splitlines()

BUCKETS = """
<buckets_themselves>
<buckets_themselves>
sum by (le) (<buckets_themselves>)
sum by (job, le) (<buckets_themselves>)
avg without (instance) (<buckets_themselves>)
""".strip().splitlines()
BUCKETS_THEMSELVES = """
rate(<plain_span latency_bucket>)
increase(<plain_span latency_bucket>)
irate(<plain_span latency_bucket>)
<selector latency_bucket>
""".strip().splitlines()

SCALARS = """
<value>
time()
pi()
-Inf
NaN
scalar(<exact>)
scalar(max(<exact>))
scalar(count(<selector>))
(<scalar> <arithmetic> <scalar>)
(<scalar> <comparison> bool <scalar>)
""".strip().splitlines()

GROUPED = ["sum by (job) (<exact>)", "avg by (job) (<exact>)", "max by (job) (<exact>)", "count by (job) (<exact>)"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where an expression stands: how deep it may still become, over which metrics, whether within a subquery."""

    depth: int
    names: tuple[str, ...] = FINITE
    inner: bool = False


@st.composite
def phrases(draw: st.DrawFn, productions: Sequence[str], place: Place) -> str:
    """One of them, with its `<parts>` filled in."""
    chosen = draw(st.sampled_from(productions))
    return _PART.sub(lambda found: _part(draw, found[1], tuple((found[2] or "").split("|")), place), chosen)


def _part(draw: st.DrawFn, kind: str, names: tuple[str, ...], place: Place) -> str:
    deeper = replace(place, depth=place.depth - 1)
    over = names if names != ("",) else place.names
    parts: dict[str, Callable[[], st.SearchStrategy[str]]] = {
        "at": at,
        "matchers": lambda: matchers(over[0]),
        "selector": lambda: selectors(over),
        "plain_span": lambda: spans(Place(0, over)),
        "span": lambda: spans(place),
        "exact": lambda: exact(deeper),
        "vector": lambda: vectors(deeper),
        "scalar": lambda: scalars(deeper),
        "join": lambda: phrases(JOINS, place),
        "grouped": lambda: phrases(GROUPED, deeper),
        "buckets": lambda: phrases(BUCKETS, place),
        "buckets_themselves": lambda: phrases(BUCKETS_THEMSELVES, place),
    }
    return draw(parts[kind]() if kind in parts else st.sampled_from(WORDS[kind]))


@st.composite
def matchers(draw: st.DrawFn, name: str) -> str:
    """None mostly, else some that match a good part of a metric's series."""
    labels = LABELS[name]
    found = []
    for label in sorted(draw(st.sets(st.sampled_from(sorted(set(labels) - {"le"})), max_size=2))):
        value = draw(st.sampled_from(labels[label]))
        some = "|".join(labels[label][:2])
        kinds = ['="{v}"', '!="{v}"', '=~"{v}|{some}"', '!~"{v}.+"', '=~".+"', '!=""', '=~"{v[0]}.*"', '!~"(?i:{v})x?"']
        found.append(label + draw(st.sampled_from(kinds)).format(v=value, some=some))
    found += draw(st.sampled_from([[], [], [], ['missing=""'], ['missing!~"x+"'], ['job=~".*"']]))
    return "{" + ",".join(found) + "}" if found else ""


@st.composite
def at(draw: st.DrawFn) -> str:
    """Offset and `@`, mostly neither."""
    offset = draw(st.sampled_from(["", "", "", "", " offset 1m", " offset 7m", " offset -2m", " offset 13s"]))
    pin = draw(st.sampled_from(["", "", "", "", "", " @ start()", " @ end()", "time"]))
    if pin == "time":
        pin = f" @ {START_MS // 1000 + draw(st.integers(1_200, 5_000))}.238"
    return offset + pin


@st.composite
def selectors(draw: st.DrawFn, names: Sequence[str] = FINITE) -> str:
    """An instant vector selector."""
    name = draw(st.sampled_from(names))
    return name + draw(matchers(name)) + draw(at())


@st.composite
def spans(draw: st.DrawFn, place: Place) -> str:
    """A range vector: of a selector, or a subquery over exact values."""
    if place.depth < 1 or draw(st.integers(0, 3)):
        name = draw(st.sampled_from(place.names))
        return f"{name}{draw(matchers(name))}[{draw(st.sampled_from(RANGES))}]{draw(at())}"
    of = draw(exact(Place(place.depth - 1, place.names, inner=True)))
    length, step = draw(st.sampled_from(["5m", "10m", "12m"])), draw(st.sampled_from(["15s", "30s", "1m", "47s", ""]))
    return f"({of})[{length}:{step}]" + (" offset 238ms" if place.inner else draw(at()))


@st.composite
def exact(draw: st.DrawFn, place: Place) -> str:
    """An instant vector whose values are samples or counts of them, without a rounding."""
    if place.depth < 1 or not draw(st.integers(0, 2)):
        return draw(selectors(place.names))
    return draw(phrases(EXACT, place))


@st.composite
def vectors(draw: st.DrawFn, place: Place) -> str:
    """Any instant vector, of which a rounding changes no more than the last digits."""
    if place.depth < 1:
        return draw(exact(Place(1)))
    return draw(phrases(VECTORS, place))


@st.composite
def scalars(draw: st.DrawFn, place: Place) -> str:
    """A scalar."""
    return draw(phrases(SCALARS if place.depth > 0 else SCALARS[:5], place))
