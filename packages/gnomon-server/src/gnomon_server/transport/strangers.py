"""What senders meant who came to the wrong place: told by the first bytes of a connection, or by a request's path.

A misdirected exporter gets an answer that names the cure, and is noted in the book, so that the operator sees it too:
its own log says it at best once. A path is struck from the list when it is served.
"""

import re

from starlette.types import ASGIApp, Receive, Scope, Send

from gnomon_server.errors import GnomonError, Internal, InvalidInput, NotFound, RetryableError
from gnomon_server.selfmon.turned_away import DoorBook
from gnomon_server.transport.reply import response

_OTLP = frozenset({"/v1/traces", "/v1/metrics", "/v1/logs"})
_GRPC_PREFACE = b"PRI * HTTP/2.0"  # RFC 9113, 3.4
PROBE_NAME = "gnomon-doctor.invalid"
"""Whom the doctor asks for in a handshake that only finds out what a port speaks: nobody to be noted."""
_TLS_HANDSHAKE = b"\x16\x03"  # RFC 8446, 5.1: a handshake record of any version


_SHOWN_BYTES = 24
_AN_OTLP_PATH = (
    "OTLP over HTTP is POST to /v1/traces, /v1/metrics and /v1/logs: give the exporter the endpoint without a path "
    "(OTEL_EXPORTER_OTLP_ENDPOINT), or the whole one (OTEL_EXPORTER_OTLP_TRACES_ENDPOINT)"
)
_SEND_OTLP = "send OTLP instead (an OpenTelemetry Collector or Grafana Alloy receives the one and exports the other)"

# By the start of a path, any method; the first that fits. Sources: the products' HTTP API pages.
_UNSERVED: tuple[tuple[re.Pattern[str], str, str], ...] = (
    (re.compile(r"/loki/api/|/api/prom/push"), "loki_unserved", "Loki's API"),
    (
        re.compile(r"(/prometheus)?/api/v1/import\b"),
        "prometheus_unserved",
        "Prometheus' API",
    ),
    (
        re.compile(r"/_bulk|/[^/]+/_(bulk|doc|create|search)\b|/_(cluster|cat|template|index_template|ilm)\b"),
        "elasticsearch_unserved",
        "Elasticsearch's API",
    ),
    (re.compile(r"/api/v[12]/spans\b"), "zipkin_unserved", "Zipkin's API"),
    (re.compile(r"/api/traces\b|/jaeger"), "jaeger_unserved", "Jaeger's API"),
    (
        re.compile(r"/v0\.\d/(traces|stats)|/api/(v2/series|v\d/check_run)\b|/intake/"),
        "datadog_unserved",
        "Datadog's API",
    ),
    (re.compile(r"/(api/v2/)?write$"), "influx_unserved", "InfluxDB's API"),
    (re.compile(r"/services/collector"), "splunk_unserved", "Splunk's event collector"),
)
# POST only: what an OTLP endpoint becomes when it is written down wrongly.
_NEAR_OTLP = re.compile(
    r"/(v\d+/?)?|.*/v\d+/(traces?|spans?|metrics?|logs?)/?|/(otlp|api/v1/otlp|traces?|spans?|metrics?|logs?)(/.*)?"
    r"|/opentelemetry\.proto\..*"
)


def by_first_bytes(data: bytes) -> GnomonError | None:
    """What somebody speaks who does not speak HTTP/1.1; None when it is nothing known."""
    if data.startswith(_GRPC_PREFACE):
        return InvalidInput(
            "grpc_on_http_port",
            "this is gRPC (HTTP/2), and this port speaks HTTP/1.1",
            hint="send to the port of otlp.grpc (4317), or set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
        )
    if data.startswith(_TLS_HANDSHAKE):
        return InvalidInput(
            "tls_on_plain_port",
            "this is TLS, and this port is plain HTTP",
            hint="write http:// in the exporter's endpoint, or set tls.cert and tls.key here",
        )
    return None


def by_path(method: str, path: str) -> GnomonError | None:
    """What a request meant whose path is not served; None for a path that means nothing known."""
    if path in _OTLP:
        return None
    for pattern, code, what in _UNSERVED:
        if pattern.match(path):
            return NotFound(code, f"{method} {path[:100]}: {what} is not served here", "path", _SEND_OTLP)
    if method == "POST" and _NEAR_OTLP.fullmatch(path):
        return NotFound("otlp_wrong_path", f"POST {path[:100]}: OTLP is not served at this path", "path", _AN_OTLP_PATH)
    return None


class Strangers:
    """ASGI middleware: answers those whom `by_path` knows, and notes them in the book."""

    def __init__(self, app: ASGIApp, listener: str, book: DoorBook) -> None:
        self._app = app
        self._listener = listener
        self._book = book

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or refuse."""
        error = by_path(scope["method"], scope["path"]) if scope["type"] == "http" else None
        await (self.refuse(error) if error else self._app)(scope, receive, send)

    def connection(self, error: GnomonError, peer: str, data: bytes) -> None:
        """Note a connection that was turned away before it made a request; not the doctor's."""
        if PROBE_NAME.encode() not in data:
            self._book.turn_away(self._listener, error.code, peer, repr(data[:_SHOWN_BYTES])[2:-1])

    def refuse(self, error: GnomonError) -> ASGIApp:
        """The answer to a request that is turned away."""

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            note(self._book, self._listener, error, scope)
            await response(error)(scope, receive, send)

        return answer


def note(book: DoorBook, listener: str, error: GnomonError, scope: Scope) -> None:
    """Note an HTTP request that is refused for what its sender did; not one that may come again, nor our own fault."""
    if isinstance(error, RetryableError | Internal):
        return
    agent = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"user-agent"), "")
    peer = (scope.get("client") or ("",))[0]
    book.turn_away(listener, error.code, peer, f"{scope['method']} {scope['path']}", agent)
