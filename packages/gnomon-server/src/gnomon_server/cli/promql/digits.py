"""Numbers for people: few digits, one column. What is exact stands in `--format json` and `csv`."""

import math
from collections.abc import Sequence

_DIGITS = 6
_LARGEST_PLAIN, _SMALLEST_PLAIN = 1e15, 1e-4


def shown(value: float) -> str:
    """Whole numbers as they are, all others to six digits: `1,234,567`, `0.333333`, `1.5e+20`, `+Inf`."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    size = abs(value)
    if size >= _LARGEST_PLAIN or 0 < size < _SMALLEST_PLAIN:
        return f"{value:.{_DIGITS}g}"
    if value == round(value):
        return f"{value:,.0f}"
    before = len(str(int(size))) if size >= 1 else math.floor(math.log10(size)) + 1
    text = f"{value:,.{max(_DIGITS - before, 0)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def column(values: Sequence[float]) -> list[str]:
    """Each of `values`, point below point and all of one width."""
    texts = [shown(value) for value in values]
    ends = [_before_the_point(text) for text in texts]
    left = max(ends, default=0)
    padded = [" " * (left - end) + text for text, end in zip(texts, ends, strict=True)]
    width = max(map(len, padded), default=0)
    return [text.ljust(width) for text in padded]


def _before_the_point(text: str) -> int:
    return next((place for place, letter in enumerate(text) if letter in ".e"), len(text))
