"""What all systems have in common: a process on a directory of its own, its cost, its rest, its API."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

_TICKS = os.sysconf("SC_CLK_TCK")
_START_S = 300
_QUIET_S, _AT_MOST_S = 0.1, 180  # CPU in a second below which nothing goes on any more; how long that is waited for


class System:
    """A server on a directory of its own, with everything as it comes but for its limits.

    Attributes:
        name: in the tables.
        variants: what is measured of its queries: name to parameters that are added.
        exact: whether it is to answer as Prometheus does, to the last bits.
    """

    name = ""
    variants: ClassVar[dict[str, dict[str, str]]]
    exact = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder / self.name
        self.folder.mkdir(parents=True)
        self.address = ""
        self.process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def missing() -> str:
        """What is not installed; empty when the system can run."""
        return ""

    def command(self, port: int) -> list[str]:
        """What is run; it listens on that port of 127.0.0.1."""
        raise NotImplementedError

    def start(self) -> None:
        """Start; a server that ends at once ends the benchmark, with its log."""
        port = _free_port()
        self.address = f"127.0.0.1:{port}"
        log = self.folder / "log"
        with log.open("ab") as out:
            self.process = subprocess.Popen(self.command(port), stderr=out, stdout=out, cwd=self.folder)
        self._until(lambda: self.read("/-/ready", {}))

    def _until(self, true: Any) -> None:
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            assert self.process is not None
            if self.process.poll() is not None:
                break
            try:
                if true():
                    return
            except (OSError, http.client.HTTPException, Refused):
                pass
            time.sleep(0.02)
        raise SystemExit(f"{self.name} does not answer:\n{self.log_end()}")

    def log_end(self) -> str:
        """The last it has said, and whether it has ended."""
        ended = self.process.poll() if self.process else None
        said = (self.folder / "log").read_text("utf-8", "replace")[-3000:]
        return said if ended is None else f"{said}\nended with {ended}"

    def stop(self) -> None:
        """In order."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(120)

    def restart(self, asking: dict[str, str]) -> float:
        """Stop, start, and the seconds from there until an instant query finds stored series."""
        self.stop()
        began = time.monotonic()
        self.start()
        self._until(lambda: self.get("/api/v1/query", asking)["data"]["result"])
        return time.monotonic() - began

    def get(self, path: str, params: dict[str, str]) -> Any:
        """A JSON answer of its API."""
        return json.loads(self.read(path, params))

    def read(self, path: str, params: dict[str, str]) -> bytes:
        """An answer's bytes; `Refused` when it is an error."""
        connection = http.client.HTTPConnection(self.address, timeout=300)
        try:
            return read(connection, path, params)
        finally:
            connection.close()

    def flush(self) -> None:
        """Make what was acknowledged visible to queries, where that is not so at once."""

    def cpu_s(self) -> float:
        """User and system time of the process and of all that it has started."""
        return sum(_cpu_s(pid) for pid in self._tree())

    def memory_mb(self) -> dict[str, float]:
        """Resident memory of the tree, and how much of it is no mapped file."""
        found = {"resident": 0.0, "anonymous": 0.0}
        for pid in self._tree():
            status = Path(f"/proc/{pid}/status").read_text()
            for name, key in (("resident", "VmRSS"), ("anonymous", "RssAnon")):
                found[name] += int(re.search(rf"{key}:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]
        return found

    def settle(self) -> None:
        """Wait until it does nothing by itself any more: compactions, merges, flushes."""
        deadline, quiet, before = time.monotonic() + _AT_MOST_S, 0, self.cpu_s()
        while quiet < 2 and time.monotonic() < deadline:
            time.sleep(1)
            now = self.cpu_s()
            quiet, before = (quiet + 1 if now - before < _QUIET_S else 0), now

    def disk_bytes(self) -> dict[str, int]:
        """What the stored samples and their series take: at rest, and as it stands before merges are forced."""
        raise NotImplementedError

    def _tree(self) -> Iterator[int]:
        assert self.process is not None
        parents: dict[int, list[int]] = {}
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = path.read_text().rpartition(")")[2].split()
            except OSError:  # it has ended meanwhile
                continue
            parents.setdefault(int(fields[1]), []).append(int(path.parent.name))
        waiting = [self.process.pid]
        while waiting:
            pid = waiting.pop()
            waiting += parents.get(pid, [])
            yield pid


class Refused(Exception):  # noqa: N818 - it is an answer
    """An HTTP status of 300 or more."""


def read(connection: http.client.HTTPConnection, path: str, params: dict[str, str]) -> bytes:
    """One answer over a connection that stays open."""
    connection.request("GET", f"{path}?{urllib.parse.urlencode(params)}")
    answer = connection.getresponse()
    body = answer.read()
    if answer.status >= 300:
        raise Refused(f"{answer.status} {body[:300].decode('utf-8', 'replace')}")
    return body


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / _TICKS  # with children that have ended


def folder_bytes(folder: Path) -> int:
    """Of all files, each counted once."""
    found = {}
    for path in folder.rglob("*"):
        try:
            stat = path.lstat()
        except OSError:  # merged away meanwhile
            continue
        if path.is_file():
            found[stat.st_ino] = stat.st_size
    return sum(found.values())
