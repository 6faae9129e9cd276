"""Series known by the bytes that name them: a request's series are looked up, not decoded."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gnomon_server.decode.remote_write.siphash import digests
from gnomon_server.model.index import Index

_MAX_SERIES = 4_000_000  # of some 60 bytes
_COLUMNS = {"id": np.uint64, "kind": np.uint8, "sender": np.int32, "meta": np.uint64}
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
    that series. That two of a million have one by chance is as likely as one in 36 million.
    """

    def __init__(self, max_series: int = _MAX_SERIES) -> None:
        self._max_series = max_series
        self._secret = np.frombuffer(secrets.token_bytes(16), np.uint64)
        self.clear()

    def clear(self) -> None:
        """Forget all."""
        self._index = Index()
        self._columns = {name: np.zeros(_FEWEST, kind) for name, kind in _COLUMNS.items()}
        self._senders: dict[tuple[str, str], int] = {}
        self._sender_names: list[tuple[str, str]] = []

    @property
    def is_full(self) -> bool:
        """Whether the bound is reached."""
        return len(self._index) > self._max_series

    def keep_bound(self) -> None:
        """Empty it when it is full. Between requests only."""
        if self.is_full:
            self.clear()

    def find(self, keys: Keys, define: Callable[[int], Definition | None]) -> np.ndarray:
        """The slot of each series, int64[n]; `define(position)` describes a new one, None: REFUSED."""
        sought = digests(keys.data, keys.starts, keys.ends, self._secret)
        slots = self._index.find(sought)
        new: dict[int, int] = {}  # one may stand in a request twice
        for position in np.flatnonzero(slots < 0).tolist():
            digest = int(sought[position])
            if digest not in new:
                defined = define(position)
                if defined is None:
                    continue
                new[digest] = len(self._index) + len(new)
                self._keep(new[digest], defined)
            slots[position] = new[digest]
        self._index.add(np.array(list(new), np.uint64))
        return slots

    def _keep(self, slot: int, defined: Definition) -> None:
        if slot == len(self._columns["id"]):
            self._columns = {name: np.concatenate([kept, np.zeros_like(kept)]) for name, kept in self._columns.items()}
        sender = self._senders.setdefault(defined.sender, len(self._senders))
        if sender == len(self._sender_names):
            self._sender_names.append(defined.sender)
        row = {"id": defined.id, "kind": defined.kind, "sender": sender, "meta": defined.meta}
        for name, value in row.items():
            self._columns[name][slot] = value

    def rows(self, slots: np.ndarray) -> dict[str, np.ndarray]:
        """Columns id (uint64), kind (uint8), sender (int32) and meta (uint64) of each: [n]."""
        return {name: kept[slots] for name, kept in self._columns.items()}

    def sender(self, number: int) -> tuple[str, str]:
        """Service and instance of a number in `rows`."""
        return self._sender_names[number]
