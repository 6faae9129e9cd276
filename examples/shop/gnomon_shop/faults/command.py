"""`gnomon-shop faults`: the catalogue in the terminal or as the page of the documentation; `faults add` plants one."""

import argparse
import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from time import time_ns

from gnomon_shop.faults import truth
from gnomon_shop.faults.kinds import KINDS, LOAD, Kind
from gnomon_shop.faults.plan import PlanError, parse

PREAMBLE = """\
# The faults of the demo shop

The shop can be broken in seventeen ways, each at a chosen strength, suddenly or gradually, alone or several at once.
What was planted is written to `truth.json` in the run's directory, which no service and no server reads: it is for
judging what a person, an alert or a model found out.

    python -m gnomon_shop run ... --faults latency                  # the middle third of the run, at full strength
    python -m gnomon_shop run ... --faults errors:0.3:60:120:gradual,slow_disk  # strength, start and length in s, onset
    python -m gnomon_shop run ... --faults errors@payment           # elsewhere than usual
    python -m gnomon_shop run ... --faults seeded                   # drawn from the seed, about one a minute
    python -m gnomon_shop faults add DIR queue_backlog --strength 0.5 --seconds 90   # in a running shop, from now on

**Strength** is above 0 and at most 1: 1 is obvious, 0.05 is hard to see. A **gradual** fault rises linearly over the
first half of its window. Outside its window a fault does nothing. What is told below holds at the usual place.

The truth of one fault:

    {"id": "fault-1", "kind": "latency", "what": "what payment depends on answers late", "where": "payment",
     "seen_by": ["payment", "checkout", "gateway"], "signals": ["spans", "metrics"], "strength": 1.0, "onset": "sudden",
     "start": "2026-11-21T09:21:35.123456789Z", "end": "2026-11-21T09:23:35.123456789Z"}

This page is written by `python -m gnomon_shop faults --markdown`.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument("--markdown", action="store_true", help="the catalogue as docs/faults.md has it")
    verbs = parser.add_subparsers(dest="act", metavar="add")
    add = verbs.add_parser("add", help="plant one in a running shop")
    add.add_argument("dir", type=Path, help="directory of the run")
    add.add_argument("kind", help="KIND or KIND@SERVICE")
    add.add_argument("--strength", default="1", help="above 0, at most 1")
    add.add_argument("--in", dest="after", default="0", metavar="SECONDS", help="begin in so many seconds")
    add.add_argument("--seconds", default="120", help="how long it lasts")
    add.add_argument("--onset", default="sudden", help="sudden or gradual")


def run(options: argparse.Namespace) -> int:
    """Print the catalogue, or plant; the exit code is 2 for what cannot be planted."""
    if options.act == "add":
        return _add(options)
    print(page() if options.markdown else listing(), end="")
    return 0


def _add(options: argparse.Namespace) -> int:
    if not (options.dir / "shop.json").exists():
        print(f"{options.dir}: no shop runs here (there is no shop.json)", file=sys.stderr)
        return 2
    spec = f"{options.kind}:{options.strength}:{options.after}:{options.seconds}:{options.onset}"
    try:
        plan = truth.plant(options.dir, [parse(spec, time_ns())])
    except PlanError as wrong:
        print(wrong, file=sys.stderr)
        return 2
    print(json.dumps(truth.stated(plan.faults[-1])))
    return 0


def listing() -> str:
    """The catalogue for a terminal."""
    return "".join(
        f"{name:<20}{', '.join(kind.targets)}\n"
        + textwrap.fill(
            f"{kind.breaks} Strength: {kind.strength}", 110, initial_indent=" " * 4, subsequent_indent=" " * 4
        )
        + "\n"
        for name, kind in KINDS.items()
    )


def page() -> str:
    """The catalogue as Markdown."""
    return "\n".join([PREAMBLE, *_table(), "", *(_section(name, kind) for name, kind in KINDS.items())])


def _table() -> Iterator[str]:
    yield "| kind | usual place | seen by | in |"
    yield "|---|---|---|---|"
    for name, kind in KINDS.items():
        where = kind.targets[0]
        yield f"| [{name}](#{name}) | {where} | {', '.join(kind.seen_by(where))} | {', '.join(kind.signals)} |"


def _section(name: str, kind: Kind) -> str:
    where, *elsewhere = kind.targets
    place = "comes from outside, made by the load" if where == LOAD else where
    told = (
        ("Place", place + (f"; also {', '.join(elsewhere)}" if elsewhere else "")),
        ("Breaks", kind.breaks),
        ("Traces", kind.traces),
        ("Metrics", kind.metrics),
        ("Logs", kind.logs),
        ("Seen by", ", ".join(kind.seen_by(where))),
        ("Strength", kind.strength),
        ("Conclude", kind.conclude),
        ("Plant", f"`--faults {name}` or `python -m gnomon_shop faults add DIR {name}`"),
    )
    lines = (textwrap.fill(f"- **{title}.** {text}", 120, subsequent_indent="  ") for title, text in told)
    return f"## {name}\n\n" + "\n".join(lines) + "\n"
