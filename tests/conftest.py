"""Fixtures that many tests share: a real store on a real engine, a real server in a process of its own."""

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from tests.server import Server

from gnomon_server.store.durable_store import DurableStore
from gnomon_server.store.supervisor import EngineSettings

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _in_the_project() -> None:
    """Each test begins here: importing chdb changes the working directory, which programs of tests inherit."""
    os.chdir(ROOT)


@pytest.fixture
async def store() -> AsyncIterator[DurableStore]:
    """A started store with all migrations applied; its engine ends with the test."""
    # Unix socket paths are limited to some hundred bytes, pytest's own temporary paths are long.
    with tempfile.TemporaryDirectory(prefix="gnomon-") as folder:
        started = DurableStore(EngineSettings(Path(folder)))
        await started.start()
        try:
            yield started
        finally:
            await started.stop()


@pytest.fixture(scope="session")
def gnomon() -> Iterator[Server]:
    """One server for all tests that do not disturb it."""
    with tempfile.TemporaryDirectory(prefix="gnomon-") as folder:
        server = Server(Path(folder))
        server.start()
        yield server
        server.stop()


@pytest.fixture
def own_gnomon() -> Iterator[Server]:
    """A server of the test's own, to be killed, filled and bent."""
    with tempfile.TemporaryDirectory(prefix="gnomon-") as folder:
        server = Server(Path(folder))
        server.start()
        yield server
        server.stop()


# These ask how the SDK behaves while a loop stalls or a service works, in real time: on a machine that gives the
# watchdog no CPU for half a second there is nothing to see. All else has one try; another one is told as `R`.
REAL_TIME = ("tests/sdk/stalls/", "tests/sdk/budget/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of real time three tries."""
    for item in items:
        if item.nodeid.startswith(REAL_TIME):
            item.add_marker(pytest.mark.flaky(reruns=2))


# How long an input takes to be drawn hangs on what else the machine does.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")

_evaluated: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count evaluations of the field's corpora: tests marked `corpus` that passed."""
    if report.when == "call" and report.passed and "corpus" in report.keywords:
        _evaluated.append(report.nodeid)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many ran: a run without the corpora looks the same but for this line."""
    terminalreporter.write_line(f"corpus evaluations: {len(_evaluated)}")
