"""The same questions to us and to a real Prometheus 2.42 over the same samples, and what differs.

    python -m tests.properties.promql_differential --examples 5000 --seed 7

prints how many were compared, how many found something, how often each function was asked, and every difference, the
shortest query first. Exit code 1 if there is any. What 3.x means otherwise than 2.42 is said here, in
promql_expressions.py and in promql_cases.py.
"""

import argparse
import asyncio
import json
import re
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from tests import real_prometheus
from tests.promqltest.answers import Failure, Reply, of_json
from tests.promqltest.door import DoorAsker
from tests.promqltest.engine import engine, writing
from tests.promqltest.load import batch_of
from tests.properties.promql_cases import Case, cases, instant_ranges, on_grid
from tests.properties.promql_comparison import difference
from tests.properties.promql_data import remote_write, series

from gnomon_server.query.promql.context import Options
from gnomon_server.query.promql.door import PromqlDoor
from gnomon_server.query.promql.signatures import FUNCTIONS

TENANT = "differential"
_KNOWN = {
    *FUNCTIONS, "sum", "avg", "min", "max", "count", "group", "stddev", "stdvar", "quantile", "topk", "bottomk",
    "count_values", "offset", "on", "ignoring", "group_left", "group_right", "and", "or", "unless", "bool", "atan2",
    "start", "end",
}  # fmt: skip
_WORD = re.compile(r"\"[^\"]*\"|[a-z_0-9]+|\[[^\]:]*:|[-+*/%^]|[=!<>]=?|@")


@dataclass(slots=True)
class Tally:
    """What came of the comparisons."""

    answered: int = 0
    empty: int = 0
    refused: int = 0
    functions: Counter[str] = field(default_factory=Counter)
    cases: set[Case] = field(default_factory=set)
    differences: dict[Case, str] = field(default_factory=dict)

    @property
    def compared(self) -> int:
        """All of them."""
        return len(self.cases)

    @property
    def share(self) -> float:
        """How many of all found something."""
        return self.answered / max(1, self.compared)

    def __str__(self) -> str:
        texts = len({case.text for case in self.cases})
        counts = ", ".join(f"{name} {number}" for name, number in sorted(self.functions.items()))
        return (
            f"{self.compared} compared ({texts} different texts): {self.answered} found something ({self.share:.0%}), "
            f"{self.empty} nothing, {self.refused} refused by both; {len(self.differences)} differ\n{counts}"
        )


@dataclass(frozen=True, slots=True)
class Pair:
    """Our door, on a loop of its own, and a Prometheus."""

    door: PromqlDoor
    prometheus: str
    loop: asyncio.AbstractEventLoop
    pushdown: bool
    tally: Tally = field(default_factory=Tally)

    def difference(self, case: Case, *, edge: bool = False) -> str:
        """What differs, or nothing; with `edge`, samples lie on the left edges of windows.

        2.42 includes those. A millisecond later they are outside, and all else is as it was.
        """
        if case in self.tally.cases:
            return self.tally.differences.get(case, "")
        ours, theirs = self._ours(case), self._theirs(case, later_ms=int(edge))
        found = difference(ours, theirs, case.text)
        self._count(case, theirs)
        if found:
            self.tally.differences[case] = found
        return found

    def _count(self, case: Case, theirs: Reply) -> None:
        tally = self.tally
        if isinstance(theirs, Failure):
            tally.refused += 1
        elif theirs.series or theirs.kind in ("scalar", "string"):
            tally.answered += 1
        else:
            tally.empty += 1
        tally.cases.add(case)
        tally.functions.update(set(words(case.text)))

    def _ours(self, case: Case) -> Reply:
        asker = DoorAsker(self.door, Options(pushdown=self.pushdown))
        if case.step_ms:
            asked = asker.range(
                case.text, start_ms=case.start_ms, end_ms=case.end_ms, step_ms=case.step_ms, tenant=TENANT
            )
        else:
            asked = asker.instant(case.text, at_ms=case.start_ms, tenant=TENANT)
        return asyncio.run_coroutine_threadsafe(asked, self.loop).result(timeout=60)

    def _theirs(self, case: Case, later_ms: int) -> Reply:
        start, end, step = (
            f"{ms / 1000:.3f}" for ms in (case.start_ms + later_ms, case.end_ms + later_ms, case.step_ms)
        )
        path, times = "/api/v1/query", {"time": start}
        if case.step_ms:
            path, times = "/api/v1/query_range", {"start": start, "end": end, "step": step}
        query = case.text.replace("double_exponential_smoothing", "holt_winters")
        body = json.loads(real_prometheus.ask(self.prometheus, path, {"query": query, **times}, form=True)[1])
        return _earlier(of_json(body), later_ms)


def _earlier(reply: Reply, by_ms: int) -> Reply:
    if isinstance(reply, Failure) or not by_ms:
        return reply
    moved = [replace(one, floats=[(at - by_ms, value) for at, value in one.floats]) for one in reply.series]
    return replace(reply, series=moved)


def words(text: str) -> Iterator[str]:
    """What a query uses: functions, operators, modifiers, `subquery`."""
    for word in _WORD.findall(text):
        if word.startswith("["):
            yield "subquery"
        elif word in _KNOWN or not re.match(r'[a-z0-9_"]', word):
            yield word


@contextmanager
def pair(number: int, *, pushdown: bool = True) -> Iterator[Pair]:
    """Both, over the samples of a seed; with `pushdown`, ClickHouse evaluates the leaves that it may."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(awaitable: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(awaitable, loop).result(timeout=120)

    async def door(stack: AsyncExitStack) -> PromqlDoor:
        store, tenants = await stack.enter_async_context(engine())
        intake = await stack.enter_async_context(writing(store, tenants))
        await intake.submit(batch_of(TENANT, [load]))
        return PromqlDoor(store, tenants)

    load, stack = series(number), AsyncExitStack()
    try:
        with tempfile.TemporaryDirectory(prefix="gnomon-") as folder, real_prometheus.running(Path(folder)) as address:
            real_prometheus.write(address, remote_write(load))
            try:
                yield Pair(run(door(stack)), address, loop, pushdown)
            finally:
                run(stack.aclose())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def compare_all(
    both: Pair, strategy: st.SearchStrategy[Case], examples: int, number: int, *, edge: bool = False
) -> None:
    """Ask so many, whatever differs; the tally has it all."""

    @seed(number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def compare(case: Case) -> None:
        both.difference(case, edge=edge)

    compare()


def main() -> None:
    """Compare many, report all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1, help="of the samples and of the queries")
    parser.add_argument("--no-pushdown", action="store_true", help="evaluate nothing in the engine")
    arguments = parser.parse_args()
    with pair(arguments.seed, pushdown=not arguments.no_pushdown) as both:
        tally = both.tally
        compare_all(both, cases(), arguments.examples, arguments.seed)
        compare_all(both, instant_ranges(), arguments.examples // 10, arguments.seed)
        compare_all(both, on_grid(), arguments.examples // 10, arguments.seed, edge=True)
    for case, found in sorted(tally.differences.items(), key=lambda item: len(item[0].text)):
        print(f"{case}\n    {found}")
    print(tally)
    sys.exit(bool(tally.differences))


if __name__ == "__main__":
    main()
