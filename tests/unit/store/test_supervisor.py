"""The supervised engine: killed, taken, stopped, and never ready."""

# ruff: noqa: ASYNC220, ASYNC240 - a look at a path and the start of a process are over at once

import asyncio
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent

import pytest
from rows import insert_of, log
from tests.waiting import soon

from gnomon_server.errors import GnomonError, Unavailable
from gnomon_server.store import supervisor as supervisor_module
from gnomon_server.store.durable_store import DurableStore
from gnomon_server.store.supervisor import EngineSettings, Supervisor


@dataclass
class Told:
    """What a supervisor said."""

    events: list[tuple[str, str]] = field(default_factory=list)

    def __call__(self, name: str, detail: str) -> None:
        self.events.append((name, detail))

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.events]


@pytest.fixture
async def folder() -> AsyncIterator[Path]:
    """A data directory with a short path."""
    with tempfile.TemporaryDirectory(prefix="gnomon-") as name:
        yield Path(name)


def is_alive(pid: int) -> bool:
    """Whether a process runs (and is not a zombie)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_nothing_is_lost_when_the_engine_is_killed_under_inserts(folder: Path) -> None:
    """Three kills at some moment of a hundred inserts; each is repeated until it is taken, and is there once."""
    told = Told()
    store = DurableStore(EngineSettings(folder), on_event=told)
    await store.start()
    done = 0

    async def write(number: int) -> None:
        nonlocal done
        insert = insert_of("logs", [log("2026-11-20", f"{number}-{line}") for line in range(20)], token=f"t{number}")
        while True:
            try:
                await store.insert([insert])
            except Unavailable:
                await asyncio.sleep(0.05)
            else:
                done += 1
                return

    async def write_some(first: int) -> None:
        for number in range(first, 100, 4):
            await write(number)

    writers = [asyncio.create_task(write_some(first)) for first in range(4)]
    assert store.supervisor is not None
    for kills in range(3):
        reached = done + 8
        await soon(lambda reached=reached: done >= reached)
        os.kill(store.supervisor.pid, signal.SIGKILL)
        await soon(lambda kills=kills: store.supervisor.restarts > kills)
    await asyncio.gather(*writers)
    found, _ = await store.query("SELECT count() AS n, uniqExact(body) AS bodies FROM logs")
    assert found.to_pylist() == [{"n": 2_000, "bodies": 2_000}]
    assert told.names.count("engine_died") == told.names.count("engine_started") - 1 == 3
    assert any("SIGKILL, as the kernel does when memory is short" in detail for _, detail in told.events)
    await store.stop()


async def test_a_second_server_on_the_directory_is_refused(folder: Path) -> None:
    """In words: taken, by whom, what to do. The first one is undisturbed."""
    first = DurableStore(EngineSettings(folder))
    await first.start()
    second = DurableStore(EngineSettings(folder))
    with pytest.raises(GnomonError) as refused:
        await second.start()
    await second.stop()
    assert refused.value.code == "data_dir_taken"
    assert str(first.supervisor.pid) in refused.value.what
    assert "choose another --data" in refused.value.hint
    await first.query("SELECT 1")
    await first.stop()


async def test_an_orderly_stop_ends_the_engine_and_leaves_no_socket(folder: Path) -> None:
    """Exit code 0, nothing left running; statements afterwards are told that it is away."""
    store = DurableStore(EngineSettings(folder))
    await store.start()
    pid = store.supervisor.pid
    insert = asyncio.create_task(store.insert([insert_of("logs", [log("2026-11-20")])]))
    await asyncio.sleep(0)
    await store.stop()
    await insert  # a running insert ends well
    assert not is_alive(pid)
    assert store.supervisor._process.returncode == 0
    assert not Path(store.supervisor.socket).exists()
    with pytest.raises(Unavailable):
        await store.client.command("SELECT 1")


async def test_the_engine_ends_with_its_parent(folder: Path) -> None:
    """A killed server leaves no engine behind."""
    program = dedent(
        """
        import asyncio, sys
        from pathlib import Path
        from gnomon_server.store.supervisor import EngineSettings, Supervisor

        async def main():
            supervisor = Supervisor(EngineSettings(Path(sys.argv[1])), lambda *_: None)
            await supervisor.start()
            print(supervisor.pid, flush=True)
            await asyncio.sleep(600)

        asyncio.run(main())
        """
    )
    with subprocess.Popen([sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE) as server:
        line = await asyncio.to_thread(server.stdout.readline)
        engine = int(line)
        assert is_alive(engine)
        server.kill()
    await soon(lambda: not is_alive(engine))


async def test_an_engine_that_is_never_ready_is_given_up(folder: Path) -> None:
    """Past the time it is killed, and the error says so."""
    supervisor = Supervisor(EngineSettings(folder, start_s=0.01), Told())
    with pytest.raises(GnomonError, match="not ready after 0 s") as refused:
        await supervisor.start()
    assert refused.value.code == "engine_failed"
    assert supervisor._process.returncode is not None
    await supervisor.stop()


async def test_arguments_the_engine_refuses_are_an_error_in_its_words(folder: Path) -> None:
    """It is its message that is shown, and where its log is."""
    supervisor = Supervisor(EngineSettings(folder, extra=("--no-such-thing",)), Told())
    with pytest.raises(GnomonError, match="no-such-thing") as refused:
        await supervisor.start()
    assert str(folder / "engine.log") in refused.value.hint


async def test_a_data_directory_that_cannot_be_made_is_an_error_in_words(folder: Path) -> None:
    """A file is in its place."""
    (folder / "file").touch()
    with pytest.raises(GnomonError) as refused:
        await Supervisor(EngineSettings(folder / "file" / "data"), Told()).start()
    assert refused.value.code == "data_dir_unusable"


async def test_a_stop_during_a_restart_leaves_nothing_running(folder: Path) -> None:
    """The engine has died, the next one is on its way, and then comes the stop."""
    told = Told()
    supervisor = Supervisor(EngineSettings(folder), told)
    await supervisor.start()
    first = supervisor._process
    os.kill(supervisor.pid, signal.SIGKILL)
    await soon(lambda: supervisor._process is not first)
    assert supervisor.pid == 0
    await supervisor.stop()
    assert supervisor._process.returncode is not None
    assert told.names == ["engine_started", "engine_died"]
    with pytest.raises(Unavailable):
        await supervisor.wait_available(0)


async def test_an_engine_that_hangs_is_replaced(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped in its tracks it gives no sign of life; it is killed, and the next one answers."""
    monkeypatch.setattr(supervisor_module, "_PULSE_S", 0.2)
    told = Told()
    supervisor = Supervisor(EngineSettings(folder, missed_pulses=2), told)
    await supervisor.start()
    await asyncio.sleep(1)
    assert told.names == ["engine_started"], "a healthy engine has a pulse"
    first = supervisor.pid
    os.kill(first, signal.SIGSTOP)
    await soon(lambda: supervisor.restarts == 1)
    assert told.names == ["engine_started", "engine_hung", "engine_died", "engine_started"]
    assert not is_alive(first)
    assert supervisor.pid not in (0, first)
    await supervisor.stop()


