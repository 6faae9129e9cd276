"""What the host uses: CPU, memory, disks, network. Read from /proc when asked for; on macOS the load alone.

Names are those of the OTel semantic conventions (https://opentelemetry.io/docs/specs/semconv/system/system-metrics/).
Every process of a host sees the same numbers, so of several workers' the greatest is shown, not the sum.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gnomon.metrics import process_metrics
from gnomon.metrics.instruments import Observable, ObservableCounter, ObservableGauge, ObservableUpDownCounter
from gnomon.metrics.process_metrics import Pairs
from gnomon.metrics.registry import Registry

_PROC = Path("/proc")
# Of the first line of /proc/stat; guests' time is in user's and nice's already.
_MODES = ("user", "nice", "system", "idle", "iowait", "interrupt", "softirq", "steal")
SECTOR_BYTES = 512  # whatever the disk has: https://docs.kernel.org/block/stat.html


def _lines(name: str) -> list[str]:
    """The lines of a file in /proc; none where there is none."""
    try:
        return (_PROC / name).read_text().splitlines()
    except OSError:
        return []


def cpu() -> Pairs:
    """Seconds of all CPUs together, by mode."""
    ticks = os.sysconf("SC_CLK_TCK")
    columns = next(iter(_lines("stat")), "cpu").split()[1:]
    return [(int(told) / ticks, {"cpu.mode": mode}) for mode, told in zip(_MODES, columns, strict=False)]


def load() -> float:
    """Processes that ran or waited to, over the last minute."""
    return os.getloadavg()[0]


def _memory() -> dict[str, int]:
    """/proc/meminfo in bytes."""
    return {line.split(":")[0]: int(line.split()[1]) * 1024 for line in _lines("meminfo")}


def memory() -> Pairs:
    """Bytes by state; the states add up to all there is."""
    told = _memory()
    if not told:
        return []
    cached = told["Cached"] + told.get("SReclaimable", 0)
    states = {"free": told["MemFree"], "buffers": told["Buffers"], "cached": cached}
    states["used"] = told["MemTotal"] - sum(states.values())
    return [(value, {"system.memory.state": state}) for state, value in states.items()]


def memory_limit() -> Pairs:
    """All there is."""
    told = _memory()
    return [(told["MemTotal"], {})] if told else []


def _disks() -> Iterator[tuple[str, list[int]]]:
    """Each device, and its columns from the reads on."""
    for line in _lines("diskstats"):
        _, _, name, *columns = line.split()
        if not name.startswith(("loop", "ram")):
            yield name, [int(column) for column in columns]


def disk_bytes() -> Pairs:
    """Bytes, by device and direction."""
    return _directed("disk.io.direction", _disks(), "system.device", (2, 6), SECTOR_BYTES)


def disk_operations() -> Pairs:
    """Reads and writes, by device."""
    return _directed("disk.io.direction", _disks(), "system.device", (0, 4), 1)


def _interfaces() -> Iterator[tuple[str, list[int]]]:
    for line in _lines("net/dev")[2:]:
        name, _, columns = line.partition(":")
        yield name.strip(), [int(column) for column in columns.split()]


def network(received: int, sent: int) -> Callable[[], Pairs]:
    """Two columns of /proc/net/dev, by interface and direction."""
    columns = (received, sent)
    return lambda: _directed("network.io.direction", _interfaces(), "network.interface.name", columns, 1)


def _directed(
    direction: str, rows: Iterator[tuple[str, list[int]]], called: str, columns: tuple[int, int], factor: int
) -> Pairs:
    ways = ("read", "write") if direction.startswith("disk") else ("receive", "transmit")
    return [
        (told[column] * factor, {called: name, direction: way})
        for name, told in rows
        for way, column in zip(ways, columns, strict=True)
    ]


def filesystem() -> Pairs:
    """Bytes of the root file system, by state."""
    usage = shutil.disk_usage("/")
    kept = usage.total - usage.used - usage.free
    states = {"used": usage.used, "free": usage.free, "reserved": kept}
    return [
        (value, {"system.filesystem.state": state, "system.filesystem.mountpoint": "/"})
        for state, value in states.items()
    ]


_SUM, _LEVEL, _VALUE = ObservableCounter, ObservableUpDownCounter, ObservableGauge

INSTRUMENTS: tuple[tuple[type[Observable], str, Callable[[], Any], str, str], ...] = (
    (_SUM, "system.cpu.time", cpu, "s", "CPU time of all CPUs"),
    (_VALUE, "system.cpu.load_average.1m", load, "{thread}", "Processes that ran or waited, over a minute"),
    (_LEVEL, "system.memory.usage", memory, "By", "Memory by state"),
    (_LEVEL, "system.memory.limit", memory_limit, "By", "Memory there is"),
    (_SUM, "system.disk.io", disk_bytes, "By", "Bytes read from and written to disks"),
    (_SUM, "system.disk.operations", disk_operations, "{operation}", "Reads and writes of disks"),
    (_SUM, "system.network.io", network(0, 8), "By", "Bytes received and sent"),
    (_SUM, "system.network.packet.count", network(1, 9), "{packet}", "Packets received and sent"),
    (_SUM, "system.network.errors", network(2, 10), "{error}", "Packets that went wrong"),
    (_LEVEL, "system.filesystem.usage", filesystem, "By", "The root file system"),
)
"""(class, name, callback, unit, description)."""


def register(registry: Registry | None = None) -> list[Observable]:
    """Register them; doing it twice changes nothing."""
    return process_metrics.register(registry, INSTRUMENTS, workers="max")
