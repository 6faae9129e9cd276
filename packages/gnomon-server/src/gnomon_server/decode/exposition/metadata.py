"""Metadata lines of the text formats: `# HELP`, `# TYPE`, `# UNIT`."""

import re
from collections.abc import Iterable

from gnomon_server.decode.exposition.exposition import Family
from gnomon_server.decode.exposition.grammar import NAME, QUOTED, decoded, name_of, unescaped
from gnomon_server.errors import InvalidInput

_TEXT = re.compile(rb"#[ \t]+(HELP|TYPE)[ \t]+(%b|%b)(?:[ \t]+(.*))?" % (NAME, QUOTED))
STRICT = re.compile(rb"# (HELP|TYPE|UNIT) (%b|%b) (.*)" % (NAME, QUOTED))
EOF = b"# EOF"

_TEXT_TYPES = {"counter", "gauge", "histogram", "summary", "untyped"}
TYPES = {"counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset", "unknown"}


def text_families(comments: Iterable[bytes]) -> dict[str, Family]:
    """Of text 0.0.4 and 1.0, where every other line that begins with # is a comment."""
    said: dict[str, dict[str, str]] = {}
    for line in comments:
        match = _TEXT.fullmatch(line)
        if match is None:
            continue
        word, text = match[1].decode().lower(), match[3] or b""
        value = _help(text) if word == "help" else decoded(text).strip().lower()
        if word == "type" and value not in _TEXT_TYPES:
            raise InvalidInput("invalid_type", f"{value[:40]!r} is no metric type", where=decoded(line)[:200])
        said.setdefault(name_of(match[2]), {})[word] = "unknown" if value == "untyped" else value
    return {name: Family(**words) for name, words in said.items()}


def _help(text: bytes) -> str:
    # Quotes are not escaped in HELP of the text format, and `\"` stays what it is.
    return decoded(text).replace("\\\\", "\0").replace("\\n", "\n").replace("\0", "\\")


def strict_families(comments: Iterable[bytes]) -> dict[str, Family]:
    """Of OpenMetrics, whose only other comment is `# EOF`."""
    said: dict[str, dict[str, str]] = {}
    for line in comments:
        match = STRICT.fullmatch(line)
        if match is None:
            raise InvalidInput("invalid_line", "expected # HELP, # TYPE or # UNIT", where=decoded(line)[:200])
        word, text = match[1].decode().lower(), decoded(match[3])
        if word == "type" and text not in TYPES:
            raise InvalidInput("invalid_type", f"{text[:40]!r} is no metric type", where=decoded(line)[:200])
        said.setdefault(name_of(match[2]), {})[word] = unescaped(text) if word == "help" else text
    return {name: Family(**words) for name, words in said.items()}
