"""What is wrong with a configuration, all of it at once: field, value, where it was set, what is allowed."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr, ValidationError

from gnomon.errors import ConfigurationError

SECRET = frozenset({"headers", "pseudonym_key"})
"""The last words of keys whose values are never shown."""
_CREDENTIALS = re.compile(r"//[^/?#]*@")  # of an address, where they do not belong
_SHOWN_CHARS = 80  # a value is quoted so that it is found again, not read


@dataclass(frozen=True, slots=True)
class Given:
    """What the sources gave: values as written, and where, by key; and mistakes found already.

    Of maps the origin of each entry is there too, as `logs.levels.uvicorn`.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)
    mistakes: tuple[str, ...] = ()


def refusal(mistakes: Iterable[str]) -> ConfigurationError:
    """One error for all mistakes."""
    listed = list(mistakes)
    count = "a mistake" if len(listed) == 1 else f"{len(listed)} mistakes"
    return ConfigurationError(
        f"the observability configuration has {count}:" + "".join(f"\n  - {one}" for one in listed)
    )


def from_validation(error: ValidationError, given: Given, known: Iterable[str]) -> Iterator[str]:
    """A mistake for each finding, under the key that it belongs to."""
    known = list(known)
    for found in error.errors(include_url=False):
        path = ".".join(str(step) for step in found["loc"] if step != "[key]")
        key = next((one for one in known if path == one or path.startswith(f"{one}.")), path)
        if key.rpartition(".")[2] in SECRET:
            path = key  # what was read as a header's name may be half of its value
        origin = given.origins.get(path) or given.origins.get(key, "argument")
        if found["type"] == "extra_forbidden":
            yield unknown(path, known, origin)
            continue
        allowed = found["msg"].removeprefix("Value error, ").removeprefix("Input ")
        yield mistake(path, _written(given.values, key, path, found["input"]), origin, allowed)


def mistake(key: str, value: Any, origin: str, allowed: str) -> str:
    """`metrics.port = '70000' (env GNOMON_METRICS_PORT): should be less than or equal to 65535`."""
    return f"{key} = {_quoted(key, value)} ({origin}): {allowed}"


def unknown(name: str, known: Iterable[str], origin: str) -> str:
    """A name that is no setting, with the nearest one that is."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"{name} ({origin}): there is no such setting" + (f"; did you mean {near[0]}?" if near else "")


def _written(values: Mapping[str, Any], key: str, path: str, seen: Any) -> Any:
    """What stood in the source, which is not always what validation saw in the end."""
    value = values.get(key, seen)
    return value.get(path[len(key) + 1 :], seen) if isinstance(value, Mapping) else value


def _quoted(key: str, value: Any) -> str:
    if isinstance(value, SecretStr) or any(word in SECRET for word in key.split(".")):
        return "***"
    text = _CREDENTIALS.sub("//***@", repr(value))
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."
