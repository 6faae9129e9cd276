"""ExportTraceServiceRequest -> rows of `spans` and `resources`.

Source: opentelemetry-proto, trace/v1/trace.proto. A span without a valid trace id (16 bytes, not all zero), span id
(8 bytes, not all zero) or start time is refused; one that ends before it starts is stored with duration 0.
"""

import itertools
from typing import Any

import numpy as np
import pyarrow as pa

from gnomon_server.decode.otlp import values, wire
from gnomon_server.decode.otlp.context import DecodeContext
from gnomon_server.decode.otlp.records import (
    attribute_columns,
    check_times,
    id_column,
    ids,
    resources_used,
    text_column,
    times,
    timestamp_column,
    undecodable_is_invalid,
    walk,
)
from gnomon_server.model.batch import Batch, Rejections
from gnomon_server.model.tables import NS, SPAN_ID, SPANS, TRACE_ID

_KINDS = 5  # unspecified, internal, server, client, producer, consumer
_STATUSES = 2  # unset, ok, error


def decode_traces(body: bytes, tenant: str, context: DecodeContext) -> Batch:
    """Spans of one request. `InvalidInput` when the bytes are no such request; bad spans are refused one by one."""
    with undecodable_is_invalid("traces", body):
        return _decode(body, tenant, context)


def _decode(body: bytes, tenant: str, context: DecodeContext) -> Batch:
    context.attributes.begin()
    rejections = Rejections()
    spans, origins = walk(wire.TracesRequest.FromString(body), context)
    if not spans:
        return Batch(tenant, {}, 0, 0, rejections)
    trace_ids, trace_ok = ids([span.trace_id for span in spans], 16)
    span_ids, span_ok = ids([span.span_id for span in spans], 8)
    parent_ids, parent_ok = _parents([span.parent_id for span in spans])
    start, end = times([span.start for span in spans]), times([span.end for span in spans])
    trace_ok = trace_ok & trace_ids.any(axis=1)
    span_ok = span_ok & span_ids.any(axis=1)
    _refuse(rejections, trace_ok, "invalid_trace_id", "a trace id is 16 bytes, not all zero")
    _refuse(rejections, span_ok | ~trace_ok, "invalid_span_id", "a span id is 8 bytes, not all zero")
    good_ids = trace_ok & span_ok
    _refuse(rejections, parent_ok | ~good_ids, "invalid_parent_id", "a parent span id is 8 bytes or empty")
    good_ids &= parent_ok
    timed = check_times(np.where(good_ids, start, 1), "span start", context, rejections)
    keep = good_ids & timed
    negative = keep & (end < start)
    if negative.any():
        rejections.alter("negative_duration", "the span ends before it starts; stored with 0", int(negative.sum()))
    rows = pa.RecordBatch.from_arrays(
        [
            timestamp_column(np.where(keep, start, 0)),
            pa.array(np.where(end > start, end - start, 0).astype(np.uint64)),
            id_column(trace_ids),
            id_column(span_ids),
            id_column(parent_ids),
            text_column([span.state for span in spans]),
            pa.array([span.flags for span in spans], pa.uint32()),
            origins.service(),
            text_column([span.name for span in spans]),
            _small([span.kind for span in spans], _KINDS),
            *_statuses([span.status for span in spans]),
            pa.array(origins.column(lambda resource: resource.rid, np.uint64)),
            origins.scope(),
            *attribute_columns(spans, context, rejections),
            _dropped(spans),
            *_events(spans),
            *_links(spans, rejections),
        ],
        schema=SPANS,
    )
    resources = resources_used(origins, np.where(keep, start, 0), tenant, context, rejections)
    if not keep.all():
        rows = rows.filter(pa.array(keep))
    tables = {name: table for name, table in (("resources", resources), ("spans", rows)) if table.num_rows}
    return Batch(tenant, tables, rows.num_rows, sum(table.nbytes for table in tables.values()), rejections)


