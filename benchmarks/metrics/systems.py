"""The three systems: how each is started, and what it holds on disk."""

import http.client
import json
import shutil
import socket
import sys
import time
from typing import ClassVar

from system import System, folder_bytes


class Gnomon(System):
    """Ours: `gnomon up`, acknowledging after the synced commit, as always."""

    name = "gnomon"
    variants: ClassVar = {"gnomon": {"nocache": "1"}, "gnomon, cached": {}}

    def command(self, port: int) -> list[str]:
        """With free ports for what is not asked."""
        listen = ("--listen", f"127.0.0.1:{port}", "--otlp-grpc", "off", "--otlp-http", "off")
        return [sys.executable, "-m", "gnomon_server.cli", "up", "--data", str(self.folder / "data"), *listen]

    def settle(self) -> None:
        """The engine says itself whether it merges."""
        super().settle()
        while self.ask("SELECT count() FROM system.merges") != "0":
            time.sleep(1)

    def disk_bytes(self) -> dict[str, int]:
        """The active parts of the metrics' tables; merged parts stay on disk for some minutes more."""
        tables = "('samples', 'series', 'metric_meta', 'series_local', 'samples_local')"
        parts = (
            "SELECT sum(bytes_on_disk) FROM system.parts "
            f"WHERE active AND database = 'gnomon' AND table IN {tables} AND rows > 0"
        )
        standing = int(self.ask(parts))
        for table in ("samples", "series"):
            self.ask(f"OPTIMIZE TABLE gnomon.{table} FINAL")
        return {"at_rest": int(self.ask(parts)), "standing": standing}

    def ask(self, sql: str) -> str:
        """An answer of the engine itself, over its Unix socket."""
        connection = http.client.HTTPConnection("engine")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(self.folder / "data" / "engine.sock"))
        try:
            connection.request("POST", "/", sql)
            answer = connection.getresponse()
            said = answer.read().decode().strip()
        finally:
            connection.close()
        if answer.status >= 300:
            raise SystemExit(f"engine: {said[:500]}")
        return said


class Prometheus(System):
    """Debian's, with nothing to scrape."""

    name = "prometheus"
    variants: ClassVar = {"prometheus": {}}

    @staticmethod
    def missing() -> str:
        """Debian's package `prometheus`."""
        return "" if shutil.which("prometheus") else "prometheus is not in PATH (Debian's package prometheus)"

    def command(self, port: int) -> list[str]:
        """Remote write and snapshots must be asked for; the sample limit would refuse the larger queries."""
        config = self.folder / "prometheus.yml"
        config.write_text("global: {}\n")
        return [
            "prometheus", f"--config.file={config}", f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}", "--web.enable-remote-write-receiver", "--web.enable-admin-api",
            "--query.max-samples=1000000000", "--log.level=warn",
        ]  # fmt: skip

    def disk_bytes(self) -> dict[str, int]:
        """A snapshot: all blocks, the head written as one, no write-ahead log."""
        standing = folder_bytes(self.folder / "data")
        connection = http.client.HTTPConnection(self.address, timeout=600)
        connection.request("POST", "/api/v1/admin/tsdb/snapshot")
        name = json.loads(connection.getresponse().read())["data"]["name"]
        connection.close()
        return {"at_rest": folder_bytes(self.folder / "data" / "snapshots" / name), "standing": standing}


class VictoriaMetrics(System):
    """Debian's; `nocache=1` also turns off the alignment of start and end."""

    name = "victoriametrics"
    variants: ClassVar = {"victoriametrics": {"nocache": "1"}, "victoriametrics, cached": {}}
    exact = False

    @staticmethod
    def missing() -> str:
        """Debian's package `victoria-metrics`."""
        return "" if shutil.which("victoria-metrics") else "victoria-metrics is not in PATH (Debian's package of it)"

    def command(self, port: int) -> list[str]:
        """Limits on series as the larger worlds need them."""
        return [
            "victoria-metrics", f"-storageDataPath={self.folder / 'data'}", f"-httpListenAddr=127.0.0.1:{port}",
            "-search.maxUniqueTimeseries=2000000", "-search.maxSeries=2000000", "-loggerLevel=WARN",
            "-search.maxSamplesPerQuery=1000000000",
        ]  # fmt: skip

    def flush(self) -> None:
        """What is acknowledged waits up to a second (and some) until queries see it."""
        self.read("/internal/force_flush", {})
        time.sleep(2)

    def disk_bytes(self) -> dict[str, int]:
        """After all parts were merged."""
        folders = [self.folder / "data" / name for name in ("data", "indexdb")]
        self.flush()
        standing = sum(map(folder_bytes, folders))
        self.read("/internal/force_merge", {})
        self.settle()
        return {"at_rest": sum(map(folder_bytes, folders)), "standing": standing}


SYSTEMS: tuple[type[System], ...] = (Gnomon, Prometheus, VictoriaMetrics)
