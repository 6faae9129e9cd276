"""What a part of the SDK is to those who start and stop it, and the registry that holds them by name.

A third party's exporter needs to inherit nothing: it has the methods of `Exporter` and is registered by name.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Literal, Protocol, runtime_checkable

from gnomon.errors import LifecycleError, RegistrationError

_LAST_CHANCE_S = 0.05  # when the deadline is over: long enough for a component to close what it holds, and no more


class State(IntEnum):
    """How a component is; the larger the worse."""

    HEALTHY = 0
    DEGRADED = 1
    FAILED = 2


@dataclass(frozen=True, slots=True)
class Health:
    """A component's state, and why it is not better."""

    state: State = State.HEALTHY
    why: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """The worst state of all components, and each one's health by name."""

    state: State = State.HEALTHY
    parts: Mapping[str, Health] = field(default_factory=dict)


@runtime_checkable
class Component(Protocol):
    """Something that is started, stopped and asked how it is."""

    def start(self) -> None:
        """Begin to work. May raise: what was started before is then stopped again."""

    def shutdown(self, deadline_s: float) -> None:
        """Finish what is under way and let go of threads, sockets and files, within so many seconds."""

    def health(self) -> Health:
        """How it is, without waiting for anything."""


@runtime_checkable
class MetricsComponent(Component, Protocol):
    """Measures."""

    def collect(self) -> Iterable[Any]:
        """What was measured, as immutable snapshots."""


@runtime_checkable
class TracingComponent(Component, Protocol):
    """Makes spans."""

    def flush(self, deadline_s: float) -> bool:
        """Hand over every span that has ended; False when that took longer."""


@runtime_checkable
class LoggingComponent(Component, Protocol):
    """Makes log records."""

    def flush(self, deadline_s: float) -> bool:
        """Hand over every record; False when that took longer."""


@runtime_checkable
class HealthComponent(Component, Protocol):
    """Answers whether the service is ready, for probes."""

    def ready(self) -> Health:
        """The service's readiness; other than `health`, which is this component's own."""


@runtime_checkable
class Exporter(Component, Protocol):
    """Takes telemetry out of the process."""

    def export(self, signal: Literal["traces", "metrics", "logs"], body: bytes) -> bool:
        """Handed an OTLP request in Protobuf that was delivered, from the thread that sends: it is to be quick.

        Whether it was taken is its own affair, as is what it raises: nothing is handed over twice. Its `health` tells.
        """


class ComponentRegistry:
    """Components by name: started in the order of registration, stopped in reverse, asked how they are together."""

    def __init__(self, *, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._components: dict[str, Component] = {}
        self._started: list[str] = []
        self._monotonic_s = monotonic_s

    def register(self, name: str, component: Component) -> None:
        """Add one under a name of its own. RegistrationError: the name is taken, or it is no component."""
        if not name:
            raise RegistrationError(f"{_kind(component)} has no name", hint="Register it under one")
        if isinstance(component, type) or not isinstance(component, Component):
            lacking = [one for one in ("start", "shutdown", "health") if not callable(getattr(component, one, None))]
            what = f"lacks {', '.join(lacking)}" if lacking else "is a class"
            hint = "Register an object with start(), shutdown(deadline_s) and health()"
            raise RegistrationError(f"{name!r} is no component: {_kind(component)} {what}", hint=hint)
        if name in self._components:
            both = f"{_kind(self._components[name])} and {_kind(component)}"
            raise RegistrationError(f"two components are called {name!r}: {both}", hint="Give one of them another name")
        self._components[name] = component

    def __getitem__(self, name: str) -> Component:
        """The component of a name. KeyError when there is none."""
        return self._components[name]

    def __contains__(self, name: object) -> bool:
        return name in self._components

    def of(self, kind: type[Any]) -> dict[str, Any]:
        """Those that have a kind's methods, `registry.of(Exporter)`, by name."""
        return {name: component for name, component in self._components.items() if isinstance(component, kind)}

    def start(self, rollback_s: float = 5.0) -> None:
        """Start all that is not running. LifecycleError names the one that failed; those before it are stopped."""
        before = list(self._started)
        for name, component in self._components.items():
            if name in before:
                continue
            try:
                component.start()
            except Exception as error:
                new = [one for one in self._started if one not in before]
                unstopped = self._stop(new, rollback_s)
                also = "".join(f"; {one} could not be stopped: {why}" for one, why in unstopped.items())
                what = f"{name!r} could not be started: {error!r}{also}"
                raise LifecycleError(what, hint="What had been started before it was stopped again") from error
            self._started.append(name)

    def shutdown(self, deadline_s: float) -> dict[str, str]:
        """Stop all that runs, in reverse, within so many seconds together. Never raises; says who did not stop, why."""
        return self._stop(self._started, deadline_s)

    def health(self) -> Report:
        """The worst state of those that run, and each one's; never raises."""
        parts = {name: _health(self._components[name]) for name in list(self._started)}
        return Report(max((one.state for one in parts.values()), default=State.HEALTHY), parts)

    def _stop(self, names: list[str], deadline_s: float) -> dict[str, str]:
        end_s = self._monotonic_s() + deadline_s
        unstopped: dict[str, str] = {}
        for name in reversed(names):
            left_s = max(end_s - self._monotonic_s(), 0.0)
            why = _stopped(name, self._components[name], left_s)
            if why:
                unstopped[name] = why
        self._started = [name for name in self._started if name not in names]
        return unstopped


def _stopped(name: str, component: Component, left_s: float) -> str:
    """Stop one, beside us: one that hangs must not keep the process from ending. Why it failed, or nothing."""
    failure = [f"it did not end within {left_s:.1f} s"]

    def stop() -> None:
        try:
            component.shutdown(left_s)
        except Exception as error:  # noqa: BLE001 - the others are to be stopped too
            failure[0] = repr(error)
        else:
            failure[0] = ""

    thread = threading.Thread(target=stop, name=f"gnomon-stop-{name}", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # the interpreter is ending and gives no more threads
        stop()
    else:
        thread.join(left_s + _LAST_CHANCE_S)
    return failure[0]


def _health(component: Component) -> Health:
    try:
        found = component.health()
    except Exception as error:  # noqa: BLE001 - whoever asks is to hear of the others too
        return Health(State.FAILED, f"health() raised {error!r}")
    return found if isinstance(found, Health) else Health(State.FAILED, f"health() returned {found!r}")


def _kind(component: object) -> str:
    kind = component if isinstance(component, type) else type(component)
    return f"{kind.__module__}.{kind.__qualname__}"
