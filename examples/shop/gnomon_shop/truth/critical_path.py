"""What a request waited for: the critical path of its tree of operations, as CRISP defines it.

Zhang et al., "CRISP: Critical Path Analysis of Large-Scale Microservice Architectures", USENIX ATC 2022. Walk from the
end of an operation back to its start. The child that ended last was waited for; before that child began, the one that
ended last by then; and so on. The time of these children belongs to them (and so on down the tree), all else is the
operation's own. Hence the pieces of a path neither overlap nor leave a gap: they add up to the root's duration.

- A child that was not over when one on the path began ran beside it: it is not on the path.
- A child counts within its parent's time alone: a caller that gave up did not wait for the rest.
- Of children that end in the same moment, the one that began first was waited for the longest.
- Nobody waits for the consumer of a message: its operation is the root of a path of its own.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from gnomon_shop.truth.records import Ledger, Operation


class Piece(NamedTuple):
    """From `start` to `end` (ns) the request waited for this operation itself and nothing below it."""

    operation: Operation
    start: int
    end: int

    @property
    def self_ns(self) -> int:
        """Its length."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Share:
    """What an operation has of the critical paths of a route."""

    service: str
    name: str
    kind: str
    self_ns: int
    requests: int
    share: float


@dataclass(frozen=True, slots=True)
class Route:
    """The critical paths of all requests that came in at one place, added up; the largest share first."""

    service: str
    name: str
    requests: int
    duration_ns: int
    shares: list[Share]


def critical_path(root: Operation, children: Mapping[str, list[Operation]]) -> list[Piece]:
    """In the order of time; empty pieces are left out."""
    return list(_backwards(root, root.start, root.end, children))[::-1]


def routes(ledger: Ledger) -> list[Route]:
    """Of every route, by name."""
    found = defaultdict(list)
    for root in ledger.roots:
        found[root.service, root.name].append(root)
    return [_route(*key, roots, ledger.children) for key, roots in sorted(found.items())]


def _backwards(operation: Operation, start: int, end: int, children: Mapping[str, list[Operation]]) -> Iterator[Piece]:
    """The path within `operation` between two times, from the last piece to the first."""
    at = end
    for child_start, child_end, child in _clipped(children.get(operation.op, ()), start, end):
        if child_end > at:
            continue
        if child_end < at:
            yield Piece(operation, child_end, at)
        yield from _backwards(child, child_start, child_end, children)
        at = child_start
    if start < at:
        yield Piece(operation, start, at)


def _clipped(children: Iterable[Operation], start: int, end: int) -> list[tuple[int, int, Operation]]:
    """Those that were waited for, within the parent's time; the last to end first."""
    inside = [(max(each.start, start), min(each.end, end), each) for each in children if each.kind != "consumer"]
    return sorted(
        (found for found in inside if found[0] < found[1]), key=lambda found: (-found[1], found[0], found[2].op)
    )


def _route(service: str, name: str, roots: list[Operation], children: Mapping[str, list[Operation]]) -> Route:
    self_ns: defaultdict[tuple[str, str, str], int] = defaultdict(int)
    requests: defaultdict[tuple[str, str, str], int] = defaultdict(int)
    for root in roots:
        pieces = critical_path(root, children)
        for operation, start, end in pieces:
            self_ns[operation.service, operation.name, operation.kind] += end - start
        for key in {(each.operation.service, each.operation.name, each.operation.kind) for each in pieces}:
            requests[key] += 1
    total = sum(root.duration_ns for root in roots)
    shares = [Share(*key, ns, requests[key], ns / total) for key, ns in self_ns.items()]
    return Route(service, name, len(roots), total, sorted(shares, key=lambda each: (-each.self_ns, each.name)))
