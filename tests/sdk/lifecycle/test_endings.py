"""However a process ends, short of being killed: what it recorded arrives, and it ends as it would without us."""

import os
import signal
import subprocess
import textwrap
from pathlib import Path

import pytest
from tests.ports import free_port
from tests.sdk.lifecycle.processes import BIN, PYTHON, environment, ran, served
from tests.sdk.receiver import Receiver
from tests.waiting import until

START = """
    import gnomon, os, signal, sys, threading, time
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's job in the background begins without it
    gnomon.instrument(service_name="script", endpoint=sys.argv[1], metrics={"enabled": False})
    with gnomon.span("work"):
        gnomon.get_logger("script").warning("hello")
"""


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ("pass", 0),
        ("sys.exit(3)", 3),
        ("raise RuntimeError('unhandled')", 1),
        ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(20)", -signal.SIGTERM),
        ("os.kill(os.getpid(), signal.SIGINT); time.sleep(20)", -signal.SIGINT),
        ("threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start(); threading.Event().wait()",
         -signal.SIGTERM),
    ],
    ids=["end", "exit", "exception", "sigterm", "sigint", "sigterm in a wait"],
)  # fmt: skip
def test_a_script(receiver: Receiver, ending: str, status: int) -> None:
    """The exit status is as without us, and the span and the line have arrived."""
    assert ran(START + "    " + ending, receiver.url).returncode == status
    assert [span.name for span in receiver.spans] == ["work"]
    assert "hello" in [record.body.string_value for record in receiver.logs]


def test_a_handler_of_the_hosts_own_stays(receiver: Receiver) -> None:
    """Who handles SIGTERM itself goes on doing so."""
    own = "    import signal, sys\n    signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))\n"
    done = ran(own + START + "    os.kill(os.getpid(), signal.SIGTERM); time.sleep(20)", receiver.url)
    assert done.returncode == 5
    assert [span.name for span in receiver.spans] == ["work"]


def test_leaving_without_a_word_loses(receiver: Receiver) -> None:
    """`os._exit` runs nothing of anybody's; documented."""
    assert ran(START + "    os._exit(7)", receiver.url).returncode == 7
    assert receiver.spans == []


@pytest.mark.parametrize(
    "leaving",
    ["os.fork", "multiprocessing fork", "multiprocessing spawn", "multiprocessing forkserver"],
)
def test_children_send_their_own(receiver: Receiver, tmp_path: Path, leaving: str) -> None:
    """Each child what it recorded, once, as an instance of its own."""
    how = leaving.partition(" ")[2]
    code = f"""
        import multiprocessing, os, sys
        import gnomon
        def begin():
            gnomon.instrument(service_name="family", endpoint=sys.argv[1], metrics={{"enabled": False}},
                              **{{"export.schedule_s": 60}})
        def child():
            begin()  # a spawned one is new; in a forked one it runs already
            with gnomon.span(f"child {{os.getpid()}}"):
                pass
        if __name__ == "__main__":
            begin()
            with gnomon.span("before"):
                pass
            if {how!r}:
                multiprocessing.set_start_method({how!r})
                children = [multiprocessing.Process(target=child) for _ in range(3)]
                for one in children: one.start()
                for one in children: one.join()
                assert all(one.exitcode == 0 for one in children)
            else:
                for _ in range(3):
                    if not os.fork():
                        child()
                        sys.exit(0)
                for _ in range(3):
                    os.wait()
            with gnomon.span("after"):
                pass
    """
    script = tmp_path / "family.py"
    script.write_text(textwrap.dedent(code))
    done = subprocess.run(
        [PYTHON, script, receiver.url], capture_output=True, text=True, timeout=60, check=False, env=environment()
    )
    assert done.returncode == 0, done.stderr
    spans = receiver.spans_by_resource()
    names = sorted(span.name.split()[0] for _, span in spans)
    assert names == ["after", "before", "child", "child", "child"]
    assert len({told["service.instance.id"] for told, _ in spans}) == 4
    for told, span in spans:
        if span.name.startswith("child"):
            assert int(span.name.split()[1]) == told["process.pid"]


APP = """
import os
from fastapi import FastAPI
{instrument}
app = FastAPI()

@app.get("/work/{{number}}")
async def work(number: int) -> int:
    return os.getpid()
"""
UVICORN = [PYTHON, "-m", "uvicorn", "app:app", "--port", "{port}"]
GUNICORN = [PYTHON, "-m", "gunicorn", "app:app", "-b", "127.0.0.1:{port}", "-w", "2"]
WORKER = ["-k", "uvicorn.workers.UvicornWorker"]
SERVERS = {
    "uvicorn": UVICORN,
    "uvicorn-workers": [*UVICORN, "--workers", "2"],
    "gunicorn": [*GUNICORN, *WORKER],
    "gunicorn-preload": [*GUNICORN, "--preload", *WORKER],
    "granian": [PYTHON, "-m", "granian", "app:app", "--interface", "asgi", "--port", "{port}", "--workers", "2"],
}


def requests(port: int, number: int) -> set[int]:
    """So many requests, each on a connection of its own; who served them."""
    import httpx  # noqa: PLC0415 - here alone

    served_by = set()
    for one in range(number):
        with httpx.Client() as client:
            answer = client.get(f"http://127.0.0.1:{port}/work/{one}", timeout=10)
        assert answer.status_code == 200
        served_by.add(answer.json())
    return served_by


