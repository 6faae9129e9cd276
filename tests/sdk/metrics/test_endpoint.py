"""`/metrics` in an application, beside it, and read by a real Prometheus."""

import gzip
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

import fastapi
import httpx
import pytest

from gnomon.errors import MetricsError
from gnomon.metrics import Counter, Endpoint, Histogram, ObservableGauge, Registry, set_exemplar_source


@pytest.fixture
def registry() -> Registry:
    """A registry of its own."""
    registry = Registry()
    Counter("served", "Served", registry=registry).inc(3)
    return registry


@pytest.fixture
def endpoint(registry: Registry) -> Iterator[Endpoint]:
    """An endpoint without the host's registries."""
    made = Endpoint(registry, resource={"service.name": "shop"}, registries=[])
    yield made
    made.close()


async def test_it_is_mounted_into_fastapi(endpoint: Endpoint) -> None:
    """As an ASGI application."""
    app = fastapi.FastAPI()
    app.mount("/metrics", endpoint.asgi)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        answer = await client.get("/metrics/")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
        assert "served_total 3\n" in answer.text
        answer = await client.get("/metrics/", headers={"accept": "application/openmetrics-text; version=1.0.0"})
        assert answer.headers["content-type"].startswith("application/openmetrics-text")
        answer = await client.head("/metrics/")
        assert (answer.status_code, answer.content) == (200, b"")
    sent = []
    await endpoint.asgi({"type": "lifespan"}, None, sent.append)
    assert sent == []


def test_it_is_a_wsgi_application(endpoint: Endpoint) -> None:
    """For Flask and Django."""
    started = []
    (body,) = endpoint.wsgi({}, lambda *told: started.append(told))
    assert started[0][0] == "200 OK"
    assert b"served_total 3\n" in body
    assert endpoint.wsgi({"REQUEST_METHOD": "HEAD"}, lambda *_: None) == [b""]


def test_a_long_answer_is_packed_for_those_who_take_it(registry: Registry, endpoint: Endpoint) -> None:
    """A short one is not."""
    assert "content-encoding" not in dict(endpoint.answer("", "gzip")[1])
    histogram = Histogram("long", registry=registry)
    for number in range(20):
        histogram.observe(1, x=number)
    _, headers, body = endpoint.answer("", "br, GZIP;q=0.5")
    assert dict(headers)["content-encoding"] == "gzip"
    assert dict(headers)["content-length"] == str(len(body))
    assert b"long_count" in gzip.decompress(body)
    for refused in ("", "br", "gzip;q=0"):
        assert "content-encoding" not in dict(endpoint.answer("", refused)[1])


def test_a_server_of_its_own_answers_on_its_port(endpoint: Endpoint, registry: Registry) -> None:
    """On a port of its own; a port that is taken is refused with a hint."""
    port = endpoint.serve(0)
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        assert b"served_total 3\n" in answer.read()
    with urlopen(Request(f"http://127.0.0.1:{port}/", method="HEAD"), timeout=5) as answer:
        assert answer.read() == b""
    other = Endpoint(registry, registries=[])
    with pytest.raises(MetricsError, match="Choose another port"):
        other.serve(port)
    other.close()


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("::1", ["[::1]"]),
        ("[::1]", ["[::1]"]),
        ("::", ["[::1]", "127.0.0.1"]),
        ("0.0.0.0", ["127.0.0.1"]),
        ("localhost", ["127.0.0.1"]),
    ],
)
def test_where_the_server_listens(endpoint: Endpoint, host: str, asked: list[str]) -> None:
    """IPv6, with brackets or without; every address, of both kinds; a name, which is IPv4's if it is either's."""
    port = endpoint.serve(0, host)
    for one in asked:
        with urlopen(f"http://{one}:{port}/metrics", timeout=5) as answer:
            assert b"served_total 3\n" in answer.read()


