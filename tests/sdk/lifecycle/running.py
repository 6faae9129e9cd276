"""The SDK in the test's own process."""

from typing import Any

from tests.sdk.receiver import Receiver

import gnomon
from gnomon.manager import ObservabilityManager

QUIET: dict[str, Any] = {
    "service_name": "life", "logs.console": "off", "metrics.process": False, "metrics.runtime": False,
    "integrations": {"*": False},
}  # fmt: skip


def started(receiver: Receiver | None = None, **settings: Any) -> ObservabilityManager:
    """The SDK, sending to a receiver, or nothing."""
    way = {"endpoint": receiver.url} if receiver else {"export.protocol": "none"}
    return gnomon.instrument(**{**QUIET, **way, **settings})
