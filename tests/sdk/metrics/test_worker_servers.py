"""One total under the workers of real servers, whichever of them is asked and however some of them end."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

APPS = Path(__file__).parent / "apps"
PYTHON = [sys.executable, "-m"]
SERVERS = {
    "gunicorn-sync": [*PYTHON, "gunicorn", "-w", "3", "-b", "127.0.0.1:{port}", "shop:wsgi"],
    "gunicorn-preload": [*PYTHON, "gunicorn", "--preload", "-w", "3", "-b", "127.0.0.1:{port}", "shop:wsgi"],
    "gunicorn-asgi": [*PYTHON, "gunicorn", "-k", "asgi", "-w", "2", "-b", "127.0.0.1:{port}", "shop:asgi"],
    "gunicorn-uvicorn": [
        *(*PYTHON, "gunicorn", "-w", "2", "-b", "127.0.0.1:{port}"),
        *("-k", "uvicorn.workers.UvicornWorker", "shop:asgi"),
    ],
    "uvicorn": [*PYTHON, "uvicorn", "--workers", "2", "--port", "{port}", "--log-level", "warning", "shop:asgi"],
    "granian": [
        *PYTHON,
        "granian",
        "--interface",
        "asgi",
        "--workers",
        "2",
        "--port",
        "{port}",
        "--respawn-failed-workers",
        "shop:asgi",
    ],
}


@contextlib.contextmanager
def served(server: str, directory: Path, *more: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
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
    """Requests, several at once; the workers that served them."""
    with ThreadPoolExecutor(6) as callers:
        return set(map(int, callers.map(lambda _: get(port, "/hit"), range(times))))


def hit_several(port: int) -> tuple[int, set[int]]:
    """Requests until two workers have served some: how many, and by whom."""
    served_by, times = set(), 0
    while len(served_by) < 2 and times < 1200:
        served_by |= hit(port, 60)
        times += 60
    assert len(served_by) > 1
    return times, served_by


def totals(port: int) -> tuple[int, int]:
    """What one scrape shows: the counter, and the histogram's count."""
    body = get(port, "/metrics")
    counted = re.search(r'^shop_requests_total\{path="/hit"\} (\d+)$', body, re.MULTILINE)
    timed = re.search(r"^shop_duration_seconds_count (\d+)$", body, re.MULTILINE)
    return int(counted[1]) if counted else 0, int(timed[1]) if timed else 0


def settle(port: int, expected: int) -> None:
    """Wait for a worker that was born just now to be found: a forked one joins a little later."""
    waited = time.monotonic() + 5
    while totals(port)[0] < expected and time.monotonic() < waited:
        time.sleep(0.05)


@pytest.mark.parametrize("server", SERVERS)
def test_every_scrape_shows_the_total_of_all_workers(server: str, tmp_path: Path) -> None:
    """After N requests each scrape says N, also after a worker was killed; new requests go on from there."""
    with served(server, tmp_path) as (port, _):
        times, workers = hit_several(port)
        settle(port, times)
        assert [totals(port) for _ in range(8)] == [(times, times)] * 8
        os.kill(min(workers), signal.SIGKILL)
        shown = []
        for _ in range(20):
            with contextlib.suppress(OSError):  # the killed worker's connections
                shown.append(totals(port))
            time.sleep(0.1)
        assert set(shown) == {(times, times)}
        hit(port, 20)
        settle(port, times + 20)
        assert {totals(port) for _ in range(6)} == {(times + 20, times + 20)}


def test_a_gauge_is_shown_for_each_worker(tmp_path: Path) -> None:
    """Gauges cannot be added up: each worker's own is there, under its process id."""
    with served("gunicorn-sync", tmp_path) as (port, _):
        _, workers = hit_several(port)
        shown = dict(re.findall(r'^shop_pid\{worker="(\d+)"\} (\d+)$', get(port, "/metrics"), re.MULTILINE))
        assert shown == {str(worker): str(worker) for worker in workers}


def test_a_stopped_worker_does_not_stop_the_scrape(tmp_path: Path) -> None:
    """A worker that hangs stands for itself with what it saved when it was last asked."""
    with served("gunicorn-sync", tmp_path) as (port, _):
        times, workers = hit_several(port)
        settle(port, times)
        assert totals(port) == (times, times)
        stopped = min(workers)
        os.kill(stopped, signal.SIGSTOP)
        try:
            found = []
            for _ in range(6):
                with contextlib.suppress(OSError):
                    found.append(totals(port))
            assert set(found) == {(times, times)}
        finally:
            os.kill(stopped, signal.SIGCONT)


def test_workers_that_are_replaced_lose_nothing(tmp_path: Path) -> None:
    """With max_requests workers come and go all the time; what they counted stays."""
    with served("gunicorn-preload", tmp_path, "--max-requests", "10") as (port, _):
        before = 0
        for _ in range(5):
            hit(port, 20)
            shown = totals(port)[0]
            assert shown >= before
            before = shown
        settle(port, 100)
        assert totals(port) == (100, 100)


@pytest.mark.skipif(sys.platform != "linux", reason="the directory is named after Linux' namespaces")
def test_nothing_is_left_but_one_small_file(tmp_path: Path) -> None:
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
