"""Lines of the console: the published schema, JSON by either library, text for people."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from gnomon.logging import StructuredLogger, lines
from gnomon.logging.writer import Console, console

DOCS = Path(__file__).resolve().parents[3] / "docs" / "sdk"
SEED = """{
  "timestamp": "2023-12-01T12:34:56.789Z",
  "level": "INFO",
  "service_name": "user-service",
  "message": "User authenticated successfully",
  "category": "security",
  "context": {
    "user_id": "user123",
    "correlation_id": "abc-123",
    "trace_id": "def456"
  },
  "fields": {
    "authentication_method": "oauth2",
    "source_ip": "192.168.1.100"
  }
}"""


def _schema() -> Any:
    return json.loads((DOCS / "log-schema.json").read_text("utf-8"))


def test_the_published_schema_is_the_shipped_one() -> None:
    """Documentation and package hold the same file, and it is a schema."""
    shipped = Path(lines.__file__).parent / "log-schema.json"
    assert shipped.read_text("utf-8") == (DOCS / "log-schema.json").read_text("utf-8")
    Draft202012Validator.check_schema(_schema())


def test_the_sample_is_valid() -> None:
    """As printed: its trace id is no W3C id, and is accepted on reading."""
    Draft202012Validator(_schema()).validate(json.loads(SEED))


@pytest.mark.parametrize(
    "change",
    [
        {"category": "Security"},
        {"level": "LOUD"},
        {"timestamp": "2023-12-01 12:34:56"},
        {"extra": 1},
        {"fields": {"sample_rate": 0}},
        {"fields": {"exception": [{"type": "ValueError"}]}},
    ],
)
def test_the_schema_refuses(change: dict[str, Any]) -> None:
    """What we never write."""
    with pytest.raises(ValidationError):
        Draft202012Validator(_schema()).validate({**json.loads(SEED), **change})


def test_stamps() -> None:
    """UTC, to the millisecond, cut off and not rounded; a second that is remembered is the right one."""
    written = [lines.stamp(ns) for ns in (1701434096789_999_999, 1701434096000_000_000, 1701434097001_000_000, 0)]
    assert written == [
        "2023-12-01T12:34:56.789Z",
        "2023-12-01T12:34:56.000Z",
        "2023-12-01T12:34:57.001Z",
        "1970-01-01T00:00:00.000Z",
    ]


@pytest.mark.parametrize("fast", [True, False])
def test_any_value_is_one_line_of_json(seen: Any, monkeypatch: pytest.MonkeyPatch, fast: bool) -> None:
    """With orjson or without: what JSON has no type for is written as text, and what it cannot hold is replaced."""
    if fast:
        pytest.importorskip("orjson")
    else:
        monkeypatch.setattr(lines, "_orjson", None)
    StructuredLogger("orders", pipeline=seen.pipeline).info(
        "new\nline \u2028 ünï", big=1 << 80, nan=float("nan"), lone="\ud800", raw=b"x", many={1}, keys={3: (1, None)}
    )
    (line,) = seen.lines()
    assert line["message"] == "new\nline \u2028 ünï"
    assert line["fields"] == {
        "big": 1 << 80,
        "nan": "nan",
        "lone": "?",
        "raw": "b'x'",
        "many": [1],
        "keys": {"3": [1, None]},
    }


def test_text_is_for_people(seen: Any) -> None:
    """One line, fields behind it, the exception below; what would forge lines or move the cursor is shown escaped."""
    seen.pipeline.console = Console("text", seen.writer, colours=True)
    logger = StructuredLogger("orders", pipeline=seen.pipeline)
    with logger.context(user_id="u1"):
        logger.warning("a\nforged \x1b[31m line", order="o\r1")
    try:
        int("v\nw")
    except ValueError:
        logger.exception("failed")
    logger.info("own", exception="a text")
    assert seen.writer.flush(10)
    first, second, raised, frame, *rest = seen.stream.getvalue().splitlines()
    assert first[13:] == "\x1b[33mWARNING \x1b[0m [application] a\\nforged \\x1b[31m line  order=o\\r1  user_id=u1"
    assert second.endswith("[error] failed")
    assert raised == "  raised ValueError: invalid literal for int() with base 10: 'v\\nw'"
    assert frame.startswith(f"    {__file__}:")
    assert rest[-1] == "  exception=a text"


def test_the_form_of_the_console(monkeypatch: pytest.MonkeyPatch) -> None:
    """Text on a terminal, JSON elsewhere; colours unless NO_COLOR is set; off is off."""

    class Terminal:
        def isatty(self) -> bool:
            return True

    terminal: Any = Terminal()
    line = {"timestamp": "2023-12-01T12:34:56.789Z", "level": "INFO", "message": "m", "category": "c"}
    line |= {"context": {}, "fields": {}}
    monkeypatch.delenv("NO_COLOR", raising=False)

    def shown(made: Console | None) -> bytes:
        assert made is not None
        made.writer.put = lambda written, _: out.append(written)  # type: ignore[method-assign]
        out: list[bytes] = []
        made.write(line, important=False)
        made.writer.shutdown(0)
        return out[0]

    assert shown(console(stream=terminal)) == b"12:34:56.789 \x1b[32mINFO    \x1b[0m [c] m\n"
    assert shown(console("json", terminal)).startswith(b"{")
    assert shown(console("auto")).startswith(b"{")
    monkeypatch.setenv("NO_COLOR", "1")
    assert shown(console(stream=terminal)) == b"12:34:56.789 INFO     [c] m\n"
    monkeypatch.setattr("sys.stderr", terminal)
    assert shown(console()) == b"12:34:56.789 INFO     [c] m\n"
    assert shown(console(stream="stdout")).startswith(b"{")
    monkeypatch.setattr("sys.stderr", None)
    assert shown(console()).startswith(b"{")
    assert console("off") is None
