"""To the real server, packed and plain: what the records' own tables say arrived."""

import time
import uuid
from typing import Any

import pytest
from tests.server import Server
from tests.waiting import until

from gnomon.config.export import ExportSettings
from gnomon.export.destinations import pumps
from gnomon.export.outlet import Batch, Outlet, Signal
from gnomon.process.identity import Identity
from gnomon.process.ids import Ids
from gnomon.wire import logs, metrics, spans
from gnomon.wire.attributes import KeyValues
from gnomon.wire.envelope import Scope, request


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_all_signals_reach_the_server(gnomon: Server, compression: Any) -> None:
    """A span, a log record and a metric of a service arrive with what they were recorded with; none is rejected."""
    service, scope, now_ns = f"t1-{uuid.uuid4()}", Scope("tests", "1.0"), time.time_ns()
    identity = Identity({"service.name": service}, "0")
    ids, outlets = Ids(), {signal: Outlet(signal) for signal in Signal}

    def encode(_: Outlet, batch: Batch) -> bytes:
        return request(identity.encoded, batch.groups)

    settings = ExportSettings(endpoint=gnomon.otlp_http, compression=compression)
    (pump,) = pumps(settings, outlets, encode, lambda *_: None)
    trace, root = ids.trace(), ids.span()
    rest = spans.named("GET /t1", 2) + KeyValues(9).encode({"http.route": "/t1", "n": 7})
    outlets[Signal.TRACES].lane(scope).put(spans.span(trace, root, None, now_ns - 5_000_000, now_ns, 1, rest))
    body, _ = logs.Bodies().of("hello from t1")
    record = logs.record(now_ns, (trace, root, True), logs.severity(9, "info") + body)
    outlets[Signal.LOGS].lane(scope).put(record)
    family = metrics.Family("t1.runs", metrics.COUNTER, "", "1", now_ns, (metrics.Number((), now_ns - 10**9, 3),))
    for _, records in metrics.encode([family]):
        outlets[Signal.METRICS].lane(scope).put(records[0])
    pump.start()
    assert pump.flush(20.0)
    assert pump.shutdown(5.0)
    assert {signal: (one.counts.sent, dict(one.counts.dropped)) for signal, one in outlets.items()} == dict.fromkeys(
        Signal, (1, {})
    )

    def arrived(table: str) -> list[dict[str, Any]]:
        query = f"SELECT * FROM {table} WHERE service = {{service:String}}"
        return gnomon.sql(query, service=service)

    until(lambda: arrived("spans") and arrived("logs"))
    ((span,), (line,)) = arrived("spans"), arrived("logs")
    assert "GET /t1" in span.values()
    assert "hello from t1" in line.values()
