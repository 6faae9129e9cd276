"""Random series for the differential test of PromQL: all that makes a sample stream awkward, but never on an even time.

Off the grid, samples lie on odd milliseconds and every query, range, offset and step on even ones, so that no sample
lies on the edge of a window: there Prometheus 2.42 includes what 3.x leaves out. Metrics in ON_GRID are the exception.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from tests.promqltest.language import Load, Point
from tests.promqltest.series import STALE, Labels
from tests.remote_write import V1, compressed, request

# Midnight (UTC) lies within the data: series are stored by the day.
START_MS = 1_767_222_000_000
LENGTH_MS = 90 * 60_000
STEP_MS = 15_000
BOUNDS = ("0.1", "0.5", "1", "2.5", "10", "+Inf")

JOBS, INSTANCES, CODES, PATHS = ("api", "web", "db"), ("a", "b"), ("200", "404", "500"), ("/", "/x")

Times = np.ndarray
Values = np.ndarray


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric's labels with all their values; every combination is a series but for those that `holes` drops."""

    labels: Mapping[str, Sequence[str]]
    values: Callable[[np.random.Generator, Times], Values]
    times: Callable[[np.random.Generator], Times]
    holes: float = 0.0


def _steady(random: np.random.Generator) -> Times:
    """Every 15 s, late by up to 40 ms."""
    ticks = START_MS + np.arange(LENGTH_MS // STEP_MS) * STEP_MS + int(random.integers(0, STEP_MS - 1000))
    return _odd(ticks + random.integers(0, 40, len(ticks)))


def _gappy(random: np.random.Generator) -> Times:
    """Steady, without one sample in ten, and twice nothing for minutes."""
    times = _steady(random)
    kept = random.random(len(times)) > 0.1
    for begin in random.integers(20, len(times) - 40, 2):
        kept[begin : begin + random.integers(10, 35)] = False
    return times[kept]


def _sparse(random: np.random.Generator) -> Times:
    """Anything between a second and seven minutes apart: beyond the lookback, too."""
    gaps = random.choice([1_000, 40_000, 100_000, 200_000, 420_000], 60, p=[0.1, 0.3, 0.3, 0.2, 0.1])
    times = START_MS + np.cumsum(gaps + random.integers(0, 9_000, 60))
    return _odd(times[times < START_MS + LENGTH_MS])


def _on_grid(_random: np.random.Generator) -> Times:
    return START_MS + np.arange(LENGTH_MS // STEP_MS) * STEP_MS


def _on_grid_sparse(random: np.random.Generator) -> Times:
    """On the grid, with gaps as long as the lookback, a little less and a little more."""
    times = START_MS + np.cumsum(random.choice([15_000, 30_000, 285_000, 300_000, 315_000, 600_000], 60))
    return times[times < START_MS + LENGTH_MS]


def _odd(times: Times) -> Times:
    return np.unique(times // 2 * 2 + 1)


def _counter(random: np.random.Generator, times: Times) -> Values:
    """From nothing, with resets to nothing. Only for steady times: see `_large_counter`."""
    return _with_resets(random, random.integers(0, 9, len(times)).astype(float))


def _large_counter(random: np.random.Generator, times: Times) -> Values:
    """Never near zero, where 2.42 extrapolates otherwise than 3.x behind a gap (promql/functions.go)."""
    return 5_000 + _with_resets(random, random.random(len(times)) * 4)


def _with_resets(random: np.random.Generator, steps: Values) -> Values:
    values = np.cumsum(steps)
    for place in sorted(random.integers(1, len(values), 3)):
        values[place:] -= values[place]
    return values


def _walk(random: np.random.Generator, times: Times) -> Values:
    return 20 + np.cumsum(random.normal(0, 1, len(times)))


def _small(random: np.random.Generator, times: Times) -> Values:
    """Few different values, so that there are ties, repetitions, and zeros of both signs."""
    return random.choice([-2.0, -1.0, -0.0, 0.0, 0.5, 1.0, 2.0, 3.0, 7.0], len(times))


def _odd_values(random: np.random.Generator, times: Times) -> Values:
    return random.choice([1.0, 2.5, -3.0, 0.0, math.nan, math.inf, -math.inf, 1e-9, 1e6], len(times))


def _with_ends(random: np.random.Generator, times: Times) -> Values:
    """A walk whose target vanishes now and then: stale markers, alone and in rows."""
    values = _walk(random, times)
    for begin in random.integers(0, len(times), 8):
        values[begin : begin + random.choice([1, 1, 3, 30])] = STALE
    return values


def _one(_random: np.random.Generator, times: Times) -> Values:
    return np.ones(len(times))


OFF_GRID: Mapping[str, Metric] = {
    "requests_total": Metric(
        {"job": JOBS, "instance": INSTANCES, "code": CODES, "path": PATHS}, _counter, _steady, 0.3
    ),
    "errors_total": Metric({"job": JOBS, "instance": INSTANCES, "code": CODES}, _large_counter, _gappy, 0.2),
    "temperature": Metric({"job": JOBS, "instance": INSTANCES, "zone": ("eu", "us")}, _walk, _steady, 0.2),
    "load": Metric({"job": JOBS, "instance": INSTANCES}, _walk, _gappy),
    "queue": Metric({"job": JOBS, "instance": INSTANCES, "kind": ("in", "out")}, _small, _steady, 0.2),
    "odd": Metric({"job": JOBS, "instance": INSTANCES}, _odd_values, _steady),
    "flaky": Metric({"job": JOBS, "instance": INSTANCES}, _with_ends, _gappy),
    "sparse": Metric({"job": JOBS, "kind": ("in", "out")}, _walk, _sparse),
    "build_info": Metric({"job": JOBS, "instance": INSTANCES, "version": ("1.2",), "owner": ("ops",)}, _one, _steady),
}
ON_GRID: Mapping[str, Metric] = {
    "grid_total": Metric({"job": JOBS, "instance": INSTANCES}, _large_counter, _on_grid),
    "grid": Metric({"job": JOBS, "instance": INSTANCES}, _walk, _on_grid),
    "grid_flaky": Metric({"job": JOBS, "instance": INSTANCES}, _with_ends, _on_grid),
    "grid_sparse": Metric({"job": JOBS, "instance": INSTANCES}, _walk, _on_grid_sparse),
}
HISTOGRAMS = {
    "latency_bucket": {"job": JOBS, "instance": INSTANCES, "le": BOUNDS},
    "latency_count": {"job": JOBS, "instance": INSTANCES},
    "latency_sum": {"job": JOBS, "instance": INSTANCES},
}
LABELS: Mapping[str, Mapping[str, Sequence[str]]] = {
    **{name: metric.labels for name, metric in {**OFF_GRID, **ON_GRID}.items()},
    **HISTOGRAMS,
}


def series(seed: int) -> Load:
    """All of them, by a seed."""
    random = np.random.default_rng(seed)
    made: dict[Labels, list[Point]] = {}
    for name, metric in {**OFF_GRID, **ON_GRID}.items():
        for labels in _combinations(name, metric.labels):
            if random.random() < metric.holes:
                continue
            times = metric.times(random)
            made[labels] = _points(times, metric.values(random, times))
    for labels in _combinations("latency", {"job": JOBS, "instance": INSTANCES}):
        made |= _histogram(random, dict(labels))
    return Load(made)


def _combinations(name: str, labels: Mapping[str, Sequence[str]]) -> Iterator[Labels]:
    for values in product(*labels.values()):
        yield tuple(sorted({"__name__": name, **dict(zip(labels, values, strict=True))}.items()))


def _histogram(random: np.random.Generator, labels: dict[str, str]) -> dict[Labels, list[Point]]:
    """A classic histogram that restarts once; of one in six the last bucket is missing."""
    times = _steady(random)
    falling = random.multinomial(7, random.dirichlet(np.ones(len(BOUNDS))), len(times))
    counts = np.cumsum(np.cumsum(falling, axis=1), axis=0).astype(float)
    restart = int(random.integers(1, len(times)))
    counts[restart:] -= counts[restart]
    made = {"latency_count": counts[:, -1], "latency_sum": counts[:, -1] * random.uniform(0.1, 3)}
    found = {_labelled(labels, name): _points(times, values) for name, values in made.items()}
    for place, bound in enumerate(BOUNDS[: -1 if random.random() < 1 / 6 else None]):
        found[_labelled(labels, "latency_bucket", le=bound)] = _points(times, counts[:, place])
    return found


def _labelled(labels: dict[str, str], name: str, **more: str) -> Labels:
    return tuple(sorted({**labels, "__name__": name, **more}.items()))


def _points(times: Times, values: Values) -> list[Point]:
    return [Point(int(at), float(value)) for at, value in zip(times, values, strict=True)]


def remote_write(load: Load) -> bytes:
    """The same as a request, the earliest sample first: an empty Prometheus takes none that is an hour older."""
    first = sorted(load.series.items(), key=lambda one: one[1][0].at_ms)
    return compressed(
        request(
            V1, [{"labels": dict(labels), "samples": [(p.value, p.at_ms) for p in points]} for labels, points in first]
        )
    )
