"""The series of a request: looked up or described, and their rows where the store does not have them."""

from collections.abc import Iterable
from typing import Protocol

import numpy as np
import pyarrow as pa

from gnomon_server.decode.otlp.columns import map_of_texts, no_rows
from gnomon_server.decode.otlp.scan import Scanned
from gnomon_server.decode.remote_write.context import MS_PER_DAY, WriteContext
from gnomon_server.decode.remote_write.known import Definition, Keys, KnownSeries
from gnomon_server.decode.remote_write.labels import (
    LabelLimits,
    Pairs,
    RefusedError,
    checked,
    described,
    kind_of,
    too_many,
)
from gnomon_server.decode.remote_write.metadata import Description, meta_rows, unseen
from gnomon_server.decode.remote_write.wire import Messages
from gnomon_server.model.batch import Rejections
from gnomon_server.model.series import Kind, series_id
from gnomon_server.model.tables import ATTRIBUTES, METRIC_META, SERIES


class Request(Protocol):
    """What the two versions have in common. A series' `key` is what it is known by in `known`."""

    messages: Messages
    series: Scanned
    known: KnownSeries
    keys: Keys
    started: np.ndarray  # int64[n_series], when each began to count where its samples do not say, ms; 0: unknown
    label_counts: np.ndarray  # int64[n_series]
    is_empty: bool

    def fault(self, position: int) -> RefusedError | None: ...  # noqa: D102 - see version_2
    def pairs(self, key: bytes) -> Pairs: ...  # noqa: D102
    def description(self, key: bytes, metric: str) -> Description | None: ...  # noqa: D102
    def descriptions(self) -> list[Description]: ...  # noqa: D102


class SeriesOf:
    """The series of a request by position: `good` bool[n], and of the good ones `rows` (known.KnownSeries)."""

    def __init__(self, request: Request, context: WriteContext, rejections: Rejections) -> None:
        self._request = request
        self._context = context
        self._rejections = rejections
        limits = context.limits
        self._limits = LabelLimits(limits.labels_per_series, limits.label_name_bytes, limits.label_value_bytes)
        self._refused: dict[int, str] = {}
        self._messages: dict[str, str] = {}
        self._described: dict[int, tuple[str, dict[str, str]]] = {}
        self.slots = request.known.find(request.keys, self._define)
        self.good = self.slots >= 0
        self.rows = request.known.rows(np.maximum(self.slots, 0))

    def __len__(self) -> int:
        return len(self.slots)

    def _define(self, position: int) -> Definition | None:
        request = self._request
        key = request.keys[position]
        fault, pairs = request.fault(position) or too_many(int(request.label_counts[position]), self._limits), []
        try:
            if fault is not None:
                raise fault
            pairs = request.pairs(key)
            metric, labels = self._described[position] = checked(pairs, self._limits)
        except RefusedError as error:
            self._refused[position] = error.reason
            if error.reason not in self._messages:
                self._messages[error.reason] = f"{_spot(position, pairs)}: {error.message}"
            return None
        description = request.description(key, metric)
        return Definition(
            series_id(metric, labels),
            kind_of(description.type if description else "", metric),
            (labels.get("job", ""), labels.get("instance", "")),
            description.key() if description else 0,
        )

    def refuse(self, reason: str, message: str, positions: np.ndarray) -> None:
        """Count points of these series, int64[k], that are not stored; the message names the first."""
        if len(positions):
            position = int(positions[0])
            spot = _spot(position, self._request.pairs(self._request.keys[position]))
            self._rejections.refuse(reason, f"{spot}: {message}", len(positions))

    def refuse_undefined(self, points: np.ndarray) -> None:
        """Count the points, int64[n] by series, that belong to no series that can be."""
        for position, reason in self._refused.items():
            if points[position]:
                self._rejections.refuse(reason, self._messages[reason], int(points[position]))

    def series_rows(self, used: Iterable[tuple[np.ndarray, np.ndarray, bool]], tenant: str) -> pa.RecordBatch:
        """Rows of `series` that the store lacks: one for each series and day.

        Args:
            used: positions of series, int64[m], the times of their points, int64[m] in ms, whether histograms.
            tenant: whose they are.
        """
        positions = np.concatenate([np.zeros(0, np.int64), *(positions for positions, _, _ in used)])
        days = np.concatenate([np.zeros(0, np.int32), *((at // MS_PER_DAY).astype(np.int32) for _, at, _ in used)])
        native = np.concatenate([np.zeros(0, np.bool_), *(np.full(len(at), is_native) for _, at, is_native in used)])
        lacking = np.flatnonzero(self._context.seen.unseen(tenant, "series", self.rows["id"][positions], days))
        if not len(lacking):
            return no_rows(SERIES)
        marks = self.slots[positions[lacking]] << 17 | days[lacking] << 1 | native[lacking]
        new = lacking[np.unique(marks, return_index=True)[1]]
        positions, days, native = positions[new], days[new], native[new]
        kinds = self.rows["kind"][positions]
        kinds = np.where(native & (kinds == Kind.UNKNOWN), np.uint8(Kind.EXPONENTIAL), kinds)
        labelled = [self._labelled(position) for position in positions.tolist()]
        no_attributes = [pa.array([[]] * len(new), kind) for _, kind in ATTRIBUTES]
        return pa.RecordBatch.from_arrays(
            [
                pa.array(days).cast(pa.date32()),
                pa.array([metric for metric, _ in labelled], pa.string()),
                pa.array(self.rows["id"][positions]),
                pa.array(kinds),
                pa.array(np.zeros(len(new), np.uint64)),
                pa.array([labels.get("job", "") for _, labels in labelled], pa.string()),
                pa.array([""] * len(new), pa.string()),
                pa.array([metric for metric, _ in labelled], pa.string()),
                map_of_texts([labels for _, labels in labelled]),
                *no_attributes,
            ],
            schema=SERIES,
        )

    def _labelled(self, position: int) -> tuple[str, dict[str, str]]:
        if position in self._described:
            return self._described[position]
        return checked(self._request.pairs(self._request.keys[position]), self._limits)

    def meta_rows(self, tenant: str) -> pa.RecordBatch:
        """Rows of `metric_meta` that the store lacks: what is said beside the series, and by the series."""
        found = {description.key(): description for description in self._request.descriptions()}
        given = np.flatnonzero(self.rows["meta"] * self.good)  # most senders say nothing beside a series
        keys, first = np.unique(self.rows["meta"][given], return_index=True)
        places = dict(zip(keys.tolist(), given[first].tolist(), strict=True))
        every = np.array([*found, *places], np.uint64)
        if not len(every):
            return no_rows(METRIC_META)
        new = every[unseen(every, tenant, self._context.seen)].tolist()
        return meta_rows([found[key] if key in found else self._description(places[key]) for key in new])

    def _description(self, position: int) -> Description:
        description = self._request.description(self._request.keys[position], self._labelled(position)[0])
        assert description is not None, "a series with a row in metric_meta describes its metric"  # noqa: S101 - an invariant
        return description


def _spot(position: int, pairs: Pairs) -> str:
    """Where a series stands in its request, and which one it is."""
    return f"timeseries[{position}] {described(pairs)}"
