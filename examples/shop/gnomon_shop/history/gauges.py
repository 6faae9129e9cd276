"""What is read rather than counted: processes, pools, the queue, the certificate; and the browsers' web vitals."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gnomon_shop.history.instruments import COUNTED, QUEUED
from gnomon_shop.history.metrics import Instrument, Meters
from gnomon_shop.history.processes import Schedule, Track
from gnomon_shop.history.traffic import ACTION, HOUR_NS, Rows
from gnomon_shop.history.weather import Weather
from gnomon_shop.load.users import DEVICES, User
from gnomon_shop.load.vitals import LIMITS
from gnomon_shop.parts.database import POOL_SIZE
from gnomon_shop.parts.effects import KEPT_BYTES, KEPT_MOST_BYTES

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_MEGABYTE = 1024 * 1024
_MEMORY_MB = {"gateway": 96, "catalogue": 88, "cart": 78, "checkout": 104, "payment": 72, "recommendation": 74}
_ELSE_MB = 68
_CPU_S = 0.0024  # for a request
_IDLE_RATIO = 0.004
_SYSTEM_RATIO = 0.22
_THREADS = {"catalogue": 9, "checkout": 9}
_POOLED = ("catalogue", "checkout")

# As services/gateway.py has them; the many series are reported every five minutes only.
_VITALS_EVERY = 5
_VITALS = {
    name: Instrument(
        f"web.vitals.{name.lower()}", "histogram", unit, f"{name} as browsers measured it", "shop.gateway",
        bounds=(0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1)
        if name == "CLS"
        else (50, 100, 200, 300, 500, 800, 1200, 1800, 2500, 3000, 4000, 6000, 10_000),
        every=_VITALS_EVERY,
    )
    for name, unit in (("LCP", "ms"), ("FCP", "ms"), ("INP", "ms"), ("TTFB", "ms"), ("CLS", "1"))
}  # fmt: skip
_PAGES = ("home", "list", "search", "view", "cart")  # in the order of their actions
_PAGE_ACTIONS = [ACTION[page] for page in _PAGES]
_RATINGS = ("good", "needs-improvement", "poor")


@dataclass
class Gauges:
    """Reads them at the end of each step; goes from day to day."""

    weather: Weather
    schedule: Schedule
    users: tuple[User, ...]
    _leaked: dict[str, float] = field(default_factory=dict)  # bytes, by service

    def read(self, rng: np.random.Generator, meters: Meters, times: Ints, queued: Floats) -> None:
        """Of all processes; `times` are the ends of the steps, `queued` the messages then in the queue."""
        for track in self.schedule.tracks:
            self._process(rng, meters, track, times)
            if track[0] in _POOLED:
                self._pool(rng, meters, track, times)
        meters.read(("notification", "main"), COUNTED["shop.queue.depth"], QUEUED, queued)
        days = self.weather.certificate_days(times)
        meters.read(("payment", "main"), COUNTED["shop.certificate.days_left"], (("tls.server.name", "bank"),), days)

    def _process(self, rng: np.random.Generator, meters: Meters, track: Track, times: Ints) -> None:
        service, steps = track[0], len(times)
        served, step_s = meters.served(track), meters.step_ns / 1e9
        starts = np.array([process.start_ns for process in self.schedule.tracks[track]])
        age_h = np.maximum((times - starts[self.schedule.numbers(track, times)]) / HOUR_NS, 0)
        base = _MEMORY_MB.get(service, _ELSE_MB) * _MEGABYTE
        memory = base * (1 + 0.03 * np.log1p(age_h) + 0.004 * rng.standard_normal(steps)) + 24_000 * np.sqrt(served)
        if self.weather.planned("memory_growth", service):
            memory += self._leaks(service, served, times)
        meters.read(track, COUNTED["process.memory.usage"], (), np.floor(memory / 4096) * 4096)
        burnt = self.weather.level("cpu_starvation", service, times) * step_s * 0.95
        spent = step_s * _IDLE_RATIO + served * _CPU_S * rng.lognormal(0, 0.05, steps) + burnt
        for mode, share in (("user", 1 - _SYSTEM_RATIO), ("system", _SYSTEM_RATIO)):
            meters.add(track, COUNTED["process.cpu.time"], (("cpu.mode", mode),), times - 1, spent * share)
        meters.read(track, COUNTED["process.cpu.utilization"], (), spent / step_s)
        threads = np.where(burnt > 0, 1.0, 0.0) + _THREADS.get(service, 6)
        meters.read(track, COUNTED["process.thread.count"], (), threads)

    def _leaks(self, service: str, served: Floats, times: Ints) -> Floats:
        """What memory growth keeps; gone as soon as the fault is over."""
        level = self.weather.level("memory_growth", service, times)
        kept = np.zeros(len(times))
        for step in np.flatnonzero(level).tolist():
            before = kept[step - 1] if step else self._leaked.get(service, 0.0)
            kept[step] = min(before + served[step] * KEPT_BYTES * level[step], KEPT_MOST_BYTES)
        self._leaked[service] = float(kept[-1])
        return kept

    def _pool(self, rng: np.random.Generator, meters: Meters, track: Track, times: Ints) -> None:
        level = self.weather.level("pool_exhaustion", track[0], times)
        held = rng.random(len(times)) < level
        used = np.where(held, float(POOL_SIZE), 0.0)
        state = "db.client.connection.state"
        meters.read(track, COUNTED["db.client.connection.count"], ((state, "used"),), used)
        meters.read(track, COUNTED["db.client.connection.count"], ((state, "idle"),), POOL_SIZE - used)
        waiting = np.where(held, rng.poisson(meters.served(track) / 60), 0.0)
        meters.read(track, COUNTED["db.client.connection.pending_requests"], (), waiting)
        meters.read(track, COUNTED["db.client.connection.max"], (), np.full(len(times), float(POOL_SIZE)))

    def vitals(self, rng: np.random.Generator, meters: Meters, rows: Rows) -> None:
        """Of the beacons among the requests, by the formulas of `load/vitals.py`."""
        names = [name for name, *_ in DEVICES]
        devices = np.array([names.index(user.device) for user in self.users])[rows["user"]]
        network = np.array([user.network_ms for user in self.users])[rows["user"]]
        render = np.array([user.render for user in self.users])[rows["user"]]
        count = len(rows)
        first_byte = network + 8 * self.weather.arrivals(rows["at"]) * rng.lognormal(0, 0.4, count)
        first_paint = first_byte + 180 * render * rng.lognormal(0, 0.3, count)
        largest = first_paint + 320 * render * rng.lognormal(0, 0.4, count)
        shift = 0.03 * rng.lognormal(0, 0.8, count) * (1 + largest / 4000)
        values = {
            "TTFB": first_byte, "FCP": first_paint, "LCP": largest,
            "INP": 45 * render * rng.lognormal(0, 0.5, count), "CLS": shift,
        }  # fmt: skip
        kinds = np.searchsorted(_PAGE_ACTIONS, rows["page"]) * len(names) + devices
        for name, value in values.items():
            codes = kinds * len(_RATINGS) + np.digitize(value, LIMITS[name], right=True)
            for code in np.flatnonzero(np.bincount(codes)).tolist():
                rest, rating = divmod(code, len(_RATINGS))
                page, device = divmod(rest, len(names))
                labels = (("page", _PAGES[page]), ("device", names[device]), ("rating", _RATINGS[rating]))
                mine = codes == code
                meters.add(("gateway", "main"), _VITALS[name], labels, rows["at"][mine], value[mine])
