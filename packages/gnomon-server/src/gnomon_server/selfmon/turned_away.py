"""Who is turned away, and why: exporters that speak the wrong protocol, use the wrong path or an unknown token.

Their own logs say it at best once; here it is counted, with the peer, so that `gnomon doctor` can name the sender.
Bounded: a sender that comes with ever new things pushes out what was not seen for longest.
"""

from collections import OrderedDict
from dataclasses import asdict, dataclass
from typing import Any

from gnomon_server.selfmon.clock import Clock
from gnomon_server.selfmon.registry import Registry

_KEPT = 500
_SEEN_CHARACTERS = 120


@dataclass(slots=True)
class TurnedAway:
    """One sender, for one reason, at one listener. `seen` is what it sent last: a path, the first bytes."""

    listener: str
    reason: str
    peer: str
    agent: str
    first_ns: int
    last_ns: int = 0
    count: int = 0
    seen: str = ""


class DoorBook:
    """The book of one server."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock
        self._all: OrderedDict[tuple[str, str, str, str], TurnedAway] = OrderedDict()

    def turn_away(self, listener: str, reason: str, peer: str, seen: str, agent: str = "") -> None:
        """Note one. `reason` is a code of ours, `peer` an address without its port, `seen` and `agent` are theirs."""
        self._registry.count("gnomon_turned_away_total", listener=listener, reason=reason)
        now_ns = self._clock.now_ns()
        key = (listener, reason, peer, agent[:_SEEN_CHARACTERS])
        entry = self._all.get(key)
        if entry is None:
            entry = self._all[key] = TurnedAway(*key, now_ns)
            if len(self._all) > _KEPT:
                self._all.popitem(last=False)
        self._all.move_to_end(key)
        entry.last_ns, entry.seen = now_ns, seen[:_SEEN_CHARACTERS]
        entry.count += 1

    def listed(self) -> list[dict[str, Any]]:
        """All, the latest first."""
        return [asdict(entry) for entry in reversed(self._all.values())]
