"""ClickHouse's HTTP dialect: what a request's parameters mean, and how an error looks on the wire."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

DEFAULT_FORMAT = "TabSeparated"

# Parameters of the HTTP interface itself; every other one is a setting.
# Sessions are accepted and have no effect: every request starts from the same clean state.
_INTERFACE_PARAMETERS = frozenset(
    {"query", "database", "default_format", "query_id", "session_id", "session_timeout", "close_session", "user"}
    | {"password", "quota_key", "role", "stacktrace", "buffer_size", "wait_end_of_query", "client_protocol_version"}
)
# The engine's own protocol framing of bodies; plain HTTP encodings do the same.
_REFUSED_PARAMETERS = frozenset({"compress", "decompress"})
_SETTING_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")

# ClickHouse's src/Server/HTTPHandler: exceptionCodeToHTTPStatus.
_STATUS = {
    HTTPStatus.UNAUTHORIZED: (194,),
    HTTPStatus.FORBIDDEN: (192, 193, 516),
    HTTPStatus.BAD_REQUEST: (
        6,
        25,
        26,
        27,
        36,
        38,
        41,
        53,
        56,
        62,
        72,
        117,
        167,
        168,
        223,
        321,
        376,
        427,
        441,
        675,
        676,
    ),
    HTTPStatus.NOT_FOUND: (46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 511),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: (162,),
    HTTPStatus.NOT_IMPLEMENTED: (48,),
    HTTPStatus.SERVICE_UNAVAILABLE: (76, 202, 209, 439),
    HTTPStatus.LENGTH_REQUIRED: (381,),
    HTTPStatus.REQUEST_TIMEOUT: (159,),
}
_STATUS_OF_CODE = {code: status for status, codes in _STATUS.items() for code in codes}

SYNTAX_ERROR = (62, "SYNTAX_ERROR")
UNKNOWN_SETTING = (115, "UNKNOWN_SETTING")
NOT_IMPLEMENTED = (48, "NOT_IMPLEMENTED")
BAD_ARGUMENTS = (36, "BAD_ARGUMENTS")
QUERY_IS_TOO_LARGE = (162, "QUERY_IS_TOO_LARGE")
INTO_OUTFILE_NOT_ALLOWED = (445, "INTO_OUTFILE_NOT_ALLOWED")
TOO_MANY_SIMULTANEOUS_QUERIES = (202, "TOO_MANY_SIMULTANEOUS_QUERIES")
QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING = (216, "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING")
NOT_ENOUGH_SPACE = (243, "NOT_ENOUGH_SPACE")

_CODE_PREFIX = re.compile(r"(?:Code: (\d+)\. DB::Exception: )+")
_NAME_SUFFIX = re.compile(r"(?:\s*\(version [^)]*\)\.?|\s*\([A-Z][A-Z0-9_]+\)\.?)+\s*$")
_NAME = re.compile(r"\(([A-Z][A-Z0-9_]+)\)")


class EngineError(Exception):
    """An error with ClickHouse's code, name and text; ``status`` is what ClickHouse's HTTP interface would answer."""

    def __init__(self, code_and_name: tuple[int, str], message: str, status: HTTPStatus | None = None) -> None:
        super().__init__(message)
        self.code, self.name = code_and_name
        self.message = message
        self.status = status or _STATUS_OF_CODE.get(self.code, HTTPStatus.INTERNAL_SERVER_ERROR)

    @classmethod
    def from_library(cls, text: str) -> "EngineError":
        """Read an exception text of the library; it nests the prefix and the suffix up to three times."""
        start = _CODE_PREFIX.search(text)
        if start is None:
            return cls((1001, "STD_EXCEPTION"), text)
        body = text[start.end() :]
        suffix = _NAME_SUFFIX.search(body)
        names = _NAME.findall(suffix.group()) if suffix else []
        return cls(
            (int(start.group(1)), names[-1] if names else "UNKNOWN"),
            (body[: suffix.start()] if suffix else body).rstrip(),
        )

    def body(self, version: str) -> bytes:
        """The error as ClickHouse writes it into a response body."""
        return f"Code: {self.code}. DB::Exception: {self.message} ({self.name}) (version {version})\n".encode(
            errors="backslashreplace"
        )


@dataclass(frozen=True, slots=True)
class Parameters:
    """What the URL, the headers and a form say about one request."""

    query: str | None = None
    database: str | None = None
    default_format: str = DEFAULT_FORMAT
    query_id: str | None = None
    wait_end_of_query: bool = False
    values: Mapping[str, str] = field(default_factory=dict)
    """Values of ``{name:Type}`` placeholders, in ClickHouse's escaped text form (``\\N`` is NULL)."""
    settings: Mapping[str, str] = field(default_factory=dict)


