"""The demo shop is a package of its own, beside what is installed."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "shop"))
