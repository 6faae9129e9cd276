"""How a low part starts the whole: by name, when it is asked to, so that imports still go one way.

The seeds' classes (`DistributedTracing("orders")`, `create_structured_logger("orders")`) are each a beginning: whoever
makes the first one has started the SDK.
"""

import importlib
from typing import Any


def started(**settings: Any) -> Any:
    """The running `ObservabilityManager`; started with these settings if there is none."""
    return importlib.import_module("gnomon.lifecycle").ensure(**settings)


def instrument_app(app: Any, **settings: Any) -> Any:
    """Instrument a web application, and start the SDK with these settings if it does not run yet."""
    return importlib.import_module("gnomon.lifecycle").instrument(app, **settings)
