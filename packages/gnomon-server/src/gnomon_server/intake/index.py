"""A set of 64-bit keys with a slot number each, looked up by the thousand: what intake remembers of a million series.

Sorted arrays and binary search instead of a dict: 16 bytes a key instead of 150, and no Python object a row. New keys
are collected in a small second array, which is merged when it has grown, so that adding stays cheap.
"""

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_ODD = np.uint64(0xD6E8FEB86659FD93)
_MERGE_AT = 4096


def mixed(keys: np.ndarray, salt: np.ndarray | int) -> np.ndarray:
    """Keys told apart by a second number (tenant, day, time): uint64[n]. One to one for each of these numbers.

    Multiplied after the two have met: else (tenant 1, time 2) and (tenant 2, time 1) of a series were the same.
    """
    with np.errstate(over="ignore"):
        met: np.ndarray = keys.astype(np.uint64) ^ (np.asarray(salt).astype(np.uint64) * _GOLDEN)
        mix: np.ndarray = (met ^ (met >> np.uint64(32))) * _ODD
        return mix


class Index:
    """Keys to slots 0, 1, 2, ... in the order of adding. One writer; readers in other threads see a whole state."""

    def __init__(self) -> None:
        nothing = (np.empty(0, np.uint64), np.empty(0, np.int64))
        self._levels = (nothing, nothing)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def find(self, keys: np.ndarray) -> np.ndarray:
        """Slots of the keys, -1 for those not here: int64[n]."""
        slots = np.full(len(keys), -1, np.int64)
        for known, known_slots in self._levels:
            if len(known):
                place = np.minimum(np.searchsorted(known, keys), len(known) - 1)
                slots = np.where(known[place] == keys, known_slots[place], slots)
        return slots

    def add(self, keys: np.ndarray) -> None:
        """Give slots to keys that are not here yet; they must be distinct."""
        if not len(keys):
            return
        large, small = self._levels
        small = _merged(small, keys, np.arange(self._count, self._count + len(keys)))
        if len(small[0]) > max(_MERGE_AT, len(large[0]) // 8):
            large, small = _merged(large, *small), (np.empty(0, np.uint64), np.empty(0, np.int64))
        self._count += len(keys)
        self._levels = (large, small)


def _merged(level: tuple[np.ndarray, np.ndarray], keys: np.ndarray, slots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    all_keys, all_slots = np.concatenate([level[0], keys]), np.concatenate([level[1], slots])
    order = np.argsort(all_keys, kind="stable")
    return all_keys[order], all_slots[order]
