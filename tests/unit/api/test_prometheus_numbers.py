"""Numbers and texts of Prometheus' JSON against Go's rules, told a second time here."""

import math
import struct
from decimal import Decimal

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon_server.api.prometheus import texts
from gnomon_server.api.prometheus.numbers import floats, points, times

GO = {
    1.0: "1", 0.1: "0.1", -0.0: "-0", 100000.0: "100000", 1e15: "1000000000000000", 1e16: "10000000000000000",
    1.5e16: "15000000000000000", 123456789012345680.0: "123456789012345680", 1e20: "100000000000000000000",
    1e21: "1e+21", 1.25e22: "1.25e+22", 1.7976931348623157e308: "1.7976931348623157e+308", 1e-5: "0.00001",
    9.9e-6: "0.0000099", 1e-6: "0.000001", 9.99e-7: "9.99e-07", 1e-7: "1e-07", -1.5e-10: "-1.5e-10",
    5e-324: "5e-324", math.inf: "+Inf", -math.inf: "-Inf",
}  # fmt: skip


def _in_go(value: float) -> str:
    """`strconv.FormatFloat(value, 'f' or 'e', -1, 64)`, slowly."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if value and not 1e-6 <= abs(value) < 1e21:
        sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
        shown = str(digits[0]) + ("." + "".join(map(str, digits[1:])) if digits[1:] else "")
        power = int(exponent) + len(digits) - 1
        return f"{'-' * sign}{shown}e{'-' if power < 0 else '+'}{abs(power):02d}"
    plain = f"{Decimal(repr(value)):f}"
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def test_floats_as_go_writes_them() -> None:
    """Known numbers have the texts that strconv gives them."""
    assert [one.decode() for one in floats(np.array([*GO, math.nan]))] == [*GO.values(), "NaN"]
    assert floats(np.empty(0)) == []


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats() | st.floats(min_value=1e-8, max_value=1e-4) | st.floats(min_value=1e14, max_value=1e22)))
def test_any_float_is_exact_and_in_go_s_form(values: list[float]) -> None:
    """Each text reads back as the same number, and has Go's form."""
    found = [one.decode() for one in floats(np.array(values, np.float64))]
    assert found == [_in_go(value) for value in values]
    for text, value in zip(found, values, strict=True):
        assert struct.pack("d", float(text)) == struct.pack("d", value) or math.isnan(value)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(min_value=-(2**53), max_value=2**53)))
def test_times(stamps: list[int]) -> None:
    """Seconds with three decimals, or none where they are whole."""
    wanted = []
    for ms in stamps:
        whole, fraction = divmod(abs(ms), 1000)
        wanted.append(("-" if ms < 0 else "") + str(whole) + (f".{fraction:03d}" if fraction else ""))
    assert [one.decode() for one in times(np.array(stamps, np.int64))] == wanted


@pytest.mark.parametrize(
    "text", ["<a>&b", "\u2028\u2029", 'q"\\\n\t', "é🙂", "\x00\x7f", '"},{"', "},{", "{}", '\\"},{"a']
)
def test_label_sets_are_escaped_as_go_does(text: str) -> None:
    """What HTML would take for markup is escaped; any reader of JSON reads the same labels, each set by itself."""
    given = [(("name", text), ("other", "x")), (("a", "1"),), ((text, text),)]
    shown = texts.label_sets(given)
    assert [orjson.loads(one) for one in shown] == [dict(one) for one in given]
    assert not set(b"".join(shown).decode()) & set("<>&\u2028\u2029")
    assert [orjson.loads(one) for one in texts.label_sets([*given, ()])] == [*map(dict, given), {}]
    assert texts.label_sets([]) == []


def test_bytes_that_are_no_text_are_replaced() -> None:
    r"""A string with `\xff` becomes Go's replacement character and not an error."""
    assert texts.dump(texts.clean("a\udcffb")) == '"a\ufffdb"'.encode()


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 4), st.integers(1, 5), st.data())
def test_points_are_times_and_values_where_there_are_some(series: int, steps: int, data: st.DataObject) -> None:
    """As JSON reads them; of a series without any nothing is said."""
    cells = data.draw(st.lists(st.none() | st.floats(), min_size=series * steps, max_size=series * steps))
    values = np.array([0.0 if cell is None else cell for cell in cells], np.float64).reshape(series, steps)
    there = np.array([cell is not None for cell in cells], np.bool_).reshape(series, steps)
    at = data.draw(st.lists(st.integers(0, 2**45), min_size=steps, max_size=steps))
    stamps = times(np.array(at, np.int64))
    texts_of_all = points(values[there], stamps, np.nonzero(there)[1], there.sum(axis=1))
    for row, mask, shown in zip(values, there, texts_of_all, strict=True):
        wanted = [
            [float(stamp), _in_go(float(value))] for stamp, value, here in zip(stamps, row, mask, strict=True) if here
        ]
        assert (orjson.loads(b"{" + shown[1:] + b"}")["values"] if shown else []) == wanted
        assert shown[:1] == (b"," if wanted else b"")
