"""What OTLP over HTTP and over gRPC share: bytes in, durable rows, the protocol's answer out.

Source: https://opentelemetry.io/docs/specs/otlp/ (partial success, failures, retryable answers).
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum

import orjson

from gnomon_server.decode.otlp.context import DecodeContext
from gnomon_server.decode.otlp.from_json import to_protobuf
from gnomon_server.decode.otlp.logs import decode_logs
from gnomon_server.decode.otlp.metrics import decode_metrics
from gnomon_server.decode.otlp.traces import decode_traces
from gnomon_server.errors import GnomonError
from gnomon_server.model.batch import Batch, Rejections
from gnomon_server.receive.edge import Sink, count_stored
from gnomon_server.selfmon.clock import Clock
from gnomon_server.selfmon.registry import Registry


class Signal(StrEnum):
    """The three signals, as they stand in OTLP's paths."""

    TRACES = "traces"
    METRICS = "metrics"
    LOGS = "logs"


_REJECTED = {Signal.TRACES: "rejectedSpans", Signal.METRICS: "rejectedDataPoints", Signal.LOGS: "rejectedLogRecords"}


class OtlpReceiver:
    """Decodes in one thread of its own (upb, NumPy and Arrow do the work), so that the event loop only moves bytes.

    One thread, because decoding holds the interpreter's lock for most of its time, and the caches of resources and
    series then serve every request.
    """

    def __init__(
        self, sink: Sink, make_context: Callable[[], DecodeContext], future_ns: int, clock: Clock, registry: Registry
    ) -> None:
        self._sink = sink
        self._make_context = make_context
        self._future_ns = future_ns
        self._clock = clock
        self._registry = registry
        self._local = threading.local()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="otlp-decode")

    def close(self) -> None:
        """End the decoding thread."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def take(
        self, signal: Signal, body: bytes, tenant: str, protocol: str, *, is_json: bool = False
    ) -> Rejections:
        """Store one request; returns what was refused of it. GnomonError when none of it was stored."""
        labels = {"signal": signal.value, "protocol": protocol}
        self._registry.count("gnomon_received_bytes_total", len(body), **labels)
        try:
            batch = await asyncio.get_running_loop().run_in_executor(
                self._pool, self._decode, signal, body, tenant, is_json
            )
            await self._sink.submit(batch)
        except GnomonError as error:
            self._registry.count("gnomon_refused_requests_total", signal=signal.value, reason=error.code)
            raise
        count_stored(self._registry, batch, signal.value, protocol)
        return batch.rejections

    def _decode(self, signal: Signal, body: bytes, tenant: str, is_json: bool) -> Batch:
        if not hasattr(self._local, "context"):
            self._local.context = self._make_context()
        context: DecodeContext = self._local.context
        now_ns = self._clock.now_ns()
        context.latest_ns = now_ns + self._future_ns
        if is_json:
            body = to_protobuf(body, signal.value)
        match signal:
            case Signal.TRACES:
                return decode_traces(body, tenant, context)
            case Signal.METRICS:
                return decode_metrics(body, tenant, context)
            case Signal.LOGS:
                return decode_logs(body, tenant, context, now_ns)


def protobuf_response(rejections: Rejections) -> bytes:
    """ExportXServiceResponse: `partial_success` (field 1) with the count (1) and a message (2); empty when all is well.

    The three signals' responses have the same field numbers.
    """
    message = rejections.text().encode()
    if not message:
        return b""
    count = rejections.total_refused
    partial = (b"\x08" + _varint(count) if count else b"") + b"\x12" + _varint(len(message)) + message
    return b"\x0a" + _varint(len(partial)) + partial


def json_response(signal: Signal, rejections: Rejections) -> bytes:
    """The same in OTLP/JSON, where 64-bit integers are strings."""
    message = rejections.text()
    if not message:
        return b"{}"
    count = {_REJECTED[signal]: str(rejections.total_refused)} if rejections.total_refused else {}
    return orjson.dumps({"partialSuccess": {**count, "errorMessage": message}})


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:  # noqa: PLR2004  (seven bits a byte)
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
