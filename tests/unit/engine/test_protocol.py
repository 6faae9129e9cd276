"""ClickHouse's dialect: parameters and errors."""

import pytest

from gnomon_server.engine.protocol import EngineError, exception_trailer, read_parameters


def test_parameters_are_sorted_by_meaning() -> None:
    """Interface, values, settings; sessions and the like are taken and have no effect."""
    pairs = [("query", "SELECT 1"), ("param_x", ""), ("max_threads", "2"), ("session_id", "s"), ("database", "d")]
    read = read_parameters(pairs, {"X-ClickHouse-Format": "CSV", "X-ClickHouse-Database": "other"}, read_only=False)
    assert (read.query, read.database, read.default_format) == ("SELECT 1", "d", "CSV")
    assert (read.values, read.settings) == ({"x": ""}, {"max_threads": "2"})


def test_a_get_cannot_write() -> None:
    """A GET is read-only, and cannot be made otherwise."""
    assert read_parameters([], {}, read_only=True).settings == {"readonly": "2"}
    assert read_parameters([("readonly", "0")], {}, read_only=True).settings == {"readonly": "2"}
    assert read_parameters([("readonly", "1")], {}, read_only=True).settings == {"readonly": "1"}


@pytest.mark.parametrize("name", ["a b", "a'", "", "a=1,b"])
def test_a_setting_is_a_name(name: str) -> None:
    """What goes into a SET statement unquoted is an identifier."""
    with pytest.raises(EngineError) as caught:
        read_parameters([(name, "1")], {}, read_only=False)
    assert caught.value.code == 115


@pytest.mark.parametrize(
    ("text", "code", "name", "message"),
    [
        ("Code: 60. DB::Exception: No table t. (UNKNOWN_TABLE)", 60, "UNKNOWN_TABLE", "No table t."),
        (
            "Code: 73. DB::Exception: Code: 73. DB::Exception: No (x). (UNKNOWN_FORMAT) (version 1). (UNKNOWN_FORMAT)",
            73,
            "UNKNOWN_FORMAT",
            "No (x).",
        ),
        ("Streaming: Code: 1. DB::Exception: m", 1, "UNKNOWN", "m"),
        ("something else", 1001, "STD_EXCEPTION", "something else"),
    ],
)
def test_exception_texts_are_read(text: str, code: int, name: str, message: str) -> None:
    """Nested prefixes and suffixes fold into one."""
    error = EngineError.from_library(text)
    assert (error.code, error.name, error.message) == (code, name, message)


def test_the_trailer_counts_its_message() -> None:
    """The form that clients look for at the end of a broken stream."""
    assert exception_trailer("tag", b"Code: 1\n") == b"\r\n__exception__\r\ntag\r\nCode: 1\n8 tag\r\n__exception__\r\n"
