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
from gnomon_server.query.promql.histograms.block import begins_of

# Without an exponent are, in Prometheus' JSON, numbers from 1e-6 up to 1e21; orjson's are from 1e-5 up to 1e16.
_ORJSON_FROM, _ORJSON_TO, _PLAIN_TO = 1e-5, 1e16, 1e21
_SMALLEST_PLAIN = re.compile(rb"(\d)(?:\.(\d+))?e-6,")
_ONE_DIGIT_EXPONENT = re.compile(rb"e-([789]),")
_LARGE = re.compile(rb"(\d)(?:\.(\d+))?e\+?(1[6-9]|20),")
_COMMA = ord(",")
_HEAD = b'"],[%b,"'
_JOINT = 4  # bytes of a head that stand between two points: not before the first
_FRACTIONS = np.array([b"", *(f".{ms:03d}".encode() for ms in range(1, 1000))], object)


def points(values: np.ndarray, stamps: list[bytes], which: np.ndarray, widths: np.ndarray) -> list[bytes]:
    """The member `values` of each series, `,"values":[[1435781451.781,"1"],...]`; nothing where there is none.

    Args:
        values: float64[n], series after series.
        stamps: the texts of times.
        which: int64[n], the time of each value.
        widths: int64[n_series], how many values each has.
    """
    heads = [_HEAD % stamp for stamp in stamps]
    begins = begins_of(np.array([len(head) for head in heads], np.int64))
    numbers, texts = (np.frombuffer(text, np.uint8) for text in (_listed(values), b"".join(heads)))
    woven, ends = _woven(numbers, texts, begins, np.ascontiguousarray(which))
    text, edges = woven.data, ends[begins_of(widths)].tolist()
    return [
        b"".join((b',"values":[[', text[begin + _JOINT : end], b'"]]')) if begin < end else b""
        for begin, end in pairwise(edges)
    ]


@compiled
def _woven(
    numbers: np.ndarray, heads: np.ndarray, begins: np.ndarray, which: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The text of all points, uint8, and where each ends, int64[n + 1], from 0 on.

    Args:
        numbers: uint8, the values with a comma between.
        heads: uint8, what stands before a value at each time.
        begins: int64[n_times + 1], where each head begins.
        which: int64[n], the time of each value.
    """
    room = len(numbers)
    for time in which:
        room += begins[time + 1] - begins[time]
    text, ends, to, number = np.empty(room, np.uint8), np.zeros(len(which) + 1, np.int64), 0, 0
    for point, time in enumerate(which):
        for at in range(begins[time], begins[time + 1]):
            text[to] = heads[at]
            to += 1
        while number < len(numbers) and numbers[number] != _COMMA:
            text[to] = numbers[number]
            to += 1
            number += 1
        number += 1
        ends[point + 1] = to
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
