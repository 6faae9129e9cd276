"""The Arrow schema of each table's rows, as decoders produce them: the only exchange format between the parts.

Column names and meanings are those of store/sql/0001_tables.sql, less `tenant` and `ret`, which intake adds. Times are
`timestamp[ns, UTC]` for spans and logs, `timestamp[ms, UTC]` for samples. Ids are fixed-size binary, zero for none.
"""

import pyarrow as pa

NS = pa.timestamp("ns", tz="UTC")
MS = pa.timestamp("ms", tz="UTC")
TRACE_ID = pa.binary(16)
SPAN_ID = pa.binary(8)

# Attributes keep their types: text, integers, floats, booleans; `j` holds arrays, maps, bytes and nulls as JSON text.
ATTRIBUTES: list[tuple[str, pa.DataType]] = [
    ("s", pa.map_(pa.string(), pa.string())),
    ("i", pa.map_(pa.string(), pa.int64())),
    ("f", pa.map_(pa.string(), pa.float64())),
    ("b", pa.map_(pa.string(), pa.bool_())),
    ("j", pa.map_(pa.string(), pa.string())),
]

SPANS = pa.schema(
    [
        ("ts", NS),
        ("dur", pa.uint64()),
        ("trace_id", TRACE_ID),
        ("span_id", SPAN_ID),
        ("parent_id", SPAN_ID),
        ("state", pa.string()),
        ("flags", pa.uint32()),
        ("service", pa.dictionary(pa.int32(), pa.string())),
        ("name", pa.string()),
        ("kind", pa.uint8()),
        ("status", pa.uint8()),
        ("status_msg", pa.string()),
        ("rid", pa.uint64()),
        ("scope", pa.dictionary(pa.int32(), pa.string())),
        *ATTRIBUTES,
        ("dropped", pa.uint32()),
        ("ev_ts", pa.list_(NS)),
        ("ev_name", pa.list_(pa.string())),
        ("ev_j", pa.list_(pa.string())),
        ("ln_trace", pa.list_(TRACE_ID)),
        ("ln_span", pa.list_(SPAN_ID)),
        ("ln_j", pa.list_(pa.string())),
    ]
)

LOGS = pa.schema(
    [
        ("ts", NS),
        ("observed", NS),
        ("service", pa.dictionary(pa.int32(), pa.string())),
        ("sev", pa.uint8()),
        ("sev_text", pa.string()),
        ("event", pa.string()),
        ("body", pa.string()),
        ("body_json", pa.bool_()),
        ("trace_id", TRACE_ID),
        ("span_id", SPAN_ID),
        ("flags", pa.uint32()),
        ("rid", pa.uint64()),
        ("scope", pa.dictionary(pa.int32(), pa.string())),
        *ATTRIBUTES,
        ("dropped", pa.uint32()),
    ]
)

RESOURCES = pa.schema([("day", pa.date32()), ("rid", pa.uint64()), ("service", pa.string()), *ATTRIBUTES])

SERIES = pa.schema(
    [
        ("day", pa.date32()),
        ("metric", pa.string()),
        ("id", pa.uint64()),
        ("kind", pa.uint8()),
        ("rid", pa.uint64()),
        ("service", pa.string()),
        ("scope", pa.string()),
        ("name", pa.string()),
        ("labels", pa.map_(pa.string(), pa.string())),
        *ATTRIBUTES,
    ]
)

SAMPLES = pa.schema(
    [
        ("id", pa.uint64()),
        ("ts", MS),
        ("v", pa.float64()),
        ("start", MS),
        ("sent", pa.float64()),
        ("exact", pa.int64()),
    ]
)

# What of a native histogram adds up. Where the sender reports changes, these are totals, and `sent_*` is what was sent.
HISTOGRAM_VALUES: list[tuple[str, pa.DataType]] = [
    ("schema", pa.int8()),
    ("count", pa.float64()),
    ("sum", pa.float64()),
    ("zero_threshold", pa.float64()),
    ("zero_count", pa.float64()),
    ("p_idx", pa.list_(pa.int32())),
    ("p_cnt", pa.list_(pa.float64())),
    ("n_idx", pa.list_(pa.int32())),
    ("n_cnt", pa.list_(pa.float64())),
]

NATIVE_HISTOGRAMS = pa.schema(
    [
        ("id", pa.uint64()),
        ("ts", MS),
        ("start", MS),
        ("hint", pa.uint8()),
        ("is_float", pa.bool_()),
        ("min", pa.float64()),
        ("max", pa.float64()),
        ("bounds", pa.list_(pa.float64())),
        *HISTOGRAM_VALUES,
        *((f"sent_{name}", kind) for name, kind in HISTOGRAM_VALUES),
    ]
)

EXEMPLARS = pa.schema(
    [
        ("id", pa.uint64()),
        ("ts", MS),
        ("v", pa.float64()),
        ("trace_id", TRACE_ID),
        ("span_id", SPAN_ID),
        ("s", pa.map_(pa.string(), pa.string())),
    ]
)

METRIC_META = pa.schema(
    [
        ("metric", pa.string()),
        ("type", pa.string()),
        ("unit", pa.string()),
        ("help", pa.string()),
        ("temporality", pa.uint8()),
        ("monotonic", pa.bool_()),
        ("s", pa.map_(pa.string(), pa.string())),
    ]
)

TABLES: dict[str, pa.Schema] = {
    "resources": RESOURCES,
    "metric_meta": METRIC_META,
    "series": SERIES,
    "samples": SAMPLES,
    "native_histograms": NATIVE_HISTOGRAMS,
    "exemplars": EXEMPLARS,
    "spans": SPANS,
    "logs": LOGS,
}
"""In the order of writing: what is referred to (resources, series) is there before what refers to it."""
