"""The body of one request: chunked or of a declared length, plain or encoded, data or text or a form."""

from collections.abc import Iterator
from email.message import Message
from email.parser import BytesParser
from http import HTTPStatus
from io import BufferedIOBase
from typing import NoReturn, cast

from . import protocol, statement
from .bodies import IDENTITY, Piece
from .config import Limits
from .protocol import EngineError

_BUFFER_BYTES = 1 << 18
_MAX_LINE = 1024


class ClientGoneError(Exception):
    """The client closed the connection before its request was whole, or while it was running."""


class Incoming:
    """Reads a request's body once, from the connection's ``source``."""

    def __init__(self, headers: Message, source: BufferedIOBase, limits: Limits) -> None:
        self._headers = headers
        self._source = source
        self._limits = limits
        self._whole = False

    @property
    def encoding(self) -> str:
        """The Content-Encoding, in lower case."""
        return str(self._headers.get("Content-Encoding", IDENTITY)).lower()

    @property
    def unread(self) -> bool:
        """Whether bytes of it may still be on the connection, which then cannot carry another request."""
        declared = self._headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self._headers
        return declared and not self._whole

    def pieces(self) -> Iterator[Piece]:
        """The body's pieces, each good until the next is asked for; chunked or of a declared length."""
        left = self._limits.body_bytes
        if self._headers.get("Transfer-Encoding", "identity").lower() == "chunked":
            while size := self._chunk_size():
                left -= size
                if left < 0:
                    self._refuse_size()
                yield from self._exactly(size)
                self._source.readline(_MAX_LINE)
            while self._source.readline(_MAX_LINE).strip():
                pass
        else:
            size = self._declared_length()
            if size > left:
                self._refuse_size()
            yield from self._exactly(size)
        self._whole = True

    def _declared_length(self) -> int:
        declared = self._headers.get("Content-Length", "0")
        if not declared.isascii() or not declared.isdigit():
            raise EngineError(protocol.BAD_ARGUMENTS, "Content-Length is not a number")
        return int(declared)

    def _chunk_size(self) -> int:
        head = self._source.readline(_MAX_LINE)
        try:
            return int(head.split(b";")[0].strip() or b"-", 16)
        except ValueError:
            if not head:
                raise ClientGoneError from None
            raise EngineError(protocol.BAD_ARGUMENTS, "The chunked body is malformed") from None

    def _exactly(self, size: int) -> Iterator[memoryview]:
        buffer = memoryview(bytearray(min(size, _BUFFER_BYTES)))
        while size:
            count = self._source.readinto(buffer[: min(size, len(buffer))])
            if not count:
                # A short body must never become a short insert.
                raise ClientGoneError
            size -= count
            yield buffer[:count]

    def _refuse_size(self) -> NoReturn:
        text = f"The request body is larger than {self._limits.body_bytes} bytes"
        raise EngineError(protocol.QUERY_IS_TOO_LARGE, text, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)

    def drain(self) -> None:
        """Read it to its end, for nothing."""
        for _ in self.pieces():
            pass

    def read_text(self, pieces: Iterator[Piece]) -> tuple[bytes, statement.InsertWithData | None]:
        """Read a statement from the body, stopping where the data of an INSERT begins."""
        text = b""
        for piece in pieces:
            text += piece
            insert = statement.read_insert(text)
            # What ends with the piece may go on in the next one: the name of the format, say.
            if insert and insert.data_start < len(text):
                return text, insert
            if len(text) > self._limits.query_bytes:
                limit = self._limits.query_bytes
                raise EngineError(protocol.QUERY_IS_TOO_LARGE, f"Query is too large: the limit is {limit} bytes")
        return text, statement.read_insert(text)

    def form(self) -> list[tuple[str, str]] | None:
        """Fields of a multipart form, which carry what is too long for a URL; None when the body is no form."""
        content_type = self._headers.get("Content-Type", "")
        if not content_type.startswith("multipart/form-data"):
            return None
        body = bytearray()
        for piece in self.pieces():
            body += piece
            if len(body) > self._limits.query_bytes:
                raise EngineError(protocol.QUERY_IS_TOO_LARGE, "The form is too large")
        message = BytesParser().parsebytes(b"Content-Type: %b\r\n\r\n%b" % (content_type.encode(), bytes(body)))
        fields = []
        for part in message.walk():
            name = part.get_param("name", header="content-disposition")
            if part.is_multipart() or name is None:
                continue
            if part.get_filename() is not None:
                raise EngineError(protocol.NOT_IMPLEMENTED, "External tables are not supported")
            content = cast("bytes", part.get_payload(decode=True))
            fields.append((str(name), content.decode("utf-8", "surrogateescape")))
        return fields
