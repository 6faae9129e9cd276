"""Series known by the bytes that name them: a request's series are looked up, not decoded."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gnomon_server.compiled import compiled
from gnomon_server.decode.remote_write.siphash import digests

_MAX_SERIES = 4_000_000  # of some 80 bytes
_ROW = np.dtype([("id", "u8"), ("kind", "u1"), ("sender", "i4"), ("meta", "u8")])
_FEWEST = 1024
REFUSED = -1


@dataclass(frozen=True, slots=True)
class Keys:
    """The bytes that name each series of a request: stretches of `data`, uint8; int64[n] starts and ends."""

    data: np.ndarray
    starts: np.ndarray
    ends: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, position: int) -> bytes:
        key: bytes = self.data[self.starts[position] : self.ends[position]].tobytes()
        return key


@dataclass(frozen=True, slots=True)
class Definition:
    """What a key says. `meta`: the key of its row in `metric_meta`, 0 for none."""

    id: int
    kind: int
    sender: tuple[str, str]
    meta: int


class KnownSeries:
    """Bounded cache of series by digests of their keys. Not thread-safe.

    The digests are SipHash under a secret: a sender who could make one that another's series has would write into
    that series.
    """

    def __init__(self, max_series: int = _MAX_SERIES) -> None:
        self._max_series = max_series
        self._secret = np.frombuffer(secrets.token_bytes(16), np.uint64)
        self.clear()

    def clear(self) -> None:
        """Forget all."""
        self._count = 0
        self._digests, self._rows = np.zeros((_FEWEST, 2), np.uint64), np.zeros(_FEWEST, _ROW)
        self._table = np.full(2 * _FEWEST, -1, np.int32)
        self._senders: dict[tuple[str, str], int] = {}

    @property
    def is_full(self) -> bool:
        """Whether the bound is reached."""
        return self._count > self._max_series

    def keep_bound(self) -> None:
        """Empty it when it is full. Between requests only."""
        if self.is_full:
            self.clear()

    def find(self, keys: Keys, define: Callable[[int], Definition | None]) -> np.ndarray:
        """The slot of each series, int64[n]; `define(position)` describes a new one, None: REFUSED."""
        sought = digests(keys.data, keys.starts, keys.ends, self._secret)
        slots: np.ndarray = _found(self._table, self._digests, sought)
        new: dict[bytes, int] = {}  # one may stand in a request twice
        for position in np.flatnonzero(slots < 0).tolist():
            digest = sought[position].tobytes()
            if digest not in new:
                defined = define(position)
                if defined is None:
                    continue
                new[digest] = self._add(sought[position], defined)
            slots[position] = new[digest]
        if new:
            self._enter(len(new))
        return slots

    def _add(self, digest: np.ndarray, defined: Definition) -> int:
        slot = self._count
        if slot == len(self._rows):
            self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
            self._digests = np.concatenate([self._digests, np.zeros_like(self._digests)])
        sender = self._senders.setdefault(defined.sender, len(self._senders))
        self._rows[slot] = (defined.id, defined.kind, sender, defined.meta)
        self._digests[slot] = digest
        self._count += 1
        return slot

    def _enter(self, count: int) -> None:
        """Make so many of the newest findable."""
        first = self._count - count
        if len(self._table) < 2 * self._count:
            self._table, first = np.full(2 * len(self._rows), -1, np.int32), 0
        _entered(self._table, self._digests, first, self._count)

    def rows(self, slots: np.ndarray) -> np.ndarray:
        """Fields id, kind, sender, meta of each: structured[n]."""
        found: np.ndarray = self._rows[slots]
        return found

    def senders(self) -> list[tuple[str, str]]:
        """Service and instance by the numbers in `rows`."""
        return list(self._senders)


@compiled
def _found(table: np.ndarray, digests: np.ndarray, sought: np.ndarray) -> np.ndarray:
    """The slot of each digest, int64[n], or REFUSED: a table of 2^k places, of which at least half are free."""
    slots, last = np.full(len(sought), REFUSED), np.uint64(len(table) - 1)
    for one in range(len(sought)):
        place = sought[one, 0] & last
        while table[place] >= 0:
            slot = table[place]
            if digests[slot, 0] == sought[one, 0] and digests[slot, 1] == sought[one, 1]:
                slots[one] = slot
                break
            place = (place + np.uint64(1)) & last
    return slots


@compiled
def _entered(table: np.ndarray, digests: np.ndarray, first: int, end: int) -> None:
    """Write slots into the table, each at the first free place from that of its digest on."""
    last = np.uint64(len(table) - 1)
    for slot in range(first, end):
        place = digests[slot, 0] & last
        while table[place] >= 0:
            place = (place + np.uint64(1)) & last
        table[place] = slot
