"""A receiver that takes everything at once and counts later, so that it stays out of the way: `sink.py PORT`.

It knows OTLP, Logfire's and Sentry's addresses, Datadog's agent (with DogStatsD on the same port of UDP) and Elastic's
intake. `GET /counts` decodes what has come so far and answers the totals; `POST /reset` begins anew.
"""

import asyncio
import gzip
import json
import re
import sys
import zlib
from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgpack
import uvicorn
import uvloop
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

# The histograms of requests, by whatever name; what a stack says of itself does not count.
OURS = re.compile(r"http[._]server|rpc[._]|bench[._]")
CUMULATIVE = 2


class Received:
    """What has come, and what was counted of it."""

    def __init__(self) -> None:
        self.waiting: list[tuple[str, str, bytes]] = []
        self.totals: Counter[str] = Counter()
        self.last: dict[Any, int] = {}

    def counts(self) -> dict[str, int]:
        """Records so far, by pillar."""
        waiting, self.waiting = self.waiting, []
        for path, encoding, body in waiting:
            self._count(path, _inflated(encoding, body))
        totals = Counter(self.totals)
        totals["metrics"] += sum(self.last.values())
        return dict(totals)

    def _count(self, path: str, body: bytes) -> None:
        totals = self.totals
        totals["requests"] += 1
        totals["bytes"] += len(body)
        if path.endswith("/v1/traces"):
            for span in _spans(body):
                totals[_logfire_kind(span)] += 1
        elif path.endswith("/v1/logs"):
            totals["logs"] += sum(
                len(scope.log_records)
                for resource in ExportLogsServiceRequest.FromString(body).resource_logs
                for scope in resource.scope_logs
            )
        elif path.endswith("/v1/metrics"):
            self._points(body)
        elif path.endswith("/envelope/"):
            _envelope(body, totals)
        elif path.endswith("/traces"):
            totals["spans"] += _datadog(path, body)
        elif path == "udp":
            totals["metrics"] += sum(1 for line in body.splitlines() if OURS.match(line.decode()))
        elif path.startswith("/intake"):
            self._elastic(body)

    def _points(self, body: bytes) -> None:
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    kind = metric.WhichOneof("data")
                    if kind not in ("histogram", "exponential_histogram") or not OURS.match(metric.name):
                        continue
                    data = getattr(metric, kind)
                    for point in data.data_points:
                        if data.aggregation_temporality == CUMULATIVE:
                            labels = sorted(str(pair) for pair in point.attributes)
                            self.last[metric.name, *labels] = point.count
                        else:
                            self.totals["metrics"] += point.count

    def _elastic(self, body: bytes) -> None:
        for line in body.splitlines():
            event = json.loads(line)
            if "transaction" in event or "span" in event:
                self.totals["spans"] += 1
            for name, sample in event.get("metricset", {}).get("samples", {}).items():
                if "counts" in sample and OURS.search(name):
                    self.totals["metrics"] += sum(sample["counts"])


def _inflated(encoding: str, body: bytes) -> bytes:
    if encoding == "gzip":
        return gzip.decompress(body)
    return zlib.decompress(body) if encoding == "deflate" else body


def _spans(body: bytes) -> Iterable[Any]:
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        for scope in resource.scope_spans:
            yield from scope.spans


def _logfire_kind(span: Any) -> str:
    """Logfire's lines are spans of a kind, and so are those that only say that a span has begun."""
    for pair in span.attributes:
        if pair.key == "logfire.span_type":
            return {"log": "logs", "pending_span": "pending"}.get(pair.value.string_value, "spans")
    return "spans"


def _envelope(body: bytes, totals: Counter[str]) -> None:
    at = body.index(b"\n") + 1
    while at < len(body):
        end = body.index(b"\n", at)
        header = json.loads(body[at:end])
        length = header["length"]
        item, at = body[end + 1 : end + 1 + length], end + 2 + length
        kind = header["type"]
        if kind == "transaction":
            totals["spans"] += 1 + len(json.loads(item)["spans"])
        elif kind in ("log", "trace_metric", "span"):
            name = {"log": "logs", "trace_metric": "metrics", "span": "spans"}[kind]
            totals[name] += header["item_count"]
        elif kind == "client_report":
            for lost in json.loads(item)["discarded_events"]:
                totals["lost " + lost["category"]] += lost["quantity"]


def _datadog(path: str, body: bytes) -> int:
    found = msgpack.unpackb(body, strict_map_key=False)
    if "v0.5" in path:  # a table of strings stands before it
        found = found[1]
    return sum(map(len, found))


class Statsd(asyncio.DatagramProtocol):
    """DogStatsD."""

    def datagram_received(self, data: bytes, _address: Any) -> None:
        """Keep it."""
        received.waiting.append(("udp", "", data))


received = Received()
ANSWERS = {
    "/info": {"endpoints": ["/v0.4/traces", "/v0.5/traces", "/v0.6/stats"], "version": "7.60.0"},
    "/v1/info": {"project_name": "bench", "project_url": "http://127.0.0.1"},
    "/": {"version": "9.0.0", "build_date": "2026-01-01T00:00:00Z"},
}


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Everything is welcome."""
    global received  # noqa: PLW0603 - the one of this process
    if scope["type"] != "http":
        return
    path, pieces, more = scope["path"], [], True
    while more:
        message = await receive()
        pieces.append(message.get("body", b""))
        more = message.get("more_body", False)
    headers = dict(scope["headers"])
    status, answer, kind = 200, b"{}", b"application/json"
    if path == "/counts":
        answer = json.dumps(received.counts()).encode()
    elif path == "/reset":
        received = Received()
    elif path in ANSWERS:
        answer = json.dumps(ANSWERS[path]).encode()
    elif path.startswith("/intake"):
        status = 202
    elif "/traces" in path and path.startswith("/v0"):
        answer = b'{"rate_by_service":{}}'
    elif path.startswith("/v1/"):
        answer, kind = b"", b"application/x-protobuf"
    received.waiting.append((path, headers.get(b"content-encoding", b"").decode(), b"".join(pieces)))
    await send({"type": "http.response.start", "status": status, "headers": [
        (b"content-type", kind), (b"content-length", b"%d" % len(answer)),
    ]})  # fmt: skip
    await send({"type": "http.response.body", "body": answer})


async def main(port: int) -> None:
    """Both sockets, until told to stop."""
    await asyncio.get_running_loop().create_datagram_endpoint(Statsd, ("127.0.0.1", port))
    config = uvicorn.Config(app, port=port, log_level="warning", lifespan="off", access_log=False)
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
