"""The data directory and the engine on it: may it be written, is it ours, is there room, why it did not start."""

import contextlib
import http.client
import os
import re
import socket
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from gnomon_server.cli.doctor.local import Process, lock_holder
from gnomon_server.cli.doctor.report import Report
from gnomon_server.selfmon.marks import Marks

_REFUSES_BELOW_BYTES = 64 << 20  # min_free_disk_bytes_to_perform_insert of store/ddl.py
_FEW_INODES = 10_000
_SLOW_SYNC_S = 0.1  # a commit syncs some 33 times; an SSD takes 1-5 ms, a disk 10-20
_SYNCS = 5
_ENGINE_ANSWERS_S = 5.0
_LOG_BYTES = 256 << 10
_RECENT_S = 3600.0
_LOG_LINE = re.compile(r"^(\d{4}\.\d\d\.\d\d \d\d:\d\d:\d\d)")
_TROUBLE = {
    "memory": re.compile(r"MEMORY_LIMIT_EXCEEDED|Cannot allocate memory|CANNOT_ALLOCATE_MEMORY"),
    "damage": re.compile(r"CORRUPTED_DATA|CHECKSUM_DOESNT_MATCH|broken-on-start|Detaching broken part"),
    "space": re.compile(r"NOT_ENOUGH_SPACE|No space left on device"),
}
_TROUBLE_CURES = {
    "memory": "raise engine.memory_bytes, or narrow the queries (query.memory_bytes)",
    "damage": "a part was set aside; restore it from a backup, and look after the disk",
    "space": "free space on the data directory's disk",
}
# Failures of a start that no check of a thing as it is now can see; of the others the checks themselves tell.
_START_CHECKS = {
    "schema_newer": "data.schema",
    "migration_failed": "data.schema",
    "data_dir_unusable": "engine.start",
    "engine_failed": "engine.start",
}
_SEEN_ELSEWHERE = {"port_taken", "port_forbidden", "address_unknown", "tls_unusable", "bind_needs_token"}


def check_directory(data: Path, report: Report) -> bool:
    """Whether it can be written, by trying; False when nothing more can be said of it."""
    if not data.exists():
        parent = next(folder for folder in data.absolute().parents if folder.exists())
        if os.access(parent, os.W_OK):
            report.ok("data.directory", f"{data} is not there yet; it can be made")
        else:
            report.broken("data.directory", f"{data} cannot be made: {parent} is not writable", "give another --data")
        return False
    if not data.is_dir():
        report.broken("data.directory", f"{data} is not a directory", "move it away, or give another --data")
        return False
    for folder in (data, data / "clickhouse"):
        if folder.exists() and (why := _unwritable(folder)):
            cure = f"chown or chmod it for the server's user, or remount its disk for writing: {folder}"
            report.broken("data.directory", f"{folder} cannot be written: {why}", cure)
            return True
    report.ok("data.directory", f"{data.absolute()} can be written")
    strange = [entry.name for entry in os.scandir(data) if entry.stat().st_uid != data.stat().st_uid]
    if strange:
        owner = data.stat().st_uid
        what = f"{', '.join(sorted(strange))} in {data} belong to another user than the directory itself"
        report.warn("data.owner", what, f"chown -R {owner} {data.absolute()} (was the server started as root once?)")
    return True


def _unwritable(folder: Path) -> str:
    if not folder.is_dir():
        return "it is not a directory"
    try:
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        # A full disk has a check of its own.
        return "" if error.errno == 28 else str(error.strerror)  # noqa: PLR2004  (ENOSPC)


def check_disk(data: Path, reserve_bytes: int, report: Report) -> None:
    """Room, inodes, and how long a sync takes."""
    folder = next(folder for folder in (data.absolute(), *data.absolute().parents) if folder.is_dir())
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    words = f"{_size(free)} of {_size(disk.f_blocks * disk.f_frsize)} free on the disk of {folder}"
    if free < _REFUSES_BELOW_BYTES:
        report.broken(
            "disk.space", f"{words}: below 64 MiB nothing is written", "free space; writing goes on by itself"
        )
    elif free < reserve_bytes:
        cure = "free space, or lower disk.reserve_bytes: the oldest days are being dropped to keep it"
        report.warn("disk.space", f"{words}, less than disk.reserve_bytes ({_size(reserve_bytes)})", cure)
    else:
        report.ok("disk.space", words)
    if disk.f_files:  # some file systems do not count them
        if disk.f_favail > _FEW_INODES:
            report.ok("disk.inodes", f"{disk.f_favail:,} inodes free")
        else:
            report.warn(
                "disk.inodes", f"only {disk.f_favail:,} inodes free", "remove files, or use another file system"
            )
    if folder == data.absolute() and not report.is_broken("data.directory") and not report.is_broken("disk.space"):
        _check_sync(folder, report)


