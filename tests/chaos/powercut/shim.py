"""The preloaded shim: compiled when needed, switched on by environment variables."""

import shutil
import subprocess
import sys
from pathlib import Path

_SOURCE = Path(__file__).with_name("shim.c")


def unavailable_because() -> str:
    """Empty where the shim can be built."""
    if sys.platform != "linux":
        return "the power-cut shim is preloaded by Linux' dynamic linker"
    return "" if shutil.which("gcc") else "gcc is missing: the power-cut shim cannot be compiled"


def build(folder: Path) -> Path:
    """Compile into `folder` and return the library."""
    library = folder / "powercut.so"
    command = ["gcc", "-O2", "-Wall", "-Wextra", "-Wno-unused-function", "-Werror", "-shared", "-fPIC"]
    subprocess.run([*command, "-o", str(library), str(_SOURCE), "-ldl", "-lpthread"], check=True)
    return library


def environment(library: Path, root: Path, journal: Path) -> dict[str, str]:
    """What a process must have in its environment to be watched. The root must be there, and empty."""
    return {"LD_PRELOAD": str(library), "POWERCUT_ROOT": str(root), "POWERCUT_JOURNAL": str(journal)}
