"""Columns of numbers as the texts that Prometheus' JSON has, a million in a tenth of a second.

orjson writes the shortest digits of a whole NumPy array at once; where Go writes the same digits in another form, that
is mended in the one long text. Source: Prometheus util/jsonutil/marshal.go (`MarshalFloat`, `MarshalTimestamp`).
"""

import re
from collections.abc import Callable

import numpy as np
import orjson

# Without an exponent are, in Prometheus' JSON, numbers from 1e-6 up to 1e21; orjson's are from 1e-5 up to 1e16.
_ORJSON_FROM, _ORJSON_TO, _PLAIN_TO = 1e-5, 1e16, 1e21
_SMALLEST_PLAIN = re.compile(rb"(\d)(?:\.(\d+))?e-6,")
_ONE_DIGIT_EXPONENT = re.compile(rb"e-([789]),")
_LARGE = re.compile(rb"(\d)(?:\.(\d+))?e\+?(1[6-9]|20),")
_FRACTIONS = np.array([b"", *(f".{ms:03d}".encode() for ms in range(1, 1000))], object)


def floats(values: np.ndarray) -> list[bytes]:
    """The text of each value, float64[n]: `1`, `0.1`, `1e+21`, `1e-07`, `NaN`, `+Inf`."""
    if not len(values):
        return []
    values = np.ascontiguousarray(values, np.float64)
    text = orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)
    texts = (text[1:-1] + b",").replace(b".0,", b",")[:-1].split(b",")
    sizes = np.abs(values)
    small = (sizes < _ORJSON_FROM) & (sizes > 0)
    large = (sizes >= _ORJSON_TO) & (sizes < _PLAIN_TO)
    endless = ~np.isfinite(values)
    if not (small | large | endless).any():
        return texts
    mended = np.array(texts, object)
    _mend(mended, small, _with_long_exponent)
    _mend(mended, large, lambda some: _LARGE.sub(_without_exponent, some))
    mended[endless] = b"NaN"
    mended[values == np.inf] = b"+Inf"
    mended[values == -np.inf] = b"-Inf"
    return list(mended)


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
