"""Instruments and their cells: what is counted, what is refused, and that threads and forks lose nothing."""

import os
import sys
import threading
from collections.abc import Iterator
from decimal import Decimal
from http import HTTPStatus
from typing import Any

import numpy as np
import pytest

from gnomon.errors import MetricsError
from gnomon.metrics import (
    Counter,
    Deltas,
    ExponentialHistogram,
    Gauge,
    Histogram,
    ObservableCounter,
    ObservableGauge,
    ObservableUpDownCounter,
    Registry,
    Summary,
    UpDownCounter,
    set_exemplar_source,
)
from gnomon.metrics.cells import CounterCell, locked


@pytest.fixture
def registry() -> Registry:
    """A registry of its own."""
    return Registry()


@pytest.fixture
def spans() -> Iterator[list[Any]]:
    """A current span for exemplars, for the length of a test."""
    current = [(b"t" * 16, b"s" * 8)]
    set_exemplar_source(lambda: current[0])
    yield current
    set_exemplar_source(None)


def points(registry: Registry, name: str) -> Any:
    """The points of one family, by labels."""
    return {point.labels: point for family in registry.collect() if family.name == name for point in family.points}


def test_a_counter_counts_by_labels(registry: Registry) -> None:
    """Every way of counting reaches the same cell, in whatever order the labels are written."""
    counter = Counter("a", labels=("x", "y"), registry=registry)
    counter.inc(x="1", y="2")
    counter.add(2, y="2", x="1")
    counter.labels(x="1", y="2").inc(3)
    counter.cell("1", "2").add(4)
    assert {labels: point.value for labels, point in points(registry, "a").items()} == {(("x", "1"), ("y", "2")): 10}


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), "x", None, 1j])
def test_a_counter_refuses_what_is_no_count(registry: Registry, value: Any) -> None:
    """The measured code goes on, the sum stays, and the refusal is counted."""
    counter = Counter("a", registry=registry)
    counter.inc(2)
    counter.inc(value)
    assert points(registry, "a")[()].value == 2
    assert points(registry, "gnomon.metrics.refused")[("instrument", "a"),].value == 1


@pytest.mark.parametrize("kind", [Histogram, ExponentialHistogram, Summary])
@pytest.mark.parametrize("value", [float("nan"), float("-inf"), "x", None])
def test_a_histogram_refuses_what_is_no_measurement(registry: Registry, kind: Any, value: Any) -> None:
    """Neither bucket nor sum takes it."""
    made = kind("a", registry=registry)
    made.observe(1.0)
    made.observe(value)
    assert points(registry, "a")[()].sum == 1.0
    assert made.refused == 1


def test_an_up_down_counter_and_a_gauge_move_both_ways(registry: Registry) -> None:
    """And a gauge takes any number, NaN as well."""
    level, gauge = UpDownCounter("a", registry=registry), Gauge("b", registry=registry)
    level.inc(5)
    level.dec(2)
    level.labels().dec()
    level.inc("x")
    gauge.set(Decimal("1.5"))
    gauge.inc()
    gauge.dec(0.5)
    gauge.labels().dec(1)
    gauge.inc("x")
    gauge.set("x")
    assert points(registry, "a")[()].value == 2
    assert points(registry, "b")[()].value == 1.0
    assert (level.refused, gauge.refused) == (1, 2)
    gauge.set(float("nan"))
    assert points(registry, "b")[()].value != points(registry, "b")[()].value


def test_a_histogram_counts_into_the_bucket_whose_bound_is_reached(registry: Registry) -> None:
    """Bounds are inclusive, and what is above all of them has a bucket, too."""
    histogram = Histogram("a", bounds=(1, 2), registry=registry)
    for value in (0.5, 1, 1.5, 2, 3, np.float64(4), Decimal(1)):
        histogram.observe(value)
    point = points(registry, "a")[()]
    assert (point.bounds, point.counts, point.sum) == ((1.0, 2.0), (2, 2, 2), 12.0)
    assert histogram.refused == 1  # a Decimal cannot be added to a float


@pytest.mark.parametrize("bounds", [(2, 1), (1, 1), (1, float("inf"))])
def test_bounds_that_do_not_ascend_are_refused(registry: Registry, bounds: Any) -> None:
    """At registration, with the cure."""
    with pytest.raises(MetricsError, match="Give finite upper bounds"):
        Histogram("a", bounds=bounds, registry=registry)


