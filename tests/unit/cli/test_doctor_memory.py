"""The doctor on memory: it takes the engine's default for what the engine itself takes."""

import pytest

from gnomon_server.cli.doctor import machine
from gnomon_server.cli.doctor.report import Report

GIB = 1 << 30


@pytest.mark.parametrize(
    ("source", "limit", "broken"),
    [
        ("this machine's memory", 16 * GIB, False),
        ("/x/memory.max", 4 * GIB, False),
        ("/x/memory.limit_in_bytes", 4 * GIB, True),
    ],
)
def test_the_default_ceiling_is_the_engines_own(
    monkeypatch: pytest.MonkeyPatch, source: str, limit: int, broken: bool
) -> None:
    """Half of the machine, or of a version 2 group's limit; version 1 the engine does not see."""
    limits = {0: (16 * GIB, "this machine's memory"), 1: (limit, source)}
    monkeypatch.setattr(machine, "memory_limit_bytes", limits.__getitem__)
    monkeypatch.setattr(machine, "memory_kills", lambda _pid: 0)
    report = Report()
    machine.check_memory(1, 0, report)
    assert report.is_broken("memory.ceiling") is broken
