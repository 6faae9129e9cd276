"""Columns of numbers as the texts that Prometheus' JSON has, a million in a tenth of a second.

orjson writes the shortest digits of a whole NumPy array at once; where Go writes the same digits in another form, that
is mended in the one long text. Source: Prometheus util/jsonutil/marshal.go (`MarshalFloat`, `MarshalTimestamp`).
"""

import re
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import orjson

from gnomon_server.compiled import compiled

# Without an exponent are, in Prometheus' JSON, numbers from 1e-6 up to 1e21; orjson's are from 1e-5 up to 1e16.
_ORJSON_FROM, _ORJSON_TO, _PLAIN_TO = 1e-5, 1e16, 1e21
_SMALLEST_PLAIN = re.compile(rb"(\d)(?:\.(\d+))?e-6,")
_ONE_DIGIT_EXPONENT = re.compile(rb"e-([789]),")
_LARGE = re.compile(rb"(\d)(?:\.(\d+))?e\+?(1[6-9]|20),")
_COMMA = ord(",")
_FRACTIONS = np.array([b"", *(f".{ms:03d}".encode() for ms in range(1, 1000))], object)


_BEFORE, _BETWEEN, _BEHIND, _VALUE = (
    np.frombuffer(text, np.uint8) for text in (b',"values":[[', b'"],[', b'"]]', b',"')
)


def points(values: np.ndarray, there: np.ndarray, stamps: list[bytes]) -> list[bytes]:
    """The member `values` of each series, `,"values":[[1435781451.781,"1"],...]`; nothing where there is none.

    Args:
        values: float64[n_series, n_steps].
        there: bool[n_series, n_steps], where there is a value.
        stamps: the texts of the steps' times.
    """
    text = np.frombuffer(_listed(values[there]), np.uint8)
    begins = np.concatenate([[0], np.cumsum([len(stamp) for stamp in stamps])])
    woven, ends = _woven(text, np.frombuffer(b"".join(stamps), np.uint8), begins, there)
    return [woven[begin:end].tobytes() for begin, end in pairwise([0, *ends.tolist()])]


@compiled
def _put(piece: np.ndarray, begin: int, end: int, into: np.ndarray, to: int) -> int:
    for at in range(begin, end):
        into[to] = piece[at]
        to += 1
    return to


@compiled
def _woven(
    numbers: np.ndarray, stamps: np.ndarray, begins: np.ndarray, there: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The text of all series, uint8, and where each ends: int64[n_series].

    Args:
        numbers: uint8, all values with a comma between.
        stamps: uint8, all times.
        begins: int64[n_steps + 1], where each begins.
        there: bool[n_series, n_steps].
    """
    longest = (begins[1:] - begins[:-1]).max() if len(begins) > 1 else 0
    room = len(numbers) + there.sum() * (longest + len(_BETWEEN) + len(_VALUE)) + len(there) * len(_BEFORE)
    text, ends, to, number = np.empty(room, np.uint8), np.empty(len(there), np.int64), 0, 0
    for one in range(len(there)):
        begun = False
        for step in range(there.shape[1]):
            if not there[one, step]:
                continue
            to = _put(_BETWEEN, 0, len(_BETWEEN), text, to) if begun else _put(_BEFORE, 0, len(_BEFORE), text, to)
            begun = True
            to = _put(stamps, begins[step], begins[step + 1], text, to)
            to = _put(_VALUE, 0, len(_VALUE), text, to)
            end = number
            while end < len(numbers) and numbers[end] != _COMMA:
                end += 1
            to = _put(numbers, number, end, text, to)
            number = end + 1
        if begun:
            to = _put(_BEHIND, 0, len(_BEHIND), text, to)
        ends[one] = to
    return text, ends


def floats(values: np.ndarray) -> list[bytes]:
    """The text of each value, float64[n]: `1`, `0.1`, `1e+21`, `1e-07`, `NaN`, `+Inf`."""
    return _listed(values).split(b",") if len(values) else []


def _listed(values: np.ndarray) -> bytes:
    """The texts of all values, with a comma between."""
    values = np.ascontiguousarray(values, np.float64)
    text = orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)
    text = (text[1:-1] + b",").replace(b".0,", b",")[:-1]
    sizes = np.abs(values)
    small = (sizes < _ORJSON_FROM) & (sizes > 0)
    large = (sizes >= _ORJSON_TO) & (sizes < _PLAIN_TO)
    endless = ~np.isfinite(values)
    if not (small | large | endless).any():
        return text
    mended = np.array(text.split(b","), object)
    _mend(mended, small, _with_long_exponent)
    _mend(mended, large, lambda some: _LARGE.sub(_without_exponent, some))
    mended[endless] = b"NaN"
    mended[values == np.inf] = b"+Inf"
    mended[values == -np.inf] = b"-Inf"
    return b",".join(mended)


def _mend(texts: np.ndarray, where: np.ndarray, change: Callable[[bytes], bytes]) -> None:
    """Change some of the texts at once; `change` takes and gives them with a comma after each."""
    if where.any():
        texts[where] = change(b",".join(texts[where]) + b",")[:-1].split(b",")


def _with_long_exponent(some: bytes) -> bytes:
    return _ONE_DIGIT_EXPONENT.sub(rb"e-0\1,", _SMALLEST_PLAIN.sub(rb"0.00000\1\2,", some))


def _without_exponent(found: re.Match[bytes]) -> bytes:
    digits = found[1] + (found[2] or b"")
    return digits.ljust(int(found[3]) + 1, b"0") + b","


def times(ms: np.ndarray) -> list[bytes]:
    """Each time, int64[n] in milliseconds, in seconds: `1435781451.781`, and without a fraction where there is none."""
    if not len(ms):
        return []
    size = np.abs(ms)
    whole = orjson.dumps(size // 1000, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b",")
    fraction = size % 1000
    if not fraction.any() and (ms >= 0).all():
        return whole
    texts = np.array(whole, object) + _FRACTIONS[fraction]
    return list(np.where(ms < 0, b"-", b"").astype(object) + texts)
