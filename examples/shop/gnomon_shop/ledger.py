"""What truly happened, written by each process into `DIR/ledger/<service>-<pid>.jsonl`; independent of any SDK.

One JSON object a line, appended by one unbuffered write, so that `kill -9` loses nothing that was written. Three kinds:

- operation: `{"op", "parent", "request", "service", "version", "instance", "name", "kind", "peer", "start", "end",
  "ok", "status", "trace", "span"}`; ids are hexadecimal, times nanoseconds, `request` is the root operation's id.
  `ok` is what the conventions call it: an HTTP server fails from 500 on, an HTTP client from 400 on.
- fact: `{"fact", "at", "user", "session", "cents", "order", "request", "trace", "service"}`.
- telemetry: `{"sdk", "made", "delivered", "lost", "at", "service", "instance"}`, cumulative per instance.

Who called whom travels in a header of its own, `x-shop-op: <request>-<op>`: the ledger's parentage does not rest on
the trace context whose fate it is to judge.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from secrets import token_hex
from time import time_ns as true_ns  # before `parts.clock` may put the process's clock off: the ledger's never is
from typing import Any

from opentelemetry import trace

from gnomon_shop.settings import Settings

HEADER, USER, SESSION = "x-shop-op", "x-user", "x-session"


@dataclass(slots=True)
class Operation:
    """A piece of work in progress; who does it sets `ok` and `status`, and `name` where it is known only later."""

    name: str
    kind: str
    peer: str
    op: str
    parent: str
    request: str
    start: int
    ok: bool = True
    status: str = "OK"
    trace: str = ""
    span: str = ""

    def spanned(self) -> None:
        """This operation is the current span's."""
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            self.trace, self.span = f"{context.trace_id:032x}", f"{context.span_id:016x}"

    def failed(self, status: str) -> None:
        """It went wrong, with this status."""
        self.ok, self.status = False, status


@dataclass(frozen=True, slots=True)
class _Context:
    """Where in the work of all processes this task stands, and for whom it works."""

    request: str = ""
    op: str = ""
    user: str = ""
    session: str = ""
    operation: Operation | None = None


class _Book:
    """The open file of this process."""

    def __init__(self) -> None:
        self.file = -1
        self.common: dict[str, str] = {}

    def write(self, line: dict[str, Any]) -> None:
        if self.file < 0:
            raise RuntimeError("the ledger is not open: call ledger.open(settings) first")
        os.write(self.file, json.dumps(line, separators=(",", ":")).encode() + b"\n")


_book = _Book()
_NOWHERE = _Context()
_context: ContextVar[_Context] = ContextVar("shop_ledger", default=_NOWHERE)


def open(settings: Settings) -> None:  # noqa: A001 - `ledger.open` is how it is read
    """Begin writing this process's file."""
    place = settings.dir / "ledger"
    place.mkdir(parents=True, exist_ok=True)
    name = f"{settings.service}-{os.getpid()}.jsonl"
    _book.file = os.open(place / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    _book.common = {"service": settings.service, "version": settings.version, "instance": settings.instance}


@contextmanager
def operation(name: str, kind: str, peer: str = "") -> Iterator[Operation]:
    """One operation, written when it ends; an exception that leaves it makes it a failed one.

    Args:
        name: the route template (`GET /api/products/{id}`), the gRPC method, the statement, the queue.
        kind: server, client, internal, producer or consumer.
        peer: the service called, of client and producer operations.
    """
    above = _context.get()
    key = token_hex(8)
    op = Operation(name, kind, peer, key, above.op, above.request or key, true_ns())
    if kind != "client":  # a client span starts further in; whoever makes the call says when
        op.spanned()
    token = _context.set(replace(above, request=op.request, op=key, operation=op))
    try:
        yield op
    except BaseException as error:
        if op.ok and op.status == "OK":
            op.failed("cancelled" if type(error).__name__ == "CancelledError" else type(error).__name__)
        raise
    finally:
        _written(op)
        _reset(token, above)


def _written(op: Operation) -> None:
    _book.write(
        {
            "op": op.op,
            "parent": op.parent,
            "request": op.request,
            **_book.common,
            "name": op.name,
            "kind": op.kind,
            "peer": op.peer,
            "start": op.start,
            "end": true_ns(),
            "ok": op.ok,
            "status": op.status,
            "trace": op.trace,
            "span": op.span,
        }
    )


def _reset(token: Any, above: _Context) -> None:
    try:
        _context.reset(token)
    except ValueError:  # an asynchronous generator may be closed in another task's context
        _context.set(above)


def current() -> Operation | None:
    """The operation that this task is in."""
    return _context.get().operation


def visitor() -> tuple[str, str]:
    """The user and the session that this task works for; empty when it works for nobody."""
    at = _context.get()
    return at.user, at.session


def headers() -> dict[str, str]:
    """What to send along with a call or a message, so that the other side can go on from here."""
    at = _context.get()
    sent = {HEADER: f"{at.request}-{at.op}" if at.op else "", USER: at.user, SESSION: at.session}
    return {key: value for key, value in sent.items() if value}


@contextmanager
def continued(headers: Mapping[str, str]) -> Iterator[None]:
    """Go on from what a caller sent (keys in lower case); without `x-shop-op` the next operation is a root.

    The load begins a visitor's requests with `continued({"x-user": ..., "x-session": ...})`.
    """
    request, _, op = headers.get(HEADER, "").partition("-")
    at = _Context(request, op, headers.get(USER, ""), headers.get(SESSION, ""))
    above = _context.get()
    token = _context.set(at)
    try:
        yield
    finally:
        _reset(token, above)


def fact(name: str, *, cents: int = 0, order: str = "", user: str = "", session: str = "") -> None:
    """Something that matters to the business; for whom it was comes from the context unless said."""
    at = _context.get()
    context = trace.get_current_span().get_span_context()
    _book.write(
        {
            "fact": name,
            "at": true_ns(),
            "user": user or at.user,
            "session": session or at.session,
            "cents": cents,
            "order": order,
            "request": at.request,
            "trace": f"{context.trace_id:032x}" if context.is_valid else "",
            "service": _book.common["service"],
        }
    )


def telemetry(signal: str, *, made: int, delivered: int, lost: int) -> None:
    """How the telemetry of this process fares so far, of one signal: traces, metrics or logs."""
    counts = {"sdk": signal, "made": made, "delivered": delivered, "lost": lost, "at": true_ns()}
    _book.write(counts | {"service": _book.common["service"], "instance": _book.common["instance"]})


def read(directory: str | Path) -> Iterator[dict[str, Any]]:
    """Every line of a run's ledger, file by file, with the `process` (`<service>-<pid>`) that wrote it.

    A line cut short by the process's death is left out.
    """
    for path in sorted((Path(directory) / "ledger").glob("*.jsonl")):
        with path.open("rb") as lines:
            for line in lines:
                if line.endswith(b"\n"):
                    yield {**json.loads(line), "process": path.stem}
