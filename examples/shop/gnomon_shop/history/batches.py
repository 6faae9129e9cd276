"""Encoded records of a day, cut into requests in the order of time: each about as large as a server likes them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gnomon_shop.history.processes import Process, Schedule, Track
from gnomon_shop.history.wire import Bytes, Template, of_resource

Ints = NDArray[np.int64]


@dataclass
class Pieces:
    """Spans or log records of one day; what belongs together in time goes together in a request."""

    schedule: Schedule
    edges: Ints  # ns, where the slices of the day begin, and its end
    _pieces: dict[tuple[Track, int, str], list[tuple[Ints, Bytes]]] = field(default_factory=dict)
    _sizes: Ints | None = None

    def add(
        self,
        track: Track,
        scope: str,
        template: Template,
        at: Ints,
        moments: Ints,
        columns: Mapping[str, NDArray[np.generic]],
    ) -> None:
        """Add `len(at)` records of one shape.

        `at` is sorted, and records are sliced by it; `moments`, when they were made, say by which process.
        """
        if not len(at):
            return
        rows = template.rows(columns, len(at))
        makers = self.schedule.numbers(track, moments)
        for maker in range(makers.min(), makers.max() + 1):
            mine = makers == maker
            cuts = np.searchsorted(at[mine], self.edges)
            self._pieces.setdefault((track, maker, scope), []).append((cuts, rows[mine]))
            self._count(np.diff(cuts))

    def _count(self, counts: Ints) -> None:
        self._sizes = counts if self._sizes is None else self._sizes + counts

    def bodies(self, records: int) -> Iterator[tuple[bytes, int, int]]:
        """Export requests of at least `records` records where there are as many: body, records and last slice + 1."""
        if self._sizes is None:
            return
        first, count = 0, 0
        for place, size in enumerate(self._sizes.tolist()):
            count += size
            if count and (count >= records or place == len(self._sizes) - 1):
                yield self._body(first, place + 1), count, place + 1
                first, count = place + 1, 0

    def _body(self, first: int, last: int) -> bytes:
        found: dict[Process, dict[str, list[bytes]]] = {}
        for (track, maker, scope), parts in self._pieces.items():
            cut = [rows[cuts[first] : cuts[last]].tobytes() for cuts, rows in parts if cuts[last] > cuts[first]]
            if cut:
                found.setdefault(self.schedule.tracks[track][maker], {}).setdefault(scope, []).extend(cut)
        return b"".join(
            of_resource(process.resource, {scope: b"".join(rows) for scope, rows in scopes.items()})
            for process, scopes in found.items()
        )
