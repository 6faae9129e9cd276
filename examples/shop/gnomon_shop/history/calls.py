"""What one request sets going: a tree of operations along the true topology, and its times as arrays."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gnomon_shop.history.wire import Value

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MILLISECOND_NS = 1_000_000


@dataclass(frozen=True)
class Node:
    """One operation: a request served, a call made, a statement, a message sent or taken."""

    service: str
    kind: str  # server | client | internal | producer | consumer
    protocol: str  # http | grpc | sql | queue | own
    operation: str  # as the ledger names it: `GET /api/cart`, `shop.Payment/Charge`, `SELECT products`
    own_ms: float  # median of the time that is spent in it and in none of its children
    children: tuple["Node", ...] = ()
    peer: str = ""  # the service called
    path: str = ""  # where it differs from the operation's route
    query: str = ""
    status: str = "200"
    error: str = ""  # the reason, when it went wrong here
    begins: str = "in turn"  # or `beside`: nobody waits for it; or `later`: when its parent has ended
    facts: tuple[tuple[str, int], ...] = ()  # and after how many of the children each happens
    counts: tuple[tuple[str, tuple[tuple[str, Value], ...], int], ...] = ()  # counters that it adds to
    extra: tuple[tuple[str, Value], ...] = ()  # further attributes of the span

    @property
    def code(self) -> int:
        """The status as a number where it is one; -1 when there was no answer."""
        return int(self.status) if self.status.isdigit() else -1

    @property
    def ill(self) -> bool:
        """Whether its span has the status error."""
        if self.protocol == "http":
            return self.code < 0 or self.code >= (400 if self.kind == "client" else 500)
        return self.status not in ("200", "OK")


@dataclass(frozen=True)
class Tree:
    """A root and all below it, in the order of a walk from the top."""

    root: Node

    @cached_property
    def nodes(self) -> list[Node]:
        """Parents before their children."""
        return [node for node, _ in _walk(self.root, -1, [0])]

    @cached_property
    def parents(self) -> list[int]:
        """Positions; -1 above the root."""
        return [parent for _, parent in _walk(self.root, -1, [0])]

    @cached_property
    def below(self) -> list[list[int]]:
        """Positions of each node's children, in their order."""
        found: list[list[int]] = [[] for _ in self.nodes]
        for place, parent in enumerate(self.parents):
            if parent >= 0:
                found[parent].append(place)
        return found

    def failed(self, place: int, status: str, error: str, handed_up: Callable[[Node, Node], str]) -> "Tree":
        """The node ends at once with an error; those above it fail with it, and do nothing more.

        `handed_up` says what status a node ends with when the one below it has failed; empty when it goes on.
        """
        chain, above = [], place
        while above >= 0:
            chain.append(above)
            above = self.parents[above]
        node = self.nodes[place]
        broken = replace(node, children=(), facts=(), counts=(), own_ms=node.own_ms * 0.6, status=status, error=error)
        fails = True
        for upper, lower in zip(chain[1:], chain, strict=False):
            node = self.nodes[upper]
            position = self.below[upper].index(lower)
            after = handed_up(node, broken) if fails else ""
            if after:
                children = (*node.children[:position], broken)
                facts = tuple((fact, done) for fact, done in node.facts if done <= position)
                broken = replace(node, children=children, facts=facts, counts=(), status=after)
            else:
                children = (*node.children[:position], broken, *node.children[position + 1 :])
                broken, fails = replace(node, children=children), False
        return Tree(broken)

    def laid_out(self, at: Ints, own_ms: Floats, soonest: Ints | None = None) -> tuple[Ints, Ints]:
        """Starts and ends of all nodes, int64[n, nodes].

        Args:
            at: when the root starts; ns.
            own_ms: float64[n, nodes]; what a node spends itself is spread evenly around its children.
            soonest: before which no node that begins `later` does; ns.
        """
        spent = (own_ms * MILLISECOND_NS).astype(np.int64)
        lasts = spent.copy()
        for place in range(len(self.nodes) - 1, 0, -1):
            if self.nodes[place].begins == "in turn":
                lasts[:, self.parents[place]] += lasts[:, place]
        starts = np.empty_like(lasts)
        starts[:, 0] = at
        for place, children in enumerate(self.below):
            waited = [child for child in children if self.nodes[child].begins == "in turn"]
            gap = spent[:, place] // (len(waited) + 1)
            now = starts[:, place] + gap
            for child in waited:
                starts[:, child] = now
                now = now + lasts[:, child] + gap
            for child in children:
                if self.nodes[child].begins == "beside":
                    starts[:, child] = starts[:, place] + gap // 8
                elif self.nodes[child].begins == "later":
                    free = starts[:, place] + lasts[:, place] + MILLISECOND_NS
                    starts[:, child] = free if soonest is None else np.maximum(free, soonest)
        return starts, starts + lasts


def _walk(node: Node, parent: int, counter: list[int]) -> Iterator[tuple[Node, int]]:
    place = counter[0]
    counter[0] += 1
    yield node, parent
    for child in node.children:
        yield from _walk(child, place, counter)
