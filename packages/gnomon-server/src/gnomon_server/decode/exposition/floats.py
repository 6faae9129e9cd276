"""Numbers in labels, as Prometheus 3 stores them: `le="1"` and `le="1.0"` name one bucket."""

import math
from functools import lru_cache

import numpy as np

_LARGEST_PLAIN, _SMALLEST_PLAIN = 6, -4


@lru_cache(10_000)
def open_metrics_float(number: float) -> str:
    """Go's FormatFloat 'g' in the shortest form, with `.0` where neither point nor exponent is.

    Source: Prometheus model/textparse/protobufparse.go, formatOpenMetricsFloat.
    """
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "+Inf" if number > 0 else "-Inf"
    scientific = np.format_float_scientific(number, trim="-", exp_digits=2)
    if _SMALLEST_PLAIN <= int(scientific.partition("e")[2]) < _LARGEST_PLAIN:
        return str(np.format_float_positional(number, trim="0"))
    return str(scientific)


def normalised(labels: dict[str, str], key: str) -> dict[str, str]:
    """With the number under `key` in that form; what is no number stays (textparse: normalizeFloatsInLabelValues)."""
    try:
        number = float(labels[key])
    except (KeyError, ValueError):
        return labels
    return {**labels, key: open_metrics_float(number)}
