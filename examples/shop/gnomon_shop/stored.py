"""What the server keeps of a run, read through its public API and nothing else."""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import grpc

from gnomon_shop.services import QUEUE
from gnomon_shop.truth.records import Ledger

ROWS_AT_ONCE = 50_000  # half of what the server hands out in one answer by default

# Its telemetry alone: others may send to the same server, and earlier runs have.
OURS = """resource_id IN (
        SELECT resource_id FROM resources WHERE attributes_string['service.instance.id'] IN {instances:Array(String)})
    AND time BETWEEN fromUnixTimestamp64Nano({start:Int64}) AND fromUnixTimestamp64Nano({end:Int64})"""
SPANS = f"""SELECT trace_id, span_id, parent_id, service, name, kind, status, toUnixTimestamp64Nano(time), duration_ns,
        resource_id, attributes FROM spans
    WHERE {OURS} AND cityHash64(span_id) % {{parts:UInt64}} = {{part:UInt64}}"""
LOGS = f"""SELECT service, event, severity_number, toUnixTimestamp64Nano(time), trace_id, span_id, body, attributes
    FROM logs
    WHERE {OURS} AND cityHash64(time, body) % {{parts:UInt64}} = {{part:UInt64}}"""
# A process's cumulative series keeps its last value: what was lost on the way there does not matter.
COUNTER = """SELECT label, sum(last) FROM (
        SELECT labels[{label:String}] AS label, argMax(value, time) AS last FROM metrics
        WHERE metric = {metric:String} AND labels['instance'] IN {instances:Array(String)} GROUP BY label, series_id)
    GROUP BY label"""
POINTS = """SELECT toUnixTimestamp64Milli(time) * 1000000, value FROM metrics
    WHERE metric = {metric:String} AND service = {service:String} AND labels['instance'] IN {instances:Array(String)}
    ORDER BY time"""
SAMPLES = (
    """SELECT service, count() FROM metrics WHERE labels['instance'] IN {instances:Array(String)} GROUP BY service"""
)
VERSIONS = """SELECT DISTINCT resource_id, attributes_string['service.version'] FROM resources
    WHERE attributes_string['service.instance.id'] IN {instances:Array(String)}"""

# Where a call says whom it is meant for, and who that is where it says it in other words.
MEANT = ("peer.service", "rpc.service", "messaging.destination.name", "db.system.name")
PEERS = {"sqlite": "database", "postgresql": "database", "redis": "cache", QUEUE: "notification"}
PEERS |= {"shop.Payment": "payment", "shop.Recommendation": "recommendation"}
MARGIN_NS = 60_000_000_000  # a process's clock may be off


