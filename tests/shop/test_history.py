"""The history generator before a real server: what it says has happened is what is stored, to the unit."""

import argparse
import http.server
import json
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests.server import Server

from gnomon_shop import ledger
from gnomon_shop.faults.plan import Fault, Plan
from gnomon_shop.history import command
from gnomon_shop.history.history import History
from gnomon_shop.history.sender import Acknowledged, Body, RefusedError, Sender
from gnomon_shop.history.weather import Weather
from gnomon_shop.settings import SERVICES
from gnomon_shop.truth.business import sales
from gnomon_shop.truth.records import Ledger

HOUR_NS = 3_600_000_000_000
END = datetime.now(UTC).replace(hour=20, minute=0, second=0, microsecond=0) - timedelta(days=1)
START_NS = (int(END.timestamp()) - 43_200) * 1_000_000_000
# Hours after the start: catalogue fails a share of its requests, and later the bank is slow.
ERRORS_FROM, LATENCY_FROM = 4, 8
FAULTS = f"errors:0.8:{ERRORS_FROM * 3600}:7200,latency:1:{LATENCY_FROM * 3600}:7200"
BASIC = ["--days", "0.5", "--end", END.isoformat(), "--rate", "0.06", "--traces", "2500", "--faults", FAULTS]


def options(*arguments: str) -> argparse.Namespace:
    """As the command line gives them."""
    parser = argparse.ArgumentParser()
    command.configure(parser)
    return parser.parse_args(list(arguments))


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    """A server that has taken half a day, and the directory with its truth."""
    server = Server(tmp_path_factory.mktemp("server"))
    server.start()
    directory = tmp_path_factory.mktemp("history")
    assert command.run(options("--otlp-http", server.otlp_http, "--dir", str(directory), *BASIC)) == 0
    yield server, directory
    server.stop()


def value(server: Server, query: str, **params: Any) -> Any:
    """The one value of a query."""
    (row,) = server.sql(query, **params)
    (only,) = row.values()
    return only


def test_every_record_is_stored(stored: tuple[Server, Path]) -> None:
    """Spans and log records are as many as were acknowledged, no span twice."""
    server, directory = stored
    told = json.loads((directory / "history.json").read_text())
    assert told["rejected"] == {}
    assert int(value(server, "SELECT count() FROM spans")) == told["records"]["traces"]
    assert int(value(server, "SELECT uniqExact(trace_id, span_id) FROM spans")) == told["records"]["traces"]
    assert int(value(server, "SELECT uniqExact(trace_id) FROM spans")) == told["traces"]
    assert int(value(server, "SELECT count() FROM logs")) == told["records"]["logs"]
    assert (
        1500 < told["traces"] < 5000
    )  # 2,500 of an ordinary half day; this one may lie on a weekend, with its own load


def test_traces_are_whole(stored: tuple[Server, Path]) -> None:
    """Every span but the one root of each trace has its parent in the store; only abandoned calls outlast theirs."""
    server, _ = stored
    orphans = """SELECT count() FROM spans WHERE parent_id != ''
        AND (trace_id, parent_id) NOT IN (SELECT trace_id, span_id FROM spans)"""
    assert int(value(server, orphans)) == 0
    roots = "SELECT count() - uniqExact(trace_id) FROM spans WHERE parent_id = ''"
    assert int(value(server, roots)) == 0
    outside = """SELECT count() FROM spans AS child JOIN spans AS parent
        ON child.trace_id = parent.trace_id AND child.parent_id = parent.span_id
        WHERE child.kind != 'consumer' AND (child.time < parent.time OR child.end_time > parent.end_time)"""
    assert (
        int(value(server, outside.replace("child.end_time", _end("child")).replace("parent.end_time", _end("parent"))))
        == 0
    )


def _end(table: str) -> str:
    return f"addNanoseconds({table}.time, {table}.duration_ns)"


