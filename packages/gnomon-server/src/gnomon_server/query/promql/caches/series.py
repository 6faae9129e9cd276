"""What was found about series before, until a commit brings new ones or some are dropped."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import pyarrow as pa

from gnomon_server.model.series import METRIC_SHIFT, metric_part
from gnomon_server.query.promql.caches.lru import Lru
from gnomon_server.query.promql.values import Labels
from gnomon_server.query.syntax.matchers import METRIC_NAME, Matcher, MatchOp


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


@dataclass(frozen=True, slots=True)
class Listed:
    """What was to be listed, of all metrics: the tenant's number, and all that the list hangs on."""

    tenant: int
    what: tuple[Any, ...]

    @property
    def metric(self) -> None:
        """Of any."""


class Asked(Protocol):
    """What was asked about series: whose, and of which metric's, the metric's part of their ids; None: of any."""

    @property
    def tenant(self) -> int: ...  # noqa: D102 - the class says it
    @property
    def metric(self) -> int | None: ...  # noqa: D102


K = TypeVar("K", bound=Asked)
V = TypeVar("V")


class Changes:
    """When commits last brought series, or some were dropped."""

    def __init__(self) -> None:
        self.now = 0
        self._dropped = -1
        # Of a tenant, and of a metric of it.
        self._last: dict[tuple[int, int | None], int] = {}

    def committed(self, tables: Mapping[str, pa.Table]) -> None:
        """New series are visible, perhaps."""
        series = tables.get("series")
        if series is None:
            return
        self.now += 1
        tenants, metrics = series["tenant"].to_numpy(), series["id"].to_numpy() >> np.uint64(METRIC_SHIFT)
        for tenant, metric in np.unique(np.stack([tenants.astype(np.uint64), metrics]), axis=1).T.tolist():
            self._last[tenant, metric] = self._last[tenant, None] = self.now

    def dropped(self) -> None:
        """Some are gone, of whatever tenant and metric."""
        self.now += 1
        self._dropped = self.now

    def since(self, moment: int, tenant: int, metric: int | None) -> bool:
        """Whether there may be others since then (`now` of that time)."""
        return max(self._last.get((tenant, metric), -1), self._dropped) > moment


class AboutSeries(Generic[K, V]):
    """Answers about series, kept until there may be others that they are about.

    Args:
        budget: what they may weigh together; 0: none are kept.
        changes: shared.
    """

    def __init__(self, budget: int, changes: Changes) -> None:
        self._changes = changes
        self._kept: Lru[K, tuple[int, V]] = Lru(budget)

    async def find(self, asked: K, ask: Callable[[], Awaitable[V]], weigh: Callable[[V], int]) -> V:
        """The answer of before, if it still holds; else `ask` for it."""
        kept = self._kept.find(asked)
        if kept is not None and not self._changes.since(kept[0], asked.tenant, asked.metric):
            return kept[1]
        moment = self._changes.now
        found = await ask()
        self._kept.keep(asked, (moment, found), weigh(found))
        return found
