"""The settings of Prometheus remote write."""

from typing import Annotated

from pydantic import AfterValidator, Field

from gnomon.config.export import Endpoint
from gnomon.config.fields import Bytes, Headers, Maybe, Part, Seconds


def _url(value: str) -> str:
    if "://" not in value:
        raise ValueError("it should be the whole address: http://prometheus:9090/api/v1/write")
    return value


class RemoteWriteSettings(Part):
    """Where samples are written, and what waits while the receiver is away."""

    url: Maybe[Annotated[Endpoint, AfterValidator(_url)]] = Field(
        None,
        description="Where samples are written: `http://prometheus:9090/api/v1/write`. None: nowhere. "
        "Deadline and certificates are those of `export.metrics`.",
    )
    headers: Headers = Field(
        {}, description="Sent with every write (secret: better `metrics.remote_write.headers_file`)."
    )
    interval_s: Seconds = Field(15.0, description="How often samples are written: Prometheus' usual pace.")
    buffer_bytes: Bytes = Field(
        16 << 20,
        description="Encoded samples that may wait: a quarter of an hour of 1,000 series; then the oldest go.",
    )
