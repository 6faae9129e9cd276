"""The pytest plugin: found by its entry point, imports nothing of ours before a test asks for it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from gnomon.testing.captured import Capture


@pytest.fixture
def gnomon_capture() -> Iterator["Capture"]:
    """All spans, log lines and metrics of the test; nothing is sent. Ids count from 1, time ticks by a millisecond."""
    from gnomon.testing.captured import capture  # noqa: PLC0415 - most tests of most projects do not ask for it

    with capture() as captured:
        yield captured
