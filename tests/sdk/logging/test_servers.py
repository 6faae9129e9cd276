"""Real servers: what they log leaves as one JSON object a line."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

APPLICATION = """
from gnomon.logging import StructuredLogger
from gnomon.logging.bridges import servers, stdlib

stdlib.install()
logger = StructuredLogger("orders")


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        servers.install(access_log=True)
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    logger.access("GET /")
    if scope["path"] == "/wrong":
        raise ValueError("wrong")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})
"""
COMMANDS = {
    "uvicorn": ["-m", "uvicorn", "application:app", "--port", "{port}"],
    "gunicorn": ["-m", "gunicorn", "application:app", "-k", "asgi", "-b", "127.0.0.1:{port}", "--access-logfile", "-"],
    "granian": ["-m", "granian", "application:app", "--interface", "asgi", "--port", "{port}", "--access-log"],
}


def _free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


@pytest.mark.parametrize("server", COMMANDS)
def test_a_server_logs_through_us(server: str, tmp_path: Path, schema: Draft202012Validator) -> None:
    """From the start of the application on: its errors are lines of ours, its access log is silent."""
    (tmp_path / "application.py").write_text(APPLICATION)
    port = _free_port()
    command = [sys.executable, *(part.format(port=port) for part in COMMANDS[server])]
    with (tmp_path / "out").open("w") as out:
        started = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)}
        )
        try:
            _ask(f"http://127.0.0.1:{port}/", started)
            with pytest.raises(urllib.error.HTTPError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/wrong", timeout=10)
        finally:
            started.send_signal(signal.SIGTERM)
            started.wait(30)
    written = (tmp_path / "out").read_text().splitlines()
    lines = [json.loads(line) for line in written if line.startswith("{")]
    for line in lines:
        schema.validate(line)
    messages = [line["message"] for line in lines]
    assert messages.count("GET /") == 2, written
    assert any(line["level"] == "ERROR" and "ValueError" in str(line) for line in lines), written
    after = written[written.index(next(line for line in written if '"GET /"' in line)) :]
    assert [line for line in after if "GET" in line and '"GET /"' not in line and "ValueError" not in line] == []


def _ask(address: str, started: subprocess.Popen[bytes]) -> None:
    """Ask until the server is there."""
    while True:
        assert started.poll() is None
        try:
            urllib.request.urlopen(address, timeout=10).close()
        except urllib.error.URLError:
            continue
        return
