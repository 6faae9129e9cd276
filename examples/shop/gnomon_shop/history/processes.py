"""The processes of the past: which instance of which version ran when, and restarts at deploys."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from gnomon_shop.history.traffic import DAY_NS, HOUR_NS, MINUTE_NS
from gnomon_shop.history.wire import Attributes
from gnomon_shop.settings import NEXT_VERSION, SERVICES, VERSION

Track = tuple[str, str]  # a service and which of its deployments beside each other: `main` or `next`

_DEPLOY_EVERY_DAYS = 4.5  # of one service, in the mean
_OFFICE_HOURS = (9, 16)
_RESTART_NS = 3_000_000_000  # from the new process's start to the first report that is its own


@dataclass(frozen=True)
class Process:
    """One instance of a service; times in ns, whole minutes apart from its start."""

    track: Track
    version: str
    instance: str
    pid: int
    start_ns: int  # of the process itself: the start time of its counters
    from_ns: int  # from here on what happens is its doing
    to_ns: int

    @property
    def resource(self) -> Attributes:
        """As the live services describe themselves."""
        return resource(self.track[0], self.version, self.instance)


def resource(service: str, version: str, instance: str) -> Attributes:
    """Resource attributes of a service's telemetry."""
    return {
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "opentelemetry",
        "telemetry.sdk.version": "1.45.2",
        "service.namespace": "shop",
        "deployment.environment.name": "demo",
        "service.name": service,
        "service.version": version,
        "service.instance.id": instance,
    }


class Schedule:
    """All processes of a history, by track in the order of time."""

    def __init__(self, seed: int, start_ns: int, end_ns: int, nexts: list[tuple[str, int, int]]) -> None:
        """`nexts`: services of which a second version ran beside the first, from when to when."""
        rng = np.random.default_rng([seed, 0, 3])
        self.tracks: dict[Track, list[Process]] = {}
        for service in SERVICES:
            moments = [start_ns, *_deploys(rng, start_ns, end_ns), end_ns]
            self.tracks[service, "main"] = [
                _process(rng, (service, "main"), _version(len(moments) - 2 - number), begin, end)
                for number, (begin, end) in enumerate(pairwise(moments))
            ]
        for service, first, last in nexts:
            begin, end = max(first // MINUTE_NS * MINUTE_NS, start_ns), min(-(-last // MINUTE_NS) * MINUTE_NS, end_ns)
            self.tracks.setdefault((service, "next"), []).append(
                _process(rng, (service, "next"), NEXT_VERSION, begin, end)
            )

    def during(self, start_ns: int, end_ns: int) -> list[Process]:
        """Those that ran at some time of this."""
        return [p for track in self.tracks.values() for p in track if p.from_ns < end_ns and p.to_ns > start_ns]

    def numbers(self, track: Track, at: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which of the track's processes ran at these moments."""
        begins = np.array([process.from_ns for process in self.tracks[track]])
        return np.maximum(np.searchsorted(begins, at, "right") - 1, 0)


def _deploys(rng: np.random.Generator, start_ns: int, end_ns: int) -> list[int]:
    """Minutes of working days at which a service was deployed anew; a day at most once."""
    found = []
    for midnight in range(-(-start_ns // DAY_NS) * DAY_NS, end_ns, DAY_NS):
        weekday = (midnight // DAY_NS + 3) % 7
        minute = int(rng.integers(_OFFICE_HOURS[0] * 60, _OFFICE_HOURS[1] * 60))
        moment = midnight + minute * MINUTE_NS
        if rng.random() < 7 / 5 / _DEPLOY_EVERY_DAYS and weekday < 5 and moment < end_ns - HOUR_NS:
            found.append(moment)
    return found


def _process(rng: np.random.Generator, track: Track, version: str, begin: int, end: int) -> Process:
    pid = int(rng.integers(1_000, 60_000))
    return Process(track, version, f"{track[0]}-{pid}", pid, begin - _RESTART_NS, begin, end)


def _version(before_last: int) -> str:
    """Of the deployment that many before the present one."""
    major, minor, patch = map(int, VERSION.split("."))
    number = minor * 10 + patch - before_last
    return f"{major}.{number // 10}.{number % 10}"
