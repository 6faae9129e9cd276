"""What the shop says is true, against the plain definitions and against cases worked out by hand."""

import argparse
import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon_shop import ledger as book
from gnomon_shop.settings import Settings
from gnomon_shop.truth import business, command, critical_path, graph, slo
from gnomon_shop.truth.records import Fact, Ledger, Operation, quantile

HOUR = business.HOUR_NS
NAMES = st.sampled_from(("a", "b", "c"))


def operation(op: str, start: int, end: int, parent: str = "", **fields: Any) -> Operation:
    """An operation that went well; service and name are those of its id unless given."""
    about: dict[str, Any] = {"service": op, "name": op, "kind": "internal", "peer": "", "version": "1.4.0"}
    about |= {"request": "", "instance": "", "ok": True, "status": "OK", "trace": "", "span": "", **fields}
    return Operation(op=op, parent=parent, start=start, end=end, **about)


def ledger(*operations: Operation, facts: tuple[Fact, ...] = ()) -> Ledger:
    """Without telemetry of its own."""
    return Ledger(list(operations), list(facts), [])


def fact(name: str, at: int = 0, session: str = "s", **fields: Any) -> Fact:
    """A fact about one user."""
    about = {"user": "u", "cents": 0, "order": "", "request": "", "trace": "", "service": "checkout", **fields}
    return Fact(fact=name, at=at, session=session, **about)


def path(*operations: Operation) -> list[tuple[str, int, int]]:
    """The critical path of the first operation's tree."""
    pieces = critical_path.critical_path(operations[0], ledger(*operations).children)
    return [(each.operation.op, each.start, each.end) for each in pieces]


# ---- critical path: by hand


def test_calls_one_after_the_other_are_all_waited_for() -> None:
    """What lies between two calls is the caller's own time."""
    tree = operation("root", 0, 10), operation("a", 1, 4, "root"), operation("b", 5, 9, "root")
    assert path(*tree) == [("root", 0, 1), ("a", 1, 4), ("root", 4, 5), ("b", 5, 9), ("root", 9, 10)]


def test_of_parallel_calls_the_slowest_is_waited_for() -> None:
    """The quicker of two has no part in the path."""
    tree = operation("root", 0, 10), operation("quick", 1, 4, "root"), operation("slow", 1, 9, "root")
    assert path(*tree) == [("root", 0, 1), ("slow", 1, 9), ("root", 9, 10)]


def test_what_was_over_before_the_parallel_calls_began_is_waited_for() -> None:
    """A call, then two at once."""
    tree = [operation("root", 0, 10), operation("first", 0, 3, "root")]
    tree += [operation("x", 3, 6, "root"), operation("y", 3, 8, "root"), operation("inner", 4, 8, "y")]
    assert path(*tree) == [("first", 0, 3), ("y", 3, 4), ("inner", 4, 8), ("root", 8, 10)]


def test_nobody_waits_for_the_consumer_of_a_message() -> None:
    """Sending counts, what the other side of the queue does is a path of its own."""
    send = operation("send", 2, 3, "root", kind="producer")
    take = operation("take", 4, 90, "send", kind="consumer")
    tree = operation("root", 0, 5), send, take, operation("mail", 5, 80, "take")
    assert path(*tree) == [("root", 0, 2), ("send", 2, 3), ("root", 3, 5)]
    assert [each.op for each in ledger(*tree).roots] == ["root", "take"]
    assert path(take, *tree) == [("take", 4, 5), ("mail", 5, 80), ("take", 80, 90)]


def test_a_call_given_up_counts_to_the_end_of_the_caller() -> None:
    """The server goes on after its client has run into its deadline."""
    tree = operation("root", 0, 10), operation("call", 2, 8, "root"), operation("served", 3, 50, "call")
    assert path(*tree) == [("root", 0, 2), ("call", 2, 3), ("served", 3, 8), ("root", 8, 10)]


def test_shares_of_a_route_add_up_over_its_requests() -> None:
    """Two requests of 10 and 30: the database has 5 + 25 of them, and its share is of the time, not of the requests."""
    fields = {"service": "shop", "name": "GET /", "kind": "server"}
    sql = {"service": "shop", "name": "SELECT", "kind": "client"}
    (route,) = critical_path.routes(
        ledger(
            operation("r1", 0, 10, **fields),
            operation("q1", 5, 10, "r1", **sql),
            operation("r2", 20, 50, **fields),
            operation("q2", 20, 45, "r2", **sql),
        )
    )
    assert (route.service, route.name, route.requests, route.duration_ns) == ("shop", "GET /", 2, 40)
    assert [(each.name, each.self_ns, each.requests, each.share) for each in route.shares] == [
        ("SELECT", 30, 2, 0.75),
        ("GET /", 10, 2, 0.25),
    ]


