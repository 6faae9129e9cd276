"""Prometheus' API beside a real Prometheus 2.42 that was sent the same: the same bytes where that is promised."""

import json
import shutil
import urllib.request
from collections.abc import Mapping
from typing import Any

import pytest
from tests.prometheus_pair import STEPS, Pair, assert_alike
from tests.real_prometheus import ask

from gnomon_server.decode.exposition.messages import message_class

pytestmark = pytest.mark.skipif(not shutil.which("prometheus"), reason="prometheus is not installed")

EXACT = (
    "requests_total", "odd", "gone", "latency_bucket", "odd * 2", "-odd", "time()", "1", "vector(1e21)",
    "topk(2, requests_total)", "nothing",
    "max by (code) (requests_total)", 'count_values("v", gone)',
)  # fmt: skip
CLOSE = (
    "native",
    "sum by (code) (rate(requests_total[2m]))",
    "rate(native[2m])",
    "sum(native)",
    "histogram_quantile(0.9, rate(latency_bucket[2m]))",
)
AT_ONE_TIME = ("gone[5m]", "native[2m]", "gone[90s:10s]", "requests_total[40s]", '"a <b> é"')
WRONG = (
    "sum(", "up{", "rate(up)", '1+"a"', "sum by (a) (", "rate(requests_total[5m]", "nosuch(up)", "{}", "1 ==bool",
    "quantile(1, up, 3)", '-"a"', 'histogram_quantile("a", up)', "foo bar",
)  # fmt: skip


@pytest.mark.parametrize("form", [False, True], ids=["GET", "POST"])
@pytest.mark.parametrize("query", EXACT)
def test_answers_byte_for_byte(pair: Pair, query: str, *, form: bool) -> None:
    """Range and instant queries, odd numbers and stale markers among the answers, by URL and by form."""
    ours, theirs = pair.both("/api/v1/query_range", {"query": query, **pair.times}, form=form)
    assert ours == theirs
    ours, theirs = pair.both("/api/v1/query", {"query": query, "time": pair.times["end"]}, form=form)
    if query.startswith("topk") or " " not in query:
        assert ours == theirs
    assert _sorted(_data(ours)) == _sorted(_data(theirs))


def test_a_large_answer_byte_for_byte(pair: Pair) -> None:
    """One that is sent while it is made: 34 series at 11,000 steps."""
    every = '{__name__=~"requests_total|latency_bucket|odd|gone"}'
    query = f'{every} or label_replace({every}, "twin", "yes", "", "")'
    start = pair.end_ms / 1000 - 1_100
    times = {"start": f"{start:.3f}", "end": f"{start + 1_099.9:.3f}", "step": "0.1"}
    ours, theirs = pair.both("/api/v1/query_range", {"query": query, **times})
    assert len(ours[1]) > 8 << 20
    assert ours == theirs


@pytest.mark.parametrize("query", [*CLOSE, *AT_ONE_TIME])
def test_answers_alike(pair: Pair, query: str) -> None:
    """Calculated numbers and the bounds of native histograms differ by their last digit at most."""
    if query in CLOSE:
        assert_alike(*map(_data, pair.both("/api/v1/query_range", {"query": query, **pair.times})))
    # Off the samples' grid and that of subqueries: a window's left edge is open in 3.x.
    at = f"{(pair.end_ms + 3_125) / 1000:.3f}"
    ours, theirs = map(_data, pair.both("/api/v1/query", {"query": query, "time": at}))
    assert_alike(_sorted(ours), _sorted(theirs))
    assert ours["result"]


@pytest.mark.parametrize("query", WRONG)
def test_errors_byte_for_byte(pair: Pair, query: str) -> None:
    """A query that cannot be read has the same status and words; in 3.x a range query's name the parameter, too."""
    ours, theirs = pair.both("/api/v1/query", {"query": query})
    assert ours == theirs
    assert ours[0] == 400
    in_range = ask(pair.ours, "/api/v1/query_range", {"query": query, **pair.times})
    assert in_range == ours


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        ("labels", {}),
        ("labels", {"match[]": ["odd", "gone"]}),
        ("label/__name__/values", {}),
        ("label/path/values", {"match[]": "requests_total{code='200'}"}),
        ("label/none/values", {}),
        ("series", {"match[]": ["odd", "{__name__=~'g.*'}", "odd"]}),
        ("series", {"match[]": "none"}),
        ("series", {}),
        ("series", {"match[]": "{}"}),
        ("series", {"match[]": "sum(up)"}),
        ("query", {"query": "up", "timeout": "x"}),
        ("query_range", {"query": "up"}),
        ("query_range", {"query": "up", "start": "2", "end": "1", "step": "1"}),
        ("query_range", {"query": "up", "start": "2", "end": "3", "step": "0"}),
        ("query_range", {"query": "up", "start": "2", "end": "3", "step": "x"}),
        ("query_range", {"query": "up", "start": "2", "end": "3", "step": "1e300"}),
        ("query_range", {"query": "up", "start": "1", "end": "11002", "step": "1"}),
        ("query_exemplars", {"query": "latency_bucket"}),
        ("query_exemplars", {"query": "1"}),
        ("format_query", {"query": "sum(a)by(b)"}),
        ("format_query", {"query": "sum("}),
        ("metadata", {}),
        ("rules", {}),
        ("alerts", {}),
        ("alertmanagers", {}),
        ("status/walreplay", {}),
    ],
)
def test_other_endpoints_byte_for_byte(pair: Pair, path: str, parameters: Mapping[str, Any]) -> None:
    """What is not a query says the same, right or wrong."""
    ours, theirs = pair.both(f"/api/v1/{path}", parameters)
    assert ours == theirs


