"""Fill a server with days of the shop's telemetry, as its services would have sent it; facts and truth are kept.

The directory gets `ledger/history.jsonl` (what happened in the business, to be computed by `truth`), `plan.json`,
`truth.json` (the faults) and `history.json` (what was asked and what came of it). When interrupted, the same command
goes on where it was. Servers drop days that are older than their retention, Gnomon's default is 7 days: start it with
`--set retention.metrics=30d --set retention.traces=30d --set retention.logs=30d` for longer histories.

Exit codes: 0 all was taken, 1 something was not, 2 it could not begin, 130 interrupted.
"""

import argparse
import json
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from gnomon_shop.faults import truth
from gnomon_shop.faults.plan import Plan, PlanError
from gnomon_shop.history.history import RECORDS, History
from gnomon_shop.history.sender import Acknowledged, RefusedError, Sender, Tally

MINUTE_NS = 60_000_000_000
DAY_S = 86_400
RETENTION_DAYS = 7  # of the server, unless it is told otherwise
FAULTS_A_DAY = 1.2  # of `--faults seeded`
# Seeded faults are no longer than an incident is: most end within hours, some nobody notices for a day.
LONGEST_S = {"memory_growth": 8 * 3600, "certificate_expiry": 6 * 3600, "revenue_drop": 24 * 3600}
LONG_S = 2 * 3600


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument("--otlp-http", required=True, metavar="URL", help="where OTLP over HTTP is taken")
    parser.add_argument("--token", default="", help="sent as a Bearer token")
    parser.add_argument("--days", type=float, default=14, help="how far back it begins (14)")
    parser.add_argument("--end", default="", metavar="TIME", help="RFC 3339; by default now")
    parser.add_argument("--seed", type=int, default=7, help="the same seed and end bring the same rows (7)")
    parser.add_argument("--rate", type=float, default=0.2, help="journeys per second at the week's mean (0.2)")
    parser.add_argument("--traces", type=int, default=0, help="about as many are sampled (150,000 of 14 days)")
    parser.add_argument(
        "--step", type=int, default=60, help="seconds between two reports of a meter: 15, 30 or 60 (60)"
    )
    parser.add_argument(
        "--faults", default="none", help="none, seeded, or KIND[@TARGET][:strength[:start_s[:seconds[:onset]]]],..."
    )
    parser.add_argument("--dir", type=Path, help="where facts and truth are written (a temporary directory)")
    parser.add_argument("--connections", type=int, default=3, help="requests under way at once (3)")


def run(options: argparse.Namespace) -> int:
    """Make and send; progress to the standard error."""
    console = Console(stderr=True)
    directory = options.dir or Path(tempfile.mkdtemp(prefix="shop-history-"))
    try:
        history = planned(options, directory)
    except (PlanError, ValueError) as wrong:
        console.print(f"history: {wrong}", style="red", highlight=False)
        return 2
    _warn(console, history)
    asked = [getattr(options, name) for name in ("seed", "rate", "step", "faults")]
    key = json.dumps([history.start_ns, history.end_ns, history.traces, *asked, RECORDS])
    acknowledged = Acknowledged(directory / "history.acknowledged", key)
    began = time.monotonic()
    sender = Sender(options.otlp_http, options.token, acknowledged, options.connections)
    try:
        with sender, _progress(console) as progress:
            task = progress.add_task("history", total=len(history.days), said="")
            for body in history.bodies():
                sender.put(body)
                progress.update(task, completed=history.done, said=_rate(sender.tally, time.monotonic() - began))
            progress.update(task, completed=len(history.days))
    except KeyboardInterrupt:
        console.print(
            f"interrupted; the same with --dir {directory} --end {truth.rfc3339(history.end_ns)} goes on from here",
            highlight=False,
        )
        return 130
    except (RefusedError, OSError) as error:
        console.print(f"history: {error}", style="red", highlight=False)
        return 1
    finally:
        _write_tally(directory, options, history, sender.tally, time.monotonic() - began)
    return _told(console, directory, history, sender.tally, time.monotonic() - began)


