"""What all loggers share: where lines go, and what they pass through. All loggers and bridges lead here."""

import logging
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from gnomon.components import Health, State
from gnomon.export.outlet import Outlet
from gnomon.logging import exceptions
from gnomon.logging.categories import LogCategory, LogLevel
from gnomon.logging.levels import Levels
from gnomon.logging.sampling import Sampling
from gnomon.logging.source import MOST_FIELDS, Source, Texts
from gnomon.logging.writer import Console, console
from gnomon.wire.attributes import LONGEST_VALUE, Mask
from gnomon.wire.envelope import Scope

# Loggers are named in code; whoever makes them by the thousand has what is beyond under one name.
MOST_SOURCES = 4096
OTHERS = "gnomon.others"

_log = logging.getLogger("gnomon.logging")


def uncounted(event: str) -> None:
    """Nobody counts security events."""


class Pipeline:
    """All that loggers share.

    Args:
        outlet: the queue of OTLP records; None: nothing is shipped.
        service_name: of lines whose logger names no other.
        environment: likewise, such as "production".
        shows: the console; None: nothing is written.
        levels: who logs from which level on.
        sampling: which lines are kept.
        mask: every text passes through it before it leaves, by OTLP or to the console.
        masks: by category, in its place; None keeps the values of that category in full.
        describe: an exception as attributes.
        on_security: called with the `security_event` of every security line, to be counted.
        time_ns: Unix nanoseconds.
        most_fields: of a line; further ones are counted.
        longest: characters of a text attribute; the rest is cut.

    Attributes:
        faults: lines lost by a mistake of ours, or of a hook.
        sampled_out: lines that sampling let go.
    """

    def __init__(
        self,
        outlet: Outlet | None = None,
        service_name: str = "unknown_service",
        *,
        environment: str = "",
        shows: Console | None = None,
        levels: Levels | None = None,
        sampling: Sampling | None = None,
        mask: Mask | None = None,
        masks: Mapping[str, Mask | None] | None = None,
        describe: Callable[[BaseException], Mapping[str, Any]] = exceptions.described,
        on_security: Callable[[str], object] = uncounted,
        time_ns: Callable[[], int] = time.time_ns,
        most_fields: int = MOST_FIELDS,
        longest: int = LONGEST_VALUE,
    ) -> None:
        self.outlet, self.service_name, self.environment = outlet, service_name, environment
        self.console, self.describe, self.on_security, self.time_ns = shows, describe, on_security, time_ns
        self.most_fields, self._longest = most_fields, longest
        self.sampling = sampling or Sampling({})
        self.faults = self.sampled_out = 0
        self._sources: dict[tuple[Any, ...], Source] = {}
        self.remask(mask, masks)
        self.levels = levels or Levels()
        self.levels.changed, self.levels.audit = self.refresh, self._audit

    def source(
        self, name: str, service_name: str = "", environment: str = "", own_level: int | None = None,
        *, ships: bool = True, scope: Scope | None = None,
    ) -> Source:  # fmt: skip
        """The source of a logger; the same one for the same arguments.

        Args:
            name: the logger's.
            service_name: where it is not the pipeline's.
            environment: likewise.
            own_level: what its code asks for.
            ships: False for what tells of shipping itself.
            scope: the instrumentation scope, if it is more than the name.
        """
        key = (name, service_name, environment, own_level, ships, scope)
        found = self._sources.get(key)
        if found is None:
            if len(self._sources) >= MOST_SOURCES and name != OTHERS:
                return self.source(OTHERS)
            lane = self.outlet.lane(scope or Scope(name)) if self.outlet is not None and ships else None
            made = Source(
                self, name, lane, service_name or self.service_name, environment or self.environment, own_level
            )
            found = self._sources.setdefault(key, made)
        return found

    def texts(self, category: LogCategory) -> Texts:
        """How the texts of a category leave."""
        return self._texts_of.get(category, self._texts)

    def remask(self, mask: Mask | None, masks: Mapping[str, Mask | None] | None = None) -> None:
        """Mask otherwise from now on; what was remembered under the masks before is forgotten."""
        self._texts, self._texts_of = (
            Texts(mask, self._longest),
            {name: Texts(own, self._longest) for name, own in (masks or {}).items()},
        )
        self.refresh()

    def resample(self, sampling: Sampling) -> None:
        """Sample otherwise from now on."""
        self.sampling = sampling
        self.refresh()

    def refresh(self) -> None:
        """Settings have changed."""
        for source in list(self._sources.values()):
            source.forget()

    def fault(self) -> None:
        """Count a line that was lost by a fault; tell of the first, from within its `except`."""
        self.faults += 1
        if self.faults == 1:
            _log.warning("a log line was lost; further ones are counted only", exc_info=True)

    # What a component is asked for.

    def start(self) -> None:
        """Nothing runs before the first line."""

    def flush(self, deadline_s: float) -> bool:
        """Wait until the console has all lines; False when that took longer. The outlet is the pump's."""
        return self.console is None or self.console.writer.flush(deadline_s)

    def shutdown(self, deadline_s: float) -> None:
        """Write what is left."""
        if self.console is not None:
            self.console.writer.shutdown(deadline_s)

    def health(self) -> Health:
        """Whether lines were lost here."""
        dropped = self.console.writer.dropped if self.console is not None else 0
        lost = [f"{number} lines {why}" for number, why in ((self.faults, "by faults"), (dropped, "by the console"))]
        why = ", ".join(one for one in lost if not one.startswith("0 "))
        return Health(State.DEGRADED, f"lost {why}") if why else Health()

    def _audit(self, message: str, fields: Mapping[str, Any]) -> None:
        self.source("gnomon.logging").log(LogLevel.INFO, message, LogCategory.AUDIT, fields)


class _Current:
    """The pipeline of loggers that name none, and those who want to hear when it is another."""

    def __init__(self) -> None:
        self.pipeline: Pipeline | None = None
        self.replaced: list[Callable[[Pipeline], object]] = []


_current = _Current()


def current() -> Pipeline:
    """The pipeline in use: until `use` is called, one that writes to the console alone."""
    if _current.pipeline is None:
        name = os.environ.get("OTEL_SERVICE_NAME", "unknown_service")
        _current.pipeline = Pipeline(service_name=name, shows=console())
    return _current.pipeline


def use(pipeline: Pipeline | None) -> None:
    """Put a pipeline in use, also for loggers that exist already; None: the console alone, as at first."""
    _current.pipeline = pipeline
    for tell in _current.replaced:
        tell(current())


def on_replaced(tell: Callable[[Pipeline], object]) -> None:
    """Be told when another pipeline is used; for the life of the process."""
    _current.replaced.append(tell)
