"""Ask the backend's public API whether everything that the trio sent is there, exactly; print a table, exit 0 or 1.

Reads `load.json`, written by `run.py --logs DIR`, for what must have arrived.
"""

import argparse
import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

POLL_S = 1.0
SERVICES = ("storefront", "pricing", "orders")

# Of each service a counter, an up-down counter, a gauge, a histogram and an exponential one, by their stored names.
METRICS = {
    "storefront": (
        "shop_checkouts_total",
        "shop_checkouts_active",
        "shop_customers_remembered",
        "shop_checkout_duration_seconds",
        "shop_basket_amount",
    ),
    "pricing": (
        "pricing_quotes_total",
        "pricing_quotes_active",
        "pricing_catalogue_items",
        "pricing_quote_duration_seconds",
        "pricing_quote_amount",
    ),
    "orders": (
        "orders_received_total",
        "orders_queued",
        "orders_shelf_load_kg",
        "orders_duration_seconds",
        "orders_amount",
    ),
}

# The way of one sale, as (service, kind, name) from the root down; each must be the parent of the next.
PRICED = [
    ("storefront", "server", "POST /checkout"),
    ("storefront", "internal", "buy"),
    ("storefront", "client", "/trio.Pricing/Quote"),
    ("pricing", "server", "/trio.Pricing/Quote"),
    ("pricing", "internal", "look up prices"),
]
ORDERED = [
    *PRICED[:2],
    ("storefront", "client", "POST"),
    ("orders", "server", "POST /orders"),
    ("orders", "internal", "reserve shelf"),
]


class Row(NamedTuple):
    """One line of the table."""

    what: str
    passed: bool
    seen: str


