"""What this process uses: CPU, memory, threads, files, the garbage collector. Read when asked for, at no other time.

Names are those of the OTel semantic conventions (https://opentelemetry.io/docs/specs/semconv/system/process-metrics/).
Where there is no /proc (macOS) the standard library says what it can, and the rest is left out.
"""

import gc
import os
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from gnomon.metrics.instruments import Observable, ObservableCounter, ObservableGauge, ObservableUpDownCounter
from gnomon.metrics.registry import Registry

Pairs = list[tuple[float, Mapping[str, Any]]]

PAGE_BYTES = resource.getpagesize()
_PROC = Path("/proc/self")
_born_s = time.time()


def cpu() -> Pairs:
    """Seconds on a CPU, ours and the system's for us."""
    used = os.times()
    return [(used.user, {"cpu.mode": "user"}), (used.system, {"cpu.mode": "system"})]


def memory() -> float:
    """Bytes in memory; where the system does not tell, the most there ever were."""
    if (_PROC / "statm").exists():
        return int((_PROC / "statm").read_bytes().split()[1]) * PAGE_BYTES
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def virtual_memory() -> Pairs:
    """Bytes of address space."""
    statm = _PROC / "statm"
    return [(int(statm.read_bytes().split()[0]) * PAGE_BYTES, {})] if statm.exists() else []


def threads() -> float:
    """Threads, those of C libraries as well where the system tells."""
    task = _PROC / "task"
    return sum(1 for _ in task.iterdir()) if task.exists() else threading.active_count()


def open_files() -> Pairs:
    """Open file descriptors, without the one that lists them."""
    listed = next((path for path in (_PROC / "fd", Path("/dev/fd")) if path.is_dir()), None)
    return [(sum(1 for _ in listed.iterdir()) - 1, {})] if listed else []


def disk() -> Pairs:
    """Bytes read from and written to disks."""
    try:
        told = dict(line.split(b": ") for line in (_PROC / "io").read_bytes().splitlines())
    except OSError:  # no /proc, or a container that hides it
        return []
    return [
        (int(told[b"read_bytes"]), {"disk.io.direction": "read"}),
        (int(told[b"write_bytes"]), {"disk.io.direction": "write"}),
    ]


def context_switches() -> Pairs:
    """How often we gave the CPU up, and how often it was taken."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    kind = "process.context_switch.type"
    return [(used.ru_nvcsw, {kind: "voluntary"}), (used.ru_nivcsw, {kind: "involuntary"})]


def page_faults() -> Pairs:
    """Pages that were missing."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    kind = "system.paging.fault.type"
    return [(used.ru_majflt, {kind: "major"}), (used.ru_minflt, {kind: "minor"})]


class _Utilization:
    """Cores in use since the last reading."""

    def __init__(self) -> None:
        self._at_s, self._used_s = time.monotonic(), time.process_time()

    def __call__(self) -> float:
        at_s, used_s = time.monotonic(), time.process_time()
        ratio = (used_s - self._used_s) / max(at_s - self._at_s, 1e-3)
        self._at_s, self._used_s = at_s, used_s
        return max(ratio, 0.0)  # a forked child begins to count anew


def uptime() -> float:
    """Seconds since the process began to measure, which is when it imported this."""
    return time.time() - _born_s


def garbage(what: str) -> Callable[[], Pairs]:
    """A column of the garbage collector's statistics, by generation."""
    return lambda: [(told[what], {"cpython.gc.generation": number}) for number, told in enumerate(gc.get_stats())]


_SUM, _LEVEL, _VALUE = ObservableCounter, ObservableUpDownCounter, ObservableGauge

INSTRUMENTS: tuple[tuple[type[Observable], str, Callable[[], Any], str, str], ...] = (
    (_SUM, "process.cpu.time", cpu, "s", "CPU time"),
    (_LEVEL, "process.memory.usage", memory, "By", "Physical memory in use"),
    (_LEVEL, "process.memory.virtual", virtual_memory, "By", "Address space in use"),
    (_LEVEL, "process.thread.count", threads, "{thread}", "Threads"),
    (_LEVEL, "process.open_file_descriptor.count", open_files, "{file_descriptor}", "Open file descriptors"),
    (_SUM, "process.disk.io", disk, "By", "Bytes read from and written to disks"),
    (_SUM, "process.context_switches", context_switches, "{context_switch}", "Context switches"),
    (_SUM, "process.paging.faults", page_faults, "{fault}", "Page faults"),
    (_VALUE, "process.cpu.utilization", _Utilization(), "1", "Cores in use since the last reading"),
    (_VALUE, "process.uptime", uptime, "s", "Time since the process began to measure"),
    (_SUM, "cpython.gc.collections", garbage("collections"), "{collection}", "Runs of the garbage collector"),
    (_SUM, "cpython.gc.collected_objects", garbage("collected"), "{object}", "Objects that were collected"),
    (_SUM, "cpython.gc.uncollectable_objects", garbage("uncollectable"), "{object}", "Objects that could not be"),
)
"""(class, name, callback, unit, description)."""


def register(
    registry: Registry | None = None,
    instruments: Iterable[tuple[type[Observable], str, Callable[[], Any], str, str]] = INSTRUMENTS,
    **settings: Any,
) -> list[Observable]:
    """Register them; doing it twice changes nothing."""
    return [
        made(name, callback, description, unit=unit, registry=registry, **settings)
        for made, name, callback, unit, description in instruments
    ]
