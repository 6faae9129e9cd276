"""Our own ClickHouse: starts the engine as a child process, starts it again when it dies, stops it in order."""

import asyncio
import contextlib
import errno
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gnomon_server.errors import GnomonError, Unavailable

_START_S = 120.0  # a thousand parts take seconds to load, a slow disk more
_STOP_S = 30.0  # the engine gives running statements 10 s, then kills them
_BACKOFF_S = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0)
_ABORT_S = 2.0  # to write its stacks; more than that is a core dump
_PULSE_S = 5.0  # how often the engine is asked for a sign of life, and how long it may take
_STEADY_S = 60.0  # after so long the next crash starts the back-off anew
# What we ourselves are short of when we cannot ask: it says nothing of the engine.
_OUR_WANT = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_LONGEST_SOCKET_PATH = 100  # the system allows 107 bytes on Linux, 103 on macOS

_REASONS = {
    "locked": ("data_dir_taken", "another server owns this data directory", "stop it, or choose another --data"),
    "data": ("data_dir_unusable", "the engine cannot open the data directory", "see engine.log in it"),
    "socket": ("engine_failed", "the engine cannot serve on its socket", "another engine may still be stopping"),
}


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """The embedded engine. `memory_bytes` 0: half of the machine's. `extra` are further arguments of the engine.

    An engine that misses `missed_pulses` signs of life in a row, one in five seconds, hangs: it is killed and replaced.
    """

    data: Path
    memory_bytes: int = 0
    extra: tuple[str, ...] = ()
    start_s: float = _START_S
    missed_pulses: int = 6


class Supervisor:
    """One engine. `on_event(name, detail)` hears the events `engine_*` of selfmon.events."""

    def __init__(self, settings: EngineSettings, on_event: Callable[[str, str], Any]) -> None:
        self._settings = settings
        self._on_event = on_event
        self._data = settings.data.absolute()
        self._socket_folder = self._data
        if len(os.fsencode(self._data / "engine.sock")) > _LONGEST_SOCKET_PATH:
            self._socket_folder = Path(tempfile.mkdtemp(prefix="gnomon-"))
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None
        self._available = asyncio.Event()
        self.version = ""
        self.restarts = 0

    @property
    def database(self) -> Path:
        """Where the engine keeps its tables."""
        return self._settings.data / "clickhouse" / "db"

    @property
    def socket(self) -> str:
        """The engine's socket: in the data directory, as private as the data, unless that path is too long for one."""
        return str(self._socket_folder / "engine.sock")

    @property
    def pid(self) -> int:
        """The engine's process id; 0 while it is away."""
        return self._process.pid if self._process and self._available.is_set() else 0

    async def start(self) -> None:
        """Start the engine and wait until it answers. GnomonError says why it cannot."""
        try:
            self._data.mkdir(mode=0o700, parents=True, exist_ok=True)
            await self._spawn()
        except OSError as error:
            raise self._refusal("data", str(error)) from error
        self._watch = asyncio.create_task(self._keep_alive(), name="engine-supervisor")

    async def wait_available(self, timeout_s: float) -> None:
        """Wait until the engine answers; `Unavailable` past the time."""
        try:
            # Not wait_for: of Python 3.11 it swallows a cancellation that comes with the event.
            async with asyncio.timeout(timeout_s):
                await self._available.wait()
        except TimeoutError:
            raise Unavailable("engine_restarting", "the engine is being restarted", retry_after_s=2) from None

    async def stop(self) -> None:
        """Let running statements end, then stop; kill past the deadline. Also while it is being restarted."""
        if self._watch:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        self._available.clear()
        if self._process is not None:
            await _end(self._process)
        if self._socket_folder != self._data:
            shutil.rmtree(self._socket_folder, ignore_errors=True)

    async def _spawn(self) -> None:
        settings = self._settings
        command = [sys.executable, "-m", "gnomon_server.engine", "--data", str(self._data / "clickhouse")]
        command += ["--socket", self.socket, "--die-with-parent", *settings.extra]
        if settings.memory_bytes:
            command += ["--memory", str(settings.memory_bytes)]
        with (self._data / "engine.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for us; the engine is told when we have drained
            )
        await self._wait_ready(self._process)

    async def _wait_ready(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None  # noqa: S101  (a pipe, above)
        try:
            line = await asyncio.wait_for(process.stdout.readline(), self._settings.start_s)
            event = json.loads(line) if line else {"message": f"it ended at once: {_ending(await process.wait())}"}
        except TimeoutError:
            event = {"message": f"it is not ready after {self._settings.start_s:.0f} s"}
        except ValueError:
            event = {"message": f"it says {line[:100]!r}"}
        if event.get("event") != "ready":
            _kill(process)
            await process.wait()
            raise self._refusal(str(event.get("reason", "")), str(event["message"]))
        self.version = str(event["version"])
        self._available.set()
        self._on_event("engine_started", f"pid {process.pid}, ClickHouse {self.version}")

    def _refusal(self, reason: str, message: str) -> GnomonError:
        code, what, hint = _REASONS.get(
            reason, ("engine_failed", "the engine did not start", f"see {self._data / 'engine.log'}")
        )
        return GnomonError(code, f"{what}: {message}", where=str(self._data), hint=hint)

    async def _keep_alive(self) -> None:
        attempt, since = 0, time.monotonic()
        while True:
            assert self._process is not None  # noqa: S101  (started before)
            code = await self._ended(self._process)
            self._available.clear()
            self._on_event("engine_died", _ending(code))
            if time.monotonic() - since > _STEADY_S:
                attempt = 0
            while not self._available.is_set():
                await asyncio.sleep(_BACKOFF_S[min(attempt, len(_BACKOFF_S) - 1)])
                attempt += 1
                try:
                    await self._spawn()
                except (GnomonError, OSError) as error:
                    self._on_event("engine_not_restarted", str(error))
            self.restarts += 1
            since = time.monotonic()

    async def _ended(self, process: asyncio.subprocess.Process) -> int:
        """Wait for the process's end, and bring it about when the engine hangs; returns its exit code."""
        ended = asyncio.create_task(process.wait())
        missed = 0
        try:
            while not (await asyncio.wait({ended}, timeout=_PULSE_S))[0]:
                missed = 0 if await self._has_pulse() else missed + 1
                if missed >= self._settings.missed_pulses and not ended.done():
                    self._available.clear()
                    self._on_event("engine_hung", f"no sign of life {missed} times, pid {process.pid}; killing it")
                    await _abort(process)
                    missed = 0  # one that cannot even be killed (its disk hangs) is told of now and then
            return ended.result()
        finally:
            ended.cancel()

    async def _has_pulse(self) -> bool:
        """Whether the engine answers, which it does after it has run a statement; or we cannot ask it."""
        try:
            async with asyncio.timeout(_PULSE_S):
                reader, writer = await asyncio.open_unix_connection(self.socket)
                with contextlib.closing(writer):
                    writer.write(b"GET /ping HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n\r\n")
                    return b" 200 " in await reader.readline()
        except OSError as error:  # TimeoutError is one
            return error.errno in _OUR_WANT


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    hint = ", as the kernel does when memory is short" if code == -signal.SIGKILL else ""
    return f"ended by {signal.Signals(-code).name}{hint}"


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _STOP_S)
    except TimeoutError:
        _kill(process)
        await process.wait()


async def _abort(process: asyncio.subprocess.Process) -> None:
    """Have the engine write where its threads stand into engine.log, then kill it."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGABRT)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(process.wait()), _ABORT_S)
    _kill(process)


def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
