"""Formats by their Content-Type, and the Accept header by the protocols that a job prefers.

Source: Prometheus config/config.go (ScrapeProtocols), scrape/scrape.go (acceptHeader), model/textparse/interface.go.
"""

from typing import Literal, Protocol

from gnomon_server.decode.exposition.exposition import Exposition
from gnomon_server.decode.exposition.protobuf import HistogramWish, ProtobufReader
from gnomon_server.decode.exposition.series import SeriesTable
from gnomon_server.decode.exposition.text import TextReader
from gnomon_server.errors import Unsupported

ScrapeProtocol = Literal[
    "PrometheusProto", "OpenMetricsText1.0.0", "OpenMetricsText0.0.1", "PrometheusText1.0.0", "PrometheusText0.0.4"
]
DEFAULT: tuple[ScrapeProtocol, ...] = (
    "OpenMetricsText1.0.0", "OpenMetricsText0.0.1", "PrometheusText1.0.0", "PrometheusText0.0.4",
)  # fmt: skip
WITH_NATIVE: tuple[ScrapeProtocol, ...] = ("PrometheusProto", *DEFAULT)
"""Native histograms are in the protobuf format alone."""

_ACCEPTED: dict[str, str] = {
    "PrometheusProto": "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
    ";escaping=allow-utf-8",
    "OpenMetricsText1.0.0": "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8",
    "OpenMetricsText0.0.1": "application/openmetrics-text;version=0.0.1",
    "PrometheusText1.0.0": "text/plain;version=1.0.0;escaping=allow-utf-8",
    "PrometheusText0.0.4": "text/plain;version=0.0.4",
}
_MEDIA = {
    "application/vnd.google.protobuf": "protobuf",
    "application/openmetrics-text": "openmetrics",
    "text/plain": "text",
}


def accept(protocols: tuple[ScrapeProtocol, ...]) -> str:
    """The Accept header: the first is wanted most; anything is better than nothing."""
    weight = len(_ACCEPTED) + 1
    wanted = [f"{_ACCEPTED[protocol]};q=0.{weight - place}" for place, protocol in enumerate(protocols)]
    return ",".join([*wanted, f"*/*;q=0.{weight - len(protocols)}"])


class Reader(Protocol):
    """Reads the bodies of one target in one format."""

    def read(self, body: bytes) -> Exposition:
        """What the body says. InvalidInput when it is not of this format."""
        ...


class Readers:
    """The readers of one target, by format, over one SeriesTable."""

    def __init__(self, table: SeriesTable, wish: HistogramWish, fallback: ScrapeProtocol | None) -> None:
        self._fallback = _ACCEPTED[fallback].partition(";")[0] if fallback else ""
        self._by_format: dict[str, Reader] = {
            "protobuf": ProtobufReader(table, wish),
            "openmetrics": TextReader(table, strict=True),
            "text": TextReader(table, strict=False),
        }

    def of(self, content_type: str) -> Reader:
        """The reader for a Content-Type, else for the job's fallback. Unsupported when there is neither."""
        media = content_type.partition(";")[0].strip().lower()
        found = _MEDIA.get(media) or _MEDIA.get(self._fallback)
        if found is None:
            said = f"the Content-Type {content_type[:100]!r} is none of Prometheus'" if media else "no Content-Type"
            raise Unsupported(
                "content_type_unsupported", f"the target answered with {said}" if not media else said,
                hint="fallback_scrape_protocol names the format to assume",
            )  # fmt: skip
        return self._by_format[found]
