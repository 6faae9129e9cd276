"""Metrics, against Prometheus and VictoriaMetrics, in one run and in alternation.

Each world (so many series over so many hours) is sent to every system by remote write, in slices by turns; then
answers are compared, then times are taken in rounds over all systems. Ours acknowledges after the synced commit.

    python benchmarks/metrics/run.py [--json FILE] [--million]   # some 25 minutes, 6 GB of scratch
    python benchmarks/metrics/run.py --only long                 # 151 million samples: half an hour, 6 GB of scratch
    python benchmarks/metrics/run.py --quick                     # a smoke run of some two minutes

VictoriaMetrics is found in PATH (`victoria-metrics`); what is not there is said and left out. Exit status 1 means that
an answer of ours is not Prometheus'.
"""

import argparse
import dataclasses
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import report
from queries import DAY, HOUR, MANY
from system import System
from systems import SYSTEMS
from world import Plan, World

_QUICK = {"targets": 10, "hours": 1.0, "many_targets": 50, "many_hours": 0.2, "rounds": 2, "slices": 2, "refreshes": 1}


def main() -> int:
    """All worlds, then the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--targets", type=int, default=40, help="of 100 series each, over --hours")
    parser.add_argument("--hours", type=float, default=24)
    parser.add_argument("--many-targets", type=int, default=1000, help="of 100 series each, over --many-hours")
    parser.add_argument("--many-hours", type=float, default=1)
    parser.add_argument("--million", action="store_true", help="also a world of a million series, over a minute")
    parser.add_argument("--long", action="store_true", help="also the many targets over 24 hours, once a minute")
    parser.add_argument("--only", choices=["few", "many", "long", "million"], help="this world alone")
    parser.add_argument("--rounds", type=int, default=7, help="over all queries")
    parser.add_argument("--slices", type=int, default=6, help="parts in which the data are sent, by turns")
    parser.add_argument("--refreshes", type=int, default=8, help="of the dashboard, fifteen seconds each")
    parser.add_argument("--shards", type=int, default=8, help="connections that send")
    parser.add_argument("--request", type=int, default=2000, help="samples a request")
    parser.add_argument("--system", action="append", choices=[system.name for system in SYSTEMS], help="only these")
    parser.add_argument("--folder", type=Path, help="scratch; default: a temporary one")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true", help="small worlds, few rounds: does it work at all?")
    arguments = parser.parse_args()
    if arguments.quick:
        for name, value in _QUICK.items():
            setattr(arguments, name, value)
    machine = _machine()
    systems = _present(arguments.system)
    worlds = {}
    with tempfile.TemporaryDirectory(prefix="gnomon-metrics-", dir=arguments.folder) as folder:
        for plan in _plans(arguments):
            measured = World(plan, systems, Path(folder) / plan.name).run()
            worlds[plan.name] = dataclasses.asdict(measured)
    tables, wrong = report.markdown(worlds), report.wrong(worlds)
    print(f"\n{machine}\n\n{tables}")
    for line in wrong:
        print(f"NOT PROMETHEUS' ANSWER: {line}")
    if arguments.json:
        rows = [row for one in worlds.values() for row in one["queries"]]
        said = {"machine": machine, "arguments": vars(arguments), "worlds": worlds, "ratios": report.ratios(rows)}
        arguments.json.write_text(json.dumps(said, indent=1, default=str))
    return 1 if wrong else 0


def _plans(arguments: argparse.Namespace) -> list[Plan]:
    common = {"shards": arguments.shards, "request": arguments.request, "rounds": arguments.rounds}
    common |= {"slices": arguments.slices, "step_s": 15, "queries": (), "refreshes": 0}

    def plan(name: str, targets: int, hours: float, **more: Any) -> Plan:
        return Plan(name, targets, hours, **(common | more))

    some, more = arguments.targets, arguments.many_targets
    few = plan("few", some, arguments.hours, lead_hours=1.1, queries=(*HOUR, *DAY), refreshes=arguments.refreshes)
    many = plan("many", more, arguments.many_hours, lead_hours=0.25, queries=MANY)
    long = plan("long", more, 24, lead_hours=1.1, step_s=60, queries=DAY, rounds=min(arguments.rounds, 3))
    million = plan("million", 10_000, 1 / 60, lead_hours=0, slices=2)
    if arguments.only:
        return [one for one in (few, many, long, million) if one.name == arguments.only]
    return [few, many, *([long] if arguments.long else []), *([million] if arguments.million else [])]


def _present(wanted: list[str] | None) -> list[type[System]]:
    systems = [system for system in SYSTEMS if wanted is None or system.name in wanted]
    for system in systems:
        if missing := system.missing():
            print(f"left out: {missing}")
    return [system for system in systems if not system.missing()]


def _machine() -> str:
    """What it ran on, and what else ran there at the start."""
    load = os.getloadavg()[0]
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    return f"{when}, {os.cpu_count()} cores, Python {platform.python_version()}, load before the start {load:.1f}"


if __name__ == "__main__":
    sys.exit(main())
