"""The limits of the HTTP edge, each with its unit in its name and its default's reason."""

from pydantic import BaseModel, ConfigDict, Field, model_validator

_MIB = 1024 * 1024


class HttpLimits(BaseModel):
    """Deadlines and ceilings of one listening HTTP server."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_connections: int = Field(default=2_000, ge=1)
    """Past it the connection that has waited longest without a complete request head is closed for the new one."""
    max_header_bytes: int = Field(default=32_768, ge=1_024)
    """Request line and headers together; more is answered 431. Twice what browsers and proxies commonly send."""
    header_deadline_s: float = Field(default=10.0, gt=0)
    """From the first byte of a request to the end of its headers, and for a TLS handshake: the slow loris's share."""
    body_grace_s: float = Field(default=10.0, gt=0)
    """How long a body may take before `body_min_bytes_per_s` is asked of it."""
    body_min_bytes_per_s: float = Field(default=1_000.0, gt=0)
    """A modem's pace (8 kbit/s); a body that drips slower is answered 408."""
    body_deadline_s: float = Field(default=120.0, gt=0)
    """From the headers to the end of the body, at any pace. Exporters give up after 10 s by default."""
    idle_timeout_s: float = Field(default=75.0, gt=0)
    """Between requests. Longer than the 60 s at which many SDKs export metrics, so that they keep their connection."""
    write_stall_s: float = Field(default=30.0, gt=0)
    """A client that reads nothing of its answer for so long is cut."""


class BodyLimits(BaseModel):
    """How large one request may be, and all requests in flight together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_request_bytes: int = Field(default=20 * _MIB, ge=1)
    """One body as sent. The OpenTelemetry Collector's own receiver takes 20 MiB."""
    max_decoded_bytes: int = Field(default=32 * _MIB, ge=1)
    """One body decompressed."""
    max_in_flight_bytes: int = Field(default=256 * _MIB, ge=1)
    """All bodies, sent and decoded, that are in memory at once; past it senders are told to come again."""
    retry_after_s: float = Field(default=1.0, gt=0)
    """What they are told."""

    @model_validator(mode="after")
    def _one_fits(self) -> "BodyLimits":
        if self.max_in_flight_bytes < self.max_request_bytes + self.max_decoded_bytes:
            raise ValueError("max_in_flight_bytes must hold one body: max_request_bytes + max_decoded_bytes")
        return self
