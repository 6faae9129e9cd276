"""Our server beside a real Prometheus 2.42, with the same series in both."""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests import real_prometheus
from tests.real_prometheus import ask
from tests.remote_write import STALE, V1, compressed, request
from tests.server import Server

STEP_MS, STEPS = 15_000, 81
ODD = [
    1, 0.1, -0.0, 1e21, 9.99e20, 1e20, 1.5e16, 1e15, 123456789.125, 1e-5, 9.9e-6, 1e-6, 9.9e-7, 1.5e-7, 5e-324,
    1.7976931348623157e308, math.inf, -math.inf, math.nan, -273.15,
]  # fmt: skip
STRANGE = 'a "quoted" <b> & \\ é \u2028 🙂'


@dataclass(frozen=True)
class Pair:
    """Our server and a Prometheus with the same series, which end at `end_ms`; `folder` for more of the kind."""

    ours: str
    theirs: str
    end_ms: int
    folder: Path

    @property
    def times(self) -> dict[str, str]:
        """A window whose steps fall between the samples: 3.x and 2.42 differ in what lies on an edge."""
        start, end = self.end_ms - STEP_MS * (STEPS - 30) + 7_125, self.end_ms
        return {"start": f"{start / 1000:.3f}", "end": f"{end / 1000:.3f}", "step": "47.5"}

    def both(
        self, path: str, parameters: Mapping[str, Any], **more: Any
    ) -> tuple[tuple[int, bytes], tuple[int, bytes]]:
        """What each says."""
        return ask(self.ours, path, parameters, **more), ask(self.theirs, path, parameters, **more)


@contextmanager
def running(folder: Path) -> Iterator[Pair]:
    """Both, sent the same series."""
    end_ms = int(time.time()) * 1000 - 5_000
    body = compressed(request(V1, _series(end_ms)))
    with ExitStack() as stack:
        theirs = stack.enter_context(real_prometheus.running(folder / "theirs"))
        server = Server(folder)
        server.start()
        stack.callback(server.stop)
        for address in (server.api, theirs):
            real_prometheus.write(address, body)
        yield Pair(server.api, theirs, end_ms, folder)


def _series(end_ms: int) -> list[dict[str, Any]]:
    times = [end_ms - STEP_MS * (STEPS - 1 - step) for step in range(STEPS)]
    made: list[dict[str, Any]] = []
    for number in range(12):
        labels = {"__name__": "requests_total", "path": f"/{number % 4}", "code": str(200 + number // 4 * 100)}
        made.append(
            {
                "labels": {**labels, "job": "shop", "instance": "one:80"},
                "samples": [(step * (number + 0.5), at) for step, at in enumerate(times)],
            }
        )
    odd = {"__name__": "odd", "strange": STRANGE, "job": "shop", "instance": "one:80"}
    made.append({"labels": odd, "samples": [(ODD[step % len(ODD)], at) for step, at in enumerate(times)]})
    gone = {"__name__": "gone", "job": "shop", "instance": "one:80"}
    made.append({"labels": gone, "samples": [(STALE if 40 < step < 60 else step, at) for step, at in enumerate(times)]})
    native = {"__name__": "native", "job": "shop", "instance": "one:80"}
    made.append({"labels": native, "histograms": [_histogram(step, at) for step, at in enumerate(times)]})
    for bound in ("0.1", "1", "+Inf"):
        labels = {"__name__": "latency_bucket", "le": bound, "job": "shop", "instance": "one:80"}
        slope = {"0.1": 1, "1": 3, "+Inf": 4}[bound]
        exemplars = [({"trace_id": f"{7:032x}", "hint": "slow"}, 0.75, times[-1])] if bound == "1" else []
        made.append(
            {"labels": labels, "samples": [(step * slope, at) for step, at in enumerate(times)], "exemplars": exemplars}
        )
    return made


def _histogram(step: int, at: int) -> dict[str, Any]:
    return {
        "count_int": 6 * step,
        "sum": 12.5 * step,
        "schema": 1,
        "zero_threshold": 1e-128,
        "zero_count_int": step,
        "positive_spans": [{"offset": -2, "length": 2}, {"offset": 3, "length": 1}],
        "positive_deltas": [step, step, -step],
        "negative_spans": [{"offset": 0, "length": 1}],
        "negative_deltas": [step],
        "timestamp": at,
    }


def assert_alike(ours: Any, theirs: Any) -> None:
    """The same, numbers (which are texts) within 1e-9."""
    assert type(ours) is type(theirs)
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys()
        for name in ours:
            assert_alike(ours[name], theirs[name])
    elif isinstance(ours, list):
        assert len(ours) == len(theirs)
        for mine, other in zip(ours, theirs, strict=True):
            assert_alike(mine, other)
    elif ours != theirs:
        assert float(ours) == pytest.approx(float(theirs), rel=1e-9, nan_ok=True)
