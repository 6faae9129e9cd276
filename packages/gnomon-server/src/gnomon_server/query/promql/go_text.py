"""Numbers and texts as Go writes them: what stands in Prometheus' labels and messages, to the letter.

https://pkg.go.dev/fmt, https://pkg.go.dev/strconv#FormatFloat
"""

import math

import numpy as np

_EXPONENT_FROM = 6  # of the shortest digits; below 1e-4 too


def plain(value: float) -> str:
    """`strconv.FormatFloat(value, 'f', -1, 64)`: `0.1`, `100000000000000000000`, `NaN`, `+Inf`."""
    return np.format_float_positional(value, trim="-") if math.isfinite(value) else _endless(value)


def general(value: float) -> str:
    """`%g`: `0.1`, `1e+06`, `NaN`, `+Inf`."""
    if not math.isfinite(value):
        return _endless(value)
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    scientific = np.format_float_scientific(value, trim="-", exp_digits=2)
    exponent = int(scientific.partition("e")[2])
    return scientific if exponent < -4 or exponent >= _EXPONENT_FROM else plain(value)  # noqa: PLR2004 - Go's own


def _endless(value: float) -> str:
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


def quoted(text: str) -> str:
    r"""`%q`; bytes that are no UTF-8, which stand as surrogate escapes here, as `\xc5`."""
    raw = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return '"' + raw.replace('"', '\\"') + '"'
