"""The envelope of an export request: resource, scopes, and the records of each, which are encoded already."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gnomon.wire.attributes import KeyValues
from gnomon.wire.protobuf import delimited, text

# Spans, log records and metrics stand under the same numbers in their ScopeX and ResourceX messages.
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


def request(described: bytes, scopes: Iterable[tuple[Scope, Iterable[bytes]]], schema_url: str = "") -> bytes:
    """An ExportXServiceRequest of one resource.

    Args:
        described: what `resource` gave.
        scopes: each with its records, every record with its tag (`RECORD`) and length before it.
        schema_url: of the resource.
    """
    parts = [described]
    for scope, records in scopes:
        body = scope.encoded() + b"".join(records)
        if scope.schema_url:
            body += text(3, scope.schema_url)
        parts.append(delimited(2, body))
    if schema_url:
        parts.append(text(3, schema_url))
    return delimited(1, b"".join(parts))
