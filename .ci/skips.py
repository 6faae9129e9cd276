"""Fails when a test was skipped for a reason that is not listed, or when no corpus was evaluated.

Usage: python3 .ci/skips.py FILE, the output of `make test`.
"""

import re
import sys
from pathlib import Path

# A skip that is fine in CI, as a pattern on its reason.
ALLOWED: tuple[str, ...] = ()


def main() -> int:
    """Exit code 1 and the offending lines, or 0."""
    text = Path(sys.argv[1]).read_text("utf-8", "replace")
    skips = re.findall(r"^SKIPPED .*$", text, re.MULTILINE)
    strange = [skip for skip in skips if not any(re.search(pattern, skip) for pattern in ALLOWED)]
    for skip in strange:
        print(f"not listed in .ci/skips.py: {skip}")  # noqa: T201  (this is the program's answer)
    if not any(map(int, re.findall(r"corpus evaluations: (\d+)", text))):
        print("no corpus evaluation ran (GNOMON_CORPORA)")  # noqa: T201  (likewise)
        return 1
    return 1 if strange else 0


if __name__ == "__main__":
    raise SystemExit(main())
