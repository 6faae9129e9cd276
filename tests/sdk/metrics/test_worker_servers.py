"""One total under the workers of real servers, whichever of them is asked and however some of them end."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

APPS = Path(__file__).parent / "apps"
PYTHON = [sys.executable, "-m"]
SERVERS = {
    "gunicorn-sync": [*PYTHON, "gunicorn", "-w", "3", "-b", "127.0.0.1:{port}", "shop:wsgi"],
    "gunicorn-preload": [*PYTHON, "gunicorn", "--preload", "-w", "3", "-b", "127.0.0.1:{port}", "shop:wsgi"],
    "uvicorn": [*PYTHON, "uvicorn", "--workers", "2", "--port", "{port}", "--log-level", "warning", "shop:asgi"],
    "granian": [*PYTHON, "granian", "--interface", "asgi", "--workers", "2", "--port", "{port}", "shop:asgi"],
}


@contextlib.contextmanager
def served(server: str, directory: Path, *more: str):
    """The server's port and process, in a runtime directory of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [part.format(port=port) for part in SERVERS[server]]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command[:-1], *more, command[-1]],
            cwd=APPS,
            stdout=log,
            stderr=log,
            env={**os.environ, "XDG_RUNTIME_DIR": str(directory), "PYTHONPATH": str(APPS)},
            start_new_session=True,
        )
    try:
        waited = time.monotonic() + 10
        while True:
            with contextlib.suppress(OSError):
                get(port, "/metrics")
                break
            assert time.monotonic() < waited, (directory / "log").read_text()
            time.sleep(0.1)
        yield port, process
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def get(port: int, path: str) -> str:
    """A fresh connection each time, so that each worker has its turn."""
    request = Request(f"http://127.0.0.1:{port}{path}", headers={"connection": "close"})
    with urlopen(request, timeout=10) as answer:
        return answer.read().decode()


def hit(port: int, times: int) -> set[int]:
    """Requests; the workers that served them."""
    return {int(get(port, "/hit")) for _ in range(times)}


def totals(port: int) -> tuple[int, int]:
    """What one scrape shows: the counter, and the histogram's count."""
    body = get(port, "/metrics")
    counted = re.search(r'^shop_requests_total\{path="/hit"\} (\d+)$', body, re.MULTILINE)
    timed = re.search(r"^shop_duration_seconds_count (\d+)$", body, re.MULTILINE)
    return int(counted[1]) if counted else 0, int(timed[1]) if timed else 0


@pytest.mark.parametrize("server", SERVERS)
def test_every_scrape_shows_the_total_of_all_workers(server, tmp_path):
    """After N requests each scrape says N, also after a worker was killed; new requests go on from there."""
    with served(server, tmp_path) as (port, process):
        workers = hit(port, 60)
        assert [totals(port) for _ in range(8)] == [(60, 60)] * 8
        assert len(workers) > 1
        os.kill(min(workers), signal.SIGKILL)
        shown = []
        for _ in range(20):
            with contextlib.suppress(OSError):  # the killed worker's connections
                shown.append(totals(port))
            time.sleep(0.1)
        assert set(shown) == {(60, 60)}
        if server != "granian":  # it ends with its workers, unless told otherwise
            hit(port, 20)
            assert {totals(port) for _ in range(6)} == {(80, 80)}


def test_a_gauge_is_shown_for_each_worker(tmp_path):
    """Gauges cannot be added up: each worker's own is there, under its process id."""
    with served("gunicorn-sync", tmp_path) as (port, _):
        workers = hit(port, 60)
        shown = dict(re.findall(r'^shop_pid\{worker="(\d+)"\} (\d+)$', get(port, "/metrics"), re.MULTILINE))
        assert shown == {str(worker): str(worker) for worker in workers}


def test_a_stopped_worker_does_not_stop_the_scrape(tmp_path):
    """A worker that hangs stands for itself with what it saved when it was last asked."""
    with served("gunicorn-sync", tmp_path) as (port, _):
        workers = hit(port, 60)
        assert totals(port) == (60, 60)
        stopped = min(workers)
        os.kill(stopped, signal.SIGSTOP)
        try:
            found = []
            for _ in range(6):
                with contextlib.suppress(OSError):
                    found.append(totals(port))
            assert set(found) == {(60, 60)}
        finally:
            os.kill(stopped, signal.SIGCONT)


def test_workers_that_are_replaced_lose_nothing(tmp_path):
    """With max_requests workers come and go all the time; what they counted stays."""
    with served("gunicorn-preload", tmp_path, "--max-requests", "10") as (port, _):
        before = 0
        for _ in range(5):
            hit(port, 20)
            shown = totals(port)[0]
            assert shown >= before
            before = shown
        time.sleep(1.5)  # for those to end that were on their way
        assert totals(port) == (100, 100)


@pytest.mark.skipif(sys.platform != "linux", reason="the directory is named after Linux' namespaces")
def test_nothing_is_left_but_one_small_file(tmp_path):
    """The dead are folded into one file as others go on."""
    with served("gunicorn-sync", tmp_path, "--max-requests", "5") as (port, _):
        for _ in range(4):
            hit(port, 20)
        totals(port)
        (group,) = next(tmp_path.glob("gnomon-*")).iterdir()
        assert group.stat().st_mode & 0o77 == 0
        time.sleep(1)
        totals(port)
        assert len(list(group.glob("*.snap"))) <= 4
