"""The runner's way to ask over HTTP, held against the real Prometheus: what it reads there it will read from us."""

import asyncio
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.databases import started
from tests.ports import free_port
from tests.promqltest.answers import Failure, Result
from tests.promqltest.http import HttpAsker
from tests.promqltest.run import run, scenes

PROMETHEUS = shutil.which("prometheus")
SCRIPT = """
eval instant at 1m30s 1 + time()
    91

eval instant at 0 "a\\n"
    expect string "a\\n"

eval instant at 10s label_replace(vector(time()), "place", "here", "", "") > bool 5
    {place="here"} 1

eval range from 0 to 2m step 1m vector(time()) > 30
    {} _ 60 120

eval instant at 0 no_such_metric

eval instant at 0 vector(1) + on () (vector(1) or label_replace(vector(2), "a", "b", "", ""))
    expect fail regex: found duplicate series for the match group.*
"""


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[HttpAsker]:
    """Debian's, without any data."""
    if not PROMETHEUS:
        pytest.skip("prometheus is not installed")
    port = free_port()
    (tmp_path / "prometheus.yml").write_text("")
    command = [PROMETHEUS, f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
    address = f"http://127.0.0.1:{port}"
    with started([*command, f"--web.listen-address=127.0.0.1:{port}"], tmp_path / "log", lambda: _ready(address)):
        yield HttpAsker(address)


def _ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/-/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


async def test_prometheus_answers_are_read(prometheus: HttpAsker, tmp_path: Path) -> None:
    """Scalars, strings, vectors, matrices, refusals; and a wrong expectation is seen."""
    path = tmp_path / "some.test"
    path.write_text(SCRIPT)
    report = await run("some", scenes(path), prometheus)
    assert len(report.verdicts) == 6
    assert [str(verdict) for verdict in report.faulty] == []
    path.write_text(SCRIPT.replace('{place="here"} 1', '{place="there"} 1').replace("_ 60 120", "_ 60 121"))
    report = await run("some", scenes(path), prometheus)
    assert [verdict.line for verdict in report.faulty] == [8, 11]


async def test_refusals_have_prometheus_words(prometheus: HttpAsker) -> None:
    """A query that cannot be read; and what is no Prometheus at all."""
    reply = await prometheus.instant("sum(", at_ms=0, tenant="any")
    assert isinstance(reply, Failure)
    assert "parse error" in reply.message
    assert not reply.unexpected
    elsewhere = await HttpAsker(f"{prometheus.address}/no").instant("1", at_ms=0, tenant="any")
    assert isinstance(elsewhere, Failure)
    assert elsewhere.unexpected
    replies = await asyncio.gather(*(prometheus.instant(f"{n}", at_ms=0, tenant="any") for n in range(5)))
    assert [reply.scalar for reply in replies if isinstance(reply, Result)] == [0, 1, 2, 3, 4]
