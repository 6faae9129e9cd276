"""Over series and their groups, at every step: `sum`, `avg`, `stddev` and their like.

`values` float64[n_series, n_steps] and `there` bool[n_series, n_steps] are the samples that count, `of`
int64[n_series] the group of each series. Numbers are added in the order of the series; of a group without any the
result is zero.
"""

import numpy as np

from gnomon_server.compiled import compiled
from gnomon_server.query.promql.loops.numbers import added, averaged, mean, quantile, summed, varied


@compiled
def counts(there: np.ndarray, of: np.ndarray, groups: int) -> np.ndarray:
    """How many series of each group are there: int64[n_groups, n_steps]."""
    found = np.zeros((groups, there.shape[1]), np.int64)
    for one in range(there.shape[0]):
        for step in range(there.shape[1]):
            found[of[one], step] += there[one, step]
    return found


@compiled
def totals(values: np.ndarray, there: np.ndarray, of: np.ndarray, groups: int) -> np.ndarray:
    """The sums: float64[n_groups, n_steps]."""
    total, rest = np.zeros((groups, values.shape[1])), np.zeros((groups, values.shape[1]))
    for one in range(values.shape[0]):
        group = of[one]
        for step in range(values.shape[1]):
            if there[one, step]:
                total[group, step], rest[group, step] = added(values[one, step], total[group, step], rest[group, step])
    for group in range(groups):
        for step in range(values.shape[1]):
            total[group, step] = summed(total[group, step], rest[group, step])
    return total


@compiled
def means(values: np.ndarray, there: np.ndarray, of: np.ndarray, groups: int) -> np.ndarray:
    """The means: float64[n_groups, n_steps]."""
    shape = groups, values.shape[1]
    total, rest, count, incremental = np.zeros(shape), np.zeros(shape), np.zeros(shape), np.zeros(shape, np.bool_)
    for one in range(values.shape[0]):
        group = of[one]
        for step in range(values.shape[1]):
            if not there[one, step]:
                continue
            count[group, step] += 1
            if count[group, step] == 1:
                total[group, step] = values[one, step]
            else:
                total[group, step], rest[group, step], incremental[group, step] = averaged(
                    values[one, step],
                    count[group, step],
                    total[group, step],
                    rest[group, step],
                    incremental[group, step],
                )
    for group in range(groups):
        for step in range(values.shape[1]):
            if count[group, step]:
                total[group, step] = mean(
                    count[group, step], total[group, step], rest[group, step], incremental[group, step]
                )
    return total


@compiled
def variances(values: np.ndarray, there: np.ndarray, of: np.ndarray, groups: int) -> np.ndarray:
    """Welford's, compensated, as engine.go: aggregation: float64[n_groups, n_steps]."""
    shape = groups, values.shape[1]
    count, average, average_rest = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    squares, squares_rest = np.zeros(shape), np.zeros(shape)
    for one in range(values.shape[0]):
        group = of[one]
        for step in range(values.shape[1]):
            if not there[one, step]:
                continue
            count[group, step] += 1
            (average[group, step], average_rest[group, step], squares[group, step], squares_rest[group, step]) = varied(
                values[one, step], count[group, step], average[group, step], average_rest[group, step],
                squares[group, step], squares_rest[group, step],
            )  # fmt: skip
    for group in range(groups):
        for step in range(values.shape[1]):
            if count[group, step]:
                squares[group, step] = (squares[group, step] + squares_rest[group, step]) / count[group, step]
    return squares


@compiled
def extremes(values: np.ndarray, there: np.ndarray, of: np.ndarray, groups: int, sign: float) -> np.ndarray:
    """The largest; with -1 for `sign` the smallest. NaN is passed over where there is a number."""
    shape = groups, values.shape[1]
    found, some = np.zeros(shape), np.zeros(shape, np.bool_)
    for one in range(values.shape[0]):
        group = of[one]
        for step in range(values.shape[1]):
            if not there[one, step]:
                continue
            value, best = values[one, step], found[group, step]
            if not some[group, step] or sign * value > sign * best or np.isnan(best):
                found[group, step], some[group, step] = value, True
    return found


@compiled
def quantiles(
    values: np.ndarray, there: np.ndarray, order: np.ndarray, begins: np.ndarray, q: np.ndarray
) -> np.ndarray:
    """A quantile of each group, with float64[n_steps] for `q`: float64[n_groups, n_steps].

    `order` has the series group after group, int64[n_series], `begins` where each group begins, int64[n_groups + 1].
    """
    found, scratch = np.zeros((len(begins) - 1, values.shape[1])), np.empty(len(values))
    for group in range(len(begins) - 1):
        for step in range(values.shape[1]):
            count, nans = 0, 0
            for one in order[begins[group] : begins[group + 1]]:
                if there[one, step]:
                    if np.isnan(values[one, step]):
                        nans += 1
                    else:
                        scratch[count] = values[one, step]
                        count += 1
            if count + nans:
                found[group, step] = quantile(scratch[:count], nans, q[step])
    return found


@compiled
def ranks(values: np.ndarray, there: np.ndarray, order: np.ndarray, begins: np.ndarray, sign: float) -> np.ndarray:
    """The place of each sample among those of its group, the largest first: int64[n_series, n_steps].

    With -1 for `sign` the smallest, with 0 the first. Of equals the first, NaN last; what is not there has any place.
    `order` and `begins` as of `quantiles`.
    """
    found, scratch, who = np.zeros(values.shape, np.int64), np.empty(len(values)), np.empty(len(values), np.int64)
    for group in range(len(begins) - 1):
        members = order[begins[group] : begins[group + 1]]
        for step in range(values.shape[1]):
            count = 0
            for one in members:
                if there[one, step] and not (sign != 0 and np.isnan(values[one, step])):
                    scratch[count], who[count] = -sign * values[one, step] if sign != 0 else 0.0, one
                    count += 1
            by_value = np.argsort(scratch[:count], kind="mergesort")
            for place in range(count):
                found[who[by_value[place]], step] = place
            for one in members:
                if there[one, step] and sign != 0 and np.isnan(values[one, step]):
                    found[one, step] = count
                    count += 1
    return found
