"""docs/sdk/logging.md is true: its blocks run, its sample is valid, its numbers are those of the code."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gnomon.logging import LogCategory, exceptions, source, writer
from gnomon.wire.attributes import LONGEST_VALUE

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "sdk" / "logging.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_blocks_run(used: Any, block: str) -> None:
    """Each by itself; what they log is valid."""
    exec(compile(block, "logging.md", "exec"), {})  # noqa: S102 - the page's own words
    assert used.lines()
    assert used.pipeline.faults == 0


def test_the_sample_is_valid(schema: Draft202012Validator) -> None:
    """As our lines are."""
    (sample,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    schema.validate(json.loads(sample))


def test_its_words_are_those_of_the_code() -> None:
    """Categories, bridges and bounds."""
    assert all(f"`{category}`" in PAGE for category in LogCategory)
    for module in re.findall(r"`(gnomon\.logging\.bridges\.\w+)\.install", PAGE):
        assert callable(__import__(module, fromlist=["install"]).install)
    assert f"{LONGEST_VALUE:,} characters" in PAGE
    assert f"{source.MOST_FIELDS} fields" in PAGE
    assert f"{exceptions.MOST_EXCEPTIONS} exceptions of {exceptions.MOST_FRAMES} frames" in PAGE
    assert f"{writer.MOST_LINES:,} lines or {writer.MOST_BYTES >> 20} MB" in PAGE
    assert (writer.RESERVE_RATIO, writer.LAST_CHANCE_S) == (1.5, 2.0)
