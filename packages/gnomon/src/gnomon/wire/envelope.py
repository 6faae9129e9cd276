"""The envelope of an export request: resource, scopes, and the records of each, which are encoded already."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gnomon.wire.attributes import KeyValues
from gnomon.wire.protobuf import delimited, length, tag, text

# Spans, log records and metrics stand under the same numbers in their ScopeX and ResourceX messages.
_RESOURCE, _SCOPE = tag(1, 2), tag(2, 2)
RECORD = b"\x12"
"""The tag of a record in ScopeSpans.spans, ScopeLogs.log_records, ScopeMetrics.metrics."""


@dataclass(frozen=True, slots=True)
class Scope:
    """An instrumentation scope: the library or module that made a record."""

    name: str
    version: str = ""
    schema_url: str = ""
    attributes: tuple[tuple[str, Any], ...] = ()

    def encoded(self) -> bytes:
        """The InstrumentationScope message, as field 1 of ScopeX."""
        body = text(1, self.name)
        if self.version:
            body += text(2, self.version)
        return delimited(1, body + KeyValues(3).encode(dict(self.attributes)))


def resource(attributes: Mapping[str, Any]) -> bytes:
    """The Resource message, as field 1 of ResourceX."""
    return delimited(1, KeyValues(1).encode(attributes))


def request(described: bytes, scopes: Iterable[tuple[Scope, Sequence[bytes]]], schema_url: str = "") -> bytes:
    """An ExportXServiceRequest of one resource.

    The lengths are added up first, so that megabytes of records are copied once.

    Args:
        described: what `resource` gave.
        scopes: each with its records, every record with its tag (`RECORD`) and length before it.
        schema_url: of the resource.
    """
    end = text(3, schema_url) if schema_url else b""
    parts, size = [described], len(described) + len(end)
    for scope, records in scopes:
        named, schema = scope.encoded(), text(3, scope.schema_url) if scope.schema_url else b""
        inner = len(named) + sum(map(len, records)) + len(schema)
        head = _SCOPE + length(inner)
        parts += (head, named, *records, schema)
        size += len(head) + inner
    return b"".join((_RESOURCE, length(size), *parts, end))