def test_our_own_name_is_not_looked_up(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an answer from the DNS an application would wait for it when it starts."""
    monkeypatch.setattr(socket, "getfqdn", lambda name="": pytest.fail(f"{name} was looked up"))
    assert endpoint.serve(0, "0.0.0.0")


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "no-such-host.invalid"])
def test_an_address_that_is_not_ours(endpoint: Endpoint, host: str) -> None:
    """Refused with the address and what to change."""
    with pytest.raises(MetricsError, match=f"at {host}, port 0.*address of this machine"):
        endpoint.serve(0, host)


def test_what_fails_is_an_answer_too(
    endpoint: Endpoint, registry: Registry, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """500 without details, which are in the log."""
    port = endpoint.serve(0)
    monkeypatch.setattr(registry, "collect", lambda: 1 / 0)
    status, _, body = endpoint.answer()
    assert (status, b"see the log" in body) == (500, True)
    with pytest.raises(URLError, match="500"):
        urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5)
    assert "ZeroDivisionError" in caplog.text
    monkeypatch.undo()


def test_the_hosts_registry_is_found_by_itself(registry: Registry) -> None:
    """prometheus_client's own, as soon as it is imported; this test's process has it."""
    import prometheus_client  # noqa: F401, PLC0415 - its import is the point

    made = Endpoint(registry)
    assert b"python_info{" in made.answer()[2]
    made.close()


def test_a_real_prometheus_scrapes_it_with_exemplars(tmp_path: Path, endpoint: Endpoint, registry: Registry) -> None:
    """MET-01, MET-03: `up` is 1, rate() and histogram_quantile() give what was measured, exemplars arrive."""
    began_s = time.monotonic()
    ObservableGauge("elapsed", lambda: time.monotonic() - began_s, registry=registry)
    histogram = Histogram("took", "Time", unit="s", bounds=(0.1, 0.2, 0.4), registry=registry)
    counter = registry.get("served")
    set_exemplar_source(lambda: (b"\1" * 16, b"\2" * 8))
    port = endpoint.serve(0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        own = free.getsockname()[1]
    (tmp_path / "prometheus.yml").write_text(
        json.dumps(
            {
                "global": {"scrape_interval": "250ms", "scrape_timeout": "250ms"},
                "scrape_configs": [{"job_name": "shop", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}],
            }
        )
    )
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={tmp_path}/prometheus.yml",
                f"--storage.tsdb.path={tmp_path}/data",
                f"--web.listen-address=127.0.0.1:{own}",
                "--enable-feature=exemplar-storage",
            ],
            stdout=log,
            stderr=log,
            env={**os.environ},
        )

    def ask(path: str) -> Any:
        with urlopen(f"http://127.0.0.1:{own}/api/v1/{path}", timeout=5) as answer:
            return json.load(answer)["data"]

    def value(query: str) -> float:
        result = ask(f"query?query={quote(query)}")["result"]
        return float(result[0]["value"][1]) if result else float("nan")

    try:
        waited = time.monotonic() + 30
        found: dict[str, float] = {}
        while time.monotonic() < waited:
            counter.inc()
            for taken in (0.05, 0.15, 0.15, 0.3):
                histogram.observe(taken)
            time.sleep(0.05)
            try:
                found = {
                    "up": value("up"),
                    "rates": value("rate(served_total[5s]) / rate(took_seconds_count[5s])"),
                    "median": value("histogram_quantile(0.5, rate(took_seconds_bucket[5s]))"),
                    "exemplars": len(ask("query_exemplars?query=took_seconds_bucket&start=0&end=9999999999")),
                }
            except OSError:  # it is still starting
                continue
            if found["up"] == 1 and found["exemplars"] and abs(found["rates"] - 0.25) < 0.02:
                break
        assert found["up"] == 1
        assert found["rates"] == pytest.approx(0.25, abs=0.02)
        assert found["median"] == pytest.approx(0.15, abs=0.01)
        assert found["exemplars"] > 0
    finally:
        set_exemplar_source(None)
        process.terminate()
        process.wait(20)
