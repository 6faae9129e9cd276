"""ExportTraceServiceRequest -> rows of `spans` and `resources`.

Source: opentelemetry-proto, trace/v1/trace.proto. A span without a valid trace id (16 bytes, not all zero), span id
(8 bytes, not all zero) or start time is refused; one that ends before it starts is stored with duration 0.
"""

from typing import Any

import numpy as np
import pyarrow as pa

from gnomon_server.decode.otlp import values, wire
from gnomon_server.decode.otlp.bounds import MAX_PARTS, check_count
from gnomon_server.decode.otlp.columns import enums, id_column, ids, nanoseconds, offsets, texts
from gnomon_server.decode.otlp.context import MAX_NS, DecodeContext
from gnomon_server.decode.otlp.records import (
    Origins,
    alter,
    batch_of,
    check_times,
    kept,
    raw_records,
    refuse,
    resources_used,
    senders_of,
    undecodable_is_invalid,
)
from gnomon_server.decode.otlp.scan import Pieces, Scanned, scan
from gnomon_server.model.batch import Batch, Rejections
from gnomon_server.model.tables import NS, SPAN_ID, SPANS, TRACE_ID

_LARGEST_KIND = 5  # unspecified, internal, server, client, producer, consumer
_LARGEST_STATUS = 2  # unset, ok, error
_LARGEST_COUNT = (1 << 32) - 1


def decode_traces(body: bytes, tenant: str, context: DecodeContext) -> Batch:
    """Spans of one request. `InvalidInput` when the bytes are no such request; bad spans are refused one by one."""
    with undecodable_is_invalid("traces", body):
        return _decode(body, tenant, context)


def _decode(body: bytes, tenant: str, context: DecodeContext) -> Batch:
    rejections = Rejections()
    request = wire.parse("TracesRequest", body)
    raws, origins = raw_records(request, "resource_spans", "scope_spans", "spans", context)
    if not raws:
        return batch_of(tenant, 0, {}, rejections)
    spans = scan("Span", raws)
    start = spans.words("start_time_unix_nano")
    matrices, keep = _ids(spans, rejections)
    keep[keep] = check_times(start[keep], "span start", context, rejections)
    resources = resources_used(origins, start, keep, tenant, context, rejections)
    rows = kept(_rows(spans, origins, np.where(keep, start, 0), matrices, context, rejections), keep)
    senders = senders_of("traces", origins, start, keep)
    return batch_of(tenant, rows.num_rows, {"resources": resources, "spans": rows}, rejections, senders)


def _ids(spans: Scanned, rejections: Rejections) -> tuple[list[np.ndarray], np.ndarray]:
    """Trace, span and parent ids, and bool[n]: which spans have good ones. A span is refused for one reason only."""
    trace, trace_right = ids(spans.pieces("trace_id"), 16)
    span, span_right = ids(spans.pieces("span_id"), 8)
    parent, parent_right = ids(spans.pieces("parent_span_id"), 8)
    good = np.ones(len(spans), np.bool_)
    for right, reason, message in (
        (trace_right & trace.any(axis=1), "invalid_trace_id", "a trace id is 16 bytes, not all zero"),
        (span_right & span.any(axis=1), "invalid_span_id", "a span id is 8 bytes, not all zero"),
        (parent_right, "invalid_parent_id", "a parent span id is 8 bytes or empty"),
    ):
        refuse(rejections, good & ~right, reason, message)
        good &= right
    return [trace, span, parent], good


def _rows(
    spans: Scanned,
    origins: Origins,
    start: np.ndarray,
    matrices: list[np.ndarray],
    context: DecodeContext,
    rejections: Rejections,
) -> pa.RecordBatch:
    """All spans as rows of `spans`; `start` is 0 for those that are refused, which leave afterwards."""
    end = spans.words("end_time_unix_nano")
    backwards = (end < start) & (start > 0)
    alter(rejections, backwards, "negative_duration", "the span ends before it starts; stored with 0")
    return pa.RecordBatch.from_arrays(
        [
            nanoseconds(start),
            pa.array(np.where(backwards, 0, end - start)),
            *map(id_column, matrices),
            texts(spans.pieces("trace_state")),
            pa.array(spans.halves("flags")),
            origins.services(),
            texts(spans.pieces("name")),
            enums(spans.varints("kind"), _LARGEST_KIND),
            *_statuses(spans.pieces("status")),
            origins.rids(),
            origins.scope_texts(),
            *context.attributes.columns(*spans.repeated("attributes"), rejections),
            _dropped(spans),
            *_events(*spans.repeated("events"), rejections),
            *_links(*spans.repeated("links"), rejections),
        ],
        schema=SPANS,
    )


