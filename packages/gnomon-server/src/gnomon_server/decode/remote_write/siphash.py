"""SipHash of many texts at once: under a secret key nobody can make two texts with one digest.

Source: Aumasson and Bernstein, SipHash: a fast short-input PRF (2012). One round a word and three at the end
(SipHash-1-3), as in CPython and Rust.
"""

import numpy as np

from gnomon_server.compiled import compiled

_WORD = np.uint64(8)


def digests(
    data: np.ndarray, starts: np.ndarray, ends: np.ndarray, key: np.ndarray, rounds: tuple[int, int] = (1, 3)
) -> np.ndarray:
    """uint64[n] of stretches of uint8 `data`, from int64[n] `starts` up to `ends`; `key`: uint64[2]."""
    found: np.ndarray = _digests(data, starts, ends, (key[0], key[1]), rounds)
    return found


@compiled
def _turned(word: np.uint64, bits: int) -> np.uint64:
    return word << np.uint64(bits) | word >> np.uint64(64 - bits)


@compiled
def _mixed(a: np.uint64, b: np.uint64, c: np.uint64, d: np.uint64) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """A round (SIPROUND)."""
    a += b
    b = _turned(b, 13) ^ a
    a = _turned(a, 32)
    c += d
    d = _turned(d, 16) ^ c
    a += d
    d = _turned(d, 21) ^ a
    c += b
    b = _turned(b, 17) ^ c
    c = _turned(c, 32)
    return a, b, c, d


@compiled
def _word(data: np.ndarray, at: np.uint64, width: np.uint64) -> np.uint64:
    """So many bytes, the lowest first."""
    word = np.uint64(0)
    for place in range(width):
        word |= np.uint64(data[at + np.uint64(place)]) << np.uint64(8 * place)
    return word


@compiled
def _eight(data: np.ndarray, at: np.uint64) -> np.uint64:
    """Eight of them, which the compiler makes one load of: places without a sign cannot be from the end."""
    word = np.uint64(data[at])
    for place in range(1, 8):
        word |= np.uint64(data[at + np.uint64(place)]) << np.uint64(8 * place)
    return word


@compiled
def _digests(
    data: np.ndarray, starts: np.ndarray, ends: np.ndarray, key: tuple[np.uint64, np.uint64], rounds: tuple[int, int]
) -> np.ndarray:
    found = np.empty(len(starts), np.uint64)
    for one in range(len(starts)):
        a, b = key[0] ^ np.uint64(0x736F6D6570736575), key[1] ^ np.uint64(0x646F72616E646F6D)
        c, d = key[0] ^ np.uint64(0x6C7967656E657261), key[1] ^ np.uint64(0x7465646279746573)
        at, length = np.uint64(starts[one]), np.uint64(ends[one] - starts[one])
        for left in range(length >> np.uint64(3), -1, -1):
            word = _eight(data, at) if left else _word(data, at, length & np.uint64(7)) | length << np.uint64(56)
            at += _WORD
            d ^= word
            for _ in range(rounds[0]):
                a, b, c, d = _mixed(a, b, c, d)
            a ^= word
        c ^= np.uint64(0xFF)
        for _ in range(rounds[1]):
            a, b, c, d = _mixed(a, b, c, d)
        found[one] = a ^ b ^ c ^ d
    return found
