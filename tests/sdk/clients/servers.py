"""Real servers for the clients: an application behind uvicorn, a Redis, a PostgreSQL."""

import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
START_S = 8


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(true: Callable[[], Any]) -> None:
    """Wait for something that will be."""
    deadline = time.monotonic() + START_S
    while not true():
        if time.monotonic() > deadline:
            pytest.fail("it never came true")
        time.sleep(0.02)


def listening(port: int) -> bool:
    """Whether anybody accepts connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def headers(request: Request) -> Response:
    """What was sent along."""
    return JSONResponse({"method": request.method, "headers": dict(request.headers)})


async def status(request: Request) -> Response:
    """The status that was asked for."""
    return Response(status_code=int(request.path_params["code"]))


async def redirect(request: Request) -> Response:
    """To somewhere else, so many times."""
    left = int(request.path_params["times"])
    return RedirectResponse(f"/redirect/{left - 1}" if left > 1 else "/headers")


async def challenge(request: Request) -> Response:
    """Wants a digest."""
    if "authorization" in request.headers:
        return Response("in")
    return Response(status_code=401, headers={"www-authenticate": 'Digest realm="r", nonce="n", qop="auth"'})


async def stream(_: Request) -> Response:
    """Many pieces."""

    async def pieces() -> Any:
        for _ in range(20):
            yield b"x" * 1000

    return StreamingResponse(pieces())


async def slow(_: Request) -> Response:
    """Later than anybody waits."""
    await anyio.sleep(30)
    return Response()


def application() -> Starlette:
    """All of these."""
    return Starlette(
        routes=[
            Route("/headers", headers, methods=["GET", "POST", "PURGE"]),
            Route("/status/{code}", status),
            Route("/redirect/{times}", redirect),
            Route("/challenge", challenge),
            Route("/stream", stream),
            Route("/slow", slow),
        ]
    )


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """An application behind uvicorn, in a thread; gives its URL."""
    port = free_port()
    settings = uvicorn.Config(
        app, port=port, log_level="critical", lifespan="off", timeout_graceful_shutdown=1, ws="none"
    )
    server = uvicorn.Server(settings)
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def redis_server(*settings: str) -> Iterator[int]:
    """A Redis of our own; gives its port."""
    program = shutil.which("redis-server")
    if not program:
        pytest.skip("redis-server is not installed")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="gnomon-redis-") as folder:
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder, *settings]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                wait_until(lambda: listening(port))
                yield port
            finally:
                process.terminate()


@contextmanager
def postgres_server() -> Iterator[int]:
    """A PostgreSQL of our own; gives its port. It refuses root, and runs as its package's user then."""
    if not POSTGRES:
        pytest.skip("PostgreSQL is not installed")
    bin_, port = POSTGRES[-1].parent, free_port()
    user = "postgres" if os.getuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="gnomon-postgres-") as folder:
        if user:
            shutil.chown(folder, user)
        data = f"{folder}/data"
        make = [bin_ / "initdb", "-D", data, "-U", "shop", "-A", "trust", "--no-sync"]
        subprocess.run(make, user=user, check=True, capture_output=True, cwd="/")
        run = [bin_ / "postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", folder, "-c", "fsync=off"]
        null = subprocess.DEVNULL
        with subprocess.Popen(run, user=user, stdout=null, stderr=null, cwd="/") as process:
            try:
                # It listens before it answers: at first it says that it is starting up.
                asked = [bin_ / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
                wait_until(lambda: not subprocess.run(asked, check=False).returncode)
                yield port
            finally:
                process.terminate()
