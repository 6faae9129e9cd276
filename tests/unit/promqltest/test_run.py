"""The runner: which queries it asks, of which tenants, and what it makes of the answers. The answers are made up."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.promqltest.answers import Failure, Reply, Result, Series
from tests.promqltest.run import run, scenes
from tests.promqltest.series import Labels

M: Labels = (("__name__", "m"),)
SCRIPT = """
load 1m
  m 1 2

eval instant at 1m m
  m 2

load 1m
  n 3

eval range from 0 to 1m step 1m m
  m 1 2

clear

eval instant at 0 m
"""

Made = Callable[[str, int], Reply]


class MadeUp:
    """An Asker whose every step is the answer of a function of the query and the time; it keeps what it was asked."""

    def __init__(self, made: Made) -> None:
        self.asked: list[tuple[str, ...]] = []
        self._made = made

    async def instant(self, query: str, *, at_ms: int, tenant: str) -> Reply:
        self.asked.append(("instant", tenant, query, str(at_ms)))
        return self._made(query, at_ms)

    async def range(self, query: str, *, start_ms: int, end_ms: int, step_ms: int, tenant: str) -> Reply:
        self.asked.append(("range", tenant, query, f"{start_ms}..{end_ms} {step_ms}"))
        series: dict[Labels, Series] = {}
        for at_ms in range(start_ms, end_ms + 1, step_ms):
            reply = self._made(query, at_ms)
            if isinstance(reply, Failure):
                return reply
            scalar = [Series((), [(at_ms, reply.scalar)])] if reply.kind == "scalar" else []
            for one in [*reply.series, *scalar]:
                series.setdefault(one.labels, Series(one.labels)).floats.extend((at_ms, v) for _, v in one.floats)
        return Result("matrix", list(series.values()))


def _minutes(_query: str, at_ms: int) -> Result:
    """What the first scene of the script answers: at 0 it is 1, at one minute 2."""
    return Result("vector", [Series(M, [(at_ms, 1.0 + at_ms / 60_000)])])


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a script."""

    def write(text: str) -> Path:
        path = tmp_path / "a" / "some.test"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    return write


def test_scenes_are_what_is_loaded_when_it_is_asked(script: Callable[[str], Path]) -> None:
    """A load adds to the one before, a clear takes all away; each has a tenant of its own."""
    found = scenes(script(SCRIPT))
    assert [len(scene.loads) for scene in found] == [1, 2, 0]
    assert [len(scene.evaluations) for scene in found] == [1, 1, 1]
    assert len({scene.tenant for scene in found}) == 3


async def test_evaluations_are_asked_of_their_tenants(script: Callable[[str], Path]) -> None:
    """An instant query once more as a range around its time, as Prometheus' runner asks it."""
    asker = MadeUp(_minutes)
    report = await run("some", scenes(script(SCRIPT)), asker)
    assert asker.asked == [
        ("instant", "a-some-1", "m", "60000"),
        ("range", "a-some-1", "m", "0..120000 60000"),
        ("range", "a-some-3", "m", "0..60000 60000"),
        ("instant", "a-some-5", "m", "0"),
    ]
    assert [bool(verdict.values) for verdict in report.verdicts] == [False, False, True]
    assert [verdict.line for verdict in report.faulty] == [16]
    assert "unexpected m{}" in str(report.faulty[0])
    assert "3 evaluations     2 values exact     3 notes exact" in str(report)


async def test_a_part_of_the_evaluations_can_be_asked(script: Callable[[str], Path]) -> None:
    """Every second one, from the first."""
    report = await run("some", scenes(script(SCRIPT)), MadeUp(_minutes), every=2)
    assert [verdict.line for verdict in report.verdicts] == [5, 16]


async def test_a_range_query_that_answers_otherwise_is_a_fault(script: Callable[[str], Path]) -> None:
    """Although the instant query is right."""

    class Unlike(MadeUp):
        async def range(self, query: str, **times: Any) -> Reply:
            self.asked.append(("range", query, *map(str, times)))
            return Result("matrix", [Series(M, [(60_000, 7.0)])])

    report = await run("some", scenes(script(SCRIPT))[:1], Unlike(_minutes))
    assert report.faulty[0].values == "as a range query: m{}: expected 2.0, got 7.0"


async def test_scalars_are_repeated_as_series_without_labels(script: Callable[[str], Path]) -> None:
    """A range query answers a matrix for them."""
    asker = MadeUp(lambda _query, _at_ms: Result("scalar", scalar=3.0))
    report = await run("some", scenes(script("eval instant at 1m 1+2\n 3")), asker)
    assert not report.faulty
    assert len(asker.asked) == 2


@pytest.mark.parametrize(
    "text",
    [
        'eval instant at 1m "a"\n expect string "a"',
        "eval instant at 1m m[1m]\n expect range vector from 0 to 1m step 1m\n m 1 2",
        "eval instant at 1m m @ start()\n m 2",
        "eval instant at 1m m\n expect fail",
    ],
)
async def test_some_queries_are_not_repeated(script: Callable[[str], Path], text: str) -> None:
    """Strings, range vectors, what depends on the range, what fails."""
    asker = MadeUp(lambda _query, _at_ms: Failure("no"))
    await run("some", scenes(script(text)), asker)
    assert [kind for kind, *_ in asker.asked] == ["instant"]


async def test_a_pinned_query_must_answer_the_same_at_other_times(script: Callable[[str], Path]) -> None:
    """Before, at, and after its own time."""
    asker = MadeUp(lambda query, at_ms: _minutes(query, 60_000 if "@" in query and at_ms <= 60_000 else at_ms))
    report = await run("some", scenes(script(SCRIPT))[:1], asker, pinned=lambda query, at_ms: f"{query} @ {at_ms}")
    asked = [time for kind, _, query, time in asker.asked if kind == "instant" and "@" in query]
    assert asked == ["-600000", "0", "12000", "60000", "600000"]
    assert "as 'm @ 60000' at 600000 ms" in report.faulty[0].values


async def test_failures_and_faults_of_the_evaluator_have_verdicts(script: Callable[[str], Path]) -> None:
    """A refusal that is expected is exact; one that is not, or a crash, is reported, and the run goes on."""
    text = "eval instant at 0 a\n expect fail msg: no\n\neval instant at 0 b\n\neval instant at 0 c\n expect fail"
    replies = {"a": Failure("no"), "b": Failure("no"), "c": Failure("KeyError()", unexpected=True)}
    report = await run("some", scenes(script(text)), MadeUp(lambda query, _: replies[query]))
    assert [verdict.values for verdict in report.verdicts] == [
        "",
        "failed: no",
        "broke instead of refusing: KeyError()",
    ]
