"""A metric of one resource and scope: its Prometheus name, its kind, and the ids of its series by attribute bytes."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gnomon_server.decode.otlp import values, wire
from gnomon_server.decode.otlp.resources import Resource
from gnomon_server.model.prometheus_names import label_name, metric_name
from gnomon_server.model.series import DELTA, Kind, series_id

_DELTA_TEMPORALITY = 1
_MAX_BYTES = 256 << 20  # what the ids kept by attribute bytes may weigh; emptied when reached
_ENTRY_BYTES = 200  # measured: a dict entry, its key object and the id
_METRIC_BYTES = 2000  # likewise, a Metric with its labels and an empty table

# The types of `metric_meta`, by the member of the message's oneof.
_TYPES = {
    "gauge": "gauge",
    "sum": "sum",
    "histogram": "histogram",
    "exponential_histogram": "exponential",
    "summary": "summary",
}

# Resource attributes that become labels of every series, beside `job` and `instance`; the rest is in `target_info`.
PROMOTED = (
    "service.name",
    "service.version",
    "deployment.environment.name",
    "deployment.environment",
    "cloud.region",
    "cloud.availability_zone",
    "k8s.cluster.name",
    "k8s.namespace.name",
    "k8s.pod.name",
    "k8s.container.name",
    "host.name",
)
_IDENTIFYING = ("service.name", "service.namespace", "service.instance.id")


@dataclass(frozen=True, slots=True)
class SeriesRow:
    """What `series` says of one series."""

    metric: str
    id: int
    kind: int
    resource: Resource
    scope: str
    name: str
    labels: dict[str, str]
    raws: tuple[bytes, ...]


@dataclass(slots=True)
class Metric:
    """A metric as sent by one resource and scope. `ids` maps a point's identifying bytes to what its shape needs."""

    resource: Resource
    scope: str
    name: str
    base: str
    unit: str
    help: str
    type: str
    temporality: int
    monotonic: bool
    metadata: dict[str, str]
    ids: dict[Any, Any] = field(default_factory=dict)

    @property
    def is_delta(self) -> bool:
        """Whether the sender reports changes since its last report."""
        return self.temporality == _DELTA_TEMPORALITY

    def number_kind(self) -> int:
        """The kind of a gauge's or sum's series."""
        if self.type == "gauge":
            return Kind.GAUGE
        return self.flagged(Kind.COUNTER if self.monotonic else Kind.UPDOWN)

    def flagged(self, kind: int) -> int:
        """The kind with the mark of delta temporality where that holds."""
        return kind | DELTA if self.is_delta else kind

    def labels(self, raws: Iterable[bytes]) -> dict[str, str]:
        """The labels of a series with these attributes.

        As in Prometheus: an attribute goes before a promoted one of the resource, `job` and `instance` before both.
        """
        promoted, target = resource_labels(self.resource)
        return {**promoted, **labels_of(raws), **target}

    def row(
        self, raws: tuple[bytes, ...], kind: int, suffix: str = "", extra: Mapping[str, str] | None = None
    ) -> SeriesRow:
        """The series of these attributes, with a name suffix (`_bucket`) and a label of its own (`le`)."""
        labels = {**self.labels(raws), **(extra or {})}
        metric = self.base + suffix
        return SeriesRow(metric, series_id(metric, labels), kind, self.resource, self.scope, self.name, labels, raws)


class Metrics:
    """Bounded cache of metrics and their series' ids. Not thread-safe."""

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._known: dict[tuple[Any, ...], Metric] = {}
        self._max_bytes = max_bytes
        self._bytes = 0

    def begin(self) -> None:
        """Call before each batch: empties a cache that has reached its bound."""
        if self._bytes > self._max_bytes:
            self._known.clear()
            self._bytes = 0

    def get(self, message: Any, which: str, resource: Resource, scope: str) -> Metric:
        """The metric of a Metric message; `which` is the member of its oneof."""
        data = getattr(message, which)
        temporality = getattr(data, "aggregation_temporality", 0)
        monotonic = getattr(data, "is_monotonic", False)
        words = (message.name, message.unit, message.description, *message.metadata)
        key = (resource.rid, scope, which, temporality, monotonic, *words)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = _metric(message, which, resource, scope, temporality, monotonic)
            self._bytes += _METRIC_BYTES + sum(map(len, words))
        return found

    def find(self, metric: Metric, keys: list[Any], make: Callable[[int], Any], first: int, size: int) -> list[Any]:
        """What is known under each key, else what `make(first + its place)` says, remembered at `size` bytes more."""
        known = metric.ids
        found = list(map(known.get, keys))
        if None in found:
            for place, value in enumerate(found):
                if value is None:
                    key = keys[place]
                    if key not in known:
                        known[key] = make(first + place)
                        self._bytes += _ENTRY_BYTES + size + len(key)
                    found[place] = known[key]
        return found


def _metric(message: Any, which: str, resource: Resource, scope: str, temporality: int, monotonic: bool) -> Metric:
    name, unit = values.text(message.name), values.text(message.unit)
    return Metric(
        resource=resource,
        scope=scope,
        name=name,
        base=metric_name(name, unit, counter=which == "sum" and monotonic, gauge=which == "gauge"),
        unit=unit,
        help=values.text(message.description),
        type=_TYPES[which],
        temporality=temporality,
        monotonic=monotonic,
        metadata=labels_of(message.metadata, rename=False),
    )


def resource_labels(resource: Resource) -> tuple[dict[str, str], dict[str, str]]:
    """The promoted attributes, and `job` and `instance`."""
    attributes = resource.attributes
    namespace, service = attributes.get("service.namespace"), attributes.get("service.name")
    job = label_text(service) or resource.service
    target = {
        "job": f"{label_text(namespace)}/{job}" if namespace and service else job,
        "instance": label_text(attributes.get("service.instance.id")),
    }
    promoted = {label_name(key): label_text(attributes[key]) for key in PROMOTED if key in attributes}
    return _given(promoted), _given(target)


def target_info(resource: Resource) -> SeriesRow | None:
    """The `target_info` series of a resource: what does not identify it; none when nothing is left."""
    rest = {key: value for key, value in resource.attributes.items() if key not in _IDENTIFYING}
    labels = _labels(rest)
    if not labels:
        return None
    labels.update(resource_labels(resource)[1])
    identity = series_id("target_info", labels)
    return SeriesRow("target_info", identity, Kind.INFO, resource, "", "target_info", labels, ())


def labels_of(raws: Iterable[bytes], *, rename: bool = True) -> dict[str, str]:
    """KeyValue messages as labels: names cleaned, values as text, empty ones left out, for Prometheus has none."""
    return _labels(values.attributes([wire.parse("KeyValue", raw) for raw in raws]), rename=rename)


def _labels(attributes: Mapping[str, Any], *, rename: bool = True) -> dict[str, str]:
    """Keys that become the same label have their values joined with `;` in the order of the keys, as specified."""
    labels: dict[str, str] = {}
    for key in sorted(attributes):
        name, value = (label_name(key) if rename else key), label_text(attributes[key])
        if value and name != "__name__":  # the metric's own name, which no attribute may replace
            labels[name] = f"{labels[name]};{value}" if name in labels else value
    return labels


def _given(labels: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in labels.items() if value}


def label_text(value: Any) -> str:
    """A plain value as a label's text: 5, 0.5, true, JSON for lists and maps."""
    if isinstance(value, str):
        return value
    return "" if value is None else values.to_json(value)
