"""Runs scripts: loads, asks as Prometheus' own runner asks, compares, and keeps a verdict for every evaluation.

Source: Prometheus, promql/promqltest/test.go (execRangeEval, execInstantEval, runInstantQuery).
"""

import asyncio
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from tests.promqltest.answers import Failure, Reply, Result
from tests.promqltest.expect import failure_fault, note_fault, sorting_fault, value_fault
from tests.promqltest.language import Clear, Command, Evaluation, Load, read_script
from tests.promqltest.load import batch_of

from gnomon_server.model.batch import Batch

CORPUS = Path(os.environ.get("GNOMON_CORPORA", Path(__file__).parents[3] / "shared" / "corpora")) / "promqltest"
"""Where Prometheus' own scripts are, if they are here."""

_MINUTE_MS = 60_000
_AT_ONCE = 4  # evaluations do not depend on each other; more wait for the engine's connections
# Their meaning depends on the range that is asked for: such a query cannot be repeated with another range.
_OF_THE_RANGE = re.compile(r"(start|end|range|step)\(\)")

Pinned = Callable[[str, int], str | None]
"""The query with all its selectors pinned to a time by `@`; None where that would change its meaning."""


def unpinned(_query: str, _at_ms: int) -> None:
    """A Pinned that repeats nothing."""


class Asker(Protocol):
    """Who answers queries. Times in milliseconds; what goes wrong is a Failure, never raised."""

    async def instant(self, query: str, *, at_ms: int, tenant: str) -> Reply:
        """At one time."""

    async def range(self, query: str, *, start_ms: int, end_ms: int, step_ms: int, tenant: str) -> Reply:
        """At every step."""


class Writer(Protocol):
    """Who stores batches (intake.writer.Intake)."""

    async def submit(self, batch: Batch) -> None:
        """Return when it is stored."""


class Scene(NamedTuple):
    """Evaluations over the same data."""

    tenant: str
    loads: tuple[Load, ...]
    evaluations: list[Evaluation]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of an evaluation; `values` and `notes` say what is wrong, and are empty when all is well."""

    file: str
    line: int
    query: str
    values: str
    notes: str

    def __str__(self) -> str:
        faults = [f"{kind}: {fault}" for kind, fault in (("values", self.values), ("notes", self.notes)) if fault]
        return f"{self.file}:{self.line}: {self.query}: {'; '.join(faults) or 'exact'}"


@dataclass(slots=True)
class Report:
    """The verdicts of a file."""

    file: str
    verdicts: list[Verdict] = field(default_factory=list)

    @property
    def faulty(self) -> list[Verdict]:
        """Those that are not exact."""
        return [verdict for verdict in self.verdicts if verdict.values or verdict.notes]

    def __str__(self) -> str:
        values = sum(not verdict.values for verdict in self.verdicts)
        notes = sum(not verdict.notes for verdict in self.verdicts)
        return f"{self.file:32} {len(self.verdicts):5} evaluations {values:5} values exact {notes:5} notes exact"


def name_of(path: Path) -> str:
    """What a script is called in reports and by its tenants: its folder's name and its own."""
    return f"{path.parent.name}-{path.stem}"


def scenes(path: Path) -> list[Scene]:
    """The scenes of a script: its evaluations by what is loaded when they are asked."""
    return [scene for scene in _scenes(name_of(path), read_script(path.read_text("utf-8"))) if scene.evaluations]


def _scenes(name: str, commands: Sequence[Command]) -> Iterator[Scene]:
    scene = Scene(f"{name}-0", (), [])
    for number, command in enumerate(commands, 1):
        if isinstance(command, Evaluation):
            scene.evaluations.append(command)
            continue
        yield scene
        loads = () if isinstance(command, Clear) else (*scene.loads, command)
        scene = Scene(f"{name}-{number}", loads, [])
    yield scene


async def load(loaded: Sequence[Scene], writer: Writer) -> None:
    """Store the data of all scenes; at once, so that they share commits."""
    batches = [batch_of(scene.tenant, scene.loads) for scene in loaded]
    await asyncio.gather(*(writer.submit(batch) for batch in batches if batch.tables))


