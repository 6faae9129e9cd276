"""Aggregation operators: over the series of each group, at every step.

https://github.com/prometheus/prometheus/blob/main/promql/engine.go: aggregation, aggregationK, aggregationCountValues.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import numpy as np
import xxhash

from gnomon_server.errors import Internal
from gnomon_server.query.promql.ast import Aggregate
from gnomon_server.query.promql.context import Context, Loop, by_steps, refused
from gnomon_server.query.promql.go_text import general, plain, quoted
from gnomon_server.query.promql.histograms import aggregates
from gnomon_server.query.promql.histograms.block import begins_of
from gnomon_server.query.promql.labels import all_but, grouped, merged, only, replaced
from gnomon_server.query.promql.loops import groups as loops
from gnomon_server.query.promql.values import NAME, Labels, Scalar, String, Value, Vector

_INT64 = float(1 << 63)
_SORTING = 10  # as much work as adding


@dataclass(frozen=True, slots=True)
class Groups:
    """The series of a vector by their groups.

    Attributes:
        vector: the series.
        of: int64[n_series]: the group of each.
        keys: the groups' labels.
    """

    vector: Vector
    of: np.ndarray
    keys: list[Labels]

    @property
    def members(self) -> tuple[np.ndarray, np.ndarray]:
        """The series, group after group, int64[n_series], and where each group begins, int64[n_groups + 1]."""
        return np.argsort(self.of, kind="stable"), begins_of(np.bincount(self.of, minlength=len(self.keys)))

    def counts(self, there: np.ndarray) -> np.ndarray:
        """How many series of each are there: int64[n_groups, n_steps]."""
        found: np.ndarray = loops.counts(there, self.of, len(self.keys))
        return found


def evaluated(node: Aggregate, value: Value, param: Value | None, ctx: Context) -> Vector:
    """The value of an aggregation.

    Raises:
        InvalidInput: a parameter that cannot be.
    """
    if not isinstance(value, Vector):
        raise Internal("promql_types", f"{node.op} of a {type(value).__name__} was let through")
    vector = value.kept()
    if node.op == "count_values":
        return _count_values(node, vector, param, ctx)
    number = param.values if isinstance(param, Scalar) else np.zeros(ctx.grid.steps)
    _judge(node, number, ctx)
    if not len(vector.labels):
        return Vector.empty(ctx.grid.steps)
    key = all_but({*node.grouping, NAME}) if node.without else only(node.grouping)
    groups = Groups(vector, *grouped(vector.labels, key))
    if node.op in _PICKS:
        return _picked(node, groups, number, ctx)
    return _OPERATORS[node.op](node, groups, number, ctx)


def _judge(node: Aggregate, number: np.ndarray, ctx: Context) -> None:
    """Complain of a parameter, or refuse it, in Prometheus' words."""
    if node.param is None:
        return
    nan = np.isnan(number).any()
    low, high = float(np.nanmin(number, initial=0)), float(np.nanmax(number, initial=0))
    if node.op == "quantile":
        wrong = dict.fromkeys(general(one) for one in (low, high, np.nan if nan else 0.0) if not 0 <= one <= 1)
        for text in wrong:
            ctx.notes.warn(f"quantile value should be between 0 and 1, got {text}", node.param)
        return
    if nan:
        name = "Ratio" if node.op == "limit_ratio" else "Parameter"
        raise refused(f"{name} value is NaN", node, ctx.notes.text)
    if node.op == "limit_ratio":
        for cap, found in ((-1, low), (1, high)):
            if abs(found) > 1:
                said = f"ratio value should be between -1 and 1, got {general(found)}, capping to {cap}"
                ctx.notes.warn(said, node.param)
    elif max(-low, high) >= _INT64:
        side, found = ("underflows", low) if -low >= _INT64 else ("overflows", high)
        raise refused(f"Scalar value {general(found)} {side} int64", node, ctx.notes.text)


# Numbers --------------------------------------------------------------------------------------------------------------


def _of_groups(groups: Groups, values: np.ndarray, present: np.ndarray) -> Vector:
    nameless = np.bincount(groups.of, groups.vector.nameless, len(groups.keys)) > 0
    return Vector.of_floats(groups.keys, values, present, nameless)


def _floats_only(node: Aggregate, groups: Groups, ctx: Context) -> np.ndarray:
    """Where floats stand; that histograms are passed over is said."""
    if groups.vector.histogram_there.any():
        ctx.notes.inform(f"ignored histogram in {node.op} aggregation", node if node.op in _PICKS else node.expr)
    return groups.vector.floats


def _total(node: Aggregate, groups: Groups, _: np.ndarray, ctx: Context) -> Vector:
    """`sum` and `avg`."""
    floats, vector = groups.vector.floats, groups.vector
    add = loops.means if node.op == "avg" else loops.totals
    result = add(vector.values, floats, groups.of, len(groups.keys))
    answer = _of_groups(groups, result, groups.counts(floats) > 0)
    if not vector.histogram_there.any():
        return answer
    return aggregates.joined_in(node, groups.of, vector, answer, ctx)


def _counted(_: Aggregate, groups: Groups, __: np.ndarray, ___: Context) -> Vector:
    counts = groups.counts(groups.vector.present)
    return _of_groups(groups, counts.astype(np.float64), counts > 0)


def _group(_: Aggregate, groups: Groups, __: np.ndarray, ___: Context) -> Vector:
    counts = groups.counts(groups.vector.present)
    return _of_groups(groups, np.ones(counts.shape), counts > 0)


def _sorted(groups: Groups, there: np.ndarray, ctx: Context, loop: Loop) -> np.ndarray:
    """What a loop makes of the series that sorts them at each step."""
    values = groups.vector.values
    return by_steps(ctx, (values, there), values.size * _SORTING, loop)


