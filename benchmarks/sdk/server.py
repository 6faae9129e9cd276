"""The real server as receiver: it must have stored every record, and says so by SQL."""

import json
import re
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parents[2]
LISTENING = re.compile(r"listening (\S+) (\S+)")
FREE_PORTS = ("--listen", "127.0.0.1:0", "--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0")
COUNTS = {
    "spans": "SELECT count() FROM spans",
    "logs": "SELECT count() FROM logs",
    "metrics": """
        SELECT sum(last) FROM (
            SELECT argMax(value, time) AS last FROM metrics
            WHERE name LIKE 'http.server.%' AND labels['le'] = '+Inf' GROUP BY name, labels
        )
    """,
}
# What is acknowledged is stored; what was sent last may still be on its way.
SETTLE_S = 10.0


class Server:
    """`gnomon up` on an empty directory, on a core; each `reset` begins with another."""

    def __init__(self, core: str) -> None:
        self._core = core
        self._start()

    def _start(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="gnomon-bench-")
        folder = Path(self._folder.name)
        log, data = folder / "log", folder / "data"
        command = [CHECKOUT / ".venv/bin/python", "-m", "gnomon_server.cli", "up", "--data", data, *FREE_PORTS]
        with log.open("wb") as out:
            self._process = subprocess.Popen(["taskset", "-c", self._core, *map(str, command)], stderr=out)
        while " ready " not in log.read_text():
            if self._process.poll() is not None:
                raise SystemExit(log.read_text())
            time.sleep(0.1)
        addresses = dict(LISTENING.findall(log.read_text()))
        self.url, self._api = f"http://{addresses['otlp-http']}", f"http://{addresses['http']}"

    def reset(self) -> None:
        """An empty one."""
        self.stop()
        self._start()

    def counts(self) -> dict[str, int]:
        """Records stored, by pillar, once they do not become more."""
        ends_s, before = time.monotonic() + SETTLE_S, self._counts()
        while time.monotonic() < ends_s:
            time.sleep(1)
            now = self._counts()
            if now == before:
                break
            before = now
        return before

    def _counts(self) -> dict[str, int]:
        return {name: int(self._ask(query)["rows"][0][0] or 0) for name, query in COUNTS.items()}

    def _ask(self, query: str) -> Any:
        body = json.dumps({"query": query}).encode()
        request = urllib.request.Request(f"{self._api}/api/gnomon/v1/sql", body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def stop(self) -> None:
        """In order."""
        self._process.terminate()
        self._process.wait()
        self._folder.cleanup()
