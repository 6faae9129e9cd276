"""What an interrupted commit left out of the list of traces comes back at the next start."""

import time

import pyarrow as pa
from tests import otlp

from gnomon_server.decode.otlp.context import DecodeContext
from gnomon_server.decode.otlp.traces import decode_traces
from gnomon_server.intake.group import Group
from gnomon_server.intake.repair import complete_trace_index
from gnomon_server.store.durable_store import DurableStore

LISTED = (
    "SELECT hex(trace_id) AS id, sum(spans) AS spans, sum(errors) AS errors FROM trace_index GROUP BY id ORDER BY id"
)


async def test_missing_traces_are_listed_again(store: DurableStore) -> None:
    """Traces that are missing, whole or in part, are completed; those that are whole are left as they are."""
    now = time.time_ns()
    for part in range(2):
        spans = [
            {
                "trace_id": bytes([trace] * 16),
                "span_id": bytes([trace, part, number, 1, 1, 1, 1, 1]),
                "name": "work",
                "start_time_unix_nano": now,
                "end_time_unix_nano": now + 1000,
            }
            for trace in range(1, 6)
            for number in range(3)
        ]
        batch = decode_traces(otlp.traces("shop", spans).SerializeToString(), "default", DecodeContext())
        await store.insert(Group.of([(batch, 1)], lambda _tenant, _signal: 7).inserts())
    whole = await _listed(store)
    assert [row["spans"] for row in whole] == [6] * 5
    await store.command(
        "ALTER TABLE trace_index DELETE WHERE trace_id = unhex(repeat('01', 16))", settings={"mutations_sync": 2}
    )
    await store.command(
        "ALTER TABLE trace_index UPDATE spans = 2 WHERE trace_id = unhex(repeat('02', 16))",
        settings={"mutations_sync": 2},
    )
    assert await _listed(store) != whole
    for _ in range(2):
        await complete_trace_index(store)
        assert await _listed(store) == whole


async def _listed(store: DurableStore) -> list[dict[str, object]]:
    table: pa.Table = (await store.query(LISTED))[0]
    return list(table.to_pylist())
