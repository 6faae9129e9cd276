"""A hundred million rows of each kind: what a start, rest and the usual questions cost then.

    python benchmarks/scale/run.py fill DIR [--millions 100]     # some 40 minutes, 25 GB; generated inside the engine
    python benchmarks/scale/run.py measure DIR

Rows are spread over the last seven days, as retention keeps them, and written an hour at a time, so that parts and
merges are those of a server that has run for a week. Three attribute values of each span and log record are unique.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.progress import Progress

from gnomon_server.store.durable_store import DurableStore
from gnomon_server.store.supervisor import EngineSettings

sys.path.insert(0, str(Path(__file__).parents[1] / "ingest"))
from run import Server

# An hour in one part with its text indexes, as merges have left it; intake's own inserts leave them to the first merge.
_AS_MERGED = {"max_insert_block_size": 10_000_000, "min_insert_block_size_rows": 10_000_000}
_AS_MERGED |= {"min_insert_block_size_bytes": 2_000_000_000}
_HOURS = 7 * 24
_SERIES = 100_000
_ATTRIBUTES = """
    map('http.request.method', ['GET', 'POST', 'PUT'][g % 3 + 1],
        'http.route', concat('/api/v1/items/', toString(g % 20)),
        'user.id', lower(hex(sipHash64(g, 1))), 'request.id', lower(hex(sipHash64(g, 2))),
        'session.id', lower(hex(sipHash64(g, 3))), 'server.address', concat('10.0.0.', toString(g % 32))) AS s,
    map('http.response.status_code', if(g % 50 = 0, 500, 200), 'server.port', 8080) AS i,
    map('load', (g % 8) / 8) AS f, map('cache.hit', g % 2 = 0) AS b"""
# {first}: the number of the first row, {rows}: how many, {hour}: unix seconds. g is a row's number over all hours.
_FILLS = {
    "spans": f"""
        WITH {{first}} + number AS g SELECT 1 AS tenant, 7 AS ret,
            fromUnixTimestamp64Nano({{hour}} * 1000000000 + intDiv(number * 3600000000000, {{rows}})) AS ts,
            1000000 + g * 7919 % 100000000 AS dur, sipHash128(intDiv(g, 8)) AS trace_id,
            reinterpretAsFixedString(sipHash64(g)) AS span_id,
            if(g % 8 = 0, toFixedString('', 8), reinterpretAsFixedString(sipHash64(intDiv(g, 8) * 8))) AS parent_id,
            concat('service-', toString(g % 50)) AS service,
            concat(['GET', 'POST', 'PUT'][g % 3 + 1], ' /api/v1/items/', toString(g % 20)) AS name,
            if(g % 8 = 0, 2, 3) AS kind, if(g % 50 = 0, 2, 0) AS status, g % 50 AS rid, {_ATTRIBUTES}
        FROM numbers({{rows}})""",
    "logs": f"""
        WITH {{first}} + number AS g SELECT 1 AS tenant, 7 AS ret,
            fromUnixTimestamp64Nano({{hour}} * 1000000000 + intDiv(number * 3600000000000, {{rows}})) AS ts,
            ts AS observed,            concat('service-', toString(g % 50)) AS service, if(g % 50 = 0, 17, 9) AS sev,
            if(g % 50 = 0, 'ERROR', 'INFO') AS sev_text,
            concat('request ', lower(hex(sipHash64(g, 4))), ' for item ', toString(g % 20), ' took ',
                toString(g % 977), ' ms') AS body,
            sipHash128(intDiv(g, 8)) AS trace_id, reinterpretAsFixedString(sipHash64(g)) AS span_id, g % 50 AS rid,
            {_ATTRIBUTES}
        FROM numbers({{rows}})""",
    "samples": f"""
        WITH {{first}} + number AS g SELECT 1 AS tenant, 7 AS ret, sipHash64(toUInt64(g % {_SERIES}), 5) AS id,
            fromUnixTimestamp64Milli({{hour}} * 1000 + intDiv(number * 3600000, {{rows}})) AS ts,
            toFloat64(intDiv(g, {_SERIES}) * (1 + g % 10)) AS v
        FROM numbers({{rows}})""",
    "native_histograms": f"""
        WITH {{first}} + number AS g SELECT 1 AS tenant, 7 AS ret, sipHash64(toUInt64(g % {_SERIES}), 6) AS id,
            fromUnixTimestamp64Milli({{hour}} * 1000 + intDiv(number * 3600000, {{rows}})) AS ts, 3 AS schema,
            toFloat64(g % 1000) AS count, toFloat64(g % 9973) AS sum,
            arrayMap(x -> toInt32(x), range(10)) AS p_idx, arrayMap(x -> toFloat64(g % 100 + x), range(10)) AS p_cnt
        FROM numbers({{rows}})""",
}
_SERIES_FILL = f"""
    INSERT INTO series (tenant, ret, day, metric, id, kind, service, name, labels)
    SELECT 1, 7, toDate({{day}}), concat('http_server_requests_', toString(number % 200), '_total'),
        sipHash64(number, 5), 2, concat('service-', toString(number % 50)),
        concat('http.server.requests.', toString(number % 200)),
        map('__name__', concat('http_server_requests_', toString(number % 200), '_total'),
            'job', concat('service-', toString(number % 50)), 'pod', concat('pod-', toString(number)))
    FROM numbers({_SERIES})"""


async def fill(folder: Path, millions: float) -> None:
    """Write the rows, hour by hour of all kinds, with a bar."""
    store = DurableStore(EngineSettings(folder))
    await store.start()
    await store.command("INSERT INTO tenants (tenant, name) VALUES (1, 'default')")
    last_hour = int(time.time()) // 3600 * 3600
    rows = int(millions * 1e6) // _HOURS
    with Progress() as progress:
        bar = progress.add_task("hours", total=_HOURS)
        for hour in range(_HOURS):
            at = last_hour - (_HOURS - hour) * 3600
            if hour % 24 == 0:
                for day in {at // 86_400, at // 86_400 + 1}:
                    await store.command(_SERIES_FILL.format(day=day))
            for table, select in _FILLS.items():
                columns, text = _columns(select), select.format(first=hour * rows, rows=rows, hour=at)
                await store.command(
                    f"INSERT INTO {table} ({columns}) SELECT {columns} FROM ({text})",
                    settings=_AS_MERGED,
                )
            progress.advance(bar)
    await store.stop()


def _columns(select: str) -> str:
    """The aliases of a SELECT that are columns of the table."""
    words = select.replace(",", " ").replace(")", " ").split()
    return ", ".join(words[place + 1] for place, word in enumerate(words) if word == "AS" and words[place + 1] != "g")


def measure(folder: Path) -> None:
    """Start a server on the filled directory and ask it the usual questions, each cold (once) and then ten times."""
    began = time.monotonic()
    server = Server(folder)
    print(f"start to ready      {time.monotonic() - began:6.2f} s")
    time.sleep(20)
    print("memory at rest      server {:.0f} MB, engine {:.0f} MB".format(*server.memory_mb()))
    api = f"http://{server.addresses['http']}"
    sql = _asking(api)
    for table in ("spans", "logs", "metrics"):
        print(f"rows of {table:10}  {sql(f'SELECT count() FROM {table}')[0][0]:,}")
    hour = int(time.time()) // 3600 * 3600 - 5 * 3600
    within = f"time >= fromUnixTimestamp({hour}) AND time < fromUnixTimestamp({hour + 3600})"
    traces = [row[0] for row in sql(f"SELECT DISTINCT trace_id FROM spans WHERE {within} LIMIT 40")]
    users = [
        row[0]
        for row in sql(f"SELECT attributes_string['user.id'] FROM spans WHERE {within} ORDER BY span_id LIMIT 40")
    ]
    week = f"start={hour - 5 * 86_400}"

    def trace(number: int) -> None:
        _read(f"{api}/api/gnomon/v1/traces/{traces[number]}")

    questions: dict[str, Callable[[int], Any]] = {
        "trace by id": trace,
        "newest logs of a service, errors": lambda n: _read(
            f"{api}/api/gnomon/v1/logs?{week}&service=service-{n}&severity=error"
        ),
        "newest logs with a word": lambda n: _read(f"{api}/api/gnomon/v1/logs?{week}&q=item+{n}+took"),
        "newest traces of a service, errors": lambda n: _read(
            f"{api}/api/gnomon/v1/traces?{week}&service=service-{n}&status=error"
        ),
        "an hour: p99 by service and name": lambda n: sql(
            f"SELECT service, name, quantile(0.99)(duration_ns), count() FROM spans WHERE "
            f"time >= fromUnixTimestamp({hour - n * 3600}) AND time < fromUnixTimestamp({hour - n * 3600 + 3600}) "
            "GROUP BY service, name"
        ),
        "an hour: log records by severity": lambda n: sql(
            f"SELECT service, severity, count() FROM logs WHERE time >= fromUnixTimestamp({hour - n * 3600}) "
            f"AND time < fromUnixTimestamp({hour - n * 3600 + 3600}) GROUP BY service, severity"
        ),
        "a metric's 500 series over an hour": lambda n: sql(
            "SELECT labels['pod'], max(value) - min(value) FROM metrics WHERE "
            f"metric = 'http_server_requests_{n}_total' AND {within} GROUP BY 1"
        ),
        "undeclared attribute, in a day": lambda n: sql(
            f"SELECT trace_id FROM spans WHERE has(attribute_items, 'user.id={users[n]}') "
            f"AND time >= fromUnixTimestamp({hour - 43_200}) AND time < fromUnixTimestamp({hour + 43_200})"
        ),
        "undeclared attribute, in all": lambda n: sql(
            f"SELECT trace_id FROM spans WHERE has(attribute_items, 'user.id={users[n]}')"
        ),
    }
    for name, ask in questions.items():
        times = [_timed(ask, number) for number in range(21)]
        first, rest = times[0] * 1e3, sorted(time * 1e3 for time in times[1:])
        print(f"{name:36} first {first:7.0f} ms, then {statistics.median(rest):6.0f} ms (worst of 20: {rest[-1]:.0f})")
    print("memory after        server {:.0f} MB, engine {:.0f} MB".format(*server.memory_mb()))
    server.stop()


def _asking(api: str) -> Callable[[str], list[list[Any]]]:
    def ask(query: str) -> list[list[Any]]:
        body = json.dumps({"query": query}).encode()
        request = urllib.request.Request(f"{api}/api/gnomon/v1/sql", body, {"content-type": "application/json"})
        return _read(request)["rows"]

    return ask


def _read(request: urllib.request.Request | str) -> Any:
    try:
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise SystemExit(f"{request}: {error.read().decode()}") from error


def _timed(ask: Callable[[int], Any], number: int) -> float:
    began = time.perf_counter()
    ask(number)
    return time.perf_counter() - began


def main() -> None:
    """Fill, or measure what was filled."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("verb", choices=["fill", "measure"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--millions", type=float, default=100)
    arguments = parser.parse_args()
    if arguments.verb == "measure":
        measure(arguments.folder)
        return
    os.nice(10)
    asyncio.run(fill(arguments.folder / "data", arguments.millions))


if __name__ == "__main__":
    main()
