"""Rows of the store as the native API shows them: typed attributes as one map, times as text, words for numbers."""

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

_NS = 1_000_000_000

KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
STATUSES = ("unset", "ok", "error")
SEVERITIES = ("unset", "trace", "debug", "info", "warn", "error", "fatal")
"""By OTel's ranges of four: https://opentelemetry.io/docs/specs/otel/logs/data-model/#field-severitynumber."""


def time_text(ns: int) -> str:
    """`2026-11-21T09:21:35.123456789Z` of nanoseconds since 1970."""
    seconds, rest = divmod(ns, _NS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def severity_word(number: int) -> str:
    """`info` of 9 to 12, and so on."""
    return SEVERITIES[min((number + 3) // 4, 6)]


def severity_floor(word: str) -> int:
    """The least number of a severity: 9 of `info`."""
    return 4 * SEVERITIES.index(word) - 3


def attributes(row: Mapping[str, Any]) -> dict[str, Any]:
    """The five typed maps of a row (`s`, `i`, `f`, `b`, `j`) as one, sorted by key."""
    merged: dict[str, Any] = dict(row["s"])
    merged.update(row["i"])
    merged.update((key, number(value)) for key, value in row["f"])
    merged.update(row["b"])
    merged.update((key, orjson.loads(value)) for key, value in row["j"])
    return dict(sorted(merged.items()))


def number(value: float) -> float | dict[str, str]:
    """A float as JSON can say it: what it has no number for is `{"$double": "NaN"}`, as inside stored JSON."""
    if math.isfinite(value):
        return value
    return {"$double": "NaN" if math.isnan(value) else f"{'-' if value < 0 else ''}Infinity"}


def scope_name(scope: str) -> str:
    """The name of an instrumentation scope (JSON text), or ''."""
    return str(orjson.loads(scope).get("name", "")) if scope else ""


def span(row: Mapping[str, Any], resources: Mapping[int, dict[str, Any]]) -> dict[str, Any]:
    """A span of `explore.SPAN_COLUMNS`."""
    return {
        "span_id": row["span"],
        "parent_id": row["parent"],
        "service": row["service"],
        "name": row["name"],
        "kind": KINDS[min(row["kind"], 5)],
        "status": STATUSES[min(row["status"], 2)],
        "status_message": row["status_msg"],
        "start": time_text(row["at"]),
        "duration_ns": row["dur"],
        "attributes": attributes(row),
        "resource": resources.get(row["rid"], {}),
        "scope": scope_name(row["scope"]),
        "events": [
            {"time": time_text(at), "name": name, "attributes": orjson.loads(found)}
            for at, name, found in zip(row["ev_at"], row["ev_name"], row["ev_j"], strict=True)
        ],
        "links": [
            {"trace_id": trace, "span_id": span_id, "attributes": orjson.loads(found)}
            for trace, span_id, found in zip(row["ln_trace_hex"], row["ln_span_hex"], row["ln_j"], strict=True)
        ],
    }


def log(row: Mapping[str, Any], resources: Mapping[int, dict[str, Any]]) -> dict[str, Any]:
    """A log record of `explore.LOG_COLUMNS`. A body that is no text comes as what it is; None for none."""
    return {
        "time": time_text(row["at"]),
        "observed": time_text(row["seen"]),
        "service": row["service"],
        "severity": severity_word(row["sev"]),
        "severity_number": row["sev"],
        "severity_text": row["sev_text"],
        "body": (orjson.loads(row["body"]) if row["body"] else None) if row["body_json"] else row["body"],
        "event": row["event"],
        "trace_id": row["trace"],
        "span_id": row["span"],
        "attributes": attributes(row),
        "resource": resources.get(row["rid"], {}),
        "scope": scope_name(row["scope"]),
    }


def resource_map(rows: Iterable[Mapping[str, Any]]) -> dict[int, dict[str, Any]]:
    """Resource id to its attributes."""
    return {row["rid"]: attributes(row) for row in rows}
