"""The telemetry of a part: an SDK from start to end, and what it tells of itself.

What it makes, delivers and loses is counted into the ledger: `made` at the door of its queue, `delivered` when the
server has answered 2xx, `lost` when the exporter has given up, and at the end all that was made and not delivered.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from gnomon_shop.parts import sdk
from gnomon_shop.parts.sdk import Counts
from gnomon_shop.settings import Settings

COUNT_EVERY_S = 2.0


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[None]:
    """Telemetry from here to the end of the block, where what is left is sent without holding up the event loop."""
    stop = start(settings)
    try:
        yield
    finally:
        await asyncio.to_thread(stop)


def start(settings: Settings) -> Callable[[], None]:
    """Set up the three signals; return what flushes and closes them."""
    counts = [Counts("traces"), Counts("metrics"), Counts("logs")]
    _logging()
    stop_sdk = sdk.chosen().start(settings, counts)
    counting = threading.Event()
    clerk = threading.Thread(target=_count, args=(counts, counting), name="telemetry ledger", daemon=True)
    clerk.start()

    def stop() -> None:
        stop_sdk()
        counting.set()
        clerk.join()
        for count in counts:
            count.close()

    return stop


def _logging() -> None:
    """Every log line a line of the part's output, too."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for chatty in ("httpx", "uvicorn.error", "aiormq", "aio_pika"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _count(counts: Sequence[Counts], ended: threading.Event) -> None:
    while not ended.wait(COUNT_EVERY_S):
        for count in counts:
            count.write()
