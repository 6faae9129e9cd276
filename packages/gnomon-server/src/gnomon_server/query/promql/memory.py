"""What the door remembers between queries, and how it hears that it no longer holds."""

import os
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from gnomon_server.errors import GnomonError
from gnomon_server.query.promql.caches.results import ResultCache
from gnomon_server.query.promql.caches.samples import SampleCache
from gnomon_server.query.promql.caches.series import AboutSeries, Changes, Listed, SeriesFound, Sought
from gnomon_server.selfmon.memory import memory_limit_bytes

_SERIES = 500_000  # that selectors have found: some 200 bytes each
_CHARACTERS = 32_000_000  # of lists of names, values and series
_MOST_SAMPLES_BYTES = 4 << 30


def usual_samples_bytes() -> int:
    """What samples may weigh if nobody says it: an eighth of the memory that this process may take, or 4 GiB."""
    limit, _ = memory_limit_bytes(os.getpid())
    return min(limit // 8, _MOST_SAMPLES_BYTES)


class Memory:
    """All caches. Told of every commit, on the event loop, before its senders hear that it is stored.

    Args:
        results_bytes: what answers may weigh; 0: none are kept.
        samples_bytes: what samples may weigh; 0: none, and it is not remembered either which series there are.
        on_look: told of each look, by cache (`results`, `samples`), whether something was found.
        on_unread: told when samples cannot be read into memory, and why; once, until they can.
    """

    def __init__(
        self,
        results_bytes: int = 0,
        samples_bytes: int = 0,
        on_look: Callable[[str, bool], object] = lambda *_: None,
        on_unread: Callable[[GnomonError], object] = lambda _: None,
    ) -> None:
        self.on_unread = on_unread
        self.results = ResultCache(results_bytes, lambda found: on_look("results", found))
        self.samples = SampleCache(samples_bytes, lambda found: on_look("samples", found))
        self._changes = Changes()
        self.series = AboutSeries[Sought, SeriesFound](_SERIES if samples_bytes else 0, self._changes)
        self.lists = AboutSeries[Listed, Any](_CHARACTERS if samples_bytes else 0, self._changes)

    def __bool__(self) -> bool:
        """Whether anything is remembered at all."""
        return bool(self.results or self.samples)

    def committed(self, tables: Mapping[str, pa.Table], oldest_ms: Mapping[int, int], *, stored: bool) -> None:
        """Rows are visible.

        Args:
            tables: by their names.
            oldest_ms: how far back the samples reach, by the tenants' numbers.
            stored: false: the commit has failed, and some of them may be visible or not.
        """
        if self.results:
            for tenant, oldest in oldest_ms.items():
                self.results.tide(tenant).arrived(oldest)
        self._changes.committed(tables)
        self.samples.committed(tables, stored=stored)

    def dropped(self) -> None:
        """Rows were taken out of the store, of whatever time: nothing holds that was read or answered before."""
        self.results.dropped()
        self._changes.dropped()
        self.samples.clear()