def test_facts_events_and_counters_agree(stored: tuple[Server, Path]) -> None:
    """The ledger, the log events and the counters tell the same story, of every step and to the cent."""
    server, directory = stored
    facts = Ledger.read(directory).facts
    counted = Counter(fact.fact for fact in facts)
    assert counted["order"] > 100
    assert counted["return"] > 10
    events = {row["event"]: int(row["n"]) for row in server.sql("SELECT event, count() AS n FROM logs GROUP BY event")}
    del events[""]
    assert events == {"shop.order.placed" if name == "order" else f"shop.{name}": n for name, n in counted.items()}
    last = """SELECT labels['step'] AS step, sum(last) AS n FROM
        (SELECT labels, series_id, argMax(value, time) AS last FROM metrics WHERE metric = 'shop_funnel_total'
        GROUP BY labels, series_id) GROUP BY step"""
    assert {row["step"]: int(row["n"]) for row in server.sql(last)} == counted
    total = sales(facts)
    for metric, sum_ in (
        ("shop_orders_total", total.orders),
        ("shop_revenue_total", total.revenue_cents),
        ("shop_returns_total", total.returned_cents),
    ):
        query = """SELECT sum(last) FROM (SELECT argMax(value, time) AS last FROM metrics
            WHERE metric = {metric:String} GROUP BY series_id)"""
        assert int(value(server, query, metric=metric)) == sum_, metric
    amount = """SELECT sum(last) FROM (SELECT argMax(count, time) AS last FROM histograms
        WHERE metric = 'shop_order_amount' GROUP BY labels)"""
    assert int(value(server, amount)) == total.orders


def test_texts_are_filled_in(stored: tuple[Server, Path]) -> None:
    """Nothing is left in a text of what marked the places to be filled."""
    server, _ = stored
    for table, column in (("logs", "body"), ("logs", "attributes"), ("spans", "attributes")):
        marked = f"SELECT count() FROM {table} WHERE match(toString({column}), '[\\\\x00-\\\\x1f\\\\x7f~|^`$]')"
        assert int(value(server, marked)) == 0, table
    amounts = (
        "SELECT count() FROM logs WHERE event = 'shop.cart' AND NOT match(body, '^u-[0-9]+ takes [0-9]+ x p-[0-9]+$')"
    )
    assert int(value(server, amounts)) == 0


