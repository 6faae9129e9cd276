"""Our own ClickHouse: starts the engine as a child process, starts it again when it dies, stops it in order."""

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gnomon_server.errors import GnomonError, Unavailable

_START_S = 120.0  # a thousand parts take seconds to load, a slow disk more
_STOP_S = 30.0
_BACKOFF_S = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0)
_STEADY_S = 60.0  # after so long the next crash starts the back-off anew

_REASONS = {
    "locked": ("data_dir_taken", "another server owns this data directory", "stop it, or choose another --data"),
    "data": ("data_dir_unusable", "the engine cannot open the data directory", "see the engine's log beside it"),
    "socket": ("data_dir_taken", "another engine answers on this data directory's socket", "stop it first"),
}


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """The embedded engine. `memory_bytes` 0: half of the machine's."""

    data: Path
    memory_bytes: int = 0
    extra: tuple[str, ...] = ()


class Supervisor:
    """One engine. `on_event(name, detail)` hears `engine_started`, `engine_died`."""

    def __init__(self, settings: EngineSettings, on_event: Callable[[str, str], None]) -> None:
        self._settings = settings
        self._on_event = on_event
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None
        self._available = asyncio.Event()
        self.version = ""
        self.restarts = 0

    @property
    def socket(self) -> str:
        """The engine's socket: short, in the data directory, so that it is as private as the data."""
        return str(self._settings.data / "engine.sock")

    @property
    def pid(self) -> int:
        """The engine's process id; 0 while it is away."""
        return self._process.pid if self._process and self._available.is_set() else 0

    async def start(self) -> None:
        """Start the engine and wait until it answers. GnomonError says why it cannot."""
        self._settings.data.mkdir(parents=True, exist_ok=True)
        await self._spawn()
        self._watch = asyncio.create_task(self._keep_alive(), name="engine-supervisor")

    async def wait_available(self, timeout_s: float) -> None:
        """Wait until the engine answers; `Unavailable` past the time."""
        try:
            await asyncio.wait_for(self._available.wait(), timeout_s)
        except TimeoutError:
            raise Unavailable("engine_restarting", "the engine is being restarted", retry_after_s=2) from None

    async def stop(self) -> None:
        """Let running statements end, then stop; kill past the deadline."""
        if self._watch:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
        self._available.clear()
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _STOP_S)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _spawn(self) -> None:
        settings = self._settings
        command = [sys.executable, "-m", "gnomon_server.engine", "--data", str(settings.data / "clickhouse")]
        command += ["--socket", self.socket, "--die-with-parent", *settings.extra]
        if settings.memory_bytes:
            command += ["--memory", str(settings.memory_bytes)]
        with (settings.data / "engine.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log,
                env={**os.environ, "PYTHONUNBUFFERED": "1"}, start_new_session=True,
            )
        await self._wait_ready(self._process)

    async def _wait_ready(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None  # noqa: S101  (a pipe, above)
        try:
            line = await asyncio.wait_for(process.stdout.readline(), _START_S)
            event = json.loads(line) if line else {"event": "failed", "reason": "died", "message": "it ended at once"}
        except TimeoutError:
            process.kill()
            event = {"event": "failed", "reason": "slow", "message": f"not ready within {_START_S:.0f} s"}
        if event.get("event") != "ready":
            await process.wait()
            raise self._refusal(str(event.get("reason", "")), str(event.get("message", "")))
        self.version = str(event.get("version", ""))
        self._available.set()
        self._on_event("engine_started", f"pid {process.pid}, ClickHouse {self.version}")

    def _refusal(self, reason: str, message: str) -> GnomonError:
        code, what, hint = _REASONS.get(
            reason, ("engine_failed", "the engine did not start", f"see {self._settings.data / 'engine.log'}")
        )
        return GnomonError(code, f"{what}: {message}" if message else what, where=str(self._settings.data), hint=hint)

    async def _keep_alive(self) -> None:
        attempt, since = 0, time.monotonic()
        while True:
            assert self._process is not None  # noqa: S101  (started before)
            code = await self._process.wait()
            self._available.clear()
            self._on_event("engine_died", f"exit code {code}")
            if time.monotonic() - since > _STEADY_S:
                attempt = 0
            while True:
                await asyncio.sleep(_BACKOFF_S[min(attempt, len(_BACKOFF_S) - 1)])
                attempt += 1
                try:
                    await self._spawn()
                except GnomonError as error:
                    self._on_event("engine_not_restarted", str(error))
                    continue
                self.restarts += 1
                since = time.monotonic()
                break
