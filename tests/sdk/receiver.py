"""A small receiver of OTLP over HTTP: it keeps what it is sent, read by the generated classes, and counts it."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

REQUESTS = {
    "/v1/traces": ExportTraceServiceRequest,
    "/v1/metrics": ExportMetricsServiceRequest,
    "/v1/logs": ExportLogsServiceRequest,
}


class Receiver(ThreadingHTTPServer):
    """Takes everything, or answers `status` to all.

    Attributes:
        received: path and parsed request, in the order of arrival.
        status: what is answered.
    """

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.received: list[tuple[str, Any]] = []
        self.status = 200

    @property
    def url(self) -> str:
        """What an SDK is given as its endpoint."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def spans(self) -> list[Any]:
        """All spans."""
        return [span for _, span in self.spans_by_resource()]

    @property
    def logs(self) -> list[Any]:
        """All log records."""
        return [
            record
            for path, request in list(self.received)
            if path == "/v1/logs"
            for resource in request.resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]

    @property
    def metrics(self) -> list[Any]:
        """All metrics of all pushes."""
        return [metric for _, metric in self.metrics_by_instance()]

    def metrics_by_instance(self) -> list[tuple[str, Any]]:
        """Each metric of each push, in order, with the id of the process that sent it."""
        return [
            (attributes(resource.resource)["service.instance.id"], metric)
            for path, request in list(self.received)
            if path == "/v1/metrics"
            for resource in request.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        ]

    def spans_by_resource(self) -> list[tuple[dict[str, Any], Any]]:
        """Each span under the attributes of its resource."""
        return [
            (attributes(resource.resource), span)
            for path, request in list(self.received)
            if path == "/v1/traces"
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A sender that was killed is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Receiver

    def do_POST(self) -> None:
        """Read, keep, answer."""
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        if self.server.status == 200:
            self.server.received.append((self.path, REQUESTS[self.path].FromString(body)))
        self.send_response(self.server.status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing."""


def attributes(owner: Any) -> dict[str, Any]:
    """The attributes of a resource, span, event, link, point or record."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "", None) for pair in owner.attributes}


@contextmanager
def receiving(port: int = 0) -> Iterator[Receiver]:
    """A receiver that listens."""
    receiver = Receiver(port)
    thread = threading.Thread(target=receiver.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield receiver
    finally:
        receiver.shutdown()
        receiver.server_close()
        thread.join()
