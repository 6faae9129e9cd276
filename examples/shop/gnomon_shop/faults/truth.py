"""The ground truth of a run, `truth.json`: written by whoever plants, read by whoever judges, never by a service."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gnomon_shop.faults.kinds import KINDS
from gnomon_shop.faults.plan import SECOND_NS, Fault, Plan, read, write


def stated(fault: Fault) -> dict[str, Any]:
    """What is true about one fault; times are RFC 3339 with nanoseconds."""
    kind = KINDS[fault.kind]
    return {
        "id": fault.id,
        "kind": fault.kind,
        "what": kind.what.format(where=fault.target),
        "where": fault.target,
        "seen_by": kind.seen_by(fault.target),
        "signals": list(kind.signals),
        "start": rfc3339(fault.start_ns),
        "end": rfc3339(fault.end_ns),
        "strength": fault.strength,
        "onset": fault.onset,
    }


def rfc3339(at_ns: int) -> str:
    """`2026-11-21T09:21:35.123456789Z`."""
    whole = datetime.fromtimestamp(at_ns // SECOND_NS, UTC)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{at_ns % SECOND_NS:09d}Z"


def plant(directory: Path, faults: Iterable[Fault]) -> Plan:
    """Add faults to a run, also to a running one: its truth first, then the plan that the services follow.

    Returns the whole plan. In that order nothing is ever felt that the truth does not know.
    """
    directory = Path(directory)
    path = directory / "plan.json"
    plan = Plan(read(path) if path.exists() else ()).added(faults)
    write(directory / "truth.json", [stated(fault) for fault in plan])
    plan.save(path)
    return plan


def load(directory: Path) -> list[dict[str, Any]]:
    """The run's truth."""
    told: list[dict[str, Any]] = json.loads((Path(directory) / "truth.json").read_text("utf-8"))
    return told
