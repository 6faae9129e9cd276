"""Prometheus' API at its edges: who may ask, who leaves, what is too much, targets; over a real socket."""

import asyncio
import json
import tempfile
import threading
import time
import urllib.parse
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from tests.real_prometheus import ask
from tests.remote_write import V1, compressed, request
from tests.server import Server
from tests.waiting import soon, until

from gnomon_server.access.authenticator import Grant
from gnomon_server.access.tokens import ANONYMOUS
from gnomon_server.api.prometheus.routes import Parts, routes
from gnomon_server.query.promql.door import Answer, PromqlDoor
from gnomon_server.query.promql.metadata import SeriesIndex
from gnomon_server.selfmon.clock import SystemClock
from gnomon_server.store.durable_store import DurableStore
from gnomon_server.store.interface import QueryLimits
from gnomon_server.transport.http_server import HttpServer

TOKENS = [
    {"name": "shop", "secret": "s" * 32, "tenants": ["shop"], "scopes": ["read", "ingest"]},
    {"name": "bank", "secret": "b" * 32, "tenants": ["bank"], "scopes": ["read", "ingest"]},
    {"name": "writer", "secret": "w" * 32, "tenants": ["shop"], "scopes": ["ingest"]},
]


METRICS = b"# HELP shop_orders_total Orders taken.\n# TYPE shop_orders_total counter\nshop_orders_total 3\n"


class _Metrics(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(METRICS)))
        self.end_headers()
        self.wfile.write(METRICS)

    def log_message(self, *_: object) -> None:
        """Nothing is said."""


@pytest.fixture(scope="module")
def shop() -> Iterator[str]:
    """The address of a target with one metric."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Metrics)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def guarded(shop: str) -> Iterator[Server]:
    """A server with tokens, which scrapes one target that answers and one that is not there, for the tenant `shop`."""
    with tempfile.TemporaryDirectory(prefix="gnomon-") as folder:
        config = Path(folder) / "gnomon.yml"
        pace = {"scrape_interval": "1s", "scrape_timeout": "1s"}
        jobs = [
            {"job_name": name, **pace, "static_configs": [{"targets": [address]}]}
            for name, address in (("gone", "127.0.0.1:1"), ("shop", shop))
        ]
        config.write_text(json.dumps({"access": {"tokens": TOKENS}, "scrape": {"tenant": "shop", "configs": jobs}}))
        server = Server(Path(folder), ("--config", str(config)))
        server.start()
        yield server
        server.stop()


def _bearer(letter: str, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {letter * 32}", **more}


def test_tenants_see_their_own(guarded: Server) -> None:
    """A token reads its tenant's series and no other's, on every path that shows series."""
    for letter, value in (("s", 1.0), ("b", 2.0)):
        body = compressed(
            request(V1, [{"labels": {"__name__": f"of_{letter}"}, "samples": [(value, 1_700_000_000_000)]}])
        )
        status, _, answer = guarded.post(
            f"{guarded.api}/api/v1/write", body, Authorization=f"Bearer {letter * 32}", Content_Encoding="snappy"
        )
        assert status in (200, 204), answer
    for letter, other in (("s", "b"), ("b", "s")):
        everything = {"match[]": '{__name__=~"of_.*"}', "query": '{__name__=~"of_.*"}', "time": "1700000001"}
        for path in ("query", "series", "label/__name__/values"):
            status, body = ask(guarded.api, f"/api/v1/{path}", everything, headers=_bearer(letter))
            assert status == 200
            assert f"of_{letter}".encode() in body
            assert f"of_{other}".encode() not in body


@pytest.mark.parametrize(
    ("headers", "status"),
    [({}, 401), (_bearer("x"), 401), (_bearer("w"), 403), (_bearer("s", **{"X-Scope-OrgID": "bank"}), 403)],
)
def test_who_may_not_is_told_in_the_envelope(guarded: Server, headers: dict[str, str], status: int) -> None:
    """No token, an unknown one, one without the scope, one for another tenant: Prometheus' clients can read it."""
    for path in ("query?query=1", "labels", "targets", "status/tsdb", "rules"):
        found, body = ask(guarded.api, f"/api/v1/{path}", headers=headers)
        assert found == status
        assert json.loads(body)["status"] == "error"
        assert json.loads(body)["error"]


def test_targets(guarded: Server) -> None:
    """The tenant whose series they become sees its targets and how their last scrape went; others see none."""

    def asked(path: str, letter: str = "s", **parameters: str) -> Any:
        return json.loads(ask(guarded.api, f"/api/v1/{path}", parameters, headers=_bearer(letter))[1])["data"]

    def health() -> dict[str, str]:
        return {one["scrapePool"]: one["health"] for one in asked("targets")["activeTargets"]}

    until(lambda: health() == {"gone": "down", "shop": "up"}, health)
    gone, shop = asked("targets")["activeTargets"]
    assert gone["lastError"]
    assert not shop["lastError"]
    assert shop["scrapeUrl"].endswith("/metrics")
    assert [one["scrapePool"] for one in asked("targets", scrapePool="shop")["activeTargets"]] == ["shop"]
    assert asked("targets", state="dropped")["activeTargets"] == []
    assert asked("scrape_pools") == {"scrapePools": ["gone", "shop"]}
    for path in ("targets", "scrape_pools", "targets/metadata"):
        assert "shop" not in json.dumps(asked(path, "b"))


