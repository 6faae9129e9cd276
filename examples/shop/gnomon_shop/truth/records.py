"""The ledger as objects: operations and the tree they form, facts, and what the SDKs counted of themselves."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from math import ceil
from pathlib import Path
from typing import Any

from gnomon_shop import ledger

OUTSIDE = "load"  # the visitors: they keep a ledger of what they ask for, and are no part of the shop


@dataclass(frozen=True, slots=True)
class Operation:
    """One piece of work: a request served, a call made, a message sent or taken. Times are ns since the epoch."""

    op: str
    parent: str
    request: str
    service: str
    version: str
    instance: str
    name: str
    kind: str
    peer: str
    start: int
    end: int
    ok: bool
    status: str
    trace: str
    span: str

    @property
    def duration_ns(self) -> int:
        """As its own process saw it."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that happened to a user."""

    fact: str
    at: int
    user: str
    session: str
    cents: int
    order: str
    request: str
    trace: str
    service: str


@dataclass(frozen=True, slots=True)
class Telemetry:
    """The last count of one SDK pipeline of one process: `made = delivered + lost`, once it has flushed."""

    service: str
    instance: str
    sdk: str
    made: int
    delivered: int
    lost: int


@dataclass(frozen=True)
class Ledger:
    """All that happened."""

    operations: list[Operation]
    facts: list[Fact]
    telemetry: list[Telemetry]

    @classmethod
    def of(cls, records: Iterable[Mapping[str, Any]]) -> "Ledger":
        """From the ledger's lines, in any order; of telemetry each process' last count stays."""
        operations: list[Operation] = []
        facts: list[Fact] = []
        last: dict[tuple[str, str], Mapping[str, Any]] = {}
        for record in records:
            if "op" in record:
                operations.append(_made(Operation, record))
            elif "fact" in record:
                facts.append(_made(Fact, record))
            elif "sdk" in record:
                key = record["instance"], record["sdk"]
                if key not in last or last[key]["at"] <= record["at"]:
                    last[key] = record
        operations.sort(key=lambda each: each.start)
        facts.sort(key=lambda each: each.at)
        return cls(operations, facts, [_made(Telemetry, record) for record in last.values()])

    @classmethod
    def read(cls, directory: Path) -> "Ledger":
        """Of a run's directory."""
        return cls.of(ledger.read(directory))

    @cached_property
    def by_op(self) -> dict[str, Operation]:
        """Operations by their id."""
        return {each.op: each for each in self.operations}

    @cached_property
    def children(self) -> dict[str, list[Operation]]:
        """Operations by the one that caused them."""
        found = defaultdict(list)
        for each in self.operations:
            if each.parent:
                found[each.parent].append(each)
        return dict(found)

    @cached_property
    def roots(self) -> list[Operation]:
        """Where the shop began to work: requests from outside, and messages, whose sender does not wait."""
        return [
            each
            for each in self.operations
            if each.service != OUTSIDE and (each.kind == "consumer" or self._came_in(each))
        ]

    def _came_in(self, operation: Operation) -> bool:
        above = self.by_op.get(operation.parent)
        return above is None or above.service == OUTSIDE


def quantile(values: list[int], q: float) -> int:
    """The nearest rank: the smallest value that at least the share `q` of all do not exceed. `values` are sorted."""
    return values[max(ceil(q * len(values)), 1) - 1]


def _made(kind: type, record: Mapping[str, Any]) -> Any:
    return kind(**{each.name: record[each.name] for each in fields(kind)})
