"""What a scrape reads: names, formats, negotiation, overflow, and the host's own prometheus_client."""

import subprocess
from typing import Any

import prometheus_client
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from gnomon.metrics import (
    Counter,
    ExponentialHistogram,
    Gauge,
    Histogram,
    Registry,
    Summary,
    UpDownCounter,
    foreign,
    names,
    set_exemplar_source,
)
from gnomon.metrics.exposition import OPENMETRICS, TEXT, negotiate, render
from gnomon.wire.envelope import Scope


@pytest.fixture
def registry() -> Registry:
    """A registry of its own."""
    return Registry()


@pytest.fixture
def full(registry: Registry) -> Registry:
    """One instrument of each kind, with values that need care."""
    Counter("shop.orders", 'Said "paid"\nand \\ kept', registry=registry).inc(3, way='a"b\\c\nd')
    UpDownCounter("shop.open", "Open", registry=registry).inc(2)
    Gauge("shop.load", "Load", unit="1", registry=registry).set(float("inf"))
    Histogram("shop.duration", "Time", unit="s", bounds=(0.1, 1), registry=registry).observe(0.5, route="/x")
    Histogram("shop.change", "Below zero", bounds=(-1, 1), registry=registry).observe(-5)
    exponential = ExponentialHistogram("shop.size", "Size", unit="By", registry=registry)
    for value in (0, 1, 3, 1000):
        exponential.observe(value)
    Summary("shop.wait", "Wait", unit="s", registry=registry).observe(7)
    return registry


@pytest.mark.parametrize(
    ("name", "unit", "kind", "shown"),
    [
        ("http.server.request.duration", "s", "histogram", "http_server_request_duration_seconds"),
        ("http_requests_total", "", "counter", "http_requests_total"),
        ("http.requests", "{request}", "counter", "http_requests_total"),
        ("memory.usage", "By", "up_down_counter", "memory_usage_bytes"),
        ("cpu.utilization", "1", "gauge", "cpu_utilization_ratio"),
        ("disk.speed", "By/s", "gauge", "disk_speed_bytes_per_second"),
        ("a.total.time", "ms", "counter", "a_time_milliseconds_total"),
        ("x__y", "", "gauge", "x_y"),
        ("1x", "", "gauge", "_1x"),
        ("a", "%", "gauge", "a_percent"),
    ],
)
def test_names_follow_the_rules_of_opentelemetry(name: str, unit: str, kind: str, shown: str) -> None:
    """Escaped with underscores, unit and `_total` as suffixes."""
    assert names.exposed(name, unit, kind) == shown


def test_labels_follow_the_rules_of_opentelemetry() -> None:
    """Escaped likewise."""
    assert [names.label(name) for name in ("http.method", "1a", "__x", "a-b")] == [
        "http_method",
        "key_1a",
        "key__x",
        "a_b",
    ]
    assert [names.label_value(value) for value in (True, False, 1, 1.5, "x")] == ["true", "false", "1", "1.5", "x"]


def test_the_text_is_what_promtool_takes(full: Registry) -> None:
    """The real binary finds nothing to complain of, and Prometheus' own parser reads the values back."""
    body = render(full.collect(), resource={"service.name": "shop", "a": 1})
    checked = subprocess.run(["promtool", "check", "metrics"], input=body, capture_output=True, check=False)
    assert (checked.stdout, checked.stderr, checked.returncode) == (b"", b"", 0)
    found = {family.name: family for family in parse_text(body.decode())}
    assert {name: family.type for name, family in found.items()} == {
        "target_info": "gauge",
        "shop_orders": "counter",
        "shop_open": "gauge",
        "shop_load_ratio": "gauge",
        "shop_duration_seconds": "histogram",
        "shop_change": "histogram",
        "shop_size_bytes": "histogram",
        "shop_wait_seconds": "summary",
    }
    assert found["shop_orders"].samples[0].labels == {"way": 'a"b\\c\nd'}
    assert found["shop_orders"].samples[0].value == 3
    assert found["target_info"].samples[0].labels == {"service_name": "shop", "a": "1"}
    assert [sample.value for sample in found["shop_duration_seconds"].samples] == [0, 1, 1, 0.5, 1]
    assert [sample.name for sample in found["shop_wait_seconds"].samples] == [
        "shop_wait_seconds_sum",
        "shop_wait_seconds_count",
    ]
    size = {sample.labels.get("le"): sample.value for sample in found["shop_size_bytes"].samples}
    assert (size["0.0"], size["1.0"], size["4.0"], size["1024.0"], size["+Inf"]) == (1, 2, 3, 4, 4)


