"""The settings of traces, metrics and logs."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from gnomon.config.fields import (
    Console,
    Count,
    Level,
    Levels,
    Live,
    Maybe,
    Part,
    Patterns,
    Port,
    Ratio,
    Ratios,
    Seconds,
    Stream,
    Words,
)
from gnomon.config.remote_write import RemoteWriteSettings
from gnomon.config.units import read_words

SamplerName = Literal[
    "always_on", "always_off", "ratio",
    "parentbased_always_on", "parentbased_always_off", "parentbased_ratio", "rate_limited", "adaptive",
]  # fmt: skip
Propagator = Literal["tracecontext", "baggage", "b3", "b3multi"]
Propagators = Annotated[tuple[Propagator, ...], BeforeValidator(read_words)]


class TraceSettings(Part):
    """Which requests are traced, and how much a span may hold."""

    enabled: bool = Field(default=True, description="Traces are made. Off: contexts still travel through.")
    sampler: Live[SamplerName] = Field(
        "parentbased_always_on", description="Who decides. A caller's decision is kept, so that traces are whole."
    )
    sampler_ratio: Live[Ratio] = Field(1.0, description="Share of traces kept by the `ratio` samplers.")
    sampler_per_second: Live[Annotated[float, Field(gt=0)]] = Field(
        100.0, description="Traces a second that `rate_limited` and `adaptive` aim at: 2 ms of CPU at 20 us each."
    )
    keep_errors: Live[bool] = Field(
        default=True, description="A request that failed is kept whatever the sampler says."
    )
    keep_slower_than_s: Live[Maybe[Seconds]] = Field(
        None, description="A request slower than this is kept too. None: the sampler alone decides."
    )
    excluded_urls: Patterns = Field(
        ("/health$", "/healthz$", "/livez$", "/readyz$", "/metrics$"),
        description="Regular expressions, searched in the URL without its query; no traces there: probes ask all day.",
    )
    propagators: Propagators = Field(
        ("tracecontext", "baggage"), description="Formats in which contexts travel: W3C's, as OpenTelemetry's default."
    )
    baggage_as_attributes: Words = Field(
        (), description="Baggage entries copied onto spans; none: baggage may be private."
    )
    attribute_count: Count = Field(128, description="Attributes of a span; the number of the standard.")
    attribute_value_chars: Maybe[Count] = Field(
        4096, description="Characters kept of a text attribute: a long SQL statement fits. `none`: 16384."
    )
    event_count: Count = Field(128, description="Events of a span; the number of the standard.")
    link_count: Count = Field(128, description="Links of a span; the number of the standard.")


class MetricSettings(Part):
    """What is measured, how it is named, and how it leaves."""

    enabled: bool = Field(default=True, description="Metrics are made.")
    interval_s: Seconds = Field(15.0, description="How often metrics are pushed: Prometheus' usual pace.")
    temporality: Literal["cumulative", "delta", "lowmemory"] = Field(
        "cumulative", description="Totals since the start, as Prometheus counts, or since the last push."
    )
    namespace: str = Field(
        "",
        pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$",
        description="Put before the `classic` names: `astra` for `astra_http_requests_total`.",
    )
    names: Literal["otel", "classic"] = Field(
        "otel",
        description="`otel`: the standard's names; `classic`: http_requests_total and its kin, for old dashboards.",
    )
    path: str = Field("/metrics", pattern=r"^/", description="Where the service answers a scrape.")
    port: Maybe[Port] = Field(None, description="A server of its own for scrapes; 0 takes a free port. None: the path.")
    address: str = Field(
        "127.0.0.1",
        min_length=1,
        description="Where that server listens. Elsewhere (`0.0.0.0`, `::`) whoever reaches it reads all metrics.",
    )
    cardinality_limit: Count = Field(
        2000, description="Label sets of one instrument; further ones are `other`. The standard's number."
    )
    exemplars: bool = Field(default=True, description="A trace id beside a bucket's count: one a bucket and interval.")
    process: bool = Field(default=True, description="CPU, memory, threads and files of this process.")
    runtime: bool = Field(default=True, description="Garbage collection and the like of Python.")
    host: bool = Field(
        default=False, description="CPU, memory, disk and network of the machine: mostly somebody else measures it."
    )
    remote_write: RemoteWriteSettings = Field(default=RemoteWriteSettings(), description="Prometheus remote write.")


class LogSettings(Part):
    """What is logged, where it is written, and what is sent."""

    enabled: bool = Field(default=True, description="Logging is taken part in at all.")
    level: Live[Level] = Field("INFO", description="Below it records cost next to nothing.")
    levels: Live[Levels] = Field({}, description="Loggers that differ: `sqlalchemy.engine=WARNING`.")
    console: Console = Field(
        "auto", description="`auto`: text on a terminal, JSON elsewhere. `off`: the host's own handlers are left alone."
    )
    stream: Stream = Field(
        "stderr",
        description="Where both consoles write, this one and protocol `console`; `stdout` is the program's own.",
    )
    ship: bool = Field(default=True, description="Records are sent.")
    sampling: Live[Ratios] = Field(
        {}, description="Share kept, by category or level: `debug=0.1`. Errors are always kept."
    )
    capture_stdlib: bool = Field(default=True, description="Records of `logging`.")
    capture_structlog: bool = Field(default=True, description="Events of structlog, where it is used.")
    capture_loguru: bool = Field(default=True, description="Records of loguru, where it is used.")
    access_log: bool = Field(default=True, description="One line a request, in place of the server's own.")
    attribute_count: Count = Field(128, description="Attributes of a record; the number of the standard.")
    attribute_value_chars: Maybe[Count] = Field(4096, description="Characters kept of a text attribute. `none`: 16384.")
