"""The machine around the server: ports, memory, open files, versions, clocks."""

import platform
import re
import socket
import time
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from gnomon_server import __version__
from gnomon_server.cli.doctor.local import Process, is_listened_on, listener_of
from gnomon_server.cli.doctor.report import Report
from gnomon_server.config import Listen
from gnomon_server.selfmon.memory import memory_kills, memory_limit_bytes

_CLOCK_OFF_S = 2.0
_PYTHON_BYTES = 600 << 20  # the server's two processes beside what the engine counts: imports, batches in flight
_RESIDENT_RATIO = 2  # resident memory of the engine reaches twice what it counts
_SPARE_FILES = 600  # parts, sockets to the engine, logs; the rest is for connections
_BUSY_FILES_RATIO = 0.8


def check_ports(listeners: Mapping[str, Listen], report: Report) -> None:
    """For a server that does not run: whether its ports are free, and who has them."""
    for name, listen in listeners.items():
        check = f"ports.{name}"
        twins = [other for other, place in listeners.items() if other != name and place.port == listen.port != 0]
        if twins:
            report.broken(check, f"{listen} is also {twins[0]}'s port", "give each listener a port of its own")
            continue
        try:
            _bind(listen)
        except OSError as error:
            if not is_listened_on(listen.port):
                cure = "choose a port above 1023" if error.errno == 13 else "listen on an address of this machine"  # noqa: PLR2004  (EACCES)
                report.broken(check, f"cannot listen on {listen}: {error.strerror or error}", cure)
                continue
            holders = ", ".join(map(str, listener_of(listen.port))) or "a process of another user"
            report.broken(check, f"{listen} is taken by {holders}", "stop it, or choose another port")
        else:
            report.ok(check, f"{listen} is free")


def _bind(listen: Listen) -> None:
    family, kind, protocol, _, address = socket.getaddrinfo(listen.host, listen.port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)


def check_memory(pid: int, engine_memory_bytes: int, report: Report) -> None:
    """Whether the engine's ceiling leaves room for what it does not count. `pid`: the server, or ourselves."""
    machine, _ = memory_limit_bytes(0)
    limit, source = memory_limit_bytes(pid)
    # By itself the engine takes half of what engine/config.py finds: the machine's, or a version 2 group's limit.
    found = machine if source.endswith("memory.limit_in_bytes") else limit
    ceiling = engine_memory_bytes or found // 2
    words = f"engine.memory_bytes is {_mib(ceiling)}, {source} allows {_mib(limit)}"
    fitting = max(256 << 20, (limit - _PYTHON_BYTES) // _RESIDENT_RATIO)
    cure = f"set engine.memory_bytes to {_mib(fitting)} or less, or allow more memory"
    if ceiling > limit:
        report.broken("memory.ceiling", f"{words}: the kernel ends the engine before it says no", cure)
    elif limit < machine and ceiling * _RESIDENT_RATIO + _PYTHON_BYTES > limit:
        report.warn("memory.ceiling", f"{words}: resident memory reaches twice the ceiling", cure)
    else:
        report.ok("memory.ceiling", words)
    kills = memory_kills(pid)
    if kills:
        report.warn(
            "memory.kills", f"the kernel ended {kills} processes of this control group for want of memory", cure
        )


def check_files(process: Process, connections: int, report: Report) -> None:
    """Whether the server may open as many files as it serves connections."""
    used, most = process.open_files()
    words = f"{used} of {most:,} open files"
    cure = "raise the hard limit (LimitNOFILE= in systemd, nofile in limits.conf, --ulimit of the container)"
    if used > most * _BUSY_FILES_RATIO:
        report.broken("files.limit", f"{words}: nearly all are used", cure)
    elif most < connections + _SPARE_FILES:
        report.warn("files.limit", f"{words}, and limits.http.max_connections is {connections}", cure)
    else:
        report.ok("files.limit", words)


def check_versions(status: Mapping[str, Any], report: Report) -> None:
    """Whether what is installed fits together, and this command the server."""
    wrong = [
        f"{name} {metadata.version(name)} is installed, {needed} and later is needed"
        for name, needed in _needed()
        if _numbers(metadata.version(name)) < _numbers(needed)
    ]
    running = str(status.get("version", __version__))
    for one in wrong:
        report.broken("versions", one, "install anew: pip install --upgrade gnomon-server")
    if running != __version__:
        cure = "restart the server after an upgrade, or use the doctor of its version"
        report.warn("versions", f"the server runs {running}, this command is {__version__}", cure)
    elif not wrong:
        engine = f", ClickHouse {status['engine']}" if status.get("engine") else ""
        chdb = metadata.version("chdb")
        report.ok("versions", f"gnomon-server {__version__}, Python {platform.python_version()}, chdb {chdb}{engine}")


def _needed() -> list[tuple[str, str]]:
    """Name and least version of what the server needs, here and now."""
    found = []
    for line in metadata.requires("gnomon-server") or []:
        match = re.fullmatch(r"([A-Za-z0-9._-]+)>=([0-9.]+)", line.partition(";")[0].strip())
        if match and "extra" not in line and _is_installed(match[1]):
            found.append((match[1], match[2]))
    return found


def _is_installed(name: str) -> bool:
    """One that is missing altogether is for other Pythons (`python_version < ...`): else nothing here would run."""
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def check_clock(server_ns: int, before_ns: int, after_ns: int, report: Report) -> None:
    """The server's clock against ours, within the time that asking took."""
    offset_s = (server_ns - (before_ns + after_ns) / 2) / 1e9
    uncertain_s = (after_ns - before_ns) / 2e9
    if abs(offset_s) - uncertain_s > _CLOCK_OFF_S:
        which = "ahead of" if offset_s > 0 else "behind"
        cure = "let both machines keep time (NTP, chrony); records too far ahead are refused (limits.future_s)"
        report.warn("clock.server", f"the server's clock is {abs(offset_s):.1f} s {which} this machine's", cure)
    else:
        report.ok("clock.server", f"within {abs(offset_s) + uncertain_s:.2f} s of this machine's")


class Steadiness:
    """Whether this machine's clock is turned while the doctor looks."""

    def __init__(self) -> None:
        self._offset_s = time.time() - time.monotonic()

    def check(self, report: Report) -> None:
        """Compare with the beginning."""
        moved_s = time.time() - time.monotonic() - self._offset_s
        if abs(moved_s) > _CLOCK_OFF_S / 2:
            cure = "something sets it by steps: keep one NTP client, let it slew"
            report.warn("clock.steady", f"this machine's clock was moved by {moved_s:+.1f} s while we looked", cure)
        else:
            report.ok("clock.steady", "not moved while we looked")


def _mib(n_bytes: int) -> str:
    return f"{n_bytes / (1 << 20):,.0f}MiB"