def _statuses(pieces: Pieces) -> list[pa.Array]:
    """Columns status and status_msg; many spans carry none, and few different ones occur."""
    raws = pieces.raws()
    codes, messages = {}, {}
    for raw in set(raws):
        status = wire.parse("Status", raw)
        codes[raw] = status.code if 0 <= status.code <= _LARGEST_STATUS else 0
        messages[raw] = values.text(status.message)
    return [
        pa.array(list(map(codes.__getitem__, raws)), pa.uint8()),
        pa.array(list(map(messages.__getitem__, raws)), pa.string()),
    ]


def _dropped(spans: Scanned) -> pa.Array:
    total = sum(
        (
            spans.varints(f"dropped_{what}_count") & np.uint64(_LARGEST_COUNT)
            for what in ("attributes", "events", "links")
        ),
        start=np.zeros(len(spans), np.uint64),
    )
    return pa.array(np.minimum(total, _LARGEST_COUNT).astype(np.uint32))


def _events(counts: np.ndarray, pieces: Pieces, rejections: Rejections) -> list[pa.Array]:
    """Columns ev_ts, ev_name, ev_j: one list each, in the order sent."""
    check_count(len(pieces.starts), MAX_PARTS, "events")
    events = [wire.parse("Event", raw) for raw in pieces.raws()]
    at = np.array([event.time_unix_nano for event in events], np.uint64)
    alter(rejections, at > MAX_NS, "event_time_cut", "an event's time is beyond what can be stored, which ends in 2106")
    begins = offsets(counts)
    return [
        pa.ListArray.from_arrays(begins, pa.array(np.minimum(at, MAX_NS).astype(np.int64)).view(NS)),
        pa.ListArray.from_arrays(begins, pa.array([values.text(event.name) for event in events], pa.string())),
        pa.ListArray.from_arrays(
            begins,
            pa.array([_json(event.attributes, event.dropped_attributes_count) for event in events], pa.string()),
        ),
    ]


def _links(counts: np.ndarray, pieces: Pieces, rejections: Rejections) -> list[pa.Array]:
    """Columns ln_trace, ln_span, ln_j. A link with a malformed id is left out and counted."""
    check_count(len(pieces.starts), MAX_PARTS, "links")
    every = [wire.parse("Link", raw) for raw in pieces.raws()]
    good = np.array([len(link.trace_id) == 16 and len(link.span_id) == 8 for link in every], np.bool_)  # noqa: PLR2004 - widths
    alter(rejections, ~good, "invalid_link", "a link needs a trace id of 16 and a span id of 8 bytes; left out")
    links = [link for link, right in zip(every, good, strict=True) if right]
    begins = offsets(np.bincount(np.repeat(np.arange(len(counts)), counts)[good], minlength=len(counts)))
    stored = [_json(link.attributes, link.dropped_attributes_count, values.text(link.trace_state)) for link in links]
    return [
        pa.ListArray.from_arrays(begins, pa.array([link.trace_id for link in links], TRACE_ID)),
        pa.ListArray.from_arrays(begins, pa.array([link.span_id for link in links], SPAN_ID)),
        pa.ListArray.from_arrays(begins, pa.array(stored, pa.string())),
    ]


def _json(pairs: Any, dropped: int, state: str = "") -> str:
    """Attributes of an event or link as JSON; what else it carries stands under keys that begin with `$`."""
    content = values.attributes(pairs)
    if dropped:
        content["$dropped"] = dropped
    if state:
        content["$state"] = state
    return values.to_json(content)
