"""Metrics written to a Prometheus: what a scrape of this process would show, now and then, in the order of time.

Each process writes its own series, told apart by `instance`: sums over them are what `/metrics` shows for all workers.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from math import inf
from typing import TYPE_CHECKING

from gnomon.components import Health, State
from gnomon.export.pump import Pump
from gnomon.export.remote_write import RemoteWriteSender, Snapshots, request
from gnomon.metrics import foreign
from gnomon.metrics.collect import GAUGE, Family, Labels, Point, plus
from gnomon.metrics.component import OF_ONE_PROCESS
from gnomon.metrics.exposition import by_name, shown_labels
from gnomon.metrics.instruments import ObservableCounter
from gnomon.metrics.registry import Registry
from gnomon.process.clock import SYSTEM, Clock
from gnomon.process.forks import after_fork
from gnomon.process.identity import Identity
from gnomon.wire.attributes import Mask
from gnomon.wire.protobuf import double
from gnomon.wire.remote_write import STALE, encode, label_set

if TYPE_CHECKING:
    from gnomon.config.remote_write import RemoteWriteSettings

SAMPLES, BYTES = "gnomon.sdk.remote_write.samples", "gnomon.sdk.remote_write.bytes"
MASKED_TEXTS = 8192  # label values whose mask is remembered: four instruments at their usual cap

Key = tuple[str, tuple[tuple[str, str], ...], str]
"""What tells a series from others of this process: its name, its point's labels, the bound of its bucket."""


class RemoteWrite:
    """Writes the metrics of this process. A component, with a pump of its own.

    While the receiver is away what was collected waits, within `buffer_bytes`; no time limit ends it.

    Args:
        settings: how often, and how much may wait.
        registry: whose instruments; what the host keeps with prometheus_client is written, too.
        identity: who we are.
        sender: the way to the receiver.
        mask: what label values pass through.
        timeout_s: of one request.
        clock: stamps the samples.
    """

    def __init__(
        self,
        settings: "RemoteWriteSettings",
        registry: Registry,
        identity: Identity,
        sender: RemoteWriteSender,
        mask: Mask | None = None,
        *,
        timeout_s: float = 10.0,
        clock: Clock = SYSTEM,
    ) -> None:
        self._registry, self._identity, self._sender, self._clock = registry, identity, sender, clock
        self._snapshots = Snapshots(settings.buffer_bytes)
        self._ending = False
        self.remask(mask)
        self._begin()
        after_fork(self._begin)
        every_s = settings.interval_s
        self.pump = Pump(
            [self._snapshots], request, sender, schedule_s=every_s, timeout_s=timeout_s, retry_s=inf, clock=clock
        )
        self.pump.every(every_s, self.collect)

    def _begin(self) -> None:
        """Nothing is written yet; in a forked child, what was is the parent's."""
        self._written: dict[Key, bytes] = {}
        self._last_ms = 0
        self._ended = False

    def start(self) -> None:
        """Measure what becomes of the samples, and begin."""
        told = "What became of the samples that were to be written"
        ObservableCounter(SAMPLES, self._outcomes, told, registry=self._registry)
        told = "Size of the requests to write samples, before and after compression"
        ObservableCounter(BYTES, self._sizes, told, unit="By", registry=self._registry)
        self.pump.start()

    def shutdown(self, deadline_s: float) -> None:
        """Write what there is, and that our series end."""
        self._ending = True
        self.pump.shutdown(deadline_s)
        for name in (SAMPLES, BYTES):
            self._registry.unregister(name)

    def health(self) -> Health:
        """Degraded while nothing can be written, and why."""
        return next((Health(State.DEGRADED, why) for why in self.pump.failing.values()), Health())

    def remask(self, mask: Mask | None) -> None:
        """Another mask for label values, from the next collection on."""
        # One assignment: the thread that collects takes the one or the other.
        self._mask = None if mask is None else lru_cache(MASKED_TEXTS)(mask)

    def collect(self) -> None:
        """Queue all numbers as they stand, and that those of the last time end which are gone."""
        if self._ended:
            return
        ending, known = self._ending, self._written
        written: dict[Key, bytes] = {}
        samples: list[tuple[bytes, bytes]] = []
        for key, extra, value in self._series():
            if key in written:  # two label sets that are one in Prometheus' letters: it takes no series twice
                continue
            written[key] = labels = known.get(key) or self._label_set(key, extra)
            samples.append((labels, double(value)))
        samples += [(labels, STALE) for key, labels in known.items() if key not in written]
        self._keep(samples)
        self._written = written
        if ending:
            self._keep([(labels, STALE) for labels in written.values()])
            self._ended = True

    def _keep(self, samples: Iterable[tuple[bytes, bytes]]) -> None:
        # A series has one sample a millisecond, and only later ones are taken, wherever the clock is set meanwhile.
        self._last_ms = max(self._clock.time_ns() // 1_000_000, self._last_ms + 1)
        self._snapshots.keep(encode(samples, self._last_ms))

    def _series(self) -> Iterator[tuple[Key, str, float]]:
        """Each series, the name of its bucket's label, its value."""
        resource = {key: value for key, value in self._identity.attributes.items() if key not in OF_ONE_PROCESS}
        yield ("target_info", tuple(shown_labels(resource.items()).items()), ""), "", 1.0
        families = [*self._registry.collect(), *foreign.families()]
        mask = self._mask
        for shown in by_name(families if mask is None else [_masked(family, mask) for family in families]):
            for labels, point in shown.labelled():
                pairs = tuple(labels.items())
                for sample in shown.samples(point):
                    yield (sample.name, pairs, sample.bound), sample.extra, sample.value

    def _label_set(self, key: Key, extra: str) -> bytes:
        """As after a scrape: what has the name of a label that says where a series is from is renamed."""
        name, pairs, bound = key
        who = self._identity.attributes
        own = {f"exported_{label}" if label in ("job", "instance") else label: value for label, value in pairs}
        if extra:
            own[extra] = bound
        family, service = who.get("service.namespace"), str(who.get("service.name", ""))
        job = f"{family}/{service}" if family else service
        return label_set({**own, "__name__": name, "job": job, "instance": str(who["service.instance.id"])})

    def _outcomes(self) -> list[tuple[float, Mapping[str, str]]]:
        counts = self._snapshots.counts
        dropped = list(counts.dropped.items())
        return [(counts.sent, {"outcome": "sent"}), *((many, {"outcome": why.value}) for why, many in dropped)]

    def _sizes(self) -> list[tuple[float, Mapping[str, str]]]:
        sender = self._sender
        return [(sender.encoded_bytes, {"form": "encoded"}), (sender.packed_bytes, {"form": "packed"})]


def _masked(family: Family, mask: Callable[[str, str], str]) -> Family:
    """The family with masked labels; label sets that are one then are added up."""
    points: dict[Labels, Point] = {}
    for point in family.points:
        labels = tuple((name, mask(name, text) if isinstance(text, str) else text) for name, text in point.labels)
        own = point if labels == point.labels else replace(point, labels=labels)
        before = points.get(labels)
        points[labels] = own if before is None or family.kind == GAUGE else plus(before, own) or before
    return replace(family, points=tuple(points.values()))
