"""To an OTLP receiver that is not ours: Datadog's test agent (`pip install ddapm-test-agent`, in a place of its own).

Skipped where `ddapm-test-agent` is not on the path.
"""

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.sdk.export.receivers import SCOPE
from tests.waiting import until

from gnomon.config.export import ExportSettings
from gnomon.export.destinations import pumps
from gnomon.export.outlet import Batch, Outlet, Signal
from gnomon.process.identity import Identity
from gnomon.wire import logs, metrics, spans
from gnomon.wire.attributes import KeyValues
from gnomon.wire.envelope import request

AGENT = shutil.which("ddapm-test-agent")
pytestmark = pytest.mark.skipif(AGENT is None, reason="ddapm-test-agent is not on the path")


def ports(number: int) -> list[int]:
    """So many that nobody listens on."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    found = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return found


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """The agent's ports for OTLP over HTTP and over gRPC."""
    main, http, grpc = ports(3)
    folder: Path = tmp_path_factory.mktemp("agent")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(AGENT), f"--port={main}", f"--otlp-http-port={http}", f"--otlp-grpc-port={grpc}"],
            cwd=folder, stdout=log, stderr=log,
        )  # fmt: skip

    def listening() -> bool:
        assert process.poll() is None, (folder / "log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", http)) == 0

    until(listening)
    yield http, grpc
    process.terminate()
    process.wait(20)


def flat(answer: Any) -> Any:
    """All texts and numbers of an answer."""
    if isinstance(answer, dict | list):
        for inner in answer.values() if isinstance(answer, dict) else answer:
            yield from flat(inner)
    else:
        yield answer


@pytest.mark.parametrize("way", ["plain", "gzip", "grpc"])
def test_a_foreign_receiver_reads_all_signals(agent: tuple[int, int], way: Any) -> None:
    """What it read of our bytes, in its own words, is what was recorded."""
    http, grpc = agent
    outlets = {signal: Outlet(signal) for signal in Signal}
    identity = Identity({"service.name": f"t1-{way}"}, "0")
    settings = ExportSettings(
        endpoint=f"http://127.0.0.1:{grpc if way == 'grpc' else http}",
        protocol="grpc" if way == "grpc" else "http/protobuf",
        compression="gzip" if way == "gzip" else "none",
    )

    def encode(_: Outlet, batch: Batch) -> bytes:
        return request(identity.encoded, batch.groups)

    (pump,) = pumps(settings, outlets, encode, lambda *_: None)
    now_ns = time.time_ns()
    rest = spans.named(f"span {way}", 2) + KeyValues(9).encode({"text": "ü", "number": 7, "list": [1.5, True]})
    outlets[Signal.TRACES].lane(SCOPE).put(spans.span(b"t" * 16, b"s" * 8, None, now_ns, now_ns + 5, 1, rest))
    body, _ = logs.Bodies().of(f"line {way}")
    outlets[Signal.LOGS].lane(SCOPE).put(logs.record(now_ns, None, logs.severity(9, "info") + body))
    point = metrics.Buckets((("a", "b"),), now_ns - 10, 6.0, (1.0, 5.0), (1, 2, 0))
    for _, records in metrics.encode([metrics.Family(f"m.{way}", metrics.HISTOGRAM, "", "s", now_ns, (point,))]):
        outlets[Signal.METRICS].lane(SCOPE).put(records[0])
    pump.start()
    assert pump.flush(20.0)
    assert pump.shutdown(5.0)
    assert [outlet.counts.sent for outlet in outlets.values()] == [1, 1, 1]
    for signal, expected in (("traces", f"span {way}"), ("logs", f"line {way}"), ("metrics", f"m.{way}")):
        with urllib.request.urlopen(f"http://127.0.0.1:{http}/test/session/{signal}", timeout=20) as answer:
            seen = set(map(str, flat(json.load(answer))))
        assert {expected, f"t1-{way}"} <= seen
        assert signal != "traces" or {"ü", "7", "1.5", "True"} <= seen
