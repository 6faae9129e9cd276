"""What becomes of answers, scrape after scrape, without a network: rows, counts, markers."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from gnomon_server.decode.exposition.messages import message_class
from gnomon_server.decode.otlp.context import NothingSeen
from gnomon_server.model.batch import Batch
from gnomon_server.model.relabel import Relabeller
from gnomon_server.model.series import STALE_BITS, Kind, series_id
from gnomon_server.receive.scrape.client import Answer
from gnomon_server.receive.scrape.digest import Taken, TargetDigest, Times
from gnomon_server.receive.scrape.settings import ScrapeSettings
from gnomon_server.receive.scrape.targets import Target, make_target

LABELS = {"job": "j", "instance": "h:1"}
PROTOBUF = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"


class _Scrapes:
    """One target's answers, a second apart."""

    def __init__(self, **keys: Any) -> None:
        (job,) = ScrapeSettings.model_validate({"configs": [{"job_name": "j", **keys}]}).jobs()
        target = make_target(job, Relabeller([]), {"__address__": "h:1"})
        assert isinstance(target, Target)
        self.digest = TargetDigest(target, job, "default", NothingSeen())
        self.at_ms = 1_700_000_000_000

    def __call__(self, body: bytes | str, content_type: str = "text/plain", encoding: str = "") -> Taken:
        self.at_ms += 1000
        raw = body.encode() if isinstance(body, str) else body
        times = Times(self.at_ms, self.at_ms + 60_000)
        return self.digest.answered(Answer(raw, content_type, encoding), times, lambda: 0.25)


def _values(batch: Batch, *names: str) -> list[Any]:
    """The samples of these metrics, in the batch's order; "stale" for a marker."""
    wanted = {series_id(name, LABELS) for name in names}
    samples = batch.tables["samples"]
    bits = samples["v"].to_numpy().view(np.uint64)
    return [
        "stale" if bits[place] == STALE_BITS else value
        for place, (identity, value) in enumerate(zip(samples["id"].to_pylist(), samples["v"].to_pylist(), strict=True))
        if identity in wanted
    ]


def test_an_answer_becomes_rows() -> None:
    """Series with kinds and labels, samples at the scrape's time, metadata; and the scrape's own series."""
    scrape = _Scrapes(extra_scrape_metrics=True)
    taken = scrape("# HELP a_total Help\n# TYPE a_total counter\na_total 5\n")
    tables = taken.batch.tables
    series = {row["metric"]: row for row in tables["series"].to_pylist()}
    assert (series["a_total"]["kind"], dict(series["a_total"]["labels"]), series["a_total"]["service"]) == (
        Kind.COUNTER, LABELS, "j",
    )  # fmt: skip
    assert set(tables["samples"]["ts"].cast(pa.int64()).to_pylist()) == {scrape.at_ms}
    assert tables["metric_meta"].to_pylist() == [
        {"metric": "a_total", "type": "counter", "unit": "", "help": "Help", "temporality": 2, "monotonic": True,
         "s": []},
    ]  # fmt: skip
    own = "up", "scrape_duration_seconds", "scrape_samples_scraped", "scrape_samples_post_metric_relabeling"
    assert _values(taken.batch, *own, "scrape_series_added", "scrape_body_size_bytes") == [1, 0.25, 1, 1, 1, 53]
    assert taken.problem == ""


def test_metadata_is_offered_until_it_is_stored() -> None:
    """And again when it changes."""
    scrape = _Scrapes()
    body = "# HELP a Help\na 5\n"
    taken = [scrape(body), scrape(body)]
    scrape.digest.stored(taken[1].families)
    taken += [scrape(body), scrape(body.replace("Help", "Other"))]
    assert ["metric_meta" in one.batch.tables for one in taken] == [True, True, False, True]


def test_markers() -> None:
    """Once for what vanishes, for all when the scrape fails, none for what has a time of its own."""
    scrape = _Scrapes()
    scrape(f"a 1\nb 2\nc 3 {scrape.at_ms}\n")
    assert _values(scrape("a 1\n").batch, "a", "b", "c") == [1, "stale"]
    assert _values(scrape("a 1\n").batch, "a", "b", "c") == [1]
    failed = scrape("a what\n")
    assert _values(failed.batch, "a", "up") == ["stale", 0]
    assert "a value is a number" in failed.problem
    assert _values(scrape("a what\n").batch, "a", "up") == [0]
    assert _values(scrape("a 2\n").batch, "a", "scrape_series_added") == [2, 0]
    removed = scrape.digest.removed(Times(scrape.at_ms + 1000, scrape.at_ms + 2000))
    assert _values(removed, "a", "up", "scrape_duration_seconds") == ["stale"] * 3


