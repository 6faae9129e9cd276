"""OTLP's AnyValue as a Python value, and as the JSON text that is stored.

Text, numbers, booleans, lists and maps read as what they are; what JSON has no word for is a map with one `$` key:
`{"$bytes": "<base64>"}`, `{"$double": "NaN" | "Infinity" | "-Infinity"}`, and `{"$map": {...}}` around a map whose only
key begins with `$`. Integers are written without, floats with a decimal point, so that types survive.
"""

import base64
import math
from collections.abc import Callable
from typing import Any

import orjson


def text(raw: bytes) -> str:
    """UTF-8 as text; an invalid sequence becomes U+FFFD, so that it costs a character and not the record."""
    return raw.decode("utf-8", "replace")


def plain(value: Any) -> Any:
    """AnyValue message -> what JSON can say (see the module's words)."""
    which = value.WhichOneof("which")
    return None if which is None else _READERS[which](getattr(value, which))


def mapping(pairs: Any) -> dict[str, Any]:
    """KeyValue messages -> a map; of equal keys the last one counts."""
    result = {text(pair.key): plain(pair.value) for pair in pairs}
    if len(result) == 1 and next(iter(result)).startswith("$"):
        return {"$map": result}
    return result


def attributes(pairs: Any) -> dict[str, Any]:
    """KeyValue messages of a record -> a map, never wrapped: a record's attributes are known to be a map."""
    return {text(pair.key): plain(pair.value) for pair in pairs}


def to_json(value: Any) -> str:
    """The stored text of a plain value."""
    return orjson.dumps(value).decode()


def to_json_within(value: Any, limit_bytes: int) -> tuple[str, bool]:
    """The stored text, and whether it was cut: then `{"$cut": ...}` holds the first `limit_bytes` bytes of it."""
    stored = orjson.dumps(value)
    if len(stored) <= limit_bytes:
        return stored.decode(), False
    return to_json({"$cut": text(stored[:limit_bytes])}), True


def _number(number: float) -> Any:
    if math.isfinite(number):
        return number
    if math.isnan(number):
        return {"$double": "NaN"}
    return {"$double": "Infinity" if number > 0 else "-Infinity"}


_READERS: dict[str, Callable[[Any], Any]] = {
    "string_value": text,
    "bool_value": bool,
    "int_value": int,
    "double_value": _number,
    "array_value": lambda array: [plain(item) for item in array.values],
    "kvlist_value": lambda pairs: mapping(pairs.values),
    "bytes_value": lambda raw: {"$bytes": base64.b64encode(raw).decode()},
}
