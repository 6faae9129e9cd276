"""A set of 64-bit keys with a slot number each, looked up by the thousand: what is remembered of a million series.

A table of open places instead of a dict: some 20 bytes a key instead of 150, and no Python object a row.
"""

import secrets

import numpy as np

from gnomon_server.compiled import compiled

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_ODD = np.uint64(0xD6E8FEB86659FD93)
_FEWEST = 16
# So that nobody can send keys that all have one place.
_SECRET = np.uint64(secrets.randbits(64) | 1)


def mixed(keys: np.ndarray, salt: np.ndarray | int) -> np.ndarray:
    """Keys told apart by a second number (tenant, day, time): uint64[n]. One to one for each of these numbers.

    Multiplied after the two have met: else (tenant 1, time 2) and (tenant 2, time 1) of a series were the same.
    """
    with np.errstate(over="ignore"):
        met: np.ndarray = keys.astype(np.uint64) ^ (np.asarray(salt).astype(np.uint64) * _GOLDEN)
        mix: np.ndarray = (met ^ (met >> np.uint64(32))) * _ODD
        return mix


class Index:
    """Keys to slots 0, 1, 2, ... in the order of adding.

    One writer. A reader in another thread may miss what is being added, and finds all else.
    """

    def __init__(self) -> None:
        self._table = _table(_FEWEST)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def find(self, keys: np.ndarray) -> np.ndarray:
        """Slots of the keys, -1 for those not here: int64[n]."""
        found: np.ndarray = _found(*self._table, keys, _SECRET)
        return found

    def add(self, keys: np.ndarray) -> None:
        """Give slots to keys that are not here yet; they must be distinct."""
        first, end = self._count, self._count + len(keys)
        places, known = self._table
        if end > len(known):
            # Both are new: a reader's places must not have slots that its keys do not reach to.
            before, (places, known) = known, _table(max(end, 2 * len(known)))
            known[: len(before)], first = before, 0
        known[self._count : end] = keys
        _enter(places, known, first, end, _SECRET)
        self._table, self._count = (places, known), end


def _table(keys: int) -> tuple[np.ndarray, np.ndarray]:
    """Room for so many keys: the slot at each place, of which there are 2^k, -1 for none; the key of each slot."""
    places = 1 << (keys * 4 // 3).bit_length()
    return np.full(places, -1, np.int32), np.empty(places * 3 // 4, np.uint64)


@compiled
def _found(places: np.ndarray, known: np.ndarray, keys: np.ndarray, secret: np.uint64) -> np.ndarray:
    """The slot of each key, or -1."""
    slots, last = np.full(len(keys), -1), np.uint64(len(places) - 1)
    for one in range(len(keys)):
        place = (keys[one] * secret >> np.uint64(32)) & last
        while places[place] >= 0:
            if known[places[place]] == keys[one]:
                slots[one] = places[place]
                break
            place = (place + np.uint64(1)) & last
    return slots


@compiled
def _enter(places: np.ndarray, known: np.ndarray, first: int, end: int, secret: np.uint64) -> None:
    """Write slots into the table, each at the first free place from that of its key on."""
    last = np.uint64(len(places) - 1)
    for slot in range(first, end):
        place = (known[slot] * secret >> np.uint64(32)) & last
        while places[place] >= 0:
            place = (place + np.uint64(1)) & last
        places[place] = slot
