"""What the decoder of remote write is given beside the bytes: limits, the time, caches, and what is known already."""

from dataclasses import dataclass, field

from gnomon_server.decode.otlp.context import MAX_NS, NothingSeen, Seen
from gnomon_server.decode.remote_write.known import KnownSeries
from gnomon_server.decode.remote_write.symbols import Symbols

MS_PER_DAY = 86_400_000
MAX_MS = MAX_NS // 1_000_000


@dataclass(frozen=True, slots=True)
class SeriesLimits:
    """What one request and one series may be."""

    series_per_request: int = 200_000
    """A hundred times what Prometheus sends at once (`max_samples_per_send` is 2,000)."""
    labels_per_series: int = 1_000
    label_name_bytes: int = 1_024
    label_value_bytes: int = 65_536


@dataclass(slots=True)
class WriteContext:
    """One decoding thread's caches and the settings that hold for every request.

    `latest_ms` is the newest acceptable time (now + what is configured), in milliseconds since the epoch. Set it before
    each request.
    """

    limits: SeriesLimits = field(default_factory=SeriesLimits)
    latest_ms: int = MAX_MS
    seen: Seen = field(default_factory=NothingSeen)
    known_1: KnownSeries = field(default_factory=KnownSeries)
    known_2: KnownSeries = field(default_factory=KnownSeries)
    symbols: Symbols = field(default_factory=Symbols)

    def begin(self) -> None:
        """Call before each request: empties caches that have reached their bounds."""
        self.known_1.keep_bound()
        if self.symbols.is_full or self.known_2.is_full:  # the keys of series are numbers of symbols
            self.symbols.clear()
            self.known_2.clear()