# ---- critical path: in general


@st.composite
def trees(draw: st.DrawFn) -> list[Operation]:
    """Any operations in any places, as clocks, retries and deadlines may leave them; the first is the root."""
    found = [operation("0", 0, draw(st.integers(1, 20)))]
    for number in range(1, draw(st.integers(1, 9))):
        start = draw(st.integers(-3, 20))
        parent = str(draw(st.integers(0, number - 1)))
        kind = draw(st.sampled_from(("server", "client", "internal", "consumer")))
        found.append(operation(str(number), start, start + draw(st.integers(0, 12)), parent, kind=kind))
    return found


def waited_for(at: Operation, start: int, end: int, children: dict[str, list[Operation]]) -> Iterator[tuple[int, str]]:
    """By going back tick by tick: who holds up the work in each."""
    tick = end
    while tick > start:
        ending = [
            (max(each.start, start), each.op, each)
            for each in children.get(at.op, ())
            if each.kind != "consumer" and min(each.end, end) == tick and max(each.start, start) < tick
        ]
        if ending:
            began, _, child = min(ending, key=lambda found: found[:2])
            yield from waited_for(child, began, tick, children)
            tick = began
        else:
            tick -= 1
            yield tick, at.op


@given(trees())
def test_the_path_is_what_going_back_tick_by_tick_finds(tree: list[Operation]) -> None:
    """And its pieces follow one another without gap or overlap, from the root's start to its end."""
    root, children = tree[0], ledger(*tree).children
    pieces = critical_path.critical_path(root, children)
    assert pieces[0].start == root.start
    assert pieces[-1].end == root.end
    assert all(one.end == other.start for one, other in itertools.pairwise(pieces))
    ticks = [(tick, each.operation.op) for each in pieces for tick in range(each.start, each.end)]
    assert ticks == sorted(waited_for(root, root.start, root.end, children))


@st.composite
def programs(draw: st.DrawFn, depth: int = 3) -> list[Any]:
    """Steps: a number is work, a list of programs is a set of calls made at once and waited for."""
    work = st.integers(1, 9)
    if depth == 0:
        return [draw(work)]
    calls = st.lists(programs(depth=depth - 1), min_size=1, max_size=3)
    return draw(st.lists(work | calls, min_size=1, max_size=4))


@given(programs())
def test_the_path_of_a_program_is_its_longest_chain_of_work(program: list[Any]) -> None:
    """Known from the program itself: all its own work, and of each set of calls the slowest."""
    operations: list[Operation] = []
    numbers = map("{:06}".format, itertools.count())

    def run(steps: list[Any], start: int, parent: str) -> tuple[int, Counter[str]]:
        """The end, and the work of each operation that the end had to wait for."""
        op, at, waited = next(numbers), start, Counter[str]()
        for step in steps:
            if isinstance(step, int):
                at += step
                waited[op] += step
            else:
                ran = [run(each, at, op) for each in step]
                at, slowest = max(ran, key=lambda found: found[0])
                waited += slowest
        operations.append(operation(op, start, at, parent))
        return at, waited

    _, expected = run(program, 0, "")
    root = next(each for each in operations if not each.parent)
    seen = Counter[str]()
    for piece in critical_path.critical_path(root, ledger(*operations).children):
        seen[piece.operation.op] += piece.self_ns
    assert seen == expected


# ---- graph


def test_the_callee_is_who_answered_and_else_who_was_meant() -> None:
    """A call that never arrived, or whose other side keeps no ledger, goes to its peer."""
    calls = {"service": "gateway", "kind": "client", "peer": "catalogue"}
    found = graph.edges(
        ledger(
            operation("c1", 0, 10, **calls),
            operation("s1", 1, 9, "c1", service="catalogue-2", kind="server"),
            operation("c2", 0, 30, ok=False, **calls),
            operation("c3", 0, 20, **calls),
        )
    )
    assert [(each.caller, each.callee, each.calls, each.errors, each.p50_ns, each.p99_ns) for each in found] == [
        ("gateway", "catalogue", 2, 1, 20, 30),
        ("gateway", "catalogue-2", 1, 0, 10, 10),
    ]


@given(st.lists(st.integers(0, 50), min_size=1), st.floats(0.01, 1))
def test_a_quantile_is_the_smallest_value_that_enough_do_not_exceed(values: list[int], q: float) -> None:
    """By trying every value."""
    enough = [value for value in values if sum(each <= value for each in values) >= q * len(values)]
    assert quantile(sorted(values), q) == min(enough)


