"""Samples that are asked for again and again, in memory, kept up to date by the commits themselves.

What a dashboard shows is read from the store once; from then on a query finds it here, to the last commit. Samples are
kept by metric and hour (`Chunk`), of the series that were asked for, within a budget: what was not asked for longest
goes first.
"""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from gnomon_server.model.series import METRIC_SHIFT
from gnomon_server.query.promql.caches.chunks import HOUR_MS, Chunk, Rows, Run
from gnomon_server.query.promql.loops.runs import covers

_MOST_ASKED = 20_000
_MOST_CHUNKS = 50_000  # of which many may be empty
_MOST_CHUNKS_A_READ = 2_000
_SAMPLE_BYTES = 12
_USUAL_BYTES = 240 * _SAMPLE_BYTES  # a series and hour, of a metric that nothing is known of yet: a sample every 15 s
# What was asked for within this time makes no room for anything new: two dashboards would turn each other out for ever.
_KEPT_S = 300.0
_FEW = 1_000  # series of one hour: 3 MB, if it is as usual


@dataclass(frozen=True, slots=True)
class Key:
    """Which chunk: the tenant's number, the metric's part of its series' ids, the hour since 1970."""

    tenant: int
    metric: int
    hour: int


@dataclass(frozen=True, slots=True)
class Missing:
    """What is to be read from the store so that it is here next time.

    Attributes:
        metric: the metric's part of the ids.
        ids: uint64[k], rising.
        hours: in their order.
    """

    metric: int
    ids: np.ndarray
    hours: Sequence[int]


