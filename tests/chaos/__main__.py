"""`make chaos`: kill -9, power cuts and the order of syncs and replies, in full. Exit code 1 when anything failed."""

import argparse
import random
import sys
import time
from collections.abc import Callable

from tests.chaos import kill, synced_before_ack
from tests.chaos.powercut import cuts, shim


def main() -> None:
    """Run the three, print a line for each at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100, help="of kill -9")
    parser.add_argument("--cuts", type=int, default=200, help="of power")
    parser.add_argument("--requests", type=int, default=20, help="of each signal and protocol under strace")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    arguments = parser.parse_args()
    began = time.monotonic()
    results = [
        _result("synced before acknowledged", synced_before_ack.unavailable_because(), lambda: _traced(arguments)),
        _result("kill -9", "", lambda: kill.run(arguments.rounds, arguments.seed).sound),
        _result("power cut", shim.unavailable_because(), lambda: cuts.run(arguments.cuts, arguments.seed).sound),
    ]
    print(f"\nchaos: {time.monotonic() - began:.0f} s, seed {arguments.seed}")
    for name, result in results:
        print(f"  {name:28}{result}")
    sys.exit(any(result == "FAILED" for _, result in results))


def _result(name: str, unavailable: str, passes: Callable[[], bool]) -> tuple[str, str]:
    if unavailable:
        return name, f"skipped: {unavailable}"
    return name, "passed" if passes() else "FAILED"


def _traced(arguments: argparse.Namespace) -> bool:
    outcome = synced_before_ack.run(arguments.requests)
    synced_before_ack.report(outcome)
    return not outcome.faults


if __name__ == "__main__":
    main()
