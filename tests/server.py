"""A real server: the `gnomon` command in a process of its own, on free ports, with an empty data directory."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_START_S = 60
_LISTENING = re.compile(r"listening (\S+) (\S+):(\d+)")


@dataclass
class Server:
    """A running server and how to ask it."""

    folder: Path
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    addresses: dict[str, str] = field(default_factory=dict)

    def start(self) -> None:
        """Start and wait until it is ready; its log stands in `server.log`."""
        command = [sys.executable, "-m", "gnomon_server.cli", "up", "--data", str(self.folder / "data")]
        for flag in ("--listen", "--otlp-grpc", "--otlp-http"):
            command += [flag, "127.0.0.1:0"]
        self.log.touch()
        seen = self.log.stat().st_size
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *self.arguments], stderr=log, stdout=log, env={**os.environ, **self.environment}
            )
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            text = self.log.read_text("utf-8", "replace")[seen:]
            if " ready " in text:
                self.addresses = {name: f"{host}:{port}" for name, host, port in _LISTENING.findall(text)}
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(f"the server did not start:\n{self.log.read_text('utf-8', 'replace')}")

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    @property
    def otlp_grpc(self) -> str:
        return self.addresses["otlp-grpc"]

    @property
    def otlp_http(self) -> str:
        return f"http://{self.addresses['otlp-http']}"

    @property
    def api(self) -> str:
        return f"http://{self.addresses['http']}"

    def stop(self) -> int:
        """SIGTERM and wait; the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def kill(self) -> None:
        """`kill -9`, as a power failure of the process would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def post(
        self, url: str, body: bytes, content_type: str = "application/x-protobuf", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers in lower case and body; an error status is an answer like any other."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(url, body, {"Content-Type": content_type, **named})
        return _open(request)

    def get(self, path: str, headers: dict[str, str] | None = None, **params: Any) -> Any:
        """The JSON answer of the native API."""
        query = f"?{urllib.parse.urlencode(params)}" if params else ""
        status, _, body = _open(urllib.request.Request(f"{self.api}/api/gnomon/v1{path}{query}", headers=headers or {}))
        assert status == 200, (status, body)
        return json.loads(body)

    def sql(self, query: str, **params: Any) -> list[dict[str, Any]]:
        """Rows as maps."""
        body = json.dumps({"query": query, "params": params, "format": "json"}).encode()
        status, _, answer = self.post(f"{self.api}/api/gnomon/v1/sql", body, "application/json")
        assert status == 200, (status, answer)
        parsed = json.loads(answer)
        names = [column["name"] for column in parsed["columns"]]
        return [dict(zip(names, row, strict=True)) for row in parsed["rows"]]


def _open(request: urllib.request.Request) -> tuple[int, dict[str, str], bytes]:
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, {name.lower(): value for name, value in error.headers.items()}, error.read()
