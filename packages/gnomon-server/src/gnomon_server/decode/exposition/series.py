"""The series that a target exposes, by the bytes that name them: each is parsed and relabelled once, then looked up."""

from collections.abc import Callable

import numpy as np

from gnomon_server.model.series import series_id

Define = Callable[[dict[str, str]], dict[str, str] | None]
"""Exposed labels (with `__name__`) to those that are stored, or None to drop the series. May raise GnomonError."""

Parse = Callable[[bytes], dict[str, str]]
"""The bytes that name a series to its exposed labels."""


class SeriesTable:
    """Numbers (`slots`) for the series of one target. Not thread-safe.

    Holds what the last successful scrape had: call `trim` after each, and `cut` after one that failed.
    """

    def __init__(self, define: Define) -> None:
        self._define = define
        self.generation = 0
        self._clear()

    def _clear(self) -> None:
        self.slots: dict[bytes, int] = {}  # by the bytes that name a series
        self._keys: list[tuple[bytes, Parse]] = []
        self._names: list[str] = []
        self._ids: list[int] = []
        self._columns = np.empty(0, np.uint64), np.empty(0, np.bool_)
        self._fresh: dict[int, dict[str, str]] = {}  # stored labels of what the running scrape added
        self.generation += 1  # slots mean other series from now on

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, key: bytes, parse: Parse) -> int:
        """The slot of a series that is new to the table."""
        exposed = parse(key)
        labels = self._define(exposed)
        identity = -1
        if labels is not None:
            identity = series_id(labels["__name__"], {name: labels[name] for name in labels if name != "__name__"})
        slot = len(self._keys)
        if labels is not None:
            self._fresh[slot] = labels
        self._keys.append((key, parse))
        self._names.append(exposed["__name__"])
        self._ids.append(identity)
        self.slots[key] = slot
        return slot

    def exposed_name(self, slot: int) -> str:
        """The metric name as the target says it."""
        return self._names[slot]

    def key(self, slot: int) -> bytes:
        """The bytes that name the series."""
        return self._keys[slot][0]

    def exposed(self, slot: int) -> dict[str, str]:
        """The labels as the target says them."""
        key, parse = self._keys[slot]
        return parse(key)

    def stored(self, slot: int) -> dict[str, str]:
        """The labels as they are stored, of a series that is kept."""
        labels = self._fresh.get(slot)
        if labels is None:
            labels = self._define(self.exposed(slot))
        return labels if labels is not None else {}

    def columns(self) -> tuple[np.ndarray, np.ndarray]:
        """By slot: uint64[m] ids, and bool[m], False where relabelling drops the series."""
        if len(self._columns[0]) != len(self._ids):
            kept = np.array([identity >= 0 for identity in self._ids], np.bool_)
            ids = np.array([max(identity, 0) for identity in self._ids], np.uint64)
            self._columns = ids, kept
        return self._columns

    def trim(self, used: np.ndarray) -> None:
        """After a scrape that succeeded: forget the series it did not have. `used`: int64[n], its slots."""
        self._fresh.clear()
        distinct = np.unique(used)
        if len(distinct) < len(self):
            self._keep(distinct.tolist())

    def cut(self, length: int) -> None:
        """After a scrape that failed: forget the series it added, those from slot `length` on."""
        if length < len(self):
            self._keep(list(range(length)))

    def _keep(self, slots: list[int]) -> None:
        keys, names, ids = self._keys, self._names, self._ids
        self._clear()
        for slot in slots:
            self.slots[keys[slot][0]] = len(self._keys)
            self._keys.append(keys[slot])
            self._names.append(names[slot])
            self._ids.append(ids[slot])
