"""What misdirected senders are told: by the first bytes of a connection, by the path of a request."""

import pytest

from gnomon_server.selfmon.registry import Registry
from gnomon_server.selfmon.turned_away import DoorBook
from gnomon_server.transport.strangers import by_first_bytes, by_path


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "grpc_on_http_port"),
        (b"\x16\x03\x01\x02\x00", "tls_on_plain_port"),
        (b"hello\n", None),
        (b"", None),
    ],
)
def test_first_bytes(data: bytes, code: str | None) -> None:
    """GRPC and TLS are known, the rest is not guessed."""
    found = by_first_bytes(data)
    assert (found.code if found else None) == code
    assert found is None or found.hint


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        *(("POST", path, None) for path in ("/v1/traces", "/v1/metrics", "/v1/logs", "/api/gnomon/v1/sql")),
        ("POST", "/anything", None),
        *(("GET", path, None) for path in ("/", "/services", "/traces/00ff", "/logs", "/metrics", "/healthz")),
        *(("GET", path, None) for path in ("/api/gnomon/v1/traces", "/api/gnomon/v1/logs", "/api/gnomon/v1/metrics")),
        *(
            ("POST", path, "otlp_wrong_path")
            for path in (
                "/", "/v1", "/v1/", "/v1/trace", "/v1/span", "/v1/log", "/v1/metric", "/v1/traces/", "/v2/traces",
                "/v1/traces/v1/traces", "/otlp/v1/traces", "/api/v1/otlp/v1/metrics", "/otlp", "/traces", "/metrics",
                "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            )
        ),
        *(("POST", path, "loki_unserved") for path in ("/loki/api/v1/push", "/api/prom/push")),
        ("GET", "/loki/api/v1/labels", "loki_unserved"),
        *(("POST", path, "prometheus_unserved") for path in ("/api/v1/import", "/prometheus/api/v1/import")),
        *(("POST", path, None) for path in ("/api/v1/write", "/api/v1/push", "/prometheus/api/v1/write")),
        *(("POST", path, "elasticsearch_unserved") for path in ("/_bulk", "/logs-app/_doc", "/shop/_bulk")),
        ("GET", "/_cluster/health", "elasticsearch_unserved"),
        ("POST", "/api/v2/spans", "zipkin_unserved"),
        ("POST", "/api/traces", "jaeger_unserved"),
        ("POST", "/v0.4/traces", "datadog_unserved"),
        ("POST", "/api/v2/write", "influx_unserved"),
        ("POST", "/services/collector/event", "splunk_unserved"),
    ],
)  # fmt: skip
def test_paths(method: str, path: str, code: str | None) -> None:
    """What is served passes; what an endpoint becomes when it is written wrongly is known, and other products' APIs."""
    found = by_path(method, path)
    assert (found.code if found else None) == code


class _Ticking:
    def __init__(self) -> None:
        self.now = 0

    def now_ns(self) -> int:
        self.now += 1
        return self.now


def test_the_book_is_bounded_and_keeps_the_newest() -> None:
    """One entry a sender and reason, the latest first; ever new senders push out the oldest; what they say is cut."""
    registry = Registry()
    book = DoorBook(registry, _Ticking())
    for number in range(2_000):
        book.turn_away("http", "otlp_wrong_path", f"10.0.0.{number % 700}", "x" * 1000, "y" * 1000)
    listed = book.listed()
    assert len(listed) == 500
    assert listed[0]["peer"] == f"10.0.0.{1999 % 700}"
    assert len(listed[0]["seen"]) == len(listed[0]["agent"]) == 120
    assert registry.total("gnomon_turned_away_total", reason="otlp_wrong_path", listener="http") == 2_000
    book.turn_away("http", "token_unknown", listed[0]["peer"], "a")
    book.turn_away("http", "token_unknown", listed[0]["peer"], "b")
    newest = book.listed()[0]
    assert (newest["count"], newest["seen"], newest["reason"]) == (2, "b", "token_unknown")
