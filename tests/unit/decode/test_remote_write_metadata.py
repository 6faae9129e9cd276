"""What remote write says about metrics beside their points: kinds, descriptions, senders, exemplars' traces."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests import remote_write
from tests.remote_write import V1, V2

from gnomon_server.decode.remote_write.context import WriteContext
from gnomon_server.decode.remote_write.request import Decoded, Message, decode_write
from gnomon_server.intake.memory import SeenRows
from gnomon_server.model.batch import Sender
from gnomon_server.model.series import Kind, meta_key

NOW_MS = 1_790_000_000_000


def decoded(message: str, *series: Any, context: WriteContext | None = None, **beside: Any) -> Decoded:
    """The batch of these series."""
    body = remote_write.request(message, series, **beside)
    return decode_write(body, Message(message), "t", context or WriteContext())


@pytest.mark.parametrize(
    ("type_", "metric", "kind", "family"),
    [
        ("counter", "m_total", Kind.COUNTER, "m_total"),
        ("gauge", "m", Kind.GAUGE, "m"),
        ("histogram", "m_bucket", Kind.BUCKET, "m"),
        ("histogram", "m_sum", Kind.HISTOGRAM_SUM, "m"),
        ("histogram", "m_count", Kind.HISTOGRAM_COUNT, "m"),
        ("gaugehistogram", "m_gsum", Kind.HISTOGRAM_SUM, "m"),
        ("summary", "m", Kind.QUANTILE, "m"),
        ("summary", "m_count", Kind.SUMMARY_COUNT, "m"),
        ("info", "m_info", Kind.INFO, "m_info"),
        ("stateset", "m", Kind.GAUGE, "m"),
        ("unknown", "m", Kind.UNKNOWN, "m"),
    ],
)
def test_a_series_of_each_type(type_: str, metric: str, kind: Kind, family: str) -> None:
    """In 2.0 a series says its type: it becomes its kind, and a description of the family."""
    series = {"labels": {"__name__": metric}, "samples": [(1.0, NOW_MS)], "type": type_, "help": "Why.", "unit": "s"}
    tables = decoded(V2, series).batch.tables
    assert tables["series"]["kind"].to_pylist() == [kind]
    assert [row[name] for row in tables["metric_meta"].to_pylist() for name in ("metric", "type", "unit", "help")] == [
        family, type_, "s", "Why.",
    ]  # fmt: skip


@pytest.mark.parametrize("message", [V1, V2])
def test_the_kind_of_a_native_histogram(message: str) -> None:
    """A series of native histograms is told from one of numbers."""
    series = {"labels": {"__name__": "m"}, "histograms": [{"count_int": 0, "timestamp": NOW_MS}]}
    assert decoded(message, series).batch.tables["series"]["kind"].to_pylist() == [Kind.EXPONENTIAL]


def test_descriptions_of_version_1() -> None:
    """Prometheus sends them in requests of their own, without a series."""
    metadata = [
        {"type": 1, "metric_family_name": "m_total", "help": "Why.", "unit": "s"},
        {"type": 99, "metric_family_name": "x"},
        {"type": 1, "metric_family_name": ""},
    ]
    batch = decoded(V1, metadata=metadata).batch
    assert list(batch.tables) == ["metric_meta"]
    assert batch.tables["metric_meta"].to_pylist() == [
        {
            "metric": "m_total", "type": "counter", "unit": "s", "help": "Why.", "temporality": 2, "monotonic": True,
            "s": [],
        },
        {"metric": "x", "type": "unknown", "unit": "", "help": "", "temporality": 0, "monotonic": False, "s": []},
    ]  # fmt: skip


@pytest.mark.parametrize("message", [V1, V2])
def test_what_is_stored_is_not_sent_again(message: str) -> None:
    """Series and descriptions that intake has seen are left out, until the next day for series."""
    seen = SeenRows()
    context = WriteContext(seen=seen)
    series = {"labels": {"__name__": "m", "a": "b"}, "samples": [(1.0, NOW_MS)], "type": "gauge"}
    metadata = [{"type": 2, "metric_family_name": "m"}]
    tables = decoded(message, series, context=context, metadata=metadata).batch.tables
    described, meta = tables["series"], tables["metric_meta"].to_pylist()
    seen.add("t", "series", described["id"].to_numpy(), described["day"].cast(pa.int32()).to_numpy())
    seen.add("t", "meta", np.array([meta_key(row) for row in meta], np.uint64), np.zeros(1, np.int32))
    again = decoded(message, {**series, "samples": [(2.0, NOW_MS + 1)]}, context=context, metadata=metadata)
    assert list(again.batch.tables) == ["samples"]
    tomorrow = decoded(message, {**series, "samples": [(2.0, NOW_MS + 86_400_000)]}, context=context)
    assert list(tomorrow.batch.tables) == ["series", "samples"]


@pytest.mark.parametrize("message", [V1, V2])
def test_senders(message: str) -> None:
    """Each target is watched by its job and instance, with its newest time; series of no job are nobody's."""
    targets = [("a", "1", 5), ("b", "1", 7), ("a", "1", 9), ("a", "2", 3), ("", "1", 4)]
    series = [
        {"labels": {"__name__": "m", "n": str(n), "job": job, "instance": instance}, "samples": [(1.0, at), (1.0, 0)]}
        for n, (job, instance, at) in enumerate(targets)
    ]
    assert sorted(decoded(message, *series).batch.senders) == [
        Sender("metrics", "a", "1", 4, 9_000_000),
        Sender("metrics", "a", "2", 2, 3_000_000),
        Sender("metrics", "b", "1", 2, 7_000_000),
    ]


@pytest.mark.parametrize("message", [V1, V2])
def test_the_traces_of_exemplars(message: str) -> None:
    """Ids that are such stand in their columns, anything else stays a label."""
    trace, span = "0123456789abcdef" * 2, "0123456789abcdef"
    exemplars = [
        ({"trace_id": trace, "span_id": span, "user": "é"}, 1.5, NOW_MS),
        ({"trace_id": "KOO5S4vxi0o"}, 2.5, NOW_MS),
    ]
    series = {"labels": {"__name__": "m"}, "exemplars": exemplars}
    rows = decoded(message, series).batch.tables["exemplars"].to_pylist()
    assert [(row["trace_id"].hex(), row["span_id"].hex(), row["s"], row["v"]) for row in rows] == [
        (trace, span, [("user", "é")], 1.5),
        ("00" * 16, "00" * 8, [("trace_id", "KOO5S4vxi0o")], 2.5),
    ]


@pytest.mark.parametrize("message", [V1, V2])
def test_caches_that_are_full(message: str) -> None:
    """They are emptied, and everything is told as before."""
    context = WriteContext()
    for known in (context.known_1, context.known_2):
        known._max_series = 7
    context.symbols._max_bytes = 2000
    for number in range(30):
        series = [
            {"labels": {"__name__": f"m{number}", "n": str(n)}, "samples": [(1.0, NOW_MS)], "help": f"h{number}"}
            for n in range(number)
        ]
        tables = decoded(message, *series, context=context).batch.tables
        assert (
            [dict(labels)["n"] for labels in tables["series"]["labels"].to_pylist()] == [str(n) for n in range(number)]
            if number
            else not tables
        )
