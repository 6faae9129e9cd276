"""Freshness: who sends, how often, and who has stopped.

A source is one signal of one instance of a service of a tenant. It is silent when nothing came for thrice the longest
pause of its last days (`silent_s` at least): a service that rests every night teaches that in its first night. Sources
are seen when their records are decoded, so that a store that is away makes nobody silent. What is known is kept in a
file (`sources.json` in the data directory, written each minute), since asking the store would read every row of a day.
"""

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from gnomon_server.errors import GnomonError
from gnomon_server.model.batch import Batch
from gnomon_server.selfmon.registry import Registry

_NS = 1_000_000_000
_DAY_NS = 86_400 * _NS
_LATE_AFTER, _SILENT_AFTER = 1.5, 3.0  # in longest pauses
_NAME_CHARACTERS = 200  # of a service or instance: senders may write megabytes, which were kept and told
_STOOD_STILL_NS = 30 * _NS  # far more than between two looks of ours: the machine was suspended, or its clock was set
_MAX_NAMED = 200  # silent sources with a metric series of their own: labels are for ever
DOCTOR = "gnomon-doctor"
"""The service name of the doctor's own records, which nobody expects to go on."""


class SourceSettings(BaseModel):
    """When a source that stopped is told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    silent_s: float = Field(default=120.0, gt=0)
    """A source is never called silent before; two periods of the SDKs' slowest default, metrics each 60 s. It must have
    been sending for as long, too, so that jobs of a moment alarm nobody."""
    most: int = Field(default=10_000, ge=1)
    """Sources that are remembered; past it the one that was quiet for longest is forgotten. Some 0.5 KB each."""
    forget_s: float = Field(default=7 * 86_400.0, gt=0)
    """A source that was quiet for so long is forgotten: decommissioned, or told for a week."""


class State(StrEnum):
    """What a source does."""

    SENDING = "sending"
    LATE = "late"
    REPLACED = "replaced"
    """It stopped when a new instance of the same service began."""
    SILENT = "silent"


@dataclass(slots=True)
class Source:
    """What is known of one; `pause_ns` is its longest recent pause, `offset_ns` its newest record's time less ours."""

    tenant: str
    signal: str
    service: str
    instance: str
    first_ns: int
    last_ns: int
    records: int = 0
    batches: int = 0
    pause_ns: int = 0
    offset_ns: int = 0
    told: bool = False

    def seen(self, now_ns: int, records: int, newest_ns: int, since_ns: int) -> None:
        """Another batch of it, which could have come `since_ns`."""
        pause = max(0, now_ns - since_ns)
        self.pause_ns = max(pause, int(self.pause_ns * 0.5 ** (pause / _DAY_NS)))  # half is forgotten each day
        self.last_ns = now_ns
        self.records += records
        self.batches += 1
        self.offset_ns = newest_ns - now_ns

    @property
    def interval_s(self) -> float:
        """Seconds between its batches, on the average."""
        return (self.last_ns - self.first_ns) / _NS / (self.batches - 1) if self.batches > 1 else 0.0