@given(st.lists(st.tuples(NAMES, NAMES, st.booleans(), st.integers(0, 9)), max_size=30))
def test_every_call_is_in_one_edge(calls: list[tuple[str, str, bool, int]]) -> None:
    """Counts and errors of each pair, counted one by one."""
    operations = [
        operation(f"c{number}", 0, ns, service=caller, peer=callee, ok=ok, kind="client")
        for number, (caller, callee, ok, ns) in enumerate(calls)
    ]
    expected = Counter((caller, callee) for caller, callee, *_ in calls)
    errors = Counter((caller, callee) for caller, callee, ok, _ in calls if not ok)
    found = graph.edges(ledger(*operations))
    assert {(each.caller, each.callee): each.calls for each in found} == dict(expected)
    assert all(each.errors == errors[each.caller, each.callee] for each in found)


# ---- business


def test_sales_by_hour_version_and_segment() -> None:
    """Two orders of one user by two versions over an hour's end, one of them returned."""
    taken = {"service": "checkout", "kind": "server"}
    orders = ledger(
        operation("o1", 0, 1, request="r1", version="1.4.0", **taken),
        operation("o2", 0, 1, request="r2", version="1.5.0", **taken),
        facts=(
            fact("order", HOUR - 1, cents=1299, order="x", request="r1"),
            fact("order", HOUR, cents=501, order="y", request="r2"),
            fact("return", HOUR + 1, cents=1299, order="x", request="r3"),
        ),
    )
    assert business.sales(orders.facts) == business.Sales(2, 1800, 1, 1299)
    assert business.by_hour(orders) == {
        "1970-01-01T00:00Z": business.Sales(1, 1299),
        "1970-01-01T01:00Z": business.Sales(1, 501, 1, 1299),
    }
    assert business.by_version(orders)["1.5.0"] == business.Sales(1, 501)
    assert business.by_segment(orders) == {
        "came again": business.Sales(1, 501),
        "first order": business.Sales(1, 1299, 1, 1299),
    }


FACTS = st.lists(
    st.builds(
        fact,
        st.sampled_from((*business.FUNNEL, "search", "return")),
        st.integers(0, 3 * HOUR),
        st.sampled_from(("s1", "s2", "s3")),
        cents=st.integers(0, 10**12),
        order=st.sampled_from(("", "x", "y")),
        user=st.sampled_from(("u", "v")),
    ),
    max_size=25,
)


@given(FACTS)
def test_every_cent_is_in_one_group_of_each_kind(facts: list[Fact]) -> None:
    """Hours, versions and segments each add up to the whole."""
    whole = ledger(facts=tuple(facts))
    total = business.sales(facts)
    assert total.revenue_cents == sum(each.cents for each in facts if each.fact == "order")
    assert total.net_cents == total.revenue_cents - sum(each.cents for each in facts if each.fact == "return")
    for groups in (business.by_hour(whole), business.by_version(whole), business.by_segment(whole)):
        assert sum(each.orders for each in groups.values()) == total.orders
        assert sum(each.net_cents for each in groups.values()) == total.net_cents


@given(FACTS)
def test_a_session_is_as_deep_in_the_funnel_as_its_facts_can_be_read(facts: list[Fact]) -> None:
    """By trying every choice of one fact a step, in order."""
    sessions = defaultdict(list)
    for each in sorted(facts, key=lambda each: each.at):
        sessions[each.session].append(each.fact)
    for index, step in enumerate(business.funnel(facts)):
        assert step.sessions == sum(step.step in names for names in sessions.values())
        wanted = business.FUNNEL[: index + 1]
        came = [wanted in itertools.combinations(names, index + 1) for names in sessions.values()]
        assert (step.through, step.facts) == (sum(came), sum(each.fact == step.step for each in facts))


def test_conversion_of_a_funnel() -> None:
    """Two visits, one of which is a sale; an order without a view is no way through."""
    steps = [fact(step, at, "buys") for at, step in enumerate(business.FUNNEL)]
    steps += [fact("visit", 0, "leaves"), fact("order", 0, "odd")]
    found = {each.step: each for each in business.funnel(steps)}
    assert (found["visit"].of_previous, found["view"].of_previous) == (1, 0.5)
    assert (found["order"].facts, found["order"].sessions, found["order"].through) == (2, 2, 1)
    assert (found["order"].of_previous, found["order"].of_first) == (1, 0.5)
    assert business.funnel([])[0].of_first == 0


