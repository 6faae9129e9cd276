"""What a pipeline has let out: as OTLP, read by the generated classes, and as lines, held against the schema."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

import gnomon.logging
from gnomon.export.outlet import Outlet, Signal
from gnomon.logging.pipeline import Pipeline, use
from gnomon.logging.writer import Console, Writer
from gnomon.wire import envelope

SCHEMA = json.loads((Path(gnomon.logging.__file__).parent / "log-schema.json").read_text("utf-8"))
VALID = Draft202012Validator(SCHEMA)


def plain(value: AnyValue) -> Any:
    """An AnyValue as Python has it."""
    kind = value.WhichOneof("value")
    match kind:
        case None:
            return None
        case "array_value":
            return [plain(one) for one in value.array_value.values]
        case "kvlist_value":
            return {pair.key: plain(pair.value) for pair in value.kvlist_value.values}
        case _:
            return getattr(value, kind)


class Seen:
    """A pipeline and what came out of it."""

    def __init__(self, **settings: Any) -> None:
        self.stream = io.StringIO()
        self.outlet = settings.pop("outlet", None) or Outlet(Signal.LOGS)
        self.writer = Writer(self.stream)
        settings.setdefault("shows", Console("json", self.writer))
        self.pipeline = Pipeline(self.outlet, settings.pop("service_name", "shop"), **settings)

    def lines(self) -> list[dict[str, Any]]:
        """The console's lines so far, every one valid."""
        assert self.writer.flush(10)
        lines = [json.loads(line) for line in self.stream.getvalue().split("\n")[:-1]]
        for line in lines:
            VALID.validate(line)
        return lines

    def scopes(self) -> dict[str, list[dict[str, Any]]]:
        """The records since the last call, by scope; attributes are unique in each."""
        found: dict[str, list[dict[str, Any]]] = {}
        while (batch := self.outlet.take()) is not None:
            request = ExportLogsServiceRequest.FromString(envelope.request(envelope.resource({}), batch.groups))
            for scope in request.resource_logs[0].scope_logs:
                found.setdefault(scope.scope.name, []).extend(map(_record, scope.log_records))
        return found

    def records(self) -> list[dict[str, Any]]:
        """The records of all scopes since the last call."""
        return [record for records in self.scopes().values() for record in records]


def _record(record: Any) -> dict[str, Any]:
    attributes = {pair.key: plain(pair.value) for pair in record.attributes}
    assert len(attributes) == len(record.attributes), "an attribute stands twice"
    return {
        "time": record.time_unix_nano,
        "observed": record.observed_time_unix_nano,
        "severity": (record.severity_number, record.severity_text),
        "body": plain(record.body),
        "attributes": attributes,
        "dropped": record.dropped_attributes_count,
        "trace": record.trace_id.hex(),
        "span": record.span_id.hex(),
        "flags": record.flags,
        "event": record.event_name,
    }


@pytest.fixture
def seen() -> Seen:
    """A pipeline that is nobody's."""
    return Seen()


@pytest.fixture
def make() -> type[Seen]:
    """Makes pipelines with settings."""
    return Seen


@pytest.fixture
def used() -> Iterator[Seen]:
    """A pipeline that is in use."""
    made = Seen()
    use(made.pipeline)
    yield made
    use(None)


@pytest.fixture
def schema() -> Draft202012Validator:
    """The published schema."""
    return VALID