class Sources:
    """All of them. For one event loop; `tell(name, detail)` hears `source_silent` and `source_back`."""

    def __init__(
        self, settings: SourceSettings, registry: Registry, tell: Callable[[str, str], Any], now_ns: int
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._tell = tell
        # Until then nobody could send: our own pause is no silence of theirs.
        self._up_ns = self._looked_ns = now_ns
        self._all: OrderedDict[tuple[str, str, str, str], Source] = OrderedDict()
        self._named: set[tuple[str, str, str]] = set()

    def __len__(self) -> int:
        return len(self._all)

    def observe(self, batch: Batch, now_ns: int) -> None:
        """Note who sent this batch; at most as many as are remembered."""
        self._look(now_ns)
        for signal, service, instance, records, newest_ns in batch.senders[: self._settings.most]:
            if service == DOCTOR:
                continue
            key = (batch.tenant, signal, service[:_NAME_CHARACTERS], instance[:_NAME_CHARACTERS])
            source = self._all.get(key)
            if source is None:
                source = self._all[key] = Source(*key, now_ns, now_ns)
                if len(self._all) > self._settings.most:
                    self._all.popitem(last=False)
                    self._registry.count("gnomon_sources_forgotten_total", reason="full")
            else:
                self._all.move_to_end(key)
            if source.told:
                source.told = False
                quiet_s = (now_ns - source.last_ns) / _NS
                self._tell("source_back", f"{_name(source)} after {quiet_s:.0f} s")
            source.seen(now_ns, records, newest_ns, max(source.last_ns, self._up_ns))

    def _look(self, now_ns: int) -> None:
        """Notice that we stood still or that the clock was set: as after a start, nobody could send meanwhile."""
        if not 0 <= now_ns - self._looked_ns <= _STOOD_STILL_NS:
            self._up_ns = now_ns
            for source in self._all.values():
                source.last_ns, source.first_ns = min(source.last_ns, now_ns), min(source.first_ns, now_ns)
        self._looked_ns = now_ns

    def judge(self, now_ns: int) -> None:
        """Tell who has fallen silent since the last time, forget who was for too long, set the metrics.

        To be called every few seconds: a longer pause between two calls counts as one of ours.
        """
        self._look(now_ns)
        counts = dict.fromkeys(State, 0)
        longest: dict[tuple[str, str, str], float] = {}
        for source, state in list(self.states(now_ns)):
            quiet_s = (now_ns - source.last_ns) / _NS
            if quiet_s > self._settings.forget_s:
                del self._all[source.tenant, source.signal, source.service, source.instance]
                self._registry.count("gnomon_sources_forgotten_total", reason="age")
                continue
            counts[state] += 1
            if state is State.SILENT:
                group = source.tenant, source.signal, source.service
                longest[group] = max(longest.get(group, 0.0), quiet_s)
                if not source.told:
                    source.told = True
                    self._tell("source_silent", f"{_name(source)} for {quiet_s:.0f} s")
        for state, count in counts.items():
            self._registry.set("gnomon_sources", count, state=state.value)
        self._measure(longest)

    def _measure(self, longest: dict[tuple[str, str, str], float]) -> None:
        self._named |= set(list(longest.keys() - self._named)[: _MAX_NAMED - len(self._named)])
        for tenant, signal, service in self._named:
            value = longest.get((tenant, signal, service), 0.0)
            self._registry.set("gnomon_source_silent_seconds", value, tenant=tenant, signal=signal, service=service)

    def states(self, now_ns: int, tenant: str | None = None) -> Iterator[tuple[Source, State]]:
        """Every source (of a tenant) and what it does now."""
        chosen = [source for source in self._all.values() if tenant in (None, source.tenant)]
        began: dict[tuple[str, str, str], int] = {}
        for source in chosen:
            if self._quiet_ns(source, now_ns) <= self._allowed_ns(source, _SILENT_AFTER):
                group = source.tenant, source.signal, source.service
                began[group] = max(began.get(group, 0), source.first_ns)
        for source in chosen:
            yield source, self._state(source, now_ns, began.get((source.tenant, source.signal, source.service), 0))

    def _state(self, source: Source, now_ns: int, newest_sibling_ns: int) -> State:
        quiet_ns = self._quiet_ns(source, now_ns)
        if quiet_ns <= self._allowed_ns(source, _LATE_AFTER):
            return State.SENDING
        allowed_ns = self._allowed_ns(source, _SILENT_AFTER)
        steady = source.last_ns - source.first_ns >= self._settings.silent_s * _NS
        if quiet_ns <= allowed_ns or not steady:
            return State.LATE
        return State.REPLACED if newest_sibling_ns >= source.last_ns - allowed_ns else State.SILENT

    def _quiet_ns(self, source: Source, now_ns: int) -> int:
        # Who was silent before our start stays so until heard of.
        return now_ns - (source.last_ns if source.told else max(source.last_ns, self._up_ns))

    def _allowed_ns(self, source: Source, pauses: float) -> int:
        share = pauses / _SILENT_AFTER
        return int(max(self._settings.silent_s * _NS * share, source.pause_ns * pauses))

    # -- the file

    def dump(self) -> bytes:
        """All as JSON, the longest quiet one first."""
        return orjson.dumps(list(self._all.values()))

    def load(self, file: Path) -> None:
        """What an earlier run knew; a file that is damaged or of another version is passed over."""
        try:
            found = TypeAdapter(list[Source]).validate_json(file.read_bytes(), strict=True)
        except (OSError, ValueError):
            return
        for source in found[-self._settings.most :]:
            source.last_ns = min(source.last_ns, self._up_ns)  # the clock may have been ahead
            self._all[source.tenant, source.signal, source.service, source.instance] = source


def save(content: bytes, file: Path) -> None:
    """Replace the file by this content; never half of it. GnomonError `sources_unsaved`."""
    try:
        written = file.with_suffix(".new")
        written.write_bytes(content)
        os.replace(written, file)  # noqa: PTH105  (the atomic one)
    except OSError as error:
        raise GnomonError("sources_unsaved", f"cannot write {file}: {error.strerror}") from error


def _name(source: Source) -> str:
    instance = f" {source.instance}" if source.instance else ""
    return f"{source.signal} of {source.service}{instance} ({source.tenant})"