# ---- objectives


def test_attainment_and_budget() -> None:
    """One of 100 requests failed where 1 in 200 may: twice the budget; the one that was slow but failed is not slow."""
    available = slo.Objective("available", "shop", "", 0.995)
    fast = slo.Objective("fast", "shop", "GET /", 0.9, within_ms=250)
    served = {"service": "shop", "kind": "server", "name": "GET /"}
    operations = [operation(str(n), n, n + 250_000_000, ok=n > 0, **served) for n in range(100)]
    operations[0] = operation("0", 0, 9_000_000_000, ok=False, **served)
    operations[1] = operation("1", 1, 1 + 250_000_001, **served)
    found = slo.attainment(available, operations)
    assert (found.total, found.good, found.met) == (100, 99, False)
    assert found.budget_burnt == pytest.approx(2)
    assert slo.attainment(fast, operations) == slo.Attainment(fast, 99, 98)
    assert slo.attainment(available, operations, start_ns=1, end_ns=10) == slo.Attainment(available, 9, 9)
    assert slo.attainment(available, []).met


@given(
    st.lists(st.tuples(NAMES, st.sampled_from(("server", "client")), st.booleans(), st.integers(0, 30))),
    st.integers(0, 30),
    st.sampled_from((None, 4)),
)
def test_windows_add_up(served: list[tuple[str, str, bool, int]], middle: int, within_ms: int | None) -> None:
    """What two adjacent windows count is what the whole does, and that is what counting one by one finds."""
    objective = slo.Objective("", "a", "", 0.9, within_ms)
    operations = [
        operation(str(number), start, start + start * 400_000, service=service, kind=kind, ok=ok)
        for number, (service, kind, ok, start) in enumerate(served)
    ]
    parts = [slo.attainment(objective, operations, 0, middle), slo.attainment(objective, operations, middle)]
    mine = [(ok, start) for service, kind, ok, start in served if (service, kind) == ("a", "server")]
    if within_ms:
        mine = [each for each in mine if each[0]]
    assert sum(each.total for each in parts) == len(mine)
    assert sum(each.good for each in parts) == sum(start <= 10 if within_ms else ok for ok, start in mine)


def test_names_of_objectives_differ() -> None:
    """Each can be spoken of by its name."""
    names = [each.name for each in slo.OBJECTIVES]
    assert len(set(names)) == len(names)


# ---- the whole


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A run's directory, written through the ledger itself: one order by way of gateway and checkout."""
    for service in ("gateway", "checkout"):
        book.open(Settings(tmp_path, service, instance=f"{service}-1"))
        if service == "gateway":
            with (
                book.continued({book.USER: "u1", book.SESSION: "s1"}),
                book.operation("POST /api/checkout", "server"),
                book.operation("POST", "client", "checkout"),
            ):
                book.fact("visit")
                sent = book.headers()
        else:
            with book.continued(sent), book.operation("POST /checkout", "server"):
                book.fact("order", cents=1299, order="o1")
        book.telemetry("traces", made=1, delivered=0, lost=0)
        book.telemetry("traces", made=2, delivered=2, lost=0)
        book._book.file = -1
    with (tmp_path / "ledger" / "checkout-9.jsonl").open("w") as torn:
        torn.write('{"op": "cut sho')
    return tmp_path


def test_a_ledger_is_read_as_it_was_written(written: Path) -> None:
    """Parentage across processes, facts with their user, the last count of each SDK; a torn line is left out."""
    read = Ledger.read(written)
    served = next(each for each in read.operations if each.service == "checkout")
    assert read.by_op[served.parent].kind == "client"
    assert served.request == read.roots[0].op
    assert [(each.fact, each.user, each.cents) for each in read.facts] == [("visit", "u1", 0), ("order", "u1", 1299)]
    assert [(each.service, each.made, each.delivered) for each in read.telemetry] == [
        ("checkout", 2, 2),
        ("gateway", 2, 2),
    ]


def test_the_verb_tells_the_truth(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As JSON that a program reads, and as tables that name the edge, the money and the objectives."""
    assert command.run(argparse.Namespace(dir=written, json=True)) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(each["caller"], each["callee"]) for each in told["edges"]] == [("gateway", "checkout")]
    assert told["sales"]["revenue_cents"] == 1299
    (route,) = told["critical_paths"]
    assert sum(each["self_ns"] for each in route["shares"]) == route["duration_ns"]
    assert command.run(argparse.Namespace(dir=written, json=False)) == 0
    shown = capsys.readouterr().out
    assert "12.99" in shown
    assert "checkout available" in shown