class Api:
    """The few calls of the public API that the checks need."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/") + "/api/gnomon/v1"
        self.headers = {"Content-Type": "application/json"}
        if token:
            self.headers["Authorization"] = f"Bearer {token}"

    def get(self, path: str, **parameters: Any) -> dict[str, Any]:
        """The answer of a native path."""
        return self._open(f"{path}?{urllib.parse.urlencode(parameters)}", None)

    def sql(self, query: str, **parameters: Any) -> list[list[Any]]:
        """The rows of a query; parameters are written `{name:Type}` in it."""
        body = {"query": query, "params": parameters, "format": "json"}
        return self._open("/sql", json.dumps(body).encode())["rows"]

    def value(self, query: str, **parameters: Any) -> Any:
        """The one value of a query that has one; IndexError when it has no row."""
        return self.sql(query, **parameters)[0][0]

    def _open(self, path: str, body: bytes | None) -> dict[str, Any]:
        request = urllib.request.Request(self.url + path, body, self.headers)  # noqa: S310 - the user's own URL
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - likewise
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise LookupError(f"{error.code} {error.read(2_000).decode(errors='replace')}") from error


@dataclass(frozen=True)
class Run:
    """What the load generator did: the truth that the store is compared with."""

    id: str
    start_ns: int
    requests: int
    statuses: dict[str, int]

    @property
    def start(self) -> str:
        """As a ClickHouse time of nine digits."""
        seconds, ns = divmod(self.start_ns, 1_000_000_000)
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}.{ns:09}"

    @property
    def orders(self) -> int:
        """Everything that had a price reached the orders service."""
        return self.requests - self.statuses.get("404", 0)

    @property
    def sales(self) -> int:
        """Checkouts that ended well."""
        return self.statuses.get("200", 0)

    def spans(self, service: str) -> int:
        """Server spans expected of a service."""
        return self.orders if service == "orders" else self.requests


def same(what: str, seen: Any, expected: Any) -> Row:
    return Row(what, seen == expected, str(seen) if seen == expected else f"{seen}, expected {expected}")


def services_listed(api: Api, run: Run) -> Iterator[Row]:
    seen = {entry["service"]: entry for entry in api.get("/services", start=run.start_ns)["services"]}
    for service in SERVICES:
        entry = seen.get(service, {"spans": 0, "logs": 0})
        yield Row(
            f"{service}: listed, with spans and logs",
            min(entry["spans"], entry["logs"]) > 0,
            f"{entry['spans']} spans, {entry['logs']} logs",
        )


def spans_exact(api: Api, run: Run) -> Iterator[Row]:
    query = """SELECT count() FROM spans
        WHERE service = {service:String} AND kind = 'server' AND time >= {start:DateTime64(9, 'UTC')}"""
    for service in SERVICES:
        count = int(api.value(query, service=service, start=run.start))
        yield same(f"{service}: one server span a request", count, run.spans(service))


def sale(api: Api, run: Run) -> dict[str, Any]:
    """A whole trace of a sale: its order was accepted, so every hop is in it."""
    query = """SELECT trace_id FROM logs WHERE service = 'orders' AND body = 'order accepted'
        AND time >= {start:DateTime64(9, 'UTC')} ORDER BY time LIMIT 1"""
    return api.get(f"/traces/{api.value(query, start=run.start)}")


def hops(api: Api, run: Run) -> Iterator[Row]:
    trace = sale(api, run)
    for what, path in (("gRPC", PRICED), ("HTTP", ORDERED)):
        found = descend(trace["spans"], path)
        yield Row(f"trace: parents right across the {what} hop", len(found) == len(path), " > ".join(found))


def descend(spans: list[dict[str, Any]], path: list[tuple[str, str, str]]) -> list[str]:
    """As much of the path as is there, each span a child of the one before."""
    parent, found = "", []
    for step in path:
        for span in spans:
            if span["parent_id"] == parent and (span["service"], span["kind"], span["name"]) == step:
                parent = span["span_id"]
                found.append(span["service"] + "/" + span["name"].removeprefix("/"))
                break
        else:
            break
    return found


def types_kept(api: Api, run: Run) -> Iterator[Row]:
    spans = {(span["service"], span["name"]): span["attributes"] for span in sale(api, run)["spans"]}
    for key, types in (
        (("storefront", "buy"), {"customer": str, "skus": list, "items": int, "gift": bool, "total": float}),
        (("pricing", "look up prices"), {"skus": list, "items": int, "handmade": bool, "total": float, "prices": list}),
        (("orders", "reserve shelf"), {"customer": str, "skus": list, "items": int, "fragile": bool}),
    ):
        seen = {name: type(spans[key].get(name)) for name in types}
        words = ", ".join(f"{name} {kind.__name__}" for name, kind in seen.items())
        yield Row(f"{key[0]}: attributes keep their types", seen == types, words)


def logs_linked(api: Api, run: Run) -> Iterator[Row]:
    trace = sale(api, run)
    ids = {span["span_id"]: span["service"] for span in trace["spans"]}
    logs = api.get("/logs", trace_id=trace["trace_id"], start=run.start_ns)["logs"]
    for service in SERVICES:
        bodies = [log["body"] for log in logs if ids.get(log["span_id"]) == log["service"] == service]
        yield Row(f"{service}: logs linked to the trace", bool(bodies), "; ".join(bodies))


def logs_exact(api: Api, run: Run) -> Iterator[Row]:
    query = """SELECT count() FROM logs
        WHERE service = {service:String} AND {what} AND time >= {start:DateTime64(9, 'UTC')}"""
    for service, what in (
        ("storefront", "event = 'shop.sale'"),
        ("orders", "body = 'order accepted'"),
        ("pricing", "severity_number = 9 AND body LIKE 'quoted %'"),
    ):
        count = int(api.value(query.replace("{what}", what), service=service, start=run.start))
        expected = run.orders if service == "pricing" else run.sales
        yield same(f"{service}: one log record each time", count, expected)


def errors(api: Api, run: Run) -> Iterator[Row]:
    for service, name, exception in (
        ("orders", "reserve shelf", "RangeError"),
        ("pricing", "look up prices", "KeyError"),
        ("storefront", "buy", "RefusedError"),
    ):
        traces = api.get("/traces", service=service, status="error", start=run.start_ns, limit=100)["traces"]
        types = set()
        for entry in traces:
            for span in api.get(f"/traces/{entry['trace_id']}")["spans"]:
                if (span["service"], span["name"], span["status"]) == (service, name, "error"):
                    types |= {event["attributes"].get("exception.type", "") for event in span["events"]}
            if any(kind.endswith(exception) for kind in types):
                break
        found = sorted(types - {""})
        yield Row(
            f"{service}: error traces with {exception}", any(k.endswith(exception) for k in found), ", ".join(found)
        )


def links(api: Api, run: Run) -> Iterator[Row]:
    query = """SELECT trace_id FROM spans WHERE service = {service:String} AND name = {name:String}
        AND time >= {start:DateTime64(9, 'UTC')} ORDER BY time LIMIT 20"""
    for service, name in (("orders", "dispatch"), ("storefront", "buy"), ("pricing", "review quotes")):
        found = "no span with links"
        for (trace_id,) in api.sql(query, service=service, name=name, start=run.start):
            spans = api.get(f"/traces/{trace_id}")["spans"]
            targets = [link for span in spans if span["name"] == name for link in span["links"]]
            if targets:
                linked = api.get(f"/traces/{targets[0]['trace_id']}")["spans"]
                found = (
                    f"{len(targets)} links" if targets[0]["span_id"] in {s["span_id"] for s in linked} else "dangling"
                )
                break
        yield Row(f"{service}: `{name}` links to spans that exist", found.endswith("links"), found)


def last(api: Api, run: Run, service: str, metric: str) -> float | None:
    """The last values of all series of a metric of this run, added up; None when there are none."""
    rows = api.sql(
        """SELECT labels, argMax(value, time) FROM metrics WHERE metric = {metric:String}
        AND service = {service:String} AND labels['instance'] = {instance:String} GROUP BY labels""",
        metric=metric,
        service=service,
        instance=f"{service}-{run.id}",
    )
    return sum(value for _, value in rows) if rows else None


def metrics_exact(api: Api, run: Run) -> Iterator[Row]:
    for service, (counter, up_down, gauge, histogram, _) in METRICS.items():
        expected = run.spans(service)
        yield same(f"{service}: counter {counter}", last(api, run, service, counter), expected)
        yield same(f"{service}: up-down counter {up_down}", last(api, run, service, up_down), 0)
        level = last(api, run, service, gauge)
        yield Row(f"{service}: gauge {gauge}", (level or 0) > 0, str(level))
        yield same(f"{service}: histogram {histogram}", last(api, run, service, f"{histogram}_count"), expected)


def exponential_exact(api: Api, run: Run) -> Iterator[Row]:
    text = """SELECT labels, argMax(count, time) FROM histograms WHERE metric = {metric:String}
        AND service = {service:String} AND labels['instance'] = {instance:String} GROUP BY labels"""
    for service, (*_, metric) in METRICS.items():
        rows = api.sql(text, metric=metric, service=service, instance=f"{service}-{run.id}")
        expected = run.orders if service == "pricing" else run.sales
        yield same(f"{service}: exponential histogram {metric}", sum(int(count) for _, count in rows), expected)


CHECKS: tuple[Callable[[Api, Run], Iterable[Row]], ...] = (
    services_listed,
    spans_exact,
    hops,
    types_kept,
    errors,
    links,
    logs_linked,
    logs_exact,
    metrics_exact,
    exponential_exact,
)


def check(api: Api, run: Run) -> list[Row]:
    rows: list[Row] = []
    for part in CHECKS:
        try:
            rows += part(api, run)
        except (OSError, LookupError, ValueError) as error:  # not there yet, or not as the contract says
            rows.append(Row(part.__name__.replace("_", " "), passed=False, seen=f"{type(error).__name__}: {error}"))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--api", default="http://127.0.0.1:4319", help="the server")
    parser.add_argument("--token", default="", help="sent as a Bearer token")
    parser.add_argument("--report", type=Path, required=True, help="load.json of the run")
    parser.add_argument("--deadline", type=float, default=20, help="seconds to wait for all checks to pass")
    options = parser.parse_args()
    report = json.loads(options.report.read_text())
    run = Run(report["run"], report["start_ns"], report["requests"], report["statuses"])
    api, deadline = Api(options.api, options.token), time.monotonic() + options.deadline
    while True:
        rows = check(api, run)
        if all(row.passed for row in rows) or time.monotonic() > deadline:
            break
        time.sleep(POLL_S)
    width = max(len(row.what) for row in rows)
    for row in rows:
        print(f"  {'✓' if row.passed else '✗'} {row.what:<{width}}  {row.seen}")
    failed = sum(not row.passed for row in rows)
    print(f"{len(rows) - failed} of {len(rows)} checks passed" + (f", {failed} failed" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