def _extreme(sign: float, node: Aggregate, groups: Groups, _: np.ndarray, ctx: Context) -> Vector:
    floats = _floats_only(node, groups, ctx)
    values = loops.extremes(groups.vector.values, floats, groups.of, len(groups.keys), sign)
    return _of_groups(groups, values, groups.counts(floats) > 0)


def _spread(node: Aggregate, groups: Groups, _: np.ndarray, ctx: Context) -> Vector:
    """`stdvar` and `stddev`."""
    floats = _floats_only(node, groups, ctx)
    values = loops.variances(groups.vector.values, floats, groups.of, len(groups.keys))
    return _of_groups(groups, np.sqrt(values) if node.op == "stddev" else values, groups.counts(floats) > 0)


def _quantile(node: Aggregate, groups: Groups, q: np.ndarray, ctx: Context) -> Vector:
    floats = _floats_only(node, groups, ctx)
    values = _sorted(
        groups, floats, ctx, lambda cells, there, at: loops.quantiles(cells, there, *groups.members, q[at])
    )
    return _of_groups(groups, values, groups.counts(floats) > 0)


_Operator = Callable[[Aggregate, Groups, np.ndarray, Context], Vector]
_OPERATORS: Mapping[str, _Operator] = MappingProxyType(
    {
        "sum": _total,
        "avg": _total,
        "count": _counted,
        "group": _group,
        "min": partial(_extreme, -1.0),
        "max": partial(_extreme, 1.0),
        "stdvar": _spread,
        "stddev": _spread,
        "quantile": _quantile,
    }
)

# Some of the series ---------------------------------------------------------------------------------------------------


def _picked(node: Aggregate, groups: Groups, number: np.ndarray, ctx: Context) -> Vector:
    vector = groups.vector
    if node.op == "limit_ratio":
        return _kept(vector, vector.present & _sampled(vector, number))
    floats = _floats_only(node, groups, ctx) if node.op in ("topk", "bottomk") else vector.present
    members, sign = groups.members, _BY_VALUE[node.op]
    rank = _sorted(groups, floats, ctx, lambda cells, there, _: loops.ranks(cells, there, *members, sign))
    keep = floats & (rank < number.astype(np.int64)[None, :])
    if ctx.grid.steps > 1 or node.op == "limitk":
        return _kept(vector, keep)
    # Of an instant query the order is part of the answer: group after group, the first first.
    chosen = np.flatnonzero(keep[:, 0])
    ordered = chosen[np.lexsort((rank[chosen, 0], groups.of[chosen]))]
    found = vector.where(keep).take(ordered)
    return Vector(found.labels, found.values, found.present, found.rows, found.histograms, found.nameless, ordered=True)


def _kept(vector: Vector, keep: np.ndarray) -> Vector:
    return vector.where(keep).kept()


def _sampled(vector: Vector, ratio: np.ndarray) -> np.ndarray:
    """Which series a ratio takes: by the hash of their labels, so that r and r - 1 share none and miss none."""
    text = ("\xff".join(f"{name}\xff{value}" for name, value in labels) + "\xff" for labels in vector.labels)
    hashes = (xxhash.xxh64_intdigest(one.encode("latin-1", "replace")) for one in text)
    offset = np.fromiter(hashes, np.uint64, len(vector.labels)).astype(np.float64)[:, None] / float(1 << 64)
    limit = np.clip(ratio, -1, 1)[None, :]
    taken: np.ndarray = np.where(limit >= 0, offset < limit, offset >= 1 + limit)
    return taken


_PICKS = frozenset({"topk", "bottomk", "limitk", "limit_ratio"})
_BY_VALUE = MappingProxyType({"topk": 1.0, "bottomk": -1.0, "limitk": 0.0})

# Values as labels -----------------------------------------------------------------------------------------------------


def _count_values(node: Aggregate, vector: Vector, param: Value | None, ctx: Context) -> Vector:
    label = param.text if isinstance(param, String) else ""
    if not label or any("\ud800" <= character <= "\udfff" for character in label):
        raise refused(f"invalid label name {quoted(label)}", node, ctx.notes.text)
    series, step = np.nonzero(vector.present)
    if not len(series):
        return Vector.empty(ctx.grid.steps)
    # Per distinct value of a series, not per sample.
    texts, which = _texts(vector, series, step)
    pairs, pair = np.unique(np.column_stack([series, which]), axis=0, return_inverse=True)
    key = all_but({*node.grouping, NAME}) if node.without else only(node.grouping)
    labels = [replaced(vector.labels[one], label, texts[text]) for one, text in pairs.tolist()]
    # The label that holds the value is always among those grouped by.
    group, keys = grouped(labels, lambda one: replaced(key(one), label, dict(one)[label]))
    counts = np.zeros((len(keys), ctx.grid.steps))
    np.add.at(counts, (group[pair.ravel()], step), 1.0)
    return merged(Vector.of_floats(keys, counts, counts > 0), keys)


def _texts(vector: Vector, series: np.ndarray, step: np.ndarray) -> tuple[list[str], np.ndarray]:
    """The distinct samples as texts, and which of them each sample is."""
    values = vector.values[series, step]
    values = np.where(np.isnan(values), np.nan, values)  # one NaN is like another
    bits, which = np.unique(values.view(np.uint64), return_inverse=True)
    texts = [plain(value) for value in bits.view(np.float64).tolist()]
    if vector.rows is None or not vector.histogram_there.any():
        return texts, which
    native = vector.histogram_there[series, step]
    histogram_texts, histogram_which = aggregates.texts(vector, series[native], step[native])
    which[native] = len(texts) + histogram_which
    return [*texts, *histogram_texts], which
