"""Named events: each thing worth telling has one name, said once as a counter and once as a log line.

Lines go to standard error as `time level event detail`, and wait in a bounded list until they are stored as log records
of the tenant `_gnomon`.
"""

import contextlib
import sys
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TextIO

from gnomon_server.selfmon.clock import Clock
from gnomon_server.selfmon.registry import Registry

INFO, WARN, ERROR = 9, 13, 17  # severity numbers of the OpenTelemetry logs data model

# name -> (severity, what it means)
EVENTS: dict[str, tuple[int, str]] = {
    "engine_started": (INFO, "the embedded engine answers"),
    "engine_hung": (ERROR, "the embedded engine gave no sign of life for half a minute and was killed"),
    "engine_died": (ERROR, "the embedded engine ended; it is started again, senders wait"),
    "engine_not_restarted": (ERROR, "starting the engine again failed; tried again with growing pauses"),
    "spool_started": (WARN, "the store is away; what arrives is kept in the spool"),
    "spool_drained": (INFO, "everything in the spool is in the store"),
    "spool_set_aside": (ERROR, "a spooled file was refused or damaged; it is kept for a person to look at"),
    "migrated": (INFO, "a schema migration was applied"),
    "snapshot": (INFO, "the tables are kept as they were before a migration"),
    "rolled_back": (ERROR, "a migration failed or was interrupted; the tables are as they were before"),
    "backup_started": (INFO, "a backup was asked for"),
    "backup_done": (INFO, "a backup is whole"),
    "backup_failed": (ERROR, "a backup failed or was cancelled; nothing of it is kept"),
    "listening": (INFO, "a listener accepts connections"),
    "ready": (INFO, "the server accepts and commits"),
    "not_ready": (WARN, "the server does not accept or does not commit"),
    "stopping": (INFO, "draining before the end"),
    "stopped": (INFO, "everything acknowledged is stored"),
    "partition_dropped": (INFO, "rows were dropped for age or for space"),
    "retention_failed": (WARN, "dropping old rows failed; tried again later"),
    "insecure_bind": (WARN, "listening beyond loopback without TLS"),
    "request_failed": (ERROR, "a request met a fault of ours"),
    "samples_unread": (WARN, "samples cannot be read into memory; queries are slower without"),
    "source_silent": (WARN, "a source that was sending has stopped"),
    "source_back": (INFO, "a source that was silent sends again"),
    "sources_unsaved": (WARN, "the list of sources could not be written; tried again in a minute"),
    "own_telemetry_lost": (WARN, "the server's own telemetry could not be stored"),
}

_WORDS = {INFO: "info", WARN: "warn", ERROR: "error"}
_KEPT = 1_000
_KEPT_WARNINGS = 50


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened."""

    at_ns: int
    name: str
    detail: str

    @property
    def severity(self) -> int:
        """Its OpenTelemetry severity number."""
        return EVENTS[self.name][0]


class Events:
    """Where events are told."""

    def __init__(self, registry: Registry, clock: Clock, out: TextIO | None = None, level: int = INFO) -> None:
        self._registry = registry
        self._clock = clock
        self._out = out
        self._level = level
        self._waiting: deque[Event] = deque(maxlen=_KEPT)
        # By name: a hundred sources that fall silent must not push out the engine's death.
        self._warnings: dict[str, deque[Event]] = {}

    def tell(self, name: str, detail: str = "") -> None:
        """Count, write and keep one event. The name must be in EVENTS."""
        severity, _ = EVENTS[name]
        event = Event(self._clock.now_ns(), name, detail)
        self._registry.count("gnomon_events_total", event=name)
        self._waiting.append(event)
        if severity >= WARN:
            self._warnings.setdefault(name, deque(maxlen=_KEPT_WARNINGS)).append(event)
        if severity >= self._level:
            at = datetime.fromtimestamp(event.at_ns / 1e9, UTC).strftime("%H:%M:%S.%f")[:-3]
            line = printable(f"{at} {_WORDS[severity]:5} {name} {detail}".rstrip())
            with contextlib.suppress(OSError):  # the log's disk is full, its reader is gone: no reason to fail for
                print(line, file=self._out or sys.stderr, flush=True)

    def warnings(self) -> list[Event]:
        """The newest warnings and errors of each name, oldest first."""
        return sorted((event for kept in self._warnings.values() for event in kept), key=lambda event: event.at_ns)

    def take(self) -> list[Event]:
        """The events since the last call; at most the newest thousand."""
        taken = list(self._waiting)
        self._waiting.clear()
        return taken


def printable(text: str) -> str:
    """On one line and harmless to a terminal: what senders write may hold line breaks and control sequences."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
