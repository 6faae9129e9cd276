"""Series known by the bytes that name them: a request's series are looked up, not decoded."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_MAX_BYTES = 256 << 20
_ENTRY_BYTES = 250  # measured: a dict entry, its key object and a row
_ROW = np.dtype([("id", "u8"), ("kind", "u1"), ("sender", "i4"), ("meta", "u8")])
REFUSED = -1


@dataclass(frozen=True, slots=True)
class Definition:
    """What a key says. `meta`: the key of its row in `metric_meta`, 0 for none."""

    id: int
    kind: int
    sender: tuple[str, str]
    meta: int


class KnownSeries:
    """Bounded cache of series by their keys. Not thread-safe."""

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self.clear()

    def clear(self) -> None:
        """Forget all."""
        self._slots: dict[bytes, int] = {}
        self._keys: list[bytes] = []
        self._rows = np.zeros(1024, _ROW)
        self._senders: dict[tuple[str, str], int] = {}
        self._bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether the bound is reached."""
        return self._bytes > self._max_bytes

    def keep_bound(self) -> None:
        """Empty it when it is full. Between requests only."""
        if self.is_full:
            self.clear()

    def find(self, keys: list[bytes], define: Callable[[int], Definition | None]) -> np.ndarray:
        """The slot of each series, int64[n]; `define(position)` describes a new one, None: REFUSED."""
        known = self._slots
        found = list(map(known.get, keys))
        if None in found:
            for position, slot in enumerate(found):
                if slot is None:
                    found[position] = self._slot(keys[position], position, define)
        return np.array(found, np.int64)

    def _slot(self, key: bytes, position: int, define: Callable[[int], Definition | None]) -> int:
        if key in self._slots:
            return self._slots[key]
        defined = define(position)
        if defined is None:
            return REFUSED
        slot = len(self._keys)
        if slot == len(self._rows):
            self._rows = np.concatenate([self._rows, np.zeros(slot, _ROW)])
        sender = self._senders.setdefault(defined.sender, len(self._senders))
        self._rows[slot] = (defined.id, defined.kind, sender, defined.meta)
        self._keys.append(key)
        self._slots[key] = slot
        self._bytes += len(key) + _ENTRY_BYTES
        return slot

    def key(self, slot: int) -> bytes:
        """What names a series."""
        return self._keys[slot]

    def rows(self, slots: np.ndarray) -> np.ndarray:
        """Fields id, kind, sender, meta of each: structured[n]."""
        found: np.ndarray = self._rows[slots]
        return found

    def senders(self) -> list[tuple[str, str]]:
        """Service and instance by the numbers in `rows`."""
        return list(self._senders)