def _check_sync(folder: Path, report: Report) -> None:
    took = []
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".gnomon-doctor-") as file:
        for _ in range(_SYNCS):
            file.write(bytes(4096))
            file.flush()
            began = time.monotonic()
            os.fsync(file.fileno())
            took.append(time.monotonic() - began)
    middle = statistics.median(took)
    if middle > _SLOW_SYNC_S:
        cure = "use a local SSD; each commit waits for some 33 syncs, whatever its size"
        report.warn("disk.sync", f"a sync takes {middle * 1000:.0f} ms", cure)
    else:
        report.ok("disk.sync", f"a sync takes {middle * 1000:.1f} ms")


def check_lock(data: Path, server_pid: int, report: Report) -> None:
    """Who owns the data: the running server's engine, nobody, or somebody else."""
    file = data / "clickhouse" / "engine.lock"
    holder = lock_holder(file) if file.exists() else None
    if holder is None:
        report.ok(
            "data.lock", "free" if not server_pid else "the server keeps its rows elsewhere, or starts its engine"
        )
    elif server_pid:
        report.ok("data.lock", f"held by the engine, {holder.pid}, of server {server_pid}")
    else:
        cure = f"stop {holder}, or give this server another --data"
        report.broken("data.lock", f"{data} is owned by {holder}", cure)


def check_last_start(data: Path, report: Report) -> None:
    """The letter that a failed start has left."""
    failure = Marks(data).read_failure()
    if not failure or failure.get("code") in _SEEN_ELSEWHERE:
        return
    at = datetime.fromtimestamp(failure["at_ns"] / 1e9, UTC)
    check = _START_CHECKS.get(str(failure["code"]), "server.start")
    what = f"the start of {at:%Y-%m-%d %H:%M:%S} UTC failed: {failure['what']} [{failure['code']}]"
    hint = str(failure["hint"]) or f"see {data / 'engine.log'}"
    report.broken(check, what, hint)


def check_engine(data: Path, report: Report) -> None:
    """Whether the engine answers on its socket, past everything else."""
    path = data / "engine.sock"
    pid = _engine_pid(data)
    who = str(Process(pid)) if pid else "the engine"
    if not path.exists() and len(os.fsencode(path.absolute())) > 100:  # noqa: PLR2004  (store/supervisor.py)
        report.skip("engine.answers", "its socket is elsewhere: the data directory's path is too long for one")
        return
    try:
        answer = _ask_engine(str(path))
    except TimeoutError:
        stopped = " (it is stopped, as by SIGSTOP or a debugger)" if pid and Process(pid).state in "Tt" else ""
        cure = (
            f"kill -CONT {pid}" if stopped else "the server replaces it within a minute; see disk.sync and the memory"
        )
        report.broken("engine.answers", f"{who} does not answer within {_ENGINE_ANSWERS_S:.0f} s{stopped}", cure)
    except FileNotFoundError:
        cure = "the server replaces the engine within a minute; keep cleaners of temporary files off the data directory"
        report.broken("engine.answers", f"the engine's socket {path} is gone", cure)
    except (OSError, http.client.HTTPException) as error:
        cure = "the server starts it again by itself; if it does not, see engine.log and the memory"
        report.broken("engine.answers", f"{who} does not answer: {error}", cure)
    else:
        report.ok("engine.answers", f"ClickHouse {answer} on {path}")


class _Unix(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("engine", timeout=_ENGINE_ANSWERS_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_ENGINE_ANSWERS_S)
        self.sock.connect(self._path)


def _ask_engine(path: str) -> str:
    with contextlib.closing(_Unix(path)) as connection:
        connection.request("POST", "/", b"SELECT version()")
        return connection.getresponse().read().decode().strip()


def _engine_pid(data: Path) -> int:
    try:
        return int((data / "clickhouse" / "engine.lock").read_text("ascii"))
    except (OSError, ValueError):
        return 0


def check_log(data: Path, report: Report) -> None:
    """The engine's complaints of the last hour that have a cure."""
    file = data / "clickhouse" / "engine.log"
    if not file.exists():
        return
    with file.open("rb") as log:
        log.seek(max(0, file.stat().st_size - _LOG_BYTES))
        lines = log.read().decode("utf-8", "replace").splitlines()
    recent = [line for line in lines if _is_recent(line)]
    found = {name: [line for line in recent if pattern.search(line)] for name, pattern in _TROUBLE.items()}
    for name, hits in found.items():
        if hits:
            report.warn(f"engine.log.{name}", f"{len(hits)} in the last hour: {hits[-1][:160]}", _TROUBLE_CURES[name])
    if not any(found.values()):
        report.ok("engine.log", "no complaint in the last hour that asks for a cure")


def _is_recent(line: str) -> bool:
    stamp = _LOG_LINE.match(line)
    if not stamp:
        return False
    at = datetime.strptime(stamp[1], "%Y.%m.%d %H:%M:%S").replace(tzinfo=UTC)
    return time.time() - at.timestamp() < _RECENT_S


def _size(n_bytes: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if n_bytes < 1024:  # noqa: PLR2004  (the next unit)
            return f"{n_bytes:.0f} {unit}"
        n_bytes /= 1024
    return f"{n_bytes:.1f} TiB"
