"""OTLP's AnyValue as a Python value, and as the JSON text that is stored.

Text, numbers, booleans, lists and maps read as what they are; what JSON has no word for is a map with one `$` key:
`{"$bytes": "<base64>"}`, `{"$double": "NaN" | "Infinity" | "-Infinity"}`, and `{"$map": {...}}` around a map whose only key
begins with `$`. Integers are written without, floats with a decimal point, so that types survive.
"""

import base64
import math
from typing import Any

import orjson

# Deeper values are hostile or broken; upb itself stops at 100 levels of messages (two for each level of value).
_OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS


def text(raw: bytes) -> str:
    """UTF-8 as text; an invalid sequence becomes U+FFFD, so that it costs a character and not the record."""
    return raw.decode("utf-8", "replace")


def plain(value: Any) -> Any:
    """AnyValue message -> what JSON can say (see the module's words)."""
    which = value.WhichOneof("which")
    match which:
        case "string":
            return text(value.string)
        case "bool" | "int":
            return getattr(value, which)
        case "double":
            return value.double if math.isfinite(value.double) else {"$double": _name_of(value.double)}
        case "array":
            return [plain(item) for item in value.array.values]
        case "kvlist":
            return mapping(value.kvlist.values)
        case "bytes":
            return {"$bytes": base64.b64encode(value.bytes).decode()}
        case _:
            return None


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
    """The stored text of a plain value. Integers beyond 64 bits cannot occur: the wire has none."""
    return orjson.dumps(value, option=_OPTIONS).decode()


def _name_of(number: float) -> str:
    if math.isnan(number):
        return "NaN"
    return "Infinity" if number > 0 else "-Infinity"
