"""Duration expressions: `[5m * 2]`, `offset (1h - step())`.

Source: Prometheus promql/durations.go. Values are seconds while they are computed, and milliseconds, cut towards 0,
when they are done.
"""

import math
from collections.abc import Callable

from gnomon_server.errors import InvalidInput
from gnomon_server.query.promql.ast import (
    Duration,
    DurationBinary,
    DurationCall,
    DurationExpr,
    DurationLiteral,
    DurationNegation,
    DurationParen,
)

MAX_SECONDS = 2**63 / 1e9  # Go's duration counts nanoseconds in 64 bits


class DurationError(ValueError):
    """A duration without a value: division by zero, out of range."""


def literal_seconds(expr: DurationExpr) -> float | None:
    """The seconds of what is one literal, in parentheses and with signs or without; None for anything else."""
    match expr:
        case DurationLiteral(seconds=seconds):
            return seconds
        case DurationParen(expr=inner):
            return literal_seconds(inner)
        case DurationNegation(expr=inner):
            positive = literal_seconds(inner)
            return None if positive is None else -positive
        case _:
            return None


def is_constant(expr: DurationExpr) -> bool:
    """Whether `expr` has the same value in every query."""
    match expr:
        case DurationCall(function=function, args=args):
            return function not in ("step", "range") and all(is_constant(arg) for arg in args)
        case DurationBinary(lhs=lhs, rhs=rhs):
            return is_constant(lhs) and is_constant(rhs)
        case DurationNegation(expr=inner) | DurationParen(expr=inner):
            return is_constant(inner)
        case _:
            return True


def fold(expr: DurationExpr) -> int | None:
    """Milliseconds of a constant expression; None where it is none, or has no value."""
    if not is_constant(expr):
        return None
    try:
        return to_ms(seconds(expr, 0.0, 0.0))
    except DurationError:
        return None


def resolve(duration: Duration, step_ms: int, range_ms: int) -> int:
    """Milliseconds of `duration` in a query of this step (0 for an instant) and range (end less start).

    Raises:
        InvalidInput: a range or a step that is not above 0, a division by zero, or out of range.
    """
    if duration.ms is not None:
        return duration.ms
    try:
        ms = to_ms(seconds(duration.expr, step_ms / 1000, range_ms / 1000))
    except DurationError as error:
        raise _refused(duration, str(error)) from None
    if ms <= 0 and not duration.is_offset:
        raise _refused(duration, "duration must be greater than 0")
    return ms


def seconds(expr: DurationExpr, step: float, extent: float) -> float:  # noqa: PLR0911 - one return a kind of node
    """The value of `expr`, all in seconds; `extent` is what `range()` gives.

    Raises:
        DurationError: it has none.
    """
    match expr:
        case DurationLiteral(seconds=value):
            return value
        case DurationParen(expr=inner):
            return seconds(inner, step, extent)
        case DurationNegation(expr=inner):
            return -seconds(inner, step, extent)
        case DurationBinary(op=op, lhs=lhs, rhs=rhs):
            return _OPERATIONS[op](seconds(lhs, step, extent), seconds(rhs, step, extent))
        case DurationCall(function="step"):
            return step
        case DurationCall(function="range"):
            return extent
        case DurationCall(function=function, args=args):
            values = [seconds(arg, step, extent) for arg in args]
            return min(values) if function == "min_of" else max(values)


def to_ms(value: float) -> int:
    """Seconds to milliseconds.

    Raises:
        DurationError: not a number, or more than Go's duration holds.
    """
    if not -MAX_SECONDS <= value <= MAX_SECONDS:
        message = "duration out of range"
        raise DurationError(message)
    # By way of nanoseconds, as in Prometheus: 4.35 s are 4349.999... ms in floating point.
    return int(math.copysign(abs(round(value * 1e9)) // 1_000_000, value))


def _divide(dividend: float, divisor: float) -> float:
    if divisor == 0:
        message = "division by zero"
        raise DurationError(message)
    return dividend / divisor


def _modulo(dividend: float, divisor: float) -> float:
    if divisor == 0 or math.isinf(dividend):
        message = "modulo by zero"
        raise DurationError(message)
    return math.fmod(dividend, divisor)


def _power(base: float, exponent: float) -> float:
    try:
        return math.pow(base, exponent)
    except (OverflowError, ValueError):
        message = "duration out of range"
        raise DurationError(message) from None


_OPERATIONS: dict[str, Callable[[float, float], float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": _divide,
    "%": _modulo,
    "^": _power,
}


def _refused(duration: Duration, what: str) -> InvalidInput:
    where = f"the duration at characters {duration.start + 1} to {duration.end}"
    return InvalidInput("promql_duration", what, where=where)
