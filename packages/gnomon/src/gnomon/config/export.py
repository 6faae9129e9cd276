"""Where telemetry goes: one place for all signals, and what a signal has of its own."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from gnomon.config.fields import Bytes, Count, Headers, Maybe, Part, Seconds

Protocol = Literal["http/protobuf", "grpc", "console", "none"]
Compression = Literal["auto", "none", "gzip"]


def _endpoint(value: str) -> str:
    parts = urlsplit(value if "://" in value else f"//{value}")
    if parts.scheme not in ("http", "https", "") or not parts.hostname:
        raise ValueError("it should be http://HOST:PORT, https://HOST:PORT, or HOST:PORT")
    if parts.username or parts.password:
        raise ValueError("credentials belong into export.headers: addresses are written to logs")
    _ = parts.port  # ValueError of its own, when it is out of range
    return value


Endpoint = Annotated[str, AfterValidator(_endpoint)]
Timeout = Annotated[Seconds, Field(ge=0.1)]  # nothing answers faster over a network; see the OTEL_* variable's unit


class SignalExport(Part):
    """What one signal has of its own; what is not set here is the same for all."""

    endpoint: Maybe[Endpoint] = Field(None, description="Address of this signal alone, used as it is, path included.")
    protocol: Protocol | None = Field(None, description="Protocol of this signal alone.")
    headers: Headers = Field({}, description="Headers of this signal, beside those of all.")
    compression: Compression | None = Field(None, description="Compression of this signal alone.")
    timeout_s: Timeout | None = Field(None, description="Deadline of this signal alone.")
    certificate: Maybe[str] = Field(None, description="Authorities of this signal's receiver alone.")
    client_certificate: Maybe[str] = Field(None, description="Client certificate of this signal alone.")
    client_key: Maybe[str] = Field(None, description="Client key of this signal alone.")
    insecure: bool | None = Field(None, description="Plain text for this signal's `HOST:PORT`.")
    queue_size: Count | None = Field(None, description="Records of this signal that may wait.")
    batch_size: Count | None = Field(None, description="Records of this signal in one request.")
    schedule_s: Seconds | None = Field(None, description="How often this signal is sent.")
    retry_max_elapsed_s: Seconds | None = Field(None, description="How long a batch of this signal is tried.")


class ExportSettings(Part):
    """The receiver, the way to it, and what waits while it is away."""

    endpoint: Maybe[Endpoint] = Field(
        None,
        description="Receiver of OTLP. None: http://localhost:4318, or :4317 over gRPC, as everywhere in the field.",
    )
    protocol: Protocol = Field(
        "http/protobuf",
        description="How it is sent. HTTP needs no further library; `console` prints, `none` sends nothing.",
    )
    headers: Headers = Field({}, description="Sent with every request (secret: better `export.headers_file`).")
    compression: Compression = Field(
        "auto", description="`auto` compresses except to this very machine, where bytes are cheaper than CPU."
    )
    timeout_s: Timeout = Field(10.0, description="Deadline of one request; ten seconds is OpenTelemetry's default.")
    certificate: Maybe[str] = Field(None, description="PEM file: authorities of the receiver, beside the system's.")
    client_certificate: Maybe[str] = Field(None, description="PEM file: our certificate, where the receiver asks.")
    client_key: Maybe[str] = Field(None, description="PEM file: its private key.")
    insecure: bool = Field(
        default=False, description="Plain text where the endpoint is `HOST:PORT`; a scheme goes before it."
    )
    queue_size: Count = Field(
        20_000,
        description="Records of a signal that may wait: ten seconds at 2,000 a second; then the newest are dropped.",
    )
    queue_bytes: Bytes = Field(
        32 << 20, description="Encoded bytes that may wait, all signals: what a small container can spare."
    )
    batch_size: Count = Field(2048, description="Records in one request: some 600 KB, far under a receiver's limit.")
    schedule_s: Seconds = Field(1.0, description="How often is sent. A second keeps consoles live and wakes seldom.")
    retry_max_elapsed_s: Seconds = Field(
        300.0, description="How long a batch is tried: a receiver's restart, with room."
    )
    spool_dir: Maybe[str] = Field(
        None, description="Directory for what cannot be sent. None: memory alone, and a host's disk is left in peace."
    )
    spool_bytes: Bytes = Field(256 << 20, description="How large that directory may grow; then the oldest go.")
    shutdown_timeout_s: Seconds = Field(
        5.0, description="How long the end of the process may wait for queues: half of Docker's grace of ten seconds."
    )
    traces: SignalExport = Field(default=SignalExport(), description="What differs for traces.")
    metrics: SignalExport = Field(default=SignalExport(), description="What differs for metrics.")
    logs: SignalExport = Field(default=SignalExport(), description="What differs for logs.")
