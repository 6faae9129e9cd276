"""The SDKs that the shop can run on: a module each, with the same functions; `SHOP_SDK` chooses."""

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gnomon_shop import ledger

NAMES = ("gnomon", "otel")


@dataclass
class Counts:
    """What became of one signal, in spans, log records or data points."""

    signal: str
    made: int = 0
    delivered: int = 0
    lost: int = 0
    look: Callable[[], object] | None = None
    """Brings the numbers up to date, for an SDK that keeps them itself."""

    def write(self) -> None:
        """Into the ledger, as it stands."""
        if self.look is not None:
            self.look()
        ledger.telemetry(self.signal, made=self.made, delivered=self.delivered, lost=self.lost)

    def close(self) -> None:
        """Into the ledger for the last time: what has not been delivered by now never will be."""
        self.lost = self.made - self.delivered
        self.write()


def chosen() -> Any:
    """The module of the SDK that this process runs on."""
    return importlib.import_module(f"gnomon_shop.parts.sdk.{os.environ.get('SHOP_SDK', NAMES[0])}")
