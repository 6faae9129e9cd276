"""What a decoder is given beside the bytes: limits, the time, caches, and what is known already."""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from gnomon_server.decode.otlp.attributes import AttributeLimits, AttributeTable
from gnomon_server.decode.otlp.metric import Metrics
from gnomon_server.decode.otlp.resources import Known

NS_PER_DAY = 86_400_000_000_000
# DateTime64(9) ends in 2262, the hour of its sort key (32-bit seconds) in 2106.
MAX_NS = (1 << 32) * 1_000_000_000 - 1


class Seen(Protocol):
    """Which descriptive rows (series, resources) the store has already; intake keeps the answer."""

    def unseen(self, tenant: str, kind: str, ids: np.ndarray, days: np.ndarray) -> np.ndarray:
        """bool[n]: True where the row (kind, id, day) must be sent. ids: uint64[n], days since 1970: int32[n]."""
        ...


class NothingSeen:
    """Every descriptive row is sent: right for tests and for a store that is empty."""

    def unseen(self, tenant: str, kind: str, ids: np.ndarray, days: np.ndarray) -> np.ndarray:  # noqa: ARG002  (Seen)
        """All of them."""
        return np.ones(len(ids), np.bool_)


@dataclass(slots=True)
class DecodeContext:
    """One decoding thread's caches and the settings that hold for every request.

    `latest_ns` is the newest acceptable time (now + what is configured), in nanoseconds since the epoch; records after
    it are refused. Set it before each request.
    """

    attribute_limits: AttributeLimits = field(default_factory=AttributeLimits)
    body_limit_bytes: int = 1 << 20
    latest_ns: int = MAX_NS
    seen: Seen = field(default_factory=NothingSeen)
    known: Known = field(default_factory=Known)
    metrics: Metrics = field(default_factory=Metrics)
    attributes: AttributeTable = field(init=False)

    def __post_init__(self) -> None:
        self.attributes = AttributeTable(self.attribute_limits)