class Api:
    """The few calls of the public API that the check needs."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/") + "/api/gnomon/v1"
        self.headers = {"Content-Type": "application/json"}
        if token:
            self.headers["Authorization"] = f"Bearer {token}"

    def get(self, path: str, **parameters: Any) -> dict[str, Any]:
        """The answer of a native path; LookupError when the server refuses."""
        return self._open(f"{path}?{urllib.parse.urlencode(parameters)}", None)

    def sql(self, query: str, **parameters: Any) -> list[list[Any]]:
        """The rows of a query; parameters are written `{name:Type}` in it."""
        body = {"query": query, "params": parameters, "format": "json"}
        rows: list[list[Any]] = self._open("/sql", json.dumps(body).encode())["rows"]
        return rows

    def _open(self, path: str, body: bytes | None) -> dict[str, Any]:
        request = urllib.request.Request(self.url + path, body, self.headers)  # noqa: S310 - the user's own URL
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - likewise
                read: dict[str, Any] = json.load(answer)
                return read
        except urllib.error.HTTPError as error:
            with error:
                raise LookupError(f"{error.code} {error.read(2_000).decode(errors='replace')}") from error


GRPC_CODES: dict[int, str] = {code.value[0]: code.name for code in grpc.StatusCode}


class Span(NamedTuple):
    """A stored span; times are ns, attributes text."""

    trace: str
    span: str
    parent: str
    service: str
    name: str
    kind: str
    status: str
    start: int
    duration_ns: int
    resource: int
    attributes: dict[str, str]

    @property
    def answer(self) -> str:
        """The status as the ledger has it: HTTP's number or gRPC's name; of all else, whether it went well."""
        if code := self.attributes.get("http.response.status_code"):
            return code
        if code := self.attributes.get("rpc.grpc.status_code"):
            return GRPC_CODES[int(code)]
        return "ERROR" if self.status == "error" else "OK"

    @property
    def peer(self) -> str:
        """Who was meant by a call, as its attributes tell."""
        told = (self.attributes.get(key) for key in MEANT)
        meant = next((value for value in told if value), "nobody")
        return PEERS.get(meant, meant)


class Log(NamedTuple):
    """A stored log record."""

    service: str
    event: str
    severity: int
    at: int
    trace: str
    span: str
    body: str
    attributes: dict[str, str]


@dataclass(frozen=True)
class Stored:
    """Each part is asked for once, when it is needed."""

    api: Api
    instances: list[str]
    start_ns: int
    end_ns: int

    @classmethod
    def of(cls, api: Api, ledger: Ledger) -> "Stored":
        """What belongs to the run of this ledger."""
        instances = {each.instance for each in ledger.telemetry}
        times = [each.start for each in ledger.operations] or [0]
        return cls(api, sorted(instances), min(times) - MARGIN_NS, max(times) + 2 * MARGIN_NS)

    @cached_property
    def span_rows(self) -> list[Span]:
        """As they are stored, one that is there twice twice."""
        return [Span(*row) for row in self._all(SPANS, "spans")]

    @cached_property
    def spans(self) -> dict[tuple[str, str], Span]:
        """By trace and span id."""
        return {(each.trace, each.span): each for each in self.span_rows}

    @cached_property
    def children(self) -> dict[tuple[str, str], list[Span]]:
        """Spans by the trace and id of their parent."""
        found = defaultdict(list)
        for each in self.spans.values():
            found[each.trace, each.parent].append(each)
        return dict(found)

    @cached_property
    def log_rows(self) -> list[Log]:
        """As they are stored, one that is there twice twice."""
        return [Log(*row) for row in self._all(LOGS, "logs")]

    @cached_property
    def logs(self) -> list[Log]:
        """Each once: who did not see its acknowledgement sends again, and log records have no id to know it by."""
        return list({(*each[:7], *sorted(each.attributes.items())): each for each in self.log_rows}.values())

    @cached_property
    def samples(self) -> Counter[str]:
        """By service."""
        return Counter(dict(self.api.sql(SAMPLES, instances=self.instances)))

    @cached_property
    def versions(self) -> dict[int, str]:
        """`service.version` by resource id."""
        return dict(self.api.sql(VERSIONS, instances=self.instances))

    def counter(self, metric: str, label: str = "") -> dict[str, int]:
        """The last values, added up over series, by the value of a label."""
        return {
            value: round(total)
            for value, total in self.api.sql(COUNTER, metric=metric, label=label, instances=self.instances)
        }

    def points(self, metric: str, service: str) -> list[tuple[int, float]]:
        """Time and value of all its series, by time."""
        rows = self.api.sql(POINTS, metric=metric, service=service, instances=self.instances)
        return [(at, value) for at, value in rows if value is not None]

    def _all(self, query: str, view: str) -> Iterator[list[Any]]:
        """All rows, in as many parts as the limit on an answer's rows asks for."""
        window = {"instances": self.instances, "start": self.start_ns, "end": self.end_ns}
        ((count,),) = self.api.sql(f"SELECT count() FROM {view} WHERE {OURS}", **window)
        parts = count // ROWS_AT_ONCE + 1
        for part in range(parts):
            yield from self.api.sql(query, **window, parts=parts, part=part)
