"""A real Prometheus in a process of its own, and what is asked of it and of us alike."""

import contextlib
import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.ports import free_port
from tests.waiting import until

_FEATURES = "native-histograms,exemplar-storage,promql-negative-offset,promql-at-modifier"


@contextlib.contextmanager
def running(folder: Path, **config: Any) -> Iterator[str]:
    """Its address, once it is ready. It takes remote writes; `config` is its configuration beside `global`."""
    folder.mkdir(exist_ok=True)
    port = free_port()
    pace = {"scrape_interval": "500ms", "scrape_timeout": "500ms"}
    (folder / "prometheus.yml").write_text(
        json.dumps({"global": pace, "storage": {"exemplars": {"max_exemplars": 1000}}, **config})
    )
    command = [
        "prometheus", "--web.enable-remote-write-receiver", f"--enable-feature={_FEATURES}",
        f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        address = f"http://127.0.0.1:{port}"
        until(lambda: _ready(address), lambda: (folder / "log").read_text("utf-8"))
        yield address
    finally:
        process.kill()
        process.wait()


def _ready(address: str) -> bool:
    try:
        return ask(address, "/-/ready")[0] == 200
    except OSError:
        return False


def ask(
    address: str,
    path: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    form: bool = False,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, bytes]:
    """Status and body; lists among the parameters are repeated ones, `form` sends them as one."""
    query = urlencode(parameters or {}, doseq=True)
    url = f"{address}{path}" if form or not query else f"{address}{path}?{query}"
    request = urllib.request.Request(url, query.encode() if form else None, dict(headers or {}))
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def write(address: str, body: bytes) -> None:
    """A remote write of 1.0, compressed."""
    headers = {
        "Content-Type": "application/x-protobuf",
        "Content-Encoding": "snappy",
        "X-Prometheus-Remote-Write-Version": "0.1.0",
    }
    with urllib.request.urlopen(urllib.request.Request(f"{address}/api/v1/write", body, headers), timeout=60) as answer:
        assert answer.status in (200, 204)
