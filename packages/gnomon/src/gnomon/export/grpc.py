"""OTLP over gRPC, on grpcio: the extra `gnomon[grpc]`.

https://opentelemetry.io/docs/specs/otlp/#otlpgrpc
"""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gnomon.context import Context, attach, detach
from gnomon.errors import ExportError
from gnomon.export.http import LONGEST_WAIT_S
from gnomon.export.outlet import Signal
from gnomon.export.partial import fields, partial_success
from gnomon.export.sender import Answer, Verdict

METHODS = {
    signal: f"/opentelemetry.proto.collector.{package}.v1.{service}/Export"
    for signal, package, service in (
        (Signal.TRACES, "trace", "TraceService"),
        (Signal.METRICS, "metrics", "MetricsService"),
        (Signal.LOGS, "logs", "LogsService"),
    )
}
# What the specification calls retryable; RESOURCE_EXHAUSTED is so only where the receiver says when.
RETRYABLE = {"CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"}
RETRY_INFO = b"google.rpc.RetryInfo"
OPTIONS = (
    ("grpc.primary_user_agent", "gnomon-python"),
    ("grpc.max_send_message_length", -1),  # the receiver says what is too large
    # Two minutes by default: too long to notice that a receiver is back, since we wait between attempts ourselves.
    ("grpc.max_reconnect_backoff_ms", 10_000),
)
# In a forked child the parent's channel can be neither used nor closed, and letting go of it is to close it.
_abandoned: list[Any] = []


class GrpcSender:
    """Sends to one host.

    Args:
        target: `host:port`.
        secure: TLS.
        headers: sent along as metadata (tokens).
        compress: gzip bodies.
        certificate: PEM file of authorities, beside the system's.
        client_certificate, client_key: PEM files, where the receiver asks who we are.

    Raises:
        ExportError: grpcio is missing, or a file cannot be read.
    """

    def __init__(
        self,
        target: str,
        *,
        secure: bool = False,
        headers: Mapping[str, str] | None = None,
        compress: bool = False,
        certificate: str | None = None,
        client_certificate: str | None = None,
        client_key: str | None = None,
    ) -> None:
        try:
            import grpc  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise ExportError(
                f"OTLP over gRPC to {target} needs grpcio", hint="Run `pip install gnomon[grpc]`, or use http/protobuf"
            ) from error
        self._grpc, self._target = grpc, target
        self._metadata = tuple((name.lower(), value) for name, value in (headers or {}).items())
        self._compression = grpc.Compression.Gzip if compress else grpc.Compression.NoCompression
        self._credentials = _credentials(certificate, client_certificate, client_key) if secure else None
        self._channel: Any = None
        self._methods: dict[Signal, Any] = {}

    def send(self, signal: Signal, body: bytes, timeout_s: float) -> Answer:
        """One call."""
        # No instrumentation of this process may follow our own calls, nor send our span's context along.
        token = attach(Context({"suppress_instrumentation": True}))
        try:
            answer = self._method(signal)(body, timeout=timeout_s, metadata=self._metadata)
        except self._grpc.RpcError as error:
            return _judged(error)
        except ValueError as error:  # a channel that is closed, a header that no metadata can carry
            self.close()
            return Answer(Verdict.AGAIN, f"{type(error).__name__}: {error}")
        finally:
            detach(token)
        rejected, why = partial_success(answer)
        return Answer(Verdict.TAKEN, why, rejected=rejected)

    def _method(self, signal: Signal) -> Any:
        method = self._methods.get(signal)
        if method is None:
            if self._channel is None:
                self._channel = self._opened()
            method = self._methods[signal] = self._channel.unary_unary(METHODS[signal])  # bytes in, bytes out
        return method

    def _opened(self) -> Any:
        grpc = self._grpc
        if self._credentials is None:
            return grpc.insecure_channel(self._target, OPTIONS, self._compression)
        return grpc.secure_channel(self._target, self._credentials, OPTIONS, self._compression)

    def close(self) -> None:
        """Close the channel."""
        if self._channel is not None:
            self._channel.close()
        self._channel, self._methods = None, {}

    def abandon(self) -> None:
        """Forget the channel: the parent still uses it."""
        if self._channel is not None:
            _abandoned.append((self._channel, self._methods))
        self._channel, self._methods = None, {}


def _credentials(certificate: str | None, client_certificate: str | None, client_key: str | None) -> Any:
    import grpc  # noqa: PLC0415 - an extra

    authorities = _read(certificate)
    if authorities is not None:  # what is given to grpc takes the place of all others
        system = ssl.get_default_verify_paths().cafile
        authorities += b"\n" + (_read(system) or b"")
    return grpc.ssl_channel_credentials(authorities, _read(client_key), _read(client_certificate))


def _read(path: str | None) -> bytes | None:
    if not path:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ExportError(f"TLS cannot be set up from {path}: {error}", hint="It is to be a PEM file") from error


def _judged(error: Any) -> Answer:
    """What a status means, and how long the receiver asked us to wait."""
    code, details = error.code().name, error.details() or ""
    why = f"gRPC {code}: {details[:300]}"
    after_s = next(
        (_retry_after_s(value) for key, value in error.trailing_metadata() or () if key == "grpc-status-details-bin"),
        None,
    )
    if code in RETRYABLE or (code == "RESOURCE_EXHAUSTED" and after_s is not None):
        return Answer(Verdict.AGAIN, why, after_s)
    # No status of its own: the words of grpc's C core, which is also Python's, and of grpc-go.
    too_large = code == "RESOURCE_EXHAUSTED" and "larger than max" in details
    return Answer(Verdict.TOO_LARGE if too_large else Verdict.NEVER, why)


def _retry_after_s(status: bytes) -> float | None:
    """The delay of a RetryInfo among the details of a google.rpc.Status; None for none, and for what is no Status.

    message Status { int32 code = 1; string message = 2; repeated google.protobuf.Any details = 3; }
    message RetryInfo { google.protobuf.Duration retry_delay = 1; }
    """
    try:
        for number, detail in fields(status):
            packed = dict(fields(detail)) if number == 3 else {}  # noqa: PLR2004 - `details`
            if RETRY_INFO in packed.get(1, b""):
                delay = dict(fields(dict(fields(packed.get(2, b""))).get(1, b"")))
                return min(float(delay.get(1, 0) + delay.get(2, 0) / 1e9), LONGEST_WAIT_S)
    except (IndexError, ValueError, TypeError):
        return None
    return None
