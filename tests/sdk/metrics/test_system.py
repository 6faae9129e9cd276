"""Process and host metrics, held against /proc and node-exporter."""

import gc
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path
from urllib.request import urlopen

import pytest

from gnomon.metrics import Registry, host_metrics, process_metrics

linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="compared with /proc")


def read(registry: Registry) -> dict[tuple[str, ...], float]:
    """Values by name and label values."""
    return {
        (family.name, *sorted(str(value) for _, value in point.labels)): point.value
        for family in registry.collect()
        for point in family.points
    }


def ticks() -> float:
    """Seconds of CPU that /proc has for us."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


@linux
def test_a_busy_second_is_seen_as_in_proc() -> None:
    """MET-04: process and host CPU time move as /proc's does."""
    registry = Registry()
    process_metrics.register(registry)
    host_metrics.register(registry)
    proc, before = ticks(), read(registry)
    busy_until = time.process_time() + 1
    while time.process_time() < busy_until:
        pass
    after, burnt = read(registry), ticks() - proc
    moved = {key: after[key] - before[key] for key in after if key in before}
    used = moved["process.cpu.time", "user"] + moved["process.cpu.time", "system"]
    assert used == pytest.approx(burnt, rel=0.1)
    assert moved["system.cpu.time", "user"] + moved["system.cpu.time", "system"] >= 0.9 * burnt


@linux
def test_the_process_is_described() -> None:
    """Memory, threads, files and the collector, as others see them."""
    registry = Registry()
    process_metrics.register(registry)
    assert process_metrics.register(registry)[0] is process_metrics.register(registry)[0]
    found = read(registry)
    status = dict(re.findall(r"^(\w+):\s+(\d+)", Path("/proc/self/status").read_text(), re.MULTILINE))
    assert found["process.memory.usage",] == pytest.approx(int(status["VmRSS"]) * 1024, rel=0.1)
    assert found["process.memory.virtual",] == pytest.approx(int(status["VmSize"]) * 1024, rel=0.1)
    assert found["process.thread.count",] == int(status["Threads"])
    with socket.socket():
        assert read(registry)["process.open_file_descriptor.count",] == found["process.open_file_descriptor.count",] + 1
    gc.collect()
    assert read(registry)["cpython.gc.collections", "2"] > found["cpython.gc.collections", "2"]
    assert found["process.uptime",] > 0
    assert found["process.context_switches", "voluntary"] > 0
    assert found["process.paging.faults", "minor"] > 0


def test_without_proc_the_rest_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As on macOS: what the standard library knows, and no more."""
    monkeypatch.setattr(process_metrics, "_PROC", tmp_path / "none")
    monkeypatch.setattr(host_metrics, "_PROC", tmp_path / "none")
    registry = Registry()
    process_metrics.register(registry)
    host_metrics.register(registry)
    names = {key[0] for key in read(registry)}
    assert {"process.cpu.time", "process.memory.usage", "process.thread.count", "system.cpu.load_average.1m"} <= names
    assert not {"process.memory.virtual", "process.disk.io", "system.cpu.time", "system.memory.usage"} & names
    monkeypatch.setattr("sys.platform", "darwin")
    assert process_metrics.memory() < process_metrics.resource.getrusage(0).ru_maxrss * 2


@linux
@pytest.mark.skipif(not shutil.which("prometheus-node-exporter"), reason="node-exporter is not installed")
def test_the_host_is_seen_as_node_exporter_sees_it() -> None:
    """MET-04: disk, network and memory agree, read between two readings of ours."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        ["prometheus-node-exporter", f"--web.listen-address=127.0.0.1:{port}"], stderr=subprocess.DEVNULL
    )
    registry = Registry()
    host_metrics.register(registry)
    try:
        waited = time.monotonic() + 15
        while True:
            try:
                before = read(registry)
                with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                    body = answer.read().decode()
                after = read(registry)
                break
            except OSError:
                assert time.monotonic() < waited
                time.sleep(0.2)
    finally:
        process.terminate()
        process.wait(10)
    theirs = {
        (name, label): float(value)
        for name, label, value in re.findall(r'^(node_\w+)\{device="([^"]+)"\} (\S+)$', body, re.MULTILINE)
    }
    compared = 0
    for name, ours in {
        "node_disk_read_bytes_total": ("system.disk.io", "read"),
        "node_disk_written_bytes_total": ("system.disk.io", "write"),
        "node_disk_reads_completed_total": ("system.disk.operations", "read"),
        "node_network_receive_bytes_total": ("system.network.io", "receive"),
        "node_network_transmit_bytes_total": ("system.network.io", "transmit"),
        "node_network_receive_packets_total": ("system.network.packet.count", "receive"),
    }.items():
        for (seen, device), value in theirs.items():
            if seen == name:
                disk = "disk" in name
                key = (ours[0], *sorted((ours[1], device)))
                if disk and key not in before:
                    continue  # it leaves other devices out
                slack = max(value * 1e-6, 1)  # it prints seven digits
                assert before[key] - slack <= value <= after[key] + slack, key
                compared += 1
    assert compared >= 4
    (total,) = re.findall(r"^node_memory_MemTotal_bytes (\S+)$", body, re.MULTILINE)
    assert before["system.memory.limit",] == pytest.approx(float(total), rel=1e-6)
    states = sum(value for key, value in before.items() if key[0] == "system.memory.usage")
    assert states == before["system.memory.limit",]