@pytest.mark.parametrize("code", ["one line", "no line"])
@pytest.mark.parametrize("server", SERVERS)
def test_workers_deliver_everything(receiver: Receiver, tmp_path: Path, server: str, code: str) -> None:
    """SIGTERM right after the requests: each worker's spans, lines and counts arrive; with a line of code, or none."""
    line = "import gnomon\ngnomon.instrument()" if code == "one line" else ""
    (tmp_path / "app.py").write_text(APP.format(instrument=line))
    port = free_port()
    command = [part.format(port=port) for part in SERVERS[server]]
    if code == "no line":
        command = [str(BIN / "gnomon-run"), "--service", "app", "--endpoint", receiver.url, *command]
    variables = {"GNOMON_SERVICE_NAME": "app", "GNOMON_EXPORT_ENDPOINT": receiver.url, "GNOMON_EXPORT_SCHEDULE_S": "60"}
    with served(command, port, tmp_path, **variables):
        served_by = requests(port, 60)
    told = [(told, span) for told, span in receiver.spans_by_resource() if span.name == "GET /work/{number}"]
    assert len(told) == len({span.span_id for _, span in told}) == 60, (tmp_path / "log").read_text()
    assert {int(resource["process.pid"]) for resource, _ in told} == served_by
    accessed = [record for record in receiver.logs if record.body.string_value == "GET /work/{number} 200"]
    assert len(accessed) == 60
    counted: dict[str, int] = {}  # totals: the last of each instance stands
    for instance, metric in receiver.metrics_by_instance():
        if metric.name == "http.server.request.duration":
            counted[instance] = sum(point.count for point in metric.histogram.data_points)
    assert sum(counted.values()) == 60


def test_gnomon_run_runs_scripts(receiver: Receiver, tmp_path: Path) -> None:
    """Without a line of code; another `sitecustomize` is run too; the exit status is the program's."""
    (tmp_path / "sitecustomize.py").write_text("print('theirs')")
    (tmp_path / "script.py").write_text(
        "import sys, logging\nfrom opentelemetry import trace\n"
        "with trace.get_tracer('t').start_as_current_span('work'): logging.warning('hello')\nsys.exit(4)"
    )
    run = [BIN / "gnomon-run", "--service", "s", "--endpoint", receiver.url, "--", PYTHON, "script.py"]
    done = subprocess.run(
        run, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False,
        env=environment(PYTHONPATH=str(tmp_path)),
    )  # fmt: skip
    assert (done.returncode, "theirs" in done.stdout) == (4, True), done.stderr
    assert [span.name for span in receiver.spans] == ["work"]


@pytest.mark.parametrize(
    ("arguments", "status", "word"),
    [([], 2, "which program"), (["--", "no-such-program"], 127, "command not found"), (["--version"], 0, "gnomon 0")],
)
def test_gnomon_run_says_what_is_wrong(arguments: list[str], status: int, word: str) -> None:
    """As commands do."""
    done = subprocess.run(
        [BIN / "gnomon-run", *arguments], capture_output=True, text=True, timeout=30, check=False, env=environment()
    )
    assert (done.returncode, word in done.stdout + done.stderr) == (status, True)


def test_gnomon_run_with_wrong_settings_runs_the_program(tmp_path: Path) -> None:
    """Not instrumented, which it says; but run."""
    done = subprocess.run(
        [BIN / "gnomon-run", PYTHON, "-c", "print('ran')"], capture_output=True, text=True, timeout=30, check=False,
        env=environment(GNOMON_METRICS_PORT="99999"),
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "ran\n")
    assert "not instrumented" in done.stderr
    assert "metrics.port" in done.stderr


def test_a_thousand_requests_without_a_receiver(tmp_path: Path) -> None:
    """Nobody listens: 1,000 requests are answered, one warning a signal is printed, the drop counter rises."""
    import httpx  # noqa: PLC0415 - here alone

    (tmp_path / "app.py").write_text(APP.format(instrument="import gnomon\ngnomon.instrument()"))
    port = free_port()
    variables = {
        "GNOMON_EXPORT_ENDPOINT": f"http://127.0.0.1:{free_port()}", "GNOMON_EXPORT_QUEUE_SIZE": "200",
        "GNOMON_EXPORT_SHUTDOWN_TIMEOUT_S": "0.5", "GNOMON_EXPORT_SCHEDULE_S": "0.1",
    }  # fmt: skip
    with served([*SERVERS["uvicorn"][:-1], str(port)], port, tmp_path, **variables), httpx.Client() as client:
        address = f"http://127.0.0.1:{port}"
        assert {client.get(f"{address}/work/{number}").status_code for number in range(1000)} == {200}

        def dropped() -> float:
            lines = client.get(f"{address}/metrics").text.splitlines()
            found = [line for line in lines if line.startswith("gnomon_sdk_records_total{") and "queue_full" in line]
            return sum(float(line.rpartition(" ")[2]) for line in found)

        until(lambda: dropped() >= 1000)
        assert os.path.exists(tmp_path / "log")  # noqa: PTH110 - the server's output
    warned = [line for line in (tmp_path / "log").read_text().splitlines() if "not delivered" in line]
    kinds = {word for line in warned for word in ("traces:", "metrics:", "logs:") if word in line}
    assert 1 <= len(warned) == len(kinds)
