"""Whether what the server stored is what truly happened: the ledger and the public API, compared to the unit.

What an SDK itself counted as lost may be missing, and nothing beyond: with no loss every count is exact. The run must
have ended, for only then have the SDKs given away all they had.
"""

import argparse
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from gnomon_shop import evidence
from gnomon_shop.faults import truth
from gnomon_shop.stored import Api, Span, Stored
from gnomon_shop.truth import business, graph
from gnomon_shop.truth.records import Fact, Ledger, Operation

POLL_S = 2.0
TRACES_ASKED = 20
SIGNALS = {"traces": "spans", "logs": "log records", "metrics": "points"}
FACTS = (*business.FUNNEL, "search", "declined", "return", "mail")
EVENTS = {fact: f"shop.{fact}" for fact in FACTS} | {"order": "shop.order.placed"}
JUDGED_STRENGTH = 0.5  # what is weaker needs more than a simple statistic to be seen


class Row(NamedTuple):
    """One line of the table."""

    what: str
    passed: bool
    seen: str


@dataclass(frozen=True)
class Run:
    """The truth on one side, the server's memory on the other."""

    ledger: Ledger
    stored: Stored
    faults: list[dict[str, Any]]

    @cached_property
    def services(self) -> list[str]:
        """Those that send telemetry."""
        return sorted({each.service for each in self.ledger.telemetry})

    @cached_property
    def lost(self) -> Counter[tuple[str, str]]:
        """What the SDKs gave up, by service and signal."""
        return self._told("lost")

    @cached_property
    def made(self) -> Counter[tuple[str, str]]:
        """What the SDKs were given, likewise."""
        return self._told("made")

    @cached_property
    def spanned(self) -> dict[tuple[str, str], Operation]:
        """Operations that are spans, by trace and span id."""
        return {(each.trace, each.span): each for each in self.ledger.operations if each.span}

    def facts(self, name: str) -> list[Fact]:
        """Of one name."""
        return [each for each in self.ledger.facts if each.fact == name]

    def counted_right(self, seen: list[int], true: list[int], services: set[str]) -> bool:
        """Whether counters are exact; they may lag behind where an SDK has lost exports, perhaps the last."""
        lost = any(self.lost[service, "metrics"] for service in services)
        return seen == true or (lost and all(some <= all_ for some, all_ in zip(seen, true, strict=True)))

    def _told(self, what: str) -> Counter[tuple[str, str]]:
        found = Counter[tuple[str, str]]()
        for each in self.ledger.telemetry:
            found[each.service, each.sdk] += getattr(each, what)
        return found


def signals(run: Run) -> Iterator[Row]:
    """Every service is listed, with all three signals."""
    stored, api = run.stored, run.stored.api
    listed = {each["service"] for each in api.get("/services", start=stored.start_ns, end=stored.end_ns)["services"]}
    spans = Counter(each.service for each in stored.spans.values())
    logs = Counter(each.service for each in stored.log_rows)
    for service in run.services:
        counts = spans[service], logs[service], stored.samples[service]
        seen = "{:,} spans, {:,} log records, {:,} samples".format(*counts)
        yield Row(f"{service}: listed, with all three signals", service in listed and min(counts) > 0, seen)


def accounted(run: Run) -> Iterator[Row]:
    """The SDKs know of everything they made whether it arrived."""
    for service in run.services:
        told = [each for each in run.ledger.telemetry if each.service == service]
        open_ends = sum(each.made - each.delivered - each.lost for each in told)
        words = (f"{run.lost[service, sdk]:,} of {run.made[service, sdk]:,} {unit}" for sdk, unit in SIGNALS.items())
        yield Row(f"{service}: lost by the SDK", open_ends == 0, ", ".join(words))


def arrived(run: Run) -> Iterator[Row]:
    """As many spans and log records as were made, less those lost; spans once."""
    spans = Counter(each.service for each in run.stored.spans.values())
    twice = Counter(each.service for each in run.stored.span_rows) - spans
    logs = Counter(each.service for each in run.stored.logs)
    for service in run.services:
        for sdk, found in (("traces", spans[service]), ("logs", logs[service])):
            made, lost = run.made[service, sdk], run.lost[service, sdk]
            # What arrived without its acknowledgement counts as lost and is there all the same.
            right = made - lost <= found <= made and not (sdk == "traces" and twice[service])
            seen = f"{found:,} of {made:,}, {lost:,} lost" + (f", {twice[service]:,} twice" if sdk == "traces" else "")
            yield Row(f"{service}: {SIGNALS[sdk]} stored", right, seen)