async def run(name: str, played: Sequence[Scene], asker: Asker, *, every: int = 1, pinned: Pinned = unpinned) -> Report:
    """Ask every evaluation (or each `every`th) of a file whose scenes are loaded."""
    free = asyncio.Semaphore(_AT_ONCE)

    async def judged(tenant: str, evaluation: Evaluation) -> Verdict:
        async with free:
            values, notes = await _judged(evaluation, tenant, asker, pinned)
        return Verdict(name, evaluation.line, evaluation.query, values, notes)

    numbered = [(scene.tenant, evaluation) for scene in played for evaluation in scene.evaluations]
    return Report(name, list(await asyncio.gather(*(judged(*one) for one in numbered[::every]))))


async def _judged(evaluation: Evaluation, tenant: str, asker: Asker, pinned: Pinned) -> tuple[str, str]:
    """The first fault of the values and the first of the notes, over all ways to ask."""
    if evaluation.is_range:
        return _faults(evaluation, await _range(evaluation, tenant, asker))
    values = notes = ""
    for query, at_ms in _asked(evaluation, pinned):
        found = await _instant(evaluation, query, at_ms, tenant, asker)
        where = "" if (query, at_ms) == (evaluation.query, evaluation.at_ms) else f"as {query!r} at {at_ms} ms: "
        values = values or (where + found[0] if found[0] else "")
        notes = notes or (where + found[1] if found[1] else "")
    return values, notes


def _asked(evaluation: Evaluation, pinned: Pinned) -> Iterator[tuple[str, int]]:
    """The query; and, pinned to its time by `@`, at other times, where its answer must be the same."""
    at_ms = evaluation.at_ms
    yield evaluation.query, at_ms
    query = pinned(evaluation.query, at_ms)
    if query is not None:
        others = (-10 * at_ms, 0, at_ms // 5, at_ms, 10 * at_ms) if at_ms else (-1000, 0, 1000)
        yield from ((query, other) for other in others)


async def _range(evaluation: Evaluation, tenant: str, asker: Asker) -> Reply:
    start, end, step = evaluation.start_ms, evaluation.end_ms, evaluation.step_ms
    return await asker.range(evaluation.query, start_ms=start, end_ms=end, step_ms=step, tenant=tenant)


async def _instant(evaluation: Evaluation, query: str, at_ms: int, tenant: str, asker: Asker) -> tuple[str, str]:
    reply = await asker.instant(query, at_ms=at_ms, tenant=tenant)
    values, notes = _faults(evaluation, reply)
    if values or isinstance(reply, Failure):
        return values, notes
    # Once more as a range query: the step in the middle must answer the same.
    if evaluation.is_matrix or evaluation.text is not None or _OF_THE_RANGE.search(query):
        return values, notes
    again = await asker.range(
        query, start_ms=at_ms - _MINUTE_MS, end_ms=at_ms + _MINUTE_MS, step_ms=_MINUTE_MS, tenant=tenant
    )
    fault = _repeated(evaluation, again, at_ms)
    return (f"as a range query: {fault}" if fault else ""), notes


def _repeated(evaluation: Evaluation, reply: Reply, at_ms: int) -> str:
    if isinstance(reply, Failure):
        return f"failed: {reply.message}"
    if evaluation.ordered:  # a matrix is sorted by labels
        return ""
    if fault := sorting_fault(reply.series):
        return fault
    vector = reply.at(at_ms)
    if evaluation.scalar is not None:
        if len(vector.series) != 1 or not vector.series[0].floats:
            return f"expected one series of a scalar, got {len(vector.series)}"
        vector = Result("scalar", scalar=vector.series[0].floats[0][1])
    return value_fault(evaluation, vector)


def _faults(evaluation: Evaluation, reply: Reply) -> tuple[str, str]:
    if isinstance(reply, Failure):
        return failure_fault(evaluation, reply), ""
    return value_fault(evaluation, reply), note_fault(evaluation, reply)
