"""docs/sdk/README.md and migration.md are true: their code runs as printed, and does what the text says."""

import ast
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.ports import free_port
from tests.sdk.lifecycle.processes import BIN, PYTHON, environment, served
from tests.sdk.receiver import Receiver, receiving

import gnomon
from gnomon.config.sources import load
from gnomon.testing import Capture, capture

SERVER = 2
PAGES = Path(__file__).resolve().parents[2] / "docs" / "sdk"
README, MIGRATION = ((PAGES / name).read_text("utf-8") for name in ("README.md", "migration.md"))
NAMED = re.compile(r"```python\n# (\S+)\n(.*?)```", re.DOTALL)
# What is written in the right column of the tables: a call, a decorator, a block's first line.
WRITTEN = [
    code
    for row in re.findall(r"^\|.*\| (.*) \|$", MIGRATION, re.MULTILINE)
    for code in re.findall(r"`((?:@?gnomon\.|log\.|with |manager\.)[^`]*)`", row)
    if "(...)" not in code
]

USE = """
import asyncio
from fastapi.testclient import TestClient
from ordering import place
from service import app

@app.get("/orders/{number}")
async def order(number: int) -> None:
    await place({"id": "o1", "items": [1, 2], "country": "ES", "value": 40.0})

with TestClient(app) as client:
    answer = client.get("/orders/7")
    assert answer.status_code == 200
    assert answer.headers["x-correlation-id"]
    assert 'orders_placed_total{country="ES"} 1' in client.get("/metrics").text
"""
APP = """
from fastapi import FastAPI
from fastapi.testclient import TestClient
app = FastAPI()
@app.get("/orders/{{number}}")
async def order(number: int) -> None: ...
"""
AFTER = f"""{APP}
{{after}}
TestClient(app).get("/orders/7")
"""
ADOPTED = f"""{APP}
{{before}}
import gnomon
{{beside}}
TestClient(app).get("/orders/7")
provider.shutdown()
"""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Takes everything."""
    with receiving() as one:
        yield one


@pytest.fixture
def written(tmp_path: Path) -> dict[str, str]:
    """The blocks of the README in the files that their first lines name."""
    blocks = dict(NAMED.findall(README))
    assert set(blocks) == {"service.py", "ordering.py", "test_ordering.py"}
    assert len(blocks) == README.count("```python")
    for name, code in blocks.items():
        (tmp_path / name).write_text(code)
    return blocks


def run(folder: Path, *command: Any, **variables: str) -> str:
    """A command in a folder, to its good end; its output."""
    done = subprocess.run(
        [PYTHON, *command], cwd=folder, capture_output=True, text=True, timeout=60, check=False,
        env=environment(**variables),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.usefixtures("written")
def test_what_a_request_leaves(receiver: Receiver, tmp_path: Path) -> None:
    """Two lines: a span with its route, histograms, an access line, a correlation id; and what is recorded by hand."""
    (tmp_path / "use.py").write_text(USE)
    run(tmp_path, "use.py", OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url)
    [served] = [span for span in receiver.spans if span.kind == SERVER and span.name == "GET /orders/{number}"]
    assert {span.name for span in receiver.spans if span.trace_id == served.trace_id} == {
        "GET", "GET /orders/{number}", "place", "reserve",  # the first is the test client's own
    }  # fmt: skip
    assert {resource["service.name"] for resource, _ in receiver.spans_by_resource()} == {"orders"}
    named = {metric.name for metric in receiver.metrics}
    assert {"http.server.request.duration", "http.server.response.body.size", "orders_placed", "basket_value"} <= named
    said = {record.body.string_value for record in receiver.logs}
    assert {"GET /orders/{number} 200", "Reserving", "Order placed", "Stock is low"} <= said


@pytest.mark.usefixtures("written")
def test_the_test(tmp_path: Path) -> None:
    """The page's own test passes where the package is installed."""
    assert "1 passed" in run(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_ordering.py")


@pytest.mark.usefixtures("written")
def test_the_command(receiver: Receiver, tmp_path: Path) -> None:
    """`gnomon-run`, as it stands there."""
    [command] = re.findall(r"^    (gnomon-run .*)$", README, re.MULTILINE)
    port = free_port()
    program, *arguments = command.split()
    with served(
        [str(BIN / program), *arguments, "--port", str(port)], port, tmp_path,
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url, PATH=f"{BIN}{os.pathsep}{os.environ['PATH']}",
    ):  # fmt: skip
        assert httpx.get(f"http://127.0.0.1:{port}/orders", timeout=10).status_code == 404
    assert [resource["service.name"] for resource, _ in receiver.spans_by_resource()] == ["orders"]


def test_beside_the_sdk_of_opentelemetry(receiver: Receiver, tmp_path: Path) -> None:
    """Step by step: each span goes to both places."""
    blocks = dict(NAMED.findall(MIGRATION))
    assert len(blocks) == MIGRATION.count("```python") == 2
    [beside] = re.findall(r"Call\s`(gnomon\.instrument\([^`]*\))` after", MIGRATION)
    (tmp_path / "both.py").write_text(ADOPTED.format(beside=beside, **blocks))
    with receiving() as theirs:
        run(tmp_path, "both.py", OTEL_EXPORTER_OTLP_ENDPOINT=theirs.url, GNOMON_EXPORT_ENDPOINT=receiver.url)
    assert "GET /orders/{number}" in {span.name for span in theirs.spans}
    assert sorted(span.span_id for span in theirs.spans) == sorted(span.span_id for span in receiver.spans)


def test_after_opentelemetry(receiver: Receiver, tmp_path: Path) -> None:
    """The block that takes the place of the other."""
    (tmp_path / "after.py").write_text(AFTER.format(after=dict(NAMED.findall(MIGRATION))["after"]))
    run(tmp_path, "after.py", OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url)
    assert [span.name for span in receiver.spans if span.kind == SERVER] == ["GET /orders/{number}"]


@pytest.mark.parametrize("code", WRITTEN)
def test_a_line_of_the_tables(code: str) -> None:
    """It runs, and leaves what it says."""
    more = {"@": "\ndef called(): ...\ncalled()", "w": " pass"}.get(code[0], "")
    with capture() as captured:
        names = {"gnomon": gnomon, "manager": captured.manager, "log": gnomon.get_logger("t"), "app": None,
                 "error": ValueError("e"), "function": lambda _: None}  # fmt: skip
        before = list(captured.manager.recorders.tracers.recording.ended)
        exec(compile(ast.parse(code + more), "the page", "exec"), names)  # noqa: S102 - a page of ours
        captured.manager.recorders.tracers.recording.ended[:] = before
        assert captured.spans or captured.logs or not code.startswith(("@", "with gnomon", "log.e", "gnomon.get"))


def test_settings_named_in_the_tables() -> None:
    """What is handed to `instrument` are settings."""
    made = [
        load(
            {word.arg: ast.literal_eval(word.value) for word in ast.parse(code, mode="eval").body.keywords},
            environment={},
        )  # type: ignore[attr-defined]
        for code in WRITTEN
        if code.startswith("gnomon.instrument(app, traces")
    ]
    assert [one.traces.sampler_ratio for one in made] == [0.1]


def test_the_capture_is_a_fixture(gnomon_capture: Capture) -> None:
    """It comes with the package."""
    assert gnomon_capture.spans == []
