"""Backups on request, one at a time, beside everything else that the server does."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from gnomon_server.errors import GnomonError, Internal, InvalidInput, NotFound, Overloaded, Unsupported
from gnomon_server.selfmon.clock import Clock
from gnomon_server.store.backup.manifest import Manifest
from gnomon_server.store.backup.places import FolderPlace, Place, open_place
from gnomon_server.store.backup.s3 import S3Settings
from gnomon_server.store.backup.snapshot import forget
from gnomon_server.store.backup.take import CANCELLED, Progress, take_backup
from gnomon_server.store.durable_store import DurableStore

_REMEMBERED = 100
_CANCEL_S = 5.0


class BackupSettings(BaseModel):
    """How places that are not folders are reached."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    s3: S3Settings = S3Settings()


@dataclass(slots=True)
class Job:
    """A backup that was asked for. `state`: running, done, failed, cancelled."""

    number: int
    to: str
    state: str = "running"
    error: GnomonError | None = None
    made: dict[str, Any] | None = None
    """What is told of the backup; its manifest, which names every file, is not kept."""
    seconds: float = 0.0
    progress: Progress = field(default_factory=Progress)

    def told(self) -> dict[str, Any]:
        """As the API answers it."""
        return {
            "job": self.number,
            "to": self.to,
            "state": self.state,
            "phase": self.progress.phase,
            "done_bytes": self.progress.done_bytes,
            "total_bytes": self.progress.total_bytes,
            "seconds": round(self.seconds, 3),
            **(self.error.to_dict() if self.error else {}),
            **({"backup": self.made} if self.made else {}),
        }


class Backups:
    """The jobs since the server's start. `data` is its data directory, where no backup may lie."""

    def __init__(
        self,
        store: DurableStore,
        settings: BackupSettings,
        data: Path,
        clock: Clock,
        version: str,
        on_event: Callable[[str, str], Any],
    ) -> None:
        self._store = store
        self._settings = settings
        self._data = data.absolute()
        self._clock = clock
        self._version = version
        self._on_event = on_event
        self._jobs: dict[int, Job] = {}
        self._task: asyncio.Task[None] | None = None
        self._running: Job | None = None

    async def start(self) -> None:
        """Remove the snapshot of a backup that a crash has ended."""
        if self._store.supervisor:
            await forget(self._store)

    async def stop(self) -> None:
        """Cancel what runs; its place keeps nothing of it."""
        if self._task is not None and self._running is not None:
            self._running.progress.cancelled.set()
            await asyncio.wait([self._task], timeout=_CANCEL_S)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def begin(self, to: str, *, full: bool) -> Job:
        """Start one. Refused: a second at the same time, a place in the data directory, rows that are not here."""
        if self._store.supervisor is None:
            hint = "back them up there: BACKUP DATABASE gnomon, DATABASE gnomon_sql TO ..."
            raise Unsupported("backup_elsewhere", "the rows are in a ClickHouse server, not here", "store.url", hint)
        if self._running is not None:
            raise Overloaded("backup_running", f"a backup to {self._running.to} is running", retry_after_s=10)
        place = open_place(to, self._settings.s3)
        if isinstance(place, FolderPlace):
            self._check_folder(place.folder)
        job = Job(max(self._jobs, default=0) + 1, to)
        self._jobs[job.number] = job
        self._jobs.pop(job.number - _REMEMBERED, None)
        self._running = job
        self._task = asyncio.create_task(self._run(job, place, full=full), name="backup")
        return job

    def jobs(self) -> list[Job]:
        """The last hundred, newest first."""
        return list(reversed(self._jobs.values()))

    def job(self, number: int) -> Job:
        """One of them. `NotFound`."""
        if number not in self._jobs:
            raise NotFound("job_not_found", f"there is no backup job {number} since the server's start", where="path")
        return self._jobs[number]

    def cancel(self, number: int) -> Job:
        """Have it end soon, if it runs."""
        job = self.job(number)
        job.progress.cancelled.set()
        return job

    def _check_folder(self, folder: Path) -> None:
        if not folder.is_absolute():
            raise InvalidInput("place_relative", "a folder is named by its whole path", str(folder))
        if folder.resolve().is_relative_to(self._data.resolve()):
            hint = "another disk, or a bucket: what destroys the data must not destroy the backup"
            raise InvalidInput("place_in_data", "the folder lies in the data directory", str(folder), hint)

    async def _run(self, job: Job, place: Place, *, full: bool) -> None:
        self._on_event("backup_started", job.to)
        began = time.monotonic()
        try:
            manifest = await take_backup(
                self._store, place, job.to, job.progress, self._clock, self._version, full=full
            )
            job.made, job.state = await asyncio.to_thread(_told, manifest), "done"
        except GnomonError as error:
            job.error = error
            job.state = "cancelled" if error.code == CANCELLED else "failed"
        except asyncio.CancelledError:
            job.error, job.state = GnomonError(CANCELLED, "the server stops"), "cancelled"
            raise
        except Exception as error:  # noqa: BLE001  (whoever waits for the job must hear of its end)
            job.error, job.state = Internal("backup_failed", f"the backup failed: {error!r}"), "failed"
        finally:
            place.close()
            job.seconds = time.monotonic() - began
            self._running = None
            if job.made is not None:
                self._on_event("backup_done", f"{job.made['id']} at {job.to}, {job.seconds:.1f} s")
            else:
                self._on_event("backup_failed", f"{job.to}: {job.error.what if job.error else 'unknown'}")


def _told(manifest: Manifest) -> dict[str, Any]:
    return {
        "id": manifest.id,
        "kind": manifest.kind,
        "base": manifest.base,
        "began": manifest.began,
        "total_bytes": manifest.total_bytes,
        "written_bytes": manifest.written_bytes,
        "pause_s": manifest.pause_s,
        "tables": [
            {"name": table.name, "rows": table.hash.rows, "hash": str(table.hash), "bytes": table.size}
            for table in manifest.tables
            if table.holds_rows
        ],
    }
