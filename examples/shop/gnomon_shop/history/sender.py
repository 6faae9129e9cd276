"""Request bodies to an OTLP/HTTP endpoint: a few connections, gzip, patience where the server asks for it."""

import gzip
import http.client
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

_RETRIED = (429, 502, 503, 504)  # the OTLP specification's list
_PATIENCE_S = 120.0  # a restart of the server takes some seconds; two minutes without an answer is a server gone
_ANSWER_S = 60.0
_GZIP_LEVEL = 1  # these bodies shrink twentyfold at any level; the first costs the least


class RefusedError(Exception):
    """The server will not take a request however often it is sent."""


@dataclass(frozen=True)
class Body:
    """One request: its place in the whole sequence, what it holds and how much of it."""

    number: int
    signal: str  # traces | metrics | logs
    records: int
    content: bytes


@dataclass
class Tally:
    """What has become of it so far."""

    records: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    messages: set[str] = field(default_factory=set)
    requests: int = 0
    retries: int = 0
    raw_bytes: int = 0
    sent_bytes: int = 0


class Acknowledged:
    """The numbers of requests that were acknowledged, in a file, so that an interrupted run goes on where it was."""

    def __init__(self, path: Path | None, key: str) -> None:
        self.numbers: set[int] = set()
        self._file = None
        if path:
            lines = path.read_text().split("\n")[:-1] if path.exists() else []
            if lines and lines[0] == key:
                self.numbers = {int(line) for line in lines[1:]}
            self._file = path.open("a" if self.numbers else "w", buffering=1)
            if not self.numbers:
                self._file.write(f"{key}\n")

    def add(self, number: int) -> None:
        """Remember one."""
        if self._file:
            self._file.write(f"{number}\n")

    def close(self) -> None:
        """Nothing more is coming."""
        if self._file:
            self._file.close()


class Sender:
    """Sends bodies in about the order in which they are given; `put` waits when too many are waiting already."""

    def __init__(
        self, url: str, token: str, acknowledged: Acknowledged, connections: int = 3, waiting: int = 4
    ) -> None:
        self.tally = Tally()
        self._url = urlsplit(url if "//" in url else f"http://{url}")
        self._headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._acknowledged = acknowledged
        self._queue: queue.Queue[Body | None] = queue.Queue(waiting)
        self._lock = threading.Lock()
        self._failure: Exception | None = None
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(connections)]
        for thread in self._threads:
            thread.start()

    def put(self, body: Body) -> None:
        """Hand over a request; raises what a request before it met."""
        if body.number in self._acknowledged.numbers:
            return
        while True:
            if self._failure:
                raise self._failure
            with suppress(queue.Full):
                self._queue.put(body, timeout=0.2)
                break

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for everything that was handed over; after an exception only for what is on the wire."""
        if kind:
            self._stopped.set()
        else:
            self._finish()
        for thread in self._threads:
            thread.join()
        self._acknowledged.close()
        if self._failure and not kind:
            raise self._failure

    def _finish(self) -> None:
        for _ in self._threads:
            while not self._failure:
                with suppress(queue.Full):
                    self._queue.put(None, timeout=0.2)
                    break

    def _work(self) -> None:
        connection = self._connect()
        while not (self._stopped.is_set() or self._failure):
            try:
                body = self._queue.get(timeout=0.2)
            except queue.Empty:
                continue
            if body is None:
                break
            try:
                self._send(connection, body)
            except Exception as error:  # noqa: BLE001 - a thread has nobody to raise to; `put` raises it
                self._failure = error
        connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
        return kind(self._url.hostname or "127.0.0.1", self._url.port, timeout=_ANSWER_S)

    def _send(self, connection: http.client.HTTPConnection, body: Body) -> None:
        content = gzip.compress(body.content, _GZIP_LEVEL)
        path, began, wait = f"{self._url.path.rstrip('/')}/v1/{body.signal}", time.monotonic(), 0.5
        while not self._stopped.is_set():
            status, said, asked = self._exchange(connection, path, content)
            if status == http.HTTPStatus.OK:
                self._count(body, len(content), said)
                return
            if status and status not in _RETRIED:
                raise RefusedError(f"{path} answered {status}: {said[:500].decode(errors='replace')}")
            if time.monotonic() - began > _PATIENCE_S:
                raise RefusedError(
                    f"{path} was not taken for {_PATIENCE_S:.0f} s: {said[:500].decode(errors='replace')}"
                )
            with self._lock:
                self.tally.retries += 1
            self._stopped.wait(asked if asked is not None else wait)
            wait = min(2 * wait, 10.0)

    def _exchange(
        self, connection: http.client.HTTPConnection, path: str, content: bytes
    ) -> tuple[int, bytes, float | None]:
        """Status (0 when there was no answer), what was said, and the seconds that `Retry-After` asks for."""
        try:
            connection.request("POST", path, content, self._headers)
            answer = connection.getresponse()
            return answer.status, answer.read(), _seconds(answer.getheader("Retry-After"))
        except (OSError, http.client.HTTPException) as error:
            connection.close()  # the next request opens it again
            return 0, f"{type(error).__name__}: {error}".encode(), None

    def _count(self, body: Body, sent: int, said: bytes) -> None:
        rejected, message = _PARTIAL[body.signal](said)
        with self._lock:
            self._acknowledged.add(body.number)
            tally = self.tally
            tally.requests += 1
            tally.records[body.signal] += body.records - rejected
            tally.raw_bytes += len(body.content)
            tally.sent_bytes += sent
            if rejected:
                tally.rejected[body.signal] += rejected
            if message:
                tally.messages.add(message)


def _traces(said: bytes) -> tuple[int, str]:
    partial = ExportTraceServiceResponse.FromString(said).partial_success
    return partial.rejected_spans, partial.error_message


def _metrics(said: bytes) -> tuple[int, str]:
    partial = ExportMetricsServiceResponse.FromString(said).partial_success
    return partial.rejected_data_points, partial.error_message


def _logs(said: bytes) -> tuple[int, str]:
    partial = ExportLogsServiceResponse.FromString(said).partial_success
    return partial.rejected_log_records, partial.error_message


_PARTIAL: dict[str, Callable[[bytes], tuple[int, str]]] = {"traces": _traces, "metrics": _metrics, "logs": _logs}


def _seconds(header: str | None) -> float | None:
    """`Retry-After`: seconds or a date."""
    if not header:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
