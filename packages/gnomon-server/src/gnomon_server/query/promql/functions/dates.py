"""Functions that read a number as a time: `hour(v)` and their like, in UTC.

A value is seconds since the epoch, its fraction cut off. NaN and what no int64 can hold, where the result of Go's
conversion depends on the machine, have no date: NaN.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import numpy as np

from gnomon_server.query.promql.ast import Call
from gnomon_server.query.promql.context import Context
from gnomon_server.query.promql.functions.arguments import vector_of
from gnomon_server.query.promql.ranges import Function
from gnomon_server.query.promql.values import Value, Vector

_DAY_S, _HOUR_S, _MINUTE_S = 86_400, 3600, 60
_THURSDAY = 4  # the weekday of 1970-01-01, Sunday is 0
_EPOCH_YEAR = 1970
_INT64 = float(1 << 63)
Reading = Callable[[np.ndarray], np.ndarray]
"""int64 seconds to a number, of the same shape."""


def _hour(seconds: np.ndarray) -> np.ndarray:
    return seconds % _DAY_S // _HOUR_S


def _minute(seconds: np.ndarray) -> np.ndarray:
    return seconds % _HOUR_S // _MINUTE_S


def _day_of_week(seconds: np.ndarray) -> np.ndarray:
    return (seconds // _DAY_S + _THURSDAY) % 7


def _day_of_month(seconds: np.ndarray) -> np.ndarray:
    return _whole(_days(seconds) - _months(seconds).astype("M8[D]")) + 1


def _day_of_year(seconds: np.ndarray) -> np.ndarray:
    return _whole(_days(seconds) - _days(seconds).astype("M8[Y]").astype("M8[D]")) + 1


def _days_in_month(seconds: np.ndarray) -> np.ndarray:
    months = _months(seconds)
    return _whole((months + 1).astype("M8[D]") - months.astype("M8[D]"))


def _month(seconds: np.ndarray) -> np.ndarray:
    return _whole(_months(seconds)) % 12 + 1


def _year(seconds: np.ndarray) -> np.ndarray:
    return _whole(_days(seconds).astype("M8[Y]")) + _EPOCH_YEAR


def _days(seconds: np.ndarray) -> np.ndarray:
    return (seconds // _DAY_S).astype("M8[D]")


def _months(seconds: np.ndarray) -> np.ndarray:
    return _days(seconds).astype("M8[M]")


def _whole(units: np.ndarray) -> np.ndarray:
    return units.astype(np.int64)


def _read(reading: Reading, _: Call, args: list[Value], ctx: Context) -> Vector:
    if not args:  # the time of the step; Go's division of negative milliseconds cuts, too
        seconds = np.trunc(ctx.grid.times[None, :] / 1000).astype(np.int64)
        return Vector.of_floats([()], reading(seconds).astype(np.float64), np.ones(seconds.shape, np.bool_))
    vector = vector_of(args)
    dated = np.abs(vector.values) < _INT64
    seconds = np.where(dated, vector.values, 0.0).astype(np.int64)
    values = np.where(dated, reading(seconds), np.nan)
    return Vector.of_floats(vector.labels, values, vector.floats, np.ones(len(vector.labels), np.bool_))


FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {
        "day_of_month": partial(_read, _day_of_month),
        "day_of_week": partial(_read, _day_of_week),
        "day_of_year": partial(_read, _day_of_year),
        "days_in_month": partial(_read, _days_in_month),
        "hour": partial(_read, _hour),
        "minute": partial(_read, _minute),
        "month": partial(_read, _month),
        "year": partial(_read, _year),
    }
)
