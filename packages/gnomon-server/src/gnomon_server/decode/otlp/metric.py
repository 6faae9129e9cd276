"""One metric of one resource and scope: its Prometheus name, its kind, and the ids of its series, by attribute bytes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gnomon_server.decode.otlp import values, wire
from gnomon_server.decode.otlp.resources import Resource
from gnomon_server.model.prometheus_names import label_name, metric_name
from gnomon_server.model.series import DELTA, Kind, series_id

_DELTA_TEMPORALITY = 1
_MAX_SERIES = 2_000_000  # ids kept by attribute bytes; emptied when reached

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
    """A metric as sent by one resource and scope. `ids` maps a point's attribute bytes to what its shape needs."""

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
    base_labels: dict[str, str]
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

    def row(self, raws: Iterable[bytes], kind: int, suffix: str = "", extra: Mapping[str, str] | None = None) -> SeriesRow:
        """The series of these attributes, with a name suffix (`_bucket`) and a label of its own (`le`)."""
        raws = tuple(raws)
        labels = {**labels_of(raws), **self.base_labels, **(extra or {})}
        metric = self.base + suffix
        return SeriesRow(metric, series_id(metric, labels), kind, self.resource, self.scope, self.name, labels, raws)


class Metrics:
    """Bounded cache of metrics and their series' ids. Not thread-safe."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], Metric] = {}

    def begin(self) -> None:
        """Call before each batch: empties a cache that has reached its bound."""
        if sum(len(metric.ids) for metric in self._known.values()) > _MAX_SERIES:
            self._known.clear()

    def get(self, message: Any, which: str, resource: Resource, scope: str) -> Metric:
        """The metric of a Metric message; `which` is the member of its oneof."""
        data = getattr(message, which)
        temporality = getattr(data, "temporality", 0)
        monotonic = getattr(data, "monotonic", False)
        key = (resource.rid, scope, message.name, message.unit, message.description, which, temporality, monotonic)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = _metric(message, which, resource, scope, temporality, monotonic)
        return found


def _metric(
    message: Any, which: str, resource: Resource, scope: str, temporality: int, monotonic: bool
) -> Metric:
    name, unit = values.text(message.name), values.text(message.unit)
    return Metric(
        resource=resource,
        scope=scope,
        name=name,
        base=metric_name(name, unit, counter=which == "sum" and monotonic, gauge=which == "gauge"),
        unit=unit,
        help=values.text(message.description),
        type=which,
        temporality=temporality,
        monotonic=monotonic,
        metadata=labels_of(message.metadata, rename=False),
        base_labels=resource_labels(resource),
    )


def resource_labels(resource: Resource) -> dict[str, str]:
    """`job`, `instance` and the promoted attributes."""
    attributes = resource.attributes
    namespace, service = attributes.get("service.namespace"), attributes.get("service.name")
    labels = {
        "job": f"{namespace}/{service}" if namespace and service else label_text(service or resource.service),
        "instance": label_text(attributes.get("service.instance.id", "")),
    }
    labels.update({label_name(key): label_text(attributes[key]) for key in PROMOTED if key in attributes})
    return {key: value for key, value in labels.items() if value}


def target_info(resource: Resource) -> SeriesRow | None:
    """The `target_info` series of a resource: what is not in every series' labels; none when nothing is left."""
    rest = {
        label_name(key): label_text(value) for key, value in resource.attributes.items() if key not in _IDENTIFYING
    }
    if not rest:
        return None
    labels = {**rest, **{key: value for key, value in resource_labels(resource).items() if key in ("job", "instance")}}
    identity = series_id("target_info", labels)
    return SeriesRow("target_info", identity, Kind.INFO, resource, "", "target_info", labels, ())


def labels_of(raws: Iterable[bytes], *, rename: bool = True) -> dict[str, str]:
    """KeyValue messages as labels: names cleaned, values as text, empty ones left out (in Prometheus, empty is absent).

    Keys that become the same label have their values joined with `;` in the order of the keys, as the specification says.
    """
    attributes = values.attributes([wire.KeyValue.FromString(raw) for raw in raws])
    labels: dict[str, str] = {}
    for key in sorted(attributes):
        name, value = (label_name(key) if rename else key), label_text(attributes[key])
        if value:
            labels[name] = f"{labels[name]};{value}" if name in labels else value
    return labels


def label_text(value: Any) -> str:
    """A plain value as a label's text: 5, 0.5, true, JSON for lists and maps."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return values.to_json(value)
