"""A provider of the test's own."""

import pytest
from tests.sdk.tracing.traces import Traces


@pytest.fixture
def traces() -> Traces:
    """Keeps everything."""
    return Traces()
