"""Curves as dots: each place of the terminal has a Braille sign of two by four dots."""

from dataclasses import dataclass

import numpy as np

ACROSS, DOWN = 2, 4  # the dots of one sign
# The bit of the dot in row r and column c of a sign is _BITS[r, c] (Unicode, block "Braille Patterns").
_BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], np.uint8)
_BLANK = 0x2800
_MOST_DOTS = 1 << 22  # of one curve: more than any terminal has


@dataclass(frozen=True, slots=True)
class Canvas:
    """What is drawn.

    Attributes:
        dots: uint8[rows, columns], the bits of each sign.
        owner: int32[rows, columns], the curve that was drawn there last; -1 for none.
    """

    dots: np.ndarray
    owner: np.ndarray

    @classmethod
    def empty(cls, rows: int, columns: int) -> "Canvas":
        """Without any dot."""
        return cls(np.zeros((rows, columns), np.uint8), np.full((rows, columns), -1, np.int32))

    def draw(self, x: np.ndarray, y: np.ndarray, joined: np.ndarray, owner: int) -> None:
        """A curve through points.

        Args:
            x: float64[n], from 0 at the left to 1 at the right.
            y: float64[n], from 0 at the bottom to 1 at the top.
            joined: bool[n - 1], whether a line leads from a point to the next.
            owner: the curve's number.
        """
        rows, columns = self.dots.shape
        across = np.rint(x * (columns * ACROSS - 1)).astype(np.int64)
        down = np.rint((1 - y) * (rows * DOWN - 1)).astype(np.int64)
        self._set(*_lines(across, down, joined), owner)
        self._set(across, down, owner)

    def _set(self, across: np.ndarray, down: np.ndarray, owner: int) -> None:
        row, column = down // DOWN, across // ACROSS
        np.bitwise_or.at(self.dots, (row, column), _BITS[down % DOWN, across % ACROSS])
        self.owner[row, column] = owner

    def sign(self, row: int, column: int) -> str:
        """One place."""
        bits = int(self.dots[row, column])
        return chr(_BLANK + bits) if bits else " "


def _lines(across: np.ndarray, down: np.ndarray, joined: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The dots of all lines between neighbours that are joined."""
    begin = np.flatnonzero(joined)
    dx, dy = across[begin + 1] - across[begin], down[begin + 1] - down[begin]
    length = np.maximum(np.abs(dx), np.abs(dy)) + 1
    if not len(begin) or length.sum() > _MOST_DOTS:
        return across[:0], down[:0]
    of = np.repeat(np.arange(len(begin)), length)
    along = np.arange(len(of)) - np.repeat(np.cumsum(length) - length, length)
    part = along / np.maximum(length - 1, 1)[of]
    return across[begin][of] + np.rint(dx[of] * part).astype(np.int64), down[begin][of] + np.rint(dy[of] * part).astype(
        np.int64
    )
