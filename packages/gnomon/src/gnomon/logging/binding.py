"""What is bound to the running task or thread, and so stands in every line logged there, by whichever logger.

One `ContextVar`: a task begins with a copy of its maker's, a thread with nothing, unless it is started by
`asyncio.to_thread` or runs in `contextvars.copy_context().run`.
"""

import contextlib
from collections.abc import Container, Mapping
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any

from gnomon.wire.attributes import KeyValues


class Bound:
    """Fields that are bound together: encoded when the first line is logged with them, not for every line."""

    __slots__ = ("_block", "fields")

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.fields = fields
        self._block: tuple[KeyValues | None, bytes] = (None, b"")

    def block(self, encoder: KeyValues) -> bytes:
        """The fields as attributes. Encoder and bytes are one tuple, so no thread sees one without the other."""
        known, encoded = self._block
        if known is not encoder:
            encoded = self.without((), encoder)
            self._block = (encoder, encoded)
        return encoded

    def without(self, names: Container[str], encoder: KeyValues) -> bytes:
        """As `block`, without what the line itself names: an attribute stands in a record once."""
        return encoder.encode(
            {key: value for key, value in self.fields.items() if key not in names and key != "category"}
        )


EMPTY = Bound({})
bound: ContextVar[Bound] = ContextVar("gnomon.logging.bound", default=EMPTY)


def _and(fields: Mapping[str, Any]) -> Bound:
    merged = {**bound.get().fields, **fields}
    return Bound({key: value for key, value in merged.items() if value is not None})


def bind(**fields: Any) -> None:
    """Bind fields until the task or thread ends, or they are bound anew; None takes one away."""
    bound.set(_and(fields))


class Binding:
    """Fields that are bound for the length of a `with` or `async with` block."""

    __slots__ = ("_fields", "_token")

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = fields

    def __enter__(self) -> None:
        self._token: Token[Bound] = bound.set(_and(self._fields))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A generator that is closed from another context has nothing to set back there.
        with contextlib.suppress(ValueError):
            bound.reset(self._token)

    async def __aenter__(self) -> None:
        self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)


def context(**fields: Any) -> Binding:
    """Bind fields to every line that is logged inside the `with` block; nests, and is restored."""
    return Binding(fields)