def _refuse(rejections: Rejections, good: np.ndarray, reason: str, message: str) -> None:
    bad = int(len(good) - good.sum())
    if bad:
        rejections.refuse(reason, message, bad)


def _parents(raws: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    matrix, right = ids([raw or b"\0\0\0\0\0\0\0\0" for raw in raws], 8)
    return matrix, right


def _small(numbers: list[int], largest: int) -> pa.Array:
    """Enum numbers as uint8; numbers of a later protocol version read as 0, as proto3 prescribes for unknown ones."""
    column = np.array(numbers, np.int64)
    return pa.array(np.where((column >= 0) & (column <= largest), column, 0).astype(np.uint8))


def _statuses(raws: list[bytes]) -> tuple[pa.Array, pa.Array]:
    """Columns status and status_msg; most spans carry no status, and few different ones occur."""
    distinct = {raw: wire.Status.FromString(raw) for raw in set(raws)}
    codes = {raw: status.code for raw, status in distinct.items()}
    messages = {raw: values.text(status.message) for raw, status in distinct.items()}
    return (
        _small(list(map(codes.__getitem__, raws)), _STATUSES),
        pa.array(list(map(messages.__getitem__, raws)), pa.string()),
    )


def _dropped(spans: list[Any]) -> pa.Array:
    return pa.array([span.dropped + span.dropped_events + span.dropped_links for span in spans], pa.int64()).cast(
        pa.uint32(), safe=False
    )


def _events(spans: list[Any]) -> list[pa.Array]:
    """Columns ev_ts, ev_name, ev_j: one list each, in the order sent."""
    each = [span.events for span in spans]
    events = [wire.Event.FromString(raw) for raw in itertools.chain.from_iterable(each)]
    offsets = _offsets(list(map(len, each)))
    at = [event.time & 0x7FFFFFFFFFFFFFFF for event in events]
    names = [values.text(event.name) for event in events]
    attributes = [_json(event.attributes, event.dropped) for event in events]
    return [
        _lists(offsets, pa.array(at, pa.int64()).view(NS)),
        _lists(offsets, pa.array(names, pa.string())),
        _lists(offsets, pa.array(attributes, pa.string())),
    ]


def _links(spans: list[Any], rejections: Rejections) -> list[pa.Array]:
    """Columns ln_trace, ln_span, ln_j. A link with a malformed id is left out and counted."""
    each = [span.links for span in spans]
    counts = np.fromiter(map(len, each), np.int64, len(each))
    links = [wire.Link.FromString(raw) for raw in itertools.chain.from_iterable(each)]
    good = [len(link.trace_id) == 16 and len(link.span_id) == 8 for link in links]  # noqa: PLR2004  (widths of ids)
    if not all(good):
        span_of = np.repeat(np.arange(len(counts)), counts)
        counts = np.bincount(span_of[np.array(good)], minlength=len(counts))
        rejections.alter(
            "invalid_link", "a link needs a trace id of 16 and a span id of 8 bytes; left out", good.count(False)
        )
        links = list(itertools.compress(links, good))
    offsets = _offsets(counts)
    return [
        _lists(offsets, pa.array([link.trace_id for link in links], TRACE_ID)),
        _lists(offsets, pa.array([link.span_id for link in links], SPAN_ID)),
        _lists(offsets, pa.array([_json(ln.attributes, ln.dropped, values.text(ln.state)) for ln in links], pa.string())),
    ]


def _json(pairs: Any, dropped: int, state: str = "") -> str:
    """Attributes of an event or link as JSON; what else it carries stands under keys that begin with `$`."""
    content = values.attributes(pairs)
    if dropped:
        content["$dropped"] = dropped
    if state:
        content["$state"] = state
    return values.to_json(content)


def _offsets(counts: list[int] | np.ndarray) -> pa.Array:
    offsets = np.zeros(len(counts) + 1, np.int32)
    np.cumsum(counts, out=offsets[1:])
    return pa.array(offsets)


def _lists(offsets: pa.Array, items: pa.Array) -> pa.Array:
    return pa.ListArray.from_arrays(offsets, items)
