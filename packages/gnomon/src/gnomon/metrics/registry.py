"""The registry: each name once, with one meaning."""

import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from gnomon.errors import MetricsError
from gnomon.metrics import names
from gnomon.process.forks import after_fork
from gnomon.wire.envelope import Scope
from gnomon.wire.metrics import COUNTER, OURS, Family, Number, Point

Signature = dict[str, Any]
# Two thousand series an instrument are as many as a Prometheus bears from one target; the OTel default, too.
CAP = 2000
_OWN = str(Path(__file__).parent)


class Registrable(Protocol):
    """What the registry asks of an instrument."""

    name: str
    description: str
    unit: str
    cap: int | None
    workers: str
    scope: Scope
    label_names: Any

    @property
    def kind(self) -> str:
        """One of the kinds of `wire.metrics`."""
        ...

    @property
    def signature(self) -> Signature:
        """What must be equal for two instruments to be the same one."""
        ...

    def limit(self, most: int) -> None:
        """Be told the cap."""

    def points(self) -> Iterable[Point]:
        """The numbers as they stand."""
        ...

    def reset(self) -> None:
        """Begin anew, in the child of a fork."""


R = TypeVar("R", bound=Registrable)


class Registry:
    """All instruments of a service.

    Args:
        cap: how many label sets an instrument may have, unless it says otherwise itself.

    Attributes:
        view: what collected families pass through: other names, other labels; None: they stay as they are.
    """

    def __init__(self, cap: int = CAP) -> None:
        if cap < 1:
            raise MetricsError(f"cap={cap} leaves no room for a single label set", hint="Give 1 or more")
        self._cap = cap
        self._instruments: dict[tuple[Scope, str], Any] = {}
        self._owners: dict[str, tuple[Any, str]] = {}
        self.view: Callable[[list[Family]], list[Family]] | None = None
        self._start_ns = time.time_ns()
        self._lock = threading.Lock()
        after_fork(self.reset)

    @property
    def cap(self) -> int:
        """How many label sets an instrument may have, unless it says otherwise itself; also those that there are."""
        return self._cap

    @cap.setter
    def cap(self, most: int) -> None:
        self._cap = most
        for one in list(self._instruments.values()):
            if not one.cap:
                one.limit(most)

    def register(self, made: R) -> R:
        """The instrument of this name: the one given, or the one that is registered with the same signature.

        Raises:
            MetricsError: the name or a label is not allowed, or the name is taken by something else.
        """
        otel = made.scope is not OURS
        names.check_name(made.name, otel=otel)
        if made.label_names is not None:
            made.label_names = names.check_labels(made.name, made.kind, made.label_names)
        # Under its exposed name: a.b and a_b would be one in Prometheus.
        key = f"{made.scope.name}\n{names.exposed(made.name, made.unit, made.kind)}"
        with self._lock:
            known = self._owners.get(key) or self._owners.get(f"{made.scope.name}\n{made.name}")
            if known:
                return self._same(made, *known)
            made.limit(made.cap or self._cap)
            self._owners[key] = self._owners[f"{made.scope.name}\n{made.name}"] = (made, _caller())
            self._instruments[made.scope, made.name] = made
        return made

    def _same(self, made: R, known: Any, owner: str) -> R:
        if known.name == made.name and known.signature == made.signature:
            return known  # type: ignore[no-any-return]
        if known.name != made.name:
            both = names.exposed(made.name, made.unit, made.kind)
            differs = f"it is {known.name!r} there, and both are {both!r} in Prometheus"
        else:
            differs = "; ".join(
                f"{part} is {known.signature.get(part)!r} there and {value!r} here"
                for part, value in made.signature.items()
                if known.signature.get(part) != value
            )
        raise MetricsError(
            f"metric {made.name!r} of {_caller()} is registered already, by {owner}: {differs}",
            hint="Rename one of them, or give both the same type, labels and unit",
        )

    def unregister(self, name: str, scope: Scope = OURS) -> None:
        """Forget an instrument; nothing happens if there is none. Those who hold it measure into the void."""
        with self._lock:
            gone = self._instruments.pop((scope, name), None)
            self._owners = {key: owned for key, owned in self._owners.items() if owned[0] is not gone}

    def get(self, name: str, scope: Scope = OURS) -> Any:
        """The instrument, or None."""
        return self._instruments.get((scope, name))

    def collect(self) -> list[Family]:
        """All numbers as they stand, instrument by instrument, then what was dropped, if anything was."""
        now_ns = time.time_ns()
        instruments = list(self._instruments.values())
        families = [
            Family(one.name, one.kind, one.description, one.unit, now_ns, tuple(points), one.scope, one.workers)
            for one in instruments
            if (points := one.points())
        ]
        overflowed = [(one, one.overflowed, one.guilty) for one in instruments if getattr(one, "overflowed", 0)]
        refused = [(one, one.refused, "") for one in instruments if getattr(one, "refused", 0)]
        found = [
            *families,
            *self._dropped("gnomon.metrics.overflow", "Measurements that came after the cap on label sets", overflowed),
            *self._dropped("gnomon.metrics.refused", "Values that were no measurements", refused),
        ]
        return self.view(found) if self.view is not None else found

    def _dropped(self, name: str, description: str, counted: list[tuple[Any, int, str]]) -> list[Family]:
        if not counted:
            return []
        points = tuple(
            Number((("instrument", one.name), *((("label", guilty),) if guilty else ())), self._start_ns, count)
            for one, count, guilty in counted
        )
        return [Family(name, COUNTER, description, "", time.time_ns(), points)]

    def reset(self) -> None:
        """Begin at nothing, for we are the child of a fork: the parent reports what was counted before."""
        self._lock = threading.Lock()
        self._start_ns = time.time_ns()
        for instrument in self._instruments.values():
            instrument.reset()


def _caller() -> str:
    """module:line of the first frame outside this package."""
    frame = sys._getframe(1)  # noqa: SLF001 - the way `logging` and `warnings` find their callers, too
    while frame.f_back and frame.f_code.co_filename.startswith(_OWN):
        frame = frame.f_back
    return f"{frame.f_globals.get('__name__', '?')}:{frame.f_lineno}"


_default: Registry | None = None


def default_registry() -> Registry:
    """The process's own registry; made when first asked for."""
    global _default  # noqa: PLW0603 - the one place of the one registry
    if _default is None:
        _default = Registry()
    return _default
