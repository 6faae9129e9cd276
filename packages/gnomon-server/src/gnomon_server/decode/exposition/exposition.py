"""What one scraped body says, in columns: the form that the readers of every format share."""

from dataclasses import dataclass, field

import numpy as np

from gnomon_server.errors import InvalidInput

NO_TIME = np.iinfo(np.int64).min
"""In `times`: the sample has no timestamp of its own."""
LARGEST_MS = 1 << 53
"""Timestamps are cut to +-this, exact as a float64 and far outside what is stored: such samples are refused later."""


@dataclass(frozen=True, slots=True)
class Family:
    """A metric family's metadata; `type` in OpenMetrics' words, `untyped` being `unknown`."""

    type: str = "unknown"
    help: str = ""
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Exemplar:
    """An exemplar of the series in `slot`. `at`: its sample's position, or -1 where `time_ms` is never NO_TIME."""

    slot: int
    at: int
    labels: dict[str, str]
    value: float
    time_ms: int


@dataclass(frozen=True, slots=True)
class NativeHistogram:
    """A native histogram of the series in `slot`.

    `positive` and `negative`: indices of the buckets that are not empty (an index names the upper bound, base^index),
    and their absolute counts.
    """

    slot: int
    time_ms: int
    start_ms: int
    schema: int
    count: float
    sum: float
    zero_threshold: float
    zero_count: float
    positive: tuple[list[int], list[float]]
    negative: tuple[list[int], list[float]]
    is_float: bool
    is_gauge: bool


@dataclass(slots=True)
class Exposition:
    """The samples in the body's order.

    slots: int64[n], the series, as numbers of the target's SeriesTable; values: float64[n]; times: int64[n], ms or
    NO_TIME; starts: int64[n], ms when the series began, 0 unless said. `families` by name, in order. `broken`: a rule
    of the format that is not kept, though all can be read.
    """

    slots: np.ndarray
    values: np.ndarray
    times: np.ndarray
    starts: np.ndarray
    families: dict[str, Family]
    exemplars: list[Exemplar] = field(default_factory=list)
    histograms: list[NativeHistogram] = field(default_factory=list)
    broken: InvalidInput | None = None

    @property
    def scraped(self) -> int:
        """How many samples the body has, native histograms counted as one each."""
        return len(self.slots) + len(self.histograms)
