"""Both ways to a PromQL leaf's value, ClickHouse's kernels and NumPy, and what differs between them."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
import pytest
from promql_pushdown_scenes import Scene
from tests.promqltest.language import Point
from tests.promqltest.load import batch_of
from tests.promqltest.series import Labels

from gnomon_server.intake.writer import Intake
from gnomon_server.query.promql.annotations import Annotations
from gnomon_server.query.promql.context import Context, Options
from gnomon_server.query.promql.cores import Cores
from gnomon_server.query.promql.door import Answer, PromqlDoor
from gnomon_server.query.promql.evaluate import evaluate
from gnomon_server.query.promql.parser import parse
from gnomon_server.query.promql.plan import Read, reads
from gnomon_server.query.promql.pushdown import KERNELS
from gnomon_server.query.promql.select import Allowance, Leaf, Source, read, read_samples
from gnomon_server.query.promql.values import Vector
from gnomon_server.store.interface import QueryLimits, Store
from gnomon_server.store.tenants import TenantNumbers

SELECTOR = ""
EVERY = (SELECTOR, *KERNELS)

# All others are the same to the bit, but for which NaN; of the extremes no sign of a zero is asked.
_ROUNDED = frozenset({"rate", "increase", "delta", "irate", "deriv"})
_EXTREMES = frozenset({"min_over_time", "max_over_time"})
_RELATIVE = 1e-12
_ABSOLUTE = 1e-320  # below what a float holds in full, its digits are fewer
_EPSILON = float(np.finfo(np.float64).eps)
_CORES = Cores(2)


class Row(NamedTuple):
    """A series of an answer, each of the first four [n_steps]; `counts` are of native histograms."""

    values: np.ndarray
    present: np.ndarray
    native: np.ndarray
    counts: np.ndarray
    nameless: bool


class Value(NamedTuple):
    """An answer: its series that are there at any step, and what was noticed."""

    rows: Mapping[Labels, Row]
    notes: list[str]


class Sides:
    """One engine, a tenant of it for each scene, and both ways to an answer.

    Attributes:
        pushed: how many values of a kernel were compared, by function.
        read: how many samples were read beside them.
    """

    def __init__(self, runner: asyncio.Runner, intake: Intake, tenants: TenantNumbers, store: Store) -> None:
        self._runner, self._intake, self._tenants, self._store = runner, intake, tenants, store
        self._scenes, self.pushed, self.read = 0, Counter[str](), Counter[str]()

    def agree(self, scene: Scene, functions: Sequence[str] = EVERY) -> None:
        """Fail where they differ, with the first of the differences."""
        found = self._runner.run(self._differences(scene, functions))
        if found:
            pytest.fail(f"{len(found)} differ\n" + "\n".join(found[:3]), pytrace=False)

    async def _differences(self, scene: Scene, functions: Sequence[str]) -> list[str]:
        source = await self._stored(scene)
        here = await read_samples(source, _planned(scene, "resets", pushdown=False))
        leaves = await asyncio.gather(*(read(source, _planned(scene, one), Allowance(10**8)) for one in functions))
        found = []
        for function, leaf in zip(functions, leaves, strict=True):
            ours, theirs = _evaluated(scene, function, Leaf(None, here)), _evaluated(scene, function, leaf)
            found += [f"{function or 'selector'}: {one}" for one in _differing(scene, function, ours, theirs)]
            self.pushed[function] += 0 if leaf.vector is None else int(leaf.vector.present.sum())
            self.read[function] += len(leaf.samples.ts)
        return found

    def answers(self, scene: Scene, text: str) -> tuple[Answer, Answer]:
        """What the door says to any query, with and without kernels."""

        async def both() -> tuple[Answer, Answer]:
            await self._stored(scene)
            door, grid, tenant = PromqlDoor(self._store, self._tenants), scene.grid, f"scene {self._scenes}"
            ask = partial(
                door.range, text, start_ms=grid.start_ms, end_ms=grid.end_ms, step_ms=grid.step_ms, tenant=tenant
            )
            options = Options(lookback_ms=scene.window_ms)
            return await ask(options=options), await ask(options=replace(options, pushdown=False))

        return self._runner.run(both())

    async def _stored(self, scene: Scene) -> Source:
        self._scenes += 1
        tenant = f"scene {self._scenes}"
        for load in scene.loads():
            await self._intake.submit(batch_of(tenant, [load]))
        number = self._tenants.known(tenant)
        assert number is not None
        return Source(self._store, number, QueryLimits())


def _text(scene: Scene, function: str) -> str:
    offset = f" offset {scene.offset_ms}ms" if scene.offset_ms else ""
    return f"{function}(m_total[{scene.window_ms}ms]{offset})" if function else f"m_total{offset}"


def _planned(scene: Scene, function: str, *, pushdown: bool = True) -> Read:
    options = Options(lookback_ms=scene.window_ms, pushdown=pushdown)
    (only,) = reads(parse(_text(scene, function), experimental=True), scene.grid, scene.grid, options)
    return only


def _evaluated(scene: Scene, function: str, leaf: Leaf) -> Value:
    """As the door does it, with what was read."""
    text = _text(scene, function)
    notes, place = Annotations(text), _planned(scene, function).place
    pushed = {} if leaf.vector is None else {place: leaf.vector}
    options, grid = Options(lookback_ms=scene.window_ms), scene.grid
    samples = {place: leaf.samples}
    ctx = Context(grid, grid, options, notes, samples, pushed, time.monotonic(), lambda: False, _CORES)
    with np.errstate(all="ignore"):
        vector = evaluate(parse(text, experimental=True), ctx)
    assert isinstance(vector, Vector)
    assert list(vector.labels) == sorted(set(vector.labels)), "a series twice, or not in its place"
    native = vector.histogram_there
    counts = np.zeros(native.shape)
    if vector.rows is not None and vector.histograms is not None:
        counts[native] = vector.histograms.count[vector.rows[native]]
    columns = zip(vector.values, vector.present, native, counts, vector.nameless.tolist(), strict=True)
    rows = {labels: Row(*one) for labels, one in zip(vector.labels, columns, strict=True)}
    return Value({labels: row for labels, row in rows.items() if row.present.any()}, [*notes.warnings, *notes.infos])


def _differing(scene: Scene, function: str, ours: Value, theirs: Value) -> Iterator[str]:
    """Of each series that differs the first step."""
    if ours.notes != theirs.notes:
        yield f"noticed here {ours.notes}, with the kernel {theirs.notes}"
    if ours.rows.keys() != theirs.rows.keys():
        yield f"{_text(scene, function)}, {scene.grid}: series {sorted(ours.rows.keys() ^ theirs.rows.keys())}"
    for labels in sorted(ours.rows.keys() & theirs.rows.keys()):
        one, other = ours.rows[labels], theirs.rows[labels]
        points = scene.series[int(dict(labels)["i"])]
        wrong = np.flatnonzero(~_alike(function, one, other)).tolist()
        if function == "deriv":
            wrong = [step for step in wrong if not _as_near_as_sums_are(scene, points, step, one, other)]
        if wrong or one.nameless != other.nameless:
            step = wrong[0] if wrong else 0
            here, there = ([column[step] for column in side[:4]] for side in (one, other))
            what = f"{_text(scene, function)} at {scene.grid.times[step]} of {scene.grid}"
            yield f"{what}: here {here}, of the kernel {there}; of {[tuple(point) for point in points]}"


def _alike(function: str, one: Row, other: Row) -> np.ndarray:
    """Where presence is the same and values are as near as they have to be: bool[n_steps]."""
    natives = (one.native == other.native) & (one.counts == other.counts)
    v, w = (np.where(side.present & ~side.native, side.values, 0.0) for side in (one, other))
    same = (v.view(np.uint64) == w.view(np.uint64)) | (np.isnan(v) & np.isnan(w))
    if function in _EXTREMES:
        same |= v == w
    if function in _ROUNDED:
        same |= np.isclose(v, w, rtol=_RELATIVE, atol=_ABSOLUTE)
    alike: np.ndarray = (one.present == other.present) & natives & same
    return alike


def _as_near_as_sums_are(scene: Scene, points: Sequence[Point], step: int, one: Row, other: Row) -> bool:
    """Whether two slopes are as near as values far from zero allow: the kernel, as Prometheus, does not centre them."""
    end_ms = int(scene.grid.times[step]) - scene.offset_ms
    within = [point for point in points if end_ms - scene.window_ms < point.at_ms <= end_ms]
    sizes = [abs(point.value) for point in within if isinstance(point.value, float) and np.isfinite(point.value)]
    if len(sizes) < 2 or not (one.present[step] and other.present[step]):
        return False
    span_s = (within[-1].at_ms - within[0].at_ms) / 1000
    return bool(abs(one.values[step] - other.values[step]) <= 16 * _EPSILON * len(sizes) * max(sizes) / span_s)
