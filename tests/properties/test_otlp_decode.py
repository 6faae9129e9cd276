"""Same bytes, same rows: the vectorised OTLP decoder against a slow one on the generated classes.

GNOMON_EXAMPLES makes the search longer.
"""

import os
from typing import Any

import otlp_reference as reference
import otlp_requests as requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gnomon_server.decode.otlp.attributes import AttributeTable
from gnomon_server.decode.otlp.context import DecodeContext
from gnomon_server.decode.otlp.logs import decode_logs
from gnomon_server.decode.otlp.metric import Metrics
from gnomon_server.decode.otlp.metrics import decode_metrics
from gnomon_server.decode.otlp.traces import decode_traces
from gnomon_server.model.tables import SERIES

NOW_NS = requests.NOW_NS
LATEST_NS = NOW_NS + 2 * 86_400_000_000_000
thorough = settings(
    max_examples=int(os.environ.get("GNOMON_EXAMPLES", "40")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


_DAY_AND_ID = [sorted(SERIES.names).index(name) for name in ("day", "id")]


def same(batch: Any, rows: Any) -> None:
    """Every row of every table, the count of records, and what was refused."""
    assert set(batch.tables) == {name for name, found in rows.tables.items() if found}
    for name, table in batch.tables.items():
        table.validate(full=True)
        found, expected = reference.arrow_rows(table), reference.table_of(rows.tables[name])
        if name == "series":
            allowed = reference.table_of(rows.descriptions)
            assert [row for row in found if row not in allowed] == []
            found, expected = ([[row[place] for place in _DAY_AND_ID] for row in some] for some in (found, expected))
            found, expected = sorted(found), sorted(expected)
        assert found == expected, name
    assert batch.records == rows.records
    assert batch.rejections.refused == rows.refused


def context() -> DecodeContext:
    """Fresh caches, and a clock two days before the latest time in the requests."""
    return DecodeContext(latest_ns=LATEST_NS)


@thorough
@given(requests.trace_requests)
def test_spans_are_those_of_the_reference(request: Any) -> None:
    """Every column of every span and resource."""
    body = request.SerializeToString()
    same(decode_traces(body, "default", context()), reference.traces(body, LATEST_NS))


@thorough
@given(requests.log_requests)
def test_log_records_are_those_of_the_reference(request: Any) -> None:
    """Every column of every log record and resource."""
    body = request.SerializeToString()
    same(decode_logs(body, "default", context(), NOW_NS), reference.logs(body, NOW_NS, LATEST_NS))


@thorough
@given(requests.metric_requests)
def test_metrics_are_those_of_the_reference(request: Any) -> None:
    """Every sample, series, native histogram, exemplar and description."""
    body = request.SerializeToString()
    same(decode_metrics(body, "default", context()), reference.metrics(body, LATEST_NS))


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(requests.trace_requests, max_size=4), st.lists(requests.metric_requests, max_size=4))
def test_caches_do_not_show(traces: Any, metrics: Any) -> None:
    """Many batches through one context with tiny caches are the same rows as each through a fresh one."""
    kept = context()
    kept.attributes = AttributeTable(kept.attribute_limits, max_entries=3, max_bytes=50)
    kept.metrics = Metrics(max_bytes=3000)
    for decode, sent in ((decode_traces, traces), (decode_metrics, metrics)):
        for request in [*sent, *sent]:
            body = request.SerializeToString()
            one, other = decode(body, "default", kept), decode(body, "default", context())
            assert set(one.tables) == set(other.tables)
            for name in one.tables:
                assert reference.arrow_rows(one.tables[name]) == reference.arrow_rows(other.tables[name])


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(requests.attributes, st.randoms())
def test_the_order_of_attributes_does_not_change_a_series(attributes: Any, random: Any) -> None:
    """Identity is the sorted labels."""

    def ids(pairs: Any) -> Any:
        request = requests.ExportMetricsServiceRequest()
        metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="m")
        metric.gauge.data_points.add(time_unix_nano=NOW_NS, as_double=1.0, attributes=pairs)
        batch = decode_metrics(request.SerializeToString(), "default", context())
        return batch.tables["samples"].column("id").to_pylist()

    distinct = list({pair.key: pair for pair in attributes}.values())
    assert ids(distinct) == ids(random.sample(distinct, len(distinct)))


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(requests.spans, st.data())
def test_what_ordinary_encoders_do_not_write_is_read_too(span: Any, data: Any) -> None:
    """Fields in any order, twice, unknown ones between them: legal protobuf, and the rows of the reference."""
    raw = bytearray()
    pieces = [_encoded(field, span) for field in span.DESCRIPTOR.fields]
    pieces += data.draw(
        st.lists(
            st.sampled_from(
                [
                    b"\x98\x06\x05",  # field 99, a number
                    b"\x9a\x06\x02hi",  # field 99, bytes
                    b"\x9b\x06\x08\x01\x9c\x06",  # field 99, a group
                    b"\x2a\x01n",  # the name once more
                    b"\x7a\x02\x18\x02",  # a status in two pieces
                    b"\x7a\x04\x12\x02no",
                    b"\x30\x82\x80\x80\x00",  # kind, in more bytes than it needs
                ]
            ),
            max_size=4,
        )
    )
    for piece in data.draw(st.permutations(pieces)):
        raw += piece
    scoped = b"".join(b"\x12" + _length(len(raw)) + bytes(raw) for _ in range(data.draw(st.sampled_from([1, 9]))))
    group = b"\x12" + _length(len(scoped)) + scoped
    body = b"\x0a" + _length(len(group)) + group
    same(decode_traces(body, "default", context()), reference.traces(body, LATEST_NS))


def _encoded(field: Any, message: Any) -> bytes:
    alone = type(message)()
    value = getattr(message, field.name)
    if field.message_type is None and not field.is_repeated:
        setattr(alone, field.name, value)
    elif field.is_repeated:
        getattr(alone, field.name).extend(value)
    elif message.HasField(field.name):
        getattr(alone, field.name).CopyFrom(value)
    return alone.SerializeToString()


def _length(number: int) -> bytes:
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
