"""The shim and its model are themselves tested: who forgets a sync loses, and what is seen is what is there."""

import random
import subprocess
import sys
from pathlib import Path

import pytest
from tests.chaos.powercut import filesystem, shim

pytestmark = pytest.mark.skipif(bool(shim.unavailable_because()), reason=shim.unavailable_because())

_SAVE = """
import os, sys
folder, how = sys.argv[1], sys.argv[2]
def sync(path):
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)
os.mkdir(f"{folder}/box")
sync(folder)
with open(f"{folder}/box/new", "wb") as file:
    file.write(b"first")
    file.flush()
    if "file" in how:
        os.fsync(file.fileno())
os.rename(f"{folder}/box/new", f"{folder}/box/kept")
if "folder" in how:
    sync(f"{folder}/box")
if "all" in how:
    os.sync()
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled shim."""
    return shim.build(tmp_path_factory.mktemp("shim"))


def _run(library: Path, folder: Path, program: str, *arguments: str) -> filesystem.Disk:
    (folder / "root").mkdir()
    environment = shim.environment(library, folder / "root", folder / "journal")
    command = [sys.executable, "-S", "-c", program, str(folder / "root"), *arguments]
    subprocess.run(command, env=environment, check=True, timeout=60)
    disk = filesystem.Disk()
    for record in filesystem.read(folder / "journal"):
        disk.play(record)
    return disk


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize(
    ("how", "left"),
    [
        ("nothing", {}),
        ("file", {}),
        ("folder", {"box/kept": b""}),
        ("file,folder", {"box/kept": b"first"}),
        ("all", {"box/kept": b"first"}),
    ],
)
def test_strict_cut_keeps_only_what_was_synced(library: Path, tmp_path: Path, how: str, left: dict[str, bytes]) -> None:
    """A file whose directory was not synced is gone; one that was not synced itself is empty."""
    _run(library, tmp_path, _SAVE, how).write(tmp_path / "left", filesystem.nothing)
    assert _files(tmp_path / "left") == left


_ALL = """
import os, random, shutil, sys
folder, chance = sys.argv[1], random.Random(int(sys.argv[2]))
os.chdir(folder)
os.makedirs("a/b/c")
for number in range(40):
    with open(f"a/b/f{number}", "wb") as file:
        file.write(chance.randbytes(chance.randrange(5000)))
        file.write(b"more")
    with open(f"a/b/f{number}", "ab") as file:
        file.write(b"appended")
    fd = os.open(f"{folder}/a/b/f{number}", os.O_RDWR)
    os.pwrite(fd, b"inside", chance.randrange(3000))
    os.writev(fd, [b"x" * 10, b"y" * 20])
    os.ftruncate(fd, chance.randrange(6000))
    copy = os.dup(fd)
    os.close(fd)
    os.write(copy, b"through a copy")
    os.close(copy)
os.link("a/b/f1", "a/linked")
os.symlink("b", "a/soft")
os.rename("a/soft/f2", "a/b/f3")
os.rename("a/b/c", "a/d")
os.unlink("a/b/f4")
os.truncate("a/b/f5", 7)
os.mkdir("a/gone"); open("a/gone/x", "w").close(); shutil.rmtree("a/gone")
fd = os.open("a/b", os.O_RDONLY)
os.unlink("f6", dir_fd=fd); os.rename("f7", "f8", src_dir_fd=fd, dst_dir_fd=fd); os.mkdir("e", dir_fd=fd)
"""


def test_journal_sees_every_change(library: Path, tmp_path: Path) -> None:
    """Replayed without a cut, the journal gives the directory as it is: no way of writing passes the shim by."""
    _run(library, tmp_path, _ALL, "1").write(tmp_path / "left", filesystem.everything)
    assert _files(tmp_path / "left") == _files(tmp_path / "root")
    assert _names(tmp_path / "left") == _names(tmp_path / "root")


def test_some_survival_lies_between(library: Path, tmp_path: Path) -> None:
    """When a random part of the unsynced survives, cuts differ, and none holds a file that was never there."""
    disk = _run(library, tmp_path, _ALL, "2")
    seen = set()
    for seed in range(5):
        target = tmp_path / f"left{seed}"
        disk.write(target, filesystem.some(random.Random(seed)))
        seen.add(frozenset(_files(target)))
    assert len(seen) > 1


def test_unmodelled_write_is_refused(library: Path, tmp_path: Path) -> None:
    """A shared writable mapping would pass the journal by, so it is an error."""
    program = (
        "import mmap, os, sys\n"
        "fd = os.open(sys.argv[1] + '/f', os.O_RDWR | os.O_CREAT)\n"
        "os.ftruncate(fd, 4096)\n"
        "mmap.mmap(fd, 4096, mmap.MAP_SHARED)\n"
    )
    with pytest.raises(filesystem.UnmodelledError, match="mapping"):
        _run(library, tmp_path, program)
