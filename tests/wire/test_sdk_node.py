"""The stock OpenTelemetry SDK for Node on its three protocols: what it sends comes back as it was sent."""

import json
import os
import subprocess
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

SCOPE = "wire.node"
SCRIPTS = Path(__file__).parent / "node"
MODULES = Path(__file__).parents[2] / "examples" / "trio" / "node_modules"  # the demo's: the same SDK, installed once


@dataclass(frozen=True)
class Sent:
    """What the script said it sent, and as which service."""

    service: str
    attributes: dict[str, Any]
    bodies: list[Any]
    second: int
    root: dict[str, str]
    child: dict[str, str]

    def time(self, nanoseconds: int) -> str:
        """A time of the script as the API writes it."""
        return f"{datetime.fromtimestamp(self.second, UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds:09}Z"


def exactly(value: Any) -> Any:
    """A value with its types spelled out, so that 3 and 3.0, 1 and True differ."""
    if isinstance(value, dict):
        return {key: exactly(item) for key, item in value.items()}
    if isinstance(value, list):
        return [exactly(item) for item in value]
    return (type(value).__name__, value)


def run(gnomon: Any, script: str, protocol: str, **variables: str) -> tuple[str, str]:
    """Run a script on a protocol; it has flushed everything when it ends. Returns the service and what it printed."""
    if not MODULES.is_dir():
        missing = "the Node SDK is not installed: run `npm ci` in examples/trio"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    service = f"node-{uuid.uuid4().hex[:12]}"
    environment = {
        "PATH": os.environ["PATH"],
        "NODE_PATH": str(MODULES),
        "OTEL_SERVICE_NAME": service,
        "OTEL_RESOURCE_ATTRIBUTES": "service.instance.id=i-1",
        "OTEL_NODE_RESOURCE_DETECTORS": "env",
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{gnomon.otlp_grpc}" if protocol == "grpc" else gnomon.otlp_http,
        "OTEL_METRICS_EXPORTER": "otlp",
        "OTEL_LOGS_EXPORTER": "otlp",
    }
    command = ["node", str(SCRIPTS / script)]
    done = subprocess.run(command, env=environment | variables, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return service, done.stdout.strip()


def send(gnomon: Any, protocol: str, **variables: str) -> Sent:
    """Send one of everything on a protocol."""
    service, printed = run(gnomon, "send.js", protocol, **variables)
    return Sent(service, **json.loads(printed))


@pytest.fixture(
    scope="module",
    params=["grpc", "grpc gzip", "http/protobuf", "http/protobuf gzip", "http/json", "http/json gzip"],
)
def sent(gnomon: Any, request: pytest.FixtureRequest) -> Sent:
    """One of everything, sent on each protocol, compressed and not."""
    protocol, _, packing = request.param.partition(" ")
    return send(gnomon, protocol, OTEL_EXPORTER_OTLP_COMPRESSION=packing or "none")


def test_spans(gnomon: Any, sent: Sent) -> None:
    """Ids, kinds, status, times to the nanosecond and attributes of every type, events' and links' too, come back."""
    spans = {span["name"]: span for span in gnomon.get(f"/traces/{sent.root['trace_id']}")["spans"]}
    root, child = spans["root"], spans["child"]
    assert (root["span_id"], root["parent_id"], root["kind"]) == (sent.root["span_id"], "", "server")
    assert (child["span_id"], child["parent_id"], child["kind"]) == (sent.child["span_id"], root["span_id"], "client")
    assert (root["status"], root["status_message"], child["status"]) == ("error", "no cat", "ok")
    assert (root["start"], root["duration_ns"]) == (sent.time(123_456_789), 876_543_210)
    assert (child["start"], child["duration_ns"]) == (sent.time(200_000_000), 10)
    assert (root["service"], root["scope"]) == (sent.service, SCOPE)
    moment, exception = root["events"]
    (link,) = root["links"]
    for where in (root["attributes"], moment["attributes"], link["attributes"]):
        assert exactly(where) == exactly(sent.attributes)
    assert (moment["time"], exception["time"]) == (sent.time(123_456_790), sent.time(300_000_000))
    assert exception["attributes"]["exception.type"] == "RangeError"
    assert (link["trace_id"], link["span_id"]) == ("0" * 31 + "a", "0" * 15 + "b")


def test_log_bodies(gnomon: Any, sent: Sent) -> None:
    """A body of any type comes back as that type."""
    logs = gnomon.get("/logs", service=sent.service)["logs"]
    stored = {log["attributes"]["number"]: log["body"] for log in logs if "number" in log["attributes"]}
    assert exactly(stored) == exactly(dict(enumerate(sent.bodies)))


def test_log_fields(gnomon: Any, sent: Sent) -> None:
    """Severity, event name, times, attributes with bytes and maps, and the trace come back."""
    (log,) = gnomon.get("/logs", trace_id=sent.root["trace_id"])["logs"]
    beyond_spans = {"bytes": {"$bytes": "AP8Q"}, "map": {"a": {"b": [1, "two"]}}}
    assert exactly(log["attributes"]) == exactly(sent.attributes | beyond_spans)
    assert (log["time"], log["observed"]) == (sent.time(987_654_321), sent.time(987_654_322))
    assert (log["severity_number"], log["severity_text"], log["severity"]) == (18, "grave", "error")
    assert (log["event"], log["body"], log["scope"]) == ("wire.event", "it broke", SCOPE)
    assert (log["trace_id"], log["span_id"]) == (sent.root["trace_id"], sent.root["span_id"])


def metric(gnomon: Any, service: str, name: str) -> list[dict[str, Any]]:
    """All samples of a metric."""
    query = "SELECT labels, value FROM metrics WHERE service = {service:String} AND metric = {metric:String}"
    return gnomon.sql(query, service=service, metric=name)


def check_metrics(gnomon: Any, service: str) -> None:
    """Compare each metric of a service with what the script recorded."""
    for name, value, colour in (
        ("wire_requests_total", 7, "red"),
        ("wire_sent_bytes_total", 0.25, "red"),
        ("wire_level", -2, None),
        ("wire_temperature_celsius", -273.15, "red"),
        ("wire_cpu_seconds_total", 1.5, "red"),
        ("wire_heap_bytes", -4, None),
        ("wire_ratio", 0.75, None),
        ("wire_latency_seconds_count", 6, "red"),
        ("wire_latency_seconds_sum", pytest.approx(555.65), "red"),
    ):
        (row,) = metric(gnomon, service, name)
        assert (row["value"], row["labels"].get("colour")) == (value, colour), name
    buckets = metric(gnomon, service, "wire_latency_seconds_bucket")
    assert {float(row["labels"]["le"]): row["value"] for row in buckets} == {0.1: 2, 1: 3, 10: 4, float("inf"): 6}
    (row,) = gnomon.sql(
        "SELECT count, sum, zero_count FROM histograms WHERE service = {service:String} AND metric = 'wire_size_bytes'",
        service=service,
    )
    assert (row["count"], row["sum"], row["zero_count"]) == (5, 1_000_007, 1)


def test_metrics(gnomon: Any, sent: Sent) -> None:
    """Every metric kind, cumulative, has the values recorded."""
    check_metrics(gnomon, sent.service)


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf", "http/json"])
def test_delta_metrics(gnomon: Any, protocol: str) -> None:
    """Every metric kind, sent as deltas where it can be, has the same values."""
    sent = send(gnomon, protocol, OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE="delta")
    check_metrics(gnomon, sent.service)


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf", "http/json"])
def test_odd_numbers_spoil_nothing(gnomon: Any, protocol: str) -> None:
    """Numbers that the exporter cannot write down cost at most themselves: what stands beside them is stored."""
    service, trace_id = run(gnomon, "odd.js", protocol)
    spans = {span["name"]: span["attributes"] for span in gnomon.get(f"/traces/{trace_id}")["spans"]}
    assert spans["before"] == {}
    assert spans["after"] == {"plain": 1}
    assert spans["odd"]["plain"] == 1
    assert spans["odd"]["holes"] == [None, "x"]
    if protocol != "http/json":
        assert spans["odd"]["huge"] == 1e300
        assert spans["odd"]["infinite"] == {"$double": "-Infinity"}
        assert spans["odd"]["not a number"] == {"$double": "NaN"}
    assert [row["value"] for row in metric(gnomon, service, "wire_even")] == [2]
