"""Remote write requests, prepared: encoded once, then copied with other values and times in the same places.

A shard has the series of some targets and its own connection, as a shard of Prometheus' queue manager; its requests
hold up to `request` samples in the order of their times: of a few series those of several steps.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import targets
from cramjam import snappy

_TIME_BYTES = 6  # a varint of milliseconds until the year 2109
_SAMPLE = b"\x12\x10\x09" + bytes(8) + b"\x10" + bytes(_TIME_BYTES)  # TimeSeries.samples = {value, timestamp}
_VALUE_AT, _TIME_AT = 3, 12


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def _field(tag: bytes, content: bytes) -> bytes:
    return tag + _varint(len(content)) + content


class Template:
    """A request with a sample of each series of a shard, or of a part of them."""

    def __init__(self, series: list[dict[str, str]]) -> None:
        encoded, ends = [], []
        for one in series:
            pairs = b"".join(
                _field(b"\x0a", _field(b"\x0a", name.encode()) + _field(b"\x12", value.encode()))
                for name, value in sorted(one.items())
            )
            encoded.append(_field(b"\x0a", pairs + _SAMPLE))
            ends.append(len(encoded[-1]))
        self._bytes = np.frombuffer(b"".join(encoded), np.uint8)
        samples = np.cumsum(ends)[:, None] - len(_SAMPLE)
        self._values_at = samples + _VALUE_AT + np.arange(8)
        self._times_at = samples + _TIME_AT + np.arange(_TIME_BYTES)

    def filled(self, values: np.ndarray, times_ms: np.ndarray) -> bytes:
        """The request with these values, float64[n_series], and times, int64[n_series]."""
        made = self._bytes.copy()
        made[self._values_at] = values.astype("<f8").view(np.uint8).reshape(-1, 8)
        sevens = times_ms[:, None] >> (7 * np.arange(_TIME_BYTES)) & 0x7F
        sevens[:, :-1] |= 0x80
        made[self._times_at] = sevens
        return made.tobytes()


@dataclass
class Shard:
    """One connection's series: `columns` of the flattened values, cut into templates of at most `request` samples."""

    columns: slice
    templates: list[tuple[slice, Template]]
    steps_a_request: int
    waiting: list[bytes] = field(default_factory=list)

    def add(self, values: np.ndarray, times_ms: np.ndarray) -> Iterator[bytes]:
        """The compressed requests that are full with this step."""
        for part, template in self.templates:
            body = template.filled(values[part], times_ms[part])
            if self.steps_a_request == 1:
                yield snappy_of(body)
            else:
                self.waiting.append(body)
        if self.steps_a_request > 1 and len(self.waiting) == self.steps_a_request:
            yield from self.rest()

    def rest(self) -> Iterator[bytes]:
        """What waits, as a last request."""
        if self.waiting:
            yield snappy_of(b"".join(self.waiting))
            self.waiting = []


def snappy_of(body: bytes) -> bytes:
    """In the block format."""
    return bytes(snappy.compress_raw(body))


@dataclass(frozen=True)
class Slice:
    """Requests in a file, by shard as (place, length); `samples` are in them."""

    path: Path
    shards: list[list[tuple[int, int]]]
    samples: int
    end_ms: int


class Load:
    """All series of so many targets, from a time on; further steps continue where the last slice ended."""

    def __init__(self, count: int, start_ms: int, step_ms: int, shards: int, request: int) -> None:
        self.series, self.next_ms, self._step_ms = count * targets.SERIES, start_ms, step_ms
        self._values = targets.Values(count)
        self._offsets = np.repeat(targets.offsets_ms(count), targets.SERIES)
        bounds = np.linspace(0, count, min(shards, count) + 1).astype(int)
        self._shards = [_shard(low, high, request) for low, high in pairwise(bounds.tolist())]

    def write(self, steps: int, path: Path) -> Slice:
        """The next steps' requests into a file."""
        places: list[list[tuple[int, int]]] = [[] for _ in self._shards]
        with path.open("wb") as out:

            def put(number: int, bodies: Iterator[bytes]) -> None:
                for body in bodies:
                    places[number].append((out.tell(), len(body)))
                    out.write(body)

            for _ in range(steps):
                values, times_ms = self._values.next().ravel(), self.next_ms + self._offsets
                for number, shard in enumerate(self._shards):
                    put(number, shard.add(values[shard.columns], times_ms[shard.columns]))
                self.next_ms += self._step_ms
            for number, shard in enumerate(self._shards):
                put(number, shard.rest())
        return Slice(path, places, steps * self.series, self.next_ms)


def _shard(low: int, high: int, request: int) -> Shard:
    series = [one for target in range(low, high) for one in targets.labels(target)]
    parts = [slice(at, min(at + request, len(series))) for at in range(0, len(series), request)]
    templates = [(part, Template(series[part])) for part in parts]
    columns = slice(low * targets.SERIES, high * targets.SERIES)
    return Shard(columns, templates, max(1, request // len(series)))
