"""Compares what was acknowledged with what is stored, by id and by content."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.chaos.payloads import SPANS_A_TRACE, Request, request_of
from tests.server import Server

_MAPS = "attributes_string, attributes_int, attributes_float, attributes_bool"
_SPANS = (
    "SELECT concat(trace_id, span_id) AS id, time, duration_ns, parent_id, name, kind, status, "
    f"{_MAPS}, events_name FROM spans WHERE service = {{service:String}}"
)
_LOGS = (
    "SELECT attributes_string['chaos.text'] AS id, time, body, severity_number, trace_id, span_id, "
    f"{_MAPS} FROM logs WHERE service = {{service:String}}"
)
_POINTS = "SELECT concat(type, '/') AS kind, time, value FROM metrics WHERE service = {service:String}"
_HISTOGRAMS = (
    "SELECT 'histogram/' AS kind, time, count, sum, positive_count FROM histograms WHERE service = {service:String}"
)
_TRACES = "SELECT trace_id, spans FROM traces WHERE has(services, {service:String})"


@dataclass(slots=True)
class Ledger:
    """Requests by what became of them, as the load's journal tells."""

    sent: dict[tuple[str, int], Request] = field(default_factory=dict)
    acked_at: dict[tuple[str, int], int] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    retried: int = 0

    @classmethod
    def read(cls, journal: Path) -> "Ledger":
        ledger = cls()
        for line in journal.read_text().splitlines():
            if not line.endswith("}"):
                continue  # torn by a kill of the load itself
            about, request = json.loads(line), request_of(line)
            key = (request.service, request.number)
            if about["event"] == "sent":
                ledger.sent[key] = request
            elif about["event"] == "acked":
                ledger.acked_at[key] = about["at"]
                ledger.retried += about["tries"] > 1
            else:
                ledger.refused.append(about["why"])
        return ledger

    def services(self) -> dict[tuple[str, str], list[Request]]:
        """Requests by (signal, service)."""
        found = defaultdict(list)
        for request in self.sent.values():
            found[request.signal, request.service].append(request)
        return found


@dataclass(slots=True)
class Verdict:
    """Counts of records, but for the batches; `faults` are described."""

    acked_requests: int = 0
    acked_records: int = 0
    stored_unacked: int = 0
    lost: int = 0
    altered: int = 0
    invented: int = 0
    duplicate_spans: int = 0
    duplicate_points: int = 0
    duplicate_histograms: int = 0
    duplicate_logs: int = 0
    partial_batches: int = 0
    unlisted_traces: int = 0
    faults: list[str] = field(default_factory=list)

    def add(self, other: "Verdict") -> None:
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))

    def tell(self, what: str) -> None:
        if len(self.faults) < 20:
            self.faults.append(what)

    @property
    def sound(self) -> bool:
        """Nothing acknowledged is lost, altered or doubled. Logs may be there twice, un-acked batches in part."""
        wrong = self.lost, self.altered, self.invented, self.duplicate_spans, self.duplicate_points
        return not any(wrong) and not self.duplicate_histograms and not self.unlisted_traces

    def table(self) -> str:
        return "\n".join(
            f"  {each.name.replace('_', ' '):24}{getattr(self, each.name):>10,}"
            for each in fields(self)
            if each.name != "faults"
        )


def check(server: Server, ledger: Ledger, until_ns: int | None = None) -> Verdict:
    """Every request of the ledger; with `until_ns`, what was acknowledged later need not be there."""
    verdict = Verdict()
    for (signal, service), requests in ledger.services().items():
        verdict.add(_check_service(server, ledger, signal, service, requests, until_ns))
    return verdict


def _check_service(
    server: Server, ledger: Ledger, signal: str, service: str, requests: list[Request], until_ns: int | None
) -> Verdict:
    verdict = Verdict()
    rows = _stored(server, signal, service)
    counts = Counter(key for key, _ in rows)
    stored = dict(rows)
    known, acked_traces = 0, set()
    for request in sorted(requests, key=lambda each: each.number):
        at = ledger.acked_at.get((service, request.number))
        acked = at is not None and (until_ns is None or at <= until_ns)
        there = [key for key in request.expected if key in stored]
        known += len(there)
        for key in there:
            if stored[key] != request.expected[key]:
                verdict.altered += 1
                verdict.tell(f"altered: {service} {request.number} {key}: {stored[key]} for {request.expected[key]}")
        _count_doubles(verdict, signal, service, request, counts)
        if acked:
            verdict.acked_requests += 1
            verdict.acked_records += request.records
            acked_traces |= {key[:32] for key in there}
            missing = request.records - len(there)
            verdict.lost += missing
            if missing:
                verdict.tell(f"lost: {service} {request.number}: {missing} of {request.records}")
        else:
            verdict.stored_unacked += len(there)
            verdict.partial_batches += 0 < len(there) < request.records
    verdict.invented = len(stored) - known
    if verdict.invented:
        verdict.tell(f"invented: {service}: {verdict.invented}")
    if signal == "traces":
        _check_traces(server, verdict, service, requests, stored, acked_traces)
    return verdict


def _count_doubles(verdict: Verdict, signal: str, service: str, request: Request, counts: Counter[str]) -> None:
    for key in request.expected:
        more = counts[key] - 1
        if more <= 0:
            continue
        kind = (
            "histograms"
            if key.startswith("histogram/")
            else {"traces": "spans", "metrics": "points"}.get(signal, signal)
        )
        name = f"duplicate_{kind}"
        setattr(verdict, name, getattr(verdict, name) + more)
        if kind != "logs":
            verdict.tell(f"{name}: {service} {request.number} {key}: {more + 1} times")


def _check_traces(
    server: Server, verdict: Verdict, service: str, requests: Iterable[Request], stored: dict[str, Any], acked: set[str]
) -> None:
    """The list of traces has each acknowledged trace, with as many spans as are there."""
    listed = {row["trace_id"]: row["spans"] for row in _rows(server, _TRACES, service)}
    expected: Counter[str] = Counter(key[:32] for key in stored)
    wrong = [trace for trace, spans in expected.items() if trace in acked and listed.get(trace) != spans]
    verdict.unlisted_traces += len(wrong)
    for trace in wrong[:2]:
        numbers = [request.number for request in requests if _has_trace(request, trace)]
        said = f"{listed.get(trace)} spans, has {expected[trace]}"
        verdict.tell(f"trace list: {service} {numbers} {trace}: {said}")


def _has_trace(request: Request, trace: str) -> bool:
    return any(request.trace(index).hex() == trace for index in range(0, request.records, SPANS_A_TRACE))


def _stored(server: Server, signal: str, service: str) -> list[tuple[str, Any]]:
    if signal == "metrics":
        points = _rows(server, _POINTS, service) + _rows(server, _HISTOGRAMS, service)
        return [(row.pop("kind") + str(_ns(row.pop("time")) // 1_000_000), tuple(row.values())) for row in points]
    found = _rows(server, _SPANS if signal == "traces" else _LOGS, service)
    return [(row.pop("id"), (_ns(row.pop("time")), *row.values())) for row in found]


def _rows(server: Server, query: str, service: str) -> list[dict[str, Any]]:
    return server.sql(query, service=service)


def _ns(text: str) -> int:
    """Nanoseconds since the epoch of `2026-11-21T09:21:35.123456789Z`."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    seconds = int(datetime.fromisoformat(f"{whole}+00:00").timestamp())
    return seconds * 1_000_000_000 + int(fraction.ljust(9, "0"))
