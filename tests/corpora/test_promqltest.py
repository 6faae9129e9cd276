"""PromQL scripts against the server: Prometheus' own (the corpus) and ours (tests/cases/promql).

Every evaluation is reported; `python -m tests.promqltest` does the same from the command line.
"""

import importlib.util
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from tests.promqltest.door import DoorAsker
from tests.promqltest.engine import engine, remembering, served, writing
from tests.promqltest.http import HttpAsker
from tests.promqltest.pinned import pinned
from tests.promqltest.run import CORPUS, Asker, Pinned, load, name_of, run, scenes, unpinned

from gnomon_server.query.promql.context import Options
from gnomon_server.query.promql.door import PromqlDoor

OURS = sorted((Path(__file__).parents[1] / "cases" / "promql").glob("*.test"))
THEIRS = sorted(CORPUS.glob("split/*/*.test"))

pytestmark = pytest.mark.asyncio(loop_scope="module")
needs_corpus = pytest.mark.skipif(not THEIRS, reason=f"no corpus at {CORPUS} (GNOMON_CORPORA)")
needs_api = pytest.mark.skipif(
    importlib.util.find_spec("gnomon_server.api.prometheus") is None, reason="Prometheus' HTTP API is not served yet"
)


WAYS = ("by-kernels", "here", "remembered")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def askers() -> AsyncIterator[dict[str, Asker]]:
    """The door over the data of all scripts: by the engine's kernels, without them, from samples in memory."""
    async with engine() as (store, tenants), writing(store, tenants) as intake:
        await load([scene for path in [*THEIRS, *OURS] for scene in scenes(path)], intake)
        door = PromqlDoor(store, tenants)
        async with remembering(store, tenants) as remembered:
            asked = DoorAsker(door, Options()), DoorAsker(door, Options(pushdown=False)), remembered
            yield dict(zip(WAYS, asked, strict=True))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def over_http() -> AsyncIterator[Asker]:
    """A server of its own process over the data of all scripts."""
    async with served([scene for path in [*THEIRS, *OURS] for scene in scenes(path)]) as server:
        yield HttpAsker(server.api)


@pytest.mark.corpus
@needs_corpus
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("path", THEIRS, ids=name_of)
async def test_answers_are_prometheus_s(path: Path, way: str, askers: dict[str, Asker]) -> None:
    """Values and annotations, as Prometheus' own runner compares them; in the other ways a third of them.

    `make corpora` asks all of them in every way.
    """
    await _all_exact(path, askers[way], every=1 if way == "by-kernels" else 3)


@pytest.mark.corpus
@needs_corpus
@pytest.mark.parametrize("path", THEIRS, ids=name_of)
async def test_a_tenth_answers_the_same_at_all_times(path: Path, askers: dict[str, Asker]) -> None:
    """Pinned by `@`, an instant query is asked at five other times; `python -m tests.promqltest --pinned` does all."""
    await _all_exact(path, askers["by-kernels"], every=10, pin=pinned)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("path", OURS, ids=name_of)
async def test_our_own_cases_are_answered(path: Path, way: str, askers: dict[str, Asker]) -> None:
    """What Prometheus' cases leave out, in their language."""
    await _all_exact(path, askers[way], pin=pinned)


@pytest.mark.corpus
@needs_corpus
@needs_api
@pytest.mark.parametrize("path", THEIRS, ids=name_of)
async def test_a_quarter_is_answered_over_http(path: Path, over_http: Asker) -> None:
    """In Prometheus' JSON, annotations and native histograms included."""
    await _all_exact(path, over_http, every=4)


async def _all_exact(path: Path, asker: Asker, *, every: int = 1, pin: Pinned = unpinned) -> None:
    report = await run(name_of(path), scenes(path), asker, every=every, pinned=pin)
    assert report.verdicts
    assert not report.faulty, "\n".join([str(report), *map(str, report.faulty)])
