"""Over runs: samples of some series within an hour, sorted by series and time.

A run is `ids` uint64[n_series], rising; `begins` int64[n_series + 1]; `ts` uint32[n], milliseconds since its hour
began, rising within a series; `v` float64[n]; `start` int64[n], or empty where none is known.
"""

import numpy as np

from gnomon_server.compiled import compiled


@compiled
def covers(have: np.ndarray, wanted: np.ndarray) -> bool:
    """Whether all wanted ids are there; both rise."""
    at = 0
    for one in wanted:
        while at < len(have) and have[at] < one:
            at += 1
        if at == len(have) or have[at] != one:
            return False
    return True


@compiled
def _place(ts: np.ndarray, begin: int, end: int, time: int) -> int:
    """Of the samples from `begin` up to `end` the first that is not before a time."""
    while begin < end:
        middle = (begin + end) // 2
        if ts[middle] < time:
            begin = middle + 1
        else:
            end = middle
    return begin


@compiled
def located(
    ids: np.ndarray, begins: np.ndarray, ts: np.ndarray, wanted: np.ndarray, low: int, high: int
) -> tuple[np.ndarray, np.ndarray]:
    """Where the samples of each wanted series stand that are from `low` up to, not including, `high`: int64[k] each."""
    first, end = np.zeros(len(wanted), np.int64), np.zeros(len(wanted), np.int64)
    at = 0
    for place in range(len(wanted)):
        while at < len(ids) and ids[at] < wanted[place]:
            at += 1
        if at < len(ids) and ids[at] == wanted[place]:
            first[place] = _place(ts, begins[at], begins[at + 1], low)
            end[place] = _place(ts, first[place], begins[at + 1], high)
    return first, end


@compiled
def copied(
    columns: tuple[np.ndarray, np.ndarray, np.ndarray],
    stretches: np.ndarray,
    base: int,
    reached: np.ndarray,
    into: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    """Copy what was located.

    Args:
        columns: `ts`, `v`, `start` of a run.
        stretches: int64[2, k], what `located` has found.
        base: when the hour began.
        reached: int64[k], where each series goes on; moved on.
        into: int64, float64 and int64; the last may be empty: then it is not wanted.
    """
    ts, v, start = columns
    into_ts, into_v, into_start = into
    for place in range(len(reached)):
        # Indices without a sign, a loop a column: so they become vector instructions, and take a third of the time.
        first, to = np.uint64(stretches[0, place]), np.uint64(reached[place])
        count = np.uint64(stretches[1, place]) - first
        for one in range(count):
            into_ts[to + one] = base + ts[first + one]
        for one in range(count):
            into_v[to + one] = v[first + one]
        if len(into_start):
            for one in range(count):
                into_start[to + one] = start[first + one] if len(start) else 0
        reached[place] += np.int64(count)


@compiled
def rising(begins: np.ndarray, ts: np.ndarray) -> bool:
    """Whether the times of each series rise, none of them twice."""
    for one in range(len(begins) - 1):
        rises = True
        for at in range(np.uint64(begins[one]) + np.uint64(1), np.uint64(begins[one + 1])):
            rises &= ts[at] > ts[at - np.uint64(1)]
        if not rises:
            return False
    return True


@compiled
def merged(
    ids: tuple[np.ndarray, np.ndarray],
    begins: tuple[np.ndarray, np.ndarray],
    ts: tuple[np.ndarray, np.ndarray],
    v: tuple[np.ndarray, np.ndarray],
    start: tuple[np.ndarray, np.ndarray],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Two runs as one: its ids, begins, ts, v and start. Of two samples of one time the larger stays."""
    most = len(ids[0]) + len(ids[1])
    length = len(ts[0]) + len(ts[1])
    told = len(start[0]) > 0 or len(start[1]) > 0
    new_ids, new_begins = np.empty(most, np.uint64), np.zeros(most + 1, np.int64)
    new_ts, new_v = np.empty(length, np.uint32), np.empty(length)
    new_start = np.empty(length if told else 0, np.int64)
    one, other, series, to = 0, 0, 0, 0
    while one < len(ids[0]) or other < len(ids[1]):
        mine = other == len(ids[1]) or (one < len(ids[0]) and ids[0][one] <= ids[1][other])
        its = one == len(ids[0]) or (other < len(ids[1]) and ids[1][other] <= ids[0][one])
        new_ids[series] = ids[0][one] if mine else ids[1][other]
        a, a_end = (begins[0][one], begins[0][one + 1]) if mine else (0, 0)
        b, b_end = (begins[1][other], begins[1][other + 1]) if its else (0, 0)
        while a < a_end or b < b_end:
            which = 0 if b == b_end or (a < a_end and ts[0][a] < ts[1][b]) else 1
            if a < a_end and b < b_end and ts[0][a] == ts[1][b]:
                # NaN counts as the largest, as where rows are sorted.
                if v[0][a] > v[1][b] or np.isnan(v[0][a]):
                    b += 1
                    which = 0
                else:
                    a += 1
            at = b if which else a
            new_ts[to], new_v[to] = ts[which][at], v[which][at]
            if told:
                new_start[to] = start[which][at] if len(start[which]) else 0
            to += 1
            a += 1 - which
            b += which
        one += mine
        other += its
        series += 1
        new_begins[series] = to
    return new_ids[:series], new_begins[: series + 1], new_ts[:to], new_v[:to], new_start[: to if told else 0]
