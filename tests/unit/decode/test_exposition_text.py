"""The text format 0.0.4 and 1.0: as lenient as Prometheus, and as quick the second time as a look-up."""

import numpy as np
import pytest

from gnomon_server.decode.exposition.exposition import LARGEST_MS, NO_TIME, Family
from gnomon_server.decode.exposition.floats import open_metrics_float
from gnomon_server.decode.exposition.series import SeriesTable
from gnomon_server.decode.exposition.text import TextReader
from gnomon_server.errors import InvalidInput

LENIENT = (
    b'# HELP http_requests_total The total \\\\ number\\nof requests. \\"\n'
    b"#comment\n"
    b"\n"
    b"# TYPE  http_requests_total\tcounter \n"
    b'http_requests_total{method="post",code="200",} 1027 1395066363000\n'
    b'http_requests_total { method = "post" , code = "400" }\t3\t-17 \n'
    b'  spaced{path="C:\\\\DIR\\\\F.TXT",error="Cannot:\\n\\"F\\" \\x"}+Inf\n'
    b'{"utf.8 name","label.name"="v\xc3\xa4l"} 1e3\n'
    b"# TYPE rpc summary\n"
    b'rpc{quantile="0.50"} 3\n'
    b"rpc_sum 1.7560473e+07\n"
    b"nothing nan"
)


def _reader() -> tuple[SeriesTable, TextReader]:
    table = SeriesTable(lambda labels: labels)
    return table, TextReader(table, strict=False)


def test_a_lenient_body() -> None:
    """Blanks, tabs, trailing commas, escapes, quoted names: read as Prometheus reads them, twice the same."""
    table, one = _reader()
    for _ in range(2):
        found = one.read(LENIENT)
        assert [table.stored(slot) for slot in found.slots.tolist()] == [
            {"__name__": "http_requests_total", "method": "post", "code": "200"},
            {"__name__": "http_requests_total", "method": "post", "code": "400"},
            {"__name__": "spaced", "path": "C:\\DIR\\F.TXT", "error": 'Cannot:\n"F" \\x'},
            {"__name__": "utf.8 name", "label.name": "väl"},
            {"__name__": "rpc", "quantile": "0.5"},
            {"__name__": "rpc_sum"},
            {"__name__": "nothing"},
        ]
        assert found.values[:-1].tolist() == [1027, 3, float("inf"), 1000, 3, 1.7560473e07]
        assert np.isnan(found.values[-1])
        assert found.times.tolist() == [1395066363000, -17, *[NO_TIME] * 5]
        assert found.families == {
            "http_requests_total": Family("counter", 'The total \\ number\nof requests. \\"'),
            "rpc": Family("summary"),
        }


@pytest.mark.parametrize(
    "line",
    [
        b"a", b"a b", b"a 1 1.5", b"a 1 1 1", b'a{b="c" 1', b'a{b="c"d="e"} 1', b'a{b="c",,d="e"} 1', b'{b="c"} 1',
        b'a{b="c",b="d"} 1', b'a{"b","c"} 1', b'a{b="\xff"} 1', b"a 1\r", b"a 1_000", b"a 0x1p-2", b"# TYPE a meh",
        b"0a 1", b"a-b 1", b"a 1 # {} 1", b'{""} 1', b'a{""="b"} 1',
    ],
)  # fmt: skip
def test_refused_lines(line: bytes) -> None:
    """What Prometheus refuses is refused, also after the series has been seen."""
    _, one = _reader()
    one.read(b'a 1\na{b="c"} 1\n')
    with pytest.raises(InvalidInput):
        one.read(b"good 1\n" + line + b"\n")


def test_types_are_read_from_type_lines_alone() -> None:
    """A HELP that speaks of a TYPE changes nothing; blanks behind the type do not matter."""
    table, one = _reader()
    one.read(b'# TYPE a gauge\n# HELP a Has no TYPE histogram\na{le="1"} 1\n# TYPE h histogram \nh_bucket{le="1"} 1\n')
    assert [table.stored(slot)["le"] for slot in range(2)] == ["1", "1.0"]


def test_huge_timestamps_are_cut() -> None:
    """A timestamp beyond every range is kept finite, to be refused where times are judged."""
    _, one = _reader()
    assert one.read(b"a 1 99999999999999999999999\n").times.tolist() == [LARGEST_MS]


def test_the_table_holds_what_the_last_scrape_had() -> None:
    """Series that vanish are forgotten, failed scrapes leave nothing behind, those that stay keep their ids."""
    table, one = _reader()
    first = one.read(b"a 1\nb 1\nc 1\n")
    ids = table.columns()[0][first.slots].tolist()
    table.trim(one.read(b"c 1\na 1\n").slots)
    assert len(table) == 2
    table.add(b"d", lambda _: {"__name__": "d"})
    table.cut(2)
    again = one.read(b"a 1\nb 1\nc 1\n")
    assert table.columns()[0][again.slots].tolist() == ids
    assert len(table) == 3


def test_a_hostile_line_is_read_in_linear_time() -> None:
    """A megabyte of opening quotes, braces and commas is refused at once: the grammar never goes back."""
    _, one = _reader()
    for line in (b'a{b="' + b"\\" * 1_000_001, b"a{" + b'b="",' * 200_000, b"a{" * 300_000, b"#" * 1_000_000):
        if line[:1] == b"#":
            assert one.read(line).scraped == 0
        else:
            with pytest.raises(InvalidInput):
                one.read(line)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0.0"), (1, "1.0"), (-1, "-1.0"), (0.5, "0.5"), (100000, "100000.0"), (1e6, "1e+06"), (0.0001, "0.0001"),
        (1e-5, "1e-05"), (123456789, "1.23456789e+08"), (2.5e-7, "2.5e-07"), (1e100, "1e+100"),
        (float("inf"), "+Inf"), (float("-inf"), "-Inf"), (float("nan"), "NaN"),
    ],
)  # fmt: skip
def test_numbers_in_labels(number: float, text: str) -> None:
    """As Go's FormatFloat 'g' writes them, with `.0` where they would look whole."""
    assert open_metrics_float(number) == text
