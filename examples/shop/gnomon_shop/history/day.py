"""A day of the shop, told: spans of sampled requests, log records, facts, and what the meters counted of all."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray

from gnomon_shop.history import dialect, instruments, lines
from gnomon_shop.history.batches import Pieces
from gnomon_shop.history.calls import Node
from gnomon_shop.history.columns import RAGGED, WIDTHS, Columns, Texts, hexadecimal, texts, widths_of
from gnomon_shop.history.instruments import COUNTED, QUEUED, WAITED
from gnomon_shop.history.lines import INFO, Line
from gnomon_shop.history.metrics import Labels, Meters
from gnomon_shop.history.outcomes import Group
from gnomon_shop.history.processes import Track
from gnomon_shop.history.traffic import SECOND_NS, Rows
from gnomon_shop.history.weather import Weather, waits_ms
from gnomon_shop.history.wire import Template

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

Widths = tuple[tuple[str, int], ...]

UNVISITED = ("probe", "settle")  # nobody is known to have asked
_LINE_BEFORE_END_NS = 40_000


@dataclass
class Day:
    """Where the parts of one day are gathered."""

    weather: Weather
    texts: Texts
    rows: Rows
    sampled: Flags  # by row
    threshold: str  # of the sampling, in the words of the trace state
    spans: Pieces
    logs: Pieces
    meters: Meters
    soonest: Ints  # by row: when the consumer of the queue is free for its message
    facts: list[tuple[str, int, bytes]] = field(default_factory=list)
    placed: list[tuple[Ints, Ints]] = field(default_factory=list)  # times and cents of orders

    def tell(self, rng: np.random.Generator, group: Group) -> None:
        """All that is to be said of requests that went the same way."""
        _Told(self, rng, group).everything()


class _Told:
    """One group's telling."""

    def __init__(self, day: Day, rng: np.random.Generator, group: Group) -> None:
        self.day, self.group, self.tree, self.rng = day, group, group.tree, rng
        self.rows = day.rows[group.places]
        self.at = np.ascontiguousarray(self.rows["at"])
        self.visited = group.action not in UNVISITED
        own_ms = day.weather.own_ms(rng, self.tree, self.at, group.is_next)
        self.starts, self.ends = self.tree.laid_out(self.at, own_ms, day.soonest[group.places])
        self.ids = rng.integers(0, 256, (len(self.rows), len(self.tree.nodes), 8), np.uint8)
        self.sampled = day.sampled[group.places]
        self.columns = day.texts.columns(self.rows)

    def everything(self) -> None:
        for place, node in enumerate(self.tree.nodes):
            skew = self.day.weather.skew_ns(node.service, self.starts[:, place])
            for track, mine in self._tracks(node):
                self._measure(place, node, track, mine)
                self._span(place, node, track, mine & self.sampled, skew)
                self._lines(place, node, track, mine, skew)
                for fact, done in node.facts:
                    self._fact(place, node, track, mine, skew, fact, done)

    def _tracks(self, node: Node) -> Iterable[tuple[Track, Flags]]:
        """Which deployment of the service did it."""
        if node.service == "checkout" and self.group.is_next.any():
            yield (node.service, "next"), self.group.is_next
            if not self.group.is_next.all():
                yield (node.service, "main"), ~self.group.is_next
        else:
            yield (node.service, "main"), np.ones(len(self.rows), np.bool_)

    # Spans

    def _span(self, place: int, node: Node, track: Track, mine: Flags, skew: Ints) -> None:
        parent = self.tree.parents[place]
        start, end = self.starts[:, place] + skew, self.ends[:, place] + skew
        for here, columns, widths in self._fitted(_ragged_in(node), place, mine):
            columns |= {
                "span": self.ids[here, place],
                "parent": self.ids[here, max(parent, 0)],
                "start": start[here],
                "end": end[here],
            }
            template = _span_template(node, widths, self.day.threshold, parent < 0, self.visited)
            self.day.spans.add(track, dialect.scope(node), template, self.at[here], self.starts[here, place], columns)

    # Log records

    def _lines(self, place: int, node: Node, track: Track, mine: Flags, skew: Ints) -> None:
        ended = self.ends[:, place] - _LINE_BEFORE_END_NS
        for number, line in enumerate([*lines.served_lines(node), *lines.further_lines(node)]):
            told = mine & self.sampled if line.severity == INFO else mine
            self._line(line, place, track, told, ended - number * _LINE_BEFORE_END_NS, skew)

    def _line(self, line: Line, place: int, track: Track, mine: Flags, at: Ints, skew: Ints) -> None:
        asked = _columns_in(line.body + "".join(str(value) for _, value in line.attributes))
        for sampled in (False, True):
            for here, columns, widths in self._fitted(asked, place, mine & (self.sampled == sampled)):
                columns |= {
                    "span": self.ids[here, place],
                    "time": (at + skew)[here],
                    "ms": (self.ends[here, place] - self.starts[here, place]) / 1e6,
                }
                template = _line_template(line, widths, sampled)
                self.day.logs.add(track, line.scope, template, self.at[here], at[here], columns)

    def _fitted(self, ragged: tuple[str, ...], place: int, mine: Flags) -> Iterable[tuple[Ints, Columns, Widths]]:
        """Which rows have texts of the same widths, with their columns and these widths."""
        where = np.flatnonzero(mine)
        if not len(where):
            return
        makers = self.day.texts.ragged(self.rows[where])
        lasted_ns = self.ends[where, place] - self.starts[where, place]
        makers["duration"] = lambda: np.char.mod(b"%.1f", lasted_ns / 1e6)
        made = {name: makers[name]() for name in ragged}
        code = np.zeros(len(where), np.int64)
        for column in made.values():
            code = code * 256 + widths_of(column)
        for one in np.unique(code) if ragged else [0]:
            chosen = code == one
            here = where[chosen]
            widths = {name: int(widths_of(column[chosen][:1])[0]) for name, column in made.items()}
            columns = {name: column[here] for name, column in self.columns.items()}
            columns |= {name: texts(column[chosen], widths[name]) for name, column in made.items()}
            yield here, columns, tuple(widths.items())

    # Facts, told three times alike: in the ledger, as a log event, and as a counter

    def _fact(self, place: int, node: Node, track: Track, mine: Flags, skew: Ints, fact: str, done: int) -> None:
        at = self._moment(place, done)
        self._line(lines.fact_line(fact), place, track, mine, at, skew)
        cents = self.rows["cents"][mine].astype(np.float64)
        self._count(track, "shop.funnel", (("step", fact),), at[mine], np.ones(int(mine.sum())))
        if fact == "order":
            self.day.placed.append((at[mine], self.rows["cents"][mine]))
            self._count(track, "shop.orders", (), at[mine], np.ones(len(cents)))
            for name in ("shop.revenue", "shop.order.amount"):
                self._count(track, name, (), at[mine], cents)
            self._count(("payment", "main"), "shop.payment.amount", (), at[mine], cents)
        elif fact == "return":
            self._count(track, "shop.returns", (), at[mine], cents)
        elif fact == "mail":
            self._count(track, "shop.mails", (), at[mine], np.ones(len(cents)))
        self.day.facts.append((fact, int(mine.sum()), self._written(fact, node.service, at, mine)))

    def _moment(self, place: int, done: int) -> Ints:
        """Just after the first `done` of the node's children."""
        if not done:
            return self.starts[:, place] + (self.ends[:, place] - self.starts[:, place]) // 4
        return self.ends[:, self.tree.below[place][done - 1]] + _LINE_BEFORE_END_NS

    def _written(self, fact: str, service: str, at: Ints, mine: Flags) -> bytes:
        """Lines of the ledger, in its format."""
        of_order = fact in ("order", "return", "mail")
        columns = {name: column[mine] for name, column in self.columns.items()}
        strings = [
            np.ascontiguousarray(column).view(f"S{column.shape[1]}").ravel().tolist()
            for column in (
                columns["user"], columns["session"], columns["order"],
                hexadecimal(self.rows["request"][mine]), hexadecimal(self.rows["trace"][mine]),
            )
        ]  # fmt: skip
        cents = self.rows["cents"][mine].tolist() if of_order else [0] * int(mine.sum())
        return b"".join(
            b'{"fact":"%s","at":%d,"user":"%s","session":"%s","cents":%d,"order":"%s","request":"%s","trace":"%s",'
            b'"service":"%s"}\n'
            % (
                fact.encode(),
                when,
                user,
                session,
                sum_,
                b"o-" + order if of_order else b"",
                request,
                trace,
                service.encode(),
            )
            for when, sum_, user, session, order, request, trace in zip(at[mine].tolist(), cents, *strings, strict=True)
        )

    # Metrics

    def _measure(self, place: int, node: Node, track: Track, mine: Flags) -> None:
        meters, ends = self.day.meters, self.ends[mine, place]
        if found := instruments.measured(node):
            meters.add(track, *found, ends, (ends - self.starts[mine, place]) / SECOND_NS)
        for name, labels, amount in node.counts:
            taken = self.rows["quantity"][mine] if name == "shop.cart.items" else np.full(len(ends), amount)
            self._count(track, name, labels, ends, taken.astype(np.float64))
        if node.kind == "producer":
            self._count(track, "messaging.client.sent.messages", QUEUED, ends, np.ones(len(ends)))
        if node.kind == "consumer":
            outcome = (*QUEUED, ("outcome", "done"))
            self._count(track, "messaging.client.consumed.messages", outcome, ends, np.ones(len(ends)))
        if node.protocol == "sql" and node.operation in ("SELECT products", "SELECT orders", "INSERT orders"):
            self._waited(track, node, self.starts[mine, place])
        if node.service == "checkout" and node.kind == "server" and node.status in ("402", "503"):
            reason = (("reason", "declined" if node.status == "402" else "payment"),)
            self._count(track, "shop.checkout.refused", reason, ends, np.ones(len(ends)))
        if node.kind == "server" and node.protocol == "http":
            self._active(track, node, self.starts[mine, place], ends)
            self._sized(track, node, ends)

    def _count(self, track: Track, name: str, labels: Labels, at: Ints, amounts: Floats) -> None:
        self.day.meters.add(track, COUNTED[name], labels, at, amounts)

    def _waited(self, track: Track, node: Node, at: Ints) -> None:
        seconds = 0.00012 * self.rng.lognormal(0, 0.4, len(at))
        level = self.day.weather.level("pool_exhaustion", node.service, at)
        if level.any():
            seconds += waits_ms(self.rng, level) / 1000
        self.day.meters.add(track, WAITED, (), at, seconds)

    def _active(self, track: Track, node: Node, starts: Ints, ends: Ints) -> None:
        """Requests in progress: one more at the start, one less at the end; and how long the service was at work."""
        meters = self.day.meters
        labels = (("url.scheme", "http"), ("http.request.method", node.operation.partition(" ")[0]))
        meters.flow(track, instruments.ACTIVE, labels, starts, ends)

    def _sized(self, track: Track, node: Node, ends: Ints) -> None:
        """The bodies of request and response, in bytes."""
        found = instruments.measured(node)
        for instrument, median in zip(instruments.SIZES, instruments.sizes(node), strict=True):
            if found and median is not None:
                sizes = np.floor(median * self.rng.lognormal(0, 0.1, len(ends)))
                self.day.meters.add(track, instrument, found[1], ends, sizes)


@cache
def _columns_in(text: str) -> tuple[str, ...]:
    """The columns of varying width that a text asks for."""
    return tuple(name for name in RAGGED if f"${name}" in text)


@cache
def _ragged_in(node: Node) -> tuple[str, ...]:
    return _columns_in(" ".join(map(str, dialect.attributes(node, visited=True).values())))


@cache
def _span_template(node: Node, widths: Widths, threshold: str, root: bool, visited: bool) -> Template:
    return dialect.span(node, {**WIDTHS, **dict(widths)}, threshold, root=root, visited=visited)


@cache
def _line_template(line: Line, widths: Widths, sampled: bool) -> Template:
    return lines.line(line, {**WIDTHS, **dict(widths)}, sampled)