def read_parameters(pairs: Iterable[tuple[str, str]], headers: Mapping[str, str], *, read_only: bool) -> Parameters:
    """Sort a request's parameters; a GET (``read_only``) may not write, as in ClickHouse.

    Raises:
        EngineError: for a setting name that cannot be one, and for ``compress``/``decompress``.
    """
    given = dict(pairs)
    settings: dict[str, str] = {}
    values: dict[str, str] = {}
    for name, value in given.items():
        if name.startswith("param_"):
            values[name.removeprefix("param_")] = value
            _check_text(name, value)
        elif name in _REFUSED_PARAMETERS:
            if value not in ("", "0"):
                raise EngineError(NOT_IMPLEMENTED, f"Parameter '{name}' is not supported: use HTTP's Content-Encoding")
        elif name not in _INTERFACE_PARAMETERS:
            if not _SETTING_NAME.fullmatch(name):
                raise EngineError(UNKNOWN_SETTING, f"Unknown setting '{name}'")
            _check_text(name, value)
            settings[name] = value
    if read_only and settings.get("readonly", "0") == "0":
        settings["readonly"] = "2"
    for name in ("database", "query_id"):
        _check_text(name, given.get(name, ""))
    return Parameters(
        query=given.get("query"),
        database=given.get("database") or headers.get("X-ClickHouse-Database"),
        default_format=given.get("default_format") or headers.get("X-ClickHouse-Format") or DEFAULT_FORMAT,
        query_id=given.get("query_id") or headers.get("X-ClickHouse-Query-Id"),
        wait_end_of_query=given.get("wait_end_of_query", "0") not in ("", "0"),
        values=values,
        settings=settings,
    )


def _check_text(name: str, value: str) -> None:
    """The library takes text; other bytes can be written as escapes of ClickHouse's TSV."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise EngineError(BAD_ARGUMENTS, f"The value of '{name}' is not UTF-8") from None


def content_type(output_format: str) -> str:
    """The Content-Type ClickHouse gives the formats; anything unnamed is plain text."""
    if output_format.startswith("JSON"):
        return "application/json; charset=UTF-8"
    if output_format.startswith("CSV"):
        return "text/csv; charset=UTF-8"
    if output_format.startswith(("TSV", "TabSeparated")):
        return "text/tab-separated-values; charset=UTF-8"
    if output_format.startswith(("Native", "RowBinary", "Arrow", "Parquet", "ORC", "Avro")):
        return "application/octet-stream"
    return "text/plain; charset=UTF-8"


def exception_trailer(tag: str, error: bytes) -> bytes:
    """What ends a result that failed after its headers were sent; ``tag`` is in ``X-ClickHouse-Exception-Tag``."""
    return b"\r\n__exception__\r\n%b\r\n%b%d %b\r\n__exception__\r\n" % (tag.encode(), error, len(error), tag.encode())


@dataclass(frozen=True, slots=True)
class Statistics:
    """What one statement read and wrote, as the library reports it."""

    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    result_rows: int = 0
    result_bytes: int = 0
    elapsed_ns: int = 0

    def summary(self) -> str:
        """The value of ``X-ClickHouse-Summary``: numbers as strings, as ClickHouse has them."""
        fields = {name: str(getattr(self, name)) for name in self.__slots__}
        return json.dumps(fields | {"total_rows_to_read": str(self.read_rows)})
