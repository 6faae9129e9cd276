"""What a steady rate costs: cores, memory and disk of server and engine, for the resource table of docs/deploy.md.

    python benchmarks/resources/run.py [--seconds 60] [--rates 100,1000,5000,20000]

A rate of n is n spans, n log records and 2 n metric points a second, in requests of up to 512 records, as collectors
send them; ten attributes on each span and record, three of them unique. Nothing is asked meanwhile. A server of its own
for each line; disk is that of the merged tables.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

import aiohttp

sys.path.insert(0, str(Path(__file__).parents[1] / "ingest"))
from payloads import PATHS, Payloads
from run import Server

_SHARES = {"spans": 1, "logs": 1, "numbers": 2}
_DAY_S = 86_400
# Records a second: one that waits for each answer sends some ten requests in it.
_MOST_OF_A_SENDER = 1_000


async def _send(target: str, kind: str, rate: float, seconds: float, sender: int) -> int:
    """Send that many records a second; returns how many were acknowledged."""
    count = max(10, min(512, int(rate)) // 10 * 10)
    payloads, sent, began = Payloads(kind, count, time.time_ns() + sender, sender), 0, time.monotonic()
    async with aiohttp.ClientSession(headers={"Content-Type": "application/x-protobuf"}) as session:
        while (now := time.monotonic()) < began + seconds:
            due = began + sent / rate
            if due > now:
                await asyncio.sleep(due - now)
            async with session.post(f"{target}/v1/{PATHS[kind]}", data=payloads.next()) as answer:
                answer.raise_for_status()
                await answer.read()
            sent += count
    return sent


async def _load(target: str, rate: float, seconds: float) -> int:
    sends = []
    for kind, share in _SHARES.items():
        senders = 1 + int(rate * share) // _MOST_OF_A_SENDER
        sends += [_send(target, kind, rate * share / senders, seconds, sender) for sender in range(senders)]
    return sum(await asyncio.gather(*sends))


def measure(rate: int, seconds: float) -> None:
    """One line of the table."""
    with tempfile.TemporaryDirectory(prefix="gnomon-bench-") as folder:
        server = Server(Path(folder))
        asyncio.run(_load(server.target("http"), rate, 5))
        before, began = sum(server.cpu_s()), time.monotonic()
        sent = asyncio.run(_load(server.target("http"), rate, seconds))
        elapsed = time.monotonic() - began
        memory = server.memory_mb()
        disk = server.disk_bytes()
        cpu = sum(server.cpu_s()) - before
        share = seconds / (seconds + 5)
        print(
            f"| {rate:,} | {sent / elapsed:,.0f} | {cpu / elapsed:.2f} | {memory[0]:,.0f} + {memory[1]:,.0f} MB | "
            f"{disk * share / sent * (sent / elapsed) * _DAY_S / 1e9:,.1f} GB |",
            flush=True,
        )
        server.stop()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rates", default="100,1000,5000,20000")
    arguments = parser.parse_args()
    print("| spans/s (as many log records, twice the points) | records/s | cores | memory | disk a day |")
    print("|---|---|---|---|---|")
    for rate in map(int, arguments.rates.split(",")):
        measure(rate, arguments.seconds)


if __name__ == "__main__":
    main()