def planned(options: argparse.Namespace, directory: Path) -> History:
    """The history that is asked for; its plan, its truth and an empty ledger are written."""
    if 60 % options.step or options.step < 15:
        raise ValueError("--step is 15, 20, 30 or 60 seconds")
    if not 0 < options.days <= 400:
        raise ValueError("--days is above 0 and at most 400")
    end = datetime.fromisoformat(options.end) if options.end else datetime.now(UTC)
    end = end if end.tzinfo else end.replace(tzinfo=UTC)
    end_ns = int(end.timestamp()) * 1_000_000_000 // MINUTE_NS * MINUTE_NS
    start_ns = end_ns - int(options.days * DAY_S) * 1_000_000_000 // MINUTE_NS * MINUTE_NS
    plan = _plan(options.faults, options.seed, start_ns, options.days)
    (directory / "ledger").mkdir(parents=True, exist_ok=True)
    ledger = directory / "ledger" / "history.jsonl"
    ledger.write_bytes(b"")
    (directory / "plan.json").unlink(missing_ok=True)
    truth.plant(directory, plan)
    traces = options.traces or round(150_000 * options.days / 14)
    return History(start_ns, end_ns, plan, options.seed, options.rate, traces, options.step, ledger)


def _plan(text: str, seed: int, start_ns: int, days: float) -> Plan:
    if text != "seeded":
        return Plan.parsed(text, start_ns, days * DAY_S, seed)
    drawn = Plan.seeded(seed, start_ns, days * DAY_S, count=max(1, round(days * FAULTS_A_DAY)))
    return Plan(
        replace(fault, end_ns=min(fault.end_ns, fault.start_ns + LONGEST_S.get(fault.kind, LONG_S) * 1_000_000_000))
        for fault in drawn
    )


def _warn(console: Console, history: History) -> None:
    age_days = (time.time_ns() - history.start_ns) / 1e9 / DAY_S
    if age_days > RETENTION_DAYS:
        console.print(
            f"The history begins {age_days:.1f} days ago. Gnomon keeps {RETENTION_DAYS} days unless its settings "
            "retention.metrics, retention.traces and retention.logs say otherwise; older days will be dropped.",
            style="yellow",
            highlight=False,
        )


def _progress(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.completed:.1f} of {task.total} days"),
        BarColumn(),
        TextColumn("{task.fields[said]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(elapsed_when_finished=False),
        console=console,
        refresh_per_second=4,
    )


def _rate(tally: Tally, seconds: float) -> str:
    return f"{sum(tally.records.values()) / max(seconds, 0.1):,.0f} records/s"


def _write_tally(directory: Path, options: argparse.Namespace, history: History, tally: Tally, seconds: float) -> None:
    content = {
        "start_ns": history.start_ns,
        "end_ns": history.end_ns,
        "seed": options.seed,
        "records": dict(tally.records),
        "rejected": dict(tally.rejected),
        "requests": tally.requests,
        "retries": tally.retries,
        "raw_bytes": tally.raw_bytes,
        "sent_bytes": tally.sent_bytes,
        "seconds": round(seconds, 1),
        "traces": history.sampled,
        "facts": dict(history.facts),
    }
    (directory / "history.json").write_text(json.dumps(content, indent=1) + "\n")


def _told(console: Console, directory: Path, history: History, tally: Tally, seconds: float) -> int:
    records = ", ".join(f"{count:,} {_WORDS[signal]}" for signal, count in sorted(tally.records.items()))
    console.print(
        f"{records} of {history.sampled:,} traces in {tally.requests:,} requests, {seconds:.0f} s: "
        f"{tally.raw_bytes / 1e6:,.0f} MB, {tally.sent_bytes / 1e6:,.0f} MB compressed; facts and truth in {directory}",
        highlight=False,
    )
    if tally.retries:
        console.print(f"{tally.retries} times the server asked for patience", highlight=False)
    for signal, count in tally.rejected.items():
        console.print(f"{count:,} {_WORDS[signal]} were rejected", style="red", highlight=False)
    for message in sorted(tally.messages):
        console.print(f"the server said: {message}", highlight=False)
    return 1 if tally.rejected else 0


_WORDS = {"traces": "spans", "metrics": "points", "logs": "log records"}
