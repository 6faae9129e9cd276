"""How much memory the engine takes for its own."""

from pathlib import Path

from gnomon_server.engine.config import cgroup_limit_bytes


def test_the_tightest_limit_of_the_group_and_those_above_counts(tmp_path: Path) -> None:
    """As systemd and container engines set them: on the slice, on the service, or nowhere."""
    own, service = tmp_path / "own", tmp_path / "tree" / "system.slice" / "gnomon.service"
    service.mkdir(parents=True)
    own.write_text("0::/system.slice/gnomon.service\n")
    assert cgroup_limit_bytes(own, tmp_path / "tree") == 0
    (service / "memory.max").write_text("max\n")
    (tmp_path / "memory.max").write_text("1")  # above the tree: not ours
    assert cgroup_limit_bytes(own, tmp_path / "tree") == 0
    (service.parent / "memory.max").write_text("8000000\n")
    assert cgroup_limit_bytes(own, tmp_path / "tree") == 8_000_000
    (service / "memory.max").write_text("2000000\n")
    assert cgroup_limit_bytes(own, tmp_path / "tree") == 2_000_000


def test_no_control_groups_no_limit(tmp_path: Path) -> None:
    """Version 1, another system: the machine's memory is what there is."""
    assert cgroup_limit_bytes(tmp_path / "missing", tmp_path) == 0
    (tmp_path / "own").write_text("4:memory:/docker/1\n")
    assert cgroup_limit_bytes(tmp_path / "own", tmp_path) == 0
