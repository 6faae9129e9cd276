"""Tenant names and the numbers that stand for them on every row."""

import asyncio

from gnomon_server.errors import Overloaded
from gnomon_server.store.interface import Store


class TenantNumbers:
    """The registry of tenants: a name gets its number the first time something is stored for it, for good."""

    def __init__(self, store: Store, max_tenants: int = 10_000) -> None:
        self._store = store
        self._max_tenants = max_tenants
        self._numbers: dict[str, int] = {}
        self._lock = asyncio.Lock()

    async def load(self) -> None:
        """Read the registry; call once after the store has started."""
        table, _ = await self._store.query("SELECT name, min(tenant) AS tenant FROM tenants GROUP BY name")
        self._numbers = {row["name"]: row["tenant"] for row in table.to_pylist()}

    def known(self, name: str) -> int | None:
        """The number of a tenant that has stored something; None for any other."""
        return self._numbers.get(name)

    def names(self) -> dict[int, str]:
        """Numbers to names."""
        return {number: name for name, number in self._numbers.items()}

    async def number(self, name: str) -> int:
        """The tenant's number, given and made durable now if it has none. `Overloaded` past the allowed number."""
        found = self._numbers.get(name)
        if found is not None:
            return found
        async with self._lock:
            if name not in self._numbers:
                if len(self._numbers) >= self._max_tenants:
                    raise Overloaded("too_many_tenants", f"there are {self._max_tenants} tenants, the most allowed")
                number = max(self._numbers.values(), default=0) + 1
                await self._store.command(
                    "INSERT INTO tenants (tenant, name) SELECT {number:UInt32}, {name:String}",
                    {"number": number, "name": name},
                    settings={"distributed_foreground_insert": 1},  # on a cluster: durable when it returns
                )
                self._numbers[name] = number
            return self._numbers[name]
