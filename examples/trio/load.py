"""Customers, seeded: the same seed brings the same baskets in the same order, some of them trouble."""

import argparse
import asyncio
import json
import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

ORDINARY = ["tea", "mug", "lamp"]
# What a basket may hold beside the ordinary, with its share of all baskets and how it ends.
TROUBLE = [
    ("handmade-clock", 0.05),  # pricing is slow
    ("piano", 0.03),  # orders is slow
    ("moon-dust", 0.04),  # pricing knows no price: 404
    ("anvil", 0.03),  # orders throws: 502
]
DECLINED_SHARE = 0.04  # 402
NO_ANSWER = "none"


def basket(rng: random.Random) -> dict[str, Any]:
    """The next customer's basket; as many random draws each time, so that baskets do not depend on one another."""
    skus = rng.choices(ORDINARY, k=3)[: rng.randint(1, 3)]
    dice, card, customer, channel = rng.random(), rng.random(), rng.randint(1, 200), rng.random()
    for sku, share in TROUBLE:
        if 0 <= dice < share:
            skus.append(sku)
        dice -= share
    return {
        "customer": f"c-{customer}",
        "skus": skus,
        "channel": "app" if channel < 0.3 else "web",
        "card": "declined" if card < DECLINED_SHARE else "good",
    }


async def shop(client: httpx.AsyncClient, order: dict[str, Any], statuses: Counter[str]) -> None:
    try:
        response = await client.post("/checkout", json=order)
    except httpx.HTTPError:
        statuses[NO_ANSWER] += 1
    else:
        statuses[str(response.status_code)] += 1


async def run(url: str, rate: float, seconds: float | None, seed: int) -> Counter[str]:
    """Open-loop load: one basket each 1/rate seconds, whether or not the shop keeps up; returns counts by status."""
    rng, statuses, stopped = random.Random(seed), Counter[str](), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    deadline = loop.time() + seconds if seconds else float("inf")
    due, said = loop.time(), loop.time()
    async with httpx.AsyncClient(base_url=url, timeout=30) as client, asyncio.TaskGroup() as shoppers:
        while due < deadline and not stopped.is_set():
            shoppers.create_task(shop(client, basket(rng), statuses))
            due += 1 / rate
            if loop.time() - said > 10:
                said = loop.time()
                print(summary(statuses), flush=True)
            try:
                await asyncio.wait_for(stopped.wait(), max(0, due - loop.time()))
            except TimeoutError:
                continue
    return statuses


def summary(statuses: Counter[str]) -> str:
    return f"{statuses.total()} requests: " + ", ".join(f"{n} x {status}" for status, n in sorted(statuses.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True, help="the storefront")
    parser.add_argument("--rate", type=float, default=10, help="requests per second")
    parser.add_argument("--seconds", type=float, help="until stopped, when not given")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--report", type=Path, help="where the counts go, as JSON")
    options = parser.parse_args()
    started = time.time_ns()
    statuses = asyncio.run(run(options.url, options.rate, options.seconds, options.seed))
    print(summary(statuses), flush=True)
    if options.report:
        counts = {"requests": statuses.total(), "statuses": dict(statuses)}
        options.report.write_text(json.dumps({"start_ns": started, "end_ns": time.time_ns(), **counts}))


if __name__ == "__main__":
    main()