class SampleCache:
    """Chunks within a budget. Told of commits on the event loop, asked in any thread.

    Args:
        budget_bytes: 0: nothing is kept.
        on_look: told of each look, whether all was there.
    """

    def __init__(self, budget_bytes: int, on_look: Callable[[bool], object] = bool) -> None:
        self._budget_bytes, self._on_look = budget_bytes, on_look
        self._lock = threading.Lock()
        self._chunks: OrderedDict[Key, Chunk] = OrderedDict()
        self._asked: OrderedDict[Key, None] = OrderedDict()
        self._weights: dict[tuple[int, int], float] = {}  # bytes a series and hour, by tenant and metric
        self._arrived: deque[tuple[pa.Table | None, pa.Table | None]] = deque()
        self._sorter = ThreadPoolExecutor(1, thread_name_prefix="promql-samples")
        self.bytes = 0

    def __bool__(self) -> bool:
        return self._budget_bytes > 0

    def close(self) -> None:
        """Forget everything, end the thread. Commits may go on; nobody asks any more."""
        self.clear()
        self._sorter.shutdown(wait=False, cancel_futures=True)

    # -- commits -------------------------------------------------------------------------------------------------------

    def committed(self, tables: Mapping[str, pa.Table], *, stored: bool) -> None:
        """Rows are visible from now on; where `stored` is false, perhaps."""
        samples, natives = tables.get("samples"), tables.get("native_histograms")
        if not self._chunks or (samples is None and natives is None):
            return
        if stored:
            self._arrived.append((samples, natives))
            self._sorter.submit(self._sort)
        else:
            self.clear()

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._forget()

    def _forget(self) -> None:
        self._chunks.clear()
        self._arrived.clear()
        self.bytes = 0

    def _sort(self) -> None:
        with self._lock:
            self._sort_arrived()
            self._evict()

    def _sort_arrived(self) -> None:
        """Hand what has arrived to its chunks."""
        try:
            while self._arrived:
                self._hand_on(*self._arrived.popleft())
        except Exception:
            self._forget()  # what was not handed on would be missing
            raise

    def _hand_on(self, samples: pa.Table | None, natives: pa.Table | None) -> None:
        if natives is not None:
            for key, _ in self._by_chunk(natives["tenant"].to_numpy(), natives["id"].to_numpy(), _ms(natives["ts"])):
                self._refuse(key)
        if samples is not None:
            rows = Rows(samples["id"].to_numpy(), _ms(samples["ts"]), samples["v"].to_numpy(), _ms(samples["start"]))
            for key, which in self._by_chunk(samples["tenant"].to_numpy(), rows.ids, rows.ts):
                chunk = self._chunks[key]
                before = chunk.size_bytes
                chunk.add(rows.only(which))
                self.bytes += chunk.size_bytes - before

    def _by_chunk(self, tenants: np.ndarray, ids: np.ndarray, ts: np.ndarray) -> Iterable[tuple[Key, np.ndarray]]:
        """The chunks that we have for rows with these columns, and the positions of theirs: int64[k]."""
        metrics = (ids >> np.uint64(METRIC_SHIFT)).astype(np.int64)
        hours = ts // HOUR_MS
        for tenant in np.unique(tenants).tolist():
            known = np.zeros(1 << 16, np.bool_)
            known[[key.metric for key in self._chunks if key.tenant == tenant]] = True
            rows = np.flatnonzero((tenants == tenant) & known[metrics])
            names = metrics[rows] << 40 | hours[rows]
            order = np.argsort(names, kind="stable")
            rows, names = rows[order], names[order]
            for which in np.split(rows, np.flatnonzero(names[1:] != names[:-1]) + 1):
                if len(which):
                    key = Key(tenant, int(metrics[which[0]]), int(hours[which[0]]))
                    if key in self._chunks:
                        yield key, which

    def _refuse(self, key: Key) -> None:
        """There are native histograms: it is not for us, and need not be read again to learn so."""
        chunk = Chunk(key.hour * HOUR_MS, native=True)
        self.bytes -= self._chunks[key].size_bytes if key in self._chunks else 0
        self._chunks[key] = chunk

    # -- questions -----------------------------------------------------------------------------------------------------

    def find(
        self, tenant: int, ids: np.ndarray, low_ms: int, high_ms: int
    ) -> tuple[list[tuple[int, Run]] | None, list[Missing]]:
        """The runs that hold all samples of some series between two times, both inclusive; None: they are not here.

        Args:
            tenant: its number.
            ids: uint64[k], rising; at least one.
            low_ms: not before 1970.
            high_ms: not before `low_ms`.

        Returns:
            Runs with the beginning of their hours, in order; what is worth to be read for the next time.
        """
        found: list[tuple[int, Run]] = []
        missing: list[Missing] = []
        hours = range(low_ms // HOUR_MS, high_ms // HOUR_MS + 1)
        metrics, begins = np.unique(ids >> np.uint64(METRIC_SHIFT), return_index=True)
        if len(hours) * len(metrics) > _MOST_CHUNKS_A_READ:
            return None, []
        here, now_s = True, time.monotonic()
        with self._lock:
            self._sort_arrived()
            for metric, some in zip(metrics.tolist(), np.split(ids, begins[1:]), strict=True):
                lacking = []
                for hour in hours:
                    key = Key(tenant, metric, hour)
                    chunk = self._chunks.get(key)
                    if chunk is None or chunk.native or not covers(chunk.covered, some):
                        here = False
                        if (chunk is None or not chunk.native) and self._is_worth(key):
                            lacking.append(hour)
                    elif here:
                        self._chunks.move_to_end(key)
                        chunk.used_s = now_s
                        before = chunk.size_bytes
                        found += [(chunk.base_ms, run) for run in chunk.runs()]
                        self.bytes += chunk.size_bytes - before
                if lacking:
                    missing += self._fitting(tenant, metric, some, lacking)
            self._evict()
        self._on_look(here)
        return (found if here else None), missing

    def _is_worth(self, key: Key) -> bool:
        """What is asked for the second time, or goes on where we have the hour before."""
        if key in self._asked or key in self._chunks or Key(key.tenant, key.metric, key.hour - 1) in self._chunks:
            return True
        self._asked[key] = None
        if len(self._asked) > _MOST_ASKED:
            self._asked.popitem(last=False)
        return False

    def _fitting(self, tenant: int, metric: int, ids: np.ndarray, hours: list[int]) -> Iterator[Missing]:
        """All of it, where there is room; of a metric that nothing is known of a little, to learn what it weighs."""
        if self._fits(tenant, metric, len(ids), hours):
            yield Missing(metric, ids, hours)
        elif (tenant, metric) not in self._weights:
            few, amid = ids[:_FEW], hours[len(hours) // 2 :][:1]
            if self._fits(tenant, metric, len(few), amid):
                yield Missing(metric, few, amid)

    def _fits(self, tenant: int, metric: int, series: int, hours: Sequence[int]) -> bool:
        """Whether there is room for it, beside what others ask for now."""
        now = time.time() * 1000 / HOUR_MS
        past = sum(min(max(now - hour, 0.0), 1.0) for hour in hours)  # the last one has only begun
        need = series * past * self._weights.get((tenant, metric), _USUAL_BYTES)
        if self.bytes + need <= self._budget_bytes:
            return True
        oldest = next(iter(self._chunks.values()), None)
        forgotten = oldest is not None and oldest.used_s < time.monotonic() - _KEPT_S
        return forgotten and need <= self._budget_bytes // 2

    # -- reading -------------------------------------------------------------------------------------------------------

    def rows_expected(self, tenant: int, metric: int) -> float:
        """How many samples a series of a metric has an hour, about."""
        return max(1.0, self._weights.get((tenant, metric), _USUAL_BYTES) / _SAMPLE_BYTES)

    def expect_more(self, tenant: int, metric: int, times: int) -> None:
        """There were more than so many times as many."""
        self._weights[tenant, metric] = self._weights.get((tenant, metric), _USUAL_BYTES) * times

    def lacking(self, tenant: int, missing: Missing) -> Missing:
        """What is missing still: the hours, and the series that any of them lacks."""
        hours, ids = [], missing.ids[:0]
        with self._lock:
            for hour in missing.hours:
                chunk = self._chunks.get(Key(tenant, missing.metric, hour))
                if chunk is None or not (chunk.native or covers(chunk.covered, missing.ids)):
                    here = missing.ids[:0] if chunk is None else chunk.covered
                    ids = np.union1d(ids, np.setdiff1d(missing.ids, here, assume_unique=True))
                    hours.append(hour)
        return Missing(missing.metric, ids, hours)

    def track(self, tenant: int, missing: Missing) -> None:
        """Keep what comes for these series from now on: they are about to be read."""
        with self._lock:
            self._sort_arrived()
            for hour in missing.hours:
                new = Chunk(hour * HOUR_MS, used_s=time.monotonic())
                chunk = self._chunks.setdefault(Key(tenant, missing.metric, hour), new)
                chunk.tracked = np.union1d(chunk.tracked, missing.ids)

    def refuse(self, tenant: int, missing: Missing) -> None:
        """These hours have native histograms."""
        with self._lock:
            for hour in missing.hours:
                self._refuse(Key(tenant, missing.metric, hour))

    def cover(self, tenant: int, missing: Missing, rows: Rows) -> None:
        """These series are whole in these hours, with the rows that were read after `track`."""
        hours = rows.ts // HOUR_MS
        for hour in missing.hours:
            some = rows.only(hours == hour)
            with self._lock:
                chunk = self._chunks.get(Key(tenant, missing.metric, hour))
                # It may have gone meanwhile, and with it what has come since.
                if chunk is not None and not chunk.native and covers(chunk.tracked, missing.ids):
                    before = chunk.size_bytes
                    chunk.cover(missing.ids, some)
                    self.bytes += chunk.size_bytes - before
                    self._weights[tenant, missing.metric] = chunk.size_bytes / len(chunk.covered)
                    self._evict()

    def _evict(self) -> None:
        while self.bytes > self._budget_bytes or len(self._chunks) > _MOST_CHUNKS:
            _, gone = self._chunks.popitem(last=False)
            self.bytes -= gone.size_bytes


def _ms(column: pa.ChunkedArray) -> np.ndarray:
    found: np.ndarray = column.cast(pa.int64()).to_numpy()
    return found
