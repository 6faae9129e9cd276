"""`python -m tests.chaos.kill --rounds 100`: load, and `kill -9` at random moments, on one data directory.

Each round kills the server, its engine, or both, and starts again what does not come back by itself; the senders go on
meanwhile, as SDKs do. After each ten rounds the senders finish, and what they had acknowledged is compared with what
is stored; at the end everything is compared once more.
"""

import argparse
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from tests.chaos.check import Ledger, Verdict, check
from tests.server import Server

TARGETS = ("server", "engine", "both")
_LIFE = 10  # rounds with the same senders
_STARTED = re.compile(r"engine_started pid (\d+)")
_BACK_S = 60.0


class Chaos:
    """A server, senders, and the killing of the first under the eyes of the second."""

    def __init__(self, folder: Path, seed: int, records: int) -> None:
        self.folder, self.seed, self.records = folder, seed, records
        self.chance = random.Random(seed)
        self.server = Server(folder)
        self.lives: list[Path] = []
        self.recovery_s: dict[str, list[float]] = defaultdict(list)
        self.refused_starts = 0
        self._load: subprocess.Popen[bytes] | None = None

    @property
    def _addresses(self) -> Path:
        return self.folder / "addresses.json"

    def start_server(self) -> None:
        """As a service manager would: try again when the start is refused."""
        for _ in range(20):
            try:
                self.server.start()
                break
            except AssertionError:
                self.refused_starts += 1
                time.sleep(0.5)
        else:
            raise AssertionError(f"the server does not start:\n{self.server.log.read_text()[-3000:]}")
        fresh = self._addresses.with_suffix(".new")
        fresh.write_text(json.dumps(self.server.addresses))
        fresh.replace(self._addresses)

    def engine_pids(self) -> list[int]:
        """Of all engines that were started so far."""
        return [int(pid) for pid in _STARTED.findall(self.server.log.read_text("utf-8", "replace"))]

    def start_load(self) -> None:
        """New senders with a journal of their own."""
        name = f"life{len(self.lives)}"
        self.lives.append(self.folder / f"{name}.journal")
        command = [sys.executable, "-m", "tests.chaos.load", "--addresses", str(self._addresses), "--name", name]
        command += ["--journal", str(self.lives[-1]), "--seed", str(self.seed), "--records", str(self.records)]
        self._load = subprocess.Popen(command)

    def finish_load(self) -> None:
        """Let each sender have its answer."""
        assert self._load is not None
        self._load.send_signal(signal.SIGTERM)
        assert self._load.wait(120) == 0, "the senders failed"

    def round(self) -> str:
        """Wait, kill, bring back; returns what was killed."""
        target = self.chance.choice(TARGETS)
        time.sleep(self.chance.uniform(0.1, 2.5))
        assert self.server.process is not None
        engines = self.engine_pids()
        began = time.monotonic()
        if target in ("engine", "both"):
            os.kill(engines[-1], signal.SIGKILL)
        if target in ("server", "both"):
            self.server.kill()
            self.start_server()
        else:
            self._wait_engine(len(engines))
        self.recovery_s[target].append(time.monotonic() - began)
        return target

    def verify(self, lives: list[Path]) -> Verdict:
        """Compare what these senders had acknowledged with what is stored."""
        verdict = Verdict()
        for life in lives:
            ledger = Ledger.read(life)
            verdict.add(check(self.server, ledger))
            for why in ledger.refused:
                verdict.tell(f"a sender was told to drop its data: {why}")
                verdict.lost += 1
        return verdict

    def close(self) -> None:
        """End everything."""
        if self._load and self._load.poll() is None:
            self._load.kill()
            self._load.wait()
        if self.server.process:
            self.server.stop()

    def _wait_engine(self, known: int) -> None:
        deadline = time.monotonic() + _BACK_S
        while len(self.engine_pids()) == known:
            assert self.server.process is not None
            assert self.server.process.poll() is None, "the server died with its engine"
            assert time.monotonic() < deadline, "the engine did not come back"
            time.sleep(0.02)


def run(rounds: int, seed: int, records: int = 200, folder: Path | None = None) -> Verdict:
    """All rounds; prints as it goes, returns the closing verdict."""
    with tempfile.TemporaryDirectory(prefix="gnomon-", dir=folder) as name:
        chaos = Chaos(Path(name), seed, records)
        try:
            return _run(chaos, rounds)
        finally:
            chaos.close()


def _run(chaos: Chaos, rounds: int) -> Verdict:
    print(f"kill -9: {rounds} rounds, seed {chaos.seed}", flush=True)
    chaos.start_server()
    for number in range(rounds):
        if number % _LIFE == 0:
            chaos.start_load()
        chaos.round()
        if number % _LIFE == _LIFE - 1 or number == rounds - 1:
            chaos.finish_load()
            so_far = chaos.verify(chaos.lives[-1:])
            state = "sound" if so_far.sound else "FAULTS"
            print(f"  after {number + 1:3} rounds: {so_far.acked_records:8,} records acknowledged, {state}", flush=True)
            for fault in so_far.faults:
                print(f"    {fault}", flush=True)
    verdict = chaos.verify(chaos.lives)
    retried = sum(Ledger.read(life).retried for life in chaos.lives)
    print(
        f"kill -9: {rounds} rounds, {len(chaos.lives)} sets of senders, {retried} requests repeated, seed {chaos.seed}"
    )
    for target, times in chaos.recovery_s.items():
        median, longest = statistics.median(times), max(times)
        print(
            f"  killed {target:8}{len(times):4} times, back after {median:5.1f} s (median), {longest:5.1f} s (longest)"
        )
    print(f"  starts refused at first {chaos.refused_starts:10}")
    print(verdict.table(), flush=True)
    return verdict


def main() -> None:
    """Exit code 1 when a record is lost, altered or doubled."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--records", type=int, default=200)
    arguments = parser.parse_args()
    sys.exit(0 if run(arguments.rounds, arguments.seed, arguments.records).sound else 1)


if __name__ == "__main__":
    main()
