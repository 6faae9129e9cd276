"""OpenMetrics text: what the specification accepts and refuses, and what is read of it."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from gnomon_server.decode.exposition.exposition import NO_TIME, Exposition, Family
from gnomon_server.decode.exposition.series import SeriesTable
from gnomon_server.decode.exposition.text import TextReader
from gnomon_server.errors import InvalidInput

CORPORA = Path(os.environ.get("GNOMON_CORPORA", Path(__file__).parents[3].parent / "shared" / "corpora")).resolve()
PARSERS = CORPORA / "openmetrics" / "tests" / "testdata" / "parsers"
CASES = sorted(path.parent for path in PARSERS.glob("*/test.json")) or [PARSERS / "absent"]


def _reader() -> tuple[SeriesTable, TextReader]:
    table = SeriesTable(lambda labels: labels)
    return table, TextReader(table, strict=True)


def _kept(reader: TextReader, body: bytes) -> Exposition:
    """What is read where all rules are kept; what is said of others, raised."""
    found = reader.read(body)
    if found.broken is not None:
        raise found.broken
    return found


def _read(text: str) -> Exposition:
    return _kept(_reader()[1], text.encode())


@pytest.mark.corpus
@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_the_corpus(case: Path) -> None:
    """OpenMetrics' own test texts are accepted or refused as they say, at the first sight and at the second."""
    if not (case / "test.json").exists():
        pytest.skip(f"no corpus at {PARSERS} (GNOMON_CORPORA)")
    expected = json.loads((case / "test.json").read_text())["shouldParse"]
    body, (_, twice) = (case / "metrics").read_bytes(), _reader()
    for _ in range(2):
        if expected:
            _kept(twice, body)
        else:
            with pytest.raises(InvalidInput):
                _kept(twice, body)


def test_values_times_and_families() -> None:
    """Seconds become milliseconds, metadata is unescaped, a sample without a timestamp has none."""
    found = _read(
        '# HELP a One \\"or\\"\\ntwo\n# TYPE a counter\n# UNIT a \na_total 1 1520879607.789\n# TYPE b_seconds gauge\n'
        "# UNIT b_seconds seconds\nb_seconds NaN\n# EOF\n"
    )
    assert found.families == {"a": Family("counter", 'One "or"\ntwo', ""), "b_seconds": Family("gauge", "", "seconds")}
    assert found.times.tolist() == [1520879607789, NO_TIME]
    assert found.values[0] == 1
    assert np.isnan(found.values[1])


def test_exemplars() -> None:
    """An exemplar belongs to its series; its time is its own, or none."""
    found = _read(
        "# TYPE a histogram\n"
        'a_bucket{le="1"} 3 # {trace_id="KOO5S4vxi0o"} 0.67\n'
        'a_bucket{le="+Inf"} 3 # {x="# {"} 9.8 1520879607.789\n# EOF\n'
    )
    said = [(one.at, one.labels, one.value, one.time_ms) for one in found.exemplars]
    assert said == [(0, {"trace_id": "KOO5S4vxi0o"}, 0.67, NO_TIME), (1, {"x": "# {"}, 9.8, 1520879607789)]
    assert found.slots.tolist() == [exemplar.slot for exemplar in found.exemplars]


def test_bounds_are_normalised_when_stored() -> None:
    """`le="1"` and `le="1.0"` are one bucket, as in Prometheus 3; what is no bound stays as it is."""
    table, one = _reader()
    one.read(b'# TYPE a histogram\na_bucket{le="1"} 3\na_bucket{le="+Inf"} 3\n# TYPE b gauge\nb{le="1"} 1\n# EOF\n')
    assert [table.stored(slot)["le"] for slot in range(3)] == ["1.0", "+Inf", "1"]


def test_the_second_scrape_is_judged_like_the_first() -> None:
    """A layout that is known is not trusted: values are compared every time, with the offender named."""
    _, one = _reader()
    text = '# TYPE a histogram\na_bucket{{le="1"}} {}\na_bucket{{le="+Inf"}} 3\na_count 3\na_sum 2\n# EOF\n'
    for value, broken in (
        (2, ""),
        (4, 'a_bucket{le="+Inf"} is less than the bucket before it [openmetrics_rule]'),
        (3, ""),
    ):
        found = one.read(text.format(value).encode())
        assert str(found.broken or "") == broken
        assert found.values.tolist() == [value, 3, 3, 2]


@pytest.mark.parametrize("text", ["a 1\nb 1\na 2\n", '# TYPE a histogram\na_count 3\n# TYPE b gauge\nb{c="d"} 1\n'])
def test_a_layout_that_breaks_rules_is_read(text: str) -> None:
    """At every scrape, with the words of the first."""
    _, one = _reader()
    said = {str(found.broken) for found in (one.read(f"{text}# EOF\n".encode()) for _ in range(3))}
    assert len(said) == 1
    assert said != {"None"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("# TYPE a counter\na_total -1\n# EOF\n", "cannot be negative"),
        ("# TYPE a info\na_info 2\n# EOF\n", "is an info"),
        ('# TYPE a stateset\na{a="x"} 0.5\n# EOF\n', "is a state"),
        ('# TYPE a histogram\na_bucket{le="+Inf"} 1.5\n# EOF\n', "whole number"),
        ("# TYPE a gauge\na 1 2\na 1 1\n# EOF\n", "older than the sample before"),
        ("# TYPE a gauge\na 1\n# TYPE b gauge\nb 1\n# TYPE a gauge\n# EOF\n", "two metric families"),
        ("a 1\n", "ends with # EOF"),
        ('a{b="\\"} 1\n# EOF\n', "expected a series"),
        ("a 1_0\n# EOF\n", "a value is a number"),
        ("a 0x1p3\n# EOF\n", "a value is a number"),
        ('# TYPE a gaugehistogram\na_bucket{le="1"} 0 12\na_bucket{le="+Inf"} 3 123\n# EOF\n', "another timestamp"),
    ],
)
def test_what_is_wrong_is_said(text: str, words: str) -> None:
    """A refusal, or what is said of a body that can be read, names the rule."""
    with pytest.raises(InvalidInput, match=words):
        _read(text)
