"""`info(v, {data="label"})`: the labels of info series, such as `target_info`, on the series of the same target.

As promql/info.go: series belong together by the labels `instance` and `job`; of several info series of one name and
target the one with the newest sample counts.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gnomon_server.errors import InvalidInput
from gnomon_server.model.series import STALE_BITS
from gnomon_server.query.promql.ast import Call
from gnomon_server.query.promql.context import Context, refused
from gnomon_server.query.promql.functions.arguments import vector_of
from gnomon_server.query.promql.functions.info_selection import given_matchers, name_matchers, reference_times
from gnomon_server.query.promql.labels import METADATA, merged, name_of, shown
from gnomon_server.query.promql.values import NO_ROW, Labels, Samples, Value, Vector
from gnomon_server.query.syntax.matchers import METRIC_NAME, Matcher, MatchOp

_IDENTIFYING = ("instance", "job")
_NONE = -1
Target = tuple[str, ...]
"""The values of the identifying labels, empty where a series does not have one."""


@dataclass(frozen=True, slots=True)
class _Infos:
    """The info series that may be wanted.

    Attributes:
        labels: of each.
        ts: int64[n_series, n_steps]: when its sample was taken, _NONE where it has none.
        native: bool[n_series, n_steps]: where that is a histogram.
    """

    labels: Sequence[Labels]
    ts: np.ndarray
    native: np.ndarray


def _info(call: Call, evaluate: Callable[[Any, Context], Value], ctx: Context) -> Vector:
    base = vector_of([evaluate(call.args[0], ctx)])
    names, data = name_matchers(call), [one for one in given_matchers(call) if one.name != METRIC_NAME]
    # Info series are not enriched themselves.
    plain = ~_matched(base.labels, names)
    wanted = {_target(labels) for labels, is_plain in zip(base.labels, plain.tolist(), strict=True) if is_plain}
    samples = ctx.samples[call.start, call.end].whole()
    chosen = _matched(samples.labels, (*names, *data)) & _of_targets(samples.labels, wanted)
    times = reference_times(call, ctx.grid, ctx.query)
    infos = _looked_up(samples, np.flatnonzero(chosen), times, ctx.options.lookback_ms)
    newest = _newest(infos, np.logical_or.reduce(base.present, axis=0), call, ctx)
    keep_unmatched = all(_accepts(one, [""])[0] for one in data)
    enriched = partial(_enriched, infos=infos, data={one.name for one in data}, call=call, ctx=ctx)
    return _combined(base, plain, newest, enriched, ctx, keep_unmatched=keep_unmatched)


# Which info series ------------------------------------------------------------------------------------------


def _target(labels: Labels) -> Target:
    given = dict(labels)
    return tuple(given.get(name, "") for name in _IDENTIFYING)


def _of_targets(labels: Sequence[Labels], wanted: set[Target]) -> np.ndarray:
    """Which have the identifying labels of some of the wanted, and the same ones at all: bool[n_series].

    Each label on its own, as Prometheus selects them: what is read too much can still be a duplicate.
    """
    values: dict[tuple[bool, ...], list[set[str]]] = {}
    for target in wanted:
        held = tuple(map(bool, target))
        for known, value in zip(values.setdefault(held, [set() for _ in target]), target, strict=True):
            known.add(value)
    values.pop((False,) * len(_IDENTIFYING), None)
    found = []
    for target in map(_target, labels):
        known_values = values.get(tuple(map(bool, target)), [])
        found.append(
            bool(known_values) and all(value in known for known, value in zip(known_values, target, strict=True))
        )
    return np.array(found, np.bool_)


def _matched(labels: Sequence[Labels], matchers: Sequence[Matcher]) -> np.ndarray:
    """Which series all matchers accept: bool[n_series]."""
    found = np.ones(len(labels), np.bool_)
    for matcher in matchers:
        found &= _accepts(matcher, [dict(one).get(matcher.name, "") for one in labels])
    return found


def _accepts(matcher: Matcher, values: list[str]) -> np.ndarray:
    """Which values a matcher accepts: bool[n]. Regular expressions run in RE2, as in the store."""
    if matcher.op in (MatchOp.EQUAL, MatchOp.NOT_EQUAL):
        accepted = np.array([value == matcher.value for value in values], np.bool_)
    else:
        try:
            found = pc.match_substring_regex(pa.array(values, pa.string()), pattern=f"^(?s:{matcher.value})$")
        except (pa.ArrowInvalid, UnicodeEncodeError) as error:  # more memory than RE2 allows, or no UTF-8
            said = f"the regular expression of {matcher.name} cannot be run: {error}"
            raise InvalidInput("promql_regex", said[:300], where=matcher.value[:200]) from None
        accepted = found.to_numpy(zero_copy_only=False)
    return accepted if matcher.op in (MatchOp.EQUAL, MatchOp.REGEX) else ~accepted


def _looked_up(samples: Samples, series: np.ndarray, times: np.ndarray, lookback_ms: int) -> _Infos:
    """The newest sample of each of these series at each time."""
    labels = [samples.labels[one] for one in series.tolist()]
    if not len(samples.ts):
        nothing = np.full((len(labels), len(times)), _NONE)
        return _Infos(labels, nothing, np.zeros(nothing.shape, np.bool_))
    after = samples.up_to(times)[series]
    position = np.maximum(after - 1, 0)
    ts = samples.ts[position]
    stale = samples.v[position].view(np.uint64) == STALE_BITS
    there = (after > samples.begins[series, None]) & (ts > times - lookback_ms) & ~stale
    native = np.zeros(there.shape, np.bool_) if samples.rows is None else there & (samples.rows[position] != NO_ROW)
    return _Infos(labels, np.where(there, ts, _NONE), native)


def _newest(infos: _Infos, asked: np.ndarray, call: Call, ctx: Context) -> dict[Target, np.ndarray]:
    """Of each target and name of an info metric, the info series with the newest sample.

    Args:
        infos: all of them.
        asked: bool[n_steps]: at which steps there is something to enrich.
        call: for its place.
        ctx: where it is evaluated.

    Returns:
        int64[n_names, n_steps] for each target: which info series, _NONE where there is none.

    Raises:
        InvalidInput: two are equally new.
    """
    if (infos.native & asked).any():
        raise refused("info sample should be float", call, ctx.notes.text)
    groups: dict[tuple[Target, str], list[int]] = {}
    for number, labels in enumerate(infos.labels):
        groups.setdefault((_target(labels), name_of(labels)), []).append(number)
    found: dict[Target, list[np.ndarray]] = {}
    for (target, _), members in groups.items():
        ts = infos.ts[members]
        latest = ts.max(axis=0)
        equal = (ts == latest) & (latest != _NONE) & asked
        if (doubled := np.flatnonzero(equal.sum(axis=0) > 1)).size:
            one, other = (infos.labels[members[row]] for row in np.flatnonzero(equal[:, doubled[0]])[:2])
            at = int(latest[doubled[0]])
            said = f"existing {shown(one)} @ {at}, new {shown(other)} @ {at}"
            raise refused(f"found duplicate series for info metric: {said}", call, ctx.notes.text)
        picked = np.array(members)[ts.argmax(axis=0)]
        found.setdefault(target, []).append(np.where(latest == _NONE, _NONE, picked))
    return {target: np.stack(rows) for target, rows in found.items()}


# Together ------------------------------------------------------------------------------------------


def _combined(
    base: Vector,
    plain: np.ndarray,
    newest: Mapping[Target, np.ndarray],
    enriched: Callable[[Labels, list[int]], Labels],
    ctx: Context,
    *,
    keep_unmatched: bool,
) -> Vector:
    """Each series once for each set of info series that it has at some of its steps."""
    series: list[int] = []
    labels: list[Labels] = []
    masks: list[np.ndarray] = []
    for number, own in enumerate(base.labels):
        choices = newest.get(_target(own)) if plain[number] else None
        for chosen, mask in _variants(choices, base.present[number]):
            if not chosen and plain[number] and not keep_unmatched:
                continue
            series.append(number)
            labels.append(enriched(own, chosen) if chosen else own)
            masks.append(mask)
        ctx.check(len(masks) * ctx.grid.steps)
    if not series:
        return Vector.empty(base.present.shape[1])
    return merged(base.take(np.array(series)).where(np.stack(masks)), labels)


def _variants(choices: np.ndarray | None, present: np.ndarray) -> Iterator[tuple[list[int], np.ndarray]]:
    """The distinct sets of info series, and at which of the steps that are there: bool[n_steps]."""
    if choices is None:
        yield [], present
        return
    distinct, which = np.unique(choices, axis=1, return_inverse=True)
    for number in range(distinct.shape[1]):
        mask = present & (which.reshape(-1) == number)
        if mask.any():
            yield [one for one in distinct[:, number].tolist() if one != _NONE], mask


def _enriched(own: Labels, chosen: list[int], *, infos: _Infos, data: set[str], call: Call, ctx: Context) -> Labels:
    """Labels with those of info series; where there are data label matchers, only what these name.

    Raises:
        InvalidInput: two info series say different things.
    """
    held, added = dict(own), dict[str, str]()
    for number in chosen:
        for name, value in infos.labels[number]:
            if name in METADATA or name in held or (data and name not in data):
                continue
            if added.setdefault(name, value) != value:
                raise refused(f"conflicting label: {name}", call, ctx.notes.text)
    return tuple(sorted((*own, *added.items())))


WITHOUT_ARGUMENTS: Mapping[str, Callable[[Call, Any, Context], Value]] = MappingProxyType({"info": _info})
