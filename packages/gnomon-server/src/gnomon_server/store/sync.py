"""Making names durable: a rename or a new file survives a power cut once its folder is synced."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Sync a folder, or a file that is closed already. OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
