"""Traces: spans behind OpenTelemetry's API, encoded the moment they end.

from gnomon.tracing import DistributedTracing

tracing = DistributedTracing("orders")
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gnomon.tracing.system import DistributedTracing, TracingSystem, start_span, trace_function

__all__ = ["DistributedTracing", "TracingSystem", "start_span", "trace_function"]


def __getattr__(name: str) -> Any:
    """The names that applications use, without the cost for those who import our inner parts alone."""
    if name not in __all__:
        raise AttributeError(f"module 'gnomon.tracing' has no attribute {name!r}")
    return getattr(importlib.import_module("gnomon.tracing.system"), name)
