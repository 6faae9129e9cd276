"""Telemetry in tests: what was recorded, in order, with ids that count and a clock that ticks.

    from gnomon.testing import capture

    with capture() as captured:
        place_order()
    assert captured.span("place_order").attributes["items"] == 3

With pytest the fixture `gnomon_capture` is there by itself.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gnomon.testing.captured import Capture, TickingClock, capture

__all__ = ["Capture", "TickingClock", "capture"]


def __getattr__(name: str) -> Any:
    """Looked up when asked for: pytest imports our plugin, and so this, in every project that has us installed."""
    if name not in __all__:
        raise AttributeError(f"module 'gnomon.testing' has no attribute {name!r}")
    return getattr(importlib.import_module("gnomon.testing.captured"), name)
