"""What is said of metrics is stored once, whichever way it came: the decoders' keys are those that intake remembers."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from batches import Counts
from reference import Disk, ReferenceStore
from tests import otlp
from tests.remote_write import V1, request

from gnomon_server.decode.otlp.context import DecodeContext
from gnomon_server.decode.otlp.metrics import decode_metrics
from gnomon_server.decode.remote_write.context import WriteContext
from gnomon_server.decode.remote_write.request import Message, decode_write
from gnomon_server.intake.writer import Intake, IntakeLimits
from gnomon_server.model.batch import Batch

DAY_NS = 86_400_000_000_000
NOON_NS = 20_000 * DAY_NS + DAY_NS // 2


class OneTenant:
    """All are tenant 1."""

    async def number(self, name: str) -> int:  # noqa: ARG002  (Tenants)
        return 1


@pytest.fixture
async def intake() -> AsyncIterator[Intake]:
    """Over the reference store."""
    made = Intake(ReferenceStore(Disk()), OneTenant(), lambda *_: 7, Counts(), IntakeLimits(commit_interval_s=0))
    await made.start()
    yield made
    await made.stop()


def sum_of(at_ns: int, **fields: Any) -> bytes:
    """A counter with a description, and what differs."""
    body = otlp.gauge("unused", [])
    del body.resource_metrics[0].scope_metrics[0].metrics[:]
    metric = (
        body.resource_metrics[0]
        .scope_metrics[0]
        .metrics.add(**{"name": "requests", "unit": "1", "description": "How many.", **fields})
    )
    metric.metadata.extend(otlp.pairs({"b": "2", "a": "1"}))
    metric.sum.is_monotonic, metric.sum.aggregation_temporality = True, 2
    metric.sum.data_points.add(time_unix_nano=at_ns, as_int=1)
    return body.SerializeToString()


def described(batch: Batch) -> Batch:
    """Its descriptive rows alone: of points the store would be asked, and this one speaks no SQL."""
    return replace(
        batch,
        tables={name: batch.tables[name] for name in ("resources", "metric_meta", "series") if name in batch.tables},
    )


async def test_otlp_sends_a_description_once_and_again_only_when_it_changes(intake: Intake) -> None:
    """The second equal request holds no row of `metric_meta`, nor does one of another day; another text does."""
    context = DecodeContext(seen=intake.seen)
    first = decode_metrics(sum_of(NOON_NS), "acme", context)
    assert first.tables["metric_meta"].num_rows == 1
    assert first.tables["metric_meta"]["s"].to_pylist() == [[("a", "1"), ("b", "2")]]
    await intake.submit(described(first))
    for later_ns in (1_000_000, DAY_NS):
        assert "metric_meta" not in decode_metrics(sum_of(NOON_NS + later_ns), "acme", context).tables
    changed = decode_metrics(sum_of(NOON_NS, description="How many there were."), "acme", context)
    assert changed.tables["metric_meta"]["help"].to_pylist() == ["How many there were."]


async def test_remote_write_sends_a_description_once(intake: Intake) -> None:
    """Likewise; and another tenant's is its own."""
    context = WriteContext(seen=intake.seen)
    context.latest_ms = 2 * NOON_NS // 1_000_000
    series = [{"labels": {"__name__": "requests_total"}, "samples": [(1.0, NOON_NS // 1_000_000)]}]
    said = [{"type": 1, "metric_family_name": "requests_total", "help": "How many."}]
    body = request(V1, series, said)
    first = decode_write(body, Message.V1, "acme", context).batch
    assert first.tables["metric_meta"].num_rows == 1
    await intake.submit(described(first))
    assert "metric_meta" not in decode_write(body, Message.V1, "acme", context).batch.tables
    assert decode_write(body, Message.V1, "bank", context).batch.tables["metric_meta"].num_rows == 1
