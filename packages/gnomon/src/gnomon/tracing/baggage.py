"""Baggage on spans: what a caller sent along, where it was asked for by name."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from opentelemetry import baggage

from gnomon.context import Context


def carried(names: Sequence[str]) -> Callable[[Context], Mapping[str, Any] | None]:
    """What of a context's baggage becomes attributes: the entries of these names; all of them for `*`."""
    wanted, everything = frozenset(names), "*" in names

    def found(context: Context) -> Mapping[str, Any] | None:
        entries = baggage.get_all(context)
        if not entries:
            return None
        return {name: value for name, value in entries.items() if everything or name in wanted}

    return found
