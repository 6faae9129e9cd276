"""What is shipped for running Gnomon: the unit is one that systemd takes, the container file names what exists."""

import re
import shlex
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from tests.server import Server

from gnomon_server.cli import main
from gnomon_server.config import load

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "deploy" / "gnomon.service"
CONTAINERFILE = (ROOT / "deploy" / "Containerfile").read_text("utf-8")


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """Every key is known and every value valid; with a program in the place of the one that is not installed here."""
    analyze = shutil.which("systemd-analyze")
    assert analyze, "Debian package systemd"
    unit = tmp_path / "gnomon.service"
    unit.write_text(UNIT.read_text("utf-8").replace("/opt/gnomon/bin/gnomon", "/bin/true"), "utf-8")
    done = subprocess.run([analyze, "verify", "--man=no", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_unit_is_closed_off() -> None:
    """`systemd-analyze security` gives it less than 2 of 10."""
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", UNIT], capture_output=True, text=True, check=False
    )
    exposure = re.search(r"exposure level for gnomon.service: ([\d.]+)", done.stdout)
    assert exposure, done.stderr
    assert float(exposure[1]) < 2


@pytest.mark.parametrize("source", [UNIT.read_text("utf-8"), CONTAINERFILE], ids=["unit", "container"])
def test_flags_named_for_running_exist(source: str) -> None:
    """`gnomon up` with the flags of the unit and of the container."""
    words = re.search(r"ExecStart=\S+ (.*)", source) or re.search(r"CMD \[\"gnomon\", (.*)\]", source)
    assert words
    line = words[1].replace('"', "").replace(",", "")
    help_text = CliRunner().invoke(main, ["up", "--help"]).output
    assert shlex.split(line)[0] == "up"
    for flag in re.findall(r"--[\w-]+", line):
        assert flag in help_text


def test_paths_the_container_copies_exist() -> None:
    """Files of the repository that its commands name."""
    for path in ("deploy/requirements.lock", "packages/gnomon-server"):
        assert path in CONTAINERFILE
        assert (ROOT / path).exists()


def test_the_configuration_shown_is_valid(tmp_path: Path) -> None:
    """The YAML of docs/deploy.md, with files in the places it names."""
    page = (ROOT / "docs" / "deploy.md").read_text("utf-8")
    block = re.search(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert block
    settings = tmp_path / "gnomon.yaml"
    settings.write_text(block[1].replace("/etc/gnomon", str(tmp_path)), "utf-8")
    for name in re.findall(r"/etc/gnomon/([\w.]+(?:token|pem))", block[1]):
        (tmp_path / name).write_text(f"a-secret-of-{name}-that-is-long-enough", "utf-8")
    assert yaml.safe_load(block[1])["retention"]["metrics"] == "30d"
    loaded = load({}, {}, settings).settings
    assert loaded.retention.days("default", "metrics") == 30


def test_systemd_is_told_when_the_server_is_ready_and_that_it_lives() -> None:
    """Over a real datagram socket: READY after the start, WATCHDOG while it runs, STOPPING at the end."""
    with tempfile.TemporaryDirectory(prefix="gnomon-") as folder:
        path = f"{folder}/notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
            systemd.bind(path)
            systemd.settimeout(60)
            server = Server(Path(folder), environment={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "400000"})
            server.start()
            told = [systemd.recv(100) for _ in range(3)]
            server.stop()
            systemd.settimeout(5)
            while told[-1] != b"STOPPING=1":
                told.append(systemd.recv(100))
    assert told[0] == b"READY=1"
    assert set(told[1:-1]) == {b"WATCHDOG=1"}
