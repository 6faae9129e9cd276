"""How many things one request may hold.

Two bytes of protobuf are an empty message, and an empty message is a kilobyte of Python by the time it is a row: bytes
alone do not bound memory.
"""

from gnomon_server.errors import TooLarge

MAX_RECORDS = 500_000
"""Spans, log records or data points: sixty times the default batch of the collector."""
MAX_PARTS = 200_000
"""Events, links, exemplars, or attributes of one resource or scope: each becomes a message of its own."""
MAX_FIELDS = 10_000_000
"""Fields of all records together, attributes included: a hundred bytes of arrays each."""


def check_count(count: int, limit: int, what: str) -> None:
    """`TooLarge` past the limit: a sender splits such a batch, or drops it, and never sends it again as it is."""
    if count > limit:
        raise TooLarge(
            "too_many_items",
            f"one request holds {count:,} {what} or more, at most {limit:,} may be",
            hint="send smaller batches",
        )
