"""Numbers out of many, one at a time, in the order and to the digits of Prometheus (util/kahansum, functions.go)."""

import numpy as np

from gnomon_server.compiled import compiled


@compiled
def added(value: float, total: float, rest: float) -> tuple[float, float]:
    """One step of Neumaier's summation: new total, new compensation."""
    after = total + value
    if np.isinf(after):
        return after, 0.0
    if abs(total) >= abs(value):
        return after, rest + ((total - after) + value)
    return after, rest + ((value - after) + total)


@compiled
def summed(total: float, rest: float) -> float:
    """The end of a summation."""
    return total if np.isinf(total) else total + rest


@compiled
def compensated(values: np.ndarray, begins: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The sums of stretches of numbers, each from its first to its last.

    Args:
        values: float64[m].
        begins: int64[n + 1]: where the stretches begin, and where the last ends.

    Returns:
        The sums, float64[n]; what was lost in them by rounding and is to be added, float64[n]; whether they overflowed
        with a number after their first, bool[n].
    """
    number = len(begins) - 1
    total, rest, overflowed = np.zeros(number), np.zeros(number), np.zeros(number, np.bool_)
    for one in range(number):
        if begins[one] < begins[one + 1]:
            total[one] = values[begins[one]]
        for at in range(begins[one] + 1, begins[one + 1]):
            total[one], rest[one] = added(values[at], total[one], rest[one])
            overflowed[one] |= np.isinf(total[one])
    return total, rest, overflowed


@compiled
def averaged(value: float, count: float, total: float, rest: float, incremental: bool) -> tuple[float, float, bool]:
    """One more number of a mean, functions.go: funcAvgOverTime: the sum until it would overflow, then the mean itself.

    Args:
        value: the number.
        count: how many there are with it; 2 or more.
        total: the sum of those before, or their mean.
        rest: its compensation.
        incremental: whether it is the mean.
    """
    if not incremental:
        after, lost = added(value, total, rest)
        if not np.isinf(after):
            return after, lost, False
        total, rest = total / (count - 1), rest / (count - 1)
    share = (count - 1) / count
    total, rest = added(value / count, share * total, share * rest)
    return total, rest, True


@compiled
def mean(count: float, total: float, rest: float, incremental: bool) -> float:
    """The end of a mean."""
    return total + rest if incremental else total / count + rest / count


@compiled
def varied(
    value: float, count: float, average: float, average_rest: float, squares: float, squares_rest: float
) -> tuple[float, float, float, float]:
    """One more number of a variance, Welford's, compensated; `count` with it. The sum of squares is the result's."""
    delta = value - (average + average_rest)
    average, average_rest = added(delta / count, average, average_rest)
    squares, squares_rest = added(delta * (value - (average + average_rest)), squares, squares_rest)
    return average, average_rest, squares, squares_rest


@compiled
def quantile(numbers: np.ndarray, nans: int, q: float) -> float:
    """functions.go: quantile: NaN counts as the smallest. `numbers`, the others, are put in order."""
    count = len(numbers) + nans
    if count == 0 or np.isnan(q):
        return np.nan
    if q < 0:
        return -np.inf
    if q > 1:
        return np.inf
    numbers.sort()
    rank = q * (count - 1)
    lower = int(np.floor(rank))
    upper = min(lower + 1, count - 1)
    weight = rank - np.floor(rank)
    below = numbers[lower - nans] if lower >= nans else np.nan
    above = numbers[upper - nans] if upper >= nans else np.nan
    return below * (1 - weight) + above * weight  # type: ignore[no-any-return]