def test_label_values_keep_their_types_and_lose_their_subclasses(registry: Registry) -> None:
    """True is not 1, and an HTTPStatus is a number."""
    counter = Counter("a", registry=registry)
    for value in (1, True, "1", HTTPStatus.OK, 200, np.float64(0.5), [1, "x"], {"a": 1}, object):
        counter.inc(x=value)
    found = [point.labels[0][1] for family in registry.collect() for point in family.points]
    assert found == [1, True, "1", 200, 0.5, (1, "x"), "{'a': 1}", str(object)]
    assert [type(value) for value in found[:5]] == [int, bool, str, int, float]


def test_wrong_labels_are_counted_all_the_same(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    """What is missing is empty, what is too much is left out, and it is said once."""
    counter = Counter("wrong.labels", labels=("x",), registry=registry)
    counter.inc(y="1")
    counter.inc(x="1", y="2")

    class Odd:
        def __str__(self) -> str:
            raise ValueError

    counter.inc(x=Odd())
    assert {labels: point.value for labels, point in points(registry, "wrong.labels").items()} == {
        (("x", ""),): 1,
        (("x", "1"),): 1,
        (("x", "<Odd>"),): 1,
    }
    assert caplog.text.count("was given") == 1


def test_a_million_ids_stay_under_the_cap(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    """Series and memory stay as they are, the total is right, and the label at fault is named, once."""
    counter = Counter("visits", cap=100, registry=registry)
    for number in range(200):
        counter.inc(user=f"u{number}", page="/")
    used = resident()
    for number in range(1_000_000):
        counter.inc(user=f"v{number}", page="/")
    assert resident() - used < 4 << 20
    found = points(registry, "visits")
    assert len(found) == 101
    assert sum(point.value for point in found.values()) == 1_000_200
    assert found[("otel.metric.overflow", True),].value == 1_000_100
    dropped = points(registry, "gnomon.metrics.overflow")
    assert dropped[("instrument", "visits"), ("label", "user")].value == 1_000_100
    assert caplog.text.count("'user'") == 1


def resident() -> int:
    """Bytes in memory."""
    with open("/proc/self/statm", encoding="ascii") as told:  # noqa: PTH123 - two fields of one line
        return int(told.read().split()[1]) * 4096


@pytest.mark.parametrize("kind", [Counter, UpDownCounter, Gauge, Histogram, ExponentialHistogram, Summary])
def test_threads_lose_nothing(registry: Registry, kind: Any) -> None:
    """Eight threads that are switched as often as possible count exactly, while somebody reads."""
    made = kind("a", registry=registry)
    values = [2**number for number in range(40)] if kind is ExponentialHistogram else [1]
    each = 20_000

    def measure() -> None:
        cell = made.labels(x="1")
        observe = getattr(cell, "observe", None) or cell.add
        for number in range(each):
            observe(values[number % len(values)])

    threads = [threading.Thread(target=measure) for _ in range(8)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            for point in points(registry, "a").values():
                if kind is Histogram:
                    assert sum(point.counts) == point.sum
                if kind is Summary:
                    assert point.count == point.sum
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    (point,) = points(registry, "a").values()
    total = 8 * sum(values) * each // len(values)
    assert getattr(point, "value", None) == total or point.sum == total
    if kind is ExponentialHistogram:
        assert point.count == 8 * each


def test_without_a_gil_the_cell_has_a_lock(registry: Registry) -> None:
    """The wrapper that free-threaded builds get holds the lock while it counts."""
    seen = []
    cell = CounterCell("a", ())

    @locked
    def add(cell: CounterCell, value: int) -> None:
        seen.append(cell.lock.locked())
        CounterCell.add(cell, value)

    add(cell, 2)
    assert (seen, cell.value, cell.lock.locked()) == ([True], 2, False)


def test_a_forked_child_begins_at_nothing(registry: Registry) -> None:
    """The parent keeps what it counted; in the child the same cells go on from 0, and gauges stay as set."""
    counter, gauge = Counter("a", registry=registry), Gauge("b", registry=registry)
    exponential, cell = ExponentialHistogram("c", registry=registry), counter.labels(x="y")
    cell.add(5)
    gauge.set(7)
    exponential.observe(3)
    start_ns = points(registry, "a")[("x", "y"),].start_ns
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        cell.add(1)
        found = points(registry, "a")[("x", "y"),]
        told = (
            found.value,
            points(registry, "b")[()].value,
            points(registry, "c")[()].count,
            found.start_ns > start_ns,
        )
        os.write(writing, repr(told).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 100) == b"(1, 7, 0, True)"
    assert points(registry, "a")[("x", "y"),].value == 5
    os.close(reading)
    os.close(writing)


def test_observables_are_asked_when_read(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    """One number or several with labels; a callback that fails leaves the others alone."""
    state = {"n": 1}
    ObservableCounter("a", lambda: state["n"], registry=registry)
    ObservableUpDownCounter("b", lambda: [(1, {"x": 1}), (2, {"x": 2})], registry=registry)
    ObservableGauge("failing.callback", lambda: 1 / 0, registry=registry)
    state["n"] = 5
    assert points(registry, "a")[()].value == 5
    assert [point.value for point in points(registry, "b").values()] == [1, 2]
    assert points(registry, "failing.callback") == points(registry, "failing.callback") == {}
    assert caplog.text.count("ZeroDivisionError") == 1


def test_an_observable_has_a_cap_as_well(registry: Registry) -> None:
    """What comes after it is added up."""
    ObservableCounter("a", lambda: [(1, {"x": number}) for number in range(10)], cap=3, registry=registry)
    found = points(registry, "a")
    assert len(found) == 4
    assert found[("otel.metric.overflow", True),].value == 7


def test_exemplars_are_kept_bucket_by_bucket(registry: Registry, spans: Any) -> None:
    """The first measurement of each bucket after a collection carries its span; without a source none does."""
    histogram = Histogram("a", bounds=(1, 2), registry=registry)
    counter = Counter("b", registry=registry)
    exponential = ExponentialHistogram("c", registry=registry)
    for value in (0.5, 0.6, 1.5):
        histogram.observe(value)
    counter.inc(3)
    exponential.observe(4)
    found = points(registry, "a")[()].exemplars
    assert [(one.value, one.trace_id, one.span_id) for one in found] == [
        (0.5, b"t" * 16, b"s" * 8),
        (1.5, b"t" * 16, b"s" * 8),
    ]
    assert points(registry, "b")[()].exemplars[0].value == 3
    assert points(registry, "c")[()].exemplars[0].value == 4
    histogram.observe(0.7)
    assert points(registry, "a")[()].exemplars[0].value == 0.7
    spans[0] = None  # not sampled: the last one stays
    histogram.observe(0.8)
    assert points(registry, "a")[()].exemplars[0].value == 0.7


def test_a_source_of_exemplars_that_fails_is_no_reason_not_to_count(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said once."""
    set_exemplar_source(lambda: 1 / 0)
    try:
        counter = Counter("a", registry=registry)
        counter.inc()
        counter.inc()
    finally:
        set_exemplar_source(None)
    assert points(registry, "a")[()].value == 2
    assert caplog.text.count("source of exemplars failed") == 1


def test_deltas_are_what_came_since_the_last_time(registry: Registry) -> None:
    """Counters and histograms count from the last collection, gauges stay what they are."""
    counter, gauge = Counter("a", registry=registry), Gauge("b", registry=registry)
    histogram = Histogram("c", bounds=(1,), registry=registry)
    exponential = ExponentialHistogram("d", registry=registry)
    deltas = Deltas()

    def read() -> Any:
        taken = registry.collect()
        return taken[0].time_ns, {family.name: family.points[0] for family in deltas.since(taken)}

    counter.inc(5)
    gauge.set(5)
    histogram.observe(3)
    exponential.observe(1)
    read_ns, first = read()
    assert (first["a"].value, first["b"].value, first["c"].counts, first["d"].count) == (5, 5, (0, 1), 1)
    counter.inc(2)
    histogram.observe(0.5)
    exponential.observe(1000)
    _, second = read()
    assert (second["a"].value, second["b"].value, second["c"].counts, second["c"].sum) == (2, 5, (1, 0), 0.5)
    assert (second["d"].count, second["d"].sum) == (1, 1000)
    assert second["a"].start_ns == read_ns
    registry.reset()
    assert read()[1]["a"].value == 0
