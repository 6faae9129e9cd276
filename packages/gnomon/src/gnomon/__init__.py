"""The Gnomon SDK: metrics, traces and logs for a Python service in two lines.

    import gnomon
    gnomon.instrument(app)

Importing this package loads nothing else: what is named here is looked up when it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from gnomon.version import __version__ as __version__

if TYPE_CHECKING:
    from gnomon import errors, logging, metrics, tracing
    from gnomon.config.settings import ObservabilityConfig
    from gnomon.errors import ObservabilityError
    from gnomon.lifecycle import flush, instrument, shutdown, status
    from gnomon.logging import get_logger
    from gnomon.manager import ObservabilityManager
    from gnomon.metrics import Counter, Gauge, Histogram, Summary
    from gnomon.tracing.system import start_span as span
    from gnomon.tracing.system import trace_function

# Each public name, and where it lives.
_NAMES = {
    "instrument": "gnomon.lifecycle:instrument",
    "flush": "gnomon.lifecycle:flush",
    "shutdown": "gnomon.lifecycle:shutdown",
    "status": "gnomon.lifecycle:status",
    "span": "gnomon.tracing.system:start_span",
    "trace_function": "gnomon.tracing.system:trace_function",
    "get_logger": "gnomon.logging:get_logger",
    "Counter": "gnomon.metrics:Counter",
    "Gauge": "gnomon.metrics:Gauge",
    "Histogram": "gnomon.metrics:Histogram",
    "Summary": "gnomon.metrics:Summary",
    "ObservabilityConfig": "gnomon.config.settings:ObservabilityConfig",
    "ObservabilityManager": "gnomon.manager:ObservabilityManager",
    "ObservabilityError": "gnomon.errors:ObservabilityError",
    "errors": "gnomon.errors",
    "logging": "gnomon.logging",
    "metrics": "gnomon.metrics",
    "tracing": "gnomon.tracing",
}

__all__ = [  # noqa: RUF022 - in the order in which they are met
    "instrument",
    "flush",
    "shutdown",
    "status",
    "span",
    "trace_function",
    "get_logger",
    "Counter",
    "Gauge",
    "Histogram",
    "Summary",
    "ObservabilityConfig",
    "ObservabilityManager",
    "ObservabilityError",
    "errors",
    "logging",
    "metrics",
    "tracing",
]


def __getattr__(name: str) -> Any:
    """Look a public name up, and keep it."""
    try:
        module, _, attribute = _NAMES[name].partition(":")
    except KeyError:
        raise AttributeError(f"module 'gnomon' has no attribute {name!r}") from None
    found = importlib.import_module(module)
    value = globals()[name] = getattr(found, attribute) if attribute else found
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_NAMES})
