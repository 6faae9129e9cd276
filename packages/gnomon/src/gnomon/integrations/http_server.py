"""What is known of a served request, whatever protocol brought it here (ASGI or WSGI).

Most of what is written about a request repeats: its method, route, status, scheme and host. All of that is encoded
once for each combination, with the cells of its metrics beside it, and found by one look-up.
https://opentelemetry.io/docs/specs/semconv/http/http-spans/
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gnomon.integrations.telemetry import Measure, Telemetry
from gnomon.wire.attributes import KeyValues
from gnomon.wire.logs import ATTRIBUTES

# Combinations of method, route, status, scheme, host and version. A client can invent hosts and methods; the service
# has few routes.
MOST_KNOWN = 4096
# Characters of method and host together; a name of DNS has 253. What is longer is somebody's play, and not remembered.
LONGEST_KNOWN = 300
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"})
OTHER_METHOD = "_OTHER"
SIZE_BOUNDS_BYTES = (0, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000)
SERVER_ERROR = 500
# nginx's number for a client that left before it was answered; no server ever sends it.
CLIENT_GONE = 499
CORRELATION, REQUEST_ID = b"x-correlation-id", b"x-request-id"
# A caller's correlation id stands in our logs and goes back in the answer: short, and printable.
LONGEST_CORRELATION = 128

Key = tuple[str, str, int, str, str, str, str]
"""method, route, status, scheme, host, HTTP version, error type."""


@dataclass(frozen=True, slots=True)
class Known:
    """All that repeats of one kind of request.

    Attributes:
        name: of the span.
        message: of the access log's line: by the template, so that lines of one kind are alike; the path is beside it.
        block: the attributes, encoded for a span, and what they are.
        logged: the same, encoded for a log record.
        duration: seconds until the last byte of the response.
        request_size, response_size: bytes of the bodies.
    """

    name: str
    message: str
    block: tuple[bytes, Mapping[str, Any]]
    logged: bytes
    duration: Measure
    request_size: Measure
    response_size: Measure


class Served:
    """Everything known of the requests of one application.

    Args:
        telemetry: the pillars.
    """

    def __init__(self, telemetry: Telemetry) -> None:
        self._attributes = telemetry.tracers.recording.attributes
        self._known: dict[Key, Known] = self._attributes.blocks()
        self._duration = telemetry.histogram(
            "http.server.request.duration", "Duration of HTTP server requests.", unit="s"
        )
        self._request_size = telemetry.histogram(
            "http.server.request.body.size", "Size of HTTP server request bodies.", unit="By", bounds=SIZE_BOUNDS_BYTES
        )
        self._response_size = telemetry.histogram(
            "http.server.response.body.size", "Size of HTTP server response bodies.", unit="By",
            bounds=SIZE_BOUNDS_BYTES,
        )  # fmt: skip
        self._active = telemetry.up_down_counter(
            "http.server.active_requests", "Number of active HTTP server requests.",
            ("http.request.method", "url.scheme"), unit="{request}",
        )  # fmt: skip

    def known(self, key: Key) -> Known:
        """What is known of such a request; worked out the first time."""
        found = self._known.get(key)
        return self._learnt(key) if found is None else found

    def active(self, method: str, scheme: str) -> Measure:
        """What adds to the requests in progress."""
        shown = method if method in METHODS else OTHER_METHOD
        return self._active(**{"http.request.method": shown, "url.scheme": scheme})

    def _learnt(self, key: Key) -> Known:
        method, route, status, scheme, host, version, error = key
        shown = method if method in METHODS else OTHER_METHOD
        labels: dict[str, Any] = {"http.request.method": shown, "url.scheme": scheme}
        if route:
            labels["http.route"] = route
        labels["http.response.status_code"] = status
        if version:
            labels["network.protocol.version"] = version
        if error:
            labels["error.type"] = error
        pairs = dict(labels)
        if shown is not method:
            pairs["http.request.method_original"] = method
        address, port = host_and_port(host)
        if address:
            pairs["server.address"] = address
        if port:
            pairs["server.port"] = port
        verb = "HTTP" if shown is OTHER_METHOD else method
        name = f"{verb} {route}" if route else verb
        known = Known(
            name,
            f"{name} {status}",
            (self._attributes.encode(pairs), pairs),
            KeyValues(ATTRIBUTES, self._attributes.mask).encode(pairs),
            self._duration(**labels),
            self._request_size(**labels),
            self._response_size(**labels),
        )
        if len(method) + len(host) <= LONGEST_KNOWN:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[key] = known
        return known


def host_and_port(host: str) -> tuple[str, int | None]:
    """A Host header in its parts; a port that is none is left away."""
    address, colon, port = host.rpartition(":")
    if not colon or "]" in port:  # an IPv6 address without a port ends in a bracket
        return host, None
    return address, int(port) if port.isascii() and port.isdigit() and len(port) < 6 else None  # noqa: PLR2004 - 65535


def correlation_id(headers: Mapping[bytes, bytes]) -> str:
    """The caller's, if it is one that may stand in logs."""
    given = headers.get(CORRELATION) or headers.get(REQUEST_ID)
    if not given or len(given) > LONGEST_CORRELATION or not given.isascii():
        return ""
    text = given.decode()
    return text if text.isprintable() else ""


def excluding(patterns: Iterable[str]) -> Callable[[str], object] | None:
    """Whether a path is left alone: any of the patterns (regular expressions) is found in it."""
    joined = "|".join(f"(?:{pattern})" for pattern in patterns)
    return re.compile(joined).search if joined else None
