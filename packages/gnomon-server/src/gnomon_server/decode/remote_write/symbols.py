"""Strings of remote write 2.0 under lasting numbers: a series is then known by the numbers of its labels."""

import numpy as np

_MAX_BYTES = 128 << 20
_ENTRY_BYTES = 150


class Symbols:
    """The empty one is number 0. When `is_full`, clear it, and all that was built on the numbers. Not thread-safe."""

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self.clear()

    def clear(self) -> None:
        """Forget all."""
        self._numbers: dict[bytes, int] = {b"": 0}
        self._texts: list[bytes] = [b""]
        self._bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether the bound is reached."""
        return self._bytes > self._max_bytes

    def numbers(self, texts: list[bytes]) -> np.ndarray:
        """A lasting number for each, uint32[n]."""
        found = list(map(self._numbers.get, texts))
        if None in found:
            found = [self._number(text) for text in texts]
        return np.array(found, np.uint32)

    def _number(self, text: bytes) -> int:
        number = self._numbers.setdefault(text, len(self._texts))
        if number == len(self._texts):
            self._texts.append(text)
            self._bytes += len(text) + _ENTRY_BYTES
        return number

    def text(self, number: int) -> bytes:
        """What has this number."""
        return self._texts[number]
