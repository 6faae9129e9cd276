"""Local variables as text: only of types whose `repr` is Python's own.

A foreign one may raise, hang or be endless, and what hangs cannot be stopped.
"""

import datetime as dt
import decimal
import re
import uuid
from itertools import islice
from typing import Any, Final

from gnomon.privacy.sql import sanitised
from gnomon.wire.attributes import Mask

_ITEMS: Final = 10
_DEPTH: Final = 3
_LONGEST: Final = 256
# A text is masked before it is cut: half a card number would pass for none.
_LOOKED_AT: Final = 512
_WIDEST_INT_BITS: Final = 1024
_PLAIN: Final = frozenset(
    {
        float,
        complex,
        range,
        dt.datetime,
        dt.date,
        dt.timedelta,
        decimal.Decimal,
        uuid.UUID,
    }
)
_SQL: Final = re.compile(r"\s*(?:SELECT|INSERT\s+INTO|UPDATE|DELETE\s+FROM|MERGE\s+INTO|WITH)\s", re.IGNORECASE)
_BRACKETS: Final[dict[type, str]] = {list: "[]", tuple: "()", set: "{}", frozenset: "{}"}


def shown(name: str, value: Any, mask: Mask | None, depth: int = 0) -> str:
    """A value as text of at most 256 characters, masked by the name it has and by what is in it. Never raises.

    Args:
        name: of the variable, or the key in a mapping.
        value: anything. Of a type that is not built in, or of its subclass, only `<module.Class>` is shown.
        mask: applied to every text and number.
        depth: how deep in containers.
    """
    try:
        written = _written(name, value, mask, depth)
    except Exception:  # noqa: BLE001 - another thread may change what is shown; the host must not see it
        written = _class_of(value)
    return written if len(written) <= _LONGEST else written[:_LONGEST] + "…"


def _written(name: str, value: Any, mask: Mask | None, depth: int) -> str:
    kind = type(value)
    if kind is dict or kind in _BRACKETS:
        return _container(name, value, mask, depth)
    if kind is bool or value is None:
        return repr(value)
    if kind is str:
        text = value[:_LOOKED_AT]
        if _SQL.match(text):
            text = sanitised(text)
        return repr(mask(name, text) if mask else text)
    text = _class_of(value)
    if kind is int:
        text = str(value) if value.bit_length() <= _WIDEST_INT_BITS else "<int of many digits>"
    elif kind is bytes or kind is bytearray:
        text = repr(bytes(value[:_LOOKED_AT]))
    elif kind in _PLAIN:
        text = repr(value)
    return mask(name, text) if mask else text


def _container(name: str, value: Any, mask: Mask | None, depth: int) -> str:
    """`islice` in a list: one call, so that another thread cannot change the container between two items."""
    if depth >= _DEPTH:
        return "…"
    if type(value) is dict:
        pairs = [_pair(key, inner, mask, depth) for key, inner in list(islice(value.items(), _ITEMS))]
        return "{" + _listed(pairs, len(value)) + "}"
    brackets = _BRACKETS[type(value)]
    items = [shown(name, item, mask, depth + 1) for item in list(islice(value, _ITEMS))]
    return brackets[0] + _listed(items, len(value)) + brackets[1]


def _pair(key: Any, value: Any, mask: Mask | None, depth: int) -> str:
    name = key if type(key) is str else ""
    return f"{shown('', key, mask, depth + 1)}: {shown(name, value, mask, depth + 1)}"


def _listed(parts: list[str], size: int) -> str:
    return ", ".join(parts) + (f", … {size - len(parts)} more" if size > len(parts) else "")


def _class_of(value: Any) -> str:
    kind = type(value)
    return f"<{kind.__module__}.{kind.__qualname__}>"
