"""A line for the console: one object, written as JSON for machines or as text for people."""

import importlib
import json
import math
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gnomon.wire.attributes import DEEPEST, LONGEST_VALUE, Mask

_COLOURS = {"TRACE": "2", "DEBUG": "2", "INFO": "32", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}
# What would move the cursor or begin another line: a message must not forge lines.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

try:  # optional: a line costs a third
    _orjson: Callable[..., bytes] | None = importlib.import_module("orjson").dumps
except ImportError:
    _orjson = None

# The second of the line before, as text: one tuple, so that threads see both or neither.
_second: tuple[int, str] = (-1, "")


def stamp(time_ns: int) -> str:
    """RFC 3339 in UTC with milliseconds: `2023-12-01T12:34:56.789Z`."""
    global _second  # noqa: PLW0603 - a memory of one entry
    second, rest_ns = divmod(time_ns, 1_000_000_000)
    known, written = _second
    if known != second:
        written = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        _second = (second, written)
    return f"{written}.{rest_ns // 1_000_000:03d}Z"


def plain(key: str, value: Any, mask: Mask | None, depth: int = 0) -> Any:  # noqa: PLR0911 - one return a type
    """A value as JSON has it, every text inside masked. What JSON has no type for is written as its `str()`."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        shown = str(value[:LONGEST_VALUE])
        return mask(key, shown) if mask else shown
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(value)
    if depth < DEEPEST:
        if isinstance(value, Mapping):
            return {str(name): plain(str(name), inner, mask, depth + 1) for name, inner in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [plain(key, inner, mask, depth + 1) for inner in value]
    try:
        written = str(value)
    except Exception:  # noqa: BLE001 - the host's own class must not cost the line
        written = f"<{type(value).__name__}: str() failed>"
    return plain(key, written, mask)


def shape(
    time_ns: int,
    level: str,
    service_name: str,
    message: str,
    category: str,
    context: Mapping[str, Any],
    ids: tuple[bytes, bytes, bool] | None,
    fields: Mapping[str, Any],
    mask: Mask | None,
) -> dict[str, Any]:
    """The line as an object: what `log-schema.json` describes. `message` is masked already."""
    told = {key: plain(key, value, mask) for key, value in context.items()}
    if ids is not None:
        trace = ids[0].hex()
        told.setdefault("correlation_id", trace)
        told["trace_id"], told["span_id"] = trace, ids[1].hex()
    return {
        "timestamp": stamp(time_ns),
        "level": level,
        "service_name": service_name,
        "message": message,
        "category": category,
        "context": told,
        "fields": {key: plain(key, value, mask) for key, value in fields.items()},
    }


def as_json(line: Mapping[str, Any]) -> bytes:
    """One line of JSON in UTF-8."""
    if _orjson is not None:
        try:
            return _orjson(line) + b"\n"
        except TypeError:  # an integer beyond 64 bits, a lone surrogate
            pass
    written = json.dumps(line, ensure_ascii=False, separators=(",", ":"))
    return written.encode("utf-8", "replace") + b"\n"


def as_text(line: Mapping[str, Any], *, colours: bool) -> bytes:
    """For a person at a terminal: time, level, message, then fields; an exception follows on lines of its own."""
    fields = dict(line["fields"])
    raised = fields.pop("exception", ())
    level = f"{line['level']:<8}"
    if colours:
        level = f"\x1b[{_COLOURS[line['level']]}m{level}\x1b[0m"
    context = {key: value for key, value in line["context"].items() if key not in {"correlation_id", "span_id"}}
    pairs = "".join(f"  {_clean(key)}={_clean(value)}" for key, value in (fields | context).items())
    first = f"{line['timestamp'][11:23]} {level} [{line['category']}] {_clean(line['message'])}{pairs}\n"
    return (first + "".join(_traceback(raised))).encode("utf-8", "replace")


def _traceback(raised: Any) -> Iterable[str]:
    if not isinstance(raised, list):  # a host's own field of that name
        yield f"  exception={_clean(raised)}\n" if raised else ""
        return
    for one in raised:
        yield f"  {one['relation']} {one['type']}: {_clean(one['message'])}\n"
        for frame in one["frames"]:
            yield f"    {frame['file']}:{frame['line']} in {frame['function']}\n"


def _clean(value: Any) -> str:
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), str(value))
