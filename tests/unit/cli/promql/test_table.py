"""Tables, bars and CSV of `gnomon promql`."""

import csv
import io
import json
from typing import Any

import pytest

from gnomon_server.cli.promql.answer import Answer, read
from gnomon_server.cli.promql.digits import column, shown
from gnomon_server.cli.promql.table import as_csv, lines

NATIVE = {
    "count": "480",
    "sum": "1000",
    "buckets": [[1, "-1", "-0.5", "80"], [3, "-1e-128", "1e-128", "80"], [0, "0.5", "1", "320"]],
}


def _answer(kind: str, result: Any) -> Answer:
    return read({"data": {"resultType": kind, "result": result}}, b"")


def _table(answer: Answer) -> str:
    return "\n".join(lines(answer.series, with_times=answer.kind == "matrix"))


def test_what_is_common_stands_once() -> None:
    """The rest are columns; the values stand point below point."""
    answer = _answer(
        "vector",
        [
            {"metric": {"__name__": "up", "job": "a", "code": "200"}, "value": [1.5, "12345"]},
            {"metric": {"__name__": "up", "job": "a", "path": "/é 日本"}, "value": [1.5, "0.30000000000000004"]},
            {"metric": {"__name__": "up", "job": "a", "path": "/x\x1b[2J"}, "value": [1.5, "NaN"]},
        ],
    )
    assert _table(answer).splitlines() == [
        'up{job="a"}',
        "code  path          value",
        "200              12,345",
        "      /é 日本         0.3",
        "      /x\\x1b[2J     NaN",
    ]


def test_a_range_has_times() -> None:
    """A line for each sample."""
    answer = _answer("matrix", [{"metric": {"a": "b"}, "values": [[1795287600, "1"], [1795287615.25, "2.5"]]}])
    assert _table(answer).splitlines() == [
        '{a="b"}',
        "time                      value",
        "2026-11-21T19:00:00Z        1",
        "2026-11-21T19:00:15.250Z    2.5",
    ]


def test_a_native_histogram_has_bars() -> None:
    """Each bucket with its bounds, open or closed, and a bar."""
    assert _table(_answer("vector", [{"metric": {"__name__": "h"}, "histogram": [1, NATIVE]}])).splitlines() == [
        "h",
        "  count 480  sum 1,000  avg 2.08333",
        "         [-1, -0.5)   80  ██████",
        "  [-1e-128, 1e-128]   80  ██████",
        "           (0.5, 1]  320  ████████████████████████",
    ]


def test_many_buckets_are_put_together() -> None:
    """No more than a screen of them, and none is lost."""
    buckets = [[0, str(n), str(n + 1), "1"] for n in range(161)]
    histogram = {"count": "161", "sum": "0", "buckets": buckets}
    shown_lines = _table(
        _answer("matrix", [{"metric": {"x": "y"}, "histograms": [[1, NATIVE], [2, histogram]]}])
    ).splitlines()
    bars = [line for line in shown_lines if "█" in line]
    assert len(bars) <= 20
    assert sum(float(line.split()[2]) for line in bars) == 161
    assert bars[0].strip().startswith("(0, 9]")
    assert "and 1 before it" in shown_lines[-1]


def test_csv_is_exact() -> None:
    """Values as the server wrote them, histograms as JSON."""
    answer = _answer(
        "vector",
        [
            {"metric": {"__name__": "a", "l": 'x,"y'}, "value": [1.5, "0.30000000000000004"]},
            {"metric": {"m": "n"}, "histogram": [2, NATIVE]},
        ],
    )
    first, second = csv.DictReader(io.StringIO(as_csv(answer)))
    assert (first["l"], first["value"], first["time"]) == ('x,"y', "0.30000000000000004", "1970-01-01T00:00:01.500Z")
    assert json.loads(second["histogram"]) == NATIVE
    assert (second["__name__"], second["m"]) == ("", "n")
    assert as_csv(_answer("scalar", [1, "2"])) == "value\n2\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (-0.5, "-0.5"), (1234567.0, "1,234,567"), (1234.56789, "1,234.57"), (1 / 3, "0.333333"),
        (0.001234567, "0.00123457"), (1.5e20, "1.5e+20"), (1e-7, "1e-07"), (999999.7, "1,000,000"), (-1e15, "-1e+15"),
        (float("inf"), "+Inf"), (float("-inf"), "-Inf"),
    ],
)  # fmt: skip
def test_numbers_for_people(value: float, text: str) -> None:
    """Six digits, whole numbers whole."""
    assert shown(value) == text


def test_a_column_of_numbers() -> None:
    """Point below point, all of one width."""
    assert column([1.0, 22.5, -0.125, 1e20]) == [" 1    ", "22.5  ", "-0.125", " 1e+20"]
    assert column([]) == []
