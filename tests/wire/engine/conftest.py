"""A real engine process, and a plain HTTP client of its socket."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

import pytest


class UnixConnection(http.client.HTTPConnection):
    """``http.client`` over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("engine", timeout=60)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


@dataclass
class Answer:
    """A response read to its end."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def code(self) -> int | None:
        """ClickHouse's error code."""
        code = self.headers.get("X-ClickHouse-Exception-Code")
        return int(code) if code else None

    @property
    def text(self) -> str:
        """The body as text, without the last line break."""
        return self.body.decode().rstrip("\n")


class Client:
    """One kept-alive connection."""

    def __init__(self, path: Path) -> None:
        self.connection = UnixConnection(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def ask(
        self, query: str | None = None, body: Any = None, *, method: str = "POST", headers: Any = None, **params: Any
    ) -> Answer:
        """Send ``query`` as a URL parameter with ``body`` as its data; with no ``query``, the body is the query."""
        if query is not None:
            params["query"] = query
        self.connection.request(method, "/?" + urlencode(params), body=body, headers=headers or {})
        response = self.connection.getresponse()
        return Answer(response.status, response.headers, response.read())

    def ok(self, statement: str, **params: Any) -> str:
        """Run a statement that must succeed; its result as text."""
        answer = self.ask(body=statement.encode(), **params)
        assert answer.status == 200, answer.text
        return answer.text


STARTED: list["Engine"] = []


class Engine:
    """An engine process on a data directory."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.socket = folder / "s"
        self.options = options
        self.process: subprocess.Popen[str] | None = None
        self.ready: dict[str, Any] = {}

    def start(self, **popen: Any) -> Self:
        """Start and wait for the line that says so."""
        command = [sys.executable, "-m", "gnomon_server.engine", "--data", str(self.folder / "data")]
        command += ["--socket", str(self.socket), *self.options]
        STARTED.append(self)
        errors = (self.folder / "stderr").open("a")
        with errors:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, **popen)
        assert self.process.stdout is not None
        self.ready = json.loads(self.process.stdout.readline())
        return self

    def client(self) -> Client:
        """A new connection."""
        return Client(self.socket)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signal, and wait for the end."""
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(40)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def errors(self) -> str:
        """What it wrote to standard error."""
        return (self.folder / "stderr").read_text()

    def resident_bytes(self) -> int:
        """Resident memory of the process (Linux)."""
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/statm").read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory whose name is short enough for a socket's path."""
    with tempfile.TemporaryDirectory(prefix="ge", dir="/tmp") as name:
        yield Path(name)
        # What a failed test left running.
        for engine in STARTED:
            if engine.folder == Path(name) and engine.process is not None and engine.process.poll() is None:
                engine.stop(signal.SIGKILL)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """An engine that a module's tests share."""
    with tempfile.TemporaryDirectory(prefix="ge", dir="/tmp") as name:
        running = Engine(Path(name), "--tcp", "127.0.0.1:0").start()
        assert running.ready["event"] == "ready", running.ready
        yield running
        assert running.stop() == 0
        assert "Traceback" not in running.errors()


@pytest.fixture
def client(engine: Engine) -> Iterator[Client]:
    """A connection to the shared engine."""
    with engine.client() as connected:
        yield connected
