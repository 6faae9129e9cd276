"""The spool before a remote ClickHouse. The remote is our engine on a loopback port, killed and started again."""

import asyncio
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from rows import insert_of, log, span

from gnomon_server.errors import Unavailable
from gnomon_server.store.clickhouse import Address
from gnomon_server.store.ddl import Deployment
from gnomon_server.store.durable_store import DurableStore
from gnomon_server.store.interface import Insert
from gnomon_server.store.spool import SpooledStore


@dataclass
class Remote:
    """A ClickHouse somewhere else."""

    folder: Path
    port: int = 0
    process: asyncio.subprocess.Process | None = None
    events: list[str] = field(default_factory=list)

    async def start(self) -> None:
        command = [
            "-m",
            "gnomon_server.engine",
            "--data",
            str(self.folder / "remote"),
            "--tcp",
            f"127.0.0.1:{self.port}",
        ]
        with (self.folder / "remote.log").open("ab") as log_file:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, *command, stdout=asyncio.subprocess.PIPE, stderr=log_file
            )
        assert self.process.stdout is not None
        assert b"ready" in await self.process.stdout.readline()

    async def end(self, number: int = signal.SIGKILL) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(number)
            await self.process.wait()

    def spooled(self, max_bytes: int = 1 << 20) -> SpooledStore:
        """Our side of it, as after a start of the server."""
        inner = DurableStore(address=Address(f"http://127.0.0.1:{self.port}"), deployment=Deployment(embedded=False))
        return SpooledStore(inner, self.folder / "spool", max_bytes, lambda name, _detail: self.events.append(name))

    def files(self, pattern: str = "*.spool") -> list[Path]:
        return sorted((self.folder / "spool").glob(pattern))


@pytest.fixture
async def remote() -> AsyncIterator[Remote]:
    """Started, on a port of its own."""
    with tempfile.TemporaryDirectory(prefix="gnomon-") as folder, socket.create_server(("127.0.0.1", 0)) as free:
        found = Remote(Path(folder), free.getsockname()[1])
        free.close()
        await found.start()
        yield found
        await found.end()


def logs(number: int) -> list[Insert]:
    """An insert with its token."""
    return [insert_of("logs", [log("2026-11-20", f"line {number}")], token=f"t{number}")]


async def bodies(store: SpooledStore) -> list[str]:
    """What the remote has, in the order of arrival."""
    found, _ = await store.query("SELECT body FROM logs ORDER BY _block_number")
    return found["body"].to_pylist() if found.num_rows else []


async def drained(store: SpooledStore) -> None:
    """Wait until nothing waits."""
    while store.waiting_bytes:  # noqa: ASYNC110  (it drains by itself; there is no event for a test)
        await asyncio.sleep(0.05)


async def test_what_a_killed_remote_could_not_take_is_there_once_and_in_order(remote: Remote) -> None:
    """Inserts are acknowledged while it is away, survive our own restart, and arrive in order when it is back."""
    store = remote.spooled()
    await store.start()
    await store.insert(logs(0))
    assert not remote.files()
    await remote.end()
    for number in range(1, 4):
        await store.insert(logs(number))
    with pytest.raises(Unavailable):
        await store.query("SELECT 1")
    assert len(remote.files()) == 3
    await remote.start()
    await store.insert(logs(4))  # behind what waits
    await drained(store)
    assert await bodies(store) == [f"line {number}" for number in range(5)]
    assert not remote.files()
    await remote.end()
    await store.insert(logs(5))
    await store.stop()
    await remote.start()
    again = remote.spooled()
    await again.start()
    await drained(again)
    assert await bodies(again) == [f"line {number}" for number in range(6)]
    await again.stop()
    assert remote.events.count("spool_started") == 2


async def test_a_file_the_remote_has_already_taken_changes_nothing(remote: Remote) -> None:
    """We died between its answer and deleting the file: the tokens make the second time a no-op, views included."""
    store = remote.spooled()
    await store.start()
    await remote.end()
    await store.insert([insert_of("spans", [span("2026-11-20", 1)], token="a"), *logs(1)])
    (file,) = remote.files()
    content = file.read_bytes()
    await remote.start()
    await drained(store)
    await store.stop()
    file.write_bytes(content)
    again = remote.spooled()
    await again.start()
    await drained(again)
    counts, _ = await again.query(
        "SELECT (SELECT count() FROM logs) AS logs, (SELECT count() FROM spans) AS spans, sum(spans) AS traced "
        "FROM trace_index"
    )
    assert counts.to_pylist() == [{"logs": 1, "spans": 1, "traced": 1}]
    await again.stop()


async def test_half_written_and_damaged_files_do_not_stop_the_rest(remote: Remote) -> None:
    """A torn file was never acknowledged and goes; a damaged or refused one is set aside and told."""
    store = remote.spooled()
    await store.start()
    await remote.end()
    for number in range(1, 4):
        await store.insert(logs(number))
    await store.insert([insert_of("samples", [], token="x"), Insert("nothing", logs(9)[0].rows, "y")])
    await store.stop()
    first, second, *_ = remote.files()
    damaged = bytearray(second.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    second.write_bytes(damaged)
    first.with_name("9999999999999999.tmp").write_bytes(first.read_bytes()[:100])
    await remote.start()
    again = remote.spooled()
    await again.start()
    await drained(again)
    assert await bodies(again) == ["line 1", "line 3"]
    assert not remote.files("*.tmp")
    assert len(remote.files("*.refused")) == remote.events.count("spool_set_aside") == 2
    await again.stop()


async def test_past_its_bound_senders_are_told_to_come_again(remote: Remote) -> None:
    """`spool_full`, and what was acknowledged before stays."""
    store = remote.spooled(max_bytes=8_000)
    await store.start()
    await remote.end()
    taken, refused = 0, ""
    while not refused:
        try:
            await store.insert(logs(taken))
            taken += 1
        except Unavailable as full:
            refused = full.code
    assert refused == "spool_full"
    assert 0 < taken == len(remote.files()) < 50
    assert store.waiting_bytes <= 8_000
    await store.stop()
