"""JSON as Go writes it: what a page could take for HTML is escaped, and what is no UTF-8 is replaced."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import orjson
import pyarrow as pa

from gnomon_server.query.promql.values import Labels

_BLOCK = 50_000  # texts that are Python objects at a time
# Source: encoding/json's HTMLEscape. These bytes stand in JSON only inside of texts.
_ESCAPES = (
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
    (b"&", b"\\u0026"),
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
)


def dump(value: Any) -> bytes:
    """A plain value; lone surrogates must have gone (`clean`)."""
    return _escaped(orjson.dumps(value))


def clean(text: str) -> str:
    """`text` without lone surrogates, which stand for bytes that are no UTF-8."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def label_sets(labels: Sequence[Labels]) -> list[bytes]:
    """Each as a JSON object."""
    # One call for all is five times as fast as one for each. What ends one set and begins the next can stand elsewhere
    # only as a whole text (`},{`), and is nowhere in an empty set: then there are more pieces or fewer than sets.
    pieces = _escaped(orjson.dumps(list(map(dict, labels))))[3:-3].split(b'"},{"')
    if len(pieces) == len(labels) and all(labels):
        return [b'{"' + one + b'"}' for one in pieces]
    return [_escaped(orjson.dumps(dict(one))) for one in labels]


def joined(column: pa.ChunkedArray) -> Iterator[bytes]:
    """Texts that are JSON already as one JSON array, in blocks."""
    opening = b"["
    for chunk in column.chunks:
        for start in range(0, len(chunk), _BLOCK):
            yield opening + _escaped(",".join(chunk.slice(start, _BLOCK).to_pylist()).encode())
            opening = b","
    yield b"[]" if opening == b"[" else b"]"


def listed(texts: Iterable[bytes]) -> bytes:
    """JSON values as a JSON array."""
    return b"[" + b",".join(texts) + b"]"


def _escaped(text: bytes) -> bytes:
    for plain, escaped in _ESCAPES:
        text = text.replace(plain, escaped)
    return text