def test_revenue_of_every_hour(stored: tuple[Server, Path]) -> None:
    """Hour by hour the events carry what the ledger says."""
    server, directory = stored
    by_hour: Counter[int] = Counter()
    for fact in Ledger.read(directory).facts:
        if fact.fact == "order":
            by_hour[fact.at // HOUR_NS] += fact.cents
    rows = server.sql(
        """SELECT intDiv(toUnixTimestamp(time), 3600) AS hour, sum(attributes_int['shop.order.cents']) AS cents
        FROM logs WHERE event = 'shop.order.placed' GROUP BY hour"""
    )
    assert {int(row["hour"]): int(row["cents"]) for row in rows} == dict(by_hour)


def test_counters_never_fall(stored: tuple[Server, Path]) -> None:
    """No series of a counter or a histogram falls, and none has a gap between two reports."""
    server, _ = stored
    query = """SELECT max(fell) FROM (SELECT arrayMin(arrayDifference(groupArray(value))) < 0 AS fell FROM
        (SELECT series_id, value FROM metrics
        WHERE metric LIKE '%_total' OR metric LIKE '%duration%_count' OR metric LIKE '%_bucket'
        ORDER BY series_id, time) GROUP BY series_id)"""
    assert int(value(server, query)) == 0
    gaps = """SELECT uniqExact(gap) FROM (SELECT arrayJoin(arrayPopFront(arrayDifference(groupArray(ms)))) AS gap FROM
        (SELECT series_id, toUnixTimestamp64Milli(time) AS ms FROM metrics
        WHERE metric = 'http_server_request_duration_seconds_count' ORDER BY series_id, time) GROUP BY series_id)"""
    assert int(value(server, gaps)) == 1


def test_traces_and_metrics_agree_on_durations(stored: tuple[Server, Path]) -> None:
    """The mean duration of a route by its histogram is that of its sampled spans, within what sampling allows."""
    server, _ = stored
    spans = "SELECT avg(duration_ns) / 1e9 FROM spans WHERE service = 'gateway' AND name = 'GET /'"
    metric = """SELECT sum(if(metric LIKE '%_sum', last, 0)) / sum(if(metric LIKE '%_count', last, 0)) FROM
        (SELECT metric, series_id, argMax(value, time) AS last FROM metrics WHERE labels['http_route'] = '/'
        AND metric IN ('http_server_request_duration_seconds_sum', 'http_server_request_duration_seconds_count')
        GROUP BY metric, series_id)"""
    assert float(value(server, spans)) == pytest.approx(float(value(server, metric)), rel=0.15)


def test_faults_show_in_their_time_and_place_only(stored: tuple[Server, Path]) -> None:
    """Catalogue's errors and payment's latency are where and when the truth says, and nowhere else."""
    server, directory = stored
    truth = json.loads((directory / "truth.json").read_text())
    assert [(fault["kind"], fault["where"]) for fault in truth] == [("errors", "catalogue"), ("latency", "payment")]
    rows = server.sql(
        """SELECT service, intDiv(toUnixTimestamp(time) - {start:Int64}, 7200) AS slot,
        countIf(status = 'error') AS bad,
        quantileExact(0.5)(if(service = 'payment', duration_ns / 1e6, 0)) AS ms
        FROM spans WHERE kind = 'server' GROUP BY service, slot""",
        start=START_NS // 1_000_000_000,
    )
    failing = {(row["service"], int(row["slot"])) for row in rows if int(row["bad"])}
    sick = {(service, ERRORS_FROM // 2) for service in ("catalogue", "gateway", "recommendation")}
    assert failing == sick
    slow = {int(row["slot"]) for row in rows if row["service"] == "payment" and float(row["ms"]) > 300}
    assert slow == {LATENCY_FROM // 2}


def test_every_service_sends_everything(stored: tuple[Server, Path]) -> None:
    """All seven have spans, logs, metrics and a resource that says which version and instance they are."""
    server, _ = stored
    for table in ("spans", "logs", "series"):
        found = {row["service"] for row in server.sql(f"SELECT DISTINCT service FROM {table}")}
        assert set(SERVICES) <= {service.removeprefix("shop/") for service in found}, table
    for row in server.sql(
        "SELECT DISTINCT service, attributes FROM resources WHERE service IN ('checkout', 'gateway')"
    ):
        assert {"service.version", "service.instance.id", "service.namespace"} <= set(row["attributes"])


def test_same_seed_same_rows(tmp_path: Path) -> None:
    """Two histories of the same arguments are the same bytes; another seed's are not."""

    def bodies(seed: int) -> list[Body]:
        return list(History(START_NS, START_NS + 6 * HOUR_NS, Plan(), seed, 0.05, 300).bodies())

    first, second, other = bodies(7), bodies(7), bodies(8)
    assert first == second
    assert {body.content for body in first}.isdisjoint(body.content for body in other)


def test_in_the_order_of_time() -> None:
    """No request holds spans of two days, and they come in the order of time."""
    midnight = (START_NS // (24 * HOUR_NS) + 1) * 24 * HOUR_NS
    history = History(midnight - 3 * HOUR_NS, midnight + 3 * HOUR_NS, Plan(), 7, 0.1, 2000)
    firsts = []
    for body in history.bodies():
        if body.signal == "traces":
            request = ExportTraceServiceRequest.FromString(body.content)
            spans = [s for r in request.resource_spans for scoped in r.scope_spans for s in scoped.spans]
            roots = [span.start_time_unix_nano for span in spans if not span.parent_span_id]
            assert len({root // (24 * HOUR_NS) for root in roots}) == 1
            firsts.append(min(roots))
    assert firsts == sorted(firsts)
    assert len(firsts) >= 2


@pytest.mark.parametrize("onset", ["sudden", "gradual"])
def test_levels_are_the_plan_s(onset: str) -> None:
    """The level of a fault as an array is what `Plan.level` says of each moment."""
    plan = Plan([Fault("latency", "payment", 1_000, 5_000, 0.5, onset), Fault("latency", "payment", 3_000, 9_000, 0.2)])
    at = np.arange(0, 10_000, 100)
    levels = Weather(plan, 7, 0, HOUR_NS).level("latency", "payment", at)
    assert levels.tolist() == pytest.approx([plan.level("latency", "payment", int(moment)) for moment in at])


def test_a_deploy_begins_new_series(tmp_path: Path) -> None:
    """Over weeks services are deployed anew: other instances and versions, one after the other, up to the present."""
    end_ns = START_NS
    history = History(end_ns - 14 * 24 * HOUR_NS, end_ns, Plan(), 7, 0.01, 100)
    for (service, _), processes in history.schedule.tracks.items():
        assert processes[-1].version == "1.4.0", service
        assert len({process.instance for process in processes}) == len(processes)
        assert all(a.to_ns == b.from_ns for a, b in pairwise(processes))
    assert sum(len(processes) > 1 for processes in history.schedule.tracks.values()) >= 4


class Moody(http.server.BaseHTTPRequestHandler):
    """A server that first asks for patience, then accepts in part."""

    taken: list[int]

    def do_POST(self) -> None:
        """Answer by how often it was asked."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.taken.append(1)
        said = ExportLogsServiceResponse()
        said.partial_success.rejected_log_records, said.partial_success.error_message = 2, "too old"
        status, content = [(429, b""), (503, b""), (200, said.SerializeToString())][min(len(self.taken) - 1, 2)]
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", "0")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def moody() -> Iterator[str]:
    """Its address."""
    Moody.taken = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Moody) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_patience_and_partial_success(moody: str, tmp_path: Path) -> None:
    """429 and 503 are waited for; what was rejected is counted and why is said."""
    acknowledged = Acknowledged(tmp_path / "acknowledged", "key")
    with Sender(moody, "", acknowledged, connections=1) as sender:
        sender.put(Body(1, "logs", 10, b"x"))
    assert (sender.tally.retries, sender.tally.records["logs"], sender.tally.rejected["logs"]) == (2, 8, 2)
    assert sender.tally.messages == {"too old"}
    for key, numbers in (("key", {1}), ("another", set())):
        again = Acknowledged(tmp_path / "acknowledged", key)
        assert again.numbers == numbers
        again.close()


def test_goes_on_where_it_was(moody: str, tmp_path: Path) -> None:
    """What was acknowledged is not sent again."""
    (tmp_path / "acknowledged").write_text("key\n1\n2\n")
    with Sender(moody, "", Acknowledged(tmp_path / "acknowledged", "key"), connections=1) as sender:
        for number in (1, 2):
            sender.put(Body(number, "logs", 10, b"x"))
    assert Moody.taken == []


def test_a_refusal_is_told(stored: tuple[Server, Path]) -> None:
    """A body that the server cannot read ends the run with its reason."""
    server, _ = stored
    with pytest.raises(RefusedError, match="400"), Sender(server.otlp_http, "", Acknowledged(None, "")) as sender:
        sender.put(Body(1, "traces", 1, b"\xff\xff\xff"))


def test_what_cannot_be_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong fault is named before anything is sent."""
    assert (
        command.run(options("--otlp-http", "http://127.0.0.1:1", "--dir", str(tmp_path), "--faults", "gremlins")) == 2
    )
    assert "gremlins" in capsys.readouterr().err


def test_the_ledger_is_readable(stored: tuple[Server, Path]) -> None:
    """Each line is a fact as `ledger.py` writes them."""
    _, directory = stored
    keys = {"fact", "at", "user", "session", "cents", "order", "request", "trace", "service"}
    assert all(set(line) == keys | {"process"} for line in ledger.read(directory))
