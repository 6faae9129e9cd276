"""A query over series that are written down: what the functions' tests share. No store: samples go in by hand."""

import math
import time
from dataclasses import dataclass

import numpy as np
from tests.promqltest.series import read_line

from gnomon_server.query.promql.annotations import Annotations
from gnomon_server.query.promql.ast import Call, MatrixSelector, VectorSelector, walk
from gnomon_server.query.promql.context import Context, Options
from gnomon_server.query.promql.cores import Cores
from gnomon_server.query.promql.evaluate import evaluate
from gnomon_server.query.promql.functions.info import _matched
from gnomon_server.query.promql.functions.info_selection import name_matchers
from gnomon_server.query.promql.labels import names_removed
from gnomon_server.query.promql.parser import parse
from gnomon_server.query.promql.values import Grid, Labels, Samples, Scalar, Vector

MINUTE_MS = 60_000
_CORES = Cores(2)


@dataclass(frozen=True)
class Told:
    """An answer: `series` by their labels, in the order of the answer, None where there is no sample."""

    series: dict[str, list[float | None]]
    warnings: list[str]
    infos: list[str]


def context(text: str, grid: Grid, samples: dict[tuple[int, int], Samples] | None = None) -> Context:
    """Where an expression is evaluated."""
    notes = Annotations(text)
    return Context(grid, grid, Options(), notes, samples or {}, {}, time.monotonic(), lambda: False, _CORES)


def samples_of(*lines: str, step_ms: int = MINUTE_MS) -> Samples:
    """`up{job="a"} 1 2 _ stale`: a sample a step from 0 on."""
    labels, begins, ts, values = [], [0], list[int](), list[float]()
    for line in sorted(lines):
        read = read_line(line)
        points = [(at * step_ms, value) for at, value in enumerate(read.values) if isinstance(value, float)]
        labels.append(read.labels)
        ts += [at for at, _ in points]
        values += [value for _, value in points]
        begins.append(len(ts))
    return Samples(labels, np.array(begins), np.array(ts, np.int64), np.array(values, np.float64))


def told(text: str, *lines: str, at: int = 0, to: int | None = None) -> Told:
    """What a query answers at a minute, or from one to another, of lines with a sample a minute."""
    grid = Grid(at * MINUTE_MS, (at if to is None else to) * MINUTE_MS, 0 if to is None else MINUTE_MS)
    tree = parse(text, experimental=True)
    every = samples_of(*lines)
    samples = {}
    for node in walk(tree):
        if isinstance(node, VectorSelector | MatrixSelector):
            selector = node.selector if isinstance(node, MatrixSelector) else node
            samples[selector.start, selector.end] = chosen(every, _matched(every.labels, selector.matchers))
        elif isinstance(node, Call) and node.function == "info":
            samples[node.start, node.end] = chosen(every, _matched(every.labels, name_matchers(node)))
    ctx = context(text, grid, samples)
    with np.errstate(all="ignore"):  # as the door has it
        value = evaluate(tree, ctx)
    assert isinstance(value, Vector | Scalar)
    series = {"": list(value.values)} if isinstance(value, Scalar) else rows(names_removed(value))
    return Told(series, ctx.notes.warnings, ctx.notes.infos)


def chosen(every: Samples, which: np.ndarray) -> Samples:
    """Some of the series."""
    begins = np.concatenate([[0], np.cumsum(np.diff(every.begins)[which])])
    keep = which[every.owner]
    return Samples(
        [one for one, is_it in zip(every.labels, which, strict=True) if is_it], begins, every.ts[keep], every.v[keep]
    )


def rows(vector: Vector) -> dict[str, list[float | None]]:
    """The floats of a vector."""
    return {
        written(labels): [number if there else None for number, there in zip(numbers, present, strict=True)]
        for labels, numbers, present in zip(vector.labels, vector.values.tolist(), vector.present.tolist(), strict=True)
    }


def written(labels: Labels) -> str:
    """`up{job="a"}`."""
    given = dict(labels)
    name = given.pop("__name__", "")
    return name + "{" + ",".join(f'{key}="{value}"' for key, value in given.items()) + "}"


def same(one: float | None, other: float | None) -> bool:
    """Equal, or NaN both, or neither there."""
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=1e-12, abs_tol=1e-300) or (math.isnan(one) and math.isnan(other))