async def test_that_we_cannot_ask_says_nothing_of_the_engine(folder: Path) -> None:
    """All our files are open, under a flood of connections: a healthy engine is not killed for it."""
    supervisor = Supervisor(EngineSettings(folder), Told())
    assert not await supervisor._has_pulse(), "nobody answers"
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        assert await supervisor._has_pulse()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


async def test_a_restart_that_fails_is_tried_again(folder: Path) -> None:
    """Something is in the way for a while: each failure is told, and then it is back."""
    told = Told()
    supervisor = Supervisor(EngineSettings(folder), told)
    await supervisor.start()
    pid, data = supervisor.pid, folder / "clickhouse"
    data.rename(folder / "elsewhere")
    data.touch()
    os.kill(pid, signal.SIGKILL)
    await soon(lambda: "engine_not_restarted" in told.names)
    data.unlink()
    (folder / "elsewhere").rename(data)
    await supervisor.wait_available(30)
    assert supervisor.pid != pid
    await supervisor.stop()


async def test_a_long_path_gets_its_socket_elsewhere(folder: Path) -> None:
    """The system bounds a socket's path to some hundred bytes; the data may be deeper."""
    deep = folder / ("d" * 120)
    supervisor = Supervisor(EngineSettings(deep), Told())
    await supervisor.start()
    place = Path(supervisor.socket)
    assert place.exists()
    assert deep not in place.parents
    await supervisor.stop()
    assert not place.parent.exists()
