"""Telemetry in tests: what was recorded, in order, with ids that count and a clock that ticks.

    from gnomon.testing import capture

    with capture() as captured:
        place_order()
    assert captured.span("place_order").attributes["items"] == 3

With pytest the fixture `gnomon_capture` is there by itself.
"""

from gnomon.testing.capture import Capture, TickingClock, capture

__all__ = ["Capture", "TickingClock", "capture"]
