"""Each fault in turn, planted in a real shop before a real server: felt while it lasts, neither before nor after.

`python -m tests.shop.fault_rounds [KIND...] [--strength 0.05] [--keep DIR]`; all seventeen take some nine minutes.
What is measured is mostly the shop's own ledger; of the process and its clock, what the server stored. Beside each
round stands which services changed, to be compared with `seen_by`.
"""

import argparse
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.server import Server
from tests.shop.fault_measures import MEASURES, Line, Run, Window, failed, ms, typical

from gnomon_shop.faults.kinds import KINDS
from gnomon_shop.faults.plan import SECOND_NS, Fault

QUIET_S, FAULT_S, SETTLE_S = 12.0, 16.0, 4.0
DRAIN_S = 50.0  # what sixteen seconds without mails leave behind
BEGIN_S = 6.0  # until the first visitors are on their way
RATE, DAY_MINUTES = 3.0, 60.0  # the day hardly moves within one round


def changed(before: Window, during: Window) -> list[str]:
    """Services of which some route became clearly slower, more often wrong, or more or less asked for."""
    found = []
    for service in sorted({line["service"] for line in before.run.operations} - {"load"}):
        kind = "consumer" if service == "notification" else "server"
        quiet, now = by_name(before.of(service, kind)), by_name(during.of(service, kind))
        marks = {mark for name in quiet for mark in compared(quiet[name], before, now.get(name, []), during)}
        if marks:
            found.append(f"{service} ({', '.join(sorted(marks))})")
    return found


def by_name(lines: list[Line]) -> dict[str, list[Line]]:
    """Operations by route or method."""
    found: dict[str, list[Line]] = {}
    for line in lines:
        found.setdefault(line["name"], []).append(line)
    return found


def compared(quiet: list[Line], before: Window, now: list[Line], during: Window) -> Iterator[str]:
    """What is clearly different about a route; nothing where there is too little to go by."""
    if min(len(quiet), len(now)) < 5:
        return
    if typical(map(ms, now)) > 1.6 * typical(map(ms, quiet)) + 4:
        yield "slower"
    if failed(now) > failed(quiet) + 0.05:
        yield "fails"
    if len(now) / during.seconds > 1.9 * len(quiet) / before.seconds + 0.5:
        yield "more"


@dataclass(frozen=True)
class Round:
    """What one fault did."""

    fault: Fault
    before: float
    during: float
    after: float
    services: list[str]

    @property
    def felt(self) -> bool:
        """Whether it is there while it lasts, and neither before nor after."""
        least = MEASURES[self.fault.kind].least
        differences = (self.during - self.before, self.during - self.after)
        return all(change >= least if least > 0 else change <= least for change in differences)

    def line(self) -> str:
        numbers = "".join(f"{value:>9.3g}" for value in (self.before, self.during, self.after))
        verdict = "felt" if self.felt else "NOT FELT" if self.fault.strength == 1 else "hard to see"
        what = f"{self.fault.kind:<19}{MEASURES[self.fault.kind].what:<42}{numbers}  {verdict:<12}"
        return f"{what}{', '.join(self.services) or '-'}"


def scheduled(kinds: list[str], strength: float) -> list[tuple[str, float]]:
    """The kinds with the second at which each begins; the queue last, for it takes its time to drain."""
    at_s, times = BEGIN_S + QUIET_S, []
    for kind in sorted(kinds, key=lambda kind: kind == "queue_backlog"):
        times.append((f"{kind}:{strength:g}:{at_s:g}:{FAULT_S:g}", at_s))
        at_s += FAULT_S + SETTLE_S + QUIET_S
    return times


def shop_run(server: Server, folder: Path, specs: list[str], seconds: float, rate: float = RATE) -> Run:
    """Run the shop with these faults to its end."""
    command = [sys.executable, "-m", "gnomon_shop", "run", "--otlp-grpc", server.otlp_grpc]
    command += ["--otlp-http", server.otlp_http, "--dir", str(folder), "--seconds", f"{seconds:g}"]
    command += ["--rate", f"{rate:g}", "--day", f"{DAY_MINUTES:g}", "--faults", ",".join(specs)]
    ended = subprocess.run(command, timeout=seconds + 150, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return Run(folder, server)


def judged(run: Run, fault: Fault, quiet_s: float = QUIET_S, settle_s: float = SETTLE_S) -> Round:
    """Measure before, while it lasts, and after."""
    settle_s += DRAIN_S if fault.kind == "queue_backlog" else 0
    after_ns = fault.end_ns + int(settle_s * SECOND_NS)
    quiet_ns = int(quiet_s * SECOND_NS)
    before = Window(run, fault.start_ns - quiet_ns, fault.start_ns)
    during, after = Window(run, fault.start_ns, fault.end_ns), Window(run, after_ns, after_ns + quiet_ns)
    value = MEASURES[fault.kind].value
    return Round(fault, value(before), value(during), value(after), changed(before, during))


def rounds(kinds: list[str], strength: float, folder: Path) -> list[Round]:
    """Run the shop once with one fault after the other."""
    times = scheduled(kinds, strength)
    seconds = times[-1][1] + FAULT_S + SETTLE_S + QUIET_S + (DRAIN_S if "queue_backlog" in kinds else 0)
    server = Server(folder)
    server.start()
    try:
        run = shop_run(server, folder / "shop", [spec for spec, _ in times], seconds)
        print(f"{len(run.operations)} operations; {Counter(line['service'] for line in run.operations)}")
        return [judged(run, fault) for fault in run.plan]
    finally:
        server.stop()


def main() -> int:
    """Run the rounds, print the table; 1 when a fault of full strength was not felt."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", nargs="*", choices=[[], *KINDS])
    parser.add_argument("--strength", type=float, default=1.0)
    parser.add_argument("--keep", type=Path, help="directory for the run; a temporary one by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rounds-") as temporary:
        done = rounds(options.kind or list(KINDS), options.strength, options.keep or Path(temporary))
    print(f"{'kind':<19}{'measured':<42}{'before':>9}{'during':>9}{'after':>9}  {'':<12}changed beside")
    for one in done:
        print(one.line())
    return 0 if options.strength < 1 or all(one.felt for one in done) else 1


if __name__ == "__main__":
    sys.exit(main())
