"""What one tenant may hold of what all share, so that its heavy questions hold up nobody else's."""

import asyncio
from dataclasses import dataclass, field

PLACES = 8
"""Queries that are evaluated at once, in threads; as many statements run in the engine."""
_A_TENANTS = PLACES * 3 // 4


def _places() -> asyncio.Semaphore:
    return asyncio.Semaphore(_A_TENANTS)


@dataclass(frozen=True, slots=True)
class Share:
    """A tenant's places: who holds one computes, or waits for a statement's answer."""

    threads: asyncio.Semaphore = field(default_factory=_places)
    statements: asyncio.Semaphore = field(default_factory=_places)


class Shares:
    """Of all tenants. One for all doors of a server."""

    def __init__(self) -> None:
        self._of: dict[int, Share] = {}

    def of(self, tenant: int) -> Share:
        """The share of a tenant, by its number."""
        return self._of.setdefault(tenant, Share())
