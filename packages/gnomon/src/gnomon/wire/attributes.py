"""Attributes as OTLP's KeyValue messages; what was encoded before is remembered."""

import weakref
from collections.abc import Callable, Mapping, Sequence
from struct import Struct
from typing import Any

from gnomon.wire.protobuf import LENGTHS, delimited, double, length, tag, text, varint

# Attributes come from code, so their pairs repeat; what does not repeat (an id, a path) passes through and is
# forgotten when the memory is full. Emptying it costs one encoding of each pair that does repeat.
REMEMBERED = 8192
LONGEST_REMEMBERED = 128
# A key with more different texts than this has texts that do not repeat: paths, ids. To remember them would push out of
# the processor's caches what does repeat, which costs more than encoding.
MOST_TEXTS = 512
_FEW = 1024
_MOST_INT = 1 << 63
# What one attribute may take; longer text is cut, as the OTel limits allow (OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT).
LONGEST_VALUE = 16_384
# Encoded bytes after which a list or a mapping is cut: it may be endless, or contain itself many times.
LONGEST_COLLECTION = 65_536
DEEPEST = 8
# A length and the two bytes before it fit into one byte each below this.
_ONE_BYTE = 0x7E
_DOUBLE_BYTES = 8
_pack = Struct("<d").pack

Mask = Callable[[str, str], str]
"""(key, value) -> the value as it may leave the process."""


