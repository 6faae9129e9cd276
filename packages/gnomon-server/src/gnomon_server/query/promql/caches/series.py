"""Which series a selector has found before, until a commit brings new ones that it may find."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from gnomon_server.model.series import METRIC_SHIFT, metric_part
from gnomon_server.query.promql.caches.lru import Lru
from gnomon_server.query.promql.values import Labels
from gnomon_server.query.syntax.matchers import METRIC_NAME, Matcher, MatchOp

_MOST_SERIES = 500_000  # of all answers together: some 200 bytes a series
_ENTRY = 50  # what an answer itself weighs, in series


@dataclass(frozen=True)
class SeriesFound:
    """Series of a read, in the order of their labels.

    Attributes:
        ids: uint64[n].
        labels: of each.
        histograms: whether any of them may hold native histograms.
    """

    ids: np.ndarray
    labels: Sequence[Labels]
    histograms: bool

    @cached_property
    def order(self) -> np.ndarray:
        """By their ids: int64[n]."""
        return np.argsort(self.ids)

    @cached_property
    def rising(self) -> np.ndarray:
        """The ids in their order: uint64[n]."""
        found: np.ndarray = self.ids[self.order]
        return found

    def positions(self, ids: np.ndarray) -> np.ndarray:
        """Where series with these ids, uint64[k], all of them among ours, stand: int64[k]."""
        found: np.ndarray = self.order[np.searchsorted(self.rising, ids)]
        return found

    def some(self, which: np.ndarray) -> "SeriesFound":
        """Those that are wanted, bool[n]."""
        labels = [self.labels[one] for one in np.flatnonzero(which).tolist()]
        return SeriesFound(self.ids[which], labels, self.histograms)


@dataclass(frozen=True, slots=True)
class Sought:
    """What was looked for: the tenant's number, the matchers, the first and the last day since 1970."""

    tenant: int
    matchers: tuple[Matcher, ...]
    first_day: int
    last_day: int

    @property
    def metric(self) -> int | None:
        """The part of the ids that all of them share, when the metric is named; else None."""
        names = [one.value for one in self.matchers if one.name == METRIC_NAME and one.op is MatchOp.EQUAL]
        return metric_part(names[0]) if names and names[0] else None


class SeriesCache:
    """The newest answers, within a number of series; what was not asked for longest goes first."""

    def __init__(self, *, on: bool) -> None:
        self._on = on
        self._kept: Lru[Sought, tuple[int, SeriesFound]] = Lru(_MOST_SERIES)
        self.now = 0
        # When a commit last brought series of a tenant, and of a metric of it.
        self._changed: dict[tuple[int, int | None], int] = {}

    def committed(self, tables: Mapping[str, pa.Table]) -> None:
        """New series are visible, perhaps."""
        series = tables.get("series")
        if series is None or not self._on:
            return
        self.now += 1
        tenants, metrics = series["tenant"].to_numpy(), series["id"].to_numpy() >> np.uint64(METRIC_SHIFT)
        for tenant, metric in np.unique(np.stack([tenants.astype(np.uint64), metrics]), axis=1).T.tolist():
            self._changed[tenant, metric] = self._changed[tenant, None] = self.now

    def find(self, sought: Sought) -> SeriesFound | None:
        """The answer of before, if it still holds."""
        kept = self._kept.find(sought)
        if kept is None or self._changed.get((sought.tenant, sought.metric), -1) > kept[0]:
            return None
        return kept[1]

    def keep(self, sought: Sought, found: SeriesFound, moment: int) -> None:
        """Keep an answer; `moment` is `now` of before it was asked for."""
        if self._on:
            self._kept.keep(sought, (moment, found), len(found.ids) + _ENTRY)
