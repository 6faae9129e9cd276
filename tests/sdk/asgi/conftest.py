"""The SDK at work, sending nothing, and applications behind a real uvicorn."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from tests.sdk.asgi.served import serving

from gnomon.testing import Capture, capture

SETTINGS: dict[str, Any] = {"service_name": "shop", "metrics.process": False, "integrations": {"httpx": False}}


@pytest.fixture
def settings() -> dict[str, Any]:
    """A test's own settings."""
    return {}


@pytest.fixture
def captured(settings: dict[str, Any]) -> Iterator[Capture]:
    """What was recorded; metrics begin at nothing."""
    with capture(**{**SETTINGS, **settings}) as found:
        found.manager.recorders.registry.reset()
        yield found


@pytest.fixture
def serve(captured: Capture) -> Iterator[Callable[[Any], int]]:
    """Serve an application; its port. All are stopped with the test."""
    with ExitStack() as stack:
        yield lambda app: stack.enter_context(serving(app))
