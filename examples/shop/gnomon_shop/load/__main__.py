"""The load as a process: `python -m gnomon_shop.load`, configured by the runner's environment."""

import asyncio
import json
import signal
from contextlib import suppress

import aiohttp

from gnomon_shop import ledger, settings
from gnomon_shop.load.journeys import Offer
from gnomon_shop.load.street import Street
from gnomon_shop.load.visitors import PATIENCE_S
from gnomon_shop.services.goods import goods, words


async def run(own: settings.Settings) -> None:
    """Let visitors come for `own.seconds`, or until told to stop; then write `load.json`."""
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    # No limit of its own: a visitor has a browser of their own, and the street bounds their number.
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(PATIENCE_S)) as client:
        street = Street(own, Offer([product.id for product in goods(own.seed)], words(own.seed)), client)
        coming = asyncio.create_task(street.open())
        with suppress(TimeoutError):
            await asyncio.wait_for(stopped.wait(), own.seconds or None)
        coming.cancel()
        with suppress(asyncio.CancelledError):
            await coming
        tally = await street.close()
    (own.dir / "load.json").write_text(json.dumps(tally, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    own = settings.from_environment()
    ledger.open(own)
    asyncio.run(run(own))
