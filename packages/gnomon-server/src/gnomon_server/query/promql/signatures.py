"""The functions of PromQL: the types they take and give. The evaluator holds a body for each name here.

Source: Prometheus promql/parser/functions.go; the experimental ones are behind its feature flag
`promql-experimental-functions`.
"""

from dataclasses import dataclass
from enum import StrEnum


class ValueType(StrEnum):
    """What an expression gives; the values are the names in Prometheus' JSON."""

    SCALAR = "scalar"
    VECTOR = "vector"
    MATRIX = "matrix"
    STRING = "string"


# As Prometheus' messages and documentation name them.
DOCUMENTED = {
    ValueType.SCALAR: "scalar",
    ValueType.VECTOR: "instant vector",
    ValueType.MATRIX: "range vector",
    ValueType.STRING: "string",
}


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function takes.

    Args:
        args: the types in order; arguments beyond them are of the last one.
        returns: the type of the answer.
        variadic: 0 for exactly `args`; n > 0 for at least one less than `args` and at most n - 1 more than that many;
            -1 for at least one less, without an upper limit.
        experimental: behind the flag.
    """

    args: tuple[ValueType, ...]
    returns: ValueType = ValueType.VECTOR
    variadic: int = 0
    experimental: bool = False


_S, _V, _M, _T = ValueType.SCALAR, ValueType.VECTOR, ValueType.MATRIX, ValueType.STRING

_OF_A_VECTOR = (
    "abs absent acos acosh asin asinh atan atanh ceil cos cosh deg exp floor histogram_avg histogram_count "
    "histogram_stddev histogram_stdvar histogram_sum ln log10 log2 rad sgn sin sinh sort sort_desc sqrt tan tanh "
    "timestamp"
)
_OF_A_RANGE = (
    "absent_over_time avg_over_time changes count_over_time delta deriv idelta increase irate last_over_time "
    "max_over_time min_over_time present_over_time rate resets stddev_over_time stdvar_over_time sum_over_time"
)
_EXPERIMENTAL_OF_A_RANGE = (
    "first_over_time mad_over_time ts_of_first_over_time ts_of_last_over_time ts_of_max_over_time ts_of_min_over_time"
)
_OF_A_TIME = "day_of_month day_of_week day_of_year days_in_month hour minute month year"

FUNCTIONS: dict[str, Signature] = {
    **dict.fromkeys(_OF_A_VECTOR.split(), Signature((_V,))),
    **dict.fromkeys(_OF_A_RANGE.split(), Signature((_M,))),
    **dict.fromkeys(_EXPERIMENTAL_OF_A_RANGE.split(), Signature((_M,), experimental=True)),
    **dict.fromkeys(_OF_A_TIME.split(), Signature((_V,), variadic=1)),
    **dict.fromkeys(("pi", "time"), Signature((), _S)),
    **dict.fromkeys(("start", "end", "step", "range"), Signature((), _S, experimental=True)),
    **dict.fromkeys(("max_of", "min_of"), Signature((_S, _S), _S, experimental=True)),
    **dict.fromkeys(("clamp_max", "clamp_min"), Signature((_V, _S))),
    **dict.fromkeys(("sort_by_label", "sort_by_label_desc"), Signature((_V, _T), variadic=-1, experimental=True)),
    "clamp": Signature((_V, _S, _S)),
    "double_exponential_smoothing": Signature((_M, _S, _S), experimental=True),
    "histogram_fraction": Signature((_S, _S, _V)),
    "histogram_quantile": Signature((_S, _V)),
    "histogram_quantiles": Signature((_V, _T, _S, _S), variadic=9, experimental=True),
    "info": Signature((_V, _V), variadic=1, experimental=True),
    "label_join": Signature((_V, _T, _T, _T), variadic=-1),
    "label_replace": Signature((_V, _T, _T, _T, _T)),
    "predict_linear": Signature((_M, _S)),
    "quantile_over_time": Signature((_S, _M)),
    "round": Signature((_V, _S), variadic=1),
    "scalar": Signature((_V,), _S),
    "start_timestamp": Signature((_V,), experimental=True),
    "vector": Signature((_S,)),
}