def test_metadata_of_what_is_scraped(guarded: Server) -> None:
    """Type and help, for each target and for all; targets are chosen by their labels."""

    def asked(**parameters: str) -> Any:
        return json.loads(ask(guarded.api, "/api/v1/targets/metadata", parameters, headers=_bearer("s"))[1])["data"]

    until(lambda: asked(metric="shop_orders_total"))
    said = {"type": "counter", "help": "Orders taken.", "unit": ""}
    (one,) = asked(metric="shop_orders_total", match_target='{job=~"sh.p",instance!=""}')
    assert {name: one[name] for name in said} == said
    assert one["target"]["job"] == "shop"
    assert [one["metric"] for one in asked(match_target='{job="shop"}')] == ["shop_orders_total"]
    assert asked(match_target='{job!~"sh.p",instance!=""}') == []
    status, body = ask(guarded.api, "/api/v1/metadata", {"metric": "shop_orders_total"}, headers=_bearer("s"))
    assert (status, json.loads(body)["data"]) == (200, {"shop_orders_total": [said]})
    assert json.loads(ask(guarded.api, "/api/v1/metadata", headers=_bearer("b"))[1])["data"] == {}


def test_too_much_is_refused(guarded: Server) -> None:
    """Long texts, deep nesting, many fields and large forms have an answer in the envelope, and a quick one."""
    hostile: list[tuple[dict[str, Any], bool]] = [
        ({"query": "a" * 200_000}, True),
        ({"query": "(" * 10_000 + "1" + ")" * 10_000}, True),
        ({"query": "x" * 2_000_000}, True),
        ({f"p{number}": "1" for number in range(2_000)}, True),
        ({"query": 'up{a=~"' + "(a*)*" * 50 + '"}', "timeout": "1e300"}, False),
        ({"query": "up", "time": "1" * 400}, False),
        ({"query": "\x00"}, False),
    ]
    for parameters, form in hostile:
        status, body = ask(guarded.api, "/api/v1/query", parameters, form=form, headers=_bearer("s"))
        assert status in (200, 400, 413, 422), body[:200]
        assert json.loads(body)["status"] == ("success" if status == 200 else "error")
    sets = {"match[]": ["up"] * 101}
    assert ask(guarded.api, "/api/v1/series", sets, headers=_bearer("s"))[0] == 400
    assert ask(guarded.api, "/api/v1/query", {"query": "1"}, headers=_bearer("s"))[0] == 200


class _Nobody:
    def known(self, name: str) -> int | None:  # noqa: ARG002 - nobody is known
        return None

    def targets(self) -> list[Any]:
        return []

    def dropped(self) -> list[Any]:
        return []


@dataclass
class _Stalled(PromqlDoor):
    """A door whose queries wait for ever, and note that they were cancelled."""

    began: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    async def instant(self, text: str, **_: Any) -> Answer:
        if text == "broken":
            raise ZeroDivisionError
        self.began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        raise AssertionError


@pytest.fixture
async def stalled(store: DurableStore) -> AsyncIterator[tuple[_Stalled, tuple[str, int]]]:
    """A server over that door, and its address."""
    door, clock, nobody = _Stalled(), SystemClock(), _Nobody()
    index = SeriesIndex(store, nobody, QueryLimits())
    parts = Parts(door, index, nobody, "default", clock, "0", "7d", clock.now_ns())
    served = routes(parts, lambda _: Grant("default", ANONYMOUS), lambda: "")
    server = HttpServer(Starlette(routes=served))  # type: ignore[arg-type]
    await server.start()
    yield door, server.address
    await server.stop()


async def test_a_client_that_leaves_cancels_its_query(stalled: tuple[_Stalled, tuple[str, int]]) -> None:
    """When the connection closes, what runs for it ends."""
    door, (host, port) = stalled
    form = urllib.parse.urlencode({"query": "up"})
    get = f"GET /api/v1/query?{form} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n"
    kind = f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(form)}"
    post = f"POST /api/v1/query HTTP/1.1\r\nHost: {host}:{port}\r\n{kind}\r\n\r\n{form}"
    for head in (get, post):
        door.began.clear()
        door.cancelled.clear()
        _, writer = await asyncio.open_connection(host, port)
        writer.write(head.encode())
        await soon(door.began.is_set)
        assert not door.cancelled.is_set()
        writer.close()
        await writer.wait_closed()
        await soon(door.cancelled.is_set)


