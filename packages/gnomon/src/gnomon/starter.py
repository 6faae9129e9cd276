"""How a low part starts the whole: by name, when it is asked to, so that imports still go one way.

`DistributedTracing("orders")` is a beginning: whoever makes the first one has started the SDK. A logger is not: loggers
are made when modules are imported, before anybody could have given settings.
"""

import importlib
from typing import Any


def started(**settings: Any) -> Any:
    """The running `ObservabilityManager`; started with these settings if there is none."""
    return importlib.import_module("gnomon.lifecycle").ensure(**settings)


def instrument_app(app: Any, **settings: Any) -> Any:
    """Instrument a web application, and start the SDK with these settings if it does not run yet."""
    return importlib.import_module("gnomon.lifecycle").instrument(app, **settings)
