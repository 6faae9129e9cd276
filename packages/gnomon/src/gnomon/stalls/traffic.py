"""How many requests are being served and have come, read from the metrics that count them anyway.

The numbers are of the process: where several loops serve in one process, or threads do beside a loop, of all of them.
"""

from typing import Any

from gnomon.metrics.registry import Registry

ACTIVE = ("http.server.active_requests", "rpc.server.active_requests")
FINISHED = ("http.server.request.duration", "rpc.server.duration")


class Traffic:
    """Reads a registry.

    Args:
        registry: None: metrics are switched off, and nothing is known.
    """

    def __init__(self, registry: Registry | None) -> None:
        self._registry = registry

    @property
    def known(self) -> bool:
        """Whether requests are counted."""
        return self._registry is not None

    def active(self) -> int:
        """Requests in progress."""
        return int(sum(cell.value for cell in self._cells(ACTIVE)))

    def begun(self) -> int:
        """Requests that have begun since the process did."""
        return self.active() + sum(sum(cell.counts) for cell in self._cells(FINISHED))

    def _cells(self, names: tuple[str, ...]) -> list[Any]:
        if self._registry is None:
            return []
        found = [self._registry.get(name) for name in names]
        return [cell for one in found if one is not None for cell in list(one._cells.values())]  # noqa: SLF001 - points() would take the exemplars away
