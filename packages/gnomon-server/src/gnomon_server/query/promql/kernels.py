"""Numbers out of many, exact to the last digits: sums, means, variances, quantiles of the rows of a matrix.

A row is what lies in a window, or in a group at a step: `positions` int64[k, longest] say where its numbers stand in
a flat array, `inside` bool[k, longest] which of these positions count. The order of additions is Prometheus' own
(promql/functions.go, util/kahansum), so that equal inputs give equal answers.
"""

import numpy as np

# A sum that lost more than four digits to cancellation is added again, compensated.
_CANCELLATION = 1e4


def inexact(total: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Which plain sums are not to be trusted; `weight` is the sum of what was added without its signs."""
    with np.errstate(over="ignore", invalid="ignore"):
        good = ((weight <= np.abs(total) * _CANCELLATION) | (weight == 0)) & np.isfinite(weight)
    doubtful: np.ndarray = ~good
    return doubtful


def inc(value: np.ndarray, total: np.ndarray, rest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One step of Neumaier's summation (util/kahansum): new total, new compensation."""
    after = total + value
    infinite = np.isinf(after)
    lost = np.where(np.abs(total) >= np.abs(value), (total - after) + value, (value - after) + total)
    return after, np.where(infinite, 0.0, rest + lost)


def compensated_sum(v: np.ndarray, positions: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """The sum of each row."""
    total, rest = np.zeros(len(positions)), np.zeros(len(positions))
    for column in range(positions.shape[1]):
        after, lost = inc(v[positions[:, column]], total, rest)
        here = inside[:, column]
        total, rest = np.where(here, after, total), np.where(here, lost, rest)
    return np.where(np.isinf(total), total, total + rest)


def compensated_mean(v: np.ndarray, positions: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """functions.go: funcAvgOverTime: the direct mean until its sum would overflow, from there the incremental one."""
    total, rest = v[positions[:, 0]].copy(), np.zeros(len(positions))
    overflown = np.zeros(len(positions), np.bool_)
    for column in range(1, positions.shape[1]):
        here, value, count = inside[:, column], v[positions[:, column]], column + 1.0
        after, lost = inc(value, total, rest)
        begins = here & ~overflown & np.isinf(after)
        total, rest = np.where(begins, total / (count - 1), total), np.where(begins, rest / (count - 1), rest)
        overflown |= begins
        share = (count - 1) / count
        mean, mean_rest = inc(value / count, share * total, share * rest)
        total = np.where(here, np.where(overflown, mean, after), total)
        rest = np.where(here, np.where(overflown, mean_rest, lost), rest)
    counts = np.where(overflown, 1.0, np.maximum(inside.sum(axis=1), 1))
    result: np.ndarray = total / counts + rest / counts
    return result


def variance(v: np.ndarray, positions: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Welford's, compensated, as functions.go: varianceOverTime."""
    mean, mean_rest, squares, squares_rest = (np.zeros(len(positions)) for _ in range(4))
    for column in range(positions.shape[1]):
        here, value = inside[:, column], v[positions[:, column]]
        delta = value - (mean + mean_rest)
        new_mean, new_mean_rest = inc(delta / (column + 1), mean, mean_rest)
        new_squares, new_squares_rest = inc(delta * (value - (new_mean + new_mean_rest)), squares, squares_rest)
        mean, mean_rest = np.where(here, new_mean, mean), np.where(here, new_mean_rest, mean_rest)
        squares, squares_rest = np.where(here, new_squares, squares), np.where(here, new_squares_rest, squares_rest)
    spread: np.ndarray = (squares + squares_rest) / np.maximum(inside.sum(axis=1), 1)
    return spread


def quantiles(matrix: np.ndarray, inside: np.ndarray, q: np.ndarray) -> np.ndarray:
    """A quantile of each row, as functions.go: quantile: NaN counts as the smallest.

    Args:
        matrix: float64[k, longest].
        inside: bool[k, longest]: what belongs to the row.
        q: float64[k].
    """
    counts = inside.sum(axis=1)
    ordered = np.sort(np.where(inside, matrix, np.nan), axis=1)
    numbers = counts - (np.isnan(matrix) & inside).sum(axis=1)
    rank = np.where(np.isfinite(q), np.clip(q, 0, 1), 0.0) * (counts - 1)
    lower = np.maximum(np.floor(rank), 0).astype(np.int64)
    upper = np.minimum(lower + 1, np.maximum(counts - 1, 0))

    def ranked(position: np.ndarray) -> np.ndarray:
        place = position - (counts - numbers)
        rows = np.arange(len(ordered))
        return np.where(place < 0, np.nan, ordered[rows, np.clip(place, 0, ordered.shape[1] - 1)])

    weight = rank - np.floor(rank)
    result = ranked(lower) * (1 - weight) + ranked(upper) * weight
    result = np.where(q < 0, -np.inf, np.where(q > 1, np.inf, result))
    return np.where(np.isnan(q) | (counts == 0), np.nan, result)