def any_value(  # noqa: PLR0911 - one return a type
    value: Any, key: str = "", mask: Mask | None = None, depth: int = 0
) -> bytes:
    """The body of an AnyValue message. What OTLP has no type for is written as its `str()`.

    Args:
        value: str, bool, int, float, bytes, None, a sequence or a mapping of these.
        key: the attribute's name, for the mask.
        mask: applied to every text inside.
        depth: how deep we are; from `DEEPEST` on, `str()` is written.
    """
    if isinstance(value, str):
        shown = str(value[:LONGEST_VALUE])
        return text(1, mask(key, shown) if mask else shown)
    if value is None:
        return b""
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        # A protobuf int64; beyond it, the digits.
        return b"\x18" + varint(value) if -(1 << 63) <= value < 1 << 63 else text(1, _described(value))
    if isinstance(value, float):
        return b"\x21" + double(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return delimited(7, bytes(value[:LONGEST_VALUE]))
    if depth < DEEPEST and isinstance(value, Mapping | Sequence | set | frozenset):
        try:
            return _collection(value, key, mask, depth + 1)
        except Exception:  # noqa: BLE001 - the host's own class, or changed by another thread: it must not break its host
            return any_value(f"<{type(value).__name__}: cannot be read>")
    return any_value(_described(value), key, mask)


def _collection(value: Any, key: str, mask: Mask | None, depth: int) -> bytes:
    """A KeyValueList or an ArrayValue, up to where it is too long."""
    if isinstance(value, Mapping):
        field, parts = 6, (key_value(_described(name), inner, mask, depth) for name, inner in value.items())
    else:
        field, parts = 5, (any_value(item, key, mask, depth) for item in value)
    body = bytearray()
    for part in parts:
        body += delimited(1, part)
        if len(body) > LONGEST_COLLECTION:
            break
    return delimited(field, bytes(body))


def _described(value: Any) -> str:
    """A value of a foreign class, in words; its `__str__` may do as it likes."""
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - the host's own class must not break its host
        return f"<{type(value).__name__}: str() failed>"


def key_value(key: str, value: Any, mask: Mask | None = None, depth: int = 0) -> bytes:
    """The body of a KeyValue message."""
    return text(1, key) + delimited(2, any_value(value, key, mask, depth))


class Blocks(dict[Any, Any]):
    """What somebody remembers that has encoded attributes in it; see `KeyValues.blocks`."""

    __slots__ = ("__weakref__",)


class KeyValues:
    """Encodes mappings as repeated KeyValue fields of one message type.

    Args:
        field: the number of the `attributes` field in that message (Span 9, LogRecord 6, data points 7 or 9,
            Resource 1).
        mask: what every text passes through before it is encoded, and so before it is remembered: what repeats is
            masked once.
    """

    __slots__ = ("_blocks", "_doubles", "_keys", "_latest", "_met", "_numbers", "_prefix", "_texts", "longest", "mask")

    def __init__(self, field: int, mask: Mask | None = None) -> None:
        self._prefix = tag(field, 2)
        self._keys: dict[str, bytes] = {}
        self._texts: dict[tuple[str, Any], bytes] = {}
        self._numbers: dict[tuple[str, Any], bytes] = {}  # apart, for 1 == 1.0 == True
        self._doubles: dict[str, bytes] = {}
        self._blocks: list[weakref.ref[Blocks]] = []
        self._met: dict[str, int] = {}  # texts of each key
        self._latest: dict[str, tuple[str, bytes]] = {}  # of keys whose texts do not repeat
        self.mask, self.longest = mask, LONGEST_VALUE

    def encode(self, attributes: Mapping[str, Any]) -> bytes:
        """All pairs, each with its tag and length: ready to stand in the message."""
        parts = []
        texts, numbers, doubles = self._texts, self._numbers, self._doubles
        for item in attributes.items():
            kind = item[1].__class__
            if kind is str:
                part = texts.get(item)
            elif kind is int:
                part = numbers.get(item)
            elif kind is float:
                part = doubles.get(item[0])
                if part is not None:  # all but the number itself, which seldom repeats
                    part += _pack(item[1])
            else:
                part = None
            parts.append(self.one(*item) if part is None else part)
        return b"".join(parts)

    def one(self, key: str, value: Any) -> bytes:
        """One pair, with its tag and length."""
        kind = value.__class__
        if key.__class__ is not str:
            key = _described(key)
        if kind is str:
            return self._text(key, value)
        if kind is int and -_MOST_INT <= value < _MOST_INT:
            number = varint(value)
            body = self._named(key) + LENGTHS[len(number) + 1] + b"\x18" + number
            part = self._prefix + length(len(body)) + body
            if 0 <= value < _FEW:  # a status repeats, an id does not
                _remember(self._numbers, (key, value), part)
            return part
        body = key_value(key, value, self.mask)
        part = self._prefix + length(len(body)) + body
        if kind is float:
            _remember(self._doubles, key, part[:-_DOUBLE_BYTES])
        return part

    def _text(self, key: str, value: str) -> bytes:
        """A text: the way of most attributes that do not repeat, so written out."""
        if len(value) > self.longest:
            return self._long(key, value)
        shown = value if self.mask is None else self.mask(key, value)
        try:
            encoded = shown.encode()
        except UnicodeEncodeError:  # half a surrogate pair, which no UTF-8 can carry
            encoded = shown.encode("utf-8", "replace")
        named, size = self._keys.get(key) or self._named(key), len(encoded)
        if size < _ONE_BYTE:
            body = named + LENGTHS[size + 2] + b"\x0a" + LENGTHS[size] + encoded
        else:
            value_body = b"\x0a" + length(size) + encoded
            body = named + length(len(value_body)) + value_body
        part = self._prefix + length(len(body)) + body
        met = self._met.get(key, 0)
        if met < MOST_TEXTS:
            if len(self._met) < REMEMBERED:
                self._met[key] = met + 1
            _remember(self._texts, (key, value), part)
        else:
            self._latest[key] = (value, part)
        return part

    def _named(self, key: str) -> bytes:
        """A pair up to the length of its value."""
        named = self._keys.get(key)
        if named is None:
            named = text(1, key) + b"\x12"
            _remember(self._keys, key, named)
        return named

    def _long(self, key: str, value: str) -> bytes:
        """A text that is too long: masked before it is cut, for half an address would not be seen for one."""
        shown = value[:LONGEST_VALUE]
        if self.mask is not None:
            shown = self.mask(key, shown)
        body = text(1, key) + delimited(2, text(1, shown[: self.longest]))
        return self._prefix + length(len(body)) + body

    def under(self, tag: bytes, key: str, value: str) -> bytes:
        """A text pair for another message type, whose one-byte tag is given: what is encoded here is not done twice."""
        latest = self._latest.get(key)
        if latest is not None and latest[0] == value:
            return tag + latest[1][1:]
        return tag + (self._texts.get((key, value)) or self._text(key, value))[1:]

    def blocks(self) -> Blocks:
        """A memory of its owner's own, for what is made of attributes encoded here: `forget` empties it too."""
        made = Blocks()
        self._blocks = [one for one in self._blocks if one() is not None] + [weakref.ref(made)]
        return made

    def forget(self) -> None:
        """Forget all that is remembered: the mask has changed."""
        owned = [blocks for one in self._blocks if (blocks := one()) is not None]
        remembered: tuple[dict[Any, Any], ...] = (self._texts, self._numbers, self._doubles, self._met, self._latest)
        for known in (*remembered, *owned):
            known.clear()


def _remember(known: dict[Any, bytes], key: Any, part: bytes) -> None:
    if len(part) <= LONGEST_REMEMBERED:
        if len(known) >= REMEMBERED:
            known.clear()
        known[key] = part
