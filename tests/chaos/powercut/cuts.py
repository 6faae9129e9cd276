"""`python -m tests.chaos.powercut.cuts --cuts 200`: load on a watched disk, then cuts at random moments of its journal.

For each cut the directory is made that a power cut would have left, a server is started on it, and everything that was
acknowledged before the cut is compared with what is stored. Half of the cuts are strict (nothing unsynced survives), in
the other half a random part of it does; half fall on the very moment at which a sender received an acknowledgement.
"""

import argparse
import itertools
import json
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.chaos import engine_socket
from tests.chaos.check import Ledger, Verdict, check
from tests.chaos.powercut import filesystem, shim
from tests.server import Server

_CUTS_A_RUN = 25
_LOAD_S = 4.0


@dataclass(frozen=True, slots=True)
class Cut:
    """When, and what of the unsynced survives."""

    at_ns: int
    strict: bool
    seed: int

    def survival(self) -> filesystem.Survival:
        return filesystem.nothing if self.strict else filesystem.some(random.Random(self.seed))


def as_shipped(_server: Server) -> None:
    """Nothing is bent."""


def merged_parts_go_at_once(server: Server) -> None:
    """Parts that were merged into others are removed within the second, not after eight minutes.

    Merges must be durable before what they replace is gone.
    """
    settings = "old_parts_lifetime = 1, cleanup_delay_period = 1, cleanup_delay_period_random_add = 0"
    for table in engine_socket.tables(server):
        engine_socket.command(server, f"ALTER TABLE {table} MODIFY SETTING {settings}, max_cleanup_delay_period = 1")


def directories_are_not_synced(server: Server) -> None:
    """What must make the check fail: parts are synced, but not the directory they are renamed in."""
    for table in engine_socket.tables(server):
        engine_socket.command(server, f"ALTER TABLE {table} MODIFY SETTING fsync_part_directory = 0")


def record_load(folder: Path, seed: int, prepare: Callable[[Server], None] = as_shipped) -> Ledger:
    """Run a server under the shim with senders for some seconds, then stop it; leaves `journal` in the folder."""
    (folder / "data").mkdir()
    library = shim.build(folder)
    server = Server(folder, environment=shim.environment(library, folder / "data", folder / "journal"))
    addresses, sent = folder / "addresses.json", folder / "sent.journal"
    server.start()
    try:
        prepare(server)
        addresses.write_text(json.dumps(server.addresses))
        command = [sys.executable, "-m", "tests.chaos.load", "--addresses", str(addresses), "--journal", str(sent)]
        load = subprocess.Popen([*command, "--seed", str(seed), "--records", "60"])
        time.sleep(_LOAD_S / 2)
        for table in ("spans", "logs", "samples", "trace_index"):
            engine_socket.command(server, f"OPTIMIZE TABLE {table} FINAL")
        time.sleep(_LOAD_S / 2)
        load.send_signal(signal.SIGTERM)
        assert load.wait(60) == 0
    finally:
        server.stop()
    return Ledger.read(sent)


def unseen(folder: Path) -> list[str]:
    """Files of the database whose bytes the journal does not explain: the shim missed something."""
    disk = filesystem.Disk()
    for record in filesystem.read(folder / "journal"):
        disk.play(record)
    replayed, real = folder / "replayed", folder / "data"
    disk.write(replayed, filesystem.everything)
    wrong = []
    for path in sorted({*_files(replayed), *_files(real)}):
        one, other = replayed / path, real / path
        if not (one.is_file() and other.is_file() and one.read_bytes() == other.read_bytes()):
            wrong.append(path)
    shutil.rmtree(replayed)
    return wrong


def _files(folder: Path) -> list[str]:
    # Logs are written through a descriptor that the engine inherits; nothing depends on them.
    paths = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".log")
    return [str(path.relative_to(folder)) for path in paths]


def choose(records: list[filesystem.Record], ledger: Ledger, count: int, chance: random.Random) -> list[Cut]:
    """Moments in the journal since the first acknowledgement, in order."""
    acks = sorted(ledger.acked_at.values())
    between = [record.time_ns for record in records if acks[0] <= record.time_ns <= acks[-1]]
    cuts = [
        Cut(chance.choice(acks if number % 2 else between), number % 4 < 2, chance.randrange(1 << 32))
        for number in range(count)
    ]
    return sorted(cuts, key=lambda cut: cut.at_ns)


def try_cut(disk: filesystem.Disk, cut: Cut, ledger: Ledger) -> tuple[Verdict, float]:
    """Start a server on what is left and check it; also the seconds it took to be ready."""
    # The engine of a server that was killed writes on for a moment.
    with tempfile.TemporaryDirectory(prefix="gnomon-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        disk.write(folder / "data", cut.survival())
        server = Server(folder)
        began = time.monotonic()
        try:
            server.start()
        except AssertionError as error:
            return _nothing_left(ledger, cut, str(error)), time.monotonic() - began
        ready_s = time.monotonic() - began
        try:
            return check(server, ledger, cut.at_ns), ready_s
        finally:
            server.kill()


def _nothing_left(ledger: Ledger, cut: Cut, why: str) -> Verdict:
    acked = [ledger.sent[key].records for key, at in ledger.acked_at.items() if at <= cut.at_ns]
    return Verdict(len(acked), sum(acked), lost=sum(acked), faults=[why])


def run(
    cuts: int,
    seed: int,
    prepares: tuple[Callable[[Server], None], ...] = (as_shipped, merged_parts_go_at_once),
    *,
    stop_at_fault: bool = False,
) -> Verdict:
    """All cuts, some from each load run, the runs prepared in turn; prints as it goes."""
    print(f"power cut: {cuts} cuts, seed {seed}", flush=True)
    chance, total, ready, done, unsound = random.Random(seed), Verdict(), [], 0, 0
    for prepare in itertools.cycle(prepares):
        if done >= cuts:
            break
        with tempfile.TemporaryDirectory(prefix="gnomon-") as name:
            folder = Path(name)
            ledger = record_load(folder, seed + done, prepare)
            if missed := unseen(folder):
                raise filesystem.UnmodelledError(f"the journal does not explain {missed[:5]}")
            records = list(filesystem.read(folder / "journal"))
            disk, played = filesystem.Disk(), 0
            for cut in choose(records, ledger, min(_CUTS_A_RUN, cuts - done), chance):
                while played < len(records) and records[played].time_ns <= cut.at_ns:
                    disk.play(records[played])
                    played += 1
                verdict, seconds = try_cut(disk, cut, ledger)
                ready.append(seconds)
                done += 1
                total.add(verdict)
                if not verdict.sound:
                    unsound += 1
                    print(f"  {cut}: lost {verdict.lost} of {verdict.acked_records}", *verdict.faults[:3], sep="\n    ")
                    if stop_at_fault:
                        return total
        looked_for = f"{total.acked_records:8,} acknowledged records looked for"
        print(f"  after {done:3} cuts: {looked_for}, {unsound} cuts with faults", flush=True)
    print(f"power cut: {done} cuts, {unsound} with faults, seed {seed}")
    print(f"  ready again after {statistics.median(ready):.1f} s (median), {max(ready):.1f} s (longest)")
    print(total.table(), flush=True)
    return total


def main() -> None:
    """Exit code 1 when a record is lost, altered or doubled; 77 when it cannot run here."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuts", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    arguments = parser.parse_args()
    if why := shim.unavailable_because():
        print(f"power cut: skipped: {why}")
        sys.exit(77)
    sys.exit(0 if run(arguments.cuts, arguments.seed).sound else 1)


if __name__ == "__main__":
    main()