def test_names_in_utf_8(guarded: Server) -> None:
    """Dots in a metric's and a label's name, asked for plainly and escaped, and federated in quotes."""
    labels = {"__name__": "http.requests", "http.method": "GET", "job": "x"}
    body = compressed(request(V1, [{"labels": labels, "samples": [(3.0, int(time.time() * 1000) - 1000)]}]))
    headers = {"Authorization": f"Bearer {'s' * 32}", "Content_Encoding": "snappy"}
    status, _, answer = guarded.post(f"{guarded.api}/api/v1/write", body, **headers)
    assert status in (200, 204), answer
    for name in ("U__http_2e_method", "http.method"):
        found = ask(guarded.api, f"/api/v1/label/{name}/values", headers=_bearer("s"))
        assert found == (200, b'{"status":"success","data":["GET"]}')
    selector = '{"http.requests","http.method"="GET"}'
    for path, parameters in (("query", {"query": selector}), ("series", {"match[]": selector})):
        assert b'"http.method":"GET"' in ask(guarded.api, f"/api/v1/{path}", parameters, headers=_bearer("s"))[1]
    text = ask(guarded.api, "/federate", {"match[]": selector}, headers=_bearer("s"))[1].decode()
    assert '# TYPE "http.requests" untyped\n{"http.requests","http.method"="GET",job="x",instance=""} 3 ' in text


def test_nothing_is_an_answer(guarded: Server) -> None:
    """Where nothing matches, every path answers with an empty list of its kind."""
    empty = {
        "query?query=none": '{"resultType":"vector","result":[]}',
        "query?query=none[5m]": '{"resultType":"matrix","result":[]}',
        "query_range?query=none&start=1&end=100&step=5": '{"resultType":"matrix","result":[]}',
        "series?match[]=none": "[]",
        "labels?match[]=none": "[]",
        "label/none/values": "[]",
        "metadata?metric=none": "{}",
        "query_exemplars?query=none": "[]",
        "series?match[]=of_s&start=5&end=4": "[]",
    }
    for path, data in empty.items():
        found = ask(guarded.api, f"/api/v1/{path}", headers=_bearer("s"))
        assert found == (200, f'{{"status":"success","data":{data}}}'.encode()), path
    assert ask(guarded.api, "/federate", headers=_bearer("s")) == (200, b"")


async def test_a_fault_of_ours_is_told_in_the_envelope(stalled: tuple[_Stalled, tuple[str, int]]) -> None:
    """Clients can read it as any other error; what it was is for the log."""
    _, (host, port) = stalled
    found = await asyncio.to_thread(ask, f"http://{host}:{port}", "/api/v1/query", {"query": "broken"})
    said = json.loads(found[1])
    assert (found[0], said["status"], said["errorType"]) == (500, "error", "internal")
    assert "ZeroDivision" not in said["error"]


def test_lists_are_those_of_the_last_commit(guarded: Server) -> None:
    """However often they were asked for before, with limits, matchers and on other days."""

    def write(labels: dict[str, str]) -> None:
        body = compressed(request(V1, [{"labels": labels, "samples": [(3.0, int(time.time() * 1000) - 1000)]}]))
        headers = {"Authorization": f"Bearer {'s' * 32}", "Content_Encoding": "snappy"}
        assert guarded.post(f"{guarded.api}/api/v1/write", body, **headers)[0] in (200, 204)

    def listed(path: str) -> list[Any]:
        status, body = ask(guarded.api, path, headers=_bearer("s"))
        assert status == 200, body
        found: list[Any] = json.loads(body)["data"]
        return found

    shelves = "/api/v1/label/shelf/values"
    for number in range(3):
        write({"__name__": "books", "shelf": str(number), f"own_{number}": "x"})
        for _ in range(3):
            assert listed(shelves) == [str(one) for one in range(number + 1)]
            assert listed(f"{shelves}?limit=1") == ["0"]
            assert listed(f"{shelves}?match[]=books{{shelf!='0'}}") == [str(one) for one in range(1, number + 1)]
            assert listed(f"{shelves}?start=1000&end=2000") == []
            assert f"own_{number}" in listed("/api/v1/labels")
            assert len(listed("/api/v1/series?match[]=books")) == number + 1


def test_one_tenants_heavy_queries_hold_up_no_other(guarded: Server) -> None:
    """Of ten that compute for seconds some wait for each other; another tenant is answered meanwhile."""
    heavy = "quantile_over_time(0.9, stddev_over_time(vector(1)[1h:1s])[50d:1s])"
    path = "/api/v1/query?" + urllib.parse.urlencode({"query": heavy, "timeout": "6s"})
    with ThreadPoolExecutor(10) as pool:
        asked = [pool.submit(ask, guarded.api, path, headers=_bearer("s")) for _ in range(10)]
        time.sleep(1)
        for _ in range(3):
            status, _ = ask(guarded.api, "/api/v1/query?query=count(of_b)%20or%20vector(0)", headers=_bearer("b"))
            assert status == 200
        assert not any(query.done() for query in asked)
        assert {query.result()[0] for query in asked} == {503}
