"""Batches and rows, as short as a test can say them; the reference store."""

import sys
from pathlib import Path

_TESTS = Path(__file__).parent.parent.parent
sys.path[:0] = [str(Path(__file__).parent), str(_TESTS / "unit" / "store"), str(_TESTS / "conformance")]
