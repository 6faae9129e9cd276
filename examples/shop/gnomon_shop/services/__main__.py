"""One part of the shop as a process: `python -m gnomon_shop.services`, configured by the runner's environment."""

import importlib
import sys

from gnomon_shop import ledger, settings
from gnomon_shop.parts import clock
from gnomon_shop.parts.effects import Effects


def main() -> None:
    """Open the ledger and the plan, put the clock off if planned, and become the service."""
    own = settings.from_environment()
    effects = Effects(own)
    if own.service in settings.SERVICES:  # the outside keeps no ledger: it is not ours
        ledger.open(own)
        clock.distort(effects.skew_ns)
    # httpx brings its command line where pygments can be imported: a quarter of a service's start, for nothing.
    sys.modules["pygments"] = None
    # Imported now, below the distorted clock.
    importlib.import_module(f"gnomon_shop.services.{own.service}").main(own, effects)


if __name__ == "__main__":
    sys.exit(main())
