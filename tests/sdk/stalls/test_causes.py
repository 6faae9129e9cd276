"""Stalls that are no request's, nobody's, or another's; forks; and what watching costs."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from typing import Any

import pytest
from fastapi import FastAPI

from gnomon.stalls import watchdog as watching

app = FastAPI()
background = set()


def one_long_call(numbers: Any) -> None:
    """Holds the interpreter: one call of C, without a single line of Python in it."""
    numbers.sort()


@app.post("/held")
async def held() -> None:
    """Blocks with the interpreter in its hand."""
    import random  # noqa: PLC0415 - here alone

    seeded = random.Random(1)
    numbers = await asyncio.to_thread(lambda: [seeded.random() for _ in range(2_000_000)])
    await asyncio.sleep(0.1)
    one_long_call(numbers)


def nap() -> None:
    """Blocks for a moment."""
    time.sleep(0.3)


async def left_behind() -> None:
    """Blocks when its request is over."""
    await asyncio.sleep(0.2)
    nap()


@app.post("/leaves")
async def leaves() -> None:
    """Answers, and blocks afterwards."""
    task = asyncio.create_task(left_behind())
    background.add(task)
    task.add_done_callback(background.discard)


@app.post("/crowd")
async def crowd() -> None:
    """Many short callbacks, no one of which is to blame."""

    async def short() -> None:
        nap_until = time.monotonic() + 0.01
        while time.monotonic() < nap_until:
            pass

    await asyncio.gather(*(short() for _ in range(40)))


@app.get("/quick")
async def quick() -> None:
    """Does nothing."""


def test_a_call_that_holds_the_interpreter_is_said_to(service: Any) -> None:
    """No thread runs meanwhile, the watchdog neither: it looks at the first opportunity, and says so."""
    with service.served(app):
        assert service.ask("/held", "POST") == 200
        told = service.stall()
    assert told.kind == "blocked"
    assert told.gil_held
    assert told.line.function in {"one_long_call", "held"}
    assert told.serving.name == "POST /held"


def test_a_task_that_outlives_its_request_is_still_its(service: Any) -> None:
    """The request is over, and not held up itself; its name and trace are in the task's context."""
    with service.served(app):
        service.ask("/leaves", "POST")
        told = service.stall()
    assert told.line.function == "nap"
    assert told.serving.name == "POST /leaves"
    assert not told.serving.is_request
    assert told.serving.ids == (service.ended[0].trace, service.ended[0].id, True)
    assert told.held_up == 0
    assert not told.harmed


def test_a_crowd_is_not_blamed_on_one(asyncio_service: Any) -> None:
    """Forty callbacks of 10 ms in one turn: busy, not blocked."""
    with asyncio_service.served(app):
        asyncio_service.ask("/crowd", "POST")
        told = asyncio_service.stall()
    assert told.kind == "busy"
    assert told.serving is None
    assert told.message.startswith("many callbacks kept the event loop busy")


def test_a_stall_is_told_of_while_it_lasts(service: Any, monkeypatch: Any) -> None:
    """Its end may never come."""
    monkeypatch.setattr(watching, "LASTING_S", (0.2,))
    with service.served(app):
        service.ask("/leaves", "POST")
        first, second = service.until(lambda: len(service.reporter.stalls) == 2 and service.reporter.stalls)
    assert (first.lasting, second.lasting) == (True, False)
    assert "has been blocking the event loop" in first.message
    assert first.duration_s < second.duration_s


def test_a_debugger_is_no_stall(asyncio_service: Any, tmp_path: Any) -> None:
    """Whoever sits at a breakpoint knows."""
    (tmp_path / "pdb.py").write_text("import time\ndef interaction():\n    time.sleep(0.3)\n")
    space = {}
    exec(compile((tmp_path / "pdb.py").read_text(), str(tmp_path / "pdb.py"), "exec"), space)  # noqa: S102 - ours

    async def debugged(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/":
            space["interaction"]()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    with asyncio_service.served(debugged):
        asyncio_service.ask("/")
        time.sleep(0.3)
        assert asyncio_service.reporter.stalls == []


def test_a_stopped_process_blames_no_line() -> None:
    """SIGSTOP in the middle of a request: nothing ran, and no line is at fault."""
    program = textwrap.dedent("""
        import asyncio, time
        from gnomon.stalls.report import Reporter
        from gnomon.stalls.traffic import Traffic
        from gnomon.stalls.watchdog import Watchdog
        class Printed(Reporter):
            def tell(self, stall): print(stall.message, flush=True)
        watchdog = Watchdog(Printed(None, None), Traffic(None))
        watchdog.start()
        async def main():
            await asyncio.sleep(0.3)
            print("ready", flush=True)
            began = time.process_time()
            while time.process_time() < began + 0.3: pass
            await asyncio.sleep(0.3)
        asyncio.run(main())
    """)
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "ready\n"
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(2)
        os.kill(process.pid, signal.SIGCONT)
        told = process.communicate(timeout=20)[0]
    finally:
        process.kill()
        process.wait()
    assert re.match(r"the event loop could not run for [2-9]\.\d s: the process got no CPU", told)


def test_a_forked_child_watches_its_own_loops(asyncio_service: Any) -> None:
    """No thread and no loop came along; the first loop of the child brings a thread."""
    watchdog = asyncio_service.watchdog
    watchdog.start()

    async def block() -> None:
        await asyncio.sleep(0.2)
        nap()
        await asyncio.sleep(0.1)

    asyncio.run(block())
    asyncio_service.stall()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        asyncio_service.reporter.stalls.clear()
        asyncio_service.reporter._limiter._begin_anew()
        asyncio.run(block())
        os.write(writing, b"".join(one.line.function.encode() for one in asyncio_service.reporter.stalls))
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    assert os.read(reading, 100) == b"nap"
    os.close(reading)
    watchdog.shutdown(5)


def test_a_loop_that_ends_is_forgotten_and_a_short_one_not_even_met(asyncio_service: Any) -> None:
    """`asyncio.run` around one call costs no thread."""
    watchdog = asyncio_service.watchdog
    watchdog.start()
    for _ in range(20):
        asyncio.run(asyncio.sleep(0))
    assert watchdog._thread is None
    asyncio.run(asyncio.sleep(0.2))
    assert watchdog._thread.name == "gnomon-watchdog"
    assert watchdog._watched == []
    watchdog.shutdown(5)
    assert not any(thread.name == "gnomon-watchdog" for thread in threading.enumerate())
    before = asyncio.BaseEventLoop.run_forever
    assert before.__module__ == "asyncio.base_events"


async def test_the_loop_we_are_in_is_watched_too(asyncio_service: Any) -> None:
    """`instrument` is called where uvicorn imports the application: inside of a running loop."""
    asyncio_service.watchdog.start()
    await asyncio.sleep(0.2)
    nap()
    await asyncio.sleep(0.1)
    told = asyncio_service.stall()
    assert (told.line.function, told.serving) == ("nap", None)
    asyncio_service.watchdog.shutdown(5)


@pytest.mark.parametrize("seconds", [0.3])
def test_without_metrics_nobody_is_counted(asyncio_service: Any, seconds: Any) -> None:
    """The line is named all the same."""
    from gnomon.stalls.traffic import Traffic  # noqa: PLC0415 - here alone

    asyncio_service.watchdog._traffic = Traffic(None)
    with asyncio_service.served(app):
        asyncio_service.ask("/leaves", "POST")
        told = asyncio_service.stall()
    assert told.held_up is None
    assert "held up" not in told.message
    assert told.duration_s > seconds - 0.1
