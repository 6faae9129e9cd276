"""The notation of series: names, labels, values, start times, durations."""

import math
import struct

import pytest
from tests.promqltest.series import STALE, milliseconds, number, read_line, unquoted

from gnomon_server.model.series import STALE_BITS


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("up 1", (("__name__", "up"),)),
        ("up{} 1", (("__name__", "up"),)),
        ("{} 1", ()),
        ('a:b_c{z="1", a="2",} 1', (("__name__", "a:b_c"), ("a", "2"), ("z", "1"))),
        ('{__name__="up",job="x y}{"} 1', (("__name__", "up"), ("job", "x y}{"))),
        ('{"my.metric", "a.b"=\'"\'} 1', (("__name__", "my.metric"), ("a.b", '"'))),
        ('up{gone="", a = "\\n\\x41\\u00fc"} 1', (("__name__", "up"), ("a", "\nAü"))),
    ],
)
def test_labels_are_read_sorted(text: str, labels: tuple[tuple[str, str], ...]) -> None:
    """Names outside and inside the braces, quoted or not; an empty value is no label."""
    assert read_line(text).labels == labels


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1 2.5 -3 +4 .5 1e3 1e-2", [1, 2.5, -3, 4, 0.5, 1000, 0.01]),
        ("1x2", [1, 1, 1]),
        ("0x3", [0, 0, 0, 0]),
        ("0+10x2 100-30x1", [0, 10, 20, 100, 70]),
        ("-2-1x2", [-2, -3, -4]),
        ("_ 1 _x2 2", [None, 1, None, None, 2]),
        ("Inf -Inf +Infx1", [math.inf, -math.inf, math.inf, math.inf]),
        ("1+0.5x2", [1, 1.5, 2]),
    ],
)
def test_values_are_expanded(text: str, values: list[float | None]) -> None:
    """`x` repeats the first value so often; `_` is no sample."""
    assert read_line(f"m {text}").values == values


def test_a_stale_marker_keeps_its_bits() -> None:
    """It is one NaN among many, alone and repeated; `NaN` is another."""
    values = read_line("m stale stalex1 NaN").values
    bits = [struct.unpack("<Q", struct.pack("<d", value))[0] for value in values]
    assert bits[:3] == [STALE_BITS] * 3
    assert bits[3] != STALE_BITS
    assert math.isnan(STALE)


@pytest.mark.parametrize(
    ("text", "starts"),
    [
        ("_ -1m 0", [None, -60_000, 0]),
        ("-1msx1 _x2 30s", [-1, -1, None, None, 30_000]),
        ("-30s-1mx2", [-30_000, -90_000, -150_000]),
        ("1s+500msx1 * *x1", [1000, 1500, 1500, 1500, 1500]),
    ],
)
def test_start_times_are_read(text: str, starts: list[float | None]) -> None:
    """Offsets from the samples, by durations."""
    line = read_line(f'm{{a="b"}}@st {text}')
    assert line.is_start
    assert line.values == starts
    assert read_line(f"@st {text}").labels == ()


@pytest.mark.parametrize(
    "text", ["m 1 x3", "m 1x", "m 1+x2", "m {{schema:0}", "m{a=b} 1", 'm{a="b" 1', "m one", "m{a='b'}1", "m 1_x2y"]
)
def test_what_is_no_series_is_refused(text: str) -> None:
    """With words of its own."""
    with pytest.raises(ValueError, match=r"."):
        read_line(text)


def test_durations_are_prometheus_s() -> None:
    """Units in falling order; `0` needs none."""
    assert milliseconds("1h30m") == 5_400_000
    assert milliseconds("10s53ms") == 10_053
    assert milliseconds("-1w") == -604_800_000
    assert milliseconds("0") == 0
    for wrong in ("", "5", "1m1h", "1.5m", "m"):
        with pytest.raises(ValueError, match="duration"):
            milliseconds(wrong)


def test_numbers_are_go_s() -> None:
    """Octal, hexadecimal, underscores, infinities; words are none."""
    assert [number(text) for text in ("010", "0x1F", "1_000", "-1e3", "+Inf", ".5")] == [
        8,
        31,
        1000,
        -1000,
        math.inf,
        0.5,
    ]
    assert math.isnan(number("NaN"))
    for wrong in ("", "{}", "expect", "1 2", "metric 1"):
        with pytest.raises(ValueError, match=r"."):
            number(wrong)


def test_strings_are_go_s() -> None:
    """Three quotes; in backquotes nothing is escaped; escaped bytes make letters together."""
    assert unquoted('"a\\"b\\\\"') == 'a"b\\'
    assert unquoted("`a\\n`") == "a\\n"
    assert unquoted('"\\xc3\\xbc"') == "ü"
    assert unquoted('"a\\xc5z"') == "a\udcc5z"
    with pytest.raises(ValueError, match="quoted"):
        unquoted("a")
