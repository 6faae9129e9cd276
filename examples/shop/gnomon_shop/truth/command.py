"""The verb `truth`: all that is true of a run, as JSON or as tables in the terminal."""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from gnomon_shop.truth import business, critical_path, graph, slo
from gnomon_shop.truth.records import Ledger

SHARES_SHOWN = 5
PIPED_WIDTH = 140


def report(ledger: Ledger) -> dict[str, Any]:
    """As JSON: times are ns, money is cents."""
    began = [each.start for each in ledger.operations]
    return {
        "start": min(began, default=0),
        "end": max((each.end for each in ledger.operations), default=0),
        "operations": len(ledger.operations),
        "facts": dict(sorted(Counter(each.fact for each in ledger.facts).items())),
        "edges": [asdict(each) for each in graph.edges(ledger)],
        "endpoints": [asdict(each) for each in graph.endpoints(ledger)],
        "critical_paths": [asdict(each) for each in critical_path.routes(ledger)],
        "sales": asdict(business.sales(ledger.facts)),
        "sales_by_hour": {key: asdict(each) for key, each in business.by_hour(ledger).items()},
        "sales_by_version": {key: asdict(each) for key, each in business.by_version(ledger).items()},
        "sales_by_segment": {key: asdict(each) for key, each in business.by_segment(ledger).items()},
        "funnel": [asdict(each) for each in business.funnel(ledger.facts)],
        "objectives": [_objective(slo.attainment(each, ledger.operations)) for each in slo.OBJECTIVES],
        "telemetry": [asdict(each) for each in ledger.telemetry],
    }


def tables(ledger: Ledger) -> Iterable[Table]:
    """The same for the eye, but for the endpoints' quantiles."""
    yield _table(
        "Who calls whom",
        ("caller", "callee", "calls>", "errors>", "p50>", "p95>", "p99>"),
        (
            (each.caller, each.callee, each.calls, each.errors, _ms(each.p50_ns), _ms(each.p95_ns), _ms(each.p99_ns))
            for each in graph.edges(ledger)
        ),
    )
    yield _table(
        "What requests wait for (critical path)",
        ("route", "requests>", "mean>", "largest shares"),
        (
            (f"{each.service} {each.name}", each.requests, _ms(each.duration_ns // each.requests), _shares(each))
            for each in critical_path.routes(ledger)
        ),
    )
    groups = {"all": {"": business.sales(ledger.facts)}, "hour": business.by_hour(ledger)}
    groups |= {"version": business.by_version(ledger), "segment": business.by_segment(ledger)}
    yield _table(
        "Sales",
        ("by", "", "orders>", "revenue>", "returns>", "returned>", "net>"),
        (
            (
                by,
                name,
                each.orders,
                _money(each.revenue_cents),
                each.returns,
                _money(each.returned_cents),
                _money(each.net_cents),
            )
            for by, group in groups.items()
            for name, each in group.items()
        ),
    )
    yield _table(
        "Funnel",
        ("step", "times>", "sessions>", "through>", "of previous>", "of first>"),
        (
            (each.step, each.facts, each.sessions, each.through, f"{each.of_previous:.1%}", f"{each.of_first:.1%}")
            for each in business.funnel(ledger.facts)
        ),
    )
    yield _table(
        "Objectives",
        ("objective", "of", "target>", "attained>", "bad>", "budget burnt>"),
        (_attained(slo.attainment(each, ledger.operations)) for each in slo.OBJECTIVES),
    )


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument("dir", type=Path, help="directory of the run")
    parser.add_argument("--json", action="store_true", help="for programs: times in ns, money in cents")


def run(options: argparse.Namespace) -> int:
    """The verb."""
    if not (options.dir / "ledger").is_dir():
        print(f"{options.dir} holds no run of the shop", file=sys.stderr)
        return 2
    ledger = Ledger.read(options.dir)
    if options.json:
        print(json.dumps(report(ledger), indent=2))
        return 0
    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)
    for table in tables(ledger):
        console.print(table)
    return 0


def _objective(attained: slo.Attainment) -> dict[str, Any]:
    return {
        **asdict(attained.objective),
        "total": attained.total,
        "good": attained.good,
        "ratio": attained.ratio,
        "budget_burnt": attained.budget_burnt,
        "met": attained.met,
    }


def _table(title: str, columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> Table:
    """Columns whose name ends in `>` are numbers."""
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column.removesuffix(">"), justify="right" if column.endswith(">") else "left")
    for row in rows:
        table.add_row(*(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row))
    return table


def _attained(attained: slo.Attainment) -> tuple[Any, ...]:
    objective, colour = attained.objective, "green" if attained.met else "red"
    within = "" if objective.within_ms is None else f" within {objective.within_ms} ms"
    return (
        objective.name,
        f"{objective.service} {objective.route}".strip() + within,
        f"{objective.target:.2%}",
        f"[{colour}]{attained.ratio:.2%}[/]",
        f"{attained.total - attained.good} of {attained.total}",
        f"{attained.budget_burnt:.0%}",
    )


def _shares(route: critical_path.Route) -> str:
    shown = route.shares[:SHARES_SHOWN]
    return "\n".join(f"{each.share:6.1%} {each.service} {each.name} ({each.kind})" for each in shown)


def _ms(ns: int) -> str:
    return f"{ns / 1e6:,.1f} ms"


def _money(cents: int) -> str:
    return f"{cents // 100:,}.{cents % 100:02}" if cents >= 0 else f"-{_money(-cents)}"
