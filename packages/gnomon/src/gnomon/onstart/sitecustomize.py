"""Imported by Python when it starts, under `gnomon-run`: start the SDK, then do what another sitecustomize would."""

import importlib.machinery
import importlib.util
import sys
from pathlib import Path

_here = str(Path(__file__).parent)


def _next() -> None:
    """Load the `sitecustomize` that we stand before, if there is one."""
    others = [path for path in sys.path if path != _here]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


def _start() -> None:
    try:
        import gnomon  # noqa: PLC0415 - inside of the guard

        gnomon.instrument()
    except Exception as error:  # noqa: BLE001 - the program must run, whatever becomes of us
        print(f"gnomon-run: not instrumented: {error}", file=sys.stderr)  # noqa: T201 - there is no log yet


_start()
_next()
