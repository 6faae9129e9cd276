"""What series are called: what all have in common once, and of each what sets it apart."""

import json
import re
from collections.abc import Mapping, Sequence

from gnomon_server.selfmon.events import printable

_NAME = "__name__"
_PLAIN = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")


def full(labels: Mapping[str, str]) -> str:
    """As a selector: `up{job="shop"}`; names that are not plain stand in quotes."""
    name = labels.get(_NAME, "")
    pairs = [f"{_label(key)}={_quoted(value)}" for key, value in sorted(labels.items()) if key != _NAME]
    if name and not _PLAIN.fullmatch(name):
        pairs.insert(0, _quoted(name))
        name = ""
    return printable(name + ("{" + ", ".join(pairs) + "}" if pairs or not name else ""))


def in_common(sets: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The labels that have one value in all sets."""
    first = dict(sets[0]) if sets else {}
    return {name: value for name, value in first.items() if all(labels.get(name) == value for labels in sets)}


def differing(sets: Sequence[Mapping[str, str]]) -> list[str]:
    """The names of all other labels; the metric's own is the first."""
    common = in_common(sets)
    names = {name for labels in sets for name in labels} - set(common)
    return sorted(names, key=lambda name: (name != _NAME, name))


def apart(labels: Mapping[str, str], names: Sequence[str]) -> str:
    """Short, for a legend: `code=200 path=/`."""
    shown = [value if name == _NAME else f"{name}={value}" for name in names if (value := labels.get(name, ""))]
    return printable(" ".join(shown)) or "{}"


def _label(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else _quoted(name)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
