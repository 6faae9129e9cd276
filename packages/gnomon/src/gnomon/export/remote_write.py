"""Prometheus remote write: what waits to be written, and who carries it.

https://prometheus.io/docs/specs/remote_write_spec/
"""

from collections import deque
from collections.abc import Sequence

from gnomon.errors import ExportError
from gnomon.export.http import HttpSender
from gnomon.export.outlet import Batch, Outlet, Reason, Signal
from gnomon.export.sender import Answer, Verdict
from gnomon.wire.metrics import OURS

HEADERS = {"content-encoding": "snappy", "x-prometheus-remote-write-version": "0.1.0"}
MOST_SAMPLES = 2000  # in a request: as many as Prometheus itself sends


class Snapshots(Outlet):
    """Collections that wait to be written, in order; the oldest give way to new ones.

    No request spans two collections: a series is in it once, so halves of one that is too large may go in any order.
    All this happens on the pump's thread.

    Args:
        most_bytes: how much may wait.
    """

    def __init__(self, most_bytes: int) -> None:
        self._requests: deque[Sequence[bytes]] = deque()
        super().__init__(Signal.METRICS, most_bytes=most_bytes, batch=MOST_SAMPLES)

    def keep(self, series: Sequence[bytes]) -> None:
        """Queue a collection: a TimeSeries for each sample, with tag and length."""
        for first in range(0, len(series), self.batch):
            request = series[first : first + self.batch]
            self._requests.append(request)
            self.waiting += len(request)
            self.waiting_bytes += sum(map(len, request))
        while self.waiting_bytes > self.most_bytes:
            self.counts.drop(len(self._oldest()), Reason.QUEUE_FULL)

    def take(self) -> Batch | None:
        """The oldest request, or None when nothing waits."""
        return Batch([(OURS, list(self._oldest()))]) if self._requests else None

    def _oldest(self) -> Sequence[bytes]:
        request = self._requests.popleft()
        self.waiting -= len(request)
        self.waiting_bytes -= sum(map(len, request))
        return request

    def forget(self) -> None:
        """Drop what a forked child has inherited: its parent writes it."""
        self._requests.clear()
        super().forget()


def request(_: Outlet, batch: Batch) -> bytes:
    """A WriteRequest."""
    return b"".join(series for _, records in batch.groups for series in records)


class RemoteWriteSender:
    """Carries write requests, packed.

    Args:
        http: to the receiver, with `HEADERS` among its headers; it does not compress.

    Attributes:
        encoded_bytes, packed_bytes: of all requests, before and after compression.

    Raises:
        ExportError: the library that packs is missing.
    """

    def __init__(self, http: HttpSender) -> None:
        try:
            from cramjam import snappy  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise ExportError(
                "metrics.remote_write needs cramjam, for snappy", hint="Run `pip install gnomon[remote-write]`"
            ) from error
        self._http, self._pack = http, snappy.compress_raw
        self.encoded_bytes = self.packed_bytes = 0

    def send(self, signal: Signal, body: bytes, timeout_s: float) -> Answer:
        """One POST."""
        packed = bytes(self._pack(body))
        self.encoded_bytes += len(body)
        self.packed_bytes += len(packed)
        return _judged(self._http.send(signal, packed, timeout_s))

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def abandon(self) -> None:
        """Forget the connection and the counts: they are the parent's."""
        self._http.abandon()
        self.encoded_bytes = self.packed_bytes = 0


def _judged(answer: Answer) -> Answer:
    """By this protocol's rules: any 5xx may be tried again, not some as with OTLP; and there is no partial success."""
    if answer.verdict is Verdict.TAKEN:
        return Answer(Verdict.TAKEN)
    again = answer.verdict is Verdict.NEVER and answer.why.startswith("HTTP 5")
    return Answer(Verdict.AGAIN if again else answer.verdict, f"remote write: {answer.why}", answer.after_s)
