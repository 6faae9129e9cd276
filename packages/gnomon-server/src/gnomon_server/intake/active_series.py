"""How many series a tenant may have: new ones a minute, active ones a day.

What intake and the decoders remember is bounded, and made for so many series; a label that takes a new value with every
request would make them forget everybody's. Only the points of new series are refused; those that are there go on.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gnomon_server.model.batch import Batch
from gnomon_server.model.index import Index

REASON = "series_limit"
_NAME = "__name__"
_POINTS = ("samples", "delta_samples", "native_histograms", "delta_histograms")
_OF_SERIES = ("series", *_POINTS, "exemplars")
_DAY_S, _MINUTE_S = 86_400, 60
_LOOKED_AT = 10_000  # refused series, for the label that is at fault: some 10 ms


@dataclass(slots=True)
class _Active:
    """A tenant's series. `minute` and `day` say for when `new` and `today` hold."""

    day: int = 0
    today: Index = field(default_factory=Index)
    yesterday: Index = field(default_factory=Index)
    minute: int = 0
    new: int = 0

    def turn_to(self, now_s: float) -> None:
        day, minute = int(now_s // _DAY_S), int(now_s // _MINUTE_S)
        if day > self.day:
            self.yesterday = self.today if day == self.day + 1 else Index()
            self.today, self.day = Index(), day
        if minute > self.minute:
            self.minute, self.new = minute, 0


class ActiveSeries:
    """The series of all tenants: measured, 23 bytes and a microsecond for each new one of a million.

    A series is active on the day on which its row of `series` is sent: with its first point, and again every day. A day
    is one of our clock's, whatever the points' times are.
    """

    def __init__(self, most_new: int, most_active: int) -> None:
        self._most_new, self._most_active = most_new, most_active
        self._tenants: dict[str, _Active] = {}

    def recall(self, found: pa.Table, now_s: float) -> None:
        """What was active before our start is not new. `found`: tenants' `name` and series' `id`, each pair once."""
        names = found["name"].unify_dictionaries().combine_chunks()
        which, ids = names.indices.to_numpy(), found["id"].to_numpy()
        for number, tenant in enumerate(names.dictionary.to_pylist()):
            self._of(tenant, now_s).yesterday.add(ids[which == number])

    def admitted(self, batch: Batch, now_s: float) -> Batch:
        """The batch without the series that are too many; what is left out is counted in its `rejections`."""
        rows = batch.tables.get("series")
        if rows is None or not rows.num_rows:
            return batch
        mine = self._of(batch.tenant, now_s)
        ids = _distinct(rows["id"].to_numpy())
        ids = ids[mine.today.find(ids) < 0]
        new = mine.yesterday.find(ids) < 0
        room = {
            "new_series_per_minute": self._most_new - mine.new,
            "active_series": self._most_active - len(mine.today) - int((~new).sum()),
        }
        least = min(room, key=room.__getitem__)
        taken = ~new | (np.cumsum(new) <= room[least])
        mine.today.add(ids[taken])
        mine.new += int((taken & new).sum())
        if taken.all():
            return batch
        return _without(batch, ids[~taken], lambda refused: self._told(least, refused))

    def _of(self, tenant: str, now_s: float) -> _Active:
        mine = self._tenants.get(tenant)
        if mine is None or int(now_s // _DAY_S) > mine.day:
            for name in [name for name, each in self._tenants.items() if int(now_s // _DAY_S) > each.day + 1]:
                del self._tenants[name]  # its series of the last day are new again
            mine = self._tenants.setdefault(tenant, _Active())
        mine.turn_to(now_s)
        return mine

    def _told(self, limit: str, refused: pa.RecordBatch) -> str:
        most, span = (self._most_new, "minute") if limit == "new_series_per_minute" else (self._most_active, "day")
        sort = "new series a minute" if span == "minute" else "active series a day"
        label, values, looked_at = most_varied_label(refused)
        return (
            f"more than {most:,} {sort} (intake.{limit}); label {label!r:.200} has {values:,} values "
            f"in {looked_at:,} series that were refused"
        )


def most_varied_label(series: pa.RecordBatch) -> tuple[str, int, int]:
    """The label with most values in the first rows of `series`, how many these are, in how many rows."""
    rows = series.take(pa.array(np.arange(min(series.num_rows, _LOOKED_AT))))
    labels = rows["labels"]
    pairs = pa.table(
        {
            "name": pa.concat_arrays([labels.keys, pa.array([_NAME] * rows.num_rows, pa.string())]),
            "value": pa.concat_arrays([labels.items, rows["metric"]]),
        }
    )
    counted = pairs.group_by("name").aggregate([("value", "count_distinct")])
    best = counted.sort_by([("value_count_distinct", "descending"), ("name", "ascending")]).slice(0, 1).to_pylist()[0]
    return best["name"], best["value_count_distinct"], rows.num_rows


def _without(batch: Batch, refused: np.ndarray, told: Callable[[pa.RecordBatch], str]) -> Batch:
    tables = dict(batch.tables)
    ids = pa.array(refused)
    points = 0
    for name in _OF_SERIES:
        if name in tables:
            gone = pc.is_in(tables[name]["id"], value_set=ids)
            if name == "series":
                message = told(tables[name].filter(gone))
            points += gone.true_count if name in _POINTS else 0
            tables[name] = tables[name].filter(pc.invert(gone))
    # One point of a sender may be many samples, as a histogram's.
    batch.rejections.refuse(REASON, message, min(points, batch.records))
    kept = {name: rows for name, rows in tables.items() if rows.num_rows}
    return replace(batch, tables=kept, size_bytes=sum(rows.nbytes for rows in kept.values()))


def _distinct(ids: np.ndarray) -> np.ndarray:
    """In the order of their first places, so that the first ones are taken."""
    return ids[np.sort(np.unique(ids, return_index=True)[1])]
