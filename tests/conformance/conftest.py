"""Every implementation of the Store is a parameter of the suite."""

import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "unit" / "store")]

from subjects import EngineSubject, ReferenceSubject, Subject  # noqa: E402  (its folder is known from here on)


@pytest.fixture(params=["reference", "engine"])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    """Each implementation, started."""
    with tempfile.TemporaryDirectory(prefix="gnomon-") as folder:
        started: Subject = ReferenceSubject() if request.param == "reference" else EngineSubject(Path(folder))
        await started.store.start()
        yield started
        await started.store.stop()
