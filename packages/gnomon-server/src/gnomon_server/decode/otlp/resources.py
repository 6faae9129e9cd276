"""Resource and scope of records: decoded once, known by their bytes."""

from dataclasses import dataclass

import orjson
import pyarrow as pa
import xxhash

from gnomon_server.decode.otlp import values, wire
from gnomon_server.decode.otlp.attributes import AttributeTable
from gnomon_server.decode.otlp.bounds import MAX_PARTS, check_count
from gnomon_server.decode.otlp.columns import no_rows
from gnomon_server.model.batch import Rejections
from gnomon_server.model.tables import RESOURCES

_MAX_KNOWN = 20_000  # resources or scopes kept decoded; emptied when reached
UNKNOWN_SERVICE = "unknown_service"  # what the OpenTelemetry resource conventions prescribe
_INSTANCE_KEYS = ("service.instance.id", "k8s.pod.name", "container.id", "host.name")


@dataclass(frozen=True, slots=True)
class Resource:
    """A decoded resource. `rid` is a hash of its sorted typed attributes; `raws` are its KeyValue messages.

    `instance` tells the instances of a service apart: the most exact name of one that the resource carries, or ''.
    """

    rid: int
    service: str
    instance: str
    attributes: dict[str, object]
    raws: tuple[bytes, ...]


class Known:
    """Bounded caches of decoded resources and scopes. Not thread-safe."""

    def __init__(self) -> None:
        self._resources: dict[bytes, Resource] = {}
        self._scopes: dict[tuple[bytes, bytes], str] = {}

    def resource(self, raw: bytes) -> Resource:
        """The resource of these bytes. Raises DecodeError when they are no Resource message."""
        found = self._resources.get(raw)
        if found is None:
            if len(self._resources) >= _MAX_KNOWN:
                self._resources.clear()
            found = self._resources[raw] = _decode_resource(raw)
        return found

    def scope(self, raw: bytes, schema_url: bytes) -> str:
        """The scope as JSON text: name, version, schema_url, attributes, each where given; empty for none."""
        found = self._scopes.get((raw, schema_url))
        if found is None:
            if len(self._scopes) >= _MAX_KNOWN:
                self._scopes.clear()
            found = self._scopes[raw, schema_url] = _decode_scope(raw, schema_url)
        return found


def _decode_resource(raw: bytes) -> Resource:
    message = wire.parse("Resource", raw)
    check_count(len(message.attributes), MAX_PARTS, "attributes of a resource")
    raws = tuple(message.attributes)
    attributes = values.attributes([wire.parse("KeyValue", pair) for pair in raws])
    canonical = orjson.dumps(attributes, option=orjson.OPT_SORT_KEYS)
    service = attributes.get("service.name")
    return Resource(
        rid=xxhash.xxh3_64_intdigest(canonical),
        service=service if isinstance(service, str) and service else UNKNOWN_SERVICE,
        instance=next((str(attributes[key]) for key in _INSTANCE_KEYS if attributes.get(key)), ""),
        attributes=attributes,
        raws=raws,
    )


def _decode_scope(raw: bytes, schema_url: bytes) -> str:
    message = wire.parse("InstrumentationScope", raw)
    check_count(len(message.attributes), MAX_PARTS, "attributes of a scope")
    scope = {
        "name": values.text(message.name),
        "version": values.text(message.version),
        "schema_url": values.text(schema_url),
        "attributes": values.attributes([wire.parse("KeyValue", pair) for pair in message.attributes]),
    }
    given = {key: value for key, value in scope.items() if value}
    return values.to_json(given) if given else ""


def resource_rows(used: list[tuple[Resource, int]], table: AttributeTable, rejections: Rejections) -> pa.RecordBatch:
    """Rows of `resources`, one for each resource and day (since 1970)."""
    if not used:
        return no_rows(RESOURCES)
    return pa.RecordBatch.from_arrays(
        [
            pa.array([day for _, day in used], pa.int32()).cast(pa.date32()),
            pa.array([resource.rid for resource, _ in used], pa.uint64()),
            pa.array([resource.service for resource, _ in used], pa.string()),
            *table.of_raws([resource.raws for resource, _ in used], rejections),
        ],
        schema=RESOURCES,
    )
