"""The durable store and the reference, told the same things in any order, hold the same rows."""

import asyncio
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

sys.path[:0] = [str(Path(__file__).parent.parent / name) for name in ("conformance", "unit/store")]

from reference import Disk, ReferenceStore  # noqa: E402  (its folder is known from here on)
from rows import insert_of, span  # noqa: E402  (likewise)

from gnomon_server.store.durable_store import DurableStore  # noqa: E402  (likewise)
from gnomon_server.store.interface import Insert  # noqa: E402  (likewise)
from gnomon_server.store.supervisor import EngineSettings  # noqa: E402  (likewise)

DAYS = ["1970-01-01", "2026-11-19", "2026-11-20"]
SPANS = st.lists(
    st.tuples(st.sampled_from(DAYS), st.integers(1, 4), st.integers(0, 2), st.sampled_from(["shop", "gate"])),
    min_size=1,
    max_size=5,
)
COLUMNS = ("ts", "trace_id", "span_id", "status", "service")


class Machine(RuleBasedStateMachine):
    """Inserts, repeats and crashes of one tenant; the engine is shared by all runs, each with a tenant of its own."""

    durable: DurableStore
    runner: asyncio.Runner
    tenant = 0
    crashed = False
    inserts = Bundle("inserts")

    @initialize()
    def begin(self) -> None:
        Machine.tenant += 1
        self.reference = ReferenceStore(Disk())
        self.number, self.crashed = 0, False

    @rule(target=inserts, rows=SPANS, named=st.booleans())
    def insert(self, rows: list[tuple[str, int, int, str]], named: bool) -> Insert:
        self.number += 1
        spans = [span(day, number, status=status, service=service) for day, number, status, service in rows]
        token = f"{self.tenant}-{self.number}" if named else ""
        made = insert_of("spans", spans, tenant=self.tenant, token=token)
        self.both(made)
        return made

    @rule(insert=inserts)
    def repeat(self, insert: Insert) -> None:
        self.both(insert)

    @precondition(lambda self: not self.crashed)
    @rule()
    def crash(self) -> None:
        self.crashed = True  # once a run: the engine takes a second to be back
        supervisor = self.durable.supervisor
        assert supervisor is not None
        os.kill(supervisor.pid, signal.SIGKILL)

        async def is_back() -> None:
            restarts = supervisor.restarts
            while supervisor.restarts == restarts:  # noqa: ASYNC110  (another process: no event to wait for)
                await asyncio.sleep(0.02)

        self.runner.run(is_back())

    @invariant()
    def they_hold_the_same(self) -> None:
        if not hasattr(self, "reference"):
            return
        found = self.ask(
            "SELECT toUnixTimestamp64Nano(ts) AS ts, trace_id, span_id, status, service::String AS service "
            f"FROM spans WHERE tenant = {self.tenant}"
        )
        kept = [{name: row[name] for name in COLUMNS} for row in self.reference.rows("spans", self.tenant)]
        assert sorted(map(repr, found)) == sorted(map(repr, kept))
        traced = self.ask(
            "SELECT trace_id, sum(spans) AS spans, sum(errors) AS errors, "
            f"arraySort(groupUniqArrayArray(services)) AS services FROM trace_index WHERE tenant = {self.tenant} "
            "GROUP BY trace_id"
        )
        traces = [
            {name: trace[name] for name in ("trace_id", "spans", "errors", "services")}
            for trace in self.reference.traces(self.tenant)
        ]
        assert sorted(map(repr, traced)) == sorted(map(repr, traces))

    def both(self, insert: Insert) -> None:
        self.runner.run(self.durable.insert([insert]))
        self.runner.run(self.reference.insert([insert]))

    def ask(self, sql: str) -> list[dict[str, Any]]:
        found, _ = self.runner.run(self.durable.query(sql))
        return found.to_pylist()


def test_the_durable_store_holds_what_the_reference_holds() -> None:
    """Some runs of some steps each, on one engine."""
    with tempfile.TemporaryDirectory(prefix="gnomon-") as folder, asyncio.Runner() as runner:
        Machine.runner = runner
        Machine.durable = DurableStore(EngineSettings(Path(folder)))
        runner.run(Machine.durable.start())
        try:
            Machine.TestCase.settings = settings(
                max_examples=4,
                stateful_step_count=8,
                deadline=None,
                derandomize=True,
                suppress_health_check=list(HealthCheck),
            )
            Machine.TestCase("runTest").runTest()
        finally:
            runner.run(Machine.durable.stop())
