"""Native histograms added up, two or thousands at a time: `sum`, `avg`, `+`, `-` and what else is made of sums.

As KahanAdd of model/histogram/float_histogram.go and the aggregations of promql/engine.go add them. A bucket's count is
added in the order of the histograms, with Neumaier's compensation, which is bit for bit what Prometheus does where it
compensates and more exact where it does not.
"""

from dataclasses import dataclass

import numpy as np

from gnomon_server.query.promql.histograms.block import (
    GAUGE,
    NO_RESET,
    RESET,
    UNKNOWN,
    Histograms,
    begins_of,
    empty,
    keyed,
    unkeyed,
)
from gnomon_server.query.promql.histograms.layouts import Layouts, common_layouts, places_in
from gnomon_server.query.promql.loops.numbers import compensated


@dataclass(frozen=True, slots=True, eq=False)
class Notes:
    """What is to be told of n results: bool[n] each.

    Attributes:
        incompatible: exponential and custom buckets met; the result is an empty histogram and no answer.
        reconciled: custom bounds differed; the result has those that all had.
        reset_conflict: the counter began anew for some, and did not for others.
    """

    incompatible: np.ndarray
    reconciled: np.ndarray
    reset_conflict: np.ndarray


def sum_by(members: Histograms, groups: np.ndarray, number: int) -> tuple[Histograms, Notes]:
    """The sum of each group: `sum` and `sum_over_time`.

    Args:
        members: n histograms, in the order in which they are added.
        groups: int64[n], the group of each.
        number: of groups; one without members gets an empty histogram.
    """
    terms = _Terms.of(members, groups, number)
    total, lost, _ = compensated(terms.values, terms.begins)
    with np.errstate(invalid="ignore"):
        return terms.histograms(total + lost), terms.notes(members, groups)


def avg_by(members: Histograms, groups: np.ndarray, number: int) -> tuple[Histograms, Notes]:
    """The mean of each group: `avg` and `avg_over_time`; arguments as of `sum_by`.

    The sum divided by the number; where the sum overflows, the mean is carried on from there.
    """
    terms = _Terms.of(members, groups, number)
    total, lost, overflowed = compensated(terms.values, terms.begins)
    sizes = np.maximum(terms.sizes[terms.group], 1)
    with np.errstate(invalid="ignore", over="ignore"):
        means = total / sizes + lost / sizes
    too_large = np.zeros(number, np.bool_)
    too_large[terms.group[overflowed]] = True
    if too_large.any():
        chosen = too_large[terms.group]
        means[chosen] = _running_means(terms, too_large)[chosen]
    return terms.histograms(means), terms.notes(members, groups)


def combine(members: Histograms, groups: np.ndarray, number: int, signs: np.ndarray) -> tuple[Histograms, Notes]:
    """Sums in which each member counts as often as its sign says, float64[n]; other arguments as of `sum_by`."""
    terms = _Terms.of(members, groups, number, signs)
    total, lost, _ = compensated(terms.values, terms.begins)
    with np.errstate(invalid="ignore"):
        return terms.histograms(total + lost), terms.notes(members, groups)


@dataclass(frozen=True, slots=True, eq=False)
class _Terms:
    """The numbers to be added: a segment is one number of a result: a count, a sum, or a bucket's count.

    Attributes:
        values: float64[terms], those of a segment together, in the order of the members they come from.
        begins: int64[segments + 1]: where the values of each segment begin. The first of them are the counts of all
            groups, then come the sums of all groups, then the buckets group by group.
        group: int64[segments].
        place: int64[buckets]: of each bucket's segment, 0 for a zero bucket.
        position: int64[terms]: which member of its group each term comes from.
        layouts: of the results.
        hint: uint8[groups], of the results.
        sizes: int64[groups]: how many members each has.
        incompatible: bool[groups].
    """

    values: np.ndarray
    begins: np.ndarray
    group: np.ndarray
    place: np.ndarray
    position: np.ndarray
    layouts: Layouts
    hint: np.ndarray
    sizes: np.ndarray
    incompatible: np.ndarray

    @classmethod
    def of(cls, members: Histograms, groups: np.ndarray, number: int, signs: np.ndarray | None = None) -> "_Terms":
        signs = np.ones(len(groups)) if signs is None else signs
        incompatible = _mixed(members, groups, number)
        if incompatible.any():
            keep = ~incompatible[groups]
            members, groups, signs = members.take(keep), groups[keep], signs[keep]
        layouts = common_layouts(members, groups, number)
        sizes = np.bincount(groups, minlength=number)
        # What is sorted by stretches, as windows are, is merged rather than sorted.
        by_group = np.argsort(groups, kind="stable")
        position = np.empty(len(groups), np.int64)
        position[by_group] = np.arange(len(groups)) - begins_of(sizes)[groups[by_group]]
        owner = np.concatenate([np.arange(len(groups)), members.owner])
        places = np.concatenate([np.zeros(len(groups), np.int64), places_in(members, groups, layouts)])
        keys = keyed(groups[owner], places)
        by_place = np.argsort(keys, kind="stable")
        keys = keys[by_place]
        firsts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])[: len(keys)])
        group, place = unkeyed(keys[firsts])
        counts = (np.concatenate([members.zero_count, members.counts]) * signs[owner])[by_place]
        ends = begins_of(sizes)
        return cls(
            np.concatenate([(members.count * signs)[by_group], (members.sum * signs)[by_group], counts]),
            np.concatenate([ends[:-1], ends[-1] + ends[:-1], 2 * ends[-1] + np.append(firsts, len(keys))]),
            np.concatenate([np.tile(np.arange(number), 2), group]),
            place,
            np.concatenate([np.tile(position[by_group], 2), position[owner[by_place]]]),
            layouts,
            _hints(members.hint, groups, number),
            sizes,
            incompatible,
        )

    def histograms(self, numbers: np.ndarray) -> Histograms:
        """Of the numbers of all segments."""
        number = len(self.sizes)
        counts, group = numbers[2 * number :], self.group[2 * number :]
        zero_count = np.zeros(number)
        zero_count[group[self.place == 0]] = counts[self.place == 0]
        kept = (counts != 0) & (self.place != 0)
        base = empty(self.layouts.schema, self.layouts.layout, self.layouts.bounds_of)
        return Histograms(
            base.schema,
            self.hint,
            numbers[:number],
            numbers[number : 2 * number],
            self.layouts.zero_threshold,
            zero_count,
            base.layout,
            begins_of(np.bincount(group[kept], minlength=number)),
            self.place[kept],
            counts[kept],
            base.bounds_of,
        )

    def notes(self, members: Histograms, groups: np.ndarray) -> Notes:
        number = len(self.sizes)
        seen = [np.bincount(groups[members.hint == hint], minlength=number) > 0 for hint in (RESET, NO_RESET)]
        conflict = seen[0] & seen[1] & ~self.incompatible
        return Notes(self.incompatible, self.layouts.reconciled, conflict)


