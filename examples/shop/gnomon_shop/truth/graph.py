"""Who truly called whom, how often, how well and how fast; and what each service was asked for."""

from collections import defaultdict
from dataclasses import dataclass

from gnomon_shop.truth.records import Ledger, Operation, quantile

CALLING, SERVING = ("client", "producer"), ("server", "consumer")


@dataclass(frozen=True, slots=True)
class Edge:
    """Calls as their caller saw them. Of messages, the duration is that of sending."""

    caller: str
    callee: str
    calls: int
    errors: int
    p50_ns: int
    p95_ns: int
    p99_ns: int


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Requests as the one who answered them saw them."""

    service: str
    name: str
    status: str
    requests: int
    errors: int
    p50_ns: int
    p95_ns: int
    p99_ns: int


def edges(ledger: Ledger) -> list[Edge]:
    """By caller and callee. Who answered is the callee; where nobody did or could say so, who was meant."""
    found = defaultdict(list)
    for each in ledger.operations:
        if each.kind in CALLING:
            found[each.service, _callee(each, ledger)].append(each)
    return [Edge(*key, len(calls), *_told(calls)) for key, calls in sorted(found.items())]


def endpoints(ledger: Ledger) -> list[Endpoint]:
    """By service, name and status."""
    found = defaultdict(list)
    for each in ledger.operations:
        if each.kind in SERVING:
            found[each.service, each.name, each.status].append(each)
    return [Endpoint(*key, len(served), *_told(served)) for key, served in sorted(found.items())]


def _callee(call: Operation, ledger: Ledger) -> str:
    answered = [each.service for each in ledger.children.get(call.op, ()) if each.kind in SERVING]
    return answered[0] if answered else call.peer


def _told(operations: list[Operation]) -> tuple[int, int, int, int]:
    """Errors and the three quantiles."""
    durations = sorted(each.duration_ns for each in operations)
    p50, p95, p99 = (quantile(durations, q) for q in (0.5, 0.95, 0.99))
    return sum(not each.ok for each in operations), p50, p95, p99