@pytest.mark.parametrize("created", [False, True])
def test_openmetrics_is_what_its_parser_takes(full: Registry, created: bool) -> None:
    """A strict parser reads it, exemplars and creation times as well."""
    set_exemplar_source(lambda: (b"\1" * 16, b"\2" * 8))
    try:
        histogram = full.get("shop.duration")
        full.collect()
        histogram.observe(0.7, route="/x")
        histogram.observe(70, route="/x")
        full.get("shop.orders").inc(way="card")
    finally:
        set_exemplar_source(None)
    body = render(full.collect(), OPENMETRICS, resource={"service.name": "shop"}, created=created).decode()
    assert body.endswith("# EOF\n")
    found = {family.name: family for family in parse_openmetrics(body)}
    assert found["target"].type == "info"
    marked = [sample.exemplar for sample in found["shop_duration_seconds"].samples if sample.exemplar]
    assert [(one.labels["trace_id"], one.labels["span_id"], one.value) for one in marked] == [
        ("01" * 16, "02" * 8, 0.7),
        ("01" * 16, "02" * 8, 70.0),
    ]
    assert [sample.exemplar.value for sample in found["shop_orders"].samples if sample.exemplar] == [1.0]
    assert ("shop_orders_created" in body) is created


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        ("text/plain", TEXT),
        ("application/openmetrics-text", OPENMETRICS),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1", OPENMETRICS),
        ("application/openmetrics-text; version=0.0.1", TEXT),
        ("application/openmetrics-text;q=0.1, text/plain;q=0.9", TEXT),
        ("application/openmetrics-text;q=x", TEXT),
        ("text/html, Application/OpenMetrics-Text; version=1.0.0", OPENMETRICS),
    ],
)
def test_the_format_is_negotiated(accept: str, form: str) -> None:
    """OpenMetrics for those who prefer it."""
    assert negotiate(accept) == form


def test_what_came_after_the_cap_is_other(registry: Registry) -> None:
    """In all labels that the family has; without labels there is nothing to call other."""
    counter = Counter("a", cap=1, registry=registry)
    for number in range(3):
        counter.inc(x=str(number), y="1")
    lines = render(registry.collect()).decode().splitlines()
    assert 'a_total{x="0",y="1"} 1' in lines
    assert 'a_total{x="other",y="other"} 2' in lines
    assert 'gnomon_metrics_overflow_total{instrument="a",label="x"} 2' in lines


def test_scopes_are_told_apart_by_a_label(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    """Of two kinds under one name the first is shown, and it is said."""
    Counter("scoped.a", registry=registry).inc()
    Counter("scoped.a", scope=Scope("library"), registry=registry).inc(2)
    Gauge("scoped.a_total", scope=Scope("other"), registry=registry).set(3)
    body = render(registry.collect()).decode()
    assert body.count("# TYPE scoped_a_total counter") == 1
    assert "scoped_a_total 1\n" in body
    assert 'scoped_a_total{otel_scope_name="library"} 2' in body
    assert "other" not in body
    assert "the first is shown" in caplog.text


def test_labels_that_become_one_are_joined(registry: Registry) -> None:
    """As the OTel rules ask."""
    Counter("a", registry=registry).inc(**{"x.y": "1", "x_y": "2"})
    assert 'a_total{x_y="1;2"} 1' in render(registry.collect()).decode()


def test_the_hosts_own_registry_is_shown_as_it_is() -> None:
    """Each type of prometheus_client, as its own exposition has it."""
    theirs = prometheus_client.CollectorRegistry()
    prometheus_client.Counter("c", "Doc", ["x"], registry=theirs).labels("1").inc(
        2, {"trace_id": "01" * 16, "span_id": "02" * 8}
    )
    prometheus_client.Gauge("g__x", "Doc", registry=theirs).set(1.5)
    prometheus_client.Histogram("h", "Doc", ["x"], registry=theirs).labels("1").observe(
        0.3, {"trace_id": "03" * 16, "span_id": "02" * 8}
    )
    prometheus_client.Summary("s", "Doc", registry=theirs).observe(2)
    prometheus_client.Info("i", "Doc", registry=theirs).info({"v": "1"})
    prometheus_client.Enum("e", "Doc", states=["a", "b"], registry=theirs).state("b")
    families = foreign.families([theirs])
    shown = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in parse_text(render(families).decode())
        for sample in family.samples
    }
    expected = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in theirs.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    }
    assert shown == expected
    strict = {family.name: family for family in parse_openmetrics(render(families, OPENMETRICS).decode())}
    assert strict["c"].samples[0].exemplar.labels["trace_id"] == "01" * 16
    assert [sample.exemplar.value for sample in strict["h"].samples if sample.exemplar] == [0.3]


def test_ours_wins_where_the_hosts_has_the_same_name(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    """And it is said once; a registry that fails is said as well."""
    theirs = prometheus_client.CollectorRegistry()
    prometheus_client.Counter("clashing", "Doc", registry=theirs).inc(9)
    Counter("clashing", registry=registry).inc(1)
    for _ in range(2):
        body = render([*registry.collect(), *foreign.families([theirs])]).decode()
        assert "clashing_total 1\n" in body
        assert "9" not in body
    assert caplog.text.count("clashing_total comes from gnomon and prometheus_client") == 1

    class Failing:
        def collect(self) -> Any:
            raise RuntimeError("theirs")

    assert foreign.families([Failing()]) == []
    assert "theirs" in caplog.text


def test_quantiles_of_foreign_summaries_are_kept() -> None:
    """Some collectors have them."""
    from prometheus_client.core import SummaryMetricFamily  # noqa: PLC0415 - used here alone

    metric = SummaryMetricFamily("s", "Doc", count_value=2, sum_value=3)
    metric.add_sample("s", {"quantile": "0.5"}, 1.5)
    collector = type("Collector", (), {"collect": lambda _: [metric]})()
    assert 's{quantile="0.5"} 1.5\n' in render(foreign.families([collector])).decode()
