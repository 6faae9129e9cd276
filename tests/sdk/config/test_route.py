"""Where a signal goes."""

from typing import Any

import pytest

from gnomon.config.route import Route, Signal, route
from gnomon.config.sources import load


def way(signal: Signal = "traces", /, **given: Any) -> Route:
    """The route of a signal under some settings of the export."""
    return route(load({"export": given}, environment={}).export, signal)


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({}, "http://localhost:4318/v1/traces"),
        ({"endpoint": "https://c/base/"}, "https://c/base/v1/traces"),
        ({"endpoint": "c:4318"}, "https://c:4318/v1/traces"),
        ({"endpoint": "c:4318", "insecure": True}, "http://c:4318/v1/traces"),
        ({"endpoint": "https://c:1", "insecure": True}, "https://c:1/v1/traces"),
        ({"protocol": "grpc"}, "http://localhost:4317"),
        ({"protocol": "grpc", "endpoint": "http://c:4317"}, "http://c:4317"),
        ({"endpoint": "http://c:1", "traces": {"endpoint": "http://d:2/in"}}, "http://d:2/in"),
        ({"traces": {"protocol": "grpc"}}, "http://localhost:4317"),
    ],
)
def test_urls(given: dict[str, Any], url: str) -> None:
    """The shared address is a base, a signal's own is used as it is; a scheme goes before `insecure`."""
    assert way(**given).url == url


@pytest.mark.parametrize(
    ("given", "gzip"),
    [
        ({}, False),
        ({"endpoint": "http://127.0.0.9:1"}, False),
        ({"endpoint": "http://[::1]:1"}, False),
        ({"endpoint": "http://collector:4318"}, True),
        ({"compression": "gzip"}, True),
        ({"endpoint": "http://collector:4318", "compression": "none"}, False),
    ],
)
def test_compression(given: dict[str, Any], gzip: bool) -> None:
    """Left alone, what stays on the machine is not compressed."""
    assert way(**given).gzip is gzip


def test_a_signals_own() -> None:
    """What a signal sets holds for it alone; headers are added to the shared ones."""
    given = {
        "headers": "a=1,b=2", "timeout_s": 3, "queue_size": 5,
        "logs": {"headers": "B=3", "timeout_s": 4, "protocol": "none", "insecure": False},
    }  # fmt: skip
    logs, metrics = way("logs", **given), way("metrics", **given)
    assert (logs.headers, logs.timeout_s, logs.protocol, logs.queue_size) == ({"a": "1", "b": "3"}, 4, "none", 5)
    assert (metrics.headers, metrics.timeout_s, metrics.protocol) == ({"a": "1", "b": "2"}, 3, "http/protobuf")
    assert "'1'" not in repr(metrics)
