"""What a server leaves in its data directory."""

import os
from pathlib import Path

from gnomon_server.selfmon.marks import Marks, started


def test_a_server_is_known_by_its_start_too(tmp_path: Path) -> None:
    """Its id alone may be another process' by then: in a container the first one's is always the same."""
    marks = Marks(tmp_path)
    marks.begin()
    marks.ready({"http": ("127.0.0.1", 1)}, tls=False)
    found = marks.read_running()
    assert (found["pid"], found["started"]) == (os.getpid(), started(os.getpid()))
    assert started(os.getpid()) > started(1) >= 0
    assert started(1 << 30) == 0
