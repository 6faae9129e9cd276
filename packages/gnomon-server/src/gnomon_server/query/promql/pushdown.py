"""Leaves that ClickHouse evaluates itself: a range function over a selector, or a selector, an aggregate a series.

Its kernels `timeSeries...ToGrid` give an array with a place for each step. Which are exactly what Prometheus computes
is shown by tests/properties/test_promql_pushdown.py, against the evaluation in NumPy; these are not, and stay here:

- `sum_over_time`, `avg_over_time`: added plainly, not compensated (`loops.windows.totals`);
- `changes`: compares bits, so that 0 and -0 differ;
- `stddev_over_time`, `stdvar_over_time`, `quantile_over_time`, `mad_over_time`, `double_exponential_smoothing`,
  `absent_over_time`, `first_over_time`, `ts_of_first_over_time`, `ts_of_last_over_time`: there is no kernel;
- `predict_linear`: its kernel takes one distance, ours may change by step;
- anything with `@`, `anchored`, `smoothed`, over a subquery, or of native histograms.

A kernel takes stale markers for values: range functions get them filtered out; of a selector they come back as they
are, bits and all. Evaluated here are also series whose start times may tell of a reset, what stands in `_DOUBTFUL`, and
what `loops.windows.tied` finds, which is looked for in one series of all that have the same times, as a target's have.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pyarrow as pa

from gnomon_server.model.series import STALE_BITS
from gnomon_server.query.promql.ast import Call, MatrixSelector, VectorSelector
from gnomon_server.query.promql.times import looked_at, span_ms
from gnomon_server.query.promql.values import Grid

KERNELS: Mapping[str, str] = MappingProxyType(
    {
        "rate": "timeSeriesRateToGrid",
        "increase": "timeSeriesIncreaseToGrid",
        "delta": "timeSeriesDeltaToGrid",
        "irate": "timeSeriesInstantRateToGrid",
        "idelta": "timeSeriesInstantDeltaToGrid",
        "deriv": "timeSeriesDerivToGrid",
        "resets": "timeSeriesResetsToGrid",
        "last_over_time": "timeSeriesLastToGrid",
        "min_over_time": "timeSeriesMinToGrid",
        "max_over_time": "timeSeriesMaxToGrid",
        "count_over_time": "timeSeriesCountToGrid",
        "ts_of_max_over_time": "timeSeriesTimestampOfMaxToGrid",
        "ts_of_min_over_time": "timeSeriesTimestampOfMinToGrid",
    }
)
"""By function."""
SELECTOR = "timeSeriesLastToGrid"
_DOUBTFUL: Mapping[str, str] = MappingProxyType(
    {
        # Resets that have left the window are subtracted again: exact for whole numbers, of others something is left.
        "rate": "max((v != floor(v)) OR abs(v) > 1e12)",
        "increase": "max((v != floor(v)) OR abs(v) > 1e12)",
        # Infinity minus infinity: the kernel is undone by one infinite value, Prometheus only at that place.
        "delta": "max(isInfinite(v))",
        # Multiplied by 1000 before it is divided.
        "irate": "max(NOT abs(v) < 1e300)",
    }
)
"""Which series a kernel may get wrong."""
_EXTRAPOLATED = frozenset({"rate", "increase", "delta"})
SETTINGS = {"allow_experimental_ts_to_grid_aggregate_function": 1}


@dataclass(frozen=True, slots=True)
class Pushed:
    """A leaf as a kernel's call.

    Attributes:
        function: the function, or "" for a selector.
        grid: the times that are looked at.
        window_ms: how far back each looks.
    """

    function: str
    grid: Grid
    window_ms: int

    @property
    def columns(self) -> str:
        """What is selected of each series: the array `g`, whether it is to be trusted, what its times come to."""
        step, window = (f"toDecimal64('{ms / 1000:.3f}', 3)" for ms in (self.grid.step_ms or 1000, self.window_ms))
        edges = ", ".join(f"fromUnixTimestamp64Milli({ms}, 'UTC')" for ms in (self.grid.start_ms, self.grid.end_ms))
        kernel = KERNELS[self.function] if self.function else SELECTOR
        doubtful = _DOUBTFUL.get(self.function, "0")
        times = ", cityHash64(count(), groupBitXor(cityHash64(ts))) AS times" if self.may_tie else ""
        return f"{kernel}({edges}, {step}, {window})(ts, v) AS g, {doubtful} AS doubtful{times}"

    @property
    def may_tie(self) -> bool:
        """Whether times alone may make it wrong."""
        return self.function in _EXTRAPOLATED

    @property
    def windows(self) -> tuple[np.ndarray, np.ndarray]:
        """Where they begin and end: int64[n_steps] each."""
        return self.grid.times - self.window_ms, self.grid.times

    @property
    def condition(self) -> str:
        """Which samples the kernel sees."""
        return f"reinterpretAsUInt64(v) != {STALE_BITS}" if self.function else "1"

    def read(self, arrays: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
        """Values float64[n_series, n_steps] and where there is one, of the kernel's arrays."""
        lists = arrays.combine_chunks()
        flat = (pa.concat_arrays(lists.chunks) if isinstance(lists, pa.ChunkedArray) else lists).flatten()
        shape = len(arrays), self.grid.steps
        present = np.asarray(flat.is_valid()).reshape(shape)
        values = flat.cast(pa.float64()).fill_null(0.0).to_numpy(zero_copy_only=False).reshape(shape)
        if not self.function:
            present = present & (values.view(np.uint64) != STALE_BITS)
        return values, present


def pushed_call(call: Call, grid: Grid, query: Grid) -> Pushed | None:
    """A function over a selector, if a kernel is right for it."""
    over = call.args[0] if len(call.args) == 1 else None
    if call.function not in KERNELS or not isinstance(over, MatrixSelector) or not _plain(over.selector):
        return None
    return Pushed(call.function, _shifted(over.selector, grid, query), span_ms(over.range, query))


def pushed_selector(node: VectorSelector, grid: Grid, query: Grid, lookback_ms: int) -> Pushed | None:
    """A selector, if a kernel is right for it."""
    return Pushed("", _shifted(node, grid, query), lookback_ms) if _plain(node) else None


def _plain(selector: VectorSelector) -> bool:
    return selector.at is None and not selector.anchored and not selector.smoothed


def _shifted(selector: VectorSelector, grid: Grid, query: Grid) -> Grid:
    times = looked_at(selector, grid, query)
    return Grid(int(times[0]), int(times[-1]), grid.step_ms)
