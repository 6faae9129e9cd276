"""``python -m gnomon_server.engine``: start, say so, serve, stop.

Standard output carries one JSON line: ``{"event": "ready", "version": ..., "pid": ..., "tcp": ...}``, or when it cannot
start ``{"event": "failed", "reason": ..., "message": ...}`` and exit code 2. SIGTERM and SIGINT stop it: running
statements may finish within the grace, then are killed; exit code 0, or 1 when something did not end.
"""

import argparse
import fcntl
import ipaddress
import json
import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from .config import Layout, Limits, default_memory_bytes, write_config
from .server import Handler, LoopbackServer, Service, UnixServer
from .session import Database

# After the grace and this, whatever still runs is left behind.
_KILL_S = 5.0
_LAST_S = 5.0


class _StartError(Exception):
    """Why the engine cannot start; ``reason`` is one of locked, data, config, socket, arguments."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _StartError("arguments", message)


def main() -> None:
    """Run the engine until it is told to stop."""
    try:
        arguments = _arguments()
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        if arguments.die_with_parent:
            _watch_parent(stop)
        layout = Layout(arguments.data.absolute())
        lock = _take_lock(layout)
        database = _open(layout, arguments)
        servers = _bind(arguments)
    except _StartError as error:
        _say({"event": "failed", "reason": error.reason, "message": str(error)})
        # The library may be half open; its own teardown is not worth waiting for.
        os._exit(2)
    service = Service(database, layout, _limits(arguments))
    for server in servers:
        server.bound(service)
        threading.Thread(target=server.serve_forever, args=(0.1,), name="accept", daemon=True).start()
    tcp = next((server.server_address for server in servers if isinstance(server, LoopbackServer)), None)
    _say({"event": "ready", "version": database.version, "pid": os.getpid(), "tcp": tcp})
    # A wait without an end can miss a signal that comes just before it.
    while not stop.wait(0.5):
        pass
    _stop(service, servers, lock)


def _arguments() -> argparse.Namespace:
    parser = _Parser(prog="python -m gnomon_server.engine", description=__doc__)
    defaults = Limits()
    parser.add_argument("--data", type=Path, required=True, help="the data directory; one engine owns it")
    parser.add_argument("--socket", type=Path, help="Unix socket to serve on (mode 0600)")
    parser.add_argument("--tcp", metavar="HOST:PORT", help="loopback address to serve on; port 0 takes a free one")
    parser.add_argument("--config-file", type=Path, help="configuration of the library instead of the one written here")
    parser.add_argument("--memory", type=int, metavar="BYTES", help="memory ceiling; default: half of what there is")
    parser.add_argument("--concurrency", type=int, default=defaults.concurrent_queries, help="statements at once")
    parser.add_argument("--queue", type=int, default=defaults.queued_queries, help="statements that may wait")
    parser.add_argument("--max-body", type=int, metavar="BYTES", default=defaults.body_bytes, help="largest body")
    parser.add_argument("--grace", type=float, metavar="S", default=defaults.grace_s, help="for statements at a stop")
    parser.add_argument("--die-with-parent", action="store_true", help="stop when the parent or standard input ends")
    arguments = parser.parse_args()
    if arguments.socket is None and arguments.tcp is None:
        raise _StartError("arguments", "--socket or --tcp is needed")
    if set("?&") & set(str(arguments.data)):
        raise _StartError("arguments", "--data must not contain ? or &: the library takes the path in a URL")
    if arguments.socket is not None:
        arguments.socket = arguments.socket.absolute()
    if arguments.config_file and arguments.memory:
        raise _StartError("arguments", "--memory has no effect beside --config-file: set max_server_memory_usage there")
    return arguments


def _limits(arguments: argparse.Namespace) -> Limits:
    return Limits(
        concurrent_queries=arguments.concurrency,
        queued_queries=arguments.queue,
        body_bytes=arguments.max_body,
        grace_s=arguments.grace,
    )


def _take_lock(layout: Layout) -> Any:
    """Lock the data directory; the library's own lock gives no readable reason."""
    try:
        layout.create()
        # Opened without truncation: the id of the owner stands in it.
        lock = os.fdopen(os.open(layout.lock, os.O_RDWR | os.O_CREAT, 0o600), "r+", encoding="ascii")
    except OSError as error:
        raise _StartError("data", f"The data directory {layout.root} cannot be used: {error}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = lock.read().strip() or "unknown"
        message = f"Cannot lock file {layout.lock}: another engine (process {owner}) owns {layout.root}"
        raise _StartError("locked", message) from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def _open(layout: Layout, arguments: argparse.Namespace) -> Database:
    os.chdir(layout.work)
    config = arguments.config_file or write_config(layout, arguments.memory or default_memory_bytes())
    if not config.is_absolute() or not config.is_file():
        raise _StartError("config", f"--config-file must be the absolute path of a file, not {config}")
    try:
        return Database(layout.database, config)
    except RuntimeError as error:
        hint = f"The usual cause is a broken table definition in {layout.database}; see {layout.log}"
        raise _StartError("data", f"{error} {hint}") from None


def _bind(arguments: argparse.Namespace) -> list[UnixServer | LoopbackServer]:
    servers: list[UnixServer | LoopbackServer] = []
    try:
        if arguments.socket is not None:
            servers.append(_bind_unix(arguments.socket))
        if arguments.tcp is not None:
            host, _, port = arguments.tcp.rpartition(":")
            if not ipaddress.ip_address(host).is_loopback:
                raise _StartError(
                    "socket", f"--tcp takes a loopback address only, not {host}: there is no authentication"
                )
            servers.append(LoopbackServer((host, int(port)), Handler))
    except (OSError, ValueError) as error:
        raise _StartError("socket", f"Cannot serve on {arguments.socket or arguments.tcp}: {error}") from None
    return servers


def _bind_unix(path: Path) -> UnixServer:
    """Replace a dead engine's socket; leave a living one's alone."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except FileNotFoundError:
            pass
        except ConnectionRefusedError:
            path.unlink()
        else:
            raise _StartError("socket", f"Another process serves on {path}")
    # The mode is right from the first moment, not after a chmod.
    before = os.umask(0o177)
    try:
        return UnixServer(str(path), Handler)
    finally:
        os.umask(before)


def _watch_parent(stop: threading.Event) -> None:
    """Stop when standard input ends or the parent is gone."""
    parent = os.getppid()

    def watch() -> None:
        # Straight from the descriptor: a reader blocked in sys.stdin would hold its lock at exit.
        with suppress(OSError):
            while os.read(0, 1024):
                pass
        stop.set()

    threading.Thread(target=watch, name="parent", daemon=True).start()
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - only here, and only on Linux

        # The kernel sends it when the *thread* that started us ends, so the parent is looked at again.
        signal.signal(signal.SIGUSR2, lambda *_: stop.set() if os.getppid() != parent else None)
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGUSR2)


def _stop(service: Service, servers: list[UnixServer | LoopbackServer], lock: Any) -> NoReturn:
    """Stop accepting, let statements finish or kill them, close the data directory."""
    grace = service.limits.grace_s

    def give_up() -> None:
        os._exit(1)

    watchdog = threading.Timer(grace + _KILL_S + _LAST_S, give_up)
    watchdog.daemon = True
    watchdog.start()
    for server in servers:
        server.shutdown()
        server.server_close()
        if isinstance(server, UnixServer):
            with suppress(OSError):
                Path(str(server.server_address)).unlink()
    if not service.crew.stop(grace, _KILL_S):
        os._exit(1)
    service.database.close()
    lock.close()
    # Threads of idle connections are still blocked in a read; the interpreter's teardown gains nothing.
    os._exit(0)


def _say(event: dict[str, Any]) -> None:
    # The parent may be gone; that is no reason to fail.
    with suppress(BrokenPipeError):
        print(json.dumps(event), flush=True)  # noqa: T201 - standard output is the protocol here


if __name__ == "__main__":
    main()
