"""A receiver, and the end of the SDK with every test."""

import signal
from collections.abc import Iterator

import pytest
from tests.sdk.receiver import Receiver, receiving

import gnomon


@pytest.fixture(autouse=True)
def stopped() -> Iterator[None]:
    """Nothing runs after a test, and signals are as they were."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    gnomon.shutdown(2)
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Takes everything."""
    with receiving() as one:
        yield one
