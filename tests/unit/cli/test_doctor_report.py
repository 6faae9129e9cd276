"""What the doctor shows: of names that others chose, of processes, of a mark that is out of date."""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from gnomon_server.cli.doctor import doctor
from gnomon_server.cli.doctor.exporters import check_environments
from gnomon_server.cli.doctor.local import Process
from gnomon_server.cli.doctor.report import Report
from gnomon_server.cli.doctor.rounds import Asked, examine
from gnomon_server.cli.notify import sd_notify
from gnomon_server.cli.wire import Target

FREE = ("listen=127.0.0.1:0", "otlp.grpc=127.0.0.1:0", "otlp.http=127.0.0.1:0")


def test_a_finding_is_one_line() -> None:
    """A service name cannot forge a check, nor speak to the terminal."""
    report = Report()
    report.warn("sources.silent", "traces of x\n\u2713 store.rows all is well\x1b[2J", "see\r\x9b2J")
    lines = list(report.findings[0].lines())
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)


def test_an_address_that_is_none() -> None:
    """A sentence, no traceback."""
    answer = CliRunner().invoke(doctor, ["--api", "http://127.0.0.1:nope"])
    assert answer.exit_code == 2
    assert "http://127.0.0.1:nope is no address" in answer.output


def test_environments_of_other_processes() -> None:
    """One whose endpoint is no address hides none of the others; no password is shown."""
    target = Target("otlp-grpc", "127.0.0.1", 45_317, tls=False)
    odd = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:port"}
    wrong = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://me:hush@127.0.0.1:45317",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    }
    report = Report()
    sleepers = [subprocess.Popen(["sleep", "60"], env={**os.environ, **variables}) for variables in (odd, wrong)]
    try:
        check_environments([target], report)
    finally:
        for sleeper in sleepers:
            sleeper.kill()
            sleeper.wait()
    assert [found.check for found in report.findings] == ["exporters.environment"]
    assert "OTEL_EXPORTER_OTLP_ENDPOINT=127.0.0.1:45317 sends http/protobuf" in report.findings[0].what
    assert "hush" not in str(report.as_dict())


def test_a_process_is_named_without_its_options() -> None:
    """A password may be among them."""
    # Digits, for sleep ends at once on an operand that is not a time.
    with subprocess.Popen(["sleep", "60", "--", "4242"]) as process:
        # Popen returns when exec has closed its pipe, which is before the kernel has the new words.
        while not Path(f"/proc/{process.pid}/cmdline").read_bytes().startswith(b"sleep"):
            time.sleep(0.01)
        assert str(Process(process.pid)) == f"process {process.pid} (sleep 60)"
        process.kill()


def test_the_mark_of_a_server_that_was_killed(tmp_path: Path) -> None:
    """Somebody else has its id by now: no server runs, and why is looked for."""
    mark = {"pid": os.getpid(), "started": 1, "tls": False, "addresses": {"http": ["127.0.0.1", 1]}}
    (tmp_path / "running").write_text(json.dumps(mark))
    report = examine(Asked(data=str(tmp_path), pairs=FREE))
    assert [found.what for found in report.findings if found.check == "server.running"] == [
        f"no server runs on {tmp_path}: nothing found keeps it from starting"
    ]


def test_a_supervisor_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """NOTIFY_SOCKET outlives systemd's service in a shell or container: nothing happens."""
    monkeypatch.setenv("NOTIFY_SOCKET", "/nonexistent/socket")
    sd_notify("READY=1")
