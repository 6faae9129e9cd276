"""Metrics: instruments, the registry, `/metrics`.

    from gnomon.metrics import Counter, Histogram

    placed = Counter("shop.orders.placed", "Orders that were paid", labels=("method",))
    placed.inc(method="card")

What is named here is loaded when it is first used: measuring loads no server, no sockets, no renderer.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gnomon.metrics.cells import set_exemplar_source
    from gnomon.metrics.collect import Deltas, Family
    from gnomon.metrics.collector import MetricsCollector
    from gnomon.metrics.endpoint import Endpoint
    from gnomon.metrics.instruments import (
        Counter,
        ExponentialHistogram,
        Gauge,
        Histogram,
        ObservableCounter,
        ObservableGauge,
        ObservableUpDownCounter,
        Summary,
        UpDownCounter,
    )
    from gnomon.metrics.otel import MeterProvider
    from gnomon.metrics.registry import Registry, default_registry
    from gnomon.metrics.windows import Window, Windows

_HOMES = {
    "instruments": (
        "Counter", "ExponentialHistogram", "Gauge", "Histogram", "ObservableCounter", "ObservableGauge",
        "ObservableUpDownCounter", "Summary", "UpDownCounter",
    ),
    "cells": ("set_exemplar_source",),
    "collect": ("Deltas", "Family"),
    "collector": ("MetricsCollector",),
    "endpoint": ("Endpoint",),
    "otel": ("MeterProvider",),
    "registry": ("Registry", "default_registry"),
    "windows": ("Window", "Windows"),
}  # fmt: skip
_HOME = {name: home for home, told in _HOMES.items() for name in told}

__all__ = [
    "Counter",
    "Deltas",
    "Endpoint",
    "ExponentialHistogram",
    "Family",
    "Gauge",
    "Histogram",
    "MeterProvider",
    "MetricsCollector",
    "ObservableCounter",
    "ObservableGauge",
    "ObservableUpDownCounter",
    "Registry",
    "Summary",
    "UpDownCounter",
    "Window",
    "Windows",
    "default_registry",
    "set_exemplar_source",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
