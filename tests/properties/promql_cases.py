"""Queries as they are asked: an expression and its times."""

import re
from dataclasses import dataclass

from hypothesis import strategies as st
from tests.properties.promql_data import ON_GRID, START_MS, STEP_MS
from tests.properties.promql_expressions import FINITE, Place, phrases, spans, vectors

# Where values tie, which series `topk` keeps is anybody's choice: these stand outermost, and are compared by values.
OUTERMOST = """
<chosen> <by> (<k>, <vector>)
<chosen> <by> (<k>, <vector>)
<sorted>(<vector>)
count_values <by> ("value", <exact>)
absent(<selector sparse>)
absent(queue{job="gone"})
absent(load{a="b",job=~"x"})
absent_over_time(<plain_span sparse>)
absent_over_time(queue{job="gone",kind!="in"}[5m])
absent_over_time((queue > 99)[5m:1m])
count by (__name__) ({job=~"<one_job>"}<at>)
<aggregation> by (job) ({__name__=~"load|temperature"}<at>)
last_over_time({__name__=~"load|.*_info"}[<range>]<at>)
sum_over_time({__name__=~"load|temperature"}[<range>])
<exact_over_time>_over_time(odd<matchers odd>[<range>])
sum_over_time(odd<matchers odd>[<range>])
avg_over_time(odd<matchers odd>[<range>])
<exact_of_range>(odd<matchers odd>[<range>])
<aggregation> <by> (<selector odd>)
(odd<matchers odd> <operator> <value>)
(odd <comparison> bool <value>)
<smooth>(odd<at>)
<stepped>(odd<at>)
<scalar>
<of_time>()
""".strip().splitlines()

REFUSED = """
rate({__name__=~"latency_(sum|count)"}[<range>])
(load <operator> on (job) temperature)
(temperature * on (job) group_left () queue)
label_replace(<selector>, "job", "one", "job", ".*")
label_replace(<selector>, "new", "one", "job", "(")
sum(1)
rate(load)
load[5m] + 1
topk(load, load)
load[5m:1m:]
1 == 2
abs()
""".strip().splitlines()

# Prometheus forgets the offset there (engine.go: rangeEvalTimestampFunctionOverVectorSelector), 3.x does too.
_OFFSET_OF_TIMESTAMP = re.compile(r"(timestamp\([a-z_]+(?:\{[^}]*\})?) offset -?[0-9]+[ms](?= @)")
# 2.42 pins the range of predict_linear at the first step only; what the others see is chance.
_PINS = re.compile(r" @ (start\(\)|end\(\)|[0-9.]+)")
# Of large numbers that are close together Prometheus loses the last digits here.
_OF_DIFFERENCES = re.compile("predict_linear|deriv|stddev|stdvar")
# By weight. Not `one_of`, which makes one of all alternatives within alternatives, each as likely as any other.
_KINDS = [
    *[vectors(Place(2))] * 8, *[vectors(Place(3))] * 5, vectors(Place(1)), *[phrases(OUTERMOST, Place(2))] * 5,
    phrases(REFUSED, Place(1)),
]  # fmt: skip

_OF_EDGES = [
    "sum_over_time", "avg_over_time", "stddev_over_time", "last_over_time", "min_over_time", "max_over_time",
    "count_over_time", "present_over_time", "changes", "resets", "idelta", "irate", "deriv",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """A query; an instant one has no step. Milliseconds."""

    text: str
    start_ms: int
    end_ms: int
    step_ms: int = 0


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Off the grid of the samples."""
    text = _OFFSET_OF_TIMESTAMP.sub(r"\1", draw(_KINDS[draw(st.integers(0, len(_KINDS) - 1))]))
    if "predict_linear" in text:
        text = _PINS.sub("", text)
    if _OF_DIFFERENCES.search(text):
        text = text.replace("timestamp(", "abs(")
    start = START_MS + draw(st.integers(1_500, 4_800)) * 1000 + 238
    step = draw(st.sampled_from([0, 0, 60_000, 15_000, 47_000, 7_500, 300_000]))
    return Case(text, start, start + step * draw(st.integers(1, 12)), step)


@st.composite
def instant_ranges(draw: st.DrawFn) -> Case:
    """Range vectors, which only an instant query answers."""
    text = draw(spans(Place(2, (*FINITE, "odd"))))
    start = START_MS + draw(st.integers(1_500, 4_800)) * 1000 + 238
    return Case(_OFFSET_OF_TIMESTAMP.sub(r"\1", text), start, start)


@st.composite
def on_grid(draw: st.DrawFn) -> Case:
    """On the times of the samples: those on the left edge of a window count to 2.42, but not to 3.x."""
    anyone, steady = draw(st.sampled_from(list(ON_GRID))), draw(st.sampled_from(["grid", "grid_total"]))
    # Of steady series that are far from zero, a millisecond more at the end is one less at the beginning.
    rate = draw(st.sampled_from(["rate(grid_total", "increase(grid_total", "delta(grid"]))
    length, step = draw(st.sampled_from(["30s", "1m", "5m", "7m", "10m"])), draw(st.sampled_from(["15s", "1m", "10s"]))
    function, offset = draw(st.sampled_from(_OF_EDGES)), draw(st.sampled_from(["", "", " offset 1m", " offset 15s"]))
    texts = [
        f"{function}({anyone}[{length}]{offset})", f"{function}({anyone}[{length}]{offset})", f"{anyone}{offset}",
        f"{rate}[{length}]{offset})", f"{function}({steady}[{length}:{step}]{offset})",
        f"count by (job) ({anyone}{offset})",
    ]  # fmt: skip
    text = draw(st.sampled_from(texts))
    start = START_MS + draw(st.integers(60, 320)) * STEP_MS
    every = draw(st.sampled_from([0, 15_000, 60_000, 5_000]))
    return Case(text, start, start + every * draw(st.integers(1, 12)), every)
