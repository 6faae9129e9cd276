"""What is known of an operation of a database client, whichever library sends it (redis, SQLAlchemy).

Most of what is written about an operation repeats: its name, text, server and how it ended. All of that is encoded once
for each combination, with the cell of its metric beside it. Messages of errors are left out, for databases repeat in
them what they were sent. https://opentelemetry.io/docs/specs/semconv/database/database-spans/
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Generic, TypeVar

from opentelemetry.trace import SpanKind, StatusCode

from gnomon.context import SPAN_KEY, Context, attach, detach, with_span
from gnomon.integrations.telemetry import Known, Telemetry

log = logging.getLogger("gnomon.integrations")

CLIENT = SpanKind.CLIENT
# Of one memory. Texts are few where values are parameters; where they are not, these are the bounds.
MOST_KNOWN = 1024
LONGEST_REMEMBERED = 4096

How = TypeVar("How")
"""What a library has to know beside an operation's text to describe it; hashable."""
Failure = tuple[str, str]
"""The database's code and the error's type; both empty when nothing failed."""
FINE: Failure = ("", "")


@dataclass(frozen=True, slots=True)
class Named(Known):
    """What repeats of an operation that ends in the same way, with the name of its span."""

    name: str


class Client:
    """What all operations of one library share.

    Args:
        telemetry: the pillars.
        name: of the scope.
    """

    def __init__(self, telemetry: Telemetry, name: str) -> None:
        attributes = telemetry.tracers.recording.attributes
        self.begin_span = telemetry.tracer(name).begin
        self.blocks, self.encode = attributes.blocks, attributes.encode
        self.observing = telemetry.histogram(
            "db.client.operation.duration", "Duration of database client operations.", unit="s"
        )


class Operations(Generic[How]):
    """Operations that are remembered together."""

    def __init__(self, client: Client) -> None:
        self.begin_span = client.begin_span
        self._client, self._known = client, client.blocks()

    def described(self, text: str, how: How) -> tuple[str, dict[str, Any], Mapping[str, Any]]:
        """The span's name, the labels that the metric has too, and the attributes that are the span's alone."""
        raise NotImplementedError

    def code(self, error: BaseException) -> str:
        """The database's own code of an error; empty when there is none."""
        raise NotImplementedError

    def known(self, text: str, how: How, failure: Failure = FINE) -> Named:
        """What is known of such operations; worked out the first time."""
        found: Named | None = self._known.get((text, how, failure))
        return self._learnt(text, how, failure) if found is None else found

    def _learnt(self, text: str, how: How, failure: Failure) -> Named:
        name, labels, more = self.described(text, how)
        code, error = failure
        if code:
            labels["db.response.status_code"] = code
        if error:
            labels["error.type"] = error
        pairs = {**labels, **more}
        known = Named((self._client.encode(pairs), pairs), self._client.observing(**labels), name)
        if len(text) <= LONGEST_REMEMBERED:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[text, how, failure] = known
        return known


class Operation(Generic[How]):
    """One operation on its way; its span is current until it ends.

    Args:
        operations: knows what repeats of it.
        context: the caller's.
        text, how: as `Operations` takes them.
        batch: how many operations it stands for; 0 or 1: itself.
    """

    __slots__ = ("_fine", "_how", "_operations", "_span", "_started_s", "_text", "_token")

    def __init__(self, operations: Operations[How], context: Context, text: str, how: How, batch: int) -> None:
        self._operations, self._text, self._how = operations, text, how
        fine = self._fine = operations.known(text, how)
        attributes = {"db.operation.batch.size": batch} if batch > 1 else None
        self._started_s = perf_counter()
        self._span = operations.begin_span(fine.name, CLIENT, context.get(SPAN_KEY), attributes, None, context)
        self._token = attach(with_span(self._span, context))

    def end(self, error: BaseException | None) -> None:
        """Write down how it went. Never raises."""
        try:
            detach(self._token)
            known, span, code, kind = self._fine, self._span, "", ""
            if error is not None:
                code, kind = self._operations.code(error), type(error).__qualname__
                known = self._operations.known(self._text, self._how, (code, kind))
            span.block = known.block
            known.observe(perf_counter() - self._started_s)
            if isinstance(error, Exception):
                span.set_status(StatusCode.ERROR, f"{kind}: {code}" if code else kind)
            span.end()
        except Exception:
            log.exception("A database operation could not be written down")


def server_labels(system: str, namespace: str | None, address: str | None, port: int | None) -> dict[str, Any]:
    """Whom a client speaks to, in the conventions' names; what is empty is left out."""
    labels: dict[str, Any] = {"db.system.name": system}
    if namespace:
        labels["db.namespace"] = namespace
    if address:
        labels["server.address"] = address
    if port:
        labels["server.port"] = port
    return labels
