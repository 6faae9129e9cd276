"""ExportLogsServiceRequest -> rows of `logs` and `resources`.

Source: opentelemetry-proto, logs/v1/logs.proto. A record without a time takes its observed time, and without either the
time of arrival, as the logs data model prescribes. A malformed trace or span id is left out and counted; the record stays.
"""

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
from gnomon_server.model.tables import LOGS

_HIGHEST_SEVERITY = 24
_SHORT = 130  # tag, one byte of length, and a text below 128 bytes


def decode_logs(body: bytes, tenant: str, context: DecodeContext, now_ns: int) -> Batch:
    """Log records of one request; `now_ns` is the time of arrival. `InvalidInput` when the bytes are no such request."""
    with undecodable_is_invalid("logs", body):
        return _decode(body, tenant, context, now_ns)


def _decode(body: bytes, tenant: str, context: DecodeContext, now_ns: int) -> Batch:
    context.attributes.begin()
    rejections = Rejections()
    records, origins = walk(wire.LogsRequest.FromString(body), context)
    if not records:
        return Batch(tenant, {}, 0, 0, rejections)
    at, observed = times([record.time for record in records]), times([record.observed for record in records])
    observed = np.where(observed == 0, np.uint64(now_ns), observed)
    at = np.where(at == 0, observed, at)
    keep = check_times(at, "log time", context, rejections)
    at, observed = np.where(keep, at, 0), np.minimum(observed, np.uint64(context.latest_ns))
    severity = np.array([record.severity for record in records], np.int64)
    bodies, is_json = _bodies([record.body for record in records], context.body_limit_bytes, rejections)
    rows = pa.RecordBatch.from_arrays(
        [
            timestamp_column(at),
            timestamp_column(observed),
            origins.service(),
            pa.array(np.where((severity >= 0) & (severity <= _HIGHEST_SEVERITY), severity, 0).astype(np.uint8)),
            text_column([record.severity_text for record in records]),
            text_column([record.event for record in records]),
            bodies,
            is_json,
            _ids([record.trace_id for record in records], 16, rejections),
            _ids([record.span_id for record in records], 8, rejections),
            pa.array([record.flags for record in records], pa.uint32()),
            pa.array(origins.column(lambda resource: resource.rid, np.uint64)),
            origins.scope(),
            *attribute_columns(records, context, rejections),
            pa.array([record.dropped for record in records], pa.uint32()),
        ],
        schema=LOGS,
    )
    resources = resources_used(origins, at, tenant, context, rejections)
    if not keep.all():
        rows = rows.filter(pa.array(keep))
    tables = {name: table for name, table in (("resources", resources), ("logs", rows)) if table.num_rows}
    return Batch(tenant, tables, rows.num_rows, sum(table.nbytes for table in tables.values()), rejections)


def _ids(raws: list[bytes], width: int, rejections: Rejections) -> pa.Array:
    none = bytes(width)
    matrix, right = ids([raw or none for raw in raws], width)
    wrong = int(len(right) - right.sum())
    if wrong:
        rejections.alter("invalid_trace_context", "a trace id is 16 bytes, a span id 8; left out", wrong)
    return id_column(matrix)


def _bodies(raws: list[bytes], limit: int, rejections: Rejections) -> tuple[pa.Array, pa.Array]:
    """Columns body and body_json: text as it is, anything else as JSON text (values.py)."""
    fast, texts = _short_texts(raws)
    if fast.all():
        return texts, pa.array(np.zeros(len(raws), np.bool_))
    column = texts.to_pylist()
    is_json = np.zeros(len(raws), np.bool_)
    for position in np.flatnonzero(~fast).tolist():
        column[position], is_json[position], cut = _body(raws[position], limit)
        if cut:
            rejections.alter("body_cut", f"bodies over {limit} bytes are cut")
    return pa.array(column, pa.string()), pa.array(is_json)


def _short_texts(raws: list[bytes]) -> tuple[np.ndarray, pa.Array]:
    """Bodies that are short texts (0A length text): which are, and their texts (null elsewhere)."""
    fast = np.fromiter((raw[:1] == b"\n" and len(raw) < _SHORT and len(raw) == raw[1] + 2 for raw in raws), np.bool_, len(raws))
    texts = pa.array([raw[2:] if is_fast else None for raw, is_fast in zip(raws, fast.tolist(), strict=True)], pa.binary())
    try:
        return fast, texts.cast(pa.string())
    except pa.ArrowInvalid:  # some text is not UTF-8: all of them take the slow, mending way
        return np.zeros(len(raws), np.bool_), pa.nulls(len(raws), pa.string())


def _body(raw: bytes, limit: int) -> tuple[str, bool, bool]:
    """The text of a body, whether it is JSON, whether it was cut."""
    value = wire.AnyValue.FromString(raw)
    which = value.WhichOneof("which")
    if which is None:
        return "", False, False
    if which == "string":
        return values.text(value.string[:limit]), False, len(value.string) > limit
    stored = values.to_json(values.plain(value))
    if len(stored) > limit:
        return values.to_json({"$cut": stored[:limit]}), True, True
    return stored, True, False
