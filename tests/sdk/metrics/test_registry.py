"""The registry: names, labels, collisions."""

from typing import Any

import pytest

from gnomon.errors import MetricsError
from gnomon.metrics import Counter, Gauge, Histogram, MetricsCollector, Registry, Summary, default_registry
from gnomon.wire.envelope import Scope


@pytest.fixture
def registry() -> Registry:
    """A registry of its own."""
    return Registry()


@pytest.mark.parametrize("name", ["bad-name", "1a", "", "_a", "a b", "ä", "a\n", "a" * 256, None])
def test_names_that_are_none_are_refused(registry: Registry, name: Any) -> None:
    """With what would be one."""
    with pytest.raises(MetricsError, match=r"is not allowed\. Use letters"):
        Counter(name, registry=registry)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (("__x",), "reserved"),
        (("a-b",), "not allowed"),
        (("a", "a"), "stands twice"),
        (("le",), "its own label 'le'"),
        ("method", r"Write labels=\('method',\)"),
        ((1,), "not allowed"),
    ],
)
def test_labels_that_cannot_be_are_refused(registry: Registry, labels: Any, said: str) -> None:
    """Reserved, double, taken by the format, or no names."""
    with pytest.raises(MetricsError, match=said):
        Histogram("a", labels=labels, registry=registry)


def test_a_summary_keeps_quantile_to_itself(registry: Registry) -> None:
    """As a histogram keeps `le`."""
    with pytest.raises(MetricsError, match="quantile"):
        Summary("a", labels=("quantile",), registry=registry)


def test_the_same_signature_gives_the_same_object(registry: Registry) -> None:
    """Two modules may ask for one metric."""
    first = Counter("a", "First", ("x",), unit="By", registry=registry)
    assert Counter("a", "Second", ["x"], unit="By", registry=registry) is first
    assert Counter("a", registry=Registry()) is not first
    assert registry.get("a") is first
    assert registry.get("b") is None


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda registry: Gauge("a", labels=("x",), registry=registry), "type is 'Counter' there and 'Gauge' here"),
        (
            lambda registry: Counter("a", labels=("y",), registry=registry),
            r"labels is \('x',\) there and \('y',\) here",
        ),
        (lambda registry: Counter("a_total", labels=("x",), registry=registry), "both are 'a_total' in Prometheus"),
    ],
)
def test_a_collision_names_both_owners(registry: Registry, made: Any, said: str) -> None:
    """File and line of either, what differs, and what to do."""
    Counter("a", labels=("x",), registry=registry)
    with pytest.raises(MetricsError, match=said) as raised:
        made(registry)
    assert str(raised.value).count("test_registry:") == 2
    assert raised.value.hint.startswith("Rename one of them")


def test_histograms_with_other_bounds_collide(registry: Registry) -> None:
    """Their buckets could not be added up."""
    Histogram("a", bounds=(1,), registry=registry)
    with pytest.raises(MetricsError, match=r"bounds is \(1.0,\) there and \(2.0,\) here"):
        Histogram("a", bounds=(2,), registry=registry)


def test_scopes_keep_the_same_name_apart(registry: Registry) -> None:
    """Two instrumentation libraries may use one name."""
    ours = Counter("a", registry=registry)
    theirs = Counter("a", scope=Scope("library"), registry=registry)
    assert theirs is not ours
    assert registry.get("a", Scope("library")) is theirs


def test_what_is_unregistered_is_free_again(registry: Registry) -> None:
    """For tests and plugins."""
    Counter("a", registry=registry).inc()
    registry.unregister("a")
    registry.unregister("a")
    assert registry.collect() == []
    Gauge("a", registry=registry)


def test_settings_that_make_no_sense_are_refused(registry: Registry) -> None:
    """A cap of nothing, a way to merge that there is not."""
    with pytest.raises(MetricsError, match="leaves no room"):
        Registry(cap=0)
    with pytest.raises(MetricsError, match="Use one of sum, max, min, latest"):
        Gauge("a", workers="median", registry=registry)


def test_the_collector_makes_each_type(registry: Registry) -> None:
    """MET-01: a facade for a service, with a namespace."""
    metrics = MetricsCollector("shop", "astra", registry=registry)
    metrics.counter("requests_total", "Requests", ("method",)).inc(method="GET")
    metrics.up_down_counter("open").inc()
    metrics.gauge("limit").set(1)
    metrics.histogram("duration", unit="s").observe(0.1)
    metrics.exponential_histogram("size", unit="By").observe(10)
    metrics.summary("wait", unit="s").observe(1)
    assert [family.name for family in metrics.collect()] == [
        "astra_requests_total",
        "astra_open",
        "astra_limit",
        "astra_duration",
        "astra_size",
        "astra_wait",
    ]
    assert metrics.endpoint is metrics.endpoint
    assert metrics.endpoint.answer()[0] == 200
    metrics.endpoint.close()
    with pytest.raises(MetricsError):
        MetricsCollector("shop", "bad-name")
    assert MetricsCollector("shop").registry is default_registry()
