"""The OpenTelemetry Metrics API over our registry."""

from typing import Any

import pytest
from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from gnomon.metrics import MeterProvider, Registry


@pytest.fixture
def registry() -> Registry:
    """A registry of its own."""
    return Registry()


@pytest.fixture
def meter(registry: Registry) -> metrics.Meter:
    """A meter of a library."""
    return MeterProvider(registry).get_meter("library", "1.2", "https://schema", {"a": "b"})


def read(registry: Registry) -> Any:
    """Each family's points."""
    return {family.name: family.points for family in registry.collect()}


def test_the_seven_instruments_measure_into_the_registry(registry: Registry, meter: metrics.Meter) -> None:
    """With the meter's scope, whatever the attributes are called."""
    meter.create_counter("c", "By", "Doc").add(2, {"x": 1, "self": "y"})
    meter.create_up_down_counter("u").add(-2)
    meter.create_gauge("g").set(1.5, {"x": "1"})
    meter.create_histogram("h", "s", explicit_bucket_boundaries_advisory=[1, 2]).record(1.5)
    meter.create_observable_counter("oc", [lambda _: [Observation(3, {"x": 1}), Observation(4)]])
    meter.create_observable_up_down_counter("ou", [lambda _: [Observation(-1)]])
    meter.create_observable_gauge("og", [lambda _: [Observation(9)], lambda _: [Observation(8, {"x": 1})]])
    found = read(registry)
    assert found["c"][0].labels == (("self", "y"), ("x", 1))
    assert [points[0].value for name, points in found.items() if name in ("c", "u", "g")] == [2, -2, 1.5]
    assert (found["h"][0].bounds, found["h"][0].counts) == ((1.0, 2.0), (0, 1, 0))
    assert [[point.value for point in found[name]] for name in ("oc", "ou", "og")] == [[3, 4], [-1], [9, 8]]
    (scope,) = {family.scope for family in registry.collect()}
    assert (scope.name, scope.version, scope.schema_url, scope.attributes) == (
        "library",
        "1.2",
        "https://schema",
        (("a", "b"),),
    )


def test_histograms_without_advice_have_the_usual_bounds(registry: Registry, meter: metrics.Meter) -> None:
    """Ours for seconds, OTel's for all else; advice makes no other instrument."""
    first = meter.create_histogram("h")
    first.record(7)
    meter.create_histogram("h", explicit_bucket_boundaries_advisory=[1]).record(7)
    meter.create_histogram("d", "s").record(0.01)
    found = read(registry)
    assert found["h"][0].bounds[:3] == (0.0, 5.0, 10.0)
    assert sum(found["h"][0].counts) == 2
    assert found["d"][0].bounds[0] == 0.005


def test_what_is_refused_does_nothing(
    registry: Registry, meter: metrics.Meter, caplog: pytest.LogCaptureFixture
) -> None:
    """A library must not fail for a name of its choice; it is said."""
    meter.create_counter("taken").add(1)
    refused = [
        meter.create_up_down_counter("taken"),
        meter.create_counter("no name"),
        meter.create_gauge("no name"),
        meter.create_histogram("taken"),
    ]
    refused[0].add(1)
    refused[1].add(1)
    refused[2].set(1)
    refused[3].record(1)
    meter.create_observable_gauge("taken", [lambda _: [Observation(1)]])
    assert {name: points[0].value for name, points in read(registry).items()} == {"taken": 1}
    assert "an OpenTelemetry instrument measures nothing" in caplog.text


def test_callbacks_may_be_generators_and_may_fail(
    registry: Registry, meter: metrics.Meter, caplog: pytest.LogCaptureFixture
) -> None:
    """One that fails leaves the other alone; making the instrument again adds its callbacks."""

    def counting() -> Any:
        options = yield []
        for number in range(5):
            assert isinstance(options, CallbackOptions)
            options = yield [Observation(number)]

    meter.create_observable_gauge("og", [counting(), lambda _: 1 / 0])
    meter.create_observable_gauge("og", [lambda _: [Observation(7, {"x": 1})]])
    assert [[point.value for point in read(registry)["og"]] for _ in range(2)] == [[0, 7], [1, 7]]
    assert "ZeroDivisionError" in caplog.text


def test_the_api_finds_it(registry: Registry) -> None:
    """Instruments made through the API's own functions, given our provider."""
    metrics.get_meter("mine", meter_provider=MeterProvider(registry)).create_counter("c").add(1)
    assert read(registry)["c"][0].value == 1