def test_federate_byte_for_byte(pair: Pair) -> None:
    """The newest sample of each series, in the text format."""
    ours, theirs = pair.both("/federate", {"match[]": ["odd", "requests_total", "gone", "odd", "native"]})
    assert ours == theirs


def test_federate_in_protobuf(pair: Pair) -> None:
    """The same with native histograms, for who prefers it; messages are equal, zeros apart, which we leave out."""
    prefers = {"Accept": "text/plain;version=0.0.4;q=0.5,application/vnd.google.protobuf;encoding=delimited;"
               "proto=io.prometheus.client.MetricFamily;q=0.8"}  # fmt: skip
    asked = {"match[]": ["odd", "requests_total", "gone", "native"]}
    ours, theirs = (_families(ask(url, "/federate", asked, headers=prefers)[1]) for url in (pair.ours, pair.theirs))
    assert ours == theirs
    assert [(family.name, family.type, len(family.metric)) for family in ours] == [
        (b"gone", 3, 1), (b"native", 4, 1), (b"odd", 3, 1), (b"requests_total", 3, 12),
    ]  # fmt: skip
    (native,) = ours[1].metric
    assert (native.histogram.sample_count_float, native.histogram.schema) == (6 * (STEPS - 1), 1)


def _families(body: bytes) -> list[Any]:
    found, at = [], 0
    while at < len(body):
        length, shift = 0, 0
        while body[at] & 0x80:
            length, shift, at = length | (body[at] & 0x7F) << shift, shift + 7, at + 1
        length, at = length | body[at] << shift, at + 1
        found.append(message_class("MetricFamily").FromString(body[at : at + length]))
        at += length
    return found


def test_the_console_s_paths_have_both_prefixes(pair: Pair) -> None:
    """Everything is served at the root and below /prometheus; preflights and HEAD are answered."""
    for path, parameters in (("/api/v1/query", {"query": "1", "time": "1"}), ("/-/ready", {}), ("/-/healthy", {})):
        assert ask(pair.ours, f"/prometheus{path}", parameters) == ask(pair.theirs, path, parameters)
    for method, path in (("OPTIONS", "/api/v1/query"), ("HEAD", "/-/ready"), ("HEAD", "/-/healthy")):
        assert _status(pair.ours, path, method) == _status(pair.theirs, path, method)


def test_status_of_the_server(pair: Pair) -> None:
    """Members that clients read are there, and the counts of series are Prometheus'."""
    for path in ("buildinfo", "runtimeinfo", "tsdb"):
        ours, theirs = (json.loads(body)["data"] for _, body in pair.both(f"/api/v1/status/{path}", {}))
        assert set(theirs) <= set(ours)
    for name in ("seriesCountByMetricName", "labelValueCountByLabelName", "memoryInBytesByLabelName"):
        assert sorted(ours[name], key=str) == sorted(theirs[name], key=str)
    assert ours["headStats"]["numSeries"] == theirs["headStats"]["numSeries"]
    assert set(json.loads(ask(pair.ours, "/api/v1/features")[1])["data"]) >= {"api", "promql", "promql_functions"}


def test_limits_cut_and_say_so(pair: Pair) -> None:
    """`limit` leaves series, names and values out, with the warning of 3.x."""
    times = {"start": pair.times["start"], "end": pair.times["end"], "step": "60"}
    asked = [
        ("query", {"query": "requests_total", "time": pair.times["end"]}),
        ("query_range", {"query": "requests_total", **times}),
        ("labels", {}),
        ("label/__name__/values", {}),
        ("series", {"match[]": "requests_total"}),
    ]
    for path, parameters in asked:
        status, body = ask(pair.ours, f"/api/v1/{path}", {**parameters, "limit": 2})
        said = json.loads(body)
        found = said["data"]["result"] if "query" in path else said["data"]
        assert (status, len(found), said["warnings"]) == (200, 2, ["results truncated due to limit"])
        assert "warnings" not in json.loads(ask(pair.ours, f"/api/v1/{path}", {**parameters, "limit": 100})[1])


def test_stats_lookback_and_timeout(pair: Pair) -> None:
    """Asked for, the cost is told; a short lookback sees nothing; no time at all is a timeout."""
    asked = {"query": "requests_total", "time": pair.times["end"]}
    whole = {"query": "requests_total[1m]", "time": pair.times["end"], "stats": "all"}
    stats = json.loads(ask(pair.ours, "/api/v1/query", whole)[1])["data"]["stats"]
    assert stats["samples"]["totalQueryableSamples"] == 48
    assert stats["timings"]["execTotalTime"] > 0
    late = {**asked, "time": f"{pair.end_ms / 1000 + 60:.3f}"}
    assert len(json.loads(ask(pair.ours, "/api/v1/query", late)[1])["data"]["result"]) == 12
    assert not json.loads(ask(pair.ours, "/api/v1/query", {**late, "lookback_delta": "30s"})[1])["data"]["result"]
    status, body = ask(pair.ours, "/api/v1/query", {**asked, "timeout": "0s"})
    assert (status, json.loads(body)["errorType"]) == (503, "timeout")


def _data(answer: tuple[int, bytes]) -> dict[str, Any]:
    assert answer[0] == 200, answer
    data: dict[str, Any] = json.loads(answer[1])["data"]
    return data


def _sorted(data: dict[str, Any]) -> dict[str, Any]:
    if data["resultType"] in ("vector", "matrix"):
        return {**data, "result": sorted(data["result"], key=lambda one: str(one["metric"]))}
    return data


def _status(address: str, path: str, method: str) -> int:
    request = urllib.request.Request(f"{address}{path}", method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return int(answer.status)