def operations(run: Run) -> Iterator[Row]:
    """Every operation of the ledger is a span of that service and kind."""
    for service in run.services:
        mine = [each for each in run.spanned.values() if each.service == service]
        found = [each for each in mine if (each.trace, each.span) in run.stored.spans]
        other = [each for each in found if not _same(each, run.stored.spans[each.trace, each.span])]
        bare = [each for each in run.ledger.operations if _answered_by(service, each) and not each.span]
        missing, lost = len(mine) - len(found), run.lost[service, "traces"]
        seen = f"{len(found):,} of {len(mine):,}, {lost:,} lost" + _some("other", other) + _some("without one", bare)
        yield Row(f"{service}: operations are spans", missing <= lost and not other and not bare, seen)


def _answered_by(service: str, operation: Operation) -> bool:
    """Of what it asked of others there may be no span: a call can fail before it has one."""
    return operation.service == service and operation.kind in graph.SERVING


def _same(operation: Operation, span: Span) -> bool:
    return (operation.service, operation.kind) == (span.service, span.kind)


def requests(run: Run) -> Iterator[Row]:
    """Server and consumer spans by route and status, as many as requests were served."""
    true: defaultdict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    seen: defaultdict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    for each in run.ledger.operations:
        if each.kind in graph.SERVING:
            true[each.service][each.name, _answer(each)] += 1
    for span in run.stored.spans.values():
        if span.kind in graph.SERVING:
            seen[span.service][span.name.lstrip("/"), span.answer] += 1
    for service in run.services:
        lacking, excess = true[service] - seen[service], seen[service] - true[service]
        right = lacking.total() <= run.lost[service, "traces"] and not excess
        words = f"{seen[service].total():,} of {true[service].total():,} in {len(true[service])} groups"
        words += _some("too few", lacking) + _some("too many", excess)
        yield Row(f"{service}: requests by route and status", right, words)


def _answer(operation: Operation) -> str:
    """As a span has it: of a message there is no status but whether it was worked on well."""
    return operation.status if operation.kind == "server" else "OK" if operation.ok else "ERROR"


def parents(run: Run) -> Iterator[Row]:
    """Every operation hangs below the one that caused it."""
    right, cut, wrong = 0, 0, Counter[tuple[str, str]]()
    for key, operation in run.spanned.items():
        found = _above(run, key)
        if found is None:
            cut += 1
        elif found == _true_above(run, operation):
            right += 1
        else:
            wrong[operation.service, operation.name] += 1
    lost = sum(run.lost[service, "traces"] for service in run.services)
    words = f"{right:,} of {len(run.spanned):,}" + (f", {cut} cut off" if cut else "") + _some("wrong", wrong)
    yield Row("traces: parents are the callers", not wrong and cut <= lost, words)


def _true_above(run: Run, operation: Operation) -> tuple[str, str]:
    """The nearest operation above that is a span; in a trace of its own where there is none."""
    above = run.ledger.by_op.get(operation.parent)
    while above and not above.span:
        above = run.ledger.by_op.get(above.parent)
    return (above.trace, above.span) if above else (operation.trace, "")


def _above(run: Run, key: tuple[str, str]) -> tuple[str, str] | None:
    """The nearest span above that is an operation, or the root's nothing; None where the way there is lost."""
    while span := run.stored.spans.get(key):
        key = span.trace, span.parent
        if key in run.spanned or not span.parent:
            return key
    return None


