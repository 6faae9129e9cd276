"""Two answers to a query of PromQL: the same, or what differs."""

import math
import re
from itertools import zip_longest

from tests.promqltest.answers import Failure, Reply, Result

RELATIVE, ABSOLUTE = 1e-9, 1e-12


def difference(ours: Reply, theirs: Reply, text: str) -> str:
    """The first difference of two answers to a query, or nothing."""
    if isinstance(ours, Failure) and ours.unexpected:
        return f"we failed: {ours.message}"
    if isinstance(ours, Failure) or isinstance(theirs, Failure):
        alike = isinstance(ours, Failure) and isinstance(theirs, Failure)
        return "" if alike else f"we: {_brief(ours)}, they: {_brief(theirs)}"
    if ours.kind != theirs.kind:
        return f"we answer a {ours.kind}, they a {theirs.kind}"
    if ours.kind == "scalar":
        return "" if near(ours.scalar, theirs.scalar) else f"we: {ours.scalar}, they: {theirs.scalar}"
    if re.match(r"(topk|bottomk)\b", text):
        return _by_values(ours, theirs)
    ordered = re.match(r"sort(_desc)?\(", text) and ours.kind == "vector"
    return (_by_order(ours, theirs) if ordered else "") or _by_labels(ours, theirs)


def near(one: float, other: float) -> bool:
    """The same but for rounding."""
    return (math.isnan(one) and math.isnan(other)) or math.isclose(one, other, rel_tol=RELATIVE, abs_tol=ABSOLUTE)


def _by_labels(ours: Result, theirs: Result) -> str:
    mine = {one.labels: dict(one.floats) for one in ours.series}
    other = {one.labels: dict(one.floats) for one in theirs.series}
    if len(mine) != len(ours.series):
        return "we answer a series twice"
    for labels in sorted({*mine, *other}):
        one, two = mine.get(labels, {}), other.get(labels, {})
        for time in sorted({*one, *two}):
            if time not in one or time not in two or not near(one[time], two[time]):
                return f"{dict(labels)} at {time}: we {one.get(time)}, they {two.get(time)}"
    return ""


def _by_values(ours: Result, theirs: Result) -> str:
    """Of each time the values, whoever has them."""
    mine, other = _values(ours), _values(theirs)
    for time in sorted({*mine, *other}):
        pairs = zip_longest(mine.get(time, []), other.get(time, []))
        if any(one is None or two is None or not near(one, two) for one, two in pairs):
            return f"at {time}: we {mine.get(time)}, they {other.get(time)}"
    return ""


def _values(result: Result) -> dict[int, list[float]]:
    found: dict[int, list[float]] = {}
    for one in result.series:
        for time, value in one.floats:
            found.setdefault(time, []).append(value)
    return {time: sorted(values, key=lambda value: (math.isnan(value), value)) for time, values in found.items()}


def _by_order(ours: Result, theirs: Result) -> str:
    mine, other = ([one.floats[0][1] for one in result.series] for result in (ours, theirs))
    alike = len(mine) == len(other) and all(near(*both) for both in zip(mine, other, strict=True))
    return "" if alike else f"in order: we {mine}, they {other}"


def _brief(reply: Reply) -> str:
    return f"error {reply.message!r}" if isinstance(reply, Failure) else f"{reply.kind} of {len(reply.series)} series"
