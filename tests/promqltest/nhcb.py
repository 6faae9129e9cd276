"""`load_with_nhcb`: classic histograms once more, as native ones with custom buckets.

Source: Prometheus, util/convertnhcb/convertnhcb.go and promql/promqltest/test.go (appendCustomHistogram).
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tests.promqltest.histogram import CUSTOM_SCHEMA, Histogram
from tests.promqltest.series import Labels, Value, number

_SUFFIXES = ("_bucket", "_count", "_sum")


@dataclass(slots=True)
class _Classic:
    """One classic histogram at one time."""

    buckets: dict[float, float] = field(default_factory=dict)
    count: float | None = None
    sum: float = 0.0

    def native(self) -> Histogram:
        """As a native one. Raises ValueError where the parts contradict each other."""
        bounds = sorted(self.buckets)
        if self.count is None and not bounds:
            raise ValueError("a count must be given where there are no buckets")
        count = self.buckets[bounds[-1]] if self.count is None else self.count
        edges = bounds if bounds and bounds[-1] == math.inf else [*bounds, math.inf]
        totals = [self.buckets.get(edge, count) for edge in edges]
        counts = [total - before for total, before in zip(totals, [0.0, *totals], strict=False)]
        if min(counts) < 0:
            raise ValueError(f"the buckets are not cumulative: {self.buckets}")
        if totals[-1] != count:
            raise ValueError(f"{count} observations are counted, {totals[-1]} stand in the buckets")
        filled = {place: held for place, held in enumerate(counts) if held}
        return Histogram(CUSTOM_SCHEMA, count, self.sum, positive=filled, bounds=tuple(edges[:-1]))


def custom_histograms(
    series: Mapping[Labels, Iterable[tuple[int, Value, int]]],
) -> dict[Labels, list[tuple[int, Value]]]:
    """The native histograms that the classic series among these make, with their times, in rising order."""
    found: dict[Labels, dict[int, _Classic]] = {}
    for labels, points in series.items():
        said = dict(labels)
        name = said.get("__name__", "")
        suffix = next((suffix for suffix in _SUFFIXES if name.endswith(suffix)), "")
        bound = _bound(said) if suffix == "_bucket" else math.nan
        if not suffix or (suffix == "_bucket" and math.isnan(bound)):
            continue
        said["__name__"] = name.removesuffix(suffix)
        said.pop("le", None)
        histograms = found.setdefault(tuple(sorted(said.items())), {})
        for at, value, _ in points:
            if isinstance(value, float):
                _put(histograms.setdefault(at, _Classic()), suffix, bound, value)
    return {
        labels: [(at, histograms[at].native()) for at in sorted(histograms)] for labels, histograms in found.items()
    }


def _put(classic: _Classic, suffix: str, bound: float, value: float) -> None:
    if suffix == "_bucket":
        classic.buckets.setdefault(bound, value)
    elif suffix == "_count":
        classic.count = value
    else:
        classic.sum = value


def _bound(labels: Mapping[str, str]) -> float:
    try:
        return number(labels["le"])
    except ValueError:
        return math.nan