def traces(run: Run) -> Iterator[Row]:
    """Asked for one by one, a trace has all its spans."""
    spans = defaultdict(set)
    for trace, span in run.stored.spans:
        spans[trace].add(span)
    ids = sorted({trace for trace, _ in run.spanned} & spans.keys())
    asked = ids[:: max(1, len(ids) // TRACES_ASKED)]
    answers = {trace: run.stored.api.get(f"/traces/{trace}")["spans"] for trace in asked}
    whole = sum({span["span_id"] for span in answer} == spans[trace] for trace, answer in answers.items())
    yield Row("traces: whole when asked for one by one", 0 < whole == len(asked), f"{whole} of {len(asked)}")


def edges(run: Run) -> Iterator[Row]:
    """Who calls whom, by the spans: as often as in truth."""
    true = Counter({(e.caller, e.callee): e.calls for e in graph.edges(run.ledger) if e.caller in run.services})
    seen = Counter[tuple[str, str]]()
    for key, span in run.stored.spans.items():
        if span.kind in graph.CALLING:
            answered = [each.service for each in run.stored.children.get(key, ()) if each.kind in graph.SERVING]
            seen[span.service, answered[0] if answered else span.peer] += 1
    for caller, callee in sorted(true | seen):
        found, calls = seen[caller, callee], true[caller, callee]
        allowed = run.lost[caller, "traces"] + run.lost[callee, "traces"]
        right = calls - allowed <= found <= calls
        yield Row(f"{caller} calls {callee}", right, f"{found:,} of {calls:,} times")


def orders(run: Run) -> Iterator[Row]:
    """Orders and revenue from the spans, from the log events and from the counters, to the cent."""
    true = {each.order: each.cents for each in run.facts("order")}
    tills = (each for each in run.stored.spans.values() if (each.service, each.kind) == ("checkout", "server"))
    placed = (each.attributes for each in tills if "shop.order.id" in each.attributes)
    logged = (each.attributes for each in run.stored.logs if each.event == EVENTS["order"])
    for source, sdk, records in (("spans", "traces", placed), ("log events", "logs", logged)):
        seen = {each["shop.order.id"]: int(each["shop.order.cents"]) for each in records}
        right = len(true) - run.lost["checkout", sdk] <= len(seen) and seen.items() <= true.items()
        yield Row(f"orders and revenue from {source}", right, _sales(len(seen), sum(seen.values()), true))
    counted = [run.stored.counter(name).get("", 0) for name in ("shop_orders_total", "shop_revenue_total")]
    right = run.counted_right(counted, [len(true), sum(true.values())], {"checkout"})
    yield Row("orders and revenue from counters", right, _sales(counted[0], counted[1], true))


def _sales(count: int, cents: int, true: dict[str, int]) -> str:
    return f"{count:,} orders of {len(true):,}, {cents / 100:,.2f} of {sum(true.values()) / 100:,.2f}"


def facts(run: Run) -> Iterator[Row]:
    """The funnel and the rest of what happened to users: an event each time, and counted."""
    events = Counter(each.event for each in run.stored.logs)
    counted = run.stored.counter("shop_funnel_total", "step")
    for fact, event in EVENTS.items():
        true = run.facts(fact)
        services = {each.service for each in true}
        lost = sum(run.lost[service, "logs"] for service in services)
        right = len(true) - lost <= events[event] <= len(true)
        right &= run.counted_right([counted.get(fact, 0)], [len(true)], services)
        words = f"{events[event]:,} events, {counted.get(fact, 0):,} counted of {len(true):,}"
        yield Row(f"{'funnel' if fact in business.FUNNEL else 'beside it'}: {fact}", right, words)


def faults(run: Run) -> Iterator[Row]:
    """What was planted shows in the stored telemetry while it lasts, and just before does not."""
    began = min(each.start for each in run.ledger.operations)
    for fault in run.faults:
        if fault["strength"] >= JUDGED_STRENGTH:
            visible, words = evidence.judged(run.stored, began, fault, run.faults)
            yield Row(f"{fault['kind']} in {fault['where']}, strength {fault['strength']:g}", visible, words)


def _some(word: str, what: Iterable[Any]) -> str:
    """The first few of what is wrong."""
    items = list(what.items()) if isinstance(what, Counter) else list(what)
    return f"; {word}: {', '.join(str(each) for each in items[:3])}{' ...' if len(items) > 3 else ''}" if items else ""


CHECKS: tuple[Callable[[Run], Iterable[Row]], ...] = (
    signals,
    accounted,
    arrived,
    operations,
    requests,
    parents,
    traces,
    edges,
    orders,
    facts,
    faults,
)


def check(directory: Path, api: Api) -> list[Row]:
    """All rows, from a fresh look at both sides."""
    ledger = Ledger.read(directory)
    planted = truth.load(directory) if (directory / "truth.json").exists() else []
    run = Run(ledger, Stored.of(api, ledger), planted)
    rows: list[Row] = []
    for part in CHECKS:
        try:
            rows += part(run)
        except (OSError, LookupError, ValueError) as error:  # not there yet, or not as the contract says
            rows.append(Row(part.__name__, passed=False, seen=f"{type(error).__name__}: {error}"))
    return rows


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument("dir", type=Path, help="directory of the run")
    parser.add_argument("--api", default="http://127.0.0.1:4319", help="the server")
    parser.add_argument("--token", default="", help="sent as a Bearer token")
    parser.add_argument("--deadline", type=float, default=20, help="seconds to wait for all checks to pass")


def run(options: argparse.Namespace) -> int:
    """The verb: wait for the last of it to arrive, then print what there is."""
    if not (options.dir / "ledger").is_dir():
        print(f"{options.dir} holds no run of the shop", file=sys.stderr)
        return 2
    api, deadline = Api(options.api, options.token), time.monotonic() + options.deadline
    while True:
        rows = check(options.dir, api)
        if all(row.passed for row in rows) or time.monotonic() > deadline:
            break
        time.sleep(POLL_S)
    width = max(len(row.what) for row in rows)
    for row in rows:
        print(f"  {'✓' if row.passed else '✗'} {row.what:<{width}}  {row.seen}")
    failed = sum(not row.passed for row in rows)
    print(f"{len(rows) - failed} of {len(rows)} checks passed" + (f", {failed} failed" if failed else ""))
    return 1 if failed else 0
