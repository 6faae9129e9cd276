"""The short form of `make chaos`: a few rounds, cuts and traced requests, and proof that each check can fail."""

import pytest
from tests.chaos import kill, synced_before_ack
from tests.chaos.powercut import cuts, shim

_NO_SHIM, _NO_STRACE = shim.unavailable_because(), synced_before_ack.unavailable_because()


def test_kill_rounds_lose_nothing() -> None:
    """Server, engine or both killed under load: what was acknowledged is there, once, as sent."""
    verdict = kill.run(3, seed=2)
    assert verdict.acked_records > 0
    assert verdict.sound, verdict


@pytest.mark.skipif(bool(_NO_SHIM), reason=_NO_SHIM)
def test_power_cuts_lose_nothing() -> None:
    """Only what was synced survives, and everything acknowledged was."""
    verdict = cuts.run(3, seed=2, prepares=(cuts.merged_parts_go_at_once,))
    assert verdict.acked_records > 0
    assert verdict.sound, verdict


@pytest.mark.skipif(bool(_NO_SHIM), reason=_NO_SHIM)
def test_power_cuts_find_a_missing_directory_sync() -> None:
    """Without `fsync_part_directory` acknowledged records are lost in a cut: the check is able to fail."""
    verdict = cuts.run(4, seed=2, prepares=(cuts.directories_are_not_synced,), stop_at_fault=True)
    assert verdict.lost > 0


@pytest.mark.skipif(bool(_NO_STRACE), reason=_NO_STRACE)
def test_every_2xx_follows_its_syncs() -> None:
    """Each reply is sent after its parts' files and directories were synced."""
    outcome = synced_before_ack.run(1)
    assert outcome.replies == 6
    assert not outcome.faults


@pytest.mark.skipif(bool(_NO_STRACE), reason=_NO_STRACE)
def test_trace_shows_a_missing_directory_sync() -> None:
    """Without `fsync_part_directory` the same trace has replies before the sync."""
    outcome = synced_before_ack.run(1, cuts.directories_are_not_synced)
    assert any("directory" in fault for fault in outcome.faults)
