"""How values are written."""

import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.config.units import (
    Overhead,
    read_bytes,
    read_nothing,
    read_overhead,
    read_pairs,
    read_ratio,
    read_seconds,
    read_words,
)

KEYS = st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda text: text == text.strip())
TEXTS = st.text(st.characters(codec="utf-8"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("50us", 5e-5),
        ("500ms", 0.5),
        ("1.5 s", 1.5),
        ("5m", 300.0),
        ("1h", 3600.0),
        ("7d", 604_800.0),
        ("7", "7"),
        (7, 7),
    ],
)
def test_seconds(text: object, expected: object) -> None:
    """A duration in any unit; a bare number is left to the field."""
    found = read_seconds(text)
    assert found == (pytest.approx(expected) if isinstance(expected, float) else expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("512B", 512),
        ("1KB", 1000),
        ("1KiB", 1024),
        ("1.5K", 1536),
        ("64MiB", 64 << 20),
        ("2GB", 2_000_000_000),
        ("9", "9"),
    ],
)
def test_bytes(text: object, expected: object) -> None:
    """Sizes of both kinds; a bare number is left to the field."""
    assert read_bytes(text) == expected


@pytest.mark.parametrize(("text", "expected"), [("10%", 0.1), ("2.5 %", 0.025), ("0.1", "0.1"), (0.1, 0.1)])
def test_ratio(text: object, expected: object) -> None:
    """Percent, or a number that is left to the field."""
    assert read_ratio(text) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [("none", None), ("OFF", None), ("", None), (False, None), ("x", "x"), (0, 0)]
)
def test_nothing(value: object, expected: object) -> None:
    """What stands for no value; zero does not."""
    assert read_nothing(value) == expected


@pytest.mark.parametrize(
    ("value", "expected", "shown"),
    [
        ("2%", Overhead(cpu_ratio=0.02), "2%"),
        ("50us", Overhead(request_s=5e-5), "50us"),
        (Overhead(cpu_ratio=0.01), Overhead(cpu_ratio=0.01), "1%"),
    ],
)
def test_overhead(value: object, expected: Overhead, shown: str) -> None:
    """A share or a time, and it is shown as it was written."""
    found = read_overhead(value)
    assert found == expected
    assert str(found) == shown


@pytest.mark.parametrize("value", ["2", 2, "0%", "101%", "0us", "fast"])
def test_no_overhead(value: object) -> None:
    """A number without its unit could mean either, so it means neither."""
    with pytest.raises(ValueError, match=r"a share of a core \(2%\) or CPU time a request"):
        read_overhead(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a, b,,c ", ["a", "b", "c"]), ("none", []), ("None", []), ('["a,b", "c"]', ["a,b", "c"]),
        ("[ab]+,/x", ["[ab]+", "/x"]), (("a",), ("a",)),
    ],
)  # fmt: skip
def test_words(value: object, expected: object) -> None:
    """A list as variables hold it, JSON, and a regular expression that looks like JSON."""
    assert read_words(value) == expected


@given(st.dictionaries(KEYS, TEXTS))
def test_pairs_come_back(pairs: dict[str, str]) -> None:
    """Percent-encoded attributes are what they were, any text."""
    written = ",".join(f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in pairs.items())
    assert read_pairs(written) == pairs


@given(st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1), TEXTS))
def test_pairs_as_json(pairs: dict[str, str]) -> None:
    """A JSON object says the same."""
    assert read_pairs(json.dumps(pairs)) == pairs


@given(st.text())
def test_pairs_of_anything(text: str) -> None:
    """Any text is read or refused with a ValueError, and nothing else."""
    try:
        found = read_pairs(text)
    except ValueError:
        return
    assert all(found) if isinstance(found, dict) else True


def test_pairs_by_hand() -> None:
    """Blanks go, empty pieces are passed over, the last of a key counts, a value may hold equal signs."""
    assert read_pairs(" a = 1 ,, b=x=y ,a=2,c=,") == {"a": "2", "b": "x=y", "c": ""}
    assert read_pairs({"a": 1}) == {"a": 1}


@pytest.mark.parametrize("text", ["a", "=1", "a=1,b", "a=%FF", "{"])
def test_no_pairs(text: str) -> None:
    """What is no pair, or not UTF-8, is refused."""
    with pytest.raises(ValueError, match=r".+"):
        read_pairs(text)


def test_a_refusal_keeps_the_secret() -> None:
    """The text that is no pair may be half of a token, and is not repeated."""
    with pytest.raises(ValueError, match=r"^piece 2 is not key=value$"):
        read_pairs("authorization=Bearer s3,cret")