def test_tracked_timestamps() -> None:
    """`track_timestamps_staleness` marks those too; without `honor_timestamps` there are none."""
    scrape = _Scrapes(track_timestamps_staleness=True)
    scrape(f"a 1 {scrape.at_ms}\nb 1\n")
    assert _values(scrape("b 1\n").batch, "a") == ["stale"]
    scrape = _Scrapes(honor_timestamps=False)
    assert set(scrape("a 1 5\n").batch.tables["samples"]["ts"].cast(pa.int64()).to_pylist()) == {scrape.at_ms}


def test_a_failed_scrape_leaves_nothing_behind() -> None:
    """Its series are not stored, and are new when they come in a scrape that succeeds."""
    scrape = _Scrapes(sample_limit=2)
    failed = scrape("a 1\nb 1\nc 1\n")
    assert "sample_limit" in failed.problem
    assert _values(failed.batch, "a", "b", "c", "scrape_samples_scraped", "scrape_series_added") == [3, 0]
    assert _values(scrape("a 1\nb 1\n").batch, "scrape_series_added") == [2]


@pytest.mark.parametrize(
    ("content_type", "encoding", "words"),
    [
        ("", "", "no Content-Type"),
        ("text/html", "", "text/html"),
        ("text/plain", "gzip", "not whole, valid gzip"),
        ("text/plain", "br", "br"),
    ],
)
def test_answers_that_are_none(content_type: str, encoding: str, words: str) -> None:
    """A format or an encoding that is not known is a failed scrape with a reason."""
    assert words in _Scrapes()("a 1\n", content_type, encoding).problem


def test_the_fallback_format() -> None:
    """`fallback_scrape_protocol` names the format where the target does not."""
    scrape = _Scrapes(fallback_scrape_protocol="PrometheusText0.0.4")
    assert _values(scrape("a 1\n", "").batch, "a", "up") == [1, 1]


def test_times_out_of_bounds() -> None:
    """Samples from before 1970 or from the far future are refused; the others are stored."""
    scrape = _Scrapes()
    taken = scrape(f"a 1 -5\nb 1 {scrape.at_ms * 2}\nc 1\n")
    assert _values(taken.batch, "a", "b", "c", "up") == [1, 1]
    assert taken.batch.rejections.refused == {"time_out_of_bounds": 2}


def test_native_histograms() -> None:
    """Their own table, series of their own kind, and a marker in the sum when they vanish."""
    family = message_class("MetricFamily")(name=b"h", type=4, help=b"Help")
    histogram = family.metric.add().histogram
    histogram.sample_count, histogram.sample_sum, histogram.schema, histogram.zero_threshold = 6, 3.5, 3, 1e-9
    histogram.positive_span.add(offset=-2, length=3)
    histogram.positive_delta.extend([1, 2, -1])
    raw = family.SerializeToString()
    scrape = _Scrapes(scrape_native_histograms=True)
    taken = scrape(bytes([len(raw)]) + raw, PROTOBUF)
    assert taken.problem == ""
    (row,) = taken.batch.tables["native_histograms"].to_pylist()
    assert (row["id"], row["count"], row["schema"]) == (series_id("h", LABELS), 6, 3)
    assert (row["p_idx"], row["p_cnt"]) == ([-2, -1, 0], [1, 3, 2])
    assert {one["metric"]: one["kind"] for one in taken.batch.tables["series"].to_pylist()}["h"] == Kind.EXPONENTIAL
    gone = scrape("a 1\n").batch.tables["native_histograms"]
    assert gone["sum"].to_numpy().view(np.uint64).tolist() == [STALE_BITS]


def test_exemplars() -> None:
    """Ids have columns of their own; the time is the sample's unless the exemplar has one."""
    scrape = _Scrapes()
    trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    taken = scrape(
        f'# TYPE a counter\na_total 1 # {{trace_id="{trace}",span_id="{span}",k="v"}} 0.5\n# EOF\n',
        "application/openmetrics-text; version=1.0.0",
    )
    (row,) = taken.batch.tables["exemplars"].to_pylist()
    assert (row["trace_id"].hex(), row["span_id"].hex(), row["s"], row["v"]) == (trace, span, [("k", "v")], 0.5)
    assert (row["id"], row["ts"].timestamp() * 1000) == (series_id("a_total", LABELS), scrape.at_ms)
