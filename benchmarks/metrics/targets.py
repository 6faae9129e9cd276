"""What is measured: targets of a hundred series each (counters, two classic histograms, gauges), scrape after scrape.

A target's scrapes stand off whole seconds, as real ones do: so no sample lies on the edge of a window, where Prometheus
2.42 (closed on the left) and 3.x (open) differ.
"""

from collections.abc import Iterator

import numpy as np

SERIES = 100
"""Of a target."""

PATHS = [f"/api/v1/{name}" for name in ("users", "items", "orders", "search", "login", "cart", "pay", "status")]
_BOUNDS = ("0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "+Inf")
_MODES = ("user", "system", "idle", "iowait", "irq", "softirq", "steal", "nice")
_QUEUES = ("mail", "index", "export", "audit")
_JOBS = 8
_RESTARTS_EVERY = 4_000  # steps, a target: some 17 hours

# The places of a target's series in the order of `labels`.
_BUCKETS, _COUNTS, _REQUESTS, _SECONDS = slice(0, 22), slice(22, 24), slice(24, 72), slice(72, 90)
_DEPTHS, _MEMORY, _TENTHS, _CONSTANT = slice(90, 94), slice(94, 95), slice(95, 97), slice(97, 100)


def labels(target: int) -> Iterator[dict[str, str]]:
    """The labels of each series of a target."""
    common = {"instance": f"10.{target >> 8}.{target & 255}.7:9100", "job": f"service-{target % _JOBS}"}

    def named(name: str, **more: str) -> dict[str, str]:
        return {"__name__": name, **common, **more}

    for path in PATHS[:2]:
        yield from (named("http_request_duration_seconds_bucket", path=path, le=bound) for bound in _BOUNDS)
    yield from (named("http_request_duration_seconds_count", path=path) for path in PATHS[:2])
    for path in PATHS:
        for method in ("GET", "POST"):
            yield from (
                named("http_requests_total", path=path, method=method, status=code) for code in ("200", "404", "500")
            )
    yield from (named("http_request_duration_seconds_sum", path=path) for path in PATHS[:2])
    for cpu in ("0", "1"):
        yield from (named("node_cpu_seconds_total", cpu=cpu, mode=mode) for mode in _MODES)
    yield from (named("queue_depth", queue=queue) for queue in _QUEUES)
    yield from map(named, ("node_memory_used_bytes", "temperature_celsius", "node_load1", "node_memory_limit_bytes"))
    yield named("up")
    yield named("build_info", version=f"1.{target % 5}.0")


def offsets_ms(targets: int) -> np.ndarray:
    """When in the fifteen seconds each target is scraped: int64[targets], never on a whole second."""
    target = np.arange(targets)
    return target * 7 % 14 * 1000 + 137 + target % 700


class Values:
    """The values of all series, step after step; always the same ones."""

    def __init__(self, targets: int) -> None:
        self._random = np.random.default_rng(5)
        self._steps, self._targets = 0, np.arange(targets)
        # Events from scrape to scrape: few series are busy.
        self._rates = self._random.gamma(0.5, 40.0, (targets, _SECONDS.stop))
        self._grown = np.zeros((targets, _SECONDS.stop))
        self._wandering = np.full((targets, 7), 300.0)
        self._constant = np.tile((8e9, 1.0, 1.0), (targets, 1))

    def next(self) -> np.ndarray:
        """float64[targets, 100] of the next step."""
        self._grown += self._random.poisson(self._rates)
        self._grown[(self._steps + self._targets * 97) % _RESTARTS_EVERY == _RESTARTS_EVERY - 1] = 0
        self._wandering += self._random.integers(-9, 10, self._wandering.shape)
        self._steps += 1
        values = np.empty((len(self._targets), SERIES))
        values[:, _BUCKETS] = self._grown[:, _BUCKETS].reshape(-1, 2, 11).cumsum(axis=2).reshape(-1, 22)
        values[:, _COUNTS] = values[:, (10, 21)]
        values[:, _REQUESTS] = self._grown[:, _REQUESTS]
        values[:, _SECONDS] = self._grown[:, _SECONDS] / 100
        values[:, _DEPTHS] = np.abs(self._wandering[:, :4])
        values[:, _MEMORY] = np.abs(self._wandering[:, 4:5]) * 4096 * 1000
        values[:, _TENTHS] = self._wandering[:, 5:7] / 10
        values[:, _CONSTANT] = self._constant
        return values