def _mixed(members: Histograms, groups: np.ndarray, number: int) -> np.ndarray:
    """In which groups exponential and custom buckets meet: bool[number]."""
    custom = np.bincount(groups[members.custom], minlength=number)
    return (custom > 0) & (custom < np.bincount(groups, minlength=number))


def _hints(hint: np.ndarray, groups: np.ndarray, number: int) -> np.ndarray:
    """The hint of each sum: a gauge if one of them is, else what all say (adjustCounterReset): uint8[number]."""
    seen = np.zeros((number, 4), np.bool_)
    seen[groups, hint] = True
    alone = np.where(seen.sum(axis=1) == 1, seen.argmax(axis=1), UNKNOWN)
    return np.where(seen[:, GAUGE], GAUGE, alone).astype(np.uint8)


def _increased(total: np.ndarray, lost: np.ndarray, more: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A step of `loops.numbers.added` for many: the new totals, and what was lost so far."""
    with np.errstate(invalid="ignore", over="ignore"):
        new = total + more
        rest = np.where(np.abs(total) >= np.abs(more), (total - new) + more, (more - new) + total)
        return new, np.where(np.isinf(new), 0.0, lost + rest)


def _running_means(terms: _Terms, too_large: np.ndarray) -> np.ndarray:
    """The means of groups whose sums overflow: float64[segments], meaningless for other groups.

    A group's sums become means with the first member that makes one of them overflow.
    """
    every = np.repeat(np.arange(len(terms.group)), np.diff(terms.begins))
    chosen = np.flatnonzero(too_large[terms.group[every]])
    chosen = chosen[np.lexsort((every[chosen], terms.position[chosen]))]
    segment, position = every[chosen], terms.position[chosen]
    # What of one member falls together is one term.
    first = np.flatnonzero(np.concatenate([[True], (np.diff(segment) != 0) | (np.diff(position) != 0)]))
    segment, position = segment[first], position[first]
    with np.errstate(over="ignore", invalid="ignore"):
        values = np.add.reduceat(terms.values[chosen], first)
    begins = begins_of(np.bincount(position))
    mean, lost = np.zeros(len(terms.group)), np.zeros(len(terms.group))
    running = np.zeros(len(too_large), np.bool_)
    for turn, (begin, end) in enumerate(zip(begins[:-1].tolist(), begins[1:].tolist(), strict=True)):
        at, more = segment[begin:end], values[begin:end]
        group = terms.group[at]
        tried = _increased(mean[at], lost[at], more)
        begun = np.zeros(len(too_large), np.bool_)
        if turn:
            begun[group[np.isinf(tried[0])]] = True
            begun &= ~running
            mean, lost = (np.where(begun[terms.group], one / turn, one) for one in (mean, lost))
            running |= begun
        with_mean = running & (terms.sizes > turn)
        share = np.where(with_mean[terms.group], turn / (turn + 1), 1.0)
        mean, lost = mean * share, lost * share
        means = _increased(mean[at], lost[at], more / (turn + 1))
        mean[at], lost[at] = (np.where(running[group], one, other) for one, other in zip(means, tried, strict=True))
    with np.errstate(invalid="ignore"):
        return mean + lost
