"""Asks the PromQL door in this process and reads its columns."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from tests.promqltest.answers import Failure, Reply, Result, Series
from tests.promqltest.histogram import Histogram

from gnomon_server.errors import GnomonError
from gnomon_server.query.promql.context import Options
from gnomon_server.query.promql.door import Answer, PromqlDoor
from gnomon_server.query.promql.histograms.block import Histograms
from gnomon_server.query.promql.values import NO_ROW, Samples, Scalar, String, Vector


@dataclass(frozen=True, slots=True)
class DoorAsker:
    """An Asker."""

    door: PromqlDoor
    options: Options

    async def instant(self, query: str, *, at_ms: int, tenant: str) -> Reply:
        """At one time."""
        try:
            answer = await self.door.instant(query, at_ms=at_ms, tenant=tenant, options=self.options)
            return of_answer(answer, is_range=False)
        except Exception as error:  # noqa: BLE001  (a fault of the evaluator is this evaluation's verdict, not the end)
            return _failure(error)

    async def range(self, query: str, *, start_ms: int, end_ms: int, step_ms: int, tenant: str) -> Reply:
        """At every step."""
        try:
            answer = await self.door.range(
                query, start_ms=start_ms, end_ms=end_ms, step_ms=step_ms, tenant=tenant, options=self.options
            )
            return of_answer(answer, is_range=True)
        except Exception as error:  # noqa: BLE001  (likewise)
            return _failure(error)


@dataclass(frozen=True, slots=True)
class RememberingAsker:
    """Asks until all that a query reads is in memory, where there is one, and takes the last answer."""

    asker: DoorAsker

    async def instant(self, query: str, *, at_ms: int, tenant: str) -> Reply:
        """At one time."""
        return await self._again(lambda: self.asker.instant(query, at_ms=at_ms, tenant=tenant))

    async def range(self, query: str, *, start_ms: int, end_ms: int, step_ms: int, tenant: str) -> Reply:
        """At every step."""
        grid = {"start_ms": start_ms, "end_ms": end_ms, "step_ms": step_ms}
        return await self._again(lambda: self.asker.range(query, **grid, tenant=tenant))

    async def _again(self, ask: Callable[[], Awaitable[Reply]]) -> Reply:
        for _ in range(2):
            await ask()
        assert self.asker.door.loader is not None
        await self.asker.door.loader.idle()
        return await ask()


def _failure(error: Exception) -> Failure:
    if isinstance(error, GnomonError):
        return Failure(error.what)
    return Failure(repr(error), unexpected=True)


def of_answer(answer: Answer, *, is_range: bool) -> Result:
    """The door's columns as samples."""
    notes: dict[str, Any] = {"warnings": answer.warnings, "infos": answer.infos}
    times = answer.grid.times
    match answer.value:
        case Scalar(values=values) if is_range:
            row = list(zip(times.tolist(), values.tolist(), strict=True))
            return Result("matrix", [Series((), row)], **notes)
        case Scalar(values=values):
            return Result("scalar", scalar=float(values[0]), **notes)
        case String(text=text):
            return Result("string", text=text, **notes)
        case Vector() as vector:
            return Result("matrix" if is_range else "vector", _of_vector(vector, times), **notes)
        case Samples() as samples:
            return Result("matrix", _of_samples(samples), **notes)


def _of_vector(vector: Vector, times: np.ndarray) -> list[Series]:
    found = []
    for number, labels in enumerate(vector.labels):
        floats = np.flatnonzero(vector.floats[number])
        native = np.flatnonzero(vector.histogram_there[number])
        if len(floats) or len(native):
            samples = zip(times[floats].tolist(), vector.values[number, floats].tolist(), strict=True)
            rows = [] if vector.rows is None else vector.rows[number, native].tolist()
            histograms = [_histogram(vector.histograms, row) for row in rows]
            pairs = zip(times[native].tolist(), histograms, strict=True)
            found.append(Series(labels, list(samples), list(pairs)))
    return found


def _of_samples(samples: Samples) -> list[Series]:
    """A range vector, which only an instant query answers."""
    found = []
    for number, labels in enumerate(samples.labels):
        mine = np.arange(samples.begins[number], samples.begins[number + 1])
        if not len(mine):
            continue
        rows = np.full(len(mine), NO_ROW) if samples.rows is None else samples.rows[mine]
        floats, native = mine[rows == NO_ROW], mine[rows != NO_ROW]
        pairs = zip(samples.ts[floats].tolist(), samples.v[floats].tolist(), strict=True)
        histograms = [_histogram(samples.histograms, row) for row in rows[rows != NO_ROW].tolist()]
        found.append(Series(labels, list(pairs), list(zip(samples.ts[native].tolist(), histograms, strict=True))))
    return found


def _histogram(block: Histograms | None, row: int) -> Histogram:
    assert block is not None
    cells = slice(int(block.begins[row]), int(block.begins[row + 1]))
    place, index, counts = block.place[cells], block.index[cells], block.counts[cells]
    sides = []
    for mine in (place > 0, place < 0):
        filled = mine & (counts != 0)
        sides.append(dict(zip(index[filled].tolist(), counts[filled].tolist(), strict=True)))
    return Histogram(
        int(block.schema[row]),
        float(block.count[row]),
        float(block.sum[row]),
        float(block.zero_threshold[row]),
        float(block.zero_count[row]),
        sides[0],
        sides[1],
        block.bounds_of[int(block.layout[row])],
        int(block.hint[row]),
    )
