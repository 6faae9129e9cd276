"""The facade: one object that makes a service's metrics."""

from collections.abc import Iterable
from typing import Any

from gnomon.metrics import names
from gnomon.metrics.collect import Family
from gnomon.metrics.endpoint import Endpoint
from gnomon.metrics.instruments import Counter, ExponentialHistogram, Gauge, Histogram, Summary, UpDownCounter
from gnomon.metrics.registry import Registry, default_registry


class MetricsCollector:
    """Makes instruments and shows them.

        metrics = MetricsCollector("shop", namespace="astra")
        requests = metrics.counter("http_requests_total", "Requests served", labels=("method", "status"))
        requests.inc(method="GET", status="200")

    Args:
        service_name: the service, as `service.name` of what it exports.
        namespace: put before every name, with `_` between.
        registry: where the instruments are kept; the process's own if None.
    """

    def __init__(self, service_name: str, namespace: str = "", *, registry: Registry | None = None) -> None:
        if namespace:
            names.check_name(namespace)
        self.service_name, self.namespace = service_name, namespace
        self.registry = registry or default_registry()
        self._endpoint: Endpoint | None = None

    def counter(self, name: str, description: str = "", labels: Iterable[str] | None = (), **settings: Any) -> Counter:
        """A sum that only grows."""
        return Counter(self._name(name), description, labels, registry=self.registry, **settings)

    def up_down_counter(
        self, name: str, description: str = "", labels: Iterable[str] | None = (), **settings: Any
    ) -> UpDownCounter:
        """A sum that also falls."""
        return UpDownCounter(self._name(name), description, labels, registry=self.registry, **settings)

    def gauge(self, name: str, description: str = "", labels: Iterable[str] | None = (), **settings: Any) -> Gauge:
        """The last value of something."""
        return Gauge(self._name(name), description, labels, registry=self.registry, **settings)

    def histogram(
        self, name: str, description: str = "", labels: Iterable[str] | None = (), **settings: Any
    ) -> Histogram:
        """Counts by explicit bounds; `bounds=` sets them."""
        return Histogram(self._name(name), description, labels, registry=self.registry, **settings)

    def exponential_histogram(
        self, name: str, description: str = "", labels: Iterable[str] | None = (), **settings: Any
    ) -> ExponentialHistogram:
        """Counts by buckets of equal relative width."""
        return ExponentialHistogram(self._name(name), description, labels, registry=self.registry, **settings)

    def summary(self, name: str, description: str = "", labels: Iterable[str] | None = (), **settings: Any) -> Summary:
        """Count and sum."""
        return Summary(self._name(name), description, labels, registry=self.registry, **settings)

    def collect(self) -> list[Family]:
        """All numbers of this process as they stand."""
        return self.registry.collect()

    @property
    def endpoint(self) -> Endpoint:
        """`/metrics` of this service, for all of its workers."""
        if self._endpoint is None:
            self._endpoint = Endpoint(self.registry, resource={"service.name": self.service_name})
        return self._endpoint

    def _name(self, name: str) -> str:
        return f"{self.namespace}_{name}" if self.namespace else name
