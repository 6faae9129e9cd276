"""ExportLogsServiceRequest -> rows of `logs` and `resources`.

Source: opentelemetry-proto, logs/v1/logs.proto. A record without a time takes its observed time, and without either the
time of arrival, as the logs data model prescribes. A malformed trace or span id is left out and counted; the record
stays.
"""

import numpy as np
import pyarrow as pa

from gnomon_server.decode.otlp import values, wire
from gnomon_server.decode.otlp.columns import as_text, binary, enums, id_column, ids, nanoseconds, texts
from gnomon_server.decode.otlp.context import DecodeContext
from gnomon_server.decode.otlp.records import (
    Origins,
    alter,
    batch_of,
    check_times,
    kept,
    raw_records,
    resources_used,
    senders_of,
    undecodable_is_invalid,
)
from gnomon_server.decode.otlp.scan import Pieces, Scanned, scan
from gnomon_server.model.batch import Batch, Rejections
from gnomon_server.model.tables import LOGS

_LARGEST_SEVERITY = 24


def decode_logs(body: bytes, tenant: str, context: DecodeContext, now_ns: int) -> Batch:
    """Log records of one request; `now_ns` is the time of arrival.

    `InvalidInput` when the bytes are no such request; bad records are refused one by one.
    """
    with undecodable_is_invalid("logs", body):
        return _decode(body, tenant, context, now_ns)


def _decode(body: bytes, tenant: str, context: DecodeContext, now_ns: int) -> Batch:
    rejections = Rejections()
    request = wire.parse("LogsRequest", body)
    raws, origins = raw_records(request, "resource_logs", "scope_logs", "log_records", context)
    if not raws:
        return batch_of(tenant, 0, {}, rejections)
    records = scan("LogRecord", raws)
    at, observed = records.words("time_unix_nano"), records.words("observed_time_unix_nano")
    observed = np.where(observed == 0, np.uint64(now_ns), observed)
    at = np.where(at == 0, observed, at)
    keep = check_times(at, "log time", context, rejections)
    resources = resources_used(origins, at, keep, tenant, context, rejections)
    times = np.where(keep, at, 0), np.minimum(observed, np.uint64(context.latest_ns))
    rows = kept(_rows(records, origins, times, context, rejections), keep)
    senders = senders_of("logs", origins, at, keep)
    return batch_of(tenant, rows.num_rows, {"resources": resources, "logs": rows}, rejections, senders)


def _rows(
    records: Scanned,
    origins: Origins,
    times: tuple[np.ndarray, np.ndarray],
    context: DecodeContext,
    rejections: Rejections,
) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [
            *map(nanoseconds, times),
            origins.services(),
            enums(records.varints("severity_number"), _LARGEST_SEVERITY),
            texts(records.pieces("severity_text")),
            texts(records.pieces("event_name")),
            *_bodies(records.pieces("body"), context.body_limit_bytes, rejections),
            _ids(records.pieces("trace_id"), 16, rejections),
            _ids(records.pieces("span_id"), 8, rejections),
            pa.array(records.halves("flags")),
            origins.rids(),
            origins.scope_texts(),
            *context.attributes.columns(*records.repeated("attributes"), rejections),
            pa.array(records.varints("dropped_attributes_count").astype(np.uint32)),
        ],
        schema=LOGS,
    )


def _ids(pieces: Pieces, width: int, rejections: Rejections) -> pa.Array:
    matrix, right = ids(pieces, width)
    alter(rejections, ~right, "invalid_trace_context", "a trace id is 16 bytes, a span id 8; left out")
    return id_column(matrix)


def _bodies(pieces: Pieces, limit: int, rejections: Rejections) -> list[pa.Array]:
    """Columns body and body_json: text as it is, anything else as JSON text (values.py)."""
    inner, is_text = _texts_in(pieces, limit)
    column = binary(inner)
    is_json = np.zeros(len(is_text), np.bool_)
    if not is_text.all():
        stored = column.to_pylist()
        others = np.flatnonzero(~is_text)
        raws = Pieces(pieces.body, pieces.data, pieces.starts[others], pieces.lengths[others]).raws()
        for position, raw in zip(others.tolist(), raws, strict=True):
            text, is_json[position], cut = _body(raw, limit)
            stored[position] = text.encode()
            if cut:
                rejections.alter("body_cut", f"bodies over {limit} bytes are cut")
        column = pa.array(stored, pa.binary())
    return [as_text(column), pa.array(is_json)]


def _texts_in(pieces: Pieces, limit: int) -> tuple[Pieces, np.ndarray]:
    """Bodies that are a text below 16 KiB (0A length text): the texts, empty elsewhere, and bool[n], which they are."""
    data, starts = pieces.data, pieces.starts
    first, second = data.take(starts + 1).astype(np.int64), data.take(starts + 2).astype(np.int64)
    long = first >= 0x80  # noqa: PLR2004 - the length goes on in a second byte
    lengths = np.where(long, (first & 0x7F) | (second << 7), first)
    begins = starts + 2 + long
    ends_there = (data.take(starts) == 0x0A) & (begins + lengths == pieces.ends)  # noqa: PLR2004 - the tag, see above
    is_text = ends_there & ~(long & (second >= 0x80)) & (lengths <= limit)  # noqa: PLR2004
    is_text &= pieces.lengths > 0
    return Pieces(pieces.body, data, np.where(is_text, begins, starts), np.where(is_text, lengths, 0)), is_text


def _body(raw: bytes, limit: int) -> tuple[str, bool, bool]:
    """The text of a body, whether it is JSON, whether it was cut."""
    value = wire.parse("AnyValue", raw)
    match value.WhichOneof("which"):
        case None:
            return "", True, False  # no body at all, which is not the empty text
        case "string_value":
            return values.text(value.string_value[:limit]), False, len(value.string_value) > limit
        case _:
            stored, cut = values.to_json_within(values.plain(value), limit)
            return stored, True, cut
